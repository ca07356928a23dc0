//! The recorded state, which is read only under the lock.
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
//! and every suite is merged anew. Both are lists: what is recorded of a suite, and its manifest, is a file of its own in
//! `state/manifests/`.
//!
//! Each record says in which format it is ([`Record`]): one that a newer aptmerge wrote is refused, an older one is read.

mod error;
mod generation;
mod owner;
mod record;

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::durable;
use crate::error::{Error, Result};

use crate::lock::{Claim, RunLock};
use crate::manifest::Manifest;

pub use error::StateError;
pub(crate) use error::is_damaged;

pub use crate::durable::SymlinkedDirectory;
pub use crate::layout::{Layout, PRODUCTION, VOLATILE};
pub(crate) use generation::split_input;
pub use generation::{
    DerivedRecord, Generation, GivenUp, InputRecord, LastReferenced, SuiteRecord,
};
pub use owner::check_owner;
pub use record::Record;
use record::overwrite_json;
pub(crate) use record::{read_json, write_json};

/// The name, below the state directory, of the record of the generation that is about to be swapped in.
const STAGED: &str = "staged.json";

/// The name of the record of what volatile holds.
const VOLATILE_RECORD: &str = "volatile.json";

/// The record of what volatile holds.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
struct VolatileRecord {
    /// The digest of the list of the suites whose manifests describe volatile.
    published: String,
}

impl Record for VolatileRecord {
    const FORMAT: u64 = 1;
}

/// The recorded state, under the lock.
#[derive(Debug)]
pub struct Workspace<'lock> {
    layout: Layout,
    published: Generation,
    /// `true` if suites are published whose records are lost.
    has_lost_records: bool,
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
        let (published, lost) = read_published(&layout)?;
        Ok(Workspace {
            layout,
            published,
            has_lost_records: !lost.is_empty(),
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

    /// Returns whether suites are published whose records are lost, so that nothing is known of their directories.
    pub(crate) fn has_lost_records(&self) -> bool {
        self.has_lost_records
    }

    /// Records the generation that is about to be swapped in.
    pub fn record_staged(&self, generation: &Generation) -> Result<()> {
        let staged = self.layout.state().join(STAGED);
        generation::write(&staged, generation, &self.published)
    }

    /// Returns the generation that is recorded as staged, if there is one.
    pub fn staged(&self) -> Result<Option<Generation>> {
        let staged = generation::read(&self.layout.state().join(STAGED))?;
        Ok(staged.map(|(generation, _)| generation))
    }

    /// Makes the staged record the published one: the swap has happened. Returns the generation that was published before.
    pub fn adopt_staged(&mut self, generation: Generation) -> Result<Generation> {
        let staged = self.layout.state().join(STAGED);
        durable::rename(&staged, &published_path(&self.layout))?;
        let before = std::mem::replace(&mut self.published, generation);
        self.has_lost_records = false;
        generation::collect(&published_path(&self.layout))?;
        Ok(before)
    }

    /// Records that production is about to hold a generation without a record: from now on, no suite counts as made from what the old
    /// record says. The parts that protect against going back stay, and `dates` are those of the suites that production will hold.
    pub fn distrust_published(&mut self, dates: &BTreeMap<String, i64>) -> Result<()> {
        let mut generation = self.published.clone();
        for (name, record) in &mut generation.suites {
            let record = Arc::make_mut(record);
            record.date = dates.get(name).copied().unwrap_or(record.date);
            record.content.clear();
            record.release.clear();
            record.derived.clear();
            record.manifest = Manifest::default();
        }
        let path = published_path(&self.layout);
        generation::write(&path, &generation, &self.published)?;
        self.published = generation;
        Ok(())
    }

    /// Removes the staged record: the swap never happened.
    pub fn forget_staged(&self) -> Result<()> {
        durable::remove_file(&self.layout.state().join(STAGED))?;
        generation::collect(&published_path(&self.layout))
    }

    /// Returns whether volatile was left as the tree of the published record.
    pub(crate) fn is_volatile_known(&self) -> Result<bool> {
        match self.read_state(VOLATILE_RECORD) {
            Err(error) if is_damaged(&error) => Ok(false),
            Ok(None) => Ok(false),
            Ok(Some(VolatileRecord { published })) => Ok(published == self.published_digest()?),
            Err(error) => Err(error),
        }
    }

    /// Records, durably, that nothing is known of volatile any more.
    pub(crate) fn forget_volatile(&self) -> Result<()> {
        durable::remove_file(&self.layout.state().join(VOLATILE_RECORD))?;
        durable::sync_dir(&self.layout.state())
    }

    /// Records that volatile is the tree of the published record, to the last file.
    pub(crate) fn record_volatile(&self) -> Result<()> {
        let published = self.published_digest()?;
        self.write_state(VOLATILE_RECORD, &VolatileRecord { published })
    }

    /// Returns the digest of the list of the published suites, which has the digests of their manifests.
    fn published_digest(&self) -> Result<String> {
        let path = published_path(&self.layout);
        match durable::read_regular(&path) {
            Ok(text) => Ok(hex::encode(Sha256::digest(text))),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(String::new()),
            Err(error) => Err(Error::io("read", &path)(error)),
        }
    }

    /// Writes a file of the state, durably and in one step.
    pub fn write_state<T: Record>(&self, name: &str, value: &T) -> Result<()> {
        write_json(&self.layout.state().join(name), value)
    }

    /// Does the same where the file should be written even if the disk is full: then in its own place, which is there already for a file of
    /// one block. Such a file may be damaged by a loss of power.
    pub(crate) fn write_small_state<T: Record>(&self, name: &str, value: &T) -> Result<()> {
        let path = self.layout.state().join(name);
        match write_json(&path, value) {
            Err(Error::Io { source, .. })
                if matches!(
                    source.kind(),
                    ErrorKind::StorageFull | ErrorKind::QuotaExceeded
                ) =>
            {
                overwrite_json(&path, value)
            }
            written => written,
        }
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
        let (published, _) = read_published(&layout).map_err(|error| match error {
            Error::Io { source, .. } if source.kind() == ErrorKind::PermissionDenied => {
                StateError::Private {
                    path: layout.state(),
                    owner: owner::owner_of(&layout.state()),
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

fn published_path(layout: &Layout) -> PathBuf {
    layout.state().join("published.json")
}

/// Reads what production holds, and the names of the suites whose records are lost. Without the lock, a run may remove files of suites between two looks: then the list changes as well.
fn read_published(layout: &Layout) -> Result<(Generation, Vec<String>)> {
    let path = published_path(layout);
    let mut before = None;
    loop {
        let (generation, gone) = generation::read(&path)?.unwrap_or_default();
        let seen = (generation.number, gone);
        if seen.1.is_empty() || before.as_ref() == Some(&seen) {
            return Ok((generation, seen.1));
        }
        before = Some(seen);
    }
}
