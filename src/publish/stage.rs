//! Staging: a generation is built in volatile, while nothing serves it.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::SystemTime;

use jiff::Timestamp;
use rayon::prelude::*;
use sha2::{Digest, Sha256};

use crate::compress::{Piece, gz, pieces, xz};
use crate::config::{Form, SuiteName};
use crate::deb822::Release;
use crate::durable;
use crate::error::{Error, Result};
use crate::events::Listener;
use crate::fetch::hashing::{Hasher, HashingWriter};
use crate::indices::{self, IndexName};
use crate::merge::{self, SuiteReport, Text};
use crate::openpgp::{Keyring, Signer};
use crate::workspace::{Generation, SuiteRecord, VOLATILE, Workspace};

use super::check::{CheckOptions, check_suites};
use super::plan::{Action, Allowances, Plan, SuitePlan, links};
use super::release::{self, FileDigest};
use super::{by_hash, link, sync};

/// A generation, built in volatile and not yet looked at.
#[derive(Debug)]
pub struct Staged {
    generation: Generation,
    changed: Vec<SuiteName>,
}

/// A generation that holds: it was read back as a client would read it.
#[derive(Debug)]
pub struct Checked(Staged);

/// A generation that is served, from production again.
#[derive(Debug)]
pub struct Published {
    /// Its number.
    pub number: u64,
    /// The suites that changed.
    pub changed: Vec<SuiteName>,
}

impl Plan<'_> {
    /// Builds the planned generation in volatile.
    pub fn stage(
        &self,
        workspace: &Workspace<'_>,
        signer: &Signer,
        allow: Allowances,
        listener: &dyn Listener,
    ) -> Result<Staged> {
        let layout = workspace.layout();
        let (volatile, production) = (layout.volatile(), layout.production());
        durable::remove_tree(&volatile)?;
        durable::create_dir(&volatile.join("dists"))?;
        let mut generation = Generation {
            number: self.published.number + 1,
            suites: BTreeMap::new(),
            links: links(self.config),
        };
        let mut changed = Vec::new();
        for suite in &self.suites {
            if listener.is_cancelled() {
                return Err(Error::Cancelled);
            }
            let stage = SuiteStage {
                plan: self,
                suite,
                old: production.join("dists").join(suite.name.as_str()),
                new: volatile.join("dists").join(suite.name.as_str()),
                allow,
                number: generation.number,
            };
            let record = match (&suite.action, suite.record) {
                (Action::Keep, Some(record)) => stage.keep(record)?,
                (action, _) => {
                    listener.info(format!("suite {}: {}", suite.name, why(action)));
                    changed.push(suite.name.clone());
                    stage.make(signer)?
                }
            };
            generation.suites.insert(suite.name.to_string(), record);
        }
        let outside: BTreeSet<&str> = generation
            .suites
            .values()
            .flat_map(|record| record.report.outside.iter().map(String::as_str))
            .collect();
        for (path, target) in &generation.links {
            match path.strip_prefix("pool/") {
                Some(pool) => place_pool(&volatile.join(path), pool, Path::new(target), &outside)?,
                None => place_alias(&volatile.join(path), target)?,
            }
        }
        sync::sync_tree(&volatile)?;
        durable::sync_dir(layout.root())?;
        Ok(Staged {
            generation,
            changed,
        })
    }
}

fn why(action: &Action) -> &str {
    match action {
        Action::Keep => "made anew, there is no record of it",
        Action::Sign(why) | Action::Merge(why) => why,
    }
}

/// Makes the further name of a suite.
fn place_alias(place: &Path, target: &str) -> Result<()> {
    if let Some(parent) = place.parent() {
        durable::create_dir(parent)?;
    }
    durable::symlink(Path::new(target), place)
}

/// Makes the pool of a local archive: a way to each part of its `pool/`, and to what else the published suites name. The
/// archive's own directory is not linked, since more may lie in it than packages.
fn place_pool(place: &Path, pool: &str, archive: &Path, outside: &BTreeSet<&str>) -> Result<()> {
    durable::create_dir(place)?;
    if let Ok(entries) = std::fs::read_dir(archive.join("pool")) {
        for entry in entries.flatten().filter(|entry| entry.file_name() != "_") {
            durable::symlink(&entry.path(), &place.join(entry.file_name()))?;
        }
    }
    let prefix = format!("{pool}/");
    let parts = outside.iter().filter_map(|o| o.strip_prefix(&prefix));
    for part in parts.filter(|part| *part != ".") {
        durable::create_dir(&place.join("_"))?;
        durable::symlink(&archive.join(part), &place.join("_").join(part))?;
    }
    Ok(())
}

/// One suite, on its way from production to volatile.
struct SuiteStage<'a> {
    plan: &'a Plan<'a>,
    suite: &'a SuitePlan<'a>,
    /// Its directory in production.
    old: PathBuf,
    /// Its directory in volatile.
    new: PathBuf,
    allow: Allowances,
    number: u64,
}

impl SuiteStage<'_> {
    /// Whether a directory of production belongs to another suite, whose name begins with this one's.
    fn is_other_suite(&self, path: &Path) -> bool {
        let Some(name) = path
            .strip_prefix(&self.old)
            .ok()
            .filter(|p| !p.as_os_str().is_empty())
        else {
            return false;
        };
        let name = Path::new(self.suite.name.as_str()).join(name);
        let is_suite = |other: &str| Path::new(other) == name;
        self.plan.published.suites.keys().any(|s| is_suite(s))
            || self.plan.config.suites.keys().any(|s| is_suite(s.as_str()))
    }

    /// The suite as it is.
    fn keep(&self, record: &SuiteRecord) -> Result<SuiteRecord> {
        sync::link_tree(&self.old, &self.new, &|path| self.is_other_suite(path))?;
        Ok(record.clone())
    }

    /// The suite anew.
    fn make(&self, signer: &Signer) -> Result<SuiteRecord> {
        let plan = self.plan;
        let old_release = self.old_release()?;
        let inherited = release::inherited(plan.config, plan.spool, self.suite.suite)?;
        let identity = release::identity(self.suite.name, self.suite.suite, inherited);
        self.guard_date(old_release.as_ref())?;
        self.guard_identity(old_release.as_ref(), &identity)?;
        let writer = Writer {
            old: &self.old,
            new: &self.new,
            // Files that another version of the encoders wrote are not carried on.
            listed: old_release
                .as_ref()
                .filter(|_| !self.allow.rebuild)
                .map(release::listed)
                .unwrap_or_default(),
            forms: &plan.config.publish.compress,
            modified: SystemTime::from(plan.now),
            files: Mutex::default(),
        };
        durable::create_dir(&self.new)?;
        let report = match (&self.suite.action, self.suite.record) {
            (Action::Sign(_), Some(record)) => {
                for index in indices::published(plan.config, self.suite.suite) {
                    writer.carry_index(&index)?;
                }
                record.report.clone()
            }
            _ => {
                let merge = plan.merge(self.suite)?;
                merge::merge_suite(&merge, &|name, text| writer.write_index(name, text))?
            }
        };
        self.guard_shrinking(&report)?;
        for index in indices::published(plan.config, self.suite.suite) {
            let path = format!("{}/Release", index.directory());
            writer.write_small(
                &path,
                release::directory_release(&identity, &index).as_bytes(),
            )?;
        }
        let valid_until = self.valid_until()?;
        let files = writer.finish();
        let text = release::suite_release(
            plan.config,
            self.suite.suite,
            &identity,
            plan.now,
            valid_until,
            &files,
        );
        self.sign(signer, &text)?;
        let retained = self.retain(&files)?;
        let inputs = plan.config.inputs(self.suite.suite);
        Ok(SuiteRecord {
            generation: self.number,
            content: self.suite.content.clone(),
            release: self.suite.release.clone(),
            date: plan.now.as_second(),
            valid_until: valid_until.map(Timestamp::as_second),
            archives: inputs
                .filter_map(|(name, _, upstream)| {
                    let release = plan.spool.get(name, upstream)?.copy.parse_release().ok()?;
                    Some((format!("{name} {upstream}"), release.date.as_second()))
                })
                .collect(),
            report,
            retained,
        })
    }

    /// The Release that is served now.
    fn old_release(&self) -> Result<Option<Release>> {
        let path = self.old.join("Release");
        match std::fs::read(&path) {
            Ok(text) => Release::parse(&text).map(Some).map_err(|why| Error::Check {
                tree: path,
                problems: vec![why.to_string()],
            }),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(Error::io("read", &path)(error)),
        }
    }

    fn guard(&self, allowed: bool, why: String, flag: &'static str) -> Result<()> {
        if allowed {
            return Ok(());
        }
        Err(Error::Guard {
            suite: self.suite.name.to_string(),
            why,
            flag,
        })
    }

    fn guard_date(&self, old: Option<&Release>) -> Result<()> {
        match old {
            Some(old) if old.date >= self.plan.now => self.guard(
                self.allow.date,
                format!(
                    "its new Date {} would not be later than the published {}, so clients would keep what they have",
                    self.plan.now, old.date
                ),
                "--allow-older-date",
            ),
            _ => Ok(()),
        }
    }

    fn guard_identity(&self, old: Option<&Release>, new: &[(String, String)]) -> Result<()> {
        let Some(old) = old else {
            return Ok(());
        };
        for field in ["Origin", "Label", "Codename"] {
            let before = old.field(field).unwrap_or_default();
            let after = new
                .iter()
                .find(|(f, _)| f.eq_ignore_ascii_case(field))
                .map_or("", |(_, v)| v);
            if before != after {
                self.guard(
                    self.allow.identity,
                    format!("its {field} would change from `{before}` to `{after}`, and apt clients would refuse it until a person agrees"),
                    "--allow-identity-change",
                )?;
            }
        }
        Ok(())
    }

    fn guard_shrinking(&self, report: &SuiteReport) -> Result<()> {
        let total = |report: &SuiteReport| report.packages.values().sum::<u64>();
        let Some(before) = self.suite.record.map(|r| total(&r.report)) else {
            return Ok(());
        };
        let after = total(report);
        let bound = self.plan.config.guards.max_shrink;
        if bound.is_exceeded_by_shrinking(before, after) {
            self.guard(
                self.allow.shrink,
                format!("it would shrink from {before} packages to {after}, by more than guards.max-shrink = \"{bound}\""),
                "--allow-shrink",
            )?;
        }
        Ok(())
    }

    fn valid_until(&self) -> Result<Option<Timestamp>> {
        let Some(span) = self.plan.config.publish.valid_for else {
            return Ok(None);
        };
        let until = self.plan.now.checked_add(span.duration());
        until
            .map(Some)
            .map_err(|e| Error::Usage(format!("publish.valid-for = \"{span}\" is no use: {e}")))
    }

    fn sign(&self, signer: &Signer, text: &str) -> Result<()> {
        let at = SystemTime::from(self.plan.now);
        let signed = signer
            .sign(text.as_bytes(), at)
            .map_err(|source| Error::Signing {
                suite: self.suite.name.to_string(),
                source: Box::new(source),
            })?;
        for (name, data) in [
            ("Release", text.as_bytes()),
            ("Release.gpg", &signed.detached),
            ("InRelease", &signed.inline),
        ] {
            write_whole(&self.new.join(name), data, at)?;
        }
        Ok(())
    }

    /// Carries on the by-hash files of earlier generations.
    fn retain(
        &self,
        files: &BTreeMap<String, FileDigest>,
    ) -> Result<BTreeMap<String, crate::workspace::LastReferenced>> {
        let named: BTreeSet<String> = files
            .iter()
            .map(|(path, digest)| by_hash_path(path, digest))
            .collect();
        let empty = BTreeMap::new();
        let retained = by_hash::retained(
            by_hash::existing(&self.old, &|path| self.is_other_suite(path))?,
            &named,
            self.suite.record.map_or(&empty, |r| &r.retained),
            self.plan.config.publish.by_hash,
            self.plan.now.as_second(),
        );
        for path in retained.keys() {
            let target = self.new.join(path);
            if let Some(dir) = target.parent() {
                durable::create_dir(dir)?;
            }
            sync::link_file(&self.old.join(path), &target)?;
        }
        Ok(retained)
    }
}

/// Where a file lies under by-hash.
fn by_hash_path(path: &str, digest: &FileDigest) -> String {
    let dir = path.rsplit_once('/').map_or("", |(dir, _)| dir);
    format!("{dir}/by-hash/SHA256/{}", hex::encode(digest.sha256))
}

fn write_whole(path: &Path, data: &[u8], modified: SystemTime) -> Result<()> {
    let mut file = durable::temporary(path)?;
    file.write_all(data).map_err(Error::io("write", path))?;
    durable::persist(file, path, Some(modified))
}

/// Writes the indices of a suite, or carries on those that did not change.
struct Writer<'a> {
    old: &'a Path,
    new: &'a Path,
    /// What the Release that is served now lists.
    listed: BTreeMap<String, FileDigest>,
    forms: &'a BTreeSet<Form>,
    modified: SystemTime,
    files: Mutex<BTreeMap<String, FileDigest>>,
}

impl Writer<'_> {
    fn finish(self) -> BTreeMap<String, FileDigest> {
        self.files
            .into_inner()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    fn list(&self, path: String, digest: FileDigest) {
        self.files
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
            .insert(path, digest);
    }

    /// Takes a file over as it is served now, if it is there in the length that its Release says.
    fn carry(&self, path: &str) -> Result<bool> {
        let Some(digest) = self.listed.get(path) else {
            return Ok(false);
        };
        let old = self.old.join(path);
        if !old
            .symlink_metadata()
            .is_ok_and(|m| m.is_file() && m.len() == digest.size)
        {
            return Ok(false);
        }
        self.place(path, digest, |target| sync::link_file(&old, target))?;
        Ok(true)
    }

    /// Puts a file into its place and under by-hash.
    fn place(
        &self,
        path: &str,
        digest: &FileDigest,
        put: impl FnOnce(&Path) -> Result<()>,
    ) -> Result<()> {
        let target = self.new.join(path);
        let by_hash = self.new.join(by_hash_path(path, digest));
        if let Some(dir) = by_hash.parent() {
            durable::create_dir(dir)?;
        }
        put(&target)?;
        sync::link_file(&target, &by_hash)?;
        self.list(path.to_owned(), *digest);
        Ok(())
    }

    /// Takes over an index that is not merged anew.
    fn carry_index(&self, index: &IndexName) -> Result<()> {
        let plain = index.to_string();
        let mut complete = self.listed.contains_key(&plain);
        for form in self.forms {
            complete &= self.carry(&format!("{plain}{}", form.suffix()))?;
        }
        match self.listed.get(&plain).filter(|_| complete) {
            Some(digest) => {
                self.list(plain, *digest);
                Ok(())
            }
            None => Err(Error::Check {
                tree: self.old.to_owned(),
                problems: vec![format!(
                    "{plain} is not there as its Release lists it; run with --rebuild"
                )],
            }),
        }
    }

    /// Writes an index in every form; the plain one is listed only.
    fn write_index(&self, index: &IndexName, text: &Text<'_>) -> Result<()> {
        let plain = index.to_string();
        let mut hasher = Hasher::new();
        text.iter().flatten().for_each(|slice| hasher.update(slice));
        let digest = FileDigest {
            size: text.len(),
            sha256: hasher.finish().sha256,
        };
        durable::create_dir(&self.new.join(index.directory()))?;
        let same = self.listed.get(&plain) == Some(&digest);
        self.list(plain.clone(), digest);
        let mut pieces_of_text = None;
        for form in self.forms {
            let path = format!("{plain}{}", form.suffix());
            if same && self.carry(&path)? {
                continue;
            }
            let pieces = pieces_of_text.get_or_insert_with(|| pieces(text));
            self.write_form(&path, *form, pieces)?;
        }
        Ok(())
    }

    fn write_form(&self, path: &str, form: Form, pieces: &[Piece<'_>]) -> Result<()> {
        let target = self.new.join(path);
        let failed = |source| Error::Compress {
            what: path.to_owned(),
            source,
        };
        let file = durable::temporary(&target)?;
        let mut out = HashingWriter::new(BufWriter::with_capacity(1 << 20, file));
        match form {
            Form::Xz => {
                let blocks = pieces
                    .par_iter()
                    .map(xz::encode)
                    .collect::<std::io::Result<Vec<_>>>()
                    .map_err(failed)?;
                xz::assemble(&blocks, &mut out).map_err(Error::io("write", &target))?;
            }
            Form::Gz => {
                let parts = pieces
                    .par_iter()
                    .map(gz::encode)
                    .collect::<std::io::Result<Vec<_>>>()
                    .map_err(failed)?;
                gz::assemble(&parts, &mut out).map_err(Error::io("write", &target))?;
            }
        }
        let (buffered, digests) = out.finish();
        let file = buffered
            .into_inner()
            .map_err(|e| Error::io("write", &target)(e.into_error()))?;
        let digest = FileDigest {
            size: digests.length,
            sha256: digests.sha256,
        };
        self.place(path, &digest, |target| {
            durable::persist(file, target, Some(self.modified))
        })
    }

    /// Writes a small file, or carries it on if it did not change.
    fn write_small(&self, path: &str, data: &[u8]) -> Result<()> {
        let digest = FileDigest {
            size: data.len() as u64,
            sha256: Sha256::digest(data).into(),
        };
        if self.listed.get(path) == Some(&digest) && self.carry(path)? {
            return Ok(());
        }
        self.place(path, &digest, |target| {
            write_whole(target, data, self.modified)
        })
    }
}

impl Staged {
    /// Reads the changed suites back as a client would, from InRelease down.
    pub fn check(
        self,
        workspace: &Workspace<'_>,
        keyring: &Keyring,
        now: Timestamp,
    ) -> Result<Checked> {
        let tree = workspace.layout().volatile();
        let report = check_suites(
            &tree,
            self.changed.iter().map(|s| s.as_str().to_owned()).collect(),
            &CheckOptions { keyring, now },
        );
        if report.problems.is_empty() {
            return Ok(Checked(self));
        }
        Err(Error::Check {
            tree,
            problems: report.problems,
        })
    }
}

impl Checked {
    /// Points the link at volatile, in one step. From here on the new generation is served.
    pub fn swap(self, workspace: &Workspace<'_>) -> Result<Swapped> {
        workspace.record_staged(&self.0.generation)?;
        link::swap(workspace.layout(), VOLATILE)?;
        Ok(Swapped(self.0))
    }
}

/// A generation that is served from volatile.
#[derive(Debug)]
pub struct Swapped(Staged);

impl Swapped {
    /// Brings production up to volatile and points the link back at it.
    pub fn finish(self, workspace: &mut Workspace<'_>) -> Result<Published> {
        link::finish(workspace)?;
        Ok(Published {
            number: self.0.generation.number,
            changed: self.0.changed,
        })
    }
}
