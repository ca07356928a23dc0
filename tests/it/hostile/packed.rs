//! Compressed indices: bombs, what is cut off, what follows, and how much memory a decoder may be asked for.

use std::io::Write;

use sha2::{Digest, Sha256};

use super::catalogue::{Entry, PACKAGES, check, entry, let_pass, signed};
use crate::common::site::Site;
use crate::common::upstream::{NEWER, Suite, gz, stanza, xz};

const FORMS: [&str; 4] = ["gz", "xz", "bz2", "zst"];

fn packed(form: &str, text: &[u8]) -> Vec<u8> {
    match form {
        "gz" => gz(text),
        "xz" => xz(text),
        "bz2" => {
            let mut out = bzip2::write::BzEncoder::new(Vec::new(), bzip2::Compression::fast());
            out.write_all(text).unwrap();
            out.finish().unwrap()
        }
        _ => zstd::encode_all(text, 1).unwrap(),
    }
}

/// Lists the index in one form only, with these bytes; `plain` is what it is said to unpack to.
fn only_form(suite: &mut Suite, form: &str, packed: &[u8], plain: Option<&[u8]>) {
    let is_other = |line: &str| {
        let path = line.split_ascii_whitespace().nth(2).unwrap_or_default();
        path.strip_prefix(PACKAGES)
            .is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
    };
    let lines = suite
        .body
        .lines()
        .filter(|line| !(line.starts_with(' ') && is_other(line)));
    suite.body = lines.map(|line| format!("{line}\n")).collect();
    let mut list = |path: &str, data: &[u8]| {
        let hash = hex::encode(Sha256::digest(data));
        suite
            .body
            .push_str(&format!(" {hash} {} {path}\n", data.len()));
    };
    list(&format!("{PACKAGES}.{form}"), packed);
    if let Some(plain) = plain {
        list(PACKAGES, plain);
    }
    suite.delete(PACKAGES);
    std::fs::write(suite.dir.join(format!("{PACKAGES}.{form}")), packed).unwrap();
}

fn with(site: &Site, form: &str, packed: &[u8], plain: Option<&[u8]>) {
    let mut suite = site.main();
    suite.set("Date", NEWER);
    only_form(&mut suite, form, packed, plain);
    suite.sign();
}

fn good_text(site: &Site) -> Vec<u8> {
    let text = site.main().index(PACKAGES);
    format!("{}\n\n{}", text.trim_end_matches('\n'), stanza("newcomer")).into_bytes()
}

/// A change of the compressed bytes of an otherwise good index, in every form.
fn of_each(
    names: [&'static str; 4],
    change: impl Fn(&str, Vec<u8>) -> Vec<u8> + Copy + 'static,
) -> Vec<Entry> {
    let each = names.into_iter().zip(FORMS).map(move |(name, form)| {
        let words = [&format!("Packages.{form}: it cannot be unpacked")[..]];
        entry(name, &words, move |site| {
            let text = good_text(site);
            with(site, form, &change(form, packed(form, &text)), Some(&text));
        })
    });
    each.collect()
}

/// 4 GiB in some megabytes at most: many streams of zeros.
fn bomb(form: &str) -> Vec<u8> {
    packed(form, &vec![0; 32 << 20]).repeat(128)
}

/// As much of one as fits into what packing could make of the plain file.
fn small_bomb(form: &str) -> Vec<u8> {
    let one = packed(form, &vec![0; 32 << 20]);
    one.repeat((60_000 / one.len()).max(1))
}

#[test]
fn bombs_that_lie_about_their_size() {
    check(&of_each(["gz", "xz", "bz2", "zstd"], |form, _| {
        small_bomb(form)
    }));
}

#[test]
fn bombs_that_say_nothing_of_their_size() {
    let each = FORMS.into_iter().map(|form| {
        let words = [&format!("Packages.{form}")[..], "fetch.max-index"];
        entry("unlisted plain form", &words, move |site| {
            site.change_config("restarts = 0", "restarts = 0\nmax-index = \"8 MiB\"");
            with(site, form, &bomb(form), None);
        })
    });
    check(&each.collect::<Vec<_>>());
}

#[test]
fn forms_that_are_larger_than_packing_can_make_them() {
    let entries = FORMS.into_iter().map(|form| {
        let words = [
            &format!("Packages.{form}")[..],
            "more than packing could make",
        ];
        entry("10^15 bytes", &words, move |site| {
            let text = good_text(site);
            let mut suite = site.main();
            suite.set("Date", NEWER);
            let data = packed(form, &text);
            only_form(&mut suite, form, &data, Some(&text));
            let said = format!(" {} {PACKAGES}.{form}\n", data.len());
            assert!(suite.body.contains(&said));
            let lie = format!(" 1000000000000000 {PACKAGES}.{form}\n");
            suite.body = suite.body.replace(&said, &lie);
            // The plain one would do instead.
            suite.delete(PACKAGES);
            suite.sign();
        })
    });
    check(&entries.collect::<Vec<_>>());
}

#[test]
fn cut_off() {
    check(&of_each(["gz", "xz", "bz2", "zstd"], |_, data| {
        data[..data.len() - 9].to_vec()
    }));
}

#[test]
fn rubbish_behind() {
    check(&of_each(["gz", "xz", "bz2", "zstd"], |_, data| {
        [&data[..], b"Package: evil\n"].concat()
    }));
}

#[test]
fn something_else_altogether() {
    check(&of_each(["gz", "xz", "bz2", "zstd"], |_, _| {
        b"<html></html>\n".to_vec()
    }));
    check(
        &of_each(
            ["empty gz", "empty xz", "empty bz2", "empty zstd"],
            |_, _| Vec::new(),
        )[1..],
    );
}

#[test]
fn decoders_that_ask_for_memory() {
    check(&[
        entry(
            "an xz dictionary of 4 GiB",
            &["Packages.xz: it cannot be unpacked"],
            |site| {
                let text = good_text(site);
                let mut data = xz(&text);
                // Block header: size, flags, filter 0x21, one byte of properties, the dictionary; at its end its CRC32.
                let end = 12 + (usize::from(data[12]) + 1) * 4 - 4;
                let at = (12..end)
                    .find(|&n| data[n..].starts_with(&[0x21, 1]))
                    .unwrap()
                    + 2;
                data[at] = 40;
                let crc = crc32fast::hash(&data[12..end]).to_le_bytes();
                data[end..end + 4].copy_from_slice(&crc);
                with(site, "xz", &data, Some(&text));
            },
        ),
        entry(
            "a zstd window of 2 GiB",
            &["Packages.zst: it cannot be unpacked"],
            |site| {
                let frame = [0x28, 0xb5, 0x2f, 0xfd, 0, 21 << 3, 9, 0, 0, b'a'];
                with(site, "zst", &frame, Some(b"a"));
            },
        ),
    ]);
}

#[test]
fn several_streams_are_one_file() {
    let each = FORMS.into_iter().map(|form| {
        entry("several streams", &[], move |site| {
            let text = good_text(site);
            let (one, two) = text.split_at(text.len() / 2);
            let data = [packed(form, one), packed(form, two)].concat();
            with(site, form, &data, Some(&text));
        })
    });
    let_pass(&each.collect::<Vec<_>>());
}

/// Some megabytes that would fill gigabytes when they are merged.
#[test]
fn more_small_stanzas_than_memory_has_room_for() {
    let words = ["of memory", "raise fetch.max-memory"];
    let many = signed("60,000 stanzas for two architectures", &words, |suite| {
        for architecture in ["amd64", "arm64"] {
            let path = format!("main/binary-{architecture}/Packages");
            let text: String = (0..60_000)
                .map(|n| {
                    format!("Package: p{n}\nVersion: 1\nArchitecture: {architecture}\nFilename: pool/p{n}\n\n")
                })
                .collect();
            suite.put_index(&path, text.as_bytes());
        }
    });
    check(&[many.on(|site| {
        site.change_config("[\"all\", \"amd64\"]", "[\"all\", \"amd64\", \"arm64\"]");
        site.change_config("restarts = 0", "restarts = 0\nmax-memory = \"128 MiB\"");
    })]);
}
