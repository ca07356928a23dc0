//! Signals are blocked where they must not end us, and waited for where they matter; there are no handlers.
//!
//! A run may be killed at any moment, and the next one converges, so there is nothing for a handler to clean up. A signal that ends a run
//! does not cancel it in order ([`crate::cancel`]): an orderly end could wait for a server that does not answer, and the kernel ends the
//! run, and its lock, at once.
//!
//! A blocked signal stays blocked in every process that is started, so a command of somebody else's is started with [`unblock`].

use std::io;

use nix::sys::signal::{SigSet, Signal};

/// The signals by which somebody may end us.
pub const ENDING: [Signal; 4] = [
    Signal::SIGINT,
    Signal::SIGQUIT,
    Signal::SIGTERM,
    Signal::SIGHUP,
];

/// The signal by which a run tells the guardian of its push to give up.
pub(crate) const GIVE_UP: Signal = Signal::SIGUSR1;

/// Blocks signals in this thread, and in those that it starts.
pub fn block(signals: impl IntoIterator<Item = Signal>) -> io::Result<SigSet> {
    let set: SigSet = signals.into_iter().collect();
    set.thread_block()?;
    Ok(set)
}

/// Takes back all that [`block`] blocks anywhere.
pub fn unblock() -> io::Result<()> {
    let mut set: SigSet = ENDING.into_iter().collect();
    set.add(Signal::SIGXFSZ);
    set.add(GIVE_UP);
    Ok(set.thread_unblock()?)
}
