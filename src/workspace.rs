//! The paths below the root, and the recorded state, which is read only under the lock.
//!
//! [`Workspace`] is the only value that lets anything be written. It is opened through a `&RunLock` and borrows it, so what
//! it read cannot have been read before the lock was taken, and cannot be used after the lock was let go:
//!
//! ```
//! # use aptmerge::{lock::{Holder, RunLock}, workspace::Workspace};
//! # fn demo(root: &std::path::Path, holder: &Holder) -> Result<(), Box<dyn std::error::Error>> {
//! let lock = RunLock::acquire(&root.join("lock"), holder, std::time::Duration::ZERO)?;
//! let workspace = Workspace::open(&lock, root)?;
//! assert!(workspace.published().suites.is_empty());
//! drop(lock);
//! # Ok(())
//! # }
//! ```
//!
//! The same with the state used after the lock was let go does not compile:
//!
//! ```compile_fail,E0505
//! # use aptmerge::{lock::{Holder, RunLock}, workspace::Workspace};
//! # fn demo(root: &std::path::Path, holder: &Holder) -> Result<(), Box<dyn std::error::Error>> {
//! let lock = RunLock::acquire(&root.join("lock"), holder, std::time::Duration::ZERO)?;
//! let workspace = Workspace::open(&lock, root)?;
//! drop(lock);
//! assert!(workspace.published().suites.is_empty());
//! # Ok(())
//! # }
//! ```
//!
//! Nor does opening it without a lock, or carrying it out of the lock's scope:
//!
//! ```compile_fail,E0061
//! # fn demo(root: &std::path::Path) {
//! let workspace = aptmerge::workspace::Workspace::open(root);
//! # }
//! ```
//!
//! ```compile_fail,E0597
//! # use aptmerge::{lock::{Holder, RunLock}, workspace::Workspace};
//! # fn demo(root: &std::path::Path, holder: &Holder) -> Result<(), Box<dyn std::error::Error>> {
//! let workspace;
//! {
//!     let lock = RunLock::acquire(&root.join("lock"), holder, std::time::Duration::ZERO)?;
//!     workspace = Workspace::open(&lock, root)?;
//! }
//! workspace.published();
//! # Ok(())
//! # }
//! ```
//!
//! A command without the lock gets a [`View`], which has no method that writes:
//!
//! ```compile_fail,E0599
//! # fn demo(view: &aptmerge::workspace::View) {
//! view.adopt_staged();
//! # }
//! ```
//!
//! `state/`, `spool/` and `cache/` are for the user that runs aptmerge alone: whoever may open the directory of the state may hold its
//! lock ([`crate::lock`]), nobody else may read the copies of an archive that wants a password, and nobody else writes there. The trees,
//! the link and `log/` are readable for all.
//!
//! The records, and when they are written: `state/published.json` is what production holds. Before the swap, the new generation is
//! written beside it as `state/staged.json`, durably; after the swap `staged.json` replaces `published.json` by rename. A run that finds
//! the link at volatile therefore knows that a `staged.json` describes what is being served, and one that finds the link at production
//! knows that a `staged.json` was never served. Where `staged.json` was lost or damaged meanwhile, there is no record of what is served,
//! and every suite is merged anew.
//!
//! Each record says in which format it is ([`Record`]): one that a newer aptmerge wrote is refused, an older one is read.

mod error;

use std::collections::{BTreeMap, BTreeSet};
use std::io::ErrorKind;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use nix::unistd::{Uid, User};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer, Serialize};

use crate::difference::Difference;
use crate::durable;
use crate::error::{Error, Result};

use crate::lock::{Claim, RunLock};
use crate::suite_report::SuiteReport;
pub use error::StateError;
pub(crate) use error::is_damaged;

pub use crate::durable::SymlinkedDirectory;
pub use crate::layout::{Layout, PRODUCTION, VOLATILE};

/// The name, below the state directory, of the record of the generation that is about to be swapped in.
const STAGED: &str = "staged.json";

/// A record that is kept in a file of JSON.
pub trait Record: Serialize + DeserializeOwned {
    /// The number of the format that is written; files without a number have format 0. It grows when a program that knows the
    /// format before could not read the record, or would misunderstand it.
    const FORMAT: u64;
}

/// One published state of the tree.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Generation {
    /// The number of the generation; 0 before the first.
    pub number: u64,
    /// The suites, by their path below `dists/`.
    pub suites: BTreeMap<String, SuiteRecord>,
    /// The symlinks: the aliases of suites, and the pools of local archives.
    pub links: BTreeMap<String, String>,
}

impl Record for Generation {
    const FORMAT: u64 = 1;
}

/// The record of one published suite, and of what it was made from.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct SuiteRecord {
    /// The generation that last changed the suite.
    pub generation: u64,
    /// A digest of everything that the suite's indices depend on: inputs, rules, and the version of the merge.
    pub content: String,
    /// A digest of everything else that the suite's Release depends on.
    pub release: String,
    /// The Date of the suite's Release, in seconds since 1970.
    pub date: i64,
    /// The Valid-Until of the suite's Release.
    pub valid_until: Option<i64>,
    /// The archives' suites that the suite was made from.
    #[serde(deserialize_with = "archives")]
    pub archives: Vec<InputRecord>,
    /// The report of the suite's merge; the guard against shrinking counts by it, and the text reports are written from it.
    pub report: SuiteReport,
    /// The changes that the generation which last changed the suite made to it.
    #[serde(default)]
    pub difference: Difference,
    /// The records of the indices that describe published packages, by the path of the plain form.
    #[serde(default)]
    pub derived: BTreeMap<String, DerivedRecord>,
    /// The SHA-256 of each list whose patches were all proven when they were made, by the path of the index's plain form.
    #[serde(default)]
    pub patches: BTreeMap<String, String>,
    /// Files under by-hash that no current Release names, with the data that decides when they may be removed.
    pub retained: BTreeMap<String, LastReferenced>,
}

/// The record of an archive's suite that a merged suite was made from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct InputRecord {
    /// The archive.
    pub archive: String,
    /// Its suite.
    pub suite: String,
    /// The Date of its Release, in seconds since 1970.
    pub date: i64,
}

/// The record of what an index that describes published packages was made from.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DerivedRecord {
    /// The digest of everything that the index depends on, in hex.
    pub key: String,
    /// The warnings that were given when the index was made.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub warnings: BTreeSet<String>,
}

/// The record of when a served Release last named a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct LastReferenced {
    /// The number of the suite's generations since.
    pub generations: u64,
    /// The time when the first Release without the file was published, in seconds since 1970.
    pub time: i64,
}

/// The recorded state, under the lock.
#[derive(Debug)]
pub struct Workspace<'lock> {
    layout: Layout,
    published: Generation,
    lock: &'lock RunLock,
    claim: Claim,
}

impl<'lock> Workspace<'lock> {
    /// Makes the directories that are missing, takes the second lock, and reads the recorded state.
    pub fn open(lock: &'lock RunLock, root: &Path) -> Result<Workspace<'lock>> {
        let layout = Layout::new(root);
        for dir in [layout.spool(), layout.cache(), layout.production()] {
            durable::check_real(&dir)?;
        }
        for dir in [layout.spool(), layout.cache(), layout.state()] {
            durable::create_private_dir(&dir)?;
        }
        durable::create_dir(&layout.log())?;
        let claim = lock.claim(&layout.state())?;
        let published = read_published(&layout)?;
        Ok(Workspace {
            layout,
            published,
            lock,
            claim,
        })
    }

    /// Returns the paths below the root.
    pub fn layout(&self) -> &Layout {
        &self.layout
    }

    /// Returns the lock that this state is read under.
    pub fn lock(&self) -> &'lock RunLock {
        self.lock
    }

    /// Returns the second lock; see [`crate::lock`].
    pub(crate) fn claim(&self) -> &Claim {
        &self.claim
    }

    /// Returns the generation that production holds.
    pub fn published(&self) -> &Generation {
        &self.published
    }

    /// Records the generation that is about to be swapped in.
    pub fn record_staged(&self, generation: &Generation) -> Result<()> {
        self.write_state(STAGED, generation)
    }

    /// Returns the generation that is recorded as staged, if there is one.
    pub fn staged(&self) -> Result<Option<Generation>> {
        self.read_state(STAGED)
    }

    /// Makes the staged record the published one: the swap has happened.
    pub fn adopt_staged(&mut self, generation: Generation) -> Result<()> {
        let staged = self.layout.state().join(STAGED);
        durable::rename(&staged, &published_path(&self.layout))?;
        self.published = generation;
        Ok(())
    }

    /// Records that production is about to hold a generation without a record: from now on, no suite counts as made from what the old
    /// record says. The parts that protect against going back stay, and `dates` are those of the suites that production will hold.
    pub fn distrust_published(&mut self, dates: &BTreeMap<String, i64>) -> Result<()> {
        let mut generation = self.published.clone();
        for (name, record) in &mut generation.suites {
            record.date = dates.get(name).copied().unwrap_or(record.date);
            record.content.clear();
            record.release.clear();
            record.derived.clear();
        }
        write_json(&published_path(&self.layout), &generation)?;
        self.published = generation;
        Ok(())
    }

    /// Removes the staged record: the swap never happened.
    pub fn forget_staged(&self) -> Result<()> {
        durable::remove_file(&self.layout.state().join(STAGED))
    }

    /// Writes a file of the state, durably and in one step.
    pub fn write_state<T: Record>(&self, name: &str, value: &T) -> Result<()> {
        write_json(&self.layout.state().join(name), value)
    }

    /// Reads a file of the state; `None` where there is none.
    pub fn read_state<T: Record>(&self, name: &str) -> Result<Option<T>> {
        read_json(&self.layout.state().join(name))
    }
}

/// The recorded state as it can be seen without the lock: it may change at any moment, and nothing can be written.
#[derive(Debug)]
pub struct View {
    layout: Layout,
    published: Generation,
}

impl View {
    /// Reads the state as it is now.
    pub fn open(root: &Path) -> Result<View> {
        let layout = Layout::new(root);
        let published = read_published(&layout).map_err(|error| match error {
            Error::Io { source, .. } if source.kind() == ErrorKind::PermissionDenied => {
                StateError::Private {
                    path: layout.state(),
                    owner: owner_of(&layout.state()),
                }
                .into()
            }
            other => other,
        })?;
        Ok(View { layout, published })
    }

    /// Returns the paths below the root.
    pub fn layout(&self) -> &Layout {
        &self.layout
    }

    /// Returns the generation that production held when the view was opened.
    pub fn published(&self) -> &Generation {
        &self.published
    }

    /// Reads a file of the state; `None` where there is none.
    pub fn read_state<T: Record>(&self, name: &str) -> Result<Option<T>> {
        read_json(&self.layout.state().join(name))
    }
}

/// Returns the name, or the number, of the user that a path belongs to.
fn owner_of(path: &Path) -> Option<String> {
    let uid = Uid::from_raw(path.metadata().ok()?.uid());
    let name = User::from_uid(uid).ok().flatten().map(|user| user.name);
    Some(name.unwrap_or_else(|| format!("#{uid}")))
}

fn published_path(layout: &Layout) -> PathBuf {
    layout.state().join("published.json")
}

fn read_published(layout: &Layout) -> Result<Generation> {
    Ok(read_json(&published_path(layout))?.unwrap_or_default())
}

/// Reads [`SuiteRecord::archives`]; format 0 had a map, by archive and suite.
fn archives<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<InputRecord>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Any {
        Named(Vec<InputRecord>),
        Map(BTreeMap<String, i64>),
    }
    Ok(match Any::deserialize(from)? {
        Any::Named(named) => named,
        Any::Map(map) => {
            let records = map.into_iter().map(|(input, date)| {
                let (archive, suite) = split_input(&input);
                InputRecord {
                    archive,
                    suite,
                    date,
                }
            });
            records.collect()
        }
    })
}

/// Splits `archive suite`, as records of format 0 have it.
pub(crate) fn split_input(input: &str) -> (String, String) {
    let (archive, suite) = input.split_once(' ').unwrap_or((input, ""));
    (archive.to_owned(), suite.to_owned())
}

/// The part of a record that says in which format the rest is.
#[derive(Deserialize)]
struct Format {
    #[serde(default)]
    format: u64,
}

/// A record as it is written.
#[derive(Serialize)]
struct Written<'a, T> {
    format: u64,
    #[serde(flatten)]
    record: &'a T,
}

/// Reads a record; `None` where there is none.
pub(crate) fn read_json<T: Record>(path: &Path) -> Result<Option<T>> {
    let text = match durable::read_regular(path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(Error::io("read", path)(error)),
    };
    let damaged = |source| StateError::Damaged {
        path: path.to_owned(),
        source,
    };
    let Format { format } = serde_json::from_slice(&text).map_err(damaged)?;
    if format > T::FORMAT {
        return Err(StateError::Newer {
            path: path.to_owned(),
            format,
            known: T::FORMAT,
        }
        .into());
    }
    Ok(serde_json::from_slice(&text).map(Some).map_err(damaged)?)
}

/// Writes a record, durably and in one step.
pub(crate) fn write_json<T: Record>(path: &Path, record: &T) -> Result<()> {
    let format = T::FORMAT;
    let written = Written { format, record };
    let mut text = serde_json::to_vec_pretty(&written).map_err(|source| StateError::Damaged {
        path: path.to_owned(),
        source,
    })?;
    text.push(b'\n');
    durable::write(path, &text, None)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn a_generation_of_format_0_is_read() {
        let text = r#"{
          "number": 7,
          "suites": {
            "daedalus": {
              "generation": 7,
              "content": "01",
              "release": "02",
              "date": 1767225600,
              "valid-until": null,
              "archives": {"main bookworm": 1767225600, "overlay daedalus": 1767225601},
              "report": {
                "packages": {"amd64": 3},
                "banned": [{"package": "systemd", "because_of": null}],
                "older": [["base-files", "12", "13"]],
                "watched": {},
                "unasked": [["essential", "base-files", "main"]],
                "without-source": []
              },
              "retained": {}
            }
          },
          "links": {}
        }"#;
        let generation: Generation = serde_json::from_str(text).unwrap();
        let suite = serde_json::to_value(&generation.suites["daedalus"]).unwrap();
        let inputs = serde_json::json!([
            {"archive": "main", "suite": "bookworm", "date": 1767225600},
            {"archive": "overlay", "suite": "daedalus", "date": 1767225601},
        ]);
        assert_eq!(suite["archives"], inputs);
        let older = serde_json::json!([{"package": "base-files", "winner": "12", "hidden": "13"}]);
        assert_eq!(suite["report"]["older"], older);
        let unasked = serde_json::json!(
            [{"claim": "essential", "package": "base-files", "archive": "main"}]
        );
        assert_eq!(suite["report"]["unasked"], unasked);
        serde_json::from_value::<SuiteRecord>(suite).unwrap();
    }

    #[test]
    fn a_newer_format_is_refused_and_an_older_one_is_read() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("record.json");
        let record = Generation {
            number: 7,
            ..Generation::default()
        };
        write_json(&path, &record).unwrap();
        let text = std::fs::read_to_string(&path).unwrap();
        assert!(text.starts_with("{\n  \"format\": 1,\n"), "{text}");
        let number = || read_json::<Generation>(&path).map(|record| record.unwrap().number);
        assert_eq!(number().unwrap(), 7);
        std::fs::write(&path, text.replace("  \"format\": 1,\n", "")).unwrap();
        assert_eq!(number().unwrap(), 7);
        // The rest of a newer record may have any shape.
        std::fs::write(&path, "{\"number\": [], \"format\": 2}").unwrap();
        let error = number().unwrap_err();
        let is_newer = matches!(
            error.downcast_ref(),
            Some(StateError::Newer {
                format: 2,
                known: 1,
                ..
            })
        );
        assert!(is_newer, "{error}");
    }
}
