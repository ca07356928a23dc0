//! News is told, and once: forks that fell behind, and rules that name nothing.

use std::fs;

use serde_json::json;

use crate::common::site::Site;
use crate::common::upstream::{NEWER, stanza};

/// Has main publish `overlay-only`, which the overlay has as 1.0, at these versions.
fn main_has(site: &Site, versions: &[&str], date: &str) {
    site.restore_archive("main", "bookworm");
    let mut main = site.main();
    main.set("Date", date);
    for version in versions {
        let text = stanza("overlay-only").replace("Version: 1.0", &format!("Version: {version}"));
        main.append_stanza("main/binary-amd64/Packages", &text);
    }
    main.sign();
}

#[test]
fn a_fork_that_fell_behind_is_told_in_the_run_and_the_difference() {
    let site = Site::published();
    let day = |n: u32| format!("Mon, {n:02} Feb 2026 00:00:00 UTC");
    main_has(&site, &["2.0"], NEWER);
    let behind = json!([{"package": "overlay-only", "winner": "1.0", "hidden": "2.0"}]);
    let foretold = site.json(&["run", "--dry-run", "--json"]);
    assert_eq!(foretold["difference"]["daedalus"]["behind"], behind);
    let words = site.expect(0, &["run", "--dry-run"]);
    assert!(words.contains("overlay-only (1.0 hides 2.0)"), "{words}");
    let said = site.run(&["--json"]);
    said.expect(
        0,
        &[
            "overlay-only (1.0 hides 2.0)",
            "log/daedalus-oldpackages.txt",
        ],
    );
    assert_eq!(said.outcome()["difference"]["daedalus"]["behind"], behind);
    let log = |name: &str| fs::read_to_string(site.root().join("log").join(name)).unwrap();
    assert!(log("changes.txt").contains("daedalus fell behind  overlay-only (1.0 hides 2.0)\n"));
    assert!(log("daedalus-oldpackages.txt").contains("daedalus,overlay-only,1.0,2.0\n"));
    let status = site.json_of(&["status", "--json"]);
    let behind = status["suites"]["daedalus"]["behind"].as_u64().unwrap();
    let words = site.ok(&["status"]);
    let line = format!("hiding a newer version: {behind}\n");
    assert!(words.contains(&line), "{words}");
    // The same is no news when the suite is made anew for another reason.
    site.news();
    let said = site.run(&["--json"]);
    assert_eq!(said.expect(0, &[]).stderr, "");
    assert_eq!(said.outcome()["difference"]["daedalus"].get("behind"), None);
    // A version that is newer still is: it may mend something that the fork has as well.
    main_has(&site, &["2.0", "3.0"], &day(9));
    site.run(&[]).expect(0, &["overlay-only (1.0 hides 3.0)"]);
}

#[test]
fn of_many_forks_the_first_few_are_named() {
    let site = Site::published();
    let (mut main, mut overlay) = (site.main(), site.overlay());
    for n in 0..150 {
        let text = stanza(&format!("fork-{n:03}"));
        overlay.append_stanza("main/binary-amd64/Packages", &text);
        main.append_stanza("main/binary-amd64/Packages", &text.replace("1.0", "1.1"));
    }
    for mut suite in [main, overlay] {
        suite.set("Date", NEWER);
        suite.sign();
    }
    let said = site.run(&["--json"]);
    said.expect(
        0,
        &[
            "hide newer versions",
            "fork-000 (1.0 hides 1.1)",
            "more; log/",
        ],
    );
    let lines = said.stderr.lines().filter(|line| line.contains("hide"));
    assert_eq!(lines.count(), 1, "{}", said.stderr);
    assert!(said.stderr.len() < 1_000, "{}", said.stderr);
    let difference = &said.outcome()["difference"]["daedalus"];
    assert_eq!(difference["behind"].as_array().unwrap().len(), 100);
    assert!(difference["behind-omitted"].as_u64().unwrap() >= 50);
}

#[test]
fn a_rule_that_names_what_no_archive_has_is_told() {
    let site = Site::new().with(
        "[bans]\npackages = [\"no-such-package\", \"overlay-only\"]\n\
         [[pin]]\npackages = [\"overlay-*\", \"no-such-pin*\"]\nsources = [\"no-such-source\"]\narchive = \"main\"\n",
    );
    let told = [
        "bans.packages: no archive has a package `no-such-package`",
        "[[pin]] 1, packages: no archive has a package `no-such-pin*`",
        "[[pin]] 1, sources: no archive has a source `no-such-source`",
    ];
    let said = site.run(&[]);
    said.expect(0, &told);
    for known in ["`overlay-only`", "`overlay-*`"] {
        assert!(!said.stderr.contains(known), "{}", said.stderr);
    }
    // Nor does a run with nothing to do forget them.
    site.run(&["-v"]).expect(0, &told);
    // A package that needs what is banned is reason enough, and so is one of another suite.
    let mut overlay = site.overlay();
    overlay.set("Date", NEWER);
    let needs = stanza("needs").replace("Description", "Depends: no-such-package\nDescription");
    overlay.append_stanza("main/binary-amd64/Packages", &needs);
    for name in ["no-such-pin-1", "built"] {
        let built = stanza(name).replace("Version", "Source: no-such-source\nVersion");
        overlay.append_stanza("main/binary-amd64/Packages", &built);
    }
    overlay.sign();
    let said = site.run(&["-v"]);
    assert!(!said.stderr.contains("no archive has"), "{}", said.stderr);
    site.configure(
        "[suites.daedalus]\nfrom = { overlay = \"daedalus\", main = \"bookworm\" }",
        "[suites.fixes]\nfrom = { overlay = \"daedalus\" }\n\n[suites.daedalus]\nfrom = { main = \"bookworm\" }",
    );
    let said = site.run(&["-v", "--allow-shrink", "--allow-identity-change"]);
    said.expect(0, &[]);
    assert!(!said.stderr.contains("bans.packages"), "{}", said.stderr);
}
