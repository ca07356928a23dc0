//! The lines of a Contents index, one by one, sorted by path.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};
use std::fs::File;
use std::io::{self, BufRead, BufReader, BufWriter, Read, Seek, SeekFrom, Write};

use crate::error::{Error, Result};

use super::MAX_TOLD;

/// The longest line that is taken; the longest of Debian's have some hundreds of bytes.
const MAX_LINE_BYTES: u64 = 64 << 10;

/// Within how many lines the columns must be named where a file begins with free text.
const MAX_HEADER_LINES: usize = 200;

/// How much of an unsorted index is sorted in memory at a time.
const SORTED_RUN_BYTES: usize = 32 << 20;

/// A line: a path, and the packages that have it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Line {
    pub(super) path: Vec<u8>,
    pub(super) owners: Vec<u8>,
}

impl Line {
    /// Takes a line apart at the last blank in it; `None` where there is none, or nothing on one side of it.
    fn parse(line: &[u8]) -> Option<Line> {
        let line = line.trim_ascii_end();
        let split = line.iter().rposition(|b| matches!(b, b' ' | b'\t'))?;
        let (path, owners) = (line[..split].trim_ascii_end(), &line[split + 1..]);
        if path.is_empty() || line.contains(&0) {
            return None;
        }
        Some(Line {
            path: path.to_vec(),
            owners: owners.to_vec(),
        })
    }

    fn is_column_titles(line: &[u8]) -> bool {
        let mut words = line
            .split(u8::is_ascii_whitespace)
            .filter(|w| !w.is_empty());
        words.next() == Some(b"FILE") && words.next() == Some(b"LOCATION") && words.next().is_none()
    }
}

type Opened<'a> = Option<Box<dyn Read + Send + 'a>>;

/// The lines of an index in the order of their paths.
pub(super) struct Lines<'a> {
    source: Source<'a>,
    label: String,
    told: Vec<String>,
    untold: usize,
}

enum Source<'a> {
    InOrder(Raw<'a>),
    Sorted(BinaryHeap<Reverse<(Line, usize)>>, Vec<Raw<'static>>),
}

impl<'a> Lines<'a> {
    /// Opens an index; one whose lines are out of order is sorted first.
    pub(super) fn sorted(
        open: &dyn Fn() -> Result<Opened<'a>>,
        label: String,
    ) -> Result<Lines<'a>> {
        let mut lines = Lines {
            source: Source::InOrder(Raw::new(open()?, true)),
            label,
            told: Vec::new(),
            untold: 0,
        };
        if !lines.is_in_order(open()?)? {
            lines
                .told
                .push(format!("{}: its lines are not sorted by path", lines.label));
            lines.sort(open()?)?;
        }
        Ok(lines)
    }

    fn failed(&self) -> impl Fn(io::Error) -> Error + use<> {
        let label = self.label.clone();
        move |error| Error::io("read the index", &label)(error)
    }

    fn is_in_order(&self, opened: Opened<'_>) -> Result<bool> {
        let mut raw = Raw::new(opened, true);
        let mut last = Vec::new();
        while let Some((_, line)) = raw.next().map_err(self.failed())? {
            let Some(line) = line else { continue };
            if line.path < last {
                return Ok(false);
            }
            last = line.path;
        }
        Ok(true)
    }

    /// Sorts an index in parts, each into a file without a name, and reads those side by side.
    fn sort(&mut self, opened: Opened<'_>) -> Result<()> {
        let failed = self.failed();
        let mut raw = Raw::new(opened, true);
        let mut runs = Vec::new();
        let mut run: Vec<Line> = Vec::new();
        let mut bytes = 0;
        while let Some((number, line)) = raw.next().map_err(&failed)? {
            let Some(line) = line else {
                self.tell(number);
                continue;
            };
            bytes += line.path.len() + line.owners.len() + size_of::<Line>();
            run.push(line);
            if bytes >= SORTED_RUN_BYTES {
                runs.push(write_run(&mut run).map_err(&failed)?);
                bytes = 0;
            }
        }
        runs.push(write_run(&mut run).map_err(&failed)?);
        let mut heap = BinaryHeap::new();
        for (number, run) in runs.iter_mut().enumerate() {
            if let Some((_, Some(line))) = run.next().map_err(&failed)? {
                heap.push(Reverse((line, number)));
            }
        }
        self.source = Source::Sorted(heap, runs);
        Ok(())
    }

    /// The next line that is one.
    pub(super) fn next(&mut self) -> Result<Option<Line>> {
        let failed = self.failed();
        loop {
            match &mut self.source {
                Source::InOrder(raw) => match raw.next().map_err(&failed)? {
                    Some((_, Some(line))) => return Ok(Some(line)),
                    Some((number, None)) => self.tell(number),
                    None => return Ok(None),
                },
                Source::Sorted(heap, runs) => {
                    let Some(Reverse((line, number))) = heap.pop() else {
                        return Ok(None);
                    };
                    if let Some((_, Some(next))) = runs[number].next().map_err(&failed)? {
                        heap.push(Reverse((next, number)));
                    }
                    return Ok(Some(line));
                }
            }
        }
    }

    fn tell(&mut self, line: usize) {
        if self.told.len() < MAX_TOLD {
            let text = format!(
                "{}, line {line}: neither a path nor its owner can be made out; the line is left out",
                self.label
            );
            self.told.push(text);
        } else {
            self.untold += 1;
        }
    }

    /// What was wrong with the index.
    pub(super) fn faults(mut self) -> Vec<String> {
        if self.untold > 0 {
            let more = format!("{}: {} further faulty lines", self.label, self.untold);
            self.told.push(more);
        }
        self.told
    }
}

fn write_run(run: &mut Vec<Line>) -> io::Result<Raw<'static>> {
    run.sort_unstable();
    let mut file = BufWriter::new(tempfile::tempfile()?);
    for line in run.drain(..) {
        file.write_all(&line.path)?;
        file.write_all(b" ")?;
        file.write_all(&line.owners)?;
        file.write_all(b"\n")?;
    }
    let mut file: File = file.into_inner()?;
    file.seek(SeekFrom::Start(0))?;
    Ok(Raw::new(Some(Box::new(file)), false))
}

/// The lines as they stand in a file: their numbers, and what could be made out of them.
struct Raw<'a> {
    reader: Option<BufReader<Box<dyn Read + Send + 'a>>>,
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

    fn next(&mut self) -> io::Result<Option<(usize, Option<Line>)>> {
        if std::mem::take(&mut self.header) {
            self.skip_header()?;
        }
        let line = match self.ahead.pop_front() {
            Some(line) => line,
            None => match self.read_line()? {
                Some(line) => line,
                None => return Ok(None),
            },
        };
        self.number += 1;
        Ok(Some((self.number, Line::parse(&line))))
    }

    fn skip_header(&mut self) -> io::Result<()> {
        for _ in 0..MAX_HEADER_LINES {
            let Some(line) = self.read_line()? else { break };
            if Line::is_column_titles(&line) {
                self.number = self.ahead.len() + 1;
                self.ahead.clear();
                break;
            }
            self.ahead.push_back(line);
        }
        Ok(())
    }

    fn read_line(&mut self) -> io::Result<Option<Vec<u8>>> {
        let Some(reader) = &mut self.reader else {
            return Ok(None);
        };
        let mut line = Vec::with_capacity(128);
        if reader
            .by_ref()
            .take(MAX_LINE_BYTES)
            .read_until(b'\n', &mut line)?
            == 0
        {
            return Ok(None);
        }
        if line.last() != Some(&b'\n') && line.len() as u64 == MAX_LINE_BYTES {
            reader.skip_until(b'\n')?;
            // No line of a Contents is empty: this one is told of and left out.
            line.clear();
        }
        Ok(Some(line))
    }
}
