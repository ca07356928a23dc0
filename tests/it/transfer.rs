//! Shows that a transfer ends with its run, however that ends, and that one which hangs is given up.

use std::fs;
use std::io::Write;
use std::net::TcpListener;
use std::process::{Child, Command, Stdio};

use crate::common::processes::{children, is_alive, kill, pid_in, pid_of, wait_until};
use crate::common::programs::has;
use crate::common::site::Site;
use crate::common::targets::{check_target, site_with_program, target};
use nix::sys::signal::Signal;

/// A site whose push never ends, and has a child of its own; the process of its run, its transfer, and that child.
fn endless_push() -> (Site, Child, i32, i32) {
    let site = site_with_program(
        "sleep 1000 & echo $! > DIR/child.tmp; mv DIR/child.tmp DIR/child\n\
         trap '' TERM INT HUP PIPE\n\
         echo $$ > DIR/transfer.tmp; mv DIR/transfer.tmp DIR/transfer\n\
         while :; do sleep 0.05; done",
    );
    let run = site.command(&["run"]).spawn().unwrap();
    let transfer = pid_in(&site.dir().join("transfer"));
    let child = pid_in(&site.dir().join("child"));
    assert!(is_alive(transfer) && is_alive(child));
    (site, run, transfer, child)
}

#[test]
fn a_killed_run_leaves_no_transfer_to_whoever_comes_next() {
    for stopped in [false, true] {
        let (site, mut run, transfer, child) = endless_push();
        let told = site.expect(75, &["run"]);
        assert!(told.contains(&format!("pid {} ", run.id())), "{told}");
        if stopped {
            kill(transfer, Signal::SIGSTOP);
        }
        run.kill().unwrap();
        run.wait().unwrap();
        // Whoever has the lock next finds both gone, not even waiting to be reaped.
        let look = format!("! kill -0 {transfer} && ! kill -0 {child}");
        site.expect(0, &["lock", "--lock-wait", "60", "--", "sh", "-c", &look]);
        site.expect(0, &["verify"]);
    }
}

#[test]
fn a_transfer_dies_with_run_and_guardian() {
    let (site, mut run, transfer, _) = endless_push();
    let guardians = children(pid_of(&run));
    let [guardian] = guardians[..] else {
        panic!("{guardians:?}");
    };
    run.kill().unwrap();
    kill(guardian, Signal::SIGKILL);
    run.wait().unwrap();
    wait_until("the transfer is killed", || !is_alive(transfer));
    site.expect(0, &["lock", "--lock-wait", "60", "--", "true"]);
    if let Some(child) = fs::read_to_string(site.dir().join("child"))
        .ok()
        .and_then(|text| text.trim().parse().ok())
        .filter(|pid| is_alive(*pid))
    {
        kill(child, Signal::SIGKILL); // nobody was left to do that
    }
}

#[test]
fn a_transfer_dies_with_its_guardian_and_the_run_says_so() {
    let (site, mut run, transfer, child) = endless_push();
    let guardians = children(pid_of(&run));
    kill(guardians[0], Signal::SIGKILL);
    assert_eq!(run.wait().unwrap().code(), Some(4));
    wait_until("the transfer is killed", || !is_alive(transfer));
    site.expect(0, &["verify"]);
    if is_alive(child) {
        kill(child, Signal::SIGKILL);
    }
}

#[test]
fn a_target_that_hangs_is_given_up_and_the_next_one_tried() {
    if !has("rsync") {
        return;
    }
    // It has a child, and neither ends.
    let mut site = site_with_program("sleep 1000 & echo $! > DIR/child; wait");
    let path = site.dir().display().to_string();
    let other = site.dir().join("other");
    let hangs = format!("program = \"{path}/program\"\ntimeout = \"1 s\"");
    let to_other = target("other", other.to_str().unwrap(), "");
    site.set_extra(&(target("far", "/nowhere", &hangs) + &to_other));
    let told = site.expect(4, &["run"]);
    assert!(
        told.contains("`far`") && told.contains("longer than 1 second") && told.contains("hint: "),
        "{told}"
    );
    assert!(!is_alive(pid_in(&site.dir().join("child"))));
    check_target(&site, &other);
    // A daemon that accepts and says nothing.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = silent.local_addr().unwrap().port();
    let to_other = to_other.replace("/other", "/third");
    for address in ["rsync://127.0.0.1:PORT/m", "127.0.0.1::m"] {
        let address = address.replace("PORT", &port.to_string());
        let options = format!("io-timeout = \"1 s\"\noptions = [\"--port={port}\"]");
        site.set_extra(&(target("far", &address, &options) + &to_other));
        let told = site.expect(4, &["run"]);
        assert!(
            told.contains("`far`") && told.contains("io-timeout"),
            "{told}"
        );
        check_target(&site, &site.dir().join("third"));
    }
    // A shell that hangs before rsync knows the other side.
    let shell = site.script("shell", "#!/bin/sh\nexec sleep 1000\n");
    for (address, option) in [
        ("mirror.example:m", "--rsh="),
        ("mirror.example::m", "--rsh="),
        ("mirror.example::m", "-e"),
    ] {
        let options = format!(
            "io-timeout = \"1 s\"\noptions = [\"{option}{}\"]",
            shell.display()
        );
        site.set_extra(&target("far", address, &options));
        let told = site.expect(4, &["run"]);
        assert!(
            told.contains("`far`") && told.contains("io-timeout"),
            "{told}"
        );
    }
}

/// Runs aptmerge at a terminal of its own. The terminal's signals end it, even where whoever runs the tests ignores them.
fn at_terminal(site: &Site, arguments: &[&str]) -> Child {
    let command = site.command(arguments);
    let call = format!("exec env --default-signal=INT,QUIT,HUP {command:?}").replace('"', "'");
    Command::new("script")
        .args(["--quiet", "--return", "--command", &call, "/dev/null"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap()
}

#[test]
fn ctrl_c_and_a_hangup_end_the_transfer_before_the_lock_is_free() {
    if !has("script") {
        return;
    }
    for hangup in [false, true] {
        let site = site_with_program(
            "sleep 1000 & echo $! > DIR/child.tmp; mv DIR/child.tmp DIR/child\n\
             trap '' TERM INT HUP\n\
             while :; do sleep 0.05; done",
        );
        let mut terminal = at_terminal(&site, &["run"]);
        let child = pid_in(&site.dir().join("child"));
        if hangup {
            terminal.kill().unwrap();
        } else {
            terminal.stdin.as_mut().unwrap().write_all(b"\x03").unwrap();
        }
        // Whoever has the lock next finds it gone.
        let look = format!("! kill -0 {child}");
        site.expect(0, &["lock", "--lock-wait", "60", "--", "sh", "-c", &look]);
        drop(terminal.stdin.take());
        terminal.wait().unwrap();
        site.expect(0, &["verify"]);
    }
}

#[test]
fn a_run_that_ends_by_a_signal_to_its_guardian_too_leaves_no_transfer() {
    // As a service manager does, which tells every process.
    let (site, mut run, transfer, child) = endless_push();
    let guardians = children(pid_of(&run));
    kill(guardians[0], Signal::SIGTERM);
    kill(pid_of(&run), Signal::SIGTERM);
    run.wait().unwrap();
    let look = format!("! kill -0 {transfer} && ! kill -0 {child}");
    site.expect(0, &["lock", "--lock-wait", "60", "--", "sh", "-c", &look]);
}

#[test]
fn a_transfer_that_would_ask_a_person_fails_at_once() {
    if !has("script") {
        return;
    }
    let site = site_with_program(
        "exec 3<>/dev/tty || exit 9; echo 'yes or no?' >&3; read answer <&3; echo $answer > DIR/answer",
    );
    let terminal = at_terminal(&site, &["run"]);
    let output = terminal.wait_with_output().unwrap();
    let told = String::from_utf8_lossy(&output.stdout).into_owned();
    assert_eq!(output.status.code(), Some(4), "{told}");
    assert!(told.contains("/dev/tty"), "{told}");
    assert!(!site.dir().join("answer").exists());
}

#[test]
fn a_daemon_left_behind_by_a_transfer_holds_nothing() {
    if !has("rsync") || !has("setsid") {
        return;
    }
    // As an ssh master does: a session of its own, with the transfer's output still open.
    let site = site_with_program(
        "if ! test -e DIR/daemon; then\n\
           setsid sh -c 'echo $$ > DIR/daemon.tmp; mv DIR/daemon.tmp DIR/daemon; exec sleep 1000' &\n\
           while ! test -e DIR/daemon; do sleep 0.02; done\n\
         fi\n\
         exec rsync \"$@\"",
    );
    site.expect(0, &["run"]);
    check_target(&site, &site.dir().join("target"));
    let daemon = pid_in(&site.dir().join("daemon"));
    assert!(is_alive(daemon), "the daemon is nobody's business");
    site.expect(0, &["run"]);
    site.expect(0, &["push", "--force"]);
    assert!(is_alive(daemon));
    kill(daemon, Signal::SIGKILL);
}
