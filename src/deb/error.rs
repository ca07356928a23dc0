//! The reasons why a file is not taken for a package.

use std::io;
use std::path::PathBuf;

use crate::error::{DomainError, ErrorKind};

/// The reason why a file is not taken for a package.
#[derive(Debug, thiserror::Error)]
#[error("{path} is refused: {why}")]
pub struct PackageError {
    /// The file.
    pub path: PathBuf,
    /// Why.
    pub why: String,
}

impl DomainError for PackageError {
    fn kind(&self) -> ErrorKind {
        ErrorKind::Refused
    }
}

/// The reason why a package cannot be read, before the file is named.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(super) struct Fault(String);

impl Fault {
    pub(super) fn new(why: impl Into<String>) -> Self {
        Self(why.into())
    }

    /// Puts a place in front of the reason.
    pub(super) fn within(self, place: &str) -> Self {
        Self(format!("{place}: {}", self.0))
    }

    pub(super) fn of(self, path: impl Into<PathBuf>) -> PackageError {
        PackageError {
            path: path.into(),
            why: self.0,
        }
    }
}

impl From<io::Error> for Fault {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::UnexpectedEof => Self::new("the file ends too early"),
            _ => Self(crate::error::chain(&error)),
        }
    }
}
