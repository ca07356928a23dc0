//! aptmerge merges several APT archives into one and publishes the result so that no client, at any moment, meets a
//! half-made state.
//!
//! A run is [`run::run`]: it holds the lock, and walks from the archives to the targets. See ARCHITECTURE.md for the house.

mod cache;
pub mod cancel;
mod chain;
pub mod collection;
pub mod compress;
pub mod config;
pub mod deb;
pub mod deb822;
mod decode;
pub mod difference;
mod durable;
pub mod error;
pub mod events;
pub mod fetch;
#[cfg(any(test, fuzzing))]
#[doc(hidden)]
pub mod fuzzing;
mod hashing;
pub mod indices;
mod layout;
mod listing;
pub mod lock;
mod manifest;
pub mod merge;
pub mod names;
pub mod openpgp;
mod pdiff;
pub mod proxy;
pub mod publish;
pub mod push;
pub mod query;
pub mod quoted;
mod report;
pub mod run;
#[cfg(feature = "serve")]
pub mod serve;
pub mod signals;
pub mod spec;
pub mod store;
mod suite_report;
mod text;
pub mod units;
pub mod uri;
mod verdicts;
pub mod workspace;
