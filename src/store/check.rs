//! Checking the store: every reference and every digest.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::Path;

use rayon::prelude::*;
use rusqlite::Connection;
use serde::Serialize;

use crate::durable;
use crate::error::Result;

use super::arrive::hash_into;
use super::error::StoreError;
use super::files::path_of;
use super::head::{self, Head};
use super::list::{self, List, bucket_of, load_bucket};
use super::package;
use super::view::View;

/// The outcome of a check.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Report {
    /// The number of packages that were looked at.
    pub packages: u64,
    /// The number of files that were looked at.
    pub files: u64,
    /// The faults, in words.
    pub faults: Vec<String>,
}

/// A file that must be there.
struct File {
    sha256: [u8; 32],
    size: u64,
}

impl View {
    /// Checks the store: the database, every list, every package, and that each file is there in its length; if `is_deep`, also its bytes.
    pub fn check(&self, is_deep: bool) -> Result<Report> {
        let mut report = Report::default();
        let files = {
            let db = self.read()?;
            check_database(&db, &mut report)?;
            let heads = check_packages(&db, &mut report)?;
            check_lists(&db, &heads, &mut report)?;
            files(&db)?
        };
        report.files = files.len() as u64;
        let packages = self.packages_dir();
        let faults: Vec<_> = files
            .par_iter()
            .filter_map(|file| Some((file, fault_of(packages, file, is_deep)?)))
            .collect();
        for (file, fault) in faults {
            // Garbage collection may have taken it since.
            if self.names(&file.sha256)? {
                report.faults.push(fault);
            }
        }
        Ok(report)
    }

    fn names(&self, sha256: &[u8; 32]) -> Result<bool, StoreError> {
        let sql = "SELECT EXISTS (SELECT 1 FROM file WHERE sha256 = ?1)";
        let mut statement = self.connection.prepare_cached(sql)?;
        Ok(statement.query_row([sha256], |row| row.get(0))?)
    }
}

/// Lets SQLite check its own structures and the foreign keys.
fn check_database(db: &Connection, report: &mut Report) -> Result<(), StoreError> {
    let mut statement = db.prepare("PRAGMA integrity_check")?;
    let told = statement.query_map([], |row| row.get(0))?;
    let told: Vec<String> = told.collect::<Result<_, _>>()?;
    let faults = told.into_iter().filter(|told| told != "ok");
    report
        .faults
        .extend(faults.map(|told| format!("the database: {told}")));
    let mut statement = db.prepare("PRAGMA foreign_key_check")?;
    let broken = statement.query_map([], |row| row.get::<_, String>(0))?;
    for table in broken {
        let table = table?;
        report
            .faults
            .push(format!("a row of `{table}` refers to what is not there"));
    }
    Ok(())
}

/// Checks that each package is what its digest says.
fn check_packages(db: &Connection, report: &mut Report) -> Result<BTreeMap<i64, Head>, StoreError> {
    let mut statement = db.prepare(&format!("SELECT {} FROM package", head::COLUMNS))?;
    let heads: Vec<Head> = statement
        .query_map([], head::read)?
        .collect::<Result<_, _>>()?;
    report.packages = heads.len() as u64;
    for head in &heads {
        if package::digest(db, head)? != Some(head.digest) {
            let key = &head.key;
            report.faults.push(format!(
                "`{key}`: its stanza or the list of its files is not the one that came"
            ));
        }
    }
    Ok(heads.into_iter().map(|head| (head.id, head)).collect())
}

/// Checks that each list and each bucket is what its digest says, and that its packages are there.
fn check_lists(
    db: &Connection,
    heads: &BTreeMap<i64, Head>,
    report: &mut Report,
) -> Result<(), StoreError> {
    let mut statement = db.prepare("SELECT id FROM list ORDER BY id")?;
    let ids = statement.query_map([], |row| row.get(0))?;
    let ids: Vec<i64> = ids.collect::<Result<_, _>>()?;
    let mut sizes: BTreeMap<i64, u64> = BTreeMap::new();
    let mut seen: BTreeSet<(u16, i64)> = BTreeSet::new();
    for id in ids {
        let list = match List::load(db, id) {
            Err(StoreError::Damaged(why)) => {
                report.faults.push(why);
                continue;
            }
            list => list?,
        };
        for (number, row) in list.buckets() {
            if seen.insert((number, row)) {
                let size = check_bucket(db, heads, number, row, report)?;
                sizes.insert(row, size);
            }
        }
        let count: u64 = list.buckets().filter_map(|(_, row)| sizes.get(&row)).sum();
        if list.packages != count {
            let said = list.packages;
            report
                .faults
                .push(format!("list {id} has {count} packages, and says {said}"));
        }
        if list.digest(db)? != Some(list::digest(db, id)?) {
            report
                .faults
                .push(format!("list {id} is not the one that its digest names"));
        }
    }
    Ok(())
}

/// Checks a bucket, and returns the number of its packages.
fn check_bucket(
    db: &Connection,
    heads: &BTreeMap<i64, Head>,
    number: u16,
    row: i64,
    report: &mut Report,
) -> Result<u64, StoreError> {
    let ids = match load_bucket(db, row) {
        Err(StoreError::Damaged(why)) => {
            report.faults.push(why);
            return Ok(0);
        }
        ids => ids?,
    };
    let found: Vec<&Head> = ids.iter().filter_map(|id| heads.get(id)).collect();
    if found.len() < ids.len() {
        report
            .faults
            .push(format!("bucket {row} names packages that are not there"));
    }
    let is_here = |head: &&Head| bucket_of(&head.key.name, &head.key.architecture) == number;
    let digest = list::digest_of(found.iter().map(|head| &head.digest));
    if !found.iter().all(is_here) || list::digest_of_bucket(db, row)? != digest {
        report
            .faults
            .push(format!("bucket {row} is not the one that its digest names"));
    }
    Ok(ids.len() as u64)
}

fn files(db: &Connection) -> Result<Vec<File>, StoreError> {
    let mut statement = db.prepare("SELECT sha256, size FROM file ORDER BY sha256")?;
    let files = statement.query_map([], |row| {
        Ok(File {
            sha256: row.get(0)?,
            size: row.get(1)?,
        })
    })?;
    Ok(files.collect::<Result<_, _>>()?)
}

/// Returns what is wrong with a file.
fn fault_of(packages: &Path, file: &File, is_deep: bool) -> Option<String> {
    let path = path_of(packages, &file.sha256);
    let told = |why: String| Some(format!("{}: {why}", path.display()));
    let length = match path.symlink_metadata() {
        Ok(metadata) if metadata.is_file() => metadata.len(),
        Ok(_) => return told("it is no regular file".into()),
        Err(error) => return told(error.to_string()),
    };
    if length != file.size {
        return told(format!(
            "it has {length} bytes, and must have {}",
            file.size
        ));
    }
    if !is_deep {
        return None;
    }
    let hashed = durable::open_regular(&path)
        .and_then(|mut opened| hash_into(&mut opened, &mut io::sink(), String::new()));
    match hashed {
        Ok(found) if found.sha256.0 == file.sha256 => None,
        Ok(_) => told("its bytes are not those that its name says".into()),
        Err(error) => told(error.to_string()),
    }
}
