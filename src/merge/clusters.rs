//! The clusters of an input: which of its names have to do with each other.
//!
//! A source and the binaries that were built from it, and the binaries that it lists in `Binary`, are in one cluster, whatever the
//! architecture or the component, and whether or not a filter leaves them out. A source, a package and a udeb of one name are in one cluster
//! as well, so a name is in one cluster only. Stanzas of no package are in none: no rule looks at them.

use std::collections::hash_map::Entry as Place;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use rayon::prelude::*;

use crate::error::Result;
use crate::spec::Family;

use super::claims::listed;
use super::coded::{Reader, put, put_number};
use super::entry::Kind;
use super::group::wanted_binaries;
use super::input::SuiteMerge;
use super::load::{Loaded, WantedIndex, load, wanted_sources};

/// Names as apt compares them.
pub(super) type Names = HashSet<Box<[u8]>>;

/// The indices of packages of an input, in parts that are in memory one after the other.
pub(super) fn wanted(merge: &SuiteMerge<'_>, rank: usize) -> Vec<(Kind, Vec<WantedIndex>)> {
    let mut seen = BTreeSet::new();
    let mut parts = Vec::new();
    for family in [Family::Packages, Family::Installer] {
        if merge.spec.families.contains(&family) {
            for architecture in merge.spec.name_spaces() {
                let wanted = wanted_binaries(merge, family, architecture);
                parts.push((Kind::Binary, wanted));
            }
        }
    }
    if merge.spec.families.contains(&Family::Sources) {
        parts.push((Kind::Source, wanted_sources(merge)));
    }
    for (_, wanted) in &mut parts {
        // Each architecture reads binary-all.
        wanted.retain(|(of, _, name)| *of == rank && seen.insert(name.clone()));
    }
    parts
}

/// Calls a function with each name of an input and a name that it has to do with: a binary and its source, a source and a binary that it
/// lists, a source and itself.
fn each_pair(
    merge: &SuiteMerge<'_>,
    rank: usize,
    mut with: impl FnMut(&[u8], &[u8]),
) -> Result<()> {
    for (kind, wanted) in wanted(merge, rank) {
        let loaded = load(merge, wanted)?;
        let pairs = |index: &Loaded| -> Result<Vec<[Box<[u8]>; 2]>> {
            let mut pairs = HashSet::new();
            for entry in &index.parse(kind)?.entries {
                let name = entry.name.folded();
                let mut pair = |other: &[u8]| {
                    pairs.insert([(&*name).into(), other.into()]);
                };
                match kind {
                    Kind::Binary => pair(&entry.source().0.folded()),
                    Kind::Source => {
                        pair(&name);
                        listed(entry.raw).for_each(|binary| pair(&binary.folded()));
                    }
                }
            }
            Ok(pairs.into_iter().collect())
        };
        let pairs: Vec<_> = loaded.par_iter().map(pairs).collect::<Result<_>>()?;
        for [name, other] in pairs.iter().flatten() {
            with(name, other);
        }
    }
    Ok(())
}

/// The names of an input and all that its stanzas mention, sorted, each once, in the form that is kept.
pub(super) fn mentioned(merge: &SuiteMerge<'_>, rank: usize) -> Result<Vec<u8>> {
    let mut names: BTreeSet<Box<[u8]>> = BTreeSet::new();
    each_pair(merge, rank, |name, other| {
        for name in [name, other] {
            if !names.contains(name) {
                names.insert(Box::from(name));
            }
        }
    })?;
    let mut kept = Vec::new();
    for name in names {
        put(&mut kept, &name);
    }
    Ok(kept)
}

/// Adds the names of [`mentioned`] to a set; `None` if the bytes are something else.
pub(super) fn add_mentioned(kept: &[u8], names: &mut Names) -> Option<()> {
    let mut reader = Reader(kept);
    while !reader.is_done() {
        names.insert(reader.bytes()?.into());
    }
    Some(())
}

/// The clusters of an input, in the form that is kept: each name, sorted, after the number of its cluster.
pub(super) struct Clusters(pub(super) Vec<u8>);

impl Clusters {
    /// Reads an input.
    pub(super) fn of(merge: &SuiteMerge<'_>, rank: usize) -> Result<Self> {
        let mut joined = Joined::default();
        each_pair(merge, rank, |name, other| joined.join(name, other))?;
        Ok(Self(joined.finish()))
    }

    /// Returns all names of those clusters that have one of `names`; `None` if the clusters are not in the form that is kept.
    pub(super) fn touched(&self, names: &Names) -> Option<Names> {
        let each = |with: &mut dyn FnMut(u32, &[u8])| {
            let mut reader = Reader(&self.0);
            while !reader.is_done() {
                let cluster = reader.number()?;
                with(cluster, reader.bytes()?);
            }
            Some(())
        };
        let mut clusters = HashSet::new();
        each(&mut |cluster, name| {
            if names.contains(name) {
                clusters.insert(cluster);
            }
        })?;
        let mut touched = Names::new();
        each(&mut |cluster, name| {
            if clusters.contains(&cluster) {
                touched.insert(name.into());
            }
        })?;
        Some(touched)
    }
}

/// Names that are joined to clusters, pair by pair.
#[derive(Default)]
struct Joined {
    numbers: HashMap<Box<[u8]>, usize>,
    /// For each number, one of the same cluster that is not greater; the number itself in one place of each cluster.
    parents: Vec<usize>,
}

impl Joined {
    fn number(&mut self, name: &[u8]) -> usize {
        let next = self.parents.len();
        match self.numbers.get(name) {
            Some(number) => *number,
            None => {
                self.numbers.insert(name.into(), next);
                self.parents.push(next);
                next
            }
        }
    }

    fn root(&mut self, mut number: usize) -> usize {
        while self.parents[number] != number {
            self.parents[number] = self.parents[self.parents[number]];
            number = self.parents[number];
        }
        number
    }

    fn join(&mut self, one: &[u8], other: &[u8]) {
        let (one, other) = (self.number(one), self.number(other));
        let (one, other) = (self.root(one), self.root(other));
        self.parents[one.max(other)] = one.min(other);
    }

    /// Returns the clusters in the form that is kept, which does not depend on the order of the pairs.
    fn finish(mut self) -> Vec<u8> {
        let sorted: BTreeMap<_, _> = std::mem::take(&mut self.numbers).into_iter().collect();
        let mut clusters: HashMap<usize, u32> = HashMap::new();
        let mut kept = Vec::new();
        for (name, number) in sorted {
            let next = clusters.len() as u32;
            let cluster = match clusters.entry(self.root(number)) {
                Place::Occupied(cluster) => *cluster.get(),
                Place::Vacant(place) => *place.insert(next),
            };
            put_number(&mut kept, cluster);
            put(&mut kept, &name);
        }
        kept
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn names(names: &[&str]) -> Names {
        names.iter().map(|name| name.as_bytes().into()).collect()
    }

    #[test]
    fn a_touched_name_brings_its_cluster_and_no_other() {
        let pairs = [
            ("a", "s"),
            ("b", "s"),
            ("s", "c"),
            ("d", "d"),
            ("e", "t"),
            ("c", "u"),
        ];
        let clusters = |pairs: &mut dyn Iterator<Item = &(&str, &str)>| {
            let mut joined = Joined::default();
            pairs.for_each(|(a, b)| joined.join(a.as_bytes(), b.as_bytes()));
            Clusters(joined.finish())
        };
        let forward = clusters(&mut pairs.iter());
        assert_eq!(clusters(&mut pairs.iter().rev()).0, forward.0);
        let touched = |of: &[&str]| forward.touched(&names(of)).unwrap();
        assert_eq!(touched(&["a"]), names(&["a", "b", "c", "s", "u"]));
        assert_eq!(
            touched(&["u", "t", "x"]),
            names(&["a", "b", "c", "e", "s", "t", "u"])
        );
        assert_eq!(touched(&["x"]), names(&[]));
        let torn = Clusters(forward.0[1..].to_vec());
        assert!(torn.touched(&names(&["a"])).is_none());
    }
}
