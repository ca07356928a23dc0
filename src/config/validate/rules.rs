//! Pins and filters that could never mean anything.

use super::{Findings, nearest_archive};
use crate::config::{Config, Filter, Pin};

pub(super) fn rules(config: &Config, findings: &mut Findings) {
    for (number, pin) in config.pin.iter().enumerate() {
        self::pin(config, &format!("[{number}]"), pin, findings);
    }
    for (name, archive) in &config.archives {
        for (key, filter) in [("include", &archive.include), ("exclude", &archive.exclude)] {
            if filter.as_ref().is_some_and(Filter::is_empty) {
                findings.add(
                    &["archives", name.as_str(), key],
                    "it names nothing",
                    "give patterns in packages, sources, sections or priorities, or take the table out",
                );
            }
        }
    }
}

fn pin(config: &Config, number: &str, pin: &Pin, findings: &mut Findings) {
    if pin.packages.is_empty() && pin.sources.is_empty() {
        findings.add(
            &["pin", number],
            "it names neither packages nor sources",
            "packages = [\"firefox*\"], or sources = [\"linux\"]",
        );
    }
    let archive = &pin.archive;
    if !config.archives.contains_key(archive) {
        findings.add(
            &["pin", number, "archive"],
            format!("there is no archive `{archive}`"),
            &nearest_archive(config, archive.as_str()),
        );
        return;
    }
    if pin.suites.as_ref().is_some_and(Vec::is_empty)
        || pin.architectures.as_ref().is_some_and(Vec::is_empty)
    {
        findings.add(
            &["pin", number],
            "it holds nowhere, for a list is empty",
            "take the key out to have it hold everywhere",
        );
    }
    for suite in pin.suites.iter().flatten() {
        match config.suites.get(suite) {
            None => findings.add(
                &["pin", number, "suites"],
                format!("there is no suite `{suite}`"),
                "name suites as they are in [suites]",
            ),
            Some(it) if !it.from.contains_key(archive) => findings.add(
                &["pin", number, "suites"],
                format!("`{suite}` takes nothing from `{archive}`"),
                "name suites that have the archive in `from`",
            ),
            Some(_) => {}
        }
    }
    for architecture in pin.architectures.iter().flatten() {
        let is_of = |suite| config.name_spaces_of(suite).contains(&architecture);
        if config.suites.values().any(is_of) {
            continue;
        }
        let path = ["pin", number, "architectures"];
        if architecture.is_all() {
            let message = "packages for `all` are merged with those of each architecture";
            findings.add(&path, message, "name these, or take the key out");
        } else {
            findings.add(
                &path,
                format!("no suite has the architecture `{architecture}`"),
                "name architectures as they are in `architectures`",
            );
        }
    }
}
