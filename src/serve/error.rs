//! The errors of a server.

use std::io;

use crate::error::{DomainError, ErrorKind};

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

impl DomainError for Error {
    fn kind(&self) -> ErrorKind {
        match self {
            Error::Bind { .. }
            | Error::Start { .. }
            | Error::Accept { .. }
            | Error::Beneath { .. } => ErrorKind::Machine,
            Error::Prefix { .. }
            | Error::PoolName { .. }
            | Error::PoolTwice { .. }
            | Error::PoolBase { .. } => ErrorKind::Config,
        }
    }
}
