//! The checksum sections of a Release: what it says of each file that it lists.
//!
//! A Release may list files that nobody asks for, in lines that make no sense, and apt reads past most of them. So a line that is not a hash, a
//! size and a path, and a second line that contradicts the first, are put aside with the reason, and whoever wants the file of such a line
//! gets the reason instead ([`super::Release::doubt`]). apt takes the first of two lines; two that differ mean that nobody knows which is right.
//!
//! One thing refuses a Release as a whole, though nobody would ask for it: a path that leads out of the suite. No archive lists one by mistake.

use std::collections::BTreeMap;

use crate::hashing::Digests;
use crate::quoted::quoted;

use super::error::{MAX_ENTRIES, ReleaseError};

/// The facts that a Release states about one index file.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct IndexEntry {
    pub size: u64,
    pub sha256: Option<[u8; 32]>,
    pub sha512: Option<[u8; 64]>,
    /// Its MD5; only [`super::Release::weak_entries`] fills it.
    pub md5: Option<[u8; 16]>,
    /// Its SHA-1; only [`super::Release::weak_entries`] fills it.
    pub sha1: Option<[u8; 20]>,
}

impl IndexEntry {
    /// Returns whether SHA-256 and SHA-512 are those of a file, as far as the Release has them; it has one of them at least.
    pub(crate) fn has_hashes(&self, found: &Digests) -> bool {
        let sha256_fits = self.sha256.is_none_or(|hash| hash == found.sha256);
        let sha512_fits = self.sha512.is_none_or(|hash| Some(hash) == found.sha512);
        sha256_fits && sha512_fits && (self.sha256.is_some() || self.sha512.is_some())
    }
}

/// The files that a Release lists.
#[derive(Debug, Clone, Default)]
pub(super) struct Files {
    /// The files, by their paths.
    pub(super) entries: BTreeMap<String, IndexEntry>,
    /// Lines that say nothing that counts, with the reason, by the path that they seem to be about.
    pub(super) odd: BTreeMap<String, ReleaseError>,
}

impl Files {
    /// Reads a section of SHA256.
    pub(super) fn sha256(&mut self, value: &str) -> Result<(), ReleaseError> {
        self.section("SHA256", value, |e, hash| slot(&mut e.sha256, hash))
    }

    /// Reads a section of SHA512.
    pub(super) fn sha512(&mut self, value: &str) -> Result<(), ReleaseError> {
        self.section("SHA512", value, |e, hash| slot(&mut e.sha512, hash))
    }

    /// Reads a section of MD5Sum.
    pub(super) fn md5(&mut self, value: &str) -> Result<(), ReleaseError> {
        self.section("MD5Sum", value, |e, hash| slot(&mut e.md5, hash))
    }

    /// Reads a section of SHA1.
    pub(super) fn sha1(&mut self, value: &str) -> Result<(), ReleaseError> {
        self.section("SHA1", value, |e, hash| slot(&mut e.sha1, hash))
    }

    /// Reads a section. `store` puts a hash into an entry; it returns whether the hash agrees with an earlier one, or `None` if it is no hash.
    fn section(
        &mut self,
        section: &'static str,
        value: &str,
        store: impl Fn(&mut IndexEntry, &str) -> Option<bool>,
    ) -> Result<(), ReleaseError> {
        for line in value.lines().map(str::trim).filter(|l| !l.is_empty()) {
            let malformed = || ReleaseError::Entry {
                section,
                line: quoted(line),
            };
            let words: Vec<&str> = line.split_ascii_whitespace().take(4).collect();
            let path = words.get(2).or(words.last()).copied().unwrap_or(line);
            if leads_out(path) {
                return Err(ReleaseError::Path(quoted(path)));
            }
            let is_known = self.entries.contains_key(path) || self.odd.contains_key(path);
            if !is_known && self.entries.len() + self.odd.len() >= MAX_ENTRIES {
                return Err(ReleaseError::TooMany);
            }
            let why = match words.as_slice() {
                [_, _, path] if !is_plain_path(path) => ReleaseError::Path(quoted(path)),
                [hash, size, path] => match (size.parse(), self.entries.get(*path)) {
                    (Ok(size), known) => {
                        let mut entry = known.copied().unwrap_or(IndexEntry {
                            size,
                            ..IndexEntry::default()
                        });
                        match store(&mut entry, hash) {
                            Some(true) if entry.size == size => {
                                self.entries.insert((*path).to_owned(), entry);
                                continue;
                            }
                            Some(_) => ReleaseError::Contradiction(quoted(path)),
                            None => malformed(),
                        }
                    }
                    (Err(_), _) => malformed(),
                },
                _ => malformed(),
            };
            self.odd.entry(path.to_owned()).or_insert(why);
        }
        Ok(())
    }
}

fn slot<const N: usize>(slot: &mut Option<[u8; N]>, hash: &str) -> Option<bool> {
    let mut bytes = [0; N];
    hex::decode_to_slice(hash, &mut bytes).ok()?;
    let same = slot.is_none_or(|old| old == bytes);
    *slot = Some(bytes);
    Some(same)
}

/// Returns whether a path stays below its directory: relative, no empty, `.` or `..` part, nothing that a server could decode into one.
fn is_plain_path(path: &str) -> bool {
    !path.is_empty()
        && path.len() <= 1000
        && !path
            .bytes()
            .any(|b| b.is_ascii_control() || matches!(b, b'\\' | b'%' | b'?' | b'#'))
        && path.split('/').all(|part| !matches!(part, "" | "." | ".."))
}

/// Returns whether a path leads out of its directory for anybody: also for a server that decodes it, or that takes a backslash for a slash.
fn leads_out(path: &str) -> bool {
    let decoded = percent_encoding::percent_decode_str(path).decode_utf8_lossy();
    let mut parts = decoded.split(['/', '\\']);
    decoded.starts_with(['/', '\\']) || parts.any(|part| part == "..")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    const HASH: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

    fn files(lines: &str) -> Result<Files, ReleaseError> {
        let mut files = Files::default();
        files.sha256(lines).map(|()| files)
    }

    #[test]
    fn lines_that_nobody_asks_for_are_put_aside() {
        for (line, path, words) in [
            (format!("{HASH} 0 main//x"), "main//x", "not a plain path"),
            (format!("{HASH} 0 ./Release"), "./Release", "not a plain"),
            (format!("{HASH} 0 main/a%20b"), "main/a%20b", "not a plain"),
            (format!("{HASH} 0 x?y#z"), "x?y#z", "not a plain"),
            (format!("{HASH} - main/y"), "main/y", "not a hash"),
            (format!("{HASH} -1 main/y"), "main/y", "not a hash"),
            (format!("{HASH} 18446744073709551616 y"), "y", "not a hash"),
            (format!("{HASH}00 1 main/y"), "main/y", "not a hash"),
            (format!("{HASH} main/y"), "main/y", "not a hash"),
            (format!("{HASH} 1 main/y z"), "main/y", "not a hash"),
            (HASH.to_owned(), HASH, "not a hash"),
            (format!("{HASH} 1 main/x"), "main/x", "two different"),
        ] {
            let files = files(&format!("{HASH} 0 main/x\n{line}\n{HASH} 0 main/z")).unwrap();
            let why = files.odd[path].to_string();
            assert!(why.contains(words), "{line}: {why}");
            assert_eq!(files.odd.len(), 1);
            let listed: Vec<&str> = files.entries.keys().map(String::as_str).collect();
            assert_eq!(listed, ["main/x", "main/z"], "{line}");
        }
    }

    #[test]
    fn the_same_line_twice_does_no_harm() {
        let files = files(&format!("{HASH} 0 main/x\n\t{HASH}  0 main/x")).unwrap();
        assert!(files.odd.is_empty());
        assert_eq!(files.entries.len(), 1);
    }

    #[test]
    fn paths_that_lead_out_refuse_the_release() {
        for path in [
            "../x",
            "main/../../x",
            "/etc/x",
            "main/%2e%2E/x",
            "main\\..\\x",
            "%2fetc",
        ] {
            let error = files(&format!("{HASH} 0 {path}")).unwrap_err();
            assert_eq!(error, ReleaseError::Path(quoted(path)), "{path}");
        }
    }
}
