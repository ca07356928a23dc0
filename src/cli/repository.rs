//! `repository`: local repositories.

use std::path::PathBuf;
use std::process::ExitCode;

use aptmerge::config::Component;
use aptmerge::error::{Error, Result};
use aptmerge::names::RepositoryName;
use aptmerge::store::{
    BATCH, Change, Collection, Operation, Package, Repository, StoreError, find,
};
use clap::{Args, Subcommand};
use serde::Serialize;

use super::context::Context;
use super::failure::Failure;
use super::{exit, stored};

/// Keep packages of your own: create repositories, add packages to them, look at them
#[derive(Debug, Subcommand)]
pub(super) enum RepositoryVerb {
    Create(CreateArgs),
    /// List the repositories
    List,
    Show(ShowArgs),
    Add(AddArgs),
}

/// Make an empty repository
#[derive(Debug, Args)]
pub(super) struct CreateArgs {
    /// Its name
    name: RepositoryName,
    /// A remark for people
    #[arg(long, value_name = "TEXT", default_value = "")]
    comment: String,
    /// The distribution that it is meant for
    #[arg(long, value_name = "NAME", default_value = "")]
    distribution: String,
    /// The component that its packages are published in
    #[arg(long, value_name = "NAME", default_value = "main")]
    component: String,
}

/// Say what a repository is, and which packages it holds
#[derive(Debug, Args)]
pub(super) struct ShowArgs {
    /// Its name
    name: RepositoryName,
    /// List its packages
    #[arg(long)]
    packages: bool,
}

/// Add packages to a repository: files, and all that lie below directories
///
/// Takes .deb, .ddeb, .udeb and .dsc with the files that it lists; those that do not lie beside the .dsc are taken from the store. The files are
/// copied. Each package is judged by itself: one that cannot be added is named, the others are added, and the exit code is 1. No lock is
/// taken, so packages can be added during a run.
#[derive(Debug, Args)]
pub(super) struct AddArgs {
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

pub(super) fn repository(context: &Context, verb: &RepositoryVerb) -> Result<ExitCode> {
    match verb {
        RepositoryVerb::Create(args) => create(context, args),
        RepositoryVerb::List => list(context),
        RepositoryVerb::Show(args) => show(context, args),
        RepositoryVerb::Add(args) => add(context, args),
    }
}

fn create(context: &Context, args: &CreateArgs) -> Result<ExitCode> {
    let mut store = stored::open(context)?;
    let operation = Operation::CreateRepository {
        name: args.name.clone(),
        comment: args.comment.clone(),
        distribution: args.distribution.clone(),
        component: component(&args.component)?,
    };
    store.apply(&operation, context.now())?;
    if context.json {
        context.print_json(&store.view().repository(&args.name)?);
    }
    context.tell(&format!("made the repository `{}`", args.name));
    Ok(ExitCode::SUCCESS)
}

fn component(name: &str) -> Result<Component> {
    Component::new(name).map_err(|error| super::error::CliError::Usage(error.to_string()).into())
}

fn list(context: &Context) -> Result<ExitCode> {
    let repositories = match stored::view(context)? {
        Some(view) => view.repositories()?,
        None => Vec::new(),
    };
    if context.json {
        context.print_json(&repositories);
        return Ok(ExitCode::SUCCESS);
    }
    for repository in &repositories {
        context.print(&format!(
            "{}: {}{}",
            repository.name,
            count(repository.packages, "package"),
            remark(&repository.comment)
        ));
    }
    if repositories.is_empty() {
        context.tell("there is no repository");
    }
    Ok(ExitCode::SUCCESS)
}

fn remark(comment: &str) -> String {
    match comment {
        "" => String::new(),
        comment => format!(" ({comment})"),
    }
}

/// Returns a number of things in words.
fn count(number: u64, what: &str) -> String {
    match number {
        1 => format!("1 {what}"),
        number => format!("{number} {what}s"),
    }
}

/// A repository with its packages.
#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct Shown {
    #[serde(flatten)]
    repository: Repository,
    #[serde(skip_serializing_if = "Option::is_none")]
    keys: Option<Vec<String>>,
}

fn show(context: &Context, args: &ShowArgs) -> Result<ExitCode> {
    let Some(view) = stored::view(context)? else {
        return Err(StoreError::NotFound {
            what: "repository",
            name: args.name.to_string(),
            nearest: None,
        }
        .into());
    };
    let repository = view.repository(&args.name)?;
    let packages: Vec<Package> = match args.packages {
        true => view.packages(&view.pin(&Collection::Repository(args.name.clone()))?)?,
        false => Vec::new(),
    };
    if context.json {
        let keys = packages.iter().map(|package| package.key.to_string());
        context.print_json(&Shown {
            keys: args.packages.then(|| keys.collect()),
            repository,
        });
        return Ok(ExitCode::SUCCESS);
    }
    let mut lines = vec![
        format!("repository {}", repository.name),
        format!("  packages: {}", repository.packages),
        format!("  component: {}", repository.component),
        format!("  changed: {}", repository.changed),
    ];
    for (what, value) in [
        ("distribution", &repository.distribution),
        ("comment", &repository.comment),
    ] {
        if !value.is_empty() {
            lines.push(format!("  {what}: {value}"));
        }
    }
    let packages = packages.iter().map(|package| &package.key);
    lines.extend(packages.map(|key| format!("    {}", stored::package(key))));
    context.print(&lines.join("\n"));
    Ok(ExitCode::SUCCESS)
}

/// The outcome of adding packages, as it is printed.
#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct Outcome {
    #[serde(flatten)]
    change: Change,
    /// The files that are no package that can be published.
    failed_files: Vec<FailedFile>,
    /// The number of files in the directories that are no packages by their names.
    passed_over: u64,
}

#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct FailedFile {
    path: PathBuf,
    failure: Failure,
}

fn add(context: &Context, args: &AddArgs) -> Result<ExitCode> {
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
        false => tell(context, &outcome.change, args.dry_run),
    }
    for error in &errors {
        context.fail(error);
    }
    Ok(match errors.is_empty() {
        true => ExitCode::SUCCESS,
        false => ExitCode::from(exit::FAILED),
    })
}

/// Says which packages came and went: always in a dry run, else to a person.
fn tell(context: &Context, change: &Change, is_foreseen: bool) {
    let mut lines = Vec::new();
    for (what, keys) in [
        ("removed", &change.removed),
        ("added", &change.added),
        ("unchanged", &change.unchanged),
    ] {
        lines.extend(
            keys.iter()
                .map(|key| format!("{what} {}", stored::package(key))),
        );
    }
    match is_foreseen {
        true if lines.is_empty() => context.print("nothing would change"),
        true => context.print(&lines.join("\n")),
        false => context.tell(&lines.join("\n")),
    }
}
