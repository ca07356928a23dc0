//! An archive that an entry of the catalogue makes odd: one suite, its packages and their files.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::SystemTime;

use aptmerge::openpgp::Signer;

use crate::common::apt::sha256;
use crate::common::upstream::signing_time;
use crate::common::web::Answer;

pub(crate) const PACKAGES: &str = "main/binary-amd64/Packages";
pub(crate) const SOURCES: &str = "main/source/Sources";

/// A change of the text of an index, by its path.
type Change = Box<dyn Fn(&str, Vec<u8>) -> Vec<u8>>;

/// An answer of the archive's web server in the place of a file's.
type Behaviour = Arc<dyn Fn(&str) -> Option<Answer> + Send + Sync>;

/// The archive `odd`, with the suite `odd`.
pub(crate) struct Archive {
    /// The first fields of the Release.
    pub(crate) fields: String,
    /// The plain text of each index, by its path in the Release.
    pub(crate) indices: BTreeMap<String, Vec<u8>>,
    /// The files of packages, by their paths in the archive.
    pub(crate) files: BTreeMap<String, Vec<u8>>,
    /// The change of the text of each index, by its path, before it is written.
    pub(crate) index: Change,
    /// The change of the whole Release before it is signed.
    pub(crate) release: Box<dyn Fn(String) -> String>,
    /// The change of the configuration of the site.
    pub(crate) config: Box<dyn Fn(String) -> String>,
    /// The answers in the place of the archive's web server, where there is one.
    pub(crate) behaviour: Option<Behaviour>,
    /// The time at which the Release is signed.
    pub(crate) signed_at: SystemTime,
    /// The directory in which the Release lies.
    directory: String,
    /// The end of the archive's line for apt, behind its URI.
    pub(super) line: String,
    /// The component of the indices; `None` in a flat archive.
    component: Option<String>,
}

impl Archive {
    /// Makes an archive that has a package and a source `good`.
    pub(super) fn good() -> Archive {
        let fields = "Origin: Odd\nLabel: Odd\nSuite: odd\nCodename: odd\n\
                      Date: Thu, 01 Jan 2026 00:00:00 UTC\nArchitectures: amd64\nComponents: main\n";
        let mut archive = Archive {
            fields: fields.to_owned(),
            indices: BTreeMap::new(),
            files: BTreeMap::new(),
            index: Box::new(|_, text| text),
            release: Box::new(|text| text),
            config: Box::new(|text| text),
            behaviour: None,
            signed_at: signing_time(),
            directory: "dists/odd".to_owned(),
            line: "odd main".to_owned(),
            component: Some("main".to_owned()),
        };
        archive.end_with("good");
        archive
    }

    /// Makes the archive a flat one, in a directory below its URI.
    pub(crate) fn flatten(&mut self, directory: &str) {
        self.component = None;
        self.directory = directory.trim_matches(['.', '/']).to_owned();
        self.line = directory.to_owned();
        let table =
            format!("\n[archives.odd.suites.odd]\nflat = {directory:?}\ncomponent = \"main\"\n");
        self.config = Box::new(move |text| text + &table);
    }

    /// Calls the component of the archive's indices otherwise.
    pub(crate) fn call_component(&mut self, name: &str) {
        self.component = Some(name.to_owned());
        self.line = format!("odd {name}");
    }

    /// Answers instead of the archive's web server, where this has an answer.
    pub(crate) fn behave(
        &mut self,
        answer: impl Fn(&str) -> Option<Answer> + Send + Sync + 'static,
    ) {
        self.behaviour = Some(Arc::new(answer));
    }

    /// Returns the path that an index of `main` has in this archive.
    fn path_of(&self, index: &str) -> String {
        match (&self.component, index) {
            (None, PACKAGES) => "Packages".to_owned(),
            (None, SOURCES) => "Sources".to_owned(),
            (Some(name), _) if index.starts_with("main/") => index.replacen("main", name, 1),
            _ => index.to_owned(),
        }
    }

    /// Adds a good package and a good source at the ends of their indices.
    pub(super) fn end_with(&mut self, name: &str) {
        let binary = self.binary(name);
        self.packages(&binary);
        let source = self.source(name);
        self.sources(&source);
    }

    /// Returns the stanza of a package that nothing is wrong with; its file is there.
    pub(crate) fn binary(&mut self, name: &str) -> String {
        let path = format!("pool/{name}.deb");
        let file = self.file(&path);
        format!(
            "Package: {name}\nVersion: 1.0\nArchitecture: amd64\nMaintainer: A <a@site.example>\nDescription: {name}\n\
             Filename: {path}\nSize: {}\nSHA256: {}\n",
            file.len(),
            sha256(&file)
        )
    }

    /// Returns the stanza of a source that nothing is wrong with; its file is there.
    pub(crate) fn source(&mut self, name: &str) -> String {
        let file = self.file(&format!("pool/{name}/{name}_1.0.dsc"));
        let (sum, size) = (sha256(&file), file.len());
        format!(
            "Package: {name}\nBinary: {name}\nVersion: 1.0\nMaintainer: A <a@site.example>\nArchitecture: any\nFormat: 1.0\n\
             Checksums-Sha256:\n {sum} {size} {name}_1.0.dsc\nDirectory: pool/{name}\n"
        )
    }

    /// Puts a file into the archive, with its path for its text; returns the text.
    pub(crate) fn file(&mut self, path: &str) -> Vec<u8> {
        let text = format!("the file {path}\n").into_bytes();
        self.files.insert(path.to_owned(), text.clone());
        text
    }

    /// Appends a stanza to the packages.
    pub(crate) fn packages(&mut self, stanza: impl AsRef<[u8]>) {
        self.append(PACKAGES, stanza);
    }

    /// Appends a stanza to the sources.
    pub(crate) fn sources(&mut self, stanza: impl AsRef<[u8]>) {
        self.append(SOURCES, stanza);
    }

    /// Appends a stanza to an index.
    pub(crate) fn append(&mut self, index: &str, stanza: impl AsRef<[u8]>) {
        let text = self.indices.entry(index.to_owned()).or_default();
        text.extend_from_slice(stanza.as_ref());
        text.push(b'\n');
    }

    /// Writes the archive below a directory.
    pub(super) fn write(&self, dir: &Path, key: &Path) {
        let suite = dir.join(&self.directory);
        let mut sums = String::new();
        let put = |path: &Path, data: &[u8]| {
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, data).unwrap();
        };
        for (path, text) in &self.indices {
            let text = (self.index)(path, text.clone());
            let path = self.path_of(path);
            put(&suite.join(&path), &text);
            writeln!(sums, " {} {} {path}", sha256(&text), text.len()).unwrap();
        }
        for (path, text) in &self.files {
            put(&dir.join(path), text);
        }
        let release = (self.release)(format!("{}SHA256:\n{sums}", self.fields));
        let signer = Signer::key_files(&[key]).unwrap();
        let signed = signer.sign(release.as_bytes(), self.signed_at).unwrap();
        put(&suite.join("InRelease"), &signed.inline);
        put(&suite.join("Release"), release.as_bytes());
        put(&suite.join("Release.gpg"), &signed.detached);
    }
}
