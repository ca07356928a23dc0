//! Fetch: refreshes the spool from every archive and verifies what comes, or keeps the last good copy and says so.

mod age;
mod copy;
mod error;
mod flat;
mod index;
mod input;
mod looks;
mod memory;
mod metered;
mod object;
mod proof;
mod refresh;
mod settings;
mod spool;
mod stored;
pub mod transport;
mod unclaimed;
mod update;

pub use error::{FetchError, SpoolError};
pub use looks::Looks;
pub(crate) use refresh::refresh;
pub use settings::{Settings, Source, SourceSuite, Sources};
pub use spool::Spool;
pub(crate) use update::FetchOptions;
