//! Opening the store, carrying operations out, and saying what was changed.

use std::fs::create_dir_all;
use std::process::ExitCode;

use aptmerge::config::Component;
use aptmerge::error::{Error, Result};
use aptmerge::store::{Change, Operation, PackageKey, Store, StoreError, View};
use aptmerge::workspace::check_owner;

use super::context::Context;
use super::error::CliError;
use super::exit;

/// Opens the store to change it; makes it if there is none.
pub(super) fn open(context: &Context) -> Result<Store> {
    let config = context.config()?;
    check_owner(&config.root)?;
    create_dir_all(&config.root).map_err(Error::io("create the root", &config.root))?;
    Store::open(&config.root)
}

/// Opens the store to look at it; `None` if nobody has made one.
pub(super) fn view(context: &Context) -> Result<Option<View>> {
    let config = context.config()?;
    match View::open(&config.root) {
        Err(error) if is_older(&error) => {
            check_owner(&config.root)?;
            Store::open(&config.root)?;
            View::open(&config.root)
        }
        view => view,
    }
}

fn is_older(error: &Error) -> bool {
    matches!(error.downcast_ref(), Some(StoreError::Older { .. }))
}

/// Opens the store to look at one thing in it.
pub(super) fn view_of(context: &Context, what: &'static str, name: &str) -> Result<View> {
    let missing = || StoreError::NotFound {
        what,
        name: name.to_owned(),
        nearest: None,
    };
    Ok(view(context)?.ok_or_else(missing)?)
}

/// Carries an operation out, or foresees it, and says what it changed. The exit code is 1 if it refused a package.
pub(super) fn carry_out(
    context: &Context,
    operation: &Operation,
    is_dry_run: bool,
) -> Result<ExitCode> {
    let mut store = open(context)?;
    let change = match is_dry_run {
        true => store.foresee(operation, context.now())?,
        false => store.apply(operation, context.now())?,
    };
    match context.json {
        true => context.print_json(&change),
        false => tell(context, &change, is_dry_run),
    }
    for refusal in &change.refused {
        context.fail(&refusal.clone().into());
    }
    Ok(match change.refused.is_empty() {
        true => ExitCode::SUCCESS,
        false => ExitCode::from(exit::FAILED),
    })
}

/// Says which packages came and went: always in a dry run, else to a person.
pub(super) fn tell(context: &Context, change: &Change, is_dry_run: bool) {
    let mut lines = Vec::new();
    for (what, keys) in [
        ("removed", &change.removed),
        ("added", &change.added),
        ("unchanged", &change.unchanged),
    ] {
        lines.extend(keys.iter().map(|key| format!("{what} {}", package(key))));
    }
    match is_dry_run {
        true if lines.is_empty() => context.print("nothing would change"),
        true => context.print(&lines.join("\n")),
        false if lines.is_empty() => {}
        false => context.tell(&lines.join("\n")),
    }
}

/// Returns a component by its name.
pub(super) fn component(name: &str) -> Result<Component> {
    Component::new(name).map_err(|error| CliError::Usage(error.to_string()).into())
}

/// Returns a package in words: `hello 1.0-1 amd64`.
pub(super) fn package(key: &PackageKey) -> String {
    format!("{} {} {}", key.name, key.version, key.architecture)
}

/// Returns a number of things in words.
pub(super) fn count(number: u64, what: &str) -> String {
    match number {
        1 => format!("1 {what}"),
        number => format!("{number} {what}s"),
    }
}

/// Returns a remark as it stands behind a line.
pub(super) fn remark(text: &str) -> String {
    match text {
        "" => String::new(),
        text => format!(" ({text})"),
    }
}
