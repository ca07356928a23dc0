//! The Release of a suite: fetched, verified, and compared with what was seen before.

use std::time::{Duration, Instant, SystemTime};

use base64::prelude::{BASE64_STANDARD, Engine as _};

use crate::deb822::{Release, ReleaseError, identity, is_ahead};
use crate::fetch::FetchError;
use crate::fetch::age;
use crate::fetch::copy::SuiteCopy;
use crate::fetch::looks::Looks;
use crate::fetch::transport::{self, Conditions, Fetched};
use crate::openpgp::{Keyring, Verified};
use crate::quoted::quoted;
use crate::uri::Uri;

use super::SuiteFetch;

/// The most bytes that a Release may have (apt's own bound).
const MAX_RELEASE_BYTES: u64 = 10_000_000;

/// The longest time that a Release, or its signature, may take to arrive: real ones have some hundred kilobytes.
const RELEASE_TIME: Duration = Duration::from_secs(5 * 60);

/// A signed Release as it came, or the answer that it has not changed.
pub(super) enum Answer {
    /// The Release is that of the copy in the spool. Where it came all the same, there is what to ask for it with the next time.
    NotModified(Option<Conditions>),
    Release(Box<SignedRelease>),
}

/// A signed Release that differs from the copy in the spool.
pub(super) struct SignedRelease {
    pub(super) verified: Verified,
    pub(super) inline: bool,
    pub(super) validators: Conditions,
}

/// Returns whether the server answered with 403.
fn is_refused(error: &FetchError) -> bool {
    matches!(
        error,
        FetchError::Transport(transport::Error::Denied { status: 403, .. })
    )
}

/// Returns whether a signed Release is that of a copy whose signatures are good today, to the last byte.
fn is_same(old: Option<&SuiteCopy>, message: &[u8], detached: Option<&[u8]>) -> bool {
    old.filter(|old| old.inline == detached.is_none())
        .is_some_and(|old| {
            let signature = BASE64_STANDARD.decode(&old.signature).unwrap_or_default();
            let known = (old.release.as_bytes(), &signature[..]);
            Keyring::is_same(known, message, detached)
        })
}

/// Returns what a file looks like that has no signature in it.
fn looks_otherwise(text: &[u8]) -> Option<Looks> {
    let has_signature = memchr::memmem::find(text, b"-----BEGIN PGP ").is_some();
    // A binary signature looks like nothing.
    Looks::of(text).filter(|_| !has_signature)
}

impl SuiteFetch<'_> {
    /// Fetches InRelease, or else Release with Release.gpg; hands on only what the verifier returned.
    ///
    /// Object stores answer 403 for what is not there, so an InRelease that is refused may well be missing. If there is no Release
    /// either, the refusal is the better reason.
    pub(super) fn release(
        &self,
        base: &Uri,
        old: Option<&SuiteCopy>,
    ) -> Result<Answer, FetchError> {
        let conditions = |inline: bool| match old.filter(|old| old.inline == inline) {
            Some(old) => Conditions {
                etag: old.etag.clone(),
                last_modified: old.last_modified.clone(),
            },
            None => Conditions::default(),
        };
        let now = SystemTime::from(self.options.now);
        let refused = |uri: &Uri, text: &[u8]| {
            let (uri, looks) = (uri.to_string(), looks_otherwise(text));
            move |source| FetchError::Signature {
                uri,
                looks,
                source: Box::new(source),
            }
        };
        let uri = base.join("InRelease")?;
        let mut signed = Vec::new();
        let mut refusal = None;
        match self.get(&uri, &conditions(true), &mut signed) {
            Ok(Fetched::NotModified) => return Ok(Answer::NotModified(None)),
            Ok(Fetched::Stored { validators, .. }) if is_same(old, &signed, None) => {
                return Ok(Answer::NotModified(Some(validators)));
            }
            Ok(Fetched::Stored { validators, .. }) => {
                let verified = self
                    .keyring
                    .verify_inline(&signed, now)
                    .map_err(refused(&uri, &signed))?;
                return Ok(self.answer(&uri, verified, true, validators));
            }
            Ok(Fetched::NotFound) => {}
            Err(error) if is_refused(&error) => refusal = Some(error),
            Err(error) => return Err(error),
        }
        let mut no_release = || {
            let uri = base.to_string();
            Err(refusal.take().unwrap_or(FetchError::NoRelease { uri }))
        };
        let uri = base.join("Release")?;
        let mut body = Vec::new();
        let validators = match self.get(&uri, &conditions(false), &mut body)? {
            Fetched::NotModified => return Ok(Answer::NotModified(None)),
            Fetched::NotFound => return no_release(),
            Fetched::Stored { validators, .. } => validators,
        };
        let signature_uri = base.join("Release.gpg")?;
        let mut signature = Vec::new();
        if let Fetched::NotFound =
            self.get(&signature_uri, &Conditions::default(), &mut signature)?
        {
            return no_release();
        }
        if is_same(old, &body, Some(&signature)) {
            return Ok(Answer::NotModified(Some(validators)));
        }
        let verified = self
            .keyring
            .verify_detached(&body, &signature, now)
            .map_err(refused(&signature_uri, &signature))?;
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
        Answer::Release(Box::new(SignedRelease {
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

    /// Parses the Release of a new or an old copy, and refuses one without a Date unless the suite may have none.
    pub(super) fn parsed(
        &self,
        base: &Uri,
        release: Result<Release, ReleaseError>,
    ) -> Result<Release, FetchError> {
        let uri = base.to_string();
        let release = release.map_err(|source| FetchError::Release {
            uri: uri.clone(),
            source,
        })?;
        match &release.undated {
            Some(why) if !self.settings_of_suite.may_be_undated => Err(FetchError::Undated {
                uri,
                archive: self.name.to_string(),
                suite: self.suite.to_string(),
                source: why.clone(),
            }),
            _ => Ok(release),
        }
    }

    /// Refuses a Release of a suite that was not asked for.
    pub(super) fn check_name(&self, base: &Uri, release: &Release) -> Result<(), FetchError> {
        let settings = &self.settings_of_suite;
        // The name of a flat archive is ours, and its Release need not know it.
        if settings.flat.is_some() && settings.called.is_empty() {
            return Ok(());
        }
        let mut called = settings.called.iter();
        if release.is_of(self.suite.as_str()) || called.any(|name| release.is_called(name)) {
            return Ok(());
        }
        let field = |name| release.field(name).map(quoted);
        Err(FetchError::OtherSuite {
            uri: base.to_string(),
            archive: self.name.to_string(),
            suite: field("Suite"),
            codename: field("Codename"),
            expected: self.suite.to_string(),
        })
    }

    /// Refuses a Release whose fields are too long for the merged suites that take them over.
    pub(super) fn check_fields(&self, base: &Uri, release: &Release) -> Result<(), FetchError> {
        let uri = base.to_string();
        match identity::inherited(release) {
            Ok(_) => Ok(()),
            Err(source) => Err(FetchError::LongField { uri, source }),
        }
    }

    /// Refuses a Release from the future, or one older than its own Valid-Until or the configuration allows.
    pub(super) fn check_age(&self, base: &Uri, release: &Release) -> Result<(), FetchError> {
        let now = self.options.now;
        let uri = base.to_string();
        if is_ahead(release.date, now) {
            let date = release.date.to_string();
            return Err(FetchError::Future { uri, date });
        }
        let expired = release.valid_until.filter(|until| *until < now);
        if let Some(until) = expired.filter(|_| !self.source.check_valid_until) {
            self.listener.warn(format!(
                "{uri}: the Release has expired on {until}; it is used all the same, since check-valid-until = false for archive `{}`",
                self.name
            ));
        }
        match age::fault(self.source, uri, release, now) {
            Some(fault) => Err(fault),
            None => Ok(()),
        }
    }
}
