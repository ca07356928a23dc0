//! Files below a directory, and never anything else.
//!
//! The kernel resolves a path: openat2(2) with `RESOLVE_BENEATH` refuses each step, by `..` or by a symlink, that leaves the directory,
//! and there is no moment at which a checked path could turn into another one, as there is between a `canonicalize` and an `open`.
//!
//! What the path led to is a handle that can neither be read nor wait (`O_PATH`). /proc tells where the handle lies, so that a
//! symlink to a hidden name, or to the entry that is barred, is refused as the name itself is; and it opens a handle for reading once
//! the handle is known to be a regular file or a directory. So a FIFO or a device is never opened, whatever is renamed meanwhile.
//!
//! A machine without openat2 gets no implementation of its own, since nobody would ever run and test that one: [`check`] finds out
//! before the server starts.

use std::{
    ffi::OsString,
    fs::{self, File, Metadata},
    io,
    os::{
        fd::{AsFd, AsRawFd, OwnedFd},
        unix::ffi::OsStrExt,
    },
    path::{Path, PathBuf},
};

use nix::{
    errno::Errno,
    fcntl::{OFlag, OpenHow, ResolveFlag, open, openat2},
    sys::stat::Mode,
};

use crate::merge::rewrite::is_hidden;

/// The attempts at one path. The kernel gives up on a path that goes back by `..` while anything on the machine is renamed.
const ATTEMPTS: usize = 64;

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
    /// A directory, whose [`entries`] can be asked for.
    Directory(OwnedFd),
}

/// An entry of a directory.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Entry {
    pub(super) name: OsString,
    pub(super) is_directory: bool,
}

impl Root {
    /// Opens a directory; if `path` is a symlink, the directory that it points at now. The entry `barred` of the directory, and what
    /// is below it, is never found, not even by way of a symlink.
    pub(super) fn open(path: &Path, barred: Option<&'static str>) -> io::Result<Root> {
        let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
        let directory = open(path, flags, Mode::empty())?;
        Ok(Root { directory, barred })
    }

    /// Goes from the root along `names`, each of which is one path segment; an empty one at the end asks for a directory.
    ///
    /// Names that begin with a dot are not found, not even by way of a symlink: they are half-written or private files. Nothing
    /// outside the root is found either.
    pub(super) fn find<'a>(&self, names: impl IntoIterator<Item = &'a [u8]>) -> io::Result<Found> {
        let mut path = b".".to_vec();
        for name in names {
            if is_hidden(name) || name == b".." {
                return Err(Errno::ENOENT.into());
            }
            path.push(b'/');
            path.extend_from_slice(name);
        }
        let found = self.resolve(&path)?;
        if self.is_kept_back(&found)? {
            return Err(Errno::ENOENT.into());
        }
        let found = File::from(found);
        let metadata = found.metadata()?;
        if metadata.is_dir() {
            Ok(Found::Directory(found.into()))
        } else if metadata.is_file() {
            Ok(Found::File(File::open(handle(&found))?, metadata))
        } else {
            Err(Errno::ENOENT.into())
        }
    }

    fn resolve(&self, path: &[u8]) -> nix::Result<OwnedFd> {
        let how = OpenHow::new()
            .flags(OFlag::O_PATH | OFlag::O_CLOEXEC)
            .resolve(ResolveFlag::RESOLVE_BENEATH | ResolveFlag::RESOLVE_NO_MAGICLINKS);
        let mut found = Err(Errno::EAGAIN);
        for _ in 0..ATTEMPTS {
            found = openat2(&self.directory, path, how);
            if !matches!(found, Err(Errno::EAGAIN)) {
                break;
            }
        }
        match found {
            Err(Errno::EXDEV) => Err(Errno::ENOENT),
            found => found,
        }
    }

    /// Returns whether a part of the way from the root to a handle is hidden or barred, or there is no such way any more.
    fn is_kept_back(&self, found: &OwnedFd) -> io::Result<bool> {
        let root = fs::read_link(handle(&self.directory))?;
        let place = fs::read_link(handle(found))?;
        let Ok(way) = place.strip_prefix(root) else {
            return Ok(true);
        };
        let is_barred = self.barred.is_some_and(|barred| way.starts_with(barred));
        Ok(is_barred || way.iter().any(|name| is_hidden(name.as_bytes())))
    }
}

/// Returns the path by which a handle is opened once more.
fn handle(of: &impl AsFd) -> PathBuf {
    PathBuf::from(format!("/proc/self/fd/{}", of.as_fd().as_raw_fd()))
}

/// Fails where files cannot be found in this way: by a kernel before Linux 5.6, in a container that forbids openat2, without /proc.
pub(super) fn check() -> io::Result<()> {
    Root::open(Path::new("/"), None)?.find([]).map(drop)
}

/// Returns the entries of a directory in order of name, without those whose names [`Root::find`] would not find.
pub(super) fn entries(directory: &OwnedFd) -> io::Result<Vec<Entry>> {
    let mut entries = Vec::new();
    for entry in fs::read_dir(handle(directory))? {
        let entry = entry?;
        let name = entry.file_name();
        if !name.as_bytes().starts_with(b".") {
            let is_directory = entry.file_type()?.is_dir();
            entries.push(Entry { name, is_directory });
        }
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
        match root.find(path.split('/').map(str::as_bytes)) {
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
        fs::create_dir(tree.join(".hidden")).unwrap();
        fs::write(tree.join(".hidden/secret"), "secret").unwrap();
        fs::write(tree.join(".secret"), "secret").unwrap();
        symlink(".secret", tree.join("file")).unwrap();
        symlink("../.hidden", tree.join("dists/directory")).unwrap();
        nix::unistd::mkfifo(&tree.join("fifo"), Mode::S_IRWXU).unwrap();
        symlink("fifo", tree.join("pipe")).unwrap();
        let _socket = std::os::unix::net::UnixListener::bind(tree.join("socket")).unwrap();
        for path in [
            ".secret",
            ".hidden/secret",
            "file",
            "dists/directory",
            "dists/directory/secret",
            "fifo",
            "pipe",
            "socket",
        ] {
            assert_eq!(look(&tree, path), None, "{path}");
        }
    }

    #[test]
    fn a_fifo_is_not_opened() {
        let place = place();
        let fifo = place.path().join("tree/fifo");
        nix::unistd::mkfifo(&fifo, Mode::S_IRWXU).unwrap();
        assert_eq!(look(&place.path().join("tree"), "fifo"), None);
        // A writer that does not wait gets this as long as nobody has opened the FIFO for reading.
        let write = OFlag::O_WRONLY | OFlag::O_NONBLOCK;
        assert_eq!(open(&fifo, write, Mode::empty()).unwrap_err(), Errno::ENXIO);
    }

    #[test]
    fn no_name_climbs() {
        let place = place();
        let tree = place.path().join("tree");
        let secret = place.path().join("outside/secret");
        for path in [
            "..",
            "../outside/secret",
            "dists/../../outside/secret",
            "dists/daedalus/../daedalus/InRelease",
            secret.to_str().unwrap(),
        ] {
            assert_eq!(look(&tree, path), None, "{path}");
        }
        symlink("/proc/self/root", tree.join("magic")).unwrap();
        symlink("/", tree.join("root")).unwrap();
        for link in ["magic", "root"] {
            assert_eq!(look(&tree, &format!("{link}{}", secret.display())), None);
        }
    }

    #[test]
    fn a_path_has_only_so_many_links() {
        let place = place();
        let tree = place.path().join("tree");
        symlink(".", tree.join("dists/here")).unwrap();
        assert!(look(&tree, &format!("dists/{}daedalus", "here/".repeat(40))).is_some());
        assert_eq!(
            look(&tree, &format!("dists/{}daedalus", "here/".repeat(41))),
            None
        );
        assert_eq!(look(&tree, &"d/".repeat(4000)), None);
    }

    /// Looks for paths while another thread swaps what is at one of their parts, as fast as it can.
    #[test]
    fn what_is_swapped_meanwhile_leads_nowhere_else() {
        let place = place();
        let tree = place.path().join("tree");
        for name in ["suite", "outside"] {
            fs::create_dir_all(place.path().join(name).join("main")).unwrap();
        }
        fs::rename(place.path().join("suite"), tree.join("dists/suite")).unwrap();
        fs::write(tree.join("dists/suite/secret"), "inside").unwrap();
        symlink("../../outside", tree.join("dists/out")).unwrap();
        symlink("suite/main/../secret", tree.join("dists/back")).unwrap();
        let is_over = std::sync::atomic::AtomicBool::new(false);
        let over = std::sync::atomic::Ordering::Relaxed;
        let mut found = 0;
        std::thread::scope(|scope| {
            scope.spawn(|| {
                let swap = nix::fcntl::RenameFlags::RENAME_EXCHANGE;
                let (suite, out) = (tree.join("dists/suite"), tree.join("dists/out"));
                let cwd = nix::fcntl::AT_FDCWD;
                while !is_over.load(over) {
                    nix::fcntl::renameat2(cwd, &suite, cwd, &out, swap).unwrap();
                }
            });
            for _ in 0..2000 {
                for path in ["dists/suite/secret", "dists/back"] {
                    let text = look(&tree, path);
                    assert!(matches!(text.as_deref(), None | Some("inside")), "{path}");
                    found += usize::from(text.is_some());
                }
            }
            is_over.store(true, over);
        });
        assert_ne!(found, 0);
    }

    #[test]
    fn a_root_is_what_the_link_pointed_at_when_it_was_opened() {
        let place = place();
        let link = place.path().join("merged");
        symlink("tree", &link).unwrap();
        let root = Root::open(&link, None).unwrap();
        fs::remove_file(&link).unwrap();
        symlink("outside", &link).unwrap();
        assert!(root.find([&b"dists"[..]]).is_ok());
        assert!(root.find([&b"secret"[..]]).is_err());
    }

    #[test]
    fn entries_come_in_order_without_hidden_ones() {
        let place = place();
        let tree = place.path().join("tree");
        fs::write(tree.join(".hidden"), "").unwrap();
        fs::write(tree.join("a"), "").unwrap();
        let Found::Directory(directory) = Root::open(&tree, None).unwrap().find([]).unwrap() else {
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
