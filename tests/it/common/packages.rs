//! Packages that tests make: small and correct, written without dpkg-deb.

use std::fs;
use std::path::{Path, PathBuf};

/// Returns a tar archive of files, by path.
fn tar(files: &[(&str, &[u8])]) -> Vec<u8> {
    let mut archive = tar::Builder::new(Vec::new());
    for (path, text) in files {
        let mut header = tar::Header::new_gnu();
        header.set_size(text.len() as u64);
        header.set_mode(0o644);
        archive.append_data(&mut header, path, *text).unwrap();
    }
    archive.into_inner().unwrap()
}

/// Returns an ar archive of members, by name.
fn ar(members: &[(&str, &[u8])]) -> Vec<u8> {
    let mut bytes = b"!<arch>\n".to_vec();
    for (name, text) in members {
        let header = format!(
            "{name:<16}{:<12}{:<6}{:<6}{:<8}{:<10}`\n",
            0,
            0,
            0,
            100_644,
            text.len()
        );
        bytes.extend_from_slice(header.as_bytes());
        bytes.extend_from_slice(text);
        if text.len() % 2 == 1 {
            bytes.push(b'\n');
        }
    }
    bytes
}

/// A binary package to be written.
pub(crate) struct Deb<'a> {
    pub(crate) name: &'a str,
    pub(crate) version: &'a str,
    pub(crate) architecture: &'a str,
    /// Further lines of its control file.
    pub(crate) fields: &'a str,
    /// The text of its only file.
    pub(crate) text: &'a str,
}

impl<'a> Deb<'a> {
    pub(crate) fn new(name: &'a str, version: &'a str) -> Self {
        Self {
            name,
            version,
            architecture: "amd64",
            fields: "",
            text: "",
        }
    }

    /// Returns the control file.
    pub(crate) fn control(&self) -> String {
        format!(
            "Package: {}\nVersion: {}\nArchitecture: {}\nMaintainer: A <a@example.org>\n{}Description: a test\n of {}\n",
            self.name, self.version, self.architecture, self.fields, self.name
        )
    }

    /// Writes the package into a directory, and returns its path.
    pub(crate) fn write(&self, directory: &Path) -> PathBuf {
        let control = self.control();
        let path = format!("./usr/share/{}/file", self.name);
        let bytes = ar(&[
            ("debian-binary", b"2.0\n"),
            ("control.tar", &tar(&[("./control", control.as_bytes())])),
            ("data.tar", &tar(&[(&path, self.text.as_bytes())])),
        ]);
        fs::create_dir_all(directory).unwrap();
        let version = self.version.split_once(':').map_or(self.version, |v| v.1);
        let name = format!("{}_{version}_{}.deb", self.name, self.architecture);
        let path = directory.join(name);
        fs::write(&path, bytes).unwrap();
        path
    }
}
