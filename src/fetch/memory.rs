//! The memory that the indices of a suite will take up when they are merged, and its bound.
//!
//! Small stanzas pack so well that a megabyte of them fills gigabytes. So before a suite's new state is taken up, its cost is estimated:
//! from the lengths that its Release signs before anything is fetched, and from the stanzas that there are before the spool moves
//! on. What costs more than `fetch.max-memory` is refused, and the suite stays at its last good copy. As each archive is held
//! against a bound of its own, none can take from another what that one needs.
//!
//! The merge has the indices of a few architectures in memory at once, so the largest of them count, and not all.

use std::collections::BTreeMap;
use std::io::{self, Read};

use crate::config::Family;
use crate::indices::IndexName;
use crate::merge::groups_in_flight;

/// What a stanza takes up besides its text while it is merged: measured at 2.6 kB with stanzas of 80 bytes.
const STANZA_BYTES: u64 = 3 << 10;

/// The bytes and stanzas of the indices of a suite, by what is in memory at once.
#[derive(Debug, Default)]
pub(super) struct Estimate {
    groups: BTreeMap<String, u64>,
    /// What is read beside each group of packages.
    all: u64,
}

impl Estimate {
    /// Adds an index.
    pub(super) fn add(&mut self, name: &IndexName, bytes: u64, stanzas: u64) {
        let cost = bytes.saturating_add(stanzas.saturating_mul(STANZA_BYTES));
        let is_binary = matches!(name.family(), Family::Packages | Family::Installer);
        if is_binary && name.architecture() == "all" {
            self.all = self.all.saturating_add(cost);
        } else if is_held(name) {
            let group = self.groups.entry(name.group()).or_default();
            *group = group.saturating_add(cost);
        }
    }

    /// How many bytes of memory that comes to, roughly.
    pub(super) fn bytes(&self) -> u64 {
        let mut costs: Vec<u64> = self.groups.values().copied().collect();
        costs.sort_unstable_by(|a, b| b.cmp(a));
        let largest = costs.iter().take(groups_in_flight());
        largest.fold(self.all, |sum, cost| {
            sum.saturating_add(*cost).saturating_add(self.all)
        })
    }
}

/// Whether an index is held in memory as a whole.
fn is_held(name: &IndexName) -> bool {
    !name.is_stream() && name.family() != Family::Contents
}

/// Whether what an index takes up follows from its stanzas.
pub(super) fn has_stanzas(name: &IndexName) -> bool {
    matches!(
        name.family(),
        Family::Packages | Family::Installer | Family::Sources
    )
}

/// Counts the stanzas of a text.
pub(super) fn count_stanzas(mut text: impl Read) -> io::Result<u64> {
    let mut buffer = vec![0; 128 << 10];
    let (mut stanzas, mut newlines) = (0, 2);
    loop {
        let read = match text.read(&mut buffer) {
            Ok(0) => return Ok(stanzas),
            Ok(read) => read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        let mut rest = &buffer[..read];
        while let Some(first) = rest.first() {
            if *first == b'\n' {
                newlines += 1;
                rest = &rest[1..];
                continue;
            }
            stanzas += u64::from(newlines >= 2);
            newlines = 0;
            let line = memchr::memchr(b'\n', rest).unwrap_or(rest.len());
            rest = &rest[line..];
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn stanzas_are_counted_as_the_scanner_finds_them() {
        for (text, count) in [
            ("", 0),
            ("\n\n", 0),
            ("a: b", 1),
            ("a: b\nc: d\n", 1),
            ("\n\na: b\n\n\n\nc: d\n\n", 2),
        ] {
            assert_eq!(count_stanzas(text.as_bytes()).unwrap(), count, "{text:?}");
            assert_eq!(
                crate::deb822::Stanzas::new(text.as_bytes()).count() as u64,
                count
            );
        }
    }

    /// Debian's sid has 68,000 packages in main, in ten architectures, and 60 MB each.
    #[test]
    fn the_largest_suites_fit() {
        let mut sid = Estimate::default();
        for architecture in 0..10 {
            let path = format!("main/binary-a{architecture}/Packages");
            let name = IndexName::parse_packages(&path).unwrap();
            sid.add(&name, 60 << 20, 68_000);
        }
        let sources = IndexName::parse_packages("main/source/Sources").unwrap();
        sid.add(&sources, 55 << 20, 38_000);
        assert!(sid.bytes() < crate::config::Fetch::default().max_memory.bytes() * 3 / 4);
    }
}
