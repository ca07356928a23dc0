//! The age of a Release, judged by its own Valid-Until and by the archive's `max-age`.

use jiff::Timestamp;

use crate::deb822::Release;
use crate::units::{TimeSpan, later};

use super::FetchError;
use super::settings::Source;

/// Returns why a Release is too old, by its own Valid-Until or by the archive's `max-age`.
pub(super) fn fault(
    source: &Source,
    uri: String,
    release: &Release,
    now: Timestamp,
) -> Option<FetchError> {
    let expired = release.valid_until.filter(|until| *until < now);
    if let Some(until) = expired.filter(|_| source.check_valid_until) {
        let until = until.to_string();
        return Some(FetchError::Expired { uri, until });
    }
    let unknown = release.unknown_expiry.as_ref();
    if let Some(source) = unknown.filter(|_| source.check_valid_until).cloned() {
        return Some(FetchError::UnknownExpiry { uri, source });
    }
    let date = release.date;
    let is_passed = |age: &TimeSpan| later(date, age.duration()) < now;
    source
        .max_age
        .filter(is_passed)
        .map(|max_age| FetchError::Stale {
            uri,
            date: date.to_string(),
            max_age: max_age.to_string(),
        })
}
