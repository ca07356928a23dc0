//! Shows, on a sample, that a fault at any system call of a run leaves what is served whole and that the next run converges.
//!
//! The faults are made by `scripts/faults/run` and the clients by `scripts/clients`, which have long forms; see docs/reliability.md.

use std::process::{Command, Stdio};

use crate::common::programs::{APTMERGE, Said, has, top};

/// Runs a script of ours on the program; it has to end well, and says by itself what it skips.
#[track_caller]
fn holds(script: &str, arguments: &[&str]) {
    if !has("python3") {
        return;
    }
    let output = Command::new(top().join("scripts").join(script))
        .args(arguments)
        .args(["--program", APTMERGE])
        .stdin(Stdio::null())
        .output();
    let said = Said::of(&output.unwrap());
    said.expect(0, &[]);
    if said.stderr.contains("skipped: ") {
        eprint!("{}", said.stderr);
    } else {
        assert!(said.stdout.ends_with("it holds\n"), "{said:?}");
    }
}

#[test]
fn a_run_killed_at_any_call_leaves_the_old_or_the_new() {
    holds("faults/run", &["kill", "--points", "6", "--jobs", "1"]);
}

#[test]
fn a_call_that_fails_fails_the_run_with_a_message_or_does_no_harm() {
    let arguments = ["errors", "--points", "2", "--jobs", "1", "--scenario"];
    holds("faults/run", &[&arguments[..], &["small"]].concat());
}

#[test]
fn a_loss_of_power_leaves_a_whole_generation() {
    let arguments = ["power", "--points", "3", "--jobs", "1", "--scenario"];
    holds("faults/run", &[&arguments[..], &["small"]].concat());
}

#[test]
fn a_disk_that_fills_up_costs_nothing() {
    holds("faults/run", &["disk", "--points", "4"]);
}

#[cfg(feature = "serve")]
#[test]
fn no_client_that_never_pauses_fails() {
    holds(
        "clients",
        &["--clients", "3", "--broken", "1", "--seconds", "20"],
    );
}
