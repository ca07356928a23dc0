//! The place of each published package: its archive, its component, its version.
//!
//! Indices that speak of packages by version, or that must be divided among the components, are compared with these places.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use sha2::{Digest, Sha256};

use crate::deb822::Name;

use super::coded::{Reader, put, put_number};
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

    /// Returns the digests of the names of each group that were published in each component, and of the archives that they are from.
    pub(super) fn digests(&self) -> BTreeMap<String, BTreeMap<u16, [u8; 32]>> {
        let of_group = |names: &HashMap<Box<[u8]>, Vec<Place>>| {
            let mut components: BTreeMap<u16, BTreeSet<(&[u8], u16)>> = BTreeMap::new();
            for (name, places) in names {
                for place in places {
                    let names = components.entry(place.component).or_default();
                    names.insert((name, place.rank));
                }
            }
            let digest = |names: BTreeSet<(&[u8], u16)>| -> [u8; 32] {
                let mut hasher = Sha256::new();
                for (name, rank) in names {
                    hasher.update(name);
                    hasher.update([b' ']);
                    hasher.update(rank.to_le_bytes());
                    hasher.update([b'\n']);
                }
                hasher.finalize().into()
            };
            let components = components.into_iter();
            components
                .map(|(component, names)| (component, digest(names)))
                .collect()
        };
        let groups = self.groups.iter();
        groups
            .map(|(group, names)| (group.clone(), of_group(names)))
            .collect()
    }

    /// Adds the places in the form that is kept.
    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        let groups: BTreeMap<_, _> = self.groups.iter().collect();
        put_number(out, groups.len() as u32);
        for (group, names) in groups {
            put(out, group.as_bytes());
            put_number(out, names.len() as u32);
            for (name, places) in names.iter().collect::<BTreeMap<_, _>>() {
                put(out, name);
                put_number(out, places.len() as u32);
                for place in places.iter().collect::<BTreeSet<_>>() {
                    put_number(out, u32::from(place.rank));
                    put_number(out, u32::from(place.component));
                    put(out, &place.version);
                }
            }
        }
    }

    /// Reads the form that is kept; `None` if the bytes are something else.
    pub(super) fn decode(reader: &mut Reader<'_>) -> Option<Self> {
        let mut all = Self::default();
        for _ in 0..reader.number()? {
            let group = reader.text()?.to_owned();
            let names = all.groups.entry(group).or_default();
            for _ in 0..reader.number()? {
                let name = reader.bytes()?;
                let mut places = Vec::new();
                for _ in 0..reader.number()? {
                    places.push(Place {
                        rank: reader.number()?.try_into().ok()?,
                        component: reader.number()?.try_into().ok()?,
                        version: reader.bytes()?.into(),
                    });
                }
                names.insert(name.into(), places);
            }
        }
        Some(all)
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
