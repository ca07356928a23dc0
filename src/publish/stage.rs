//! Staging: a generation is built in volatile, while nothing serves volatile, and goes through its steps from there.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use jiff::Timestamp;
use rayon::prelude::*;

use crate::cache::Cache;
use crate::cancel::Cancel;
use crate::difference::Difference;
use crate::durable;
use crate::error::Result;
use crate::events::{Listener, Task};
use crate::manifest::Manifest;
use crate::merge;
use crate::names::SuiteName;
use crate::openpgp::Signer;
use crate::suite_report::report_of_older;
use crate::units::ByteSize;
use crate::workspace::{Generation, GivenUp, Layout, SuiteRecord, VOLATILE, Workspace};

use super::check::{CheckOptions, check_suite};
use super::checkpoints::Checkpoints;
use super::error::PublishError;
use super::known::Known;
use super::plan::{Action, Allowances, Plan, SuitePlan, links};
use super::pool::place_pool;
use super::refused::{Refused, for_suite};
use super::suite::SuiteStage;
use super::{hard_links, link, trees};

/// The options for building a generation, and for checking it.
#[derive(Clone, Copy)]
pub struct StageOptions<'a> {
    /// The keys that sign the suites.
    pub signer: &'a Signer,
    /// The things that the operator allows for once.
    pub allow: Allowances,
    /// The listener that is told what happens.
    pub listener: &'a dyn Listener,
    /// The token that is asked whether to go on.
    pub cancel: &'a Cancel,
}

/// A generation, built in volatile and not yet checked.
pub struct Staged<'p> {
    plan: &'p Plan<'p>,
    built: Built,
}

/// A generation that passed the check: it was read back as a client would read it.
#[derive(Debug)]
pub struct Checked(Built);

/// A generation, and the outcome of its suites.
#[derive(Debug)]
struct Built {
    generation: Generation,
    changed: Vec<SuiteName>,
    removed: Vec<String>,
    links_changed: bool,
    refused: Vec<Refused>,
    /// The suites that both trees hold already as their manifests have them.
    kept: BTreeSet<String>,
    /// The suites that production did not hold as their manifests have them.
    damaged: BTreeSet<String>,
}

impl Built {
    fn tell_refused(
        &mut self,
        plan: &Plan<'_>,
        told: usize,
        listener: &dyn Listener,
    ) -> Result<()> {
        let has_changed = !self.changed.is_empty();
        let suites = self.generation.suites.keys();
        let there = suites.map(String::as_str).collect();
        plan.tell_refused(&mut self.refused, has_changed, &there, told, listener)
    }
}

/// A generation that is served from production.
#[derive(Debug)]
pub struct Published {
    /// The number of the generation.
    pub number: u64,
    /// The suites that changed.
    pub changed: Vec<SuiteName>,
    /// The suites that are no longer published.
    pub removed: Vec<String>,
    /// `true` if aliases or links to pools changed.
    pub links_changed: bool,
    /// The suites that stayed as they were published.
    pub refused: Vec<Refused>,
}

impl<'p> Plan<'p> {
    /// Builds the planned generation in volatile. A suite that a guard refuses, or that cannot be made, stays as it is published;
    /// if nothing else would change, the call fails instead.
    pub fn stage(
        &'p self,
        workspace: &Workspace<'_>,
        options: StageOptions<'_>,
    ) -> Result<Staged<'p>> {
        let StageOptions {
            signer,
            allow,
            listener,
            cancel,
        } = options;
        let layout = workspace.layout();
        let volatile = layout.volatile();
        let is_volatile_known = trees::is_volatile_known(workspace, self.look)?;
        workspace.forget_volatile()?;
        match is_volatile_known {
            true => self.clear_outdated(&volatile)?,
            false => durable::remove_tree(&volatile)?,
        }
        durable::create_dir(&volatile.join("dists"))?;
        let mut generation = Generation::new(self.published.number.saturating_add(1));
        let mut changed = Vec::new();
        let mut refused = Vec::new();
        let mut kept = BTreeSet::new();
        let cache = Cache::new(&layout.cache(), SystemTime::from(self.now));
        if allow.rebuild {
            cache.trim(ByteSize::from_bytes(0))?;
        }
        for suite in &self.suites {
            cancel.check()?;
            let mut stage = self.suite_stage(suite, layout, &cache, allow, cancel);
            let damage = self.damaged.get(suite.name.as_str());
            stage.is_damaged = damage.is_some();
            let made = match (&suite.action, suite.record) {
                (Action::Keep, Some(record)) if damage.is_none() => {
                    kept.insert(suite.name.to_string());
                    match is_volatile_known {
                        true => Ok(Arc::clone(record)),
                        false => Ok(stage.keep(record)?),
                    }
                }
                (Action::Wait(why), _) => Err(why.clone()),
                (action, _) => {
                    let why = damage.map_or(why(action), String::as_str);
                    listener.info(format!("suite {}: {why}", suite.name));
                    stage.clear()?;
                    for_suite(suite.name, || stage.make(signer, listener))
                        .inspect(|record| {
                            for warning in &record.report.warnings {
                                listener.warn(format!("suite {}: {warning}", suite.name));
                            }
                            let before = suite.record.map(|record| &record.report);
                            for news in merge::news_unasked(before, &record.report) {
                                listener.warn(format!("suite {}: {news}", suite.name));
                            }
                            if let Some(behind) = record.difference.behind_in_words() {
                                let file = report_of_older(suite.name.as_str());
                                listener.warn(format!(
                                    "suite {}: {behind}; log/{file} lists all",
                                    suite.name
                                ));
                            }
                            changed.push(suite.name.clone());
                        })
                        .map(Arc::new)
                }
            };
            let record = match made {
                Ok(record) => Some(record),
                Err(why) if why.is_of_the_machine() => return Err(why),
                Err(why) => {
                    refused.push(Refused {
                        suite: suite.name.clone(),
                        why,
                    });
                    stage.put_back()?
                }
            };
            let record = record.map(|record| (suite.name.to_string(), record));
            generation.suites.extend(record);
        }
        cache.trim(self.settings.cache_size)?;
        let mut built = Built {
            generation,
            changed,
            removed: self.removed.iter().map(ToString::to_string).collect(),
            links_changed: self.links_changed,
            refused,
            kept,
            damaged: self.damaged.keys().cloned().collect(),
        };
        built.tell_refused(self, 0, listener)?;
        self.place_links(&mut built.generation, &volatile)?;
        let _syncing = listener.progress(Task::Sync);
        let suites = built.generation.suites.keys();
        // What volatile held before was forced out before it was on record.
        let suites = suites.filter(|s| !is_volatile_known || !built.kept.contains(*s));
        trees::force_out(&volatile, &built.generation, suites)?;
        durable::sync_dir(layout.root())?;
        Ok(Staged { plan: self, built })
    }

    /// Removes from volatile what the new generation will not have, or has in another form.
    fn clear_outdated(&self, volatile: &Path) -> Result<()> {
        let none = Arc::new(SuiteRecord::default());
        let suites = self.suites.iter();
        let suites = suites.map(|suite| (suite.name.to_string(), Arc::clone(&none)));
        let mut configured = Generation::new(0);
        configured.suites = suites.collect();
        configured.links = self.links(|_| true);
        trees::remove_gone(volatile, self.published, &configured)
    }

    /// Warns of the suites that were refused, except the first `told` of them; `there` are the suites that the generation has. If nothing
    /// else would change, the run ends with the last one's reason; a suite that waits for an archive is no such reason, as long as there
    /// are others.
    pub(super) fn tell_refused(
        &self,
        refused: &mut Vec<Refused>,
        has_changed: bool,
        there: &BTreeSet<&str>,
        told: usize,
        listener: &dyn Listener,
    ) -> Result<()> {
        let has_news = has_changed || !self.removed.is_empty() || self.links_changed;
        // A tree without a suite serves nobody.
        let has_news = has_news && !there.is_empty();
        let ends = |refused: &Refused| !has_news && !self.waits(&refused.suite);
        let last = refused.iter().rposition(ends);
        let last = match there.is_empty() {
            true => last.or(refused.len().checked_sub(1)),
            false => last,
        };
        for (number, refused) in refused.iter().enumerate().skip(told) {
            if Some(number) != last {
                refused.tell(there.contains(refused.suite.as_str()), listener);
            }
        }
        last.map_or(Ok(()), |last| Err(refused.swap_remove(last).why))
    }

    /// Returns the configured symlinks of the suites that there are.
    fn links(&self, is_there: impl Fn(&str) -> bool) -> BTreeMap<String, String> {
        let specs = self.suites.iter().map(|suite| suite.spec);
        links(specs, self.settings, is_there)
    }

    /// Makes the symlinks of a generation, for the suites that it has.
    fn place_links(&self, generation: &mut Generation, volatile: &Path) -> Result<()> {
        let suites = &generation.suites;
        generation.links = self.links(|suite| suites.contains_key(suite));
        let left_out = self.links(|suite| !suites.contains_key(suite));
        for path in left_out
            .keys()
            .filter(|path| !generation.links.contains_key(*path))
        {
            hard_links::remove(&volatile.join(path))?;
        }
        let outside = trees::outside(generation);
        for (path, target) in &generation.links {
            match path.strip_prefix("pool/") {
                Some(pool) => {
                    let place = volatile.join(path);
                    hard_links::remove(&place)?;
                    place_pool(&place, pool, Path::new(target), &outside)?;
                }
                None => place_alias(&volatile.join(path), target)?,
            }
        }
        trees::clear_strays(volatile, generation)
    }

    pub(super) fn suite_stage<'a>(
        &'a self,
        suite: &'a SuitePlan<'p>,
        layout: &Layout,
        cache: &'a Cache,
        allow: Allowances,
        cancel: &'a Cancel,
    ) -> SuiteStage<'a> {
        let below = |tree: PathBuf| tree.join("dists").join(suite.name.as_str());
        SuiteStage {
            plan: self,
            suite,
            old: below(layout.production()),
            new: below(layout.volatile()),
            allow,
            cache,
            cancel,
            number: self.published.number.saturating_add(1),
            is_damaged: false,
        }
    }
}

fn why(action: &Action) -> &str {
    match action {
        Action::Keep => "made anew, there is no record of it",
        Action::Sign(why) | Action::Merge(why) => why,
        Action::Wait(_) => "an archive has no copy yet",
    }
}

/// Makes the symlink of an alias of a suite.
fn place_alias(place: &Path, target: &str) -> Result<()> {
    if std::fs::read_link(place).is_ok_and(|found| found == Path::new(target)) {
        return Ok(());
    }
    if let Some(parent) = place.parent() {
        durable::create_dir(parent)?;
    }
    durable::symlink(Path::new(target), place)
}

impl Staged<'_> {
    /// Reads the changed suites back as a client would, from InRelease down. A suite that fails is made once more without the
    /// cache, since a wrong entry would make that suite fail for ever; if it still fails, the suite stays as it is
    /// published, unless nothing else would change.
    pub fn check(
        mut self,
        workspace: &Workspace<'_>,
        options: StageOptions<'_>,
        now: Timestamp,
    ) -> Result<Checked> {
        let StageOptions {
            signer,
            allow,
            listener,
            cancel,
        } = options;
        let layout = workspace.layout();
        let (tree, production) = (layout.volatile(), layout.production());
        let keyring = signer.certificates()?;
        let options = CheckOptions {
            keyring: &keyring,
            now,
            cancel,
        };
        let unpublished = Manifest::default();
        let told = self.built.refused.len();
        let check = |generation: &Generation, suite: &SuiteName, checkpoints: &Checkpoints| {
            for_suite(suite, || {
                let name = suite.as_str();
                let published = self.plan.published.suites.get(name);
                let known = Known {
                    dir: production.join("dists").join(name),
                    manifest: published.map_or(&unpublished, |record| &record.manifest),
                    checkpoints,
                };
                let mut problems = check_suite(&tree, name, Some(&known), &options).problems;
                cancel.check()?;
                let found = trees::compare(&tree, generation, name)?;
                problems.extend(found.faults_but_modes());
                for wrong in found.modes.iter().take(1) {
                    listener.warn(format!("suite {name}: {wrong}, so some cannot read it"));
                }
                match problems.is_empty() {
                    true => Ok(()),
                    false => Err(PublishError::Check {
                        tree: tree.clone(),
                        problems,
                    }
                    .into()),
                }
            })
        };
        let mut checkpoints = Checkpoints::new(&layout.state());
        if allow.rebuild {
            checkpoints = checkpoints.distrusted();
        }
        let checking = listener.progress(Task::Check);
        checking.set_length(self.built.changed.len() as u64);
        let changed = self.built.changed.par_iter();
        let faults: Vec<_> = changed
            .filter_map(|suite| {
                let suite = suite.clone();
                let fault = check(&self.built.generation, &suite, &checkpoints);
                checking.inc(1);
                fault.err().map(|why| Refused { suite, why })
            })
            .collect();
        drop(checking);
        cancel.check()?;
        if let Some(fault) = faults.iter().find(|fault| fault.why.is_of_the_machine()) {
            return Err(fault.why.clone());
        }
        let checkpoints = checkpoints.distrusted();
        let mut lasting = Vec::new();
        for mut fault in faults {
            let planned = self.plan.suites.iter().find(|s| *s.name == fault.suite);
            if let (Some(PublishError::Check { problems, .. }), Some(planned)) =
                (fault.why.downcast_ref(), planned)
            {
                listener.warn(made_again(&fault.suite, problems));
                let cache = Cache::new(&layout.cache(), SystemTime::from(self.plan.now));
                let cache = cache.distrusted();
                let mut stage = self
                    .plan
                    .suite_stage(planned, layout, &cache, allow, cancel);
                stage.is_damaged = self.built.damaged.contains(fault.suite.as_str());
                stage.clear()?;
                let made = for_suite(&fault.suite, || stage.make(signer, listener));
                for path in cache.wrong() {
                    listener.warn(format!(
                        "{} was not what it is named by, though its checksum was right; it was made again",
                        path.display()
                    ));
                }
                let checked = made.and_then(|record| {
                    let generation = &mut self.built.generation;
                    generation
                        .suites
                        .insert(fault.suite.to_string(), Arc::new(record));
                    hard_links::sync_tree(&tree)?;
                    check(generation, &fault.suite, &checkpoints)
                });
                match checked {
                    Ok(()) => continue,
                    Err(why) if why.is_of_the_machine() => return Err(why),
                    Err(why) => fault.why = why,
                }
            }
            lasting.push(fault);
        }
        let faults = lasting;
        if faults.is_empty() {
            return Ok(Checked(self.built));
        }
        let cache = Cache::read_only(&layout.cache());
        for fault in faults {
            let planned = self.plan.suites.iter().find(|s| *s.name == fault.suite);
            let stage = planned.map(|s| {
                self.plan
                    .suite_stage(s, layout, &cache, Allowances::default(), cancel)
            });
            let record = stage.map_or(Ok(None), |stage| stage.put_back())?;
            let suites = &mut self.built.generation.suites;
            suites.remove(fault.suite.as_str());
            suites.extend(record.map(|record| (fault.suite.to_string(), record)));
            self.built.changed.retain(|suite| *suite != fault.suite);
            self.built.refused.push(fault);
        }
        self.built.tell_refused(self.plan, told, listener)?;
        self.plan.place_links(&mut self.built.generation, &tree)?;
        hard_links::sync_tree(&tree)?;
        Ok(Checked(self.built))
    }
}

/// Returns a text that says that a suite is made once more, with a few of the reasons.
fn made_again(suite: &SuiteName, problems: &[String]) -> String {
    let some: Vec<_> = problems.iter().take(3).map(String::as_str).collect();
    format!(
        "suite {suite}: the check before the swap found {} {}, so it is made once more, and nothing of it is taken from the cache: {}",
        problems.len(),
        if problems.len() == 1 {
            "fault"
        } else {
            "faults"
        },
        some.join("; ")
    )
}

impl Checked {
    /// Returns the number of the generation.
    pub fn number(&self) -> u64 {
        self.0.generation.number
    }

    /// Returns the suites that changed.
    pub fn changed(&self) -> &[SuiteName] {
        &self.0.changed
    }

    /// Returns the changes in these suites, package by package.
    pub fn differences(&self) -> BTreeMap<String, Difference> {
        let suites = &self.0.generation.suites;
        let changed = self.0.changed.iter().map(ToString::to_string);
        let difference = changed.filter_map(|name| {
            let difference = suites.get(&name)?.difference.clone();
            Some((name, difference))
        });
        difference.collect()
    }

    /// Returns the files under by-hash that these suites removed before their time.
    pub fn given_up(&self) -> BTreeMap<String, GivenUp> {
        let suites = &self.0.generation.suites;
        let changed = self.0.changed.iter().map(ToString::to_string);
        let given_up = changed.filter_map(|name| {
            let given_up = suites.get(&name)?.given_up?;
            Some((name, given_up))
        });
        given_up.collect()
    }

    /// Returns the suites that are no longer published.
    pub fn removed(&self) -> &[String] {
        &self.0.removed
    }

    /// Returns whether aliases or links to pools change.
    pub fn links_changed(&self) -> bool {
        self.0.links_changed
    }

    /// Returns the suites that stay as they are published.
    pub fn refused(&self) -> &[Refused] {
        &self.0.refused
    }

    /// Points the link at volatile, in one step. From here on the new generation is served.
    pub fn swap(self, workspace: &Workspace<'_>) -> Result<Swapped> {
        workspace.record_staged(&self.0.generation)?;
        if link::served(workspace.layout())? == link::Served::Nothing {
            // The first generation may lie in a directory that is as new.
            durable::sync_ancestors(workspace.layout().root())?;
        }
        link::swap(workspace.layout(), VOLATILE)?;
        Ok(Swapped(self.0))
    }
}

/// A generation that is served from volatile.
#[derive(Debug)]
pub struct Swapped(Built);

impl Swapped {
    /// Brings production up to volatile and points the link back at it.
    pub fn finish(self, workspace: &mut Workspace<'_>) -> Result<Published> {
        let number = self.0.generation.number;
        let before = workspace.adopt_staged(self.0.generation)?;
        Checkpoints::new(&workspace.layout().state()).collect(workspace.published())?;
        link::finish_changes(
            workspace.layout(),
            &before,
            workspace.published(),
            &self.0.kept,
        )?;
        let mut refused = self.0.refused.iter();
        // What was damaged and put back is in volatile as it is in production.
        if !refused.any(|refused| self.0.damaged.contains(refused.suite.as_str())) {
            workspace.record_volatile()?;
        }
        Ok(Published {
            number,
            changed: self.0.changed,
            removed: self.0.removed,
            links_changed: self.0.links_changed,
            refused: self.0.refused,
        })
    }
}
