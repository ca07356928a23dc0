//! `lock -- COMMAND`: runs a command under the lock.

use std::ffi::OsString;
use std::process::{Command, ExitCode};

use aptmerge::error::{Error, Result};
use aptmerge::push::guardian::{TRANSFER_COMMAND, exit_code};
use clap::Args;
use nix::sys::stat::{Mode, umask};

use super::context::{Context, LockOptions};

#[derive(Debug, Args)]
pub(super) struct LockArgs {
    #[command(flatten)]
    lock: LockOptions,
    /// The command and its arguments; it is killed if aptmerge is
    #[arg(last = true, required = true, value_name = "COMMAND")]
    command: Vec<OsString>,
}

/// `callers_umask` is what the command gets: what it makes is its own matter.
pub(super) fn lock(context: &Context, args: &LockArgs, callers_umask: Mode) -> Result<ExitCode> {
    let config = context.config()?;
    let _lock = context.lock(&config, &args.lock)?;
    umask(callers_umask);
    // The command has no descriptor of the lock, so a daemon that it leaves behind does not hold it; and the kernel kills it
    // with us, so that it does not go on without the lock.
    let status = Command::new(Context::itself())
        .arg(TRANSFER_COMMAND)
        .arg(std::process::id().to_string())
        .arg("--")
        .args(&args.command)
        .status()
        .map_err(Error::io("start", &args.command[0]))?;
    Ok(ExitCode::from(exit_code(status)))
}
