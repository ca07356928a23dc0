//! A check of published indices, read as apt reads them: is there a stanza at which every client would stop?
//!
//! The merge leaves out packages with such stanzas (`merge::readable`). This module checks once more, over the very bytes that clients fetch.
//! So a fault of the merge itself is found before the swap, and `verify` finds one in a tree that somebody else wrote. The text comes in
//! parts of any length, and at most one stanza of it is kept.

use crate::deb822::{Stanza, eq_name};
use crate::indices::IndexName;
use crate::quoted::quoted;

use super::faults::Told;
use super::readable;

/// The most bytes of a stanza that apt can read.
const MAX_READ_BYTES: usize = 1 << 20;

/// The checks for one kind of index.
#[derive(Debug, Clone, Copy)]
enum Rule {
    /// apt takes the fields of each stanza apart.
    Packages,
    /// Each stanza has an MD5 and belongs to a package.
    Translation,
    /// apt can fail only at the length of a stanza.
    Length,
}

/// An index that is being read.
#[derive(Debug, Clone)]
pub(crate) struct Reading {
    rule: Rule,
    /// The bytes of the present stanza so far, and the number of them that were searched for its end.
    part: Vec<u8>,
    searched: usize,
    /// `true` if the present stanza is already reported as too long, and is skipped.
    passes_over: bool,
    told: Told,
}

impl Reading {
    /// Begins to read an index, by the path of its plain form; returns `None` for an index of which apt reads no stanzas.
    pub(crate) fn of(path: &str) -> Option<Reading> {
        let rule = match IndexName::parse(path)? {
            IndexName::Packages(..) => Rule::Packages,
            IndexName::Translation(..) => Rule::Translation,
            // Installers read udebs in their own way.
            IndexName::Sources(_) | IndexName::Installer(..) => Rule::Length,
            _ => return None,
        };
        Some(Reading {
            rule,
            part: Vec::new(),
            searched: 0,
            passes_over: false,
            told: Told::default(),
        })
    }

    /// Reads the next part.
    pub(crate) fn update(&mut self, text: &[u8]) {
        self.part.extend_from_slice(text);
        let mut begin = 0;
        let mut from = self.searched;
        while let Some(at) = memchr::memmem::find(&self.part[from..], b"\n\n") {
            let end = from + at + 1;
            let part = std::mem::take(&mut self.part);
            self.judge(&part[begin..end]);
            self.part = part;
            (begin, from) = (end + 1, end + 1);
        }
        self.part.drain(..begin);
        if self.part.len() > MAX_READ_BYTES + 1 {
            let part = std::mem::take(&mut self.part);
            if !self.passes_over {
                self.judge(&part);
            }
            self.passes_over = true;
            self.part.extend(part.last());
        }
        self.searched = self.part.len().saturating_sub(1);
    }

    /// Returns whether nothing of the parts so far is left: the last stanza has ended, and no client would stop at any.
    pub(crate) fn is_as_new(&self) -> bool {
        self.part.is_empty() && !self.passes_over && self.told.is_empty()
    }

    /// Returns the stanzas at which a client would stop, with the reasons: the first few, and the number of the others.
    pub(crate) fn finish(mut self) -> Vec<String> {
        let rest = std::mem::take(&mut self.part);
        self.judge(&rest);
        let further = |number| format!("no client can read {number} further stanzas of it");
        self.told.finish(further)
    }

    fn judge(&mut self, stanza: &[u8]) {
        if std::mem::take(&mut self.passes_over) {
            return;
        }
        let start = stanza.iter().take_while(|b| **b == b'\n').count();
        let stanza = &stanza[start..];
        if stanza.is_empty() {
            return;
        }
        let Some(why) = self.fault(stanza) else {
            return;
        };
        self.told.tell(|| {
            let text = |field| {
                quoted(&String::from_utf8_lossy(
                    value(stanza, field).unwrap_or_default(),
                ))
            };
            format!(
                "no client can read any package with `{}` {}: {why}",
                text("Package"),
                text("Version")
            )
        });
    }

    fn fault(&self, stanza: &[u8]) -> Option<String> {
        if stanza.len() > MAX_READ_BYTES {
            return Some("the stanza is longer than the 1 MiB that apt can read".to_owned());
        }
        let nameless = || {
            value(stanza, "Package")
                .is_none_or(<[u8]>::is_empty)
                .then(|| "a stanza has no field `Package`".to_owned())
        };
        match self.rule {
            Rule::Length => None,
            Rule::Packages => readable::faulty_field(stanza).or_else(nameless),
            Rule::Translation => {
                let md5 = value(stanza, "Description-md5").unwrap_or_default();
                match crate::deb822::is_md5_length(md5) {
                    true => nameless(),
                    false => Some("an MD5 has 32 digits".to_owned()),
                }
            }
        }
    }
}

/// Returns the value of a field, even after lines that are no fields: apt reads past such lines.
fn value<'a>(stanza: &'a [u8], name: &str) -> Option<&'a [u8]> {
    let stanza = Stanza {
        raw: stanza,
        offset: 0,
    };
    let mut is_whole = true;
    for field in stanza.fields() {
        match field {
            Ok(field) if eq_name(field.name, name) => return Some(field.value),
            Ok(_) => {}
            Err(_) => is_whole = false,
        }
    }
    if is_whole {
        return None;
    }
    stanza.raw.split(|b| *b == b'\n').find_map(|line| {
        let colon = memchr::memchr(b':', line)?;
        eq_name(&line[..colon], name).then(|| line[colon + 1..].trim_ascii())
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn read(path: &str, text: &[u8], step: usize) -> Vec<String> {
        let mut reading = Reading::of(path).unwrap();
        text.chunks(step).for_each(|part| reading.update(part));
        reading.finish()
    }

    #[test]
    fn faults_are_found_whatever_the_parts_are() {
        const PACKAGES: &str = "main/binary-amd64/Packages";
        let good = "Package: good\nVersion: 1\n\n";
        let bad = "Package: bad\nVersion: 2\nDepends: a b\n\n";
        let long = format!("Package: long\nX: {}\n\n", "x".repeat(1 << 20));
        let nameless = "Version: 1\n\n";
        let text = [
            "\n\n\n",
            good,
            bad,
            "\n",
            &long,
            good,
            nameless,
            good,
            bad.trim_end(),
        ]
        .concat();
        for step in [1, 7, 4096, 1 << 18, text.len()] {
            let faults = read(PACKAGES, text.as_bytes(), step);
            assert_eq!(faults.len(), 4, "{step}: {faults:?}");
            assert!(faults[0].contains("`bad` 2") && faults[3].contains("`bad` 2"));
            assert!(faults[1].contains("1 MiB") && faults[2].contains("no field `Package`"));
        }
        let many = bad.repeat(9);
        let faults = read(PACKAGES, many.as_bytes(), 4096);
        assert!(
            faults.len() == 6 && faults[5].contains("4 further"),
            "{faults:?}"
        );
        assert!(read(PACKAGES, good.as_bytes(), 4096).is_empty());
        let sources = read("main/source/Sources", text.as_bytes(), 4096);
        assert_eq!(sources.len(), 1, "{sources:?}");
        let text = "Package: a\nDescription-md5: 0\n\nDescription-md5: \n\n";
        assert_eq!(
            read("main/i18n/Translation-en", text.as_bytes(), 9).len(),
            2
        );
        assert!(Reading::of("main/Contents-amd64").is_none());
        assert!(Reading::of("Contents-amd64").is_none());
    }
}
