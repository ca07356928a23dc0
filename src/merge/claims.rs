//! Claims: the binaries that a source says it builds, compared with the archives that have them.
//!
//! `apt-get source NAME` looks for sources that are called NAME or list it in `Binary`, and takes the highest version of all of these,
//! unless the package itself names another source. So a source of the lowest archive with `Binary: odd-tool` and a high version would be
//! what clients fetch for the overlay's odd-tool. This needs no malice, because binaries move between sources. A name in `Binary` stays
//! only where the archive owns the name:
//!
//! - The name of a published or banned binary, in any architecture, belongs to its owner. With `order`, this is the highest archive that
//!   owns the name in some architecture; with `newest`, it is each archive that does. The same holds for the name of a udeb, where no
//!   package has the name.
//! - A name without a binary in any archive belongs to the owner of the source with that name; else to the highest archive whose sources
//!   list it.
//!
//! Every other name is taken out of the field, and a field without any name left is taken out of the stanza. The source itself stays: other
//! binaries may need it, and nobody finds it any more by a name that its archive does not own. All other bytes of the stanza stay as they
//! are. apt splits the field at commas alone and compares whole names. So an item with blanks in it is no name for apt; it is taken out if
//! any of its words would have to be.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Mutex, PoisonError};

use rayon::prelude::*;

use crate::deb822::{Field, Name, Stanza, eq_name};
use crate::error::Result;
use crate::quoted::quoted;
use crate::spec::{Family, Strategy};
use crate::suite_report::ForeignSource;

use super::entry::{Entry, Kind, entries};
use super::error::MergeError;
use super::input::SuiteMerge;
use super::rules::{Outcome, lossy};

/// The archives that own the names of binaries, by rank, in any architecture.
#[derive(Default)]
pub(super) struct Claimable {
    packages: Mutex<Claimants>,
    udebs: Mutex<Claimants>,
}

type Claimants = HashMap<Box<[u8]>, BTreeSet<u16>>;

impl Claimable {
    /// Notes which archives own the names of an index group.
    pub(super) fn add(&self, family: Family, outcome: &Outcome<'_>) {
        let owners = match family {
            Family::Installer => &self.udebs,
            _ => &self.packages,
        };
        let mut owners = owners.lock().unwrap_or_else(PoisonError::into_inner);
        let dropped = outcome.dropped.iter().map(|(entry, _)| entry);
        for entry in outcome.kept.iter().chain(dropped).chain(&outcome.flawed) {
            let name = entry.name.folded();
            match owners.get_mut(&*name) {
                Some(ranks) => drop(ranks.insert(entry.rank)),
                None => drop(owners.insert(name.into(), [entry.rank].into())),
            }
        }
    }
}

/// The rules that say which archive may list which names of binaries.
pub(super) struct Claims<'a> {
    packages: Claimants,
    udebs: Claimants,
    strategy: Strategy,
    sources: HashMap<Name<'a>, u16>,
    /// For each name that nobody owns: the highest archive that lists it.
    first: HashMap<Name<'a>, u16>,
}

/// A source that lists names of other archives.
pub(super) struct Trimmed {
    /// The position of the source among the published sources.
    pub(super) place: usize,
    /// The stanza without these names.
    pub(super) stanza: Vec<u8>,
    /// The first of these names.
    pub(super) name: String,
}

impl<'a> Claims<'a> {
    /// Collects the claims. `sources` are the owners of the names of sources, `published` the published sources.
    pub(super) fn new(
        claimable: Claimable,
        strategy: Strategy,
        sources: HashMap<Name<'a>, u16>,
        published: &[Entry<'a>],
    ) -> Self {
        let inner = |m: Mutex<_>| m.into_inner().unwrap_or_else(PoisonError::into_inner);
        let mut claims = Self {
            packages: inner(claimable.packages),
            udebs: inner(claimable.udebs),
            strategy,
            sources,
            first: HashMap::new(),
        };
        for entry in published {
            for name in listed(entry.raw) {
                let folded = name.folded();
                let is_owned = claims.packages.contains_key(&*folded)
                    || claims.udebs.contains_key(&*folded)
                    || claims.sources.contains_key(&name);
                if !is_owned {
                    let first = claims.first.entry(name).or_insert(entry.rank);
                    *first = entry.rank.min(*first);
                }
            }
        }
        claims
    }

    /// Returns whether an archive may list a name.
    fn may_list(&self, name: Name<'_>, rank: u16) -> bool {
        let folded = name.folded();
        let binary = self
            .packages
            .get(&*folded)
            .or_else(|| self.udebs.get(&*folded));
        match (binary, self.strategy) {
            (Some(owners), Strategy::Order) => owners.first() == Some(&rank),
            (Some(owners), Strategy::Newest) => owners.contains(&rank),
            (None, _) => {
                let owner = self.sources.get(&name).or_else(|| self.first.get(&name));
                owner.is_none_or(|owner| *owner == rank)
            }
        }
    }

    /// Returns the sources that list names of other archives, without these names.
    pub(super) fn trim(&self, published: &[Entry<'_>]) -> Vec<Trimmed> {
        let places = published.par_iter().enumerate();
        places
            .filter_map(|(place, entry)| self.trimmed(place, entry))
            .collect()
    }

    fn trimmed(&self, place: usize, entry: &Entry<'_>) -> Option<Trimmed> {
        let is_foreign = |name: &Name<'_>| !self.may_list(*name, entry.rank);
        let mut first = None;
        let mut stanza = Vec::new();
        let mut done = 0;
        for list in lists(entry.raw) {
            let foreign = names(list.value).find(is_foreign);
            let Some(foreign) = foreign else {
                continue;
            };
            first.get_or_insert(foreign);
            let items = list.value.split(|b| *b == b',').map(<[u8]>::trim_ascii);
            let own =
                items.filter(|item| !item.is_empty() && !names(item).any(|name| is_foreign(&name)));
            let own = own.collect::<Vec<_>>().join(&b", "[..]);
            let end = list.value_offset + list.value.len();
            if own.is_empty() {
                let before = &entry.raw[..list.value_offset];
                let line = memchr::memrchr(b'\n', before).map_or(0, |n| n + 1);
                let rest = memchr::memchr(b'\n', &entry.raw[end..]);
                stanza.extend_from_slice(&entry.raw[done..line.max(done)]);
                done = rest.map_or(entry.raw.len(), |n| end + n + 1);
            } else {
                stanza.extend_from_slice(&entry.raw[done..list.value_offset]);
                stanza.extend_from_slice(&own);
                done = end;
            }
        }
        let name = first?.to_string();
        stanza.extend_from_slice(&entry.raw[done..]);
        Some(Trimmed {
            place,
            stanza,
            name,
        })
    }
}

/// Replaces each source that lists names of other archives by its trimmed stanza.
pub(super) fn replace<'a>(published: &mut [Entry<'a>], trimmed: &'a [Trimmed]) -> Result<()> {
    for Trimmed { place, stanza, .. } in trimmed {
        let entry = &mut published[*place];
        let read = entries(stanza, Kind::Source, entry.rank, entry.component);
        let read = read.map_err(|why| MergeError::Index {
            index: format!("source `{}` without names of others", entry.name),
            why,
        })?;
        for new in read.entries {
            *entry = new;
        }
    }
    Ok(())
}

/// The number of sources of one archive that the report names, for each reason.
const MAX_TOLD: usize = 500;

/// Returns the first [`MAX_TOLD`] sources of each archive.
pub(super) fn first_of_each<'a>(
    merge: &SuiteMerge<'_>,
    sources: impl Iterator<Item = (Entry<'a>, String)>,
) -> BTreeSet<ForeignSource> {
    let mut told: BTreeMap<u16, usize> = BTreeMap::new();
    let first = sources.filter_map(|(entry, what)| {
        let count = told.entry(entry.rank).or_default();
        *count += 1;
        (*count <= MAX_TOLD).then(|| ForeignSource {
            archive: merge.archive(entry.rank).into(),
            source: quoted(&entry.name.to_string()),
            version: quoted(&lossy(entry.version)),
            what,
        })
    });
    first.collect()
}

/// Returns what the report says of names that were taken out: the first sources of each archive.
pub(super) fn tell(
    merge: &SuiteMerge<'_>,
    published: &[Entry<'_>],
    trimmed: &[Trimmed],
) -> BTreeSet<ForeignSource> {
    let told = trimmed.iter().map(|Trimmed { place, name, .. }| {
        let entry = &published[*place];
        (*entry, format!("claims {}", quoted(name)))
    });
    first_of_each(merge, told)
}

/// Returns the `Binary` fields of a source: one, unless somebody wants readers to differ.
fn lists(raw: &[u8]) -> impl Iterator<Item = Field<'_>> {
    let fields = Stanza { raw, offset: 0 }.fields().map_while(Result::ok);
    fields.filter(|field| eq_name(field.name, "Binary"))
}

/// Returns the names of binaries that a source lists.
pub(super) fn listed(raw: &[u8]) -> impl Iterator<Item = Name<'_>> {
    lists(raw).flat_map(|list| names(list.value))
}

fn is_between(byte: &u8) -> bool {
    byte.is_ascii_whitespace() || matches!(byte, b',' | b'\x0b')
}

/// Returns the names in a list.
fn names(list: &[u8]) -> impl Iterator<Item = Name<'_>> {
    let words = list.split(is_between).filter(|word| !word.is_empty());
    words.map(Name::new)
}
