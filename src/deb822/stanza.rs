//! The scanner: finds stanzas and their fields in an index without copying a byte.

use memchr::memchr;

/// A fault of an index, and its place.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {why}")]
pub struct SyntaxError {
    /// The line, from 1.
    pub line: usize,
    /// The fault.
    pub why: String,
}

impl SyntaxError {
    /// Returns an error at a byte offset of a file.
    pub(crate) fn at(data: &[u8], offset: usize, why: impl Into<String>) -> Self {
        Self {
            line: LineNumbers::new(data).at(offset),
            why: why.into(),
        }
    }

    /// Returns the first place where a file is not UTF-8, as every index should be (Policy 5.1). Old stanzas are not, and readers cope.
    pub(crate) fn not_utf8(data: &[u8]) -> Option<Self> {
        let error = std::str::from_utf8(data).err()?;
        let why = "this is not UTF-8, it is passed on as it is";
        Some(Self::at(data, error.valid_up_to(), why))
    }
}

/// The line numbers of byte offsets in a file. Counting continues from the last offset, so that many look-ups read the file once.
pub(crate) struct LineNumbers<'a> {
    data: &'a [u8],
    offset: usize,
    line: usize,
    /// The number of bytes that were read to count lines.
    counted: usize,
}

impl<'a> LineNumbers<'a> {
    /// Begins at the first line of a file.
    pub(crate) fn new(data: &'a [u8]) -> Self {
        Self {
            data,
            offset: 0,
            line: 1,
            counted: 0,
        }
    }

    /// Returns the line of an offset, from 1.
    pub(crate) fn at(&mut self, offset: usize) -> usize {
        let offset = offset.min(self.data.len());
        let (from, to) = (self.offset.min(offset), self.offset.max(offset));
        let between = memchr::memchr_iter(b'\n', &self.data[from..to]).count();
        match offset < self.offset {
            true => self.line -= between,
            false => self.line += between,
        }
        self.offset = offset;
        self.counted += to - from;
        self.line
    }

    /// Returns the number of bytes that were read to count lines.
    #[cfg(test)]
    pub(crate) fn counted(&self) -> usize {
        self.counted
    }
}

/// One stanza: its lines without the empty one that ends it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stanza<'a> {
    /// The bytes as the file has them; the last line may lack its newline at the end of a file.
    pub raw: &'a [u8],
    /// The offset of the stanza in the file.
    pub offset: usize,
}

/// The stanzas of a file, in order.
///
/// A line of only blanks or carriage returns is refused: apt ends a stanza at some such lines and goes on at others, so it could see other
/// stanzas than a strict reader. Comments are refused too, because indices have none.
pub struct Stanzas<'a> {
    data: &'a [u8],
    position: usize,
}

impl<'a> Stanzas<'a> {
    /// Begins at the first byte of a file.
    pub fn new(data: &'a [u8]) -> Self {
        Self { data, position: 0 }
    }
}

impl<'a> Iterator for Stanzas<'a> {
    type Item = Stanza<'a>;

    fn next(&mut self) -> Option<Stanza<'a>> {
        while self.data.get(self.position) == Some(&b'\n') {
            self.position += 1;
        }
        let rest = self.data.get(self.position..)?;
        if rest.is_empty() {
            return None;
        }
        let length = memchr::memmem::find(rest, b"\n\n").map_or(rest.len(), |n| n + 1);
        let offset = self.position;
        self.position += length;
        Some(Stanza {
            raw: &rest[..length],
            offset,
        })
    }
}

impl<'a> Stanza<'a> {
    /// Returns the fields of the stanza, in order.
    pub fn fields(self) -> Fields<'a> {
        Fields {
            stanza: self,
            position: 0,
        }
    }

    /// Returns the bytes of the stanza without the newline at the end, if it has one.
    pub fn without_final_newline(self) -> &'a [u8] {
        self.raw.strip_suffix(b"\n").unwrap_or(self.raw)
    }
}

/// The fields of a stanza: name, and value as the stanza has it (leading blanks cut, continuation lines included).
pub struct Fields<'a> {
    stanza: Stanza<'a>,
    position: usize,
}

/// A field: its name, its value without surrounding blanks, and the value's place in the stanza.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Field<'a> {
    /// The name, in the case of the file.
    pub name: &'a [u8],
    /// The value; inner newlines and the blanks that begin continuation lines stay.
    pub value: &'a [u8],
    /// The offset of the value in the stanza.
    pub(crate) value_offset: usize,
}

impl Fields<'_> {
    fn error(&self, why: &str) -> (usize, String) {
        (self.stanza.offset + self.position, why.to_owned())
    }
}

/// Returns whether a field's name is `name`, in whatever case (Policy 5.1).
pub fn eq_name(field: &[u8], name: &str) -> bool {
    field.eq_ignore_ascii_case(name.as_bytes())
}

impl<'a> Iterator for Fields<'a> {
    /// A field, or the offset in the file and the reason why the line there is no field.
    type Item = Result<Field<'a>, (usize, String)>;

    fn next(&mut self) -> Option<Self::Item> {
        let raw = self.stanza.raw;
        let line = raw.get(self.position..)?;
        if line.is_empty() {
            return None;
        }
        let failed = |fields: &mut Self, why: &str| {
            let error = fields.error(why);
            fields.position = raw.len();
            Some(Err(error))
        };
        match line[0] {
            b' ' | b'\t' => return failed(self, "a continuation line without a field before it"),
            b'#' => return failed(self, "a comment, which an index may not have"),
            b'-' => return failed(self, "a field name may not begin with `-`"),
            _ => {}
        }
        let line_end = memchr(b'\n', line).unwrap_or(line.len());
        let Some(colon) = memchr(b':', &line[..line_end]) else {
            return failed(self, "neither a field nor a continuation line");
        };
        let name = &line[..colon];
        if name.is_empty() || !name.iter().all(|b| matches!(b, 0x21..=0x7e)) {
            return failed(self, "that is no field name");
        }
        // The value continues over every line that begins with a blank.
        let mut end = line_end;
        while matches!(line.get(end + 1), Some(b' ' | b'\t')) {
            let next = memchr(b'\n', &line[end + 1..]).map_or(line.len(), |n| end + 1 + n);
            if line[end + 1..next]
                .iter()
                .all(|b| matches!(b, b' ' | b'\t' | b'\r'))
            {
                self.position += end + 1;
                return failed(
                    self,
                    "a line of blanks alone, which readers take differently",
                );
            }
            end = next;
        }
        if line.get(end + 1) == Some(&b'\r') {
            self.position += end + 1;
            return failed(self, "a line that begins with a carriage return");
        }
        let value = &line[colon + 1..end];
        let leading = value
            .iter()
            .take_while(|b| matches!(b, b' ' | b'\t'))
            .count();
        let field = Field {
            name,
            value: value[leading..].trim_ascii_end(),
            value_offset: self.position + colon + 1 + leading,
        };
        self.position += (end + 1).min(line.len());
        Some(Ok(field))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use proptest::prelude::*;

    #[test]
    fn lines_are_counted_once() {
        let data = b"a\nb\n".repeat(500);
        let mut lines = LineNumbers::new(&data);
        for line in 1..=1_000 {
            assert_eq!(lines.at(2 * (line - 1)), line);
            assert_eq!(lines.at(2 * (line - 1) + 1), line);
        }
        assert!(lines.counted() < data.len());
        assert_eq!(lines.at(0), 1);
        assert_eq!(lines.at(usize::MAX), 1_001);
    }

    #[test]
    fn stanzas_are_found_without_a_final_empty_line() {
        let data = b"\n\nPackage: a\nVersion: 1\n\n\n\nPackage: b\nX-New:\n\tfolded\n y";
        let stanzas: Vec<_> = Stanzas::new(data).collect();
        assert_eq!(stanzas.len(), 2);
        assert_eq!(stanzas[0].raw, b"Package: a\nVersion: 1\n");
        let fields: Vec<_> = stanzas[1].fields().map(Result::unwrap).collect();
        assert_eq!(fields[1].name, b"X-New");
        assert_eq!(fields[1].value, b"\n\tfolded\n y");
    }

    #[test]
    fn what_readers_could_take_differently_is_refused() {
        for bad in [
            &b"Package: a\n \nVersion: 1\n"[..],
            b"Package: a\n\t \r\nVersion: 1\n",
            b"Package: a\n\r\nPackage: b\n",
            b" x\n",
            b"#c\nPackage: a\n",
            b"Package\n",
            b": x\n",
            b"Pack age: x\n",
            b"-Package: x\n",
        ] {
            let all = Stanzas::new(bad).flat_map(Stanza::fields);
            assert!(
                all.into_iter().any(|f| f.is_err()),
                "{:?}",
                String::from_utf8_lossy(bad)
            );
        }
    }

    #[test]
    fn an_error_names_its_line() {
        let data = b"Package: a\n\nPackage: b\nbroken\n";
        let error = Stanzas::new(data)
            .flat_map(Stanza::fields)
            .find_map(Result::err)
            .unwrap();
        assert_eq!(SyntaxError::at(data, error.0, "x").line, 4);
    }

    proptest! {
        #[test]
        fn any_bytes_are_taken_apart_without_loss(data in proptest::collection::vec(prop_oneof![
            Just(b'\n'), Just(b' '), Just(b':'), Just(b'a'), Just(b'\r'), any::<u8>()], 0..200)) {
            let mut rest = Vec::new();
            for stanza in Stanzas::new(&data) {
                prop_assert!(!stanza.raw.is_empty());
                prop_assert_eq!(&data[stanza.offset..stanza.offset + stanza.raw.len()], stanza.raw);
                rest.extend_from_slice(stanza.raw);
                for field in stanza.fields().flatten() {
                    let at = field.value_offset;
                    prop_assert_eq!(&stanza.raw[at..at + field.value.len()], field.value);
                }
            }
            // Nothing but newlines lies between stanzas.
            let squeezed = |b: &[u8]| b.iter().filter(|b| **b != b'\n').count();
            prop_assert_eq!(squeezed(&rest), squeezed(&data));
        }
    }
}
