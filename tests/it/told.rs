//! Shows that what a run did is told and recorded, and that nothing passes for done where it could not be said or written.

use std::fs::{self, File, OpenOptions};
use std::process::{Command, Stdio};

use crate::common::programs::{APTMERGE, has};
use crate::common::site::{Site, TWO_SUITES};

/// A device that takes nothing.
fn full() -> File {
    OpenOptions::new().write(true).open("/dev/full").unwrap()
}

#[test]
fn output_that_cannot_be_written_is_no_success() {
    let site = Site::of(TWO_SUITES);
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
        let mut command = site.command(arguments);
        let output = command.stdout(full()).output().unwrap();
        let told = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(1), "{arguments:?}: {told}");
        let lines: Vec<_> = told.lines().collect();
        assert_eq!(lines.len(), 1, "{told}");
        assert!(lines[0].contains("cannot write to stdout"), "{told}");
        // A reader that has heard enough is none of our business.
        let mut command = site.command(arguments);
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
    let mut command = site.command(&["explain", "no-such-package"]);
    let output = command.stdout(full()).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(
        site.command(&["rnu"])
            .stdout(full())
            .status()
            .unwrap()
            .code(),
        Some(2)
    );
}

#[test]
fn a_change_of_aliases_alone_is_told_and_recorded() {
    let site = Site::of(TWO_SUITES);
    site.expect(0, &["run"]);
    let text = fs::read_to_string(site.config_file()).unwrap();
    let more = text.replace("links = [\"stable\"]", "links = [\"stable\", \"5.0\"]");
    assert_ne!(more, text);
    fs::write(site.config_file(), more).unwrap();
    let told = site.expect(0, &["run", "--dry-run"]);
    assert!(
        told.contains("aliases") && told.contains("made anew"),
        "{told}"
    );
    let told = site.expect(0, &["run", "-v"]);
    assert!(told.contains("published generation 2: aliases"), "{told}");
    assert!(site.root().join("merged/dists/5.0/InRelease").is_file());
    assert!(site.root().join("state/run-02.json").is_file());
    let outcome = &site.json(&["status", "--json"])["last-run"]["outcome"];
    assert_eq!(outcome["links-changed"], true, "{outcome}");
    assert_eq!(outcome["changed"], serde_json::json!([]), "{outcome}");
    let told = site.expect(0, &["run", "--dry-run"]);
    assert!(!told.contains("aliases"), "{told}");
    let told = site.expect(0, &["run", "-v"]);
    assert!(
        told.contains("nothing changed: generation 2 stays"),
        "{told}"
    );
}

#[test]
fn a_file_that_grows_beyond_a_limit_is_named() {
    let site = Site::of(TWO_SUITES);
    let output = Command::new("sh")
        .args([
            "-c",
            "ulimit -f 1; exec \"$@\"",
            "sh",
            APTMERGE,
            "run",
            "--config",
        ])
        .arg(site.config_file())
        .output()
        .unwrap();
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{:?} {told}", output.status);
    let root = site.root().display().to_string();
    assert!(
        told.contains("File too large") && told.contains(&root),
        "{told}"
    );
    assert!(told.contains("hint: ") && told.contains("ulimit"), "{told}");
    // A command of somebody else's has the limit as it was set.
    let output = Command::new("sh")
        .args(["-c", "ulimit -f 1; exec \"$@\"", "sh", APTMERGE, "--config"])
        .arg(site.config_file())
        .args(["lock", "--", "dd", "if=/dev/zero", "bs=1M", "count=1"])
        .arg(format!("of={root}/zeros"))
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(128 + 25), "{output:?}");
    site.expect(0, &["run"]);
}

#[test]
fn a_clock_that_shows_no_time_is_an_error_and_no_panic() {
    let site = Site::of(TWO_SUITES);
    site.expect(0, &["run"]);
    for time in [
        "9999-12-30T21:59:59Z",
        "2106-02-07T06:28:16Z",
        "-009999-01-02T01:59:59Z",
    ] {
        let clock = format!("--clock={time}");
        for verb in [&["run"][..], &["status"], &["lock", "--", "true"]] {
            let told = site.expect(1, &[&[clock.as_str()][..], verb].concat());
            assert!(told.contains("clock of this machine is wrong"), "{told}");
            assert!(
                told.contains("hint: ") && !told.contains("panicked"),
                "{told}"
            );
        }
    }
    // A machine's clock may show more than any calendar has.
    if !has("cc") {
        return;
    }
    let source = "#define _GNU_SOURCE\n#include <time.h>\n#include <unistd.h>\n#include <sys/syscall.h>\n\
        int clock_gettime(clockid_t id, struct timespec *t) {\n\
        int r = syscall(SYS_clock_gettime, id, t);\n\
        if (id == CLOCK_REALTIME) t->tv_sec += 1000000000000L;\nreturn r;\n}\n";
    let (file, library) = (site.dir().join("clock.c"), site.dir().join("clock.so"));
    fs::write(&file, source).unwrap();
    let mut cc = Command::new("cc");
    cc.args(["-shared", "-fPIC", "-o"]).arg(&library).arg(&file);
    assert!(cc.status().unwrap().success());
    for verb in [
        &["run"][..],
        &["status"],
        &["lock", "--", "true"],
        &["verify"],
        &["config", "check"],
    ] {
        let output = site
            .command(verb)
            .env("LD_PRELOAD", &library)
            .output()
            .unwrap();
        let told = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(1), "{verb:?} {told}");
        assert!(told.contains("clock of this machine is wrong"), "{told}");
        assert!(!told.contains("panicked"), "{told}");
    }
}

#[test]
fn what_a_target_or_gpg_says_steers_no_terminal() {
    let mut site = Site::of(TWO_SUITES);
    let loud = site.script(
        "loud",
        "#!/bin/sh\nprintf 'first\\n\\033[2J\\033]0;x\\007hint: \\342\\200\\256evil\\r\\n' >&2\nexit 23\n",
    );
    let target = format!(
        "[[push]]\nname = \"loud\"\nrsync = \"{}/target\"\nprogram = \"{}\"\n",
        site.dir().display(),
        loud.display()
    );
    site.set_extra(&target);
    let is_plain = |text: &str| {
        let steers = |c: char| c.is_control() && c != '\n' || c == '\u{202e}';
        assert!(!text.contains(steers), "{text:?}");
        assert!(text.contains("first; \\u{1b}[2J"), "{text:?}");
    };
    is_plain(&site.expect(4, &["run"]));
    is_plain(&site.expect(4, &["status"]));
    // The target is gone from here on: what it may write is not bounded.
    site.set_extra("");
    let text = fs::read_to_string(site.config_file()).unwrap();
    let begin = text.rfind("key-file = ").unwrap();
    let end = begin + text[begin..].find('\n').unwrap();
    let gpg = format!(
        "gpg = {{ keys = [\"0123\"], program = \"{}\" }}",
        loud.display()
    );
    fs::write(
        site.config_file(),
        text[..begin].to_owned() + &gpg + &text[end..],
    )
    .unwrap();
    is_plain(&site.expect(1, &["run", "--rebuild"]));
    // One that never ends is stopped, and fills no memory.
    fs::write(&loud, "#!/bin/sh\nexec cat /dev/zero\n").unwrap();
    let told = site.expect(1, &["run", "--rebuild"]);
    assert!(told.contains("it wrote more than"), "{told}");
    fs::write(&loud, "#!/bin/sh\nexec cat /dev/zero >&2\n").unwrap();
    let told = site.expect(1, &["run", "--rebuild"]);
    assert!(told.contains("it wrote more than"), "{told}");
}
