//! What an archive says of packages that belong to a higher one: signed and well formed, published as far as it speaks of its own, and
//! judged by what a real apt sees.

use std::fs;

use crate::common::apt::Apt;
use crate::common::programs::has;
use crate::common::site::Site;
use crate::common::upstream::{NEWER, stanza};

const PACKAGES: &str = "main/binary-amd64/Packages";
const SOURCES: &str = "main/source/Sources";

/// A binary's stanza with another version, and more fields.
fn binary(name: &str, version: &str, more: &str) -> String {
    stanza(name).replace("1.0", version) + more
}

/// A source's stanza.
pub(crate) fn source(name: &str, version: &str, more: &str) -> String {
    let dsc = format!("{name}_{version}.dsc");
    format!(
        "Package: {name}\nVersion: {version}\nArchitecture: any\nFormat: 3.0 (native)\nMaintainer: A <a@site.example>\n{more}\
         Directory: pool/main/{name}\nFiles:\n {} 1 {dsc}\nChecksums-Sha256:\n {} 1 {dsc}\n",
        "0".repeat(32),
        "0".repeat(64)
    )
}

/// A site where the overlay, then the lowest archive, have some packages and sources more; published.
fn site(config: [&str; 2], overlay: [&[String]; 2], main: [&[String]; 2]) -> Site {
    let site = Site::new();
    site.change_config(config[0], config[1]);
    for (mut suite, more) in [(site.overlay(), overlay), (site.main(), main)] {
        suite.set("Date", NEWER);
        for (index, stanzas) in [PACKAGES, SOURCES].into_iter().zip(more) {
            if !stanzas.is_empty() {
                suite.append_stanza(index, &stanzas.join("\n"));
            }
        }
        suite.sign();
    }
    let said = site.run(&[]);
    said.expect(0, &[]);
    assert_eq!(said.stderr, "");
    site.aptmerge(&["verify"]).expect(0, &[]);
    site
}

const AS_IT_IS: [&str; 2] = ["[fetch]", "[fetch]"];

/// A client of what is published.
fn client(site: &Site) -> Apt {
    let by = site.path("keys/publish-a.gpg");
    let merged = site.root().join("merged");
    let line = |kind| {
        format!(
            "{kind} [signed-by={}] file://{} daedalus main\n",
            by.display(),
            merged.display()
        )
    };
    let apt = Apt::new(&["amd64"], &(line("deb") + &line("deb-src")), "");
    apt.ok("apt-get", &["update"]);
    apt
}

/// The source that `apt-get source` would fetch: the name of its file.
fn fetched(apt: &Apt, name: &str) -> String {
    let output = apt.call("apt-get", &["source", "--print-uris", name]);
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let mut words = text.split_whitespace();
    let dsc = words.rfind(|word| word.ends_with(".dsc"));
    dsc.unwrap_or("nothing").to_owned()
}

fn has_apt() -> bool {
    has("apt-get") && has("apt-cache")
}

#[test]
fn a_lower_archive_takes_no_package_away_by_transitive_bans() {
    if !has_apt() {
        return;
    }
    let bans = "[bans]\npackages = [\"systemd\"]\ntransitive = true\n\n[fetch]";
    let overlay = [
        // libc6 lies in another suite.
        binary("odd-ssl", "1.0", "Depends: libc6 (>= 2.36)\n"),
        binary("odd-user", "1.0", "Depends: odd-ssl\n"),
        binary("odd-desk", "1.0", "Pre-Depends: odd-shim\n"),
        binary("odd-shim", "1.0", "Depends: systemd\n"),
    ];
    let main = [
        binary(
            "odd-bait",
            "9.0",
            "Provides: libc6 (= 9), odd-ssl (= 9)\nDepends: systemd\n",
        ),
        binary("libc6", "9.0", "Depends: odd-bait\n"),
    ];
    let site = site(["[fetch]", bans], [&overlay, &[]], [&main, &[]]);
    let apt = client(&site);
    for (package, candidate) in [("odd-ssl", "1.0"), ("odd-user", "1.0")] {
        assert_eq!(apt.candidate(package), candidate, "{package}");
        let said = site.aptmerge(&["explain", package, "--suite", "daedalus"]);
        assert!(said.stdout.contains("published"), "{}", said.stdout);
    }
    let all = apt.ok("apt-cache", &["dumpavail"]);
    for package in ["odd-desk", "odd-shim", "odd-bait", "libc6"] {
        assert!(!all.contains(&format!("Package: {package}\n")), "{package}");
        let said = site.aptmerge(&["explain", package, "--suite", "daedalus"]);
        assert!(
            said.stdout.contains("systemd, banned by name"),
            "{}",
            said.stdout
        );
    }
}

#[test]
fn no_source_claims_a_binary_that_belongs_to_another_archive() {
    if !has_apt() {
        return;
    }
    let overlay = [
        vec![
            binary("odd-tool", "1.0", ""),
            binary("odd-lib", "1.0", "Source: odd-src\n"),
        ],
        vec![
            source("odd-tool", "1.0", "Binary: odd-tool\n"),
            source("odd-src", "1.0", "Binary: odd-lib, odd-arm\n"),
        ],
    ];
    // Each finds another way to be asked for odd-tool, odd-lib, odd-src or odd-arm, which is no architecture's here.
    let lists = [
        "Binary: odd-tool\n",
        "Binary:\n mine-b,\n odd-tool,\n odd-lib\n",
        "Binary: Odd-Tool, ODD-LIB,odd-src\n",
        "Binary: odd-tool\nbinary: odd-src , odd-arm\n",
        "Binary: mine-b,\x0bodd-tool\x0b,odd-arm\t,,\n",
    ];
    let evil = lists
        .iter()
        .enumerate()
        .map(|(n, list)| source(&format!("evil-{n}"), "999", list));
    let own = [binary("mine-b", "5.0", "Source: evil-1 (999)\n")];
    let main = [&own[..], &evil.collect::<Vec<_>>()];
    let site = site(AS_IT_IS, [&overlay[0], &overlay[1]], main);
    let told = fs::read_to_string(site.root().join("log/sources.txt")).unwrap();
    for n in 0..lists.len() {
        let line = format!("daedalus,main,evil-{n},999,claims odd-tool\n");
        assert!(told.contains(&line), "{told}");
    }
    let apt = client(&site);
    for (name, file) in [
        ("odd-tool", "odd-tool_1.0.dsc"),
        ("odd-lib", "odd-src_1.0.dsc"),
        ("odd-src", "odd-src_1.0.dsc"),
        ("odd-arm", "odd-src_1.0.dsc"),
        ("mine-b", "evil-1_999.dsc"),
        ("evil-0", "evil-0_999.dsc"),
    ] {
        assert_eq!(fetched(&apt, name), file, "{name}");
    }
    let shown = apt.ok("apt-cache", &["showsrc", "odd-tool"]);
    assert!(!shown.contains("evil"), "{shown}");
    // What is an archive's own stays as it was.
    let published = site.index("dists/daedalus/main/source/Sources");
    assert!(
        published.contains("\nBinary: odd-lib, odd-arm\n"),
        "{published}"
    );
    assert!(published.contains("\nBinary: mine-b\n"), "{published}");
    assert!(
        !published.contains("\nBinary: \n") && !published.contains("\nBinary:\n"),
        "{published}"
    );
}

#[test]
fn a_source_that_is_brought_back_never_stands_above_the_owners() {
    if !has_apt() {
        return;
    }
    let overlay = [
        vec![
            binary("odd-tool", "1.0", ""),
            binary("odd-bin", "2.0+b1", "Source: odd-nmu (2.0)\n"),
        ],
        vec![
            source("odd-tool", "1.0", "Binary: odd-tool\n"),
            source("odd-nmu", "2.0", "Binary: odd-bin\n"),
        ],
    ];
    let main = [
        vec![
            binary("evil-a", "9.0", "Source: odd-tool (99)\n"),
            binary("evil-b", "9.0", "Source: Odd-Tool (0:1.0-0)\n"),
            binary("evil-c", "9.0", "Source: odd-nmu (2.0+really3)\n"),
            binary("honest", "0.9", "Source: odd-tool\n"),
        ],
        vec![
            source("odd-tool", "99", "Binary: evil-a\n"),
            source("odd-tool", "0:1.0-0", "Binary: evil-b\n"),
            source("odd-nmu", "2.0+really3", "Binary: evil-c\n"),
            source("odd-tool", "0.9", "Binary: honest, odd-tool\n"),
        ],
    ];
    let site = site(AS_IT_IS, [&overlay[0], &overlay[1]], [&main[0], &main[1]]);
    let told = fs::read_to_string(site.root().join("log/sources.txt")).unwrap();
    for line in [
        "daedalus,main,odd-tool,99,above those of overlay; built evil-a\n",
        "daedalus,main,odd-nmu,2.0+really3,above those of overlay; built evil-c\n",
        "daedalus,main,odd-tool,0.9,claims odd-tool\n",
    ] {
        assert!(told.contains(line), "{told}");
    }
    let apt = client(&site);
    for (name, file) in [
        ("odd-tool", "odd-tool_1.0.dsc"),
        ("odd-bin", "odd-nmu_2.0.dsc"),
        ("odd-nmu", "odd-nmu_2.0.dsc"),
        ("odd-tool=0.9", "odd-tool_0.9.dsc"),
    ] {
        assert_eq!(fetched(&apt, name), file, "{name}");
    }
    let published = site.index("dists/daedalus/main/source/Sources");
    let count = |stanza: &str| published.matches(stanza).count();
    assert_eq!(count("Package: odd-tool\nVersion: 1.0\n"), 1);
    assert_eq!(count("Package: odd-tool\n"), 2, "{published}");
    assert!(
        published.contains("pool/OVERLAY/main/odd-tool\n"),
        "{published}"
    );
    let said = site.aptmerge(&["explain", "odd-tool", "--architecture", "source"]);
    assert!(
        said.stdout.contains("99 of main (main): hidden by overlay"),
        "{}",
        said.stdout
    );
    assert!(
        said.stdout
            .contains("0.9 of main (main): published, for honest"),
        "{}",
        said.stdout
    );
}
