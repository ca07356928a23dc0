//! The entries of the two tar archives in a `.deb`, read one after the other within bounds.
//!
//! The crate's own reader of long names takes as much memory as the archive says, so its raw entries are used, and GNU's and pax's records
//! of long names are read here.

use std::io::{self, Read};

use ::tar::{Archive, EntryType, PaxExtensions};

use super::error::Fault;

/// The longest path of an entry, and the longest record that may hold one.
const MAX_PATH_BYTES: u64 = 4096;
const MAX_RECORD_BYTES: u64 = 64 << 10;

/// An entry: its path as written, and what it is.
pub(super) struct Entry<'e> {
    pub(super) path: &'e [u8],
    pub(super) kind: EntryType,
    pub(super) data: &'e mut dyn Read,
}

/// Gives each entry of an archive to `take`, at most `limit` of them.
pub(super) fn each_entry(
    input: impl Read,
    limit: usize,
    take: &mut dyn FnMut(Entry<'_>) -> Result<(), Fault>,
) -> Result<(), Fault> {
    let mut archive = Archive::new(input);
    let mut long_name: Option<Vec<u8>> = None;
    let mut count = 0;
    for entry in archive.entries()?.raw(true) {
        let mut entry = entry?;
        count += 1;
        if count > limit {
            return Err(Fault::new(format!("it has more than {limit} entries")));
        }
        match entry.header().entry_type() {
            EntryType::GNULongName => {
                let mut name = record(&mut entry, MAX_PATH_BYTES)?;
                if name.last() == Some(&0) {
                    name.pop();
                }
                long_name = Some(name);
            }
            EntryType::XHeader => {
                let record = record(&mut entry, MAX_RECORD_BYTES)?;
                if let Some(path) = path_of(&record)? {
                    long_name = Some(path);
                }
            }
            EntryType::GNULongLink | EntryType::XGlobalHeader => {
                record(&mut entry, MAX_RECORD_BYTES)?;
            }
            kind => {
                let path = match long_name.take() {
                    Some(path) => path,
                    None => entry.header().path_bytes().into_owned(),
                };
                if path.len() as u64 > MAX_PATH_BYTES {
                    return Err(Fault::new("an entry has a path of more than 4096 bytes"));
                }
                take(Entry {
                    path: &path,
                    kind,
                    data: &mut entry,
                })?;
            }
        }
    }
    Ok(())
}

/// Reads an entry that is a record of the next one, within a bound.
fn record(entry: &mut impl Read, limit: u64) -> Result<Vec<u8>, Fault> {
    let mut bytes = Vec::new();
    entry.take(limit + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > limit {
        return Err(Fault::new(format!(
            "the record of a long name has more than {limit} bytes"
        )));
    }
    Ok(bytes)
}

/// Returns the path that a pax record gives to the next entry.
fn path_of(record: &[u8]) -> io::Result<Option<Vec<u8>>> {
    let mut path = None;
    for extension in PaxExtensions::new(record) {
        let extension = extension?;
        if extension.key_bytes() == b"path" {
            path = Some(extension.value_bytes().to_vec());
        }
    }
    Ok(path)
}
