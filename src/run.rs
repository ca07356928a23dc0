//! The run, steps 0 to 9: from the archives to the targets, under one lock.
//!
//! The caller takes the lock (step 0), since it may hold the lock already; all functions here work on the
//! [`Workspace`] that was opened through the lock.

mod outcome;

use std::path::PathBuf;

use jiff::Timestamp;

use crate::config::Config;
use crate::error::{Error, Result};
use crate::events::{Listener, Task};
use crate::fetch::{self, FetchOptions, Spool};
use crate::openpgp::Signer;
use crate::progress::Meter;
use crate::publish::{self, Allowances, Plan, Served};
use crate::push::{self, PushOptions};
use crate::report;
use crate::workspace::Workspace;

pub use outcome::{KeptCopy, Outcome, RefusedSuite, RunRecord, UnclaimedFiles};

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
}

/// Runs the whole cycle.
pub fn run(
    workspace: &mut Workspace<'_>,
    config: &Config,
    options: &RunOptions<'_>,
) -> Result<Outcome> {
    let listener = options.listener;
    let mut outcome = Outcome::default();
    listener.step("recover");
    outcome.recovered = publish::recover(workspace, listener)?;
    listener.step("fetch");
    let published = fetch_spool(workspace, config, options)
        .and_then(|spool| publish_spool(workspace, config, &spool, options, &mut outcome));
    if let Err(error) = published {
        push_pending(workspace, config, options);
        return Err(error);
    }
    listener.step("push");
    let failures = push::push_all(workspace, config, &push_options(options), listener);
    outcome.failed_pushes = failures.iter().map(|e| crate::error::chain(e)).collect();
    listener.step("record");
    record(workspace, &outcome, options).map_err(|error| match outcome.has_published() {
        true => unfinished(error),
        false => error,
    })?;
    Ok(outcome)
}

/// Pushes, after a failure, the generation that was published before it: targets need not wait until somebody mends the failure.
fn push_pending(workspace: &Workspace<'_>, config: &Config, options: &RunOptions<'_>) {
    let listener = options.listener;
    // Between the swaps production may be half synced.
    let is_whole = matches!(publish::served(workspace.layout()), Ok(Served::Production));
    if !is_whole || listener.is_cancelled() {
        return;
    }
    listener.step("push");
    for error in push::push_all(workspace, config, &push_options(options), listener) {
        listener.warn(crate::error::chain(&error));
    }
}

fn push_options(options: &RunOptions<'_>) -> PushOptions {
    PushOptions::new(options.guardian.clone())
}

/// Runs step 2 by itself.
pub fn fetch_spool(
    workspace: &Workspace<'_>,
    config: &Config,
    options: &RunOptions<'_>,
) -> Result<Spool> {
    let now = (options.clock)();
    let fetch = FetchOptions {
        now,
        allow_identity_change: options.allow.identity,
    };
    let spool = fetch::refresh(workspace, config, fetch, options.listener)?;
    report::write_unclaimed(workspace, &spool)?;
    Ok(spool)
}

/// Runs steps 3 to 7: merge, check, swap, sync, swap back. Nothing before the swap touches the tree that is served.
pub fn publish_spool(
    workspace: &mut Workspace<'_>,
    config: &Config,
    spool: &Spool,
    options: &RunOptions<'_>,
    outcome: &mut Outcome,
) -> Result<()> {
    let listener = options.listener;
    let kept = spool.kept();
    outcome.kept = kept
        .map(|((archive, suite), why)| KeptCopy {
            archive: archive.to_string(),
            suite: suite.to_string(),
            why: crate::error::chain(why),
        })
        .collect();
    let unclaimed = spool.iter().filter(|(_, s)| !s.copy.unclaimed.is_empty());
    outcome.unclaimed = unclaimed
        .map(|((archive, suite), s)| UnclaimedFiles {
            archive: archive.to_string(),
            suite: suite.to_string(),
            files: s.copy.unclaimed.len(),
        })
        .collect();
    outcome.generation = workspace.published().number;
    let now = later_than_published(workspace, options)?;
    // A run that died after its last swap did not write the reports.
    report::write(workspace, config, now)?;
    let plan = Plan::new(config, spool, workspace, now, options.allow.rebuild)?;
    plan.tell_bounds(listener);
    if plan.is_empty() {
        listener.info("nothing changed, nothing to publish");
        return Ok(());
    }
    outcome.links_changed = plan.links_changed;
    outcome.removed = plan.removed.iter().map(|s| (*s).to_owned()).collect();
    listener.step("merge");
    let signer = signer(config)?;
    let staged = plan.stage(workspace, &signer, options.allow, listener)?;
    listener.step("check");
    let checking = Meter::begin(listener, Task::Check);
    let checked = staged.check(
        workspace,
        &signer,
        options.allow,
        (options.clock)().max(now),
        listener,
    )?;
    drop(checking);
    if listener.is_cancelled() {
        return Err(Error::Cancelled);
    }
    listener.step("swap");
    let swapped = checked.swap(workspace).map_err(|error| {
        // The link may have been renamed before the failure: then only forcing the rename to the disk was left.
        match publish::served(workspace.layout()) {
            Ok(Served::Volatile) => unfinished(error),
            _ => error,
        }
    })?;
    listener.step("sync");
    let syncing = Meter::begin(listener, Task::Sync);
    let done = swapped.finish(workspace).map_err(unfinished)?;
    drop(syncing);
    listener.info(format!("published generation {}", done.number));
    outcome.generation = done.number;
    outcome.changed = done.changed.iter().map(ToString::to_string).collect();
    let refused = done.refused.iter();
    let refused = refused.map(|refused| RefusedSuite {
        suite: refused.suite.to_string(),
        why: refused.in_words(),
    });
    outcome.refused = refused.collect();
    let suites = &workspace.published().suites;
    let difference = |name: &String| Some((name.clone(), suites.get(name)?.difference.clone()));
    outcome.difference = outcome.changed.iter().filter_map(difference).collect();
    report::write(workspace, config, now).map_err(unfinished)
}

/// Wraps an error that came up once the new generation was served.
fn unfinished(source: Error) -> Error {
    Error::Unfinished {
        source: Box::new(source),
    }
}

/// Returns the present time in whole seconds, since Dates have no fractions. Waits for the next second if the latest Date published is
/// of this very second.
fn later_than_published(workspace: &Workspace<'_>, options: &RunOptions<'_>) -> Result<Timestamp> {
    let latest = workspace.published().suites.values().map(|s| s.date).max();
    let mut now = (options.clock)();
    if latest == Some(now.as_second()) {
        std::thread::sleep(std::time::Duration::from_millis(1010));
        now = (options.clock)();
    }
    Timestamp::from_second(now.as_second())
        .map_err(|e| Error::Usage(format!("the clock is out of range: {e}")))
}

/// Returns the keys that the configuration names.
pub fn signer(config: &Config) -> Result<Signer> {
    Ok(match &config.signing.gpg {
        Some(gpg) => Signer::gpg(gpg.program.clone(), gpg.homedir.clone(), gpg.keys.clone()),
        None => Signer::key_files(&config.signing.key_file)?,
    })
}

/// The number of runs that published something and stay on record.
const RECORDED_RUNS: u64 = 100;

fn record(workspace: &Workspace<'_>, outcome: &Outcome, options: &RunOptions<'_>) -> Result<()> {
    let record = RunRecord {
        ended: (options.clock)().to_string(),
        outcome: outcome.clone(),
    };
    workspace.write_state("last-run.json", &record)?;
    if outcome.has_published() {
        let slot = outcome.generation % RECORDED_RUNS;
        workspace.write_state(&format!("run-{slot:02}.json"), &record)?;
    }
    Ok(())
}
