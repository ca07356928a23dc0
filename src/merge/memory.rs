//! Inputs and a sink that live in memory: for tests, and for whatever makes its indices by itself.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{Cursor, Read, Write};
use std::sync::{Mutex, PoisonError};

use jiff::Timestamp;
use sha2::{Digest, Sha256};

use crate::error::{Error, Result};
use crate::indices::IndexName;
use crate::text::Text;

use super::input::{IndexFacts, Input, InputFacts, Sink};

/// An input whose indices are in memory.
#[derive(Debug, Clone)]
pub struct MemoryInput {
    facts: InputFacts,
    texts: BTreeMap<IndexName, Vec<u8>>,
}

impl MemoryInput {
    /// Returns an input with a name for messages, the Date of its Release, and its indices.
    pub fn new(name: &str, date: Timestamp, texts: BTreeMap<IndexName, Vec<u8>>) -> Self {
        let facts = |text: &Vec<u8>| IndexFacts {
            sha256: Sha256::digest(text).into(),
            size: text.len() as u64,
        };
        let indices = texts.iter().map(|(name, text)| (name.clone(), facts(text)));
        Self {
            facts: InputFacts {
                name: name.to_owned(),
                fields: Ok(Vec::new()),
                date,
                valid_until: None,
                indices: indices.collect(),
            },
            texts,
        }
    }
}

impl Input for MemoryInput {
    fn facts(&self) -> &InputFacts {
        &self.facts
    }

    fn read(&self, name: &IndexName) -> Result<Option<Vec<u8>>> {
        Ok(self.texts.get(name).cloned())
    }

    fn open(&self, name: &IndexName) -> Result<Option<Box<dyn Read + Send + '_>>> {
        let text = self.texts.get(name);
        Ok(text.map(|text| Box::new(Cursor::new(text.as_slice())) as Box<dyn Read + Send>))
    }
}

/// A sink that keeps every index in memory.
#[derive(Debug, Default)]
pub struct MemorySink(Mutex<BTreeMap<IndexName, Vec<u8>>>);

impl MemorySink {
    /// Returns the indices that were taken.
    pub fn into_texts(self) -> BTreeMap<IndexName, Vec<u8>> {
        let taken = self.0.into_inner();
        taken.unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes an index over; an error if it was taken before.
    fn take(&self, name: &IndexName, text: Vec<u8>) -> Result<()> {
        let mut taken = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match taken.insert(name.clone(), text) {
            None => Ok(()),
            Some(_) => {
                let twice = std::io::Error::other("it was made before");
                Err(Error::io("make", name.to_string())(twice))
            }
        }
    }
}

impl Sink for MemorySink {
    fn text(&self, name: &IndexName, text: &Text<'_>) -> Result<()> {
        self.take(
            name,
            text.iter().flat_map(|slices| slices.concat()).collect(),
        )
    }

    fn stream(
        &self,
        name: &IndexName,
        produce: &mut dyn FnMut(&mut dyn Write) -> Result<()>,
    ) -> Result<()> {
        let mut text = Vec::new();
        produce(&mut text)?;
        self.take(name, text)
    }

    fn scratch(&self) -> Result<File> {
        tempfile::tempfile().map_err(Error::io("create", "a temporary file"))
    }
}
