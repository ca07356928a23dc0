//! binary-all: exactly the `Architecture: all` stanzas of the other indices.
//!
//! The architectures are merged side by side, and each drops its inputs when it finishes. So the stanzas that belong into binary-all are
//! copied here, each once, with the facts that place them ([`super::order`]).

use std::collections::BTreeMap;
use std::sync::Mutex;

use crate::deb822::{Name, compare_versions};

use super::entry::Entry;
use super::input::SuiteMerge;
use super::order::{self, Place};
use super::{PackageKey, Text};

/// A collector of the `Architecture: all` stanzas from all architectures of a suite.
#[derive(Default)]
pub(crate) struct Collector {
    stanzas: Mutex<BTreeMap<Key, Stanza>>,
}

#[derive(PartialEq, Eq)]
struct Key {
    name: Box<[u8]>,
    version: Box<[u8]>,
    component: u16,
}

impl Ord for Key {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.name
            .cmp(&other.name)
            .then_with(|| compare_versions(&self.version, &other.version))
            .then_with(|| self.version.cmp(&other.version))
            .then_with(|| self.component.cmp(&other.component))
    }
}

impl PartialOrd for Key {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

struct Stanza {
    rank: u16,
    maintainer: Box<[u8]>,
    source: Box<[u8]>,
    text: Box<[u8]>,
}

impl Collector {
    /// Adds the published entries of one architecture that are `Architecture: all`.
    ///
    /// Two architectures may have one package and version from two archives; then the stanza of the higher archive is kept.
    pub(crate) fn add<'a>(&self, entries: impl Iterator<Item = (&'a Entry<'a>, Vec<&'a [u8]>)>) {
        // A panic in another thread is no reason to lose the stanzas that are here.
        let mut stanzas = self
            .stanzas
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        for (entry, slices) in entries.filter(|(e, _)| e.architecture == b"all") {
            let key = Key {
                component: entry.component,
                name: entry.name.folded().into(),
                version: entry.version.into(),
            };
            let better = |old: &Stanza| {
                entry.rank < old.rank
                    || (entry.rank == old.rank
                        && slices.iter().copied().flatten().lt(old.text.iter()))
            };
            if stanzas.get(&key).is_none_or(better) {
                let stanza = Stanza {
                    rank: entry.rank,
                    maintainer: entry.maintainer.into(),
                    source: entry.source().0.as_written().into(),
                    text: slices.concat().into(),
                };
                stanzas.insert(key, stanza);
            }
        }
    }

    /// Returns the collected stanzas, ready to be taken component by component.
    pub(crate) fn finish(self) -> Collected {
        Collected(
            self.stanzas
                .into_inner()
                .unwrap_or_else(std::sync::PoisonError::into_inner),
        )
    }
}

/// The stanzas that a [`Collector`] has collected.
pub(crate) struct Collected(BTreeMap<Key, Stanza>);

impl Collected {
    /// Returns the binary-all index of a component.
    pub(crate) fn text<'a>(&'a self, component: u16, merge: &'a SuiteMerge<'_>) -> Text<'a> {
        let mut text = Text::default();
        let of_component = self.0.iter().filter(|(key, _)| key.component == component);
        let place = |(key, stanza): &(&'a Key, &'a Stanza)| Place {
            rank: stanza.rank,
            maintainer: &stanza.maintainer,
            source: Name::new(&stanza.source),
            name: Name::new(&key.name),
        };
        let ordered = order::of_publication(of_component, merge.lowest(), place);
        let push = |text: &mut Text<'a>, (key, stanza): (&'a Key, &'a Stanza)| {
            let key = PackageKey {
                name: Name::new(&key.name),
                version: &key.version,
                pool: merge.pool(stanza.rank),
            };
            text.push_package(key, [&stanza.text[..]]);
        };
        ordered.lowest.into_iter().for_each(|s| push(&mut text, s));
        text.end_lowest();
        ordered.others.into_iter().for_each(|s| push(&mut text, s));
        text
    }
}
