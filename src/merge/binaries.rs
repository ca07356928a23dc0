//! The packages, or the udebs, of all architectures: each architecture is a name space of its own; binary-all holds the stanzas for `all`
//! of the others.

use std::collections::BTreeSet;

use rayon::prelude::*;

use crate::error::Result;
use crate::names::Architecture;
use crate::spec::Family;
use crate::suite_report::{Claimed, SuiteReport};

use super::all::Collector;
use super::claims::Claimable;
use super::describe::describe;
use super::entry::{Entry, Kind};
use super::group::{BinaryGroup, binary_name, group_name};
use super::input::{Sink, SuiteMerge};
use super::left_out;
use super::load::{load, odd_texts};
use super::owners;
use super::rules::{self, Owners};
use super::selection::Selection;
use super::sources::Needed;
use super::texts::{pools, published, texts};

/// The notes that the groups of binaries leave for the indices that follow from them.
#[derive(Clone, Copy)]
pub(super) struct Notes<'a> {
    pub(super) needed: &'a Needed,
    pub(super) claimable: &'a Claimable,
    pub(super) selection: &'a Selection,
}

/// The packages, or the udebs, of all architectures.
pub(super) struct Binaries<'a> {
    merge: &'a SuiteMerge<'a>,
    family: Family,
    owners: Owners,
    collector: Collector,
}

impl<'a> Binaries<'a> {
    pub(super) fn new(merge: &'a SuiteMerge<'a>, family: Family) -> Result<Self> {
        Ok(Self {
            merge,
            family,
            owners: owners::of(merge, family)?,
            collector: Collector::default(),
        })
    }

    pub(super) fn groups(&self) -> Vec<(BinaryGroup<'_>, &Collector)> {
        let architectures = self.merge.spec.name_spaces();
        let group = |architecture| BinaryGroup {
            merge: self.merge,
            family: self.family,
            architecture,
            owners: &self.owners,
        };
        let groups = architectures.into_iter().map(group);
        groups.map(|group| (group, &self.collector)).collect()
    }

    /// Writes binary-all from what the groups have collected; writes nothing if binary-all is not published, or is a group of its own.
    pub(super) fn all(self, sink: &dyn Sink) -> Result<SuiteReport> {
        let merge = self.merge;
        let mut report = SuiteReport::default();
        let configured = &merge.spec.architectures;
        let mut name_spaces = merge.spec.name_spaces().into_iter();
        let Some(all) = configured.iter().find(|a| a.is_all()) else {
            return Ok(report);
        };
        if name_spaces.any(Architecture::is_all) {
            return Ok(report);
        }
        let collected = self.collector.finish();
        let counts = merge
            .spec
            .components
            .par_iter()
            .enumerate()
            .map(|(number, component)| {
                let text = collected.text(number as u16, merge);
                let name = binary_name(self.family, component.clone(), all.clone());
                sink.text(&name, &text)?;
                Ok(text.stanzas() as u64)
            })
            .collect::<Result<Vec<u64>>>()?;
        report
            .packages
            .insert(group_name(self.family, all.as_str()), counts.iter().sum());
        Ok(report)
    }
}

impl BinaryGroup<'_> {
    pub(super) fn run(
        &self,
        collector: &Collector,
        notes: Notes<'_>,
        sink: &dyn Sink,
    ) -> Result<SuiteReport> {
        let merge = self.merge;
        let components = &merge.spec.components;
        let loaded = load(merge, self.wanted())?;
        let rules = self.rules();
        let (mut entries, strays) = self.entries(&loaded)?;
        let elsewhere = self.elsewhere(&entries, &rules);
        let others = load(merge, self.wanted_elsewhere(&elsewhere))?;
        entries.extend(self.all_elsewhere(&elsewhere, &others)?);
        let outcome = rules::apply(entries, &rules);
        let pools = pools(merge);
        collector.add(outcome.kept.iter().map(|e| (e, published(e, &pools))));
        notes.needed.add(&outcome, |_| true);
        notes.claimable.add(self.family, &outcome);
        if self.family == Family::Packages {
            notes.selection.add_descriptions(&outcome.kept);
            notes
                .selection
                .add(self.architecture.as_str(), &outcome.kept);
        } else {
            notes
                .selection
                .add(&format!("udeb-{}", self.architecture), &outcome.kept);
        }
        let group = group_name(self.family, self.architecture.as_str());
        let left_out = left_out::flawed(merge, &outcome, &group);
        let mut report = describe(merge, &outcome, group, Kind::Binary);
        report.unasked = Some(self.unasked(&outcome.kept));
        report.warnings.extend(odd_texts(&loaded));
        report.warnings.extend(strays);
        report.warnings.extend(left_out);
        if self.family == Family::Packages {
            for (watch, packages) in &merge.spec.watch {
                let users = outcome
                    .kept
                    .iter()
                    .filter(|e| rules::needs_any(e, packages.iter()));
                report.watched.insert(
                    watch.to_string(),
                    users.map(|e| e.name.to_string()).collect(),
                );
            }
        }
        let texts = texts(merge, &outcome.kept, &pools);
        // The entries take up as much memory as a third of their index, and to compress that takes long.
        drop(outcome);
        components
            .par_iter()
            .zip(&texts)
            .try_for_each(|(component, text)| {
                sink.text(
                    &binary_name(self.family, component.clone(), self.architecture.clone()),
                    text,
                )
            })?;
        Ok(report)
    }

    /// Returns the published packages that are installed or kept unasked.
    fn unasked(&self, published: &[Entry<'_>]) -> BTreeSet<Claimed> {
        let claimed = published.iter().filter(|e| e.may_claim).flat_map(|e| {
            let archive = self.merge.archive(e.rank);
            let of = move |claim| Claimed {
                claim,
                package: e.name.to_string(),
                archive: archive.to_owned(),
            };
            e.claims.iter().map(of)
        });
        claimed.collect()
    }
}
