//! `lock -- COMMAND`: runs a command under the lock.

use std::ffi::OsString;
use std::process::{Command, ExitCode};

use aptmerge::error::{Error, Result};
use aptmerge::push::guardian::{TRANSFER_COMMAND, exit_code};
use aptmerge::signals;
use clap::Args;
use nix::sys::signal::{Signal, kill};
use nix::sys::stat::{Mode, umask};
use nix::unistd::Pid;

use super::context::{Context, LockOptions};

#[derive(Debug, Args)]
pub(super) struct LockArgs {
    #[command(flatten)]
    lock: LockOptions,
    /// The command and its arguments; it is killed if aptmerge is, but what it started goes on
    #[arg(last = true, required = true, value_name = "COMMAND")]
    command: Vec<OsString>,
}

/// Runs a command under the lock. The command gets `callers_umask`: the modes of the files that it makes are its own matter.
pub(super) fn lock(context: &Context, args: &LockArgs, callers_umask: Mode) -> Result<ExitCode> {
    let config = context.config()?;
    let _lock = context.lock(&config, &args.lock)?;
    umask(callers_umask);
    // The command has no descriptor of the lock, so a daemon that it leaves behind does not hold it; and the kernel kills it
    // with us, so that it does not go on without the lock.
    // The command gets signals as if we were not there: those of a terminal reach it by themselves, and we pass on the others.
    let held = signals::block(signals::ENDING).map_err(Error::io("start", &args.command[0]))?;
    let mut command = Command::new(Context::itself())
        .args(context.json.then_some("--json"))
        .arg(TRANSFER_COMMAND)
        .arg(std::process::id().to_string())
        .arg("--")
        .args(&args.command)
        .spawn()
        .map_err(Error::io("start", &args.command[0]))?;
    let pid = i32::try_from(command.id()).map(Pid::from_raw);
    let passing_on = std::thread::Builder::new().spawn(move || {
        while let (Ok(signal), Ok(pid)) = (held.wait(), pid) {
            if matches!(signal, Signal::SIGTERM | Signal::SIGHUP) {
                let _ = kill(pid, signal); // it may have ended
            }
        }
    });
    if passing_on.is_err() {
        let _ = signals::unblock(); // then they end us, and the kernel the command
    }
    let status = command
        .wait()
        .map_err(Error::io("wait for", &args.command[0]))?;
    Ok(ExitCode::from(exit_code(status)))
}
