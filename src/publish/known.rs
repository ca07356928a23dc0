//! The files of a suite that the check before the swap need not read, since they were checked when they were made.
//!
//! Why a file of volatile may go unread: the published generation was checked before it was served, so at that time each file that a
//! Release of it lists had the digests of its manifest, and unpacked to the plain text of its manifest. If the new Release lists the same
//! digests for both, and the file is one with production's, by inode, then the same bytes were compared with the same digests before.
//! A file that was changed in place since then differs in size or time, and is not carried into volatile ([`super::files`]); where it was changed
//! after that, the new manifest no longer describes volatile, which the check before the swap compares as well.
//!
//! A manifest that was made by reading a tree proves nothing of the kind, and has no plain texts: whatever it lists in packed forms is read.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use crate::deb822::IndexEntry;
use crate::manifest::{FileDigests, Manifest};

use super::checkpoints::{Checkpoints, MIN_PLAIN_BYTES};
use super::file_check::Before;

/// A suite as it is published.
#[derive(Debug)]
pub(super) struct Known<'a> {
    /// The directory of the suite in production.
    pub(super) dir: PathBuf,
    /// The manifest of the suite.
    pub(super) manifest: &'a Manifest,
    /// The checkpoints of its files.
    pub(super) checkpoints: &'a Checkpoints,
}

impl Known<'_> {
    /// Returns the checkpoints of the file that one at a path follows; `None` if the plain text is so short that none are kept.
    pub(super) fn before(&self, path: &str, plain: Option<&IndexEntry>) -> Option<Before<'_>> {
        plain.filter(|plain| plain.size >= MIN_PLAIN_BYTES)?;
        let file = self.manifest.files.get(path);
        Some(Before {
            checkpoints: self.checkpoints,
            name: file.map(|file| &*file.digests.sha256),
        })
    }

    /// Returns whether a file was checked before and is listed now as it was then, and its plain text as well.
    pub(super) fn has(
        &self,
        path: &str,
        file: &Path,
        entry: &IndexEntry,
        plain: (&str, Option<&IndexEntry>),
    ) -> bool {
        let (plain, plain_entry) = plain;
        let is_plain_known = plain_entry.is_none_or(|entry| self.lists(plain, entry));
        self.lists(path, entry) && is_plain_known && is_same_file(file, &self.dir.join(path))
    }

    /// Returns whether a text has the size and every hash of an entry by the manifest.
    fn lists(&self, path: &str, entry: &IndexEntry) -> bool {
        let file = self.manifest.files.get(path).map(|file| &file.digests);
        file.or_else(|| self.manifest.plain.get(path))
            .is_some_and(|digests| is_of(digests, entry))
    }
}

fn is_of(digests: &FileDigests, entry: &IndexEntry) -> bool {
    let is = |listed: Option<String>, known: Option<&String>| {
        listed.is_none_or(|hash| known == Some(&hash))
    };
    digests.size == entry.size
        && is(entry.sha256.map(hex::encode), Some(&digests.sha256))
        && is(entry.sha512.map(hex::encode), digests.sha512.as_ref())
        && is(entry.md5.map(hex::encode), digests.md5.as_ref())
        // No Release of ours has it.
        && entry.sha1.is_none()
}

fn is_same_file(a: &Path, b: &Path) -> bool {
    let inode = |path: &Path| path.symlink_metadata().map(|m| (m.dev(), m.ino())).ok();
    inode(a).is_some() && inode(a) == inode(b)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::fs;

    use sha2::{Digest, Sha256, Sha512};

    use super::*;
    use crate::manifest::ManifestFile;

    fn entry(text: &[u8]) -> IndexEntry {
        IndexEntry {
            size: text.len() as u64,
            sha256: Some(Sha256::digest(text).into()),
            sha512: None,
            md5: None,
            sha1: None,
        }
    }

    #[test]
    fn only_the_same_file_that_is_listed_alike_is_known() {
        let dir = tempfile::tempdir().unwrap();
        let [old, new] = ["old", "new"].map(|name| dir.path().join(name));
        for dir in [&old, &new] {
            fs::create_dir(dir).unwrap();
        }
        fs::write(old.join("a.gz"), "packed").unwrap();
        fs::hard_link(old.join("a.gz"), new.join("a.gz")).unwrap();
        let file = ManifestFile::at(&old.join("a.gz"), FileDigests::of(b"packed")).unwrap();
        let manifest = Manifest {
            files: [("a.gz".to_owned(), file)].into(),
            plain: [("a".to_owned(), FileDigests::of(b"text"))].into(),
        };
        let known = Known {
            dir: old.clone(),
            manifest: &manifest,
            checkpoints: &Checkpoints::new(dir.path()),
        };
        let has = |packed: &IndexEntry, plain: Option<&IndexEntry>| {
            known.has("a.gz", &new.join("a.gz"), packed, ("a", plain))
        };
        let (packed, plain) = (entry(b"packed"), entry(b"text"));
        assert!(has(&packed, Some(&plain)) && has(&packed, None));
        assert!(!has(&entry(b"PACKED"), Some(&plain)));
        assert!(!has(&packed, Some(&entry(b"TEXT"))));
        // A hash that nothing is known of was never compared.
        let more = IndexEntry {
            sha512: Some(Sha512::digest(b"packed").into()),
            ..packed
        };
        assert!(!has(&more, Some(&plain)));
        let more = IndexEntry {
            md5: Some([0; 16]),
            ..packed
        };
        assert!(!has(&more, Some(&plain)));
        assert!(!known.has("b.gz", &new.join("a.gz"), &packed, ("b", None)));
        // A copy, whatever is in it.
        fs::remove_file(new.join("a.gz")).unwrap();
        fs::copy(old.join("a.gz"), new.join("a.gz")).unwrap();
        assert!(!has(&packed, Some(&plain)));
    }
}
