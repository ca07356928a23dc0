//! The spec of a merged suite: everything that the suite depends on besides its inputs, resolved.
//!
//! The configuration is resolved into specs before anything is merged, and so can be anything else that describes a suite. A suite is
//! made anew if the digest of its spec or of one of its inputs differs from what is on record. A digest covers a struct as a whole, so a
//! new setting cannot be forgotten: what must not matter stands outside of [`Content`] and [`ReleaseFields`].

mod components;
mod rules;

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::collection::Upstream;
use crate::names::{Architecture, ArchiveName, Component, PackageName, PoolName, SuiteName};
use crate::units::{ByteSize, TimeSpan};

pub use components::ComponentMap;
pub use rules::{Filter, Glob, Globs, InvalidGlob, Pin, Strategy};

/// Everything that one merged suite depends on besides its inputs.
#[derive(Debug, Clone)]
pub struct Spec {
    /// The name of the suite: its path below `dists/`.
    pub name: SuiteName,
    /// Further names of the suite, published as symlinks.
    pub aliases: Vec<SuiteName>,
    /// The settings that the indices depend on.
    pub content: Content,
    /// The settings that only the Release depends on.
    pub release: ReleaseFields,
    /// The time that a merge of the suite may take.
    pub timeout: TimeSpan,
}

/// The settings that the indices of a suite depend on.
#[derive(Debug, Clone, Serialize)]
pub struct Content {
    /// The inputs, highest priority first.
    pub inputs: Vec<InputSpec>,
    /// The components of the suite.
    pub components: Vec<Component>,
    /// The architectures of the suite; with `all`, binary-all indices are published too.
    pub architectures: Vec<Architecture>,
    /// The families of indices to merge.
    pub families: BTreeSet<Family>,
    /// The languages whose translations are merged; all if the set is empty.
    pub languages: BTreeSet<String>,
    /// The way to find the input that a name belongs to.
    pub strategy: Strategy,
    /// The pins that hold in the suite, in the order in which they are tried.
    pub pins: Vec<NumberedPin>,
    /// The packages that must not be published.
    pub bans: Bans,
    /// Published packages that need one of these are reported under the name of the list.
    pub watch: BTreeMap<PackageName, BTreeSet<PackageName>>,
    /// `true` if Contents are published beside the components too.
    pub contents_beside_components: bool,
    /// The compressed forms to publish.
    pub forms: BTreeSet<Form>,
    /// The hashes by which the Release lists its files.
    pub hashes: BTreeSet<HashKind>,
}

/// The settings of one input of a suite.
#[derive(Debug, Clone, Serialize)]
pub struct InputSpec {
    /// The archive that the input comes from.
    pub archive: ArchiveName,
    /// The archive's suite, or the collection of our own that stands for one.
    pub suite: Upstream,
    /// The name that `pool/…` gets: `pool/POOL/…`.
    pub pool: PoolName,
    /// The families of indices that are taken from the input.
    pub families: BTreeSet<Family>,
    /// The architectures whose packages are taken from the input; all of the suite's if it is not set.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub architectures: Option<BTreeSet<Architecture>>,
    /// The components that are taken from the input; those of the suite, under the same names, if it is not set.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub components: Option<ComponentMap>,
    /// The component that the packages of a flat archive are published in; none if the archive has components of its own.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub flat: Option<Component>,
    /// `true` if bans do not touch the input's packages.
    pub is_exempt: bool,
    /// `false` takes fields out of the input's packages by which these are installed or kept unasked.
    pub may_be_essential: bool,
    /// If it is there, the input has only these packages.
    pub include: Option<Filter>,
    /// The input does not have these packages, even if `include` names them.
    pub exclude: Option<Filter>,
    /// `true` if the tree has links to the input's packages, so that files outside of its pool must be known by name.
    pub is_linked: bool,
    /// `true` if the suite must not be valid for longer than the input's Release.
    #[serde(skip)]
    pub bounds_validity: bool,
}

/// A pin, with its number in the configuration, from 1.
#[derive(Debug, Clone, Serialize)]
pub struct NumberedPin {
    /// The number, for messages.
    #[serde(skip)]
    pub number: usize,
    /// The pin.
    #[serde(flatten)]
    pub pin: Pin,
}

/// The settings that only the Release of a suite depends on, and what is written beside its indices.
#[derive(Debug, Clone, Serialize)]
pub struct ReleaseFields {
    /// Release fields to set; the others come from the first input's Release.
    pub fields: BTreeMap<String, String>,
    /// The Valid-Until, counted from the Date; none if it is not set.
    pub valid_for: Option<TimeSpan>,
    /// The patches beside Packages, Sources and Contents.
    pub patches: PatchHistory,
}

/// Packages that must not be published.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Bans {
    /// Banned by name, and with them whatever needs them.
    pub packages: BTreeSet<PackageName>,
    /// `true` if packages whose dependencies cannot be satisfied because of bans are left out as well.
    pub transitive: bool,
}

/// A family of indices: files that are merged by one rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Family {
    /// `binary-ARCH/Packages`
    Packages,
    /// `source/Sources`
    Sources,
    /// `debian-installer/binary-ARCH/Packages`
    Installer,
    /// `Contents-ARCH`
    Contents,
    /// `i18n/Translation-LANG`
    Translations,
    /// `dep11/…`
    Dep11,
    /// `cnf/Commands-ARCH`
    Commands,
}

/// A form that indices are published in besides the plain one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Form {
    /// `.xz`
    Xz,
    /// `.gz`
    Gz,
}

impl Form {
    /// Every form.
    pub const ALL: [Form; 2] = [Form::Xz, Form::Gz];

    /// Returns the ending of the file name, with its dot.
    pub const fn suffix(self) -> &'static str {
        match self {
            Form::Xz => ".xz",
            Form::Gz => ".gz",
        }
    }
}

/// A kind of hash that a Release lists its files by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum HashKind {
    /// MD5, in the section `MD5Sum`: for readers of old, it proves nothing.
    Md5,
    /// SHA-256
    Sha256,
    /// SHA-512
    Sha512,
}

impl HashKind {
    /// Returns the name of the hash's section in a Release, and of its directory under by-hash.
    pub const fn section(self) -> &'static str {
        match self {
            HashKind::Md5 => "MD5Sum",
            HashKind::Sha256 => "SHA256",
            HashKind::Sha512 => "SHA512",
        }
    }

    /// Returns the path under by-hash of a file that has this hash.
    pub(crate) fn by_hash(self, path: &str, hash: &str) -> String {
        let dir = path.rfind('/').map_or("", |end| &path[..=end]);
        format!("{dir}by-hash/{}/{hash}", self.section())
    }
}

/// The bounds on the patches of an index: if there are more than either allows, the oldest go first.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct PatchHistory {
    /// At most so many; 0 for none at all.
    pub patches: usize,
    /// At most so large, all those of an index together, compressed.
    pub max_size: ByteSize,
}

impl Default for PatchHistory {
    fn default() -> Self {
        Self {
            patches: 12,
            max_size: ByteSize::from_bytes(4 << 20),
        }
    }
}

impl InputSpec {
    /// Returns the components of the input that are published in one of the suite's.
    pub fn theirs<'a>(&'a self, ours: &'a Component) -> Vec<&'a Component> {
        match &self.components {
            Some(map) => map.theirs(ours).collect(),
            None => vec![ours],
        }
    }

    /// Returns the component that a component of the input is published in, if it is one of the suite's.
    pub fn ours<'a>(&'a self, theirs: &'a Component) -> Option<&'a Component> {
        match &self.components {
            Some(map) => map.ours(theirs),
            None => Some(theirs),
        }
    }

    /// Returns whether the input has a part in the packages of an architecture.
    pub fn takes(&self, architecture: &str) -> bool {
        let narrowed = self.architectures.as_ref();
        narrowed.is_none_or(|taken| taken.contains(architecture))
    }

    /// Returns whether the input's binary-all has a part in the packages of an architecture.
    pub fn takes_all_for(&self, architecture: &str) -> bool {
        self.takes(architecture) || self.takes("all")
    }
}

impl Content {
    /// Returns the architectures that are name spaces of their own: all but `all`, which is made from the others, unless there is no
    /// other.
    pub fn name_spaces(&self) -> Vec<&Architecture> {
        name_spaces(&self.architectures)
    }

    /// Returns whether translations into a language are merged.
    pub fn takes_language(&self, language: &str) -> bool {
        self.languages.is_empty() || self.languages.contains(language)
    }

    /// Returns whether an index lies in one of the suite's components, or beside all components.
    pub fn has_component(&self, component: Option<&Component>) -> bool {
        component.is_none_or(|component| self.components.contains(component))
    }
}

/// Returns those of a suite's architectures that are name spaces of their own.
pub fn name_spaces(architectures: &[Architecture]) -> Vec<&Architecture> {
    let spaces: Vec<_> = architectures.iter().filter(|a| !a.is_all()).collect();
    match spaces.is_empty() {
        true => architectures.iter().collect(),
        false => spaces,
    }
}

/// Returns the digest of plain data, in hex.
pub fn digest(value: &impl Serialize) -> String {
    // JSON can hold all of it: no key of a map is anything but text.
    let text = serde_json::to_vec(value).unwrap_or_default();
    hex::encode(Sha256::digest(&text))
}
