//! The deadline of a merge: no input, however it is made, holds the run's lock for ever.
//!
//! Each step is n log n at most, which is why no honest input comes near it; the deadline is for what nobody thought of. It is asked
//! before an index is read, within the steps that read lines and stanzas one by one, and before an index is handed on. A merge
//! that is over it fails like one whose input is wrong: its suite stays as it is published, and the others go on.

use std::time::Instant;

use crate::config::TimeSpan;

/// When a merge is given up.
#[derive(Debug, Clone, Copy)]
pub struct Deadline {
    begun: Instant,
    pub(super) span: TimeSpan,
}

impl Deadline {
    /// A deadline that is so far away from now.
    pub fn after(span: TimeSpan) -> Self {
        let begun = Instant::now();
        Self { begun, span }
    }

    /// Returns whether it is over.
    pub(super) fn is_over(&self) -> bool {
        self.begun.elapsed() >= self.span.duration()
    }
}
