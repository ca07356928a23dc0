//! The server around the answers: connections, their bounds, and the end of them all.

use std::{io, net::SocketAddr, sync::Arc, time::Instant};

use hyper::{
    Request, Response, StatusCode, Version,
    body::Incoming,
    header::{HOST, USER_AGENT},
    http::request::Parts,
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore, watch},
    time::{Duration, sleep, timeout},
};

use super::{
    Access, Error, Hooks, Limits, Site,
    answer::{answer, plain},
    body::{Record, Sending},
    peers::{Peers, Seat},
    stall::Paced,
};

/// The pause after an accept that failed for want of a resource, so that the server does not spin.
const AFTER_ERROR: Duration = Duration::from_millis(200);
/// The least that hyper takes as the size of its buffer.
const LEAST_BUFFER_BYTES: usize = 8192;

/// The things that all connections share.
pub(super) struct Server {
    pub(super) site: Arc<Site>,
    pub(super) limits: Limits,
    pub(super) hooks: Hooks,
    pub(super) stop: watch::Receiver<bool>,
    pub(super) peers: Arc<Peers>,
}

impl Server {
    /// Accepts connections until it is told to stop, then waits for those that are open to finish what they are at.
    pub(super) async fn run(self, listener: TcpListener) {
        let server = Arc::new(self);
        let most = u32::try_from(server.limits.connections.max(1)).unwrap_or(u32::MAX);
        let places = Arc::new(Semaphore::new(most as usize));
        tokio::select! {
            () = server.accept(&listener, &places) => {}
            () = stopped(server.stop.clone()) => {}
        }
        // From here on the kernel queues no new client. A connection gives its place back when it ends.
        drop(listener);
        let _ = timeout(server.limits.drain, places.acquire_many(most)).await;
    }

    async fn accept(self: &Arc<Self>, listener: &TcpListener, places: &Arc<Semaphore>) {
        // The place comes first: a client without a place waits in the kernel's queue, and costs nothing. The semaphore is never
        // closed, so this goes on for ever.
        while let Ok(place) = places.clone().acquire_owned().await {
            match listener.accept().await {
                Ok((stream, peer)) => {
                    // Without a seat, the connection is closed here.
                    if let Some(seat) = self.peers.seat(peer.ip(), self.limits.per_client) {
                        tokio::spawn(self.clone().connection(stream, peer, (place, seat)));
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

    async fn connection(
        self: Arc<Self>,
        stream: TcpStream,
        peer: SocketAddr,
        _held: (OwnedSemaphorePermit, Seat),
    ) {
        // Answers to pipelined requests must not wait for each other's acknowledgement.
        let _ = stream.set_nodelay(true);
        let stop = self.stop.clone();
        let limits = self.limits.clone();
        let stream = Paced::new(stream, limits.stall, limits.stall_bytes);
        let service = service_fn(move |request| {
            let server = self.clone();
            async move { server.respond(request, peer).await }
        });
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(limits.header_timeout)
            .max_header_size(limits.header_bytes)
            .max_buf_size(limits.header_bytes.max(LEAST_BUFFER_BYTES))
            .serve_connection(TokioIo::new(stream), service);
        let mut connection = std::pin::pin!(connection);
        // The end of a connection is the client's affair: all requests are in the log by now.
        tokio::select! {
            _ = connection.as_mut() => {}
            () = stopped(stop) => {
                connection.as_mut().graceful_shutdown();
                let _ = timeout(limits.drain, connection).await;
            }
        }
    }

    async fn respond(
        &self,
        request: Request<Incoming>,
        peer: SocketAddr,
    ) -> Result<Response<Sending>, std::convert::Infallible> {
        let began = Instant::now();
        let (head, _) = request.into_parts();
        let agent = head.headers.get(USER_AGENT).map(|agent| agent.as_bytes());
        let mut access = Access {
            peer,
            method: head.method.to_string(),
            target: head.uri.to_string(),
            agent: agent.map(|agent| String::from_utf8_lossy(agent).into_owned()),
            status: 0,
            bytes: 0,
            took: Duration::ZERO,
            problem: None,
        };
        let site = self.site.clone();
        let names_host = names_one_host(&head);
        let answering = move || answer(&site, &head.method, &head.uri, &head.headers);
        let answer = match names_host {
            false => plain(StatusCode::BAD_REQUEST),
            true => match tokio::task::spawn_blocking(answering).await {
                Ok(answer) => answer,
                Err(error) => {
                    access.problem = Some(error.to_string());
                    plain(StatusCode::INTERNAL_SERVER_ERROR)
                }
            },
        };
        access.status = answer.response.status().as_u16();
        access.problem = answer.problem.or(access.problem);
        let record = Record {
            access,
            began,
            tell: self.hooks.on_request.clone(),
        };
        Ok(answer.response.map(|content| Sending::new(content, record)))
    }
}

/// Returns whether a request names its host as RFC 9112 section 3.2 wants: once; before HTTP/1.1 it may also name none.
fn names_one_host(head: &Parts) -> bool {
    let hosts = head.headers.get_all(HOST).iter().count();
    hosts == 1 || (hosts == 0 && head.version < Version::HTTP_11)
}

/// Waits until the server is to stop; forever, if nobody is left who could say so.
async fn stopped(mut stop: watch::Receiver<bool>) {
    if stop.wait_for(|stop| *stop).await.is_err() {
        std::future::pending::<()>().await;
    }
}
