//! Least privilege: an ordinary user is enough, and what is made has the same modes whatever umask the run had.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::common::programs::{Said, copy_program, has};
use crate::common::site::Site;
use crate::common::upstream::{NEWER, stanza};

/// Returns the modes of everything below a site's root. Names that are digests are taken for one: they differ from run to run, since
/// signatures do.
fn modes(site: &Site) -> BTreeSet<(PathBuf, u32)> {
    let mut modes = BTreeSet::new();
    for entry in walkdir::WalkDir::new(site.root()) {
        let entry = entry.unwrap();
        let meta = entry.path().symlink_metadata().unwrap();
        let mut path = entry.path().strip_prefix(site.root()).unwrap().to_owned();
        let stem = path.file_stem().unwrap_or_default().to_string_lossy();
        if stem.len() == 64 && stem.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            path.set_file_name("DIGEST");
        }
        if !meta.is_symlink() {
            modes.insert((path, meta.mode() & 0o7777));
        }
    }
    modes
}

/// Runs twice under a umask, with something new the second time.
fn run_under(umask: &str) -> BTreeSet<(PathBuf, u32)> {
    let site = Site::new();
    for _ in 0..2 {
        let inner = site.command(&["run"]);
        let out = Command::new("sh")
            .args(["-c", &format!("umask {umask} && exec \"$@\""), "sh"])
            .arg(inner.get_program())
            .args(inner.get_args())
            .env_remove("APTMERGE_CONFIG")
            .output();
        Said::of(&out.unwrap()).expect(0, &[]);
        let mut suite = site.main();
        suite.set("Date", NEWER);
        suite.append_stanza("main/binary-amd64/Packages", &stanza("newcomer"));
        suite.sign();
    }
    modes(&site)
}

#[test]
fn modes_do_not_depend_on_the_umask() {
    let usual = run_under("022");
    assert!(usual.len() > 40, "{usual:?}");
    for (path, mode) in &usual {
        let is_tree = path.starts_with("merged-production") || path.starts_with("merged-volatile");
        if is_tree {
            assert!(
                [0o644, 0o755].contains(mode),
                "{}: {mode:o}",
                path.display()
            );
        }
        assert_eq!(mode & 0o022, 0, "{}: {mode:o}", path.display());
    }
    for umask in ["077", "000"] {
        let odd = run_under(umask);
        let differing: Vec<_> = odd.symmetric_difference(&usual).collect();
        assert!(differing.is_empty(), "umask {umask}: {differing:?}");
    }
}

/// Gives a place to nobody.
fn give_away(path: &Path) {
    for entry in walkdir::WalkDir::new(path) {
        std::os::unix::fs::lchown(entry.unwrap().path(), Some(65534), Some(65534)).unwrap();
    }
}

/// Returns a small site with a program of its own that every user can execute; `None`, said aloud, where there is no other user to run it.
fn site_for_others() -> Option<Site> {
    if !nix::unistd::geteuid().is_root() {
        eprintln!("skipped: not root, so nobody else can be asked");
        return None;
    }
    if !has("setpriv") {
        return None;
    }
    let mut site = Site::new();
    let binary = site.path("aptmerge");
    copy_program(&binary);
    fs::set_permissions(site.path("."), fs::Permissions::from_mode(0o755)).unwrap();
    site.use_binary(binary);
    Some(site)
}

/// The number of the user and of the group `nobody`.
const NOBODY: u32 = 65534;

/// Calls a command as another user, without any privilege.
fn as_user(user: u32, group: u32, inner: &Command) -> Said {
    let out = Command::new("setpriv")
        .arg(format!("--reuid={user}"))
        .arg(format!("--regid={group}"))
        .args(["--clear-groups", "--inh-caps=-all", "--bounding-set=-all"])
        .args(["--no-new-privs", "--"])
        .arg(inner.get_program())
        .args(inner.get_args())
        .env_remove("APTMERGE_CONFIG")
        .env("HOME", "/nonexistent")
        .current_dir("/")
        .output();
    Said::of(&out.unwrap())
}

#[test]
fn an_ordinary_user_is_enough() {
    let Some(site) = site_for_others() else {
        return;
    };
    fs::create_dir(site.root()).unwrap();
    give_away(&site.path("."));
    let as_nobody = |arguments: &[&str]| as_user(NOBODY, NOBODY, &site.command(arguments));
    let said = as_nobody(&["run"]);
    said.expect(0, &[]);
    assert_eq!(said.stderr, "");
    as_nobody(&["verify"]).expect(0, &[]);
    site.news();
    give_away(&site.path("archives"));
    as_nobody(&["run"]).expect(0, &[]);
    let text = site.index("dists/daedalus/main/binary-amd64/Packages");
    assert!(text.contains("Package: newcomer\n"));
}

/// Returns everything below a site's root, with its owner, its mode and its time.
fn everything(site: &Site) -> Vec<(PathBuf, u32, u32, (i64, i64))> {
    let walk = walkdir::WalkDir::new(site.root()).sort_by_file_name();
    let entries = walk.into_iter().map(|entry| {
        let entry = entry.unwrap();
        let found = entry.path().symlink_metadata().unwrap();
        let time = (found.mtime(), found.mtime_nsec());
        (entry.into_path(), found.uid(), found.mode(), time)
    });
    entries.collect()
}

#[test]
fn root_writes_nothing_into_a_site_of_another_user() {
    let Some(site) = site_for_others() else {
        return;
    };
    fs::create_dir(site.root()).unwrap();
    give_away(&site.path("."));
    let writing: [&[&str]; 8] = [
        &["run"],
        &["run", "--dry-run"],
        &["fetch"],
        &["merge"],
        &["publish"],
        &["run", "--no-lock-i-am-sure"],
        &["run", "--lock-wait", "1"],
        &["lock", "--", "true"],
    ];
    let nobody = nix::unistd::User::from_uid(NOBODY.into()).unwrap();
    let owner = nobody.map_or(format!("#{NOBODY}"), |user| user.name);
    let refuses = |site: &Site| {
        let before = everything(site);
        for arguments in writing {
            let hint = format!("hint: run it as that user: sudo -u '{owner}' aptmerge");
            let belongs = format!("belongs to the user {owner}");
            let said = site.aptmerge(arguments);
            said.expect(1, &[&belongs, &hint]);
        }
        assert_eq!(everything(site), before);
    };
    refuses(&site);
    as_user(NOBODY, NOBODY, &site.command(&["run"])).expect(0, &[]);
    refuses(&site);
    // A verb that only reads is for root as well, and leaves no trace.
    let before = everything(&site);
    for arguments in [
        &["status"][..],
        &["verify"],
        &["explain", "overlay-only"],
        &["config", "check"],
        &["config", "show"],
        &["config", "redirects", "nginx"],
    ] {
        site.expect(0, arguments);
    }
    assert_eq!(everything(&site), before);
    // The user of the site goes on.
    as_user(NOBODY, NOBODY, &site.command(&["run"])).expect(0, &[]);
}

#[test]
fn a_root_directory_of_the_administrator_belongs_to_who_has_the_state() {
    let Some(site) = site_for_others() else {
        return;
    };
    give_away(&site.path("."));
    // As `install -d -o root -g aptmerge -m 2775` makes it.
    fs::create_dir(site.root()).unwrap();
    std::os::unix::fs::chown(site.root(), Some(0), Some(NOBODY)).unwrap();
    fs::set_permissions(site.root(), fs::Permissions::from_mode(0o2775)).unwrap();
    as_user(NOBODY, NOBODY, &site.command(&["run"])).expect(0, &[]);
    site.run(&[]).expect(1, &["belongs to the user"]);
    // Another member of the group has no part in the state.
    let said = as_user(65433, NOBODY, &site.command(&["run"]));
    said.expect(1, &["belongs to the user"]);
    as_user(NOBODY, NOBODY, &site.command(&["run"])).expect(0, &[]);
}

#[test]
fn a_site_that_root_has_spoilt_says_how_it_is_given_back() {
    let Some(site) = site_for_others() else {
        return;
    };
    site.run(&[]).expect(0, &[]);
    give_away(&site.path("archives"));
    give_away(&site.path("keys"));
    std::os::unix::fs::chown(site.root(), Some(NOBODY), Some(NOBODY)).unwrap();
    let said = as_user(NOBODY, NOBODY, &site.command(&["run"]));
    said.expect(1, &["state belongs to the user root", "hint: give it back"]);
    let hint = said.stderr.split("as root: ").nth(1).unwrap();
    let given = Command::new("sh").args(["-c", hint]).output().unwrap();
    assert!(given.status.success(), "{hint}");
    as_user(NOBODY, NOBODY, &site.command(&["run"])).expect(0, &[]);
}

#[test]
fn an_owner_whom_a_user_namespace_does_not_know_refuses_nobody() {
    let Some(site) = site_for_others() else {
        return;
    };
    let namespace = ["--user", "--map-root-user", "--"];
    let can = Command::new("unshare").args(namespace).arg("true").output();
    if !can.is_ok_and(|done| done.status.success()) {
        eprintln!("skipped: no right to make a user namespace");
        return;
    }
    fs::create_dir(site.root()).unwrap();
    std::os::unix::fs::chown(site.root(), Some(1234), Some(1234)).unwrap();
    fs::set_permissions(site.root(), fs::Permissions::from_mode(0o777)).unwrap();
    let inner = site.command(&["run"]);
    let out = Command::new("unshare")
        .args(namespace)
        .arg(inner.get_program())
        .args(inner.get_args())
        .output();
    Said::of(&out.unwrap()).expect(0, &[]);
    site.run(&[]).expect(1, &["belongs to the user #1234"]);
}

#[test]
fn a_secret_key_that_anybody_else_can_touch_is_refused() {
    for mode in [0o640, 0o604, 0o620, 0o602, 0o610, 0o601] {
        let site = Site::new();
        let key = site.path("keys/publish-a.secret.asc");
        fs::set_permissions(&key, fs::Permissions::from_mode(mode)).unwrap();
        let shown = format!("{mode:o}");
        site.run(&[])
            .expect(1, &["keys/publish-a.secret.asc", &shown, "chmod 0600"]);
        assert!(site.served().is_empty());
    }
    let site = Site::new();
    let key = site.path("keys/publish-a.secret.asc");
    fs::set_permissions(&key, fs::Permissions::from_mode(0o400)).unwrap();
    site.run(&[]).expect(0, &[]);
}

#[test]
fn a_command_under_the_lock_keeps_its_callers_umask() {
    let site = Site::new();
    for umask in ["0077", "0002"] {
        let inner = site.command(&["lock"]);
        let out = Command::new("sh")
            .args(["-c", &format!("umask {umask} && exec \"$@\""), "sh"])
            .arg(inner.get_program())
            .args(inner.get_args())
            .args(["--", "sh", "-c", "umask"])
            .output();
        let said = Said::of(&out.unwrap());
        said.expect(0, &[]);
        assert_eq!(said.stdout.trim(), umask);
    }
}

#[test]
fn a_user_who_may_start_no_threads_is_told_so() {
    let Some(site) = site_for_others() else {
        return;
    };
    // A user of its own: the system counts the processes of each.
    let out = Command::new("bash")
        .args([
            "-c",
            "ulimit -u 1; exec setpriv --reuid=65433 --regid=65433 --clear-groups -- \"$@\"",
            "-",
        ])
        .arg(site.path("aptmerge"))
        .args(["run", "--config", "/nonexistent"])
        .output()
        .unwrap();
    let said = Said::of(&out);
    said.expect(1, &["error: cannot start the threads of the merge"]);
    assert!(!said.stderr.contains("panicked"), "{}", said.stderr);
}

/// The mode of what lies below the root.
fn mode(site: &Site, path: &str) -> u32 {
    site.root().join(path).metadata().unwrap().mode() & 0o7777
}

#[test]
fn what_could_hold_the_lock_or_tell_of_an_archive_is_for_the_owner_alone() {
    let site = Site::new();
    let private = ["aptmerge.lock", "state", "spool", "cache"];
    let expected = [0o600, 0o700, 0o700, 0o700];
    site.run(&[]).expect(0, &[]);
    assert_eq!(private.map(|path| mode(&site, path)), expected);
    assert_eq!(mode(&site, "log"), 0o755);
    assert_eq!(mode(&site, "merged/dists"), 0o755);
    // As an earlier version left them, and a umask of old.
    for (path, mode) in private.iter().zip([0o644, 0o755, 0o775, 0o777]) {
        let mode = fs::Permissions::from_mode(mode);
        fs::set_permissions(site.root().join(path), mode).unwrap();
    }
    site.run(&[]).expect(0, &[]);
    assert_eq!(private.map(|path| mode(&site, path)), expected);
    // Who lets a group share the lock means it; others still have no part in it.
    let lock = site.root().join("aptmerge.lock");
    for (mode, kept) in [(0o664, 0o660), (0o666, 0o660), (0o640, 0o600)] {
        fs::set_permissions(&lock, fs::Permissions::from_mode(mode)).unwrap();
        site.run(&[]).expect(0, &[]);
        assert_eq!(self::mode(&site, "aptmerge.lock"), kept, "{mode:o}");
    }
}

#[test]
fn another_user_can_neither_hold_the_lock_nor_read_the_state() {
    let Some(site) = site_for_others() else {
        return;
    };
    if !has("flock") {
        return;
    }
    site.run(&[]).expect(0, &[]);
    let as_nobody = |inner: Command| as_user(NOBODY, NOBODY, &inner);
    let hold = |path: &Path| {
        let mut flock = Command::new("flock");
        flock.arg("-n").arg(path).arg("true");
        flock
    };
    for path in ["aptmerge.lock", "state"] {
        let path = site.root().join(path);
        let said = Said::of(&hold(&path).output().unwrap());
        said.expect(0, &[]);
        let said = as_nobody(hold(&path));
        assert_ne!(said.code, Some(0), "{} {}", path.display(), said.stderr);
    }
    let hint = "sudo -u 'root' aptmerge";
    for verb in [&["status"][..], &["explain", "odd-tool"]] {
        as_nobody(site.command(verb)).expect(1, &["state is for the user root alone", hint]);
    }
    // What is for all is read by all.
    let mut cat = Command::new("cat");
    cat.arg(site.root().join("merged/dists/daedalus/InRelease"));
    cat.arg(site.root().join("log/amprolla.txt"));
    as_nobody(cat).expect(0, &[]);
}
