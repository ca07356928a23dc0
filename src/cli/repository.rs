//! `repository`: local repositories.

mod add;

use std::num::NonZeroUsize;
use std::process::ExitCode;

use aptmerge::error::Result;
use aptmerge::names::RepositoryName;
use aptmerge::store::{Collection, Operation, PackageKey, Repository};
use clap::{Args, Subcommand};
use serde::Serialize;

use super::context::Context;
use super::stored;

/// Keep packages of your own: repositories, and the packages in them
#[derive(Debug, Subcommand)]
pub(super) enum RepositoryVerb {
    Create(CreateArgs),
    /// List the repositories
    List,
    Show(ShowArgs),
    Edit(EditArgs),
    Rename(RenameArgs),
    Drop(DropArgs),
    Add(add::AddArgs),
    Remove(RemoveArgs),
    Copy(CopyArgs),
    Move(CopyArgs),
    Retain(RetainArgs),
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

/// Change what is said of a repository; what is not given stays
#[derive(Debug, Args)]
pub(super) struct EditArgs {
    /// Its name
    name: RepositoryName,
    /// The remark for people
    #[arg(long, value_name = "TEXT")]
    comment: Option<String>,
    /// The distribution that it is meant for
    #[arg(long, value_name = "NAME")]
    distribution: Option<String>,
    /// The component that its packages are published in
    #[arg(long, value_name = "NAME")]
    component: Option<String>,
}

/// Give a repository another name
#[derive(Debug, Args)]
pub(super) struct RenameArgs {
    /// The name that it has
    name: RepositoryName,
    /// The name that it gets
    to: RepositoryName,
}

/// Drop a repository; its packages go with the next `store gc`, unless something else holds them
#[derive(Debug, Args)]
pub(super) struct DropArgs {
    /// Its name
    name: RepositoryName,
    /// Drop it although snapshots were made of it; they stay as they are
    #[arg(long)]
    force: bool,
}

/// Remove packages from a repository
#[derive(Debug, Args)]
pub(super) struct RemoveArgs {
    /// The repository
    repository: RepositoryName,
    /// The packages, as a query: `hello`, `hello (<< 2.0)`, `Name (% *-dbgsym)`, `$Source (hello)`
    query: String,
    /// Say what would be removed, and change nothing
    #[arg(short = 'n', long)]
    dry_run: bool,
}

/// Bring packages from one repository to another
///
/// One of the same name, version and architecture with other content is refused, and stays where it is.
#[derive(Debug, Args)]
pub(super) struct CopyArgs {
    /// The repository that has them
    from: RepositoryName,
    /// The repository that gets them
    to: RepositoryName,
    /// The packages, as a query
    query: String,
    /// Bring what they depend on, too, unless the other repository has it
    #[arg(long)]
    with_dependencies: bool,
    /// Let a package take the place of another one with the same name, version and architecture
    #[arg(long)]
    replace: bool,
    /// Say what would change, and change nothing
    #[arg(short = 'n', long)]
    dry_run: bool,
}

/// Remove all but the newest versions of each package
///
/// Each architecture counts by itself. A source stays as long as a binary package does that was built from it.
#[derive(Debug, Args)]
pub(super) struct RetainArgs {
    /// The repository
    repository: RepositoryName,
    /// The packages, as a query; all if there is none
    query: Option<String>,
    /// The number of versions that stay
    #[arg(long, value_name = "NUMBER")]
    versions: NonZeroUsize,
    /// Say what would be removed, and change nothing
    #[arg(short = 'n', long)]
    dry_run: bool,
}

pub(super) fn repository(context: &Context, verb: &RepositoryVerb) -> Result<ExitCode> {
    match verb {
        RepositoryVerb::Create(args) => create(context, args),
        RepositoryVerb::List => list(context),
        RepositoryVerb::Show(args) => show(context, args),
        RepositoryVerb::Edit(args) => edit(context, args),
        RepositoryVerb::Rename(args) => rename(context, args),
        RepositoryVerb::Drop(args) => drop(context, args),
        RepositoryVerb::Add(args) => add::add(context, args),
        RepositoryVerb::Remove(args) => remove(context, args),
        RepositoryVerb::Copy(args) => copy(context, args, false),
        RepositoryVerb::Move(args) => copy(context, args, true),
        RepositoryVerb::Retain(args) => retain(context, args),
    }
}

fn create(context: &Context, args: &CreateArgs) -> Result<ExitCode> {
    let mut store = stored::open(context)?;
    let operation = Operation::CreateRepository {
        name: args.name.clone(),
        comment: args.comment.clone(),
        distribution: args.distribution.clone(),
        component: stored::component(&args.component)?,
    };
    store.apply(&operation, context.now())?;
    if context.json {
        context.print_json(&store.view().repository(&args.name)?);
    }
    context.tell(&format!("made the repository `{}`", args.name));
    Ok(ExitCode::SUCCESS)
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
            stored::count(repository.packages, "package"),
            stored::remark(&repository.comment)
        ));
    }
    if repositories.is_empty() {
        context.tell("there is no repository");
    }
    Ok(ExitCode::SUCCESS)
}

/// A repository with its packages.
#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct Shown {
    #[serde(flatten)]
    repository: Repository,
    #[serde(skip_serializing_if = "Option::is_none")]
    keys: Option<Vec<PackageKey>>,
}

fn show(context: &Context, args: &ShowArgs) -> Result<ExitCode> {
    let view = stored::view_of(context, "repository", args.name.as_str())?;
    let repository = view.repository(&args.name)?;
    let collection = Collection::Repository(args.name.clone());
    let keys = match args.packages {
        true => Some(view.keys(&view.pin(&collection)?, None)?),
        false => None,
    };
    if context.json {
        context.print_json(&Shown { repository, keys });
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
    lines.extend(
        keys.iter()
            .flatten()
            .map(|key| format!("    {}", stored::package(key))),
    );
    context.print(&lines.join("\n"));
    Ok(ExitCode::SUCCESS)
}

fn edit(context: &Context, args: &EditArgs) -> Result<ExitCode> {
    let operation = Operation::EditRepository {
        name: args.name.clone(),
        comment: args.comment.clone(),
        distribution: args.distribution.clone(),
        component: args
            .component
            .as_deref()
            .map(stored::component)
            .transpose()?,
    };
    stored::carry_out(context, &operation, false)
}

fn rename(context: &Context, args: &RenameArgs) -> Result<ExitCode> {
    let operation = Operation::RenameRepository {
        name: args.name.clone(),
        to: args.to.clone(),
    };
    stored::carry_out(context, &operation, false)
}

fn drop(context: &Context, args: &DropArgs) -> Result<ExitCode> {
    let operation = Operation::DropRepository {
        name: args.name.clone(),
        force: args.force,
    };
    stored::carry_out(context, &operation, false)
}

fn remove(context: &Context, args: &RemoveArgs) -> Result<ExitCode> {
    let operation = Operation::RemovePackages {
        repository: args.repository.clone(),
        query: args.query.clone(),
    };
    stored::carry_out(context, &operation, args.dry_run)
}

fn copy(context: &Context, args: &CopyArgs, is_move: bool) -> Result<ExitCode> {
    let operation = Operation::CopyPackages {
        from: args.from.clone(),
        to: args.to.clone(),
        query: args.query.clone(),
        with_dependencies: args.with_dependencies,
        replace: args.replace,
        is_move,
    };
    stored::carry_out(context, &operation, args.dry_run)
}

fn retain(context: &Context, args: &RetainArgs) -> Result<ExitCode> {
    let operation = Operation::RetainNewest {
        repository: args.repository.clone(),
        versions: args.versions,
        query: args.query.clone(),
    };
    stored::carry_out(context, &operation, args.dry_run)
}
