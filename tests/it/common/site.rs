//! A site in a directory of its own: the fixture archives, keys, a configuration, and the program to run on them.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant, SystemTime};

use sha2::{Digest, Sha256};
use tempfile::TempDir;

/// How long anything may take before a test gives up on it.
pub(crate) const LONG: Duration = Duration::from_secs(60);

pub(crate) use super::programs::APTMERGE;
use super::programs::write_script;

/// The directory of the fixtures.
pub(crate) fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures")
}

/// Whether this machine lets a process be traced.
pub(crate) fn can_trace() -> bool {
    if !super::programs::has("strace") {
        return false;
    }
    let traced = Command::new("strace")
        .args(["-f", "-qq", "-o", "/dev/null", "--", "true"])
        .stderr(Stdio::null())
        .status();
    let can = traced.is_ok_and(|status| status.success());
    if !can {
        super::programs::skipped("strace that may trace");
    }
    can
}

/// A directory to work in: in memory where there is such a place, since every file is forced out to the disk.
pub(crate) fn work_dir() -> TempDir {
    let builder = || tempfile::Builder::new().prefix("aptmerge-test-").to_owned();
    builder()
        .tempdir_in("/dev/shm")
        .or_else(|_| builder().tempdir())
        .unwrap()
}

/// A site.
pub(crate) struct Site {
    dir: TempDir,
    /// A copy of a site has the keys of the first: where they lie is part of what a Release follows from.
    keys: PathBuf,
    overlay: PathBuf,
    suites: &'static [&'static str],
    extra: String,
}

impl Site {
    /// A site that has published nothing yet, with `extra` at the end of its configuration.
    pub(crate) fn new(extra: &str) -> Site {
        let dir = work_dir();
        let keys = dir.path().join("keys");
        fs::create_dir(&keys).unwrap();
        for entry in fs::read_dir(fixtures().join("keys")).unwrap() {
            let path = entry.unwrap().path();
            let copy = keys.join(path.file_name().unwrap());
            fs::copy(&path, &copy).unwrap();
            fs::set_permissions(&copy, fs::Permissions::from_mode(0o600)).unwrap();
        }
        let site = Site {
            dir,
            keys,
            overlay: fixtures().join("archives/overlay"),
            suites: &["daedalus", "daedalus-security"],
            extra: extra.to_owned(),
        };
        site.write_config();
        site
    }

    /// The same site once more, in another place: everything that is in it, except for running processes.
    pub(crate) fn copy(&self) -> Site {
        let dir = work_dir();
        let from = format!("{}/.", self.path().display());
        let status = Command::new("cp")
            .arg("-a")
            .arg(from)
            .arg(dir.path())
            .status()
            .unwrap();
        assert!(status.success());
        // The path of this site may be in what was added to the configuration.
        let extra = self.extra.replace(
            &self.path().display().to_string(),
            &dir.path().display().to_string(),
        );
        let site = Site {
            dir,
            keys: self.keys.clone(),
            overlay: self.overlay.clone(),
            suites: self.suites,
            extra,
        };
        site.write_config();
        site
    }

    /// Takes the overlay from another directory.
    pub(crate) fn set_overlay(&mut self, overlay: &Path) {
        self.overlay = overlay.to_owned();
        self.write_config();
    }

    /// Publishes these suites, of `daedalus` and `daedalus-security`.
    pub(crate) fn set_suites(&mut self, suites: &'static [&'static str]) {
        self.suites = suites;
        self.write_config();
    }

    /// Puts something else at the end of the configuration.
    pub(crate) fn set_extra(&mut self, extra: &str) {
        self.extra = extra.to_owned();
        self.write_config();
    }

    fn write_config(&self) {
        let archives = fixtures().join("archives");
        let mut text = String::from(
            "root = \"site\"\npriority = [\"overlay\", \"security\", \"main\"]\n\
             components = [\"main\", \"contrib\", \"non-free\", \"non-free-firmware\"]\n\
             architectures = [\"all\", \"amd64\"]\n",
        );
        for (name, path) in [
            ("overlay", self.overlay.clone()),
            ("security", archives.join("security")),
            ("main", archives.join("main")),
        ] {
            text += &format!(
                "[archives.{name}]\npool = \"{}\"\nuris = [\"file://{}\"]\nsigned-by = \"{}/{name}.gpg\"\n",
                name.to_uppercase(),
                path.display(),
                self.keys.display()
            );
        }
        for suite in self.suites {
            text += match *suite {
                "daedalus" => {
                    "[suites.daedalus]\nfrom = { overlay = \"daedalus\", main = \"bookworm\" }\nlinks = [\"stable\"]\n"
                }
                _ => {
                    "[suites.daedalus-security]\nfrom = { overlay = \"daedalus-security\", security = \"bookworm-security\" }\n"
                }
            };
        }
        text += &format!(
            "[bans]\npackages = [\"systemd\", \"systemd-sysv\"]\n\
             [signing]\nkey-file = [\"{0}/publish-a.secret.asc\", \"{0}/publish-b.secret.asc\"]\n",
            self.keys.display()
        );
        text += &self.extra;
        fs::write(self.config(), text).unwrap();
    }

    /// The directory of the site; the root is `site` in it.
    pub(crate) fn path(&self) -> &Path {
        self.dir.path()
    }

    /// The root.
    pub(crate) fn root(&self) -> PathBuf {
        self.path().join("site")
    }

    /// The configuration.
    pub(crate) fn config(&self) -> PathBuf {
        self.path().join("aptmerge.toml")
    }

    /// The lock file, as `config show` names it.
    pub(crate) fn lock_file(&self) -> PathBuf {
        self.root().join("aptmerge.lock")
    }

    /// A script in the site's directory.
    pub(crate) fn script(&self, name: &str, text: &str) -> PathBuf {
        let path = self.path().join(name);
        write_script(&path, text);
        path
    }

    /// A call of the program.
    pub(crate) fn aptmerge(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(APTMERGE);
        command
            .arg("--config")
            .arg(self.config())
            .args(arguments)
            .stdin(Stdio::null())
            .env_remove("APTMERGE_CONFIG");
        command
    }

    /// Calls the program; what it wrote and how it ended.
    pub(crate) fn call(&self, arguments: &[&str]) -> Output {
        self.aptmerge(arguments).output().unwrap()
    }

    /// Calls the program and expects an exit code; what it wrote on stderr.
    #[track_caller]
    pub(crate) fn expect(&self, code: i32, arguments: &[&str]) -> String {
        let output = self.call(arguments);
        let text = format!(
            "{}{}",
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        );
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {text}");
        text
    }

    /// What the link leads to.
    pub(crate) fn served(&self) -> Option<PathBuf> {
        fs::read_link(self.root().join("merged")).ok()
    }

    /// What is below a directory of the root under temporary names.
    pub(crate) fn litter(&self) -> Vec<PathBuf> {
        files(&self.root())
            .into_iter()
            .filter(|path| path.to_string_lossy().contains(".aptmerge-tmp-"))
            .collect()
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

/// What is in a tree: each file by its bytes, each symlink by where it leads; pools of this machine are left out.
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

/// A tree without its signatures, which have a salt in them and differ each time. `verify` looks at those.
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

/// The files that differ.
pub(crate) fn differing<'a>(a: &'a Contents, b: &'a Contents) -> BTreeSet<&'a str> {
    let names = a.keys().chain(b.keys());
    names
        .filter(|name| a.get(*name) != b.get(*name))
        .map(String::as_str)
        .collect()
}

/// Makes a copy of the overlay in which `overlay-only` is at another version, signed again.
pub(crate) fn raised_overlay(version: &str) -> TempDir {
    let dir = work_dir();
    let from = fixtures().join("archives/overlay/.");
    let status = Command::new("cp")
        .arg("-r")
        .arg(from)
        .arg(dir.path())
        .status()
        .unwrap();
    assert!(status.success());
    let suite = dir.path().join("dists/daedalus");
    let index = "main/binary-amd64/Packages";
    let old = "Package: overlay-only\nVersion: 1.0\n";
    let text = fs::read_to_string(suite.join(index)).unwrap();
    assert!(text.contains(old));
    let text = text.replace(old, &format!("Package: overlay-only\nVersion: {version}\n"));
    fs::write(suite.join(index), &text).unwrap();
    let hash = hex::encode(Sha256::digest(&text));
    let release = fs::read_to_string(suite.join("Release")).unwrap();
    let mut lines = String::new();
    for line in release.lines() {
        // Only the plain form is listed from now on.
        let path = line.rsplit(' ').next().unwrap();
        if path == index {
            lines += &format!(" {hash} {} {index}\n", text.len());
        } else if line.starts_with("Date:") {
            lines += "Date: Fri, 02 Jan 2026 00:00:00 UTC\n";
        } else if !path.starts_with(index) {
            lines += &format!("{line}\n");
        }
    }
    for form in ["gz", "xz"] {
        fs::remove_file(suite.join(format!("{index}.{form}"))).unwrap();
    }
    let key = work_dir();
    let secret = key.path().join("key");
    fs::copy(fixtures().join("keys/overlay.secret.asc"), &secret).unwrap();
    fs::set_permissions(&secret, fs::Permissions::from_mode(0o600)).unwrap();
    let signer = aptmerge::openpgp::Signer::key_files(&[secret]).unwrap();
    let raised = SystemTime::UNIX_EPOCH + Duration::from_secs(1_767_312_000);
    let signed = signer.sign(lines.as_bytes(), raised).unwrap();
    fs::write(suite.join("Release"), lines).unwrap();
    fs::write(suite.join("Release.gpg"), signed.detached).unwrap();
    fs::write(suite.join("InRelease"), signed.inline).unwrap();
    dir
}

/// Waits until something holds.
#[track_caller]
pub(crate) fn wait_until(what: &str, mut holds: impl FnMut() -> bool) {
    let start = Instant::now();
    while !holds() {
        assert!(start.elapsed() < LONG, "waited in vain until {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// Whether a process is there and is no zombie.
pub(crate) fn is_alive(pid: i32) -> bool {
    fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| {
        let state = stat
            .rsplit(") ")
            .next()
            .and_then(|rest| rest.chars().next());
        !matches!(state, Some('Z' | 'X'))
    })
}

/// Reads a process id out of a file that a script writes; waits for it.
#[track_caller]
pub(crate) fn pid_in(path: &Path) -> i32 {
    let mut pid = None;
    wait_until(&format!("{} holds a pid", path.display()), || {
        pid = fs::read_to_string(path)
            .ok()
            .filter(|text| text.ends_with('\n'))
            .and_then(|text| text.trim().parse().ok());
        pid.is_some()
    });
    pid.unwrap()
}

/// Sends a signal.
pub(crate) fn kill(pid: i32, signal: nix::sys::signal::Signal) {
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), signal).unwrap();
}

/// The pid of a child, as the system calls want it.
pub(crate) fn pid_of(child: &Child) -> i32 {
    i32::try_from(child.id()).unwrap()
}

/// The child processes of a process.
pub(crate) fn children(pid: i32) -> Vec<i32> {
    let mut text = String::new();
    let _ = fs::File::open(format!("/proc/{pid}/task/{pid}/children"))
        .and_then(|mut file| file.read_to_string(&mut text));
    text.split_whitespace()
        .filter_map(|pid| pid.parse().ok())
        .collect()
}
