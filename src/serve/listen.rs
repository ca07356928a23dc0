//! The server around the answers: connections, their bounds, and the end of them all.
//!
//! axum's own `serve` has none of these bounds, and the layers of tower come too late: they count and time requests, but what a
//! client holds is a connection, from before its first request to after its last answer.

use std::{convert::Infallible, io, net::SocketAddr, sync::Arc, time::Instant};

use axum::{
    Router,
    http::{
        Request, Response, StatusCode, Version,
        header::{HOST, USER_AGENT},
    },
};
use hyper::{
    body::Incoming,
    server::conn::http1,
    service::{Service, service_fn},
};
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    server::graceful::{GracefulConnection, GracefulShutdown},
    service::TowerToHyperService,
};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::Semaphore,
    time::{Duration, sleep, timeout},
};
use tokio_util::sync::CancellationToken;

use super::{
    Access, Error, Hooks, Limits,
    answer::plain,
    body::{Record, Sending},
    peers::Peers,
    stall::Paced,
};

/// The pause after an accept that failed for want of a resource, so that the server does not spin.
const AFTER_ERROR: Duration = Duration::from_millis(200);
/// The least that hyper takes as the size of its buffer.
const LEAST_BUFFER_BYTES: usize = 8192;

/// The things that all connections share.
pub(super) struct Server {
    app: TowerToHyperService<Router>,
    limits: Limits,
    hooks: Hooks,
    peers: Arc<Peers>,
}

impl Server {
    pub(super) fn new(app: Router, limits: Limits, hooks: Hooks) -> Server {
        Server {
            app: TowerToHyperService::new(app),
            limits,
            hooks,
            peers: Arc::default(),
        }
    }

    /// Accepts connections until it is told to stop, then waits for those that are open to finish what they are at.
    pub(super) async fn run(self, listener: TcpListener, stop: &CancellationToken) {
        let server = Arc::new(self);
        let open = GracefulShutdown::new();
        tokio::select! {
            () = server.accept(&listener, &open) => {}
            () = stop.cancelled() => {}
        }
        // From here on the kernel queues no new client.
        drop(listener);
        let _ = timeout(server.limits.drain, open.shutdown()).await;
    }

    async fn accept(self: &Arc<Self>, listener: &TcpListener, open: &GracefulShutdown) {
        let most = self.limits.connections.clamp(1, Semaphore::MAX_PERMITS);
        let places = Arc::new(Semaphore::new(most));
        // The place comes first: a client without a place waits in the kernel's queue, and costs nothing. The semaphore is never
        // closed, so this goes on for ever.
        while let Ok(place) = places.clone().acquire_owned().await {
            match listener.accept().await {
                Ok((stream, peer)) => {
                    // Without a seat, the connection is closed here.
                    if let Some(seat) = self.peers.seat(peer.ip(), self.limits.per_client) {
                        let connection = open.watch(self.connection(stream, peer));
                        tokio::spawn(async move {
                            // The end of a connection is the client's affair: all requests are in the log by now.
                            let _ = connection.await;
                            drop((place, seat));
                        });
                    }
                }
                Err(source) => {
                    let is_of_one_client = matches!(
                        source.kind(),
                        io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset
                    );
                    if let Some(tell) = &self.hooks.on_error {
                        tell(&Error::Accept { source });
                    }
                    if !is_of_one_client {
                        sleep(AFTER_ERROR).await;
                    }
                }
            }
        }
    }

    fn connection(
        self: &Arc<Self>,
        stream: TcpStream,
        peer: SocketAddr,
    ) -> impl GracefulConnection + Send + use<> {
        // Answers to pipelined requests must not wait for each other's acknowledgement.
        let _ = stream.set_nodelay(true);
        let server = Arc::clone(self);
        let limits = &self.limits;
        http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(limits.header_timeout)
            .max_header_size(limits.header_bytes)
            .max_buf_size(limits.header_bytes.max(LEAST_BUFFER_BYTES))
            .serve_connection(
                TokioIo::new(Paced::new(stream, limits.stall, limits.stall_bytes)),
                service_fn(move |request| {
                    let server = Arc::clone(&server);
                    async move { server.respond(request, peer).await }
                }),
            )
    }

    async fn respond(
        &self,
        request: Request<Incoming>,
        peer: SocketAddr,
    ) -> Result<Response<Sending>, Infallible> {
        let began = Instant::now();
        let agent = request.headers().get(USER_AGENT);
        let access = Access {
            peer,
            method: request.method().to_string(),
            target: request.uri().to_string(),
            agent: agent.map(|agent| String::from_utf8_lossy(agent.as_bytes()).into_owned()),
            status: 0,
            bytes: 0,
            took: Duration::ZERO,
            problem: None,
        };
        let response = match names_one_host(&request) {
            true => self.app.call(request).await?,
            false => plain(StatusCode::BAD_REQUEST),
        };
        let record = Record {
            access,
            began,
            tell: self.hooks.on_request.clone(),
        };
        Ok(Sending::new(response, record))
    }
}

/// Returns whether a request names its host as RFC 9112 section 3.2 wants: once; before HTTP/1.1 it may also name none.
fn names_one_host(request: &Request<Incoming>) -> bool {
    let hosts = request.headers().get_all(HOST).iter().count();
    hosts == 1 || (hosts == 0 && request.version() < Version::HTTP_11)
}
