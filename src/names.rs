//! Names that end up in paths and in signed files: each type can hold only what is safe there.

use std::borrow::Borrow;
use std::collections::BTreeSet;
use std::fmt;

use serde::{Deserialize, Deserializer, Serialize};

use crate::deb822::Name;

/// The reason why a string is not a name of the kind asked for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{value}` is not {what}: {why}")]
pub struct InvalidName {
    value: String,
    what: &'static str,
    why: &'static str,
}

/// Checks that a text is one path segment: letters, digits and the characters of `extra`, beginning with a letter or a digit.
fn check_segment(value: &str, extra: &str) -> Result<(), &'static str> {
    let mut bytes = value.bytes();
    match bytes.next() {
        None => return Err("it is empty"),
        Some(first) if !first.is_ascii_alphanumeric() => {
            return Err("it must begin with a letter or a digit");
        }
        Some(_) => {}
    }
    if value.len() > 100 {
        return Err("it is longer than 100 characters");
    }
    if bytes.any(|b| !b.is_ascii_alphanumeric() && !extra.as_bytes().contains(&b)) {
        return Err("only letters, digits and a few of `. + - _ ~` may stand in it");
    }
    Ok(())
}

macro_rules! name {
    ($(#[$doc:meta])* $type:ident, $what:literal, $check:expr) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $type(String);

        impl $type {
            /// Checks `value` and wraps it.
            pub fn new(value: impl Into<String>) -> Result<Self, InvalidName> {
                let value = value.into();
                let check: fn(&str) -> Result<(), &'static str> = $check;
                match check(&value) {
                    Ok(()) => Ok(Self(value)),
                    Err(why) => Err(InvalidName { value, what: $what, why }),
                }
            }

            /// Returns the name as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl std::str::FromStr for $type {
            type Err = InvalidName;
            fn from_str(value: &str) -> Result<Self, InvalidName> {
                Self::new(value)
            }
        }

        impl TryFrom<String> for $type {
            type Error = InvalidName;
            fn try_from(value: String) -> Result<Self, InvalidName> {
                Self::new(value)
            }
        }

        impl From<$type> for String {
            fn from(name: $type) -> String {
                name.0
            }
        }

        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl Borrow<str> for $type {
            fn borrow(&self) -> &str {
                &self.0
            }
        }
    };
}

name!(
    /// The name by which the configuration speaks of an archive, `devuan` or `debian-security`.
    ArchiveName,
    "an archive name",
    |v| check_segment(v, ".+-_")
);

name!(
    /// The directory below `pool/` that stands for an archive in rewritten paths, `DEVUAN`.
    PoolName,
    "a pool name",
    |v| check_segment(v, ".+-_")
);

name!(
    /// A component, `main` or `non-free-firmware`.
    Component,
    "a component",
    |v| check_segment(v, ".+-_~")
);

name!(
    /// A Debian architecture, or `all`. Sources are no architecture here: the index family `sources` stands for them.
    Architecture,
    "an architecture",
    |v| {
        if v == "source" {
            return Err("sources are chosen with `sources` in `indices`");
        }
        check_segment(v, "-")?;
        if v.bytes().any(|b| b.is_ascii_uppercase()) {
            return Err("architectures are lower case");
        }
        Ok(())
    }
);

name!(
    /// A suite as it stands in a path below `dists/`. Older security archives have a slash in it: `buster/updates`.
    SuiteName,
    "a suite",
    |v| {
        if v == "." || v.ends_with('/') {
            return Err("the directory of a flat archive is set by `flat` in [archives.NAME.suites.SUITE], where SUITE is a name that you choose");
        }
        if v.split('/').count() > 4 {
            return Err("it has more than four parts");
        }
        v.split('/').try_for_each(|part| {
            if part.is_empty() && !v.is_empty() {
                return Err("a part of it, between slashes, is empty");
            }
            check_segment(part, ".+-_~").map_err(|why| match v.contains('/') {
                true if why.starts_with("it must begin") => {
                    "each of its parts must begin with a letter or a digit"
                }
                _ => why,
            })?;
            if matches!(part, "by-hash" | "pool" | "dists") {
                return Err("`by-hash`, `pool` and `dists` have a meaning of their own");
            }
            Ok(())
        })
    }
);

name!(
    /// The name of a repository of ours. It ends up in the paths of what is published.
    RepositoryName,
    "the name of a repository",
    |v| check_segment(v, ".+-_~")
);

name!(
    /// The name of a snapshot.
    SnapshotName,
    "the name of a snapshot",
    |v| check_segment(v, ".+-_~")
);

name!(
    /// A package name, binary or source (Debian Policy 5.6.1; upper case is let through, as archives outside Debian have it).
    PackageName,
    "a package name",
    |v| check_segment(v, ".+-_")
);

/// The directory of a flat archive below its URI: `debian12/x86_64/`, or `./` for the URI itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct FlatDirectory(String);

impl FlatDirectory {
    /// Checks `value` and wraps it: `/`, `./` and `.` are the same directory, and so are `a`, `a/` and `/a/`.
    pub fn new(value: impl Into<String>) -> Result<Self, InvalidName> {
        let value = value.into();
        let parts = value.split('/').filter(|part| !matches!(*part, "" | "."));
        let parts: Vec<&str> = parts.collect();
        let is_plain = |b: u8| b.is_ascii_graphic() && !b"%?#\\\"<>^`{|}".contains(&b);
        let why = if value.is_empty() {
            "it is empty; the URI itself is `./`"
        } else if parts.contains(&"..") {
            "it climbs"
        } else if value.len() > 1000 || !value.bytes().all(is_plain) {
            "it must be a plain path, without blanks and percent signs"
        } else {
            return Ok(Self(parts.join("/")));
        };
        Err(InvalidName {
            value,
            what: "the directory of a flat archive",
            why,
        })
    }

    /// Returns the path below the URI, without a slash at its end; empty for the URI itself.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for FlatDirectory {
    type Error = InvalidName;
    fn try_from(value: String) -> Result<Self, InvalidName> {
        Self::new(value)
    }
}

impl From<FlatDirectory> for String {
    fn from(directory: FlatDirectory) -> String {
        directory.to_string()
    }
}

impl fmt::Display for FlatDirectory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.as_str() {
            "" => f.write_str("./"),
            path => write!(f, "{path}/"),
        }
    }
}

impl Architecture {
    /// Returns whether the architecture is `all`.
    pub(crate) fn is_all(&self) -> bool {
        self.0 == "all"
    }
}

impl PackageName {
    /// Reads names of packages as apt and dpkg know them; see [`crate::deb822::Name`].
    pub(super) fn folded<'de, D: Deserializer<'de>>(from: D) -> Result<BTreeSet<Self>, D::Error> {
        let written = BTreeSet::<Self>::deserialize(from)?;
        let folded = |name: Self| Self(Name::from(name.as_str()).to_string());
        Ok(written.into_iter().map(folded).collect())
    }
}

impl SuiteName {
    /// Returns the name as one segment, for file names: `buster/updates` becomes `buster_updates`.
    pub fn flat(&self) -> String {
        self.0.replace('/', "_")
    }

    /// Returns how many directories the suite lies below `dists/`.
    pub(crate) fn depth(&self) -> usize {
        self.0.split('/').count()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn paths_cannot_climb() {
        for bad in [
            "", ".", "..", "a/../b", "/a", "a/", "a//b", "a\\b", "a\0b", "a b", "%2e", "a\n", "-a",
        ] {
            assert!(SuiteName::new(bad).is_err(), "{bad:?}");
            assert!(PoolName::new(bad).is_err(), "{bad:?}");
            assert!(Component::new(bad).is_err(), "{bad:?}");
        }
        assert!(PoolName::new("a/b").is_err());
        assert!(SuiteName::new("buster/updates").is_ok());
        assert_eq!(
            SuiteName::new("buster/updates").unwrap().flat(),
            "buster_updates"
        );
    }

    #[test]
    fn a_flat_directory_has_many_spellings() {
        for (text, path, shown) in [
            ("/", "", "./"),
            ("./", "", "./"),
            (".", "", "./"),
            ("a", "a", "a/"),
            ("./a//b/./", "a/b", "a/b/"),
            (
                "/core:/stable:/v1.30/deb/",
                "core:/stable:/v1.30/deb",
                "core:/stable:/v1.30/deb/",
            ),
        ] {
            let directory = FlatDirectory::new(text).unwrap();
            assert_eq!(directory.as_str(), path);
            assert_eq!(directory.to_string(), shown);
            assert_eq!(FlatDirectory::new(shown).unwrap(), directory);
        }
        for bad in [
            "", "..", "a/../b", "a b", "a%2e", "a?b", "a#b", "a\\b", "a\nb", "é/",
        ] {
            assert!(FlatDirectory::new(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn source_is_no_architecture() {
        let error = Architecture::new("source").unwrap_err().to_string();
        assert!(error.contains("`indices`"), "{error}");
        assert!(Architecture::new("kfreebsd-amd64").is_ok());
        assert!(Architecture::new("AMD64").is_err());
    }
}
