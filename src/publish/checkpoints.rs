//! Checkpoints: what the check before the swap found at the end of each piece of a file, so that the check of the file's successor unpacks only
//! the pieces that are new ([`super::file_check`]).
//!
//! A checkpoint says: the file's bytes up to here have this SHA-256, and unpack to so many plain bytes, which bring the hashers into this
//! state and hold no stanza that stops apt.
//!
//! Why reading from a checkpoint on is as good as reading all of a file. The file as a whole is hashed, and its beginning has the SHA-256 of the
//! checkpoint. So these are the bytes that an earlier check unpacked, and unpacking them again could give nothing else. The pieces that follow
//! need nothing of those before, and are unpacked; the end of the file is compared with that of all pieces ([`crate::compress::unpack`]).
//! The hashers go on from the state, and have to arrive at the digests in the Release. These come from the writer, which took them from the
//! text and not from the file. No state of the writer's is used here, and none of these by the writer: where one of them is wrong, the two
//! disagree.
//!
//! A disagreement does no harm: such a reading can only accept. Where it does not accept, the file is read as a whole, and that decides. So a
//! wrong checkpoint costs time, and a wrong digest of the writer's is refused. A wrong state and a wrong digest that agree by chance are a collision of
//! SHA-256.
//!
//! The records lie in the state and not in the cache, since the check must not depend on what it is there to
//! find, a wrong entry of the cache. A record begins with a digest of its name and of everything after it, so one that is damaged, torn or
//! misplaced is none; so is one of another version of the program. Nothing is forced to the disk, and a record that cannot be written costs
//! the next run some time. The repair of a suite that failed its check reads no records, and writes them anew.

use std::collections::BTreeSet;
use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::compress::Part;
use crate::durable;
use crate::error::{Error, Result};
use crate::workspace::Generation;

/// The format of the records, and the version of the program: hashers, decoders and what stops apt belong to it.
const FORMAT: &str = concat!("1 ", env!("CARGO_PKG_VERSION"));

/// The least plain bytes of a file whose checkpoints are kept. To unpack less takes no longer than to write a record.
pub(super) const MIN_PLAIN_BYTES: u64 = 1 << 20;

/// The state at the end of a piece of a file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Checkpoint {
    #[serde(flatten)]
    pub(super) part: Part,
    /// The SHA-256 of the file up to here.
    #[serde(with = "hex::serde")]
    pub(super) begin: [u8; 32],
    /// The state of the hashers of the plain text up to here.
    #[serde(with = "hex::serde")]
    pub(super) state: Vec<u8>,
}

/// The checkpoints of a file that passed the check.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct CheckedFile {
    /// `true` if the text was searched for stanzas that stop apt. One form of an index is.
    pub(super) is_read: bool,
    /// The ends of all pieces, in their order.
    pub(super) pieces: Vec<Checkpoint>,
}

/// The records of the files of a generation.
#[derive(Debug)]
pub(super) struct Checkpoints {
    dir: PathBuf,
    is_trusted: bool,
}

impl Checkpoints {
    /// Returns the records in a directory of the state.
    pub(super) fn new(state: &Path) -> Checkpoints {
        Checkpoints {
            dir: state.join("checked"),
            is_trusted: true,
        }
    }

    /// Returns the same records, of which none is read.
    pub(super) fn distrusted(self) -> Checkpoints {
        Checkpoints {
            is_trusted: false,
            ..self
        }
    }

    /// Returns the record of a file, by its SHA-256 in hex.
    pub(super) fn get(&self, name: &str) -> Option<CheckedFile> {
        if !self.is_trusted || !is_name(name) {
            return None;
        }
        let record = durable::read_regular(&self.dir.join(name)).ok()?;
        let (found, text) = record.split_at_checked(seal(name, &[]).len())?;
        (found == seal(name, text).as_bytes()).then_some(())?;
        serde_json::from_slice(text).ok()
    }

    /// Keeps the record of a file, if possible.
    pub(super) fn put(&self, name: &str, record: &CheckedFile) {
        // Without the record, the next check reads the whole file.
        let _ = self.write(name, record);
    }

    fn write(&self, name: &str, record: &CheckedFile) -> io::Result<()> {
        let text = serde_json::to_vec(record)?;
        let path = self.dir.join(name);
        // The directory that a symlink leads to is not ours.
        durable::check_real(&self.dir).map_err(io::Error::other)?;
        fs::create_dir_all(&self.dir)?;
        match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let mut file = OpenOptions::new().write(true).create_new(true).open(path)?;
        file.write_all(seal(name, &text).as_bytes())?;
        file.write_all(&text)
    }

    /// Removes the records of files that a generation does not have, and what stands in the place of the directory.
    pub(super) fn collect(&self, generation: &Generation) -> Result<()> {
        if !self.dir.is_dir() || self.dir.is_symlink() {
            return durable::remove_file(&self.dir);
        }
        let entries = fs::read_dir(&self.dir).map_err(Error::io("list", &self.dir))?;
        let manifests = generation.suites.values().map(|record| &record.manifest);
        let files = manifests.flat_map(|manifest| &manifest.files);
        // Nothing follows a file that is there under by-hash only.
        let files = files.filter(|(path, _)| !path.contains("/by-hash/"));
        let there: BTreeSet<&str> = files.map(|(_, file)| &*file.digests.sha256).collect();
        for entry in entries {
            let name = entry.map_err(Error::io("list", &self.dir))?.file_name();
            let name = name.to_str().filter(|name| is_name(name));
            if let Some(name) = name.filter(|name| !there.contains(name)) {
                durable::remove_file(&self.dir.join(name))?;
            }
        }
        Ok(())
    }
}

/// Returns whether a name is a SHA-256 in hex.
fn is_name(name: &str) -> bool {
    hex::decode(name).is_ok_and(|digest| digest.len() == 32)
}

/// Returns the line that a record begins with: a digest of its name, its format and its text.
fn seal(name: &str, text: &[u8]) -> String {
    let sealed = Sha256::new()
        .chain_update(format!("{name}\n{FORMAT}\n"))
        .chain_update(text);
    format!("{}\n", hex::encode(sealed.finalize()))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use crate::manifest::{FileDigests, Manifest, ManifestFile};
    use crate::workspace::SuiteRecord;

    #[test]
    fn records_of_files_that_are_gone_are_removed_and_nothing_else() {
        let dir = tempfile::tempdir().unwrap();
        let place = |name: &str| dir.path().join("checked").join(name);
        let checkpoints = Checkpoints::new(dir.path());
        checkpoints.collect(&Generation::default()).unwrap();
        let digests = [b"there", b"hash!", b"gone!"].map(|bytes| FileDigests::of(bytes));
        for digest in &digests {
            checkpoints.put(&digest.sha256, &CheckedFile::default());
        }
        fs::write(place("note"), "mine").unwrap();
        let [there, by_hash, _] = digests.clone().map(|digests| ManifestFile {
            digests,
            modified: 0,
        });
        let files = [("a/Packages.gz", there), ("a/by-hash/SHA256/x", by_hash)];
        let manifest = Manifest {
            files: files.map(|(path, file)| (path.to_owned(), file)).into(),
            ..Manifest::default()
        };
        let record = SuiteRecord {
            manifest,
            ..SuiteRecord::default()
        };
        let mut generation = Generation::new(1);
        generation.suites = [("suite".to_owned(), record.into())].into();
        checkpoints.collect(&generation).unwrap();
        let is_there = digests.map(|digest| place(&digest.sha256).exists());
        assert_eq!(is_there, [true, false, false]);
        assert!(place("note").exists());
        // A symlink is removed, and what it leads to stays as it is.
        let foreign = dir.path().join("foreign");
        fs::rename(dir.path().join("checked"), &foreign).unwrap();
        std::os::unix::fs::symlink(&foreign, dir.path().join("checked")).unwrap();
        checkpoints.put(&"0".repeat(64), &CheckedFile::default());
        checkpoints.collect(&Generation::default()).unwrap();
        assert_eq!(fs::read_dir(foreign).unwrap().count(), 2);
        assert!(!dir.path().join("checked").is_symlink());
    }
}
