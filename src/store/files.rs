//! The files of packages, below `packages/`.

use std::path::{Path, PathBuf};

/// Returns the path of a file by its digest: `ab/cdef…` below the directory.
pub(super) fn path_of(packages: &Path, sha256: &[u8; 32]) -> PathBuf {
    let name = hex::encode(sha256);
    let (first, rest) = name.split_at(2);
    packages.join(first).join(rest)
}

/// Returns the digest that a path below the directory stands for, if it has the form that we give.
pub(super) fn digest_of(packages: &Path, path: &Path) -> Option<[u8; 32]> {
    let mut parts = path.strip_prefix(packages).ok()?.iter();
    let (first, rest) = (parts.next()?.to_str()?, parts.next()?.to_str()?);
    let mut digest = [0; 32];
    hex::decode_to_slice(format!("{first}{rest}"), &mut digest).ok()?;
    (path_of(packages, &digest) == path).then_some(digest)
}
