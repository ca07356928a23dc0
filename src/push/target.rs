//! The targets that production is pushed to.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::names::PackageName;
use crate::units::TimeSpan;

/// A target that production is pushed to.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Target {
    /// The target's name, in messages and in the names of its records, `state/push-NAME.json`.
    pub name: PackageName,
    /// A target of rsync's: a path, `host:path`, `host::module/path` or `rsync://host/module/path`.
    pub rsync: String,
    /// Further options for rsync, `--bwlimit=5m` or `--rsh=ssh -i /etc/aptmerge/id`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub options: Vec<String>,
    /// `true` if the reports are pushed too, to `log/` beside `dists/`.
    #[serde(default = "defaults::log")]
    pub log: bool,
    /// The time that a push may take before it is given up.
    #[serde(default = "defaults::push_timeout")]
    pub timeout: TimeSpan,
    /// The time that the target may be silent.
    #[serde(default = "defaults::push_io_timeout")]
    pub(crate) io_timeout: TimeSpan,
    /// The program.
    #[serde(default = "defaults::rsync")]
    pub program: PathBuf,
}

mod defaults {
    use super::{PathBuf, TimeSpan};

    pub(super) const fn log() -> bool {
        true
    }

    pub(super) const fn push_timeout() -> TimeSpan {
        TimeSpan::from_seconds(6 * 3600)
    }

    pub(super) const fn push_io_timeout() -> TimeSpan {
        TimeSpan::from_seconds(600)
    }

    pub(super) fn rsync() -> PathBuf {
        "rsync".into()
    }
}
