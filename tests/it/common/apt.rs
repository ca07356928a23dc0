//! A site made of the fixture archives, read back as its clients read it: by path, over HTTP, with the real apt.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use aptmerge::openpgp::Signer;
use jiff::Timestamp;
use sha2::{Digest, Sha256};

pub(crate) const COMPONENTS: [&str; 4] = ["main", "contrib", "non-free", "non-free-firmware"];

pub(crate) fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures")
}

fn copy_tree(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy_tree(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}

const CONFIG: &str = r#"
root = "site"
priority = ["overlay", "security", "main"]
components = ["main", "contrib", "non-free", "non-free-firmware"]
architectures = ["all", "amd64", "arm64"]

[archives.overlay]
pool = "OVERLAY"
uris = ["file://@DIR@/archives/overlay"]
signed-by = "keys/overlay.gpg"

[archives.security]
pool = "SECURITY"
uris = ["file://@DIR@/archives/security"]
signed-by = "keys/security.gpg"

[archives.main]
pool = "MAIN"
uris = ["file://@DIR@/archives/main"]
signed-by = "keys/main.gpg"

[bans]
packages = ["systemd", "systemd-sysv"]

[signing]
key-file = ["keys/publish-a.secret.asc", "keys/publish-b.secret.asc"]
"#;

pub(crate) const DAEDALUS: &str = r#"
[suites.daedalus]
from = { overlay = "daedalus", main = "bookworm" }
release = { Origin = "Example", Label = "Example", Suite = "stable", Codename = "daedalus", Version = "5.0" }
links = ["stable", "5.0"]
"#;

/// Every suite that the fixtures can be merged into.
pub(crate) const ALL_SUITES: &str = r#"
[suites.daedalus]
from = { overlay = "daedalus", main = "bookworm" }
release = { Origin = "Example", Label = "Example", Suite = "stable", Codename = "daedalus", Version = "5.0" }
links = ["stable", "5.0"]

[suites.daedalus-security]
from = { overlay = "daedalus-security", security = "bookworm-security" }

[suites.daedalus-updates]
from = { main = "bookworm-updates" }

[suites.beowulf]
from = { overlay = "beowulf", main = "buster" }
components = ["main", "contrib", "non-free"]

[suites."beowulf/updates"]
from = { overlay = "beowulf-security", security = "buster/updates" }
components = ["main", "contrib", "non-free"]
links = ["oldstable/updates"]
"#;

/// A directory with archives of its own, keys and a configuration.
pub(crate) struct Site {
    dir: tempfile::TempDir,
}

impl Site {
    /// The suites are tables of the configuration.
    pub(crate) fn new(suites: &str) -> Site {
        let site = Site {
            dir: tempfile::tempdir().unwrap(),
        };
        copy_tree(&fixtures().join("archives"), &site.path("archives"));
        copy_tree(&fixtures().join("keys"), &site.path("keys"));
        for key in ["publish-a", "publish-b", "overlay", "main", "security"] {
            let key = site.path("keys").join(format!("{key}.secret.asc"));
            let mode = std::os::unix::fs::PermissionsExt::from_mode(0o600);
            fs::set_permissions(key, mode).unwrap();
        }
        let dir = site.dir.path().to_str().unwrap();
        let config = CONFIG.replace("@DIR@", dir) + suites;
        fs::write(site.path("aptmerge.toml"), config).unwrap();
        site
    }

    /// A site that is published.
    pub(crate) fn published(suites: &str) -> Site {
        let site = Site::new(suites);
        site.ok(&["run"]);
        site
    }

    pub(crate) fn path(&self, path: impl AsRef<Path>) -> PathBuf {
        self.dir.path().join(path)
    }

    /// Below `merged`, the path that is served.
    pub(crate) fn merged(&self, path: &str) -> PathBuf {
        self.path("site/merged").join(path)
    }

    /// Replaces a part of the configuration, which has to be there.
    pub(crate) fn configure(&self, from: &str, to: &str) {
        let path = self.path("aptmerge.toml");
        let config = fs::read_to_string(&path).unwrap();
        assert!(config.contains(from), "no {from:?} in {config}");
        fs::write(path, config.replace(from, to)).unwrap();
    }

    pub(crate) fn command(&self) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_aptmerge"));
        command
            .arg("--config")
            .arg(self.path("aptmerge.toml"))
            .env_remove("APTMERGE_CONFIG")
            .stdin(Stdio::null());
        command
    }

    pub(crate) fn call(&self, arguments: &[&str]) -> Output {
        self.command().args(arguments).output().unwrap()
    }

    /// Runs aptmerge, which has to succeed; gives its stdout.
    pub(crate) fn ok(&self, arguments: &[&str]) -> String {
        succeeded(&self.call(arguments), arguments)
    }

    /// A run at a set time.
    pub(crate) fn run_at(&self, time: &str) -> String {
        self.ok(&["run", "--clock", time])
    }

    pub(crate) fn json(&self, arguments: &[&str]) -> serde_json::Value {
        serde_json::from_str(&self.ok(arguments)).unwrap()
    }

    pub(crate) fn serve(&self) -> Server {
        Server::start(self.command())
    }

    /// The text of an index, which is published in its compressed forms.
    pub(crate) fn index(&self, path: &str) -> String {
        unxz(&self.merged(&format!("{path}.xz")))
    }

    /// The stanzas of a published index.
    pub(crate) fn stanzas(&self, path: &str) -> Vec<String> {
        stanzas(&self.index(path))
    }

    /// Edits an index of the overlay, and signs its suite with a new Date.
    pub(crate) fn edit_overlay(
        &self,
        suite: &str,
        path: &str,
        date: Timestamp,
        edit: impl FnOnce(String) -> String,
    ) {
        let dir = self.path("archives/overlay/dists").join(suite);
        let file = dir.join(path);
        let text = edit(unxz(&dir.join(format!("{path}.xz"))));
        if file.exists() {
            fs::write(&file, &text).unwrap();
        }
        let mut xz = Vec::new();
        liblzma::read::XzEncoder::new(text.as_bytes(), 6)
            .read_to_end(&mut xz)
            .unwrap();
        fs::write(dir.join(format!("{path}.xz")), xz).unwrap();
        let mut gz = Vec::new();
        flate2::read::GzEncoder::new(text.as_bytes(), flate2::Compression::best())
            .read_to_end(&mut gz)
            .unwrap();
        fs::write(dir.join(format!("{path}.gz")), gz).unwrap();
        self.sign_overlay(&dir, date);
    }

    /// Writes the Release of an overlay's suite anew: the hashes of what is there, and a Date.
    fn sign_overlay(&self, dir: &Path, date: Timestamp) {
        let old = fs::read_to_string(dir.join("Release")).unwrap();
        let mut release = String::new();
        for line in old.lines() {
            let file = line
                .strip_prefix(' ')
                .and_then(|line| line.split_whitespace().nth(2));
            let data = file.and_then(|file| {
                let path = dir.join(file);
                let packed = dir.join(format!("{file}.xz"));
                let unpacked = || packed.exists().then(|| unxz(&packed).into_bytes());
                Some((file, fs::read(path).ok().or_else(unpacked)?))
            });
            if line.starts_with("Date:") {
                let date = date.strftime("%a, %d %b %Y %H:%M:%S UTC");
                writeln!(release, "Date: {date}").unwrap();
            } else if let Some((file, data)) = data {
                writeln!(release, " {} {} {file}", sha256(&data), data.len()).unwrap();
            } else {
                writeln!(release, "{line}").unwrap();
            }
        }
        let signer = Signer::key_files(&[self.path("keys/overlay.secret.asc")]).unwrap();
        let signed = signer
            .sign(release.as_bytes(), SystemTime::from(date))
            .unwrap();
        fs::write(dir.join("Release"), release).unwrap();
        fs::write(dir.join("Release.gpg"), signed.detached).unwrap();
        fs::write(dir.join("InRelease"), signed.inline).unwrap();
    }
}

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
pub(crate) fn get(mut stream: impl Read + Write, path: &str) -> Answer {
    write!(
        stream,
        "GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
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
