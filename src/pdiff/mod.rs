//! Patches between two states of an index, which spare a client from fetching the whole of it ("pdiff").
//!
//! A patch is a sequence of hunks, each of which removes some lines of the old file and inserts others. It is published as an ed script
//! ([`ed`]) beside a list that says which patch leads from which old file to the present one ([`index`]). Two patches in a row
//! are combined into one without either file ([`Patch::then`]), so that every patch of the list leads to the present file.

pub(crate) mod ed;
pub(crate) mod index;

/// Some lines of the old file, and the lines that replace them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Hunk {
    /// The number of lines of the old file before the hunk.
    pub start: u64,
    /// The number of lines of the old file that are removed.
    pub removed: u64,
    /// The inserted lines: whole lines, each with its newline.
    pub lines: Vec<u8>,
}

/// The difference from one file to another: hunks in the order of their lines, with kept lines between them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Patch {
    hunks: Vec<Hunk>,
}

impl Patch {
    /// Returns the hunks.
    pub(crate) fn hunks(&self) -> &[Hunk] {
        &self.hunks
    }

    /// Combines this patch and the one to be applied after it into a single one.
    pub(crate) fn then(&self, second: &Patch) -> Patch {
        let mut first = Steps::new(self);
        let mut both = PatchBuilder::default();
        let mut position = 0;
        for hunk in &second.hunks {
            first.pass(hunk.start - position, &mut both, true);
            first.pass(hunk.removed, &mut both, false);
            both.insert(&hunk.lines);
            position = hunk.start + hunk.removed;
        }
        first.pass(u64::MAX, &mut both, true);
        both.finish()
    }
}

/// A builder of a patch, from the first line to the last.
#[derive(Debug, Default)]
pub(crate) struct PatchBuilder {
    hunks: Vec<Hunk>,
    /// The number of lines of the old file that were kept or removed.
    position: u64,
    /// `true` if the last hunk may grow: nothing was kept since.
    open: bool,
    bytes: usize,
}

impl PatchBuilder {
    /// Keeps lines of the old file.
    pub(crate) fn keep(&mut self, lines: u64) {
        if lines > 0 {
            self.position = self.position.saturating_add(lines);
            self.open = false;
        }
    }

    /// Leaves out lines of the old file.
    pub(crate) fn remove(&mut self, lines: u64) {
        if lines > 0 {
            self.hunk().removed += lines;
            self.position += lines;
        }
    }

    /// Inserts whole lines.
    pub(crate) fn insert(&mut self, lines: &[u8]) {
        if !lines.is_empty() {
            self.bytes += lines.len();
            self.hunk().lines.extend_from_slice(lines);
        }
    }

    fn hunk(&mut self) -> &mut Hunk {
        if !self.open {
            self.open = true;
            self.hunks.push(Hunk {
                start: self.position,
                ..Hunk::default()
            });
        }
        let last = self.hunks.len() - 1;
        &mut self.hunks[last]
    }

    /// Returns roughly how many bytes the patch has so far.
    pub(crate) fn size(&self) -> usize {
        self.bytes + 16 * self.hunks.len()
    }

    /// Returns the patch.
    pub(crate) fn finish(self) -> Patch {
        Patch { hunks: self.hunks }
    }
}

/// The file that a first patch makes, line by line: kept lines of its old file, and inserted ones.
struct Steps<'a> {
    hunks: std::slice::Iter<'a, Hunk>,
    /// The number of kept lines before the next hunk; the inserted lines come before them.
    kept: u64,
    inserted: &'a [u8],
    next: Option<&'a Hunk>,
    position: u64,
}

impl<'a> Steps<'a> {
    fn new(patch: &'a Patch) -> Self {
        let mut steps = Self {
            hunks: patch.hunks.iter(),
            kept: 0,
            inserted: &[],
            next: None,
            position: 0,
        };
        steps.advance();
        steps
    }

    /// Goes on to the kept lines before the next hunk; after the last hunk all lines are kept.
    fn advance(&mut self) {
        self.next = self.hunks.next();
        self.kept = self
            .next
            .map_or(u64::MAX, |hunk| hunk.start - self.position);
    }

    /// Passes on the given number of lines of the file, or drops them; `u64::MAX` stands for all that are left.
    fn pass(&mut self, mut lines: u64, both: &mut PatchBuilder, keep: bool) {
        while lines > 0 {
            if !self.inserted.is_empty() {
                let (some, count, rest) = take_lines(self.inserted, lines);
                if keep {
                    both.insert(some);
                }
                lines -= count;
                self.inserted = rest;
                continue;
            }
            let some = self.kept.min(lines);
            match keep {
                true if self.next.is_some() || lines != u64::MAX => both.keep(some),
                true => return,
                false => both.remove(some),
            }
            lines -= some;
            self.kept -= some;
            // Lines that the first patch removes stand before those that it inserts, whether the second patch keeps or removes those.
            if self.kept == 0
                && let Some(hunk) = self.next
            {
                both.remove(hunk.removed);
                self.position = hunk.start + hunk.removed;
                self.inserted = &hunk.lines;
                self.advance();
            }
        }
    }
}

/// Returns the first lines of a text, their number, and the rest.
fn take_lines(text: &[u8], lines: u64) -> (&[u8], u64, &[u8]) {
    let mut count = 0;
    for end in memchr::memchr_iter(b'\n', text) {
        count += 1;
        if count == lines {
            return (&text[..=end], count, &text[end + 1..]);
        }
    }
    (text, count.max(1), &[])
}

#[cfg(test)]
pub(crate) mod tests {
    #![allow(clippy::unwrap_used)]

    use proptest::prelude::*;

    use super::*;

    /// Applies a patch by its definition.
    pub(crate) fn apply(patch: &Patch, old: &[u8]) -> Vec<u8> {
        let lines: Vec<_> = old.split_inclusive(|b| *b == b'\n').collect();
        let mut new = Vec::new();
        let mut position = 0;
        for hunk in &patch.hunks {
            new.extend(lines[position..hunk.start as usize].concat());
            new.extend(&hunk.lines);
            position = (hunk.start + hunk.removed) as usize;
        }
        new.extend(lines[position..].concat());
        new
    }

    /// Makes a patch for a file with the given number of lines, from any choice of steps.
    pub(crate) fn patch(steps: &[(u8, u8, u8)], lines: u64) -> Patch {
        let mut builder = PatchBuilder::default();
        let mut left = lines;
        for (keep, remove, insert) in steps {
            let keep = u64::from(*keep).min(left);
            let remove = u64::from(*remove).min(left - keep);
            builder.keep(keep);
            builder.remove(remove);
            for n in 0..*insert {
                builder.insert(format!("new {keep} {n}\n").as_bytes());
            }
            left -= keep + remove;
        }
        builder.finish()
    }

    pub(crate) fn lines(text: &[u8]) -> u64 {
        memchr::memchr_iter(b'\n', text).count() as u64
    }

    pub(crate) fn steps() -> impl Strategy<Value = Vec<(u8, u8, u8)>> {
        proptest::collection::vec((0..4u8, 0..3u8, 0..3u8), 0..8)
    }

    proptest! {
        #[test]
        fn two_patches_in_one_make_what_they_make_in_turn(count in 0..20usize, one in steps(), two in steps(), three in steps()) {
            let old: Vec<u8> = (0..count).flat_map(|n| format!("old {n}\n").into_bytes()).collect();
            let first = patch(&one, lines(&old));
            let middle = apply(&first, &old);
            let second = patch(&two, lines(&middle));
            let new = apply(&second, &middle);
            prop_assert_eq!(apply(&first.then(&second), &old), new.clone());
            let third = patch(&three, lines(&new));
            prop_assert_eq!(apply(&first.then(&second).then(&third), &old), apply(&third, &new));
        }

        #[test]
        fn an_ed_script_is_read_back_as_it_was(count in 0..20u64, steps in steps()) {
            let patch = patch(&steps, count);
            let script = ed::write(&patch).unwrap();
            prop_assert_eq!(ed::parse(&script).unwrap(), patch);
        }
    }
}
