//! The place of each published package: its archive, its component, its version.
//!
//! Indices that speak of packages by version, or that must be divided among the components, are compared with these places.

use std::collections::{BTreeSet, HashMap};

use sha2::{Digest, Sha256};

use crate::deb822::Name;

use super::entry::Entry;

/// The published packages of each group, as [`super::selection::Selection`] calls them: `amd64`, `udeb-amd64`, `source`, `all`.
#[derive(Default)]
pub(crate) struct Places {
    groups: HashMap<String, HashMap<Box<[u8]>, Vec<Place>>>,
}

/// One published version of a package.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Place {
    /// The archive's place in the order, 0 first.
    rank: u16,
    component: u16,
    version: Box<[u8]>,
}

impl Places {
    /// Notes what was published of a group; packages that are `Architecture: all` are noted under `all` as well.
    pub(super) fn add(&mut self, group: &str, all: &str, published: &[Entry<'_>]) {
        for entry in published {
            self.note(group, entry);
            if entry.architecture == b"all" && group != "source" && group != all {
                self.note(all, entry);
            }
        }
        // The groups of all architectures have the same `all` packages.
        for places in self
            .groups
            .get_mut(all)
            .into_iter()
            .flat_map(HashMap::values_mut)
        {
            places.sort_unstable();
            places.dedup();
        }
    }

    fn note(&mut self, group: &str, entry: &Entry<'_>) {
        if !self.groups.contains_key(group) {
            self.groups.insert(group.to_owned(), HashMap::new());
        }
        let Some(names) = self.groups.get_mut(group) else {
            return; // it was just put there
        };
        let name = entry.name.folded();
        let place = Place {
            rank: entry.rank,
            component: entry.component,
            version: entry.version.into(),
        };
        match names.get_mut(&*name) {
            Some(places) => places.push(place),
            None => drop(names.insert(name.into(), vec![place])),
        }
    }

    fn of(&self, group: &str, name: &[u8]) -> &[Place] {
        let names = self.groups.get(group);
        names
            .and_then(|names| names.get(&*Name::new(name).folded()))
            .map_or(&[], Vec::as_slice)
    }

    /// Returns the digest of the names of a group that were published in a component, and of the archives that they are from.
    pub(super) fn digest(&self, group: &str, component: u16) -> [u8; 32] {
        let names = self.groups.get(group).into_iter().flatten();
        let published = names.flat_map(|(name, places)| {
            let here = places.iter().filter(|place| place.component == component);
            here.map(move |place| (name, place.rank))
        });
        let mut hasher = Sha256::new();
        for (name, rank) in published.collect::<BTreeSet<_>>() {
            hasher.update(name);
            hasher.update([b' ']);
            hasher.update(rank.to_le_bytes());
            hasher.update([b'\n']);
        }
        hasher.finalize().into()
    }

    /// Returns whether a package was published from an archive in a component, in whatever version.
    pub(super) fn has(&self, group: &str, name: &[u8], rank: u16, component: u16) -> bool {
        let mut places = self.of(group, name).iter();
        places.any(|place| (place.rank, place.component) == (rank, component))
    }

    /// Returns whether a package was published from an archive in a component, in this version.
    pub(super) fn has_version(
        &self,
        group: &str,
        name: &[u8],
        version: &[u8],
        rank: u16,
        component: u16,
    ) -> bool {
        let wanted = (rank, component, version);
        let mut places = self.of(group, name).iter();
        places.any(|place| (place.rank, place.component, &*place.version) == wanted)
    }
}
