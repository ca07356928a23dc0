//! `INDEX.diff/Index`: lists the old files from which a patch leads to the present one.
//!
//! Every patch leads straight to the present file, as `X-Patch-Precedence: merged` says: a client takes only the patch that
//! begins at the file it has. apt goes by the SHA256 fields; debmirror knows only those of SHA1.

use std::collections::BTreeMap;
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

/// A SHA-1, for clients that know nothing better.
pub(crate) type Sha1 = [u8; 20];

/// The SHA-1 of the unpacked files of an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Sha1s {
    /// The file that the patch leads from.
    pub old: Sha1,
    /// The script.
    pub patch: Sha1,
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
    /// The SHA-1 sums; earlier versions of this program wrote none.
    pub sha1s: Option<Sha1s>,
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
    /// The SHA-1 of the present file.
    pub current_sha1: Option<Sha1>,
    /// The patches, from the oldest file to the youngest.
    pub entries: Vec<Entry>,
}

impl DiffIndex {
    /// Returns the text of the file.
    pub(crate) fn write(&self) -> String {
        let mut text = String::new();
        if let Some(current) = self.current_sha1 {
            let _ = writeln!(
                text,
                "{}",
                line("SHA1-Current:", &current, self.current.size, "")
            );
            let sums = |entry: &Entry| Some((entry.sha1s?, entry.name.clone()));
            self.section(&mut text, "SHA1-History", |entry| {
                let (sha1s, name) = sums(entry)?;
                Some(line("", &sha1s.old, entry.old.size, &name))
            });
            self.section(&mut text, "SHA1-Patches", |entry| {
                let (sha1s, name) = sums(entry)?;
                Some(line("", &sha1s.patch, entry.patch.size, &name))
            });
        }
        let sha256 = |hashed: &Hashed, name: &str| line("", &hashed.sha256, hashed.size, name);
        // Writing into memory does not fail.
        let _ = writeln!(text, "SHA256-Current:{}", sha256(&self.current, ""));
        self.section(&mut text, "SHA256-History", |e| {
            Some(sha256(&e.old, &e.name))
        });
        self.section(&mut text, "SHA256-Patches", |e| {
            Some(sha256(&e.patch, &e.name))
        });
        self.section(&mut text, "SHA256-Download", |e| {
            Some(sha256(&e.download, &e.file_name()))
        });
        let _ = writeln!(text, "X-Patch-Precedence: merged");
        text
    }

    /// Writes a field that has a line for each patch.
    fn section(&self, text: &mut String, name: &str, line: impl Fn(&Entry) -> Option<String>) {
        let _ = writeln!(text, "{name}:");
        for line in self.entries.iter().filter_map(line) {
            let _ = writeln!(text, "{line}");
        }
    }

    /// Reads a file as [`DiffIndex::write`] writes it; `None` if it is not such a file.
    pub(crate) fn parse(text: &[u8]) -> Option<DiffIndex> {
        let stanza = Stanzas::new(text).next()?;
        let (mut current, mut current_sha1, mut merged) = (None, None, false);
        let (mut history, mut patches, mut downloads) = (Vec::new(), Vec::new(), Vec::new());
        let (mut old_sha1s, mut patch_sha1s) = (BTreeMap::new(), BTreeMap::new());
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
            } else if is("SHA1-Current") {
                current_sha1 = Some(summed(field.value)?.0);
            } else if is("SHA1-History") {
                old_sha1s = sums(field.value)?;
            } else if is("SHA1-Patches") {
                patch_sha1s = sums(field.value)?;
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
            let sha1s = old_sha1s.get(&name).zip(patch_sha1s.get(&name));
            let entry = Entry {
                old,
                patch,
                download,
                sha1s: sha1s.map(|(old, patch)| Sha1s {
                    old: *old,
                    patch: *patch,
                }),
                name,
            };
            if !is_plain(&entry.name) || entry.name != again || entry.file_name() != file {
                return None;
            }
            entries.push(entry);
        }
        Some(DiffIndex {
            current: current?,
            current_sha1,
            entries,
        })
    }
}

/// Returns whether a name can be that of a patch: of digits, letters, and single dots and dashes between them.
fn is_plain(name: &str) -> bool {
    let is_word = |word: &str| !word.is_empty() && word.bytes().all(|b| b.is_ascii_alphanumeric());
    name.split(['-', '.']).all(is_word)
}

/// Returns a hash, a length and perhaps a name, as they stand in a line.
fn line(field: &str, hash: &[u8], size: u64, name: &str) -> String {
    let text = format!("{field} {} {size} {name}", hex::encode(hash));
    text.trim_end().to_owned()
}

fn list(value: &[u8]) -> Option<Vec<(Hashed, String)>> {
    lines(value).map(hashed).collect()
}

fn sums(value: &[u8]) -> Option<BTreeMap<String, Sha1>> {
    let sums = lines(value).map(|line| {
        let (sha1, _, name) = summed(line)?;
        Some((name, sha1))
    });
    sums.collect()
}

fn lines(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    let lines = value.split(|b| *b == b'\n').map(<[u8]>::trim_ascii);
    lines.filter(|line| !line.is_empty())
}

fn hashed(line: &[u8]) -> Option<(Hashed, String)> {
    let (sha256, size, name) = summed(line)?;
    Some((Hashed { sha256, size }, name))
}

/// Parses a hash, a length, and perhaps a name.
fn summed<const N: usize>(line: &[u8]) -> Option<([u8; N], u64, String)> {
    let line = std::str::from_utf8(line).ok()?;
    let mut words = line.split_ascii_whitespace();
    let hash = hex::decode(words.next()?).ok()?.try_into().ok()?;
    let size = words.next()?.parse().ok()?;
    let name = words.next().unwrap_or_default().to_owned();
    Some((hash, size, name))
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
            sha1s: Some(Sha1s {
                old: [n; 20],
                patch: [n + 1; 20],
            }),
            name: format!("T-2026-01-0{n}-0000.00-F-2025-12-31-2359.59"),
        };
        // As earlier versions of this program wrote it.
        let of_old = |n: u8| Entry {
            sha1s: None,
            name: format!("patch{n}"),
            ..entry(n)
        };
        for (current_sha1, entries) in [
            (None, vec![]),
            (Some([7; 20]), vec![entry(1)]),
            (Some([7; 20]), vec![entry(1), entry(9)]),
            (None, vec![of_old(1), of_old(9)]),
        ] {
            let index = DiffIndex {
                current: hashed(7),
                current_sha1,
                entries,
            };
            assert_eq!(DiffIndex::parse(index.write().as_bytes()), Some(index));
        }
        for name in ["../x", "..", "a..b", "-x", "x.", "a/b"] {
            let climbing = DiffIndex {
                current: hashed(7),
                current_sha1: None,
                entries: vec![Entry {
                    name: name.into(),
                    ..entry(1)
                }],
            };
            assert_eq!(
                DiffIndex::parse(climbing.write().as_bytes()),
                None,
                "{name}"
            );
        }
        assert_eq!(DiffIndex::parse(b"SHA256-Current: 00 1\n"), None);
        assert_eq!(DiffIndex::parse(b""), None);
    }
}
