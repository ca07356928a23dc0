//! Shows that what a run did is told and recorded, and that nothing passes for done where it could not be said or written.
#![allow(clippy::unwrap_used)]

mod common;

use std::fs::{File, OpenOptions};
use std::process::Stdio;

use common::site::Site;

/// A device that takes nothing.
fn full() -> File {
    OpenOptions::new().write(true).open("/dev/full").unwrap()
}

#[test]
fn output_that_cannot_be_written_is_no_success() {
    let site = Site::new("");
    site.expect(0, &["run"]);
    for arguments in [
        &["config", "show"][..],
        &["config", "redirects"],
        &["config", "check"],
        &["status"],
        &["status", "--json"],
        &["verify"],
        &["verify", "--json"],
        &["explain", "overlay-only"],
        &["run", "--json"],
        &["run", "--dry-run"],
        &["--help"],
        &["--version"],
    ] {
        let mut command = site.aptmerge(arguments);
        let output = command.stdout(full()).output().unwrap();
        let told = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(1), "{arguments:?}: {told}");
        let lines: Vec<_> = told.lines().collect();
        assert_eq!(lines.len(), 1, "{told}");
        assert!(lines[0].contains("cannot write to stdout"), "{told}");
        // A reader that has heard enough is none of our business.
        let mut command = site.aptmerge(arguments);
        let mut child = command
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        drop(child.stdout.take());
        let output = child.wait_with_output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{arguments:?}");
        assert_eq!(output.stderr, b"", "{arguments:?}");
    }
    // A failure keeps its own code.
    let mut command = site.aptmerge(&["explain", "no-such-package"]);
    let output = command.stdout(full()).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(
        site.aptmerge(&["rnu"])
            .stdout(full())
            .status()
            .unwrap()
            .code(),
        Some(2)
    );
}
