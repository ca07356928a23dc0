//! One request over HTTP: redirects, conditions, credentials, and the meaning of each status (RFC 9110).

use std::io;
use std::time::{Duration, Instant};

use base64::Engine as _;
use jiff::fmt::rfc2822::DateTimeParser;
use ureq::http::header::{self, HeaderMap, HeaderName, HeaderValue};
use ureq::http::{Request, Response};
use ureq::tls::TlsConfig;
use ureq::unversioned::resolver::DefaultResolver;
use ureq::unversioned::transport::{
    ConnectProxyConnector, Connector as _, RustlsConnector, SocksConnector, TcpConnector,
};

use super::body::{Pace, Source};
use super::forward::ForwardConnector;
use super::{Body, Conditions, Error, Reply, Route, TransportOptions};
use crate::proxy::Proxy;
use crate::units::later;
use crate::uri::Uri;

/// The longest body of a redirect that is read, so that its connection can serve the next request.
const REDIRECT_BODY_BYTES: u64 = 8 << 10;

/// The age from which on the validators of a file are believed.
const SETTLED: Duration = Duration::from_secs(60);

/// Makes the HTTP client, which neither follows redirects nor reads the environment.
pub(super) fn agent(options: &TransportOptions) -> Result<ureq::Agent, Error> {
    let refuse = |option| {
        move |source: ureq::Error| Error::Option {
            option,
            source: Box::new(source),
        }
    };
    // The client does not check the user agent, and would panic over a line feed.
    HeaderValue::from_str(&options.user_agent)
        .map_err(|error| refuse("user agent")(ureq::http::Error::from(error).into()))?;
    let tls = options.tls.load()?;
    let config = ureq::Agent::config_builder()
        // Each request has its own.
        .proxy(None)
        .user_agent(&options.user_agent)
        // An index is fetched as the archive has it: the Release lists the hash of the compressed file.
        .accept_encoding("identity")
        .http_status_as_error(false)
        .max_redirects(0)
        .max_idle_connections_per_host(8)
        .timeout_resolve(Some(options.connect_timeout))
        .timeout_connect(Some(options.connect_timeout))
        .timeout_send_request(Some(options.response_timeout))
        .timeout_recv_response(Some(options.response_timeout))
        .timeout_per_read(Some(options.stall_timeout))
        .timeout_per_write(Some(options.stall_timeout))
        .tls_config(tls)
        .build();
    let connector = ()
        .chain(SocksConnector::default())
        .chain(ForwardConnector {
            direct: config.clone(),
        })
        .chain(ConnectProxyConnector::default())
        .chain(TcpConnector::default())
        .chain(RustlsConnector::default());
    let resolver = DefaultResolver::default();
    Ok(ureq::Agent::with_parts(config, connector, resolver))
}

/// The inputs of one try.
pub(super) struct Exchange<'a> {
    pub(super) agent: &'a ureq::Agent,
    pub(super) options: &'a TransportOptions,
    /// The largest size that the body may have.
    pub(super) limit: Option<u64>,
}

impl Exchange<'_> {
    pub(super) fn get(&self, uri: &Uri, conditions: &Conditions) -> Result<Reply, Error> {
        let begun = Instant::now();
        let mut target = uri.clone();
        for _ in 0..=self.options.redirects {
            let route = self.route(uri, &target)?;
            let (response, conditional) = self.send(uri, &target, &route, conditions, begun)?;
            let status = response.status().as_u16();
            return match status {
                200 => Ok(Reply::Body(Box::new(self.body(uri, route, response)))),
                304 if conditional => Ok(Reply::NotModified),
                304 => Err(Error::NotModifiedUnasked { uri: uri.clone() }),
                301 | 302 | 303 | 307 | 308 => {
                    target = redirect(uri, &target, response.headers())?;
                    drain(uri, response);
                    continue;
                }
                404 | 410 => Ok(Reply::NotFound),
                401 | 403 | 407 => Err(Error::Denied {
                    uri: uri.clone(),
                    status,
                    route,
                    credentials: target.has_credentials(),
                }),
                _ => Err(Error::Status {
                    uri: uri.clone(),
                    status,
                    route,
                    retry_after: retry_after(response.headers()),
                }),
            };
        }
        Err(Error::RedirectLoop {
            uri: uri.clone(),
            limit: self.options.redirects,
        })
    }

    /// Chooses the proxy for a request to `target`.
    fn route(&self, uri: &Uri, target: &Uri) -> Result<Route, Error> {
        let chosen = self.options.proxies.choose(target);
        chosen
            .map(Route)
            .map_err(|(variable, source)| Error::Proxy {
                uri: uri.clone(),
                variable,
                source,
            })
    }

    /// Sends the request to `target`; also returns whether a condition was sent.
    fn send(
        &self,
        uri: &Uri,
        target: &Uri,
        route: &Route,
        conditions: &Conditions,
        begun: Instant,
    ) -> Result<(Response<ureq::Body>, bool), Error> {
        let failed = |source| Error::from_client(uri, route, source);
        let mut request = Request::get(target.to_request())
            .body(())
            .map_err(|error| failed(error.into()))?;
        let mut conditional = false;
        let mut condition = |name: HeaderName, value: &Option<String>| {
            // A value that cannot be sent was damaged on our side; without it the server sends the whole file, and nothing else is lost.
            if let Some(Ok(value)) = value.as_deref().map(HeaderValue::from_str) {
                request.headers_mut().insert(name, value);
                conditional = true;
            }
        };
        condition(header::IF_NONE_MATCH, &conditions.etag);
        condition(header::IF_MODIFIED_SINCE, &conditions.last_modified);
        // A tunnel's credentials are sent by the client, to the proxy alone.
        let asked = route.0.as_ref().filter(|p| p.takes_requests_for(target));
        let for_proxy = asked.and_then(Proxy::basic_credentials);
        for (name, credentials) in [
            (header::AUTHORIZATION, target.basic_credentials()),
            (header::PROXY_AUTHORIZATION, for_proxy),
        ] {
            if let Some(credentials) = credentials {
                let encoded = base64::prelude::BASE64_STANDARD.encode(credentials);
                let mut value = HeaderValue::from_str(&format!("Basic {encoded}"))
                    .map_err(|error| failed(ureq::http::Error::from(error).into()))?;
                value.set_sensitive(true);
                request.headers_mut().insert(name, value);
            }
        }
        let proxy = match &route.0 {
            Some(proxy) => Some(ureq::Proxy::new(&proxy.to_client()).map_err(failed)?),
            None => None,
        };
        let left = self
            .options
            .total_timeout
            .map(|total| total.saturating_sub(begun.elapsed()));
        let mut request = self
            .agent
            .configure_request(request)
            .proxy(proxy)
            .timeout_global(left)
            .timeout_recv_body(self.longest_body());
        let tls = self.agent.config().tls_config();
        if tls.client_cert().is_some() && !target.is_of_origin(uri) {
            // Our certificate says who we are, to the servers of the archive alone.
            let anonymous = TlsConfig::builder().root_certs(tls.root_certs().clone());
            request = request.tls_config(anonymous.build());
        }
        let response = self.agent.run(request.build()).map_err(failed)?;
        Ok((response, conditional))
    }

    /// Returns the longest time that a body within the limit can take at the minimum speed. [`Pace`] does not see bytes that are not part
    /// of the body, such as the trailer of a chunked one (RFC 9112 section 7.1.2), which may go on for ever.
    fn longest_body(&self) -> Option<Duration> {
        let seconds = self.limit?.checked_div(self.options.minimum_speed)?;
        let slack = self
            .options
            .minimum_speed_window
            .saturating_add(self.options.stall_timeout);
        // A deadline further away than any run lasts is left out; adding it to the clock might even overflow.
        (seconds < 30 * 24 * 3600).then(|| slack.saturating_add(Duration::from_secs(seconds)))
    }

    fn body(&self, uri: &Uri, route: Route, response: Response<ureq::Body>) -> Body {
        let (parts, body) = response.into_parts();
        let length = body.content_length();
        let text = |name| {
            let value = parts.headers.get(name)?.to_str().ok()?;
            Some(value.to_owned())
        };
        let pace = Pace::new(
            self.options.minimum_speed,
            self.options.minimum_speed_window,
        );
        let source = Source::Http(body.into_reader());
        let mut body = Body::new(uri.clone(), source, length, pace);
        body.route = route;
        if !may_change_unnoticed(&parts.headers) {
            body.etag = text(header::ETAG);
            body.last_modified = text(header::LAST_MODIFIED);
        }
        body
    }
}

/// Returns whether a file was modified so shortly before the answer that it may change once more and keep its validators: `Last-Modified` has
/// whole seconds, and many servers make the `ETag` of it and of the length (RFC 9110, section 8.8.2.2).
fn may_change_unnoticed(headers: &HeaderMap) -> bool {
    let parser = DateTimeParser::new();
    let time = |name| {
        let value = headers.get(name)?.to_str().ok()?;
        parser.parse_timestamp(value.trim()).ok()
    };
    let times = time(header::LAST_MODIFIED).zip(time(header::DATE));
    times.is_some_and(|(modified, answered)| later(modified, SETTLED) > answered)
}

fn redirect(uri: &Uri, target: &Uri, headers: &HeaderMap) -> Result<Uri, Error> {
    let location = headers
        .get(header::LOCATION)
        .ok_or_else(|| Error::RedirectNowhere { uri: uri.clone() })?;
    let location = String::from_utf8_lossy(location.as_bytes());
    target
        .redirect(&location)
        .map_err(|source| Error::Redirect {
            uri: uri.clone(),
            location: crate::uri::redact(&location),
            source,
        })
}

/// Reads the rest of a redirect if that is quickly done. A failure here costs only the reuse of a connection.
fn drain(uri: &Uri, response: Response<ureq::Body>) {
    let body = response.into_body();
    let length = body.content_length();
    if length.is_some_and(|length| length <= REDIRECT_BODY_BYTES) {
        let pace = Pace::new(REDIRECT_BODY_BYTES, Duration::from_secs(1));
        let mut body = Body::new(uri.clone(), Source::Http(body.into_reader()), length, pace);
        let _ = io::copy(&mut body, &mut io::sink());
    }
}

/// Returns the pause of `Retry-After` (RFC 9110 section 10.2.3): seconds, or a date, which is measured from the `Date` of the same answer
/// so that nobody's clock matters.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let text = |name| headers.get(name)?.to_str().ok().map(str::trim);
    let value = text(header::RETRY_AFTER)?;
    if value.bytes().all(|byte| byte.is_ascii_digit()) {
        // A number too large to parse is a long time as well.
        return Some(Duration::from_secs(value.parse().unwrap_or(u64::MAX)));
    }
    let parser = DateTimeParser::new();
    let until = parser.parse_timestamp(value).ok()?;
    let from = parser.parse_timestamp(text(header::DATE)?).ok()?;
    Some(until.duration_since(from).try_into().unwrap_or_default())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn retry_after_takes_seconds_and_dates() {
        let after = |value: &'static str, date: Option<&'static str>| {
            let mut headers = HeaderMap::new();
            headers.insert(header::RETRY_AFTER, HeaderValue::from_static(value));
            if let Some(date) = date {
                headers.insert(header::DATE, HeaderValue::from_static(date));
            }
            retry_after(&headers)
        };
        let noon = Some("Sat, 04 Jul 2026 12:00:00 GMT");
        assert_eq!(after("7", None), Some(Duration::from_secs(7)));
        assert_eq!(
            after("99999999999999999999999", None),
            Some(Duration::from_secs(u64::MAX))
        );
        assert_eq!(
            after("Sat, 04 Jul 2026 12:00:30 GMT", noon),
            Some(Duration::from_secs(30))
        );
        assert_eq!(
            after("Sat, 04 Jul 2026 11:00:00 GMT", noon),
            Some(Duration::ZERO)
        );
        assert_eq!(after("Sat, 04 Jul 2026 12:00:30 GMT", None), None);
        assert_eq!(after("soon", noon), None);
        assert_eq!(after("-1", noon), None);
    }

    #[test]
    fn an_option_that_no_request_could_carry_is_refused() {
        let user_agent = TransportOptions {
            user_agent: "two\nlines".into(),
            ..TransportOptions::default()
        };
        assert!(matches!(
            agent(&user_agent),
            Err(Error::Option {
                option: "user agent",
                ..
            })
        ));
    }
}
