//! The two ends of a merge: the inputs, wherever their indices are kept, and the sink that takes the merged ones; and what is to be merged.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{Read, Write};

use crate::config::{Config, PoolName, Suite, SuiteName};
use crate::error::{Error, Result};
use crate::indices::IndexName;
use crate::text::Text;

use super::deadline::Deadline;

/// What an index follows from, as a digest: equal keys, equal index.
pub type DerivedKey = [u8; 32];

/// An input of a merge: the indices of one archive's suite, wherever they are kept.
pub trait Input: Sync {
    /// The pool name that its paths get.
    fn pool(&self) -> &PoolName;
    /// The name by which the configuration speaks of its archive.
    fn archive(&self) -> &str {
        self.pool().as_str()
    }
    /// Whether bans leave it alone.
    fn is_exempt(&self) -> bool;
    /// The plain text of an index, `None` where the input has none of the name.
    fn read(&self, name: &IndexName) -> Result<Option<Vec<u8>>>;
    /// The same as a stream, for indices that are larger than one would want in memory. Damage is an error of the last read.
    fn open(&self, name: &IndexName) -> Result<Option<Box<dyn Read + Send + '_>>>;
    /// A digest of an index's plain text, without reading it; `None` where the input has none of the name.
    fn digest(&self, name: &IndexName) -> Option<String>;
    /// The length of an index's plain text, as far as that is known without reading it: what is longest is merged first.
    fn size(&self, name: &IndexName) -> u64 {
        let _ = name;
        0
    }
    /// The indices that it has of the families that a suite can do without.
    fn optional(&self) -> Vec<IndexName>;
    /// Its Packages and Sources, those included that this suite does not read.
    fn packages(&self) -> Vec<IndexName> {
        Vec::new()
    }
    /// Whether the merge is to read the input's binary-all for other architectures as well.
    fn has(&self, name: &IndexName) -> bool;
    /// How messages name an index of it.
    fn describe(&self, name: &IndexName) -> String;
}

/// Takes merged indices over, each once; called from several threads.
pub trait Sink: Sync {
    /// An index whose text is in memory.
    fn text(&self, name: &IndexName, text: &Text<'_>) -> Result<()>;

    /// An index that is written from its first byte to its last. `produce` is called once.
    fn stream(
        &self,
        name: &IndexName,
        produce: &mut dyn FnMut(&mut dyn Write) -> Result<()>,
    ) -> Result<()>;

    /// Takes over indices that were made from what the key stands for, if all of them are there still; gives what was worth
    /// a warning when they were made.
    fn recall(&self, names: &[IndexName], key: &DerivedKey) -> Result<Option<BTreeSet<String>>> {
        let _ = (names, key);
        Ok(None)
    }

    /// Notes what indices were made from, for a later [`Sink::recall`].
    fn remember(&self, names: &[IndexName], key: &DerivedKey, warnings: &BTreeSet<String>) {
        let _ = (names, key, warnings);
    }
}

/// What to merge: a suite and its inputs, highest priority first.
pub struct SuiteMerge<'a> {
    /// The rules.
    pub config: &'a Config,
    /// The suite's name.
    pub name: &'a SuiteName,
    /// The suite.
    pub suite: &'a Suite,
    /// The inputs.
    pub inputs: Vec<Box<dyn Input + 'a>>,
    /// When it is given up.
    pub deadline: Deadline,
}

impl SuiteMerge<'_> {
    /// An input, by its place in the order.
    pub(super) fn input(&self, rank: u16) -> Option<&dyn Input> {
        self.inputs
            .get(usize::from(rank))
            .map(|input| &**input as &dyn Input)
    }

    /// The pool of an input.
    pub(super) fn pool(&self, rank: u16) -> &str {
        self.input(rank).map_or("", |input| input.pool().as_str())
    }

    /// An index of some inputs: the place of each in the order, how messages name its index, and the text.
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

    /// The indices of the wanted kind that a suite can do without, in its components, each with the inputs that have it.
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

    /// Fails once the deadline is over.
    pub(super) fn in_time(&self) -> Result<()> {
        match self.deadline.is_over() {
            false => Ok(()),
            true => Err(Error::Overdue {
                suite: self.name.to_string(),
                span: self.deadline.span,
            }),
        }
    }
}
