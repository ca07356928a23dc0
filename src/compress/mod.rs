//! Compressed forms of an index: one xz stream, one gzip member, both made of pieces that are compressed side by side.
//!
//! apt reads only the first of several xz streams, and some readers know gzip files of one member only. So a file is one
//! stream of many blocks ([`xz`]), or one member whose parts end in a full flush ([`gz`]). Pieces are cut where a stanza's
//! content says so, not at fixed lengths: an inserted package changes the piece that it falls into, and no other.

pub mod gz;
pub mod xz;

use crate::merge::Text;

/// A piece is at least so long, but for the last one.
const MIN_PIECE_BYTES: u64 = 4 << 20;

/// A piece is cut at the next stanza once it is so long.
const MAX_PIECE_BYTES: u64 = 12 << 20;

/// One stanza in so many ends a piece that is long enough.
const CUT_ONE_IN: u32 = 512;

/// A run of whole stanzas.
#[derive(Debug, Default)]
pub struct Piece<'a> {
    /// Its bytes, in slices.
    pub slices: Vec<&'a [u8]>,
    /// Their length.
    pub length: u64,
}

/// Cuts a text into pieces.
pub fn pieces<'a>(text: &Text<'a>) -> Vec<Piece<'a>> {
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

/// Whether a stanza ends a piece, by a hash of its first line: a package's name, which outlives its versions.
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
