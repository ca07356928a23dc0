//! The target of fetched bytes: a writer that can start over, since a second try begins at the first byte.

use std::fs::File;
use std::io::{self, BufWriter, Seek, Write};

use crate::hashing::HashingWriter;

/// A writer that can forget everything that was written.
pub trait Sink: Write {
    /// Forgets everything: the next byte is the first one.
    fn restart(&mut self) -> io::Result<()>;
}

impl Sink for Vec<u8> {
    fn restart(&mut self) -> io::Result<()> {
        self.clear();
        Ok(())
    }
}

impl Sink for File {
    fn restart(&mut self) -> io::Result<()> {
        self.set_len(0)?;
        self.rewind()
    }
}

impl Sink for tempfile::NamedTempFile {
    fn restart(&mut self) -> io::Result<()> {
        self.as_file_mut().restart()
    }
}

impl Sink for io::Sink {
    fn restart(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<S: Sink + ?Sized> Sink for &mut S {
    fn restart(&mut self) -> io::Result<()> {
        (**self).restart()
    }
}

impl<S: Sink> Sink for BufWriter<S> {
    fn restart(&mut self) -> io::Result<()> {
        // Bytes still in the buffer would otherwise be written after the restart.
        self.flush()?;
        self.get_mut().restart()
    }
}

impl<S: Sink> Sink for HashingWriter<S> {
    fn restart(&mut self) -> io::Result<()> {
        self.hasher.reset();
        self.inner.restart()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use crate::hashing::Hasher;

    #[test]
    fn a_restart_reaches_through_every_layer() {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        let mut sink = HashingWriter::with(BufWriter::new(&mut file), Hasher::new());
        sink.write_all(b"a first try that was cut").unwrap();
        sink.restart().unwrap();
        sink.write_all(b"abc").unwrap();
        sink.flush().unwrap();
        let (_, digests) = sink.finish();
        assert_eq!(digests.length, 3);
        assert_eq!(std::fs::read(file.path()).unwrap(), b"abc");
    }
}
