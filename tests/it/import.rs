//! `scripts/import-amprolla` carries over what a configuration of amprolla's says, and names what it cannot.

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::common::gnupg::Gnupg;
use crate::common::programs::{Said, has, top};
use crate::common::site::{Site, fixtures};
use aptmerge::config::{Config, Family, Form};
use serde::Deserialize;

/// The answer of the script, as JSON.
#[derive(Debug, Deserialize)]
struct Imported {
    toml: String,
    notes: Vec<Note>,
    usable: bool,
}

/// A note; line 0 where it is about the whole file.
#[derive(Debug, Deserialize)]
struct Note {
    line: usize,
    text: String,
}

/// Calls the script in a directory.
fn script(args: &[&str], dir: &Path) -> Said {
    let mut command = Command::new(top().join("scripts/import-amprolla"));
    command.args(args).current_dir(dir);
    let output = command.env("PYTHONDONTWRITEBYTECODE", "1").output();
    Said::of(&output.unwrap())
}

/// Imports a file of the fixtures; `None` without Python.
fn import_fixture(name: &str) -> Option<(Config, Imported)> {
    if !has("python3") {
        return None;
    }
    let path = fixtures().join("import").join(name);
    let said = script(&["--json", path.to_str().unwrap()], Path::new("/"));
    said.expect(0, &[]);
    let imported: Imported = serde_json::from_str(&said.stdout).unwrap();
    assert!(imported.usable);
    let config = Config::parse(&imported.toml, Path::new("/etc/x/aptmerge.toml"))
        .unwrap_or_else(|e| panic!("{e}\n{}", imported.toml));
    Some((config, imported))
}

/// Whether there is a note on that line with that text in it.
#[track_caller]
fn assert_noted(imported: &Imported, line: usize, text: &str) {
    assert!(
        imported
            .notes
            .iter()
            .any(|n| n.line == line && n.text.contains(text)),
        "no note on line {line} with {text:?}: {:#?}",
        imported.notes
    );
}

fn from(config: &Config, suite: &str) -> Vec<(String, String)> {
    let suite = config.suites.get(suite).unwrap();
    config
        .inputs(suite)
        .map(|(name, _, upstream)| (name.to_string(), upstream.to_string()))
        .collect()
}

fn pairs(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    pairs
        .iter()
        .map(|(a, b)| ((*a).to_owned(), (*b).to_owned()))
        .collect()
}

fn strings(items: impl IntoIterator<Item = impl ToString>) -> Vec<String> {
    items.into_iter().map(|i| i.to_string()).collect()
}

#[test]
fn every_setting_is_carried_over() {
    let Some((config, imported)) = import_fixture("whole.py") else {
        return;
    };
    assert_eq!(config.root, Path::new("/srv/old"));
    assert_eq!(
        config.lock,
        Path::new("/srv/old/aptmerge.lock"),
        "never amprolla's own lock file"
    );
    assert_eq!(strings(&config.priority), ["overlay", "security", "debian"]);
    assert_eq!(strings(&config.components), ["main", "contrib", "non-free"]);
    assert_eq!(strings(&config.architectures), ["all", "amd64", "armel"]);
    assert!(config.indices.contains(&Family::Sources));
    assert_eq!(strings(&config.bans.packages), ["systemd", "systemd-sysv"]);
    assert_eq!(config.publish.compress, [Form::Gz].into());
    let gpg = config.signing.gpg.unwrap();
    assert_eq!(gpg.homedir.unwrap(), Path::new("/srv/old/gnupg"));
    assert_eq!(gpg.keys, ["0123456789ABCDEF0123456789ABCDEF01234567"]);

    let archive = |name: &str| config.archives.get(name).unwrap();
    assert_eq!(archive("debian").pool.as_str(), "MAIN");
    assert_eq!(
        strings(&archive("debian").uris),
        ["http://mirror.example/debian"]
    );
    assert_eq!(archive("debian").redirect, None);
    assert_eq!(
        strings(&archive("security").uris),
        ["http://security.example/"]
    );
    assert_eq!(
        strings(&archive("overlay").uris),
        ["https://pkgmaster.example/overlay"]
    );
    assert_eq!(
        archive("overlay")
            .redirect
            .as_ref()
            .map(ToString::to_string)
            .as_deref(),
        Some("https://pkgmaster.example/elsewhere")
    );
    assert_eq!(
        archive("debian").signed_by,
        [Path::new("/etc/x/keyrings/debian.gpg")]
    );
    for name in ["overlay", "security", "debian"] {
        assert_noted(&imported, 0, &format!("keyrings/{name}.gpg"));
    }
    for (line, name) in [(4, "cpunm"), (12, "lockpath"), (14, "checksums")] {
        assert_noted(&imported, line, name);
    }
    for name in [
        "mainrepofiles",
        "release_keys",
        "packages_keys",
        "sources_keys",
    ] {
        let noted = imported.notes.iter().any(|n| n.text.starts_with(name));
        assert!(noted, "{name}");
    }
    // Where theirs and ours agree there is nothing to say.
    for name in [
        "spooldir",
        "logdir",
        "mergesubdir",
        "signrelease",
        "checksums[0]",
    ] {
        let noted = imported.notes.iter().any(|n| n.text.starts_with(name));
        assert!(!noted, "{name}: {:#?}", imported.notes);
    }
}

#[test]
fn aliases_skips_and_skipmissing_say_who_gives_what() {
    let Some((config, _)) = import_fixture("whole.py") else {
        return;
    };
    // Its alias; `skipmissing` without one.
    assert_eq!(
        from(&config, "daedalus"),
        pairs(&[("overlay", "daedalus"), ("debian", "bookworm")])
    );
    // `skips` is for the archive that is called `debian`, alias or not.
    assert_eq!(
        from(&config, "daedalus-security"),
        pairs(&[
            ("overlay", "daedalus-security"),
            ("security", "bookworm-security")
        ])
    );
    // Without alias and without `skipmissing`: the same name.
    assert_eq!(
        from(&config, "unstable"),
        pairs(&[("overlay", "unstable"), ("debian", "unstable")])
    );
    assert_eq!(
        from(&config, "beowulf/updates"),
        pairs(&[
            ("overlay", "beowulf/updates"),
            ("security", "buster/updates"),
            ("debian", "beowulf/updates")
        ])
    );
}

#[test]
fn release_fields_get_the_general_label_and_guessed_links() {
    let Some((config, imported)) = import_fixture("whole.py") else {
        return;
    };
    let suite = |name: &str| config.suites.get(name).unwrap();
    let field = |name: &str, field: &str| suite(name).release.get(field).cloned();
    assert_eq!(field("daedalus", "Origin").as_deref(), Some("Example"));
    assert_eq!(field("daedalus", "Label").as_deref(), Some("Example"));
    assert_eq!(
        field("daedalus-security", "Label").as_deref(),
        Some("Example-Security")
    );
    assert!(
        suite("daedalus-updates").release.is_empty(),
        "not in release_aliases, so not even labelled"
    );
    assert_eq!(strings(&suite("daedalus").links), ["stable", "5.0"]);
    assert_eq!(strings(&suite("unstable").links), ["ceres"]);
    assert!(
        imported
            .toml
            .contains("links = [\"stable\", \"5.0\"] # GUESS")
    );
    assert_noted(&imported, 0, "links are a guess");
}

#[test]
fn values_that_need_no_running_are_worked_out() {
    let Some((config, imported)) = import_fixture("literals.py") else {
        return;
    };
    assert_eq!(config.root, Path::new("/srv/x"));
    assert_eq!(
        strings(&config.architectures),
        ["amd64", "arm64", "all", "i386"]
    );
    assert_eq!(strings(&config.components), ["main"]);
    assert_eq!(
        strings(&config.bans.packages),
        ["logind", "systemd", "systemd-sysv"]
    );
    let gpg = config.signing.gpg.as_ref().unwrap();
    assert_eq!(gpg.homedir.as_deref(), Some(Path::new("/srv/x/gnupg")));
    assert_eq!(gpg.keys, ["ABCDEF0123"]);
    let uris = |name: &str| strings(&config.archives.get(name).unwrap().uris);
    assert_eq!(uris("overlay"), ["http://mirror.example/overlay"]);
    assert_eq!(uris("main"), ["http://mirror.example/debian"]);
    assert_eq!(
        from(&config, "daedalus"),
        pairs(&[("overlay", "daedalus"), ("main", "bookworm")])
    );
    assert_eq!(
        from(&config, "beowulf"),
        pairs(&[("overlay", "beowulf"), ("main", "buster")])
    );
    let computed: Vec<_> = imported
        .notes
        .iter()
        .filter(|n| n.text.contains("computed") || n.text.contains("code"))
        .collect();
    assert!(computed.is_empty(), "{computed:#?}");
}

#[test]
fn computed_values_are_carried_over() {
    let Some((config, imported)) = import_fixture("computed.py") else {
        return;
    };
    assert_eq!(config.root, Path::new("/srv/computed"));
    assert_eq!(strings(&config.architectures), ["all", "amd64", "arm64"]);
    assert_eq!(strings(&config.components), ["main"]);
    assert_eq!(strings(&config.bans.packages), ["systemd", "systemd-sysv"]);
    assert_eq!(strings(&config.priority), ["overlay", "debian"]);
    let gpg = config.signing.gpg.as_ref().unwrap();
    assert_eq!(
        gpg.homedir.as_deref(),
        Some(Path::new("/srv/computed/gnupg"))
    );
    assert_eq!(gpg.keys, ["9ABC"]);
    assert_eq!(
        from(&config, "daedalus-updates"),
        pairs(&[
            ("overlay", "daedalus-updates"),
            ("debian", "bookworm-updates")
        ])
    );
    // A computed value has the line of what computes it.
    assert_noted(&imported, 23, "`x/../up` is not a suite");
}

#[test]
fn what_is_wrong_is_left_out_by_name() {
    let Some((config, imported)) = import_fixture("wrong.py") else {
        return;
    };
    assert_eq!(strings(&config.priority), ["overlay", "main"]);
    assert_eq!(strings(config.suites.keys()), ["daedalus"]);
    assert_eq!(strings(&config.architectures), ["amd64"]);
    assert_eq!(strings(&config.components), ["main"]);
    assert_eq!(strings(&config.bans.packages), ["systemd"]);
    assert_eq!(config.publish.compress, [Form::Xz].into());
    let release = &config.suites.get("daedalus").unwrap().release;
    assert_eq!(release.len(), 1, "{release:?}");
    assert_eq!(
        release.get("Suite").map(String::as_str),
        Some("st\"able\\"),
        "quoted as TOML wants it"
    );
    for (line, text) in [
        (1, "there is no `gone` in repos"),
        (3, "repos['overlay']['colour'] is not known here"),
        (4, "repos['ftp'] was left out"),
        (5, "another archive's too"),
        (6, "repos['bare'] was left out"),
        (7, "does not end in `dists`"),
        (8, "repos['main']['aliases'] is not True or False"),
        (9, "repos['spare'] is not in repo_order"),
        (10, "a key of repos is not one line of text"),
        (12, "`../up` is not a suite"),
        (12, "suites['a'][3] is not one line of text"),
        (12, "suites['b'] is not a list"),
        (13, "aliases['NOBODY'] belongs to no archive"),
        (15, "`Date` is written by aptmerge itself"),
        (15, "`Bad Field` is no field name"),
        (15, "release_aliases['daedalus']['Version'] is not"),
        (16, "release_aliases['elsewhere'] was left out"),
        (18, "`amd64` is neither source nor binary-NAME"),
        (18, "`AMD64` is not an architecture"),
        (19, "`../..` is not a component"),
        (20, "`not a package` is not a package name"),
        (21, "signingkey names no key"),
        (22, "signrelease was left out"),
        (23, "mergedir is a relative path"),
        (23, "mergedir ends in `out`"),
        (24, "mergesubdir was left out"),
        (25, "logdir is not one line of text"),
        (26, "spooldir is not one line of text"),
        (27, "`Packages.bz2` was left out"),
        (28, "colour is no setting of amprolla's"),
    ] {
        assert_noted(&imported, line, text);
    }
}

#[test]
fn what_cannot_be_run_is_refused_with_its_line() {
    if !has("python3") {
        return;
    }
    let place = tempfile::tempdir().unwrap();
    for (content, expected) in [
        (&b"<html>\n<body>\n"[..], "line 1: this is not Python"),
        (b"a = 1\nb = 'unfinished\n", "line 2: this is not Python"),
        (b"a = 1\n\xff\xfe = 2\n", "this is not Python"),
        (b"\x00\x01\x02", "line 1: this is not Python"),
        (
            b"a = 1\nb = a / 0\n",
            "line 2: it ends with ZeroDivisionError",
        ),
        (
            b"\nimport sys\nsys.exit(0)\n",
            "line 3: it ends with SystemExit",
        ),
        (
            b"from lib import gone\n",
            "line 1: it ends with ModuleNotFoundError",
        ),
    ] {
        fs::write(place.path().join("config.py"), content).unwrap();
        let said = script(&["config.py"], place.path());
        assert_eq!(said.expect(1, &[expected]).stdout, "");
    }
    script(&["gone.py"], place.path()).expect(1, &[]);
    // A file that says nothing: what came out is shown, and that it is of no use.
    fs::write(place.path().join("config.py"), "print('hello')\n").unwrap();
    let said = script(&["config.py"], place.path());
    let words = [
        "hello",
        "repos and repo_order give no archive",
        "error: the configuration cannot be used",
    ];
    assert!(!said.expect(1, &words).stdout.contains("hello"));
}

#[test]
fn another_root_takes_the_place_of_theirs() {
    if !has("python3") {
        return;
    }
    let path = fixtures().join("import/whole.py");
    let said = script(
        &["--root", "/srv/beside", path.to_str().unwrap()],
        Path::new("/"),
    );
    said.expect(0, &[]);
    let config = Config::parse(&said.stdout, &path).unwrap();
    assert_eq!(config.root, Path::new("/srv/beside"));
    assert!(said.stderr.starts_with("line 4: cpunm"), "{said:?}");
}

/// The whole way: import, put the keyrings where the notes say, check, run.
#[test]
fn what_came_out_runs_once_the_keyrings_are_there() {
    if !has("python3") {
        return;
    }
    let Some(gnupg) = Gnupg::new() else { return };
    let site = Site::bare();
    let dir = site.dir();
    gnupg.import(&site.path("keys/publish-a.secret.asc"));
    let fingerprint = gnupg.fingerprints("publish-a").remove(0);
    let home = gnupg.home().display();

    let archives = fixtures().join("archives");
    let (archives, dir_text) = (archives.display(), dir.display());
    let theirs = format!(
        "
mergedir = '{dir_text}/merged-volatile'
gpgdir = '{home}'
signingkey = '{fingerprint}'
banpkgs = {{'systemd', 'systemd-sysv'}}
distrolabel = 'Example'
HOST = 'file://{archives}'
repo_order = ['overlay', 'security', 'debian']
repos = {{
    'overlay': {{'name': 'OVERLAY', 'host': HOST, 'dists': 'overlay/dists', 'aliases': False}},
    'security': {{'name': 'SECURITY', 'host': HOST, 'dists': 'security/dists', 'aliases': True, 'skipmissing': True}},
    'debian': {{'name': 'MAIN', 'host': HOST, 'dists': 'main/dists', 'aliases': True}},
}}
skips = ['daedalus-security']
suites = {{'daedalus': ['daedalus', 'daedalus-security']}}
aliases = {{
    'MAIN': {{'daedalus': 'bookworm'}},
    'SECURITY': {{'daedalus-security': 'bookworm-security'}},
}}
release_aliases = {{'daedalus': {{'Suite': 'stable', 'Codename': 'daedalus', 'Origin': 'Example'}}}}
categories = ['main', 'contrib']
arches = ['source', 'binary-all', 'binary-amd64']
"
    );
    fs::write(dir.join("config.py"), theirs).unwrap();
    let imported = script(&["config.py"], dir);
    site.write_config(&imported.expect(0, &[]).stdout);

    let said = site.aptmerge(&["config", "check"]);
    said.expect(78, &[]);
    fs::create_dir(dir.join("keyrings")).unwrap();
    for (name, key) in [
        ("overlay", "overlay"),
        ("security", "security"),
        ("debian", "main"),
    ] {
        let keyring = format!("keyrings/{name}.gpg");
        assert!(said.stdout.contains(&keyring), "{said:?}");
        fs::copy(site.path(format!("keys/{key}.gpg")), dir.join(keyring)).unwrap();
    }
    site.ok(&["config", "check"]);
    site.ok(&["run"]);
    let dists = dir.join("merged/dists");
    let release = fs::read_to_string(dists.join("stable/Release")).unwrap();
    for field in [
        "Label: Example\n",
        "Origin: Example\n",
        "Codename: daedalus\n",
    ] {
        assert!(release.contains(field), "{release}");
    }
    assert!(dists.join("daedalus-security/InRelease").exists());
}
