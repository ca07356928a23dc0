//! What `run --dry-run` says is what the run then does and records, and it leaves everything as it is but the spool.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

use crate::common::history::{History, snapshot};
use serde_json::{Value, json};

/// All that a dry run must leave alone.
fn left_alone(history: &History) -> BTreeMap<PathBuf, String> {
    let places = [
        "merged-volatile",
        "merged-production",
        "state",
        "cache",
        "log",
    ];
    let places = places.iter();
    let seen = places.flat_map(|place| snapshot(&history.path("site").join(place)));
    // These belong to the spool: they say what is in it, and what was verified of it.
    let of_the_spool = ["log/unclaimed.txt", "state/verified-copies.json"];
    seen.filter(|(path, _)| !of_the_spool.iter().any(|of| path.ends_with(of)))
        .collect()
}

/// A dry run and then the run itself: both say the same, and so do the record and the report. Gives what changed.
#[track_caller]
fn foretold(history: &History, options: &[&str]) -> Value {
    let before = left_alone(history);
    let dry = [&["run", "--dry-run"], options].concat();
    let foretold = history.json("site", &dry);
    let after = left_alone(history);
    for path in before.keys().chain(after.keys()) {
        let (before, after) = (before.get(path), after.get(path));
        assert_eq!(before, after, "{}, {}", path.display(), history.story());
    }
    let outcome = history.json("site", &[&["run"], options].concat());
    for (key, said) in outcome.as_object().unwrap() {
        let is_foretold = !["recovered", "failed-pushes"].contains(&key.as_str());
        assert!(
            !is_foretold || foretold[key] == *said,
            "{key}: {foretold} {outcome}, {}",
            history.story()
        );
    }
    let foretold = foretold["difference"].clone();
    let record = fs::read(history.path("site/state/last-run.json")).unwrap();
    let record: Value = serde_json::from_slice(&record).unwrap();
    assert_eq!(foretold, record["outcome"]["difference"]);
    if !outcome["changed"].as_array().unwrap().is_empty() {
        let report = fs::read_to_string(history.path("site/log/changes.txt")).unwrap();
        assert_eq!(changes_of(&foretold), changes_in(&report), "{report}");
    }
    foretold
}

/// `suite how package` of every change.
fn changes_of(difference: &Value) -> Vec<String> {
    let mut found = Vec::new();
    for (suite, difference) in difference.as_object().unwrap() {
        for change in difference["changes"].as_array().unwrap() {
            let word = |key: &str| change[key].as_str().unwrap().to_owned();
            let what = match word("what").as_str() {
                "banned" => "newly banned".to_owned(),
                other => other.replace('-', " "),
            };
            found.push(format!("{suite} {what} {}", word("package")));
        }
    }
    found.sort();
    found
}

/// The same of `log/changes.txt`.
fn changes_in(report: &str) -> Vec<String> {
    let lines = report.lines().filter(|line| line.ends_with(']'));
    let mut found: Vec<_> = lines
        .map(|line| {
            let words = line.split(" (").next().unwrap().split_whitespace();
            words.collect::<Vec<_>>().join(" ")
        })
        .collect();
    found.sort();
    found
}

#[test]
fn a_dry_run_says_what_the_run_records_whatever_changes() {
    for seed in [5, 6] {
        let mut history = History::new(seed);
        assert_eq!(foretold(&history, &[])["one"]["is-new"], true);
        let mut changes = 0;
        for _ in 0..7 {
            history.step();
            changes += changes_of(&foretold(&history, &[])).len();
        }
        assert!(changes > 10, "{changes} changes show nothing");
    }
}

/// A site with no packages but those that are given: `archive component name version`.
fn with_packages(packages: &[[&'static str; 4]]) -> History {
    let mut history = History::new(0);
    history.settings.bans = vec!["nothing".into()];
    for packages in history.archives.values_mut() {
        packages.clear();
    }
    for package in packages {
        put(&mut history, *package);
    }
    history
}

fn put(history: &mut History, [archive, component, name, version]: [&'static str; 4]) {
    history.put(archive, component, name);
    let packages = history.archives.get_mut(archive).unwrap();
    let package = packages.get_mut(&(component, name.to_owned())).unwrap();
    package.version = version.into();
    package.architecture = "amd64";
    package.depends = None;
    package.description = 0;
}

/// What becomes of the package in suite `one`, architecture amd64.
fn change(difference: &Value, package: &str) -> Value {
    let changes = difference["one"]["changes"].as_array().unwrap().iter();
    let mut of_it = changes.filter(|change| {
        let groups = change["groups"].as_array().unwrap();
        change["package"] == package && groups.contains(&json!("amd64"))
    });
    let found = of_it.next().cloned().unwrap_or_default();
    assert!(of_it.next().is_none(), "{difference:#}");
    json!([found["what"], found["before"], found["after"]])
}

fn origin([archive, component, version]: [&str; 3]) -> Value {
    json!([{ "archive": archive, "component": component, "version": version }])
}

#[test]
fn each_kind_of_change_is_called_by_its_name() {
    let mut history = with_packages(&[
        ["base", "main", "goes", "1.0"],
        ["base", "main", "rises", "1.0"],
        ["base", "main", "banned", "1.0"],
        ["base", "main", "taken", "1.0"],
        ["base", "main", "moves", "1.0"],
        ["base", "main", "stays", "1.0"],
        ["overlay", "main", "given", "1.0"],
        ["base", "main", "given", "2.0"],
    ]);
    history.write();
    foretold(&history, &[]);
    history.pass();
    put(&mut history, ["base", "main", "comes", "1.0"]);
    put(&mut history, ["base", "main", "rises", "1.1"]);
    put(&mut history, ["overlay", "main", "taken", "0.9"]);
    put(&mut history, ["base", "contrib", "moves", "1.0"]);
    history.settings.bans.push("banned".into());
    for (archive, name) in [("base", "goes"), ("base", "moves"), ("overlay", "given")] {
        let packages = history.archives.get_mut(archive).unwrap();
        packages.remove(&("main", name.to_owned())).unwrap();
    }
    history.write();
    let difference = foretold(&history, &[]);
    let base = |version| origin(["base", "main", version]);
    for (package, what, before, after) in [
        ("comes", "added", json!([]), base("1.0")),
        ("goes", "removed", base("1.0"), json!([])),
        ("rises", "changed", base("1.0"), base("1.1")),
        ("banned", "banned", base("1.0"), json!([])),
        (
            "taken",
            "taken-over",
            base("1.0"),
            origin(["overlay", "main", "0.9"]),
        ),
        (
            "given",
            "taken-over",
            origin(["overlay", "main", "1.0"]),
            base("2.0"),
        ),
        (
            "moves",
            "moved",
            base("1.0"),
            origin(["base", "contrib", "1.0"]),
        ),
    ] {
        assert_eq!(
            change(&difference, package),
            json!([what, before, after]),
            "{package}"
        );
    }
    assert_eq!(
        change(&difference, "stays"),
        json!([Value::Null, Value::Null, Value::Null])
    );
    // Suite two does not have the overlay, so nothing was taken over there.
    let two = changes_of(&json!({ "two": difference["two"] }));
    assert!(two.contains(&"two added comes".into()), "{two:?}");
    assert!(!two.iter().any(|line| line.contains("taken")), "{two:?}");
    let report = fs::read_to_string(history.path("site/log/changes.txt")).unwrap();
    for line in [
        "one added        comes (base 1.0) [amd64 source]",
        "one newly banned banned (base 1.0) [amd64 source]",
        "one moved        moves (base main 1.0 -> base contrib 1.0) [amd64 source]",
        "one taken over   taken (base 1.0 -> overlay 0.9) [amd64 source]",
    ] {
        assert!(report.lines().any(|l| l == line), "no {line:?} in {report}");
    }
    // In words, too, and the summary counts.
    history.pass();
    put(&mut history, ["base", "main", "comes", "2.0"]);
    history.write();
    let text = history.call("site", &["run", "--dry-run"]).stdout;
    assert!(text.contains("one: would be merged"), "{text}");
    let line = "  changed      comes (base 1.0 -> base 2.0) [amd64 source]";
    assert!(text.lines().any(|l| l == line), "{text}");
    assert!(text.lines().any(|l| l == "  1 changed"), "{text}");
}

#[test]
fn what_changes_no_package_says_so() {
    let mut history = History::new(8);
    foretold(&history, &[]);
    let nothing = json!({ "is-new": false, "changes": [], "omitted": 0, "indices": [] });
    // Made anew, and all the same.
    history.pass();
    let difference = foretold(&history, &["--rebuild"]);
    assert_eq!(difference, json!({ "one": nothing, "two": nothing }));
    // Signed again.
    history.pass();
    history.settings.keys = "\"keys/publish-b.secret.asc\"";
    let difference = foretold(&history, &[]);
    assert_eq!(difference, json!({ "one": nothing, "two": nothing }));
    // Listed by further hashes.
    history.pass();
    history.settings.hashes = "\"sha256\", \"sha512\"";
    let difference = foretold(&history, &[]);
    assert_eq!(difference, json!({ "one": nothing, "two": nothing }));
    // Nothing at all.
    history.pass();
    assert_eq!(foretold(&history, &[]), json!({}));
}

#[test]
fn changes_are_told_without_cache_and_without_record() {
    let mut history = History::new(9);
    foretold(&history, &[]);
    for lost in ["cache", "state"] {
        history.pass();
        put(&mut history, ["overlay", "main", "newcomer", "1.0"]);
        history.archives.get_mut("base").unwrap().pop_first();
        history.write();
        fs::remove_dir_all(history.path("site").join(lost)).unwrap();
        // The directory itself comes back with the lock.
        fs::create_dir(history.path("site").join(lost)).unwrap();
        let difference = foretold(&history, &["--allow-shrink"]);
        assert_eq!(change(&difference, "newcomer")[0], "added", "{lost}");
        history.pass();
        let packages = history.archives.get_mut("overlay").unwrap();
        packages.remove(&("main", "newcomer".to_owned())).unwrap();
        history.write();
        let difference = foretold(&history, &[]);
        assert_eq!(change(&difference, "newcomer")[0], "removed", "{lost}");
    }
}

#[test]
fn what_a_component_or_an_architecture_had_is_told_when_it_goes() {
    let mut history = with_packages(&[
        ["base", "main", "stays", "1.0"],
        ["base", "contrib", "goes", "1.0"],
        ["base", "contrib", "moves", "1.0"],
        ["overlay", "main", "further", "1.0"],
    ]);
    history.write();
    foretold(&history, &[]);
    history.pass();
    history.settings.components = vec!["main"];
    put(&mut history, ["base", "main", "moves", "1.1"]);
    history.write();
    let difference = foretold(&history, &["--allow-shrink"]);
    assert_eq!(change(&difference, "goes")[0], "removed");
    assert_eq!(change(&difference, "moves")[0], "moved");
    assert_eq!(changes_of(&difference).len(), 3, "{difference:#}");
    history.pass();
    history.settings.architectures = vec!["all", "arm64"];
    let difference = foretold(&history, &["--allow-shrink"]);
    for package in ["stays", "moves", "further"] {
        assert_eq!(change(&difference, package)[0], "removed");
    }
    let unreadable = difference["one"]["indices"].to_string();
    assert!(!unreadable.contains("Packages"), "{unreadable}");
}
