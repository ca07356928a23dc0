//! Inputs that live in memory: for tests, and for whatever makes its indices by itself.

use std::collections::BTreeMap;
use std::io::{Cursor, Read};

use jiff::Timestamp;
use sha2::{Digest, Sha256};

use crate::error::Result;
use crate::indices::IndexName;

use super::input::{IndexFacts, Input, InputFacts, Offers};

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
        let mut offers = Offers::default();
        texts.keys().for_each(|name| offers.add(name));
        Self {
            facts: InputFacts {
                name: name.to_owned(),
                fields: Ok(Vec::new()),
                date,
                valid_until: None,
                indices: indices.collect(),
                offers,
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
