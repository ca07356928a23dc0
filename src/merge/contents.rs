//! Contents: which package has which file, for exactly the packages that were published, from the archives that won.
//!
//! An index has a line for each path: the path, blanks, and its owners, `section/package`, joined by commas. The path may have
//! blanks in it, so the owners are what stands behind the last of them. Files of old begin with free text, up to a line
//! that names the columns. Lines are sorted by path, so inputs of any size are merged as streams; an input that is not sorted
//! is sorted first, through files in the temporary directory.
//!
//! Archives of the old kind have one index beside the components for all of them. It is read for each component, by where its
//! packages were published; and it is written besides, where the configuration says so.

mod lines;
mod sources;

use std::collections::BTreeSet;
use std::io::Write;

use rayon::prelude::*;

use crate::error::{Error, Result};
use crate::indices::IndexName;

use super::derived::{KeyOf, unless_unchanged};
use super::selection::Selected;
use super::suite::{Sink, SuiteMerge};
use lines::{Line, Lines};
use sources::Source;

/// The column at which owners begin where the path leaves room, as archives have it.
const OWNER_COLUMN: usize = 56;

/// How many faulty lines of one index are told of.
const MAX_TOLD: usize = 5;

pub(super) fn merge(
    merge: &SuiteMerge<'_>,
    selected: &Selected,
    sink: &dyn Sink,
) -> Result<BTreeSet<String>> {
    let warnings = sources::of_published(merge, selected)
        .into_par_iter()
        .map(|(name, sources)| {
            let make = || {
                let mut warnings = BTreeSet::new();
                sink.stream(&name, &mut |out| {
                    warnings = merge_index(merge, selected, &name, &sources, out)?;
                    Ok(())
                })?;
                Ok(warnings)
            };
            // Where an index is handed out to components, it matters in which one each package lies.
            if sources.iter().any(|s| s.only_component.is_some()) {
                return make();
            }
            let read: BTreeSet<_> = sources.iter().map(|s| s.index.clone()).collect();
            let read: Vec<_> = read.into_iter().collect();
            let key = KeyOf::inputs(merge, &read).published(selected, [name.architecture()]);
            unless_unchanged(sink, std::slice::from_ref(&name), key, make)
        })
        .collect::<Result<Vec<_>>>()?;
    Ok(warnings.into_iter().flatten().collect())
}

fn merge_index(
    merge: &SuiteMerge<'_>,
    selected: &Selected,
    name: &IndexName,
    sources: &[Source],
    out: &mut dyn Write,
) -> Result<BTreeSet<String>> {
    let group = name.architecture();
    let mut heads = Vec::new();
    let mut all_lines = Vec::new();
    for source in sources {
        let Some(input) = merge.inputs.get(usize::from(source.rank)) else {
            continue;
        };
        let open = || input.open(&source.index);
        let mut lines = Lines::sorted(&open, input.describe(&source.index))?;
        heads.push(lines.next()?);
        all_lines.push((source, lines));
    }
    let mut owners: Vec<Vec<u8>> = Vec::new();
    let mut text = Vec::with_capacity(256);
    while let Some(path) = heads.iter().flatten().map(|line| &line.path).min().cloned() {
        owners.clear();
        for (head, (source, lines)) in heads.iter_mut().zip(&mut all_lines) {
            while let Some(line) = head.take_if(|line| line.path == path) {
                owners.extend(published_owners(&line, selected, group, source));
                *head = lines.next()?;
            }
        }
        if owners.is_empty() {
            continue;
        }
        owners.sort_unstable();
        owners.dedup();
        text.clear();
        text.extend_from_slice(&path);
        text.resize(text.len().max(OWNER_COLUMN - 1), b' ');
        text.push(b' ');
        text.extend_from_slice(&owners.join(&b','));
        text.push(b'\n');
        out.write_all(&text).map_err(|source| Error::Compress {
            what: name.to_string(),
            source,
        })?;
    }
    let mut warnings = BTreeSet::new();
    for (_, lines) in all_lines {
        warnings.extend(lines.faults());
    }
    Ok(warnings)
}

/// The owners of a line that were published from the archive that the line is of, in the component that is asked for.
fn published_owners<'a>(
    line: &'a Line,
    selected: &'a Selected,
    group: &'a str,
    source: &'a Source,
) -> impl Iterator<Item = Vec<u8>> + 'a {
    line.owners.split(|b| *b == b',').filter_map(move |owner| {
        let name = owner.rsplit(|b| *b == b'/').next()?;
        let is_published = match source.only_component {
            Some(component) => selected.places.has(group, name, source.rank, component),
            None => selected.has(group, name, source.rank),
        };
        is_published.then(|| owner.to_vec())
    })
}

/// Lines come in order, and none has a line end in it.
#[cfg(any(test, fuzzing))]
pub(crate) fn fuzz_contents(data: &[u8]) {
    let open = || {
        let reader: Box<dyn std::io::Read + Send> = Box::new(std::io::Cursor::new(data.to_vec()));
        Ok(Some(reader))
    };
    let mut lines = Lines::sorted(&open, "fuzz".into()).expect("memory can be read");
    let mut last = Vec::new();
    while let Some(line) = lines.next().expect("memory can be read") {
        assert!(line.path >= last && !line.path.is_empty());
        assert!(!line.path.contains(&b'\n') && !line.owners.contains(&b'\n'));
        last = line.path;
    }
    assert!(lines.faults().len() <= MAX_TOLD + 2);
}
