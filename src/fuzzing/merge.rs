//! The merge of small worlds: three bytes make a package of one of two archives.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::OnceLock;

use crate::config::Config;
use crate::deb822::compare_versions;

use super::memory::{Indices, stanzas, stay_in_this_thread};

const BINARIES_INDEX: &str = "main/binary-amd64/Packages";
const SOURCES_INDEX: &str = "main/source/Sources";

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

/// The names, versions and architectures of packages; three bytes choose among them.
const NAMES: [&str; 6] = ["a", "b", "b-c", "b+", "banned", "lib9"];
const VERSIONS: [&str; 8] = ["1", "1-1", "1.0", "2~rc", "2", "1:0.5", "1-1+b1", "01"];
const ARCHITECTURES: [&str; 2] = ["amd64", "all"];
/// The maintainers of packages, in their order.
const MAINTAINERS: [&str; 3] = ["", "Ann <a@a.example>", "Zoe <z@a.example>"];
const POOLS: [&str; 2] = ["HIGH", "LOW"];
/// The dependencies of packages; `true` if the ban drops a package with this one.
const DEPENDS: [(&str, bool); 4] = [
    ("", false),
    ("Depends: banned\n", true),
    ("Depends: a | banned\n", false),
    ("Pre-Depends: b,banned (>= 1)\n", true),
];
/// The directories of files in an archive, and in a merged pool, below the archive's name.
const PATHS: [(&str, &str); 3] = [("pool/", ""), ("./pool/", ""), ("extra/", "_/extra/")];
/// The source of a package, if it has another name or version: both by their positions above.
const SOURCES: [(&str, Option<usize>, Option<usize>); 3] = [
    ("", None, None),
    ("Source: a\n", Some(0), None),
    ("Source: b (1)\n", Some(1), Some(0)),
];

/// The binaries that a source lists.
const BINARIES: [&[&str]; 4] = [&[], &["a"], &["b", "b-c", "none"], &["A", "banned", "lib9"]];

/// A package or a source of an archive.
struct Package {
    rank: usize,
    name: usize,
    version: usize,
    architecture: usize,
    maintainer: usize,
    is_banned: bool,
    builds: &'static [&'static str],
    /// Name and version of the source that the package was built from.
    source: (usize, usize),
    /// The stanza as the archive has it.
    text: String,
    /// The stanza as it must be published.
    published: String,
}

impl Package {
    /// Returns a number for each name, version and architecture.
    fn key(&self) -> usize {
        (self.name * VERSIONS.len() + self.version) * ARCHITECTURES.len() + self.architecture
    }
}

const KEYS: usize = NAMES.len() * VERSIONS.len() * ARCHITECTURES.len();

/// The packages of two archives, by the numbers that are in the stanzas.
#[derive(Default)]
struct World {
    binaries: BTreeMap<usize, Package>,
    sources: BTreeMap<usize, Package>,
}

fn world(data: &[u8]) -> World {
    let mut world = World::default();
    for (n, bytes) in data.chunks_exact(3).take(200).enumerate() {
        let [kind, name, version] = [bytes[0], bytes[1], bytes[2]].map(usize::from);
        let (rank, name, version) = (kind & 1, name % NAMES.len(), version % VERSIONS.len());
        let maintainer = (bytes[2] / 8) as usize % MAINTAINERS.len();
        let mut head = format!("Package: {}\nVersion: {}\n", NAMES[name], VERSIONS[version]);
        if maintainer > 0 {
            head += &format!("Maintainer: {}\n", MAINTAINERS[maintainer]);
        }
        let pool = POOLS[rank];
        let mut package = Package {
            rank,
            name,
            version,
            architecture: 0,
            maintainer,
            is_banned: NAMES[name] == "banned",
            builds: &[],
            source: (name, version),
            text: String::new(),
            published: String::new(),
        };
        if kind & 2 != 0 {
            package.builds = BINARIES[(kind >> 2) % BINARIES.len()];
            let builds = match package.builds {
                [] => String::new(),
                some => format!("Binary: {}\n", some.join(", ")),
            };
            let stanza = |path| format!("{head}{builds}Architecture: any\nDirectory: {path}{n}\n");
            package.text = stanza("pool/");
            package.published = stanza(&format!("pool/{pool}/"));
            world.sources.insert(n, package);
            continue;
        }
        package.architecture = usize::from(kind & 4 != 0);
        let (depends, goes) = DEPENDS[(kind >> 3) % DEPENDS.len()];
        package.is_banned |= goes;
        let (source, source_name, source_version) = SOURCES[(kind >> 5) % SOURCES.len()];
        package.source = (
            source_name.unwrap_or(name),
            source_version.unwrap_or(version),
        );
        let (path, merged) = PATHS[(kind >> 4) % PATHS.len()];
        let architecture = ARCHITECTURES[package.architecture];
        let stanza = |path| {
            format!(
                "{head}Architecture: {architecture}\n{source}{depends}X-Number: {n}\nFilename: {path}{n}\n"
            )
        };
        package.text = stanza(path);
        package.published = stanza(&format!("pool/{pool}/{merged}"));
        world.binaries.insert(n, package);
    }
    world
}

/// Returns the indices of each archive, the stanzas in the order of their numbers or in reverse.
fn indices(world: &World, is_reversed: bool) -> [Indices; 2] {
    let index = |packages: &BTreeMap<usize, Package>, rank| {
        let of_archive = packages.values().filter(|p| p.rank == rank);
        let mut texts: Vec<_> = of_archive.map(|p| &p.text[..]).collect();
        if is_reversed {
            texts.reverse();
        }
        texts.join("\n")
    };
    [0, 1].map(|rank| of_texts(index(&world.binaries, rank), index(&world.sources, rank)))
}

fn of_texts(binaries: String, sources: String) -> Indices {
    let named = [(BINARIES_INDEX, binaries), (SOURCES_INDEX, sources)];
    named.map(|(name, text)| (name.to_owned(), text)).into()
}

fn merged(archives: &[Indices]) -> Indices {
    super::memory::merged(config(), archives)
}

/// Returns the packages of an index; asserts that each is published just as its archive's stanza says.
fn published<'a>(
    text: &str,
    packages: &'a BTreeMap<usize, Package>,
    number: fn(&str) -> Option<&str>,
) -> Vec<&'a Package> {
    let find = |stanza| {
        let number = number(stanza).unwrap().parse().unwrap();
        let package = packages.get(&number).expect("a stanza of no input");
        let expected = without_builds(&package.published);
        assert_eq!(without_builds(stanza), expected);
        package
    };
    stanzas(text).map(find).collect()
}

fn number_of_binary(stanza: &str) -> Option<&str> {
    let (_, rest) = stanza.split_once("X-Number: ")?;
    rest.lines().next()
}

fn number_of_source(stanza: &str) -> Option<&str> {
    stanza.trim_end().rsplit('/').next()
}

pub(super) fn merge(data: &[u8]) {
    stay_in_this_thread();
    let world = world(data);
    let out = merged(&indices(&world, false));
    let text = &out[BINARIES_INDEX];
    let packages = published(text, &world.binaries, number_of_binary);
    let sources = published(&out[SOURCES_INDEX], &world.sources, number_of_source);

    // All of a name is from the first archive that has it, nothing is banned, and nothing stands there twice.
    let mut owners = [None; NAMES.len()];
    for package in world.binaries.values() {
        let owner: &mut Option<usize> = &mut owners[package.name];
        *owner = Some(owner.map_or(package.rank, |o| o.min(package.rank)));
    }
    let mut is_published = [false; KEYS];
    for package in &packages {
        assert_eq!(owners[package.name], Some(package.rank), "{}", package.text);
        assert!(!package.is_banned, "{}", package.text);
        let before = std::mem::replace(&mut is_published[package.key()], true);
        assert!(!before, "twice: {}", package.text);
    }
    // Nothing is lost that precedence and bans let through. Several stanzas may have one key; then any one of them may stand for all, even
    // a banned one.
    let mut may_be_gone = [[false; KEYS]; 2];
    for package in world.binaries.values().filter(|p| p.is_banned) {
        may_be_gone[package.rank][package.key()] = true;
    }
    for package in world.binaries.values() {
        let is_hidden = owners[package.name] != Some(package.rank);
        let lost =
            !is_hidden && !may_be_gone[package.rank][package.key()] && !is_published[package.key()];
        assert!(!lost, "{}", package.text);
    }
    // Binary-all has exactly the packages for all.
    let all = published(
        &out["main/binary-all/Packages"],
        &world.binaries,
        number_of_binary,
    );
    let of_all = packages
        .iter()
        .filter(|p| ARCHITECTURES[p.architecture] == "all");
    let keys_of_all: BTreeSet<_> = of_all.map(|p| p.key()).collect();
    assert_eq!(all.len(), keys_of_all.len());
    assert!(all.iter().all(|p| keys_of_all.contains(&p.key())));
    check_order(&packages);
    check_order(&all);
    check_order(&sources);
    check_sources(&world, &packages, &sources);
    check_builds(&world, &out[SOURCES_INDEX]);
    // The order of stanzas within a file has no effect.
    assert_eq!(merged(&indices(&world, true)), out);
    // A second merge of the merged stanzas changes nothing but the paths and the order.
    let texts = |packages: &[&Package]| {
        let texts: Vec<_> = packages.iter().map(|p| &p.text[..]).collect();
        texts.join("\n")
    };
    let again = merged(&[of_texts(texts(&packages), texts(&sources))]);
    for (index, before) in [(BINARIES_INDEX, &packages), (SOURCES_INDEX, &sources)] {
        let mut after: Vec<_> = stanzas(&again[index]).map(without_path).collect();
        let mut before: Vec<_> = before.iter().map(|p| without_path(&p.text)).collect();
        // All packages are of one archive now, so the order is another one.
        after.sort();
        before.sort();
        assert_eq!(after, before, "{index}");
    }
}

fn versions(a: &Package, b: &Package) -> std::cmp::Ordering {
    versions_of(a.version, b.version)
}

fn versions_of(a: usize, b: usize) -> std::cmp::Ordering {
    compare_versions(VERSIONS[a].as_bytes(), VERSIONS[b].as_bytes())
}

/// Asserts the order of publication: all of a name together, ascending, at the place of the highest version; first in the head, then in the
/// tail.
fn check_order(packages: &[&Package]) {
    let mut before: Option<(Reverse<usize>, usize, &str, &str)> = None;
    let (mut is_tail, mut seen) = (false, BTreeSet::new());
    for same_name in packages.chunk_by(|a, b| a.name == b.name) {
        for pair in same_name.windows(2) {
            let [a, b] = [pair[0], pair[1]];
            // One version can have two spellings.
            let order = versions(a, b)
                .then(VERSIONS[a.version].cmp(VERSIONS[b.version]))
                .then(ARCHITECTURES[a.architecture].cmp(ARCHITECTURES[b.architecture]));
            assert!(order.is_le(), "{}{}", a.text, b.text);
        }
        let highest = same_name[same_name.len() - 1];
        let rank = same_name.iter().map(|p| p.rank).min();
        let place = (
            Reverse(rank.unwrap_or_default()),
            highest.maintainer,
            NAMES[highest.source.0],
            NAMES[highest.name],
        );
        if before.is_some_and(|before| before >= place) {
            assert!(!is_tail, "{}", highest.text);
            is_tail = true;
        }
        assert!(seen.insert(highest.name), "{}", highest.text);
        before = Some(place);
    }
}

/// Asserts that every source that a published binary names is there, if the owner of the name has it, or has one that is not below it and
/// no binary of a higher archive names it; that nothing else is there, and no version twice.
fn check_sources(world: &World, packages: &[&Package], sources: &[&Package]) {
    let owner = |name| {
        world
            .sources
            .values()
            .filter(|s| s.name == name)
            .map(|s| s.rank)
            .min()
    };
    let is_owners = |s: &Package| owner(s.name) == Some(s.rank);
    let top = |s: &Package| {
        let mut own = sources.iter().filter(|o| o.name == s.name && is_owners(o));
        own.any(|o| versions(o, s).is_ge())
    };
    for package in packages {
        let (name, version) = package.source;
        let is_it = |s: &&Package| {
            let named = [VERSIONS[s.version], VERSIONS[version]].map(str::as_bytes);
            s.name == name && compare_versions(named[0], named[1]).is_eq()
        };
        let users = packages.iter().filter(|p| p.source.0 == name);
        let users = users.filter(|p| versions_of(p.source.1, version).is_eq());
        let highest = users.map(|p| p.rank).min();
        let mut found = world.sources.values().filter(is_it);
        let may_be_of = |s: &Package| highest.is_none_or(|highest| s.rank <= highest);
        let must_be_there = found.any(|s| is_owners(s) || top(s) && may_be_of(s));
        let is_there = sources.iter().copied().any(|s| is_it(&s));
        assert_eq!(must_be_there, is_there, "{}", package.text);
    }
    for (n, source) in sources.iter().enumerate() {
        assert!(is_owners(source) || top(source), "{}", source.text);
        let mut before = sources[..n].iter();
        assert!(!before.any(|s| s.name == source.name && versions(s, source).is_eq()));
    }
}

/// Asserts that a source lists no binary that belongs to another archive: because that archive has the binary, or, if none has, the source
/// of the name, or is the highest that lists it. Asserts that the source keeps every other binary that it lists.
fn check_builds(world: &World, text: &str) {
    let published: Vec<_> = stanzas(text).collect();
    let source_of =
        |stanza: &str| &world.sources[&number_of_source(stanza).unwrap().parse().unwrap()];
    let owner_of = |name: &str| {
        let has = |p: &&Package| NAMES[p.name].eq_ignore_ascii_case(name);
        let binary = world.binaries.values().filter(has).map(|p| p.rank).min();
        let source = world.sources.values().filter(has).map(|s| s.rank).min();
        let lists = published.iter().map(|stanza| source_of(stanza));
        let first = lists
            .filter(|s| s.builds.contains(&name))
            .map(|s| s.rank)
            .min();
        binary.or(source).or(first)
    };
    for stanza in &published {
        let source = source_of(stanza);
        let own = source
            .builds
            .iter()
            .filter(|n| owner_of(n) == Some(source.rank));
        let own: Vec<_> = own.copied().collect();
        let line = stanza
            .lines()
            .find_map(|line| line.strip_prefix("Binary: "));
        assert_eq!(line.unwrap_or_default(), own.join(", "), "{stanza}");
    }
}

/// Returns a stanza without its list of binaries.
fn without_builds(stanza: &str) -> String {
    let lines = stanza.split_inclusive('\n');
    lines.filter(|line| !line.starts_with("Binary: ")).collect()
}

/// Returns a stanza without its last line, which is the one that a merge rewrites.
fn without_path(stanza: &str) -> String {
    let end = stanza.trim_end().rfind('\n').unwrap_or_default();
    without_builds(&stanza[..=end])
}
