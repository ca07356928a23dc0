//! The explanation of a package, in the shape that `explain --json` prints. So the names and values here are a promise to users.

use serde::Serialize;

use super::rules::Exclusion;

/// The explanation of a package in one merged suite.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct SuiteExplanation {
    /// The merged suite.
    pub suite: String,
    /// The suite's name spaces that have the package, or could have it: architectures in the order of the configuration, then udebs, then
    /// sources. Udebs and sources are there only if an archive has one of that name.
    pub groups: Vec<GroupExplanation>,
}

/// The explanation of a package in one name space.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct GroupExplanation {
    /// The kind of package.
    pub kind: PackageKind,
    /// The architecture; `source` for sources.
    pub architecture: String,
    /// The archive that the name belongs to, and why; `None` if no archive has the package.
    pub owner: Option<Owner>,
    /// Every copy that an archive has of the package: published, banned, hidden or excluded, one for each version.
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
    /// The rule that gave it the name.
    pub by: OwnedBy,
    /// The number of the `[[pin]]`, counted from 1, if a pin gave the name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pin: Option<usize>,
}

/// The rules that give a name to an archive.
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
    /// The fate of the copy.
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
    /// The source that a binary was built from.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source: Option<BuiltFrom>,
}

/// The source that a binary was built from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct BuiltFrom {
    /// The name of the source.
    pub name: String,
    /// Its version.
    pub version: String,
}

/// The fate of a copy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(
    tag = "fate",
    rename_all = "kebab-case",
    rename_all_fields = "kebab-case"
)]
pub enum Fate {
    /// The copy is published.
    Published {
        /// The path in the merged archive.
        published_path: String,
        /// For a source that is there only because a published binary was built from it: that binary.
        #[serde(skip_serializing_if = "Option::is_none")]
        needed_by: Option<String>,
    },
    /// A ban removed the copy.
    Banned {
        /// The clause of its dependencies that transitive bans left unsatisfiable.
        #[serde(skip_serializing_if = "Option::is_none")]
        clause: Option<String>,
        /// The packages from its dependency to the cause: each needs the next, and the last is banned by name. Empty if the copy itself is.
        chain: Vec<String>,
    },
    /// The copy cannot be published.
    Unreadable {
        /// The part that apt cannot read, or that readers could take differently, or that leads astray.
        why: String,
    },
    /// The name belongs to another archive.
    Hidden {
        /// The archive that the name belongs to.
        hidden_by: String,
    },
    /// The filter of the copy's archive leaves it out.
    Excluded {
        /// The table that leaves it out: `include`, which does not name it, or `exclude`, which does.
        excluded_by: Exclusion,
    },
    /// The merged suite does not have the copy's component or architecture.
    NotMerged {
        /// The index that has it.
        index: String,
    },
}
