//! `status` tells how the last attempt went, since when none ended well, and ends with an exit code that monitoring can use.

use std::fs;
use std::process::Command;

use serde_json::Value;

use crate::common::processes::{kill, pid_in, pid_of, wait_until};
use crate::common::programs::{Said, has, skipped};
use crate::common::site::{Site, TWO_SUITES};
use nix::sys::signal::Signal;

/// Asks for the status, which has to end with an exit code; gives the document.
#[track_caller]
fn status(site: &Site, code: i32) -> Value {
    let said = site.aptmerge(&["status", "--json"]);
    let status: Value = serde_json::from_str(&said.stdout).unwrap();
    assert_eq!(said.code, Some(code), "{status:#}");
    assert_eq!(status["exit-code"], code);
    assert_eq!(site.aptmerge(&["status"]).code, Some(code));
    status
}

/// Returns the last attempt of a verb.
fn attempt(status: &Value, verb: &str) -> Value {
    status["attempts"][verb].clone()
}

#[test]
fn a_failed_run_is_told_with_its_error_and_since_when() {
    let site = Site::published();
    let attempt_of_run = |code| attempt(&status(&site, code), "run");
    let good = attempt_of_run(0);
    assert_eq!(good["state"], "ended");
    assert_eq!(good["ended"]["exit-code"], 0);
    assert_eq!(good["failing-since"], Value::Null);
    let key = site.path("keys/publish-a.secret.asc");
    fs::rename(&key, site.path("kept")).unwrap();
    site.expect(1, &["run"]);
    let first = attempt_of_run(1);
    let error = &first["ended"]["error"];
    assert_eq!(error["kind"], "signing", "{first}");
    assert!(
        error["message"].as_str().unwrap().contains("publish-a"),
        "{first}"
    );
    assert_eq!(first["failing-since"], first["begun"]);
    assert_eq!(first["succeeded"], good["ended"]["time"]);
    site.expect(1, &["run"]);
    let second = attempt_of_run(1);
    assert_eq!(second["failures"], 2);
    assert_eq!(second["failing-since"], first["begun"]);
    assert_ne!(second["begun"], first["begun"]);
    let words = site.expect(1, &["status"]);
    let since = first["begun"].as_str().unwrap();
    for word in [
        "the last `run` ended",
        "exit 1",
        "publish-a",
        since,
        "(2 times)",
    ] {
        assert!(words.contains(word), "{word}: {words}");
    }
    // The served generation is told all the same.
    assert!(words.contains("serves production, generation 1"), "{words}");
    // A question is no attempt, nor is a run that finds the lock held, or no configuration that it can use.
    site.expect(1, &["run", "--dry-run"]);
    site.configure("pool = \"MAIN\"", "pool = \"..\"");
    site.expect(78, &["run"]);
    site.configure("pool = \"..\"", "pool = \"MAIN\"");
    assert_eq!(attempt_of_run(1), second);
    fs::rename(site.path("kept"), &key).unwrap();
    site.expect(0, &["run"]);
    let good = attempt_of_run(0);
    assert_eq!(
        [&good["failing-since"], &good["failures"]],
        [&Value::Null, &Value::from(0)]
    );
    assert!(!site.expect(0, &["status"]).contains("exit"));
}

#[test]
fn archives_that_cannot_be_had_are_told_by_the_exit_code() {
    let site = Site::published();
    fs::rename(site.path("archives"), site.path("away")).unwrap();
    site.expect(3, &["run"]);
    site.expect(3, &["run"]);
    let told = status(&site, 3);
    assert_eq!(attempt(&told, "run")["failures"], 2);
    assert_eq!(
        told["last-run"]["outcome"]["kept"]
            .as_array()
            .unwrap()
            .len(),
        2
    );
    fs::rename(site.path("away"), site.path("archives")).unwrap();
    site.expect(0, &["run"]);
    status(&site, 0);
    // The attempt is all that there is where nothing was ever fetched.
    let site = Site::new();
    fs::remove_dir_all(site.path("archives")).unwrap();
    site.expect(1, &["run"]);
    let told = attempt(&status(&site, 1), "run");
    assert_eq!(told["ended"]["error"]["kind"], "upstream", "{told}");
    assert_eq!(told["succeeded"], Value::Null);
}

#[test]
fn parts_of_a_run_are_told_of_until_a_run_ends_well() {
    let site = Site::published();
    fs::rename(site.path("archives/main"), site.path("away")).unwrap();
    site.expect(3, &["fetch"]);
    let told = status(&site, 3);
    assert_eq!(attempt(&told, "fetch")["ended"]["exit-code"], 3);
    assert_eq!(attempt(&told, "run")["ended"]["exit-code"], 0);
    fs::rename(site.path("away"), site.path("archives/main")).unwrap();
    site.expect(0, &["run"]);
    let told = status(&site, 0);
    assert_eq!(attempt(&told, "fetch"), Value::Null);
}

#[test]
fn a_run_that_was_killed_is_told_of() {
    if !has("rsync") {
        return;
    }
    let mut site = Site::of(TWO_SUITES);
    let path = site.dir().display().to_string();
    let text = format!(
        "#!/bin/sh\necho $$ > {path}/inside\nwhile test -d {path} && ! test -e {path}/go; do sleep 0.05; done\nexec rsync \"$@\"\n"
    );
    let program = site.script("slow", &text);
    site.set_extra(&format!(
        "[[push]]\nname = \"slow\"\nrsync = \"{path}/target\"\nprogram = \"{}\"\n",
        program.display()
    ));
    let mut run = site.command(&["run"]).spawn().unwrap();
    pid_in(&site.path("inside"));
    let told = status(&site, 0);
    assert_eq!(attempt(&told, "run")["state"], "under-way", "{told}");
    site.expect(75, &["run"]);
    kill(pid_of(&run), Signal::SIGKILL);
    run.wait().unwrap();
    let is_held = || site.json_of(&["status", "--json"])["lock-holder"].is_string();
    wait_until("the guardian is gone", || !is_held());
    let told = attempt(&status(&site, 1), "run");
    assert_eq!(told["state"], "killed", "{told}");
    assert!(site.expect(1, &["status"]).contains("was killed"));
    fs::remove_file(site.path("inside")).unwrap();
    // While the next one is at work, it still counts.
    let mut run = site.command(&["run"]).spawn().unwrap();
    pid_in(&site.path("inside"));
    let next = attempt(&status(&site, 1), "run");
    assert_eq!(next["state"], "under-way", "{next}");
    assert_eq!(next["failing-since"], told["begun"]);
    fs::write(site.path("go"), "").unwrap();
    assert!(run.wait().unwrap().success());
    status(&site, 0);
}

#[test]
fn a_record_that_cannot_be_read_stops_no_run() {
    let site = Site::published();
    let record = site.root().join("state/attempts.json");
    let text = fs::read_to_string(&record).unwrap();
    assert!(text.starts_with("{\n  \"format\": 1,\n"), "{text}");
    fs::write(&record, "{").unwrap();
    assert!(
        status(&site, 0)["unknown"][0]
            .as_str()
            .unwrap()
            .contains("attempts.json")
    );
    site.expect(0, &["run"]);
    assert_eq!(attempt(&status(&site, 0), "run")["ended"]["exit-code"], 0);
    // A site that no version with such records ran on.
    fs::remove_file(&record).unwrap();
    assert_eq!(status(&site, 0)["attempts"], serde_json::json!({}));
}

#[test]
fn a_full_disk_is_told_of() {
    let site = Site::new();
    let mount = "mount -t tmpfs -o size=4m,nr_inodes=4k none \"$0\" && ";
    let enter = |script: &str| {
        let mut command = Command::new("unshare");
        fs::create_dir_all(site.root()).unwrap();
        let script = format!("{mount}{script}");
        command
            .args(["--map-root-user", "--mount", "sh", "-c", &script])
            .arg(site.root());
        command
    };
    if !has("unshare") || !enter("true").output().unwrap().status.success() {
        skipped("unshare that may mount");
        return;
    }
    let config = site.config_file();
    let call = format!(
        "a() {{ {} --config {} \"$@\"; }}; ",
        crate::common::programs::APTMERGE,
        config.display()
    );
    let script = "a run --clock 2026-03-01T01:00:00Z || exit 10; \
        cat /dev/zero > \"$0/spool/zeros\" 2>/dev/null; \
        a run --rebuild --clock 2026-03-01T02:00:00Z; test $? = 1 || exit 11; \
        a status --json --clock 2026-03-01T03:00:00Z";
    let said = Said::of(&enter(&format!("{call}{script}")).output().unwrap());
    said.expect(1, &["No space left on device"]);
    let told: Value = serde_json::from_str(&said.stdout).unwrap();
    let attempt = attempt(&told, "run");
    assert_eq!(attempt["ended"]["exit-code"], 1, "{told:#}");
    let error = attempt["ended"]["error"].to_string();
    assert!(error.contains("No space left on device"), "{error}");
}
