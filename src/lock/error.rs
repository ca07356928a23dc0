//! The reasons why the lock cannot be had.

use std::io;
use std::path::PathBuf;
use std::time::SystemTime;

use crate::error::{DomainError, ErrorKind};

/// The reason why the lock cannot be had.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LockError {
    /// Another process holds the lock.
    #[error("the lock {path} is held by {holder}")]
    Held {
        /// The lock file.
        path: PathBuf,
        /// The words that the holder wrote into the file.
        holder: String,
        /// The time when the holder took the lock, if it wrote its words.
        since: Option<SystemTime>,
    },
    /// A run that does not hold the lock file is at work on the state.
    #[error(
        "{directory} is in use by {user}, without the lock {lock}: either that file was removed or replaced since, \
         or both runs were told that their caller holds it"
    )]
    InUse {
        /// The directory of the state.
        directory: PathBuf,
        /// The lock file.
        lock: PathBuf,
        /// The process that is at work.
        user: String,
    },
    /// The lock file cannot be opened or locked.
    #[error("cannot {action} the lock file {path}")]
    Unusable {
        /// The operation that was tried.
        action: &'static str,
        /// The lock file.
        path: PathBuf,
        /// The error that the system returned.
        source: io::Error,
    },
    /// A device, a FIFO or the like stands in the place of the lock file.
    #[error("{path} cannot be the lock file: it is no regular file")]
    NoFile {
        /// The lock file, as it is configured.
        path: PathBuf,
    },
    /// Somebody keeps removing the file.
    #[error("the lock file {path} is replaced again and again by somebody else")]
    Unstable {
        /// The lock file.
        path: PathBuf,
    },
}

impl DomainError for LockError {
    fn kind(&self) -> ErrorKind {
        match self {
            LockError::Held { .. } | LockError::InUse { .. } => ErrorKind::LockHeld,
            LockError::Unusable { .. } | LockError::NoFile { .. } | LockError::Unstable { .. } => {
                ErrorKind::Machine
            }
        }
    }

    fn is_of_the_machine(&self) -> bool {
        true
    }
}
