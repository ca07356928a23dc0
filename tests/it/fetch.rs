//! Mirrors over HTTP: what is asked for, what is not asked for twice, and what becomes of a suite while its mirror misbehaves.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use crate::common::site::{Site, files};
use crate::common::upstream::{NEWER, NEWEST, Suite, stanza};
use crate::common::web::{Mirror, Request};

const PACKAGES: &str = "main/binary-amd64/Packages";

/// A site whose archives come from one server.
fn site_over_http() -> (Site, Mirror) {
    let site = Site::new();
    let mirror = Mirror::of(&site.path("archives"));
    use_uris(&site, &[mirror.uri()]);
    (site, mirror)
}

/// Both archives at these URIs, in that order.
fn use_uris(site: &Site, uris: &[String]) {
    let mut config = site.config().to_owned();
    for archive in ["overlay", "main"] {
        let old = format!("\"file://{}/{archive}\"", site.path("archives").display());
        let new: Vec<_> = uris.iter().map(|u| format!("\"{u}/{archive}\"")).collect();
        assert!(config.contains(&old));
        config = config.replace(&old, &new.join(", "));
    }
    site.write_config(&config);
}

fn is_release(request: &Request) -> bool {
    ["/InRelease", "/Release", "/Release.gpg"]
        .iter()
        .any(|name| request.path.ends_with(name))
}

fn paths<'a>(requests: &'a [Request], archive: &str) -> Vec<&'a str> {
    let mine = requests.iter().filter(|r| r.path.starts_with(archive));
    mine.map(|r| r.path.as_str()).collect()
}

fn index(site: &Site) -> String {
    site.index("dists/daedalus/main/binary-amd64/Packages")
}

/// A suite's file in the spool, without what it remembers of newer Releases.
fn spooled(site: &Site, archive: &str, suite: &str) -> String {
    let path = site.path(format!("site/spool/{archive}/{suite}.json"));
    let text = fs::read_to_string(path).unwrap();
    let mut copy: serde_json::Value = serde_json::from_str(&text).unwrap();
    copy.as_object_mut().unwrap().remove("newest");
    copy.to_string()
}

/// A later state of main with a package more.
fn newer_main(site: &Site, date: &str, name: &str) -> Suite {
    let mut suite = site.main();
    suite.set("Date", date);
    suite.append_stanza(PACKAGES, &stanza(name));
    suite.sign();
    suite
}

#[test]
fn indices_come_by_hash_where_the_archive_has_that_and_by_name_where_not() {
    let (site, mirror) = site_over_http();
    site.run(&[]).expect(0, &[]);
    let requests = mirror.requests();
    assert!(requests.iter().all(|r| r.status == 200), "{requests:?}");
    let (main, overlay) = (paths(&requests, "main/"), paths(&requests, "overlay/"));
    assert_eq!(main[0], "main/dists/bookworm/InRelease");
    assert!(main.len() > 2 && overlay.len() > 2);
    assert!(
        main[1..].iter().all(|p| p.contains("/by-hash/SHA256/")),
        "{main:?}"
    );
    assert_eq!(overlay[0], "overlay/dists/daedalus/InRelease");
    // Compressed, each once.
    for path in &overlay[1..] {
        assert!(path.ends_with(".xz") || path.ends_with(".gz"), "{path}");
        assert_eq!(overlay.iter().filter(|p| *p == path).count(), 1, "{path}");
    }
    // The same comes out as from the files themselves.
    let by_file = Site::published();
    assert_eq!(index(&site), index(&by_file));
}

#[test]
fn by_hash_that_is_announced_and_not_there_is_no_obstacle() {
    let (site, mirror) = site_over_http();
    mirror.behave(|path| path.contains("/by-hash/").then(|| (404, Vec::new())));
    site.run(&[]).expect(0, &[]);
    let requests = mirror.requests();
    let by_name = |r: &&Request| r.status == 200 && r.path.starts_with("main/dists/bookworm/main/");
    assert!(requests.iter().filter(by_name).count() >= 2, "{requests:?}");
}

#[test]
fn by_hash_that_may_not_be_read_is_no_obstacle() {
    let (site, mirror) = site_over_http();
    for status in [403, 400] {
        mirror.behave(move |path| path.contains("/by-hash/").then(|| (status, Vec::new())));
        site.run(&["--rebuild"]).expect(0, &[]);
        newer_main(&site, NEWER, &format!("newcomer-{status}"));
    }
    let requests = mirror.requests();
    let by_name = |r: &&Request| r.status == 200 && r.path.starts_with("main/dists/bookworm/main/");
    assert!(requests.iter().filter(by_name).count() >= 2, "{requests:?}");
}

#[test]
fn a_password_stays_in_the_configuration() {
    let (site, _mirror) = site_over_http();
    let config = fs::read_to_string(site.path("aptmerge.toml")).unwrap();
    site.write_config(&config.replace("\"http://", "\"http://robot:S3CRET@"));
    let first = site.run(&["-v"]);
    let led_nowhere =
        "archives.main.redirect: it is not set, and every URI has a user or a password";
    first.expect(
        0,
        &[
            "fetched main bookworm",
            led_nowhere,
            "set it to a URI that clients can use",
        ],
    );
    let checked = site.aptmerge(&["config", "check"]);
    assert!(checked.stdout.contains(led_nowhere), "{}", checked.stdout);
    site.aptmerge(&["run"]);
    let second = site.aptmerge(&["run"]);
    assert!(!second.stderr.contains(led_nowhere), "{}", second.stderr);
    let status = site.aptmerge(&["status"]);
    let json = site.aptmerge(&["status", "--json"]);
    site.assert_secret_is_kept(&[first, second, status, json]);
}

#[test]
fn a_release_with_its_signature_apart_serves_as_well() {
    let (site, mirror) = site_over_http();
    fs::remove_file(site.main().dir.join("InRelease")).unwrap();
    site.run(&[]).expect(0, &[]);
    let requests = mirror.requests();
    let main: Vec<_> = requests
        .iter()
        .filter(|r| r.path.starts_with("main/") && is_release(r))
        .collect();
    let seen: Vec<_> = main
        .iter()
        .map(|r| (r.path.rsplit('/').next().unwrap(), r.status))
        .collect();
    assert_eq!(
        seen,
        [("InRelease", 404), ("Release", 200), ("Release.gpg", 200)]
    );
    // The second time the Release is the same, so nobody wants its signature.
    site.run_without_news(&[]);
    let requests = mirror.requests();
    let seen: Vec<_> = requests
        .iter()
        .filter(|r| r.path.starts_with("main/"))
        .map(|r| (r.path.rsplit('/').next().unwrap(), r.status))
        .collect();
    assert_eq!(seen, [("InRelease", 404), ("Release", 304)]);
    // Without its signature a Release is nothing.
    fs::remove_file(site.main().dir.join("Release.gpg")).unwrap();
    let mut suite = site.main();
    suite.set("Date", NEWER);
    fs::write(suite.dir.join("Release"), &suite.body).unwrap();
    site.run(&[]).expect(
        3,
        &["neither an InRelease nor a Release with a Release.gpg"],
    );
}

#[test]
fn a_second_run_asks_for_the_releases_alone_and_gets_no_bytes() {
    let (site, mirror) = site_over_http();
    site.run(&[]).expect(0, &[]);
    let first = mirror.requests();
    assert!(first.iter().all(|r| !r.is_conditional));
    let before = site.served();
    site.run_without_news(&[]);
    let second = mirror.requests();
    assert_eq!(second.len(), 2, "{second:?}");
    for request in &second {
        assert!(is_release(request) && request.is_conditional, "{request:?}");
        assert_eq!(request.status, 304, "{request:?}");
    }
    assert_eq!(before, site.served());
}

#[test]
fn only_the_index_that_changed_is_transferred() {
    let (site, mirror) = site_over_http();
    site.run(&[]).expect(0, &[]);
    mirror.requests();
    newer_main(&site, NEWER, "newcomer");
    site.run(&[]).expect(0, &[]);
    let requests = mirror.requests();
    let indices: Vec<_> = requests.iter().filter(|r| !is_release(r)).collect();
    assert_eq!(indices.len(), 1, "{requests:?}");
    assert!(
        indices[0]
            .path
            .starts_with("main/dists/bookworm/main/binary-amd64/by-hash/")
    );
    assert!(index(&site).contains("Package: newcomer\n"));
}

#[test]
fn the_next_uri_serves_when_the_first_fails() {
    for failure in [404, 403, 500] {
        let site = Site::new();
        let (bad, good) = (
            Mirror::of(&site.path("archives")),
            Mirror::of(&site.path("archives")),
        );
        bad.behave(move |_| Some((failure, Vec::new())));
        use_uris(&site, &[bad.uri(), good.uri()]);
        site.run(&[]).expect(0, &[]);
        assert!(!bad.requests().is_empty() && good.requests().len() > 4);
        // The first is asked first again, once it is well.
        bad.behave_well();
        newer_main(&site, NEWER, "newcomer");
        site.run(&[]).expect(0, &[]);
        assert!(
            bad.requests()
                .iter()
                .any(|r| r.path.contains("binary-amd64") && r.status == 200)
        );
        assert!(paths(&good.requests(), "main/").is_empty());
        assert!(index(&site).contains("Package: newcomer\n"));
    }
}

#[test]
fn when_every_uri_fails_each_is_named_with_its_reason() {
    let site = Site::new();
    let (one, two) = (
        Mirror::of(&site.path("archives")),
        Mirror::of(&site.path("archives")),
    );
    one.behave(|_| Some((403, Vec::new())));
    two.behave(|path| path.ends_with("Release").then(|| (404, Vec::new())));
    use_uris(&site, &[one.uri(), two.uri()]);
    let said = site.run(&[]);
    said.expect(
        1,
        &[
            "there is no earlier copy",
            &one.uri(),
            "403",
            &two.uri(),
            "neither an InRelease nor a Release",
        ],
    );
    assert!(site.served().is_empty());
}

#[test]
fn a_mirror_that_lags_is_not_followed_back() {
    let site = Site::new();
    let old = site.path("old");
    crate::common::site::copy_tree(&site.path("archives"), &old);
    newer_main(&site, NEWER, "newcomer");
    let (present, lagging) = (Mirror::of(&site.path("archives")), Mirror::of(&old));
    use_uris(&site, &[present.uri(), lagging.uri()]);
    site.run(&[]).expect(0, &[]);
    let before = site.served();
    present.behave(|_| Some((503, Vec::new())));
    site.run(&[]).expect(
        3,
        &[
            &present.uri(),
            "503",
            &lagging.uri(),
            "is older than the one of 2026-02-02",
            "last good copy",
        ],
    );
    assert_eq!(before, site.served());
}

/// The Release of one state, the indices of another: what a mirror shows while it is synced.
fn in_mid_sync(mirror: &Mirror, archive: &str, requests: u32) -> Arc<AtomicU32> {
    let asked = Arc::new(AtomicU32::new(0));
    let counter = Arc::clone(&asked);
    let start = format!("{archive}/dists/");
    mirror.behave(move |path| {
        if !path.starts_with(&start) || !path.contains("binary-amd64/") {
            return None;
        }
        if path.contains("/by-hash/") {
            return Some((404, Vec::new()));
        }
        let count = counter.fetch_add(1, Ordering::SeqCst);
        (count < requests).then(|| {
            (
                200,
                crate::common::upstream::xz(b"Package: of-the-next-state\n"),
            )
        })
    });
    asked
}

fn with_restarts(site: &Site, mirror: &Mirror, restarts: u32) {
    use_uris(site, &[mirror.uri()]);
    let config = fs::read_to_string(site.path("aptmerge.toml")).unwrap();
    let with = config.replace("restarts = 0", &format!("restarts = {restarts}"));
    site.write_config(&with);
}

#[test]
fn a_mirror_in_mid_sync_is_asked_again_from_the_release_on() {
    let (site, mirror) = site_over_http();
    with_restarts(&site, &mirror, 3);
    let asked = in_mid_sync(&mirror, "main", 2);
    site.run(&[]).expect(0, &[]);
    assert!(asked.load(Ordering::SeqCst) > 2);
    let requests = mirror.requests();
    let releases: Vec<_> = requests
        .iter()
        .filter(|r| r.path == "main/dists/bookworm/InRelease")
        .collect();
    assert_eq!(releases.len(), 3, "{requests:?}");
    assert!(
        releases
            .iter()
            .all(|r| !r.is_conditional && r.status == 200)
    );
    // The other archive was not begun afresh for that.
    assert_eq!(
        paths(&requests, "overlay/")
            .iter()
            .filter(|p| p.ends_with("InRelease"))
            .count(),
        1
    );
    assert!(!index(&site).contains("of-the-next-state"));
}

#[test]
fn the_release_may_be_the_one_that_comes_late() {
    // The indices are of the next state already, then its Release arrives too.
    let (site, mirror) = site_over_http();
    site.run(&[]).expect(0, &[]);
    let old_release = fs::read(site.main().dir.join("InRelease")).unwrap();
    fs::remove_dir_all(site.root()).unwrap();
    let suite = newer_main(&site, NEWER, "newcomer");
    fs::remove_dir_all(suite.dir.join("main/binary-amd64/by-hash")).unwrap();
    with_restarts(&site, &mirror, 3);
    let count = AtomicU32::new(0);
    mirror.behave(move |path| {
        let is_it = path == "main/dists/bookworm/InRelease";
        (is_it && count.fetch_add(1, Ordering::SeqCst) == 0).then(|| (200, old_release.clone()))
    });
    site.run(&[]).expect(0, &[]);
    assert!(index(&site).contains("Package: newcomer\n"));
}

#[test]
fn a_mirror_that_never_ends_its_sync_leaves_the_last_good_copy() {
    let (site, mirror) = site_over_http();
    with_restarts(&site, &mirror, 2);
    site.run(&[]).expect(0, &[]);
    let spool_before = spooled(&site, "main", "bookworm");
    mirror.requests();
    newer_main(&site, NEWER, "newcomer");
    in_mid_sync(&mirror, "main", u32::MAX);
    // Meanwhile the other archive goes on.
    let mut overlay = site.overlay();
    overlay.set("Date", NEWER);
    overlay.append_stanza(PACKAGES, &stanza("elsewhere"));
    overlay.sign();
    let said = site.run(&["--json"]);
    said.expect(
        3,
        &["suite `bookworm` of archive `main` stays at its last good copy, of 2026-01-01"],
    );
    let outcome = said.outcome();
    let kept = outcome["kept"].as_array().unwrap();
    assert_eq!(kept.len(), 1, "{kept:?}");
    assert_eq!(
        (&kept[0]["archive"], &kept[0]["suite"]),
        (&"main".into(), &"bookworm".into())
    );
    let why = kept[0]["why"].as_str().unwrap();
    assert!(
        why.contains("main/dists/bookworm/main/binary-amd64/Packages"),
        "{why}"
    );
    let tries = mirror.requests();
    let tries = tries
        .iter()
        .filter(|r| r.path == "main/dists/bookworm/InRelease");
    assert_eq!(tries.count(), 3, "once, and two restarts");
    // No index of the new state may be mixed with those of the old one.
    assert_eq!(spooled(&site, "main", "bookworm"), spool_before);
    let text = index(&site);
    assert!(text.contains("Package: elsewhere\n") && !text.contains("Package: newcomer\n"));
    site.aptmerge(&["verify"]).expect(0, &[]);
    let status = site.json_of(&["status", "--json"]);
    assert_eq!(status["last-run"]["outcome"]["kept"], outcome["kept"]);
    // And it is over when the mirror is done.
    mirror.behave_well();
    site.run(&[]).expect(0, &[]);
    assert!(index(&site).contains("Package: newcomer\n"));
}

#[test]
fn one_bad_index_keeps_all_of_its_suite() {
    let (site, mirror) = site_over_http();
    // One after the other, so that the good index comes before the bad one ends the suite.
    let config = fs::read_to_string(site.path("aptmerge.toml")).unwrap();
    site.write_config(&config.replace("restarts = 0", "restarts = 0\nparallel = 1"));
    site.run(&[]).expect(0, &[]);
    let before = (spooled(&site, "main", "bookworm"), site.served());
    let mut suite = site.main();
    suite.set("Date", NEWER);
    suite.append_stanza(PACKAGES, &stanza("newcomer"));
    let sources = suite.index("main/source/Sources");
    suite.put_index("main/source/Sources", format!("{sources}\n").as_bytes());
    suite.sign();
    suite.damage("main/source/Sources", |data| data[20] ^= 1);
    site.run(&[]).expect(
        3,
        &["main/source/", "its hash is not the one in the Release"],
    );
    // The good index of the same Release came, and was not taken.
    assert!(
        mirror
            .requests()
            .iter()
            .any(|r| r.path.contains("binary-amd64/") && r.status == 200)
    );
    assert_eq!(before, (spooled(&site, "main", "bookworm"), site.served()));
}

#[test]
fn a_suite_that_cannot_be_fetched_does_not_keep_others_from_being_published() {
    let (site, mirror) = site_over_http();
    site.restore_archive("main", "bookworm-updates");
    let config = fs::read_to_string(site.path("aptmerge.toml")).unwrap();
    site.write_config(&format!(
        "{config}\n[suites.daedalus-updates]\nfrom = {{ main = \"bookworm-updates\" }}\n"
    ));
    site.run(&[]).expect(0, &[]);
    let release =
        |suite: &str| fs::read(site.path(format!("site/merged/dists/{suite}/InRelease"))).unwrap();
    let (daedalus, updates) = (release("daedalus"), release("daedalus-updates"));
    mirror.behave(|path| {
        path.starts_with("main/dists/bookworm/")
            .then(|| (500, Vec::new()))
    });
    let mut suite = Suite::open(&site, "main", "bookworm-updates");
    suite.set("Date", NEWER);
    suite.append_stanza(PACKAGES, &stanza("newcomer"));
    suite.sign();
    site.run(&[])
        .expect(3, &["suite `bookworm` of archive `main`", "500"]);
    assert_eq!(release("daedalus"), daedalus);
    assert_ne!(release("daedalus-updates"), updates);
    site.aptmerge(&["verify"]).expect(0, &[]);
}

#[test]
fn a_suite_with_a_slash_is_fetched_and_published() {
    let (site, mirror) = site_over_http();
    site.restore_archive("security", "buster");
    site.restore_archive("overlay", "beowulf-security");
    let config = fs::read_to_string(site.path("aptmerge.toml")).unwrap();
    let archive = format!(
        "[archives.security]\npool = \"SECURITY\"\nuris = [\"{}/security\"]\nsigned-by = \"keys/security.gpg\"\n\n",
        mirror.uri()
    );
    let suite = "[suites.\"beowulf/updates\"]\nfrom = { overlay = \"beowulf-security\", security = \"buster/updates\" }\n\n";
    let config = config
        .replace(
            "[\"overlay\", \"main\"]",
            "[\"overlay\", \"security\", \"main\"]",
        )
        .replace(
            "[suites.daedalus]",
            &format!("{archive}{suite}[suites.daedalus]"),
        );
    site.write_config(&config);
    site.run(&[]).expect(0, &[]);
    let requests = mirror.requests();
    let security = paths(&requests, "security/");
    assert_eq!(security[0], "security/dists/buster/updates/InRelease");
    // Its components are called updates/main, its paths begin with main.
    assert!(
        security[1..]
            .iter()
            .all(|p| p.starts_with("security/dists/buster/updates/main/")),
        "{security:?}"
    );
    assert!(spooled(&site, "security", "buster_updates").contains("main/binary-amd64/Packages"));
    let text = site.index("dists/beowulf/updates/main/binary-amd64/Packages");
    assert!(
        text.contains("Filename: pool/SECURITY/updates/main/"),
        "{text}"
    );
    assert!(text.contains("Version: 0.9+devuan2\n"), "{text}");
    site.aptmerge(&["verify"]).expect(0, &[]);
    site.run_without_news(&[]);
}

#[test]
fn check_valid_until_false_is_said_in_every_run() {
    let (site, _mirror) = site_over_http();
    let mut suite = site.main();
    suite.set("Date", NEWER);
    suite.set("Valid-Until", "Fri, 06 Feb 2026 00:00:00 UTC");
    suite.sign();
    site.run(&[]).expect(
        1,
        &[
            "main/dists/bookworm: the Release has expired on 2026-02-06",
            "check-valid-until = false",
        ],
    );
    let config = fs::read_to_string(site.path("aptmerge.toml")).unwrap();
    site.write_config(&config.replace(
        "pool = \"MAIN\"",
        "pool = \"MAIN\"\ncheck-valid-until = false",
    ));
    for _ in 0..2 {
        site.run(&["-v"]).expect(
            0,
            &[
                "warning: ",
                "main/dists/bookworm: the Release has expired on 2026-02-06",
                "archive `main`",
            ],
        );
    }
    // It does not make an archive young again in other ways.
    let mut suite = site.main();
    suite.set("Date", "Sun, 01 Feb 2026 00:00:00 UTC");
    suite.sign();
    site.run(&[])
        .expect(3, &["is older than the one of 2026-02-02"]);
    // And a good one is good without a word.
    let mut suite = site.main();
    suite.set("Date", NEWEST);
    suite.remove("Valid-Until");
    suite.sign();
    assert_eq!(site.run(&[]).expect(0, &[]).stderr, "");
}

#[test]
fn a_run_that_goes_well_says_nothing() {
    let (site, _mirror) = site_over_http();
    for _ in 0..2 {
        let said = site.run(&[]);
        said.expect(0, &[]);
        assert_eq!((said.stdout.as_str(), said.stderr.as_str()), ("", ""));
    }
}

/// Returns the objects of the spool, with the number of the file of each.
fn objects(site: &Site) -> BTreeMap<PathBuf, u64> {
    let files = files(&site.root().join("spool/objects")).into_iter();
    let objects = files.filter(|path| path.extension().is_some_and(|e| e == "zst"));
    let objects = objects.map(|path| (path.clone(), path.metadata().unwrap().ino()));
    objects.collect()
}

#[test]
fn an_object_that_is_there_is_not_replaced_while_somebody_may_read_it() {
    let site = Site::new();
    let mut suite = site.main();
    // Its Release lists packed forms alone, so what is in them is known only when they are unpacked.
    let is_plain = |line: &&str| line.starts_with(' ') && line.ends_with("/Packages");
    let kept = suite.body.lines().filter(|line| !is_plain(line));
    suite.body = kept.map(|line| format!("{line}\n")).collect();
    suite.sign();
    site.ok(&["run"]);
    let before = objects(&site);
    suite.set("Date", NEWER);
    suite.sign();
    site.ok(&["run"]);
    assert_eq!(objects(&site), before);
    // One that is damaged is.
    let of_main = fs::read_to_string(site.root().join("spool/main/bookworm.json")).unwrap();
    let name = |path: &PathBuf| path.file_stem().unwrap().to_str().unwrap().to_owned();
    let damaged = before.keys().find(|path| of_main.contains(&name(path)));
    let damaged = damaged.unwrap();
    let whole = fs::read(damaged).unwrap();
    fs::write(damaged, &whole[..whole.len() / 2]).unwrap();
    fs::write(site.root().join("spool/main/bookworm.json"), "{").unwrap();
    assert_eq!(site.run(&[]).code, Some(0));
    assert_eq!(fs::read(damaged).unwrap(), whole);
}
