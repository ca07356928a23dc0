//! One gzip member (RFC 1952), put together from parts that were compressed on their own.
//!
//! A part ends in a full flush, so it begins and ends at a whole byte and refers to nothing before it. An empty final block
//! closes the member; its CRC32 is combined from those of the parts.

use std::collections::VecDeque;
use std::io::{self, Read, Write};
use std::sync::mpsc::{self, Receiver};

use crc32fast::Hasher;
use flate2::{Compress, Compression, Decompress, FlushCompress, FlushDecompress, Status};

use super::{Packed, Part};

/// The header of a member: magic, deflate, no flags, no time, no extra flags, Unix. Nothing in it differs from one run to the next.
pub(super) const HEADER: [u8; 10] = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3];

/// A final deflate block of no bytes, with the fixed codes.
const EMPTY_FINAL_BLOCK: [u8; 2] = [0x03, 0x00];

/// The length of the end of a member.
pub(super) const END_BYTES: usize = 10;

/// The last bytes of a full flush: the length of an empty stored block, and its complement. Compressed bytes may look the same by chance.
const MARK: [u8; 4] = [0x00, 0x00, 0xff, 0xff];

/// The encoder's level. Level 6 takes 1.2 to 1.7 times as long for 0.1 to 0.6 % fewer bytes; both make fewer than `gzip -6`.
const LEVEL: Compression = Compression::new(5);

/// Compresses a piece to raw deflate that ends in a full flush.
pub fn encode(piece: &[u8]) -> io::Result<Packed> {
    let mut deflate = Compress::new(LEVEL, false);
    let mut checksum = Hasher::new();
    let mut bytes = Vec::with_capacity(piece.len() / 3 + 1024);
    checksum.update(piece);
    let mut rest = piece;
    while !rest.is_empty() {
        bytes.reserve(64 << 10);
        let before = deflate.total_in();
        deflate
            .compress_vec(rest, &mut bytes, FlushCompress::None)
            .map_err(io::Error::other)?;
        rest = &rest[(deflate.total_in() - before) as usize..];
    }
    // A flush is done once it leaves room in the buffer.
    loop {
        bytes.reserve(64 << 10);
        deflate
            .compress_vec(&[], &mut bytes, FlushCompress::Full)
            .map_err(io::Error::other)?;
        if bytes.len() < bytes.capacity() {
            break;
        }
    }
    Ok(Packed {
        bytes,
        plain: piece.len() as u64,
        note: u64::from(checksum.finalize()),
    })
}

/// Writes one member of all parts.
pub(crate) fn assemble(parts: &[Packed], out: &mut impl Write) -> io::Result<()> {
    out.write_all(&HEADER)?;
    for part in parts {
        out.write_all(&part.bytes)?;
    }
    out.write_all(&end(parts.iter().map(Packed::part)))
}

/// Returns the end of a member of some parts: an empty block, CRC32 and length.
pub(super) fn end(parts: impl Iterator<Item = Part>) -> [u8; END_BYTES] {
    let mut checksum = Hasher::new();
    let mut plain = 0u64;
    for part in parts {
        checksum.combine(&Hasher::new_with_initial_len(part.note as u32, part.plain));
        plain = plain.wrapping_add(part.plain);
    }
    let mut end = [0; END_BYTES];
    end[..2].copy_from_slice(&EMPTY_FINAL_BLOCK);
    end[2..6].copy_from_slice(&checksum.finalize().to_le_bytes());
    // The format stores the length modulo 2^32.
    end[6..].copy_from_slice(&(plain as u32).to_le_bytes());
    end
}

/// Returns a reader of the plain bytes that follow the given parts in a member that begins with them. `file` is the member.
pub(crate) fn read_after<R: io::BufRead + io::Seek>(
    mut file: R,
    parts: &[Packed],
) -> io::Result<impl Read + use<R>> {
    let packed: u64 = parts.iter().map(|part| part.bytes.len() as u64).sum();
    file.seek(io::SeekFrom::Start(HEADER.len() as u64 + packed))?;
    Ok(flate2::bufread::DeflateDecoder::new(file))
}

/// The length of a piece of a stream.
const STREAM_PIECE_BYTES: usize = 1 << 20;

/// The number of pieces of a stream that are compressed at a time: enough that the text can be made meanwhile.
const STREAM_PIECES: usize = 8;

/// A writer of one member, for a text that is too large for memory. Rayon's pool compresses pieces while the next ones
/// are written. Without [`MemberWriter::finish`] the member has no end.
#[derive(Debug)]
pub(crate) struct MemberWriter<W> {
    out: W,
    waiting: Vec<u8>,
    /// The pieces that are being compressed, in their order.
    begun: VecDeque<Begun>,
    /// Empty buffers of earlier pieces, for use again.
    spare: Vec<Vec<u8>>,
    /// The pieces that are written.
    parts: Vec<Part>,
}

/// A receiver of the compressed piece, and of the buffer that the piece was in.
type Begun = Receiver<(io::Result<Packed>, Vec<u8>)>;

impl<W: Write> MemberWriter<W> {
    /// Begins a member.
    pub(crate) fn new(mut out: W) -> io::Result<Self> {
        out.write_all(&HEADER)?;
        Ok(Self {
            out,
            waiting: Vec::with_capacity(STREAM_PIECE_BYTES),
            begun: VecDeque::new(),
            spare: Vec::new(),
            parts: Vec::new(),
        })
    }

    /// Sends the waiting bytes to be compressed.
    fn begin_piece(&mut self) -> io::Result<()> {
        while self.begun.len() >= STREAM_PIECES {
            self.write_piece()?;
        }
        let mut next = self.spare.pop().unwrap_or_default();
        next.reserve_exact(STREAM_PIECE_BYTES);
        let mut piece = std::mem::replace(&mut self.waiting, next);
        let (sender, receiver) = mpsc::sync_channel(1);
        let compress = move || {
            let packed = encode(&piece);
            piece.clear();
            // If the writer was given up, nobody receives any more.
            let _ = sender.send((packed, piece));
        };
        match rayon::current_thread_index() {
            // A thread of the pool must not wait for the pool.
            Some(_) => compress(),
            None => rayon::spawn(compress),
        }
        self.begun.push_back(receiver);
        Ok(())
    }

    /// Waits for the first piece that was begun, and writes it.
    fn write_piece(&mut self) -> io::Result<()> {
        let Some(begun) = self.begun.pop_front() else {
            return Ok(());
        };
        let gone = |_| io::Error::other("a thread that compresses has ended");
        let (packed, buffer) = begun.recv().map_err(gone)?;
        self.spare.push(buffer);
        let packed = packed?;
        self.out.write_all(&packed.bytes)?;
        self.parts.push(packed.part());
        Ok(())
    }

    /// Ends the member.
    pub(crate) fn finish(mut self) -> io::Result<W> {
        if !self.waiting.is_empty() {
            self.begin_piece()?;
        }
        while !self.begun.is_empty() {
            self.write_piece()?;
        }
        self.out.write_all(&end(self.parts.into_iter()))?;
        Ok(self.out)
    }
}

impl<W: Write> Write for MemberWriter<W> {
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        let taken = data.len().min(STREAM_PIECE_BYTES - self.waiting.len());
        self.waiting.extend_from_slice(&data[..taken]);
        if self.waiting.len() == STREAM_PIECE_BYTES {
            self.begin_piece()?;
        }
        Ok(taken)
    }

    /// Does nothing: a flush in the middle would only make the member longer.
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The most marks that a file of ours has: a part of 256 KiB is short, and one in 2^32 places looks like a mark.
const MAX_MARKS: usize = 1 << 16;

/// Returns the offsets at which parts of a member may end: after each mark. Returns `None` for what is no member as we write it.
pub(super) fn marks(file: &mut impl Read) -> io::Result<Option<Vec<u64>>> {
    let mut marks = Vec::new();
    // The bytes that are searched, and the offset of the first of them.
    let (mut bytes, mut offset) = (Vec::new(), 0u64);
    let mut has_header = false;
    while file.by_ref().take(1 << 20).read_to_end(&mut bytes)? > 0 {
        if !has_header && !bytes.starts_with(&HEADER) {
            return Ok(None);
        }
        has_header = true;
        let found = memchr::memmem::find_iter(&bytes, &MARK);
        marks.extend(found.map(|at| offset + (at + MARK.len()) as u64));
        // A mark may lie across the end.
        let searched = bytes.len().saturating_sub(MARK.len() - 1);
        offset += searched as u64;
        bytes.drain(..searched);
        if marks.len() > MAX_MARKS {
            return Ok(None);
        }
    }
    Ok(has_header.then_some(marks))
}

/// Unpacks bytes that may be a whole part, into an empty buffer. Returns `None` if they are none, or have more than `max` plain bytes.
///
/// A whole part, followed by an empty final block, is a deflate stream for itself: so it ends between two blocks, at a whole byte, and refers to
/// nothing before it.
pub(super) fn decode(bytes: &[u8], max: u64, plain: &mut Vec<u8>) -> Option<Part> {
    let mut inflate = Decompress::new(false);
    let mut status = Status::Ok;
    for input in [bytes, &EMPTY_FINAL_BLOCK] {
        if status == Status::StreamEnd {
            return None;
        }
        let mut rest = input;
        loop {
            plain.reserve(256 << 10);
            let before = inflate.total_in();
            status = inflate
                .decompress_vec(rest, plain, FlushDecompress::None)
                .ok()?;
            rest = rest.get((inflate.total_in() - before) as usize..)?;
            if plain.len() as u64 > max {
                return None;
            }
            // The decoder holds no more output once it leaves room in the buffer.
            if status == Status::StreamEnd || plain.len() < plain.capacity() {
                break;
            }
        }
        if !rest.is_empty() {
            return None;
        }
    }
    (status == Status::StreamEnd).then(|| Part {
        packed: bytes.len() as u64,
        plain: plain.len() as u64,
        note: u64::from(crc32fast::hash(plain)),
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use proptest::prelude::*;

    use super::*;

    /// A reader of one member.
    fn decoded(file: &[u8]) -> Vec<u8> {
        let mut reader = flate2::bufread::GzDecoder::new(file);
        let mut plain = Vec::new();
        reader.read_to_end(&mut plain).unwrap();
        assert!(
            reader.into_inner().is_empty(),
            "one member, to the last byte"
        );
        plain
    }

    fn assembled(parts: &[Vec<u8>]) -> Vec<u8> {
        let parts: Vec<_> = parts.iter().map(|p| encode(p).unwrap()).collect();
        let mut file = Vec::new();
        assemble(&parts, &mut file).unwrap();
        file
    }

    #[test]
    fn an_empty_file_is_a_member() {
        assert_eq!(decoded(&assembled(&[])), b"");
    }

    #[test]
    fn a_stream_of_any_length_is_one_member() {
        let piece = STREAM_PIECE_BYTES;
        for length in [0, 1, piece - 1, piece, piece + 5, 20 * piece + 3] {
            let data: Vec<u8> = (0..length).map(|n| (n / 1000) as u8).collect();
            let written = || {
                let mut writer = MemberWriter::new(Vec::new()).unwrap();
                writer.write_all(&data).unwrap();
                writer.finish().unwrap()
            };
            let file = written();
            assert_eq!(decoded(&file), data);
            // Within the pool the file is the same, and the writer ends.
            let (within, other) = rayon::join(written, written);
            assert_eq!((&within, &other), (&file, &file));
        }
    }

    #[test]
    fn long_parts_that_do_not_shrink_come_back() {
        let mut state = 1u32;
        let noise: Vec<u8> = (0..300_000)
            .map(|_| {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                (state >> 24) as u8
            })
            .collect();
        let parts = [noise.clone(), noise];
        assert_eq!(decoded(&assembled(&parts)), parts.concat());
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn any_bytes_come_back(parts in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 1..300), 0..5)) {
            prop_assert_eq!(decoded(&assembled(&parts)), parts.concat());
        }
    }
}
