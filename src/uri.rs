//! The place of an archive: an `http`, `https` or `file` URI, parsed once. A path that is joined to it stays below it, and no text
//! that is made from it shows a password.

mod syntax;

use std::ffi::OsString;
use std::fmt;
use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;
use std::str::FromStr;
use std::sync::Arc;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use syntax::{
    check_encoded, encode_leniently, is_dot_segment, local_authority, remove_dot_segments,
    split_authority,
};
pub(crate) use syntax::{redact, without_passwords};

/// The characters that are not encoded in a segment: RFC 3986 section 2.3, "unreserved". `+` is not among them: a path may
/// have it unencoded (section 3.3), but some servers before object stores read it as a blank.
const SEGMENT: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

/// The reason why a text is not a URI that can be fetched, or not a path that can be joined to one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum UriError {
    /// The scheme is missing, or is none of `http`, `https` and `file`.
    #[error("{uri:?} does not begin with http://, https:// or file:/")]
    Scheme {
        /// The text, without credentials.
        uri: String,
    },
    /// The host or the port is missing or malformed, or a `file:` URI names another machine.
    #[error("{uri:?} has no usable host: {reason}")]
    Host {
        /// The text, without credentials.
        uri: String,
        /// The error in it.
        reason: &'static str,
    },
    /// The path has a character that a URI cannot have, or would lead out of the URI.
    #[error("{uri:?} has no usable path: {reason}")]
    Path {
        /// The text, without credentials.
        uri: String,
        /// The error in it.
        reason: &'static str,
    },
    /// The root of an archive has a query or a fragment, so no path could be joined to it.
    #[error("{uri:?} has a query or a fragment, which the root of an archive cannot have")]
    Query {
        /// The text, without credentials.
        uri: String,
    },
    /// A relative path that would not stay below the URI, or that no archive has.
    #[error("{path:?} is not a path below an archive: {reason}")]
    Relative {
        /// The path as it was given.
        path: String,
        /// The error in it.
        reason: &'static str,
    },
    /// A redirect that leads from a protected connection to an open one.
    #[error("it leads from https to http")]
    Downgrade,
    /// A redirect that leads from the network to a local file.
    #[error("it leads from the network to a local file")]
    Local,
}

/// The way to reach a URI.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Scheme {
    /// Plain HTTP.
    Http,
    /// HTTP over TLS.
    Https,
    /// A file on this machine.
    File,
}

impl Scheme {
    /// Returns the name before the colon.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Https => "https",
            Self::File => "file",
        }
    }

    fn from_name(name: &str) -> Option<Self> {
        [Self::Http, Self::Https, Self::File]
            .into_iter()
            .find(|scheme| scheme.as_str().eq_ignore_ascii_case(name))
    }
}

/// A parsed URI, cheap to clone. `Display` and `Debug` leave out credentials and the values of a query.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Uri(Arc<Parts>);

#[derive(Clone, PartialEq, Eq, Hash)]
struct Parts {
    scheme: Scheme,
    /// The user and password as they were written, percent-encoded; the password follows the first colon.
    userinfo: Option<String>,
    /// The host in lower case; an IPv6 address keeps its brackets; empty for `file`.
    host: String,
    port: Option<u16>,
    /// The path, percent-encoded; it begins with a slash.
    path: String,
    /// The query, which only a redirect can have.
    query: Option<String>,
}

impl Uri {
    /// Parses the root of an archive, or of a file below one.
    pub fn parse(text: &str) -> Result<Self, UriError> {
        if text.contains(['?', '#']) {
            return Err(UriError::Query { uri: redact(text) });
        }
        Ok(Self(Arc::new(Parts::parse(text)?)))
    }

    /// Returns the URI of a relative path below this one. Each segment is percent-encoded as it stands: a `%` in the
    /// path is a `%` in the name of the file.
    pub fn join(&self, relative: &str) -> Result<Self, UriError> {
        let refuse = |reason| {
            Err(UriError::Relative {
                path: relative.to_owned(),
                reason,
            })
        };
        if relative.is_empty() {
            return refuse("it is empty");
        }
        if relative.chars().any(char::is_control) {
            return refuse("it has a control character");
        }
        // A few servers, and Windows, take a backslash for a slash.
        if relative.contains('\\') {
            return refuse("it has a backslash");
        }
        if relative.starts_with('/') {
            return refuse("it is absolute");
        }
        let mut path = self.0.path.trim_end_matches('/').to_owned();
        for segment in relative.split('/') {
            match segment {
                "" => return refuse("it has an empty segment"),
                "." | ".." => return refuse("it has a segment \".\" or \"..\""),
                _ => {
                    path.push('/');
                    path.extend(utf8_percent_encode(segment, SEGMENT));
                }
            }
        }
        Ok(Self(Arc::new(Parts {
            path,
            query: None,
            ..(*self.0).clone()
        })))
    }

    /// Returns the target of a `Location` that answered a request to this URI (RFC 3986 section 5, RFC 9110 section 10.2.2). Allows
    /// only redirects from the network to the network, and none from https to http. Credentials stay within their own origin.
    pub fn redirect(&self, location: &str) -> Result<Self, UriError> {
        let location = location.split('#').next().unwrap_or("").trim();
        let (reference, query) = match location.split_once('?') {
            Some((reference, query)) => (reference, Some(encode_leniently(query))),
            None => (location, None),
        };
        let named = reference.split_once(':').filter(|(name, _)| {
            name.starts_with(|first: char| first.is_ascii_alphabetic())
                && name
                    .bytes()
                    .all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte))
        });
        let unusable = |reason| UriError::Path {
            uri: redact(location),
            reason,
        };
        if location.is_empty() || location.chars().any(char::is_control) {
            return Err(unusable("it is empty or has a control character"));
        }
        let mut target = if named.is_some() {
            Parts::parse_redirect(reference)?
        } else if reference.starts_with("//") {
            Parts::parse_redirect(&format!("{}:{reference}", self.0.scheme.as_str()))?
        } else {
            let path = match reference {
                "" => self.0.path.clone(),
                absolute if absolute.starts_with('/') => encode_leniently(absolute),
                relative => {
                    let parent = self
                        .0
                        .path
                        .rsplit_once('/')
                        .map_or("", |(parent, _)| parent);
                    format!("{parent}/{}", encode_leniently(relative))
                }
            };
            Parts {
                path: remove_dot_segments(&path),
                ..(*self.0).clone()
            }
        };
        target.query = query;
        match (self.0.scheme, target.scheme) {
            (_, Scheme::File) => return Err(UriError::Local),
            (Scheme::Https, Scheme::Http) => return Err(UriError::Downgrade),
            _ => {}
        }
        if target.userinfo.is_none() && target.origin() == self.0.origin() {
            target.userinfo.clone_from(&self.0.userinfo);
        }
        Ok(Self(Arc::new(target)))
    }

    /// Returns the scheme.
    pub fn scheme(&self) -> Scheme {
        self.0.scheme
    }

    /// Returns the host, in lower case; empty for `file`.
    pub fn host(&self) -> &str {
        &self.0.host
    }

    /// Returns the port that a request goes to.
    pub(crate) fn port_in_force(&self) -> u16 {
        self.0.origin().2
    }

    /// Returns whether requests to both URIs go to the same server.
    pub(crate) fn is_of_origin(&self, other: &Self) -> bool {
        self.0.origin() == other.0.origin()
    }

    /// Returns whether the URI carries a user name or a password.
    pub(crate) fn has_credentials(&self) -> bool {
        self.0.userinfo.is_some()
    }

    /// Returns the path on this machine, if the scheme is `file`.
    pub(crate) fn file_path(&self) -> Option<PathBuf> {
        (self.0.scheme == Scheme::File).then(|| {
            let path = percent_decode_str(&self.0.path).collect();
            PathBuf::from(OsString::from_vec(path))
        })
    }

    /// Returns the URI as it is requested: everything but the credentials.
    pub(crate) fn to_request(&self) -> String {
        let query = self.0.query.as_deref();
        let (mark, query) = query.map_or(("", ""), |query| ("?", query));
        format!("{}{}{mark}{query}", self.root(), self.0.path)
    }

    /// Returns scheme, credentials and server, as a proxy is named.
    pub(crate) fn to_proxy(&self) -> String {
        match &self.0.userinfo {
            Some(userinfo) => self.root().replacen("://", &format!("://{userinfo}@"), 1),
            None => self.root(),
        }
    }

    /// Returns user and password, decoded, with the colon between them that Basic authentication wants (RFC 7617 section 2).
    pub(crate) fn basic_credentials(&self) -> Option<Vec<u8>> {
        let (user, password) = {
            let userinfo = self.0.userinfo.as_deref()?;
            userinfo.split_once(':').unwrap_or((userinfo, ""))
        };
        let mut credentials: Vec<u8> = percent_decode_str(user).collect();
        credentials.push(b':');
        credentials.extend(percent_decode_str(password));
        Some(credentials)
    }

    fn root(&self) -> String {
        let port = self
            .0
            .port
            .map(|port| format!(":{port}"))
            .unwrap_or_default();
        format!("{}://{}{port}", self.0.scheme.as_str(), self.0.host)
    }
}

impl Parts {
    fn parse(text: &str) -> Result<Self, UriError> {
        let shown = || redact(text);
        let bad_path = |reason| UriError::Path {
            uri: shown(),
            reason,
        };
        let (scheme, rest) = text
            .split_once(':')
            .and_then(|(name, rest)| Some((Scheme::from_name(name)?, rest)))
            .ok_or_else(|| UriError::Scheme { uri: shown() })?;
        let (authority, tail) = match rest.strip_prefix("//") {
            Some(rest) => rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len())),
            None if scheme == Scheme::File => ("", rest),
            None => return Err(UriError::Scheme { uri: shown() }),
        };
        let (path, query) = match tail.split_once('?') {
            Some((path, query)) => (path, Some(query.to_owned())),
            None => (tail, None),
        };
        check_encoded(path).map_err(bad_path)?;
        check_encoded(query.as_deref().unwrap_or("")).map_err(bad_path)?;
        let path = match path {
            "" if scheme != Scheme::File => "/".to_owned(),
            path if path.starts_with('/') => path.to_owned(),
            _ => return Err(bad_path("it must be absolute")),
        };
        if path.split('/').any(is_dot_segment) {
            return Err(bad_path("it has a segment \".\" or \"..\""));
        }
        let authority = match scheme {
            Scheme::File => local_authority(&path, authority),
            _ => split_authority(authority),
        };
        let (userinfo, host, port) = authority.map_err(|reason| UriError::Host {
            uri: shown(),
            reason,
        })?;
        Ok(Self {
            scheme,
            userinfo,
            host,
            port,
            path,
            query,
        })
    }

    /// Parses an absolute redirect, which may be written more loosely than a URI should be.
    fn parse_redirect(text: &str) -> Result<Self, UriError> {
        let at = text.find("//").map_or(0, |at| at + 2);
        let (front, path) = text.split_at(text[at..].find('/').map_or(text.len(), |n| at + n));
        let path = remove_dot_segments(&encode_leniently(path));
        Self::parse(&format!("{front}{path}"))
    }

    fn origin(&self) -> (Scheme, &str, u16) {
        let usual = if self.scheme == Scheme::Https {
            443
        } else {
            80
        };
        (self.scheme, &self.host, self.port.unwrap_or(usual))
    }
}

impl FromStr for Uri {
    type Err = UriError;

    fn from_str(text: &str) -> Result<Self, UriError> {
        Self::parse(text)
    }
}

impl<'de> Deserialize<'de> for Uri {
    fn deserialize<D: Deserializer<'de>>(input: D) -> Result<Self, D::Error> {
        let text = String::deserialize(input)?;
        Self::parse(&text).map_err(D::Error::custom)
    }
}

impl Serialize for Uri {
    /// Writes the URI with a mark in the place of its credentials, which makes it one that cannot be read again.
    fn serialize<S: Serializer>(&self, output: S) -> Result<S::Ok, S::Error> {
        let text = format!("{}{}", self.to_proxy(), self.0.path);
        output.serialize_str(&without_passwords(&text))
    }
}

impl fmt::Display for Uri {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Object stores put their signatures into the query of a redirect.
        let query = if self.0.query.is_some() { "?…" } else { "" };
        write!(f, "{}{}{query}", self.root(), self.0.path)
    }
}

impl fmt::Debug for Uri {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Uri({self})")
    }
}

#[cfg(test)]
mod tests;
