//! The record of one archive's suite in the spool: its signed Release, and the object of each of its indices.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::deb822::{IndexEntry, Release, ReleaseError, identity};
use crate::decode::Compression;
use crate::indices::{IndexName, plain_form};
use crate::merge::{IndexFacts, InputFacts, Offers};
use crate::names::FlatDirectory;
use crate::units::later;
use crate::workspace::Record;

/// The SHA-256 of a plain text, as 64 lower-case hex digits: the name of an object of the spool.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub(crate) struct ObjectName(String);

impl ObjectName {
    /// Returns the name of the object whose plain text has this digest.
    pub(crate) fn new(sha256: [u8; 32]) -> Self {
        Self(hex::encode(sha256))
    }

    /// Returns the name as text.
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }

    /// Returns the digest.
    fn digest(&self) -> Option<[u8; 32]> {
        let mut digest = [0; 32];
        hex::decode_to_slice(&self.0, &mut digest).ok()?;
        Some(digest)
    }

    /// Returns whether the name is that of a digest.
    pub(super) fn is_of(&self, sha256: [u8; 32]) -> bool {
        self.0 == hex::encode(sha256)
    }
}

impl TryFrom<String> for ObjectName {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, &'static str> {
        let is_digit = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
        match text.len() == 64 && text.bytes().all(is_digit) {
            true => Ok(Self(text)),
            false => Err("the name of an object is no SHA-256 of 64 hex digits"),
        }
    }
}

impl From<ObjectName> for String {
    fn from(name: ObjectName) -> String {
        name.0
    }
}

impl fmt::Display for ObjectName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// An index in the spool.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct StoredIndex {
    /// SHA-256 of the plain text: the object's name.
    pub sha256: ObjectName,
    /// Length of the plain text.
    pub size: u64,
}

/// The copy of one archive's suite: a Release whose signature was verified, and its indices.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) struct SuiteCopy {
    /// The URI of the archive that the copy came from, without user and password: every user may be allowed to read a spool.
    pub uri: String,
    /// `true` if the Release came as an InRelease, `false` if it came as a Release with a Release.gpg.
    pub inline: bool,
    /// The server's `ETag`, to ask with the next time whether the Release has changed.
    pub etag: Option<String>,
    /// The server's `Last-Modified`, for the same use.
    pub last_modified: Option<String>,
    /// The signatures of the Release, in base64: they are verified again when the archive says that nothing has changed.
    #[serde(default)]
    pub signature: String,
    /// The time of the newest signature, in seconds since 1970; `None` in records of earlier versions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signed: Option<i64>,
    /// The digests of the Releases of the same Date that this one has replaced, the latest last.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub replaced: Vec<String>,
    /// The time of the fetch, in seconds since 1970.
    pub fetched: i64,
    /// A newer Release that was seen, whose indices could not be fetched.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub newest: Option<Seen>,
    /// The keys that signed the Release.
    pub signers: Vec<String>,
    /// The verified text of the Release.
    pub release: String,
    /// Indices that the Release lists and the archive has in no form, of the families that a suite can do without. Every run asks for them
    /// again: a mirror may be in the middle of its own sync.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub missing: BTreeSet<String>,
    /// Indices of these families that the archive has, but so broken that they cannot be used.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub broken: BTreeSet<String>,
    /// Files that the Release lists and that belong to no family of indices, so that they are not merged.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub unclaimed: BTreeSet<String>,
    /// The directory of a flat archive that the copy is of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub flat: Option<FlatDirectory>,
    /// The architectures of the packages of a flat archive, whose Release need not name them.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub architectures: BTreeSet<String>,
    /// The indices, by the path of the plain form.
    pub indices: BTreeMap<String, StoredIndex>,
}

impl Record for SuiteCopy {
    const FORMAT: u64 = 1;
}

/// The shortest time that a Release of an archive counts, from when it was first fetched: an archive that signs for minutes must stop no
/// client of ours while it is there.
const LEAST_VALIDITY: Duration = Duration::from_secs(2 * 24 * 3600);

impl SuiteCopy {
    /// Returns what a merge asks of the copy, as an input of this name.
    pub(super) fn facts(&self, name: String) -> Result<InputFacts, ReleaseError> {
        let release = self.parse_release()?;
        let fetched = Timestamp::from_second(self.fetched).ok();
        let valid_until = release.valid_until.zip(fetched);
        let indices = self.indices.iter().filter_map(|(path, stored)| {
            let name = IndexName::parse(path);
            let facts = IndexFacts {
                sha256: stored.sha256.digest()?,
                size: stored.size,
            };
            Some((name?, facts))
        });
        Ok(InputFacts {
            name,
            fields: identity::inherited(&release),
            date: release.date,
            valid_until: valid_until
                .map(|(signed, fetched)| signed.max(later(fetched, LEAST_VALIDITY))),
            indices: indices.collect(),
            offers: offers(&release),
        })
    }

    /// Parses the Release.
    pub(crate) fn parse_release(&self) -> Result<Release, ReleaseError> {
        let body = self.release.as_bytes();
        let signed = self.signed.map(Timestamp::from_second);
        match signed {
            Some(Ok(signed)) => Release::parse_upstream(body, signed),
            _ => Release::parse(body),
        }
    }
}

/// Returns what a Release says that its archive has, by its fields or by the indices that it lists.
fn offers(release: &Release) -> Offers {
    let mut offers = Offers {
        components: release.components().map(str::to_owned).collect(),
        // Some name the sources as one.
        architectures: release
            .architectures()
            .filter(|a| *a != "source")
            .map(str::to_owned)
            .collect(),
    };
    let paths = release.paths().map(plain_form);
    for name in paths.filter_map(IndexName::parse_packages) {
        offers.add(&name);
    }
    offers
}

/// A Release whose signature was verified.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Seen {
    /// The Date of the Release, in seconds since 1970.
    pub date: i64,
    /// The URI of the archive that had the Release, without user and password.
    pub uri: String,
}

/// Returns the paths that an index may have, each with its compression.
pub(super) fn possible_forms(plain: &str) -> impl Iterator<Item = (String, Compression)> {
    let known = [
        Compression::Xz,
        Compression::Gzip,
        Compression::Bzip2,
        Compression::Zstd,
        Compression::None,
    ];
    known.into_iter().map(move |compression| match compression {
        Compression::None => (plain.to_owned(), compression),
        packed => (format!("{plain}.{}", packed.extension()), compression),
    })
}

/// Returns the forms of an index that the Release lists, the smallest first. The plain one comes last, since many archives list it and
/// do not ship it.
pub(super) fn forms<'r>(
    release: &'r Release,
    plain: &str,
) -> Vec<(String, &'r IndexEntry, Compression)> {
    let mut forms: Vec<_> = possible_forms(plain)
        .filter_map(|(path, compression)| {
            let entry = release.entries.get(&path)?;
            Some((path, entry, compression))
        })
        .collect();
    forms.sort_by_key(|(_, entry, compression)| (*compression == Compression::None, entry.size));
    forms
}

/// Returns a point in time in seconds since 1970, as records have it.
pub(super) fn seconds(time: Timestamp) -> i64 {
    time.as_second()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_no_name_of_an_object() {
        let good = "0123456789abcdef".repeat(4);
        assert!(ObjectName::try_from(good.clone()).is_ok());
        for bad in [
            String::new(),
            good.to_uppercase(),
            good[1..].to_owned(),
            format!("{good}0"),
            format!("/{}", &good[1..]),
            format!("../{}", &good[3..]),
            "é".repeat(32),
        ] {
            assert!(ObjectName::try_from(bad.clone()).is_err(), "{bad}");
        }
    }
}
