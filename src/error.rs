//! The error of a run: the few errors that every step can meet, and around them those of the domains.
//!
//! A domain (the lock, fetching, merging, publishing, …) owns its errors, next to its code. [`Error`] wraps any of them, and this module
//! knows none. So a step can pass on errors of a step that it does not know: a merge reads inputs that others bring, and writes into
//! sinks that others made. Callers ask for the [`ErrorKind`], or for the error of one domain ([`Error::downcast_ref`]).

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::cancel::Cancelled;

pub use crate::chain::chain;

/// Shorthand for results of the run and its steps.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// The reason why a command failed. A clone is cheap, and shares the cause.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The file system refused an operation.
    #[error("cannot {action} {path}")]
    Io {
        /// The operation that was tried, in the infinitive.
        action: &'static str,
        /// The file or directory.
        path: PathBuf,
        /// The error that the system returned.
        source: Arc<io::Error>,
    },
    /// The run was told to stop.
    #[error("stopped")]
    Cancelled,
    /// An error of a domain.
    #[error(transparent)]
    Domain(Arc<dyn DomainError>),
}

/// An error that a domain owns.
pub trait DomainError: std::error::Error + Send + Sync + 'static {
    /// Returns the kind of the error.
    fn kind(&self) -> ErrorKind;

    /// Returns what `Error::is_of_the_machine` says of the error.
    fn is_of_the_machine(&self) -> bool {
        false
    }
}

/// The kind of an error, for callers that answer with a code: an exit code, or the status of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The caller asked for something that makes no sense.
    Usage,
    /// The configuration cannot be used.
    Config,
    /// Another process holds the lock.
    LockHeld,
    /// There is nothing of that name.
    NotFound,
    /// The user of this process may not do that.
    Forbidden,
    /// A guard refused a change that nobody has allowed.
    Refused,
    /// An archive cannot be had, or says what cannot be published.
    Upstream,
    /// A file that aptmerge keeps cannot be used.
    Damaged,
    /// A disk, a socket or a clock of this machine failed.
    Machine,
    /// A signature cannot be made or checked.
    Signing,
    /// A tree does not hold together.
    Check,
    /// A target was not pushed to.
    Push,
    /// A step took too long.
    Timeout,
    /// The new generation is served, but a later step failed.
    Unfinished,
    /// The run was told to stop.
    Cancelled,
    /// A fault of aptmerge itself.
    Internal,
}

impl ErrorKind {
    /// Returns the name of the kind, as programs read it; the names are a promise to users.
    pub fn name(self) -> &'static str {
        match self {
            ErrorKind::Usage => "usage",
            ErrorKind::Config => "config",
            ErrorKind::LockHeld => "lock-held",
            ErrorKind::NotFound => "not-found",
            ErrorKind::Forbidden => "forbidden",
            ErrorKind::Refused => "refused",
            ErrorKind::Upstream => "upstream",
            ErrorKind::Damaged => "damaged",
            ErrorKind::Machine => "machine",
            ErrorKind::Signing => "signing",
            ErrorKind::Check => "check",
            ErrorKind::Push => "push",
            ErrorKind::Timeout => "timeout",
            ErrorKind::Unfinished => "unfinished",
            ErrorKind::Cancelled => "cancelled",
            ErrorKind::Internal => "internal",
        }
    }
}

impl<T: DomainError> From<T> for Error {
    fn from(error: T) -> Self {
        Error::Domain(Arc::new(error))
    }
}

impl<T: DomainError> From<Arc<T>> for Error {
    fn from(error: Arc<T>) -> Self {
        Error::Domain(error)
    }
}

impl From<Cancelled> for Error {
    fn from(_: Cancelled) -> Self {
        Error::Cancelled
    }
}

impl Error {
    /// Wraps what the system said about a path.
    pub fn io(action: &'static str, path: impl AsRef<Path>) -> impl FnOnce(io::Error) -> Error {
        let path = path.as_ref().to_owned();
        move |source| Error::Io {
            action,
            path,
            source: Arc::new(source),
        }
    }

    /// Returns the kind of the error.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Error::Io { .. } => ErrorKind::Machine,
            Error::Cancelled => ErrorKind::Cancelled,
            Error::Domain(error) => error.kind(),
        }
    }

    /// Returns the error of a domain, if it is of that domain.
    pub fn downcast_ref<T: DomainError>(&self) -> Option<&T> {
        match self {
            Error::Domain(error) => (&**error as &dyn std::error::Error).downcast_ref(),
            _ => None,
        }
    }

    /// Returns whether this machine or the caller is the cause, so that every suite would fail in the same way: a full disk, a failing
    /// disk, a call to stop. Any other error is taken for the fault of the one suite that is being made, and costs no other suite.
    pub(crate) fn is_of_the_machine(&self) -> bool {
        match self {
            Error::Io { source, .. } => !is_of_what_was_given(source),
            Error::Cancelled => true,
            Error::Domain(error) => error.is_of_the_machine(),
        }
    }
}

/// Returns whether an error follows from names or bytes that were given, and says nothing about the machine.
pub(crate) fn is_of_what_was_given(error: &io::Error) -> bool {
    use io::ErrorKind;
    matches!(
        error.kind(),
        ErrorKind::InvalidFilename
            | ErrorKind::InvalidInput
            | ErrorKind::InvalidData
            | ErrorKind::UnexpectedEof
            | ErrorKind::NotFound
            | ErrorKind::AlreadyExists
            | ErrorKind::NotADirectory
            | ErrorKind::IsADirectory
            | ErrorKind::DirectoryNotEmpty
            | ErrorKind::OutOfMemory
            // Errors of a library's own, which the system knows nothing of.
            | ErrorKind::Other
    )
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn a_failing_disk_is_told_from_a_name_that_no_disk_takes() {
        let of = |number| {
            let source = io::Error::from_raw_os_error(number);
            Error::io("write", "/srv/aptmerge/x")(source).is_of_the_machine()
        };
        use nix::libc::{EACCES, EDQUOT, EIO, EISDIR, EMFILE, ENAMETOOLONG, ENOENT, ENOSPC, EROFS};
        for number in [EIO, ENOSPC, EDQUOT, EROFS, EACCES, EMFILE] {
            assert!(of(number), "{number}");
        }
        for number in [ENAMETOOLONG, ENOENT, EISDIR] {
            assert!(!of(number), "{number}");
        }
    }
}
