//! The patch from one list of lines to another, both sorted by the part before the last blank. It is made while the new list is
//! written, so neither list needs to be in memory.

use std::io::{self, BufRead, BufReader, Read, Write};

use crate::hashing::HashingReader;
use crate::merge::split_contents_line;
use crate::pdiff::index::Hashed;
use crate::pdiff::{Patch, PatchBuilder};

/// The size above which a patch is given up: a client would rather fetch the index.
const MAX_PATCH_BYTES: usize = 16 << 20;

type Old = BufReader<HashingReader<Box<dyn Read + Send>>>;

/// A writer that takes the new lines and compares them with the old ones.
pub(super) struct LinePatch {
    /// The old file; `None` once the patch is given up.
    old: Option<Old>,
    /// The next line of the old file; empty at its end.
    line: Vec<u8>,
    /// The beginning of a line whose end is not written yet.
    part: Vec<u8>,
    patch: PatchBuilder,
}

impl LinePatch {
    /// Begins a patch from an old file.
    pub(super) fn new(old: Box<dyn Read + Send>) -> Self {
        let mut patch = Self {
            old: Some(BufReader::with_capacity(256 << 10, HashingReader::new(old))),
            line: Vec::new(),
            part: Vec::new(),
            patch: PatchBuilder::default(),
        };
        patch.advance();
        patch
    }

    fn advance(&mut self) {
        self.line.clear();
        if let Some(old) = &mut self.old
            && old.read_until(b'\n', &mut self.line).is_err()
        {
            self.old = None;
        }
    }

    fn take(&mut self, new: &[u8]) {
        while self.old.is_some() {
            if self.line == new {
                self.patch.keep(1);
                return self.advance();
            }
            let order = match self.line.is_empty() {
                true => std::cmp::Ordering::Greater,
                false => key(&self.line).cmp(key(new)),
            };
            if order.is_le() {
                self.patch.remove(1);
                self.advance();
            }
            if order.is_ge() {
                self.patch.insert(new);
                break;
            }
        }
        if self.patch.size() > MAX_PATCH_BYTES {
            self.old = None;
        }
    }

    /// Returns the patch, if the whole old file was what it should be.
    pub(super) fn finish(mut self, old: Hashed) -> Option<Patch> {
        if !self.part.is_empty() {
            return None; // an ed script cannot make a last line without a newline
        }
        while self.old.is_some() && !self.line.is_empty() {
            self.patch.remove(1);
            self.advance();
        }
        let (_, read) = self.old?.into_inner().finish();
        let is_old = (read.sha256, read.length) == (old.sha256, old.size);
        is_old.then(|| self.patch.finish())
    }
}

impl Write for LinePatch {
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        let mut rest = data;
        while let Some(end) = memchr::memchr(b'\n', rest) {
            let (line, after) = rest.split_at(end + 1);
            if self.part.is_empty() {
                self.take(line);
            } else {
                self.part.extend_from_slice(line);
                let line = std::mem::take(&mut self.part);
                self.take(&line);
            }
            rest = after;
        }
        self.part.extend_from_slice(rest);
        Ok(data.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Returns the part of a line that lines are sorted by.
fn key(line: &[u8]) -> &[u8] {
    split_contents_line(line).map_or(line.trim_ascii_end(), |(path, _)| path)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use proptest::prelude::*;

    use super::*;
    use crate::pdiff::tests::apply;

    fn text(lines: &std::collections::BTreeMap<u8, u8>) -> Vec<u8> {
        lines
            .iter()
            .flat_map(|(path, owner)| format!("p{path:03}  o/{owner}\n").into_bytes())
            .collect()
    }

    proptest! {
        #[test]
        fn the_patch_makes_the_new_file(
            old in proptest::collection::btree_map(0..30u8, 0..3u8, 0..20),
            new in proptest::collection::btree_map(0..30u8, 0..3u8, 0..20),
            at in 0..100usize,
        ) {
            let (old, new) = (text(&old), text(&new));
            let mut lines = LinePatch::new(Box::new(io::Cursor::new(old.clone())));
            let at = at.min(new.len());
            lines.write_all(&new[..at]).unwrap();
            lines.write_all(&new[at..]).unwrap();
            let patch = lines.finish(Hashed::of(&old)).unwrap();
            prop_assert_eq!(apply(&patch, &old), new);
        }
    }

    #[test]
    fn a_damaged_old_file_gives_no_patch() {
        let mut lines = LinePatch::new(Box::new(&b"a b\n"[..]));
        lines.write_all(b"a c\n").unwrap();
        assert_eq!(lines.finish(Hashed::of(b"a x\n")), None);
    }
}
