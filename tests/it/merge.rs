//! What is published of the fixture archives, stanza by stanza and file by file, and how it changes from run to run.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex, Weak};
use std::time::Duration;

use crate::common::apt::{COMPONENTS, field, folded, get, sha256, stanzas, upstream};
use crate::common::programs::has;
use crate::common::site::{ALL_SUITES, DAEDALUS, Site, fixtures};
use aptmerge::deb822::compare_versions;

/// One published site for the tests that only look; made when the first of them runs, gone with the last.
fn shared() -> Arc<Site> {
    static SITE: Mutex<Weak<Site>> = Mutex::new(Weak::new());
    let mut site = SITE
        .lock()
        .unwrap_or_else(std::sync::PoisonError::into_inner);
    site.upgrade().unwrap_or_else(|| {
        let new = Arc::new(Site::of(ALL_SUITES).publish());
        *site = Arc::downgrade(&new);
        new
    })
}

/// Which archive's pool a stanza is of.
fn pool(stanza: &str) -> &str {
    let path = field(stanza, "Filename").or_else(|| field(stanza, "Directory"));
    path.unwrap().split('/').nth(1).unwrap()
}

fn name(stanza: &str) -> &str {
    field(stanza, "Package").unwrap()
}

fn version(stanza: &str) -> &str {
    field(stanza, "Version").unwrap()
}

/// `package version POOL` of every stanza.
fn listing(stanzas: &[String]) -> Vec<String> {
    let line = |s: &String| format!("{} {} {}", name(s), version(s), pool(s));
    stanzas.iter().map(line).collect()
}

fn lines(text: &str) -> Vec<&str> {
    let lines = text.lines().map(str::trim);
    lines.filter(|line| !line.is_empty()).collect()
}

/// POOL, archive and its suite.
type From = (&'static str, &'static str, &'static str);

/// Suites with the archives' suites that they are made of.
const MADE_OF: [(&str, &[From]); 5] = [
    (
        "daedalus",
        &[
            ("OVERLAY", "overlay", "daedalus"),
            ("MAIN", "main", "bookworm"),
        ],
    ),
    (
        "daedalus-security",
        &[
            ("OVERLAY", "overlay", "daedalus-security"),
            ("SECURITY", "security", "bookworm-security"),
        ],
    ),
    ("daedalus-updates", &[("MAIN", "main", "bookworm-updates")]),
    (
        "beowulf",
        &[
            ("OVERLAY", "overlay", "beowulf"),
            ("MAIN", "main", "buster"),
        ],
    ),
    (
        "beowulf/updates",
        &[
            ("OVERLAY", "overlay", "beowulf-security"),
            ("SECURITY", "security", "buster/updates"),
        ],
    ),
];

fn components(suite: &str) -> &'static [&'static str] {
    if suite.starts_with("beowulf") {
        &COMPONENTS[..3]
    } else {
        &COMPONENTS
    }
}

/// Every published index with its suite.
fn indices() -> Vec<(&'static str, String)> {
    let mut all = Vec::new();
    for (suite, _) in MADE_OF {
        for component in components(suite) {
            for arch in ["all", "amd64", "arm64"] {
                all.push((suite, format!("{component}/binary-{arch}/Packages")));
                all.push((
                    suite,
                    format!("{component}/debian-installer/binary-{arch}/Packages"),
                ));
            }
            all.push((suite, format!("{component}/source/Sources")));
        }
    }
    all
}

fn published(site: &Site, suite: &str, index: &str) -> Vec<String> {
    site.stanzas(&format!("dists/{suite}/{index}"))
}

const DAEDALUS_AMD64: &str = "
    alt-kept 1.0-1 MAIN
    binnmu 1.0-1+b1 MAIN
    chain-end 1.0-1 MAIN
    chain-link 1.0-1 MAIN
    chain-provided 1.0-1 MAIN
    doc-all 1.0-1 MAIN
    dot-slash 1.0-1 MAIN
    epochal 1.5-1 MAIN
    epochal 1:0.9-1 MAIN
    gfx-tool 1.0-1 MAIN
    half-clean 1.0-1 MAIN
    libprefix++1 1.0-1 MAIN
    main-only 1.0-1 MAIN
    multi 1.0-1 MAIN
    multi 1.0-2 MAIN
    name-alike 1.0-1 MAIN
    libnmu1 2.0-1+b2 MAIN
    odd-dists 1 MAIN
    odd-extra 1.0-1 MAIN
    odd-fields 1.0-1 MAIN
    quilted 1.2-3 MAIN
    ranged 1:0.4 MAIN
    rec-systemd 1.0-1 MAIN
    secfix 1.0-1 MAIN
    secfork 1.0-1 MAIN
    shared-path 1.0-1 MAIN
    shared-path-too 1.0-1 MAIN
    libsystemd0 252.1-1 MAIN
    tilde 1.0~rc1-1 MAIN
    tilde 1.0-1 MAIN
    tilde 1.0-1+b1 MAIN
    updated 1.0-1 MAIN
    uses-libsystemd0 1.0-1 MAIN
    namesake 1.0-1 MAIN
    retained-extra 1.0-1 MAIN
    all-fork 1.0+devuan1 OVERLAY
    archy 1.0+devuan1 OVERLAY
    cleaned 1.0-1+devuan1 OVERLAY
    gfx-fork 1.0-1+devuan1 OVERLAY
    new-fork 3.0+devuan1 OVERLAY
    old-fork 1.0+devuan1 OVERLAY
    overlay-only 1.0 OVERLAY
    retained 0.9+devuan1 OVERLAY
    shape-shift 1.1+devuan1 OVERLAY
    sysvinit-core 3.06-4devuan3 OVERLAY
    twin 1.0+devuan1 OVERLAY
    twin 1.0+devuan2 OVERLAY";

#[test]
fn the_overlay_wins_banned_packages_are_gone_and_the_rest_is_passed_on_in_order() {
    let site = shared();
    let amd64 = published(&site, "daedalus", "main/binary-amd64/Packages");
    assert_eq!(listing(&amd64), lines(DAEDALUS_AMD64));
    // On arm64 the overlay has no archy, and main has one package more. What the overlay has anywhere comes after the other packages of main.
    let arm64 = DAEDALUS_AMD64
        .replace(
            "alt-kept 1.0-1 MAIN",
            "alt-kept 1.0-1 MAIN\n    arm-only 1.0-1 MAIN",
        )
        .replace(
            "namesake 1.0-1 MAIN",
            "archy 1.1-1 MAIN\n    namesake 1.0-1 MAIN",
        );
    let arm64 = arm64.replace("archy 1.0+devuan1 OVERLAY", "");
    let found = published(&site, "daedalus", "main/binary-arm64/Packages");
    assert_eq!(listing(&found), lines(&arm64));
}

#[test]
fn the_overlay_wins_across_components() {
    let site = shared();
    for arch in ["amd64", "arm64"] {
        for (component, expected) in [
            (
                "contrib",
                vec!["main-contrib 1.0-1 MAIN", "crossed 1.0+devuan1 OVERLAY"],
            ),
            ("non-free", vec!["blob 1.0-1 MAIN"]),
            ("non-free-firmware", vec!["firmware-tiny 20230210-5 MAIN"]),
        ] {
            let index = format!("{component}/binary-{arch}/Packages");
            let found = published(&site, "daedalus", &index);
            assert_eq!(listing(&found), expected, "{index}");
        }
    }
}

#[test]
fn security_and_update_suites_have_precedence_and_bans_of_their_own() {
    let site = shared();
    for (suite, expected) in [
        (
            "daedalus-security",
            vec![
                "sec-only 1.0-1+deb12u1 SECURITY",
                "sec-only-doc 1.0-1+deb12u1 SECURITY",
                "secfix 1.0-1+deb12u1 SECURITY",
                "secfork 1.0-1+devuan2 OVERLAY",
            ],
        ),
        ("daedalus-updates", vec!["updated 1.0-1+deb12u2 MAIN"]),
        (
            "beowulf",
            vec![
                "relic 1.0-1 MAIN",
                "relic-doc 1.0-1 MAIN",
                "relic-fork 0.9+devuan1 OVERLAY",
            ],
        ),
        (
            "beowulf/updates",
            vec![
                "relic 1.0-1+deb10u1 SECURITY",
                "relic-doc 1.0-1+deb10u1 SECURITY",
                "relic-fork 0.9+devuan2 OVERLAY",
            ],
        ),
    ] {
        for arch in ["amd64", "arm64"] {
            let index = format!("main/binary-{arch}/Packages");
            assert_eq!(
                listing(&published(&site, suite, &index)),
                expected,
                "{suite}"
            );
        }
    }
}

#[test]
fn udebs_are_a_name_space_of_their_own() {
    let site = shared();
    for arch in ["amd64", "arm64"] {
        let index = format!("main/debian-installer/binary-{arch}/Packages");
        assert_eq!(
            listing(&published(&site, "daedalus", &index)),
            [
                "all-udeb 1.0-1 MAIN",
                "hello-udeb 1.0-1 MAIN",
                "fork-udeb 1.0+devuan1 OVERLAY",
                "namesake 1.0 OVERLAY",
            ]
        );
    }
}

#[test]
fn a_stanza_is_the_archive_s_but_for_where_its_files_lie() {
    let site = shared();
    let mut compared = 0;
    for (suite, index) in indices() {
        let inputs = MADE_OF.iter().find(|(s, _)| *s == suite).unwrap().1;
        let mut known = BTreeSet::new();
        for (pool, archive, upstream_suite) in inputs {
            let mut paths = vec![index.clone()];
            // The overlay has its `all` packages in binary-all only.
            paths.extend(["amd64", "arm64"].map(|a| index.replace(a, "all")));
            // buster has them nowhere else in the way that we publish them, and vice versa.
            paths.push(index.replace("binary-all", "binary-amd64"));
            for path in paths {
                let file = fixtures()
                    .join(format!("archives/{archive}/dists/{upstream_suite}"))
                    .join(format!("{path}.xz"));
                if file.exists() {
                    let stanzas = upstream(archive, upstream_suite, &path);
                    known.extend(stanzas.iter().map(|stanza| moved(stanza, pool)));
                }
            }
        }
        // Its udeb has the name of main's package, so it is not said of it.
        let before = "Package: namesake-installer\nFormat: 3.0 (native)\n";
        for stanza in published(&site, suite, &index) {
            let whole = stanza.replace(before, &format!("{before}Binary: namesake\n"));
            assert!(
                known.contains(&stanza) || known.contains(&whole),
                "{suite} {index} has what no archive has:\n{stanza}"
            );
            compared += 1;
        }
    }
    assert!(compared > 200, "{compared}");
}

/// A stanza as it should be published, by means as plain as can be.
fn moved(stanza: &str, pool: &str) -> String {
    let line = |line: &str| {
        let Some((field, path)) = line
            .split_once(": ")
            .filter(|(field, _)| ["Filename", "Directory"].contains(field))
        else {
            return line.to_owned();
        };
        let path = path.strip_prefix("./").unwrap_or(path);
        match path.strip_prefix("pool/") {
            Some(rest) => format!("{field}: pool/{pool}/{rest}"),
            None => format!("{field}: pool/{pool}/_/{path}"),
        }
    };
    // Not `lines()`: it would take a carriage return for a part of the line's end.
    stanza.split('\n').map(line).collect::<Vec<_>>().join("\n")
}

#[test]
fn fields_that_nobody_knows_and_blanks_at_line_ends_are_kept() {
    let site = shared();
    let stanzas = published(&site, "daedalus", "main/binary-amd64/Packages");
    let odd = stanzas.iter().find(|s| name(s) == "odd-fields").unwrap();
    assert!(field(odd, "X-Unheard-Of").is_some(), "{odd}");
    assert!(odd.contains("\n\t"), "{odd}");
    assert!(
        odd.lines().any(|l| l.ends_with(' ') || l.ends_with('\t')),
        "{odd}"
    );
}

#[test]
fn paths_of_every_form_are_rewritten() {
    let site = shared();
    let amd64 = published(&site, "daedalus", "main/binary-amd64/Packages");
    let path = |package: &str| {
        let stanza = amd64.iter().find(|s| name(s) == package).unwrap();
        field(stanza, "Filename").unwrap().to_owned()
    };
    for (package, start) in [
        ("main-only", "pool/MAIN/main/m/main-only/"),
        ("old-fork", "pool/OVERLAY/main/o/old-fork/"),
        ("dot-slash", "pool/MAIN/main/d/dot-slash/"),
        ("odd-extra", "pool/MAIN/_/extra/"),
        ("odd-dists", "pool/MAIN/_/dists/bookworm/main/binary-amd64/"),
        ("libprefix++1", "pool/MAIN/main/libp/libprefix/"),
    ] {
        assert!(path(package).starts_with(start), "{}", path(package));
    }
    let security = published(&site, "daedalus-security", "main/binary-amd64/Packages");
    let path = field(&security[0], "Filename").unwrap();
    assert!(path.starts_with("pool/SECURITY/updates/main/"), "{path}");
}

/// Path below `merged` and SHA-256 of every file that the indices name, packages, udebs and sources.
fn named_files(site: &Site) -> BTreeMap<String, String> {
    let mut files = BTreeMap::new();
    for (suite, index) in indices() {
        for stanza in published(site, suite, &index) {
            if let Some(path) = field(&stanza, "Filename") {
                let sum = field(&stanza, "SHA256").unwrap();
                files.insert(path.to_owned(), sum.to_owned());
                continue;
            }
            let dir = field(&stanza, "Directory").unwrap();
            for line in folded(&stanza, "Checksums-Sha256") {
                let words: Vec<_> = line.split_whitespace().collect();
                files.insert(format!("{dir}/{}", words[2]), words[0].to_owned());
            }
        }
    }
    assert!(files.len() > 200, "{}", files.len());
    files
}

#[test]
#[cfg(feature = "serve")]
fn the_server_has_every_file_that_an_index_names() {
    let site = shared();
    let server = site.serve();
    for (path, sum) in named_files(&site) {
        let answer = server.get(&format!("/merged/{path}"));
        assert_eq!(answer.status, 200, "{path}");
        assert_eq!(sha256(&answer.body), sum, "{path}");
        // The links in the tree lead to the same bytes, for file: and for servers without rules.
        assert_eq!(
            sha256(&fs::read(site.merged(&path)).unwrap()),
            sum,
            "{path}"
        );
    }
}

#[test]
#[cfg(feature = "serve")]
fn the_server_sends_clients_to_archives_that_are_elsewhere() {
    let site = Site::of(DAEDALUS);
    site.configure(
        "pool = \"MAIN\"",
        "pool = \"MAIN\"\nredirect = \"https://mirror.example/debian\"",
    );
    site.ok(&["run"]);
    let server = site.serve();
    for (path, location) in [
        (
            "pool/MAIN/main/m/x+y_1%3a2.deb",
            "pool/main/m/x+y_1%3a2.deb",
        ),
        ("pool/MAIN/_/extra/x.deb", "extra/x.deb"),
    ] {
        let answer = server.get(&format!("/merged/{path}"));
        assert!((300..400).contains(&answer.status), "{}", answer.status);
        assert_eq!(
            answer.headers["location"],
            format!("https://mirror.example/debian/{location}")
        );
    }
}

/// Follows the rules that `config redirects` writes, with the web server that they are for.
#[test]
fn nginx_leads_to_every_file_by_the_rules_that_are_written_for_it() {
    if !has("nginx") {
        return;
    }
    let site = Site::of(ALL_SUITES);
    for archive in ["main", "overlay", "security"] {
        let pool = format!("pool = \"{}\"", archive.to_uppercase());
        let redirect = format!("{pool}\nredirect = \"http://mirror.example/{archive}\"");
        site.configure(&pool, &redirect);
    }
    site.ok(&["run"]);
    let rules = site.ok(&["config", "redirects", "nginx"]);
    let dir = site.path("nginx");
    fs::create_dir(&dir).unwrap();
    let here = dir.display();
    let tree = site.path("site");
    fs::write(
        dir.join("nginx.conf"),
        format!(
            "daemon off;\nworker_processes 1;\npid {here}/pid;\nerror_log {here}/error.log;\nevents {{}}\n\
             http {{\naccess_log off;\nclient_body_temp_path {here}/b;\nproxy_temp_path {here}/p;\n\
             fastcgi_temp_path {here}/f;\nuwsgi_temp_path {here}/u;\nscgi_temp_path {here}/s;\n\
             server {{\nlisten unix:{here}/socket;\nroot {};\n{rules}\n}}\n}}\n",
            tree.display()
        ),
    )
    .unwrap();
    let mut nginx = Command::new(if Path::new("/usr/sbin/nginx").exists() {
        "/usr/sbin/nginx"
    } else {
        "nginx"
    })
    .arg("-e")
    .arg(dir.join("error.log"))
    .arg("-c")
    .arg(dir.join("nginx.conf"))
    .stdin(Stdio::null())
    .spawn()
    .unwrap();
    let outcome = std::panic::catch_unwind(|| follow_nginx(&site, &dir.join("socket")));
    // Its worker ends with it when it is asked to end, not when it is killed.
    let pid = nix::unistd::Pid::from_raw(nginx.id() as i32);
    let _ = nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGTERM);
    let _ = nginx.wait();
    if let Err(panic) = outcome {
        std::panic::resume_unwind(panic);
    }
}

fn follow_nginx(site: &Site, socket: &Path) {
    let ask = |path: &str| {
        for _ in 0..100 {
            if let Ok(stream) = UnixStream::connect(socket) {
                return get(stream, path);
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        panic!("nginx does not answer");
    };
    for (path, sum) in named_files(site) {
        // As apt sends it, and as a client does that quotes more than it must.
        for path in [path.clone(), path.replace('+', "%2B")] {
            let answer = ask(&format!("/merged/{path}"));
            assert_eq!(answer.status, 302, "{path}");
            let location = &answer.headers["location"];
            let rest = location.strip_prefix("http://mirror.example/").unwrap();
            let file = site.path("archives").join(rest.replace("%2B", "+"));
            assert_eq!(sha256(&fs::read(file).unwrap()), sum, "{path}");
        }
    }
    assert_eq!(ask("/merged/dists/daedalus/InRelease").status, 200);
    assert_eq!(ask("/merged/pool/OTHER/x.deb").status, 404);
}

#[test]
fn archives_follow_each_other_and_packages_of_one_maintainer_and_source_stand_together() {
    let site = shared();
    for (suite, index) in indices() {
        let stanzas = published(&site, suite, &index);
        let mut before = None;
        let (mut is_tail, mut seen) = (false, BTreeSet::new());
        for same_name in stanzas.chunk_by(|a, b| name(a) == name(b)) {
            for pair in same_name.windows(2) {
                let [a, b] = [&pair[0], &pair[1]];
                let versions = compare_versions(version(a).as_bytes(), version(b).as_bytes());
                let architectures = field(a, "Architecture").cmp(&field(b, "Architecture"));
                let what = format!("{suite} {index}: {} {}", name(a), version(a));
                assert!(versions.then(architectures).is_lt(), "{what}");
            }
            let highest = &same_name[same_name.len() - 1];
            let place = (
                same_name.iter().any(|s| pool(s) == "OVERLAY"),
                field(highest, "Maintainer").map(str::to_owned),
                source_of(highest).0,
                name(highest).to_owned(),
            );
            // The packages of main that the overlay has to do with come after the others of main.
            if before.is_some_and(|before| before >= place) {
                assert!(!is_tail, "{suite} {index}: {place:?}");
                is_tail = true;
            }
            assert!(
                seen.insert(name(highest).to_owned()),
                "{suite} {index}: {place:?}"
            );
            before = Some(place);
        }
    }
}

#[test]
fn binary_all_has_the_all_packages_of_the_other_indices_and_nothing_else() {
    let site = shared();
    let mut seen = 0;
    for (suite, _) in MADE_OF {
        for component in components(suite) {
            for dir in ["", "debian-installer/"] {
                let of = |arch: &str| -> BTreeSet<String> {
                    let index = format!("{component}/{dir}binary-{arch}/Packages");
                    published(&site, suite, &index)
                        .into_iter()
                        .filter(|s| field(s, "Architecture") == Some("all"))
                        .collect()
                };
                let others: BTreeSet<_> = of("amd64").union(&of("arm64")).cloned().collect();
                let index = format!("{component}/{dir}binary-all/Packages");
                let all = published(&site, suite, &index);
                seen += all.len();
                assert_eq!(
                    all.len(),
                    of("all").len(),
                    "{suite} {index}: more than `all`"
                );
                assert_eq!(of("all"), others, "{suite} {index}");
            }
        }
    }
    assert!(seen >= 8, "{seen}");
}

/// Name and version of the source that a binary says it was built from.
fn source_of(stanza: &str) -> (String, String) {
    let own = (name(stanza), version(stanza));
    let (name, version) = match field(stanza, "Source").map(|s| s.split_once(" (")) {
        None => own,
        Some(None) => (field(stanza, "Source").unwrap(), own.1),
        Some(Some((name, version))) => (name, version.trim_end_matches(')')),
    };
    (name.to_owned(), version.to_owned())
}

fn sources(site: &Site, suite: &str) -> BTreeSet<(String, String)> {
    let all = components(suite).iter().flat_map(|component| {
        let stanzas = published(site, suite, &format!("{component}/source/Sources"));
        stanzas
            .into_iter()
            .map(|s| (name(&s).to_owned(), version(&s).to_owned()))
    });
    all.collect()
}

#[test]
fn every_published_binary_has_its_source() {
    let site = shared();
    for (suite, index) in indices() {
        if index.contains("/source/") {
            continue;
        }
        let mut sources = sources(&site, suite);
        // They would stand above the overlay's.
        let withheld = [("archy", "1.1-1"), ("retained", "1.0-1")];
        sources.extend(withheld.map(|(name, version)| (name.to_owned(), version.to_owned())));
        for stanza in published(&site, suite, &index) {
            let source = source_of(&stanza);
            assert!(sources.contains(&source), "{suite} {index}: {source:?}");
        }
    }
}

#[test]
fn sources_follow_precedence_except_where_a_binary_needs_one() {
    let site = shared();
    let main = published(&site, "daedalus", "main/source/Sources");
    let listed = listing(&main);
    for there in [
        "old-fork 1.0+devuan1 OVERLAY",
        "new-fork 3.0+devuan1 OVERLAY",
        "twin 1.0+devuan1 OVERLAY",
        "twin 1.0+devuan2 OVERLAY",
        "archy 1.0+devuan1 OVERLAY",
        "retained 0.9+devuan1 OVERLAY",
        "multi 1.0-1 MAIN",
        "multi 1.0-2 MAIN",
        "epochal 1:0.9-1 MAIN",
        "tilde 1.0~rc1-1 MAIN",
        "ranged 5:4.0-1 MAIN",
        "nmu-src 2.0-1 MAIN",
        "sysvinit 3.06-4devuan3 OVERLAY",
        "namesake-installer 1.0 OVERLAY",
        // libsystemd0 is built from it.
        "systemd 252.1-1 MAIN",
        "half-banned 1.0-1 MAIN",
    ] {
        assert!(listed.iter().any(|l| l == there), "{there} is missing");
    }
    for gone in [
        "old-fork 2.0-1 MAIN",
        "new-fork 2.9-1 MAIN",
        "twin 3.0-1 MAIN",
        "all-fork 2.0-1 MAIN",
        "shape-shift 1.0-1 MAIN",
        "cleaned 1.0-1 MAIN",
        "tainted 1.0-1 MAIN",
        "fork-udeb 2.0-1 MAIN",
        "gfx-fork 1.0-1 MAIN",
        // main's archy on arm64 and its retained-extra name them, and they would stand above the overlay's.
        "archy 1.1-1 MAIN",
        "retained 1.0-1 MAIN",
    ] {
        assert!(!listed.iter().any(|l| l == gone), "{gone} is there");
    }
    let contrib = published(&site, "daedalus", "contrib/source/Sources");
    assert!(listing(&contrib).contains(&"crossed 1.0+devuan1 OVERLAY".to_owned()));
}

#[test]
fn a_udeb_whose_source_the_overlay_hides_keeps_it() {
    let site = Site::of(DAEDALUS);
    // The overlay takes the source's name, and has none of its udebs.
    let date = "2026-01-02T00:00:00Z".parse().unwrap();
    site.edit_overlay("daedalus", "main/source/Sources", date, |text| {
        let source = upstream("main", "bookworm", "main/source/Sources")
            .into_iter()
            .find(|s| name(s) == "hello-udeb")
            .unwrap();
        let forked = source.replacen("Version: 1.0-1", "Version: 1.5+devuan1", 1);
        assert_ne!(source, forked);
        format!("{text}\n{forked}\n\n")
    });
    site.ok(&["run"]);
    let sources = listing(&published(&site, "daedalus", "main/source/Sources"));
    for there in ["hello-udeb 1.5+devuan1 OVERLAY", "hello-udeb 1.0-1 MAIN"] {
        assert!(sources.iter().any(|l| l == there), "{there}: {sources:?}");
    }
}

#[test]
fn bans_see_through_architectures_restrictions_and_profiles() {
    let site = Site::of(
        "[suites.proposed]\nfrom = { main = \"bookworm-proposed-updates\" }\ncomponents = [\"main\"]\n",
    )
    .publish();
    for arch in ["amd64", "arm64"] {
        let index = format!("main/binary-{arch}/Packages");
        let upstream = listing(&upstream("main", "bookworm-proposed-updates", &index));
        assert!(!upstream.is_empty());
        let stanzas = published(&site, "proposed", &index);
        assert!(stanzas.is_empty(), "{:?}", listing(&stanzas));
    }
    let report = fs::read_to_string(site.path("site/log/bannedpackages.txt")).unwrap();
    assert_eq!(
        lines(&report),
        ["dep-archqual", "dep-everything", "dep-profile"].map(|p| format!("proposed,{p}"))
    );
}

#[test]
fn an_exempt_archive_is_not_touched_by_bans() {
    let site = Site::of(DAEDALUS);
    site.configure("[bans]", "[bans]\nexempt = [\"main\"]");
    site.ok(&["run"]);
    let stanzas = published(&site, "daedalus", "main/binary-amd64/Packages");
    let listed = listing(&stanzas);
    for there in [
        "systemd 252.1-1 MAIN",
        "systemd-sysv 252.1-1 MAIN",
        "dep-systemd 1.0-1 MAIN",
        "half-banned 1.0-1 MAIN",
    ] {
        assert!(listed.iter().any(|l| l == there), "{there} is missing");
    }
    // The overlay's is banned still, and main's is not put in its place.
    assert!(!stanzas.iter().any(|s| name(s) == "tainted"));
    let report = fs::read_to_string(site.path("site/log/bannedpackages.txt")).unwrap();
    assert_eq!(report, "daedalus,tainted\n");
}

#[test]
fn reports_say_what_was_banned_and_what_is_older_than_what_it_hides() {
    let site = shared();
    let log = |name: &str| fs::read_to_string(site.path("site/log").join(name)).unwrap();
    assert_eq!(
        log("bannedpackages.txt"),
        "beowulf,relic-systemd\n\
         daedalus,alt-banned\n\
         daedalus,dep-spread\n\
         daedalus,dep-systemd\n\
         daedalus,dep-systemd-any\n\
         daedalus,dep-tight\n\
         daedalus,gfx-banned\n\
         daedalus,half-banned\n\
         daedalus,predep-sysv\n\
         daedalus,systemd\n\
         daedalus,systemd-sysv\n\
         daedalus,tainted\n\
         daedalus-security,sec-banned\n"
    );
    assert_eq!(
        log("daedalus-oldpackages.txt"),
        "daedalus,all-fork,1.0+devuan1,2.0-1\n\
         daedalus,archy,1.0+devuan1,1.1-1\n\
         daedalus,crossed,1.0+devuan1,1.1-1\n\
         daedalus,fork-udeb,1.0+devuan1,2.0-1\n\
         daedalus,old-fork,1.0+devuan1,2.0-1\n\
         daedalus,retained,0.9+devuan1,1.0-1\n\
         daedalus,twin,1.0+devuan2,3.0-1\n"
    );
    assert_eq!(
        log("beowulf_updates-oldpackages.txt"),
        "beowulf/updates,relic-fork,0.9+devuan2,1.0-1+deb10u1\n"
    );
    assert_eq!(log("daedalus-updates-oldpackages.txt"), "");
    assert_eq!(log("libsystemd.txt"), "daedalus,uses-libsystemd0\n");
    let history = log("amprolla.txt");
    assert!(
        history.ends_with(
            ",generation 1,beowulf beowulf/updates daedalus daedalus-security daedalus-updates\n"
        ),
        "{history}"
    );
}

/// Path, size and hash of what a Release lists.
fn entries(release: &str) -> BTreeMap<String, (u64, String)> {
    let lines = release.lines().skip_while(|l| *l != "SHA256:").skip(1);
    lines
        .map(|line| {
            let words: Vec<_> = line.split_whitespace().collect();
            (
                words[2].to_owned(),
                (words[1].parse().unwrap(), words[0].to_owned()),
            )
        })
        .collect()
}

fn release(site: &Site, suite: &str) -> String {
    fs::read_to_string(site.merged(&format!("dists/{suite}/Release"))).unwrap()
}

#[test]
fn release_lists_every_index_in_every_form_with_its_hash() {
    let site = shared();
    for (suite, _) in MADE_OF {
        let mut listed = entries(&release(&site, suite));
        for (_, index) in indices().iter().filter(|(s, _)| *s == suite) {
            let dir = site.merged(&format!("dists/{suite}"));
            let mut check = |path: String, data: Vec<u8>| {
                let (size, sum) = listed.remove(&path).unwrap_or_else(|| panic!("no {path}"));
                assert_eq!(
                    (size, sum.clone()),
                    (data.len() as u64, sha256(&data)),
                    "{path}"
                );
                (path, sum)
            };
            let plain = site.index(&format!("dists/{suite}/{index}"));
            check(index.clone(), plain.clone().into_bytes());
            let mut files = vec![format!("{index}.xz"), format!("{index}.gz")];
            files.push(format!("{}/Release", index.rsplit_once('/').unwrap().0));
            for path in files {
                let (path, sum) = check(path.clone(), fs::read(dir.join(&path)).unwrap());
                let parent = path.rsplit_once('/').unwrap().0;
                let by_hash = dir.join(format!("{parent}/by-hash/SHA256/{sum}"));
                assert!(by_hash.is_file(), "{}", by_hash.display());
            }
            let gz = fs::read(dir.join(format!("{index}.gz"))).unwrap();
            let mut text = String::new();
            std::io::Read::read_to_string(&mut flate2::read::GzDecoder::new(&gz[..]), &mut text)
                .unwrap();
            assert_eq!(text, plain, "{index}.gz");
        }
        assert_eq!(
            listed,
            BTreeMap::new(),
            "{suite} lists what nobody asked for"
        );
    }
}

#[test]
fn release_has_the_fields_that_are_set_and_those_of_the_first_archive() {
    let site = shared();
    let daedalus = release(&site, "daedalus");
    for (name, value) in [
        ("Origin", "Example"),
        ("Label", "Example"),
        ("Suite", "stable"),
        ("Codename", "daedalus"),
        ("Version", "5.0"),
        ("Acquire-By-Hash", "yes"),
        ("No-Support-for-Architecture-all", "Packages"),
        ("Architectures", "all amd64 arm64"),
        ("Components", "main contrib non-free non-free-firmware"),
    ] {
        assert_eq!(field(&daedalus, name), Some(value), "{name}");
    }
    assert_eq!(field(&daedalus, "Valid-Until"), None);
    let security = release(&site, "daedalus-security");
    assert_eq!(field(&security, "Origin"), Some("Devuan"));
    assert_eq!(field(&security, "Codename"), Some("daedalus-security"));
    let updates = release(&site, "beowulf/updates");
    assert_eq!(field(&updates, "Components"), Some("main contrib non-free"));
    // debootstrap asks for one of them.
    let named = [field(&updates, "Suite"), field(&updates, "Codename")];
    assert!(named.contains(&Some("beowulf/updates")), "{updates}");
}

#[test]
fn links_lead_to_their_suites() {
    let site = shared();
    for (alias, suite) in [
        ("stable", "daedalus"),
        ("5.0", "daedalus"),
        ("oldstable/updates", "beowulf/updates"),
    ] {
        let link = site.merged("dists").join(alias);
        assert!(link.is_symlink(), "{alias}");
        assert_eq!(
            link.canonicalize().unwrap(),
            site.merged("dists").join(suite).canonicalize().unwrap()
        );
    }
}

#[test]
fn a_suite_is_signed_again_when_half_of_its_time_is_over() {
    let site = Site::of(DAEDALUS);
    site.configure(
        "[signing]",
        "[publish]\nvalid-for = \"8 days\"\n\n[signing]",
    );
    site.run_at("2026-02-01T00:00:00Z");
    let first = release(&site, "daedalus");
    assert_eq!(
        field(&first, "Valid-Until"),
        Some("Mon, 09 Feb 2026 00:00:00 UTC")
    );
    site.run_at("2026-02-04T23:59:59Z");
    assert_eq!(release(&site, "daedalus"), first);
    let packages = site.merged("dists/daedalus/main/binary-amd64/Packages.xz");
    let before = fs::metadata(&packages).unwrap();
    site.run_at("2026-02-05T00:00:00Z");
    let second = release(&site, "daedalus");
    assert_eq!(
        (field(&second, "Date"), field(&second, "Valid-Until")),
        (
            Some("Thu, 05 Feb 2026 00:00:00 UTC"),
            Some("Fri, 13 Feb 2026 00:00:00 UTC")
        )
    );
    assert_eq!(entries(&second), entries(&first));
    let after = fs::metadata(&packages).unwrap();
    assert_eq!((after.ino(), after.mtime()), (before.ino(), before.mtime()));
    site.ok(&["verify", "--clock", "2026-02-05T00:00:00Z"]);
    let late = site.aptmerge(&["verify", "--clock", "2026-02-14T00:00:00Z"]);
    assert_eq!(late.code, Some(1), "it should have lapsed");
}

/// Gives the overlay's old-fork another description, in an archive of a later Date.
fn change_old_fork(site: &Site, number: i64) {
    let date = jiff::Timestamp::from_second(1_767_225_600 + number).unwrap();
    site.edit_overlay("daedalus", "main/binary-amd64/Packages", date, |text| {
        let changed = stanzas(&text).into_iter().map(|stanza| {
            if name(&stanza) != "old-fork" {
                return stanza + "\n\n";
            }
            let kept = stanza.lines().filter(|l| !l.starts_with("X-Number:"));
            let kept: Vec<_> = kept.collect();
            format!("{}\nX-Number: {number}\n\n", kept.join("\n"))
        });
        changed.collect()
    });
}

fn files_below(dir: &Path) -> BTreeSet<PathBuf> {
    walkdir::WalkDir::new(dir)
        .into_iter()
        .map(Result::unwrap)
        .filter(|entry| entry.file_type().is_file())
        .map(|entry| entry.path().strip_prefix(dir).unwrap().to_owned())
        .collect()
}

#[test]
fn what_did_not_change_keeps_inode_and_time_and_what_did_gets_a_later_time() {
    let site = Site::of(
        &(DAEDALUS.to_owned()
            + "[suites.daedalus-security]\nfrom = { overlay = \"daedalus-security\", security = \"bookworm-security\" }\n"),
    );
    site.run_at("2026-02-01T00:00:00Z");
    let dir = site.merged("dists").canonicalize().unwrap();
    let look = || -> BTreeMap<PathBuf, (u64, i64, Vec<u8>)> {
        let files = files_below(&dir).into_iter();
        let what = |path: &Path| {
            let metadata = fs::metadata(dir.join(path)).unwrap();
            let data = fs::read(dir.join(path)).unwrap();
            (metadata.ino(), metadata.mtime(), data)
        };
        files.map(|path| (path.clone(), what(&path))).collect()
    };
    let before = look();
    change_old_fork(&site, 1);
    site.run_at("2026-02-01T00:00:01Z");
    let after = look();
    let mut changed = BTreeSet::new();
    for (path, (inode, time, data)) in &before {
        let Some((new_inode, new_time, new_data)) = after.get(path) else {
            panic!("{} is gone", path.display());
        };
        if data == new_data {
            assert_eq!((inode, time), (new_inode, new_time), "{}", path.display());
        } else {
            assert_ne!(inode, new_inode, "{} was written in place", path.display());
            assert!(new_time > time, "{} is not later", path.display());
            changed.insert(path.to_str().unwrap().to_owned());
        }
    }
    let expected = [
        "InRelease",
        "Release",
        "Release.gpg",
        "main/binary-amd64/Packages.gz",
        "main/binary-amd64/Packages.xz",
    ];
    let expected = expected.map(|file| format!("daedalus/{file}"));
    assert_eq!(changed, expected.into());
}

#[test]
fn by_hash_files_are_kept_for_generations_and_days_and_go_after_both() {
    let site = Site::of(DAEDALUS);
    site.configure(
        "[signing]",
        "[publish]\nby-hash = { generations = 3, days = 2 }\npdiff = { patches = 0 }\n\n[signing]",
    );
    let by_hash = |release: &str| -> Vec<String> {
        let entries = entries(release).into_iter();
        entries
            .filter(|(path, _)| path.ends_with(".xz") || path.ends_with(".gz"))
            .map(|(path, (_, sum))| {
                let dir = path.rsplit_once('/').unwrap().0;
                format!("dists/daedalus/{dir}/by-hash/SHA256/{sum}")
            })
            .collect()
    };
    let gone = |release: &str| -> Vec<String> {
        // In both trees: the link points at either.
        let trees = ["site/merged-production", "site/merged-volatile"];
        let missing = |path: &String| !trees.iter().all(|t| site.path(t).join(path).is_file());
        by_hash(release).into_iter().filter(missing).collect()
    };
    // Ten generations within two days: nothing goes, however many there are.
    let mut releases = Vec::new();
    for number in 0..10 {
        change_old_fork(&site, number);
        site.run_at(&format!("2026-02-01T{:02}:00:00Z", 2 * number));
        releases.push(release(&site, "daedalus"));
        for release in &releases {
            assert_eq!(
                gone(release),
                Vec::<String>::new(),
                "at generation {number}"
            );
        }
    }
    // The days of all but the last are over now, and only its three predecessors are young in generations.
    change_old_fork(&site, 10);
    site.run_at("2026-02-08T00:00:00Z");
    for release in &releases[..7] {
        assert_eq!(gone(release).len(), 2, "Packages.xz and Packages.gz");
    }
    for release in &releases[7..] {
        assert_eq!(gone(release), Vec::<String>::new());
    }
    let status = site.json(&["status", "--json"]);
    assert_eq!(status["suites"]["daedalus"]["retained-by-hash"], 6);
    site.ok(&["verify", "--clock", "2026-02-08T00:00:00Z"]);
}

#[test]
fn by_hash_files_that_take_up_too_much_go_early_and_that_is_told() {
    let site = Site::of(DAEDALUS);
    site.configure(
        "[signing]",
        "[publish]\nby-hash = { generations = 9, days = 2, max-bytes = \"4 KiB\" }\npdiff = { patches = 0 }\n\n[signing]",
    );
    let shown = site.ok(&["config", "show"]);
    assert!(shown.contains("max-bytes = \"4 KiB\""), "{shown}");
    let mut given_up = Vec::new();
    let retained = || {
        let status = site.json(&["status", "--json"]);
        status["suites"]["daedalus"]["retained-by-hash"]
            .as_u64()
            .unwrap()
    };
    // Two files are dropped with each generation. Of those of the last hour and the last two generations, none goes.
    for number in 0..8 {
        change_old_fork(&site, number);
        let said = site.run(&[
            "-v",
            "--json",
            "--clock",
            &format!("2026-02-01T{number:02}:00:01Z"),
        ]);
        said.expect(0, &[]);
        let files = &said.outcome()["given-up"]["daedalus"]["files"];
        assert_eq!(
            said.stderr.contains("as `by-hash.max-bytes` wants it"),
            !files.is_null()
        );
        given_up.push(files.as_u64().unwrap_or(0));
        assert!(retained() >= 4.min(2 * number as u64), "{given_up:?}");
    }
    assert!(
        given_up[..3].iter().all(|files| *files == 0),
        "{given_up:?}"
    );
    let dropped = 2 * 7;
    let sum: u64 = given_up.iter().sum();
    assert!(sum > 0 && sum + retained() == dropped, "{given_up:?}");
    let last: serde_json::Value =
        serde_json::from_slice(&fs::read(site.root().join("state/last-run.json")).unwrap())
            .unwrap();
    assert!(!last["outcome"]["given-up"]["daedalus"]["bytes"].is_null());
    site.ok(&["verify", "--clock", "2026-02-01T08:00:00Z"]);
}

#[test]
fn a_suite_that_is_no_longer_configured_goes_and_so_do_links() {
    let site = Site::of(ALL_SUITES).publish();
    let config = fs::read_to_string(site.path("aptmerge.toml")).unwrap();
    let start = config.find("[suites.\"beowulf/updates\"]").unwrap();
    let end = config[start..]
        .find("\n[")
        .map_or(config.len(), |n| start + n);
    let less = format!("{}{}", &config[..start], &config[end..]);
    fs::write(site.path("aptmerge.toml"), less).unwrap();
    site.configure("links = [\"stable\", \"5.0\"]", "links = [\"stable\"]");
    let outcome = site.json(&["run", "--json"]);
    assert_eq!(outcome["removed"], serde_json::json!(["beowulf/updates"]));
    for tree in ["merged-production", "merged-volatile"] {
        let dists = site.path("site").join(tree).join("dists");
        for gone in ["beowulf/updates", "oldstable/updates", "5.0"] {
            let path = dists.join(gone);
            assert!(!path.exists() && !path.is_symlink(), "{}", path.display());
        }
        for there in ["beowulf/Release", "stable/Release", "daedalus/Release"] {
            assert!(dists.join(there).is_file(), "{there}");
        }
    }
    site.ok(&["verify"]);
    let again = site.json(&["run", "--json"]);
    assert_eq!(again["generation"], 2);
    assert_eq!(again["removed"], serde_json::json!([]));
}

#[test]
fn a_suite_within_another_suite_s_directory_goes_by_itself() {
    let site = Site::of(ALL_SUITES).publish();
    // beowulf is made anew, beowulf/updates stays as it is, and the other way round.
    let before = release(&site, "beowulf/updates");
    site.configure(
        "from = { overlay = \"beowulf\", main = \"buster\" }",
        "from = { overlay = \"beowulf\", main = \"buster\" }\nrelease = { Version = \"3.1\" }",
    );
    let outcome = site.json(&["run", "--json"]);
    assert_eq!(outcome["changed"], serde_json::json!(["beowulf"]));
    assert_eq!(release(&site, "beowulf/updates"), before);
    assert_eq!(field(&release(&site, "beowulf"), "Version"), Some("3.1"));
    site.configure(
        "links = [\"oldstable/updates\"]",
        "links = [\"oldstable/updates\"]\nrelease = { Version = \"3.2\" }",
    );
    let before = release(&site, "beowulf");
    let outcome = site.json(&["run", "--json"]);
    assert_eq!(outcome["changed"], serde_json::json!(["beowulf/updates"]));
    assert_eq!(release(&site, "beowulf"), before);
    site.ok(&["verify"]);
}

#[test]
fn json_says_what_was_done_and_what_is_served() {
    let site = Site::of(DAEDALUS);
    let first = site.json(&["run", "--json"]);
    assert_eq!(
        first,
        serde_json::json!({
            "generation": 1,
            "changed": ["daedalus"],
            "difference": {"daedalus": {"is-new": true, "changes": [], "omitted": 0, "indices": []}},
            "removed": [],
            "links-changed": true,
            "recovered": false,
            "kept": [],
            "failed-pushes": [],
        })
    );
    let second = site.json(&["run", "--json"]);
    assert_eq!(
        (&second["generation"], &second["changed"]),
        (&1.into(), &serde_json::json!([]))
    );
    let status = site.json(&["status", "--json"]);
    assert_eq!(status["link"], "production");
    assert_eq!(status["generation"], 1);
    assert_eq!(status["lock-holder"], serde_json::Value::Null);
    assert_eq!(status["last-run"]["outcome"], second);
    let suite = &status["suites"]["daedalus"];
    assert_eq!(suite["generation"], 1);
    assert_eq!(
        suite["archives"],
        serde_json::json!([
            {"archive": "overlay", "suite": "daedalus", "date": "2026-01-01T00:00:00Z"},
            {"archive": "main", "suite": "bookworm", "date": "2026-01-01T00:00:00Z"},
        ])
    );
    let count = |dir: &str| -> usize {
        let of = |c: &&str| site.stanzas(&format!("dists/daedalus/{c}/{dir}")).len();
        COMPONENTS.iter().map(of).sum()
    };
    let counts = serde_json::json!({
        "all": count("binary-all/Packages"),
        "amd64": count("binary-amd64/Packages"),
        "arm64": count("binary-arm64/Packages"),
        "installer-all": count("debian-installer/binary-all/Packages"),
        "installer-amd64": count("debian-installer/binary-amd64/Packages"),
        "installer-arm64": count("debian-installer/binary-arm64/Packages"),
        "source": count("source/Sources"),
    });
    assert_eq!(suite["packages"], counts);
    let date = release(&site, "daedalus");
    let date =
        jiff::fmt::strtime::parse("%a, %d %b %Y %H:%M:%S UTC", field(&date, "Date").unwrap());
    let date = date.unwrap().to_datetime().unwrap();
    assert_eq!(suite["date"], format!("{date}Z"));
}

#[test]
fn the_same_inputs_and_clock_give_the_same_bytes() {
    let trees = [(); 2].map(|()| {
        let site = Site::of(ALL_SUITES);
        site.run_at("2026-02-01T00:00:00Z");
        let dir = site.merged("dists").canonicalize().unwrap();
        let files = files_below(&dir).into_iter();
        // Signatures need not be the same.
        let files = files.filter(|p| !p.ends_with("InRelease") && !p.ends_with("Release.gpg"));
        files
            .map(|path| (path.clone(), sha256(&fs::read(dir.join(path)).unwrap())))
            .collect::<BTreeMap<_, _>>()
    });
    assert!(trees[0].len() > 100);
    assert_eq!(trees[0], trees[1]);
}
