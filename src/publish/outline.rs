//! The outline of an index: which stanza stands where. It is a fiftieth of the index; comparing two outlines tells what changed.
//!
//! So the old index is not needed for a difference: the outline of the served index is in the cache, and is made from the index itself
//! if it is not. Two outlines and the new text give the patch and the list of changes ([`super::differ`]).
//!
//! The head of an index has an outline of its own, so that nobody needs it while the head stays the same: that of the index only says which
//! text the head is.

use std::io::Read;

use rayon::prelude::*;
use sha2::{Digest, Sha256};

use crate::cache::{Cache, EntryName};
use crate::deb822::{Name, Stanza, Stanzas, eq_name};
use crate::indices::IndexName;
use crate::merge::Text;

use super::head::IndexHead;

/// The kind of outlines in the cache, with the version of their format.
const KIND: &str = "outlines-2";

/// The kind of outlines of heads. An index without a tail has the same text as its head, and another outline.
const HEAD_KIND: &str = "head-outlines-1";

/// The length of what a kept outline says of the head.
const HEAD_BYTES: u64 = 48;

/// The name, the version and the pool of a package.
type Package<'a> = (Name<'a>, &'a [u8], &'a str);

/// The package of a stanza that is none, as in a Translation. Its note tells only where the stanza stands.
const NO_PACKAGE: Package<'static> = (Name::new(b""), b"", "");

/// The note of a stanza of an index.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Note<'a> {
    /// The first half of the stanza's SHA-256.
    pub(super) digest: [u8; 16],
    pub(super) lines: u32,
    pub(super) name: Name<'a>,
    pub(super) version: &'a str,
    /// The pool of the archive that the stanza is from.
    pub(super) pool: &'a str,
}

impl<'a> Note<'a> {
    fn new<'s>(
        (name, version, pool): Package<'a>,
        stanza: impl Iterator<Item = &'s [u8]>,
    ) -> Note<'a> {
        let mut hasher = Sha256::new();
        let mut lines = 0;
        for slice in stanza {
            hasher.update(slice);
            lines += memchr::memchr_iter(b'\n', slice).count() as u32;
        }
        let mut digest = [0; 16];
        digest.copy_from_slice(&hasher.finalize()[..16]);
        // Names and versions are ASCII; the merge takes no others.
        let text = |bytes| std::str::from_utf8(bytes).unwrap_or_default();
        Note {
            digest,
            lines,
            name,
            version: text(version),
            pool,
        }
    }
}

/// The text of a head.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct HeadText {
    pub(super) sha256: EntryName,
    pub(super) length: u64,
    pub(super) lines: u64,
}

impl HeadText {
    /// Returns the text of no bytes.
    pub(super) fn empty() -> Self {
        Self {
            sha256: Sha256::digest(b"").into(),
            length: 0,
            lines: 0,
        }
    }
}

impl From<&IndexHead> for HeadText {
    fn from(head: &IndexHead) -> Self {
        let digest = head.digest();
        Self {
            sha256: digest.sha256,
            length: digest.size,
            lines: head.lines,
        }
    }
}

/// The stanzas of an index, of a head or of a tail, in their order.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Outline<'a> {
    pub(super) notes: Vec<Note<'a>>,
}

impl<'a> Outline<'a> {
    /// Returns the outline of two texts, one after the other.
    pub(super) fn of_both(head: Self, tail: &Self) -> Self {
        let mut notes = head.notes;
        notes.extend(&tail.notes);
        Self { notes }
    }

    /// Returns the outline of a merged text.
    pub(super) fn of(text: &'a Text<'_>) -> Outline<'a> {
        let keys = text.keys().unwrap_or_default();
        let notes = (0..text.stanzas())
            .into_par_iter()
            .map(|number| {
                let slices = text.stanza(number).iter().copied();
                let package = keys.get(number).map(|k| (k.name, k.version, k.pool));
                Note::new(package.unwrap_or(NO_PACKAGE), slices)
            })
            .collect();
        Outline { notes }
    }

    /// Returns the outline of an index as it was published.
    pub(super) fn read(index: &IndexName, plain: &'a [u8]) -> Option<Outline<'a>> {
        let notes = Stanzas::new(plain)
            .map(|stanza| {
                let end = stanza.offset + stanza.without_final_newline().len() + 2;
                let raw = plain.get(stanza.offset..end)?;
                let package = match index.is_of_packages() {
                    true => package(&stanza)?,
                    false => NO_PACKAGE,
                };
                Some(Note::new(package, std::iter::once(raw)))
            })
            .collect::<Option<Vec<_>>>()?;
        Some(Outline { notes })
    }

    /// Returns the bytes of the outline that an earlier run kept of an index, by the SHA-256 and the length of the index's plain text, to
    /// be parsed.
    pub(super) fn recall(cache: &Cache, plain: &EntryName, length: u64) -> Option<Vec<u8>> {
        unpack(&cache.get(KIND, plain)?, length)
    }

    /// Returns the bytes of the outline of a head.
    pub(super) fn recall_head(cache: &Cache, head: &HeadText) -> Option<Vec<u8>> {
        unpack(&cache.get(HEAD_KIND, &head.sha256)?, head.length)
    }

    /// Parses the bytes of a kept outline: the head of the index, and the outline of the rest.
    pub(super) fn parse(bytes: &'a [u8]) -> Option<(HeadText, Outline<'a>)> {
        let (sha256, rest) = bytes.split_first_chunk()?;
        let (length, rest) = rest.split_first_chunk()?;
        let (lines, mut rest) = rest.split_first_chunk()?;
        let head = HeadText {
            sha256: *sha256,
            length: u64::from_le_bytes(*length),
            lines: u64::from_le_bytes(*lines),
        };
        let mut notes = Vec::new();
        while !rest.is_empty() {
            let (digest, after) = rest.split_first_chunk()?;
            let (lines, after) = after.split_first_chunk()?;
            let end = memchr::memchr(b'\n', after)?;
            let mut words = std::str::from_utf8(&after[..end]).ok()?.split(' ');
            notes.push(Note {
                digest: *digest,
                lines: u32::from_le_bytes(*lines),
                name: Name::from(words.next()?),
                version: words.next()?,
                pool: words.next()?,
            });
            rest = &after[end + 1..];
        }
        Some((head, Outline { notes }))
    }

    /// Keeps the outline of what follows a head for later runs.
    pub(super) fn keep(&self, cache: &Cache, plain: &EntryName, head: HeadText) {
        if let Some(packed) = self.pack(head) {
            cache.put(KIND, plain, &[&packed]);
        }
    }

    /// Keeps the outline of a head for later runs.
    pub(super) fn keep_of_head(&self, cache: &Cache, head: HeadText) {
        if let Some(packed) = self.pack(HeadText::empty()) {
            cache.put(HEAD_KIND, &head.sha256, &[&packed]);
        }
    }

    fn pack(&self, head: HeadText) -> Option<Vec<u8>> {
        let mut bytes = Vec::with_capacity(self.notes.len() * 64);
        bytes.extend_from_slice(&head.sha256);
        bytes.extend_from_slice(&head.length.to_le_bytes());
        bytes.extend_from_slice(&head.lines.to_le_bytes());
        for note in &self.notes {
            bytes.extend_from_slice(&note.digest);
            bytes.extend_from_slice(&note.lines.to_le_bytes());
            for (word, end) in [
                (note.name.as_written(), b' '),
                (note.version.as_bytes(), b' '),
                (note.pool.as_bytes(), b'\n'),
            ] {
                bytes.extend_from_slice(word);
                bytes.push(end);
            }
        }
        zstd::bulk::compress(&bytes, 1).ok()
    }

    /// Keeps the outline of a head for one run more; returns whether there is one.
    pub(super) fn keep_on(cache: &Cache, head: &HeadText) -> bool {
        cache.touch(HEAD_KIND, &head.sha256)
    }

    /// Removes the kept outline of an index that is no longer published.
    pub(super) fn forget(cache: &Cache, plain: &EntryName) {
        cache.remove(KIND, plain);
    }

    /// Removes the kept outline of a head.
    pub(super) fn forget_head(cache: &Cache, head: &HeadText) {
        cache.remove(HEAD_KIND, &head.sha256);
    }
}

/// Unpacks a kept outline. A stanza has more bytes than its note, so anything much longer than the text is no outline of it.
fn unpack(packed: &[u8], length: u64) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    let decoder = zstd::Decoder::new(packed).ok()?;
    let most = length.saturating_add(HEAD_BYTES);
    let mut decoder = decoder.take(most.saturating_add(1));
    decoder.read_to_end(&mut bytes).ok()?;
    (bytes.len() as u64 <= most).then_some(bytes)
}

/// Returns the package of a published stanza.
fn package<'a>(stanza: &Stanza<'a>) -> Option<Package<'a>> {
    let (mut name, mut version, mut path) = (None, None, None);
    for field in stanza.fields() {
        let field = field.ok()?;
        let is = |name| eq_name(field.name, name);
        if is("Package") {
            name = Some(field.value);
        } else if is("Version") {
            version = Some(field.value);
        } else if is("Filename") || is("Directory") {
            path = Some(field.value);
        }
    }
    let pool = path?.strip_prefix(b"pool/")?.split(|b| *b == b'/').next()?;
    Some((Name::new(name?), version?, std::str::from_utf8(pool).ok()?))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::time::SystemTime;

    use super::*;

    #[test]
    fn what_is_longer_than_its_index_is_no_outline() {
        let dir = tempfile::tempdir().unwrap();
        let cache = Cache::new(dir.path(), SystemTime::now());
        let plain = b"Package: a\nVersion: 1\nFilename: pool/A/a\n\n";
        let index = IndexName::parse_packages("main/binary-amd64/Packages").unwrap();
        let outline = Outline::read(&index, plain).unwrap();
        let name = [1; 32];
        let head = HeadText::empty();
        outline.keep(&cache, &name, head);
        let length = plain.len() as u64;
        let kept = Outline::recall(&cache, &name, length).unwrap();
        assert_eq!(Outline::parse(&kept), Some((head, outline)));
        // Unpacking may yield far more bytes than the text has.
        let bomb = zstd::bulk::compress(&vec![0; 1 << 20], 1).unwrap();
        cache.put(KIND, &name, &[&bomb]);
        assert_eq!(Outline::recall(&cache, &name, length), None);
    }
}
