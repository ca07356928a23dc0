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

mod lines;
mod sources;

pub(crate) use lines::split;

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, Write};

use crate::compress::CompressError;
use crate::error::{Error, Result};
use crate::indices::IndexName;

use super::derived::{KeyOf, unless_unchanged};
use super::input::{Sink, SuiteMerge};
use super::queue;
use super::selection::Selected;
use lines::{Line, Lines, Next};
use sources::Source;

/// The column at which owners begin if the path leaves room, as archives have it.
const OWNER_COLUMN: usize = 56;

/// The number of bytes that are written at a time.
const BATCH_BYTES: usize = 64 << 10;

/// The number of lines that are merged between two checks of the deadline.
const LINES_BETWEEN_LOOKS: u64 = 4096;

/// The most bytes that the owners of one path may have; aptmerge itself could not read a longer line again.
const MAX_OWNERS_BYTES: usize = 32 << 10;

pub(super) fn merge(
    merge: &SuiteMerge<'_>,
    selected: &Selected,
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
        unless_unchanged(sink, std::slice::from_ref(&name), key, make)
    })?;
    Ok(warnings.into_iter().flatten().collect())
}

/// Writes an index. If one of its inputs turns out to be unsorted, sorts that input and writes the index once more.
fn write_index(
    merge: &SuiteMerge<'_>,
    selected: &Selected,
    sink: &dyn Sink,
    name: &IndexName,
    sources: &[Source],
) -> Result<BTreeSet<String>> {
    let mut unsorted = BTreeSet::new();
    loop {
        let known = unsorted.len();
        let mut warnings = BTreeSet::new();
        let outcome = sink.stream(name, &mut |out| {
            let heads = open(merge, sources, &unsorted, &|| sink.scratch())?;
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

/// An index that is being read, and its next line.
struct Head<'a> {
    /// The position of the index among the sources of the published index.
    number: usize,
    source: &'a Source,
    lines: Lines<'a>,
    line: Line,
    next: Next,
    /// The last owner that was looked up, and whether it was published: most lines have the owner of the line before.
    last_owner: (Vec<u8>, bool),
}

impl Head<'_> {
    fn advance(&mut self) -> Result<()> {
        self.next = self.lines.next(&mut self.line)?;
        Ok(())
    }

    /// Appends the owners of the line that the line's archive published, in the component that is asked for.
    fn published_owners(&mut self, selected: &Selected, group: &str, owners: &mut Owners) {
        for owner in self.line.owners().split(|b| *b == b',') {
            if owner != self.last_owner.0 {
                let name = owner.rsplit(|b| *b == b'/').next().unwrap_or_default();
                let rank = self.source.rank;
                self.last_owner.1 = owner.iter().all(u8::is_ascii_graphic)
                    && match self.source.only_component {
                        Some(component) => selected.places.has(group, name, rank, component),
                        None => selected.has(group, name, rank),
                    };
                self.last_owner.0.clear();
                self.last_owner.0.extend_from_slice(owner);
            }
            if self.last_owner.1 {
                owners.push(owner);
            }
        }
    }
}

/// The owners of a path, as many as fit into one line: an index can have the same path in each of its lines.
#[derive(Default)]
struct Owners {
    text: Vec<u8>,
    ends: Vec<usize>,
    is_full: bool,
}

impl Owners {
    fn clear(&mut self) {
        self.text.clear();
        self.ends.clear();
        self.is_full = false;
    }

    /// Adds an owner. The caller adds those of higher archives first.
    fn push(&mut self, owner: &[u8]) {
        if owner.len() > MAX_OWNERS_BYTES / 2 {
            return; // no name is so long, and no section
        }
        if self.text.len() + owner.len() > MAX_OWNERS_BYTES && !self.is_full {
            self.keep_each_once();
            // With little room left, each further owner would repeat this work.
            self.is_full = self.text.len() > MAX_OWNERS_BYTES / 2;
        }
        if !self.is_full {
            self.text.extend_from_slice(owner);
            self.ends.push(self.text.len());
        }
    }

    fn keep_each_once(&mut self) {
        let text = std::mem::take(&mut self.text);
        let ends = std::mem::take(&mut self.ends);
        let starts = std::iter::once(&0).chain(&ends);
        let owners: BTreeSet<_> = starts.zip(&ends).map(|(a, b)| &text[*a..*b]).collect();
        for owner in owners {
            self.text.extend_from_slice(owner);
            self.ends.push(self.text.len());
        }
    }

    /// Writes the owners sorted, each once, with commas between them.
    fn write(&self, out: &mut Vec<u8>) {
        if self.ends.len() == 1 {
            out.extend_from_slice(&self.text);
            return;
        }
        let starts = std::iter::once(&0).chain(&self.ends);
        let owners = starts.zip(&self.ends).map(|(a, b)| &self.text[*a..*b]);
        let sorted: BTreeSet<_> = owners.collect();
        out.extend(sorted.into_iter().collect::<Vec<_>>().join(&b','));
    }
}

fn open<'a>(
    merge: &'a SuiteMerge<'_>,
    sources: &'a [Source],
    unsorted: &BTreeSet<usize>,
    scratch: &dyn Fn() -> Result<File>,
) -> Result<Vec<Head<'a>>> {
    let mut heads = Vec::new();
    for (number, source) in sources.iter().enumerate() {
        let Some(input) = merge.input(source.rank) else {
            continue;
        };
        let label = input.describe(&source.index);
        let opened = input.open(&source.index)?;
        let mut head = Head {
            number,
            source,
            lines: match unsorted.contains(&number) {
                true => Lines::sorted(opened, label, scratch)?,
                false => Lines::in_order(opened, label),
            },
            line: Line::default(),
            next: Next::End,
            last_owner: (Vec::new(), false),
        };
        head.advance()?;
        heads.push(head);
    }
    Ok(heads)
}

/// The end of a merge.
enum Merged {
    /// The merge reached the end of all inputs; these are its warnings.
    Whole(BTreeSet<String>),
    /// The merge met an input that is not sorted; this is the input's number.
    Disorder(usize),
}

fn merge_index(
    merge: &SuiteMerge<'_>,
    mut heads: Vec<Head<'_>>,
    selected: &Selected,
    name: &IndexName,
    out: &mut dyn Write,
) -> Result<Merged> {
    let group = name.architecture();
    let mut owners = Owners::default();
    let mut path = Vec::new();
    let mut text = Vec::with_capacity(2 * BATCH_BYTES);
    let failed = |source| CompressError {
        what: name.to_string(),
        source,
    };
    let (mut lines, mut overfull) = (0_u64, 0_u64);
    loop {
        let with_line = heads.iter().filter(|head| head.next == Next::Line);
        let Some(first) = with_line.map(|head| head.line.path()).min() else {
            break;
        };
        path.clear();
        path.extend_from_slice(first);
        owners.clear();
        for head in &mut heads {
            while head.next == Next::Line && head.line.path() == path {
                if lines % LINES_BETWEEN_LOOKS == 0 {
                    merge.in_time()?;
                }
                lines += 1;
                head.published_owners(selected, group, &mut owners);
                head.advance()?;
            }
        }
        overfull += u64::from(owners.is_full);
        if !owners.ends.is_empty() {
            let start = text.len();
            text.extend_from_slice(&path);
            text.resize(text.len().max(start + OWNER_COLUMN - 1), b' ');
            text.push(b' ');
            owners.write(&mut text);
            text.push(b'\n');
        }
        if text.len() >= BATCH_BYTES {
            out.write_all(&text).map_err(failed)?;
            text.clear();
        }
        if let Some(head) = heads.iter().find(|h| h.next == Next::Disorder) {
            return Ok(Merged::Disorder(head.number));
        }
    }
    out.write_all(&text).map_err(failed)?;
    let told = heads.into_iter().flat_map(|head| head.lines.faults());
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
    let reader: Box<dyn io::Read + Send> = Box::new(io::Cursor::new(data.to_vec()));
    let scratch = || tempfile::tempfile().map_err(Error::io("create", "a temporary file"));
    let lines = Lines::sorted(Some(reader), "fuzz".into(), &scratch);
    let mut lines = lines.expect("memory can be read");
    let mut last = Vec::new();
    let mut line = Line::default();
    while lines.next(&mut line).expect("memory can be read") == Next::Line {
        let (path, owners) = (line.path(), line.owners());
        assert!(path >= &last[..] && !path.is_empty());
        assert!(!path.contains(&b'\n') && !owners.contains(&b'\n'));
        last = path.to_vec();
    }
    assert!(lines.faults().len() <= super::faults::MAX_TOLD + 2);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn owners_of_one_path_fill_no_memory() {
        let mut owners = Owners::default();
        for _ in 0..100_000 {
            owners.push(b"admin/a");
            owners.push(b"admin/b");
        }
        assert!(!owners.is_full && owners.text.capacity() <= 2 * MAX_OWNERS_BYTES);
        let mut text = Vec::new();
        owners.write(&mut text);
        assert_eq!(text, b"admin/a,admin/b");
        for n in 0..100_000 {
            owners.push(format!("{n:06}/b").as_bytes());
        }
        assert!(owners.is_full && owners.text.len() <= MAX_OWNERS_BYTES);
    }
}
