//! Contents, Translation and DEP-11 speak of exactly the packages that were published, from the archive that won.
#![allow(clippy::unwrap_used, clippy::print_stderr)]

mod common;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::Read;

use common::apt::{field, stanzas, unxz};
use common::upstream::{NEWER, Site, Suite, gz, xz};

const ALL: &str = r#"["packages", "sources", "installer", "contents", "translations", "dep11"]"#;

fn site() -> Site {
    let site = Site::new();
    let config = site.config();
    let lines = config
        .lines()
        .map(|line| match line.starts_with("indices = ") {
            true => format!("indices = {ALL}"),
            false => line.to_owned(),
        });
    let lines = lines.collect::<Vec<_>>().join("\n");
    site.write_config(&format!(
        "{lines}\n[bans]\npackages = [\"systemd\", \"systemd-sysv\"]\n"
    ));
    site
}

fn gunzip(data: &[u8]) -> String {
    let mut text = String::new();
    flate2::read::GzDecoder::new(data)
        .read_to_string(&mut text)
        .unwrap();
    text
}

fn suite_file(site: &Site, path: &str) -> std::path::PathBuf {
    site.root().join("merged/dists/daedalus").join(path)
}

fn contents(site: &Site, path: &str) -> BTreeMap<String, BTreeSet<String>> {
    let text = gunzip(&fs::read(suite_file(site, path)).unwrap());
    let lines = text.lines().map(|line| {
        let (path, owners) = line.rsplit_once(' ').unwrap();
        (
            path.trim_end().to_owned(),
            owners.split(',').map(str::to_owned).collect(),
        )
    });
    let read: BTreeMap<_, _> = lines.clone().collect();
    assert_eq!(read.len(), lines.clone().count(), "a path has one line");
    assert!(
        lines
            .clone()
            .is_sorted_by_key(|(path, _)| path.into_bytes())
    );
    read
}

/// The published packages of an architecture, by name, with their stanzas.
fn packages(site: &Site, index: &str) -> BTreeMap<String, String> {
    stanzas(&unxz(&suite_file(site, index)))
        .into_iter()
        .map(|s| (field(&s, "Package").unwrap().to_owned(), s))
        .collect()
}

#[test]
fn contents_are_those_of_the_published_packages() {
    let site = site();
    site.run(&[]).expect(0, &[]);
    let published = packages(&site, "main/binary-amd64/Packages.xz");
    let mut seen = BTreeSet::new();
    for index in ["main/Contents-amd64.gz", "main/Contents-all.gz"] {
        for owners in contents(&site, index).values() {
            seen.extend(
                owners
                    .iter()
                    .map(|o| o.rsplit('/').next().unwrap().to_owned()),
            );
        }
    }
    let in_main: BTreeSet<_> = published.keys().cloned().collect();
    assert_eq!(
        seen, in_main,
        "every published package of main has its files there, and no other"
    );
    let amd64 = contents(&site, "main/Contents-amd64.gz");
    assert_eq!(
        amd64["usr/share/shared/README"],
        ["misc/shared-path", "misc/shared-path-too"]
            .map(str::to_owned)
            .into()
    );
    assert!(
        amd64.contains_key("usr/share/shared/a name with  blanks"),
        "{amd64:?}"
    );
    // gfx-fork of the overlay hides main's: what only main's has is gone, what only the overlay's has is there.
    assert!(amd64.contains_key("usr/share/gfx-fork/overlay"));
    assert!(!amd64.keys().any(|path| path.contains("gfx-banned")));
}

/// Contents that no tool would write, but that an archive may sign.
fn odd_contents(suite: &mut Suite, text: &str) {
    suite.set("Date", NEWER);
    suite.put("main/Contents-amd64.gz", &gz(text.as_bytes()));
    suite.list("main/Contents-amd64", text.as_bytes());
    suite.sign();
}

#[test]
fn odd_contents_are_told_of_and_the_rest_goes_on() {
    let site = site();
    let header = "This file maps each file to the package from which it came.\n\nFILE                    LOCATION\n";
    let text = format!(
        "{header}usr/z misc/main-only\nno-owner-here\nusr/a\t\tmisc/main-only,misc/unheard-of\nusr/m misc/systemd\nusr/\u{fffd} misc/main-only\n"
    );
    odd_contents(&mut site.main(), &text);
    let said = site.run(&[]);
    said.expect(
        0,
        &[
            "main bookworm main/Contents-amd64",
            "not sorted by path",
            "line 5",
        ],
    );
    let amd64 = contents(&site, "main/Contents-amd64.gz");
    let only: BTreeSet<_> = ["misc/main-only".to_owned()].into();
    assert_eq!(amd64["usr/a"], only);
    assert_eq!(amd64["usr/z"], only);
    assert!(!amd64.contains_key("usr/m"), "systemd is banned");
    assert!(!amd64.contains_key("FILE"));
}

#[test]
fn translations_are_those_of_the_published_descriptions() {
    let site = site();
    let mut main = site.main();
    let text = main_translation(&site);
    let more = format!(
        "{text}\nPackage: unheard-of\nDescription-md5: 0123456789abcdef0123456789abcdef\nDescription-en: x\n y\n\nPackage: headless\nDescription-en: x\n"
    );
    main.set("Date", NEWER);
    main.delete("main/i18n/Translation-en");
    main.put("main/i18n/Translation-en.xz", &xz(more.as_bytes()));
    main.list("main/i18n/Translation-en", more.as_bytes());
    main.sign();
    site.run(&[]).expect(
        0,
        &["main/i18n/Translation-en", "has no field `Description-md5`"],
    );
    let translated: BTreeSet<_> = stanzas(&unxz(&suite_file(&site, "main/i18n/Translation-en.xz")))
        .iter()
        .map(|s| {
            (
                field(s, "Package").unwrap().to_owned(),
                field(s, "Description-md5").unwrap().to_owned(),
            )
        })
        .collect();
    let mut expected = BTreeSet::new();
    for architecture in ["amd64", "all"] {
        for stanza in stanzas(&unxz(&suite_file(
            &site,
            &format!("main/binary-{architecture}/Packages.xz"),
        ))) {
            let md5 = field(&stanza, "Description-md5").map(str::to_owned);
            expected.extend(md5.map(|md5| (field(&stanza, "Package").unwrap().to_owned(), md5)));
        }
    }
    assert!(!expected.is_empty());
    assert_eq!(translated, expected);
}

fn main_translation(site: &Site) -> String {
    unxz(&site.path("archives/main/dists/bookworm/main/i18n/Translation-en.xz"))
}

#[test]
fn software_centres_see_the_published_packages() {
    let site = site();
    site.run(&[]).expect(0, &[]);
    let text = unxz(&suite_file(&site, "main/dep11/Components-amd64.yml.xz"));
    assert!(text.starts_with("---\nFile: DEP-11\n"), "{text}");
    let packages: Vec<_> = text
        .lines()
        .filter_map(|l| l.strip_prefix("Package: "))
        .collect();
    assert_eq!(
        packages,
        ["gfx-tool"],
        "not gfx-fork, which the overlay has, nor gfx-banned"
    );
    let icons = fs::read(suite_file(&site, "main/dep11/icons-64x64.tar.gz")).unwrap();
    let mut icons = tar::Archive::new(flate2::read::GzDecoder::new(&icons[..]));
    let names: Vec<_> = icons
        .entries()
        .unwrap()
        .map(|e| e.unwrap().path().unwrap().display().to_string())
        .collect();
    assert_eq!(names, ["gfx-tool_gfx-tool.png"]);
}

#[test]
fn an_icon_that_climbs_and_a_file_that_is_no_dep11_are_left_out() {
    let site = site();
    let mut main = site.main();
    main.set("Date", NEWER);
    let yaml = "---\nnothing: of the kind\n---\nPackage: main-only\n";
    main.put("main/dep11/Components-amd64.yml.gz", &gz(yaml.as_bytes()));
    main.list("main/dep11/Components-amd64.yml", yaml.as_bytes());
    let mut archive = tar::Builder::new(Vec::new());
    for name in ["../main-only_climbs.png", "main-only_good.png"] {
        let mut header = tar::Header::new_old();
        // The library itself refuses to write a name that climbs, so it is put into the header by hand.
        header.as_old_mut().name[..name.len()].copy_from_slice(name.as_bytes());
        header.set_size(1);
        header.set_entry_type(tar::EntryType::Regular);
        header.set_cksum();
        archive.append(&header, &b"x"[..]).unwrap();
    }
    let tar = archive.into_inner().unwrap();
    main.put("main/dep11/icons-64x64.tar.gz", &gz(&tar));
    main.list("main/dep11/icons-64x64.tar", &tar);
    main.sign();
    site.run(&[]).expect(
        0,
        &["`../main-only_climbs.png` is no icon", "this is no DEP-11"],
    );
    assert_eq!(
        unxz(&suite_file(&site, "main/dep11/Components-amd64.yml.xz")),
        ""
    );
    let icons = gunzip(&fs::read(suite_file(&site, "main/dep11/icons-64x64.tar.gz")).unwrap());
    assert!(icons.contains("main-only_good.png") && !icons.contains("climbs"));
}

#[test]
fn a_mirror_without_such_indices_is_no_failure() {
    let site = site();
    let main = site.main();
    for path in ["main/Contents-amd64", "main/i18n/Translation-en"] {
        main.delete(path);
    }
    site.run(&[]).expect(0, &[]);
    assert!(suite_file(&site, "main/Contents-all.gz").exists());
    // And what is published is whole without them, as apt and verify see it.
    site.aptmerge(&["verify"]).expect(0, &[]);
}
