//! Transitive bans: packages that could be installed before the bans, and cannot be after them, are dropped as well, to the fixpoint.
//!
//! A clause of Depends or Pre-Depends is satisfied by a published package of the same suite and architecture, in any component, that has
//! the name of an alternative and a version that it allows, or that provides it (Policy 7.5: if the alternative restricts the version, only
//! a Provides with a version will do). As for bans, architecture qualifiers, `[…]` and `<…>` are ignored.
//!
//! A clause is judged only if the package's own archive, or a higher one, satisfied it before the bans. A clause that no archive satisfied
//! depends on another suite or is broken upstream, and bans do not judge that. A clause that only lower archives satisfied may depend on
//! another suite just as well. If bans judged it, a lower archive could publish a package of that name with a dependency on a banned
//! package, and so remove the higher archive's package. But whichever package satisfies a clause afterwards keeps it, whatever archive it
//! is from.
//!
//! So no archive takes a package from an archive above it. Let D be the packages of the archives down to rank r that are dropped if there
//! are no lower archives, and E the packages of the same archives that are dropped if there are. In the first round, bans alone decide, so
//! D and E are equal. If a later round drops a package of E, the package's own archive or a higher one satisfied one of its clauses before
//! the bans, and every package that satisfied the clause was dropped in an earlier round. Those down to rank r are in D. Without the lower
//! archives, these and no others satisfied the clause, so the package is in D. Hence E is a part of D. (Bans look at each package by
//! itself, and a name goes to a lower archive only by a pin or by `newest`, because the configuration says so.)
//!
//! Packages that satisfy each other's clauses in a circle stay, as they can be installed together.
//!
//! Packages are dropped in rounds, and each names one that was dropped before it, so chains end at a package banned by name. The work is
//! n log n: a clause counts its relations that still hold, and for each name the packages, sorted by version, show when the last package
//! that a relation allows is dropped (`offers`).

mod offers;

use std::collections::HashMap;

use crate::deb822::{Name, alternatives, alternatives_of, clauses};

use super::super::entry::Entry;
use super::{DropReason, Outcome, lossy};
use offers::{Offer, Offers, Relation};

/// A clause that can be judged, of a package that was not dropped at first.
struct Clause<'a> {
    owner: u32,
    text: &'a [u8],
    /// The number of its alternatives that some package satisfies.
    left: u32,
    /// The first package that satisfied the first satisfied alternative.
    first: u32,
}

/// Drops the packages that cannot be satisfied without those that are dropped already.
pub(super) fn drop_unsatisfied(outcome: &mut Outcome<'_>, exempt: &[u16]) {
    if outcome.dropped.is_empty() {
        return;
    }
    let kept = std::mem::take(&mut outcome.kept);
    let dropped = std::mem::take(&mut outcome.dropped);
    let first_dropped = kept.len();
    let winners: Vec<Entry<'_>> = kept
        .iter()
        .chain(dropped.iter().map(|(entry, _)| entry))
        .copied()
        .collect();
    let mut judge = Judge::new(&winners, first_dropped, exempt);
    let mut lost: Vec<u32> = (first_dropped..winners.len()).map(|n| n as u32).collect();
    // The clause for which each package is dropped.
    let mut gone: Vec<Option<u32>> = vec![None; first_dropped];
    while !lost.is_empty() {
        let mut failed = judge.remove(&lost);
        lost.clear();
        // If several clauses of a package fail, the first one is reported.
        failed.sort_unstable();
        for number in failed {
            let owner = judge.clauses[number as usize].owner;
            let slot = &mut gone[owner as usize];
            if slot.is_none() {
                *slot = Some(number);
                lost.push(owner);
            }
        }
    }
    let places = places(&gone, winners.len());
    for (entry, clause) in kept.into_iter().zip(gone) {
        match clause.map(|number| &judge.clauses[number as usize]) {
            None => outcome.kept.push(entry),
            Some(clause) => {
                let why = DropReason::Unsatisfied {
                    clause: lossy(clause.text),
                    by: places[clause.first as usize],
                };
                outcome.dropped.push((entry, why));
            }
        }
    }
    outcome.dropped.extend(dropped);
}

/// Returns the position of each winner among the dropped ones, if it is dropped.
fn places(gone: &[Option<u32>], winners: usize) -> Vec<usize> {
    let is_gone = gone.iter().map(Option::is_some);
    let all = is_gone.chain(std::iter::repeat(true)).take(winners);
    let before = all.scan(0, |count, is_gone| {
        let place = *count;
        *count += usize::from(is_gone);
        Some(place)
    });
    before.collect()
}

/// The clauses that must be satisfied, and the packages that still satisfy them.
struct Judge<'a> {
    clauses: Vec<Clause<'a>>,
    /// For each name that a winner has or provides: the packages that are left.
    offers: Vec<Offers>,
    /// By winner: the names that it has or provides, each with its position among the packages of the name.
    offered: Vec<Vec<(u32, u32)>>,
    /// By relation: the clauses that have it as an alternative.
    users: Vec<Vec<u32>>,
}

impl<'a> Judge<'a> {
    fn new(winners: &[Entry<'a>], first_dropped: usize, exempt: &[u16]) -> Self {
        let (names, by_name) = offers_by_name(winners);
        let mut relations: HashMap<_, u32> = HashMap::new();
        let mut wanted: Vec<Vec<Relation<'_>>> = vec![Vec::new(); by_name.len()];
        let mut written: Vec<(u32, &[u8], Vec<u32>)> = Vec::new();
        let judged = winners.iter().take(first_dropped).enumerate();
        for (owner, entry) in judged.filter(|(_, e)| !exempt.contains(&e.rank)) {
            for text in entry.needs().flat_map(clauses) {
                let known = alternatives_of(text).filter_map(|alternative| {
                    let name = *names.get(&alternative.name)?;
                    let version = alternative.version();
                    let next = relations.len() as u32;
                    let number = *relations.entry((name, version)).or_insert(next);
                    if number == next {
                        wanted[name as usize].push((number, version));
                    }
                    Some(number)
                });
                let known: Vec<u32> = known.collect();
                if !known.is_empty() {
                    written.push((owner as u32, text, known));
                }
            }
        }
        let mut offered = vec![Vec::new(); winners.len()];
        let mut offers = Vec::with_capacity(by_name.len());
        // The best packages that satisfy each relation: rank and number.
        let mut best: Vec<Option<(u16, u32)>> = vec![None; relations.len()];
        for (name, (of_name, wanted)) in by_name.iter().zip(&wanted).enumerate() {
            if !wanted.is_empty() {
                for (place, offer) in of_name.iter().enumerate() {
                    offered[offer.winner as usize].push((name as u32, place as u32));
                }
            }
            offers.push(Offers::new(of_name, wanted, &mut best));
        }
        let mut judge = Self {
            clauses: Vec::new(),
            offers,
            offered,
            users: vec![Vec::new(); best.len()],
        };
        for (owner, text, relations) in written {
            let rank = winners[owner as usize].rank;
            let satisfied = relations.iter().filter(|r| best[**r as usize].is_some());
            let mut bests = satisfied.clone().filter_map(|r| best[*r as usize]);
            let Some((_, first)) = bests.clone().next() else {
                continue;
            };
            if !bests.any(|(highest, _)| highest <= rank) {
                continue;
            }
            let number = judge.clauses.len() as u32;
            let mut left = 0;
            for relation in satisfied {
                judge.users[*relation as usize].push(number);
                left += 1;
            }
            judge.clauses.push(Clause {
                owner,
                text,
                left,
                first,
            });
        }
        judge
    }

    /// Removes packages; returns the clauses that nothing satisfies any more.
    fn remove(&mut self, lost: &[u32]) -> Vec<u32> {
        let mut broken = Vec::new();
        for winner in lost {
            for (name, place) in &self.offered[*winner as usize] {
                self.offers[*name as usize].remove(*place, &mut broken);
            }
        }
        let mut failed = Vec::new();
        for relation in broken {
            for number in &self.users[relation as usize] {
                let clause = &mut self.clauses[*number as usize];
                clause.left -= 1;
                if clause.left == 0 {
                    failed.push(*number);
                }
            }
        }
        failed
    }
}

/// Returns every name that winners have or provide, numbered, with the winners' offers under it.
fn offers_by_name<'a>(winners: &[Entry<'a>]) -> (HashMap<Name<'a>, u32>, Vec<Vec<Offer<'a>>>) {
    let mut names: HashMap<Name<'a>, u32> = HashMap::with_capacity(winners.len());
    let mut by_name: Vec<Vec<Offer<'a>>> = Vec::with_capacity(winners.len());
    for (number, entry) in winners.iter().enumerate() {
        let mut add = |name, version| {
            let next = by_name.len() as u32;
            let number_of_name = *names.entry(name).or_insert(next);
            if number_of_name == next {
                by_name.push(Vec::new());
            }
            by_name[number_of_name as usize].push(Offer {
                winner: number as u32,
                rank: entry.rank,
                version,
            });
        };
        add(entry.name, Some(entry.version));
        for provided in alternatives(entry.field("Provides")).flatten() {
            add(
                provided.name,
                provided.version().map(|(_, version)| version),
            );
        }
    }
    (names, by_name)
}
