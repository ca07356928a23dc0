//! Shows what may stand in the place of the lock file, and what is said where nothing can be locked there.

use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use crate::common::programs::has;
use crate::common::site::{Site, TWO_SUITES};

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn a_lock_that_cannot_be_made_is_no_held_lock() {
    // Its directory is missing.
    let site = Site::of(TWO_SUITES);
    let text = fs::read_to_string(site.config_file()).unwrap();
    let lock = site.dir().join("nowhere/lock");
    fs::write(
        site.config_file(),
        format!("lock = \"{}\"\n{text}", lock.display()),
    )
    .unwrap();
    let told = site.expect(1, &["run"]);
    assert!(
        told.contains("hint") && told.contains("nowhere/lock"),
        "{told}"
    );
    assert_eq!(site.link(), None);
}

/// Sets the path of the lock.
fn set_lock(site: &Site, lock: &Path) {
    let text = fs::read_to_string(site.config_file()).unwrap();
    let text = format!("lock = \"{}\"\n{text}", lock.display());
    fs::write(site.config_file(), text).unwrap();
}

#[test]
fn what_stands_in_a_lock_file_means_nothing_and_what_is_no_file_is_refused() {
    if !has("flock") {
        return;
    }
    let site = Site::of(TWO_SUITES);
    let (lock, leads_to) = (site.dir().join("lock"), site.dir().join("leads-to"));
    set_lock(&site, &lock);
    let refused = |what: &str| {
        for arguments in [&["run"][..], &["lock", "--", "true"]] {
            let told = site.expect(1, arguments);
            assert!(told.contains(what) && told.contains("hint: "), "{told}");
            assert!(told.contains(&lock.display().to_string()), "{told}");
        }
        let status = site.expect(0, &["status"]);
        assert!(!status.contains("held by"), "{status}");
    };
    // A file with something else in it is a lock, and neither emptied nor shown.
    let words = "root:x:0:0\nimportant\n";
    let held = format!("! flock --nonblock {0} true && cat {0}", lock.display());
    for file in [&lock, &leads_to] {
        fs::write(file, words).unwrap();
        if file == &leads_to {
            fs::remove_file(&lock).unwrap();
            symlink(&leads_to, &lock).unwrap();
        }
        let said = site.aptmerge(&["lock", "--", "sh", "-c", &held]);
        assert_eq!(said.expect(0, &[]).stdout, words);
        let told = Command::new("flock")
            .arg(&lock)
            .args([crate::common::programs::APTMERGE, "run", "--config"])
            .arg(site.config_file())
            .output()
            .unwrap();
        assert_eq!(told.status.code(), Some(75), "{}", stderr(&told));
        assert!(!stderr(&told).contains("root:x"), "{}", stderr(&told));
        assert_eq!(fs::read_to_string(file).unwrap(), words);
    }
    // Who leads it to a file of its own may do so, be that there or not.
    fs::write(&leads_to, "").unwrap();
    site.expect(0, &["lock", "--", "true"]);
    fs::remove_file(&leads_to).unwrap();
    site.expect(0, &["lock", "--", "true"]);
    assert!(leads_to.is_file());
    fs::remove_file(&lock).unwrap();
    symlink("/dev/null", &lock).unwrap();
    refused("no regular file");
    fs::remove_file(&lock).unwrap();
    nix::unistd::mkfifo(&lock, nix::sys::stat::Mode::S_IRWXU).unwrap();
    refused("no regular file");
    fs::remove_file(&lock).unwrap();
    fs::create_dir(&lock).unwrap();
    refused("Is a directory");
    fs::remove_dir(&lock).unwrap();
    // What a loss of power or a full disk leaves of a holder's words.
    // And what other programs leave.
    for left in [
        &b"\0\0\0\0\0\0"[..],
        b"pi",
        b"pid 1 on elsewhere",
        b"4711\n",
    ] {
        fs::write(&lock, left).unwrap();
        site.expect(0, &["lock", "--", "true"]);
        assert_eq!(fs::read(&lock).unwrap(), b"");
    }
}

#[test]
fn a_lock_of_another_user_in_a_sticky_directory_is_no_riddle() {
    const PROTECTED: &str = "/proc/sys/fs/protected_regular";
    if !has("setpriv") || !nix::unistd::getuid().is_root() {
        eprintln!("skipped: only root has files of two users");
        return;
    }
    let site = Site::of(TWO_SUITES);
    let dir = site.dir().join("run-lock");
    fs::create_dir(&dir).unwrap();
    fs::set_permissions(&dir, fs::Permissions::from_mode(0o1777)).unwrap();
    fs::set_permissions(site.dir(), fs::Permissions::from_mode(0o777)).unwrap();
    let lock = dir.join("lock");
    set_lock(&site, &lock);
    let as_nobody = |command: &[&str]| {
        Command::new("setpriv")
            .args(["--reuid=65534", "--regid=65534", "--clear-groups", "--"])
            .args(command)
            .output()
            .unwrap()
    };
    let path = lock.to_str().unwrap();
    assert!(as_nobody(&["touch", path]).status.success());
    // What is set for the whole machine is set back.
    let before = fs::read_to_string(PROTECTED).unwrap_or_default();
    if fs::write(PROTECTED, "2").is_err() {
        eprintln!("skipped: {PROTECTED} cannot be set, so this is tried without it");
    }
    let said = site.aptmerge(&["lock", "--", "true"]);
    let _ = fs::write(PROTECTED, before);
    said.expect(0, &[]);
    // The other way round the mode of the file is in the way, and that is said.
    fs::remove_file(&lock).unwrap();
    site.expect(0, &["lock", "--", "true"]);
    let config = site.config_file();
    let program = crate::common::programs::APTMERGE;
    if !as_nobody(&[program, "--version"]).status.success() {
        eprintln!("skipped: another user cannot start {program}");
        return;
    }
    let inner = [program, "--config", config.to_str().unwrap()];
    let output = as_nobody(&[&inner[..], &["lock", "--", "true"]].concat());
    let told = stderr(&output);
    assert_eq!(output.status.code(), Some(1), "{told}");
    assert!(
        told.contains("hint: run as the user that it belongs to"),
        "{told}"
    );
}

/// A mounted file system whose files cannot be locked; `None`, aloud, where there can be none.
struct Flockless {
    server: Child,
    place: tempfile::TempDir,
}

impl Flockless {
    fn mount(error: &str) -> Option<Flockless> {
        if !has("python3") {
            return None;
        }
        let place = tempfile::tempdir().unwrap();
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/faults/flockless.py");
        let mut server = Command::new("python3")
            .arg(script)
            .arg(place.path())
            .arg(error)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut said = String::new();
        let mut output = BufReader::new(server.stdout.take().unwrap());
        output.read_line(&mut said).unwrap();
        if said == "mounted\n" {
            return Some(Flockless { server, place });
        }
        let output = server.wait_with_output().unwrap();
        assert_eq!(output.status.code(), Some(77), "{}", stderr(&output));
        eprint!("{}", stderr(&output));
        None
    }

    fn lock_file(&self) -> PathBuf {
        self.place.path().join("aptmerge.lock")
    }
}

impl Drop for Flockless {
    fn drop(&mut self) {
        drop(self.server.stdin.take());
        let _ = self.server.wait();
    }
}

#[test]
fn a_file_system_without_locks_is_no_held_lock() {
    for (error, said) in [
        ("ENOLCK", "No locks available"),
        ("EOPNOTSUPP", "Operation not supported"),
        ("ENOSYS", "Function not implemented"),
    ] {
        let Some(place) = Flockless::mount(error) else {
            return;
        };
        let site = Site::of(TWO_SUITES);
        let text = fs::read_to_string(site.config_file()).unwrap();
        let lock = format!("lock = \"{}\"\n", place.lock_file().display());
        fs::write(site.config_file(), format!("{lock}{text}")).unwrap();
        for arguments in [
            &["run"][..],
            &["run", "--lock-wait", "60"],
            &["merge"],
            &[
                "lock",
                "--",
                "touch",
                site.dir().join("ran").to_str().unwrap(),
            ],
        ] {
            let told = site.expect(1, arguments);
            assert!(told.contains(said), "{told}");
            assert!(
                told.contains(&place.lock_file().display().to_string()),
                "{told}"
            );
            assert!(
                told.contains("hint: ") && told.contains("flock(2)"),
                "{told}"
            );
        }
        assert!(!site.dir().join("ran").exists());
        assert_eq!(site.link(), None);
        assert!(
            !site.root().join("state").exists(),
            "something was written without the lock"
        );
        // Nobody can hold it, so nobody is named, and a caller who vouches for it is contradicted.
        fs::write(place.lock_file(), "pid 1 on elsewhere: aptmerge run\n").unwrap();
        let vouched = site.expect(0, &["run", "--no-lock-i-am-sure"]);
        assert!(vouched.contains("NOBODY HOLDS"), "{vouched}");
        let status = site.expect(0, &["status"]);
        assert!(!status.contains("pid 1 on elsewhere"), "{status}");
        site.expect(0, &["verify"]);
    }
}
