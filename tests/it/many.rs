//! Shows that a suite that a run does not change costs the run next to nothing, and stays as it is: counted in calls of the system, so that
//! no load and no clock matters.
#![allow(clippy::unwrap_used)]

use std::fs;
use std::process::{Command, Stdio};

use crate::common::processes::can_trace;
use crate::common::site::{DAEDALUS, Site, TWO_SUITES, contents};
use crate::common::state;

const FIRST: &str = "2026-02-01T00:00:00Z";
const SECOND: &str = "2026-02-02T00:00:00Z";

/// Runs under strace, and returns the calls of some names that the run made, a line each.
#[track_caller]
fn calls(site: &Site, names: &str, options: &[&str]) -> Vec<String> {
    let run = site.command(&[&["run"], options].concat());
    let trace = site.path("trace");
    let output = Command::new("strace")
        .args([
            "-f",
            "-qq",
            "-s",
            "300",
            "-e",
            &format!("trace={names}"),
            "-o",
        ])
        .arg(&trace)
        .arg("--")
        .arg(run.get_program())
        .args(run.get_args())
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    let trace = fs::read_to_string(&trace).unwrap();
    trace.lines().map(str::to_owned).collect()
}

#[test]
fn a_suite_waits_for_its_own_date_alone() {
    if !can_trace() {
        return;
    }
    let site = Site::of(TWO_SUITES);
    site.expect(0, &["run", "--clock", FIRST]);
    let date = |suite: &str| state::published(&site.root())["suites"][suite]["date"].clone();
    let pauses = |site: &Site| {
        let calls = calls(site, "nanosleep,clock_nanosleep", &["--clock", SECOND]);
        // A thread that waits for work sleeps for less.
        let is_long = |call: &&String| call.contains("tv_sec=1,");
        calls.iter().filter(is_long).count()
    };
    site.raise_overlay("1.1");
    assert_eq!(pauses(&site), 0);
    let before = date("daedalus-security");
    assert!(date("daedalus").as_i64() > before.as_i64());
    // The other one is published within the same second.
    site.configure(
        "[suites.daedalus-security]",
        "[suites.daedalus-security]\nlinks = [\"s\"]\nrelease = { Description = \"Other\" }",
    );
    assert_eq!(pauses(&site), 0);
    assert_eq!(date("daedalus-security"), date("daedalus"));
    site.expect(0, &["verify", "--clock", SECOND]);
}

/// The number of suites that no test changes.
const OTHERS: usize = 12;

/// A site of many suites, with more files than a run looks at each time, that was looked at as a whole at one o'clock.
fn many() -> Site {
    let others = (0..OTHERS).map(|n| {
        format!(
            "[suites.s{n:02}]\nfrom = {{ overlay = \"daedalus-security\", main = \"bookworm\" }}\n"
        )
    });
    let suites: String = others.collect();
    let site = Site::of(&format!("{DAEDALUS}{suites}"));
    site.expect(0, &["run", "--clock", "2026-02-01T00:00:00Z"]);
    site.expect(0, &["run", "--clock", "2026-02-01T01:00:00Z"]);
    let published = state::published(&site.root());
    let suites = published["suites"].as_object().unwrap().values();
    let files = suites.map(|suite| suite["manifest"]["files"].as_object().unwrap().len());
    assert!(files.sum::<usize>() > 2000);
    site
}

/// Returns the calls that name a path below a suite, in either tree.
fn about<'a>(calls: &'a [String], suite: &str) -> Vec<&'a String> {
    let dir = format!("/dists/{suite}");
    let calls = calls.iter();
    calls.filter(|call| call.contains(&dir)).collect()
}

#[test]
fn a_run_asks_for_two_files_of_a_suite_that_it_leaves_alone() {
    if !can_trace() {
        return;
    }
    let site = many();
    let names = "%file,%desc";
    let idle = calls(&site, names, &["--clock", "2026-02-01T01:10:00Z"]);
    for n in 0..OTHERS {
        let about = about(&idle, &format!("s{n:02}"));
        assert!((1..=4).contains(&about.len()), "{about:#?}");
    }
    site.raise_overlay("1.1");
    let changed = calls(&site, names, &["--clock", "2026-02-01T01:20:00Z"]);
    for n in 0..OTHERS {
        let about = about(&changed, &format!("s{n:02}"));
        assert!((1..=6).contains(&about.len()), "{about:#?}");
    }
    let published = state::published(&site.root());
    assert_eq!(published["number"], 2);
    site.expect(0, &["verify", "--clock", "2026-02-01T01:20:00Z"]);
}

#[test]
fn damage_to_one_of_many_suites_is_found_within_an_hour() {
    let site = many();
    let production = site.root().join("merged-production");
    let before = contents(&production);
    let index = production.join("dists/s03/main/binary-amd64/Packages.xz");
    let signed = production.join("dists/s04/InRelease");
    fs::remove_file(&index).unwrap();
    let run = |time: &str| site.expect(0, &["run", "--clock", time]);
    assert_eq!(run("2026-02-01T01:30:00Z"), "");
    assert!(!index.exists());
    // `verify` does not rely on what others looked at.
    let said = site.expect(1, &["verify", "--clock", "2026-02-01T01:30:00Z"]);
    assert!(said.contains("s03/main/binary-amd64/Packages.xz"), "{said}");
    // A suite stands or falls by its InRelease, which every run looks at.
    // Another inode: volatile has the old one.
    fs::remove_file(&signed).unwrap();
    fs::write(&signed, "").unwrap();
    let said = run("2026-02-01T01:40:00Z");
    assert!(
        said.contains("suite s04: production was damaged, and was mended"),
        "{said}"
    );
    assert!(!said.contains("s03"), "{said}");
    let said = run("2026-02-01T02:00:01Z");
    assert!(
        said.contains("suite s03: production was damaged, and was mended"),
        "{said}"
    );
    assert_eq!(contents(&production), before);
    // The clock went back: nobody knows how long ago the last look was.
    fs::remove_file(&index).unwrap();
    let said = run("2026-02-01T01:00:00Z");
    assert!(
        said.contains("suite s03: production was damaged, and was mended"),
        "{said}"
    );
    assert_eq!(contents(&production), before);
}

#[test]
fn a_suite_that_is_made_anew_takes_over_nothing_that_is_damaged() {
    let site = many();
    let trees = ["merged-production", "merged-volatile"].map(|tree| site.root().join(tree));
    let path = "dists/daedalus/main/binary-arm64/Packages.xz";
    let good = fs::read(trees[0].join(path)).unwrap();
    for tree in &trees {
        fs::remove_file(tree.join(path)).unwrap();
        fs::write(tree.join(path), "bad").unwrap();
    }
    site.raise_overlay("1.1");
    let said = site.expect(0, &["run", "-v", "--clock", "2026-02-01T01:30:00Z"]);
    assert!(
        said.contains("binary-arm64/Packages.xz was changed"),
        "{said}"
    );
    for tree in &trees {
        assert_eq!(fs::read(tree.join(path)).unwrap(), good);
    }
    site.expect(0, &["verify", "--clock", "2026-02-01T01:30:00Z"]);
}
