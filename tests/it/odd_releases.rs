//! Releases that are odd and legal: what apt makes of them, and what we do.

use std::io::Write as _;
use std::process::{Command, Stdio};

use aptmerge::deb822::parse_date;

use crate::common::programs::python_with;
use crate::common::site::Site;
use crate::common::upstream::{NEWER, NEWEST};

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
        let table = "[archives.main.suites.bookworm]";
        site.run(&[])
            .expect(1, &["and not of `bookworm`", setting, table]);
        site.set_extra(&format!("{table}\ncalled = [\"other\"]\n"));
        site.run(&[]).expect(1, &["and not of `bookworm`"]);
        site.set_extra(&format!("{table}\n{setting}\n"));
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
