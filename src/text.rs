//! The text of an index in memory, as slices of the inputs: stanzas are passed on without a copy.

use crate::deb822::Name;

/// The package that a stanza belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct PackageKey<'a> {
    pub name: Name<'a>,
    pub version: &'a [u8],
    pub pool: &'a str,
}

/// A merged index: its text in slices, one group of slices for each stanza.
#[derive(Debug, Default)]
pub struct Text<'a> {
    slices: Vec<&'a [u8]>,
    /// The packages of the stanzas, if the index is one of packages.
    keys: Vec<PackageKey<'a>>,
    /// The ends of the stanzas, counted in slices.
    stanza_ends: Vec<u32>,
    length: u64,
}

impl<'a> Text<'a> {
    /// Adds a stanza, with the empty line that ends it.
    pub fn push(&mut self, stanza: impl IntoIterator<Item = &'a [u8]>) {
        for slice in stanza {
            if !slice.is_empty() {
                self.length += slice.len() as u64;
                self.slices.push(slice);
            }
        }
        self.stanza_ends.push(self.slices.len() as u32);
    }

    /// Adds the stanza of a package, with the empty line that ends it.
    pub(crate) fn push_package(
        &mut self,
        key: PackageKey<'a>,
        stanza: impl IntoIterator<Item = &'a [u8]>,
    ) {
        self.keys.push(key);
        self.push(stanza);
    }

    /// Returns the packages of the stanzas; `None` if the index is not one of packages.
    pub(crate) fn keys(&self) -> Option<&[PackageKey<'a>]> {
        (self.keys.len() == self.stanza_ends.len()).then_some(&self.keys)
    }

    /// Returns the slices of a stanza, by its number from 0 on.
    pub fn stanza(&self, number: usize) -> &[&'a [u8]] {
        let start = match number {
            0 => 0,
            _ => self.stanza_ends[number - 1],
        };
        &self.slices[start as usize..self.stanza_ends[number] as usize]
    }

    /// Returns the length in bytes.
    pub fn len(&self) -> u64 {
        self.length
    }

    /// Returns whether the text is empty.
    pub fn is_empty(&self) -> bool {
        self.length == 0
    }

    /// Returns the number of stanzas.
    pub fn stanzas(&self) -> usize {
        self.stanza_ends.len()
    }

    /// Iterates over the stanzas, each as its slices.
    pub fn iter(&self) -> impl Iterator<Item = &[&'a [u8]]> {
        let starts = std::iter::once(0).chain(self.stanza_ends.iter().copied());
        starts
            .zip(&self.stanza_ends)
            .map(|(start, end)| &self.slices[start as usize..*end as usize])
    }
}
