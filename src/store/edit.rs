//! Changing a list: packages in, packages out, by name and architecture.

use std::collections::BTreeMap;

use rusqlite::Connection;

use super::error::StoreError;
use super::head::{self, Head};
use super::list::{List, bucket_of};

/// A list that is being changed.
pub(super) struct Edit<'db> {
    db: &'db Connection,
    list: List,
    /// The buckets that were looked at; `true` if they were changed.
    buckets: BTreeMap<u16, (Vec<Head>, bool)>,
}

/// The outcome of adding a package.
pub(super) enum Added {
    /// The package is new.
    New,
    /// The package took the place of others of its version.
    Instead(Vec<Head>),
    /// The package was there.
    Unchanged,
    /// Another one has its version, and stays.
    Refused(Head),
}

impl<'db> Edit<'db> {
    /// Begins with a list by its number.
    pub(super) fn begin(db: &'db Connection, list: i64) -> Result<Self, StoreError> {
        let list = List::load(db, list)?;
        Ok(Self {
            db,
            list,
            buckets: BTreeMap::new(),
        })
    }

    /// Begins with the empty list.
    pub(super) fn empty(db: &'db Connection) -> Self {
        Self {
            db,
            list: List::default(),
            buckets: BTreeMap::new(),
        }
    }

    fn bucket(&mut self, number: u16) -> Result<&mut (Vec<Head>, bool), StoreError> {
        use std::collections::btree_map::Entry;
        match self.buckets.entry(number) {
            Entry::Occupied(bucket) => Ok(bucket.into_mut()),
            Entry::Vacant(place) => {
                let ids = self.list.bucket(self.db, number)?;
                Ok(place.insert((head::load_all(self.db, &ids)?, false)))
            }
        }
    }

    /// Adds a package; one of the same version with other content stays, or goes if `replace`.
    pub(super) fn add(&mut self, new: &Head, replace: bool) -> Result<Added, StoreError> {
        let (name, architecture) = new.group();
        let (packages, is_changed) = self.bucket(bucket_of(name, architecture))?;
        if packages.iter().any(|head| head.id == new.id) {
            return Ok(Added::Unchanged);
        }
        let is_other = |head: &Head| head.is_same_version(new);
        if let Some(held) = packages.iter().find(|head| is_other(head) && !replace) {
            return Ok(Added::Refused(held.clone()));
        }
        let gone: Vec<Head> = packages.extract_if(.., |head| is_other(head)).collect();
        packages.push(new.clone());
        *is_changed = true;
        Ok(match gone.is_empty() {
            true => Added::New,
            false => Added::Instead(gone),
        })
    }

    /// Takes a package out; returns whether it was there.
    pub(super) fn remove(&mut self, gone: &Head) -> Result<bool, StoreError> {
        let (name, architecture) = gone.group();
        let (packages, is_changed) = self.bucket(bucket_of(name, architecture))?;
        let before = packages.len();
        packages.retain(|head| head.id != gone.id);
        let is_gone = packages.len() < before;
        *is_changed |= is_gone;
        Ok(is_gone)
    }

    /// Writes the list, and returns its number.
    pub(super) fn finish(mut self) -> Result<i64, StoreError> {
        for (number, (packages, is_changed)) in &self.buckets {
            if *is_changed {
                self.list.set_bucket(self.db, *number, packages)?;
            }
        }
        self.list.save(self.db)
    }
}
