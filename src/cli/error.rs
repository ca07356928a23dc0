//! The errors of the command line itself.

use std::io;

use aptmerge::error::{DomainError, ErrorKind};

/// The reason why a verb cannot do what it was asked for.
#[derive(Debug, thiserror::Error)]
pub(super) enum CliError {
    /// The command line makes no sense.
    #[error("{0}")]
    Usage(String),
    /// No archive has a package of a name.
    #[error("no archive has a package, udeb or source `{package}` in what is fetched")]
    NoPackage {
        /// The name.
        package: String,
        /// The most similar name that there is.
        nearest: Option<String>,
    },
    /// The clock of the machine says a time that cannot be.
    #[error(
        "the clock of this machine is wrong: no key and no signature can be of the time that it shows"
    )]
    Clock,
    /// The answer cannot be written; the reason stands in the message, so that it is one line.
    #[error("cannot write to stdout: {0}")]
    Unwritten(String),
    /// A command that is to run under the lock cannot be started.
    #[error("cannot run {program}")]
    NotStarted {
        /// The command.
        program: String,
        /// The reason.
        source: io::Error,
    },
}

impl DomainError for CliError {
    fn kind(&self) -> ErrorKind {
        match self {
            CliError::Usage(_) => ErrorKind::Usage,
            CliError::NoPackage { .. } => ErrorKind::NotFound,
            CliError::NotStarted { source, .. } if source.kind() == io::ErrorKind::NotFound => {
                ErrorKind::NotFound
            }
            CliError::Clock | CliError::Unwritten(_) | CliError::NotStarted { .. } => {
                ErrorKind::Machine
            }
        }
    }
}
