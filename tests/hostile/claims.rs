//! What an archive says of packages that belong to a higher one: signed and well formed, published as far as it speaks of its own, and
//! judged by what a real apt sees.

use crate::common::apt::{Apt, has};
use crate::common::upstream::{NEWER, Site, stanza};

const PACKAGES: &str = "main/binary-amd64/Packages";
const SOURCES: &str = "main/source/Sources";

/// A binary's stanza with another version, and more fields.
fn binary(name: &str, version: &str, more: &str) -> String {
    stanza(name).replace("1.0", version) + more
}

/// A site where the overlay, then the lowest archive, have some packages and sources more; published.
fn site(config: [&str; 2], overlay: [&[String]; 2], main: [&[String]; 2]) -> (Site, String) {
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
    site.aptmerge(&["verify"]).expect(0, &[]);
    (site, said.stderr)
}

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
    let (site, _) = site(["[fetch]", bans], [&overlay, &[]], [&main, &[]]);
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
