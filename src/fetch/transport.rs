//! Fetches one file from one URI: in bounded time, in bounded size, whole or not at all. What is worth another try gets
//! one; whether the bytes are the right ones is for the hashes to say.
//!
//! A monotonic clock is read here, for time-outs and speed alone: no result depends on what time it is.

mod body;
mod error;
mod file;
mod http;
mod sink;

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

pub use body::Body;
pub use error::Error;
pub use sink::Sink;

use crate::uri::{Scheme, Uri};

/// The longest pause between two tries, and the longest that a server may ask for.
const PAUSE_MAX: Duration = Duration::from_secs(60);

/// How often a pause looks whether it was cancelled.
const PAUSE_STEP: Duration = Duration::from_millis(50);

/// How much is read between two looks whether a fetch was cancelled.
const CHUNK_BYTES: usize = 64 << 10;

/// How patient and how persistent to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TransportOptions {
    /// To find the address of the host, and again to connect to it, TLS included.
    pub connect_timeout: Duration,
    /// From the request to the end of the answer's header.
    pub response_timeout: Duration,
    /// Between two pieces of data.
    pub stall_timeout: Duration,
    /// For one try, redirects and body included.
    pub total_timeout: Option<Duration>,
    /// Bytes per second below which a body is given up; zero for any speed.
    pub minimum_speed: u64,
    /// How long a body may be slower than that: time spent waiting for the network, not for whoever reads.
    pub minimum_speed_window: Duration,
    /// How many redirects one try follows.
    pub redirects: u32,
    /// How many tries may follow the first.
    pub retries: u32,
    /// The pause before the second try; each later one is twice as long, up to a minute.
    pub backoff: Duration,
    /// What to call ourselves.
    pub user_agent: String,
    /// An HTTP proxy, which must allow `CONNECT` to port 80 as well. The environment is not asked.
    pub proxy: Option<Uri>,
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
            proxy: None,
        }
    }
}

/// What is known of a copy that we have: the file is wanted only if it differs. Both come from an earlier answer of the
/// same URI and mean nothing elsewhere.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Conditions {
    /// The `ETag`, quotes and all.
    pub etag: Option<String>,
    /// The `Last-Modified`, as it was written.
    pub last_modified: Option<String>,
}

/// An answer that is neither an error nor a redirect.
#[derive(Debug)]
pub enum Reply {
    /// The copy that the conditions speak of is still the right one.
    NotModified,
    /// There is no such file.
    NotFound,
    /// Here it comes.
    Body(Box<Body>),
}

/// How a fetch ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fetched {
    /// The copy that the conditions speak of is still the right one; nothing was written.
    NotModified,
    /// There is no such file; nothing was written.
    NotFound,
    /// All of it was written and flushed.
    Stored {
        /// How much.
        bytes: u64,
        /// What to ask with the next time.
        validators: Conditions,
    },
}

/// Fetches, with one pool of connections, which clones share and any thread may use.
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

    /// Asks once, and hands on the body unread. It must still be read to its end, which may fail.
    pub fn get(&self, uri: &Uri, conditions: &Conditions) -> Result<Reply, Error> {
        self.ask(uri, conditions, None)
    }

    /// Asks, and again where that can help, until all of the body is in `sink`.
    ///
    /// A body of more than `limit` bytes is refused as soon as it is known to be. `cancelled` is asked before every try,
    /// during pauses and between pieces of data, so it is obeyed within the stall time-out at the latest. After an
    /// error the sink holds anything.
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
            // Who asks for more patience than we have gets no second request at all.
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
        if body.length.is_some_and(|length| length > limit) {
            return Err(too_large());
        }
        let mut chunk = vec![0; CHUNK_BYTES];
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
