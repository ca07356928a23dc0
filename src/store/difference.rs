//! The difference of two lists, package by package.

use std::collections::{BTreeMap, BTreeSet};

use rusqlite::Connection;
use serde::Serialize;

use super::error::StoreError;
use super::head::{self, Head};
use super::key::PackageKey;
use super::list::List;

/// The versions of a package that only one of two lists has.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Difference {
    /// The name.
    pub package: String,
    /// The architecture.
    pub architecture: String,
    /// The versions that only the first list has, lowest first.
    pub left: Vec<PackageKey>,
    /// The versions that only the second list has, lowest first.
    pub right: Vec<PackageKey>,
}

/// Compares two lists; the packages come by name and architecture.
pub(super) fn difference(
    db: &Connection,
    left: &List,
    right: &List,
) -> Result<Vec<Difference>, StoreError> {
    let mut found: BTreeMap<(String, String), Difference> = BTreeMap::new();
    let numbers: BTreeSet<u16> = left.numbers().union(&right.numbers()).copied().collect();
    for number in numbers {
        if left.shares(right, number) {
            continue;
        }
        let [left, right] = [left, right].map(|list| list.bucket(db, number));
        let (left, right) = (left?, right?);
        for (own, other, is_left) in [(&left, &right, true), (&right, &left, false)] {
            let only: Vec<i64> = own
                .iter()
                .filter(|id| !other.contains(id))
                .copied()
                .collect();
            let mut heads = head::load_all(db, &only)?;
            heads.sort_by(Head::order);
            for head in heads {
                let (package, architecture) = head.group();
                let group = (package.to_owned(), architecture.to_owned());
                let entry = found.entry(group.clone()).or_insert_with(|| Difference {
                    package: group.0,
                    architecture: group.1,
                    ..Difference::default()
                });
                match is_left {
                    true => entry.left.push(head.key),
                    false => entry.right.push(head.key),
                }
            }
        }
    }
    Ok(found.into_values().collect())
}
