//! Shows that a suite that a run does not change costs the run next to nothing, and stays as it is: counted in calls of the system, so that
//! no load and no clock matters.
#![allow(clippy::unwrap_used)]

use std::process::{Command, Stdio};

use crate::common::processes::can_trace;
use crate::common::site::{Site, TWO_SUITES};
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
    let trace = std::fs::read_to_string(&trace).unwrap();
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
