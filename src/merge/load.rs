//! Loading: indices of all inputs, read and split into stanzas.

use rayon::prelude::*;

use crate::deb822::SyntaxError;
use crate::error::Result;
use crate::indices::IndexName;

use super::entry::{Entry, Kind, Parsed, entries};
use super::error::MergeError;
use super::input::SuiteMerge;

/// An index that was read, with its place in the merge.
pub(super) struct Loaded {
    rank: u16,
    component: u16,
    name: IndexName,
    label: String,
    data: Vec<u8>,
}

impl Loaded {
    /// Returns the rank of the index's archive.
    pub(super) fn rank(&self) -> u16 {
        self.rank
    }

    /// Returns the index's name in its archive.
    pub(super) fn name(&self) -> &IndexName {
        &self.name
    }

    /// Returns the index's name in messages.
    pub(super) fn label(&self) -> &str {
        &self.label
    }

    /// Returns the index's text.
    pub(super) fn data(&self) -> &[u8] {
        &self.data
    }

    /// Takes the stanzas of the index apart.
    pub(super) fn parse(&self, kind: Kind) -> Result<Parsed<'_>> {
        let read = entries(&self.data, kind, self.rank, self.component);
        Ok(read.map_err(|why| MergeError::Index {
            index: self.label.clone(),
            why,
        })?)
    }
}

/// An index to read: the rank of the input, the number of the component, the name.
pub(super) type WantedIndex = (usize, usize, IndexName);

/// Reads indices of all inputs, in parallel.
pub(super) fn load(merge: &SuiteMerge<'_>, wanted: Vec<WantedIndex>) -> Result<Vec<Loaded>> {
    wanted
        .into_par_iter()
        .filter_map(|(rank, component, name)| {
            let input = merge.inputs.get(rank)?;
            match merge.in_time().and_then(|()| input.read(&name)) {
                Ok(data) => data.map(|data| {
                    Ok(Loaded {
                        rank: rank as u16,
                        component: component as u16,
                        label: input.describe(&name),
                        name,
                        data,
                    })
                }),
                Err(error) => Some(Err(error)),
            }
        })
        .collect()
}

/// Returns the packages of indices, read in parallel.
pub(super) fn parse(loaded: &[Loaded], kind: Kind) -> Result<Vec<Entry<'_>>> {
    let parsed = loaded
        .par_iter()
        .map(|index| Ok(index.parse(kind)?.entries))
        .collect::<Result<Vec<_>>>()?;
    Ok(parsed.concat())
}

/// Returns a warning for each index with text that is not UTF-8, though it can be passed on, with the rank of its archive.
pub(super) fn odd_texts(loaded: &[Loaded]) -> Vec<(u16, String)> {
    let odd = loaded.par_iter().filter_map(|index| {
        let error = SyntaxError::not_utf8(&index.data)?;
        Some((index.rank, format!("{}, {error}", index.label)))
    });
    odd.collect()
}

/// Returns the Sources of all inputs that are to be read.
pub(super) fn wanted_sources(merge: &SuiteMerge<'_>) -> Vec<WantedIndex> {
    let mut wanted = Vec::new();
    for (number, component) in merge.spec.components.iter().enumerate() {
        let name = IndexName::Sources(component.clone());
        let parts = merge.parts_of_all(&name).into_iter();
        wanted.extend(parts.map(|(rank, name)| (rank, number, name)));
    }
    wanted
}
