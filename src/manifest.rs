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
use std::fmt::{self, Display, Formatter};
use std::fs::Metadata;
use std::io::{self, BufReader};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use nix::unistd::Uid;
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
#[serde(from = "WrittenFile", into = "WrittenFile")]
pub struct ManifestFile {
    /// The size and the digests of the file.
    pub digests: FileDigests,
    /// The time when the file was last changed, in seconds since 1970.
    pub modified: i64,
}

/// A file of a manifest as it is written. (`flatten` would say the same, and takes three times as long to read.)
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
struct WrittenFile {
    size: u64,
    sha256: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    sha512: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    md5: Option<String>,
    modified: i64,
}

impl From<WrittenFile> for ManifestFile {
    fn from(written: WrittenFile) -> Self {
        let WrittenFile {
            size,
            sha256,
            sha512,
            md5,
            modified,
        } = written;
        let digests = FileDigests {
            size,
            sha256,
            sha512,
            md5,
        };
        Self { digests, modified }
    }
}

impl From<ManifestFile> for WrittenFile {
    fn from(file: ManifestFile) -> Self {
        let FileDigests {
            size,
            sha256,
            sha512,
            md5,
        } = file.digests;
        Self {
            size,
            sha256,
            sha512,
            md5,
            modified: file.modified,
        }
    }
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
        let found = path.symlink_metadata();
        found.is_ok_and(|found| self.likeness(path, &found) != Likeness::Other)
    }

    /// Returns whether the file at a path has the size and the time of the manifest. Reads nothing.
    pub(crate) fn looks_the_same(&self, path: &Path) -> bool {
        let found = path.symlink_metadata();
        found.is_ok_and(|found| {
            found.is_file() && found.len() == self.digests.size && found.mtime() == self.modified
        })
    }

    fn likeness(&self, path: &Path, found: &Metadata) -> Likeness {
        let is_as_long = found.is_file() && found.len() == self.digests.size;
        match is_as_long {
            true if found.mtime() == self.modified => Likeness::Same,
            true if self.holds(path) => Likeness::Touched,
            _ => Likeness::Other,
        }
    }

    /// Returns whether the bytes of a file are those that the manifest has. Reads all of them.
    pub(crate) fn holds(&self, path: &Path) -> bool {
        digests(path).is_ok_and(|found| {
            (found.size, &found.sha256) == (self.digests.size, &self.digests.sha256)
        })
    }

    /// Returns the time when the file was last changed.
    pub(crate) fn modified(&self) -> SystemTime {
        let seconds = Duration::from_secs(self.modified.unsigned_abs());
        match self.modified {
            0.. => SystemTime::UNIX_EPOCH + seconds,
            _ => SystemTime::UNIX_EPOCH - seconds,
        }
    }
}

/// The likeness of a file and its entry in a manifest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Likeness {
    /// The size and the time are those of the entry.
    Same,
    /// The bytes are those of the entry, and the time is not.
    Touched,
    /// The file is another one.
    Other,
}

/// A file or a directory that not all may read, or that all may change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct WrongMode {
    /// The file or the directory.
    pub(crate) path: PathBuf,
    /// The mode that it has.
    pub(crate) mode: u32,
    /// The mode that is meant.
    pub(crate) meant: u32,
}

impl WrongMode {
    /// Returns the mode of a published file or directory if it is wrong. More rights for the group are the operator's affair.
    pub(crate) fn of(path: &Path, found: &Metadata) -> Option<WrongMode> {
        let (mode, meant, needed) = match (found.is_dir(), found.is_file()) {
            (true, _) => (
                found.mode(),
                durable::DIRECTORY_MODE,
                durable::DIRECTORY_MODE,
            ),
            // A published file is replaced, and never written to.
            (_, true) => (found.mode(), durable::FILE_MODE, durable::FILE_MODE & 0o444),
            // A symlink has no mode, and whatever else stands in the place of a file is replaced.
            _ => return None,
        };
        let mode = mode & 0o7777;
        let is_wrong = durable::lacks(mode, needed) || mode & 0o002 != 0;
        is_wrong.then(|| WrongMode {
            path: path.to_owned(),
            mode,
            meant,
        })
    }

    /// Returns whether the owner of a directory can look into it.
    pub(crate) fn is_open(&self) -> bool {
        !durable::lacks(self.mode, 0o500)
    }
}

impl Display for WrongMode {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let (path, mode, meant) = (self.path.display(), self.mode, self.meant);
        write!(f, "{path} has the mode {mode:04o} instead of {meant:04o}")
    }
}

/// The result of comparing a directory with what is on record of it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Comparison {
    /// Files that are on record, and are not there.
    pub(crate) missing: Vec<PathBuf>,
    /// Files that are on record, and look different.
    pub(crate) changed: Vec<PathBuf>,
    /// Files that are there, and not on record.
    pub(crate) foreign: Vec<PathBuf>,
    /// Files and directories that have the wrong mode. What lies below a directory that its owner cannot read is not looked at.
    pub(crate) modes: Vec<WrongMode>,
    /// Files that have the bytes of the record and another time, with that of the record: no fault, but each comparison has to read them.
    pub(crate) touched: Vec<(PathBuf, SystemTime)>,
}

impl Comparison {
    /// Returns whether everything is as it is on record.
    pub(crate) fn is_clean(&self) -> bool {
        self.faults().next().is_none()
    }

    /// Leaves out faults that are easily mended: of modes, of foreign files, and of the files that `can_be_had` knows.
    pub(crate) fn forgive(&mut self, can_be_had: impl Fn(&Path) -> bool) {
        self.missing.retain(|path| !can_be_had(path));
        self.changed.retain(|path| !can_be_had(path));
        self.foreign.clear();
        self.modes.clear();
    }

    /// Returns the faults as messages that name the files.
    pub(crate) fn faults(&self) -> impl Iterator<Item = String> {
        let modes = self.modes.iter().map(ToString::to_string);
        self.faults_but_modes().chain(modes)
    }

    /// Returns the faults of names and bytes.
    pub(crate) fn faults_but_modes(&self) -> impl Iterator<Item = String> {
        let missing = self.missing.iter();
        let missing = missing.map(|path| format!("{} is not there", path.display()));
        let changed = self.changed.iter();
        let changed = changed.map(|path| format!("{} was changed", path.display()));
        let foreign = self.foreign.iter();
        let foreign = foreign.map(|path| format!("{}: nothing put it there", path.display()));
        missing.chain(changed).chain(foreign)
    }
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
        let mut directories = Vec::new();
        let enter = |path: &Path| !skip(path) && can_enter(path, &mut directories);
        let entries = is_there.then(|| listing::below(dir, usize::MAX, enter));
        for entry in entries.into_iter().flatten() {
            let entry = entry?;
            let path = entry.path();
            if entry.file_type().is_dir() {
                continue;
            }
            let Some((name, file)) =
                own_name(dir, path).and_then(|name| self.files.get_key_value(&name))
            else {
                found.foreign.push(path.to_owned());
                continue;
            };
            missing.remove(name.as_str());
            let metadata = path
                .symlink_metadata()
                .map_err(Error::io("look at", path))?;
            let wrong = WrongMode::of(path, &metadata);
            match file.likeness(path, &metadata) {
                Likeness::Other => found.changed.push(path.to_owned()),
                // Only its owner can set the mode of a file; but whoever may write in the directory can replace it.
                _ if wrong.is_some() && !is_ours(&metadata) => found.changed.push(path.to_owned()),
                Likeness::Touched => found.touched.push((path.to_owned(), file.modified())),
                Likeness::Same => {}
            }
            found.modes.extend(wrong.filter(|_| is_ours(&metadata)));
        }
        let is_seen = |path: &PathBuf| {
            let mut closed = directories.iter().filter(|wrong| !wrong.is_open());
            !closed.any(|wrong| path.starts_with(&wrong.path))
        };
        let missing = missing.into_iter().map(|name| dir.join(name));
        found.missing.extend(missing.filter(is_seen));
        found.modes.extend(directories);
        Ok(found)
    }
}

/// Returns whether the owner of a directory can look into it, and notes the mode if it is wrong.
pub(crate) fn can_enter(path: &Path, wrong: &mut Vec<WrongMode>) -> bool {
    let found = path.symlink_metadata();
    let found = found.ok().and_then(|found| WrongMode::of(path, &found));
    let is_open = found.as_ref().is_none_or(WrongMode::is_open);
    wrong.extend(found);
    is_open
}

/// Returns whether the user of this process can set the mode of a file.
fn is_ours(found: &Metadata) -> bool {
    let user = Uid::effective();
    user.is_root() || user.as_raw() == found.uid()
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
        durable::set_mode(dir, 0o755).unwrap();
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
        assert_eq!(found.missing, [dir.join("a/two"), dir.join("b/three")]);
        assert_eq!(found.changed, [dir.join("a/one")]);
        let mut foreign = found.foreign;
        foreign.sort();
        assert_eq!(foreign, [dir.join("b"), dir.join("c/three")]);
        let found = manifest.compare(&dir.join("gone"), &skip).unwrap();
        assert_eq!(found.missing.len(), 3);
    }

    #[test]
    fn what_not_all_may_read_or_all_may_change_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let dir = dir.path();
        durable::set_mode(dir, 0o755).unwrap();
        for path in ["a/one", "a/two", "b/three", "b/four"] {
            durable::create_dir(dir.join(path).parent().unwrap()).unwrap();
            durable::write_file(&dir.join(path), path.as_bytes(), None).unwrap();
        }
        let manifest = Manifest::read(dir, &|_| false).unwrap();
        let modes = [
            ("a/one", 0o600),
            ("a/two", 0o666),
            ("b/three", 0o664),
            ("b/four", 0o444),
            ("b", 0o2775),
        ];
        for (path, mode) in modes {
            durable::set_mode(&dir.join(path), mode).unwrap();
        }
        let found = || manifest.compare(dir, &|_| false).unwrap();
        let mut faults: Vec<_> = found().faults().collect();
        faults.sort();
        let at = |path: &str| dir.join(path).display().to_string();
        let expected = [
            at("a/one") + " has the mode 0600 instead of 0644",
            at("a/two") + " has the mode 0666 instead of 0644",
        ];
        assert_eq!(faults, expected);
        // A directory that cannot be looked into is not said to be missing.
        durable::set_mode(&dir.join("a"), 0).unwrap();
        let found = found();
        durable::set_mode(&dir.join("a"), 0o755).unwrap();
        let paths: Vec<_> = found.modes.iter().map(|wrong| &wrong.path).collect();
        assert_eq!(paths, [&dir.join("a")]);
        assert!(found.missing.is_empty() && found.foreign.is_empty());
    }

    #[test]
    fn a_file_of_another_time_is_read() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file");
        fs::write(&path, "text").unwrap();
        let manifest = Manifest::read(dir.path(), &|_| false).unwrap();
        for (text, touched, changed) in [("text", 1, 0), ("tent", 0, 1)] {
            fs::write(&path, text).unwrap();
            let file = fs::File::options().write(true).open(&path).unwrap();
            file.set_modified(std::time::UNIX_EPOCH).unwrap();
            let found = manifest.compare(dir.path(), &|_| false).unwrap();
            let numbers = (found.touched.len(), found.changed.len());
            assert_eq!(numbers, (touched, changed), "{found:?}");
        }
    }
}
