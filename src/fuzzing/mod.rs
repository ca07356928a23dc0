//! The functions of the fuzz targets: every parser of bytes from outside, and the properties of everything that it accepts.
//!
//! They are built for tests and for `cargo fuzz` only (`fuzz/`, `scripts/fuzz`). A target is a function over bytes that panics if a
//! property does not hold. The tests below run each target over its seeds and some thousand mutations of them, so that no target rots while
//! nobody fuzzes.
#![allow(missing_docs, clippy::unwrap_used, clippy::missing_panics_doc)]

mod heads;
mod memory;
mod merge;
mod packages;
mod view;

use std::path::Path;
use std::time::{Duration, SystemTime};

use crate::deb822::{self, Release, Stanzas, alternatives, compare_versions, is_plain_version};
use crate::indices::IndexName;
use crate::openpgp::Keyring;
use crate::uri::{Scheme, Uri};

/// The function of a target.
pub type Target = fn(&[u8]);

/// Every target, by the name of its file below `fuzz/fuzz_targets` and of its seeds' directory.
pub const TARGETS: &[(&str, Target)] = &[
    ("release", release),
    ("clear_signed", clear_signed),
    ("keyring", keyring),
    ("stanzas", stanzas),
    ("entries", crate::merge::fuzz_entries),
    ("relations", relations),
    ("versions", versions),
    ("contents", crate::merge::fuzz_contents),
    ("dep11", crate::merge::fuzz_dep11),
    ("translation", crate::merge::fuzz_translation),
    ("configuration", configuration),
    ("uri", uri),
    ("decode", decode),
    ("deb", packages::deb),
    ("control_file", packages::control_file),
    ("query", packages::query),
    ("merge", merge::merge),
    ("view", view::view),
    ("heads", heads::heads),
];

/// Runs a target.
pub fn run(name: &str, data: &[u8]) {
    let (_, target) = TARGETS.iter().find(|(n, _)| *n == name).unwrap();
    target(data);
}

fn release(data: &[u8]) {
    let parse = || Release::parse_upstream(data, jiff::Timestamp::UNIX_EPOCH);
    let Ok(release) = parse() else {
        return;
    };
    for (path, entry) in &release.entries {
        assert!(!path.starts_with('/') && path.split('/').all(|p| !matches!(p, "" | "." | "..")));
        assert!(!path.contains(['\\', '%', '\0', '\n', '?', '#']));
        assert!(entry.sha256.is_some() || entry.sha512.is_some());
        let _ = IndexName::parse_optional(path);
    }
    for field in ["Origin", "Label", "Suite", "Codename", "Description"] {
        let value = release.field(field).unwrap_or_default();
        assert!(!value.contains(|c: char| c.is_control() && !matches!(c, '\n' | '\t')));
    }
    release
        .components()
        .chain(release.architectures())
        .for_each(drop);
    let again = parse().unwrap();
    assert_eq!(
        (again.date, &again.entries),
        (release.date, &release.entries)
    );
}

fn fixture_key() -> &'static Keyring {
    static KEY: std::sync::OnceLock<Keyring> = std::sync::OnceLock::new();
    KEY.get_or_init(|| {
        Keyring::from_bytes(include_bytes!("../../fixtures/keys/security.gpg")).unwrap()
    })
}

/// Returns a time at which the signatures of the fixtures are valid.
fn fixture_time() -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(1_780_000_000)
}

/// Asserts that a verified text is one that was signed: nobody here has the secret key.
fn clear_signed(data: &[u8]) {
    const SIGNED: &[u8] =
        include_bytes!("../../fixtures/archives/security/dists/bookworm-security/Release");
    const OTHER: &[u8] =
        include_bytes!("../../fixtures/archives/security/dists/buster/updates/Release");
    if let Ok(verified) = fixture_key().verify_inline(data, fixture_time()) {
        let is = |signed: &[u8]| verified.body.trim_ascii_end() == signed.trim_ascii_end();
        assert!(is(SIGNED) || is(OTHER), "a text that nobody signed");
    }
    if let Ok(verified) = fixture_key().verify_detached(SIGNED, data, fixture_time()) {
        assert_eq!(verified.body, SIGNED);
    }
}

fn keyring(data: &[u8]) {
    if let Ok(keyring) = Keyring::from_bytes(data) {
        assert!(!keyring.fingerprints().is_empty());
    }
}

fn stanzas(data: &[u8]) {
    let mut bytes = 0;
    for stanza in Stanzas::new(data) {
        assert_eq!(
            &data[stanza.offset..stanza.offset + stanza.raw.len()],
            stanza.raw
        );
        bytes += stanza
            .raw
            .iter()
            .filter(|b| !b.is_ascii_whitespace())
            .count();
        let _ = stanza.as_apt_reads("Package");
        for field in stanza.fields().flatten() {
            let end = field.value_offset + field.value.len();
            assert_eq!(&stanza.raw[field.value_offset..end], field.value);
            assert!(!field.name.is_empty());
        }
    }
    let blanks = |b: &&u8| !b.is_ascii_whitespace();
    assert_eq!(bytes, data.iter().filter(blanks).count());
}

fn relations(data: &[u8]) {
    if let Err((at, _)) = deb822::check_relations(data) {
        assert!(at <= data.len());
    }
    for clause in alternatives(data) {
        for alternative in clause {
            let ends = |b: &u8| b.is_ascii_whitespace() || b",|([<:".contains(b);
            assert!(!alternative.name.as_written().iter().any(ends));
        }
    }
}

/// Asserts that the comparison of versions is an order, for any versions.
fn versions(data: &[u8]) {
    let mut parts = data.splitn(3, |b| *b == b'\n');
    let [a, b, c] = std::array::from_fn(|_| parts.next().unwrap_or_default());
    if ![a, b, c].into_iter().all(is_plain_version) {
        return;
    }
    assert!(compare_versions(a, a).is_eq());
    assert_eq!(compare_versions(a, b), compare_versions(b, a).reverse());
    if compare_versions(a, b).is_le() && compare_versions(b, c).is_le() {
        assert!(compare_versions(a, c).is_le());
    }
}

fn configuration(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    match crate::config::Config::parse(text, Path::new("/fuzz/aptmerge.toml")) {
        Ok(config) => {
            for name in config.suites.keys() {
                let mut parts = name.as_str().split('/');
                assert!(parts.all(|p| !matches!(p, "" | "." | "..")));
            }
            for archive in config.archives.values() {
                assert!(!archive.pool.as_str().contains(['/', '\0', '%']));
            }
        }
        Err(error) => assert!(!error.to_string().is_empty()),
    }
}

/// Joins a base with the first line and redirects it to the second; rewrites the path of a package, and maps it back.
fn uri(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    let (first, second) = text.split_once('\n').unwrap_or((text, text));
    for base in [
        "http://mirror.example/debian",
        "https://u:p@mirror.example:8443/",
        "file:///srv/debian",
    ] {
        let base = Uri::parse(base).unwrap();
        if let Ok(joined) = base.join(first) {
            let below = format!("{}/", base.to_string().trim_end_matches('/'));
            assert!(joined.to_string().starts_with(&below), "{joined}");
            assert!(!joined.to_string().contains("/../"));
        }
        if let Ok(target) = base.redirect(second) {
            assert!(target.scheme() != Scheme::File);
            assert!(base.scheme() != Scheme::Https || target.scheme() == Scheme::Https);
            let foreign = target.host() != "mirror.example";
            assert!(!foreign || !target.to_proxy().contains("u:p@") || second.contains("u:p@"));
            assert!(!target.to_request().contains(char::is_control));
        }
    }
    if let Ok(parsed) = Uri::parse(first) {
        let _ = (
            parsed.file_path(),
            parsed.basic_credentials(),
            parsed.redirect(second),
        );
    }
    let pool = crate::names::PoolName::new("NAME").unwrap();
    if let Ok(path) = crate::merge::rewrite::rewritten(first, &pool) {
        assert!(path.starts_with("pool/NAME"), "{path}");
        assert!(path.split('/').all(|part| part != ".."));
        if let Some(rest) = path.strip_prefix("pool/NAME/") {
            let back = crate::merge::rewrite::original(rest);
            let again = crate::merge::rewrite::rewritten(&back, &pool);
            assert_eq!(again.as_deref(), Ok(&path[..]), "{back}");
        }
    }
    #[cfg(feature = "serve")]
    crate::serve::fuzz_path(text);
}

fn decode(data: &[u8]) {
    use std::io::Read;
    let Some((first, data)) = data.split_first() else {
        return;
    };
    let mut text = Vec::new();
    let outcome = crate::decode::fuzz_decode(usize::from(*first), data, 1 << 16)
        .and_then(|mut reader| reader.read_to_end(&mut text));
    assert!(text.len() <= 1 << 16);
    if outcome.is_ok() {
        deb822::Stanzas::new(&text).for_each(drop);
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;

    /// A generator without entropy from outside, so that a failure can be repeated.
    struct Numbers(u64);

    impl Numbers {
        fn below(&mut self, limit: usize) -> usize {
            self.0 ^= self.0 << 13;
            self.0 ^= self.0 >> 7;
            self.0 ^= self.0 << 17;
            usize::try_from(self.0 >> 11).unwrap() % limit.max(1)
        }
    }

    fn mutate(seed: &[u8], numbers: &mut Numbers) -> Vec<u8> {
        const ODD: [&[u8]; 16] = [
            b"\n",
            b"\n\n",
            b" ",
            b"\0",
            b"\r",
            b"..",
            b"/",
            b"%2e",
            b"\xff",
            b"-",
            b":",
            b"\n ",
            b",",
            b"|",
            b"[",
            b"9999999999999999999999",
        ];
        let mut data = seed.to_vec();
        for _ in 0..=numbers.below(4) {
            let at = numbers.below(data.len() + 1);
            let end = (at + numbers.below(16)).min(data.len());
            match numbers.below(5) {
                0 => drop(data.splice(at..end, [])),
                1 => drop(data.splice(at..at, ODD[numbers.below(ODD.len())].iter().copied())),
                2 if at < data.len() => data[at] ^= 1 << numbers.below(8),
                3 => {
                    let piece = data[at..end].to_vec();
                    let to = numbers.below(data.len() + 1);
                    data.splice(to..to, piece);
                }
                _ => data.truncate(at.max(1)),
            }
        }
        data
    }

    fn seeds(name: &str) -> Vec<Vec<u8>> {
        let dir = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("fuzz/seeds")
            .join(name);
        let mut files: Vec<PathBuf> = std::fs::read_dir(&dir)
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .collect();
        files.sort();
        assert!(!files.is_empty(), "{}", dir.display());
        files
            .iter()
            .map(|file| std::fs::read(file).unwrap())
            .collect()
    }

    /// Runs each target over its seeds and some mutations of them: more if a mutation costs little. `APTMERGE_FUZZ_TIMES` multiplies their
    /// number, for a long run without cargo-fuzz.
    fn exercise(names: &[&str], changes: usize) {
        let times = std::env::var("APTMERGE_FUZZ_TIMES").ok();
        let changes = changes * times.and_then(|t| t.parse().ok()).unwrap_or(1);
        let mut numbers = Numbers(0x9e37_79b9_7f4a_7c15);
        for name in names {
            let seeds = seeds(name);
            run(name, b"");
            for seed in &seeds {
                run(name, seed);
            }
            for n in 0..changes {
                run(name, &mutate(&seeds[n % seeds.len()], &mut numbers));
            }
        }
    }

    #[test]
    fn targets_of_text_hold() {
        exercise(
            &[
                "release",
                "stanzas",
                "entries",
                "relations",
                "versions",
                "contents",
                "dep11",
                "translation",
                "uri",
            ],
            3000,
        );
    }

    #[test]
    fn targets_of_configurations_hold() {
        exercise(&["configuration"], 1500);
    }

    #[test]
    fn targets_of_signatures_and_streams_hold() {
        exercise(&["clear_signed", "keyring", "decode"], 500);
    }

    #[test]
    fn targets_of_packages_hold() {
        exercise(&["control_file", "query"], 3000);
        exercise(&["deb"], 1000);
    }

    #[test]
    fn the_merge_holds() {
        exercise(&["merge", "view"], 1000);
        exercise(&["heads"], 60);
    }

    #[test]
    fn every_target_has_a_file_and_seeds() {
        let targets = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/fuzz_targets");
        for (name, _) in TARGETS {
            let file = targets.join(format!("{name}.rs"));
            let text = std::fs::read_to_string(&file).unwrap();
            assert!(text.contains(&format!("\"{name}\"")), "{}", file.display());
            assert!(!seeds(name).is_empty());
        }
        assert_eq!(std::fs::read_dir(targets).unwrap().count(), TARGETS.len());
    }
}
