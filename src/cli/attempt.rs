//! An attempt: a verb at work under the lock. How it ends is put on record.

use std::process::ExitCode;

use aptmerge::config::Config;
use aptmerge::error::Result;
use aptmerge::run::{Attempts, Ended, Told, Unfinished};
use aptmerge::workspace::Workspace;

use super::context::{Context, LockOptions};
use super::failure::Failure;

/// Does the work of a verb under the lock, and records how it goes. The work gives the exit code.
pub(super) fn attempt(
    context: &Context,
    config: &Config,
    lock: &LockOptions,
    verb: &str,
    work: impl FnOnce(&mut Workspace<'_>) -> Result<u8>,
) -> Result<ExitCode> {
    let lock = context.lock(config, lock)?;
    let mut workspace = Workspace::open(&lock, &config.root)?;
    Attempts::begin(&workspace, verb, context.now())?;
    context.hold_back(|| Told::before(&workspace, verb))?;
    let done = work(&mut workspace);
    let failure = done.as_ref().err().map(Failure::of);
    let exit_code = match (&done, &failure) {
        (Ok(code), _) => *code,
        (Err(_), failure) => failure.as_ref().map_or(0, |failure| failure.exit_code),
    };
    let told = context.tell_held_back(exit_code);
    let ended = Ended {
        time: context.now(),
        exit_code,
        error: failure.map(Failure::recorded),
    };
    let told = told.map_or(Ok(()), |told| told.remember(&workspace));
    let noted = told.and(Attempts::end(&workspace, verb, ended));
    let code = done?;
    noted.map_err(|source| match context.is_published() {
        true => Unfinished { source }.into(),
        false => source,
    })?;
    Ok(ExitCode::from(code))
}
