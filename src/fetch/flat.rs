//! The copy of a flat archive as an input: indices of one component and of single architectures, read from files that hold all of them.
//!
//! The spool keeps a file as its archive has it, by the digest that the Release signs. What an architecture needs of `Packages` is cut out
//! whenever it is read, after the bytes were compared with that digest. The other stanzas become empty lines, so that messages name
//! the line that the archive's file has. The index of an architecture has a digest that follows from the file's, so a suite is made anew
//! whenever the file changes.

use std::collections::BTreeSet;
use std::io::{self, BufRead, BufReader, Read};
use std::ops::Range;

use sha2::{Digest, Sha256};

use crate::deb822::{Stanza, Stanzas, eq_name};
use crate::indices::flat;
use crate::merge::{IndexFacts, InputFacts, Offers};
use crate::names::Component;
use crate::spec::{Content, InputSpec};

use super::copy::SuiteCopy;

/// The most architectures of one archive that are recorded; Debian knows some seventy.
const MAX_ARCHITECTURES: usize = 200;

/// Returns what a merge asks of the copy of a flat archive: the facts that hold for every suite, with the indices of this one.
pub(super) fn facts(
    facts: &InputFacts,
    copy: &SuiteCopy,
    (content, input, component): (&Content, &InputSpec, &Component),
) -> InputFacts {
    let files = copy.indices.keys().map(String::as_str);
    let names = flat::indices(content, input, component, files);
    let indices = names.into_iter().filter_map(|name| {
        let stored = copy.indices.get(&flat::file(&name))?;
        let digest = Sha256::new()
            .chain_update(b"flat\0")
            .chain_update(stored.sha256.as_str())
            .chain_update(name.to_string());
        let facts = IndexFacts {
            sha256: digest.finalize().into(),
            size: stored.size,
        };
        Some((name, facts))
    });
    InputFacts {
        indices: indices.collect(),
        offers: Offers {
            components: [component.to_string()].into(),
            architectures: copy.architectures.clone(),
        },
        ..facts.clone()
    }
}

/// Leaves in a text only the packages of an architecture and, as in every index of an architecture, those for all.
pub(super) fn keep_architecture(text: &mut Vec<u8>, architecture: &str) {
    let own = [architecture.as_bytes(), b"all"];
    let is_kept = |stanza: Stanza<'_>| {
        let mut fields = stanza.fields();
        let mut named = fields.by_ref().map_while(Result::ok);
        let mut has_other = false;
        while let Some(field) = named.find(|field| eq_name(field.name, "Architecture")) {
            if own.contains(&field.value) {
                return true;
            }
            has_other = true;
        }
        // The merge says what is wrong with a stanza that has none.
        !has_other
    };
    let dropped: Vec<Range<usize>> = Stanzas::new(text)
        .filter(|stanza| !is_kept(*stanza))
        .map(|stanza| stanza.offset..stanza.offset + stanza.raw.len())
        .collect();
    // The part that is kept moves to the front of the text that it came from.
    let (mut written, mut read) = (0, 0);
    for range in dropped {
        let lines = memchr::memchr_iter(b'\n', &text[range.clone()]).count();
        let kept = range.start - read;
        text.copy_within(read..range.start, written);
        written += kept;
        text[written..written + lines].fill(b'\n');
        written += lines;
        read = range.end;
    }
    text.copy_within(read.., written);
    text.truncate(written + text.len() - read);
    text.shrink_to_fit();
}

/// Returns the architectures that a Packages has stanzas of.
pub(super) fn architectures(packages: impl Read) -> io::Result<BTreeSet<String>> {
    let mut found = BTreeSet::new();
    let mut reader = BufReader::with_capacity(128 << 10, packages);
    let mut line = Vec::new();
    loop {
        line.clear();
        if reader.read_until(b'\n', &mut line)? == 0 {
            return Ok(found);
        }
        let Some(colon) = memchr::memchr(b':', &line) else {
            continue;
        };
        if eq_name(&line[..colon], "Architecture") && found.len() < MAX_ARCHITECTURES {
            let value = String::from_utf8_lossy(line[colon + 1..].trim_ascii()).into_owned();
            found.insert(value);
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use proptest::prelude::*;

    fn kept(text: &str, architecture: &str) -> String {
        let mut text = text.as_bytes().to_vec();
        keep_architecture(&mut text, architecture);
        String::from_utf8(text).unwrap()
    }

    #[test]
    fn other_architectures_become_empty_lines() {
        let text = "\nPackage: a\nArchitecture: amd64\n\nPackage: b\narchitecture: arm64\nX: y\n\n\nPackage: c\nArchitecture: all\n\nPackage: d\n\nPackage: e\nArchitecture: arm64";
        assert_eq!(
            kept(text, "amd64"),
            "\nPackage: a\nArchitecture: amd64\n\n\n\n\n\n\nPackage: c\nArchitecture: all\n\nPackage: d\n\n\n"
        );
        assert_eq!(kept("", "amd64"), "");
        assert_eq!(
            kept("Package: b\nArchitecture: arm64\n\n", "amd64"),
            "\n\n\n"
        );
        let found = architectures(text.as_bytes()).unwrap();
        assert_eq!(
            found.into_iter().collect::<Vec<_>>(),
            ["all", "amd64", "arm64"]
        );
    }

    proptest! {
        #[test]
        fn kept_stanzas_stay_as_they_are_and_where_they_are(
            of in proptest::collection::vec(("[a-z]{1,3}", 0..4_usize, 1..3_usize), 0..8)
        ) {
            let architectures = ["amd64", "arm64", "all", "i386"];
            let stanza = |(name, architecture, _): &(String, usize, usize)| {
                format!("Package: {name}\nArchitecture: {}\n", architectures[*architecture])
            };
            let text: String = of.iter().map(|one| stanza(one) + &"\n".repeat(one.2)).collect();
            let left = kept(&text, "amd64");
            let at = |text: &str, stanza: Stanza<'_>| text[..stanza.offset].matches('\n').count();
            let whole: Vec<_> = Stanzas::new(text.as_bytes()).zip(&of)
                .filter(|(_, one)| matches!(one.1, 0 | 2))
                .map(|(stanza, _)| (at(&text, stanza), stanza.raw.to_vec()))
                .collect();
            let found: Vec<_> = Stanzas::new(left.as_bytes())
                .map(|stanza| (at(&left, stanza), stanza.raw.to_vec()))
                .collect();
            prop_assert_eq!(found, whole);
        }

        #[test]
        fn no_text_makes_it_panic(mut text in any::<Vec<u8>>()) {
            keep_architecture(&mut text, "amd64");
        }
    }
}
