//! The merge over small worlds: three bytes make a package of one of two archives.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{Cursor, Read, Write};
use std::path::Path;
use std::sync::{Mutex, OnceLock};

use crate::config::{Config, PoolName};
use crate::error::Result;
use crate::indices::IndexName;
use crate::merge::{Input, Sink, SuiteMerge, Text, merge_suite};

const CONFIG: &str = r#"
root = "/fuzz"
priority = ["high", "low"]
components = ["main"]
architectures = ["all", "amd64"]
indices = ["packages", "sources"]
[archives.high]
pool = "HIGH"
uris = ["http://mirror.example/high"]
signed-by = "high.gpg"
[archives.low]
pool = "LOW"
uris = ["http://mirror.example/low"]
signed-by = "low.gpg"
[suites.merged]
from = { high = "x", low = "x" }
[bans]
packages = ["banned"]
[signing]
key-file = "key"
"#;

fn config() -> &'static Config {
    static CONFIG_CELL: OnceLock<Config> = OnceLock::new();
    CONFIG_CELL.get_or_init(|| Config::parse(CONFIG, Path::new("/fuzz/x.toml")).unwrap())
}

type Index = Vec<String>;

/// An archive: its stanzas of each index.
#[derive(Default, Clone)]
struct World {
    binaries: Index,
    sources: Index,
}

fn world(data: &[u8]) -> [World; 2] {
    let mut worlds = [World::default(), World::default()];
    for (n, bytes) in data.chunks_exact(3).take(200).enumerate() {
        let [kind, name, version] = [bytes[0], bytes[1], bytes[2]];
        let names = ["a", "b", "b-c", "b+", "banned", "lib9"];
        let name = names[usize::from(name) % names.len()];
        let versions = ["1", "1-1", "1.0", "2~rc", "2", "1:0.5", "1-1+b1", "01"];
        let version = versions[usize::from(version) % versions.len()];
        let world = &mut worlds[usize::from(kind & 1)];
        if kind & 2 != 0 {
            world.sources.push(format!(
                "Package: {name}\nVersion: {version}\nArchitecture: any\nDirectory: pool/{n}\n"
            ));
            continue;
        }
        let arch = if kind & 4 != 0 { "all" } else { "amd64" };
        let depends = [
            "",
            "Depends: banned\n",
            "Depends: a | banned\n",
            "Pre-Depends: b,banned (>= 1)\n",
        ];
        let depends = depends[usize::from(kind >> 3) % 4];
        let source = ["", "Source: a\n", "Source: b (1)\n"][usize::from(kind >> 5) % 3];
        let path = ["pool/", "./pool/", "extra/"][usize::from(kind >> 4) % 3];
        world.binaries.push(format!("Package: {name}\nVersion: {version}\nArchitecture: {arch}\n{source}{depends}X-Number: {n}\nFilename: {path}{n}\n"));
    }
    worlds
}

struct Memory<'a> {
    world: &'a World,
    pool: PoolName,
}

impl Memory<'_> {
    fn text(&self, name: &IndexName) -> Option<Vec<u8>> {
        let stanzas = match name {
            IndexName::Packages(_, a) if a.as_str() == "amd64" => &self.world.binaries,
            IndexName::Sources(_) => &self.world.sources,
            _ => return None,
        };
        Some(stanzas.join("\n").into_bytes())
    }
}

impl Input for Memory<'_> {
    fn digest(&self, _: &IndexName) -> Option<String> {
        None
    }

    fn pool(&self) -> &PoolName {
        &self.pool
    }
    fn is_exempt(&self) -> bool {
        false
    }
    fn read(&self, name: &IndexName) -> Result<Option<Vec<u8>>> {
        Ok(self.text(name))
    }
    fn open(&self, name: &IndexName) -> Result<Option<Box<dyn Read + Send + '_>>> {
        Ok(self
            .text(name)
            .map(|text| Box::new(Cursor::new(text)) as Box<dyn Read + Send>))
    }
    fn optional(&self) -> Vec<IndexName> {
        Vec::new()
    }
    fn has(&self, name: &IndexName) -> bool {
        self.text(name).is_some()
    }
    fn describe(&self, name: &IndexName) -> String {
        name.to_string()
    }
}

#[derive(Default)]
struct Published(Mutex<BTreeMap<String, String>>);

impl Sink for Published {
    fn text(&self, name: &IndexName, text: &Text<'_>) -> Result<()> {
        let all: Vec<u8> = text.iter().flat_map(|s| s.concat()).collect();
        let old = self
            .0
            .lock()
            .unwrap()
            .insert(name.to_string(), String::from_utf8(all).unwrap());
        assert!(old.is_none(), "{name} twice");
        Ok(())
    }
    fn stream(&self, _: &IndexName, _: &mut dyn FnMut(&mut dyn Write) -> Result<()>) -> Result<()> {
        Ok(())
    }
}

fn merged(worlds: &[World]) -> BTreeMap<String, String> {
    let config = config();
    let (name, suite) = config.suites.iter().next().unwrap();
    let pools = ["HIGH", "LOW"];
    let inputs = worlds.iter().zip(pools).map(|(world, pool)| {
        let pool = PoolName::new(pool).unwrap();
        Box::new(Memory { world, pool }) as Box<dyn Input>
    });
    let merge = SuiteMerge {
        config,
        name,
        suite,
        inputs: inputs.collect(),
    };
    let sink = Published::default();
    merge_suite(&merge, &sink).unwrap();
    sink.0.into_inner().unwrap()
}

fn stanzas(text: &str) -> Index {
    let stanzas = text.split_terminator("\n\n");
    stanzas.map(|s| format!("{s}\n")).collect()
}

fn field<'a>(stanza: &'a str, name: &str) -> &'a str {
    let value = stanza
        .lines()
        .find_map(|l| l.strip_prefix(name)?.strip_prefix(": "));
    value.unwrap_or_default()
}

/// A stanza without the line that a merge rewrites.
fn body(stanza: &str) -> String {
    let is_path = |l: &&str| l.starts_with("Filename: ") || l.starts_with("Directory: ");
    stanza
        .lines()
        .filter(|l| !is_path(l))
        .collect::<Vec<_>>()
        .join("\n")
}

/// Merges of a fuzzer are done by its own thread: handing such small work to others costs more than the work.
fn stay_in_this_thread() {
    static DONE: OnceLock<()> = OnceLock::new();
    DONE.get_or_init(|| {
        let pool = rayon::ThreadPoolBuilder::new();
        // Where there is a pool already, it works as well.
        let _ = pool.num_threads(1).use_current_thread().build_global();
    });
}

pub(super) fn merge(data: &[u8]) {
    if cfg!(fuzzing) {
        stay_in_this_thread();
    }
    let worlds = world(data);
    let out = merged(&worlds);
    let packages = stanzas(&out["main/binary-amd64/Packages"]);
    let sources = stanzas(&out["main/source/Sources"]);

    // Nothing that no input had, all of a name from one archive, and that the first which has it.
    for stanza in &packages {
        let (name, path) = (field(stanza, "Package"), field(stanza, "Filename"));
        let has = |world: &World| world.binaries.iter().any(|s| field(s, "Package") == name);
        let owner = worlds.iter().position(has).unwrap();
        assert!(
            path.starts_with(["pool/HIGH/", "pool/LOW/"][owner]),
            "{stanza}"
        );
        let same = |s: &&String| body(s) == body(stanza);
        assert!(worlds[owner].binaries.iter().any(|s| same(&s)), "{stanza}");
        assert_ne!(name, "banned");
        assert!(
            !["Depends: banned", "Pre-Depends"]
                .iter()
                .any(|d| stanza.contains(d)),
            "{stanza}"
        );
    }
    // Nothing is lost that precedence and bans let through.
    let keys = |index: &Index| -> BTreeSet<[String; 3]> {
        let key =
            |s: &String| ["Package", "Version", "Architecture"].map(|f| field(s, f).to_owned());
        index.iter().map(key).collect()
    };
    let published = keys(&packages);
    assert_eq!(published.len(), packages.len(), "one stanza twice");
    let key = |s: &str| ["Package", "Version", "Architecture"].map(|f| field(s, f).to_owned());
    let is_banned = |s: &str| {
        let needs = ["Depends: banned", "Pre-Depends"];
        field(s, "Package") == "banned" || needs.iter().any(|d| s.contains(d))
    };
    for (rank, world) in worlds.iter().enumerate() {
        for stanza in &world.binaries {
            let has = |s: &String| field(s, "Package") == field(stanza, "Package");
            let is_hidden = rank == 1 && worlds[0].binaries.iter().any(has);
            // Of several stanzas of one key any one may stand for all, a banned one as well.
            let mut same = world.binaries.iter().filter(|s| key(s) == key(stanza));
            let lost =
                !is_hidden && !same.any(|s| is_banned(s)) && !published.contains(&key(stanza));
            assert!(!lost, "{stanza}");
        }
    }
    // binary-all is what the other index has of it.
    let all = stanzas(&out["main/binary-all/Packages"]);
    let of_all = |s: &&String| field(s, "Architecture") == "all";
    assert_eq!(
        keys(&all),
        keys(&packages.iter().filter(of_all).cloned().collect())
    );
    // Every source that a published binary names is there, if any archive has it.
    let have = keys(&sources);
    for stanza in &packages {
        let source = field(stanza, "Source");
        let (name, version) = match source.split_once(" (") {
            Some((name, version)) => (name, version.trim_end_matches(')')),
            None if source.is_empty() => (field(stanza, "Package"), field(stanza, "Version")),
            None => (source, field(stanza, "Version")),
        };
        let key = [name, version, "any"].map(str::to_owned);
        let exists = worlds.iter().any(|w| keys(&w.sources).contains(&key));
        assert!(!exists || have.contains(&key), "{stanza}");
    }
    // The order of stanzas within a file says nothing.
    let reversed = worlds.clone().map(|mut world| {
        world.binaries.reverse();
        world.sources.reverse();
        world
    });
    assert_eq!(merged(&reversed), out);
    // What was merged, merged again, is the same but for its paths.
    let again = merged(&[World {
        binaries: packages.clone(),
        sources: sources.clone(),
    }]);
    let bodies = |index: &Index| index.iter().map(|s| body(s)).collect::<Vec<_>>();
    assert_eq!(
        bodies(&stanzas(&again["main/binary-amd64/Packages"])),
        bodies(&packages)
    );
}
