//! The view of clients of two architectures on three archives: each name is its owner's, in whatever case, and in whichever index its
//! packages for all architectures stand.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::OnceLock;

use crate::config::Config;

use super::memory::{Indices, merged, stanzas, stay_in_this_thread};

const CONFIG: &str = r#"
root = "/fuzz"
priority = ["high", "middle", "low"]
components = ["main", "contrib"]
architectures = ["all", "amd64", "arm64"]
indices = ["packages"]
[archives.high]
pool = "HIGH"
uris = ["http://mirror.example/high"]
signed-by = "high.gpg"
[archives.middle]
pool = "MIDDLE"
uris = ["http://mirror.example/middle"]
signed-by = "middle.gpg"
[archives.low]
pool = "LOW"
uris = ["http://mirror.example/low"]
signed-by = "low.gpg"
[suites.merged]
from = { high = "x", middle = "x", low = "x" }
[bans]
packages = ["banned"]
[signing]
key-file = "key"
"#;

fn config() -> &'static Config {
    static CONFIG_CELL: OnceLock<Config> = OnceLock::new();
    CONFIG_CELL.get_or_init(|| Config::parse(CONFIG, Path::new("/fuzz/x.toml")).unwrap())
}

const ARCHIVES: usize = 3;
const POOLS: [&str; ARCHIVES] = ["HIGH", "MIDDLE", "LOW"];
const ARCHITECTURES: [&str; 2] = ["amd64", "arm64"];
const COMPONENTS: [&str; 2] = ["main", "contrib"];
const NAMES: [&str; 8] = ["a", "A", "b-c", "B-c", "banned", "Banned", "b.c", "ab"];
const VERSIONS: [&str; 4] = ["1", "2", "1:0", "1~"];

/// A package; three bytes describe it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Package {
    rank: usize,
    name: &'static str,
    version: &'static str,
    component: &'static str,
    is_for_all: bool,
    /// `true` for each architecture whose index has the package.
    stands_in: [bool; 2],
}

impl Package {
    fn of(bytes: [u8; 3]) -> Package {
        let [kind, name, version] = bytes.map(usize::from);
        let stands_in = [[true, false], [false, true], [true, true], [true, true]][(kind >> 2) & 3];
        Package {
            rank: (kind & 3) % ARCHIVES,
            name: NAMES[name % NAMES.len()],
            version: VERSIONS[version % VERSIONS.len()],
            component: COMPONENTS[(kind >> 5) & 1],
            is_for_all: kind & 16 != 0,
            stands_in,
        }
    }

    fn key(&self) -> String {
        self.name.to_ascii_lowercase()
    }

    /// Returns the stanza in the index of an architecture; `pool` is that of the published path, or empty.
    fn stanza(&self, architecture: &str, pool: &str) -> String {
        let architecture = if self.is_for_all { "all" } else { architecture };
        format!(
            "Package: {}\nVersion: {}\nArchitecture: {architecture}\nFilename: pool/{pool}{}\n",
            self.name, self.version, self.component
        )
    }
}

fn indices(packages: &[Package]) -> Vec<Indices> {
    let mut archives = vec![Indices::new(); ARCHIVES];
    for package in packages {
        for (architecture, _) in ARCHITECTURES
            .iter()
            .zip(package.stands_in)
            .filter(|(_, s)| *s)
        {
            let path = format!("{}/binary-{architecture}/Packages", package.component);
            let index = archives[package.rank].entry(path).or_default();
            *index += &(package.stanza(architecture, "") + "\n");
        }
    }
    archives
}

/// Returns the packages that clients of an architecture must see.
fn expected(packages: &[Package], architecture: usize) -> BTreeSet<String> {
    let owner = |name: &str, architectures: &[usize]| {
        let stands =
            |p: &&Package| p.key() == name && architectures.iter().any(|a| p.stands_in[*a]);
        packages.iter().filter(stands).map(|p| p.rank).min()
    };
    let is_seen = |p: &&Package| {
        let name = p.key();
        let (here, across) = (owner(&name, &[architecture]), owner(&name, &[0, 1]));
        let is_across = |p: &Package| p.key() == name && Some(p.rank) == across;
        let has_all = packages.iter().any(|p| is_across(p) && p.is_for_all);
        let stands = p.stands_in[architecture];
        if name == "banned" {
            return false;
        }
        match is_across(p) {
            // If only others have the name here, the owner's packages for all replace theirs.
            true => stands || p.is_for_all && here.is_some() && here != across,
            false => stands && here == Some(p.rank) && !p.is_for_all && !has_all,
        }
    };
    let seen = packages.iter().filter(is_seen);
    let stanza =
        |p: &Package| p.stanza(ARCHITECTURES[architecture], &format!("{}/", POOLS[p.rank]));
    seen.map(stanza).collect()
}

/// Returns the published stanzas of an architecture.
fn published(out: &Indices, architecture: &str) -> BTreeSet<String> {
    let texts =
        COMPONENTS.map(|component| &out[&format!("{component}/binary-{architecture}/Packages")]);
    texts
        .into_iter()
        .flat_map(|text| stanzas(text))
        .map(str::to_owned)
        .collect()
}

/// Merges packages, three bytes each, and asserts that exactly the owners' packages are published.
pub(super) fn view(data: &[u8]) {
    stay_in_this_thread();
    let mut packages: Vec<Package> = Vec::new();
    for bytes in data.chunks_exact(3).take(60) {
        let package = Package::of([bytes[0], bytes[1], bytes[2]]);
        // If two stanzas have one version, either may stand for both.
        let is_same = |p: &Package| {
            (p.rank, p.key(), p.version) == (package.rank, package.key(), package.version)
        };
        if !packages.iter().any(is_same) {
            packages.push(package);
        }
    }
    let out = merged(config(), &indices(&packages));
    let mut all = BTreeSet::new();
    for (number, architecture) in ARCHITECTURES.iter().enumerate() {
        let published = published(&out, architecture);
        assert_eq!(
            published,
            expected(&packages, number),
            "{architecture}: {packages:#?}"
        );
        all.extend(
            published
                .into_iter()
                .filter(|stanza| stanza.contains("\nArchitecture: all\n")),
        );
    }
    assert_eq!(published(&out, "all"), all, "{packages:#?}");
    // The lowest archive takes nothing away from the others.
    let others: Vec<Package> = packages
        .iter()
        .copied()
        .filter(|p| p.rank + 1 < ARCHIVES)
        .collect();
    let without = merged(config(), &indices(&others));
    for architecture in ARCHITECTURES {
        let (with, without) = (
            published(&out, architecture),
            published(&without, architecture),
        );
        let gone: Vec<_> = without.difference(&with).collect();
        assert!(gone.is_empty(), "{gone:?} of {packages:#?}");
    }
}
