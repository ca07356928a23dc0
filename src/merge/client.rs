//! What stops a client: stanzas that apt cannot read.
//!
//! A single one, of the lowest archive, makes apt refuse everything that it has fetched ("The package lists or status file could not
//! be parsed or opened"), or end without a word. So a package whose stanza is such a one is not published, whatever else would let it be.
//! The bounds are those of apt 2.6; `tests/client.rs` holds them against the apt that is there.
//!
//! Why these fields and no others: apt's cache keeps a string with its length in sixteen bits, and apt aborts where one does not fit. It
//! keeps the name, version, section and architecture of a package, the name and version of its source, and of each relation the name
//! (with its architecture) and the version. All else stays in the index and is read from there: a Filename, a Homepage, a Tag
//! or a Description of 900,000 bytes does no harm. What a relation may be is bounded in [`check_relations`].
//!
//! Packages that are read well can still be too many of one name: apt holds each version of a name against the others, so what forty
//! thousand take it grows with their square. [`check_versions`] refuses an index that has more than any archive keeps.
//!
//! The same judgement is made once more of what is published, by [`Reading`]: of what is new before each swap, of everything by `verify`.
//!
//! [`Reading`]: super::reading::Reading

use std::collections::HashMap;

use crate::deb822::{
    Field, MAX_STRING_BYTES, Name, Stanza, Stanzas, SyntaxError, check_relations, eq_name,
};

/// The most that a stanza may have: apt's own bound is 1 MiB, and what is published has a longer path.
pub(super) const MAX_STANZA_BYTES: usize = 1_000_000;

/// The most stanzas that an index may have: real ones have some sixty thousand, and each takes up memory when it is merged.
const MAX_STANZAS: usize = 400_000;

/// The most that the versions of one name may have together in an index, and what each counts at least: apt reads ten thousand short
/// ones in half a second, and a hundred thousand in a minute.
const MAX_VERSIONS_BYTES: usize = 400_000;
const VERSION_BYTES: usize = 40;

/// The most that the lists of binaries may have in all of an index of sources, each name of which is in memory: Debian's have five
/// megabytes.
const MAX_LISTS_BYTES: usize = 32 << 20;

/// The longest name of a package: of some, apt makes one that ends in `:any`.
const MAX_NAME_BYTES: usize = MAX_STRING_BYTES - 4;

/// The fields whose values apt keeps as they are.
const STORED: [&str; 3] = ["Version", "Section", "Architecture"];

/// The fields that apt takes apart as relations.
const RELATIONS: [&str; 9] = [
    "Pre-Depends",
    "Depends",
    "Recommends",
    "Suggests",
    "Enhances",
    "Conflicts",
    "Breaks",
    "Replaces",
    "Provides",
];

/// Looks whether an index can be held in memory, and a source's stanza be read: one of Sources that is too long stops
/// `apt-get source` for all, and has no other part that apt cannot read.
pub(super) fn check_lengths(data: &[u8], is_of_sources: bool) -> Result<(), SyntaxError> {
    let mut lists_bytes = 0;
    for (number, stanza) in Stanzas::new(data).enumerate() {
        let refuse = |why: String| Err(SyntaxError::at(data, stanza.offset, why));
        if number >= MAX_STANZAS {
            return refuse(format!("more than {MAX_STANZAS} stanzas"));
        }
        if !is_of_sources {
            continue;
        }
        if let Some(why) = too_long(stanza.raw) {
            return refuse(why);
        }
        let fields = stanza.fields().map_while(Result::ok);
        let lists = fields.filter(|field| eq_name(field.name, "Binary"));
        lists_bytes += lists.map(|field| field.value.len()).sum::<usize>();
        if lists_bytes > MAX_LISTS_BYTES {
            return refuse(format!(
                "the fields `Binary` up to here have more than {MAX_LISTS_BYTES} bytes together"
            ));
        }
    }
    Ok(())
}

/// Looks whether an index of binary packages has no more versions of any name than apt reads in a short time.
pub(super) fn check_versions(data: &[u8]) -> Result<(), SyntaxError> {
    let mut bytes: HashMap<Name<'_>, usize> = HashMap::new();
    for stanza in Stanzas::new(data) {
        let (mut name, mut version) = (None, None);
        for field in stanza.fields().map_while(Result::ok) {
            if eq_name(field.name, "Package") {
                name = Some(Name::new(field.value));
            } else if eq_name(field.name, "Version") {
                version = Some(field.value);
            }
            if name.is_some() && version.is_some() {
                break;
            }
        }
        let (Some(name), Some(version)) = (name, version) else {
            continue;
        };
        let of_name = bytes.entry(name).or_default();
        *of_name += version.len().max(VERSION_BYTES);
        if *of_name > MAX_VERSIONS_BYTES {
            let why = format!("more versions of `{name}` than apt can read in a short time");
            return Err(SyntaxError::at(data, stanza.offset, why));
        }
    }
    Ok(())
}

fn too_long(stanza: &[u8]) -> Option<String> {
    let length = stanza.len();
    (length > MAX_STANZA_BYTES)
        .then(|| format!("the stanza has {length} bytes, and apt reads none of more than 1 MiB"))
}

/// Why apt cannot read the stanza of a binary package; `None` where it can.
pub fn unreadable(stanza: &[u8]) -> Option<String> {
    too_long(stanza).or_else(|| faulty_field(stanza))
}

/// Says which field of a stanza apt cannot read, and why.
pub(super) fn faulty_field(stanza: &[u8]) -> Option<String> {
    let stanza = Stanza {
        raw: stanza,
        offset: 0,
    };
    let mut fields = stanza.fields().map_while(Result::ok);
    fields.find_map(|field| {
        let why = fault(&field)?;
        let name = String::from_utf8_lossy(field.name);
        Some(format!("apt cannot read its field `{name}`: {why}"))
    })
}

/// Whether apt can read a stanza as far as its length goes.
pub(super) fn is_short(stanza: &[u8]) -> bool {
    stanza.len() <= MAX_STANZA_BYTES
}

/// Why apt cannot read a field of a binary package.
pub(super) fn fault(field: &Field<'_>) -> Option<&'static str> {
    if RELATIONS.iter().any(|name| eq_name(field.name, name)) {
        let is_empty = || field.value.trim_ascii().is_empty();
        return match check_relations(field.value) {
            Err((_, why)) => Some(why),
            Ok(()) if eq_name(field.name, "Provides") && is_empty() => Some("it is empty"),
            Ok(()) => None,
        };
    }
    if field.value.len() > MAX_NAME_BYTES && is_stored_too_long(field) {
        return Some("it is longer than the 65,534 bytes of a string that apt can keep");
    }
    let is_md5 = eq_name(field.name, "Description-md5");
    (is_md5 && !is_md5_length(field.value)).then_some("an MD5 has 32 digits")
}

/// Whether apt takes a value for an MD5, or for none at all.
pub(super) fn is_md5_length(value: &[u8]) -> bool {
    matches!(value.trim_ascii().len(), 0 | 32)
}

/// Whether a value, or a part of it, goes into apt's cache as a string that is too long for it.
fn is_stored_too_long(field: &Field<'_>) -> bool {
    let is = |name| eq_name(field.name, name);
    if is("Source") {
        return longest_part_of_source(field.value) > MAX_STRING_BYTES;
    }
    let bound = match is("Package") {
        true => MAX_NAME_BYTES,
        false if STORED.iter().any(|name| is(name)) => MAX_STRING_BYTES,
        false => return false,
    };
    field.value.len() > bound
}

/// The longer one of the name and the version of a `Source`, as apt takes them apart: a space ends the name, brackets hold the
/// version.
fn longest_part_of_source(value: &[u8]) -> usize {
    let name = memchr::memchr(b' ', value).unwrap_or(value.len());
    let version = memchr::memchr(b'(', value)
        .and_then(|open| memchr::memchr(b')', &value[open + 1..]))
        .unwrap_or(0);
    name.max(version)
}
