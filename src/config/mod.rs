//! The configuration file, parsed once into types that cannot hold a wrong value.
//!
//! The structs here are the file: serde reads them, `config show` writes them again, and the rest of the program uses them. The
//! type of a value says what it may be ([`crate::names`], [`crate::units`]); `validate` checks values against each other. Both
//! kinds of error carry file, line, column and key.

mod load;
mod read;
mod rules;
mod validate;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

pub use crate::names::{Architecture, ArchiveName, Component, PackageName, PoolName, SuiteName};
pub use crate::units::{ByteSize, Percent, TimeSpan};
use crate::uri::{Scheme, Uri};
pub use load::{ConfigError, Problem};
pub use rules::{Filter, Glob, Globs, InvalidGlob, Pin, Strategy};

/// The configuration: everything that an operator can set.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Config {
    /// The directory that holds link, trees, spool, cache, state and log.
    pub root: PathBuf,
    /// The lock file; `aptmerge.lock` below the root if it is not set.
    #[serde(default)]
    pub lock: PathBuf,
    /// The archives, highest priority first.
    pub priority: Vec<ArchiveName>,
    /// The way to find the archive that a name belongs to; a suite may have its own.
    #[serde(default)]
    pub strategy: Strategy,
    /// The components that merged suites have.
    #[serde(default = "defaults::components")]
    pub components: Vec<Component>,
    /// The architectures that merged suites have; with `all`, binary-all indices are published too.
    pub architectures: Vec<Architecture>,
    /// The families of indices to merge.
    #[serde(default = "defaults::indices")]
    pub indices: BTreeSet<Family>,
    /// The languages whose translations are merged; all if the set is empty.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub languages: BTreeSet<String>,
    /// The archives to merge, by name.
    pub archives: BTreeMap<ArchiveName, Archive>,
    /// The suites to publish, by the path they get below `dists/`.
    pub suites: BTreeMap<SuiteName, Suite>,
    /// Packages that must not be published.
    #[serde(default)]
    pub bans: Bans,
    /// Names that belong to one archive, whatever order and strategy say; the first that matches decides.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub pin: Vec<Pin>,
    /// The keys that sign what is published.
    pub signing: Signing,
    /// The settings for publishing trees.
    #[serde(default)]
    pub publish: Publish,
    /// The bounds that a run crosses only if it is told to.
    #[serde(default)]
    pub guards: Guards,
    /// The settings for fetching archives.
    #[serde(default)]
    pub fetch: Fetch,
    /// The settings for merging suites.
    #[serde(default)]
    pub merge: Merge,
    /// The bounds of the cache that makes later runs cheap.
    #[serde(default)]
    pub cache: Cache,
    /// The text reports.
    #[serde(default)]
    pub reports: Reports,
    /// The HTTP server of `aptmerge serve`.
    #[serde(default)]
    pub serve: Serve,
    /// The targets that production is pushed to, in this order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub push: Vec<Push>,
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

/// An upstream archive.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Archive {
    /// The name that `pool/…` gets: `pool/POOL/…`.
    pub pool: PoolName,
    /// The URIs of the archive, `http:`, `https:` or `file:`; the first that answers wins.
    pub uris: Vec<Uri>,
    /// Keyring files whose keys may sign the archive's Release.
    #[serde(deserialize_with = "load::one_or_many")]
    pub signed_by: Vec<PathBuf>,
    /// The URI that the pool redirects of this archive lead to; the first http(s) URI if it is not set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub redirect: Option<Uri>,
    /// Refuse a Release whose Date is older than this.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_age: Option<TimeSpan>,
    /// `false` accepts a Release past its Valid-Until: for replaying old data. `max-age` counts all the same.
    #[serde(default = "defaults::yes")]
    pub check_valid_until: bool,
    /// `false` takes fields out of its packages by which these are installed or kept unasked: `Essential`, `Important`, `Protected`,
    /// `Priority: required` and `important`.
    #[serde(default = "defaults::yes")]
    pub may_be_essential: bool,
    /// `false` lets a merged suite be valid for longer than the archive's Release.
    #[serde(default = "defaults::yes")]
    pub inherit_valid_until: bool,
    /// Narrows the families that are taken from this archive.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub indices: Option<BTreeSet<Family>>,
    /// If it is there, only these packages are taken from the archive; it is as if it had no others.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub include: Option<Filter>,
    /// These packages are not taken from the archive, even if `include` names them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exclude: Option<Filter>,
}

impl Archive {
    /// Returns the directory of an archive that lies on this machine: then the tree has links to its packages.
    pub fn directory(&self) -> Option<PathBuf> {
        self.uris.iter().find_map(Uri::file_path)
    }

    /// Returns the URI that clients are sent to for the packages of the archive: its `redirect`, or its first http(s) URI without a
    /// password. `None` if its packages are here.
    pub fn elsewhere(&self) -> Option<&Uri> {
        let mut uris = self.redirect.iter().chain(&self.uris);
        uris.find(|uri| uri.scheme() != Scheme::File && !uri.has_credentials())
    }
}

/// A merged suite.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Suite {
    /// The archives that go into the suite, each with its own suite; `priority` gives the order.
    pub from: BTreeMap<ArchiveName, SuiteName>,
    /// The strategy, if it differs from the general one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub strategy: Option<Strategy>,
    /// Release fields to set; the others come from the first archive's Release.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub release: BTreeMap<String, String>,
    /// Further names of the suite, published as symlinks.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub links: Vec<SuiteName>,
    /// The components, if they differ from the general ones.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub components: Option<Vec<Component>>,
    /// The architectures, if they differ from the general ones.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub architectures: Option<Vec<Architecture>>,
}

/// Packages that must not be published.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Bans {
    /// Banned by name, and with them whatever needs them.
    #[serde(deserialize_with = "PackageName::folded")]
    pub packages: BTreeSet<PackageName>,
    /// The archives whose packages bans do not touch.
    pub exempt: BTreeSet<ArchiveName>,
    /// `true` if packages whose dependencies cannot be satisfied because of bans are left out as well.
    pub transitive: bool,
}

/// The keys that sign what is published: either gpg or key files.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Signing {
    /// Sign through gpg and its agent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gpg: Option<Gpg>,
    /// Sign in process, with the private keys of these files (mode 0600).
    #[serde(
        default,
        deserialize_with = "load::one_or_many",
        skip_serializing_if = "Vec::is_empty"
    )]
    pub key_file: Vec<PathBuf>,
}

/// Keys that gpg holds.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Gpg {
    /// The home directory of gpg; gpg's own default if it is not set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub homedir: Option<PathBuf>,
    /// The keys to sign with, all of them, as gpg understands them; fingerprints are best.
    pub keys: Vec<String>,
    /// The program.
    #[serde(default = "defaults::gpg")]
    pub program: PathBuf,
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
}

/// The settings for publishing trees.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Publish {
    /// The compressed forms to publish.
    pub compress: BTreeSet<Form>,
    /// The hashes by which a Release lists its files, and by which clients find them under by-hash; `sha256` is one of them.
    pub hashes: BTreeSet<HashKind>,
    /// The time that files stay under by-hash after the last Release that named them.
    pub by_hash: Retention,
    /// The Valid-Until of a Release, counted from its Date; none if it is not set.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub valid_for: Option<TimeSpan>,
    /// The patches beside Packages, Sources and Contents ("pdiff"), by which clients follow small changes.
    pub pdiff: PatchHistory,
    /// `true` if Contents are published beside the components too, for clients that look for them there: one for all components.
    pub contents_beside_components: bool,
    /// `true` if the tree gets a `pool/NAME` symlink to each archive with a file: URI.
    pub pool_links: bool,
}

impl Default for Publish {
    fn default() -> Self {
        Self {
            compress: [Form::Xz, Form::Gz].into(),
            hashes: [HashKind::Sha256].into(),
            by_hash: Retention::default(),
            valid_for: None,
            pdiff: PatchHistory::default(),
            contents_beside_components: false,
            pool_links: true,
        }
    }
}

/// The bounds on the time that files stay under by-hash: files go when both are passed.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Retention {
    /// At least so many later generations of the suite.
    pub generations: u64,
    /// At least so many days.
    pub days: u64,
}

impl Default for Retention {
    fn default() -> Self {
        Self {
            generations: 6,
            days: 3,
        }
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

/// The bounds that a run crosses only if it is told to.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Guards {
    /// The share of its packages that a suite may lose in one run.
    pub max_shrink: Percent,
}

impl Default for Guards {
    fn default() -> Self {
        Self {
            max_shrink: Percent::new(20),
        }
    }
}

/// The settings for fetching archives.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Fetch {
    /// The number of files that are fetched at once.
    pub parallel: usize,
    /// The number of times that a request is repeated after a failure that may pass.
    pub retries: u32,
    /// The pause before the first repetition; it doubles with each.
    pub backoff: TimeSpan,
    /// The number of times that a suite is begun afresh on one URI when its files do not match its Release.
    pub restarts: u32,
    /// The time that setting up a connection may take.
    pub connect_timeout: TimeSpan,
    /// The time that a server may be silent.
    pub timeout: TimeSpan,
    /// The least bytes per second, averaged over a minute: a slower transfer is given up.
    pub minimum_speed: ByteSize,
    /// The time that one suite of an archive may take in all, every URI and repetition included.
    pub suite_timeout: TimeSpan,
    /// The most bytes that one index may have, unpacked.
    pub max_index: ByteSize,
    /// The most memory that the indices of one suite of an archive may take up when they are merged.
    pub max_memory: ByteSize,
    /// An HTTP proxy.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub proxy: Option<Uri>,
}

impl Default for Fetch {
    fn default() -> Self {
        Self {
            parallel: 6,
            retries: 3,
            backoff: TimeSpan::from_seconds(1),
            restarts: 3,
            connect_timeout: TimeSpan::from_seconds(20),
            timeout: TimeSpan::from_seconds(60),
            minimum_speed: ByteSize::from_bytes(1024),
            suite_timeout: TimeSpan::from_seconds(60 * 60),
            max_index: ByteSize::from_bytes(4 << 30),
            max_memory: ByteSize::from_bytes(1536 << 20),
            proxy: None,
        }
    }
}

/// The settings for merging suites.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Merge {
    /// The time that the merge of one suite may take.
    pub suite_timeout: TimeSpan,
}

impl Default for Merge {
    fn default() -> Self {
        Self {
            suite_timeout: TimeSpan::from_seconds(60 * 60),
        }
    }
}

/// The bounds of the cache that makes later runs cheap.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Cache {
    /// The most that compressed pieces of indices may take up on the disk.
    pub max_size: ByteSize,
}

impl Default for Cache {
    fn default() -> Self {
        Self {
            max_size: ByteSize::from_bytes(1 << 30),
        }
    }
}

/// The text reports under `log/`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Reports {
    /// `NAME = [package, …]`: published packages that need one of these are listed in `log/NAME.txt`.
    pub watch: BTreeMap<PackageName, BTreeSet<PackageName>>,
}

impl Default for Reports {
    fn default() -> Self {
        let name = |n: &str| PackageName::new(n).ok();
        let watch = name("libsystemd").zip(name("libsystemd0"));
        Self {
            watch: watch
                .into_iter()
                .map(|(file, p)| (file, [p].into()))
                .collect(),
        }
    }
}

/// The HTTP server of `aptmerge serve`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Serve {
    /// Address and port to listen on.
    pub listen: String,
}

impl Default for Serve {
    fn default() -> Self {
        Self {
            listen: "127.0.0.1:8080".to_owned(),
        }
    }
}

/// A target that production is pushed to.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Push {
    /// The target's name, in messages and in `state/push/`.
    pub name: PackageName,
    /// A target of rsync's: a path, `host:path`, `host::module/path` or `rsync://host/module/path`.
    pub rsync: String,
    /// Further options for rsync, `--bwlimit=5m` or `--rsh=ssh -i /etc/aptmerge/id`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub options: Vec<String>,
    /// `true` if the reports are pushed too, to `log/` beside `dists/`.
    #[serde(default = "defaults::yes")]
    pub log: bool,
    /// The time that a push may take before it is given up.
    #[serde(default = "defaults::push_timeout")]
    pub timeout: TimeSpan,
    /// The time that the target may be silent.
    #[serde(default = "defaults::push_io_timeout")]
    pub io_timeout: TimeSpan,
    /// The program.
    #[serde(default = "defaults::rsync")]
    pub program: PathBuf,
}

impl Config {
    /// Returns the archives of a merged suite with the upstream suite that each gives, highest priority first.
    pub fn inputs<'a>(
        &'a self,
        suite: &'a Suite,
    ) -> impl Iterator<Item = (&'a ArchiveName, &'a Archive, &'a SuiteName)> {
        self.priority.iter().filter_map(|name| {
            let upstream = suite.from.get(name)?;
            Some((name, self.archives.get(name)?, upstream))
        })
    }

    /// Returns the components of a merged suite.
    pub fn components_of<'a>(&'a self, suite: &'a Suite) -> &'a [Component] {
        suite.components.as_deref().unwrap_or(&self.components)
    }

    /// Returns the architectures of a merged suite.
    pub fn architectures_of<'a>(&'a self, suite: &'a Suite) -> &'a [Architecture] {
        suite
            .architectures
            .as_deref()
            .unwrap_or(&self.architectures)
    }

    /// Returns the architectures of a merged suite that are name spaces of their own: all but `all`, which is made from the others,
    /// unless there is no other.
    pub fn name_spaces_of<'a>(&'a self, suite: &'a Suite) -> Vec<&'a Architecture> {
        let all = self.architectures_of(suite);
        let spaces: Vec<_> = all.iter().filter(|a| !a.is_all()).collect();
        if spaces.is_empty() {
            return all.iter().collect();
        }
        spaces
    }

    /// Returns the strategy of a merged suite.
    pub fn strategy_of(&self, suite: &Suite) -> Strategy {
        suite.strategy.unwrap_or(self.strategy)
    }

    /// Returns whether translations into a language are merged.
    pub fn takes_language(&self, language: &str) -> bool {
        self.languages.is_empty() || self.languages.contains(language)
    }

    /// Returns whether a family is taken from an archive.
    pub fn takes(&self, archive: &Archive, family: Family) -> bool {
        self.indices.contains(&family)
            && archive
                .indices
                .as_ref()
                .is_none_or(|narrowed| narrowed.contains(&family))
    }
}

mod defaults {
    use super::{BTreeSet, Component, Family, PathBuf, TimeSpan};

    pub(super) fn components() -> Vec<Component> {
        Component::new("main").into_iter().collect()
    }

    pub(super) fn indices() -> BTreeSet<Family> {
        [Family::Packages, Family::Sources, Family::Installer].into()
    }

    pub(super) const fn yes() -> bool {
        true
    }

    pub(super) fn gpg() -> PathBuf {
        "gpg".into()
    }

    pub(super) const fn push_timeout() -> TimeSpan {
        TimeSpan::from_seconds(6 * 3600)
    }

    pub(super) const fn push_io_timeout() -> TimeSpan {
        TimeSpan::from_seconds(600)
    }

    pub(super) fn rsync() -> PathBuf {
        "rsync".into()
    }
}
