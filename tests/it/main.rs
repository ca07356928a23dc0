//! All tests of the program and of the library from outside, as one binary, so that it is linked once.
//!
//! They run beside each other in one process: none changes what belongs to the process (its environment, its directory, its umask, its
//! signals) or waits for children that it did not start. A test that has to does it in a process of its own, see `common::programs::is_alone`.
#![allow(clippy::unwrap_used, clippy::print_stderr)]

// The compiler says what is dead in it where all tests are there.
#[cfg_attr(not(feature = "serve"), expect(dead_code))]
mod common;

mod absent;
mod answers;
#[cfg(feature = "serve")]
mod apt;
mod attempts;
mod bad_input;
mod cancel;
mod checkpoints;
mod client;
mod clients;
mod config;
mod damage;
mod differences;
mod distrust;
mod docs;
mod explain;
mod families;
mod faults;
mod fetch;
#[cfg(feature = "serve")]
mod flat;
mod floors;
mod foretold;
mod growth;
mod history;
mod hostile;
mod import;
mod incremental;
mod inputs;
mod instead;
mod keys;
mod lock;
mod lock_file;
mod manifest;
mod many;
mod merge;
mod news;
#[cfg(feature = "serve")]
mod odd;
mod odd_releases;
mod openpgp;
mod own;
mod owner;
#[cfg(feature = "serve")]
mod pdiff;
mod privileges;
mod progress;
mod proxies;
mod push;
mod reach;
mod recovery;
mod release;
mod repository;
#[cfg(feature = "serve")]
mod requests;
mod rules;
#[cfg(feature = "serve")]
mod serve;
mod snapshot;
mod spec;
mod ssh;
mod store;
mod stores;
mod taken;
mod tls;
mod told;
mod transfer;
mod transport;
mod web_servers;
mod worlds;
