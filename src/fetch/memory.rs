//! The memory that a suite's indices will take up in the merge, and its bound.
//!
//! Small stanzas pack so well that a megabyte of them fills gigabytes. So the cost of a suite's new state is estimated before the run uses
//! it: from the lengths that its Release signs, before anything is fetched, and from the number of stanzas, before the spool moves on. A
//! suite that costs more than `fetch.max-memory` is refused and stays at its last good copy. Each archive has a bound of its own, so none
//! can take memory that another needs.
//!
//! The merge has the indices of a few architectures in memory at once, so only the largest of them count.

use std::collections::BTreeMap;
use std::io::{self, Read};

use crate::indices::IndexName;
use crate::merge::groups_in_flight;
use crate::spec::Family;

/// The memory that a stanza takes up in a merge besides its text: measured at 2.6 kB with stanzas of 80 bytes.
const STANZA_BYTES: u64 = 3 << 10;

/// The cost of a suite's indices, by the groups that are in memory at once.
#[derive(Debug, Default)]
pub(super) struct Estimate {
    groups: BTreeMap<String, u64>,
    /// The cost of the indices that are read beside each group of packages.
    all: u64,
}

impl Estimate {
    /// Adds an index.
    pub(super) fn add(&mut self, name: &IndexName, bytes: u64, stanzas: u64) {
        let cost = bytes.saturating_add(stanzas.saturating_mul(STANZA_BYTES));
        let is_binary = matches!(name.family(), Family::Packages | Family::Installer);
        if is_binary && name.architecture() == "all" {
            self.all = self.all.saturating_add(cost);
        } else if !name.is_stream() {
            let group = self.groups.entry(name.group()).or_default();
            *group = group.saturating_add(cost);
        }
    }

    /// Returns roughly how many bytes of memory the indices take up.
    pub(super) fn bytes(&self) -> u64 {
        let mut costs: Vec<u64> = self.groups.values().copied().collect();
        costs.sort_unstable_by(|a, b| b.cmp(a));
        let largest = costs.iter().take(groups_in_flight());
        largest.fold(self.all, |sum, cost| {
            sum.saturating_add(*cost).saturating_add(self.all)
        })
    }
}

/// Returns whether the number of an index's stanzas decides how much memory the index takes up.
pub(super) fn has_stanzas(name: &IndexName) -> bool {
    matches!(
        name.family(),
        Family::Packages | Family::Installer | Family::Sources | Family::Commands | Family::Dep11
    )
}

/// The number of parts of a Components file, or of stanzas of Commands, that take up as much as one stanza of Packages.
const PARTS_OF_A_STANZA: u64 = 16;

/// Counts the stanzas of an index, or the parts that take up as much memory.
pub(super) fn count(name: &IndexName, text: impl Read) -> io::Result<u64> {
    match name.family() {
        Family::Dep11 => {
            // A backslash can hide a name.
            let parts = count_words(text, &["---", "url", "\\"])?;
            Ok(parts.div_ceil(PARTS_OF_A_STANZA))
        }
        // A stanza of Commands that is kept has three fields.
        Family::Commands => Ok(count_words(text, &[":"])?.div_ceil(3 * PARTS_OF_A_STANZA)),
        _ => count_stanzas(text),
    }
}

/// Counts the occurrences of words of three bytes at most: each document, address of media or field needs one of them.
fn count_words(mut text: impl Read, words: &[&str]) -> io::Result<u64> {
    let mut buffer = vec![0; 128 << 10];
    let (mut count, mut kept) = (0, 0);
    loop {
        let read = match text.read(&mut buffer[kept..]) {
            Ok(0) => return Ok(count),
            Ok(read) => read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        let end = kept + read;
        for word in words {
            // A word that lies whole in the kept part was counted with the last buffer.
            let from = kept.saturating_sub(word.len() - 1);
            count += memchr::memmem::find_iter(&buffer[from..end], word).count() as u64;
        }
        // A word that the end of the buffer cuts in two is found with the next piece.
        kept = end.min(2);
        buffer.copy_within(end - kept..end, 0);
    }
}

/// Counts the stanzas of a text.
fn count_stanzas(mut text: impl Read) -> io::Result<u64> {
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

    /// A reader that returns one byte at a time.
    struct Drip<'a>(&'a [u8]);

    impl Read for Drip<'_> {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            let count = self.0.len().min(1);
            buffer[..count].copy_from_slice(&self.0[..count]);
            self.0 = &self.0[count..];
            Ok(count)
        }
    }

    #[test]
    fn parts_are_counted_wherever_the_text_is_cut() {
        let text = b"---\nFile: DEP-11\n---\nIcon: [{url: a}, {\"u\\x72l\": b}]\n";
        let words = ["---", "url", "\\"];
        assert_eq!(count_words(&text[..], &words).unwrap(), 4);
        assert_eq!(count_words(Drip(text), &words).unwrap(), 4);
    }

    /// Debian's sid has 68,000 packages in main, in ten architectures, and 60 MB each.
    #[test]
    fn the_largest_suites_fit() {
        let mut sid = Estimate::default();
        for architecture in 0..10 {
            let path = format!("main/binary-a{architecture}/Packages");
            let name = IndexName::parse(&path).unwrap();
            sid.add(&name, 60 << 20, 68_000);
        }
        let sources = IndexName::parse("main/source/Sources").unwrap();
        sid.add(&sources, 55 << 20, 38_000);
        assert!(sid.bytes() < crate::fetch::Settings::default().max_memory.bytes() * 3 / 4);
    }
}
