//! The merge: makes the indices of a merged suite from those of its inputs.
//!
//! An input is an ordered set of indices, wherever they come from ([`Input`]). Name spaces are merged in parallel: the packages of each
//! architecture and the udebs of each architecture; then binary-all, which holds the stanzas for `all` of these; then the sources, which
//! follow from the binaries. Each merged index is handed to a sink while the bytes that it is made of are in memory: stanzas are passed on
//! as slices of the input, and only a path in each is rewritten.
//!
//! The packages of the lowest archive that no other archive touches are merged for themselves, before the rest, and need not be merged
//! again while they stay the same (`worlds.rs`).

mod absent;
mod all;
mod binaries;
mod check;
mod claims;
mod clusters;
mod coded;
mod commands;
mod contents;
mod contested;
mod deadline;
mod dep11;
mod derived;
mod describe;
mod entry;
mod error;
mod explain;
mod explanation;
mod faults;
mod fields;
mod group;
mod head;
mod input;
mod left_out;
mod load;
mod memory;
mod merged;
mod named;
mod order;
mod owners;
mod pass;
mod places;
mod plain_tar;
mod queue;
mod readable;
pub(crate) mod reading;
pub mod rewrite;
mod rules;
mod selection;
mod source_group;
mod sources;
mod texts;
mod translations;
mod unasked;
mod worlds;

#[cfg(any(test, fuzzing))]
pub(crate) use {
    contents::fuzz_contents, dep11::fuzz_dep11, entry::fuzz_entries, merged::merge_as_one_world,
    translations::fuzz_translation,
};

pub(crate) use crate::suite_report::{ForeignSource, SuiteReport};
pub(crate) use crate::text::PackageKey;
pub use crate::text::{Head, IndexText, Text};
pub use absent::absent;
pub(crate) use check::check_index;
pub(crate) use contents::split as split_contents_line;
pub use error::MergeError;
pub use explain::{explain, known_names};
pub use explanation::{
    Fate, GroupExplanation, OwnedBy, PackageCopy, PackageKind, SuiteExplanation,
};
pub(crate) use input::{DerivedKey, IndexFacts, InputFacts, Offers};
pub use input::{Input, Inputs, Sink, SuiteMerge};
pub use memory::MemoryInput;
pub use merged::merge_suite;
pub(crate) use queue::in_flight as groups_in_flight;
pub use readable::unreadable;
pub use rules::Exclusion;
pub(crate) use unasked::news as news_unasked;

/// The version of the merge: raised with every change of the output for the same inputs, so that suites are made anew.
pub(crate) const MERGE_VERSION: u32 = 11;
