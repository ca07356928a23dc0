//! binary-all: exactly the `Architecture: all` stanzas of the other indices.
//!
//! The architectures are merged side by side and let their inputs go as they finish, so what belongs into binary-all is
//! copied out here, each stanza once.

use std::collections::BTreeMap;
use std::sync::Mutex;

use crate::deb822::{Name, compare_versions};

use super::entry::Entry;
use super::input::SuiteMerge;
use super::{PackageKey, Text};

/// Collects from all architectures of a suite.
#[derive(Default)]
pub(crate) struct Collector {
    stanzas: Mutex<BTreeMap<Key, Stanza>>,
}

#[derive(PartialEq, Eq)]
struct Key {
    component: u16,
    name: Box<[u8]>,
    version: Box<[u8]>,
}

impl Ord for Key {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.component, &self.name)
            .cmp(&(other.component, &other.name))
            .then_with(|| compare_versions(&self.version, &other.version))
            .then_with(|| self.version.cmp(&other.version))
    }
}

impl PartialOrd for Key {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

struct Stanza {
    rank: u16,
    text: Box<[u8]>,
}

impl Collector {
    /// Adds the `Architecture: all` ones of an architecture's published entries.
    ///
    /// Two architectures may have one package and version from two archives; then the higher archive's is the one.
    pub(crate) fn add<'a>(&self, entries: impl Iterator<Item = (&'a Entry<'a>, Vec<&'a [u8]>)>) {
        // A panic elsewhere is no reason to lose what is here.
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
                let text = slices.concat().into();
                stanzas.insert(
                    key,
                    Stanza {
                        rank: entry.rank,
                        text,
                    },
                );
            }
        }
    }

    /// The collected stanzas, ready to be taken component by component.
    pub(crate) fn finish(self) -> Collected {
        Collected(
            self.stanzas
                .into_inner()
                .unwrap_or_else(std::sync::PoisonError::into_inner),
        )
    }
}

/// What was collected.
pub(crate) struct Collected(BTreeMap<Key, Stanza>);

impl Collected {
    /// The binary-all index of a component.
    pub(crate) fn text<'a>(&'a self, component: u16, merge: &'a SuiteMerge<'_>) -> Text<'a> {
        let mut text = Text::default();
        for (key, stanza) in self.0.iter().filter(|(key, _)| key.component == component) {
            let key = PackageKey {
                name: Name::new(&key.name),
                version: &key.version,
                pool: merge.pool(stanza.rank),
            };
            text.push_package(key, [&stanza.text[..]]);
        }
        text
    }
}
