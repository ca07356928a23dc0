//! The check of one file that a Release lists: its bytes, and the plain text that it unpacks to.
//!
//! A file of pieces is unpacked from the last checkpoint on that still holds, if there are any ([`super::checkpoints`]); every other file
//! is unpacked as a whole.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufReader, Read};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use crate::compress::Part;
use crate::compress::unpack::{PieceFile, Unpacked};
use crate::deb822::IndexEntry;
use crate::decode::{Compression, Limited, decoder};
use crate::durable;
use crate::hashing::{Digests, Hasher};
use crate::merge::reading::Reading;
use crate::spec::Form;

use super::checkpoints::{CheckedFile, Checkpoint, Checkpoints};

/// A file, as a Release lists it.
#[derive(Debug, Clone, Copy)]
pub(super) struct ListedFile<'a> {
    pub(super) path: &'a Path,
    pub(super) compression: Compression,
    pub(super) entry: &'a IndexEntry,
    /// The plain text of the file, if the Release lists it.
    pub(super) plain: Option<&'a IndexEntry>,
}

/// The checkpoints of the file that a new one follows.
#[derive(Debug, Clone, Copy)]
pub(super) struct Before<'a> {
    pub(super) checkpoints: &'a Checkpoints,
    /// The SHA-256 of the file before, in hex, if there was one.
    pub(super) name: Option<&'a str>,
}

impl ListedFile<'_> {
    /// Checks the file; returns the errors in its text that would stop a client. Without `before`, reads all of it.
    pub(super) fn check(
        &self,
        mut reading: Option<Reading>,
        before: Option<Before<'_>>,
    ) -> Result<Vec<String>, String> {
        if before.is_some_and(|before| self.holds_by_pieces(reading.as_ref(), before)) {
            return Ok(Vec::new());
        }
        let is_plain = self.compression == Compression::None;
        let mut packed_reading = reading.take_if(|_| is_plain);
        let found =
            hash(open(self.path)?, self.entry, &mut packed_reading).map_err(|e| e.to_string())?;
        compare(&found, self.entry)?;
        let Some(plain) = self.plain.filter(|_| !is_plain) else {
            return Ok(packed_reading.map_or_else(Vec::new, Reading::finish));
        };
        let unpacked = decoder(self.compression, open(self.path)?).map_err(|e| e.to_string())?;
        let unpacked = hash(Limited::new(unpacked, plain.size), plain, &mut reading)
            .map_err(|e| format!("it cannot be unpacked: {e}"))?;
        compare(&unpacked, plain).map_err(|why| format!("unpacked, {why}"))?;
        Ok(reading.map_or_else(Vec::new, Reading::finish))
    }

    /// Returns whether the file is made of pieces, and is as the Release lists it. Keeps its checkpoints then.
    fn holds_by_pieces(&self, reading: Option<&Reading>, before: Before<'_>) -> bool {
        let form = match self.compression {
            Compression::Xz => Form::Xz,
            Compression::Gzip => Form::Gz,
            _ => return false,
        };
        let begun = self
            .plain
            .and_then(|plain| PieceReading::begin(self, form, plain).ok());
        let Some(mut pieces) = begun.flatten() else {
            return false;
        };
        let known = before
            .name
            .and_then(|name| before.checkpoints.get(name))
            .filter(|known| known.is_read || reading.is_none())
            .map(|known| pieces.still_hold(known))
            .filter(|known| !known.is_empty());
        let record = known
            .and_then(|known| pieces.read(known, reading.cloned()))
            .or_else(|| pieces.read(Vec::new(), reading.cloned()));
        if let Some(record) = &record {
            before.checkpoints.put(&pieces.name, record);
        }
        record.is_some()
    }
}

/// A file of pieces that is being read; as a whole, it is as the Release lists it.
struct PieceReading<'a> {
    file: PieceFile,
    plain: &'a IndexEntry,
    /// The SHA-256 of the file, in hex.
    name: String,
    /// The SHA-256 of the file up to each offset at which a piece may end.
    begins: BTreeMap<u64, [u8; 32]>,
}

impl<'a> PieceReading<'a> {
    /// Hashes a file; returns `None` if it is not made of pieces, or not what the Release lists.
    fn begin(
        listed: &ListedFile<'_>,
        form: Form,
        plain: &'a IndexEntry,
    ) -> io::Result<Option<PieceReading<'a>>> {
        let Some(mut file) = PieceFile::open(form, durable::open_regular(listed.path)?)? else {
            return Ok(None);
        };
        let mut ends = file.ends().into_iter().peekable();
        let mut begins = BTreeMap::new();
        let mut hasher = hasher(listed.entry);
        let mut at = 0;
        each_part(file.packed()?, |mut bytes| {
            while let Some(end) = ends.next_if(|end| end - at <= bytes.len() as u64) {
                let (first, rest) = bytes.split_at((end - at) as usize);
                hasher.update(first);
                begins.insert(end, hasher.sha256_so_far());
                (bytes, at) = (rest, end);
            }
            hasher.update(bytes);
            at += bytes.len() as u64;
        })?;
        let found = hasher.finish();
        let is_listed = compare(&found, listed.entry).is_ok();
        Ok(is_listed.then(|| PieceReading {
            file,
            plain,
            name: hex::encode(found.sha256),
            begins,
        }))
    }

    /// Returns the checkpoints of another file up to the last one at which this file has the same bytes.
    fn still_hold(&self, known: CheckedFile) -> Vec<Checkpoint> {
        let mut at = self.file.first();
        let holds = |checkpoint: &Checkpoint| {
            at = at.saturating_add(checkpoint.part.packed);
            self.begins.get(&at) == Some(&checkpoint.begin)
        };
        known.pieces.into_iter().take_while(holds).collect()
    }

    /// Unpacks the pieces that follow the known ones. Returns the checkpoints of the file if it unpacks to what the Release lists, and no
    /// stanza in it stops apt.
    fn read(
        &mut self,
        known: Vec<Checkpoint>,
        mut reading: Option<Reading>,
    ) -> Option<CheckedFile> {
        let mut hasher = hasher(self.plain);
        if let Some(last) = known.last() {
            hasher = Hasher::import(&last.state).filter(|found| found.is_like(&hasher))?;
        }
        let first: Vec<Part> = known.iter().map(|checkpoint| checkpoint.part).collect();
        let sum = |length: fn(&Part) -> u64| first.iter().map(length).fold(0, u64::saturating_add);
        let mut at = self.file.first().saturating_add(sum(|part| part.packed));
        let max = self.plain.size.checked_sub(sum(|part| part.plain))?;
        let is_read = reading.is_some();
        let mut pieces = known;
        let mut has_whole_stanzas = true;
        self.file
            .unpack(&first, max, &mut |unpacked| match unpacked {
                Unpacked::Text(text) => {
                    hasher.update(text);
                    if let Some(reading) = &mut reading {
                        reading.update(text);
                    }
                }
                Unpacked::End(part) => {
                    at += part.packed;
                    has_whole_stanzas &= reading.as_ref().is_none_or(Reading::is_as_new);
                    if let Some(begin) = self.begins.get(&at).filter(|_| has_whole_stanzas) {
                        pieces.push(Checkpoint {
                            part,
                            begin: *begin,
                            state: hasher.export(),
                        });
                    }
                }
            })
            .ok()?;
        compare(&hasher.finish(), self.plain).ok()?;
        let faults = reading.map_or_else(Vec::new, Reading::finish);
        faults.is_empty().then_some(CheckedFile { is_read, pieces })
    }
}

/// Returns a hasher of everything that an entry has a hash of.
fn hasher(expected: &IndexEntry) -> Hasher {
    let mut hasher = Hasher::new();
    if expected.sha512.is_some() {
        hasher = hasher.and_sha512();
    }
    if expected.md5.is_some() {
        hasher = hasher.and_md5();
    }
    if expected.sha1.is_some() {
        hasher = hasher.and_sha1();
    }
    hasher
}

/// Reads to the end, part by part.
fn each_part(mut reader: impl Read, mut take: impl FnMut(&[u8])) -> io::Result<()> {
    let mut buffer = vec![0; 256 << 10];
    loop {
        match reader.read(&mut buffer) {
            Ok(0) => return Ok(()),
            Ok(n) => take(&buffer[..n]),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

fn hash(
    reader: impl Read,
    expected: &IndexEntry,
    reading: &mut Option<Reading>,
) -> io::Result<Digests> {
    let mut hasher = hasher(expected);
    each_part(reader, |text| {
        hasher.update(text);
        if let Some(reading) = reading {
            reading.update(text);
        }
    })?;
    Ok(hasher.finish())
}

fn open(path: &Path) -> Result<BufReader<File>, String> {
    let file = durable::open_regular(path).map_err(|e| e.to_string())?;
    Ok(BufReader::with_capacity(256 << 10, file))
}

fn compare(found: &Digests, expected: &IndexEntry) -> Result<(), String> {
    if found.length != expected.size {
        return Err(format!(
            "it has {} bytes, the Release says {}",
            found.length, expected.size
        ));
    }
    if !expected.has_hashes(found) {
        return Err("its hash is not the one in the Release".into());
    }
    let md5_fits = expected.md5.is_none_or(|hash| Some(hash) == found.md5);
    let sha1_fits = expected.sha1.is_none_or(|hash| Some(hash) == found.sha1);
    if !md5_fits || !sha1_fits {
        return Err("its MD5 or SHA-1 is not the one in the Release".into());
    }
    Ok(())
}

/// Checks the name of a file under by-hash: a second name of the same file, or a file of the same bytes.
pub(super) fn check_by_hash(path: &Path, file: &Path, entry: &IndexEntry) -> Result<(), String> {
    let (hashed, named) = (path.metadata(), file.metadata());
    let (Ok(hashed), Ok(named)) = (hashed, named) else {
        return Err("it is not there, though the Release says Acquire-By-Hash".into());
    };
    if (hashed.dev(), hashed.ino()) == (named.dev(), named.ino()) {
        return Ok(());
    }
    let found = hash(open(path)?, entry, &mut None).map_err(|e| e.to_string())?;
    compare(&found, entry)
}

#[cfg(test)]
mod tests;
