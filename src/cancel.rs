//! The token by which a run is told to stop.
//!
//! Whoever starts a run keeps a clone of its token, and may cancel it from any thread. The run asks the token before each step, suite,
//! archive and index, in pauses, and while bytes come; then it ends with [`Cancelled`], as after any other failure: what is served stays, and the
//! next run converges. From the swap to the swap back nothing asks: the tree that is served is to be in production before the run ends.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// A token that all its clones share. It begins uncancelled, and stays cancelled.
#[derive(Debug, Clone, Default)]
pub struct Cancel(Arc<AtomicBool>);

/// The run was told to stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("stopped")]
pub struct Cancelled;

impl Cancel {
    /// Tells whoever asks to stop.
    pub fn cancel(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    /// Returns whether the run should stop.
    pub fn is_cancelled(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }

    /// Fails once the run should stop.
    pub fn check(&self) -> Result<(), Cancelled> {
        match self.is_cancelled() {
            true => Err(Cancelled),
            false => Ok(()),
        }
    }
}
