//! Retention: the newest versions of each package stay.

use std::collections::{BTreeMap, BTreeSet};

use crate::deb::Kind;

use super::head::Head;

/// Returns those of the packages that go if the newest `versions` of each stay. Of a source, each version stays that a binary package which
/// stays was built from.
pub(super) fn outdated(all: &[Head], meant: &[Head], versions: usize) -> Vec<Head> {
    let mut groups: BTreeMap<(&str, &str), Vec<&Head>> = BTreeMap::new();
    for head in meant {
        groups.entry(head.group()).or_default().push(head);
    }
    let mut gone: BTreeSet<i64> = BTreeSet::new();
    for group in groups.values_mut() {
        group.sort_by(|a, b| b.order(a));
        gone.extend(group.iter().skip(versions).map(|head| head.id));
    }
    let stays = |head: &&Head| head.kind != Kind::Source && !gone.contains(&head.id);
    let needed: BTreeSet<(&str, &str)> = all
        .iter()
        .filter(stays)
        .map(|head| (head.source.as_str(), head.source_version.as_str()))
        .collect();
    let is_needed = |head: &Head| {
        head.kind == Kind::Source && needed.contains(&(&head.key.name, &head.key.version))
    };
    let mut outdated: Vec<Head> = meant
        .iter()
        .filter(|head| gone.contains(&head.id) && !is_needed(head))
        .cloned()
        .collect();
    outdated.sort_by(Head::order);
    outdated
}
