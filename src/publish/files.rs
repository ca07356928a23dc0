//! The files of a suite: put into their places under their own name and under by-hash, or carried on as they are served.
//!
//! An index did not change if the served Release lists its plain text with the same digests, and its head is as long as it was. Then its
//! compressed files are carried on as they are: a file keeps its inode and its time. With another head, the pieces of a compressed file are
//! others.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::{Mutex, PoisonError};
use std::time::SystemTime;

use crate::durable;
use crate::error::Result;
use crate::events::Progress;
use crate::manifest::{FileDigests, Manifest, ManifestFile};
use crate::pdiff::index::Hashed;
use crate::spec::{Form, HashKind, PatchHistory};
use crate::workspace::DerivedRecord;

use super::changes::Changes;
use super::compare::Comparison;
use super::hard_links;
use super::kept::{Kept, Sums};
use super::release::{FileDigest, hasher};

/// Returns the by-hash paths of a file: one for each hash that its Release lists.
pub(super) fn by_hash_paths(
    path: &str,
    digest: &FileDigest,
    hashes: &BTreeSet<HashKind>,
) -> impl Iterator<Item = String> {
    let by_hash = move |kind: &HashKind| Some(kind.by_hash(path, &digest.hash(*kind)?));
    hashes.iter().filter_map(by_hash)
}

/// The writer of a suite's indices, which carries on those that did not change.
pub(super) struct Writer<'a> {
    pub(super) old: &'a Path,
    pub(super) new: &'a Path,
    /// The manifest of what is served.
    pub(super) before: &'a Manifest,
    /// The files that the served Release lists.
    pub(super) listed: &'a BTreeMap<String, FileDigest>,
    /// The comparison with what is served now, which finds the changes.
    pub(super) comparison: Comparison<'a>,
    pub(super) history: PatchHistory,
    pub(super) forms: &'a BTreeSet<Form>,
    pub(super) hashes: &'a BTreeSet<HashKind>,
    pub(super) modified: SystemTime,
    pub(super) progress: &'a dyn Progress,
    /// The records of what the served indices were made from, as far as there are any.
    pub(super) derived_before: &'a BTreeMap<String, DerivedRecord>,
    /// The same records of the new indices.
    pub(super) derived: Mutex<BTreeMap<String, DerivedRecord>>,
    /// The served lists of patches that were proven when they were made.
    pub(super) proven_before: &'a BTreeMap<String, String>,
    /// The same of the new lists.
    pub(super) proven: Mutex<BTreeMap<String, String>>,
    /// The lengths of the heads of the served indices, by the paths of their plain forms.
    pub(super) heads_before: &'a BTreeMap<String, u64>,
    /// The same of the new indices.
    pub(super) heads: Mutex<BTreeMap<String, u64>>,
    /// The entries that the merge keeps for the next one.
    pub(super) kept: Kept<'a>,
    pub(super) files: Mutex<BTreeMap<String, FileDigest>>,
    /// Every file that is in its place, under each of its names.
    pub(super) manifest: Mutex<BTreeMap<String, ManifestFile>>,
}

/// The result of writing a suite.
pub(super) struct Written {
    pub(super) files: BTreeMap<String, FileDigest>,
    /// The manifest of the suite, as far as it is written.
    pub(super) manifest: Manifest,
    /// The records of what the indices that describe published packages were made from.
    pub(super) derived: BTreeMap<String, DerivedRecord>,
    pub(super) proven: BTreeMap<String, String>,
    pub(super) heads: BTreeMap<String, u64>,
    /// The checksums of what the merge keeps for the next one.
    pub(super) kept: Sums,
    pub(super) changes: Changes,
    pub(super) warnings: BTreeSet<String>,
}

impl Writer<'_> {
    /// Returns the result.
    pub(super) fn finish(self) -> Written {
        let files = self.files.into_inner();
        let files = files.unwrap_or_else(PoisonError::into_inner);
        let written = self.manifest.into_inner();
        let written = written.unwrap_or_else(PoisonError::into_inner);
        let derived = self.derived.into_inner();
        let proven = self.proven.into_inner();
        let heads = self.heads.into_inner();
        let warnings = self.comparison.warnings.into_inner();
        let plain = files
            .iter()
            .filter(|(path, _)| !written.contains_key(*path));
        let plain = plain.map(|(path, digest)| (path.clone(), digest.into()));
        Written {
            manifest: Manifest {
                plain: plain.collect(),
                files: written,
            },
            files,
            derived: derived.unwrap_or_else(PoisonError::into_inner),
            proven: proven.unwrap_or_else(PoisonError::into_inner),
            heads: heads.unwrap_or_else(PoisonError::into_inner),
            kept: self.kept.finish(),
            changes: self.comparison.changes,
            warnings: warnings.unwrap_or_else(PoisonError::into_inner),
        }
    }

    pub(super) fn list(&self, path: String, digest: FileDigest) {
        self.files
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(path, digest);
    }

    /// Records the length of the head of an index.
    pub(super) fn note_head(&self, plain: &str, length: u64) {
        let mut heads = self.heads.lock().unwrap_or_else(PoisonError::into_inner);
        heads.insert(plain.to_owned(), length);
    }

    /// Enters a file that is in its place into the manifest.
    pub(super) fn note(&self, path: String, digests: FileDigests) -> Result<()> {
        let file = ManifestFile::at(&self.new.join(&path), digests)?;
        let mut manifest = self.manifest.lock().unwrap_or_else(PoisonError::into_inner);
        manifest.insert(path, file);
        Ok(())
    }

    /// Carries a file on as it is served now, if the file is there in the length that its Release lists, and as the manifest has it. A
    /// manifest that was made by reading may have another digest than the Release.
    pub(super) fn carry(&self, path: &str) -> Result<bool> {
        let Some(digest) = self.listed.get(path) else {
            return Ok(false);
        };
        let old = self.old.join(path);
        if !old
            .symlink_metadata()
            .is_ok_and(|m| m.is_file() && m.len() == digest.size)
        {
            return Ok(false);
        }
        let is_other = |file: &ManifestFile| {
            file.digests.sha256 != hex::encode(digest.sha256) || !file.is_at(&old)
        };
        if self.before.files.get(path).is_some_and(is_other) {
            return Ok(false);
        }
        self.place(path, digest, |target| hard_links::link_file(&old, target))?;
        Ok(true)
    }

    /// Puts a file into its place and under by-hash.
    pub(super) fn place(
        &self,
        path: &str,
        digest: &FileDigest,
        put: impl FnOnce(&Path) -> Result<()>,
    ) -> Result<()> {
        let target = self.new.join(path);
        if let Some(dir) = target.parent() {
            durable::create_dir(dir)?;
        }
        put(&target)?;
        for name in by_hash_paths(path, digest, self.hashes) {
            let by_hash = self.new.join(&name);
            if let Some(dir) = by_hash.parent() {
                durable::create_dir(dir)?;
            }
            hard_links::link_file(&target, &by_hash)?;
            self.note(name, digest.into())?;
        }
        self.note(path.to_owned(), digest.into())?;
        self.list(path.to_owned(), *digest);
        Ok(())
    }

    /// Records that every patch of a list is proven.
    pub(super) fn note_proven(&self, plain: &str, list: &[u8]) {
        let digest = hex::encode(Hashed::of(list).sha256);
        let mut proven = self.proven.lock().unwrap_or_else(PoisonError::into_inner);
        proven.insert(plain.to_owned(), digest);
    }

    /// Writes a small file, or carries the served one on if it did not change.
    pub(super) fn write_small(&self, path: &str, data: &[u8]) -> Result<()> {
        let mut hasher = hasher(self.hashes);
        hasher.update(data);
        let digest = FileDigest::from(hasher.finish());
        if self.listed.get(path) == Some(&digest) && self.carry(path)? {
            return Ok(());
        }
        self.place(path, &digest, |target| {
            durable::write_file(target, data, Some(self.modified))
        })
    }
}
