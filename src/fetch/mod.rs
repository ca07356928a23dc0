//! Fetch: refreshes the spool from every archive and verifies what comes, or keeps the last good copy and says so.

mod age;
mod copy;
mod error;
mod index;
mod input;
mod memory;
mod metered;
mod object;
mod proof;
mod refresh;
mod settings;
mod spool;
pub mod transport;
mod unclaimed;
mod update;

pub use copy::{ObjectName, Seen, StoredIndex, SuiteCopy};
pub use error::{FetchError, SpoolError};
pub use refresh::refresh;
pub use settings::{Settings, Source, Sources};
pub use spool::{Freshness, Spool, SpooledSuite};
pub use update::FetchOptions;
