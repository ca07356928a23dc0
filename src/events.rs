//! The events that the library tells while it works. The listener decides what becomes of them: the library itself never prints.

use std::fmt;

use crate::error::Error;

/// Something worth telling while a run goes on.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Event {
    /// A step of the run begins.
    Step(&'static str),
    /// Something was done; for `-v`.
    Info(String),
    /// Something that an operator should look at, though the run goes on.
    Warning(Warning),
}

/// Something that an operator should look at, though the run goes on.
#[derive(Debug, Clone)]
pub struct Warning {
    /// The fact, with its causes.
    pub text: String,
    /// The error that the text tells of, if it tells of one: the listener may know what to do about it.
    pub cause: Option<Error>,
}

/// Listens to a run.
pub trait Listener: Sync {
    /// Takes note of an event; called from any thread.
    fn event(&self, event: Event);

    /// Takes note that long work begins; what is returned is told how it goes on, and is dropped when it ends, well or not.
    fn progress(&self, task: Task) -> Box<dyn Progress + '_> {
        let _ = task;
        Box::new(Hidden)
    }
}

/// The progress of a task, for whoever shows it; any thread may tell it.
pub trait Progress: Send + Sync {
    /// Sets the length of the task, once it is known; called once at most. [`Task`] says in which unit.
    fn set_length(&self, length: u64);

    /// Counts so much more as done. It may come to more than the length where something had to be done twice, and to less where something
    /// was not needed.
    fn inc(&self, done: u64);
}

/// A progress that nobody watches.
#[derive(Debug, Clone, Copy, Default)]
pub struct Hidden;

impl Progress for Hidden {
    fn set_length(&self, _: u64) {}
    fn inc(&self, _: u64) {}
}

impl dyn Listener + '_ {
    /// Says that a step begins.
    pub fn step(&self, step: &'static str) {
        self.event(Event::Step(step));
    }

    /// Says what was done.
    pub(crate) fn info(&self, text: impl Into<String>) {
        self.event(Event::Info(text.into()));
    }

    /// Says what an operator should look at.
    pub fn warn(&self, text: impl Into<String>) {
        self.event(Event::Warning(Warning {
            text: text.into(),
            cause: None,
        }));
    }

    /// Says what an operator should look at, and which error is the cause.
    pub(crate) fn warn_of(&self, text: impl Into<String>, cause: impl Into<Error>) {
        self.event(Event::Warning(Warning {
            text: text.into(),
            cause: Some(cause.into()),
        }));
    }
}

/// A listener that does not listen.
#[derive(Debug, Clone, Copy, Default)]
pub struct Silent;

impl Listener for Silent {
    fn event(&self, _: Event) {}
}

/// Work that takes its time.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Task {
    /// A suite of an archive is fetched; its length is that of the files of indices as they are transferred, in bytes.
    Fetch {
        /// The archive.
        archive: String,
        /// Its suite.
        suite: String,
    },
    /// A suite is merged; its length is a number of indices.
    Merge {
        /// The merged suite.
        suite: String,
    },
    /// The files that were built are read back; its length is a number of suites.
    Check,
    /// Trees are forced to the disk and brought into line; has no length.
    Sync,
    /// Production is pushed; its length is a number of stages, if anything has to be pushed.
    Push {
        /// The target's name.
        target: String,
    },
}

impl fmt::Display for Task {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Task::Fetch { archive, suite } => write!(f, "fetch {archive} {suite}"),
            Task::Merge { suite } => write!(f, "merge {suite}"),
            Task::Check => f.write_str("check"),
            Task::Sync => f.write_str("sync"),
            Task::Push { target } => write!(f, "push to {target}"),
        }
    }
}
