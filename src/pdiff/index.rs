//! `INDEX.diff/Index`: lists the old files from which a patch leads to the present one.
//!
//! Every patch leads straight to the present file, as `X-Patch-Precedence: merged` says: a client takes only the patch that
//! begins at the file it has. Only SHA256 fields are written; every client that knows them needs no older ones.

use std::fmt::Write;

use sha2::{Digest, Sha256};

use crate::deb822::{Stanzas, eq_name};

/// Hash and length of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Hashed {
    pub sha256: [u8; 32],
    pub size: u64,
}

impl Hashed {
    /// Returns hash and length of some bytes.
    pub(crate) fn of(bytes: &[u8]) -> Self {
        Self {
            sha256: Sha256::digest(bytes).into(),
            size: bytes.len() as u64,
        }
    }
}

/// A patch to the present file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Entry {
    /// The file that the patch leads from, unpacked.
    pub old: Hashed,
    /// The script, unpacked.
    pub patch: Hashed,
    /// The file that is fetched: the script as gzip.
    pub download: Hashed,
    /// The name of the script; the file that is fetched ends in `.gz`.
    pub name: String,
}

impl Entry {
    /// Returns the name of the file that is fetched.
    pub(crate) fn file_name(&self) -> String {
        format!("{}.gz", self.name)
    }
}

/// The list of patches to a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct DiffIndex {
    /// The present file, unpacked.
    pub current: Hashed,
    /// The patches, from the oldest file to the youngest.
    pub entries: Vec<Entry>,
}

impl DiffIndex {
    /// Returns the text of the file.
    pub(crate) fn write(&self) -> String {
        let mut text = String::new();
        let line = |hashed: &Hashed, name: &str| {
            format!(" {} {} {name}", hex::encode(hashed.sha256), hashed.size)
        };
        // Writing into memory does not fail.
        let _ = writeln!(
            text,
            "SHA256-Current:{}",
            line(&self.current, "").trim_end()
        );
        let _ = writeln!(text, "SHA256-History:");
        for entry in &self.entries {
            let _ = writeln!(text, "{}", line(&entry.old, &entry.name));
        }
        let _ = writeln!(text, "SHA256-Patches:");
        for entry in &self.entries {
            let _ = writeln!(text, "{}", line(&entry.patch, &entry.name));
        }
        let _ = writeln!(text, "SHA256-Download:");
        for entry in &self.entries {
            let _ = writeln!(text, "{}", line(&entry.download, &entry.file_name()));
        }
        let _ = writeln!(text, "X-Patch-Precedence: merged");
        text
    }

    /// Reads a file as [`DiffIndex::write`] writes it; `None` if it is not such a file.
    pub(crate) fn parse(text: &[u8]) -> Option<DiffIndex> {
        let stanza = Stanzas::new(text).next()?;
        let (mut current, mut merged) = (None, false);
        let (mut history, mut patches, mut downloads) = (Vec::new(), Vec::new(), Vec::new());
        for field in stanza.fields() {
            let field = field.ok()?;
            let is = |name| eq_name(field.name, name);
            if is("SHA256-Current") {
                current = Some(hashed(field.value)?.0);
            } else if is("SHA256-History") {
                history = list(field.value)?;
            } else if is("SHA256-Patches") {
                patches = list(field.value)?;
            } else if is("SHA256-Download") {
                downloads = list(field.value)?;
            } else if is("X-Patch-Precedence") {
                merged = field.value == b"merged";
            }
        }
        let same_length = history.len() == patches.len() && history.len() == downloads.len();
        if !merged || !same_length {
            return None;
        }
        let mut entries = Vec::new();
        for (((old, name), (patch, again)), (download, file)) in
            history.into_iter().zip(patches).zip(downloads)
        {
            let entry = Entry {
                old,
                patch,
                download,
                name,
            };
            let plain = entry.name.bytes().all(|b| b.is_ascii_alphanumeric());
            if !plain || entry.name != again || entry.file_name() != file {
                return None;
            }
            entries.push(entry);
        }
        Some(DiffIndex {
            current: current?,
            entries,
        })
    }
}

fn list(value: &[u8]) -> Option<Vec<(Hashed, String)>> {
    let lines = value.split(|b| *b == b'\n').map(<[u8]>::trim_ascii);
    lines.filter(|line| !line.is_empty()).map(hashed).collect()
}

/// Parses a hash, a length, and perhaps a name.
fn hashed(line: &[u8]) -> Option<(Hashed, String)> {
    let line = std::str::from_utf8(line).ok()?;
    let mut words = line.split_ascii_whitespace();
    let sha256 = hex::decode(words.next()?).ok()?.try_into().ok()?;
    let size = words.next()?.parse().ok()?;
    let name = words.next().unwrap_or_default().to_owned();
    Some((Hashed { sha256, size }, name))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn it_is_read_back_as_it_was() {
        let hashed = |n: u8| Hashed {
            sha256: [n; 32],
            size: u64::from(n) * 1000,
        };
        let entry = |n: u8| Entry {
            old: hashed(n),
            patch: hashed(n + 1),
            download: hashed(n + 2),
            name: format!("patch{n}"),
        };
        for entries in [vec![], vec![entry(1)], vec![entry(1), entry(9)]] {
            let index = DiffIndex {
                current: hashed(7),
                entries,
            };
            assert_eq!(DiffIndex::parse(index.write().as_bytes()), Some(index));
        }
        let climbing = DiffIndex {
            current: hashed(7),
            entries: vec![Entry {
                name: "../x".into(),
                ..entry(1)
            }],
        };
        assert_eq!(DiffIndex::parse(climbing.write().as_bytes()), None);
        assert_eq!(DiffIndex::parse(b"SHA256-Current: 00 1\n"), None);
        assert_eq!(DiffIndex::parse(b""), None);
    }
}
