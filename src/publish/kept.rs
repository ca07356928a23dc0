//! The things that the merge of a suite keeps for the next one: entries of the cache, each with its checksum in the record of the suite.
//!
//! The state decides what is kept, not the cache: an entry counts only if it is, bit for bit, the one that was made together with the
//! generation that is served. So what the merge builds on cannot be changed by a damaged cache, or by somebody who writes there.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use crate::cache::{Cache, checksum};
use crate::merge::DerivedKey;

/// The kind of these entries in the cache, with the version of their format.
const KIND: &str = concat!("merges-", env!("CARGO_PKG_VERSION"));

/// The checksums of what is kept, in hex, by the keys.
pub(super) type Sums = BTreeMap<String, String>;

/// The entries that are kept of a suite.
pub(super) struct Kept<'a> {
    cache: &'a Cache,
    /// The checksums that are on record.
    before: &'a Sums,
    now: Mutex<Sums>,
}

impl<'a> Kept<'a> {
    /// Returns what is on record.
    pub(super) fn new(cache: &'a Cache, before: &'a Sums) -> Self {
        Self {
            cache,
            before,
            now: Mutex::default(),
        }
    }

    /// Returns what is kept under a key, and keeps it on.
    pub(super) fn get(&self, key: &DerivedKey) -> Option<Vec<u8>> {
        let sum = self.before.get(&hex::encode(key))?;
        let mut wanted = [0; 32];
        hex::decode_to_slice(sum, &mut wanted).ok()?;
        let content = self.cache.get_exactly(KIND, key, &wanted)?;
        self.note(key, sum.clone());
        Some(content)
    }

    /// Returns whether something is kept under a key, and keeps it on.
    pub(super) fn is_there(&self, key: &DerivedKey) -> bool {
        let sum = self.before.get(&hex::encode(key));
        let Some(sum) = sum.filter(|_| self.cache.touch(KIND, key)) else {
            return false;
        };
        self.note(key, sum.clone());
        true
    }

    /// Keeps something under a key.
    pub(super) fn put(&self, key: &DerivedKey, content: &[u8]) {
        self.cache.put(KIND, key, &[content]);
        self.note(key, hex::encode(checksum(key, &[content])));
    }

    fn note(&self, key: &DerivedKey, sum: String) {
        let mut now = self.now.lock().unwrap_or_else(PoisonError::into_inner);
        now.insert(hex::encode(key), sum);
    }

    /// Returns what is to be on record.
    pub(super) fn finish(self) -> Sums {
        let now = self.now.into_inner();
        now.unwrap_or_else(PoisonError::into_inner)
    }
}
