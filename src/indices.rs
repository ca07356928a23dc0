//! Which upstream files a merged suite is made from: the names of indices below a suite's directory.

use std::collections::BTreeSet;
use std::fmt;

use crate::config::{Architecture, Archive, Component, Config, Family, Suite};
use crate::deb822::Release;

/// An index below a suite, as aptmerge reads and writes it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum IndexName {
    /// `COMPONENT/binary-ARCH/Packages`
    Packages(Component, Architecture),
    /// `COMPONENT/debian-installer/binary-ARCH/Packages`
    Installer(Component, Architecture),
    /// `COMPONENT/source/Sources`
    Sources(Component),
}

impl IndexName {
    /// The component that it belongs to.
    pub fn component(&self) -> &Component {
        match self {
            IndexName::Packages(c, _) | IndexName::Installer(c, _) | IndexName::Sources(c) => c,
        }
    }

    /// The family that it is of.
    pub fn family(&self) -> Family {
        match self {
            IndexName::Packages(..) => Family::Packages,
            IndexName::Installer(..) => Family::Installer,
            IndexName::Sources(_) => Family::Sources,
        }
    }

    /// The architecture as directory Release files name it: `source` for sources.
    pub fn architecture(&self) -> &str {
        match self {
            IndexName::Packages(_, a) | IndexName::Installer(_, a) => a.as_str(),
            IndexName::Sources(_) => "source",
        }
    }

    /// The directory that it lies in, below the suite.
    pub fn directory(&self) -> String {
        match self {
            IndexName::Packages(c, a) => format!("{c}/binary-{a}"),
            IndexName::Installer(c, a) => format!("{c}/debian-installer/binary-{a}"),
            IndexName::Sources(c) => format!("{c}/source"),
        }
    }
}

impl fmt::Display for IndexName {
    /// The path of its plain form below the suite.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let file = match self {
            IndexName::Packages(..) | IndexName::Installer(..) => "Packages",
            IndexName::Sources(_) => "Sources",
        };
        write!(f, "{}/{file}", self.directory())
    }
}

/// The indices that a merged suite publishes.
pub fn published(config: &Config, suite: &Suite) -> BTreeSet<IndexName> {
    let mut names = BTreeSet::new();
    for component in config.components_of(suite) {
        for architecture in config.architectures_of(suite) {
            if config.indices.contains(&Family::Packages) {
                names.insert(IndexName::Packages(component.clone(), architecture.clone()));
            }
            if config.indices.contains(&Family::Installer) {
                names.insert(IndexName::Installer(
                    component.clone(),
                    architecture.clone(),
                ));
            }
        }
        if config.indices.contains(&Family::Sources) {
            names.insert(IndexName::Sources(component.clone()));
        }
    }
    names
}

/// The indices of an archive's suite that a merged suite reads, of those that its Release lists.
///
/// Where the archive's binary-ARCH indices do not hold the `Architecture: all` packages, or where it has none for an
/// architecture, its binary-all is read as well.
pub fn wanted(
    config: &Config,
    suite: &Suite,
    archive: &Archive,
    release: &Release,
) -> BTreeSet<IndexName> {
    let listed = |name: &IndexName| {
        let plain = name.to_string();
        ["", ".xz", ".gz", ".bz2", ".zst"]
            .iter()
            .any(|ext| release.entries.contains_key(&format!("{plain}{ext}")))
    };
    let mut names = BTreeSet::new();
    for name in published(config, suite) {
        if !config.takes(archive, name.family()) {
            continue;
        }
        let all = match &name {
            IndexName::Packages(c, a) => {
                all_architecture(a).map(|all| IndexName::Packages(c.clone(), all))
            }
            IndexName::Installer(c, a) => {
                all_architecture(a).map(|all| IndexName::Installer(c.clone(), all))
            }
            IndexName::Sources(_) => None,
        };
        let of_all =
            matches!(&name, IndexName::Packages(_, a) | IndexName::Installer(_, a) if a.is_all());
        let only_all = !config.architectures_of(suite).iter().any(|a| !a.is_all());
        if of_all && !only_all {
            continue; // made from the other architectures
        }
        let has_it = listed(&name);
        if let Some(all) = all
            && (!has_it || !release.arch_indices_hold_all())
            && listed(&all)
        {
            names.insert(all);
        }
        if has_it {
            names.insert(name);
        }
    }
    names
}

/// `all`, seen from another architecture.
fn all_architecture(architecture: &Architecture) -> Option<Architecture> {
    if architecture.is_all() {
        return None;
    }
    Architecture::new("all").ok()
}
