//! Unpacks a file of pieces, from the beginning of any piece on.
//!
//! A piece needs nothing of what stands before it: an xz block by its format, a part of a gzip member because it ends in a full flush. The
//! end of a file depends on all pieces, but only on their lengths and notes ([`Part`]). So a reader that knows these of the first pieces can
//! pass over their bytes, and still compare the end. Files that somebody else packed are not of this form, and are not read here.

use std::fs::File;
use std::io::{self, BufReader, Cursor, Read, Seek, SeekFrom};

use crate::decode::{Compression, decoder};
use crate::spec::Form;

use super::{Part, gz, xz};

/// The most plain bytes of a part of a gzip member: more than any piece has.
const MAX_PART_BYTES: u64 = 64 << 20;

/// The number of places in a row that may look like the end of a part without being one.
const MAX_LOOKALIKES: usize = 4;

/// The sink of what is unpacked from a file.
pub(crate) enum Unpacked<'a> {
    /// Some plain bytes.
    Text(&'a [u8]),
    /// The end of a piece.
    End(Part),
}

/// A file that looks like one of pieces.
#[derive(Debug)]
pub(crate) struct PieceFile {
    file: File,
    places: Places,
}

/// The places at which a file can be taken apart.
#[derive(Debug)]
enum Places {
    /// The blocks of an xz stream.
    Blocks(Vec<Part>),
    /// The offsets at which parts of a gzip member may end.
    Marks(Vec<u64>),
}

fn refused(why: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, why)
}

impl PieceFile {
    /// Looks for the pieces of a file; returns `None` for a file that is none of ours.
    pub(crate) fn open(form: Form, mut file: File) -> io::Result<Option<PieceFile>> {
        file.rewind()?;
        let places = match form {
            Form::Xz => xz::blocks(&mut file)?.map(Places::Blocks),
            Form::Gz => gz::marks(&mut file)?.map(Places::Marks),
        };
        Ok(places.map(|places| PieceFile { file, places }))
    }

    /// Returns the offset at which the first piece begins.
    pub(crate) fn first(&self) -> u64 {
        match self.places {
            Places::Blocks(_) => xz::begin().len() as u64,
            Places::Marks(_) => gz::HEADER.len() as u64,
        }
    }

    /// Returns the offsets at which pieces end, in ascending order; among them may be some at which none ends.
    pub(crate) fn ends(&self) -> Vec<u64> {
        match &self.places {
            Places::Marks(marks) => marks.clone(),
            Places::Blocks(blocks) => {
                let ends = blocks.iter().scan(self.first(), |end, block| {
                    *end = end.saturating_add(block.packed);
                    Some(*end)
                });
                ends.collect()
            }
        }
    }

    /// Returns a reader of the whole file as it is.
    pub(crate) fn packed(&mut self) -> io::Result<impl Read + '_> {
        self.file.rewind()?;
        Ok(BufReader::with_capacity(256 << 10, &self.file))
    }

    /// Unpacks the pieces that follow the `first` ones, at most `max` plain bytes, and compares the end of the file with that of all pieces.
    /// Fails if the pieces or the end are not what we write.
    pub(crate) fn unpack(
        &mut self,
        first: &[Part],
        max: u64,
        sink: &mut dyn FnMut(Unpacked<'_>),
    ) -> io::Result<()> {
        let from = first.iter().map(|part| part.packed);
        let from = from.fold(self.first(), u64::saturating_add);
        self.file.seek(SeekFrom::Start(from))?;
        match &self.places {
            Places::Blocks(blocks) => {
                let rest = blocks.strip_prefix(first);
                let rest = rest.ok_or_else(|| refused("its index lists other blocks"))?;
                unpack_blocks(&self.file, rest, max, sink)
            }
            Places::Marks(marks) => {
                let marks = marks.iter().copied().filter(|mark| *mark > from);
                unpack_parts(&self.file, from, marks, first, max, sink)
            }
        }
    }
}

/// Unpacks the last blocks of a stream, as a stream of their own: the decoder compares each block with the index of that.
fn unpack_blocks(
    file: &File,
    blocks: &[Part],
    max: u64,
    sink: &mut dyn FnMut(Unpacked<'_>),
) -> io::Result<()> {
    let sum = |length: fn(&Part) -> u64| blocks.iter().map(length).fold(0, u64::saturating_add);
    if sum(|block| block.plain) > max {
        return Err(refused("its index lists more bytes"));
    }
    let stream = Cursor::new(xz::begin())
        .chain(BufReader::with_capacity(256 << 10, file).take(sum(|block| block.packed)))
        .chain(Cursor::new(xz::end(blocks.iter().copied())?));
    let mut text = decoder(Compression::Xz, stream)?;
    let mut buffer = vec![0; 256 << 10];
    for block in blocks {
        let mut left = block.plain;
        while left > 0 {
            let room = usize::try_from(left).map_or(buffer.len(), |left| left.min(buffer.len()));
            let count = text.read(&mut buffer[..room])?;
            if count == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            sink(Unpacked::Text(&buffer[..count]));
            left -= count as u64;
        }
        sink(Unpacked::End(*block));
    }
    match text.read(&mut buffer)? {
        0 => Ok(()),
        _ => Err(refused("it has more bytes than its index lists")),
    }
}

/// Unpacks the last parts of a member, from an offset on, each by itself.
fn unpack_parts(
    file: &File,
    from: u64,
    marks: impl Iterator<Item = u64>,
    first: &[Part],
    max: u64,
    sink: &mut dyn FnMut(Unpacked<'_>),
) -> io::Result<()> {
    let mut file = BufReader::with_capacity(256 << 10, file);
    let mut parts = first.to_vec();
    let (mut packed, mut plain) = (Vec::new(), Vec::new());
    let (mut at, mut left, mut lookalikes) = (from, max, 0);
    for mark in marks {
        (&mut file).take(mark - at).read_to_end(&mut packed)?;
        at = mark;
        plain.clear();
        match gz::decode(&packed, left.min(MAX_PART_BYTES), &mut plain) {
            Some(part) => {
                sink(Unpacked::Text(&plain));
                sink(Unpacked::End(part));
                parts.push(part);
                packed.clear();
                left -= part.plain;
                lookalikes = 0;
            }
            None if lookalikes < MAX_LOOKALIKES => lookalikes += 1,
            None => return Err(refused("it is not made of parts")),
        }
    }
    file.read_to_end(&mut packed)?;
    match packed == gz::end(parts.into_iter()) {
        true => Ok(()),
        false => Err(refused("its end is not that of its parts")),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::io::Write;

    use super::*;
    use crate::compress::{Packed, assemble};

    fn open(form: Form, bytes: &[u8]) -> Option<PieceFile> {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(bytes).unwrap();
        PieceFile::open(form, file).unwrap()
    }

    /// Returns the plain bytes that follow some pieces, and the pieces that they are in.
    fn unpacked(
        file: &mut PieceFile,
        first: &[Part],
        max: u64,
    ) -> io::Result<(Vec<u8>, Vec<Part>)> {
        let (mut text, mut parts) = (Vec::new(), Vec::new());
        file.unpack(first, max, &mut |unpacked| match unpacked {
            Unpacked::Text(bytes) => text.extend_from_slice(bytes),
            Unpacked::End(part) => parts.push(part),
        })?;
        Ok((text, parts))
    }

    /// Bytes that do not shrink, with marks of a full flush in them.
    fn noise() -> Vec<u8> {
        let mut state = 1u32;
        let mut noise: Vec<u8> = (0..3_000)
            .map(|_| {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                (state >> 24) as u8
            })
            .collect();
        noise[1000..1004].copy_from_slice(&[0, 0, 0xff, 0xff]);
        noise[2000..2004].copy_from_slice(&[0, 0, 0xff, 0xff]);
        noise
    }

    fn file(form: Form, pieces: &[Vec<u8>]) -> (Vec<u8>, Vec<Part>) {
        let encode = |piece: &Vec<u8>| match form {
            Form::Xz => xz::encode(piece),
            Form::Gz => gz::encode(piece),
        };
        let packed: Vec<_> = pieces.iter().map(|piece| encode(piece).unwrap()).collect();
        let mut bytes = Vec::new();
        assemble(form, &packed, &mut bytes).unwrap();
        (bytes, packed.iter().map(Packed::part).collect())
    }

    #[test]
    fn pieces_are_found_and_unpacked_from_any_on() {
        for form in Form::ALL {
            let pieces = [
                b"first".to_vec(),
                noise(),
                vec![7; 900_000],
                noise(),
                b"last".to_vec(),
            ];
            let (bytes, parts) = file(form, &pieces);
            let mut file = open(form, &bytes).unwrap();
            if form == Form::Gz {
                assert!(
                    file.ends().len() >= pieces.len() + 4,
                    "the noise has no marks"
                );
            }
            let mut end = file.first();
            for part in &parts {
                end += part.packed;
                assert!(file.ends().contains(&end));
            }
            for at in 0..=pieces.len() {
                let text = pieces[at..].concat();
                let max = text.len() as u64;
                let found = unpacked(&mut file, &parts[..at], max).unwrap();
                assert!(found == (text, parts[at..].to_vec()), "{at}");
                if max > 0 {
                    unpacked(&mut file, &parts[..at], max - 1).unwrap_err();
                }
            }
            // The end of the file depends on the pieces before.
            for wrong in [
                Part {
                    note: parts[0].note ^ 1,
                    ..parts[0]
                },
                Part {
                    plain: 6,
                    ..parts[0]
                },
            ] {
                unpacked(&mut file, &[wrong, parts[1]], u64::MAX).unwrap_err();
            }
            unpacked(&mut file, &parts[1..2], u64::MAX).unwrap_err();
        }
    }

    #[test]
    fn a_stream_has_pieces_as_well() {
        let text: Vec<u8> = (0..3_500_000).map(|n| (n / 1000) as u8).collect();
        let mut writer = gz::MemberWriter::new(Vec::new()).unwrap();
        writer.write_all(&text).unwrap();
        let mut file = open(Form::Gz, &writer.finish().unwrap()).unwrap();
        let (all, parts) = unpacked(&mut file, &[], text.len() as u64).unwrap();
        assert!(all == text && parts.len() == 4, "{}", parts.len());
        let (rest, _) = unpacked(&mut file, &parts[..3], 1 << 20).unwrap();
        assert!(rest == text[3 << 20..]);
    }

    #[test]
    fn a_file_of_nothing_has_no_pieces() {
        for form in Form::ALL {
            let (bytes, _) = file(form, &[]);
            let mut file = open(form, &bytes).unwrap();
            assert!(file.ends().is_empty());
            assert_eq!(unpacked(&mut file, &[], 0).unwrap(), (vec![], vec![]));
            assert!(open(form, b"").is_none());
        }
    }

    #[test]
    fn a_wrong_bit_or_length_is_found() {
        for form in Form::ALL {
            let pieces = [b"first".repeat(9), b"second".repeat(30), b"third".repeat(7)];
            let text = pieces.concat();
            let (bytes, parts) = file(form, &pieces);
            let read =
                |bytes: &[u8]| unpacked(&mut open(form, bytes)?, &[], text.len() as u64).ok();
            assert!(read(&bytes).unwrap() == (text.clone(), parts));
            for bit in 0..8 * bytes.len() {
                let mut wrong = bytes.clone();
                wrong[bit / 8] ^= 1 << (bit % 8);
                // Some bits of packed data mean nothing.
                let is_found = read(&wrong).is_none_or(|(found, _)| found == text);
                assert!(is_found, "{bit}");
            }
            for length in 0..bytes.len() {
                assert_eq!(read(&bytes[..length]), None, "{length}");
            }
            assert_eq!(read(&[&bytes[..], &[0]].concat()), None);
            assert_eq!(read(&[&bytes[..], &bytes].concat()), None);
        }
    }
}
