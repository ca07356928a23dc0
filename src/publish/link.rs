//! The link: its target, the swap, and recovery after a run that died.
//!
//! Why a loss of power leaves the link at a whole tree, whichever of the last changes the loss takes:
//!
//! - Files are forced out before they get their names, and all directories of volatile that changed, and the root, before the link is
//!   renamed to it. So from the moment that the link may be at volatile, all of volatile is on the disk.
//! - The rename is forced out before production is touched. So as long as production may be half synced, the link is at
//!   volatile. In the same way production, and every directory of it that changed, is forced out before the link comes back,
//!   and that is forced out before the next run throws volatile away.
//! - Before the first generation, the directories that the root lies in are forced out as well.
//! - A run that was killed may not have forced out what it did, and the next run sees it done. So recovery
//!   begins with forcing out what it goes on from: the root with the link, the state, and, if the link is at volatile,
//!   production as it was left.
//! - Volatile may lie in memory, or a person may remove it. So before recovery makes production like volatile, it checks that
//!   everything is there that volatile's InReleases list. If not, and production is to the last byte what the record names, the link
//!   goes back to production, which recovery has forced out before. The staged record is forgotten after that; until then the next run
//!   does all this again.
//! - If a swap has no usable record left, that is recorded, durably, before production is touched: whatever the
//!   loss takes after that, no suite counts as made from what the older record says.
//!
//! - What stays in volatile for the next generation was forced out before it was put on record, and the record goes before volatile is
//!   touched, both durably. So a record, whatever else was lost, means that all of volatile is on the disk.
//!
//! None of this relies on directories being forced out in the order in which they were changed, as the journals of ext4
//! and xfs do it. `scripts/faults/run power` replays such losses.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::Path;

use crate::durable;
use crate::error::{Error, Result};
use crate::events::Listener;
use crate::workspace::{Generation, Layout, PRODUCTION, VOLATILE, Workspace, is_damaged};

use super::error::PublishError;
use super::whole::{self, State};
use super::{hard_links, trees};

/// The tree that the link serves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Served {
    /// There is no link yet.
    Nothing,
    /// Production, as between runs.
    Production,
    /// Volatile: a run is between its swaps, or died there.
    Volatile,
}

/// Reads which tree the link serves.
pub fn served(layout: &Layout) -> Result<Served> {
    let link = layout.link();
    let foreign = |found: String| {
        let path = link.clone();
        Error::from(PublishError::ForeignLink { path, found })
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
/// If the link points at volatile, the run died after its swap: volatile is complete and served, so it becomes production,
/// unless it was lost meanwhile. Otherwise production is served, and what is in volatile was never served. Returns whether there was
/// something to finish.
pub fn recover(workspace: &mut Workspace<'_>, listener: &dyn Listener) -> Result<bool> {
    let layout = workspace.layout().clone();
    durable::clear_litter(layout.root())?;
    durable::clear_litter(&layout.state())?;
    durable::clear_litter(&layout.owner())?;
    durable::sync_dir(layout.root())?;
    durable::sync_dir(&layout.state())?;
    match served(&layout)? {
        Served::Nothing | Served::Production => {
            workspace.forget_staged()?;
            Ok(false)
        }
        Served::Volatile => {
            if layout.production().is_dir() {
                hard_links::sync_tree(&layout.production())?;
            }
            if let Some(lacks) = record_volatile(workspace, listener)? {
                go_back(workspace, lacks, listener)?;
                return Ok(false);
            }
            finish(&layout)?;
            // A staged record that cannot be read is still there.
            workspace.forget_staged()?;
            Ok(true)
        }
    }
}

/// Makes the record describe what is in volatile; returns what volatile lacks, if it is not whole.
fn record_volatile(
    workspace: &mut Workspace<'_>,
    listener: &dyn Listener,
) -> Result<Option<String>> {
    let tree = workspace.layout().volatile();
    let going_on = "the last run died after its swap; finishing what it began";
    let staged = match workspace.staged() {
        Err(error) if is_damaged(&error) => {
            listener.warn(crate::error::chain(&error));
            None
        }
        staged => staged?,
    };
    if let Some(staged) = staged {
        match whole::compare(&tree, &staged)? {
            State::Whole => {
                listener.warn(going_on);
                drop(workspace.adopt_staged(staged)?);
                return Ok(None);
            }
            State::Lacks(lacks) => return Ok(Some(lacks)),
            State::OtherDates(_) => {}
        }
    }
    match whole::compare(&tree, workspace.published())? {
        // The record was adopted before the run died.
        State::Whole => listener.warn(going_on),
        State::OtherDates(dates) => {
            listener.warn(format!(
                "{going_on}; nothing is on record of what is in {}, so every suite is merged anew",
                tree.display()
            ));
            workspace.distrust_published(&dates)?;
        }
        State::Lacks(lacks) => return Ok(Some(lacks)),
    }
    Ok(None)
}

/// Points the link back at production if volatile was lost before production was touched.
fn go_back(workspace: &Workspace<'_>, lacks: String, listener: &dyn Listener) -> Result<()> {
    let layout = workspace.layout();
    if !whole::is_production(layout, workspace.published())? {
        return Err(PublishError::NotWhole {
            tree: layout.volatile(),
            lacks,
            link: layout.link(),
        }
        .into());
    }
    listener.warn(format!(
        "the last run died after its swap, and what it published was lost: {lacks}; going back to generation {} in {}",
        workspace.published().number,
        layout.production().display()
    ));
    swap(layout, PRODUCTION)?;
    workspace.forget_staged()
}

/// Does the same as [`finish`], where it is known that production holds the generation before, and the suites that are kept.
pub(super) fn finish_changes(
    layout: &Layout,
    before: &Generation,
    after: &Generation,
    kept: &BTreeSet<String>,
) -> Result<()> {
    trees::mirror_changes(
        &layout.volatile(),
        &layout.production(),
        before,
        after,
        kept,
    )?;
    swap(layout, PRODUCTION)
}

/// Does the rest once the swap is done and the new generation is recorded: brings production up to it, and swaps back.
pub(super) fn finish(layout: &Layout) -> Result<()> {
    hard_links::mirror(&layout.volatile(), &layout.production())?;
    swap(layout, PRODUCTION)
}
