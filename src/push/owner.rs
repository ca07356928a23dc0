//! The owner's mark: a small file at the top of a target that names the one site which pushes there.
//!
//! Why a push harms nobody else's archive at a shared or mistyped address:
//!
//! - A target that carries another site's mark is refused.
//! - A target without a mark to which nothing was pushed from here is refused if it holds suites, unless they are exactly ours. So a
//!   new target and a copy of our tree go on by themselves, and somebody else's archive does not. A target that was pushed to before
//!   there were marks gets one. Where the mark was lost, the next run puts it there again, unless suites of others have come.
//! - The mark comes before everything else, so whoever looks at a target while its first push is under way sees whose it is.
//! - Nothing is deleted but paths on record ([`super::record`]), and these only where our mark is.
//!
//! The id is random, is made once, and stands in the name of the file, so that we see it without reading the file: a daemon may let
//! its files be written and not read.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{ErrorKind, Read};
use std::path::{Path, PathBuf};

use crate::durable;
use crate::error::{Error, Result};
use crate::workspace::Workspace;

use super::error::PushFault;

/// The name of a mark, before its id.
pub(super) const PREFIX: &str = ".aptmerge-owner-";

const TEXT: &[u8] = b"One site of aptmerge pushes to this directory, the one whose id stands in the name of this file.\n";

/// The mark of this site.
#[derive(Debug)]
pub(super) struct Mark {
    /// A directory that holds the mark and nothing else.
    pub(super) dir: PathBuf,
    pub(super) id: String,
}

impl Mark {
    /// Returns the mark of this site. Where there is none yet, or none any more, it gets the id that a target has on record, or
    /// a new one.
    pub(super) fn open(
        workspace: &Workspace<'_>,
        recorded: impl Iterator<Item = String>,
    ) -> Result<Mark> {
        let dir = workspace.layout().owner();
        let id = match existing(&dir)? {
            Some(id) => id,
            None => {
                let id = match recorded.into_iter().find(|id| is_id(id)) {
                    Some(id) => id,
                    None => new_id()?,
                };
                durable::create_dir(&dir)?;
                durable::write(&dir.join(format!("{PREFIX}{id}")), TEXT, None)?;
                durable::sync_dir(&workspace.layout().state())?;
                id
            }
        };
        Ok(Mark { dir, id })
    }

    /// Returns the name of the file.
    pub(super) fn name(&self) -> String {
        format!("{PREFIX}{}", self.id)
    }
}

fn existing(dir: &Path) -> Result<Option<String>> {
    let entries = match fs::read_dir(dir) {
        Ok(entries) => entries,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(Error::io("list", dir)(error)),
    };
    let mut ids = Vec::new();
    for entry in entries {
        let name = entry.map_err(Error::io("list", dir))?.file_name();
        let id = name.to_str().and_then(|name| name.strip_prefix(PREFIX));
        ids.extend(id.filter(|id| is_id(id)).map(str::to_owned));
    }
    Ok(ids.into_iter().min())
}

fn is_id(id: &str) -> bool {
    id.len() == 32 && id.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
}

fn new_id() -> Result<String> {
    let source = Path::new("/dev/urandom");
    let mut bytes = [0; 16];
    File::open(source)
        .and_then(|mut random| random.read_exact(&mut bytes))
        .map_err(Error::io("read", source))?;
    Ok(hex::encode(bytes))
}

/// The state of a target that a look has found.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Seen {
    /// `true` if the target carries our mark.
    pub(super) is_marked: bool,
    /// The ids of other marks that the target carries.
    pub(super) other_owners: BTreeSet<String>,
    /// The files that sign our suites, and the aliases, that the target lacks or that differ there.
    pub(super) changed: BTreeSet<String>,
    /// Those of `changed` that differ at the target.
    pub(super) occupied: BTreeSet<String>,
    /// Names that the target has where we have suites, and that we do not have: names of suites, as far as anybody can tell.
    pub(super) foreign: BTreeSet<String>,
    /// `true` if the target let contents be compared.
    pub(super) by_content: bool,
}

/// The record of a target's address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Address {
    /// Nothing is on record.
    New,
    /// We pushed to the address before there were marks.
    PushedTo,
    /// The target at the address got our mark.
    Marked,
}

/// Refuses a target whose contents show that it belongs to somebody else.
pub(super) fn refusal(seen: &Seen, address: Address) -> Option<PushFault> {
    if let Some(id) = seen.other_owners.first() {
        let mark = format!("{PREFIX}{id}");
        return Some(PushFault::OtherOwner { mark });
    }
    let is_ours = seen.is_marked
        || match address {
            Address::New => seen.foreign.is_empty() && seen.occupied.is_empty(),
            Address::PushedTo => true,
            Address::Marked => seen.foreign.is_empty(),
        };
    if is_ours {
        return None;
    }
    let held = seen.occupied.iter().chain(&seen.foreign);
    Some(PushFault::OtherSuites {
        suites: held.cloned().collect(),
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn ids_are_of_one_form() {
        let id = new_id().unwrap();
        assert!(is_id(&id), "{id}");
        for other in ["", "../../x", "0123", &id.replace(&id[..1], "G")] {
            assert!(!is_id(other), "{other}");
        }
    }
}
