//! The files of packages, below `packages/`.

use std::path::{Path, PathBuf};

/// Returns the path of a file by its digest: `ab/cdef…` below the directory.
pub(super) fn path_of(packages: &Path, sha256: &[u8; 32]) -> PathBuf {
    let name = hex::encode(sha256);
    let (first, rest) = name.split_at(2);
    packages.join(first).join(rest)
}
