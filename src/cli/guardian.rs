//! The two hidden verbs behind a push; see `aptmerge::push::guardian`.

use std::ffi::OsString;
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use aptmerge::error::{Error, Result};
use aptmerge::push::guardian;
use clap::Args;
use nix::unistd::Pid;

use super::context::Context;
use super::error::CliError;

#[derive(Debug, Args)]
pub(super) struct GuardArgs {
    /// The process that asks for it
    parent: i32,
    /// How long the command may take, in milliseconds
    #[arg(long, default_value_t = u64::MAX)]
    within: u64,
    /// The command
    #[arg(last = true, required = true)]
    command: Vec<OsString>,
}

fn failed(command: &[OsString]) -> impl FnOnce(std::io::Error) -> Error {
    let program = command.first().map_or(Path::new(""), Path::new);
    Error::io("run", program)
}

pub(super) fn guard(args: &GuardArgs) -> Result<ExitCode> {
    let (program, arguments) = (&args.command[0], &args.command[1..]);
    let code = guardian::guard(
        &Context::itself(),
        Pid::from_raw(args.parent),
        Duration::from_millis(args.within),
        program,
        arguments,
    )
    .map_err(failed(&args.command))?;
    Ok(ExitCode::from(code))
}

pub(super) fn become_transfer(args: &GuardArgs) -> Result<ExitCode> {
    let (program, arguments) = (&args.command[0], &args.command[1..]);
    let error = guardian::become_transfer(Pid::from_raw(args.parent), program, arguments);
    Err(CliError::NotStarted {
        program: program.to_string_lossy().into_owned(),
        source: error,
    }
    .into())
}
