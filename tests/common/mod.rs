//! What several test files share.
#![allow(dead_code)]

pub(crate) mod upstream;
pub(crate) mod web;
