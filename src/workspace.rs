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
//! What runs without the lock gets a [`View`], which has no method that writes:
//!
//! ```compile_fail,E0599
//! # fn demo(view: &aptmerge::workspace::View) {
//! view.adopt_staged();
//! # }
//! ```
//!
//! `state/`, `spool/` and `cache/` are for the user that runs aptmerge alone: whoever may open the directory of the state may hold its
//! lock ([`crate::lock`]), an archive that wants a password is nobody else's business, and nobody else puts anything there. For all
//! are the trees, the link and `log/`.
//!
//! What is recorded, and when: `state/published.json` is what production holds. Before the swap, the new generation is
//! written beside it as `state/staged.json`, durably; after the swap it takes the other's place by rename. A run that finds
//! the link at volatile therefore knows that a `staged.json` is what is being served, and one that finds it at production
//! knows that a `staged.json` never was. Where it was lost or damaged meanwhile, nothing is on record of what is served, and every
//! suite is merged anew.

use std::collections::{BTreeMap, BTreeSet};
use std::io::ErrorKind;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use nix::unistd::{Uid, User};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::difference::Difference;
use crate::durable;
use crate::error::{Error, Result};
use crate::lock::{Claim, RunLock};
use crate::suite_report::SuiteReport;

pub use crate::layout::{Layout, PRODUCTION, VOLATILE};

/// Where the generation is recorded that is about to be swapped in, below the state directory.
const STAGED: &str = "staged.json";

/// One published state of the tree.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Generation {
    /// Its number; 0 before the first.
    pub number: u64,
    /// Its suites, by their path below `dists/`.
    pub suites: BTreeMap<String, SuiteRecord>,
    /// Its symlinks: the aliases of suites, and the pools of local archives.
    pub links: BTreeMap<String, String>,
}

/// What is published of one suite, and from what.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct SuiteRecord {
    /// The generation that last changed it.
    pub generation: u64,
    /// A digest of everything that its indices follow from: inputs, rules, and the version of the merge.
    pub content: String,
    /// A digest of what its Release follows from besides.
    pub release: String,
    /// The Date of its Release, in seconds since 1970.
    pub date: i64,
    /// The Valid-Until of its Release.
    pub valid_until: Option<i64>,
    /// The Date of each archive's Release that it was made from.
    pub archives: BTreeMap<String, i64>,
    /// What its merge had to say; the guard against shrinking counts by it, and the text reports are written from it.
    pub report: SuiteReport,
    /// What the generation that last changed it changed in it.
    #[serde(default)]
    pub difference: Difference,
    /// What indices follow from that speak of published packages, by the path of the plain form.
    #[serde(default)]
    pub derived: BTreeMap<String, DerivedRecord>,
    /// The lists of patches whose every patch was proven when it was made: the SHA-256 of each, by the path of the index's plain form.
    #[serde(default)]
    pub patches: BTreeMap<String, String>,
    /// Files under by-hash that no current Release names, with what is needed to let them go in time.
    pub retained: BTreeMap<String, LastReferenced>,
}

/// What an index was made from that speaks of published packages.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DerivedRecord {
    /// The digest of all that it follows from, in hex.
    pub key: String,
    /// What was worth a warning when it was made.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub warnings: BTreeSet<String>,
}

/// When a served Release last named a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct LastReferenced {
    /// The suite's number of later generations since.
    pub generations: u64,
    /// When the first Release without it was published, in seconds since 1970.
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

    /// The paths.
    pub fn layout(&self) -> &Layout {
        &self.layout
    }

    /// The lock that this state is read under.
    pub fn lock(&self) -> &'lock RunLock {
        self.lock
    }

    /// The second lock; see [`crate::lock`].
    pub(crate) fn claim(&self) -> &Claim {
        &self.claim
    }

    /// What production holds.
    pub fn published(&self) -> &Generation {
        &self.published
    }

    /// Records the generation that is about to be swapped in.
    pub fn record_staged(&self, generation: &Generation) -> Result<()> {
        self.write_state(STAGED, generation)
    }

    /// What is recorded as staged, if anything is.
    pub fn staged(&self) -> Result<Option<Generation>> {
        self.read_state(STAGED)
    }

    /// Takes what was recorded as staged for what is published: the swap has happened.
    pub fn adopt_staged(&mut self, generation: Generation) -> Result<()> {
        let staged = self.layout.state().join(STAGED);
        durable::rename(&staged, &published_path(&self.layout))?;
        self.published = generation;
        Ok(())
    }

    /// Records that production is about to hold something of which no record is left: from now on, no suite counts as made from
    /// what the record says. What must not be gone back on stays, and `dates` are those of the suites that it will hold.
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

    /// Forgets what was recorded as staged: the swap never happened.
    pub fn forget_staged(&self) -> Result<()> {
        durable::remove_file(&self.layout.state().join(STAGED))
    }

    /// Writes a file of the state, durably and at once.
    pub fn write_state<T: Serialize>(&self, name: &str, value: &T) -> Result<()> {
        write_json(&self.layout.state().join(name), value)
    }

    /// Reads a file of the state; `None` where there is none.
    pub fn read_state<T: DeserializeOwned>(&self, name: &str) -> Result<Option<T>> {
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
                Error::Private {
                    path: layout.state(),
                    owner: owner_of(&layout.state()),
                }
            }
            other => other,
        })?;
        Ok(View { layout, published })
    }

    /// The paths.
    pub fn layout(&self) -> &Layout {
        &self.layout
    }

    /// What production held when the view was opened.
    pub fn published(&self) -> &Generation {
        &self.published
    }

    /// Reads a file of the state; `None` where there is none.
    pub fn read_state<T: DeserializeOwned>(&self, name: &str) -> Result<Option<T>> {
        read_json(&self.layout.state().join(name))
    }
}

/// The name, or the number, of the user that a path belongs to.
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

/// Reads a JSON file; `None` where there is none.
pub(crate) fn read_json<T: DeserializeOwned>(path: &Path) -> Result<Option<T>> {
    let text = match durable::read_regular(path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(Error::io("read", path)(error)),
    };
    serde_json::from_slice(&text)
        .map(Some)
        .map_err(|source| Error::State {
            path: path.to_owned(),
            source,
        })
}

/// Writes a JSON file, durably and at once.
pub(crate) fn write_json<T: Serialize>(path: &Path, value: &T) -> Result<()> {
    let mut text = serde_json::to_vec_pretty(value).map_err(|source| Error::State {
        path: path.to_owned(),
        source,
    })?;
    text.push(b'\n');
    durable::write(path, &text, None)
}
