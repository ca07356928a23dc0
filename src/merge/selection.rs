//! The published packages by name, for the indices that speak of packages.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use sha2::{Digest, Sha256};

use crate::deb822::Name;

use super::entry::Entry;
use super::places::Places;

/// The published names of an index group, each with the archive that it is from.
pub(crate) type Names = HashMap<Box<[u8]>, BTreeSet<u16>>;

/// A published description.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Description {
    /// The name of the package as it is compared.
    pub(crate) name: Box<[u8]>,
    /// The MD5 that names the description.
    pub(crate) md5: Box<[u8]>,
    pub(crate) component: u16,
    /// The archive's place in the order.
    pub(crate) rank: u16,
    /// The package's `Maintainer`, for the order of publication.
    pub(crate) maintainer: Arc<[u8]>,
    /// The package's source, for the order of publication; empty if it has the package's name.
    source: Box<[u8]>,
}

impl Description {
    fn of(entry: &Entry<'_>, maintainer: Arc<[u8]>) -> Self {
        let source = entry.source().0;
        Self {
            name: entry.name.folded().into(),
            md5: entry.description_md5().into(),
            component: entry.component,
            rank: entry.rank,
            maintainer,
            source: match source == entry.name {
                true => Box::default(),
                false => source.folded().into(),
            },
        }
    }

    /// Returns the name of the package's source.
    pub(crate) fn source(&self) -> &[u8] {
        match &*self.source {
            b"" => &self.name,
            source => source,
        }
    }
}

/// A collector of descriptions; each maintainer has many.
#[derive(Default)]
struct Descriptions {
    found: HashSet<Description>,
    maintainers: HashSet<Arc<[u8]>>,
}

impl Descriptions {
    fn maintainer(&mut self, name: &[u8]) -> Arc<[u8]> {
        if let Some(known) = self.maintainers.get(name) {
            return known.clone();
        }
        let new: Arc<[u8]> = name.into();
        self.maintainers.insert(new.clone());
        new
    }
}

/// A collector of the packages that are published of a suite.
#[derive(Default)]
pub(crate) struct Selection {
    groups: Mutex<HashMap<String, Names>>,
    descriptions: Mutex<Descriptions>,
    places: Mutex<Places>,
    wanted: WantedFacts,
}

/// The facts that the merged families need from a selection; other facts are not gathered.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct WantedFacts {
    /// Names and archives, for Contents and DEP-11.
    pub(crate) names: bool,
    /// Descriptions, for translations.
    pub(crate) descriptions: bool,
    /// Versions and components, for commands, and for a Contents of all components.
    pub(crate) places: bool,
}

impl Selection {
    /// Returns an empty selection that gathers the wanted facts.
    pub(crate) fn new(wanted: WantedFacts) -> Self {
        Self {
            wanted,
            ..Self::default()
        }
    }

    /// Notes what was published of a group: `amd64`, `udeb-amd64`, `source`. Packages that are `Architecture: all` are noted under `all`,
    /// or `udeb-all`, as well.
    pub(crate) fn add<'a>(&self, group: &str, published: &[Entry<'a>]) {
        let all = match group.strip_prefix("udeb-") {
            Some(_) => "udeb-all",
            None => "all",
        };
        if self.wanted.places {
            let mut places = self.places.lock().unwrap_or_else(PoisonError::into_inner);
            places.add(group, all, published);
        }
        if !self.wanted.names {
            return;
        }
        let mut names = Names::with_capacity(published.len());
        let mut names_of_all = Names::new();
        for entry in published {
            names
                .entry(entry.name.folded().into())
                .or_default()
                .insert(entry.rank);
            if entry.architecture == b"all" && group != "source" {
                names_of_all
                    .entry(entry.name.folded().into())
                    .or_default()
                    .insert(entry.rank);
            }
        }
        let mut groups = self.groups.lock().unwrap_or_else(PoisonError::into_inner);
        for (group, names) in [(group, names), (all, names_of_all)] {
            let known = groups.entry(group.to_owned()).or_default();
            for (name, ranks) in names {
                known.entry(name).or_default().extend(ranks);
            }
        }
    }

    /// Notes the descriptions of published packages.
    pub(crate) fn add_descriptions<'a>(&self, published: &[Entry<'a>]) {
        if !self.wanted.descriptions {
            return;
        }
        let mut descriptions = self
            .descriptions
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        for entry in published {
            let maintainer = descriptions.maintainer(entry.maintainer);
            let description = Description::of(entry, maintainer);
            descriptions.found.insert(description);
        }
    }

    /// Returns the selection, after all groups are published.
    pub(crate) fn finish(self) -> Selected {
        Selected {
            groups: self
                .groups
                .into_inner()
                .unwrap_or_else(PoisonError::into_inner),
            descriptions: self
                .descriptions
                .into_inner()
                .unwrap_or_else(PoisonError::into_inner)
                .found,
            digests: Mutex::default(),
            digest_of_descriptions: OnceLock::new(),
            places: self
                .places
                .into_inner()
                .unwrap_or_else(PoisonError::into_inner),
        }
    }
}

/// The published packages of a suite, complete.
pub(crate) struct Selected {
    groups: HashMap<String, Names>,
    pub(crate) descriptions: HashSet<Description>,
    digests: Mutex<HashMap<String, [u8; 32]>>,
    digest_of_descriptions: OnceLock<[u8; 32]>,
    pub(crate) places: Places,
}

impl Selected {
    /// Returns the digest of the names of a group and of the archives that they are from.
    pub(crate) fn digest_of_group(&self, group: &str) -> [u8; 32] {
        let mut digests = self.digests.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = digests.get(group) {
            return *known;
        }
        let names = self.group(group).into_iter().flatten();
        let sorted: BTreeMap<_, _> = names.collect();
        let mut hasher = Sha256::new();
        for (name, ranks) in sorted {
            hasher.update(name);
            for rank in ranks {
                hasher.update([b' ']);
                hasher.update(rank.to_le_bytes());
            }
            hasher.update([b'\n']);
        }
        let digest = hasher.finalize().into();
        digests.insert(group.to_owned(), digest);
        digest
    }

    /// Returns the digest of the published descriptions.
    pub(crate) fn digest_of_descriptions(&self) -> [u8; 32] {
        *self.digest_of_descriptions.get_or_init(|| {
            let sorted: BTreeSet<_> = self.descriptions.iter().collect();
            let mut hasher = Sha256::new();
            for description in sorted {
                hasher.update(description.component.to_le_bytes());
                hasher.update(description.rank.to_le_bytes());
                for part in [
                    &description.name,
                    &description.md5,
                    &*description.maintainer,
                    &description.source,
                ] {
                    hasher.update((part.len() as u64).to_le_bytes());
                    hasher.update(part);
                }
            }
            hasher.finalize().into()
        })
    }

    /// Returns the names of a group; `None` if it has none.
    pub(crate) fn group(&self, group: &str) -> Option<&Names> {
        self.groups.get(group)
    }

    /// Returns whether a package of a group was published from an archive.
    pub(crate) fn has(&self, group: &str, name: &[u8], rank: u16) -> bool {
        let ranks = self.ranks(group, name);
        ranks.is_some_and(|ranks| ranks.contains(&rank))
    }

    /// Returns whether a package was published from other archives in some group, and not from this one in `group`.
    pub(crate) fn is_of_others(&self, group: &str, name: &[u8], rank: u16) -> bool {
        let mut groups = self.groups.keys();
        let is_theirs = |of: &String| {
            let ranks = self.ranks(of, name);
            of != "source"
                && !of.starts_with("udeb-")
                && ranks.is_some_and(|ranks| !ranks.contains(&rank))
        };
        !self.has(group, name, rank) && groups.any(is_theirs)
    }

    fn ranks(&self, group: &str, name: &[u8]) -> Option<&BTreeSet<u16>> {
        self.group(group)?.get(&*Name::new(name).folded())
    }
}
