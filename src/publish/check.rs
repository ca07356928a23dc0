//! The check of a tree, which reads it as a client does, from InRelease down.
//!
//! Before a swap, the check reads only new files ([`super::known`]). `verify` reads all files.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::SystemTime;

use jiff::Timestamp;
use rayon::prelude::*;
use serde::Serialize;

use crate::cancel::Cancel;
use crate::deb822::{IndexEntry, MAX_STRING_BYTES, Release, is_ahead};
use crate::decode::Compression;
use crate::durable;
use crate::listing;
use crate::merge::reading::Reading;
use crate::openpgp::Keyring;
use crate::pdiff::index::{DiffIndex, Hashed};
use crate::spec::HashKind;

use super::file_check::{ListedFile, check_by_hash};
use super::known::Known;
use super::patched::{self, Tried};

/// The options of a check.
#[derive(Debug, Clone, Copy)]
pub struct CheckOptions<'a> {
    /// The keys that may have signed the tree.
    pub keyring: &'a Keyring,
    /// The present time.
    pub now: Timestamp,
    /// The token that is asked before each index whether to go on; the report of a cancelled check lacks what was not read.
    pub cancel: &'a Cancel,
}

/// The result of a check.
#[derive(Debug, Default, Clone, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct TreeReport {
    /// The suites that were read.
    pub suites: Vec<String>,
    /// The number of files that were read.
    pub files: u64,
    /// The number of their bytes.
    pub bytes: u64,
    /// The number of patches that were applied to the texts that they start from, and made the present ones.
    pub patches: u64,
    /// The number of patches that were not applied, since the texts that they start from are no longer in the tree.
    pub patches_without_start: u64,
    /// The problems that were found, each with its file.
    pub problems: Vec<String>,
}

impl TreeReport {
    fn absorb(mut self, other: TreeReport) -> TreeReport {
        self.suites.extend(other.suites);
        self.files += other.files;
        self.bytes += other.bytes;
        self.patches += other.patches;
        self.patches_without_start += other.patches_without_start;
        self.problems.extend(other.problems);
        self
    }

    fn problem(text: String) -> TreeReport {
        TreeReport {
            problems: vec![text],
            ..TreeReport::default()
        }
    }
}

/// Checks every suite of a tree: each directory below `dists/` that has a Release or an InRelease.
pub fn check_tree(tree: &Path, options: &CheckOptions<'_>) -> TreeReport {
    let dists = tree.join("dists");
    let mut suites = BTreeSet::new();
    let mut report = TreeReport::default();
    for entry in listing::below(&dists, 5, |_| true) {
        match entry {
            Ok(entry) if entry.file_type().is_dir() => {
                let path = entry.path();
                let is_suite = path.join("InRelease").exists()
                    || (path.join("Release").exists() && path.join("Release.gpg").exists());
                if let Some(name) = path
                    .strip_prefix(&dists)
                    .ok()
                    .and_then(Path::to_str)
                    .filter(|_| is_suite)
                {
                    suites.insert(name.to_owned());
                }
            }
            Ok(entry) if entry.path_is_symlink() => {
                if !entry.path().exists() {
                    report.problems.push(format!(
                        "{}: the link leads nowhere",
                        entry.path().display()
                    ));
                }
            }
            Ok(_) => {}
            Err(error) => report.problems.push(crate::error::chain(&error)),
        }
    }
    if suites.is_empty() && report.problems.is_empty() {
        report
            .problems
            .push(format!("{}: there is no suite in it", dists.display()));
    }
    let suites = suites
        .into_par_iter()
        .map(|name| check_suite(tree, &name, None, options))
        .reduce(TreeReport::default, TreeReport::absorb);
    report.absorb(suites)
}

/// Checks a suite of a tree. Of one that is `known` as it is published, only what is new is read, and no patch is applied: that was done
/// when the patch was made.
pub(super) fn check_suite(
    tree: &Path,
    name: &str,
    known: Option<&Known<'_>>,
    options: &CheckOptions<'_>,
) -> TreeReport {
    let dir = tree.join("dists").join(name);
    try_check(name, &dir, known, options).unwrap_or_else(TreeReport::problem)
}

fn read(path: &Path) -> Result<Vec<u8>, String> {
    durable::read_regular(path).map_err(|e| format!("{}: {e}", path.display()))
}

fn try_check(
    name: &str,
    dir: &Path,
    known: Option<&Known<'_>>,
    options: &CheckOptions<'_>,
) -> Result<TreeReport, String> {
    let now = SystemTime::from(options.now);
    let refused = |path: &Path, e: crate::openpgp::Error| {
        format!("{}: {}", path.display(), crate::error::chain(&e))
    };
    let (inline, plain, detached) = (
        dir.join("InRelease"),
        dir.join("Release"),
        dir.join("Release.gpg"),
    );
    let mut report = TreeReport {
        suites: vec![name.to_owned()],
        ..TreeReport::default()
    };
    let mut body = None;
    let mut signers = Vec::new();
    if inline.exists() {
        let verified = options
            .keyring
            .verify_inline(&read(&inline)?, now)
            .map_err(|e| refused(&inline, e))?;
        body = Some(verified.body);
        signers = verified.signers;
        report.files += 1;
    }
    if plain.exists() && detached.exists() {
        let text = read(&plain)?;
        let verified = options
            .keyring
            .verify_detached(&text, &read(&detached)?, now)
            .map_err(|e| refused(&detached, e))?;
        signers.extend(verified.signers);
        report.files += 2;
        if body.as_ref().is_some_and(|b| *b != text) {
            report.problems.push(format!(
                "{}: it is not what InRelease says",
                plain.display()
            ));
        }
        body.get_or_insert(text);
    }
    let Some(body) = body else {
        return Err(format!(
            "{}: there is neither an InRelease nor a Release with a Release.gpg",
            dir.display()
        ));
    };
    let mut release = Release::parse(&body).map_err(|e| format!("{}: {e}", dir.display()))?;
    report
        .problems
        .extend(release_problems(name, dir, &release, options.now));
    let keys = options.keyring.fingerprints_of_keys(&signers);
    report
        .problems
        .extend(signed_by_problem(dir, &release, &keys));
    let files = check_files(dir, &mut release, known, known.is_none(), options.cancel);
    Ok(report.absorb(files))
}

fn release_problems(name: &str, dir: &Path, release: &Release, now: Timestamp) -> Vec<String> {
    let mut problems = Vec::new();
    let mut problem = |text: String| problems.push(format!("{}: {text}", dir.display()));
    if is_ahead(release.date, now) {
        problem(format!("its Date {} is in the future", release.date));
    }
    if let Some(until) = release.valid_until.filter(|until| *until < now) {
        problem(format!("it has expired on {until}"));
    }
    if !release.is_of(name) {
        problem(format!("neither its Suite nor its Codename is `{name}`"));
    }
    // apt's cache holds each of these fields as one string.
    for field in ["Origin", "Label", "Suite", "Codename", "Version"] {
        let length = release.field(field).map_or(0, str::len);
        if length > MAX_STRING_BYTES {
            problem(format!(
                "its {field} has {length} bytes, and apt ends at one of more than {MAX_STRING_BYTES}"
            ));
        }
    }
    problems
}

/// Checks that Signed-By names a key that signed this Release: clients compare the next Release with it, and would accept none otherwise.
fn signed_by_problem(dir: &Path, release: &Release, keys: &[String]) -> Option<String> {
    let named = release.field("Signed-By")?.split(',');
    let mut named = named.map(|key| key.trim().trim_end_matches('!'));
    if named.any(|key| keys.iter().any(|k| k.eq_ignore_ascii_case(key))) {
        return None;
    }
    Some(format!(
        "{}: its Signed-By names none of the keys that signed it, so clients would refuse whatever follows; it names {}",
        dir.display(),
        release.field("Signed-By")?
    ))
}

/// Returns the problems of the files that a Release lists; does not check signatures.
pub(super) fn check_contents(dir: &Path, release: &mut Release) -> Vec<String> {
    check_files(dir, release, None, false, &Cancel::default()).problems
}

/// Returns the indices of a Release, each with the forms that it is listed in.
pub(super) fn indices(release: &Release) -> BTreeMap<&str, Vec<(&str, Compression, &IndexEntry)>> {
    let mut indices: BTreeMap<&str, Vec<_>> = BTreeMap::new();
    for (path, entry) in &release.entries {
        let compression = Compression::from_path(path);
        let suffix = match compression {
            Compression::None => 0,
            packed => packed.extension().len() + 1,
        };
        let plain = &path[..path.len() - suffix];
        indices
            .entry(plain)
            .or_default()
            .push((path.as_str(), compression, entry));
    }
    indices
}

fn check_files(
    dir: &Path,
    release: &mut Release,
    known: Option<&Known<'_>>,
    applies_patches: bool,
    cancel: &Cancel,
) -> TreeReport {
    let by_hash = release.says_yes("Acquire-By-Hash");
    let report = add_weak_hashes(dir, release);
    let files = indices(release)
        .into_par_iter()
        .filter(|_| !cancel.is_cancelled())
        .map(|(plain, forms)| {
            let report = check_index(dir, plain, &forms, by_hash, known);
            match plain.strip_suffix(".diff/Index") {
                Some(of) if dir.join(plain).exists() => {
                    let current = release.entries.get(of);
                    report.absorb(check_patches(&dir.join(plain), current, applies_patches))
                }
                _ => report,
            }
        })
        .reduce(TreeReport::default, TreeReport::absorb);
    report.absorb(files)
}

/// Adds MD5 and SHA-1 to the stronger hashes, so that they are checked as well.
fn add_weak_hashes(dir: &Path, release: &mut Release) -> TreeReport {
    let mut report = TreeReport::default();
    let mut problem = |text: String| {
        let problem = format!("{}: {text}", dir.join("Release").display());
        report.problems.push(problem);
    };
    match release.weak_entries() {
        Ok(weak) => {
            for (path, weak) in weak {
                let Some(entry) = release.entries.get_mut(&path) else {
                    continue; // clients of ours do not read it
                };
                if weak.size != entry.size {
                    problem(format!("its sections disagree about the size of {path}"));
                }
                (entry.md5, entry.sha1) = (weak.md5, weak.sha1);
            }
        }
        Err(error) => problem(error.to_string()),
    }
    report
}

/// Checks an index: at least one form must be there, and every form that is there must be as the Release lists it.
fn check_index(
    dir: &Path,
    plain: &str,
    forms: &[(&str, Compression, &IndexEntry)],
    by_hash: bool,
    known: Option<&Known<'_>>,
) -> TreeReport {
    let mut report = TreeReport::default();
    let listed_plain = forms
        .iter()
        .find(|(_, c, _)| *c == Compression::None)
        .map(|(_, _, entry)| *entry);
    let mut present = 0;
    // The forms hold the same text.
    let mut reading = Reading::of(plain);
    for (path, compression, entry) in forms {
        let file = dir.join(path);
        if !file.exists() {
            continue;
        }
        present += 1;
        let is_known = known.is_some_and(|k| k.has(path, &file, entry, (plain, listed_plain)));
        let listed = ListedFile {
            path: &file,
            compression: *compression,
            entry,
            plain: listed_plain,
        };
        let checked = match is_known {
            true => Ok(Vec::new()),
            false => {
                let before = known.and_then(|known| known.before(path, listed_plain));
                listed.check(reading.take(), before)
            }
        };
        match checked.map(|faults| {
            let faults = faults.into_iter();
            faults.map(|fault| format!("{}: {fault}", file.display()))
        }) {
            Ok(faults) => {
                report.problems.extend(faults);
                report.files += 1;
                report.bytes += entry.size;
            }
            Err(why) => report.problems.push(format!("{}: {why}", file.display())),
        }
        let hashes = [
            (HashKind::Sha256, entry.sha256.map(hex::encode)),
            (HashKind::Sha512, entry.sha512.map(hex::encode)),
            (HashKind::Md5, entry.md5.map(hex::encode)),
        ];
        for (kind, hash) in hashes.into_iter().filter(|_| by_hash) {
            let Some(hash) = hash else { continue };
            let hashed = dir.join(kind.by_hash(path, &hash));
            // Archives list MD5Sum without by-hash/MD5Sum, and no client asks for by-hash/MD5Sum where there is a better one.
            if kind == HashKind::Md5 && !hashed.exists() {
                continue;
            }
            if let Err(why) = check_by_hash(&hashed, &file, entry) {
                report.problems.push(format!("{}: {why}", hashed.display()));
            }
        }
    }
    let is_empty = listed_plain.is_some_and(|entry| entry.size == 0);
    if present == 0 && !is_empty {
        let file = dir.join(plain);
        report.problems.push(format!(
            "{}: the Release lists it, and it is there in no form",
            file.display()
        ));
    }
    report
}

/// Checks the patches that a list names, and checks that they lead to the index that the Release lists.
fn check_patches(path: &Path, current: Option<&IndexEntry>, applies: bool) -> TreeReport {
    let text = durable::read_regular(path).map_err(|e| e.to_string());
    let index = text.and_then(|text| {
        DiffIndex::parse(&text).ok_or_else(|| "it is no list of patches as we write it".to_owned())
    });
    let index = match index {
        Ok(index) => index,
        Err(why) => return TreeReport::problem(format!("{}: {why}", path.display())),
    };
    let mut report = TreeReport::default();
    let is_current = current.is_some_and(|current| {
        current.size == index.current.size
            && current
                .sha256
                .is_none_or(|hash| hash == index.current.sha256)
    });
    if !is_current {
        report.problems.push(format!(
            "{}: its patches do not lead to the index that the Release lists",
            path.display()
        ));
    }
    report
        .problems
        .extend(index.entries.iter().filter_map(|entry| {
            let file = path.with_file_name(entry.file_name());
            let found = durable::read_regular(&file).map_err(|e| e.to_string());
            let why = match found {
                Ok(found) if Hashed::of(&found) == entry.download => return None,
                Ok(_) => "it is not the patch that the Index lists".to_owned(),
                Err(why) => why,
            };
            Some(format!("{}: {why}", file.display()))
        }));
    if applies && report.problems.is_empty() {
        for (entry, tried) in index.entries.iter().zip(patched::try_each(path, &index)) {
            match tried {
                Tried::Holds => report.patches += 1,
                Tried::HasNoStart => report.patches_without_start += 1,
                Tried::Fails(why) => {
                    let file = path.with_file_name(entry.file_name());
                    report.problems.push(format!("{}: {why}", file.display()));
                }
            }
        }
    }
    report
}
