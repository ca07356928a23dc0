//! Packages as files: reads what a `.deb`, `.udeb`, `.ddeb` or `.dsc` says of itself, and what a `.changes` or `.buildinfo` lists.
//!
//! Whoever uploads a package chooses every byte of it, so each read has a bound: of memory (a control file, a path, a list of paths), of time
//! (the bytes that a member unpacks to, the entries of an archive), and of what a name may contain. A package that breaks a bound is refused
//! with the file and the reason; nothing is guessed, and nothing is unpacked to the disk.
//!
//! A stanza keeps the bytes that the package has. Only the fields that an index writes by itself (where the file lies, its length and
//! digests) are taken out, and for a source `Source` becomes `Package`, as in Sources.

mod ar;
mod binary;
mod changes;
mod control;
mod error;
mod key;
mod lists;
mod signed;
mod source;
mod tar;

pub use binary::{Binary, read_binary};
pub use changes::{Changes, read_changes};
pub use error::PackageError;
pub use key::files_hash;
pub use lists::Listed;
pub use signed::Trust;
pub use source::{Source, read_source};

use crate::names::PackageName;

/// The kinds of packages, by the index that they stand in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// A `.deb` or `.ddeb`, in Packages.
    Binary,
    /// A `.udeb`, in the Packages of the installer.
    Installer,
    /// A `.dsc` with its files, in Sources.
    Source,
}

impl Kind {
    /// Returns the kind of package that a file's name tells, `None` if it is the name of no package.
    pub fn of_file(name: &str) -> Option<Self> {
        let (_, end) = name.rsplit_once('.')?;
        match end {
            "deb" | "ddeb" => Some(Self::Binary),
            "udeb" => Some(Self::Installer),
            "dsc" => Some(Self::Source),
            _ => None,
        }
    }

    /// Returns the word that queries use: `deb`, `udeb` or `source`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Binary => "deb",
            Self::Installer => "udeb",
            Self::Source => "source",
        }
    }
}

/// The identity of a package, as its control file or `.dsc` states it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// The kind.
    pub kind: Kind,
    /// The name.
    pub name: PackageName,
    /// The version.
    pub version: String,
    /// The architecture; `source` for sources.
    pub architecture: String,
    /// The source that a binary package is built from, or the name itself.
    pub source: PackageName,
    /// The version of that source.
    pub source_version: String,
}

/// A file of a package: its name without a directory, its length in bytes and its digests.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PackageFile {
    /// The name.
    pub name: String,
    /// The length in bytes.
    pub size: u64,
    /// The MD5.
    pub md5: Option<[u8; 16]>,
    /// The SHA-1.
    pub sha1: Option<[u8; 20]>,
    /// The SHA-256.
    pub sha256: [u8; 32],
    /// The SHA-512.
    pub sha512: Option<[u8; 64]>,
}

/// Returns whether a file of a package may have this name: one path segment of the characters that packages use.
pub fn is_file_name(name: &str) -> bool {
    let is_of_names = |b: u8| b.is_ascii_alphanumeric() || b"+-._~:=,@%".contains(&b);
    !name.is_empty()
        && name.len() <= 255
        && !name.starts_with(['.', '-'])
        && name.bytes().all(is_of_names)
}

#[cfg(test)]
mod tests;
