//! Packages and queries: what is read of a file that somebody uploads.

use std::borrow::Cow;
use std::path::Path;

use crate::deb::{self, Kind, Trust};
use crate::deb822::{Stanzas, eq_name};
use crate::query::{Query, Subject};

/// The fields that an index writes, in lower case: no stanza of a package keeps one.
const OF_INDEX: [&str; 5] = ["filename", "size", "sha256", "files", "checksums-sha256"];

/// Reads a binary package, and asserts that its stanza reads as one that no index has to change, and that no path leads out.
pub(super) fn deb(data: &[u8]) {
    let path = Path::new("x.deb");
    let Ok(binary) = deb::read_binary(data, path, Kind::Binary) else {
        return;
    };
    assert_stanza(&binary.stanza, binary.identity.name.as_str());
    assert!(!binary.identity.version.contains('/'));
    for path in &binary.contents {
        assert!(path.split(|b| *b == b'/').all(|part| part != b".."));
        assert!(!path.starts_with(b"/") && !path.contains(&b'\n') && !path.is_empty());
    }
}

/// Reads a `.dsc` and a `.changes`, and asserts that no listed file has a path.
pub(super) fn control_file(data: &[u8]) {
    let path = Path::new("x.dsc");
    if let Ok(source) = deb::read_source(data, path, Trust::Operator) {
        assert_stanza(&source.stanza, source.identity.name.as_str());
        assert_names(source.files.iter().map(|file| file.name.as_str()));
    }
    if let Ok(changes) = deb::read_changes(data, path, Trust::Operator) {
        assert_names(changes.files.iter().map(|file| file.name.as_str()));
        assert!(changes.files.iter().all(|file| file.sha256.is_some()));
    }
}

fn assert_stanza(stanza: &[u8], name: &str) {
    assert!(stanza.ends_with(b"\n"));
    let mut stanzas = Stanzas::new(stanza);
    let read = stanzas.next().unwrap();
    assert!(stanzas.next().is_none());
    assert_eq!(read.as_apt_reads("Package"), Some(name.as_bytes()));
    for field in read.fields() {
        let field = field.unwrap();
        assert!(!OF_INDEX.iter().any(|name| eq_name(field.name, name)));
    }
}

fn assert_names<'f>(names: impl Iterator<Item = &'f str>) {
    for name in names {
        assert!(deb::is_file_name(name) && !name.contains('/') && !name.starts_with('.'));
    }
}

/// A package to ask queries about.
struct Nginx;

impl Subject for Nginx {
    fn name(&self) -> &str {
        "nginx"
    }
    fn version(&self) -> &str {
        "1:1.2-3"
    }
    fn architecture(&self) -> &str {
        "all"
    }
    fn kind(&self) -> &str {
        Kind::Binary.as_str()
    }
    fn source(&self) -> (&str, &str) {
        ("nginx-src", "1.2-3")
    }
    fn provides(&self) -> &str {
        "httpd, www (= 2)"
    }
    fn field(&self, name: &str) -> Option<Cow<'_, str>> {
        let is_section = name.eq_ignore_ascii_case("section");
        is_section.then_some(Cow::Borrowed("net/web"))
    }
}

/// Reads a query, and asserts that its negation means the opposite.
pub(super) fn query(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    let Ok(query) = Query::parse(text) else {
        return;
    };
    // A backslash at the end would take the parenthesis, and some queries are nested as deep as they may be.
    if !text.ends_with('\\')
        && let Ok(not) = Query::parse(&format!("!({text})"))
    {
        assert_ne!(query.matches(&Nginx), not.matches(&Nginx));
    }
}
