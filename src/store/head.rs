//! The identity of packages as lists, queries and comparisons need it, without their stanzas.

use std::cmp::Ordering;

use rusqlite::{Connection, OptionalExtension, Row, params};

use crate::deb::Kind;
use crate::deb822::compare_versions;

use super::error::StoreError;
use super::key::PackageKey;

/// The identity of a package in the store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Head {
    pub(super) id: i64,
    /// The digest of its files and its stanza.
    pub(super) digest: [u8; 32],
    pub(super) kind: Kind,
    pub(super) key: PackageKey,
    pub(super) source: String,
    pub(super) source_version: String,
    /// The field `Provides`.
    pub(super) provides: String,
}

/// The columns that [`read`] takes.
pub(super) const COLUMNS: &str =
    "id, digest, kind, name, version, architecture, source, source_version, provides, files_hash";

impl Head {
    /// Returns name and architecture: packages that have the same are versions of one another.
    pub(super) fn group(&self) -> (&str, &str) {
        (&self.key.name, &self.key.architecture)
    }

    /// Returns whether name, version and architecture are the same.
    pub(super) fn is_same_version(&self, other: &Self) -> bool {
        self.group() == other.group() && self.key.version == other.key.version
    }

    /// Returns the order in which packages are shown: by name, version, architecture, and what tells the rest apart.
    pub(super) fn order(&self, other: &Self) -> Ordering {
        let (a, b) = (&self.key, &other.key);
        a.name
            .cmp(&b.name)
            .then_with(|| compare_versions(a.version.as_bytes(), b.version.as_bytes()))
            .then_with(|| a.cmp(b))
            .then_with(|| self.digest.cmp(&other.digest))
    }
}

/// Reads the head of a package out of a row of [`COLUMNS`].
pub(super) fn read(row: &Row<'_>) -> rusqlite::Result<Head> {
    let kind: String = row.get(2)?;
    Ok(Head {
        id: row.get(0)?,
        digest: row.get(1)?,
        kind: kind_of(&kind),
        key: PackageKey {
            name: row.get(3)?,
            version: row.get(4)?,
            architecture: row.get(5)?,
            files_hash: i64::cast_unsigned(row.get(9)?),
        },
        source: row.get(6)?,
        source_version: row.get(7)?,
        provides: row.get(8)?,
    })
}

/// Returns the kind of a word that the tables allow.
fn kind_of(word: &str) -> Kind {
    let kinds = [Kind::Installer, Kind::Source];
    let known = kinds.into_iter().find(|kind| kind.as_str() == word);
    known.unwrap_or(Kind::Binary)
}

/// Returns the heads of packages by their numbers.
pub(super) fn load_all(db: &Connection, ids: &[i64]) -> Result<Vec<Head>, StoreError> {
    let sql = format!("SELECT {COLUMNS} FROM package WHERE id = ?1");
    let mut statement = db.prepare_cached(&sql)?;
    let mut heads = Vec::with_capacity(ids.len());
    for id in ids {
        let head = statement.query_row([id], read).optional()?;
        heads.push(head.ok_or_else(|| StoreError::Damaged(format!("package {id} is missing")))?);
    }
    Ok(heads)
}

/// Returns the heads of the packages that have a key.
pub(super) fn of_key(db: &Connection, key: &PackageKey) -> Result<Vec<Head>, StoreError> {
    let sql = format!(
        "SELECT {COLUMNS} FROM package
         WHERE name = ?1 AND architecture = ?2 AND version = ?3 AND files_hash = ?4 ORDER BY id"
    );
    let mut statement = db.prepare_cached(&sql)?;
    let hash = key.files_hash.cast_signed();
    let heads =
        statement.query_map(params![key.name, key.architecture, key.version, hash], read)?;
    Ok(heads.collect::<Result<_, _>>()?)
}
