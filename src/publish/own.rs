//! The pool of our own packages: hard links to the files of the store, by the paths that stanzas name.
//!
//! ```text
//! ROOT/pool/NAME/pool/main/h/hello/hello_1.0_amd64.deb
//! ```
//!
//! A directory like this stands for an archive that lies on this machine, so the tree leads to it as to any local archive (`pool.rs`).
//!
//! Why every client finds every file that an index names: a run links the files of all lists before it merges, so they are there before the
//! swap. A file that no list has any more stays until no client can have an index that names it: for as long as indices stay under by-hash
//! (`publish.by-hash`), counted from the first run that published every suite without it, and while a suite retains an index from before.
//! A run that could not publish every suite removes nothing. A file that is needed again loses its count before the swap. The store never
//! gives a path to other content; a link that is there already is compared with the store by its inode, and another inode by its bytes.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{self, BufRead, BufReader, ErrorKind};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::durable;
use crate::error::{Error, Result};
use crate::listing;
use crate::workspace::{Record, Workspace};

use super::error::PublishError;
use super::plan::Plan;
use super::settings::Retention;

/// The record of files that no list has any more.
const RECORD: &str = "pool.json";

/// The directories below `ROOT/pool` that stay when they are empty, by their depth: the tree has a link to each component.
const KEPT_DEPTH: usize = 3;

/// The length of a piece of a file that is compared at once.
const PIECE_BYTES: usize = 64 << 10;

/// The published files of our own packages.
#[derive(Debug)]
pub(crate) struct OwnFiles {
    /// The path below `ROOT/pool`, and the file of the store.
    files: BTreeMap<PathBuf, PathBuf>,
    retention: Retention,
}

/// The files that no list has any more, by their paths below `ROOT/pool`.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Idle {
    files: BTreeMap<PathBuf, Since>,
}

impl Record for Idle {
    const FORMAT: u64 = 1;
}

/// The first generation without a file.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
struct Since {
    generation: u64,
    /// The time in seconds since 1970.
    time: i64,
}

impl OwnFiles {
    /// Returns the files of all inputs of a plan.
    pub(crate) fn of(plan: &Plan<'_>) -> Self {
        let mut files = BTreeMap::new();
        for (pool, input) in plan.all_inputs() {
            for (path, file) in input.files() {
                files.insert(Path::new(pool.as_str()).join(path), file);
            }
        }
        Self {
            files,
            retention: plan.settings.by_hash,
        }
    }

    /// Links the files that are not there yet, durably. Takes all files off the record of those that no list has.
    pub(crate) fn place(&self, workspace: &Workspace<'_>) -> Result<()> {
        let pool = workspace.layout().pool();
        if self.files.is_empty() {
            return Ok(());
        }
        durable::check_real(&pool)?;
        self.forget_idle(workspace)?;
        let mut changed = BTreeSet::new();
        for (path, file) in &self.files {
            let place = pool.join(path);
            if is_same(&place, file)? {
                continue;
            }
            let directory = place.parent().unwrap_or(&pool);
            if changed.insert(directory.to_owned()) {
                durable::create_dir(directory)?;
            }
            link(file, &place)?;
        }
        changed.iter().try_for_each(|dir| durable::sync_dir(dir))
    }

    /// Takes the files that are needed again off the record, so that they are counted afresh when no list has them again.
    fn forget_idle(&self, workspace: &Workspace<'_>) -> Result<()> {
        let mut idle: Idle = workspace.read_state(RECORD)?.unwrap_or_default();
        let before = idle.files.len();
        idle.files.retain(|path, _| !self.files.contains_key(path));
        match idle.files.len() == before {
            true => Ok(()),
            false => workspace.write_state(RECORD, &idle),
        }
    }

    /// Removes the files that no list has any more and no client can ask for. Every suite is published from the present lists.
    pub(crate) fn shrink(&self, workspace: &Workspace<'_>, now: Timestamp) -> Result<()> {
        let pool = workspace.layout().pool();
        let present = self.not_listed(&pool)?;
        let before: Idle = workspace.read_state(RECORD)?.unwrap_or_default();
        if present.is_empty() && before.files.is_empty() {
            return Ok(());
        }
        let this = Since {
            generation: workspace.published().number,
            time: now.as_second(),
        };
        let mut idle = Idle::default();
        for path in present {
            let known = before.files.get(&path).copied();
            // A clock that was ahead must not keep a file longer.
            let since = known.map_or(this, |known| Since {
                time: known.time.min(this.time),
                ..known
            });
            match self.is_over(since, this) && !is_retained(workspace, since) {
                true => remove(&pool, &path)?,
                false => drop(idle.files.insert(path, since)),
            }
        }
        workspace.write_state(RECORD, &idle)
    }

    /// Returns whether the time is over for which clients may ask for a file.
    fn is_over(&self, since: Since, now: Since) -> bool {
        let days = i64::try_from(self.retention.days).unwrap_or(i64::MAX);
        let generations = now.generation.saturating_sub(since.generation);
        generations >= self.retention.generations
            && now.time.saturating_sub(since.time) >= days.saturating_mul(86_400)
    }

    /// Returns the files in the pool that no list has.
    fn not_listed(&self, pool: &Path) -> Result<Vec<PathBuf>> {
        if !pool.try_exists().map_err(Error::io("look at", pool))? {
            return Ok(Vec::new());
        }
        let mut found = Vec::new();
        for entry in listing::below(pool, usize::MAX, |_| true) {
            let entry = entry?;
            if entry.file_type().is_dir() {
                continue;
            }
            let path = entry.path().strip_prefix(pool).unwrap_or(entry.path());
            if !self.files.contains_key(path) {
                found.push(path.to_owned());
            }
        }
        Ok(found)
    }
}

/// Returns whether a suite retains an index from before a file left the lists. A suite that does not change retains its indices longer than
/// the generations of the site say.
fn is_retained(workspace: &Workspace<'_>, since: Since) -> bool {
    let mut suites = workspace.published().suites.values();
    suites.any(|suite| suite.retained.values().any(|last| last.time <= since.time))
}

/// Returns whether a file of the store has its link already. A file that the store has lost is not needed where its link is left: a path
/// keeps its content.
fn is_same(place: &Path, file: &Path) -> Result<bool> {
    let inode = |path: &Path| match fs::symlink_metadata(path) {
        Ok(found) => Ok(Some((found.dev(), found.ino()))),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(Error::io("look at", path)(error)),
    };
    match (inode(place)?, inode(file)?) {
        (None, _) => Ok(false),
        (Some(_), None) => Ok(true),
        (Some(placed), Some(stored)) => Ok(placed == stored),
    }
}

/// Returns whether two files have the same bytes.
fn has_same_bytes(one: &Path, other: &Path) -> io::Result<bool> {
    let open = |path: &Path| {
        let file = durable::open_regular(path)?;
        io::Result::Ok(BufReader::with_capacity(PIECE_BYTES, file))
    };
    let (mut one, mut other) = (open(one)?, open(other)?);
    loop {
        let (left, right) = (one.fill_buf()?, other.fill_buf()?);
        let count = left.len().min(right.len());
        if count == 0 || left.get(..count) != right.get(..count) {
            return Ok(left.is_empty() && right.is_empty());
        }
        one.consume(count);
        other.consume(count);
    }
}

/// Gives a file another name, in place of a copy of it that has the name.
fn link(file: &Path, place: &Path) -> Result<()> {
    match fs::hard_link(file, place) {
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
        outcome => return outcome.map_err(Error::io("link into the pool", file)),
    }
    if !has_same_bytes(file, place).map_err(Error::io("compare with the store", place))? {
        return Err(PublishError::OtherContent {
            place: place.to_owned(),
            file: file.to_owned(),
        }
        .into());
    }
    let new = durable::temporary(place)?.into_temp_path();
    fs::remove_file(&new).map_err(Error::io("remove", &new))?;
    fs::hard_link(file, &new).map_err(Error::io("link into the pool", file))?;
    durable::rename(&new, place)
}

/// Removes a file, and the directories that become empty.
fn remove(pool: &Path, path: &Path) -> Result<()> {
    durable::remove_file(&pool.join(path))?;
    let above = path.ancestors().skip(1);
    for dir in above.filter(|dir| dir.components().count() > KEPT_DEPTH) {
        let dir = pool.join(dir);
        match fs::remove_dir(&dir) {
            Ok(()) => {}
            Err(error) if error.kind() == ErrorKind::DirectoryNotEmpty => return Ok(()),
            Err(error) => return Err(Error::io("remove", dir)(error)),
        }
    }
    Ok(())
}
