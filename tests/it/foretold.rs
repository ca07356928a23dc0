//! A dry run comes to the verdict of the run that follows it: the same exit code, the same suites refused for the same reasons.

use serde_json::Value;

use crate::common::programs::Said;
use crate::common::site::Site;
use crate::common::upstream::{NEWER, NEWEST, Suite, stanza};

/// Returns a site with two suites: `daedalus` of both archives, and `fixes` of the overlay alone.
fn two_suites() -> Site {
    Site::new().with("[suites.fixes]\nfrom = { overlay = \"daedalus\" }\n")
}

/// Runs dry and then for good, with the same options, and holds one against the other; gives what the run said.
#[track_caller]
fn same_verdict(site: &Site, code: i32, options: &[&str]) -> Said {
    let before = site.served();
    let dry = site.aptmerge(&[&["run", "--dry-run", "--json"], options].concat());
    assert_eq!(before, site.served());
    let run = site.aptmerge(&[&["run", "--json"], options].concat());
    assert_eq!(run.code, Some(code), "{}{}", run.stderr, run.stdout);
    assert_eq!(dry.code, run.code, "{}{}", dry.stderr, dry.stdout);
    let parsed = |text: &str| serde_json::from_str::<Value>(text).unwrap_or(Value::Null);
    let (foretold, outcome) = (parsed(&dry.stdout), parsed(&run.stdout));
    for key in [
        "generation",
        "changed",
        "difference",
        "removed",
        "links-changed",
        "kept",
    ] {
        assert_eq!(foretold[key], outcome[key], "{key}");
    }
    let names = |outcome: &Value| {
        let refused = outcome["refused"].as_array().into_iter().flatten();
        refused
            .map(|refused| refused["suite"].clone())
            .collect::<Vec<_>>()
    };
    assert_eq!(names(&foretold), names(&outcome));
    let kinds = |said: &Said| {
        let lines = said.stderr.lines().map(parsed);
        lines
            .map(|line| (line["type"].clone(), line["kind"].clone()))
            .collect::<Vec<_>>()
    };
    assert_eq!(kinds(&dry), kinds(&run), "{}\n{}", dry.stderr, run.stderr);
    run
}

/// Takes all packages but one out of an archive's suite, with a new Date.
fn shrink(mut suite: Suite, date: &str) {
    suite.set("Date", date);
    suite.put_index("main/binary-amd64/Packages", stanza("last").as_bytes());
    suite.sign();
}

#[test]
fn a_suite_that_would_shrink_is_refused_beforehand() {
    let site = two_suites().publish();
    shrink(site.main(), NEWER);
    // Nothing else is new.
    same_verdict(&site, 1, &[]).expect(1, &["--allow-shrink", "shrink"]);
    // The other suite has news.
    site.news();
    let said = same_verdict(&site, 3, &[]);
    assert_eq!(said.outcome()["refused"][0]["suite"], "daedalus");
    same_verdict(&site, 0, &["--allow-shrink"]);
}

#[test]
fn an_identity_that_would_change_is_refused_beforehand() {
    let site = two_suites().publish();
    site.configure(
        "[suites.daedalus]",
        "[suites.daedalus]\nrelease = { Origin = \"Other\" }",
    );
    same_verdict(&site, 1, &[]).expect(1, &["Origin"]);
    site.news();
    same_verdict(&site, 3, &[]).expect(3, &["--allow-identity-change"]);
    same_verdict(&site, 0, &["--allow-identity-change"]);
}

#[test]
fn a_date_that_would_not_grow_is_refused_beforehand() {
    let site = two_suites();
    let later = ["--clock", "2026-05-01T00:00:00Z"];
    let now = ["--clock", "2026-04-01T00:00:00Z"];
    site.expect(0, &[&["run"][..], &later].concat());
    site.news();
    same_verdict(&site, 1, &now).expect(1, &["Date"]);
    same_verdict(&site, 0, &[&now[..], &["--allow-older-date"]].concat());
}

#[test]
fn an_archive_that_lapsed_is_refused_beforehand() {
    let site = two_suites();
    let mut main = site.main();
    main.set("Date", NEWER);
    main.set("Valid-Until", "Fri, 01 May 2026 00:00:00 UTC");
    main.sign();
    site.expect(0, &["run"]);
    site.configure(
        "[suites.daedalus]",
        "[suites.daedalus]\nlinks = [\"stable\"]\nrelease = { Version = \"2\" }",
    );
    let late = ["--clock", "2026-06-01T00:00:00Z"];
    // The copy is kept, though it lapsed; its suite is not signed, and the other one as before.
    site.news();
    let said = same_verdict(&site, 3, &late);
    assert_eq!(said.outcome()["changed"], serde_json::json!(["fixes"]));
}

#[test]
fn a_suite_without_a_copy_is_refused_beforehand() {
    let site = two_suites();
    std::fs::rename(site.path("archives/main"), site.path("archives/gone")).unwrap();
    same_verdict(&site, 3, &[]).expect(3, &["no earlier copy"]);
    same_verdict(&site, 3, &[]).expect(3, &["no earlier copy"]);
}

#[test]
fn keys_that_cannot_sign_are_found_beforehand() {
    let site = two_suites().publish();
    let key = site.path("keys/publish-a.secret.asc");
    std::fs::copy(site.path("keys/publish-a.asc"), &key).unwrap_or_default();
    site.news();
    same_verdict(&site, 1, &[]);
    site.restore_keys();
    let mut overlay = site.overlay();
    overlay.set("Date", NEWEST);
    overlay.sign();
    same_verdict(&site, 0, &[]);
}
