//! Checks whether a tree is whole: everything that a generation names must be there. Recovery checks this before it goes on from a tree
//! that a run left, since volatile may get lost between two runs: it may lie in memory, or be taken for scratch and removed.
//!
//! The check looks at name and size of every file that an InRelease lists, under its own name and by-hash. Every file was
//! read back before the swap, and does not change under its name; [`check_contents`] reads all of them once more.
//!
//! Manifests are not asked, since the record of the very tree may be lost: a Release tells a tree that lacks files from a whole one of another
//! generation. What no Release lists (an older file under by-hash, a mode) is mended by the same run, once production is served
//! ([`super::mend`]).

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::path::Path;

use crate::deb822::{IndexEntry, Release};
use crate::error::{Error, Result};
use crate::listing;
use crate::spec::HashKind;
use crate::workspace::{Generation, Layout};

use super::check::{check_contents, indices};
use super::readback;

/// The result of comparing a tree with a generation.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum State {
    /// The tree is whole, and its suites have the recorded Dates.
    Whole,
    /// The tree is whole, and some suites are of another generation: the Dates of all, in seconds since 1970.
    OtherDates(BTreeMap<String, i64>),
    /// The tree is not whole: what it lacks.
    Lacks(String),
}

/// Compares a tree with a generation.
pub(super) fn compare(tree: &Path, generation: &Generation) -> Result<State> {
    let suites = suites(tree)?;
    if suites.is_empty() {
        return Ok(State::Lacks(format!(
            "there is no suite in {}",
            tree.display()
        )));
    }
    let named = generation.suites.keys().find(|n| !suites.contains(*n));
    if let Some(name) = named {
        let path = tree.join("dists").join(name).join("InRelease");
        return Ok(State::Lacks(format!("{} is not there", path.display())));
    }
    for link in generation.links.keys().map(|link| tree.join(link)) {
        if size(&link)?.is_none() {
            return Ok(State::Lacks(format!("{} is not there", link.display())));
        }
    }
    let mut dates = BTreeMap::new();
    for name in &suites {
        let dir = tree.join("dists").join(name);
        let found = readback::release(&dir)?;
        let Some(release) = found.release.filter(|_| found.faults.is_empty()) else {
            return Ok(State::Lacks(found.faults.join("; ")));
        };
        if let Some(lacks) = lacks(&dir, &release)? {
            return Ok(State::Lacks(lacks));
        }
        dates.insert(name.clone(), release.date.as_second());
    }
    let recorded = generation.suites.iter();
    let recorded = recorded.map(|(name, record)| (name, record.date));
    if recorded.eq(dates.iter().map(|(name, date)| (name, *date))) {
        return Ok(State::Whole);
    }
    Ok(State::OtherDates(dates))
}

/// Returns whether production is the generation, to the last byte: production may have been left half synced.
pub(super) fn is_production(layout: &Layout, generation: &Generation) -> Result<bool> {
    let tree = layout.production();
    if generation.suites.is_empty() || compare(&tree, generation)? != State::Whole {
        return Ok(false);
    }
    let mut dirs = generation.suites.keys().map(|n| tree.join("dists").join(n));
    Ok(dirs.all(|dir| match readback::release(&dir) {
        Ok(found) => found
            .release
            .is_some_and(|mut release| check_contents(&dir, &mut release).is_empty()),
        Err(_) => false,
    }))
}

/// Returns the suites of a tree: the directories that have an InRelease.
fn suites(tree: &Path) -> Result<BTreeSet<String>> {
    let dists = tree.join("dists");
    let mut suites = BTreeSet::new();
    if size(&dists)?.is_none() {
        return Ok(suites);
    }
    for entry in listing::below(&dists, 5, |path| !path.ends_with("by-hash")) {
        let entry = entry?;
        if entry.file_name() != "InRelease" {
            continue;
        }
        let dir = entry.path().parent();
        let name = dir.and_then(|dir| dir.strip_prefix(&dists).ok());
        suites.extend(name.and_then(Path::to_str).map(str::to_owned));
    }
    Ok(suites)
}

/// Returns what a suite's directory lacks of the files that its Release lists.
fn lacks(dir: &Path, release: &Release) -> Result<Option<String>> {
    let by_hash = release.says_yes("Acquire-By-Hash");
    let is_as_listed =
        |path: &Path, entry: &IndexEntry| Ok::<_, Error>(size(path)? == Some(entry.size));
    for (plain, forms) in indices(release) {
        let mut is_there = false;
        for (name, _, entry) in forms {
            let path = dir.join(name);
            // An empty plain file need not be there.
            is_there |= entry.size == 0;
            if size(&path)?.is_none() {
                continue;
            }
            is_there = true;
            if !is_as_listed(&path, entry)? {
                return Ok(Some(format!("{} is cut off", path.display())));
            }
            let hashed = entry.sha256.filter(|_| by_hash);
            if let Some(hash) = hashed
                && let path = dir.join(HashKind::Sha256.by_hash(name, &hex::encode(hash)))
                && !is_as_listed(&path, entry)?
            {
                return Ok(Some(format!("{} is not there", path.display())));
            }
        }
        if !is_there {
            let path = dir.join(plain);
            return Ok(Some(format!("{} is not there", path.display())));
        }
    }
    Ok(None)
}

/// Returns the size of a file in bytes, if the file is there.
fn size(path: &Path) -> Result<Option<u64>> {
    match fs::symlink_metadata(path) {
        Ok(metadata) => Ok(Some(metadata.len())),
        Err(error) if is_absent(&error) => Ok(None),
        Err(error) => Err(Error::io("look at", path)(error)),
    }
}

fn is_absent(error: &io::Error) -> bool {
    use io::ErrorKind::{NotADirectory, NotFound};
    matches!(error.kind(), NotFound | NotADirectory)
}
