//! The packages of one name, by version, while they are removed one by one; a removal tells which relations no longer hold for any of them.
//!
//! For every operator, the versions that a relation allows lie beside each other: from the first one up to some position, from a position
//! up to the last one, or in one position. So it is enough to know the first and the last version that is left, and the number of packages
//! that are left of each version. Each package and each relation is visited once, and never each pair of them.

use crate::deb822::{Operator, version_key};

/// A package that has a name, or provides it.
pub(super) struct Offer<'a> {
    pub(super) winner: u32,
    /// The rank of its archive.
    pub(super) rank: u16,
    /// `None` if the package provides the name without a version.
    pub(super) version: Option<&'a [u8]>,
}

/// A relation of a name: its number, and the restriction of the version.
pub(super) type Relation<'a> = (u32, Option<(Operator, &'a [u8])>);

/// The highest rank (the least number) and the first of some packages.
type Best = (u16, u32);

fn better(a: Option<Best>, b: Option<Best>) -> Option<Best> {
    match (a, b) {
        (Some((rank, first)), Some((other, second))) => Some((rank.min(other), first.min(second))),
        (a, b) => a.or(b),
    }
}

/// The packages that are left of a name.
#[derive(Default)]
pub(super) struct Offers {
    /// The position of each package's version, by the position of the package.
    versions: Vec<Option<u32>>,
    /// The number of packages that are left, and of each version.
    left: usize,
    left_of: Vec<usize>,
    /// The position of the first version that is left, and the one after the last.
    first: usize,
    end: usize,
    /// Relations that any version satisfies.
    any: Vec<u32>,
    /// Relations that one version satisfies.
    equal: Vec<Vec<u32>>,
    /// Relations that all versions before some position satisfy, and those that all from some position on satisfy; the first to fail stands
    /// last.
    before: Vec<(usize, u32)>,
    from: Vec<(usize, u32)>,
}

impl Offers {
    /// Sorts the packages. For each relation that any of them satisfies, notes the best that do.
    pub(super) fn new(
        offers: &[Offer<'_>],
        wanted: &[Relation<'_>],
        best: &mut [Option<Best>],
    ) -> Self {
        if wanted.is_empty() {
            return Self::default();
        }
        // For most names, no relation restricts the version.
        let by_version = wanted.iter().any(|(_, version)| version.is_some());
        let keys: Vec<Option<Vec<u8>>> = offers
            .iter()
            .map(|offer| offer.version.filter(|_| by_version).map(version_key))
            .collect();
        let mut sorted: Vec<&Vec<u8>> = keys.iter().flatten().collect();
        sorted.sort_unstable();
        sorted.dedup();
        let place = |key: &Vec<u8>| sorted.partition_point(|k| *k < key);
        let versions: Vec<Option<usize>> = keys.iter().map(|key| key.as_ref().map(place)).collect();
        let count = sorted.len();
        let mut new = Self {
            left: offers.len(),
            left_of: vec![0; count],
            end: count,
            equal: vec![Vec::new(); count],
            ..Self::default()
        };
        let mut of_all = None;
        let mut of_version: Vec<Option<Best>> = vec![None; count];
        for (offer, version) in offers.iter().zip(&versions) {
            let this = Some((offer.rank, offer.winner));
            of_all = better(of_all, this);
            if let Some(place) = *version {
                new.left_of[place] += 1;
                of_version[place] = better(of_version[place], this);
            }
        }
        let running = |best: &mut Option<Best>, this: &Option<Best>| {
            *best = better(*best, *this);
            Some(*best)
        };
        let up_to: Vec<_> = of_version.iter().scan(None, running).collect();
        let mut from: Vec<_> = of_version.iter().rev().scan(None, running).collect();
        from.reverse();
        for (relation, version) in wanted {
            let slot = &mut best[*relation as usize];
            let Some((operator, version)) = version else {
                new.any.push(*relation);
                *slot = of_all;
                continue;
            };
            let key = version_key(version);
            let (low, high) = (place(&key), sorted.partition_point(|k| **k <= key));
            match operator {
                Operator::Equal => {
                    if low < high {
                        new.equal[low].push(*relation);
                        *slot = of_version[low];
                    }
                }
                Operator::Earlier | Operator::EarlierOrEqual => {
                    let end = if *operator == Operator::Earlier {
                        low
                    } else {
                        high
                    };
                    if end > 0 {
                        new.before.push((end, *relation));
                        *slot = up_to[end - 1];
                    }
                }
                Operator::LaterOrEqual | Operator::Later => {
                    let start = if *operator == Operator::Later {
                        high
                    } else {
                        low
                    };
                    if start < count {
                        new.from.push((start, *relation));
                        *slot = from[start];
                    }
                }
            }
        }
        new.before.sort_unstable_by(|a, b| b.cmp(a));
        new.from.sort_unstable();
        let as_place = |version: Option<usize>| version.map(|place| place as u32);
        new.versions = versions.into_iter().map(as_place).collect();
        new
    }

    /// Removes a package; adds the relations that hold for none of the remaining packages to `broken`.
    pub(super) fn remove(&mut self, place: u32, broken: &mut Vec<u32>) {
        self.left -= 1;
        if self.left == 0 {
            broken.append(&mut self.any);
        }
        let Some(version) = self.versions[place as usize].map(|v| v as usize) else {
            return;
        };
        self.left_of[version] -= 1;
        if self.left_of[version] > 0 {
            return;
        }
        broken.append(&mut self.equal[version]);
        while self.first < self.end && self.left_of[self.first] == 0 {
            self.first += 1;
        }
        while self.first < self.end && self.left_of[self.end - 1] == 0 {
            self.end -= 1;
        }
        let (first, end) = match self.first < self.end {
            true => (self.first, self.end),
            // No version is left.
            false => (self.left_of.len(), 0),
        };
        while let Some((_, relation)) = self.before.pop_if(|(before, _)| *before <= first) {
            broken.push(relation);
        }
        while let Some((_, relation)) = self.from.pop_if(|(from, _)| *from >= end) {
            broken.push(relation);
        }
    }
}
