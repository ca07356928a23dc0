//! Looking at the store: nothing here writes.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use rusqlite::{Connection, OpenFlags, Transaction};

use crate::error::{Error, Result};
use crate::layout::Layout;
use crate::names::{Component, RepositoryName, SnapshotName};

use super::depends::{self, Unmet};
use super::difference::{self, Difference};
use super::error::StoreError;
use super::files::path_of;
use super::head::{self, Head};
use super::key::PackageKey;
use super::list::List;
use super::package::{self, Package};
use super::repository::{self, Repository};
use super::snapshot::{self, Snapshot};
use super::{BUSY_TIMEOUT, CACHED_STATEMENTS, holder, schema, select};
use crate::collection::Collection;

/// The store, to be looked at. It has no method that writes.
#[derive(Debug)]
pub struct View {
    pub(super) connection: Connection,
    packages: PathBuf,
}

/// A list of packages that never changes. Whoever pinned it can read it for as long as garbage collection keeps lists that nothing refers
/// to any more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pinned {
    list: i64,
    /// The digest of the list, which covers every stanza and every file.
    pub digest: [u8; 32],
    /// The number of packages.
    pub packages: u64,
    /// The time since which the collection has this list.
    pub changed: Timestamp,
    /// The component that the packages are published in, unless something else is said.
    pub component: Component,
}

impl View {
    /// Opens the store of a root; `None` if there is none.
    pub fn open(root: &Path) -> Result<Option<Self>> {
        let layout = Layout::new(root);
        let path = layout.store();
        if !path.try_exists().map_err(Error::io("look at", &path))? {
            return Ok(None);
        }
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let view = Self::of(&path, flags, layout.packages())?;
        schema::check(&view.connection)?;
        Ok(Some(view))
    }

    /// Opens a database.
    pub(super) fn of(path: &Path, flags: OpenFlags, packages: PathBuf) -> Result<Self, StoreError> {
        let connection = Connection::open_with_flags(path, flags)?;
        connection.busy_timeout(BUSY_TIMEOUT)?;
        connection.set_prepared_statement_cache_capacity(CACHED_STATEMENTS);
        connection.pragma_update(None, "trusted_schema", false)?;
        connection.pragma_update(None, "cache_size", -64_000)?;
        Ok(Self {
            connection,
            packages,
        })
    }

    /// Begins a transaction that sees one moment of the store.
    pub(super) fn read(&self) -> Result<Transaction<'_>, StoreError> {
        Ok(self.connection.unchecked_transaction()?)
    }

    /// Returns the directory of the files of packages.
    pub fn packages_dir(&self) -> &Path {
        &self.packages
    }

    /// Returns the file that has a digest.
    pub fn file(&self, sha256: &[u8; 32]) -> PathBuf {
        path_of(&self.packages, sha256)
    }

    /// Returns all repositories, by name.
    pub fn repositories(&self) -> Result<Vec<Repository>> {
        Ok(repository::all(&self.connection)?)
    }

    /// Returns a repository.
    pub fn repository(&self, name: &RepositoryName) -> Result<Repository> {
        Ok(repository::load(&self.connection, name)?.repository)
    }

    /// Returns the list that a collection has at this moment.
    pub fn pin(&self, collection: &Collection) -> Result<Pinned> {
        let db = self.read()?;
        let (list, changed, component) = match collection {
            Collection::Repository(name) => {
                let loaded = repository::load(&db, name)?;
                (
                    loaded.list,
                    loaded.repository.changed,
                    loaded.repository.component,
                )
            }
            Collection::Snapshot(name) => {
                let loaded = snapshot::load(&db, name)?;
                (
                    loaded.list,
                    loaded.snapshot.created,
                    loaded.snapshot.component,
                )
            }
        };
        Ok(Pinned {
            list,
            digest: super::list::digest(&db, list)?,
            packages: List::load(&db, list)?.packages,
            changed,
            component,
        })
    }

    /// Returns the paths that a binary package installs, one a line and sorted.
    pub fn contents(&self, package: &Package) -> Result<Vec<u8>> {
        let [file] = &package.files[..] else {
            return Ok(Vec::new());
        };
        Ok(package::contents(&self.connection, &file.sha256)?)
    }

    /// Returns all snapshots, by name.
    pub fn snapshots(&self) -> Result<Vec<Snapshot>> {
        Ok(snapshot::all(&*self.read()?)?)
    }

    /// Returns a snapshot.
    pub fn snapshot(&self, name: &SnapshotName) -> Result<Snapshot> {
        Ok(snapshot::load(&*self.read()?, name)?.snapshot)
    }

    /// Returns the packages of a list, by name, version and architecture.
    pub fn packages(&self, pinned: &Pinned) -> Result<Vec<Package>> {
        let db = self.read()?;
        let heads = select::all(&db, pinned.list)?;
        let packages = heads.into_iter().map(|head| package::load(&db, head));
        Ok(packages.collect::<Result<_, _>>()?)
    }

    /// Returns the keys of the packages of a list that a query means, all if there is none, by name, version and architecture.
    pub fn keys(&self, pinned: &Pinned, query: Option<&str>) -> Result<Vec<PackageKey>> {
        let db = self.read()?;
        let mut heads = select::all(&db, pinned.list)?;
        if let Some(query) = query {
            heads = select::matching(&db, heads, &select::parse(query)?)?;
        }
        Ok(heads.into_iter().map(|head| head.key).collect())
    }

    /// Returns the keys of the packages of all repositories and snapshots that a query means.
    pub fn search(&self, query: &str) -> Result<Vec<PackageKey>> {
        let query = select::parse(query)?;
        let db = self.read()?;
        let mut ids = BTreeSet::new();
        for list in holder::lists(&db)? {
            ids.extend(List::load(&db, list)?.all(&db)?);
        }
        let ids: Vec<i64> = ids.into_iter().collect();
        let mut heads = select::matching(&db, head::load_all(&db, &ids)?, &query)?;
        heads.sort_by(Head::order);
        Ok(heads.into_iter().map(|head| head.key).collect())
    }

    /// Returns the packages of a key, each with the repositories and snapshots that hold it: several if the same files came with different
    /// stanzas.
    pub fn find(&self, key: &PackageKey) -> Result<Vec<(Package, Vec<Collection>)>> {
        let db = self.read()?;
        let mut found = Vec::new();
        for head in head::of_key(&db, key)? {
            let holders = holder::of(&db, &head)?;
            if !holders.is_empty() {
                found.push((package::load(&db, head)?, holders));
            }
        }
        match found.is_empty() {
            false => Ok(found),
            true => Err(StoreError::NotFound {
                what: "package",
                name: key.to_string(),
                nearest: None,
            }
            .into()),
        }
    }

    /// Compares two lists, package by package.
    pub fn difference(&self, left: &Pinned, right: &Pinned) -> Result<Vec<Difference>> {
        let db = self.read()?;
        let (left, right) = (List::load(&db, left.list)?, List::load(&db, right.list)?);
        Ok(difference::difference(&db, &left, &right)?)
    }

    /// Returns the dependencies of a list's packages that none of them satisfies, on some architectures; on all that there are if none is given.
    pub fn unmet(&self, pinned: &Pinned, architectures: &[String]) -> Result<Vec<Unmet>> {
        let db = self.read()?;
        let heads = select::all(&db, pinned.list)?;
        let architectures = match architectures.is_empty() {
            true => depends::architectures(&heads),
            false => architectures.iter().cloned().collect(),
        };
        Ok(depends::unmet(&db, &heads, &architectures)?)
    }
}
