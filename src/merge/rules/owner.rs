//! The owners of names across architectures, as the rules ask for them.

use std::collections::HashMap;

use crate::deb822::Name;
use crate::merge::entry::Entry;

use super::Claim;

/// The owners of names across the architectures of a suite, as far as they can matter.
#[derive(Default)]
pub(crate) struct Owners {
    pub(in crate::merge) names: HashMap<Box<[u8]>, Owner>,
}

/// The owner of a name across all architectures.
#[derive(Debug, Clone)]
pub(crate) struct Owner {
    /// The claim that gives it the name.
    pub(in crate::merge) claim: Claim<Box<[u8]>>,
    /// The number of the first architecture in whose index it has the name for `all`.
    pub(in crate::merge) all_in: Option<usize>,
}

impl Owner {
    /// Its place in the order of archives.
    pub(crate) fn rank(&self) -> u16 {
        self.claim.rank
    }

    /// The number of the pin that makes it the owner.
    pub(crate) fn pin(&self) -> Option<usize> {
        self.claim.pin
    }

    /// Whether it has the name for `all`, in whatever index.
    pub(crate) fn has_all(&self) -> bool {
        self.all_in.is_some()
    }

    /// Whether it lets an entry be published, whoever has the name in its architecture.
    pub(crate) fn lets_pass(&self, entry: &Entry<'_>) -> bool {
        entry.rank == self.rank() || !self.has_all() && entry.architecture != b"all"
    }

    /// The archive that has the name in an architecture, where without other architectures `here` would have it.
    pub(crate) fn winner(&self, same_name: &[Entry<'_>], here: u16) -> u16 {
        let mut own = same_name.iter().filter(|e| e.rank == here);
        match own.any(|e| self.lets_pass(e)) {
            true => here,
            // Nobody else takes the name from the one that lost it.
            false => self.rank(),
        }
    }
}

impl Owners {
    /// The owner of a name; none where no archive above the lowest has it.
    pub(crate) fn get(&self, name: Name<'_>) -> Option<&Owner> {
        self.names.get(&*name.folded())
    }
}
