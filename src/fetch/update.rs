//! Fetches one suite of one archive: its Release, which is verified, and the indices that the Release lists.
//!
//! A mirror may lack indices that a suite can do without (Contents, Translation, DEP-11, Commands): the run reports them, goes on without
//! them, and asks for them again in each run. A missing Packages or Sources is a failure.
//!
//! The whole fetch of a suite has a deadline, because a server can send bytes at the minimum speed for ever.

mod newest;
mod release;
mod succession;

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Read};
use std::path::Path;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use base64::prelude::{BASE64_STANDARD, Engine as _};
use jiff::Timestamp;
use rayon::prelude::*;

use crate::cancel::Cancel;
use crate::deb822::{Release, ReleaseError};
use crate::error::{Error, chain};
use crate::events::{Listener, Progress, Task};
use crate::indices::{self, IndexName};
use crate::merge::check_index;
use crate::names::{ArchiveName, SuiteName};
use crate::openpgp::Keyring;
use crate::spec::{Content, InputSpec, Spec};
use crate::verdicts::Verdicts;

use super::FetchError;
use super::copy::{Seen, StoredIndex, SuiteCopy, possible_forms, seconds};
use super::flat;
use super::index::{IndexFetch, planned_bytes};
use super::memory::{self, Estimate};
use super::object::{has_object, object_path, open_object, unreadable_object};
use super::settings::{Settings, Source, SourceSuite};
use super::transport::{self, Conditions, Transport};
use super::unclaimed::unclaimed;
use crate::uri::Uri;
pub(super) use newest::Found;
use release::Answer;
use succession::Successor;

/// The most bytes, unpacked, of an index that is merged in memory: real ones have some fifty megabytes.
const MAX_TEXT: (u64, &str) = (512 << 20, "the 512 MiB that an index of its kind may have");

/// The most indices of a suite that a run may ask for; Debian's largest suite has some hundreds.
const MAX_WANTED: usize = 5000;

/// The length above which an index is checked alone, with no other long index beside it.
const MAX_BESIDE_BYTES: u64 = 64 << 20;

/// The lock for checking one large index at a time.
static TURN: Mutex<()> = Mutex::new(());

/// The longest pause before a suite is fetched from its Release on once more.
const MAX_PAUSE: Duration = Duration::from_secs(60);

/// The options of a fetch besides the configuration.
#[derive(Clone, Copy)]
pub(crate) struct FetchOptions<'a> {
    pub now: Timestamp,
    /// The verdicts on the signatures of copies.
    pub verdicts: &'a Verdicts,
    /// Lets an archive change its Origin, Label, Codename or NotAutomatic.
    pub allow_identity_change: bool,
    /// The token that is asked whether to go on.
    pub cancel: &'a Cancel,
}

/// The inputs for fetching a suite.
pub(super) struct SuiteFetch<'a> {
    pub(super) settings: &'a Settings,
    /// The merged suites, whatever they are made from.
    pub(super) suites: &'a [Spec],
    pub(super) name: &'a ArchiveName,
    pub(super) source: &'a Source,
    pub(super) suite: &'a SuiteName,
    pub(super) settings_of_suite: SourceSuite,
    pub(super) keyring: &'a Keyring,
    pub(super) transport: &'a Transport,
    pub(super) spool: &'a Path,
    pub(super) old: Option<&'a SuiteCopy>,
    /// `true` if the signatures of the copy in the spool are good today as well. Otherwise the fetch does not believe a server that
    /// says that the Release has not changed.
    pub(super) believes_unchanged: bool,
    /// The Date of the last published Release of the suite, where its copy in the spool is lost or proves nothing.
    pub(super) last_published: Option<Timestamp>,
    /// The newest Release of the suite whose signature was verified.
    pub(super) newest: Mutex<Option<Seen>>,
    pub(super) options: FetchOptions<'a>,
    /// The time to give up, by the monotonic clock.
    pub(super) deadline: Instant,
    pub(super) listener: &'a dyn Listener,
}

/// The indices of a suite, as they are in the spool.
#[derive(Default)]
struct Indices {
    stored: BTreeMap<String, StoredIndex>,
    missing: BTreeSet<String>,
    broken: BTreeSet<String>,
}

/// A file by its path, and the indices that are read from it.
type Wanted = (String, Vec<IndexName>);

/// The outcome of fetching one index.
enum FetchedIndex {
    Stored(StoredIndex),
    Missing,
    Broken,
}

impl SuiteFetch<'_> {
    /// Tries every URI in order. Returns beside the outcome a newer Release than the one found, if one is to be remembered.
    pub(super) fn run(&self) -> (Result<Found, FetchError>, Option<Seen>) {
        let found = self.find();
        let copy = found.as_ref().ok().and_then(|found| found.copy.as_ref());
        let seen = self.to_remember(copy);
        (found, seen)
    }

    fn find(&self) -> Result<Found, FetchError> {
        let mut failures = Vec::new();
        let mut best: Option<Option<SuiteCopy>> = None;
        for uri in &self.source.uris {
            match self.try_uri(uri) {
                Ok(copy) if self.to_remember(copy.as_ref()).is_none() => {
                    return Ok(self.found(copy, Vec::new()));
                }
                Ok(copy) => {
                    let date = self.date(copy.as_ref());
                    if best
                        .as_ref()
                        .is_none_or(|best| self.date(best.as_ref()) < date)
                    {
                        best = Some(copy);
                    }
                }
                Err(error) if error.is_local() => return Err(error),
                Err(error) => failures.push((uri.to_string(), self.told(error))),
            }
            if self.gives_up() {
                break;
            }
        }
        if let Some(copy) = best {
            return Ok(self.found(copy, failures));
        }
        match failures.len() {
            1 => Err(failures.remove(0).1),
            _ => Err(FetchError::EveryUri(failures)),
        }
    }

    /// Returns whether it is time to stop, since somebody said so or since the fetch takes too long.
    fn gives_up(&self) -> bool {
        self.options.cancel.is_cancelled() || Instant::now() >= self.deadline
    }

    /// Replaces the error of a cancelled transfer if the reason was that the fetch took too long.
    fn told(&self, error: FetchError) -> FetchError {
        match error {
            FetchError::Transport(transport::Error::Cancelled { uri })
                if !self.options.cancel.is_cancelled() =>
            {
                FetchError::TooLate {
                    uri: uri.to_string(),
                    seconds: self.settings.suite_timeout.duration().as_secs(),
                }
            }
            other => other,
        }
    }

    /// Fetches the suite from one URI. A mirror in the middle of its own sync gets a few more tries, each from the Release on.
    fn try_uri(&self, uri: &Uri) -> Result<Option<SuiteCopy>, FetchError> {
        let mut pause = self.settings.backoff.duration();
        let mut attempt = 0;
        loop {
            match self.attempt(uri, attempt > 0) {
                Err(error) if error.may_be_mid_sync() && attempt < self.settings.restarts => {
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

    /// Waits; returns `false` if the run was told to stop meanwhile.
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

    fn attempt(&self, uri: &Uri, unconditional: bool) -> Result<Option<SuiteCopy>, FetchError> {
        let progress = self.listener.progress(Task::Fetch {
            archive: self.name.to_string(),
            suite: self.suite.to_string(),
        });
        let base = self.settings_of_suite.below(uri, self.suite)?;
        let old = self
            .old
            .filter(|old| self.believes_unchanged && old.uri == uri.to_string());
        match self.release(&base, old.filter(|_| !unconditional))? {
            Answer::NotModified(validators) => {
                let Some(old) = old else {
                    return Err(FetchError::NoRelease {
                        uri: base.to_string(),
                    });
                };
                let release = self.parsed(&base, old.parse_release())?;
                self.check_age(&base, &release)?;
                let indices = self.indices(&base, &release, Some(old), &*progress)?;
                let architectures = self.architectures(&indices)?;
                let unclaimed = self.unclaimed(&release);
                let Conditions {
                    etag,
                    last_modified,
                } = validators.unwrap_or_else(|| Conditions {
                    etag: old.etag.clone(),
                    last_modified: old.last_modified.clone(),
                });
                let changed = indices.stored != old.indices
                    || (&etag, &last_modified) != (&old.etag, &old.last_modified)
                    || indices.missing != old.missing
                    || indices.broken != old.broken
                    || unclaimed != old.unclaimed;
                Ok(changed.then(|| SuiteCopy {
                    etag,
                    last_modified,
                    indices: indices.stored,
                    missing: indices.missing,
                    broken: indices.broken,
                    unclaimed,
                    architectures,
                    ..old.clone()
                }))
            }
            Answer::Release(new) => {
                let body = &new.verified.body;
                let signed = Timestamp::try_from(new.verified.signed).unwrap_or(Timestamp::MIN);
                let release = self.parsed(&base, Release::parse_upstream(body, signed))?;
                self.check_name(&base, &release)?;
                self.check_fields(&base, &release)?;
                self.check_age(&base, &release)?;
                self.note(uri, &release);
                let successor = Successor {
                    release: &release,
                    body,
                    signed: seconds(signed),
                };
                let replaced = self.check_against_old(&base, &successor)?;
                let indices = self.indices(&base, &release, None, &*progress)?;
                let architectures = self.architectures(&indices)?;
                let signature = BASE64_STANDARD.encode(&new.verified.signature);
                Ok(Some(SuiteCopy {
                    uri: uri.to_string(),
                    inline: new.inline,
                    etag: new.validators.etag,
                    last_modified: new.validators.last_modified,
                    // Fetching the same Release once more does not make it newer.
                    fetched: self
                        .old
                        .filter(|old| {
                            old.signature == signature
                                && old.release.as_bytes() == new.verified.body
                        })
                        .map_or(seconds(self.options.now), |old| old.fetched),
                    signature,
                    signed: Some(seconds(signed)),
                    replaced,
                    newest: None,
                    signers: new.verified.signers,
                    // The fields were checked to be UTF-8 when the Release was parsed.
                    release: String::from_utf8_lossy(&new.verified.body).into_owned(),
                    indices: indices.stored,
                    missing: indices.missing,
                    broken: indices.broken,
                    unclaimed: self.unclaimed(&release),
                    flat: self.settings_of_suite.flat.clone(),
                    architectures,
                }))
            }
        }
    }

    /// Brings every index that the configured suites read of this suite into the spool. Returns them, and those that are listed but
    /// cannot be had and that a suite can do without. `old` is the spool's copy of this very Release.
    fn indices(
        &self,
        base: &Uri,
        release: &Release,
        old: Option<&SuiteCopy>,
        progress: &dyn Progress,
    ) -> Result<Indices, FetchError> {
        let wanted: Vec<Wanted> = self.wanted(release).into_iter().collect();
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
        self.check_signed_sizes(base, release, &wanted)?;
        let mut indices = Indices::default();
        let mut fetches = Vec::new();
        let mut planned: u64 = 0;
        let gives_up = || self.gives_up();
        for (plain, names) in &wanted {
            let Some(name) = names.first() else {
                continue;
            };
            let stored = old.and_then(|old| old.indices.get(plain));
            if let Some(stored) = stored.filter(|s| has_object(self.spool, &s.sha256)) {
                indices.stored.insert(plain.clone(), stored.clone());
            } else if old.is_some_and(|old| old.broken.contains(plain)) {
                indices.broken.insert(plain.clone());
            } else if let Some(why) = doubt(release, plain) {
                let error = FetchError::Release {
                    uri: base.to_string(),
                    source: why.clone(),
                };
                if !name.is_optional() {
                    return Err(error);
                }
                self.listener
                    .warn(format!("{}; going on without `{plain}`", chain(&error)));
                indices.broken.insert(plain.clone());
            } else {
                planned = planned.saturating_add(planned_bytes(release, plain, self.spool));
                let index = IndexFetch {
                    base,
                    release,
                    plain,
                    transport: self.transport,
                    spool: self.spool,
                    max_plain: self.max_plain(name),
                    known: self.old.and_then(|old| old.indices.get(plain)),
                    cancelled: &gives_up,
                    progress,
                };
                fetches.push((index, name));
            }
        }
        let has_news = !fetches.is_empty();
        progress.set_length(planned);
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
        if has_news {
            self.check_memory(base, &wanted, &indices.stored)?;
        }
        Ok(indices)
    }

    /// Refuses a suite that is too large for memory by the lengths that its Release signs, before any index is fetched.
    fn check_signed_sizes(
        &self,
        base: &Uri,
        release: &Release,
        wanted: &[Wanted],
    ) -> Result<(), FetchError> {
        let mut estimate = Estimate::default();
        for (plain, names) in wanted {
            let size = release.entries.get(plain).map_or(0, |entry| entry.size);
            // An index that is too large by itself is reported by its name elsewhere.
            for name in names.iter().filter(|name| size <= self.max_plain(name).0) {
                estimate.add(name, size, 0);
            }
        }
        self.within_memory(base, &estimate)
    }

    /// Refuses a suite whose stanzas would take up too much memory.
    fn check_memory(
        &self,
        base: &Uri,
        wanted: &[Wanted],
        stored: &BTreeMap<String, StoredIndex>,
    ) -> Result<(), FetchError> {
        let counted = wanted
            .par_iter()
            .filter_map(|(plain, names)| Some((names, names.first()?, stored.get(plain)?)))
            .map(|(names, name, stored)| {
                let stanzas = match memory::has_stanzas(name) {
                    true => {
                        memory::count(name, open_object(self.spool, stored)?).map_err(|error| {
                            unreadable_object(object_path(self.spool, &stored.sha256), error)
                        })?
                    }
                    false => 0,
                };
                Ok((names, stored.size, stanzas))
            })
            .collect::<Result<Vec<_>, Error>>()?;
        let mut estimate = Estimate::default();
        for (names, bytes, stanzas) in counted {
            for name in names {
                estimate.add(name, bytes, stanzas);
            }
        }
        self.within_memory(base, &estimate)
    }

    fn within_memory(&self, base: &Uri, estimate: &Estimate) -> Result<(), FetchError> {
        let (needed, bound) = (estimate.bytes(), self.settings.max_memory);
        if needed <= bound.bytes() {
            return Ok(());
        }
        Err(FetchError::TooMuchMemory {
            uri: base.to_string(),
            needed,
            bound,
        })
    }

    /// Reports a missing index. A file that was never there is normal; clients miss a file that was there before.
    fn tell_missing(&self, plain: &str, error: &FetchError) {
        match self.old {
            Some(old) if old.indices.contains_key(plain) => self.listener.warn(format!(
                "{error}, as it was before; going on without it, and asking again in the next run"
            )),
            Some(old) if old.missing.contains(plain) => {}
            _ => self.listener.info(format!("{error}; going on without it")),
        }
    }

    /// Returns the most bytes that an index may have unpacked, and the setting or rule that says so.
    fn max_plain(&self, name: &IndexName) -> (u64, &'static str) {
        let configured = self.settings.max_index.bytes();
        match name.is_stream() || configured <= MAX_TEXT.0 {
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
        // Each index is read as a whole; large ones are read one after the other.
        let _turn = (stored.size > MAX_BESIDE_BYTES)
            .then(|| TURN.lock().unwrap_or_else(PoisonError::into_inner));
        match self.check(name, &stored)? {
            Ok(()) => Ok(stored),
            Err(why) => Err(FetchError::Index {
                uri: index.base.join(index.plain)?.to_string(),
                why,
            }),
        }
    }

    /// Checks that an index can be merged. An error of our own disk is not the archive's fault.
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

    /// Returns the merged suites that are made from this one, each with its input that this one is.
    fn merged(&self) -> impl Iterator<Item = (&Content, &InputSpec)> {
        let inputs = self.suites.iter().flat_map(|suite| {
            let inputs = suite.content.inputs.iter();
            inputs.map(|input| (&suite.content, input))
        });
        inputs.filter(|(_, input)| {
            input.archive == *self.name && input.suite.suite() == Some(self.suite)
        })
    }

    fn unclaimed(&self, release: &Release) -> BTreeSet<String> {
        // A flat archive has no component whose files could be told from others'.
        let merged = self.merged().filter(|(_, input)| input.flat.is_none());
        unclaimed(&merged.collect::<Vec<_>>(), release)
    }

    /// Returns the files that the merged suites need, each with the indices that are read from it: several where one file of a flat
    /// archive holds all architectures.
    fn wanted(&self, release: &Release) -> BTreeMap<String, Vec<IndexName>> {
        let mut wanted: BTreeMap<String, Vec<IndexName>> = BTreeMap::new();
        for (content, input) in self.merged() {
            for name in indices::wanted(content, input, release) {
                let names = wanted.entry(indices::file(input, &name)).or_default();
                if !names.contains(&name) {
                    names.push(name);
                }
            }
        }
        wanted
    }

    /// Returns the architectures of a flat archive's packages.
    fn architectures(&self, indices: &Indices) -> Result<BTreeSet<String>, FetchError> {
        let packages = indices.stored.get("Packages");
        let Some(stored) = packages.filter(|_| self.settings_of_suite.flat.is_some()) else {
            return Ok(BTreeSet::new());
        };
        let read = flat::architectures(open_object(self.spool, stored)?);
        read.map_err(|error| {
            unreadable_object(object_path(self.spool, &stored.sha256), error).into()
        })
    }
}

/// Returns why what a Release says of an index does not count, in one of its forms.
fn doubt<'r>(release: &'r Release, plain: &str) -> Option<&'r ReleaseError> {
    let mut forms = possible_forms(plain);
    forms.find_map(|(path, _)| release.doubt(&path))
}

/// A reader that keeps the system's error when reading fails.
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
