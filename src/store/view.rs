//! Looking at the store: nothing here writes.

use std::path::{Path, PathBuf};
use std::str::FromStr;

use jiff::Timestamp;
use rusqlite::{Connection, OpenFlags, Transaction};
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::layout::Layout;
use crate::names::{Component, InvalidName, RepositoryName};

use super::error::StoreError;
use super::files::path_of;
use super::head;
use super::list::List;
use super::package::{self, Package};
use super::repository::{self, Repository};
use super::{BUSY_TIMEOUT, CACHED_STATEMENTS, schema};

/// The store, to be looked at. It has no method that writes.
#[derive(Debug)]
pub struct View {
    pub(super) connection: Connection,
    packages: PathBuf,
}

/// A collection of packages, as the configuration names it: `repository:NAME`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Collection {
    /// A repository, as it is at that moment.
    Repository(RepositoryName),
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
    fn read(&self) -> Result<Transaction<'_>, StoreError> {
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
        };
        Ok(Pinned {
            list,
            digest: super::list::digest(&db, list)?,
            packages: List::load(&db, list)?.packages,
            changed,
            component,
        })
    }

    /// Returns the packages of a list, by name, version and architecture.
    pub fn packages(&self, pinned: &Pinned) -> Result<Vec<Package>> {
        let db = self.read()?;
        let list = List::load(&db, pinned.list)?;
        let mut heads = head::load_all(&db, &list.all(&db)?)?;
        heads.sort_by(|a, b| a.order(b));
        let packages = heads.into_iter().map(|head| package::load(&db, head));
        Ok(packages.collect::<Result<_, _>>()?)
    }
}

impl FromStr for Collection {
    type Err = InvalidCollection;

    fn from_str(text: &str) -> Result<Self, InvalidCollection> {
        match text.split_once(':') {
            Some(("repository", name)) => Ok(Self::Repository(RepositoryName::new(name)?)),
            _ => Err(InvalidCollection::Unknown(text.to_owned())),
        }
    }
}

/// The reason why a text names no collection of packages.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidCollection {
    /// It does not say of which kind it is.
    #[error("`{0}` is neither `repository:NAME` nor `snapshot:NAME`")]
    Unknown(String),
    /// The name is none.
    #[error(transparent)]
    Name(#[from] InvalidName),
}

impl TryFrom<String> for Collection {
    type Error = InvalidCollection;

    fn try_from(text: String) -> Result<Self, InvalidCollection> {
        text.parse()
    }
}

impl std::fmt::Display for Collection {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Repository(name) => write!(f, "repository:{name}"),
        }
    }
}

impl From<Collection> for String {
    fn from(collection: Collection) -> String {
        collection.to_string()
    }
}
