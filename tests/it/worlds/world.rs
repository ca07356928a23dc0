//! Random worlds: two to four archives with names, cases, architectures, relations and versions at the edges, of which the lower
//! ones may be made by somebody who wants to speak for the higher ones.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use aptmerge::deb822::compare_versions;
use md5::{Digest as _, Md5};

use crate::common::history::Random;
use crate::common::programs::Said;
use crate::common::site::Site;
use crate::common::upstream::lay_out;

pub(crate) const ARCHITECTURES: [&str; 2] = ["amd64", "arm64"];
pub(crate) const COMPONENTS: [&str; 2] = ["main", "contrib"];
pub(crate) const BANNED: &str = "banned";

const KEYS: [&str; 4] = ["overlay", "security", "main", "overlay"];
const DATE: &str = "Thu, 01 Jan 2026 00:00:00 UTC";
/// The clock of the run.
const NOW: &str = "2026-03-01T00:00:00Z";

/// Names in families that differ by case, or by what sorts beside a letter.
const NAMES: [&str; 14] = [
    "odd-tool",
    "Odd-Tool",
    "ODD-tool",
    "odd-tools",
    "libx",
    "LibX",
    "libx+",
    "libx.1",
    "b0",
    "B0",
    "banned",
    "Banned",
    "ssl",
    "c6",
];
const VERSIONS: [&str; 12] = [
    "1.0",
    "1.0-1",
    "1.0-1+b1",
    "1:0.5",
    "2~rc1",
    "2",
    "01.0",
    "999",
    "0",
    "1.0~",
    "1.0+dfsg-2",
    "10",
];
/// The fields of a package that may be longer than apt can hold.
const HUGE: [&str; 4] = ["Version", "Section", "Source", "Depends"];

/// A binary package of an archive.
#[derive(Debug, Clone)]
pub(crate) struct Binary {
    pub(crate) number: usize,
    pub(crate) archive: usize,
    pub(crate) name: String,
    pub(crate) version: String,
    /// One of [`ARCHITECTURES`], or `all`.
    pub(crate) architecture: &'static str,
    /// The architectures in whose indices the package stands.
    pub(crate) stands_in: Vec<&'static str>,
    pub(crate) component: &'static str,
    /// The clauses of Depends, each with its alternatives.
    pub(crate) depends: Vec<Vec<String>>,
    pub(crate) provides: Vec<String>,
    pub(crate) source: Option<(String, String)>,
    /// The field that is longer than apt can hold.
    pub(crate) huge: Option<&'static str>,
}

/// A source package of an archive.
#[derive(Debug, Clone)]
pub(crate) struct Source {
    pub(crate) number: usize,
    pub(crate) archive: usize,
    pub(crate) name: String,
    pub(crate) version: String,
    pub(crate) component: &'static str,
    pub(crate) binaries: Vec<String>,
}

/// The indices in which an archive keeps its packages of `Architecture: all`.
#[derive(Debug, Clone, Copy, PartialEq)]
enum AllIn {
    EveryIndex,
    EveryIndexAndBinaryAll,
    BinaryAll,
}

/// Archives, the highest priority first, and what is merged of them.
#[derive(Debug)]
pub(crate) struct World {
    pub(crate) archives: usize,
    pub(crate) transitive: bool,
    pub(crate) binaries: Vec<Binary>,
    pub(crate) sources: Vec<Source>,
    /// Descriptions that an archive gives for another's package: archive, component, number of the package.
    false_texts: Vec<(usize, &'static str, usize)>,
    all_in: Vec<AllIn>,
}

/// Returns a name as apt and dpkg take it.
pub(crate) fn key(name: &str) -> String {
    name.to_ascii_lowercase()
}

impl World {
    /// Makes a world; the same seed makes the same one.
    pub(crate) fn new(seed: u64) -> World {
        let mut random = Random::new(seed);
        let archives = 2 + random.below(3);
        let mut world = World {
            archives,
            transitive: random.below(3) == 0,
            binaries: Vec::new(),
            sources: Vec::new(),
            false_texts: Vec::new(),
            all_in: (0..archives)
                .map(|_| {
                    random.of(&[
                        AllIn::EveryIndex,
                        AllIn::EveryIndex,
                        AllIn::EveryIndexAndBinaryAll,
                        AllIn::BinaryAll,
                    ])
                })
                .collect(),
        };
        for number in 0..24 + random.below(24) {
            world.add_binary(number, &mut random);
        }
        for number in 0..8 + random.below(12) {
            world.add_source(number, &mut random);
        }
        world
    }

    /// The same world without its lowest archive.
    pub(crate) fn without_lowest(&self) -> World {
        let lowest = self.archives - 1;
        World {
            archives: lowest,
            transitive: self.transitive,
            binaries: self
                .binaries
                .iter()
                .filter(|b| b.archive < lowest)
                .cloned()
                .collect(),
            sources: self
                .sources
                .iter()
                .filter(|s| s.archive < lowest)
                .cloned()
                .collect(),
            false_texts: self
                .false_texts
                .iter()
                .filter(|t| t.0 < lowest)
                .copied()
                .collect(),
            all_in: self.all_in[..lowest].to_vec(),
        }
    }

    fn add_binary(&mut self, number: usize, random: &mut Random) {
        let archive = random.below(self.archives);
        let name = random.of(&NAMES).to_owned();
        let version = random.of(&VERSIONS).to_owned();
        // Of two stanzas of one version of an archive, either may stand for both.
        let is_same =
            |b: &Binary| (b.archive, key(&b.name), &b.version) == (archive, key(&name), &version);
        if self.binaries.iter().any(is_same) {
            return;
        }
        let architecture = random.of(&["amd64", "arm64", "all", "all"]);
        let stands_in = match architecture {
            "all" if self.all_in[archive] == AllIn::EveryIndex && random.below(3) == 0 => {
                vec![random.of(&ARCHITECTURES)]
            }
            "all" => ARCHITECTURES.to_vec(),
            native => vec![native],
        };
        let relation = |random: &mut Random| {
            let name = random.of(&NAMES);
            match random.below(5) {
                0 => format!("{name} (>= {})", random.of(&VERSIONS)),
                1 => format!("{name}:any"),
                _ => name.to_owned(),
            }
        };
        let depends = (0..random.below(3))
            .map(|_| (0..1 + random.below(2)).map(|_| relation(random)).collect())
            .collect();
        let provides = (0..random.below(2))
            .map(|_| random.of(&NAMES).to_owned())
            .collect();
        let source = (random.below(3) == 0).then(|| {
            (
                random.of(&NAMES).to_owned(),
                random.of(&VERSIONS).to_owned(),
            )
        });
        let huge = (random.below(24) == 0).then(|| random.of(&HUGE));
        // One that is banned as well would have satisfied others before the bans, or not, as one likes.
        let (depends, provides) = match huge {
            Some(_) => (Vec::new(), Vec::new()),
            None => (depends, provides),
        };
        self.binaries.push(Binary {
            number,
            archive,
            name,
            version,
            architecture,
            stands_in,
            component: random.of(&COMPONENTS),
            depends,
            provides,
            source,
            huge,
        });
        if archive + 1 < self.archives && random.below(3) == 0 {
            let liar = archive + 1 + random.below(self.archives - archive - 1);
            self.false_texts
                .push((liar, random.of(&COMPONENTS), number));
        }
    }

    fn add_source(&mut self, number: usize, random: &mut Random) {
        let archive = random.below(self.archives);
        let (name, version) = (
            random.of(&NAMES).to_owned(),
            random.of(&VERSIONS).to_owned(),
        );
        // Of two spellings of one version, one stands for both.
        let is_same = |s: &Source| {
            let versions = [&s.version, &version].map(|v| v.as_bytes());
            (s.archive, key(&s.name)) == (archive, key(&name))
                && compare_versions(versions[0], versions[1]).is_eq()
        };
        if self.sources.iter().any(is_same) {
            return;
        }
        let binaries = (0..1 + random.below(3))
            .map(|_| random.of(&NAMES).to_owned())
            .collect();
        self.sources.push(Source {
            number,
            archive,
            name,
            version,
            component: random.of(&COMPONENTS),
            binaries,
        });
    }

    /// The indices of an archive, by path below its suite.
    fn indices(&self, archive: usize) -> BTreeMap<String, String> {
        let mut indices = BTreeMap::new();
        let all_in = self.all_in[archive];
        for component in COMPONENTS {
            let mut texts = String::new();
            let of_component = || {
                self.binaries
                    .iter()
                    .filter(move |b| (b.archive, b.component) == (archive, component))
            };
            for architecture in ["all", "amd64", "arm64"] {
                let stands = |b: &&Binary| match (b.architecture == "all", architecture == "all") {
                    (true, true) => all_in != AllIn::EveryIndex,
                    (true, false) => {
                        all_in != AllIn::BinaryAll && b.stands_in.contains(&architecture)
                    }
                    (false, _) => b.architecture == architecture,
                };
                if architecture == "all" && all_in == AllIn::EveryIndex {
                    continue;
                }
                let text: String = of_component()
                    .filter(stands)
                    .map(|b| b.stanza() + "\n")
                    .collect();
                indices.insert(format!("{component}/binary-{architecture}/Packages"), text);
            }
            for binary in of_component() {
                texts += &binary.translation(&binary.long_text());
            }
            for (liar, _, number) in self
                .false_texts
                .iter()
                .filter(|t| (t.0, t.1) == (archive, component))
            {
                let binary = self.binaries.iter().find(|b| b.number == *number).unwrap();
                texts += &binary.translation(&format!(" a lie of {liar}\n"));
            }
            indices.insert(format!("{component}/i18n/Translation-en"), texts);
            let sources = self
                .sources
                .iter()
                .filter(|s| (s.archive, s.component) == (archive, component));
            indices.insert(
                format!("{component}/source/Sources"),
                sources.map(|s| s.stanza() + "\n").collect(),
            );
        }
        indices
    }
}

impl Binary {
    /// Returns the description as a Packages without Translation would have it.
    fn long_text(&self) -> String {
        format!(" the text of {}\n", self.number)
    }

    fn digest_of_description(&self) -> String {
        hex::encode(Md5::digest(format!(
            "number {}\n{}",
            self.number,
            self.long_text()
        )))
    }

    fn translation(&self, text: &str) -> String {
        let digest = self.digest_of_description();
        format!(
            "Package: {}\nDescription-md5: {digest}\nDescription-en: number {}\n{text}\n",
            self.name, self.number
        )
    }

    fn stanza(&self) -> String {
        let huge = |field: &str| match self.huge == Some(field) {
            true => "9".repeat(70_000),
            false => String::new(),
        };
        let mut text = format!(
            "Package: {}\nVersion: {}{}\nArchitecture: {}\nMaintainer: A <a@archive.example>\nSection: misc{}\n",
            self.name,
            self.version,
            huge("Version"),
            self.architecture,
            huge("Section"),
        );
        if let Some((name, version)) = &self.source {
            writeln!(text, "Source: {name}{} ({version})", huge("Source")).unwrap();
        } else if self.huge == Some("Source") {
            writeln!(text, "Source: {}", huge("Source")).unwrap();
        }
        let mut clauses: Vec<String> = self
            .depends
            .iter()
            .map(|clause| clause.join(" | "))
            .collect();
        if self.huge == Some("Depends") {
            clauses.push(format!("x{}", huge("Depends")));
        }
        for (field, values) in [("Depends", &clauses), ("Provides", &self.provides)] {
            if !values.is_empty() {
                writeln!(text, "{field}: {}", values.join(", ")).unwrap();
            }
        }
        writeln!(
            text,
            "Description: number {0}\nDescription-md5: {1}\nX-Number: {0}\nFilename: pool/{0}_{2}.deb\nSize: {3}\nSHA256: {0:064}",
            self.number,
            self.digest_of_description(),
            self.architecture,
            self.number + 1,
        )
        .unwrap();
        text
    }
}

impl Source {
    fn stanza(&self) -> String {
        format!(
            "Package: {}\nBinary: {}\nVersion: {}\nArchitecture: any\nFormat: 3.0 (native)\nX-Number: {3}\nDirectory: pool/source-{3}\n\
             Files:\n {3:032} 1 {3}.dsc\nChecksums-Sha256:\n {3:064} 1 {3}.dsc\n",
            self.name,
            self.binaries.join(", "),
            self.version,
            self.number,
        )
    }
}

/// A world as signed archives on disk, with a configuration that merges them.
pub(crate) struct Laid {
    site: Site,
}

impl Laid {
    /// Lays a world out.
    pub(crate) fn out(world: &World) -> Laid {
        let laid = Laid { site: Site::bare() };
        for archive in 0..world.archives {
            laid.write_archive(archive, world.all_in[archive], &world.indices(archive));
        }
        laid.site.write_config(&laid.configuration(world));
        laid
    }

    pub(crate) fn path(&self, path: impl AsRef<Path>) -> PathBuf {
        self.site.path(path)
    }

    fn write_archive(&self, archive: usize, all_in: AllIn, indices: &BTreeMap<String, String>) {
        let dir = self.path(format!("archive-{archive}/dists/base"));
        let mut release = format!(
            "Origin: A{archive}\nLabel: A{archive}\nSuite: base\nCodename: base\nDate: {DATE}\n\
             Architectures: all amd64 arm64\nComponents: main contrib\n"
        );
        // The field says that the other indices have the packages of binary-all as well.
        if all_in == AllIn::EveryIndexAndBinaryAll {
            release += "No-Support-for-Architecture-all: Packages\n";
        }
        let key = self.path(format!("keys/{}.secret.asc", KEYS[archive]));
        let time = "2026-01-01T00:00:00Z".parse().unwrap();
        lay_out(&dir, &release, indices, &key, time);
    }

    fn configuration(&self, world: &World) -> String {
        let names: Vec<_> = (0..world.archives).map(|n| format!("\"a{n}\"")).collect();
        let from: Vec<_> = (0..world.archives)
            .map(|n| format!("a{n} = \"base\""))
            .collect();
        let mut text = format!(
            "root = \"site\"\npriority = [{}]\ncomponents = [\"main\", \"contrib\"]\narchitectures = [\"all\", \"amd64\", \"arm64\"]\n\
             indices = [\"packages\", \"sources\", \"translations\"]\n",
            names.join(", ")
        );
        for (n, key) in KEYS.iter().enumerate().take(world.archives) {
            let dir = self.path(format!("archive-{n}"));
            let dir = dir.display();
            writeln!(text, "[archives.a{n}]\npool = \"A{n}\"\nuris = [\"file://{dir}\"]\nsigned-by = \"keys/{key}.gpg\"").unwrap();
        }
        text += &format!(
            "[suites.merged]\nfrom = {{ {} }}\nrelease = {{ Suite = \"merged\", Codename = \"merged\" }}\n\
             [bans]\npackages = [\"{BANNED}\"]\ntransitive = {}\n\
             [signing]\nkey-file = \"keys/publish-a.secret.asc\"\n[publish]\npool-links = false\n",
            from.join(", "),
            world.transitive
        );
        text
    }

    /// Calls the program.
    pub(crate) fn aptmerge(&self, arguments: &[&str]) -> Said {
        self.site.aptmerge(&[arguments, &["--clock", NOW]].concat())
    }
}
