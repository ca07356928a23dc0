//! The changes of a run, package by package.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::quoted::quoted;
use crate::suite_report::OlderFork;

/// The number of packages that fell behind which a warning names.
const TOLD: usize = 5;

/// The changes of a suite.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Difference {
    /// `true` if the suite was not published before; then no changes are listed.
    pub is_new: bool,
    /// The packages that change, by name.
    pub changes: Vec<Change>,
    /// The number of further changes.
    #[serde(default)]
    pub omitted: u64,
    /// Changed indices whose changed packages are not known: they are not lists of packages, or the old one
    /// cannot be read.
    pub indices: BTreeSet<String>,
    /// The packages that hide a newer version which they did not hide before.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub behind: Vec<OlderFork>,
    /// The number of further such packages.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub behind_omitted: u64,
}

fn is_zero(number: &u64) -> bool {
    *number == 0
}

/// A package that changes in the same way in some index groups.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Change {
    /// The name of the package.
    pub package: String,
    /// The way in which the package changes.
    pub(crate) what: What,
    /// The index groups: `amd64`, `all`, `source`, `installer-amd64`.
    pub groups: BTreeSet<String>,
    /// The versions that were published before.
    pub before: BTreeSet<Origin>,
    /// The versions that are published afterwards.
    pub after: BTreeSet<Origin>,
}

/// The way in which a package changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum What {
    /// The package was not there.
    Added,
    /// The package is no longer there.
    Removed,
    /// The package is no longer there, because of a ban.
    Banned,
    /// The package comes from another archive.
    TakenOver,
    /// The package lies in another component.
    Moved,
    /// The package has other versions, or the same with other content.
    Changed,
}

impl fmt::Display for What {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            What::Added => "added",
            What::Removed => "removed",
            What::Banned => "newly banned",
            What::TakenOver => "taken over",
            What::Moved => "moved",
            What::Changed => "changed",
        })
    }
}

/// A version of a package, with its archive and component.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Origin {
    /// The version.
    pub version: String,
    /// The archive; the pool's name if no configured archive has the pool.
    pub archive: String,
    /// The component.
    pub component: String,
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let versions = |origins: &BTreeSet<Origin>| {
            let mut places: BTreeMap<String, Vec<String>> = BTreeMap::new();
            for origin in origins {
                // The component is named where it is what changes.
                let place = match self.what {
                    What::Moved => format!("{} {}", origin.archive, origin.component),
                    _ => origin.archive.clone(),
                };
                places
                    .entry(quoted(&place))
                    .or_default()
                    .push(quoted(&origin.version));
            }
            let places = places.into_iter();
            places
                .map(|(place, versions)| format!("{place} {}", versions.join(", ")))
                .collect::<Vec<_>>()
                .join("; ")
        };
        write!(f, "{:<12} {} ", self.what, quoted(&self.package))?;
        match self.what {
            What::Added => write!(f, "({})", versions(&self.after))?,
            What::Removed | What::Banned => write!(f, "({})", versions(&self.before))?,
            _ => write!(
                f,
                "({} -> {})",
                versions(&self.before),
                versions(&self.after)
            )?,
        }
        let groups: Vec<_> = self.groups.iter().map(|group| quoted(group)).collect();
        write!(f, " [{}]", groups.join(" "))
    }
}

impl Difference {
    /// Returns what fell behind, in words: the number and the first few.
    pub(crate) fn behind_in_words(&self) -> Option<String> {
        let first: Vec<_> = self
            .behind
            .iter()
            .take(TOLD)
            .map(ToString::to_string)
            .collect();
        let all = self.behind.len() as u64 + self.behind_omitted;
        let further = all.saturating_sub(first.len() as u64);
        let further = match further {
            0 => String::new(),
            n => format!(", and {n} more"),
        };
        let packages = match all {
            0 => return None,
            1 => "a package hides a newer version".to_owned(),
            n => format!("{n} packages hide newer versions"),
        };
        Some(format!("{packages}: {}{further}", first.join(", ")))
    }

    /// Returns how many packages change in which way, in words: `2 added, 1 newly banned`.
    pub fn summary(&self) -> String {
        if self.is_new {
            return "new".into();
        }
        let mut counts: BTreeMap<What, usize> = BTreeMap::new();
        for change in &self.changes {
            *counts.entry(change.what).or_default() += 1;
        }
        let mut parts: Vec<_> = counts
            .iter()
            .map(|(what, count)| format!("{count} {what}"))
            .collect();
        if self.omitted > 0 {
            parts.push(format!("{} more", self.omitted));
        }
        let behind = self.behind.len() as u64 + self.behind_omitted;
        if behind > 0 {
            parts.push(format!("{behind} fell behind"));
        }
        if parts.is_empty() {
            return "no package changes".into();
        }
        parts.join(", ")
    }
}
