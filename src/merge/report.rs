//! What a merge has to say of a suite: counts, bans, forks that are older than what they hide.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::unasked::{self, Claimed};

/// A package that a ban took away.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct BannedPackage {
    /// Its name.
    pub package: String,
    /// The package that it cannot do without, and that is banned or went before it; `None` where it is banned by name. With
    /// transitive bans, chains can be followed through the packages that went.
    pub because_of: Option<String>,
}

/// What was merged into a suite, and what was not.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct SuiteReport {
    /// Published stanzas by index group: `amd64`, `installer-amd64`, `all`, `source`.
    pub packages: BTreeMap<String, u64>,
    /// Packages that bans took away.
    pub banned: BTreeSet<BannedPackage>,
    /// `(package, winner's version, hidden version)` where the winner is older than what it hides.
    pub older: BTreeSet<(String, String, String)>,
    /// Published packages that need a watched one, by the name of the watch.
    pub watched: BTreeMap<String, BTreeSet<String>>,
    /// What lies outside of its archive's `pool/`, as the first part of its path behind the pool's name: `DEBIAN/extra`.
    #[serde(default)]
    pub outside: BTreeSet<String>,
    /// What an operator should look at in the inputs, though the merge went on.
    #[serde(default)]
    pub warnings: BTreeSet<String>,
    /// Packages that are installed or kept unasked; nothing where none were merged, or by a version that kept no record.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unasked: Option<BTreeSet<Claimed>>,
    /// Published binaries for which no archive has the source: `package version (source version)`.
    pub without_source: BTreeSet<String>,
}

impl SuiteReport {
    /// Adds what another index group of the suite has to say.
    pub(crate) fn absorb(&mut self, other: SuiteReport) {
        self.packages.extend(other.packages);
        self.banned.extend(other.banned);
        self.older.extend(other.older);
        for (watch, packages) in other.watched {
            self.watched.entry(watch).or_default().extend(packages);
        }
        self.warnings.extend(other.warnings);
        self.outside.extend(other.outside);
        self.without_source.extend(other.without_source);
        if let Some(claimed) = other.unasked {
            let known = self.unasked.get_or_insert_default();
            known.extend(claimed);
            unasked::bound(known);
        }
    }
}
