//! Precedence and bans: which of the entries of one name space are published, and why the others are not.

use std::collections::HashMap;

use crate::config::{Bans, PackageName};
use crate::deb822::{alternatives, compare_versions};

use super::entry::Entry;

/// Why an entry is not published.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Drop {
    /// It is banned by its own name.
    BannedName,
    /// It cannot be installed without this banned package.
    BannedDependency(String),
}

/// An overlay's package that is older than what it hides.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct OlderFork {
    pub(crate) package: String,
    pub(crate) winner: String,
    pub(crate) hidden: String,
}

/// What the rules made of the entries of one name space.
pub(crate) struct Outcome<'a> {
    /// In the order of publication: by name, version, architecture.
    pub(crate) kept: Vec<Entry<'a>>,
    /// Winners that a ban took away.
    pub(crate) dropped: Vec<(Entry<'a>, Drop)>,
    /// What a higher archive hides.
    pub(crate) hidden: Vec<Entry<'a>>,
    /// Names whose winner is older than the newest version that it hides.
    pub(crate) older: Vec<OlderFork>,
}

/// Applies precedence, then bans.
///
/// A name belongs to the first archive in order that has it, in any component; all of that archive's versions stay. A
/// banned winner is not replaced by a loser. `exempt` are the ranks of archives that bans do not touch.
pub(crate) fn apply<'a>(mut entries: Vec<Entry<'a>>, bans: &Bans, exempt: &[u16]) -> Outcome<'a> {
    sort(&mut entries);
    // An archive that has a package both in its arch index and in binary-all, or in two components, has it once.
    entries.dedup_by(|b, a| {
        (a.name, a.version, a.architecture, a.rank) == (b.name, b.version, b.architecture, b.rank)
    });
    let mut owner: HashMap<&[u8], u16> = HashMap::with_capacity(entries.len());
    for entry in &entries {
        let rank = owner.entry(entry.name).or_insert(entry.rank);
        *rank = (*rank).min(entry.rank);
    }
    let mut outcome = Outcome {
        kept: Vec::with_capacity(entries.len()),
        dropped: Vec::new(),
        hidden: Vec::new(),
        older: Vec::new(),
    };
    for same_name in entries.chunk_by(|a, b| a.name == b.name) {
        let winner = owner.get(same_name[0].name).copied().unwrap_or_default();
        let (won, lost): (Vec<_>, Vec<_>) = same_name.iter().partition(|e| e.rank == winner);
        outcome.older.extend(older_fork(&won, &lost));
        outcome.hidden.extend(lost);
        for entry in won {
            match drop_reason(entry, bans).filter(|_| !exempt.contains(&entry.rank)) {
                Some(reason) => outcome.dropped.push((*entry, reason)),
                None => outcome.kept.push(*entry),
            }
        }
    }
    outcome
}

/// The order of publication: name, version, architecture; then what makes it the same whatever order the inputs came in.
pub(crate) fn sort(entries: &mut [Entry<'_>]) {
    use rayon::slice::ParallelSliceMut;
    entries.par_sort_unstable_by(|a, b| {
        a.name
            .cmp(b.name)
            .then_with(|| compare_versions(a.version, b.version))
            .then_with(|| a.version.cmp(b.version))
            .then_with(|| a.architecture.cmp(b.architecture))
            .then_with(|| (a.rank, a.component).cmp(&(b.rank, b.component)))
            .then_with(|| a.raw.cmp(b.raw))
    });
}

fn older_fork(won: &[&Entry<'_>], lost: &[&Entry<'_>]) -> Option<OlderFork> {
    let newest = |entries: &[&Entry<'_>]| -> Option<Vec<u8>> {
        let versions = entries.iter().map(|e| e.version);
        versions
            .max_by(|a, b| compare_versions(a, b))
            .map(<[u8]>::to_vec)
    };
    let (winner, hidden) = (newest(won)?, newest(lost)?);
    compare_versions(&winner, &hidden)
        .is_lt()
        .then(|| OlderFork {
            package: lossy(won[0].name),
            winner: lossy(&winner),
            hidden: lossy(&hidden),
        })
}

fn drop_reason(entry: &Entry<'_>, bans: &Bans) -> Option<Drop> {
    if bans.packages.is_empty() {
        return None;
    }
    if is_banned(entry.name, bans) {
        return Some(Drop::BannedName);
    }
    [entry.pre_depends, entry.depends]
        .into_iter()
        .find_map(|field| {
            alternatives(field).find_map(|mut clause| {
                let first = clause.clone().next()?.name;
                let all_banned = clause.all(|a| is_banned(a.name, bans));
                all_banned.then(|| Drop::BannedDependency(lossy(first)))
            })
        })
}

fn is_banned(name: &[u8], bans: &Bans) -> bool {
    std::str::from_utf8(name).is_ok_and(|name| bans.packages.contains::<str>(name))
}

/// Whether an entry needs one of `packages` to be installed, in any alternative.
pub(crate) fn needs_any<'p>(
    entry: &Entry<'_>,
    packages: impl Iterator<Item = &'p PackageName> + Clone,
) -> bool {
    [entry.pre_depends, entry.depends]
        .into_iter()
        .flat_map(|field| alternatives(field).flatten())
        .any(|a| packages.clone().any(|p| p.as_str().as_bytes() == a.name))
}

pub(crate) fn lossy(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use proptest::prelude::*;

    use super::super::entry::{Kind, entries};
    use super::*;

    fn stanza(name: &str, version: &str, more: &str) -> String {
        format!(
            "Package: {name}\nVersion: {version}\nArchitecture: amd64\nFilename: pool/{name}_{version}.deb\n{more}\n"
        )
    }

    fn bans(names: &[&str]) -> Bans {
        Bans {
            packages: names
                .iter()
                .map(|n| PackageName::new(*n).unwrap())
                .collect(),
            ..Bans::default()
        }
    }

    fn run(inputs: &[String], bans: &Bans) -> (Vec<String>, Vec<String>, Vec<OlderFork>) {
        let mut all = Vec::new();
        for (rank, text) in inputs.iter().enumerate() {
            all.extend(entries(text.as_bytes(), Kind::Binary, rank as u16, 0).unwrap());
        }
        let outcome = apply(all, bans, &[]);
        let show = |e: &Entry<'_>| format!("{}={}@{}", lossy(e.name), lossy(e.version), e.rank);
        (
            outcome.kept.iter().map(show).collect(),
            outcome.dropped.iter().map(|(e, _)| show(e)).collect(),
            outcome.older,
        )
    }

    #[test]
    fn the_first_archive_wins_with_all_its_versions() {
        let overlay = stanza("a", "1", "") + &stanza("a", "2", "");
        let main = stanza("a", "3", "") + &stanza("b", "1", "");
        let (kept, _, older) = run(&[overlay, main], &bans(&[]));
        assert_eq!(kept, ["a=1@0", "a=2@0", "b=1@1"]);
        assert_eq!(
            (older[0].winner.as_str(), older[0].hidden.as_str()),
            ("2", "3")
        );
    }

    #[test]
    fn bans_reach_through_whole_clauses_only_and_take_the_winner() {
        let overlay = stanza("w", "2", "Depends: x,systemd(>= 1)\n");
        let main = stanza("w", "1", "")
            + &stanza("any", "1", "Depends: systemd:any\n")
            + &stanza("pre", "1", "Pre-Depends: systemd [amd64] <!nocheck>\n")
            + &stanza("both", "1", "Depends: systemd | systemd-sysv\n")
            + &stanza(
                "free",
                "1",
                "Depends: systemd | sysvinit\nRecommends: systemd\n",
            )
            + &stanza("systemd", "1", "")
            + &stanza("systemd-cron", "1", "");
        let (kept, dropped, _) = run(&[overlay, main], &bans(&["systemd", "systemd-sysv"]));
        assert_eq!(kept, ["free=1@1", "systemd-cron=1@1"]);
        assert_eq!(
            dropped,
            ["any=1@1", "both=1@1", "pre=1@1", "systemd=1@1", "w=2@0"]
        );
    }

    fn archive() -> impl Strategy<Value = Vec<(String, String, Option<String>)>> {
        proptest::collection::vec(("[a-e]", "[1-3]", proptest::option::of("[a-e]")), 0..8)
    }

    proptest! {
        #[test]
        fn properties(archives in proptest::collection::vec(archive(), 1..4), banned in "[a-e]", rotate in 0usize..8) {
            let text = |a: &[(String, String, Option<String>)]| a.iter()
                .map(|(n, v, d)| stanza(n, v, &d.as_ref().map_or(String::new(), |d| format!("Depends: {d}\n"))))
                .collect::<String>();
            let inputs: Vec<String> = archives.iter().map(|a| text(a)).collect();
            let (kept, dropped, _) = run(&inputs, &bans(&[&banned]));
            // Nothing is published that no input had; every name of the union is accounted for by its first archive.
            for line in kept.iter().chain(&dropped) {
                let (name, rest) = line.split_once('=').unwrap();
                let (version, rank) = rest.split_once('@').unwrap();
                let rank: usize = rank.parse().unwrap();
                prop_assert!(archives[rank].iter().any(|(n, v, _)| n == name && v == version));
                prop_assert!(archives[..rank].iter().flatten().all(|(n, _, _)| n != name));
            }
            prop_assert!(kept.iter().all(|l| !l.starts_with(&banned)));
            for (n, _, _) in archives.iter().flatten() {
                let prefix = format!("{n}=");
                prop_assert!(kept.iter().chain(&dropped).any(|l| l.starts_with(&prefix)));
            }
            // The order of stanzas in a file does not matter, as long as no two of them have one key.
            let distinct = |a: &Vec<(String, String, Option<String>)>| {
                let mut keys: Vec<_> = a.iter().map(|(n, v, _)| (n, v)).collect();
                keys.sort();
                keys.windows(2).all(|w| w[0] != w[1])
            };
            if archives.iter().all(distinct) {
                let rotated: Vec<String> = archives.iter().map(|a| {
                    let mut a = a.clone();
                    if !a.is_empty() { let n = rotate % a.len(); a.rotate_left(n); }
                    text(&a)
                }).collect();
                prop_assert_eq!(run(&rotated, &bans(&[&banned])).0, kept);
            }
        }
    }
}
