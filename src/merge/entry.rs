//! The fields of a stanza that the merge reads: identity, path, dependencies. It passes all other fields on unread.

use std::borrow::Cow;
use std::ops::Range;

use md5::{Digest, Md5};

use crate::deb822::{
    Name, Stanza, Stanzas, SyntaxError, eq_name, is_plain_version, is_valid_name, trim,
};
use crate::quoted::quoted;

pub(crate) use super::fields::Kind;
use super::fields::{Flaw, Gathered, Place, path_field};
use super::rewrite::{Inserted, Insertion, NO_DIRECTORY};
use super::unasked::{self, Claims};

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
    /// `Maintainer`, for the order of publication; empty if the stanza has none.
    pub(super) maintainer: &'a [u8],
    depends: &'a [u8],
    pre_depends: &'a [u8],
    /// `true` if one of these stands there twice.
    needs_twice: bool,
    /// The fields because of which the package is installed or kept unasked.
    pub(super) claims: Claims,
    /// `true` if its archive may publish such claims; otherwise they are taken out.
    pub(super) may_claim: bool,
    kind: Kind,
    /// `true` if the stanza cannot be published; [`Entry::flaw`] says why.
    pub(crate) is_flawed: bool,
    /// `Description-md5`; empty if the stanza has none.
    description: &'a [u8],
    /// The offset of the path in `raw`.
    path_offset: usize,
    insertion: Insertion,
    /// The rank of its archive: the place in the order, 0 first.
    pub(crate) rank: u16,
    pub(crate) component: u16,
}

/// The stanzas of an index.
#[derive(Debug, Default)]
pub(crate) struct Parsed<'a> {
    /// The packages, those that cannot be published among them.
    pub(crate) entries: Vec<Entry<'a>>,
    /// The stanzas that are of no package, as far as clients see.
    pub(crate) skipped: Vec<Skipped<'a>>,
}

/// A stanza that is of no package that a client could install: without a version or an architecture, or with a name that no package has.
#[derive(Debug)]
pub(crate) struct Skipped<'a> {
    /// The parts of the stanza, for filters.
    pub(crate) entry: Entry<'a>,
    /// The reason, and its place in the file.
    pub(crate) flaw: Flaw,
}

/// Reads every stanza of an index.
///
/// # Errors
/// The line of the first stanza in which apt finds no name, as it then reads none of the index.
pub(crate) fn entries<'a>(
    data: &'a [u8],
    kind: Kind,
    rank: u16,
    component: u16,
) -> Result<Parsed<'a>, SyntaxError> {
    let has_nul = memchr::memchr(0, data).is_some();
    let mut parsed = Parsed::default();
    for stanza in Stanzas::new(data) {
        match entry(stanza, kind, has_nul, (rank, component)) {
            Ok(entry) => parsed.entries.push(entry),
            Err(Unfit::Skipped(skipped)) => parsed.skipped.push(*skipped),
            Err(Unfit::Nameless(flaw)) => return Err(SyntaxError::at(data, flaw.offset, flaw.why)),
        }
    }
    Ok(parsed)
}

/// Checks every stanza as [`entries`] does, and keeps none.
pub(crate) fn check_entries(data: &[u8], kind: Kind) -> Result<(), SyntaxError> {
    Stanzas::new(data).try_for_each(|stanza| match entry(stanza, kind, false, (0, 0)) {
        Err(Unfit::Nameless(flaw)) => Err(SyntaxError::at(data, flaw.offset, flaw.why)),
        _ => Ok(()),
    })
}

fn value<'a>(place: Option<Place<'a>>) -> &'a [u8] {
    place.map_or(&b""[..], |(value, _)| value)
}

/// The reasons why a stanza is no entry.
enum Unfit<'a> {
    /// A stanza of no package that a client could install.
    Skipped(Box<Skipped<'a>>),
    /// A stanza without a name, for which apt refuses the index.
    Nameless(Flaw),
}

fn entry(
    stanza: Stanza<'_>,
    kind: Kind,
    may_have_nul: bool,
    (rank, component): (u16, u16),
) -> Result<Entry<'_>, Unfit<'_>> {
    let mut read = Gathered::of(stanza, kind);
    if may_have_nul {
        read.find_nul(stanza);
    }
    let missing = |field: &str| Flaw {
        why: format!("the stanza has no field `{field}`").into(),
        offset: stanza.offset,
        stops_apt: false,
    };
    let name = value(read.name);
    if name.is_empty() && kind == Kind::Binary {
        return Err(Unfit::Nameless(match read.flaw {
            Some(flaw) if read.is_broken => Flaw {
                why: format!("{}, and apt finds no field `Package`", flaw.why).into(),
                ..flaw
            },
            _ => missing("Package"),
        }));
    }
    let (version, architecture) = (value(read.version), value(read.architecture));
    let is_skipped = if name.is_empty() {
        Some(missing("Package"))
    } else if !is_valid_name(name) {
        let shown = quoted(&String::from_utf8_lossy(name));
        Some(Flaw {
            why: format!("that is no package name: `{shown}`").into(),
            offset: stanza.offset + read.name.map_or(0, |(_, at)| at),
            stops_apt: false,
        })
    } else if version.is_empty() {
        Some(missing("Version"))
    } else if kind == Kind::Binary && architecture.is_empty() {
        Some(missing("Architecture"))
    } else {
        None
    };
    let entry = Entry {
        raw: stanza.without_final_newline(),
        name: Name::new(name),
        version: match is_plain_version(version) {
            true => version,
            false => b"",
        },
        architecture,
        source: value(read.source),
        maintainer: value(read.maintainer),
        depends: value(read.depends),
        pre_depends: value(read.pre_depends),
        needs_twice: read.needs_twice,
        description: value(read.description).trim_ascii(),
        claims: read.claims,
        may_claim: true,
        kind,
        is_flawed: read.flaw.is_some(),
        path_offset: read.path.map_or(0, |(_, at)| at),
        insertion: read.insertion.unwrap_or(Insertion {
            cut: 0,
            keep: 0,
            what: Inserted::Outside,
        }),
        rank,
        component,
    };
    match is_skipped {
        None => Ok(entry),
        Some(flaw) => Err(Unfit::Skipped(Box::new(Skipped { entry, flaw }))),
    }
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

    /// Returns why the stanza cannot be published.
    pub(crate) fn flaw(&self) -> Option<Flaw> {
        let stanza = self.stanza();
        let mut read = Gathered::of(stanza, self.kind);
        read.find_nul(stanza);
        read.flaw
    }

    /// Returns the fields that say what the package needs: `Pre-Depends`, `Depends`. If one of them stands there twice, readers differ about
    /// which one counts, and here all of them do.
    pub(crate) fn needs(&self) -> impl Iterator<Item = &'a [u8]> + use<'a> {
        let is_needs = |name: &[u8]| eq_name(name, "Depends") || eq_name(name, "Pre-Depends");
        let (once, all) = match self.needs_twice {
            false => ([self.pre_depends, self.depends], &b""[..]),
            true => ([&b""[..]; 2], self.raw),
        };
        let all = Stanza {
            raw: all,
            offset: 0,
        };
        let all = all.fields().map_while(Result::ok);
        let all = all.filter(move |field| is_needs(field.name));
        once.into_iter().chain(all.map(|field| field.value))
    }

    fn stanza(&self) -> Stanza<'a> {
        Stanza {
            raw: self.raw,
            offset: 0,
        }
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

    /// Returns whether another stanza, of the same version, names other files than this one.
    pub(crate) fn has_other_files(&self, other: &Self) -> bool {
        let (hashes, size) = match self.kind {
            Kind::Binary => (["SHA256", "SHA512", "MD5sum"], "Size"),
            Kind::Source => (["Checksums-Sha256", "Checksums-Sha512", "Files"], "Files"),
        };
        let differs = |name: &str| {
            let (own, theirs) = (self.field(name), other.field(name));
            !own.is_empty() && !theirs.is_empty() && !own.eq_ignore_ascii_case(theirs)
        };
        self.raw != other.raw && (hashes.into_iter().any(differs) || differs(size))
    }

    /// Returns a field that the merge reads only when a rule asks for it: of several, the last one, as apt does; empty if the stanza has none.
    pub(crate) fn field(&self, name: &str) -> &'a [u8] {
        if self.is_flawed {
            return self.stanza().as_apt_reads(name).unwrap_or_default();
        }
        let fields = self.stanza().fields().map_while(Result::ok);
        let fields = fields.filter(|field| eq_name(field.name, name));
        fields.last().map_or(&b""[..], |field| field.value)
    }

    /// Returns the path that the archive gives to the package.
    pub(crate) fn path(&self) -> &'a [u8] {
        self.field(path_field(self.kind))
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
        let inserted = inserted
            .strip_prefix(NO_DIRECTORY.as_bytes())
            .unwrap_or(inserted);
        [before, inserted, after].concat()
    }

    /// Returns the files of the package that lie outside of the archive's `pool/`, by their paths in the archive.
    pub(crate) fn outside(&self) -> Vec<Vec<u8>> {
        if !matches!(
            self.insertion.what,
            Inserted::Outside | Inserted::NoDirectory
        ) {
            return Vec::new();
        }
        let path = &self.raw[self.path_offset + self.insertion.cut..];
        let path = path.split(|b| *b == b'\n').next().unwrap_or_default();
        if self.kind == Kind::Binary {
            return vec![path.trim_ascii().to_vec()];
        }
        let mut lists = ["Files", "Checksums-Sha256"]
            .map(|list| self.field(list))
            .into_iter();
        let list = lists.find(|list| !list.is_empty()).unwrap_or_default();
        let lines = list.split(|b| *b == b'\n');
        let names = lines.filter_map(|l| l.rsplit(u8::is_ascii_whitespace).find(|w| !w.is_empty()));
        let of = |name: &[u8]| match path.trim_ascii() {
            b"" => name.to_vec(),
            path => [path, name].join(&b'/'),
        };
        names.map(of).collect()
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
        let parsed = entries(data, kind, 0, 0).unwrap_or_default();
        for entry in parsed.entries {
            assert_eq!(entry.is_flawed, entry.flaw().is_some());
            if entry.is_flawed {
                continue;
            }
            let (name, version) = entry.source();
            assert!(name.as_written().len() <= entry.raw.len() && version.len() <= entry.raw.len());
            let _ = entry.outside();
            let inserted: &[u8] = match entry.insertion().what {
                Inserted::Name => pool,
                Inserted::NameAtEnd => b"/POOL",
                Inserted::Outside => b"pool/POOL/_/",
                Inserted::NoDirectory => b"\nDirectory: pool/POOL/_/",
            };
            let path = path_field(kind);
            // A path that the insertion makes too long is refused by anybody who merges the published indices.
            if entry.field(path).len() + inserted.len() > super::rewrite::MAX_PATH_BYTES {
                continue;
            }
            let text = entry.published(inserted).concat();
            let again = entries(&text, kind, 0, 0).expect("what is published can be read");
            let again = again.entries;
            assert_eq!(again.len(), 1);
            assert!(!again[0].is_flawed);
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
