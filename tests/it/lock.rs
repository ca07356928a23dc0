//! Shows that there is one holder of the lock at any time, whatever happens to it, and that the others are told who it is.

use std::fs;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Output, Stdio};
use std::thread;

use crate::common::processes::{children, is_alive, kill, pid_in, pid_of, wait_until};
use crate::common::programs::has;
use crate::common::site::{Site, TWO_SUITES, contents, files};
use nix::sys::signal::Signal;

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// Holds the lock until it is killed, or until `go` appears in the site's directory; gives the process once it holds it.
fn hold(site: &Site) -> Child {
    let path = site.dir().display();
    let command = format!(
        "echo $$ > {path}/inside.tmp; mv {path}/inside.tmp {path}/inside; \
         while ! test -e {path}/go; do sleep 0.02; done"
    );
    let holder = site
        .command(&["lock", "--", "sh", "-c", &command])
        .spawn()
        .unwrap();
    pid_in(&site.dir().join("inside"));
    holder
}

fn let_go(site: &Site, mut holder: Child) {
    fs::write(site.dir().join("go"), "").unwrap();
    assert!(holder.wait().unwrap().success());
}

/// Has the site push with a program that writes its pid to `inside` and goes on until `go` appears in the site's directory, or
/// that is gone.
fn push_until_go(site: &mut Site) {
    let path = site.dir().display().to_string();
    let program = site.script(
        "slow",
        &format!(
            "#!/bin/sh\necho $$ > {path}/inside\nwhile test -d {path} && ! test -e {path}/go; do sleep 0.05; done\n\
             exec rsync \"$@\"\n"
        ),
    );
    site.set_extra(&format!(
        "[[push]]\nname = \"slow\"\nrsync = \"{path}/target\"\nprogram = \"{}\"\n",
        program.display()
    ));
}

#[test]
fn of_fifty_runs_at_once_one_publishes_and_the_others_name_it() {
    if !has("rsync") {
        return;
    }
    let mut site = Site::of(TWO_SUITES);
    // The push of the one that gets in takes until all others have left.
    push_until_go(&mut site);
    let mut runs: Vec<Child> = (0..50)
        .map(|_| {
            site.command(&["run"])
                .stderr(Stdio::piped())
                .spawn()
                .unwrap()
        })
        .collect();
    wait_until("49 of 50 have left", || {
        runs.iter_mut()
            .filter_map(|run| run.try_wait().unwrap())
            .count()
            == 49
    });
    let running = |run: &mut Child| run.try_wait().unwrap().is_none();
    let at = runs.iter_mut().position(running).unwrap();
    let winner = runs.remove(at);
    let named = format!("pid {} ", winner.id());
    for run in runs {
        let output = run.wait_with_output().unwrap();
        assert_eq!(output.status.code(), Some(75), "{}", stderr(&output));
        // One that came between the lock and the words of its holder cannot know them.
        let told = stderr(&output);
        assert!(
            told.contains(&named) || told.contains("did not write its name"),
            "{told}"
        );
    }
    let late = site.expect(75, &["run"]);
    assert!(late.contains(&named), "{late}");
    assert!(late.contains("run"), "{late}");
    fs::write(site.dir().join("go"), "").unwrap();
    let output = winner.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    site.expect(0, &["verify"]);
    let state = fs::read_to_string(site.root().join("state/published.json")).unwrap();
    let state: serde_json::Value = serde_json::from_str(&state).unwrap();
    assert_eq!(state["number"], 1);
}

#[test]
fn two_that_contend_are_never_both_inside() {
    // `scripts/lock-rounds` does this for longer.
    let site = Site::of(TWO_SUITES);
    let inside = site.dir().join("marker");
    let section = format!("mkdir {0} || exit 99; rmdir {0}", inside.display());
    let mut refused = 0;
    for round in 0..250 {
        let wait = if round % 2 == 0 { "0" } else { "60" };
        let arguments = ["lock", "--lock-wait", wait, "--", "sh", "-c", &section];
        let start = || {
            site.command(&arguments)
                .stderr(Stdio::null())
                .spawn()
                .unwrap()
        };
        let mut codes: Vec<_> = [start(), start()]
            .iter_mut()
            .map(|child| child.wait().unwrap().code().unwrap())
            .collect();
        codes.sort_unstable();
        match (wait, codes.as_slice()) {
            (_, [0, 0]) => {}
            ("0", [0, 75]) => refused += 1,
            _ => panic!("round {round}: {codes:?}"),
        }
    }
    assert!(refused > 0, "they never met");
}

#[test]
fn waiting_waits_and_gives_up() {
    let site = Site::of(TWO_SUITES);
    let holder = hold(&site);
    let told = site.expect(75, &["lock", "--lock-wait", "1", "--", "true"]);
    assert!(told.contains(&format!("pid {} ", holder.id())), "{told}");
    let mut waiting = site.command(&["run", "--lock-wait", "60"]).spawn().unwrap();
    // Long enough for one that does not wait to be gone; one that waits is there however long this takes.
    std::thread::sleep(std::time::Duration::from_millis(700));
    assert_eq!(waiting.try_wait().unwrap(), None);
    assert_eq!(site.link(), None, "it read or wrote before it had the lock");
    let_go(&site, holder);
    assert_eq!(waiting.wait().unwrap().code(), Some(0));
    site.expect(0, &["verify"]);
}

#[test]
fn a_caller_that_holds_the_lock_is_believed_in_both_spellings() {
    let site = Site::of(TWO_SUITES);
    let program = crate::common::programs::APTMERGE;
    let config = site.config_file();
    let config = config.to_str().unwrap();
    for spelling in ["--no-lock-i-am-sure", "--no-lock-I-am-sure"] {
        let inner = [program, "--config", config, "run", spelling];
        let output = site.command(&["lock", "--"]).args(inner).output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
        assert_eq!(stderr(&output), "");
        if has("flock") {
            let output = Command::new("flock")
                .arg("--nonblock")
                .arg(site.lock_file())
                .args(inner)
                .output()
                .unwrap();
            assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
            assert_eq!(stderr(&output), "");
            // Without the option it finds the lock held, by somebody who does not write names.
            let output = Command::new("flock")
                .arg(site.lock_file())
                .args(&inner[..4])
                .output()
                .unwrap();
            assert_eq!(output.status.code(), Some(75), "{}", stderr(&output));
        }
        let alone = site.expect(0, &["run", spelling]);
        assert!(
            alone.contains("warning") && alone.contains("NOBODY HOLDS"),
            "{alone}"
        );
    }
    // Waiting for a lock that is not to be taken makes no sense.
    site.expect(2, &["run", "--no-lock-i-am-sure", "--lock-wait", "1"]);
    site.expect(0, &["verify"]);
}

#[test]
fn what_a_killed_holder_wrote_means_nothing() {
    let site = Site::of(TWO_SUITES);
    let mut holder = hold(&site);
    let named = format!("pid {} ", holder.id());
    assert!(site.expect(0, &["status"]).contains(&named));
    holder.kill().unwrap();
    holder.wait().unwrap();
    let text = fs::read_to_string(site.lock_file()).unwrap();
    assert!(text.contains(&named), "{text}");
    assert!(!site.expect(0, &["status"]).contains(&named));
    site.expect(0, &["run"]);
    // Nor does the name of one that ended in peace stay, nor any other text.
    assert_eq!(fs::read_to_string(site.lock_file()).unwrap(), "");
    fs::write(site.lock_file(), "pid 1 on elsewhere: aptmerge run\n").unwrap();
    site.expect(0, &["run"]);
}

#[test]
fn a_lock_file_removed_under_its_holder_is_made_anew_and_decides_again() {
    let site = Site::of(TWO_SUITES);
    let first = hold(&site);
    fs::remove_file(site.lock_file()).unwrap();
    fs::remove_file(site.dir().join("inside")).unwrap();
    // The name is free again: whoever takes it now is the holder for all that come after.
    let second = hold(&site);
    let told = site.expect(75, &["run"]);
    assert!(told.contains(&format!("pid {} ", second.id())), "{told}");
    fs::write(site.dir().join("go"), "").unwrap();
    let_go(&site, first);
    let_go(&site, second);
    assert!(site.lock_file().exists(), "the holders left it in place");
    site.expect(0, &["run"]);
}

#[test]
fn a_run_whose_lock_file_was_removed_is_still_the_only_one_that_writes() {
    if !has("rsync") {
        return;
    }
    let mut site = Site::of(TWO_SUITES);
    push_until_go(&mut site);
    let mut first = site.command(&["run"]).spawn().unwrap();
    pid_in(&site.dir().join("inside"));
    let state = site.root().join("state");
    let recorded = || {
        let files = crate::common::site::files(&state).into_iter();
        let files = files.filter(|path| path.is_file());
        let mut files: Vec<_> = files.map(|path| (fs::read(&path).unwrap(), path)).collect();
        files.sort();
        files
    };
    for _ in 0..2 {
        let before = recorded();
        fs::remove_file(site.lock_file()).unwrap();
        for arguments in [
            &["run"][..],
            &["publish"],
            &["fetch"],
            &["push"],
            &["run", "--lock-wait", "1"],
            &["run", "--no-lock-i-am-sure"],
            &[
                "lock",
                "--",
                crate::common::programs::APTMERGE,
                "--config",
                site.config_file().to_str().unwrap(),
                "run",
                "--no-lock-i-am-sure",
            ],
        ] {
            let told = site.expect(75, arguments);
            assert!(told.contains("is in use by a run with pid "), "{told}");
            assert!(told.contains(&format!("pid {},", first.id())), "{told}");
            assert!(
                told.contains(&site.lock_file().display().to_string()),
                "{told}"
            );
            assert!(told.contains("hint"), "{told}");
        }
        assert_eq!(recorded(), before);
        // Killed in the same state: its push dies before anybody else gets in.
        let transfer = pid_in(&site.dir().join("inside"));
        first.kill().unwrap();
        first.wait().unwrap();
        wait_until("the push is dead", || !is_alive(transfer));
        fs::remove_file(site.dir().join("inside")).unwrap();
        first = site.command(&["run", "--lock-wait", "60"]).spawn().unwrap();
        pid_in(&site.dir().join("inside"));
    }
    // One that waits gets in when the other is done.
    fs::remove_file(site.lock_file()).unwrap();
    let mut waiting = site.command(&["run", "--lock-wait", "60"]).spawn().unwrap();
    std::thread::sleep(std::time::Duration::from_millis(300));
    assert_eq!(waiting.try_wait().unwrap(), None);
    fs::write(site.dir().join("go"), "").unwrap();
    assert!(first.wait().unwrap().success());
    assert!(waiting.wait().unwrap().success());
    site.expect(0, &["verify"]);
}

#[test]
fn a_stopped_holder_keeps_the_others_out() {
    let site = Site::of(TWO_SUITES);
    let holder = hold(&site);
    kill(pid_of(&holder), Signal::SIGSTOP);
    for _ in 0..3 {
        let told = site.expect(75, &["run"]);
        assert!(told.contains(&format!("pid {} ", holder.id())), "{told}");
    }
    kill(pid_of(&holder), Signal::SIGCONT);
    let_go(&site, holder);
    site.expect(0, &["run"]);
}

#[test]
fn a_command_under_the_lock_gives_its_exit_code() {
    let site = Site::of(TWO_SUITES);
    for code in [0, 1, 7, 75, 255] {
        site.expect(code, &["lock", "--", "sh", "-c", &format!("exit {code}")]);
    }
    site.expect(128 + 9, &["lock", "--", "sh", "-c", "kill -9 $$"]);
    let told = site.expect(127, &["lock", "--", "/there/is/no/such/program"]);
    assert!(told.contains("/there/is/no/such/program"), "{told}");
    // Its input and output are those of the command.
    let output = site.aptmerge(&["lock", "--", "sh", "-c", "echo out; echo err >&2"]);
    assert_eq!([output.stdout, output.stderr], ["out\n", "err\n"]);
    site.expect(2, &["lock"]);
}

#[test]
fn a_command_under_the_lock_is_left_to_end_by_itself() {
    // Ctrl-C reaches both of them, as members of one process group; so do signals to aptmerge alone.
    for (signal, to_group, ends_by) in [
        (Signal::SIGINT, true, Some("INT")),
        (Signal::SIGQUIT, true, Some("QUIT")),
        (Signal::SIGTERM, false, Some("TERM")),
        (Signal::SIGHUP, false, Some("HUP")),
        (Signal::SIGTERM, false, None),
    ] {
        let site = Site::of(TWO_SUITES);
        let path = site.dir().display();
        let trap = ends_by.map_or(String::new(), |name| {
            format!("trap 'sleep 0.3; echo {name} > {path}/ended; exit 7' {name}; ")
        });
        let command = format!(
            "{trap}echo $$ > {path}/inside.tmp; mv {path}/inside.tmp {path}/inside; \
             while test -d {path}; do sleep 0.05; done"
        );
        let mut holder = site
            // Whoever runs the tests in the background may have these signals ignored.
            .command(&[
                "lock",
                "--",
                "env",
                "--default-signal=INT,QUIT,HUP",
                "sh",
                "-c",
                &command,
            ])
            .process_group(0)
            .spawn()
            .unwrap();
        pid_in(&site.dir().join("inside"));
        match to_group {
            true => kill(-pid_of(&holder), signal),
            false => kill(pid_of(&holder), signal),
        }
        let code = holder.wait().unwrap().code();
        let Some(name) = ends_by else {
            assert_eq!(code, Some(128 + 15));
            continue;
        };
        assert_eq!(code, Some(7), "{name}");
        let ended = fs::read_to_string(site.dir().join("ended")).unwrap();
        assert_eq!(ended.trim(), name);
        site.expect(0, &["lock", "--", "true"]);
    }
}

#[test]
fn a_command_under_the_lock_dies_with_it() {
    let site = Site::of(TWO_SUITES);
    let mut holder = hold(&site);
    let command = pid_in(&site.dir().join("inside"));
    assert!(children(pid_of(&holder)).contains(&command));
    holder.kill().unwrap();
    holder.wait().unwrap();
    wait_until("the command is killed", || !is_alive(command));
    site.expect(0, &["lock", "--", "true"]);
}

#[test]
fn a_daemon_left_behind_does_not_hold_the_lock() {
    if !has("setsid") {
        return;
    }
    let site = Site::of(TWO_SUITES);
    let daemon = site.dir().join("daemon");
    let command = format!(
        "setsid sh -c 'echo $$ > {0}.tmp; mv {0}.tmp {0}; exec sleep 300' </dev/null >/dev/null 2>&1 & \
         while ! test -e {0}; do sleep 0.02; done",
        daemon.display()
    );
    site.expect(0, &["lock", "--", "sh", "-c", &command]);
    let pid = pid_in(&daemon);
    assert!(is_alive(pid));
    site.expect(0, &["run"]);
    assert!(is_alive(pid), "the daemon is nobody's business");
    kill(pid, Signal::SIGKILL);
}

#[test]
fn looking_at_the_lock_keeps_nobody_out() {
    let site = Site::of(TWO_SUITES);
    site.expect(0, &["run"]);
    thread::scope(|scope| {
        let looker = scope.spawn(|| {
            for _ in 0..60 {
                site.expect(0, &["status"]);
            }
        });
        while !looker.is_finished() {
            site.expect(0, &["lock", "--", "true"]);
        }
    });
    if has("flock") {
        // Who shares the lock for good keeps a run out all the same.
        let output = Command::new("flock")
            .arg("--shared")
            .arg(site.lock_file())
            .args([crate::common::programs::APTMERGE, "run", "--config"])
            .arg(site.config_file())
            .output()
            .unwrap();
        assert_eq!(output.status.code(), Some(75), "{}", stderr(&output));
    }
}

#[test]
fn what_needs_no_lock_works_while_it_is_held() {
    let site = Site::of(TWO_SUITES);
    site.expect(0, &["run"]);
    let before = contents(&site.root().join("merged"));
    let holder = hold(&site);
    let status = site.expect(0, &["status"]);
    assert!(
        status.contains(&format!("pid {} ", holder.id())),
        "{status}"
    );
    site.expect(0, &["verify"]);
    site.expect(0, &["config", "check"]);
    for verb in ["run", "fetch", "merge", "publish"] {
        site.expect(75, &[verb]);
    }
    assert_eq!(contents(&site.root().join("merged")), before);
    let_go(&site, holder);
}

#[test]
fn crons_an_operator_and_wrappers_that_are_killed_never_write_at_once() {
    // Runs that are killed at odd moments, while others wait, leave or come through flock(1).
    let site = Site::of(TWO_SUITES);
    site.expect(0, &["run"]);
    let start = |arguments: &[&str]| {
        let mut command = site.command(arguments);
        command.stderr(Stdio::piped()).spawn().unwrap()
    };
    for round in 0..8_u64 {
        let mut victim = start(&["run", "--rebuild", "--lock-wait", "30"]);
        let others = [
            start(&["run", "--rebuild"]),
            start(&["merge", "--rebuild", "--lock-wait", "30"]),
            start(&["lock", "--lock-wait", "30", "--", "true"]),
        ];
        thread::sleep(std::time::Duration::from_millis(40 * round));
        let _ = victim.kill();
        victim.wait().unwrap();
        for other in others {
            let output = other.wait_with_output().unwrap();
            let (code, told) = (output.status.code(), stderr(&output));
            assert!(matches!(code, Some(0 | 75)), "{round}: {code:?} {told}");
            assert!(code == Some(0) || told.contains("held by"), "{told}");
        }
        site.expect(0, &["verify"]);
    }
    site.expect(0, &["run", "--rebuild"]);
    site.expect(0, &["verify"]);
    let mut left = files(&site.root()).into_iter();
    let is_litter = |path: &std::path::PathBuf| path.to_string_lossy().contains(".aptmerge-tmp-");
    assert_eq!(left.find(is_litter), None);
}
