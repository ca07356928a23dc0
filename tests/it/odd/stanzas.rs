//! Stanzas of Packages: how their lines are written, and what their fields say.

use super::archive::PACKAGES;
use super::catalogue::{Entry, check, odd, stanza};

/// Returns an entry whose stanza is a good one behind some text.
fn after(name: &str, text: &'static [u8]) -> Entry {
    odd(name, move |archive| {
        let stanza = archive.binary("odd");
        archive.packages([text, stanza.as_bytes()].concat());
    })
}

/// Returns an entry whose stanza is a good one with some text behind it.
fn before(name: &str, text: impl Into<String>) -> Entry {
    let text = text.into();
    odd(name, move |archive| {
        let stanza = archive.binary("odd");
        archive.packages(stanza + &text);
    })
}

const SEEN: &[&str] = &["odd 1.0"];
const LEFT_OUT: &str = "`odd` 1.0 of odd (amd64) is left out: ";

#[test]
fn lines() {
    check(vec![
        stanza(
            "a line of one blank in a Description",
            ["Description: odd\n", "Description: odd\n long\n \n more\n"],
        )
        .reads(SEEN)
        .passes(),
        stanza(
            "a line of a tab in a Description",
            [
                "Description: odd\n",
                "Description: odd\n\tlong\n\t\n more\n",
            ],
        )
        .reads(SEEN)
        .passes(),
        odd("line ends of CR and LF in one stanza", |archive| {
            let stanza = archive.binary("odd");
            archive.packages(stanza.replace('\n', "\r\n") + "\r");
        })
        .reads(SEEN)
        .passes(),
        odd("line ends of CR and LF in all indices", |archive| {
            let stanza = archive.binary("odd");
            archive.packages(stanza);
            archive.index = Box::new(|_, text| {
                let text = String::from_utf8(text).unwrap();
                text.replace('\n', "\r\n").into_bytes()
            });
        })
        .reads(SEEN)
        .passes(),
        before("an empty line with carriage returns", "\r\r\n")
            .reads(SEEN)
            .passes(),
        before("many empty lines", "\n\n\n\n\n")
            .reads(SEEN)
            .passes(),
        after("a line of blanks before it", b" \t\n")
            .reads(SEEN)
            .passes(),
        before("a line of blanks behind it", " \t\n")
            .reads(SEEN)
            .passes(),
        before("a line of blanks between empty lines", "\n \n\n")
            .apt_refuses(&["no Package: header"])
            .publishes(SEEN),
        odd("no line end at the end", |archive| {
            let stanza = archive.binary("odd");
            archive.packages(stanza);
            archive.index = Box::new(|_, text| text.trim_ascii_end().to_vec());
        })
        .reads(SEEN)
        .passes(),
        before("a field of 200 kB", format!("X: {}\n", "x".repeat(200_000)))
            .reads(SEEN)
            .passes(),
        before("tabs for blanks", "Priority:\toptional\t\nX:\t\n")
            .reads(SEEN)
            .passes(),
        stanza(
            "a name of a field in upper case",
            ["Filename:", "FILENAME:"],
        )
        .reads(SEEN)
        .passes(),
        stanza("a blank before the colon", ["Package:", "Package :"])
            .reads(SEEN)
            .passes(),
        stanza(
            "a value on the next line",
            ["Version: 1.0", "Version:\n 1.0"],
        )
        .reads(SEEN)
        .leaves_out(SEEN, &["`odd`", "that is no version"]),
        before("empty fields", "Section:\nRecommends: \nSource:\n")
            .reads(SEEN)
            .passes(),
        odd("the name in the last line", |archive| {
            let stanza = archive.binary("odd");
            archive.packages(stanza.replace("Package: odd\n", "") + "Package: odd\n");
        })
        .reads(SEEN)
        .passes(),
        odd("Latin-1 in a Description", |archive| {
            let stanza = archive.binary("odd").into_bytes();
            archive.packages([&stanza[..], b"X-Author: M\xfcller\n"].concat());
        })
        .reads(SEEN)
        .passes_with(&["this is not UTF-8, it is passed on as it is"]),
        odd("an empty index", |archive| {
            archive.index = Box::new(|path, text| match path {
                PACKAGES => text,
                _ => Vec::new(),
            });
        })
        .loses(&["src:good 1.0", "src:last 1.0"])
        .leaves_out(&["src:good 1.0", "src:last 1.0"], &[]),
    ]);
}

#[test]
fn lines_that_readers_take_differently() {
    check(vec![
        before("a line without a colon", "junk\n")
            .reads(SEEN)
            .loses(&["last 1.0"])
            .leaves_out(SEEN, &[LEFT_OUT, "neither a field nor a continuation line"]),
        stanza("a line without a colon in it", ["Size:", "junk\nSize:"])
            .reads(SEEN)
            .cannot_get(SEEN)
            .leaves_out(SEEN, &[LEFT_OUT, "neither a field"]),
        stanza("a comment in it", ["Size:", "# a: b\nSize:"])
            .reads(SEEN)
            .leaves_out(SEEN, &[LEFT_OUT, "a comment"]),
        stanza("a field name with a blank", ["Size:", "Not one: x\nSize:"])
            .reads(SEEN)
            .leaves_out(SEEN, &[LEFT_OUT, "that is no field name"]),
        stanza("a field without a name", ["Size:", ": x\nSize:"])
            .reads(SEEN)
            .leaves_out(SEEN, &[LEFT_OUT, "that is no field name"]),
        stanza(
            "a field that begins with a hyphen",
            ["Size:", "-x: y\nSize:"],
        )
        .reads(SEEN)
        .leaves_out(SEEN, &[LEFT_OUT, "may not begin with `-`"]),
        stanza(
            "a line that begins with a carriage return",
            ["Size:", "\rSize:"],
        )
        .reads(SEEN)
        .leaves_out(SEEN, &[LEFT_OUT, "carriage return"]),
        after("a continuation line at its front", b" x\n")
            .reads(SEEN)
            .leaves_out(SEEN, &[LEFT_OUT, "without a field before it"]),
        stanza("a NUL byte", ["Description: odd", "Description: o\0dd"])
            .reads(SEEN)
            .leaves_out(SEEN, &[LEFT_OUT, "a NUL byte"]),
        after("a byte-order mark in the middle", b"\xef\xbb\xbf")
            .apt_refuses(&["no Package: header"])
            .refuses(&["line 10: a byte-order mark, and apt finds no field `Package`"]),
        odd("a byte-order mark at the front", |archive| {
            archive.index = Box::new(|_, text| [&b"\xef\xbb\xbf"[..], &text].concat());
        })
        .apt_refuses(&["no Package: header"])
        .refuses(&["line 1: a byte-order mark, and apt finds no field `Package`"]),
        after("a comment of its own", b"# a comment\n\n")
            .apt_refuses(&["no Package: header"])
            .refuses(&["line 10: a comment", "and apt finds no field `Package`"]),
        stanza("an empty line in the middle", ["Size:", "\r\nSize:"])
            .apt_refuses(&["no Package: header"])
            .refuses(&["the stanza has no field `Package`"]),
        stanza("no Package", ["Package: odd\n", ""])
            .apt_refuses(&["no Package: header"])
            .refuses(&["line 10: the stanza has no field `Package`"]),
        stanza("an empty Package", ["Package: odd\n", "Package:\n"])
            .apt_refuses(&["no Package: header"])
            .refuses(&["line 10: the stanza has no field `Package`"]),
    ]);
}

#[test]
fn versions() {
    let version =
        |name, version: &str| stanza(name, ["1.0", version]).reads(&[&format!("odd {version}")]);
    check(vec![
        version("an underscore in a version", "1.0_beta3-1").passes(),
        version("an epoch", "2:1.0").passes(),
        version("an epoch that is no number", "a:1.0").passes(),
        version("a version without digits", "unstable").passes(),
        version("a comma in a version", "1.0,2").passes(),
        version("two colons", "1:2:3").passes(),
        version("no upstream version", "1:").passes(),
        version("a revision alone", "-1").passes(),
        version("a version of 180 bytes", &"1.".repeat(90)).passes(),
        version("a blank in a version", "1.0 beta")
            .leaves_out(
                &["odd 1.0 beta"],
                &["`odd`", "is left out: that is no version: `1.0 beta`"],
            ),
        version("UTF-8 in a version", "1.0é").leaves_out(
            &["odd 1.0é"],
            &["is left out: that is no version: `1.0é`"],
        ),
        stanza("no Version", ["Version: 1.0\n", ""]).reads(&[]).passes_with(&[
            "odd odd main/binary-amd64/Packages, line 10: `odd`: the stanza has no field `Version`; the stanza is left out",
        ]),
        stanza("an empty Version", ["Version: 1.0\n", "Version:\n"])
            .reads(&[])
            .passes_with(&["`odd`: the stanza has no field `Version`"]),
    ]);
}

#[test]
fn names_and_architectures() {
    let name = |name, package: &str| stanza(name, ["Package: odd", &format!("Package: {package}")]);
    let architecture = |name, value: &str| stanza(name, ["amd64", value]);
    let stray = "packages of other architectures are left out, 1 of them: `odd` of ";
    check(vec![
        name("upper case", "Odd").reads(SEEN).passes(),
        name("one character", "o").reads(&["o 1.0"]).passes(),
        name("an underscore in a name", "od_d")
            .reads(&["od_d 1.0"])
            .passes(),
        name("a name of 180 bytes", &"o".repeat(180))
            .reads(&[&format!("{} 1.0", "o".repeat(180))])
            .passes(),
        name("a plus at the front of a name", "+odd")
            .reads(&["+odd 1.0"])
            .leaves_out(&["+odd 1.0"], &["line 10: `+odd`: that is no package name"]),
        name("a slash in a name", "od/d")
            .reads(&["od/d 1.0"])
            .leaves_out(&["od/d 1.0"], &["that is no package name: `od/d`"]),
        name("UTF-8 in a name", "ödd")
            .reads(&["ödd 1.0"])
            .leaves_out(&["ödd 1.0"], &["that is no package name: `ödd`"]),
        name("an architecture in a name", "odd:arm64")
            .reads(&["odd:arm64 1.0"])
            .cannot_get(&["odd:arm64 1.0"])
            .leaves_out(&["odd:arm64 1.0"], &["that is no package name"]),
        architecture("Architecture: all", "all")
            .reads(SEEN)
            .passes(),
        architecture("an architecture that is not there", "arm64")
            .reads(&["odd:arm64 1.0"])
            .leaves_out(&["odd:arm64 1.0"], &[stray, "arm64"]),
        architecture("an architecture that nobody knows", "pdp11")
            .reads(&["odd:pdp11 1.0"])
            .leaves_out(&["odd:pdp11 1.0"], &[stray, "pdp11"]),
        architecture("Architecture: any", "any")
            .reads(SEEN)
            .cannot_get(SEEN)
            .leaves_out(SEEN, &[stray, "any"]),
        architecture("two architectures", "amd64 arm64")
            .reads(&["odd:amd64 arm64 1.0"])
            .cannot_get(&["odd:amd64 arm64 1.0"])
            .leaves_out(&["odd:amd64 arm64 1.0"], &[stray]),
        stanza("no Architecture", ["Architecture: amd64\n", ""])
            .reads(&["odd:none 1.0"])
            .leaves_out(
                &["odd:none 1.0"],
                &["line 10: `odd`: the stanza has no field `Architecture`"],
            ),
    ]);
}

#[test]
fn fields() {
    check(vec![
        before("Depends twice", "Depends: good\nDepends: last\n")
            .reads(SEEN)
            .passes(),
        before("Description twice", "Description: other\n")
            .reads(SEEN)
            .passes(),
        before("one Version twice", "Version: 1.0\n").reads(SEEN).passes(),
        before("two Versions", "Version: 2.0\n")
            .reads(&["odd 2.0"])
            .leaves_out(
                &["odd 2.0"],
                &["`odd` 2.0 of odd (amd64) is left out: the field `Version` stands in one stanza twice"],
            ),
        before("two names", "package: other\n").reads(&["other 1.0"]).leaves_out(
            &["other 1.0", "odd 1.0"],
            &["`other` 1.0 of odd (amd64) is left out: the field `package` stands in one stanza twice"],
        ),
        before("two paths", "Filename: pool/other.deb\n")
            .reads(SEEN)
            .cannot_get(SEEN)
            .leaves_out(SEEN, &[LEFT_OUT, "the field `Filename` stands in one stanza twice"]),
        before("an unknown Multi-Arch", "Multi-Arch: maybe\n")
            .reads(SEEN)
            .apt_says(&["Unknown Multi-Arch type"])
            .passes(),
        before("an unknown Priority and Section", "Priority: whenever\nSection: a/b/c\n")
            .reads(SEEN)
            .passes(),
        stanza("no Description and no Maintainer", ["Description: odd\n", ""])
            .reads(SEEN)
            .passes(),
        stanza("no Size", ["Size:", "X-Size:"])
            .reads(SEEN)
            .cannot_get(SEEN)
            .passes(),
        stanza("no hash", ["SHA256:", "X-SHA256:"])
            .reads(SEEN)
            .cannot_get(SEEN)
            .passes(),
        stanza("a hash that is none", ["SHA256: ", "SHA256: 0"])
            .reads(SEEN)
            .cannot_get(SEEN)
            .passes(),
        odd("a wrong hash", |archive| {
            let stanza = archive.binary("odd");
            archive.files.insert("pool/odd.deb".into(), b"odd, and as long\n".to_vec());
            archive.packages(stanza);
        })
            .reads(SEEN)
            .cannot_get(SEEN)
            .passes(),
        before("relations that apt cannot read", "Recommends: a b\n")
            .apt_refuses(&["Problem parsing dependency"])
            .leaves_out(&[], &["`odd` 1.0 of odd (amd64) is left out, since no client could read"]),
        before("an empty Provides", "Provides:\n")
            .apt_refuses(&["Problem parsing Provides"])
            .leaves_out(&[], &["apt cannot read its field `Provides`: it is empty"]),
        before("a stanza of more than 1 MiB", format!("X: {}\n", "x".repeat(1_100_000)))
            .apt_refuses(&[])
            .leaves_out(&[], &["apt reads none of more than 1 MiB"]),
        odd("a stanza twice", |archive| {
            let stanza = archive.binary("odd");
            archive.packages(&stanza);
            archive.packages(&stanza);
        })
        .reads(SEEN)
        .passes(),
        odd("a version twice, with different files", |archive| {
            let stanza = archive.binary("odd");
            let other = archive.binary("odd2");
            archive.packages(&stanza);
            archive.packages(other.replace("Package: odd2", "Package: odd"));
        })
        .reads(SEEN)
        .passes_with(&[
            "`odd` 1.0 of odd (amd64) is there twice, with different files: `pool/odd.deb` is taken, `pool/odd2.deb` is left out",
        ]),
    ]);
}
