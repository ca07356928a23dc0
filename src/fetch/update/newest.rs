//! The newest Release of a suite that was seen with a good signature, whether or not its indices could be fetched.
//!
//! Why no mirror hides that an archive has something newer: a Release that was verified once is remembered, within a run and, in the copy's
//! record, from run to run. If the state that is taken is older, the run reports that with both Dates and URIs, and ends as one that kept
//! a copy. All URIs are asked, and the newest state of them is taken; it never replaces a newer copy.
//!
//! A state that is older than what was seen and newer than the copy is still taken: the copy is older still, and otherwise a mirror that
//! shows a new Release and withholds its indices could keep a fleet at the copy for as long as it likes.

use jiff::Timestamp;

use crate::deb822::Release;
use crate::fetch::FetchError;
use crate::fetch::copy::{Seen, SuiteCopy, seconds};
use crate::uri::Uri;

use super::SuiteFetch;

/// The result of asking the URIs of an archive.
pub(crate) struct Found {
    /// The new copy; `None` where the copy in the spool is as good.
    pub(crate) copy: Option<SuiteCopy>,
    /// The reason why the result is not the newest state that was seen.
    pub(crate) behind: Option<FetchError>,
}

fn in_words(seconds: i64) -> String {
    Timestamp::from_second(seconds)
        .map(|date| date.to_string())
        .unwrap_or_default()
}

/// Returns the Date of a copy's Release.
fn date_of(copy: &SuiteCopy) -> Option<i64> {
    copy.parse_release().ok().map(|r| seconds(r.date))
}

impl SuiteFetch<'_> {
    /// Remembers a verified Release, unless a newer one was seen before.
    pub(super) fn note(&self, uri: &Uri, release: &Release) {
        let date = seconds(release.date);
        let mut newest = self.newest();
        if newest.as_ref().is_none_or(|seen| seen.date < date) {
            let uri = uri.to_string();
            *newest = Some(Seen { date, uri });
        }
    }

    fn newest(&self) -> std::sync::MutexGuard<'_, Option<Seen>> {
        let newest = self.newest.lock();
        newest.unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// Returns the Date that a URI gave: that of its copy, or of the one in the spool.
    pub(super) fn date(&self, copy: Option<&SuiteCopy>) -> Option<i64> {
        date_of(copy.or(self.old)?)
    }

    /// Wraps the best copy that could be fetched, and says whether a newer Release was seen.
    pub(super) fn found(
        &self,
        copy: Option<SuiteCopy>,
        failures: Vec<(String, FetchError)>,
    ) -> Found {
        let behind = self
            .to_remember(copy.as_ref())
            .map(|seen| FetchError::Behind {
                uri: copy
                    .as_ref()
                    .or(self.old)
                    .map(|copy| copy.uri.clone())
                    .unwrap_or_default(),
                date: in_words(self.date(copy.as_ref()).unwrap_or_default()),
                newer_uri: seen.uri,
                newer: in_words(seen.date),
                failures,
            });
        Found { copy, behind }
    }

    /// Returns the Release to be remembered beside a copy: none if the copy is the newest itself.
    pub(super) fn to_remember(&self, copy: Option<&SuiteCopy>) -> Option<Seen> {
        let date = self.date(copy);
        self.newest()
            .clone()
            .filter(|seen| date.is_some_and(|date| date < seen.date))
    }
}
