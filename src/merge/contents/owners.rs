//! The owners of a path, as many as fit into one line.

use std::collections::BTreeSet;

/// The most bytes that the owners of one path may have; aptmerge itself could not read a longer line again.
pub(super) const MAX_OWNERS_BYTES: usize = 32 << 10;

/// The owners of a path, as many as fit into one line: an index can have the same path in each of its lines.
#[derive(Default)]
pub(super) struct Owners {
    text: Vec<u8>,
    ends: Vec<usize>,
    is_full: bool,
}

impl Owners {
    /// Forgets all owners.
    pub(super) fn clear(&mut self) {
        self.text.clear();
        self.ends.clear();
        self.is_full = false;
    }

    /// Adds an owner. The caller adds those of higher archives first.
    pub(super) fn push(&mut self, owner: &[u8]) {
        if owner.len() > MAX_OWNERS_BYTES / 2 {
            return; // no name is so long, and no section
        }
        if self.text.len() + owner.len() > MAX_OWNERS_BYTES && !self.is_full {
            self.keep_each_once();
            // With little room left, each further owner would repeat this work.
            self.is_full = self.text.len() > MAX_OWNERS_BYTES / 2;
        }
        if !self.is_full {
            self.text.extend_from_slice(owner);
            self.ends.push(self.text.len());
        }
    }

    /// Returns whether there are none.
    pub(super) fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// Returns whether there were more owners than a line has room for.
    pub(super) fn is_full(&self) -> bool {
        self.is_full
    }

    fn keep_each_once(&mut self) {
        let text = std::mem::take(&mut self.text);
        let ends = std::mem::take(&mut self.ends);
        let starts = std::iter::once(&0).chain(&ends);
        let owners: BTreeSet<_> = starts.zip(&ends).map(|(a, b)| &text[*a..*b]).collect();
        for owner in owners {
            self.text.extend_from_slice(owner);
            self.ends.push(self.text.len());
        }
    }

    /// Writes the owners sorted, each once, with commas between them.
    pub(super) fn write(&self, out: &mut Vec<u8>) {
        if self.ends.len() == 1 {
            out.extend_from_slice(&self.text);
            return;
        }
        let starts = std::iter::once(&0).chain(&self.ends);
        let owners = starts.zip(&self.ends).map(|(a, b)| &self.text[*a..*b]);
        let sorted: BTreeSet<_> = owners.collect();
        out.extend(sorted.into_iter().collect::<Vec<_>>().join(&b','));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn owners_of_one_path_fill_no_memory() {
        let mut owners = Owners::default();
        for _ in 0..100_000 {
            owners.push(b"admin/a");
            owners.push(b"admin/b");
        }
        assert!(!owners.is_full && owners.text.capacity() <= 2 * MAX_OWNERS_BYTES);
        let mut text = Vec::new();
        owners.write(&mut text);
        assert_eq!(text, b"admin/a,admin/b");
        for n in 0..100_000 {
            owners.push(format!("{n:06}/b").as_bytes());
        }
        assert!(owners.is_full && owners.text.len() <= MAX_OWNERS_BYTES);
    }
}
