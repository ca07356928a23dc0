//! A sink that counts the bytes written to it, for those who watch a fetch.

use std::io::{self, Write};

use crate::progress::Share;

use super::transport::Sink;

/// A writer that hands bytes on and advances a share by their number; a restart takes the number back.
pub(super) struct Metered<'a, S> {
    inner: S,
    share: &'a Share<'a>,
    bytes: u64,
}

impl<'a, S> Metered<'a, S> {
    pub(super) fn new(inner: S, share: &'a Share<'a>) -> Self {
        Self {
            inner,
            share,
            bytes: 0,
        }
    }

    /// Returns the inner sink.
    pub(super) fn into_inner(self) -> S {
        self.inner
    }
}

impl<S: Write> Write for Metered<'_, S> {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        let count = self.inner.write(buf)?;
        self.bytes += count as u64;
        self.share.advance(count as u64);
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

impl<S: Sink> Sink for Metered<'_, S> {
    fn restart(&mut self) -> io::Result<()> {
        self.inner.restart()?;
        self.share.take_back(std::mem::take(&mut self.bytes));
        Ok(())
    }
}
