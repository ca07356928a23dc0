//! Rules that decide nothing, since no archive has what they name: perhaps a name is misspelt.

use std::collections::BTreeSet;

use crate::events::Listener;
use crate::suite_report::FoundNames;
use crate::workspace::Generation;

use super::Setup;

/// Warns of the banned names and the patterns of pins that no suite's inputs have. Says nothing where a suite is not published, or where its
/// record does not tell: the suite may be the one that has them.
pub(super) fn tell(setup: &Setup, published: &Generation, listener: &dyn Listener) {
    let mut all = FoundNames::default();
    for spec in &setup.suites {
        let record = published.suites.get(spec.name.as_str());
        let Some(found) = record.and_then(|record| record.report.found.as_ref()) else {
            return;
        };
        all.bans.extend(found.bans.iter().cloned());
        all.packages.extend(found.packages.iter().cloned());
        all.sources.extend(found.sources.iter().cloned());
    }
    let mut told = BTreeSet::new();
    for spec in &setup.suites {
        let bans = spec.content.bans.packages.iter();
        told.extend(
            bans.filter(|ban| !all.bans.contains(ban.as_str()))
                .map(|ban| {
                    format!("bans.packages: no archive has a package `{ban}`, and none needs one")
                }),
        );
        for pin in &spec.content.pins {
            let packages = pin.pin.packages.patterns();
            let packages = packages.filter(|pattern| !all.packages.contains(*pattern));
            let sources = pin.pin.sources.patterns();
            let sources = sources.filter(|pattern| !all.sources.contains(*pattern));
            let packages = packages.map(|pattern| ("packages", pattern, "package"));
            let named = packages.chain(sources.map(|pattern| ("sources", pattern, "source")));
            told.extend(named.map(|(key, pattern, what)| {
                let number = pin.number;
                format!("[[pin]] {number}, {key}: no archive has a {what} `{pattern}`")
            }));
        }
    }
    for warning in told {
        listener.warn(warning);
    }
}
