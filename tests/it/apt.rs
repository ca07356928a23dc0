//! The real apt, gpgv, sqv and busybox on what is published: over HTTP and from disk, while it stands and while it changes.

use std::collections::BTreeSet;
use std::fs;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::common::apt::{Apt, Server, field, folded, sha256, stanzas, succeeded};
use crate::common::programs::has;
use crate::common::site::{ALL_SUITES, DAEDALUS, Site};

fn has_apt() -> bool {
    has("apt-get") && has("apt-cache")
}

const COMPONENTS: &str = "main contrib non-free non-free-firmware";

fn by(site: &Site) -> String {
    format!("[signed-by={}]", site.path("keys/publish.gpg").display())
}

/// Lines of sources.list for every suite, the first by its alias.
fn sources(site: &Site, root: &str) -> String {
    let by = by(site);
    let mut text = String::new();
    for kind in ["deb", "deb-src"] {
        for suite in ["stable", "daedalus-security", "daedalus-updates"] {
            text += &format!("{kind} {by} {root} {suite} {COMPONENTS}\n");
        }
        for suite in ["beowulf", "beowulf/updates"] {
            text += &format!("{kind} {by} {root} {suite} main contrib non-free\n");
        }
    }
    text
}

/// `name=version` of every package of an architecture, `all` included, and the hash of its file.
fn packages(site: &Site, arch: &str) -> BTreeSet<(String, String)> {
    let mut found = BTreeSet::new();
    for suite in [
        "daedalus",
        "daedalus-security",
        "daedalus-updates",
        "beowulf",
        "beowulf/updates",
    ] {
        let components = ["main", "contrib", "non-free", "non-free-firmware"];
        for component in components {
            let index = format!("dists/{suite}/{component}/binary-{arch}/Packages");
            if !site.merged(&format!("{index}.xz")).exists() {
                continue; // beowulf has no non-free-firmware
            }
            for stanza in site.stanzas(&index) {
                let get = |name| field(&stanza, name).unwrap().to_owned();
                let qualified = match get("Architecture").as_str() {
                    "all" => get("Package"),
                    arch => format!("{}:{arch}", get("Package")),
                };
                found.insert((format!("{qualified}={}", get("Version")), get("SHA256")));
            }
        }
    }
    found
}

fn sums_of_downloads(apt: &Apt) -> BTreeSet<String> {
    fs::read_dir(apt.path("downloads"))
        .unwrap()
        .map(|entry| sha256(&fs::read(entry.unwrap().path()).unwrap()))
        .collect()
}

/// Updates, and gets every package and every source that there is.
fn everything(site: &Site, apt: &Apt, architectures: &[&str]) {
    for (package, candidate) in [
        ("old-fork", "1.0+devuan1"),
        ("new-fork", "3.0+devuan1"),
        ("secfix", "1.0-1+deb12u1"),
        ("secfork", "1.0-1+devuan2"),
        ("updated", "1.0-1+deb12u2"),
        ("multi", "1.0-2"),
        ("epochal", "1:0.9-1"),
        ("relic-fork", "0.9+devuan2"),
        ("all-fork", "1.0+devuan1"),
        ("crossed", "1.0+devuan1"),
        ("systemd", "(none)"),
    ] {
        assert_eq!(apt.candidate(package), candidate, "{package}");
    }
    for arch in architectures {
        let packages = packages(site, arch);
        assert!(packages.len() > 50, "{}", packages.len());
        let mut arguments = vec!["download"];
        arguments.extend(packages.iter().map(|(package, _)| package.as_str()));
        apt.ok("apt-get", &arguments);
        let downloaded = sums_of_downloads(apt);
        for (package, sum) in packages {
            assert!(
                downloaded.contains(&sum),
                "{package} is not what it should be"
            );
        }
    }
    let mut wanted = Vec::new();
    let mut sums = BTreeSet::new();
    for component in COMPONENTS.split(' ') {
        for stanza in site.stanzas(&format!("dists/daedalus/{component}/source/Sources")) {
            let get = |name| field(&stanza, name).unwrap();
            wanted.push(format!("{}={}", get("Package"), get("Version")));
            let files = folded(&stanza, "Checksums-Sha256").into_iter();
            sums.extend(files.map(|line| line.split(' ').next().unwrap().to_owned()));
        }
    }
    let mut arguments = vec!["source", "--download-only", "--only-source"];
    arguments.extend(wanted.iter().map(String::as_str));
    apt.ok("apt-get", &arguments);
    let downloaded = sums_of_downloads(apt);
    let missing: Vec<_> = sums.difference(&downloaded).collect();
    assert!(missing.is_empty(), "{missing:?}");
}

#[test]
fn apt_gets_everything_over_http_by_hash_and_then_finds_it_unchanged() {
    if !has_apt() {
        return;
    }
    let site = Site::of(ALL_SUITES).publish();
    let server = site.serve();
    let apt = Apt::new(
        &["amd64", "arm64"],
        &sources(&site, &server.url()),
        "Acquire::Languages \"none\";",
    );
    let first = apt.ok("apt-get", &["update"]);
    assert!(first.contains("Get:"), "{first}");
    everything(&site, &apt, &["amd64", "arm64"]);
    let second = apt.ok("apt-get", &["update"]);
    assert!(!second.contains("Get:"), "{second}");
    assert_eq!(second.matches("Hit:").count(), 5, "{second}");
    let log = server.log();
    let asked = |part: &str| log.iter().filter(|line| line.contains(part)).count();
    assert!(asked("/by-hash/SHA256/") > 10, "{log:#?}");
    assert!(asked("InRelease 304") > 0, "{log:#?}");
    // Nothing that a Release lists was asked for in vain, and no index by its plain name.
    assert_eq!(asked(" 404 "), 0, "{log:#?}");
    assert_eq!(asked("Packages.xz"), 0, "{log:#?}");
}

#[test]
fn apt_gets_everything_from_disk() {
    if !has_apt() {
        return;
    }
    let site = Site::of(ALL_SUITES).publish();
    let root = format!("copy:{}", site.merged("").display());
    let apt = Apt::new(&["arm64"], &sources(&site, &root), "");
    apt.ok("apt-get", &["update"]);
    everything(&site, &apt, &["arm64"]);
    // file: leaves the packages where they are, so here it has to do with the indices.
    let root = format!("file:{}", site.merged("").display());
    let apt = Apt::new(&["amd64"], &sources(&site, &root), "");
    apt.ok("apt-get", &["update"]);
    assert_eq!(apt.candidate("old-fork"), "1.0+devuan1");
    assert_eq!(apt.candidate("arm-only"), "unknown");
}

#[test]
fn apt_takes_all_packages_from_binary_all_where_there_is_nothing_else() {
    if !has_apt() {
        return;
    }
    let suite = DAEDALUS.to_owned() + "architectures = [\"all\"]\n";
    let site = Site::of(&suite).publish();
    let server = site.serve();
    let line = format!("deb {} {} daedalus {COMPONENTS}\n", by(&site), server.url());
    let apt = Apt::new(&["amd64"], &line, "");
    apt.ok("apt-get", &["update"]);
    assert_eq!(apt.candidate("all-fork"), "1.0+devuan1");
    assert_eq!(apt.candidate("doc-all"), "1.0-1");
    assert_eq!(apt.candidate("firmware-tiny"), "20230210-5");
    assert_eq!(apt.candidate("main-only"), "unknown");
    apt.ok("apt-get", &["download", "all-fork"]);
}

#[test]
fn apt_does_not_take_what_another_key_signed() {
    if !has_apt() {
        return;
    }
    let site = Site::of(DAEDALUS).publish();
    let server = site.serve();
    let of = |key: &str| {
        let key = site.path("keys").join(key);
        let line = format!(
            "deb [signed-by={}] {} stable main\n",
            key.display(),
            server.url()
        );
        let apt = Apt::new(&["amd64"], &line, "");
        apt.call("apt-get", &["update"]).status.success()
    };
    assert!(of("publish-a.gpg"), "each key is enough by itself");
    assert!(of("publish-b.gpg"), "each key is enough by itself");
    assert!(!of("main.gpg"), "an archive's key has not signed this");
}

/// Verifies `InRelease`, and `Release.gpg` over `Release`, of every suite by every key.
fn verified_by(site: &Site, verify: impl Fn(&std::path::Path, &std::path::Path) -> Command) {
    for suite in ["daedalus", "daedalus-security", "beowulf/updates", "stable"] {
        let dir = site.merged("dists").join(suite);
        for key in ["publish-a.gpg", "publish-b.gpg", "publish.gpg"] {
            let key = site.path("keys").join(key);
            let output = verify(&key, &dir).output().unwrap();
            succeeded(&output, &[suite]);
        }
        // And not by a key that has not signed.
        let output = verify(&site.path("keys/main.gpg"), &dir).output().unwrap();
        assert!(!output.status.success(), "{suite}");
    }
}

#[test]
fn signatures_stand_in_one_block_and_each_key_verifies_them() {
    let site = Site::of(ALL_SUITES).publish();
    for suite in ["daedalus", "daedalus-security", "beowulf/updates"] {
        for file in ["InRelease", "Release.gpg"] {
            let path = site.merged("dists").join(suite).join(file);
            let text = fs::read_to_string(path).unwrap();
            for mark in ["BEGIN PGP SIGNATURE", "END PGP SIGNATURE"] {
                assert_eq!(text.matches(mark).count(), 1, "{suite} {file}");
            }
            assert!(text.ends_with("-----END PGP SIGNATURE-----\n"), "{text}");
        }
    }
    if has("gpgv") {
        let gpgv = |key: &std::path::Path| {
            let mut command = Command::new("gpgv");
            command.arg("--keyring").arg(key);
            command
        };
        // gpgv is content with nothing less than all signatures, so it gets a keyring of both, and one that has none.
        for suite in ["daedalus", "daedalus-security", "beowulf/updates", "stable"] {
            let dir = site.merged("dists").join(suite);
            for (key, signatures) in [("publish.gpg", 2), ("main.gpg", 0)] {
                let key = site.path("keys").join(key);
                for detached in [false, true] {
                    let mut command = gpgv(&key);
                    if detached {
                        command
                            .arg(dir.join("Release.gpg"))
                            .arg(dir.join("Release"));
                    } else {
                        command.arg(dir.join("InRelease"));
                    }
                    let output = command.env("LC_ALL", "C").output().unwrap();
                    let text = String::from_utf8_lossy(&output.stderr);
                    assert_eq!(text.matches("Good signature").count(), signatures, "{text}");
                    assert_eq!(output.status.success(), signatures == 2, "{text}");
                }
            }
        }
    }
    if has("sqv") {
        verified_by(&site, |key, dir| {
            let mut command = Command::new("sqv");
            command.arg("--keyring").arg(key);
            command
                .arg(dir.join("Release.gpg"))
                .arg(dir.join("Release"));
            command
        });
    }
}

#[test]
fn busybox_unpacks_every_file() {
    if !has("busybox") {
        return;
    }
    let site = Site::of(DAEDALUS).publish();
    let dir = site.merged("dists/daedalus").canonicalize().unwrap();
    let release = fs::read_to_string(dir.join("Release")).unwrap();
    let mut unpacked = 0;
    let lines = release.lines().skip_while(|l| *l != "SHA256:").skip(1);
    let listed: Vec<Vec<&str>> = lines.map(|l| l.split_whitespace().collect()).collect();
    for entry in &listed {
        for (suffix, applet) in [(".xz", "xzcat"), (".gz", "zcat")] {
            let Some(plain) = entry[2].strip_suffix(suffix) else {
                continue;
            };
            let packed = fs::File::open(dir.join(entry[2])).unwrap();
            let output = Command::new("busybox")
                .arg(applet)
                .stdin(packed)
                .output()
                .unwrap();
            succeeded(&output, &[applet, entry[2]]);
            let expected = listed.iter().find(|e| e[2] == plain).unwrap();
            assert_eq!(sha256(&output.stdout), expected[0], "{}", entry[2]);
            unpacked += 1;
        }
    }
    assert!(unpacked >= 50, "{unpacked}");
}

/// Changes old-fork in the overlay, and signs it with a later Date.
fn change_overlay(site: &Site, number: i64) {
    let date = jiff::Timestamp::from_second(1_767_225_600 + number).unwrap();
    site.edit_overlay("daedalus", "main/binary-amd64/Packages", date, |text| {
        let changed = stanzas(&text).into_iter().map(|stanza| {
            let kept = stanza.lines().filter(|l| !l.starts_with("X-Number:"));
            let kept: Vec<_> = kept.collect();
            format!("{}\nX-Number: {number}\n\n", kept.join("\n"))
        });
        changed.collect()
    });
}

#[test]
fn no_update_fails_while_generations_are_published_one_after_the_other() {
    if !has_apt() {
        return;
    }
    const PUBLISHED: i64 = 12;
    const CLIENTS: usize = 2;
    let suite = DAEDALUS.to_owned() + "architectures = [\"amd64\"]\ncomponents = [\"main\"]\n";
    let site = Site::of(&suite).publish();
    let server = site.serve();
    let done = AtomicBool::new(false);
    let updates: usize = std::thread::scope(|scope| {
        let clients: Vec<_> = (0..CLIENTS)
            .map(|_| scope.spawn(|| update_until(&site, &server, &done)))
            .collect();
        for number in 1..=PUBLISHED {
            change_overlay(&site, number);
            // A panic here must not leave the clients waiting for ever.
            let said = site.aptmerge(&["run"]);
            if said.code != Some(0) || number == PUBLISHED {
                done.store(true, Ordering::SeqCst);
            }
            said.expect(0, &[]);
        }
        clients.into_iter().map(|c| c.join().unwrap()).sum()
    });
    assert!(updates >= 30, "{updates} updates show nothing");
    assert_eq!(
        site.json(&["status", "--json"])["generation"],
        PUBLISHED + 1
    );
    site.ok(&["verify"]);
}

/// Updates again and again, sometimes from nothing; gives how often. Each has to succeed and leave a whole state.
fn update_until(site: &Site, server: &Server, done: &AtomicBool) -> usize {
    let line = format!("deb {} {} stable main\n", by(site), server.url());
    let mut apt = Apt::new(&["amd64"], &line, "Acquire::Languages \"none\";");
    let mut updates = 0;
    while !done.load(Ordering::SeqCst) || updates < 15 {
        apt.ok("apt-get", &["update"]);
        updates += 1;
        if updates % 5 == 0 {
            assert_eq!(apt.candidate("old-fork"), "1.0+devuan1");
            apt = Apt::new(&["amd64"], &line, "Acquire::Languages \"none\";");
        }
    }
    updates
}
