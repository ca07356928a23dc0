//! The plan: which suites have to be made anew, and why. It can be printed before anything is done.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::deb822::is_ahead;
use crate::error::{Error, Result};
use crate::events::Listener;
use crate::indices::has_component;
use crate::merge::{Input, Inputs, MERGE_VERSION};
use crate::names::{PoolName, SuiteName};
use crate::openpgp::SigningKeys;
use crate::spec::{Spec, digest};
use crate::verdicts::Verdicts;
use crate::workspace::{Generation, SuiteRecord, Workspace};
use jiff::Timestamp;
use rayon::prelude::*;

use super::link::{Served, served};
use super::look::Look;
use super::mend::Mended;
use super::readback;
use super::refused::Refused;
use super::release;
use super::settings::Settings;
use super::validity::{self, Bound};

/// The exceptions that an operator allows for one run; see the guards.
#[derive(Debug, Clone, Copy, Default)]
pub struct Allowances {
    /// A suite may lose more packages than `guards.max-shrink` says.
    pub shrink: bool,
    /// A Release may have a Date that is not later than the last one's.
    pub date: bool,
    /// An Origin, Label, Codename or NotAutomatic may change.
    pub identity: bool,
    /// Everything is made anew, whether something changed or not.
    pub rebuild: bool,
}

/// The action that a suite needs.
#[derive(Debug, Clone)]
pub enum Action {
    /// Nothing: its inputs and rules are those that it was made from.
    Keep,
    /// Only the suite's Release is made anew; the reason in words.
    Sign(String),
    /// The suite is merged; the reason in words.
    Merge(String),
    /// Nothing can be made of it, since an archive that it is made from has no copy yet; the error says which.
    Wait(Error),
}

/// A suite, and the action that it needs.
#[derive(Debug)]
pub struct SuitePlan<'a> {
    /// The name of the suite.
    pub name: &'a SuiteName,
    pub(super) spec: &'a Spec,
    /// The action that the suite needs.
    pub action: Action,
    /// A digest of everything that the suite's indices depend on.
    pub(super) content: String,
    /// A digest of everything else that the suite's Release depends on.
    pub(super) release: String,
    /// The latest Valid-Until that the suite may have.
    pub(super) bound: Option<Bound>,
    pub(super) record: Option<&'a Arc<SuiteRecord>>,
}

impl SuitePlan<'_> {
    /// Returns whether the suite cannot be signed any more, since an archive of it has nothing newer.
    fn is_bound_over(&self, now: Timestamp) -> bool {
        self.bound.as_ref().is_some_and(|bound| bound.is_over(now))
    }
}

/// The actions that a run is about to take.
pub struct Plan<'a> {
    pub(super) settings: &'a Settings,
    inputs: &'a dyn Inputs,
    pub(super) published: &'a Generation,
    /// The time of the plan, in whole seconds: the Date of the suites that are made anew.
    pub(crate) now: Timestamp,
    /// The suites, in the order of their names.
    pub suites: Vec<SuitePlan<'a>>,
    /// Suites that are published and no longer configured.
    pub removed: Vec<&'a str>,
    /// `true` if links or pool links differ from the configured ones, or those that are served from the record.
    pub links_changed: bool,
    /// The suites that production does not hold as their manifests have them, each with a file that is at fault.
    pub(super) damaged: BTreeMap<String, String>,
    /// The closeness of the look at the trees.
    pub(super) look: Look,
    /// The keys that will sign.
    pub keys: SigningKeys,
    /// The verdicts on what is served.
    verdicts: Verdicts,
}

impl<'a> Plan<'a> {
    /// Compares specs and inputs with what is published, and what is published with the keys that will sign; `verdicts` are earlier ones. `mended` knows what is left of
    /// damage to production.
    pub(crate) fn new(
        specs: &'a [Spec],
        settings: &'a Settings,
        inputs: &'a dyn Inputs,
        (keys, verdicts): (SigningKeys, Verdicts),
        mended: &Mended<'a>,
        now: Timestamp,
        rebuild: bool,
    ) -> Result<Plan<'a>> {
        let workspace = mended.workspace;
        let layout = workspace.layout();
        let published = workspace.published();
        // The record describes what production holds. If somebody removed production or the link, the record is void.
        let nothing_served = served(layout)? == Served::Nothing;
        let is_there = |name: &SuiteName| {
            let dir = layout.production().join("dists").join(name.as_str());
            !nothing_served && dir.join("InRelease").is_file()
        };
        let fingerprints = keys.fingerprints();
        let damaged = specs.iter().filter_map(|spec| {
            let name = spec.name.to_string();
            Some((name.clone(), mended.fault_of(&name)?))
        });
        let mut damaged: BTreeMap<String, String> = damaged.collect();
        let mut suites = Vec::new();
        for spec in specs {
            let name = &spec.name;
            let record = published
                .suites
                .get(name.as_str())
                .filter(|_| is_there(name) || damaged.contains_key(name.as_str()));
            let found = inputs.inputs(&spec.content);
            let fault = found.as_ref().err().cloned();
            let found = found.unwrap_or_default();
            let digests = Digests::new(spec, &found, &fingerprints);
            let bound = Bound::new(&spec.content, &found);
            let action = match fault {
                Some(why) => Action::Wait(why),
                None => {
                    let bound = bound.as_ref();
                    let action = action(spec, record, &digests, bound, now, rebuild);
                    match (action, damaged.get(name.as_str())) {
                        (Action::Keep, Some(fault)) => Action::Merge(fault.clone()),
                        (action, _) => action,
                    }
                }
            };
            suites.push(SuitePlan {
                name,
                spec,
                action,
                content: digests.content,
                release: digests.release,
                bound,
                record,
            });
        }
        suites
            .par_iter_mut()
            .filter(|suite| matches!(suite.action, Action::Keep) && !suite.is_bound_over(now))
            .for_each(|suite| {
                let dir = layout.production().join("dists").join(suite.name.as_str());
                let file = suite.record.and_then(|r| r.manifest.files.get("InRelease"));
                let checked = readback::check_signature(&dir, file, &keys, &verdicts, now);
                if let Err(why) = checked {
                    let why = crate::chain::chain(&why);
                    suite.action =
                        Action::Sign(format!("clients refuse its signature today: {why}"));
                }
            });
        for suite in &suites {
            let name = suite.name.as_str();
            let is_new = matches!(suite.action, Action::Sign(_) | Action::Merge(_));
            if is_new
                && suite.record.is_some()
                && let Some(fault) = mended.closer_look(name)?
            {
                damaged.entry(name.to_owned()).or_insert(fault);
            }
        }
        let configured = |name: &str| specs.iter().any(|spec| spec.name.as_str() == name);
        let removed = published
            .suites
            .keys()
            .map(String::as_str)
            .filter(|n| !configured(n))
            .collect();
        // The aliases of a suite that is not published come and go with the suite.
        let is_published = |name: &str| published.suites.contains_key(name);
        let links_changed = published.links != links(specs.iter(), settings, is_published)
            || mended.fault_above().is_some();
        Ok(Plan {
            settings,
            inputs,
            published,
            now,
            suites,
            removed,
            links_changed,
            look: mended.look,
            keys,
            verdicts,
            damaged,
        })
    }

    /// Warns of suites that clients refuse, or will refuse soon, since an archive has nothing newer.
    pub fn tell_bounds(&self, listener: &dyn Listener) {
        for suite in &self.suites {
            let bound = suite.bound.as_ref();
            if let Some(warning) = bound.and_then(|b| b.warning(suite.name.as_str(), self.now)) {
                listener.warn_of(warning.to_string(), warning);
            }
        }
    }

    /// Records the verdicts on the signatures that are served.
    pub(crate) fn record_verdicts(&self, workspace: &Workspace<'_>) -> Result<()> {
        self.verdicts.write(workspace)
    }

    /// Returns whether there is nothing to publish.
    pub fn is_empty(&self) -> bool {
        self.removed.is_empty()
            && !self.links_changed
            && (self.suites.iter()).all(|s| matches!(s.action, Action::Keep | Action::Wait(_)))
    }

    /// Returns whether a suite that is to be made anew has a Date of this very second, so that its next one would not be later.
    pub(crate) fn is_within_a_second(&self) -> bool {
        let mut suites = self.suites.iter();
        suites.any(|suite| {
            let record = self.published.suites.get(suite.name.as_str());
            matches!(suite.action, Action::Sign(_) | Action::Merge(_))
                && record.is_some_and(|record| record.date == self.now.as_second())
        })
    }

    /// Returns the suites that wait for an archive, and warns of each. Fails if nothing is published besides.
    pub fn waiting(&self, listener: &dyn Listener) -> Result<Vec<Refused>> {
        let waiting = self.suites.iter().filter_map(|suite| match &suite.action {
            Action::Wait(why) => Some(Refused {
                suite: suite.name.clone(),
                why: why.clone(),
            }),
            _ => None,
        });
        let mut waiting = waiting.collect();
        let published = self.suites.iter().filter(|suite| suite.record.is_some());
        let there = published.map(|suite| suite.name.as_str()).collect();
        self.tell_refused(&mut waiting, false, &there, 0, listener)?;
        Ok(waiting)
    }

    /// Returns whether a suite waits for an archive.
    pub(super) fn waits(&self, suite: &SuiteName) -> bool {
        let mut suites = self.suites.iter();
        suites.any(|s| s.name == suite && matches!(s.action, Action::Wait(_)))
    }

    /// Returns the inputs of all suites that have theirs, each with its pool.
    pub(super) fn all_inputs(&self) -> impl Iterator<Item = (&PoolName, Box<dyn Input + 'a>)> {
        self.suites.iter().flat_map(|suite| {
            let content = &suite.spec.content;
            let inputs = self.inputs.inputs(content).unwrap_or_default();
            let pools = content.inputs.iter().map(|input| &input.pool);
            pools.zip(inputs)
        })
    }

    /// Returns the inputs of a suite. Refuses to make a suite from inputs that nothing proves, unless the result would be what is already
    /// published.
    pub(super) fn inputs(&self, suite: &SuitePlan<'_>) -> Result<Vec<Box<dyn Input + 'a>>> {
        let inputs = self.inputs.inputs(&suite.spec.content)?;
        let is_published = suite.record.is_some_and(|record| {
            record.content == suite.content && record.release == suite.release
        });
        if !is_published {
            inputs.iter().try_for_each(|input| input.check())?;
        }
        Ok(inputs)
    }
}

/// Returns the symlinks of the tree besides its suites: alias and target below `dists/`, for the suites that there are; pool and directory.
pub(super) fn links<'a>(
    specs: impl Iterator<Item = &'a Spec>,
    settings: &Settings,
    is_there: impl Fn(&str) -> bool,
) -> BTreeMap<String, String> {
    let mut links = BTreeMap::new();
    for spec in specs.filter(|spec| is_there(spec.name.as_str())) {
        for alias in &spec.aliases {
            let up = "../".repeat(alias.depth() - 1);
            links.insert(format!("dists/{alias}"), format!("{up}{}", spec.name));
        }
    }
    let pools = settings.linked_pools.iter();
    links.extend(pools.map(|(pool, dir)| {
        let dir = dir.to_string_lossy().into_owned();
        (format!("pool/{pool}"), dir)
    }));
    links
}

/// The digests of everything that a suite is made from.
struct Digests {
    /// The digest of what the indices depend on.
    content: String,
    /// The digest of what else the Release depends on.
    release: String,
}

impl Digests {
    /// Returns the digests of a spec, its inputs, and the keys that sign.
    fn new(spec: &Spec, inputs: &[Box<dyn Input + '_>], keys: &[String]) -> Digests {
        let content = &spec.content;
        let indices = inputs.iter().zip(&content.inputs).map(|(input, settings)| {
            let indices = input.facts().indices.iter();
            // Indices that only other suites read from the same input do not matter here.
            let indices = indices.filter(|(name, _)| has_component(content, settings, name));
            let indices =
                indices.map(|(name, index)| (name.to_string(), hex::encode(index.sha256)));
            indices.collect::<BTreeMap<_, _>>()
        });
        let indices: Vec<_> = indices.collect();
        let inherited = release::model(content, inputs).map(|(_, input)| {
            let fields = input.facts().fields.as_ref();
            fields.map_err(ToString::to_string)
        });
        Digests {
            content: digest(&(MERGE_VERSION, &spec.content, indices)),
            release: digest(&(MERGE_VERSION, &spec.release, inherited, keys)),
        }
    }
}

fn action(
    spec: &Spec,
    record: Option<&Arc<SuiteRecord>>,
    digests: &Digests,
    bound: Option<&Bound>,
    now: Timestamp,
    rebuild: bool,
) -> Action {
    let Some(record) = record else {
        return Action::Merge("it is new".into());
    };
    if rebuild {
        return Action::Merge("--rebuild was given".into());
    }
    if record.content != digests.content {
        return Action::Merge("its inputs or rules changed".into());
    }
    if record.release != digests.release {
        return Action::Sign("its Release fields, keys or patches changed".into());
    }
    if Timestamp::from_second(record.date).is_ok_and(|date| is_ahead(date, now)) {
        return Action::Sign(
            "its Date lies in the future, and clients refuse it until then".into(),
        );
    }
    if bound.is_some_and(|bound| bound.is_over(now)) {
        // The suite cannot be signed; a warning says so, and this is no reason to begin a run.
        return Action::Keep;
    }
    if bound.is_some_and(|bound| bound.is_before(record.valid_until)) {
        return Action::Sign("an archive's Valid-Until is earlier than its own".into());
    }
    let until = validity::until(spec, bound, now).ok().flatten();
    match (record.valid_until, until.map(Timestamp::as_second)) {
        (Some(_), None) => Action::Sign("it needs no Valid-Until any more".into()),
        // The suite is signed again when half of its time is over, so that it never lapses while served, but only if that lengthens it.
        (Some(recorded), Some(until))
            if until > recorded
                && now.as_second().saturating_mul(2) >= record.date.saturating_add(recorded) =>
        {
            Action::Sign("its Valid-Until draws near".into())
        }
        _ => Action::Keep,
    }
}
