//! What was published, by name: what the indices that speak of packages are held against.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::{Mutex, PoisonError};

use super::entry::Entry;

/// The published names of an index group, each with the archive that it is from.
pub(crate) type Names = HashMap<Box<[u8]>, BTreeSet<u16>>;

/// A published description: the component of the package, its name, and the MD5 that names the description.
pub(crate) type Description = (u16, Box<[u8]>, Box<[u8]>);

/// What was published of a suite.
#[derive(Default)]
pub(crate) struct Selection {
    groups: Mutex<HashMap<String, Names>>,
    descriptions: Mutex<HashSet<Description>>,
}

impl Selection {
    /// Notes what was published of a group: `amd64`, `udeb-amd64`, `source`. What is `Architecture: all` in it is noted
    /// under `all`, or `udeb-all`, as well.
    pub(crate) fn add<'a>(&self, group: &str, published: &[Entry<'a>]) {
        let all = match group.strip_prefix("udeb-") {
            Some(_) => "udeb-all",
            None => "all",
        };
        let mut names = Names::with_capacity(published.len());
        let mut names_of_all = Names::new();
        for entry in published {
            names
                .entry(entry.name.into())
                .or_default()
                .insert(entry.rank);
            if entry.architecture == b"all" && group != "source" {
                names_of_all
                    .entry(entry.name.into())
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
        let mut descriptions = self
            .descriptions
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let described = published.iter().filter(|e| !e.description.is_empty());
        descriptions.extend(described.map(|e| (e.component, e.name.into(), e.description.into())));
    }

    /// What was published, now that all groups are.
    pub(crate) fn finish(self) -> Selected {
        Selected {
            groups: self
                .groups
                .into_inner()
                .unwrap_or_else(PoisonError::into_inner),
            descriptions: self
                .descriptions
                .into_inner()
                .unwrap_or_else(PoisonError::into_inner),
        }
    }
}

/// What was published of a suite, all of it.
pub(crate) struct Selected {
    groups: HashMap<String, Names>,
    pub(crate) descriptions: HashSet<Description>,
}

impl Selected {
    /// The names of a group; `None` where it has none.
    pub(crate) fn group(&self, group: &str) -> Option<&Names> {
        self.groups.get(group)
    }

    /// Whether a package of a group was published from an archive.
    pub(crate) fn has(&self, group: &str, name: &[u8], rank: u16) -> bool {
        let ranks = self.group(group).and_then(|names| names.get(name));
        ranks.is_some_and(|ranks| ranks.contains(&rank))
    }
}
