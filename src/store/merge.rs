//! Merging lists, bucket by bucket; what two lists share is not read.

use rusqlite::Connection;
use serde::{Deserialize, Serialize};

use super::error::StoreError;
use super::head::{self, Head};
use super::list::List;

/// The rule by which lists are merged, the later ones over the earlier ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum MergeRule {
    /// The versions of a package in a later list take the place of all in the earlier ones.
    Override,
    /// All versions stay; of one version with different content, that of the later list.
    Union,
    /// The highest version of each package stays; of one version with different content, that of the later list.
    Latest,
}

/// Merges a list over another one.
pub(super) fn merge(
    db: &Connection,
    lower: &List,
    upper: &List,
    rule: MergeRule,
) -> Result<List, StoreError> {
    let mut merged = lower.clone();
    for number in upper.numbers() {
        if lower.shares(upper, number) {
            continue;
        }
        let mut heads = head::load_all(db, &lower.bucket(db, number)?)?;
        let above = head::load_all(db, &upper.bucket(db, number)?)?;
        heads.retain(|head| {
            !above.iter().any(|other| match rule {
                MergeRule::Override => other.group() == head.group(),
                MergeRule::Union | MergeRule::Latest => other.is_same_version(head),
            })
        });
        heads.extend(above);
        merged.set_bucket(db, number, &heads)?;
    }
    Ok(merged)
}

/// Leaves only the highest version of each package in a list.
pub(super) fn latest(db: &Connection, list: &List) -> Result<List, StoreError> {
    let mut latest = list.clone();
    for number in list.numbers() {
        let heads = head::load_all(db, &list.bucket(db, number)?)?;
        let is_highest = |head: &&Head| {
            !heads
                .iter()
                .any(|other| other.group() == head.group() && other.order(head).is_gt())
        };
        let highest: Vec<Head> = heads.iter().filter(is_highest).cloned().collect();
        if highest.len() < heads.len() {
            latest.set_bucket(db, number, &highest)?;
        }
    }
    Ok(latest)
}
