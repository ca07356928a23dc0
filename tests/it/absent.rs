//! Suites that wait for an archive of which there is no copy yet: the others are published all the same.

use std::fs;

use crate::common::site::{Site, copy_tree};
use crate::common::upstream::{NEWER, Suite};

/// A suite of an archive that nobody can fetch: it has no Release.
const NEW: &str = "[suites.new]\nfrom = { main = \"trixie\" }\nlinks = [\"testing\"]\n";

/// A suite that is made of it and of another one.
const HALF: &str = "[suites.half]\nfrom = { overlay = \"daedalus\", main = \"trixie\" }\n";

const WAITS: &str = "suite `new`: suite `trixie` of archive `main` cannot be fetched, and there is no earlier copy of it";

/// Returns the suites of a list of an outcome, by name.
fn suites(outcome: &serde_json::Value, list: &str) -> Vec<String> {
    let items = outcome[list].as_array().unwrap().iter();
    let named = items.map(|item| item.get("suite").unwrap_or(item));
    named
        .map(|name| name.as_str().unwrap().to_owned())
        .collect()
}

/// Runs, dry at first; both end alike. Returns the outcome of the run.
#[track_caller]
fn run(site: &Site, code: i32) -> serde_json::Value {
    let dry = site.run(&["--dry-run", "--json"]);
    let said = site.run(&["--json"]);
    said.expect(code, &[]);
    assert_eq!(dry.code, Some(code), "{dry:?}");
    if code == 1 {
        return serde_json::Value::Null;
    }
    let (dry, outcome) = (dry.outcome(), said.outcome());
    for list in ["changed", "refused", "removed"] {
        assert_eq!(dry[list], outcome[list]);
    }
    outcome
}

#[test]
fn others_are_published() {
    let mut site = Site::published();
    site.set_extra(NEW);
    site.news();
    let outcome = run(&site, 3);
    assert_eq!(suites(&outcome, "changed"), ["daedalus"]);
    assert_eq!(suites(&outcome, "refused"), ["new"]);
    assert!(!site.merged("dists/new").exists());
    assert!(!site.merged("dists/testing").is_symlink());
    // Nothing has changed since, which is no failure, and costs no generation.
    let served = site.served();
    let outcome = run(&site, 3);
    assert_eq!(suites(&outcome, "changed"), Vec::<String>::new());
    assert_eq!(suites(&outcome, "refused"), ["new"]);
    assert_eq!(served, site.served());
    site.run(&[]).expect(
        3,
        &[
            WAITS,
            "it is not published yet, and the others are without it",
        ],
    );
    let status = site.expect(3, &["status"]);
    assert!(
        status.contains("suite new is not published yet: "),
        "{status}"
    );
    let status = site.aptmerge(&["--json", "status"]).outcome();
    assert_eq!(status["last-run"]["outcome"]["refused"][0]["suite"], "new");
    // Several suites may wait, also one that an archive that has a copy goes into; whatever else changes is published.
    site.set_extra(&format!("{NEW}{HALF}"));
    let outcome = run(&site, 3);
    assert_eq!(suites(&outcome, "refused"), ["half", "new"]);
    site.configure(
        "from = { overlay = \"daedalus\", main = \"bookworm\" }",
        "links = [\"stable\"]\nfrom = { overlay = \"daedalus\", main = \"bookworm\" }",
    );
    let outcome = run(&site, 3);
    assert_eq!(outcome["links-changed"], true);
    assert!(site.merged("dists/stable/Release").exists());
    site.aptmerge(&["verify"]).expect(0, &[]);
    // They are published when the archive has the suite.
    let trixie = site.path("archives/main/dists/trixie");
    copy_tree(&site.main().dir, &trixie);
    let mut release = Suite::open(&site, "main", "trixie");
    release.set("Suite", "trixie");
    release.sign();
    let outcome = run(&site, 0);
    assert_eq!(suites(&outcome, "changed"), ["half", "new"]);
    assert!(site.merged("dists/testing/Release").exists());
}

#[test]
fn the_first_run_publishes_what_it_can() {
    let mut site = Site::new();
    site.set_extra(NEW);
    let outcome = run(&site, 3);
    assert_eq!(suites(&outcome, "changed"), ["daedalus"]);
    // If nothing can be published at all, nothing is served, and that is a failure.
    let mut site = Site::new();
    site.set_extra(NEW);
    fs::rename(site.path("archives/overlay"), site.path("gone")).unwrap();
    run(&site, 1);
    run(&site, 1);
    assert!(site.served().is_empty());
    site.run(&[]).expect(
        1,
        &["cannot be fetched, and there is no earlier copy of it"],
    );
}

#[test]
fn parts_of_a_run_do_as_the_run_does() {
    let mut site = Site::published();
    site.set_extra(NEW);
    site.news();
    site.aptmerge(&["fetch"])
        .expect(1, &["suite `trixie` of archive `main` cannot be fetched"]);
    let lacks = "the spool holds no copy of suite `trixie` of archive `main`";
    site.aptmerge(&["merge"]).expect(3, &[lacks]);
    let published = site.aptmerge(&["--json", "publish"]);
    published.expect(3, &[lacks]);
    assert_eq!(suites(&published.outcome(), "changed"), ["daedalus"]);
    site.aptmerge(&["publish"])
        .expect(3, &[lacks, "`aptmerge fetch`"]);
    site.aptmerge(&["merge"]).expect(3, &[lacks]);
}

#[test]
fn a_guard_still_ends_the_run_that_would_change_nothing_else() {
    let mut site = Site::published();
    site.set_extra(NEW);
    let mut release = site.main();
    release.set("Date", NEWER);
    release.put_index("main/binary-amd64/Packages", b"");
    release.sign();
    run(&site, 1);
    site.run(&[]).expect(1, &[WAITS, "--allow-shrink"]);
    site.run(&["--allow-shrink"]).expect(3, &[WAITS]);
}

/// A suite that is published and whose copies are lost stays as it is published.
#[test]
fn a_published_suite_stays_while_it_waits() {
    let site = Site::published();
    let served = site.served();
    fs::remove_dir_all(site.root().join("spool")).unwrap();
    fs::rename(site.path("archives/overlay"), site.path("gone")).unwrap();
    let outcome = run(&site, 3);
    assert_eq!(suites(&outcome, "refused"), ["daedalus"]);
    assert_eq!(served, site.served());
    let status = site.expect(3, &["status"]);
    assert!(
        status.contains("suite daedalus stayed as it was published: "),
        "{status}"
    );
    fs::rename(site.path("gone"), site.path("archives/overlay")).unwrap();
    site.run_without_news(&[]);
}
