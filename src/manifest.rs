//! The manifest of a suite: the list of its files as a run published them, with their sizes, digests and times.
//!
//! A run knows every file that it writes, so nothing that follows walks a tree to learn it again: retention takes the names under by-hash
//! from the manifest, the sync and the push take the difference of two manifests. A directory is walked only to see whether it still is
//! what its manifest says (`Manifest::compare`).
//!
//! Why that comparison reads only files whose time differs: our own code replaces files and never writes into them, so a file that
//! somebody else removed, cut off or wrote to differs in name, size or time, unless the writer hides it. Whoever does that could forge the
//! manifest as well. What clients believe is the signature on the Release, and `verify` reads every byte against that.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, BufReader};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::durable::{self, TEMP_PREFIX};
use crate::error::{Error, Result};
use crate::hashing::{Digests, Hasher, HashingReader};
use crate::listing;

/// The files of a suite.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Manifest {
    /// The files, by their paths below the directory of the suite. A file that has several names has an entry for each.
    pub files: BTreeMap<String, ManifestFile>,
    /// The plain texts that the Release lists and that are published in compressed forms only, by the paths they would have.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub plain: BTreeMap<String, FileDigests>,
}

/// A file of a manifest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct ManifestFile {
    /// The size and the digests of the file.
    #[serde(flatten)]
    pub digests: FileDigests,
    /// The time when the file was last changed, in seconds since 1970.
    pub modified: i64,
}

/// The size and the digests of a file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct FileDigests {
    /// The number of bytes.
    pub size: u64,
    /// The SHA-256, in hex.
    pub sha256: String,
    /// The SHA-512, in hex, if the Release lists it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sha512: Option<String>,
    /// The MD5, in hex, if the Release lists it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub md5: Option<String>,
}

impl FileDigests {
    /// Returns the size and the SHA-256 of some bytes.
    pub(crate) fn of(bytes: &[u8]) -> FileDigests {
        let mut hasher = Hasher::new();
        hasher.update(bytes);
        FileDigests::from(&hasher.finish())
    }
}

impl From<&Digests> for FileDigests {
    fn from(digests: &Digests) -> Self {
        Self {
            size: digests.length,
            sha256: hex::encode(digests.sha256),
            sha512: digests.sha512.map(hex::encode),
            md5: digests.md5.map(hex::encode),
        }
    }
}

impl ManifestFile {
    /// Returns the entry of a file that is there, with the digests that are known of it.
    pub(crate) fn at(path: &Path, digests: FileDigests) -> Result<ManifestFile> {
        let metadata = path
            .symlink_metadata()
            .map_err(Error::io("look at", path))?;
        Ok(ManifestFile {
            digests,
            modified: metadata.mtime(),
        })
    }

    /// Returns whether the file at a path is the one that the manifest has: of the same size and time. A file of another time, as from a
    /// backup, is read.
    pub(crate) fn is_at(&self, path: &Path) -> bool {
        let Ok(found) = path.symlink_metadata() else {
            return false;
        };
        let is_as_long = found.is_file() && found.len() == self.digests.size;
        let is_same = || digests(path).is_ok_and(|found| found.sha256 == self.digests.sha256);
        is_as_long && (found.mtime() == self.modified || is_same())
    }

    /// Returns whether there is a file of the same size at a path.
    pub(crate) fn has_size_of(&self, path: &Path) -> bool {
        let found = path.symlink_metadata();
        found.is_ok_and(|found| found.is_file() && found.len() == self.digests.size)
    }
}

/// The result of comparing a directory with a manifest, as messages that name the files.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Comparison {
    /// Files of the manifest that are not there, or look different.
    pub(crate) wrong: Vec<String>,
    /// Files that are there and not in the manifest.
    pub(crate) foreign: Vec<String>,
}

impl Manifest {
    /// Returns whether nothing is known of the files; every published suite has some.
    pub(crate) fn is_empty(&self) -> bool {
        self.files.is_empty()
    }

    /// Returns the directories that the files lie in, below the directory of the suite.
    pub(crate) fn directories(&self) -> BTreeSet<&Path> {
        let parents = self
            .files
            .keys()
            .filter_map(|path| Path::new(path).parent());
        parents.collect()
    }

    /// Makes the manifest of a directory by reading it: for a suite that was published before there were manifests, or whose manifest was
    /// lost. Leaves out directories that `skip` names.
    pub(crate) fn read(dir: &Path, skip: &dyn Fn(&Path) -> bool) -> Result<Manifest> {
        let mut manifest = Manifest::default();
        let mut known: BTreeMap<(u64, u64), ManifestFile> = BTreeMap::new();
        if !dir.is_dir() {
            return Ok(manifest);
        }
        for entry in listing::below(dir, usize::MAX, |path| !skip(path)) {
            let entry = entry?;
            let path = entry.path();
            let Some(name) = own_name(dir, path).filter(|_| entry.file_type().is_file()) else {
                continue;
            };
            let look_at = Error::io("look at", path);
            let metadata = path.symlink_metadata().map_err(look_at)?;
            let inode = (metadata.dev(), metadata.ino());
            let file = match known.get(&inode) {
                Some(file) => file.clone(),
                None => ManifestFile {
                    digests: digests(path).map_err(Error::io("read", path))?,
                    modified: metadata.mtime(),
                },
            };
            known.insert(inode, file.clone());
            manifest.files.insert(name, file);
        }
        Ok(manifest)
    }

    /// Compares a directory with the manifest; leaves out directories that `skip` names.
    pub(crate) fn compare(&self, dir: &Path, skip: &dyn Fn(&Path) -> bool) -> Result<Comparison> {
        let mut found = Comparison::default();
        let mut missing: BTreeSet<&str> = self.files.keys().map(String::as_str).collect();
        let is_there = dir.symlink_metadata().is_ok_and(|m| m.is_dir());
        let entries = is_there.then(|| listing::below(dir, usize::MAX, |path| !skip(path)));
        for entry in entries.into_iter().flatten() {
            let entry = entry?;
            let path = entry.path();
            if entry.file_type().is_dir() {
                continue;
            }
            let Some((name, file)) =
                own_name(dir, path).and_then(|name| self.files.get_key_value(&name))
            else {
                found.foreign.push(path.display().to_string());
                continue;
            };
            missing.remove(name.as_str());
            if !file.is_at(path) {
                let path = path.display();
                found.wrong.push(format!("{path} was changed"));
            }
        }
        let missing = missing.into_iter().map(|name| dir.join(name));
        let missing = missing.map(|path| format!("{} is not there", path.display()));
        found.wrong.extend(missing);
        Ok(found)
    }
}

/// Returns the path of a file of ours below a directory; `None` for a temporary file, and for names that are no UTF-8, which are not ours.
fn own_name(dir: &Path, path: &Path) -> Option<String> {
    let name = path.strip_prefix(dir).ok()?.to_str()?;
    (!name.contains(TEMP_PREFIX)).then(|| name.to_owned())
}

fn digests(path: &Path) -> io::Result<FileDigests> {
    let file = BufReader::with_capacity(256 << 10, durable::open_regular(path)?);
    let mut reader = HashingReader::new(file);
    io::copy(&mut reader, &mut io::sink())?;
    Ok(FileDigests::from(&reader.finish().1))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::fs;

    use super::*;

    #[test]
    fn what_differs_from_a_manifest_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let dir = dir.path();
        for path in ["a/one", "a/two", "b/three", "inner/four"] {
            fs::create_dir_all(dir.join(path).parent().unwrap()).unwrap();
            fs::write(dir.join(path), path).unwrap();
        }
        let inner = dir.join("inner");
        let skip = |path: &Path| path == inner;
        let manifest = Manifest::read(dir, &skip).unwrap();
        let names: Vec<_> = manifest.files.keys().collect();
        assert_eq!(names, ["a/one", "a/two", "b/three"]);
        let compare = || manifest.compare(dir, &skip).unwrap();
        assert_eq!(compare(), Comparison::default());
        fs::write(dir.join("inner/four"), "other").unwrap();
        fs::create_dir(dir.join("empty")).unwrap();
        assert_eq!(compare(), Comparison::default());
        fs::write(dir.join("a/one"), "longer").unwrap();
        fs::remove_file(dir.join("a/two")).unwrap();
        // What a symlink leads to is not looked at.
        fs::rename(dir.join("b"), dir.join("c")).unwrap();
        std::os::unix::fs::symlink("c", dir.join("b")).unwrap();
        let found = compare();
        let at = |name: &str| dir.join(name).display().to_string();
        let wrong = [
            at("a/one") + " was changed",
            at("a/two") + " is not there",
            at("b/three") + " is not there",
        ];
        assert_eq!(found.wrong, wrong);
        let mut foreign = found.foreign;
        foreign.sort();
        assert_eq!(foreign, [at("b"), at("c/three")]);
        assert_eq!(
            manifest
                .compare(&dir.join("gone"), &skip)
                .unwrap()
                .wrong
                .len(),
            3
        );
    }

    #[test]
    fn a_file_of_another_time_is_read() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file");
        fs::write(&path, "text").unwrap();
        let manifest = Manifest::read(dir.path(), &|_| false).unwrap();
        for (text, faults) in [("text", 0), ("tent", 1)] {
            fs::write(&path, text).unwrap();
            let file = fs::File::options().write(true).open(&path).unwrap();
            file.set_modified(std::time::UNIX_EPOCH).unwrap();
            let found = manifest.compare(dir.path(), &|_| false).unwrap();
            assert_eq!(found.wrong.len(), faults, "{found:?}");
        }
    }
}
