//! The served tree, held against the record: finds what no Release names, which reading the tree as a client does not show.

use std::path::PathBuf;

use serde::Serialize;

use crate::error::Result;
use crate::workspace::View;

use super::link::{Served, served};
use super::look::Look;
use super::trees;

/// The differences between production and its record, as paths.
#[derive(Debug, Default, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct RecordReport {
    /// Files, directories and links that are on record, and are not there.
    pub missing: Vec<String>,
    /// Files, directories and links that are on record, and are others.
    pub changed: Vec<String>,
    /// Files that are there, and not on record.
    pub foreign: Vec<String>,
    /// Files and directories that not all can read, or that all can write to, with their modes.
    pub modes: Vec<String>,
    /// All of these, in words.
    #[serde(skip)]
    pub problems: Vec<String>,
}

/// Holds production against its record, by names, sizes, times, modes and links. Returns `None` if production is not what the link serves, or
/// if nothing is on record.
pub fn compare_with_record(view: &View) -> Result<Option<RecordReport>> {
    let (layout, published) = (view.layout(), view.published());
    if served(layout)? != Served::Production || published.suites.is_empty() {
        return Ok(None);
    }
    let damage = trees::survey(&layout.production(), published, Look::AtAll)?;
    let mut report = RecordReport::default();
    for (_, found) in damage.places() {
        let paths = |paths: &[PathBuf]| -> Vec<String> {
            let paths = paths.iter();
            paths.map(|path| path.display().to_string()).collect()
        };
        report.missing.extend(paths(&found.missing));
        report.changed.extend(paths(&found.changed));
        report.foreign.extend(paths(&found.foreign));
        let modes = found.modes.iter().map(ToString::to_string);
        report.modes.extend(modes);
        report.problems.extend(found.faults());
    }
    Ok(Some(report))
}
