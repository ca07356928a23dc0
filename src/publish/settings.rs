//! The settings of publishing that no suite is made anew for.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::names::{ArchiveName, PoolName};
use crate::units::{ByteSize, Percent};

/// Everything that publishing needs to know besides the specs of suites.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The names of the archives, by pool.
    pub archives: BTreeMap<PoolName, ArchiveName>,
    /// The directories of local archives that the tree has links to, by pool.
    pub(crate) linked_pools: BTreeMap<PoolName, PathBuf>,
    pub(crate) guards: Guards,
    /// The time that files stay under by-hash.
    pub(crate) by_hash: Retention,
    /// The most that the cache may take up on the disk.
    pub(crate) cache_size: ByteSize,
}

/// The bounds on the time that files stay under by-hash: files go when both are passed, or earlier where they take up too much.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub(crate) struct Retention {
    /// At least so many later generations of the suite.
    pub generations: u64,
    /// At least so many days.
    pub days: u64,
    /// The most bytes of such files that a suite keeps; those that were not named for longest go first.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_bytes: Option<ByteSize>,
}

impl Default for Retention {
    fn default() -> Self {
        Self {
            generations: 6,
            days: 3,
            max_bytes: None,
        }
    }
}

/// The bounds that a run crosses only if it is told to.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub(crate) struct Guards {
    /// The share of its packages that a suite may lose in one run. The sources and the packages of all architectures count together.
    pub(crate) max_shrink: Percent,
}

impl Default for Guards {
    fn default() -> Self {
        Self {
            max_shrink: Percent::new(20),
        }
    }
}
