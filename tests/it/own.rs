//! Packages of our own as a part of merged suites: added to a repository, run, and installed by apt; gone from it, and removed in time.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::common::apt::{Apt, field, succeeded};
use crate::common::packages::Deb;
use crate::common::programs::has;
use crate::common::site::{Site, files};

const SUITE: &str = r#"
[archives.tools]
pool = "TOOLS"

[suites.daedalus]
from = { tools = "repository:tools", main = "bookworm" }
release = { Suite = "stable" }
"#;

/// A site whose suite has a repository of our own above `main`.
fn site() -> Site {
    let site = Site::of(SUITE);
    site.configure(
        r#"priority = ["overlay","#,
        r#"priority = ["tools", "overlay","#,
    );
    site
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// Adds a package to the repository; returns its file.
fn add(site: &Site, deb: &Deb<'_>) -> PathBuf {
    let file = deb.write(&site.path("incoming"));
    site.ok(&["repository", "add", "tools", text(&file)]);
    file
}

/// The files of the pool of our own, by their names.
fn pool(site: &Site) -> Vec<String> {
    let pool = site.root().join("pool");
    let mut names: Vec<String> = match pool.exists() {
        false => Vec::new(),
        true => files(&pool)
            .iter()
            .filter(|file| file.is_file())
            .map(|file| file.file_name().unwrap().to_str().unwrap().to_owned())
            .collect(),
    };
    names.sort();
    names
}

fn has_package(site: &Site, name: &str) -> bool {
    let stanzas = site.stanzas("dists/daedalus/main/binary-amd64/Packages");
    stanzas.iter().any(|s| field(s, "Package") == Some(name))
}

/// Builds a package of dpkg-deb's, and a source of dpkg-source's.
fn build(dir: &Path) -> (PathBuf, PathBuf) {
    let tree = dir.join("tree");
    fs::create_dir_all(tree.join("DEBIAN")).unwrap();
    fs::create_dir_all(tree.join("usr/share/greeting")).unwrap();
    fs::write(
        tree.join("DEBIAN/control"),
        "Package: greeting\nVersion: 1:2.0-1\nArchitecture: amd64\nMaintainer: A <a@example.org>\nSource: greeting-src (2.0-1)\n\
         Section: utils\nDescription: says hello\n and no more\n",
    )
    .unwrap();
    fs::write(tree.join("usr/share/greeting/text"), "hello\n").unwrap();
    let deb = dir.join("greeting.deb");
    let mut dpkg = Command::new("dpkg-deb");
    dpkg.args(["--root-owner-group", "-b"]).args([&tree, &deb]);
    succeeded(&dpkg.output().unwrap(), &["dpkg-deb"]);

    let source = dir.join("greeting-src-2.0");
    fs::create_dir_all(source.join("debian/source")).unwrap();
    for (name, text) in [
        (
            "debian/control",
            "Source: greeting-src\nMaintainer: A <a@example.org>\n\nPackage: greeting\nArchitecture: any\nDescription: says hello\n",
        ),
        (
            "debian/changelog",
            "greeting-src (2.0-1) unstable; urgency=low\n\n  * Begin.\n\n -- A <a@example.org>  Thu, 01 Jan 2026 00:00:00 +0000\n",
        ),
        ("debian/source/format", "3.0 (quilt)\n"),
        ("hello", "hello\n"),
    ] {
        fs::write(source.join(name), text).unwrap();
    }
    let mut tar = Command::new("tar");
    tar.args([
        "-czf",
        "greeting-src_2.0.orig.tar.gz",
        "--exclude=debian",
        "greeting-src-2.0",
    ]);
    succeeded(&tar.current_dir(dir).output().unwrap(), &["tar"]);
    let mut dpkg = Command::new("dpkg-source");
    dpkg.args(["-b", "greeting-src-2.0"]).current_dir(dir);
    succeeded(&dpkg.output().unwrap(), &["dpkg-source"]);
    (deb, dir.join("greeting-src_2.0-1.dsc"))
}

#[test]
fn apt_installs_what_was_added_a_moment_ago() {
    if !has("apt-get") || !has("dpkg-deb") || !has("dpkg-source") {
        return;
    }
    let site = site();
    let (deb, dsc) = build(site.dir());
    site.ok(&["repository", "create", "tools"]);
    site.ok(&["repository", "add", "tools", text(&deb), text(&dsc)]);
    site.ok(&["run"]);
    let server = site.serve();
    let by = site.path("keys/publish.gpg");
    let lines = ["deb", "deb-src"].map(|kind| {
        format!(
            "{kind} [signed-by={}] {} daedalus main\n",
            by.display(),
            server.url()
        )
    });
    let apt = Apt::new(&["amd64"], &lines.concat(), "Acquire::Languages \"none\";");
    apt.ok("apt-get", &["update"]);
    assert_eq!(apt.candidate("greeting"), "1:2.0-1");
    assert_eq!(apt.candidate("main-only"), "1.0-1");
    // A root of its own, in which dpkg unpacks.
    let root = apt.path("root");
    for dir in ["var/lib/dpkg/info", "var/lib/dpkg/updates", "var/log"] {
        fs::create_dir_all(root.join(dir)).unwrap();
    }
    fs::write(root.join("var/lib/dpkg/status"), "").unwrap();
    let status = format!(
        "Dir::State::status={}",
        root.join("var/lib/dpkg/status").display()
    );
    let option = format!("DPkg::Options::=--root={}", root.display());
    let install = [
        "-o",
        &status,
        "-o",
        &option,
        "-o",
        "DPkg::Options::=--force-not-root",
        "-y",
        "install",
        "greeting",
    ];
    let installed = apt.call("apt-get", &install);
    succeeded(&installed, &install);
    let unpacked = fs::read_to_string(root.join("usr/share/greeting/text")).unwrap();
    assert_eq!(unpacked, "hello\n");
    apt.ok("apt-get", &["source", "--download-only", "greeting"]);
    for file in [
        "greeting-src_2.0-1.dsc",
        "greeting-src_2.0.orig.tar.gz",
        "greeting-src_2.0-1.debian.tar.xz",
    ] {
        let (got, made) = (apt.path("downloads").join(file), site.path(file));
        assert_eq!(fs::read(got).unwrap(), fs::read(made).unwrap(), "{file}");
    }
    assert!(server.log().iter().all(|line| !line.contains(" 404 ")));
    // A package is there once, under several names.
    let published = site.merged("pool/TOOLS/main/g/greeting-src/greeting.deb");
    assert_eq!(published.metadata().unwrap().nlink(), 2);
    site.ok(&["verify"]);
}

#[test]
fn a_suite_is_made_anew_if_the_repository_has_changed_and_not_otherwise() {
    let site = site();
    site.ok(&["repository", "create", "tools"]);
    add(&site, &Deb::new("first", "1.0"));
    site.ok(&["run"]);
    assert!(has_package(&site, "first"));
    site.run_without_news(&[]);
    let second = add(
        &site,
        &Deb {
            architecture: "all",
            ..Deb::new("second", "1.0")
        },
    );
    site.ok(&["run"]);
    assert!(has_package(&site, "second") && has_package(&site, "first"));
    site.run_without_news(&[]);
    // A package that is there already changes nothing.
    site.ok(&["repository", "add", "tools", text(&second)]);
    site.run_without_news(&[]);
    let explained = site.ok(&["explain", "second"]);
    assert!(
        explained.contains("1.0 of tools (main): published"),
        "{explained}"
    );
    let status = site.ok(&["status"]);
    assert!(
        status.contains("from tools repository:tools, of "),
        "{status}"
    );
}

#[test]
fn the_rules_of_archives_hold_for_packages_of_our_own() {
    let site = site();
    site.configure(
        "pool = \"TOOLS\"",
        "pool = \"TOOLS\"\nmay-be-essential = false\nexclude = { packages = [\"hidden\"] }",
    );
    site.ok(&["repository", "create", "tools"]);
    let essential = Deb {
        fields: "Essential: yes\n",
        ..Deb::new("essential", "1.0")
    };
    // The name is one of main's, which has a newer version.
    for deb in [
        essential,
        Deb::new("hidden", "1.0"),
        Deb::new("main-only", "0.1"),
        Deb::new("systemd", "1.0"),
    ] {
        add(&site, &deb);
    }
    site.ok(&["run"]);
    let stanzas = site.stanzas("dists/daedalus/main/binary-amd64/Packages");
    let of = |name: &str| {
        stanzas
            .iter()
            .filter(|s| field(s, "Package") == Some(name))
            .collect::<Vec<_>>()
    };
    assert!(!of("essential")[0].contains("Essential"));
    assert!(of("hidden").is_empty() && of("systemd").is_empty());
    assert_eq!(of("main-only").len(), 1);
    assert_eq!(
        field(of("main-only")[0], "Filename"),
        Some("pool/TOOLS/main/m/main-only/main-only_0.1_amd64.deb")
    );
}

#[test]
fn contents_say_which_package_has_a_file() {
    let site = site();
    site.configure(
        "architectures = [\"all\",",
        "indices = [\"packages\", \"contents\"]\narchitectures = [\"all\",",
    );
    site.ok(&["repository", "create", "tools"]);
    add(
        &site,
        &Deb {
            fields: "Section: utils\n",
            ..Deb::new("first", "1.0")
        },
    );
    add(
        &site,
        &Deb {
            architecture: "all",
            ..Deb::new("second", "1.0")
        },
    );
    site.ok(&["run"]);
    let contents = fs::read(site.merged("dists/daedalus/main/Contents-amd64.gz")).unwrap();
    let mut lines = String::new();
    std::io::Read::read_to_string(&mut flate2::read::GzDecoder::new(&contents[..]), &mut lines)
        .unwrap();
    let owner = |path: &str| {
        lines
            .lines()
            .find_map(|l| l.strip_prefix(path))
            .map(str::trim)
    };
    assert_eq!(
        owner("usr/share/first/file"),
        Some("utils/first"),
        "{lines}"
    );
    assert_eq!(owner("usr/share/second/file"), Some("second"), "{lines}");
}

/// Publishes the package `first` anew, whose `old` content is at a path: the other content gets another path, and the old one stays.
/// Returns the new path.
#[track_caller]
fn published_beside(site: &Site, other: &Path, path: &str, old: &[u8]) -> String {
    site.run_at("2026-03-02T00:00:00Z");
    let stanzas = site.stanzas("dists/daedalus/main/binary-amd64/Packages");
    let mut stanzas = stanzas.iter();
    let of = stanzas.find(|s| field(s, "Package") == Some("first"));
    let place = field(of.unwrap(), "Filename").unwrap();
    assert_ne!(place, path);
    let published = fs::read(site.merged(place)).unwrap();
    assert_eq!(published, fs::read(other).unwrap());
    assert_eq!(fs::read(site.merged(path)).unwrap(), old);
    place.to_owned()
}

#[test]
fn a_file_that_is_gone_stays_until_no_client_can_ask_for_it() {
    let mut site = site();
    site.set_extra("\n[publish]\nby-hash = { generations = 1, days = 3 }\n");
    site.ok(&["repository", "create", "tools"]);
    add(&site, &Deb::new("first", "1.0"));
    site.run_at("2026-03-01T00:00:00Z");
    assert_eq!(pool(&site), ["first_1.0_amd64.deb"]);
    let path = "pool/TOOLS/main/f/first/first_1.0_amd64.deb";
    let old = fs::read(site.merged(path)).unwrap();
    // The same version with other content takes the place in the index, and not that of the file.
    let other = Deb {
        text: "other",
        ..Deb::new("first", "1.0")
    };
    let other = other.write(&site.path("incoming"));
    site.ok(&["repository", "add", "--replace", "tools", text(&other)]);
    let place = published_beside(&site, &other, path, &old);
    // A generation that comes too soon removes nothing.
    add(&site, &Deb::new("second", "1.0"));
    site.run_at("2026-03-03T00:00:00Z");
    assert_eq!(fs::read(site.merged(path)).unwrap(), old);
    // A suite that does not change keeps its indices, and they name the file.
    site.run_at("2026-03-06T00:00:00Z");
    assert_eq!(fs::read(site.merged(path)).unwrap(), old);
    add(&site, &Deb::new("third", "1.0"));
    site.run_at("2026-03-06T01:00:00Z");
    assert!(!site.merged(path).exists());
    assert_eq!(pool(&site).len(), 3);
    assert!(site.merged(&place).exists());
    site.ok(&["verify"]);
}

#[test]
fn a_path_keeps_its_content_when_the_store_has_collected_it() {
    let mut site = site();
    site.set_extra("\n[publish]\nby-hash = { generations = 1, days = 3 }\n");
    site.ok(&["repository", "create", "tools"]);
    let first = add(&site, &Deb::new("first", "1.0"));
    let old = fs::read(&first).unwrap();
    site.run_at("2026-03-01T00:00:00Z");
    let path = "pool/TOOLS/main/f/first/first_1.0_amd64.deb";
    site.ok(&["repository", "remove", "tools", "first"]);
    site.ok(&["store", "gc", "--retention=0 days"]);
    let kept = files(&site.root().join("packages"));
    assert!(kept.iter().all(|file| !file.is_file()), "{kept:?}");
    let other = add(
        &site,
        &Deb {
            text: "other",
            ..Deb::new("first", "1.0")
        },
    );
    let place = published_beside(&site, &other, path, &old);
    add(&site, &Deb::new("second", "1.0"));
    site.run_at("2026-03-06T00:00:00Z");
    assert!(!site.merged(path).exists());
    assert!(site.merged(&place).exists());
}

#[test]
fn a_file_that_is_needed_again_is_counted_afresh() {
    let site = site();
    site.ok(&["repository", "create", "tools"]);
    let file = add(&site, &Deb::new("first", "1.0"));
    add(&site, &Deb::new("second", "1.0"));
    site.ok(&["run"]);
    let idle = || fs::read_to_string(site.root().join("state/pool.json")).unwrap();
    site.ok(&["repository", "remove", "tools", "first"]);
    site.ok(&["run"]);
    assert!(idle().contains("first_1.0_amd64.deb"));
    site.ok(&["repository", "add", "tools", text(&file)]);
    // Publishes nothing, as a run does whose suites are refused.
    site.ok(&["merge"]);
    assert!(!idle().contains("first_1.0_amd64.deb"));
}

#[test]
fn a_copy_in_the_pool_is_replaced_and_other_content_is_refused() {
    let site = site();
    site.ok(&["repository", "create", "tools"]);
    let file = add(&site, &Deb::new("first", "1.0"));
    site.ok(&["run"]);
    let directory = site.root().join("pool/TOOLS/pool/main/f/first");
    // Another file under the name of a package, and one that nobody knows.
    let name = directory.join("first_1.0_amd64.deb");
    fs::remove_file(&name).unwrap();
    fs::write(&name, "half").unwrap();
    fs::write(directory.join("unknown.deb"), "half").unwrap();
    let refused = site.aptmerge(&["run"]);
    refused.expect(1, &["first_1.0_amd64.deb has other content"]);
    assert_eq!(fs::read(&name).unwrap(), b"half");
    fs::copy(&file, &name).unwrap();
    assert_eq!(name.metadata().unwrap().nlink(), 1);
    site.ok(&["run"]);
    assert_eq!(fs::read(&name).unwrap(), fs::read(&file).unwrap());
    assert_eq!(name.metadata().unwrap().nlink(), 2);
    let idle = fs::read_to_string(site.root().join("state/pool.json")).unwrap();
    let unknown = "TOOLS/pool/main/f/first/unknown.deb";
    assert!(idle.contains(unknown), "{idle}");
}

#[test]
fn a_push_brings_packages_first_and_removes_them_last() {
    if !has("rsync") {
        return;
    }
    let mut site = site();
    let (target, order) = (site.path("target"), site.path("order"));
    let program = site.script(
        "program",
        &format!(
            "#!/bin/sh\n(cd {} && find pool/TOOLS dists -name '*.deb' -o -name InRelease) >> {} 2>/dev/null\nexec rsync \"$@\"\n",
            target.display(),
            order.display()
        ),
    );
    let retention = "by-hash = { generations = 0, days = 0 }";
    site.set_extra(&format!(
        "\n[publish]\n{retention}\n\n[[push]]\nname = \"near\"\nrsync = \"{}\"\nprogram = \"{}\"\n",
        target.display(),
        program.display()
    ));
    site.ok(&["repository", "create", "tools"]);
    let file = add(&site, &Deb::new("first", "1.0"));
    site.run_at("2026-03-01T00:00:00Z");
    let pushed = target.join("pool/TOOLS/main/f/first/first_1.0_amd64.deb");
    assert_eq!(fs::read(&pushed).unwrap(), fs::read(&file).unwrap());
    assert!(!pushed.symlink_metadata().unwrap().is_symlink());
    assert!(!target.join("pool/MAIN").exists(), "these stay here");
    let seen = fs::read_to_string(&order).unwrap();
    let (deb, release) = (seen.find("first_1.0"), seen.find("InRelease"));
    assert!(
        deb.unwrap() < release.unwrap_or(usize::MAX),
        "packages come first: {seen}"
    );
    // Other content has a path of its own; the first is gone with the last index that named it, here at the end of a run, and there after all
    // else.
    let other = Deb {
        text: "other",
        ..Deb::new("first", "1.0")
    };
    let other = other.write(&site.path("incoming"));
    site.ok(&["repository", "add", "--replace", "tools", text(&other)]);
    fs::write(target.join("pool/TOOLS/foreign"), "theirs").unwrap();
    site.run_at("2026-03-02T00:00:00Z");
    assert!(pushed.exists());
    add(&site, &Deb::new("second", "1.0"));
    site.run_at("2026-03-03T00:00:00Z");
    assert!(!pushed.exists());
    let mut left = files(&target.join("pool/TOOLS/main/f"));
    left.retain(|file| file.is_file());
    assert_eq!(left.len(), 1, "{left:?}");
    assert_eq!(fs::read(&left[0]).unwrap(), fs::read(&other).unwrap());
    assert!(target.join("pool/TOOLS/foreign").exists(), "not ours");
    site.ok(&["verify", text(&target)]);
}

#[test]
fn without_a_store_the_suite_waits_and_none_is_made() {
    let mut site = Site::of(SUITE);
    site.configure(
        r#"priority = ["overlay","#,
        r#"priority = ["tools", "overlay","#,
    );
    site.set_extra("\n[suites.other]\nfrom = { main = \"bookworm\" }\n");
    let said = site.expect(3, &["run"]);
    assert!(said.contains("repository:tools"), "{said}");
    assert!(!site.root().join("state/store.sqlite").exists());
    assert!(!site.root().join("packages").exists());
}

#[test]
fn a_file_that_the_store_has_lost_stops_no_suite_while_its_link_is_there() {
    let site = site();
    site.ok(&["repository", "create", "tools"]);
    add(&site, &Deb::new("first", "1.0"));
    site.ok(&["run"]);
    for file in files(&site.root().join("packages")) {
        if file.is_file() {
            fs::remove_file(file).unwrap();
        }
    }
    add(&site, &Deb::new("second", "1.0"));
    site.ok(&["run"]);
    assert!(has_package(&site, "first") && has_package(&site, "second"));
    let path = "pool/TOOLS/main/f/first/first_1.0_amd64.deb";
    assert_eq!(site.merged(path).metadata().unwrap().nlink(), 1);
    site.ok(&["verify"]);
}
