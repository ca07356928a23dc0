//! Quantities as an operator writes them: `7 days`, `64 MiB`, `20%`.

use std::fmt;
use std::marker::PhantomData;
use std::str::FromStr;
use std::time::Duration;

use jiff::Timestamp;
use serde::de::{SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Returns the time that is later by so much, or the last time that there is.
pub(crate) fn later(time: Timestamp, by: Duration) -> Timestamp {
    time.checked_add(by).unwrap_or(Timestamp::MAX)
}

/// The reason why a quantity cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{value}` is not {what}")]
pub struct InvalidQuantity {
    value: String,
    what: &'static str,
}

impl InvalidQuantity {
    fn new(value: &str, what: &'static str) -> Self {
        let value = value.to_owned();
        Self { value, what }
    }
}

/// Reads a quantity: digits, then a word for the unit, with blanks between them allowed.
fn parse(value: &str, units: &[(&[&str], u64)]) -> Option<u64> {
    let value = value.trim();
    let end = value.find(|c: char| !c.is_ascii_digit());
    let (digits, unit) = value.split_at(end.unwrap_or(value.len()));
    let is_named = |names: &[&str]| names.contains(&unit.trim());
    let (_, factor) = units.iter().find(|(names, _)| is_named(names))?;
    digits.parse::<u64>().ok()?.checked_mul(*factor)
}

/// Reads a quantity from a text of the configuration.
struct Text<T>(&'static str, PhantomData<T>);

impl<T: FromStr<Err = InvalidQuantity>> Visitor<'_> for Text<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, in quotes", self.0)
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<T, E> {
        text.parse().map_err(E::custom)
    }
}

/// Makes a quantity readable and writable by serde, as a text.
macro_rules! as_text {
    ($quantity:ident) => {
        impl<'de> Deserialize<'de> for $quantity {
            fn deserialize<D: Deserializer<'de>>(input: D) -> Result<Self, D::Error> {
                input.deserialize_any(Text(Self::WHAT, PhantomData))
            }
        }

        impl Serialize for $quantity {
            fn serialize<S: Serializer>(&self, output: S) -> Result<S::Ok, S::Error> {
                output.collect_str(self)
            }
        }
    };
}

as_text!(TimeSpan);
as_text!(ByteSize);
as_text!(Percent);

/// A span of time, whole seconds; written with a unit: `90 seconds`, `36 hours`, `7 days`, `2 weeks`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct TimeSpan(u64);

impl TimeSpan {
    const WHAT: &str = "a time span, such as `30 seconds`, `36 hours` or `7 days`";

    /// Returns a span of so many seconds.
    pub const fn from_seconds(seconds: u64) -> Self {
        Self(seconds)
    }

    /// Returns the length in seconds.
    pub const fn seconds(self) -> u64 {
        self.0
    }

    /// Returns the span as the standard library's type.
    pub(crate) const fn duration(self) -> Duration {
        Duration::from_secs(self.0)
    }
}

impl FromStr for TimeSpan {
    type Err = InvalidQuantity;

    fn from_str(value: &str) -> Result<Self, InvalidQuantity> {
        let seconds = parse(
            value,
            &[
                (&["s", "sec", "second", "seconds"], 1),
                (&["m", "min", "minute", "minutes"], 60),
                (&["h", "hour", "hours"], 3600),
                (&["d", "day", "days"], 86_400),
                (&["w", "week", "weeks"], 604_800),
            ],
        );
        seconds
            .filter(|s| *s <= 100 * 366 * 86_400)
            .map(Self)
            .ok_or_else(|| InvalidQuantity::new(value, Self::WHAT))
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
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct ByteSize(u64);

impl ByteSize {
    const WHAT: &str = "a size, such as `64 KiB` or `8 GiB`";

    /// Returns a size of so many bytes.
    pub(crate) const fn from_bytes(bytes: u64) -> Self {
        Self(bytes)
    }

    /// Returns the number of bytes.
    pub(crate) const fn bytes(self) -> u64 {
        self.0
    }
}

impl FromStr for ByteSize {
    type Err = InvalidQuantity;

    fn from_str(value: &str) -> Result<Self, InvalidQuantity> {
        let bytes = parse(
            value,
            &[
                (&["", "B"], 1),
                (&["KiB", "K"], 1 << 10),
                (&["MiB", "M"], 1 << 20),
                (&["GiB", "G"], 1 << 30),
                (&["KB", "kB"], 1_000),
                (&["MB"], 1_000_000),
                (&["GB"], 1_000_000_000),
            ],
        );
        bytes
            .map(Self)
            .ok_or_else(|| InvalidQuantity::new(value, Self::WHAT))
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
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Percent(u8);

impl Percent {
    const WHAT: &str = "a share from `0%` to `100%`";

    /// Returns a share of so many per cent.
    ///
    /// Values over 100 are taken as 100.
    pub const fn new(percent: u8) -> Self {
        Self(if percent > 100 { 100 } else { percent })
    }

    /// Returns whether `after` is smaller than `before` by more than this share of `before`.
    pub(crate) fn is_exceeded_by_shrinking(self, before: u64, after: u64) -> bool {
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
            .ok_or_else(|| InvalidQuantity::new(value, Self::WHAT))
    }
}

impl fmt::Display for Percent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}%", self.0)
    }
}

/// Reads one path or name, or a list of them.
pub(crate) fn one_or_many<'de, D, T>(input: D) -> Result<Vec<T>, D::Error>
where
    D: Deserializer<'de>,
    T: From<String>,
{
    struct OneOrMany;

    impl<'de> Visitor<'de> for OneOrMany {
        type Value = Vec<String>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a text in quotes, or a list of texts")
        }

        fn visit_str<E>(self, one: &str) -> Result<Vec<String>, E> {
            Ok(vec![one.to_owned()])
        }

        fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Vec<String>, A::Error> {
            let mut texts = Vec::new();
            while let Some(text) = items.next_element()? {
                texts.push(text);
            }
            Ok(texts)
        }
    }

    let texts = input.deserialize_any(OneOrMany)?;
    Ok(texts.into_iter().map(T::from).collect())
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
            let span = text.parse::<TimeSpan>().unwrap();
            assert_eq!(span.seconds(), seconds);
            assert_eq!(span.to_string().parse::<TimeSpan>().unwrap(), span);
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
            assert!(bad.parse::<TimeSpan>().is_err(), "{bad}");
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
            let size = text.parse::<ByteSize>().unwrap();
            assert_eq!(size.bytes(), bytes);
            assert_eq!(size.to_string().parse::<ByteSize>().unwrap(), size);
        }
        assert!("many".parse::<ByteSize>().is_err());
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
