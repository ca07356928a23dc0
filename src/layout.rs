//! The paths below the root.

use std::path::{Path, PathBuf};

use crate::names::PoolName;

/// The paths below the root.
#[derive(Debug, Clone)]
pub struct Layout {
    root: PathBuf,
}

impl Layout {
    /// Returns the paths below `root`.
    pub fn new(root: &Path) -> Self {
        Self {
            root: root.to_owned(),
        }
    }

    /// Returns the root itself.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Returns the link, the only path that a web server serves.
    pub fn link(&self) -> PathBuf {
        self.root.join("merged")
    }

    /// Returns the tree that a generation is built in.
    pub fn volatile(&self) -> PathBuf {
        self.root.join(VOLATILE)
    }

    /// Returns the tree that is served between runs.
    pub fn production(&self) -> PathBuf {
        self.root.join(PRODUCTION)
    }

    /// Returns the directory of the verified upstream indices.
    pub fn spool(&self) -> PathBuf {
        self.root.join("spool")
    }

    /// Returns the directory of results that may be deleted at any time.
    pub fn cache(&self) -> PathBuf {
        self.root.join("cache")
    }

    /// Returns the directory of the records of what was published, and from which inputs.
    pub fn state(&self) -> PathBuf {
        self.root.join("state")
    }

    /// Returns the directory of the mark of this site, which its targets carry.
    pub fn owner(&self) -> PathBuf {
        self.state().join("owner")
    }

    /// Returns the directory of the files of packages, each named by its digest.
    pub fn packages(&self) -> PathBuf {
        self.root.join("packages")
    }

    /// Returns the database of the store.
    pub fn store(&self) -> PathBuf {
        self.state().join("store.sqlite")
    }

    /// Returns the directory below the root that a path is or lies in, if files there come and go.
    pub fn kept_place(&self, path: &Path) -> Option<PathBuf> {
        let places = [
            self.link(),
            self.volatile(),
            self.production(),
            self.spool(),
            self.cache(),
            self.packages(),
            self.pool(),
            self.log(),
        ];
        places.into_iter().find(|place| path.starts_with(place))
    }

    /// Returns the directory of the published packages of our own, by the names of their pools.
    pub fn pool(&self) -> PathBuf {
        self.root.join("pool")
    }

    /// Returns the directory that stands for an archive whose packages are our own: the files lie below its `pool/`.
    pub(crate) fn own_archive(&self, pool: &PoolName) -> PathBuf {
        self.pool().join(pool.as_str())
    }

    /// Returns the directory of the text reports.
    pub fn log(&self) -> PathBuf {
        self.root.join("log")
    }
}

/// The name of the volatile tree, as the link names it.
pub const VOLATILE: &str = "merged-volatile";

/// The name of the production tree, as the link names it.
pub const PRODUCTION: &str = "merged-production";
