//! A web server that answers byte for byte as a test says, for what no honest server sends.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use crate::common::site::Site;

/// How a request is answered.
pub(crate) enum Act {
    /// With the file of that name, as it should be.
    Well,
    /// With these bytes, and the end of the connection.
    Say(Vec<u8>),
    /// With the first, then with the second again and again until the client has gone.
    Drip(String, Vec<u8>, Duration),
    /// With a reset: the request is not read.
    Reset,
}

type Behave = dyn Fn(&str) -> Act + Send + Sync;

/// Starts a server over a site's archives and makes it the home of main; it ends with the test's process.
pub(crate) fn main_over(site: &Site, behave: impl Fn(&str) -> Act + Send + Sync + 'static) {
    let uri = serve(&site.path("archives"), behave);
    let old = format!("\"file://{}/main\"", site.path("archives").display());
    let config = site.config();
    assert!(config.contains(&old));
    let config = config.replace(&old, &format!("\"{uri}/main\""));
    site.write_config(&config.replace("restarts = 0", "restarts = 0\ntimeout = \"1 second\""));
}

/// A server over a directory; gives its URI.
pub(crate) fn serve(root: &Path, behave: impl Fn(&str) -> Act + Send + Sync + 'static) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let uri = format!("http://{}", listener.local_addr().unwrap());
    let behave: Arc<Behave> = Arc::new(behave);
    let root = root.to_owned();
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let (root, behave) = (root.clone(), Arc::clone(&behave));
            thread::spawn(move || talk(stream, &root, &*behave));
        }
    });
    uri
}

/// One request, and the end of the connection.
fn talk(mut stream: TcpStream, root: &Path, behave: &Behave) -> Option<()> {
    let mut lines = BufReader::new(stream.try_clone().ok()?).lines();
    let first = lines.next()?.ok()?;
    let path = first.split(' ').nth(1)?.trim_start_matches('/').to_owned();
    let act = behave(&path);
    if matches!(act, Act::Reset) {
        return None; // what is left unread makes a reset of the end
    }
    while !lines.next()?.ok()?.is_empty() {}
    match act {
        Act::Well => {
            let (status, body) = match fs::read(root.join(&path)) {
                Ok(body) => ("200 OK", body),
                Err(_) => ("404 Not Found", Vec::new()),
            };
            stream.write_all(&answer(status, &[], &body)).ok()?;
        }
        Act::Say(bytes) => stream.write_all(&bytes).ok()?,
        Act::Drip(head, drop, pause) => {
            stream.write_all(head.as_bytes()).ok()?;
            while stream.write_all(&drop).is_ok() {
                thread::sleep(pause);
            }
        }
        Act::Reset => {}
    }
    Some(())
}

/// A whole answer.
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
