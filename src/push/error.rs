//! The reasons why a target was not pushed to.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::process::ExitStatus;
use std::sync::Arc;

use crate::error::{DomainError, ErrorKind};
use crate::quoted::quoted;
use crate::units::TimeSpan;

/// A target that was not pushed to.
#[derive(Debug, Clone, thiserror::Error)]
#[error("push to `{target}` failed: {fault}")]
pub struct PushError {
    /// The name of the target.
    pub target: String,
    /// The reason.
    pub fault: PushFault,
}

/// The reason why a target was not pushed to.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum PushFault {
    /// Another site pushes there.
    #[error("nothing was pushed: it carries the mark of another site ({})", quoted(.mark))]
    OtherOwner {
        /// The name of that site's mark.
        mark: String,
    },
    /// The target has suites that were not pushed from here.
    #[error("nothing was pushed: it holds suites that this site never pushed there: {}", some_of(.suites.iter()))]
    OtherSuites {
        /// Their names.
        suites: Vec<String>,
    },
    /// The target has more than a look can take in.
    #[error("a look at it: it holds more than any archive has suites")]
    TooMuch,
    /// rsync does not say what a look asks for.
    #[error("a look at it: rsync does not tell whether the owner's mark is there")]
    Silenced,
    /// The guardian of the transfer does not start.
    #[error("{step}: cannot start its guardian {}: {source}", program.display())]
    Guardian {
        /// The part of the push.
        step: &'static str,
        /// The program.
        program: PathBuf,
        /// Why.
        source: Arc<std::io::Error>,
    },
    /// The transfer failed.
    #[error("{step}: {} {ended}: {said}", program.display())]
    Transfer {
        /// The part of the push.
        step: &'static str,
        /// The program that transfers.
        program: PathBuf,
        /// The way in which it ended.
        ended: Ended,
        /// The last lines that the program wrote.
        said: String,
    },
}

/// The way in which a transfer ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Ended {
    /// By itself, with an exit status that means failure.
    With(ExitStatus),
    /// By itself, since the target was silent for too long.
    Silent(ExitStatus),
    /// By being killed, after the time that the push may take.
    OutOfTime(TimeSpan),
}

impl std::fmt::Display for Ended {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Ended::With(status) | Ended::Silent(status) => write!(f, "ended with {status}"),
            Ended::OutOfTime(span) => {
                write!(f, "was killed, since the push took longer than {span}")
            }
        }
    }
}

/// Suites of others at a target that is ours: not a failure, but something to warn of.
#[derive(Debug, Clone, thiserror::Error)]
#[error("target `{target}` holds what this site does not publish, and it stays: {}", some_of(.suites.iter()))]
pub struct Unpublished {
    /// The name of the target.
    pub target: String,
    /// The names of those suites.
    pub suites: BTreeSet<String>,
}

impl DomainError for PushError {
    fn kind(&self) -> ErrorKind {
        ErrorKind::Push
    }
}

impl DomainError for Unpublished {
    fn kind(&self) -> ErrorKind {
        ErrorKind::Push
    }
}

/// Returns the first few of these names, for a message.
pub(super) fn some_of<'a>(names: impl Iterator<Item = &'a String> + Clone) -> String {
    const SHOWN: usize = 5;
    let shown: Vec<_> = names.clone().take(SHOWN).map(|name| quoted(name)).collect();
    let more = names.skip(SHOWN).count();
    match more {
        0 => shown.join(", "),
        more => format!("{} and {more} more", shown.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_lists_are_short_in_messages() {
        let names: Vec<String> = ["a", "b\u{1b}", "c", "d", "e", "f", "g"]
            .map(str::to_owned)
            .to_vec();
        assert_eq!(some_of(names.iter()), "a, b\\u{1b}, c, d, e and 2 more");
        assert_eq!(some_of(names[..1].iter()), "a");
    }
}
