//! Keys that need somebody's attention: those that have lapsed, and those that soon will.
//!
//! A key of ours that lapses stops every client, and one of an archive stops all news from it. Either can be prolonged by its owner alone,
//! and what is prolonged has to reach whoever verifies, so a run says so early: a month before, or as long before as a merged suite is
//! valid, since what is signed on the last day would not be believed to its end.
//!
//! Among the keys of an archive, only those count that signed its present Release: a keyring also holds keys of former and future releases.

use std::fmt;
use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::error::{DomainError, ErrorKind, chain};
use crate::events::Listener;
use crate::fetch::Spool;
use crate::openpgp::SigningKeys;
use crate::spec::Spec;
use crate::units::later;

/// The least time before the end of a key from which runs warn.
const TOLD_BEFORE: Duration = Duration::from_secs(30 * 24 * 3600);

/// Something about a key that an operator has to see to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct KeyNotice {
    /// The archive that signs with the key; none for a key of our own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub archive: Option<String>,
    /// The archive's suite.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub suite: Option<String>,
    /// The state of the key.
    pub state: KeyState,
    /// The state in words.
    pub why: String,
}

/// The state of a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum KeyState {
    /// The key has expired, or was revoked.
    Lapsed,
    /// The key expires soon.
    Lapsing,
    /// The key is too weak, and counts for the time being only.
    Weak,
}

impl fmt::Display for KeyNotice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.archive, &self.suite) {
            (Some(archive), Some(suite)) => {
                write!(f, "suite `{suite}` of archive `{archive}`: {}", self.why)
            }
            _ => f.write_str(&self.why),
        }
    }
}

impl std::error::Error for KeyNotice {}

impl DomainError for KeyNotice {
    fn kind(&self) -> ErrorKind {
        ErrorKind::Signing
    }
}

/// The time up to which keys should last.
#[derive(Debug, Clone, Copy)]
pub struct Horizon(Timestamp);

impl Horizon {
    /// Returns the horizon of some suites.
    pub fn new(suites: &[Spec], now: Timestamp) -> Horizon {
        let spans = suites.iter().filter_map(|spec| spec.release.valid_for);
        let spans = spans.map(|span| span.duration());
        Horizon(later(now, spans.fold(TOLD_BEFORE, Duration::max)))
    }

    /// Returns whether a time comes before the horizon.
    pub fn includes(self, time: Timestamp) -> bool {
        time <= self.0
    }
}

/// Returns what there is to say about our own keys.
pub fn own_keys(keys: &SigningKeys, horizon: Horizon) -> Vec<KeyNotice> {
    let notice = |state, why| KeyNotice {
        archive: None,
        suite: None,
        state,
        why,
    };
    let lapsed = keys.lapsed().iter().map(|why| {
        let why = format!("a key does not sign any more: {}", chain(why));
        notice(KeyState::Lapsed, why)
    });
    let lapsing = keys.able().iter().filter_map(|key| {
        let end = Timestamp::try_from(key.lapses?).ok()?;
        let why = || {
            format!(
                "the key {} that signs here expires on {end}; from then on clients that know no other key refuse every suite",
                key.certificate
            )
        };
        horizon.includes(end).then(|| notice(KeyState::Lapsing, why()))
    });
    lapsed.chain(lapsing).collect()
}

/// Returns what there is to say about the keys of the archives.
pub fn keys_of_archives(spool: &Spool, horizon: Horizon) -> Vec<KeyNotice> {
    let notices = spool.iter().flat_map(|((archive, suite), spooled)| {
        let notice = |state, why| KeyNotice {
            archive: Some(archive.to_string()),
            suite: Some(suite.to_string()),
            state,
            why,
        };
        let vouchers = spooled.vouchers.as_ref();
        let end = vouchers.and_then(|by| Some((by, by.lapses.filter(|end| horizon.includes(*end))?)));
        let lapsing = end.map(|(by, end)| {
            let why = format!(
                "the last key of the keyring that signed it expires on {end} ({}); from then on nothing newer of it is taken",
                by.certificates.join(", ")
            );
            notice(KeyState::Lapsing, why)
        });
        let weakness = vouchers.and_then(|by| by.weakness.as_ref());
        let weak = weakness.map(|why| {
            let why = format!("it is believed by a weak key, for the time being: {why}");
            notice(KeyState::Weak, why)
        });
        [lapsing, weak].into_iter().flatten().collect::<Vec<_>>()
    });
    notices.collect()
}

/// Returns what there is to say about keys, and warns of it.
pub(super) fn tell(
    spool: &Spool,
    keys: &SigningKeys,
    suites: &[Spec],
    now: Timestamp,
    listener: &dyn Listener,
) -> Vec<KeyNotice> {
    let horizon = Horizon::new(suites, now);
    let mut notices = own_keys(keys, horizon);
    notices.extend(keys_of_archives(spool, horizon));
    for notice in &notices {
        listener.warn_of(notice.to_string(), notice.clone());
    }
    notices
}
