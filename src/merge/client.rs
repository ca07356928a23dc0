//! What stops a client: stanzas that apt cannot read.
//!
//! A single one, of the lowest archive, makes apt refuse everything that it has fetched ("The package lists or status file could not
//! be parsed or opened"). So an index that has one is refused when it is fetched, as one that cannot be merged is. The bounds are
//! those of apt 2.6; `tests/client.rs` holds them against the apt that is there.

use crate::deb822::{Stanza, Stanzas, SyntaxError, check_relations, eq_name};

use super::entry::Kind;

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

/// Looks for what apt cannot read in an index of packages or sources.
pub(super) fn check(data: &[u8], kind: Kind) -> Result<(), SyntaxError> {
    for (number, stanza) in Stanzas::new(data).enumerate() {
        let refuse = |why: String| Err(SyntaxError::at(data, stanza.offset, why));
        if number >= MAX_STANZAS {
            return refuse(format!("more than {MAX_STANZAS} stanzas"));
        }
        if stanza.raw.len() > MAX_STANZA_BYTES {
            return refuse(format!(
                "a stanza of {} bytes, and apt reads none of more than 1 MiB",
                stanza.raw.len()
            ));
        }
        if kind == Kind::Binary {
            check_binary(data, &stanza)?;
        }
    }
    Ok(())
}

fn check_binary(data: &[u8], stanza: &Stanza<'_>) -> Result<(), SyntaxError> {
    for field in stanza.fields() {
        let field = field.map_err(|(offset, why)| SyntaxError::at(data, offset, why))?;
        let at = stanza.offset + field.value_offset;
        let refuse = |offset: usize, why: &str| {
            let name = String::from_utf8_lossy(field.name);
            let why = format!("apt cannot read the field `{name}`: {why}");
            Err(SyntaxError::at(data, at + offset, why))
        };
        if RELATIONS.iter().any(|name| eq_name(field.name, name)) {
            if let Err((offset, why)) = check_relations(field.value) {
                return refuse(offset, why);
            }
            if eq_name(field.name, "Provides") && field.value.trim_ascii().is_empty() {
                return refuse(0, "it is empty");
            }
        } else if eq_name(field.name, "Description-md5")
            && !matches!(field.value.trim_ascii().len(), 0 | 32)
        {
            return refuse(0, "an MD5 has 32 digits");
        }
    }
    Ok(())
}
