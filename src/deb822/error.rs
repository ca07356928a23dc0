//! The reasons why a Release cannot be used.

use super::stanza::SyntaxError;

/// The most entries a Release may have; Debian's largest have some thousands.
pub(super) const MAX_ENTRIES: usize = 200_000;

/// The reasons why a Release cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ReleaseError {
    /// The Release is not a stanza.
    #[error("Release, {0}")]
    Syntax(#[from] SyntaxError),
    /// The Release has more than one stanza, or none.
    #[error("Release has {0} stanzas instead of one")]
    Stanzas(usize),
    /// A required field is missing.
    #[error("Release has no field `{0}`")]
    Missing(&'static str),
    /// A field occurs twice.
    #[error("Release has the field `{0}` twice")]
    Doubled(String),
    /// A date cannot be read.
    #[error(
        "Release has the {field} `{value}`, which is not of the form `Sat, 09 May 2026 10:21:35 UTC`"
    )]
    Date {
        /// The field.
        field: &'static str,
        /// The value of the field.
        value: String,
    },
    /// A line of a checksum section is not hash, size and path.
    #[error("Release, section {section}: `{line}` is not a hash, a size and a path")]
    Entry {
        /// `SHA256`, `SHA512`, `MD5Sum` or `SHA1`.
        section: &'static str,
        /// The line.
        line: String,
    },
    /// A path leads out of the suite, or no sane archive would have it.
    #[error("Release lists the path `{0}`, which is not a plain path below the suite")]
    Path(String),
    /// Two lines say different things about one path.
    #[error("Release says two different things about `{0}`")]
    Contradiction(String),
    /// There is no hash that can be trusted.
    #[error("Release has neither SHA256 nor SHA512; MD5 and SHA1 alone prove nothing")]
    NoStrongHash,
    /// There are too many entries.
    #[error("Release lists more than {MAX_ENTRIES} files")]
    TooMany,
}
