//! Holds what is left out for the sake of clients against what the apt that is here can read: no stricter, and no laxer.

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::common::programs::has;
use aptmerge::merge::unreadable;
use tempfile::TempDir;

/// An apt with a root of its own, whose lists are whatever is put there.
struct Apt(TempDir);

impl Apt {
    fn new() -> Option<Apt> {
        if !has("apt-cache") {
            return None;
        }
        let dir = tempfile::tempdir().unwrap();
        let path = |name: &str| dir.path().join(name);
        fs::create_dir_all(path("lists/partial")).unwrap();
        fs::create_dir_all(path("cache/archives/partial")).unwrap();
        fs::write(path("status"), "").unwrap();
        let source = "deb [trusted=yes arch=amd64] http://mirror.example s main\n";
        fs::write(path("sources.list"), source).unwrap();
        let release = "Suite: s\nCodename: s\nArchitectures: amd64\nComponents: main\n";
        fs::write(path("lists/mirror.example_dists_s_Release"), release).unwrap();
        Some(Apt(dir))
    }

    /// Whether it can read an index, and then knows the package at its end.
    fn reads(&self, index: &str) -> bool {
        let path = |name: &str| self.0.path().join(name);
        let list = "lists/mirror.example_dists_s_main_binary-amd64_Packages";
        fs::write(path(list), index).unwrap();
        let set = |name: &str, value: &Path| format!("{name}={}", value.display());
        let output = Command::new("apt-cache")
            .args(["-o", &set("Dir::State::status", &path("status"))])
            .args(["-o", &set("Dir::State::lists", &path("lists"))])
            .args(["-o", &set("Dir::Etc::sourcelist", &path("sources.list"))])
            .args(["-o", "Dir::Etc::sourceparts=/dev/null"])
            .args(["-o", &set("Dir::Cache", &path("cache"))])
            .args(["-o", "Dir::Cache::pkgcache="])
            .args(["-o", "Dir::Cache::srcpkgcache="])
            .args(["-o", "APT::Architecture=amd64"])
            .args(["-o", "APT::Architectures=amd64"])
            .arg("pkgnames")
            .env("LC_ALL", "C")
            .output()
            .unwrap();
        let known = String::from_utf8_lossy(&output.stdout).contains("last-of-all\n");
        assert_eq!(output.status.success(), known, "{output:?}");
        known
    }
}

fn stanza(name: &str, fields: &str) -> String {
    let end = if fields.is_empty() { "" } else { "\n" };
    format!(
        "Package: {name}\nVersion: 1.0\nArchitecture: amd64\nDescription: x\nFilename: pool/{name}.deb\nSize: 1\nSHA256: {}\n{fields}{end}\n",
        "0".repeat(64)
    )
}

/// What apt would be given, and what we say of it.
fn index(fields: &[String]) -> (String, Result<(), String>) {
    let stanzas = fields.iter().enumerate();
    let mut text: String = stanzas.map(|(n, f)| stanza(&format!("p{n}"), f)).collect();
    text.push_str(&stanza("last-of-all", ""));
    let mut stanzas = text.split_inclusive("\n\n");
    let verdict = stanzas.find_map(|s| unreadable(s.trim_end_matches('\n').as_bytes()));
    (text, verdict.map_or(Ok(()), Err))
}

/// Each by itself where we refuse it, and together what we let pass.
fn compare(apt: &Apt, all: Vec<String>) -> (usize, usize) {
    let refused = |fields: &String| index(std::slice::from_ref(fields)).1.is_err();
    let (refused, passed): (Vec<_>, Vec<_>) = all.into_iter().partition(refused);
    for fields in &refused {
        let (text, verdict) = index(std::slice::from_ref(fields));
        assert!(!apt.reads(&text), "apt reads it: {fields:?}: {verdict:?}");
    }
    let (text, verdict) = index(&passed);
    verdict.unwrap();
    if !apt.reads(&text) {
        let unreadable: Vec<_> = passed
            .iter()
            .filter(|fields| !apt.reads(&index(std::slice::from_ref(*fields)).0))
            .collect();
        panic!("apt does not read it: {unreadable:?}");
    }
    (refused.len(), passed.len())
}

/// Strings at the edge of what apt's cache can keep, and far beyond where it keeps none.
fn long_strings() -> Vec<String> {
    let mut all = Vec::new();
    for length in [65_534, 65_535, 200_000] {
        let long = "1".repeat(length);
        let blanks = " ".repeat(length);
        all.extend(["Section", "Source"].map(|field| format!("{field}: {long}")));
        for relation in ["Pre-Depends", "Depends", "Suggests", "Breaks", "Provides"] {
            all.push(format!("{relation}: {long}"));
            all.push(format!("{relation}: a, b (= {long})"));
            all.push(format!("{relation}: a, b:{}", &long[2..]));
        }
        all.push(format!("Depends: b (>= 1{blanks}) | a"));
        all.push(format!("Depends: a{blanks}, b"));
        all.push(format!("Source: a ({long})"));
        all.push(format!("Source: a{blanks}(1)"));
        all.push(format!("Source: a (1{blanks})"));
        all.push(format!("Source: a ({long}"));
        all.push(format!("Source: a {long}"));
        all.push(format!("Source: a\t({long})"));
        let free = [
            "Homepage",
            "Tag",
            "Maintainer",
            "Multi-Arch",
            "Priority",
            "Essential",
            "SHA512",
            "Task",
            "Installed-Size",
            "Description-en",
            "Built-Using",
            "X-Odd",
            "Phased-Update-Percentage",
        ];
        all.extend(free.map(|field| format!("{field}: {long}")));
    }
    all
}

/// Names and versions, which stand in every stanza.
#[test]
fn what_is_longer_than_apts_strings_is_refused() {
    let Some(apt) = Apt::new() else {
        return;
    };
    let long = |n: usize| "1".repeat(n);
    for (field, value, passes) in [
        ("Package: odd", format!("Package: {}", long(65_530)), true),
        ("Package: odd", format!("Package: {}", long(65_535)), false),
        ("Version: 1.0", format!("Version: {}", long(65_534)), true),
        ("Version: 1.0", format!("Version: {}", long(65_535)), false),
        (
            "Architecture: amd64",
            format!("Architecture: {}", long(65_534)),
            true,
        ),
        (
            "Architecture: amd64",
            format!("Architecture: {}", long(65_535)),
            false,
        ),
        (
            "Filename: pool/odd.deb",
            format!("Filename: {}", long(900_000)),
            true,
        ),
    ] {
        // apt keeps a second name of these.
        let odd = stanza("odd", "Multi-Arch: allowed").replace(field, &value);
        let verdict = unreadable(odd.trim_end().as_bytes());
        assert_eq!(verdict.is_none(), passes, "{:.40} {verdict:?}", value);
        assert_eq!(
            apt.reads(&(odd + &stanza("last-of-all", ""))),
            passes,
            "{value:.40}"
        );
    }
    let odd = stanza(&long(65_531), "Multi-Arch: allowed");
    assert!(unreadable(odd.trim_end().as_bytes()).is_some());
    assert!(!apt.reads(&(odd + &stanza("last-of-all", ""))));
}

#[test]
fn what_is_refused_is_what_apt_cannot_read() {
    let Some(apt) = Apt::new() else {
        return;
    };
    let fields = [
        "Pre-Depends",
        "Depends",
        "Recommends",
        "Suggests",
        "Enhances",
        "Conflicts",
        "Breaks",
        "Replaces",
        "Provides",
        "Obsoletes",
        "X-Depends",
        "depends",
    ];
    let values = ["a b", "a, b", "", ","];
    let mut all: Vec<String> = Vec::new();
    for field in fields {
        all.extend(values.iter().map(|value| format!("{field}: {value}")));
    }
    let depends = [
        "a,",
        "a|",
        "a | , b",
        "a,, b",
        ", a",
        "| a",
        "a (>1)",
        "a (>1), b",
        "a (= 1)",
        "a (1)",
        "a (1.0)",
        "a (>= 1), b",
        "a\u{b}, b",
        "a\u{c}, b",
        "a [amd64]",
        "a <!nocheck>",
        "a (>= 1) <x>",
        "a\n b",
        "a\n , b",
        "a,\n b,\n\tc (= 1:2-3~x) | d:any",
        "${misc:Depends}, b",
        "a(",
        "a)",
        "(a)",
        "a; b",
        "a:any:any",
        "a (>= 1",
        "a (>= 1)(<< 2)",
        "a (<> 1), c",
        "a (>=  ), c",
        "a ( >= 1 ) | b",
        "a (=> 1), b",
    ];
    all.extend(depends.iter().map(|value| format!("Depends: {value}")));
    for md5 in ["", "abc", &"0".repeat(32), &"z".repeat(32), &"0".repeat(33)] {
        all.push(format!("Description-md5: {md5}"));
    }
    for other in [
        "Size: x",
        "Installed-Size: x",
        "Multi-Arch: odd",
        "Priority: odd",
        "Source: a (",
        "Section: ",
    ] {
        all.push(other.to_owned());
    }
    all.extend(long_strings());
    let (refused, passed) = compare(&apt, all);
    assert!(refused >= 50 && passed >= 50, "{refused} {passed}");
}

#[test]
fn relations_put_together_by_chance_are_read_by_both_or_by_none() {
    let Some(apt) = Apt::new() else {
        return;
    };
    let parts = [
        "a", "b:any", " ", "\n ", "\t", "\u{b}", ",", "|", "(", ")", "(>= 1)", "(= ", "<< 2", "1",
        "[x]", "<y>", "=", ">", "-",
    ];
    let mut seed = 1_u64;
    let mut below = |limit: usize| {
        seed = seed
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(seed >> 33).unwrap() % limit
    };
    let mut all = Vec::new();
    for _ in 0..600 {
        let count = 1 + below(7);
        let value: String = (0..count).map(|_| parts[below(parts.len())]).collect();
        // A line of blanks alone is refused for itself, and is nothing of relations.
        if value
            .split('\n')
            .skip(1)
            .all(|line| !line.trim_matches([' ', '\t', '\u{b}']).is_empty())
        {
            all.push(format!("Depends: {value}"));
        }
    }
    // Those that are refused cost a run of apt each.
    let mut refused = 0;
    all.retain(|fields| {
        refused += usize::from(index(std::slice::from_ref(fields)).1.is_err());
        refused <= 120 || index(std::slice::from_ref(fields)).1.is_ok()
    });
    let (refused, passed) = compare(&apt, all);
    assert!(refused >= 100 && passed >= 50, "{refused} {passed}");
}

#[test]
fn no_stanza_that_passes_is_too_long_for_apt() {
    let Some(apt) = Apt::new() else {
        return;
    };
    for (length, passes) in [(990_000, true), (1_000_100, false), (1_100_000, false)] {
        let (text, verdict) = index(&[format!("X-Long: {}", "x".repeat(length))]);
        assert_eq!(verdict.is_ok(), passes, "{length}");
        // Between the two bounds apt still reads what we refuse: what is published is longer.
        assert!(!passes || apt.reads(&text));
        assert!(length < 1_048_576 || !apt.reads(&text));
    }
}
