//! One pass over the packages of a suite: all of them, or the tail alone if the head is known.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use crate::error::Result;
use crate::indices::IndexName;
use crate::text::{Head as HeadText, IndexText, Text};

use super::claims::Claimable;
use super::contested::Contested;
use super::entry::Entry;
use super::error::MergeError;
use super::head::Head;
use super::input::{Sink, SuiteMerge};
use super::load::Loaded;
use super::selection::{Selection, WantedFacts};
use super::sources::Needed;
use super::worlds::{Both, Worlds};

/// The notes that the groups of binaries of one world leave for the indices that follow from them.
#[derive(Default)]
pub(super) struct Notes {
    pub(super) needed: Needed,
    pub(super) claimable: Claimable,
    pub(super) selection: Selection,
}

impl Notes {
    /// Returns what the sources follow from, and the published packages so far.
    pub(super) fn divide(self) -> ((Needed, Claimable), Selection) {
        ((self.needed, self.claimable), self.selection)
    }

    /// Returns empty notes, for which the wanted facts will be gathered.
    pub(super) fn new(wanted: WantedFacts) -> Self {
        Self {
            selection: Selection::new(wanted),
            ..Self::default()
        }
    }
}

/// A pass, and what it gathers for the next merge.
pub(super) struct Pass<'a> {
    /// The merge: of the whole suite, or of what is not in the head.
    pub(super) merge: &'a SuiteMerge<'a>,
    pub(super) worlds: &'a Worlds,
    /// The head, if it is known.
    pub(super) known: Option<&'a Head>,
    sink: &'a dyn Sink,
    gathered: Mutex<Option<Gathered>>,
}

/// The parts of a head that are to be kept.
#[derive(Default)]
pub(super) struct Gathered {
    pub(super) indices: BTreeMap<String, Vec<u8>>,
    pub(super) contested: Contested,
}

impl<'a> Pass<'a> {
    /// Returns a pass. If `gathers` is true, it gathers what the next merge can use.
    pub(super) fn new(
        merge: &'a SuiteMerge<'a>,
        worlds: &'a Worlds,
        known: Option<&'a Head>,
        sink: &'a dyn Sink,
        gathers: bool,
    ) -> Self {
        Self {
            merge,
            worlds,
            known,
            sink,
            gathered: Mutex::new(gathers.then(Gathered::default)),
        }
    }

    /// Returns what was gathered; `None` if it cannot be kept.
    pub(super) fn finish(self) -> Option<Gathered> {
        let gathered = self.gathered.into_inner();
        gathered.unwrap_or_else(PoisonError::into_inner)
    }

    /// Gathers something. If that fails, nothing is kept of the head.
    fn gather(&self, add: impl FnOnce(&mut Gathered) -> Option<()>) {
        let mut gathered = self.gathered.lock().unwrap_or_else(PoisonError::into_inner);
        if gathered.as_mut().is_some_and(|to| add(to).is_none()) {
            *gathered = None;
        }
    }

    /// Gathers the packages of the lowest archive that are in the tail.
    pub(super) fn contested(&self, loaded: &[Loaded], tail: &[Entry<'_>]) {
        let is_lowest = |index: &&Loaded| self.worlds.is_of_head(index.rank());
        for index in loaded.iter().filter(is_lowest) {
            self.gather(|to| to.contested.add(index, tail));
        }
    }

    /// Hands an index of packages over.
    pub(super) fn text(&self, name: &IndexName, text: Both<&Text<'_>>) -> Result<()> {
        let plain = name.to_string();
        let head = match self.known {
            Some(known) => {
                let kept = known.indices.get(&plain).ok_or(MergeError::Lost)?;
                HeadText::Kept(kept)
            }
            None => HeadText::Text(text.head),
        };
        let tail = text.tail;
        let kept = self.sink.text(name, &IndexText { head, tail })?;
        self.gather(|to| {
            to.indices.insert(plain, kept?);
            Some(())
        });
        Ok(())
    }
}
