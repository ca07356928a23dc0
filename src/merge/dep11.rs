//! DEP-11: the components and icons of exactly the packages that were published, for software centres.
//!
//! A Components file is a sequence of YAML documents. The first says what the file is and where the media of all others lie;
//! each other one is a component of the package that its line `Package:` names, or, without one, of the distribution itself, as
//! only the first archive may put it. Documents are passed on byte for byte. An
//! icon archive has files named `PACKAGE_ICON`.

use std::collections::BTreeSet;
use std::io::{self, Read, Write};

use crate::deb822::SyntaxError;
use crate::error::{Error, Result};
use crate::indices::IndexName;

use super::Text;
use super::derived::{KeyOf, side_by_side, unless_unchanged};
use super::plain_tar::PlainTar;
use super::selection::Selected;
use super::suite::{Sink, SuiteMerge};

/// How many faulty documents of one index are told of.
const MAX_TOLD: usize = 5;

/// The most that one icon may be; real ones have some tens of kilobytes.
const MAX_ICON_BYTES: u64 = 4 << 20;

pub(super) fn merge(
    merge: &SuiteMerge<'_>,
    selected: &Selected,
    sink: &dyn Sink,
) -> Result<BTreeSet<String>> {
    let indices = merge.ranks_by_optional_index(&|name| match name {
        IndexName::Dep11(_, architecture) => selected.group(architecture.as_str()).is_some(),
        IndexName::Icons(..) => true,
        _ => false,
    });
    side_by_side(indices, |(name, ranks)| {
        let names = [name];
        let [name] = &names;
        let key = KeyOf::inputs(merge, &names);
        if let IndexName::Icons(..) = name {
            let architectures = merge.config.architectures_of(merge.suite);
            let key = key.published(selected, architectures.iter().map(|a| a.as_str()));
            return unless_unchanged(sink, &names, key, || {
                icons(merge, selected, sink, name, &ranks)
            });
        }
        let key = key.published(selected, [name.architecture()]);
        unless_unchanged(sink, &names, key, || {
            documents(merge, selected, sink, name, &ranks)
        })
    })
}

fn documents(
    merge: &SuiteMerge<'_>,
    selected: &Selected,
    sink: &dyn Sink,
    name: &IndexName,
    ranks: &[usize],
) -> Result<BTreeSet<String>> {
    let mut warnings = BTreeSet::new();
    let loaded = merge.read_of(ranks, name)?;
    let group = name.architecture();
    let mut headers = Vec::new();
    let mut kept: Vec<(&[u8], &[u8])> = Vec::new();
    for (rank, label, data) in &loaded {
        let mut documents = split(data);
        let Some(header) = documents.next() else {
            continue; // an empty file
        };
        let why = match top_level(header, b"File") {
            Some(b"DEP-11") => fault(header),
            _ => Some("its first document does not say so"),
        };
        if let Some(why) = why {
            warnings.insert(format!("{label}: this is no DEP-11, {why}; it is left out"));
            continue;
        }
        let before = kept.len();
        let mut faults = 0;
        for document in documents {
            if let Some(why) = fault(document) {
                // One such would cost its readers the whole file, or tell them of another package.
                faults += 1;
                if faults <= MAX_TOLD {
                    let at = offset_of(document, data);
                    let fault = SyntaxError::at(data, at, why);
                    warnings.insert(format!("{label}, {fault}; the document is left out"));
                }
                continue;
            }
            match top_level(document, b"Package") {
                Some(package) if selected.has(group, package, *rank) => {
                    kept.push((package, document));
                }
                // It speaks of the distribution itself, so only the first archive's has a say.
                None if *rank == 0 => kept.push((b"", document)),
                _ => {}
            }
        }
        if faults > MAX_TOLD {
            let more = faults - MAX_TOLD;
            warnings.insert(format!("{label}: {more} further faulty documents"));
        }
        headers.push((kept.len() - before, header));
    }
    // One header holds for all documents: that of the archive that most of them are from.
    let header = headers
        .iter()
        .rev()
        .max_by_key(|(documents, _)| *documents)
        .map(|(_, header)| *header);
    let media = |header: &[u8]| top_level(header, b"MediaBaseUrl").map(<[u8]>::to_vec);
    if headers
        .iter()
        .any(|(documents, h)| *documents > 0 && media(h) != header.and_then(media))
    {
        warnings.insert(format!(
            "{name}: the archives keep their media at different places; screenshots of the smaller ones will not be found"
        ));
    }
    kept.sort_by_key(|(package, _)| *package);
    let mut text = Text::default();
    for document in header
        .into_iter()
        .chain(kept.into_iter().map(|(_, document)| document))
    {
        let end: &[u8] = if document.ends_with(b"\n") {
            b""
        } else {
            b"\n"
        };
        text.push([document, end]);
    }
    sink.text(name, &text)?;
    Ok(warnings)
}

/// What readers of YAML stumble over in a document, or read differently: its lines, and whose component it is, have to be plain.
fn fault(document: &[u8]) -> Option<&'static str> {
    let Ok(text) = std::str::from_utf8(document) else {
        return Some("this is not UTF-8");
    };
    let is_odd = |c: char| {
        (c.is_control() && !matches!(c, '\n' | '\t')) || matches!(c, '\u{2028}' | '\u{2029}')
    };
    if text.contains(is_odd) {
        return Some("it has a control character, or a line end that YAML knows and others do not");
    }
    let mut packages = 0;
    let begins = text.starts_with("---");
    if begins
        && text
            .lines()
            .next()
            .is_some_and(|line| line.trim_end() != "---")
    {
        return Some("something stands beside its `---`");
    }
    for line in text.lines().skip(usize::from(begins)) {
        let key = line.split([':', ' ']).next().unwrap_or_default();
        let is_plain = key.starts_with(|c: char| c.is_ascii_alphabetic())
            && key
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b"-_".contains(&b))
            && line[key.len()..].starts_with(':');
        let is_inner = line.is_empty() || line.starts_with([' ', '-', '#']);
        if !is_inner && !is_plain {
            return Some("a line at the left margin is neither `Key:` nor an item of a list");
        }
        if line.trim_start_matches(' ').starts_with('\t') {
            return Some("a line is indented by a tab");
        }
        packages += usize::from(is_plain && key == "Package");
    }
    (packages > 1).then_some("it names its package twice")
}

/// Where a part of a file begins in it.
fn offset_of(part: &[u8], file: &[u8]) -> usize {
    (part.as_ptr() as usize).saturating_sub(file.as_ptr() as usize)
}

/// The YAML documents of a file, each from its `---` on.
fn split(data: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = data;
    std::iter::from_fn(move || {
        while let Some(after) = rest.strip_prefix(b"\n") {
            rest = after;
        }
        if rest.is_empty() {
            return None;
        }
        let mut end = 0;
        loop {
            end = memchr::memchr(b'\n', &rest[end..]).map_or(rest.len(), |n| end + n + 1);
            let line = &rest[end..];
            let begins =
                line.starts_with(b"---") && line[3..].first().is_none_or(u8::is_ascii_whitespace);
            if line.is_empty() || begins {
                break;
            }
        }
        let (document, after) = rest.split_at(end);
        rest = after;
        Some(document)
    })
}

/// The plain scalar of a key at the top level of a document, without quotes.
fn top_level<'a>(document: &'a [u8], key: &[u8]) -> Option<&'a [u8]> {
    document.split(|b| *b == b'\n').find_map(|line| {
        let value = line.strip_prefix(key)?.strip_prefix(b":")?.trim_ascii();
        let quoted = |q: &[u8]| value.strip_prefix(q)?.strip_suffix(q);
        Some(quoted(b"'").or_else(|| quoted(b"\"")).unwrap_or(value))
    })
}

fn icons(
    merge: &SuiteMerge<'_>,
    selected: &Selected,
    sink: &dyn Sink,
    name: &IndexName,
    ranks: &[usize],
) -> Result<BTreeSet<String>> {
    let mut warnings = BTreeSet::new();
    let architectures = merge.config.architectures_of(merge.suite);
    sink.stream(name, &mut |out| {
        let mut archive = tar::Builder::new(out);
        let mut seen = BTreeSet::new();
        for &rank in ranks {
            let Some(input) = merge.inputs.get(rank) else {
                continue;
            };
            let Some(opened) = input.open(name)? else {
                continue;
            };
            let label = input.describe(name);
            let is_published = |file: &[u8]| {
                let package = file.split(|b| *b == b'_').next().unwrap_or_default();
                architectures
                    .iter()
                    .any(|a| selected.has(a.as_str(), package, rank as u16))
            };
            copy_icons(
                opened,
                &label,
                &mut archive,
                &mut seen,
                &is_published,
                &mut warnings,
            )
            .map_err(Error::io("merge the icons of", &label))?;
        }
        archive
            .finish()
            .map_err(Error::io("merge the icons of", name.to_string()))
    })?;
    Ok(warnings)
}

/// Copies the icons of published packages, with nothing but their names and bytes.
fn copy_icons(
    opened: Box<dyn Read + Send + '_>,
    label: &str,
    archive: &mut tar::Builder<&mut dyn Write>,
    seen: &mut BTreeSet<Vec<u8>>,
    is_published: &dyn Fn(&[u8]) -> bool,
    warnings: &mut BTreeSet<String>,
) -> io::Result<()> {
    let mut from = tar::Archive::new(PlainTar::new(opened));
    for entry in from.entries()? {
        let mut entry = entry?;
        let path = entry.path_bytes().into_owned();
        let file = path.strip_prefix(b"./").unwrap_or(&path);
        if entry.header().entry_type().is_dir() {
            continue;
        }
        let is_plain = !file.is_empty()
            && !file
                .iter()
                .any(|b| matches!(b, b'/' | b'\\') || b.is_ascii_control());
        if !is_plain || !entry.header().entry_type().is_file() || entry.size() > MAX_ICON_BYTES {
            let shown = String::from_utf8_lossy(&path).escape_debug().to_string();
            warnings.insert(format!("{label}: `{shown}` is no icon; it is left out"));
            continue;
        }
        if !is_published(file) || !seen.insert(file.to_vec()) {
            continue;
        }
        let mut header = tar::Header::new_ustar();
        header.set_size(entry.size());
        header.set_mode(0o644);
        header.set_mtime(entry.header().mtime().unwrap_or(0));
        let name = String::from_utf8_lossy(file).into_owned();
        archive.append_data(&mut header, name, &mut entry)?;
    }
    // To the end, where damage of the file shows.
    io::copy(&mut from.into_inner(), &mut io::sink())?;
    Ok(())
}

/// Documents are the file, blank lines aside.
#[cfg(any(test, fuzzing))]
pub(crate) fn fuzz_dep11(data: &[u8]) {
    let squeezed = |bytes: &[u8]| bytes.iter().filter(|b| **b != b'\n').count();
    let mut found = 0;
    for document in split(data) {
        assert!(!document.is_empty());
        found += squeezed(document);
        let value = top_level(document, b"Package").unwrap_or_default();
        assert!(!value.contains(&b'\n'));
        if fault(document).is_none() {
            let named = |line: &&[u8]| line.starts_with(b"Package:");
            assert!(document.split(|b| *b == b'\n').filter(named).count() <= 1);
        }
    }
    assert_eq!(found, squeezed(data));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_document_that_readers_may_understand_otherwise_is_left_out() {
        let good =
            "---\nType: desktop-application\nPackage: a\nName:\n  C: x\nCategories:\n- A\n- B\n";
        assert_eq!(fault(good.as_bytes()), None);
        assert_eq!(fault(b"File: DEP-11\nVersion: '1'\n"), None);
        for (odd, why) in [
            ("---\nPackage: a\nPackage: b\n", "twice"),
            ("Package: a\nPackage: b\n", "twice"),
            ("---\nPackage: a\r---\rPackage: b\n", "line end"),
            ("---\nPackage: a\u{2028}---\u{2028}Package: b\n", "line end"),
            ("---\nPackage: a\u{85}Package: b\n", "line end"),
            ("--- {Package: b}\n", "beside"),
            ("---\nPackage: a\n\"Package\": b\n", "margin"),
            ("---\nPackage: a\n? Package\n: b\n", "margin"),
            ("---\nPackage: a\nName:\n \tC: x\n", "tab"),
        ] {
            let found = fault(odd.as_bytes()).unwrap_or_default();
            assert!(found.contains(why), "{odd:?}: {found}");
        }
    }

    #[test]
    fn documents_begin_at_their_dashes() {
        let data = b"---\nFile: DEP-11\nVersion: '0.16'\n---\nPackage: a\nDescription:\n  C: --- no\n---\nPackage: \"b\"";
        let documents: Vec<_> = split(data).collect();
        assert_eq!(documents.len(), 3);
        assert_eq!(documents.concat(), data);
        assert_eq!(top_level(documents[0], b"Version"), Some(&b"0.16"[..]));
        assert_eq!(top_level(documents[1], b"Package"), Some(&b"a"[..]));
        assert_eq!(top_level(documents[2], b"Package"), Some(&b"b"[..]));
        assert_eq!(split(b"\n\n").count(), 0);
    }
}
