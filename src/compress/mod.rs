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

/// The lengths of the pieces of a part of a text. Short pieces make small changes cheap, and files large.
struct Lengths {
    /// The shortest length of a piece that a stanza may end; the last piece may be shorter.
    least: u64,
    /// The longest length of a piece, unless it is one stanza.
    most: u64,
    /// The chance that a stanza ends a piece that is long enough: one in this number.
    cut_one_in: u32,
}

/// The lengths in the lowest archive's part of a text, which seldom changes. With the encoder's options and the order of publication, pieces of 3 MiB come
/// out 1 % smaller than `xz -6` makes of a whole Packages or Sources that is ordered by name, and 3 % larger for Translation.
const LONG: Lengths = Lengths {
    least: 2_816 << 10,
    most: 4 << 20,
    cut_one_in: 128,
};

/// The lengths in the rest of a text, which changes often and is short. Pieces of 256 KiB come out 7 to 12 % larger than those of 3 MiB.
const SHORT: Lengths = Lengths {
    least: 96 << 10,
    most: 256 << 10,
    cut_one_in: 48,
};

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

/// Returns the kind of a form's pieces in the cache. It contains a version of the encoders' options and the program's, since others may
/// compress differently.
const fn kind(form: Form) -> &'static str {
    match form {
        Form::Xz => concat!("xz-2-", env!("CARGO_PKG_VERSION")),
        Form::Gz => concat!("gz-2-", env!("CARGO_PKG_VERSION")),
    }
}

/// A text that is cut into pieces, each with its name.
pub struct Pieces<'a>(Vec<(Piece<'a>, EntryName)>);

impl<'a> Pieces<'a> {
    /// Cuts a text: the lowest archive's stanzas into long pieces, those of the others into short ones, and none across the boundary.
    pub fn of(text: &Text<'a>) -> Self {
        let (lowest, others) = text.parts();
        let mut pieces = pieces(lowest, &LONG);
        pieces.extend(self::pieces(others, &SHORT));
        let named = pieces.into_par_iter().map(|piece| {
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

/// Cuts stanzas into pieces.
fn pieces<'t, 'a: 't>(
    stanzas: impl Iterator<Item = &'t [&'a [u8]]>,
    lengths: &Lengths,
) -> Vec<Piece<'a>> {
    let mut pieces = Vec::new();
    let mut piece = Piece::default();
    for stanza in stanzas {
        let length: u64 = stanza.iter().map(|slice| slice.len() as u64).sum();
        if piece.length > 0 && piece.length + length > lengths.most {
            pieces.push(std::mem::take(&mut piece));
        }
        piece.slices.extend(stanza);
        piece.length += length;
        if piece.length >= lengths.least && is_cut(stanza, lengths.cut_one_in) {
            pieces.push(std::mem::take(&mut piece));
        }
    }
    if piece.length > 0 {
        pieces.push(piece);
    }
    pieces
}

/// Returns whether a stanza ends a piece, by a hash of its first line: a package's name, which outlives its versions.
fn is_cut(stanza: &[&[u8]], one_in: u32) -> bool {
    let first = stanza.first().copied().unwrap_or_default();
    let line = first.split(|b| *b == b'\n').next().unwrap_or_default();
    crc32fast::hash(line).is_multiple_of(one_in)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn stanzas(count: usize) -> Vec<String> {
        (0..count)
            .map(|n| format!("Package: p{n}\nDescription: {}\n\n", "x".repeat(1000)))
            .collect()
    }

    /// Returns the pieces of a text whose tail begins at a stanza.
    fn cut(stanzas: &[String], tail: usize) -> Vec<Vec<u8>> {
        let mut text = Text::default();
        for (number, stanza) in stanzas.iter().enumerate() {
            if number == tail {
                text.end_lowest();
            }
            text.push([stanza.as_bytes()]);
        }
        let pieces = Pieces::of(&text).0.into_iter();
        pieces.map(|(piece, _)| piece.slices.concat()).collect()
    }

    fn changed(before: &[Vec<u8>], after: &[Vec<u8>]) -> usize {
        after.iter().filter(|piece| !before.contains(piece)).count()
    }

    #[test]
    fn an_inserted_stanza_changes_few_pieces() {
        let stanzas = stanzas(30_000);
        for (tail, least) in [(stanzas.len(), 7), (0, 100)] {
            let before = cut(&stanzas, tail);
            let mut more = stanzas.clone();
            more.insert(9000, "Package: new\n\n".into());
            let after = cut(&more, tail);
            assert!(before.len() >= least, "{}", before.len());
            assert_eq!(before.concat(), stanzas.concat().into_bytes());
            // A piece that has its greatest length ends elsewhere, and the next ones with it, up to one that a stanza ends.
            assert!(changed(&before, &after) <= 3);
        }
    }

    #[test]
    fn no_piece_is_in_head_and_tail_and_those_of_the_tail_are_short() {
        let stanzas = stanzas(4_000);
        let before = cut(&stanzas, 3_000);
        let ends = before.iter().scan(0, |end, piece| {
            *end += piece.len();
            Some(*end)
        });
        let ends: Vec<usize> = ends.collect();
        let head: usize = stanzas[..3_000].iter().map(String::len).sum();
        let at = ends.iter().position(|end| *end == head).unwrap();
        assert!(
            before[at + 1..]
                .iter()
                .all(|piece| piece.len() <= 256 << 10)
        );
        assert!(before[at + 1..].len() >= 4);
        // A change of the tail leaves the head as it is.
        let mut other = stanzas.clone();
        other[3_100] = "Package: p3100\n\n".into();
        let after = cut(&other, 3_000);
        assert_eq!(before[..=at], after[..=at]);
        assert_eq!(changed(&before, &after), 1);
    }

    #[test]
    fn a_stanza_that_is_longer_than_a_piece_is_one() {
        let mut stanzas = stanzas(3);
        stanzas[1] = format!("Package: p\nDescription: {}\n\n", "x".repeat(300 << 10));
        let texts: Vec<_> = stanzas.iter().map(|s| s.as_bytes().to_vec()).collect();
        assert_eq!(cut(&stanzas, 0), texts);
    }
}
