//! The rules of the merge that an operator can set besides order and bans: strategy, pins, and filters of archives.
//!
//! Patterns are those of the crate globset, since it compares a name with a list of hundreds of patterns at once.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

use globset::{GlobBuilder, GlobSet, GlobSetBuilder};
use serde::{Deserialize, Serialize};

use crate::deb822::Name;

use crate::names::{Architecture, ArchiveName, SuiteName};

/// The way to choose the archive that a name belongs to if several archives have the name.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Strategy {
    /// The first archive in `priority` that has the name.
    #[default]
    Order,
    /// The archive that has the highest version of the name in that suite and architecture; of several, the first in `priority`.
    Newest,
}

/// Names that belong to one archive wherever it has them, whatever order and strategy say.
///
/// Pins are tried in the order of the file, and the first that matches decides. A pin whose archive does not have the name decides
/// nothing, and the next is tried.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Pin {
    /// Names of binary packages and udebs.
    #[serde(default, skip_serializing_if = "Globs::is_empty")]
    pub packages: Globs,
    /// Names of sources: they match the sources, and every package that the archive built from them.
    #[serde(default, skip_serializing_if = "Globs::is_empty")]
    pub sources: Globs,
    /// The archive that the names belong to.
    pub archive: ArchiveName,
    /// The merged suites that the pin holds in; all if it is not set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub suites: Option<Vec<SuiteName>>,
    /// The architectures that the pin holds for; all, and sources too, if it is not set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub architectures: Option<Vec<Architecture>>,
}

impl Pin {
    /// Returns whether the pin holds in a merged suite.
    pub fn is_for_suite(&self, suite: &SuiteName) -> bool {
        self.suites.as_ref().is_none_or(|all| all.contains(suite))
    }

    /// Returns whether the pin holds for an architecture; `None` stands for sources.
    pub fn is_for_architecture(&self, architecture: Option<&Architecture>) -> bool {
        self.architectures
            .as_ref()
            .is_none_or(|all| architecture.is_some_and(|one| all.contains(one)))
    }
}

/// Packages of one archive; a package is among them if any of the lists has a match for it.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Filter {
    /// Names of binary packages and udebs.
    #[serde(skip_serializing_if = "Globs::is_empty")]
    pub packages: Globs,
    /// Names of sources: they match the sources, and every package that was built from them.
    #[serde(skip_serializing_if = "Globs::is_empty")]
    pub sources: Globs,
    /// Sections, of packages and sources: `games` matches `contrib/games` as well.
    #[serde(skip_serializing_if = "Globs::is_empty")]
    pub sections: Globs,
    /// Priorities, of packages and udebs.
    #[serde(skip_serializing_if = "Globs::is_empty")]
    pub priorities: Globs,
}

impl Filter {
    /// Returns whether no package can match.
    pub fn is_empty(&self) -> bool {
        [
            &self.packages,
            &self.sources,
            &self.sections,
            &self.priorities,
        ]
        .into_iter()
        .all(Globs::is_empty)
    }
}

/// One glob(7) pattern: `*`, `?`, `[a-c]`, `[!a-c]` and `{one,other}`, held against a whole name, whose case makes no difference:
/// names, sections and priorities are for apt what they are in lower case.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Glob(globset::Glob);

/// The reason why a text is no pattern.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is no pattern: {why}")]
pub struct InvalidGlob {
    text: String,
    why: String,
}

impl TryFrom<String> for Glob {
    type Error = InvalidGlob;

    fn try_from(text: String) -> Result<Self, InvalidGlob> {
        let why = if text.is_empty() {
            "it is empty, and would match nothing".to_owned()
        } else if text.contains(|c: char| c.is_whitespace() || c.is_control()) {
            "names have no blanks in them".to_owned()
        } else {
            match globset::Glob::new(&text) {
                Ok(glob) => return Ok(Self(glob)),
                Err(error) => error.kind().to_string(),
            }
        };
        Err(InvalidGlob { text, why })
    }
}

impl Glob {
    /// Returns the pattern for names in lower case.
    fn without_case(&self) -> Result<globset::Glob, globset::Error> {
        let text = self.0.glob();
        if text.contains('[') {
            // A range such as `[Z-a]` has no other case.
            return GlobBuilder::new(text).case_insensitive(true).build();
        }
        // The set finds plain names without a regular expression, unless it is told to disregard their case.
        globset::Glob::new(&text.to_ascii_lowercase())
    }
}

impl From<Glob> for String {
    fn from(glob: Glob) -> String {
        glob.0.glob().to_owned()
    }
}

/// A list of patterns, ready to be held against names.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(try_from = "Vec<Glob>", into = "Vec<Glob>")]
pub struct Globs {
    globs: Vec<Glob>,
    set: GlobSet,
}

impl Default for Globs {
    fn default() -> Self {
        Self {
            globs: Vec::new(),
            set: GlobSet::empty(),
        }
    }
}

impl TryFrom<Vec<Glob>> for Globs {
    type Error = globset::Error;

    fn try_from(globs: Vec<Glob>) -> Result<Self, globset::Error> {
        let mut set = GlobSetBuilder::new();
        for glob in &globs {
            set.add(glob.without_case()?);
        }
        let set = set.build()?;
        Ok(Self { globs, set })
    }
}

impl From<Globs> for Vec<Glob> {
    fn from(globs: Globs) -> Vec<Glob> {
        globs.globs
    }
}

impl Globs {
    /// Returns whether there is no pattern.
    pub fn is_empty(&self) -> bool {
        self.globs.is_empty()
    }

    /// Returns the patterns.
    pub(crate) fn patterns(&self) -> impl Iterator<Item = &str> {
        self.globs.iter().map(|glob| glob.0.glob())
    }

    /// Returns the patterns that match a name.
    pub(crate) fn matches(&self, name: &[u8]) -> impl Iterator<Item = &str> {
        let name = Name::new(name).folded();
        let matching = self.set.matches(OsStr::from_bytes(&name));
        let matching = matching.into_iter();
        matching.filter_map(|n| Some(self.globs.get(n)?.0.glob()))
    }

    /// Returns whether one of the patterns matches a name.
    pub fn is_match(&self, name: &[u8]) -> bool {
        !self.globs.is_empty()
            && self
                .set
                .is_match(OsStr::from_bytes(&Name::new(name).folded()))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn globs(list: &[&str]) -> Globs {
        let globs: Result<Vec<_>, _> = list
            .iter()
            .map(|g| Glob::try_from((*g).to_owned()))
            .collect();
        Globs::try_from(globs.unwrap()).unwrap()
    }

    #[test]
    fn a_pattern_matches_whole_names() {
        for (pattern, matching, other) in [
            ("firefox*", "firefox-esr", "xfirefox"),
            ("*++*", "libstdc++6", "libstdc+6"),
            ("lib?1", "libz1", "libzz1"),
            ("[a-c]*", "bash", "dash"),
            ("[!l]*", "bash", "ls"),
            ("{vim,emacs}-*", "vim-gtk3", "vim"),
            ("*", "contrib/games", "\u{0}/x.y"),
            ("*.d", "a.d", "a.d."),
            ("a.", "a.", "a"),
            ("Upper-*", "uPPer-x", "upper"),
            ("[A-C]x", "bX", "dx"),
            ("[!b]X", "Ax", "Bx"),
        ] {
            let globs = globs(&[pattern]);
            assert!(globs.is_match(matching.as_bytes()), "{pattern} {matching}");
            assert_eq!(
                globs.is_match(other.as_bytes()),
                pattern == "*",
                "{pattern} {other}"
            );
        }
        assert!(globs(&["no", "yes"]).is_match(b"yes"));
        assert!(!globs(&[]).is_match(b""));
    }

    #[test]
    fn what_is_no_pattern_is_refused() {
        for bad in ["", "[", "[z-a]", "{a", "a b", "a\\"] {
            assert!(Glob::try_from(bad.to_owned()).is_err(), "{bad:?}");
        }
    }
}
