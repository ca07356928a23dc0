//! The errors on the way from an archive to us, and which of them may pass.

use std::fmt;
use std::io;
use std::path::PathBuf;
use std::time::Duration;

use super::{TlsFault, TlsFileError};
use crate::error::{DomainError, ErrorKind};
use crate::proxy::{Proxy, ProxyError};
use crate::uri::{Uri, UriError};

/// The way that a request took: straight to its server, or through a proxy.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Route(pub(super) Option<Proxy>);

impl fmt::Display for Route {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Some(proxy) => write!(f, " through the proxy {proxy}"),
            None => Ok(()),
        }
    }
}

impl Route {
    /// Returns whether the request went through a proxy.
    pub fn has_proxy(&self) -> bool {
        self.0.is_some()
    }
}

/// The reason why a file could not be fetched. Every message names the URI that was asked for, without credentials.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// An option that no request can be made with.
    #[error("the {option} cannot be used")]
    Option {
        /// The name of the option.
        option: &'static str,
        /// The error in its value.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// A variable of the environment that names no proxy.
    #[error("{uri}: the environment variable {variable} cannot be used")]
    Proxy {
        /// The URI that was asked for.
        uri: Uri,
        /// The name of the variable.
        variable: &'static str,
        /// The error in its value.
        #[source]
        source: ProxyError,
    },
    /// A proxy that does not make a connection to the server.
    #[error("{uri}: refused a tunnel with status {status}{route}")]
    Tunnel {
        /// The URI that was asked for.
        uri: Uri,
        /// The status that the proxy answered with.
        status: u16,
        /// The proxy.
        route: Route,
    },
    /// A file of certificates or keys that cannot be used.
    #[error("a file for TLS cannot be used")]
    TlsFile(#[from] TlsFileError),
    /// TLS failed.
    #[error("{uri}: TLS with the server fails{route}: {fault}")]
    Tls {
        /// The URI that was asked for.
        uri: Uri,
        /// The way to the server.
        route: Route,
        /// The fault.
        fault: TlsFault,
        /// The error of the client.
        #[source]
        source: Box<ureq::Error>,
    },
    /// No connection, or one that broke before the body began.
    #[error("{uri}: the server cannot be reached{route}")]
    Unreachable {
        /// The URI that was asked for.
        uri: Uri,
        /// The way to the server.
        route: Route,
        /// The error of the client.
        #[source]
        source: Box<ureq::Error>,
    },
    /// A step that did not end in time.
    #[error("{uri}: timed out while {doing}{route}")]
    Timeout {
        /// The URI that was asked for.
        uri: Uri,
        /// The way to the server.
        route: Route,
        /// The step that was waited for.
        doing: &'static str,
    },
    /// The answer is not HTTP.
    #[error("{uri}: the server cannot be understood")]
    Protocol {
        /// The URI that was asked for.
        uri: Uri,
        /// The error of the client.
        #[source]
        source: Box<ureq::Error>,
    },
    /// The server does not let us have the file.
    #[error("{uri}: refused with status {status}{route}")]
    Denied {
        /// The URI that was asked for.
        uri: Uri,
        /// 401, 403 or 407.
        status: u16,
        /// The way to the server.
        route: Route,
        /// `true` if credentials were sent.
        credentials: bool,
    },
    /// A status that is no answer to the request.
    #[error("{uri}: answered with status {status}{route}")]
    Status {
        /// The URI that was asked for.
        uri: Uri,
        /// The status.
        status: u16,
        /// The way to the server.
        route: Route,
        /// The time that the server asks us to wait.
        retry_after: Option<Duration>,
    },
    /// "Not modified" in answer to a request without a condition.
    #[error("{uri}: said not to be modified, but no copy was asked about")]
    NotModifiedUnasked {
        /// The URI that was asked for.
        uri: Uri,
    },
    /// A redirect that is not followed.
    #[error("{uri}: the redirect to {location:?} is not followed")]
    Redirect {
        /// The URI that was asked for.
        uri: Uri,
        /// The target of the redirect, without credentials and query.
        location: String,
        /// The reason why the redirect is not followed.
        #[source]
        source: UriError,
    },
    /// A redirect without a target.
    #[error("{uri}: redirected to nowhere")]
    RedirectNowhere {
        /// The URI that was asked for.
        uri: Uri,
    },
    /// A longer chain of redirects than is allowed, which may be endless.
    #[error("{uri}: redirected more than {limit} times")]
    RedirectLoop {
        /// The URI that was asked for.
        uri: Uri,
        /// The number of redirects that were followed.
        limit: u32,
    },
    /// The body ended before it was complete.
    #[error("{uri}: ended after {received} bytes{}", of(*.expected))]
    Truncated {
        /// The URI that was asked for.
        uri: Uri,
        /// The number of bytes that came.
        received: u64,
        /// The number of bytes that were announced.
        expected: Option<u64>,
    },
    /// The body goes on past its announced length.
    #[error("{uri}: goes on after the {expected} bytes that were announced")]
    Overlong {
        /// The URI that was asked for.
        uri: Uri,
        /// The number of bytes that were announced.
        expected: u64,
    },
    /// The body is larger than allowed.
    #[error("{uri}: is larger than the {limit} bytes allowed")]
    TooLarge {
        /// The URI that was asked for.
        uri: Uri,
        /// The number of bytes that are allowed.
        limit: u64,
    },
    /// The body came in too slowly.
    #[error("{uri}: only {bytes} bytes came in {seconds} seconds, less than {minimum} a second")]
    TooSlow {
        /// The URI that was asked for.
        uri: Uri,
        /// The number of bytes that came.
        bytes: u64,
        /// The time in which they came.
        seconds: u64,
        /// The slowest speed allowed, in bytes per second.
        minimum: u64,
    },
    /// A `file:` URI that cannot be read.
    #[error("{uri}: {} cannot be read", path.display())]
    File {
        /// The URI that was asked for.
        uri: Uri,
        /// The file.
        path: PathBuf,
        /// The error of the system.
        #[source]
        source: io::Error,
    },
    /// A `file:` URI of a directory, a FIFO or the like.
    #[error("{uri}: {} is {kind}, not a regular file", path.display())]
    NotRegular {
        /// The URI that was asked for.
        uri: Uri,
        /// The path.
        path: PathBuf,
        /// The kind of file that stands there.
        kind: &'static str,
    },
    /// The fetched bytes could not be written.
    #[error("{uri}: what was fetched cannot be written")]
    Sink {
        /// The URI that was asked for.
        uri: Uri,
        /// The error of the sink.
        #[source]
        source: io::Error,
    },
    /// The caller cancelled the fetch.
    #[error("{uri}: cancelled")]
    Cancelled {
        /// The URI that was asked for.
        uri: Uri,
    },
}

fn of(expected: Option<u64>) -> String {
    expected.map_or_else(String::new, |expected| format!(" of {expected}"))
}

impl Error {
    /// Returns the error that reading a [`Body`](super::Body) put into an [`io::Error`].
    pub fn of(error: &io::Error) -> Option<&Self> {
        error.get_ref()?.downcast_ref()
    }

    /// Returns whether the same request may well succeed a moment later.
    pub(crate) fn is_transient(&self) -> bool {
        match self {
            Self::Unreachable { .. }
            | Self::Timeout { .. }
            | Self::Truncated { .. }
            | Self::Overlong { .. }
            | Self::TooSlow { .. } => true,
            Self::Tunnel { status, .. } => (500..=599).contains(status),
            // RFC 9110 section 15.5.9, RFC 6585 section 4, RFC 9110 section 15.6.
            Self::Status { status, .. } => matches!(status, 408 | 429 | 500..=599),
            _ => false,
        }
    }

    /// Returns the time that the server asks us to wait before the next try.
    pub(crate) fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Status { retry_after, .. } => *retry_after,
            _ => None,
        }
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

    /// Translates an error of the HTTP client.
    pub(super) fn from_client(uri: &Uri, route: &Route, source: ureq::Error) -> Self {
        use ureq::Timeout;
        let (uri, route) = (uri.clone(), route.clone());
        if let Some(status) = refused_tunnel(&source) {
            return Self::Tunnel { uri, status, route };
        }
        if let Some(fault) = TlsFault::of(&source) {
            return Self::Tls {
                uri,
                route,
                fault,
                source: Box::new(source),
            };
        }
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
            | ureq::Error::ConnectProxyFailed(_) => {
                return Self::Unreachable {
                    uri,
                    route,
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
        Self::Timeout { uri, route, doing }
    }
}

impl DomainError for Error {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::Cancelled { .. } => ErrorKind::Cancelled,
            Self::Option { .. } | Self::Proxy { .. } | Self::TlsFile(_) => ErrorKind::Config,
            _ => ErrorKind::Upstream,
        }
    }
}

/// Returns the status that a proxy answered with when it was asked for a tunnel. The client has it in a text alone.
fn refused_tunnel(error: &ureq::Error) -> Option<u16> {
    let ureq::Error::ConnectProxyFailed(reason) = error else {
        return None;
    };
    let answer = reason.strip_prefix("proxy server responded ")?;
    answer.split('/').next()?.parse().ok()
}
