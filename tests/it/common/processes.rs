//! Processes that a test starts, or that its program does.

use std::fs;
use std::io::Read;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use super::programs::{has, skipped};

/// The time that anything may take before a test gives up on it.
const LONG: Duration = Duration::from_secs(60);

/// Returns whether this machine lets a process be traced.
pub(crate) fn can_trace() -> bool {
    if !has("strace") {
        return false;
    }
    let traced = Command::new("strace")
        .args(["-f", "-qq", "-o", "/dev/null", "--", "true"])
        .stderr(Stdio::null())
        .status();
    let can = traced.is_ok_and(|status| status.success());
    if !can {
        skipped("strace that may trace");
    }
    can
}

/// Waits until something holds.
#[track_caller]
pub(crate) fn wait_until(what: &str, mut holds: impl FnMut() -> bool) {
    let start = Instant::now();
    while !holds() {
        assert!(start.elapsed() < LONG, "waited in vain until {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// Returns whether a process is there and is no zombie.
pub(crate) fn is_alive(pid: i32) -> bool {
    fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| {
        let state = stat
            .rsplit(") ")
            .next()
            .and_then(|rest| rest.chars().next());
        !matches!(state, Some('Z' | 'X'))
    })
}

/// Reads a process id out of a file that a script writes; waits for it.
#[track_caller]
pub(crate) fn pid_in(path: &Path) -> i32 {
    let mut pid = None;
    wait_until(&format!("{} holds a pid", path.display()), || {
        pid = fs::read_to_string(path)
            .ok()
            .filter(|text| text.ends_with('\n'))
            .and_then(|text| text.trim().parse().ok());
        pid.is_some()
    });
    pid.unwrap()
}

/// Sends a signal.
pub(crate) fn kill(pid: i32, signal: nix::sys::signal::Signal) {
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), signal).unwrap();
}

/// Returns the pid of a child, as the system calls want it.
pub(crate) fn pid_of(child: &Child) -> i32 {
    i32::try_from(child.id()).unwrap()
}

/// Returns the child processes of a process.
pub(crate) fn children(pid: i32) -> Vec<i32> {
    let mut text = String::new();
    let _ = fs::File::open(format!("/proc/{pid}/task/{pid}/children"))
        .and_then(|mut file| file.read_to_string(&mut text));
    text.split_whitespace()
        .filter_map(|pid| pid.parse().ok())
        .collect()
}
