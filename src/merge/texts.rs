//! The texts of merged indices: stanzas as slices of the inputs, with the pools of their archives in their paths.

use crate::text::{PackageKey, Text};

use super::entry::Entry;
use super::input::SuiteMerge;
use super::rewrite::PoolStrings;

/// Returns the texts of the components, from the entries in the order of publication.
pub(super) fn texts<'a>(
    merge: &'a SuiteMerge<'_>,
    kept: &'a [Entry<'a>],
    pools: &'a [PoolStrings],
) -> Vec<Text<'a>> {
    let components = merge.spec.components.len();
    let mut texts: Vec<_> = (0..components).map(|_| Text::default()).collect();
    for entry in kept {
        if let Some(text) = texts.get_mut(usize::from(entry.component)) {
            let key = PackageKey {
                name: entry.name,
                version: entry.version,
                pool: merge.pool(entry.rank),
            };
            text.push_package(key, published(entry, pools));
        }
    }
    texts
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
