//! Hints: the things that an operator can do about an error, as far as they are known. Settings, flags and commands are named here, and in no
//! error.

mod fetch;
mod lock;
pub(super) mod openpgp;
mod publish;
mod push;
#[cfg(feature = "serve")]
pub(super) mod serve;
mod store;

use std::io;

use aptmerge::error::{DomainError, Error};
use aptmerge::events::Warning;
use aptmerge::merge::MergeError;
use aptmerge::publish::{Ending, Refused};
use aptmerge::run::Unfinished;
use aptmerge::workspace::{StateError, SymlinkedDirectory};

use super::error::CliError;

/// Returns the hint for an error.
pub(super) fn of(error: &Error) -> Option<String> {
    if let Error::Io { source, .. } = error {
        return disk(source);
    }
    about(error, lock::hint)
        .or_else(|| about(error, state))
        .or_else(|| about(error, symlink))
        .or_else(|| about(error, openpgp::hint))
        .or_else(|| about(error, openpgp::of_key))
        .or_else(|| about(error, fetch::transport))
        .or_else(|| about(error, fetch::fetch))
        .or_else(|| about(error, fetch::spool))
        .or_else(|| about(error, merge))
        .or_else(|| about(error, publish::hint))
        .or_else(|| about(error, publish::ending))
        .or_else(|| about(error, |refused: &Refused| of(&refused.why)))
        .or_else(|| about(error, push::hint))
        .or_else(|| about(error, push::unpublished))
        .or_else(|| about(error, unfinished))
        .or_else(|| about(error, store::hint))
        .or_else(|| about(error, store::refusal))
        .or_else(|| about(error, cli))
        .or_else(|| of_server(error))
}

/// Returns the hint for a warning as it stands behind the text: on a line of its own, or in brackets behind a sentence that is complete.
pub(super) fn behind(warning: &Warning) -> String {
    let hint = warning
        .cause
        .as_ref()
        .and_then(|cause| Some((cause, of(cause)?)));
    match hint {
        Some((cause, hint)) if is_of_a_suite(cause) => format!(" ({hint})"),
        Some((_, hint)) => format!("\n  hint: {hint}"),
        None => String::new(),
    }
}

/// Returns whether a warning is about what becomes of one suite.
fn is_of_a_suite(cause: &Error) -> bool {
    cause.downcast_ref::<Refused>().is_some() || cause.downcast_ref::<Ending>().is_some()
}

/// Asks for the hint if the error is of one domain.
fn about<T: DomainError>(error: &Error, hint: impl FnOnce(&T) -> Option<String>) -> Option<String> {
    error.downcast_ref().and_then(hint)
}

#[cfg(feature = "serve")]
fn of_server(error: &Error) -> Option<String> {
    about(error, serve::hint)
}

#[cfg(not(feature = "serve"))]
fn of_server(_: &Error) -> Option<String> {
    None
}

fn disk(source: &io::Error) -> Option<String> {
    use io::ErrorKind;
    // The kind, since errors about temporary files have lost the system's number.
    let hint = match source.kind() {
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded => {
            "free some room, or inodes (df -i); what is served is untouched, and the next run goes on from there"
        }
        ErrorKind::FileTooLarge => {
            "raise the limit of the caller (ulimit -f), or that of the file system"
        }
        ErrorKind::ReadOnlyFilesystem => {
            "that file system is mounted for reading only: mount it for writing; and see why it is not (dmesg), for the kernel does that to a disk that fails"
        }
        ErrorKind::PermissionDenied => {
            "the user that runs aptmerge must be able to write below `root`"
        }
        _ => return None,
    };
    Some(hint.to_owned())
}

fn state(error: &StateError) -> Option<String> {
    match error {
        StateError::Damaged { path, .. } => Some(format!(
            "restore {0} from a backup, or remove it: the next run then builds every suite anew",
            path.display()
        )),
        StateError::Newer { .. } => {
            Some("a newer aptmerge wrote it: run that version, or a later one".into())
        }
        StateError::Private { owner, .. } => Some(match owner {
            Some(owner) => format!("run it as that user: sudo -u '{owner}' aptmerge …"),
            None => "run it as the user that runs aptmerge".into(),
        }),
        StateError::Foreign { root, owner, .. } => Some(format!(
            "run it as that user: sudo -u '{owner}' aptmerge …; if the site is to change hands: chown -R USER '{}'",
            root.display()
        )),
        StateError::Mixed { root, owner, .. } => Some(format!(
            "give it back, as root: chown -R '{owner}' '{}'",
            root.display()
        )),
        _ => None,
    }
}

fn symlink(_: &SymlinkedDirectory) -> Option<String> {
    Some("make it a directory; to have it on another disk, mount that there (mount --bind)".into())
}

fn merge(error: &MergeError) -> Option<String> {
    let hint = match error {
        MergeError::Index { .. } => {
            "the archive signed a file that is not a valid index: tell its maintainers; what is served is untouched"
        }
        MergeError::Overdue { .. } => {
            "look at what is new in its archives, or raise merge.suite-timeout where the machine is slow"
        }
        _ => return None,
    };
    Some(hint.to_owned())
}

fn unfinished(error: &Unfinished) -> Option<String> {
    Some(match of(&error.source) {
        Some(hint) => format!("{hint}; the next run finishes what is left"),
        None => "the next run finishes it".into(),
    })
}

fn cli(error: &CliError) -> Option<String> {
    match error {
        CliError::Usage(_) | CliError::Unwritten(_) | CliError::NotStarted { .. } => None,
        CliError::NoPackage { nearest, .. } => Some(match nearest {
            Some(nearest) => format!("did you mean `{nearest}`?"),
            None => {
                "only indices of the configured suites, components and architectures are fetched"
                    .into()
            }
        }),
        CliError::Clock => Some("set it (timedatectl), and run again".into()),
    }
}

#[cfg(test)]
mod tests;
