//! One document of a Components file, in a form that every reader takes alike.
//!
//! All documents of the archives end up in one file. So if a reader stops at one document, it loses everybody's components; and if readers
//! take one document differently, it can name one package here and another there. The readers are libyaml (AppStream uses it, and Python
//! can), Python's own reader, and readers of YAML 1.2. A document is passed on only if both views of it agree, and if it has nothing in it
//! that these readers take differently:
//!
//! - By its lines, each key of the document stands at the left margin as `Key:`, and no other line begins there. By its events, as the
//!   parser of a library gives them, the document is one mapping that has exactly these keys, in these lines, each once. So no other key of
//!   the document can hide in a quoted text, in an indentation or in a flow mapping.
//! - There are no anchors, aliases and tags, keys are scalars, and the depth and the length are bounded. A list within a list is refused:
//!   AppStream's reader takes what follows the inner list for keys of the document.
//! - AppStream gives the whole file up at a component without `ID`, and Python at an unquoted scalar that looks like a date or a number and
//!   is none.

use std::collections::HashSet;

use saphyr_parser::{Event, Parser, ScalarStyle, Span};

use super::lines;

/// The most bytes that one document may have; Debian's longest has 86 kB.
const MAX_BYTES: usize = 2 << 20;

/// The most levels that a document may have; real ones have six.
const MAX_DEPTH: usize = 24;

/// The most digits that an unquoted number may have; Python refuses more than 4,300.
const MAX_NUMBER: usize = 1_000;

/// A document, with the parts of it that the merge needs.
#[derive(Debug)]
pub(super) struct Document<'a> {
    pub(super) text: &'a str,
    keys: Vec<Key<'a>>,
    /// The offsets of the media addresses in the text, in order.
    pub(super) media: Vec<usize>,
}

/// A key of the document itself.
#[derive(Debug)]
struct Key<'a> {
    name: &'a str,
    /// The offset of its line in the text.
    offset: usize,
    /// Its value, if that is a scalar.
    value: Option<String>,
}

impl<'a> Document<'a> {
    /// Takes a document apart; an error says why it is refused.
    pub(super) fn read(raw: &'a [u8]) -> Result<Document<'a>, &'static str> {
        if raw.len() > MAX_BYTES {
            return Err("it is longer than any component needs");
        }
        let text = std::str::from_utf8(raw).map_err(|_| "this is not UTF-8")?;
        let keys = lines::keys(text)?.into_iter().map(|(name, offset)| Key {
            name,
            offset,
            value: None,
        });
        let mut reader = Reader {
            document: Document {
                text,
                keys: keys.collect(),
                media: Vec::new(),
            },
            line_starts: std::iter::once(0)
                .chain(memchr::memchr_iter(b'\n', raw).map(|n| n + 1))
                .collect(),
            levels: Vec::new(),
            seen: 0,
            last: (0, 0, 0),
        };
        let mut is_over = false;
        for event in Parser::new_from_str(text) {
            let (event, span) = event.map_err(|_| "this is no YAML")?;
            match event {
                Event::DocumentEnd => is_over = true,
                Event::Nothing | Event::StreamStart | Event::StreamEnd => {}
                Event::DocumentStart(_) if !is_over => {}
                _ if is_over => return Err("it has a second document in it"),
                event => reader.take(event, span)?,
            }
        }
        if reader.seen != reader.document.keys.len() {
            return Err("its keys are not what its lines say");
        }
        Ok(reader.document)
    }

    /// Returns the document without its keys, to save memory: an index can have millions of them.
    pub(super) fn without_keys(self) -> Document<'a> {
        let mut media = self.media;
        media.shrink_to_fit();
        Document {
            text: self.text,
            keys: Vec::new(),
            media,
        }
    }

    /// Returns the value of a key of the document, if it is a scalar and not empty.
    pub(super) fn value(&self, name: &str) -> Option<&str> {
        let key = self.keys.iter().find(|key| key.name == name)?;
        key.value.as_deref().filter(|value| !value.is_empty())
    }

    /// Returns whether the document has a key, whatever its value is.
    pub(super) fn has(&self, name: &str) -> bool {
        self.keys.iter().any(|key| key.name == name)
    }

    /// Returns the text before and after the lines of a key.
    pub(super) fn without(&self, name: &str) -> [&'a str; 2] {
        let Some(at) = self.keys.iter().position(|key| key.name == name) else {
            return [self.text, ""];
        };
        let next = self.keys.get(at + 1);
        let end = next.map_or(self.text.len(), |next| next.offset);
        [&self.text[..self.keys[at].offset], &self.text[end..]]
    }
}

/// A mapping or a list that has begun.
struct Level {
    /// The keys of a mapping; a list has none.
    keys: Option<HashSet<String>>,
    /// The last key of a mapping, as long as its value has not come.
    key: Option<String>,
}

/// A reader that takes the events of a document one by one.
struct Reader<'a> {
    document: Document<'a>,
    line_starts: Vec<usize>,
    levels: Vec<Level>,
    /// The number of keys of the document that have come.
    seen: usize,
    /// The line, the column and the offset of the last address: one line can have a hundred thousand addresses, and must be walked only
    /// once.
    last: (usize, usize, usize),
}

impl Reader<'_> {
    fn take(&mut self, event: Event<'_>, span: Span) -> Result<(), &'static str> {
        match event {
            Event::Alias(_) => Err("it has an alias"),
            Event::SequenceStart(anchor, tag) => self.begin(anchor != 0 || tag.is_some(), false),
            Event::MappingStart(anchor, tag) => self.begin(anchor != 0 || tag.is_some(), true),
            Event::SequenceEnd | Event::MappingEnd => {
                self.levels.pop();
                self.value_is_over();
                Ok(())
            }
            Event::Scalar(_, _, anchor, tag) if anchor != 0 || tag.is_some() => {
                Err("it has an anchor or a tag")
            }
            Event::Scalar(value, style, ..) => {
                if style == ScalarStyle::Plain && stops_python(&value) {
                    return Err(
                        "an unquoted scalar that Python takes for something that it is not",
                    );
                }
                // The parser gives an empty value as `~`.
                let is_empty = style == ScalarStyle::Plain && span.is_empty();
                let value = if is_empty { "".into() } else { value };
                self.scalar(value.into_owned(), style, span)
            }
            _ => Ok(()),
        }
    }

    fn begin(&mut self, is_marked: bool, is_mapping: bool) -> Result<(), &'static str> {
        if is_marked {
            return Err("it has an anchor or a tag");
        }
        if self.levels.len() >= MAX_DEPTH {
            return Err("it is nested too deeply");
        }
        match self.levels.last() {
            None if !is_mapping => return Err("it is no mapping"),
            Some(Level { keys: None, .. }) if !is_mapping => return Err("it has a list in a list"),
            Some(Level {
                keys: Some(_),
                key: None,
            }) => return Err("it has a key that is no scalar"),
            _ => {}
        }
        self.levels.push(Level {
            keys: is_mapping.then(HashSet::new),
            key: None,
        });
        Ok(())
    }

    fn value_is_over(&mut self) {
        if let Some(level) = self.levels.last_mut() {
            level.key = None;
        }
    }

    fn scalar(
        &mut self,
        value: String,
        style: ScalarStyle,
        span: Span,
    ) -> Result<(), &'static str> {
        let is_top = self.levels.len() == 1;
        let Some(level) = self.levels.last_mut() else {
            return Err("it is no mapping");
        };
        if let (Some(keys), None) = (&mut level.keys, &level.key) {
            if value.is_empty() || span.start.line() != span.end.line() {
                return Err("it has a key that is empty or longer than its line");
            }
            if !keys.insert(value.clone()) {
                return Err("it has a key twice");
            }
            if is_top {
                let expected = self.document.keys.get(self.seen);
                let line = self.line_starts.get(span.start.line().wrapping_sub(1));
                if expected.is_none_or(|e| e.name != value || Some(&e.offset) != line) {
                    return Err("its keys are not what its lines say");
                }
                self.seen += 1;
            }
            level.key = Some(value);
            return Ok(());
        }
        let is_address = level.key.as_deref() == Some("url") && !value.is_empty();
        if is_top {
            let key = self.seen.checked_sub(1);
            if let Some(key) = key.and_then(|n| self.document.keys.get_mut(n)) {
                key.value = Some(value);
            }
        } else if is_address && self.is_of_media() {
            let offset = self
                .address(style, span)
                .ok_or("an address of media that is not in one line")?;
            self.document.media.push(offset);
        }
        self.value_is_over();
        Ok(())
    }

    /// Returns whether the present value belongs to a key whose addresses AppStream looks up below `MediaBaseUrl`.
    fn is_of_media(&self) -> bool {
        let top = self.levels.first().and_then(|level| level.key.as_deref());
        matches!(top, Some("Icon" | "Screenshots"))
    }

    /// Returns the offset of a scalar's text, after its quote.
    fn address(&mut self, style: ScalarStyle, span: Span) -> Option<usize> {
        let (line, column) = (span.start.line(), span.start.col());
        if line != span.end.line() {
            return None;
        }
        let start = *self.line_starts.get(line.checked_sub(1)?)?;
        let (from_column, from) = match self.last {
            (of, at, offset) if of == line && at <= column => (at, offset),
            _ => (0, start),
        };
        let rest = self.document.text.get(from..)?;
        let (before, _) = rest.char_indices().nth(column - from_column)?;
        let at = from + before;
        self.last = (line, column, at);
        let quote = match style {
            ScalarStyle::Plain => return Some(at),
            ScalarStyle::SingleQuoted => '\'',
            ScalarStyle::DoubleQuoted => '"',
            _ => return None,
        };
        self.document.text[at..]
            .starts_with(quote)
            .then_some(at + 1)
    }
}

/// Returns whether Python's reader gives an unquoted scalar a type and then fails to make a value of that type.
fn stops_python(value: &str) -> bool {
    if matches!(value, "=" | "<<") {
        return true;
    }
    let unsigned = value.trim_start_matches(['-', '+']);
    if !unsigned.starts_with(|c: char| c.is_ascii_digit() || c == '.') {
        return false;
    }
    let is_number =
        |c: char| c.is_ascii_hexdigit() || matches!(c, '_' | '.' | ':' | '-' | '+' | 'x');
    let is_prefix_alone = ["0x", "0b"].iter().any(|prefix| {
        let digits = unsigned.strip_prefix(prefix);
        digits.is_some_and(|digits| digits.chars().all(|c| c == '_'))
    });
    (value.len() > MAX_NUMBER && value.chars().all(is_number))
        || is_prefix_alone
        || is_false_date(value)
}

/// Returns whether a scalar has the form of a date, or of a date and a time, and is none.
fn is_false_date(value: &str) -> bool {
    let is_of_dates =
        |c: char| c.is_ascii_digit() || matches!(c, '-' | '+' | ':' | '.' | 'T' | 't' | 'Z' | ' ');
    let mut parts = value.splitn(3, '-');
    let (Some(year), Some(month), Some(rest)) = (parts.next(), parts.next(), parts.next()) else {
        return false;
    };
    let is_digits = |text: &str, most: usize| {
        (1..=most).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit())
    };
    let day: String = rest.chars().take_while(char::is_ascii_digit).collect();
    let has_form = year.len() == 4 && is_digits(year, 4) && is_digits(month, 2);
    if !has_form || !is_digits(&day, 2) || !value.chars().all(is_of_dates) {
        return false;
    }
    let time = &rest[day.len()..];
    let date = format!("{year}-{month:0>2}-{day:0>2}");
    let is_date = year != "0000" && date.parse::<jiff::civil::Date>().is_ok();
    let is_time = || {
        let time = time.trim_start_matches(['T', 't', ' ']);
        let whole: String = time
            .chars()
            .take_while(|c| c.is_ascii_digit() || *c == ':')
            .collect();
        let numbers: Vec<u32> = whole.split(':').filter_map(|n| n.parse().ok()).collect();
        let zone = time[whole.len()..].split(['-', '+']).nth(1);
        let zone = zone.and_then(|zone| zone.split(':').next()?.parse::<u32>().ok());
        matches!(numbers[..], [0..=23, 0..=59, 0..=59]) && zone.is_none_or(|hours| hours < 24)
    };
    !is_date || !(time.is_empty() || is_time())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_document_that_readers_may_understand_otherwise_is_left_out() {
        let good = "---\nType: desktop-application\nPackage: a\nName:\n  C: x\nCategories:\n- A\n- B\nDate: 2024-02-29\n";
        assert!(Document::read(good.as_bytes()).is_ok());
        assert!(Document::read(b"File: DEP-11\nVersion: '1'\n").is_ok());
        let deep = format!("---\nPackage: a\nX: {}\n", "[{a: ".repeat(20));
        for (odd, why) in [
            ("---\nPackage: a\nPackage: b\n", "twice"),
            ("Package: a\nPackage: b\n", "twice"),
            ("---\nPackage: a\nX:\n  a: 1\n  a: 2\n", "twice"),
            ("---\nPackage: a\r---\rPackage: b\n", "line end"),
            ("---\nPackage: a\u{2028}---\u{2028}Package: b\n", "line end"),
            ("---\nPackage: a\u{85}Package: b\n", "line end"),
            ("--- {Package: b}\n", "beside"),
            ("---\nPackage: a\n\"Package\": b\n", "margin"),
            ("---\nPackage: a\n? Package\n: b\n", "margin"),
            ("---\nPackage: a\n<<: {Package: b}\n", "margin"),
            ("---\nPackage: a\n...\nPackage: b\n", "margin"),
            ("%YAML 1.1\n---\nPackage: b\n", "margin"),
            ("---\nPackage: a\nName:\n \tC: x\n", "tab"),
            ("---\n  Package: b\nX: y\n", "lines say"),
            ("---\n  Package: b\n", "lines say"),
            ("---\n {Package: b}\n", "lines say"),
            ("---\nX: \"\nPackage: a\n  \"\n", "YAML"),
            ("---\nPackage: b\nX: [\n", "YAML"),
            ("---\nPackage: b\nX: &x y\n", "anchor"),
            ("---\nPackage: b\nX: !y z\n", "tag"),
            ("---\nID: a\nPackage: *x\n", "YAML"),
            ("---\nPackage: b\nX: [[a], Package, c]\n", "list in a list"),
            ("---\nPackage: b\nX: {[a]: b}\n", "no scalar"),
            (
                "---\nPackage: b\nX: {Pack\n  age: c}\n",
                "longer than its line",
            ),
            ("---\nPackage: b\nX:\n  : c\n", "empty"),
            ("---\nPackage: b\nX: 2024-02-30\n", "Python"),
            ("---\nPackage: b\nX: 2024-2-3 24:00:00\n", "Python"),
            ("---\nPackage: b\nX: =\n", "Python"),
            ("---\nPackage: b\nX: 0x_\n", "Python"),
            (&deep, "deeply"),
            ("---\n- Package: b\n", "no mapping"),
        ] {
            let found = Document::read(odd.as_bytes()).err().unwrap_or_default();
            assert!(found.contains(why), "{odd:.200?}: {found}");
        }
    }

    #[test]
    fn the_addresses_of_media_are_found_behind_their_quotes() {
        let text = "---\nID: x\nUrl:\n  url: no\nIcon:\n  remote:\n  - url: a/é\n  - {é: é, url: 'b'}\nScreenshots:\n- source-image:\n    url: \"c\"\n";
        let document = Document::read(text.as_bytes()).unwrap_or_else(|why| panic!("{why}"));
        let begin = |at: &usize| text[*at..].chars().next();
        let found: String = document.media.iter().filter_map(begin).collect();
        assert_eq!(found, "abc");
    }
}
