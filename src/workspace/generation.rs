//! The record of a generation on disk: the list of its suites, and a file for each suite with its record and its manifest.
//!
//! The file of a suite is named by its digest, so that a run writes the files of those suites alone that changed, and one that is damaged
//! is never believed. A record that was read and is carried on is the same value, whose digest is known: it is neither copied nor written
//! as text again. All are written, durably, before the list that names them, and removed when no list does. A file that the
//! list names and that is gone counts as if there were no record of the suite: it is made anew.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rayon::prelude::*;
use serde::{Deserialize, Deserializer, Serialize};
use sha2::{Digest, Sha256};

use crate::difference::Difference;
use crate::durable;
use crate::error::{Error, Result};
use crate::manifest::Manifest;
use crate::suite_report::SuiteReport;

use super::error::StateError;
use super::record::{Record, parse, read_json, read_text, to_text, write_json};

/// One published state of the tree.
#[derive(Debug, Clone, Default)]
pub struct Generation {
    /// The number of the generation; 0 before the first.
    pub number: u64,
    /// The suites, by their path below `dists/`.
    pub suites: BTreeMap<String, Arc<SuiteRecord>>,
    /// The symlinks: the aliases of suites, and the pools of local archives.
    pub links: BTreeMap<String, String>,
    /// The digests that name the files of the suites, where the generation was read from them.
    digests: BTreeMap<String, String>,
}

impl Generation {
    /// Returns a generation that is on no disk yet.
    pub fn new(number: u64) -> Generation {
        Generation {
            number,
            ..Generation::default()
        }
    }

    /// Returns the digest of a suite's file, if the suite is what was read from it.
    fn digest(&self, suite: &str, record: &Arc<SuiteRecord>) -> Option<&String> {
        let own = self.suites.get(suite);
        let is_it = own.is_some_and(|own| Arc::ptr_eq(own, record));
        self.digests.get(suite).filter(|_| is_it)
    }
}

/// The record of one published suite, and of what it was made from.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct SuiteRecord {
    /// The generation that last changed the suite.
    pub generation: u64,
    /// A digest of everything that the suite's indices depend on: inputs, rules, and the version of the merge.
    pub content: String,
    /// A digest of everything else that the suite's Release depends on.
    pub release: String,
    /// The Date of the suite's Release, in seconds since 1970.
    pub date: i64,
    /// The Valid-Until of the suite's Release.
    pub valid_until: Option<i64>,
    /// The archives' suites that the suite was made from.
    #[serde(deserialize_with = "archives")]
    pub archives: Vec<InputRecord>,
    /// The report of the suite's merge; the guard against shrinking counts by it, and the text reports are written from it.
    pub report: SuiteReport,
    /// The changes that the generation which last changed the suite made to it.
    #[serde(default)]
    pub difference: Difference,
    /// The records of the indices that describe published packages, by the path of the plain form.
    #[serde(default)]
    pub derived: BTreeMap<String, DerivedRecord>,
    /// The checksums of what the merge of the suite keeps in the cache for the next one, by their keys there.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub kept: BTreeMap<String, String>,
    /// The length of the head of each index that has one, by the path of the index's plain form.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub heads: BTreeMap<String, u64>,
    /// The SHA-256 of each list whose patches were all proven when they were made, by the path of the index's plain form.
    #[serde(default)]
    pub patches: BTreeMap<String, String>,
    /// The files of the suite. Nothing is known of them where the suite was published before there were manifests.
    #[serde(default)]
    pub manifest: Manifest,
    /// Files under by-hash that no current Release names, with the data that decides when they may be removed.
    pub retained: BTreeMap<String, LastReferenced>,
    /// The files that the generation which last changed the suite removed before their time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub given_up: Option<GivenUp>,
}

impl Record for SuiteRecord {
    const FORMAT: u64 = 1;
}

/// The record of an archive's suite that a merged suite was made from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct InputRecord {
    /// The archive.
    pub archive: String,
    /// Its suite.
    pub suite: String,
    /// The Date of its Release, in seconds since 1970.
    pub date: i64,
}

/// The record of what an index that describes published packages was made from.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DerivedRecord {
    /// The digest of everything that the index depends on, in hex.
    pub key: String,
    /// The warnings that were given when the index was made.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub warnings: BTreeSet<String>,
}

/// Files under by-hash that were removed before their time, since they took up more than the configuration allows.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct GivenUp {
    /// The number of the files.
    pub files: u64,
    /// The number of their bytes.
    pub bytes: u64,
}

/// The record of when a served Release last named a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct LastReferenced {
    /// The number of the suite's generations since.
    pub generations: u64,
    /// The time when the first Release without the file was published, in seconds since 1970.
    pub time: i64,
}

/// Reads [`SuiteRecord::archives`]; format 0 had a map, by archive and suite.
fn archives<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<InputRecord>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Any {
        Named(Vec<InputRecord>),
        Map(BTreeMap<String, i64>),
    }
    Ok(match Any::deserialize(from)? {
        Any::Named(named) => named,
        Any::Map(map) => {
            let records = map.into_iter().map(|(input, date)| {
                let (archive, suite) = split_input(&input);
                InputRecord {
                    archive,
                    suite,
                    date,
                }
            });
            records.collect()
        }
    })
}

/// Splits `archive suite`, as records of format 0 have it.
pub(crate) fn split_input(input: &str) -> (String, String) {
    let (archive, suite) = input.split_once(' ').unwrap_or((input, ""));
    (archive.to_owned(), suite.to_owned())
}

/// The list of a generation's suites.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
struct List {
    number: u64,
    suites: BTreeMap<String, Listed>,
    links: BTreeMap<String, String>,
}

/// A suite in the list.
#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum Listed {
    /// The digest of its file.
    Digest(String),
    /// The record itself, as formats before 2 had it.
    Record(Box<SuiteRecord>),
}

impl Record for List {
    const FORMAT: u64 = 2;
}

impl List {
    /// Returns the paths of the files that the list names, by suite; an error names what is no digest.
    fn files(&self, path: &Path) -> Result<BTreeMap<&str, PathBuf>> {
        let named = self.suites.iter().filter_map(|(suite, listed)| {
            let Listed::Digest(digest) = listed else {
                return None;
            };
            let is_digest = digest.len() == 64 && digest.bytes().all(|b| b.is_ascii_hexdigit());
            let file = manifests(path).join(format!("{digest}.json"));
            Some(match is_digest {
                true => Ok((suite.as_str(), file)),
                false => Err(damaged(path, &format!("`{suite}` names no digest"))),
            })
        });
        named.collect()
    }
}

fn damaged(path: &Path, why: &str) -> Error {
    let source = serde::de::Error::custom(why);
    let path = path.to_owned();
    StateError::Damaged { path, source }.into()
}

/// Returns the directory of the files of suites, beside a list.
fn manifests(list: &Path) -> PathBuf {
    list.with_file_name("manifests")
}

/// Reads the generation in a list; `None` where there is none. The suites whose files are gone are left out and returned by name.
pub(super) fn read(path: &Path) -> Result<Option<(Generation, Vec<String>)>> {
    let Some(list) = read_json::<List>(path)? else {
        return Ok(None);
    };
    let (mut suites, mut gone) = (BTreeMap::new(), Vec::new());
    let files: Vec<_> = list.files(path)?.into_iter().collect();
    let read = files.par_iter().map(|(_, file)| read_suite(file));
    let read: Vec<Option<SuiteRecord>> = read.collect::<Result<_>>()?;
    for ((suite, _), record) in files.into_iter().zip(read) {
        match record {
            Some(record) => drop(suites.insert(suite.to_owned(), Arc::new(record))),
            None => gone.push(suite.to_owned()),
        }
    }
    let mut digests = BTreeMap::new();
    for (suite, listed) in list.suites {
        match listed {
            Listed::Record(record) => drop(suites.insert(suite, Arc::from(record))),
            Listed::Digest(digest) => drop(digests.insert(suite, digest)),
        }
    }
    let generation = Generation {
        number: list.number,
        suites,
        links: list.links,
        digests,
    };
    Ok(Some((generation, gone)))
}

fn read_suite(path: &Path) -> Result<Option<SuiteRecord>> {
    let Some(text) = read_text(path)? else {
        return Ok(None);
    };
    let is_named_so = path.file_stem().and_then(|stem| stem.to_str()) == Some(&digest(&text));
    match is_named_so {
        true => parse(path, &text).map(Some),
        false => Err(damaged(path, "its digest is not the one that names it")),
    }
}

fn digest(text: &[u8]) -> String {
    hex::encode(Sha256::digest(text))
}

/// Writes a generation: the files of suites that are not there yet, then the list. `before` is the one that was read, of which suites may
/// be carried on.
pub(super) fn write(path: &Path, generation: &Generation, before: &Generation) -> Result<()> {
    let manifests = manifests(path);
    durable::create_dir(&manifests)?;
    let mut suites = BTreeMap::new();
    let file = |digest: &str| manifests.join(format!("{digest}.json"));
    for (suite, record) in &generation.suites {
        let known = before.digest(suite, record);
        let digest = match known.filter(|digest| file(digest).exists()) {
            Some(digest) => digest.clone(),
            None => {
                let text = to_text(path, &**record)?;
                let digest = digest(&text);
                if !file(&digest).exists() {
                    durable::write_file(&file(&digest), &text, None)?;
                }
                digest
            }
        };
        suites.insert(suite.clone(), Listed::Digest(digest));
    }
    durable::sync_dir(&manifests)?;
    let list = List {
        number: generation.number,
        suites,
        links: generation.links.clone(),
    };
    // This forces out the name of the directory of the files as well.
    write_json(path, &list)
}

/// Removes the files of suites that a list does not name.
pub(super) fn collect(path: &Path) -> Result<()> {
    let Some(list) = read_json::<List>(path)? else {
        return Ok(());
    };
    let manifests = manifests(path);
    let named: BTreeSet<PathBuf> = list.files(path)?.into_values().collect();
    let entries = match fs::read_dir(&manifests) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        entries => entries.map_err(Error::io("list", &manifests))?,
    };
    durable::clear_litter(&manifests)?;
    for entry in entries {
        let file = entry.map_err(Error::io("list", &manifests))?.path();
        if file.extension().is_some_and(|e| e == "json") && !named.contains(&file) {
            durable::remove_file(&file)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn record(generation: u64) -> Arc<SuiteRecord> {
        Arc::new(SuiteRecord {
            generation,
            ..SuiteRecord::default()
        })
    }

    fn write(path: &Path, generation: &Generation) -> Result<()> {
        super::write(path, generation, &Generation::default())
    }

    fn generation(number: u64, suites: &[(&str, u64)]) -> Generation {
        let suites = suites.iter();
        Generation {
            suites: suites
                .map(|(name, generation)| ((*name).to_owned(), record(*generation)))
                .collect(),
            ..Generation::new(number)
        }
    }

    #[test]
    fn only_what_changed_is_written_and_what_nothing_names_goes() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("published.json");
        let files = || {
            let entries = fs::read_dir(dir.path().join("manifests")).unwrap();
            entries.map(|e| e.unwrap().path()).collect::<BTreeSet<_>>()
        };
        assert!(read(&path).unwrap().is_none());
        write(&path, &generation(1, &[("a", 1), ("b", 1)])).unwrap();
        collect(&path).unwrap();
        let first = files();
        write(&path, &generation(2, &[("a", 1), ("b", 2)])).unwrap();
        assert!(files().is_superset(&first));
        collect(&path).unwrap();
        assert_eq!(files().intersection(&first).count(), 1);
        assert_eq!(files().len(), 2);
        let (found, gone) = read(&path).unwrap().unwrap();
        assert_eq!(found.number, 2);
        let numbers: Vec<_> = found.suites.values().map(|s| s.generation).collect();
        assert_eq!((numbers, gone), (vec![1, 2], Vec::<String>::new()));
        // One that is carried on is named as it was, and written again where its file is gone.
        let mut next = Generation::new(3);
        next.suites.clone_from(&found.suites);
        next.suites.insert("b".to_owned(), record(3));
        super::write(&path, &next, &found).unwrap();
        collect(&path).unwrap();
        assert_eq!(files().len(), 2);
        let (found, gone) = read(&path).unwrap().unwrap();
        let numbers: Vec<_> = found.suites.values().map(|s| s.generation).collect();
        assert_eq!((numbers, gone), (vec![1, 3], Vec::new()));
        files()
            .iter()
            .for_each(|file| fs::remove_file(file).unwrap());
        super::write(&path, &found, &found).unwrap();
        assert_eq!(files().len(), 2);
        // One that is damaged is not believed, and one that is gone is no record.
        let file = files().pop_first().unwrap();
        let text = fs::read_to_string(&file).unwrap();
        fs::write(&file, text.replace("\"generation\": ", "\"generation\": 1")).unwrap();
        let said = crate::error::chain(&read(&path).unwrap_err());
        assert!(said.contains("its digest is not the one"), "{said}");
        fs::remove_file(&file).unwrap();
        let (found, gone) = read(&path).unwrap().unwrap();
        assert_eq!((found.suites.len(), gone.len()), (1, 1));
    }

    #[test]
    fn what_is_no_digest_names_no_file() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("published.json");
        fs::write(dir.path().join("x.json"), "{}").unwrap();
        let text = r#"{"format": 2, "number": 1, "suites": {"a": "../x"}, "links": {}}"#;
        fs::write(&path, text).unwrap();
        let said = crate::error::chain(&read(&path).unwrap_err());
        assert!(said.contains("`a` names no digest"), "{said}");
    }

    #[test]
    fn a_generation_of_format_0_is_read() {
        let text = r#"{
          "number": 7,
          "suites": {
            "daedalus": {
              "generation": 7,
              "content": "01",
              "release": "02",
              "date": 1767225600,
              "valid-until": null,
              "archives": {"main bookworm": 1767225600, "overlay daedalus": 1767225601},
              "report": {
                "packages": {"amd64": 3},
                "banned": [{"package": "systemd", "because_of": null}],
                "older": [["base-files", "12", "13"]],
                "watched": {},
                "unasked": [["essential", "base-files", "main"]],
                "without-source": []
              },
              "retained": {"main/binary-amd64/by-hash/SHA256/03": {"generations": 2, "time": 1767225600}}
            }
          },
          "links": {}
        }"#;
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("published.json");
        fs::write(&path, text).unwrap();
        let (generation, gone) = read(&path).unwrap().unwrap();
        assert_eq!((generation.number, gone), (7, Vec::new()));
        let suite = serde_json::to_value(&*generation.suites["daedalus"]).unwrap();
        let inputs = serde_json::json!([
            {"archive": "main", "suite": "bookworm", "date": 1767225600},
            {"archive": "overlay", "suite": "daedalus", "date": 1767225601},
        ]);
        assert_eq!(suite["archives"], inputs);
        let older = serde_json::json!([{"package": "base-files", "winner": "12", "hidden": "13"}]);
        assert_eq!(suite["report"]["older"], older);
        let unasked = serde_json::json!(
            [{"claim": "essential", "package": "base-files", "archive": "main"}]
        );
        assert_eq!(suite["report"]["unasked"], unasked);
        serde_json::from_value::<SuiteRecord>(suite).unwrap();
        let suite = &generation.suites["daedalus"];
        assert!(suite.manifest.is_empty() && suite.retained.len() == 1);
        // It is written in the present format.
        write(&path, &generation).unwrap();
        let text = fs::read_to_string(&path).unwrap();
        assert!(text.starts_with("{\n  \"format\": 2,\n"), "{text}");
        let (again, _) = read(&path).unwrap().unwrap();
        let suites = |generation: &Generation| format!("{:?}", generation.suites);
        assert_eq!(suites(&again), suites(&generation));
        fs::write(&path, text.replace("\"format\": 2", "\"format\": 3")).unwrap();
        let said = read(&path).unwrap_err().to_string();
        for word in ["published.json", "format 3", "formats up to 2"] {
            assert!(said.contains(word), "{said}");
        }
    }
}
