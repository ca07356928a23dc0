//! Whose package a name is: what an archive may do to speak for another's, judged by what a real apt then takes.

use std::fs;

use super::catalogue::{PACKAGES, run};
use crate::common::apt::Apt;
use crate::common::programs::has;
use crate::common::site::Site;
use crate::common::upstream::{NEWER, Suite, stanza};

/// A stanza in another version, and perhaps for another architecture.
pub(crate) fn package(name: &str, version: &str, architecture: &str) -> String {
    stanza(name)
        .replace("Version: 1.0", &format!("Version: {version}"))
        .replace("_1.0_amd64", &format!("_{version}_{architecture}"))
        .replace(
            "Architecture: amd64",
            &format!("Architecture: {architecture}"),
        )
}

/// Adds stanzas to indices of a suite and signs it.
pub(crate) fn publish(mut suite: Suite, date: &str, stanzas: &[(&str, String)]) {
    suite.set("Date", date);
    for (index, stanza) in stanzas {
        suite.append_stanza(index, stanza);
    }
    suite.sign();
}

/// A client of what a site publishes, up to date; `None` where there is no apt.
pub(crate) fn client(site: &Site, architectures: &[&str]) -> Option<Apt> {
    if !has("apt-get") || !has("apt-cache") {
        return None;
    }
    let merged = site.root().join("merged");
    let merged = merged.display();
    let keys = site.path("keys/publish.gpg");
    let by = format!("[signed-by={}]", keys.display());
    let sources =
        format!("deb {by} file:{merged} daedalus main\ndeb-src {by} file:{merged} daedalus main\n");
    let apt = Apt::new(architectures, &sources, "Acquire::Languages \"none\";");
    apt.ok("apt-get", &["update"]);
    Some(apt)
}

#[test]
fn a_name_is_the_same_in_any_case() {
    let site = Site::new();
    let config = site.config().replace(
        "[\"packages\", \"sources\"]",
        "[\"packages\", \"sources\", \"contents\"]",
    );
    let rules = "[bans]\npackages = [\"Evil\"]\n[[pin]]\npackages = [\"PINNED-*\"]\narchive = \"overlay\"\n\
                 [archives.main.exclude]\npackages = [\"un[V-X]anted\"]\n";
    site.write_config(&format!("{config}\n{rules}"));
    let mut overlay = site.overlay();
    let contents = overlay.index("main/Contents-amd64") + "zz/odd admin/ODD-TOOL\n";
    overlay.list("main/Contents-amd64", contents.as_bytes());
    overlay.put(
        "main/Contents-amd64.gz",
        &crate::common::upstream::gz(contents.as_bytes()),
    );
    publish(
        overlay,
        NEWER,
        &[
            (PACKAGES, package("odd-tool", "1.0", "amd64")),
            (PACKAGES, package("pinned-a", "1.0", "amd64")),
            (PACKAGES, package("TWICE", "1.0", "amd64")),
            (PACKAGES, package("twice", "1.1", "amd64")),
        ],
    );
    publish(
        site.main(),
        NEWER,
        &[
            (PACKAGES, package("Odd-Tool", "999", "amd64")),
            (PACKAGES, package("eVIL", "999", "amd64")),
            (
                PACKAGES,
                package("needs-it", "1.0", "amd64") + "Depends: EVil (>= 1)\n",
            ),
            (PACKAGES, package("Pinned-A", "999", "amd64")),
            (PACKAGES, package("unWanted", "999", "amd64")),
            (PACKAGES, package("New-Name", "1.0", "amd64")),
        ],
    );
    run(&site, &[]).expect(0, &[]);
    site.aptmerge(&["verify"]).expect(0, &[]);
    let text = site.index("dists/daedalus/main/binary-amd64/Packages");
    assert!(text.contains("Package: New-Name\n") && text.contains("Package: TWICE\n"));
    assert!(!text.contains("Version: 999"), "{text}");
    let text = site.index("dists/daedalus/main/Contents-amd64");
    assert!(text.contains("admin/ODD-TOOL\n"), "{text}");
    let banned = fs::read_to_string(site.root().join("log/bannedpackages.txt")).unwrap();
    assert!(banned.contains("daedalus,evil\n") && banned.contains("daedalus,needs-it\n"));
    for name in ["odd-tool", "Odd-Tool"] {
        let told = site.aptmerge(&["explain", name]);
        told.expect(0, &[]);
        let words = "999 of main (main): hidden by overlay";
        assert!(told.stdout.contains(words), "{}", told.stdout);
    }
    let Some(apt) = client(&site, &["amd64"]) else {
        return;
    };
    for (name, version) in [
        ("odd-tool", "1.0"),
        ("pinned-a", "1.0"),
        ("twice", "1.1"),
        ("new-name", "1.0"),
        ("evil", "unknown"),
        ("needs-it", "unknown"),
        ("unwanted", "unknown"),
    ] {
        assert_eq!(apt.candidate(name), version, "{name}");
    }
    // Within one archive all versions stay, each in the case that it has.
    let versions = apt.ok("apt-cache", &["madison", "twice"]);
    assert_eq!(versions.lines().count(), 2, "{versions}");
}

/// Sources are one name space with what is built from them: apt looks for the source of `odd-tool` by that name.
#[test]
fn a_source_is_the_same_in_any_case() {
    let site = Site::new();
    let source = |name: &str, version: &str| {
        format!(
            "Package: {name}\nBinary: {name}\nVersion: {version}\nDirectory: pool/main/{name}\nFiles:\n {} 1 {name}_{version}.dsc\nChecksums-Sha256:\n {} 1 {name}_{version}.dsc\nArchitecture: any\n",
            "0".repeat(32),
            "0".repeat(64)
        )
    };
    let index = "main/source/Sources";
    publish(
        site.overlay(),
        NEWER,
        &[
            (index, source("odd-tool", "1.0")),
            (PACKAGES, package("odd-tool", "1.0", "amd64")),
        ],
    );
    let with_source = package("odd-extra", "1.0", "amd64") + "Source: ODD-Tool (1.0)\n";
    publish(
        site.main(),
        NEWER,
        &[(index, source("Odd-Tool", "999")), (PACKAGES, with_source)],
    );
    run(&site, &[]).expect(0, &[]);
    let text = site.index("dists/daedalus/main/source/Sources");
    assert!(
        text.contains("odd-tool_1.0.dsc") && !text.contains("Version: 999"),
        "{text}"
    );
    let told = site.aptmerge(&["explain", "odd-TOOL", "--architecture", "source"]);
    let words = "999 of main (main): hidden by overlay";
    assert!(told.stdout.contains(words), "{}", told.stdout);
    let Some(apt) = client(&site, &["amd64"]) else {
        return;
    };
    let found = apt.ok("apt-get", &["source", "--print-uris", "odd-tool"]);
    assert!(found.contains("odd-tool_1.0.dsc"), "{found}");
}

const ARM64: &str = "main/binary-arm64/Packages";

/// The candidates of a client with two architectures, whichever of them is its own.
#[track_caller]
fn expect_candidates(site: &Site, expected: &[(&str, [&str; 2])]) {
    for (number, architectures) in [["amd64", "arm64"], ["arm64", "amd64"]].iter().enumerate() {
        let Some(apt) = client(site, architectures) else {
            return;
        };
        for (name, candidates) in expected {
            let found = apt.candidate(name);
            assert_eq!(found, candidates[number], "{name} on {}", architectures[0]);
        }
    }
}

/// For apt, what is `Architecture: all` is a version of the native package, whichever index it stands in.
#[test]
fn who_has_a_name_in_one_architecture_has_its_all_in_every_one() {
    let site = Site::new();
    site.change_config("\"amd64\"]", "\"amd64\", \"arm64\"]");
    publish(
        site.overlay(),
        NEWER,
        &[
            (PACKAGES, package("native-fork", "1.0", "amd64")),
            (PACKAGES, package("other-native", "1.0", "amd64")),
            (PACKAGES, package("all-fork-here", "1.0", "all")),
            (ARM64, package("all-fork-there", "1.0", "all")),
            (PACKAGES, package("all-new", "1.0", "all")),
        ],
    );
    publish(
        site.main(),
        NEWER,
        &[
            (ARM64, package("native-fork", "999", "all")),
            (ARM64, package("other-native", "999", "arm64")),
            (ARM64, package("all-fork-here", "999", "all")),
            (PACKAGES, package("all-fork-there", "999", "amd64")),
            (ARM64, package("all-below", "999", "all")),
        ],
    );
    run(&site, &[]).expect(0, &[]);
    site.aptmerge(&["verify"]).expect(0, &[]);
    expect_candidates(
        &site,
        &[
            ("native-fork", ["1.0", "1.0"]),
            // For apt these are two packages, and each archive has its own.
            ("other-native", ["1.0", "999"]),
            ("other-native:arm64", ["999", "999"]),
            ("all-fork-here", ["1.0", "1.0"]),
            ("all-fork-there", ["1.0", "1.0"]),
            ("all-new", ["1.0", "1.0"]),
            ("all-below", ["999", "999"]),
        ],
    );
    let index = |architecture| {
        site.index(&format!(
            "dists/daedalus/main/binary-{architecture}/Packages"
        ))
    };
    // What the owner has in one index only takes the place of what it hides in the others, and no other place.
    for name in ["all-fork-here", "all-fork-there"] {
        for architecture in ["all", "amd64", "arm64"] {
            let found = index(architecture).contains(&format!("Package: {name}\nVersion: 1.0\n"));
            assert!(found, "{name} {architecture}");
        }
    }
    assert!(!index("arm64").contains("Package: all-new\n"));
    assert!(!index("all").contains("native-fork"));
    let told = site.aptmerge(&["explain", "native-fork"]);
    let words = "arm64: gone; it belongs to overlay, the first that has it\n    999 of main (main): hidden by overlay";
    assert!(told.stdout.contains(words), "{}", told.stdout);
    let told = site.aptmerge(&["explain", "all-fork-there", "--architecture", "amd64"]);
    let words = "999 of main (main): hidden by overlay";
    assert!(told.stdout.contains(words), "{}", told.stdout);
    let words = "amd64: from overlay, the first that has it\n    1.0 of overlay (main): published";
    assert!(told.stdout.contains(words), "{}", told.stdout);
}

#[test]
fn newest_and_pins_give_a_name_for_all_to_one_archive_too() {
    let site = Site::new();
    let config = site.config().replace("\"amd64\"]", "\"amd64\", \"arm64\"]");
    let config = config.replace("priority =", "strategy = \"newest\"\npriority =");
    let pins = "[[pin]]\npackages = [\"pinned\"]\narchive = \"main\"\n\
                [[pin]]\npackages = [\"pinned-there\"]\narchive = \"main\"\narchitectures = [\"arm64\"]\n";
    site.write_config(&format!("{config}\n{pins}"));
    publish(
        site.overlay(),
        NEWER,
        &[
            (PACKAGES, package("newest", "3.0", "amd64")),
            (ARM64, package("newest", "1.0", "arm64")),
            (ARM64, package("pinned", "999", "all")),
            (PACKAGES, package("pinned-there", "2.0", "all")),
            (ARM64, package("pinned-there", "2.0", "all")),
        ],
    );
    publish(
        site.main(),
        NEWER,
        &[
            (ARM64, package("newest", "2.0", "all")),
            (PACKAGES, package("pinned", "1.0", "amd64")),
            (ARM64, package("pinned-there", "1.0", "all")),
        ],
    );
    run(&site, &[]).expect(0, &[]);
    expect_candidates(
        &site,
        &[("newest", ["3.0", "1.0"]), ("pinned", ["1.0", "1.0"])],
    );
    // A pin for an architecture is the operator's word on it.
    let index = site.index("dists/daedalus/main/binary-arm64/Packages");
    assert!(index.contains("Package: pinned-there\nVersion: 1.0\n"));
    assert!(!index.contains("Version: 999\n"));
    let told = site.aptmerge(&["explain", "pinned", "--architecture", "arm64"]);
    let words =
        "it belongs to main, pinned by [[pin]] 1\n    999 of overlay (main): hidden by main";
    assert!(told.stdout.contains(words), "{}", told.stdout);
}
