//! Compressed pieces, kept from run to run.
//!
//! A file of the cache is named by the SHA-256 of the plain piece, in a directory that is named by the encoder. It begins with a
//! checksum of its name and everything after it, so that a damaged, torn or misplaced file is as good as none: it is made
//! again. Nothing is forced to the disk, and a file that cannot be written costs the next run some time. The cache may be
//! deleted at any time.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use sha2::{Digest, Sha256};

use crate::config::{ByteSize, Form};
use crate::durable;
use crate::error::Result;

use super::{Packed, Piece};

/// Checksum, length of the plain piece, note.
const HEADER_BYTES: usize = 32 + 8 + 8;

/// The directory of an encoder's pieces. The version of the program is in it, since a later one may compress differently.
const fn encoder(form: Form) -> &'static str {
    match form {
        Form::Xz => concat!("xz-", env!("CARGO_PKG_VERSION")),
        Form::Gz => concat!("gz-", env!("CARGO_PKG_VERSION")),
    }
}

/// The name of a piece: the SHA-256 of its plain bytes.
pub type PieceName = [u8; 32];

/// Names a piece.
pub fn name(piece: &Piece<'_>) -> PieceName {
    let mut hasher = Sha256::new();
    piece.slices.iter().for_each(|slice| hasher.update(slice));
    hasher.finalize().into()
}

/// The compressed pieces of earlier runs.
#[derive(Debug)]
pub struct PieceCache {
    dir: PathBuf,
    now: SystemTime,
}

impl PieceCache {
    /// The cache below a directory, which need not exist. What is used gets the time `now`, by which the oldest is known.
    pub fn new(dir: &Path, now: SystemTime) -> Self {
        Self {
            dir: dir.join("pieces"),
            now,
        }
    }

    fn path(&self, form: Form, name: &PieceName) -> PathBuf {
        let name = hex::encode(name);
        self.dir.join(encoder(form)).join(&name[..2]).join(&name)
    }

    /// A piece that was compressed before.
    pub fn get(&self, form: Form, name: &PieceName) -> Option<Packed> {
        let path = self.path(form, name);
        let packed = parse(name, &fs::read(&path).ok()?)?;
        // Where that fails it goes too early, and is made again.
        let _ = File::open(&path).and_then(|file| file.set_modified(self.now));
        Some(packed)
    }

    /// Keeps a piece for later runs, if that can be done.
    pub fn put(&self, form: Form, name: &PieceName, packed: &Packed) {
        // Without it, the next run compresses the piece again.
        let _ = self.write(form, name, packed);
    }

    fn write(&self, form: Form, name: &PieceName, packed: &Packed) -> io::Result<()> {
        let path = self.path(form, name);
        let dir = path.parent().unwrap_or(&self.dir);
        fs::create_dir_all(dir)?;
        let mut file = tempfile::Builder::new()
            .prefix(durable::TEMP_PREFIX)
            .tempfile_in(dir)?;
        file.write_all(&checksum(name, packed))?;
        file.write_all(&packed.plain.to_le_bytes())?;
        file.write_all(&packed.note.to_le_bytes())?;
        file.write_all(&packed.bytes)?;
        file.as_file().set_modified(self.now)?;
        file.persist(path)?;
        Ok(())
    }

    /// Removes what was not used for longest, until the rest is within a bound, and what a crash left.
    pub fn trim(&self, max: ByteSize) -> Result<()> {
        let mut files = Vec::new();
        for entry in walkdir::WalkDir::new(&self.dir).into_iter().flatten() {
            let name = entry.file_name().as_encoded_bytes();
            if name.starts_with(durable::TEMP_PREFIX.as_bytes()) {
                durable::remove_file(entry.path())?;
            } else if let Some(metadata) = entry.metadata().ok().filter(|m| m.is_file()) {
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

fn checksum(name: &PieceName, packed: &Packed) -> [u8; 32] {
    Sha256::new()
        .chain_update(name)
        .chain_update(packed.plain.to_le_bytes())
        .chain_update(packed.note.to_le_bytes())
        .chain_update(&packed.bytes)
        .finalize()
        .into()
}

fn parse(name: &PieceName, file: &[u8]) -> Option<Packed> {
    let (header, bytes) = file.split_at_checked(HEADER_BYTES)?;
    let number = |at: usize| Some(u64::from_le_bytes(header[at..at + 8].try_into().ok()?));
    let packed = Packed {
        bytes: bytes.to_vec(),
        plain: number(32)?,
        note: number(40)?,
    };
    (header[..32] == checksum(name, &packed)).then_some(packed)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn packed(byte: u8) -> Packed {
        Packed {
            bytes: vec![byte; 1000],
            plain: 5000,
            note: 998,
        }
    }

    #[test]
    fn a_damaged_torn_or_misplaced_file_is_none() {
        let dir = tempfile::tempdir().unwrap();
        let cache = PieceCache::new(dir.path(), SystemTime::now());
        let (name, other) = ([1; 32], [2; 32]);
        assert_eq!(cache.get(Form::Xz, &name), None);
        cache.put(Form::Xz, &name, &packed(7));
        assert_eq!(cache.get(Form::Xz, &name), Some(packed(7)));
        assert_eq!(cache.get(Form::Gz, &name), None);
        let path = cache.path(Form::Xz, &name);
        let whole = fs::read(&path).unwrap();
        let misplaced = cache.path(Form::Xz, &other);
        fs::create_dir_all(misplaced.parent().unwrap()).unwrap();
        fs::write(&misplaced, &whole).unwrap();
        assert_eq!(cache.get(Form::Xz, &other), None);
        for length in [0, 31, HEADER_BYTES, whole.len() - 1] {
            fs::write(&path, &whole[..length]).unwrap();
            assert_eq!(cache.get(Form::Xz, &name), None, "{length}");
        }
        for at in [0, 32, 40, HEADER_BYTES, whole.len() - 1] {
            let mut damaged = whole.clone();
            damaged[at] ^= 1;
            fs::write(&path, &damaged).unwrap();
            assert_eq!(cache.get(Form::Xz, &name), None, "{at}");
        }
    }

    #[test]
    fn what_was_not_used_for_longest_goes_first() {
        let dir = tempfile::tempdir().unwrap();
        let cache = PieceCache::new(dir.path(), SystemTime::now());
        for n in 0..4u8 {
            cache.put(Form::Gz, &[n; 32], &packed(n));
            let path = cache.path(Form::Gz, &[n; 32]);
            let used = SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(u64::from(n));
            File::open(path).unwrap().set_modified(used).unwrap();
        }
        // Used again just now.
        assert!(cache.get(Form::Gz, &[0; 32]).is_some());
        cache.trim(ByteSize::from_bytes(2100)).unwrap();
        let left: Vec<u8> = (0..4)
            .filter(|n| cache.get(Form::Gz, &[*n; 32]).is_some())
            .collect();
        assert_eq!(left, [0, 3]);
        fs::remove_dir_all(dir.path()).unwrap();
        cache.trim(ByteSize::from_bytes(0)).unwrap();
    }
}
