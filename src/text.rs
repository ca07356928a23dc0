//! The text of an index in memory, as slices of the inputs: stanzas are passed on without a copy.
//!
//! The text of a merged index has two parts. Its head comes from the lowest archive alone, and is the same from run to run; its tail is the
//! rest. A sink that has seen a head before needs no text of it any more.

use crate::deb822::Name;

/// The package that a stanza belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct PackageKey<'a> {
    pub name: Name<'a>,
    pub version: &'a [u8],
    pub pool: &'a str,
}

/// A merged index: the head and the tail of its text, in this order.
#[derive(Debug, Clone, Copy)]
pub struct IndexText<'a> {
    /// The part that changes with the lowest archive and the rules alone.
    pub head: Head<'a>,
    /// The rest.
    pub tail: &'a Text<'a>,
}

/// The head of an index.
#[derive(Debug, Clone, Copy)]
pub enum Head<'a> {
    /// The text of the head.
    Text(&'a Text<'a>),
    /// The bytes that the sink returned when it was given the text.
    Kept(&'a [u8]),
}

/// The text without a stanza.
static NOTHING: Text<'static> = Text {
    slices: Vec::new(),
    keys: Vec::new(),
    lowest: None,
    stanza_ends: Vec::new(),
    length: 0,
};

impl<'a> IndexText<'a> {
    /// Returns an index of which nothing is expected to stay.
    pub fn whole(text: &'a Text<'a>) -> Self {
        Self {
            head: Head::Text(text),
            tail: &NOTHING,
        }
    }

    /// Returns the slices of a stanza, by its number from 0 on; the first one of the tail has the number 0 if the sink keeps the head.
    pub(crate) fn stanza(&self, number: usize) -> &[&'a [u8]] {
        match self.head {
            Head::Text(head) if number < head.stanzas() => head.stanza(number),
            Head::Text(head) => self.tail.stanza(number - head.stanzas()),
            Head::Kept(_) => self.tail.stanza(number),
        }
    }

    /// Returns the slices of head and tail; only those of the tail if the sink keeps the head.
    pub fn slices(&self) -> impl Iterator<Item = &'a [u8]> {
        let head = match self.head {
            Head::Text(head) => Some(head),
            Head::Kept(_) => None,
        };
        let texts = head.into_iter().chain([self.tail]);
        texts.flat_map(|text| text.slices.iter().copied())
    }
}

/// Stanzas in their order: the text in slices, one group of slices for each stanza.
#[derive(Debug, Default)]
pub struct Text<'a> {
    slices: Vec<&'a [u8]>,
    /// The packages of the stanzas, if the index is one of packages.
    keys: Vec<PackageKey<'a>>,
    /// The number of stanzas at the beginning that come from the lowest archive; all of them if there is none.
    lowest: Option<usize>,
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

    /// Ends the stanzas of the lowest archive. Those that follow change more often.
    pub(crate) fn end_lowest(&mut self) {
        self.lowest = Some(self.stanzas());
    }

    /// Returns the stanzas of the lowest archive and those of the others, each as its slices.
    pub(crate) fn parts(
        &self,
    ) -> (
        impl Iterator<Item = &[&'a [u8]]>,
        impl Iterator<Item = &[&'a [u8]]>,
    ) {
        let lowest = self.lowest.unwrap_or(self.stanzas());
        (self.iter().take(lowest), self.iter().skip(lowest))
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
