//! `package`: the packages of all repositories and snapshots.

use std::process::ExitCode;

use aptmerge::error::Result;
use aptmerge::store::{Collection, PackageKey};
use clap::{Args, Subcommand};
use serde::Serialize;

use super::context::Context;
use super::stored;

/// Look for packages in the store
#[derive(Debug, Subcommand)]
pub(super) enum PackageVerb {
    Search(SearchArgs),
    Show(ShowArgs),
}

/// List the keys of the packages that a query means
#[derive(Debug, Args)]
pub(super) struct SearchArgs {
    /// The query: `hello`, `hello (>= 2.0) {amd64}`, `Name (% lib*), !Section (libs)`, `$PackageType (source)`
    query: String,
    /// Look in one collection: `repository:NAME` or `snapshot:NAME`
    #[arg(long = "in", value_name = "COLLECTION")]
    within: Option<Collection>,
}

/// Say what a package is, and which repositories and snapshots hold it
#[derive(Debug, Args)]
pub(super) struct ShowArgs {
    /// Its key: `Pamd64 hello 1.0-1 918d2f433384e378`
    key: PackageKey,
}

pub(super) fn package(context: &Context, verb: &PackageVerb) -> Result<ExitCode> {
    match verb {
        PackageVerb::Search(args) => search(context, args),
        PackageVerb::Show(args) => show(context, args),
    }
}

fn search(context: &Context, args: &SearchArgs) -> Result<ExitCode> {
    let keys = match (stored::view(context)?, &args.within) {
        (Some(view), Some(collection)) => view.keys(&view.pin(collection)?, Some(&args.query))?,
        (Some(view), None) => view.search(&args.query)?,
        (None, _) => Vec::new(),
    };
    if context.json {
        context.print_json(&keys);
        return Ok(ExitCode::SUCCESS);
    }
    let lines: Vec<String> = keys.iter().map(PackageKey::to_string).collect();
    match lines.is_empty() {
        true => context.tell("no package is meant"),
        false => context.print(&lines.join("\n")),
    }
    Ok(ExitCode::SUCCESS)
}

/// A package, as it is printed.
#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct Shown {
    key: PackageKey,
    stanza: String,
    files: Vec<File>,
    held_by: Vec<Collection>,
}

#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct File {
    name: String,
    size: u64,
    sha256: String,
    path: std::path::PathBuf,
}

fn show(context: &Context, args: &ShowArgs) -> Result<ExitCode> {
    let view = stored::view_of(context, "package", &args.key.to_string())?;
    let found = view.find(&args.key)?.into_iter();
    let shown = found.map(|(package, held_by)| Shown {
        stanza: String::from_utf8_lossy(&package.stanza).into_owned(),
        files: package
            .files
            .iter()
            .map(|file| File {
                name: file.name.clone(),
                size: file.size,
                sha256: hex::encode(file.sha256),
                path: view.file(&file.sha256),
            })
            .collect(),
        key: package.key,
        held_by,
    });
    let shown: Vec<Shown> = shown.collect();
    if context.json {
        context.print_json(&shown);
        return Ok(ExitCode::SUCCESS);
    }
    for one in &shown {
        let mut lines = vec![one.stanza.trim_end().to_owned(), String::new()];
        let files = one.files.iter();
        lines.extend(files.map(|file| format!("file {}: {}", file.name, file.path.display())));
        lines.extend(one.held_by.iter().map(|holder| format!("held by {holder}")));
        context.print(&lines.join("\n"));
    }
    Ok(ExitCode::SUCCESS)
}
