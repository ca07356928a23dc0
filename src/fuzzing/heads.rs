//! The two worlds of a suite, through random histories of three archives: a merge that goes on from what the one before kept gives what a
//! merge from nothing gives, byte for byte, and both publish the stanzas that one world has.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::OnceLock;

use crate::config::Config;
use crate::merge::SuiteReport;

use super::memory::{Indices, MemorySink, merge_into, stanzas, stay_in_this_thread};

const CONFIG: &str = r#"
root = "/fuzz"
priority = ["high", "middle", "low"]
components = ["main", "contrib"]
architectures = ["all", "amd64", "arm64"]
indices = ["packages", "installer", "sources", "contents", "translations"]
strategy = "@STRATEGY@"
[archives.high]
pool = "HIGH"
uris = ["http://mirror.example/high"]
signed-by = "high.gpg"
may-be-essential = false
[archives.middle]
pool = "MIDDLE"
uris = ["http://mirror.example/middle"]
signed-by = "middle.gpg"
[archives.low]
pool = "LOW"
uris = ["http://mirror.example/low"]
signed-by = "low.gpg"
@LOW@
[suites.merged]
from = { high = "x", middle = "x", low = "x" }
[bans]
packages = ["banned"]
transitive = @TRANSITIVE@
[reports.watch]
watched = ["a"]
@MORE@
[signing]
key-file = "key"
"#;

const PIN: &str = "[[pin]]\narchive = \"low\"\npackages = [\"b*\"]\nsources = [\"s\"]\n";
const LOCAL_PIN: &str =
    "[[pin]]\narchive = \"middle\"\npackages = [\"c\"]\narchitectures = [\"arm64\"]\n";
const EXCLUDED: &str = "exclude = { packages = [\"c\"], sources = [\"t\"] }\n";

/// Each configuration: strategy, settings of the lowest archive, transitive bans, more tables.
const CHOICES: [(&str, &str, &str, &str); 7] = [
    ("order", "", "false", ""),
    ("newest", "", "false", ""),
    ("order", "", "false", PIN),
    ("newest", "", "false", LOCAL_PIN),
    ("order", EXCLUDED, "false", ""),
    ("newest", EXCLUDED, "false", PIN),
    ("order", "", "true", ""),
];

fn config(choice: usize) -> &'static Config {
    static CONFIGS: OnceLock<Vec<Config>> = OnceLock::new();
    let configs = CONFIGS.get_or_init(|| {
        let parse = |(strategy, low, transitive, more): &(&str, &str, &str, &str)| {
            let text = CONFIG
                .replace("@STRATEGY@", strategy)
                .replace("@LOW@", low)
                .replace("@TRANSITIVE@", transitive)
                .replace("@MORE@", more);
            Config::parse(&text, Path::new("/fuzz/x.toml")).unwrap()
        };
        CHOICES.iter().map(parse).collect()
    });
    &configs[choice % configs.len()]
}

const ARCHIVES: usize = 3;
const STEPS: usize = 5;
const NAMES: [&str; 16] = [
    "a", "b", "B", "c", "d", "banned", "s", "t", "e", "f", "g", "h", "i", "j", "k", "l",
];
const VERSIONS: [&str; 4] = ["1", "2", "1:0", "2~rc"];
const SOURCES: [&str; 8] = [
    "",
    "",
    "",
    "Source: s\n",
    "Source: t (1)\n",
    "Source: S (2)\n",
    "Source: d\n",
    "Source: b\n",
];
const NEEDS: [&str; 4] = ["", "", "Depends: banned\n", "Depends: a | c\n"];
const LISTS: [&str; 8] = [
    "",
    "",
    "Binary: f, g\n",
    "Binary: a\n",
    "Binary: b, c\n",
    "Binary: d, banned, x\n",
    "Binary: x,\n y\n",
    "Binary: A, s\n",
];
/// Odd fields: an essential package, one with a path that leads out, one without a description, one of another architecture.
const ODD: [&str; 8] = [
    "",
    "",
    "",
    "",
    "Essential: yes\n",
    "Filename: pool/../x\nDirectory: pool/../x\n",
    "X-Odd: \u{fffd}\n",
    "Priority: required\n",
];

/// One stanza of an archive, and the steps of the history in which the archive has it.
struct Choice {
    rank: usize,
    indices: Vec<String>,
    text: String,
    steps: std::ops::Range<usize>,
}

impl Choice {
    /// Reads a stanza from five bytes.
    fn of(number: usize, bytes: [u8; 5]) -> Choice {
        let [kind, place, name, more, life] = bytes.map(usize::from);
        let component = ["main", "contrib"][place & 1];
        let architectures: &[&str] =
            [&["amd64"][..], &["arm64"], &["amd64", "arm64"], &["all"]][(place >> 1) & 3];
        let (name, version) = (NAMES[name % 16], VERSIONS[(name >> 4) % 4]);
        let odd = ODD[(more >> 5) % 8];
        let head = format!("Package: {name}\nVersion: {version}\n");
        let (indices, text) = match (kind >> 3) % 4 {
            0 => {
                let lists = LISTS[more % 8];
                let text = format!("{head}{lists}Directory: pool/{number}\n{odd}");
                (vec![format!("{component}/source/Sources")], text)
            }
            family => {
                let beside = ["", "debian-installer/"][usize::from(family == 3)];
                let index = |a: &&str| format!("{component}/{beside}binary-{a}/Packages");
                let architecture = match (place >> 3) & 3 {
                    0 | 1 => architectures[0],
                    2 => "all",
                    _ => "amd64",
                };
                let (source, needs) = (SOURCES[more % 8], NEEDS[(more >> 3) % 4]);
                let text = format!(
                    "{head}Architecture: {architecture}\n{source}{needs}Filename: pool/{number}\n{odd}Description: {name} {}\n",
                    more % 3
                );
                (architectures.iter().map(index).collect(), text)
            }
        };
        // Most packages are the lowest archive's, and most of these stay.
        let rank = [2, 2, 2, 2, 2, 2, 1, 0][kind % 8];
        let first = life % STEPS;
        let steps = match rank == 2 && life > 32 {
            true => 0..STEPS,
            false => first..first + 1 + (life >> 4) % STEPS,
        };
        Choice {
            rank,
            indices,
            text,
            steps,
        }
    }
}

/// Returns the indices of each archive at a step of the history.
fn indices(choices: &[Choice], step: usize) -> Vec<Indices> {
    let mut archives = vec![Indices::new(); ARCHIVES];
    // An archive whose index appears and disappears is another matter.
    for archive in &mut archives {
        for component in ["main", "contrib"] {
            archive.insert(format!("{component}/source/Sources"), String::new());
            for architecture in ["amd64", "arm64"] {
                let name = format!("{component}/binary-{architecture}/Packages");
                archive.insert(name, String::new());
            }
        }
    }
    for choice in choices.iter().filter(|choice| choice.steps.contains(&step)) {
        for index in &choice.indices {
            let index = archives[choice.rank].entry(index.clone()).or_default();
            *index += &(choice.text.clone() + "\n");
        }
    }
    archives
}

/// Returns the stanzas of each index, in whatever order.
fn sets(published: &Indices) -> BTreeMap<&String, BTreeSet<&str>> {
    let sets = published.iter();
    sets.map(|(name, text)| (name, stanzas(text).collect()))
        .collect()
}

/// Returns a report without the warnings of which there are only the first few.
fn told(report: &SuiteReport) -> serde_json::Value {
    let mut report = report.clone();
    report.warnings.retain(|words| !words.contains("left out"));
    serde_json::to_value(report).unwrap()
}

/// Follows a history.
pub(super) fn heads(data: &[u8]) {
    stay_in_this_thread();
    let (choice, data) = data.split_first().unwrap_or((&0, &[]));
    let config = config(usize::from(*choice));
    let choices: Vec<_> = data
        .chunks_exact(5)
        .take(40)
        .enumerate()
        .map(|(number, bytes)| Choice::of(number, bytes.try_into().unwrap()))
        .collect();
    let mut kept = BTreeMap::new();
    for step in 0..STEPS {
        let archives = indices(&choices, step);
        let from_nothing = MemorySink::new(BTreeMap::new());
        let report = merge_into(config, &archives, &from_nothing, false).unwrap();
        let (published, _) = from_nothing.finish();
        let going_on = MemorySink::new(kept);
        let report_of_more = merge_into(config, &archives, &going_on, false).unwrap();
        let (published_of_more, kept_now) = going_on.finish();
        assert_eq!(published_of_more, published);
        assert_eq!(
            serde_json::to_value(&report_of_more).unwrap(),
            serde_json::to_value(&report).unwrap()
        );
        kept = kept_now;
        let one_world = MemorySink::new(BTreeMap::new());
        let report_of_one = merge_into(config, &archives, &one_world, true).unwrap();
        assert_eq!(sets(&one_world.finish().0), sets(&published));
        assert_eq!(told(&report_of_one), told(&report));
        // A missing entry is noticed, and nothing else comes of it.
        let gone = kept.keys().nth(step % kept.len().max(1)).copied();
        if let Some(gone) = gone {
            let mut some = kept.clone();
            some.remove(&gone);
            let without = MemorySink::new(some);
            if let Ok(report_without) = merge_into(config, &archives, &without, false) {
                assert_eq!(without.finish().0, published);
                assert_eq!(told(&report_without), told(&report));
            }
        }
    }
}
