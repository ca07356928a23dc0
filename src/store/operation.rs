//! Operations: changes to the store, as plain data.
//!
//! An operation holds names and arguments. The command line hands it over today; it can be written down and carried out later or elsewhere.

use std::num::NonZeroUsize;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::deb::{Kind, PackageFile};
use crate::error::{DomainError, ErrorKind};
use crate::names::{Component, PackageName, RepositoryName, SnapshotName};

use super::edit::Added;
use super::key::PackageKey;
use super::merge::MergeRule;

/// A change to the store.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(
    tag = "operation",
    rename_all = "kebab-case",
    rename_all_fields = "kebab-case",
    deny_unknown_fields
)]
#[non_exhaustive]
pub enum Operation {
    /// Makes an empty repository.
    CreateRepository {
        /// Its name.
        name: RepositoryName,
        /// A remark for people.
        comment: String,
        /// The distribution that it is published as, unless a publication says otherwise.
        distribution: String,
        /// The component that its packages are published in, unless a publication says otherwise.
        component: Component,
    },
    /// Changes what is said of a repository; what is not given stays.
    EditRepository {
        /// The repository.
        name: RepositoryName,
        /// The remark.
        comment: Option<String>,
        /// The distribution.
        distribution: Option<String>,
        /// The component.
        component: Option<Component>,
    },
    /// Gives a repository another name.
    RenameRepository {
        /// The name that it has.
        name: RepositoryName,
        /// The name that it gets.
        to: RepositoryName,
    },
    /// Drops a repository.
    DropRepository {
        /// The repository.
        name: RepositoryName,
        /// `true` if it may go although snapshots were made of it; they stay.
        force: bool,
    },
    /// Removes packages from a repository.
    RemovePackages {
        /// The repository.
        repository: RepositoryName,
        /// The query that means them.
        query: String,
    },
    /// Copies or moves packages from one repository to another. Each is judged by itself: see [`Change::refused`].
    CopyPackages {
        /// The repository that has them.
        from: RepositoryName,
        /// The repository that gets them.
        to: RepositoryName,
        /// The query that means them.
        query: String,
        /// `true` if what they depend on comes with them.
        with_dependencies: bool,
        /// `true` if a package of the same name, version and architecture is replaced.
        replace: bool,
        /// `true` if they are moved: those that the other repository has in the end leave this one.
        is_move: bool,
    },
    /// Removes all but the newest versions of each package from a repository.
    RetainNewest {
        /// The repository.
        repository: RepositoryName,
        /// The number of versions that stay, for each architecture.
        versions: NonZeroUsize,
        /// The query that means the packages; all if there is none.
        query: Option<String>,
    },
    /// Makes a snapshot.
    CreateSnapshot {
        /// Its name.
        name: SnapshotName,
        /// A remark for people.
        description: String,
        /// The content.
        of: SnapshotOf,
    },
    /// Gives a snapshot another name.
    RenameSnapshot {
        /// The name that it has.
        name: SnapshotName,
        /// The name that it gets.
        to: SnapshotName,
    },
    /// Drops a snapshot.
    DropSnapshot {
        /// The snapshot.
        name: SnapshotName,
        /// `true` if it may go although other snapshots were made of it; they stay.
        force: bool,
    },
    /// Adds packages to a repository. Each is judged by itself: see [`Change::refused`].
    AddPackages {
        /// The repository.
        repository: RepositoryName,
        /// The packages, whose files have arrived.
        packages: Vec<NewPackage>,
        /// `true` if a package of the same name, version and architecture is replaced.
        replace: bool,
        /// The owner under whose name the files are on record as arriving.
        arrived_as: String,
    },
}

/// The content of a snapshot that is to be made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(
    rename_all = "kebab-case",
    rename_all_fields = "kebab-case",
    deny_unknown_fields
)]
pub enum SnapshotOf {
    /// No package.
    Nothing {
        /// The component that packages of it are published in.
        component: Component,
    },
    /// The packages that a repository has at that moment.
    Repository {
        /// The repository.
        name: RepositoryName,
    },
    /// Several snapshots, the later ones over the earlier ones.
    Merge {
        /// The snapshots.
        snapshots: Vec<SnapshotName>,
        /// The rule.
        rule: MergeRule,
    },
    /// Some packages of a snapshot.
    Filter {
        /// The snapshot.
        snapshot: SnapshotName,
        /// The query that means them.
        query: String,
        /// `true` if what they depend on comes with them.
        with_dependencies: bool,
    },
    /// A snapshot, with packages of another one.
    Pull(Pull),
}

/// A snapshot into which packages of another one are taken.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Pull {
    /// The snapshot that is added to. It stays as it is.
    pub into: SnapshotName,
    /// The snapshot that has the packages.
    pub from: SnapshotName,
    /// The queries that mean them.
    pub queries: Vec<String>,
    /// The architectures; all if none is given.
    pub architectures: Vec<String>,
    /// `true` if all versions that a query means are taken, and not the highest alone.
    pub all_matches: bool,
    /// `true` if what they depend on does not come with them.
    pub without_dependencies: bool,
    /// `true` if other versions of these packages stay.
    pub keep_versions: bool,
}

/// A package that is to be added: what its files say of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct NewPackage {
    /// The kind of package.
    #[serde(with = "kind")]
    pub(super) kind: Kind,
    /// The name.
    pub(super) name: PackageName,
    /// The version.
    pub(super) version: String,
    /// The architecture; `source` for sources.
    pub(super) architecture: String,
    /// The source that it is built from, or its own name.
    pub(super) source: PackageName,
    /// The version of that source.
    pub(super) source_version: String,
    /// The field `Provides`.
    pub(super) provides: String,
    /// The stanza, without the fields that an index writes.
    pub(super) stanza: Bytes,
    /// The files, sorted by name.
    pub(super) files: Vec<NewFile>,
    /// The paths that a binary package installs: sorted lines, packed by zstd.
    pub(super) contents: Option<Bytes>,
}

/// A file of a package that is to be added.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(super) struct NewFile {
    pub(super) name: String,
    pub(super) size: u64,
    pub(super) md5: Hex<16>,
    pub(super) sha1: Hex<20>,
    pub(super) sha256: Hex<32>,
    pub(super) sha512: Hex<64>,
}

impl From<&NewFile> for PackageFile {
    fn from(file: &NewFile) -> Self {
        Self {
            name: file.name.clone(),
            size: file.size,
            md5: Some(file.md5.0),
            sha1: Some(file.sha1.0),
            sha256: file.sha256.0,
            sha512: Some(file.sha512.0),
        }
    }
}

/// Bytes, written down as base64.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Bytes(pub(super) Vec<u8>);

impl Serialize for Bytes {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        use base64::Engine;
        to.serialize_str(&base64::engine::general_purpose::STANDARD.encode(&self.0))
    }
}

impl<'de> Deserialize<'de> for Bytes {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        use base64::Engine;
        let text = String::deserialize(from)?;
        let bytes = base64::engine::general_purpose::STANDARD.decode(text);
        bytes.map(Self).map_err(de::Error::custom)
    }
}

/// A digest, written down in hex.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Hex<const N: usize>(pub(super) [u8; N]);

impl<const N: usize> Serialize for Hex<N> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(&hex::encode(self.0))
    }
}

impl<'de, const N: usize> Deserialize<'de> for Hex<N> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let mut bytes = [0; N];
        let text = String::deserialize(from)?;
        hex::decode_to_slice(text, &mut bytes).map_err(de::Error::custom)?;
        Ok(Self(bytes))
    }
}

/// Kinds of packages, written down as queries name them.
mod kind {
    use serde::{Deserialize, Deserializer, Serializer, de};

    use crate::deb::Kind;

    pub(super) fn serialize<S: Serializer>(kind: &Kind, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(kind.as_str())
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Kind, D::Error> {
        let word = String::deserialize(from)?;
        let kinds = [Kind::Binary, Kind::Installer, Kind::Source];
        let known = kinds.into_iter().find(|kind| kind.as_str() == word);
        known.ok_or_else(|| de::Error::custom(format!("`{word}` is no kind of package")))
    }
}

/// The outcome of an operation.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Change {
    /// The packages that came into the repository or snapshot.
    pub added: Vec<PackageKey>,
    /// The packages that left it.
    pub removed: Vec<PackageKey>,
    /// The packages that were to be added and are there already.
    pub unchanged: Vec<PackageKey>,
    /// The packages that were not added.
    pub refused: Vec<Refusal>,
}

impl Change {
    /// Counts a package that nothing refused.
    pub(super) fn count(&mut self, key: &PackageKey, added: Added) {
        match added {
            Added::New => self.added.push(key.clone()),
            Added::Unchanged => self.unchanged.push(key.clone()),
            Added::Instead(gone) => {
                self.removed.extend(gone.into_iter().map(|head| head.key));
                self.added.push(key.clone());
            }
            Added::Refused(held) => self.refused.push(Refusal {
                offered: key.clone(),
                held: held.key,
                held_by: Vec::new(),
            }),
        }
    }

    /// Says of the refused packages who holds the others.
    pub(super) fn is_held_by(&mut self, repository: &RepositoryName) {
        for refusal in &mut self.refused {
            refusal.held_by = vec![format!("the repository `{repository}`")];
        }
    }

    /// Adds what a later operation changed.
    pub fn extend(&mut self, later: Self) {
        self.added.extend(later.added);
        self.removed.extend(later.removed);
        self.unchanged.extend(later.unchanged);
        self.refused.extend(later.refused);
    }
}

impl DomainError for Refusal {
    fn kind(&self) -> ErrorKind {
        ErrorKind::Refused
    }
}

/// A package that was not added, since another one has its name, version and architecture.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, thiserror::Error)]
#[serde(rename_all = "kebab-case")]
#[error("`{}` is not added: {} has another package of this version and architecture, `{held}`", .offered, .held_by.join(", "))]
pub struct Refusal {
    /// The package that was to be added.
    pub offered: PackageKey,
    /// The package that is there.
    pub held: PackageKey,
    /// The repositories and snapshots that hold it: `the repository `x``.
    pub held_by: Vec<String>,
}
