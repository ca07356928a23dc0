//! The events that the library tells while it works. The listener decides what becomes of them: the library itself never prints.

use std::fmt;

use crate::config::Family;

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

/// Listens to a run.
pub trait Listener: Sync {
    /// Takes note of an event; called from any thread.
    fn event(&self, event: Event);
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

/// Work that takes its time.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Task {
    /// A suite of an archive is fetched; its bytes are those of the files as they are transferred.
    Fetch {
        /// The archive.
        archive: String,
        /// Its suite.
        suite: String,
    },
    /// The fetched files of a suite are unpacked into the spool; the bytes of the task are plain ones.
    Unpack {
        /// The archive.
        archive: String,
        /// Its suite.
        suite: String,
    },
    /// Indices of a suite are merged; its bytes are the plain bytes of their inputs. Each family is a task of its own, since a
    /// byte of one may cost ten times what it costs in another: a rate means something within a family only.
    Merge {
        /// The merged suite.
        suite: String,
        /// The family.
        family: Family,
    },
    /// The files that were built are read back; has no bytes.
    Check,
    /// Trees are forced to the disk and brought into line; has no bytes.
    Sync,
    /// Production is pushed; has no bytes.
    Push {
        /// The target's name.
        target: String,
    },
}

impl fmt::Display for Task {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Task::Fetch { archive, suite } => write!(f, "fetch {archive} {suite}"),
            Task::Unpack { archive, suite } => write!(f, "unpack {archive} {suite}"),
            Task::Merge { suite, family } => write!(f, "merge {suite} {}", word(*family)),
            Task::Check => f.write_str("check"),
            Task::Sync => f.write_str("sync"),
            Task::Push { target } => write!(f, "push to {target}"),
        }
    }
}

/// Returns a family as the configuration spells it.
fn word(family: Family) -> &'static str {
    match family {
        Family::Packages => "packages",
        Family::Sources => "sources",
        Family::Installer => "installer",
        Family::Contents => "contents",
        Family::Translations => "translations",
        Family::Dep11 => "dep11",
        Family::Commands => "commands",
    }
}

/// The progress of a task. A task begins once, and then ends once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Progress {
    /// The task begins; how much there is to do is not known yet.
    Began,
    /// So many bytes of so many are done. Both numbers may become less: bytes that have to be done again do not count as done.
    Reached {
        /// The bytes that are done.
        done: u64,
        /// The bytes that are expected, those included.
        expected: u64,
    },
    /// The task ended, well or not.
    Ended,
}
