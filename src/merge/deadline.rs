//! The deadline of a merge: no input, however it is made, holds the run's lock for ever.
//!
//! Each step is n log n at most, which is why no honest input comes near it; the deadline is for what nobody thought of. It is asked
//! before an index is read, within the steps that read lines and stanzas one by one, and before an index is handed on. A merge
//! that is over it fails like one whose input is wrong: its suite stays as it is published, and the others go on.

use std::collections::BTreeSet;
use std::io::Write;
use std::time::Instant;

use crate::config::TimeSpan;
use crate::error::{Error, Result};
use crate::indices::IndexName;

use super::suite::{Sink, SuiteMerge};
use super::{DerivedKey, Text};

/// When a merge is given up.
#[derive(Debug, Clone, Copy)]
pub struct Deadline {
    begun: Instant,
    span: TimeSpan,
}

impl Deadline {
    /// A deadline that is so far away from now.
    pub fn after(span: TimeSpan) -> Self {
        let begun = Instant::now();
        Self { begun, span }
    }

    fn is_over(&self) -> bool {
        self.begun.elapsed() >= self.span.duration()
    }
}

impl SuiteMerge<'_> {
    /// Fails once the deadline is over.
    pub(super) fn in_time(&self) -> Result<()> {
        match self.deadline.is_over() {
            false => Ok(()),
            true => Err(Error::Overdue {
                suite: self.name.to_string(),
                span: self.deadline.span,
            }),
        }
    }
}

/// A sink that takes nothing any more once the deadline is over.
pub(super) struct InTime<'a> {
    pub(super) merge: &'a SuiteMerge<'a>,
    pub(super) sink: &'a dyn Sink,
}

impl Sink for InTime<'_> {
    fn text(&self, name: &IndexName, text: &Text<'_>) -> Result<()> {
        self.merge.in_time()?;
        self.sink.text(name, text)
    }

    fn stream(
        &self,
        name: &IndexName,
        produce: &mut dyn FnMut(&mut dyn Write) -> Result<()>,
    ) -> Result<()> {
        self.merge.in_time()?;
        self.sink.stream(name, produce)
    }

    fn recall(&self, names: &[IndexName], key: &DerivedKey) -> Result<Option<BTreeSet<String>>> {
        self.sink.recall(names, key)
    }

    fn remember(&self, names: &[IndexName], key: &DerivedKey, warnings: &BTreeSet<String>) {
        self.sink.remember(names, key, warnings);
    }
}
