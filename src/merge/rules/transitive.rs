//! Transitive bans: what could be installed before the bans and cannot be after them goes as well, to the fixpoint.
//!
//! A clause of Depends or Pre-Depends is satisfied by a published package of the same suite and architecture, in any component,
//! that has the name of an alternative and a version that it allows, or that provides it (Policy 7.5: where the alternative
//! restricts the version, only a Provides with a version will do). Only a clause that the winners satisfied before the bans
//! counts: what never was satisfied here lies in another suite, or is broken upstream, and that is not for bans to judge. As
//! for bans, qualifiers of architecture, `[…]` and `<…>` are not looked at.
//!
//! Packages are dropped in rounds, and each names one that went before it, so chains end at a package banned by name.

use std::collections::{BTreeSet, HashMap};

use crate::deb822::{Name, alternatives, alternatives_of, clauses};

use super::super::entry::Entry;
use super::{Drop, Outcome, lossy};

/// A winner that satisfies a name: by its own name and version, or by providing it, with a version or without.
#[derive(Clone, Copy)]
struct Satisfier<'a> {
    winner: u32,
    version: Option<&'a [u8]>,
}

/// Names with the winners that satisfy them.
type Satisfiers<'a> = HashMap<Name<'a>, Vec<Satisfier<'a>>>;

/// Drops what cannot be satisfied without what was dropped already.
pub(super) fn drop_unsatisfied(outcome: &mut Outcome<'_>, exempt: &[u16]) {
    if outcome.dropped.is_empty() {
        return;
    }
    let kept = std::mem::take(&mut outcome.kept);
    let mut winners: Vec<(Entry<'_>, Option<Drop>)> = kept.into_iter().map(|e| (e, None)).collect();
    let first_dropped = winners.len();
    let dropped = std::mem::take(&mut outcome.dropped);
    winners.extend(dropped.into_iter().map(|(e, why)| (e, Some(why))));
    let (satisfiers, mentions) = rayon::join(
        || satisfiers(&winners),
        || mentions(&winners[..first_dropped], exempt),
    );
    let mut lost: Vec<u32> = (first_dropped..winners.len()).map(|n| n as u32).collect();
    while !lost.is_empty() {
        let names = lost.iter().flat_map(|n| names_of(&winners[*n as usize].0));
        let affected: BTreeSet<u32> = names
            .filter_map(|name| mentions.get(&name))
            .flatten()
            .copied()
            .collect();
        let newly: Vec<(u32, Drop)> = affected
            .into_iter()
            .filter(|n| winners[*n as usize].1.is_none())
            .filter_map(|n| Some((n, unsatisfied(n, &winners, &satisfiers)?)))
            .collect();
        lost = newly.iter().map(|(n, _)| *n).collect();
        for (n, why) in newly {
            winners[n as usize].1 = Some(why);
        }
    }
    for (entry, why) in winners {
        match why {
            None => outcome.kept.push(entry),
            Some(why) => outcome.dropped.push((entry, why)),
        }
    }
}

/// The name of a package, and those that it provides.
fn names_of<'a>(entry: &Entry<'a>) -> impl Iterator<Item = Name<'a>> {
    let provided = alternatives(entry.field("Provides")).flatten();
    std::iter::once(entry.name).chain(provided.map(|p| p.name))
}

fn satisfiers<'a>(winners: &[(Entry<'a>, Option<Drop>)]) -> Satisfiers<'a> {
    let mut satisfiers = Satisfiers::with_capacity(winners.len());
    for (number, (entry, _)) in winners.iter().enumerate() {
        let mut add = |name, version| {
            let winner = number as u32;
            satisfiers
                .entry(name)
                .or_default()
                .push(Satisfier { winner, version });
        };
        add(entry.name, Some(entry.version));
        for provided in alternatives(entry.field("Provides")).flatten() {
            add(
                provided.name,
                provided.version().map(|(_, version)| version),
            );
        }
    }
    satisfiers
}

/// The names that dependencies mention, each with the winners that do so.
fn mentions<'a>(
    winners: &[(Entry<'a>, Option<Drop>)],
    exempt: &[u16],
) -> HashMap<Name<'a>, Vec<u32>> {
    let mut mentions: HashMap<Name<'_>, Vec<u32>> = HashMap::new();
    for (number, (entry, _)) in winners.iter().enumerate() {
        if exempt.contains(&entry.rank) {
            continue;
        }
        for field in [entry.pre_depends, entry.depends] {
            for alternative in alternatives(field).flatten() {
                let of_name = mentions.entry(alternative.name).or_default();
                if of_name.last() != Some(&(number as u32)) {
                    of_name.push(number as u32);
                }
            }
        }
    }
    mentions
}

/// Why a winner cannot be installed any more, if it cannot.
fn unsatisfied(
    number: u32,
    winners: &[(Entry<'_>, Option<Drop>)],
    satisfiers: &Satisfiers<'_>,
) -> Option<Drop> {
    let entry = &winners.get(number as usize)?.0;
    let fields = [entry.pre_depends, entry.depends];
    fields.into_iter().flat_map(clauses).find_map(|clause| {
        let mut gone = None;
        for alternative in alternatives_of(clause) {
            let wanted = alternative.version();
            let known = satisfiers.get(&alternative.name);
            let able = known.into_iter().flatten().filter(|s| match wanted {
                None => true,
                Some((operator, wanted)) => s.version.is_some_and(|v| operator.holds(v, wanted)),
            });
            for satisfier in able {
                let (by, why) = winners.get(satisfier.winner as usize)?;
                // Satisfied, and no more to be asked about this clause.
                let why = why.as_ref()?;
                gone.get_or_insert((by, why));
            }
        }
        let (by, why) = gone?;
        let mut chain = vec![by.name.to_string()];
        chain.extend(why.chain());
        Some(Drop::Unsatisfied {
            clause: lossy(clause),
            chain,
        })
    })
}
