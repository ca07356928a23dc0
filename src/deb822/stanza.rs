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

/// The stanzas of a file, in order, as apt finds them: an empty line ends a stanza, even if carriage returns stand in it.
///
/// A line of blanks within a stanza belongs to the field before it, and between stanzas it is passed over.
pub struct Stanzas<'a> {
    data: &'a [u8],
    position: usize,
    has_returns: bool,
}

impl<'a> Stanzas<'a> {
    /// Begins at the first byte of a file.
    pub fn new(data: &'a [u8]) -> Self {
        Self {
            data,
            position: 0,
            has_returns: memchr(b'\r', data).is_some(),
        }
    }
}

impl<'a> Iterator for Stanzas<'a> {
    type Item = Stanza<'a>;

    fn next(&mut self) -> Option<Stanza<'a>> {
        self.position += blank_lines(&self.data[self.position..]);
        let rest = &self.data[self.position..];
        if rest.is_empty() {
            return None;
        }
        let length = match self.has_returns {
            false => memchr::memmem::find(rest, b"\n\n").map(|n| n + 1),
            true => memchr::memchr_iter(b'\n', rest).map(|n| n + 1).find(|n| {
                let mut after = rest[*n..].iter().skip_while(|b| **b == b'\r');
                after.next() == Some(&b'\n')
            }),
        };
        let offset = self.position;
        let raw = &rest[..length.unwrap_or(rest.len())];
        self.position += raw.len();
        Some(Stanza { raw, offset })
    }
}

/// Returns the length of the lines at the front that have nothing but blanks in them.
fn blank_lines(data: &[u8]) -> usize {
    let mut length = 0;
    loop {
        length += data[length..]
            .iter()
            .take_while(|b| matches!(b, b'\n' | b'\r'))
            .count();
        let line = &data[length..];
        if !matches!(line.first(), Some(b' ' | b'\t')) {
            return length;
        }
        let end = memchr(b'\n', line).map_or(line.len(), |n| n + 1);
        if !line[..end].iter().all(u8::is_ascii_whitespace) {
            return length;
        }
        length += end;
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

    /// Returns the value of a field as apt finds it, even in a stanza with lines that are no fields: of several, the last one.
    ///
    /// To apt, a name reaches to the next colon, over the ends of lines.
    pub(crate) fn as_apt_reads(self, name: &str) -> Option<&'a [u8]> {
        let mut rest = self.raw;
        let mut found = None;
        loop {
            let returns = rest.iter().take_while(|b| **b == b'\r').count();
            rest = &rest[returns..];
            let is_field = rest.first().is_some_and(|b| !is_space(b));
            if is_field {
                let Some(colon) = memchr(b':', rest) else {
                    return found;
                };
                let tag = &rest[..colon];
                rest = &rest[colon + 1..];
                if eq_name(tag.trim_ascii_end(), name) {
                    let mut end = 0;
                    loop {
                        end += memchr(b'\n', &rest[end..]).unwrap_or(rest.len() - end);
                        match rest.get(end + 1) {
                            Some(next) if is_space(next) => end += 1,
                            _ => break,
                        }
                    }
                    found = Some(rest[..end].trim_ascii());
                }
            }
            match memchr(b'\n', rest) {
                Some(end) => rest = &rest[end + 1..],
                None => return found,
            }
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
    /// Returns the offset in the stanza at which the next field begins.
    pub(crate) fn position(&self) -> usize {
        self.position
    }

    fn error(&self, why: &str) -> (usize, String) {
        (self.stanza.offset + self.position, why.to_owned())
    }
}

/// Returns whether C's `isspace` is true for a byte.
fn is_space(byte: &u8) -> bool {
    byte.is_ascii_whitespace() || *byte == b'\x0b'
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
        let mut name = &line[..colon];
        if name.is_empty() || !name.iter().all(u8::is_ascii_graphic) {
            // apt and dpkg take `Package : x` for the field `Package`.
            name = name.trim_ascii_end();
            if name.starts_with(b"\xef\xbb\xbf") {
                return failed(self, "a byte-order mark");
            }
            if name.is_empty() || !name.iter().all(u8::is_ascii_graphic) {
                return failed(self, "that is no field name");
            }
        }
        // The value continues over every line that begins with a blank.
        let mut end = line_end;
        while matches!(line.get(end + 1), Some(b' ' | b'\t')) {
            end = memchr(b'\n', &line[end + 1..]).map_or(line.len(), |n| end + 1 + n);
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
            &b" x\n"[..],
            b"Package: a\n\rVersion: b\n",
            b"\xef\xbb\xbfPackage: a\n",
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
    fn lines_of_blanks_and_carriage_returns_end_stanzas_where_apt_ends_them() {
        let data = b" \n\r\nPackage: a\r\nX: y\r\n \r\n z\r\n\r\n\r\n\t\nPackage : b\n \n\n \n";
        let stanzas: Vec<_> = Stanzas::new(data).collect();
        let raw: Vec<_> = stanzas.iter().map(|stanza| stanza.raw).collect();
        let expected: [&[u8]; 2] = [b"Package: a\r\nX: y\r\n \r\n z\r\n", b"Package : b\n \n"];
        assert_eq!(raw, expected);
        let names = stanzas.iter().flat_map(|stanza| stanza.fields());
        let names: Vec<_> = names.map(|field| field.unwrap().value).collect();
        assert_eq!(names, [&b"a"[..], b"y\r\n \r\n z", b"b"]);
    }

    #[test]
    fn fields_are_found_behind_lines_that_are_none() {
        for (raw, found) in [
            (&b"Package: a\njunk\nPackage: b\n"[..], Some(&b"a"[..])),
            (b"junk\nPackage: a\n", None),
            (b" x\n\rPackage : a\n\x0bb\njunk\n", Some(b"a\n\x0bb")),
            (b"-x: y\npackage: a\nPACKAGE: b", Some(b"b")),
            (b"\xef\xbb\xbfPackage: a\n", None),
            (b"Package:", Some(b"")),
        ] {
            let stanza = Stanza { raw, offset: 0 };
            assert_eq!(stanza.as_apt_reads("Package"), found);
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
                let _ = stanza.as_apt_reads("a");
                for field in stanza.fields().flatten() {
                    let at = field.value_offset;
                    prop_assert_eq!(&stanza.raw[at..at + field.value.len()], field.value);
                }
            }
            // Nothing but blanks lies between stanzas.
            let squeezed = |b: &[u8]| b.iter().filter(|b| !b.is_ascii_whitespace()).count();
            prop_assert_eq!(squeezed(&rest), squeezed(&data));
        }
    }
}
