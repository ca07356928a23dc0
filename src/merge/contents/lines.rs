//! The lines of a Contents index, one by one, sorted by path.

use std::cmp::{Ordering, Reverse};
use std::collections::{BinaryHeap, VecDeque};
use std::fs::File;
use std::io::{self, BufRead, BufReader, BufWriter, Read, Seek, SeekFrom, Write};

use crate::error::{Error, Result};
use crate::quoted::steers;

use super::super::faults::Told;

/// The longest line that is taken; the longest of Debian's have some hundreds of bytes.
const MAX_LINE_BYTES: u64 = 64 << 10;

/// Within how many lines the columns must be named where a file begins with free text.
const MAX_HEADER_LINES: usize = 200;

/// How much of an unsorted index is sorted in memory at a time.
const SORTED_RUN_BYTES: usize = 32 << 20;

/// A line: a path, and the packages that have it. It is read into again and again, so that no line costs an allocation.
#[derive(Debug, Clone, Default)]
pub(super) struct Line {
    text: Vec<u8>,
    path_end: usize,
    owners_start: usize,
}

impl Line {
    /// The path.
    pub(super) fn path(&self) -> &[u8] {
        &self.text[..self.path_end]
    }

    /// The owners, with commas between them.
    pub(super) fn owners(&self) -> &[u8] {
        &self.text[self.owners_start..]
    }

    /// Takes the line apart at the last blank in it; an error says why that cannot be done.
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

/// The path of a line, by which lines are sorted, and its owners: what stands before and behind the last blank.
pub(crate) fn split(line: &[u8]) -> Option<(&[u8], &[u8])> {
    let line = line.trim_ascii_end();
    let blank = line.iter().rposition(|b| matches!(b, b' ' | b'\t'))?;
    Some((line[..blank].trim_ascii_end(), &line[blank + 1..]))
}

/// Returns whether a line steers no terminal. A path is bytes, whatever they mean; those that are not UTF-8 are taken for characters of
/// one byte each, as a terminal of that kind would.
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

/// What a look at the next line found.
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
    /// As they stand there, with the last path.
    InOrder(Raw<'a>, Vec<u8>),
    Sorted(BinaryHeap<Reverse<(Line, usize)>>, Vec<Raw<'static>>),
}

impl<'a> Lines<'a> {
    /// The lines as they stand there, as long as they are in order.
    pub(super) fn in_order(opened: Opened<'a>, label: String) -> Lines<'a> {
        Lines {
            source: Source::InOrder(Raw::new(opened, true), Vec::new()),
            label,
            is_sorted_here: false,
            told: Told::default(),
        }
    }

    /// The lines of an index that is out of order.
    pub(super) fn sorted(opened: Opened<'a>, label: String) -> Result<Lines<'a>> {
        let mut lines = Lines::in_order(None, label);
        lines.is_sorted_here = true;
        lines.sort(opened)?;
        Ok(lines)
    }

    fn failed(&self) -> impl Fn(io::Error) -> Error + use<> {
        let label = self.label.clone();
        move |error| Error::io("read the index", &label)(error)
    }

    /// Sorts an index in parts, each into a file without a name, and reads those side by side.
    fn sort(&mut self, opened: Opened<'_>) -> Result<()> {
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
                runs.push(write_run(&mut run)?);
                bytes = 0;
            }
        }
        runs.push(write_run(&mut run)?);
        let mut heap = BinaryHeap::new();
        for (number, run) in runs.iter_mut().enumerate() {
            if run.next(&mut line).map_err(&failed)? == Found::Line {
                heap.push(Reverse((line.clone(), number)));
            }
        }
        self.source = Source::Sorted(heap, runs);
        Ok(())
    }

    /// Reads the next line that is one.
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

    /// Returns what was wrong with the index.
    pub(super) fn faults(self) -> Vec<String> {
        let mut told = self.told.finish(&self.label, "faulty lines");
        if self.is_sorted_here {
            told.push(format!("{}: its lines are not sorted by path", self.label));
        }
        told
    }
}

/// Sorts lines and lays them aside, in a file that nobody else sees.
fn write_run(run: &mut Vec<Line>) -> Result<Raw<'static>> {
    run.sort_unstable();
    let place = std::env::temp_dir();
    let file = lay_aside(run).map_err(Error::io("write a temporary file in", place))?;
    Ok(Raw::new(Some(Box::new(file)), false))
}

fn lay_aside(run: &mut Vec<Line>) -> io::Result<File> {
    let mut file = BufWriter::new(tempfile::tempfile()?);
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

/// What was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Found {
    Line,
    /// A line that is left out, and why.
    Fault(&'static str),
    End,
}

/// The lines as they stand in a file.
struct Raw<'a> {
    reader: Option<BufReader<Box<dyn Read + Send + 'a>>>,
    /// The number of the last line that was read.
    number: usize,
    /// Lines that were read to look for a header and were none.
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
            // No line of a Contents is empty: this one is told of and left out.
            line.clear();
        }
        Ok(true)
    }
}
