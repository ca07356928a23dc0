//! The sources of a suite, which follow from the published binaries.

use rayon::prelude::*;

use crate::error::Result;
use crate::indices::IndexName;
use crate::suite_report::SuiteReport;

use super::claims::{self, Claimable, Claims};
use super::describe::describe;
use super::entry::{Entry, Kind};
use super::input::{Sink, SuiteMerge};
use super::left_out;
use super::load::{Loaded, load, odd_texts, wanted_sources};
use super::rules::Rules;
use super::selection::Selection;
use super::sources::{self, Needed, SourceOutcome};
use super::texts::{pools, texts};

/// Merges the sources.
pub(super) fn source_group(
    merge: &SuiteMerge<'_>,
    (needed, claimable): (Needed, Claimable),
    selection: &Selection,
    sink: &dyn Sink,
) -> Result<SuiteReport> {
    let components = &merge.spec.components;
    let loaded = load(merge, wanted_sources(merge))?;
    let rules = Rules::new(merge, None);
    let read = |index| read_sources(index, &rules);
    let parsed: Vec<_> = loaded.par_iter().map(read).collect::<Result<_>>()?;
    let (entries, skipped): (Vec<_>, Vec<_>) = parsed.into_iter().unzip();
    let entries = entries.concat();
    let found = sources::apply(entries, &rules, needed);
    let mut foreign = found.tell_withheld(merge);
    let SourceOutcome {
        mut outcome,
        missing,
        owners,
        ..
    } = found;
    let claims = Claims::new(claimable, rules.strategy(), owners, &outcome.kept);
    let trimmed = claims.trim(&outcome.kept);
    foreign.extend(claims::tell(merge, &outcome.kept, &trimmed));
    claims::replace(&mut outcome.kept, &trimmed)?;
    selection.add("source", &outcome.kept);
    let left_out = left_out::flawed(merge, &outcome, "source");
    let pools = pools(merge);
    let texts = texts(merge, &outcome.kept, &pools);
    components
        .par_iter()
        .zip(&texts)
        .try_for_each(|(component, text)| {
            sink.text(&IndexName::Sources(component.clone()), text)
        })?;
    let mut report = describe(merge, &outcome, "source".into(), Kind::Source);
    // The report has bans and forks for binaries only; what a ban removed of the sources follows from these.
    report.banned.clear();
    report.older.clear();
    report.without_source = missing;
    report.warnings.extend(odd_texts(&loaded));
    report.warnings.extend(skipped.into_iter().flatten());
    report.warnings.extend(left_out);
    report.foreign_sources = foreign;
    Ok(report)
}

/// Returns the sources of an index, and the warnings about stanzas that are of none.
fn read_sources<'a>(index: &'a Loaded, rules: &Rules<'_>) -> Result<(Vec<Entry<'a>>, Vec<String>)> {
    let parsed = index.parse(Kind::Source)?;
    let warnings = left_out::skipped(index, &parsed.skipped, rules);
    Ok((parsed.entries, warnings))
}
