//! Bodies on their way to a client: at most as many bytes as were announced, a piece at a time, and told of at the end.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Instant,
};

use hyper::body::{Body, Bytes, Frame, SizeHint};
use tokio::io::{AsyncRead, ReadBuf};

use super::{Access, Hook, answer::Content};

/// The bytes of a file that are read at a time, and lie in memory for a connection.
const PIECE_BYTES: u64 = 64 * 1024;

/// A request's entry for the log, told when it is dropped: after the last byte, or when the client is gone.
pub(super) struct Record {
    pub(super) access: Access,
    pub(super) began: Instant,
    pub(super) tell: Option<Hook<Access>>,
}

impl Drop for Record {
    fn drop(&mut self) {
        if let Some(tell) = &self.tell {
            self.access.took = self.began.elapsed();
            tell(&self.access);
        }
    }
}

/// The body of an answer.
pub(super) struct Sending {
    source: Source,
    record: Record,
}

enum Source {
    Bytes(Bytes),
    File {
        file: tokio::fs::File,
        left: u64,
        piece: Vec<u8>,
    },
}

impl Sending {
    pub(super) fn new(content: Content, record: Record) -> Sending {
        let source = match content {
            Content::Bytes(bytes) => Source::Bytes(bytes),
            Content::File(file, left) => Source::File {
                file: tokio::fs::File::from_std(file),
                left,
                piece: Vec::new(),
            },
        };
        Sending { source, record }
    }

    fn left(&self) -> u64 {
        match &self.source {
            Source::Bytes(bytes) => bytes.len() as u64,
            Source::File { left, .. } => *left,
        }
    }
}

impl Body for Sending {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        let this = self.get_mut();
        if this.left() == 0 {
            return Poll::Ready(None);
        }
        let data = match &mut this.source {
            Source::Bytes(bytes) => std::mem::take(bytes),
            Source::File { file, left, piece } => {
                piece.resize(PIECE_BYTES.min(*left) as usize, 0);
                let mut buffer = ReadBuf::new(piece);
                ready!(Pin::new(file).poll_read(context, &mut buffer))?;
                let filled = buffer.filled().len();
                if filled == 0 {
                    // It was cut short in place. The connection has to break, for the length is promised.
                    let short = format!("{left} bytes fewer than its size said");
                    let error = io::Error::new(io::ErrorKind::UnexpectedEof, short.clone());
                    this.record.access.problem = Some(short);
                    return Poll::Ready(Some(Err(error)));
                }
                piece.truncate(filled);
                *left -= filled as u64;
                Bytes::from(std::mem::take(piece))
            }
        };
        this.record.access.bytes += data.len() as u64;
        Poll::Ready(Some(Ok(Frame::data(data))))
    }

    fn is_end_stream(&self) -> bool {
        self.left() == 0
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left())
    }
}
