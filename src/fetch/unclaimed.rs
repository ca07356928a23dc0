//! Files that a Release lists and that belong to no family of indices: they are not merged, and people should know of them.
//!
//! Such a file is not passed on, because it may speak of packages that are hidden or banned. Its name is recorded with the suite's copy, so
//! a run reports such files when they change and not each time.
//!
//! A file that belongs to a family counts as known whether or not the configuration takes it: other architectures, other languages,
//! families that are switched off. Release files and files below a `*.diff/` are known too.

use std::collections::BTreeSet;

use crate::deb822::Release;
use crate::indices::plain_form;
use crate::names::Component;
use crate::spec::{Content, InputSpec};

/// Returns the files of no family that an archive's Release lists, in the components of the suites that are made from it and beside the
/// components. Each file appears once, by the path of its plain form.
pub(super) fn unclaimed(suites: &[(&Content, &InputSpec)], release: &Release) -> BTreeSet<String> {
    let mut components: BTreeSet<&Component> = BTreeSet::new();
    let mut configured: BTreeSet<&str> = BTreeSet::new();
    for (content, input) in suites {
        let ours = content.components.iter();
        components.extend(ours.flat_map(|component| input.theirs(component)));
        let architectures = content.architectures.iter().map(|a| a.as_str());
        configured.extend(architectures.filter(|a| *a == "all" || input.takes(a)));
    }
    let architectures: BTreeSet<&str> = release
        .architectures()
        .chain(configured.iter().copied())
        .collect();
    let of_component = |path: &str| match path.split_once('/') {
        Some((first, _)) => components.iter().any(|c| c.as_str() == first),
        None => true,
    };
    let of_other_architecture = |path: &str| {
        let mut parts = path.split('/');
        parts.any(|part| {
            architecture_of(part, &architectures).is_some_and(|a| !configured.contains(a))
        })
    };
    let paths = release.entries.keys().map(|path| plain_form(path));
    paths
        .filter(|path| of_component(path) && !is_known(path) && !of_other_architecture(path))
        .map(str::to_owned)
        .collect()
}

/// Returns whether a path below a suite, without the suffix of its compression, has the form of an index of a family.
fn is_known(path: &str) -> bool {
    let (dir, file) = path.rsplit_once('/').unwrap_or(("", path));
    if path.split('/').any(|part| part.ends_with(".diff")) || file == "Release" {
        return true;
    }
    // The part of the path after the component.
    let (top, below) = dir.split_once('/').unwrap_or((dir, ""));
    let is_binary = |dir: &str| dir.starts_with("binary-") && !dir.contains('/');
    let is_of = |start: &str, end: &str| file.starts_with(start) && file.ends_with(end);
    match below {
        "" => file.starts_with("Contents-"),
        _ if top.is_empty() => false,
        "source" => file == "Sources",
        "i18n" => file.starts_with("Translation-"),
        "dep11" => is_of("Components-", ".yml") || is_of("icons-", ".tar"),
        "cnf" => file.starts_with("Commands-"),
        _ => {
            let dir = below.strip_prefix("debian-installer/").unwrap_or(below);
            file == "Packages" && is_binary(dir)
        }
    }
}

/// Returns the architecture in a part of a path: the longest one that equals the part, or its end after a `-` or `_`, without what follows
/// a dot. Looks the ends of the part up: a Release may name as many architectures as it has room for.
fn architecture_of<'a>(part: &str, architectures: &BTreeSet<&'a str>) -> Option<&'a str> {
    let part = part.split('.').next().unwrap_or(part);
    let behind = part
        .match_indices(['-', '_'])
        .map(|(at, _)| &part[at + 1..]);
    let mut ends = std::iter::once(part).chain(behind);
    ends.find_map(|end| architectures.get(end).copied())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_of_every_family_is_known() {
        for path in [
            "main/binary-amd64/Packages",
            "main/binary-amd64/Release",
            "main/binary-amd64/Packages.diff/Index",
            "main/debian-installer/binary-armhf/Packages",
            "main/source/Sources",
            "main/Contents-udeb-amd64",
            "Contents-amd64",
            "main/i18n/Translation-pt_BR",
            "main/dep11/Components-amd64.yml",
            "main/dep11/icons-48x48@2.tar",
            "main/cnf/Commands-all",
        ] {
            assert!(is_known(path), "{path}");
        }
        for path in [
            "main/foo/bar",
            "main/dep11/CID-Index-amd64.json",
            "main/i18n/Index",
            "main/installer-amd64/current/images/SHA256SUMS",
            "Packages",
            "main/Packages",
            "main/binary-amd64/x/Packages",
        ] {
            assert!(!is_known(path), "{path}");
        }
    }

    #[test]
    fn a_part_of_a_path_is_of_the_longest_architecture() {
        let known = ["amd64", "kfreebsd-amd64"].into();
        let of = |part| architecture_of(part, &known);
        assert_eq!(of("installer-amd64"), Some("amd64"));
        assert_eq!(of("installer-kfreebsd-amd64"), Some("kfreebsd-amd64"));
        assert_eq!(of("CID-Index-amd64.json"), Some("amd64"));
        assert_eq!(of("amd64"), Some("amd64"));
        assert_eq!(of("xamd64"), None);
    }
}
