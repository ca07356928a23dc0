//! One suite of one archive: its Release, fetched and verified, and the indices that it lists.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Read};
use std::path::Path;
use std::time::{Duration, Instant, SystemTime};

use base64::prelude::{BASE64_STANDARD, Engine as _};
use jiff::Timestamp;
use rayon::prelude::*;

use crate::config::{Archive, ArchiveName, Config, Family, Suite, SuiteName};
use crate::deb822::Release;
use crate::error::Error;
use crate::events::Listener;
use crate::indices::{self, IndexName};
use crate::merge::check_index;
use crate::openpgp::{Keyring, Verified};
use crate::progress::Meter;
use crate::quoted::quoted;

use super::FetchError;
use super::index::{IndexFetch, planned_bytes};
use super::refresh::FetchOptions;
use super::spool::{StoredIndex, SuiteCopy, object_path, open_object, seconds};
use super::transport::{self, Conditions, Fetched, Transport};
use super::unclaimed::unclaimed;
use super::uri::Uri;

/// The most that a Release may be (apt's own bound).
const MAX_RELEASE_BYTES: u64 = 10_000_000;

/// How far ahead of our clock a Release may be dated (apt's own bound).
const MAX_AHEAD: Duration = Duration::from_secs(10);

/// The most that an index may be, unpacked, that is merged in memory: real ones have some fifty megabytes.
const MAX_TEXT: (u64, &str) = (512 << 20, "the 512 MiB that an index of its kind may have");

/// The most indices that a suite may have of what is asked for; Debian's largest has some hundreds.
const MAX_WANTED: usize = 5000;

/// How long a Release, or its signature, may take to come: real ones have some hundred kilobytes.
const RELEASE_TIME: Duration = Duration::from_secs(5 * 60);

/// The longest pause before a suite is begun afresh.
const MAX_PAUSE: Duration = Duration::from_secs(60);

/// What is needed to fetch a suite.
pub(super) struct SuiteFetch<'a> {
    pub(super) config: &'a Config,
    pub(super) name: &'a ArchiveName,
    pub(super) archive: &'a Archive,
    pub(super) suite: &'a SuiteName,
    pub(super) keyring: &'a Keyring,
    pub(super) transport: &'a Transport,
    pub(super) spool: &'a Path,
    pub(super) old: Option<&'a SuiteCopy>,
    /// The Date of what was last published from the suite, where its copy in the spool is lost.
    pub(super) last_published: Option<Timestamp>,
    pub(super) options: FetchOptions,
    /// When to give up, by the clock that only goes forward.
    pub(super) deadline: Instant,
    pub(super) listener: &'a dyn Listener,
    /// Counts the bytes of the indices as they come.
    pub(super) transfer: Meter<'a>,
    /// Counts their plain bytes.
    pub(super) unpacking: Meter<'a>,
}

/// A signed Release as it came, or word that it has not changed.
enum Answer {
    Same,
    New(Box<New>),
}

/// The indices of a suite, as they are in the spool.
#[derive(Default)]
struct Indices {
    stored: BTreeMap<String, StoredIndex>,
    missing: BTreeSet<String>,
    broken: BTreeSet<String>,
}

/// What became of an index that was fetched.
enum FetchedIndex {
    Stored(StoredIndex),
    Missing,
    Broken,
}

struct New {
    verified: Verified,
    inline: bool,
    validators: Conditions,
}

impl SuiteFetch<'_> {
    /// Tries every URI in order; `None` means that the copy in the spool is the archive's present state.
    pub(super) fn run(&self) -> Result<Option<SuiteCopy>, FetchError> {
        let mut failures = Vec::new();
        for uri in &self.archive.uris {
            match self.try_uri(uri) {
                Ok(copy) => return Ok(copy),
                Err(error) if error.is_local() => return Err(error),
                Err(error) => failures.push((uri_for_people(uri), self.told(error))),
            }
            if self.gives_up() {
                break;
            }
        }
        match failures.len() {
            1 => Err(failures.remove(0).1),
            _ => Err(FetchError::EveryUri(failures)),
        }
    }

    /// Whether it is time to stop, since somebody said so or since it takes too long.
    fn gives_up(&self) -> bool {
        self.listener.is_cancelled() || Instant::now() >= self.deadline
    }

    /// What was given up because it took too long is told as that.
    fn told(&self, error: FetchError) -> FetchError {
        match error {
            FetchError::Transport(transport::Error::Cancelled { uri })
                if !self.listener.is_cancelled() =>
            {
                FetchError::TooLate {
                    uri: uri.to_string(),
                    seconds: self.config.fetch.suite_timeout.duration().as_secs(),
                }
            }
            other => other,
        }
    }

    /// One URI. A mirror in the middle of its own sync gets a few more chances, each from the Release on.
    fn try_uri(&self, uri: &str) -> Result<Option<SuiteCopy>, FetchError> {
        let mut pause = self.config.fetch.backoff.duration();
        let mut attempt = 0;
        loop {
            match self.attempt(uri, attempt > 0) {
                Err(error) if error.may_be_mid_sync() && attempt < self.config.fetch.restarts => {
                    self.listener.info(format!(
                        "{} {}: {error}; the mirror may be in the middle of its own sync, trying again",
                        self.name, self.suite
                    ));
                }
                outcome => return outcome,
            }
            attempt += 1;
            if !self.rest(pause) {
                return self.attempt(uri, true);
            }
            pause = (pause * 2).min(MAX_PAUSE);
        }
    }

    /// Waits; false if the run was told to stop meanwhile.
    fn rest(&self, pause: Duration) -> bool {
        let step = Duration::from_millis(50);
        let mut left = pause;
        while !left.is_zero() {
            if self.gives_up() {
                return false;
            }
            std::thread::sleep(step.min(left));
            left = left.saturating_sub(step);
        }
        true
    }

    fn attempt(&self, uri: &str, unconditional: bool) -> Result<Option<SuiteCopy>, FetchError> {
        self.transfer.restart();
        self.unpacking.restart();
        let base = Uri::parse(uri)?.join(&format!("dists/{}", self.suite))?;
        let old = self
            .old
            .filter(|old| old.uri == uri_for_people(uri) && self.is_signed_still(old));
        match self.release(&base, old.filter(|_| !unconditional))? {
            Answer::Same => {
                let Some(old) = old else {
                    return Err(FetchError::NoRelease {
                        uri: base.to_string(),
                    });
                };
                let release = self.parse(&base, old.release.as_bytes())?;
                self.check_age(&base, &release)?;
                let indices = self.indices(&base, &release, Some(old))?;
                let unclaimed = self.unclaimed(&release);
                let changed = indices.stored != old.indices
                    || indices.missing != old.missing
                    || indices.broken != old.broken
                    || unclaimed != old.unclaimed;
                Ok(changed.then(|| SuiteCopy {
                    indices: indices.stored,
                    missing: indices.missing,
                    broken: indices.broken,
                    unclaimed,
                    ..old.clone()
                }))
            }
            Answer::New(new) => {
                let release = self.parse(&base, &new.verified.body)?;
                self.check_name(&base, &release)?;
                self.check_age(&base, &release)?;
                self.check_against_old(&base, &release, &new.verified.body)?;
                let indices = self.indices(&base, &release, None)?;
                Ok(Some(SuiteCopy {
                    uri: uri_for_people(uri),
                    inline: new.inline,
                    etag: new.validators.etag,
                    last_modified: new.validators.last_modified,
                    signature: BASE64_STANDARD.encode(&new.verified.signature),
                    fetched: seconds(self.options.now),
                    signers: new.verified.signers,
                    // Its fields were checked to be UTF-8 when it was parsed.
                    release: String::from_utf8_lossy(&new.verified.body).into_owned(),
                    indices: indices.stored,
                    missing: indices.missing,
                    broken: indices.broken,
                    unclaimed: self.unclaimed(&release),
                }))
            }
        }
    }

    /// Whether the copy in the spool would be let in today as well: where it would not, nobody's word is taken for it that the
    /// archive has nothing else.
    fn is_signed_still(&self, old: &SuiteCopy) -> bool {
        let now = SystemTime::from(self.options.now);
        let verified = BASE64_STANDARD.decode(&old.signature).map(|signature| {
            let body = old.release.as_bytes();
            self.keyring.verify_again(body, &signature, old.inline, now)
        });
        matches!(verified, Ok(Ok(_)))
    }

    /// InRelease, or else Release with Release.gpg; only what the verifier returned is handed on.
    fn release(&self, base: &Uri, old: Option<&SuiteCopy>) -> Result<Answer, FetchError> {
        let conditions = |inline: bool| match old.filter(|old| old.inline == inline) {
            Some(old) => Conditions {
                etag: old.etag.clone(),
                last_modified: old.last_modified.clone(),
            },
            None => Conditions::default(),
        };
        let now = SystemTime::from(self.options.now);
        let refused = |uri: &Uri| {
            let uri = uri.to_string();
            move |source| FetchError::Signature {
                uri,
                source: Box::new(source),
            }
        };
        let uri = base.join("InRelease")?;
        let mut signed = Vec::new();
        match self.get(&uri, &conditions(true), &mut signed)? {
            Fetched::NotModified => return Ok(Answer::Same),
            Fetched::Stored { validators, .. } => {
                let verified = self
                    .keyring
                    .verify_inline(&signed, now)
                    .map_err(refused(&uri))?;
                return Ok(self.answer(&uri, verified, true, validators));
            }
            Fetched::NotFound => {}
        }
        let uri = base.join("Release")?;
        let mut body = Vec::new();
        let validators = match self.get(&uri, &conditions(false), &mut body)? {
            Fetched::NotModified => return Ok(Answer::Same),
            Fetched::NotFound => {
                return Err(FetchError::NoRelease {
                    uri: base.to_string(),
                });
            }
            Fetched::Stored { validators, .. } => validators,
        };
        let signature_uri = base.join("Release.gpg")?;
        let mut signature = Vec::new();
        if let Fetched::NotFound =
            self.get(&signature_uri, &Conditions::default(), &mut signature)?
        {
            return Err(FetchError::NoRelease {
                uri: base.to_string(),
            });
        }
        let verified = self
            .keyring
            .verify_detached(&body, &signature, now)
            .map_err(refused(&signature_uri))?;
        Ok(self.answer(&uri, verified, false, validators))
    }

    fn answer(
        &self,
        uri: &Uri,
        verified: Verified,
        inline: bool,
        validators: Conditions,
    ) -> Answer {
        for warning in &verified.warnings {
            self.listener.info(format!("{uri}: {warning}"));
        }
        Answer::New(Box::new(New {
            verified,
            inline,
            validators,
        }))
    }

    fn get(
        &self,
        uri: &Uri,
        conditions: &Conditions,
        sink: &mut Vec<u8>,
    ) -> Result<Fetched, FetchError> {
        let deadline = Instant::now() + RELEASE_TIME;
        let is_late = || Instant::now() >= deadline;
        let cancelled = || is_late() || self.gives_up();
        let fetched = self
            .transport
            .fetch(uri, conditions, MAX_RELEASE_BYTES, sink, &cancelled);
        match fetched {
            Err(transport::Error::Cancelled { uri }) if is_late() && !self.gives_up() => {
                Err(FetchError::TooLate {
                    uri: uri.to_string(),
                    seconds: RELEASE_TIME.as_secs(),
                })
            }
            other => Ok(other?),
        }
    }

    fn parse(&self, base: &Uri, body: &[u8]) -> Result<Release, FetchError> {
        Release::parse(body).map_err(|source| FetchError::Release {
            uri: base.to_string(),
            source,
        })
    }

    /// The Release must be of the suite that was asked for. `buster/updates` may call itself `buster`, as apt allows.
    fn check_name(&self, base: &Uri, release: &Release) -> Result<(), FetchError> {
        let asked = self.suite.as_str();
        let parent = asked.rsplit_once('/').map(|(parent, _)| parent);
        let (suite, codename) = (release.field("Suite"), release.field("Codename"));
        let fits = |name: Option<&str>| name.is_some_and(|n| n == asked || Some(n) == parent);
        if fits(suite) || fits(codename) {
            return Ok(());
        }
        Err(FetchError::OtherSuite {
            uri: base.to_string(),
            suite: quoted(suite.unwrap_or_default()),
            codename: quoted(codename.unwrap_or_default()),
            expected: asked.to_owned(),
        })
    }

    /// A Release must not be from the future, nor past what it or the configuration says.
    fn check_age(&self, base: &Uri, release: &Release) -> Result<(), FetchError> {
        let now = self.options.now;
        let uri = base.to_string();
        let later = |time: Timestamp, by: Duration| time.checked_add(by).unwrap_or(Timestamp::MAX);
        if release.date > later(now, MAX_AHEAD) {
            let date = release.date.to_string();
            return Err(FetchError::Future { uri, date });
        }
        let expired = release.valid_until.filter(|until| *until < now);
        let stale = self
            .archive
            .max_age
            .filter(|age| later(release.date, age.duration()) < now);
        if let Some(until) = expired {
            if self.archive.check_valid_until {
                let until = until.to_string();
                return Err(FetchError::Expired { uri, until });
            }
            self.listener.warn(format!(
                "{uri}: the Release has expired on {until}; it is used all the same, since check-valid-until = false for archive `{}`",
                self.name
            ));
        }
        if let Some(max_age) = stale {
            return Err(FetchError::Stale {
                uri,
                date: release.date.to_string(),
                max_age: max_age.to_string(),
            });
        }
        Ok(())
    }

    /// Against rollback, against two Releases of one Date, and against an archive that turns into another one.
    fn check_against_old(
        &self,
        base: &Uri,
        release: &Release,
        body: &[u8],
    ) -> Result<(), FetchError> {
        let uri = base.to_string();
        let Some(old) = self.old else {
            return match self.last_published {
                Some(seen) if release.date < seen => Err(FetchError::Rollback {
                    uri,
                    date: release.date.to_string(),
                    seen: seen.to_string(),
                }),
                _ => Ok(()),
            };
        };
        let before = self.parse(base, old.release.as_bytes())?;
        if release.date < before.date {
            return Err(FetchError::Rollback {
                uri,
                date: release.date.to_string(),
                seen: before.date.to_string(),
            });
        }
        if release.date == before.date && body != old.release.as_bytes() {
            let date = release.date.to_string();
            return Err(FetchError::SameDate { uri, date });
        }
        if self.options.allow_identity_change {
            return Ok(());
        }
        for field in ["Origin", "Label", "Codename"] {
            let (from, to) = (before.field(field), release.field(field));
            if from != to {
                return Err(FetchError::Identity {
                    uri,
                    field,
                    from: quoted(from.unwrap_or_default()),
                    to: quoted(to.unwrap_or_default()),
                });
            }
        }
        Ok(())
    }

    /// Everything that the configured suites read of this one, brought into the spool; and what is listed and not there, as
    /// far as one can do without. `old` is what the spool has of this very Release.
    fn indices(
        &self,
        base: &Uri,
        release: &Release,
        old: Option<&SuiteCopy>,
    ) -> Result<Indices, FetchError> {
        let wanted = self.wanted(release).into_iter();
        let wanted: Vec<_> = wanted.map(|name| (name.to_string(), name)).collect();
        if wanted.is_empty() {
            return Err(FetchError::NothingWanted {
                uri: base.to_string(),
            });
        }
        if wanted.len() > MAX_WANTED {
            return Err(FetchError::TooManyWanted {
                uri: base.to_string(),
                count: wanted.len(),
                limit: MAX_WANTED,
            });
        }
        let mut indices = Indices::default();
        let mut fetches = Vec::new();
        let gives_up = || self.gives_up();
        for (plain, name) in &wanted {
            let stored = old.and_then(|old| old.indices.get(plain));
            if let Some(stored) = stored.filter(|s| object_path(self.spool, &s.sha256).exists()) {
                indices.stored.insert(plain.clone(), stored.clone());
            } else if old.is_some_and(|old| old.broken.contains(plain)) {
                indices.broken.insert(plain.clone());
            } else {
                let (packed_bytes, plain_bytes) = planned_bytes(release, plain, self.spool);
                let index = IndexFetch {
                    base,
                    release,
                    plain,
                    transport: self.transport,
                    spool: self.spool,
                    max_plain: self.max_plain(name),
                    known: self.old.and_then(|old| old.indices.get(plain)),
                    cancelled: &gives_up,
                    transfer: self.transfer.share(packed_bytes),
                    unpacking: self.unpacking.share(plain_bytes),
                };
                fetches.push((index, name));
            }
        }
        self.transfer.tell();
        self.unpacking.tell();
        let fetched = fetches
            .into_par_iter()
            .map(|(index, name)| {
                let plain = index.plain.to_owned();
                let outcome = match self.usable(&index, name) {
                    Ok(stored) => FetchedIndex::Stored(stored),
                    Err(error @ FetchError::Index { .. }) if name.is_optional() => {
                        self.listener.warn(format!("{error}; going on without it"));
                        FetchedIndex::Broken
                    }
                    Err(error @ FetchError::Missing { .. }) if name.is_optional() => {
                        self.tell_missing(&plain, &error);
                        FetchedIndex::Missing
                    }
                    Err(error) => return Err(error),
                };
                Ok((plain, outcome))
            })
            .collect::<Result<Vec<_>, FetchError>>()?;
        for (plain, outcome) in fetched {
            match outcome {
                FetchedIndex::Stored(stored) => drop(indices.stored.insert(plain, stored)),
                FetchedIndex::Missing => drop(indices.missing.insert(plain)),
                FetchedIndex::Broken => drop(indices.broken.insert(plain)),
            }
        }
        Ok(indices)
    }

    /// A file that was never there is everyday life; one that was is missed by clients.
    fn tell_missing(&self, plain: &str, error: &FetchError) {
        match self.old {
            Some(old) if old.indices.contains_key(plain) => self.listener.warn(format!(
                "{error}, as it was before; going on without it, and asking again in the next run"
            )),
            Some(old) if old.missing.contains(plain) => {}
            _ => self.listener.info(format!("{error}; going on without it")),
        }
    }

    /// The most that an index may have unpacked, and what says so.
    fn max_plain(&self, name: &IndexName) -> (u64, &'static str) {
        let configured = self.config.fetch.max_index.bytes();
        let is_stream = matches!(name.family(), Family::Contents) || name.is_stream();
        match is_stream || configured <= MAX_TEXT.0 {
            true => (configured, "fetch.max-index allows"),
            false => MAX_TEXT,
        }
    }

    /// Brings an index into the spool, and reads it as the merge will, unless the last good copy has it already.
    fn usable(&self, index: &IndexFetch<'_>, name: &IndexName) -> Result<StoredIndex, FetchError> {
        let stored = index.run()?;
        if index.known == Some(&stored) {
            return Ok(stored);
        }
        match self.check(name, &stored)? {
            Ok(()) => Ok(stored),
            Err(why) => Err(FetchError::Index {
                uri: index.base.join(index.plain)?.to_string(),
                why,
            }),
        }
    }

    /// Whether an index can be merged. That our own disk cannot be read is not the archive's fault.
    fn check(
        &self,
        name: &IndexName,
        stored: &StoredIndex,
    ) -> Result<Result<(), String>, FetchError> {
        let mut failure = None;
        let outcome = check_index(
            name,
            Noting {
                reader: open_object(self.spool, stored)?,
                failure: &mut failure,
            },
        );
        match failure {
            Some(source) => {
                let path = object_path(self.spool, &stored.sha256);
                Err(Error::io("read", path)(source).into())
            }
            None => Ok(outcome),
        }
    }

    /// The merged suites that are made from this one.
    fn merged(&self) -> impl Iterator<Item = &Suite> {
        let merged = self.config.suites.values();
        merged.filter(|suite| suite.from.get(self.name) == Some(self.suite))
    }

    fn unclaimed(&self, release: &Release) -> BTreeSet<String> {
        unclaimed(self.config, self.merged(), release)
    }

    fn wanted(&self, release: &Release) -> BTreeSet<IndexName> {
        self.merged()
            .flat_map(|suite| indices::wanted(self.config, suite, self.archive, release))
            .collect()
    }
}

/// A reader that keeps what the system said when it failed.
struct Noting<'a, R> {
    reader: R,
    failure: &'a mut Option<io::Error>,
}

impl<R: Read> Read for Noting<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.reader.read(buffer).inspect_err(|error| {
            if error.kind() != io::ErrorKind::Interrupted {
                *self.failure = match error.kind() {
                    io::ErrorKind::OutOfMemory => Some(error.kind().into()),
                    _ => error.raw_os_error().map(io::Error::from_raw_os_error),
                };
            }
        })
    }
}

/// A URI without user and password.
fn uri_for_people(uri: &str) -> String {
    Uri::parse(uri).map_or_else(|_| uri.to_owned(), |parsed| parsed.to_string())
}
