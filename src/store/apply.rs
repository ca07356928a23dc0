//! Carrying operations out: each in one transaction, which loads what the operation names, checks it, changes it, and commits.

use jiff::Timestamp;
use rusqlite::Connection;

use crate::error::Result;

use super::Store;
use super::arrive;
use super::error::StoreError;
use super::operation::{Change, Operation};
use super::repository::{self, Choice, Repository};
use super::snapshot;

impl Store {
    /// Carries an operation out, wholly or not at all.
    pub fn apply(&mut self, operation: &Operation, now: Timestamp) -> Result<Change> {
        let transaction = self.write()?;
        let change = change(&transaction, operation, now)?;
        transaction.commit().map_err(StoreError::from)?;
        Ok(change)
    }

    /// Returns what an operation would do at this moment, and does nothing. The files of packages that it adds need not have arrived.
    pub fn foresee(&mut self, operation: &Operation, now: Timestamp) -> Result<Change> {
        let transaction = self.write()?;
        if let Operation::AddPackages {
            packages,
            arrived_as,
            ..
        } = operation
        {
            let files = packages.iter().flat_map(|package| &package.files);
            let files = files.map(|file| file.sha256.0);
            arrive::record(&transaction, files, arrived_as, now)?;
        }
        let change = change(&transaction, operation, now)?;
        transaction.rollback().map_err(StoreError::from)?;
        Ok(change)
    }
}

fn change(db: &Connection, operation: &Operation, now: Timestamp) -> Result<Change, StoreError> {
    match operation {
        Operation::CreateRepository {
            name,
            comment,
            distribution,
            component,
        } => {
            let new = Repository {
                name: name.clone(),
                comment: comment.clone(),
                distribution: distribution.clone(),
                component: component.clone(),
                packages: 0,
                changed: now,
            };
            repository::create(db, &new)?;
            Ok(Change::default())
        }
        Operation::EditRepository {
            name,
            comment,
            distribution,
            component,
        } => {
            let (comment, distribution) = (comment.as_deref(), distribution.as_deref());
            repository::edit(db, name, comment, distribution, component.as_ref())?;
            Ok(Change::default())
        }
        Operation::RenameRepository { name, to } => {
            repository::rename(db, name, to)?;
            Ok(Change::default())
        }
        Operation::DropRepository { name, force } => {
            repository::drop(db, name, *force)?;
            Ok(Change::default())
        }
        Operation::RemovePackages { repository, query } => {
            repository::remove(db, repository, query, now)
        }
        Operation::CopyPackages {
            from,
            to,
            query,
            with_dependencies,
            replace,
            is_move,
        } => {
            let choice = Choice {
                query,
                with_dependencies: *with_dependencies,
                replace: *replace,
                is_move: *is_move,
            };
            repository::copy(db, from, to, &choice, now)
        }
        Operation::RetainNewest {
            repository,
            versions,
            query,
        } => repository::retain(db, repository, versions.get(), query.as_deref(), now),
        Operation::CreateSnapshot {
            name,
            description,
            of,
        } => snapshot::create(db, name, description, of, now),
        Operation::RenameSnapshot { name, to } => {
            snapshot::rename(db, name, to)?;
            Ok(Change::default())
        }
        Operation::DropSnapshot { name, force } => {
            snapshot::drop(db, name, *force)?;
            Ok(Change::default())
        }
        Operation::AddPackages {
            repository,
            packages,
            replace,
            arrived_as,
        } => {
            let change = repository::add(db, repository, packages, *replace, now)?;
            db.prepare_cached("DELETE FROM arriving WHERE owner = ?1")?
                .execute([arrived_as])?;
            Ok(change)
        }
    }
}
