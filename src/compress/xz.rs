//! One xz stream of many blocks, put together from blocks that were compressed on their own.
//!
//! The layout is that of the .xz file format, version 1.2: a stream header, blocks, an index that lists for each block its
//! length without padding and its length unpacked, and a footer with the length of the index. Each piece is compressed
//! as a stream of its own; its block is cut out, and all blocks share one header, index and footer.

use std::io::{self, Read, Seek, SeekFrom, Write};
use std::ops::RangeInclusive;

use liblzma::stream::{Action, Check, Filters, LzmaOptions, Status, Stream};

use super::{Packed, Part};

const HEADER_BYTES: usize = 12;
const FOOTER_BYTES: usize = 12;

/// The stream header for CRC64, the check that xz uses by default: magic, flags, and the CRC32 of the flags.
const STREAM_FLAGS: [u8; 2] = [0x00, 0x04];
const HEADER_MAGIC: [u8; 6] = [0xfd, b'7', b'z', b'X', b'Z', 0x00];
const FOOTER_MAGIC: [u8; 2] = *b"YZ";

/// The bounds of the longest distance of a match. Within them it is about the length of the piece: a longer one gains nothing, and costs
/// memory that has to be cleared.
const DICTIONARY_BYTES: RangeInclusive<usize> = 64 << 10..=3 << 20;

/// The longest match that the encoder looks for. Level 6 has 64; indices have longer ones, and finding them makes up for short pieces.
const NICE_LENGTH: u32 = 192;

/// The number of places that the encoder looks at for a match. By default it is 112 for this length of matches, which takes a third more
/// time and gains a thousandth at most.
const DEPTH: u32 = 40;

/// Makes an encoder at level 6, with a few options that suit indices: text without alignment, whose letters depend on those
/// before them.
fn encoder(plain_bytes: usize) -> io::Result<Stream> {
    let (least, most) = DICTIONARY_BYTES.into_inner();
    let dictionary = plain_bytes.next_power_of_two().clamp(least, most);
    let mut options = LzmaOptions::new_preset(6)?;
    options
        .dict_size(dictionary as u32)
        .literal_context_bits(4)
        .position_bits(0)
        .nice_len(NICE_LENGTH)
        .depth(DEPTH);
    Ok(Stream::new_stream_encoder(
        Filters::new().lzma2(&options),
        Check::Crc64,
    )?)
}

/// Compresses a piece to a block.
pub fn encode(piece: &[u8]) -> io::Result<Packed> {
    let mut stream = encoder(piece.len())?;
    // Indices shrink to a fifth or less.
    let mut out = Vec::with_capacity(piece.len() / 4 + 1024);
    let mut rest = piece;
    while !rest.is_empty() {
        out.reserve(64 << 10);
        let before = stream.total_in();
        stream.process_vec(rest, &mut out, Action::Run)?;
        rest = &rest[(stream.total_in() - before) as usize..];
    }
    loop {
        out.reserve(64 << 10);
        if stream.process_vec(&[], &mut out, Action::Finish)? == Status::StreamEnd {
            break;
        }
    }
    cut_out_block(out, piece.len() as u64)
}

/// Cuts the one block out of a stream.
fn cut_out_block(mut stream: Vec<u8>, plain: u64) -> io::Result<Packed> {
    let malformed = || io::Error::other("the xz encoder wrote a stream of an unknown form");
    let footer_at = stream
        .len()
        .checked_sub(FOOTER_BYTES)
        .ok_or_else(malformed)?;
    let stored: [u8; 4] = stream[footer_at + 4..footer_at + 8]
        .try_into()
        .map_err(|_| malformed())?;
    let index_bytes = (u32::from_le_bytes(stored) as usize + 1) * 4;
    let index_at = footer_at.checked_sub(index_bytes).ok_or_else(malformed)?;
    let mut index = stream.get(index_at..footer_at).ok_or_else(malformed)?;
    if !stream.starts_with(&HEADER_MAGIC) || stream[6..8] != STREAM_FLAGS || index_at < HEADER_BYTES
    {
        return Err(malformed());
    }
    index = index.strip_prefix(&[0, 1]).ok_or_else(malformed)?;
    let unpadded = read_number(&mut index).ok_or_else(malformed)?;
    let recorded = read_number(&mut index).ok_or_else(malformed)?;
    stream.truncate(index_at);
    stream.drain(..HEADER_BYTES);
    if recorded != plain || unpadded.next_multiple_of(4) != stream.len() as u64 {
        return Err(malformed());
    }
    Ok(Packed {
        bytes: stream,
        plain,
        note: unpadded,
    })
}

/// Writes one stream of all blocks; with no block, the stream of an empty file.
pub(crate) fn assemble(blocks: &[Packed], out: &mut impl Write) -> io::Result<()> {
    out.write_all(&begin())?;
    for block in blocks {
        out.write_all(&block.bytes)?;
    }
    out.write_all(&end(blocks.iter().map(Packed::part))?)
}

/// Returns the header of a stream.
pub(super) fn begin() -> [u8; HEADER_BYTES] {
    let mut header = [0; HEADER_BYTES];
    header[..6].copy_from_slice(&HEADER_MAGIC);
    header[6..8].copy_from_slice(&STREAM_FLAGS);
    header[8..].copy_from_slice(&crc32fast::hash(&STREAM_FLAGS).to_le_bytes());
    header
}

/// Returns the index and the footer of a stream of some blocks.
pub(super) fn end(blocks: impl ExactSizeIterator<Item = Part>) -> io::Result<Vec<u8>> {
    let mut index = vec![0];
    write_number(&mut index, blocks.len() as u64);
    for block in blocks {
        write_number(&mut index, block.note);
        write_number(&mut index, block.plain);
    }
    index.resize(index.len().next_multiple_of(4), 0);
    let checksum = crc32fast::hash(&index);
    index.extend_from_slice(&checksum.to_le_bytes());
    let stored = u32::try_from(index.len() / 4 - 1).map_err(io::Error::other)?;
    let mut tail = [0; 6];
    tail[..4].copy_from_slice(&stored.to_le_bytes());
    tail[4..].copy_from_slice(&STREAM_FLAGS);
    index.extend_from_slice(&crc32fast::hash(&tail).to_le_bytes());
    index.extend_from_slice(&tail);
    index.extend_from_slice(&FOOTER_MAGIC);
    Ok(index)
}

/// The most bytes of an index that is read: that of some hundred thousand blocks.
const MAX_INDEX_BYTES: u64 = 1 << 20;

/// Reads the blocks of a file from its end. Returns `None` unless header, index and footer are what we write for these blocks, to the
/// last byte.
pub(super) fn blocks(file: &mut (impl Read + Seek)) -> io::Result<Option<Vec<Part>>> {
    let length = file.seek(SeekFrom::End(0))?;
    let mut footer = [0; FOOTER_BYTES];
    let Some(footer_at) = length.checked_sub(FOOTER_BYTES as u64) else {
        return Ok(None);
    };
    file.seek(SeekFrom::Start(footer_at))?;
    file.read_exact(&mut footer)?;
    let [_, _, _, _, a, b, c, d, ..] = footer;
    let index_bytes = (u64::from(u32::from_le_bytes([a, b, c, d])) + 1) * 4;
    let index_at = footer_at.checked_sub(index_bytes);
    let Some(index_at) = index_at.filter(|_| index_bytes <= MAX_INDEX_BYTES) else {
        return Ok(None);
    };
    file.seek(SeekFrom::Start(index_at))?;
    let mut found = Vec::new();
    file.read_to_end(&mut found)?;
    let Some(blocks) = listed(&found) else {
        return Ok(None);
    };
    file.rewind()?;
    let mut header = [0; HEADER_BYTES];
    file.read_exact(&mut header)?;
    let packed = blocks.iter().map(|block| block.packed);
    let packed = packed.fold(HEADER_BYTES as u64, u64::saturating_add);
    let is_ours = header == begin() && packed == index_at && end(blocks.iter().copied())? == found;
    Ok(is_ours.then_some(blocks))
}

/// Returns the blocks that an index lists.
fn listed(mut index: &[u8]) -> Option<Vec<Part>> {
    index = index.strip_prefix(&[0])?;
    let count = read_number(&mut index)?;
    let blocks = (0..count).map(|_| {
        let note = read_number(&mut index)?;
        Some(Part {
            packed: note.checked_next_multiple_of(4)?,
            plain: read_number(&mut index)?,
            note,
        })
    });
    blocks.collect()
}

/// Writes a variable-length integer of the format: seven bits a byte, the lowest first.
fn write_number(out: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

fn read_number(input: &mut &[u8]) -> Option<u64> {
    let mut number = 0;
    for shift in (0..63).step_by(7) {
        let (byte, rest) = input.split_first()?;
        *input = rest;
        number |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(number);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use proptest::prelude::*;

    use super::*;

    fn assembled(parts: &[Vec<u8>]) -> Vec<u8> {
        let blocks: Vec<_> = parts.iter().map(|p| encode(p).unwrap()).collect();
        let mut file = Vec::new();
        assemble(&blocks, &mut file).unwrap();
        file
    }

    /// Reads exactly one stream, as apt does: bytes after it would be an error.
    fn decoded(file: &[u8]) -> Vec<u8> {
        let mut reader = liblzma::bufread::XzDecoder::new(file);
        let mut plain = Vec::new();
        reader.read_to_end(&mut plain).unwrap();
        assert_eq!(
            reader.total_in(),
            file.len() as u64,
            "one stream, to the last byte"
        );
        plain
    }

    #[test]
    fn many_blocks_make_one_stream() {
        let parts: Vec<Vec<u8>> = (1..40u8).map(|n| vec![n; usize::from(n) * 1000]).collect();
        assert_eq!(decoded(&assembled(&parts)), parts.concat());
    }

    #[test]
    fn an_empty_file_is_what_xz_writes_for_one() {
        let file = assembled(&[]);
        assert_eq!(file.len(), 32);
        assert_eq!(decoded(&file), b"");
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]
        #[test]
        fn any_bytes_come_back(parts in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 1..300), 0..5)) {
            prop_assert_eq!(decoded(&assembled(&parts)), parts.concat());
        }
    }
}
