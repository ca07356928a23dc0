//! Translation: the long descriptions of exactly the packages that were published.
//!
//! A stanza belongs to a package and to the MD5 of its English description, and apt takes it for every package that has both, from any
//! archive. So an archive could describe the packages of the others: it would only have to copy the MD5 from their Packages.
//!
//! - A stanza of the archive that published the package comes first. In every language but English it is the only one: nothing proves that
//!   another archive's translation says what the description says. If archives have a package of one name and one MD5 in different
//!   architectures, only the highest of them counts: to apt, both packages are one, and a lower archive could bring such a package for an
//!   architecture in which the owner has none.
//! - An English stanza of another archive is taken if the owner has none, and only if its MD5 proves it: it has nothing but `Package`,
//!   `Description-md5` and a `Description-en` that has this MD5. So a rebuilt package of the overlay, with the description of the package
//!   that it hides, keeps its description.

use std::borrow::Cow;
use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::OnceLock;

use md5::{Digest, Md5};

use crate::deb822::{Name, Stanza, Stanzas, SyntaxError, eq_name};
use crate::error::Result;
use crate::indices::IndexName;

use super::derived::{KeyOf, side_by_side, unless_unchanged};
use super::faults::Faults;
use super::input::{Part, Sink, SuiteMerge};
use super::order::{self, Place};
use super::readable::MAX_STANZA_BYTES;
use super::selection::Selected;
use super::{IndexText, Text};

/// The published packages by name and MD5, and the highest archive that each was published from.
#[derive(Default)]
struct Owners<'a> {
    numbers: HashMap<(Name<'a>, &'a [u8]), usize>,
    ranks: Vec<u16>,
}

impl<'a> Owners<'a> {
    fn new(selected: &'a Selected<'_>) -> Self {
        let mut owners = Self::default();
        for description in selected.descriptions() {
            let (name, md5, rank) = (&description.name, &description.md5, description.rank);
            let next = owners.ranks.len();
            let number = *owners.numbers.entry((Name::new(name), md5)).or_insert(next);
            if number == next {
                owners.ranks.push(rank);
            }
            owners.ranks[number] = owners.ranks[number].min(rank);
        }
        owners
    }
}

pub(super) fn merge(
    merge: &SuiteMerge<'_>,
    selected: &Selected<'_>,
    sink: &dyn Sink,
) -> Result<BTreeSet<String>> {
    let of_language = |name: &IndexName| match name {
        IndexName::Translation(_, language) => merge.spec.takes_language(language),
        _ => false,
    };
    let mut languages: BTreeMap<String, Vec<(IndexName, Vec<Part>)>> = BTreeMap::new();
    for (name, parts) in merge.optional_indices(&of_language) {
        let language = name.architecture().to_owned();
        languages.entry(language).or_default().push((name, parts));
    }
    let owners = OnceLock::new();
    side_by_side(languages, |(language, indices)| {
        let names: Vec<_> = indices.iter().map(|(name, _)| name.clone()).collect();
        let key = KeyOf::inputs(merge, &indices).descriptions(selected);
        unless_unchanged(sink, selected, &names, key, || {
            let owners = owners.get_or_init(|| Owners::new(selected));
            one_language(merge, selected, owners, sink, &language, &indices)
        })
    })
}

/// Merges a language: collects the stanzas of all inputs, by package and description, and writes them to the components that publish these.
fn one_language(
    merge: &SuiteMerge<'_>,
    selected: &Selected<'_>,
    owners: &Owners<'_>,
    sink: &dyn Sink,
    language: &str,
    indices: &[(IndexName, Vec<Part>)],
) -> Result<BTreeSet<String>> {
    let components = &merge.spec.components;
    let mut warnings = BTreeSet::new();
    let mut parts: Vec<(usize, usize, &IndexName)> = Vec::new();
    for (name, of_it) in indices {
        let number = components.iter().position(|c| name.component() == Some(c));
        let number = number.unwrap_or_default();
        parts.extend(of_it.iter().map(|(rank, part)| (*rank, number, part)));
    }
    // A higher archive is read before a lower one, in the order of the components.
    parts.sort();
    let parts = parts
        .into_iter()
        .map(|(rank, _, part)| (rank, part.clone()));
    let loaded = merge.read_all(&parts.collect::<Vec<_>>())?;
    let mut stanzas: HashMap<usize, Chosen<'_>> = HashMap::new();
    for (rank, label, data) in &loaded {
        merge.in_time()?;
        warnings.extend(SyntaxError::not_utf8(data).map(|e| format!("{label}, {e}")));
        let mut faults = Faults::new(label, data, "stanza");
        for stanza in Stanzas::new(data) {
            let described = match read(stanza) {
                Ok(described) => described,
                Err((offset, why)) => {
                    faults.left_out(offset, &why);
                    continue;
                }
            };
            let key = (described.name, described.md5);
            let Some(&number) = owners.numbers.get(&key) else {
                continue;
            };
            let is_own = owners.ranks[number] == *rank;
            let raw = stanza.without_final_newline();
            match stanzas.entry(number) {
                Entry::Occupied(mut chosen) if is_own && !chosen.get().is_own => {
                    chosen.insert(Chosen { is_own, raw });
                }
                Entry::Vacant(free) if is_own || (language == "en" && described.is_proven()) => {
                    free.insert(Chosen { is_own, raw });
                }
                _ => {}
            }
        }
        warnings.extend(faults.finish());
    }
    for (index, _) in indices {
        let mut published: Vec<_> = selected
            .descriptions()
            .filter(|d| components.get(usize::from(d.component)) == index.component())
            .filter_map(|d| {
                let number = owners.numbers.get(&(Name::new(&d.name), &d.md5[..]))?;
                Some((d, stanzas.get(number)?.raw))
            })
            .collect();
        published.sort_unstable();
        let lowest = merge.lowest();
        let mut ordered = order::of_publication(published, lowest, |(description, _)| Place {
            rank: description.rank,
            maintainer: &description.maintainer,
            source: Name::new(description.source()),
            name: Name::new(&description.name),
        });
        // Packages of several architectures share a description, and may differ in what places it.
        for part in [&mut ordered.lowest, &mut ordered.others] {
            part.dedup_by(|(b, _), (a, _)| (&a.name, &a.md5) == (&b.name, &b.md5));
        }
        let mut text = Text::default();
        ordered
            .lowest
            .iter()
            .for_each(|(_, raw)| text.push([*raw, b"\n\n"]));
        text.end_lowest();
        ordered
            .others
            .iter()
            .for_each(|(_, raw)| text.push([*raw, b"\n\n"]));
        sink.text(index, &IndexText::whole(&text))?;
    }
    Ok(warnings)
}

/// The stanza that is published for a package and an MD5.
struct Chosen<'a> {
    is_own: bool,
    raw: &'a [u8],
}

/// The parts of a stanza that the merge needs.
struct Described<'a> {
    name: Name<'a>,
    md5: &'a [u8],
    /// The English text, in a stanza that has nothing else.
    only_english: Option<&'a [u8]>,
}

impl Described<'_> {
    /// Returns whether the MD5 is that of the English text, as apt computes it: with one newline at the end.
    fn is_proven(&self) -> bool {
        self.only_english.is_some_and(|text| {
            let md5 = Md5::new().chain_update(text).chain_update(b"\n").finalize();
            self.md5 == hex::encode(md5).as_bytes()
        })
    }
}

/// Takes a stanza apart; an error has its offset in the file.
fn read(stanza: Stanza<'_>) -> Result<Described<'_>, (usize, Cow<'static, str>)> {
    let refuse = |offset, why: &'static str| Err((offset, Cow::Borrowed(why)));
    if stanza.raw.len() > MAX_STANZA_BYTES {
        return refuse(stanza.offset, "the stanza is longer than apt can read");
    }
    if let Some(at) = memchr::memchr(0, stanza.raw) {
        return refuse(stanza.offset + at, "a NUL byte");
    }
    let (mut name, mut md5, mut english) = (None, None, None);
    let mut has_more = false;
    for field in stanza.fields() {
        let field = field.map_err(|(offset, why)| (offset, Cow::Owned(why)))?;
        let slot = if eq_name(field.name, "Package") {
            &mut name
        } else if eq_name(field.name, "Description-md5") {
            &mut md5
        } else if eq_name(field.name, "Description-en") {
            &mut english
        } else {
            has_more = true;
            continue;
        };
        if slot.replace(field.value).is_some() {
            let at = stanza.offset + field.value_offset;
            return refuse(at, "the field stands in one stanza twice");
        }
    }
    let Some(name) = name else {
        return refuse(stanza.offset, "the stanza has no field `Package`");
    };
    let Some(md5) = md5 else {
        return refuse(stanza.offset, "the stanza has no field `Description-md5`");
    };
    Ok(Described {
        name: Name::new(name),
        md5: md5.trim_ascii(),
        only_english: english.filter(|_| !has_more),
    })
}

/// Asserts that name and MD5 are parts of their stanza.
#[cfg(any(test, fuzzing))]
pub(crate) fn fuzz_translation(data: &[u8]) {
    for stanza in Stanzas::new(data) {
        if let Ok(described) = read(stanza) {
            assert!(described.name.as_written().len() + described.md5.len() < stanza.raw.len());
            let _ = described.is_proven();
        }
    }
}
