//! Dates of Release files: every form that apt reads, with the meaning that it has for apt, and no other.
//!
//! apt takes the forms of HTTP (RFC 9110, section 5.6.7) in UTC, and is lax about the rest: a weekday only has to begin like one, a month is
//! known by some of its letters, and is January otherwise; the 31st of February is in March. A date that apt cannot read it takes as none:
//! so do we, since two readers of one date must not disagree on which of two Releases is newer. A test holds the reader here
//! against the apt that is installed.

use jiff::civil::Date;
use jiff::{SignedDuration, Timestamp};

/// The years that a date may have.
const YEARS: std::ops::RangeInclusive<i32> = 0..=9999;

/// Reads a date as apt does.
pub fn parse_date(text: &str) -> Option<Timestamp> {
    let mut words = Words(text);
    let weekday = words.word()?;
    let is_weekday = |start: &str| {
        let known = ["sun", "mon", "tue", "wed", "thu", "fri", "sat"];
        known.iter().any(|day| day.eq_ignore_ascii_case(start))
    };
    is_weekday(weekday.get(..3)?).then_some(())?;
    let date = match (weekday.len(), weekday.ends_with(',')) {
        // `Sat, 09 May 2026 10:21:35 UTC`
        (4, true) => {
            let (day, month, year) = (words.number()?, words.word()?, words.number()?);
            let time = words.word()?;
            is_utc(words.word()?).then_some(())?;
            (year, month, day, time)
        }
        // `Sat May  9 10:21:35 2026`
        (3, _) => {
            let (month, day, time) = (words.word()?, words.number()?, words.word()?);
            (words.number()?, month, day, time)
        }
        // `Saturday, 09-May-26 10:21:35 UTC`, always of the last century.
        (5.., true) => {
            let date = words.word()?;
            let parts = date.strip_suffix('-').unwrap_or(date).split('-');
            let [day, month, year] = parts.collect::<Vec<_>>().try_into().ok()?;
            let time = words.word()?;
            is_utc(words.word()?).then_some(())?;
            (whole(year)?.checked_add(1900)?, month, whole(day)?, time)
        }
        _ => return None,
    };
    words.is_at_end().then_some(())?;
    let (year, month, day, time) = date;
    at(year, month_of(month), day, time)
}

/// Writes a date in the form of Release files, `Sat, 09 May 2026 10:21:35 UTC`.
pub(crate) fn format_date(date: Timestamp) -> String {
    date.strftime("%a, %d %b %Y %H:%M:%S UTC").to_string()
}

/// Words and numbers of a text, from its start.
struct Words<'a>(&'a str);

impl<'a> Words<'a> {
    /// Takes what stands before the next blank.
    fn word(&mut self) -> Option<&'a str> {
        let text = self.0.trim_ascii_start();
        let end = text.find(|c: char| c.is_ascii_whitespace());
        let (word, rest) = text.split_at(end.unwrap_or(text.len()));
        self.0 = rest;
        (!word.is_empty()).then_some(word)
    }

    /// Takes a number, whatever stands behind it.
    fn number(&mut self) -> Option<i32> {
        let text = self.0.trim_ascii_start();
        let sign = usize::from(text.starts_with(['+', '-']));
        let digits = text[sign..].bytes().take_while(u8::is_ascii_digit).count();
        let (number, rest) = text.split_at(sign + digits);
        self.0 = rest;
        number.parse().ok()
    }

    fn is_at_end(&self) -> bool {
        self.0.is_empty()
    }
}

/// Reads a word that is a number as a whole.
fn whole(word: &str) -> Option<i32> {
    word.parse().ok()
}

/// Returns whether a zone is that of UTC, by name or as a number.
fn is_utc(zone: &str) -> bool {
    matches!(zone, "UTC" | "GMT" | "Z") || whole(zone) == Some(0)
}

/// Returns the month that apt takes a word for, from 1.
fn month_of(word: &str) -> i8 {
    let letter = |n: usize| word.as_bytes().get(n).map_or(0, u8::to_ascii_lowercase);
    match (letter(0), letter(1), letter(2)) {
        (b'f', ..) => 2,
        (b'm', _, b'r') => 3,
        (b'a', b'p', _) => 4,
        (b'm', ..) => 5,
        (b'j', b'a', _) => 1,
        (b'j', _, b'n') => 6,
        (b'j', ..) => 7,
        (b'a', ..) => 8,
        (b's', ..) => 9,
        (b'o', ..) => 10,
        (b'n', ..) => 11,
        (b'd', ..) => 12,
        _ => 1,
    }
}

/// Returns a point in time; a day that its month does not have is one of the next month.
fn at(year: i32, month: i8, day: i32, time: &str) -> Option<Timestamp> {
    let year = Some(year).filter(|year| YEARS.contains(year))?;
    let day = Some(day).filter(|day| (1..=31).contains(day))?;
    let first = Date::new(i16::try_from(year).ok()?, month, 1).ok()?;
    let first = first.to_zoned(jiff::tz::TimeZone::UTC).ok()?.timestamp();
    let days = SignedDuration::from_hours(24 * i64::from(day - 1));
    first.checked_add(days + time_of_day(time)?).ok()
}

/// Reads `10:21:35`, whatever stands behind it; a minute may have leap seconds.
fn time_of_day(text: &str) -> Option<SignedDuration> {
    let (hours, rest) = digits(text, 23)?;
    let (minutes, rest) = digits(rest.strip_prefix(':')?, 59)?;
    let (seconds, _) = digits(rest.strip_prefix(':')?, 61)?;
    Some(SignedDuration::from_secs(
        (hours * 60 + minutes) * 60 + seconds,
    ))
}

/// Takes a number of one digit, or of two if no number that begins so is too large, as strptime(3) does.
fn digits(text: &str, largest: i64) -> Option<(i64, &str)> {
    let digit = |n: usize| {
        let byte = text.as_bytes().get(n).filter(|byte| byte.is_ascii_digit());
        byte.map(|byte| i64::from(byte - b'0'))
    };
    let tens = digit(0)?;
    match digit(1).filter(|_| tens * 10 <= largest) {
        Some(ones) => Some((tens * 10 + ones, &text[2..])).filter(|(n, _)| *n <= largest),
        None => Some((tens, &text[1..])),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn forms_that_apt_reads() {
        for (text, time) in [
            ("Sat, 09 May 2026 10:21:35 UTC", "2026-05-09T10:21:35Z"),
            ("Sat, 9 May 2026 10:21:35 GMT", "2026-05-09T10:21:35Z"),
            ("sat,\t9 MAY 2026 10:21:35 -0000", "2026-05-09T10:21:35Z"),
            ("Mon, 09 May 2026 10:21:35.5 Z", "2026-05-09T10:21:35Z"),
            ("Sat May  9 10:21:35 2026", "2026-05-09T10:21:35Z"),
            ("Saturday, 09-May-26 10:21:35 UTC", "1926-05-09T10:21:35Z"),
            ("Sat, 31 Feb 2026 1:2:3 +0", "2026-03-03T01:02:03Z"),
            ("Sat, 09 Dezember 2026 10:59:60 UTC", "2026-12-09T11:00:00Z"),
            ("Sat, 09 05 2026 10:21:35 UTC", "2026-01-09T10:21:35Z"),
        ] {
            let read = parse_date(text).map(|date| date.to_string());
            assert_eq!(read.as_deref(), Some(time), "{text}");
        }
        let date = parse_date("Sat, 09 May 2026 10:21:35 UTC").unwrap();
        assert_eq!(format_date(date), "Sat, 09 May 2026 10:21:35 UTC");
    }

    #[test]
    fn forms_that_apt_does_not_read() {
        for text in [
            "",
            "yesterday",
            "2026-05-09T10:21:35Z",
            "Sat, 09 May 2026 10:21:35 -0800",
            "Sat, 09 May 2026 10:21:35 utc",
            "Sat, 09 May 2026 10:21:35",
            "Sat, 09 May 2026 10:21 UTC",
            "Sat, 09 May 2026 10:21:35 UTC x",
            "09 May 2026 10:21:35 UTC",
            "Sat,09 May 2026 10:21:35 UTC",
            "Sonnabend 09-May-26 10:21:35 UTC",
            "Sat, 32 May 2026 10:21:35 UTC",
            "Sat, 09 May 20260 10:21:35 UTC",
            "Sat, 09 May 2026 24:21:35 UTC",
            "S\u{e4}t, 09 May 2026 10:21:35 UTC",
            "\u{e4}\u{e4}\u{e4}, 09 May 2026 10:21:35 UTC",
        ] {
            assert_eq!(parse_date(text), None, "{text}");
        }
    }
}
