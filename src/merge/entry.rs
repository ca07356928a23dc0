//! The fields of a stanza that the merge reads: identity, path, dependencies. It passes all other fields on unread.

use std::borrow::Cow;
use std::ops::Range;

use md5::{Digest, Md5};

use crate::deb822::{
    Name, Stanza, Stanzas, SyntaxError, eq_name, is_valid_name, is_valid_version, trim,
};

use super::readable;
use super::rewrite::{Inserted, Insertion, insertion};
use super::unasked::{self, Claims};

/// The kind of stanzas that an index has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Packages: located by `Filename`.
    Binary,
    /// Sources: located by `Directory`.
    Source,
}

/// A stanza of Packages or Sources.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Entry<'a> {
    /// The stanza without the newline that ends it.
    pub(crate) raw: &'a [u8],
    pub(crate) name: Name<'a>,
    pub(crate) version: &'a [u8],
    /// `Architecture`; for sources, the field as it is.
    pub(crate) architecture: &'a [u8],
    /// `Source` of a binary, `name` or `name (version)`; empty if the stanza has none.
    source: &'a [u8],
    pub(crate) depends: &'a [u8],
    pub(crate) pre_depends: &'a [u8],
    /// The fields because of which the package is installed or kept unasked.
    pub(super) claims: Claims,
    /// `true` if its archive may publish such claims; otherwise they are taken out.
    pub(super) may_claim: bool,
    /// `true` if apt can read the stanza; [`readable::unreadable`] says why not.
    pub(crate) is_readable: bool,
    /// `Description-md5`; empty if the stanza has none.
    description: &'a [u8],
    /// The offset of the path in `raw`.
    path_offset: usize,
    insertion: Insertion,
    /// The rank of its archive: the place in the order, 0 first.
    pub(crate) rank: u16,
    pub(crate) component: u16,
}

/// Reads every stanza of an index.
pub(crate) fn entries<'a>(
    data: &'a [u8],
    kind: Kind,
    rank: u16,
    component: u16,
) -> Result<Vec<Entry<'a>>, SyntaxError> {
    no_nul(data)?;
    Stanzas::new(data)
        .map(|stanza| entry(data, stanza, kind, rank, component))
        .collect()
}

/// Checks every stanza as [`entries`] does, and keeps none.
pub(crate) fn check_entries(data: &[u8], kind: Kind) -> Result<(), SyntaxError> {
    no_nul(data)?;
    Stanzas::new(data).try_for_each(|stanza| entry(data, stanza, kind, 0, 0).map(drop))
}

fn no_nul(data: &[u8]) -> Result<(), SyntaxError> {
    match memchr::memchr(0, data) {
        Some(at) => Err(SyntaxError::at(data, at, "a NUL byte")),
        None => Ok(()),
    }
}

fn entry<'a>(
    data: &'a [u8],
    stanza: Stanza<'a>,
    kind: Kind,
    rank: u16,
    component: u16,
) -> Result<Entry<'a>, SyntaxError> {
    let path_field = match kind {
        Kind::Binary => "Filename",
        Kind::Source => "Directory",
    };
    let (mut name, mut version, mut architecture, mut source, mut path) =
        (None, None, None, None, None);
    let (mut depends, mut pre_depends, mut description) = (None, None, None);
    let mut claims = Claims::default();
    let mut is_readable = kind == Kind::Source || readable::is_short(stanza.raw);
    for field in stanza.fields() {
        let field = field.map_err(|(offset, why)| SyntaxError::at(data, offset, why))?;
        let at = stanza.offset + field.value_offset;
        is_readable &= kind == Kind::Source || readable::fault(&field).is_none();
        claims.add(&field);
        let slot = match field.name.first().map(u8::to_ascii_lowercase) {
            Some(b'p') if eq_name(field.name, "Package") => &mut name,
            Some(b'v') if eq_name(field.name, "Version") => &mut version,
            Some(b'a') if eq_name(field.name, "Architecture") => &mut architecture,
            Some(b's') if eq_name(field.name, "Source") => &mut source,
            Some(b'd') if eq_name(field.name, "Depends") => &mut depends,
            Some(b'p') if eq_name(field.name, "Pre-Depends") => &mut pre_depends,
            Some(b'd') if eq_name(field.name, "Description-md5") => &mut description,
            Some(b'f' | b'd') if eq_name(field.name, path_field) => &mut path,
            Some(b'f' | b'c') if kind == Kind::Source && lists_files(field.name) => {
                if let Some(why) = climbing_file(field.value) {
                    return Err(SyntaxError::at(data, at, why));
                }
                continue;
            }
            _ => continue,
        };
        if slot.replace((field.value, field.value_offset)).is_some() {
            let field = String::from_utf8_lossy(field.name);
            return Err(SyntaxError::at(
                data,
                at,
                format!("the field `{field}` stands in one stanza twice"),
            ));
        }
    }
    let missing = |field: &str| {
        SyntaxError::at(
            data,
            stanza.offset,
            format!("the stanza has no field `{field}`"),
        )
    };
    let bad = |offset: usize, what: &str, value: &[u8]| {
        let value: String = String::from_utf8_lossy(value).chars().take(200).collect();
        SyntaxError::at(
            data,
            stanza.offset + offset,
            format!("{what}: `{}`", value.escape_debug()),
        )
    };
    let (name, name_at) = name
        .filter(|(v, _)| !v.is_empty())
        .ok_or_else(|| missing("Package"))?;
    if !is_valid_name(name) {
        return Err(bad(name_at, "that is no package name", name));
    }
    let (version, version_at) = version.ok_or_else(|| missing("Version"))?;
    if !is_valid_version(version) {
        return Err(bad(version_at, "that is no version", version));
    }
    let (architecture, _) = architecture
        .filter(|(v, _)| !v.is_empty())
        .ok_or_else(|| missing("Architecture"))?;
    let (path, path_offset) = path.ok_or_else(|| missing(path_field))?;
    let insertion = insertion(path).map_err(|why| {
        bad(
            path_offset,
            &format!("{path_field} is refused, {why}"),
            path,
        )
    })?;
    Ok(Entry {
        raw: stanza.without_final_newline(),
        name: Name::new(name),
        version,
        architecture,
        source: source.map_or(&b""[..], |(v, _)| v),
        depends: depends.map_or(&b""[..], |(v, _)| v),
        pre_depends: pre_depends.map_or(&b""[..], |(v, _)| v),
        description: description.map_or(&b""[..], |(v, _)| v.trim_ascii()),
        claims,
        may_claim: true,
        is_readable,
        path_offset,
        insertion,
        rank,
        component,
    })
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

impl<'a> Entry<'a> {
    /// Returns name and version of the source that a binary was built from (Policy 5.6.1): the binary's own unless `Source` says otherwise.
    pub(crate) fn source(&self) -> (Name<'a>, &'a [u8]) {
        if self.source.is_empty() {
            return (self.name, self.version);
        }
        let (name, version) = match memchr::memchr(b'(', self.source) {
            Some(n) => (
                &self.source[..n],
                self.source[n + 1..].split(|b| *b == b')').next(),
            ),
            None => (self.source, None),
        };
        (
            Name::new(name.trim_ascii()),
            version.map_or(self.version, <[u8]>::trim_ascii),
        )
    }

    /// Returns the MD5 that names the long description in Translation files. If the stanza does not say it, apt computes it from the
    /// description in the stanza.
    pub(crate) fn description_md5(&self) -> Cow<'a, [u8]> {
        if !self.description.is_empty() {
            return Cow::Borrowed(self.description);
        }
        let text = trim(self.field("Description"));
        let md5 = Md5::new().chain_update(text).chain_update(b"\n").finalize();
        Cow::Owned(hex::encode(md5).into_bytes())
    }

    /// Returns a field that the merge reads only when a rule asks for it; empty if the stanza has none.
    pub(crate) fn field(&self, name: &str) -> &'a [u8] {
        let stanza = Stanza {
            raw: self.raw,
            offset: 0,
        };
        let mut fields = stanza.fields().map_while(Result::ok);
        fields
            .find(|field| eq_name(field.name, name))
            .map_or(&b""[..], |field| field.value)
    }

    /// Returns the stanza as it is published, in slices, with its final newline and the empty line after it.
    pub(crate) fn published<'s>(&self, inserted: &'s [u8]) -> Vec<&'s [u8]>
    where
        'a: 's,
    {
        let raw = self.raw;
        let start = self.path_offset + self.insertion.cut;
        let split = start + self.insertion.keep;
        if self.may_claim {
            let before = &raw[..self.path_offset];
            return vec![before, &raw[start..split], inserted, &raw[split..], b"\n\n"];
        }
        let kept = unasked::without_claims(raw);
        let within = |part: Range<usize>| {
            kept.iter().filter_map(move |range| {
                let range = range.start.max(part.start)..range.end.min(part.end);
                raw.get(range)
            })
        };
        let before = within(0..self.path_offset);
        let path = [&raw[start..split], inserted].into_iter();
        let after = within(split..raw.len()).chain(std::iter::once(&b"\n\n"[..]));
        before.chain(path).chain(after).collect()
    }

    /// Returns the path as it is published, from the one in the stanza.
    pub(crate) fn published_path(&self, path: &[u8], inserted: &[u8]) -> Vec<u8> {
        let path = path.get(self.insertion.cut..).unwrap_or_default();
        let (before, after) = path.split_at(self.insertion.keep.min(path.len()));
        [before, inserted, after].concat()
    }

    /// Returns the files of the package that lie outside of the archive's `pool/`, by their paths in the archive.
    pub(crate) fn outside(&self) -> Vec<Vec<u8>> {
        if self.insertion.what != Inserted::Outside {
            return Vec::new();
        }
        let path = &self.raw[self.path_offset + self.insertion.cut..];
        let path = path.split(|b| *b == b'\n').next().unwrap_or_default();
        let line = self.raw[..self.path_offset].rsplit(|b| *b == b'\n').next();
        let is_source = line.is_some_and(|l| l.first().is_some_and(|b| matches!(b, b'D' | b'd')));
        if !is_source {
            return vec![path.trim_ascii().to_vec()];
        }
        let mut lists = ["Files", "Checksums-Sha256"]
            .map(|list| self.field(list))
            .into_iter();
        let list = lists.find(|list| !list.is_empty()).unwrap_or_default();
        let lines = list.split(|b| *b == b'\n');
        let names = lines.filter_map(|l| l.rsplit(u8::is_ascii_whitespace).find(|w| !w.is_empty()));
        names
            .map(|name| [path.trim_ascii(), name].join(&b'/'))
            .collect()
    }

    /// Returns what is inserted into the path, and where.
    pub(crate) fn insertion(&self) -> Insertion {
        self.insertion
    }
}

/// Asserts that every accepted stanza is still the same package after it is published.
#[cfg(any(test, fuzzing))]
pub(crate) fn fuzz_entries(data: &[u8]) {
    for (kind, pool) in [(Kind::Binary, &b"POOL/"[..]), (Kind::Source, b"POOL/")] {
        assert_eq!(
            check_entries(data, kind).is_ok(),
            entries(data, kind, 0, 0).is_ok()
        );
        for entry in entries(data, kind, 0, 0).into_iter().flatten() {
            let (name, version) = entry.source();
            assert!(name.as_written().len() <= entry.raw.len() && version.len() <= entry.raw.len());
            let _ = entry.outside();
            let inserted: &[u8] = match entry.insertion().what {
                Inserted::Name => pool,
                Inserted::NameAtEnd => b"/POOL",
                Inserted::Outside => b"pool/POOL/_/",
            };
            let path = match kind {
                Kind::Binary => "Filename",
                Kind::Source => "Directory",
            };
            // A path that the insertion makes too long is refused by anybody who merges the published indices.
            if entry.field(path).len() + inserted.len() > super::rewrite::MAX_PATH_BYTES {
                continue;
            }
            let text = entry.published(inserted).concat();
            let again = entries(&text, kind, 0, 0).expect("what is published can be read");
            assert_eq!(again.len(), 1);
            assert_eq!(
                (
                    again[0].name,
                    again[0].version,
                    again[0].architecture,
                    again[0].depends
                ),
                (entry.name, entry.version, entry.architecture, entry.depends)
            );
        }
    }
}
