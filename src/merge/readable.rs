//! Stanzas that stop a client, because apt cannot read them.
//!
//! One such stanza, even of the lowest archive, makes apt refuse everything that it has fetched ("The package lists or status file could
//! not be parsed or opened"), or end without a word. So a package with such a stanza is not published, whatever the other rules say. Only the
//! package is left out, not its index: the archive's other packages are good. The bans come first, so their report is complete. The
//! bounds are those of apt 2.6; `tests/it/client.rs` tests them with the apt that is installed.
//!
//! [`fault`] says which fields apt cannot read.
//!
//! Readable packages can still be too many of one name: apt compares each version of a name with the others, so the time for forty thousand
//! versions grows with their square. [`check_versions`] refuses an index that has more versions than any archive keeps.
//!
//! [`Reading`] makes the same check once more on the published tree: on new indices before each swap, on all of them in `verify`.
//!
//! [`Reading`]: super::reading::Reading

use std::collections::HashMap;

use crate::deb822::{Name, Stanza, Stanzas, SyntaxError, eq_name, fault};

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
