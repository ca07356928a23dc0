//! The reasons why the lock cannot be had, and what to do about them.

use std::io;
use std::path::PathBuf;

use nix::errno::Errno;

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

impl LockError {
    /// Returns what an operator can do about the error.
    pub fn hint(&self) -> Option<String> {
        match self {
            LockError::Held { .. } => Some("wait for it with --lock-wait SECONDS, or try again later".into()),
            LockError::InUse { .. } => Some("wait for it to end; and find out what removes the lock file, for aptmerge never does".into()),
            LockError::Unusable { source, .. } => match Errno::from_raw(source.raw_os_error()?) {
                Errno::ENOLCK | Errno::EOPNOTSUPP | Errno::ENOSYS => {
                    Some("its file system knows no flock(2): set `lock` to a path on a local one, /run/lock/aptmerge.lock".into())
                }
                Errno::ENOENT => Some("make the directory, or set `lock` to another path".into()),
                Errno::EISDIR | Errno::ENOTDIR | Errno::ELOOP | Errno::ENXIO => Some("set `lock` to another path".into()),
                Errno::EACCES | Errno::EPERM => Some(
                    "run as the user that it belongs to, or set `lock` to a path in a directory of that user's own".into(),
                ),
                Errno::EROFS => Some("set `lock` to a path that can be written to, such as /run/lock/aptmerge.lock".into()),
                _ => None,
            },
            LockError::NoFile { .. } => Some("set `lock` to a path that nothing else uses".into()),
            LockError::Unstable { .. } => Some("find out what removes it; aptmerge itself never does".into()),
        }
    }
}
