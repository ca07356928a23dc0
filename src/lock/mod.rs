//! The lock: one flock(2), held from before the first read of any state until after the last byte is pushed.
//!
//! Why two runs cannot overlap:
//!
//! - Only the kernel's flock decides. The existence of the file means nothing, nor does its content; a process that dies,
//!   however it dies, lets go of the lock with its last descriptor.
//! - The file is emptied and written to, so it has to be a regular one that is empty, or that a holder wrote.
//! - The file is never unlinked by us. Should somebody else remove or replace it, two processes could hold locks on two
//!   inodes of one name. So after locking, the path is looked at again: if it does not name the inode that was locked, the
//!   lock is worthless and everything begins anew.
//! - That alone would leave the first holder of a removed file at work beside the holder of the new one. So every run that
//!   opens the state takes a second flock, on the directory of the state itself (`RunLock::claim`), even if it trusts its
//!   caller's word for the first. The second lock is always taken after the first, and nobody waits for the first while
//!   holding the second, so there is no deadlock. On a file system that cannot lock directories (NFS), the first lock decides
//!   alone.
//! - No other user can hold a lock: whoever may open a file or a directory, even for reading only, may flock it. So the lock file
//!   is its owner's alone (0600), and so is the directory of the state (0700). If an earlier version gave others access, it is
//!   taken away when the file or the directory is opened.
//! - The descriptors are close-on-exec, so no child inherits them by accident: an ssh master or a gpg-agent that a child leaves
//!   behind cannot hold a lock for ever. The one process that is handed them on purpose is the guardian of a push
//!   ([`crate::push`]), which outlives a killed run just until the push that it guards is dead.
//! - [`RunLock`] is a guard, and [`crate::workspace::Workspace`] borrows it. State is therefore read after the lock was
//!   taken and cannot be used once it was let go; both do not compile.

mod error;
mod file;

use std::fs::File;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg};

pub use error::LockError;
pub use file::holder;
use file::{Attempt, clear_holder, try_lock, write_holder};

/// The pause between two attempts of a waiting process.
const RETRY_EVERY: Duration = Duration::from_millis(50);

/// The words that a holder writes into the lock file for people to read.
#[derive(Debug, Clone)]
pub struct Holder {
    /// The command, as it should be named to whoever is kept waiting.
    pub command: String,
    /// The time when the command started, for people.
    pub started: String,
}

/// The lock, held; letting this value go lets the lock go.
#[derive(Debug)]
pub struct RunLock {
    path: PathBuf,
    /// `None` if the caller vouched for holding the lock.
    held: Option<Flock<File>>,
    /// The time until which to wait for others; `None` is for ever.
    deadline: Option<Instant>,
}

/// The second lock, on the directory of the state; see the head of this module.
#[derive(Debug)]
pub(crate) struct Claim {
    /// `None` if the file system cannot lock directories.
    held: Option<Flock<File>>,
}

impl Claim {
    /// Returns a second descriptor of the claim, as [`RunLock::share`] does of the lock.
    pub(crate) fn share(&self) -> io::Result<Option<File>> {
        second_descriptor(&self.held)
    }
}

fn second_descriptor(held: &Option<Flock<File>>) -> io::Result<Option<File>> {
    held.as_ref().map(|file| file.try_clone()).transpose()
}

impl RunLock {
    /// Takes the lock, waiting for it no longer than `wait`.
    pub fn acquire(path: &Path, holder: &Holder, wait: Duration) -> Result<RunLock, LockError> {
        let deadline = Instant::now().checked_add(wait);
        loop {
            match try_lock(path)? {
                Attempt::Locked(mut file) => {
                    // Words for people; the lock holds with or without them.
                    let _ = write_holder(&mut file, holder);
                    return Ok(RunLock {
                        path: path.to_owned(),
                        held: Some(file),
                        deadline,
                    });
                }
                Attempt::Busy(holder, since) => {
                    if passed(deadline) {
                        return Err(LockError::Held {
                            path: path.to_owned(),
                            holder,
                            since,
                        });
                    }
                    std::thread::sleep(RETRY_EVERY.min(wait));
                }
            }
        }
    }

    /// Trusts the word of the caller that it holds the lock already.
    ///
    /// The second value is false when in truth nobody holds it, which deserves a loud warning.
    pub fn assume_held(path: &Path) -> Result<(RunLock, bool), LockError> {
        let lock = RunLock {
            path: path.to_owned(),
            held: None,
            deadline: Some(Instant::now()),
        };
        Ok((lock, holder(path).is_some()))
    }

    /// Takes the second lock, on the directory of the state, waiting for it as long as for the first.
    ///
    /// Only a run that held the first lock and lost its file can be in the way, or another run whose caller vouched for the lock.
    pub(crate) fn claim(&self, directory: &Path) -> Result<Claim, LockError> {
        let unusable = |action| {
            move |source| LockError::Unusable {
                action,
                path: directory.to_owned(),
                source,
            }
        };
        loop {
            let file = File::open(directory).map_err(unusable("open"))?;
            match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
                Ok(file) => return Ok(Claim { held: Some(file) }),
                Err((file, Errno::EWOULDBLOCK)) => {
                    if passed(self.deadline) {
                        return Err(LockError::InUse {
                            directory: directory.to_owned(),
                            lock: self.path.clone(),
                            user: user_of(&file),
                        });
                    }
                    std::thread::sleep(RETRY_EVERY);
                }
                Err((_, Errno::EINTR)) => {}
                // NFS turns this lock into one that a directory cannot have.
                Err((
                    _,
                    Errno::EBADF
                    | Errno::EINVAL
                    | Errno::ENOLCK
                    | Errno::ENOSYS
                    | Errno::EOPNOTSUPP,
                )) => {
                    return Ok(Claim { held: None });
                }
                Err((_, errno)) => return Err(unusable("lock")(errno.into())),
            }
        }
    }

    /// Returns the lock file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Returns a second descriptor of the same lock, for the guardian of a push: the lock is held until both are closed.
    pub(crate) fn share(&self) -> io::Result<Option<File>> {
        second_descriptor(&self.held)
    }
}

impl Drop for RunLock {
    fn drop(&mut self) {
        // Clears the words, so that nobody is shown a holder that is gone. The lock itself goes with the descriptor.
        if let Some(file) = &mut self.held {
            let _ = clear_holder(file);
        }
    }
}

fn passed(deadline: Option<Instant>) -> bool {
    deadline.is_some_and(|deadline| Instant::now() >= deadline)
}

/// Returns the holder of the flock on a file, as far as the kernel tells (proc_locks(5)).
fn user_of(file: &File) -> String {
    let inode = file.metadata().map(|m| m.ino()).ok();
    let locks = std::fs::read_to_string("/proc/locks").unwrap_or_default();
    let pid = locks.lines().find_map(|line| {
        let fields: Vec<_> = line.split_whitespace().collect();
        let [_, "FLOCK", _, "WRITE", pid, place, ..] = fields[..] else {
            return None;
        };
        let named: u64 = place.rsplit(':').next()?.parse().ok()?;
        (inode == Some(named)).then_some(pid)
    });
    match pid {
        Some(pid) => format!("a run with pid {pid}, or its push"),
        None => "another run".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn me() -> Holder {
        Holder {
            command: "test".into(),
            started: "now".into(),
        }
    }

    #[test]
    fn a_second_holder_is_refused_and_told_the_first() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("lock");
        let lock = RunLock::acquire(&path, &me(), Duration::ZERO).unwrap();
        let error = RunLock::acquire(&path, &me(), Duration::ZERO).unwrap_err();
        assert!(
            error
                .to_string()
                .contains(&format!("pid {}", std::process::id())),
            "{error}"
        );
        assert!(holder(&path).is_some());
        drop(lock);
        assert!(holder(&path).is_none());
        assert!(path.exists(), "the file stays");
        RunLock::acquire(&path, &me(), Duration::ZERO).unwrap();
    }

    #[test]
    fn a_removed_file_does_not_make_two_holders_of_one_name() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("lock");
        // A stale text in a file that nobody holds means nothing.
        std::fs::write(&path, "pid 1 on nowhere").unwrap();
        let lock = RunLock::acquire(&path, &me(), Duration::ZERO).unwrap();
        std::fs::remove_file(&path).unwrap();
        // A new file under the old name is a new lock: whoever takes it holds the inode that the path names.
        let second = RunLock::acquire(&path, &me(), Duration::ZERO).unwrap();
        let inode = path.metadata().unwrap().ino();
        assert_eq!(
            second.held.as_ref().unwrap().metadata().unwrap().ino(),
            inode
        );
        assert_ne!(lock.held.as_ref().unwrap().metadata().unwrap().ino(), inode);
    }

    #[test]
    fn trusting_the_caller_says_whether_anybody_holds_it() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("lock");
        assert!(!RunLock::assume_held(&path).unwrap().1);
        let _lock = RunLock::acquire(&path, &me(), Duration::ZERO).unwrap();
        assert!(RunLock::assume_held(&path).unwrap().1);
    }

    #[test]
    fn who_only_looks_keeps_nobody_out() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("lock");
        let file = File::create(&path).unwrap();
        let looking = Flock::lock(file, FlockArg::LockShared).unwrap();
        let looker = std::thread::spawn(move || {
            std::thread::sleep(Duration::from_millis(20));
            drop(looking);
        });
        RunLock::acquire(&path, &me(), Duration::ZERO).unwrap();
        looker.join().unwrap();
    }

    #[test]
    fn waiting_ends_when_the_holder_lets_go() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("lock");
        let lock = RunLock::acquire(&path, &me(), Duration::ZERO).unwrap();
        let waiting = std::thread::spawn({
            let path = path.clone();
            move || RunLock::acquire(&path, &me(), Duration::from_secs(20)).is_ok()
        });
        std::thread::sleep(Duration::from_millis(200));
        assert!(!waiting.is_finished());
        drop(lock);
        assert!(waiting.join().unwrap());
    }
}
