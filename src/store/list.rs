//! Lists of packages, shared between all that have the same ones.
//!
//! A list has up to 1024 buckets. The name and architecture of a package decide its bucket, so all versions of a package are in one. A bucket
//! is the sorted numbers of its packages. It is stored once, and named by a digest of the packages' own digests. So two lists that differ by a
//! few packages differ by a few buckets: a snapshot of a hundred thousand packages costs some kilobytes, and a comparison of two lists skips
//! the buckets that are equal.
//!
//! Buckets and lists are never changed. Repositories and snapshots refer to a list by a foreign key. The references inside of a list are numbers
//! in a blob, since a row for each would take fifteen times as much space. Only garbage collection deletes what lists refer to; it marks from the
//! lists, and `store check` follows each reference.

use std::collections::{BTreeMap, BTreeSet};

use rusqlite::{Connection, OptionalExtension, params};
use sha2::{Digest, Sha256};

use super::error::StoreError;
use super::head::Head;

/// The number of buckets of a list.
const BUCKETS: u16 = 1024;

/// A list: the number of each bucket that is not empty, and the row that has its packages.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct List {
    buckets: BTreeMap<u16, i64>,
    /// The number of packages.
    pub(super) packages: u64,
}

/// Returns the bucket of a package.
pub(super) fn bucket_of(name: &str, architecture: &str) -> u16 {
    let digest: [u8; 32] = Sha256::digest(format!("{architecture} {name}")).into();
    u16::from_be_bytes([digest[0], digest[1]]) % BUCKETS
}

impl List {
    /// Reads a list.
    pub(super) fn load(db: &Connection, id: i64) -> Result<Self, StoreError> {
        let found = db
            .prepare_cached("SELECT buckets, packages FROM list WHERE id = ?1")?
            .query_row([id], |row| Ok((row.get::<_, Vec<u8>>(0)?, row.get(1)?)))
            .optional()?;
        let Some((blob, packages)) = found else {
            return Err(StoreError::Damaged(format!("list {id} is missing")));
        };
        Ok(Self {
            buckets: read_buckets(&blob)
                .ok_or_else(|| StoreError::Damaged(format!("list {id} cannot be read")))?,
            packages,
        })
    }

    /// Writes the list, unless an equal one is there; returns its number.
    pub(super) fn save(&self, db: &Connection) -> Result<i64, StoreError> {
        let digest = self
            .digest(db)?
            .ok_or_else(|| StoreError::Damaged("a bucket of a list is missing".into()))?;
        let known: Option<i64> = db
            .prepare_cached("UPDATE list SET idle_since = NULL WHERE digest = ?1 RETURNING id")?
            .query_row([digest], |row| row.get(0))
            .optional()?;
        if let Some(id) = known {
            return Ok(id);
        }
        let numbers = self.buckets.iter();
        let numbers = numbers.flat_map(|(number, row)| [u64::from(*number), row.unsigned_abs()]);
        db.prepare_cached("INSERT INTO list (digest, buckets, packages) VALUES (?1, ?2, ?3)")?
            .execute(params![digest, encode(numbers), self.packages])?;
        Ok(db.last_insert_rowid())
    }

    /// Returns the digest of the list, which covers the digests of its buckets; `None` if one of them is missing.
    pub(super) fn digest(&self, db: &Connection) -> Result<Option<[u8; 32]>, StoreError> {
        let mut hasher = Sha256::new();
        let mut statement = db.prepare_cached("SELECT digest FROM bucket WHERE id = ?1")?;
        for (number, row) in &self.buckets {
            let digest = statement.query_row([row], |row| row.get(0)).optional()?;
            let Some(digest): Option<[u8; 32]> = digest else {
                return Ok(None);
            };
            hasher.update(number.to_be_bytes());
            hasher.update(digest);
        }
        Ok(Some(hasher.finalize().into()))
    }

    /// Returns the numbers of the packages of a bucket.
    pub(super) fn bucket(&self, db: &Connection, number: u16) -> Result<Vec<i64>, StoreError> {
        match self.buckets.get(&number) {
            Some(row) => load_bucket(db, *row),
            None => Ok(Vec::new()),
        }
    }

    /// Replaces the packages of a bucket.
    pub(super) fn set_bucket(
        &mut self,
        db: &Connection,
        number: u16,
        packages: &[Head],
    ) -> Result<(), StoreError> {
        let before = self.bucket(db, number)?.len() as u64;
        self.packages = self.packages.saturating_sub(before) + packages.len() as u64;
        match packages.is_empty() {
            true => self.buckets.remove(&number),
            false => self.buckets.insert(number, save_bucket(db, packages)?),
        };
        Ok(())
    }

    /// Returns whether a bucket is the same as in another list.
    pub(super) fn shares(&self, other: &Self, number: u16) -> bool {
        self.buckets.get(&number) == other.buckets.get(&number)
    }

    /// Returns the numbers of the buckets that have packages.
    pub(super) fn numbers(&self) -> BTreeSet<u16> {
        self.buckets.keys().copied().collect()
    }

    /// Returns the buckets, each by its number and its row.
    pub(super) fn buckets(&self) -> impl Iterator<Item = (u16, i64)> {
        self.buckets.iter().map(|(number, row)| (*number, *row))
    }

    /// Returns the numbers of all packages, bucket by bucket.
    pub(super) fn all(&self, db: &Connection) -> Result<Vec<i64>, StoreError> {
        let mut all = Vec::new();
        for row in self.buckets.values() {
            all.append(&mut load_bucket(db, *row)?);
        }
        Ok(all)
    }
}

/// Returns the digest of a list.
pub(super) fn digest(db: &Connection, id: i64) -> Result<[u8; 32], StoreError> {
    Ok(db
        .prepare_cached("SELECT digest FROM list WHERE id = ?1")?
        .query_row([id], |row| row.get(0))?)
}

fn read_buckets(blob: &[u8]) -> Option<BTreeMap<u16, i64>> {
    let numbers = decode(blob)?;
    let (pairs, []) = numbers.as_chunks::<2>() else {
        return None;
    };
    let pairs = pairs.iter().map(|[number, row]| {
        let number = u16::try_from(*number).ok().filter(|n| *n < BUCKETS)?;
        Some((number, i64::try_from(*row).ok()?))
    });
    pairs.collect()
}

/// Returns the digest that a bucket has on record.
pub(super) fn digest_of_bucket(db: &Connection, row: i64) -> Result<[u8; 32], StoreError> {
    Ok(db
        .prepare_cached("SELECT digest FROM bucket WHERE id = ?1")?
        .query_row([row], |row| row.get(0))?)
}

/// Reads the packages of a bucket by its row.
pub(super) fn load_bucket(db: &Connection, row: i64) -> Result<Vec<i64>, StoreError> {
    let blob: Option<Vec<u8>> = db
        .prepare_cached("SELECT packages FROM bucket WHERE id = ?1")?
        .query_row([row], |row| row.get(0))
        .optional()?;
    let blob = blob.ok_or_else(|| StoreError::Damaged(format!("bucket {row} is missing")))?;
    read_bucket(&blob).ok_or_else(|| StoreError::Damaged(format!("bucket {row} cannot be read")))
}

/// Reads the numbers in a bucket: each as the distance from the one before.
pub(super) fn read_bucket(blob: &[u8]) -> Option<Vec<i64>> {
    let mut last = 0_u64;
    let ids = decode(blob)?.into_iter().map(|step| {
        last = last.checked_add(step)?;
        i64::try_from(last).ok()
    });
    ids.collect()
}

/// Returns the digest of a bucket, which depends on its packages alone and not on their numbers.
pub(super) fn digest_of<'h>(packages: impl IntoIterator<Item = &'h [u8; 32]>) -> [u8; 32] {
    let sorted: BTreeSet<&[u8; 32]> = packages.into_iter().collect();
    let mut hasher = Sha256::new();
    for digest in sorted {
        hasher.update(digest);
    }
    hasher.finalize().into()
}

fn save_bucket(db: &Connection, packages: &[Head]) -> Result<i64, StoreError> {
    let digest = digest_of(packages.iter().map(|head| &head.digest));
    let known: Option<i64> = db
        .prepare_cached("SELECT id FROM bucket WHERE digest = ?1")?
        .query_row([digest], |row| row.get(0))
        .optional()?;
    if let Some(id) = known {
        return Ok(id);
    }
    let ids: BTreeSet<u64> = packages.iter().map(|head| head.id.unsigned_abs()).collect();
    let mut last = 0;
    let steps = ids.iter().map(|id| id - std::mem::replace(&mut last, *id));
    let blob = encode(steps);
    db.prepare_cached("INSERT INTO bucket (digest, packages) VALUES (?1, ?2)")?
        .execute(params![digest, blob])?;
    Ok(db.last_insert_rowid())
}

/// Writes numbers with seven bits a byte, the lowest first (LEB128).
fn encode(numbers: impl IntoIterator<Item = u64>) -> Vec<u8> {
    let mut bytes = Vec::new();
    for mut number in numbers {
        while number > 0x7f {
            bytes.push(number as u8 | 0x80);
            number >>= 7;
        }
        bytes.push(number as u8);
    }
    bytes
}

/// Reads what [`encode`] wrote; `None` if it wrote no such thing.
fn decode(bytes: &[u8]) -> Option<Vec<u64>> {
    let mut numbers = Vec::new();
    let (mut number, mut shift) = (0_u64, 0);
    for byte in bytes {
        if shift > 63 {
            return None;
        }
        number |= u64::from(byte & 0x7f).checked_shl(shift)?;
        shift += 7;
        if byte & 0x80 == 0 {
            numbers.push(number);
            (number, shift) = (0, 0);
        }
    }
    (shift == 0).then_some(numbers)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn numbers_come_back(numbers in any::<Vec<u64>>()) {
            prop_assert_eq!(decode(&encode(numbers.iter().copied())).unwrap(), numbers);
        }

        #[test]
        fn any_bytes_are_numbers_or_not(bytes in any::<Vec<u8>>()) {
            let _ = read_bucket(&bytes);
            let _ = read_buckets(&bytes);
        }

        #[test]
        fn the_digest_of_a_bucket_knows_no_order(mut digests in any::<Vec<[u8; 32]>>()) {
            let before = digest_of(&digests);
            digests.reverse();
            prop_assert_eq!(digest_of(&digests), before);
        }
    }
}
