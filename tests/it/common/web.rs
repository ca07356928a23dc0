//! A web server over a directory, for mirrors that behave oddly: it remembers what it was asked, and a test may put its own
//! answer in the place of a file's, byte for byte if no honest server sends such a one.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use sha2::{Digest, Sha256};

/// What was asked for, and how that ended.
#[derive(Debug, Clone)]
pub(crate) struct Request {
    pub(crate) path: String,
    /// Whether it came with a condition.
    pub(crate) is_conditional: bool,
    pub(crate) status: u16,
}

/// An answer: status and body.
pub(crate) type Answer = (u16, Vec<u8>);

/// The answer to a request.
pub(crate) enum Act {
    /// The file of that name, as it should be.
    Well,
    /// A status and a body, as a server should send them.
    Answer(u16, Vec<u8>),
    /// These bytes, and the end of the connection.
    Say(Vec<u8>),
    /// The first, then the second again and again until the client has gone.
    Drip(String, Vec<u8>, Duration),
    /// A reset: the request is not read.
    Reset,
}

impl From<Option<Answer>> for Act {
    fn from(answer: Option<Answer>) -> Self {
        answer.map_or(Self::Well, |(status, body)| Self::Answer(status, body))
    }
}

type Odd = dyn Fn(&str) -> Act + Send + Sync;

struct Inner {
    root: PathBuf,
    odd: Mutex<Option<Arc<Odd>>>,
    requests: Mutex<Vec<Request>>,
}

/// The server; its threads end with the test's process.
pub(crate) struct Mirror {
    port: u16,
    inner: Arc<Inner>,
}

impl Mirror {
    pub(crate) fn of(root: &Path) -> Mirror {
        Mirror::at(root, 0)
    }

    /// Serves at a port; 0 is any.
    pub(crate) fn at(root: &Path, port: u16) -> Mirror {
        let listener = TcpListener::bind(("127.0.0.1", port)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let inner = Arc::new(Inner {
            root: root.to_owned(),
            odd: Mutex::default(),
            requests: Mutex::default(),
        });
        let shared = Arc::clone(&inner);
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let inner = Arc::clone(&shared);
                thread::spawn(move || inner.talk(stream));
            }
        });
        Mirror { port, inner }
    }

    pub(crate) fn uri(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// From now on this is asked first; the files answer where it has nothing to say.
    pub(crate) fn behave<A: Into<Act>>(&self, odd: impl Fn(&str) -> A + Send + Sync + 'static) {
        let odd = move |path: &str| odd(path).into();
        *self.inner.odd.lock().unwrap() = Some(Arc::new(odd));
    }

    /// From now on only the files answer.
    pub(crate) fn behave_well(&self) {
        *self.inner.odd.lock().unwrap() = None;
    }

    /// What was asked since the last call.
    pub(crate) fn requests(&self) -> Vec<Request> {
        std::mem::take(&mut self.inner.requests.lock().unwrap())
    }
}

impl Inner {
    /// One connection, until the client has gone.
    fn talk(&self, mut stream: TcpStream) -> Option<()> {
        let mut lines = BufReader::new(stream.try_clone().ok()?).lines();
        while let Some(Ok(first)) = lines.next() {
            let target = first.split(' ').nth(1).unwrap_or_default();
            let path = target.trim_start_matches('/').to_owned();
            let odd = self.odd.lock().unwrap().clone();
            let act = odd.map_or(Act::Well, |odd| odd(&path));
            if matches!(act, Act::Reset) {
                return None; // what is left unread makes a reset of the end
            }
            let mut known = None;
            for line in lines.by_ref() {
                let line = line.ok()?;
                if line.is_empty() {
                    break;
                }
                if let Some((name, value)) = line.split_once(':')
                    && name.eq_ignore_ascii_case("if-none-match")
                {
                    known = Some(value.trim().to_owned());
                }
            }
            let (status, body) = match act {
                Act::Say(bytes) => return stream.write_all(&bytes).ok(),
                Act::Drip(head, drop, pause) => {
                    stream.write_all(head.as_bytes()).ok()?;
                    while stream.write_all(&drop).is_ok() {
                        thread::sleep(pause);
                    }
                    return None;
                }
                Act::Answer(status, body) => (status, body),
                Act::Well | Act::Reset => match fs::read(self.root.join(&path)) {
                    Ok(body) => (200, body),
                    Err(_) => (404, Vec::new()),
                },
            };
            stream
                .write_all(&self.answer(&path, known, status, body))
                .ok()?;
        }
        None
    }

    fn answer(
        &self,
        path: &str,
        known: Option<String>,
        mut status: u16,
        mut body: Vec<u8>,
    ) -> Vec<u8> {
        let tag = format!("\"{}\"", &hex::encode(Sha256::digest(&body))[..16]);
        let is_conditional = known.is_some();
        if status == 200 && known.as_ref() == Some(&tag) {
            (status, body) = (304, Vec::new());
        }
        self.requests.lock().unwrap().push(Request {
            path: path.to_owned(),
            is_conditional,
            status,
        });
        let mut answer = format!("HTTP/1.1 {status} Something\r\nETag: {tag}\r\n");
        if status != 304 {
            answer.push_str(&format!("Content-Length: {}\r\n", body.len()));
        }
        answer.push_str("\r\n");
        let mut answer = answer.into_bytes();
        answer.extend(body);
        answer
    }
}

/// Returns a whole answer, for [`Act::Say`].
pub(crate) fn answer(status: &str, headers: &[&str], body: &[u8]) -> Vec<u8> {
    let mut text = format!(
        "HTTP/1.1 {status}\r\nConnection: close\r\nContent-Length: {}\r\n",
        body.len()
    );
    for header in headers {
        text.push_str(&format!("{header}\r\n"));
    }
    text.push_str("\r\n");
    [text.as_bytes(), body].concat()
}
