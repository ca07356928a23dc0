//! `--json` holds for every verb: stdout has one document or nothing, and each line on stderr is an object.

use std::fs::{self, File, FileTimes, OpenOptions};
#[cfg(feature = "serve")]
use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::time::{Duration, SystemTime};

use serde_json::{Value, json};

use crate::common::programs::{Said, has};
use crate::common::site::{Site, TWO_SUITES};

/// Calls a verb with `--json`; gives the exit code, the document on stdout and the objects on stderr.
#[track_caller]
fn ask(site: &Site, arguments: &[&str]) -> (i32, Option<Value>, Vec<Value>) {
    let said = site.aptmerge(&[&["--json"], arguments].concat());
    let answer = match said.stdout.as_str() {
        "" => None,
        text => Some(
            serde_json::from_str(text).unwrap_or_else(|e| panic!("{arguments:?}: {e}: {text}")),
        ),
    };
    let lines = said.stderr.lines();
    let told =
        lines.map(|line| serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: {line}")));
    (said.code.unwrap(), answer, told.collect())
}

/// Asserts that a verb fails, with one error as the last line on stderr and nothing on stdout; gives the error.
#[track_caller]
fn error_of(site: &Site, code: i32, kind: &str, arguments: &[&str]) -> Value {
    let (found, answer, mut told) = ask(site, arguments);
    let error = told.pop().unwrap();
    assert_eq!((found, answer), (code, None), "{arguments:?}: {error}");
    assert_eq!(error["type"], "error", "{error}");
    assert_eq!(error["kind"], kind, "{error}");
    assert_eq!(error["exit-code"], code, "{error}");
    for key in ["causes", "hints"] {
        assert!(error[key].is_array(), "{error}");
    }
    assert!(error["message"].is_string(), "{error}");
    error
}

#[test]
fn every_verb_answers_with_one_document() {
    let site = Site::published();
    for (arguments, key) in [
        (&["run"][..], "/generation"),
        (&["run", "--dry-run"], "/generation"),
        (&["fetch"], "/archives/0/date"),
        (&["merge"], "/changed"),
        (&["publish"], "/changed"),
        (&["status"], "/generation"),
        (&["explain", "overlay-only"], "/suites/0/suite"),
        (&["verify"], "/problems"),
        (&["config", "check"], "/is-usable"),
        (&["config", "show"], "/archives/main/pool"),
        (&["config", "redirects"], "/rules"),
    ] {
        let (code, answer, told) = ask(&site, arguments);
        let answer = answer.unwrap();
        assert_eq!((code, told), (0, Vec::new()), "{arguments:?}");
        assert!(answer.pointer(key).is_some(), "{arguments:?}: {answer}");
    }
    let site = Site::of(TWO_SUITES);
    let said = site.aptmerge(&["--json", "lock", "--", "echo", "as it is"]);
    assert_eq!(said.expect(0, &[]).stdout, "as it is\n");
}

#[test]
fn a_push_answers_with_its_targets() {
    if !has("rsync") {
        return;
    }
    let target = "[[push]]\nname = \"near\"\nrsync = \"target\"\n";
    let mut site = Site::new().with(target).publish();
    let (code, answer, told) = ask(&site, &["push"]);
    assert_eq!((code, told), (0, Vec::new()));
    let expected = json!({"generation": 1, "targets": ["near"], "failed-pushes": []});
    assert_eq!(answer.unwrap(), expected);
    site.set_extra(&format!("{target}program = \"/bin/false\"\n"));
    let (code, answer, told) = ask(&site, &["push", "--force"]);
    assert_eq!(code, 1);
    let why = &answer.unwrap()["failed-pushes"][0];
    assert!(why.as_str().unwrap().contains("near"), "{why}");
    assert_eq!(told[0]["type"], "warning");
}

#[cfg(feature = "serve")]
#[test]
fn a_server_says_where_it_listens() {
    let site = Site::published();
    let mut serving = site
        .command(&["--json", "serve", "--listen", "127.0.0.1:0"])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(serving.stdout.take().unwrap()).lines();
    let mut text = String::new();
    for line in lines {
        text.push_str(&line.unwrap());
        if text.ends_with('}') {
            break;
        }
    }
    let _ = serving.kill();
    serving.wait().unwrap();
    let answer: Value = serde_json::from_str(&text).unwrap();
    let url = answer["url"].as_str().unwrap();
    assert!(url.starts_with("http://127.0.0.1:"), "{url}");
}

#[test]
fn steps_and_warnings_are_objects_of_a_line() {
    let site = Site::published();
    let (_, _, told) = ask(&site, &["run", "-v"]);
    assert_eq!(told[0], json!({"type": "step", "message": "recover"}));
    fs::remove_dir_all(site.path("archives/main")).unwrap();
    let (code, answer, told) = ask(&site, &["run"]);
    assert_eq!(code, 3);
    assert_eq!(answer.unwrap()["kept"][0]["archive"], "main");
    let warning = &told[0];
    assert_eq!(warning["type"], "warning");
    assert!(
        warning["message"].as_str().unwrap().contains("main"),
        "{warning}"
    );
}

#[test]
fn errors_are_objects_with_kind_causes_hints_and_exit_code() {
    let site = Site::published();
    let error = error_of(&site, 1, "not-found", &["explain", "overlay-onyl"]);
    assert_eq!(error["hints"], json!(["did you mean `overlay-only`?"]));
    error_of(&site, 2, "usage", &["explain", "x", "--suite", "none"]);
    error_of(&site, 2, "usage", &["push"]);
    // clap's own.
    let error = error_of(&site, 2, "usage", &["statsu"]);
    assert!(
        error["message"].as_str().unwrap().contains("statsu"),
        "{error}"
    );
    assert!(
        error["hints"][0].as_str().unwrap().contains("status"),
        "{error}"
    );
    for arguments in [
        &["run", "--no-such"][..],
        &[],
        &["explain"],
        &["run", "--clock", "never"],
    ] {
        error_of(&site, 2, "usage", arguments);
    }
    // A command's own `--json` is none of ours.
    let said = site.aptmerge(&["lcok", "--", "true", "--json"]);
    assert!(said.expect(2, &["lcok"]).stderr.starts_with("error: "));
    let error = error_of(&site, 127, "not-found", &["lock", "--", "no-such-program"]);
    assert!(
        error["causes"][0]
            .as_str()
            .unwrap()
            .contains("No such file"),
        "{error}"
    );
    fs::remove_file(site.path("keys/publish-a.secret.asc")).unwrap();
    error_of(&site, 1, "signing", &["run", "--rebuild"]);
    site.restore();
    site.configure("pool = \"MAIN\"", "pool = \"..\"");
    let error = error_of(&site, 78, "config", &["run"]);
    assert_eq!(error["problems"][0]["key"], "archives.main.pool", "{error}");
    assert!(
        error["problems"][0]["line"].as_u64().unwrap() > 1,
        "{error}"
    );
    // Here the faults are the answer.
    let (code, answer, told) = ask(&site, &["config", "check"]);
    let answer = answer.unwrap();
    assert_eq!((code, told), (78, Vec::new()));
    assert_eq!(answer["is-usable"], false);
    assert_eq!(answer["problems"], error["problems"]);
    fs::remove_file(site.config_file()).unwrap();
    error_of(&site, 78, "config", &["config", "check"]);
}

#[test]
fn what_is_served_is_not_undone_by_an_answer_that_nobody_gets() {
    let site = Site::new();
    let full = || OpenOptions::new().write(true).open("/dev/full").unwrap();
    let run = || {
        let output = site.command(&["run", "--json"]).stdout(full()).output();
        Said::of(&output.unwrap())
    };
    let said = run();
    assert!(site.merged("dists/daedalus/InRelease").is_file());
    said.expect(4, &["cannot write to stdout"]);
    let error: Value = serde_json::from_str(&said.stderr).unwrap();
    assert_eq!(error["kind"], "machine");
    // Nothing new is served.
    run().expect(1, &["cannot write to stdout"]);
}

#[test]
fn a_lock_that_is_held_says_nothing_to_who_wants_quiet_unless_the_holder_hangs() {
    let site = Site::of(TWO_SUITES);
    let inside = |arguments: &[&str]| {
        let mut outer = site.command(&["lock", "--"]);
        let inner = site.command(arguments);
        let output = outer
            .arg(inner.get_program())
            .args(inner.get_args())
            .output();
        Said::of(&output.unwrap())
    };
    inside(&["run"]).expect(75, &["the lock", "is held by pid", "hint: ", "-q"]);
    let quiet = inside(&["run", "-q"]);
    assert_eq!((quiet.code, quiet.stderr.as_str()), (Some(75), ""));
    // A holder of more than a day is something that somebody must look at.
    let lock = site.lock_file();
    let script = format!(
        "touch -d '2 days ago' {0}; exec \"$0\" run -q --config {1}",
        lock.display(),
        site.config_file().display()
    );
    let program = crate::common::programs::APTMERGE;
    let output = site
        .command(&["lock", "--", "sh", "-c", &script, program])
        .output();
    Said::of(&output.unwrap()).expect(75, &["is held by pid"]);
    // So is one that does not say who it is.
    if has("flock") {
        let mut flock = Command::new("flock");
        flock
            .arg(&lock)
            .arg(program)
            .args(["run", "-q", "--config"]);
        let output = flock.arg(site.config_file()).output();
        Said::of(&output.unwrap()).expect(75, &["did not write its name"]);
    }
    let old = FileTimes::new().set_modified(SystemTime::now() - Duration::from_secs(1));
    File::options()
        .write(true)
        .open(&lock)
        .unwrap()
        .set_times(old)
        .unwrap();
    site.expect(0, &["run", "-q"]);
}

#[test]
fn a_command_that_cannot_be_started_has_the_code_that_shells_give() {
    let site = Site::of(TWO_SUITES);
    let plain = site.path("plain");
    fs::write(&plain, "#!/bin/sh\n").unwrap();
    for (program, code) in [
        ("no-such-program", 127),
        ("/there/is/no/such/program", 127),
        (plain.to_str().unwrap(), 126),
        ("/etc", 126),
    ] {
        let said = site.aptmerge(&["lock", "--", program]);
        said.expect(code, &["cannot run", program, "caused by: "]);
        let script = ["-c", "exec \"$0\"", program];
        let shell = Command::new("sh")
            .args(script)
            .stderr(Stdio::null())
            .status();
        assert_eq!(shell.unwrap().code(), Some(code));
    }
}

#[test]
fn a_read_only_file_system_is_called_so() {
    let site = Site::published();
    site.news();
    let script = "mount -t tmpfs none \"$1\" && mount -o remount,ro \"$1\" && shift && exec \"$@\"";
    let enter = |place: &str| {
        let mut command = Command::new("unshare");
        let place = site.path(place);
        fs::create_dir_all(&place).unwrap();
        command
            .args(["--map-root-user", "--mount", "sh", "-c", script, "sh"])
            .arg(place);
        command
    };
    if !has("unshare")
        || !enter("probe")
            .arg("true")
            .output()
            .unwrap()
            .status
            .success()
    {
        crate::common::programs::skipped("unshare that may mount");
        return;
    }
    for place in ["site/spool", "elsewhere"] {
        site.configure("root = ", "lock = \"elsewhere/lock\"\nroot = ");
        if place == "site/spool" {
            site.restore_config();
        }
        let inner = site.command(&["run"]);
        let output = enter(place)
            .arg(inner.get_program())
            .args(inner.get_args())
            .output();
        let said = Said::of(&output.unwrap());
        said.expect(
            1,
            &[
                "Read-only file system",
                "hint: ",
                "mounted for reading only",
            ],
        );
        assert!(!said.stderr.contains("user"), "{}", said.stderr);
    }
}
