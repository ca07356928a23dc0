//! Archives with their indices in memory, and the merge of them.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Write;
use std::sync::{Mutex, OnceLock};

use jiff::Timestamp;

use crate::cancel::Cancel;
use crate::config::Config;
use crate::error::Result;
use crate::indices::IndexName;
use crate::merge::{Input, MemoryInput, Sink, SuiteMerge, Text, merge_suite};

/// The indices of an archive, by name.
pub(super) type Indices = BTreeMap<String, String>;

/// Merges archives, highest priority first, into the only suite of a configuration; returns what is published.
pub(super) fn merged(config: &Config, archives: &[Indices]) -> Indices {
    let spec = config.specs().remove(0);
    let inputs = archives.iter().map(|indices| {
        let texts = indices.iter().map(|(path, text)| {
            let name = IndexName::parse(path).unwrap();
            (name, text.clone().into_bytes())
        });
        let input = MemoryInput::new("memory", Timestamp::UNIX_EPOCH, texts.collect());
        Box::new(input) as Box<dyn Input>
    });
    let merge = SuiteMerge::new(&spec, inputs.collect(), &Cancel::default());
    let sink = MemorySink::default();
    merge_suite(&merge, &sink).unwrap();
    sink.0.into_inner().unwrap()
}

/// A sink that keeps every index in memory.
#[derive(Default)]
struct MemorySink(Mutex<Indices>);

impl MemorySink {
    fn take(&self, name: &IndexName, text: Vec<u8>) {
        let text = String::from_utf8(text).unwrap();
        let earlier = self.0.lock().unwrap().insert(name.to_string(), text);
        assert_eq!(earlier, None, "{name} was made twice");
    }
}

impl Sink for MemorySink {
    fn text(&self, name: &IndexName, text: &Text<'_>) -> Result<()> {
        self.take(name, text.iter().flat_map(|part| part.concat()).collect());
        Ok(())
    }

    fn stream(
        &self,
        name: &IndexName,
        produce: &mut dyn FnMut(&mut dyn Write) -> Result<()>,
    ) -> Result<()> {
        let mut text = Vec::new();
        produce(&mut text)?;
        self.take(name, text);
        Ok(())
    }

    fn scratch(&self) -> Result<File> {
        Ok(tempfile::tempfile().unwrap())
    }
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
