//! What an archive says of the packages of others, in the indices that speak of packages, and what becomes of it in the programs that
//! read them; and words without bound.

use std::fs;
use std::io::Read;
use std::process::Command;

use super::catalogue::{PACKAGES, run};
use crate::common::apt::Apt;
use crate::common::programs::{has, python_with};
use crate::common::site::Site;
use crate::common::state;
use crate::common::upstream::{NEWER, NEWEST, Suite, gz, stanza};

pub(crate) const COMPONENTS: &str = "main/dep11/Components-amd64.yml";
const TRANSLATION: &str = "main/i18n/Translation-en";
const CONTENTS: &str = "main/Contents-amd64";
pub(crate) const COMMANDS: &str = "main/cnf/Commands-amd64";

/// A site with two archives that have every family; nothing is published yet.
pub(crate) fn site() -> Site {
    let site = Site::new();
    site.change_config(
        "indices = [\"packages\", \"sources\"]",
        "indices = [\"packages\", \"contents\", \"translations\", \"dep11\", \"commands\"]",
    );
    for mut suite in [site.main(), site.overlay()] {
        suite.set("Date", NEWER);
        suite.sign();
    }
    site
}

/// Puts an index in the place of the one that a suite has, if it has one, and signs.
pub(crate) fn publish(suite: &mut Suite, path: &str, text: &[u8]) {
    suite.unlist(path);
    for end in ["", ".gz", ".xz", ".bz2"] {
        fs::remove_file(suite.dir.join(format!("{path}{end}"))).ok();
    }
    suite.add(&format!("{path}.gz"), &gz(text));
    suite.mention(path, text);
    suite.sign();
}

pub(crate) fn published(site: &Site, path: &str) -> Vec<u8> {
    let path = site.root().join(format!("merged/dists/daedalus/{path}.gz"));
    let mut text = Vec::new();
    let packed = fs::File::open(path).unwrap();
    let mut unpacked = flate2::read::MultiGzDecoder::new(packed);
    unpacked.read_to_end(&mut text).unwrap();
    text
}

pub(crate) fn component(package: &str, id: &str, more: &str) -> String {
    format!(
        "---\nType: desktop-application\nID: {id}\nPackage: {package}\nName:\n  C: {id}\nSummary:\n  C: {id}\n{more}"
    )
}

pub(crate) fn header(base: &str) -> String {
    format!("---\nFile: DEP-11\nVersion: '0.16'\nOrigin: site\nMediaBaseUrl: {base}\n")
}

const MEDIA: &str = "Icon:\n  remote:\n  - url: icon.png\n    width: 64\n    height: 64\n\
    Screenshots:\n- default: true\n  source-image:\n    url: 'shot.png'\n    width: 9\n    height: 9\n";

/// Documents of the lowest archive that speak for the overlay's package, or cost readers the whole file.
fn hostile_documents() -> Vec<String> {
    let own = |more: &str| component("main-only", "own.odd", more);
    vec![
        own("X:\n- - a\n- Package\n- overlay-only\n"),
        own("X: [[a], Package, overlay-only]\n"),
        own("? Package\n: overlay-only\n"),
        own("\"Package\": overlay-only\n"),
        own("<<: {Package: overlay-only}\n"),
        own("X: \"\nPackage: overlay-only\n  \"\n"),
        own("X: [\n"),
        own("X: *alias\n"),
        own("X: &anchor y\n"),
        own(&format!(
            "X: {}{}\n",
            "[".repeat(20_000),
            "]".repeat(20_000)
        )),
        own(&format!("X: {}\n", "{a: ".repeat(20_000))),
        own("X:\n  : y\n"),
        own("X: a\tb\n"),
        own("X: 2024-02-30\n"),
        own("X: =\n"),
        own("Merge: remove-component\n").replace("own.odd", "over.lay"),
        "---\n  Package: overlay-only\n  ID: a.a\n".into(),
        "---\n {Package: overlay-only, ID: a.a}\n".into(),
        "---\nPackage: |\n  overlay-only\nID: a.a\n".into(),
        "---\nType: generic\nPackage: main-only\n".into(),
        "---\nType: generic\nID: ''\nPackage: main-only\n".into(),
        component("main-only", "over.lay", ""),
        component("main-only", "'over.lay'", "Priority: 99\n"),
        component("overlay-only", "own.odd", ""),
        header("https://evil.example/"),
        "---\n---\n".into(),
        "---\n- Package: overlay-only\n".into(),
    ]
}

#[test]
fn components_are_those_of_the_archive_that_has_the_package() {
    let site = site();
    let mut text = header("https://media.main.example/m");
    text += &hostile_documents().concat();
    for n in 0..3 {
        text += &component("main-only", &format!("own.{n}"), MEDIA);
    }
    text += &component("overlay-only", "own.last", "");
    publish(&mut site.main(), COMPONENTS, text.as_bytes());
    let text =
        header("https://media.overlay.example/o") + &component("overlay-only", "over.lay", MEDIA);
    publish(&mut site.overlay(), COMPONENTS, text.as_bytes());
    let said = run(&site, &[]);
    let label = "main bookworm main/dep11/Components-amd64.yml";
    said.expect(
        0,
        &[
            label,
            "the document is left out",
            "further faulty documents",
        ],
    );
    assert!(said.stderr.len() < 5_000, "{}", said.stderr);

    let text = String::from_utf8(published(&site, COMPONENTS)).unwrap();
    assert!(
        !text.contains("MediaBaseUrl") && !text.contains("evil"),
        "{text}"
    );
    let expected = [
        ("own.0", "main-only", "https://media.main.example/m"),
        ("own.1", "main-only", "https://media.main.example/m"),
        ("own.2", "main-only", "https://media.main.example/m"),
        (
            "over.lay",
            "overlay-only",
            "https://media.overlay.example/o",
        ),
    ];
    let values = |key: &str| -> Vec<&str> {
        let lines = text.lines();
        lines
            .filter_map(|line| line.trim().strip_prefix(key))
            .collect()
    };
    assert_eq!(values("ID: "), expected.map(|(id, ..)| id));
    assert_eq!(values("Package: "), expected.map(|(_, package, _)| package));
    let icons = expected.map(|(.., base)| format!("{base}/icon.png"));
    assert_eq!(values("- url: "), icons);
    let shots = expected.map(|(.., base)| format!("'{base}/shot.png'"));
    assert_eq!(values("url: "), shots);

    let dir = tempfile::tempdir().unwrap();
    let [yaml, xml] = ["components.yml", "components.xml"].map(|name| dir.path().join(name));
    fs::write(&yaml, &text).unwrap();
    if has("appstreamcli") {
        let mut command = Command::new("appstreamcli");
        command
            .arg("convert")
            .args([&yaml, &xml])
            .env("LC_ALL", "C.UTF-8");
        assert!(command.status().unwrap().success());
        let xml = fs::read_to_string(&xml).unwrap();
        let components: Vec<&str> = xml.split("<component ").skip(1).collect();
        assert_eq!(components.len(), expected.len(), "{xml}");
        for (read, (id, package, base)) in components.iter().zip(expected) {
            assert!(read.contains(&format!("<id>{id}</id>")), "{read}");
            assert!(
                read.contains(&format!("<pkgname>{package}</pkgname>")),
                "{read}"
            );
            assert!(read.contains(&format!(">{base}/icon.png<")), "{read}");
            assert!(read.contains(&format!(">{base}/shot.png<")), "{read}");
        }
    }
    let script = "import sys, yaml\n\
        for loader in [yaml.SafeLoader] + ([yaml.CSafeLoader] if yaml.__with_libyaml__ else []):\n\
        \x20   print([d.get('Package') for d in yaml.load_all(open(sys.argv[1]), Loader=loader)][1:])\n";
    let Some(python) = python_with("yaml", "python3-yaml") else {
        return;
    };
    let output = Command::new(python)
        .args(["-c", script])
        .arg(&yaml)
        .output()
        .unwrap();
    let told = String::from_utf8(output.stdout).unwrap();
    let packages = "['main-only', 'main-only', 'main-only', 'overlay-only']";
    assert!(
        !told.is_empty() && told.lines().all(|line| line == packages),
        "{told}"
    );
}

/// With one archive, or one place for all media, documents are passed on as they are.
#[test]
fn components_keep_their_bytes() {
    let site = site();
    let of_main = header("https://media.example/m") + &component("main-only", "own", MEDIA);
    publish(&mut site.main(), COMPONENTS, of_main.as_bytes());
    run(&site, &[]).expect(0, &[]);
    assert_eq!(
        String::from_utf8(published(&site, COMPONENTS)).unwrap(),
        of_main
    );
    let over = component("overlay-only", "over", MEDIA);
    let of_overlay = header("https://media.example/m") + &over;
    let mut overlay = site.overlay();
    overlay.set("Date", NEWEST);
    publish(&mut overlay, COMPONENTS, of_overlay.as_bytes());
    run(&site, &[]).expect(0, &[]);
    assert_eq!(
        String::from_utf8(published(&site, COMPONENTS)).unwrap(),
        of_main + &over
    );
}

pub(crate) fn md5(text: &str) -> String {
    hex::encode(<md5::Md5 as md5::Digest>::digest(format!("{text}\n")))
}

pub(crate) fn described(name: &str, md5: &str, language: &str, text: &str) -> String {
    format!("Package: {name}\nDescription-md5: {md5}\nDescription-{language}: {text}\n\n")
}

#[test]
fn a_description_is_the_owners_or_proven() {
    let site = site();
    let text = |words: &str| format!("short\n {words}");
    let names = ["odd-own", "odd-proven", "odd-false", "odd-more", "odd-case"];
    let mut overlay = site.overlay();
    for name in names {
        let stanza = stanza(name).replace(
            "Description: x",
            &format!("Description: short\nDescription-md5: {}", md5(&text(name))),
        );
        overlay.append_stanza(PACKAGES, &stanza);
    }
    let [own, proven, odd, more, case] = names;
    let of = |name: &str| md5(&text(name));
    let ours = described(own, &of(own), "en", &text("the overlay's own words"));
    publish(&mut overlay, TRANSLATION, ours.as_bytes());
    publish(
        &mut overlay,
        "main/i18n/Translation-de",
        described(own, &of(own), "de", "deutsch").as_bytes(),
    );
    let theirs = [
        described(own, &of(own), "en", &text(own)),
        described(proven, &of(proven), "en", &text(proven)),
        described(odd, &of(odd), "en", "short\n evil words"),
        described(more, &of(more), "en", &text(more)).replace("\n\n", "\nDescription-de: evil\n\n"),
        described("ODD-CASE", &of(case), "en", "short\n evil words"),
    ];
    let mut main = site.main();
    publish(&mut main, TRANSLATION, theirs.concat().as_bytes());
    let theirs = names.map(|name| described(name, &of(name), "de", "evil"));
    publish(
        &mut main,
        "main/i18n/Translation-de",
        theirs.concat().as_bytes(),
    );
    run(&site, &[]).expect(0, &[]);
    let english = String::from_utf8(published(&site, TRANSLATION)).unwrap();
    let expected = ours + &described(proven, &of(proven), "en", &text(proven));
    assert_eq!(english, expected);
    let german = String::from_utf8(published(&site, "main/i18n/Translation-de")).unwrap();
    assert_eq!(german, described(own, &of(own), "de", "deutsch"));

    if !has("apt-get") || !has("apt-cache") {
        return;
    }
    let keys = site.path("keys/publish.gpg");
    let merged = site.root().join("merged");
    let source = format!(
        "deb [signed-by={}] file:{} daedalus main\n",
        keys.display(),
        merged.display()
    );
    let apt = Apt::new(
        &["amd64"],
        &source,
        "Acquire::Languages { \"de\"; \"en\"; };",
    );
    apt.ok("apt-get", &["update"]);
    for (name, words) in [
        (own, "deutsch"),
        (proven, proven),
        (odd, "short"),
        (more, "short"),
        (case, "short"),
    ] {
        let shown = apt.ok("apt-cache", &["show", name]);
        assert!(shown.contains(words) && !shown.contains("evil"), "{shown}");
    }
}

#[test]
fn contents_and_commands_steer_no_terminal() {
    let site = site();
    let contents = [
        &b"usr/a misc/main-only\n"[..],
        b"usr/esc\x1b[2J misc/main-only\n",
        b"usr/c1\xc2\x9b2J misc/main-only\n",
        b"usr/c1-alone\x9b2J misc/main-only\n",
        "usr/turned\u{202e}gpj misc/main-only\n".as_bytes(),
        b"usr/in-owner mi\x1bsc/main-only\n",
        b"usr/owner misc\xc3\xbc/main-only,misc/main-only\n",
        b"usr/latin-\xfc misc/main-only\n",
        b"usr/others misc/overlay-only\n",
        b"usr/qualified misc/overlay-only:amd64,misc/main-only:amd64\n",
        "usr/ü misc/main-only\n".as_bytes(),
    ];
    let mut main = site.main();
    publish(&mut main, CONTENTS, &contents.concat());
    let commands = "suite: bookworm\ncomponent: main\narch: amd64\n\n\
        name: main-only\nversion: 1.0-1\ncommands: good\n\n\
        name: main-only\nversion: 1.0-1\ncommands: bad\u{1b}[2J\n\n\
        name: main-only\nversion: 1.0-1\nvisible-pkgname: overlay-only\ncommands: sudo\n";
    publish(&mut main, COMMANDS, commands.as_bytes());
    run(&site, &[]).expect(
        0,
        &[
            "Contents-amd64, line 2: a control character in it; the line is left out",
            "Commands-amd64, line 11: it has a control character",
            "line 13: its `visible-pkgname` is a package of another archive",
        ],
    );
    let text = published(&site, CONTENTS);
    let mut lines: Vec<&[u8]> = text.split(|b| *b == b'\n').collect();
    lines.retain(|line| line.ends_with(b"/main-only"));
    let paths: Vec<_> = lines
        .iter()
        .filter_map(|line| line.split(|b| *b == b' ').next())
        .collect();
    assert_eq!(
        paths,
        [
            &b"usr/a"[..],
            b"usr/latin-\xfc",
            b"usr/owner",
            "usr/ü".as_bytes()
        ]
    );
    let text = String::from_utf8(published(&site, COMMANDS)).unwrap();
    assert!(
        text.contains("commands: good") && !text.contains("bad") && !text.contains("sudo"),
        "{text}"
    );
}

#[test]
fn words_and_work_are_bounded() {
    let site = site();
    let mut main = site.main();
    // 20 MB each; line numbers that are counted from the start for each fault take hours.
    let faulty = b"x\n\n".repeat(7_000_000);
    publish(&mut main, TRANSLATION, &faulty);
    publish(&mut main, COMMANDS, &faulty);
    let mut icons = tar::Builder::new(Vec::new());
    for n in 0..20_000 {
        let mut header = tar::Header::new_ustar();
        header.set_size(0);
        header.set_mode(0o644);
        icons
            .append_data(&mut header, format!("odd/{n}-{}", "x".repeat(60)), &b""[..])
            .unwrap();
    }
    publish(
        &mut main,
        "main/dep11/icons-64x64.tar",
        &icons.into_inner().unwrap(),
    );
    let said = run(&site, &[]);
    said.expect(
        0,
        &[
            "19995 further files that are no icons",
            "further faulty stanzas",
        ],
    );
    assert!(said.stderr.len() < 10_000, "{} bytes", said.stderr.len());
    let state = state::published(&site.root()).to_string();
    assert!(state.len() < 200_000, "{} bytes", state.len());
}
