//! Sources: precedence by source name, and whatever source a published binary was built from.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;

use crate::deb822::Name;

use super::entry::Entry;
use super::rules::{self, Outcome, Rules, lossy};

type NameAndVersion = (Vec<u8>, Vec<u8>);
/// A published binary: the rank of its archive, and its name.
type User = (u16, String);

/// The sources that the published binaries of a suite were built from, with the archive of the binary.
#[derive(Default)]
pub(crate) struct Needed {
    sources: Mutex<BTreeMap<NameAndVersion, BTreeSet<User>>>,
}

impl Needed {
    /// Notes the sources of published binaries.
    pub(crate) fn add<'a>(&self, binaries: impl Iterator<Item = &'a Entry<'a>>) {
        let mut sources = self
            .sources
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        for binary in binaries {
            let (name, version) = binary.source();
            let users = sources
                .entry((name.folded().into_owned(), version.to_vec()))
                .or_default();
            // One name per archive is enough to say who needs it.
            if !users.iter().any(|(rank, _)| *rank == binary.rank) {
                users.insert((binary.rank, binary.name.to_string()));
            }
        }
    }
}

/// What the rules made of sources.
pub(crate) struct SourceOutcome<'a> {
    /// As for binaries. What was brought back is kept, and still in the list that it was brought back from, if it was not banned.
    pub(crate) outcome: Outcome<'a>,
    /// What was brought back, with a published binary that needs it.
    pub(crate) restored: Vec<(Entry<'a>, String)>,
    /// The binaries whose source no archive has.
    pub(crate) missing: BTreeSet<String>,
}

/// Applies the rules to sources, then brings back what published binaries need, whatever hid, excluded or banned it.
pub(crate) fn apply<'a>(
    entries: Vec<Entry<'a>>,
    rules: &Rules<'_>,
    needed: Needed,
) -> SourceOutcome<'a> {
    let mut outcome = rules::apply(entries, rules);
    let needed = needed
        .sources
        .into_inner()
        .unwrap_or_else(std::sync::PoisonError::into_inner);
    let kept: BTreeSet<_> = outcome.kept.iter().map(|e| (e.name, e.version)).collect();
    let mut candidates: BTreeMap<(Name<'_>, &[u8]), Vec<Entry<'a>>> = BTreeMap::new();
    let dropped = outcome.dropped.iter().map(|(entry, _)| entry);
    let unpublished = outcome.hidden.iter().chain(&outcome.excluded);
    for entry in unpublished.chain(dropped) {
        candidates
            .entry((entry.name, entry.version))
            .or_default()
            .push(*entry);
    }
    let mut restored: Vec<(Entry<'a>, String)> = Vec::new();
    let mut missing = BTreeSet::new();
    for ((name, version), users) in &needed {
        let key = (Name::new(name), &version[..]);
        if kept.contains(&key) {
            continue;
        }
        match candidates.get(&key) {
            Some(found) => {
                // The binary's own archive is the best witness of what it was built from.
                let of_user = |e: &&Entry<'_>| users.iter().any(|(rank, _)| *rank == e.rank);
                let own = found.iter().find(of_user);
                let best = own.or_else(|| found.iter().min_by_key(|e| e.rank));
                let user = users.first().map(|(_, binary)| binary.clone());
                restored.extend(best.copied().zip(user));
            }
            None => {
                let (name, version) = (lossy(name), lossy(version));
                missing.extend(
                    users
                        .iter()
                        .map(|(_, binary)| format!("{binary} ({name} {version})")),
                );
            }
        }
    }
    let is_restored = |e: &Entry<'_>| restored.iter().any(|(r, _)| std::ptr::eq(r.raw, e.raw));
    outcome.dropped.retain(|(e, _)| !is_restored(e));
    outcome.kept.extend(restored.iter().map(|(entry, _)| entry));
    rules::sort(&mut outcome.kept);
    SourceOutcome {
        outcome,
        restored,
        missing,
    }
}
