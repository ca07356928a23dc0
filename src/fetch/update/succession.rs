//! Decides whether a Release may follow the one of the copy.
//!
//! No mirror leads back to an older state of an archive: the Date of a Release is signed, and none is taken whose Date is older than that
//! of the copy. Where an archive gives no Date, the time of the signature stands for it (`may-be-undated`): it is signed as well, no mirror
//! can change it, and an archive that signs anew has made something new.
//!
//! A Date has whole seconds, so an archive that publishes after every upload may give one Date to two Releases, and which of them is newer does
//! not stand in the Dates. By default the second one is refused, and taken with the next Date. `may-repeat-date` lets it in:
//!
//! - if it was signed later than the copy. No mirror can make an old Release such a one;
//! - if it was signed in the same second, and is none of those that were replaced since the Date has stood: their digests are recorded.
//!
//! So a malicious mirror gains at most that another state of this very second is taken for the newest, one that this machine never had; it
//! could as well have withheld the newer one. What a server says of the time of a file (`Last-Modified`) is not signed and decides nothing.

use sha2::{Digest, Sha256};

use crate::deb822::{Release, identity};
use crate::fetch::FetchError;
use crate::fetch::copy::SuiteCopy;
use crate::quoted::quoted;
use crate::uri::Uri;

use super::SuiteFetch;

/// The most Releases of one Date that are remembered.
const MAX_REPLACED: usize = 1000;

/// A verified Release that is about to follow another one.
pub(super) struct Successor<'a> {
    pub(super) release: &'a Release,
    pub(super) body: &'a [u8],
    /// The time of its signature, in seconds since 1970.
    pub(super) signed: i64,
}

impl SuiteFetch<'_> {
    /// Refuses a rollback, a second Release of one Date, and an archive that turns into another one. Returns the digests of the Releases of
    /// its Date that the new one replaces.
    pub(super) fn check_against_old(
        &self,
        base: &Uri,
        new: &Successor<'_>,
    ) -> Result<Vec<String>, FetchError> {
        let uri = base.to_string();
        let release = new.release;
        if let Some(seen) = self.last_published.filter(|seen| release.date < *seen) {
            return Err(FetchError::Rollback {
                uri,
                date: release.date.to_string(),
                seen: seen.to_string(),
            });
        }
        let Some(old) = self.old else {
            return Ok(Vec::new());
        };
        let before = old.parse_release().map_err(|source| FetchError::Release {
            uri: uri.clone(),
            source,
        })?;
        if release.date < before.date {
            return Err(FetchError::Rollback {
                uri,
                date: release.date.to_string(),
                seen: before.date.to_string(),
            });
        }
        let replaced = match release.date == before.date {
            true => self.check_same_date(&uri, new, old)?,
            false => Vec::new(),
        };
        if self.options.allow_identity_change {
            return Ok(replaced);
        }
        match identity::change(|field| before.field(field), |field| release.field(field)) {
            Some(change) => Err(FetchError::Identity {
                uri,
                field: change.field,
                from: quoted(&change.from),
                to: quoted(&change.to),
            }),
            None => Ok(replaced),
        }
    }

    /// Refuses another Release of the Date of the copy, unless the archive may have one and it is not known to be older.
    fn check_same_date(
        &self,
        uri: &str,
        new: &Successor<'_>,
        old: &SuiteCopy,
    ) -> Result<Vec<String>, FetchError> {
        let mut replaced = old.replaced.clone();
        if new.body == old.release.as_bytes() {
            return Ok(replaced);
        }
        let (uri, date) = (uri.to_owned(), new.release.date.to_string());
        let digest = |body: &[u8]| hex::encode(Sha256::digest(body));
        let is_signed_later = old.signed.is_some_and(|signed| signed < new.signed);
        let why = if old.signed.is_some_and(|signed| new.signed < signed) {
            "was signed before"
        } else if !is_signed_later && replaced.contains(&digest(new.body)) {
            "was replaced by"
        } else if self.source.may_repeat_date {
            self.listener.info(format!(
                "{uri}: the Release of {date} is another one than that of the same Date seen before; it is taken, since may-repeat-date = true for archive `{}`",
                self.name
            ));
            replaced.push(digest(old.release.as_bytes()));
            let surplus = replaced.len().saturating_sub(MAX_REPLACED);
            replaced.drain(..surplus);
            return Ok(replaced);
        } else {
            return Err(FetchError::SameDate {
                uri,
                archive: self.name.to_string(),
                date,
            });
        };
        Err(FetchError::Replayed { uri, date, why })
    }
}
