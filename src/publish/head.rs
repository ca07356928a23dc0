//! The head of an index, as the writer keeps it: the state of the hashers after its text, and the names of its pieces.
//!
//! The merge keeps these bytes from one generation of a suite to the next, and gives exactly them back: the record of the suite in the state
//! has their checksum. So the digest of an index whose head is kept goes on from where the digest of the same text was, and nobody who writes
//! into the cache can put another text in its place. The check before the swap reads the files that are made in this way like all others.

use crate::cache::EntryName;
use crate::hashing::Hasher;
use crate::merge::Text;

use super::release::FileDigest;

/// The head of an index.
#[derive(Debug, Clone)]
pub(super) struct IndexHead {
    /// The hashers, after the text of the head.
    pub(super) hasher: Hasher,
    pub(super) lines: u64,
    /// The names of the pieces of the head.
    pub(super) pieces: Vec<EntryName>,
}

impl IndexHead {
    /// Returns the head of an index, hashed by `hasher`.
    pub(super) fn of(text: &Text<'_>, mut hasher: Hasher, pieces: Vec<EntryName>) -> Self {
        let mut lines = 0;
        for slice in text.iter().flatten() {
            hasher.update(slice);
            lines += memchr::memchr_iter(b'\n', slice).count() as u64;
        }
        Self {
            hasher,
            lines,
            pieces,
        }
    }

    /// Returns the digest of the head's text.
    pub(super) fn digest(&self) -> FileDigest {
        self.hasher.clone().finish().into()
    }

    /// Returns the digest of the head and a tail.
    pub(super) fn digest_with(&self, tail: &Text<'_>) -> FileDigest {
        let mut hasher = self.hasher.clone();
        tail.iter().flatten().for_each(|slice| hasher.update(slice));
        hasher.finish().into()
    }

    /// Returns the head in the form that is kept.
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut kept = self.lines.to_le_bytes().to_vec();
        kept.extend_from_slice(&(self.pieces.len() as u64).to_le_bytes());
        kept.extend(self.pieces.iter().flatten());
        kept.extend(self.hasher.export());
        kept
    }

    /// Returns the head from the form that is kept; `None` if the bytes are something else.
    pub(super) fn decode(kept: &[u8]) -> Option<Self> {
        let (lines, rest) = kept.split_first_chunk()?;
        let (number, mut rest) = rest.split_first_chunk()?;
        let mut pieces = Vec::new();
        for _ in 0..u64::from_le_bytes(*number) {
            let (piece, after) = rest.split_first_chunk()?;
            pieces.push(*piece);
            rest = after;
        }
        Some(Self {
            hasher: Hasher::import(rest)?,
            lines: u64::from_le_bytes(*lines),
            pieces,
        })
    }
}
