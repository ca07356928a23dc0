//! The copy of an archive's suite as an input of a merge.

use std::borrow::Cow;
use std::io::{Cursor, Read};
use std::path::Path;

use crate::error::{Error, Result};
use crate::indices::{self, IndexName};
use crate::merge::{Input, InputFacts};
use crate::names::{ArchiveName, SuiteName};

use super::copy::{StoredIndex, SuiteCopy};
use super::error::SpoolError;
use super::flat;
use super::object::{object_path, open_object, read_object, unreadable_object};

/// The copy of an archive's suite, as an input of a merge.
pub(super) struct SpoolInput<'a> {
    pub(super) spool: &'a Path,
    /// `true` if nothing in the spool may be changed.
    pub(super) read_only: bool,
    pub(super) of: &'a (ArchiveName, SuiteName),
    pub(super) copy: &'a SuiteCopy,
    /// The copy as an input.
    pub(super) facts: Cow<'a, InputFacts>,
    /// The reason why nothing new may be made of the copy.
    pub(super) doubt: Option<&'a str>,
}

impl SpoolInput<'_> {
    /// Returns the path, in the archive's suite, of the file that an index is read from.
    fn file(&self, name: &IndexName) -> String {
        match self.copy.flat {
            Some(_) => indices::flat::file(name),
            None => name.to_string(),
        }
    }

    /// Returns the object that an index is read from.
    fn stored(&self, name: &IndexName) -> Option<&StoredIndex> {
        self.copy.indices.get(&self.file(name))
    }

    /// Returns the architecture whose packages are cut out of the object for an index.
    fn cut<'n>(&self, name: &'n IndexName) -> Option<&'n str> {
        match name {
            IndexName::Packages(_, architecture) if self.copy.flat.is_some() => {
                Some(architecture.as_str())
            }
            _ => None,
        }
    }
}

impl Input for SpoolInput<'_> {
    fn facts(&self) -> &InputFacts {
        &self.facts
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
        if self.cut(name).is_some() {
            let text = self.read(name)?;
            return Ok(text.map(|text| Box::new(Cursor::new(text)) as Box<dyn Read + Send>));
        }
        let Some(stored) = self.stored(name) else {
            return Ok(None);
        };
        Ok(Some(Box::new(open_object(self.spool, stored)?)))
    }

    fn read(&self, name: &IndexName) -> Result<Option<Vec<u8>>> {
        let Some(stored) = self.stored(name) else {
            return Ok(None);
        };
        let path = object_path(self.spool, &stored.sha256);
        match read_object(&path, stored) {
            Ok(mut data) => {
                if let Some(architecture) = self.cut(name) {
                    flat::keep_architecture(&mut data, architecture);
                }
                Ok(Some(data))
            }
            Err(error) if self.read_only => Err(Error::io("read", path)(error)),
            Err(error) => Err(unreadable_object(path, error)),
        }
    }

    fn describe(&self, name: &IndexName) -> String {
        format!("{} {}", self.facts.name, self.file(name))
    }
}
