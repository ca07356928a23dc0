//! Indices that hash as the Release says, and are wrong in themselves: the archive signed them.

use std::collections::BTreeMap;
use std::fs;

use super::catalogue::{Entry, PACKAGES, check, entry, later, let_pass, run, signed};
use crate::common::site::Site;
use crate::common::upstream::{NEWER, NEWEST, Suite, gz, stanza};

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
    refused(PACKAGES, name, changed(change).as_bytes(), at, words)
}

/// Returns a binary's stanza in which a part is another.
fn changed(change: [&str; 2]) -> String {
    let text = stanza("odd");
    assert!(text.contains(change[0]), "{}", change[0]);
    text.replacen(change[0], change[1], 1)
}

/// A stanza that is left out by itself: the index, the stanza, and the words of the warning.
type LeftOut<'a> = (&'a str, Vec<u8>, Vec<&'a str>);

/// Holds a run against every stanza in an index of its own, on one site: it alone is left out, with its words, and all behind it is published.
#[track_caller]
fn leave_out(stanzas: &[LeftOut<'_>]) {
    let site = Site::published();
    // The number of newcomers, and everything else.
    let published = |index: &str| {
        let mut stanzas = site.stanzas(&format!("dists/daedalus/{index}"));
        let all = stanzas.len();
        stanzas.retain(|stanza| !stanza.starts_with("Package: newcomer"));
        (all - stanzas.len(), stanzas)
    };
    let before = BTreeMap::from([PACKAGES, SOURCES].map(|index| (index, published(index).1)));
    for (minute, (index, text, words)) in stanzas.iter().enumerate() {
        site.restore();
        let mut suite = site.main();
        let time = format!("{:02}:{:02}:00 UTC", minute / 60, minute % 60);
        suite.set("Date", &NEWER.replace("00:00:00 UTC", &time));
        suite.append_stanza(PACKAGES, &stanza(&format!("newcomer{minute}")));
        let old = suite.index(index);
        let mut all = old.trim_end_matches('\n').as_bytes().to_vec();
        for part in [b"\n\n", &text[..], b"\n"] {
            all.extend(part);
        }
        suite.put_index(index, &all);
        suite.sign();
        // Two of them may be told of in the same words.
        let told = run(&site, &["-v"]);
        let said = String::from_utf8_lossy(text);
        let odd = words.iter().find(|word| !told.stderr.contains(*word));
        assert!(odd.is_none(), "{odd:?} of {said:.200}: {}", told.stderr);
        told.expect(0, &["is left out"]);
        let steers = |c: char| c.is_control() && c != '\n';
        assert!(!told.stderr.contains(steers), "{}", told.stderr);
        assert!(told.stderr.len() < 2_000, "{}", told.stderr.len());
        let (new, kept) = published(index);
        assert!(kept == before[index], "{said:.200}");
        assert!(*index != PACKAGES || new == 1, "{said:.200}");
        site.aptmerge(&["verify"]).expect(0, &[]);
    }
}

#[test]
fn stanzas() {
    check(&[
        packages(
            "a line of a carriage return",
            ["Size: 1\n", "Size: 1\n\r\n"],
            "SHA256",
            &["no field `Package`"],
        ),
        packages(
            "no Package",
            ["Package: odd\n", ""],
            "Version: 1.0\nArchitecture: amd64\nMaintainer: A",
            &["no field `Package`"],
        ),
        packages(
            "a byte-order mark",
            ["Package: odd\n", "\u{feff}Package: odd\n"],
            "\u{feff}",
            &["a byte-order mark"],
        ),
        packages(
            "a comment before the name",
            ["Package: odd\n", "# hidden\nPackage: odd\n"],
            "# hidden",
            &["a comment", "apt finds no field `Package`"],
        ),
    ]);
}

#[test]
fn stanzas_that_are_left_out() {
    let odd = |change, words: &[&'static str]| -> LeftOut<'static> {
        (PACKAGES, changed(change).into_bytes(), words.to_vec())
    };
    let flawed = |change, why| odd(change, &["`odd` 1.0 of main (amd64) is left out", why]);
    let nameless = &[
        "main bookworm main/binary-amd64/Packages, line ",
        "no package name",
    ];
    let missing = |line, why| odd([line, ""], &["main/binary-amd64/Packages, line ", why]);
    let long = format!("{}: y", "x y".repeat(30_000));
    let all = [
        flawed(["Description: x", "Description: x\0y"], "a NUL byte"),
        flawed(["Size:", "#Size:"], "a comment"),
        flawed(
            ["Size: 1", "size"],
            "neither a field nor a continuation line",
        ),
        flawed(["Size: 1", &long], "no field name"),
        flawed(
            ["Filename: pool/main/odd_1.0_amd64.deb\n", ""],
            "no field `Filename`",
        ),
        flawed(["Size: 1", "FILENAME: pool/x"], "twice"),
        odd(["Package: odd", "Package: ../odd"], nameless),
        odd(["Package: odd", "Package: o\u{1b}[2Jdd"], nameless),
        odd(
            ["Size: 1", "package: odder"],
            &["`odder` 1.0 of main (amd64)", "twice"],
        ),
        odd(
            ["Version: 1.0", "Version: 1.0 beta"],
            &["`odd`", "no version"],
        ),
        odd(
            ["Version: 1.0", "Version: 1.0\u{1b}[2J"],
            &["`odd`", "no version"],
        ),
        missing("Version: 1.0\n", "no field `Version`"),
        missing("Architecture: amd64\n", "no field `Architecture`"),
        (
            PACKAGES,
            b"Package: o\xff\xfed\nVersion: 1\nArchitecture: amd64\nFilename: pool/odd\n".to_vec(),
            nameless.to_vec(),
        ),
    ];
    leave_out(&all);
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
    let filename = |path: &str, why| -> LeftOut<'static> {
        let text = changed(["pool/main/odd_1.0_amd64.deb", path]).into_bytes();
        let words = [
            "`odd` 1.0 of main (amd64) is left out: Filename is refused",
            why,
        ];
        (PACKAGES, text, words.to_vec())
    };
    let of_source = |text: String, words: [&'static str; 2]| -> LeftOut<'static> {
        let begin = "`odd` 1.0 of main (source) is left out: ";
        (SOURCES, text.into_bytes(), [&[begin], &words[..]].concat())
    };
    let directory =
        |path: &str, why| of_source(source(path, "x.dsc"), ["Directory is refused", why]);
    let file = |file: &str| {
        let text = source("pool/main/o/odd", file);
        of_source(
            text,
            ["a file of the source package", "outside of its directory"],
        )
    };
    leave_out(&[
        filename("pool/../../etc/passwd", "climbs"),
        filename("/../etc/passwd", "climbs"),
        filename(".//../etc/passwd", "climbs"),
        filename(&format!("pool/%{}", "25".repeat(1500)), "again and again"),
        filename(
            &format!("pool/%{}", "25".repeat(400_000)),
            "longer than any",
        ),
        filename("pool/%2e%2e/x.deb", "percent-encoded"),
        filename("pool/%252e%252e/x.deb", "percent-encoded"),
        filename("pool/a%2fb.deb", "percent-encoded slash"),
        filename("pool\\..\\x.deb", "backslash"),
        directory("pool/../../etc", "climbs"),
        directory("/..", "climbs"),
        directory("pool/%2e%2e/x", "percent-encoded"),
        file("../x.dsc"),
        file("/etc/x.dsc"),
        file("a/x.dsc"),
        file("%2e%2e%2fx.dsc"),
        file(".."),
    ]);
}

/// Absolute paths of an archive are below its pool in ours.
#[test]
fn absolute_paths_stay_below_the_pool() {
    let site = Site::published();
    let mut suite = site.main();
    suite.set("Date", NEWER);
    for (name, path) in [("odd", "/etc/passwd"), ("odder", ".//etc/passwd")] {
        let text = stanza(name).replace(&format!("pool/main/{name}_1.0_amd64.deb"), path);
        suite.append_stanza(PACKAGES, &text);
    }
    suite.append_stanza(SOURCES, &source("/etc", "x.dsc"));
    suite.sign();
    run(&site, &[]).expect(0, &[]);
    let text = |index| site.index(&format!("dists/daedalus/{index}"));
    let lines = text(PACKAGES)
        .matches("Filename: pool/MAIN/_/etc/passwd\n")
        .count();
    assert_eq!(lines, 2);
    assert!(text(SOURCES).contains("Directory: pool/MAIN/_/etc\n"));
    site.aptmerge(&["verify"]).expect(0, &[]);
}

/// One such stanza, of any archive, and no client can read anything any more; `tests/it/client.rs` asks apt itself. What is banned as
/// well is told of as banned.
#[test]
fn what_apt_cannot_read() {
    let long = format!("X-Long: {}", "x".repeat(10_000_000));
    let string = "1".repeat(65_535);
    let stored = [
        format!("Section: {string}"),
        format!("Source: {string}"),
        format!("Source: odd ({string})"),
        format!("Depends: {string}"),
        format!("Provides: odd (= {string})"),
        format!("Conflicts: odd:{string}"),
    ];
    let stored = stored
        .iter()
        .map(|field| (field.as_str(), "longer than the 65,534 bytes"));
    let fields = [
        ("Depends: foo bar", "neither a comma nor a bar"),
        ("Pre-Depends: foo,, bar", "there is no name"),
        ("Recommends: foo; bar", "neither"),
        ("Suggests: foo (>= 1", "a `(` without a `)`"),
        ("Conflicts: foo (>=  )", "there is no version"),
        ("Breaks: foo [amd64]", "neither"),
        ("Replaces: foo <!nocheck>", "neither"),
        ("Enhances: foo)", "without a `(`"),
        ("Provides: | foo", "there is no name"),
        ("Provides: ", "it is empty"),
        ("Description-md5: abc", "32 digits"),
        (&long, "apt reads none of more than 1 MiB"),
    ];
    for (field, why) in fields.into_iter().chain(stored) {
        let site = Site::published();
        site.change_config("[signing]", "[bans]\npackages = [\"evil\"]\n\n[signing]");
        let mut suite = site.main();
        suite.set("Date", NEWER);
        let odd = stanza("odd") + field + "\n";
        suite.append_stanza(PACKAGES, &odd);
        let banned = stanza("odder") + "Depends: evil [amd64] <!nocheck>\n";
        suite.append_stanza(PACKAGES, &banned);
        suite.append_stanza(PACKAGES, &stanza("newcomer"));
        suite.sign();
        let name = field.split(':').next().unwrap();
        let said = match name {
            "X-Long" => "`odd` 1.0 of main (amd64) is left out".to_owned(),
            name => format!("apt cannot read its field `{name}`: "),
        };
        let told = run(&site, &[]);
        told.expect(0, &["`odd` 1.0 of main (amd64) is left out", &said, why]);
        assert!(!told.stderr.contains("odder"), "{}", told.stderr);
        let text = site.index("dists/daedalus/main/binary-amd64/Packages");
        assert!(text.contains("Package: newcomer\n"));
        assert!(!text.contains("Package: odd\n") && !text.contains("Package: odder\n"));
        site.aptmerge(&["verify"]).expect(0, &[]);
        let explained = site.aptmerge(&["explain", "odd"]);
        assert!(explained.stdout.contains(why), "{}", explained.stdout);
        let banned = std::fs::read_to_string(site.root().join("log/bannedpackages.txt"));
        assert!(banned.unwrap().contains("daedalus,odder\n"));
    }
}

/// Strings at which apt ends without a word, in the fields that every package has: the package is left out, and the rest is read.
#[test]
fn names_and_versions_that_end_apt() {
    let site = Site::published();
    let mut suite = site.main();
    suite.set("Date", NEWER);
    let long = "1".repeat(65_535);
    for (from, to) in [
        ("Package: odd", format!("Package: odd{long}")),
        ("Version: 1.0", format!("Version: {long}")),
    ] {
        suite.append_stanza(PACKAGES, &stanza("odd").replace(from, &to));
    }
    suite.append_stanza(PACKAGES, &stanza("newcomer"));
    suite.sign();
    // Whoever reads the archive itself is told.
    let (archive, key) = (site.path("archives/main"), site.path("keys/main.gpg"));
    let paths = [
        archive.to_str().unwrap(),
        "--keyring",
        key.to_str().unwrap(),
    ];
    let told = site.aptmerge(&["verify", paths[0], paths[1], paths[2]]);
    assert_eq!(told.code, Some(1));
    for word in [
        "bookworm/main/binary-amd64/Packages",
        "no client can read any package with `odd1111",
        "apt cannot read its field `Version`",
    ] {
        assert!(told.stdout.contains(word), "{word}: {:.2000}", told.stdout);
    }
    let told = run(&site, &[]);
    told.expect(
        0,
        &[
            "`odd1111",
            "`odd` 1111",
            "is left out",
            "longer than the 65,534 bytes",
        ],
    );
    assert!(told.stderr.len() < 4000, "{}", told.stderr);
    let text = site.index("dists/daedalus/main/binary-amd64/Packages");
    assert!(text.contains("Package: newcomer\n"));
    assert!(!text.contains("Package: odd\n") && !text.contains("odd1"));
    site.aptmerge(&["verify"]).expect(0, &[]);
}

#[test]
fn sources_that_apt_cannot_read() {
    let long = format!(
        "X: {}\n{}",
        "x".repeat(2_000_000),
        source("pool/o", "x.dsc")
    );
    let words = [
        "`odd` 1.0 of main (source) is left out",
        "apt reads none of more than 1 MiB",
    ];
    leave_out(&[(SOURCES, long.into_bytes(), words.to_vec())]);
}

/// A package in an index of another architecture would be one whose owner nobody asked.
#[test]
fn packages_of_another_architecture_are_left_out() {
    let site = Site::published();
    let mut suite = site.main();
    suite.set("Date", NEWER);
    suite.append_stanza(
        PACKAGES,
        &stanza("stray").replace("Architecture: amd64", "Architecture: arm64"),
    );
    suite.append_stanza(PACKAGES, &stanza("newcomer"));
    suite.sign();
    run(&site, &[]).expect(
        0,
        &["main bookworm main/binary-amd64/Packages: packages of other architectures are left out, 1 of them: `stray` of arm64"],
    );
    let text = site.index("dists/daedalus/main/binary-amd64/Packages");
    assert!(text.contains("Package: newcomer\n") && !text.contains("Package: stray\n"));
    site.aptmerge(&["verify"]).expect(0, &[]);
    let told = site.aptmerge(&["explain", "stray"]);
    assert!(!told.stdout.contains("published"), "{}", told.stdout);
}

/// A Release may say what it likes of an index that is in the spool already: all of it has to be true.
#[test]
fn what_is_said_of_an_index_that_is_known() {
    let plain_size = |suite: &mut Suite, by: i64| {
        let lines = suite.body.lines().map(|line| {
            let mut words = line.split_ascii_whitespace();
            let (hash, size, path) = (words.next(), words.next(), words.next());
            match (hash, size, path) {
                (Some(hash), Some(size), Some(PACKAGES)) => {
                    let size: i64 = size.parse().unwrap();
                    format!(" {hash} {} {PACKAGES}\n", size + by)
                }
                _ => format!("{line}\n"),
            }
        });
        suite.body = lines.collect();
    };
    let lies = |name, by| {
        let words = [
            &format!("main/dists/bookworm/{PACKAGES}")[..],
            "the Release says",
        ];
        later(name, &words, move |site| {
            let mut suite = site.main();
            suite.set("Date", NEWER);
            plain_size(&mut suite, by);
            suite.sign();
        })
    };
    check(&[
        lies("a size that is too large", 5),
        lies("a size that is too small", -5),
        signed("a wrong SHA512", &["its hash", PACKAGES], |suite| {
            let size = suite.index(PACKAGES).len();
            let line = format!("SHA512:\n {} {size} {PACKAGES}\n", "0".repeat(128));
            suite.body.push_str(&line);
        }),
    ]);

    // Nor does it matter whose index it is: another archive's last good copy stays whole.
    let site = Site::published();
    let overlay = site.overlay().index(PACKAGES);
    let mut suite = site.main();
    suite.set("Date", NEWER);
    suite.unlist(PACKAGES);
    suite.mention(PACKAGES, overlay.as_bytes());
    plain_size(&mut suite, -7);
    suite.sign();
    fs::remove_dir_all(site.path("archives/overlay")).unwrap();
    for _ in 0..2 {
        run(&site, &["--rebuild"]).expect(3, &["`main` stays at its", "`overlay` stays at its"]);
        site.aptmerge(&["verify"]).expect(0, &[]);
    }
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
        passes("a line as long as apt can read", |suite| {
            let odd = stanza("odd").replace(
                "Description: x",
                &format!("Description: {}", "x".repeat(990_000)),
            );
            suite.append_stanza(PACKAGES, &odd);
        }),
        passes("90,000 fields", |suite| {
            let fields: String = (0..90_000).map(|n| format!("X-{n}: y\n")).collect();
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

/// A mirror in the middle of its sync may lack an index that a suite can do without; it comes back by itself.
#[test]
fn an_index_that_one_can_do_without_comes_back() {
    let site = Site::new();
    let all = "indices = [\"packages\", \"sources\", \"translations\"]";
    site.change_config("indices = [\"packages\", \"sources\"]", all);
    site.run(&[]).expect(0, &[]);
    let published = || {
        let path = site
            .root()
            .join("merged/dists/daedalus/main/i18n/Translation-en.gz");
        fs::read(path).unwrap().len()
    };
    let whole = published();
    let mut suite = site.main();
    suite.set("Date", NEWER);
    let kept = site.path("kept");
    let i18n = suite.dir.join("main/i18n");
    let mut text = Vec::new();
    let packed = fs::File::open(i18n.join("Translation-en.xz")).unwrap();
    std::io::copy(&mut liblzma::read::XzDecoder::new(packed), &mut text).unwrap();
    text.extend(b"\n");
    // Another version of it, listed and not there.
    suite.list("main/i18n/Translation-en", &text);
    suite.put(
        "main/i18n/Translation-en.xz",
        &crate::common::upstream::xz(&text),
    );
    suite.unlist("main/i18n/Translation-en.bz2");
    suite.sign();
    fs::rename(&i18n, &kept).unwrap();
    let words = [
        "Translation-en",
        "as it was before",
        "asking again in the next run",
    ];
    run(&site, &[]).expect(0, &words);
    assert!(published() < whole);
    // It is asked for again, without a word, and is back when the mirror has it.
    assert_eq!(run(&site, &[]).expect(0, &[]).stderr, "");
    fs::rename(&kept, &i18n).unwrap();
    run(&site, &[]).expect(0, &[]);
    assert!(published() >= whole);
}

/// The archive's next good state is published as if nothing had happened, and other archives are not kept from theirs.
#[test]
fn a_broken_index_holds_up_its_own_archive_only() {
    let site = Site::published();
    let mut suite = site.main();
    suite.set("Date", NEWER);
    suite.append_stanza(PACKAGES, "Broken: package\n");
    suite.sign();
    site.news();
    run(&site, &[]).expect(
        3,
        &["suite `bookworm` of archive `main` stays at its last good copy"],
    );
    let index = || site.index("dists/daedalus/main/binary-amd64/Packages");
    assert!(index().contains("Package: newcomer\n"));
    let mut suite = site.main();
    suite.set("Date", NEWEST);
    let text = suite
        .index(PACKAGES)
        .replace("Broken: package\n", &stanza("mended"));
    suite.put_index(PACKAGES, text.as_bytes());
    suite.sign();
    run(&site, &[]).expect(0, &[]);
    assert!(index().contains("Package: mended\n"));
}
