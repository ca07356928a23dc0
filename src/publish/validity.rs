//! The Valid-Until of a merged suite: never later than those of the archives that it is made from.
//!
//! Why a freeze upstream reaches clients: a client of ours cannot see how old an archive's own Release is. If each run dated the same
//! content anew, an archive that was frozen, by a mirror or by its end, would look fresh for ever. So the Valid-Until of an
//! archive bounds ours, whether or not `publish.valid-for` is set. The bound moves forward when the archive's Valid-Until does: then the
//! suite is signed anew once half of its time is over.
//!
//! Why an archive's short Valid-Until stops no client while the archive is there: a Release counts for at least two days
//! from when we first fetched it, which the input sees to. An archive that signs for ten minutes at a time gives our clients two days with each Release.
//! Archives that sign for days (Debian's for seven) are not affected.
//!
//! After the bound the suite is not signed any more: every client would refuse a Valid-Until before the Date, and a later one
//! would hide the freeze. The suite stays as it is published, which clients refuse by then, and each run says so, beginning a day
//! before. To publish what an archive left behind, set `inherit-valid-until = false` for it; an archive with
//! `check-valid-until = false` bounds nothing either. The `max-age` of an archive without Valid-Until is for the operator: the run warns
//! of an older Release, and `max-age` bounds nothing.

use std::time::Duration;

use jiff::Timestamp;

use crate::error::Result;
use crate::merge::Input;
use crate::spec::{Content, Spec};
use crate::units::later;

use super::error::{Ending, PublishError};

/// The time before the bound from which runs warn.
const TOLD_BEFORE: Duration = Duration::from_secs(24 * 3600);

/// The archive whose Release ends first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Bound {
    archive: String,
    upstream: String,
    until: Timestamp,
}

impl Bound {
    /// Returns the bound of a suite; none where no archive of it has a Valid-Until that counts.
    pub(super) fn new(content: &Content, inputs: &[Box<dyn Input + '_>]) -> Option<Bound> {
        let inputs = content.inputs.iter().zip(inputs);
        let inputs = inputs.filter(|(settings, _)| settings.bounds_validity);
        let bounds = inputs.filter_map(|(settings, input)| {
            Some(Bound {
                archive: settings.archive.to_string(),
                upstream: settings.suite.to_string(),
                until: input.facts().valid_until?,
            })
        });
        bounds.min_by_key(|bound| bound.until)
    }

    /// Returns whether the bound has passed, so that nothing can be signed any more.
    pub(super) fn is_over(&self, now: Timestamp) -> bool {
        self.until <= now
    }

    /// Returns whether a recorded Valid-Until is later than the bound.
    pub(super) fn is_before(&self, recorded: Option<i64>) -> bool {
        recorded.is_none_or(|until| self.until.as_second() < until)
    }

    /// Returns a warning for the operator if clients refuse the suite or soon will.
    pub(super) fn warning(&self, suite: &str, now: Timestamp) -> Option<Ending> {
        (later(now, TOLD_BEFORE) >= self.until).then(|| Ending {
            suite: suite.to_owned(),
            upstream: self.upstream.clone(),
            archive: self.archive.clone(),
            until: self.until,
            is_over: self.is_over(now),
        })
    }
}

/// Returns the Valid-Until for a Release that is signed now.
pub(super) fn until(
    spec: &Spec,
    bound: Option<&Bound>,
    now: Timestamp,
) -> Result<Option<Timestamp>> {
    if let Some(bound) = bound.filter(|bound| bound.is_over(now)) {
        return Err(PublishError::Lapsed {
            suite: spec.name.to_string(),
            upstream: bound.upstream.clone(),
            archive: bound.archive.clone(),
            until: bound.until,
        }
        .into());
    }
    let own = spec
        .release
        .valid_for
        .map(|span| later(now, span.duration()));
    Ok(own.into_iter().chain(bound.map(|bound| bound.until)).min())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn a_bound_is_told_a_day_before_and_ends() {
        let at = |text: &str| text.parse::<Timestamp>().unwrap();
        let bound = Bound {
            archive: "main".into(),
            upstream: "bookworm".into(),
            until: at("2026-03-10T00:00:00Z"),
        };
        assert_eq!(bound.warning("daedalus", at("2026-03-08T23:59:59Z")), None);
        let soon = bound.warning("daedalus", at("2026-03-09T00:00:00Z"));
        assert!(soon.unwrap().to_string().contains("from then on"));
        let over = bound.warning("daedalus", bound.until);
        assert!(over.unwrap().to_string().contains("not signed any more"));
        assert!(bound.is_before(None));
        assert!(!bound.is_before(Some(bound.until.as_second())));
    }
}
