//! Hints for a lock that cannot be had.

use aptmerge::lock::LockError;
use nix::errno::Errno;

pub(super) fn hint(error: &LockError) -> Option<String> {
    match error {
        LockError::Held { .. } => Some("wait for it with --lock-wait SECONDS, or try again later; with -q, a run that comes too early says nothing".into()),
        LockError::InUse { .. } => Some("wait for it to end; and find out what removes the lock file, for aptmerge never does".into()),
        LockError::Unusable { source, .. } => match Errno::from_raw(source.raw_os_error()?) {
            Errno::ENOLCK | Errno::EOPNOTSUPP | Errno::ENOSYS => {
                Some("its file system knows no flock(2): set `lock` to a path on a local one, in a directory of its own".into())
            }
            Errno::ENOENT => Some("make the directory, or set `lock` to another path".into()),
            Errno::EISDIR | Errno::ENOTDIR | Errno::ELOOP | Errno::ENXIO => Some("set `lock` to another path".into()),
            Errno::EACCES | Errno::EPERM => Some(
                "run as the user that it belongs to, or set `lock` to a path in a directory of that user's own".into(),
            ),
            Errno::EROFS => Some(
                "its file system is mounted for reading only: mount it for writing; where only the lock lies there, set `lock` to a path elsewhere".into(),
            ),
            _ => None,
        },
        LockError::NoFile { .. } => Some("set `lock` to a path that nothing else uses".into()),
        LockError::Unstable { .. } => Some("find out what removes it; aptmerge itself never does".into()),
        _ => None,
    }
}
