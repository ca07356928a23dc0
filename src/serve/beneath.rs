//! Files below a directory, and never anything else.
//!
//! Every step of a path is opened on its own, relative to the directory that the step before it opened, and never
//! through a symlink. A symlink is read, and its target walked by the same rules: an absolute one is refused, and a `..`
//! goes back along the directories that were walked, never above the first. So whatever is renamed or replaced during
//! the walk, each directory that is entered was reached from the root downwards; there is no moment at which a checked
//! path could turn into another one, as there is between a `canonicalize` and an `open`.

use std::{
    ffi::{OsStr, OsString},
    fs::{File, Metadata},
    io,
    os::{
        fd::{AsFd, OwnedFd},
        unix::ffi::{OsStrExt, OsStringExt},
    },
    path::Path,
};

use crate::merge::rewrite::is_hidden;
use nix::{
    dir::{Dir, Type},
    errno::Errno,
    fcntl::{AtFlags, OFlag, open, openat, readlinkat},
    sys::stat::{Mode, SFlag, fstatat},
};

/// The most symlinks in one path; Linux follows as many, path_resolution(7).
const MOST_LINKS: usize = 40;
/// The most levels that a path may have: each level holds a descriptor while the path is walked.
const MOST_LEVELS: usize = 64;

/// A directory that is kept open, below which files are looked for.
#[derive(Debug)]
pub(super) struct Root {
    directory: OwnedFd,
    barred: Option<&'static str>,
}

/// The file or directory that a path led to.
#[derive(Debug)]
pub(super) enum Found {
    /// A regular file, open for reading at its beginning.
    File(File, Metadata),
    /// A directory.
    Directory(OwnedFd),
}

/// An entry of a directory.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Entry {
    pub(super) name: OsString,
    pub(super) is_directory: bool,
}

impl Root {
    /// Opens a directory; if `path` is a symlink, the directory that it points at now. No walk finds the entry `barred` of the
    /// directory, not even by way of a symlink.
    pub(super) fn open(path: &Path, barred: Option<&'static str>) -> io::Result<Root> {
        let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
        let directory = open(path, flags, Mode::empty())?;
        Ok(Root { directory, barred })
    }

    /// Walks from the root along `names`, each of which is one path segment. With `as_directory`, a file is not found.
    ///
    /// Names that begin with a dot are not found, not even by way of a symlink: they are half-written or private files. Nothing
    /// outside the root is found either.
    pub(super) fn find<'a>(
        &self,
        names: impl DoubleEndedIterator<Item = &'a [u8]>,
        as_directory: bool,
    ) -> io::Result<Found> {
        let mut steps: Vec<OsString> = names
            .rev()
            .map(|name| OsString::from_vec(name.to_vec()))
            .collect();
        if steps
            .iter()
            .any(|name| is_hidden(name.as_bytes()) || name == "..")
        {
            return Err(Errno::ENOENT.into());
        }
        let mut below: Vec<OwnedFd> = Vec::new();
        let mut links_left = MOST_LINKS;
        while let Some(step) = steps.pop() {
            match step.as_bytes() {
                b"" | b"." => continue,
                b".." => {
                    below.pop().ok_or(Errno::ENOENT)?;
                    continue;
                }
                _ => {}
            }
            let bar = self.barred.is_some_and(|barred| step == barred);
            if (below.is_empty() && bar) || below.len() == MOST_LEVELS {
                return Err(Errno::ENOENT.into());
            }
            let here = below.last().unwrap_or(&self.directory);
            let status = fstatat(here, step.as_os_str(), AtFlags::AT_SYMLINK_NOFOLLOW)?;
            let kind = status.st_mode & SFlag::S_IFMT.bits();
            if kind == SFlag::S_IFLNK.bits() {
                links_left = links_left.checked_sub(1).ok_or(Errno::ELOOP)?;
                let target = readlinkat(here, step.as_os_str())?;
                if target.as_bytes().starts_with(b"/") {
                    return Err(Errno::ENOENT.into());
                }
                let parts = target.as_bytes().split(|byte| *byte == b'/').rev();
                if parts.clone().any(is_hidden) {
                    return Err(Errno::ENOENT.into());
                }
                steps.extend(parts.map(|part| OsStr::from_bytes(part).to_owned()));
            } else if kind == SFlag::S_IFDIR.bits() {
                let directory = open_here(here, &step, OFlag::O_DIRECTORY)?;
                below.push(directory);
            } else if kind == SFlag::S_IFREG.bits() {
                let file = File::from(open_here(here, &step, OFlag::empty())?);
                let metadata = file.metadata()?;
                let is_last = steps.iter().all(|step| step.is_empty());
                if as_directory || !is_last || !metadata.is_file() {
                    return Err(Errno::ENOTDIR.into());
                }
                return Ok(Found::File(file, metadata));
            } else {
                return Err(Errno::ENOENT.into());
            }
        }
        match below.pop() {
            Some(directory) => Ok(Found::Directory(directory)),
            None => Ok(Found::Directory(self.directory.try_clone()?)),
        }
    }
}

/// Opens an entry that was no symlink a moment ago, and must not be one now. `O_NONBLOCK`, because it may have become a
/// FIFO meanwhile.
fn open_here(here: impl AsFd, name: &OsStr, also: OFlag) -> nix::Result<OwnedFd> {
    let flags = OFlag::O_RDONLY
        | OFlag::O_NOFOLLOW
        | OFlag::O_NONBLOCK
        | OFlag::O_NOCTTY
        | OFlag::O_CLOEXEC;
    openat(here, name, flags | also, Mode::empty())
}

/// Returns the entries of a directory in order of name, without those whose names [`Root::find`] would not find.
pub(super) fn entries(directory: &OwnedFd) -> io::Result<Vec<Entry>> {
    let mut entries = Vec::new();
    for entry in Dir::from_fd(directory.try_clone()?)?.iter() {
        let entry = entry?;
        let name = OsStr::from_bytes(entry.file_name().to_bytes());
        if name.as_bytes().starts_with(b".") {
            continue;
        }
        entries.push(Entry {
            name: name.to_owned(),
            is_directory: entry.file_type() == Some(Type::Directory),
        });
    }
    entries.sort();
    Ok(entries)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::{fs, io::Read, os::unix::fs::symlink};

    use super::*;

    fn look(root: &Path, path: &str) -> Option<String> {
        let root = Root::open(root, Some("pool")).unwrap();
        match root.find(path.split('/').map(str::as_bytes), path.ends_with('/')) {
            Ok(Found::File(mut file, _)) => {
                let mut text = String::new();
                file.read_to_string(&mut text).unwrap();
                Some(text)
            }
            Ok(Found::Directory(_)) => Some("a directory".to_owned()),
            Err(_) => None,
        }
    }

    /// `tree` with a file, beside `outside` with another.
    fn place() -> tempfile::TempDir {
        let place = tempfile::tempdir().unwrap();
        fs::create_dir_all(place.path().join("tree/dists/daedalus/main")).unwrap();
        fs::create_dir_all(place.path().join("tree/pool")).unwrap();
        fs::create_dir_all(place.path().join("outside")).unwrap();
        fs::write(place.path().join("tree/dists/daedalus/InRelease"), "inside").unwrap();
        fs::write(place.path().join("tree/pool/x.deb"), "pool").unwrap();
        fs::write(place.path().join("outside/secret"), "secret").unwrap();
        place
    }

    #[test]
    fn finds_what_is_below() {
        let place = place();
        let tree = place.path().join("tree");
        assert_eq!(
            look(&tree, "dists/daedalus/InRelease").as_deref(),
            Some("inside")
        );
        assert_eq!(
            look(&tree, "./dists//daedalus/./InRelease").as_deref(),
            Some("inside")
        );
        assert_eq!(
            look(&tree, "dists/daedalus/").as_deref(),
            Some("a directory")
        );
        assert_eq!(look(&tree, "").as_deref(), Some("a directory"));
        assert_eq!(look(&tree, "dists/daedalus/InRelease/"), None);
        assert_eq!(look(&tree, "dists/daedalus/InRelease/."), None);
        assert_eq!(look(&tree, "dists/daedalus/InRelease/x"), None);
        assert_eq!(look(&tree, "dists/nowhere"), None);
    }

    #[test]
    fn dots_do_not_lead_out() {
        let place = place();
        let tree = place.path().join("tree");
        for path in ["..", "../outside/secret", "dists/../../outside/secret"] {
            assert_eq!(look(&tree, path), None, "{path}");
        }
    }

    #[test]
    fn links_lead_only_to_what_is_inside() {
        let place = place();
        let tree = place.path().join("tree");
        let secret = place.path().join("outside/secret");
        let links: [(&str, &Path, Option<&str>); 9] = [
            ("dists/stable", Path::new("daedalus"), Some("inside")),
            (
                "dists/again",
                Path::new("stable/../stable/"),
                Some("inside"),
            ),
            ("alias", Path::new("dists/./daedalus"), Some("inside")),
            ("dists/up", Path::new("../../tree/dists/daedalus"), None),
            ("dists/out", Path::new("../../outside"), None),
            (
                "dists/through",
                Path::new("daedalus/../../../outside"),
                None,
            ),
            (
                "dists/absolute",
                &place.path().join("tree/dists/daedalus"),
                None,
            ),
            ("dists/loop", Path::new("loop"), None),
            ("dists/gone", Path::new("nowhere"), None),
        ];
        for (name, target, _) in links {
            symlink(target, tree.join(name)).unwrap();
        }
        symlink(&secret, tree.join("dists/secret")).unwrap();
        symlink("../../outside/secret", tree.join("dists/secret2")).unwrap();
        for (name, _, expected) in links {
            let found = look(&tree, &format!("{name}/InRelease"));
            assert_eq!(found.as_deref(), expected, "{name}");
            assert_eq!(look(&tree, &format!("{name}/secret")), None, "{name}");
        }
        assert_eq!(look(&tree, "dists/secret"), None);
        assert_eq!(look(&tree, "dists/secret2"), None);
    }

    #[test]
    fn the_barred_entry_is_not_entered() {
        let place = place();
        let tree = place.path().join("tree");
        symlink("../pool", tree.join("dists/pool")).unwrap();
        symlink("pool/x.deb", tree.join("x.deb")).unwrap();
        for path in ["pool", "pool/x.deb", "dists/pool/x.deb", "x.deb"] {
            assert_eq!(look(&tree, path), None, "{path}");
        }
        fs::create_dir(tree.join("dists/daedalus/pool")).unwrap();
        assert!(look(&tree, "dists/daedalus/pool").is_some());
    }

    #[test]
    fn neither_hidden_nor_special_files_are_found() {
        let place = place();
        let tree = place.path().join("tree");
        fs::write(tree.join(".secret"), "secret").unwrap();
        nix::unistd::mkfifo(&tree.join("fifo"), Mode::S_IRWXU).unwrap();
        assert_eq!(look(&tree, ".secret"), None);
        assert_eq!(look(&tree, "fifo"), None);
    }

    #[test]
    fn a_path_is_walked_only_so_deep() {
        let place = place();
        let tree = place.path().join("tree");
        symlink(".", tree.join("dists/here")).unwrap();
        assert!(look(&tree, &format!("dists/{}daedalus", "here/".repeat(40))).is_some());
        assert_eq!(
            look(&tree, &format!("dists/{}daedalus", "here/".repeat(41))),
            None
        );
        fs::create_dir_all(tree.join("d/".repeat(65))).unwrap();
        assert!(look(&tree, &"d/".repeat(64)).is_some());
        assert_eq!(look(&tree, &"d/".repeat(65)), None);
    }

    #[test]
    fn a_root_is_what_the_link_pointed_at_when_it_was_opened() {
        let place = place();
        let link = place.path().join("merged");
        symlink("tree", &link).unwrap();
        let root = Root::open(&link, None).unwrap();
        fs::remove_file(&link).unwrap();
        symlink("outside", &link).unwrap();
        assert!(root.find([&b"dists"[..]].into_iter(), false).is_ok());
        assert!(root.find([&b"secret"[..]].into_iter(), false).is_err());
    }

    #[test]
    fn entries_come_in_order_without_hidden_ones() {
        let place = place();
        let tree = place.path().join("tree");
        fs::write(tree.join(".hidden"), "").unwrap();
        fs::write(tree.join("a"), "").unwrap();
        let Found::Directory(directory) = Root::open(&tree, None)
            .unwrap()
            .find(std::iter::empty(), true)
            .unwrap()
        else {
            panic!("no directory")
        };
        let names: Vec<(String, bool)> = entries(&directory)
            .unwrap()
            .into_iter()
            .map(|entry| (entry.name.into_string().unwrap(), entry.is_directory))
            .collect();
        let expected = [("a", false), ("dists", true), ("pool", true)];
        assert_eq!(names, expected.map(|(name, is)| (name.to_owned(), is)));
    }
}
