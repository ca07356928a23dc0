//! Releases that are signed by the right key and say what they must not.

use super::catalogue::{Entry, PACKAGES, check, entry, later, run, signed};
use crate::common::site::Site;
use crate::common::upstream::{NEWER, Suite, stanza};

const REFUSED: &str = "main/dists/bookworm: the Release is refused";

/// A line more among the checksums.
fn listing(name: &'static str, line: &'static str, words: &[&str]) -> Entry {
    signed(name, &[&[REFUSED], words].concat(), move |suite| {
        suite
            .body
            .push_str(&format!(" {} {line}\n", "0".repeat(64)));
    })
}

#[test]
fn more_languages_than_there_are() {
    let site = Site::new();
    site.change_config(
        "\"packages\", \"sources\"]",
        "\"packages\", \"sources\", \"translations\"]",
    );
    run(&site, &[]).expect(0, &[]);
    let served = site.served();
    let mut suite = site.main();
    suite.set("Date", NEWER);
    let hash = "0".repeat(64);
    for n in 0..6000 {
        let line = format!(" {hash} 10 main/i18n/Translation-x{n}.xz\n");
        suite.body.push_str(&line);
    }
    suite.sign();
    let words = ["main/dists/bookworm: the Release lists 60", "`languages`"];
    run(&site, &[]).expect(3, &words);
    assert_eq!(site.served(), served);
}

fn replaced(name: &'static str, change: [&'static str; 2], words: &[&str]) -> Entry {
    signed(name, words, move |suite| {
        assert!(suite.body.contains(change[0]), "{}", change[0]);
        suite.body = suite.body.replacen(change[0], change[1], 1);
    })
}

#[test]
fn fields() {
    check(&[
        signed("no Date", &[REFUSED, "no field `Date`"], |suite| {
            suite.remove("Date")
        }),
        signed(
            "a Date that is none",
            &[REFUSED, "the Date `yesterday`"],
            |suite| {
                suite.set("Date", "yesterday");
            },
        ),
        signed("a Date of 15 kB", &[REFUSED, "the Date `xxx"], |suite| {
            suite.set("Date", &"x".repeat(15_000));
        }),
        signed(
            "a Suite with lines of its own",
            &["and not of `bookworm`", "y\\n hint: x\\u{202e}"],
            |suite| {
                suite.remove("Codename");
                suite.set("Suite", "y\n hint: x\u{202e}");
            },
        ),
        signed("a Date of another zone", &[REFUSED, "+0200"], |suite| {
            suite.set("Date", "Mon, 02 Feb 2026 00:00:00 +0200");
        }),
        signed(
            "neither Suite nor Codename",
            &["and not of `bookworm`"],
            |suite| {
                suite.remove("Suite");
                suite.remove("Codename");
            },
        ),
        signed(
            "another suite",
            &["this is the Release of Suite `stable`"],
            |suite| {
                suite.set("Suite", "stable");
                suite.set("Codename", "trixie");
            },
        ),
        signed(
            "MD5 only",
            &[REFUSED, "neither SHA256 nor SHA512"],
            |suite| {
                suite.remove("SHA256");
            },
        ),
        signed(
            "no checksums",
            &[REFUSED, "neither SHA256 nor SHA512"],
            |suite| {
                suite.remove("SHA256");
                suite.remove("MD5Sum");
            },
        ),
        signed(
            "an empty section",
            &["lists none of the indices"],
            |suite| {
                suite.remove("SHA256");
                suite.body.push_str("SHA256:\n");
            },
        ),
        replaced(
            "a doubled field",
            ["Origin:", "Origin: Debian\nOrigin:"],
            &[REFUSED, "`Origin` twice"],
        ),
        replaced(
            "a doubled Date",
            ["Origin:", "DATE: Thu, 01 Jan 2026 00:00:00 UTC\nOrigin:"],
            &[REFUSED, "twice"],
        ),
        replaced(
            "a doubled section",
            ["Origin:", "SHA256:\n\nOrigin:"],
            &[REFUSED, "stanzas"],
        ),
        replaced(
            "two stanzas",
            ["Label:", "\nLabel:"],
            &[REFUSED, "2 stanzas"],
        ),
        replaced(
            "a line that is no field",
            ["Label:", "Label"],
            &[REFUSED, "line "],
        ),
        replaced("a comment", ["Label:", "#x\nLabel:"], &[REFUSED, "comment"]),
        replaced(
            "a control character",
            ["Debian", "De\u{1b}[2Jbian"],
            &[REFUSED, "a control character"],
        ),
        signed(
            "nothing but a field",
            &[REFUSED, "neither SHA256 nor SHA512"],
            |suite| {
                suite.body = "X: y\n".into();
            },
        ),
    ]);
}

#[test]
fn paths() {
    check(&[
        listing("climbs", "1 ../../etc/passwd", &["`../../etc/passwd`"]),
        listing(
            "climbs in the middle",
            "1 main/../../x",
            &["`main/../../x`"],
        ),
        listing("absolute", "1 /etc/passwd", &["`/etc/passwd`"]),
        listing("backslash", "1 main\\..\\x", &["main\\..\\x"]),
        listing(
            "control character",
            "1 main/\u{1}x",
            &["a control character"],
        ),
        listing("percent-encoded", "1 main/%2e%2e/x", &["`main/%2e%2e/x`"]),
    ]);
}

/// Changes what the Release says of the sizes of an index, in all its forms.
fn resized(name: &'static str, size: &'static str, words: &[&str]) -> Entry {
    signed(name, words, move |suite| {
        suite.append_stanza(PACKAGES, &stanza("newcomer"));
        let lines = suite.body.lines().map(|line| {
            let mut words: Vec<&str> = line.split_ascii_whitespace().collect();
            if line.starts_with(' ') && words.len() == 3 && words[2].starts_with(PACKAGES) {
                words[1] = size;
                return format!(" {}\n", words.join(" "));
            }
            format!("{line}\n")
        });
        suite.body = lines.collect();
    })
}

#[test]
fn sizes_and_hashes() {
    check(&[
        listing(
            "two hashes of one path",
            "1 main/binary-amd64/Packages",
            &["two different things"],
        ),
        resized(
            "a size that is too small",
            "10",
            &["main/binary-amd64/", "larger than the 10 bytes"],
        ),
        resized(
            "a size that is too large",
            "99999",
            &["main/binary-amd64/", "the Release says 99999"],
        ),
        resized(
            "2^64 - 1",
            "18446744073709551615",
            &["main/binary-amd64/Packages", "more than the 512 MiB"],
        ),
        signed(
            "a wrong hash",
            &[
                "main/binary-amd64/",
                "its hash is not the one in the Release",
            ],
            |suite| {
                suite.append_stanza(PACKAGES, &stanza("newcomer"));
                suite.damage(PACKAGES, |data| {
                    let middle = data.len() / 2;
                    data[middle] ^= 1;
                });
            },
        ),
        signed(
            "an index that unpacks to something else",
            &["Packages.", "its hash unpacked is not"],
            |suite| {
                suite.append_stanza(PACKAGES, &stanza("newcomer"));
                let other = suite.index(PACKAGES).replace("newcomer", "newgomer");
                suite.list(PACKAGES, other.as_bytes());
            },
        ),
        signed(
            "an index that is not there",
            &["Packages.", "lists this file, and it is not there"],
            |suite| {
                suite.append_stanza(PACKAGES, &stanza("newcomer"));
                suite.delete(PACKAGES);
            },
        ),
        // Nobody gets as far as its signature.
        entry(
            "10^6 entries",
            &["InRelease", "larger than the 10000000 bytes"],
            |site| {
                let path = site.main().dir.join("InRelease");
                let more = (0..1_000_000).map(|n| format!(" {} 1 x{n}\n", "0".repeat(64)));
                let text = std::fs::read_to_string(&path).unwrap();
                let more: String = more.collect();
                std::fs::write(
                    &path,
                    text.replacen("SHA256:\n", &format!("SHA256:\n{more}"), 1),
                )
                .unwrap();
            },
        ),
    ]);
}

fn of_main(name: &'static str, words: &[&str], change: impl Fn(&mut Suite) + 'static) -> Entry {
    later(name, words, move |site| {
        let mut suite = site.main();
        change(&mut suite);
        suite.sign();
    })
}

#[test]
fn time() {
    check(&[
        signed(
            "a Date in the future",
            &["dated 2030-01-01", "in the future", "clock"],
            |suite| {
                suite.set("Date", "Tue, 01 Jan 2030 00:00:00 UTC");
            },
        ),
        signed(
            "Valid-Until is over",
            &["has expired on 2026-02-06", "check-valid-until"],
            |suite| {
                suite.set("Valid-Until", "Fri, 06 Feb 2026 00:00:00 UTC");
            },
        ),
        signed(
            "a Valid-Until that is none",
            &[REFUSED, "Valid-Until"],
            |suite| {
                suite.set("Valid-Until", "never");
            },
        ),
        of_main(
            "rollback",
            &[
                "of 2025-12-31",
                "is older than the one of 2026-01-01",
                "rollback",
            ],
            |suite| {
                suite.set("Date", "Wed, 31 Dec 2025 00:00:00 UTC");
            },
        ),
        of_main(
            "same Date, other content",
            &["of 2026-01-01", "same Date"],
            |suite| {
                suite.set("Description", "Another one");
            },
        ),
        of_main(
            "another Origin",
            &[
                "changed its Origin from `Debian` to `Evil`",
                "--allow-identity-change",
            ],
            |suite| {
                suite.set("Date", NEWER);
                suite.set("Origin", "Evil");
            },
        ),
        of_main(
            "another Label",
            &["changed its Label from `Debian` to `Evil`"],
            |suite| {
                suite.set("Date", NEWER);
                suite.set("Label", "Evil");
            },
        ),
        entry("freeze", &["of 2026-01-01", "max-age of 30 days"], |site| {
            site.change_config("pool = \"MAIN\"", "pool = \"MAIN\"\nmax-age = \"30 days\"");
        }),
    ]);
}

#[test]
fn another_identity_is_let_in_by_its_flag_alone() {
    for field in ["Origin", "Label", "Codename"] {
        let site = Site::published();
        let before = site.served();
        let mut suite = site.main();
        suite.set("Date", NEWER);
        suite.set("Suite", "bookworm");
        suite.set(field, "Changed");
        suite.sign();
        let change = format!("the Release changed its {field} from");
        run(&site, &[]).expect(3, &[&change, "`Changed`", "--allow-identity-change"]);
        assert_eq!(before, site.served());
        run(&site, &["--allow-identity-change"]).expect(0, &[]);
        run(&site, &[]).expect(0, &[]);
    }
}
