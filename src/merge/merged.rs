//! The merge of one suite: its index groups, one after the other or side by side.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::Write;
use std::sync::OnceLock;

use crate::error::Result;
use crate::indices::IndexName;
use crate::spec::Family;
use crate::suite_report::SuiteReport;
use crate::text::IndexText;

use super::absent::absent;
use super::binaries::Binaries;
use super::head::{Head, PartReport};
use super::input::{DerivedKey, Sink, SuiteMerge};
use super::pass::{Notes, Pass};
use super::queue;
use super::selection::{OfHead, Published, Selected, WantedFacts};
use super::source_group::source_group;
use super::worlds::{Both, Worlds};
use super::{commands, contents, contested, dep11, translations};

/// Merges a suite; gives every index that it publishes to the sink once.
///
/// # Errors
/// [`MergeError::Lost`](super::MergeError::Lost) if the sink no longer has what an earlier merge kept: then the merge has to be made by a
/// sink that knows nothing of it.
pub fn merge_suite(merge: &SuiteMerge<'_>, sink: &dyn Sink) -> Result<SuiteReport> {
    let sink = &InTime { merge, sink };
    merge_worlds(merge, Worlds::of(merge, sink)?, sink)
}

/// Merges a suite as if nothing could be told apart.
#[cfg(any(test, fuzzing))]
pub(crate) fn merge_as_one_world(merge: &SuiteMerge<'_>, sink: &dyn Sink) -> Result<SuiteReport> {
    merge_worlds(merge, (Worlds::One, None), sink)
}

fn merge_worlds(
    merge: &SuiteMerge<'_>,
    (worlds, key): (Worlds, Option<DerivedKey>),
    sink: &dyn Sink,
) -> Result<SuiteReport> {
    let (parts, selected) = match key.map(|key| (key, Head::recall(sink, &key))) {
        Some((key, Some((head, contested)))) => {
            let rest = contested::rest(merge, &contested);
            let worlds = worlds.without_head();
            let pass = Pass::new(&rest, &worlds, Some(&head), sink, false);
            let (mut parts, published) = packages(&pass)?;
            parts.head = head.report;
            let of_head = OfHead::Kept {
                digests: head.digests,
                read: Box::new(move || Head::published(sink, &key)),
                here: OnceLock::new(),
            };
            (parts, Selected::new(of_head, published.tail))
        }
        unknown => {
            let pass = Pass::new(merge, &worlds, None, sink, unknown.is_some());
            let (parts, published) = packages(&pass)?;
            if let Some(((key, _), gathered)) = unknown.zip(pass.finish()) {
                let head = Head {
                    report: parts.head.clone(),
                    digests: published.head.digests().clone(),
                    indices: gathered.indices,
                };
                head.keep(sink, &key, &gathered.contested, &published.head);
            }
            let of_head = OfHead::Here(published.head);
            (parts, Selected::new(of_head, published.tail))
        }
    };
    let mut all = parts.head;
    all.absorb(parts.tail);
    let mut report = all.finish();
    report.warnings.extend(absent(merge.spec, &merge.inputs));
    let families: [(Family, FamilyMerge); 4] = [
        (Family::Contents, contents::merge),
        (Family::Translations, translations::merge),
        (Family::Dep11, dep11::merge),
        (Family::Commands, commands::merge),
    ];
    for (family, merge_family) in families {
        if merge.spec.families.contains(&family) {
            let warnings = merge_family(merge, &selected, sink)?;
            report.warnings.extend(warnings);
        }
    }
    Ok(report.bounded())
}

/// Merges the packages of a pass; returns the reports, and what is published.
fn packages(pass: &Pass<'_>) -> Result<(Both<PartReport>, Both<Published>)> {
    let merge = pass.merge;
    let wanted = merge.wanted();
    let notes = Both {
        head: Notes::new(wanted),
        tail: Notes::new(wanted),
    };
    let families = [Family::Packages, Family::Installer];
    let of_binaries = families.iter().filter(|f| merge.spec.families.contains(f));
    let binaries = of_binaries.map(|f| Binaries::new(merge, *f));
    let binaries: Vec<_> = binaries.collect::<Result<_>>()?;
    let groups: Vec<_> = binaries.iter().flat_map(Binaries::groups).collect();
    let mut reports = queue::each(groups, |(group, collectors)| {
        group.run(pass, collectors, &notes)
    })?;
    let [head, tail] = [notes.head, notes.tail].map(Notes::divide);
    let selections = Both {
        head: &head.1,
        tail: &tail.1,
    };
    // The indices that follow from the binaries: the sources, which take longest, and binary-all.
    let mut rest: Vec<Box<dyn FnOnce() -> Result<Both<PartReport>> + Send>> = Vec::new();
    if merge.spec.families.contains(&Family::Sources) {
        let notes = Both {
            head: head.0,
            tail: tail.0,
        };
        rest.push(Box::new(move || source_group(pass, notes, selections)));
    }
    for binaries in binaries {
        rest.push(Box::new(move || binaries.all(pass)));
    }
    reports.extend(queue::each(rest, |group| group())?);
    let mut parts = Both::<PartReport>::default();
    for report in reports {
        parts.head.absorb(report.head);
        parts.tail.absorb(report.tail);
    }
    let published = Both {
        head: head.1.finish(),
        tail: tail.1.finish(),
    };
    Ok((parts, published))
}

/// A function that merges the indices of a family that speaks of published packages; it returns the warnings.
type FamilyMerge = fn(&SuiteMerge<'_>, &Selected<'_>, &dyn Sink) -> Result<BTreeSet<String>>;

impl SuiteMerge<'_> {
    /// Returns the facts about published packages that the merged families need.
    pub(super) fn wanted(&self) -> WantedFacts {
        let has = |family| self.spec.families.contains(&family);
        let mut inputs = self.inputs.iter();
        let beside = |name: &IndexName| matches!(name, IndexName::SuiteContents(_));
        WantedFacts {
            names: has(Family::Contents) || has(Family::Dep11) || has(Family::Commands),
            descriptions: has(Family::Translations),
            places: has(Family::Commands)
                || (has(Family::Contents)
                    && inputs.any(|input| input.facts().indices.keys().any(beside))),
        }
    }
}

/// A sink that takes no index any more once the deadline is over.
struct InTime<'a> {
    merge: &'a SuiteMerge<'a>,
    sink: &'a dyn Sink,
}

impl Sink for InTime<'_> {
    fn text(&self, name: &IndexName, text: &IndexText<'_>) -> Result<Option<Vec<u8>>> {
        self.merge.in_time()?;
        self.sink.text(name, text)
    }

    fn stream(
        &self,
        name: &IndexName,
        produce: &mut dyn FnMut(&mut dyn Write) -> Result<()>,
    ) -> Result<()> {
        self.merge.in_time()?;
        self.sink.stream(name, produce)
    }

    fn scratch(&self) -> Result<File> {
        self.sink.scratch()
    }

    fn recall(&self, names: &[IndexName], key: &DerivedKey) -> Result<Option<BTreeSet<String>>> {
        self.sink.recall(names, key)
    }

    fn remember(&self, names: &[IndexName], key: &DerivedKey, warnings: &BTreeSet<String>) {
        self.sink.remember(names, key, warnings);
    }

    fn kept(&self, key: &DerivedKey) -> Option<Vec<u8>> {
        self.sink.kept(key)
    }

    fn keep(&self, key: &DerivedKey, content: &[u8]) {
        self.sink.keep(key, content);
    }

    fn keep_on(&self, key: &DerivedKey) -> bool {
        self.sink.keep_on(key)
    }
}
