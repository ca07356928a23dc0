//! Fetches one file from one URI: in bounded time, in bounded size, whole or not at all. A failure that may pass gets another try;
//! the hashes, not this module, decide whether the bytes are the right ones.
//!
//! This module reads a monotonic clock for time-outs and speed alone: no result depends on what time it is.

mod body;
mod error;
mod file;
mod forward;
mod http;
mod sink;
mod tls;

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

pub use body::Body;
pub use error::{Error, Route};
pub use sink::Sink;
pub use tls::{TlsFault, TlsFileError, TlsFiles};

use crate::proxy::Proxies;
use crate::uri::{Scheme, Uri};

/// The longest pause between two tries, and the longest that a server may ask for.
const PAUSE_MAX: Duration = Duration::from_secs(60);

/// The time between two looks, during a pause, whether the fetch was cancelled.
const PAUSE_STEP: Duration = Duration::from_millis(50);

/// The most bytes read between two looks whether the fetch was cancelled.
const CHUNK_BYTES: usize = 64 << 10;

/// The time-outs, limits and retries of a transport.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TransportOptions {
    /// The time to find the address of the host, and again to connect to it, TLS included.
    pub connect_timeout: Duration,
    /// The time from the request to the end of the answer's header.
    pub response_timeout: Duration,
    /// The time between two pieces of data.
    pub stall_timeout: Duration,
    /// The time for one try, redirects and body included.
    pub total_timeout: Option<Duration>,
    /// The speed in bytes per second below which a body is given up; zero allows any speed.
    pub minimum_speed: u64,
    /// The time for which a body may be slower than that: it counts waiting for the network, not for the reader.
    pub minimum_speed_window: Duration,
    /// The number of redirects that one try follows.
    pub redirects: u32,
    /// The number of tries that may follow the first.
    pub retries: u32,
    /// The pause before the second try; each later one is twice as long, up to a minute.
    pub backoff: Duration,
    /// The User-Agent that the transport sends.
    pub user_agent: String,
    /// The proxies that requests go through.
    pub proxies: Proxies,
    /// The certificates for https.
    pub tls: TlsFiles,
}

impl Default for TransportOptions {
    fn default() -> Self {
        Self {
            connect_timeout: Duration::from_secs(20),
            response_timeout: Duration::from_secs(60),
            stall_timeout: Duration::from_secs(30),
            total_timeout: None,
            minimum_speed: 1 << 10,
            minimum_speed_window: Duration::from_secs(60),
            redirects: 5,
            retries: 3,
            backoff: Duration::from_secs(1),
            user_agent: concat!("aptmerge/", env!("CARGO_PKG_VERSION")).to_owned(),
            proxies: Proxies::default(),
            tls: TlsFiles::default(),
        }
    }
}

/// The validators of a copy that we have: the file is wanted only if it differs from the copy. Both come from an earlier answer of the
/// same URI and mean nothing elsewhere.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Conditions {
    /// The `ETag`, with its quotes.
    pub etag: Option<String>,
    /// The `Last-Modified`, as the server wrote it.
    pub last_modified: Option<String>,
}

/// An answer that is neither an error nor a redirect.
#[derive(Debug)]
pub enum Reply {
    /// The copy that the conditions describe is still the right one.
    NotModified,
    /// There is no such file.
    NotFound,
    /// The file, whose bytes are still to be read.
    Body(Box<Body>),
}

/// The outcome of a fetch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fetched {
    /// The copy that the conditions describe is still the right one; nothing was written.
    NotModified,
    /// There is no such file; nothing was written.
    NotFound,
    /// All of it was written and flushed.
    Stored {
        /// The number of bytes.
        bytes: u64,
        /// The conditions for the next fetch.
        validators: Conditions,
    },
}

/// A fetcher with one pool of connections, which clones share and any thread may use.
#[derive(Clone)]
pub struct Transport {
    agent: ureq::Agent,
    options: Arc<TransportOptions>,
}

impl Transport {
    /// Makes a transport; does not connect to anything.
    pub fn new(options: TransportOptions) -> Result<Self, Error> {
        Ok(Self {
            agent: http::agent(&options)?,
            options: Arc::new(options),
        })
    }

    /// Asks once, and returns the body unread. The caller must still read the body to its end, which may fail.
    pub fn get(&self, uri: &Uri, conditions: &Conditions) -> Result<Reply, Error> {
        self.ask(uri, conditions, None)
    }

    /// Asks, and asks again where that can help, until the whole body is in `sink`.
    ///
    /// A body of more than `limit` bytes is refused as soon as its length is known. `cancelled` is called before every try,
    /// during pauses and between pieces of data, so a cancelled fetch ends within the stall time-out at the latest. After an
    /// error the content of the sink is undefined.
    pub fn fetch(
        &self,
        uri: &Uri,
        conditions: &Conditions,
        limit: u64,
        sink: &mut dyn Sink,
        cancelled: &dyn Fn() -> bool,
    ) -> Result<Fetched, Error> {
        let mut pause = self.options.backoff.min(PAUSE_MAX);
        let mut tries_left = self.options.retries;
        loop {
            let error = match self.attempt(uri, conditions, limit, sink, cancelled) {
                Ok(fetched) => return Ok(fetched),
                Err(error) => error,
            };
            // A server that asks for a longer pause than ours gets no second request at all.
            let asked = error.retry_after().unwrap_or_default();
            if tries_left == 0 || !error.is_transient() || asked > PAUSE_MAX {
                return Err(error);
            }
            tries_left -= 1;
            sleep(uri, pause.max(asked), cancelled)?;
            pause = pause.saturating_mul(2).min(PAUSE_MAX);
            sink.restart().map_err(|source| Error::Sink {
                uri: uri.clone(),
                source,
            })?;
        }
    }

    fn attempt(
        &self,
        uri: &Uri,
        conditions: &Conditions,
        limit: u64,
        sink: &mut dyn Sink,
        cancelled: &dyn Fn() -> bool,
    ) -> Result<Fetched, Error> {
        check_cancelled(uri, cancelled)?;
        let mut body = match self.ask(uri, conditions, Some(limit))? {
            Reply::NotModified => return Ok(Fetched::NotModified),
            Reply::NotFound => return Ok(Fetched::NotFound),
            Reply::Body(body) => body,
        };
        let too_large = || Error::TooLarge {
            uri: uri.clone(),
            limit,
        };
        let failed = |source| Error::Sink {
            uri: uri.clone(),
            source,
        };
        let mut chunk = vec![0; CHUNK_BYTES];
        if body.length.is_some_and(|length| length > limit) {
            // The caller may look at its beginning, to tell what was sent instead.
            let room = usize::try_from(limit)
                .unwrap_or(CHUNK_BYTES)
                .min(CHUNK_BYTES);
            if let Ok(count) = body.pull(&mut chunk[..room]) {
                sink.write_all(&chunk[..count]).map_err(failed)?;
            }
            return Err(too_large());
        }
        let mut bytes: u64 = 0;
        loop {
            check_cancelled(uri, cancelled)?;
            let count = body.pull(&mut chunk)?;
            if count == 0 {
                break;
            }
            bytes = bytes.saturating_add(count as u64);
            if bytes > limit {
                return Err(too_large());
            }
            sink.write_all(&chunk[..count]).map_err(failed)?;
        }
        sink.flush().map_err(failed)?;
        let validators = Conditions {
            etag: body.etag.take(),
            last_modified: body.last_modified.take(),
        };
        Ok(Fetched::Stored { bytes, validators })
    }

    fn ask(&self, uri: &Uri, conditions: &Conditions, limit: Option<u64>) -> Result<Reply, Error> {
        match uri.scheme() {
            Scheme::File => file::get(uri, conditions),
            Scheme::Http | Scheme::Https => http::Exchange {
                agent: &self.agent,
                options: &self.options,
                limit,
            }
            .get(uri, conditions),
        }
    }
}

impl fmt::Debug for Transport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Transport")
            .field("options", &self.options)
            .finish_non_exhaustive()
    }
}

fn check_cancelled(uri: &Uri, cancelled: &dyn Fn() -> bool) -> Result<(), Error> {
    match cancelled() {
        true => Err(Error::Cancelled { uri: uri.clone() }),
        false => Ok(()),
    }
}

fn sleep(uri: &Uri, pause: Duration, cancelled: &dyn Fn() -> bool) -> Result<(), Error> {
    let begun = Instant::now();
    loop {
        check_cancelled(uri, cancelled)?;
        match pause.checked_sub(begun.elapsed()) {
            None | Some(Duration::ZERO) => return Ok(()),
            Some(left) => std::thread::sleep(left.min(PAUSE_STEP)),
        }
    }
}
