//! Copies of the fixture archives that a test may change and sign again, a configuration over them, and the command.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::SystemTime;

use aptmerge::openpgp::Signer;
use sha2::{Digest, Sha256};
use tempfile::TempDir;

/// The Date of what a test makes of an archive: later than the fixtures', earlier than the clock of any run.
pub(crate) const NEWER: &str = "Mon, 02 Feb 2026 00:00:00 UTC";

/// The Date of the good state that follows.
pub(crate) const NEWEST: &str = "Tue, 03 Feb 2026 00:00:00 UTC";

/// When the first run takes place.
const FIRST_RUN: &str = "2026-03-01T00:00:00Z";

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures")
}

/// A directory in memory where there is such a place: every run forces hundreds of files out, and no test here cuts the power.
fn quick_dir() -> TempDir {
    let in_memory = tempfile::tempdir_in("/dev/shm");
    in_memory.or_else(|_| tempfile::tempdir()).unwrap()
}

/// When what a test signs was signed.
pub(crate) fn signing_time() -> SystemTime {
    let time: jiff::Timestamp = "2026-02-01T00:00:00Z".parse().unwrap();
    time.into()
}

pub(crate) fn copy_tree(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy_tree(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), &target).unwrap();
        }
    }
}

/// Archives, keys, a configuration and a root, in a directory of their own.
pub(crate) struct Site {
    dir: TempDir,
    runs: Cell<i64>,
    binary: PathBuf,
}

/// What a command said and did.
pub(crate) struct Said {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Said {
    pub(crate) fn of(output: &Output) -> Said {
        Said {
            code: output.status.code(),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }

    /// Asserts the exit code, and that every one of some words is in the error output.
    #[track_caller]
    pub(crate) fn expect(&self, code: i32, words: &[&str]) -> &Self {
        assert_eq!(self.code, Some(code), "{}{}", self.stderr, self.stdout);
        for word in words {
            assert!(
                self.stderr.contains(word),
                "`{word}` is not in:\n{}",
                self.stderr
            );
        }
        self
    }
}

impl Default for Site {
    fn default() -> Self {
        Self::new()
    }
}

impl Site {
    /// One merged suite, `daedalus`, of two archives: `overlay` without by-hash, `main` with it.
    pub(crate) fn new() -> Site {
        let site = Site {
            dir: quick_dir(),
            runs: Cell::new(0),
            binary: env!("CARGO_BIN_EXE_aptmerge").into(),
        };
        site.restore_archive("overlay", "daedalus");
        site.restore_archive("main", "bookworm");
        site.restore_keys();
        site.restore_config();
        site
    }

    /// The same after a good run.
    pub(crate) fn published() -> Site {
        let site = Site::new();
        site.run(&[]).expect(0, &[]);
        site
    }

    pub(crate) fn path(&self, path: &str) -> PathBuf {
        self.dir.path().join(path)
    }

    pub(crate) fn root(&self) -> PathBuf {
        self.path("site")
    }

    pub(crate) fn use_binary(&mut self, path: PathBuf) {
        self.binary = path;
    }

    pub(crate) fn restore_archive(&self, archive: &str, suite: &str) {
        let place = format!("{archive}/dists/{suite}");
        let target = self.path("archives").join(&place);
        if target.exists() {
            fs::remove_dir_all(&target).unwrap();
        }
        copy_tree(&fixtures().join("archives").join(&place), &target);
    }

    pub(crate) fn restore_keys(&self) {
        let keys = self.path("keys");
        if keys.exists() {
            fs::remove_dir_all(&keys).unwrap();
        }
        copy_tree(&fixtures().join("keys"), &keys);
        for entry in fs::read_dir(&keys).unwrap() {
            let path = entry.unwrap().path();
            if path.to_string_lossy().contains(".secret.") {
                fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
            }
        }
    }

    /// The configuration that every site begins with.
    pub(crate) fn config(&self) -> String {
        let archives = self.path("archives");
        let archives = archives.display();
        format!(
            r#"root = "site"
priority = ["overlay", "main"]
components = ["main"]
architectures = ["all", "amd64"]
indices = ["packages", "sources"]

[archives.overlay]
pool = "OVERLAY"
uris = ["file://{archives}/overlay"]
signed-by = "keys/overlay.gpg"

[archives.main]
pool = "MAIN"
uris = ["file://{archives}/main"]
signed-by = "keys/main.gpg"

[suites.daedalus]
from = {{ overlay = "daedalus", main = "bookworm" }}

[signing]
key-file = "keys/publish-a.secret.asc"

[publish]
pool-links = false

[fetch]
retries = 0
restarts = 0
backoff = "0 seconds"
"#
        )
    }

    pub(crate) fn restore_config(&self) {
        self.write_config(&self.config());
    }

    pub(crate) fn write_config(&self, text: &str) {
        fs::write(self.path("aptmerge.toml"), text).unwrap();
    }

    /// The beginning configuration with one piece of text replaced.
    pub(crate) fn change_config(&self, from: &str, to: &str) {
        let config = self.config();
        assert!(config.contains(from), "{from}");
        self.write_config(&config.replace(from, to));
    }

    /// Everything good again, and nothing newer than what was fetched before.
    pub(crate) fn restore(&self) {
        self.restore_keys();
        self.restore_config();
        self.restore_archive("overlay", "daedalus");
        self.restore_archive("main", "bookworm");
    }

    /// The same with a later Date: what an archive publishes after it published something bad.
    pub(crate) fn restore_newer(&self) {
        self.restore();
        for mut suite in [self.main(), self.overlay()] {
            suite.set("Date", NEWEST);
            suite.sign();
        }
    }

    pub(crate) fn main(&self) -> Suite {
        Suite::open(self, "main", "bookworm")
    }

    pub(crate) fn overlay(&self) -> Suite {
        Suite::open(self, "overlay", "daedalus")
    }

    /// Something to publish: a package that was not there before.
    pub(crate) fn news(&self) {
        let mut suite = self.overlay();
        suite.set("Date", NEWER);
        suite.append_stanza("main/binary-amd64/Packages", &stanza("newcomer"));
        suite.sign();
    }

    /// The command with the configuration, an hour later than the one before.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        self.runs.set(self.runs.get() + 1);
        let first: jiff::Timestamp = FIRST_RUN.parse().unwrap();
        let now = first + jiff::SignedDuration::from_hours(self.runs.get());
        let mut command = Command::new(&self.binary);
        command
            .args(arguments)
            .arg("--config")
            .arg(self.path("aptmerge.toml"))
            .arg("--clock")
            .arg(now.to_string())
            .env_remove("APTMERGE_CONFIG");
        command
    }

    pub(crate) fn aptmerge(&self, arguments: &[&str]) -> Said {
        Said::of(&self.command(arguments).output().unwrap())
    }

    pub(crate) fn run(&self, options: &[&str]) -> Said {
        self.aptmerge(&[&["run"], options].concat())
    }

    /// All that a client could see: every file's bytes, inode, mode and time, every symlink, the link itself.
    pub(crate) fn served(&self) -> BTreeMap<PathBuf, String> {
        let mut seen = BTreeMap::new();
        let root = self.root();
        for place in ["merged", "merged-production"] {
            for entry in walkdir::WalkDir::new(root.join(place)).follow_root_links(false) {
                let Ok(entry) = entry else {
                    continue; // there is none yet
                };
                let meta = entry.path().symlink_metadata().unwrap();
                let content = if meta.is_symlink() {
                    fs::read_link(entry.path()).unwrap().display().to_string()
                } else if meta.is_file() {
                    hex::encode(Sha256::digest(fs::read(entry.path()).unwrap()))
                } else {
                    "a directory".to_owned()
                };
                let (inode, mode) = (meta.ino(), meta.mode());
                let time = (meta.mtime(), meta.mtime_nsec());
                seen.insert(
                    entry.path().strip_prefix(&root).unwrap().to_owned(),
                    format!("{inode} {mode:o} {time:?} {content}"),
                );
            }
        }
        seen
    }

    /// A published Packages or Sources, unpacked.
    pub(crate) fn published_index(&self, path: &str) -> String {
        let file = self.root().join("merged/dists").join(format!("{path}.gz"));
        let mut text = String::new();
        let file = fs::File::open(file).unwrap();
        std::io::Read::read_to_string(&mut flate2::read::MultiGzDecoder::new(file), &mut text)
            .unwrap();
        text
    }
}

/// A binary's stanza that nothing is wrong with.
pub(crate) fn stanza(name: &str) -> String {
    format!(
        "Package: {name}\nVersion: 1.0\nArchitecture: amd64\nMaintainer: A <a@site.example>\nDescription: x\nFilename: pool/main/{name}_1.0_amd64.deb\nSize: 1\nSHA256: {}\n",
        "0".repeat(64)
    )
}

pub(crate) fn gz(data: &[u8]) -> Vec<u8> {
    let mut out = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    out.write_all(data).unwrap();
    out.finish().unwrap()
}

pub(crate) fn xz(data: &[u8]) -> Vec<u8> {
    let mut out = liblzma::write::XzEncoder::new(Vec::new(), 6);
    out.write_all(data).unwrap();
    out.finish().unwrap()
}

/// One suite of a site's archive, open for changes. Nothing changes its Release before [`Suite::sign`].
pub(crate) struct Suite {
    pub(crate) dir: PathBuf,
    pub(crate) body: String,
    pub(crate) key: PathBuf,
}

impl Suite {
    pub(crate) fn open(site: &Site, archive: &str, suite: &str) -> Suite {
        let dir = site.path(&format!("archives/{archive}/dists/{suite}"));
        Suite {
            body: fs::read_to_string(dir.join("Release")).unwrap(),
            key: site.path(&format!("keys/{archive}.secret.asc")),
            dir,
        }
    }

    /// Sets a field of one line, new ones at the front.
    pub(crate) fn set(&mut self, field: &str, value: &str) {
        let start = format!("{field}: ");
        let mut lines: Vec<String> = self.body.lines().map(str::to_owned).collect();
        let line = format!("{start}{value}");
        match lines.iter_mut().find(|line| line.starts_with(&start)) {
            Some(old) => *old = line,
            None => lines.insert(0, line),
        }
        self.body = lines.join("\n") + "\n";
    }

    /// Takes out a field with its continuation lines.
    pub(crate) fn remove(&mut self, field: &str) {
        let start = format!("{field}:");
        let mut inside = false;
        let kept = self.body.lines().filter(|line| {
            if !line.starts_with(' ') {
                inside = line.starts_with(&start);
            }
            !inside
        });
        self.body = kept.map(|line| format!("{line}\n")).collect();
    }

    /// Lists a file with the hash and size of these bytes, whatever is there.
    pub(crate) fn list(&mut self, path: &str, data: &[u8]) {
        let mut section = String::new();
        let mut found = false;
        let lines: Vec<String> = self
            .body
            .lines()
            .map(|line| {
                if !line.starts_with(' ') {
                    section = line.trim_end_matches(':').to_owned();
                    return line.to_owned();
                }
                if line.split_ascii_whitespace().nth(2) != Some(path) {
                    return line.to_owned();
                }
                found = true;
                let hash = match section.as_str() {
                    "SHA256" => hex::encode(Sha256::digest(data)),
                    "MD5Sum" => hex::encode(md5::Md5::digest(data)),
                    other => panic!("the fixtures have no {other}"),
                };
                format!(" {hash} {} {path}", data.len())
            })
            .collect();
        assert!(found, "{path} is not listed");
        self.body = lines.join("\n") + "\n";
    }

    /// Puts bytes into a file's place, under by-hash too where the suite has that.
    pub(crate) fn put(&mut self, path: &str, data: &[u8]) {
        fs::write(self.dir.join(path), data).unwrap();
        self.list(path, data);
        let by_hash = self.by_hash(path);
        if let Some(file) = by_hash {
            fs::write(file, data).unwrap();
        }
    }

    /// Adds a file that the suite did not have.
    pub(crate) fn add(&mut self, path: &str, data: &[u8]) {
        self.mention(path, data);
        let place = self.dir.join(path);
        fs::create_dir_all(place.parent().unwrap()).unwrap();
        fs::write(place, data).unwrap();
    }

    /// Lists a file that the suite does not list, whether or not it is there.
    pub(crate) fn mention(&mut self, path: &str, data: &[u8]) {
        let line = format!(
            "SHA256:\n {} {} {path}\n",
            hex::encode(Sha256::digest(data)),
            data.len()
        );
        self.body = self.body.replacen("SHA256:\n", &line, 1);
    }

    /// No longer lists what lies at paths that begin so.
    pub(crate) fn unlist(&mut self, start: &str) {
        let lines = self.body.lines().filter(|line| {
            let path = line.split_ascii_whitespace().nth(2);
            !(line.starts_with(' ') && path.is_some_and(|path| path.starts_with(start)))
        });
        self.body = lines.map(|line| format!("{line}\n")).collect();
    }

    /// Where the by-hash copy of a file is, by what the Release lists.
    fn by_hash(&self, path: &str) -> Option<PathBuf> {
        let place = self.dir.join(path);
        let dir = place.parent().unwrap().join("by-hash/SHA256");
        let listed = self.body.split("SHA256:\n").nth(1).unwrap();
        let mut lines = listed.lines().map(|l| l.split_ascii_whitespace());
        let hash = lines.find_map(|mut words| {
            let hash = words.next()?;
            (words.nth(1)? == path).then_some(hash)
        });
        hash.filter(|_| dir.exists()).map(|hash| dir.join(hash))
    }

    /// An index as it is, unpacked.
    pub(crate) fn index(&self, path: &str) -> String {
        let file = fs::File::open(self.dir.join(format!("{path}.gz"))).unwrap();
        let mut text = String::new();
        std::io::Read::read_to_string(&mut flate2::read::MultiGzDecoder::new(file), &mut text)
            .unwrap();
        text
    }

    /// Replaces an index in all its forms.
    pub(crate) fn put_index(&mut self, path: &str, text: &[u8]) {
        match self.dir.join(path).exists() {
            true => self.put(path, text),
            false => self.list(path, text),
        }
        self.put(&format!("{path}.gz"), &gz(text));
        self.put(&format!("{path}.xz"), &xz(text));
    }

    pub(crate) fn append_stanza(&mut self, path: &str, stanza: &str) {
        let old = self.index(path);
        let text = format!("{}\n\n{stanza}", old.trim_end_matches('\n'));
        self.put_index(path, text.as_bytes());
    }

    /// Changes the bytes of an index in all its forms, without telling the Release.
    pub(crate) fn damage(&self, path: &str, damage: impl Fn(&mut Vec<u8>)) {
        for form in ["", ".gz", ".xz"] {
            let path = format!("{path}{form}");
            for file in [Some(self.dir.join(&path)), self.by_hash(&path)] {
                if let Some(file) = file.filter(|f| f.exists()) {
                    let mut data = fs::read(&file).unwrap();
                    damage(&mut data);
                    fs::write(file, data).unwrap();
                }
            }
        }
    }

    /// Takes an index away in all its forms.
    pub(crate) fn delete(&self, path: &str) {
        for form in ["", ".gz", ".xz", ".bz2"] {
            let path = format!("{path}{form}");
            for file in [Some(self.dir.join(&path)), self.by_hash(&path)] {
                if let Some(file) = file.filter(|f| f.exists()) {
                    fs::remove_file(file).unwrap();
                }
            }
        }
    }

    /// Writes the Release, signed, in the forms that the suite has.
    pub(crate) fn sign(&self) {
        let signer = Signer::key_files(&[&self.key]).unwrap();
        let signed = signer.sign(self.body.as_bytes(), signing_time()).unwrap();
        fs::write(self.dir.join("Release"), &self.body).unwrap();
        fs::write(self.dir.join("Release.gpg"), &signed.detached).unwrap();
        if self.dir.join("InRelease").exists() {
            fs::write(self.dir.join("InRelease"), &signed.inline).unwrap();
        }
    }
}
