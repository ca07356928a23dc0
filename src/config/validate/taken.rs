//! Components that are taken from an archive, and that no merged suite could publish.

use std::fmt::Display;

use super::Findings;
use crate::config::{Archive, Config, Suite, Upstream};

/// Checks the components and architectures that are taken from an archive against those of the suites that are made from it.
pub(super) fn taken(config: &Config, name: &str, archive: &Archive, findings: &mut Findings) {
    flat(config, name, archive, findings);
    if let Some(map) = &archive.components {
        let path = ["archives", name, "components"];
        if map.is_empty() {
            nothing(&path, "component", findings);
        }
        for (theirs, ours) in map.pairs() {
            let mut suites = config.suites_of(name);
            if !suites.any(|suite| config.components_of(suite).contains(ours)) {
                let path = ["archives", name, "components", theirs.as_str()];
                nowhere(&path, "component", ours, "components", findings);
            }
        }
    }
    if let Some(architectures) = &archive.architectures {
        let path = ["archives", name, "architectures"];
        if architectures.is_empty() {
            nothing(&path, "architecture", findings);
        }
        for architecture in architectures.iter().filter(|a| !a.is_all()) {
            let mut suites = config.suites_of(name);
            if !suites.any(|suite| config.architectures_of(suite).contains(architecture)) {
                nowhere(
                    &path,
                    "architecture",
                    architecture,
                    "architectures",
                    findings,
                );
            }
        }
    }
}

/// Checks the settings of a flat archive, whose packages have no component of their own.
fn flat(config: &Config, name: &str, archive: &Archive, findings: &mut Findings) {
    for (suite, settings) in &archive.suites {
        let path = |key| ["archives", name, "suites", suite.as_str(), key];
        match (&settings.flat, &settings.component) {
            (Some(_), None) => findings.add(
                &path("flat"),
                "no `component` is named for its packages",
                "a flat archive has no components: component = \"main\"",
            ),
            (None, Some(_)) => findings.add(
                &path("component"),
                "it is not known where the flat archive is that it is meant for",
                "flat = \"./\", or `components` of the archive for one that has components",
            ),
            (Some(_), Some(component)) => {
                let mut suites = config.suites_of(name);
                let takes_it =
                    |merged: &Suite| merged.from.get(name).and_then(Upstream::suite) == Some(suite);
                if !suites.any(|merged| {
                    takes_it(merged) && config.components_of(merged).contains(component)
                }) {
                    nowhere(
                        &path("component"),
                        "component",
                        component,
                        "components",
                        findings,
                    );
                }
            }
            (None, None) => {}
        }
    }
}

fn nothing(path: &[&str], what: &str, findings: &mut Findings) {
    findings.add(
        path,
        format!("no {what} is named"),
        "take the key out to have those of the suites",
    );
}

fn nowhere(path: &[&str], what: &str, name: &dyn Display, key: &str, findings: &mut Findings) {
    findings.add(
        path,
        format!("no suite that is made from the archive has the {what} `{name}`"),
        &format!("add it to `{key}`, or take it out here"),
    );
}
