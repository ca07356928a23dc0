//! Archives of another shape: flat ones, ones whose components have other names, ones that list what others ship.

use super::archive::{Archive, PACKAGES, SOURCES};
use super::catalogue::{Entry, check, odd};

const BOTH: &[&str] = &["odd 1.0", "src:odd 1.0"];
const FOREIGN: &[&str] = &["odd:arm64 1.0", "odd-too:riscv64 1.0"];

/// Begins an entry: a flat archive in a directory, with a package and a source `odd`, changed in some way.
fn flat(
    name: &str,
    directory: &'static str,
    change: impl Fn(&mut Archive) + Sync + 'static,
) -> Entry {
    odd(name, move |archive| {
        archive.flatten(directory);
        let (binary, source) = (archive.binary("odd"), archive.source("odd"));
        archive.packages(binary);
        archive.sources(source);
        change(archive);
    })
    .reads(BOTH)
}

/// Moves the file of a package or source `odd` to another path.
fn lies(archive: &mut Archive, from: &str, to: &str) {
    let file = archive.files.remove(from).unwrap();
    archive.files.insert(to.to_owned(), file);
}

/// Changes the text of an index.
fn replace(archive: &mut Archive, index: &str, from: &str, to: &str) {
    let text = archive.indices.get_mut(index).unwrap();
    let old = String::from_utf8(text.clone()).unwrap();
    assert!(old.contains(from), "{from}");
    *text = old.replacen(from, to, 1).into_bytes();
}

#[test]
fn flat_archives() {
    check(vec![
        flat("a flat archive", "./", |_| {}).passes(),
        flat("a flat archive at a slash", "/", |_| {}).passes(),
        flat("a flat archive in a directory", "debian12/x86_64/", |_| {})
            .apt_says(&["Conflicting distribution"])
            .passes(),
        flat(
            "a flat Release without Suite and Codename",
            "./",
            |archive| {
                archive.fields = archive.fields.replace("Suite: odd\nCodename: odd\n", "");
            },
        )
        .passes(),
        flat(
            "a flat Release without Architectures and Components",
            "./",
            |archive| {
                let fields = archive.fields.replace("Architectures: amd64\n", "");
                archive.fields = fields.replace("Components: main\n", "");
            },
        )
        .passes(),
        flat(
            "a flat Release that names other components",
            "./",
            |archive| {
                archive.fields = archive
                    .fields
                    .replace("Components: main", "Components: x y");
            },
        )
        .passes(),
        flat(
            "a flat archive whose paths begin with ./",
            "./",
            |archive| {
                lies(archive, "pool/odd.deb", "odd.deb");
                replace(archive, PACKAGES, "pool/odd.deb", "./odd.deb");
                lies(archive, "pool/odd/odd_1.0.dsc", "odd_1.0.dsc");
                replace(archive, SOURCES, "Directory: pool/odd", "Directory: ./");
            },
        )
        .passes(),
        flat(
            "a flat archive whose paths begin with a slash",
            "./",
            |archive| {
                replace(archive, PACKAGES, "pool/odd.deb", "/pool/odd.deb");
                replace(
                    archive,
                    SOURCES,
                    "Directory: pool/odd",
                    "Directory: /pool/odd",
                );
            },
        )
        .passes(),
        flat(
            "a flat archive whose paths count from the URI",
            "deb/",
            |archive| {
                lies(archive, "pool/odd.deb", "deb/odd.deb");
                replace(archive, PACKAGES, "pool/odd.deb", "deb/odd.deb");
                lies(archive, "pool/odd/odd_1.0.dsc", "deb/odd_1.0.dsc");
                replace(archive, SOURCES, "Directory: pool/odd", "Directory: deb");
            },
        )
        .apt_says(&["Conflicting distribution"])
        .passes(),
        flat("flat sources without a Directory", "./", |archive| {
            lies(archive, "pool/odd/odd_1.0.dsc", "odd_1.0.dsc");
            replace(archive, SOURCES, "Directory: pool/odd\n", "");
        })
        .passes(),
        flat("a flat package for all architectures", "./", |archive| {
            let stanza = archive.binary("odd-data");
            archive.packages(stanza.replace("amd64", "all"));
        })
        .reads(&["odd 1.0", "odd-data 1.0", "src:odd 1.0"])
        .passes(),
        // apt knows packages of any architecture that stand in the one file; a suite has those of its own.
        odd("flat packages of other architectures", |archive| {
            archive.flatten("./");
            let stanza = archive.binary("odd");
            archive.packages(stanza.replace("amd64", "arm64"));
            let stanza = archive.binary("odd-too");
            archive.packages(stanza.replace("amd64", "riscv64"));
        })
        .reads(FOREIGN)
        .leaves_out(FOREIGN, &[]),
        flat("one flat package in two versions", "./", |archive| {
            let stanza = archive.binary("odd-too");
            archive.packages(stanza.replace(": odd-too", ": odd").replace("1.0", "2.0"));
        })
        .reads(&["odd 1.0", "odd 2.0", "src:odd 1.0"])
        .passes(),
        flat("a flat Release that lists itself", "./", |archive| {
            archive.append("Release", "Origin: Odd\n");
        })
        .passes(),
        flat(
            "a flat stanza with an underscore in its version",
            "./",
            |archive| {
                replace(
                    archive,
                    PACKAGES,
                    "Package: odd\nVersion: 1.0",
                    "Package: odd\nVersion: 1.0_1",
                );
            },
        )
        .reads(&["odd 1.0_1", "src:odd 1.0"])
        .passes(),
        flat("a flat index with carriage returns", "./", |archive| {
            archive.index = Box::new(|_, text| {
                String::from_utf8(text)
                    .unwrap()
                    .replace('\n', "\r\n")
                    .into_bytes()
            });
        })
        .passes(),
        odd("a flat stanza that climbs", |archive| {
            archive.flatten("./");
            let stanza = archive.binary("odd");
            archive.packages(stanza.replace("pool/", "../pool/"));
        })
        .reads(&["odd 1.0"])
        .cannot_get(&["odd 1.0"])
        .leaves_out(&["odd 1.0"], &["`odd` 1.0 of odd", "it climbs"]),
    ]);
}

/// Begins an entry: an archive whose component has another name, and that is taken with these settings.
fn component(name: &str, theirs: &'static str, settings: &'static str) -> Entry {
    odd(name, move |archive| {
        archive.call_component(theirs);
        archive.fields = archive
            .fields
            .replace("Components: main", &format!("Components: {theirs}"));
        let settings = format!("{settings}\n\n[suites.merged]");
        archive.config = Box::new(move |text| text.replace("\n[suites.merged]", &settings));
    })
    .reads(&[])
}

#[test]
fn components_and_architectures() {
    let stable = "components = { stable = \"main\" }";
    check(vec![
        component("a component of another name", "stable", stable).passes(),
        component(
            "a component that is a version",
            "v1.30",
            "components = { \"v1.30\" = \"main\" }",
        )
        .passes(),
        component(
            "a component that the archive does not have",
            "stable",
            "components = { stable = \"main\", edge = \"main\" }",
        )
        .passes_with(&["`odd` of archive `odd` has no component `edge`"]),
        odd(
            "a Release with an architecture that is not shipped",
            |archive| {
                archive.fields = archive.fields.replace("amd64", "amd64 arm64");
                let text = archive.indices[PACKAGES].clone();
                archive
                    .indices
                    .insert("main/binary-arm64/Packages".into(), text);
                archive.behave(|path| path.contains("arm64").then(|| (404, Vec::new())));
                archive.config = Box::new(|text| {
                    let text = text.replace("\"amd64\"]", "\"amd64\", \"arm64\"]");
                    text.replace(
                        "\n[suites.merged]",
                        "architectures = [\"amd64\"]\n\n[suites.merged]",
                    )
                });
            },
        )
        .reads(&[])
        .passes_with(&["no archive of it has the architecture `arm64`"]),
        odd(
            "a Release with a component that is not shipped",
            |archive| {
                archive.fields = archive
                    .fields
                    .replace("Components: main", "Components: main contrib");
            },
        )
        .reads(&[])
        .passes(),
        odd(
            "a Release without Components and Architectures",
            |archive| {
                let fields = archive.fields.replace("Architectures: amd64\n", "");
                archive.fields = fields.replace("Components: main\n", "");
            },
        )
        .reads(&[])
        .passes(),
    ]);
}
