//! Which part of a file answers a request, if any: the preconditions and ranges of HTTP (RFC 9110, sections 13 and 14).
//! Pure functions over headers.
//!
//! The crates that serve files answer otherwise. tower-http 0.7 passes over If-Range, which apt resumes with; it gives 416 to a range in
//! another unit and 206 to HEAD, and panics at a file of the year 1969. For `headers` 0.4, a later date in If-Range is the same file.

use std::{ops::RangeInclusive, str::FromStr, time::SystemTime};

use axum::http::{
    HeaderMap, Method,
    header::{
        HeaderName, IF_MATCH, IF_MODIFIED_SINCE, IF_NONE_MATCH, IF_RANGE, IF_UNMODIFIED_SINCE,
        RANGE,
    },
};
use http_range_header::parse_range_header;
use httpdate::HttpDate;

/// The last moment that an HTTP date can name, 9999-12-31T23:59:59Z, in seconds since 1970.
const LAST_DATE: u64 = 253_402_300_799;

/// The values by which a client tells one state of a file from another.
#[derive(Debug, Clone)]
pub(super) struct Validators {
    /// The strong ETag, with its quotation marks. It is made of size and mtime but not of the inode, so that a file and its copy
    /// in another tree are the same to a client; a published file that changes always gets a later mtime.
    pub(super) etag: String,
    /// `None` if HTTP has no way to write the file's mtime.
    pub(super) modified: Option<HttpDate>,
}

impl Validators {
    /// Returns the validators of a file of `size` bytes.
    pub(super) fn new(size: u64, modified: Option<SystemTime>) -> Validators {
        let since = modified.and_then(|time| time.duration_since(SystemTime::UNIX_EPOCH).ok());
        let date = since.filter(|since| since.as_secs() <= LAST_DATE);
        Validators {
            etag: format!("\"{:x}-{size:x}\"", since.unwrap_or_default().as_nanos()),
            modified: date.map(|since| HttpDate::from(SystemTime::UNIX_EPOCH + since)),
        }
    }
}

/// The answer that a request for a file gets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Verdict {
    /// 200
    Whole,
    /// 206 with these bytes
    Part(RangeInclusive<u64>),
    /// 304
    NotModified,
    /// 412
    PreconditionFailed,
    /// 416
    Unsatisfiable,
}

/// Weighs the conditions of a GET or HEAD in the order that RFC 9110, section 13.2.2, gives.
pub(super) fn judge(method: &Method, headers: &HeaderMap, is: &Validators, size: u64) -> Verdict {
    if headers.contains_key(IF_MATCH) {
        if !lists_etag(headers, IF_MATCH, |etag| etag == is.etag) {
            return Verdict::PreconditionFailed;
        }
    } else if let (Some(since), Some(modified)) = (date(headers, IF_UNMODIFIED_SINCE), is.modified)
        && modified > since
    {
        return Verdict::PreconditionFailed;
    }
    if headers.contains_key(IF_NONE_MATCH) {
        let weak = |etag: &str| etag.strip_prefix("W/").unwrap_or(etag) == is.etag;
        if lists_etag(headers, IF_NONE_MATCH, weak) {
            return Verdict::NotModified;
        }
    } else if let (Some(since), Some(modified)) = (date(headers, IF_MODIFIED_SINCE), is.modified)
        && modified <= since
    {
        return Verdict::NotModified;
    }
    // Ranges are defined for GET alone, section 14.2.
    match single(headers, RANGE) {
        Some(range) if method == Method::GET && range_holds(headers, is) => range_of(range, size),
        _ => Verdict::Whole,
    }
}

/// Returns whether `If-Range` lets the client have a range, section 13.1.5. apt sends its partial file's date there.
fn range_holds(headers: &HeaderMap, is: &Validators) -> bool {
    if !headers.contains_key(IF_RANGE) {
        return true;
    }
    match single(headers, IF_RANGE) {
        Some(etag) if etag.starts_with('"') => etag == is.etag,
        // The dates must be equal: another date, even a later one, means another file.
        Some(date) => HttpDate::from_str(date)
            .ok()
            .is_some_and(|date| is.modified == Some(date)),
        None => false,
    }
}

/// Reads one range of bytes, section 14.1.2. A header that is malformed, has another unit, or has several ranges is ignored,
/// as section 14.2 allows; apt asks for one range.
fn range_of(text: &str, size: u64) -> Verdict {
    match parse_range_header(text) {
        Ok(ranges) if ranges.len() == 1 => {
            let range = ranges.validate(size).ok().and_then(|mut valid| valid.pop());
            range.map_or(Verdict::Unsatisfiable, Verdict::Part)
        }
        _ => Verdict::Whole,
    }
}

/// Returns the value of a header that is there once.
fn single(headers: &HeaderMap, name: HeaderName) -> Option<&str> {
    let mut values = headers.get_all(name).iter();
    let value = values.next()?.to_str().ok()?.trim();
    values.next().is_none().then_some(value)
}

fn date(headers: &HeaderMap, name: HeaderName) -> Option<HttpDate> {
    HttpDate::from_str(single(headers, name)?).ok()
}

fn lists_etag(headers: &HeaderMap, name: HeaderName, is: impl Fn(&str) -> bool) -> bool {
    let values = headers.get_all(name).iter();
    values
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .map(str::trim)
        .any(|etag| etag == "*" || is(etag))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::time::Duration;

    use super::*;

    const DATE: &str = "Sun, 09 Sep 2001 01:46:40 GMT";
    const EARLIER: &str = "Sun, 09 Sep 2001 01:46:39 GMT";
    const LATER: &str = "Sun, 09 Sep 2001 01:46:41 GMT";

    /// Returns a file of ten bytes, changed 1,000,000,000.5 s after 1970.
    fn file() -> Validators {
        let modified = SystemTime::UNIX_EPOCH + Duration::from_millis(1_000_000_000_500);
        Validators::new(10, Some(modified))
    }

    fn verdict(headers: &[(&'static str, &str)]) -> Verdict {
        verdict_of(Method::GET, headers)
    }

    fn verdict_of(method: Method, headers: &[(&'static str, &str)]) -> Verdict {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(*name, value.parse().unwrap());
        }
        judge(&method, &map, &file(), 10)
    }

    #[test]
    fn ranges() {
        for (range, expected) in [
            ("bytes=0-0", Verdict::Part(0..=0)),
            ("Bytes=0-0", Verdict::Part(0..=0)),
            ("bytes=3-", Verdict::Part(3..=9)),
            ("bytes=3-5", Verdict::Part(3..=5)),
            ("bytes=3-99", Verdict::Part(3..=9)),
            ("bytes=9-99999999999999999999999", Verdict::Part(9..=9)),
            ("bytes=-4", Verdict::Part(6..=9)),
            ("bytes=-99", Verdict::Part(0..=9)),
            ("bytes=10-", Verdict::Unsatisfiable),
            ("bytes=10-12", Verdict::Unsatisfiable),
            ("bytes=99999999999999999999999-", Verdict::Unsatisfiable),
            ("bytes=-0", Verdict::Unsatisfiable),
            ("bytes=5-3", Verdict::Whole),
            ("bytes=-", Verdict::Whole),
            ("bytes=", Verdict::Whole),
            ("bytes=+1-3", Verdict::Whole),
            ("bytes=1-3,5-6", Verdict::Whole),
            ("lines=1-3", Verdict::Whole),
        ] {
            assert_eq!(verdict(&[("range", range)]), expected, "{range}");
        }
        assert_eq!(
            verdict_of(Method::HEAD, &[("range", "bytes=3-")]),
            Verdict::Whole
        );
        assert_eq!(range_of("bytes=0-", 0), Verdict::Unsatisfiable);
        assert_eq!(range_of("bytes=-5", 0), Verdict::Unsatisfiable);
    }

    #[test]
    fn a_range_depends_on_if_range() {
        let part = |condition: &str| verdict(&[("range", "bytes=3-"), ("if-range", condition)]);
        let etag = file().etag;
        assert_eq!(part(DATE), Verdict::Part(3..=9));
        assert_eq!(part(&etag), Verdict::Part(3..=9));
        for other in [
            EARLIER,
            LATER,
            "\"other\"",
            &format!("W/{etag}"),
            "yesterday",
            "",
        ] {
            assert_eq!(part(other), Verdict::Whole, "{other}");
        }
    }

    #[test]
    fn dates_are_compared_by_the_second() {
        assert_eq!(
            verdict(&[("if-modified-since", DATE)]),
            Verdict::NotModified
        );
        assert_eq!(
            verdict(&[("if-modified-since", LATER)]),
            Verdict::NotModified
        );
        assert_eq!(verdict(&[("if-modified-since", EARLIER)]), Verdict::Whole);
        assert_eq!(
            verdict(&[("if-modified-since", "yesterday")]),
            Verdict::Whole
        );
        assert_eq!(verdict(&[("if-unmodified-since", DATE)]), Verdict::Whole);
        assert_eq!(
            verdict(&[("if-unmodified-since", EARLIER)]),
            Verdict::PreconditionFailed
        );
    }

    #[test]
    fn etags_come_before_dates() {
        let etag = file().etag;
        let weak = format!("\"x\", W/{etag}");
        assert_eq!(verdict(&[("if-none-match", &etag)]), Verdict::NotModified);
        assert_eq!(verdict(&[("if-none-match", &weak)]), Verdict::NotModified);
        assert_eq!(verdict(&[("if-none-match", "*")]), Verdict::NotModified);
        let changed = [("if-none-match", "\"x\""), ("if-modified-since", DATE)];
        assert_eq!(verdict(&changed), Verdict::Whole);
        assert_eq!(verdict(&[("if-match", &etag)]), Verdict::Whole);
        assert_eq!(verdict(&[("if-match", &weak)]), Verdict::PreconditionFailed);
        assert_eq!(
            verdict(&[("if-match", "\"x\"")]),
            Verdict::PreconditionFailed
        );
    }

    #[test]
    fn not_modified_wins_over_a_range() {
        let both = [("range", "bytes=99-"), ("if-modified-since", DATE)];
        assert_eq!(verdict(&both), Verdict::NotModified);
    }

    #[test]
    fn dates_that_http_cannot_write_are_left_out() {
        let ancient = SystemTime::UNIX_EPOCH - Duration::from_secs(1);
        let remote = SystemTime::UNIX_EPOCH + Duration::from_secs(LAST_DATE + 1);
        for time in [None, Some(ancient), Some(remote)] {
            assert!(Validators::new(1, time).modified.is_none());
        }
        let last = SystemTime::UNIX_EPOCH + Duration::from_secs(LAST_DATE);
        let last = Validators::new(1, Some(last))
            .modified
            .map(|date| date.to_string());
        assert_eq!(last.as_deref(), Some("Fri, 31 Dec 9999 23:59:59 GMT"));
    }
}
