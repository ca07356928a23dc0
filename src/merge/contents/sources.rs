//! The indices of the archives from which each published Contents is made.

use std::collections::BTreeMap;

use crate::indices::IndexName;

use super::super::input::SuiteMerge;
use super::super::selection::Selected;

/// An index from which a published one is made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Source {
    /// The archive's place in the order.
    pub(super) rank: u16,
    /// The index by its name in the archive.
    pub(super) index: IndexName,
    /// For an index of all components: the component from which packages are taken.
    pub(super) only_component: Option<u16>,
}

/// Returns the published Contents, each with its sources, highest archive first.
pub(super) fn of_published(
    merge: &SuiteMerge<'_>,
    selected: &Selected<'_>,
) -> BTreeMap<IndexName, Vec<Source>> {
    let components = &merge.spec.components;
    let beside = merge.spec.contents_beside_components;
    let mut published: BTreeMap<IndexName, Vec<Source>> = BTreeMap::new();
    let read = merge.optional_indices(&|name| match name {
        IndexName::Contents(_, of) | IndexName::SuiteContents(of) => selected.has_group(of),
        _ => false,
    });
    // If an archive has both kinds, the index beside the components only repeats the others.
    let within = |rank: usize, of: &str| {
        let mut names = components.iter();
        names.any(|c| {
            let name = IndexName::Contents(c.clone(), of.to_owned());
            !merge.parts(rank, &name).is_empty()
        })
    };
    for (ours, parts) in &read {
        for (rank, theirs) in parts {
            let mut add = |name: IndexName, only_component| {
                published.entry(name).or_default().push(Source {
                    rank: *rank as u16,
                    index: theirs.clone(),
                    only_component,
                });
            };
            match ours {
                IndexName::SuiteContents(of) if within(*rank, of) => {}
                IndexName::SuiteContents(of) => {
                    for (number, component) in components.iter().enumerate() {
                        let name = IndexName::Contents(component.clone(), of.clone());
                        add(name, Some(number as u16));
                    }
                    if beside {
                        add(ours.clone(), None);
                    }
                }
                IndexName::Contents(_, of) => {
                    add(ours.clone(), None);
                    if beside {
                        add(IndexName::SuiteContents(of.clone()), None);
                    }
                }
                _ => {}
            }
        }
    }
    for sources in published.values_mut() {
        sources.sort_by_key(|source| source.rank);
    }
    published
}
