//! What several test files share; each uses a part of it.

pub(crate) mod apt;
pub(crate) mod certs;
pub(crate) mod gnupg;
pub(crate) mod history;
pub(crate) mod packages;
pub(crate) mod processes;
pub(crate) mod programs;
pub(crate) mod site;
pub(crate) mod state;
pub(crate) mod targets;
pub(crate) mod upstream;
pub(crate) mod web;
