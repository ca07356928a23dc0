//! The records of a target: which generation it has, whose mark it carries, and every path that was pushed to it.
//!
//! A later push may delete these paths, so they are written before the push that brings them: then the paths that an interrupted push
//! left at the target are known as well.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::error::{Result, chain};
use crate::events::Listener;
use crate::workspace::{Record, Workspace, is_damaged};

use super::target::Target;

/// The record of the last push to a target.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct PushRecord {
    /// The generation that the target has.
    pub generation: u64,
    /// The latest Date in the generation: if the state is lost, the numbers of generations begin anew, but Dates do not.
    #[serde(default)]
    pub date: Option<i64>,
    /// The address that was pushed to.
    pub target: String,
    /// The aliases of suites that the target has, `dists/stable`.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub aliases: BTreeSet<String>,
    /// The id of the owner's mark that the target carries; none if the push was older than these marks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<String>,
}

impl Record for PushRecord {
    const FORMAT: u64 = 1;
}

/// Returns the name of a target's record, below the state directory.
pub fn record_name(target: &Target) -> String {
    format!("push-{}.json", target.name)
}

/// The paths that were pushed to an address.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Pushed {
    /// The address.
    target: String,
    /// Files and symlinks as they are, directories with a slash at their end: `dists/stable`, `dists/daedalus/`.
    pub(super) paths: BTreeSet<String>,
    /// `true` if a push began and did not end, so that parts of files may have stayed under temporary names.
    #[serde(default)]
    pub(super) is_unfinished: bool,
}

impl Record for Pushed {
    const FORMAT: u64 = 1;
}

/// Returns the name of the record of a target's paths. No target can be called so that this is its [`record_name`].
fn pushed_name(target: &Target) -> String {
    format!("pushed-{}.json", target.name)
}

/// Reads the record of a target. A damaged record counts as none, and the listener is told.
pub(super) fn read(
    workspace: &Workspace<'_>,
    target: &Target,
    listener: &dyn Listener,
) -> Result<PushRecord> {
    let record = or_none(workspace.read_state(&record_name(target)), |why| {
        let target = &target.name;
        listener.warn(format!(
            "{why}; `{target}` is pushed to as if it had nothing, and the file is written anew"
        ));
    })?;
    Ok(record.unwrap_or_default())
}

/// Writes the record of a target that has everything now.
pub(super) fn write(
    workspace: &Workspace<'_>,
    target: &Target,
    record: &PushRecord,
    paths: BTreeSet<String>,
) -> Result<()> {
    write_pushed(workspace, target, paths, false)?;
    workspace.write_state(&record_name(target), record)
}

/// Reads which paths were pushed to the present address of a target. If the record is damaged, there are none, and the listener is told.
pub(super) fn pushed(
    workspace: &Workspace<'_>,
    target: &Target,
    listener: &dyn Listener,
) -> Result<Pushed> {
    let pushed = or_none(
        workspace.read_state::<Pushed>(&pushed_name(target)),
        |why| {
            let target = &target.name;
            listener.warn(format!(
                "{why}; what `{target}` has and the tree has not stays there, and the file is written anew; \
                 `aptmerge push --prune {target}` deletes it"
            ));
        },
    )?;
    // Nothing of the kind is known of another place.
    let pushed = pushed.filter(|pushed| pushed.target == target.rsync);
    Ok(pushed.unwrap_or_default())
}

/// Writes which paths a target may have from us, before they are pushed.
pub(super) fn begin(
    workspace: &Workspace<'_>,
    target: &Target,
    paths: BTreeSet<String>,
) -> Result<()> {
    write_pushed(workspace, target, paths, true)
}

fn write_pushed(
    workspace: &Workspace<'_>,
    target: &Target,
    paths: BTreeSet<String>,
    is_unfinished: bool,
) -> Result<()> {
    let pushed = Pushed {
        target: target.rsync.clone(),
        paths,
        is_unfinished,
    };
    workspace.write_state(&pushed_name(target), &pushed)
}

fn or_none<T>(read: Result<Option<T>>, damaged: impl FnOnce(String)) -> Result<Option<T>> {
    match read {
        Err(error) if is_damaged(&error) => {
            damaged(chain(&error));
            Ok(None)
        }
        other => other,
    }
}
