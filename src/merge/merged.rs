//! The merge of one suite: its index groups, one after the other or side by side.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::Write;

use crate::error::Result;
use crate::indices::IndexName;
use crate::spec::Family;
use crate::suite_report::SuiteReport;
use crate::text::Text;

use super::absent::absent;
use super::binaries::{Binaries, Notes};
use super::claims::Claimable;
use super::input::{DerivedKey, Sink, SuiteMerge};
use super::queue;
use super::selection::{Selected, Selection, WantedFacts};
use super::source_group::source_group;
use super::sources::Needed;
use super::{commands, contents, dep11, translations};

/// Merges a suite; gives every index that it publishes to the sink once.
pub fn merge_suite(merge: &SuiteMerge<'_>, sink: &dyn Sink) -> Result<SuiteReport> {
    let sink = &InTime { merge, sink };
    let (needed, claimable) = (Needed::default(), Claimable::default());
    let selection = Selection::new(merge.wanted());
    let notes = Notes {
        needed: &needed,
        claimable: &claimable,
        selection: &selection,
    };
    let families = [Family::Packages, Family::Installer];
    let of_binaries = families.iter().filter(|f| merge.spec.families.contains(f));
    let binaries = of_binaries.map(|f| Binaries::new(merge, *f));
    let binaries: Vec<_> = binaries.collect::<Result<_>>()?;
    let groups: Vec<_> = binaries.iter().flat_map(Binaries::groups).collect();
    let mut reports = queue::each(groups, |(group, collector)| {
        group.run(collector, notes, sink)
    })?;
    // The indices that follow from the binaries: the sources, which take longest, and binary-all.
    let mut rest: Vec<Box<dyn FnOnce() -> Result<SuiteReport> + Send>> = Vec::new();
    if merge.spec.families.contains(&Family::Sources) {
        let selection = &selection;
        rest.push(Box::new(move || {
            source_group(merge, (needed, claimable), selection, sink)
        }));
    }
    for binaries in binaries {
        rest.push(Box::new(move || binaries.all(sink)));
    }
    reports.extend(queue::each(rest, |group| group())?);
    let mut report = SuiteReport {
        warnings: absent(merge.spec, &merge.inputs),
        ..SuiteReport::default()
    };
    for group in reports {
        report.absorb(group);
    }
    let selected = selection.finish();
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

/// A function that merges the indices of a family that speaks of published packages; it returns the warnings.
type FamilyMerge = fn(&SuiteMerge<'_>, &Selected, &dyn Sink) -> Result<BTreeSet<String>>;

impl SuiteMerge<'_> {
    /// Returns the facts about published packages that the merged families need.
    fn wanted(&self) -> WantedFacts {
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
    fn text(&self, name: &IndexName, text: &Text<'_>) -> Result<()> {
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
}
