//! Operations: changes to the store, as plain data.
//!
//! An operation holds names and arguments. The command line hands it over today; it can be written down and carried out later or elsewhere.

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::deb::{Kind, PackageFile};
use crate::error::{DomainError, ErrorKind};
use crate::names::{Component, PackageName, RepositoryName};

use super::key::PackageKey;

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
