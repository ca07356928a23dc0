//! Push: production to every target, under the lock of the run.
//!
//! Every run looks at every target, also at one that should have everything already (`look.rs`): is it ours (`owner.rs`), and does it
//! still have what was pushed to it? A target that lost or changed a file that signs a suite is pushed to anew. Only paths that are on
//! record as pushed to a target are deleted there (`record.rs`).
//!
//! The order of writing never breaks a client of the target: files that others name come first (by-hash, then the indices), then the
//! Release files, InRelease last, then the aliases of suites; only then are paths deleted that the tree no longer has (`stages.rs`).
//! Other kinds of target belong here: each kind is a module with one function that brings a tree to a target.
//!
//! Why a killed run cannot leave a push behind that runs beside the next run's: the transfer is not our child but that of a
//! guardian ([`guardian`]), which shares the lock. If the run dies, the guardian kills the transfer and holds the lock until the
//! last process of its group is gone. Should the guardian be killed too, the kernel kills the transfer with it. What the
//! transfer leaves behind in a session of its own (an ssh master) never had the lock's descriptor, so it holds nothing. Without a guardian there are two
//! ways, and both are worse: if every child inherits the lock, as with flock(1), an ssh master can hold it for ever; if none does, the
//! rsync of a killed run goes on without it.

mod error;
pub mod guardian;
mod look;
mod owner;
mod record;
mod rsync;
mod stages;
mod target;
mod tree;

use std::collections::BTreeSet;
use std::path::PathBuf;

pub use error::{Ended, PushError, PushFault, Unpublished};
pub use record::{PushRecord, record_name};
pub(crate) use target::Target;

use crate::cancel::Cancel;
use crate::error::{Error, Result, chain};
use crate::events::{Listener, Task};
use crate::workspace::Workspace;

use look::Look;
use owner::{Address, Mark};
use record::Pushed;
use rsync::Rsync;
use stages::Before;
use tree::Tree;

/// The options of a push that are not in the configuration.
#[derive(Debug, Clone, Default)]
pub struct PushOptions {
    /// The program to start guardians with: aptmerge itself.
    pub guardian: PathBuf,
    /// `true` if targets that have the generation already are pushed to as well.
    pub force: bool,
    /// `true` if production was mended, so that targets that have the generation may have got what was damaged: they are compared with it.
    pub mended: bool,
    /// Targets that become ours, even if they belong to somebody else.
    pub take_over: BTreeSet<String>,
    /// Targets that lose everything below `dists/` that the tree does not have.
    pub prune: BTreeSet<String>,
    /// The token that is asked whether to go on.
    pub cancel: Cancel,
}

impl PushOptions {
    /// Returns the options of a push that forces nothing.
    pub fn new(guardian: PathBuf, cancel: &Cancel) -> PushOptions {
        PushOptions {
            guardian,
            cancel: cancel.clone(),
            ..PushOptions::default()
        }
    }
}

/// The tree that all targets get, and the mark that tells whose it is.
struct Production<'a> {
    workspace: &'a Workspace<'a>,
    tree: Tree,
    mark: Mark,
    generation: u64,
    date: Option<i64>,
    aliases: BTreeSet<String>,
}

/// Pushes production to every target that does not have it yet, or has lost a part of it.
///
/// A target that fails does not stop the push to the others. The listener is warned of failures; they are returned for the record.
pub fn push_all(
    workspace: &Workspace<'_>,
    targets: &[Target],
    options: &PushOptions,
    listener: &dyn Listener,
) -> Vec<Error> {
    let mut failures = Vec::new();
    let mut fail = |error: Error| {
        listener.warn_of(chain(&error), error.clone());
        failures.push(error);
    };
    if targets.is_empty() || workspace.published().number == 0 {
        return failures;
    }
    let mut recorded = Vec::new();
    for target in targets {
        match record::read(workspace, target, listener) {
            Ok(record) => recorded.push((target, record)),
            Err(error) => fail(error),
        }
    }
    let owners = recorded
        .iter()
        .filter_map(|(_, record)| record.owner.clone());
    let production = match Production::open(workspace, owners) {
        Ok(production) => production,
        Err(error) => {
            fail(error);
            return failures;
        }
    };
    for (target, record) in recorded {
        if let Err(error) = production.push(target, &record, options, listener) {
            fail(error);
        }
        if options.cancel.is_cancelled() {
            break;
        }
    }
    failures
}

impl<'a> Production<'a> {
    fn open(
        workspace: &'a Workspace<'a>,
        owners: impl Iterator<Item = String>,
    ) -> Result<Production<'a>> {
        let published = workspace.published();
        let links = published.links.keys();
        let own = workspace.layout().pool();
        let pools = published.links.iter().filter_map(|(link, leads)| {
            let archive = PathBuf::from(leads);
            let is_own = link.starts_with("pool/") && archive.starts_with(&own);
            is_own.then(|| (link.clone(), archive))
        });
        let pools = pools.collect();
        Ok(Production {
            workspace,
            tree: Tree::read(&workspace.layout().production(), &pools)?,
            mark: Mark::open(workspace, owners)?,
            generation: published.number,
            date: published.suites.values().map(|s| s.date).max(),
            aliases: links
                .filter(|link| link.starts_with("dists/"))
                .cloned()
                .collect(),
        })
    }

    /// Looks at a target, and brings the files that it lacks.
    fn push(
        &self,
        target: &Target,
        record: &PushRecord,
        options: &PushOptions,
        listener: &dyn Listener,
    ) -> Result<()> {
        let (workspace, tree, name) = (self.workspace, &self.tree, target.name.as_str());
        let take_over = options.take_over.contains(name);
        let prune = options.prune.contains(name);
        let was_ours = record.target == target.rsync && record.generation > 0;
        let has_tree = was_ours && record.generation == self.generation && record.date == self.date;
        let address = match &record.owner {
            _ if !was_ours => Address::New,
            None => Address::PushedTo,
            Some(_) => Address::Marked,
        };
        let task = Task::Push {
            target: name.to_owned(),
        };
        let progress = listener.progress(task);
        let to = Rsync::new(workspace, target, &options.guardian, &options.cancel);
        let mut pushed = record::pushed(workspace, target, listener)?;
        let seen = to.look(Look {
            tree,
            mark: &self.mark,
            pushed: &pushed.paths,
            has_tree,
            by_content: true,
        })?;
        if let Some(fault) = owner::refusal(&seen, address).filter(|_| !take_over) {
            let target = name.to_owned();
            return Err(PushError { target, fault }.into());
        }
        if !seen.is_marked || !seen.other_owners.is_empty() {
            if !seen.foreign.is_empty() && !prune {
                let left = Unpublished {
                    target: name.to_owned(),
                    suites: seen.foreign.clone(),
                };
                listener.warn_of(left.to_string(), left);
            }
            to.claim(&self.mark)?;
        }
        if !seen.is_marked {
            // It may be another place than the one that was pushed to.
            pushed = Pushed::default();
        }
        let is_spoilt = has_tree && !seen.changed.is_empty();
        if is_spoilt {
            let changed = error::some_of(seen.changed.iter());
            listener.warn(format!(
                "target `{name}` has not any more what was pushed to it, and is pushed to anew: {changed}"
            ));
        }
        let is_forced = options.force || take_over || prune;
        if has_tree && seen.is_marked && !is_spoilt && !is_forced && !options.mended {
            return Ok(());
        }
        listener.info(format!("pushing generation {} to {name}", self.generation));
        let before = Before {
            aliases: &record.aliases,
            pushed: &pushed.paths,
            is_unfinished: pushed.is_unfinished,
            prune,
        };
        let paths = pushed.paths.union(&tree.paths).cloned().collect();
        record::begin(workspace, target, paths)?;
        to.push(
            tree,
            before,
            seen.by_content && (is_spoilt || is_forced),
            &*progress,
        )?;
        let record = PushRecord {
            generation: self.generation,
            date: self.date,
            target: target.rsync.clone(),
            aliases: self.aliases.clone(),
            owner: Some(self.mark.id.clone()),
        };
        record::write(workspace, target, &record, tree.paths.clone())
    }
}
