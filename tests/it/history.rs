//! `history` says what the latest generations changed, and a warning that was told is not told every ten minutes.

use std::fs;

use serde_json::{Value, json};

use crate::common::programs::Said;
use crate::common::site::Site;
use crate::common::upstream::{NEWER, stanza};

#[track_caller]
fn history(site: &Site, options: &[&str]) -> Value {
    site.json(&[&["history", "--json"], options].concat())
}

fn numbers(history: &Value) -> Vec<u64> {
    let generations = history["generations"].as_array().unwrap();
    generations
        .iter()
        .map(|past| past["generation"].as_u64().unwrap())
        .collect()
}

#[test]
fn each_generation_is_told_by_archive() {
    let site = Site::new();
    assert_eq!(history(&site, &[]), json!({"generations": []}));
    assert!(site.ok(&["history"]).contains("nothing was published"));
    site.run_at("2026-03-01T10:00:00Z");
    site.raise_overlay("1.5");
    site.run_at("2026-03-02T10:00:00Z");
    site.run_at("2026-03-02T11:00:00Z"); // with nothing to do
    site.restore_archive("overlay", "daedalus");
    let mut overlay = site.overlay();
    overlay.set("Date", NEWER);
    overlay.append_stanza("main/binary-amd64/Packages", &stanza("newcomer"));
    overlay.sign();
    // A part of the cycle counts as well.
    site.ok(&["fetch", "--clock", "2026-03-03T10:00:00Z"]);
    site.ok(&["publish", "--clock", "2026-03-03T10:00:00Z"]);
    let told = history(&site, &[]);
    assert_eq!(numbers(&told), [1, 2, 3]);
    let generations = told["generations"].as_array().unwrap();
    assert_eq!(generations[0]["suites"]["daedalus"]["is-new"], true);
    assert_eq!(generations[1]["time"], "2026-03-02T10:00:00Z");
    let overlay = |n: usize| &generations[n]["suites"]["daedalus"]["archives"]["overlay"];
    let raised = json!([{"package": "overlay-only", "before": ["1.0"], "after": ["1.5"], "groups": ["amd64"]}]);
    assert_eq!(overlay(1)["raised"], raised);
    assert_eq!(overlay(2)["lowered"][0]["package"], "overlay-only");
    assert_eq!(overlay(2)["added"][0]["package"], "newcomer");
    let words = site.ok(&["history"]);
    for line in [
        "generation 2, 2026-03-02T10:00:00Z\n  suite daedalus\n    overlay: raised overlay-only 1.0 -> 1.5\n",
        "    overlay: lowered overlay-only 1.5 -> 1.0\n    overlay: added newcomer 1.0\n",
    ] {
        assert!(words.contains(line), "{line} {words}");
    }
    // Since when, in each form.
    let at = ["--clock", "2026-03-03T12:00:00Z"];
    for (since, expected) in [
        ("2026-03-02", &[2, 3][..]),
        ("2026-03-02T10:00:01Z", &[3]),
        ("3 hours", &[3]),
        ("27 hours ago", &[2, 3]),
        ("2026-03-04", &[]),
    ] {
        let options = [&["--since", since][..], &at].concat();
        assert_eq!(numbers(&history(&site, &options)), expected, "{since}");
    }
    site.expect(2, &["history", "--since", "yesterday"]);
    assert_eq!(numbers(&history(&site, &["--suite", "other"])), [0_u64; 0]);
    // The lock is not needed, and a damaged record costs itself.
    fs::write(site.root().join("state/run-02.json"), "{").unwrap();
    let told = history(&site, &[]);
    assert_eq!(numbers(&told), [1, 3]);
    assert!(told["unknown"][0].as_str().unwrap().contains("run-02.json"));
}

#[test]
fn a_generation_that_is_not_served_is_no_history() {
    let site = Site::published();
    site.news();
    fs::remove_file(site.root().join("merged")).unwrap();
    fs::create_dir(site.root().join("merged")).unwrap();
    site.expect(1, &["run"]);
    assert_eq!(numbers(&history(&site, &[])), [1]);
    fs::remove_dir(site.root().join("merged")).unwrap();
    site.expect(0, &["run"]);
    assert_eq!(numbers(&history(&site, &[])), [1, 2]);
}

/// Runs at a time; the run must end with an exit code.
#[track_caller]
fn run_at(site: &Site, code: i32, time: &str, options: &[&str]) -> Said {
    let said = site.aptmerge(&[&["run", "--clock", time], options].concat());
    said.expect(code, &[]);
    said
}

#[test]
fn a_warning_is_told_once_a_day_or_when_it_changes() {
    let ban = |name: &str| format!("[bans]\npackages = [\"{name}\"]\n");
    let mut site = Site::new().with(&ban("no-such-one"));
    let tells = |site: &Site, time: &str, options: &[&str]| {
        run_at(site, 0, time, options).stderr.contains("no-such-")
    };
    assert!(tells(&site, "2026-03-01T00:00:00Z", &[]));
    assert!(!tells(&site, "2026-03-01T00:10:00Z", &[]));
    assert!(tells(&site, "2026-03-01T00:20:00Z", &["-v"]));
    let program = run_at(&site, 0, "2026-03-01T00:30:00Z", &["--json"]);
    assert!(program.stderr.contains("no-such-one"));
    assert!(!tells(&site, "2026-03-01T23:50:00Z", &[]));
    assert!(tells(&site, "2026-03-02T00:00:00Z", &[]));
    assert!(!tells(&site, "2026-03-02T00:10:00Z", &[]));
    // Another one is news, and so is one that was gone.
    site.set_extra(&ban("no-such-two"));
    assert!(tells(&site, "2026-03-02T00:20:00Z", &[]));
    assert!(!tells(&site, "2026-03-02T00:30:00Z", &[]));
    site.set_extra(&ban("no-such-one"));
    assert!(tells(&site, "2026-03-02T00:40:00Z", &[]));
    // One that nobody heard is not told.
    site.set_extra(&ban("no-such-three"));
    assert!(!tells(&site, "2026-03-02T00:50:00Z", &["-q"]));
    assert!(tells(&site, "2026-03-02T01:00:00Z", &[]));
    // A clock that was ahead does not hold it back for longer.
    assert!(tells(&site, "2026-03-05T00:00:00Z", &[]));
    assert!(tells(&site, "2026-03-03T00:00:00Z", &[]));
    // A damaged record, or none, costs a warning.
    fs::write(site.root().join("state/told.json"), "{").unwrap();
    assert!(tells(&site, "2026-03-03T00:10:00Z", &[]));
    assert!(!tells(&site, "2026-03-03T00:20:00Z", &[]));
}

#[test]
fn the_reason_of_an_exit_code_is_told_each_time() {
    let site = Site::new()
        .with("[bans]\npackages = [\"no-such-one\"]\n")
        .publish();
    fs::rename(site.path("archives/main"), site.path("away")).unwrap();
    for minute in ["10", "20"] {
        let said = run_at(&site, 3, &format!("2026-03-02T00:{minute}:00Z"), &[]);
        said.expect(3, &["archive `main`", "last good copy", "no-such-one"]);
    }
    fs::rename(site.path("away"), site.path("archives/main")).unwrap();
    let said = run_at(&site, 0, "2026-03-02T00:30:00Z", &[]);
    assert_eq!(said.stderr, "");
    // An error is told with what came before it.
    fs::remove_file(site.path("keys/publish-a.secret.asc")).unwrap();
    let said = run_at(&site, 1, "2026-03-02T00:40:00Z", &[]);
    said.expect(1, &["error: "]);
    let said = run_at(&site, 1, "2026-03-02T00:50:00Z", &[]);
    said.expect(1, &["error: "]);
}
