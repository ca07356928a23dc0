//! The texts of merged indices: stanzas as slices of the inputs, with the pools of their archives in their paths.

use crate::text::{PackageKey, Text};

use super::entry::Entry;
use super::input::SuiteMerge;
use super::order::{self, Place};
use super::rewrite::PoolStrings;

/// Returns the texts of the components, in the order of publication, from the entries by name.
pub(super) fn texts<'a>(
    merge: &'a SuiteMerge<'_>,
    kept: &[Entry<'a>],
    pools: &'a [PoolStrings],
) -> Vec<Text<'a>> {
    let components = 0..merge.spec.components.len();
    let text_of = |component: usize| {
        let mut text = Text::default();
        let entries = kept
            .iter()
            .filter(|e| usize::from(e.component) == component);
        let push = |text: &mut Text<'a>, entry: &Entry<'a>| {
            let key = PackageKey {
                name: entry.name,
                version: entry.version,
                pool: merge.pool(entry.rank),
            };
            text.push_package(key, published(entry, pools));
        };
        let ordered = order::of_publication(entries, merge.lowest(), |entry| Place::of(entry));
        ordered.lowest.into_iter().for_each(|e| push(&mut text, e));
        text.end_lowest();
        ordered.others.into_iter().for_each(|e| push(&mut text, e));
        text
    };
    components.map(text_of).collect()
}

pub(super) fn published<'a>(entry: &Entry<'a>, pools: &'a [PoolStrings]) -> Vec<&'a [u8]> {
    let inserted = pools
        .get(usize::from(entry.rank))
        .map_or(&b""[..], |pool| pool.get(entry.insertion().what));
    entry.published(inserted)
}

pub(super) fn pools(merge: &SuiteMerge<'_>) -> Vec<PoolStrings> {
    let inputs = merge.spec.inputs.iter();
    inputs.map(|i| PoolStrings::new(&i.pool)).collect()
}
