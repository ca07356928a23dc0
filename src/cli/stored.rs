//! Opening the store, and saying what was changed in it.

use std::fs::create_dir_all;

use aptmerge::error::{Error, Result};
use aptmerge::store::{PackageKey, Store, StoreError, View};
use aptmerge::workspace::check_owner;

use super::context::Context;

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

/// Returns a package in words: `hello 1.0-1 amd64`.
pub(super) fn package(key: &PackageKey) -> String {
    format!("{} {} {}", key.name, key.version, key.architecture)
}
