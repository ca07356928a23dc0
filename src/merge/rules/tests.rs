//! Tests of the rules on small archives: by example, and by properties that hold for all archives.
#![allow(clippy::unwrap_used)]

use proptest::prelude::{prop_assert, prop_assert_eq, proptest};
use proptest::strategy::Strategy as _;

use super::super::entry::{Kind, entries};
use super::*;
use crate::names::ArchiveName;
use crate::spec::{Glob, Globs};

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

fn plain(bans: &Bans) -> Rules<'_> {
    Rules {
        kind: Kind::Binary,
        strategy: Strategy::Order,
        pins: Vec::new(),
        filters: Vec::new(),
        bans,
        exempt: Vec::new(),
        owners: None,
    }
}

fn globs(patterns: &[&str]) -> Globs {
    let globs = patterns.iter().map(|p| Glob::try_from((*p).to_owned()));
    Globs::try_from(globs.collect::<Result<Vec<_>, _>>().unwrap()).unwrap()
}

fn pin(packages: &[&str], sources: &[&str]) -> Pin {
    Pin {
        packages: globs(packages),
        sources: globs(sources),
        archive: ArchiveName::new("any").unwrap(),
        suites: None,
        architectures: None,
    }
}

fn show(e: &Entry<'_>) -> String {
    format!("{}={}@{}", e.name, lossy(e.version), e.rank)
}

fn parsed(inputs: &[String]) -> Vec<Entry<'_>> {
    let inputs = inputs.iter().enumerate();
    inputs
        .flat_map(|(rank, text)| {
            let parsed = entries(text.as_bytes(), Kind::Binary, rank as u16, 0);
            parsed.unwrap().entries
        })
        .collect()
}

fn run_with(inputs: &[String], rules: &Rules<'_>) -> (Vec<String>, Vec<String>, Vec<OlderFork>) {
    let outcome = apply(parsed(inputs), rules);
    (
        outcome.kept.iter().map(show).collect(),
        outcome.dropped.iter().map(|(e, _)| show(e)).collect(),
        outcome.older,
    )
}

fn run(inputs: &[String], bans: &Bans) -> (Vec<String>, Vec<String>, Vec<OlderFork>) {
    run_with(inputs, &plain(bans))
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

fn archive() -> impl proptest::strategy::Strategy<Value = Vec<(String, String, Option<String>)>> {
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
        // Every published line comes from an input, and for every name of the union the first archive that has it decides.
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

#[test]
fn the_newest_wins_and_the_order_decides_between_equals() {
    let overlay = stanza("a", "1", "") + &stanza("b", "1.0", "") + &stanza("c", "2", "");
    let main = stanza("a", "2", "")
        + &stanza("a", "0", "")
        + &stanza("b", "0:1.0-0", "")
        + &stanza("c", "1", "");
    let none = bans(&[]);
    let rules = Rules {
        strategy: Strategy::Newest,
        ..plain(&none)
    };
    let (kept, _, older) = run_with(&[overlay, main], &rules);
    assert_eq!(kept, ["a=0@1", "a=2@1", "b=1.0@0", "c=2@0"]);
    assert_eq!(older, []);
}

#[test]
fn the_first_pin_whose_archive_has_the_name_decides() {
    let none = bans(&[]);
    let overlay = stanza("fox", "1", "") + &stanza("fox-doc", "1", "") + &stanza("tool", "1", "");
    let security = stanza("fox", "2", "");
    let main = stanza("fox", "3", "")
        + &stanza("fox-doc", "3", "")
        + &stanza("libtool", "3", "Source: tool (2.9)\n")
        + &stanza("tool", "3", "Source: tool (2.9)\n");
    let inputs = [overlay, security, main];
    let (by_name, by_source) = (pin(&["fox*"], &[]), pin(&[], &["tool"]));
    let rules = |pins| Rules {
        pins,
        ..plain(&none)
    };
    // The security archive has no fox-doc, so the second pin decides.
    let first = rules(vec![(1, 1, &by_name), (2, 2, &by_name), (3, 2, &by_source)]);
    let (kept, _, _) = run_with(&inputs, &first);
    assert_eq!(kept, ["fox=2@1", "fox-doc=3@2", "libtool=3@2", "tool=3@2"]);
    let other_way = rules(vec![(1, 2, &by_name), (2, 1, &by_name)]);
    let (kept, _, _) = run_with(&inputs, &other_way);
    assert_eq!(kept, ["fox=3@2", "fox-doc=3@2", "libtool=3@2", "tool=1@0"]);
    // A pin is stronger than the strategy too.
    let newest = Rules {
        strategy: Strategy::Newest,
        ..rules(vec![(1, 0, &by_name)])
    };
    let (kept, _, older) = run_with(&inputs, &newest);
    assert_eq!(kept, ["fox=1@0", "fox-doc=1@0", "libtool=3@2", "tool=3@2"]);
    assert_eq!(older.len(), 2);
}

#[test]
fn what_a_filter_leaves_out_is_as_if_it_was_not_there() {
    let none = bans(&[]);
    let overlay = stanza("chess", "1", "Section: contrib/games\nPriority: optional\n")
        + &stanza(
            "doc",
            "1",
            "Source: book\nSection: doc\nPriority: optional\n",
        )
        + &stanza("init", "1", "Section: admin\nPriority: required\n")
        + &stanza("bare", "1", "");
    let main = overlay.replace("Version: 1", "Version: 0");
    let inputs = [overlay, main];
    let filter =
        |packages: &[&str], sources: &[&str], sections: &[&str], priorities: &[&str]| Filter {
            packages: globs(packages),
            sources: globs(sources),
            sections: globs(sections),
            priorities: globs(priorities),
        };
    let of_overlay = |include: Option<&Filter>, exclude: Option<&Filter>| {
        let rules = Rules {
            filters: vec![[include, exclude], [None, None]],
            ..plain(&none)
        };
        let (kept, _, _) = run_with(&inputs, &rules);
        let kept = kept.into_iter().filter(|line| line.ends_with("@0"));
        kept.map(|line| line.replace("=1@0", ""))
            .collect::<Vec<_>>()
    };
    let games = filter(&[], &[], &["games"], &[]);
    let several = filter(&["ba?e"], &["book"], &["contrib/*"], &["required"]);
    let but_chess = filter(&["chess"], &[], &[], &[]);
    assert_eq!(of_overlay(Some(&games), None), ["chess"]);
    assert_eq!(of_overlay(None, Some(&games)), ["bare", "doc", "init"]);
    assert_eq!(
        of_overlay(Some(&several), None),
        ["bare", "chess", "doc", "init"]
    );
    assert_eq!(
        of_overlay(Some(&several), Some(&but_chess)),
        ["bare", "doc", "init"]
    );
    assert!(of_overlay(None, Some(&several)).is_empty());
    // Each name falls to the next archive.
    let rules = Rules {
        filters: vec![[None, Some(&several)], [None, None]],
        ..plain(&none)
    };
    let (kept, _, _) = run_with(&inputs, &rules);
    assert_eq!(kept, ["bare=0@1", "chess=0@1", "doc=0@1", "init=0@1"]);
}

fn transitive(names: &[&str]) -> Bans {
    Bans {
        transitive: true,
        ..bans(names)
    }
}

#[test]
fn transitive_bans_follow_what_was_satisfied_before_and_say_how() {
    let main = stanza("systemd", "1", "Provides: logind\n")
        + &stanza("cron", "1", "Depends: systemd\nProvides: timers (= 2)\n")
        + &stanza("desk", "1", "Depends: nowhere, cron | elsewhere (>= 1)\n")
        + &stanza("dead", "1", "Depends: nowhere\n")
        + &stanza("login", "1", "Pre-Depends: logind\n")
        + &stanza("either", "1", "Depends: logind | sysv\n")
        + &stanza("sysv", "1", "")
        + &stanza("t1", "1", "Depends: timers (>= 1)\n")
        + &stanza("t2", "1", "Depends: timers (>= 3)\n")
        + &stanza("loop-a", "1", "Depends: loop-b\n")
        + &stanza("loop-b", "1", "Depends: loop-a\n")
        + &stanza("tied-a", "1", "Depends: tied-b\n")
        + &stanza("tied-b", "1", "Depends: tied-a, desk:any (= 1)\n");
    let bans = transitive(&["systemd"]);
    let mut rules = plain(&bans);
    let inputs = [String::new(), main];
    let outcome = apply(parsed(&inputs), &rules);
    let names = |entries: &[Entry<'_>]| {
        entries
            .iter()
            .map(|e| e.name.to_string())
            .collect::<Vec<_>>()
    };
    // Bans do not judge a clause that nothing satisfied here, and a cycle that satisfies itself stays.
    assert_eq!(
        names(&outcome.kept),
        ["dead", "either", "loop-a", "loop-b", "sysv", "t2"]
    );
    let why = |name: &str| {
        let mut dropped = outcome.dropped.iter();
        let found = dropped.find(|(e, _)| e.name == Name::from(name));
        found.map(|(_, why)| why.clone()).unwrap()
    };
    assert_eq!(why("cron"), DropReason::BannedDependency("systemd".into()));
    let chain = |name: &str| outcome.chain(&why(name)).collect::<Vec<_>>();
    assert_eq!(chain("login"), ["systemd"]);
    assert_eq!(chain("t1"), ["cron", "systemd"]);
    assert_eq!(chain("tied-a"), ["tied-b", "desk", "cron", "systemd"]);
    let DropReason::Unsatisfied { clause, .. } = why("desk") else {
        panic!("desk is not banned itself");
    };
    assert_eq!(clause, "cron | elsewhere (>= 1)");
    // Bans do not apply to an exempt archive.
    rules.exempt = vec![1];
    assert_eq!(apply(parsed(&inputs), &rules).dropped.len(), 0);
}

#[test]
fn a_lower_archive_satisfies_clauses_of_a_higher_one_and_makes_none_judgeable() {
    let overlay = stanza("openssl", "1", "Depends: libc6 (>= 2)\n")
        + &stanza("keeper", "1", "Depends: logind\n")
        + &stanza("systemd", "1", "Provides: logind\n")
        + &stanza("own", "1", "Depends: logind | libc6\n")
        + &stanza("shim", "1", "Depends: systemd\n")
        + &stanza("user", "1", "Depends: shim\n");
    let main = stanza("x", "1", "Provides: libc6 (= 9)\nDepends: systemd\n")
        + &stanza("y", "1", "Depends: libc6\n");
    let bans = transitive(&["systemd"]);
    let (kept, mut dropped, _) = run(&[overlay.clone(), main.clone()], &bans);
    dropped.sort();
    // The overlay satisfied `logind` itself, so packages that need it are dropped; libc6 may be in another suite, whatever `x` says.
    assert_eq!(kept, ["openssl=1@0"]);
    let gone = [
        "keeper=1@0",
        "own=1@0",
        "shim=1@0",
        "systemd=1@0",
        "user=1@0",
    ];
    assert_eq!(dropped, [&gone[..], &["x=1@1", "y=1@1"]].concat());
    // A package of a lower archive that is left keeps a clause satisfied.
    let main = main + &stanza("elogind", "1", "Provides: logind\n");
    let (kept, _, _) = run(&[overlay, main], &bans);
    assert_eq!(
        kept,
        ["elogind=1@1", "keeper=1@0", "openssl=1@0", "own=1@0"]
    );
}

#[test]
fn a_version_that_remains_must_be_one_that_the_clause_allows() {
    let main = stanza("lib", "1", "")
        + &stanza("lib", "2", "Depends: systemd\n")
        + &stanza("needs-2", "1", "Depends: lib (>= 2)\n")
        + &stanza("needs-any", "1", "Depends: lib\n");
    let bans = transitive(&["systemd"]);
    let (kept, mut dropped, _) = run(&[main], &bans);
    dropped.sort();
    assert_eq!(kept, ["lib=1@0", "needs-any=1@0"]);
    assert_eq!(dropped, ["lib=2@0", "needs-2=1@0"]);
}

/// An alternative: name, operator and version.
type Relation = (String, Option<(&'static str, u8)>);

/// A package of a model: the fields of its stanza, before it is written as text.
#[derive(Debug, Clone)]
struct Model {
    name: String,
    version: u8,
    /// Clauses of alternatives.
    depends: Vec<Vec<Relation>>,
    provides: Vec<(String, Option<u8>)>,
}

impl Model {
    fn text(&self) -> String {
        let mut more = String::new();
        if !self.provides.is_empty() {
            let one =
                |(n, v): &(String, Option<u8>)| v.map_or(n.clone(), |v| format!("{n} (= {v})"));
            let all: Vec<_> = self.provides.iter().map(one).collect();
            more += &format!("Provides: {}\n", all.join(", "));
        }
        let one = |(n, v): &Relation| v.map_or(n.clone(), |(o, v)| format!("{n}({o} {v})"));
        let clause = |c: &Vec<_>| c.iter().map(one).collect::<Vec<_>>().join(" | ");
        let clauses: Vec<_> = self.depends.iter().map(clause).collect();
        // The first clause is a Pre-Depends.
        if let Some((first, rest)) = clauses.split_first() {
            more += &format!("Pre-Depends: {first}\nDepends: {}\n", rest.join(", "));
        }
        stanza(&self.name, &self.version.to_string(), &more)
    }

    fn satisfies(&self, (name, wanted): &Relation) -> bool {
        let allows = |version: Option<u8>| {
            wanted.is_none_or(|(operator, wanted)| {
                version.is_some_and(|version| match operator {
                    "<<" => version < wanted,
                    "<=" => version <= wanted,
                    "=" => version == wanted,
                    ">=" => version >= wanted,
                    _ => version > wanted,
                })
            })
        };
        let mut provides = self.provides.iter();
        self.name == *name && allows(Some(self.version))
            || provides.any(|(provided, version)| provided == name && allows(*version))
    }
}

fn relation() -> impl proptest::strategy::Strategy<Value = (String, Option<u8>)> {
    ("[a-h]", proptest::option::weighted(0.3, 1u8..4))
}

fn wanted() -> impl proptest::strategy::Strategy<Value = Relation> {
    let operator = proptest::sample::select(vec!["<<", "<=", "=", ">=", ">>"]);
    ("[a-h]", proptest::option::weighted(0.4, (operator, 1u8..4)))
}

fn model() -> impl proptest::strategy::Strategy<Value = Model> {
    let clause = proptest::collection::vec(wanted(), 1..3);
    (
        "[a-f]",
        1u8..4,
        proptest::collection::vec(clause, 0..3),
        proptest::collection::vec(relation(), 0..2),
    )
        .prop_map(|(name, version, depends, provides)| Model {
            name,
            version,
            depends,
            provides,
        })
}

fn models() -> impl proptest::strategy::Strategy<Value = Vec<Vec<Model>>> {
    let archive = proptest::collection::vec(model(), 0..10).prop_map(|mut archive| {
        // Each version is one package.
        archive.sort_by(|a, b| (&a.name, a.version).cmp(&(&b.name, b.version)));
        archive.dedup_by(|a, b| (&a.name, a.version) == (&b.name, b.version));
        archive
    });
    proptest::collection::vec(archive, 1..4)
}

fn texts(archives: &[Vec<Model>]) -> Vec<String> {
    let text = |archive: &Vec<Model>| archive.iter().map(Model::text).collect();
    archives.iter().map(text).collect()
}

/// Returns which winners are gone after transitive bans, found the slow way: by testing every package again and again. Each winner comes
/// with its rank.
fn naive(winners: &[(usize, &Model)], banned: &str, drops: &[bool]) -> Vec<bool> {
    let mut gone = drops.to_vec();
    loop {
        let lost = |rank: usize, of: &Model| {
            of.depends.iter().any(|clause| {
                let by = |m: &Model| clause.iter().any(|a| m.satisfies(a));
                let before = winners.iter().any(|(r, m)| *r <= rank && by(m));
                before
                    && !winners
                        .iter()
                        .zip(&gone)
                        .any(|((_, m), gone)| !gone && by(m))
            })
        };
        let next: Vec<bool> = winners
            .iter()
            .zip(&gone)
            .map(|((rank, m), gone)| *gone || m.name == banned || lost(*rank, m))
            .collect();
        if next == gone {
            return gone;
        }
        gone = next;
    }
}

proptest! {
    #[test]
    fn transitive_bans_reach_the_fixpoint_and_no_further(archives in models(), banned in "[a-f]") {
        let inputs = texts(&archives);
        let direct = bans(&[&banned]);
        let (kept, dropped, _) = run(&inputs, &direct);
        let line = |rank: usize, m: &Model| format!("{}={}@{rank}", m.name, m.version);
        let winners: Vec<(String, (usize, &Model))> = archives.iter().enumerate()
            .flat_map(|(rank, a)| a.iter().map(move |m| (line(rank, m), (rank, m))))
            .filter(|(line, _)| kept.contains(line) || dropped.contains(line))
            .collect();
        let drops: Vec<bool> = winners.iter().map(|(line, _)| dropped.contains(line)).collect();
        let models: Vec<(usize, &Model)> = winners.iter().map(|(_, m)| *m).collect();
        let gone = naive(&models, &banned, &drops);
        let mut expected: Vec<&String> = winners.iter().zip(&gone)
            .filter(|(_, gone)| !**gone).map(|((line, _), _)| line).collect();
        expected.sort();
        let all = transitive(&[&banned]);
        let rules = plain(&all);
        let outcome = apply(parsed(&inputs), &rules);
        let mut found: Vec<String> = outcome.kept.iter().map(show).collect();
        found.sort();
        prop_assert_eq!(found.iter().collect::<Vec<_>>(), expected);
        // Every chain leads over dropped packages to one that is banned by name.
        for (_, why) in &outcome.dropped {
            let chain: Vec<String> = outcome.chain(why).collect();
            for (n, name) in chain.iter().enumerate() {
                let went = outcome.dropped.iter().any(|(e, _)| e.name == Name::from(name.as_str()));
                prop_assert!(went || (n + 1 == chain.len() && *name == banned));
            }
            prop_assert!(chain.last().is_none_or(|last| *last == banned));
        }
    }

    #[test]
    fn no_archive_takes_a_package_from_one_above_it(archives in models(), banned in "[a-f]") {
        let inputs = texts(&archives);
        let all = transitive(&[&banned]);
        let (with_lower, _, _) = run(&inputs, &all);
        for alone in 1..inputs.len() {
            let (kept, _, _) = run(&inputs[..alone], &all);
            for line in kept {
                prop_assert!(with_lower.contains(&line), "{line} goes with archives below {alone}");
            }
        }
    }

    #[test]
    fn a_name_belongs_to_its_pin_else_to_the_newest_or_the_first(
        archives in models(), newest: bool, name in "[a-f]", rank in 0u16..3,
    ) {
        let inputs = texts(&archives);
        let (none, pin) = (bans(&[]), pin(&[&name], &[]));
        let strategy = if newest { Strategy::Newest } else { Strategy::Order };
        let rules = Rules { strategy, pins: vec![(1, rank, &pin)], ..plain(&none) };
        let (kept, _, _) = run_with(&inputs, &rules);
        for other in ["a", "b", "c", "d", "e", "f"] {
            let of = |archive: &Vec<Model>| archive.iter()
                .filter(|m| m.name == other).map(|m| m.version).max();
            let best: Vec<Option<u8>> = archives.iter().map(of).collect();
            let pinned = usize::from(rank);
            let is_pinned = name == other
                && best.get(pinned).is_some_and(Option::is_some);
            let owner = match (is_pinned, newest) {
                (true, _) => Some(pinned),
                (false, true) => best.iter().position(|b| b.is_some() && *b == best.iter().copied().flatten().max()),
                (false, false) => best.iter().position(Option::is_some),
            };
            let expected: Vec<String> = owner.into_iter()
                .flat_map(|rank| archives[rank].iter().map(move |m| (rank, m)))
                .filter(|(_, m)| m.name == other)
                .map(|(rank, m)| format!("{other}={}@{rank}", m.version))
                .collect();
            let prefix = format!("{other}=");
            let found: Vec<&String> = kept.iter().filter(|l| l.starts_with(&prefix)).collect();
            prop_assert_eq!(found, expected.iter().collect::<Vec<_>>());
        }
    }

    #[test]
    fn what_is_published_stays_when_the_rules_are_applied_to_it(
        archives in models(), banned in "[a-f]", excluded in "[a-f]", newest: bool, pinned in "[a-f]", follow: bool,
    ) {
        let inputs = texts(&archives);
        let bans = Bans { transitive: follow, ..bans(&[&banned]) };
        let pin = pin(&[&pinned], &[]);
        let filter = Filter { packages: globs(&[&excluded]), ..Filter::default() };
        let rules = Rules {
            strategy: if newest { Strategy::Newest } else { Strategy::Order },
            pins: vec![(1, 1, &pin)],
            filters: vec![[None, Some(&filter)], [None, None], [None, None]],
            ..plain(&bans)
        };
        let outcome = apply(parsed(&inputs), &rules);
        let kept: Vec<String> = outcome.kept.iter().map(show).collect();
        let again = apply(outcome.kept, &rules);
        prop_assert_eq!(again.kept.iter().map(show).collect::<Vec<_>>(), kept.clone());
        prop_assert!(again.dropped.is_empty() && again.hidden.is_empty() && again.excluded.is_empty());
        // The rules give the same for some names alone, as long as names do not depend on each other.
        if !follow {
            let mut some = parsed(&inputs);
            some.retain(|e| e.name < Name::from("d"));
            let found: Vec<String> = apply(some, &rules).kept.iter().map(show).collect();
            let expected: Vec<String> = kept.into_iter().filter(|l| l.as_str() < "d").collect();
            prop_assert_eq!(found, expected);
        }
    }
}
