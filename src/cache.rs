//! Results that are kept from run to run to save work, and may be deleted at any time.
//!
//! An entry is a file that is named by a SHA-256, in the directory of its kind. It begins with a checksum of its name and
//! everything after it, so that a damaged, torn or misplaced file counts as none: its content is made again. Nothing
//! is forced to the disk, and an entry that cannot be written costs the next run some time.
//!
//! A right checksum in the entry does not prove that an entry is what its name stands for: a memory fault while it was made, or somebody who writes
//! here, can leave a wrong entry. The check before the swap finds what was made of it, and that suite is made once more with a cache that
//! is [`Cache::distrusted`]; so a wrong entry costs one run some time.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::SystemTime;

use sha2::{Digest, Sha256};

use crate::durable;
use crate::error::{Error, Result};
use crate::units::ByteSize;

/// The name of an entry.
pub(crate) type EntryName = [u8; 32];

const CHECKSUM_BYTES: usize = 32;

/// The SHA-256 of an entry's name and content: whoever has it on record knows the entry.
pub(crate) type Checksum = [u8; CHECKSUM_BYTES];

/// The most bytes of an entry: more than any entry that is written, and few enough for memory.
const MAX_ENTRY_BYTES: u64 = 256 << 20;

/// The entries of earlier runs.
#[derive(Debug)]
pub(crate) struct Cache {
    dir: PathBuf,
    /// The time given to entries that are used; where there is none, nothing is written at all.
    now: Option<SystemTime>,
    /// The entries that were found to be wrong; `Some` if the cache trusts no entry.
    wrong: Option<Mutex<Vec<PathBuf>>>,
}

impl Cache {
    /// Returns the cache in a directory, which need not exist. Entries that are used get the time `now`, by which the oldest are known.
    pub(crate) fn new(dir: &Path, now: SystemTime) -> Self {
        Self {
            dir: dir.to_owned(),
            now: Some(now),
            wrong: None,
        }
    }

    /// Returns the same cache as one of which nothing is read: every entry that is asked for is made anew, and replaces the old one.
    pub(crate) fn distrusted(self) -> Self {
        Self {
            wrong: Some(Mutex::default()),
            ..self
        }
    }

    /// Returns the entries of a distrusted cache that were replaced by different ones.
    pub(crate) fn wrong(self) -> Vec<PathBuf> {
        let wrong = self.wrong.map(Mutex::into_inner);
        wrong.map_or_else(Vec::new, |wrong| {
            wrong.unwrap_or_else(PoisonError::into_inner)
        })
    }

    /// Returns the cache in a directory, to be read and left as it is.
    pub(crate) fn read_only(dir: &Path) -> Self {
        Self {
            dir: dir.to_owned(),
            now: None,
            wrong: None,
        }
    }

    fn path(&self, kind: &str, name: &EntryName) -> PathBuf {
        let name = hex::encode(name);
        self.dir.join(kind).join(&name[..2]).join(&name)
    }

    /// Returns the content of an entry that an earlier run made.
    pub(crate) fn get(&self, kind: &str, name: &EntryName) -> Option<Vec<u8>> {
        match self.wrong {
            Some(_) => None,
            None => self.read(kind, name),
        }
    }

    /// Returns the content of an entry with this checksum: exactly the bytes that were put there.
    pub(crate) fn get_exactly(
        &self,
        kind: &str,
        name: &EntryName,
        sum: &Checksum,
    ) -> Option<Vec<u8>> {
        match self.wrong {
            Some(_) => None,
            None => self.read_if(kind, name, |found| found == sum),
        }
    }

    /// Marks an entry as used, if it is there; returns whether it is.
    pub(crate) fn touch(&self, kind: &str, name: &EntryName) -> bool {
        let Ok(file) = durable::open_regular(&self.path(kind, name)) else {
            return false;
        };
        if let Some(now) = self.now {
            let _ = file.set_modified(now);
        }
        self.wrong.is_none()
    }

    fn read(&self, kind: &str, name: &EntryName) -> Option<Vec<u8>> {
        self.read_if(kind, name, |_| true)
    }

    /// Reads an entry, if its checksum is right and wanted.
    fn read_if(
        &self,
        kind: &str,
        name: &EntryName,
        is_wanted: impl FnOnce(&[u8]) -> bool,
    ) -> Option<Vec<u8>> {
        let path = self.path(kind, name);
        let mut file = durable::open_regular(&path).ok()?;
        if file.metadata().ok()?.len() > MAX_ENTRY_BYTES {
            return None;
        }
        let mut entry = Vec::new();
        file.read_to_end(&mut entry).ok()?;
        let (begin, content) = entry.split_at_checked(CHECKSUM_BYTES)?;
        if begin != checksum(name, &[content]) || !is_wanted(begin) {
            return None;
        }
        if let Some(now) = self.now {
            // If that fails, the entry is removed too early, and made again.
            let _ = file.set_modified(now);
        }
        Some(content.to_vec())
    }

    /// Keeps an entry for later runs, if possible.
    pub(crate) fn put(&self, kind: &str, name: &EntryName, content: &[&[u8]]) {
        if let Some(wrong) = &self.wrong
            && self
                .read(kind, name)
                .is_some_and(|old| old != content.concat())
        {
            let mut wrong = wrong.lock().unwrap_or_else(PoisonError::into_inner);
            wrong.push(self.path(kind, name));
        }
        // Without the entry, the next run makes it again.
        let _ = self.write(kind, name, content);
    }

    fn write(&self, kind: &str, name: &EntryName, content: &[&[u8]]) -> io::Result<()> {
        let Some(now) = self.now else {
            return Ok(());
        };
        let path = self.path(kind, name);
        let dir = path.parent().unwrap_or(&self.dir);
        fs::create_dir_all(dir)?;
        let mut file = tempfile::Builder::new()
            .prefix(durable::TEMP_PREFIX)
            .tempfile_in(dir)?;
        file.write_all(&checksum(name, content))?;
        for part in content {
            file.write_all(part)?;
        }
        file.as_file().set_modified(now)?;
        file.persist(path)?;
        Ok(())
    }

    /// Creates a file without a name, whose space is free again once the file is closed. After a crash before the name is gone,
    /// [`Cache::trim`] removes the file.
    pub(crate) fn scratch(&self) -> Result<File> {
        durable::create_private_dir(&self.dir)?;
        let file = durable::temporary(&self.dir.join("scratch"))?;
        let (file, name) = file.into_parts();
        name.close().map_err(Error::io("remove", &self.dir))?;
        Ok(file)
    }

    /// Removes an entry, if it is there.
    pub(crate) fn remove(&self, kind: &str, name: &EntryName) {
        if self.now.is_some() {
            // An entry that stays is removed when the cache is full.
            let _ = fs::remove_file(self.path(kind, name));
        }
    }

    /// Removes the entries that were unused for longest, until the rest is within a bound, and what a crash left. A file whose name and
    /// place are not those of an entry is not ours, and stays.
    pub(crate) fn trim(&self, max: ByteSize) -> Result<()> {
        let mut files = Vec::new();
        let walk = walkdir::WalkDir::new(&self.dir).follow_root_links(false);
        for entry in walk.into_iter().flatten() {
            let name = entry.file_name().as_encoded_bytes();
            let is_entry = entry.depth() == 3 && hex::decode(name).is_ok_and(|n| n.len() == 32);
            if name.starts_with(durable::TEMP_PREFIX.as_bytes()) {
                durable::remove_file(entry.path())?;
            } else if let Some(metadata) = entry
                .metadata()
                .ok()
                // Another kind of file in the place of an entry (a FIFO) is of no use.
                .filter(|m| is_entry && !m.is_dir())
            {
                let used = metadata.modified().unwrap_or(SystemTime::UNIX_EPOCH);
                files.push((used, entry.into_path(), metadata.len()));
            }
        }
        files.sort_unstable();
        let mut total: u64 = files.iter().map(|(_, _, size)| size).sum();
        for (_, path, size) in files {
            if total <= max.bytes() {
                break;
            }
            durable::remove_file(&path)?;
            total -= size;
        }
        Ok(())
    }
}

/// Returns the checksum of an entry.
pub(crate) fn checksum(name: &EntryName, content: &[&[u8]]) -> Checksum {
    let mut hasher = Sha256::new().chain_update(name);
    content.iter().for_each(|part| hasher.update(part));
    hasher.finalize().into()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn a_damaged_torn_or_misplaced_entry_is_none() {
        let dir = tempfile::tempdir().unwrap();
        let cache = Cache::new(dir.path(), SystemTime::now());
        let (name, other) = ([1; 32], [2; 32]);
        assert_eq!(cache.get("a", &name), None);
        cache.put("a", &name, &[b"some ", b"bytes"]);
        assert_eq!(cache.get("a", &name), Some(b"some bytes".to_vec()));
        assert_eq!(cache.get("b", &name), None);
        let path = cache.path("a", &name);
        let whole = fs::read(&path).unwrap();
        let misplaced = cache.path("a", &other);
        fs::create_dir_all(misplaced.parent().unwrap()).unwrap();
        fs::write(&misplaced, &whole).unwrap();
        assert_eq!(cache.get("a", &other), None);
        for length in [0, 31, 32, whole.len() - 1] {
            fs::write(&path, &whole[..length]).unwrap();
            assert_eq!(cache.get("a", &name), None, "{length}");
        }
        for at in [0, 31, 32, whole.len() - 1] {
            let mut damaged = whole.clone();
            damaged[at] ^= 1;
            fs::write(&path, &damaged).unwrap();
            assert_eq!(cache.get("a", &name), None, "{at}");
        }
    }

    #[test]
    fn one_that_no_memory_has_room_for_is_none() {
        let dir = tempfile::tempdir().unwrap();
        let cache = Cache::new(dir.path(), SystemTime::now());
        cache.put("a", &[1; 32], &[b"bytes"]);
        let path = cache.path("a", &[1; 32]);
        let file = fs::OpenOptions::new().write(true).open(&path).unwrap();
        file.set_len(1 << 40).unwrap();
        let long_ago = SystemTime::UNIX_EPOCH;
        file.set_modified(long_ago).unwrap();
        assert_eq!(cache.get("a", &[1; 32]), None);
        assert_eq!(path.metadata().unwrap().modified().unwrap(), long_ago);
        cache.put("a", &[1; 32], &[b"bytes"]);
        assert_eq!(cache.get("a", &[1; 32]), Some(b"bytes".to_vec()));
    }

    #[test]
    fn one_that_is_only_read_stays_as_it_is() {
        let dir = tempfile::tempdir().unwrap();
        let long_ago = SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(1000);
        let cache = Cache::new(dir.path(), long_ago);
        cache.put("a", &[1; 32], &[b"bytes"]);
        let reader = Cache::read_only(dir.path());
        assert_eq!(reader.get("a", &[1; 32]), Some(b"bytes".to_vec()));
        reader.put("a", &[2; 32], &[b"more"]);
        reader.remove("a", &[1; 32]);
        let time = cache.path("a", &[1; 32]).metadata().unwrap().modified();
        assert_eq!(time.unwrap(), long_ago);
        assert_eq!(cache.get("a", &[2; 32]), None);
    }

    #[test]
    fn a_scratch_file_leaves_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let place = dir.path().join("cache");
        let cache = Cache::read_only(&place);
        let mut file = cache.scratch().unwrap();
        file.write_all(b"lines").unwrap();
        assert_eq!(fs::read_dir(&place).unwrap().count(), 0);
        // A crash between the two steps leaves a name.
        let left = durable::temporary(&place.join("scratch")).unwrap();
        left.keep().unwrap();
        assert_eq!(fs::read_dir(&place).unwrap().count(), 1);
        cache.trim(ByteSize::from_bytes(0)).unwrap();
        assert_eq!(fs::read_dir(&place).unwrap().count(), 0);
    }

    #[test]
    fn what_was_not_used_for_longest_goes_first() {
        let dir = tempfile::tempdir().unwrap();
        let cache = Cache::new(dir.path(), SystemTime::now());
        for n in 0..4u8 {
            cache.put("a", &[n; 32], &[&[n; 1000]]);
            let used = SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(u64::from(n));
            let file = fs::File::open(cache.path("a", &[n; 32])).unwrap();
            file.set_modified(used).unwrap();
        }
        // Used again just now.
        assert!(cache.get("a", &[0; 32]).is_some());
        cache.trim(ByteSize::from_bytes(2100)).unwrap();
        let left: Vec<u8> = (0..4)
            .filter(|n| cache.get("a", &[*n; 32]).is_some())
            .collect();
        assert_eq!(left, [0, 3]);
        fs::remove_dir_all(dir.path()).unwrap();
        cache.trim(ByteSize::from_bytes(0)).unwrap();
    }
}
