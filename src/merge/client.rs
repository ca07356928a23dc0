//! What stops a client: stanzas that apt cannot read.
//!
//! A single one, of the lowest archive, makes apt refuse everything that it has fetched ("The package lists or status file could not
//! be parsed or opened"). So a package whose stanza is such a one is not published, whatever else would let it be. The bounds are
//! those of apt 2.6; `tests/client.rs` holds them against the apt that is there.

use crate::deb822::{Field, Stanza, Stanzas, SyntaxError, check_relations, eq_name};

/// The most that a stanza may have: apt's own bound is 1 MiB, and what is published has a longer path.
pub(super) const MAX_STANZA_BYTES: usize = 1_000_000;

/// The most stanzas that an index may have: real ones have some sixty thousand, and each takes up memory when it is merged.
const MAX_STANZAS: usize = 400_000;

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
    for (number, stanza) in Stanzas::new(data).enumerate() {
        let refuse = |why: String| Err(SyntaxError::at(data, stanza.offset, why));
        if number >= MAX_STANZAS {
            return refuse(format!("more than {MAX_STANZAS} stanzas"));
        }
        if is_of_sources && let Some(why) = too_long(stanza.raw) {
            return refuse(why);
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
    let fields = Stanza {
        raw: stanza,
        offset: 0,
    };
    too_long(stanza).or_else(|| {
        let mut fields = fields.fields().map_while(Result::ok);
        fields.find_map(|field| {
            let why = fault(&field)?;
            let name = String::from_utf8_lossy(field.name);
            Some(format!("apt cannot read its field `{name}`: {why}"))
        })
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
    let is_md5 = eq_name(field.name, "Description-md5");
    (is_md5 && !matches!(field.value.trim_ascii().len(), 0 | 32)).then_some("an MD5 has 32 digits")
}
