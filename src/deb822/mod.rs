//! Stanzas, fields, versions, relations and Release files: pure functions over bytes.
//!
//! The rules are those of deb822(5) and Debian Policy 5.1. They are applied strictly where a lenient reader and apt could see different
//! stanzas in one file.

mod checksums;
mod date;
mod error;
pub mod identity;
mod name;
mod readable;
mod relations;
mod release;
mod stanza;
mod version;
mod version_key;

pub(crate) use checksums::IndexEntry;
pub(crate) use date::format_date;
pub use date::parse_date;
pub(crate) use error::ReleaseError;
pub use name::Name;
pub(crate) use name::is_valid_name;
pub(crate) use readable::{fault, is_md5_length};
#[cfg(any(test, fuzzing))]
pub(crate) use relations::check_relations;
pub(crate) use relations::{Alternative, MAX_STRING_BYTES, Operator, alternatives_of, trim};
pub use relations::{alternatives, clauses};
pub use release::{Release, is_ahead};
pub use stanza::{Field, Stanzas, eq_name};
pub(crate) use stanza::{LineNumbers, Stanza, SyntaxError};
pub use version::compare_versions;
pub(crate) use version::is_plain_version;
pub(crate) use version_key::version_key;
