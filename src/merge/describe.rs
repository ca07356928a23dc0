//! The report on one name space, from the outcome of the rules.

use std::collections::BTreeSet;

use crate::quoted::quoted;
use crate::suite_report::{BannedPackage, SuiteReport};

use super::entry::Kind;
use super::input::SuiteMerge;
use super::named;
use super::rewrite::{is_hidden, is_package_file};
use super::rules::{Outcome, lossy};

/// Reports the package files of local archives that lie outside of their pools; the tree has a link to each.
fn describe_outside(merge: &SuiteMerge<'_>, outcome: &Outcome<'_>, report: &mut SuiteReport) {
    let is_linked = |path: &[u8]| {
        let decoded: Vec<u8> = percent_encoding::percent_decode(path).collect();
        let mut parts = path
            .split(|b| *b == b'/')
            .chain(decoded.split(|b| *b == b'/'));
        !parts.any(is_hidden) && is_package_file(path)
    };
    let mut not_linked = BTreeSet::new();
    for entry in &outcome.kept {
        let Some(input) = merge.spec_of(entry.rank).filter(|input| input.is_linked) else {
            continue;
        };
        for path in entry.outside() {
            let name = format!("{}/{}", input.pool, lossy(&path));
            if is_linked(&path) {
                report.outside.insert(name);
            } else if not_linked.len() < NOT_LINKED_TOLD {
                not_linked.insert(name);
            }
        }
    }
    let told = not_linked.iter().map(|name| {
        let name = quoted(name);
        format!("`{name}` is hidden or no package file: clients cannot get it from a local archive")
    });
    report.warnings.extend(told);
}

/// The number of names without a link that are reported.
const NOT_LINKED_TOLD: usize = 3;

pub(super) fn describe(
    merge: &SuiteMerge<'_>,
    outcome: &Outcome<'_>,
    group: String,
    kind: Kind,
) -> SuiteReport {
    let mut report = SuiteReport {
        found: Some(named::found(merge, outcome, kind)),
        ..SuiteReport::default()
    };
    describe_outside(merge, outcome, &mut report);
    report.packages.insert(group, outcome.kept.len() as u64);
    report
        .banned
        .extend(outcome.dropped.iter().map(|(entry, why)| BannedPackage {
            package: entry.name.to_string(),
            because_of: outcome.chain(why).next(),
        }));
    report.older.extend(outcome.older.iter().cloned());
    report
}
