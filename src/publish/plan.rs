//! The plan: which suites have to be made anew, and why. It can be printed before anything is done.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::Serialize;
use sha2::{Digest, Sha256};

use crate::cancel::Cancel;
use crate::config::{Config, Suite, SuiteName};
use crate::error::Result;
use crate::events::Listener;
use crate::fetch::Spool;
use crate::merge::{MERGE_VERSION, SuiteMerge};
use crate::workspace::{Generation, SuiteRecord, Workspace};

use super::check::is_ahead;
use super::link::{Served, served};
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
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Nothing: its inputs and rules are those that it was made from.
    Keep,
    /// Only the suite's Release is made anew; the reason in words.
    Sign(String),
    /// The suite is merged; the reason in words.
    Merge(String),
}

/// A suite, and the action that it needs.
#[derive(Debug)]
pub struct SuitePlan<'a> {
    /// The name of the suite.
    pub name: &'a SuiteName,
    /// The configuration of the suite.
    pub suite: &'a Suite,
    /// The action that the suite needs.
    pub action: Action,
    /// A digest of everything that the suite's indices depend on.
    pub(super) content: String,
    /// A digest of everything else that the suite's Release depends on.
    pub(super) release: String,
    /// The latest Valid-Until that the suite may have.
    pub(super) bound: Option<Bound>,
    /// The record of what is published of the suite now.
    pub(super) record: Option<&'a SuiteRecord>,
}

/// The actions that a run is about to take.
#[derive(Debug)]
pub struct Plan<'a> {
    pub(super) config: &'a Config,
    pub(super) spool: &'a Spool,
    pub(super) published: &'a Generation,
    pub(super) now: Timestamp,
    /// The suites, in the order of their names.
    pub suites: Vec<SuitePlan<'a>>,
    /// Suites that are published and no longer configured.
    pub removed: Vec<&'a str>,
    /// `true` if links or pool links differ from the configured ones.
    pub links_changed: bool,
}

#[derive(Serialize)]
struct Content<'a> {
    version: u32,
    components: &'a [crate::config::Component],
    architectures: &'a [crate::config::Architecture],
    families: &'a std::collections::BTreeSet<crate::config::Family>,
    compress: &'a std::collections::BTreeSet<crate::config::Form>,
    hashes: &'a std::collections::BTreeSet<crate::config::HashKind>,
    contents_beside_components: bool,
    strategy: crate::config::Strategy,
    pins: Vec<&'a crate::config::Pin>,
    /// `include` and `exclude` of each archive.
    filters: Vec<[Option<&'a crate::config::Filter>; 2]>,
    may_be_essential: Vec<bool>,
    bans: &'a crate::config::Bans,
    watch: &'a crate::config::Reports,
    inputs: Vec<(String, String, BTreeMap<&'a str, &'a str>)>,
    /// `true` for each archive that gets links to its packages: the record names those of its files that lie outside of a pool.
    local: Vec<bool>,
}

#[derive(Serialize)]
struct ReleaseInputs<'a> {
    version: u32,
    overrides: &'a BTreeMap<String, String>,
    inherited: Vec<(String, String)>,
    valid_for: Option<crate::config::TimeSpan>,
    /// The number of patches that a list may have, and their size.
    pdiff: crate::config::PatchHistory,
    signing: &'a crate::config::Signing,
}

impl<'a> Plan<'a> {
    /// Compares the configuration and the spool with what is published.
    pub fn new(
        config: &'a Config,
        spool: &'a Spool,
        workspace: &'a Workspace<'_>,
        now: Timestamp,
        rebuild: bool,
    ) -> Result<Plan<'a>> {
        let layout = workspace.layout();
        let published = workspace.published();
        // The record describes what production holds. If somebody removed production or the link, the record is void.
        let nothing_served = served(layout)? == Served::Nothing;
        let is_there = |name: &SuiteName| {
            let dir = layout.production().join("dists").join(name.as_str());
            !nothing_served && dir.join("InRelease").is_file()
        };
        let mut suites = Vec::new();
        for (name, suite) in &config.suites {
            let content = digest(&content(config, spool, name, suite));
            let inherited = inherited(config, spool, suite);
            let fault = inherited.as_ref().err().map(|why| crate::error::chain(why));
            let release = digest(&ReleaseInputs {
                version: MERGE_VERSION,
                overrides: &suite.release,
                inherited: inherited.unwrap_or_default(),
                valid_for: config.publish.valid_for,
                pdiff: config.publish.pdiff,
                signing: &config.signing,
            });
            let record = published
                .suites
                .get(name.as_str())
                .filter(|_| is_there(name));
            // Making the suite ends in the same error, as an error of that suite alone.
            let bound = Bound::new(config, spool, suite);
            let action = match fault {
                Some(why) => Action::Merge(why),
                None => {
                    let bound = bound.as_ref();
                    action(config, record, &content, &release, bound, now, rebuild)
                }
            };
            suites.push(SuitePlan {
                name,
                suite,
                action,
                content,
                release,
                bound,
                record,
            });
        }
        let configured = |name: &str| config.suites.contains_key(name);
        let removed = published
            .suites
            .keys()
            .map(String::as_str)
            .filter(|n| !configured(n))
            .collect();
        // The aliases of a suite that is not published come and go with the suite.
        let is_published = |name: &str| published.suites.contains_key(name);
        let links_changed = published.links != links(config, is_published);
        Ok(Plan {
            config,
            spool,
            published,
            now,
            suites,
            removed,
            links_changed,
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

    /// Returns whether there is nothing to publish.
    pub fn is_empty(&self) -> bool {
        self.removed.is_empty()
            && !self.links_changed
            && self.suites.iter().all(|s| s.action == Action::Keep)
    }

    /// Refuses to make a suite from copies that nothing proves. A suite whose result would be what is already published may still be merged
    /// or signed again.
    pub(super) fn check_proofs(&self, suite: &SuitePlan<'_>) -> Result<()> {
        let is_published = suite.record.is_some_and(|record| {
            record.content == suite.content && record.release == suite.release
        });
        match is_published {
            true => Ok(()),
            false => self.spool.check_proofs(self.config, suite.suite),
        }
    }

    /// Returns the merge of a suite from its inputs, highest priority first.
    pub(super) fn merge<'p>(
        &'p self,
        suite: &'p SuitePlan<'_>,
        cancel: &Cancel,
    ) -> Result<SuiteMerge<'p>> {
        self.spool
            .merge(self.config, suite.name, suite.suite, cancel)
    }
}

/// Returns the fields that a suite's Release inherits from its first archive's; an error where an archive of the suite has no copy.
fn inherited(config: &Config, spool: &Spool, suite: &Suite) -> Result<Vec<(String, String)>> {
    for (archive, _, upstream) in config.inputs(suite) {
        if spool.get(archive, upstream).is_none() {
            return Err(spool.lacks(archive, upstream));
        }
    }
    super::release::inherited(config, spool, suite)
}

/// Returns the symlinks of the tree besides its suites: alias and target below `dists/`, for the suites that there are; pool and directory.
pub(super) fn links(config: &Config, is_there: impl Fn(&str) -> bool) -> BTreeMap<String, String> {
    let mut links = BTreeMap::new();
    let suites = config.suites.iter();
    for (name, suite) in suites.filter(|(name, _)| is_there(name.as_str())) {
        for alias in &suite.links {
            let up = "../".repeat(alias.depth() - 1);
            links.insert(format!("dists/{alias}"), format!("{up}{name}"));
        }
    }
    if config.publish.pool_links {
        for archive in config.archives.values() {
            if let Some(dir) = archive.directory() {
                links.insert(
                    format!("pool/{}", archive.pool),
                    dir.to_string_lossy().into_owned(),
                );
            }
        }
    }
    links
}

fn content<'a>(
    config: &'a Config,
    spool: &'a Spool,
    name: &SuiteName,
    suite: &'a Suite,
) -> Content<'a> {
    let pins = config.pin.iter().filter(|pin| pin.is_for_suite(name));
    let pins = pins.filter(|pin| suite.from.contains_key(&pin.archive));
    let filters = config.inputs(suite);
    let filters =
        filters.map(|(_, archive, _)| [archive.include.as_ref(), archive.exclude.as_ref()]);
    let inputs = config
        .inputs(suite)
        .filter_map(|(name, archive, upstream)| {
            let copy = &spool.get(name, upstream)?.copy;
            let components = config.components_of(suite);
            // Indices that only other suites read from the same archive do not matter here.
            let mine = |path: &str| match path.split_once('/') {
                Some((component, _)) => components.iter().any(|c| c.as_str() == component),
                None => true,
            };
            let indices = copy.indices.iter().filter(|(path, _)| mine(path));
            let indices = indices
                .map(|(path, stored)| (path.as_str(), stored.sha256.as_str()))
                .collect();
            Some((name.to_string(), archive.pool.to_string(), indices))
        });
    Content {
        version: MERGE_VERSION,
        components: config.components_of(suite),
        architectures: config.architectures_of(suite),
        families: &config.indices,
        compress: &config.publish.compress,
        hashes: &config.publish.hashes,
        contents_beside_components: config.publish.contents_beside_components,
        strategy: config.strategy_of(suite),
        pins: pins.collect(),
        filters: filters.collect(),
        may_be_essential: config
            .inputs(suite)
            .map(|(_, archive, _)| archive.may_be_essential)
            .collect(),
        bans: &config.bans,
        watch: &config.reports,
        inputs: inputs.collect(),
        local: config
            .inputs(suite)
            .map(|(_, archive, _)| config.publish.pool_links && archive.directory().is_some())
            .collect(),
    }
}

fn digest(value: &impl Serialize) -> String {
    // The value is plain data, all of which JSON can hold.
    let text = serde_json::to_vec(value).unwrap_or_default();
    hex::encode(Sha256::digest(&text))
}

fn action(
    config: &Config,
    record: Option<&SuiteRecord>,
    content: &str,
    release: &str,
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
    if record.content != content {
        return Action::Merge("its inputs or rules changed".into());
    }
    if record.release != release {
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
    let until = validity::until(config, bound, "", now).ok().flatten();
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
