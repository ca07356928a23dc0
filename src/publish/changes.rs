//! The changes of a suite, which are gathered while its indices are made.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, PoisonError};

use crate::difference::{Change, Difference, Origin, What};
use crate::indices::IndexName;
use crate::merge::SuiteReport;
use crate::names::{ArchiveName, PoolName};
use crate::suite_report::OlderFork;

use super::differ::Changed;
use super::outline::Note;

/// The most changes of a suite that are recorded; a point release of a distribution has some thousands.
const MAX_RECORDED: usize = 5_000;

type BeforeAndAfter = (BTreeSet<Origin>, BTreeSet<Origin>);

/// The changes in the indices of a suite, gathered from several threads.
#[derive(Debug, Default)]
pub(super) struct Changes {
    packages: Mutex<BTreeMap<(String, String), BeforeAndAfter>>,
    indices: Mutex<BTreeSet<String>>,
}

impl Changes {
    /// Adds the changes in an index of packages.
    pub(super) fn add(
        &self,
        archives: &BTreeMap<PoolName, ArchiveName>,
        index: &IndexName,
        changed: &[Changed<'_, '_>],
    ) {
        let group = index.group();
        let component = index.component().map_or("", |c| c.as_str());
        let origins = |notes: &[&Note<'_>]| -> Vec<Origin> {
            notes
                .iter()
                .map(|note| {
                    let mut named = archives.iter();
                    let named = named.find(|(pool, _)| pool.as_str() == note.pool);
                    Origin {
                        version: note.version.to_string(),
                        archive: named.map_or(note.pool, |(_, name)| name.as_str()).into(),
                        component: component.into(),
                    }
                })
                .collect()
        };
        let mut packages = self.packages.lock().unwrap_or_else(PoisonError::into_inner);
        for (before, after) in changed {
            let Some(first) = before.first().or(after.first()) else {
                continue;
            };
            let key = (first.name.to_string(), group.clone());
            let known = packages.entry(key).or_default();
            known.0.extend(origins(before));
            known.1.extend(origins(after));
        }
    }

    /// Adds a changed index of which nothing else is known.
    pub(super) fn add_index(&self, index: &IndexName) {
        let mut indices = self.indices.lock().unwrap_or_else(PoisonError::into_inner);
        indices.insert(index.to_string());
    }

    /// Returns how many packages fewer there are of each archive that has fewer, as far as the gathered changes tell.
    pub(super) fn losses(&self) -> BTreeMap<String, usize> {
        let packages = self.packages.lock().unwrap_or_else(PoisonError::into_inner);
        let mut counts: BTreeMap<&str, (usize, usize)> = BTreeMap::new();
        for (before, after) in packages.values() {
            for origin in before {
                counts.entry(&origin.archive).or_default().0 += 1;
            }
            for origin in after {
                counts.entry(&origin.archive).or_default().1 += 1;
            }
        }
        let fewer = counts.into_iter().filter_map(|(archive, (before, after))| {
            let fewer = before.saturating_sub(after);
            (fewer > 0).then(|| (archive.to_owned(), fewer))
        });
        fewer.collect()
    }

    /// Returns the changes of the suite; `report` is the report of its merge, and `before` that of the merge before.
    pub(super) fn finish(
        self,
        is_new: bool,
        report: &SuiteReport,
        before: Option<&SuiteReport>,
    ) -> Difference {
        let packages = self.packages.into_inner();
        let indices = self.indices.into_inner();
        if is_new {
            return Difference {
                is_new,
                ..Difference::default()
            };
        }
        let (behind, behind_omitted) = behind(report, before);
        let mut changes: BTreeMap<(String, What, BeforeAndAfter), BTreeSet<String>> =
            BTreeMap::new();
        for ((package, group), origins) in packages.unwrap_or_else(PoisonError::into_inner) {
            let what = what(&package, &origins, report);
            let groups = changes.entry((package, what, origins)).or_default();
            groups.insert(group);
        }
        let omitted = changes.len().saturating_sub(MAX_RECORDED) as u64;
        let changes = changes.into_iter().take(MAX_RECORDED);
        let changes = changes.map(|((package, what, (before, after)), groups)| Change {
            package,
            what,
            groups,
            before,
            after,
        });
        Difference {
            is_new,
            changes: changes.collect(),
            omitted,
            indices: indices.unwrap_or_else(PoisonError::into_inner),
            behind,
            behind_omitted,
        }
    }
}

/// The most packages that fell behind which are recorded; the report lists all that are behind.
const MAX_BEHIND: usize = 100;

/// Returns the packages that hide a newer version which they did not hide before, and the number of those beyond the bound.
fn behind(report: &SuiteReport, before: Option<&SuiteReport>) -> (Vec<OlderFork>, u64) {
    let known = before.iter().flat_map(|before| &before.older);
    let known: BTreeSet<_> = known.map(|fork| (&fork.package, &fork.hidden)).collect();
    let news = report.older.iter();
    let news = news.filter(|fork| !known.contains(&(&fork.package, &fork.hidden)));
    let mut news: Vec<_> = news.cloned().collect();
    let omitted = news.len().saturating_sub(MAX_BEHIND) as u64;
    news.truncate(MAX_BEHIND);
    (news, omitted)
}

fn what(package: &str, (before, after): &BeforeAndAfter, report: &SuiteReport) -> What {
    fn all<'a>(
        origins: &'a BTreeSet<Origin>,
        of: impl Fn(&'a Origin) -> &'a str,
    ) -> BTreeSet<&'a str> {
        origins.iter().map(of).collect()
    }
    if before.is_empty() {
        return What::Added;
    }
    if after.is_empty() {
        let banned = report.banned.iter().any(|b| b.package == package);
        return if banned { What::Banned } else { What::Removed };
    }
    if all(before, |o| &o.archive) != all(after, |o| &o.archive) {
        return What::TakenOver;
    }
    if all(before, |o| &o.component) != all(after, |o| &o.component) {
        return What::Moved;
    }
    What::Changed
}
