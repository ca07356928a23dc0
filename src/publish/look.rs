//! Decides how closely a run looks at the trees: at every file, or at the files by which a suite stands or falls.
//!
//! A look at every file costs some 8 µs a file: 65 ms of CPU time for 200 suites of 40 files, where a run without news takes 10 ms for all
//! else. Nobody but us writes to the trees, so what such a look finds is the work of a bad disk or of somebody's mistake, and nothing that
//! another run brings about. So a run looks at every file
//!
//! - where there are no more than [`FEW_FILES`], and
//! - where there are more, if the last such look is more than [`EVERY`] ago, or if the clock went back since.
//!
//! Each run looks at what lies above the suites, at links, and at InRelease of each suite, which is there in its size and time or else the
//! whole suite is looked at. And it looks at every file of each suite that it makes anew, before it takes over anything: so damage is
//! never signed again. What safety needs of a suite that a run leaves alone is thereby two calls of the system, one in each tree.
//!
//! Between two such looks, a file that somebody removes or changes stays so for up to an hour, in production as in what is pushed; and where
//! it is in volatile, clients miss the file for the moment between the swaps. A run that dies in that moment does no more harm:
//! recovery reads all that the Releases list ([`super::whole`]). Once production is mended, every target is brought up to it.

use std::path::Path;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::error::Result;
use crate::manifest::ManifestFile;
use crate::workspace::{Generation, Record, Workspace, is_damaged};

/// The number of files up to which each run looks at all of them.
const FEW_FILES: usize = 2000;

/// The number of seconds between two looks at every file, where there are more.
const EVERY: i64 = 3600;

/// The name of the record of the last look at every file.
const RECORD: &str = "looked.json";

/// The record of the last look at every file of production.
#[derive(Debug, Serialize, Deserialize)]
struct Looked {
    /// The time, in seconds since 1970.
    at: i64,
}

impl Record for Looked {
    const FORMAT: u64 = 1;
}

/// The closeness of a look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Look {
    /// Every file is looked at.
    AtAll,
    /// InRelease of each suite is looked at, and every file of a suite where that differs.
    AtSigned,
}

impl Look {
    /// Returns how closely a run at this time looks.
    pub(super) fn due(workspace: &Workspace<'_>, now: Timestamp) -> Result<Look> {
        if number_of_files(workspace.published()) <= FEW_FILES {
            return Ok(Look::AtAll);
        }
        let last = match workspace.read_state::<Looked>(RECORD) {
            Err(error) if is_damaged(&error) => None,
            read => read?.map(|looked| looked.at),
        };
        Ok(Look::after(last, now.as_second()))
    }

    fn after(last: Option<i64>, now: i64) -> Look {
        match last {
            Some(last) if last <= now && now.saturating_sub(last) <= EVERY => Look::AtSigned,
            _ => Look::AtAll,
        }
    }

    /// Records that every file was looked at, where that matters.
    pub(super) fn record(self, workspace: &Workspace<'_>, now: Timestamp) -> Result<()> {
        let is_large = number_of_files(workspace.published()) > FEW_FILES;
        match self {
            Look::AtAll if is_large => {
                let at = now.as_second();
                workspace.write_state(RECORD, &Looked { at })
            }
            _ => Ok(()),
        }
    }
}

fn number_of_files(generation: &Generation) -> usize {
    let suites = generation.suites.values();
    suites.map(|record| record.manifest.files.len()).sum()
}

/// Returns whether InRelease of a suite is in a tree as the record has it.
pub(super) fn is_signed_file_there(tree: &Path, generation: &Generation, suite: &str) -> bool {
    let record = generation.suites.get(suite);
    let file = record.and_then(|record| record.manifest.files.get("InRelease"));
    let path = tree.join("dists").join(suite).join("InRelease");
    file.is_some_and(|file: &ManifestFile| file.looks_the_same(&path))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_file_is_looked_at_once_an_hour_and_whenever_the_clock_went_back() {
        let looks = [
            None,
            Some(999),
            Some(1000),
            Some(1000 + EVERY),
            Some(1001 + EVERY),
        ];
        let looks = looks.map(|last| Look::after(last, 1000 + EVERY));
        let expected = [
            Look::AtAll,
            Look::AtAll,
            Look::AtSigned,
            Look::AtSigned,
            Look::AtAll,
        ];
        assert_eq!(looks, expected);
    }
}
