//! Stanzas of Packages.

use super::catalogue::{check, odd, source, stanza};

#[test]
fn values() {
    check(vec![
        stanza("an epoch", ["1.0", "2:1.0"])
            .reads(&["odd 2:1.0"])
            .passes(),
        stanza("a name in upper case", ["Package: odd", "Package: Odd"])
            .reads(&["odd 1.0"])
            .passes(),
        stanza(
            "an index without a field for the hash",
            ["SHA256: ", "X-Hash: "],
        )
        .reads(&["odd 1.0"])
        .cannot_get(&["odd 1.0"])
        .passes(),
        stanza(
            "a relation that apt cannot read",
            ["Size: ", "Depends: a b\nSize: "],
        )
        .apt_refuses(&["Problem parsing dependency"])
        .leaves_out(&["odd 1.0"], &["`odd` 1.0", "is left out"]),
        odd("Latin-1 in a description", |archive| {
            let stanza = archive.binary("odd").into_bytes();
            archive.packages([&stanza[..], b"X-Author: M\xfcller\n"].concat());
        })
        .reads(&["odd 1.0"])
        .passes_with(&["not UTF-8"]),
        source(
            "a source with a field that nobody knows",
            ["Format: ", "X-Odd: \nFormat: "],
        )
        .reads(&["src:odd 1.0"])
        .passes(),
        odd("a stanza without a name", |archive| {
            archive.packages("Version: 1.0\nArchitecture: amd64\nFilename: pool/x\n");
        })
        .apt_refuses(&["Encountered a section with no Package: header"])
        .refuses(&["line 10: the stanza has no field `Package`"]),
    ]);
}
