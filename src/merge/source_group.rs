//! The sources of a suite, which follow from the published binaries.

use std::collections::BTreeSet;

use rayon::prelude::*;

use crate::error::Result;
use crate::indices::IndexName;
use crate::suite_report::ForeignSource;

use super::claims::{self, Claimable, Claims, Trimmed};
use super::describe::describe;
use super::entry::{Entry, Kind};
use super::head::PartReport;
use super::input::SuiteMerge;
use super::left_out::{self, Ranked};
use super::load::{Loaded, load, odd_texts, wanted_sources};
use super::pass::Pass;
use super::rules::{Outcome, Rules};
use super::selection::Selection;
use super::sources::{self, Needed, SourceOutcome};
use super::texts::{pools, texts};
use super::worlds::Both;

/// The name of the group in reports.
const GROUP: &str = "source";

/// The sources of a head or a tail.
struct Merged<'a> {
    outcome: Outcome<'a>,
    missing: BTreeSet<String>,
    foreign: BTreeSet<ForeignSource>,
}

/// Merges the sources, and hands their indices over.
pub(super) fn source_group(
    pass: &Pass<'_>,
    notes: Both<(Needed, Claimable)>,
    selections: Both<&Selection>,
) -> Result<Both<PartReport>> {
    let merge = pass.merge;
    let loaded = load(merge, wanted_sources(merge))?;
    let rules = Rules::new(merge, None);
    let read = |index| read_sources(index, &rules);
    let parsed: Vec<_> = loaded.par_iter().map(read).collect::<Result<_>>()?;
    let (entries, skipped): (Vec<_>, Vec<_>) = parsed.into_iter().unzip();
    let entries = pass.worlds.divide(entries.concat());
    pass.contested(&loaded, &entries.tail);
    let found = entries.zip(notes);
    let found = found.map(|(entries, notes)| apply(merge, &rules, entries, notes));
    let (head, tail) = (found.head, found.tail);
    let trimmed = Both {
        head: head.1,
        tail: tail.1,
    };
    let merged = Both {
        head: head.0,
        tail: tail.0,
    };
    let merged = merged.zip(trimmed.as_ref());
    let merged = merged.map(|(mut merged, trimmed)| -> Result<Merged<'_>> {
        let published = &mut merged.outcome.kept;
        merged
            .foreign
            .extend(claims::tell(merge, published, trimmed));
        claims::replace(published, trimmed)?;
        Ok(merged)
    });
    let merged = Both {
        head: merged.head?,
        tail: merged.tail?,
    };
    let outcomes = merged.as_ref().map(|merged| &merged.outcome);
    let mut reports = outcomes.zip(selections).map(|(outcome, selection)| {
        selection.add(GROUP, &outcome.kept);
        report(merge, outcome)
    });
    let pools = pools(merge);
    let both = merged
        .as_ref()
        .map(|merged| texts(merge, &merged.outcome.kept, &pools));
    let components = merge.spec.components.par_iter();
    let both = both.head.par_iter().zip(&both.tail);
    components
        .zip(both)
        .try_for_each(|(component, (head, tail))| {
            pass.text(&IndexName::Sources(component.clone()), Both { head, tail })
        })?;
    let warnings = odd_texts(&loaded)
        .into_iter()
        .chain(skipped.into_iter().flatten());
    let warnings = pass.worlds.divide_warnings(warnings);
    let parts = [
        (&mut reports.head.report, merged.head, warnings.head),
        (&mut reports.tail.report, merged.tail, warnings.tail),
    ];
    for (report, merged, warnings) in parts {
        report.without_source = merged.missing;
        report.foreign_sources = merged.foreign;
        report.warnings.extend(warnings);
    }
    Ok(reports)
}

/// Applies the rules to the sources of one world; also returns the sources that list names of other archives.
fn apply<'a>(
    merge: &SuiteMerge<'_>,
    rules: &Rules<'_>,
    entries: Vec<Entry<'a>>,
    (needed, claimable): (Needed, Claimable),
) -> (Merged<'a>, Vec<Trimmed>) {
    let found = sources::apply(entries, rules, needed);
    let foreign = found.tell_withheld(merge);
    let SourceOutcome {
        outcome,
        missing,
        owners,
        ..
    } = found;
    let claims = Claims::new(claimable, rules.strategy(), owners, &outcome.kept);
    let trimmed = claims.trim(&outcome.kept);
    let merged = Merged {
        outcome,
        missing,
        foreign,
    };
    (merged, trimmed)
}

fn report(merge: &SuiteMerge<'_>, outcome: &Outcome<'_>) -> PartReport {
    let mut report = describe(merge, outcome, GROUP.into(), Kind::Source);
    // The report has bans and forks for binaries only; what a ban removed of the sources follows from these.
    report.banned.clear();
    report.older.clear();
    let left_out = left_out::flawed(merge, outcome, GROUP);
    PartReport {
        report,
        left_out: [(GROUP.to_owned(), left_out)].into(),
    }
}

/// Returns the sources of an index, and the warnings about stanzas that are of none, each with the rank of the index's archive.
fn read_sources<'a>(index: &'a Loaded, rules: &Rules<'_>) -> Result<(Vec<Entry<'a>>, Ranked)> {
    let parsed = index.parse(Kind::Source)?;
    let warnings = left_out::skipped(index, &parsed.skipped, rules);
    let told = warnings.into_iter().map(|words| (index.rank(), words));
    Ok((parsed.entries, told.collect()))
}
