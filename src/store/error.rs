//! The errors of the store.

use std::path::PathBuf;

use crate::error::{DomainError, ErrorKind};

/// The reason why an operation on the store failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// A name that does not exist.
    #[error("there is no {what} `{name}`")]
    NotFound {
        /// The kind of thing: `repository`.
        what: &'static str,
        /// The name.
        name: String,
        /// The most similar name that there is.
        nearest: Option<String>,
    },
    /// A name that is taken.
    #[error("there is a {what} `{name}` already")]
    Exists {
        /// The kind of thing.
        what: &'static str,
        /// The name.
        name: String,
    },
    /// A thing that something else needs.
    #[error("the {what} `{name}` cannot be dropped: {by}")]
    Needed {
        /// The kind of thing.
        what: &'static str,
        /// The name.
        name: String,
        /// The reason.
        by: String,
    },
    /// A query that cannot be read.
    #[error("the query `{query}` cannot be read: {why}")]
    Query {
        /// The query.
        query: String,
        /// The reason.
        why: String,
    },
    /// An operation that names the same thing in two places.
    #[error("the {what} `{name}` is both the source and the destination")]
    Same {
        /// The kind of thing.
        what: &'static str,
        /// The name.
        name: String,
    },
    /// A file that an operation names is not below packages/, or was not recorded as arriving.
    #[error("the file {sha256} of {package} is not in the store")]
    Missing {
        /// The package.
        package: String,
        /// The digest of the file.
        sha256: String,
    },
    /// A list of files of a source package that cannot be had.
    #[error("{path} lists `{name}`, which {why}")]
    Incomplete {
        /// The .dsc.
        path: PathBuf,
        /// The file that it lists.
        name: String,
        /// The fault of the file.
        why: &'static str,
    },
    /// A file that is no package by its name.
    #[error("{path} is no package: its name ends neither in .deb, .ddeb or .udeb, nor in .dsc")]
    NoPackage {
        /// The file.
        path: PathBuf,
    },
    /// The store was written by a newer aptmerge.
    #[error("the store has tables of version {version}, and this aptmerge knows version {known}")]
    Newer {
        /// The version of the tables.
        version: i64,
        /// The newest that is known.
        known: i64,
    },
    /// The store was written by an older aptmerge, and is to be looked at alone.
    #[error("the store has tables of version {version}, and {known} is the present one")]
    Older {
        /// The version of the tables.
        version: i64,
        /// The present version.
        known: i64,
    },
    /// The store lies on a file system on which it would not be safe.
    #[error(
        "the store cannot lie at {path}: that is {file_system}, whose locks and shared memory do not reach from one machine to the other"
    )]
    Network {
        /// The directory.
        path: PathBuf,
        /// The name of the file system.
        file_system: &'static str,
    },
    /// The store lies on a file system without shared memory.
    #[error(
        "the store cannot lie on this file system: it has no memory that processes share (mmap)"
    )]
    NoSharedMemory,
    /// Content of the store that contradicts itself.
    #[error("the store is damaged: {0}")]
    Damaged(String),
    /// SQLite failed.
    #[error("the store cannot be used")]
    Sqlite(#[from] rusqlite::Error),
}

impl DomainError for StoreError {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::NotFound { .. } => ErrorKind::NotFound,
            Self::Exists { .. }
            | Self::Needed { .. }
            | Self::Incomplete { .. }
            | Self::NoPackage { .. } => ErrorKind::Refused,
            Self::Same { .. } | Self::Query { .. } => ErrorKind::Usage,
            Self::Newer { .. } | Self::Older { .. } | Self::Damaged(_) | Self::Missing { .. } => {
                ErrorKind::Damaged
            }
            Self::Network { .. } | Self::NoSharedMemory | Self::Sqlite(_) => ErrorKind::Machine,
        }
    }

    fn is_of_the_machine(&self) -> bool {
        matches!(
            self,
            Self::Newer { .. }
                | Self::Older { .. }
                | Self::Network { .. }
                | Self::NoSharedMemory
                | Self::Sqlite(_)
        )
    }
}
