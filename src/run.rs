//! The run: from the archives to the targets, under one lock.
//!
//! The steps are: recover, fetch, merge, check, swap, sync, push, record. The caller takes the lock, since it may hold the lock already;
//! all functions here work on the [`Workspace`] that was opened through the lock.

mod attempt;
pub mod history;
mod idle;
mod keys;
mod outcome;
mod setup;
mod told;

use std::path::PathBuf;

use jiff::Timestamp;

use crate::cancel::Cancel;
use crate::error::{DomainError, Error, ErrorKind, Result};
use crate::events::{Listener, Task};
use crate::fetch::{self, FetchOptions, Spool};
use crate::openpgp::Signer;
use crate::publish::{self, Allowances, Mended, OwnFiles, Plan, Served, StageOptions};
use crate::push::{self, PushOptions};
use crate::report;
use crate::verdicts::Verdicts;
use crate::workspace::Workspace;

pub use attempt::{Attempt, Attempts, Ended, Failure};
pub use keys::{Horizon, KeyNotice, KeyState, keys_of_archives, own_keys};
pub use outcome::{
    Fetched, FetchedSuite, KeptCopy, Outcome, RefusedSuite, RunRecord, UnclaimedFiles,
};
pub use setup::Setup;
pub use told::Told;

/// The options of a run that are not in the configuration.
pub struct RunOptions<'a> {
    /// Returns the present time; called again whenever the time matters.
    pub clock: &'a dyn Fn() -> Timestamp,
    /// The things that the operator allows for this one run.
    pub allow: Allowances,
    /// The program to start the guardian of a push with: aptmerge itself.
    pub guardian: PathBuf,
    /// The listener that is told what happens.
    pub listener: &'a dyn Listener,
    /// The token that is asked whether to go on.
    pub cancel: &'a Cancel,
}

/// Runs the whole cycle.
pub fn run(
    workspace: &mut Workspace<'_>,
    setup: &Setup,
    options: &RunOptions<'_>,
) -> Result<Outcome> {
    let listener = options.listener;
    listener.step("recover");
    let recovered = publish::recover(workspace, listener)?;
    listener.step("fetch");
    let published = fetch_spool(workspace, setup, options)
        .and_then(|spool| publish_spool(workspace, setup, &spool, options));
    if published.is_err() {
        push_pending(workspace, setup, options);
    }
    let published = published?;
    listener.step("push");
    let push = PushOptions {
        mended: !published.repaired.is_empty(),
        ..push_options(options)
    };
    let failures = push::push_all(workspace, &setup.targets, &push, listener);
    // A run that is told to stop while it pushes did not do what it was asked for, though all else is done.
    let stopped = options.cancel.check();
    listener.step("record");
    let outcome = Outcome {
        recovered,
        failed_pushes: failures.iter().map(|e| crate::error::chain(e)).collect(),
        ..published
    };
    let recorded = record(workspace, &outcome, options);
    recorded
        .and(stopped.map_err(Error::from))
        .map_err(|error| match outcome.has_published() {
            true => unfinished(error),
            false => error,
        })?;
    Ok(outcome)
}

/// Pushes, after a failure, the generation that was published before it: targets need not wait until somebody mends the failure.
fn push_pending(workspace: &Workspace<'_>, setup: &Setup, options: &RunOptions<'_>) {
    let listener = options.listener;
    // Between the swaps production may be half synced.
    let is_whole = matches!(publish::served(workspace.layout()), Ok(Served::Production));
    if !is_whole || options.cancel.is_cancelled() {
        return;
    }
    listener.step("push");
    // The failures are told of, and the run has an error already.
    push::push_all(workspace, &setup.targets, &push_options(options), listener);
}

fn push_options(options: &RunOptions<'_>) -> PushOptions {
    PushOptions::new(options.guardian.clone(), options.cancel)
}

/// Runs the fetch by itself.
pub fn fetch_spool(
    workspace: &Workspace<'_>,
    setup: &Setup,
    options: &RunOptions<'_>,
) -> Result<Spool> {
    let seal = setup.signing.seal()?;
    let verdicts = Verdicts::read(workspace, "verified-copies.json", seal)?;
    let fetch = FetchOptions {
        now: (options.clock)(),
        verdicts: &verdicts,
        allow_identity_change: options.allow.identity,
        cancel: options.cancel,
    };
    let spool = fetch::refresh(
        workspace,
        &setup.sources,
        &setup.suites,
        fetch,
        options.listener,
    )?;
    verdicts.write(workspace)?;
    report::write_unclaimed(workspace, &spool)?;
    Ok(spool)
}

/// Says what a run would publish of the spool: the plan, and the outcome that the run would have. Fails where the run would.
pub fn foretell<'a>(
    workspace: &'a Workspace<'_>,
    setup: &'a Setup,
    spool: &'a Spool,
    options: &RunOptions<'_>,
) -> Result<(Plan<'a>, Outcome)> {
    let signer = setup.signing.signer()?;
    let found = publish::inspect(workspace, (options.clock)())?;
    let plan = plan(setup, spool, &signer, &found, options)?;
    plan.tell_bounds(options.listener);
    let keys = keys::tell(spool, &plan.keys, &setup.suites, plan.now, options.listener);
    let served = workspace.published();
    let outcome = match plan.is_empty() {
        true => Outcome::waiting(spool, &plan.waiting(options.listener)?, served),
        false => {
            let foreseen = plan.compare(workspace, staging(&signer, options))?;
            Outcome::foreseen(spool, foreseen, served)
        }
    };
    let outcome = Outcome {
        keys,
        repaired: found.repaired,
        ..outcome
    };
    Ok((plan, outcome))
}

/// Merges the spool into volatile and checks it, and publishes nothing.
pub fn merge_spool(
    workspace: &Workspace<'_>,
    setup: &Setup,
    spool: &Spool,
    options: &RunOptions<'_>,
) -> Result<Outcome> {
    let now = (options.clock)();
    let signer = setup.signing.signer()?;
    let found = publish::inspect(workspace, now)?;
    let plan = setup.plan(spool, &signer, &found, now, options.allow.rebuild)?;
    plan.tell_bounds(options.listener);
    let keys = keys::tell(spool, &plan.keys, &setup.suites, now, options.listener);
    OwnFiles::of(&plan).place(workspace)?;
    let staging = staging(&signer, options);
    let checked = plan
        .stage(workspace, staging)?
        .check(workspace, staging, now)?;
    let outcome = Outcome::merged(spool, &checked, workspace.published());
    Ok(Outcome { keys, ..outcome })
}

fn staging<'a>(signer: &'a Signer, options: &'a RunOptions<'_>) -> StageOptions<'a> {
    StageOptions {
        signer,
        allow: options.allow,
        listener: options.listener,
        cancel: options.cancel,
    }
}

/// Runs the steps from the merge to the sync, which ends with the swap back. Nothing before the swap touches the tree that is served.
pub fn publish_spool(
    workspace: &mut Workspace<'_>,
    setup: &Setup,
    spool: &Spool,
    options: &RunOptions<'_>,
) -> Result<Outcome> {
    let listener = options.listener;
    options.cancel.check()?;
    // A run that died after its last swap did not write the reports.
    report::write(workspace, &setup.watches, (options.clock)())?;
    let signer = setup.signing.signer()?;
    let mended = publish::mend(workspace, (options.clock)(), listener)?;
    let plan = plan(setup, spool, &signer, &mended, options)?;
    let now = plan.now;
    plan.record_verdicts(workspace)?;
    plan.tell_bounds(listener);
    let keys = keys::tell(spool, &plan.keys, &setup.suites, now, listener);
    let repaired = mended.repaired;
    let own = OwnFiles::of(&plan);
    own.place(workspace)?;
    if plan.is_empty() {
        let waiting = plan.waiting(listener)?;
        if waiting.is_empty() {
            own.shrink(workspace, now)?;
        }
        idle::tell(setup, workspace.published(), listener);
        listener.info("nothing changed, nothing to publish");
        return Ok(Outcome {
            keys,
            repaired,
            ..Outcome::waiting(spool, &waiting, workspace.published())
        });
    }
    listener.step("merge");
    let staging = staging(&signer, options);
    let staged = plan.stage(workspace, staging)?;
    listener.step("check");
    let checked = staged.check(workspace, staging, (options.clock)().max(now))?;
    listener.step("swap");
    // The last time that the token is asked before the swap back: what is served from here on has to be brought to production.
    options.cancel.check()?;
    let outcome = Outcome::merged(spool, &checked, workspace.published());
    // Before the swap: what is served has a record even if the run is killed there. A generation that is never served leaves a record
    // with a number that the next one has again.
    history::write(workspace, &RunRecord::new(&outcome, now))?;
    let swapped = checked.swap(workspace).map_err(|error| {
        // The link may have been renamed before the failure: then only forcing the rename to the disk was left.
        match publish::served(workspace.layout()) {
            Ok(Served::Volatile) => unfinished(error),
            _ => error,
        }
    })?;
    listener.step("sync");
    let syncing = listener.progress(Task::Sync);
    let published = swapped.finish(workspace).map_err(unfinished)?;
    drop(syncing);
    listener.info(format!("published generation {}", published.number));
    if outcome.refused.is_empty() {
        own.shrink(workspace, now).map_err(unfinished)?;
    }
    idle::tell(setup, workspace.published(), listener);
    report::write(workspace, &setup.watches, now).map_err(unfinished)?;
    Ok(Outcome {
        keys,
        repaired,
        ..outcome
    })
}

/// The new generation is served, but a later step failed.
#[derive(Debug, thiserror::Error)]
#[error("the new generation is served, but the run could not be finished")]
pub struct Unfinished {
    /// Why.
    pub source: Error,
}

impl DomainError for Unfinished {
    fn kind(&self) -> ErrorKind {
        ErrorKind::Unfinished
    }

    fn is_of_the_machine(&self) -> bool {
        true
    }
}

/// Wraps an error that came up once the new generation was served.
fn unfinished(source: Error) -> Error {
    Unfinished { source }.into()
}

/// Plans a generation. Waits for the next second if a suite that is to be made anew has a Date of this very second; other suites may
/// have one.
fn plan<'a>(
    setup: &'a Setup,
    spool: &'a Spool,
    signer: &Signer,
    mended: &Mended<'a>,
    options: &RunOptions<'_>,
) -> Result<Plan<'a>> {
    let plan = |now| setup.plan(spool, signer, mended, now, options.allow.rebuild);
    let planned = plan(whole_seconds((options.clock)()))?;
    if !planned.is_within_a_second() {
        return Ok(planned);
    }
    std::thread::sleep(std::time::Duration::from_millis(1010));
    plan(whole_seconds((options.clock)()))
}

/// Returns the second that a time lies in: Dates have no fractions.
fn whole_seconds(time: Timestamp) -> Timestamp {
    Timestamp::from_second(time.as_second()).unwrap_or(time)
}

fn record(workspace: &Workspace<'_>, outcome: &Outcome, options: &RunOptions<'_>) -> Result<()> {
    let record = RunRecord::new(outcome, (options.clock)());
    workspace.write_state("last-run.json", &record)?;
    if outcome.has_published() {
        history::write(workspace, &record)?;
    }
    Ok(())
}
