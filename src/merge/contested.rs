//! The packages of the lowest archive that are not in the head: what the merge reads of that archive if the head is known.

use std::collections::BTreeMap;
use std::io::Read;

use crate::error::Result;
use crate::indices::IndexName;

use super::coded::{Reader, put, put_number};
use super::entry::Entry;
use super::input::{Input, InputFacts, SuiteMerge};
use super::load::Loaded;

/// The most bytes of such packages that are kept. Where they are more, little is saved.
const MAX_BYTES: usize = 32 << 20;

/// The stanzas of the lowest archive that are not in the head, index by index.
#[derive(Debug, Default)]
pub(super) struct Contested {
    texts: BTreeMap<IndexName, Vec<u8>>,
    length: usize,
}

impl Contested {
    /// Adds those of an index, of which `entries` are the packages in the tail; `None` if they cannot be kept.
    pub(super) fn add(&mut self, index: &Loaded, entries: &[Entry<'_>]) -> Option<()> {
        let within = index.data().as_ptr_range();
        let mut text = Vec::new();
        for entry in entries.iter().filter(|e| within.contains(&e.raw.as_ptr())) {
            // The warning about a stanza with a flaw may depend on its place in the file.
            if entry.is_flawed {
                return None;
            }
            text.extend_from_slice(entry.raw);
            text.extend_from_slice(b"\n\n");
        }
        match self.texts.get(index.name()) {
            // Each architecture reads binary-all, and should find the same there.
            Some(known) => (*known == text).then_some(()),
            None => {
                self.length += text.len();
                self.texts.insert(index.name().clone(), text);
                (self.length <= MAX_BYTES).then_some(())
            }
        }
    }

    /// Returns the stanzas in the form that is kept.
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(self.length + 4096);
        put_number(&mut out, self.texts.len() as u32);
        for (name, text) in &self.texts {
            put(&mut out, name.to_string().as_bytes());
            put(&mut out, text);
        }
        out
    }

    /// Returns the stanzas from the form that is kept; `None` if the bytes are something else.
    pub(super) fn decode(kept: &[u8]) -> Option<Self> {
        let mut reader = Reader(kept);
        let mut contested = Self::default();
        for _ in 0..reader.number()? {
            let name = IndexName::parse(reader.text()?)?;
            let text = reader.bytes()?.to_vec();
            contested.length += text.len();
            contested.texts.insert(name, text);
        }
        reader.is_done().then_some(contested)
    }
}

/// An input of which only these packages are read.
struct Narrowed<'a> {
    input: &'a dyn Input,
    contested: &'a Contested,
}

impl Input for Narrowed<'_> {
    fn facts(&self) -> &InputFacts {
        self.input.facts()
    }

    fn read(&self, name: &IndexName) -> Result<Option<Vec<u8>>> {
        if name.is_optional() {
            return self.input.read(name);
        }
        let text = self.contested.texts.get(name).cloned();
        Ok(self.input.has(name).then(|| text.unwrap_or_default()))
    }

    fn open(&self, name: &IndexName) -> Result<Option<Box<dyn Read + Send + '_>>> {
        self.input.open(name)
    }

    fn check(&self) -> Result<()> {
        self.input.check()
    }

    fn describe(&self, name: &IndexName) -> String {
        self.input.describe(name)
    }
}

/// An input of another merge.
struct Borrowed<'a>(&'a dyn Input);

impl Input for Borrowed<'_> {
    fn facts(&self) -> &InputFacts {
        self.0.facts()
    }

    fn read(&self, name: &IndexName) -> Result<Option<Vec<u8>>> {
        self.0.read(name)
    }

    fn open(&self, name: &IndexName) -> Result<Option<Box<dyn Read + Send + '_>>> {
        self.0.open(name)
    }

    fn check(&self) -> Result<()> {
        self.0.check()
    }

    fn describe(&self, name: &IndexName) -> String {
        self.0.describe(name)
    }
}

/// Returns the merge of all packages that are not in the head.
pub(super) fn rest<'a>(merge: &'a SuiteMerge<'_>, contested: &'a Contested) -> SuiteMerge<'a> {
    let lowest = merge.inputs.len().saturating_sub(1);
    let inputs = merge.inputs.iter().enumerate().map(|(rank, input)| {
        let input = &**input as &dyn Input;
        match rank == lowest {
            true => Box::new(Narrowed { input, contested }) as Box<dyn Input>,
            false => Box::new(Borrowed(input)),
        }
    });
    SuiteMerge {
        name: merge.name,
        spec: merge.spec,
        inputs: inputs.collect(),
        deadline: merge.deadline.clone(),
    }
}
