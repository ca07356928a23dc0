//! The report on the merge of a suite: counts, bans, forks that are older than a version that they hide.
//!
//! The report is kept in the state and shown to whoever asks. So every text that an archive can make as long as it likes is quoted and
//! bounded; what lies beyond the bound is only counted. The lists of bans, forks and watches grow only with the packages that are concerned.

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

/// The number of packages installed or kept unasked that are recorded: Debian has about a hundred.
pub(crate) const MAX_UNASKED: usize = 5_000;

/// A package that a ban dropped.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct BannedPackage {
    /// Its name.
    pub package: String,
    /// The package that it needs and that is banned or was dropped before it; `None` if it is banned by name. With transitive bans, the
    /// chain can be followed through the dropped packages.
    pub because_of: Option<String>,
}

/// A source that speaks for packages of other archives. Its text is quoted, so that it can stand in a report.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) struct ForeignSource {
    /// Its archive.
    pub archive: String,
    /// Its name.
    pub source: String,
    /// Its version.
    pub version: String,
    /// The reason for the report: `claims PACKAGE` or `above those of ARCHIVE; built PACKAGE`.
    pub what: String,
}

/// The claims by which a package is put on machines, or kept there, unasked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Unasked {
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

/// A package that claims something. Format 0 of the records has lists of its fields, in this order.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Claimed {
    pub(crate) claim: Unasked,
    /// The package.
    pub package: String,
    /// Its archive.
    pub archive: String,
}

/// A published package that is older than a version that it hides. Format 0 of the records has lists of its fields, in this order.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct OlderFork {
    /// The package.
    pub package: String,
    /// The version that is published.
    pub winner: String,
    /// The newest version that it hides.
    pub hidden: String,
}

/// Returns the name of the text report on the packages of a suite that hide a newer version.
pub(crate) fn report_of_older(suite: &str) -> String {
    format!("{}-oldpackages.txt", suite.replace('/', "_"))
}

impl fmt::Display for OlderFork {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [package, winner, hidden] =
            [&self.package, &self.winner, &self.hidden].map(|text| quoted(text));
        write!(f, "{package} ({winner} hides {hidden})")
    }
}

/// Cuts a record to [`MAX_UNASKED`].
fn bound(claimed: &mut BTreeSet<Claimed>) {
    while claimed.len() > MAX_UNASKED {
        claimed.pop_last();
    }
}

/// The names and patterns of rules that the inputs of a suite have.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct FoundNames {
    /// Banned names: some package, udeb or source has the name, or needs it.
    pub bans: BTreeSet<String>,
    /// Patterns of pins for packages.
    pub packages: BTreeSet<String>,
    /// Patterns of pins for sources.
    pub sources: BTreeSet<String>,
}

/// The result of the merge of a suite: what was published, and what was not.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct SuiteReport {
    /// Published stanzas by index group: `amd64`, `installer-amd64`, `all`, `source`.
    pub packages: BTreeMap<String, u64>,
    /// Packages that bans dropped.
    pub banned: BTreeSet<BannedPackage>,
    /// Published packages that are older than a version that they hide.
    pub older: BTreeSet<OlderFork>,
    /// Published packages that need a watched one, by the name of the watch.
    pub watched: BTreeMap<String, BTreeSet<String>>,
    /// The package files of local archives that lie outside of their `pool/`, each path after the pool's name: `DEBIAN/extra/x.deb`.
    #[serde(default)]
    pub outside: BTreeSet<String>,
    /// Oddities of the inputs that an operator should look at, though the merge went on.
    #[serde(default)]
    pub warnings: BTreeSet<String>,
    /// Packages that are installed or kept unasked; `None` if none were merged, or if the aptmerge version kept no record.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unasked: Option<BTreeSet<Claimed>>,
    /// Published binaries for which no archive has the source: `package version (source version)`.
    pub(crate) without_source: BTreeSet<String>,
    /// The number of such binaries beyond these.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub(crate) without_source_further: usize,
    /// The names of rules that the inputs have; `None` in records of versions that did not look.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) found: Option<FoundNames>,
    /// Sources that speak for packages of other archives: published without these names, or left out.
    #[serde(default)]
    pub(crate) foreign_sources: BTreeSet<ForeignSource>,
}

fn is_zero(number: &usize) -> bool {
    *number == 0
}

impl SuiteReport {
    /// Adds the report on another part of the suite.
    pub(crate) fn absorb(&mut self, other: SuiteReport) {
        for (group, count) in other.packages {
            *self.packages.entry(group).or_default() += count;
        }
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
        if let Some(found) = other.found {
            let known = self.found.get_or_insert_default();
            known.bans.extend(found.bans);
            known.packages.extend(found.packages);
            known.sources.extend(found.sources);
        }
        self.without_source_further += other.without_source_further;
        self.foreign_sources.extend(other.foreign_sources);
    }

    /// Returns the report, cut to the bounds.
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
        // One less, so that the message about the others has room.
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
