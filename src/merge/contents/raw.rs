//! The lines of a Contents index in the order of the file, read without a copy: a line is a part of the reader's buffer.
//!
//! The buffer holds the present line and the one after it, so that a reader sees whether the next line goes on with the same path.

use std::cmp::Ordering;
use std::io::{self, Read};

use crate::quoted::steers;

/// The longest line that is read; Debian's longest have some hundreds of bytes.
const MAX_LINE_BYTES: usize = 64 << 10;

/// The size of the buffer; it has room for two of the longest lines.
const BUFFER_BYTES: usize = 256 << 10;

/// The number of lines within which the columns must be named if a file begins with free text.
const MAX_HEADER_LINES: usize = 200;

/// The column at which owners begin if the path leaves room, as archives have it.
const OWNER_COLUMN: usize = 56;

pub(super) type Opened<'a> = Option<Box<dyn Read + Send + 'a>>;

/// A line: a path, and the packages that have it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Line<'a> {
    /// The line with its end, as the file has it.
    text: &'a [u8],
    parts: Parts,
}

/// The places of a line's parts.
#[derive(Debug, Clone, Copy)]
struct Parts {
    path_end: usize,
    owners_start: usize,
    owners_end: usize,
}

impl<'a> Line<'a> {
    /// Returns the path.
    pub(super) fn path(&self) -> &'a [u8] {
        &self.text[..self.parts.path_end]
    }

    /// Returns the owners, with commas between them.
    pub(super) fn owners(&self) -> &'a [u8] {
        &self.text[self.parts.owners_start..self.parts.owners_end]
    }

    /// Returns the whole line, if it is just what [`write`] makes of its path and owners.
    pub(super) fn as_published(&self) -> Option<&'a [u8]> {
        let Parts {
            path_end,
            owners_start,
            owners_end,
        } = self.parts;
        let is_published = owners_start == path_end.max(OWNER_COLUMN - 1) + 1
            && self.text[path_end..owners_start].iter().all(|b| *b == b' ')
            && self.text[owners_end..] == *b"\n";
        is_published.then_some(self.text)
    }

    /// Takes a line apart at its last blank; an error says why that is impossible.
    fn parse(text: &'a [u8]) -> Result<Self, &'static str> {
        let (path, owners) = split(text)
            .filter(|(path, _)| !path.is_empty())
            .ok_or("neither a path nor its owner can be made out")?;
        let owners_end = text.trim_ascii_end().len();
        if !is_harmless(&text[..owners_end]) {
            return Err("a control character in it");
        }
        let parts = Parts {
            path_end: path.len(),
            owners_start: owners_end - owners.len(),
            owners_end,
        };
        Ok(Line { text, parts })
    }
}

/// A line in memory of its own; lines are ordered by path, then by owners.
#[derive(Debug, Clone)]
pub(super) struct OwnedLine {
    text: Vec<u8>,
    parts: Parts,
}

impl From<Line<'_>> for OwnedLine {
    fn from(line: Line<'_>) -> Self {
        Self {
            text: line.text.to_vec(),
            parts: line.parts,
        }
    }
}

impl OwnedLine {
    /// Returns the line.
    pub(super) fn line(&self) -> Line<'_> {
        Line {
            text: &self.text,
            parts: self.parts,
        }
    }

    /// Returns the number of bytes that the line takes up.
    pub(super) fn size(&self) -> usize {
        self.text.len() + size_of::<Self>()
    }
}

impl Ord for OwnedLine {
    fn cmp(&self, other: &Self) -> Ordering {
        let (one, two) = (self.line(), other.line());
        (one.path(), one.owners()).cmp(&(two.path(), two.owners()))
    }
}

impl PartialOrd for OwnedLine {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for OwnedLine {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for OwnedLine {}

/// Writes a line as it is published.
pub(super) fn write(path: &[u8], owners: impl FnOnce(&mut Vec<u8>), out: &mut Vec<u8>) {
    let start = out.len();
    out.extend_from_slice(path);
    out.resize(out.len().max(start + OWNER_COLUMN - 1), b' ');
    out.push(b' ');
    owners(out);
    out.push(b'\n');
}

/// Returns the path of a line, by which lines are sorted, and its owners: the parts before and after the last blank.
pub(crate) fn split(line: &[u8]) -> Option<(&[u8], &[u8])> {
    let line = line.trim_ascii_end();
    let blank = memchr::memrchr2(b' ', b'\t', line)?;
    Some((line[..blank].trim_ascii_end(), &line[blank + 1..]))
}

/// Returns whether a line is safe to print on a terminal. A path is bytes without a known encoding; bytes that are not UTF-8 are taken for
/// characters of one byte each, as a terminal of that kind would take them.
fn is_harmless(line: &[u8]) -> bool {
    // Without an early end, the compiler looks at many bytes at a time.
    let is_plain = |all, b: &u8| all & matches!(b, b' '..=b'~' | b'\t');
    if line.iter().fold(true, is_plain) {
        return true;
    }
    line.utf8_chunks().all(|chunk| {
        let is_c1 = |b: &u8| matches!(b, 0x80..=0x9f);
        !chunk.valid().contains(|c| c != '\t' && steers(c)) && !chunk.invalid().iter().any(is_c1)
    })
}

fn is_column_titles(line: &[u8]) -> bool {
    let mut words = line
        .split(u8::is_ascii_whitespace)
        .filter(|w| !w.is_empty());
    words.next() == Some(b"FILE") && words.next() == Some(b"LOCATION") && words.next().is_none()
}

/// A line's place in the buffer.
#[derive(Debug, Clone, Copy)]
struct Place {
    start: usize,
    length: usize,
    parts: Parts,
}

/// The result of reading one line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Found {
    /// A line.
    Line,
    /// A line that is left out, with the reason.
    Fault(&'static str),
    /// The end of the file.
    End,
}

/// The lines of a file in their order there.
pub(super) struct Raw<'a> {
    /// The file; `None` once it is read to its end.
    reader: Opened<'a>,
    buffer: Vec<u8>,
    /// The part of the buffer that is filled and belongs to no line yet.
    begin: usize,
    end: usize,
    present: Option<Place>,
    ahead: Option<Place>,
    /// The number of the line that was read last.
    number: usize,
    has_header: bool,
}

impl<'a> Raw<'a> {
    /// Returns the lines of a file. With `has_header`, the file may begin with free text.
    pub(super) fn new(reader: Opened<'a>, has_header: bool) -> Raw<'a> {
        Raw {
            reader,
            buffer: vec![0; BUFFER_BYTES],
            begin: 0,
            end: 0,
            present: None,
            ahead: None,
            number: 0,
            has_header,
        }
    }

    /// Returns the present line.
    pub(super) fn line(&self) -> Option<Line<'_>> {
        self.present.map(|place| self.at(place))
    }

    /// Returns the line after the present one.
    pub(super) fn ahead(&self) -> Option<Line<'_>> {
        self.ahead.map(|place| self.at(place))
    }

    fn at(&self, place: Place) -> Line<'_> {
        Line {
            text: &self.buffer[place.start..place.start + place.length],
            parts: place.parts,
        }
    }

    /// Returns the number of the line that was read last.
    pub(super) fn number(&self) -> usize {
        self.number
    }

    /// Makes the line ahead the present one.
    pub(super) fn step(&mut self) {
        self.present = self.ahead.take();
    }

    /// Reads the line ahead.
    pub(super) fn look_ahead(&mut self) -> io::Result<Found> {
        if std::mem::take(&mut self.has_header) {
            self.skip_header()?;
        }
        self.ahead = None;
        let Some(length) = self.read_line()? else {
            return Ok(Found::End);
        };
        self.number += 1;
        let start = self.begin;
        let text = &self.buffer[start..start + length];
        let found = Line::parse(text).map(|line| Place {
            start,
            length,
            parts: line.parts,
        });
        self.begin += length;
        match found {
            Ok(place) => {
                self.ahead = Some(place);
                Ok(Found::Line)
            }
            Err(why) => Ok(Found::Fault(why)),
        }
    }

    /// Finds the end of the line that begins at `begin`, and returns its length; `None` at the end of the file. Of a line that is too long,
    /// nothing is left: no line of a Contents is empty, so it counts as a faulty one.
    fn read_line(&mut self) -> io::Result<Option<usize>> {
        let mut searched = 0;
        loop {
            let unread = &self.buffer[self.begin..self.end];
            if let Some(at) = memchr::memchr(b'\n', &unread[searched..]) {
                let length = searched + at + 1;
                return Ok(Some(if length > MAX_LINE_BYTES {
                    self.begin += length;
                    0
                } else {
                    length
                }));
            }
            searched = unread.len();
            if searched >= MAX_LINE_BYTES {
                self.skip_line()?;
                return Ok(Some(0));
            }
            if !self.fill()? {
                return Ok(Some(searched).filter(|length| *length > 0));
            }
        }
    }

    /// Skips the rest of a line.
    fn skip_line(&mut self) -> io::Result<()> {
        loop {
            let unread = &self.buffer[self.begin..self.end];
            if let Some(at) = memchr::memchr(b'\n', unread) {
                self.begin += at + 1;
                return Ok(());
            }
            self.begin = self.end;
            if !self.fill()? {
                return Ok(());
            }
        }
    }

    /// Reads more into the buffer; `false` at the end of the file. Lines may move within the buffer.
    fn fill(&mut self) -> io::Result<bool> {
        let Some(reader) = &mut self.reader else {
            return Ok(false);
        };
        if self.end == self.buffer.len() {
            let kept = self
                .present
                .map_or(self.begin, |place| place.start.min(self.begin));
            self.buffer.copy_within(kept..self.end, 0);
            self.begin -= kept;
            self.end -= kept;
            if let Some(present) = &mut self.present {
                present.start -= kept;
            }
            if self.end == self.buffer.len() {
                self.buffer.resize(2 * self.buffer.len(), 0);
            }
        }
        loop {
            match reader.read(&mut self.buffer[self.end..]) {
                Ok(0) => {
                    self.reader = None;
                    return Ok(false);
                }
                Ok(count) => {
                    self.end += count;
                    return Ok(true);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// Skips free text, up to the line that names the columns; without such a line, there is no free text.
    fn skip_header(&mut self) -> io::Result<()> {
        let mut length = 0;
        for number in 1..=MAX_HEADER_LINES {
            let end = loop {
                let rest = &self.buffer[self.begin + length..self.end];
                if let Some(at) = memchr::memchr(b'\n', rest) {
                    break at + 1;
                }
                if rest.len() >= MAX_LINE_BYTES {
                    return Ok(());
                }
                if !self.fill()? {
                    break self.end - self.begin - length;
                }
            };
            let line = &self.buffer[self.begin + length..][..end];
            length += end;
            if is_column_titles(line) {
                self.begin += length;
                self.number = number;
                return Ok(());
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn lines(text: &[u8]) -> Vec<String> {
        let mut raw = Raw::new(Some(Box::new(io::Cursor::new(text.to_vec()))), true);
        let mut found = Vec::new();
        loop {
            match raw.look_ahead().unwrap() {
                Found::Line => {
                    raw.step();
                    let line = raw.line().unwrap();
                    let (path, owners) = (line.path(), line.owners());
                    let words = [path, owners].map(String::from_utf8_lossy);
                    found.push(format!("{} {}", words[0].len(), words[1]));
                }
                Found::Fault(_) => found.push(format!("fault {}", raw.number())),
                Found::End => return found,
            }
        }
    }

    #[test]
    fn lines_that_reach_over_the_buffer_are_whole() {
        let path = "p".repeat(50_000);
        let text = format!("{path} a/b\n").repeat(20);
        assert_eq!(lines(text.as_bytes()), vec!["50000 a/b"; 20]);
    }

    #[test]
    fn a_line_that_is_too_long_is_left_out_alone() {
        for length in [MAX_LINE_BYTES, 2 * BUFFER_BYTES] {
            let text = format!("one a/b\n{} a/b\ntwo a/b", "p".repeat(length));
            assert_eq!(lines(text.as_bytes()), ["3 a/b", "fault 2", "3 a/b"]);
        }
    }

    #[test]
    fn free_text_ends_at_the_titles() {
        let free = format!("{}\n", "word ".repeat(9000)).repeat(20);
        let text = format!("{free}FILE  LOCATION\nbin/a  x/a\n");
        assert_eq!(lines(text.as_bytes()), ["5 x/a"]);
        assert_eq!(lines(b"FILE LOCATION"), [""; 0]);
        assert_eq!(
            lines(b"bin/a x/a\n\nbin/b y/b"),
            ["5 x/a", "fault 2", "5 y/b"]
        );
    }

    #[test]
    fn a_line_is_published_as_it_is_if_it_has_the_form() {
        for path in ["bin/a", &"p".repeat(54), &"p".repeat(55), &"p".repeat(56)] {
            let mut published = Vec::new();
            write(path.as_bytes(), |out| out.extend(b"x/a"), &mut published);
            let line = Line::parse(&published).unwrap();
            assert_eq!(line.as_published(), Some(&published[..]));
            let text = String::from_utf8(published.clone()).unwrap();
            let others = [
                text.replace(" x/", "  x/"),
                text.replace(" x/", "\tx/"),
                text.replace('\n', " \n"),
                text.replace('\n', ""),
            ];
            for other in others {
                let line = Line::parse(other.as_bytes()).unwrap();
                assert_eq!((line.path(), line.owners()), (path.as_bytes(), &b"x/a"[..]));
                assert_eq!(line.as_published(), None, "{other:?}");
            }
        }
    }
}
