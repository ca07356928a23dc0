//! Archives, and mirrors, that stand still: what clients and operators see of it.

use std::fs;

use jiff::{SignedDuration, Timestamp};

use crate::common::apt::{Apt, field};
use crate::common::programs::{Said, has};
use crate::common::site::Site;
use crate::common::upstream::{NEWER, stanza};

const PACKAGES: &str = "main/binary-amd64/Packages";

fn days(n: i64) -> SignedDuration {
    SignedDuration::from_hours(24 * n)
}

fn hours(n: i64) -> SignedDuration {
    SignedDuration::from_hours(n)
}

fn release_date(time: Timestamp) -> String {
    time.strftime("%a, %d %b %Y %H:%M:%S UTC").to_string()
}

/// A call at a set time.
fn at(site: &Site, time: Timestamp, arguments: &[&str]) -> Said {
    site.aptmerge(&[arguments, &["--clock", &time.to_string()]].concat())
}

/// Signs main anew, as of a time, for so long.
fn sign_main(site: &Site, date: Timestamp, valid: SignedDuration) {
    let mut suite = site.main();
    suite.set("Date", &release_date(date));
    suite.set("Valid-Until", &release_date(date + valid));
    suite.sign();
}

fn configure(site: &Site, change: [&str; 2]) {
    let path = site.path("aptmerge.toml");
    let config = fs::read_to_string(&path).unwrap();
    assert!(config.contains(change[0]), "{}", change[0]);
    fs::write(path, config.replace(change[0], change[1])).unwrap();
}

fn valid_until(site: &Site) -> Option<String> {
    let text = fs::read_to_string(site.root().join("merged/dists/daedalus/Release")).unwrap();
    field(&text, "Valid-Until").map(str::to_owned)
}

fn start() -> Timestamp {
    "2026-03-01T00:00:00Z".parse().unwrap()
}

#[test]
fn a_frozen_archive_is_not_dated_anew() {
    for own in ["", "valid-for = \"7 days\"\n"] {
        let site = Site::new();
        configure(&site, ["[publish]\n", &format!("[publish]\n{own}")]);
        let begun = start();
        sign_main(&site, begun - hours(1), days(5));
        at(&site, begun, &["run"]).expect(0, &[]);
        let bound = Some(release_date(begun - hours(1) + days(5)));
        assert_eq!(valid_until(&site), bound);
        let served = site.served();
        // It cannot be lengthened, so it is not signed again; a day before the end that is told.
        let said = at(&site, begun + days(3), &["run"]);
        assert_eq!(said.expect(0, &[]).stderr, "");
        at(&site, begun + days(4), &["run"])
            .expect(0, &["warning: suite `daedalus`", "from then on"]);
        assert_eq!(site.served(), served);
        // The archive signs the same indices anew, and so do we.
        sign_main(&site, begun + days(4), days(5));
        at(&site, begun + days(4) + hours(1), &["run"]).expect(0, &[]);
        assert_eq!(valid_until(&site), Some(release_date(begun + days(9))));
        // From here on it stands still, and clients come to see it.
        let served = site.served();
        for verb in ["run", "publish", "merge"] {
            for day in [10, 70] {
                let words = ["has expired on", "last good copy", "is not signed any more"];
                at(&site, begun + days(day), &[verb]).expect(3, &words);
            }
        }
        assert_eq!(site.served(), served);
        at(&site, begun + days(10), &["verify"]).expect(1, &[]);
        // What the overlay has meanwhile waits for an operator.
        site.news();
        let said = at(&site, begun + days(70), &["run"]);
        said.expect(
            1,
            &[
                "is not signed anew",
                "archive `main`",
                "inherit-valid-until",
            ],
        );
        assert_eq!(site.served(), served);
        configure(
            &site,
            [
                "pool = \"MAIN\"",
                "pool = \"MAIN\"\ninherit-valid-until = false",
            ],
        );
        at(&site, begun + days(70) + hours(1), &["run"]).expect(3, &["has expired on"]);
        assert!(
            site.index(&format!("dists/daedalus/{PACKAGES}"))
                .contains("newcomer")
        );
        assert_eq!(valid_until(&site).is_some(), !own.is_empty());
    }
}

#[test]
fn an_archive_that_signs_for_minutes_stops_no_client() {
    let site = Site::new();
    let mut now = start();
    let mut served = None;
    for _ in 0..4 {
        sign_main(
            &site,
            now - hours(24 * 10),
            days(10) + SignedDuration::from_mins(10),
        );
        at(&site, now, &["run"]).expect(0, &[]);
        // Whatever it says of its own age, clients have a day at least.
        at(&site, now + days(1), &["verify"]).expect(0, &[]);
        now += days(1);
        assert_ne!(served, valid_until(&site));
        served = valid_until(&site);
    }
    // Then it stands still.
    for day in 0..3 {
        at(&site, now + days(day), &["run"]).expect(3, &["has expired on"]);
    }
    at(&site, now + days(3), &["verify"]).expect(1, &[]);
}

#[test]
fn an_archive_past_its_max_age_is_told_by_whatever_publishes() {
    let site = Site::new();
    configure(
        &site,
        ["pool = \"MAIN\"", "pool = \"MAIN\"\nmax-age = \"100 days\""],
    );
    at(&site, start(), &["run"]).expect(0, &[]);
    for verb in ["run", "publish", "merge"] {
        let said = at(&site, start() + days(400), &[verb]);
        said.expect(
            3,
            &["archive `main`", "of 2026-01-01", "max-age of 100 days"],
        );
    }
}

#[test]
fn apt_sees_that_an_archive_is_frozen() {
    if !has("apt-get") {
        return;
    }
    let now = Timestamp::now();
    let past = now - days(70);
    let site = Site::new();
    sign_main(&site, past, days(10));
    at(&site, past + hours(1), &["run"]).expect(0, &[]);
    let source = format!(
        "deb [signed-by={}] file:{} daedalus main\n",
        site.path("keys/publish-a.gpg").display(),
        site.root().join("merged").display()
    );
    let update = || Apt::new(&["amd64"], &source, "").call("apt-get", &["update"]);
    at(&site, now, &["run"]).expect(3, &["has expired on"]);
    let told = String::from_utf8_lossy(&update().stderr).into_owned();
    assert!(told.contains("expired"), "{told}");
    // Once the archive goes on, so do clients.
    sign_main(&site, now - hours(1), days(10));
    at(&site, now, &["run"]).expect(0, &[]);
    let output = update();
    assert!(output.status.success(), "{output:?}");
}

#[test]
fn a_newer_release_that_was_seen_stands() {
    let site = Site::published();
    let uris = |uris: &[&str]| {
        site.restore_config();
        let old = format!("\"file://{}\"", site.path("archives/main").display());
        let new = uris
            .iter()
            .map(|uri| format!("\"file://{}\"", site.path(uri).display()));
        configure(&site, [&old, &new.collect::<Vec<_>>().join(", ")]);
    };
    let state = |name: &str, date: &str, package: &str| {
        let mut suite = site.main();
        suite.set("Date", date);
        suite.append_stanza(PACKAGES, &stanza(package));
        suite.sign();
        crate::common::site::copy_tree(&site.path("archives/main"), &site.path(name));
    };
    crate::common::site::copy_tree(&site.path("archives/main"), &site.path("old"));
    state("between", NEWER, "between");
    state("new", "Tue, 03 Feb 2026 00:00:00 UTC", "newcomer");
    state("newest", "Wed, 04 Feb 2026 00:00:00 UTC", "newest");
    // A mirror with the new Release and none of its indices, and one with what we have.
    let indices = site.path("new/dists/bookworm/main/binary-amd64");
    let hidden = site.path("hidden");
    fs::rename(&indices, &hidden).unwrap();
    let served = site.served();
    uris(&["new", "old"]);
    let newer = "is older than the one of 2026-02-03T00:00:00Z seen at file://";
    let said = site.run(&[]);
    said.expect(3, &["old: the Release of 2026-01-01", newer, "/new"]);
    assert_eq!(site.served(), served);
    // It is remembered once that mirror is gone; so it is told that there is something newer.
    uris(&["old"]);
    site.run(&[])
        .expect(3, &["old: the Release of 2026-01-01", newer]);
    // What lies between is nearer to it, and is told all the same; there is no way back from it.
    uris(&["old", "between"]);
    site.run(&[])
        .expect(3, &["between: the Release of 2026-02-02", newer]);
    let index = || site.index(&format!("dists/daedalus/{PACKAGES}"));
    assert!(index().contains("between") && !index().contains("newcomer"));
    uris(&["old"]);
    site.run(&[]).expect(3, &["rollback"]);
    assert!(index().contains("between"));
    // All are asked, and the newest is taken without a word.
    uris(&["between", "new", "newest"]);
    assert_eq!(site.run(&[]).expect(0, &[]).stderr, "");
    assert!(index().contains("newest"));
    site.aptmerge(&["verify"]).expect(0, &[]);
}
