//! Reading rows: values that are text in the tables, and names that are there or not.

use std::error::Error;
use std::str::FromStr;

use rusqlite::types::Type;
use rusqlite::{Connection, OptionalExtension, Row, params};

use super::error::StoreError;

/// Returns a column as the type that its text stands for.
pub(super) fn parsed<T: FromStr>(row: &Row<'_>, column: usize) -> rusqlite::Result<T>
where
    T::Err: Error + Send + Sync + 'static,
{
    let text: String = row.get(column)?;
    text.parse().map_err(|error: T::Err| {
        rusqlite::Error::FromSqlConversionFailure(column, Type::Text, Box::new(error))
    })
}

/// Returns whether a name is taken; `what` is the table: `repository` or `snapshot`.
pub(super) fn is_taken(
    db: &Connection,
    what: &'static str,
    name: &str,
) -> Result<bool, StoreError> {
    let sql = format!("SELECT EXISTS (SELECT 1 FROM {what} WHERE name = ?1)");
    Ok(db
        .prepare_cached(&sql)?
        .query_row([name], |row| row.get(0))?)
}

/// Returns the error that a name is not there, with the most similar one.
pub(super) fn not_found(
    db: &Connection,
    what: &'static str,
    name: &str,
) -> Result<StoreError, StoreError> {
    let mut statement = db.prepare_cached(&format!("SELECT name FROM {what} ORDER BY name"))?;
    let names = statement.query_map([], |row| row.get(0))?;
    let names: Vec<String> = names.collect::<Result<_, _>>()?;
    let distance = |other: &String| strsim::damerau_levenshtein(other, name);
    let nearest = names
        .into_iter()
        .min_by_key(distance)
        .filter(|other| distance(other) <= 1 + name.len() / 4);
    Ok(StoreError::NotFound {
        what,
        name: name.to_owned(),
        nearest,
    })
}

/// Gives a row another name; `what` is the table.
pub(super) fn rename(
    db: &Connection,
    what: &'static str,
    id: i64,
    from: &str,
    to: &str,
) -> Result<(), StoreError> {
    if from != to && is_taken(db, what, to)? {
        return Err(StoreError::Exists {
            what,
            name: to.to_owned(),
        });
    }
    db.prepare_cached(&format!("UPDATE {what} SET name = ?2 WHERE id = ?1"))?
        .execute(params![id, to])?;
    Ok(())
}

/// Takes a repository or a snapshot out of the sources of snapshots; refuses that if there are any, unless `force`.
pub(super) fn forget_source(
    db: &Connection,
    what: &'static str,
    column: &'static str,
    id: i64,
    name: &str,
    force: bool,
) -> Result<(), StoreError> {
    let sql = format!(
        "SELECT name FROM snapshot JOIN snapshot_source ON snapshot = snapshot.id
         WHERE {column} = ?1 ORDER BY name LIMIT 1"
    );
    let user: Option<String> = db
        .prepare_cached(&sql)?
        .query_row([id], |row| row.get(0))
        .optional()?;
    match user {
        Some(user) if !force => Err(StoreError::Needed {
            what,
            name: name.to_owned(),
            by: format!("the snapshot `{user}` was made of it"),
        }),
        _ => {
            db.prepare_cached(&format!("DELETE FROM snapshot_source WHERE {column} = ?1"))?
                .execute([id])?;
            Ok(())
        }
    }
}

/// Returns the names of the repositories or snapshots that have a list; `what` is the table.
pub(super) fn names_of<T: FromStr>(
    db: &Connection,
    what: &'static str,
    list: i64,
) -> Result<Vec<T>, StoreError>
where
    T::Err: Error + Send + Sync + 'static,
{
    let sql = format!("SELECT name FROM {what} WHERE list = ?1 ORDER BY name");
    let mut statement = db.prepare_cached(&sql)?;
    let names = statement.query_map([list], |row| parsed(row, 0))?;
    Ok(names.collect::<Result<_, _>>()?)
}
