//! Releases that are odd and legal: what apt makes of them, and what we do.

use std::fs;
use std::io::Write as _;
use std::process::{Command, Stdio};

use aptmerge::deb822::parse_date;

use jiff::Timestamp;

use crate::common::apt::{Apt, succeeded};
use crate::common::programs::{self, python_with};
use crate::common::site::Site;
use crate::common::upstream::{NEWER, NEWEST, Suite, stanza};

const PACKAGES: &str = "main/binary-amd64/Packages";
const TABLE: &str = "[archives.main.suites.bookworm]";

/// Has main publish one more package, in a Release that a change is made to; it is signed at a time of one day.
fn publish(site: &Site, package: &str, time: &str, change: impl FnOnce(&mut Suite)) {
    let mut release = site.main();
    release.append_stanza(PACKAGES, &stanza(package));
    change(&mut release);
    let time: Timestamp = format!("2026-02-01T{time}Z").parse().unwrap();
    release.sign_at(time.into());
}

/// Returns whether a package of main is published.
fn has(site: &Site, package: &str) -> bool {
    let index = format!("dists/daedalus/{PACKAGES}");
    site.index(&index)
        .contains(&format!("Package: {package}\n"))
}

/// The words of the installed apt about main as it is; `None` where there is no apt. It takes the archive.
fn apt_says(site: &Site) -> Option<String> {
    if !programs::has("apt-get") {
        return None;
    }
    let at = |path: &str| site.path(path).display().to_string();
    let (key, archive) = (at("keys/main.gpg"), at("archives/main"));
    let source = format!("deb [signed-by={key} arch=amd64] file://{archive} bookworm main\n");
    let apt = Apt::new(&["amd64"], &source, "");
    let update = apt.call("apt-get", &["update"]);
    succeeded(&update, &["apt-get", "update"]);
    assert_eq!(
        apt.call("apt-cache", &["show", "main-only"]).status.code(),
        Some(0)
    );
    Some(String::from_utf8_lossy(&update.stderr).into_owned())
}

/// Has main's Release give these names, dated anew.
fn call_main(site: &Site, date: &str, suite: Option<&str>, codename: Option<&str>) {
    let mut release = site.main();
    release.set("Date", date);
    for (field, name) in [("Suite", suite), ("Codename", codename)] {
        release.remove(field);
        if let Some(name) = name {
            release.set(field, name);
        }
    }
    release.sign();
}

#[test]
fn a_suite_that_calls_itself_otherwise_is_taken_by_a_setting_that_the_error_names() {
    for (suite, codename, setting) in [
        (Some("resolute"), Some("resolute"), "called = \"resolute\""),
        (None, Some("buster"), "called = \"buster\""),
        (None, None, "called = \"\""),
    ] {
        let mut site = Site::new();
        call_main(&site, NEWER, suite, codename);
        if let Some(told) = apt_says(&site) {
            assert!(told.contains("W: Conflicting distribution"), "{told}");
        }
        site.run(&[])
            .expect(1, &["and not of `bookworm`", setting, TABLE]);
        site.set_extra(&format!("{TABLE}\ncalled = [\"other\"]\n"));
        site.run(&[]).expect(1, &["and not of `bookworm`"]);
        site.set_extra(&format!("{TABLE}\n{setting}\n"));
        site.run(&[]).expect(0, &[]);
        // By its own name it may call itself as well, and by a third one not.
        call_main(&site, NEWEST, Some("stable"), Some("bookworm"));
        let allow = ["--allow-identity-change"];
        site.run(&allow).expect(0, &[]);
        call_main(&site, NEWEST, Some("stable"), Some("trixie"));
        site.run(&allow)
            .expect(3, &["Suite `stable`, Codename `trixie`"]);
    }
}

/// Dates of every form, put together from what archives write and from what could go wrong in it.
fn dates() -> Vec<String> {
    let weekdays = "Sat, mon, SUN, Foo, Sa, Satu, Saturday, Sunday Sat Saturday";
    let days = ["09", "9", "+9", "31", "00", "32", "009", "9x"];
    let months = ["May", "MAY", "feb", "März", "Jul", "J", "Okt", "05", "xyz"];
    let years = ["2026", "26", "126", "02026", "10000", "-5", "2026x"];
    let times = [
        "10:21:35",
        "1:2:3",
        "24:00:00",
        "10:60:00",
        "23:59:60",
        "10:21:62",
        "10:21:75",
        "10:21",
        "10:21:35.5",
        "10-21-35",
        "010:21:35",
    ];
    let zones = [
        "UTC", "GMT", "Z", "+0000", "-0", "0", "-0800", "+02:00", "utc", "EST", "", "UTC x", "0x0",
    ];
    let mut dates: Vec<String> = ["", "yesterday", "@1", "2026-05-09T10:21:35Z", "Sat,"]
        .map(str::to_owned)
        .into();
    // Each of two things by itself and with the other; all else is as it should be.
    let put_together =
        |weekday: &str, day: &str, month: &str, year: &str, time: &str, zone: &str| {
            [
                format!("{weekday} {day} {month} {year} {time} {zone}"),
                format!("{weekday} {day}-{month}-{year} {time} {zone}"),
                format!("{weekday}  {month} {day}\t{time} {year} {zone}"),
            ]
        };
    for weekday in weekdays.split(' ') {
        for zone in zones {
            for (day, month) in days.iter().flat_map(|d| months.map(|m| (d, m))) {
                dates.extend(put_together(weekday, day, month, "2026", "10:21:35", zone));
            }
            for (year, time) in years.iter().flat_map(|y| times.map(|t| (y, t))) {
                dates.extend(put_together(weekday, "09", "May", year, time, zone));
            }
        }
    }
    // A field has no blanks around it.
    dates.iter().map(|date| date.trim().to_owned()).collect()
}

#[test]
fn a_date_means_what_it_means_for_apt() {
    let Some(python) = python_with("apt_pkg", "python3-apt") else {
        return;
    };
    let dates = dates();
    let mut child = Command::new(python)
        .args([
            "-c",
            "import apt_pkg, sys\nfor line in sys.stdin: print(apt_pkg.str_to_time(line.rstrip('\\n')))",
        ])
        .env("LC_ALL", "C.UTF-8")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut input = child.stdin.take().unwrap();
    let lines = dates.join("\n") + "\n";
    let writer = std::thread::spawn(move || input.write_all(lines.as_bytes()));
    let output = child.wait_with_output().unwrap();
    writer.join().unwrap().unwrap();
    let told = String::from_utf8(output.stdout).unwrap();
    let of_apt: Vec<Option<i64>> = told.lines().map(|line| line.parse().ok()).collect();
    assert_eq!(of_apt.len(), dates.len());
    assert!(of_apt.iter().flatten().count() > 1000);
    let ours = dates
        .iter()
        .map(|date| parse_date(date).map(|at| at.as_second()));
    let differing: Vec<_> = dates
        .iter()
        .zip(ours.zip(of_apt))
        .filter(|(_, (ours, of_apt))| ours != of_apt)
        .take(20)
        .collect();
    assert!(differing.is_empty(), "{differing:#?}");
}

#[test]
fn a_release_without_a_date_is_taken_by_a_setting_that_the_error_names() {
    for date in [
        None,
        Some("Mon, 02 Feb 2026 00:00:00 -0800"),
        Some("2026-02-02T00:00:00Z"),
        Some("yesterday"),
    ] {
        let undated = |suite: &mut Suite| match date {
            Some(date) => suite.set("Date", date),
            None => suite.remove("Date"),
        };
        let mut site = Site::published();
        publish(&site, "first", "10:00:00", undated);
        if let Some(told) = apt_says(&site) {
            assert!(told.contains("W: Invalid 'Date' entry"), "{told}");
        }
        let setting = "may-be-undated = true";
        let words = [
            "main/dists/bookworm: the Release is refused",
            setting,
            TABLE,
        ];
        site.run(&[]).expect(3, &words);
        site.set_extra(&format!("{TABLE}\n{setting}\n"));
        site.run(&[]).expect(0, &[]);
        assert!(has(&site, "first"));
        site.run_without_news(&[]);
        // Whatever was signed later is newer, and nothing else is.
        publish(&site, "second", "10:00:01", undated);
        site.run(&[]).expect(0, &[]);
        assert!(has(&site, "second"));
        site.restore_archive("main", "bookworm");
        publish(&site, "third", "10:00:00", undated);
        let words = ["of 2026-02-01T10:00:00Z is older than the one of 2026-02-01T10:00:01Z"];
        site.run(&[]).expect(3, &words);
        assert!(has(&site, "second") && !has(&site, "third"));
        // Its age counts from there on as well.
        site.restore_archive("main", "bookworm");
        publish(&site, "fourth", "11:00:00", undated);
        site.configure("pool = \"MAIN\"", "pool = \"MAIN\"\nmax-age = \"20 days\"");
        site.run(&[])
            .expect(3, &["older than the archive's max-age"]);
    }
}

#[test]
fn a_second_release_of_one_date_is_taken_by_a_setting_that_the_error_names() {
    let dated = |suite: &mut Suite| suite.set("Date", NEWER);
    let site = Site::published();
    publish(&site, "first", "10:00:00", dated);
    site.run(&[]).expect(0, &[]);
    let first = fs::read(site.main().dir.join("InRelease")).unwrap();
    publish(&site, "second", "10:00:00", dated);
    let setting = "may-repeat-date = true";
    let words = ["of the same Date seen before", setting, "[archives.main]"];
    site.run(&[]).expect(3, &words);
    assert!(!has(&site, "second"));
    site.configure("pool = \"MAIN\"", &format!("pool = \"MAIN\"\n{setting}"));
    site.run(&["-v"])
        .expect(0, &["it is taken, since may-repeat-date = true"]);
    assert!(has(&site, "second"));
    // Signed in one second: the one that was replaced does not come back.
    let replay = |release: &[u8]| fs::write(site.main().dir.join("InRelease"), release).unwrap();
    let second = fs::read(site.main().dir.join("InRelease")).unwrap();
    replay(&first);
    site.run(&[])
        .expect(3, &["was replaced by the one of the same Date"]);
    replay(&second);
    site.run_without_news(&[]);
    // Signed later, it is newer, though there was one like it before; what was signed before then is not.
    publish(&site, "third", "10:00:02", dated);
    site.run(&[]).expect(0, &[]);
    assert!(has(&site, "third"));
    publish(&site, "fourth", "10:00:01", dated);
    site.run(&[])
        .expect(3, &["was signed before the one of the same Date"]);
    assert!(!has(&site, "fourth"));
    site.aptmerge(&["verify"]).expect(0, &[]);
}

/// An index that a suite can do without is left out by itself where its Release contradicts itself.
#[test]
fn two_hashes_of_an_index_that_a_suite_can_do_without() {
    let site = Site::new();
    site.change_config("\"sources\"]", "\"sources\", \"contents\"]");
    let mut release = site.main();
    release.set("Date", NEWER);
    let hash = "0".repeat(64);
    release.body += &format!(" {hash} 1 main/Contents-amd64.gz\n");
    release.sign();
    let words = [
        "two different things",
        "going on without `main/Contents-amd64`",
    ];
    site.run(&[]).expect(0, &words);
    assert!(has(&site, "main-only"));
    // The fault is told once, until the Release changes.
    let said = site.run_without_news(&[]);
    assert_eq!(said.stderr, "");
    site.aptmerge(&["verify"]).expect(0, &[]);
}
