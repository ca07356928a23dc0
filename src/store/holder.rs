//! The repositories and snapshots that hold packages.

use rusqlite::Connection;

use super::error::StoreError;
use super::head::Head;
use super::list::{List, bucket_of};
use super::rows;
use crate::collection::Collection;

/// Returns the lists that repositories and snapshots have.
pub(super) fn lists(db: &Connection) -> Result<Vec<i64>, StoreError> {
    let sql = "SELECT list FROM repository UNION SELECT list FROM snapshot ORDER BY 1";
    let mut statement = db.prepare_cached(sql)?;
    let lists = statement.query_map([], |row| row.get(0))?;
    Ok(lists.collect::<Result<_, _>>()?)
}

/// Returns the repositories and snapshots that hold a package.
pub(super) fn of(db: &Connection, head: &Head) -> Result<Vec<Collection>, StoreError> {
    let (name, architecture) = head.group();
    let number = bucket_of(name, architecture);
    let mut holders = Vec::new();
    for list in lists(db)? {
        if !List::load(db, list)?.bucket(db, number)?.contains(&head.id) {
            continue;
        }
        let repositories = rows::names_of(db, "repository", list)?;
        holders.extend(repositories.into_iter().map(Collection::Repository));
        let snapshots = rows::names_of(db, "snapshot", list)?;
        holders.extend(snapshots.into_iter().map(Collection::Snapshot));
    }
    holders.sort();
    Ok(holders)
}
