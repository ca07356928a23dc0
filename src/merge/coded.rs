//! Bytes that one merge keeps for the next: strings of bytes and numbers, each string after its length.

/// Adds a number.
pub(super) fn put_number(out: &mut Vec<u8>, number: u32) {
    out.extend_from_slice(&number.to_le_bytes());
}

/// Adds a string of bytes.
pub(super) fn put(out: &mut Vec<u8>, bytes: &[u8]) {
    // No part of an index is as long as 4 GiB: the merge has it in memory as one of many.
    put_number(out, bytes.len() as u32);
    out.extend_from_slice(bytes);
}

/// A reader of such bytes. Each method returns `None` where the bytes end too early.
pub(super) struct Reader<'a>(pub(super) &'a [u8]);

impl<'a> Reader<'a> {
    /// Returns the next number.
    pub(super) fn number(&mut self) -> Option<u32> {
        let (number, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(u32::from_le_bytes(*number))
    }

    /// Returns the next string of bytes.
    pub(super) fn bytes(&mut self) -> Option<&'a [u8]> {
        let length = self.number()? as usize;
        let (bytes, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(bytes)
    }

    /// Returns the next string of bytes as text.
    pub(super) fn text(&mut self) -> Option<&'a str> {
        std::str::from_utf8(self.bytes()?).ok()
    }

    /// Returns whether everything was read.
    pub(super) fn is_done(&self) -> bool {
        self.0.is_empty()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn bytes_come_back_and_torn_ones_do_not(strings in proptest::collection::vec(".{0,9}", 0..9), cut in 0usize..200) {
            let mut out = Vec::new();
            put_number(&mut out, strings.len() as u32);
            strings.iter().for_each(|string| put(&mut out, string.as_bytes()));
            let read = |bytes: &[u8]| -> Option<Vec<String>> {
                let mut reader = Reader(bytes);
                let number = reader.number()?;
                let strings = (0..number).map(|_| reader.text().map(str::to_owned));
                let strings = strings.collect::<Option<Vec<_>>>()?;
                reader.is_done().then_some(strings)
            };
            prop_assert_eq!(read(&out), Some(strings));
            let torn = &out[..cut.min(out.len() - 1)];
            prop_assert_eq!(read(torn), None);
        }
    }
}
