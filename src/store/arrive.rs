//! The way of files into `packages/`.
//!
//! Files are copied to temporary names and forced to the disk; then their digests go on record as *arriving*, and only then do they get
//! their names. So at every moment a file under its name is complete, and from the record on garbage collection leaves it alone, until the
//! operation that adds it takes the record away or the record expires. A copy takes the place of a file that is there already, which may be
//! damaged; the digest of the copy is known. The record comes before the look whether it is there, so that no collection can remove it between the look and the operation.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use rusqlite::{Connection, params};
use tempfile::TempPath;

use crate::durable::{self, FILE_MODE};
use crate::error::{Error, Result};
use crate::hashing::Hasher;

use super::Store;
use super::error::StoreError;
use super::files::path_of;
use super::operation::{Hex, NewFile};

/// The time for which a file that arrives is no garbage: longer than any upload or import takes to name it.
const ARRIVING_SECONDS: i64 = 24 * 60 * 60;

/// The number of files from which one call that forces out the whole file system is cheaper than a call for each.
const MANY: usize = 16;

/// The length of a piece that is read at once.
const PIECE_BYTES: usize = 128 << 10;

/// A file that was copied, and has no name below `packages/` yet. It is closed: a source can have more files than a process may open.
pub(super) struct Copied {
    pub(super) file: NewFile,
    copy: TempPath,
}

impl Copied {
    /// Returns a reader of the copy, from its first byte.
    pub(super) fn reader(&self) -> io::Result<impl Read + Send + use<>> {
        File::open(&self.copy)
    }
}

/// Copies a file to a temporary name, and hashes it on the way.
pub(super) fn copy(path: &Path, packages: &Path) -> Result<Copied> {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let mut from = durable::open_regular(path).map_err(Error::io("open", path))?;
    let mut copy = durable::temporary(&packages.join("file"))?;
    let file = hash_into(&mut from, copy.as_file_mut(), name.into_owned());
    let file = file.map_err(Error::io("copy", path))?;
    // Readable whatever umask the process has.
    durable::set_mode(copy.path(), FILE_MODE)?;
    Ok(Copied {
        file,
        copy: copy.into_temp_path(),
    })
}

/// Copies bytes, and returns their length and digests as those of a file.
pub(super) fn hash_into(
    from: &mut impl Read,
    to: &mut impl Write,
    name: String,
) -> io::Result<NewFile> {
    let mut hasher = Hasher::with_sha512().and_md5().and_sha1();
    let mut buffer = vec![0; PIECE_BYTES];
    loop {
        let count = from.read(&mut buffer)?;
        let Some(piece) = buffer.get(..count).filter(|piece| !piece.is_empty()) else {
            break;
        };
        hasher.update(piece);
        to.write_all(piece)?;
    }
    let digests = hasher.finish();
    Ok(NewFile {
        name,
        size: digests.length,
        md5: Hex(digests.md5.unwrap_or_default()),
        sha1: Hex(digests.sha1.unwrap_or_default()),
        sha256: Hex(digests.sha256),
        sha512: Hex(digests.sha512.unwrap_or([0; 64])),
    })
}

/// Forces files to the disk: all at once, or each by itself.
pub(super) struct Forcing {
    /// Opened before the first file is written: the kernel tells of failed writes since then.
    directory: File,
    path: PathBuf,
}

impl Forcing {
    /// Begins, before any file is written.
    pub(super) fn begin(packages: &Path) -> Result<Self> {
        let directory = File::open(packages).map_err(Error::io("open the directory", packages))?;
        Ok(Self {
            directory,
            path: packages.to_owned(),
        })
    }

    fn whole(&self) -> Result<()> {
        nix::unistd::syncfs(&self.directory)
            .map_err(|errno| Error::io("force out the file system of", &self.path)(errno.into()))
    }
}

impl Store {
    /// Gives files that were copied their names below `packages/`, durably. Records the files of `others` as arriving too, which are to be
    /// there already; returns the digests of those that are not.
    pub(super) fn keep(
        &mut self,
        copied: Vec<Copied>,
        others: &BTreeSet<[u8; 32]>,
        forcing: &Forcing,
        owner: &str,
        now: Timestamp,
    ) -> Result<BTreeSet<[u8; 32]>> {
        let is_many = copied.len() >= MANY;
        match is_many {
            true => forcing.whole()?,
            false => {
                for one in &copied {
                    let forced = File::open(&one.copy).and_then(|file| file.sync_all());
                    forced.map_err(Error::io("fsync", &one.copy))?;
                }
            }
        }
        let arriving = copied.iter().map(|one| one.file.sha256.0);
        let transaction = self.write()?;
        record(
            &transaction,
            arriving.chain(others.iter().copied()),
            owner,
            now,
        )?;
        transaction.commit().map_err(StoreError::from)?;
        let mut directories = BTreeSet::new();
        for one in copied {
            let path = path_of(self.packages(), &one.file.sha256.0);
            let directory = path.parent().unwrap_or(self.packages()).to_owned();
            if directories.insert(directory.clone()) {
                durable::create_dir(&directory)?;
            }
            one.copy
                .persist(&path)
                .map_err(|error| Error::io("rename into place", &path)(error.error))?;
        }
        if is_many {
            forcing.whole()?;
        } else {
            for directory in &directories {
                durable::sync_dir(directory)?;
            }
            durable::sync_dir(self.packages())?;
        }
        let mut missing = others.clone();
        missing.retain(|sha256| !path_of(self.packages(), sha256).is_file());
        Ok(missing)
    }
}

/// Records files as arriving.
pub(super) fn record(
    db: &Connection,
    files: impl Iterator<Item = [u8; 32]>,
    owner: &str,
    now: Timestamp,
) -> Result<(), StoreError> {
    let expires = now.as_second() + ARRIVING_SECONDS;
    let sql = "INSERT INTO arriving (sha256, owner, expires) VALUES (?1, ?2, ?3)
               ON CONFLICT DO UPDATE SET expires = max(expires, excluded.expires)";
    let mut statement = db.prepare_cached(sql)?;
    for sha256 in files {
        statement.execute(params![sha256, owner, expires])?;
    }
    Ok(())
}
