//! Compressed forms of an index: one xz stream, one gzip member, both made of pieces that are compressed side by side.
//!
//! apt reads only the first of several xz streams, and some readers know gzip files of one member only. So a file is one
//! stream of many blocks ([`xz`]), or one member whose parts end in a full flush ([`gz`]). The content of a stanza decides where a piece
//! is cut, not a fixed length: an inserted package changes the piece that it falls into, and no other. So a changed package costs one piece
//! of each index that has it, which is most of what such a run costs. Pieces that were
//! compressed before are found in the `Cache`.

pub mod gz;
pub(crate) mod unpack;
pub mod xz;

use std::io::{self, Write};

use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::cache::{Cache, EntryName};
use crate::error::{DomainError, ErrorKind, is_of_what_was_given};
use crate::spec::Form;
use crate::text::Text;

/// The shortest length of a piece, except the last one.
///
/// Shorter pieces make small changes cheap and files large. With the encoder's options, pieces of this length come out 3 to 4 % larger
/// than a whole file at xz's level 6; without the options, pieces of 4 MiB do.
const MIN_PIECE_BYTES: u64 = 2_304 << 10;

/// The length from which a piece is cut at the next stanza.
const MAX_PIECE_BYTES: u64 = 6 << 20;

/// The chance that a stanza ends a piece that is long enough: one in this number.
const CUT_ONE_IN: u32 = 128;

/// A file that cannot be compressed.
#[derive(Debug, thiserror::Error)]
#[error("cannot compress {what}")]
pub(crate) struct CompressError {
    pub what: String,
    pub source: io::Error,
}

impl DomainError for CompressError {
    fn kind(&self) -> ErrorKind {
        ErrorKind::Machine
    }

    fn is_of_the_machine(&self) -> bool {
        !is_of_what_was_given(&self.source)
    }
}

/// A run of whole stanzas.
#[derive(Debug, Default)]
pub(crate) struct Piece<'a> {
    /// The bytes of the piece, in slices.
    pub slices: Vec<&'a [u8]>,
    pub length: u64,
}

/// A piece that was compressed in one form, to be put together with others.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Packed {
    /// xz: a block with its padding, a multiple of four bytes. gz: raw deflate that ends in a full flush.
    pub bytes: Vec<u8>,
    /// The length of the plain bytes.
    pub plain: u64,
    /// xz: the block's length without its padding. gz: the CRC32 of the plain bytes.
    pub note: u64,
}

/// The lengths of a piece in a file, and its note: what the end of the file depends on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Part {
    /// The number of bytes in the file.
    pub packed: u64,
    /// The number of plain bytes.
    pub plain: u64,
    /// The same as in [`Packed::note`].
    pub note: u64,
}

impl Packed {
    fn part(&self) -> Part {
        Part {
            packed: self.bytes.len() as u64,
            plain: self.plain,
            note: self.note,
        }
    }
}

/// Compresses a piece.
fn encode(form: Form, piece: &Piece<'_>) -> io::Result<Packed> {
    // Encoders are slow to take up many small slices.
    let piece = piece.slices.concat();
    match form {
        Form::Xz => xz::encode(&piece),
        Form::Gz => gz::encode(&piece),
    }
}

/// Returns the kind of a form's pieces in the cache. It contains the program's version, since a later one may compress differently.
const fn kind(form: Form) -> &'static str {
    match form {
        Form::Xz => concat!("xz-", env!("CARGO_PKG_VERSION")),
        Form::Gz => concat!("gz-", env!("CARGO_PKG_VERSION")),
    }
}

/// A text that is cut into pieces, each with its name.
pub struct Pieces<'a>(Vec<(Piece<'a>, EntryName)>);

impl<'a> Pieces<'a> {
    /// Cuts a text.
    pub fn of(text: &Text<'a>) -> Self {
        let named = pieces(text).into_par_iter().map(|piece| {
            let name = piece.name();
            (piece, name)
        });
        Self(named.collect())
    }

    /// Returns the names of the pieces, by which [`packed_before`] finds them.
    pub(crate) fn names(&self) -> Vec<EntryName> {
        self.0.iter().map(|(_, name)| *name).collect()
    }

    /// Compresses all pieces; pieces that were compressed before are taken from the cache.
    pub(crate) fn pack(&self, form: Form, cache: &Cache) -> io::Result<Vec<Packed>> {
        let pack = |(piece, name): &(Piece<'_>, EntryName)| -> io::Result<Packed> {
            if let Some(packed) = Packed::recall(form, name, cache) {
                return Ok(packed);
            }
            let packed = encode(form, piece)?;
            let [plain, note] = [packed.plain.to_le_bytes(), packed.note.to_le_bytes()];
            cache.put(kind(form), name, &[&plain, &note, &packed.bytes]);
            Ok(packed)
        };
        self.0.par_iter().map(pack).collect()
    }
}

/// Returns pieces that were compressed before, by their names; `None` if the cache no longer has all of them.
pub(crate) fn packed_before(form: Form, names: &[EntryName], cache: &Cache) -> Option<Vec<Packed>> {
    let packed = names.par_iter();
    packed
        .map(|name| Packed::recall(form, name, cache))
        .collect()
}

impl Piece<'_> {
    /// Returns the name of the piece's compressed forms in the cache: the SHA-256 of its plain bytes.
    fn name(&self) -> EntryName {
        let mut hasher = Sha256::new();
        self.slices.iter().for_each(|slice| hasher.update(slice));
        hasher.finalize().into()
    }
}

impl Packed {
    fn recall(form: Form, name: &EntryName, cache: &Cache) -> Option<Packed> {
        Packed::from_entry(cache.get(kind(form), name)?)
    }

    fn from_entry(mut entry: Vec<u8>) -> Option<Packed> {
        let (plain, rest) = entry.split_first_chunk()?;
        let (note, _) = rest.split_first_chunk()?;
        let [plain, note] = [plain, note].map(|bytes| u64::from_le_bytes(*bytes));
        entry.drain(..16);
        Some(Packed {
            bytes: entry,
            plain,
            note,
        })
    }
}

/// Writes one file of compressed pieces.
pub(crate) fn assemble(form: Form, pieces: &[Packed], out: &mut impl Write) -> io::Result<()> {
    match form {
        Form::Xz => xz::assemble(pieces, out),
        Form::Gz => gz::assemble(pieces, out),
    }
}

/// Cuts a text into pieces.
fn pieces<'a>(text: &Text<'a>) -> Vec<Piece<'a>> {
    let mut pieces = Vec::new();
    let mut piece = Piece::default();
    for stanza in text.iter() {
        for slice in stanza {
            piece.slices.push(slice);
            piece.length += slice.len() as u64;
        }
        let long_enough = piece.length >= MIN_PIECE_BYTES;
        if long_enough && (piece.length >= MAX_PIECE_BYTES || is_cut(stanza)) {
            pieces.push(std::mem::take(&mut piece));
        }
    }
    if piece.length > 0 {
        pieces.push(piece);
    }
    pieces
}

/// Returns whether a stanza ends a piece, by a hash of its first line: a package's name, which outlives its versions.
fn is_cut(stanza: &[&[u8]]) -> bool {
    let first = stanza.first().copied().unwrap_or_default();
    let line = first.split(|b| *b == b'\n').next().unwrap_or_default();
    crc32fast::hash(line).is_multiple_of(CUT_ONE_IN)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn an_inserted_stanza_changes_one_piece() {
        let stanzas: Vec<String> = (0..30_000)
            .map(|n| format!("Package: p{n}\nDescription: {}\n\n", "x".repeat(1000)))
            .collect();
        let cut = |stanzas: &[String]| -> Vec<Vec<u8>> {
            let mut text = Text::default();
            stanzas.iter().for_each(|s| text.push([s.as_bytes()]));
            pieces(&text).iter().map(|p| p.slices.concat()).collect()
        };
        let before = cut(&stanzas);
        let mut more = stanzas.clone();
        more.insert(9000, "Package: new\n\n".into());
        let after = cut(&more);
        assert!(before.len() >= 4, "{}", before.len());
        assert_eq!(before.concat(), stanzas.concat().into_bytes());
        assert_eq!(after.iter().filter(|p| !before.contains(p)).count(), 1);
    }
}
