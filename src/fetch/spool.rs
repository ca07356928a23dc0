//! The spool: our verified copy of the indices of all archives.
//!
//! ```text
//! spool/objects/ab/abcd….zst      an index, named by the SHA-256 of its plain text, packed for quick reading
//! spool/ARCHIVE/SUITE.json        one signed Release, and which object each index of it is
//! ```
//!
//! The spool is no copy of `dists/`: zstd, in which objects are packed, is read ten times faster than xz, and one object serves every
//! suite whose Release lists the same text.
//!
//! Objects are written before the one file that names them, and that file is replaced by rename: a suite's copy changes all
//! at once or not at all. Each object is hashed again when it is read, so damage on our own disk is found before anything is
//! published from it; a record is checked against the archive's signatures ([`super::proof`]).

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use jiff::Timestamp;

use crate::collection::Upstream;
use crate::durable;
use crate::error::{Error, Result};
use crate::events::Listener;
use crate::layout::Layout;
use crate::listing;
use crate::merge::{Input, InputFacts, Inputs};
use crate::names::{ArchiveName, FlatDirectory, SuiteName};
use crate::openpgp::Keyring;
use crate::spec::{Content, Spec};
use crate::verdicts::Verdicts;
use crate::workspace::{StateError, View, Workspace, is_damaged, read_json, write_json};

use super::age;
use super::copy::{ObjectName, SuiteCopy};
use super::error::{FetchError, SpoolError};
use super::flat;
use super::input::SpoolInput;
use super::object::{digests_of_object, has_object, object_path};
use super::proof::{ArchiveKeyring, Proof, Vouchers, prove};
use super::settings::{Source, Sources};
use super::stored::{self, Stored};

/// The relation of a copy to what the archive has now.
#[derive(Debug)]
pub(crate) enum Freshness {
    /// The archive has nothing newer.
    Current,
    /// The copy was fetched in this run.
    Updated,
    /// The copy could not be refreshed; it is the last good one.
    Kept(Arc<FetchError>),
    /// The archive was not asked.
    NotAsked,
}

/// A copy, its freshness, and how far it is proven.
#[derive(Debug)]
pub(crate) struct SpooledSuite {
    pub copy: SuiteCopy,
    pub freshness: Freshness,
    /// The copy as an input.
    pub(super) facts: InputFacts,
    /// The reason why nothing new may be made of the copy.
    pub(super) doubt: Option<String>,
    /// The keys that prove the copy today, if any do.
    pub(crate) vouchers: Option<Vouchers>,
}

impl SpooledSuite {
    /// Returns the Date of the copy's Release.
    pub(crate) fn date(&self) -> Timestamp {
        self.facts.date
    }

    /// Returns a copy with what a merge asks of it.
    pub(super) fn new(
        archive: &ArchiveName,
        suite: &SuiteName,
        copy: SuiteCopy,
        freshness: Freshness,
        proof: Proof,
    ) -> Result<Self> {
        let facts = copy.facts(format!("{archive} {suite}"));
        let facts = facts.map_err(|why| SpoolError::NotProven {
            archive: archive.to_string(),
            suite: suite.to_string(),
            why: why.to_string(),
        })?;
        let (vouchers, doubt) = match proof {
            Proof::Today(vouchers) => (Some(vouchers), None),
            Proof::WhenFetched => (None, None),
            Proof::None(why) => (None, Some(why)),
        };
        Ok(Self {
            copy,
            freshness,
            facts,
            doubt,
            vouchers,
        })
    }
}

/// A copy that was read from the spool and is not damaged.
#[derive(Debug)]
pub(super) struct Held {
    pub(super) copy: SuiteCopy,
    pub(super) proof: Proof,
}

impl Held {
    /// Returns why nothing new may be made of the copy.
    pub(super) fn doubt(&self) -> Option<&str> {
        match &self.proof {
            Proof::None(why) => Some(why),
            Proof::Today(_) | Proof::WhenFetched => None,
        }
    }
}

/// The copies of all archives' suites that the configured suites are made from.
#[derive(Debug)]
pub struct Spool {
    dir: PathBuf,
    suites: BTreeMap<(ArchiveName, SuiteName), SpooledSuite>,
    /// The suites that have no copy and could not be fetched, with the reason.
    absent: BTreeMap<(ArchiveName, SuiteName), Arc<FetchError>>,
    /// The lists of packages of our own.
    stored: Stored,
    /// `true` if the spool was opened without the lock, so that nothing in it may be changed.
    read_only: bool,
}

impl Spool {
    pub(super) fn new(
        dir: PathBuf,
        suites: BTreeMap<(ArchiveName, SuiteName), SpooledSuite>,
        absent: BTreeMap<(ArchiveName, SuiteName), Arc<FetchError>>,
        stored: Stored,
    ) -> Self {
        Self {
            dir,
            suites,
            absent,
            stored,
            read_only: false,
        }
    }

    /// Reads the copies in the spool without asking the archives; `now` is the time that signatures are judged by.
    pub fn load(
        workspace: &Workspace<'_>,
        sources: &Sources,
        suites: &[Spec],
        now: Timestamp,
    ) -> Result<Spool> {
        Self::read(workspace.layout(), sources, suites, now, false)
    }

    /// Reads the copies without the lock, only to look at them. A run may remove objects that they name at any moment.
    pub fn view(view: &View, sources: &Sources, suites: &[Spec], now: Timestamp) -> Result<Spool> {
        Self::read(view.layout(), sources, suites, now, true)
    }

    fn read(
        layout: &Layout,
        sources: &Sources,
        specs: &[Spec],
        now: Timestamp,
        read_only: bool,
    ) -> Result<Spool> {
        let dir = layout.spool();
        let keyrings = keyrings(sources);
        let mut suites = BTreeMap::new();
        for (archive, suite) in upstream_suites(specs) {
            let flat = sources.flat(&archive, &suite);
            let keyring = (&keyrings[&archive], &Verdicts::none());
            let held = read_copy(&dir, &archive, &suite, flat, keyring, now)?;
            let Some(held) = held else {
                continue; // reported where the copy is needed
            };
            let freshness = match fault_of_age(sources, &archive, &suite, &held.copy, now) {
                Some(fault) => Freshness::Kept(Arc::new(fault)),
                None => Freshness::NotAsked,
            };
            let spooled = SpooledSuite::new(&archive, &suite, held.copy, freshness, held.proof)?;
            suites.insert((archive, suite), spooled);
        }
        Ok(Spool {
            dir,
            suites,
            absent: BTreeMap::new(),
            stored: stored::pin(layout, specs),
            read_only,
        })
    }

    /// Returns the copy of an archive's suite.
    pub(crate) fn get(&self, archive: &ArchiveName, suite: &SuiteName) -> Option<&SpooledSuite> {
        self.suites.get(&(archive.clone(), suite.clone()))
    }

    /// Returns why there is no copy of an archive's suite.
    pub(crate) fn lacks(&self, archive: &ArchiveName, suite: &SuiteName) -> Error {
        let (archive, suite) = (archive.clone(), suite.clone());
        let key = (archive, suite);
        match self.absent.get(&key) {
            Some(source) => SpoolError::NoCopy {
                archive: key.0.to_string(),
                suite: key.1.to_string(),
                source: Arc::clone(source),
            },
            None => SpoolError::NotFetched {
                archive: key.0.to_string(),
                suite: key.1.to_string(),
            },
        }
        .into()
    }

    /// Returns an error for each suite of an archive that has no copy because it could not be fetched.
    pub fn absent(&self) -> impl Iterator<Item = Error> {
        self.absent
            .keys()
            .map(|(archive, suite)| self.lacks(archive, suite))
    }

    /// Returns all copies.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&(ArchiveName, SuiteName), &SpooledSuite)> {
        self.suites.iter()
    }

    /// Warns of each copy that could not be refreshed or is too old, and says why.
    pub fn tell_kept(&self, listener: &dyn Listener) {
        for ((archive, suite), why) in self.kept() {
            if let Some(spooled) = self.get(archive, suite) {
                tell_kept(archive, suite, &spooled.copy, why, listener);
            }
        }
    }

    /// Returns the copies that could not be refreshed or are too old, and why.
    pub fn kept(&self) -> impl Iterator<Item = (&(ArchiveName, SuiteName), &Arc<FetchError>)> {
        self.suites
            .iter()
            .filter_map(|(key, suite)| match &suite.freshness {
                Freshness::Kept(error) => Some((key, error)),
                _ => None,
            })
    }
}

impl Inputs for Spool {
    fn inputs<'a>(&'a self, content: &Content) -> Result<Vec<Box<dyn Input + 'a>>> {
        let inputs = content.inputs.iter();
        let inputs = inputs.map(|input| {
            let suite = match &input.suite {
                Upstream::Suite(suite) => suite,
                Upstream::Stored(collection) => {
                    return match self.stored.get(collection) {
                        Some(Ok(list)) => {
                            Ok(Box::new(list.input(content, input)) as Box<dyn Input>)
                        }
                        _ => Err(stored::lacks(&self.stored, collection)),
                    };
                }
            };
            let key = (input.archive.clone(), suite.clone());
            match self.suites.get_key_value(&key) {
                Some((key, spooled)) => Ok(Box::new(SpoolInput {
                    spool: &self.dir,
                    read_only: self.read_only,
                    of: key,
                    copy: &spooled.copy,
                    facts: match &input.flat {
                        Some(component) => {
                            let of = (content, input, component);
                            Cow::Owned(flat::facts(&spooled.facts, &spooled.copy, of))
                        }
                        None => Cow::Borrowed(&spooled.facts),
                    },
                    doubt: spooled.doubt.as_deref(),
                }) as Box<dyn Input>),
                None => Err(self.lacks(&input.archive, suite)),
            }
        });
        inputs.collect()
    }
}

/// Returns why a copy is too old, though nobody asked the archive for a newer one.
fn fault_of_age(
    sources: &Sources,
    archive: &ArchiveName,
    suite: &SuiteName,
    copy: &SuiteCopy,
    now: Timestamp,
) -> Option<FetchError> {
    let release = copy.parse_release().ok()?;
    let source = sources.archives.get(archive)?;
    let directory = source.suite(suite).directory(suite);
    let uri = format!("{}/{directory}", copy.uri.trim_end_matches('/'));
    age::fault(source, uri, &release, now)
}

/// Returns every suite of every archive that the merged suites are made from.
pub(super) fn upstream_suites(specs: &[Spec]) -> BTreeSet<(ArchiveName, SuiteName)> {
    let inputs = specs.iter().flat_map(|spec| &spec.content.inputs);
    let suites = inputs.filter_map(|input| {
        let suite = input.suite.suite()?;
        Some((input.archive.clone(), suite.clone()))
    });
    suites.collect()
}

/// Warns that a suite stays at its copy, and says why.
pub(super) fn tell_kept(
    archive: &ArchiveName,
    suite: &SuiteName,
    copy: &SuiteCopy,
    why: &Arc<FetchError>,
    listener: &dyn Listener,
) {
    let date = copy.parse_release().map(|r| r.date.to_string());
    let text = format!(
        "suite `{suite}` of archive `{archive}` stays at its last good copy, of {}: {}",
        date.unwrap_or_default(),
        crate::error::chain(why)
    );
    listener.warn_of(text, Arc::clone(why));
}

fn copy_path(spool: &Path, archive: &ArchiveName, suite: &SuiteName) -> PathBuf {
    spool
        .join(archive.as_str())
        .join(format!("{}.json", suite.flat()))
}

/// Loads the keyring of each archive.
pub(super) fn keyrings(sources: &Sources) -> BTreeMap<ArchiveName, ArchiveKeyring> {
    let load = |source: &Source| {
        let until = source.takes_weak_keys_until.map(SystemTime::from);
        let keyring = Keyring::load(&source.signed_by).map_err(Arc::new)?;
        Ok(keyring.taking_weak_keys_until(until))
    };
    let archives = sources.archives.iter();
    archives
        .map(|(name, archive)| (name.clone(), load(archive)))
        .collect()
}

/// Reads a copy and checks it against its signatures; a damaged copy is an [`StateError::Damaged`].
pub(super) fn read_copy(
    spool: &Path,
    archive: &ArchiveName,
    suite: &SuiteName,
    flat: Option<&FlatDirectory>,
    (keyring, verdicts): (&ArchiveKeyring, &Verdicts),
    now: Timestamp,
) -> Result<Option<Held>> {
    let path = copy_path(spool, archive, suite);
    let copy = read_json::<SuiteCopy>(&path)?;
    // A file of another directory is no copy of this one.
    let Some(copy) = copy.filter(|copy| copy.flat.as_ref() == flat) else {
        return Ok(None);
    };
    let proven = match prove(&copy, keyring, verdicts, now) {
        Ok(proof) => prove_objects(spool, &copy)?.map(|()| proof),
        Err(why) => Err(why),
    };
    match proven {
        Ok(proof) => Ok(Some(Held { copy, proof })),
        Err(why) => {
            let source = serde::de::Error::custom(why);
            Err(StateError::Damaged { path, source }.into())
        }
    }
}

/// Checks the objects of a copy against the SHA-512 where its Release lists no SHA-256: there the objects' names are not signed.
fn prove_objects(spool: &Path, copy: &SuiteCopy) -> Result<Result<(), String>> {
    let Ok(release) = copy.parse_release() else {
        return Ok(Ok(())); // `prove` has reported it
    };
    for (path, stored) in &copy.indices {
        let entry = release.entries.get(path);
        let Some(sha512) = entry.filter(|e| e.sha256.is_none()).and_then(|e| e.sha512) else {
            continue;
        };
        if !has_object(spool, &stored.sha256) {
            continue; // reported where the object is needed
        }
        let found = digests_of_object(
            &object_path(spool, &stored.sha256),
            &stored.sha256,
            stored.size,
        )?;
        if found.is_none_or(|found| found.sha512 != Some(sha512)) {
            let path = crate::quoted::quoted(path);
            return Ok(Err(format!(
                "the object of `{path}` is not what its Release lists"
            )));
        }
    }
    Ok(Ok(()))
}

pub(super) fn write_copy(
    spool: &Path,
    archive: &ArchiveName,
    suite: &SuiteName,
    copy: &SuiteCopy,
) -> Result<()> {
    let path = copy_path(spool, archive, suite);
    if let Some(dir) = path.parent() {
        durable::create_dir(dir)?;
    }
    write_json(&path, copy)
}

/// Returns the object whose place a path is, if the path has the form that we give to objects.
fn object_at(spool: &Path, path: &Path) -> Option<ObjectName> {
    let name = path.file_stem()?.to_str()?.to_owned();
    let name = ObjectName::try_from(name).ok()?;
    (object_path(spool, &name) == path).then_some(name)
}

/// Removes temporary files that a crash left: beside the copies of an archive, and in the directory of new objects.
pub(super) fn clear_litter(spool: &Path) -> Result<()> {
    for entry in std::fs::read_dir(spool).map_err(Error::io("list", spool))? {
        let entry = entry.map_err(Error::io("list", spool))?;
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            durable::clear_litter(&entry.path())?;
        }
    }
    Ok(())
}

/// Removes objects that no copy names any more: files of our own form, in real directories. Other files there are not ours.
pub(super) fn collect_garbage(spool: &Path) -> Result<()> {
    let mut named = BTreeSet::new();
    for file in files_below(spool, 2)? {
        if file.extension().is_none_or(|e| e != "json") {
            continue;
        }
        let copy = match read_json::<SuiteCopy>(&file) {
            Ok(Some(copy)) => copy,
            // A record that cannot be understood is of no use, and so are the objects that it names.
            Ok(None) => continue,
            Err(error) if is_damaged(&error) => continue,
            Err(error) => return Err(error),
        };
        let objects = copy.indices.into_values();
        named.extend(objects.map(|index| index.sha256));
    }
    let objects = spool.join("objects");
    durable::check_real(&objects)?;
    for path in files_below(&objects, 2)? {
        if object_at(spool, &path).is_some_and(|name| !named.contains(&name)) {
            durable::remove_file(&path)?;
        }
    }
    Ok(())
}

fn files_below(dir: &Path, depth: usize) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in listing::below(dir, depth, |_| true) {
        match entry {
            Ok(entry) if entry.file_type().is_file() => files.push(entry.into_path()),
            Ok(_) => {}
            Err(Error::Io { source, .. }) if source.kind() == std::io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
    Ok(files)
}
