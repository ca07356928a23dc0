//! Compares new indices with those that are served now.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{BufReader, Read, Write};
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use crate::cache::Cache;
use crate::decode::{Compression, decoder};
use crate::error::Result;
use crate::hashing::{Hasher, HashingWriter};
use crate::indices::IndexName;
use crate::merge::{DerivedKey, Sink, Text};
use crate::names::{ArchiveName, PoolName};
use crate::pdiff::Patch;
use crate::pdiff::index::Hashed;
use crate::spec::Form;
use crate::workspace::DerivedRecord;

use super::changes::Changes;
use super::differ;
use super::outline::Outline;
use super::release::FileDigest;

/// The patch that an index gets when it changes.
pub(super) struct WantedPatch<'p> {
    /// The most bytes that the patch may insert; a larger one is not made.
    pub(super) max_inserted: u64,
    /// Returns whether a patch makes the new index of the served one. If it does not, an outline of the cache was wrong; then the served
    /// index itself is read.
    pub(super) holds: &'p dyn Fn(&FileDigest, &Patch) -> bool,
}

/// The indices of a suite as they are served now.
pub(super) struct Comparison<'a> {
    pub(super) archives: &'a BTreeMap<PoolName, ArchiveName>,
    /// The suite's directory.
    pub(super) old: &'a Path,
    /// The files that its Release lists; none where the suite is new.
    pub(super) listed: &'a BTreeMap<String, FileDigest>,
    pub(super) cache: &'a Cache,
    /// `true` if the outlines of new indices are kept for later runs.
    pub(super) keeps: bool,
    pub(super) changes: Changes,
    pub(super) warnings: Mutex<BTreeSet<String>>,
}

impl Comparison<'_> {
    /// Compares an index with the one that is served, and returns the patch to the new one, if one is wanted and there is an old one. Of
    /// an index that has no packages, only its name is noted among the changes.
    pub(super) fn text(
        &self,
        name: &IndexName,
        digest: &FileDigest,
        text: &Text<'_>,
        wanted: Option<&WantedPatch<'_>>,
    ) -> Option<Patch> {
        let listed = self.listed.get(&name.to_string());
        let same = listed.is_some_and(|old| old.sha256 == digest.sha256);
        if !same && !name.is_of_packages() {
            self.changes.add_index(name);
        }
        if !name.is_of_packages() && wanted.is_none() {
            return None;
        }
        let new = Outline::of(text);
        let note = |old: &Outline<'_>| {
            if name.is_of_packages() {
                let changed = differ::changes(old, &new);
                self.changes.add(self.archives, name, &changed);
            }
        };
        // If the suite itself is new, its changes need no details.
        let patch = match listed {
            _ if same || self.listed.is_empty() => None,
            None => {
                note(&Outline::default());
                None
            }
            Some(old) => self
                .with_old(name, old, |outline, is_kept| {
                    let patch = wanted.and_then(|wanted| {
                        let patch = differ::patch(outline, &new, text, wanted.max_inserted)?;
                        Some((wanted.holds)(old, &patch).then_some(patch))
                    });
                    if is_kept && patch == Some(None) {
                        return None;
                    }
                    note(outline);
                    Some(patch.flatten())
                })
                .flatten(),
        };
        if self.keeps {
            new.keep(self.cache, &digest.sha256);
            if let Some(old) = listed.filter(|_| !same) {
                Outline::forget(self.cache, &old.sha256);
            }
        }
        patch
    }

    /// Adds the packages of indices that are no longer published: those of a component or an architecture that was removed.
    pub(super) fn gone(&self, published: &BTreeSet<IndexName>) {
        for (path, old) in self.listed {
            let name = IndexName::parse_packages(path).filter(|name| !published.contains(name));
            if let Some(name) = name {
                self.with_old(&name, old, |old, _| {
                    let nothing = Outline::default();
                    let changed = differ::changes(old, &nothing);
                    self.changes.add(self.archives, &name, &changed);
                    Some(())
                });
            }
        }
    }

    /// Looks at an index that is served: at its outline in the cache, or at the index itself where there is no outline, or where `look`
    /// returns nothing for the cached one. If the index cannot be read, the method only notes that the index changes.
    fn with_old<T>(
        &self,
        name: &IndexName,
        digest: &FileDigest,
        look: impl Fn(&Outline<'_>, bool) -> Option<T>,
    ) -> Option<T> {
        if digest.size == 0 {
            return look(&Outline::default(), false);
        }
        let kept = Outline::recall(self.cache, &digest.sha256, digest.size);
        if let Some(old) = kept.as_deref().and_then(Outline::parse) {
            if let Some(seen) = look(&old, true) {
                return Some(seen);
            }
            self.tell(format!(
                "the outline of {name} in the cache was not that of what is served; it is read anew"
            ));
        }
        let plain = self.read(&name.to_string(), digest);
        match plain
            .as_deref()
            .and_then(|plain| Outline::read(name, plain))
        {
            Some(old) => look(&old, false),
            None => {
                self.changes.add_index(name);
                None
            }
        }
    }

    /// Notes a warning.
    pub(super) fn tell(&self, warning: String) {
        let mut warnings = self.warnings.lock().unwrap_or_else(PoisonError::into_inner);
        warnings.insert(warning);
    }

    /// Compares an index that was written as a stream.
    pub(super) fn stream(&self, name: &IndexName, digest: &FileDigest) {
        let old = self.listed.get(&name.to_string());
        if old.map(|old| old.sha256) != Some(digest.sha256) {
            self.changes.add_index(name);
        }
    }

    /// Returns the plain text of an index that is served; `None` if the text is not what its Release lists.
    fn read(&self, plain: &str, digest: &FileDigest) -> Option<Vec<u8>> {
        let mut text = Vec::new();
        self.open(plain, digest)?.read_to_end(&mut text).ok()?;
        (Hashed::of(&text) == (*digest).into()).then_some(text)
    }

    /// Returns the plain text of an index that is served, from the form that is quickest to read.
    pub(super) fn open(
        &self,
        plain: &str,
        digest: &FileDigest,
    ) -> Option<Box<dyn Read + Send + 'static>> {
        if digest.size == 0 {
            return Some(Box::new(std::io::empty()));
        }
        [(Form::Gz, Compression::Gzip), (Form::Xz, Compression::Xz)]
            .into_iter()
            .find_map(|(form, compression)| {
                let path = self.old.join(format!("{plain}{}", form.suffix()));
                let file = File::open(path).ok()?;
                let reader = decoder(compression, BufReader::with_capacity(1 << 18, file)).ok()?;
                Some(Box::new(reader.take(digest.size + 1)) as Box<dyn Read + Send>)
            })
    }
}

/// A sink that takes merged indices only to see what would change.
pub(super) struct Comparer<'a> {
    pub(super) comparison: Comparison<'a>,
    /// The records of what the served indices were made from, as far as there are any.
    pub(super) derived: &'a BTreeMap<String, DerivedRecord>,
}

impl Sink for Comparer<'_> {
    fn text(&self, name: &IndexName, text: &Text<'_>) -> Result<()> {
        let mut hasher = Hasher::new();
        text.iter().flatten().for_each(|slice| hasher.update(slice));
        let digest = FileDigest::from(hasher.finish());
        let old = self.comparison.listed.get(&name.to_string());
        if old.map(|old| old.sha256) != Some(digest.sha256) {
            self.comparison.text(name, &digest, text, None);
        }
        Ok(())
    }

    fn stream(
        &self,
        name: &IndexName,
        produce: &mut dyn FnMut(&mut dyn Write) -> Result<()>,
    ) -> Result<()> {
        let mut out = HashingWriter::with(std::io::sink(), Hasher::new());
        produce(&mut out)?;
        self.comparison.stream(name, &out.finish().1.into());
        Ok(())
    }

    fn scratch(&self) -> Result<File> {
        self.comparison.cache.scratch()
    }

    fn recall(&self, names: &[IndexName], key: &DerivedKey) -> Result<Option<BTreeSet<String>>> {
        let key = hex::encode(key);
        let records: Option<Vec<_>> = names
            .iter()
            .map(|name| {
                let record = self.derived.get(&name.to_string())?;
                (record.key == key).then_some(&record.warnings)
            })
            .collect();
        Ok(records.map(|warnings| warnings.into_iter().flatten().cloned().collect()))
    }
}
