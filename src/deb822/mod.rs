//! Stanzas, fields, versions, relations and Release files: pure functions over bytes.
//!
//! The rules are those of deb822(5) and Debian Policy 5.1. They are applied strictly where a lenient reader and apt could see different
//! stanzas in one file.

pub mod identity;
mod name;
mod relations;
mod release;
mod stanza;
mod version;
mod version_key;

pub use name::{Name, is_valid_name};
pub(crate) use relations::trim;
pub use relations::{
    Alternative, MAX_STRING_BYTES, Operator, alternatives, alternatives_of, check_relations,
    clauses,
};
pub(crate) use release::format_date;
pub use release::{IndexEntry, Release, ReleaseError};
pub use stanza::{Field, Fields, LineNumbers, Stanza, Stanzas, SyntaxError, eq_name};
pub use version::{compare_versions, is_valid_version};
pub use version_key::version_key;
