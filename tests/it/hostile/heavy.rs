//! Small files that cost much: work and memory that grow faster than what an archive signs.

use super::catalogue::{PACKAGES, check, run, signed};
use crate::common::site::Site;
use crate::common::upstream::{NEWER, Suite, gz, stanza};

const COMPONENTS: &str = "main/dep11/Components-amd64.yml";
const CONTENTS: &str = "main/Contents-amd64";

/// A site whose main archive has a package `gadget`, and takes over some families; main is yet to be signed.
fn site(indices: &str) -> (Site, Suite) {
    let site = Site::new();
    site.change_config("[\"packages\", \"sources\"]", indices);
    let mut suite = site.main();
    suite.set("Date", NEWER);
    suite.append_stanza("main/binary-amd64/Packages", &stanza("gadget"));
    (site, suite)
}

/// Puts an index in the place of the one that the suite has, if it has one.
fn put(suite: &mut Suite, path: &str, text: &[u8]) {
    suite.unlist(path);
    suite.add(&format!("{path}.gz"), &gz(text));
    suite.mention(path, text);
}

#[test]
fn a_release_of_many_architectures_and_deep_paths() {
    let (site, mut suite) = site("[\"packages\"]");
    let mut architectures = String::from("all amd64 arm64");
    for n in 0..400_000 {
        // No line longer than what can be signed.
        let between = if n % 1_000 == 0 { "\n " } else { " " };
        architectures.push_str(&format!("{between}{n:x}"));
    }
    suite.set("Architectures", &architectures);
    let deep = "a/".repeat(490);
    let hash = "0".repeat(64);
    for n in 0..3_000 {
        suite.body.push_str(&format!(" {hash} 1 main/{deep}{n}\n"));
    }
    suite.sign();
    run(&site, &[]).expect(0, &[]);
}

#[test]
fn a_component_with_many_addresses_in_one_line() {
    let (site, mut suite) = site("[\"packages\", \"dep11\"]");
    let mut text =
        String::from("---\nFile: DEP-11\nVersion: '0.16'\nMediaBaseUrl: https://site.example/a\n");
    let urls = "{url: a}, ".repeat(100_000);
    for id in ["a", "b"] {
        text.push_str(&format!(
            "---\nPackage: gadget\nID: {id}\nIcon:\n  remote: [{urls}]\n"
        ));
    }
    put(&mut suite, COMPONENTS, text.as_bytes());
    suite.sign();
    run(&site, &[]).expect(0, &[]);
}

/// A path in each line of an index that fills gigabytes would fill them in memory.
#[test]
fn a_path_with_more_packages_than_a_line_has_room_for() {
    let (site, mut suite) = site("[\"packages\", \"contents\"]");
    let mut text = String::new();
    for n in 0..10_000 {
        text.push_str(&format!("usr/bin/x {n}/gadget\n"));
    }
    text.push_str("usr/bin/y admin/gadget\n");
    put(&mut suite, CONTENTS, text.as_bytes());
    suite.sign();
    run(&site, &[]).expect(0, &["1 paths have more packages than a line has room for"]);
    let published = site.index("dists/daedalus/main/Contents-amd64");
    assert!(published.len() < 100_000, "{}", published.len());
    assert!(published.contains("usr/bin/y ") && published.contains("0/gadget,1/gadget"));
}

/// Half a gigabyte of the smallest components packs into less than a megabyte, and would be read as several gigabytes.
#[test]
fn more_small_components_than_memory_has_room_for() {
    let (site, mut suite) = site("[\"packages\", \"dep11\"]");
    site.change_config("[\"packages\", \"sources\"]", "[\"packages\", \"dep11\"]");
    let config = std::fs::read_to_string(site.path("aptmerge.toml")).unwrap();
    let bound = "restarts = 0\nmax-memory = \"64 MiB\"";
    site.write_config(&config.replace("restarts = 0", bound));
    let text = "---\nFile: DEP-11\nVersion: '0.16'\n".to_owned()
        + &"---\nPackage: gadget\nID: a\n".repeat(400_000);
    put(&mut suite, COMPONENTS, text.as_bytes());
    suite.sign();
    run(&site, &[]).expect(1, &["of memory", "raise fetch.max-memory"]);
}

#[test]
fn icons_with_names_that_fill_memory() {
    let (site, mut suite) = site("[\"packages\", \"dep11\"]");
    let mut icons = tar::Builder::new(Vec::new());
    for name in [
        "gadget_a.png".to_owned(),
        format!("gadget_{}", "x".repeat(60_000)),
    ] {
        let mut header = tar::Header::new_gnu();
        header.set_size(1);
        header.set_mode(0o644);
        icons.append_data(&mut header, name, &b"x"[..]).unwrap();
    }
    let path = "main/dep11/icons-64x64.tar";
    put(&mut suite, path, &icons.into_inner().unwrap());
    suite.sign();
    run(&site, &[]).expect(0, &["is no icon; it is left out"]);
}

#[test]
fn more_versions_of_a_name_than_apt_reads_in_a_short_time() {
    let words = ["more versions of `gadget` than apt can read"];
    check(&[
        signed("10,001 short ones", &words, |suite| {
            let versions = (0..10_001)
                .map(|n| stanza("gadget").replace("Version: 1.0", &format!("Version: {n}")) + "\n");
            suite.put_index(PACKAGES, versions.collect::<String>().as_bytes());
        }),
        signed("7 long ones", &words, |suite| {
            let versions = (0..7).map(|n| {
                let version = format!("Version: {}{n}", "1".repeat(60_000));
                stanza("gadget").replace("Version: 1.0", &version) + "\n"
            });
            suite.put_index(PACKAGES, versions.collect::<String>().as_bytes());
        }),
    ]);
}

#[test]
fn more_names_of_binaries_than_memory_has_room_for() {
    let path = "main/source/Sources";
    check(&[signed(
        "34 MiB of names",
        &["the fields `Binary`"],
        move |suite| {
            let list = "a, ".repeat(300_000);
            let sources = (0..38).map(|n| {
            format!("Package: s{n}\nVersion: 1\nArchitecture: any\nBinary: {list}b\nDirectory: pool/s{n}\n\n")
        });
            suite.put_index(path, sources.collect::<String>().as_bytes());
        },
    )]);
}
