//! The packages, or the udebs, of all architectures: each architecture is a name space of its own; binary-all holds the stanzas for `all`
//! of the others.

use std::collections::BTreeSet;

use rayon::prelude::*;

use crate::error::Result;
use crate::names::Architecture;
use crate::spec::Family;
use crate::suite_report::Claimed;

use super::all::Collector;
use super::describe::describe;
use super::entry::{Entry, Kind};
use super::group::{BinaryGroup, binary_name, group_name};
use super::head::PartReport;
use super::input::SuiteMerge;
use super::left_out;
use super::load::{load, odd_texts};
use super::owners;
use super::pass::{Notes, Pass};
use super::rules::{self, Outcome, Owners};
use super::texts::{pools, published, texts};
use super::worlds::Both;

/// The packages, or the udebs, of all architectures.
pub(super) struct Binaries<'a> {
    merge: &'a SuiteMerge<'a>,
    family: Family,
    owners: Owners,
    collectors: Both<Collector>,
}

impl<'a> Binaries<'a> {
    pub(super) fn new(merge: &'a SuiteMerge<'a>, family: Family) -> Result<Self> {
        Ok(Self {
            merge,
            family,
            owners: owners::of(merge, family)?,
            collectors: Both::default(),
        })
    }

    pub(super) fn groups(&self) -> Vec<(BinaryGroup<'_>, &Both<Collector>)> {
        let architectures = self.merge.spec.name_spaces();
        let group = |architecture| BinaryGroup {
            merge: self.merge,
            family: self.family,
            architecture,
            owners: &self.owners,
        };
        let groups = architectures.into_iter().map(group);
        groups.map(|group| (group, &self.collectors)).collect()
    }

    /// Hands over binary-all, from what the groups have collected; does nothing if binary-all is not published, or is a group of its own.
    pub(super) fn all(self, pass: &Pass<'_>) -> Result<Both<PartReport>> {
        let merge = self.merge;
        let mut reports = Both::<PartReport>::default();
        let configured = &merge.spec.architectures;
        let mut name_spaces = merge.spec.name_spaces().into_iter();
        let Some(all) = configured.iter().find(|a| a.is_all()) else {
            return Ok(reports);
        };
        if name_spaces.any(Architecture::is_all) {
            return Ok(reports);
        }
        let collected = self.collectors.map(Collector::finish);
        let counts = merge
            .spec
            .components
            .par_iter()
            .enumerate()
            .map(|(number, component)| {
                let texts = collected.as_ref();
                let texts = texts.map(|stanzas| stanzas.text(number as u16, merge));
                let name = binary_name(self.family, component.clone(), all.clone());
                pass.text(&name, texts.as_ref())?;
                Ok([texts.head.stanzas(), texts.tail.stanzas()])
            })
            .collect::<Result<Vec<_>>>()?;
        for [head, tail] in counts {
            for (report, count) in [(&mut reports.head, head), (&mut reports.tail, tail)] {
                let group = group_name(self.family, all.as_str());
                *report.report.packages.entry(group).or_default() += count as u64;
            }
        }
        Ok(reports)
    }
}

impl BinaryGroup<'_> {
    /// Merges the group, and hands its indices over.
    pub(super) fn run(
        &self,
        pass: &Pass<'_>,
        collectors: &Both<Collector>,
        notes: &Both<Notes>,
    ) -> Result<Both<PartReport>> {
        let merge = self.merge;
        let loaded = load(merge, self.wanted())?;
        let rules = self.rules();
        let (mut entries, mut warnings) = self.entries(&loaded)?;
        let elsewhere = self.elsewhere(&entries, &rules);
        let others = load(merge, self.wanted_elsewhere(&elsewhere))?;
        entries.extend(self.all_elsewhere(&elsewhere, &others)?);
        let entries = pass.worlds.divide(entries);
        pass.contested(&loaded, &entries.tail);
        let outcomes = entries.map(|entries| rules::apply(entries, &rules));
        let pools = pools(merge);
        let parts = outcomes
            .as_ref()
            .zip(collectors.as_ref())
            .zip(notes.as_ref());
        let mut reports = parts.map(|((outcome, collector), notes)| {
            collector.add(outcome.kept.iter().map(|e| (e, published(e, &pools))));
            self.note(outcome, notes);
            self.report(outcome)
        });
        warnings.extend(odd_texts(&loaded));
        let warnings = pass.worlds.divide_warnings(warnings);
        reports.head.report.warnings.extend(warnings.head);
        reports.tail.report.warnings.extend(warnings.tail);
        let texts = outcomes
            .as_ref()
            .map(|outcome| texts(merge, &outcome.kept, &pools));
        // The entries take up as much memory as a third of their index, and to compress that takes long.
        drop(outcomes);
        let components = merge.spec.components.par_iter();
        let texts = texts.head.par_iter().zip(&texts.tail);
        components
            .zip(texts)
            .try_for_each(|(component, (head, tail))| {
                let name = binary_name(self.family, component.clone(), self.architecture.clone());
                pass.text(&name, Both { head, tail })
            })?;
        Ok(reports)
    }

    /// Leaves notes for the indices that follow from the binaries.
    fn note(&self, outcome: &Outcome<'_>, notes: &Notes) {
        notes.needed.add(outcome, |_| true);
        notes.claimable.add(self.family, outcome);
        let (selection, architecture) = (&notes.selection, self.architecture.as_str());
        if self.family == Family::Packages {
            selection.add_descriptions(&outcome.kept);
            selection.add(architecture, &outcome.kept);
        } else {
            selection.add(&format!("udeb-{architecture}"), &outcome.kept);
        }
    }

    fn report(&self, outcome: &Outcome<'_>) -> PartReport {
        let merge = self.merge;
        let group = group_name(self.family, self.architecture.as_str());
        let left_out = left_out::flawed(merge, outcome, &group);
        let mut report = describe(merge, outcome, group.clone(), Kind::Binary);
        report.unasked = Some(self.unasked(&outcome.kept));
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
        PartReport {
            report,
            left_out: [(group, left_out)].into(),
        }
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
