//! Keys of packages, in the form that clients of aptly hand back.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// The key of a package, `Pamd64 hello 1.0-1 918d2f433384e378`: architecture, name, version, and the hash of its files
/// ([`crate::deb::files_hash`]).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct PackageKey {
    /// The architecture; `source` for sources.
    pub architecture: String,
    /// The name.
    pub name: String,
    /// The version.
    pub version: String,
    /// The hash of its files.
    pub files_hash: u64,
}

/// The reason why a text is no key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no key of a package: a key is `PARCHITECTURE NAME VERSION HASH`")]
pub struct InvalidKey(String);

impl fmt::Display for PackageKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            architecture,
            name,
            version,
            files_hash,
        } = self;
        write!(f, "P{architecture} {name} {version} {files_hash:08x}")
    }
}

impl FromStr for PackageKey {
    type Err = InvalidKey;

    fn from_str(text: &str) -> Result<Self, InvalidKey> {
        let words: Vec<&str> = text.split(' ').collect();
        let [first, name, version, hash] = words[..] else {
            return Err(InvalidKey(text.to_owned()));
        };
        let architecture = first.strip_prefix('P').filter(|rest| !rest.is_empty());
        let hash = u64::from_str_radix(hash, 16).ok();
        let (Some(architecture), Some(files_hash)) = (architecture, hash) else {
            return Err(InvalidKey(text.to_owned()));
        };
        Ok(Self {
            architecture: architecture.to_owned(),
            name: name.to_owned(),
            version: version.to_owned(),
            files_hash,
        })
    }
}

impl TryFrom<String> for PackageKey {
    type Error = InvalidKey;

    fn try_from(text: String) -> Result<Self, InvalidKey> {
        text.parse()
    }
}

impl From<PackageKey> for String {
    fn from(key: PackageKey) -> String {
        key.to_string()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn keys_are_written_and_read_as_aptly_does() {
        for text in [
            "Pamd64 hello 1:2.10-3+b1 918d2f433384e378",
            "Psource hello 2.10-3 0000002f",
        ] {
            assert_eq!(text.parse::<PackageKey>().unwrap().to_string(), text);
        }
        for bad in [
            "",
            "amd64 hello 1 0f",
            "P hello 1 0f",
            "Pamd64 hello 1",
            "Pamd64 hello 1 xyz",
            "Pamd64 hello 1 0f more",
        ] {
            assert!(bad.parse::<PackageKey>().is_err(), "{bad}");
        }
    }
}
