//! Fetches one index from the archive into the spool, and checks both of its hashes on the way: that of the packed file and that of the
//! plain text.
//!
//! An object that is in the spool already is believed as little as a downloaded file: its length and its SHA-512 are compared with each
//! Release that lists it. So one archive can neither spoil nor remove what another archive's copy needs.

use std::fs::File;
use std::io::{self, BufReader, Read, Seek, SeekFrom, Write};
use std::path::Path;

use crate::deb822::{IndexEntry, Release};
use crate::decode::{self, Compression, Limited, decoder};
use crate::durable;
use crate::error::Error;
use crate::events::Progress;
use crate::hashing::{Digests, Hasher, HashingWriter};
use crate::spec::HashKind;
use crate::uri::Uri;

use super::FetchError;
use super::copy::{ObjectName, StoredIndex, forms};
use super::looks::{LOOKED_AT_BYTES, Looks};
use super::metered::Metered;
use super::object::{digests_of_object, has_object, object_path};
use super::transport::{self, Conditions, Fetched, Transport};

/// zstd's level for objects: quick, since they are written once and read often.
const OBJECT_LEVEL: i32 = 3;

/// The inputs for fetching one index.
pub(super) struct IndexFetch<'a> {
    pub(super) base: &'a Uri,
    pub(super) release: &'a Release,
    /// The path of the index's plain form below the suite.
    pub(super) plain: &'a str,
    pub(super) transport: &'a Transport,
    pub(super) spool: &'a Path,
    /// The most bytes that the index may have unpacked, and the setting or rule that says so.
    pub(super) max_plain: (u64, &'static str),
    /// The index that the last good copy of the suite has under this name.
    pub(super) known: Option<&'a StoredIndex>,
    /// Returns `true` when the fetch is to give up.
    pub(super) cancelled: &'a (dyn Fn() -> bool + Sync),
    /// The progress of the suite, in bytes as they are transferred.
    pub(super) progress: &'a dyn Progress,
}

impl IndexFetch<'_> {
    pub(super) fn run(&self) -> Result<StoredIndex, FetchError> {
        let plain = self.release.entries.get(self.plain);
        if let Some(entry) = plain {
            if entry.size > self.max_plain.0 {
                return Err(self.too_large(&self.base.join(self.plain)?, entry.size));
            }
            if let Some(stored) = self.stored_already(entry)? {
                return Ok(stored);
            }
            if entry.size == 0 {
                return self.unpack(
                    io::empty(),
                    Compression::None,
                    plain,
                    &self.base.join(self.plain)?,
                );
            }
        }
        let mut refusal = None;
        for (path, entry, compression) in forms(self.release, self.plain) {
            let uri = self.base.join(&path)?;
            if entry.size > self.max_packed(plain) {
                refusal.get_or_insert(FetchError::Swollen {
                    uri: uri.to_string(),
                    size: entry.size,
                });
                continue;
            }
            match self.download(&path, &uri, entry, compression) {
                Ok(file) => return self.unpack(file, compression, plain, &uri),
                Err(error @ FetchError::Missing { .. }) => {
                    refusal.get_or_insert(error);
                }
                Err(error) => return Err(error),
            }
        }
        Err(refusal.unwrap_or(FetchError::Missing {
            uri: self.base.join(self.plain)?.to_string(),
            is_refused: false,
        }))
    }

    fn too_large(&self, uri: &Uri, size: u64) -> FetchError {
        FetchError::TooLarge {
            uri: uri.to_string(),
            size,
            bound: self.max_plain.1,
        }
    }

    /// Returns the most bytes that a compressed form may have: packing lets no file grow by more than this.
    fn max_packed(&self, plain: Option<&IndexEntry>) -> u64 {
        let plain = plain.map_or(self.max_plain.0, |entry| entry.size);
        plain.saturating_add(plain / 8).saturating_add(64 << 10)
    }

    /// Looks for an object of the spool that is the index which the Release lists, whichever archive brought it. Its name is its
    /// SHA-256. Its size and SHA-512 are checked as well, unless the Release has no SHA-512 and the last copy already used this object.
    fn stored_already(&self, entry: &IndexEntry) -> Result<Option<StoredIndex>, FetchError> {
        let Some(sha256) = entry.sha256.map(ObjectName::new) else {
            return Ok(None);
        };
        let stored = StoredIndex {
            sha256,
            size: entry.size,
        };
        let path = object_path(self.spool, &stored.sha256);
        if !has_object(self.spool, &stored.sha256) {
            return Ok(None);
        }
        if entry.sha512.is_none() && self.known == Some(&stored) {
            return Ok(Some(stored));
        }
        // The length in this Release is no limit here: another archive's copy may need the object.
        match digests_of_object(&path, &stored.sha256, u64::MAX)? {
            Some(digests) => {
                check(&digests, entry, &self.base.join(self.plain)?, " unpacked")?;
                Ok(Some(stored))
            }
            None => {
                // The object was damaged on our own disk.
                durable::remove_file(&path)?;
                Ok(None)
            }
        }
    }

    /// Returns whether the spool has an object, and it is what its name says.
    fn has_whole_object(&self, stored: &StoredIndex) -> Result<bool, FetchError> {
        let path = object_path(self.spool, &stored.sha256);
        let found = match has_object(self.spool, &stored.sha256) {
            true => digests_of_object(&path, &stored.sha256, stored.size)?,
            false => None,
        };
        Ok(found.is_some_and(|found| found.length == stored.size))
    }

    /// Downloads a file, by its hash where the archive offers by-hash, and checks length and hash.
    fn download(
        &self,
        path: &str,
        uri: &Uri,
        entry: &IndexEntry,
        compression: Compression,
    ) -> Result<File, FetchError> {
        let mut candidates = Vec::new();
        if self.release.says_yes("Acquire-By-Hash") {
            let hashes = [
                (HashKind::Sha512, entry.sha512.map(hex::encode)),
                (HashKind::Sha256, entry.sha256.map(hex::encode)),
            ];
            for (kind, hash) in hashes {
                if let Some(hash) = hash {
                    candidates.push(self.base.join(&kind.by_hash(path, &hash))?);
                }
            }
        }
        let by_hash = candidates.len();
        candidates.push(uri.clone());
        let mut is_refused = false;
        for (at, candidate) in candidates.into_iter().enumerate() {
            let file = tempfile::tempfile_in(self.spool)
                .map_err(Error::io("create a temporary file in", self.spool))?;
            let sink = HashingWriter::with(file, Hasher::with_sha512());
            let mut sink = Metered {
                inner: sink,
                progress: self.progress,
            };
            let fetched = self.transport.fetch(
                &candidate,
                &Conditions::default(),
                entry.size,
                &mut sink,
                self.cancelled,
            );
            match fetched {
                Ok(Fetched::NotFound) => continue,
                Ok(Fetched::NotModified | Fetched::Stored { .. }) => {}
                Err(transport::Error::Denied { status: 403, .. }) => {
                    is_refused = at == by_hash;
                    continue;
                }
                // Some servers do not let by-hash be read. The file under the plain name is checked against the same hash.
                Err(transport::Error::Denied { .. } | transport::Error::Status { .. })
                    if at < by_hash =>
                {
                    continue;
                }
                Err(error @ transport::Error::TooLarge { .. }) => {
                    let (mut file, _) = sink.inner.finish();
                    return Err(unlike(error.into(), &mut file, compression));
                }
                Err(error) => return Err(self.failed(error)),
            }
            let (mut file, digests) = sink.inner.finish();
            check(&digests, entry, &candidate, "")
                .map_err(|error| unlike(error, &mut file, compression))?;
            file.seek(SeekFrom::Start(0))
                .map_err(Error::io("read a temporary file in", self.spool))?;
            return Ok(file);
        }
        Err(FetchError::Missing {
            uri: uri.to_string(),
            is_refused,
        })
    }

    /// Turns a transport error into a fetch error. A full disk of ours is not the mirror's fault.
    fn failed(&self, error: transport::Error) -> FetchError {
        match error {
            transport::Error::Sink { source, .. } => {
                Error::io("write a temporary file in", self.spool)(source).into()
            }
            other => other.into(),
        }
    }

    /// Unpacks a file into an object of the spool, and checks length and hash of what comes out.
    fn unpack(
        &self,
        file: impl Read + Send,
        compression: Compression,
        plain: Option<&IndexEntry>,
        uri: &Uri,
    ) -> Result<StoredIndex, FetchError> {
        let limit = plain.map_or(self.max_plain.0, |entry| entry.size);
        let objects = self.spool.join("objects");
        let temporary = durable::temporary(&objects.join("x"))?;
        let failed = |source: io::Error| FetchError::from(Error::io("write to", &objects)(source));
        let encoder = zstd::Encoder::new(temporary, OBJECT_LEVEL).map_err(failed)?;
        let mut sink = HashingWriter::with(encoder, Hasher::with_sha512());
        let unpacked =
            decoder(compression, BufReader::with_capacity(128 << 10, file)).map_err(failed)?;
        copy(&mut Limited::new(unpacked, limit), &mut sink).map_err(|failure| match failure {
            Failure::Write(source) => failed(source),
            Failure::Read(source) if is_over_limit(&source) && plain.is_none() => {
                self.too_large(uri, limit)
            }
            Failure::Read(source) => FetchError::Unpack {
                uri: uri.to_string(),
                source,
            },
        })?;
        let (encoder, digests) = sink.finish();
        if let Some(entry) = plain {
            check(&digests, entry, uri, " unpacked")?;
        }
        let temporary = encoder.finish().map_err(failed)?;
        let stored = StoredIndex {
            sha256: ObjectName::new(digests.sha256),
            size: digests.length,
        };
        let path = object_path(self.spool, &stored.sha256);
        // A reader may have the object open, and not every file system lets it read on once another file has the name (FUSE).
        if self.has_whole_object(&stored)? {
            return Ok(stored);
        }
        if let Some(dir) = path.parent() {
            durable::create_dir(dir)?;
            durable::persist(temporary, &path, None)?;
            durable::sync_dir(dir)?;
        }
        Ok(stored)
    }
}

/// Adds to an error what the file looks like, if that is not what its name says.
fn unlike(error: FetchError, file: &mut File, expected: Compression) -> FetchError {
    let mut start = Vec::new();
    let read = file
        .seek(SeekFrom::Start(0))
        .and_then(|_| file.take(LOOKED_AT_BYTES as u64).read_to_end(&mut start));
    let found = read.ok().and_then(|_| Looks::of(&start));
    let is_telling = |looks: &Looks| match (looks, expected) {
        // The length says so already.
        (Looks::Empty, _) | (Looks::Text, Compression::None) => false,
        (Looks::Gzip, Compression::Gzip) | (Looks::Xz, Compression::Xz) => false,
        (Looks::Bzip2, Compression::Bzip2) | (Looks::Zstd, Compression::Zstd) => false,
        _ => true,
    };
    match found.filter(is_telling) {
        Some(looks) => FetchError::Unlike {
            error: Box::new(error),
            looks,
        },
        None => error,
    }
}

/// Returns how many bytes of an index will be transferred, as far as the Release tells: none if the spool has the index already.
pub(super) fn planned_bytes(release: &Release, plain: &str, spool: &Path) -> u64 {
    let entry = release.entries.get(plain);
    let sha256 = entry.and_then(|entry| entry.sha256).map(ObjectName::new);
    if entry.is_some_and(|entry| entry.size == 0)
        || sha256.is_some_and(|sha256| has_object(spool, &sha256))
    {
        return 0;
    }
    let first = forms(release, plain).into_iter().next();
    first.map_or(0, |(_, entry, _)| entry.size)
}

enum Failure {
    Read(io::Error),
    Write(io::Error),
}

/// Copies, and tells whether reading or writing failed: a bad upstream and a full disk are different failures.
fn copy(from: &mut impl Read, to: &mut impl Write) -> Result<(), Failure> {
    let mut buffer = vec![0; 128 << 10];
    loop {
        match from.read(&mut buffer) {
            Ok(0) => return Ok(()),
            Ok(n) => to.write_all(&buffer[..n]).map_err(Failure::Write)?,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(Failure::Read(error)),
        }
    }
}

/// Compares a file's length and hashes with those that the Release lists.
fn check(
    found: &Digests,
    expected: &IndexEntry,
    uri: &Uri,
    unpacked: &'static str,
) -> Result<(), FetchError> {
    let uri = uri.to_string();
    if found.length != expected.size {
        return Err(FetchError::WrongSize {
            uri,
            found: found.length,
            expected: expected.size,
            unpacked,
        });
    }
    match expected.has_hashes(found) {
        true => Ok(()),
        false => Err(FetchError::WrongHash { uri, unpacked }),
    }
}

/// Returns whether the decoder refused a stream because it is longer than allowed.
fn is_over_limit(error: &io::Error) -> bool {
    matches!(
        decode::Error::of(error),
        Some(decode::Error::TooLarge { .. })
    )
}
