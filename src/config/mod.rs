//! The configuration file, parsed once into types that cannot hold a wrong value.
//!
//! The structs here are the file: serde reads them, `config show` writes them again, and `resolve` turns them into the values that the
//! rest of the program uses (`crate::spec`). The type of a value says what it may be ([`crate::names`], [`crate::units`]); `validate`
//! checks values against each other. Both kinds of error carry file, line, column and key.

mod load;
mod read;
mod resolve;
mod validate;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use serde::{Deserialize, Serialize};

use crate::fetch;
use crate::fetch::transport::TlsFiles;
use crate::layout::Layout;
pub use load::{ConfigError, Problem};

pub use crate::collection::Upstream;
pub use crate::names::{
    Architecture, ArchiveName, Component, FlatDirectory, PackageName, PoolName, SuiteName,
};
use crate::openpgp::{self, Keyring, Signing};
use crate::proxy::Choice;
use crate::publish::{Guards, Retention};
use crate::push::Target;
use crate::spec;
pub(crate) use crate::spec::{ComponentMap, Filter, HashKind, PatchHistory, Pin, Strategy};
pub use crate::spec::{Family, Form};
pub(crate) use crate::units::ByteSize;
use crate::units::one_or_many;
pub use crate::units::{Percent, TimeSpan};
use crate::uri::{Scheme, Uri};

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
    pub(crate) strategy: Strategy,
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
    pub(crate) pin: Vec<Pin>,
    /// The keys that sign what is published.
    pub signing: Signing,
    /// The settings for publishing trees.
    #[serde(default)]
    pub publish: Publish,
    #[serde(default)]
    pub(crate) guards: Guards,
    /// The settings for fetching archives.
    #[serde(default)]
    pub fetch: fetch::Settings,
    /// The settings for merging suites.
    #[serde(default)]
    pub merge: Merge,
    /// The bounds of the cache that makes later runs cheap.
    #[serde(default)]
    pub cache: Cache,
    #[serde(default)]
    pub(crate) reports: Reports,
    /// The HTTP server of `aptmerge serve`.
    #[serde(default)]
    pub serve: Serve,
    /// The targets that production is pushed to, in this order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub push: Vec<Target>,
}

/// An upstream archive.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Archive {
    /// The name that `pool/…` gets: `pool/POOL/…`.
    pub pool: PoolName,
    /// The URIs of the archive, `http:`, `https:` or `file:`; the first that answers wins. Without any, the packages are our own.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub uris: Vec<Uri>,
    /// Keyring files whose keys may sign the archive's Release.
    #[serde(
        default,
        deserialize_with = "one_or_many",
        skip_serializing_if = "Vec::is_empty"
    )]
    pub signed_by: Vec<PathBuf>,
    /// The last day on which keys of these files count that are too weak.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) accept_weak_keys_until: Option<Date>,
    /// The URI that the pool redirects of this archive lead to; the first http(s) URI if it is not set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub redirect: Option<Uri>,
    /// The choice of a proxy for this archive; the general one if it is not set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub proxy: Option<Choice>,
    /// Files with certificates of authorities that may vouch for the archive's servers, besides those of the system.
    #[serde(
        default,
        deserialize_with = "one_or_many",
        skip_serializing_if = "Vec::is_empty"
    )]
    pub ca_file: Vec<PathBuf>,
    /// The certificate that its servers want of us.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_certificate: Option<PathBuf>,
    /// The private key of that certificate; in the same file if it is not set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_key: Option<PathBuf>,
    /// Refuse a Release whose Date is older than this.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) max_age: Option<TimeSpan>,
    /// `false` accepts a Release past its Valid-Until: for replaying old data. `max-age` counts all the same.
    #[serde(default = "defaults::yes")]
    pub(crate) check_valid_until: bool,
    /// `true` takes another Release of the Date of the last one, if it is not an older one: for archives that publish twice in a second.
    #[serde(default)]
    pub(crate) may_repeat_date: bool,
    /// `false` takes fields out of its packages by which these are installed or kept unasked: `Essential`, `Important`, `Protected`,
    /// `Priority: required` and `important`.
    #[serde(default = "defaults::yes")]
    pub(crate) may_be_essential: bool,
    /// `false` lets a merged suite be valid for longer than the archive's Release.
    #[serde(default = "defaults::yes")]
    pub(crate) inherit_valid_until: bool,
    /// Narrows the families that are taken from this archive.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub indices: Option<BTreeSet<Family>>,
    /// The architectures whose packages are taken from this archive; those of each suite if they are not set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) architectures: Option<BTreeSet<Architecture>>,
    /// The components that are taken from this archive, and those that they are published in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) components: Option<ComponentMap>,
    /// If it is there, only these packages are taken from the archive; it is as if it had no others.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) include: Option<Filter>,
    /// These packages are not taken from the archive, even if `include` names them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) exclude: Option<Filter>,
    /// Settings of single suites of the archive, by the path that they have below its `dists/`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) suites: BTreeMap<SuiteName, ArchiveSuite>,
}

/// The settings of one suite of an archive.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub(crate) struct ArchiveSuite {
    /// Names that its Release may give as Suite or Codename besides its own; an empty one stands for a Release that gives neither.
    #[serde(
        deserialize_with = "one_or_many",
        skip_serializing_if = "Vec::is_empty"
    )]
    pub called: Vec<String>,
    /// `true` takes a Release without a Date that apt can read; the time of its signature stands for the Date.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub may_be_undated: bool,
    /// The directory of a flat archive below its URI, where its Release lies.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub flat: Option<FlatDirectory>,
    /// The component that the packages of a flat archive are published in.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub component: Option<Component>,
}

impl Archive {
    /// Returns the files that TLS with its servers takes.
    pub fn tls(&self) -> TlsFiles {
        TlsFiles {
            authorities: self.ca_file.clone(),
            certificate: self.client_certificate.clone(),
            key: self.client_key.clone(),
        }
    }

    /// Returns the end of the last day on which weak keys count, in UTC.
    pub(crate) fn takes_weak_keys_until(&self) -> Option<Timestamp> {
        let next = self.accept_weak_keys_until?.tomorrow().ok()?;
        let midnight = next.to_zoned(TimeZone::UTC).ok()?;
        Some(midnight.timestamp())
    }

    /// Returns the keys that may sign the archive's Release.
    pub fn keyring(&self) -> Result<Keyring, openpgp::Error> {
        let until = self.takes_weak_keys_until().map(SystemTime::from);
        Ok(Keyring::load(&self.signed_by)?.taking_weak_keys_until(until))
    }

    /// Returns whether the packages are our own, from the store.
    pub fn is_own(&self) -> bool {
        self.uris.is_empty()
    }

    /// Returns the directory of an archive that lies on this machine: then the tree has links to its packages.
    pub fn directory(&self, root: &Path) -> Option<PathBuf> {
        match self.is_own() {
            true => Some(Layout::new(root).own_archive(&self.pool)),
            false => self.uris.iter().find_map(Uri::file_path),
        }
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
    /// The archives that go into the suite, each with its own suite or a collection of our own; `priority` gives the order.
    pub from: BTreeMap<ArchiveName, Upstream>,
    /// The strategy, if it differs from the general one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) strategy: Option<Strategy>,
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

/// The settings for publishing trees.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Publish {
    /// The compressed forms to publish.
    pub compress: BTreeSet<Form>,
    /// The hashes by which a Release lists its files, and by which clients find them under by-hash; `sha256` is one of them.
    pub(crate) hashes: BTreeSet<HashKind>,
    /// The time that files stay under by-hash after the last Release that named them.
    pub(crate) by_hash: Retention,
    /// The Valid-Until of a Release, counted from its Date; none if it is not set.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub valid_for: Option<TimeSpan>,
    /// The patches beside Packages, Sources and Contents ("pdiff"), by which clients follow small changes.
    pub(crate) pdiff: PatchHistory,
    /// `true` if Contents are published beside the components too, for clients that look for them there: one for all components.
    pub(crate) contents_beside_components: bool,
    /// `true` if the tree gets a `pool/NAME` symlink to each archive with a file: URI.
    pub(crate) pool_links: bool,
    /// The URI by which clients reach the tree: then what they are led to can be looked at.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub url: Option<Uri>,
    /// The file with the rules of the web server: then one can tell whether they are those of the configuration.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub redirects: Option<PathBuf>,
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
            url: None,
            redirects: None,
        }
    }
}

/// The settings for merging suites.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Merge {
    /// The time that the merge of one suite may take.
    pub(crate) suite_timeout: TimeSpan,
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
    pub(crate) max_size: ByteSize,
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
pub(crate) struct Reports {
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

impl Config {
    /// Returns the archives of a merged suite with what each gives, highest priority first.
    pub fn inputs<'a>(
        &'a self,
        suite: &'a Suite,
    ) -> impl Iterator<Item = (&'a ArchiveName, &'a Archive, &'a Upstream)> {
        self.priority.iter().filter_map(|name| {
            let upstream = suite.from.get(name)?;
            Some((name, self.archives.get(name)?, upstream))
        })
    }

    /// Returns the merged suites that an archive has a part in.
    pub(crate) fn suites_of<'a>(&'a self, archive: &'a str) -> impl Iterator<Item = &'a Suite> {
        let suites = self.suites.values();
        suites.filter(move |suite| suite.from.contains_key(archive))
    }

    /// Returns the components of a merged suite.
    pub(crate) fn components_of<'a>(&'a self, suite: &'a Suite) -> &'a [Component] {
        suite.components.as_deref().unwrap_or(&self.components)
    }

    /// Returns the architectures of a merged suite.
    pub(crate) fn architectures_of<'a>(&'a self, suite: &'a Suite) -> &'a [Architecture] {
        suite
            .architectures
            .as_deref()
            .unwrap_or(&self.architectures)
    }

    /// Returns the archives whose packages no client can fetch: every URI has a password, and there is no `redirect`.
    pub fn without_redirect(&self) -> impl Iterator<Item = &ArchiveName> {
        let archives = self.archives.iter();
        let out_of_reach =
            archives.filter(|(_, a)| a.elsewhere().is_none() && a.directory(&self.root).is_none());
        out_of_reach.map(|(name, _)| name)
    }

    /// Returns the archives for whose packages clients are led to a URI of plain http, with the URI.
    pub fn led_to_http(&self) -> impl Iterator<Item = (&ArchiveName, &Uri)> {
        let archives = self.archives.iter();
        let led = archives.filter_map(|(name, archive)| Some((name, archive.elsewhere()?)));
        led.filter(|(_, uri)| uri.scheme() == Scheme::Http)
    }

    /// Returns whether clients reach the tree by https; `None` if the configuration does not say.
    pub fn is_secure(&self) -> Option<bool> {
        let url = self.publish.url.as_ref()?;
        Some(url.scheme() == Scheme::Https)
    }

    /// Returns the architectures of a merged suite that are name spaces of their own.
    pub fn name_spaces_of<'a>(&'a self, suite: &'a Suite) -> Vec<&'a Architecture> {
        spec::name_spaces(self.architectures_of(suite))
    }
}

mod defaults {
    use super::{BTreeSet, Component, Family};

    pub(super) fn components() -> Vec<Component> {
        Component::new("main").into_iter().collect()
    }

    pub(super) fn indices() -> BTreeSet<Family> {
        [Family::Packages, Family::Sources, Family::Installer].into()
    }

    pub(super) const fn yes() -> bool {
        true
    }
}
