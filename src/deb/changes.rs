//! `.changes`, which list the files of an upload, and `.buildinfo`, which list those of a build.

use std::io::Read;
use std::path::Path;

use crate::error::Result;
use crate::names::PackageName;

use super::control::Control;
use super::error::Fault;
use super::lists::{self, Listed};
use super::signed::{self, Trust};

/// An upload or a build as its file describes it.
#[derive(Debug)]
pub struct Changes {
    /// The source.
    pub source: PackageName,
    /// The version of the source.
    pub version: String,
    /// The architectures: `source`, `all` and others.
    pub architectures: Vec<String>,
    /// The binary packages; none where the file does not say them, as for an upload of a source alone.
    pub binaries: Vec<String>,
    /// The distributions that an upload is for; none in a `.buildinfo`.
    pub distributions: Vec<String>,
    /// The files, sorted by name, each with its SHA-256.
    pub files: Vec<Listed>,
    /// The fingerprints of the keys that signed the file, if a keyring was asked.
    pub signers: Vec<String>,
}

/// Reads a `.changes` or a `.buildinfo` from its first byte; `path` is its name in messages.
pub fn read_changes(file: impl Read, path: &Path, trust: Trust<'_>) -> Result<Changes> {
    let text = signed::read(file, path, trust)?;
    let changes = parse(&text.bytes).map_err(|fault| fault.of(path))?;
    Ok(Changes {
        signers: text.signers,
        ..changes
    })
}

/// Reads the text of such a file.
pub(super) fn parse(text: &[u8]) -> Result<Changes, Fault> {
    let control = Control::parse(text)?;
    let (source, version) = control.source_and_version()?;
    let files = lists::read(&control)?;
    if let Some(file) = files.iter().find(|file| file.sha256.is_none()) {
        let name = &file.name;
        return Err(Fault::new(format!("it gives no SHA-256 for `{name}`")));
    }
    Ok(Changes {
        source,
        version,
        architectures: control.words("Architecture")?,
        binaries: control.words("Binary")?,
        distributions: control.words("Distribution")?,
        files,
        signers: Vec::new(),
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn an_upload_lists_its_files_with_sections() {
        let changes = parse(
            b"Format: 1.8\nSource: hello (1.0-1)\nBinary: hello\n hello-doc\nArchitecture: source all\nVersion: 1.0-1+b1\n\
Distribution: unstable\nChecksums-Sha256:\n 0000000000000000000000000000000000000000000000000000000000000001 5 hello_1.0-1.dsc\n\
Files:\n 00000000000000000000000000000002 5 devel optional hello_1.0-1.dsc\n",
        )
        .unwrap();
        assert_eq!(changes.source.as_str(), "hello");
        assert_eq!(changes.version, "1.0-1");
        assert_eq!(changes.binaries, ["hello", "hello-doc"]);
        assert_eq!(changes.distributions, ["unstable"]);
        assert_eq!(changes.files[0].md5.unwrap()[15], 2);
    }

    #[test]
    fn files_without_a_sha256_are_refused() {
        let error = parse(
            b"Source: a\nVersion: 1\nFiles:\n 00000000000000000000000000000002 5 x y a.dsc\n",
        );
        let error = error.unwrap_err().to_string();
        assert!(error.contains("no SHA-256 for `a.dsc`"), "{error}");
    }
}
