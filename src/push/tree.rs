//! The names that a tree has below `dists/`, and those of our own packages below `pool/`: those that a push brings, and those of them that a
//! target can be asked for.
//!
//! The tree is walked, though manifests list its files: rsync brings what is there, so the record of what was pushed has to say that as well. A
//! file that somebody puts into the tree after a run is pushed with it, and deleted at the targets once a run has removed it here.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use crate::error::Result;
use crate::listing;

/// The names of the files that sign a suite, each in the directory of the suite.
const SIGNED: [&str; 3] = ["InRelease", "Release", "Release.gpg"];

/// The paths of a tree, each as `dists/daedalus/InRelease`.
#[derive(Debug, Default)]
pub(super) struct Tree {
    /// Every path; those of directories end with a slash.
    pub(super) paths: BTreeSet<String>,
    /// The symlinks among them.
    pub(super) aliases: BTreeSet<String>,
    /// The directories of our own packages, `pool/TOOLS`. The tree has a symlink to each of their components.
    pub(super) pools: BTreeSet<String>,
}

impl Tree {
    /// Lists a tree. `pools` has the directories of our own packages, each with the archive that it leads to. Names that are no UTF-8 are
    /// not ours, and are left out.
    pub(super) fn read(production: &Path, pools: &BTreeMap<String, PathBuf>) -> Result<Tree> {
        let mut tree = Tree::default();
        for (pool, archive) in pools {
            tree.add_pool(pool, &archive.join("pool"))?;
        }
        for entry in listing::below(&production.join("dists"), usize::MAX, |_| true) {
            let entry = entry?;
            let path = entry.path().strip_prefix(production).ok();
            let Some(path) = path.and_then(Path::to_str).map(str::to_owned) else {
                continue;
            };
            if entry.file_type().is_dir() {
                tree.paths.insert(path + "/");
                continue;
            }
            if entry.path_is_symlink() {
                tree.aliases.insert(path.clone());
            }
            tree.paths.insert(path);
        }
        Ok(tree)
    }

    /// Adds the packages of a pool of our own.
    fn add_pool(&mut self, pool: &str, directory: &Path) -> Result<()> {
        self.pools.insert(pool.to_owned());
        self.paths.insert("pool/".to_owned());
        for entry in listing::below(directory, usize::MAX, |_| true) {
            let entry = entry?;
            let below = entry.path().strip_prefix(directory).ok();
            let Some(below) = below.and_then(Path::to_str) else {
                continue;
            };
            let path = match below {
                "" => pool.to_owned(),
                below => format!("{pool}/{below}"),
            };
            self.paths.insert(match entry.file_type().is_dir() {
                true => path + "/",
                false => path,
            });
        }
        Ok(())
    }

    /// Returns the files that sign suites. Only a suite's own directory has an InRelease; an index has a Release as well.
    pub(super) fn signed(&self) -> impl Iterator<Item = &String> {
        self.paths.iter().filter(|path| {
            let Some((dir, name)) = path.rsplit_once('/') else {
                return false;
            };
            dir.starts_with("dists/")
                && SIGNED.contains(&name)
                && self.paths.contains(&format!("{dir}/InRelease"))
        })
    }

    /// Returns every directory.
    pub(super) fn directories(&self) -> impl Iterator<Item = &str> {
        let paths = self.paths.iter().map(String::as_str);
        paths.filter(|path| path.ends_with('/'))
    }

    /// Returns the directories of suites, `dists/daedalus/`.
    pub(super) fn suites(&self) -> impl Iterator<Item = &str> {
        let inline = self.paths.iter().filter(|path| path.starts_with("dists/"));
        inline.filter_map(|path| path.strip_suffix("InRelease").filter(|d| d.ends_with('/')))
    }
}

/// Returns the directories that a path lies in, the uppermost first: `dists/`, `dists/daedalus/`.
pub(super) fn parents(path: &str) -> impl Iterator<Item = &str> {
    let inner = path.strip_suffix('/').unwrap_or(path);
    inner.match_indices('/').map(|(at, _)| &path[..=at])
}
