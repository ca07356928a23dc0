//! Archives with their indices in memory, and the merge of them.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{Cursor, Read, Write};
use std::sync::{Mutex, OnceLock};

use crate::cancel::Cancel;
use crate::config::{Config, PoolName};
use crate::error::Result;
use crate::indices::IndexName;
use crate::merge::{Deadline, Input, Sink, SuiteMerge, Text, merge_suite};

/// The indices of an archive, by name.
pub(super) type Indices = BTreeMap<String, String>;

struct Memory<'a> {
    indices: &'a Indices,
    pool: PoolName,
}

impl Memory<'_> {
    fn text(&self, name: &IndexName) -> Option<Vec<u8>> {
        let text = self.indices.get(&name.to_string())?;
        Some(text.clone().into_bytes())
    }
}

impl Input for Memory<'_> {
    fn digest(&self, _: &IndexName) -> Option<String> {
        None
    }

    fn pool(&self) -> &PoolName {
        &self.pool
    }

    fn is_exempt(&self) -> bool {
        false
    }

    fn read(&self, name: &IndexName) -> Result<Option<Vec<u8>>> {
        Ok(self.text(name))
    }

    fn open(&self, name: &IndexName) -> Result<Option<Box<dyn Read + Send + '_>>> {
        let text = self.text(name);
        Ok(text.map(|text| Box::new(Cursor::new(text)) as Box<dyn Read + Send>))
    }

    fn optional(&self) -> Vec<IndexName> {
        Vec::new()
    }

    fn has(&self, name: &IndexName) -> bool {
        self.indices.contains_key(&name.to_string())
    }

    fn describe(&self, name: &IndexName) -> String {
        name.to_string()
    }
}

#[derive(Default)]
struct Published(Mutex<Indices>);

impl Sink for Published {
    fn text(&self, name: &IndexName, text: &Text<'_>) -> Result<()> {
        let all: Vec<u8> = text.iter().flat_map(|s| s.concat()).collect();
        let text = String::from_utf8(all).unwrap();
        let old = self.0.lock().unwrap().insert(name.to_string(), text);
        assert!(old.is_none(), "{name} twice");
        Ok(())
    }

    fn stream(&self, _: &IndexName, _: &mut dyn FnMut(&mut dyn Write) -> Result<()>) -> Result<()> {
        Ok(())
    }

    fn scratch(&self) -> Result<File> {
        Ok(tempfile::tempfile().unwrap())
    }
}

/// Merges archives, highest priority first, into the only suite of a configuration; returns what is published.
pub(super) fn merged(config: &Config, archives: &[Indices]) -> Indices {
    let (name, suite) = config.suites.iter().next().unwrap();
    let pools = config.inputs(suite).map(|(_, archive, _)| &archive.pool);
    let inputs = archives.iter().zip(pools).map(|(indices, pool)| {
        let pool = pool.clone();
        Box::new(Memory { indices, pool }) as Box<dyn Input>
    });
    let merge = SuiteMerge {
        config,
        name,
        suite,
        inputs: inputs.collect(),
        deadline: Deadline::after(config.merge.suite_timeout, &Cancel::default()),
    };
    let sink = Published::default();
    merge_suite(&merge, &sink).unwrap();
    sink.0.into_inner().unwrap()
}

/// Returns the stanzas of an index, each with the newline of its last line, and without the empty line after it.
pub(super) fn stanzas(text: &str) -> impl Iterator<Item = &str> {
    text.split_inclusive("\n\n").map(|s| &s[..s.len() - 1])
}

/// Keeps the merges of a fuzzer in its own thread: handing such small work to other threads costs more than the work.
pub(super) fn stay_in_this_thread() {
    static DONE: OnceLock<()> = OnceLock::new();
    if cfg!(fuzzing) {
        DONE.get_or_init(|| {
            let pool = rayon::ThreadPoolBuilder::new();
            // If there is a pool already, the merge works with that one as well.
            let _ = pool.num_threads(1).use_current_thread().build_global();
        });
    }
}
