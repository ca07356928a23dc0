//! Snapshots: collections of packages that never change.

use std::collections::BTreeSet;

use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension, Row, params};
use serde::Serialize;

use crate::names::{Component, SnapshotName};

use super::depends::{self, with_dependencies};
use super::edit::Edit;
use super::error::StoreError;
use super::head::Head;
use super::list::List;
use super::merge::{self, MergeRule};
use super::operation::{Change, Pull, SnapshotOf};
use super::rows::{self, parsed};
use super::{repository, select};

/// A snapshot as it was when it was looked at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Snapshot {
    /// The name.
    pub name: SnapshotName,
    /// A remark for people.
    pub description: String,
    /// The component that its packages are published in, unless a publication says otherwise.
    pub component: Component,
    /// The number of packages.
    pub packages: u64,
    /// The time when it was made.
    pub created: Timestamp,
    /// The repositories and snapshots that it was made of, `repository:NAME` or `snapshot:NAME`, under the names that they have now.
    pub sources: Vec<String>,
}

/// A snapshot inside of a transaction: the row, and the number of its list.
pub(super) struct Loaded {
    pub(super) id: i64,
    pub(super) list: i64,
    pub(super) snapshot: Snapshot,
}

/// A repository or snapshot that another snapshot is made of.
enum Source {
    Repository(i64),
    Snapshot(i64),
}

const SELECT: &str = "SELECT snapshot.id, list, name, description, component, packages, created
     FROM snapshot JOIN list ON list.id = snapshot.list";

fn read(row: &Row<'_>) -> rusqlite::Result<Loaded> {
    Ok(Loaded {
        id: row.get(0)?,
        list: row.get(1)?,
        snapshot: Snapshot {
            name: parsed(row, 2)?,
            description: row.get(3)?,
            component: parsed(row, 4)?,
            packages: row.get(5)?,
            created: parsed(row, 6)?,
            sources: Vec::new(),
        },
    })
}

/// Returns a snapshot.
pub(super) fn load(db: &Connection, name: &SnapshotName) -> Result<Loaded, StoreError> {
    let found = db
        .prepare_cached(&format!("{SELECT} WHERE name = ?1"))?
        .query_row([name.as_str()], read)
        .optional()?;
    let Some(mut found) = found else {
        return Err(rows::not_found(db, "snapshot", name.as_str())?);
    };
    found.snapshot.sources = sources(db, found.id)?;
    Ok(found)
}

/// Returns all snapshots, by name.
pub(super) fn all(db: &Connection) -> Result<Vec<Snapshot>, StoreError> {
    let mut statement = db.prepare_cached(&format!("{SELECT} ORDER BY name"))?;
    let loaded: Vec<Loaded> = statement.query_map([], read)?.collect::<Result<_, _>>()?;
    let with_sources = loaded.into_iter().map(|mut loaded| {
        loaded.snapshot.sources = sources(db, loaded.id)?;
        Ok(loaded.snapshot)
    });
    with_sources.collect()
}

fn sources(db: &Connection, id: i64) -> Result<Vec<String>, StoreError> {
    let sql = "SELECT coalesce('repository:' || repository.name, 'snapshot:' || snapshot.name)
               FROM snapshot_source
               LEFT JOIN repository ON repository.id = snapshot_source.repository
               LEFT JOIN snapshot ON snapshot.id = of_snapshot
               WHERE snapshot_source.snapshot = ?1 ORDER BY position";
    let mut statement = db.prepare_cached(sql)?;
    let names = statement.query_map([id], |row| row.get(0))?;
    Ok(names.collect::<Result<_, _>>()?)
}

/// The content of a snapshot, and the collections that it is made of.
struct Content {
    list: i64,
    component: Component,
    sources: Vec<Source>,
    change: Change,
}

/// Makes a snapshot.
pub(super) fn create(
    db: &Connection,
    name: &SnapshotName,
    description: &str,
    of: &SnapshotOf,
    now: Timestamp,
) -> Result<Change, StoreError> {
    if rows::is_taken(db, "snapshot", name.as_str())? {
        return Err(StoreError::Exists {
            what: "snapshot",
            name: name.to_string(),
        });
    }
    let content = content(db, of)?;
    let sql = "INSERT INTO snapshot (name, description, component, list, created)
               VALUES (?1, ?2, ?3, ?4, ?5)";
    db.prepare_cached(sql)?.execute(params![
        name.as_str(),
        description,
        content.component.as_str(),
        content.list,
        now.to_string(),
    ])?;
    let id = db.last_insert_rowid();
    for (position, source) in content.sources.iter().enumerate() {
        let (repository, snapshot) = match source {
            Source::Repository(id) => (Some(id), None),
            Source::Snapshot(id) => (None, Some(id)),
        };
        let sql = "INSERT INTO snapshot_source (snapshot, position, repository, of_snapshot)
                   VALUES (?1, ?2, ?3, ?4)";
        db.prepare_cached(sql)?
            .execute(params![id, position, repository, snapshot])?;
    }
    Ok(content.change)
}

fn content(db: &Connection, of: &SnapshotOf) -> Result<Content, StoreError> {
    match of {
        SnapshotOf::Nothing { component } => Ok(Content {
            list: List::default().save(db)?,
            component: component.clone(),
            sources: Vec::new(),
            change: Change::default(),
        }),
        SnapshotOf::Repository { name } => {
            let loaded = repository::load(db, name)?;
            Ok(Content {
                list: loaded.list,
                component: loaded.repository.component,
                sources: vec![Source::Repository(loaded.id)],
                change: Change::default(),
            })
        }
        SnapshotOf::Merge { snapshots, rule } => merged(db, snapshots, *rule),
        SnapshotOf::Filter {
            snapshot,
            query,
            with_dependencies,
        } => filtered(db, snapshot, query, *with_dependencies),
        SnapshotOf::Pull(pull) => pulled(db, pull),
    }
}

fn merged(db: &Connection, names: &[SnapshotName], rule: MergeRule) -> Result<Content, StoreError> {
    let loaded = names.iter().map(|name| load(db, name));
    let loaded: Vec<Loaded> = loaded.collect::<Result<_, _>>()?;
    let mut list = List::default();
    for one in &loaded {
        list = merge::merge(db, &list, &List::load(db, one.list)?, rule)?;
    }
    if rule == MergeRule::Latest {
        list = merge::latest(db, &list)?;
    }
    Ok(Content {
        list: list.save(db)?,
        component: component_of(&loaded)?,
        sources: sources_of(&loaded),
        change: Change::default(),
    })
}

/// Returns the component of some snapshots if they agree on one, else `main`.
fn component_of(loaded: &[Loaded]) -> Result<Component, StoreError> {
    let all: BTreeSet<&Component> = loaded.iter().map(|one| &one.snapshot.component).collect();
    match all.iter().next() {
        Some(component) if all.len() == 1 => Ok((*component).clone()),
        _ => Component::new("main").map_err(|error| StoreError::Damaged(error.to_string())),
    }
}

/// Returns the sources of a snapshot, each once.
fn sources_of(loaded: &[Loaded]) -> Vec<Source> {
    let mut seen = BTreeSet::new();
    let once = loaded.iter().filter(|one| seen.insert(one.id));
    once.map(|one| Source::Snapshot(one.id)).collect()
}

fn filtered(
    db: &Connection,
    name: &SnapshotName,
    query: &str,
    has_dependencies: bool,
) -> Result<Content, StoreError> {
    let query = select::parse(query)?;
    let loaded = load(db, name)?;
    let all = select::all(db, loaded.list)?;
    let mut chosen = select::matching(db, all.clone(), &query)?;
    if has_dependencies {
        let architectures = depends::architectures(&all);
        chosen = with_dependencies(db, chosen, &[], &all, &architectures)?;
    }
    let mut edit = Edit::empty(db);
    for head in &chosen {
        edit.add(head, true)?;
    }
    Ok(Content {
        list: edit.finish()?,
        component: loaded.snapshot.component.clone(),
        sources: sources_of(&[loaded]),
        change: Change::default(),
    })
}

fn pulled(db: &Connection, pull: &Pull) -> Result<Content, StoreError> {
    let (into, from) = (load(db, &pull.into)?, load(db, &pull.from)?);
    let (base, source) = (select::all(db, into.list)?, select::all(db, from.list)?);
    let mut architectures: BTreeSet<String> = pull.architectures.iter().cloned().collect();
    if architectures.is_empty() {
        architectures = depends::architectures(&base);
        architectures.extend(depends::architectures(&source));
    }
    let is_wanted = |head: &Head| {
        let own = head.key.architecture.as_str();
        pull.architectures.is_empty() || own == "all" || architectures.contains(own)
    };
    let mut chosen: Vec<Head> = Vec::new();
    for query in &pull.queries {
        let query = select::parse(query)?;
        let mut found = select::matching(db, source.clone(), &query)?;
        found.retain(|head| is_wanted(head));
        if !pull.all_matches {
            let lower: BTreeSet<i64> = lower_versions(&found);
            found.retain(|head| !lower.contains(&head.id));
        }
        found.retain(|head| !chosen.iter().any(|other| other.id == head.id));
        chosen.append(&mut found);
    }
    if !pull.without_dependencies {
        chosen = with_dependencies(db, chosen, &base, &source, &architectures)?;
    }
    let mut change = Change::default();
    let mut edit = Edit::begin(db, into.list)?;
    let groups: BTreeSet<(&str, &str)> = match pull.keep_versions {
        true => BTreeSet::new(),
        false => chosen.iter().map(Head::group).collect(),
    };
    let stays = |head: &Head| chosen.iter().any(|other| other.id == head.id);
    for head in &base {
        if groups.contains(&head.group()) && !stays(head) && edit.remove(head)? {
            change.removed.push(head.key.clone());
        }
    }
    for head in &chosen {
        change.count(&head.key, edit.add(head, true)?);
    }
    Ok(Content {
        list: edit.finish()?,
        component: into.snapshot.component.clone(),
        sources: sources_of(&[into, from]),
        change,
    })
}

/// Returns the packages that are no highest version of their name and architecture.
fn lower_versions(heads: &[Head]) -> BTreeSet<i64> {
    let mut heads: Vec<&Head> = heads.iter().collect();
    heads.sort_by(|a, b| a.group().cmp(&b.group()).then_with(|| a.order(b)));
    let pairs = heads.windows(2);
    let lower = pairs.filter_map(|pair| match pair {
        [lower, higher] if lower.group() == higher.group() => Some(lower.id),
        _ => None,
    });
    lower.collect()
}

/// Gives a snapshot another name.
pub(super) fn rename(
    db: &Connection,
    from: &SnapshotName,
    to: &SnapshotName,
) -> Result<(), StoreError> {
    let loaded = load(db, from)?;
    rows::rename(db, "snapshot", loaded.id, from.as_str(), to.as_str())
}

/// Drops a snapshot. Those that were made of it are refused it, unless `force`; they stay as they are.
pub(super) fn drop(db: &Connection, name: &SnapshotName, force: bool) -> Result<(), StoreError> {
    let loaded = load(db, name)?;
    rows::forget_source(
        db,
        "snapshot",
        "of_snapshot",
        loaded.id,
        name.as_str(),
        force,
    )?;
    db.prepare_cached("DELETE FROM snapshot WHERE id = ?1")?
        .execute([loaded.id])?;
    Ok(())
}
