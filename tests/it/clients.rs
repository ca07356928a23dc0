//! Clients that read more than Packages find what they look for: apt-file, apt's long descriptions, AppStream, and whatever has
//! apt fetch command-not-found's indices.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::common::apt::{Apt, Server, field};
use crate::common::programs::has;
use crate::common::site::{DAEDALUS, Site};

const ALL: &str = "indices = [\"packages\", \"sources\", \"contents\", \"translations\", \"dep11\", \"commands\"]\n";

/// A site with every family, and its server.
fn served(publish: &str) -> (Site, Server) {
    let site = Site::of(&format!("{DAEDALUS}{publish}"));
    site.configure("architectures =", &format!("{ALL}architectures ="));
    site.ok(&["run"]);
    let server = site.serve();
    (site, server)
}

/// An apt that has been told of further indices, as a package does by a file in `apt.conf.d`.
fn apt(site: &Site, server: &Server, targets: &str) -> Apt {
    let keyring = site.path("keys/publish.gpg");
    let source = format!(
        "deb [signed-by={}] {} daedalus main contrib\n",
        keyring.display(),
        server.url()
    );
    let apt = Apt::new(&["amd64"], &source, "Acquire::Languages \"en\";");
    fs::write(apt.path("etc/apt.conf.d/50targets"), targets).unwrap();
    apt.ok("apt-get", &["update"]);
    apt
}

/// What a package of the machine tells apt of its indices; without what it has apt do besides.
fn targets(file: &str) -> Option<String> {
    let text = fs::read_to_string(Path::new("/etc/apt/apt.conf.d").join(file)).ok();
    let end = "APT::Update::Post-Invoke";
    let targets = text.map(|text| text.split(end).next().unwrap_or_default().to_owned());
    if targets.is_none() {
        eprintln!("skipped: no /etc/apt/apt.conf.d/{file}");
    }
    targets
}

fn found(apt: &Apt, path: &str) -> BTreeSet<String> {
    let output = apt.call("apt-file", &["search", "--package-only", path]);
    let text = String::from_utf8(output.stdout).unwrap();
    text.lines().map(str::to_owned).collect()
}

#[test]
fn apt_file_finds_files_in_either_place() {
    if !has("apt-get") || !has("apt-file") {
        return;
    }
    let Some(targets) = targets("50apt-file.conf") else {
        return;
    };
    let set = |packages: &[&str]| -> BTreeSet<String> {
        packages.iter().map(|p| (*p).to_owned()).collect()
    };
    let (site, server) = served("[publish]\ncontents-beside-components = true\n");
    // As apt-file asks, and as it asked of old.
    let of_old = targets.replace("deb::Contents-deb  {", "deb::Contents-unused  {");
    let of_old = of_old
        .replace(
            "$(COMPONENT)/Contents-$(ARCHITECTURE)",
            "$(COMPONENT)/No-$(ARCHITECTURE)",
        )
        .replace("Fallback-Of \"Contents-deb\";", "");
    assert_ne!(targets, of_old);
    for (targets, place) in [(&targets, "/main/"), (&of_old, "/daedalus/")] {
        let apt = apt(&site, &server, targets);
        let lists = apt.ok("apt-get", &["indextargets", "--format", "$(URI)"]);
        let line = lists.lines().find(|l| l.contains("Contents-amd64"));
        assert!(line.unwrap().contains(&format!("{place}Contents-amd64")));
        assert_eq!(found(&apt, "doc/main-only/README"), set(&["main-only"]));
        assert_eq!(
            found(&apt, "doc/main-contrib/README"),
            set(&["main-contrib"])
        );
        assert_eq!(
            found(&apt, "share/shared/README"),
            set(&["shared-path", "shared-path-too"])
        );
        assert_eq!(found(&apt, "gfx-banned"), set(&[]), "it is not published");
    }
}

#[test]
fn apt_shows_the_long_description() {
    if !has("apt-get") {
        return;
    }
    let (site, server) = served("");
    let apt = apt(&site, &server, "");
    let packages = site.index("dists/daedalus/main/binary-amd64/Packages");
    assert!(
        !packages.contains("as main publishes it"),
        "it is in the Translation alone"
    );
    let shown = apt.ok("apt-cache", &["show", "main-only"]);
    assert!(shown.contains("as main publishes it"), "{shown}");
    // The overlay's package has the overlay's words.
    let shown = apt.ok("apt-cache", &["show", "old-fork"]);
    assert!(shown.contains("as overlay publishes it"), "{shown}");
    assert!(!shown.contains("as main publishes it"), "{shown}");
}

fn appstreamcli(arguments: &[&str]) -> String {
    let output = Command::new("appstreamcli")
        .args(arguments)
        .env("LC_ALL", "C.UTF-8")
        .output()
        .unwrap();
    let text = format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    assert!(output.status.success(), "{arguments:?}: {text}");
    text
}

#[test]
fn appstream_reads_the_components_that_apt_brought() {
    if !has("apt-get") || !has("appstreamcli") {
        return;
    }
    let Some(targets) = targets("50appstream") else {
        return;
    };
    let (site, server) = served("");
    let apt = apt(&site, &server, &targets);
    let brought: Vec<PathBuf> = fs::read_dir(apt.path("state/lists"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| {
            path.to_string_lossy()
                .contains("dep11_Components-amd64.yml")
        })
        .collect();
    assert_eq!(brought.len(), 1, "{brought:?}");
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name).to_str().unwrap().to_owned();
    fs::create_dir_all(path("data/yaml")).unwrap();
    fs::create_dir(path("cache")).unwrap();
    let name = path("data/yaml/site_main_Components-amd64.yml.gz");
    fs::copy(&brought[0], &name).unwrap();
    // The pool that a software centre would have: what was published is in it, and nothing else.
    let said = appstreamcli(&[
        "refresh-cache",
        "--force",
        "--verbose",
        "--datapath",
        &path("data"),
        "--cachepath",
        &path("cache"),
    ]);
    assert!(said.contains("site_main_Components-amd64.yml.gz"), "{said}");
    assert!(said.contains("successfully"), "{said}");
    let pool: Vec<u8> = fs::read_dir(path("cache"))
        .unwrap()
        .flat_map(|entry| fs::read(entry.unwrap().path()).unwrap())
        .collect();
    let has_component = |id: &str| pool.windows(id.len()).any(|w| w == id.as_bytes());
    assert!(has_component("example.archive.gfx-tool"));
    assert!(!has_component("example.archive.gfx-fork"));
    assert!(!has_component("example.archive.gfx-banned"));
    // The same, read field by field.
    appstreamcli(&["convert", &name, &path("components.xml")]);
    let xml = fs::read_to_string(path("components.xml")).unwrap();
    assert!(xml.contains("<pkgname>gfx-tool</pkgname>"), "{xml}");
    assert!(xml.contains("media_baseurl=\"https://media.archive.example/bookworm\""));
    assert_eq!(xml.matches("<component ").count(), 1, "{xml}");
}

#[test]
fn apt_brings_the_commands_of_each_component() {
    if !has("apt-get") || !has("python3") {
        return;
    }
    let site = Site::of(DAEDALUS);
    site.configure("architectures =", &format!("{ALL}architectures ="));
    let dir = site.path("archives/overlay/dists/daedalus/main/cnf");
    fs::create_dir(&dir).unwrap();
    let text = "suite: daedalus\ncomponent: main\narch: amd64\n\nname: overlay-only\nversion: 1.0\ncommands: overlay-only,second\n";
    fs::write(dir.join("Commands-amd64"), text).unwrap();
    let release = site.path("archives/overlay/dists/daedalus/Release");
    let line = format!(
        "SHA256:\n {} {} main/cnf/Commands-amd64\n",
        crate::common::apt::sha256(text.as_bytes()),
        text.len()
    );
    let old = fs::read_to_string(&release).unwrap();
    fs::write(&release, old.replacen("SHA256:\n", &line, 1)).unwrap();
    let date = "2026-02-01T00:00:00Z".parse().unwrap();
    site.edit_overlay("daedalus", "main/binary-amd64/Packages", date, |text| text);
    site.ok(&["run"]);
    let server = site.serve();
    // As command-not-found tells apt.
    let targets = "Acquire::IndexTargets { deb::CNF {\n\
        MetaKey \"$(COMPONENT)/cnf/Commands-$(NATIVE_ARCHITECTURE)\";\n\
        ShortDescription \"Commands-$(NATIVE_ARCHITECTURE)\"; Description \"commands\"; }; };\n";
    let apt = apt(&site, &server, targets);
    let lists = apt.ok(
        "apt-get",
        &["indextargets", "--format", "$(FILENAME)", "Created-By: CNF"],
    );
    let file = lists.lines().find(|line| line.contains("_main_")).unwrap();
    let brought = apt.ok("/usr/lib/apt/apt-helper", &["cat-file", file]);
    assert_eq!(field(&brought, "suite"), Some("daedalus"));
    assert_eq!(
        brought,
        format!("{text}\n"),
        "the stanza as it is, under a header of this suite"
    );
}
