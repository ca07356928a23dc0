//! Three made-up archives and a configuration that change at random, step by step: the same seed makes the same history.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use jiff::{SignedDuration, Timestamp};
use sha2::{Digest, Sha256};

use super::programs::{APTMERGE, Said};
use super::site::{Site, files};
use super::upstream::{lay_out, sums};

/// Numbers that look random, by a seed (xorshift*).
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Random {
        Random(
            seed.wrapping_mul(0x9e37_79b9_7f4a_7c15)
                .wrapping_add(0x1234_5678_9abc_def1)
                | 1,
        )
    }

    pub(crate) fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) as usize % bound
    }

    pub(crate) fn of<T: Copy>(&mut self, choice: &[T]) -> T {
        choice[self.below(choice.len())]
    }
}

/// A package of an archive; its name and component are its key.
#[derive(Debug, Clone)]
pub(crate) struct Package {
    pub(crate) version: String,
    pub(crate) architecture: &'static str,
    pub(crate) depends: Option<String>,
    pub(crate) description: u64,
}

pub(crate) const ARCHIVES: [&str; 3] = ["overlay", "middle", "base"];
const COMPONENTS: [&str; 2] = ["main", "contrib"];
const FAMILIES: [&str; 5] = ["sources", "contents", "translations", "dep11", "commands"];
const NAMES: usize = 24;

/// What the configuration says, as far as it changes.
#[derive(Debug, Clone)]
pub(crate) struct Settings {
    pub(crate) priority: [&'static str; 3],
    pub(crate) components: Vec<&'static str>,
    pub(crate) architectures: Vec<&'static str>,
    pub(crate) families: Vec<&'static str>,
    pub(crate) bans: Vec<String>,
    pub(crate) transitive: bool,
    pub(crate) exempt: bool,
    pub(crate) pins: Vec<(String, &'static str)>,
    pub(crate) strategy: &'static str,
    pub(crate) keys: &'static str,
    pub(crate) hashes: &'static str,
    pub(crate) compress: &'static str,
    pub(crate) languages: &'static str,
    pub(crate) beside: bool,
    pub(crate) valid_for: bool,
    /// At the end of the file.
    pub(crate) extra: String,
}

type Packages = BTreeMap<(&'static str, String), Package>;

/// The archives, the configuration, and the time.
pub(crate) struct History {
    site: Site,
    seed: u64,
    pub(crate) random: Random,
    pub(crate) archives: BTreeMap<&'static str, Packages>,
    pub(crate) settings: Settings,
    /// The time of the next run.
    pub(crate) now: Timestamp,
    /// How many bytes every stanza of Packages is longer.
    pub(crate) filler: usize,
    counter: u64,
    told: Vec<String>,
}

impl History {
    /// Some packages in each archive, every family of indices, and two suites: `one` of all archives, `two` of the lower ones.
    pub(crate) fn new(seed: u64) -> History {
        let mut history = History {
            site: Site::bare(),
            seed,
            random: Random::new(seed),
            archives: ARCHIVES.map(|name| (name, Packages::new())).into(),
            settings: Settings {
                priority: ARCHIVES,
                components: COMPONENTS.into(),
                architectures: vec!["all", "amd64", "arm64"],
                families: FAMILIES.into(),
                bans: vec!["p3".into()],
                transitive: false,
                exempt: false,
                pins: Vec::new(),
                strategy: "order",
                keys: "\"keys/publish-a.secret.asc\"",
                hashes: "\"sha256\"",
                compress: "\"xz\", \"gz\"",
                languages: "",
                beside: false,
                valid_for: false,
                extra: String::new(),
            },
            now: "2026-03-01T00:00:00Z".parse().unwrap(),
            filler: 0,
            counter: 0,
            told: Vec::new(),
        };
        for number in 0..NAMES {
            for archive in ARCHIVES {
                if archive == "base" || history.random.below(3) == 0 {
                    let component = history.random.of(&COMPONENTS);
                    history.put(archive, component, &format!("p{number}"));
                }
            }
        }
        history.told.clear();
        history.write();
        history
    }

    pub(crate) fn path(&self, path: impl AsRef<Path>) -> PathBuf {
        self.site.path(path)
    }

    /// What happened, for the message of a failed assertion.
    pub(crate) fn story(&self) -> String {
        format!("seed {}:\n  {}", self.seed, self.told.join("\n  "))
    }

    pub(crate) fn tell(&mut self, what: impl Into<String>) {
        self.told.push(what.into());
    }

    /// Puts a new version of a package into an archive.
    pub(crate) fn put(&mut self, archive: &'static str, component: &'static str, name: &str) {
        self.counter += 1;
        let depends = match self.random.below(4) {
            0 => Some(format!("p{}", self.random.below(NAMES))),
            _ => None,
        };
        let package = Package {
            version: format!("1.{}.{}", self.random.below(9), self.counter),
            architecture: self.random.of(&["amd64", "amd64", "arm64", "all"]),
            depends,
            description: self.random.below(3) as u64,
        };
        self.tell(format!("{archive}/{component} gets {name}: {package:?}"));
        let packages = self.archives.get_mut(archive).unwrap();
        packages.insert((component, name.to_owned()), package);
    }

    fn any_of(&mut self, archive: &'static str) -> (&'static str, String) {
        let keys: Vec<_> = self.archives[archive].keys().cloned().collect();
        keys[self.random.below(keys.len())].clone()
    }

    /// Changes something in the archives.
    pub(crate) fn change_archives(&mut self) {
        let archive = self.random.of(&ARCHIVES);
        match self.random.below(6) {
            0 | 1 => {
                let name = format!("p{}", self.random.below(NAMES + 6));
                let component = self.random.of(&COMPONENTS);
                self.put(archive, component, &name);
            }
            2 => {
                let (component, name) = self.any_of(archive);
                self.put(archive, component, &name);
            }
            3 if self.archives[archive].len() > 3 => {
                let key = self.any_of(archive);
                self.tell(format!("{archive} loses {key:?}"));
                self.archives.get_mut(archive).unwrap().remove(&key);
            }
            kind => {
                let from = self.any_of(archive);
                let (other, component) = match kind {
                    4 => (archive, self.random.of(&COMPONENTS)),
                    _ => (self.random.of(&ARCHIVES), from.0),
                };
                if self.archives[archive].len() > 3 || other == archive {
                    self.tell(format!("{archive} {from:?} moves to {other} {component}"));
                    let package = self.archives.get_mut(archive).unwrap().remove(&from);
                    let to = self.archives.get_mut(other).unwrap();
                    to.insert((component, from.1), package.unwrap());
                }
            }
        }
    }

    /// Changes something in the configuration.
    pub(crate) fn change_settings(&mut self) {
        let name = format!("p{}", self.random.below(NAMES));
        let random = &mut self.random;
        let settings = &mut self.settings;
        match random.below(14) {
            0 => match settings.bans.iter().position(|b| *b == name) {
                Some(at) => drop(settings.bans.remove(at)),
                None => settings.bans.push(name),
            },
            1 => settings.pins = vec![(name, random.of(&ARCHIVES))],
            2 => settings.pins.clear(),
            3 => settings.strategy = random.of(&["order", "newest"]),
            4 | 5 => {
                let family = random.of(&FAMILIES);
                match settings.families.iter().position(|f| *f == family) {
                    Some(at) => drop(settings.families.remove(at)),
                    None => settings.families.push(family),
                }
            }
            6 => {
                let one = "\"keys/publish-a.secret.asc\"";
                let two = "\"keys/publish-a.secret.asc\", \"keys/publish-b.secret.asc\"";
                settings.keys = if settings.keys == one { two } else { one };
            }
            7 => settings.transitive ^= true,
            8 => settings.exempt ^= true,
            9 => {
                settings.hashes = random.of(&[
                    "\"sha256\"",
                    "\"sha256\", \"sha512\"",
                    "\"sha256\", \"md5\"",
                ]);
            }
            10 => settings.compress = random.of(&["\"xz\", \"gz\"", "\"gz\"", "\"xz\""]),
            11 => settings.languages = random.of(&["", "\"en\"", "\"de\""]),
            12 => match random.below(3) {
                0 => settings.beside ^= true,
                1 => settings.valid_for ^= true,
                _ => settings.priority.swap(0, 1),
            },
            _ => match random.below(2) {
                0 if settings.components.len() == 2 => settings.components = vec!["main"],
                0 => settings.components = COMPONENTS.into(),
                _ if settings.architectures.len() == 3 => {
                    settings.architectures = vec!["all", "amd64"];
                }
                _ => settings.architectures = vec!["all", "amd64", "arm64"],
            },
        }
        self.tell(format!("{:?}", self.settings));
    }

    /// Some changes, and some hours later.
    pub(crate) fn step(&mut self) {
        for _ in 0..1 + self.random.below(3) {
            self.change_archives();
        }
        if self.random.below(2) == 0 {
            self.change_settings();
        }
        self.pass();
        self.write();
    }

    /// Lets some hours go by.
    pub(crate) fn pass(&mut self) {
        let hours = 1 + self.random.below(60) as i64;
        self.now += SignedDuration::from_hours(hours);
        self.tell(format!("-- {}", self.now));
    }

    /// Writes and signs what has changed of the archives.
    pub(crate) fn write(&self) {
        for archive in ARCHIVES {
            let dir = self.path(format!("archives/{archive}/dists/suite"));
            let files = self.indices(archive);
            let old = fs::read_to_string(dir.join("Release")).unwrap_or_default();
            if old.ends_with(&sums(&files)) {
                continue;
            }
            if dir.exists() {
                fs::remove_dir_all(&dir).unwrap();
            }
            let date = self.now - SignedDuration::from_mins(30);
            let fields = format!(
                "Origin: Made Up\nLabel: Made Up\nSuite: suite\nCodename: suite\nDate: {}\n\
                 Architectures: all amd64 arm64\nComponents: main contrib\n",
                date.strftime("%a, %d %b %Y %H:%M:%S UTC")
            );
            let key = self.path("keys/overlay.secret.asc");
            lay_out(&dir, &fields, &files, &key, date);
        }
    }

    /// The indices of an archive, all of them plain.
    fn indices(&self, archive: &str) -> BTreeMap<String, String> {
        let mut files = BTreeMap::new();
        for component in COMPONENTS {
            let packages = self.archives[archive].iter();
            let packages: Vec<_> = packages.filter(|((c, _), _)| *c == component).collect();
            let (mut sources, mut translations) = (String::new(), [String::new(), String::new()]);
            for ((_, name), package) in &packages {
                let (version, sum) = (&package.version, "0".repeat(64));
                write!(
                    sources,
                    "Package: {name}\nBinary: {name}\nArchitecture: any\nVersion: {version}\nDirectory: pool/{component}/{name}\n\
                     Checksums-Sha256:\n {sum} 1 {name}_{version}.dsc\n\n"
                )
                .unwrap();
                for (text, language) in translations.iter_mut().zip(["en", "de"]) {
                    let md5 = package.md5(name);
                    write!(
                        text,
                        "Package: {name}\nDescription-md5: {md5}\nDescription-{language}: {name}\n in {language}\n\n"
                    )
                    .unwrap();
                }
            }
            files.insert(format!("{component}/source/Sources"), sources);
            let [en, de] = translations;
            files.insert(format!("{component}/i18n/Translation-en"), en);
            files.insert(format!("{component}/i18n/Translation-de"), de);
            for architecture in ["all", "amd64", "arm64"] {
                let (mut stanzas, mut contents, mut commands) =
                    (String::new(), Vec::new(), String::new());
                let mut components = String::from(
                    "---\nFile: DEP-11\nVersion: '0.12'\nOrigin: made-up\nMediaBaseUrl: https://mirror.example/media\n",
                );
                for ((_, name), package) in &packages {
                    let own = package.architecture == architecture;
                    if own || package.architecture == "all" {
                        stanzas += &package.stanza(component, name, self.filler);
                        contents.push(format!("usr/bin/{name}  utils/{name}\n"));
                        contents.push(format!("usr/share/common  utils/{name}\n"));
                        let version = &package.version;
                        write!(
                            commands,
                            "name: {name}\nversion: {version}\ncommands: {name}\n\n"
                        )
                        .unwrap();
                        write!(
                            components,
                            "---\nType: desktop-application\nID: {name}\nPackage: {name}\n"
                        )
                        .unwrap();
                    }
                }
                contents.sort();
                let head =
                    format!("suite: suite\ncomponent: {component}\narch: {architecture}\n\n");
                for (path, text) in [
                    (format!("binary-{architecture}/Packages"), stanzas),
                    (format!("Contents-{architecture}"), contents.concat()),
                    (format!("cnf/Commands-{architecture}"), head + &commands),
                    (format!("dep11/Components-{architecture}.yml"), components),
                ] {
                    files.insert(format!("{component}/{path}"), text);
                }
            }
        }
        files
    }

    /// Writes the configuration of a root, and gives its path.
    pub(crate) fn configure(&self, root: &str) -> PathBuf {
        let s = &self.settings;
        let quoted = |words: &[&str]| {
            let words: Vec<_> = words.iter().map(|w| format!("\"{w}\"")).collect();
            words.join(", ")
        };
        let bans: Vec<_> = s.bans.iter().map(String::as_str).collect();
        let mut families = vec!["packages"];
        families.extend(&s.families);
        let mut text = format!(
            "root = \"{root}\"\npriority = [{}]\ncomponents = [{}]\narchitectures = [{}]\nindices = [{}]\n\
             languages = [{}]\nstrategy = \"{}\"\n",
            quoted(&s.priority),
            quoted(&s.components),
            quoted(&s.architectures),
            quoted(&families),
            s.languages,
            s.strategy,
        );
        for archive in ARCHIVES {
            let (dir, pool) = (
                self.path("archives").join(archive),
                archive.to_ascii_uppercase(),
            );
            let dir = dir.display();
            write!(
                text,
                "[archives.{archive}]\npool = \"{pool}\"\nuris = [\"file://{dir}\"]\nsigned-by = \"keys/overlay.gpg\"\n"
            )
            .unwrap();
        }
        for (package, archive) in &s.pins {
            write!(
                text,
                "[[pin]]\npackages = [\"{package}\"]\narchive = \"{archive}\"\n"
            )
            .unwrap();
        }
        let exempt = if s.exempt { "\"overlay\"" } else { "" };
        let valid = if s.valid_for {
            "valid-for = \"5 days\"\n"
        } else {
            ""
        };
        write!(
            text,
            "[suites.one]\nfrom = {{ overlay = \"suite\", middle = \"suite\", base = \"suite\" }}\nlinks = [\"first\"]\n\
             [suites.two]\nfrom = {{ middle = \"suite\", base = \"suite\" }}\ncomponents = [\"main\"]\n\
             [bans]\npackages = [{}]\ntransitive = {}\nexempt = [{exempt}]\n\
             [signing]\nkey-file = [{}]\n[guards]\nmax-shrink = \"100%\"\n\
             [publish]\npool-links = false\nhashes = [{}]\ncompress = [{}]\ncontents-beside-components = {}\n{valid}{}",
            quoted(&bans),
            s.transitive,
            s.keys,
            s.hashes,
            s.compress,
            s.beside,
            s.extra,
        )
        .unwrap();
        let path = self.path(format!("{root}.toml"));
        fs::write(&path, text).unwrap();
        path
    }

    /// Calls aptmerge for a root, at the time it is.
    pub(crate) fn call(&self, root: &str, arguments: &[&str]) -> Said {
        let mut command = Command::new(APTMERGE);
        command
            .arg("--config")
            .arg(self.configure(root))
            .args(arguments);
        command.args(["--clock", &self.now.to_string()]);
        Said::of(&command.env_remove("APTMERGE_CONFIG").output().unwrap())
    }

    /// The same with `--json`; it has to succeed.
    #[track_caller]
    pub(crate) fn json(&self, root: &str, arguments: &[&str]) -> serde_json::Value {
        let said = self.call(root, &[arguments, &["--json"]].concat());
        let story = self.story();
        assert_eq!(
            said.code,
            Some(0),
            "{arguments:?}: {}\n{story}",
            said.stderr
        );
        serde_json::from_str(&said.stdout).unwrap()
    }
}

impl Package {
    fn md5(&self, name: &str) -> String {
        let text = format!("{name} {}", self.description);
        hex::encode(&Sha256::digest(text)[..16])
    }

    fn stanza(&self, component: &str, name: &str, filler: usize) -> String {
        let depends = self.depends.as_ref();
        let mut further = depends.map_or(String::new(), |d| format!("Depends: {d}\n"));
        if filler > 0 {
            let text = format!("{name} {} ", self.version);
            writeln!(further, "X-Filler: {}.", text.repeat(filler / text.len())).unwrap();
        }
        format!(
            "Package: {name}\nVersion: {version}\nArchitecture: {architecture}\nMaintainer: A <a@site.example>\n{further}\
             Description: {name}\nDescription-md5: {md5}\nSection: utils\n\
             Filename: pool/{component}/{name}_{version}_{architecture}.deb\nSize: 1\nSHA256: {sum}\n\n",
            version = self.version,
            architecture = self.architecture,
            md5 = self.md5(name),
            sum = "0".repeat(64),
        )
    }
}

/// Every file below a directory: its inode, its time, and a digest of its bytes.
pub(crate) fn snapshot(dir: &Path) -> BTreeMap<PathBuf, String> {
    let files = files(dir).into_iter();
    files
        .map(|path| {
            let meta = path.symlink_metadata().unwrap();
            let content = match meta.is_file() {
                true => hex::encode(Sha256::digest(fs::read(&path).unwrap())),
                false => {
                    fs::read_link(&path).map_or_else(|_| String::new(), |p| p.display().to_string())
                }
            };
            let what = format!(
                "{} {} {}.{} {content}",
                meta.ino(),
                meta.mode(),
                meta.mtime(),
                meta.mtime_nsec()
            );
            (path, what)
        })
        .collect()
}
