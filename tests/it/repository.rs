//! Repositories: packages go in as they are, stay, and none is lost.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Stdio};

use aptmerge::store::{Collection, View};
use sha2::{Digest, Sha256};

use crate::common::packages::Deb;
use crate::common::programs::{Said, has};
use crate::common::site::{Site, files};

/// The packages of a repository, `hello 1.0 amd64`.
fn packages(site: &Site, repository: &str) -> Vec<String> {
    let shown = site.json(&["repository", "show", repository, "--packages", "--json"]);
    let keys = shown["keys"].as_array().unwrap();
    keys.iter()
        .map(|key| {
            let words: Vec<_> = key.as_str().unwrap().split(' ').collect();
            format!("{} {} {}", words[1], words[2], &words[0][1..])
        })
        .collect()
}

/// Runs several commands at once.
fn at_once(site: &Site, commands: &[Vec<&str>]) -> Vec<Said> {
    let started: Vec<_> = commands
        .iter()
        .map(|arguments| {
            let mut command = site.command(arguments);
            command.stdout(Stdio::piped()).stderr(Stdio::piped());
            command.spawn().unwrap()
        })
        .collect();
    started
        .into_iter()
        .map(|child| Said::of(&child.wait_with_output().unwrap()))
        .collect()
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

#[test]
fn a_package_of_dpkg_deb_is_kept_as_it_is() {
    if !has("dpkg-deb") {
        return;
    }
    let site = Site::new();
    let tree = site.path("tree");
    for (path, text) in [
        (
            "DEBIAN/control",
            "Package: hello\nVersion: 1:2.10-3\nArchitecture: amd64\nMaintainer: A <a@example.org>\nX-Odd:  two  blanks\nDescription: a test\n .\n long\n",
        ),
        ("usr/bin/hello", "#!/bin/sh\n"),
    ] {
        let path = tree.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    site.ok(&["repository", "create", "own", "--component=contrib"]);
    for (number, compression) in ["none", "gzip", "xz", "zstd"].into_iter().enumerate() {
        let incoming = site.path(format!("incoming-{compression}"));
        fs::create_dir(&incoming).unwrap();
        let built = Command::new("dpkg-deb")
            .args(["--root-owner-group", "-b", &format!("-Z{compression}")])
            .args([&tree, &incoming])
            .stdout(Stdio::null())
            .status();
        assert!(built.unwrap().success());
        site.ok(&["repository", "add", "--replace", "own", text(&incoming)]);
        let deb = files(&incoming).pop().unwrap();
        let sha256 = hex::encode(Sha256::digest(fs::read(&deb).unwrap()));
        let kept = site
            .root()
            .join("packages")
            .join(&sha256[..2])
            .join(&sha256[2..]);
        assert_eq!(fs::read(&kept).unwrap(), fs::read(&deb).unwrap());
        assert_eq!(kept.metadata().unwrap().permissions().mode() & 0o777, 0o644);

        let view = View::open(&site.root()).unwrap().unwrap();
        let own: Collection = "repository:own".parse().unwrap();
        let pinned = view.pin(&own).unwrap();
        let [package] = &view.packages(&pinned).unwrap()[..] else {
            panic!("another number of packages");
        };
        let stanza = String::from_utf8(package.stanza.clone()).unwrap();
        assert_eq!(
            stanza,
            fs::read_to_string(tree.join("DEBIAN/control")).unwrap()
        );
        let indexed = String::from_utf8(package.indexed(&pinned.component)).unwrap();
        // The other contents of this version keep their path.
        let directory = match number {
            0 => "pool/contrib/h/hello/hello_".to_owned(),
            _ => "pool/contrib/h/hello/".to_owned(),
        };
        assert!(
            indexed.contains(&format!("\nFilename: {directory}")),
            "{indexed}"
        );
        assert!(
            indexed.contains(&format!("\nSHA256: {sha256}\n")),
            "{indexed}"
        );
        assert!(indexed.starts_with(&stanza));
    }
    assert_eq!(packages(&site, "own"), ["hello 1:2.10-3 amd64"]);
}

#[test]
fn other_content_of_one_version_is_refused() {
    let site = Site::new();
    site.ok(&["repository", "create", "own"]);
    let first = Deb::new("hello", "1.0").write(&site.path("a"));
    let other = Deb {
        text: "other",
        ..Deb::new("hello", "1.0")
    };
    let other = other.write(&site.path("b"));
    let more = Deb::new("more", "1.0").write(&site.path("b"));
    site.ok(&["repository", "add", "own", text(&first)]);
    let before = site.json(&["repository", "show", "own", "--packages", "--json"]);
    let said = site.aptmerge(&["repository", "add", "own", text(&other), text(&more)]);
    let key = before["keys"][0].as_str().unwrap();
    said.expect(
        1,
        &[
            "the repository `own` has another package of this version",
            key,
            "--replace",
        ],
    );
    // The other one came in all the same.
    assert_eq!(
        packages(&site, "own"),
        ["hello 1.0 amd64", "more 1.0 amd64"]
    );
    site.ok(&["repository", "add", "own", text(&first)]);
    site.ok(&["repository", "add", "own", "--replace", text(&other)]);
    let after = site.json(&["repository", "show", "own", "--packages", "--json"]);
    assert_eq!(after["packages"], 2);
    assert_ne!(after["keys"][0], before["keys"][0]);
}

#[test]
fn a_dry_run_leaves_nothing_and_odd_files_are_named() {
    let site = Site::new();
    site.ok(&["repository", "create", "own"]);
    let incoming = site.path("incoming");
    Deb::new("hello", "1.0").write(&incoming);
    fs::write(incoming.join("notes.txt"), "").unwrap();
    let foreseen = site.ok(&["repository", "add", "-n", "own", text(&incoming)]);
    assert_eq!(foreseen, "added hello 1.0 amd64\n");
    assert!(files(&site.root().join("packages")).is_empty());
    assert!(packages(&site, "own").is_empty());

    fs::write(incoming.join("broken_1.0_amd64.deb"), "no archive").unwrap();
    let said = site.aptmerge(&["repository", "add", "--json", "own", text(&incoming)]);
    said.expect(1, &["broken_1.0_amd64.deb is refused"]);
    let outcome = said.outcome();
    assert_eq!(outcome["added"].as_array().unwrap().len(), 1);
    assert_eq!(outcome["passed-over"], 1);
    assert_eq!(outcome["failed-files"][0]["failure"]["exit-code"], 1);

    let notes = incoming.join("notes.txt");
    site.aptmerge(&["repository", "add", "own", text(&notes)])
        .expect(1, &["notes.txt is no package"]);
    site.aptmerge(&["repository", "add", "onw", text(&incoming)])
        .expect(1, &["no repository `onw`", "did you mean `own`?"]);
    site.aptmerge(&["repository", "create", "../own"])
        .expect(2, &["not the name of a repository"]);
}

#[test]
fn a_source_comes_with_its_files() {
    let site = Site::new();
    site.ok(&["repository", "create", "own"]);
    let incoming = site.path("incoming");
    fs::create_dir(&incoming).unwrap();
    let orig = b"the upstream source";
    fs::write(incoming.join("hello_1.0.orig.tar.gz"), orig).unwrap();
    for revision in [1, 2] {
        let debian = format!("the changes of revision {revision}");
        let name = format!("hello_1.0-{revision}.debian.tar.xz");
        fs::write(incoming.join(&name), &debian).unwrap();
        let listed = |text: &[u8], name: &str| {
            format!(
                " {} {} {name}\n",
                hex::encode(Sha256::digest(text)),
                text.len()
            )
        };
        let dsc = format!(
            "Format: 3.0 (quilt)\nSource: hello\nBinary: hello\nArchitecture: any\nVersion: 1.0-{revision}\nMaintainer: A <a@example.org>\nChecksums-Sha256:\n{}{}",
            listed(orig, "hello_1.0.orig.tar.gz"),
            listed(debian.as_bytes(), &name)
        );
        let path = incoming.join(format!("hello_1.0-{revision}.dsc"));
        fs::write(&path, dsc).unwrap();
        site.ok(&["repository", "add", "own", text(&path)]);
        // The second revision finds it in the store.
        let _ = fs::remove_file(incoming.join("hello_1.0.orig.tar.gz"));
    }
    assert_eq!(
        packages(&site, "own"),
        ["hello 1.0-1 source", "hello 1.0-2 source"]
    );
    let view = View::open(&site.root()).unwrap().unwrap();
    let pinned = view.pin(&"repository:own".parse().unwrap()).unwrap();
    for package in view.packages(&pinned).unwrap() {
        assert_eq!(package.files.len(), 3);
        for file in &package.files {
            let bytes = fs::read(view.file(&file.sha256)).unwrap();
            assert_eq!(bytes.len() as u64, file.size);
        }
        let indexed = String::from_utf8(package.indexed(&pinned.component)).unwrap();
        assert!(
            indexed.starts_with("Format: 3.0 (quilt)\nPackage: hello\n"),
            "{indexed}"
        );
        assert!(
            indexed.contains("\nDirectory: pool/main/h/hello\nFiles:\n "),
            "{indexed}"
        );
    }
    let lone = incoming.join("lone_1.dsc");
    let dsc = "Source: lone\nVersion: 1\nChecksums-Sha256:\n 0000000000000000000000000000000000000000000000000000000000000000 5 lone_1.tar.gz\n";
    fs::write(&lone, dsc).unwrap();
    site.aptmerge(&["repository", "add", "own", text(&lone)])
        .expect(
            1,
            &["`lone_1.tar.gz`, which lies neither beside it nor in the store"],
        );
}

#[test]
fn a_hundred_processes_add_a_hundred_packages() {
    let site = Site::new();
    let names: Vec<String> = (0..100).map(|number| format!("package-{number}")).collect();
    let incoming = site.path("incoming");
    let debs: Vec<_> = names
        .iter()
        .map(|name| Deb::new(name, "1.0").write(&incoming))
        .collect();
    // The store itself is made by all of them at once.
    let made = at_once(
        &site,
        &[const { ["repository", "create", "own"] }; 10].map(Vec::from),
    );
    let codes: Vec<_> = made.iter().map(|said| said.code).collect();
    assert_eq!(
        codes.iter().filter(|code| **code == Some(0)).count(),
        1,
        "{made:?}"
    );
    for said in made.iter().filter(|said| said.code != Some(0)) {
        said.expect(1, &["there is a repository `own` already"]);
    }

    let commands: Vec<_> = debs
        .iter()
        .map(|deb| vec!["repository", "add", "own", text(deb)])
        .collect();
    for said in at_once(&site, &commands) {
        said.expect(0, &[]);
    }
    let kept: BTreeSet<String> = packages(&site, "own").into_iter().collect();
    let expected = names.iter().map(|name| format!("{name} 1.0 amd64"));
    assert_eq!(kept, expected.collect());
}

#[test]
fn the_state_is_for_its_owner_alone() {
    let site = Site::new();
    site.ok(&["repository", "create", "own"]);
    let state = site.root().join("state");
    assert_eq!(
        state.metadata().unwrap().permissions().mode() & 0o777,
        0o700
    );
    for file in files(&state) {
        let mode = file.metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{}", file.display());
    }
}
