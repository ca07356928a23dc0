//! The objects of the spool: the plain texts of indices, packed, each named by its digest.

use std::io::Read;
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use crate::durable;
use crate::error::{Error, Result};
use crate::hashing::{Digests, Hasher, HashingReader};

use super::copy::{ObjectName, StoredIndex};
use super::error::SpoolError;

/// Returns the path of an object.
pub(super) fn object_path(spool: &Path, name: &ObjectName) -> PathBuf {
    let (prefix, _) = name.as_str().split_at(2);
    spool
        .join("objects")
        .join(prefix)
        .join(format!("{name}.zst"))
}

/// Returns whether an object is there as a file: anything else in its place (a FIFO) counts as none.
pub(super) fn has_object(spool: &Path, name: &ObjectName) -> bool {
    let metadata = object_path(spool, name).symlink_metadata();
    metadata.is_ok_and(|metadata| metadata.is_file())
}

/// Removes an object that cannot be read, so that the next run fetches it again. An error of the system leaves the object in place: a disk
/// that cannot be read says nothing of its content.
pub(super) fn unreadable_object(path: PathBuf, error: std::io::Error) -> Error {
    if is_of_the_system(&error) {
        return Error::io("read", path)(error);
    }
    match durable::remove_file(&path) {
        Ok(_) => SpoolError::Damaged {
            path,
            why: error.to_string(),
        }
        .into(),
        Err(error) => error,
    }
}

/// Opens an object to be read as a stream.
pub(super) fn open_object<'a>(
    spool: &Path,
    stored: &'a StoredIndex,
) -> Result<impl Read + Send + use<'a>> {
    let path = object_path(spool, &stored.sha256);
    let file = durable::open_regular(&path).map_err(Error::io("open", &path))?;
    let decoder = zstd::Decoder::new(file).map_err(Error::io("read", &path))?;
    Ok(CheckedObject {
        reader: decoder.take(stored.size.saturating_add(1)),
        hasher: Some(Hasher::new()),
        stored,
        path,
    })
}

/// Returns length and hashes of an object; `None` where the object is not what its name says, or is longer than `limit`.
pub(super) fn digests_of_object(
    path: &Path,
    name: &ObjectName,
    limit: u64,
) -> Result<Option<Digests>> {
    let file = durable::open_regular(path).map_err(Error::io("open", path))?;
    let decoder = zstd::Decoder::new(file).map_err(Error::io("read", path))?;
    let decoder = decoder.take(limit.saturating_add(1));
    let mut hashed = HashingReader::with(decoder, Hasher::with_sha512());
    match std::io::copy(&mut hashed, &mut std::io::sink()) {
        Ok(_) => {
            let (_, digests) = hashed.finish();
            Ok(name.is_of(digests.sha256).then_some(digests))
        }
        Err(error) if is_of_the_system(&error) => Err(Error::io("read", path)(error)),
        Err(_) => Ok(None),
    }
}

/// An object that is read as a stream; if it is not what was verified, its end gives an error.
struct CheckedObject<'a, R> {
    reader: R,
    hasher: Option<Hasher>,
    stored: &'a StoredIndex,
    path: PathBuf,
}

impl<R: Read> Read for CheckedObject<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let read = self.reader.read(buffer)?;
        if read > 0 {
            if let Some(hasher) = &mut self.hasher {
                hasher.update(&buffer[..read]);
            }
            return Ok(read);
        }
        if let Some(digests) = self.hasher.take().map(Hasher::finish)
            && !self.stored.sha256.is_of(digests.sha256)
        {
            let why = format!(
                "{} is not what was verified when it was fetched",
                self.path.display()
            );
            return Err(std::io::Error::new(std::io::ErrorKind::InvalidData, why));
        }
        Ok(0)
    }
}

/// Returns whether an error comes from the system, and not from a file that is damaged or gone.
fn is_of_the_system(error: &std::io::Error) -> bool {
    error.raw_os_error().is_some() && error.kind() != std::io::ErrorKind::NotFound
}

pub(super) fn read_object(path: &Path, stored: &StoredIndex) -> std::io::Result<Vec<u8>> {
    let decoder = zstd::Decoder::new(durable::open_regular(path)?)?;
    let mut data = Vec::with_capacity(usize::try_from(stored.size).unwrap_or(0).min(1 << 30));
    decoder
        .take(stored.size.saturating_add(1))
        .read_to_end(&mut data)?;
    let is_named = stored.sha256.is_of(Sha256::digest(&data).into());
    if data.len() as u64 != stored.size || !is_named {
        let why = "it is not what was verified when it was fetched";
        return Err(std::io::Error::new(std::io::ErrorKind::InvalidData, why));
    }
    Ok(data)
}
