//! Precedence and bans: which of the entries of one name space are published, and why the others are not.
//!
//! The rules apply in this order. An entry that the filter of its archive leaves out is ignored. A name belongs to one archive: by pin,
//! else by strategy, and with regard to the other architectures ([`super::owners`]). The winner is tested against the bans; no loser
//! replaces a banned winner, nor one that cannot be published ([`super::fields`]). With `transitive`, packages whose dependencies can no longer be satisfied are
//! dropped. All rules but the last look at the entries of one name alone. So `explain` applies the same rules to the few names that matter,
//! with the same result for these as for all.
//!
//! A source that a filter leaves out is still published if a published binary needs it.

mod owner;
mod transitive;

use std::cmp::Ordering;

use rayon::prelude::*;
use serde::Serialize;

use crate::deb822::{Name, alternatives, compare_versions};
use crate::names::{Architecture, PackageName};
use crate::spec::{Bans, Filter, Pin, Strategy};
use crate::suite_report::OlderFork;

use super::entry::{Entry, Kind};
use super::input::SuiteMerge;
pub(crate) use owner::{Owner, Owners};

/// The rules of one name space.
pub(crate) struct Rules<'a> {
    kind: Kind,
    strategy: Strategy,
    /// The pins that hold here, in the order of the configuration: the number from 1, the rank of the archive, the pin.
    pins: Vec<(usize, u16, &'a Pin)>,
    /// `include` and `exclude` of each archive, by rank; empty if no archive has one.
    filters: Vec<[Option<&'a Filter>; 2]>,
    bans: &'a Bans,
    /// The ranks of archives that bans do not touch.
    exempt: Vec<u16>,
    /// The owners across architectures, if there are several architectures.
    owners: Option<&'a Owners>,
}

impl<'a> Rules<'a> {
    /// Returns the rules for an architecture's packages or udebs, or, without an architecture, for sources.
    pub(crate) fn new(merge: &'a SuiteMerge<'_>, architecture: Option<&Architecture>) -> Self {
        let spec = merge.spec;
        let rank_of = |pin: &Pin| {
            let mut inputs = spec.inputs.iter();
            inputs.position(|input| input.archive == pin.archive)
        };
        let pins = spec.pins.iter();
        let pins = pins
            .filter(|it| it.pin.is_for_architecture(architecture))
            .filter_map(|it| Some((it.number, rank_of(&it.pin)? as u16, &it.pin)))
            .collect();
        let inputs = spec.inputs.iter();
        let filters = inputs.map(|input| [input.include.as_ref(), input.exclude.as_ref()]);
        let mut filters: Vec<_> = filters.collect();
        if filters.iter().flatten().all(Option::is_none) {
            filters.clear();
        }
        let ranks = spec.inputs.iter().enumerate();
        let exempt = ranks.filter(|(_, input)| input.is_exempt);
        Self {
            kind: match architecture {
                Some(_) => Kind::Binary,
                None => Kind::Source,
            },
            strategy: spec.strategy,
            pins,
            filters,
            bans: &spec.bans,
            exempt: exempt.map(|(rank, _)| rank as u16).collect(),
            owners: None,
        }
    }

    /// Returns the rules for one of several architectures.
    pub(crate) fn beside(
        merge: &'a SuiteMerge<'_>,
        architecture: &Architecture,
        owners: &'a Owners,
    ) -> Self {
        Self {
            owners: Some(owners),
            ..Self::new(merge, Some(architecture))
        }
    }

    /// Returns the rules for a name in all architectures at once: without the pins that are for some of them.
    pub(crate) fn across(merge: &'a SuiteMerge<'_>) -> Self {
        let mut rules = Self {
            kind: Kind::Binary,
            ..Self::new(merge, None)
        };
        rules.pins.retain(|(_, _, pin)| pin.architectures.is_none());
        rules
    }

    /// Returns whether the order of archives alone decides which archive owns a name.
    pub(crate) fn is_by_order_alone(&self) -> bool {
        self.strategy == Strategy::Order && self.pins.is_empty()
    }

    /// Returns whether the result for one name can depend on the results for others.
    pub(crate) fn is_transitive(&self) -> bool {
        self.bans.transitive && self.kind == Kind::Binary && !self.bans.packages.is_empty()
    }

    /// Returns the strategy that gives a name to an archive if no pin does.
    pub(crate) fn strategy(&self) -> Strategy {
        self.strategy
    }

    /// Returns the table of its archive's filter that leaves an entry out, if one does.
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

    /// Returns the claim of an entry to its name.
    pub(crate) fn claim<'e>(&self, entry: &Entry<'e>) -> Claim<&'e [u8]> {
        let is_pinned = |pin: &Pin| match self.kind {
            Kind::Binary => {
                pin.packages.is_match(entry.name.as_written())
                    || !pin.sources.is_empty()
                        && pin.sources.is_match(entry.source().0.as_written())
            }
            Kind::Source => pin.sources.is_match(entry.name.as_written()),
        };
        let mut pins = self.pins.iter();
        let pin = pins.find(|(_, rank, pin)| *rank == entry.rank && is_pinned(pin));
        Claim {
            rank: entry.rank,
            pin: pin.map(|(number, _, _)| *number),
            version: entry.version,
        }
    }

    /// Compares two claims to one name: the lesser one wins.
    pub(crate) fn order<A: AsRef<[u8]>, B: AsRef<[u8]>>(
        &self,
        a: &Claim<A>,
        b: &Claim<B>,
    ) -> Ordering {
        let by_pin = |pin: Option<usize>| pin.unwrap_or(usize::MAX);
        let by_strategy = || match self.strategy {
            Strategy::Order => Ordering::Equal,
            Strategy::Newest => compare_versions(b.version.as_ref(), a.version.as_ref()),
        };
        by_pin(a.pin)
            .cmp(&by_pin(b.pin))
            .then_with(by_strategy)
            .then_with(|| a.rank.cmp(&b.rank))
    }

    /// Returns the claim that wins a name, in this architecture alone.
    fn owner<'e>(&self, same_name: &[Entry<'e>]) -> Option<Claim<&'e [u8]>> {
        let claims = same_name.iter().map(|entry| self.claim(entry));
        claims.min_by(|a, b| self.order(a, b))
    }

    /// Returns the owner of a name across architectures, unless a pin for this architecture decided `here`.
    fn across_of(&self, name: Name<'_>, here: &Claim<&[u8]>) -> Option<&'a Owner> {
        let is_of_here = |(number, _, pin): &(usize, u16, &Pin)| {
            Some(*number) == here.pin && pin.architectures.is_some()
        };
        let owner = self.owners?.get(name)?;
        (!self.pins.iter().any(is_of_here)).then_some(owner)
    }
}

/// The facts that can give a name to an archive.
#[derive(Debug, Clone)]
pub(crate) struct Claim<V> {
    /// The archive.
    pub(crate) rank: u16,
    /// The number of the pin that names the entry.
    pub(crate) pin: Option<usize>,
    /// The version.
    version: V,
}

impl Claim<&[u8]> {
    /// Returns a copy of the claim that can outlive its index.
    pub(crate) fn kept(&self) -> Claim<Box<[u8]>> {
        Claim {
            rank: self.rank,
            pin: self.pin,
            version: self.version.into(),
        }
    }
}

/// The reasons to leave an entry out before any other rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Exclusion {
    /// The archive's `include` does not name the entry.
    Include,
    /// The archive's `exclude` names the entry.
    Exclude,
}

/// The reason why an entry is not published.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum DropReason {
    /// The entry is banned by its own name.
    BannedName,
    /// The entry cannot be installed without this banned package.
    BannedDependency(String),
    /// Bans removed every package that would have satisfied this clause of the entry.
    Unsatisfied {
        /// The clause as the stanza has it.
        clause: String,
        /// The package that would have satisfied it: its position in [`Outcome::dropped`].
        by: usize,
    },
}

/// The result of the rules for the entries of one name space.
#[derive(Default)]
pub(crate) struct Outcome<'a> {
    /// The published entries, by name, version, architecture.
    pub(crate) kept: Vec<Entry<'a>>,
    /// Winners that a ban dropped.
    pub(crate) dropped: Vec<(Entry<'a>, DropReason)>,
    /// Winners that no ban dropped and that cannot be published.
    pub(crate) flawed: Vec<Entry<'a>>,
    /// Pairs of packages of one archive that have one version, and different files: the one that counts, and the one that is ignored.
    pub(crate) twice: Vec<(Entry<'a>, Entry<'a>)>,
    /// Entries that are hidden because their name belongs to another archive.
    pub(crate) hidden: Vec<Entry<'a>>,
    /// Entries that the filter of their archive leaves out.
    pub(crate) excluded: Vec<Entry<'a>>,
    /// Names that an archive owns across architectures which would not own them here alone, with its rank.
    pub(crate) elsewhere: Vec<(Name<'a>, u16)>,
    /// Names that a pin gave to their archive, with the number of the pin.
    pub(crate) pinned: Vec<(Name<'a>, usize)>,
    /// Names whose winner is older than the newest version that it hides.
    pub(crate) older: Vec<OlderFork>,
}

impl Outcome<'_> {
    /// Returns the packages from a dropped package's dependency to the cause: each needs the next, and the last is banned by name.
    pub(crate) fn chain<'s>(&'s self, why: &'s DropReason) -> impl Iterator<Item = String> + 's {
        let mut next = Some(why);
        std::iter::from_fn(move || match next.take()? {
            DropReason::BannedName => None,
            DropReason::BannedDependency(name) => Some(name.clone()),
            DropReason::Unsatisfied { by, .. } => {
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
    // An archive that has a package both in its architecture's index and in binary-all, or in two components, has it once.
    entries.dedup_by(|b, a| {
        let is_same = (a.name, a.version, a.architecture, a.rank)
            == (b.name, b.version, b.architecture, b.rank);
        if is_same && a.has_other_files(b) {
            outcome.twice.push((*a, *b));
        }
        is_same
    });
    outcome.kept.reserve(entries.len());
    for same_name in entries.chunk_by(|a, b| a.name == b.name) {
        let Some(here) = rules.owner(same_name) else {
            continue;
        };
        let name = same_name[0].name;
        let across = rules.across_of(name, &here);
        let winner = across.map_or(here.rank, |owner| owner.winner(same_name, here.rank));
        let (won, lost): (Vec<&Entry<'_>>, Vec<_>) = same_name
            .iter()
            .partition(|e| e.rank == winner && across.is_none_or(|owner| owner.lets_pass(e)));
        let across = across.filter(|owner| owner.rank() != here.rank);
        outcome
            .elsewhere
            .extend(across.map(|owner| (name, owner.rank())));
        let pin = match across {
            Some(owner) if won.first().is_none_or(|e| e.rank == owner.rank()) => owner.pin(),
            _ => here.pin,
        };
        outcome.pinned.extend(pin.map(|number| (name, number)));
        outcome.older.extend(older_fork(&won, &lost));
        outcome.hidden.extend(lost);
        for entry in won {
            match drop_reason(entry, rules.bans).filter(|_| !rules.exempt.contains(&entry.rank)) {
                Some(reason) => outcome.dropped.push((*entry, reason)),
                None if entry.is_flawed => outcome.flawed.push(*entry),
                None => outcome.kept.push(*entry),
            }
        }
    }
    if rules.is_transitive() {
        transitive::drop_unsatisfied(&mut outcome, &rules.exempt);
    }
    outcome
}

/// Sorts entries by name, version, architecture; then by fields that make the order independent of the order of
/// the inputs.
pub(crate) fn sort(entries: &mut [Entry<'_>]) {
    entries.par_sort_unstable_by(|a, b| {
        a.name
            .cmp(&b.name)
            .then_with(|| compare_versions(a.version, b.version))
            .then_with(|| a.version.cmp(b.version))
            .then_with(|| a.architecture.cmp(b.architecture))
            .then_with(|| {
                (a.rank, a.is_flawed, a.component).cmp(&(b.rank, b.is_flawed, b.component))
            })
            .then_with(|| a.raw.cmp(b.raw))
    });
}

fn older_fork(won: &[&Entry<'_>], lost: &[&Entry<'_>]) -> Option<OlderFork> {
    let newest = |entries: &[&Entry<'_>]| -> Option<Vec<u8>> {
        let versions = entries.iter().filter(|e| !e.is_flawed).map(|e| e.version);
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

fn drop_reason(entry: &Entry<'_>, bans: &Bans) -> Option<DropReason> {
    if bans.packages.is_empty() {
        return None;
    }
    if is_banned(entry.name, bans) {
        return Some(DropReason::BannedName);
    }
    entry.needs().find_map(|field| {
        alternatives(field).find_map(|mut clause| {
            let first = clause.clone().next()?.name;
            let all_banned = clause.all(|a| is_banned(a.name, bans));
            all_banned.then(|| DropReason::BannedDependency(first.to_string()))
        })
    })
}

fn is_banned(name: Name<'_>, bans: &Bans) -> bool {
    std::str::from_utf8(&name.folded()).is_ok_and(|name| bans.packages.contains::<str>(name))
}

/// Returns whether an entry needs one of `packages` to be installed, in any alternative.
pub(crate) fn needs_any<'p>(
    entry: &Entry<'_>,
    packages: impl Iterator<Item = &'p PackageName> + Clone,
) -> bool {
    let needs = entry.needs();
    needs
        .flat_map(|field| alternatives(field).flatten())
        .any(|a| packages.clone().any(|p| Name::from(p.as_str()) == a.name))
}

pub(crate) fn lossy(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[cfg(test)]
mod tests;
