//! The order of a push: which files of the tree come when, as filter rules of rsync's.
//!
//! Aliases come after every InRelease, so that no alias leads to a suite that is not whole. A suite that becomes an alias stays as it
//! is at the target until then, and the call that brings the alias deletes it. In the other direction, no file of the suite can come
//! while a symlink has its name: so a suite that was an alias comes by itself after all others, and clients miss it only for as long as
//! its own files take.
//!
//! Our own packages come before everything else, and those that are gone are deleted after everything else: no index that a client can have
//! names a package that the target has not. The packages of other local archives stay here.
//!
//! The rules name each path that is to be deleted, and protect everything else: rsync deletes a directory only when nothing is left in
//! it, and never through a symlink that has taken a directory's place. After an interrupted push, files that rsync may have left under
//! temporary names are deleted as well: a temporary name is made of the name of the file that was on its way.

use std::collections::BTreeSet;

use super::tree::{Tree, parents};

/// The directories of a tree that a push is about.
const DISTS: &str = "dists/";
const POOL: &str = "pool/";

/// One call of rsync: which files of the tree it brings over, by filter rules.
pub(super) struct Stage {
    pub(super) what: &'static str,
    pub(super) filters: Vec<String>,
    pub(super) deletes: Deletes,
    /// `true` if it is about our own packages, below the symlinks in the pool.
    pub(super) is_of_packages: bool,
}

/// The paths that a call may delete at the target.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Deletes {
    /// Nothing.
    Nothing,
    /// Paths that the rules of the call leave unprotected, if something of ours takes their place.
    InTheWay,
    /// All paths that the rules of the call leave unprotected.
    Gone,
}

/// The state of a target before the push, and whether the push prunes it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Before<'a> {
    /// The aliases that the target has, as far as is known.
    pub(super) aliases: &'a BTreeSet<String>,
    /// The paths that the target has from us, as far as is known: those that the tree no longer has may be deleted.
    pub(super) pushed: &'a BTreeSet<String>,
    /// `true` if the last push did not end.
    pub(super) is_unfinished: bool,
    /// `true` if everything below `dists/` that the tree does not have may be deleted.
    pub(super) prune: bool,
}

/// The paths of the tree that have a place of their own in the order.
#[derive(Default)]
struct Special {
    release: Vec<String>,
    inline: Vec<String>,
    aliases: Vec<String>,
    /// Directories whose names are aliases at the target.
    were_aliases: Vec<String>,
}

/// Returns the calls that bring production to a target.
pub(super) fn stages(tree: &Tree, before: Before<'_>) -> Vec<Stage> {
    let special = find(tree, before.aliases);
    let stay_away = special.aliases.iter().chain(&special.were_aliases);
    let mut stages: Vec<Stage> = packages(tree).into_iter().collect();
    stages.extend(suites(&without(stay_away), &special));
    if !special.were_aliases.is_empty() {
        stages.extend(suites(&only_below(&special.were_aliases), &special));
    }
    // A line end would end a rule; no name of ours has one. Nor does anything of ours lie elsewhere, whatever was recorded.
    let is_ours = |path: &&str| {
        let is_below = path.starts_with(DISTS) || path.starts_with(POOL);
        is_below && !path.contains(['\n', '\r'])
    };
    let gone = before.pushed.difference(&tree.paths).map(String::as_str);
    let gone: Vec<&str> = gone.filter(is_ours).collect();
    if !special.aliases.is_empty() {
        // An alias takes the place of a whole suite.
        let filters = match before.prune {
            true => only(&special.aliases, &[], "hide *"),
            false => only(
                &special.aliases,
                &risked(below(&gone, &tree.aliases)),
                "- *",
            ),
        };
        stages.push(Stage {
            what: "aliases",
            filters,
            deletes: Deletes::InTheWay,
            is_of_packages: false,
        });
    }
    let (of_packages, gone): (Vec<&str>, Vec<&str>) =
        gone.into_iter().partition(|path| path.starts_with(POOL));
    let of_suites = match before.prune {
        // What is excluded is not deleted: what others keep beside `dists/` is theirs.
        true => rules(&["+ /dists", "+ /dists/**", "- /*"]),
        false => deletions(&gone, tree, before, DISTS),
    };
    for (what, filters, is_of_packages) in [
        ("deletions", of_suites, false),
        (
            "deletions of packages",
            deletions(&of_packages, tree, before, POOL),
            true,
        ),
    ] {
        if !filters.is_empty() {
            stages.push(Stage {
                what,
                filters,
                deletes: Deletes::Gone,
                is_of_packages,
            });
        }
    }
    stages
}

/// Returns the call that brings our own packages, if there are any.
fn packages(tree: &Tree) -> Option<Stage> {
    let mut filters = rules(&["+ /pool/"]);
    for pool in &tree.pools {
        let below = format!("+ /{}/**", literal(pool, true));
        filters.extend([rule("+", &format!("{pool}/")), below]);
    }
    filters.push("- *".into());
    (!tree.pools.is_empty()).then_some(Stage {
        what: "packages",
        filters,
        deletes: Deletes::Nothing,
        is_of_packages: true,
    })
}

/// Returns the rules that delete what is gone below a directory; rsync looks only into directories that something may be gone from.
fn deletions(gone: &[&str], tree: &Tree, before: Before<'_>, within: &str) -> Vec<String> {
    let above: BTreeSet<&str> = match before.is_unfinished {
        true => tree
            .directories()
            .filter(|dir| dir.starts_with(within))
            .collect(),
        false => gone.iter().flat_map(|path| parents(path)).collect(),
    };
    let mut deletions = Vec::new();
    let kept = above.iter().filter(|dir| tree.paths.contains(**dir));
    deletions.extend(kept.map(|dir| rule("+", dir)));
    deletions.extend(risked(gone.iter().copied()));
    if before.is_unfinished {
        let known = tree.paths.union(before.pushed);
        deletions.extend(temporary(known.filter(|path| path.starts_with(within))));
    }
    if !deletions.is_empty() {
        deletions.push("- *".into());
    }
    deletions
}

/// Lets rsync delete its temporary files of these paths, `.NAME.` and six characters, and the directories that it delays updates in.
fn temporary<'a>(paths: impl Iterator<Item = &'a String>) -> BTreeSet<String> {
    let mut rules = BTreeSet::from(["R .~tmp~/".to_owned(), "R .~tmp~/*".to_owned()]);
    for path in paths.filter(|path| !path.ends_with('/') && !path.contains(['\n', '\r'])) {
        if let Some((dir, name)) = path.rsplit_once('/') {
            // There are many of these, and their names are all alike.
            let name = match dir.contains("/by-hash/") {
                true => "[0-9a-f]*".to_owned(),
                false => literal(name, true),
            };
            rules.insert(format!("R /{}/.{name}.??????", literal(dir, true)));
        }
    }
    rules
}

/// Returns the rules that let these paths be deleted.
fn risked<'a>(paths: impl Iterator<Item = &'a str>) -> Vec<String> {
    paths.map(|path| rule("R", path)).collect()
}

/// Returns those of the paths that lie below a name that becomes an alias.
fn below<'a>(paths: &'a [&str], aliases: &'a BTreeSet<String>) -> impl Iterator<Item = &'a str> {
    let taken = |path: &str| parents(path).any(|dir| aliases.contains(dir.trim_end_matches('/')));
    paths.iter().copied().filter(move |path| taken(path))
}

fn find(tree: &Tree, aliases: &BTreeSet<String>) -> Special {
    let signed = tree.signed().cloned();
    let (inline, release) = signed.partition(|path| path.ends_with("/InRelease"));
    let directories = tree.directories().map(|dir| dir.trim_end_matches('/'));
    let were_aliases = directories.filter(|dir| aliases.contains(*dir));
    Special {
        release,
        inline,
        aliases: tree.aliases.iter().cloned().collect(),
        were_aliases: were_aliases.map(str::to_owned).collect(),
    }
}

/// Returns a filter rule for one path, whatever is in its name.
pub(super) fn rule(kind: &str, path: &str) -> String {
    format!("{kind} /{}", literal(path, false))
}

/// Returns a path as a part of a pattern. A backslash quotes in patterns that have a wildcard, and stands for itself in all others.
pub(super) fn literal(path: &str, in_pattern: bool) -> String {
    let is_wild = |c| matches!(c, '*' | '?' | '[');
    if !in_pattern && !path.contains(is_wild) {
        return path.to_owned();
    }
    let mut literal = String::new();
    for c in path.chars() {
        if is_wild(c) || c == '\\' {
            literal.push('\\');
        }
        literal.push(c);
    }
    literal
}

/// Returns the calls that bring the suites that the rules in front leave over: files that others name come first, InRelease last.
fn suites(in_front: &[String], special: &Special) -> Vec<Stage> {
    let signed = special.release.iter().chain(&special.inline);
    vec![
        stage(
            "by-hash files",
            in_front,
            rules(&["- /pool", "+ */", "+ by-hash/**", "- *"]),
        ),
        stage("indices", in_front, without(signed)),
        stage(
            "Release files",
            in_front,
            only(&special.release, &[], "- *"),
        ),
        stage(
            "InRelease files",
            in_front,
            only(&special.inline, &[], "- *"),
        ),
    ]
}

fn stage(what: &'static str, in_front: &[String], filters: Vec<String>) -> Stage {
    Stage {
        what,
        filters: [in_front, &filters].concat(),
        deletes: Deletes::Nothing,
        is_of_packages: false,
    }
}

fn rules(rules: &[&str]) -> Vec<String> {
    rules.iter().map(|rule| (*rule).to_owned()).collect()
}

/// Returns the rules for these files, with `rest` for all others. Symlinks to local pools stay here: they lead nowhere on another machine.
fn only(files: &[String], more: &[String], rest: &str) -> Vec<String> {
    let files = files.iter().map(|file| rule("+", file));
    let mut only = rules(&["- /pool", "+ */"]);
    only.extend(files);
    only.extend_from_slice(more);
    only.push(rest.to_owned());
    only
}

/// Returns the rules for everything but these paths.
fn without<'a>(paths: impl Iterator<Item = &'a String>) -> Vec<String> {
    let mut without = rules(&["- /pool"]);
    without.extend(paths.map(|path| rule("-", path)));
    without
}

/// Returns rules that leave out all paths outside these directories, and that match no path inside them.
fn only_below(directories: &[String]) -> Vec<String> {
    let (mut ways, mut beside) = (BTreeSet::new(), BTreeSet::new());
    for directory in directories {
        beside.insert("- /*".to_owned());
        for dir in parents(directory) {
            ways.insert(rule("+", dir));
            beside.insert(format!("- /{}*", literal(dir, true)));
        }
        ways.insert(rule("+", &format!("{directory}/")));
    }
    ways.into_iter().chain(beside).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn only_what_lies_below_is_left_over() {
        let directories = ["dists/stable".to_owned(), "dists/old/stable".to_owned()];
        assert_eq!(
            only_below(&directories),
            [
                "+ /dists/",
                "+ /dists/old/",
                "+ /dists/old/stable/",
                "+ /dists/stable/",
                "- /*",
                "- /dists/*",
                "- /dists/old/*",
            ]
        );
    }

    #[test]
    fn our_own_packages_come_first_and_go_last() {
        let set = |paths: &[&str]| paths.iter().map(|path| (*path).to_owned()).collect();
        let tree = Tree {
            paths: set(&[
                "dists/",
                "dists/a/",
                "dists/a/InRelease",
                "pool/",
                "pool/OWN/",
                "pool/OWN/main/",
                "pool/OWN/main/InRelease",
            ]),
            aliases: BTreeSet::new(),
            pools: set(&["pool/OWN"]),
        };
        let before = Before {
            aliases: &BTreeSet::new(),
            pushed: &set(&[
                "dists/a/old",
                "pool/OWN/main/gone.deb",
                "pool/OWN/main/InRelease",
            ]),
            is_unfinished: false,
            prune: true,
        };
        let stages = stages(&tree, before);
        let names: Vec<_> = stages.iter().map(|stage| stage.what).collect();
        assert_eq!(names.first(), Some(&"packages"));
        assert_eq!(
            stages[0].filters,
            ["+ /pool/", "+ /pool/OWN/", "+ /pool/OWN/**", "- *"]
        );
        let last = stages.last().unwrap();
        assert_eq!(last.what, "deletions of packages");
        assert_eq!(
            last.filters,
            [
                "+ /pool/",
                "+ /pool/OWN/",
                "+ /pool/OWN/main/",
                "R /pool/OWN/main/gone.deb",
                "- *",
            ]
        );
        assert_eq!(
            tree.signed().count(),
            1,
            "a file of a package signs nothing"
        );
    }

    #[test]
    fn what_is_gone_is_named_and_all_else_protected() {
        let set = |paths: &[&str]| paths.iter().map(|path| (*path).to_owned()).collect();
        let tree = Tree {
            paths: set(&["dists/", "dists/a/", "dists/a/InRelease", "dists/b"]),
            aliases: set(&["dists/b"]),
            pools: BTreeSet::new(),
        };
        let pushed = set(&[
            "dists/",
            "dists/a/",
            "dists/a/InRelease",
            "dists/a/w*[x\\",
            "dists/a/back\\slash",
            "dists/a/line\n+ *",
            "index.html",
            "dists/b/",
            "dists/b/InRelease",
            "dists/old/",
            "dists/old/x",
        ]);
        let before = Before {
            aliases: &BTreeSet::new(),
            pushed: &pushed,
            is_unfinished: false,
            prune: false,
        };
        let stages = stages(&tree, before);
        let [.., aliases, deletions] = &stages[..] else {
            panic!("{} stages", stages.len());
        };
        assert_eq!(
            aliases.filters,
            [
                "- /pool",
                "+ */",
                "+ /dists/b",
                "R /dists/b/InRelease",
                "- *"
            ]
        );
        assert_eq!(
            deletions.filters,
            [
                "+ /dists/",
                "+ /dists/a/",
                "R /dists/a/back\\slash",
                "R /dists/a/w\\*\\[x\\\\",
                "R /dists/b/",
                "R /dists/b/InRelease",
                "R /dists/old/",
                "R /dists/old/x",
                "- *",
            ]
        );
        let others = stages
            .iter()
            .filter(|stage| stage.deletes != Deletes::Nothing);
        assert_eq!(others.count(), 2);
    }
}
