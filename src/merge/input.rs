//! The two ends of a merge, and the merge itself: inputs give the indices, wherever they are kept; the sink takes the merged ones.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{Read, Write};

use crate::config::{Config, PoolName, Suite, SuiteName};
use crate::error::Result;
use crate::indices::{self, IndexName};
use crate::text::Text;

use super::deadline::Deadline;
use super::error::MergeError;

/// The digest of everything from which an index follows: equal keys mean equal indices.
pub type DerivedKey = [u8; 32];

/// An input of a merge: the indices of one archive's suite, wherever they are kept.
pub trait Input: Sync {
    /// Returns the pool name that the input's paths get.
    fn pool(&self) -> &PoolName;
    /// Returns the name of the input's archive in the configuration.
    fn archive(&self) -> &str {
        self.pool().as_str()
    }
    /// Returns whether bans do not apply to the input.
    fn is_exempt(&self) -> bool;
    /// Returns the plain text of an index, `None` if the input has no such index.
    fn read(&self, name: &IndexName) -> Result<Option<Vec<u8>>>;
    /// Opens an index as a stream, for indices that are too large for memory. Damage is an error of the last read.
    fn open(&self, name: &IndexName) -> Result<Option<Box<dyn Read + Send + '_>>>;
    /// Returns the digest of an index's plain text, without reading it; `None` if the input has no such index.
    fn digest(&self, name: &IndexName) -> Option<String>;
    /// Returns the length of an index's plain text, as far as it is known without reading: the longest index is merged first.
    fn size(&self, name: &IndexName) -> u64 {
        let _ = name;
        0
    }
    /// Returns the input's indices of the families that a suite can do without.
    fn optional(&self) -> Vec<IndexName>;
    /// Returns the input's Packages and Sources, including those that this suite does not read.
    fn packages(&self) -> Vec<IndexName> {
        Vec::new()
    }
    /// Returns whether the input has an index that the merge should read; it reads binary-all for other architectures as well.
    fn has(&self, name: &IndexName) -> bool;
    /// Returns the name of an index of this input in messages.
    fn describe(&self, name: &IndexName) -> String;
}

/// Takes merged indices over, each once; called from several threads.
pub trait Sink: Sync {
    /// Takes an index whose text is in memory.
    fn text(&self, name: &IndexName, text: &Text<'_>) -> Result<()>;

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
}

/// One merge: a suite and its inputs, highest priority first.
pub struct SuiteMerge<'a> {
    /// The rules.
    pub config: &'a Config,
    /// The suite's name.
    pub name: &'a SuiteName,
    /// The suite.
    pub suite: &'a Suite,
    /// The inputs.
    pub inputs: Vec<Box<dyn Input + 'a>>,
    /// The time at which the merge is given up.
    pub deadline: Deadline,
}

impl SuiteMerge<'_> {
    /// Returns an input, by its place in the order.
    pub(super) fn input(&self, rank: u16) -> Option<&dyn Input> {
        self.inputs
            .get(usize::from(rank))
            .map(|input| &**input as &dyn Input)
    }

    /// Returns the pool of an input.
    pub(super) fn pool(&self, rank: u16) -> &str {
        self.input(rank).map_or("", |input| input.pool().as_str())
    }

    /// Reads an index of some inputs; returns the place of each in the order, the index's name in messages, and the text.
    pub(super) fn read_of(
        &self,
        ranks: &[usize],
        name: &IndexName,
    ) -> Result<Vec<(u16, String, Vec<u8>)>> {
        let mut read = Vec::new();
        for &rank in ranks {
            self.in_time()?;
            if let Some(input) = self.inputs.get(rank)
                && let Some(data) = input.read(name)?
            {
                read.push((rank as u16, input.describe(name), data));
            }
        }
        Ok(read)
    }

    /// Returns the wanted optional indices in the suite's components, each with the inputs that have it.
    pub(super) fn ranks_by_optional_index(
        &self,
        wanted: &dyn Fn(&IndexName) -> bool,
    ) -> BTreeMap<IndexName, Vec<usize>> {
        let components = self.config.components_of(self.suite);
        let mut indices: BTreeMap<IndexName, Vec<usize>> = BTreeMap::new();
        for (rank, input) in self.inputs.iter().enumerate() {
            for name in input.optional() {
                if wanted(&name) && name.component().is_none_or(|c| components.contains(c)) {
                    indices.entry(name).or_default().push(rank);
                }
            }
        }
        indices
    }

    /// Returns how many indices the merge makes, as far as its inputs tell.
    pub fn expected(&self) -> u64 {
        let takes = |name: &IndexName| self.config.indices.contains(&name.family());
        let optional = self.ranks_by_optional_index(&takes).into_keys();
        let mut names = indices::published(self.config, self.suite);
        for name in optional {
            match name {
                // It is read for each component.
                IndexName::SuiteContents(of) => {
                    let components = self.config.components_of(self.suite).iter();
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
