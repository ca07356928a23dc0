//! `status`: what is served, from what, since when.

mod attempts;

use std::collections::BTreeMap;
use std::fmt::Write;
use std::process::ExitCode;

use aptmerge::config::Problem;
use aptmerge::deb822::is_ahead;
use aptmerge::error::{Result, chain};
use aptmerge::publish::{Served, served};
use aptmerge::push::{PushRecord, record_name};
use aptmerge::run::{KeptCopy, KeyNotice, RefusedSuite, RunRecord, UnclaimedFiles};
use aptmerge::workspace::{SuiteRecord, View};
use clap::Args;
use jiff::Timestamp;
use serde::Serialize;

use super::context::Context;
use super::exit;
use super::failure;
use super::hint::openpgp;
use super::keys;
use super::reach;
use attempts::AttemptStatus;

/// Say what is served, from what, since when, and how the last attempts went
///
/// Ends with the exit code of the last attempt, so that monitoring can call it.
#[derive(Debug, Args)]
pub(super) struct StatusArgs {}

#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct Status {
    link: String,
    generation: u64,
    lock_holder: Option<String>,
    suites: BTreeMap<String, SuiteStatus>,
    /// `null` if the record of it cannot be read.
    pushes: BTreeMap<String, Option<PushRecord>>,
    last_run: Option<RunRecord>,
    /// The last attempt of each verb that takes the lock.
    attempts: BTreeMap<String, AttemptStatus>,
    /// The exit code of this command: the worst of the attempts'.
    exit_code: u8,
    /// Keys that have lapsed or soon will.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    keys: Vec<KeyNotice>,
    /// The obstacles that keep clients from packages.
    warnings: Vec<Problem>,
    /// Records that cannot be read, and why: what they would tell is not known.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    unknown: Vec<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct SuiteStatus {
    generation: u64,
    date: String,
    /// `true` if clients refuse the suite because of its Date.
    date_ahead: bool,
    valid_until: Option<String>,
    packages: BTreeMap<String, u64>,
    /// The number of packages that hide a newer version.
    behind: usize,
    archives: Vec<InputStatus>,
    retained_by_hash: usize,
}

/// An archive's suite that a merged suite was made from.
#[derive(Serialize)]
struct InputStatus {
    archive: String,
    suite: String,
    date: String,
}

fn time(seconds: i64) -> String {
    Timestamp::from_second(seconds)
        .map(|t| t.to_string())
        .unwrap_or_default()
}

impl SuiteStatus {
    fn new(record: &SuiteRecord, now: Timestamp) -> Self {
        Self {
            generation: record.generation,
            date: time(record.date),
            date_ahead: Timestamp::from_second(record.date).is_ok_and(|date| is_ahead(date, now)),
            valid_until: record.valid_until.map(time),
            packages: record.report.packages.clone(),
            behind: record.report.older.len(),
            archives: record
                .archives
                .iter()
                .map(|input| InputStatus {
                    archive: input.archive.clone(),
                    suite: input.suite.clone(),
                    date: time(input.date),
                })
                .collect(),
            retained_by_hash: record.retained.len(),
        }
    }
}

/// Returns what was read, or adds a line about what could not be read: the rest can be told all the same.
fn known<T>(read: Result<T>, unknown: &mut Vec<String>) -> Option<T> {
    read.map_err(|error| unknown.push(chain(&error))).ok()
}

pub(super) fn status(context: &Context, _args: &StatusArgs) -> Result<ExitCode> {
    let config = context.config()?;
    let view = View::open(&config.root)?;
    let mut unknown = Vec::new();
    let mut pushes = BTreeMap::new();
    for target in &config.push {
        let record = known(view.read_state(&record_name(target)), &mut unknown);
        pushes.insert(
            target.name.to_string(),
            record.map(Option::unwrap_or_default),
        );
    }
    let last_run = known(view.read_state("last-run.json"), &mut unknown).flatten();
    let attempts = known(attempts::attempts(&view, &config), &mut unknown).unwrap_or_default();
    let keys = [
        keys::own(&config, context.now()),
        keys::of_archives(&config, context.now()),
    ];
    let keys = keys.into_iter().flat_map(|k| known(k, &mut unknown));
    let keys = keys.flatten().collect();
    let suites = view.published().suites.iter();
    let status = Status {
        link: match served(view.layout())? {
            Served::Nothing => "nothing yet".into(),
            Served::Production => "production".into(),
            Served::Volatile => "volatile: a run is between its swaps, or died there".into(),
        },
        generation: view.published().number,
        lock_holder: aptmerge::lock::holder(&config.lock),
        suites: suites
            .map(|(name, record)| (name.clone(), SuiteStatus::new(record, context.now())))
            .collect(),
        pushes,
        last_run,
        exit_code: worst(attempts.values().map(AttemptStatus::exit_code)),
        attempts,
        keys,
        warnings: reach::warnings(&config),
        unknown,
    };
    if context.json {
        context.print_json(&status);
    } else {
        context.print(&in_words(
            &status,
            &config.root.join("merged").display().to_string(),
        ));
    }
    Ok(ExitCode::from(status.exit_code))
}

/// Returns the code that says most of some: that something failed, then that something is unfinished, then that something was kept.
fn worst(codes: impl Iterator<Item = u8>) -> u8 {
    let rank = |code: &u8| match *code {
        0 => 0,
        exit::KEPT => 1,
        exit::UNFINISHED => 2,
        _ => 3,
    };
    codes.max_by_key(rank).unwrap_or(0)
}

fn in_words(status: &Status, link: &str) -> String {
    let mut text = String::new();
    let mut line = |words: String| {
        let _ = writeln!(text, "{words}"); // a String takes everything
    };
    line(format!(
        "{link} serves {}, generation {}",
        status.link, status.generation
    ));
    if let Some(holder) = &status.lock_holder {
        line(format!("the lock is held by {holder}"));
    }
    for (name, suite) in &status.suites {
        line(format!(
            "suite {name}: generation {}, of {}",
            suite.generation, suite.date
        ));
        if suite.date_ahead {
            line("  its Date lies in the future, and clients refuse it until then: `aptmerge run --allow-older-date` dates it anew".into());
        }
        if let Some(until) = &suite.valid_until {
            line(format!("  valid until {until}"));
        }
        let counts: Vec<_> = suite
            .packages
            .iter()
            .map(|(group, n)| format!("{group} {n}"))
            .collect();
        line(format!("  packages: {}", counts.join(", ")));
        if suite.behind > 0 {
            line(format!("  hiding a newer version: {}", suite.behind));
        }
        for input in &suite.archives {
            line(format!(
                "  from {} {}, of {}",
                input.archive, input.suite, input.date
            ));
        }
    }
    for (name, push) in &status.pushes {
        line(match push {
            Some(push) => format!("target {name} has generation {}", push.generation),
            None => format!("which generation target {name} has is unknown"),
        });
    }
    for notice in &status.keys {
        line(format!("warning: {notice}"));
        if let Some(hint) = openpgp::of_key(notice) {
            line(format!("  hint: {hint}"));
        }
    }
    for warning in &status.warnings {
        line(format!("warning: {}", failure::in_words(warning)));
    }
    for why in &status.unknown {
        line(format!("unknown: {why}"));
    }
    for (verb, attempt) in &status.attempts {
        attempt.in_words(verb).into_iter().for_each(&mut line);
    }
    if let Some(run) = &status.last_run {
        let what = if run.outcome.has_published() {
            "published something"
        } else {
            "changed nothing"
        };
        line(format!(
            "the last complete run ended {} and {what}",
            run.ended
        ));
        for KeptCopy {
            archive,
            suite,
            why,
        } in &run.outcome.kept
        {
            line(format!(
                "  {archive} {suite} stayed at its last good copy: {why}"
            ));
        }
        for RefusedSuite { suite, why } in &run.outcome.refused {
            let stays = match status.suites.contains_key(suite) {
                true => "stayed as it was published",
                false => "is not published yet",
            };
            line(format!("  suite {suite} {stays}: {why}"));
        }
        for UnclaimedFiles {
            archive,
            suite,
            files,
        } in &run.outcome.unclaimed
        {
            line(format!(
                "  {archive} {suite} lists {files} files of no family, which are not merged: log/unclaimed.txt"
            ));
        }
        for why in &run.outcome.failed_pushes {
            line(format!("  {why}"));
        }
    }
    text
}
