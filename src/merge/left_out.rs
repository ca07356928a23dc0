//! The warnings about stanzas that are left out by themselves: the first few of each index or group by name, and how many more there are.
//!
//! A stanza that a filter of its archive leaves out is no matter for a warning, nor is one whose name belongs to another archive.

use serde::{Deserialize, Serialize};

use crate::quoted::quoted;

use super::entry::{Entry, Skipped};
use super::faults::{Faults, Told};
use super::input::SuiteMerge;
use super::load::Loaded;
use super::rules::{Outcome, Rules, lossy};

/// Warnings about indices, each with the rank of its archive.
pub(super) type Ranked = Vec<(u16, String)>;

/// Returns the warnings about the stanzas of an index that are of no package.
pub(super) fn skipped(loaded: &Loaded, skipped: &[Skipped<'_>], rules: &Rules<'_>) -> Vec<String> {
    let mut faults = Faults::new(loaded.label(), loaded.data(), "stanza");
    for Skipped { entry, flaw } in skipped {
        if rules.exclusion(entry).is_some() {
            continue;
        }
        faults.left_out_as(flaw.offset, || {
            let name = entry.name.to_string();
            match name.is_empty() {
                true => flaw.why.to_string(),
                false => format!("`{}`: {}", quoted(&name), flaw.why),
            }
        });
    }
    faults.finish()
}

/// The packages, or sources, of a group that win their names and cannot be published.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(super) struct LeftOut {
    flawed: Told,
    twice: Told,
}

impl LeftOut {
    /// Adds the packages of the rest of the group.
    pub(super) fn add(&mut self, rest: LeftOut) {
        self.flawed.add(rest.flawed);
        self.twice.add(rest.twice);
    }

    /// Returns the warnings about a group.
    pub(super) fn finish(self, group: &str) -> Vec<String> {
        let mut words = self.flawed.finish(|more| {
            format!("{more} further packages of {group} that cannot be published are left out")
        });
        words.extend(self.twice.finish(|more| {
            format!("{more} further packages of {group} are there twice, with different files")
        }));
        words
    }
}

/// Looks for the packages, or sources, of a group that win their names and cannot be published.
pub(super) fn flawed(merge: &SuiteMerge<'_>, outcome: &Outcome<'_>, group: &str) -> LeftOut {
    let called = |entry: &Entry<'_>| {
        format!(
            "`{}` {} of {} ({group})",
            quoted(&entry.name.to_string()),
            quoted(&lossy(entry.version)),
            merge.archive(entry.rank)
        )
    };
    let mut flawed = Told::default();
    for entry in &outcome.flawed {
        flawed.tell(|| {
            let (why, since) = match entry.flaw() {
                Some(flaw) if flaw.stops_apt => {
                    (flaw.why, ", since no client could read any package with it")
                }
                Some(flaw) => (flaw.why, ""),
                None => (Default::default(), ""),
            };
            format!("{} is left out{since}: {why}", called(entry))
        });
    }
    let mut twice = Told::default();
    for (first, second) in &outcome.twice {
        twice.tell(|| {
            let path = |entry: &Entry<'_>| quoted(&lossy(entry.path()));
            format!(
                "{} is there twice, with different files: `{}` is taken, `{}` is left out",
                called(first),
                path(first),
                path(second)
            )
        });
    }
    LeftOut { flawed, twice }
}
