//! The history: what the generations changed, by suite and archive, from the records of the runs that published them.
//!
//! Each generation has a record in a slot of `state/`, so the latest [`KEPT`] are known. The record is written before the generation is
//! served, and again when the run ends.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use serde::Serialize;

use crate::deb822::compare_versions;
use crate::difference::{Change, Difference, Origin, What};
use crate::error::{Result, chain};
use crate::suite_report::OlderFork;
use crate::workspace::{View, Workspace};

use super::outcome::{Outcome, RunRecord};

/// The number of generations that stay on record.
pub const KEPT: u64 = 100;

/// Returns the name of the record of a generation.
fn slot(generation: u64) -> String {
    format!("run-{:02}.json", generation % KEPT)
}

pub(super) fn write(workspace: &Workspace<'_>, record: &RunRecord) -> Result<()> {
    workspace.write_state(&slot(record.outcome.generation), record)
}

/// The latest generations.
#[derive(Debug, Serialize)]
pub struct History {
    /// The generations, the latest one last.
    pub generations: Vec<Past>,
    /// The records that cannot be read, and why.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub unknown: Vec<String>,
}

/// A generation, and what it changed.
#[derive(Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Past {
    /// The number of the generation.
    pub generation: u64,
    /// The time when the run ended that published it.
    pub time: String,
    /// The suites that it changed.
    pub suites: BTreeMap<String, PastSuite>,
    /// The suites that it no longer has.
    pub removed: Vec<String>,
    /// `true` if aliases or links to pools changed.
    pub links_changed: bool,
}

/// The changes of a suite.
#[derive(Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct PastSuite {
    /// `true` if the suite was not published before; then no changes are known.
    pub is_new: bool,
    /// The changes by archive.
    pub archives: BTreeMap<String, PastArchive>,
    /// The number of further changes.
    pub omitted: u64,
    /// The packages that hide a newer version since then.
    pub behind: Vec<OlderFork>,
}

/// The packages of an archive that changed in a suite, by name.
#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct PastArchive {
    /// Packages of a higher version than before.
    pub raised: Vec<PastPackage>,
    /// Packages of a lower version than before.
    pub lowered: Vec<PastPackage>,
    /// Packages that were not there before.
    pub added: Vec<PastPackage>,
    /// Packages that another archive had before.
    pub taken_over: Vec<PastPackage>,
    /// Packages that are no longer there.
    pub removed: Vec<PastPackage>,
    /// Packages that are no longer there because of a ban.
    pub banned: Vec<PastPackage>,
    /// Packages of the same version with other content, or in another component.
    pub changed: Vec<PastPackage>,
}

/// A package that changed.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct PastPackage {
    /// The name.
    pub package: String,
    /// The versions before.
    pub before: BTreeSet<String>,
    /// The versions since then.
    pub after: BTreeSet<String>,
    /// The index groups.
    pub groups: BTreeSet<String>,
}

impl History {
    /// Reads the generations that were published at a time or later. Without the lock, a record may be that of a generation to come:
    /// that is left out.
    pub fn read(view: &View, since: Option<Timestamp>) -> History {
        let served = view.published().number;
        let (mut generations, mut unknown) = (Vec::new(), Vec::new());
        for number in 0..KEPT {
            match view.read_state::<RunRecord>(&slot(number)) {
                Ok(None) => {}
                Ok(Some(record)) if record.outcome.generation > served => {}
                Ok(Some(record)) => {
                    let time = record.ended.parse::<Timestamp>().ok();
                    if since.is_none_or(|since| time.is_some_and(|time| time >= since)) {
                        generations.push((time, Past::new(record.ended, record.outcome)));
                    }
                }
                Err(error) => unknown.push(chain(&error)),
            }
        }
        // A site that lost its state began to count anew.
        generations.sort_by_key(|(time, past)| (*time, past.generation));
        History {
            generations: generations.into_iter().map(|(_, past)| past).collect(),
            unknown,
        }
    }
}

impl Past {
    fn new(time: String, outcome: Outcome) -> Past {
        let mut differences = outcome.difference;
        let suites = outcome.changed.into_iter().map(|suite| {
            let difference = differences.remove(&suite).unwrap_or_default();
            (suite, PastSuite::new(difference))
        });
        Past {
            generation: outcome.generation,
            time,
            suites: suites.collect(),
            removed: outcome.removed,
            links_changed: outcome.links_changed,
        }
    }
}

impl PastSuite {
    fn new(difference: Difference) -> PastSuite {
        let mut archives: BTreeMap<String, PastArchive> = BTreeMap::new();
        for change in difference.changes {
            let origins = match change.after.is_empty() {
                true => &change.before,
                false => &change.after,
            };
            let names: BTreeSet<_> = origins
                .iter()
                .map(|origin| origin.archive.clone())
                .collect();
            for name in names {
                archives.entry(name).or_default().add(&change);
            }
        }
        PastSuite {
            is_new: difference.is_new,
            archives,
            omitted: difference.omitted,
            behind: difference.behind,
        }
    }
}

impl PastArchive {
    fn add(&mut self, change: &Change) {
        let versions = |origins: &BTreeSet<Origin>| {
            let versions = origins.iter().map(|origin| origin.version.clone());
            versions.collect::<BTreeSet<_>>()
        };
        let package = PastPackage {
            package: change.package.clone(),
            before: versions(&change.before),
            after: versions(&change.after),
            groups: change.groups.clone(),
        };
        let kind = match change.what {
            What::Added => &mut self.added,
            What::Removed => &mut self.removed,
            What::Banned => &mut self.banned,
            What::TakenOver => &mut self.taken_over,
            What::Moved | What::Changed => {
                match newest(&package.after).cmp(&newest(&package.before)) {
                    std::cmp::Ordering::Greater => &mut self.raised,
                    std::cmp::Ordering::Less => &mut self.lowered,
                    std::cmp::Ordering::Equal => &mut self.changed,
                }
            }
        };
        kind.push(package);
    }
}

/// A version, in the order of dpkg.
#[derive(PartialEq, Eq)]
struct Version<'a>(&'a str);

impl Ord for Version<'_> {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        compare_versions(self.0.as_bytes(), other.0.as_bytes())
    }
}

impl PartialOrd for Version<'_> {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

fn newest(versions: &BTreeSet<String>) -> Option<Version<'_>> {
    versions.iter().map(|version| Version(version)).max()
}
