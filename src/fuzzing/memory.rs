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
use crate::merge::{
    DerivedKey, Head, IndexText, Input, MemoryInput, Sink, SuiteMerge, SuiteReport,
    merge_as_one_world, merge_suite,
};

/// The indices of an archive, by name.
pub(super) type Indices = BTreeMap<String, String>;

/// Merges archives, highest priority first, into the only suite of a configuration; returns what is published.
pub(super) fn merged(config: &Config, archives: &[Indices]) -> Indices {
    let sink = MemorySink::new(BTreeMap::new());
    merge_into(config, archives, &sink, false).unwrap();
    sink.finish().0
}

/// Merges archives into a sink; as one world, if that is asked for.
pub(super) fn merge_into(
    config: &Config,
    archives: &[Indices],
    sink: &MemorySink,
    is_one_world: bool,
) -> Result<SuiteReport> {
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
    match is_one_world {
        true => merge_as_one_world(&merge, sink),
        false => merge_suite(&merge, sink),
    }
}

/// The entries that one merge keeps for the next.
pub(super) type Kept = BTreeMap<DerivedKey, Vec<u8>>;

/// A sink that keeps every index in memory, and for a head its text.
pub(super) struct MemorySink {
    indices: Mutex<Indices>,
    before: Kept,
    now: Mutex<Kept>,
}

impl MemorySink {
    /// Returns a sink that has what an earlier merge kept.
    pub(super) fn new(before: Kept) -> Self {
        Self {
            indices: Mutex::default(),
            before,
            now: Mutex::default(),
        }
    }

    /// Returns the indices, and what is kept for the next merge.
    pub(super) fn finish(self) -> (Indices, Kept) {
        (
            self.indices.into_inner().unwrap(),
            self.now.into_inner().unwrap(),
        )
    }

    fn take(&self, name: &IndexName, text: Vec<u8>) {
        let text = String::from_utf8(text).unwrap();
        let earlier = self.indices.lock().unwrap().insert(name.to_string(), text);
        assert_eq!(earlier, None, "{name} was made twice");
    }
}

impl Sink for MemorySink {
    fn text(&self, name: &IndexName, text: &IndexText<'_>) -> Result<Option<Vec<u8>>> {
        let head = match text.head {
            Head::Text(head) => head.iter().flatten().copied().collect::<Vec<_>>().concat(),
            Head::Kept(kept) => kept.to_vec(),
        };
        let tail = text.tail.iter().flatten().copied();
        let tail = tail.collect::<Vec<_>>().concat();
        self.take(name, [&head[..], &tail].concat());
        Ok(Some(head))
    }

    fn kept(&self, key: &DerivedKey) -> Option<Vec<u8>> {
        let kept = self.before.get(key)?;
        self.now.lock().unwrap().insert(*key, kept.clone());
        Some(kept.clone())
    }

    fn keep_on(&self, key: &DerivedKey) -> bool {
        self.kept(key).is_some()
    }

    fn keep(&self, key: &DerivedKey, content: &[u8]) {
        self.now.lock().unwrap().insert(*key, content.to_vec());
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
