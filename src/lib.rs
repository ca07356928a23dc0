//! aptmerge merges several APT archives into one and publishes the result so that no client, at any moment, meets a
//! half-made state.

pub mod openpgp;
#[cfg(feature = "serve")]
pub mod serve;
