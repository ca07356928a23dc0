//! Staging: a generation is built in volatile, while nothing serves it, and goes from there step by step.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use jiff::Timestamp;

use crate::cache::Cache;
use crate::config::{ByteSize, SuiteName};
use crate::difference::Difference;
use crate::durable;
use crate::error::{Error, Result};
use crate::events::Listener;
use crate::openpgp::{Keyring, Signer};
use crate::progress::{Meter, Task};
use crate::workspace::{Generation, Layout, VOLATILE, Workspace};

use super::check::{CheckOptions, check_suites};
use super::plan::{Action, Allowances, Plan, SuitePlan, links};
use super::suite::SuiteStage;
use super::{link, sync};

/// A generation, built in volatile and not yet looked at.
#[derive(Debug)]
pub struct Staged {
    generation: Generation,
    changed: Vec<SuiteName>,
    refused: Vec<Refused>,
}

/// A suite that a guard kept as it is published.
#[derive(Debug)]
pub struct Refused {
    /// The suite.
    pub suite: SuiteName,
    /// What would have happened, and the flag that allows it.
    pub why: Error,
}

/// A generation that holds: it was read back as a client would read it.
#[derive(Debug)]
pub struct Checked(Staged);

/// A generation that is served, from production again.
#[derive(Debug)]
pub struct Published {
    /// Its number.
    pub number: u64,
    /// The suites that changed.
    pub changed: Vec<SuiteName>,
    /// The suites that guards kept as they were.
    pub refused: Vec<Refused>,
}

impl Plan<'_> {
    /// Builds the planned generation in volatile. A suite that a guard refuses stays as it is published, unless nothing else
    /// would change.
    pub fn stage(
        &self,
        workspace: &Workspace<'_>,
        signer: &Signer,
        allow: Allowances,
        listener: &dyn Listener,
    ) -> Result<Staged> {
        let layout = workspace.layout();
        let volatile = layout.volatile();
        durable::remove_tree(&volatile)?;
        durable::create_dir(&volatile.join("dists"))?;
        let mut generation = Generation {
            number: self.published.number + 1,
            suites: BTreeMap::new(),
            links: links(self.config),
        };
        let mut changed = Vec::new();
        let mut refused = Vec::new();
        let cache = Cache::new(&layout.cache(), SystemTime::from(self.now));
        if allow.rebuild {
            cache.trim(ByteSize::from_bytes(0))?;
        }
        for suite in &self.suites {
            if listener.is_cancelled() {
                return Err(Error::Cancelled);
            }
            let stage = self.suite_stage(suite, layout, &cache, allow);
            let record = match (&suite.action, suite.record) {
                (Action::Keep, Some(record)) => stage.keep(record)?,
                (action, _) => {
                    listener.info(format!("suite {}: {}", suite.name, why(action)));
                    match (stage.make(signer, listener), suite.record) {
                        (Err(why @ Error::Guard { .. }), Some(record)) => {
                            // It comes before the suites below its name, so all of this is its own.
                            durable::remove_tree(&stage.new)?;
                            refused.push(Refused {
                                suite: suite.name.clone(),
                                why,
                            });
                            stage.keep(record)?
                        }
                        (record, _) => {
                            let record = record?;
                            for warning in &record.report.warnings {
                                listener.warn(format!("suite {}: {warning}", suite.name));
                            }
                            changed.push(suite.name.clone());
                            record
                        }
                    }
                }
            };
            generation.suites.insert(suite.name.to_string(), record);
        }
        cache.trim(self.config.cache.max_size)?;
        let has_news = !changed.is_empty() || !self.removed.is_empty() || self.links_changed;
        if !has_news && let Some(last) = refused.pop() {
            tell_refused(&refused, listener);
            return Err(last.why);
        }
        tell_refused(&refused, listener);
        let outside: BTreeSet<&str> = generation
            .suites
            .values()
            .flat_map(|record| record.report.outside.iter().map(String::as_str))
            .collect();
        for (path, target) in &generation.links {
            match path.strip_prefix("pool/") {
                Some(pool) => place_pool(&volatile.join(path), pool, Path::new(target), &outside)?,
                None => place_alias(&volatile.join(path), target)?,
            }
        }
        let _syncing = Meter::begin(listener, Task::Sync);
        sync::sync_tree(&volatile)?;
        durable::sync_dir(layout.root())?;
        Ok(Staged {
            generation,
            changed,
            refused,
        })
    }
}

fn tell_refused(refused: &[Refused], listener: &dyn Listener) {
    for Refused { why, .. } in refused {
        let hint = why.hint().unwrap_or_default();
        listener.warn(format!("{why}; it stays as it is published ({hint})"));
    }
}

impl<'p> Plan<'p> {
    fn suite_stage<'a>(
        &'a self,
        suite: &'a SuitePlan<'p>,
        layout: &Layout,
        cache: &'a Cache,
        allow: Allowances,
    ) -> SuiteStage<'a> {
        let below = |tree: PathBuf| tree.join("dists").join(suite.name.as_str());
        SuiteStage {
            plan: self,
            suite,
            old: below(layout.production()),
            new: below(layout.volatile()),
            allow,
            cache,
            number: self.published.number + 1,
        }
    }

    /// What the planned generation would change in each suite that would be made anew: what the run will record. Nothing
    /// is written.
    pub fn compare(&self, workspace: &Workspace<'_>) -> Result<BTreeMap<String, Difference>> {
        let layout = workspace.layout();
        let cache = Cache::read_only(&layout.cache());
        let changed = self.suites.iter().filter(|s| s.action != Action::Keep);
        changed
            .map(|suite| {
                let stage = self.suite_stage(suite, layout, &cache, Allowances::default());
                let difference = match suite.action {
                    // Its indices stay as they are.
                    Action::Sign(_) => Difference::default(),
                    _ => stage.compare()?,
                };
                Ok((suite.name.to_string(), difference))
            })
            .collect()
    }
}

fn why(action: &Action) -> &str {
    match action {
        Action::Keep => "made anew, there is no record of it",
        Action::Sign(why) | Action::Merge(why) => why,
    }
}

/// Makes the further name of a suite.
fn place_alias(place: &Path, target: &str) -> Result<()> {
    if let Some(parent) = place.parent() {
        durable::create_dir(parent)?;
    }
    durable::symlink(Path::new(target), place)
}

/// Makes the pool of a local archive: a way to each part of its `pool/`, and to what else the published suites name. The
/// archive's own directory is not linked, since more may lie in it than packages.
fn place_pool(place: &Path, pool: &str, archive: &Path, outside: &BTreeSet<&str>) -> Result<()> {
    durable::create_dir(place)?;
    if let Ok(entries) = std::fs::read_dir(archive.join("pool")) {
        for entry in entries.flatten().filter(|entry| entry.file_name() != "_") {
            durable::symlink(&entry.path(), &place.join(entry.file_name()))?;
        }
    }
    let prefix = format!("{pool}/");
    let parts = outside.iter().filter_map(|o| o.strip_prefix(&prefix));
    for part in parts.filter(|part| *part != ".") {
        durable::create_dir(&place.join("_"))?;
        durable::symlink(&archive.join(part), &place.join("_").join(part))?;
    }
    Ok(())
}

impl Staged {
    /// The suites that guards kept as they are.
    pub fn refused(&self) -> &[Refused] {
        &self.refused
    }

    /// Reads the changed suites back as a client would, from InRelease down.
    pub fn check(
        self,
        workspace: &Workspace<'_>,
        keyring: &Keyring,
        now: Timestamp,
    ) -> Result<Checked> {
        let tree = workspace.layout().volatile();
        let report = check_suites(
            &tree,
            self.changed.iter().map(|s| s.as_str().to_owned()).collect(),
            &CheckOptions {
                keyring,
                now,
                known: Some(&workspace.layout().production()),
            },
        );
        if report.problems.is_empty() {
            return Ok(Checked(self));
        }
        Err(Error::Check {
            tree,
            problems: report.problems,
        })
    }
}

impl Checked {
    /// Points the link at volatile, in one step. From here on the new generation is served.
    pub fn swap(self, workspace: &Workspace<'_>) -> Result<Swapped> {
        workspace.record_staged(&self.0.generation)?;
        if link::served(workspace.layout())? == link::Served::Nothing {
            // What is published for the first time may lie in a directory that is as new.
            durable::sync_ancestors(workspace.layout().root())?;
        }
        link::swap(workspace.layout(), VOLATILE)?;
        Ok(Swapped(self.0))
    }
}

/// A generation that is served from volatile.
#[derive(Debug)]
pub struct Swapped(Staged);

impl Swapped {
    /// Brings production up to volatile and points the link back at it.
    pub fn finish(self, workspace: &mut Workspace<'_>) -> Result<Published> {
        let number = self.0.generation.number;
        workspace.adopt_staged(self.0.generation)?;
        link::finish(workspace.layout())?;
        Ok(Published {
            number,
            changed: self.0.changed,
            refused: self.0.refused,
        })
    }
}
