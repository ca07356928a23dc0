//! Fetch: refreshes the spool from every archive, verified, or keeps the last good copy and says so.

mod index;
mod memory;
mod metered;
mod proof;
mod refresh;
mod spool;
mod suite;
pub mod transport;
mod unclaimed;

pub use crate::error::FetchError;
pub use proof::ObjectName;
pub use refresh::{FetchOptions, refresh};
pub use spool::{Freshness, Spool, SpoolInput, SpooledSuite, StoredIndex, SuiteCopy};
pub use suite::Seen;
