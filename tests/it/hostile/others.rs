//! Another index as the way to somebody else's package: what an archive owns in one architecture, component or kind of index speaks
//! for nothing that others own in the next one.

use std::fs;

use super::catalogue::{PACKAGES, run};
use super::claims::source;
use super::names::package;
use super::words::{COMMANDS, COMPONENTS, component, described, header, md5, publish, published};
use crate::common::apt::Apt;
use crate::common::programs::has;
use crate::common::site::Site;
use crate::common::upstream::{NEWER, Suite};

const ARM64: &str = "main/binary-arm64/Packages";
const GERMAN: &str = "main/i18n/Translation-de";

/// The words of every family in two components and two architectures.
fn site() -> Site {
    let site = super::words::site();
    let config = fs::read_to_string(site.path("aptmerge.toml")).unwrap();
    let config = config
        .replace("\"amd64\"]", "\"amd64\", \"arm64\"]")
        .replace(
            "components = [\"main\"]",
            "components = [\"main\", \"contrib\"]",
        );
    site.write_config(&config);
    site
}

fn add(suite: &mut Suite, index: &str, stanzas: &[String]) {
    suite.set("Date", NEWER);
    for stanza in stanzas {
        suite.append_stanza(index, stanza);
    }
}

/// apt looks a description up by name and digest, whatever architecture and archive the package is from.
#[test]
fn a_package_of_another_architecture_brings_no_description() {
    let site = site();
    let names = ["odd-arch", "odd-feed", "odd-long", "odd-none"];
    let text = |name: &str| format!("short\n {name}");
    let with = |name: &str, architecture: &str, fields: &str| {
        package(name, "1.0", architecture).replace("Description: x\n", fields)
    };
    let of = |name: &str| match name {
        "odd-none" => md5(""),
        _ => md5(&text(name)),
    };
    let digest = |written: &str| format!("Description: short\nDescription-md5: {written}\n");
    let mut overlay = site.overlay();
    let ours = names.map(|name| match name {
        "odd-long" => with(name, "amd64", &format!("Description: {}\n", text(name))),
        "odd-none" => with(name, "amd64", ""),
        _ => with(name, "amd64", &digest(&of(name))),
    });
    add(&mut overlay, PACKAGES, &ours);
    overlay.sign();
    // The lowest archive has the same digests, one in a spelling of which apt takes off the beginning.
    let written = |name: &str| match name {
        "odd-feed" => format!("\x0c{}", of(name)),
        _ => of(name),
    };
    let mut main = site.main();
    let theirs = names.map(|name| with(name, "arm64", &digest(&written(name))));
    let own = with("odd-own", "arm64", &digest(&of("odd-own")));
    add(&mut main, ARM64, &theirs);
    add(&mut main, ARM64, &[own]);
    let evil = names.map(|name| described(name, &written(name), "de", "short\n evil words"));
    let own = described("odd-own", &of("odd-own"), "de", "deutsch");
    publish(&mut main, GERMAN, (evil.concat() + &own).as_bytes());
    run(&site, &[]).expect(0, &[]);
    assert_eq!(String::from_utf8(published(&site, GERMAN)).unwrap(), own);
    let languages = "Acquire::Languages { \"de\"; \"en\"; };";
    let Some(apt) = client(&site, &["amd64", "arm64"], languages) else {
        return;
    };
    for name in names {
        let shown = apt.ok("apt-cache", &["show", &format!("{name}:amd64")]);
        assert!(!shown.contains("evil"), "{shown}");
    }
    assert!(
        apt.ok("apt-cache", &["show", "odd-own:arm64"])
            .contains("deutsch")
    );
}

/// A client of what a site publishes; `None` where there is no apt.
fn client(site: &Site, architectures: &[&str], settings: &str) -> Option<Apt> {
    if !has("apt-get") || !has("apt-cache") {
        return None;
    }
    let source = format!(
        "deb [signed-by={}] file:{} daedalus main\n",
        site.path("keys/publish.gpg").display(),
        site.root().join("merged").display()
    );
    let apt = Apt::new(architectures, &source, settings);
    apt.ok("apt-get", &["update"]);
    Some(apt)
}

/// The reader of commands has one record for each name that is proposed, that of the highest version.
#[test]
fn commands_propose_no_package_of_others() {
    let site = site();
    let mut overlay = site.overlay();
    add(
        &mut overlay,
        PACKAGES,
        &[package("odd-tool", "1.0", "amd64")],
    );
    overlay.sign();
    let mut main = site.main();
    let own = ["mine", "mine-too"].map(|name| package(name, "9.0", "all"));
    add(&mut main, PACKAGES, &own);
    let ways = [
        "\n odd-tool",
        "odd-tool:amd64",
        "odd-tool=1.0",
        "odd-tool/stable",
        "odd-tool",
        "Odd-Tool",
    ];
    let stanza = |name: &str| {
        format!("name: mine\nversion: 9.0\nvisible-pkgname: {name}\ncommands: sudo\n\n")
    };
    for (index, architecture) in [(COMMANDS, "amd64"), ("main/cnf/Commands-all", "all")] {
        let mut text = format!("suite: bookworm\ncomponent: main\narch: {architecture}\n\n");
        text.extend(ways.map(stanza));
        text += &stanza("mine-too");
        publish(&mut main, index, text.as_bytes());
    }
    run(&site, &[]).expect(
        0,
        &[
            "Commands-amd64, line 5: its `visible-pkgname` is no package name",
            "Commands-all, line 26: its `visible-pkgname` is a package of another archive",
        ],
    );
    for index in [COMMANDS, "main/cnf/Commands-all"] {
        let text = String::from_utf8(published(&site, index)).unwrap();
        assert_eq!(text.matches("visible-pkgname").count(), 1, "{text}");
        assert!(text.contains("visible-pkgname: mine-too\n"), "{text}");
    }
}

/// To AppStream, the components of all indices that a client has are one pool, in which a higher `Priority` replaces what has the
/// same `ID`, and in which they are found by whatever case.
#[test]
fn an_identifier_is_one_archives_in_all_components() {
    let site = site();
    let media = header("https://media.example/m");
    let mut overlay = site.overlay();
    overlay.set("Date", NEWER);
    let ours = media.clone() + &component("overlay-only", "over.lay", "");
    publish(&mut overlay, COMPONENTS, ours.as_bytes());
    let mut main = site.main();
    let contrib = "contrib/binary-amd64/Packages";
    add(&mut main, contrib, &[package("mine", "1.0", "amd64")]);
    let own = component("mine", "own", "");
    let theirs = [
        media.clone(),
        component("mine", "over.lay", "Priority: 99\n"),
        component("mine", "OVER.Lay", ""),
        own.clone(),
    ];
    let index = "contrib/dep11/Components-amd64.yml";
    publish(&mut main, index, theirs.concat().as_bytes());
    let words = format!("{index}, line 6: its `ID` is that of a component of a higher archive");
    run(&site, &[]).expect(0, &[&words]);
    let text = String::from_utf8(published(&site, COMPONENTS)).unwrap();
    assert!(
        text.contains("ID: over.lay\nPackage: overlay-only\n"),
        "{text}"
    );
    let text = String::from_utf8(published(&site, index)).unwrap();
    assert_eq!(text, media + &own);
}

/// apt takes a vertical tab off the beginning of a value.
#[test]
fn no_odd_blank_hides_a_priority() {
    let site = site();
    let config = fs::read_to_string(site.path("aptmerge.toml")).unwrap();
    let pool = "pool = \"MAIN\"";
    site.write_config(&config.replace(pool, &format!("{pool}\nmay-be-essential = false")));
    let mut main = site.main();
    let odd = package("mine", "1.0", "amd64") + "Priority: \x0brequired\x0b\n";
    add(&mut main, PACKAGES, &[odd]);
    main.sign();
    run(&site, &[]).expect(0, &[]);
    let Some(apt) = client(&site, &["amd64"], "") else {
        return;
    };
    let shown = apt.ok("apt-cache", &["show", "mine"]);
    assert!(!shown.contains("required"), "{shown}");
}

/// `apt-get source` asks for the version that a binary names, and the archive of the binary may not have it any more.
#[test]
fn a_source_of_a_lower_archive_stands_for_no_binary_of_a_higher_one() {
    let site = Site::new();
    const SOURCES: &str = "main/source/Sources";
    let mut overlay = site.overlay();
    let built = package("odd-bin", "1.0+b1", "amd64") + "Source: odd-src (1.0)\n";
    add(&mut overlay, PACKAGES, &[built]);
    add(
        &mut overlay,
        SOURCES,
        &[source("odd-src", "2.0", "Binary: odd-bin\n")],
    );
    overlay.sign();
    let mut main = site.main();
    let built = ["1.0", "0.9"].map(|version| {
        let source = format!("Source: odd-src ({version})\n");
        package(&format!("mine-{version}"), "1.0", "amd64") + &source
    });
    add(&mut main, PACKAGES, &built);
    let theirs = ["1.0", "0.9"].map(|version| source("odd-src", version, ""));
    add(&mut main, SOURCES, &theirs);
    main.sign();
    run(&site, &[]).expect(0, &[]);
    let told = fs::read_to_string(site.root().join("log/sources.txt")).unwrap();
    let line = "daedalus,main,odd-src,1.0,beside those of overlay; built odd-bin\n";
    assert!(told.contains(line), "{told}");
    let Some(apt) = super::names::client(&site, &["amd64"]) else {
        return;
    };
    let fetched = |name| {
        let output = apt.call("apt-get", &["source", "--print-uris", name]);
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    assert!(
        !fetched("odd-bin").contains("MAIN"),
        "{}",
        fetched("odd-bin")
    );
    assert!(fetched("mine-0.9").contains("MAIN/main/odd-src/odd-src_0.9.dsc"));
}
