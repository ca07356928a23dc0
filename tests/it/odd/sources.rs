//! Stanzas of Sources.

use super::archive::SOURCES;
use super::catalogue::{Entry, check, odd, source};

const SEEN: &[&str] = &["src:odd 1.0"];
const LEFT_OUT: &str = "`odd` 1.0 of odd (source) is left out: ";

/// Returns an entry whose source lies in this directory, by the words of its stanza.
fn directory(name: &str, line: &str, lies: &str) -> Entry {
    let (line, lies) = (line.to_owned(), lies.to_owned());
    odd(name, move |archive| {
        let stanza = archive
            .source("odd")
            .replace("Directory: pool/odd\n", &line);
        let file = archive.files.remove("pool/odd/odd_1.0.dsc").unwrap();
        archive.files.insert(format!("{lies}odd_1.0.dsc"), file);
        archive.sources(stanza);
    })
    .reads(SEEN)
}

#[test]
fn directories() {
    check(vec![
        directory(
            "a slash at the front of a Directory",
            "Directory: /pool/odd\n",
            "pool/odd/",
        )
        .passes(),
        directory(
            "a slash at the end of a Directory",
            "Directory: pool/odd/\n",
            "pool/odd/",
        )
        .passes(),
        directory("the archive itself as a Directory", "Directory: .\n", "").passes(),
        directory("a slash alone as a Directory", "Directory: /\n", "").passes(),
        directory("an empty Directory", "Directory:\n", "").passes(),
        directory(
            "a blank in a Directory",
            "Directory: pool/an odd one\n",
            "pool/an odd one/",
        )
        .passes(),
        directory("no Directory", "", "").passes(),
        directory(
            "two Directories",
            "Directory: x\nDirectory: pool/odd\n",
            "pool/odd/",
        )
        .leaves_out(
            SEEN,
            &[LEFT_OUT, "the field `Directory` stands in one stanza twice"],
        ),
        source(
            "a Directory that climbs",
            ["Directory: pool", "Directory: ../pool"],
        )
        .reads(SEEN)
        .cannot_get(SEEN)
        .leaves_out(SEEN, &[LEFT_OUT, "Directory is refused, it climbs"]),
        source("a file that climbs", ["odd_1.0.dsc", "../odd/odd_1.0.dsc"])
            .reads(SEEN)
            .leaves_out(SEEN, &[LEFT_OUT, "lies outside of its directory"]),
    ]);
}

#[test]
fn fields() {
    check(vec![
        source("an underscore in a source's version", ["Version: 1.0", "Version: 1.0_b"])
            .reads(&["src:odd 1.0_b"])
            .passes(),
        source("no Architecture of a source", ["Architecture: any\n", ""])
            .reads(SEEN)
            .passes(),
        source("no Binary and no Format", ["Binary: odd\n", ""]).reads(SEEN).passes(),
        source("a line of blanks in a source", ["Binary: odd", "Binary: odd,\n \n odd2"])
            .reads(SEEN)
            .passes(),
        source("only SHA-512 that is none", ["Checksums-Sha256:", "Checksums-Sha512:"])
            .reads(SEEN)
            .cannot_get(SEEN)
        .passes(),
        source("a list of files that apt cannot read", ["_1.0.dsc", "_1.0.dsc x"])
            .reads(SEEN)
            .cannot_get(SEEN)
            .passes(),
        source("a source without a name", ["Package: odd\n", ""]).reads(&[]).passes_with(&[
            "odd odd main/source/Sources, line 11: the stanza has no field `Package`; the stanza is left out",
        ]),
        source("a source without a version", ["Version: 1.0\n", ""])
            .reads(&[])
            .passes_with(&["`odd`: the stanza has no field `Version`"]),
        odd("a byte-order mark before the sources", |archive| {
            archive.index = Box::new(|path, text| match path {
                SOURCES => [&b"\xef\xbb\xbf"[..], &text].concat(),
                _ => text,
            });
        })
        .loses(&["src:good 1.0"])
        .leaves_out(&["src:good 1.0"], &["line 1: the stanza has no field `Package`"]),
        odd("a source twice, with different files", |archive| {
            let stanza = archive.source("odd");
            let other = archive.source("odd2").replace("Package: odd2", "Package: odd");
            archive.sources(&stanza);
            archive.sources(other);
        })
        .reads(SEEN)
        .passes_with(&["`odd` 1.0 of odd (source) is there twice, with different files"]),
    ]);
}
