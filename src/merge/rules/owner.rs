//! The owners of names across architectures, in the form that the rules need.

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
    /// Returns the owner's rank: its place in the order of archives.
    pub(crate) fn rank(&self) -> u16 {
        self.claim.rank
    }

    /// Returns the number of the pin that makes it the owner.
    pub(crate) fn pin(&self) -> Option<usize> {
        self.claim.pin
    }

    /// Returns whether the owner has the name for `all`, in whatever index.
    pub(crate) fn has_all(&self) -> bool {
        self.all_in.is_some()
    }

    /// Returns whether the owner lets an entry be published, whichever archive wins the name in the entry's architecture.
    pub(crate) fn lets_pass(&self, entry: &Entry<'_>) -> bool {
        entry.rank == self.rank() || !self.has_all() && entry.architecture != b"all"
    }

    /// Returns the archive that wins the name in an architecture, if `here` would win it in this architecture alone.
    pub(crate) fn winner(&self, same_name: &[Entry<'_>], here: u16) -> u16 {
        let mut own = same_name.iter().filter(|e| e.rank == here);
        match own.any(|e| self.lets_pass(e)) {
            true => here,
            // No third archive gets the name that `here` has lost.
            false => self.rank(),
        }
    }
}

impl Owners {
    /// Returns the owner of a name; `None` if no archive above the lowest has the name.
    pub(crate) fn get(&self, name: Name<'_>) -> Option<&Owner> {
        self.names.get(&*name.folded())
    }
}
