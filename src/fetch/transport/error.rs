//! What can go wrong on the way from an archive to us, and which of it may pass.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use crate::uri::{Uri, UriError};

/// Why a file could not be fetched. Every message names the URI that was asked for, without credentials.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// An option that no request could be made with.
    #[error("the {option} cannot be used")]
    Option {
        /// Its name.
        option: &'static str,
        /// What is wrong with it.
        #[source]
        source: Box<ureq::Error>,
    },
    /// No connection, or one that broke before the body began.
    #[error("{uri}: the server cannot be reached")]
    Unreachable {
        /// What was asked for.
        uri: Uri,
        /// What happened.
        #[source]
        source: Box<ureq::Error>,
    },
    /// Something that should have happened did not, in time.
    #[error("{uri}: timed out while {doing}")]
    Timeout {
        /// What was asked for.
        uri: Uri,
        /// What was being waited for.
        doing: &'static str,
    },
    /// The answer is not HTTP, or TLS failed.
    #[error("{uri}: the server cannot be understood")]
    Protocol {
        /// What was asked for.
        uri: Uri,
        /// What happened.
        #[source]
        source: Box<ureq::Error>,
    },
    /// The server will not let us have it.
    #[error("{uri}: refused with status {status}")]
    Denied {
        /// What was asked for.
        uri: Uri,
        /// 401, 403 or 407.
        status: u16,
        /// Whether credentials were sent.
        credentials: bool,
    },
    /// A status that is no answer to the question.
    #[error("{uri}: answered with status {status}")]
    Status {
        /// What was asked for.
        uri: Uri,
        /// The status.
        status: u16,
        /// How long the server asks us to wait.
        retry_after: Option<Duration>,
    },
    /// "Not modified" in answer to a request without a condition.
    #[error("{uri}: said not to be modified, but no copy was asked about")]
    NotModifiedUnasked {
        /// What was asked for.
        uri: Uri,
    },
    /// A redirect that is not followed.
    #[error("{uri}: the redirect to {location:?} is not followed")]
    Redirect {
        /// What was asked for.
        uri: Uri,
        /// Where it leads, without credentials and query.
        location: String,
        /// Why not.
        #[source]
        source: UriError,
    },
    /// A redirect that does not say where to.
    #[error("{uri}: redirected to nowhere")]
    RedirectNowhere {
        /// What was asked for.
        uri: Uri,
    },
    /// A chain of redirects without end, as far as anyone can tell.
    #[error("{uri}: redirected more than {limit} times")]
    RedirectLoop {
        /// What was asked for.
        uri: Uri,
        /// How many were followed.
        limit: u32,
    },
    /// The body ended before it was complete.
    #[error("{uri}: ended after {received} bytes{}", of(*.expected))]
    Truncated {
        /// What was asked for.
        uri: Uri,
        /// How much came.
        received: u64,
        /// How much was announced.
        expected: Option<u64>,
    },
    /// The body goes on past its announced length.
    #[error("{uri}: goes on after the {expected} bytes that were announced")]
    Overlong {
        /// What was asked for.
        uri: Uri,
        /// How much was announced.
        expected: u64,
    },
    /// The body is larger than it may be.
    #[error("{uri}: is larger than the {limit} bytes allowed")]
    TooLarge {
        /// What was asked for.
        uri: Uri,
        /// How much was allowed.
        limit: u64,
    },
    /// The body came in too slowly.
    #[error("{uri}: only {bytes} bytes came in {seconds} seconds, less than {minimum} a second")]
    TooSlow {
        /// What was asked for.
        uri: Uri,
        /// How much came.
        bytes: u64,
        /// In how long.
        seconds: u64,
        /// The slowest speed allowed, in bytes per second.
        minimum: u64,
    },
    /// A `file:` URI that cannot be read.
    #[error("{uri}: {} cannot be read", path.display())]
    File {
        /// What was asked for.
        uri: Uri,
        /// The file.
        path: PathBuf,
        /// What happened.
        #[source]
        source: io::Error,
    },
    /// A `file:` URI of a directory, a FIFO or the like.
    #[error("{uri}: {} is {kind}, not a regular file", path.display())]
    NotRegular {
        /// What was asked for.
        uri: Uri,
        /// The path.
        path: PathBuf,
        /// What it is.
        kind: &'static str,
    },
    /// What was fetched could not be written.
    #[error("{uri}: what was fetched cannot be written")]
    Sink {
        /// What was asked for.
        uri: Uri,
        /// What happened.
        #[source]
        source: io::Error,
    },
    /// The caller wants it no more.
    #[error("{uri}: cancelled")]
    Cancelled {
        /// What was asked for.
        uri: Uri,
    },
}

fn of(expected: Option<u64>) -> String {
    expected.map_or_else(String::new, |expected| format!(" of {expected}"))
}

impl Error {
    /// The error that reading a [`Body`](super::Body) put into an [`io::Error`].
    pub fn of(error: &io::Error) -> Option<&Self> {
        error.get_ref()?.downcast_ref()
    }

    /// Whether the same request may well succeed a moment later.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Unreachable { .. }
            | Self::Timeout { .. }
            | Self::Truncated { .. }
            | Self::Overlong { .. }
            | Self::TooSlow { .. } => true,
            // RFC 9110 section 15.5.9, RFC 6585 section 4, RFC 9110 section 15.6.
            Self::Status { status, .. } => matches!(status, 408 | 429 | 500..=599),
            _ => false,
        }
    }

    /// How long the server asks us to wait before the next try.
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Status { retry_after, .. } => *retry_after,
            _ => None,
        }
    }

    /// What the operator can do about it.
    pub fn hint(&self) -> Option<String> {
        let hint = match self {
            Self::Denied { status: 407, .. } => "the proxy wants a user and a password in its URI",
            Self::Denied {
                credentials: false, ..
            } => {
                "if the archive wants a user and a password, put them into the URI: https://USER:PASSWORD@HOST/"
            }
            Self::Denied { .. } => "check the user and the password in the URI",
            Self::Redirect { source, .. } => return source.hint(),
            Self::RedirectLoop { .. } => "try the URI that the archive's own documentation gives",
            Self::NotRegular { .. } => "a file: URI names the directory that holds dists/",
            Self::TooSlow { .. } | Self::Unreachable { .. } => {
                "give the archive a second URI to fall back on"
            }
            _ => return None,
        };
        Some(hint.to_owned())
    }

    pub(super) fn into_io(self) -> io::Error {
        let kind = match &self {
            Self::Truncated { .. } => io::ErrorKind::UnexpectedEof,
            Self::Timeout { .. } | Self::TooSlow { .. } => io::ErrorKind::TimedOut,
            Self::File { source, .. } => source.kind(),
            _ => io::ErrorKind::Other,
        };
        io::Error::new(kind, self)
    }

    /// What an error of the HTTP client means for a request.
    pub(super) fn from_client(uri: &Uri, source: ureq::Error) -> Self {
        use ureq::Timeout;
        let uri = uri.clone();
        let doing = match source {
            ureq::Error::Timeout(Timeout::Resolve) => "looking up the host",
            ureq::Error::Timeout(Timeout::Connect) => "connecting",
            ureq::Error::Timeout(Timeout::SendRequest | Timeout::PerWrite) => "sending the request",
            ureq::Error::Timeout(Timeout::RecvResponse) => "waiting for an answer",
            ureq::Error::Timeout(Timeout::PerRead | Timeout::RecvBody) => "waiting for data",
            ureq::Error::Timeout(_) => "fetching all of it",
            ureq::Error::Io(_)
            | ureq::Error::HostNotFound
            | ureq::Error::ConnectionFailed
            | ureq::Error::ConnectProxyFailed(_)
                if !is_tls(&source) =>
            {
                return Self::Unreachable {
                    uri,
                    source: Box::new(source),
                };
            }
            source => {
                return Self::Protocol {
                    uri,
                    source: Box::new(source),
                };
            }
        };
        Self::Timeout { uri, doing }
    }
}

/// rustls reports a certificate that it does not trust as an I/O error; another try would not change that.
fn is_tls(error: &ureq::Error) -> bool {
    matches!(error, ureq::Error::Io(io) if io.kind() == io::ErrorKind::InvalidData)
}
