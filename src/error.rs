//! The error of a run: what failed, on what, why, and what to do about it.

pub(crate) mod fetch;

use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::cancel::Cancelled;
use crate::config::ConfigError;

pub use crate::chain::chain;
pub use fetch::FetchError;

/// Shorthand for results of the run and its steps.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// The reason why a command failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The file system refused an operation.
    #[error("cannot {action} {path}")]
    Io {
        /// The operation that was tried, in the infinitive.
        action: &'static str,
        /// The file or directory.
        path: PathBuf,
        /// The error that the system returned.
        source: io::Error,
    },
    /// The configuration cannot be used.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The lock cannot be had.
    #[error(transparent)]
    Lock(#[from] crate::lock::LockError),
    /// The clock of the machine says a time that cannot be.
    #[error(
        "the clock of this machine is wrong: no key and no signature can be of the time that it shows"
    )]
    Clock,
    /// A recorded state cannot be read.
    #[error("the recorded state {path} cannot be understood")]
    State {
        /// The file.
        path: PathBuf,
        /// Why.
        source: serde_json::Error,
    },
    /// A recorded state was written by a newer program.
    #[error(
        "the recorded state {path} is in format {format}, and this aptmerge knows formats up to {known}"
    )]
    NewerState {
        /// The file.
        path: PathBuf,
        /// The number of the file's format.
        format: u64,
        /// The number of the newest format that this program reads.
        known: u64,
    },
    /// The state belongs to another user.
    #[error("{path} is for {} alone", .owner.as_ref().map_or("another user".to_owned(), |owner| format!("the user {owner}")))]
    Private {
        /// The directory of the state.
        path: PathBuf,
        /// The name of that user, or `#` and the number.
        owner: Option<String>,
    },
    /// Something other than the link stands in the link's place.
    #[error("{path} is not the link that aptmerge keeps: {found}")]
    ForeignLink {
        /// The path where the link belongs.
        path: PathBuf,
        /// A description of the thing that is there.
        found: String,
    },
    /// The transport cannot be set up.
    #[error(transparent)]
    Transport(#[from] crate::fetch::transport::Error),
    /// An archive's suite cannot be had, and there is no earlier copy.
    #[error(
        "suite `{suite}` of archive `{archive}` cannot be fetched, and there is no earlier copy of it"
    )]
    NoCopy {
        /// The archive.
        archive: String,
        /// Its suite.
        suite: String,
        /// Why.
        source: Arc<FetchError>,
    },
    /// The spool lacks a suite.
    #[error("the spool holds no copy of suite `{suite}` of archive `{archive}`")]
    NotFetched {
        /// The archive.
        archive: String,
        /// Its suite.
        suite: String,
    },
    /// The archive's keyring does not prove a copy in the spool.
    #[error(
        "nothing new is made of the copy of suite `{suite}` of archive `{archive}`, since its signature no longer convinces: {why}"
    )]
    NotProven {
        /// The archive.
        archive: String,
        /// Its suite.
        suite: String,
        /// Why.
        why: String,
    },
    /// A directory that files are removed from is a symlink.
    #[error(
        "{path} is a symlink, and what it leads to may be somebody else's: aptmerge removes files below it"
    )]
    SymlinkedDirectory {
        /// The directory.
        path: PathBuf,
    },
    /// A Release that was fetched cannot be taken over.
    #[error("the Release of suite `{suite}` of archive `{archive}` cannot be taken over")]
    Inherited {
        /// The archive.
        archive: String,
        /// Its suite.
        suite: String,
        /// Why.
        source: crate::deb822::identity::LongField,
    },
    /// A file of the spool differs from the one that was verified.
    #[error("{path} in the spool is damaged: {why}")]
    SpoolDamaged {
        /// The file.
        path: PathBuf,
        /// The fault of the file.
        why: String,
    },
    /// An index says something that cannot be published.
    #[error("{index}: {why}")]
    Index {
        /// The index, `debian bookworm main/binary-amd64/Packages`.
        index: String,
        /// The fault, and its line.
        why: crate::deb822::SyntaxError,
    },
    /// A guard refused.
    #[error("suite `{suite}`: {why}")]
    Guard {
        /// The merged suite.
        suite: String,
        /// The change that the guard refused.
        why: String,
        /// The flag that allows it.
        flag: &'static str,
    },
    /// An archive's Valid-Until has passed, and with it that of the suite.
    #[error(
        "suite `{suite}`: it is not signed anew, since the Release of suite `{upstream}` of archive `{archive}` counts until {until} only, and nothing newer was fetched"
    )]
    Lapsed {
        /// The merged suite.
        suite: String,
        /// The archive's suite.
        upstream: String,
        /// The archive.
        archive: String,
        /// The time until which the archive's Release counted.
        until: String,
    },
    /// A step of ours panicked, which no step may do.
    #[error("suite `{suite}` cannot be made, which is a fault of aptmerge: {why}")]
    Panicked {
        /// The merged suite.
        suite: String,
        /// The message of the panic.
        why: String,
    },
    /// A merge took too long.
    #[error("suite `{suite}` could not be merged within {span}")]
    Overdue {
        /// The merged suite.
        suite: String,
        /// The time that it had.
        span: crate::config::TimeSpan,
    },
    /// Signing or checking a signature of ours failed.
    #[error("suite `{suite}` cannot be signed")]
    Signing {
        /// The merged suite.
        suite: String,
        /// Why.
        source: Box<crate::openpgp::Error>,
    },
    /// A key cannot be used.
    #[error(transparent)]
    OpenPgp(#[from] crate::openpgp::Error),
    /// A tree does not hold together.
    #[error("{tree} does not hold: {}", .problems.join("; "))]
    Check {
        /// The tree.
        tree: PathBuf,
        /// The faults, each with its file.
        problems: Vec<String>,
    },
    /// The link leads to a tree that was lost, and the other tree was half synced.
    #[error("{link} leads to {tree}, which is not whole ({lacks}), and neither is production", tree = tree.display(), link = link.display())]
    NotWhole {
        /// The tree.
        tree: PathBuf,
        /// The thing that is missing.
        lacks: String,
        /// The link.
        link: PathBuf,
    },
    /// A compressor failed.
    #[error("cannot compress {what}")]
    Compress {
        /// The file.
        what: String,
        /// Why.
        source: io::Error,
    },
    /// The new generation is served, but a later step failed.
    #[error("the new generation is served, but the run could not be finished")]
    Unfinished {
        /// Why.
        source: Box<Error>,
    },
    /// Pushing to a target failed.
    #[error("push to `{target}` failed: {why}")]
    Push {
        /// The target.
        target: String,
        /// The message of the target's program.
        why: String,
        /// The thing that an operator can do about it.
        hint: Option<&'static str>,
    },
    /// The run was told to stop.
    #[error("stopped")]
    Cancelled,
    /// No archive has a package of a name.
    #[error("no archive has a package, udeb or source `{package}` in what is fetched")]
    NoPackage {
        /// The name.
        package: String,
        /// The most similar name that there is.
        nearest: Option<String>,
    },
    /// A command line that makes no sense.
    #[error("{0}")]
    Usage(String),
    /// The HTTP server failed.
    #[cfg(feature = "serve")]
    #[error(transparent)]
    Serve(#[from] crate::serve::error::Error),
}

impl From<Cancelled> for Error {
    fn from(_: Cancelled) -> Self {
        Error::Cancelled
    }
}

impl Error {
    /// Wraps what the system said about a path.
    pub fn io(action: &'static str, path: impl AsRef<Path>) -> impl FnOnce(io::Error) -> Error {
        let path = path.as_ref().to_owned();
        move |source| Error::Io {
            action,
            path,
            source,
        }
    }

    /// Returns whether this machine or the caller is the cause, so that every suite would fail in the same way: a full disk, a failing
    /// disk, a call to stop. Any other error is taken for the fault of the one suite that is being made, and costs no other suite.
    pub fn is_of_the_machine(&self) -> bool {
        match self {
            Error::Io { source, .. } | Error::Compress { source, .. } => {
                !is_of_what_was_given(source)
            }
            Error::Lock(_)
            | Error::SymlinkedDirectory { .. }
            | Error::NewerState { .. }
            | Error::Unfinished { .. }
            | Error::Cancelled => true,
            _ => false,
        }
    }

    /// Returns what an operator can do about the error, if that is known.
    pub fn hint(&self) -> Option<String> {
        match self {
            // The kind, since errors about temporary files have lost the system's number.
            Error::Io { source, .. } => match source.kind() {
                ErrorKind::StorageFull | ErrorKind::QuotaExceeded => {
                    Some("free some room, or inodes (df -i); what is served is untouched, and the next run goes on from there".into())
                }
                ErrorKind::FileTooLarge => {
                    Some("raise the limit of the caller (ulimit -f), or that of the file system".into())
                }
                ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem => {
                    Some("the user that runs aptmerge must be able to write below `root`".into())
                }
                _ => None,
            },
            Error::Lock(error) => error.hint(),
            Error::State { path, .. } => Some(format!(
                "restore {0} from a backup, or remove it: the next run then builds every suite anew",
                path.display()
            )),
            Error::NewerState { .. } => {
                Some("a newer aptmerge wrote it: run that version, or a later one".into())
            }
            Error::Clock => Some("set it (timedatectl), and run again".into()),
            Error::Private { owner, .. } => Some(match owner {
                Some(owner) => format!("run it as that user: sudo -u '{owner}' aptmerge …"),
                None => "run it as the user that runs aptmerge".into(),
            }),
            Error::ForeignLink { .. } => Some(
                "if it leads to merged-production, make it relative (ln -sfn merged-production merged); else move it away, aptmerge makes the link by itself".into(),
            ),
            Error::NotWhole { link, .. } => Some(format!(
                "restore it from a backup; or serve what is left of production (ln -sfn {} {}) and make it whole (aptmerge run --rebuild)",
                crate::layout::PRODUCTION,
                link.display()
            )),
            Error::NoCopy { source, .. } => source.hint(),
            Error::NoPackage { nearest, .. } => Some(match nearest {
                Some(nearest) => format!("did you mean `{nearest}`?"),
                None => "only indices of the configured suites, components and architectures are fetched".into(),
            }),
            Error::NotFetched { .. } => Some("run `aptmerge fetch`, or `aptmerge run`".into()),
            Error::NotProven { archive, .. } => Some(format!(
                "mend the keyring of `archives.{archive}.signed-by`, or fetch a Release that it can verify"
            )),
            Error::SymlinkedDirectory { .. } => {
                Some("make it a directory; to have it on another disk, mount that there (mount --bind)".into())
            }
            Error::SpoolDamaged { .. } => {
                Some("the damaged file was removed; the next run fetches it again".into())
            }
            Error::Index { .. } => Some(
                "the archive signed a file that is not a valid index: tell its maintainers; what is served is untouched"
                    .into(),
            ),
            Error::Guard { flag, .. } => Some(format!("if that is meant, run once with {flag}")),
            Error::Overdue { .. } => Some(
                "look at what is new in its archives, or raise merge.suite-timeout where the machine is slow".into(),
            ),
            Error::Signing { source, .. } => source.hint(),
            Error::Lapsed { archive, .. } => Some(format!(
                "if the archive has come to its end, set inherit-valid-until = false for archive `{archive}`, or take it out of `from`"
            )),
            Error::Panicked { .. } => {
                Some("please report it, with what is printed above; the suite's configuration and its archives show the way".into())
            }
            Error::OpenPgp(source) => source.hint(),
            Error::Transport(source) => source.hint(),
            Error::Push { hint, .. } => hint.map(str::to_owned),
            Error::Unfinished { source } => Some(match source.hint() {
                Some(hint) => format!("{hint}; the next run finishes what is left"),
                None => "the next run finishes it".into(),
            }),
            _ => None,
        }
    }
}

/// Returns whether an error follows from names or bytes that were given, and says nothing about the machine.
fn is_of_what_was_given(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::InvalidFilename
            | ErrorKind::InvalidInput
            | ErrorKind::InvalidData
            | ErrorKind::UnexpectedEof
            | ErrorKind::NotFound
            | ErrorKind::AlreadyExists
            | ErrorKind::NotADirectory
            | ErrorKind::IsADirectory
            | ErrorKind::DirectoryNotEmpty
            | ErrorKind::OutOfMemory
            // Errors of a library's own, which the system knows nothing of.
            | ErrorKind::Other
    )
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn a_failing_disk_is_told_from_a_name_that_no_disk_takes() {
        let of = |number| {
            let source = io::Error::from_raw_os_error(number);
            Error::io("write", "/srv/aptmerge/x")(source).is_of_the_machine()
        };
        use nix::libc::{EACCES, EDQUOT, EIO, EISDIR, EMFILE, ENAMETOOLONG, ENOENT, ENOSPC, EROFS};
        for number in [EIO, ENOSPC, EDQUOT, EROFS, EACCES, EMFILE] {
            assert!(of(number), "{number}");
        }
        for number in [ENAMETOOLONG, ENOENT, EISDIR] {
            assert!(!of(number), "{number}");
        }
    }

    #[test]
    fn what_could_not_be_finished_has_the_hint_of_its_cause() {
        let full = io::Error::from(ErrorKind::StorageFull);
        let full = Error::io("write", "/srv/aptmerge/log/changes.txt")(full);
        let source = Box::new(full);
        let hint = Error::Unfinished { source }.hint().unwrap();
        assert!(hint.starts_with("free some room"), "{hint}");
        assert!(
            hint.ends_with("the next run finishes what is left"),
            "{hint}"
        );
        let source = Box::new(Error::Cancelled);
        let hint = Error::Unfinished { source }.hint().unwrap();
        assert_eq!(hint, "the next run finishes it");
    }
}
