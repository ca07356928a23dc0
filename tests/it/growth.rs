//! The work of a merge grows with its input and not faster: counted in instructions, so that no load and no clock matters.
//!
//! Each input is merged in three sizes, each the double of the one before, by this very program under valgrind. The growth of the
//! growth is near 2 where the work is linear, 4 where it is quadratic and 8 where it is cubic; what is there in every size
//! falls out of it.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::Write;
use std::path::Path;
use std::process::Command;

use crate::common::programs::has;
use aptmerge::cancel::Cancel;
use aptmerge::config::Config;
use aptmerge::error::Result;
use aptmerge::indices::IndexName;
use aptmerge::merge::{IndexText, Input, MemoryInput, Sink, SuiteMerge, merge_suite};
use jiff::Timestamp;

/// The bound on growth when an input doubles: more than this is worse than n log n.
const BOUND: f64 = 2.7;

const CONFIG: &str = r#"
root = "/growth"
priority = ["high", "low"]
components = ["main"]
architectures = ["all", "amd64"]
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
transitive = true
[signing]
key-file = "key"
"#;

const PACKAGES: &str = "main/binary-amd64/Packages";
const SOURCES: &str = "main/source/Sources";

/// The indices of the two archives, by path.
type World = [BTreeMap<String, String>; 2];

fn binary(name: &str, version: &str, more: &str) -> String {
    format!(
        "Package: {name}\nVersion: {version}\nArchitecture: amd64\n{more}Filename: pool/{name}_{version}.deb\n\n"
    )
}

fn source(name: &str, version: &str, more: &str) -> String {
    format!(
        "Package: {name}\nVersion: {version}\nArchitecture: any\n{more}Directory: pool/{name}\n\n"
    )
}

/// An index of the lower archive, or of both: `text` gives the stanzas of each rank.
fn world(indices: &[(&str, &dyn Fn(usize) -> String)]) -> World {
    [0, 1].map(|rank| {
        let texts = indices
            .iter()
            .map(|(path, text)| ((*path).to_owned(), text(rank)));
        texts.filter(|(_, text)| !text.is_empty()).collect()
    })
}

fn many(n: usize, one: impl Fn(usize) -> String) -> String {
    (0..n).map(one).collect()
}

/// Packages that go one after the other, each of which every later one could have been satisfied by.
fn chain(n: usize) -> World {
    let packages = |rank| match rank {
        0 => String::new(),
        _ => {
            let link = |k: usize| {
                let before = if k == 0 {
                    "banned".to_owned()
                } else {
                    format!("p{}", k - 1)
                };
                binary(
                    &format!("p{k}"),
                    "1",
                    &format!("Depends: {before}\nProvides: common (= {k})\n"),
                )
            };
            let users = |k: usize| binary(&format!("u{k}"), "1", "Depends: common\n");
            binary("banned", "1", "") + &many(n, link) + &many(n, users)
        }
    };
    world(&[(PACKAGES, &packages)])
}

/// Many that provide one name, and many that want it, each in another version.
fn providers(n: usize) -> World {
    let packages = |rank| match rank {
        0 => String::new(),
        _ => {
            let provider = |k: usize| {
                binary(
                    &format!("p{k}"),
                    "1",
                    &format!("Depends: banned\nProvides: common (= {k})\n"),
                )
            };
            let user = |k: usize| {
                let operator = ["<<", "<=", "=", ">=", ">>"][k % 5];
                binary(
                    &format!("u{k}"),
                    "1",
                    &format!("Depends: common ({operator} {k}) | p{k} (>= 2)\n"),
                )
            };
            binary("banned", "1", "") + &many(n, provider) + &many(n, user)
        }
    };
    world(&[(PACKAGES, &packages)])
}

/// Many versions of one name, in both archives.
fn versions(n: usize) -> World {
    let packages = |rank| {
        many(n, |k| {
            binary("one", &format!("{rank}.{k}"), "Source: one (1)\n")
        })
    };
    let sources = |rank| {
        many(n, |k| {
            source("one", &format!("{rank}.{k}"), "Binary: one\n")
        })
    };
    world(&[(PACKAGES, &packages), (SOURCES, &sources)])
}

/// Many sources of the lower archive that are brought back, kept out, missing or trimmed.
fn claims(n: usize) -> World {
    let packages = |rank| match rank {
        0 => many(n, |k| binary(&format!("tool{k}"), "1.0", "")),
        _ => many(n, |k| {
            let of = format!("Source: tool{} ({})\n", k - k % 2, [0.5, 99.0, 0.7][k % 3]);
            binary(&format!("evil{k}"), "9", &of)
        }),
    };
    let sources = |rank| match rank {
        0 => many(n, |k| {
            source(&format!("tool{k}"), "1.0", &format!("Binary: tool{k}\n"))
        }),
        _ => {
            many(n, |k| {
                let lists = format!("Binary: evil{k}, tool{}, other{k}\n", n - k);
                source(&format!("tool{k}"), "0.5", &lists)
                    + &source(&format!("tool{k}"), "99", &lists)
            }) + &source(
                "all",
                "1",
                &format!("Binary: {}\n", many(n, |k| format!("tool{k}, "))),
            )
        }
    };
    world(&[(PACKAGES, &packages), (SOURCES, &sources)])
}

/// Lines, documents and stanzas that speak of packages, in and out of order, and of packages that are not there.
fn spoken(n: usize) -> World {
    let packages = |_| {
        many(n, |k| {
            binary(
                &format!("p{k}"),
                "1",
                &format!("Description-md5: {k:032}\n"),
            )
        })
    };
    let contents = |_| {
        many(n, |k| {
            format!("usr/bin/{} misc/p{k},misc/none\n", (k * 7919) % n)
        })
    };
    let translation = |_| {
        many(n, |k| {
            format!("Package: p{k}\nDescription-md5: {k:032}\nDescription-en: x\n\n")
        })
    };
    let commands = |_| {
        "suite: x\ncomponent: main\narch: amd64\n\n".to_owned()
            + &many(n, |k| format!("name: p{k}\nversion: 1\ncommands: c{k}\n\n"))
    };
    world(&[
        (PACKAGES, &packages),
        ("main/Contents-amd64", &contents),
        ("main/i18n/Translation-en", &translation),
        ("main/cnf/Commands-amd64", &commands),
    ])
}

type Maker = fn(usize) -> World;

const WORLDS: [(&str, Maker); 5] = [
    ("chain", chain),
    ("providers", providers),
    ("versions", versions),
    ("claims", claims),
    ("spoken", spoken),
];

struct Nowhere;

impl Sink for Nowhere {
    fn text(&self, _: &IndexName, _: &IndexText<'_>) -> Result<Option<Vec<u8>>> {
        Ok(None)
    }
    fn stream(
        &self,
        _: &IndexName,
        produce: &mut dyn FnMut(&mut dyn Write) -> Result<()>,
    ) -> Result<()> {
        produce(&mut std::io::sink())
    }
    fn scratch(&self) -> Result<std::fs::File> {
        Ok(tempfile::tempfile().unwrap())
    }
}

/// The program that is counted: merges one world of one size.
#[test]
#[ignore = "a part of another test, which counts its instructions"]
fn one_merge() {
    let (Ok(name), Ok(size)) = (std::env::var("GROWTH_WORLD"), std::env::var("GROWTH_SIZE")) else {
        return;
    };
    let (_, make) = WORLDS.into_iter().find(|(n, _)| *n == name).unwrap();
    let world = make(size.parse().unwrap());
    let config = Config::parse(CONFIG, Path::new("/growth/x.toml")).unwrap();
    let spec = config.specs().remove(0);
    let inputs = world.into_iter().map(|indices| {
        let texts = indices.into_iter().map(|(path, text)| {
            let name = IndexName::parse(&path).unwrap();
            (name, text.into_bytes())
        });
        let input = MemoryInput::new("memory", Timestamp::UNIX_EPOCH, texts.collect());
        Box::new(input) as Box<dyn Input>
    });
    let merge = SuiteMerge::new(&spec, inputs.collect(), &Cancel::default());
    let report = merge_suite(&merge, &Nowhere).unwrap();
    assert!(report.packages["amd64"] > 0 || !report.banned.is_empty());
}

/// Returns the number of instructions that the merge of a world takes.
fn instructions(world: &str, size: usize) -> f64 {
    let out = Command::new("valgrind")
        .args([
            "--tool=cachegrind",
            "--cache-sim=no",
            "--cachegrind-out-file=/dev/null",
        ])
        .arg(std::env::current_exe().unwrap())
        .args([
            "--ignored",
            "--exact",
            "growth::one_merge",
            "--test-threads=1",
        ])
        .env("GROWTH_WORLD", world)
        .env("GROWTH_SIZE", size.to_string())
        .env("RAYON_NUM_THREADS", "1")
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&out.stderr).into_owned();
    assert!(
        out.status.success(),
        "{said}{}",
        String::from_utf8_lossy(&out.stdout)
    );
    let line = said
        .lines()
        .find(|line| line.contains("I   refs") || line.contains("I refs"));
    let count = line.and_then(|line| line.rsplit(' ').next()).unwrap();
    count.replace(',', "").parse().unwrap()
}

#[test]
fn work_grows_with_the_input_and_not_faster() {
    if !has("valgrind") {
        return;
    }
    let mut told = String::new();
    let mut worst = 0.0_f64;
    for (name, _) in WORLDS {
        let [a, b, c] = [500, 1000, 2000].map(|size| instructions(name, size));
        let growth = (c - b) / (b - a);
        writeln!(told, "{name}: {a} {b} {c}, growth {growth:.2}").unwrap();
        worst = worst.max(growth);
    }
    eprintln!("{told}");
    assert!(worst < BOUND, "{told}");
}
