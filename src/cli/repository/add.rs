//! `repository add`: packages from outside.

use std::path::PathBuf;
use std::process::ExitCode;

use aptmerge::error::{Error, Result};
use aptmerge::names::RepositoryName;
use aptmerge::store::{BATCH, Change, Operation, find};
use clap::Args;
use serde::Serialize;

use crate::cli::context::Context;
use crate::cli::failure::Failure;
use crate::cli::{exit, stored};

/// Add packages to a repository: files, and all that lie below directories
///
/// Takes .deb, .ddeb, .udeb and .dsc with the files that it lists; those that do not lie beside the .dsc are taken from the store. The files are
/// copied. Each package is judged by itself: one that cannot be added is named, the others are added, and the exit code is 1. No lock is
/// taken, so packages can be added during a run.
#[derive(Debug, Args)]
pub(in crate::cli) struct AddArgs {
    /// The repository
    repository: RepositoryName,
    /// Files and directories
    #[arg(required = true)]
    paths: Vec<PathBuf>,
    /// Let a package take the place of another one with the same name, version and architecture
    #[arg(long)]
    replace: bool,
    /// Say what would be added, and change nothing
    #[arg(short = 'n', long)]
    dry_run: bool,
}

/// The outcome of adding packages, as it is printed.
#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct Outcome {
    #[serde(flatten)]
    change: Change,
    /// The files that are no package that can be published.
    failed_files: Vec<FailedFile>,
    /// The number of files in the directories that are no packages by their names, and of symlinks.
    passed_over: u64,
}

#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct FailedFile {
    path: PathBuf,
    failure: Failure,
}

pub(super) fn add(context: &Context, args: &AddArgs) -> Result<ExitCode> {
    let found = find(&args.paths)?;
    let mut store = stored::open(context)?;
    // Before the files are copied: the operation looks again.
    store.view().repository(&args.repository)?;
    let mut outcome = Outcome {
        change: Change::default(),
        failed_files: Vec::new(),
        passed_over: found.passed_over,
    };
    let mut errors: Vec<Error> = Vec::new();
    for files in found.packages.chunks(BATCH) {
        let mut arrived = match args.dry_run {
            true => store.look_at(files)?,
            false => store.take_in(files, context.now())?,
        };
        let operation = Operation::AddPackages {
            repository: args.repository.clone(),
            packages: std::mem::take(&mut arrived.packages),
            replace: args.replace,
            arrived_as: arrived.arrived_as,
        };
        let change = match args.dry_run {
            true => store.foresee(&operation, context.now())?,
            false => store.apply(&operation, context.now())?,
        };
        outcome.change.extend(change);
        for (path, error) in arrived.refused {
            outcome.failed_files.push(FailedFile {
                path,
                failure: Failure::of(&error),
            });
            errors.push(error);
        }
    }
    errors.extend(outcome.change.refused.iter().cloned().map(Error::from));
    match context.json {
        true => context.print_json(&outcome),
        false => stored::tell(context, &outcome.change, args.dry_run),
    }
    for error in &errors {
        context.fail(error);
    }
    Ok(match errors.is_empty() {
        true => ExitCode::SUCCESS,
        false => ExitCode::from(exit::FAILED),
    })
}
