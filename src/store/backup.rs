//! Backups of the database.

use std::fs::File;
use std::io::ErrorKind;
use std::path::Path;

use crate::durable;
use crate::error::{Error, Result};

use super::error::StoreError;
use super::view::View;

impl View {
    /// Writes the database as it is at this moment to a file that must not exist. The files of packages are not in it.
    pub fn backup(&self, to: &Path) -> Result<()> {
        let taken = || Error::io("write the backup to", to)(ErrorKind::AlreadyExists.into());
        if to.symlink_metadata().is_ok() {
            return Err(taken());
        }
        // SQLite takes an empty file for none, so the copy is never readable for others.
        let copy = durable::private_temporary(to)?;
        let path = copy.path().to_string_lossy().into_owned();
        self.connection
            .execute("VACUUM INTO ?1", [path])
            .map_err(StoreError::from)?;
        let file = File::open(copy.path()).map_err(Error::io("open", copy.path()))?;
        file.sync_all().map_err(Error::io("fsync", copy.path()))?;
        copy.persist_noclobber(to)
            .map_err(|error| Error::io("rename into place", to)(error.error))?;
        let directory = match to.parent() {
            Some(directory) if !directory.as_os_str().is_empty() => directory,
            _ => Path::new("."),
        };
        durable::sync_dir(directory)
    }
}
