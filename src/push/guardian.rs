//! The guardian of a push: a process of its own, which holds the lock for as long as the transfer lives.
//!
//! Its standard input and output are descriptors of the two locks; the transfer's output goes to its standard error. It
//! starts the transfer in a process group of its own and watches four things: has the transfer ended, is the run that
//! wants it still there, does it still want it (`signals::GIVE_UP`), and is its time over? If not, the guardian kills the whole group,
//! and stays, and the locks with it, until no process of the group is left.
//!
//! Guardian and transfer are a session without a terminal. So Ctrl-C and a hangup end the run alone, and the guardian sees to the
//! rest; and a transfer that would ask a person something fails with its own message, instead of being stopped in the background.
//! Nor does ssh open a window to ask in: it is told so, and does not hear of a display.
//!
//! The transfer has the environment of the run, since rsync and ssh get a password, an agent, a proxy or a remote shell from it.
//! Variables that would change what a push writes are left out: those that say where parts of files lie, and how names are spelled.
//!
//! The transfer itself is started through a second step, which asks the kernel to kill it when the guardian dies, and then
//! becomes the transfer.

use std::ffi::{OsStr, OsString};
use std::io;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::Path;
use std::process::{Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::sys::prctl;
use nix::sys::signal::{Signal, killpg};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use nix::sys::wait::{WaitPidFlag, waitpid};
use nix::unistd::{Pid, getppid, setsid};

use crate::signals;

/// The hidden verb that makes a process a guardian.
pub const COMMAND: &str = "guard-push";

/// The hidden verb that makes a process the transfer.
pub const TRANSFER_COMMAND: &str = "become-transfer";

const LOOK_EVERY: Duration = Duration::from_millis(20);

/// The environment variables that the transfer does not get.
const KEPT_BACK: [&str; 5] = [
    "SSH_ASKPASS",
    "DISPLAY",
    "WAYLAND_DISPLAY",
    "RSYNC_PARTIAL_DIR",
    "RSYNC_ICONV",
];

/// The exit code of a guardian that killed a transfer whose time was over; timeout(1) has the same.
pub(crate) const OUT_OF_TIME: u8 = 124;

/// Guards a command; returns the exit code that it had, or 128 and the signal that killed it, or `OUT_OF_TIME`.
///
/// `itself` is the program to start the second step with; `parent` is the process that wants the transfer, and `within` the time
/// that it has.
pub fn guard(
    itself: &Path,
    parent: Pid,
    within: Duration,
    program: &OsStr,
    arguments: &[OsString],
) -> io::Result<u8> {
    let deadline = Instant::now().checked_add(within);
    // If somebody ends the run and all its processes by a signal, the rest is left to us.
    signals::block(signals::ENDING)?;
    let told = signals::block([signals::GIVE_UP])?;
    let told = SignalFd::with_flags(&told, SfdFlags::SFD_NONBLOCK | SfdFlags::SFD_CLOEXEC)?;
    setsid()?;
    // Orphans of the transfer become our children, so that we can see the last of them go.
    prctl::set_child_subreaper(true)?;
    let mut transfer = Command::new(itself);
    for name in KEPT_BACK {
        transfer.env_remove(name);
    }
    let mut transfer = transfer
        .env("SSH_ASKPASS_REQUIRE", "never")
        .arg(TRANSFER_COMMAND)
        .arg(std::process::id().to_string())
        .arg("--")
        .arg(program)
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(io::stderr())
        .process_group(0)
        .spawn()?;
    let group = Pid::from_raw(i32::try_from(transfer.id()).map_err(io::Error::other)?);
    loop {
        if let Some(status) = transfer.try_wait()? {
            return Ok(exit_code(status));
        }
        let given_up = if getppid() != parent || told.read_signal()?.is_some() {
            Some(1)
        } else if deadline.is_some_and(|deadline| Instant::now() >= deadline) {
            Some(OUT_OF_TIME)
        } else {
            None
        };
        if let Some(code) = given_up {
            let _ = killpg(group, Signal::SIGKILL);
            transfer.wait()?;
            while killpg(group, Signal::SIGKILL) != Err(Errno::ESRCH) {
                let _ = waitpid(None, Some(WaitPidFlag::WNOHANG));
                std::thread::sleep(LOOK_EVERY);
            }
            return Ok(code);
        }
        std::thread::sleep(LOOK_EVERY);
    }
}

/// Becomes the transfer, which dies with the guardian. Returns only if that fails.
pub fn become_transfer(guardian: Pid, program: &OsStr, arguments: &[OsString]) -> io::Error {
    die_with(guardian, Command::new(program).args(arguments))
}

/// Becomes a command that the kernel kills when `parent` dies. Returns only if that fails.
pub(crate) fn die_with(parent: Pid, command: &mut Command) -> io::Error {
    if let Err(error) = prctl::set_pdeathsig(Signal::SIGKILL) {
        return error.into();
    }
    // The parent may have died before the kernel was asked.
    if getppid() != parent {
        return io::Error::other("the process that asked for it is gone");
    }
    if let Err(error) = signals::unblock() {
        return error;
    }
    command.exec()
}

/// Returns the exit code that a shell would give to a process that ended so.
pub fn exit_code(status: ExitStatus) -> u8 {
    match (status.code(), status.signal()) {
        (Some(code), _) => u8::try_from(code).unwrap_or(1),
        (None, Some(signal)) => u8::try_from(128 + signal).unwrap_or(255),
        (None, None) => 1,
    }
}
