//! Tries patches on the texts that they start from.
//!
//! A tree keeps older indices under by-hash for a while. If the text that a patch starts from is among them, the patch is applied to
//! it, and must make what the Release lists. Nothing is taken from any record, so this also finds faults in what was published before
//! patches were proven ([`super::proof`]). A patch whose start is no longer there is only counted, since nothing else can be said of it.

use std::fs::{self, File};
use std::io::{self, BufReader, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use rayon::prelude::*;

use crate::decode::{Compression, Limited, decoder};
use crate::durable;
use crate::hashing::HashingReader;
use crate::pdiff::index::{DiffIndex, Entry, Hashed};
use crate::pdiff::{Patch, ed};

use super::proof;

/// The result of trying a patch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Tried {
    /// The patch makes the present text.
    Holds,
    /// The text that the patch starts from is not there.
    HasNoStart,
    /// The patch does not make the present text; the reason.
    Fails(String),
}

/// Applies each patch of a list. `path` is that of the list; the older indices lie under by-hash in the directory above.
pub(super) fn try_each(path: &Path, index: &DiffIndex) -> Vec<Tried> {
    let files = older(path).unwrap_or_default();
    let mut starts: Vec<Option<&PathBuf>> = vec![None; index.entries.len()];
    // A gzip file has the length of its plain text at its end.
    for (file, _) in files.iter().filter(|(_, c)| *c == Compression::Gzip) {
        let Ok(length) = gzip_length(file) else {
            continue;
        };
        let is_long = |entry: &Entry| entry.old.size as u32 == length;
        if index.entries.iter().any(is_long) {
            note(&mut starts, index, file, Compression::Gzip);
        }
    }
    for (file, compression) in files.iter().filter(|(_, c)| *c != Compression::Gzip) {
        if starts.iter().all(Option::is_some) {
            break;
        }
        note(&mut starts, index, file, *compression);
    }
    let tried = index.entries.par_iter().zip(starts);
    let tried = tried.map(|(entry, start)| match start {
        None => Tried::HasNoStart,
        Some(start) => fault(path, index.current, entry, start).map_or(Tried::Holds, Tried::Fails),
    });
    tried.collect()
}

/// Notes which patches start from a file.
fn note<'f>(
    starts: &mut [Option<&'f PathBuf>],
    index: &DiffIndex,
    file: &'f PathBuf,
    compression: Compression,
) {
    let longest = index.entries.iter().map(|entry| entry.old.size).max();
    let Ok(found) = hashed(file, compression, longest.unwrap_or(0)) else {
        return;
    };
    for (start, entry) in starts.iter_mut().zip(&index.entries) {
        if entry.old == found {
            *start = Some(file);
        }
    }
}

/// Returns why a patch is not what it should be.
fn fault(path: &Path, current: Hashed, entry: &Entry, start: &Path) -> Option<String> {
    let file = path.with_file_name(entry.file_name());
    let packed = match durable::read_regular(&file) {
        Ok(packed) => packed,
        Err(error) => return Some(error.to_string()),
    };
    let Some(patch) = unpack(&packed, entry) else {
        return Some("it is not the script that the Index lists".to_owned());
    };
    let text = compression_of(start).and_then(|compression| open(start, compression));
    match text.map(|text| {
        proof::makes(&patch, proof::Beginning::none(), text, entry.old, current).is_some()
    }) {
        Ok(true) => None,
        Ok(false) => Some(format!(
            "it does not make the present index of {}, which it starts from: clients that have that can read nothing after it",
            start.display()
        )),
        Err(error) => Some(format!("{}: {error}", start.display())),
    }
}

/// Returns the compressed files under by-hash beside an index.
fn older(path: &Path) -> io::Result<Vec<(PathBuf, Compression)>> {
    let dir = path.parent().and_then(Path::parent).unwrap_or(path);
    let mut files = Vec::new();
    for entry in fs::read_dir(dir.join("by-hash/SHA256"))? {
        let path = entry?.path();
        let compression = compression_of(&path)?;
        if compression != Compression::None {
            files.push((path, compression));
        }
    }
    files.sort();
    Ok(files)
}

/// Returns the compression that the first bytes of a file show.
fn compression_of(path: &Path) -> io::Result<Compression> {
    let mut start = Vec::new();
    durable::open_regular(path)?
        .take(6)
        .read_to_end(&mut start)?;
    Ok(match start.as_slice() {
        [0x1f, 0x8b, ..] => Compression::Gzip,
        [0xfd, b'7', b'z', b'X', b'Z', 0] => Compression::Xz,
        _ => Compression::None,
    })
}

/// Returns the length, modulo 2^32, of the plain text of a gzip file with one member.
fn gzip_length(path: &Path) -> io::Result<u32> {
    let mut file = durable::open_regular(path)?;
    let mut length = [0; 4];
    file.seek(SeekFrom::End(-4))?;
    file.read_exact(&mut length)?;
    Ok(u32::from_le_bytes(length))
}

fn open(path: &Path, compression: Compression) -> io::Result<Box<dyn Read + Send>> {
    let file: File = durable::open_regular(path)?;
    let reader = BufReader::with_capacity(256 << 10, file);
    Ok(Box::new(
        decoder(compression, reader).map_err(io::Error::other)?,
    ))
}

fn hashed(path: &Path, compression: Compression, limit: u64) -> io::Result<Hashed> {
    let mut reader = HashingReader::new(Limited::new(open(path, compression)?, limit));
    io::copy(&mut reader, &mut io::sink())?;
    let (_, digests) = reader.finish();
    Ok(Hashed {
        sha256: digests.sha256,
        size: digests.length,
    })
}

/// Unpacks the patch in a compressed script; `None` if it is not what its list says.
pub(super) fn unpack(packed: &[u8], entry: &Entry) -> Option<Patch> {
    let mut script = Vec::new();
    let reader = flate2::read::GzDecoder::new(packed);
    reader
        .take(entry.patch.size + 1)
        .read_to_end(&mut script)
        .ok()?;
    (Hashed::of(&script) == entry.patch)
        .then(|| ed::parse(&script).ok())
        .flatten()
}
