//! The reasons why a suite cannot be merged.

use crate::deb822::SyntaxError;
use crate::error::{DomainError, ErrorKind};
use crate::units::TimeSpan;

/// The reason why a suite cannot be merged.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MergeError {
    /// An index says something that cannot be published.
    #[error("{index}: {why}")]
    Index {
        /// The index, `debian bookworm main/binary-amd64/Packages`.
        index: String,
        /// The fault, and its line.
        why: SyntaxError,
    },
    /// The merge took too long.
    #[error("suite `{suite}` could not be merged within {span}")]
    Overdue {
        /// The merged suite.
        suite: String,
        /// The time that it had.
        span: TimeSpan,
    },
    /// Something that an earlier merge kept is gone, so the merge has to go without all of it.
    #[error("what an earlier merge kept in the cache is gone")]
    Lost,
}

impl DomainError for MergeError {
    fn kind(&self) -> ErrorKind {
        match self {
            MergeError::Index { .. } => ErrorKind::Upstream,
            MergeError::Overdue { .. } => ErrorKind::Timeout,
            MergeError::Lost => ErrorKind::Damaged,
        }
    }
}
