//! What a merge has to say of a suite: counts, bans, forks that are older than what they hide.
//!
//! It is kept in the state and given to whoever asks. So what an archive can make as long as it likes is quoted and has a bound; what
//! is left of the rest is a number. Bans, forks and watches are lists of packages, as long as there are such packages.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::quoted::quoted;

/// The most warnings of a suite that are kept.
const MAX_WARNINGS: usize = 100;

/// The most binaries without a source that are kept.
const MAX_WITHOUT_SOURCE: usize = 1_000;

/// The most names outside of the archives' pools that are kept.
const MAX_OUTSIDE: usize = 10_000;

/// How many packages that are installed or kept unasked are on record: Debian has about a hundred.
pub(crate) const MAX_UNASKED: usize = 5_000;

/// A package that a ban took away.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct BannedPackage {
    /// Its name.
    pub package: String,
    /// The package that it cannot do without, and that is banned or went before it; `None` where it is banned by name. With
    /// transitive bans, chains can be followed through the packages that went.
    pub because_of: Option<String>,
}

/// A source that speaks for packages of other archives. Its text is quoted, so that it is fit for a report.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct ForeignSource {
    /// Its archive.
    pub archive: String,
    /// Its name.
    pub source: String,
    /// Its version.
    pub version: String,
    /// What it is told for, `claims PACKAGE` or `above those of ARCHIVE; built PACKAGE`.
    pub what: String,
}

/// What puts a package on machines unasked, or keeps it there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Unasked {
    /// `Essential`
    Essential,
    /// `Important` or `Protected`
    Protected,
    /// `Priority: required` or `important`
    Priority,
}

impl fmt::Display for Unasked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Unasked::Essential => "`Essential`: dist-upgrade installs it on every client unasked",
            Unasked::Protected => {
                "`Important` or `Protected`: apt and dpkg do not remove it unless they are forced to"
            }
            Unasked::Priority => {
                "of priority `required` or `important`: debootstrap installs it on every new system"
            }
        })
    }
}

/// A package that claims something: what, its name, its archive.
pub type Claimed = (Unasked, String, String);

/// Bounds a record.
fn bound(claimed: &mut BTreeSet<Claimed>) {
    while claimed.len() > MAX_UNASKED {
        claimed.pop_last();
    }
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
    /// The package files of local archives that lie outside of their `pool/`, each path behind the pool's name: `DEBIAN/extra/x.deb`.
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
    /// How many more there are.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub without_source_further: usize,
    /// Sources that speak for packages of other archives: published without these words, or left out.
    #[serde(default)]
    pub foreign_sources: BTreeSet<ForeignSource>,
}

fn is_zero(number: &usize) -> bool {
    *number == 0
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
            bound(known);
        }
        self.without_source_further += other.without_source_further;
        self.foreign_sources.extend(other.foreign_sources);
    }

    /// Returns the report with no more words than are kept.
    pub(crate) fn bounded(mut self) -> SuiteReport {
        self.without_source = self
            .without_source
            .iter()
            .map(|line| quoted(line))
            .collect();
        self.without_source_further += cut(&mut self.without_source, MAX_WITHOUT_SOURCE);
        match cut(&mut self.outside, MAX_OUTSIDE) {
            0 => {}
            further => {
                let why = "files and directories outside of the archives' pools are not linked";
                self.warnings
                    .insert(format!("{further} {why}: more than {MAX_OUTSIDE}"));
            }
        }
        // One less, so that the number has room.
        if self.warnings.len() > MAX_WARNINGS {
            let further = cut(&mut self.warnings, MAX_WARNINGS - 1);
            self.warnings.insert(format!("{further} further warnings"));
        }
        self
    }
}

/// Shortens a set to its first few; returns how many more there were.
fn cut(set: &mut BTreeSet<String>, most: usize) -> usize {
    let first_further = set.iter().nth(most).cloned();
    first_further.map_or(0, |first| set.split_off(&first).len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_have_a_bound_and_are_quoted() {
        let lines = |number: usize| (0..number).map(|n| format!("{n:06}\u{202e}")).collect();
        let report = SuiteReport {
            outside: lines(10_002),
            warnings: lines(150),
            without_source: lines(1_001),
            ..SuiteReport::default()
        };
        let report = report.bounded();
        assert_eq!(report.outside.len(), MAX_OUTSIDE);
        assert_eq!(report.warnings.len(), MAX_WARNINGS);
        assert!(report.warnings.contains("52 further warnings"));
        assert_eq!(report.without_source.len(), MAX_WITHOUT_SOURCE);
        assert_eq!(report.without_source_further, 1);
        assert!(report.without_source.contains("000000\\u{202e}"));
        let again = report.clone().bounded();
        assert_eq!(again.warnings, report.warnings);
    }
}
