//! The spool: our verified copy of the indices of all archives.
//!
//! ```text
//! spool/objects/ab/abcd….zst      an index, named by the SHA-256 of its plain text, packed for quick reading
//! spool/ARCHIVE/SUITE.json        one signed Release, and which object each index of it is
//! ```
//!
//! Objects are written before the one file that names them, and that file is replaced by rename: a suite's copy changes all
//! at once or not at all. Each object is hashed again when it is read, so damage on our own disk is found before anything is
//! published from it; a record is checked against the archive's signatures ([`super::proof`]).

use std::collections::{BTreeMap, BTreeSet};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use jiff::Timestamp;
use sha2::{Digest, Sha256};

use crate::cancel::Cancel;
use crate::config::{Archive, ArchiveName, Config, PoolName, Suite, SuiteName};
use crate::durable;
use crate::error::{Error, Result};
use crate::events::Listener;
use crate::hashing::{Digests, Hasher, HashingReader};
use crate::indices::IndexName;
use crate::listing;
use crate::merge::{Deadline, Input, SuiteMerge};
use crate::openpgp::Keyring;
use crate::workspace::{StateError, View, Workspace, is_damaged, read_json, write_json};

use super::age;
use super::copy::{ObjectName, StoredIndex, SuiteCopy};
use super::error::{FetchError, SpoolError};
use super::proof::{ArchiveKeyring, Proof, prove};

/// The relation of a copy to what the archive has now.
#[derive(Debug)]
pub enum Freshness {
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
pub struct SpooledSuite {
    /// The copy.
    pub copy: SuiteCopy,
    /// The freshness of the copy.
    pub freshness: Freshness,
    /// The reason why nothing new may be made of the copy.
    pub(super) doubt: Option<String>,
}

/// A copy that was read from the spool and is not damaged.
#[derive(Debug)]
pub(super) struct Held {
    pub(super) copy: SuiteCopy,
    pub(super) proof: Proof,
}

impl Held {
    /// Returns why nothing new may be made of the copy.
    pub(super) fn doubt(&self) -> Option<String> {
        match &self.proof {
            Proof::None(why) => Some(why.clone()),
            Proof::Today | Proof::WhenFetched => None,
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
    /// `true` if the spool was opened without the lock, so that nothing in it may be changed.
    read_only: bool,
}

impl Spool {
    pub(super) fn new(
        dir: PathBuf,
        suites: BTreeMap<(ArchiveName, SuiteName), SpooledSuite>,
        absent: BTreeMap<(ArchiveName, SuiteName), Arc<FetchError>>,
    ) -> Self {
        Self {
            dir,
            suites,
            absent,
            read_only: false,
        }
    }

    /// Reads the copies in the spool without asking the archives; `now` is the time that signatures are judged by.
    pub fn load(workspace: &Workspace<'_>, config: &Config, now: Timestamp) -> Result<Spool> {
        Self::read(workspace.layout().spool(), config, now, false)
    }

    /// Reads the copies without the lock, only to look at them. A run may remove objects that they name at any moment.
    pub fn view(view: &View, config: &Config, now: Timestamp) -> Result<Spool> {
        Self::read(view.layout().spool(), config, now, true)
    }

    fn read(dir: PathBuf, config: &Config, now: Timestamp, read_only: bool) -> Result<Spool> {
        let keyrings = keyrings(config);
        let mut suites = BTreeMap::new();
        for (archive, suite) in upstream_suites(config) {
            let held = read_copy(&dir, &archive, &suite, &keyrings[&archive], now)?;
            let Some(held) = held else {
                continue; // reported where the copy is needed
            };
            let spooled = SpooledSuite {
                doubt: held.doubt(),
                freshness: match fault_of_age(config, &archive, &suite, &held.copy, now) {
                    Some(fault) => Freshness::Kept(Arc::new(fault)),
                    None => Freshness::NotAsked,
                },
                copy: held.copy,
            };
            suites.insert((archive, suite), spooled);
        }
        Ok(Spool {
            dir,
            suites,
            absent: BTreeMap::new(),
            read_only,
        })
    }

    /// Returns the copy of an archive's suite.
    pub fn get(&self, archive: &ArchiveName, suite: &SuiteName) -> Option<&SpooledSuite> {
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
    pub fn iter(&self) -> impl Iterator<Item = (&(ArchiveName, SuiteName), &SpooledSuite)> {
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

    /// Refuses a suite if one of its copies is not proven by its archive's present keyring.
    pub fn check_proofs(&self, config: &Config, suite: &Suite) -> Result<()> {
        for (archive, _, upstream) in config.inputs(suite) {
            let doubt = self.get(archive, upstream).and_then(|s| s.doubt.clone());
            if let Some(why) = doubt {
                return Err(SpoolError::NotProven {
                    archive: archive.to_string(),
                    suite: upstream.to_string(),
                    why,
                }
                .into());
            }
        }
        Ok(())
    }

    /// Returns the merge of a suite from the copies of its archives.
    pub fn merge<'a>(
        &'a self,
        config: &'a Config,
        name: &'a SuiteName,
        suite: &'a Suite,
        cancel: &Cancel,
    ) -> Result<SuiteMerge<'a>> {
        let mut inputs: Vec<Box<dyn Input + 'a>> = Vec::new();
        for (archive_name, archive, upstream) in config.inputs(suite) {
            let input = self
                .input(config, archive_name, archive, upstream)
                .ok_or_else(|| self.lacks(archive_name, upstream))?;
            inputs.push(Box::new(input));
        }
        Ok(SuiteMerge {
            config,
            name,
            suite,
            inputs,
            deadline: Deadline::after(config.merge.suite_timeout, cancel),
        })
    }

    /// Returns a copy as an input of a merge.
    pub fn input<'a>(
        &'a self,
        config: &Config,
        name: &'a ArchiveName,
        archive: &'a Archive,
        suite: &'a SuiteName,
    ) -> Option<SpoolInput<'a>> {
        Some(SpoolInput {
            spool: self,
            copy: &self.get(name, suite)?.copy,
            name,
            suite,
            pool: &archive.pool,
            exempt: config.bans.exempt.contains(name),
        })
    }
}

/// Returns why a copy is too old, though nobody asked the archive for a newer one.
fn fault_of_age(
    config: &Config,
    archive: &ArchiveName,
    suite: &SuiteName,
    copy: &SuiteCopy,
    now: Timestamp,
) -> Option<FetchError> {
    let release = copy.parse_release().ok()?;
    let uri = format!("{}/dists/{suite}", copy.uri.trim_end_matches('/'));
    age::fault(config.archives.get(archive)?, uri, &release, now)
}

/// Returns every suite of every archive that the configured suites are made from.
pub(super) fn upstream_suites(config: &Config) -> BTreeSet<(ArchiveName, SuiteName)> {
    config
        .suites
        .values()
        .flat_map(|suite| config.inputs(suite))
        .map(|(name, _, upstream)| (name.clone(), upstream.clone()))
        .collect()
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
pub(super) fn keyrings(config: &Config) -> BTreeMap<ArchiveName, ArchiveKeyring> {
    let load = |paths: &[PathBuf]| Keyring::load(paths).map_err(Arc::new);
    let archives = config.archives.iter();
    archives
        .map(|(name, archive)| (name.clone(), load(&archive.signed_by)))
        .collect()
}

/// Reads a copy and checks it against its signatures; a damaged copy is an [`StateError::Damaged`].
pub(super) fn read_copy(
    spool: &Path,
    archive: &ArchiveName,
    suite: &SuiteName,
    keyring: &ArchiveKeyring,
    now: Timestamp,
) -> Result<Option<Held>> {
    let path = copy_path(spool, archive, suite);
    let Some(copy) = read_json::<SuiteCopy>(&path)? else {
        return Ok(None);
    };
    let proven = match prove(&copy, keyring, now) {
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

/// Returns the path of an object.
pub(super) fn object_path(spool: &Path, name: &ObjectName) -> PathBuf {
    let (prefix, _) = name.as_str().split_at(2);
    spool
        .join("objects")
        .join(prefix)
        .join(format!("{name}.zst"))
}

/// Returns whether an object is there as a file: anything else in its place (a FIFO) counts as none.
pub(super) fn has_object(spool: &Path, name: &ObjectName) -> bool {
    let metadata = object_path(spool, name).symlink_metadata();
    metadata.is_ok_and(|metadata| metadata.is_file())
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

/// The copy of an archive's suite, as an input of a merge.
pub struct SpoolInput<'a> {
    spool: &'a Spool,
    copy: &'a SuiteCopy,
    name: &'a ArchiveName,
    suite: &'a SuiteName,
    pool: &'a PoolName,
    exempt: bool,
}

impl Input for SpoolInput<'_> {
    fn pool(&self) -> &PoolName {
        self.pool
    }

    fn archive(&self) -> &str {
        self.name.as_str()
    }

    fn is_exempt(&self) -> bool {
        self.exempt
    }

    fn has(&self, name: &IndexName) -> bool {
        self.copy.indices.contains_key(&name.to_string())
    }

    fn describe(&self, name: &IndexName) -> String {
        format!("{} {} {name}", self.name, self.suite)
    }

    fn open(&self, name: &IndexName) -> Result<Option<Box<dyn Read + Send + '_>>> {
        let Some(stored) = self.copy.indices.get(&name.to_string()) else {
            return Ok(None);
        };
        Ok(Some(Box::new(open_object(&self.spool.dir, stored)?)))
    }

    fn digest(&self, name: &IndexName) -> Option<String> {
        let stored = self.copy.indices.get(&name.to_string())?;
        Some(stored.sha256.to_string())
    }

    fn size(&self, name: &IndexName) -> u64 {
        let stored = self.copy.indices.get(&name.to_string());
        stored.map_or(0, |stored| stored.size)
    }

    fn optional(&self) -> Vec<IndexName> {
        let paths = self.copy.indices.keys();
        paths
            .filter_map(|path| IndexName::parse_optional(path))
            .collect()
    }

    fn packages(&self) -> Vec<IndexName> {
        let paths = self.copy.indices.keys();
        paths
            .filter_map(|path| IndexName::parse_packages(path))
            .collect()
    }

    fn read(&self, name: &IndexName) -> Result<Option<Vec<u8>>> {
        let Some(stored) = self.copy.indices.get(&name.to_string()) else {
            return Ok(None);
        };
        let path = object_path(&self.spool.dir, &stored.sha256);
        match read_object(&path, stored) {
            Ok(data) => Ok(Some(data)),
            Err(error) if self.spool.read_only => Err(Error::io("read", path)(error)),
            Err(error) => Err(unreadable_object(path, error)),
        }
    }
}

/// Removes an object that cannot be read, so that the next run fetches it again. An error of the system leaves the object in place: a disk
/// that cannot be read says nothing of its content.
pub(super) fn unreadable_object(path: PathBuf, error: std::io::Error) -> Error {
    if is_of_the_system(&error) {
        return Error::io("read", path)(error);
    }
    match durable::remove_file(&path) {
        Ok(_) => SpoolError::Damaged {
            path,
            why: error.to_string(),
        }
        .into(),
        Err(error) => error,
    }
}

/// Opens an object to be read as a stream.
pub(super) fn open_object<'a>(
    spool: &Path,
    stored: &'a StoredIndex,
) -> Result<impl Read + Send + use<'a>> {
    let path = object_path(spool, &stored.sha256);
    let file = durable::open_regular(&path).map_err(Error::io("open", &path))?;
    let decoder = zstd::Decoder::new(file).map_err(Error::io("read", &path))?;
    Ok(CheckedObject {
        reader: decoder.take(stored.size.saturating_add(1)),
        hasher: Some(Hasher::new()),
        stored,
        path,
    })
}

/// Returns length and hashes of an object; `None` where the object is not what its name says, or is longer than `limit`.
pub(super) fn digests_of_object(
    path: &Path,
    name: &ObjectName,
    limit: u64,
) -> Result<Option<Digests>> {
    let file = durable::open_regular(path).map_err(Error::io("open", path))?;
    let decoder = zstd::Decoder::new(file).map_err(Error::io("read", path))?;
    let decoder = decoder.take(limit.saturating_add(1));
    let mut hashed = HashingReader::with(decoder, Hasher::with_sha512());
    match std::io::copy(&mut hashed, &mut std::io::sink()) {
        Ok(_) => {
            let (_, digests) = hashed.finish();
            Ok(name.is_of(digests.sha256).then_some(digests))
        }
        Err(error) if is_of_the_system(&error) => Err(Error::io("read", path)(error)),
        Err(_) => Ok(None),
    }
}

/// An object that is read as a stream; if it is not what was verified, its end gives an error.
struct CheckedObject<'a, R> {
    reader: R,
    hasher: Option<Hasher>,
    stored: &'a StoredIndex,
    path: PathBuf,
}

impl<R: Read> Read for CheckedObject<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let read = self.reader.read(buffer)?;
        if read > 0 {
            if let Some(hasher) = &mut self.hasher {
                hasher.update(&buffer[..read]);
            }
            return Ok(read);
        }
        if let Some(digests) = self.hasher.take().map(Hasher::finish)
            && !self.stored.sha256.is_of(digests.sha256)
        {
            let why = format!(
                "{} is not what was verified when it was fetched",
                self.path.display()
            );
            return Err(std::io::Error::new(std::io::ErrorKind::InvalidData, why));
        }
        Ok(0)
    }
}

/// Returns whether an error comes from the system, and not from a file that is damaged or gone.
fn is_of_the_system(error: &std::io::Error) -> bool {
    error.raw_os_error().is_some() && error.kind() != std::io::ErrorKind::NotFound
}

fn read_object(path: &Path, stored: &StoredIndex) -> std::io::Result<Vec<u8>> {
    let decoder = zstd::Decoder::new(durable::open_regular(path)?)?;
    let mut data = Vec::with_capacity(usize::try_from(stored.size).unwrap_or(0).min(1 << 30));
    decoder
        .take(stored.size.saturating_add(1))
        .read_to_end(&mut data)?;
    let is_named = stored.sha256.is_of(Sha256::digest(&data).into());
    if data.len() as u64 != stored.size || !is_named {
        let why = "it is not what was verified when it was fetched";
        return Err(std::io::Error::new(std::io::ErrorKind::InvalidData, why));
    }
    Ok(data)
}
