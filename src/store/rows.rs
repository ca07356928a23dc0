//! Reading rows: values that are text in the tables, and names that are there or not.

use std::error::Error;
use std::str::FromStr;

use rusqlite::types::Type;
use rusqlite::{Connection, Row};

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
