//! Files under by-hash, and patches: decides which of those that no Release names any more are kept, and for how long.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use crate::config::Retention;
use crate::error::Result;
use crate::listing;
use crate::workspace::LastReferenced;

/// Returns the by-hash files and patches of a suite's directory, by path below it; sub-directories that `skip` names belong to other
/// suites.
pub(super) fn existing(suite: &Path, skip: &dyn Fn(&Path) -> bool) -> Result<BTreeSet<String>> {
    let mut found = BTreeSet::new();
    if !suite.is_dir() {
        return Ok(found);
    }
    for entry in listing::below(suite, usize::MAX, |path| !skip(path)) {
        let entry = entry?;
        let path = entry.path().strip_prefix(suite).unwrap_or(entry.path());
        let in_by_hash = path
            .parent()
            .and_then(Path::parent)
            .is_some_and(|p| p.ends_with("by-hash"));
        let is_patch = path.extension().is_some_and(|e| e == "gz")
            && path
                .parent()
                .and_then(Path::extension)
                .is_some_and(|e| e == "diff");
        if (in_by_hash || is_patch) && entry.file_type().is_file() {
            found.extend(
                path.to_str()
                    .filter(|p| !p.contains(crate::durable::TEMP_PREFIX))
                    .map(str::to_owned),
            );
        }
    }
    Ok(found)
}

/// Decides which of the existing files stay for clients that have read an earlier Release.
///
/// `named` has the files that the new Release names; `before` is the record of files that the last one did not name. For a file
/// that the last Release named, or that has no record, counting begins now. A file is removed only when both bounds are
/// passed: it was not named for more generations and for more days than the configuration says.
pub(super) fn retained(
    existing: BTreeSet<String>,
    named: &BTreeSet<String>,
    before: &BTreeMap<String, LastReferenced>,
    retention: Retention,
    now: i64,
) -> BTreeMap<String, LastReferenced> {
    let seconds = i64::try_from(retention.days.saturating_mul(86_400)).unwrap_or(i64::MAX);
    existing
        .into_iter()
        .filter(|path| !named.contains(path))
        .map(|path| {
            let age = before.get(&path).map_or(
                LastReferenced {
                    generations: 1,
                    time: now,
                },
                |last| LastReferenced {
                    generations: last.generations.saturating_add(1),
                    // A clock that was ahead must not keep the file longer.
                    time: last.time.min(now),
                },
            );
            (path, age)
        })
        .filter(|(_, age)| {
            age.generations <= retention.generations || now.saturating_sub(age.time) <= seconds
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: i64 = 86_400;

    fn step(
        before: &BTreeMap<String, LastReferenced>,
        now: i64,
    ) -> BTreeMap<String, LastReferenced> {
        let bounds = Retention {
            generations: 2,
            days: 3,
        };
        retained(
            ["a".to_owned()].into(),
            &BTreeSet::new(),
            before,
            bounds,
            now,
        )
    }

    #[test]
    fn a_file_goes_only_when_generations_and_days_are_over() {
        // Many generations in an hour: the days keep it.
        let mut kept = BTreeMap::new();
        for n in 0..20 {
            kept = step(&kept, n * 60);
            assert!(kept.contains_key("a"));
        }
        assert!(step(&kept, 4 * DAY).is_empty());
        // Few generations in many days: the generations keep it.
        let first = step(&BTreeMap::new(), 0);
        let second = step(&first, 10 * DAY);
        assert!(second.contains_key("a"));
        assert!(step(&second, 20 * DAY).is_empty());
    }

    #[test]
    fn a_named_file_is_not_retained_and_starts_afresh_when_it_is_dropped_again() {
        let named = ["a".to_owned()].into();
        let old = [(
            "a".to_owned(),
            LastReferenced {
                generations: 9,
                time: 0,
            },
        )]
        .into();
        let kept = retained(
            ["a".to_owned()].into(),
            &named,
            &old,
            Retention::default(),
            100 * DAY,
        );
        assert!(kept.is_empty());
        assert_eq!(step(&kept, 100 * DAY)["a"].generations, 1);
    }
}
