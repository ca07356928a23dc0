//! The store under many hands, killed, damaged, and cleared of what nothing needs.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use rusqlite::Connection;

use crate::common::packages::Deb;
use crate::common::processes::wait_until;
use crate::common::programs::Said;
use crate::common::site::{Site, files};

/// Runs several commands at once.
fn at_once(site: &Site, commands: &[&[&str]]) -> Vec<Said> {
    let started = commands.iter().map(|arguments| {
        let mut command = site.command(arguments);
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        command.spawn().unwrap()
    });
    let started: Vec<_> = started.collect();
    let ended = started
        .into_iter()
        .map(|child| child.wait_with_output().unwrap());
    ended.map(|output| Said::of(&output)).collect()
}

fn packages(site: &Site, what: &str, name: &str) -> BTreeSet<String> {
    let shown = site.ok(&[what, "show", name, "--packages"]);
    let lines = shown.lines().filter_map(|line| line.strip_prefix("    "));
    lines.map(str::to_owned).collect()
}

/// Makes a repository of packages with these names.
fn make(site: &Site, repository: &str, names: &[&str]) {
    site.ok(&["repository", "create", repository]);
    let directory = site.path(format!("incoming-{repository}"));
    for name in names {
        let deb = Deb::new(name, "1").write(&directory);
        site.ok(&["repository", "add", repository, deb.to_str().unwrap()]);
    }
}

/// The files below `packages/`.
fn kept(site: &Site) -> Vec<PathBuf> {
    let mut files = files(&site.root().join("packages"));
    files.retain(|path| path.is_file());
    files
}

#[test]
fn copies_into_one_repository_at_once_lose_nothing() {
    let site = Site::new();
    make(&site, "a", &["a1", "a2"]);
    make(&site, "b", &["b1", "b2"]);
    for round in 0..5 {
        let target = format!("c{round}");
        site.ok(&["repository", "create", &target]);
        let from = |source| ["repository", "copy", source, &target, "Name (~ .)"];
        for said in at_once(&site, &[&from("a"), &from("b")]) {
            said.expect(0, &[]);
        }
        let expected = ["a1", "a2", "b1", "b2"].map(|name| format!("{name} 1 amd64"));
        assert_eq!(
            packages(&site, "repository", &target),
            BTreeSet::from(expected)
        );
    }
}

#[test]
fn one_order_explains_a_rename_against_a_drop() {
    let site = Site::new();
    for _ in 0..5 {
        site.ok(&["repository", "create", "old"]);
        let said = at_once(
            &site,
            &[
                &["repository", "rename", "old", "new"],
                &["repository", "drop", "old"],
            ],
        );
        let there = site.ok(&["repository", "list"]);
        match (said[0].code, said[1].code) {
            (Some(0), Some(1)) => {
                said[1].expect(1, &["no repository `old`"]);
                assert_eq!(there, "new: 0 packages\n");
                site.ok(&["repository", "drop", "new"]);
            }
            (Some(1), Some(0)) => {
                said[0].expect(1, &["no repository `old`"]);
                assert_eq!(there, "");
            }
            _ => panic!("{said:?}"),
        }
    }
}

#[test]
fn a_snapshot_is_of_the_repository_before_an_add_or_after_it() {
    let site = Site::new();
    make(&site, "own", &["first"]);
    for before in 1..6 {
        let name = format!("package-{before}");
        let deb = Deb::new(&name, "1").write(&site.path("more"));
        let snapshot = format!("state-{before}");
        let add = ["repository", "add", "own", deb.to_str().unwrap()];
        let create = ["snapshot", "create", &snapshot, "--repository=own"];
        for said in at_once(&site, &[&add, &create]) {
            said.expect(0, &[]);
        }
        let of_snapshot = packages(&site, "snapshot", &snapshot);
        let of_repository = packages(&site, "repository", "own");
        assert_eq!(of_repository.len(), before + 1);
        assert!(of_snapshot.is_subset(&of_repository));
        assert!([before, before + 1].contains(&of_snapshot.len()));
    }
}

#[test]
fn an_add_that_is_killed_leaves_all_or_nothing_and_can_be_repeated() {
    let site = Site::new();
    site.ok(&["repository", "create", "own"]);
    let incoming = site.path("incoming");
    for number in 0..60 {
        Deb::new(&format!("package-{number}"), "1").write(&incoming);
    }
    let add = ["repository", "add", "own", incoming.to_str().unwrap()];
    for at_least in [1, 20, 59, 60] {
        let mut child = site.command(&add).stdout(Stdio::null()).spawn().unwrap();
        // Temporary files and names alike: the one kill comes while files are copied, the other while they get their names.
        wait_until("files arrive", || {
            files_now(&site.root().join("packages")) >= at_least
                || child.try_wait().unwrap().is_some()
        });
        let _ = child.kill();
        child.wait().unwrap();
        let count = packages(&site, "repository", "own").len();
        assert!([0, 60].contains(&count), "{count}");
        site.ok(&["store", "check", "--deep"]);
    }
    site.ok(&add);
    assert_eq!(packages(&site, "repository", "own").len(), 60);
    site.ok(&[
        "store",
        "gc",
        "--retention=0 days",
        "--clock",
        "2027-06-01T00:00:00Z",
    ]);
    site.ok(&["store", "check", "--deep"]);
    assert_eq!(kept(&site).len(), 60);
}

/// The number of files below a directory while others come and go.
fn files_now(directory: &Path) -> usize {
    let Ok(entries) = fs::read_dir(directory) else {
        return 0;
    };
    let entries = entries.flatten().map(|entry| match entry.path() {
        path if path.is_dir() => files_now(&path),
        _ => 1,
    });
    entries.sum()
}

#[test]
fn garbage_goes_after_the_retention() {
    let site = Site::new();
    make(&site, "own", &["stays", "goes"]);
    site.ok(&["repository", "remove", "own", "goes"]);
    let gc =
        |clock, more: &[&str]| site.ok(&[&["store", "gc", "--clock", clock][..], more].concat());
    gc("2026-04-01T00:00:00Z", &[]);
    gc("2026-04-03T23:00:00Z", &[]);
    assert_eq!(kept(&site).len(), 2);
    let foreseen = gc("2026-04-04T01:00:00Z", &["-n"]);
    assert!(
        foreseen.contains("goes 1 amd64: no repository and no snapshot has had it for 3 days"),
        "{foreseen}"
    );
    assert!(foreseen.contains("1 file, "), "{foreseen}");
    assert_eq!(kept(&site).len(), 2);
    gc("2026-04-04T01:00:00Z", &[]);
    assert_eq!(kept(&site).len(), 1);
    assert_eq!(packages(&site, "repository", "own").len(), 1);
    site.ok(&["store", "check", "--deep"]);
    // A package that was collected can come again.
    let deb = site.path("incoming-own/goes_1_amd64.deb");
    site.ok(&["repository", "add", "own", deb.to_str().unwrap()]);
    site.ok(&["store", "check", "--deep"]);
    // Nobody's file is touched.
    let foreign = site.root().join("packages/README");
    fs::write(&foreign, "").unwrap();
    gc("2027-04-04T01:00:00Z", &["--retention=0 days"]);
    assert!(foreign.exists());
}

#[test]
fn a_check_finds_every_damage() {
    let site = Site::new();
    make(&site, "own", &["hello", "world"]);
    let state = site.root().join("state/store.sqlite");
    let saved = site.path("saved.sqlite");
    site.ok(&["store", "backup", saved.to_str().unwrap()]);
    assert_eq!(
        saved.metadata().unwrap().permissions().mode() & 0o777,
        0o600
    );
    site.aptmerge(&["store", "backup", saved.to_str().unwrap()])
        .expect(1, &["saved.sqlite"]);
    assert_eq!(
        site.ok(&["store", "check", "--deep"]),
        "good: 2 packages, 2 files\n"
    );

    let file = &kept(&site)[0];
    let whole = fs::read(file).unwrap();
    let mut flipped = whole.clone();
    flipped[70] ^= 1;
    let name = file.file_name().unwrap().to_str().unwrap();
    for (bytes, is_deep, why) in [
        (
            Some(&flipped[..]),
            true,
            "its bytes are not those that its name says",
        ),
        (Some(&whole[1..]), false, "it has "),
        (None, false, "No such file"),
    ] {
        fs::remove_file(file).unwrap();
        if let Some(bytes) = bytes {
            fs::write(file, bytes).unwrap();
        }
        let arguments: &[&str] = match is_deep {
            true => &["store", "check", "--deep"],
            false => &["store", "check"],
        };
        let said = site.aptmerge(arguments);
        said.expect(1, &[]);
        assert!(
            said.stdout.contains(name) && said.stdout.contains(why),
            "{}",
            said.stdout
        );
        fs::write(file, &whole).unwrap();
    }

    for (damage, why) in [
        (
            "UPDATE stanza SET text = CAST(text || 'X: y' AS BLOB)",
            "its stanza or the list of its files is not the one that came",
        ),
        (
            "DELETE FROM package WHERE name = 'hello'",
            "names packages that are not there",
        ),
        ("UPDATE list SET packages = packages + 1", "and says"),
        ("DELETE FROM bucket", "is missing"),
        ("UPDATE bucket SET packages = x'ff'", "cannot be read"),
        (
            "DELETE FROM package_file",
            "its stanza or the list of its files",
        ),
    ] {
        Connection::open(&state)
            .unwrap()
            .execute_batch(damage)
            .unwrap();
        let said = site.aptmerge(&["store", "check"]);
        said.expect(1, &[]);
        assert!(said.stdout.contains(why), "{damage}: {}", said.stdout);
        for end in ["-wal", "-shm"] {
            let _ = fs::remove_file(state.with_extension(format!("sqlite{end}")));
        }
        fs::copy(&saved, &state).unwrap();
        site.ok(&["store", "check", "--deep"]);
    }
}

#[test]
fn a_store_of_a_newer_version_is_refused() {
    let site = Site::new();
    site.ok(&["repository", "create", "own"]);
    let state = site.root().join("state/store.sqlite");
    Connection::open(&state)
        .unwrap()
        .execute_batch("PRAGMA user_version = 1000")
        .unwrap();
    for arguments in [
        &["repository", "list"][..],
        &["repository", "create", "other"],
    ] {
        site.aptmerge(arguments)
            .expect(1, &["version 1000", "run that version"]);
    }
}
