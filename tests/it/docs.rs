//! The documentation says what is: its commands are run, its output is compared, its configurations are read, its keys are all there.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

use aptmerge::config::Config;

use crate::common::programs::{APTMERGE, Said, top};

/// Every page, by its path.
fn pages() -> Vec<(PathBuf, String)> {
    let docs = fs::read_dir(top().join("docs")).unwrap();
    let docs = docs.map(|entry| entry.unwrap().path());
    let pages = docs.chain(["README.md", "ARCHITECTURE.md"].map(|name| top().join(name)));
    pages
        .map(|path| (path.clone(), fs::read_to_string(path).unwrap()))
        .collect()
}

/// The fenced blocks of a language.
fn blocks<'a>(page: &'a str, language: &str) -> Vec<&'a str> {
    let fence = format!("```{language}\n");
    let mut blocks = page.split(&fence[..]).skip(1);
    std::iter::from_fn(|| blocks.next()?.split("\n```").next()).collect()
}

/// A line without what differs from run to run: times, and sizes of what holds signatures.
fn steady(line: &str) -> String {
    let words: Vec<&str> = line.split(' ').collect();
    let is_time =
        |word: &str| word.len() >= 20 && word.as_bytes()[10] == b'T' && word.ends_with('Z');
    let steady = words.iter().enumerate().map(|(n, word)| match *word {
        word if is_time(word) => "TIME",
        _ if words
            .get(n + 1)
            .is_some_and(|next| next.starts_with("bytes")) =>
        {
            "SIZE"
        }
        word => word,
    });
    steady.collect::<Vec<_>>().join(" ")
}

/// Commands with the output that is shown of each; `...` stands for the rest of it.
fn commands(block: &str) -> Vec<(&str, Vec<&str>)> {
    let mut commands: Vec<(&str, Vec<&str>)> = Vec::new();
    for line in block.lines() {
        match line.strip_prefix("$ ") {
            Some(command) => commands.push((command, Vec::new())),
            None => commands
                .last_mut()
                .expect("output before a command")
                .1
                .push(line),
        }
    }
    commands
}

#[test]
fn the_commands_of_the_readme_say_what_it_shows() {
    let place = tempfile::tempdir().unwrap();
    let demo = place.path().join("target/demo");
    fs::create_dir_all(&demo).unwrap();
    let made = Command::new(top().join("scripts/demo"))
        .arg(format!("--program={APTMERGE}"))
        .arg(&demo)
        .output();
    Said::of(&made.unwrap()).expect(0, &[]);
    let programs = Path::new(APTMERGE).parent().unwrap();
    symlink(programs, place.path().join("target/debug")).unwrap();

    let readme = fs::read_to_string(top().join("README.md")).unwrap();
    let blocks = blocks(&readme, "console");
    assert!(!blocks.is_empty());
    let mut setting = String::new();
    for (command, shown) in blocks.into_iter().flat_map(commands) {
        if command.starts_with("export ") {
            setting = format!("{setting}{command}; ");
            continue;
        }
        let output = Command::new("bash")
            .args(["-c", &format!("{setting}{command} 2>&1")])
            .current_dir(place.path())
            .output()
            .unwrap();
        let said = String::from_utf8(output.stdout).unwrap();
        let said = said.replace(&format!("{}/", place.path().display()), "");
        assert!(output.status.success(), "{command}: {said}");
        let (shown, is_whole) = match shown.split_last() {
            Some((&"...", shown)) => (shown, false),
            _ => (&shown[..], true),
        };
        let said: Vec<String> = said.lines().map(steady).collect();
        let shown: Vec<String> = shown.iter().copied().map(steady).collect();
        let compared = if is_whole { said.len() } else { shown.len() };
        assert_eq!(said[..compared.min(said.len())], shown, "{command}");
    }
}

#[test]
fn shown_configurations_can_be_used() {
    let mut whole = 0;
    for (path, page) in pages() {
        for block in blocks(&page, "toml") {
            let table: toml::Table = block
                .parse()
                .unwrap_or_else(|e| panic!("{path:?}: {e}\n{block}"));
            // The others show a few keys.
            if table.contains_key("root") {
                Config::parse(block, &path).unwrap_or_else(|e| panic!("{e}"));
                whole += 1;
            }
        }
    }
    assert!(whole > 0);
}

/// The keys of a table, of the tables in it too; a name that an operator chooses is left out.
fn keys(prefix: &str, table: &toml::Table, found: &mut BTreeSet<String>) {
    for (key, value) in table {
        let is_chosen = ["archives", "suites"].contains(&prefix);
        let path = match (prefix, is_chosen) {
            ("", _) => key.clone(),
            (_, true) => format!("{prefix}.*"),
            (_, false) => format!("{prefix}.{key}"),
        };
        let inner = match value {
            toml::Value::Table(inner) => Some(inner),
            toml::Value::Array(items) => items.first().and_then(toml::Value::as_table),
            _ => None,
        };
        let has_free_keys = [
            "archives.*.components",
            "suites.*.from",
            "suites.*.release",
            "reports.watch",
        ]
        .contains(&&path[..]);
        match inner {
            Some(inner) if !has_free_keys => keys(&path, inner, found),
            _ => _ = found.insert(path),
        }
    }
}

#[test]
fn every_key_is_documented() {
    let everything =
        fs::read_to_string(top().join("fixtures/config/valid/everything.toml")).unwrap();
    let config = Config::parse(&everything, Path::new("/etc/aptmerge/aptmerge.toml")).unwrap();
    // What is in force has every key, and the file those without a default.
    let in_force: toml::Table = toml::to_string(&config).unwrap().parse().unwrap();
    let mut found = BTreeSet::new();
    keys("", &in_force, &mut found);
    keys("", &everything.parse().unwrap(), &mut found);
    found.extend(
        [
            "signing.gpg.keys",
            "signing.gpg.homedir",
            "signing.gpg.program",
        ]
        .map(str::to_owned),
    );
    let page = fs::read_to_string(top().join("docs/configuration.md")).unwrap();
    let missing: Vec<_> = found
        .iter()
        .filter(|key| {
            // A section's table names its keys by their ends.
            let ends = key.match_indices('.').map(|(at, _)| &key[at + 1..]);
            !ends
                .chain([&key[..]])
                .any(|name| page.contains(&format!("`{name}`")))
        })
        .collect();
    assert!(
        missing.is_empty(),
        "not in docs/configuration.md: {missing:?}"
    );
}

#[test]
fn links_between_pages_lead_somewhere() {
    for (path, page) in pages() {
        let links = page
            .split("](")
            .skip(1)
            .filter_map(|rest| rest.split(')').next());
        for link in links.filter(|link| !link.contains("://") && !link.starts_with('#')) {
            let target = path.parent().unwrap().join(link.split('#').next().unwrap());
            assert!(target.exists(), "{path:?} links to {link}");
        }
    }
}
