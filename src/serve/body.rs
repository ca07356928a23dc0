//! Answers on their way to a client: their bytes are counted, and the request is told of when the last one is gone.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Instant,
};

use axum::{
    BoxError,
    body::{Body, Bytes, HttpBody},
    http::{StatusCode, header::CONTENT_LENGTH},
    response::Response,
};
use hyper::body::{Frame, SizeHint};

use super::{Access, Hook, answer::Problem};

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
    body: Body,
    /// The bytes that were announced and not sent yet, if their number was announced.
    left: Option<u64>,
    record: Record,
}

impl Sending {
    /// Puts the answer on record, and returns it with a body that goes on with the record.
    pub(super) fn new(mut response: Response, mut record: Record) -> Response<Sending> {
        record.access.status = response.status().as_u16();
        if let Some(Problem(text)) = response.extensions_mut().remove() {
            record.access.problem = Some(text);
        }
        if response.status() == StatusCode::NOT_MODIFIED {
            // axum announces the empty body, where RFC 9110, section 8.6, allows only the length of the file.
            response.headers_mut().remove(CONTENT_LENGTH);
        }
        let length = response.headers().get(CONTENT_LENGTH);
        let length = length.and_then(|length| length.to_str().ok()?.parse().ok());
        response.map(|body| Sending {
            left: length.filter(|_| !body.is_end_stream()),
            body,
            record,
        })
    }
}

impl HttpBody for Sending {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let frame = ready!(Pin::new(&mut self.body).poll_frame(context));
        match (&frame, self.left) {
            (Some(Ok(frame)), left) => {
                let bytes = frame.data_ref().map_or(0, |data| data.len() as u64);
                self.record.access.bytes += bytes;
                self.left = left.map(|left| left.saturating_sub(bytes));
            }
            (None, Some(left @ 1..)) => {
                // The file was cut short in place. The connection has to break, for the length is promised.
                let short = format!("{left} bytes fewer than its size said");
                self.record.access.problem = Some(short.clone());
                let error = io::Error::new(io::ErrorKind::UnexpectedEof, short);
                return Poll::Ready(Some(Err(error.into())));
            }
            (Some(Err(error)), _) => self.record.access.problem = Some(error.to_string()),
            (None, _) => {}
        }
        Poll::Ready(frame.map(|frame| frame.map_err(Into::into)))
    }

    fn is_end_stream(&self) -> bool {
        self.left.unwrap_or(0) == 0 && self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.left
            .map_or_else(|| self.body.size_hint(), SizeHint::with_exact)
    }
}
