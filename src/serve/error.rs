//! The errors of a server, told so that an operator can act on them.

use std::io;

/// The reason why a server did not start, or the fault while it ran.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The address cannot be listened on.
    #[error("cannot listen on {address}")]
    Bind {
        /// As it was given.
        address: String,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Threads, signals or the listener could not be set up.
    #[error("cannot set up the server")]
    Start {
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The machine has no way to open a file below a directory and nowhere else.
    #[error("cannot open files below a directory by openat2 and /proc")]
    Beneath {
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A connection could not be accepted.
    #[error("cannot accept a connection")]
    Accept {
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The prefix is not a path.
    #[error("the prefix {prefix:?} cannot be a path to serve the tree under")]
    Prefix {
        /// As it was given.
        prefix: String,
    },
    /// A pool has a name that no path can hold.
    #[error("the pool name {name:?} cannot be part of a path")]
    PoolName {
        /// The name.
        name: String,
    },
    /// Two pools have one name.
    #[error("there are two pools with the name {name:?}")]
    PoolTwice {
        /// The name.
        name: String,
    },
    /// Clients cannot be sent to that URI.
    #[error("pool {name}: clients cannot be redirected to {base:?}: {reason}")]
    PoolBase {
        /// The pool.
        name: String,
        /// The URI, without its user and password.
        base: String,
        /// Why.
        reason: &'static str,
    },
}

impl Error {
    /// Returns what an operator can do about the error, if that is known.
    pub fn hint(&self) -> Option<String> {
        match self {
            Error::Bind { source, .. } => match source.kind() {
                io::ErrorKind::AddrInUse => {
                    Some("another program listens there: stop it, or choose another port".into())
                }
                io::ErrorKind::PermissionDenied => {
                    Some("ports below 1024 are root's: choose one above".into())
                }
                _ => None,
            },
            Error::Accept { source } => {
                (source.raw_os_error() == Some(nix::libc::EMFILE)).then(|| {
                    "raise the limit of open files (ulimit -n), or allow fewer connections".into()
                })
            }
            Error::Beneath { .. } => Some(
                "`serve` needs Linux 5.6 or later, /proc, and in a container a seccomp filter that permits openat2"
                    .into(),
            ),
            Error::Prefix { .. } | Error::PoolName { .. } => {
                Some("use letters, digits, '-', '_', '+', '~' and '.'".into())
            }
            Error::PoolBase { .. } => Some("give an http or https URI of an archive's root".into()),
            Error::Start { .. } | Error::PoolTwice { .. } => None,
        }
    }
}
