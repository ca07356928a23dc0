//! The fields that put a package on machines without anybody asking for it, or keep it there.
//!
//! Order, bans and pins decide which archive owns a name. A name that no archive has yet belongs to the first that brings it, and with a
//! few fields that is enough: apt's dist-upgrade installs each package that is `Essential`, debootstrap each of the priorities `required`
//! and `important`, and neither apt nor dpkg removes one that is `Important` or `Protected` without being forced to. So the report of each
//! published suite records which packages claim this, from whatever archive, and the run that brings a new one says so.
//! `may-be-essential = false` takes these fields out of an archive's stanzas; the rest of each is published as it is.
//!
//! All fields of these names are taken out of the stanza, because programs differ in which of two fields they obey. Their values are read
//! generously: a word that apt does not know counts as yes.

use std::collections::BTreeSet;
use std::ops::Range;

use crate::deb822::{Field, Stanza, eq_name, trim};
use crate::suite_report::{Claimed, MAX_UNASKED, SuiteReport, Unasked};

use super::faults::Told;

/// The claims of a stanza.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Claims(u8);

impl Claims {
    /// Adds the claim of a field, if it is one.
    pub(super) fn add(&mut self, field: &Field<'_>) {
        if let Some(claim) = claim(field).filter(|_| says_yes(field)) {
            self.0 |= 1 << claim as u8;
        }
    }

    /// Returns the claims one by one.
    pub(super) fn iter(self) -> impl Iterator<Item = Unasked> {
        let all = [Unasked::Essential, Unasked::Protected, Unasked::Priority];
        all.into_iter()
            .filter(move |claim| self.0 & (1 << *claim as u8) != 0)
    }
}

/// Returns the claim that a field is about, whatever its value.
fn claim(field: &Field<'_>) -> Option<Unasked> {
    let known = match field.name.first().map(u8::to_ascii_lowercase) {
        Some(b'e') => &[("Essential", Unasked::Essential)][..],
        Some(b'i') => &[("Important", Unasked::Protected)],
        Some(b'p') => &[
            ("Protected", Unasked::Protected),
            ("Priority", Unasked::Priority),
        ],
        _ => &[],
    };
    let mut known = known.iter();
    let known = known.find(|(name, _)| eq_name(field.name, name));
    known.map(|(_, claim)| *claim)
}

fn says_yes(field: &Field<'_>) -> bool {
    let value = trim(field.value);
    let is = |word: &&str| value.eq_ignore_ascii_case(word.as_bytes());
    match claim(field) {
        Some(Unasked::Priority) => ["required", "important"].iter().any(is),
        _ => !["", "no", "false", "without", "off", "disable", "0"]
            .iter()
            .any(is),
    }
}

/// Returns the parts of a stanza that stay if it may not claim anything: all but the lines of such fields.
pub(super) fn without_claims(raw: &[u8]) -> Vec<Range<usize>> {
    let fields = Stanza { raw, offset: 0 }.fields().map_while(Result::ok);
    let mut kept: Vec<Range<usize>> = Vec::new();
    let mut start = 0;
    let mut stays = true;
    for field in fields {
        let line = memchr::memrchr(b'\n', &raw[..field.value_offset]).map_or(0, |n| n + 1);
        if stays && line > start {
            kept.push(start..line);
        }
        start = line;
        stays = match claim(&field) {
            None => true,
            Some(Unasked::Priority) => !says_yes(&field),
            Some(_) => false,
        };
    }
    match kept.last_mut() {
        _ if stays => kept.push(start..raw.len()),
        // The stanza ends as before, without an empty line of its own.
        Some(last) if raw[..last.end].ends_with(b"\n") => last.end -= 1,
        _ => {}
    }
    kept
}

/// Returns messages on packages that are published unasked now and were not before; nothing if there is no record of the earlier ones.
pub(crate) fn news(before: Option<&SuiteReport>, after: &SuiteReport) -> Vec<String> {
    let before = before.and_then(|report| report.unasked.as_ref());
    let Some((before, after)) = before.zip(after.unasked.as_ref()) else {
        return Vec::new();
    };
    let claim_and_package = |claimed: &'_ Claimed| (claimed.claim, claimed.package.clone());
    let known: BTreeSet<_> = before.iter().map(claim_and_package).collect();
    // Beyond the bound there is no record, so nobody knows whether a claim is new.
    let end = before.last().filter(|_| before.len() >= MAX_UNASKED);
    let news = after
        .iter()
        .filter(|claimed| end.is_none_or(|end| *claimed < end))
        .filter(|claimed| !known.contains(&claim_and_package(claimed)));
    let mut told = Told::default();
    for Claimed {
        claim,
        package,
        archive,
    } in news
    {
        told.tell(|| {
            format!("`{package}` of {archive} is now {claim} (may-be-essential = false in [archives.{archive}] takes that out)")
        });
    }
    told.finish(|more| {
        format!("{more} further packages that are installed or kept unasked are new")
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::super::faults::MAX_TOLD;
    use super::*;

    fn claims(raw: &str) -> Vec<Unasked> {
        let mut claims = Claims::default();
        let stanza = Stanza {
            raw: raw.as_bytes(),
            offset: 0,
        };
        stanza
            .fields()
            .flatten()
            .for_each(|field| claims.add(&field));
        claims.iter().collect()
    }

    #[test]
    fn what_is_taken_out_leaves_the_rest_as_it_stands() {
        for (raw, rest, said) in [
            (
                "Package: a\nEssential: yes\nVersion: 1",
                "Package: a\nVersion: 1",
                vec![Unasked::Essential],
            ),
            (
                "essential:\n yes\nPackage: a\nPRIORITY: Required\nProtected: no",
                "Package: a",
                vec![Unasked::Essential, Unasked::Priority],
            ),
            (
                "Package: a\nImportant: yes\nEssential: no\nEssential: 1",
                "Package: a",
                vec![Unasked::Essential, Unasked::Protected],
            ),
            (
                "Package: a\nPriority: optional\nBuild-Essential: yes\nX: y\n z",
                "Package: a\nPriority: optional\nBuild-Essential: yes\nX: y\n z",
                vec![],
            ),
        ] {
            let kept = without_claims(raw.as_bytes());
            let kept: String = kept.into_iter().map(|range| &raw[range]).collect();
            assert_eq!(kept, rest);
            assert_eq!(claims(raw), said, "{raw}");
            assert!(claims(&kept).is_empty());
        }
    }

    #[test]
    fn only_what_is_new_is_told_and_not_without_end() {
        let report = |names: &[&str]| {
            let claimed = names.iter().map(|n| Claimed {
                claim: Unasked::Essential,
                package: (*n).to_owned(),
                archive: "main".to_owned(),
            });
            SuiteReport {
                unasked: Some(claimed.collect()),
                ..SuiteReport::default()
            }
        };
        let after = report(&["a", "b", "c", "d", "e", "f", "g"]);
        assert_eq!(news(Some(&after), &after).len(), 0);
        assert_eq!(news(None, &after).len(), 0);
        assert_eq!(news(Some(&SuiteReport::default()), &after).len(), 0);
        assert_eq!(news(Some(&report(&["a"])), &after).len(), MAX_TOLD + 1);
        let told = news(Some(&report(&["a", "b", "c", "d", "e", "f"])), &after);
        assert_eq!(told.len(), 1);
        assert!(told[0].contains("`g` of main"), "{told:?}");
    }
}
