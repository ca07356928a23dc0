//! What there is to say of a package: the shape that `explain --json` prints, so names and values here are a promise.

use serde::Serialize;

use super::rules::Exclusion;

/// What became of a package in one merged suite.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct SuiteExplanation {
    /// The merged suite.
    pub suite: String,
    /// Its name spaces that have the package, or could: architectures in the order of the configuration, then udebs, then
    /// sources. Udebs and sources are there only if an archive has one of that name.
    pub groups: Vec<GroupExplanation>,
}

/// What became of a package in one name space.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct GroupExplanation {
    /// The kind of package.
    pub kind: PackageKind,
    /// The architecture; `source` for sources.
    pub architecture: String,
    /// The archive that the name belongs to, and why; none where no archive has the package.
    pub owner: Option<Owner>,
    /// Every copy that an archive has of it: published, banned, hidden, excluded; each by version.
    pub copies: Vec<PackageCopy>,
}

/// The kinds of packages that have name spaces of their own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum PackageKind {
    /// A binary package.
    Package,
    /// A package of the installer.
    Udeb,
    /// A source.
    Source,
}

/// The archive that a name belongs to.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Owner {
    /// The archive.
    pub archive: String,
    /// What gave it the name.
    pub by: OwnedBy,
    /// The number of the `[[pin]]`, counted from 1, if it was one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pin: Option<usize>,
}

/// What gives a name to an archive.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum OwnedBy {
    /// `strategy = "order"`
    Order,
    /// `strategy = "newest"`
    Newest,
    /// A `[[pin]]`.
    Pin,
}

/// A package as one archive has it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct PackageCopy {
    /// What became of it.
    #[serde(flatten)]
    pub fate: Fate,
    /// The archive.
    pub archive: String,
    /// The component.
    pub component: String,
    /// The version.
    pub version: String,
    /// `Architecture`, as the stanza has it.
    pub architecture: String,
    /// `Filename`, or `Directory` of a source, as the archive has it.
    pub path: String,
    /// Name and version of the source that a binary was built from.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source: Option<(String, String)>,
}

/// What became of a copy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(
    tag = "fate",
    rename_all = "kebab-case",
    rename_all_fields = "kebab-case"
)]
pub enum Fate {
    /// It is published.
    Published {
        /// Its path in the merged archive.
        published_path: String,
        /// For a source that is there only because a published binary was built from it: that binary.
        #[serde(skip_serializing_if = "Option::is_none")]
        needed_by: Option<String>,
    },
    /// A ban took it.
    Banned {
        /// The clause of its dependencies that transitive bans left without anything to satisfy it.
        #[serde(skip_serializing_if = "Option::is_none")]
        clause: Option<String>,
        /// What it cannot do without, what that one cannot, and so on; the last is banned by name. Empty if it is that itself.
        chain: Vec<String>,
    },
    /// No client could read any package with it.
    Unreadable {
        /// What apt stumbles over.
        why: String,
    },
    /// The name belongs to another archive.
    Hidden {
        /// That archive.
        hidden_by: String,
    },
    /// The filter of its archive leaves it out.
    Excluded {
        /// The table that does so: `include`, which does not name it, or `exclude`, which does.
        excluded_by: Exclusion,
    },
    /// The merged suite does not have its component or its architecture.
    NotMerged {
        /// The index that has it.
        index: String,
    },
}
