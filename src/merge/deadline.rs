//! The deadline of a merge: no input, whatever is in it, holds the run's lock for ever.
//!
//! Each step takes n log n time at most, so no honest input comes near the deadline; it is for inputs that nobody thought of. The merge
//! checks it before it reads an index, within the steps that read lines and stanzas one by one, and before it hands an index on. A merge
//! that is over its deadline fails like one with a faulty input: its suite stays as it is published, and the other suites go on.

use std::time::Instant;

use crate::cancel::Cancel;
use crate::units::TimeSpan;

/// The time at which a merge is given up.
#[derive(Debug, Clone)]
pub(crate) struct Deadline {
    begun: Instant,
    pub(super) cancel: Cancel,
    pub(super) span: TimeSpan,
}

impl Deadline {
    /// Returns a deadline that lies `span` after now, and comes at once if the token is cancelled.
    pub(crate) fn after(span: TimeSpan, cancel: &Cancel) -> Self {
        Self {
            begun: Instant::now(),
            cancel: cancel.clone(),
            span,
        }
    }

    /// Returns whether the deadline is over.
    pub(super) fn is_over(&self) -> bool {
        self.begun.elapsed() >= self.span.duration()
    }
}
