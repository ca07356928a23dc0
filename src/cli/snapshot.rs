//! `snapshot`: collections of packages that never change.

mod make;

use std::process::ExitCode;

use aptmerge::error::Result;
use aptmerge::names::{RepositoryName, SnapshotName};
use aptmerge::store::{Collection, Difference, Operation, PackageKey, Snapshot, View};
use clap::{Args, Subcommand};
use serde::Serialize;

use super::context::Context;
use super::{exit, stored};

/// Keep states of repositories: collections of packages that never change
#[derive(Debug, Subcommand)]
pub(super) enum SnapshotVerb {
    Create(make::CreateArgs),
    Merge(make::MergeArgs),
    Filter(make::FilterArgs),
    Pull(make::PullArgs),
    /// List the snapshots
    List,
    Show(ShowArgs),
    Diff(DiffArgs),
    Verify(VerifyArgs),
    Rename(RenameArgs),
    Drop(DropArgs),
}

/// Say what a snapshot is, and which packages it holds
#[derive(Debug, Args)]
pub(super) struct ShowArgs {
    /// Its name
    name: SnapshotName,
    /// List its packages
    #[arg(long)]
    packages: bool,
}

/// Compare two snapshots, package by package
#[derive(Debug, Args)]
pub(super) struct DiffArgs {
    /// The one: a snapshot, or `repository:NAME`
    left: String,
    /// The other
    right: String,
}

/// Say which dependencies of a snapshot's packages nothing in it satisfies
///
/// Depends and Pre-Depends count. The exit code is 1 if there are any.
#[derive(Debug, Args)]
pub(super) struct VerifyArgs {
    /// A snapshot, or `repository:NAME`
    name: String,
    /// Only on these architectures
    #[arg(long, value_name = "NAME", value_delimiter = ',')]
    architectures: Vec<String>,
}

/// Give a snapshot another name
#[derive(Debug, Args)]
pub(super) struct RenameArgs {
    /// The name that it has
    name: SnapshotName,
    /// The name that it gets
    to: SnapshotName,
}

/// Drop a snapshot; its packages go with a later `store gc`, unless something else holds them
#[derive(Debug, Args)]
pub(super) struct DropArgs {
    /// Its name
    name: SnapshotName,
    /// Drop it although other snapshots were made of it; they stay as they are
    #[arg(long)]
    force: bool,
}

pub(super) fn snapshot(context: &Context, verb: &SnapshotVerb) -> Result<ExitCode> {
    match verb {
        SnapshotVerb::Create(args) => make::create(context, args),
        SnapshotVerb::Merge(args) => make::merge(context, args),
        SnapshotVerb::Filter(args) => make::filter(context, args),
        SnapshotVerb::Pull(args) => make::pull(context, args),
        SnapshotVerb::List => list(context),
        SnapshotVerb::Show(args) => show(context, args),
        SnapshotVerb::Diff(args) => diff(context, args),
        SnapshotVerb::Verify(args) => verify(context, args),
        SnapshotVerb::Rename(args) => rename(context, args),
        SnapshotVerb::Drop(args) => drop(context, args),
    }
}

fn list(context: &Context) -> Result<ExitCode> {
    let snapshots = match stored::view(context)? {
        Some(view) => view.snapshots()?,
        None => Vec::new(),
    };
    if context.json {
        context.print_json(&snapshots);
        return Ok(ExitCode::SUCCESS);
    }
    for snapshot in &snapshots {
        context.print(&format!(
            "{}: {}, {}{}",
            snapshot.name,
            stored::count(snapshot.packages, "package"),
            snapshot.created,
            stored::remark(&snapshot.description)
        ));
    }
    if snapshots.is_empty() {
        context.tell("there is no snapshot");
    }
    Ok(ExitCode::SUCCESS)
}

/// A snapshot with its packages.
#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct Shown {
    #[serde(flatten)]
    snapshot: Snapshot,
    #[serde(skip_serializing_if = "Option::is_none")]
    keys: Option<Vec<PackageKey>>,
}

fn show(context: &Context, args: &ShowArgs) -> Result<ExitCode> {
    let view = stored::view_of(context, "snapshot", args.name.as_str())?;
    let snapshot = view.snapshot(&args.name)?;
    let collection = Collection::Snapshot(args.name.clone());
    let keys = match args.packages {
        true => Some(view.keys(&view.pin(&collection)?, None)?),
        false => None,
    };
    if context.json {
        context.print_json(&Shown { snapshot, keys });
        return Ok(ExitCode::SUCCESS);
    }
    let mut lines = vec![
        format!("snapshot {}", snapshot.name),
        format!("  packages: {}", snapshot.packages),
        format!("  component: {}", snapshot.component),
        format!("  created: {}", snapshot.created),
    ];
    if !snapshot.description.is_empty() {
        lines.push(format!("  description: {}", snapshot.description));
    }
    if !snapshot.sources.is_empty() {
        lines.push(format!("  made of: {}", snapshot.sources.join(", ")));
    }
    let keys = keys.iter().flatten();
    lines.extend(keys.map(|key| format!("    {}", stored::package(key))));
    context.print(&lines.join("\n"));
    Ok(ExitCode::SUCCESS)
}

/// Returns the collection that a text names: a snapshot, unless it says otherwise.
fn collection(text: &str) -> Result<Collection> {
    let usage = |why: String| super::error::CliError::Usage(why);
    let named = match text.strip_prefix("repository:") {
        Some(name) => RepositoryName::new(name).map(Collection::Repository),
        None => {
            let name = text.strip_prefix("snapshot:").unwrap_or(text);
            SnapshotName::new(name).map(Collection::Snapshot)
        }
    };
    Ok(named.map_err(|error| usage(error.to_string()))?)
}

fn view(context: &Context, name: &str) -> Result<View> {
    stored::view_of(context, "snapshot", name)
}

fn diff(context: &Context, args: &DiffArgs) -> Result<ExitCode> {
    let (left, right) = (collection(&args.left)?, collection(&args.right)?);
    let view = view(context, &args.left)?;
    let differences = view.difference(&view.pin(&left)?, &view.pin(&right)?)?;
    if context.json {
        context.print_json(&differences);
        return Ok(ExitCode::SUCCESS);
    }
    let lines: Vec<String> = differences.iter().map(in_words).collect();
    match lines.is_empty() {
        true => context.tell("they hold the same packages"),
        false => context.print(&lines.join("\n")),
    }
    Ok(ExitCode::SUCCESS)
}

/// Returns a difference as a line: `hello amd64: 1.0 -> 1.1`.
fn in_words(difference: &Difference) -> String {
    let versions = |keys: &[PackageKey]| {
        let versions: Vec<&str> = keys.iter().map(|key| key.version.as_str()).collect();
        match versions.is_empty() {
            true => "-".to_owned(),
            false => versions.join(", "),
        }
    };
    let Difference {
        package,
        architecture,
        left,
        right,
    } = difference;
    let (left, right) = (versions(left), versions(right));
    format!("{package} {architecture}: {left} -> {right}")
}

fn verify(context: &Context, args: &VerifyArgs) -> Result<ExitCode> {
    let collection = collection(&args.name)?;
    let view = view(context, &args.name)?;
    let unmet = view.unmet(&view.pin(&collection)?, &args.architectures)?;
    if context.json {
        context.print_json(&unmet);
    } else {
        let lines = unmet.iter().map(|unmet| {
            let package = stored::package(&unmet.package);
            match unmet.package.architecture == unmet.architecture {
                true => format!("{package}: {}", unmet.clause),
                false => format!("{package} on {}: {}", unmet.architecture, unmet.clause),
            }
        });
        match unmet.is_empty() {
            true => context.tell("every dependency is satisfied"),
            false => context.print(&lines.collect::<Vec<_>>().join("\n")),
        }
    }
    Ok(match unmet.is_empty() {
        true => ExitCode::SUCCESS,
        false => ExitCode::from(exit::FAILED),
    })
}

fn rename(context: &Context, args: &RenameArgs) -> Result<ExitCode> {
    let operation = Operation::RenameSnapshot {
        name: args.name.clone(),
        to: args.to.clone(),
    };
    stored::carry_out(context, &operation, false)
}

fn drop(context: &Context, args: &DropArgs) -> Result<ExitCode> {
    let operation = Operation::DropSnapshot {
        name: args.name.clone(),
        force: args.force,
    };
    stored::carry_out(context, &operation, false)
}
