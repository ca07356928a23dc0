//! Translation: the long descriptions of exactly the packages that were published.
//!
//! A stanza belongs to a package and to the MD5 of its description, so it is right whichever archive has it: a rebuilt package
//! of the overlay with the description of the one that it hides is served by that one's translation.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use crate::config::Component;
use crate::deb822::{Name, Stanza, Stanzas, SyntaxError, eq_name};
use crate::error::Result;
use crate::indices::IndexName;

use super::Text;
use super::client::MAX_STANZA_BYTES;
use super::derived::{KeyOf, side_by_side, unless_unchanged};
use super::selection::Selected;
use super::suite::{Sink, SuiteMerge};

/// How many faulty stanzas of one index are told of.
const MAX_TOLD: usize = 5;

pub(super) fn merge(
    merge: &SuiteMerge<'_>,
    selected: &Selected,
    sink: &dyn Sink,
) -> Result<BTreeSet<String>> {
    let components = merge.config.components_of(merge.suite);
    let mut languages: BTreeMap<String, BTreeSet<usize>> = BTreeMap::new();
    for input in &merge.inputs {
        for name in input.optional() {
            if let IndexName::Translation(component, language) = name
                && let Some(number) = components.iter().position(|c| *c == component)
                && merge.config.takes_language(&language)
            {
                languages.entry(language).or_default().insert(number);
            }
        }
    }
    side_by_side(languages, |(language, numbers)| {
        let of =
            |component: &Component| IndexName::Translation(component.clone(), language.clone());
        let read: Vec<_> = components.iter().map(of).collect();
        let written = numbers.iter().filter_map(|n| read.get(*n).cloned());
        let written: Vec<_> = written.collect();
        let key = KeyOf::inputs(merge, &read).descriptions(selected);
        unless_unchanged(sink, &written, key, || {
            one_language(merge, selected, sink, &language, &numbers)
        })
    })
}

/// A language: the stanzas of all inputs, by package and description, handed out to the components that publish them.
fn one_language(
    merge: &SuiteMerge<'_>,
    selected: &Selected,
    sink: &dyn Sink,
    language: &str,
    numbers: &BTreeSet<usize>,
) -> Result<BTreeSet<String>> {
    let components = merge.config.components_of(merge.suite);
    let mut warnings = BTreeSet::new();
    let mut loaded = Vec::new();
    for input in &merge.inputs {
        for component in components {
            let name = IndexName::Translation(component.clone(), language.to_owned());
            if let Some(data) = input.read(&name)? {
                loaded.push((input.describe(&name), data));
            }
        }
    }
    let mut stanzas: HashMap<(Name<'_>, &[u8]), &[u8]> = HashMap::new();
    for (label, data) in &loaded {
        warnings.extend(SyntaxError::not_utf8(data).map(|e| format!("{label}, {e}")));
        let mut told = 0;
        for stanza in Stanzas::new(data) {
            match key(data, stanza) {
                Ok(key) => {
                    stanzas
                        .entry(key)
                        .or_insert_with(|| stanza.without_final_newline());
                }
                Err(_) if told >= MAX_TOLD => {}
                Err(error) => {
                    told += 1;
                    warnings.insert(format!("{label}, {error}; the stanza is left out"));
                }
            }
        }
    }
    for &number in numbers {
        let mut published: Vec<_> = selected
            .descriptions
            .iter()
            .filter(|(component, _, _)| usize::from(*component) == number)
            .filter_map(|(_, name, md5)| {
                let key = (Name::new(name), &md5[..]);
                Some((key, *stanzas.get(&key)?))
            })
            .collect();
        published.sort_unstable();
        let mut text = Text::default();
        for (_, raw) in published {
            text.push([raw, b"\n\n"]);
        }
        let name = IndexName::Translation(components[number].clone(), language.to_owned());
        sink.text(&name, &text)?;
    }
    Ok(warnings)
}

/// Package and Description-md5 of a stanza.
fn key<'a>(data: &'a [u8], stanza: Stanza<'a>) -> Result<(Name<'a>, &'a [u8]), SyntaxError> {
    if stanza.raw.len() > MAX_STANZA_BYTES {
        let why = "the stanza is longer than apt can read";
        return Err(SyntaxError::at(data, stanza.offset, why));
    }
    let (mut name, mut md5) = (None, None);
    for field in stanza.fields() {
        let field = field.map_err(|(offset, why)| SyntaxError::at(data, offset, why))?;
        if eq_name(field.name, "Package") {
            name = Some(field.value);
        } else if eq_name(field.name, "Description-md5") {
            md5 = Some(field.value);
        }
    }
    let missing = |field: &str| {
        SyntaxError::at(
            data,
            stanza.offset,
            format!("the stanza has no field `{field}`"),
        )
    };
    Ok((
        Name::new(name.ok_or_else(|| missing("Package"))?),
        md5.ok_or_else(|| missing("Description-md5"))?,
    ))
}

/// A key is a part of its stanza.
#[cfg(any(test, fuzzing))]
pub(crate) fn fuzz_translation(data: &[u8]) {
    for stanza in Stanzas::new(data) {
        if let Ok((name, md5)) = key(data, stanza) {
            assert!(name.as_written().len() + md5.len() < stanza.raw.len());
        }
    }
}
