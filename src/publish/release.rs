//! Our own Release files: of a suite, and of the directory of each index.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

use jiff::Timestamp;

use crate::deb822::Release;
use crate::deb822::format_date;
use crate::error::Result;
use crate::hashing::{Digests, Hasher};
use crate::indices::IndexName;
use crate::manifest::FileDigests;
use crate::merge::Input;
use crate::names::SuiteName;
use crate::spec::{Content, HashKind, InputSpec};

use super::error::PublishError;

/// The order in which known fields are written; others follow.
const ORDER: [&str; 10] = [
    "Origin",
    "Label",
    "Suite",
    "Version",
    "Codename",
    "Changelogs",
    "NotAutomatic",
    "ButAutomaticUpgrades",
    "Signed-By",
    "Description",
];

/// Length and hashes of a published file: the hashes that the configuration names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct FileDigest {
    pub(super) size: u64,
    pub(super) sha256: [u8; 32],
    pub(super) md5: Option<[u8; 16]>,
    pub(super) sha512: Option<[u8; 64]>,
}

impl FileDigest {
    /// Returns one of the file's hashes, in hex; `None` where the configuration does not name it.
    pub(super) fn hash(&self, kind: HashKind) -> Option<String> {
        match kind {
            HashKind::Md5 => self.md5.map(hex::encode),
            HashKind::Sha256 => Some(hex::encode(self.sha256)),
            HashKind::Sha512 => self.sha512.map(hex::encode),
        }
    }
}

impl From<&FileDigest> for FileDigests {
    fn from(digest: &FileDigest) -> Self {
        Self {
            size: digest.size,
            sha256: hex::encode(digest.sha256),
            sha512: digest.sha512.map(hex::encode),
            md5: digest.md5.map(hex::encode),
        }
    }
}

/// Returns a hasher that computes what a [`FileDigest`] holds.
pub(super) fn hasher(hashes: &BTreeSet<HashKind>) -> Hasher {
    hashes
        .iter()
        .fold(Hasher::new(), |hasher, kind| match kind {
            HashKind::Md5 => hasher.and_md5(),
            HashKind::Sha256 => hasher,
            HashKind::Sha512 => hasher.and_sha512(),
        })
}

impl From<Digests> for FileDigest {
    fn from(digests: Digests) -> Self {
        Self {
            size: digests.length,
            sha256: digests.sha256,
            md5: digests.md5,
            sha512: digests.sha512,
        }
    }
}

/// Returns the input whose fields a suite's Release inherits: the first that is an archive's suite, since packages of our own have no Release.
pub(super) fn model<'i>(
    content: &'i Content,
    inputs: &'i [Box<dyn Input + '_>],
) -> Option<(&'i InputSpec, &'i dyn Input)> {
    let mut inputs = content.inputs.iter().zip(inputs);
    let (settings, input) = inputs.find(|(settings, _)| settings.suite.suite().is_some())?;
    Some((settings, &**input))
}

/// Returns the fields that a suite's Release inherits.
pub(super) fn inherited(
    content: &Content,
    inputs: &[Box<dyn Input + '_>],
) -> Result<Vec<(String, String)>> {
    let Some((settings, input)) = model(content, inputs) else {
        return Ok(Vec::new());
    };
    let fields = input.facts().fields.clone();
    let inherited = fields.map_err(|source| PublishError::Inherited {
        archive: settings.archive.to_string(),
        suite: settings.suite.to_string(),
        source,
    });
    Ok(inherited?)
}

/// Returns the fields of a merged suite's Release that identify it, in the order of writing.
///
/// Suite or Codename is always the suite's name: debootstrap requires it.
pub(super) fn identity(
    name: &SuiteName,
    own: &BTreeMap<String, String>,
    inherited: Vec<(String, String)>,
) -> Vec<(String, String)> {
    let mut fields: BTreeMap<String, String> = inherited.into_iter().collect();
    for (field, value) in own {
        // Field names are the same in upper and lower case.
        fields.retain(|known, _| !known.eq_ignore_ascii_case(field));
        fields.insert(field.clone(), value.clone());
    }
    let overridden = |field: &str| own.keys().any(|k| k.eq_ignore_ascii_case(field));
    let names_it = |field: &str| fields.get(field).is_some_and(|v| v == name.as_str());
    if !names_it("Suite") && !names_it("Codename") {
        let field = if overridden("Codename") && !overridden("Suite") {
            "Suite"
        } else {
            "Codename"
        };
        if !overridden(field) {
            fields.insert(field.to_owned(), name.to_string());
        }
    }
    let place = |field: &str| {
        ORDER
            .iter()
            .position(|o| o.eq_ignore_ascii_case(field))
            .unwrap_or(ORDER.len())
    };
    let mut fields: Vec<_> = fields.into_iter().collect();
    fields.sort_by_key(|(field, _)| place(field));
    fields
}

/// Writes the Release of a suite.
pub(super) fn suite_release(
    content: &Content,
    identity: &[(String, String)],
    date: Timestamp,
    valid_until: Option<Timestamp>,
    files: &BTreeMap<String, FileDigest>,
) -> String {
    let mut text = String::new();
    let mut field = |name: &str, value: &str| write_field(&mut text, name, value);
    let (who, what): (Vec<_>, Vec<_>) = identity
        .iter()
        .partition(|(f, _)| !f.eq_ignore_ascii_case("Description"));
    for (name, value) in who {
        field(name, value);
    }
    field("Date", &format_date(date));
    if let Some(until) = valid_until {
        field("Valid-Until", &format_date(until));
    }
    field("Acquire-By-Hash", "yes");
    let architectures = &content.architectures;
    if architectures.iter().any(|a| a.is_all()) && architectures.len() > 1 {
        field("No-Support-for-Architecture-all", "Packages");
    }
    let words = |items: Vec<&str>| items.join(" ");
    field(
        "Architectures",
        &words(architectures.iter().map(|a| a.as_str()).collect()),
    );
    field(
        "Components",
        &words(content.components.iter().map(|c| c.as_str()).collect()),
    );
    for (name, value) in what {
        field(name, value);
    }
    let width = files
        .values()
        .map(|f| f.size.to_string().len())
        .max()
        .unwrap_or(0);
    for kind in &content.hashes {
        let _ = writeln!(text, "{}:", kind.section());
        for (path, file) in files {
            if let Some(hash) = file.hash(*kind) {
                let _ = writeln!(text, " {hash} {:>width$} {path}", file.size);
            }
        }
    }
    text
}

/// Writes a field. The first line, which may be empty, has no blank at its end.
fn write_field(text: &mut String, name: &str, value: &str) {
    let blank = match value.starts_with('\n') {
        true => "",
        false => " ",
    };
    let _ = writeln!(text, "{name}:{blank}{value}"); // writing to a String does not fail
}

/// Writes the Release of an index's directory: apt reads it to tell archives apart; dak and reprepro write it as well.
pub(super) fn directory_release(identity: &[(String, String)], index: &IndexName) -> String {
    let mut text = String::new();
    let value = |name: &str| {
        identity
            .iter()
            .find(|(f, _)| f.eq_ignore_ascii_case(name))
            .map(|(_, v)| v.as_str())
    };
    for (field, from) in [
        ("Archive", "Suite"),
        ("Origin", "Origin"),
        ("Label", "Label"),
        ("Version", "Version"),
    ] {
        if let Some(value) = value(from) {
            write_field(&mut text, field, value);
        }
    }
    let _ = writeln!(text, "Acquire-By-Hash: yes");
    if let Some(component) = index.component() {
        let _ = writeln!(text, "Component: {component}");
    }
    let _ = writeln!(text, "Architecture: {}", index.architecture());
    text
}

/// Returns the files that a Release of ours lists, with the hashes that are wanted now. A file that lacks one of them is left
/// out, so it is made anew.
pub(super) fn listed(
    release: &Release,
    hashes: &BTreeSet<HashKind>,
) -> BTreeMap<String, FileDigest> {
    // An MD5Sum of ours that cannot be read counts as absent.
    let weak = release.weak_entries().unwrap_or_default();
    let listed = release.entries.iter().filter_map(|(path, entry)| {
        let md5 = weak.get(path).and_then(|weak| weak.md5);
        let wanted = |kind| hashes.contains(&kind);
        let digest = FileDigest {
            size: entry.size,
            sha256: entry.sha256?,
            md5: md5.filter(|_| wanted(HashKind::Md5)),
            sha512: entry.sha512.filter(|_| wanted(HashKind::Sha512)),
        };
        let is_whole = hashes.iter().all(|kind| digest.hash(*kind).is_some());
        is_whole.then(|| (path.clone(), digest))
    });
    listed.collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn fields(release: &[(&str, &str)], inherited: &[(&str, &str)]) -> Vec<(String, String)> {
        let own = |f: &[(&str, &str)]| {
            f.iter()
                .map(|(a, b)| (a.to_string(), b.to_string()))
                .collect::<Vec<_>>()
        };
        let set = own(release).into_iter().collect();
        identity(&SuiteName::new("daedalus").unwrap(), &set, own(inherited))
    }

    #[test]
    fn suite_or_codename_is_the_name() {
        let has = |fields: &[(String, String)], f: &str, v: &str| {
            fields.contains(&(f.to_owned(), v.to_owned()))
        };
        let plain = fields(
            &[],
            &[
                ("Origin", "D"),
                ("Suite", "stable"),
                ("Codename", "bookworm"),
            ],
        );
        assert!(
            has(&plain, "Codename", "daedalus") && has(&plain, "Suite", "stable"),
            "{plain:?}"
        );
        let set = fields(
            &[("suite", "oldstable"), ("Codename", "daedalus")],
            &[("Suite", "stable")],
        );
        assert!(
            has(&set, "suite", "oldstable") && !set.iter().any(|(f, _)| f == "Suite"),
            "{set:?}"
        );
        let odd = fields(&[("Codename", "other")], &[("Suite", "stable")]);
        assert!(has(&odd, "Suite", "daedalus"), "{odd:?}");
    }
}
