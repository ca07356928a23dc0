//! A filter for the tar archives that icons come in: it stops at every entry that would make the reader hold much in memory.

use std::io::{self, Read};

use tar::{EntryType, Header};

/// The most bytes that the name of an entry may have, if it stands in an entry of its own.
const MAX_NAME_BYTES: u64 = 64 << 10;

/// The length of a block, the unit of a tar archive.
const BLOCK_BYTES: usize = 512;

/// A reader that passes an archive on. It fails at the header of an entry for which the tar reader would need memory without bound: names
/// and pax records, which come as entries of any size, and sparse files.
pub(super) struct PlainTar<R> {
    inner: R,
    header: Vec<u8>,
    /// The number of bytes of the entry, padding included, that follow before the next header.
    left: u64,
}

impl<R: Read> PlainTar<R> {
    pub(super) fn new(inner: R) -> Self {
        Self {
            inner,
            header: Vec::with_capacity(BLOCK_BYTES),
            left: 0,
        }
    }

    /// Checks the bytes that were read, wherever headers begin and end in them.
    fn look(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            if self.left > 0 {
                let skipped =
                    usize::try_from(self.left).map_or(bytes.len(), |n| n.min(bytes.len()));
                self.left -= skipped as u64;
                bytes = &bytes[skipped..];
                continue;
            }
            let wanted = (BLOCK_BYTES - self.header.len()).min(bytes.len());
            self.header.extend_from_slice(&bytes[..wanted]);
            bytes = &bytes[wanted..];
            if self.header.len() == BLOCK_BYTES {
                self.left = entry_bytes(&self.header)?;
                self.header.clear();
            }
        }
        Ok(())
    }
}

/// Returns the length of the entry after a header, in bytes of whole blocks.
fn entry_bytes(block: &[u8]) -> io::Result<u64> {
    if block.iter().all(|b| *b == 0) {
        return Ok(0); // the end
    }
    let header = Header::from_byte_slice(block);
    let size = header.entry_size()?;
    let refuse = |why: String| Err(io::Error::new(io::ErrorKind::InvalidData, why));
    match header.entry_type() {
        EntryType::GNULongName
        | EntryType::GNULongLink
        | EntryType::XHeader
        | EntryType::XGlobalHeader
            if size > MAX_NAME_BYTES =>
        {
            return refuse(format!("a name, or what stands for one, has {size} bytes"));
        }
        EntryType::GNUSparse => return refuse("a sparse file is in it".into()),
        _ => {}
    }
    Ok(size.saturating_add(BLOCK_BYTES as u64 - 1) / BLOCK_BYTES as u64 * BLOCK_BYTES as u64)
}

impl<R: Read> Read for PlainTar<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        self.look(buffer.get(..count).unwrap_or_default())?;
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    /// Hands out a few bytes at a time.
    struct Drip<'a>(&'a [u8], usize);

    impl Read for Drip<'_> {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            let count = self.1.min(self.0.len()).min(buffer.len());
            buffer[..count].copy_from_slice(&self.0[..count]);
            self.0 = &self.0[count..];
            Ok(count)
        }
    }

    fn archive(names: &[&str]) -> Vec<u8> {
        let mut archive = tar::Builder::new(Vec::new());
        for (n, name) in names.iter().enumerate() {
            let mut header = Header::new_gnu();
            header.set_size(n as u64 * 700);
            header.set_mode(0o644);
            archive
                .append_data(&mut header, name, &vec![b'x'; n * 700][..])
                .unwrap();
        }
        archive.into_inner().unwrap()
    }

    #[test]
    fn what_is_plain_passes_and_long_names_do_not() {
        let long = "n".repeat(300);
        let data = archive(&["a", "b", &long, "c"]);
        for step in [1, 7, 511, 512, 513, 100_000] {
            let mut read = tar::Archive::new(PlainTar::new(Drip(&data, step)));
            let names: Vec<_> = read
                .entries()
                .unwrap()
                .map(|e| e.unwrap().path_bytes().len())
                .collect();
            assert_eq!(names, [1, 1, 300, 1]);
        }
        let longer = "n/".repeat(40_000);
        let data = archive(&["a", "b", &longer]);
        let mut read = PlainTar::new(Drip(&data, 100));
        let error = io::copy(&mut read, &mut io::sink()).unwrap_err();
        assert!(
            error.to_string().contains("80000") || error.to_string().contains("80001"),
            "{error}"
        );
    }

    #[test]
    fn sparse_files_and_sizes_that_are_none_are_refused() {
        let mut header = Header::new_gnu();
        header.set_path("a").unwrap();
        header.set_size(0);
        header.set_entry_type(EntryType::GNUSparse);
        header.set_cksum();
        let sparse = header.as_bytes().to_vec();
        assert!(
            PlainTar::new(&sparse[..])
                .read_to_end(&mut Vec::new())
                .is_err()
        );
        let odd = vec![b'z'; 512];
        assert!(
            PlainTar::new(&odd[..])
                .read_to_end(&mut Vec::new())
                .is_err()
        );
    }
}
