//! Precedence and bans: which of the entries of one name space are published, and why the others are not.
//!
//! In this order: what the filter of an archive leaves out is as if it was not there; then a name belongs to one archive, by
//! pin, else by strategy; then the winner is tested against the bans, and a banned one is not replaced by a loser, nor is one that
//! apt cannot read; then, with `transitive`, goes whatever can no longer be satisfied. All but the last looks at the entries of one name alone, so the
//! rules can be applied to some names of a name space and give for these what they give for all.

mod transitive;

use rayon::prelude::*;
use serde::Serialize;

use crate::config::{Architecture, Archive, Bans, Filter, PackageName, Pin, Strategy};
use crate::deb822::{Name, alternatives, compare_versions};

use super::entry::{Entry, Kind};
use super::suite::SuiteMerge;

/// The rules of one name space.
pub(crate) struct Rules<'a> {
    kind: Kind,
    strategy: Strategy,
    /// The pins that hold here, in the order of the configuration: number from 1, rank of the archive, pin.
    pins: Vec<(usize, u16, &'a Pin)>,
    /// `include` and `exclude` of each archive, by rank; empty where no archive has one.
    filters: Vec<[Option<&'a Filter>; 2]>,
    bans: &'a Bans,
    /// The ranks of archives that bans do not touch.
    exempt: Vec<u16>,
}

impl<'a> Rules<'a> {
    /// The rules for an architecture's packages or udebs, or, without one, for sources.
    pub(crate) fn new(merge: &'a SuiteMerge<'_>, architecture: Option<&Architecture>) -> Self {
        let config = merge.config;
        let rank_of = |pin: &Pin| {
            let mut inputs = merge.inputs.iter();
            inputs.position(|input| input.archive() == pin.archive.as_str())
        };
        let pins = config.pin.iter().enumerate();
        let pins = pins
            .filter(|(_, pin)| {
                pin.is_for_suite(merge.name) && pin.is_for_architecture(architecture)
            })
            .filter_map(|(number, pin)| Some((number + 1, rank_of(pin)? as u16, pin)))
            .collect();
        let filter = |archive: Option<&'a Archive>| {
            archive.map_or([None, None], |a| [a.include.as_ref(), a.exclude.as_ref()])
        };
        let mut filters: Vec<_> = merge
            .inputs
            .iter()
            .map(|input| filter(config.archives.get(input.archive())))
            .collect();
        if filters.iter().flatten().all(Option::is_none) {
            filters.clear();
        }
        let ranks = merge.inputs.iter().enumerate();
        let exempt = ranks.filter(|(_, input)| input.is_exempt());
        Self {
            kind: match architecture {
                Some(_) => Kind::Binary,
                None => Kind::Source,
            },
            strategy: config.strategy_of(merge.suite),
            pins,
            filters,
            bans: &config.bans,
            exempt: exempt.map(|(rank, _)| rank as u16).collect(),
        }
    }

    /// Whether what becomes of one name can hang on what becomes of others.
    pub(crate) fn is_transitive(&self) -> bool {
        self.bans.transitive && self.kind == Kind::Binary && !self.bans.packages.is_empty()
    }

    /// How a name finds its archive where no pin gives it one.
    pub(crate) fn strategy(&self) -> Strategy {
        self.strategy
    }

    /// Which table of its archive's filter leaves an entry out, if one does.
    pub(crate) fn exclusion(&self, entry: &Entry<'_>) -> Option<Exclusion> {
        let [include, exclude] = self.filters.get(usize::from(entry.rank))?;
        if exclude.is_some_and(|filter| self.is_in(entry, filter)) {
            return Some(Exclusion::Exclude);
        }
        let is_included = include.is_none_or(|filter| self.is_in(entry, filter));
        (!is_included).then_some(Exclusion::Include)
    }

    fn is_in(&self, entry: &Entry<'_>, filter: &Filter) -> bool {
        let is_binary = self.kind == Kind::Binary;
        let is_named = match self.kind {
            Kind::Binary => {
                filter.packages.is_match(entry.name.as_written())
                    || !filter.sources.is_empty()
                        && filter.sources.is_match(entry.source().0.as_written())
            }
            Kind::Source => filter.sources.is_match(entry.name.as_written()),
        };
        let is_in_section = || {
            let section = entry.field("Section");
            let inner = section.rsplit(|b| *b == b'/').next().unwrap_or_default();
            filter.sections.is_match(section) || filter.sections.is_match(inner)
        };
        let has_priority = || filter.priorities.is_match(entry.field("Priority"));
        is_named
            || !filter.sections.is_empty() && is_in_section()
            || is_binary && !filter.priorities.is_empty() && has_priority()
    }

    /// The rank of the archive that a name belongs to, and the number of the pin that says so.
    fn owner(&self, same_name: &[Entry<'_>]) -> (u16, Option<usize>) {
        let Some(Entry { name, .. }) = same_name.first() else {
            return (0, None);
        };
        for (number, rank, pin) in &self.pins {
            let mut of_archive = same_name.iter().filter(|e| e.rank == *rank).peekable();
            if of_archive.peek().is_none() {
                continue;
            }
            let is_pinned = match self.kind {
                Kind::Binary => {
                    pin.packages.is_match(name.as_written())
                        || !pin.sources.is_empty()
                            && of_archive.any(|e| pin.sources.is_match(e.source().0.as_written()))
                }
                Kind::Source => pin.sources.is_match(name.as_written()),
            };
            if is_pinned {
                return (*rank, Some(*number));
            }
        }
        let ranks = same_name.iter().map(|e| e.rank);
        let owner = match self.strategy {
            Strategy::Order => ranks.min(),
            Strategy::Newest => {
                let newest = same_name.iter().max_by(|a, b| {
                    compare_versions(a.version, b.version).then_with(|| b.rank.cmp(&a.rank))
                });
                newest.map(|e| e.rank)
            }
        };
        (owner.unwrap_or_default(), None)
    }
}

/// What leaves an entry out before anything else is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Exclusion {
    /// The archive's `include` does not name it.
    Include,
    /// The archive's `exclude` names it.
    Exclude,
}

/// Why an entry is not published.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Drop {
    /// It is banned by its own name.
    BannedName,
    /// It cannot be installed without this banned package.
    BannedDependency(String),
    /// Bans took whatever would have satisfied this clause of its.
    Unsatisfied {
        /// The clause as it stands in the stanza.
        clause: String,
        /// The package that would have: its place in [`Outcome::dropped`].
        by: usize,
    },
}

/// An overlay's package that is older than what it hides.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct OlderFork {
    pub(crate) package: String,
    pub(crate) winner: String,
    pub(crate) hidden: String,
}

/// What the rules made of the entries of one name space.
#[derive(Default)]
pub(crate) struct Outcome<'a> {
    /// In the order of publication: by name, version, architecture.
    pub(crate) kept: Vec<Entry<'a>>,
    /// Winners that a ban took away.
    pub(crate) dropped: Vec<(Entry<'a>, Drop)>,
    /// Winners that no ban took and that apt cannot read.
    pub(crate) unreadable: Vec<Entry<'a>>,
    /// What the archive that the name belongs to hides of others.
    pub(crate) hidden: Vec<Entry<'a>>,
    /// What is not taken from its archive.
    pub(crate) excluded: Vec<Entry<'a>>,
    /// Names that a pin gave to their archive, with the number of the pin.
    pub(crate) pinned: Vec<(Name<'a>, usize)>,
    /// Names whose winner is older than the newest version that it hides.
    pub(crate) older: Vec<OlderFork>,
}

impl Outcome<'_> {
    /// What a dropped package could not do without, and what that one could not, and so on; the last is banned by name.
    pub(crate) fn chain<'s>(&'s self, why: &'s Drop) -> impl Iterator<Item = String> + 's {
        let mut next = Some(why);
        std::iter::from_fn(move || match next.take()? {
            Drop::BannedName => None,
            Drop::BannedDependency(name) => Some(name.clone()),
            Drop::Unsatisfied { by, .. } => {
                let (entry, why) = self.dropped.get(*by)?;
                next = Some(why);
                Some(entry.name.to_string())
            }
        })
    }
}

/// Applies the rules.
pub(crate) fn apply<'a>(mut entries: Vec<Entry<'a>>, rules: &Rules<'_>) -> Outcome<'a> {
    let mut outcome = Outcome::default();
    if !rules.filters.is_empty() {
        let (excluded, taken) = entries
            .into_par_iter()
            .partition(|entry| rules.exclusion(entry).is_some());
        (entries, outcome.excluded) = (taken, excluded);
    }
    sort(&mut entries);
    // An archive that has a package both in its arch index and in binary-all, or in two components, has it once.
    entries.dedup_by(|b, a| {
        (a.name, a.version, a.architecture, a.rank) == (b.name, b.version, b.architecture, b.rank)
    });
    outcome.kept.reserve(entries.len());
    for same_name in entries.chunk_by(|a, b| a.name == b.name) {
        let (winner, pin) = rules.owner(same_name);
        outcome
            .pinned
            .extend(pin.map(|number| (same_name[0].name, number)));
        let (won, lost): (Vec<_>, Vec<_>) = same_name.iter().partition(|e| e.rank == winner);
        outcome.older.extend(older_fork(&won, &lost));
        outcome.hidden.extend(lost);
        for entry in won {
            match drop_reason(entry, rules.bans).filter(|_| !rules.exempt.contains(&entry.rank)) {
                Some(reason) => outcome.dropped.push((*entry, reason)),
                None if !entry.is_readable => outcome.unreadable.push(*entry),
                None => outcome.kept.push(*entry),
            }
        }
    }
    if rules.is_transitive() {
        transitive::drop_unsatisfied(&mut outcome, &rules.exempt);
    }
    outcome
}

/// The order of publication: name, version, architecture; then what makes it the same whatever order the inputs came in.
pub(crate) fn sort(entries: &mut [Entry<'_>]) {
    entries.par_sort_unstable_by(|a, b| {
        a.name
            .cmp(&b.name)
            .then_with(|| compare_versions(a.version, b.version))
            .then_with(|| a.version.cmp(b.version))
            .then_with(|| a.architecture.cmp(b.architecture))
            .then_with(|| (a.rank, a.component).cmp(&(b.rank, b.component)))
            .then_with(|| a.raw.cmp(b.raw))
    });
}

fn older_fork(won: &[&Entry<'_>], lost: &[&Entry<'_>]) -> Option<OlderFork> {
    let newest = |entries: &[&Entry<'_>]| -> Option<Vec<u8>> {
        let versions = entries.iter().map(|e| e.version);
        versions
            .max_by(|a, b| compare_versions(a, b))
            .map(<[u8]>::to_vec)
    };
    let (winner, hidden) = (newest(won)?, newest(lost)?);
    compare_versions(&winner, &hidden)
        .is_lt()
        .then(|| OlderFork {
            package: won[0].name.to_string(),
            winner: lossy(&winner),
            hidden: lossy(&hidden),
        })
}

fn drop_reason(entry: &Entry<'_>, bans: &Bans) -> Option<Drop> {
    if bans.packages.is_empty() {
        return None;
    }
    if is_banned(entry.name, bans) {
        return Some(Drop::BannedName);
    }
    [entry.pre_depends, entry.depends]
        .into_iter()
        .find_map(|field| {
            alternatives(field).find_map(|mut clause| {
                let first = clause.clone().next()?.name;
                let all_banned = clause.all(|a| is_banned(a.name, bans));
                all_banned.then(|| Drop::BannedDependency(first.to_string()))
            })
        })
}

fn is_banned(name: Name<'_>, bans: &Bans) -> bool {
    std::str::from_utf8(&name.folded()).is_ok_and(|name| bans.packages.contains::<str>(name))
}

/// Whether an entry needs one of `packages` to be installed, in any alternative.
pub(crate) fn needs_any<'p>(
    entry: &Entry<'_>,
    packages: impl Iterator<Item = &'p PackageName> + Clone,
) -> bool {
    [entry.pre_depends, entry.depends]
        .into_iter()
        .flat_map(|field| alternatives(field).flatten())
        .any(|a| packages.clone().any(|p| Name::from(p.as_str()) == a.name))
}

pub(crate) fn lossy(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[cfg(test)]
mod tests;
