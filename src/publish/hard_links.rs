//! Gives a file, or a tree, a second name: hard links, or copies where two trees lie on different file systems.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fs::{self, File, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use nix::errno::Errno;

use crate::durable;
use crate::error::{Error, Result};

/// Gives `from` the further name `to`, in place of whatever had that name.
pub(super) fn link_file(from: &Path, to: &Path) -> Result<()> {
    // rename(2) does nothing where both names are those of one file, and would leave the temporary one.
    if is_one(from, to) {
        return Ok(());
    }
    let linked = tempfile::Builder::new()
        .prefix(durable::TEMP_PREFIX)
        .make_in(to.parent().unwrap_or(Path::new(".")), |temporary| {
            fs::hard_link(from, temporary)
        });
    match linked {
        Ok(file) => {
            file.into_temp_path()
                .persist(to)
                .map_err(|e| Error::io("rename into place", to)(e.error))?;
            Ok(())
        }
        Err(error) if cannot_link(&error) => copy_file(from, to),
        Err(error) => Err(Error::io("link", to)(error)),
    }
}

fn is_one(a: &Path, b: &Path) -> bool {
    let inode = |path: &Path| path.symlink_metadata().map(|m| (m.dev(), m.ino())).ok();
    inode(b).is_some_and(|b| inode(a) == Some(b))
}

/// Returns whether a link failed because of the file system and not because of the file.
fn cannot_link(error: &io::Error) -> bool {
    let errno = error.raw_os_error().map(Errno::from_raw);
    matches!(
        errno,
        Some(Errno::EXDEV | Errno::EMLINK | Errno::EOPNOTSUPP | Errno::EPERM)
    )
}

fn copy_file(from: &Path, to: &Path) -> Result<()> {
    let mut source = File::open(from).map_err(Error::io("open", from))?;
    let modified = source
        .metadata()
        .and_then(|m| m.modified())
        .map_err(Error::io("look at", from))?;
    let mut copy = durable::temporary(to)?;
    io::copy(&mut source, &mut copy).map_err(Error::io("write", to))?;
    durable::persist(copy, to, Some(modified))
}

/// The length up to which a copy is compared byte by byte: the signed files are small, and everything depends on them.
const COMPARED_BYTES: u64 = 1 << 20;

/// Returns whether two names lead to one file, or to a file and its copy on another file system.
fn is_same(a: &Path, a_is: &Metadata, b: &Path, b_is: &Metadata) -> bool {
    if a_is.dev() == b_is.dev() {
        return a_is.ino() == b_is.ino();
    }
    let of_copy = |m: &Metadata| (m.len(), m.mtime(), m.mtime_nsec(), m.is_file());
    let same_bytes = || {
        fs::read(a)
            .ok()
            .zip(fs::read(b).ok())
            .is_some_and(|(a, b)| a == b)
    };
    of_copy(a_is) == of_copy(b_is) && (a_is.len() > COMPARED_BYTES || same_bytes())
}

/// Makes `to` equal to `from`: links what differs, removes what `from` lacks, and forces every changed directory out.
///
/// All files are linked before any is removed, so that a file that moved always has a name.
pub(super) fn mirror(from: &Path, to: &Path) -> Result<()> {
    durable::check_real(to)?;
    durable::create_dir(to)?;
    let changed = mirror_new(from, to)?;
    remove_extra(from, to)?;
    if changed {
        durable::sync_dir(to)?;
    }
    if let Some(parent) = to.parent() {
        durable::sync_dir(parent)?;
    }
    Ok(())
}

fn entries(dir: &Path) -> Result<Vec<(OsString, Metadata)>> {
    let mut entries = Vec::new();
    for entry in fs::read_dir(dir).map_err(Error::io("list", dir))? {
        let entry = entry.map_err(Error::io("list", dir))?;
        let metadata = entry
            .path()
            .symlink_metadata()
            .map_err(Error::io("look at", entry.path()))?;
        entries.push((entry.file_name(), metadata));
    }
    Ok(entries)
}

fn existing(path: &Path) -> Result<Option<Metadata>> {
    match path.symlink_metadata() {
        Ok(metadata) => Ok(Some(metadata)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(Error::io("look at", path)(error)),
    }
}

/// Links the new files and directories; returns whether the directory itself changed.
fn mirror_new(from: &Path, to: &Path) -> Result<bool> {
    let mut changed = false;
    for (name, wanted) in entries(from)? {
        if name
            .as_encoded_bytes()
            .starts_with(durable::TEMP_PREFIX.as_bytes())
        {
            continue;
        }
        let (source, target) = (from.join(&name), to.join(&name));
        let mut present = existing(&target)?;
        if present
            .as_ref()
            .is_some_and(|p| p.is_dir() != wanted.is_dir())
        {
            remove(&target)?;
            present = None;
        }
        if wanted.is_dir() {
            changed |= present.is_none();
            durable::create_dir(&target)?;
            if mirror_new(&source, &target)? {
                durable::sync_dir(&target)?;
            }
        } else if wanted.is_symlink() {
            let leads = fs::read_link(&source).map_err(Error::io("read the link", &source))?;
            if present.is_none() || fs::read_link(&target).ok().as_ref() != Some(&leads) {
                durable::symlink(&leads, &target)?;
            }
        } else if !present.is_some_and(|p| is_same(&target, &p, &source, &wanted)) {
            changed = true;
            link_file(&source, &target)?;
        }
    }
    Ok(changed)
}

fn remove_extra(from: &Path, to: &Path) -> Result<()> {
    let wanted: BTreeSet<OsString> = entries(from)?.into_iter().map(|(name, _)| name).collect();
    let mut removed = false;
    for (name, metadata) in entries(to)? {
        let target = to.join(&name);
        if !wanted.contains(&name)
            || name
                .as_encoded_bytes()
                .starts_with(durable::TEMP_PREFIX.as_bytes())
        {
            remove(&target)?;
            removed = true;
        } else if metadata.is_dir() {
            remove_extra(&from.join(&name), &target)?;
        }
    }
    if removed {
        durable::sync_dir(to)?;
    }
    Ok(())
}

/// Removes a tree, leaving out the sub-directories that `skip` names, and the directories above them.
pub(super) fn remove_tree(tree: &Path, skip: &dyn Fn(&Path) -> bool) -> Result<()> {
    if existing(tree)?.is_none() {
        return Ok(());
    }
    for (name, metadata) in entries(tree)? {
        let path = tree.join(name);
        match (metadata.is_dir(), skip(&path)) {
            (true, true) => {}
            (true, false) => remove_tree(&path, skip)?,
            (false, _) => durable::remove_file(&path)?,
        }
    }
    match fs::remove_dir(tree) {
        Err(error) if error.kind() != io::ErrorKind::DirectoryNotEmpty => {
            Err(Error::io("remove", tree)(error))
        }
        _ => Ok(()),
    }
}

/// Removes the file or directory at a path, if there is one.
pub(super) fn remove(path: &Path) -> Result<()> {
    match existing(path)? {
        Some(metadata) if metadata.is_dir() => durable::remove_tree(path),
        Some(_) => durable::remove_file(path),
        None => Ok(()),
    }
}

/// Forces every directory of a tree out to the disk.
pub(super) fn sync_tree(tree: &Path) -> Result<()> {
    for (name, metadata) in entries(tree)? {
        if metadata.is_dir() {
            sync_tree(&tree.join(name))?;
        }
    }
    durable::sync_dir(tree)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn a_mirror_links_what_changed_and_keeps_the_rest() {
        let dir = tempfile::tempdir().unwrap();
        let (from, to) = (dir.path().join("a"), dir.path().join("b"));
        fs::create_dir_all(from.join("d")).unwrap();
        fs::write(from.join("same"), "1").unwrap();
        fs::write(from.join("d/x"), "1").unwrap();
        durable::symlink(Path::new("d"), &from.join("alias")).unwrap();
        mirror(&from, &to).unwrap();
        let inode = |p: &Path| p.metadata().unwrap().ino();
        assert_eq!(inode(&from.join("d/x")), inode(&to.join("d/x")));
        // A file becomes a directory, a directory a file, one changes, one goes.
        let kept = inode(&to.join("same"));
        fs::remove_file(from.join("d/x")).unwrap();
        fs::create_dir(from.join("d/x")).unwrap();
        fs::write(from.join("d/x/y"), "2").unwrap();
        durable::symlink(Path::new("d/x"), &from.join("alias")).unwrap();
        fs::write(to.join("stray"), "").unwrap();
        mirror(&from, &to).unwrap();
        assert_eq!(inode(&to.join("same")), kept);
        assert_eq!(fs::read_to_string(to.join("alias/y")).unwrap(), "2");
        assert!(!to.join("stray").exists());
    }
}
