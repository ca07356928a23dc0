//! Fields that stop a client, because apt cannot read them.
//!
//! Why these fields and no others: apt's cache keeps the length of a string in sixteen bits, and apt aborts where a string does not fit.
//! The cache keeps the name, version, section and architecture of a package, the name and version of its source, and of each relation the
//! name (with its architecture) and the version. apt reads everything else from the index: a Filename, a Homepage, a Tag or a Description
//! of 900,000 bytes does no harm. [`check_relations`] bounds the relations.

use super::relations::{MAX_STRING_BYTES, check_relations};
use super::stanza::{Field, eq_name};

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

/// Returns why apt cannot read a field of a binary package.
pub(crate) fn fault(field: &Field<'_>) -> Option<&'static str> {
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
pub(crate) fn is_md5_length(value: &[u8]) -> bool {
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
