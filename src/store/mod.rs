//! The store: packages of our own, and the repositories and snapshots that hold them.
//!
//! ```text
//! state/store.sqlite    packages, lists, repositories, snapshots (SQLite)
//! packages/ab/cdef…     the files of packages, each named by its SHA-256, never changed
//! ```
//!
//! # Nothing stale gets in
//!
//! A change is an [`Operation`]: names and arguments, and no loaded objects. [`Store::apply`] begins a transaction, loads what the operation
//! names, checks it, changes it and commits. So nobody can decide outside of the transaction by what may have changed meanwhile: a
//! [`Repository`] that was looked at is a copy, and no operation takes one.
//!
//! ```compile_fail,E0308
//! # use aptmerge::store::{Operation, Repository};
//! fn add(repository: Repository) -> Operation {
//!     Operation::AddPackages {
//!         repository,
//!         packages: Vec::new(),
//!         replace: false,
//!         arrived_as: String::new(),
//!     }
//! }
//! ```
//!
//! With the name in its place it compiles:
//!
//! ```
//! # use aptmerge::{names::RepositoryName, store::Operation};
//! fn add(repository: RepositoryName) -> Operation {
//!     Operation::AddPackages {
//!         repository,
//!         packages: Vec::new(),
//!         replace: false,
//!         arrived_as: String::new(),
//!     }
//! }
//! ```
//!
//! Nor can a [`View`] change anything:
//!
//! ```compile_fail,E0599
//! # use aptmerge::store::{Operation, View};
//! # fn demo(view: &View, operation: &Operation, now: jiff::Timestamp) {
//! view.apply(operation, now);
//! # }
//! ```
//!
//! Operations need no run's lock. Lists are immutable, so a run that reads one goes on with it, whatever is added meanwhile.
//!
//! # Nothing is lost
//!
//! The journal is SQLite's write-ahead log with `synchronous = FULL`: a transaction that was committed survives a loss of power, and one that
//! was not leaves nothing. Writers come one after the other, and wait for each other. A file is on the disk under its name before a
//! transaction names it (`arrive.rs`), and it is on record before it has its name, so that garbage collection spares it (`gc.rs`). `state/` is
//! for the user that runs aptmerge alone, so every reader can use the log and the shared memory beside the database. A file system over a network is
//! refused, since its locks and shared memory cannot be relied on.

mod apply;
mod arrive;
mod backup;
mod check;
mod depends;
mod difference;
mod edit;
mod error;
mod files;
mod gather;
mod gc;
mod head;
mod holder;
mod key;
mod list;
mod merge;
mod operation;
mod package;
mod repository;
mod retain;
mod rows;
mod schema;
mod select;
mod snapshot;
mod view;

use std::path::Path;
use std::time::Duration;

use nix::sys::statfs::{self, FsType};
use rusqlite::{Connection, OpenFlags, Transaction, TransactionBehavior};

use crate::durable;
use crate::error::{Error, Result};
use crate::layout::Layout;

pub use crate::collection::{Collection, InvalidCollection};
pub use check::Report;
pub use depends::Unmet;
pub use difference::Difference;
pub use error::StoreError;
pub use gather::{Arrived, BATCH, Found, find};
pub use gc::Garbage;
pub use key::{InvalidKey, PackageKey};
pub use merge::MergeRule;
pub use operation::{Change, NewPackage, Operation, Pull, Refusal, SnapshotOf};
pub use package::Package;
pub use repository::Repository;
pub use snapshot::Snapshot;
pub use view::{Pinned, View};

/// The time that a writer waits for the others, each of which holds the store for some milliseconds.
const BUSY_TIMEOUT: Duration = Duration::from_secs(120);

/// The number of statements that stay prepared.
const CACHED_STATEMENTS: usize = 64;

/// The store of a root, to be changed.
#[derive(Debug)]
pub struct Store {
    view: View,
}

impl Store {
    /// Opens the store; makes it if there is none.
    pub fn open(root: &Path) -> Result<Self> {
        let layout = Layout::new(root);
        durable::create_private_dir(&layout.state())?;
        durable::check_real(&layout.packages())?;
        durable::create_dir(&layout.packages())?;
        check_file_system(&layout.state())?;
        let path = layout.store();
        schema::create(&path)?;
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let mut view = View::of(&path, flags, layout.packages())?;
        let settings = [("synchronous", "FULL"), ("foreign_keys", "ON")];
        for (name, value) in settings {
            let set = view.connection.pragma_update(None, name, value);
            set.map_err(StoreError::from)?;
        }
        // A backup has none.
        schema::set_journal(&view.connection)?;
        schema::migrate(&mut view.connection)?;
        Ok(Self { view })
    }

    /// Returns the store as it can be looked at.
    pub fn view(&self) -> &View {
        &self.view
    }

    fn db(&self) -> &Connection {
        &self.view.connection
    }

    fn packages(&self) -> &Path {
        self.view.packages_dir()
    }

    /// Begins a transaction that no other writer comes between.
    fn write(&mut self) -> Result<Transaction<'_>, StoreError> {
        let behavior = TransactionBehavior::Immediate;
        Ok(self.view.connection.transaction_with_behavior(behavior)?)
    }
}

/// Refuses file systems over a network.
fn check_file_system(path: &Path) -> Result<()> {
    let found = statfs::statfs(path)
        .map_err(|errno| Error::io("look at the file system of", path)(errno.into()))?;
    match network(found.filesystem_type()) {
        None => Ok(()),
        Some(file_system) => Err(StoreError::Network {
            path: path.to_owned(),
            file_system,
        }
        .into()),
    }
}

/// Returns the name of a file system over a network (statfs(2) has the numbers).
fn network(kind: FsType) -> Option<&'static str> {
    match u32::try_from(kind.0 & 0xffff_ffff).unwrap_or_default() {
        0x6969 => Some("NFS"),
        0xff53_4d42 | 0xfe53_4d42 | 0x517b => Some("SMB"),
        0x5346_414f | 0x6b41_4653 => Some("AFS"),
        0x0102_1997 => Some("9P"),
        0x7375_7245 => Some("Coda"),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
