//! Repositories: local collections of packages, which change.

use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension, Row, params};
use serde::Serialize;

use crate::names::{Component, RepositoryName};

use super::edit::{Added, Edit};
use super::error::StoreError;
use super::list::List;
use super::operation::{Change, NewPackage, Refusal};
use super::package;
use super::rows::{self, parsed};

/// A repository as it was when it was looked at. No operation takes one: it may be out of date.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Repository {
    /// The name.
    pub name: RepositoryName,
    /// A remark for people.
    pub comment: String,
    /// The distribution that it is published as, unless a publication says otherwise.
    pub distribution: String,
    /// The component that its packages are published in, unless a publication says otherwise.
    pub component: Component,
    /// The number of packages.
    pub packages: u64,
    /// The time of the last change of its packages.
    pub changed: Timestamp,
}

/// A repository inside of a transaction: the row, and the number of its list.
pub(super) struct Loaded {
    pub(super) id: i64,
    pub(super) list: i64,
    pub(super) repository: Repository,
}

const SELECT: &str =
    "SELECT repository.id, list, name, comment, distribution, component, packages, changed
     FROM repository JOIN list ON list.id = repository.list";

fn read(row: &Row<'_>) -> rusqlite::Result<Loaded> {
    Ok(Loaded {
        id: row.get(0)?,
        list: row.get(1)?,
        repository: Repository {
            name: parsed(row, 2)?,
            comment: row.get(3)?,
            distribution: row.get(4)?,
            component: parsed(row, 5)?,
            packages: row.get(6)?,
            changed: parsed(row, 7)?,
        },
    })
}

/// Returns a repository.
pub(super) fn load(db: &Connection, name: &RepositoryName) -> Result<Loaded, StoreError> {
    let found = db
        .prepare_cached(&format!("{SELECT} WHERE name = ?1"))?
        .query_row([name.as_str()], read)
        .optional()?;
    match found {
        Some(found) => Ok(found),
        None => Err(rows::not_found(db, "repository", name.as_str())?),
    }
}

/// Returns all repositories, by name.
pub(super) fn all(db: &Connection) -> Result<Vec<Repository>, StoreError> {
    let mut statement = db.prepare_cached(&format!("{SELECT} ORDER BY name"))?;
    let rows = statement.query_map([], |row| Ok(read(row)?.repository))?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// Makes a repository.
pub(super) fn create(db: &Connection, new: &Repository) -> Result<(), StoreError> {
    if rows::is_taken(db, "repository", new.name.as_str())? {
        return Err(StoreError::Exists {
            what: "repository",
            name: new.name.to_string(),
        });
    }
    let list = List::default().save(db)?;
    let sql = "INSERT INTO repository (name, comment, distribution, component, list, changed)
               VALUES (?1, ?2, ?3, ?4, ?5, ?6)";
    db.prepare_cached(sql)?.execute(params![
        new.name.as_str(),
        new.comment,
        new.distribution,
        new.component.as_str(),
        list,
        new.changed.to_string(),
    ])?;
    Ok(())
}

/// Gives a repository another list.
pub(super) fn set_list(
    db: &Connection,
    repository: &Loaded,
    list: i64,
    now: Timestamp,
) -> Result<(), StoreError> {
    if list != repository.list {
        db.prepare_cached("UPDATE repository SET list = ?2, changed = ?3 WHERE id = ?1")?
            .execute(params![repository.id, list, now.to_string()])?;
    }
    Ok(())
}

/// Adds packages, each judged by itself.
pub(super) fn add(
    db: &Connection,
    name: &RepositoryName,
    packages: &[NewPackage],
    replace: bool,
    now: Timestamp,
) -> Result<Change, StoreError> {
    let repository = load(db, name)?;
    let mut edit = Edit::begin(db, repository.list)?;
    let mut change = Change::default();
    for new in packages {
        let head = package::insert(db, new, now.as_second())?;
        match edit.add(&head, replace)? {
            Added::New => change.added.push(head.key),
            Added::Unchanged => change.unchanged.push(head.key),
            Added::Instead(gone) => {
                change.removed.extend(gone.into_iter().map(|head| head.key));
                change.added.push(head.key);
            }
            Added::Refused(held) => change.refused.push(Refusal {
                offered: head.key,
                held: held.key,
                held_by: vec![format!("the repository `{name}`")],
            }),
        }
    }
    set_list(db, &repository, edit.finish()?, now)?;
    Ok(change)
}
