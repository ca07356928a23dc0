//! The two worlds of a suite: the packages of the lowest archive that nothing above it touches, and all the rest.
//!
//! The rules look at one name at a time, and sources and binaries refer to each other by name. So the names of the lowest archive fall into
//! clusters ([`super::clusters`]). The names that higher archives have or mention (their packages, udebs and sources, the sources that their
//! binaries name, the binaries that their sources list) touch clusters. No rule leads from a name of an untouched cluster to a name outside
//! of it:
//!
//! - Precedence, pins, filters, bans and owners across architectures decide about a name by the stanzas of that name. No other archive has
//!   a stanza of an untouched name, or its cluster would be touched.
//! - A binary needs the source that it names, which is in its cluster; a source with such a name in another archive touches it. A source is
//!   restored for binaries that name it, which are in its cluster or, if they are of another archive, touch it.
//! - A source lists names of its cluster. A name that another archive's source lists, or that another archive has, touches it.
//! - Indices that speak of packages ask what was published of a name, and from which archive.
//!
//! Transitive bans are the exception: a package can provide any name. With them there is one world.
//!
//! So the merge of a suite is the merge of the untouched packages alone, the *head*, and that of all others, the *tail*: the text of each
//! index is head and tail, one after the other, the reports add up, and so do the published names. The two worlds follow from the inputs and
//! the spec, not from anything that is kept. So a merge that reuses a kept head publishes what one without it does.

use std::collections::BTreeSet;

use sha2::{Digest, Sha256};

use crate::error::Result;
use crate::spec;

use super::MERGE_VERSION;
use super::clusters::{self, Clusters, Names};
use super::entry::Entry;
use super::input::{DerivedKey, Sink, SuiteMerge};

/// A value for the head of a suite, and one for the tail.
#[derive(Debug, Default)]
pub(super) struct Both<T> {
    pub(super) head: T,
    pub(super) tail: T,
}

impl<T> Both<T> {
    /// Returns what a function makes of each.
    pub(super) fn map<R>(self, make: impl Fn(T) -> R) -> Both<R> {
        Both {
            head: make(self.head),
            tail: make(self.tail),
        }
    }

    /// Returns references to both.
    pub(super) fn as_ref(&self) -> Both<&T> {
        Both {
            head: &self.head,
            tail: &self.tail,
        }
    }

    /// Returns pairs.
    pub(super) fn zip<U>(self, other: Both<U>) -> Both<(T, U)> {
        Both {
            head: (self.head, other.head),
            tail: (self.tail, other.tail),
        }
    }
}

/// The way in which the packages of a suite are divided.
pub(super) enum Worlds {
    /// All of them are the head.
    One,
    /// The head are the packages of the lowest archive, less those of these names.
    Two { lowest: u16, touched: Names },
    /// The head is known; what is read of the lowest archive are its packages in the tail.
    Rest { lowest: u16 },
}

impl Worlds {
    /// Divides the packages of a suite; also returns the key of the head, if there may be a tail.
    pub(super) fn of(
        merge: &SuiteMerge<'_>,
        sink: &dyn Sink,
    ) -> Result<(Self, Option<DerivedKey>)> {
        let bans = &merge.spec.bans;
        let is_one = bans.transitive && !bans.packages.is_empty();
        let Some(lowest) = merge
            .inputs
            .len()
            .checked_sub(1)
            .filter(|n| *n > 0 && !is_one)
        else {
            return Ok((Worlds::One, None));
        };
        let spec = spec::digest(merge.spec);
        let key = |what: &str, rank: usize| Key::of(merge, &spec, what, rank);
        let mut mentioned = Names::new();
        for rank in 0..lowest {
            let key = key("mentioned", rank).finish();
            let known = sink.kept(&key);
            if known.is_none_or(|kept| clusters::add_mentioned(&kept, &mut mentioned).is_none()) {
                let kept = clusters::mentioned(merge, rank)?;
                sink.keep(&key, &kept);
                clusters::add_mentioned(&kept, &mut mentioned);
            }
        }
        let of_lowest = key("clusters", lowest).finish();
        let known = sink.kept(&of_lowest).map(Clusters);
        let touched = match known.and_then(|clusters| clusters.touched(&mentioned)) {
            Some(touched) => touched,
            None => {
                let clusters = Clusters::of(merge, lowest)?;
                sink.keep(&of_lowest, &clusters.0);
                clusters.touched(&mentioned).unwrap_or_default()
            }
        };
        let mut key = key("head", lowest);
        // The head holds what was gathered of its packages, and inputs can make more of it wanted. The debug form names every fact.
        key.add(format!("{:?}", merge.wanted()).as_bytes());
        let sorted: BTreeSet<_> = touched.iter().collect();
        sorted.into_iter().for_each(|name| key.add(name));
        let lowest = lowest as u16;
        Ok((Worlds::Two { lowest, touched }, Some(key.finish())))
    }

    /// Returns how the packages are divided once the head is known.
    pub(super) fn without_head(self) -> Self {
        match self {
            Worlds::Two { lowest, .. } => Worlds::Rest { lowest },
            other => other,
        }
    }

    /// Returns whether a package is in the tail.
    pub(super) fn is_tail(&self, entry: &Entry<'_>) -> bool {
        match self {
            Worlds::One => false,
            Worlds::Two { lowest, touched } => {
                entry.rank != *lowest || touched.contains(&*entry.name.folded())
            }
            Worlds::Rest { .. } => true,
        }
    }

    /// Returns whether an index of an archive is read for the head: warnings about the index as a whole then belong to the head.
    pub(super) fn is_of_head(&self, rank: u16) -> bool {
        match self {
            Worlds::One => true,
            Worlds::Two { lowest, .. } | Worlds::Rest { lowest } => rank == *lowest,
        }
    }

    /// Divides packages.
    pub(super) fn divide<'a>(&self, entries: Vec<Entry<'a>>) -> Both<Vec<Entry<'a>>> {
        let (tail, head) = match self {
            Worlds::One => (Vec::new(), entries),
            Worlds::Two { .. } => entries.into_iter().partition(|entry| self.is_tail(entry)),
            Worlds::Rest { .. } => (entries, Vec::new()),
        };
        Both { head, tail }
    }

    /// Divides warnings about indices, each with the rank of its archive. Those about indices that were read for a known head are on record
    /// with it.
    pub(super) fn divide_warnings(
        &self,
        warnings: impl IntoIterator<Item = (u16, String)>,
    ) -> Both<Vec<String>> {
        let mut both = Both::<Vec<String>>::default();
        for (rank, warning) in warnings {
            match (self.is_of_head(rank), self) {
                (true, Worlds::Rest { .. }) => {}
                (true, _) => both.head.push(warning),
                (false, _) => both.tail.push(warning),
            }
        }
        both
    }
}

/// A builder of the keys under which a merge keeps what it found out about an input.
struct Key(Sha256);

impl Key {
    fn of(merge: &SuiteMerge<'_>, spec: &str, what: &str, rank: usize) -> Self {
        let mut key = Self(Sha256::new());
        key.add(what.as_bytes());
        key.add(&MERGE_VERSION.to_le_bytes());
        key.add(env!("CARGO_PKG_VERSION").as_bytes());
        key.add(spec.as_bytes());
        key.add(&(rank as u64).to_le_bytes());
        for (_, wanted) in clusters::wanted(merge, rank) {
            for (_, _, name) in wanted {
                let input = merge.inputs.get(rank);
                let index = input.and_then(|input| input.facts().indices.get(&name));
                key.add(name.to_string().as_bytes());
                key.add(&index.map(|index| index.sha256).unwrap_or_default());
            }
        }
        key
    }

    fn add(&mut self, bytes: &[u8]) {
        self.0.update((bytes.len() as u64).to_le_bytes());
        self.0.update(bytes);
    }

    fn finish(self) -> DerivedKey {
        self.0.finalize().into()
    }
}

/// Returns the key of a part of what a key stands for.
pub(super) fn part_of(key: &DerivedKey, part: &str) -> DerivedKey {
    let hasher = Sha256::new().chain_update(key).chain_update(part);
    hasher.finalize().into()
}
