//! The lines of a Contents index, one by one, sorted by path.

use std::cmp::{Ordering, Reverse};
use std::collections::{BinaryHeap, VecDeque};
use std::fs::File;
use std::io::{self, BufRead, BufReader, BufWriter, Read, Seek, SeekFrom, Write};

use crate::error::{Error, Result};
use crate::quoted::steers;

use super::super::faults::Told;

/// The longest line that is read; Debian's longest have some hundreds of bytes.
const MAX_LINE_BYTES: u64 = 64 << 10;

/// The number of lines within which the columns must be named if a file begins with free text.
const MAX_HEADER_LINES: usize = 200;

/// The number of bytes of an unsorted index that are sorted in memory at a time.
const SORTED_RUN_BYTES: usize = 32 << 20;

/// A line: a path, and the packages that have it. One `Line` is filled again and again, so that reading a line costs no allocation.
#[derive(Debug, Clone, Default)]
pub(super) struct Line {
    text: Vec<u8>,
    path_end: usize,
    owners_start: usize,
}

impl Line {
    /// Returns the path.
    pub(super) fn path(&self) -> &[u8] {
        &self.text[..self.path_end]
    }

    /// Returns the owners, with commas between them.
    pub(super) fn owners(&self) -> &[u8] {
        &self.text[self.owners_start..]
    }

    /// Splits the line at its last blank; an error says why that is impossible.
    fn parse(&mut self) -> Result<(), &'static str> {
        self.text.truncate(self.text.trim_ascii_end().len());
        let (path, owners) = split(&self.text)
            .filter(|(path, _)| !path.is_empty())
            .ok_or("neither a path nor its owner can be made out")?;
        if !is_harmless(&self.text) {
            return Err("a control character in it");
        }
        (self.path_end, self.owners_start) = (path.len(), self.text.len() - owners.len());
        Ok(())
    }

    fn is_column_titles(line: &[u8]) -> bool {
        let mut words = line
            .split(u8::is_ascii_whitespace)
            .filter(|w| !w.is_empty());
        words.next() == Some(b"FILE") && words.next() == Some(b"LOCATION") && words.next().is_none()
    }
}

/// Returns the path of a line, by which lines are sorted, and its owners: the parts before and after the last blank.
pub(crate) fn split(line: &[u8]) -> Option<(&[u8], &[u8])> {
    let line = line.trim_ascii_end();
    let blank = line.iter().rposition(|b| matches!(b, b' ' | b'\t'))?;
    Some((line[..blank].trim_ascii_end(), &line[blank + 1..]))
}

/// Returns whether a line is safe to print on a terminal. A path is bytes without a known encoding; bytes that are not UTF-8 are taken for
/// characters of one byte each, as a terminal of that kind would take them.
fn is_harmless(line: &[u8]) -> bool {
    if line.iter().all(|b| matches!(b, b' '..=b'~' | b'\t')) {
        return true;
    }
    line.utf8_chunks().all(|chunk| {
        let is_c1 = |b: &u8| matches!(b, 0x80..=0x9f);
        !chunk.valid().contains(|c| c != '\t' && steers(c)) && !chunk.invalid().iter().any(is_c1)
    })
}

impl Ord for Line {
    fn cmp(&self, other: &Self) -> Ordering {
        (self.path(), self.owners()).cmp(&(other.path(), other.owners()))
    }
}

impl PartialOrd for Line {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Line {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Line {}

/// The result of reading the next line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Next {
    /// A line.
    Line,
    /// The end.
    End,
    /// A line whose path stands before the last one's: the index has to be sorted first.
    Disorder,
}

type Opened<'a> = Option<Box<dyn Read + Send + 'a>>;

/// The lines of an index in the order of their paths.
pub(super) struct Lines<'a> {
    source: Source<'a>,
    label: String,
    is_sorted_here: bool,
    told: Told,
}

enum Source<'a> {
    /// The lines in the order of the file, with the last path.
    InOrder(Raw<'a>, Vec<u8>),
    Sorted(BinaryHeap<Reverse<(Line, usize)>>, Vec<Raw<'static>>),
}

impl<'a> Lines<'a> {
    /// Returns the lines in the order of the file, for as long as they are sorted.
    pub(super) fn in_order(opened: Opened<'a>, label: String) -> Lines<'a> {
        Lines {
            source: Source::InOrder(Raw::new(opened, true), Vec::new()),
            label,
            is_sorted_here: false,
            told: Told::default(),
        }
    }

    /// Returns the lines of an index that is out of order, sorted.
    pub(super) fn sorted(
        opened: Opened<'a>,
        label: String,
        scratch: &dyn Fn() -> Result<File>,
    ) -> Result<Lines<'a>> {
        let mut lines = Lines::in_order(None, label);
        lines.is_sorted_here = true;
        lines.sort(opened, scratch)?;
        Ok(lines)
    }

    fn failed(&self) -> impl Fn(io::Error) -> Error + use<> {
        let label = self.label.clone();
        move |error| Error::io("read the index", &label)(error)
    }

    /// Sorts an index in parts, each into a file without a name, and then merges the parts.
    fn sort(&mut self, opened: Opened<'_>, scratch: &dyn Fn() -> Result<File>) -> Result<()> {
        let failed = self.failed();
        let mut raw = Raw::new(opened, true);
        let mut runs = Vec::new();
        let mut run: Vec<Line> = Vec::new();
        let mut bytes = 0;
        let mut line = Line::default();
        loop {
            match raw.next(&mut line).map_err(&failed)? {
                Found::End => break,
                Found::Fault(why) => self.tell(raw.number, why),
                Found::Line => {
                    bytes += line.text.len() + size_of::<Line>();
                    run.push(line.clone());
                }
            }
            if bytes >= SORTED_RUN_BYTES {
                runs.push(write_run(&mut run, scratch()?)?);
                bytes = 0;
            }
        }
        runs.push(write_run(&mut run, scratch()?)?);
        let mut heap = BinaryHeap::new();
        for (number, run) in runs.iter_mut().enumerate() {
            if run.next(&mut line).map_err(&failed)? == Found::Line {
                heap.push(Reverse((line.clone(), number)));
            }
        }
        self.source = Source::Sorted(heap, runs);
        Ok(())
    }

    /// Reads the next valid line.
    pub(super) fn next(&mut self, line: &mut Line) -> Result<Next> {
        loop {
            match &mut self.source {
                Source::InOrder(raw, last) => match raw.next(line) {
                    Ok(Found::Line) if line.path() < &last[..] => return Ok(Next::Disorder),
                    Ok(Found::Line) => {
                        last.clear();
                        last.extend_from_slice(line.path());
                        return Ok(Next::Line);
                    }
                    Ok(Found::Fault(why)) => {
                        let number = raw.number;
                        self.tell(number, why);
                    }
                    Ok(Found::End) => return Ok(Next::End),
                    Err(error) => return Err(self.failed()(error)),
                },
                Source::Sorted(heap, runs) => {
                    let Some(Reverse((mut first, number))) = heap.pop() else {
                        return Ok(Next::End);
                    };
                    std::mem::swap(line, &mut first);
                    match runs[number].next(&mut first) {
                        Ok(Found::Line) => heap.push(Reverse((first, number))),
                        Ok(_) => {}
                        Err(error) => return Err(self.failed()(error)),
                    }
                    return Ok(Next::Line);
                }
            }
        }
    }

    fn tell(&mut self, line: usize, why: &str) {
        let label = &self.label;
        self.told
            .tell(|| format!("{label}, line {line}: {why}; the line is left out"));
    }

    /// Returns the faults of the index.
    pub(super) fn faults(self) -> Vec<String> {
        let label = self.label;
        let further = |number| format!("{label}: {number} further faulty lines");
        let mut told = self.told.finish(further);
        if self.is_sorted_here {
            told.push(format!("{label}: its lines are not sorted by path"));
        }
        told
    }
}

/// Sorts lines and writes them to a file.
fn write_run(run: &mut Vec<Line>, file: File) -> Result<Raw<'static>> {
    run.sort_unstable();
    let file = lay_aside(run, file).map_err(Error::io("write", "a file of sorted lines"))?;
    Ok(Raw::new(Some(Box::new(file)), false))
}

fn lay_aside(run: &mut Vec<Line>, file: File) -> io::Result<File> {
    let mut file = BufWriter::new(file);
    for line in run.drain(..) {
        file.write_all(line.path())?;
        file.write_all(b" ")?;
        file.write_all(line.owners())?;
        file.write_all(b"\n")?;
    }
    let mut file: File = file.into_inner()?;
    file.seek(SeekFrom::Start(0))?;
    Ok(file)
}

/// The result of reading one line of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Found {
    Line,
    /// A line that is left out, with the reason.
    Fault(&'static str),
    End,
}

/// The lines of a file in their order there.
struct Raw<'a> {
    reader: Option<BufReader<Box<dyn Read + Send + 'a>>>,
    /// The number of the last line that was read.
    number: usize,
    /// Lines that were read in search of a header, and belong to no header.
    ahead: VecDeque<Vec<u8>>,
    header: bool,
}

impl<'a> Raw<'a> {
    fn new(opened: Opened<'a>, header: bool) -> Raw<'a> {
        Raw {
            reader: opened.map(|reader| BufReader::with_capacity(256 << 10, reader)),
            number: 0,
            ahead: VecDeque::new(),
            header,
        }
    }

    fn next(&mut self, line: &mut Line) -> io::Result<Found> {
        if std::mem::take(&mut self.header) {
            self.skip_header()?;
        }
        match self.ahead.pop_front() {
            Some(ahead) => line.text = ahead,
            None if self.read_line(&mut line.text)? => {}
            None => return Ok(Found::End),
        }
        self.number += 1;
        Ok(match line.parse() {
            Ok(()) => Found::Line,
            Err(why) => Found::Fault(why),
        })
    }

    fn skip_header(&mut self) -> io::Result<()> {
        for _ in 0..MAX_HEADER_LINES {
            let mut line = Vec::new();
            if !self.read_line(&mut line)? {
                break;
            }
            if Line::is_column_titles(&line) {
                self.number = self.ahead.len() + 1;
                self.ahead.clear();
                break;
            }
            self.ahead.push_back(line);
        }
        Ok(())
    }

    /// Reads a line; `false` at the end.
    fn read_line(&mut self, line: &mut Vec<u8>) -> io::Result<bool> {
        line.clear();
        let Some(reader) = &mut self.reader else {
            return Ok(false);
        };
        let mut limited = reader.by_ref().take(MAX_LINE_BYTES);
        if limited.read_until(b'\n', line)? == 0 {
            return Ok(false);
        }
        if line.last() != Some(&b'\n') && line.len() as u64 == MAX_LINE_BYTES {
            reader.skip_until(b'\n')?;
            // No line of a Contents is empty, so the caller reports this one and leaves it out.
            line.clear();
        }
        Ok(true)
    }
}
