//! The owners of `Architecture: all` packages: one archive for each name, in all architectures of a merged suite.
//!
//! The architectures of a suite are name spaces of their own, and a client with several of them keeps these apart: for apt,
//! `odd-tool:arm64` is another package than `odd-tool`. But apt takes an `Architecture: all` stanza for a version of the native package,
//! whichever index it stands in. So on a client with amd64 and arm64, version 999 for `all` in binary-arm64 of the lowest archive stands
//! above version 1.0 for amd64 of the overlay, although each archive is the only one that has the name in that index. This needs no malice:
//! a fork for amd64 is enough, of a package that is for `all` in a lower archive.
//!
//! There is one rule, for every strategy: a name has an *owner across* all architectures. It is found as in one architecture (pins, then
//! strategy), but from the entries of all of them. Then:
//!
//! - No other archive's stanzas for `all` are published, in whatever index.
//! - If the owner itself has a stanza for `all`, it owns the name in every architecture, including those in which others have packages of
//!   that architecture: on a client of that architecture, these would be candidates beside the owner's. So that no client loses the package
//!   by this, the owner's stanzas for `all` then stand in that architecture's index as well, taken from an index in which the archive has
//!   them.
//! - If the owner has no stanza for `all`, apt takes packages of other architectures for packages of other names. They belong to the
//!   archives that would own them without this rule.
//!
//! Otherwise, what is published is what the rules of the architecture alone would give, less what this rule takes away: it gives no archive
//! but the owner a name that another archive hid before. A pin for some architectures is the operator's word on these, and holds there; it
//! says nothing of an owner across.
//!
//! Owners are found before the architectures are merged side by side. Indices are read one after the other, and for each name only the
//! deciding facts are kept. With `order` and no pins, the lowest archive need not be read: it takes nothing from any other.

use std::collections::hash_map::Entry as Place;
use std::collections::{BTreeSet, HashMap};

use crate::deb822::Name;
use crate::error::Result;
use crate::spec::Family;

use super::entry::Entry;
use super::group::BinaryGroup;
use super::input::SuiteMerge;
use super::load::{Loaded, WantedIndex, load};
use super::rules::{Owner, Owners, Rules};

/// Finds the owners of the packages, or the udebs, of a suite.
pub(super) fn of(merge: &SuiteMerge<'_>, family: Family) -> Result<Owners> {
    let mut owners = Owners::default();
    let architectures = merge.spec.name_spaces();
    if architectures.len() < 2 {
        return Ok(owners);
    }
    let rules = Rules::across(merge);
    let idle = usize::from(rules.is_by_order_alone());
    for rank in 0..merge.inputs.len().saturating_sub(idle) {
        let mut own: HashMap<Box<[u8]>, Owner> = HashMap::new();
        for (number, architecture) in architectures.iter().enumerate() {
            let group = BinaryGroup {
                merge,
                family,
                architecture,
                owners: &owners,
            };
            let loaded = load(merge, group.wanted_of(rank))?;
            let (entries, _) = group.entries(&loaded)?;
            for entry in entries.iter().filter(|e| rules.exclusion(e).is_none()) {
                let claim = rules.claim(entry);
                let known = own.entry(entry.name.folded().into());
                let owner = known
                    .and_modify(|known| {
                        if rules.order(&claim, &known.claim).is_lt() {
                            known.claim = claim.kept();
                        }
                    })
                    .or_insert_with(|| Owner {
                        claim: claim.kept(),
                        all_in: None,
                    });
                if entry.architecture == b"all" {
                    owner.all_in.get_or_insert(number);
                }
            }
        }
        for (name, owner) in own {
            match owners.names.entry(name) {
                Place::Vacant(place) => drop(place.insert(owner)),
                Place::Occupied(mut place) => {
                    if rules.order(&owner.claim, &place.get().claim).is_lt() {
                        place.insert(owner);
                    }
                }
            }
        }
    }
    Ok(owners)
}

/// The names of an architecture that belong to an archive which has them for `all` in other indices only, each with the rank of the archive
/// and the number of the architecture in whose index the archive has the name.
pub(super) type Elsewhere<'a> = HashMap<Name<'a>, (u16, usize)>;

impl BinaryGroup<'_> {
    /// Returns the names that others have in this architecture, and their owners elsewhere.
    pub(super) fn elsewhere<'a>(&self, entries: &[Entry<'a>], rules: &Rules<'_>) -> Elsewhere<'a> {
        let mut elsewhere = Elsewhere::new();
        if self.owners.names.is_empty() {
            return elsewhere;
        }
        let owner = |e: &Entry<'a>| Some((e.name, self.owners.get(e.name)?));
        let taken = entries.iter().filter(|e| rules.exclusion(e).is_none());
        let owned: Vec<_> = taken.filter_map(|e| Some((e.rank, owner(e)?))).collect();
        for (_, (name, owner)) in &owned {
            if let Some(number) = owner.all_in {
                elsewhere.insert(*name, (owner.rank(), number));
            }
        }
        for (rank, (name, owner)) in owned {
            if rank == owner.rank() {
                elsewhere.remove(&name);
            }
        }
        elsewhere
    }

    /// Returns the indices that have these names for `all`.
    pub(super) fn wanted_elsewhere(&self, elsewhere: &Elsewhere<'_>) -> Vec<WantedIndex> {
        let architectures = self.merge.spec.name_spaces();
        let places: BTreeSet<_> = elsewhere.values().copied().collect();
        let groups = places.into_iter().filter_map(|(rank, number)| {
            let architecture = architectures.get(number)?;
            Some((
                rank,
                BinaryGroup {
                    architecture,
                    ..*self
                },
            ))
        });
        groups
            .flat_map(|(rank, group)| group.wanted_of(usize::from(rank)))
            .collect()
    }

    /// Returns the stanzas for `all` of these names, from the indices that have them.
    pub(super) fn all_elsewhere<'a>(
        &self,
        elsewhere: &Elsewhere<'_>,
        loaded: &'a [Loaded],
    ) -> Result<Vec<Entry<'a>>> {
        let mut entries = self.parse(loaded)?;
        entries.retain(|e| {
            let place = elsewhere.get(&e.name);
            e.architecture == b"all" && place.is_some_and(|(rank, _)| *rank == e.rank)
        });
        Ok(entries)
    }
}
