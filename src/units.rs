//! Quantities as an operator writes them: `7 days`, `64 MiB`, `20%`.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// The reason why a quantity cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{value}` is not {what}")]
pub struct InvalidQuantity {
    value: String,
    what: &'static str,
}

/// A span of time, whole seconds; written with a unit: `90 seconds`, `36 hours`, `7 days`, `2 weeks`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct TimeSpan(u64);

impl TimeSpan {
    /// Returns a span of so many seconds.
    pub const fn from_seconds(seconds: u64) -> Self {
        Self(seconds)
    }

    /// Returns the length in seconds.
    pub const fn seconds(self) -> u64 {
        self.0
    }

    /// Returns the span as the standard library's type.
    pub const fn duration(self) -> Duration {
        Duration::from_secs(self.0)
    }
}

/// Splits a quantity into number and unit: the digits in front, the word behind, blanks between them allowed.
fn split_unit(value: &str) -> Option<(u64, &str)> {
    let value = value.trim();
    let end = value
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(value.len());
    let (digits, unit) = value.split_at(end);
    Some((digits.parse().ok()?, unit.trim()))
}

impl TryFrom<String> for TimeSpan {
    type Error = InvalidQuantity;
    fn try_from(value: String) -> Result<Self, InvalidQuantity> {
        let seconds = split_unit(&value).and_then(|(number, unit)| {
            let factor: u64 = match unit {
                "s" | "sec" | "second" | "seconds" => 1,
                "m" | "min" | "minute" | "minutes" => 60,
                "h" | "hour" | "hours" => 3600,
                "d" | "day" | "days" => 86_400,
                "w" | "week" | "weeks" => 604_800,
                _ => return None,
            };
            number
                .checked_mul(factor)
                .filter(|s| *s <= 100 * 366 * 86_400)
        });
        seconds.map(Self).ok_or(InvalidQuantity {
            value,
            what: "a time span, such as `30 seconds`, `36 hours` or `7 days`",
        })
    }
}

impl From<TimeSpan> for String {
    fn from(span: TimeSpan) -> String {
        span.to_string()
    }
}

impl fmt::Display for TimeSpan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (number, unit) = match self.0 {
            s if s > 0 && s.is_multiple_of(86_400) => (s / 86_400, "day"),
            s if s > 0 && s.is_multiple_of(3600) => (s / 3600, "hour"),
            s if s > 0 && s.is_multiple_of(60) => (s / 60, "minute"),
            s => (s, "second"),
        };
        write!(f, "{number} {unit}{}", if number == 1 { "" } else { "s" })
    }
}

/// A number of bytes: `4096`, `64 KiB`, `8 GiB`; `KB`, `MB`, `GB` are powers of ten.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ByteSize(u64);

impl ByteSize {
    /// Returns a size of so many bytes.
    pub const fn from_bytes(bytes: u64) -> Self {
        Self(bytes)
    }

    /// Returns the number of bytes.
    pub const fn bytes(self) -> u64 {
        self.0
    }
}

impl TryFrom<String> for ByteSize {
    type Error = InvalidQuantity;
    fn try_from(value: String) -> Result<Self, InvalidQuantity> {
        let bytes = split_unit(&value).and_then(|(number, unit)| {
            let factor: u64 = match unit {
                "" | "B" => 1,
                "KiB" | "K" => 1 << 10,
                "MiB" | "M" => 1 << 20,
                "GiB" | "G" => 1 << 30,
                "KB" | "kB" => 1_000,
                "MB" => 1_000_000,
                "GB" => 1_000_000_000,
                _ => return None,
            };
            number.checked_mul(factor)
        });
        bytes.map(Self).ok_or(InvalidQuantity {
            value,
            what: "a size, such as `64 KiB` or `8 GiB`",
        })
    }
}

impl From<ByteSize> for String {
    fn from(size: ByteSize) -> String {
        size.to_string()
    }
}

impl fmt::Display for ByteSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            b if b > 0 && b.is_multiple_of(1 << 30) => write!(f, "{} GiB", b >> 30),
            b if b > 0 && b.is_multiple_of(1 << 20) => write!(f, "{} MiB", b >> 20),
            b if b > 0 && b.is_multiple_of(1 << 10) => write!(f, "{} KiB", b >> 10),
            b => write!(f, "{b} B"),
        }
    }
}

/// A share of a whole, `0%` to `100%`, whole per cents.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Percent(u8);

impl Percent {
    /// Returns a share of so many per cent.
    ///
    /// Values over 100 are taken as 100.
    pub const fn new(percent: u8) -> Self {
        Self(if percent > 100 { 100 } else { percent })
    }

    /// Returns whether `after` is smaller than `before` by more than this share of `before`.
    pub fn is_exceeded_by_shrinking(self, before: u64, after: u64) -> bool {
        let lost = before.saturating_sub(after);
        u128::from(lost) * 100 > u128::from(before) * u128::from(self.0)
    }
}

impl FromStr for Percent {
    type Err = InvalidQuantity;
    fn from_str(value: &str) -> Result<Self, InvalidQuantity> {
        value
            .strip_suffix('%')
            .and_then(|digits| digits.trim().parse::<u8>().ok())
            .filter(|p| *p <= 100)
            .map(Self)
            .ok_or_else(|| InvalidQuantity {
                value: value.to_owned(),
                what: "a share from `0%` to `100%`",
            })
    }
}

impl TryFrom<String> for Percent {
    type Error = InvalidQuantity;
    fn try_from(value: String) -> Result<Self, InvalidQuantity> {
        value.parse()
    }
}

impl From<Percent> for String {
    fn from(percent: Percent) -> String {
        percent.to_string()
    }
}

impl fmt::Display for Percent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}%", self.0)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn spans_round_trip() {
        for (text, seconds) in [
            ("7 days", 604_800),
            ("36 hours", 129_600),
            ("90s", 90),
            ("2 weeks", 1_209_600),
        ] {
            let span = TimeSpan::try_from(text.to_owned()).unwrap();
            assert_eq!(span.seconds(), seconds);
            assert_eq!(TimeSpan::try_from(span.to_string()).unwrap(), span);
        }
        for bad in [
            "7",
            "days",
            "-1 day",
            "1.5 hours",
            "1 fortnight",
            "99999999999999999999 s",
            "200 years",
        ] {
            assert!(TimeSpan::try_from(bad.to_owned()).is_err(), "{bad}");
        }
    }

    #[test]
    fn sizes_round_trip() {
        for (text, bytes) in [
            ("4096", 4096),
            ("64 KiB", 65_536),
            ("8GiB", 8 << 30),
            ("10 MB", 10_000_000),
        ] {
            let size = ByteSize::try_from(text.to_owned()).unwrap();
            assert_eq!(size.bytes(), bytes);
            assert_eq!(ByteSize::try_from(size.to_string()).unwrap(), size);
        }
        assert!(ByteSize::try_from("many".to_owned()).is_err());
    }

    #[test]
    fn a_share_is_exceeded_only_by_more_than_itself() {
        let fifth: Percent = "20%".parse().unwrap();
        assert!(!fifth.is_exceeded_by_shrinking(100, 80));
        assert!(fifth.is_exceeded_by_shrinking(100, 79));
        assert!(!fifth.is_exceeded_by_shrinking(0, 0));
        assert!("101%".parse::<Percent>().is_err());
    }
}
