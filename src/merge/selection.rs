//! The published packages by name, for the indices that speak of packages.
//!
//! Those of a head that is known from an earlier merge are read only when an index is made of them: whether it has to be made, digests tell.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::deb822::Name;
use crate::error::Result;

use super::coded::{Reader, put, put_number};
use super::entry::Entry;
use super::error::MergeError;
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

    fn parts(&self) -> [&[u8]; 4] {
        [&self.name, &self.md5, &self.maintainer, &self.source]
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

    /// Returns the published packages, after all groups are published.
    pub(crate) fn finish(self) -> Published {
        let inner = |names: Mutex<_>| names.into_inner().unwrap_or_else(PoisonError::into_inner);
        let descriptions = self.descriptions.into_inner();
        let places = self.places.into_inner();
        Published {
            groups: inner(self.groups),
            descriptions: descriptions.unwrap_or_else(PoisonError::into_inner).found,
            places: places.unwrap_or_else(PoisonError::into_inner),
            digests: OnceLock::new(),
        }
    }
}

/// The published packages of the head, or of the tail, of a suite.
pub(crate) struct Published {
    groups: HashMap<String, Names>,
    descriptions: HashSet<Description>,
    places: Places,
    digests: OnceLock<Digests>,
}

/// The digests of published packages.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Digests {
    /// The names of each group and the archives that they are from.
    groups: BTreeMap<String, [u8; 32]>,
    /// The names of each group that were published in a component, and the archives that they are from.
    places: BTreeMap<String, BTreeMap<u16, [u8; 32]>>,
    descriptions: [u8; 32],
}

impl Published {
    /// Returns the digests.
    pub(super) fn digests(&self) -> &Digests {
        self.digests.get_or_init(|| {
            let groups = self.groups.iter();
            Digests {
                groups: groups
                    .map(|(group, names)| (group.clone(), digest_of_names(names)))
                    .collect(),
                places: self.places.digests(),
                descriptions: self.digest_of_descriptions(),
            }
        })
    }

    fn digest_of_descriptions(&self) -> [u8; 32] {
        let sorted: BTreeSet<_> = self.descriptions.iter().collect();
        let mut hasher = Sha256::new();
        for description in sorted {
            hasher.update(description.component.to_le_bytes());
            hasher.update(description.rank.to_le_bytes());
            for part in description.parts() {
                hasher.update((part.len() as u64).to_le_bytes());
                hasher.update(part);
            }
        }
        hasher.finalize().into()
    }

    /// Returns the packages in the form that is kept.
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        let groups: BTreeMap<_, _> = self.groups.iter().collect();
        put_number(&mut out, groups.len() as u32);
        for (group, names) in groups {
            put(&mut out, group.as_bytes());
            put_number(&mut out, names.len() as u32);
            for (name, ranks) in names.iter().collect::<BTreeMap<_, _>>() {
                put(&mut out, name);
                put_number(&mut out, ranks.len() as u32);
                ranks
                    .iter()
                    .for_each(|rank| put_number(&mut out, u32::from(*rank)));
            }
        }
        put_number(&mut out, self.descriptions.len() as u32);
        for description in self.descriptions.iter().collect::<BTreeSet<_>>() {
            put_number(&mut out, u32::from(description.component));
            put_number(&mut out, u32::from(description.rank));
            description
                .parts()
                .iter()
                .for_each(|part| put(&mut out, part));
        }
        self.places.encode(&mut out);
        out
    }

    /// Returns the packages from the form that is kept; `None` if the bytes are something else.
    pub(super) fn decode(kept: &[u8]) -> Option<Self> {
        let mut reader = Reader(kept);
        let mut groups = HashMap::new();
        for _ in 0..reader.number()? {
            let group = reader.text()?.to_owned();
            let mut names = Names::new();
            for _ in 0..reader.number()? {
                let name = reader.bytes()?;
                let ranks = (0..reader.number()?).map(|_| rank(&mut reader));
                names.insert(name.into(), ranks.collect::<Option<_>>()?);
            }
            groups.insert(group, names);
        }
        let mut descriptions = Descriptions::default();
        for _ in 0..reader.number()? {
            let (component, rank) = (rank(&mut reader)?, rank(&mut reader)?);
            let (name, md5) = (reader.bytes()?.into(), reader.bytes()?.into());
            let maintainer = descriptions.maintainer(reader.bytes()?);
            descriptions.found.insert(Description {
                name,
                md5,
                component,
                rank,
                maintainer,
                source: reader.bytes()?.into(),
            });
        }
        let places = Places::decode(&mut reader)?;
        reader.is_done().then_some(Self {
            groups,
            descriptions: descriptions.found,
            places,
            digests: OnceLock::new(),
        })
    }

    fn ranks(&self, group: &str, name: &[u8]) -> Option<&BTreeSet<u16>> {
        self.groups.get(group)?.get(&*Name::new(name).folded())
    }
}

fn rank(reader: &mut Reader<'_>) -> Option<u16> {
    reader.number()?.try_into().ok()
}

fn digest_of_names(names: &Names) -> [u8; 32] {
    let sorted: BTreeMap<_, _> = names.iter().collect();
    let mut hasher = Sha256::new();
    for (name, ranks) in sorted {
        hasher.update(name);
        for rank in ranks {
            hasher.update([b' ']);
            hasher.update(rank.to_le_bytes());
        }
        hasher.update([b'\n']);
    }
    hasher.finalize().into()
}

/// The published packages of a suite, complete.
pub(crate) struct Selected<'a> {
    head: OfHead<'a>,
    tail: Published,
}

/// The published packages of the head.
pub(super) enum OfHead<'a> {
    /// They were merged just now.
    Here(Published),
    /// They are known from an earlier merge.
    Kept {
        digests: Digests,
        /// Reads what is kept of them; `None` if it is gone.
        read: Box<dyn Fn() -> Option<Published> + Sync + 'a>,
        here: OnceLock<Published>,
    },
}

impl<'a> Selected<'a> {
    /// Returns the packages of head and tail. No name is in both.
    pub(super) fn new(head: OfHead<'a>, tail: Published) -> Self {
        Self { head, tail }
    }

    /// Reads all names; until then, only the digests are known, and the groups.
    pub(crate) fn load(&self) -> Result<()> {
        let OfHead::Kept { read, here, .. } = &self.head else {
            return Ok(());
        };
        if here.get().is_none() {
            let kept = read().ok_or(MergeError::Lost)?;
            // Another thread may have been faster, with the same result.
            let _ = here.set(kept);
        }
        Ok(())
    }

    fn digests(&self) -> [&Digests; 2] {
        let head = match &self.head {
            OfHead::Here(head) => head.digests(),
            OfHead::Kept { digests, .. } => digests,
        };
        [head, self.tail.digests()]
    }

    fn parts(&self) -> impl Iterator<Item = &Published> {
        let head = match &self.head {
            OfHead::Here(head) => Some(head),
            OfHead::Kept { here, .. } => here.get(),
        };
        head.into_iter().chain([&self.tail])
    }

    /// Returns the digest of the names of a group and of the archives that they are from.
    pub(crate) fn digest_of_group(&self, group: &str) -> [u8; 32] {
        both(self.digests().map(|of| of.groups.get(group)))
    }

    /// Returns the digest of the names of a group that were published in a component, and of the archives that they are from.
    pub(crate) fn digest_of_places(&self, group: &str, component: u16) -> [u8; 32] {
        let of = self
            .digests()
            .map(|of| of.places.get(group)?.get(&component));
        both(of)
    }

    /// Returns the digest of the published descriptions.
    pub(crate) fn digest_of_descriptions(&self) -> [u8; 32] {
        both(self.digests().map(|of| Some(&of.descriptions)))
    }

    /// Returns the published descriptions.
    pub(crate) fn descriptions(&self) -> impl Iterator<Item = &Description> {
        self.parts().flat_map(|of| &of.descriptions)
    }

    /// Returns whether there is a group.
    pub(crate) fn has_group(&self, group: &str) -> bool {
        let mut of = self.digests().into_iter();
        of.any(|of| of.groups.contains_key(group))
    }

    /// Returns whether a package of a group was published from an archive.
    pub(crate) fn has(&self, group: &str, name: &[u8], rank: u16) -> bool {
        let mut ranks = self.parts().filter_map(|of| of.ranks(group, name));
        ranks.any(|ranks| ranks.contains(&rank))
    }

    /// Returns whether a package was published from an archive in a component, in whatever version.
    pub(crate) fn has_in(&self, group: &str, name: &[u8], rank: u16, component: u16) -> bool {
        let mut parts = self.parts();
        parts.any(|of| of.places.has(group, name, rank, component))
    }

    /// Returns whether a package was published from an archive in a component, in this version.
    pub(crate) fn has_version(
        &self,
        (group, component): (&str, u16),
        name: &[u8],
        version: &[u8],
        rank: u16,
    ) -> bool {
        let mut parts = self.parts();
        parts.any(|of| of.places.has_version(group, name, version, rank, component))
    }

    /// Returns whether a package was published from other archives in some group, and not from this one in `group`.
    pub(crate) fn is_of_others(&self, group: &str, name: &[u8], rank: u16) -> bool {
        let is_theirs = |part: &Published| {
            let mut groups = part.groups.keys();
            groups.any(|of| {
                let ranks = part.ranks(of, name);
                of != "source"
                    && !of.starts_with("udeb-")
                    && ranks.is_some_and(|ranks| !ranks.contains(&rank))
            })
        };
        !self.has(group, name, rank) && self.parts().any(is_theirs)
    }
}

/// Returns the digest of what two digests stand for.
fn both(of: [Option<&[u8; 32]>; 2]) -> [u8; 32] {
    let mut hasher = Sha256::new();
    for digest in of {
        hasher.update(digest.unwrap_or(&[0; 32]));
    }
    hasher.finalize().into()
}
