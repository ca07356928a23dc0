//! The pool of a local archive in the tree: links to its packages, and to nothing else.
//!
//! Why the other files of an archive (keys, the configuration of its tools, a `.git`) are not served, whatever its signed
//! indices name:
//!
//! - Each entry of the archive's `pool/` that is not hidden is linked. Web servers must be told not to serve hidden names further
//!   down (`config redirects` writes that rule); `serve` never finds them.
//! - Outside of the archive's `pool/`, no directory is ever linked: `pool/NAME/_/` consists of directories of ours, with one link for each
//!   file that a published stanza names, if the file has the name of a package file, no part of its path is hidden, and it is a regular
//!   file of the archive. A symlink in the archive may lead to it, but not to a file that is outside of the archive or hidden.
//!
//! A path that an archive signs may be too long for a link below the root. Such a file is not linked: the link could not be made, and a
//! run that stopped there would stop every time, for all suites.
//!
//! Inside of its `pool/`, a web server follows the symlinks that the archive has, as if it served the archive itself;
//! `serve` follows no symlink that leads out. A push leaves the whole of `pool/` here.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::io;
use std::os::unix::ffi::OsStringExt;
use std::path::{Component, Path, PathBuf};

use nix::libc::ELOOP;
use percent_encoding::percent_decode_str;

use crate::durable;
use crate::error::{Error, Result, is_of_what_was_given};
use crate::merge::rewrite::{is_hidden, is_package_file};

/// The length of the longest path that a system call takes, with the NUL at its end.
const PATH_BYTES: usize = nix::libc::PATH_MAX as usize;

/// The bytes by which a link's path may grow: the tree has a longer name in production, and a link begins with a temporary name.
const SPARE_BYTES: usize = 64;

/// Makes the pool of a local archive at `place`; `outside` has the paths that published stanzas name outside of the archives' pools, each
/// after the name of its pool.
pub(super) fn place_pool(
    place: &Path,
    pool: &str,
    archive: &Path,
    outside: &BTreeSet<&str>,
) -> Result<()> {
    durable::create_dir(place)?;
    for (link, target) in wanted_links(place, pool, archive, outside)? {
        if let Some(directory) = link.parent() {
            durable::create_dir(directory)?;
        }
        durable::symlink(&target, &link)?;
    }
    Ok(())
}

/// Returns the links of a pool, each with the file or directory of the archive that it leads to. A link that is there already costs no look
/// into the archive.
pub(super) fn wanted_links(
    place: &Path,
    pool: &str,
    archive: &Path,
    outside: &BTreeSet<&str>,
) -> Result<Vec<(PathBuf, PathBuf)>> {
    let theirs = archive.join("pool");
    let mut links = BTreeMap::new();
    let entries = unless_failing(std::fs::read_dir(&theirs), "list", &theirs)?;
    for entry in entries.into_iter().flatten() {
        let entry = entry.map_err(Error::io("list", &theirs))?;
        let name = entry.file_name();
        if name != "_" && !is_hidden(name.as_encoded_bytes()) {
            links.insert(place.join(name), entry.path());
        }
    }
    let prefix = format!("{pool}/");
    for path in outside.iter().filter_map(|path| path.strip_prefix(&prefix)) {
        // If a client encodes the path once more, the server looks for it as it is here; otherwise for the decoded path.
        let decoded: Vec<u8> = percent_decode_str(path).collect();
        for path in [OsString::from(path), OsString::from_vec(decoded)] {
            links.extend(link_to_file(&place.join("_"), Path::new(&path), archive)?);
        }
    }
    Ok(links.into_iter().collect())
}

/// Returns the link to one file of an archive, if the file may be linked.
fn link_to_file(place: &Path, path: &Path, archive: &Path) -> Result<Option<(PathBuf, PathBuf)>> {
    let Some(path) = plain(path) else {
        return Ok(None);
    };
    let (link, target) = (place.join(&path), archive.join(&path));
    if link.as_os_str().len() + SPARE_BYTES > PATH_BYTES {
        return Ok(None);
    }
    let is_linked = std::fs::read_link(&link).is_ok_and(|leads| leads == target);
    let is_wanted = is_linked || is_own_file(archive, &path)?;
    Ok(is_wanted.then_some((link, target)))
}

/// Returns the path without its empty parts; `None` if it climbs, is hidden, or is not that of a package file.
fn plain(path: &Path) -> Option<PathBuf> {
    let mut plain = PathBuf::new();
    for part in path.components() {
        match part {
            Component::Normal(name) if !is_hidden(name.as_encoded_bytes()) => plain.push(name),
            Component::CurDir => {}
            _ => return None,
        }
    }
    let name = plain.file_name()?.as_encoded_bytes();
    is_package_file(name).then_some(plain)
}

/// Returns whether a path leads to a regular file of the archive that is not hidden in it.
fn is_own_file(archive: &Path, path: &Path) -> Result<bool> {
    let resolved = |path: &Path| unless_failing(path.canonicalize(), "resolve", path);
    let (Some(root), Some(file)) = (resolved(archive)?, resolved(&archive.join(path))?) else {
        return Ok(false);
    };
    let Ok(inner) = file.strip_prefix(&root) else {
        return Ok(false);
    };
    let mut parts = inner.components();
    let is_plain = parts.all(|part| !is_hidden(part.as_os_str().as_encoded_bytes()));
    Ok(is_plain && file.metadata().is_ok_and(|metadata| metadata.is_file()))
}

/// Returns what the system found, `None` if an archive has nothing there for us; a disk that fails is an error, since the tree would
/// lose links.
fn unless_failing<T>(found: io::Result<T>, action: &'static str, path: &Path) -> Result<Option<T>> {
    match found {
        Ok(found) => Ok(Some(found)),
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => Ok(None),
        Err(error) if is_of_what_was_given(&error) || error.raw_os_error() == Some(ELOOP) => {
            Ok(None)
        }
        Err(error) => Err(Error::io(action, path)(error)),
    }
}
