//! `store`: check it, back it up, collect its garbage.

use std::path::PathBuf;
use std::process::ExitCode;

use aptmerge::config::TimeSpan;
use aptmerge::error::Result;
use aptmerge::store::{Garbage, Report};
use clap::{Args, Subcommand};

use super::context::Context;
use super::error::CliError;
use super::{exit, stored};

/// Check the store, back it up, remove what nothing needs any more
#[derive(Debug, Subcommand)]
pub(super) enum StoreVerb {
    Check(CheckArgs),
    Backup(BackupArgs),
    Gc(GcArgs),
}

/// Check every reference in the store, and that each file is there in its length
///
/// The exit code is 1 if there is a fault.
#[derive(Debug, Args)]
pub(super) struct CheckArgs {
    /// Read every file, and compare its bytes with the digest that is its name
    #[arg(long)]
    deep: bool,
}

/// Write the database, as it is at this moment, to a file that must not exist
///
/// The files of packages are not in it: copy `packages/` after it, without a `store gc` in between.
#[derive(Debug, Args)]
pub(super) struct BackupArgs {
    /// The file
    file: PathBuf,
}

/// Remove the packages that no repository and no snapshot has had for a while, with their files
#[derive(Debug, Args)]
pub(super) struct GcArgs {
    /// The time for which they stay; `0 days` removes them at once, and may take them from a run that is under way
    #[arg(long, value_name = "SPAN", default_value = "3 days")]
    retention: TimeSpan,
    /// Say what would be removed, and remove nothing
    #[arg(short = 'n', long)]
    dry_run: bool,
}

pub(super) fn store(context: &Context, verb: &StoreVerb) -> Result<ExitCode> {
    match verb {
        StoreVerb::Check(args) => check(context, args),
        StoreVerb::Backup(args) => backup(context, args),
        StoreVerb::Gc(args) => collect(context, args),
    }
}

fn check(context: &Context, args: &CheckArgs) -> Result<ExitCode> {
    let report = match stored::view(context)? {
        Some(view) => view.check(args.deep)?,
        None => Report::default(),
    };
    if context.json {
        context.print_json(&report);
    } else if report.faults.is_empty() {
        let packages = stored::count(report.packages, "package");
        let files = stored::count(report.files, "file");
        context.print(&format!("good: {packages}, {files}"));
    } else {
        context.print(&report.faults.join("\n"));
    }
    Ok(match report.faults.is_empty() {
        true => ExitCode::SUCCESS,
        false => ExitCode::from(exit::FAILED),
    })
}

fn backup(context: &Context, args: &BackupArgs) -> Result<ExitCode> {
    match stored::view(context)? {
        Some(view) => view.backup(&args.file)?,
        None => return Err(CliError::Usage("there is no store to back up".into()).into()),
    }
    Ok(ExitCode::SUCCESS)
}

fn collect(context: &Context, args: &GcArgs) -> Result<ExitCode> {
    let (now, retention) = (context.now(), args.retention.seconds());
    let mut store = stored::open(context)?;
    let garbage = match args.dry_run {
        true => store.foresee_garbage(now, retention)?,
        false => store.collect_garbage(now, retention)?,
    };
    if context.json {
        context.print_json(&garbage);
        return Ok(ExitCode::SUCCESS);
    }
    let text = in_words(&garbage, &args.retention);
    match args.dry_run {
        true => context.print(&text),
        false => context.tell(&text),
    }
    Ok(ExitCode::SUCCESS)
}

fn in_words(garbage: &Garbage, retention: &TimeSpan) -> String {
    let packages = garbage.packages.iter();
    let mut lines: Vec<String> = packages
        .map(|key| {
            let package = stored::package(key);
            format!("{package}: no repository and no snapshot has had it for {retention}")
        })
        .collect();
    let files = stored::count(garbage.files, "file");
    lines.push(format!("{files}, {} bytes", garbage.bytes));
    if garbage.waiting_lists > 0 {
        let lists = stored::count(garbage.waiting_lists, "list");
        lines.push(format!(
            "{lists} of packages that nothing has any more, until {retention} have passed"
        ));
    }
    lines.join("\n")
}
