//! The members of a `.deb`, which is an archive of ar(1) in the form that deb(5) allows: short names, and nothing before the first member.

use std::io::{self, Read};

use super::error::Fault;

/// The first bytes of an archive.
const MAGIC: &[u8; 8] = b"!<arch>\n";

/// The length of a member's header.
const HEADER_BYTES: usize = 60;

/// A member of an archive, whose bytes are read from [`Members`] until the next one is asked for.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Member {
    pub(super) name: String,
    pub(super) size: u64,
}

/// The members of an archive, in order; a reader of the bytes of the present one.
pub(super) struct Members<R> {
    input: R,
    /// The bytes of the present member that were not read yet.
    left: u64,
    /// `true` if a byte of padding follows the present member.
    is_odd: bool,
}

impl<R: Read> Members<R> {
    /// Begins at the first byte of an archive.
    pub(super) fn begin(mut input: R) -> Result<Self, Fault> {
        let mut magic = [0; MAGIC.len()];
        match input.read_exact(&mut magic) {
            Ok(()) if &magic == MAGIC => {}
            Err(error) if error.kind() != io::ErrorKind::UnexpectedEof => return Err(error.into()),
            _ => return Err(Fault::new("it is no archive of ar(1), as every .deb is")),
        }
        Ok(Self {
            input,
            left: 0,
            is_odd: false,
        })
    }

    /// Goes on to the next member; `None` at the end of the archive.
    pub(super) fn next(&mut self) -> Result<Option<Member>, Fault> {
        let rest = self.left + u64::from(std::mem::take(&mut self.is_odd));
        let skipped = io::copy(&mut (&mut self.input).take(rest), &mut io::sink())?;
        // Some tools leave the padding of the last member out.
        if skipped < self.left {
            return Err(Fault::new("it ends inside of a member"));
        }
        self.left = 0;
        let mut header = [0; HEADER_BYTES];
        let mut filled = 0;
        while filled < header.len() {
            match self.input.read(&mut header[filled..])? {
                0 if filled == 0 => return Ok(None),
                0 => return Err(Fault::new("it ends inside of the header of a member")),
                count => filled += count,
            }
        }
        let member = parse(&header).ok_or_else(|| Fault::new("a member has no valid header"))?;
        self.left = member.size;
        self.is_odd = member.size % 2 == 1;
        Ok(Some(member))
    }
}

impl<R: Read> Read for Members<R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let room = usize::try_from(self.left).map_or(buf.len(), |left| left.min(buf.len()));
        if room == 0 {
            return Ok(0);
        }
        match self.input.read(&mut buf[..room])? {
            0 => Err(io::ErrorKind::UnexpectedEof.into()),
            count => {
                self.left -= count as u64;
                Ok(count)
            }
        }
    }
}

/// Reads the header of a member: name, four numbers of which only the size matters, and the mark at the end.
fn parse(header: &[u8; HEADER_BYTES]) -> Option<Member> {
    if &header[58..] != b"`\n" {
        return None;
    }
    let text = |range: std::ops::Range<usize>| {
        let text = std::str::from_utf8(&header[range]).ok()?;
        Some(text.trim_end_matches(' '))
    };
    let name = text(0..16)?;
    // System V's ar ends a name with a slash, and dpkg reads that as well.
    let name = name.strip_suffix('/').unwrap_or(name);
    let size = text(48..58)?;
    let is_plain = !name.is_empty() && size.bytes().all(|b| b.is_ascii_digit());
    is_plain.then(|| {
        Some(Member {
            name: name.to_owned(),
            size: size.parse().ok()?,
        })
    })?
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use proptest::prelude::*;

    use super::*;

    fn archive(members: &[(&str, &[u8])]) -> Vec<u8> {
        let mut bytes = MAGIC.to_vec();
        for (name, data) in members {
            bytes.extend(format!("{name:<16}{:<32}{:<10}`\n", 0, data.len()).bytes());
            bytes.extend_from_slice(data);
            bytes.extend(b"\n".iter().take(data.len() % 2));
        }
        bytes
    }

    #[test]
    fn members_are_found_whatever_was_read_of_the_one_before() {
        let bytes = archive(&[
            ("debian-binary", b"2.0\n"),
            ("odd/", b"abc"),
            ("last", b"x"),
        ]);
        let mut members = Members::begin(&bytes[..]).unwrap();
        assert_eq!(members.next().unwrap().unwrap().name, "debian-binary");
        assert_eq!(members.next().unwrap().unwrap().name, "odd");
        assert_eq!(members.read(&mut [0; 2]).unwrap(), 2);
        let last = members.next().unwrap().unwrap();
        assert_eq!((last.name.as_str(), last.size), ("last", 1));
        let mut text = String::new();
        members.read_to_string(&mut text).unwrap();
        assert_eq!(text, "x");
        assert_eq!(members.next().unwrap(), None);
    }

    #[test]
    fn a_size_beyond_the_end_is_an_error() {
        let mut bytes = archive(&[("a", b"abcd")]);
        bytes[8 + 48..8 + 58].copy_from_slice(b"9999999999");
        let mut members = Members::begin(&bytes[..]).unwrap();
        assert_eq!(members.next().unwrap().unwrap().size, 9_999_999_999);
        assert!(members.read_to_end(&mut Vec::new()).is_err());
        let mut members = Members::begin(&bytes[..]).unwrap();
        members.next().unwrap();
        assert!(members.next().is_err());
    }

    proptest! {
        #[test]
        fn any_bytes_end(data in any::<Vec<u8>>()) {
            let bytes = [MAGIC.as_slice(), &data].concat();
            let mut members = Members::begin(&bytes[..]).unwrap();
            let mut count = 0;
            while let Ok(Some(_)) = members.next() {
                count += 1;
            }
            prop_assert!(count <= data.len() / HEADER_BYTES);
        }
    }
}
