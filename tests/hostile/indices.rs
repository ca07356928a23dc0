//! Indices that hash as the Release says, and are wrong in themselves: the archive signed them.

use std::fs;

use crate::catalogue::{Entry, PACKAGES, check, entry, let_pass, run, signed};
use crate::common::upstream::{NEWER, NEWEST, Site, Suite, gz, stanza};

const SOURCES: &str = "main/source/Sources";

/// A stanza more in an index, refused with the line where `at` stands.
fn refused(
    index: &'static str,
    name: &'static str,
    text: &[u8],
    at: &str,
    words: &[&str],
) -> Entry {
    let site = Site::new();
    let mut all = site
        .main()
        .index(index)
        .trim_end_matches('\n')
        .as_bytes()
        .to_vec();
    all.extend(b"\n\n");
    all.extend(text);
    let start = all
        .windows(at.len())
        .rposition(|w| w == at.as_bytes())
        .unwrap();
    let line = all[..start].iter().filter(|b| **b == b'\n').count() + 1;
    let words = [
        &[
            &format!("main/dists/bookworm/{index}: the archive signed an index")[..],
            &format!("line {line}: "),
        ],
        words,
    ];
    signed(name, &words.concat(), move |suite| {
        suite.put_index(index, &all)
    })
}

fn packages(name: &'static str, change: [&str; 2], at: &str, words: &[&str]) -> Entry {
    let text = stanza("odd");
    assert!(text.contains(change[0]), "{}", change[0]);
    refused(
        PACKAGES,
        name,
        text.replacen(change[0], change[1], 1).as_bytes(),
        at,
        words,
    )
}

#[test]
fn stanzas() {
    let missing = |name, line: &str, field: &str| {
        let first = if field == "Package" {
            "Version: 1.0\nArchitecture: amd64\nMaintainer: A"
        } else {
            "Package: odd"
        };
        packages(name, [line, ""], first, &[&format!("no field `{field}`")])
    };
    check(&[
        packages(
            "NUL",
            ["Description: x", "Description: x\0y"],
            "x\0y",
            &["a NUL byte"],
        ),
        packages(
            "a line of a carriage return",
            ["Size: 1\n", "Size: 1\n\r\n"],
            "\r\n",
            &["carriage return"],
        ),
        packages(
            "a line of blanks",
            ["Description: x", "Description: x\n \n y"],
            " \n y",
            &["blanks alone"],
        ),
        packages("a comment", ["Size:", "#Size:"], "#Size", &["a comment"]),
        packages(
            "no field",
            ["Size: 1", "size"],
            "size\n",
            &["neither a field nor a continuation line"],
        ),
        refused(
            PACKAGES,
            "invalid UTF-8 in a name",
            b"Package: o\xff\xfed\nVersion: 1\nArchitecture: amd64\nFilename: pool/x\n",
            "Package: o",
            &["no package name"],
        ),
        packages(
            "a name with a slash",
            ["Package: odd", "Package: ../odd"],
            "../odd",
            &["no package name"],
        ),
        packages(
            "a name that steers a terminal",
            ["Package: odd", "Package: o\u{1b}[2Jdd"],
            "[2J",
            &["no package name"],
        ),
        missing("no Package", "Package: odd\n", "Package"),
        missing("no Version", "Version: 1.0\n", "Version"),
        missing("no Architecture", "Architecture: amd64\n", "Architecture"),
        missing(
            "no Filename",
            "Filename: pool/main/odd_1.0_amd64.deb\n",
            "Filename",
        ),
        packages(
            "a bad version",
            ["Version: 1.0", "Version: 1.0 beta"],
            "1.0 beta",
            &["no version"],
        ),
        packages(
            "a doubled Package",
            ["Size: 1", "package: other"],
            "package: other",
            &["twice"],
        ),
        packages(
            "a doubled Filename",
            ["Size: 1", "FILENAME: pool/x"],
            "FILENAME",
            &["twice"],
        ),
        packages(
            "a Description of 100 kB in a bad stanza",
            ["Size: 1", &format!("{}: y", "x y".repeat(30_000))],
            "x yx y",
            &["no field name"],
        ),
    ]);
}

fn source(directory: &str, file: &str) -> String {
    let hash = "0".repeat(64);
    format!(
        "Package: odd\nVersion: 1.0\nArchitecture: any\nFormat: 1.0\nDirectory: {directory}\nChecksums-Sha256:\n {hash} 1 {file}\nFiles:\n {} 1 {file}\n",
        &hash[..32]
    )
}

#[test]
fn paths() {
    let filename = |name, path: &str, why: &str| {
        packages(
            name,
            ["pool/main/odd_1.0_amd64.deb", path],
            path,
            &["Filename is refused", why],
        )
    };
    let directory = |name, path: &str, why: &str| {
        let at = format!("Directory: {path}");
        refused(
            SOURCES,
            name,
            source(path, "x.dsc").as_bytes(),
            &at,
            &["Directory is refused", why],
        )
    };
    let file = |name, file: &str| {
        let text = source("pool/main/o/odd", file);
        refused(
            SOURCES,
            name,
            text.as_bytes(),
            "Checksums-Sha256:",
            &["outside of its directory"],
        )
    };
    check(&[
        filename("climbs", "pool/../../etc/passwd", "climbs"),
        filename(
            "percent again and again",
            &format!("pool/%{}", "25".repeat(1500)),
            "again and again",
        ),
        filename(
            "a path of 1 MB",
            &format!("pool/%{}", "25".repeat(500_000)),
            "longer than any",
        ),
        filename("absolute", "/etc/passwd", "absolute"),
        filename("percent", "pool/%2e%2e/x.deb", "percent-encoded"),
        filename("absolute behind a dot", ".//etc/passwd", "absolute"),
        filename("percent twice", "pool/%252e%252e/x.deb", "percent-encoded"),
        filename(
            "an encoded slash",
            "pool/a%2fb.deb",
            "percent-encoded slash",
        ),
        filename("a backslash", "pool\\..\\x.deb", "refused"),
        directory("Directory climbs", "pool/../../etc", "climbs"),
        directory("Directory is absolute", "/etc", "absolute"),
        directory("Directory, percent", "pool/%2e%2e/x", "percent-encoded"),
        file("a source file that climbs", "../x.dsc"),
        file("an absolute source file", "/etc/x.dsc"),
        file("a source file in a directory", "a/x.dsc"),
        file("a source file, percent", "%2e%2e%2fx.dsc"),
        file("a source file that is ..", ".."),
    ]);
}

/// Something published as it is, since it does no harm.
fn passes(name: &'static str, change: impl Fn(&mut Suite) + 'static) -> Entry {
    signed(name, &[], move |suite| change(suite))
}

#[test]
fn what_is_odd_and_does_no_harm() {
    let_pass(&[
        passes("10^6 empty stanzas", |suite| {
            let text = suite.index(PACKAGES) + &"\n".repeat(1_000_000);
            suite.put_index(PACKAGES, text.as_bytes());
        }),
        passes("a line of 10 MB", |suite| {
            let odd = stanza("odd").replace(
                "Description: x",
                &format!("Description: {}", "x".repeat(10_000_000)),
            );
            suite.append_stanza(PACKAGES, &odd);
        }),
        passes("10^5 fields", |suite| {
            let fields: String = (0..100_000).map(|n| format!("X-{n}: y\n")).collect();
            suite.append_stanza(PACKAGES, &(stanza("odd") + &fields));
        }),
        passes("a relation of 10^5 clauses", |suite| {
            let depends = "a | b, ".repeat(100_000);
            suite.append_stanza(PACKAGES, &format!("{}Depends: {depends}\n", stanza("odd")));
        }),
        passes("a Filename that is a URI and becomes a path", |suite| {
            let odd = stanza("odd").replace("pool/main/odd", "http://mirror.example/odd");
            suite.append_stanza(PACKAGES, &odd);
        }),
        passes("invalid UTF-8 in a description", |suite| {
            let mut text = suite
                .index(PACKAGES)
                .trim_end_matches('\n')
                .as_bytes()
                .to_vec();
            text.extend(b"\n\n");
            text.extend(
                stanza("odd")
                    .bytes()
                    .map(|b| if b == b'x' { 0xff } else { b }),
            );
            suite.put_index(PACKAGES, &text);
        }),
        passes("5000 versions of one package", |suite| {
            let all: String = (0..5_000)
                .map(|n| {
                    format!(
                        "Package: odd\nVersion: {n}\nArchitecture: amd64\nFilename: pool/x{n}\n\n"
                    )
                })
                .collect();
            suite.append_stanza(PACKAGES, &all);
        }),
    ]);
}

#[test]
fn what_a_suite_can_do_without() {
    let with_all = |site: &Site| {
        let all =
            "indices = [\"packages\", \"sources\", \"contents\", \"translations\", \"dep11\"]";
        site.change_config("indices = [\"packages\", \"sources\"]", all);
    };
    let odd =
        |name, words: &[&str], path: &'static str, form: fn(&[u8]) -> Vec<u8>, text: Vec<u8>| {
            entry(name, words, move |site| {
                with_all(site);
                let mut suite = site.main();
                suite.set("Date", NEWER);
                suite.list(path, &text);
                if suite.dir.join(path).exists() {
                    fs::write(suite.dir.join(path), &text).unwrap();
                }
                let ext = if suite.dir.join(format!("{path}.gz")).exists() {
                    "gz"
                } else {
                    "xz"
                };
                suite.put(&format!("{path}.{ext}"), &form(&text));
                if suite.dir.join(format!("{path}.bz2")).exists() {
                    fs::remove_file(suite.dir.join(format!("{path}.bz2"))).unwrap();
                }
                suite.sign();
            })
        };
    let long = |before: &str| {
        [
            before.as_bytes(),
            &vec![b'x'; 1_000_000],
            b" admin/x\nusr/z admin/multi\n",
        ]
        .concat()
    };
    let_pass(&[
        odd(
            "a Contents line of 1 MB",
            &["Contents-amd64, line 1: "],
            "main/Contents-amd64",
            gz,
            long(""),
        ),
        odd(
            "a Contents of rubbish",
            &["Contents-amd64"],
            "main/Contents-amd64",
            gz,
            vec![0xff; 3_000_000],
        ),
        odd(
            "icons that are no tar",
            &["icons-64x64.tar", "going on without it"],
            "main/dep11/icons-64x64.tar",
            gz,
            vec![b'x'; 5000],
        ),
        odd(
            "a DEP-11 of rubbish",
            &["is no DEP-11"],
            "main/dep11/Components-amd64.yml",
            gz,
            vec![b'-'; 100_000],
        ),
        odd(
            "a Translation of rubbish",
            &["Translation-en, line "],
            "main/i18n/Translation-en",
            crate::common::upstream::xz,
            b"rubbish\n\n".repeat(10_000),
        ),
    ]);
}

/// The archive's next good state is published as if nothing had happened, and other archives are not kept from theirs.
#[test]
fn a_broken_index_holds_up_its_own_archive_only() {
    let site = Site::published();
    let mut suite = site.main();
    suite.set("Date", NEWER);
    suite.append_stanza(PACKAGES, "Package: broken\n");
    suite.sign();
    site.news();
    run(&site, &[]).expect(
        3,
        &["suite `bookworm` of archive `main` stays at its last good copy"],
    );
    let index = || site.published_index("daedalus/main/binary-amd64/Packages");
    assert!(index().contains("Package: newcomer\n"));
    let mut suite = site.main();
    suite.set("Date", NEWEST);
    let text = suite
        .index(PACKAGES)
        .replace("Package: broken\n", &stanza("mended"));
    suite.put_index(PACKAGES, text.as_bytes());
    suite.sign();
    run(&site, &[]).expect(0, &[]);
    assert!(index().contains("Package: mended\n"));
}
