//! A web server over a directory, for mirrors that behave oddly: it remembers what it was asked, and a test may put its own
//! answer in the place of a file's.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::thread;

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

type Odd = dyn Fn(&str) -> Option<Answer> + Send + Sync;

struct Inner {
    root: PathBuf,
    odd: Mutex<Option<Box<Odd>>>,
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
    pub(crate) fn behave(&self, odd: impl Fn(&str) -> Option<Answer> + Send + Sync + 'static) {
        *self.inner.odd.lock().unwrap() = Some(Box::new(odd));
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
    fn talk(&self, stream: TcpStream) {
        let Ok(mut out) = stream.try_clone() else {
            return;
        };
        let mut lines = BufReader::new(stream).lines();
        while let Some(Ok(first)) = lines.next() {
            let target = first.split(' ').nth(1).unwrap_or_default().to_owned();
            let mut known = None;
            for line in lines.by_ref() {
                let Ok(line) = line else { return };
                if line.is_empty() {
                    break;
                }
                if let Some((name, value)) = line.split_once(':')
                    && name.eq_ignore_ascii_case("if-none-match")
                {
                    known = Some(value.trim().to_owned());
                }
            }
            let path = target.trim_start_matches('/').to_owned();
            if out.write_all(&self.answer(&path, known)).is_err() {
                return;
            }
        }
    }

    fn answer(&self, path: &str, known: Option<String>) -> Vec<u8> {
        let odd = self.odd.lock().unwrap();
        let odd = odd.as_ref().and_then(|odd| odd(path));
        let (mut status, mut body) = odd.unwrap_or_else(|| {
            fs::read(self.root.join(path)).map_or_else(|_| (404, Vec::new()), |data| (200, data))
        });
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
