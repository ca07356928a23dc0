//! Release files: the fields of an archive's suite, and the sizes and digests of its indices.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;

use crate::quoted::quoted;

use super::checksums::{Files, IndexEntry};
use super::error::ReleaseError;
use super::parse_date;
use super::stanza::{Stanza, Stanzas, SyntaxError};

/// The longest time that a Release may be dated ahead of our clock (apt's own bound).
const MAX_AHEAD: Duration = Duration::from_secs(10);

/// Returns whether a Date lies so far in the future that clients refuse its Release.
pub fn is_ahead(date: Timestamp, now: Timestamp) -> bool {
    date > now.checked_add(MAX_AHEAD).unwrap_or(Timestamp::MAX)
}

/// A parsed Release file.
#[derive(Debug, Clone)]
pub struct Release {
    fields: BTreeMap<String, (String, String)>,
    /// The time at which it was made.
    pub date: Timestamp,
    /// The reason why `date` is not its own Date, but the time of its signature.
    pub(crate) undated: Option<ReleaseError>,
    /// The time until which it may be trusted.
    pub valid_until: Option<Timestamp>,
    /// The reason why its Valid-Until does not count.
    pub(crate) unknown_expiry: Option<ReleaseError>,
    /// The files that it lists, by path below the suite's directory.
    pub(crate) entries: BTreeMap<String, IndexEntry>,
    /// Lines about files that say nothing that counts, with the reason, by the path that they seem to be about.
    odd: BTreeMap<String, ReleaseError>,
}

impl Release {
    /// Parses the bytes of a Release of ours; every line of it counts.
    pub(crate) fn parse(data: &[u8]) -> Result<Release, ReleaseError> {
        let release = Self::parse_upstream(data, Timestamp::MIN)?;
        match release.fault() {
            Some(why) => Err(why.clone()),
            None => Ok(release),
        }
    }

    /// Returns a fault that an archive's Release may have.
    fn fault(&self) -> Option<&ReleaseError> {
        let dates = self.undated.as_ref().or(self.unknown_expiry.as_ref());
        dates.or(self.odd.values().next())
    }

    /// Parses the verified bytes of an archive's Release, which was signed at a time. This time stands for a Date that is missing or that
    /// apt cannot read. Lines about files that nobody asks for may make no sense.
    pub(crate) fn parse_upstream(data: &[u8], signed: Timestamp) -> Result<Release, ReleaseError> {
        let mut stanzas = Stanzas::new(data);
        let (Some(stanza), None) = (stanzas.next(), stanzas.next()) else {
            return Err(ReleaseError::Stanzas(Stanzas::new(data).count()));
        };
        let mut fields = BTreeMap::new();
        let mut files = Files::default();
        let mut strong = false;
        for (name, value) in text_fields(data, stanza)? {
            let key = name.to_ascii_lowercase();
            match key.as_str() {
                "sha256" => files.sha256(&value)?,
                "sha512" => files.sha512(&value)?,
                _ => {}
            }
            strong |= matches!(key.as_str(), "sha256" | "sha512");
            let kept = match key.as_str() {
                "sha256" | "sha512" => String::new(),
                _ => value,
            };
            if fields.insert(key, (name.clone(), kept)).is_some() {
                return Err(ReleaseError::Doubled(quoted(&name)));
            }
        }
        if !strong {
            return Err(ReleaseError::NoStrongHash);
        }
        let text = |name: &str| {
            fields
                .get(name)
                .map(|(_, value): &(String, String)| value.as_str())
        };
        let date = text("date").ok_or(ReleaseError::Missing("Date"));
        let (date, undated) = match date.and_then(|date| date_field("Date", date)) {
            Ok(date) => (date, None),
            Err(why) => (signed, Some(why)),
        };
        let valid_until = text("valid-until").filter(|v| !v.is_empty());
        let valid_until = valid_until.map(|v| date_field("Valid-Until", v));
        let (valid_until, unknown_expiry) = match valid_until.transpose() {
            Ok(valid_until) => (valid_until, None),
            Err(why) => (None, Some(why)),
        };
        Ok(Release {
            fields,
            date,
            undated,
            valid_until,
            unknown_expiry,
            entries: files.entries,
            odd: files.odd,
        })
    }

    /// Returns the paths of all its lines, also of those that say nothing that counts.
    pub(crate) fn paths(&self) -> impl Iterator<Item = &str> {
        let sound = self.entries.keys();
        sound.chain(self.odd.keys()).map(String::as_str)
    }

    /// Returns whether a line is about a path, whatever the line says.
    pub(crate) fn lists(&self, path: &str) -> bool {
        self.entries.contains_key(path) || self.odd.contains_key(path)
    }

    /// Returns why nothing is known of a path that it lists.
    pub(crate) fn doubt(&self, path: &str) -> Option<&ReleaseError> {
        self.odd.get(path)
    }

    /// Returns the value of a field, `None` if it is missing or empty.
    pub fn field(&self, name: &str) -> Option<&str> {
        let (_, value) = self.fields.get(&name.to_ascii_lowercase())?;
        (!value.is_empty()).then_some(value)
    }

    /// Returns whether a field says `yes`.
    pub(crate) fn says_yes(&self, name: &str) -> bool {
        self.field(name)
            .is_some_and(|v| v.eq_ignore_ascii_case("yes"))
    }

    /// Returns whether the Release is that of a suite, by its Suite or its Codename. `buster/updates` may call itself `buster`, as apt
    /// allows.
    pub fn is_of(&self, suite: &str) -> bool {
        let parent = suite.rsplit_once('/').map(|(parent, _)| parent);
        let mut names = [Some(suite), parent].into_iter().flatten();
        names.any(|name| self.is_called(name))
    }

    /// Returns whether the Release gives a name as its Suite or its Codename; it gives the empty name if it has neither.
    pub(crate) fn is_called(&self, name: &str) -> bool {
        let mut names = ["Suite", "Codename"]
            .map(|field| self.field(field))
            .into_iter();
        match name {
            "" => names.all(|name| name.is_none()),
            name => names.any(|other| other == Some(name)),
        }
    }

    /// Returns the components that the Release names. Old security archives write `updates/main` for `main`; the last part counts.
    pub fn components(&self) -> impl Iterator<Item = &str> {
        self.words("Components")
            .map(|c| c.rsplit('/').next().unwrap_or(c))
    }

    /// Returns the architectures that the Release names.
    pub fn architectures(&self) -> impl Iterator<Item = &str> {
        self.words("Architectures")
    }

    /// Returns whether the binary-ARCH indices hold the `Architecture: all` packages too, so that binary-all need not be read.
    pub(crate) fn arch_indices_hold_all(&self) -> bool {
        !self.architectures().any(|a| a == "all")
            || self
                .words("No-Support-for-Architecture-all")
                .any(|w| w == "Packages")
    }

    /// Returns the entries of the sections MD5Sum and SHA1. They are checked in our own trees and nowhere else: they prove nothing, so no
    /// archive is refused for them, but clients of our trees want them to be right.
    pub(crate) fn weak_entries(&self) -> Result<BTreeMap<String, IndexEntry>, ReleaseError> {
        let mut files = Files::default();
        files.md5(self.field("MD5Sum").unwrap_or_default())?;
        files.sha1(self.field("SHA1").unwrap_or_default())?;
        match files.odd.values().next() {
            Some(why) => Err(why.clone()),
            None => Ok(files.entries),
        }
    }

    fn words(&self, name: &str) -> impl Iterator<Item = &str> {
        self.field(name)
            .unwrap_or_default()
            .split_ascii_whitespace()
    }
}

fn text_fields(data: &[u8], stanza: Stanza<'_>) -> Result<Vec<(String, String)>, ReleaseError> {
    stanza
        .fields()
        .map(|field| {
            let field = field.map_err(|(offset, why)| SyntaxError::at(data, offset, why))?;
            let at = stanza.offset + field.value_offset;
            let value = std::str::from_utf8(field.value)
                .map_err(|_| SyntaxError::at(data, at, "this is not UTF-8"))?;
            // The values go into messages and into the Release files that aptmerge writes.
            if value.contains(|c: char| c.is_control() && !matches!(c, '\n' | '\t')) {
                return Err(SyntaxError::at(data, at, "a control character").into());
            }
            let name = String::from_utf8_lossy(field.name).into_owned();
            Ok((name, value.to_owned()))
        })
        .collect()
}

fn date_field(field: &'static str, value: &str) -> Result<Timestamp, ReleaseError> {
    parse_date(value).ok_or_else(|| ReleaseError::Date {
        field,
        value: quoted(value),
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    const HASH: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

    fn release(extra: &str) -> String {
        format!(
            "Origin: Debian\nDate: Sat, 09 May 2026 10:21:35 UTC\nComponents: updates/main contrib\nSHA256:\n {HASH} 0 main/x\n{extra}"
        )
    }

    #[test]
    fn reads_what_archives_write() {
        let parsed = Release::parse(release("Acquire-By-Hash: yes\n").as_bytes()).unwrap();
        assert_eq!(parsed.field("ORIGIN"), Some("Debian"));
        assert_eq!(parsed.components().collect::<Vec<_>>(), ["main", "contrib"]);
        assert!(parsed.says_yes("acquire-by-hash"));
        assert_eq!(parsed.entries["main/x"].size, 0);
        assert_eq!(parsed.date.to_string(), "2026-05-09T10:21:35Z");
    }

    #[test]
    fn refuses_what_could_do_harm() {
        for (extra, expected) in [
            (format!(" {HASH} 0 ../x\n"), "../x"),
            (format!(" {HASH} 0 a//x\n"), "a//x"),
            (format!(" {HASH} 1 main/x\n"), "two different"),
            (format!(" {HASH} -1 main/y\n"), "not a hash"),
            ("Origin: Other\n".to_owned(), "twice"),
            ("\nOrigin: Other\n".to_owned(), "2 stanzas"),
            ("Valid-Until: tomorrow\n".to_owned(), "Valid-Until"),
        ] {
            let error = Release::parse(release(&extra).as_bytes())
                .unwrap_err()
                .to_string();
            assert!(error.contains(expected), "{extra}: {error}");
        }
        let weak =
            "Date: Sat, 09 May 2026 10:21:35 UTC\nMD5Sum:\n d41d8cd98f00b204e9800998ecf8427e 0 x\n";
        assert_eq!(
            Release::parse(weak.as_bytes()).unwrap_err(),
            ReleaseError::NoStrongHash
        );
        assert_eq!(Release::parse(b"").unwrap_err(), ReleaseError::Stanzas(0));
    }
}
