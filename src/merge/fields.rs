//! The fields of a stanza that the merge reads, and the first flaw because of which the stanza cannot be published.
//!
//! apt reads past much that is odd. A stanza is published if every reader takes it as apt does, so that what the rules said of it holds for
//! each of them; and if its path is one of its archive. Any other stanza is left out by itself ([`super::left_out`]): its archive's other
//! packages are good, and its index is not refused for it.

use std::borrow::Cow;

use crate::deb822::{Field, Stanza, eq_name, is_plain_version};
use crate::quoted::quoted;

use super::readable;
use super::rewrite::{Inserted, Insertion, insertion};
use super::unasked::Claims;

/// The kind of stanzas that an index has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Packages: located by `Filename`.
    Binary,
    /// Sources: located by `Directory`.
    Source,
}

/// The reason why a stanza cannot be published.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Flaw {
    /// The reason, in words.
    pub(crate) why: Cow<'static, str>,
    /// The offset of its place in the file.
    pub(crate) offset: usize,
    /// `true` if no client could read any package beside it.
    pub(crate) stops_apt: bool,
}

/// A value and its offset in the stanza.
pub(super) type Place<'a> = (&'a [u8], usize);

/// The fields of a stanza: the last of each name, as apt takes them.
#[derive(Debug, Default)]
pub(super) struct Gathered<'a> {
    pub(super) name: Option<Place<'a>>,
    pub(super) version: Option<Place<'a>>,
    pub(super) architecture: Option<Place<'a>>,
    pub(super) source: Option<Place<'a>>,
    pub(super) maintainer: Option<Place<'a>>,
    pub(super) path: Option<Place<'a>>,
    pub(super) depends: Option<Place<'a>>,
    pub(super) pre_depends: Option<Place<'a>>,
    pub(super) description: Option<Place<'a>>,
    /// `true` if a field that says what the package needs stands there twice.
    pub(super) needs_twice: bool,
    pub(super) claims: Claims,
    pub(super) insertion: Option<Insertion>,
    /// `true` if a line of the stanza is no field.
    pub(super) is_broken: bool,
    pub(super) flaw: Option<Flaw>,
}

/// Returns the field that has the path.
pub(super) fn path_field(kind: Kind) -> &'static str {
    match kind {
        Kind::Binary => "Filename",
        Kind::Source => "Directory",
    }
}

impl<'a> Gathered<'a> {
    /// Reads a stanza.
    pub(super) fn of(stanza: Stanza<'a>, kind: Kind) -> Self {
        let mut gathered = Self::default();
        if let Some(why) = readable::too_long(stanza.without_final_newline()) {
            gathered.flaw(stanza.offset, why, true);
        }
        for field in stanza.fields() {
            match field {
                Ok(field) => gathered.add(stanza, field, kind),
                Err((offset, why)) => {
                    gathered.flaw(offset, why, false);
                    gathered.is_broken = true;
                    gathered.as_apt_reads(stanza);
                    break;
                }
            }
        }
        gathered.check(stanza, kind);
        gathered
    }

    /// Keeps the first flaw.
    pub(super) fn flaw(
        &mut self,
        offset: usize,
        why: impl Into<Cow<'static, str>>,
        stops_apt: bool,
    ) {
        self.flaw.get_or_insert_with(|| Flaw {
            why: why.into(),
            offset,
            stops_apt,
        });
    }

    /// Looks for a NUL byte, at which programs written in C end a text.
    pub(super) fn find_nul(&mut self, stanza: Stanza<'a>) {
        if let Some(at) = memchr::memchr(0, stanza.raw) {
            self.flaw(stanza.offset + at, "a NUL byte", false);
        }
    }

    fn add(&mut self, stanza: Stanza<'a>, field: Field<'a>, kind: Kind) {
        let at = stanza.offset + field.value_offset;
        if kind == Kind::Binary
            && let Some(why) = crate::deb822::fault(&field)
        {
            let name = String::from_utf8_lossy(field.name);
            let why = format!("apt cannot read its field `{name}`: {why}");
            self.flaw(at, why, true);
        }
        self.claims.add(&field);
        let path_field = path_field(kind);
        let (slot, is_needs) = match field.name.first().map(u8::to_ascii_lowercase) {
            Some(b'p') if eq_name(field.name, "Package") => (&mut self.name, false),
            Some(b'v') if eq_name(field.name, "Version") => (&mut self.version, false),
            Some(b'a') if eq_name(field.name, "Architecture") => (&mut self.architecture, false),
            Some(b's') if eq_name(field.name, "Source") => {
                self.source = Some((field.value, field.value_offset));
                return;
            }
            Some(b'm') if eq_name(field.name, "Maintainer") => {
                self.maintainer = Some((field.value, field.value_offset));
                return;
            }
            Some(b'd') if eq_name(field.name, "Depends") => (&mut self.depends, true),
            Some(b'p') if eq_name(field.name, "Pre-Depends") => (&mut self.pre_depends, true),
            Some(b'd') if eq_name(field.name, "Description-md5") => {
                self.description = Some((field.value, field.value_offset));
                return;
            }
            Some(b'f' | b'd') if eq_name(field.name, path_field) => (&mut self.path, false),
            Some(b'f' | b'c') if kind == Kind::Source && lists_files(field.name) => {
                if let Some(why) = climbing_file(field.value) {
                    self.flaw(at, why, false);
                }
                return;
            }
            _ => return,
        };
        let Some((before, _)) = slot.replace((field.value, field.value_offset)) else {
            return;
        };
        if is_needs {
            self.needs_twice = true;
        } else if before != field.value || eq_name(field.name, path_field) {
            // Readers differ about which one counts, and a path is rewritten in one place.
            let name = String::from_utf8_lossy(field.name);
            let why = format!("the field `{name}` stands in one stanza twice");
            self.flaw(at, why, false);
        }
    }

    /// Replaces what names the package by what apt finds in a stanza with lines that are no fields.
    fn as_apt_reads(&mut self, stanza: Stanza<'a>) {
        let find = |name| Some((stanza.as_apt_reads(name)?, 0));
        self.name = find("Package");
        self.version = find("Version");
        self.architecture = find("Architecture");
        self.source = find("Source");
    }

    fn check(&mut self, stanza: Stanza<'a>, kind: Kind) {
        let bad = |what: &str, value: &[u8]| {
            format!("{what}: `{}`", quoted(&String::from_utf8_lossy(value)))
        };
        if let Some((version, at)) = self.version
            && !is_plain_version(version)
        {
            let why = bad("that is no version", version);
            self.flaw(stanza.offset + at, why, false);
        }
        let field = path_field(kind);
        if kind == Kind::Source && self.path.is_none() && !self.is_broken {
            // apt-ftparchive writes none for the sources of the directory in which it is called.
            self.path = Some((b"", stanza.without_final_newline().len()));
            self.insertion = Some(Insertion {
                cut: 0,
                keep: 0,
                what: Inserted::NoDirectory,
            });
            return;
        }
        let path = self
            .path
            .filter(|(path, _)| kind == Kind::Source || !path.is_empty());
        let Some((path, at)) = path else {
            let why = format!("the stanza has no field `{field}`");
            return self.flaw(stanza.offset, why, false);
        };
        match insertion(path) {
            // A package is a file of its archive, and not the archive itself.
            Ok(insertion) if kind == Kind::Source || insertion.cut < path.len() => {
                self.insertion = Some(insertion);
            }
            Ok(_) => self.flaw(stanza.offset + at, bad("that is no file", path), false),
            Err(why) => {
                let what = format!("{field} is refused, {why}");
                self.flaw(stanza.offset + at, bad(&what, path), false);
            }
        }
    }
}

fn lists_files(field: &[u8]) -> bool {
    eq_name(field, "Files")
        || field
            .get(..10)
            .is_some_and(|start| start.eq_ignore_ascii_case(b"Checksums-"))
}

/// Returns why a list of files is refused: files of a source package lie in its directory and nowhere else (Policy 5.6.21).
fn climbing_file(list: &[u8]) -> Option<&'static str> {
    for line in list.split(|b| *b == b'\n') {
        let name = line.split(u8::is_ascii_whitespace).rfind(|w| !w.is_empty());
        let climbs = |n: &[u8]| {
            n.contains(&b'/')
                || n.contains(&b'\\')
                || n == b".."
                || (n.contains(&b'%') && insertion(n).is_err())
        };
        if name.is_some_and(climbs) {
            return Some("a file of the source package lies outside of its directory");
        }
    }
    None
}
