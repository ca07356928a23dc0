//! Push: production to every target, under the lock of the run.
//!
//! A target is written in an order that no client of it can trip over: what is named by others first (by-hash, then the
//! indices), then the Release files, InRelease last, then the aliases of suites, and only then what is gone is deleted
//! (`stages.rs`). Other kinds of target have their place here: each kind is a module with one function that brings a tree to a
//! target.
//!
//! Why a killed run cannot leave a push behind that runs beside the next run's: the transfer is not our child but that of a
//! guardian ([`guardian`]), which shares the lock. If the run dies, the guardian kills the transfer and holds the lock until the
//! last process of its group is gone. Should the guardian be killed too, the kernel kills the transfer with it. What the
//! transfer leaves behind in a session of its own (an ssh master) never had the lock's descriptor, so it holds nothing.

pub mod guardian;
mod rsync;
mod stages;

use std::collections::BTreeSet;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::config::{Config, Push};
use crate::error::{Error, chain};
use crate::events::Listener;
use crate::progress::{Meter, Task};
use crate::workspace::Workspace;

/// What is recorded of a target.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct PushRecord {
    /// The generation that it has.
    pub generation: u64,
    /// The latest Date in it: where the state was lost, numbers begin anew, and Dates do not.
    #[serde(default)]
    pub date: Option<i64>,
    /// The address that it was pushed to.
    pub target: String,
    /// The aliases of suites that it has, `dists/stable`.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub aliases: BTreeSet<String>,
}

/// Where the record of a target lies, below the state directory.
pub fn record_name(target: &Push) -> String {
    format!("push-{}.json", target.name)
}

/// Pushes production to every target that does not have it yet; `force` pushes to all of them.
///
/// A target that fails does not keep the others from theirs. The listener is warned of failures; they are returned for the record.
pub fn push_all(
    workspace: &Workspace<'_>,
    config: &Config,
    guardian: &Path,
    force: bool,
    listener: &dyn Listener,
) -> Vec<Error> {
    let generation = workspace.published().number;
    let date = workspace.published().suites.values().map(|s| s.date).max();
    let links = workspace.published().links.keys();
    let aliases: BTreeSet<String> = links
        .filter(|link| link.starts_with("dists/"))
        .cloned()
        .collect();
    let mut failures = Vec::new();
    let mut fail = |error: Error| {
        let hint = error.hint().map(|hint| format!("\n  hint: {hint}"));
        listener.warn(chain(&error) + &hint.unwrap_or_default());
        failures.push(error);
    };
    for target in &config.push {
        let recorded = match workspace.read_state::<PushRecord>(&record_name(target)) {
            Ok(record) => record.unwrap_or_default(),
            // Nobody knows what the target has, so it gets everything that it lacks.
            Err(error @ Error::State { .. }) => {
                let target = &target.name;
                listener.warn(format!(
                    "{}; `{target}` is pushed to as if it had nothing, and the file is written anew",
                    chain(&error)
                ));
                PushRecord::default()
            }
            Err(error) => {
                fail(error);
                continue;
            }
        };
        let has_it = recorded.generation == generation
            && recorded.date == date
            && recorded.target == target.rsync;
        if generation == 0 || (has_it && !force) {
            continue;
        }
        if listener.is_cancelled() {
            fail(Error::Cancelled);
            break;
        }
        listener.info(format!(
            "pushing generation {generation} to {}",
            target.name
        ));
        let task = Task::Push {
            target: target.name.to_string(),
        };
        let _pushing = Meter::begin(listener, task);
        let pushed = rsync::push(workspace, target, guardian, &recorded.aliases).and_then(|()| {
            let record = PushRecord {
                generation,
                date,
                target: target.rsync.clone(),
                aliases: aliases.clone(),
            };
            workspace.write_state(&record_name(target), &record)
        });
        if let Err(error) = pushed {
            fail(error);
        }
    }
    failures
}
