//! Stanzas that stop a client, because apt cannot read them.
//!
//! One such stanza, even of the lowest archive, makes apt refuse everything that it has fetched ("The package lists or status file could
//! not be parsed or opened"), or end without a word. So a package with such a stanza is not published, whatever the other rules say. Only the
//! package is left out, not its index: the archive's other packages are good. The bans come first, so their report is complete. The
//! bounds are those of apt 2.6; `tests/it/client.rs` tests them with the apt that is installed.
//!
//! Why these fields and no others: apt's cache keeps the length of a string in sixteen bits, and apt aborts where a string does not fit.
//! The cache keeps the name, version, section and architecture of a package, the name and version of its source, and of each relation the
//! name (with its architecture) and the version. apt reads everything else from the index: a Filename, a Homepage, a Tag or a Description
//! of 900,000 bytes does no harm. [`check_relations`] bounds the relations.
//!
//! Readable packages can still be too many of one name: apt compares each version of a name with the others, so the time for forty thousand
//! versions grows with their square. [`check_versions`] refuses an index that has more versions than any archive keeps.
//!
//! [`Reading`] makes the same check once more on the published tree: on new indices before each swap, on all of them in `verify`.
//!
//! [`Reading`]: super::reading::Reading

use std::collections::HashMap;

use crate::deb822::{
    Field, MAX_STRING_BYTES, Name, Stanza, Stanzas, SyntaxError, check_relations, eq_name,
};

/// The longest stanza that the merge accepts: apt's own bound is 1 MiB, and publishing makes the path longer.
pub(super) const MAX_STANZA_BYTES: usize = 1_000_000;

/// The most stanzas that an index may have: real ones have some sixty thousand, and each takes up memory during the merge.
const MAX_STANZAS: usize = 400_000;

/// The most bytes that the versions of one name may have together in an index, and the least that each counts: apt reads ten thousand short
/// versions in half a second, and a hundred thousand in a minute.
const MAX_VERSIONS_BYTES: usize = 400_000;
const VERSION_BYTES: usize = 40;

/// The most bytes that all lists of binaries in an index of sources may have together, because each name in them is kept in memory:
/// Debian's have five megabytes.
const MAX_LISTS_BYTES: usize = 32 << 20;

/// The longest name of a package: apt appends `:any` to some names.
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

/// Checks that an index can be held in memory.
pub(super) fn check_lengths(data: &[u8], is_of_sources: bool) -> Result<(), SyntaxError> {
    let mut lists_bytes = 0;
    for (number, stanza) in Stanzas::new(data).enumerate() {
        let refuse = |why: String| Err(SyntaxError::at(data, stanza.offset, why));
        if number >= MAX_STANZAS {
            return refuse(format!("more than {MAX_STANZAS} stanzas"));
        }
        if !is_of_sources || !is_short(stanza.without_final_newline()) {
            continue;
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

/// Checks that an index of binary packages has no more versions of any name than apt reads in a short time.
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

/// Returns why the length of a stanza is too much for apt.
pub(super) fn too_long(stanza: &[u8]) -> Option<String> {
    let length = stanza.len();
    (!is_short(stanza))
        .then(|| format!("the stanza has {length} bytes, and apt reads none of more than 1 MiB"))
}

/// Returns why apt cannot read the stanza of a binary package; `None` if it can.
pub fn unreadable(stanza: &[u8]) -> Option<String> {
    too_long(stanza).or_else(|| faulty_field(stanza))
}

/// Returns which field of a stanza apt cannot read, and why.
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

/// Returns whether a stanza is short enough for apt.
fn is_short(stanza: &[u8]) -> bool {
    stanza.len() <= MAX_STANZA_BYTES
}

/// Returns why apt cannot read a field of a binary package.
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

/// Returns whether apt takes a value for an MD5, or for an empty field.
pub(super) fn is_md5_length(value: &[u8]) -> bool {
    matches!(value.trim_ascii().len(), 0 | 32)
}

/// Returns whether apt's cache keeps the value, or a part of it, as a string that is too long for the cache.
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

/// Returns the length of the longer part of a `Source`, name or version, as apt separates them: a space ends the name, brackets hold the
/// version.
fn longest_part_of_source(value: &[u8]) -> usize {
    let name = memchr::memchr(b' ', value).unwrap_or(value.len());
    let version = memchr::memchr(b'(', value)
        .and_then(|open| memchr::memchr(b')', &value[open + 1..]))
        .unwrap_or(0);
    name.max(version)
}
