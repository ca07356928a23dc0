//! Tests that whole files decode, in however many streams, and that anything else soon gives an error.

#![allow(clippy::unwrap_used)]

use std::io::{BufReader, Cursor, Write};

use super::*;

const COMPRESSED: [Compression; 5] = [
    Compression::Gzip,
    Compression::Xz,
    Compression::Bzip2,
    Compression::Zstd,
    Compression::Lzma,
];

fn compress(compression: Compression, plain: &[u8]) -> Vec<u8> {
    match compression {
        Compression::None => plain.to_vec(),
        Compression::Gzip => {
            let mut encoder =
                flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::new(6));
            encoder.write_all(plain).unwrap();
            encoder.finish().unwrap()
        }
        Compression::Xz => {
            let mut encoder = liblzma::write::XzEncoder::new(Vec::new(), 1);
            encoder.write_all(plain).unwrap();
            encoder.finish().unwrap()
        }
        Compression::Bzip2 => {
            let mut encoder = bzip2::write::BzEncoder::new(Vec::new(), bzip2::Compression::best());
            encoder.write_all(plain).unwrap();
            encoder.finish().unwrap()
        }
        Compression::Zstd => zstd::encode_all(plain, 3).unwrap(),
        Compression::Lzma => {
            let options = liblzma::stream::LzmaOptions::new_preset(1).unwrap();
            let stream = liblzma::stream::Stream::new_lzma_encoder(&options).unwrap();
            let mut encoder = liblzma::write::XzEncoder::new_stream(Vec::new(), stream);
            encoder.write_all(plain).unwrap();
            encoder.finish().unwrap()
        }
    }
}

/// Decodes through so small a buffer that every state of a decoder meets a buffer's end.
fn decode(compression: Compression, bytes: &[u8]) -> io::Result<Vec<u8>> {
    let mut plain = Vec::new();
    let input = BufReader::with_capacity(7, Cursor::new(bytes.to_vec()));
    decoder(compression, input)?.read_to_end(&mut plain)?;
    Ok(plain)
}

fn sample() -> Vec<u8> {
    let mut text = Vec::new();
    for number in 0..800_u32 {
        writeln!(
            text,
            "Package: example-{number}\nVersion: {}\n",
            number.wrapping_mul(2_654_435_761)
        )
        .unwrap();
    }
    text
}

#[test]
fn names_tell_the_compression() {
    for (path, compression) in [
        ("dists/sid/main/binary-amd64/Packages.gz", Compression::Gzip),
        ("Packages.xz", Compression::Xz),
        ("Translation-en.bz2", Compression::Bzip2),
        ("Packages.zst", Compression::Zstd),
        ("Packages", Compression::None),
        ("Packages.", Compression::None),
        ("dists/v1.xz/Packages", Compression::None),
        ("icons-64x64.tar", Compression::None),
    ] {
        assert_eq!(Compression::from_path(path), compression, "{path}");
    }
}

#[test]
fn several_streams_are_one_file() {
    let sample = sample();
    for compression in Compression::ALL {
        let one = compress(compression, &sample);
        assert_eq!(
            decode(compression, &one).unwrap(),
            sample,
            "{compression:?}"
        );
        if compression == Compression::Lzma {
            assert!(decode(compression, &one.repeat(2)).is_err());
            continue;
        }
        let mut three = one.clone();
        three.extend(compress(compression, b""));
        three.extend(&one);
        assert_eq!(
            decode(compression, &three).unwrap(),
            sample.repeat(2),
            "{compression:?}"
        );
        assert_eq!(
            decode(compression, &compress(compression, b"")).unwrap(),
            b"",
            "{compression:?}"
        );
    }
}

#[test]
fn an_end_anywhere_but_at_the_end_is_an_error() {
    let sample = sample();
    for compression in COMPRESSED {
        let whole = compress(compression, &sample);
        // A second stream that is cut must be noticed as well.
        let twice = whole.repeat(2);
        let middle = [1, 2, whole.len() / 2, whole.len() - 9, whole.len() - 1];
        for (bytes, cuts) in [
            (&whole, vec![0]),
            (&whole, middle.to_vec()),
            (&twice, middle.map(|at| whole.len() + at).to_vec()),
        ] {
            for cut in cuts {
                if compression == Compression::Lzma && cut > whole.len() {
                    continue;
                }
                let error = decode(compression, &bytes[..cut]).unwrap_err();
                assert!(
                    matches!(Error::of(&error), Some(Error::Truncated { .. })),
                    "{compression:?} cut to {cut}: {error:?}"
                );
            }
        }
    }
}

#[test]
fn damage_and_what_follows_the_last_stream_are_errors() {
    let sample = sample();
    for compression in COMPRESSED {
        let mut damaged = compress(compression, &sample);
        let middle = damaged.len() / 2;
        damaged[middle] ^= 0x55;
        let mut followed = compress(compression, &sample);
        followed.extend(b"<html>not found</html>");
        for bytes in [damaged, followed, b"<html>not found</html>".to_vec()] {
            let error = decode(compression, &bytes);
            // zstd has no checksum unless it is asked for one, and lzma has none, so damage may come out as other bytes.
            if matches!(compression, Compression::Zstd | Compression::Lzma)
                && error.as_ref().is_ok_and(|plain| *plain != sample)
            {
                continue;
            }
            let error = error.unwrap_err();
            assert!(Error::of(&error).is_some(), "{compression:?}: {error:?}");
        }
    }
}

#[test]
fn padding_of_zeros_is_passed_over() {
    let sample = sample();
    let mut gzip = compress(Compression::Gzip, &sample);
    gzip.extend([0; 100]);
    assert_eq!(decode(Compression::Gzip, &gzip).unwrap(), sample);
    gzip.push(1);
    assert!(decode(Compression::Gzip, &gzip).is_err());
    assert!(decode(Compression::Gzip, &[0; 100]).is_err());
    // The xz format has padding of its own, in steps of four bytes.
    let mut xz = compress(Compression::Xz, &sample);
    xz.extend([0; 4]);
    assert_eq!(decode(Compression::Xz, &xz).unwrap(), sample);
    xz.push(0);
    assert!(decode(Compression::Xz, &xz).is_err());
}

#[test]
fn a_bomb_is_defused_at_its_first_byte_too_many() {
    let zeros = vec![0; 8 << 20];
    for compression in COMPRESSED {
        let bomb = compress(compression, &zeros);
        assert!(bomb.len() < zeros.len() / 100);
        let limit = 1 << 20;
        let mut plain = Vec::new();
        let mut limited = Limited::new(decoder(compression, &bomb[..]).unwrap(), limit);
        let error = limited.read_to_end(&mut plain).unwrap_err();
        assert!(matches!(
            Error::of(&error),
            Some(Error::TooLarge { limit: 1_048_576 })
        ));
        assert_eq!(plain.len() as u64, limit);
        assert!(
            limited.read(&mut [0; 8]).is_err(),
            "an error must not turn into an end"
        );
    }
}

#[test]
fn a_stream_that_asks_for_too_much_memory_is_refused() {
    // Only the header matters, so patch the dictionary size into a cheap file: LZMA2's property byte is its logarithm
    // in half steps (xz file format, section 5.3.1), and the CRC of the block header follows.
    let xz = |property| {
        let mut xz = compress(Compression::Xz, b"small");
        let check = 12 + (usize::from(xz[12]) + 1) * 4 - 4;
        assert_eq!(&xz[14..16], &[0x21, 1], "LZMA2 with one property byte");
        xz[16] = property;
        let crc = crc32fast::hash(&xz[12..check]);
        xz[check..check + 4].copy_from_slice(&crc.to_le_bytes());
        decode(Compression::Xz, &xz)
    };
    assert_eq!(xz(33).unwrap(), b"small", "384 MiB");
    let zstd = |log| {
        let mut encoder = zstd::stream::write::Encoder::new(Vec::new(), 1).unwrap();
        encoder.window_log(log).unwrap();
        encoder.include_contentsize(false).unwrap();
        encoder.write_all(b"small").unwrap();
        decode(Compression::Zstd, &encoder.finish().unwrap())
    };
    assert_eq!(zstd(ZSTD_WINDOW_LOG).unwrap(), b"small");
    // The size of the dictionary stands behind the first byte (LZMA specification, section 1).
    let lzma = |bytes: u32| {
        let mut lzma = compress(Compression::Lzma, b"small");
        lzma[1..5].copy_from_slice(&bytes.to_le_bytes());
        decode(Compression::Lzma, &lzma)
    };
    assert_eq!(lzma(384 << 20).unwrap(), b"small");
    // 768 MiB, 256 MiB, and 768 MiB.
    for outcome in [xz(35), zstd(28), lzma(768 << 20)] {
        let error = outcome.unwrap_err();
        let Some(Error::Corrupt { source, .. }) = Error::of(&error) else {
            panic!("{error:?}")
        };
        assert!(source.to_string().contains("memory"), "{source}");
    }
}

#[test]
fn a_limit_that_is_just_reached_is_no_error() {
    let mut plain = Vec::new();
    Limited::new(&b"12345"[..], 5)
        .read_to_end(&mut plain)
        .unwrap();
    assert_eq!(plain, b"12345");
    assert!(Limited::new(&b"1"[..], 0).read_to_end(&mut plain).is_err());
    Limited::new(&b""[..], 0).read_to_end(&mut plain).unwrap();
}

/// A reader that returns some bytes and then fails.
struct Failing<'a>(&'a [u8]);

impl Read for Failing<'_> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        match self.0.read(buf)? {
            0 => Err(io::Error::new(
                ErrorKind::InvalidData,
                "the disk is on fire",
            )),
            count => Ok(count),
        }
    }
}

#[test]
fn an_error_of_the_input_comes_through_as_it_is() {
    for compression in Compression::ALL {
        let whole = compress(compression, &sample());
        for cut in [0, 3, whole.len() / 2] {
            let input = BufReader::with_capacity(64, Failing(&whole[..cut]));
            let mut plain = Vec::new();
            let error = decoder(compression, input)
                .unwrap()
                .read_to_end(&mut plain)
                .unwrap_err();
            assert_eq!(
                error.to_string(),
                "the disk is on fire",
                "{compression:?} after {cut}"
            );
            assert_eq!(error.kind(), ErrorKind::InvalidData);
        }
    }
}
