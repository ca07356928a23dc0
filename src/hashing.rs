//! Hashes and length of bytes, computed while the bytes stream past.

use std::io::{self, Read, Write};

use md5::Md5;
use sha1::Sha1;
use sha2::digest::OutputSizeUser;
use sha2::digest::common::BlockSizeUser;
use sha2::digest::common::hazmat::{SerializableState, SerializedState};
use sha2::{Digest, Sha256, Sha512};

/// The length and hashes of some bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Digests {
    pub length: u64,
    pub sha256: [u8; 32],
    pub sha512: Option<[u8; 64]>,
    /// The MD5, if it was asked for: for old readers; it proves nothing.
    pub md5: Option<[u8; 16]>,
    /// The SHA-1, in the same way.
    pub sha1: Option<[u8; 20]>,
}

/// A hasher of the bytes that it is given.
#[derive(Debug, Clone)]
pub(crate) struct Hasher {
    length: u64,
    sha256: Sha256,
    sha512: Option<Sha512>,
    md5: Option<Md5>,
    sha1: Option<Sha1>,
}

impl Hasher {
    /// Returns a hasher for length and SHA-256.
    pub(crate) fn new() -> Self {
        Self {
            length: 0,
            sha256: Sha256::new(),
            sha512: None,
            md5: None,
            sha1: None,
        }
    }

    /// Returns a hasher for length, SHA-256 and SHA-512.
    pub(crate) fn with_sha512() -> Self {
        Self::new().and_sha512()
    }

    /// Adds SHA-512.
    #[must_use]
    pub(crate) fn and_sha512(self) -> Self {
        let sha512 = Some(Sha512::new());
        Self { sha512, ..self }
    }

    /// Adds MD5.
    #[must_use]
    pub(crate) fn and_md5(self) -> Self {
        let md5 = Some(Md5::new());
        Self { md5, ..self }
    }

    /// Adds SHA-1.
    #[must_use]
    pub(crate) fn and_sha1(self) -> Self {
        let sha1 = Some(Sha1::new());
        Self { sha1, ..self }
    }

    /// Takes in more bytes.
    pub(crate) fn update(&mut self, bytes: &[u8]) {
        self.length = self.length.saturating_add(bytes.len() as u64);
        self.sha256.update(bytes);
        if let Some(sha512) = &mut self.sha512 {
            sha512.update(bytes);
        }
        if let Some(md5) = &mut self.md5 {
            md5.update(bytes);
        }
        if let Some(sha1) = &mut self.sha1 {
            sha1.update(bytes);
        }
    }

    /// Returns the SHA-256 of all bytes so far.
    pub(crate) fn sha256_so_far(&self) -> [u8; 32] {
        self.sha256.clone().finalize().into()
    }

    /// Returns the state after all bytes so far. Only the same version of the program understands it.
    pub(crate) fn export(&self) -> Vec<u8> {
        let mut state = self.length.to_le_bytes().to_vec();
        state.extend_from_slice(&self.sha256.serialize());
        push_state(&mut state, self.sha512.as_ref());
        push_state(&mut state, self.md5.as_ref());
        push_state(&mut state, self.sha1.as_ref());
        state
    }

    /// Returns a hasher that goes on from a state; `None` if the bytes are none.
    pub(crate) fn import(mut state: &[u8]) -> Option<Self> {
        let state = &mut state;
        let length = u64::from_le_bytes(*take(state)?);
        let imported = Self {
            length,
            sha256: take_state(state, length)?,
            sha512: take_optional_state(state, length)?,
            md5: take_optional_state(state, length)?,
            sha1: take_optional_state(state, length)?,
        };
        state.is_empty().then_some(imported)
    }

    /// Returns whether the hasher computes an SHA-1.
    pub(crate) fn has_sha1(&self) -> bool {
        self.sha1.is_some()
    }

    /// Returns whether another hasher computes the same hashes.
    pub(crate) fn is_like(&self, other: &Hasher) -> bool {
        let hashes = |hasher: &Hasher| {
            (
                hasher.sha512.is_some(),
                hasher.md5.is_some(),
                hasher.sha1.is_some(),
            )
        };
        hashes(self) == hashes(other)
    }

    /// Forgets all bytes so far.
    pub(crate) fn reset(&mut self) {
        self.length = 0;
        self.sha256 = Sha256::new();
        if let Some(sha512) = &mut self.sha512 {
            *sha512 = Sha512::new();
        }
        if let Some(md5) = &mut self.md5 {
            *md5 = Md5::new();
        }
        if let Some(sha1) = &mut self.sha1 {
            *sha1 = Sha1::new();
        }
    }

    /// Returns the length and hashes of all bytes so far.
    pub(crate) fn finish(self) -> Digests {
        Digests {
            length: self.length,
            sha256: self.sha256.finalize().into(),
            sha512: self.sha512.map(|sha512| sha512.finalize().into()),
            md5: self.md5.map(|md5| md5.finalize().into()),
            sha1: self.sha1.map(|sha1| sha1.finalize().into()),
        }
    }
}

/// Appends a byte that says whether a hasher is there, then its state.
fn push_state<H: SerializableState>(out: &mut Vec<u8>, hasher: Option<&H>) {
    out.push(u8::from(hasher.is_some()));
    if let Some(hasher) = hasher {
        out.extend_from_slice(&hasher.serialize());
    }
}

fn take<'a, const N: usize>(from: &mut &'a [u8]) -> Option<&'a [u8; N]> {
    let (first, rest) = from.split_first_chunk()?;
    *from = rest;
    Some(first)
}

/// Takes the state of a hasher off the beginning of some bytes. Returns `None` unless it is one after `length` bytes: after another number of
/// blocks, the hasher could count past the end of its numbers.
fn take_state<H>(from: &mut &[u8], length: u64) -> Option<H>
where
    H: SerializableState + OutputSizeUser + BlockSizeUser,
{
    let mut state = SerializedState::<H>::default();
    let (first, rest) = from.split_at_checked(state.len())?;
    *from = rest;
    state.copy_from_slice(first);
    // A state is the hash so far, the number of blocks, and the bytes of the block that is not full. The number is as wide as the length that
    // ends a hashed text: an eighth of a block.
    let block = H::block_size();
    let blocks = u128::from(length / block as u64).to_le_bytes();
    let (_, rest) = first.split_at_checked(H::output_size())?;
    (rest.get(..block / 8)? == blocks.get(..block / 8)?).then_some(())?;
    H::deserialize(&state).ok()
}

fn take_optional_state<H>(from: &mut &[u8], length: u64) -> Option<Option<H>>
where
    H: SerializableState + OutputSizeUser + BlockSizeUser,
{
    match take(from)? {
        [0] => Some(None),
        [1] => take_state(from, length).map(Some),
        _ => None,
    }
}

impl Default for Hasher {
    fn default() -> Self {
        Self::new()
    }
}

/// A reader that hashes what is read through it.
#[derive(Debug)]
pub(crate) struct HashingReader<R> {
    inner: R,
    hasher: Hasher,
}

impl<R: Read> HashingReader<R> {
    /// Returns a reader that hashes with SHA-256.
    pub(crate) fn new(inner: R) -> Self {
        Self::with(inner, Hasher::new())
    }

    /// Returns a reader that hashes with `hasher`.
    pub(crate) fn with(inner: R, hasher: Hasher) -> Self {
        Self { inner, hasher }
    }

    /// Returns the inner reader, and the hashes of the bytes read so far: those of the whole only after everything was read.
    pub(crate) fn finish(self) -> (R, Digests) {
        (self.inner, self.hasher.finish())
    }
}

impl<R: Read> Read for HashingReader<R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buf)?;
        self.hasher.update(buf.get(..count).unwrap_or(buf));
        Ok(count)
    }
}

/// A writer that hashes the bytes that the inner one took.
#[derive(Debug)]
pub(crate) struct HashingWriter<W> {
    pub(crate) inner: W,
    pub(crate) hasher: Hasher,
}

impl<W: Write> HashingWriter<W> {
    /// Returns a writer that hashes with `hasher`.
    pub(crate) fn with(inner: W, hasher: Hasher) -> Self {
        Self { inner, hasher }
    }

    /// Returns the inner writer, which is not flushed, and the hashes of the bytes that it took.
    pub(crate) fn finish(self) -> (W, Digests) {
        (self.inner, self.hasher.finish())
    }
}

impl<W: Write> Write for HashingWriter<W> {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        let count = self.inner.write(buf)?;
        self.hasher.update(buf.get(..count).unwrap_or(buf));
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use proptest::prelude::*;

    use super::*;

    // FIPS 180-2, appendices B.1 and C.1.
    const ABC_256: &str = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
    const ABC_512: &str = "ddaf35a193617abacc417349ae20413112e6fa4e89a97ea20a9eeee64b55d39a\
                           2192992a274fc1a836ba3c23a3feebbd454d4423643ce80e2a9ac94fa54ca49f";

    #[test]
    fn reader_and_writer_hash_what_passes() {
        let mut reader = HashingReader::with(&b"abc"[..], Hasher::with_sha512());
        let mut writer = HashingWriter::with(Vec::new(), Hasher::new());
        io::copy(&mut reader, &mut writer).unwrap();
        let (_, read) = reader.finish();
        let (bytes, written) = writer.finish();
        assert_eq!(bytes, b"abc");
        assert_eq!(read.length, 3);
        assert_eq!(hex::encode(read.sha256), ABC_256);
        assert_eq!(hex::encode(read.sha512.unwrap()), ABC_512);
        assert_eq!(written.sha256, read.sha256);
        assert_eq!(written.sha512, None);
    }

    // RFC 1321, A.5; FIPS 180-2, appendix A.1.
    #[test]
    fn weak_hashes_are_taken_where_they_are_asked_for() {
        let mut hasher = Hasher::new().and_md5().and_sha1();
        hasher.update(b"abc");
        let digests = hasher.finish();
        let (md5, sha1) = (digests.md5.unwrap(), digests.sha1.unwrap());
        assert_eq!(hex::encode(md5), "900150983cd24fb0d6963f7d28e17f72");
        assert_eq!(
            hex::encode(sha1),
            "a9993e364706816aba3e25717850c26c9cd0d89d"
        );
        assert_eq!(Hasher::new().finish().md5, None);
    }

    #[test]
    fn a_writer_counts_only_what_was_taken() {
        let mut room = [0; 2];
        let mut writer = HashingWriter::with(&mut room[..], Hasher::new());
        assert_eq!(writer.write(b"abc").unwrap(), 2);
        assert_eq!(writer.finish().1.length, 2);
    }

    proptest! {
        #[test]
        fn an_imported_hasher_goes_on(text in proptest::collection::vec(any::<u8>(), 0..700), at in 0..700usize) {
            let (first, rest) = text.split_at(at.min(text.len()));
            let all = Hasher::with_sha512().and_md5().and_sha1();
            for mut hasher in [Hasher::new(), Hasher::new().and_md5(), Hasher::with_sha512(), all] {
                hasher.update(first);
                let mut imported = Hasher::import(&hasher.export()).unwrap();
                prop_assert!(imported.is_like(&hasher));
                hasher.update(rest);
                imported.update(rest);
                prop_assert_eq!(imported.sha256_so_far(), hasher.sha256_so_far());
                prop_assert_eq!(imported.finish(), hasher.finish());
            }
        }
    }

    #[test]
    fn a_state_of_another_length_is_none() {
        let mut hasher = Hasher::with_sha512().and_sha1();
        hasher.update(&[1; 1000]);
        let state = hasher.export();
        for length in 0..state.len() {
            assert!(Hasher::import(&state[..length]).is_none(), "{length}");
        }
        assert!(Hasher::import(&[&state[..], &[0]].concat()).is_none());
        assert!(!Hasher::with_sha512().is_like(&hasher));
        // A state that has a wrong bit is none, or gives another hash; it never ends the program.
        for bit in 0..8 * state.len() {
            let mut wrong = state.clone();
            wrong[bit / 8] ^= 1 << (bit % 8);
            if let Some(mut wrong) = Hasher::import(&wrong) {
                wrong.update(&[2; 1000]);
                wrong.finish();
            }
        }
    }

    #[test]
    fn reset_forgets() {
        let mut hasher = Hasher::with_sha512();
        hasher.update(b"what came before");
        hasher.reset();
        hasher.update(b"abc");
        let digests = hasher.finish();
        assert_eq!(digests.length, 3);
        assert_eq!(hex::encode(digests.sha256), ABC_256);
        assert_eq!(hex::encode(digests.sha512.unwrap()), ABC_512);
    }
}
