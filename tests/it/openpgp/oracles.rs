//! Asks the programs that clients verify with what they make of a Release.gpg and a keyring: the real apt, gpgv and sqv.

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

/// The verdict of each program; `None` if it is not installed, or is not the generation that the tables were made with.
pub(crate) struct Oracles {
    pub(crate) apt: Option<bool>,
    pub(crate) sqv: Option<bool>,
    /// The status words of gpgv, which apt's verdict rests on.
    pub(crate) gpgv: String,
}

/// A Release of an empty flat archive, which apt accepts as soon as its signature is good.
pub(crate) const RELEASE: &str = "Origin: Example\nSuite: stable\nCodename: stable\n\
    Date: Sat, 01 Feb 2025 00:00:00 UTC\nSHA256:\n \
    e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855 0 Packages\n";

impl Oracles {
    /// Asks all of them about pairs of a keyring and an armored signature over [`RELEASE`].
    pub(crate) fn ask<'a>(pairs: impl Iterator<Item = (&'a [u8], &'a str)>) -> Vec<Oracles> {
        let dir = tempfile::tempdir().unwrap();
        let place = |(n, (keyring, signature))| {
            let dir = dir.path().join(format!("archive{n}"));
            Place::new(dir, keyring, signature)
        };
        let places: Vec<_> = pairs.enumerate().map(place).collect();
        let apt = is(2, "apt").then(|| apt(dir.path(), &places));
        let (sqv, gpgv) = (is(1, "sqv"), is(2, "gpgv"));
        let ask = |(n, place): (usize, &Place)| Oracles {
            apt: apt.as_ref().map(|taken| taken[n]),
            sqv: sqv.then(|| place.sqv()),
            gpgv: if gpgv { place.gpgv() } else { String::new() },
        };
        places.iter().enumerate().map(ask).collect()
    }
}

/// Returns whether a program is installed in the generation (the major version) that the tables were made with.
fn is(generation: u32, program: &'static str) -> bool {
    static KNOWN: OnceLock<std::sync::Mutex<std::collections::BTreeMap<&str, bool>>> =
        OnceLock::new();
    let mut known = KNOWN.get_or_init(Default::default).lock().unwrap();
    *known.entry(program).or_insert_with(|| {
        let Ok(output) = Command::new(program).arg("--version").output() else {
            crate::common::programs::skipped(program);
            return false;
        };
        let version = String::from_utf8_lossy(&output.stdout).into_owned();
        let mut words = version.split_whitespace();
        let number = words.find(|word| word.starts_with(|c: char| c.is_ascii_digit()));
        let fits = number.is_some_and(|number| number.starts_with(&format!("{generation}.")));
        if !fits {
            eprintln!("skipped: {program} is not of version {generation}: {version}");
        }
        fits
    })
}

/// One archive and its keyring.
struct Place {
    dir: PathBuf,
    keyring: PathBuf,
}

impl Place {
    fn new(dir: PathBuf, keyring: &[u8], signature: &str) -> Place {
        fs::create_dir(&dir).unwrap();
        let is_armored = keyring.starts_with(b"-");
        let name = if is_armored { "keys.asc" } else { "keys.gpg" };
        let place = Place {
            keyring: dir.join(name),
            dir,
        };
        fs::write(&place.keyring, keyring).unwrap();
        for (name, text) in [
            ("Release", RELEASE),
            ("Release.gpg", signature),
            ("Packages", ""),
        ] {
            fs::write(place.path(name), text).unwrap();
        }
        place
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }

    fn run(&self, program: &str, args: &[&Path]) -> (bool, String) {
        let output = Command::new(program)
            .current_dir(&self.dir)
            .env("LC_ALL", "C")
            .args(args)
            .stdin(Stdio::null())
            .output()
            .unwrap();
        let said = [output.stdout, output.stderr].concat();
        (
            output.status.success(),
            String::from_utf8_lossy(&said).into_owned(),
        )
    }

    fn sqv(&self) -> bool {
        let p = Path::new;
        let args = [
            p("--keyring"),
            &self.keyring,
            p("Release.gpg"),
            p("Release"),
        ];
        self.run("sqv", &args).0
    }

    fn gpgv(&self) -> String {
        let p = Path::new;
        let args = [
            p("--homedir"),
            &self.dir,
            // As apt calls it.
            p("--ignore-time-conflict"),
            p("--status-fd"),
            p("1"),
            p("--keyring"),
            &self.keyring,
            p("Release.gpg"),
            p("Release"),
        ];
        let (_, said) = self.run("gpgv", &args);
        let words = said.lines().filter_map(|line| {
            let word = line.strip_prefix("[GNUPG:] ")?.split(' ').next()?;
            (word.ends_with("SIG") && !["NEWSIG", "VALIDSIG"].contains(&word)
                || ["NO_PUBKEY", "NODATA"].contains(&word))
            .then(|| word.to_owned())
        });
        words.collect::<Vec<_>>().join(" ")
    }
}

/// Lets one `apt-get update` fetch all the archives, and looks which of them it took.
fn apt(dir: &Path, places: &[Place]) -> Vec<bool> {
    for sub in ["state/lists/partial", "cache/archives/partial", "etc"] {
        fs::create_dir_all(dir.join(sub)).unwrap();
    }
    fs::write(dir.join("status"), "").unwrap();
    let source = |place: &Place| {
        let (keyring, dir) = (place.keyring.display(), place.dir.display());
        format!("deb [signed-by={keyring}] file:{dir} ./\n")
    };
    let sources: String = places.iter().map(source).collect();
    fs::write(dir.join("sources.list"), sources).unwrap();
    let d = dir.display();
    let config = format!(
        "Dir::Etc \"{d}/etc\";\nDir::Etc::sourcelist \"{d}/sources.list\";\nDir::State \"{d}/state\";\n\
         Dir::State::status \"{d}/status\";\nDir::Cache \"{d}/cache\";\nAPT::Sandbox::User \"\";\n\
         Acquire::Languages \"none\";\nAPT::Architecture \"amd64\";\nAPT::Architectures \"amd64\";\n"
    );
    let path = dir.join("apt.conf");
    fs::write(&path, config).unwrap();
    let mut update = Command::new("apt-get");
    update.env("APT_CONFIG", &path).env("LC_ALL", "C");
    let output = update.arg("update").stdin(Stdio::null()).output().unwrap();
    let lists = fs::read_dir(dir.join("state/lists")).unwrap();
    let lists: Vec<_> = lists
        .map(|list| list.unwrap().file_name().into_string().unwrap())
        .collect();
    let taken = |n: usize| {
        let end = format!("_archive{n}_._Release");
        lists.iter().any(|list| list.ends_with(&end))
    };
    let taken: Vec<_> = (0..places.len()).map(taken).collect();
    // What it took and what it refused must fit its exit code.
    assert_eq!(
        output.status.success(),
        taken.iter().all(|taken| *taken),
        "{lists:?} {}",
        String::from_utf8_lossy(&output.stderr)
    );
    taken
}

impl fmt::Display for Oracles {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "apt {:7} sqv {:7} gpgv {}",
            word(self.apt),
            word(self.sqv),
            self.gpgv
        )
    }
}

pub(crate) fn word(verdict: Option<bool>) -> &'static str {
    match verdict {
        Some(true) => "good",
        Some(false) => "refused",
        None => "-",
    }
}
