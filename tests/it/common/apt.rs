//! Clients: the real apt, requests over HTTP, and the texts that they read.

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use sha2::{Digest, Sha256};

use super::site::fixtures;

pub(crate) const COMPONENTS: [&str; 4] = ["main", "contrib", "non-free", "non-free-firmware"];

/// The stanzas of an index of a fixture archive.
pub(crate) fn upstream(archive: &str, suite: &str, index: &str) -> Vec<String> {
    let dists = fixtures().join("archives").join(archive).join("dists");
    stanzas(&unxz(&dists.join(suite).join(format!("{index}.xz"))))
}

pub(crate) fn unxz(path: &Path) -> String {
    let data = fs::read(path).unwrap();
    let mut text = String::new();
    liblzma::read::XzDecoder::new(data.as_slice())
        .read_to_string(&mut text)
        .unwrap();
    text
}

pub(crate) fn stanzas(text: &str) -> Vec<String> {
    text.split("\n\n")
        .map(|stanza| stanza.trim_matches('\n'))
        .filter(|stanza| !stanza.is_empty())
        .map(str::to_owned)
        .collect()
}

/// The value of a field of one line.
pub(crate) fn field<'a>(stanza: &'a str, name: &str) -> Option<&'a str> {
    stanza.lines().find_map(|line| {
        let (field, value) = line.split_once(':')?;
        field.eq_ignore_ascii_case(name).then(|| value.trim())
    })
}

/// The further lines of a field, blanks at their ends aside.
pub(crate) fn folded<'a>(stanza: &'a str, name: &str) -> Vec<&'a str> {
    stanza
        .lines()
        .skip_while(|line| !line.starts_with(&format!("{name}:")))
        .skip(1)
        .take_while(|line| line.starts_with([' ', '\t']))
        .map(str::trim)
        .collect()
}

pub(crate) fn sha256(data: &[u8]) -> String {
    hex::encode(Sha256::digest(data))
}

pub(crate) fn succeeded(output: &Output, what: &[&str]) -> String {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(
        output.status.success(),
        "{what:?}: {}\n{}{}",
        output.status,
        text(&output.stdout),
        text(&output.stderr)
    );
    text(&output.stdout)
}

/// `aptmerge serve -v` on a free port.
pub(crate) struct Server {
    child: Child,
    pub(crate) address: String,
    log: Arc<Mutex<Vec<String>>>,
}

impl Server {
    /// Starts `serve`, as a call of the program that has no verb yet.
    pub(crate) fn start(mut command: Command) -> Server {
        let mut child = command
            .args(["serve", "-v", "--listen", "127.0.0.1:0"])
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap())
            .read_line(&mut line)
            .unwrap();
        let address = line.trim().rsplit("//").next().unwrap();
        let address = address.trim_end_matches('/').to_owned();
        let log: Arc<Mutex<Vec<String>>> = Arc::default();
        let (stderr, lines) = (child.stderr.take().unwrap(), Arc::clone(&log));
        std::thread::spawn(move || {
            for line in BufReader::new(stderr).lines().map_while(Result::ok) {
                lines.lock().unwrap().push(line);
            }
        });
        assert!(address.starts_with("127.0.0.1:"), "{line:?}");
        Server {
            child,
            address,
            log,
        }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}/merged", self.address)
    }

    /// What was requested so far. A request is logged when its answer was sent, so the newest may be missing.
    pub(crate) fn log(&self) -> Vec<String> {
        self.log.lock().unwrap().clone()
    }

    pub(crate) fn get(&self, path: &str) -> Answer {
        let stream = TcpStream::connect(&self.address).unwrap();
        stream
            .set_read_timeout(Some(Duration::from_secs(30)))
            .unwrap();
        get(stream, path)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: BTreeMap<String, String>,
    pub(crate) body: Vec<u8>,
}

/// One request, sent as it is written.
pub(crate) fn get(stream: impl Read + Write, path: &str) -> Answer {
    ask(stream, "GET", path, "")
}

/// Sends one request as it is written; `headers` are whole lines.
pub(crate) fn ask(
    mut stream: impl Read + Write,
    method: &str,
    path: &str,
    headers: &str,
) -> Answer {
    write!(
        stream,
        "{method} {path} HTTP/1.1\r\nHost: localhost\r\n{headers}Connection: close\r\n\r\n"
    )
    .unwrap();
    let mut data = Vec::new();
    stream.read_to_end(&mut data).unwrap();
    let end = data.windows(4).position(|w| w == b"\r\n\r\n").unwrap();
    let head = String::from_utf8(data[..end].to_vec()).unwrap();
    let mut lines = head.lines();
    let status = lines.next().unwrap().split(' ').nth(1).unwrap();
    Answer {
        status: status.parse().unwrap(),
        headers: lines
            .filter_map(|line| line.split_once(": "))
            .map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned()))
            .collect(),
        body: data[end + 4..].to_vec(),
    }
}

/// apt with a root of its own, which knows nothing of the machine's.
pub(crate) struct Apt {
    dir: tempfile::TempDir,
}

impl Apt {
    /// `sources` are lines of sources.list, `settings` lines of apt.conf.
    pub(crate) fn new(architectures: &[&str], sources: &str, settings: &str) -> Apt {
        let apt = Apt {
            dir: tempfile::tempdir().unwrap(),
        };
        for dir in [
            "etc/apt.conf.d",
            "etc/preferences.d",
            "etc/sources.list.d",
            "etc/trusted.gpg.d",
            "state/lists/partial",
            "cache/archives/partial",
            "downloads",
        ] {
            fs::create_dir_all(apt.path(dir)).unwrap();
        }
        fs::write(apt.path("status"), "").unwrap();
        fs::write(apt.path("etc/sources.list"), sources).unwrap();
        let dir = apt.dir.path().to_str().unwrap();
        let foreign: Vec<_> = architectures.iter().map(|a| format!("\"{a}\";")).collect();
        let config = format!(
            "Dir \"{dir}\";\nDir::State \"{dir}/state\";\nDir::State::status \"{dir}/status\";\n\
             Dir::Cache \"{dir}/cache\";\nDir::Etc \"{dir}/etc\";\nDir::Log \"{dir}\";\n\
             APT::Architecture \"{}\";\nAPT::Architectures {{ {} }};\nAPT::Sandbox::User \"root\";\n\
             APT::Update::Error-Mode \"any\";\nAcquire::http::Proxy \"false\";\nAcquire::Retries \"0\";\n{settings}\n",
            architectures[0],
            foreign.join(" ")
        );
        fs::write(apt.path("apt.conf"), config).unwrap();
        apt
    }

    pub(crate) fn path(&self, path: &str) -> PathBuf {
        self.dir.path().join(path)
    }

    pub(crate) fn call(&self, program: &str, arguments: &[&str]) -> Output {
        Command::new(program)
            .args(arguments)
            .env("APT_CONFIG", self.path("apt.conf"))
            .env("LC_ALL", "C")
            .current_dir(self.path("downloads"))
            .stdin(Stdio::null())
            .output()
            .unwrap()
    }

    /// Has to succeed, without a warning; gives stdout.
    pub(crate) fn ok(&self, program: &str, arguments: &[&str]) -> String {
        let output = self.call(program, arguments);
        let errors = String::from_utf8_lossy(&output.stderr).into_owned();
        let text = succeeded(&output, arguments);
        assert!(
            !errors.contains("W:") && !errors.contains("E:"),
            "{arguments:?}: {errors}"
        );
        text
    }

    /// The version that apt would install.
    pub(crate) fn candidate(&self, package: &str) -> String {
        let text = self.ok("apt-cache", &["policy", package]);
        field(&text, "  Candidate").unwrap_or("unknown").to_owned()
    }
}
