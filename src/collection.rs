//! Names of collections of packages, repositories and snapshots alike, and of whatever else a merged suite is made from.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::names::{InvalidName, RepositoryName, SnapshotName, SuiteName};

/// A collection of packages, as the configuration names it: `repository:NAME` or `snapshot:NAME`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Collection {
    /// A repository, as it is at that moment.
    Repository(RepositoryName),
    /// A snapshot.
    Snapshot(SnapshotName),
}

impl FromStr for Collection {
    type Err = InvalidCollection;

    fn from_str(text: &str) -> Result<Self, InvalidCollection> {
        match text.split_once(':') {
            Some(("repository", name)) => Ok(Self::Repository(RepositoryName::new(name)?)),
            Some(("snapshot", name)) => Ok(Self::Snapshot(SnapshotName::new(name)?)),
            _ => Err(InvalidCollection::Unknown(text.to_owned())),
        }
    }
}

/// The reason why a text names no collection of packages.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidCollection {
    /// A name that does not say of which kind it is.
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

impl fmt::Display for Collection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Repository(name) => write!(f, "repository:{name}"),
            Self::Snapshot(name) => write!(f, "snapshot:{name}"),
        }
    }
}

impl From<Collection> for String {
    fn from(collection: Collection) -> String {
        collection.to_string()
    }
}

/// The part of an archive that a merged suite is made from: one of its suites, or a collection of packages of our own.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Upstream {
    /// A suite of the archive.
    Suite(SuiteName),
    /// A collection of the store.
    Stored(Collection),
}

impl Upstream {
    /// Returns the suite.
    pub fn suite(&self) -> Option<&SuiteName> {
        match self {
            Self::Suite(suite) => Some(suite),
            Self::Stored(_) => None,
        }
    }
}

impl TryFrom<String> for Upstream {
    type Error = InvalidCollection;

    fn try_from(text: String) -> Result<Self, InvalidCollection> {
        match text.contains(':') {
            true => text.parse().map(Self::Stored),
            false => Ok(Self::Suite(SuiteName::new(text)?)),
        }
    }
}

impl fmt::Display for Upstream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Suite(suite) => suite.fmt(f),
            Self::Stored(collection) => collection.fmt(f),
        }
    }
}

impl From<Upstream> for String {
    fn from(upstream: Upstream) -> String {
        upstream.to_string()
    }
}
