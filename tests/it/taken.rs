//! The parts that are taken from an archive: its architectures, and its components under the names that the operator gives them.

use std::collections::BTreeMap;
use std::fs;

use crate::common::apt::{Apt, field};
use crate::common::programs::has;
use crate::common::site::Site;
use crate::common::upstream::{NEWEST, Suite, lay_out};

fn stanza(name: &str, architecture: &str, component: &str) -> String {
    format!(
        "Package: {name}\nVersion: 1.0\nArchitecture: {architecture}\nMaintainer: A <a@site.example>\nSection: {component}/misc\nDescription: words of {name}\nFilename: pool/{component}/{name}_1.0_{architecture}.deb\nSize: 1\nSHA256: {}\n\n",
        "0".repeat(64)
    )
}

fn source(name: &str, component: &str) -> String {
    format!(
        "Package: {name}\nVersion: 1.0\nArchitecture: any\nMaintainer: A <a@site.example>\nBinary: {name}\nDirectory: pool/{component}/{name}\nFormat: 1.0\nFiles:\n {} 1 {name}_1.0.dsc\nChecksums-Sha256:\n {} 1 {name}_1.0.dsc\n\n",
        "0".repeat(32),
        "0".repeat(64)
    )
}

type Files<'a> = &'a [(&'a str, String)];

/// Makes a suite of an archive of a site, signed with the key of `main`.
fn archive(site: &Site, name: &str, suite: &str, fields: &str, files: Files<'_>) {
    let dir = site.path(format!("archives/{name}/dists/{suite}"));
    let fields = format!("Suite: {suite}\nDate: {NEWEST}\n{fields}");
    let files: BTreeMap<String, String> = files
        .iter()
        .map(|(path, text)| ((*path).to_owned(), text.clone()))
        .collect();
    let key = site.path("keys/main.secret.asc");
    let time = "2026-02-01T00:00:00Z".parse().unwrap();
    fs::create_dir_all(&dir).unwrap();
    lay_out(&dir, &fields, &files, &key, time);
}

/// Returns a site of archives that `archive` makes, each with further lines of configuration, and of one suite.
fn site(archives: &[(&str, &str)], suite: &str, general: &str) -> Site {
    let site = Site::new();
    let names: Vec<_> = archives
        .iter()
        .map(|(name, _)| format!("{name:?}"))
        .collect();
    let mut text = format!(
        "root = \"site\"\npriority = [{}]\n{general}\n",
        names.join(", ")
    );
    for (name, lines) in archives {
        text += &format!(
            "[archives.{name}]\npool = \"{}\"\nuris = [\"file://{}/archives/{name}\"]\nsigned-by = \"keys/main.gpg\"\n{lines}\n",
            name.to_uppercase(),
            site.dir().display()
        );
    }
    let from: Vec<_> = archives
        .iter()
        .map(|(name, _)| format!("{name} = \"{suite}\""))
        .collect();
    text += &format!(
        "[suites.{suite}]\nfrom = {{ {} }}\n[signing]\nkey-file = \"keys/publish-a.secret.asc\"\n",
        from.join(", ")
    );
    site.write_config(&text);
    site
}

fn names(site: &Site, index: &str) -> Vec<String> {
    let stanzas = site.stanzas(index);
    let names = stanzas
        .iter()
        .map(|stanza| field(stanza, "Package").unwrap().to_owned());
    let mut names: Vec<_> = names.collect();
    names.sort();
    names
}

/// Makes two archives that list each other's architectures in one Release, as Ubuntu's do: each ships its own, and both those for all.
fn ubuntu(ports: &str, main: &str) -> Site {
    let site = site(
        &[("main", main), ("ports", ports)],
        "noble",
        "architectures = [\"amd64\", \"arm64\"]\nindices = [\"packages\"]",
    );
    let index = |a: &str| {
        stanza("hello", a, "main")
            + &stanza(&format!("only-{a}"), a, "main")
            + &stanza("data", "all", "main")
    };
    let of = |a: &str| (format!("main/binary-{a}/Packages"), index(a));
    let (amd64, arm64) = (of("amd64"), of("arm64"));
    for (name, missing) in [("main", &arm64.0), ("ports", &amd64.0)] {
        let fields = "Architectures: amd64 arm64\nComponents: main\n";
        // The index of the other architecture is in no archive with this text.
        let other = stanza(name, "all", "main");
        let text = |of: &(String, String)| match of.0 == *missing {
            true => other.clone(),
            false => of.1.clone(),
        };
        let files = [(&*amd64.0, text(&amd64)), (&*arm64.0, text(&arm64))];
        archive(&site, name, "noble", fields, &files);
        fs::remove_file(site.path(format!("archives/{name}/dists/noble/{missing}"))).unwrap();
    }
    site
}

#[test]
fn each_archive_is_asked_for_its_own_architectures() {
    let without = ubuntu("", "");
    without.run(&[]).expect(1, &["binary-arm64/Packages"]);
    let site = ubuntu("architectures = [\"arm64\"]", "architectures = [\"amd64\"]").publish();
    for architecture in ["amd64", "arm64"] {
        let index = format!("dists/noble/main/binary-{architecture}/Packages");
        let only = format!("only-{architecture}");
        assert_eq!(names(&site, &index), ["data", "hello", &only]);
        let mut stanzas = site.stanzas(&index).into_iter();
        let own = stanzas.find(|stanza| field(stanza, "Package") == Some("hello"));
        let own = own.unwrap();
        let pool = if architecture == "amd64" {
            "MAIN"
        } else {
            "PORTS"
        };
        assert!(
            own.contains(&format!("Filename: pool/{pool}/main/hello")),
            "{own}"
        );
    }
    let said = site.ok(&["explain", "hello"]);
    assert!(
        said.contains("arm64: from ports") && said.contains("amd64: from main"),
        "{said}"
    );
    site.run_without_news(&[]);
    if !(has("apt-get") && has("apt-cache")) {
        return;
    }
    let key = site.path("keys/publish.gpg");
    let (key, tree) = (key.display(), site.merged(""));
    let line = format!("deb [signed-by={key}] file:{} noble main\n", tree.display());
    let apt = Apt::new(&["amd64", "arm64"], &line, "");
    apt.ok("apt-get", &["update"]);
    for package in [
        "hello:amd64",
        "hello:arm64",
        "only-amd64",
        "only-arm64:arm64",
        "data",
    ] {
        assert_eq!(apt.candidate(package), "1.0", "{package}");
    }
}

#[test]
fn what_is_for_all_architectures_stays_with_those_that_are_taken() {
    // Packages for all architectures in an index of their own.
    let files = |name: &str| {
        let all = stanza(&format!("{name}-data"), "all", "main");
        [
            ("main/binary-all/Packages", all),
            ("main/binary-amd64/Packages", stanza(name, "amd64", "main")),
            ("main/binary-arm64/Packages", stanza(name, "arm64", "main")),
        ]
    };
    let make = |lines: &str| {
        let general = "architectures = [\"all\", \"amd64\", \"arm64\"]\nindices = [\"packages\"]";
        let site = site(&[("one", lines), ("two", "")], "sid", general);
        for name in ["one", "two"] {
            let fields = "Architectures: all amd64 arm64\nComponents: main\n";
            archive(&site, name, "sid", fields, &files(name));
        }
        let site = site.publish();
        let index = |a| names(&site, &format!("dists/sid/main/binary-{a}/Packages"));
        ["all", "amd64", "arm64"].map(index)
    };
    let of = |names: &[&str]| names.iter().map(|n| (*n).to_owned()).collect::<Vec<_>>();
    let all = of(&["one-data", "two-data"]);
    let both = of(&["one", "one-data", "two", "two-data"]);
    let second = of(&["two", "two-data"]);
    assert_eq!(make(""), [all.clone(), both.clone(), both.clone()]);
    assert_eq!(
        make("architectures = [\"amd64\"]"),
        [all.clone(), both, second]
    );
    let only_all = of(&["one-data", "two", "two-data"]);
    assert_eq!(
        make("architectures = [\"all\"]"),
        [all, only_all.clone(), only_all]
    );
}

/// Returns every family of a component of an archive.
fn families(component: &str, package: &str) -> Vec<(String, String)> {
    let md5 = hex::encode(md5(&format!("words of {package}\n")));
    [
        ("binary-amd64/Packages", stanza(package, "amd64", component)),
        ("source/Sources", source(package, component)),
        ("Contents-amd64", format!("usr/bin/{package} {component}/misc/{package}\n")),
        (
            "i18n/Translation-de",
            format!("Package: {package}\nDescription-md5: {md5}\nDescription-de: Wörter von {package}\n\n"),
        ),
        (
            "dep11/Components-amd64.yml",
            format!("---\nFile: DEP-11\nVersion: '0.16'\nOrigin: o-{component}\nMediaBaseUrl: https://media.example/{component}\n---\nType: desktop-application\nID: {package}.desktop\nPackage: {package}\nIcon:\n  remote:\n  - url: {package}.png\n"),
        ),
        (
            "cnf/Commands-amd64",
            format!("suite: x\ncomponent: {component}\narch: amd64\n\nname: {package}\nversion: 1.0\ncommands: {package}\n\n"),
        ),
    ]
    .map(|(path, text)| (format!("{component}/{path}"), text))
    .to_vec()
}

fn md5(text: &str) -> [u8; 16] {
    use md5::Digest;
    md5::Md5::digest(text).into()
}

const ALL_FAMILIES: &str = "indices = [\"packages\", \"sources\", \"contents\", \"translations\", \"dep11\", \"commands\"]";

/// Makes an archive with the components `stable`, `test` and `edge`.
fn vendor(lines: &str) -> Site {
    let general = format!(
        "components = [\"main\", \"contrib\"]\narchitectures = [\"amd64\"]\n{ALL_FAMILIES}"
    );
    let site = site(&[("vendor", lines)], "bookworm", &general);
    let components = ["stable", "test", "edge"];
    let files = components
        .map(|c| families(c, &format!("{c}-tool")))
        .concat();
    let files: Vec<_> = files
        .iter()
        .map(|(path, text)| (path.as_str(), text.clone()))
        .collect();
    let fields = "Architectures: amd64\nComponents: stable test edge\n";
    archive(&site, "vendor", "bookworm", fields, &files);
    site
}

#[test]
fn several_components_of_an_archive_become_one_of_ours() {
    let site = vendor("components = { stable = \"main\", test = \"main\", edge = \"contrib\" }");
    let site = site.publish();
    let dists = "dists/bookworm";
    let release = fs::read_to_string(site.merged("dists/bookworm/Release")).unwrap();
    assert!(
        release.contains("\nComponents: main contrib\n"),
        "{release}"
    );
    assert!(!release.contains("stable/"), "{release}");
    let both = ["stable-tool", "test-tool"];
    for (component, tools) in [("main", &both[..]), ("contrib", &["edge-tool"])] {
        for index in [
            "binary-amd64/Packages",
            "source/Sources",
            "i18n/Translation-de",
        ] {
            let index = format!("{dists}/{component}/{index}");
            assert_eq!(names(&site, &index), tools, "{index}");
        }
        let index = |index: &str| site.index(&format!("{dists}/{component}/{index}"));
        let contents = index("Contents-amd64");
        let commands = index("cnf/Commands-amd64");
        let dep11 = index("dep11/Components-amd64.yml");
        assert!(commands.starts_with(&format!("suite: bookworm\ncomponent: {component}\n")));
        for tool in tools {
            // The section of a package is the archive's own word, in Packages as in Contents.
            let component = tool.strip_suffix("-tool").unwrap();
            assert!(
                contents.contains(&format!(" {component}/misc/{tool}\n")),
                "{contents}"
            );
            assert!(commands.contains(&format!("name: {tool}\n")), "{commands}");
            let url = match tools.len() {
                1 => format!("url: {tool}.png"),
                _ => format!("url: https://media.example/{component}/{tool}.png"),
            };
            assert!(dep11.contains(&url), "{dep11}");
        }
        assert_eq!(contents.lines().count(), tools.len(), "{contents}");
        assert_eq!(dep11.matches("Package: ").count(), tools.len(), "{dep11}");
    }
    let stanza = site
        .stanzas("dists/bookworm/main/binary-amd64/Packages")
        .remove(0);
    assert!(
        stanza.contains("Filename: pool/VENDOR/stable/stable-tool_1.0_amd64.deb"),
        "{stanza}"
    );
    assert!(stanza.contains("Section: stable/misc"), "{stanza}");
    let said = site.ok(&["explain", "test-tool"]);
    assert!(said.contains("1.0 of vendor (main): published"), "{said}");

    // A change of one part is a change of ours, and the messages speak of the archive's names.
    let mut suite = Suite::open(&site, "vendor", "bookworm");
    suite.key = site.path("keys/main.secret.asc");
    let more =
        suite_text(&suite, "test/i18n/Translation-de") + "Package: bad\nDescription-de: x\n\n";
    suite.set("Date", "Wed, 04 Feb 2026 00:00:00 UTC");
    suite.put("test/i18n/Translation-de", more.as_bytes());
    suite.sign();
    site.run(&[])
        .expect(0, &["vendor bookworm test/i18n/Translation-de, line "]);
}

fn suite_text(suite: &Suite, path: &str) -> String {
    fs::read_to_string(suite.dir.join(path)).unwrap()
}

#[test]
fn an_archive_is_narrowed_to_components() {
    let site = vendor("components = [\"edge\"]");
    site.expect(78, &["run"]);
    site.configure("[\"main\", \"contrib\"]", "[\"edge\", \"test\"]");
    let said = site.run(&[]);
    said.expect(0, &["no archive of it has the component `test`"]);
    assert_eq!(
        names(&site, "dists/bookworm/edge/binary-amd64/Packages"),
        ["edge-tool"]
    );
    assert_eq!(
        names(&site, "dists/bookworm/test/binary-amd64/Packages").len(),
        0
    );
    // Files that nobody asks for may be missing.
    fs::remove_dir_all(site.path("archives/vendor/dists/bookworm/test")).unwrap();
    site.run_without_news(&[]);
    // Another map makes the suite anew.
    site.configure(
        "components = [\"edge\"]",
        "components = { edge = \"test\" }",
    );
    site.run(&[])
        .expect(0, &["no archive of it has the component `edge`"]);
    assert_eq!(
        names(&site, "dists/bookworm/test/binary-amd64/Packages"),
        ["edge-tool"]
    );
    assert_eq!(site.ok(&["verify"]).matches("it holds").count(), 1);
}

#[test]
fn a_component_or_architecture_that_nobody_has_is_told() {
    let site = vendor(
        "components = { stable = \"main\", tset = \"contrib\" }\narchitectures = [\"amd64\", \"arm64\"]",
    );
    site.configure(
        "architectures = [\"amd64\"]",
        "architectures = [\"all\", \"amd64\", \"arm64\", \"adm64\"]",
    );
    let told = [
        "no archive of it has the component `contrib`",
        "no archive of it has the architecture `adm64`",
        "no archive of it has the architecture `arm64`",
        "`bookworm` of archive `vendor` has no component `tset`",
        "`bookworm` of archive `vendor` has no architecture `arm64`",
    ];
    let before = site.ok(&["config", "check"]);
    assert!(
        !before.contains("warning"),
        "nothing was fetched yet: {before}"
    );
    let told_by_run: Vec<_> = told
        .iter()
        .map(|line| format!("suite bookworm: {line}"))
        .collect();
    let told_by_run: Vec<_> = told_by_run.iter().map(String::as_str).collect();
    site.run(&[]).expect(0, &told_by_run);
    let checked = site.ok(&["config", "check"]);
    for line in told {
        assert!(
            checked.contains(&format!("warning: suites.bookworm: {line}")),
            "{checked}"
        );
    }
    assert_eq!(checked.matches("warning").count(), told.len(), "{checked}");
    assert_eq!(
        site.run_without_news(&[]).stderr,
        "",
        "it is told when the suite is made"
    );
    // Packages that are for all architectures are packages of each of them.
    let fields = "Architectures: all\nComponents: stable test edge\n";
    let files = [(
        "stable/binary-all/Packages",
        stanza("font", "all", "stable"),
    )];
    let other = vendor("components = { stable = \"main\" }");
    other.configure("[\"main\", \"contrib\"]", "[\"main\"]");
    fs::remove_dir_all(other.path("archives/vendor")).unwrap();
    archive(&other, "vendor", "bookworm", fields, &files);
    let said = other.run(&[]);
    said.expect(0, &[]);
    assert_eq!(said.stderr, "");
    assert_eq!(
        names(&other, "dists/bookworm/main/binary-amd64/Packages"),
        ["font"]
    );
}
