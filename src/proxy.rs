//! The proxy that a request goes through: what the configuration says, and else what the environment says, as curl and apt take it.
//!
//! 1. What the archive says holds for each of its requests, wherever redirects lead.
//! 2. Else what is said for all archives holds, and else the environment: `http_proxy` for http; for https `https_proxy`, and as for apt
//!    `http_proxy` if there is nothing else; `all_proxy` for both. Upper case counts for all but `http_proxy`, which a web server could set
//!    by a header of a request.
//! 3. Of these two, `no_proxy` takes out the hosts that it names, as it does for curl and apt.

mod no_proxy;

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

pub use no_proxy::NoProxy;

use crate::uri::{Scheme, Uri, UriError};

/// The protocols between us and a proxy, by the schemes of their URIs.
const SCHEMES: [&str; 6] = ["http", "https", "socks5h", "socks5", "socks4a", "socks4"];

/// A proxy, without a path. `Display` and `Debug` leave out its credentials.
#[derive(Clone, PartialEq, Eq)]
pub struct Proxy {
    /// One of [`SCHEMES`].
    scheme: &'static str,
    /// Host, port and credentials, as a URI whose scheme says nothing unless it is the proxy's own.
    server: Uri,
}

/// The reason why a text names no proxy.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ProxyError {
    /// The scheme is missing or none that a proxy can have.
    #[error(
        "a proxy is written http://HOST:PORT, https://HOST:PORT or socks5h://HOST:PORT, and \"direct\" means none"
    )]
    Scheme,
    /// The rest of the URI is wrong.
    #[error(transparent)]
    Uri(#[from] UriError),
}

impl FromStr for Proxy {
    type Err = ProxyError;

    fn from_str(text: &str) -> Result<Self, ProxyError> {
        let (name, server) = text.split_once("://").ok_or(ProxyError::Scheme)?;
        let mut schemes = SCHEMES.into_iter();
        let scheme = schemes
            .find(|scheme| scheme.eq_ignore_ascii_case(name))
            .ok_or(ProxyError::Scheme)?;
        let carrier = match scheme {
            "https" => "https",
            _ => "http",
        };
        // No path of a proxy means anything.
        let server = server.split('/').next().unwrap_or_default();
        Ok(Self {
            scheme,
            server: Uri::parse(&format!("{carrier}://{server}"))?,
        })
    }
}

impl Proxy {
    /// Returns the text that the client of HTTP knows the proxy by, with its credentials.
    pub(crate) fn to_client(&self) -> String {
        let server = self.server.to_proxy();
        match server.split_once("://") {
            Some((_, server)) => format!("{}://{server}", self.scheme),
            None => server,
        }
    }

    /// Returns whether plain HTTP is asked of the proxy itself (RFC 9112 section 3.2.2), and not through a tunnel.
    pub(crate) fn takes_requests_for(&self, target: &Uri) -> bool {
        target.scheme() == Scheme::Http && ["http", "https"].contains(&self.scheme)
    }

    /// Returns user and password with the colon that Basic authentication wants.
    pub(crate) fn basic_credentials(&self) -> Option<Vec<u8>> {
        self.server.basic_credentials()
    }
}

impl fmt::Display for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let server = self.server.to_string();
        let server = server.split_once("://").map_or("", |(_, server)| server);
        write!(f, "{}://{}", self.scheme, server.trim_end_matches('/'))
    }
}

impl fmt::Debug for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Proxy({self})")
    }
}

/// A proxy, or none, as the configuration says it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Choice {
    /// No proxy.
    Direct,
    /// This one.
    Through(Proxy),
}

impl FromStr for Choice {
    type Err = ProxyError;

    fn from_str(text: &str) -> Result<Self, ProxyError> {
        match text {
            "direct" | "none" => Ok(Self::Direct),
            text => text.parse().map(Self::Through),
        }
    }
}

impl<'de> Deserialize<'de> for Choice {
    fn deserialize<D: Deserializer<'de>>(input: D) -> Result<Self, D::Error> {
        let text = String::deserialize(input)?;
        text.parse().map_err(de::Error::custom)
    }
}

impl Serialize for Choice {
    /// Writes the proxy with a mark in the place of its credentials, which makes it one that cannot be read again.
    fn serialize<S: Serializer>(&self, output: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Direct => output.serialize_str("direct"),
            Self::Through(proxy) => {
                output.serialize_str(&crate::uri::without_passwords(&proxy.to_client()))
            }
        }
    }
}

/// A variable of the environment with its value.
type Variable = (&'static str, String);

/// The proxies that the environment names, and the hosts that it takes out.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Environment {
    http: Option<Variable>,
    https: Option<Variable>,
    no_proxy: NoProxy,
}

/// Writes no value: it may have a password.
impl fmt::Debug for Environment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = |variable: &Option<Variable>| variable.as_ref().map(|(name, _)| *name);
        f.debug_struct("Environment")
            .field("http", &name(&self.http))
            .field("https", &name(&self.https))
            .field("no_proxy", &self.no_proxy)
            .finish()
    }
}

impl Environment {
    /// Takes what variables say, each looked up by its name. An empty variable says nothing.
    pub fn new(lookup: impl Fn(&str) -> Option<String>) -> Self {
        let first = |names: &[&'static str]| {
            let mut values = names.iter().map(|name| Some((*name, lookup(name)?)));
            values.find_map(|found| found.filter(|(_, value)| !value.is_empty()))
        };
        let no_proxy = first(&["no_proxy", "NO_PROXY"]).unwrap_or_default();
        Self {
            http: first(&["http_proxy", "all_proxy", "ALL_PROXY"]),
            https: first(&[
                "https_proxy",
                "HTTPS_PROXY",
                "all_proxy",
                "ALL_PROXY",
                "http_proxy",
            ]),
            no_proxy: NoProxy::new(&no_proxy.1),
        }
    }
}

/// The settings that decide which proxy a request goes through.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Proxies {
    /// The choice for one archive.
    pub archive: Option<Choice>,
    /// The choice for all archives.
    pub general: Option<Choice>,
    /// The proxies that hold where the configuration names none.
    pub environment: Environment,
}

impl Proxies {
    /// Returns the proxy for a request; `None` if it goes straight to its server. An error names the variable that is wrong.
    pub fn choose(&self, target: &Uri) -> Result<Option<Proxy>, (&'static str, ProxyError)> {
        match &self.archive {
            Some(Choice::Direct) => return Ok(None),
            Some(Choice::Through(proxy)) => return Ok(Some(proxy.clone())),
            None => {}
        }
        if self.environment.no_proxy.covers(target) {
            return Ok(None);
        }
        let variable = match target.scheme() {
            Scheme::Http => &self.environment.http,
            Scheme::Https => &self.environment.https,
            Scheme::File => return Ok(None),
        };
        match (&self.general, variable) {
            (Some(Choice::Direct), _) | (None, None) => Ok(None),
            (Some(Choice::Through(proxy)), _) => Ok(Some(proxy.clone())),
            (None, Some((name, value))) => {
                let proxy = match value.contains("://") {
                    true => value.parse(),
                    false => format!("http://{value}").parse(),
                };
                proxy.map(Some).map_err(|error| (*name, error))
            }
        }
    }
}

#[cfg(test)]
mod tests;
