//! Garbage collection: what no repository and no snapshot needs any more goes, after a retention.
//!
//! A list that nothing refers to stays for the retention, with all its packages: a run may have pinned it. Then lists, buckets, packages and the
//! rows of files go in one transaction. Files are unlinked after that, and each in a transaction that looks again: a file goes only if it has no
//! row and is not arriving. Whoever adds the same file at this moment has recorded it before, so the file stays, or records it afterwards, and
//! then finds it gone and brings it again ([`super::arrive`]). Only files whose names are digests are touched, and temporary files of ours that are
//! a day old.

use std::collections::BTreeSet;
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use jiff::Timestamp;
use rusqlite::{Connection, params};
use serde::Serialize;
use walkdir::WalkDir;

use crate::durable::{self, TEMP_PREFIX};
use crate::error::{Error, Result};

use super::Store;
use super::error::StoreError;
use super::files::digest_of;
use super::head::{self, Head};
use super::key::PackageKey;
use super::list::{List, load_bucket};

/// The number of files that are unlinked in one transaction.
const BATCH: usize = 500;

/// The age from which a temporary file was left by a crash.
const LITTER_AGE: Duration = Duration::from_secs(24 * 60 * 60);

/// The things that garbage collection removed, or would remove.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Garbage {
    /// The packages that no repository and no snapshot has had for the retention.
    pub packages: Vec<PackageKey>,
    /// The number of lists that none has had for the retention.
    pub lists: u64,
    /// The number of files.
    pub files: u64,
    /// The length of these files together, in bytes.
    pub bytes: u64,
    /// The number of lists that no repository and no snapshot has, and that stay until the retention is over.
    pub waiting_lists: u64,
}

impl Store {
    /// Removes what nothing has needed for the retention, in seconds.
    pub fn collect_garbage(&mut self, now: Timestamp, retention: u64) -> Result<Garbage> {
        let transaction = self.write()?;
        let mut garbage = remove_rows(&transaction, now, retention)?;
        transaction.commit().map_err(StoreError::from)?;
        let strays = strays(self.db(), self.packages(), now)?;
        for batch in strays.chunks(BATCH) {
            let transaction = self.write()?;
            for stray in batch {
                let is_needed = match &stray.sha256 {
                    Some(sha256) => is_needed(&transaction, sha256, now)?,
                    None => false,
                };
                if !is_needed {
                    durable::remove_file(&stray.path)?;
                    garbage.files += 1;
                    garbage.bytes += stray.bytes;
                }
            }
            transaction.commit().map_err(StoreError::from)?;
        }
        Ok(garbage)
    }

    /// Returns what garbage collection would remove at this moment, and removes nothing.
    pub fn foresee_garbage(&mut self, now: Timestamp, retention: u64) -> Result<Garbage> {
        let packages = self.packages().to_owned();
        let transaction = self.write()?;
        let mut garbage = remove_rows(&transaction, now, retention)?;
        let strays = strays(&transaction, &packages, now)?;
        transaction.rollback().map_err(StoreError::from)?;
        garbage.files = strays.len() as u64;
        garbage.bytes = strays.iter().map(|stray| stray.bytes).sum();
        Ok(garbage)
    }
}

/// Removes the rows that nothing needs.
fn remove_rows(db: &Connection, now: Timestamp, retention: u64) -> Result<Garbage, StoreError> {
    let now = now.as_second();
    let until = now.saturating_sub_unsigned(retention);
    let needed = "(SELECT list FROM repository UNION SELECT list FROM snapshot)";
    db.execute(
        &format!(
            "UPDATE list SET idle_since = NULL WHERE idle_since IS NOT NULL AND id IN {needed}"
        ),
        [],
    )?;
    db.execute(
        &format!("UPDATE list SET idle_since = ?1 WHERE idle_since IS NULL AND id NOT IN {needed}"),
        [now],
    )?;
    let lists = db.execute("DELETE FROM list WHERE idle_since <= ?1", [until])?;
    let sql = "SELECT count(*) FROM list WHERE idle_since IS NOT NULL";
    let waiting_lists = db.query_row(sql, [], |row| row.get(0))?;

    let mut rows = BTreeSet::new();
    for list in numbers(db, "SELECT id FROM list")? {
        rows.extend(List::load(db, list)?.buckets().map(|(_, row)| row));
    }
    let mut packages = BTreeSet::new();
    for row in &rows {
        packages.extend(load_bucket(db, *row)?);
    }
    let dead = numbers(db, "SELECT id FROM bucket")?;
    for row in dead.iter().filter(|row| !rows.contains(row)) {
        db.prepare_cached("DELETE FROM bucket WHERE id = ?1")?
            .execute([row])?;
    }
    let mut gone: Vec<Head> = Vec::new();
    let dead = numbers(db, "SELECT id FROM package")?;
    for id in dead.iter().filter(|id| !packages.contains(id)) {
        gone.extend(head::load_all(db, &[*id])?);
        db.prepare_cached("DELETE FROM package WHERE id = ?1")?
            .execute([id])?;
    }
    gone.sort_by(Head::order);
    db.execute("DELETE FROM arriving WHERE expires <= ?1", [now])?;
    let sql = "DELETE FROM file WHERE NOT EXISTS (SELECT 1 FROM package_file WHERE package_file.sha256 = file.sha256)";
    db.execute(sql, [])?;
    Ok(Garbage {
        packages: gone.into_iter().map(|head| head.key).collect(),
        lists: lists as u64,
        waiting_lists,
        ..Garbage::default()
    })
}

fn numbers(db: &Connection, sql: &str) -> Result<Vec<i64>, StoreError> {
    let mut statement = db.prepare_cached(sql)?;
    let numbers = statement.query_map([], |row| row.get(0))?;
    Ok(numbers.collect::<Result<_, _>>()?)
}

/// A file below `packages/` that may be garbage.
struct Stray {
    path: PathBuf,
    /// The digest that is its name; `None` for a temporary file.
    sha256: Option<[u8; 32]>,
    bytes: u64,
}

/// Returns the files that no row names and that are not arriving.
fn strays(db: &Connection, packages: &Path, now: Timestamp) -> Result<Vec<Stray>> {
    let mut strays = Vec::new();
    for entry in WalkDir::new(packages).min_depth(1).max_depth(2) {
        let entry = match entry {
            // Somebody else collects as well.
            Err(error) if is_missing(&error) => continue,
            entry => entry.map_err(|error| Error::io("list", packages)(error.into()))?,
        };
        let (path, bytes) = match entry.metadata() {
            Ok(metadata) if metadata.is_file() => (entry.path(), metadata.len()),
            _ => continue,
        };
        let sha256 = digest_of(packages, path);
        let is_stray = match &sha256 {
            Some(sha256) => !is_needed(db, sha256, now)?,
            None => is_litter(path, now),
        };
        if is_stray {
            strays.push(Stray {
                path: path.to_owned(),
                sha256,
                bytes,
            });
        }
    }
    Ok(strays)
}

fn is_missing(error: &walkdir::Error) -> bool {
    error
        .io_error()
        .is_some_and(|error| error.kind() == ErrorKind::NotFound)
}

/// Returns whether a path is that of a temporary file which a crash left.
fn is_litter(path: &Path, now: Timestamp) -> bool {
    let name = path.file_name().unwrap_or_default();
    let modified = fs::metadata(path).and_then(|metadata| metadata.modified());
    let age = modified.map(|time| SystemTime::from(now).duration_since(time));
    name.as_encoded_bytes().starts_with(TEMP_PREFIX.as_bytes())
        && matches!(age, Ok(Ok(age)) if age > LITTER_AGE)
}

/// Returns whether a file belongs to a package or is arriving.
fn is_needed(db: &Connection, sha256: &[u8; 32], now: Timestamp) -> Result<bool, StoreError> {
    let sql = "SELECT EXISTS (SELECT 1 FROM file WHERE sha256 = ?1)
                   OR EXISTS (SELECT 1 FROM arriving WHERE sha256 = ?1 AND expires > ?2)";
    Ok(db
        .prepare_cached(sql)?
        .query_row(params![sha256, now.as_second()], |row| row.get(0))?)
}
