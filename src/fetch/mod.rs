//! Fetch: refreshes the spool from every archive, verified, or keeps the last good copy and says so.

pub mod decode;
mod error;
pub mod hashing;
mod index;
mod refresh;
mod spool;
mod suite;
pub mod transport;
mod unclaimed;
pub mod uri;

pub use error::FetchError;
pub use refresh::{FetchOptions, refresh};
pub use spool::{Freshness, Spool, SpoolInput, SpooledSuite, StoredIndex, SuiteCopy};
