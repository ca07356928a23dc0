//! The patch from one list of lines to another, both sorted by the part before the last blank. It is made while the new list is
//! written, so neither list needs to be in memory.

use std::io::{self, BufRead, BufReader, Read, Write};

use crate::merge::split_contents_line;
use crate::pdiff::{Patch, PatchBuilder};

/// The size above which a patch is given up: a client would rather fetch the index.
const MAX_PATCH_BYTES: usize = 16 << 20;

/// The number of bytes that are compared at a time.
const STEP_BYTES: usize = 64;

type Old = BufReader<Box<dyn Read + Send>>;

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
            old: Some(BufReader::with_capacity(256 << 10, old)),
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

    /// Returns the patch, which nobody has tried on the old file yet.
    pub(super) fn finish(mut self) -> Option<Patch> {
        if !self.part.is_empty() {
            return None; // an ed script cannot make a last line without a newline
        }
        while self.old.is_some() && !self.line.is_empty() {
            self.patch.remove(1);
            self.advance();
        }
        self.old.is_some().then(|| self.patch.finish())
    }

    /// Passes over the lines at the beginning of `new` that stand in the old file as well, many at a time; returns the rest.
    fn skip_equal<'n>(&mut self, new: &'n [u8]) -> &'n [u8] {
        let line = Some(&self.line[..]).filter(|line| line.ends_with(b"\n"));
        let rest = line.and_then(|line| new.strip_prefix(line));
        let (Some(old), Some(rest)) = (&mut self.old, rest) else {
            return new;
        };
        let steps = old.buffer().chunks(STEP_BYTES).zip(rest.chunks(STEP_BYTES));
        let equal = steps.take_while(|(old, new)| old == new).count() * STEP_BYTES;
        let equal = &rest[..equal.min(rest.len())];
        let equal = memchr::memrchr(b'\n', equal).map_or(0, |end| end + 1);
        let lines = memchr::memchr_iter(b'\n', &rest[..equal]).count();
        self.patch.keep(1 + lines as u64);
        old.consume(equal);
        self.advance();
        &rest[equal..]
    }
}

impl Write for LinePatch {
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        let mut rest = data;
        loop {
            if self.part.is_empty() {
                rest = self.skip_equal(rest);
            }
            let Some(end) = memchr::memchr(b'\n', rest) else {
                break;
            };
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
            old in proptest::collection::btree_map(0..200u8, 0..2u8, 0..150),
            new in proptest::collection::btree_map(0..200u8, 0..2u8, 0..150),
            at in 0..1500usize,
        ) {
            let (old, new) = (text(&old), text(&new));
            let mut lines = LinePatch::new(Box::new(io::Cursor::new(old.clone())));
            let at = at.min(new.len());
            lines.write_all(&new[..at]).unwrap();
            lines.write_all(&new[at..]).unwrap();
            let patch = lines.finish().unwrap();
            prop_assert_eq!(apply(&patch, &old), new);
        }
    }

    #[test]
    fn a_last_line_without_its_end_is_replaced() {
        let mut lines = LinePatch::new(Box::new(&b"a o\na b/c"[..]));
        lines.write_all(b"a o\na b/c\n").unwrap();
        let hunks = |patch: &Patch| patch.hunks().iter().map(|h| (h.start, h.removed)).collect();
        let found: Vec<_> = lines.finish().as_ref().map(hunks).unwrap();
        assert_eq!(found, [(1, 1)]);
    }
}
