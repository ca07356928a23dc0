//! Contents, Translation, DEP-11 and Commands speak of exactly the packages that were published, from the archive that won.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::Read;

use crate::common::apt::{field, stanzas, unxz};
use crate::common::programs::Said;
use crate::common::site::Site;
use crate::common::state;
use crate::common::upstream::{NEWER, NEWEST, Suite, gz, xz};

const ALL: &str =
    r#"["packages", "sources", "installer", "contents", "translations", "dep11", "commands"]"#;

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

/// So a changed package of the highest archive costs the end of the index.
#[test]
fn descriptions_of_lower_archives_come_first() {
    let site = site();
    site.run(&[]).expect(0, &[]);
    let mut packages = packages(&site, "main/binary-amd64/Packages.xz");
    packages.extend(self::packages(&site, "main/binary-all/Packages.xz"));
    let translation = stanzas(&unxz(&suite_file(&site, "main/i18n/Translation-en.xz")));
    let is_of_the_overlay = translation.iter().map(|stanza| {
        let path = field(&packages[field(stanza, "Package").unwrap()], "Filename");
        path.unwrap().starts_with("pool/OVERLAY/")
    });
    let is_of_the_overlay: Vec<_> = is_of_the_overlay.collect();
    assert!(is_of_the_overlay.is_sorted(), "{translation:?}");
    assert!(is_of_the_overlay.contains(&true) && is_of_the_overlay.contains(&false));
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

/// Components and what `[publish]` has besides.
fn configure(site: &Site, components: &str, publish: &str) {
    let config = fs::read_to_string(site.path("aptmerge.toml")).unwrap();
    let config = config
        .replace(
            "components = [\"main\"]",
            &format!("components = {components}"),
        )
        .replace("[publish]\n", &format!("[publish]\n{publish}\n"));
    site.write_config(&config);
}

fn commands(suite: &str, stanzas: &[&str]) -> String {
    let header = format!("suite: {suite}\ncomponent: main\narch: amd64\n");
    let all: Vec<_> = [header.as_str()].iter().chain(stanzas).copied().collect();
    all.join("\n")
}

#[test]
fn commands_are_those_of_the_published_versions_and_faults_are_told_of() {
    let site = site();
    let mut main = site.main();
    main.set("Date", NEWER);
    let good =
        "name: main-only\nversion: 1.0-1\nvisible-pkgname: main\ncommands: main-only,m\nx-own: 1\n";
    let text = commands(
        "bookworm",
        &[
            "name: old-fork\nversion: 2.0-1\ncommands: hidden-by-the-overlay\n",
            "name: main-only\nversion: 0.9\ncommands: other-version\n",
            good,
            "name: systemd\nversion: 252.1-1\ncommands: banned\n",
            "name: doc-all\nversion: 1.0-1\ncommands: of-all\n",
            "name: headless\ncommands: without-version\n",
            "neither field nor anything\n",
            "name: multi\nversion: 1.0-1\nversion: 1.0-2\ncommands: doubled\n",
        ],
    );
    let mut text = text.into_bytes();
    text.extend_from_slice(b"\nname: multi\nversion: 1.0-2\ncommands: no-utf8-\xff\n");
    main.add("main/cnf/Commands-amd64.xz", &xz(&text));
    main.sign();
    let mut overlay = Suite::open(&site, "overlay", "daedalus");
    overlay.set("Date", NEWER);
    let ours = "name: old-fork\nversion: 1.0+devuan1\ncommands: old-fork\n";
    overlay.add(
        "main/cnf/Commands-amd64.gz",
        &gz(commands("daedalus", &[ours]).as_bytes()),
    );
    overlay.sign();
    let said = site.run(&[]);
    said.expect(
        0,
        &[
            "main bookworm main/cnf/Commands-amd64, line 27: the stanza has no field `version`",
            "line 30: neither a field",
            "line 34: the field `version` stands in one stanza twice",
            "line 39: this is not UTF-8 text",
        ],
    );
    let expected = commands(
        "daedalus",
        &[
            "name: doc-all\nversion: 1.0-1\ncommands: of-all\n",
            good,
            ours,
        ],
    ) + "\n";
    assert_eq!(
        unxz(&suite_file(&site, "main/cnf/Commands-amd64.xz")),
        expected
    );
    let gz = fs::read(suite_file(&site, "main/cnf/Commands-amd64.gz")).unwrap();
    assert_eq!(gunzip(&gz), expected);
    let release = fs::read_to_string(suite_file(&site, "Release")).unwrap();
    for form in ["", ".xz", ".gz"] {
        let line = format!(" main/cnf/Commands-amd64{form}\n");
        assert!(release.contains(&line), "{line}");
    }
    site.aptmerge(&["verify"]).expect(0, &[]);
}

#[test]
fn contents_beside_the_components_are_all_of_theirs() {
    let site = site();
    configure(
        &site,
        r#"["main", "contrib"]"#,
        "contents-beside-components = true",
    );
    site.run(&[]).expect(0, &[]);
    for of in ["amd64", "all", "source"] {
        let mut expected: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        for component in ["main", "contrib"] {
            let index = format!("{component}/Contents-{of}.gz");
            if !suite_file(&site, &index).exists() {
                continue;
            }
            for (path, owners) in contents(&site, &index) {
                expected.entry(path).or_default().extend(owners);
            }
        }
        let file = format!("Contents-{of}.gz");
        if expected.is_empty() {
            assert!(!suite_file(&site, &file).exists(), "{file}");
        } else {
            assert_eq!(contents(&site, &file), expected, "{file}");
        }
    }
    assert!(
        contents(&site, "Contents-amd64.gz")
            .values()
            .flatten()
            .any(|owner| owner.starts_with("contrib/")),
        "owners keep their section"
    );
    let release = fs::read_to_string(suite_file(&site, "Release")).unwrap();
    let line = release.lines().find(|l| l.ends_with(" Contents-amd64.gz"));
    let hash = line.unwrap().split_ascii_whitespace().next().unwrap();
    assert!(suite_file(&site, &format!("by-hash/SHA256/{hash}")).exists());
    site.aptmerge(&["verify"]).expect(0, &[]);
    // Nothing else changed, so nothing is made anew.
    let before = site.served();
    site.run(&[]).expect(0, &[]);
    assert_eq!(site.served(), before);
    // When the suite is merged again, an index whose inputs and packages are the same is taken over, and so is its record.
    let root = site.root();
    let state = || state::published(&root);
    let mut published = state();
    let of = |state: &serde_json::Value| {
        state["suites"]["daedalus"]["derived"]["Contents-amd64"].clone()
    };
    published["suites"]["daedalus"]["derived"]["Contents-amd64"]["warnings"] =
        serde_json::json!(["from the record"]);
    state::write_published(&root, &published);
    let mut main = site.main();
    main.set("Date", NEWER);
    let index = "main/binary-amd64/Packages";
    let text = main.index(index);
    let text = text.replace(
        "Package: main-only\n",
        "Package: main-only\nOrigin: changed\n",
    );
    main.put_index(index, text.as_bytes());
    main.sign();
    site.run(&[]).expect(0, &[]);
    assert!(unxz(&suite_file(&site, "main/binary-amd64/Packages.xz")).contains("changed"));
    assert_eq!(of(&state()), of(&published));
    // Without the option the files go.
    let config = fs::read_to_string(site.path("aptmerge.toml")).unwrap();
    site.write_config(&config.replace("contents-beside-components = true", ""));
    site.run(&[]).expect(0, &[]);
    assert!(!suite_file(&site, "Contents-amd64.gz").exists());
    assert!(suite_file(&site, "main/Contents-amd64.gz").exists());
}

#[test]
fn an_archive_with_one_contents_for_all_components_gives_each_its_own() {
    let site = site();
    configure(&site, r#"["main", "contrib"]"#, "");
    let mut main = site.main();
    main.set("Date", NEWER);
    main.unlist("main/Contents-");
    main.unlist("contrib/Contents-");
    let text = "usr/bin/shared                   utils/main-only,contrib/utils/main-contrib\n\
        usr/bin/z utils/main-only\n\
        ownerless\n\
        usr/bin/crossed utils/crossed\n\
        usr/bin/gone utils/systemd,utils/unheard-of\n";
    main.add("Contents-amd64.gz", &gz(text.as_bytes()));
    main.mention("Contents-amd64", text.as_bytes());
    // Within the components there are others for `all`, so this one says the same once more and is not read.
    main.sign();
    // Sorting takes place below the root, whatever the environment says of temporary files.
    let mut run = site.command(&["run"]);
    let said = Said::of(&run.env("TMPDIR", "/nonexistent").output().unwrap());
    said.expect(
        0,
        &[
            "main bookworm Contents-amd64, line 3: neither a path nor its owner",
            "main bookworm Contents-amd64: its lines are not sorted by path",
        ],
    );
    let of_main = |index: &str| -> BTreeMap<String, BTreeSet<String>> {
        let all = contents(&site, index).into_iter();
        all.filter(|(path, _)| path.starts_with("usr/bin/"))
            .collect()
    };
    let one = |owner: &str| BTreeSet::from([owner.to_owned()]);
    let main = of_main("main/Contents-amd64.gz");
    assert_eq!(main["usr/bin/shared"], one("utils/main-only"));
    assert_eq!(main["usr/bin/z"], one("utils/main-only"));
    let contrib = of_main("contrib/Contents-amd64.gz");
    assert_eq!(contrib["usr/bin/shared"], one("contrib/utils/main-contrib"));
    for index in [&main, &contrib] {
        // `crossed` was published from the overlay, though in contrib.
        assert!(!index.contains_key("usr/bin/gone"));
        assert!(!index.contains_key("usr/bin/crossed"), "{index:?}");
    }
    assert!(!suite_file(&site, "Contents-amd64.gz").exists());
}

#[test]
fn contents_that_an_archive_gets_later_speak_of_packages_that_did_not_change() {
    let site = site();
    configure(&site, r#"["main", "contrib"]"#, "");
    let config = fs::read_to_string(site.path("aptmerge.toml")).unwrap();
    let config = config.replace(ALL, r#"["packages", "sources", "contents"]"#);
    site.write_config(&config);
    let mut main = site.main();
    main.set("Date", NEWER);
    main.unlist("main/Contents-");
    main.unlist("contrib/Contents-");
    main.sign();
    site.run(&[]).expect(0, &[]);
    let mut main = site.main();
    main.set("Date", NEWEST);
    let text = "usr/bin/z utils/main-only\n";
    main.add("Contents-amd64.gz", &gz(text.as_bytes()));
    main.mention("Contents-amd64", text.as_bytes());
    main.sign();
    site.run(&[]).expect(0, &[]);
    let found = contents(&site, "main/Contents-amd64.gz");
    let owners = BTreeSet::from(["utils/main-only".to_owned()]);
    assert_eq!(found.get("usr/bin/z"), Some(&owners), "{found:?}");
}

#[test]
fn contents_divided_among_components_are_taken_over_until_a_package_moves() {
    let site = site();
    configure(&site, r#"["main", "contrib"]"#, "");
    let mut main = site.main();
    main.set("Date", NEWER);
    main.unlist("main/Contents-");
    main.unlist("contrib/Contents-");
    let text = "usr/bin/a utils/main-only\nusr/bin/z contrib/utils/main-contrib\n";
    main.add("Contents-amd64.gz", &gz(text.as_bytes()));
    main.mention("Contents-amd64", text.as_bytes());
    main.sign();
    site.run(&[]).expect(0, &[]);
    let root = site.root();
    let derived = || state::published(&root)["suites"]["daedalus"]["derived"].clone();
    let mut published = state::published(&root);
    let divided = ["main/Contents-amd64", "contrib/Contents-amd64"];
    for index in divided {
        published["suites"]["daedalus"]["derived"][index]["warnings"] =
            serde_json::json!(["from the record"]);
    }
    state::write_published(&root, &published);
    // A stanza changes, and no package moves.
    let (of_main, of_contrib) = (
        "main/binary-amd64/Packages",
        "contrib/binary-amd64/Packages",
    );
    let changed = main.index(of_main).replace(
        "Package: main-only\n",
        "Package: main-only\nOrigin: changed\n",
    );
    main.set("Date", NEWEST);
    main.put_index(of_main, changed.as_bytes());
    main.sign();
    site.run(&[]).expect(0, &[]);
    assert!(unxz(&suite_file(&site, &format!("{of_main}.xz"))).contains("changed"));
    for index in divided {
        let before = &published["suites"]["daedalus"]["derived"][index];
        assert_eq!(&derived()[index], before, "{index}");
    }
    // All of contrib moves to main: the same names from the same archive.
    let moved = format!("{}\n\n{}", changed.trim_end(), main.index(of_contrib));
    main.set("Date", "Wed, 04 Feb 2026 00:00:00 UTC");
    main.put_index(of_main, moved.as_bytes());
    main.put_index(of_contrib, b"");
    main.sign();
    site.run(&["--allow-shrink"]).expect(0, &[]);
    let contents = contents(&site, "main/Contents-amd64.gz");
    assert!(contents.contains_key("usr/bin/z"), "{contents:?}");
}

#[test]
fn contents_beside_the_components_are_not_read_where_there_are_others() {
    let site = site();
    let mut main = site.main();
    main.set("Date", NEWER);
    let text = "usr/beside misc/main-only\n";
    main.add("Contents-amd64.gz", &gz(text.as_bytes()));
    main.sign();
    site.run(&[]).expect(0, &[]);
    let amd64 = contents(&site, "main/Contents-amd64.gz");
    assert!(!amd64.is_empty() && !amd64.contains_key("usr/beside"));
}

#[test]
fn files_of_no_family_are_named_once() {
    let site = site();
    let mut main = site.main();
    main.set("Date", NEWER);
    main.set("Architectures", "all amd64 arm64 kfreebsd-amd64");
    for path in [
        "main/foo/bar.xz",
        "main/foo/bar",
        "odd.gz",
        "main/installer-amd64/current/images/SHA256SUMS",
        // Known, or of what is not configured.
        "main/installer-arm64/current/images/SHA256SUMS",
        "main/installer-kfreebsd-amd64/current/images/SHA256SUMS",
        "main/binary-arm64/Packages.diff/Index",
        "main/i18n/Translation-tlh.xz",
        "main/cnf/Commands-arm64.xz",
        "unknown-component/foo/bar.xz",
    ] {
        main.mention(path, b"x");
    }
    main.sign();
    let said = site.run(&["-v"]);
    let words = "main bookworm lists files that belong to no family";
    said.expect(0, &[words, "main/foo/bar, main/installer-amd64"]);
    let report = site.root().join("log/unclaimed.txt");
    let named = "main,bookworm,main/foo/bar\n\
        main,bookworm,main/installer-amd64/current/images/SHA256SUMS\n\
        main,bookworm,odd\n";
    assert_eq!(fs::read_to_string(&report).unwrap(), named);
    // Not again in the next run, but status knows of it, as the record does.
    let again = site.run(&["-v"]);
    again.expect(0, &[]);
    assert!(!again.stderr.contains(words), "{}", again.stderr);
    assert!(!site.run(&[]).stderr.contains(words), "cron hears nothing");
    let status = site.aptmerge(&["status"]).stdout;
    assert!(
        status.contains("main bookworm lists 3 files of no family"),
        "{status}"
    );
    // It goes as it came.
    let mut main = site.main();
    main.set("Date", NEWEST);
    main.unlist("main/foo");
    main.unlist("main/installer-amd64");
    main.unlist("odd");
    main.sign();
    site.run(&["-v"]).expect(0, &[]);
    assert_eq!(fs::read_to_string(&report).unwrap(), "");
}

#[test]
fn odd_names_of_files_stay_in_their_column() {
    let site = site();
    let mut main = site.main();
    main.set("Date", NEWER);
    for path in ["main/a,b", "=cmd|\u{202e}x", "main/c++~1"] {
        main.mention(path, b"x");
    }
    main.sign();
    let said = site.run(&["-v"]);
    said.expect(
        0,
        &[
            "lists files that belong to no family",
            "=cmd|\\u{202e}x, main/a,b",
        ],
    );
    let named = "main,bookworm,'=cmd\\u{7c}\\u{202e}x\n\
        main,bookworm,'main/a\\u{2c}b\n\
        main,bookworm,main/c++~1\n";
    let report = site.root().join("log/unclaimed.txt");
    assert_eq!(fs::read_to_string(&report).unwrap(), named);
}

#[test]
fn text_that_is_not_utf8_is_passed_on_or_told_of_and_the_rest_goes_on() {
    let site = site();
    let mut main = site.main();
    main.set("Date", NEWER);
    let put = |main: &mut Suite, path: &str, text: &[u8]| {
        main.put(&format!("{path}.gz"), &gz(text));
        main.list(path, text);
    };
    // A path is bytes, whatever they mean.
    put(
        &mut main,
        "main/Contents-amd64",
        b"usr/no-utf8-\xff misc/main-only\nusr/z misc/main-only\n",
    );
    let dep11 = main.dir.join("main/dep11/Components-amd64.yml.gz");
    let dep11 = gunzip(&fs::read(dep11).unwrap());
    let mut yaml = dep11.clone().into_bytes();
    yaml.extend_from_slice(b"---\nID: x\nPackage: main-only\nName:\n  C: \xff\n");
    put(&mut main, "main/dep11/Components-amd64.yml", &yaml);
    let mut translation = main_translation(&site).into_bytes();
    let md5 = {
        let stanzas = unxz(&main.dir.join("main/binary-amd64/Packages.xz"));
        let stanza = crate::common::apt::stanzas(&stanzas)
            .into_iter()
            .find(|s| field(s, "Package") == Some("main-only"))
            .unwrap();
        field(&stanza, "Description-md5").unwrap().to_owned()
    };
    let odd = format!("\nPackage: main-only\nDescription-md5: {md5}\nDescription-en: ");
    translation.splice(0..0, [odd.as_bytes(), b"\xff\n .\n\n"].concat());
    let packages = main.index("main/binary-amd64/Packages").into_bytes();
    let packages = [
        b"Package: no-utf8\nVersion: 1\nArchitecture: amd64\nMaintainer: \xff\nFilename: pool/x\n\n",
        packages.as_slice(),
    ];
    main.put_index("main/binary-amd64/Packages", &packages.concat());
    main.put("main/i18n/Translation-en.xz", &xz(&translation));
    main.list("main/i18n/Translation-en", &translation);
    main.delete("main/i18n/Translation-en.bz2");
    main.sign();
    site.run(&[]).expect(
        0,
        &[
            "main bookworm main/dep11/Components-amd64.yml, line ",
            "main bookworm main/i18n/Translation-en, line 4: this is not UTF-8, it is passed on",
            "main bookworm main/binary-amd64/Packages, line 4: this is not UTF-8, it is passed on",
        ],
    );
    let published = gunzip_bytes(&fs::read(suite_file(&site, "main/Contents-amd64.gz")).unwrap());
    let has = |what: &[u8]| published.windows(what.len()).any(|w| w == what);
    assert!(has(b"usr/no-utf8-\xff "));
    let text = unxz(&suite_file(&site, "main/dep11/Components-amd64.yml.xz"));
    assert!(text.contains("Package: gfx-tool") && !text.contains("Package: main-only"));
    for index in ["main/i18n/Translation-en", "main/binary-amd64/Packages"] {
        let packed = fs::read(suite_file(&site, &format!("{index}.gz"))).unwrap();
        assert!(gunzip_bytes(&packed).contains(&0xff), "{index}");
    }
}

fn gunzip_bytes(data: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    flate2::read::GzDecoder::new(data)
        .read_to_end(&mut bytes)
        .unwrap();
    bytes
}
