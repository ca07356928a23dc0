//! What a run makes from what earlier runs left is, byte for byte, what a run makes from nothing: through random changes, with
//! a cache that is deleted, damaged or too small, and without any state.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use crate::common::history::{History, snapshot};
use crate::common::site::{contents, files};

/// What a tree publishes, without history and signatures; `dated` are the suites that are to have been dated alike.
fn published(tree: &Path, dated: &BTreeSet<String>) -> BTreeMap<String, String> {
    let mut published = BTreeMap::new();
    for (name, bytes) in contents(tree) {
        let is_history = name.contains("/by-hash/") || name.contains(".diff/");
        let is_signature = name.ends_with("/InRelease") || name.ends_with("/Release.gpg");
        if is_history || is_signature {
            continue;
        }
        let suite = name.split('/').nth(1).unwrap();
        let is_release = name == format!("dists/{suite}/Release");
        let text = match is_release {
            true => {
                let text = String::from_utf8(bytes).unwrap();
                let is_date = |l: &str| l.starts_with("Date:") || l.starts_with("Valid-Until:");
                let lines = text.lines().filter(|line| !line.ends_with(".diff/Index"));
                let lines = lines.filter(|line| dated.contains(suite) || !is_date(line));
                lines.map(|line| format!("{line}\n")).collect()
            }
            false => format!(
                "{} bytes: {}",
                bytes.len(),
                crate::common::apt::sha256(&bytes)
            ),
        };
        published.insert(name, text);
    }
    published
}

/// The text reports that say what holds, whatever was before.
fn reports(root: &Path) -> BTreeMap<String, String> {
    let files = files(&root.join("log")).into_iter();
    files
        .map(|path| {
            let name = path.file_name().unwrap().to_str().unwrap().to_owned();
            (name, fs::read_to_string(&path).unwrap())
        })
        .filter(|(name, _)| !["amprolla.txt", "changes.txt"].contains(&name.as_str()))
        .collect()
}

/// Runs on what is there, and from nothing at the same time, and holds one against the other; gives the suites that changed.
#[track_caller]
fn compare(history: &History, arguments: &[&str]) -> BTreeSet<String> {
    let outcome = history.json("site", &[&["run"], arguments].concat());
    let changed = outcome["changed"].as_array().unwrap().iter();
    let changed: BTreeSet<String> = changed.map(|s| s.as_str().unwrap().to_owned()).collect();
    history.json("fresh", &["run"]);
    let (site, fresh) = (history.path("site"), history.path("fresh"));
    let here = published(&site.join("merged"), &changed);
    let there = published(&fresh.join("merged"), &changed);
    for name in here.keys().chain(there.keys()) {
        let lines = |of: &BTreeMap<String, String>| -> BTreeSet<String> {
            let text = of.get(name).map_or("nothing", String::as_str);
            text.lines().map(str::to_owned).collect()
        };
        let (here, there) = (lines(&here), lines(&there));
        let differing: Vec<_> = here.symmetric_difference(&there).collect();
        let story = history.story();
        assert!(differing.is_empty(), "{name}: {differing:#?}\n{story}");
    }
    assert!(here.len() > 20, "{:?}", here.keys());
    assert_eq!(reports(&site), reports(&fresh), "{}", history.story());
    fs::remove_dir_all(fresh).unwrap();
    changed
}

/// Spoils every file of the cache; gives how many there are.
fn damage(cache: &Path, spoil: impl Fn(&mut Vec<u8>)) -> usize {
    let mut damaged = 0;
    for path in files(cache) {
        if path.is_file() {
            let mut bytes = fs::read(&path).unwrap();
            spoil(&mut bytes);
            fs::write(path, bytes).unwrap();
            damaged += 1;
        }
    }
    damaged
}

/// What may happen to a root between two runs.
fn disturb(history: &mut History) {
    let site = history.path("site");
    let kind = history.random.below(12);
    let what = match kind {
        0 => {
            fs::remove_dir_all(site.join("cache")).unwrap();
            "the cache is deleted"
        }
        1 => {
            damage(&site.join("cache"), |bytes| {
                let middle = bytes.len() / 2;
                bytes[middle] ^= 0x10;
            });
            "the cache is damaged"
        }
        2 => {
            damage(&site.join("cache"), |bytes| bytes.truncate(bytes.len() / 2));
            "the cache is cut off"
        }
        3 => {
            fs::remove_file(site.join("state/published.json")).unwrap();
            "the record is deleted"
        }
        4 => {
            fs::remove_dir_all(site.join("merged-volatile")).unwrap();
            "volatile is deleted"
        }
        _ => return,
    };
    history.tell(what);
}

/// One history of some steps. INCREMENTAL_SEED=n runs another one, of more steps.
fn follow(seed: u64) {
    let other = std::env::var("INCREMENTAL_SEED").ok().map(|n| n.parse());
    let (seed, steps) = other.map_or((seed, 9), |other| (other.unwrap(), 40));
    let mut history = History::new(seed);
    compare(&history, &[]);
    let mut changes = 0;
    for _ in 0..steps {
        history.step();
        disturb(&mut history);
        changes += compare(&history, &[]).len();
    }
    assert!(changes >= steps / 2, "{changes} changes show nothing");
    // And once more nothing changes, unless it is time to sign again.
    history.settings.valid_for = false;
    history.pass();
    compare(&history, &[]);
    history.pass();
    assert_eq!(compare(&history, &[]), BTreeSet::new());
    history.json("site", &["verify"]);
}

#[test]
fn a_first_history_leaves_what_a_run_from_nothing_makes() {
    follow(1);
}

#[test]
fn a_second_history_leaves_what_a_run_from_nothing_makes() {
    follow(2);
}

#[test]
fn a_third_history_leaves_what_a_run_from_nothing_makes() {
    follow(3);
}

/// A history whose Packages are long enough to be compressed in several pieces.
fn long() -> History {
    let mut history = History::new(4);
    history.settings.families = vec!["sources"];
    history.settings.architectures = vec!["amd64"];
    history.filler = 100_000;
    for number in 0..80 {
        raise(&mut history, &format!("long{number}"));
    }
    history.write();
    history
}

/// A new version of a package that is published, some hours later.
fn raise(history: &mut History, name: &str) {
    history.put("base", "main", name);
    let packages = history.archives.get_mut("base").unwrap();
    let package = packages.get_mut(&("main", name.to_owned())).unwrap();
    package.architecture = "amd64";
    package.depends = None;
    history.pass();
    history.write();
}

/// The compressed pieces in the cache, as xz.
fn pieces(history: &History) -> usize {
    let files = files(&history.path("site/cache")).into_iter();
    files
        .filter(|path| path.is_file() && path.to_string_lossy().contains("/cache/xz-"))
        .count()
}

#[test]
fn a_spoilt_cache_costs_time_and_no_byte() {
    let mut history = long();
    compare(&history, &[]);
    assert!(pieces(&history) >= 4, "{}", pieces(&history));
    let cache = history.path("site/cache");
    type Spoil = fn(&mut Vec<u8>);
    let kinds: [(&str, Spoil); 5] = [
        ("a bit", |bytes| {
            let middle = bytes.len() / 2;
            bytes[middle] ^= 1;
        }),
        ("the last byte", |bytes| {
            bytes.pop();
        }),
        ("half of it", |bytes| bytes.truncate(bytes.len() / 2)),
        ("all of it", Vec::clear),
        ("more", |bytes| bytes.push(0)),
    ];
    for (what, spoil) in kinds {
        history.tell(what);
        raise(&mut history, "long7");
        assert!(damage(&cache, spoil) > 4, "{what}");
        assert!(!compare(&history, &[]).is_empty());
    }
    // One that is sound, and stands where another belongs.
    let paths: Vec<_> = files(&cache).into_iter().filter(|f| f.is_file()).collect();
    let first = fs::read(&paths[0]).unwrap();
    for pair in paths.windows(2) {
        fs::copy(&pair[1], &pair[0]).unwrap();
    }
    fs::write(paths.last().unwrap(), first).unwrap();
    raise(&mut history, "long8");
    assert!(!compare(&history, &[]).is_empty());
    history.json("site", &["verify"]);
}

#[test]
fn without_cache_and_record_the_spool_is_left_alone_and_the_tree_is_the_same() {
    let mut history = History::new(7);
    compare(&history, &[]);
    let objects = history.path("site/spool/objects");
    let before = snapshot(&objects);
    for lost in ["cache", "state/published.json", "state", "log"] {
        history.pass();
        let path = history.path("site").join(lost);
        match path.is_dir() {
            true => fs::remove_dir_all(path).unwrap(),
            false => fs::remove_file(path).unwrap(),
        }
        compare(&history, &[]);
        assert_eq!(snapshot(&objects), before, "{lost}");
    }
    history.pass();
    assert_eq!(compare(&history, &["--rebuild"]).len(), 2);
    assert_eq!(snapshot(&objects), before);
}

#[test]
fn the_cache_is_no_larger_than_it_may_be() {
    let mut history = History::new(10);
    let cache = history.path("site/cache");
    for (max, bytes) in [
        ("1 GiB", 1 << 30),
        ("4 KiB", 4096),
        ("0 B", 0),
        ("1 KiB", 1024),
    ] {
        history.settings.extra = format!("[cache]\nmax-size = \"{max}\"\n");
        for _ in 0..2 {
            history.change_archives();
            history.put("overlay", "main", "p1");
            history.pass();
            history.write();
            assert!(!compare(&history, &[]).is_empty());
            let sizes = files(&cache).into_iter().filter(|f| f.is_file());
            let total: u64 = sizes.map(|f| f.metadata().unwrap().len()).sum();
            assert!(total <= bytes, "{total} bytes, and {max} at most");
            assert!(total > 0 || bytes == 0, "nothing is kept of {max}");
        }
    }
}
