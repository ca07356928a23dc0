//! The outcome of a run: what `run --json` prints, and what stays on record. So the names here are a promise to users.
//!
//! Records of format 0 had pairs and `archive suite` in place of objects; they are still read.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Deserializer, Serialize};

use crate::difference::Difference;
use crate::fetch::Spool;
use crate::publish::{Checked, Foreseen, Refused, Repaired};
use crate::workspace::{Generation, GivenUp, Record, split_input};

use super::keys::{KeyNotice, KeyState};

/// The outcome of a run.
#[derive(Debug, Default, Clone, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Outcome {
    /// The generation that is served now.
    pub generation: u64,
    /// The suites that changed; none if nothing was published.
    pub changed: Vec<String>,
    /// The changes in these suites, package by package.
    #[serde(default)]
    pub difference: BTreeMap<String, Difference>,
    /// Suites that are no longer published.
    pub removed: Vec<String>,
    /// `true` if aliases or links to pools changed.
    #[serde(default)]
    pub links_changed: bool,
    /// `true` if the run finished something that an earlier run had begun.
    pub recovered: bool,
    /// The archives' suites of which the last good copy was kept.
    pub kept: Vec<KeptCopy>,
    /// The merged suites that stayed as they were published, since a guard refused them or since they cannot be made.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub refused: Vec<RefusedSuite>,
    /// The damage to production that was mended before anything was planned, by place.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub repaired: Vec<Repaired>,
    /// The files under by-hash that were removed before their time, by suite.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub given_up: BTreeMap<String, GivenUp>,
    /// The archives' suites that have files of no family of indices; `log/unclaimed.txt` names the files.
    #[serde(
        default,
        skip_serializing_if = "Vec::is_empty",
        deserialize_with = "unclaimed"
    )]
    pub unclaimed: Vec<UnclaimedFiles>,
    /// Keys that have lapsed, or soon will.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub keys: Vec<KeyNotice>,
    /// Pushes that failed: the next run tries again.
    pub failed_pushes: Vec<String>,
}

impl Outcome {
    /// Returns the outcome of a run that publishes nothing.
    pub(super) fn unchanged(spool: &Spool, served: &Generation) -> Outcome {
        let Fetched {
            kept, unclaimed, ..
        } = Fetched::new(spool);
        Outcome {
            generation: served.number,
            kept,
            unclaimed,
            ..Outcome::default()
        }
    }

    /// Returns the outcome of a run that publishes nothing, while some suites wait for an archive.
    pub(super) fn waiting(spool: &Spool, waiting: &[Refused], served: &Generation) -> Outcome {
        Outcome {
            refused: RefusedSuite::all(waiting),
            ..Outcome::unchanged(spool, served)
        }
    }

    /// Returns the outcome that a run would have.
    pub(super) fn foreseen(spool: &Spool, foreseen: Foreseen, served: &Generation) -> Outcome {
        Outcome {
            generation: foreseen.number,
            changed: foreseen.differences.keys().cloned().collect(),
            difference: foreseen.differences,
            removed: foreseen.removed,
            links_changed: foreseen.links_changed,
            refused: RefusedSuite::all(&foreseen.refused),
            ..Outcome::unchanged(spool, served)
        }
    }

    /// Returns the outcome of a run that publishes what was merged and checked; `served` is what is served before.
    pub(super) fn merged(spool: &Spool, checked: &Checked, served: &Generation) -> Outcome {
        Outcome {
            generation: checked.number(),
            changed: checked.changed().iter().map(ToString::to_string).collect(),
            difference: checked.differences(),
            removed: checked.removed().to_vec(),
            links_changed: checked.links_changed(),
            refused: RefusedSuite::all(checked.refused()),
            given_up: checked.given_up(),
            ..Outcome::unchanged(spool, served)
        }
    }

    /// Returns whether a key of ours does not sign, though it should.
    pub fn has_lapsed_key(&self) -> bool {
        self.keys.iter().any(|key| key.state == KeyState::Lapsed)
    }

    /// Returns whether something new was published.
    pub fn has_published(&self) -> bool {
        !self.changed.is_empty() || !self.removed.is_empty() || self.links_changed
    }
}

/// The outcome of a fetch by itself.
#[derive(Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Fetched {
    /// The copies that there are.
    pub archives: Vec<FetchedSuite>,
    /// The archives' suites of which the last good copy was kept.
    pub kept: Vec<KeptCopy>,
    /// The archives' suites that have files of no family of indices.
    pub unclaimed: Vec<UnclaimedFiles>,
}

/// The copy of an archive's suite.
#[derive(Debug, Serialize)]
pub struct FetchedSuite {
    /// The archive.
    pub archive: String,
    /// Its suite.
    pub suite: String,
    /// The Date of its Release.
    pub date: String,
}

impl Fetched {
    /// Returns what is in the spool.
    pub fn new(spool: &Spool) -> Fetched {
        let archives = spool
            .iter()
            .map(|((archive, suite), spooled)| FetchedSuite {
                archive: archive.to_string(),
                suite: suite.to_string(),
                date: spooled.date().to_string(),
            });
        let kept = spool.kept().map(|((archive, suite), why)| KeptCopy {
            archive: archive.to_string(),
            suite: suite.to_string(),
            why: crate::error::chain(why),
        });
        let unclaimed = spool.iter().map(|((archive, suite), s)| UnclaimedFiles {
            archive: archive.to_string(),
            suite: suite.to_string(),
            files: s.copy.unclaimed.len(),
        });
        Fetched {
            archives: archives.collect(),
            kept: kept.collect(),
            unclaimed: unclaimed.filter(|unclaimed| unclaimed.files > 0).collect(),
        }
    }
}

/// An archive's suite of which the last good copy was kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "AnyKeptCopy")]
pub struct KeptCopy {
    /// The archive.
    pub archive: String,
    /// Its suite.
    pub suite: String,
    /// The reason.
    pub why: String,
}

/// A merged suite that stayed as it was published, or that is not published yet.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RefusedSuite {
    /// The suite.
    pub suite: String,
    /// The reason.
    pub why: String,
}

impl RefusedSuite {
    fn all(refused: &[Refused]) -> Vec<RefusedSuite> {
        let named = refused.iter().map(|refused| RefusedSuite {
            suite: refused.suite.to_string(),
            why: refused.in_words(),
        });
        named.collect()
    }
}

/// An archive's suite whose Release lists files that belong to no family of indices.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UnclaimedFiles {
    /// The archive.
    pub archive: String,
    /// Its suite.
    pub suite: String,
    /// The number of these files.
    pub files: usize,
}

/// The record of a run.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct RunRecord {
    /// The time when the run ended.
    pub ended: String,
    /// The outcome of the run.
    pub outcome: Outcome,
}

impl RunRecord {
    pub(super) fn new(outcome: &Outcome, ended: Timestamp) -> RunRecord {
        RunRecord {
            ended: ended.to_string(),
            outcome: outcome.clone(),
        }
    }
}

impl Record for RunRecord {
    const FORMAT: u64 = 1;
}

/// A kept copy as any format has it.
#[derive(Deserialize)]
#[serde(untagged)]
enum AnyKeptCopy {
    Named {
        archive: String,
        suite: String,
        why: String,
    },
    Pair(String, String),
}

impl From<AnyKeptCopy> for KeptCopy {
    fn from(kept: AnyKeptCopy) -> Self {
        let (archive, suite, why) = match kept {
            AnyKeptCopy::Named {
                archive,
                suite,
                why,
            } => (archive, suite, why),
            AnyKeptCopy::Pair(input, why) => {
                let (archive, suite) = split_input(&input);
                (archive, suite, why)
            }
        };
        Self {
            archive,
            suite,
            why,
        }
    }
}

/// Reads [`Outcome::unclaimed`] of any format.
fn unclaimed<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<UnclaimedFiles>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Any {
        Named(Vec<UnclaimedFiles>),
        Map(BTreeMap<String, usize>),
    }
    Ok(match Any::deserialize(from)? {
        Any::Named(named) => named,
        Any::Map(map) => {
            let files = map.into_iter().map(|(input, files)| {
                let (archive, suite) = split_input(&input);
                UnclaimedFiles {
                    archive,
                    suite,
                    files,
                }
            });
            files.collect()
        }
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use serde_json::json;

    use super::*;

    #[test]
    fn a_record_of_format_0_is_read() {
        let text = r#"{
          "ended": "2026-01-02T00:00:00Z",
          "outcome": {
            "generation": 7,
            "changed": ["daedalus"],
            "difference": {
              "daedalus": {"is-new": true, "changes": [], "omitted": 0, "indices": []}
            },
            "removed": [],
            "links-changed": false,
            "recovered": false,
            "kept": [["main bookworm", "no route to host"]],
            "refused": [["beowulf", "it would shrink"]],
            "unclaimed": {"overlay daedalus": 3},
            "failed-pushes": ["push to `near` failed"]
          }
        }"#;
        let record: RunRecord = serde_json::from_str(text).unwrap();
        let now = serde_json::to_value(&record.outcome).unwrap();
        assert_eq!(
            now["kept"],
            json!([{"archive": "main", "suite": "bookworm", "why": "no route to host"}])
        );
        assert_eq!(
            now["refused"],
            json!([{"suite": "beowulf", "why": "it would shrink"}])
        );
        assert_eq!(
            now["unclaimed"],
            json!([{"archive": "overlay", "suite": "daedalus", "files": 3}])
        );
        let again: Outcome = serde_json::from_value(now.clone()).unwrap();
        assert_eq!(serde_json::to_value(&again).unwrap(), now);
    }
}
