//! Contents: which package has which file, for exactly the packages that were published, from the archives that own them.
//!
//! An index has a line for each path: the path, blanks, and its owners, `section/package`, joined by commas. The path may have blanks in
//! it, so the owners are the part after the last blank. Old files begin with free text, up to a line that names the columns. Lines are
//! sorted by path, so the merge reads inputs of any size as streams. It first sorts an input that is not sorted, through files without
//! a name that the sink makes.
//!
//! Archives of the old kind have one index for all components, beside the component directories. The merge reads it once for each component
//! and takes the packages that were published there, so the index need not fit into memory. If an archive has indices of both kinds, those
//! of the components are read. The merge also writes such an index, if the configuration says so.
//!
//! A line counts for an owner only if the line's archive published that package, so no archive can claim a path for a package of another
//! archive. Every reader must split the owners as this module does, so owners are printable ASCII. `apt-file` writes the lines to
//! terminals, so a line with control characters is left out.

mod head;
mod lines;
mod owners;
mod raw;
mod sources;

pub(crate) use raw::split;

use std::collections::BTreeSet;
use std::io::{self, Write};

use crate::compress::CompressError;
use crate::error::{Error, Result};
use crate::indices::IndexName;

use super::derived::{KeyOf, unless_unchanged};
use super::input::{Sink, SuiteMerge};
use super::queue;
use super::selection::Selected;
use head::Head;
use lines::Next;
use owners::Owners;
use sources::Source;

/// The number of bytes that are written at a time.
const BATCH_BYTES: usize = 64 << 10;

/// The number of lines that are merged between two checks of the deadline.
const LINES_BETWEEN_LOOKS: u64 = 4096;

pub(super) fn merge(
    merge: &SuiteMerge<'_>,
    selected: &Selected<'_>,
    sink: &dyn Sink,
) -> Result<BTreeSet<String>> {
    let mut indices: Vec<_> = sources::of_published(merge, selected).into_iter().collect();
    // The largest index comes first, so that no thread is left alone with it at the end.
    indices.sort_by_cached_key(|(_, sources)| {
        let size = |source: &Source| {
            let indices = &merge.input(source.rank)?.facts().indices;
            indices.get(&source.index).map(|index| index.size)
        };
        std::cmp::Reverse(sources.iter().filter_map(size).sum::<u64>())
    });
    let warnings = queue::each(indices, |(name, sources)| {
        let make = || write_index(merge, selected, sink, &name, &sources);
        let parts = sources
            .iter()
            .map(|s| (usize::from(s.rank), s.index.clone()));
        let read = [(name.clone(), parts.collect())];
        let group = name.architecture();
        let mut key = KeyOf::inputs(merge, &read).published(selected, [group]);
        for source in &sources {
            if let Some(component) = source.only_component {
                key = key.divided(selected, source.rank, (group, component));
            }
        }
        unless_unchanged(sink, selected, std::slice::from_ref(&name), key, make)
    })?;
    Ok(warnings.into_iter().flatten().collect())
}

/// Writes an index. If one of its inputs turns out to be unsorted, sorts that input and writes the index once more.
fn write_index(
    merge: &SuiteMerge<'_>,
    selected: &Selected<'_>,
    sink: &dyn Sink,
    name: &IndexName,
    sources: &[Source],
) -> Result<BTreeSet<String>> {
    let mut unsorted = BTreeSet::new();
    loop {
        let known = unsorted.len();
        let mut warnings = BTreeSet::new();
        let outcome = sink.stream(name, &mut |out| {
            let heads = head::open(merge, sources, &unsorted, &|| sink.scratch())?;
            match merge_index(merge, heads, selected, name, out)? {
                Merged::Whole(told) => warnings = told,
                Merged::Disorder(source) => {
                    unsorted.insert(source);
                    return Err(Error::io("merge the index", name.to_string())(
                        io::Error::other("it is not sorted by path"),
                    ));
                }
            }
            Ok(())
        });
        if unsorted.len() == known {
            return outcome.map(|()| warnings);
        }
    }
}

/// The end of a merge.
enum Merged {
    /// The merge reached the end of all inputs; these are its warnings.
    Whole(BTreeSet<String>),
    /// The merge met an input that is not sorted; this is the input's number.
    Disorder(usize),
}

/// Returns the position of the index with the least path, and fills in that path and the least one of the other indices, which stays empty if
/// these are at their end.
fn least(heads: &[Head<'_>], path: &mut Vec<u8>, bound: &mut Vec<u8>) -> Option<usize> {
    path.clear();
    bound.clear();
    let ahead = |n: &usize| heads[*n].path();
    let with_line = || (0..heads.len()).filter(|n| ahead(n).is_some());
    let first = with_line().min_by_key(ahead)?;
    path.extend(ahead(&first).into_iter().flatten());
    let other = with_line().filter(|n| *n != first).min_by_key(ahead);
    bound.extend(other.as_ref().and_then(ahead).into_iter().flatten());
    Some(first)
}

fn merge_index(
    merge: &SuiteMerge<'_>,
    mut heads: Vec<Head<'_>>,
    selected: &Selected<'_>,
    name: &IndexName,
    out: &mut dyn Write,
) -> Result<Merged> {
    let group = name.architecture();
    let mut owners = Owners::default();
    let (mut path, mut bound) = (Vec::new(), Vec::new());
    let mut text = Vec::with_capacity(2 * BATCH_BYTES);
    let failed = |source| CompressError {
        what: name.to_string(),
        source,
    };
    let (mut lines, mut overfull) = (0_u64, 0_u64);
    let mut count_line = || {
        lines += 1;
        match lines % LINES_BETWEEN_LOOKS {
            1 => merge.in_time(),
            _ => Ok(()),
        }
    };
    loop {
        if let Some(head) = heads.iter().find(|h| h.next == Next::Disorder) {
            return Ok(Merged::Disorder(head.number));
        }
        let Some(first) = least(&heads, &mut path, &mut bound) else {
            break;
        };
        let bound = (!bound.is_empty()).then_some(&bound[..]);
        if text.len() >= BATCH_BYTES {
            out.write_all(&text).map_err(failed)?;
            text.clear();
        }
        // Most lines stand in a run of one index, between two lines of another, and are published as they are.
        let head = &mut heads[first];
        let start = text.len();
        while text.len() < BATCH_BYTES
            && head.is_before(bound)
            && let Some(line) = head.whole_line(selected, group)
        {
            text.extend_from_slice(line);
            count_line()?;
            head.advance()?;
        }
        if text.len() > start {
            continue;
        }
        owners.clear();
        for head in &mut heads {
            while head.path() == Some(&path) {
                count_line()?;
                head.published_owners(selected, group, &mut owners);
                head.advance()?;
            }
        }
        overfull += u64::from(owners.is_full());
        if !owners.is_empty() {
            raw::write(&path, |text| owners.write(text), &mut text);
        }
    }
    out.write_all(&text).map_err(failed)?;
    let told = heads.into_iter().flat_map(|head| head.faults());
    let mut told: BTreeSet<_> = told.collect();
    if overfull > 0 {
        told.insert(format!(
            "{name}: {overfull} paths have more packages than a line has room for; the others are left out"
        ));
    }
    Ok(Merged::Whole(told))
}

/// Asserts that lines come in order, and that none has a line end in it.
#[cfg(any(test, fuzzing))]
pub(crate) fn fuzz_contents(data: &[u8]) {
    use lines::Lines;
    let reader: Box<dyn io::Read + Send> = Box::new(io::Cursor::new(data.to_vec()));
    let scratch = || tempfile::tempfile().map_err(Error::io("create", "a temporary file"));
    let lines = Lines::sorted(Some(reader), "fuzz".into(), &scratch);
    let mut lines = lines.expect("memory can be read");
    let mut last = Vec::new();
    while lines.advance().expect("memory can be read") == Next::Line {
        let line = lines.line().expect("there is a line");
        let (path, owners) = (line.path(), line.owners());
        assert!(path >= &last[..] && !path.is_empty());
        assert!(!path.contains(&b'\n') && !owners.contains(&b'\n'));
        last = path.to_vec();
    }
    assert!(lines.faults().len() <= super::faults::MAX_TOLD + 2);
}
