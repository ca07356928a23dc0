//! Sources: precedence by source name, and the sources that published binaries were built from. Without the second part, `apt-get source`
//! would fail for each package of a lower archive whose source a higher archive has in another version.
//!
//! `apt-get source NAME` takes the highest version of all sources with that name, and the first of equal ones. So a source that is restored
//! because a binary needs it must not take the place of a source of the name's owner: a package of the lowest archive with
//! `Source: odd-tool (99)` would make every client fetch that archive's odd-tool 99 instead of the overlay's odd-tool. Hence:
//!
//! - A source that the owner has is restored from the owner, even if other archives have it too.
//! - A source that the owner does not have is restored from another archive in two cases only. Either it is not above the owner's highest
//!   published version, and no binary of an archive above the other one was built from it. Or a pin or a filter gave the owner's own binary
//!   of that source to the other archive, as only the configuration can. Otherwise the binary stays without a source, and the report says
//!   so. The reason: an archive may have a binary whose source it no longer has, and `apt-get source` asks for the very version that such a
//!   binary names. Otherwise a lower archive could decide what the binary was built from.
//! - No name and version, in whatever spelling, is published twice: the owner's stays.
//!
//! The owner is the archive whose sources of the name win by the rules, banned or not; if filters leave out all of them, the first archive
//! that has one. The binaries that sources list are the business of `claims`.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::{Mutex, PoisonError};

use crate::deb822::{Name, compare_versions, version_key};
use crate::quoted::quoted;
use crate::suite_report::ForeignSource;

use super::claims;
use super::entry::Entry;
use super::input::SuiteMerge;
use super::rules::{self, Outcome, Rules, lossy};

/// A source: its name in the form that apt knows, and the key of its version.
type NameAndVersion = (Vec<u8>, Vec<u8>);

/// A source that published binaries were built from.
struct Need {
    /// The version as one of the binaries writes it.
    version: Vec<u8>,
    /// For each archive with a binary that needs the source: one such binary, sorted by the rank of the archive.
    users: Vec<(u16, String)>,
    /// The ranks of two archives each: the binary of the first took the place of one that the second built from a source of this name.
    given: BTreeSet<(u16, u16)>,
}

impl Need {
    /// Returns whether a binary of an archive above some rank needs the source.
    fn has_user_above(&self, rank: u16) -> bool {
        let highest = self.users.first();
        highest.is_some_and(|(highest, _)| *highest < rank)
    }

    /// Notes a binary. One name for each archive is enough to say which binary needs the source; it is the same one, whichever architecture
    /// comes first.
    fn add_user(&mut self, rank: u16, name: Name<'_>) {
        match self.users.binary_search_by_key(&rank, |(rank, _)| *rank) {
            Ok(at) => {
                let known = &mut self.users[at].1;
                let name = name.to_string();
                if name < *known {
                    *known = name;
                }
            }
            Err(at) => {
                // Nearly all have one user.
                self.users.reserve_exact(1);
                self.users.insert(at, (rank, name.to_string()));
            }
        }
    }
}

/// The sources that the published binaries of a suite were built from, with the archives of the binaries.
#[derive(Default)]
pub(crate) struct Needed {
    sources: Mutex<BTreeMap<NameAndVersion, Need>>,
}

impl Needed {
    /// Notes the sources of those published binaries for which `is_asked` is true.
    pub(crate) fn add(&self, outcome: &Outcome<'_>, is_asked: impl Fn(&Entry<'_>) -> bool) {
        let mut lost: HashMap<(Name<'_>, Name<'_>), u16> = HashMap::new();
        for entry in outcome.hidden.iter().chain(&outcome.excluded) {
            let rank = lost
                .entry((entry.name, entry.source().0))
                .or_insert(entry.rank);
            *rank = entry.rank.min(*rank);
        }
        let mut sources = self.sources.lock().unwrap_or_else(PoisonError::into_inner);
        for binary in outcome.kept.iter().filter(|e| is_asked(e)) {
            let (source, version) = binary.source();
            let key = (source.folded().into_owned(), version_key(version));
            let need = sources.entry(key).or_insert_with(|| Need {
                version: version.to_vec(),
                users: Vec::new(),
                given: BTreeSet::new(),
            });
            need.add_user(binary.rank, binary.name);
            let lost = lost.get(&(binary.name, source));
            need.given.extend(lost.map(|from| (binary.rank, *from)));
        }
    }
}

/// The result of the rules for sources.
pub(crate) struct SourceOutcome<'a> {
    /// The outcome, as for binaries. Restored sources are in `kept`, and still in the list that they were restored from, unless they were
    /// banned.
    pub(crate) outcome: Outcome<'a>,
    /// The restored sources, each with a published binary that needs it.
    pub(crate) restored: Vec<(Entry<'a>, String)>,
    /// The sources that a published binary needs and that are withheld for the sake of the owner of the name, each with that binary.
    pub(crate) withheld: Vec<Withheld<'a>>,
    /// The binaries whose source is not published.
    pub(crate) missing: BTreeSet<String>,
    /// The rank of the archive that owns each name.
    pub(crate) owners: HashMap<Name<'a>, u16>,
}

/// A withheld source, a binary that needs it, and the source's relation to the sources of the owner.
pub(crate) type Withheld<'a> = (Entry<'a>, String, &'static str);

impl SourceOutcome<'_> {
    /// Returns what the report says of withheld sources: the first ones of each archive.
    pub(super) fn tell_withheld(&self, merge: &SuiteMerge<'_>) -> BTreeSet<ForeignSource> {
        let told = self.withheld.iter().map(|(entry, binary, stands)| {
            let owner = self.owners.get(&entry.name);
            let owner = owner.map_or("", |rank| merge.archive(*rank));
            let binary = quoted(binary);
            (*entry, format!("{stands} those of {owner}; built {binary}"))
        });
        claims::first_of_each(merge, told)
    }
}

/// Applies the rules to sources, then restores those that published binaries need, even if they were hidden, excluded or banned.
pub(crate) fn apply<'a>(
    entries: Vec<Entry<'a>>,
    rules: &Rules<'_>,
    needed: Needed,
) -> SourceOutcome<'a> {
    let mut outcome = rules::apply(entries, rules);
    let needed = needed.sources.into_inner();
    let needed = needed.unwrap_or_else(PoisonError::into_inner);
    let owners = owners(&outcome);
    let is_owners = |e: &Entry<'_>| owners.get(&e.name) == Some(&e.rank);
    let mut candidates: BTreeMap<NameAndVersion, Vec<Entry<'a>>> = BTreeMap::new();
    let dropped = outcome.dropped.iter().map(|(entry, _)| entry);
    let unpublished = outcome
        .hidden
        .iter()
        .chain(&outcome.excluded)
        .chain(dropped);
    let key_of = |e: &Entry<'_>| (e.name.folded().into_owned(), version_key(e.version));
    let may_return = |e: &&Entry<'_>| !e.is_flawed && needed.contains_key(&key_of(e));
    for entry in unpublished.filter(may_return) {
        candidates.entry(key_of(entry)).or_default().push(*entry);
    }
    // The owners' published versions of each name.
    let mut published: BTreeSet<NameAndVersion> = outcome.kept.iter().map(key_of).collect();
    let mut restored: Vec<(Entry<'a>, String)> = Vec::new();
    let mut others: Vec<(&NameAndVersion, Entry<'a>, String)> = Vec::new();
    let mut missing = BTreeSet::new();
    let describe = |name: &[u8], need: &Need| {
        let source = format!("{} {}", lossy(name), lossy(&need.version));
        let users = need.users.iter();
        users
            .map(|(_, binary)| format!("{binary} ({source})"))
            .collect::<Vec<_>>()
    };
    for (key, need) in &needed {
        if published.contains(key) {
            continue;
        }
        // The best witness of a binary's source is the owner, then the binary's own archive; an archive below the binary's is none.
        let found = candidates.get(key).into_iter().flatten();
        let found = found.min_by_key(|e| {
            let is_users = need.users.iter().any(|(rank, _)| *rank == e.rank);
            (
                !is_owners(e),
                need.has_user_above(e.rank),
                !is_users,
                e.rank,
            )
        });
        match (found, need.users.first()) {
            (Some(found), Some((_, user))) if is_owners(found) => {
                restored.push((*found, user.clone()));
            }
            (Some(found), Some((_, user))) => others.push((key, *found, user.clone())),
            _ => missing.extend(describe(&key.0, need)),
        }
    }
    published.extend(restored.iter().map(|(entry, _)| key_of(entry)));
    let mut withheld = Vec::new();
    for (key, found, user) in others {
        let of_name = published.range(key..).next();
        let is_below = of_name.is_some_and(|(name, _)| *name == key.0);
        let owner = owners.get(&found.name);
        let given = needed.get(key).zip(owner);
        let is_given = given.is_some_and(|(need, o)| need.given.contains(&(found.rank, *o)));
        let need = needed.get(key);
        let is_of_higher = need.is_some_and(|need| need.has_user_above(found.rank));
        match is_below && !is_of_higher || is_given {
            true => restored.push((found, user)),
            false => {
                missing.extend(
                    needed
                        .get(key)
                        .into_iter()
                        .flat_map(|n| describe(&key.0, n)),
                );
                let stands = if is_below { "beside" } else { "above" };
                withheld.push((found, user, stands));
            }
        }
    }
    let is_restored: HashSet<_> = restored.iter().map(|(e, _)| e.raw.as_ptr()).collect();
    outcome
        .dropped
        .retain(|(e, _)| !is_restored.contains(&e.raw.as_ptr()));
    outcome.kept.extend(restored.iter().map(|(entry, _)| entry));
    rules::sort(&mut outcome.kept);
    outcome.kept.dedup_by(|next, first| {
        let is_equal =
            next.name == first.name && compare_versions(next.version, first.version).is_eq();
        if is_equal && next.component < first.component {
            std::mem::swap(first, next);
        }
        if is_equal && next.rank == first.rank && first.has_other_files(next) {
            outcome.twice.push((*first, *next));
        }
        is_equal
    });
    SourceOutcome {
        outcome,
        restored,
        withheld,
        missing,
        owners,
    }
}

/// Returns the archive that owns each name.
fn owners<'a>(outcome: &Outcome<'a>) -> HashMap<Name<'a>, u16> {
    let mut owners = HashMap::with_capacity(outcome.kept.len());
    let mut excluded: Vec<_> = outcome.excluded.iter().map(|e| (e.rank, e.name)).collect();
    excluded.sort_unstable_by(|a, b| b.cmp(a));
    owners.extend(excluded.into_iter().map(|(rank, name)| (name, rank)));
    // Archives with a winner come later and overwrite these.
    let dropped = outcome.dropped.iter().map(|(entry, _)| entry);
    let winners = outcome.kept.iter().chain(dropped).chain(&outcome.flawed);
    owners.extend(winners.map(|e| (e.name, e.rank)));
    owners
}
