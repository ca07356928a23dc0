//! An index of an archive that is being merged, and its present line: which of the line's owners are published.

use std::collections::BTreeSet;
use std::fs::File;

use crate::error::Result;

use super::super::input::SuiteMerge;
use super::super::selection::Selected;
use super::lines::{Lines, Next};
use super::owners::{MAX_OWNERS_BYTES, Owners};
use super::sources::Source;

/// An index that is being read, and its present line.
pub(super) struct Head<'a> {
    /// The position of the index among the sources of the published index.
    pub(super) number: usize,
    /// The result of going on to the present line.
    pub(super) next: Next,
    source: &'a Source,
    lines: Lines<'a>,
    /// The last owner that was looked up, and whether it was published.
    last_owner: (Vec<u8>, bool),
    /// The owners of the last line, and whether a line can be published with just these: most lines have the owners of the line before.
    last_owners: (Vec<u8>, bool),
}

/// Opens the sources of a published index, each at its first line. Those that are `unsorted` are sorted.
pub(super) fn open<'a>(
    merge: &'a SuiteMerge<'_>,
    sources: &'a [Source],
    unsorted: &BTreeSet<usize>,
    scratch: &dyn Fn() -> Result<File>,
) -> Result<Vec<Head<'a>>> {
    let mut heads = Vec::new();
    for (number, source) in sources.iter().enumerate() {
        let Some(input) = merge.input(source.rank) else {
            continue;
        };
        let label = input.describe(&source.index);
        let opened = input.open(&source.index)?;
        let mut head = Head {
            number,
            next: Next::End,
            source,
            lines: match unsorted.contains(&number) {
                true => Lines::sorted(opened, label, scratch)?,
                false => Lines::in_order(opened, label)?,
            },
            last_owner: (Vec::new(), false),
            last_owners: (Vec::new(), false),
        };
        head.advance()?;
        heads.push(head);
    }
    Ok(heads)
}

impl Head<'_> {
    /// Goes on to the next line.
    pub(super) fn advance(&mut self) -> Result<()> {
        self.next = self.lines.advance()?;
        Ok(())
    }

    /// Returns the path of the present line; `None` at the end.
    pub(super) fn path(&self) -> Option<&[u8]> {
        let line = self.lines.line().filter(|_| self.next == Next::Line);
        line.map(|line| line.path())
    }

    /// Returns whether the present line comes before a path; `None` stands for the end of all paths.
    pub(super) fn is_before(&self, path: Option<&[u8]>) -> bool {
        let own = self.path();
        own.is_some_and(|own| path.is_none_or(|path| own < path))
    }

    /// Returns the present line with its end, if the line can be published as it is: the next line has another path, and all owners are
    /// published, sorted, and each there once.
    pub(super) fn whole_line(&mut self, selected: &Selected<'_>, group: &str) -> Option<&[u8]> {
        let line = self.lines.line().filter(|_| !self.lines.repeats())?;
        let owners = line.owners();
        if owners != self.last_owners.0 {
            let mut each = owners.split(|b| *b == b',');
            self.last_owners.1 = owners.len() <= MAX_OWNERS_BYTES / 2
                && each.clone().is_sorted_by(|a, b| a < b)
                && each
                    .all(|o| is_published(self.source, selected, group, o, &mut self.last_owner));
            self.last_owners.0.clear();
            self.last_owners.0.extend_from_slice(owners);
        }
        line.as_published().filter(|_| self.last_owners.1)
    }

    /// Appends the owners of the line that the line's archive published, in the component that is asked for.
    pub(super) fn published_owners(
        &mut self,
        selected: &Selected<'_>,
        group: &str,
        owners: &mut Owners,
    ) {
        let Some(line) = self.lines.line() else {
            return;
        };
        for owner in line.owners().split(|b| *b == b',') {
            if is_published(self.source, selected, group, owner, &mut self.last_owner) {
                owners.push(owner);
            }
        }
    }

    /// Returns the faults of the index.
    pub(super) fn faults(self) -> Vec<String> {
        self.lines.faults()
    }
}

/// Returns whether an archive published the package of an owner, in the component that is asked for. `last` holds the owner that was looked
/// up last, and the answer.
fn is_published(
    source: &Source,
    selected: &Selected<'_>,
    group: &str,
    owner: &[u8],
    last: &mut (Vec<u8>, bool),
) -> bool {
    if owner != last.0 {
        let name = owner.rsplit(|b| *b == b'/').next().unwrap_or_default();
        last.1 = owner.iter().all(u8::is_ascii_graphic)
            && match source.only_component {
                Some(component) => selected.has_in(group, name, source.rank, component),
                None => selected.has(group, name, source.rank),
            };
        last.0.clear();
        last.0.extend_from_slice(owner);
    }
    last.1
}
