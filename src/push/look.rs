//! The look at a target before a push: a dry run of rsync's with the few files that tell whose it is and which state it has.
//!
//! A look goes the way that a push goes, so it needs no right at the target that a push does not need: a daemon that only lets files be
//! written, or lists nothing, answers it. Files that sign a suite are compared by content, since a push that finds size and time as they
//! were would leave a changed file as it is.
//!
//! The target's answer is not trusted with more than this: the names in it stand in messages, quoted, and make us refuse or push once
//! more. None of them makes us delete anything.

use std::collections::BTreeSet;

use super::owner::{self, Mark, Seen};
use super::stages::{literal, rule};
use super::tree::{Tree, parents};

/// The choices for one look at a target.
#[derive(Debug, Clone, Copy)]
pub(super) struct Look<'a> {
    pub(super) tree: &'a Tree,
    pub(super) mark: &'a Mark,
    /// The paths that were pushed to the target, as far as is known.
    pub(super) pushed: &'a BTreeSet<String>,
    /// `true` if the target should have this very tree, with its aliases. A target with another tree may have a suite where this tree has
    /// an alias.
    pub(super) has_tree: bool,
    /// `true` if files are compared by their content, and not by size and time.
    pub(super) by_content: bool,
}

impl Look<'_> {
    /// Returns the options of rsync's, which come behind those of the configuration: the last one of a kind counts.
    pub(super) fn arguments(&self) -> Vec<String> {
        let mut arguments: Vec<String> = [
            "--dry-run",
            "--recursive",
            "--links",
            "--times",
            "--mkpath",
            // In a dry run: names what is there and not here.
            "--delete",
            // Given twice: then rsync also names files that are the same.
            "--itemize-changes",
            "--itemize-changes",
            "--out-format=%i %n",
        ]
        .map(str::to_owned)
        .to_vec();
        if self.by_content {
            arguments.push("--checksum".into());
        }
        arguments.extend(self.filters().iter().map(|rule| format!("--filter={rule}")));
        arguments
    }

    /// Returns the filter rules. `R` names paths that would be deleted; a path that no rule names is neither sent nor looked at.
    fn filters(&self) -> Vec<String> {
        let mut filters = vec![
            rule("+", &self.mark.name()),
            format!("R /{}*", owner::PREFIX),
        ];
        let suites: BTreeSet<&str> = self.tree.suites().collect();
        let aliases = self.tree.aliases.iter().map(String::as_str);
        let ends = suites.iter().copied().chain(aliases);
        let above: BTreeSet<&str> = ends.flat_map(parents).collect();
        filters.extend(above.union(&suites).map(|dir| rule("+", dir)));
        filters.extend(self.tree.signed().map(|path| rule("+", path)));
        if self.has_tree {
            filters.extend(self.tree.aliases.iter().map(|path| rule("+", path)));
        }
        let beside = above.difference(&suites);
        filters.extend(beside.map(|dir| format!("R /{}*", literal(dir, true))));
        filters.push("- *".into());
        filters
    }

    /// Reads the output of rsync; returns `None` if it does not mention the mark, as with `--quiet` among rsync's options.
    pub(super) fn read(&self, said: &str) -> Option<Seen> {
        let mut seen = Seen {
            by_content: self.by_content,
            ..Seen::default()
        };
        let mut is_answered = false;
        let mark = self.mark.name();
        for line in said.lines() {
            if let Some(path) = line.strip_prefix("*deleting ") {
                // A path with a slash at its end is an empty directory.
                let path = path.trim_start();
                if !path.ends_with('/') {
                    self.found(path, self.tree.aliases.contains(path), &mut seen);
                }
            } else if let Some(path) = line.strip_prefix("cannot delete non-empty directory: ") {
                let is_ours = self.pushed.contains(&format!("{path}/"));
                self.found(path, is_ours, &mut seen);
            } else if let Some((flags, path)) = itemized(line) {
                let is_new = flags.ends_with("+++");
                if path == mark {
                    is_answered = true;
                    seen.is_marked = !is_new;
                } else if !path.ends_with('/') && (is_new || self.is_other(flags)) {
                    if !is_new {
                        seen.occupied.insert(path.to_owned());
                    }
                    seen.changed.insert(path.to_owned());
                }
            }
        }
        is_answered.then_some(seen)
    }

    /// Records a path that the target has and that the look does not bring.
    fn found(&self, path: &str, is_ours: bool, seen: &mut Seen) {
        if let Some(rest) = path.strip_prefix(owner::PREFIX) {
            // rsync writes a file under its name, a dot and some letters, and leaves that behind if it is killed.
            let id = rest.split_once('.').map_or(rest, |(id, _)| id);
            if id != self.mark.id {
                seen.other_owners.insert(id.to_owned());
            }
        } else if !is_ours && !self.pushed.contains(path) {
            seen.foreign.insert(path.to_owned());
        }
    }

    /// Returns whether a file or symlink at the target differs: `>fcst......`; a symlink that leads elsewhere has the `c` as well.
    fn is_other(&self, flags: &str) -> bool {
        let flag = |at: usize| flags.as_bytes().get(at).copied().unwrap_or(b'.');
        let has = |at: usize| !matches!(flag(at), b'.' | b' ');
        let (content, size, time) = (has(2), has(3), has(4));
        content || size || (!self.by_content && flag(1) == b'f' && time)
    }
}

/// Splits a line that itemizes a change into its flags and the path.
fn itemized(line: &str) -> Option<(&str, &str)> {
    const FLAGS: usize = 11;
    let (flags, path) = (line.get(..FLAGS)?, line.get(FLAGS..)?.strip_prefix(' ')?);
    let mut kinds = flags.bytes();
    let is_change = kinds.next().is_some_and(|b| b"<>ch.".contains(&b));
    let is_entry = kinds.next().is_some_and(|b| b"fdLDS".contains(&b));
    (is_change && is_entry && flags.is_ascii()).then_some((flags, path))
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;

    fn set(names: &[&str]) -> BTreeSet<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    #[test]
    fn what_rsync_says_is_read() {
        let tree = Tree {
            paths: set(&[
                "dists/",
                "dists/a/",
                "dists/a/InRelease",
                "dists/a/Release",
                "dists/stable",
            ]),
            aliases: set(&["dists/stable"]),
            ..Tree::default()
        };
        let mark = Mark {
            dir: PathBuf::new(),
            id: "11".into(),
        };
        let look = Look {
            tree: &tree,
            mark: &mark,
            pushed: &set(&["dists/old/"]),
            has_tree: false,
            by_content: true,
        };
        assert_eq!(
            look.filters(),
            [
                "+ /.aptmerge-owner-11",
                "R /.aptmerge-owner-*",
                "+ /dists/",
                "+ /dists/a/",
                "+ /dists/a/InRelease",
                "+ /dists/a/Release",
                "R /dists/*",
                "- *",
            ]
        );
        let said = "sending incremental file list\n\
            *deleting   .aptmerge-owner-11.f7t0Lx\n\
            *deleting   .aptmerge-owner-22\n\
            *deleting   .aptmerge-owner-33.Wa0Ed5\n\
            *deleting   dists/stable\n\
            *deleting   dists/nothing/\n\
            *deleting   dists/link\n\
            cannot delete non-empty directory: dists/old\n\
            cannot delete non-empty directory: dists/foreign\n\
            .d..t...... ./\n\
            <f+++++++++ .aptmerge-owner-11\n\
            .d          dists/\n\
            <fcs....... dists/a/InRelease\n\
            <f..t...... dists/a/Release\n\
            ü\n";
        let seen = Seen {
            is_marked: false,
            other_owners: set(&["22", "33"]),
            changed: set(&["dists/a/InRelease"]),
            occupied: set(&["dists/a/InRelease"]),
            foreign: set(&["dists/foreign", "dists/link"]),
            by_content: true,
        };
        assert_eq!(look.read(said), Some(seen));
        assert_eq!(look.read("*deleting   dists/x\n"), None);
        let by_time = Look {
            by_content: false,
            ..look
        };
        let seen = by_time.read(said).unwrap_or_default();
        assert_eq!(seen.changed, set(&["dists/a/InRelease", "dists/a/Release"]));
    }
}
