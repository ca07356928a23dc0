//! Files under by-hash, and patches: decides which of those that no Release names any more are kept, and for how long.

use std::collections::BTreeMap;

use crate::manifest::{Manifest, ManifestFile};
use crate::workspace::LastReferenced;

use super::settings::Retention;

/// Returns the files under by-hash and the patches of a suite.
pub(super) fn existing(manifest: &Manifest) -> impl Iterator<Item = &String> {
    manifest.files.keys().filter(|path| {
        let mut parts = path.rsplit('/');
        let (name, dir) = (parts.next().unwrap_or_default(), parts.next());
        let is_patch = name.ends_with(".gz") && dir.is_some_and(|dir| dir.ends_with(".diff"));
        is_patch || parts.next() == Some("by-hash")
    })
}

/// Decides which of the existing files stay for clients that have read an earlier Release.
///
/// `named` has the files of the new Release, and the patches that its lists name; `before` is the record of files that the last one did not name. For a file
/// that the last Release named, or that has no record, counting begins now. A file is removed only when both bounds are
/// passed: it was not named for more generations and for more days than the configuration says.
pub(super) fn retained<'a>(
    existing: impl Iterator<Item = &'a String>,
    named: &BTreeMap<String, ManifestFile>,
    before: &BTreeMap<String, LastReferenced>,
    retention: Retention,
    now: i64,
) -> BTreeMap<String, LastReferenced> {
    let seconds = i64::try_from(retention.days.saturating_mul(86_400)).unwrap_or(i64::MAX);
    existing
        .filter(|path| !named.contains_key(*path))
        .map(|path| {
            let age = before.get(path).map_or(
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
            (path.clone(), age)
        })
        .filter(|(_, age)| {
            age.generations <= retention.generations || now.saturating_sub(age.time) <= seconds
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::manifest::FileDigests;

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
            ["a".to_owned()].iter(),
            &BTreeMap::new(),
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
        let file = ManifestFile {
            digests: FileDigests::of(b""),
            modified: 0,
        };
        let named = [("a".to_owned(), file)].into();
        let old = [(
            "a".to_owned(),
            LastReferenced {
                generations: 9,
                time: 0,
            },
        )]
        .into();
        let kept = retained(
            ["a".to_owned()].iter(),
            &named,
            &old,
            Retention::default(),
            100 * DAY,
        );
        assert!(kept.is_empty());
        assert_eq!(step(&kept, 100 * DAY)["a"].generations, 1);
    }
}
