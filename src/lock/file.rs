//! The lock file: opened or made, locked, and what is written in it.

use std::fs::{File, OpenOptions, Permissions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::Path;
use std::time::{Duration, SystemTime};

use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg, OFlag};

use super::{Holder, LockError};

/// The number of times that a lock file may be replaced while we take it, before that is an error.
const MAX_REPLACED: u32 = 100;

/// The beginning of the words of every holder.
const HOLDER: &[u8] = b"pid ";

/// The words for a holder that wrote none.
const NAMELESS: &str = "a process that did not write its name";

/// The time to wait for a process that only looks who holds the lock.
const LOOK_TAKES: Duration = Duration::from_millis(2);

/// The mode of the lock file: whoever may open it may hold the lock.
const OWNER_ONLY: u32 = 0o600;

/// The bit that lets a group write.
const GROUP_WRITES: u32 = 0o020;

/// The result of one attempt.
pub(super) enum Attempt {
    /// The lock is ours.
    Locked(Flock<File>),
    /// Somebody else holds the lock; the text says who, and the time since when, if the holder wrote its words.
    Busy(String, Option<SystemTime>),
}

/// Takes the lock, if nobody holds it.
pub(super) fn try_lock(path: &Path) -> Result<Attempt, LockError> {
    let unusable = |action| {
        move |source| LockError::Unusable {
            action,
            path: path.to_owned(),
            source,
        }
    };
    let mut shared = false;
    for _ in 0..MAX_REPLACED {
        let Some(mut file) = open(path).map_err(unusable("open"))? else {
            continue;
        };
        if !file.metadata().map_err(unusable("look at"))?.is_file() {
            return Err(LockError::NoFile {
                path: path.to_owned(),
            });
        }
        tighten(&mut file);
        match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
            Ok(file) => {
                if names_inode_of(path, &file).map_err(unusable("look at"))? {
                    return Ok(Attempt::Locked(file));
                }
            }
            Err((file, Errno::EWOULDBLOCK)) => {
                // A process that only looks holds a shared lock, for an instant. A holder's lock is exclusive.
                match Flock::lock(file, FlockArg::LockSharedNonblock) {
                    Ok(_) => {}
                    Err((mut file, _)) => {
                        let since = file.metadata().and_then(|meta| meta.modified()).ok();
                        let holder = read_holder(&mut file);
                        let since = since.filter(|_| holder != NAMELESS);
                        return Ok(Attempt::Busy(holder, since));
                    }
                }
                shared = true;
                std::thread::sleep(LOOK_TAKES);
            }
            Err((_, Errno::EINTR)) => {}
            Err((_, errno)) => return Err(unusable("lock")(errno.into())),
        }
    }
    if shared {
        let somebody = "somebody who shares it with others".into();
        return Ok(Attempt::Busy(somebody, None));
    }
    Err(LockError::Unstable {
        path: path.to_owned(),
    })
}

/// Opens the file, or makes it; returns `None` if somebody else made it in between.
///
/// A file that is there is opened without O_CREAT: in a sticky directory, the kernel refuses that for files of other users, and for
/// root too (fs.protected_regular). Nor does it wait for the other end of a FIFO.
fn open(path: &Path) -> io::Result<Option<File>> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).mode(OWNER_ONLY);
    options.custom_flags(OFlag::O_NONBLOCK.bits());
    match options.open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        opened => return opened.map(Some),
    }
    // The file that a symlink leads to may be made as well: if it lies in /run, it is gone after each start of the machine.
    let is_link = path.is_symlink();
    match options.create(is_link).create_new(!is_link).open(path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(None),
        made => made.map(Some),
    }
}

/// Keeps other users from the lock if an earlier version or flock(1) made the file readable for all.
///
/// A group that may write keeps its rights: somebody let it share the lock on purpose. A file whose content is not that of a lock file
/// keeps its mode, and so does a file of another user, who alone decides about it.
fn tighten(file: &mut File) {
    let Ok(mode) = file.metadata().map(|m| m.mode() & 0o7777) else {
        return;
    };
    let allowed = match mode & GROUP_WRITES {
        0 => 0o7700,
        _ => 0o7770,
    };
    if mode & !allowed != 0 && is_ours(file).unwrap_or(false) {
        let _ = file.set_permissions(Permissions::from_mode(mode & allowed));
    }
}

/// The bytes of a file that are looked at to see who wrote it.
const START_BYTES: u64 = 64;

/// Returns whether nothing is lost when the file is emptied. That is so if the file is empty, like those of flock(1); if a holder wrote
/// it, perhaps not to the end; if a loss of power turned a holder's words into zeros; or if it has only the number of a process, as other
/// programs leave it.
fn is_ours(file: &mut File) -> io::Result<bool> {
    let mut start = Vec::new();
    file.seek(SeekFrom::Start(0))?;
    file.take(START_BYTES).read_to_end(&mut start)?;
    let is_number = |byte: &u8| byte.is_ascii_digit() || byte.is_ascii_whitespace() || *byte == 0;
    Ok(start.starts_with(HOLDER)
        || HOLDER.starts_with(&start)
        || start.len() < START_BYTES as usize && start.iter().all(is_number))
}

/// Returns whether the path still names the file that was opened.
fn names_inode_of(path: &Path, file: &File) -> io::Result<bool> {
    let opened = file.metadata()?;
    match path.metadata() {
        Ok(named) => Ok(named.dev() == opened.dev() && named.ino() == opened.ino()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

/// Writes who holds the lock, for people. A file with something else in it is as good a lock, and is left as it is.
pub(super) fn write_holder(file: &mut File, holder: &Holder) -> io::Result<()> {
    if !is_ours(file)? {
        return Ok(());
    }
    let host = nix::unistd::gethostname()
        .map(|name| name.to_string_lossy().into_owned())
        .unwrap_or_default();
    let text = format!(
        "pid {} on {host}: {} (since {})\n",
        std::process::id(),
        holder.command.replace(char::is_control, " "),
        holder.started,
    );
    file.set_len(0)?;
    file.seek(SeekFrom::Start(0))?;
    file.write_all(text.as_bytes())
}

/// Removes the holder's words again.
pub(super) fn clear_holder(file: &mut File) -> io::Result<()> {
    match is_ours(file)? {
        true => file.set_len(0),
        false => Ok(()),
    }
}

fn read_holder(file: &mut File) -> String {
    let mut text = Vec::new();
    let read = file.take(1000).read_to_end(&mut text);
    let text = String::from_utf8_lossy(&text);
    let line: String = text
        .lines()
        .next()
        .unwrap_or_default()
        .chars()
        .filter(|c| !c.is_control())
        .collect();
    match read {
        Ok(_) if line.as_bytes().starts_with(HOLDER) => line,
        _ => NAMELESS.to_owned(),
    }
}

/// Returns the lock file's words about its holder, or `None` if nobody holds the lock. Changes nothing, and keeps nobody out.
///
/// Nobody can hold the lock on a file system that knows no locks.
pub fn holder(path: &Path) -> Option<String> {
    let mut options = OpenOptions::new();
    options.read(true).custom_flags(OFlag::O_NONBLOCK.bits());
    let file = options.open(path).ok()?;
    match Flock::lock(file, FlockArg::LockSharedNonblock) {
        Err((mut file, Errno::EWOULDBLOCK)) => Some(read_holder(&mut file)),
        _ => None,
    }
}
