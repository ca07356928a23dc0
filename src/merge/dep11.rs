//! DEP-11: the components and icons of exactly the packages that were published, for software centres.
//!
//! A Components file is a sequence of YAML documents. The first says what the file is, and at which address the media of all others lie.
//! Each other document is a component of the package that its `Package` names. A document without `Package` is a component of the
//! distribution itself; only the first archive may have such a document.
//!
//! An archive speaks for its own components and for nothing else:
//!
//! - [`document`] lets through only documents that every reader takes for the same component of the same package.
//! - `ID` names a component for all packages whose indices a client reads. So it belongs to the highest archive that has it for an
//!   architecture, in any component of the suite: of two equal ones, AppStream takes the one with the higher `Priority`, and it ignores
//!   case. `Merge` changes or removes the component of the same `ID`, so only the first archive may have it.
//! - The header is that of the highest archive that has documents in the file. AppStream puts its `MediaBaseUrl` before the address of
//!   every icon, picture and video. So if the archives have different ones, the header has none, and each address gets the `MediaBaseUrl`
//!   of its own archive put before it. Apart from that, documents are passed on byte for byte.

mod document;
mod icons;
mod lines;

use std::collections::{BTreeMap, BTreeSet, HashMap};

use crate::error::Result;
use crate::indices::IndexName;
use crate::quoted::quoted;

use super::derived::{KeyOf, side_by_side, unless_unchanged};
use super::faults::Faults;
use super::input::{Part, Sink, SuiteMerge};
use super::selection::Selected;
use super::{IndexText, Text};
use document::Document;
use icons::icons;

pub(super) fn merge(
    merge: &SuiteMerge<'_>,
    selected: &Selected<'_>,
    sink: &dyn Sink,
) -> Result<BTreeSet<String>> {
    let indices = merge.optional_indices(&|name| match name {
        IndexName::Dep11(_, architecture) => selected.has_group(architecture.as_str()),
        IndexName::Icons(..) => true,
        _ => false,
    });
    // A reader takes the Components files of one architecture together, whatever component of the suite they are of.
    let mut readers: BTreeMap<String, Vec<(IndexName, Vec<Part>)>> = BTreeMap::new();
    for (name, parts) in indices {
        let reader = match &name {
            IndexName::Dep11(_, architecture) => architecture.to_string(),
            _ => name.to_string(),
        };
        readers.entry(reader).or_default().push((name, parts));
    }
    side_by_side(readers, |(_, indices)| {
        let names: Vec<_> = indices.iter().map(|(name, _)| name.clone()).collect();
        let key = KeyOf::inputs(merge, &indices);
        if let [(name @ IndexName::Icons(..), parts)] = &indices[..] {
            let architectures = &merge.spec.architectures;
            let key = key.published(selected, architectures.iter().map(|a| a.as_str()));
            return unless_unchanged(sink, selected, &names, key, || {
                icons(merge, selected, sink, name, parts)
            });
        }
        let group = names.first().map_or("", |name| name.architecture());
        let key = key.published(selected, [group]);
        unless_unchanged(sink, selected, &names, key, || {
            components(merge, selected, sink, &indices)
        })
    })
}

/// The documents of one archive that are published.
struct Source<'a> {
    header: Document<'a>,
    documents: Vec<(String, Document<'a>)>,
}

impl Source<'_> {
    fn media_base(&self) -> Option<&str> {
        self.header.value("MediaBaseUrl")
    }

    fn has_media(&self) -> bool {
        let mut documents = self.documents.iter();
        documents.any(|(_, document)| !document.media.is_empty())
    }
}

/// An index of an archive that was read: the number of the published index it goes into, the archive's place in the order, the index's name
/// in messages, the text.
type Read = (usize, u16, String, Vec<u8>);

/// Makes the Components of an architecture.
fn components(
    merge: &SuiteMerge<'_>,
    selected: &Selected<'_>,
    sink: &dyn Sink,
    indices: &[(IndexName, Vec<Part>)],
) -> Result<BTreeSet<String>> {
    let mut warnings = BTreeSet::new();
    let mut loaded: Vec<Read> = Vec::new();
    for (number, (_, parts)) in indices.iter().enumerate() {
        let read = merge.read_all(parts)?.into_iter();
        loaded.extend(read.map(|(rank, label, data)| (number, rank, label, data)));
    }
    // A higher archive gets its identifiers before a lower one is read, in whatever component.
    loaded.sort_by_key(|(number, rank, ..)| (*rank, *number));
    let mut sources: Vec<Vec<(&String, Source<'_>)>> = indices.iter().map(|_| vec![]).collect();
    // The `ID`s that are taken so far, each with the rank of its archive.
    let mut taken = HashMap::new();
    for read in &loaded {
        let (number, _, label, _) = read;
        if let Some((name, _)) = indices.get(*number)
            && let Some(source) = source(read, selected, name, &mut taken, &mut warnings)
            && let Some(sources) = sources.get_mut(*number)
        {
            sources.push((label, source));
        }
    }
    for ((name, _), sources) in indices.iter().zip(&sources) {
        write(sink, name, sources, &mut warnings)?;
    }
    Ok(warnings)
}

/// Reads the publishable documents of an index; returns `None` if it is empty or no DEP-11.
fn source<'a>(
    (_, rank, label, data): &'a Read,
    selected: &Selected<'_>,
    name: &IndexName,
    taken: &mut HashMap<String, u16>,
    warnings: &mut BTreeSet<String>,
) -> Option<Source<'a>> {
    let mut documents = lines::split(data);
    let header = documents.next()?;
    let header = Document::read(header).and_then(|header| match header.value("File") {
        Some("DEP-11") => Ok(header),
        _ => Err("its first document does not say so"),
    });
    let header = match header {
        Ok(header) => header,
        Err(why) => {
            warnings.insert(format!("{label}: this is no DEP-11, {why}; it is left out"));
            return None;
        }
    };
    let mut faults = Faults::new(label, data, "document");
    let mut source = Source {
        header,
        documents: Vec::new(),
    };
    for raw in documents {
        let component = Document::read(raw).and_then(|document| {
            let package = published_package(&document, selected, name.architecture(), *rank)?;
            let Some(package) = package else {
                return Ok(None);
            };
            let id = document.value("ID").map(str::trim).unwrap_or_default();
            if id.is_empty() {
                return Err("it has no `ID`, at which AppStream gives the whole file up");
            }
            if *rank > 0 && document.has("Merge") {
                return Err("it changes a component of another archive");
            }
            if *taken.entry(id.to_lowercase()).or_insert(*rank) < *rank {
                return Err("its `ID` is that of a component of a higher archive");
            }
            Ok(Some((package, document.without_keys())))
        });
        match component {
            Ok(component) => source.documents.extend(component),
            Err(why) => faults.left_out(offset_of(raw, data), why),
        }
    }
    warnings.extend(faults.finish());
    Some(source)
}

/// Writes an index from the documents that the archives have for it.
fn write(
    sink: &dyn Sink,
    name: &IndexName,
    sources: &[(&String, Source<'_>)],
    warnings: &mut BTreeSet<String>,
) -> Result<()> {
    let header = sources
        .iter()
        .position(|(_, source)| !source.documents.is_empty())
        .unwrap_or_default();
    let Some((_, first)) = sources.get(header) else {
        let nothing = Text::default();
        return sink.text(name, &IndexText::whole(&nothing)).map(drop);
    };
    let differ = |(_, source): &(_, Source<'_>)| {
        source.has_media() && source.media_base() != first.media_base()
    };
    let is_absolute = sources.iter().any(differ);
    let mut text = Text::default();
    match is_absolute {
        true => push(&mut text, first.header.without("MediaBaseUrl")),
        false => push(&mut text, [first.header.text]),
    }
    let mut kept = Vec::new();
    for (label, source) in sources {
        let mut base = source.media_base().filter(|_| is_absolute);
        if let Some(odd) = base.filter(|base| !is_plain_address(base)) {
            if source.has_media() {
                warnings.insert(format!(
                    "{label}: its MediaBaseUrl `{}` is no plain address, so its icons and pictures will not be found",
                    quoted(odd)
                ));
            }
            base = None;
        }
        kept.extend(
            source
                .documents
                .iter()
                .map(|(package, d)| (package, d, base)),
        );
    }
    kept.sort_by_key(|(package, ..)| *package);
    for (_, document, base) in kept {
        let mut pieces = Vec::new();
        let mut done = 0;
        for &at in base.map_or(&[][..], |_| &document.media) {
            pieces.extend([&document.text[done..at], base.unwrap_or_default(), "/"]);
            done = at;
        }
        pieces.push(&document.text[done..]);
        push(&mut text, pieces);
    }
    sink.text(name, &IndexText::whole(&text)).map(drop)
}

/// Returns the package that a document speaks for, empty for the distribution itself; `None` if that package was not published from the
/// archive.
fn published_package(
    document: &Document<'_>,
    selected: &Selected<'_>,
    group: &str,
    rank: u16,
) -> Result<Option<String>, &'static str> {
    if !document.has("Package") {
        // The document speaks of the distribution itself, and only the first archive may do so.
        return Ok((rank == 0).then(String::new));
    }
    let package = document.value("Package");
    let package = package.ok_or("its `Package` is not one name")?;
    let is_own = selected.has(group, package.as_bytes(), rank);
    Ok(is_own.then(|| package.to_owned()))
}

/// Returns whether a base can be put before an address in a YAML text, inside any kind of quotes.
fn is_plain_address(base: &str) -> bool {
    let is_plain = |b: u8| b.is_ascii_alphanumeric() || b"-._~:/%@+".contains(&b);
    (base.starts_with("https://") || base.starts_with("http://")) && base.bytes().all(is_plain)
}

/// Adds a document, with a line end after it.
fn push<'a>(text: &mut Text<'a>, pieces: impl IntoIterator<Item = &'a str>) {
    let mut pieces: Vec<_> = pieces.into_iter().map(str::as_bytes).collect();
    if pieces
        .iter()
        .rev()
        .find(|p| !p.is_empty())
        .is_some_and(|p| !p.ends_with(b"\n"))
    {
        pieces.push(b"\n");
    }
    text.push(pieces);
}

/// Returns where a part of a file begins in it.
fn offset_of(part: &[u8], file: &[u8]) -> usize {
    (part.as_ptr() as usize).saturating_sub(file.as_ptr() as usize)
}

/// Asserts that the documents together are the file, except blank lines, and that an accepted document has the keys that its lines show.
#[cfg(any(test, fuzzing))]
pub(crate) fn fuzz_dep11(data: &[u8]) {
    let squeezed = |bytes: &[u8]| bytes.iter().filter(|b| **b != b'\n').count();
    let mut found = 0;
    for raw in lines::split(data) {
        assert!(!raw.is_empty());
        found += squeezed(raw);
        let Ok(document) = Document::read(raw) else {
            continue;
        };
        let named = |line: &&str| line.starts_with("Package:");
        let lines = document.text.lines().filter(named).count();
        assert_eq!(lines, usize::from(document.has("Package")));
        assert!(document.media.is_sorted() && document.media.iter().all(|at| *at < raw.len()));
        // The base that is put before each medium must not change the rest of the document.
        let mut text = document.text.to_owned();
        for at in document.media.iter().rev() {
            text.insert_str(*at, "https://media.example/x/");
        }
        let again = Document::read(text.as_bytes()).expect("an address can have a base");
        assert_eq!(again.value("Package"), document.value("Package"));
        assert_eq!(again.media.len(), document.media.len());
    }
    assert_eq!(found, squeezed(data));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn documents_begin_at_their_dashes() {
        let data = b"---\nFile: DEP-11\nVersion: '0.16'\n---\nPackage: a\nDescription:\n  C: --- no\n---\nPackage: \"b\"";
        let documents: Vec<_> = lines::split(data).collect();
        assert_eq!(documents.len(), 3);
        assert_eq!(documents.concat(), data);
        let read = |n: usize| Document::read(documents[n]).unwrap_or_else(|why| panic!("{why}"));
        assert_eq!(read(0).value("Version"), Some("0.16"));
        assert_eq!(read(1).value("Package"), Some("a"));
        assert_eq!(read(2).value("Package"), Some("b"));
        assert_eq!(read(0).without("File").concat(), "---\nVersion: '0.16'\n");
        assert_eq!(read(0).without("Version").concat(), "---\nFile: DEP-11\n");
        assert_eq!(lines::split(b"\n\n").count(), 0);
    }
}
