//! Keys of the indices that speak of published packages (Contents, Translation, DEP-11, Commands): digests of everything that such an index
//! is made from.
//!
//! These indices depend on their inputs and on the names that were published, not on versions; where an index of all components is divided
//! among them, also on the component of each package. Most runs change none of these. Then the key is the one on record, and the index is
//! taken over as it is, without being read.

use std::collections::BTreeSet;

use rayon::prelude::*;
use sha2::{Digest, Sha256};

use crate::error::Result;
use crate::indices::IndexName;

use super::MERGE_VERSION;
use super::input::{DerivedKey, Part, Sink, SuiteMerge};
use super::selection::Selected;

/// A builder for the key of an index.
pub(super) struct KeyOf(Sha256);

impl KeyOf {
    /// Begins a key with indices, each with the indices of the inputs that it is made from.
    pub(super) fn inputs(merge: &SuiteMerge<'_>, indices: &[(IndexName, Vec<Part>)]) -> Self {
        let mut key = Self(Sha256::new());
        key.0.update(MERGE_VERSION.to_le_bytes());
        for input in &merge.spec.inputs {
            key.text(input.pool.as_str());
        }
        for (name, parts) in indices {
            key.text(&name.to_string());
            key.0.update((parts.len() as u64).to_le_bytes());
            for (rank, part) in parts {
                let input = merge.inputs.get(*rank);
                let index = input.and_then(|input| input.facts().indices.get(part));
                key.0.update((*rank as u64).to_le_bytes());
                key.text(&part.to_string());
                key.text(&index.map(|i| hex::encode(i.sha256)).unwrap_or_default());
            }
        }
        key
    }

    /// Adds the names that were published in these index groups.
    pub(super) fn published<'g>(
        mut self,
        selected: &Selected<'_>,
        groups: impl IntoIterator<Item = &'g str>,
    ) -> Self {
        for group in groups {
            self.text(group);
            self.0.update(selected.digest_of_group(group));
        }
        self
    }

    /// Adds an input whose index of all components is divided among them, and the packages that were published in a component.
    pub(super) fn divided(
        mut self,
        selected: &Selected<'_>,
        rank: u16,
        (group, component): (&str, u16),
    ) -> Self {
        self.0.update(rank.to_le_bytes());
        self.0.update(selected.digest_of_places(group, component));
        self
    }

    /// Adds the published descriptions.
    pub(super) fn descriptions(mut self, selected: &Selected<'_>) -> Self {
        self.0.update(selected.digest_of_descriptions());
        self
    }

    fn text(&mut self, text: &str) {
        self.0.update((text.len() as u64).to_le_bytes());
        self.0.update(text);
    }

    fn finish(self) -> DerivedKey {
        self.0.finalize().into()
    }
}

/// Makes indices side by side; returns the warnings about all of them.
pub(super) fn side_by_side<I: IntoParallelIterator>(
    indices: I,
    make: impl Fn(I::Item) -> Result<BTreeSet<String>> + Sync + Send,
) -> Result<BTreeSet<String>> {
    let warnings: Vec<_> = indices.into_par_iter().map(make).collect::<Result<_>>()?;
    Ok(warnings.into_iter().flatten().collect())
}

/// Makes some indices, unless they exist already and were made from the same inputs; returns the warnings about them.
pub(super) fn unless_unchanged(
    sink: &dyn Sink,
    selected: &Selected<'_>,
    names: &[IndexName],
    key: KeyOf,
    make: impl FnOnce() -> Result<BTreeSet<String>>,
) -> Result<BTreeSet<String>> {
    let key = key.finish();
    if let Some(warnings) = sink.recall(names, &key)? {
        return Ok(warnings);
    }
    selected.load()?;
    let warnings = make()?;
    sink.remember(names, &key, &warnings);
    Ok(warnings)
}
