//! `explain`: it says of the fixture archives what the merge makes of them, needs no lock and changes nothing.

use std::sync::{Arc, Mutex, Weak};

use crate::common::apt::field;
use crate::common::programs::APTMERGE;
use crate::common::site::{DAEDALUS, Site};
use crate::common::upstream::{NEWER, stanza};
use serde_json::{Value, json};

const SUITES: &str = r#"
[suites.daedalus]
from = { overlay = "daedalus", main = "bookworm" }
components = ["main", "contrib"]
links = ["stable"]

[suites.full]
from = { overlay = "daedalus", main = "bookworm" }
strategy = "newest"

[suites.daedalus-security]
from = { overlay = "daedalus-security", security = "bookworm-security" }

[[pin]]
packages = ["cleaned"]
archive = "main"
"#;

/// One site for all that only look.
fn shared() -> Arc<Site> {
    static SITE: Mutex<Weak<Site>> = Mutex::new(Weak::new());
    let mut site = SITE
        .lock()
        .unwrap_or_else(std::sync::PoisonError::into_inner);
    site.upgrade().unwrap_or_else(|| {
        let new = Site::of(SUITES);
        new.configure("[bans]\n", "[bans]\ntransitive = true\n");
        let overlay = "signed-by = \"keys/overlay.gpg\"\n";
        new.configure(
            overlay,
            &format!("{overlay}exclude = {{ packages = [\"new-fork\"] }}\n"),
        );
        new.ok(&["fetch"]);
        let new = Arc::new(new);
        *site = Arc::downgrade(&new);
        new
    })
}

fn lines(text: &str) -> Vec<&str> {
    text.lines().map(str::trim).collect()
}

/// A package in suite daedalus, for amd64.
fn amd64(site: &Site, package: &str) -> String {
    site.ok(&[
        "explain",
        package,
        "--suite",
        "daedalus",
        "--architecture",
        "amd64",
    ])
}

fn stderr(site: &Site, arguments: &[&str], code: i32) -> String {
    let said = site.aptmerge(arguments);
    said.expect(code, &[]);
    assert_eq!(said.stdout, "", "{arguments:?}");
    said.stderr
}

#[test]
fn where_a_package_comes_from_and_what_it_hides() {
    let site = shared();
    assert_eq!(
        lines(&amd64(&site, "old-fork")),
        [
            "suite daedalus",
            "amd64: from overlay, the first that has it",
            "1.0+devuan1 of overlay (main): published",
            "pool/OVERLAY/main/o/old-fork/old-fork_1.0+devuan1_amd64.deb",
            "2.0-1 of main (main): hidden by overlay",
        ]
    );
    let full = site.ok(&[
        "explain",
        "old-fork",
        "--suite",
        "full",
        "--architecture",
        "amd64",
    ]);
    assert!(
        full.contains("amd64: from main, which has the highest version"),
        "{full}"
    );
    // Not every architecture of every archive has it.
    let archy = site.ok(&["explain", "arm-only", "--suite", "stable"]);
    assert!(archy.contains("  amd64: no archive has it\n"), "{archy}");
    assert!(
        archy.contains("  arm64: from main, the first that has it\n"),
        "{archy}"
    );
    let suites = site.ok(&["explain", "arm-only"]);
    assert!(
        suites.contains("suite daedalus-security: no archive has it\n"),
        "{suites}"
    );
}

#[test]
fn why_a_package_is_gone() {
    let site = shared();
    for (package, expected) in [
        ("systemd", "252.1-1 of main (main): banned by name"),
        (
            "alt-banned",
            "1.0-1 of main (main): banned: it needs systemd, banned by name",
        ),
        (
            "chain-end",
            "1.0-1 of main (main): banned: it needs chain-link, which needs dep-systemd, which needs systemd, banned by name",
        ),
        ("tainted", "1.0-1 of main (main): hidden by overlay"),
        (
            "new-fork",
            "3.0+devuan1 of overlay (main): left out by [archives.overlay.exclude]",
        ),
        ("cleaned", "1.0-1+devuan1 of overlay (main): hidden by main"),
        (
            "blob",
            "1.0-1 of main (non-free): only in non-free/binary-amd64/Packages",
        ),
        ("binnmu", "1.0-1+b1 of main (main): published"),
    ] {
        let text = site.ok(&["explain", package, "--suite", "daedalus"]);
        assert!(lines(&text).contains(&expected), "{package}: {text}");
    }
    let pinned = amd64(&site, "cleaned");
    assert!(
        pinned.contains("amd64: gone; it belongs to main, pinned by [[pin]] 1\n"),
        "{pinned}"
    );
}

#[test]
fn why_a_source_is_kept() {
    let site = shared();
    let text = site.ok(&[
        "explain",
        "retained",
        "--suite",
        "daedalus",
        "--architecture",
        "source",
    ]);
    assert_eq!(
        lines(&text),
        [
            "suite daedalus",
            "source: from overlay, the first that has it",
            "0.9+devuan1 of overlay (main): published",
            "pool/OVERLAY/main/r/retained",
            // retained-extra was built from it, but clients would fetch it for the overlay's.
            "1.0-1 of main (main): hidden by overlay",
        ]
    );
    let text = site.ok(&["explain", "systemd", "--suite", "full"]);
    assert!(
        text.contains("252.1-1 of main (main): published, for libsystemd0 was built from it"),
        "{text}"
    );
}

#[test]
fn json_has_what_the_text_says() {
    let site = shared();
    let found = site.json(&["explain", "namesake", "--suite", "daedalus", "--json"]);
    assert_eq!(found["package"], "namesake");
    let groups = found["suites"][0]["groups"].as_array().unwrap();
    let kinds: Vec<_> = groups
        .iter()
        .map(|g| {
            (
                g["kind"].as_str().unwrap(),
                g["architecture"].as_str().unwrap(),
            )
        })
        .collect();
    assert_eq!(
        kinds,
        [
            ("package", "amd64"),
            ("package", "arm64"),
            ("udeb", "amd64"),
            ("udeb", "arm64"),
            ("source", "source")
        ]
    );
    assert_eq!(
        groups[2],
        json!({
            "kind": "udeb",
            "architecture": "amd64",
            "owner": { "archive": "overlay", "by": "order" },
            "copies": [{
                "fate": "published",
                "published-path": "pool/OVERLAY/main/n/namesake-installer/namesake_1.0_amd64.udeb",
                "archive": "overlay",
                "component": "main",
                "version": "1.0",
                "architecture": "amd64",
                "path": "pool/main/n/namesake-installer/namesake_1.0_amd64.udeb",
                "source": { "name": "namesake-installer", "version": "1.0" },
            }],
        })
    );
    let copies = |package: &str| {
        let found = site.json(&["explain", package, "--suite", "daedalus", "--json"]);
        found["suites"][0]["groups"][0]["copies"].clone()
    };
    assert_eq!(
        copies("chain-link")[0]["chain"],
        json!(["dep-systemd", "systemd"])
    );
    assert_eq!(copies("chain-link")[0]["clause"], "dep-systemd");
    assert_eq!(copies("new-fork")[1]["excluded-by"], "exclude");
    assert_eq!(copies("old-fork")[1]["hidden-by"], "overlay");
    assert_eq!(copies("blob"), json!([]));
}

#[test]
fn it_says_what_is_published_for_every_package() {
    let site = Site::of(DAEDALUS).publish();
    let index = site.stanzas("dists/daedalus/main/binary-arm64/Packages");
    for stanza in &index {
        let found = site.json(&[
            "explain",
            field(stanza, "Package").unwrap(),
            "--architecture",
            "arm64",
            "--json",
        ]);
        let groups = found["suites"][0]["groups"].as_array().unwrap();
        let copies = groups[0]["copies"].as_array().unwrap();
        let is_it = |copy: &Value| {
            copy["fate"] == "published"
                && copy["published-path"] == field(stanza, "Filename").unwrap()
                && copy["version"] == field(stanza, "Version").unwrap()
        };
        assert!(copies.iter().any(is_it), "{stanza}\n{found}");
    }
    assert!(index.len() > 40);
}

#[test]
fn what_is_not_known_is_said_with_the_nearest() {
    let site = shared();
    let said = stderr(&site, &["explain", "old-frok"], 1);
    assert!(
        said.contains("`old-frok`") && said.contains("did you mean `old-fork`?"),
        "{said}"
    );
    let said = stderr(&site, &["explain", "old-fork", "--suite", "deadalus"], 2);
    assert!(
        said.contains("did you mean `daedalus`?") && said.contains("daedalus-security, full"),
        "{said}"
    );
    let said = stderr(
        &site,
        &["explain", "old-fork", "--architecture", "arm46"],
        2,
    );
    assert!(
        said.contains("did you mean `arm64`?") && said.contains("amd64, arm64, source"),
        "{said}"
    );
}

#[test]
fn it_needs_no_lock_and_changes_nothing() {
    let site = Site::of(DAEDALUS);
    let said = stderr(&site, &["explain", "old-fork"], 1);
    assert!(said.contains("aptmerge fetch"), "{said}");
    assert!(!site.path("site").exists());
    site.ok(&["fetch"]);
    let config = site.path("aptmerge.toml");
    let inner = [APTMERGE, "-c", config.to_str().unwrap(), "explain", "archy"];
    site.ok(&[&["lock", "--"], &inner[..]].concat());
    // Damage is told, and left for a run to mend.
    let objects: Vec<_> = walkdir::WalkDir::new(site.path("site/spool/objects"))
        .into_iter()
        .filter_map(Result::ok)
        .filter(|entry| entry.file_type().is_file())
        .collect();
    for object in &objects {
        std::fs::write(object.path(), b"damaged").unwrap();
    }
    let said = stderr(&site, &["explain", "old-fork"], 1);
    assert!(said.contains("spool/objects"), "{said}");
    assert!(!objects.is_empty() && objects.iter().all(|o| o.path().exists()));
}

#[test]
fn what_an_archive_says_cannot_move_the_cursor() {
    let site = Site::new();
    let mut suite = site.main();
    suite.set("Date", NEWER);
    let odd = stanza("odd").replace(
        "Version: 1.0\n",
        "Version: 1.0\nSource: ev\u{1b}[2Jil\u{7}\u{202e}live (1)\n",
    );
    suite.append_stanza("main/binary-amd64/Packages", &odd);
    suite.sign();
    site.aptmerge(&["fetch"]).expect(0, &[]);
    let said = site.aptmerge(&["explain", "odd"]);
    said.expect(0, &[]);
    let shown = r"; built from ev\u{1b}[2Jil\u{7}\u{202e}live 1";
    assert!(said.stdout.contains(shown), "{}", said.stdout);
    let is_plain = |c: char| c == '\n' || c == ' ' || c.is_ascii_graphic();
    assert!(said.stdout.chars().all(is_plain), "{:?}", said.stdout);
    // Whoever reads JSON gets what is there.
    let said = site.aptmerge(&["explain", "odd", "--json"]);
    let json: Value = serde_json::from_str(&said.stdout).unwrap();
    let source = &json["suites"][0]["groups"][0]["copies"][0]["source"]["name"];
    assert_eq!(*source, json!("ev\u{1b}[2Jil\u{7}\u{202e}live"));
}
