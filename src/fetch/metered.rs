//! A sink that tells the progress of a fetch of the bytes that come.

use std::io::{self, Write};

use crate::events::Progress;

use super::transport::Sink;

/// A sink that hands bytes on and counts them.
pub(super) struct Metered<'a, S> {
    pub(super) inner: S,
    pub(super) progress: &'a dyn Progress,
}

impl<S: Write> Write for Metered<'_, S> {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        let count = self.inner.write(buf)?;
        self.progress.inc(count as u64);
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

impl<S: Sink> Sink for Metered<'_, S> {
    fn restart(&mut self) -> io::Result<()> {
        self.inner.restart()
    }
}
