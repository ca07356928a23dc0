//! Serves the link over HTTP, with the pool redirects: to try a merged archive out, and for small sites.
//!
//! Clients may ask for the tree behind the link, at `/` and below a prefix, and for `pool/NAME/…` below either, which
//! leads to the archive that the package came from. This module promises:
//!
//! - An answer is of one generation: the link is resolved once for a request, and a file that was opened is sent to its
//!   end as it was, whatever is renamed over it meanwhile.
//! - Nothing outside the tree or a local archive's directory is ever sent (`beneath` has the argument), and no redirect
//!   leads anywhere but below the base of a configured archive (`path`).
//! - What one client may hold, and for how long, is bounded by [`Limits`].
//!
//! The timeouts run on the machine's monotonic clock, the one clock that this module reads, beside the `Date` of its
//! answers. It prints nothing: accesses and errors are handed to [`Hooks`].

use std::{
    fmt,
    net::{SocketAddr, TcpListener},
    sync::Arc,
    time::Duration,
};

use axum::Router;
use tokio::{
    runtime,
    signal::unix::{SignalKind, signal},
    sync::Notify,
};
use tokio_util::sync::CancellationToken;

mod answer;
mod beneath;
mod body;
mod conditional;
pub(crate) mod error;
mod listen;
mod pages;
mod path;
mod peers;
mod site;
mod stall;

pub use error::Error;
pub use site::{Pool, PoolTarget, Site};

/// The resources that clients may use up. The defaults suit a small site, and the usual limit of 1024 descriptors.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Connections at a time; further ones wait until one ends.
    pub connections: usize,
    /// Connections of one client at a time; further ones are closed at once.
    pub per_client: usize,
    /// Bytes of a request's line and headers.
    pub header_bytes: usize,
    /// The time that a client may take to send the whole header of its next request, from its connecting or from the end
    /// of the answer before. An idle connection is kept for the same time.
    pub header_timeout: Duration,
    /// The time that a client that is slow to receive may take for `stall_bytes`.
    pub stall: Duration,
    /// The bytes that a client has to take in each `stall`, unless fewer are left.
    pub stall_bytes: usize,
    /// The time that answers on their way may still take after the server was told to stop.
    pub drain: Duration,
    /// Threads that handle connections.
    pub workers: usize,
    /// Threads that read files.
    pub readers: usize,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            connections: 256,
            per_client: 128,
            header_bytes: 16 * 1024,
            header_timeout: Duration::from_secs(30),
            stall: Duration::from_secs(60),
            stall_bytes: 16 * 1024,
            drain: Duration::from_secs(10),
            workers: 2,
            readers: 16,
        }
    }
}

/// A function that is told of something.
pub(crate) type Hook<T> = Arc<dyn Fn(&T) + Send + Sync>;

/// The functions that are told what happens. They are called on the server's threads and should not block.
#[derive(Clone, Default)]
pub struct Hooks {
    /// Called for each request when its answer has been sent, or its client is gone.
    pub on_request: Option<Hook<Access>>,
    /// Called for each error that does not end the server.
    pub on_error: Option<Hook<Error>>,
}

impl fmt::Debug for Hooks {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Hooks")
            .field("on_request", &self.on_request.is_some())
            .field("on_error", &self.on_error.is_some())
            .finish()
    }
}

/// One request and what came of it. The strings are the client's, made of whatever characters HTTP lets through: whoever
/// writes them to a terminal or a file quotes them.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Access {
    /// The address of the client.
    pub peer: SocketAddr,
    /// `GET`, for instance.
    pub method: String,
    /// The path and query, percent-encoded as they were sent.
    pub target: String,
    /// The client's `User-Agent`.
    pub agent: Option<String>,
    /// The status of the answer.
    pub status: u16,
    /// Bytes of the body that were handed to the connection.
    pub bytes: u64,
    /// The time from the end of the request's header to the end of the answer.
    pub took: Duration,
    /// The part of a failure that the client was not told.
    pub problem: Option<String>,
}

/// Ends a server from another thread. Clones end the same one.
#[derive(Debug, Clone, Default)]
pub struct Stop {
    token: CancellationToken,
    at_signals: bool,
}

impl Stop {
    /// Returns a handle that ends the server when [`Stop::stop`] is called on it or on a clone.
    pub fn new() -> Stop {
        Stop::default()
    }

    /// Returns a handle that ends the server at SIGINT and SIGTERM, too; at the second one, without waiting for answers. From then on
    /// these signals no longer kill the process.
    pub fn at_signals() -> Stop {
        Stop {
            at_signals: true,
            ..Stop::new()
        }
    }

    /// Tells the server to accept no more, to finish the answers that it is at, and to return.
    pub fn stop(&self) {
        self.token.cancel();
    }
}

/// Listens on an address such as `[::]:8080` or `localhost:8080`.
pub fn bind(address: &str) -> Result<TcpListener, Error> {
    TcpListener::bind(address).map_err(|source| Error::Bind {
        address: address.to_owned(),
        source,
    })
}

/// Serves the site until `stop` says otherwise. Blocks, on threads of its own; not to be called from async code.
pub fn serve(
    site: Site,
    listener: TcpListener,
    limits: Limits,
    hooks: Hooks,
    stop: &Stop,
) -> Result<(), Error> {
    site::check(&site)?;
    beneath::check().map_err(|source| Error::Beneath { source })?;
    let start = |source| Error::Start { source };
    let runtime = runtime::Builder::new_multi_thread()
        .worker_threads(limits.workers.max(1))
        .max_blocking_threads(limits.readers.max(1))
        .thread_name("serve")
        .enable_all()
        .build()
        .map_err(start)?;
    let app = Router::new()
        .fallback(answer::files)
        .with_state(Arc::new(site));
    let server = listen::Server::new(app, limits, hooks);
    let hurry = Arc::new(Notify::new());
    let outcome = runtime.block_on(async {
        listener.set_nonblocking(true)?;
        let listener = tokio::net::TcpListener::from_std(listener)?;
        if stop.at_signals {
            let mut interrupt = signal(SignalKind::interrupt())?;
            let mut terminate = signal(SignalKind::terminate())?;
            let (stop, hurry) = (stop.clone(), Arc::clone(&hurry));
            tokio::spawn(async move {
                let mut next = async || {
                    tokio::select! {
                        _ = interrupt.recv() => {}
                        _ = terminate.recv() => {}
                    }
                };
                next().await;
                stop.stop();
                next().await;
                hurry.notify_one();
            });
        }
        tokio::select! {
            () = server.run(listener, &stop.token) => {}
            () = hurry.notified() => {}
        }
        Ok(())
    });
    // Does not wait for anything that a disk or a client holds up: all waiting that is due is over by now.
    runtime.shutdown_background();
    outcome.map_err(start)
}

/// Checks, for the fuzzer, that a path of a request leads down, or nowhere.
#[cfg(any(test, fuzzing))]
pub(crate) fn fuzz_path(text: &str) {
    for segment in path::segments(text).into_iter().flatten() {
        assert!(segment.name.as_ref() != b".." && !segment.name.contains(&b'/'));
        assert!(!segment.name.contains(&0));
    }
    if let Some(package) = path::pool_path(text) {
        assert!(package.split('/').all(|part| part != ".."), "{package}");
    }
}
