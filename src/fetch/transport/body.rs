//! The bytes of an answer: as many as were announced, no slower than is allowed, and every error with its URI.

use std::fmt;
use std::fs::File;
use std::io::{self, ErrorKind, Read};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use super::{Error, Route};
use crate::uri::Uri;

/// A body that is still to be read. An end that comes too early is an error; after an error no more can be read. The errors of `Read`
/// carry an [`Error`], which [`Error::of`] finds.
pub struct Body {
    /// The number of bytes that the server announced.
    pub length: Option<u64>,
    /// The `ETag` of this version, as it came.
    pub etag: Option<String>,
    /// The `Last-Modified` of this version, as it came.
    pub last_modified: Option<String>,
    uri: Uri,
    pub(super) route: Route,
    source: Source,
    received: u64,
    pace: Pace,
    state: State,
}

/// The source of the bytes.
pub(super) enum Source {
    Http(ureq::BodyReader<'static>),
    File(File, PathBuf),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Open,
    Ended,
    Failed,
}

impl Body {
    pub(super) fn new(uri: Uri, source: Source, length: Option<u64>, pace: Pace) -> Self {
        Self {
            length,
            etag: None,
            last_modified: None,
            uri,
            route: Route::default(),
            source,
            received: 0,
            pace,
            state: State::Open,
        }
    }

    /// Reads some bytes; none at the end.
    pub(super) fn pull(&mut self, buf: &mut [u8]) -> Result<usize, Error> {
        match self.state {
            State::Ended => return Ok(0),
            State::Failed => return Err(self.truncated()),
            State::Open if buf.is_empty() => return Ok(0),
            State::Open => {}
        }
        let outcome = self.pull_open(buf);
        match outcome {
            Ok(0) => self.state = State::Ended,
            Ok(_) => {}
            Err(_) => self.state = State::Failed,
        }
        outcome
    }

    fn pull_open(&mut self, buf: &mut [u8]) -> Result<usize, Error> {
        let begun = Instant::now();
        let outcome = loop {
            let outcome = match &mut self.source {
                Source::Http(reader) => reader.read(buf),
                Source::File(file, _) => file.read(buf),
            };
            match outcome {
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                outcome => break outcome,
            }
        };
        let count = outcome.map_err(|error| self.failure(error))?;
        self.received = self.received.saturating_add(count as u64);
        match self.length {
            Some(expected) if count == 0 && self.received < expected => Err(self.truncated()),
            Some(expected) if self.received > expected => Err(Error::Overlong {
                uri: self.uri.clone(),
                expected,
            }),
            _ => {
                if count > 0 {
                    self.pace.record(&self.uri, count as u64, begun.elapsed())?;
                }
                Ok(count)
            }
        }
    }

    fn truncated(&self) -> Error {
        Error::Truncated {
            uri: self.uri.clone(),
            received: self.received,
            expected: self.length,
        }
    }

    fn failure(&self, error: io::Error) -> Error {
        match &self.source {
            Source::File(_, path) => Error::File {
                uri: self.uri.clone(),
                path: path.clone(),
                source: error,
            },
            // The client unwraps its own error from the I/O error that it returned. Once a body has begun, a connection that
            // closes or breaks means that the body was cut off.
            Source::Http(_) => {
                match Error::from_client(&self.uri, &self.route, ureq::Error::from(error)) {
                    Error::Unreachable { .. } => self.truncated(),
                    error => error,
                }
            }
        }
    }
}

impl Read for Body {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        self.pull(buf).map_err(Error::into_io)
    }
}

impl fmt::Debug for Body {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Body")
            .field("uri", &self.uri)
            .field("length", &self.length)
            .field("received", &self.received)
            .finish_non_exhaustive()
    }
}

/// Refuses a body that comes too slowly. Only time spent waiting for data counts: decoding and writing the data may be slower.
#[derive(Debug)]
pub(super) struct Pace {
    minimum: u64,
    window: Duration,
    bytes: u64,
    waited: Duration,
}

impl Pace {
    pub(super) fn new(minimum: u64, window: Duration) -> Self {
        Self {
            minimum,
            window,
            bytes: 0,
            waited: Duration::ZERO,
        }
    }

    fn record(&mut self, uri: &Uri, bytes: u64, waited: Duration) -> Result<(), Error> {
        self.bytes = self.bytes.saturating_add(bytes);
        self.waited = self.waited.saturating_add(waited);
        if self.waited < self.window {
            return Ok(());
        }
        let required = u128::from(self.minimum) * self.waited.as_millis() / 1000;
        if u128::from(self.bytes) < required {
            return Err(Error::TooSlow {
                uri: uri.clone(),
                bytes: self.bytes,
                seconds: self.waited.as_secs(),
                minimum: self.minimum,
            });
        }
        self.bytes = 0;
        self.waited = Duration::ZERO;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn pace_looks_at_whole_windows_of_waiting() {
        let uri = Uri::parse("http://mirror.example/").unwrap();
        let second = Duration::from_secs(1);
        let mut pace = Pace::new(100, 10 * second);
        // Fast enough on the whole, although most of the time nothing comes.
        for _ in 0..3 {
            for _ in 0..9 {
                pace.record(&uri, 1, second).unwrap();
            }
            pace.record(&uri, 991, second).unwrap();
        }
        for _ in 0..9 {
            pace.record(&uri, 99, second).unwrap();
        }
        let error = pace.record(&uri, 99, second).unwrap_err();
        assert!(
            matches!(
                error,
                Error::TooSlow {
                    bytes: 990,
                    seconds: 10,
                    ..
                }
            ),
            "{error}"
        );
    }

    #[test]
    fn a_file_that_shrinks_or_grows_under_the_reader_is_an_error() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), b"12345").unwrap();
        let body = |length| {
            let uri = Uri::parse("file:/spool/example").unwrap();
            let source = Source::File(File::open(file.path()).unwrap(), file.path().to_owned());
            Body::new(uri, source, Some(length), Pace::new(0, Duration::MAX))
        };
        let mut text = Vec::new();
        let error = body(6).read_to_end(&mut text).unwrap_err();
        assert!(matches!(
            Error::of(&error),
            Some(Error::Truncated {
                received: 5,
                expected: Some(6),
                ..
            })
        ));
        let error = body(4).read_to_end(&mut text).unwrap_err();
        assert!(matches!(
            Error::of(&error),
            Some(Error::Overlong { expected: 4, .. })
        ));
        let mut short = body(6);
        let _ = short.read_to_end(&mut text);
        assert!(
            short.read(&mut [0; 8]).is_err(),
            "an error must not turn into an end"
        );
        assert_eq!(body(5).read_to_end(&mut text).unwrap(), 5);
    }
}
