//! What the library has to say while it works. Who listens decides what becomes of it: the library itself never prints.

use crate::progress::{Progress, Task};

/// Something worth telling while a run goes on.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event {
    /// A step of the run begins.
    Step(&'static str),
    /// Something was done; for `-v`.
    Info(String),
    /// Something that an operator should look at, though the run goes on.
    Warning(String),
    /// Long work begins, goes on or ends.
    Progress(Task, Progress),
}

/// Listens to a run, and can stop it.
pub trait Listener: Sync {
    /// Takes note of an event; called from any thread.
    fn event(&self, event: Event);

    /// Whether the run should stop at the next safe place.
    fn is_cancelled(&self) -> bool {
        false
    }
}

impl dyn Listener + '_ {
    /// Says that a step begins.
    pub fn step(&self, step: &'static str) {
        self.event(Event::Step(step));
    }

    /// Says what was done.
    pub fn info(&self, text: impl Into<String>) {
        self.event(Event::Info(text.into()));
    }

    /// Says what an operator should look at.
    pub fn warn(&self, text: impl Into<String>) {
        self.event(Event::Warning(text.into()));
    }
}

/// A listener that does not listen.
#[derive(Debug, Clone, Copy, Default)]
pub struct Silent;

impl Listener for Silent {
    fn event(&self, _: Event) {}
}
