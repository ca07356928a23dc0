//! Files that are either there whole or not at all, and stay so through a loss of power.
//!
//! A published file is never changed in place: it is written under a temporary name in its own directory, its bytes are
//! forced to the disk, and only then does rename(2) give it its name. The caller forces the directory out after that, once a set
//! of names is complete ([`sync_dir`]); the functions here whose comment says so do that by themselves. A failed fsync
//! is an error: the kernel reports it once and may forget the data.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use nix::fcntl::OFlag;
use tempfile::{Builder, NamedTempFile};

use crate::error::{DomainError, Error, ErrorKind, Result};

/// The beginning of the names of our temporary files, so that a later run can recognise and remove those that a crash left.
pub(crate) const TEMP_PREFIX: &str = ".aptmerge-tmp-";

/// A symlink in the place of a directory that files are removed from.
#[derive(Debug, thiserror::Error)]
#[error(
    "{path} is a symlink, and what it leads to may be somebody else's: aptmerge removes files below it"
)]
pub struct SymlinkedDirectory {
    /// The directory.
    pub path: PathBuf,
}

impl DomainError for SymlinkedDirectory {
    fn kind(&self) -> ErrorKind {
        ErrorKind::Machine
    }

    fn is_of_the_machine(&self) -> bool {
        true
    }
}

/// The mode of a directory that all may enter.
pub(crate) const DIRECTORY_MODE: u32 = 0o755;

/// The mode of a published file.
pub(crate) const FILE_MODE: u32 = 0o644;

/// Makes a directory and the missing ones above it, readable for all, whatever default ACL the directory above has.
pub(crate) fn create_dir(path: &Path) -> Result<()> {
    let create = || Error::io("create the directory", path);
    match DirBuilder::new().mode(DIRECTORY_MODE).create(path) {
        Ok(()) => {}
        Err(_) if path.is_dir() => return Ok(()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let Some(above) = path.parent().filter(|above| !above.as_os_str().is_empty()) else {
                return Err(create()(error));
            };
            create_dir(above)?;
            match DirBuilder::new().mode(DIRECTORY_MODE).create(path) {
                Err(_) if path.is_dir() => return Ok(()),
                made => made.map_err(create())?,
            }
        }
        Err(error) => return Err(create()(error)),
    }
    let mode = path.metadata().map_err(create())?.permissions().mode();
    match lacks(mode, DIRECTORY_MODE) {
        true => set_mode(path, mode & 0o7000 | DIRECTORY_MODE),
        false => Ok(()),
    }
}

/// Returns whether a mode lacks something of the one that is meant.
pub(crate) fn lacks(mode: u32, meant: u32) -> bool {
    mode & meant != meant
}

/// Sets the mode of a file or a directory.
pub(crate) fn set_mode(path: &Path, mode: u32) -> Result<()> {
    fs::set_permissions(path, fs::Permissions::from_mode(mode))
        .map_err(Error::io("set the mode of", path))
}

/// Makes a directory that only its owner may enter, and the missing ones above it; closes an existing directory to others.
///
/// A directory of another owner, or one that is meant to be shared (a symlink to a `/tmp`), is left as it is.
pub(crate) fn create_private_dir(path: &Path) -> Result<()> {
    if let Some(parent) = path.parent().filter(|parent| !parent.exists()) {
        create_dir(parent)?;
    }
    match DirBuilder::new().mode(0o700).create(path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
        made => return made.map_err(Error::io("create the directory", path)),
    }
    let look_at = Error::io("look at the directory", path);
    let directory = OpenOptions::new()
        .read(true)
        .custom_flags(OFlag::O_DIRECTORY.bits())
        .open(path);
    let directory = match directory {
        // A directory that we cannot list causes an error where it is used.
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => return Ok(()),
        opened => opened.map_err(Error::io("open the directory", path))?,
    };
    let metadata = directory.metadata().map_err(look_at)?;
    let mode = metadata.permissions().mode() & 0o7777;
    let (is_open, is_shared) = (mode & 0o077 != 0, mode & 0o1000 != 0);
    if is_open && !is_shared {
        match directory.set_permissions(fs::Permissions::from_mode(mode & 0o7700)) {
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {}
            other => other.map_err(Error::io("set the mode of", path))?,
        }
    }
    Ok(())
}

/// Refuses a symlink in the place of a directory that files are removed from: the directory that it leads to is not ours. A missing
/// directory is fine.
pub(crate) fn check_real(path: &Path) -> Result<()> {
    match path.is_symlink() {
        true => Err(SymlinkedDirectory {
            path: path.to_owned(),
        }
        .into()),
        false => Ok(()),
    }
}

/// Forces the names in a directory to the disk.
pub(crate) fn sync_dir(path: &Path) -> Result<()> {
    File::open(path)
        .and_then(|dir| dir.sync_all())
        .map_err(Error::io("fsync the directory", path))
}

/// Forces the names of a directory and of all directories above it to the disk. Skips those that we may not read: we did not make them.
pub(crate) fn sync_ancestors(path: &Path) -> Result<()> {
    let path = path
        .canonicalize()
        .map_err(Error::io("look at the directory", path))?;
    for dir in path.ancestors().skip(1) {
        match File::open(dir).and_then(|dir| dir.sync_all()) {
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {}
            // Some file systems have nothing to force out in a directory.
            Err(error) if error.kind() == io::ErrorKind::InvalidInput => {}
            other => other.map_err(Error::io("fsync the directory", dir))?,
        }
    }
    Ok(())
}

/// Returns the directory that a path lies in.
fn parent(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}

/// Makes a temporary file beside `path`, world-readable, to be written and then given to [`persist`].
pub(crate) fn temporary(path: &Path) -> Result<NamedTempFile> {
    Builder::new()
        .prefix(TEMP_PREFIX)
        .permissions(fs::Permissions::from_mode(FILE_MODE))
        .tempfile_in(parent(path))
        .map_err(Error::io("create a temporary file for", path))
}

/// Makes a temporary file beside `path` that only its owner may read.
pub(crate) fn private_temporary(path: &Path) -> Result<NamedTempFile> {
    Builder::new()
        .prefix(TEMP_PREFIX)
        .permissions(fs::Permissions::from_mode(0o600))
        .tempfile_in(parent(path))
        .map_err(Error::io("create a temporary file for", path))
}

/// Forces a temporary file out, sets its time if one is given, and renames the file to `path`. Does not force the directory out.
pub(crate) fn persist(
    file: NamedTempFile,
    path: &Path,
    modified: Option<SystemTime>,
) -> Result<()> {
    // A published file is readable whatever umask the process has.
    file.as_file()
        .set_permissions(fs::Permissions::from_mode(FILE_MODE))
        .map_err(Error::io("set the mode of", path))?;
    if let Some(time) = modified {
        file.as_file()
            .set_modified(time)
            .map_err(Error::io("set the time of", path))?;
    }
    file.as_file()
        .sync_all()
        .map_err(Error::io("fsync", path))?;
    file.persist(path)
        .map_err(|e| Error::io("rename into place", path)(e.error))?;
    Ok(())
}

/// Writes a whole file. Does not force the directory out.
pub(crate) fn write_file(path: &Path, data: &[u8], modified: Option<SystemTime>) -> Result<()> {
    let mut file = temporary(path)?;
    file.write_all(data).map_err(Error::io("write", path))?;
    persist(file, path, modified)
}

/// Writes a whole file and forces its name out as well.
pub(crate) fn write(path: &Path, data: &[u8], modified: Option<SystemTime>) -> Result<()> {
    write_file(path, data, modified)?;
    sync_dir(parent(path))
}

/// Writes over a file that is there; no file of a tree, and none that has to survive a loss of power.
pub(crate) fn overwrite(path: &Path, data: &[u8]) -> Result<()> {
    let written = OpenOptions::new()
        .write(true)
        .open(path)
        .and_then(|mut file| {
            file.write_all(data)?;
            file.set_len(data.len() as u64)?;
            file.sync_all()
        });
    written.map_err(Error::io("write", path))
}

/// Renames a file and forces the new name out.
pub(crate) fn rename(from: &Path, to: &Path) -> Result<()> {
    fs::rename(from, to).map_err(Error::io("rename into place", to))?;
    sync_dir(parent(to))
}

/// Points a symlink at another target in one step: a fresh symlink takes its place by rename.
pub(crate) fn symlink(target: &Path, path: &Path) -> Result<()> {
    let dir = parent(path);
    let fresh = Builder::new()
        .prefix(TEMP_PREFIX)
        .make_in(dir, |temporary| {
            std::os::unix::fs::symlink(target, temporary)
        })
        .map_err(Error::io("create a symlink for", path))?;
    fresh
        .into_temp_path()
        .persist(path)
        .map_err(|e| Error::io("rename into place", path)(e.error))?;
    sync_dir(dir)
}

/// Opens a regular file to read it. Another kind of file in its place (a FIFO) would keep its reader waiting.
pub(crate) fn open_regular(path: &Path) -> io::Result<File> {
    let file = OpenOptions::new()
        .read(true)
        .custom_flags(OFlag::O_NONBLOCK.bits())
        .open(path)?;
    if file.metadata()?.is_file() {
        return Ok(file);
    }
    Err(io::Error::new(
        io::ErrorKind::InvalidInput,
        "it is no regular file",
    ))
}

/// Reads a whole regular file.
pub(crate) fn read_regular(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    open_regular(path)?.read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Removes a file; a missing file is fine.
pub(crate) fn remove_file(path: &Path) -> Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(Error::io("remove", path)(error))
        }
        _ => Ok(()),
    }
}

/// Removes a directory and everything in it, or the file in its place; a missing directory is fine. A mount point is
/// emptied, and stays. An error names the very file that could not be removed.
pub(crate) fn remove_tree(path: &Path) -> Result<()> {
    if path.symlink_metadata().is_ok_and(|m| !m.is_dir()) {
        return remove_file(path); // the directory that a symlink leads to is not ours
    }
    let entries = match fs::read_dir(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        other => other.map_err(Error::io("list", path))?,
    };
    for entry in entries {
        let entry = entry.map_err(Error::io("list", path))?;
        let inner = entry.path();
        let kind = entry.file_type().map_err(Error::io("look at", &inner))?;
        if kind.is_dir() {
            remove_tree(&inner)?;
        } else {
            remove_file(&inner)?;
        }
    }
    use io::ErrorKind::{NotFound, ResourceBusy};
    match fs::remove_dir(path) {
        Err(error) if !matches!(error.kind(), NotFound | ResourceBusy) => {
            Err(Error::io("remove", path)(error))
        }
        _ => Ok(()),
    }
}

/// Removes the temporary files that a crash left in a directory.
pub(crate) fn clear_litter(dir: &Path) -> Result<()> {
    let entries = match fs::read_dir(dir) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        other => other.map_err(Error::io("list", dir))?,
    };
    for entry in entries {
        let entry = entry.map_err(Error::io("list", dir))?;
        if entry
            .file_name()
            .as_encoded_bytes()
            .starts_with(TEMP_PREFIX.as_bytes())
        {
            remove_file(&entry.path())?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn a_rewritten_file_is_a_new_inode_and_an_open_one_keeps_its_bytes() {
        use std::io::Read;
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("f");
        write(&path, b"old", None).unwrap();
        let mut open = File::open(&path).unwrap();
        write(&path, b"new", Some(SystemTime::UNIX_EPOCH)).unwrap();
        let mut text = String::new();
        open.read_to_string(&mut text).unwrap();
        assert_eq!(text, "old");
        assert_eq!(
            path.metadata().unwrap().modified().unwrap(),
            SystemTime::UNIX_EPOCH
        );
        assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o644);
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_symlink_is_replaced_and_litter_is_cleared() {
        let dir = tempfile::tempdir().unwrap();
        let link = dir.path().join("merged");
        symlink(Path::new("a"), &link).unwrap();
        symlink(Path::new("b"), &link).unwrap();
        assert_eq!(fs::read_link(&link).unwrap(), Path::new("b"));
        fs::write(dir.path().join(format!("{TEMP_PREFIX}x")), "").unwrap();
        clear_litter(dir.path()).unwrap();
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    }
}
