//! Hints for a server.

use std::io;

use aptmerge::serve::Error;

pub(in crate::cli) fn hint(error: &Error) -> Option<String> {
    match error {
        Error::Bind { source, .. } => match source.kind() {
            io::ErrorKind::AddrInUse => {
                Some("another program listens there: stop it, or choose another port".into())
            }
            io::ErrorKind::PermissionDenied => {
                Some("ports below 1024 are root's: choose one above".into())
            }
            _ => None,
        },
        Error::Accept { source } => (source.raw_os_error() == Some(nix::libc::EMFILE)).then(|| {
            "raise the limit of open files (ulimit -n), or allow fewer connections".into()
        }),
        Error::Beneath { .. } => Some(
            "`serve` needs Linux 5.6 or later, /proc, and in a container a seccomp filter that permits openat2"
                .into(),
        ),
        Error::Prefix { .. } | Error::PoolName { .. } => {
            Some("use letters, digits, '-', '_', '+', '~' and '.'".into())
        }
        Error::PoolBase { .. } => Some("give an http or https URI of an archive's root".into()),
        _ => None,
    }
}
