//! Releases: names, dates, and the lines about files.

use super::archive::PACKAGES;
use super::catalogue::{Entry, check, odd};

/// Returns an entry whose Release has one more line about a file, before those about the indices or behind them.
fn line(name: &str, line: &str, is_first: bool) -> Entry {
    let line = line.replace("HASH", &"0".repeat(64));
    odd(format!("{name}, first: {is_first}"), move |archive| {
        let line = line.clone();
        archive.release = Box::new(move |text| match is_first {
            true => text.replacen("SHA256:\n", &format!("SHA256:\n {line}\n"), 1),
            false => format!("{text} {line}\n"),
        });
    })
}

#[test]
fn lines_that_nobody_asks_for() {
    let lines = [
        ("a dot", "HASH 1 ./Release"),
        ("an empty part", "HASH 1 main//x"),
        ("no number", "HASH - main/x"),
        ("a negative number", "HASH -1 main/x"),
        ("2^64", "HASH 18446744073709551616 main/x"),
        ("a short hash", "00 1 main/x"),
        ("no hash", "- 1 main/x"),
        ("a percent sign", "HASH 1 pool/x_1%3a1.0_amd64.deb"),
        ("a query", "HASH 1 main/x?y"),
        ("a fragment", "HASH 1 main/x#y"),
        (
            "an index of another architecture",
            "HASH - main/binary-s390x/Packages",
        ),
        ("a doubled path", "HASH 1 main/x\n HASH 2 main/x"),
        ("a doubled line", "HASH 1 main/x\n HASH 1 main/x"),
        (
            "the index with a dot",
            "HASH 1 ./main/binary-amd64/Packages",
        ),
    ];
    let places = [true, false];
    let all = lines.iter().flat_map(|l| places.map(|p| line(l.0, l.1, p)));
    let mut all: Vec<_> = all.map(Entry::passes).collect();
    // Lines of fewer or more words make apt refuse the Release. They say nothing of a file that is fetched, so we need not.
    for (name, odd) in [
        ("no size", "HASH main/x"),
        ("nothing but a hash", "HASH"),
        ("a word", "x"),
        ("a blank in a path", "HASH 1 main/x y"),
    ] {
        let refused = line(name, odd, true);
        all.push(
            refused
                .apt_refuses(&["provides only weak security"])
                .passes(),
        );
    }
    check(all);
}

#[test]
fn lines_about_indices() {
    let indices = |name: &str, change: fn(&str) -> String| {
        odd(name, move |archive| {
            archive.release = Box::new(move |text| {
                let (start, lines) = text.split_once("SHA256:\n").unwrap();
                let changed = lines.lines().map(change);
                format!("{start}SHA256:\n{}", changed.collect::<String>())
            });
        })
    };
    check(vec![
        indices("tabs", |line| {
            format!("\t{}\n", line.trim().replace(' ', "\t"))
        })
        .passes(),
        indices("many blanks", |line| {
            format!("   {}\n", line.trim().replace(' ', "    "))
        })
        .passes(),
        indices("each line twice", |line| format!("{line}\n{line}\n")).passes(),
        indices("a word behind the path", |line| format!("{line} x\n"))
            .apt_refuses(&["provides only weak security information"])
            .refuses(&["is not a hash, a size and a path"]),
        // apt takes the first line, whichever is right.
        line("another size", &format!("HASH 1 {PACKAGES}"), false)
            .refuses(&["the Release is refused", "two different things"]),
        line("another size", &format!("HASH 1 {PACKAGES}"), true)
            .apt_refuses(&["File has unexpected size"])
            .refuses(&["the Release is refused", "two different things"]),
        line("no number, behind", &format!("HASH - {PACKAGES}"), false)
            .refuses(&["is not a hash, a size and a path"]),
    ]);
}

/// Returns an entry whose Release has another Date, and a configuration that may take one without.
fn dated(date: &'static str, setting: &'static str) -> Entry {
    odd(format!("Date `{date}` {setting}"), move |archive| {
        let good = "Date: Thu, 01 Jan 2026 00:00:00 UTC\n";
        let date = match date {
            "" => String::new(),
            date => format!("Date: {date}\n"),
        };
        archive.fields = archive.fields.replace(good, &date);
        if !setting.is_empty() {
            let table = format!("[archives.odd.suites.odd]\n{setting} = true\n");
            archive.config = Box::new(move |text| text + &table);
        }
    })
}

#[test]
fn dates() {
    let read = [
        "Fri, 01 Jan 2026 00:00:00 UTC",
        "thu, 1 JAN 2026 00:00:00 GMT",
        "Thu, 01 Januar 2026 0:0:0 +0000",
        "Thu,  01 Jan 2026  00:00:00 Z",
        "Thu, 01 Jan 2026 00:00:60 -0000",
        "Thu, 31 Nov 2025 00:00:00 UTC",
        "Thu Jan  1 00:00:00 2026",
        "Thursday, 01-Jan-26 00:00:00 GMT",
    ];
    let not_read = [
        "",
        "Thu, 01 Jan 2026 00:00:00 -0800",
        "Thu, 01 Jan 2026 00:00:00 CET",
        "Thu, 01 Jan 2026 00:00:00",
        "01 Jan 2026 00:00:00 UTC",
        "2026-01-01T00:00:00Z",
        "2026-01-01",
        "1767225600",
        "today",
    ];
    let invalid = &["W: Invalid 'Date' entry"];
    let mut entries: Vec<_> = read.map(|date| dated(date, "").passes()).into();
    for date in not_read {
        let hint = ["may-be-undated = true in [archives.odd.suites.odd]"];
        entries.push(dated(date, "").apt_says(invalid).refuses(&hint));
        entries.push(dated(date, "may-be-undated").apt_says(invalid).passes());
    }
    // A Valid-Until that apt cannot read ends its reading.
    let weak = &["provides only weak security information"];
    for until in ["Thu, 01 Jan 2099 00:00:00 -0800", "2099-01-01", "never"] {
        let expires = |setting: &'static str| {
            odd(format!("Valid-Until `{until}` {setting}"), move |archive| {
                archive.fields += &format!("Valid-Until: {until}\n");
                let pool = "pool = \"ODD\"\n";
                archive.config =
                    Box::new(move |text| text.replace(pool, &format!("{pool}{setting}\n")));
            })
        };
        let hint = ["Valid-Until", "check-valid-until = false"];
        entries.push(expires("").apt_refuses(weak).refuses(&hint));
        let let_in = expires("check-valid-until = false");
        entries.push(let_in.apt_refuses(weak).passes());
    }
    let empty = odd("an empty Valid-Until", |archive| {
        archive.fields += "Valid-Until:\n";
    });
    entries.push(empty.passes());
    check(entries);
}

/// Returns an entry whose Release has other names, and a configuration that expects some.
fn called(names: &'static str, setting: &'static str) -> Entry {
    odd(format!("{names:?} {setting}"), move |archive| {
        let good = "Suite: odd\nCodename: odd\n";
        archive.fields = archive.fields.replace(good, names);
        if !setting.is_empty() {
            let table = format!("[archives.odd.suites.odd]\ncalled = {setting}\n");
            archive.config = Box::new(move |text| text + &table);
        }
    })
}

#[test]
fn names() {
    let conflict = &["W: Conflicting distribution"];
    let mut entries = vec![
        called("Suite: odd\n", "").passes(),
        called("Suite: stable\nCodename: odd\n", "").passes(),
        called("Suite: odd\nCodename: x\n", "\"y\"").passes(),
    ];
    for (names, setting) in [
        ("Suite: stable\nCodename: trixie\n", "\"stable\""),
        ("Suite: stable\nCodename: trixie\n", "[\"x\", \"trixie\"]"),
        ("Codename: trixie\n", "\"trixie\""),
        ("Suite: Odd Suite 1.0\n", "\"Odd Suite 1.0\""),
        ("Suite: ODD\n", "\"ODD\""),
        ("", "\"\""),
    ] {
        entries.push(called(names, setting).apt_says(conflict).passes());
        let words = ["and not of `odd`", "in [archives.odd.suites.odd]"];
        entries.push(called(names, "").apt_says(conflict).refuses(&words));
        let other = called(names, "\"other\"").apt_says(conflict);
        entries.push(other.refuses(&words));
    }
    check(entries);
}
