//! The exit codes; docs/operating.md lists them.

use std::io;

use aptmerge::error::{Error, ErrorKind};

use super::error::CliError;

/// Failed, and nothing new is served.
pub(super) const FAILED: u8 = 1;
/// The command line makes no sense.
pub(super) const USAGE: u8 = 2;
/// Done, but some archive was kept at its last good copy, or a suite as it was published.
pub(super) const KEPT: u8 = 3;
/// Something new is served, but what comes after it (sync, push) failed; the next run finishes it.
pub(super) const UNFINISHED: u8 = 4;
/// A command that was to run under the lock is there, and cannot be executed; the code that shells give.
pub(super) const NOT_EXECUTABLE: u8 = 126;
/// There is no such command; the code that shells give.
pub(super) const NO_COMMAND: u8 = 127;
/// The lock is held (EX_TEMPFAIL of sysexits).
pub(super) const LOCKED: u8 = 75;
/// The configuration cannot be used (EX_CONFIG of sysexits).
pub(super) const CONFIG: u8 = 78;

/// Returns the code for an error.
pub(super) fn of(error: &Error) -> u8 {
    match error.downcast_ref() {
        Some(CliError::NotStarted { source, .. }) => match source.kind() {
            io::ErrorKind::NotFound => NO_COMMAND,
            _ => NOT_EXECUTABLE,
        },
        _ => code(error.kind()),
    }
}

/// Returns the code for a kind of error.
pub(super) fn code(kind: ErrorKind) -> u8 {
    match kind {
        ErrorKind::Usage => USAGE,
        ErrorKind::Unfinished => UNFINISHED,
        ErrorKind::LockHeld => LOCKED,
        ErrorKind::Config => CONFIG,
        _ => FAILED,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_of_error_has_its_exit_code() {
        for (kind, expected) in [
            (ErrorKind::Usage, 2),
            (ErrorKind::Config, 78),
            (ErrorKind::LockHeld, 75),
            (ErrorKind::NotFound, 1),
            (ErrorKind::Forbidden, 1),
            (ErrorKind::Refused, 1),
            (ErrorKind::Upstream, 1),
            (ErrorKind::Damaged, 1),
            (ErrorKind::Machine, 1),
            (ErrorKind::Signing, 1),
            (ErrorKind::Check, 1),
            (ErrorKind::Push, 1),
            (ErrorKind::Timeout, 1),
            (ErrorKind::Unfinished, 4),
            (ErrorKind::Cancelled, 1),
            (ErrorKind::Internal, 1),
        ] {
            assert_eq!(code(kind), expected, "{kind:?}");
        }
    }
}
