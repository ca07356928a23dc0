//! Source packages: a `.dsc`, and the files that it lists.

use std::io::Read;
use std::path::Path;

use crate::error::Result;

use super::Identity;
use super::control::Control;
use super::error::Fault;
use super::lists::{self, Listed};
use super::signed::{self, Trust};

/// A source package as its `.dsc` describes it.
#[derive(Debug)]
pub struct Source {
    /// Its identity.
    pub identity: Identity,
    /// The stanza of Sources, without the fields that an index writes, with a newline at the end.
    pub stanza: Vec<u8>,
    /// The files that the `.dsc` lists, sorted by name; the `.dsc` itself is not one of them.
    pub files: Vec<Listed>,
    /// The fingerprints of the keys that signed it, if a keyring was asked.
    pub signers: Vec<String>,
}

/// Reads a `.dsc` from its first byte; `path` is its name in messages.
pub fn read_source(file: impl Read, path: &Path, trust: Trust<'_>) -> Result<Source> {
    let text = signed::read(file, path, trust)?;
    let (identity, stanza, files) = parse(&text.bytes).map_err(|fault| fault.of(path))?;
    Ok(Source {
        identity,
        stanza,
        files,
        signers: text.signers,
    })
}

/// Reads the text of a `.dsc`.
pub(super) fn parse(text: &[u8]) -> Result<(Identity, Vec<u8>, Vec<Listed>), Fault> {
    let control = Control::parse(text)?;
    let identity = control.source()?;
    let stanza = control.stanza(Some(("Source", "Package")));
    Ok((identity, stanza, lists::read(&control)?))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    const DSC: &str = "Format: 3.0 (quilt)\nSource: hello\nBinary: hello\nVersion: 1.0-1\nMaintainer: A <a@b.example>\n\
Checksums-Sha256:\n 0000000000000000000000000000000000000000000000000000000000000001 5 hello_1.0.orig.tar.gz\n\
Files:\n 00000000000000000000000000000002 5 hello_1.0.orig.tar.gz\n";

    #[test]
    fn a_source_keeps_its_fields_and_loses_its_lists() {
        let (identity, stanza, files) = parse(DSC.as_bytes()).unwrap();
        assert_eq!(identity.architecture, "source");
        assert_eq!(
            String::from_utf8(stanza).unwrap(),
            "Format: 3.0 (quilt)\nPackage: hello\nBinary: hello\nVersion: 1.0-1\nMaintainer: A <a@b.example>\n"
        );
        let [file] = &files[..] else {
            panic!("{files:?}")
        };
        assert_eq!(file.md5.unwrap()[15], 2);
        assert_eq!(file.sha256.unwrap()[31], 1);
    }

    #[test]
    fn lists_that_disagree_or_climb_are_refused() {
        for (from, to) in [
            ("2 5 hello_1.0", "2 6 hello_1.0"),
            ("2 5 hello_1.0", "2 5 ../hello_1.0"),
            ("2 5 hello_1.0", "2 5 other_1.0"),
            ("2 5 hello_1.0", "2 -5 hello_1.0"),
            ("2 5 hello_1.0", "2 +5 hello_1.0"),
            ("2 5 hello_1.0", "2 5 .hidden"),
            ("2 5 hello_1.0", "2 5 a b c hello_1.0"),
            ("Source: hello", "Source: he/llo"),
            ("Source: hello", "Package: hello\nSource: hello"),
            ("Checksums-Sha256:\n 0", "Checksums-Sha256:\n g"),
            (
                "Files:\n",
                "Files:\n 00000000000000000000000000000003 5 b\n",
            ),
            (
                "Files:\n",
                "Files:\n 00000000000000000000000000000002 5 hello_1.0.orig.tar.gz\n",
            ),
        ] {
            let text = DSC.replacen(from, to, 1);
            assert_ne!(text, DSC);
            assert!(parse(text.as_bytes()).is_err(), "{to}");
        }
    }

    #[test]
    fn a_hundred_thousand_files_are_refused_soon() {
        let lines = (0..100_000).map(|n| format!(" 0 5 f{n}\n"));
        let lines: String = lines
            .map(|line| line.replace(" 0 ", " 00000000000000000000000000000002 "))
            .collect();
        let text = format!("Source: hello\nVersion: 1\nFiles:\n{}", &lines[..800_000]);
        let error = parse(text.as_bytes()).unwrap_err();
        assert!(
            error.to_string().contains("more than 10000 files"),
            "{error}"
        );
    }
}
