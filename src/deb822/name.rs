//! Names of packages and sources, compared as apt and dpkg compare them.
//!
//! apt lowers the names in `Package` of Packages and Translation files, and dpkg lowers each name that it looks up, including those in
//! relations: `Odd-Tool` and `odd-tool` are two versions of one package. If the merge took them for two names, the lowest archive could
//! publish the first beside the overlay's second, and evade order, bans, pins and filters.
//!
//! So every name of an index is a [`Name`] as soon as it is read, and only the operations of this type are possible: two names that differ
//! only in case are equal, have one place in every order, and one hash. A key that outlives its index is [`Name::folded`]. The stanza
//! itself is published unchanged.
//!
//! apt keeps the case of names in relations and in Sources, and finds nothing if it differs from the package's. Here they are compared
//! without case all the same: dpkg finds the package, and nobody loses what apt cannot find. Both programs compare versions and
//! architectures with their case: `1.0A` is not `1.0a`, and a package for `AMD64` is for no machine.

use std::borrow::Cow;
use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};

/// Returns whether all characters are allowed in the name of a package.
pub(crate) fn is_valid_name(name: &[u8]) -> bool {
    let is_of_names = |b: &u8| b.is_ascii_alphanumeric() || b".+-_".contains(b);
    name.first().is_some_and(u8::is_ascii_alphanumeric) && name.iter().all(is_of_names)
}

/// A name as an index writes it, compared without regard to case.
#[derive(Clone, Copy)]
pub struct Name<'a>(&'a [u8]);

impl<'a> Name<'a> {
    /// Takes a name as the index writes it.
    pub const fn new(written: &'a [u8]) -> Self {
        Self(written)
    }

    /// Returns the name as the index writes it: to be shown or passed on, not to be compared.
    pub(crate) fn as_written(self) -> &'a [u8] {
        self.0
    }

    /// Returns the name by which apt and dpkg know the package.
    pub fn folded(self) -> Cow<'a, [u8]> {
        match self.0.iter().any(u8::is_ascii_uppercase) {
            true => Cow::Owned(self.0.to_ascii_lowercase()),
            false => Cow::Borrowed(self.0),
        }
    }
}

impl<'a> From<&'a str> for Name<'a> {
    fn from(written: &'a str) -> Self {
        Self(written.as_bytes())
    }
}

impl PartialEq for Name<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.0.eq_ignore_ascii_case(other.0)
    }
}

impl Eq for Name<'_> {}

impl Ord for Name<'_> {
    fn cmp(&self, other: &Self) -> Ordering {
        let lower = u8::to_ascii_lowercase;
        self.0.iter().map(lower).cmp(other.0.iter().map(lower))
    }
}

impl PartialOrd for Name<'_> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Hash for Name<'_> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.folded().hash(state);
    }
}

/// Shows the name by which apt and dpkg know the package.
impl fmt::Display for Name<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&String::from_utf8_lossy(&self.folded()))
    }
}

impl fmt::Debug for Name<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", String::from_utf8_lossy(self.0))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeSet, HashSet};

    use super::*;

    #[test]
    fn case_makes_no_difference_to_order_equality_and_hash() {
        let written = ["odd-tool", "Odd-Tool", "ODD-TOOL", "odd-tools", "Odd+"];
        let names = written.map(Name::from);
        assert_eq!(names[0], names[1]);
        assert_eq!(names.iter().collect::<HashSet<_>>().len(), 3);
        let sorted: Vec<_> = names.iter().collect::<BTreeSet<_>>().into_iter().collect();
        let shown: Vec<_> = sorted.iter().map(ToString::to_string).collect();
        assert_eq!(shown, ["odd+", "odd-tool", "odd-tools"]);
        assert_eq!(names[1].as_written(), b"Odd-Tool");
        assert_eq!(&*names[1].folded(), b"odd-tool");
    }
}
