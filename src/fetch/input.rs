//! The copy of an archive's suite as an input of a merge.

use std::io::Read;
use std::path::Path;

use crate::error::{Error, Result};
use crate::indices::IndexName;
use crate::merge::{Input, InputFacts};
use crate::names::{ArchiveName, SuiteName};

use super::copy::SuiteCopy;
use super::error::SpoolError;
use super::object::{object_path, open_object, read_object, unreadable_object};

/// The copy of an archive's suite, as an input of a merge.
pub(super) struct SpoolInput<'a> {
    pub(super) spool: &'a Path,
    /// `true` if nothing in the spool may be changed.
    pub(super) read_only: bool,
    pub(super) of: &'a (ArchiveName, SuiteName),
    pub(super) copy: &'a SuiteCopy,
    /// The copy as an input.
    pub(super) facts: &'a InputFacts,
    /// The reason why nothing new may be made of the copy.
    pub(super) doubt: Option<&'a str>,
}

impl Input for SpoolInput<'_> {
    fn facts(&self) -> &InputFacts {
        self.facts
    }

    fn check(&self) -> Result<()> {
        match self.doubt {
            None => Ok(()),
            Some(why) => Err(SpoolError::NotProven {
                archive: self.of.0.to_string(),
                suite: self.of.1.to_string(),
                why: why.to_owned(),
            }
            .into()),
        }
    }

    fn open(&self, name: &IndexName) -> Result<Option<Box<dyn Read + Send + '_>>> {
        let Some(stored) = self.copy.indices.get(&name.to_string()) else {
            return Ok(None);
        };
        Ok(Some(Box::new(open_object(self.spool, stored)?)))
    }

    fn read(&self, name: &IndexName) -> Result<Option<Vec<u8>>> {
        let Some(stored) = self.copy.indices.get(&name.to_string()) else {
            return Ok(None);
        };
        let path = object_path(self.spool, &stored.sha256);
        match read_object(&path, stored) {
            Ok(data) => Ok(Some(data)),
            Err(error) if self.read_only => Err(Error::io("read", path)(error)),
            Err(error) => Err(unreadable_object(path, error)),
        }
    }
}
