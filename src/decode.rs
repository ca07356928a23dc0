//! Undoes the compression of upstream files while they stream: all streams of a file, within bounds of memory, and with
//! an error for a file that ends early or goes on too long.

use std::io::{self, BufRead, ErrorKind, Read};

/// The memory that an xz stream may ask for. `xz -9` needs 65 MiB to decode, and a dictionary of 256 MiB still fits.
const XZ_MEMORY_BYTES: u64 = 512 << 20;

/// The window that a zstd frame may ask for, as a power of two: 128 MiB, the limit of zstd(1) as well.
const ZSTD_WINDOW_LOG: u32 = 27;

/// The compression of a file, which its name tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Compression {
    /// No compression.
    None,
    /// gzip(1), RFC 1952.
    Gzip,
    /// xz(1).
    Xz,
    /// bzip2(1).
    Bzip2,
    /// zstd(1), RFC 8878.
    Zstd,
    /// The older format of xz(1), which has neither checksums nor several streams; old packages have it.
    Lzma,
}

impl Compression {
    /// All compressions.
    pub(crate) const ALL: [Self; 6] = [
        Self::None,
        Self::Gzip,
        Self::Xz,
        Self::Bzip2,
        Self::Zstd,
        Self::Lzma,
    ];

    /// Returns the compression that the end of a path tells: `.gz`, `.xz`, `.bz2`, `.zst`, `.lzma`, or none.
    pub(crate) fn from_path(path: &str) -> Self {
        path.rsplit_once('.')
            .and_then(|(_, end)| {
                Self::ALL
                    .into_iter()
                    .find(|known| *known != Self::None && known.extension() == end)
            })
            .unwrap_or(Self::None)
    }

    /// Returns the part of a name after the last dot; empty for [`Compression::None`].
    pub(crate) fn extension(self) -> &'static str {
        match self {
            Self::None => "",
            Self::Gzip => "gz",
            Self::Xz => "xz",
            Self::Bzip2 => "bz2",
            Self::Zstd => "zst",
            Self::Lzma => "lzma",
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::None => "plain",
            Self::Gzip => "gzip",
            Self::Xz => "xz",
            Self::Bzip2 => "bzip2",
            Self::Zstd => "zstd",
            Self::Lzma => "lzma",
        }
    }
}

/// The reason why decoded bytes stop coming. It is inside the [`io::Error`] that a read returns; [`Error::of`] finds it there.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum Error {
    /// The input ends inside a stream.
    #[error("the {} data ends too early", compression.name())]
    Truncated {
        /// The compression that the name told.
        compression: Compression,
    },
    /// The input is something else, is damaged, is followed by something else, or asks for too much memory.
    #[error("this is not valid {} data", compression.name())]
    Corrupt {
        /// The compression that the name told.
        compression: Compression,
        #[source]
        source: io::Error,
    },
    /// More bytes come out than are allowed.
    #[error("there are more than {limit} bytes")]
    TooLarge {
        /// The number of bytes that are allowed.
        limit: u64,
    },
}

impl Error {
    /// Returns the error that a reader of this module put into an [`io::Error`].
    pub(crate) fn of(error: &io::Error) -> Option<&Self> {
        error.get_ref()?.downcast_ref()
    }

    fn into_io(self) -> io::Error {
        let kind = match self {
            Self::Truncated { .. } => ErrorKind::UnexpectedEof,
            Self::Corrupt { .. } => ErrorKind::InvalidData,
            Self::TooLarge { .. } => ErrorKind::FileTooLarge,
        };
        io::Error::new(kind, self)
    }
}

/// Returns a reader of the plain text of `input`, with all its streams or members one after the other. Real archives have files whose
/// last stream is followed by an empty one. An error of `input` itself comes through unchanged; every other one is an
/// [`Error`]. The call itself fails only if there is no memory for the decoder.
pub(crate) fn decoder<'a, R>(
    compression: Compression,
    input: R,
) -> io::Result<Box<dyn Read + Send + 'a>>
where
    R: BufRead + Send + 'a,
{
    let input = Marked(input);
    let inner: Box<dyn Read + Send + 'a> = match compression {
        Compression::None => return Ok(Box::new(input.0)),
        Compression::Gzip => Box::new(GzipMembers::Between { input, first: true }),
        Compression::Xz => {
            let stream = liblzma::stream::Stream::new_stream_decoder(
                XZ_MEMORY_BYTES,
                liblzma::stream::CONCATENATED,
            )?;
            Box::new(liblzma::bufread::XzDecoder::new_stream(input, stream))
        }
        Compression::Lzma => {
            let stream = liblzma::stream::Stream::new_lzma_decoder(XZ_MEMORY_BYTES)?;
            Box::new(OneStream(liblzma::bufread::XzDecoder::new_stream(
                input, stream,
            )))
        }
        Compression::Bzip2 => Box::new(bzip2::bufread::MultiBzDecoder::new(input)),
        Compression::Zstd => {
            let mut decoder = zstd::stream::read::Decoder::with_buffer(NotEmpty::new(input))?;
            decoder.window_log_max(ZSTD_WINDOW_LOG)?;
            Box::new(decoder)
        }
    };
    Ok(Box::new(Decoder { compression, inner }))
}

/// A reader that turns the decoders' errors into an [`Error`].
struct Decoder<'a> {
    compression: Compression,
    inner: Box<dyn Read + Send + 'a>,
}

impl Read for Decoder<'_> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let compression = self.compression;
        self.inner.read(buf).map_err(|source| {
            if source
                .get_ref()
                .is_some_and(|inner| inner.is::<FromInput>())
            {
                let kind = source.kind();
                return match source.downcast::<FromInput>() {
                    Ok(FromInput(original)) => original,
                    Err(_) => kind.into(),
                };
            }
            match source.kind() {
                ErrorKind::Interrupted => source,
                ErrorKind::UnexpectedEof => Error::Truncated { compression }.into_io(),
                _ => Error::Corrupt {
                    compression,
                    source,
                }
                .into_io(),
            }
        })
    }
}

/// An error that came from the decoder's input, not from the decoder.
#[derive(Debug, thiserror::Error)]
#[error("the input cannot be read")]
struct FromInput(#[source] io::Error);

/// A reader that marks the errors of the input, which a decoder passes on among its own.
struct Marked<R>(R);

impl<R: BufRead> Read for Marked<R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let mut available = self.fill_buf()?;
        let count = available.read(buf)?;
        self.consume(count);
        Ok(count)
    }
}

impl<R: BufRead> BufRead for Marked<R> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        self.0
            .fill_buf()
            .map_err(|error| io::Error::new(error.kind(), FromInput(error)))
    }

    fn consume(&mut self, amount: usize) {
        self.0.consume(amount);
    }
}

/// A reader that refuses empty input, which the zstd decoder accepts as a whole file although RFC 8878 has no empty frame.
struct NotEmpty<R> {
    input: R,
    begun: bool,
}

impl<R> NotEmpty<R> {
    fn new(input: R) -> Self {
        Self {
            input,
            begun: false,
        }
    }
}

impl<R: BufRead> Read for NotEmpty<R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let mut available = self.fill_buf()?;
        let count = available.read(buf)?;
        self.consume(count);
        Ok(count)
    }
}

impl<R: BufRead> BufRead for NotEmpty<R> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        let available = self.input.fill_buf()?;
        if available.is_empty() && !self.begun {
            return Err(ErrorKind::UnexpectedEof.into());
        }
        Ok(available)
    }

    fn consume(&mut self, amount: usize) {
        self.begun |= amount > 0;
        self.input.consume(amount);
    }
}

/// A reader of the one stream that lzma has, which refuses what follows.
struct OneStream<R: BufRead>(liblzma::bufread::XzDecoder<R>);

impl<R: BufRead> Read for OneStream<R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let count = self.0.read(buf)?;
        if count == 0 && !buf.is_empty() && !self.0.get_mut().fill_buf()?.is_empty() {
            let why = "something follows the stream";
            return Err(io::Error::new(ErrorKind::InvalidData, why));
        }
        Ok(count)
    }
}

/// The members of a gzip file. Tapes and some tools pad a file with zeros. flate2's own decoder for several members takes
/// the zeros for a damaged member; gzip(1) ignores them.
enum GzipMembers<R: BufRead> {
    Between { input: R, first: bool },
    Inside(Box<flate2::bufread::GzDecoder<R>>),
    Ended,
}

impl<R: BufRead> GzipMembers<R> {
    /// Returns whether another member follows; consumes the padding if not.
    fn another(input: &mut R, first: bool) -> io::Result<bool> {
        let mut padded = false;
        loop {
            let available = input.fill_buf()?;
            let zeros = available.iter().take_while(|byte| **byte == 0).count();
            match available.len() {
                0 => return Ok(first),
                _ if zeros == 0 && !padded => return Ok(true),
                length if zeros < length || first => {
                    return Err(io::Error::new(
                        ErrorKind::InvalidData,
                        "something follows the last member",
                    ));
                }
                length => input.consume(length),
            }
            padded = true;
        }
    }
}

impl<R: BufRead> Read for GzipMembers<R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        if buf.is_empty() {
            return Ok(0);
        }
        loop {
            match std::mem::replace(self, Self::Ended) {
                Self::Between { mut input, first } => match Self::another(&mut input, first) {
                    Ok(true) => {
                        *self = Self::Inside(Box::new(flate2::bufread::GzDecoder::new(input)))
                    }
                    Ok(false) => return Ok(0),
                    Err(error) => {
                        *self = Self::Between { input, first };
                        return Err(error);
                    }
                },
                Self::Inside(mut member) => {
                    let outcome = member.read(buf);
                    if matches!(outcome, Ok(0)) {
                        let input = member.into_inner();
                        *self = Self::Between {
                            input,
                            first: false,
                        };
                        continue;
                    }
                    *self = Self::Inside(member);
                    return outcome;
                }
                Self::Ended => return Ok(0),
            }
        }
    }
}

/// A reader that passes on a given number of bytes, and refuses the first one more.
#[derive(Debug)]
pub(crate) struct Limited<R> {
    inner: R,
    limit: u64,
    left: u64,
    exceeded: bool,
}

impl<R: Read> Limited<R> {
    /// Returns a reader that lets `limit` bytes of `inner` through.
    pub(crate) fn new(inner: R, limit: u64) -> Self {
        Self {
            inner,
            limit,
            left: limit,
            exceeded: false,
        }
    }
}

impl<R: Read> Read for Limited<R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        if buf.is_empty() {
            return Ok(0);
        }
        if self.left == 0 {
            self.exceeded |= self.inner.read(&mut [0])? > 0;
            return if self.exceeded {
                Err(Error::TooLarge { limit: self.limit }.into_io())
            } else {
                Ok(0)
            };
        }
        let room = usize::try_from(self.left).map_or(buf.len(), |left| left.min(buf.len()));
        let count = self.inner.read(&mut buf[..room])?;
        self.left = self.left.saturating_sub(count as u64);
        Ok(count)
    }
}

/// Returns a decoder, by number, with a limit.
#[cfg(any(test, fuzzing))]
pub(crate) fn fuzz_decode<'a>(
    number: usize,
    data: &'a [u8],
    limit: u64,
) -> std::io::Result<impl std::io::Read + 'a> {
    let all = Compression::ALL;
    let reader = decoder(all[number % all.len()], data)?;
    Ok(Limited::new(reader, limit))
}

#[cfg(test)]
mod tests;
