//! Making snapshots: of a repository, of other snapshots.

use std::process::ExitCode;

use aptmerge::error::Result;
use aptmerge::names::{RepositoryName, SnapshotName};
use aptmerge::store::{MergeRule, Operation, Pull, SnapshotOf};
use clap::Args;

use crate::cli::context::Context;
use crate::cli::stored;

/// Make a snapshot of a repository as it is now
#[derive(Debug, Args)]
pub(in crate::cli) struct CreateArgs {
    /// Its name
    name: SnapshotName,
    /// The repository
    #[arg(long, value_name = "NAME", required_unless_present = "empty")]
    repository: Option<RepositoryName>,
    /// Make one without packages
    #[arg(long, conflicts_with = "repository")]
    empty: bool,
    /// A remark for people
    #[arg(long, value_name = "TEXT", default_value = "")]
    description: String,
}

/// Make a snapshot of several others, the later ones over the earlier ones
///
/// The versions of a package in a later snapshot take the place of all in the earlier ones, for each architecture.
#[derive(Debug, Args)]
pub(in crate::cli) struct MergeArgs {
    /// Its name
    name: SnapshotName,
    /// The snapshots, the one that counts least first
    #[arg(required = true)]
    snapshots: Vec<SnapshotName>,
    /// Keep the highest version of each package instead, whichever snapshot has it
    #[arg(long)]
    latest: bool,
    /// Keep all versions instead
    #[arg(long, conflicts_with = "latest")]
    union: bool,
    /// A remark for people
    #[arg(long, value_name = "TEXT", default_value = "")]
    description: String,
}

/// Make a snapshot of some packages of another one
#[derive(Debug, Args)]
pub(in crate::cli) struct FilterArgs {
    /// Its name
    name: SnapshotName,
    /// The snapshot that has the packages
    snapshot: SnapshotName,
    /// The packages, as a query
    query: String,
    /// Take what they depend on, too
    #[arg(long)]
    with_dependencies: bool,
    /// A remark for people
    #[arg(long, value_name = "TEXT", default_value = "")]
    description: String,
}

/// Make a snapshot of another one, with packages of a second one and what they depend on
///
/// Other versions of the packages that come do not stay. What the first snapshot satisfies already does not come.
#[derive(Debug, Args)]
pub(in crate::cli) struct PullArgs {
    /// The name of the new snapshot
    name: SnapshotName,
    /// The snapshot that is added to; it stays as it is
    #[arg(long, value_name = "SNAPSHOT")]
    into: SnapshotName,
    /// The snapshot that has the packages
    #[arg(long, value_name = "SNAPSHOT")]
    from: SnapshotName,
    /// The packages, as queries
    #[arg(required = true)]
    queries: Vec<String>,
    /// Only for these architectures
    #[arg(long, value_name = "NAME", value_delimiter = ',')]
    architectures: Vec<String>,
    /// Take all versions that a query means, and not the highest alone
    #[arg(long)]
    all_matches: bool,
    /// Do not take what they depend on
    #[arg(long)]
    without_dependencies: bool,
    /// Let other versions of these packages stay
    #[arg(long)]
    keep_versions: bool,
    /// A remark for people
    #[arg(long, value_name = "TEXT", default_value = "")]
    description: String,
    /// Say what would come and go, and make no snapshot
    #[arg(short = 'n', long)]
    dry_run: bool,
}

fn make(
    context: &Context,
    name: &SnapshotName,
    description: &str,
    of: SnapshotOf,
    is_dry_run: bool,
) -> Result<ExitCode> {
    let operation = Operation::CreateSnapshot {
        name: name.clone(),
        description: description.to_owned(),
        of,
    };
    stored::carry_out(context, &operation, is_dry_run)
}

pub(super) fn create(context: &Context, args: &CreateArgs) -> Result<ExitCode> {
    let of = match &args.repository {
        Some(name) => SnapshotOf::Repository { name: name.clone() },
        None => SnapshotOf::Nothing {
            component: stored::component("main")?,
        },
    };
    make(context, &args.name, &args.description, of, false)
}

pub(super) fn merge(context: &Context, args: &MergeArgs) -> Result<ExitCode> {
    let of = SnapshotOf::Merge {
        snapshots: args.snapshots.clone(),
        rule: match (args.latest, args.union) {
            (true, _) => MergeRule::Latest,
            (_, true) => MergeRule::Union,
            _ => MergeRule::Override,
        },
    };
    make(context, &args.name, &args.description, of, false)
}

pub(super) fn filter(context: &Context, args: &FilterArgs) -> Result<ExitCode> {
    let of = SnapshotOf::Filter {
        snapshot: args.snapshot.clone(),
        query: args.query.clone(),
        with_dependencies: args.with_dependencies,
    };
    make(context, &args.name, &args.description, of, false)
}

pub(super) fn pull(context: &Context, args: &PullArgs) -> Result<ExitCode> {
    let of = SnapshotOf::Pull(Pull {
        into: args.into.clone(),
        from: args.from.clone(),
        queries: args.queries.clone(),
        architectures: args.architectures.clone(),
        all_matches: args.all_matches,
        without_dependencies: args.without_dependencies,
        keep_versions: args.keep_versions,
    });
    make(context, &args.name, &args.description, of, args.dry_run)
}
