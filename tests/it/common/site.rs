//! A site in a directory of its own: copies of the fixture archives and keys, a configuration, and the program to run on them.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::SystemTime;

use jiff::Timestamp;
use sha2::{Digest, Sha256};
use tempfile::TempDir;

use super::apt::{Server, stanzas, unxz};
use super::programs::{APTMERGE, Said, forget_environment, top, write_script};
use super::upstream::{NEWER, NEWEST, Suite, gunzip, stanza};

/// The beginning of a configuration of all archives.
const ALL_ARCHIVES: &str = r#"
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

/// The configuration of a small site.
const SMALL: &str = r#"root = "site"
priority = ["overlay", "main"]
components = ["main"]
architectures = ["all", "amd64"]
indices = ["packages", "sources"]

[archives.overlay]
pool = "OVERLAY"
uris = ["file://@DIR@/archives/overlay"]
signed-by = "keys/overlay.gpg"

[archives.main]
pool = "MAIN"
uris = ["file://@DIR@/archives/main"]
signed-by = "keys/main.gpg"

[suites.daedalus]
from = { overlay = "daedalus", main = "bookworm" }

[signing]
key-file = "keys/publish-a.secret.asc"

[publish]
pool-links = false

[fetch]
retries = 0
restarts = 0
backoff = "0 seconds"
"#;

/// One suite, of the overlay and of main.
pub(crate) const DAEDALUS: &str = r#"
[suites.daedalus]
from = { overlay = "daedalus", main = "bookworm" }
release = { Origin = "Example", Label = "Example", Suite = "stable", Codename = "daedalus", Version = "5.0" }
links = ["stable", "5.0"]
"#;

/// A second suite, of the overlay and of security.
pub(crate) const SECURITY: &str = r#"
[suites.daedalus-security]
from = { overlay = "daedalus-security", security = "bookworm-security" }
"#;

/// Both.
pub(crate) const TWO_SUITES: &str = r#"
[suites.daedalus]
from = { overlay = "daedalus", main = "bookworm" }
links = ["stable"]

[suites.daedalus-security]
from = { overlay = "daedalus-security", security = "bookworm-security" }
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

/// The time before the first command of a small site.
const FIRST_RUN: &str = "2026-03-01T00:00:00Z";

/// Returns the directory of the fixtures.
pub(crate) fn fixtures() -> PathBuf {
    top().join("fixtures")
}

/// Makes a directory to work in: in memory where there is such a place, since a run forces every file out to the disk.
pub(crate) fn work_dir() -> TempDir {
    let builder = || tempfile::Builder::new().prefix("aptmerge-test-").to_owned();
    builder()
        .tempdir_in("/dev/shm")
        .or_else(|_| builder().tempdir())
        .unwrap()
}

/// Copies a directory with all that is below it.
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

/// Puts an exact copy of a file or a directory into the place of another, if there is another.
pub(crate) fn copy_over(from: &Path, to: &Path) {
    let _ = fs::remove_dir_all(to);
    let status = Command::new("cp").arg("-a").arg(from).arg(to).status();
    assert!(status.unwrap().success());
}

/// Archives, keys, a configuration and a root, in a directory of their own.
pub(crate) struct Site {
    dir: TempDir,
    /// The configuration at the beginning.
    start: String,
    /// The end of the configuration, as it was last set.
    extra: String,
    /// The number of commands so far, where each is an hour later than the one before.
    hours: Option<AtomicI64>,
    binary: PathBuf,
}

impl Site {
    /// Makes a site that has keys and nothing else.
    pub(crate) fn bare() -> Site {
        let site = Site {
            dir: work_dir(),
            start: String::new(),
            extra: String::new(),
            hours: None,
            binary: APTMERGE.into(),
        };
        site.restore_keys();
        site
    }

    fn configured(mut self, text: &str) -> Site {
        self.start = text.replace("@DIR@", self.dir().to_str().unwrap());
        self.restore_config();
        self
    }

    /// Makes a site of all archives; the suites are tables of the configuration.
    pub(crate) fn of(suites: &str) -> Site {
        let site = Site::bare();
        copy_tree(&fixtures().join("archives"), &site.path("archives"));
        site.configured(&format!("{ALL_ARCHIVES}{suites}"))
    }

    /// Makes a small site: one merged suite, `daedalus`, of two archives: `overlay` without by-hash, `main` with it. Each command takes
    /// place an hour after the one before.
    pub(crate) fn new() -> Site {
        let mut site = Site::bare();
        site.hours = Some(AtomicI64::new(0));
        site.restore_archive("overlay", "daedalus");
        site.restore_archive("main", "bookworm");
        site.configured(SMALL)
    }

    /// Makes a small site that has run once.
    pub(crate) fn published() -> Site {
        Site::new().publish()
    }

    /// Runs once.
    pub(crate) fn publish(self) -> Site {
        self.ok(&["run"]);
        self
    }

    /// Adds something to the end of the configuration.
    pub(crate) fn with(mut self, extra: &str) -> Site {
        self.set_extra(extra);
        self
    }

    /// Returns the directory of the site.
    pub(crate) fn dir(&self) -> &Path {
        self.dir.path()
    }

    pub(crate) fn path(&self, path: impl AsRef<Path>) -> PathBuf {
        self.dir().join(path)
    }

    pub(crate) fn root(&self) -> PathBuf {
        self.path("site")
    }

    /// Returns a path below the tree that is served.
    pub(crate) fn merged(&self, path: &str) -> PathBuf {
        self.root().join("merged").join(path)
    }

    pub(crate) fn config_file(&self) -> PathBuf {
        self.path("aptmerge.toml")
    }

    pub(crate) fn lock_file(&self) -> PathBuf {
        self.root().join("aptmerge.lock")
    }

    /// Puts a script into the site's directory.
    pub(crate) fn script(&self, name: &str, text: &str) -> PathBuf {
        let path = self.path(name);
        write_script(&path, text);
        path
    }

    pub(crate) fn use_binary(&mut self, path: PathBuf) {
        self.binary = path;
    }

    // ------------------------------------------------------------------------------------------ the configuration

    /// Returns the configuration that the site began with.
    pub(crate) fn config(&self) -> &str {
        &self.start
    }

    pub(crate) fn restore_config(&self) {
        self.write_config(&self.start);
    }

    pub(crate) fn write_config(&self, text: &str) {
        fs::write(self.config_file(), text).unwrap();
    }

    /// Replaces a part of the configuration, which has to be there.
    pub(crate) fn configure(&self, from: &str, to: &str) {
        let config = fs::read_to_string(self.config_file()).unwrap();
        assert!(config.contains(from), "no {from:?} in {config}");
        self.write_config(&config.replace(from, to));
    }

    /// Replaces a part of the configuration that the site began with; what was changed before is undone.
    pub(crate) fn change_config(&self, from: &str, to: &str) {
        self.restore_config();
        self.configure(from, to);
    }

    /// Replaces what was last put at the end of the configuration.
    pub(crate) fn set_extra(&mut self, extra: &str) {
        let config = fs::read_to_string(self.config_file()).unwrap();
        let kept = config.strip_suffix(&self.extra).unwrap();
        self.write_config(&format!("{kept}{extra}"));
        self.extra = extra.to_owned();
    }

    // ------------------------------------------------------------------------------------------ archives and keys

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

    /// Makes everything good again, and nothing newer than what was fetched before.
    pub(crate) fn restore(&self) {
        self.restore_keys();
        self.restore_config();
        self.restore_archive("overlay", "daedalus");
        self.restore_archive("main", "bookworm");
    }

    /// Does the same with a later Date: what an archive publishes after it published something bad.
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

    /// Has the overlay publish something: a package that was not there before.
    pub(crate) fn news(&self) {
        let mut suite = self.overlay();
        suite.set("Date", NEWER);
        suite.append_stanza("main/binary-amd64/Packages", &stanza("newcomer"));
        suite.sign();
    }

    /// Edits an index of the overlay, and signs its suite with a new Date.
    pub(crate) fn edit_overlay(
        &self,
        suite: &str,
        path: &str,
        date: Timestamp,
        edit: impl FnOnce(String) -> String,
    ) {
        let mut suite = Suite::open(self, "overlay", suite);
        let text = edit(suite.index(path));
        suite.put_index(path, text.as_bytes());
        let time = date.strftime("%a, %d %b %Y %H:%M:%S UTC").to_string();
        suite.set("Date", &time);
        suite.sign_at(SystemTime::from(date));
    }

    /// Has the overlay publish its package `overlay-only` at another version.
    pub(crate) fn raise_overlay(&self, version: &str) {
        self.restore_archive("overlay", "daedalus");
        let date = "2026-01-02T00:00:00Z".parse().unwrap();
        self.edit_overlay("daedalus", "main/binary-amd64/Packages", date, |text| {
            let raised = text.replace(
                "Package: overlay-only\nVersion: 1.0\n",
                &format!("Package: overlay-only\nVersion: {version}\n"),
            );
            assert_ne!(raised, text);
            raised
        });
    }

    // ------------------------------------------------------------------------------------------ the program

    /// Returns a call of the program; its clock is the site's, unless the arguments set it.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.binary);
        command
            .arg("--config")
            .arg(self.config_file())
            .args(arguments)
            .stdin(Stdio::null());
        forget_environment(&mut command);
        let hours = self.hours.as_ref();
        if let Some(hours) = hours.filter(|_| !arguments.contains(&"--clock")) {
            let hours = 1 + hours.fetch_add(1, Ordering::Relaxed);
            let first: Timestamp = FIRST_RUN.parse().unwrap();
            let now = first + jiff::SignedDuration::from_hours(hours);
            command.arg("--clock").arg(now.to_string());
        }
        command
    }

    /// Calls the program.
    pub(crate) fn aptmerge(&self, arguments: &[&str]) -> Said {
        Said::of(&self.command(arguments).output().unwrap())
    }

    /// Asserts that the password `S3CRET` is neither in what was said nor in any file below the root.
    #[track_caller]
    pub(crate) fn assert_secret_is_kept(&self, said: &[Said]) {
        for said in said {
            let is_told = [&said.stdout, &said.stderr]
                .iter()
                .any(|text| text.contains("S3CRET"));
            assert!(!is_told, "{said:?}");
        }
        for entry in walkdir::WalkDir::new(self.root()) {
            let entry = entry.unwrap();
            if entry.file_type().is_file() {
                let data = fs::read(entry.path()).unwrap();
                let found = memchr::memmem::find(&data, b"S3CRET").is_some();
                assert!(!found, "{}", entry.path().display());
            }
        }
    }

    pub(crate) fn run(&self, options: &[&str]) -> Said {
        self.aptmerge(&[&["run"], options].concat())
    }

    /// Runs, which has to succeed and to publish nothing; returns what it said.
    #[track_caller]
    pub(crate) fn run_without_news(&self, options: &[&str]) -> Said {
        let said = self.run(&[&["--json"], options].concat());
        said.expect(0, &[]);
        let outcome = said.outcome();
        for field in ["changed", "removed"] {
            assert_eq!(outcome[field], serde_json::json!([]), "{said:?}");
        }
        assert_eq!(outcome["links-changed"], false, "{said:?}");
        said
    }

    /// Calls the program and expects an exit code; returns all that it wrote.
    #[track_caller]
    pub(crate) fn expect(&self, code: i32, arguments: &[&str]) -> String {
        let said = self.aptmerge(arguments);
        let text = said.stdout + &said.stderr;
        assert_eq!(said.code, Some(code), "{arguments:?}: {text}");
        text
    }

    /// Calls the program, which has to succeed; returns what it wrote to stdout.
    #[track_caller]
    pub(crate) fn ok(&self, arguments: &[&str]) -> String {
        let said = self.aptmerge(arguments);
        said.expect(0, &[]);
        said.stdout
    }

    /// Runs at a set time.
    #[track_caller]
    pub(crate) fn run_at(&self, time: &str) -> String {
        self.ok(&["run", "--clock", time])
    }

    #[track_caller]
    pub(crate) fn json(&self, arguments: &[&str]) -> serde_json::Value {
        serde_json::from_str(&self.ok(arguments)).unwrap()
    }

    /// Calls the program, whatever its exit code; returns the document that it prints.
    #[track_caller]
    pub(crate) fn json_of(&self, arguments: &[&str]) -> serde_json::Value {
        serde_json::from_str(&self.aptmerge(arguments).stdout).unwrap()
    }

    pub(crate) fn serve(&self) -> Server {
        Server::start(self.command(&[]))
    }

    // ------------------------------------------------------------------------------------------ what it made

    /// Returns where the link leads.
    pub(crate) fn link(&self) -> Option<PathBuf> {
        fs::read_link(self.root().join("merged")).ok()
    }

    /// Returns the text of a published index, a path below the served tree without the ending of its compressed forms.
    #[track_caller]
    pub(crate) fn index(&self, path: &str) -> String {
        let xz = self.merged(&format!("{path}.xz"));
        match xz.exists() {
            true => unxz(&xz),
            false => gunzip(&self.merged(&format!("{path}.gz"))),
        }
    }

    /// Returns the stanzas of a published index.
    pub(crate) fn stanzas(&self, path: &str) -> Vec<String> {
        stanzas(&self.index(path))
    }

    /// Returns all that a client could see: every file's bytes, inode, mode and time, every symlink, the link itself.
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
}

/// Every entry below a directory.
pub(crate) fn files(dir: &Path) -> Vec<PathBuf> {
    walkdir::WalkDir::new(dir)
        .min_depth(1)
        .into_iter()
        .filter_map(Result::ok)
        .map(walkdir::DirEntry::into_path)
        .collect()
}

/// A tree's files by name, with what is in them.
pub(crate) type Contents = BTreeMap<String, Vec<u8>>;

/// Returns what is in a tree: each file by its bytes, each symlink by where it leads; pools of this machine are left out.
pub(crate) fn contents(tree: &Path) -> Contents {
    let mut contents = BTreeMap::new();
    for path in files(&tree.join("dists")) {
        let name = path.strip_prefix(tree).unwrap().display().to_string();
        if path.is_symlink() {
            let leads = fs::read_link(&path).unwrap();
            contents.insert(name, format!("-> {}", leads.display()).into_bytes());
        } else if path.is_file() {
            contents.insert(name, fs::read(&path).unwrap());
        }
    }
    contents
}

/// Returns a tree without its signatures, which have a salt in them and differ each time. `verify` looks at those.
pub(crate) fn without_signatures(contents: &Contents) -> Contents {
    let signature: &[u8] = b"-----BEGIN PGP SIGNATURE-----";
    let mut contents = contents.clone();
    for bytes in contents.values_mut() {
        let start = bytes.windows(signature.len()).position(|w| w == signature);
        if let Some(start) = start {
            bytes.truncate(start);
        }
    }
    contents
}

/// Returns the files that differ.
pub(crate) fn differing<'a>(a: &'a Contents, b: &'a Contents) -> BTreeSet<&'a str> {
    let names = a.keys().chain(b.keys());
    names
        .filter(|name| a.get(*name) != b.get(*name))
        .map(String::as_str)
        .collect()
}
