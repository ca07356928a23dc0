//! The names and patterns of rules that the inputs of a suite have. A name that no suite's inputs have is perhaps misspelt.

use std::collections::BTreeSet;

use crate::deb822::{Name, alternatives};
use crate::suite_report::FoundNames;

use super::entry::{Entry, Kind};
use super::input::SuiteMerge;
use super::rules::Outcome;

/// Returns the names and patterns that are found among the entries of one name space, whatever became of the entries.
pub(super) fn found(merge: &SuiteMerge<'_>, outcome: &Outcome<'_>, kind: Kind) -> FoundNames {
    let mut found = FoundNames::default();
    let mut bans: BTreeSet<Name<'_>> = BTreeSet::new();
    bans.extend(
        merge
            .spec
            .bans
            .packages
            .iter()
            .map(|ban| Name::from(ban.as_str())),
    );
    let dropped = outcome.dropped.iter().map(|(entry, _)| entry);
    let entries = outcome.kept.iter().chain(dropped).chain(&outcome.flawed);
    for entry in entries.chain(&outcome.hidden).chain(&outcome.excluded) {
        if !bans.is_empty() {
            let names = std::iter::once(entry.name).chain(needed(entry));
            for name in names {
                if let Some(ban) = bans.take(&name) {
                    found.bans.insert(ban.to_string());
                }
            }
        }
        for pin in &merge.spec.pins {
            let (packages, sources) = (&pin.pin.packages, &pin.pin.sources);
            if kind == Kind::Binary && !packages.is_empty() {
                add(
                    &mut found.packages,
                    packages.matches(entry.name.as_written()),
                );
            }
            if !sources.is_empty() {
                let source = match kind {
                    Kind::Binary => entry.source().0,
                    Kind::Source => entry.name,
                };
                add(&mut found.sources, sources.matches(source.as_written()));
            }
        }
    }
    found
}

/// Returns the names that an entry cannot be installed without, whether or not there are packages of these names.
fn needed<'a>(entry: &Entry<'a>) -> impl Iterator<Item = Name<'a>> {
    let fields = entry.needs();
    fields.flat_map(alternatives).flatten().map(|one| one.name)
}

fn add<'a>(found: &mut BTreeSet<String>, patterns: impl Iterator<Item = &'a str>) {
    for pattern in patterns {
        if !found.contains(pattern) {
            found.insert(pattern.to_owned());
        }
    }
}
