//! Lists what lies below a directory.

use std::io;
use std::path::{Path, PathBuf};

use walkdir::{DirEntry, WalkDir};

use crate::error::{Error, Result};

/// Lists the directory itself and everything below it, `max_depth` levels down; does not follow links. Directories that `enter`
/// refuses are left out with everything in them. An error names the directory that could not be listed.
pub(crate) fn below<'a>(
    dir: &'a Path,
    max_depth: usize,
    mut enter: impl FnMut(&Path) -> bool + 'a,
) -> impl Iterator<Item = Result<DirEntry>> + 'a {
    let mut walk = WalkDir::new(dir).max_depth(max_depth).into_iter();
    // The directories, by their depth: when a listing breaks off in the middle, `walkdir` reports the depth alone.
    let mut directories: Vec<PathBuf> = Vec::new();
    std::iter::from_fn(move || {
        loop {
            match walk.next()? {
                Ok(entry) if entry.file_type().is_dir() => {
                    if !enter(entry.path()) {
                        walk.skip_current_dir();
                        continue;
                    }
                    directories.truncate(entry.depth());
                    directories.push(entry.path().to_owned());
                    return Some(Ok(entry));
                }
                Ok(entry) => return Some(Ok(entry)),
                Err(error) => {
                    let parent = error.depth().checked_sub(1);
                    let listed = parent.and_then(|depth| directories.get(depth));
                    let at = error.path().or(listed.map(PathBuf::as_path));
                    let at = at.unwrap_or(dir).to_owned();
                    let cause = error
                        .into_io_error()
                        .unwrap_or_else(|| io::Error::other("it holds a link to itself"));
                    return Some(Err(Error::io("list", at)(cause)));
                }
            }
        }
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::fs;

    use super::*;

    fn names(dir: &Path, max_depth: usize, enter: impl FnMut(&Path) -> bool) -> Vec<String> {
        let found = below(dir, max_depth, enter).map(|entry| entry.unwrap().into_path());
        let found = found.map(|path| path.strip_prefix(dir).unwrap().display().to_string());
        let mut names: Vec<_> = found.collect();
        names.sort();
        names
    }

    #[test]
    fn what_is_not_entered_is_left_out_with_what_it_holds() {
        let dir = tempfile::tempdir().unwrap();
        let dir = dir.path();
        for path in ["a/b", "a/c/d", "e"] {
            fs::create_dir_all(dir.join(path)).unwrap();
            fs::write(dir.join(path).join("file"), "").unwrap();
        }
        let all = ["", "a", "a/b", "a/b/file", "a/c", "a/c/d", "a/c/d/file"];
        let all = [&all[..], &["e", "e/file"]].concat();
        assert_eq!(names(dir, usize::MAX, |_| true), all);
        assert_eq!(names(dir, 1, |_| true), ["", "a", "e"]);
        let without = names(dir, usize::MAX, |path| !path.ends_with("c"));
        assert_eq!(without, ["", "a", "a/b", "a/b/file", "e", "e/file"]);
    }

    #[test]
    fn what_is_not_there_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let gone = dir.path().join("gone");
        let found: Vec<_> = below(&gone, 3, |_| true).collect();
        let [Err(error)] = &found[..] else {
            panic!("{found:?}");
        };
        assert!(error.to_string().ends_with("/gone"), "{error}");
    }
}
