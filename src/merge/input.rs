//! The two ends of a merge, and the merge itself: inputs give the indices, wherever they are kept; the sink takes the merged ones.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{Read, Write};
use std::path::PathBuf;

use jiff::Timestamp;

use crate::cancel::Cancel;
use crate::deb822::identity::LongField;
use crate::error::Result;
use crate::indices::{self, IndexName};
use crate::names::SuiteName;
use crate::spec::{Content, InputSpec, Spec};
use crate::text::IndexText;

use super::deadline::Deadline;
use super::error::MergeError;

/// The digest of everything from which an index follows: equal keys mean equal indices.
pub(crate) type DerivedKey = [u8; 32];

/// The description of an input: everything that is known of it without reading an index.
#[derive(Debug, Clone)]
pub struct InputFacts {
    /// The name of the input in messages: `debian bookworm`.
    pub name: String,
    /// The Release fields that a suite can inherit, or the one that is too long for clients.
    pub fields: Result<Vec<(String, String)>, LongField>,
    /// The Date of the input's Release.
    pub date: Timestamp,
    /// The time until which a suite may be valid that is made from the input; `None` if the input sets no bound.
    pub valid_until: Option<Timestamp>,
    /// The indices.
    pub indices: BTreeMap<IndexName, IndexFacts>,
    /// The components and architectures that the input has, whether or not a suite takes them.
    pub offers: Offers,
}

/// The components and architectures of packages and sources that an input has, by their names there.
#[derive(Debug, Clone, Default)]
pub struct Offers {
    /// The components.
    pub components: BTreeSet<String>,
    /// The architectures, with `all` where its packages stand in an index of their own.
    pub architectures: BTreeSet<String>,
}

/// The plain text of an index, without the text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct IndexFacts {
    /// The digest of the text.
    pub sha256: [u8; 32],
    /// The length of the text in bytes.
    pub size: u64,
}

/// An input of a merge: the indices of one archive's suite, or of anything else that has packages.
pub trait Input: Sync {
    /// Returns what is known of the input.
    fn facts(&self) -> &InputFacts;

    /// Returns the plain text of an index, `None` if the input has no such index.
    fn read(&self, name: &IndexName) -> Result<Option<Vec<u8>>>;

    /// Opens an index as a stream, for indices that are too large for memory. Damage is an error of the last read.
    fn open(&self, name: &IndexName) -> Result<Option<Box<dyn Read + Send + '_>>>;

    /// Fails if nothing new may be made of the input.
    fn check(&self) -> Result<()> {
        Ok(())
    }

    /// Returns the package files that we have ourselves, each with the path that the input's stanzas name and the file.
    fn files(&self) -> Vec<(String, PathBuf)> {
        Vec::new()
    }

    /// Returns whether the input has an index.
    fn has(&self, name: &IndexName) -> bool {
        self.facts().indices.contains_key(name)
    }

    /// Returns the name of an index of this input in messages.
    fn describe(&self, name: &IndexName) -> String {
        format!("{} {name}", self.facts().name)
    }
}

/// Finds the inputs that a spec names, wherever they are kept.
pub trait Inputs: Sync {
    /// Returns the inputs of a suite, in the order of its spec; an error if one of them is not there.
    fn inputs<'a>(&'a self, content: &Content) -> Result<Vec<Box<dyn Input + 'a>>>;
}

/// Takes merged indices over, each once; called from several threads.
pub trait Sink: Sync {
    /// Takes an index whose text is in memory. If the sink can do without the text of the head later on, it returns what it has to be given
    /// in place of that text.
    fn text(&self, name: &IndexName, text: &IndexText<'_>) -> Result<Option<Vec<u8>>>;

    /// Takes an index that is written from its first byte to its last. `produce` is called once.
    fn stream(
        &self,
        name: &IndexName,
        produce: &mut dyn FnMut(&mut dyn Write) -> Result<()>,
    ) -> Result<()>;

    /// Creates a file without a name, for lines that have to be sorted and are too many for memory.
    fn scratch(&self) -> Result<File>;

    /// Takes over indices that were made from what the key stands for, if all of them still exist; returns the warnings from the time when
    /// they were made.
    fn recall(&self, names: &[IndexName], key: &DerivedKey) -> Result<Option<BTreeSet<String>>> {
        let _ = (names, key);
        Ok(None)
    }

    /// Notes what indices were made from, for a later [`Sink::recall`].
    fn remember(&self, names: &[IndexName], key: &DerivedKey, warnings: &BTreeSet<String>) {
        let _ = (names, key, warnings);
    }

    /// Returns what an earlier merge of the same suite kept under a key: exactly those bytes, or nothing.
    fn kept(&self, key: &DerivedKey) -> Option<Vec<u8>> {
        let _ = key;
        None
    }

    /// Keeps what is kept under a key for one merge more; returns whether there is something.
    fn keep_on(&self, key: &DerivedKey) -> bool {
        let _ = key;
        false
    }

    /// Keeps bytes for the next merge of the same suite, if the sink can.
    fn keep(&self, key: &DerivedKey, content: &[u8]) {
        let _ = (key, content);
    }
}

/// An index of an input: the place of the input in the order, and the name that the index has there.
pub(super) type Part = (usize, IndexName);

/// One merge: a suite and its inputs, highest priority first.
pub struct SuiteMerge<'a> {
    /// The suite's name.
    pub name: &'a SuiteName,
    /// The settings of the suite.
    pub spec: &'a Content,
    /// The inputs, one for each that the spec names.
    pub inputs: Vec<Box<dyn Input + 'a>>,
    /// The time at which the merge is given up.
    pub(crate) deadline: Deadline,
}

impl<'a> SuiteMerge<'a> {
    /// Returns the merge of a suite, which has to end in time from now on.
    pub fn new(spec: &'a Spec, inputs: Vec<Box<dyn Input + 'a>>, cancel: &Cancel) -> Self {
        Self {
            name: &spec.name,
            spec: &spec.content,
            inputs,
            deadline: Deadline::after(spec.timeout, cancel),
        }
    }
}

impl SuiteMerge<'_> {
    /// Returns an input, by its place in the order.
    pub(super) fn input(&self, rank: u16) -> Option<&dyn Input> {
        self.inputs
            .get(usize::from(rank))
            .map(|input| &**input as &dyn Input)
    }

    /// Returns the rank of the lowest archive.
    pub(super) fn lowest(&self) -> u16 {
        self.spec.inputs.len().saturating_sub(1) as u16
    }

    /// Returns the settings of an input.
    pub(super) fn spec_of(&self, rank: u16) -> Option<&InputSpec> {
        self.spec.inputs.get(usize::from(rank))
    }

    /// Returns the pool of an input.
    pub(super) fn pool(&self, rank: u16) -> &str {
        self.spec_of(rank).map_or("", |input| input.pool.as_str())
    }

    /// Returns whether an index is read from an input, by its name there: the input has it, and the spec takes it.
    pub(super) fn reads(&self, rank: usize, theirs: &IndexName) -> bool {
        let takes = |input: &InputSpec| {
            input.families.contains(&theirs.family())
                && indices::takes(input, theirs)
                && indices::has_component(self.spec, input, theirs)
        };
        self.spec.inputs.get(rank).is_some_and(takes)
            && self.inputs.get(rank).is_some_and(|input| input.has(theirs))
    }

    /// Returns the indices that are read from an input for one of the suite's, by their names in the input.
    pub(super) fn parts(&self, rank: usize, ours: &IndexName) -> Vec<IndexName> {
        let input = self.spec.inputs.get(rank);
        let names = input.map_or_else(Vec::new, |input| indices::theirs(input, ours));
        let read = names.into_iter().filter(|name| self.reads(rank, name));
        read.collect()
    }

    /// Returns the indices that are read from all inputs for one of the suite's.
    pub(super) fn parts_of_all(&self, ours: &IndexName) -> Vec<Part> {
        let ranks = 0..self.inputs.len();
        let parts = ranks.flat_map(|rank| {
            let names = self.parts(rank, ours).into_iter();
            names.map(move |name| (rank, name))
        });
        parts.collect()
    }

    /// Returns the archive of an input.
    pub(super) fn archive(&self, rank: u16) -> &str {
        self.spec_of(rank)
            .map_or("", |input| input.archive.as_str())
    }

    /// Reads indices of inputs; returns the place of each input in the order, the index's name in messages, and the text.
    pub(super) fn read_all(&self, parts: &[Part]) -> Result<Vec<(u16, String, Vec<u8>)>> {
        let mut read = Vec::new();
        for (rank, name) in parts {
            self.in_time()?;
            if let Some(input) = self.inputs.get(*rank)
                && let Some(data) = input.read(name)?
            {
                read.push((*rank as u16, input.describe(name), data));
            }
        }
        Ok(read)
    }

    /// Returns the wanted optional indices in the suite's components, each with the indices that it is made from.
    pub(super) fn optional_indices(
        &self,
        wanted: &dyn Fn(&IndexName) -> bool,
    ) -> BTreeMap<IndexName, Vec<Part>> {
        let mut indices: BTreeMap<IndexName, Vec<Part>> = BTreeMap::new();
        let inputs = self.inputs.iter().zip(&self.spec.inputs).enumerate();
        for (rank, (input, settings)) in inputs {
            let names = input.facts().indices.keys();
            for theirs in names.filter(|name| name.is_optional() && self.reads(rank, name)) {
                if let Some(ours) = indices::ours(settings, theirs)
                    && wanted(&ours)
                {
                    indices
                        .entry(ours)
                        .or_default()
                        .push((rank, theirs.clone()));
                }
            }
        }
        indices
    }

    /// Returns how many indices the merge makes, as far as its inputs tell.
    pub fn expected(&self) -> u64 {
        let takes = |name: &IndexName| self.spec.families.contains(&name.family());
        let optional = self.optional_indices(&takes).into_keys();
        let mut names = indices::published(self.spec);
        for name in optional {
            match name {
                // It is read for each component.
                IndexName::SuiteContents(of) => {
                    let components = self.spec.components.iter();
                    names.extend(components.map(|c| IndexName::Contents(c.clone(), of.clone())));
                }
                name => drop(names.insert(name)),
            }
        }
        names.len() as u64
    }

    /// Fails once the deadline is over, or the run is told to stop.
    pub(super) fn in_time(&self) -> Result<()> {
        self.deadline.cancel.check()?;
        match self.deadline.is_over() {
            false => Ok(()),
            true => Err(MergeError::Overdue {
                suite: self.name.to_string(),
                span: self.deadline.span,
            }
            .into()),
        }
    }
}
