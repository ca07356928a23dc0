//! Archives as their makers have them: suites that a test may change and sign again, or lays out from nothing.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use aptmerge::openpgp::Signer;
use jiff::Timestamp;
use sha2::{Digest, Sha256};

use super::site::Site;

/// The Date of what a test makes of an archive: later than the fixtures', earlier than the clock of any run.
pub(crate) const NEWER: &str = "Mon, 02 Feb 2026 00:00:00 UTC";

/// The Date of the good state that follows.
pub(crate) const NEWEST: &str = "Tue, 03 Feb 2026 00:00:00 UTC";

/// When what a test signs was signed.
pub(crate) fn signing_time() -> SystemTime {
    let time: jiff::Timestamp = "2026-02-01T00:00:00Z".parse().unwrap();
    time.into()
}

/// A binary's stanza that nothing is wrong with.
pub(crate) fn stanza(name: &str) -> String {
    format!(
        "Package: {name}\nVersion: 1.0\nArchitecture: amd64\nMaintainer: A <a@site.example>\nDescription: x\nFilename: pool/main/{name}_1.0_amd64.deb\nSize: 1\nSHA256: {}\n",
        "0".repeat(64)
    )
}

pub(crate) fn gz(data: &[u8]) -> Vec<u8> {
    let mut out = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    out.write_all(data).unwrap();
    out.finish().unwrap()
}

pub(crate) fn xz(data: &[u8]) -> Vec<u8> {
    let mut out = liblzma::write::XzEncoder::new(Vec::new(), 6);
    out.write_all(data).unwrap();
    out.finish().unwrap()
}

#[track_caller]
pub(crate) fn gunzip(path: &Path) -> String {
    let mut text = String::new();
    flate2::read::MultiGzDecoder::new(fs::File::open(path).unwrap())
        .read_to_string(&mut text)
        .unwrap();
    text
}

/// Returns the lines of a Release for some files.
pub(crate) fn sums(files: &BTreeMap<String, String>) -> String {
    let mut sums = String::new();
    for (path, text) in files {
        let sum = hex::encode(Sha256::digest(text));
        writeln!(sums, " {sum} {} {path}", text.len()).unwrap();
    }
    sums
}

/// Lays out a suite in a directory: some plain files and their Release, which begins with these fields.
pub(crate) fn lay_out(
    dir: &Path,
    fields: &str,
    files: &BTreeMap<String, String>,
    key: &Path,
    time: Timestamp,
) {
    for (path, text) in files {
        let path = dir.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    let release = format!("{fields}SHA256:\n{}", sums(files));
    let signer = Signer::key_files(&[key]).unwrap();
    let signed = signer.sign(release.as_bytes(), SystemTime::from(time));
    fs::write(dir.join("Release"), &release).unwrap();
    fs::write(dir.join("InRelease"), signed.unwrap().inline).unwrap();
}

/// One suite of a site's archive, open for changes. Nothing changes its Release before [`Suite::sign`].
pub(crate) struct Suite {
    pub(crate) dir: PathBuf,
    pub(crate) body: String,
    pub(crate) key: PathBuf,
}

impl Suite {
    pub(crate) fn open(site: &Site, archive: &str, suite: &str) -> Suite {
        let dir = site.path(format!("archives/{archive}/dists/{suite}"));
        Suite {
            body: fs::read_to_string(dir.join("Release")).unwrap(),
            key: site.path(format!("keys/{archive}.secret.asc")),
            dir,
        }
    }

    /// Sets a field of one line, new ones at the front.
    pub(crate) fn set(&mut self, field: &str, value: &str) {
        let start = format!("{field}: ");
        let mut lines: Vec<String> = self.body.lines().map(str::to_owned).collect();
        let line = format!("{start}{value}");
        match lines.iter_mut().find(|line| line.starts_with(&start)) {
            Some(old) => *old = line,
            None => lines.insert(0, line),
        }
        self.body = lines.join("\n") + "\n";
    }

    /// Takes out a field with its continuation lines.
    pub(crate) fn remove(&mut self, field: &str) {
        let start = format!("{field}:");
        let mut inside = false;
        let kept = self.body.lines().filter(|line| {
            if !line.starts_with(' ') {
                inside = line.starts_with(&start);
            }
            !inside
        });
        self.body = kept.map(|line| format!("{line}\n")).collect();
    }

    /// Lists a file with the hash and size of these bytes, whatever is there.
    pub(crate) fn list(&mut self, path: &str, data: &[u8]) {
        let mut section = String::new();
        let mut found = false;
        let lines: Vec<String> = self
            .body
            .lines()
            .map(|line| {
                if !line.starts_with(' ') {
                    section = line.trim_end_matches(':').to_owned();
                    return line.to_owned();
                }
                if line.split_ascii_whitespace().nth(2) != Some(path) {
                    return line.to_owned();
                }
                found = true;
                let hash = match section.as_str() {
                    "SHA256" => hex::encode(Sha256::digest(data)),
                    "MD5Sum" => hex::encode(md5::Md5::digest(data)),
                    other => panic!("the fixtures have no {other}"),
                };
                format!(" {hash} {} {path}", data.len())
            })
            .collect();
        assert!(found, "{path} is not listed");
        self.body = lines.join("\n") + "\n";
    }

    /// Puts bytes into a file's place, under by-hash too where the suite has that.
    pub(crate) fn put(&mut self, path: &str, data: &[u8]) {
        fs::write(self.dir.join(path), data).unwrap();
        self.list(path, data);
        let by_hash = self.by_hash(path);
        if let Some(file) = by_hash {
            fs::write(file, data).unwrap();
        }
    }

    /// Adds a file that the suite did not have.
    pub(crate) fn add(&mut self, path: &str, data: &[u8]) {
        self.mention(path, data);
        let place = self.dir.join(path);
        fs::create_dir_all(place.parent().unwrap()).unwrap();
        fs::write(place, data).unwrap();
    }

    /// Lists a file that the suite does not list, whether or not it is there.
    pub(crate) fn mention(&mut self, path: &str, data: &[u8]) {
        let line = format!(
            "SHA256:\n {} {} {path}\n",
            hex::encode(Sha256::digest(data)),
            data.len()
        );
        self.body = self.body.replacen("SHA256:\n", &line, 1);
    }

    /// No longer lists what lies at paths that begin so.
    pub(crate) fn unlist(&mut self, start: &str) {
        let lines = self.body.lines().filter(|line| {
            let path = line.split_ascii_whitespace().nth(2);
            !(line.starts_with(' ') && path.is_some_and(|path| path.starts_with(start)))
        });
        self.body = lines.map(|line| format!("{line}\n")).collect();
    }

    /// Where the by-hash copy of a file is, by what the Release lists.
    fn by_hash(&self, path: &str) -> Option<PathBuf> {
        let place = self.dir.join(path);
        let dir = place.parent().unwrap().join("by-hash/SHA256");
        let listed = self.body.split("SHA256:\n").nth(1).unwrap();
        let mut lines = listed.lines().map(|l| l.split_ascii_whitespace());
        let hash = lines.find_map(|mut words| {
            let hash = words.next()?;
            (words.nth(1)? == path).then_some(hash)
        });
        hash.filter(|_| dir.exists()).map(|hash| dir.join(hash))
    }

    /// An index as it is, unpacked.
    pub(crate) fn index(&self, path: &str) -> String {
        gunzip(&self.dir.join(format!("{path}.gz")))
    }

    /// Replaces an index in all its forms.
    pub(crate) fn put_index(&mut self, path: &str, text: &[u8]) {
        match self.dir.join(path).exists() {
            true => self.put(path, text),
            false => self.list(path, text),
        }
        self.put(&format!("{path}.gz"), &gz(text));
        self.put(&format!("{path}.xz"), &xz(text));
    }

    pub(crate) fn append_stanza(&mut self, path: &str, stanza: &str) {
        let old = self.index(path);
        let text = format!("{}\n\n{stanza}", old.trim_end_matches('\n'));
        self.put_index(path, text.as_bytes());
    }

    /// Changes the bytes of an index in all its forms, without telling the Release.
    pub(crate) fn damage(&self, path: &str, damage: impl Fn(&mut Vec<u8>)) {
        for form in ["", ".gz", ".xz"] {
            let path = format!("{path}{form}");
            for file in [Some(self.dir.join(&path)), self.by_hash(&path)] {
                if let Some(file) = file.filter(|f| f.exists()) {
                    let mut data = fs::read(&file).unwrap();
                    damage(&mut data);
                    fs::write(file, data).unwrap();
                }
            }
        }
    }

    /// Takes an index away in all its forms.
    pub(crate) fn delete(&self, path: &str) {
        for form in ["", ".gz", ".xz", ".bz2"] {
            let path = format!("{path}{form}");
            for file in [Some(self.dir.join(&path)), self.by_hash(&path)] {
                if let Some(file) = file.filter(|f| f.exists()) {
                    fs::remove_file(file).unwrap();
                }
            }
        }
    }

    /// Writes the Release, signed, in the forms that the suite has.
    pub(crate) fn sign(&self) {
        self.sign_at(signing_time());
    }

    /// Does so at a set time.
    pub(crate) fn sign_at(&self, time: SystemTime) {
        let signer = Signer::key_files(&[&self.key]).unwrap();
        let signed = signer.sign(self.body.as_bytes(), time).unwrap();
        fs::write(self.dir.join("Release"), &self.body).unwrap();
        fs::write(self.dir.join("Release.gpg"), &signed.detached).unwrap();
        if self.dir.join("InRelease").exists() {
            fs::write(self.dir.join("InRelease"), &signed.inline).unwrap();
        }
    }
}
