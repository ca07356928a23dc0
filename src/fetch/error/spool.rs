//! The reasons why a copy in the spool cannot be merged.

use std::path::PathBuf;
use std::sync::Arc;

use crate::error::{DomainError, ErrorKind};

use super::FetchError;

/// The reason why a copy in the spool cannot be merged.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SpoolError {
    /// An archive's suite cannot be had, and there is no earlier copy.
    #[error(
        "suite `{suite}` of archive `{archive}` cannot be fetched, and there is no earlier copy of it"
    )]
    NoCopy {
        /// The archive.
        archive: String,
        /// Its suite.
        suite: String,
        /// Why.
        source: Arc<FetchError>,
    },
    /// The spool lacks a suite.
    #[error("the spool holds no copy of suite `{suite}` of archive `{archive}`")]
    NotFetched {
        /// The archive.
        archive: String,
        /// Its suite.
        suite: String,
    },
    /// There is no store, so no collection of packages of our own either.
    #[error("there is no {collection}: no repository was made yet")]
    NoStore {
        /// The collection, `repository:tools`.
        collection: String,
    },
    /// The archive's keyring does not prove a copy in the spool.
    #[error(
        "nothing new is made of the copy of suite `{suite}` of archive `{archive}`, since its signature no longer convinces: {why}"
    )]
    NotProven {
        /// The archive.
        archive: String,
        /// Its suite.
        suite: String,
        /// Why.
        why: String,
    },
    /// A file of the spool differs from the one that was verified.
    #[error("{path} in the spool is damaged: {why}")]
    Damaged {
        /// The file.
        path: PathBuf,
        /// The fault of the file.
        why: String,
    },
}

impl DomainError for SpoolError {
    fn kind(&self) -> ErrorKind {
        match self {
            SpoolError::Damaged { .. } => ErrorKind::Damaged,
            SpoolError::NoStore { .. } => ErrorKind::NotFound,
            _ => ErrorKind::Upstream,
        }
    }
}
