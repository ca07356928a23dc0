//! Fetch: refreshes the spool from every archive, verified, or keeps the last good copy and says so.

pub mod decode;
mod error;
pub mod hashing;
mod index;
mod memory;
mod metered;
mod proof;
mod refresh;
mod spool;
mod suite;
pub mod transport;
mod unclaimed;
pub mod uri;

pub use error::FetchError;
pub use proof::ObjectName;
pub use refresh::{FetchOptions, refresh};
pub use spool::{Freshness, Spool, SpoolInput, SpooledSuite, StoredIndex, SuiteCopy};
pub use suite::Seen;

/// A decoder, by number, with a limit.
#[cfg(any(test, fuzzing))]
pub(crate) fn fuzz_decode<'a>(
    number: usize,
    data: &'a [u8],
    limit: u64,
) -> std::io::Result<impl std::io::Read + 'a> {
    let all = decode::Compression::ALL;
    let reader = decode::decoder(all[number % all.len()], data)?;
    Ok(decode::Limited::new(reader, limit))
}
