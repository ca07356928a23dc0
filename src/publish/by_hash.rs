//! Files under by-hash, and patches: decides which of those that no Release names any more are kept, and for how long.
//!
//! A suite that changes every few minutes keeps hundreds of generations for its days. `max-bytes` bounds them, but never below what a
//! client needs to end what it began: the files of the last [`FLOOR_GENERATIONS`] generations, and of the last hour, stay whatever they
//! take up.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use crate::manifest::{Manifest, ManifestFile};
use crate::units::ByteSize;
use crate::workspace::{GivenUp, LastReferenced};

use super::settings::Retention;

/// The number of generations for which a file stays after it was named last, whatever it takes up.
const FLOOR_GENERATIONS: u64 = 2;

/// The number of seconds for which it stays.
const FLOOR_SECONDS: i64 = 3600;

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

/// A file with its names, which share its bytes.
#[derive(Default)]
struct Names<'a> {
    paths: Vec<&'a str>,
    /// The time when the last of its names was dropped, with the generations since.
    youngest: Option<(i64, Reverse<u64>)>,
    bytes: u64,
}

/// Takes files out of `retained`, those first that were not named for longest, until the rest is within a bound; says what went.
pub(super) fn bound(
    retained: &mut BTreeMap<String, LastReferenced>,
    files: &BTreeMap<String, ManifestFile>,
    max: ByteSize,
    now: i64,
) -> Option<GivenUp> {
    let mut names: BTreeMap<&str, Names<'_>> = BTreeMap::new();
    for (path, age) in &*retained {
        let Some(file) = files.get(path) else {
            continue;
        };
        let file = &file.digests;
        let entry = names.entry(&file.sha256).or_default();
        entry.paths.push(path);
        entry.bytes = file.size;
        let age = Some((age.time, Reverse(age.generations)));
        entry.youngest = entry.youngest.max(age);
    }
    let mut names: Vec<Names<'_>> = names.into_values().collect();
    names.sort_by(|a, b| (a.youngest, &a.paths).cmp(&(b.youngest, &b.paths)));
    let mut total = names
        .iter()
        .fold(0, |total: u64, file| total.saturating_add(file.bytes));
    let is_old_enough = |file: &&Names<'_>| {
        file.youngest.is_some_and(|(time, Reverse(generations))| {
            generations > FLOOR_GENERATIONS && now.saturating_sub(time) > FLOOR_SECONDS
        })
    };
    let mut given_up = GivenUp::default();
    let mut gone = Vec::new();
    for file in names.iter().filter(is_old_enough) {
        if total <= max.bytes() {
            break;
        }
        total = total.saturating_sub(file.bytes);
        given_up.files += 1;
        given_up.bytes = given_up.bytes.saturating_add(file.bytes);
        gone.extend(file.paths.iter().map(|path| (*path).to_owned()));
    }
    for path in gone {
        retained.remove(&path);
    }
    (given_up.files > 0).then_some(given_up)
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
            max_bytes: None,
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

    #[test]
    fn what_takes_up_too_much_goes_early_and_never_below_the_floor() {
        let mut files = BTreeMap::new();
        let mut retained = BTreeMap::new();
        // Six generations, an hour and a half apart, each with a file of 10 bytes under two names.
        for n in 1..=6u8 {
            for hash in ["SHA256", "SHA512"] {
                let path = format!("by-hash/{hash}/{n}");
                let file = ManifestFile {
                    digests: FileDigests::of(&[n; 10]),
                    modified: 0,
                };
                let age = LastReferenced {
                    generations: u64::from(n),
                    time: 100 * DAY - i64::from(n - 1) * 5400,
                };
                files.insert(path.clone(), file);
                retained.insert(path, age);
            }
        }
        let now = 100 * DAY;
        let bounded = |max| {
            let mut left = retained.clone();
            let given_up = bound(&mut left, &files, ByteSize::from_bytes(max), now);
            let left: Vec<String> = left.into_keys().filter(|p| p.contains("256")).collect();
            (
                left.len(),
                given_up.map(|given_up| (given_up.files, given_up.bytes)),
            )
        };
        assert_eq!(bounded(60), (6, None));
        assert_eq!(bounded(59), (5, Some((1, 10))));
        assert_eq!(bounded(30), (3, Some((3, 30))));
        assert_eq!(bounded(0), (2, Some((4, 40))));
        // Both names of the oldest go.
        let mut left = retained.clone();
        bound(&mut left, &files, ByteSize::from_bytes(50), now);
        assert!(!left.contains_key("by-hash/SHA256/6") && !left.contains_key("by-hash/SHA512/6"));
        // Many generations within an hour.
        let mut young = retained.clone();
        young
            .values_mut()
            .for_each(|age| age.time = now - FLOOR_SECONDS);
        assert_eq!(
            bound(&mut young, &files, ByteSize::from_bytes(0), now),
            None
        );
    }
}
