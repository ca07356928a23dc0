//! Sources: precedence by source name, and whatever source a published binary was built from.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;

use crate::config::Bans;

use super::entry::Entry;
use super::rules::{self, Outcome, lossy};

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
                .entry((name.to_vec(), version.to_vec()))
                .or_default();
            // One name per archive is enough to say who needs it.
            if !users.iter().any(|(rank, _)| *rank == binary.rank) {
                users.insert((binary.rank, lossy(binary.name)));
            }
        }
    }
}

/// Applies precedence and bans to sources, then brings back what published binaries need.
///
/// The second value names the binaries whose source no archive has.
pub(crate) fn apply<'a>(
    entries: Vec<Entry<'a>>,
    bans: &Bans,
    exempt: &[u16],
    needed: Needed,
) -> (Outcome<'a>, BTreeSet<String>) {
    let mut outcome = rules::apply(entries, bans, exempt);
    let needed = needed
        .sources
        .into_inner()
        .unwrap_or_else(std::sync::PoisonError::into_inner);
    let kept: BTreeSet<_> = outcome.kept.iter().map(|e| (e.name, e.version)).collect();
    let mut candidates: BTreeMap<(&[u8], &[u8]), Vec<Entry<'a>>> = BTreeMap::new();
    let dropped = outcome.dropped.iter().map(|(entry, _)| entry);
    for entry in outcome.hidden.iter().chain(dropped) {
        candidates
            .entry((entry.name, entry.version))
            .or_default()
            .push(*entry);
    }
    let mut restored: Vec<Entry<'a>> = Vec::new();
    let mut missing = BTreeSet::new();
    for ((name, version), users) in &needed {
        let key = (&name[..], &version[..]);
        if kept.contains(&key) {
            continue;
        }
        match candidates.get(&key) {
            Some(found) => {
                // The binary's own archive is the best witness of what it was built from.
                let own = found
                    .iter()
                    .find(|e| users.iter().any(|(rank, _)| *rank == e.rank));
                restored.extend(own.or_else(|| found.iter().min_by_key(|e| e.rank)));
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
    let is_restored = |e: &Entry<'_>| restored.iter().any(|r| std::ptr::eq(r.raw, e.raw));
    outcome.dropped.retain(|(e, _)| !is_restored(e));
    outcome.kept.extend(&restored);
    rules::sort(&mut outcome.kept);
    (outcome, missing)
}
