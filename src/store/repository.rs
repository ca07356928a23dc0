//! Repositories: local collections of packages, which change.

use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension, Row, params};
use serde::Serialize;

use crate::names::{Component, RepositoryName};

use super::edit::{Added, Edit};
use super::error::StoreError;
use super::head::Head;
use super::list::List;
use super::operation::{Change, NewPackage};
use super::retain::outdated;
use super::rows::{self, parsed};
use super::{depends, package, select};

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
        change.count(&head.key, edit.add(&head, replace)?);
    }
    change.is_held_by(name);
    set_list(db, &repository, edit.finish()?, now)?;
    Ok(change)
}

/// Changes what is said of a repository.
pub(super) fn edit(
    db: &Connection,
    name: &RepositoryName,
    comment: Option<&str>,
    distribution: Option<&str>,
    component: Option<&Component>,
) -> Result<(), StoreError> {
    let id = load(db, name)?.id;
    let sql = "UPDATE repository SET comment = coalesce(?2, comment),
                   distribution = coalesce(?3, distribution), component = coalesce(?4, component)
               WHERE id = ?1";
    let component = component.map(Component::as_str);
    db.prepare_cached(sql)?
        .execute(params![id, comment, distribution, component])?;
    Ok(())
}

/// Gives a repository another name.
pub(super) fn rename(
    db: &Connection,
    from: &RepositoryName,
    to: &RepositoryName,
) -> Result<(), StoreError> {
    let loaded = load(db, from)?;
    rows::rename(db, "repository", loaded.id, from.as_str(), to.as_str())
}

/// Drops a repository. Snapshots that were made of it stay as they are.
pub(super) fn drop(db: &Connection, name: &RepositoryName, force: bool) -> Result<(), StoreError> {
    let loaded = load(db, name)?;
    rows::forget_source(
        db,
        "repository",
        "repository",
        loaded.id,
        name.as_str(),
        force,
    )?;
    db.prepare_cached("DELETE FROM repository WHERE id = ?1")?
        .execute([loaded.id])?;
    Ok(())
}

/// Removes packages from a repository.
fn take_out(
    db: &Connection,
    repository: &Loaded,
    gone: &[Head],
    now: Timestamp,
) -> Result<Change, StoreError> {
    let mut edit = Edit::begin(db, repository.list)?;
    let mut change = Change::default();
    for head in gone {
        if edit.remove(head)? {
            change.removed.push(head.key.clone());
        }
    }
    set_list(db, repository, edit.finish()?, now)?;
    Ok(change)
}

/// Removes the packages that a query means.
pub(super) fn remove(
    db: &Connection,
    name: &RepositoryName,
    query: &str,
    now: Timestamp,
) -> Result<Change, StoreError> {
    let query = select::parse(query)?;
    let repository = load(db, name)?;
    let gone = select::matching(db, select::all(db, repository.list)?, &query)?;
    take_out(db, &repository, &gone, now)
}

/// Removes all but the newest versions.
pub(super) fn retain(
    db: &Connection,
    name: &RepositoryName,
    versions: usize,
    query: Option<&str>,
    now: Timestamp,
) -> Result<Change, StoreError> {
    let query = query.map(select::parse).transpose()?;
    let repository = load(db, name)?;
    let all = select::all(db, repository.list)?;
    let meant = match &query {
        Some(query) => select::matching(db, all.clone(), query)?,
        None => all.clone(),
    };
    take_out(db, &repository, &outdated(&all, &meant, versions), now)
}

/// The choice of packages that go from one repository to another.
pub(super) struct Choice<'a> {
    pub(super) query: &'a str,
    pub(super) with_dependencies: bool,
    pub(super) replace: bool,
    pub(super) is_move: bool,
}

/// Copies or moves packages.
pub(super) fn copy(
    db: &Connection,
    from: &RepositoryName,
    to: &RepositoryName,
    choice: &Choice<'_>,
    now: Timestamp,
) -> Result<Change, StoreError> {
    if from == to {
        return Err(StoreError::Same {
            what: "repository",
            name: from.to_string(),
        });
    }
    let query = select::parse(choice.query)?;
    let (source, target) = (load(db, from)?, load(db, to)?);
    let all = select::all(db, source.list)?;
    let mut chosen = select::matching(db, all.clone(), &query)?;
    if choice.with_dependencies {
        let there = select::all(db, target.list)?;
        let architectures = depends::architectures(&all);
        chosen = depends::with_dependencies(db, chosen, &there, &all, &architectures)?;
    }
    let mut change = Change::default();
    let mut edit = Edit::begin(db, target.list)?;
    let mut arrived = Vec::new();
    for head in chosen {
        let added = edit.add(&head, choice.replace)?;
        let is_refused = matches!(added, Added::Refused(_));
        change.count(&head.key, added);
        if !is_refused {
            arrived.push(head);
        }
    }
    change.is_held_by(to);
    set_list(db, &target, edit.finish()?, now)?;
    if choice.is_move {
        take_out(db, &source, &arrived, now)?;
    }
    Ok(change)
}
