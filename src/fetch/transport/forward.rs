//! Plain HTTP through a proxy: the proxy itself is asked, by a request that names the whole URI (RFC 9112 section 3.2.2).
//!
//! The client of HTTP knows tunnels alone (`CONNECT`), which proxies refuse to port 80. It lets connections be made by others, though. So
//! this one connects to the proxy, and puts the origin of the URI into the first line of each request that is sent over the connection.
//! These interfaces of the client may change with each of its minor versions.

use ureq::config::Config;
use ureq::http::Uri;
use ureq::http::uri::Scheme;
use ureq::unversioned::transport::{
    Buffers, ConnectionDetails, Connector, Either, NextTimeout, Transport,
};
use ureq::{Error, ProxyProtocol};

/// A maker of connections to proxies that are asked for plain HTTP.
#[derive(Debug)]
pub(super) struct ForwardConnector {
    /// The configuration for the way to the proxy: without a proxy.
    pub(super) direct: Config,
}

impl<In: Transport> Connector<In> for ForwardConnector {
    type Out = Either<In, Forward>;

    fn connect(
        &self,
        details: &ConnectionDetails<'_>,
        chained: Option<In>,
    ) -> Result<Option<Self::Out>, Error> {
        if let Some(transport) = chained {
            return Ok(Some(Either::A(transport)));
        }
        let Some(proxy) = details.config.proxy().filter(|proxy| {
            let protocol = proxy.protocol();
            details.uri.scheme() == Some(&Scheme::HTTP)
                && matches!(protocol, ProxyProtocol::Http | ProxyProtocol::Https)
        }) else {
            return Ok(None);
        };
        let connection = (details.run_connector)(&ConnectionDetails {
            uri: proxy.uri(),
            addrs: details
                .resolver
                .resolve(proxy.uri(), &self.direct, details.timeout)?,
            config: &self.direct,
            request_level: details.request_level,
            resolver: details.resolver,
            now: details.now,
            timeout: details.timeout,
            current_time: details.current_time.clone(),
            run_connector: details.run_connector.clone(),
            register_shutdown: details.register_shutdown.clone(),
        })?;
        Ok(Some(Either::B(Forward {
            connection,
            origin: origin(details.uri),
            begins: true,
        })))
    }
}

fn origin(uri: &Uri) -> String {
    let authority = uri.authority().map_or("", |authority| authority.as_str());
    format!("http://{authority}")
}

/// A connection to a proxy, for requests to one server.
#[derive(Debug)]
pub(super) struct Forward {
    connection: Box<dyn Transport>,
    /// The text that comes before the path in the first line of a request.
    origin: String,
    /// `true` if the next bytes that are sent begin a request.
    begins: bool,
}

impl Transport for Forward {
    fn buffers(&mut self) -> &mut dyn Buffers {
        self.connection.buffers()
    }

    fn transmit_output(&mut self, amount: usize, timeout: NextTimeout) -> Result<(), Error> {
        if !std::mem::take(&mut self.begins) {
            return self.connection.transmit_output(amount, timeout);
        }
        let sent = self.connection.buffers().output();
        let request = sent[..amount].to_vec();
        let path = request.iter().position(|byte| *byte == b' ');
        let (method, rest) = request.split_at(path.map_or(0, |blank| blank + 1));
        let request = [method, self.origin.as_bytes(), rest].concat();
        // A buffer has room for the longest header that is sent, and hardly for more.
        for part in request.chunks(sent.len().max(1)) {
            self.connection.buffers().output()[..part.len()].copy_from_slice(part);
            self.connection.transmit_output(part.len(), timeout)?;
        }
        Ok(())
    }

    fn await_input(&mut self, timeout: NextTimeout) -> Result<bool, Error> {
        // A request has no body here: whatever is sent after an answer begins the next one.
        self.begins = true;
        self.connection.await_input(timeout)
    }

    fn is_open(&mut self) -> bool {
        self.connection.is_open()
    }
}
