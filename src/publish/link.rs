//! The link: what it points at, the swap, and what a run that died left of it.
//!
//! Why a loss of power leaves the link at a tree that is whole, whatever of the last moments it takes:
//!
//! - Files are forced out before they get their names, and all directories of volatile, and the root, before the link is
//!   renamed to it. So from the moment that the link may be at volatile, all of volatile is on the disk.
//! - The rename is forced out before production is touched. So as long as production may be half synced, the link is at
//!   volatile. In the same way production, and every directory of it that changed, is forced out before the link comes back,
//!   and that is forced out before the next run throws volatile away.
//! - Before the first generation, the directories that the root lies in are forced out as well.
//! - A run that was killed has perhaps not come to force out what it did, and the next one sees it done. So recovery
//!   begins with forcing out what it goes on from: the root with the link, the state, and, if the link is at volatile,
//!   production as it was left.
//!
//! Nothing in this relies on directories being forced out in the order in which they were changed, as the journals of ext4
//! and xfs would have it. `scripts/faults/run power` replays it.

use std::fs;
use std::io;
use std::path::Path;

use crate::durable;
use crate::error::{Error, Result};
use crate::events::Listener;
use crate::workspace::{Layout, PRODUCTION, VOLATILE, Workspace};

use super::sync;

/// What the link serves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Served {
    /// There is no link yet.
    Nothing,
    /// Production, as between runs.
    Production,
    /// Volatile: a run is between its swaps, or died there.
    Volatile,
}

/// Reads the link.
pub fn served(layout: &Layout) -> Result<Served> {
    let link = layout.link();
    let foreign = |found: String| Error::ForeignLink {
        path: link.clone(),
        found,
    };
    match fs::read_link(&link) {
        Ok(target) if target == Path::new(PRODUCTION) => Ok(Served::Production),
        Ok(target) if target == Path::new(VOLATILE) => Ok(Served::Volatile),
        Ok(target) => Err(foreign(format!("a symlink to {}", target.display()))),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Served::Nothing),
        Err(error) if error.kind() == io::ErrorKind::InvalidInput => {
            Err(foreign("no symlink".into()))
        }
        Err(error) => Err(Error::io("read the link", &link)(error)),
    }
}

/// Points the link at a tree, in one step.
pub(super) fn swap(layout: &Layout, tree: &str) -> Result<()> {
    durable::symlink(Path::new(tree), &layout.link())
}

/// Finishes what a run that died has begun, or throws it away.
///
/// If the link points at volatile, the run died after its swap: volatile is complete and served, so it becomes production.
/// Otherwise production is served, and what is in volatile never was. Says whether there was something to finish.
pub fn recover(workspace: &mut Workspace<'_>, listener: &dyn Listener) -> Result<bool> {
    let layout = workspace.layout().clone();
    durable::clear_litter(layout.root())?;
    durable::clear_litter(&layout.state())?;
    durable::sync_dir(layout.root())?;
    durable::sync_dir(&layout.state())?;
    match served(&layout)? {
        Served::Nothing | Served::Production => {
            workspace.forget_staged()?;
            Ok(false)
        }
        Served::Volatile => {
            listener.warn("the last run died after its swap; finishing what it began");
            if layout.production().is_dir() {
                sync::sync_tree(&layout.production())?;
            }
            finish(workspace)?;
            Ok(true)
        }
    }
}

/// From the swap on: records the new generation, brings production up to it, and swaps back.
pub(super) fn finish(workspace: &mut Workspace<'_>) -> Result<()> {
    workspace.adopt_staged()?;
    let layout = workspace.layout();
    sync::mirror(&layout.volatile(), &layout.production())?;
    swap(layout, PRODUCTION)
}
