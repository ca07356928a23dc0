//! Verdicts on signatures, kept from run to run, so that a run verifies what changed, and not what another run verified a minute ago.
//!
//! A verdict is "good", and is kept under the digest of everything that it depends on besides the clock: the signed text, the
//! signatures, the bytes of the keyring, the settings that let keys count, and the versions of this program and of its OpenPGP library.
//! So whatever changes, there is no verdict on it, and it is verified. A verdict says when it was made and up to when it holds
//! (`openpgp::span`): the first expiry or other turn of any key or signature, or a day. Earlier than it was made it does not count, so a
//! clock that went back voids it. A bad signature is never kept.
//!
//! Why whoever writes to the disk cannot make a verdict: the record is sealed with a key that is derived from the private key files, which lie
//! outside of the root. Whoever can read those needs no forged record: he signs. Without the seal, anybody who can write below the root (a
//! restored backup, a service that was talked into it) could have a text published, with our signature, that no archive signed; so
//! nothing is kept where the keys are in gpg, which hands out no secret, and every run verifies all. A record that is damaged, or whose
//! seal is wrong, counts as none.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::SystemTime;

use jiff::Timestamp;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::error::Result;
use crate::openpgp::{self, Seal};
use crate::workspace::{Record, Workspace, is_damaged};

/// The digest of everything that a verdict depends on besides the clock.
#[derive(Debug, Clone)]
pub(crate) struct Subject(Sha256);

impl Subject {
    /// Begins the subject of a kind of verdict.
    pub(crate) fn new(kind: &str) -> Subject {
        let subject = Subject(Sha256::new()).and(kind.as_bytes());
        let versions = [env!("CARGO_PKG_VERSION"), openpgp::LIBRARY_VERSION];
        let versions = versions.iter();
        versions.fold(subject, |subject, version| subject.and(version.as_bytes()))
    }

    /// Adds something that the verdict depends on.
    pub(crate) fn and(self, part: &[u8]) -> Subject {
        let length = (part.len() as u64).to_be_bytes();
        Subject(self.0.chain_update(length).chain_update(part))
    }

    fn name(&self) -> String {
        hex::encode(self.0.clone().finalize())
    }
}

/// A verdict that was made once.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Verdict {
    /// The time when it was made, in seconds since 1970.
    at: i64,
    /// The time up to which it holds.
    until: i64,
    /// The things that the verdict says besides "good".
    #[serde(default, skip_serializing_if = "serde_json::Value::is_null")]
    of: serde_json::Value,
}

/// The verdicts as they are recorded.
#[derive(Debug, Serialize, Deserialize)]
struct Sealed {
    seal: String,
    verdicts: BTreeMap<String, Verdict>,
}

impl Record for Sealed {
    const FORMAT: u64 = 1;
}

/// The verdicts of one kind: those of earlier runs, and those that count in this one.
pub(crate) struct Verdicts {
    /// The name of the record, below the state directory.
    record: &'static str,
    seal: Option<Seal>,
    earlier: BTreeMap<String, Verdict>,
    used: Mutex<BTreeMap<String, Verdict>>,
}

impl Verdicts {
    /// Returns verdicts of which none is known, and none is kept.
    pub(crate) fn none() -> Verdicts {
        Verdicts {
            record: "",
            seal: None,
            earlier: BTreeMap::new(),
            used: Mutex::default(),
        }
    }

    /// Reads the verdicts of a record.
    pub(crate) fn read(
        workspace: &Workspace<'_>,
        record: &'static str,
        seal: Option<Seal>,
    ) -> Result<Verdicts> {
        let Some(seal) = seal else {
            return Ok(Verdicts::none());
        };
        let found = match workspace.read_state::<Sealed>(record) {
            Err(error) if is_damaged(&error) => None,
            found => found?,
        };
        let found = found.filter(|found| seal.is_on(&text(&found.verdicts), &found.seal));
        Ok(Verdicts {
            record,
            seal: Some(seal),
            earlier: found.map(|found| found.verdicts).unwrap_or_default(),
            used: Mutex::default(),
        })
    }

    /// Returns an earlier verdict that still holds.
    pub(crate) fn get<T: DeserializeOwned>(&self, of: &Subject, now: Timestamp) -> Option<T> {
        let name = of.name();
        let verdict = self.earlier.get(&name)?;
        let now = now.as_second();
        if now < verdict.at || now >= verdict.until {
            return None;
        }
        let found = serde_json::from_value(verdict.of.clone()).ok()?;
        self.used().insert(name, verdict.clone());
        Some(found)
    }

    /// Keeps a verdict of `now` that holds up to a time.
    pub(crate) fn keep<T: Serialize>(
        &self,
        subject: &Subject,
        now: Timestamp,
        until: SystemTime,
        of: &T,
    ) {
        let until = Timestamp::try_from(until).unwrap_or(now).as_second();
        let Ok(of) = serde_json::to_value(of) else {
            return;
        };
        let at = now.as_second();
        let verdict = Verdict { at, until, of };
        self.used().insert(subject.name(), verdict);
    }

    fn used(&self) -> std::sync::MutexGuard<'_, BTreeMap<String, Verdict>> {
        self.used.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Records the verdicts that were used or made, if they are others than before.
    pub(crate) fn write(&self, workspace: &Workspace<'_>) -> Result<()> {
        let verdicts = self.used().clone();
        let Some(seal) = self.seal.as_ref().filter(|_| verdicts != self.earlier) else {
            return Ok(());
        };
        let seal = seal.of(&text(&verdicts));
        workspace.write_state(self.record, &Sealed { seal, verdicts })
    }
}

/// Returns the text that is sealed.
fn text(verdicts: &BTreeMap<String, Verdict>) -> Vec<u8> {
    // A map of texts and numbers can always be written.
    serde_json::to_vec(verdicts).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::path::Path;
    use std::time::Duration;

    use crate::lock::{Holder, RunLock};

    use super::*;

    const RECORD: &str = "verified.json";

    fn with_workspace(root: &Path, run: impl FnOnce(&Workspace<'_>)) {
        let holder = Holder {
            command: "a test".into(),
            started: "now".into(),
        };
        let lock = RunLock::acquire(&root.join("lock"), &holder, Duration::ZERO).unwrap();
        run(&Workspace::open(&lock, root).unwrap());
    }

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    #[test]
    fn a_verdict_counts_for_what_it_was_made_of_while_it_holds_and_is_sealed() {
        let root = tempfile::tempdir().unwrap();
        let subject = |text: &str| Subject::new("a").and(text.as_bytes());
        let seal = || Some(Seal::test(1));
        with_workspace(root.path(), |workspace| {
            let read = |seal| Verdicts::read(workspace, RECORD, seal).unwrap();
            let verdicts = read(seal());
            let until = SystemTime::from(at(2000));
            verdicts.keep(&subject("text"), at(1000), until, &"good");
            verdicts.write(workspace).unwrap();
            let get = |verdicts: &Verdicts, text: &str, second| {
                verdicts.get::<String>(&subject(text), at(second))
            };
            let held = |second| get(&read(seal()), "text", second);
            assert_eq!(held(1000).as_deref(), Some("good"));
            assert_eq!(held(1999).as_deref(), Some("good"));
            // The clock went back, or the time is over.
            assert_eq!((held(999), held(2000)), (None, None));
            assert_eq!(get(&read(seal()), "other", 1000), None);
            let parts = Subject::new("a").and(b"te").and(b"xt");
            assert!(read(seal()).get::<String>(&parts, at(1000)).is_none());
            // Another secret, and none.
            assert_eq!(get(&read(Some(Seal::test(2))), "text", 1000), None);
            assert_eq!(get(&read(None), "text", 1000), None);
            // A record that somebody wrote to.
            let path = workspace.layout().state().join(RECORD);
            let text = std::fs::read(&path).unwrap();
            let forged = String::from_utf8(text.clone()).unwrap();
            let forged = forged.replace("2000", "9000");
            std::fs::write(&path, forged).unwrap();
            assert_eq!(held(1000), None);
            std::fs::write(&path, &text[..text.len() / 2]).unwrap();
            assert_eq!(held(1000), None);
            std::fs::write(&path, &text).unwrap();
            // A verdict that no run uses any more goes.
            let verdicts = read(seal());
            verdicts.write(workspace).unwrap();
            assert_eq!(held(1000), None);
        });
    }
}
