//! Decides whether a copy in the spool is what its archive signed.
//!
//! Why no record of the spool makes a run publish what no archive signed: the run trusts no record merely because it is there. Whenever a
//! copy is loaded, for a run as for `publish`, `merge`, `explain` and a dry run,
//!
//! - its signatures are verified over the text of its Release, by the archive's present keyring; a run takes the verdict of an earlier
//!   one on these very bytes as long as nothing can have changed it ([`crate::verdicts`] says why nobody else can write one);
//! - each index that the copy names is one that this Release lists, with the same length and SHA-256. The object's bytes are hashed when
//!   they are read. Where the Release lists a SHA-512 alone, the bytes are hashed when the copy is loaded;
//! - an object is named by 64 hex digits ([`ObjectName`]), so no object's name is a path.
//!
//! A record that fails by itself is damaged, and counts as none. A record that fails because of the keyring (the key was removed, or
//! revoked) is kept, since what was published from it stays; but nothing new is made of it.
//!
//! A key or a signature that was good when the copy was fetched and has expired since still proves what it signed. The time of the
//! fetch comes from the record alone; whoever forges it gains only another text that the archive signed once.
//!
//! One thing is taken from the record: the digest of the plain text where a Release lists only packed forms of an index.

use std::sync::Arc;
use std::time::SystemTime;

use base64::prelude::{BASE64_STANDARD, Engine as _};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::deb822::Release;
use crate::openpgp::{self, Keyring, Verified};
use crate::verdicts::{Subject, Verdicts};

use super::copy::{StoredIndex, SuiteCopy, forms};

/// The keyring of an archive, or why there is none.
pub(super) type ArchiveKeyring = Result<Keyring, Arc<openpgp::Error>>;

/// The keys whose signatures prove a copy today.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Vouchers {
    /// The fingerprints of the certificates.
    pub(crate) certificates: Vec<String>,
    /// The time when the last of the keys lapses; `None` if one of them never does.
    pub(crate) lapses: Option<Timestamp>,
    /// The fault of the keys, if they count only by an exception for weak ones.
    pub(crate) weakness: Option<String>,
}

impl From<Verified> for Vouchers {
    fn from(verified: Verified) -> Self {
        let lapses = verified.lapses;
        Self {
            certificates: verified.signers,
            weakness: verified.weakness,
            lapses: lapses.and_then(|time| Timestamp::try_from(time).ok()),
        }
    }
}

/// The degree to which a copy that is not damaged is proven.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Proof {
    /// The signatures are good today.
    Today(Vouchers),
    /// The signatures were good when the copy was fetched; a key or a signature has expired since.
    WhenFetched,
    /// The signatures prove nothing by the present keyring; the text says why.
    None(String),
}

/// Checks a copy against its own signatures; an error says why the copy is damaged.
pub(super) fn prove(
    copy: &SuiteCopy,
    keyring: &ArchiveKeyring,
    verdicts: &Verdicts,
    now: Timestamp,
) -> Result<Proof, String> {
    let release = copy.parse_release().map_err(|why| why.to_string())?;
    for (path, stored) in &copy.indices {
        if !lists(&release, path, stored) {
            let path = crate::quoted::quoted(path);
            return Err(format!("its Release does not list `{path}` as it has it"));
        }
    }
    prove_signature(copy, keyring, verdicts, now)
}

/// Checks the text of a copy against its signatures; an error says why the copy is damaged.
pub(super) fn prove_signature(
    copy: &SuiteCopy,
    keyring: &ArchiveKeyring,
    verdicts: &Verdicts,
    now: Timestamp,
) -> Result<Proof, String> {
    let signature = BASE64_STANDARD.decode(&copy.signature).unwrap_or_default();
    if signature.is_empty() {
        return Err("it holds no signature".to_owned());
    }
    let keyring = match keyring {
        Ok(keyring) => keyring,
        Err(error) => return Ok(Proof::None(crate::error::chain(error.as_ref()))),
    };
    let subject = Subject::new("copy").and(&keyring.digest());
    let subject = subject.and(&[u8::from(copy.inline)]).and(&signature);
    let subject = subject.and(copy.release.as_bytes());
    if let Some(vouchers) = verdicts.get(&subject, now) {
        return Ok(Proof::Today(vouchers));
    }
    let verify = |time: Timestamp| {
        let body = copy.release.as_bytes();
        keyring.verify_again(body, &signature, copy.inline, SystemTime::from(time))
    };
    let today = match verify(now) {
        Ok(verified) => {
            let until = verified.holds_until;
            let vouchers = Vouchers::from(verified);
            verdicts.keep(&subject, now, until, &vouchers);
            return Ok(Proof::Today(vouchers));
        }
        Err(error) if error.is_damage() => return Err(crate::error::chain(&error)),
        Err(error) => error,
    };
    let fetched = Timestamp::from_second(copy.fetched).unwrap_or(now).min(now);
    match verify(fetched) {
        Ok(_) => Ok(Proof::WhenFetched),
        Err(_) => Ok(Proof::None(crate::error::chain(&today))),
    }
}

/// Returns whether a Release lists an index with the length and the digest that the spool has.
fn lists(release: &Release, path: &str, stored: &StoredIndex) -> bool {
    match release.entries.get(path) {
        Some(plain) => {
            let has_digest = |sha256| stored.sha256.is_of(sha256);
            plain.size == stored.size && plain.sha256.is_none_or(has_digest)
        }
        None => !forms(release, path).is_empty(),
    }
}
