//! The inner loops, one by one: `cargo bench`, and `cargo bench -- NAME` for some of them.
//!
//! They guide work on a loop; what a whole run costs is measured by `scripts/bench`. By default the index is made up, in the
//! shape of Debian's; `APTMERGE_BENCH_PACKAGES=FILE` has a real one instead, uncompressed.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::hint::black_box;
use std::io::{self, Write};
use std::path::Path;
use std::sync::LazyLock;

use aptmerge::cancel::Cancel;
use aptmerge::compress::{Pieces, gz, xz};
use aptmerge::config::Config;
use aptmerge::deb822::{Stanzas, alternatives, compare_versions, eq_name};
use aptmerge::error::Result;
use aptmerge::indices::IndexName;
use aptmerge::merge::{
    IndexText, Input, MemoryInput, Sink, SuiteMerge, Text, merge_suite, rewrite,
};
use divan::Bencher;
use divan::counter::{BytesCount, ItemsCount};
use jiff::Timestamp;

fn main() {
    divan::main();
}

/// How many stanzas are made up: enough for several pieces.
const STANZAS: usize = 16_000;

static PACKAGES: LazyLock<Vec<u8>> =
    LazyLock::new(|| match std::env::var_os("APTMERGE_BENCH_PACKAGES") {
        Some(path) => std::fs::read(path).unwrap(),
        None => made_up().into_bytes(),
    });

/// Numbers that are the same each time.
fn next(state: &mut u64) -> u64 {
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    *state >> 11
}

fn made_up() -> String {
    let words = [
        "access", "binary", "common", "data", "engine", "font", "graph", "hash", "image", "java",
        "kernel", "library", "module", "network", "object", "python", "query", "render", "server",
        "terminal", "unicode", "video", "window", "xml",
    ];
    let mut state = 0x9e37_79b9_7f4a_7c15;
    let mut text = String::new();
    for n in 0..STANZAS {
        let mut word = || words[next(&mut state) as usize % words.len()];
        let name = format!("lib{}-{}{n:05}", word(), word());
        let depends: Vec<_> = (0..6)
            .map(|k| format!("lib{}{k} (>= {}.{k}-1~deb12u1)", word(), n % 9))
            .collect();
        let description: Vec<_> = (0..12).map(|_| word()).collect();
        let mut digest = String::new();
        for _ in 0..4 {
            write!(digest, "{:016x}", next(&mut state) << 11).unwrap();
        }
        write!(
            text,
            "Package: {name}\nSource: {name}-src\nVersion: {}:{}.{}.{n}-{}+deb12u1\nInstalled-Size: {n}\n\
             Maintainer: Somebody <somebody@example.org>\nArchitecture: amd64\nDepends: {}, a | b:any\n\
             Description: {}\nHomepage: https://{name}.example/\nTag: implemented-in::c, role::shared-lib\n\
             Section: libs\nPriority: optional\nFilename: pool/main/{}/{name}/{name}_{n}_amd64.deb\nSize: {n}\n\
             MD5sum: {}\nSHA256: {digest}\n\n",
            n % 3,
            n % 17,
            n % 5,
            n % 4,
            depends.join(", "),
            description.join(" "),
            &name[..4],
            &digest[..32],
        )
        .unwrap();
    }
    text
}

fn values(field: &str) -> Vec<&'static [u8]> {
    Stanzas::new(&PACKAGES)
        .flat_map(|stanza| stanza.fields().flatten())
        .filter(|found| eq_name(found.name, field))
        .map(|found| found.value)
        .collect()
}

fn text() -> Text<'static> {
    let mut text = Text::default();
    for stanza in Stanzas::new(&PACKAGES) {
        text.push([stanza.without_final_newline(), b"\n\n"]);
    }
    text
}

/// What compressors get at a time.
fn piece() -> &'static [u8] {
    &PACKAGES[..PACKAGES.len().min(3 << 20)]
}

#[divan::bench]
fn stanzas_and_fields(bencher: Bencher<'_, '_>) {
    bencher
        .counter(BytesCount::of_slice(&PACKAGES[..]))
        .bench(|| {
            Stanzas::new(black_box(&PACKAGES))
                .map(|stanza| stanza.fields().count())
                .sum::<usize>()
        });
}

#[divan::bench]
fn relations(bencher: Bencher<'_, '_>) {
    let fields = values("Depends");
    bencher
        .counter(BytesCount::new(
            fields.iter().map(|field| field.len()).sum::<usize>(),
        ))
        .bench(|| {
            let count = |field: &&[u8]| alternatives(field).map(Iterator::count).sum::<usize>();
            black_box(&fields).iter().map(count).sum::<usize>()
        });
}

#[divan::bench]
fn versions_compared(bencher: Bencher<'_, '_>) {
    let versions = values("Version");
    bencher
        .counter(ItemsCount::new(versions.len().saturating_sub(1)))
        .bench(|| {
            black_box(&versions)
                .windows(2)
                .filter(|pair| compare_versions(pair[0], pair[1]).is_lt())
                .count()
        });
}

#[divan::bench]
fn paths_rewritten(bencher: Bencher<'_, '_>) {
    let pool = aptmerge::names::PoolName::new("DEBIAN").unwrap();
    let paths: Vec<_> = values("Filename")
        .into_iter()
        .map(|path| std::str::from_utf8(path).unwrap())
        .collect();
    bencher.counter(ItemsCount::new(paths.len())).bench(|| {
        let length = |path: &&str| rewrite::rewritten(path, &pool).map_or(0, |path| path.len());
        black_box(&paths).iter().map(length).sum::<usize>()
    });
}

/// Cutting, and hashing for the cache.
#[divan::bench(sample_count = 20)]
fn pieces_cut_and_named(bencher: Bencher<'_, '_>) {
    let text = text();
    bencher
        .counter(BytesCount::new(text.len()))
        .bench(|| Pieces::of(black_box(&text)));
}

#[divan::bench(sample_count = 5)]
fn piece_to_xz(bencher: Bencher<'_, '_>) {
    bencher
        .counter(BytesCount::of_slice(piece()))
        .bench(|| xz::encode(black_box(piece())).unwrap());
}

#[divan::bench(sample_count = 20)]
fn piece_to_gz(bencher: Bencher<'_, '_>) {
    bencher
        .counter(BytesCount::of_slice(piece()))
        .bench(|| gz::encode(black_box(piece())).unwrap());
}

/// One index from two archives, from its bytes to the slices that are published.
#[divan::bench(sample_count = 20)]
fn merge_of_one_index(bencher: Bencher<'_, '_>) {
    let config = Config::parse(CONFIG, Path::new("/bench/aptmerge.toml")).unwrap();
    let spec = config.specs().remove(0);
    // The archive above has the last tenth of what the other one has.
    let stanzas: Vec<_> = Stanzas::new(&PACKAGES).collect();
    let forked = stanzas[stanzas.len() - stanzas.len() / 10].offset;
    bencher
        .counter(BytesCount::new(2 * PACKAGES.len() - forked))
        .bench(|| {
            let input = |text: &[u8]| -> Box<dyn Input> {
                let name = IndexName::parse("main/binary-amd64/Packages").unwrap();
                let texts = BTreeMap::from([(name, text.to_vec())]);
                Box::new(MemoryInput::new("memory", Timestamp::UNIX_EPOCH, texts))
            };
            let inputs = vec![input(&PACKAGES[forked..]), input(&PACKAGES[..])];
            let merge = SuiteMerge::new(&spec, inputs, &Cancel::default());
            merge_suite(&merge, &Nowhere).unwrap()
        });
}

const CONFIG: &str = r#"
root = "/bench"
priority = ["high", "low"]
components = ["main"]
architectures = ["amd64"]
indices = ["packages"]
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
packages = ["systemd"]
[signing]
key-file = "key"
"#;

struct Nowhere;

impl Sink for Nowhere {
    fn text(&self, _: &IndexName, text: &IndexText<'_>) -> Result<Option<Vec<u8>>> {
        black_box(text.slices().count());
        Ok(None)
    }

    fn stream(
        &self,
        _: &IndexName,
        write: &mut dyn FnMut(&mut dyn Write) -> Result<()>,
    ) -> Result<()> {
        write(&mut io::sink())
    }

    fn scratch(&self) -> Result<std::fs::File> {
        tempfile::tempfile().map_err(aptmerge::error::Error::io("create", "a temporary file"))
    }
}
