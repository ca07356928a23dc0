//! Strategy, pins, filters and transitive bans, as they show in what is published of the fixture archives.

use std::collections::BTreeMap;

use crate::common::apt::field;
use crate::common::site::{ALL_SUITES, DAEDALUS, Site};
use crate::common::state;

const OVERLAY: &str = "signed-by = \"keys/overlay.gpg\"\n";
const MAIN: &str = "signed-by = \"keys/main.gpg\"\n";

/// `version POOL` of each package of an index.
fn listing(site: &Site, index: &str) -> BTreeMap<String, Vec<String>> {
    let mut found: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for stanza in site.stanzas(&format!("dists/{index}")) {
        let path = field(&stanza, "Filename").or_else(|| field(&stanza, "Directory"));
        let pool = path.unwrap().split('/').nth(1).unwrap().to_owned();
        let version = field(&stanza, "Version").unwrap();
        let name = field(&stanza, "Package").unwrap().to_owned();
        found
            .entry(name)
            .or_default()
            .push(format!("{version} {pool}"));
    }
    found
}

#[track_caller]
fn expect(listing: &BTreeMap<String, Vec<String>>, expected: &[(&str, &[&str])]) {
    for (name, versions) in expected {
        let found = listing.get(*name).map_or(&[][..], Vec::as_slice);
        assert_eq!(found, *versions, "{name}");
    }
}

#[test]
fn a_suite_may_take_the_newest_instead_of_the_first() {
    let suites = ALL_SUITES.replacen(
        "[suites.daedalus]",
        "[suites.daedalus]\nstrategy = \"newest\"",
        1,
    );
    let site = Site::of(&suites).publish();
    let amd64 = listing(&site, "daedalus/main/binary-amd64/Packages");
    expect(
        &amd64,
        &[
            ("old-fork", &["2.0-1 MAIN"]),
            ("new-fork", &["3.0+devuan1 OVERLAY"]),
            ("twin", &["3.0-1 MAIN"]),
            ("multi", &["1.0-1 MAIN", "1.0-2 MAIN"]),
            ("crossed", &["1.1-1 MAIN"]),
            ("all-fork", &["2.0-1 MAIN"]),
            ("cleaned", &["1.0-1+devuan1 OVERLAY"]),
            // The overlay's is newer and needs systemd: it is gone and not replaced.
            ("tainted", &[]),
        ],
    );
    let all = listing(&site, "daedalus/main/binary-all/Packages");
    expect(&all, &[("all-fork", &["2.0-1 MAIN"])]);
    let udebs = listing(
        &site,
        "daedalus/main/debian-installer/binary-amd64/Packages",
    );
    expect(&udebs, &[("fork-udeb", &["2.0-1 MAIN"])]);
    let sources = listing(&site, "daedalus/main/source/Sources");
    expect(&sources, &[("old-fork", &["2.0-1 MAIN"])]);
    // The others go by the order.
    let beowulf = listing(&site, "beowulf/main/binary-amd64/Packages");
    expect(&beowulf, &[("relic-fork", &["0.9+devuan1 OVERLAY"])]);
}

#[test]
fn a_pin_gives_names_to_an_archive_in_its_suites_and_architectures() {
    let pins = r#"
[[pin]]
packages = ["none-*", "old-for?"]
archive = "main"
[[pin]]
packages = ["old-*", "new-*"]
archive = "overlay"
[[pin]]
packages = ["arch[xyz]"]
archive = "main"
architectures = ["amd64"]
[[pin]]
sources = ["twin"]
archive = "main"
suites = ["daedalus"]
[[pin]]
packages = ["relic-fork"]
archive = "main"
suites = ["daedalus"]
"#;
    let site = Site::of(&format!("{ALL_SUITES}{pins}")).publish();
    let amd64 = listing(&site, "daedalus/main/binary-amd64/Packages");
    expect(
        &amd64,
        &[
            ("old-fork", &["2.0-1 MAIN"]),
            ("new-fork", &["3.0+devuan1 OVERLAY"]),
            ("archy", &["1.1-1 MAIN"]),
            ("twin", &["3.0-1 MAIN"]),
        ],
    );
    // A pin of packages lets the sources follow, one of sources speaks of these too.
    let sources = listing(&site, "daedalus/main/source/Sources");
    expect(
        &sources,
        &[
            ("old-fork", &["1.0+devuan1 OVERLAY", "2.0-1 MAIN"]),
            ("twin", &["3.0-1 MAIN"]),
        ],
    );
    let beowulf = listing(&site, "beowulf/main/binary-amd64/Packages");
    expect(&beowulf, &[("relic-fork", &["0.9+devuan1 OVERLAY"])]);

    // A changed pin makes the suites anew that it is for, and no others.
    let run = site.json(&["run", "--json"]);
    assert_eq!(run["changed"], serde_json::json!([]));
    site.configure("sources = [\"twin\"]", "sources = [\"twins\"]");
    let run = site.json(&["run", "--json"]);
    assert_eq!(run["changed"], serde_json::json!(["daedalus"]));
    let amd64 = listing(&site, "daedalus/main/binary-amd64/Packages");
    let twins: &[&str] = &["1.0+devuan1 OVERLAY", "1.0+devuan2 OVERLAY"];
    expect(&amd64, &[("twin", twins)]);
}

#[test]
fn what_is_excluded_from_an_archive_falls_to_the_next() {
    let site = Site::of(DAEDALUS).publish();
    site.configure(
        OVERLAY,
        &format!(
            "{OVERLAY}exclude = {{ packages = [\"old-*\", \"fork-udeb\"], sources = [\"twin\"] }}\n"
        ),
    );
    let run = site.json(&["run", "--json"]);
    assert_eq!(run["changed"], serde_json::json!(["daedalus"]));
    let amd64 = listing(&site, "daedalus/main/binary-amd64/Packages");
    expect(
        &amd64,
        &[
            ("old-fork", &["2.0-1 MAIN"]),
            ("new-fork", &["3.0+devuan1 OVERLAY"]),
            ("twin", &["3.0-1 MAIN"]),
        ],
    );
    let udebs = listing(
        &site,
        "daedalus/main/debian-installer/binary-amd64/Packages",
    );
    expect(&udebs, &[("fork-udeb", &["2.0-1 MAIN"])]);
    // By packages, the archive's source stays in sight; by sources, it is gone.
    let sources = listing(&site, "daedalus/main/source/Sources");
    expect(
        &sources,
        &[
            ("old-fork", &["1.0+devuan1 OVERLAY", "2.0-1 MAIN"]),
            ("twin", &["3.0-1 MAIN"]),
        ],
    );
}

#[test]
fn of_an_archive_with_include_only_that_and_its_sources_are_there() {
    let site = Site::of(DAEDALUS);
    site.configure(
        MAIN,
        &format!(
            "{MAIN}include = {{ packages = [\"retained-*\", \"libnmu1\", \"old-fork\", \"blob\", \"dep-tight\"] }}\n"
        ),
    );
    site.ok(&["run"]);
    let of_main = |index: &str| {
        let mut listing = listing(&site, index);
        listing.retain(|_, versions| versions.iter().any(|v| v.ends_with("MAIN")));
        listing.into_keys().collect::<Vec<_>>()
    };
    // The overlay's old-fork wins, and dep-tight is banned.
    assert_eq!(
        of_main("daedalus/main/binary-amd64/Packages"),
        ["libnmu1", "retained-extra"]
    );
    assert_eq!(of_main("daedalus/non-free/binary-amd64/Packages"), ["blob"]);
    // The overlay has an older source of the name of retained-extra's, which main's would take the place of.
    assert_eq!(of_main("daedalus/main/source/Sources"), ["nmu-src"]);
    assert_eq!(of_main("daedalus/non-free/source/Sources"), ["blob"]);
}

#[test]
fn transitive_bans_take_the_chain_and_say_so() {
    let site = Site::of(DAEDALUS).publish();
    let before = listing(&site, "daedalus/main/binary-amd64/Packages");
    site.configure("[bans]\n", "[bans]\ntransitive = true\n");
    site.ok(&["run"]);
    let after = listing(&site, "daedalus/main/binary-amd64/Packages");
    let gone: Vec<_> = before.keys().filter(|n| !after.contains_key(*n)).collect();
    assert_eq!(gone, ["chain-end", "chain-link"]);
    assert!(after.contains_key("chain-provided"));
    let state = state::published(&site.path("site"));
    let banned = state["suites"]["daedalus"]["report"]["banned"]
        .as_array()
        .unwrap();
    let because_of = |package: &str| {
        let mut entries = banned.iter();
        let entry = entries.find(|b| b["package"] == package).unwrap();
        entry["because_of"].as_str().map(str::to_owned)
    };
    assert_eq!(because_of("chain-end").as_deref(), Some("chain-link"));
    assert_eq!(because_of("chain-link").as_deref(), Some("dep-systemd"));
    assert_eq!(because_of("dep-systemd").as_deref(), Some("systemd"));
    assert_eq!(because_of("systemd"), None);
    let log = std::fs::read_to_string(site.path("site/log/bannedpackages.txt")).unwrap();
    assert!(log.contains("daedalus,chain-end\n"), "{log}");
}
