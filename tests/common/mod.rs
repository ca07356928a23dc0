//! What several test files share.
#![allow(dead_code, unreachable_pub, clippy::unwrap_used, clippy::print_stderr)]

pub(crate) mod site;
pub(crate) mod upstream;
pub(crate) mod web;
