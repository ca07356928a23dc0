//! Statements about keys that need no run.

use aptmerge::config::Config;
use aptmerge::error::Result;
use aptmerge::fetch::Spool;
use aptmerge::run::{Horizon, KeyNotice, keys_of_archives, own_keys};
use aptmerge::workspace::View;
use jiff::Timestamp;

/// Returns the time up to which keys should last.
pub(super) fn horizon(config: &Config, now: Timestamp) -> Horizon {
    Horizon::new(&config.specs(), now)
}

/// Returns what there is to say about the keys that signed what was fetched last.
pub(super) fn of_archives(config: &Config, now: Timestamp) -> Result<Vec<KeyNotice>> {
    let setup = config.setup();
    let view = View::open(&config.root)?;
    let spool = Spool::view(&view, &setup.sources, &setup.suites, now)?;
    Ok(keys_of_archives(&spool, horizon(config, now)))
}

/// Returns what there is to say about the keys that sign here.
pub(super) fn own(config: &Config, now: Timestamp) -> Result<Vec<KeyNotice>> {
    let keys = config.signing.signer()?.ready(now.into())?;
    Ok(own_keys(&keys, horizon(config, now)))
}
