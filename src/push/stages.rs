//! The order of a push: which files of the tree come when, as filter rules of rsync's.
//!
//! Aliases come behind every InRelease, so that none leads to a suite that is not whole. A suite that becomes an alias stays as it
//! is at the target until then, and goes in that very call. The other way round nothing of the suite can come while its name is
//! taken by a symlink: so a suite that was an alias comes by itself when all others are there, and clients miss it no longer than
//! its own files take.

use std::collections::BTreeSet;
use std::path::Path;

use crate::error::Result;
use crate::listing;

/// One call of rsync: which files of the tree it brings over, by filter rules.
pub(super) struct Stage {
    pub(super) what: &'static str,
    pub(super) filters: Vec<String>,
    pub(super) delete: bool,
}

/// What of the tree has a place of its own in the order, each below the tree: `/dists/SUITE/InRelease`.
#[derive(Default)]
struct Special {
    release: Vec<String>,
    inline: Vec<String>,
    aliases: Vec<String>,
    /// Directories whose names are aliases at the target.
    were_aliases: Vec<String>,
}

/// The calls that bring production to a target; `aliases` are those that the target has, as far as is known.
pub(super) fn stages(production: &Path, aliases: &BTreeSet<String>) -> Result<Vec<Stage>> {
    let special = find(production, aliases)?;
    let stay_away = special.aliases.iter().chain(&special.were_aliases);
    let mut stages = suites(&without(stay_away), &special);
    if !special.were_aliases.is_empty() {
        stages.extend(suites(&only_below(&special.were_aliases), &special));
    }
    if !special.aliases.is_empty() {
        // All else is not sent, but not kept either: an alias takes the place of a whole suite.
        stages.push(stage("aliases", &[], only(&special.aliases, "hide *")));
    }
    stages.push(Stage {
        what: "deletions",
        // What is excluded is not deleted: what others keep beside `dists/` is theirs.
        filters: rules(&["+ /dists", "+ /dists/**", "- /*"]),
        delete: true,
    });
    Ok(stages)
}

fn find(production: &Path, aliases: &BTreeSet<String>) -> Result<Special> {
    let mut special = Special::default();
    for entry in listing::below(&production.join("dists"), usize::MAX, |_| true) {
        let entry = entry?;
        let path = entry.path();
        let relative = path.strip_prefix(production).ok().and_then(Path::to_str);
        let Some(relative) = relative else {
            continue;
        };
        if entry.path_is_symlink() {
            special.aliases.push(format!("/{relative}"));
        } else if entry.file_type().is_dir() && aliases.contains(relative) {
            special.were_aliases.push(format!("/{relative}"));
        }
        // Only a suite's own directory has an InRelease.
        if !path
            .parent()
            .is_some_and(|dir| dir.join("InRelease").is_file())
        {
            continue;
        }
        match entry.file_name().to_str() {
            Some("Release" | "Release.gpg") => special.release.push(format!("/{relative}")),
            Some("InRelease") => special.inline.push(format!("/{relative}")),
            _ => {}
        }
    }
    Ok(special)
}

/// Suites, of those that the rules in front leave over: what is named by others first, InRelease last.
fn suites(in_front: &[String], special: &Special) -> Vec<Stage> {
    let signed = special.release.iter().chain(&special.inline);
    vec![
        stage(
            "by-hash files",
            in_front,
            rules(&["- /pool", "+ */", "+ by-hash/**", "- *"]),
        ),
        stage("indices", in_front, without(signed)),
        stage("Release files", in_front, only(&special.release, "- *")),
        stage("InRelease files", in_front, only(&special.inline, "- *")),
    ]
}

fn stage(what: &'static str, in_front: &[String], filters: Vec<String>) -> Stage {
    Stage {
        what,
        filters: [in_front, &filters].concat(),
        delete: false,
    }
}

fn rules(rules: &[&str]) -> Vec<String> {
    rules.iter().map(|rule| (*rule).to_owned()).collect()
}

/// These files, and `rest` for all others. Symlinks to local pools stay here: they lead nowhere on another machine.
fn only(files: &[String], rest: &str) -> Vec<String> {
    let files = files.iter().map(|file| format!("+ {file}"));
    let mut only = rules(&["- /pool", "+ */"]);
    only.extend(files);
    only.push(rest.to_owned());
    only
}

/// Everything but these.
fn without<'a>(paths: impl Iterator<Item = &'a String>) -> Vec<String> {
    let mut without = rules(&["- /pool"]);
    without.extend(paths.map(|path| format!("- {path}")));
    without
}

/// Leaves out what does not lie below these directories, and says nothing of what does.
fn only_below(directories: &[String]) -> Vec<String> {
    let (mut ways, mut beside) = (BTreeSet::new(), BTreeSet::new());
    for directory in directories {
        for (slash, _) in directory.match_indices('/') {
            let end = directory[slash + 1..].find('/');
            let end = end.map_or(directory.len(), |end| slash + 1 + end);
            ways.insert(format!("+ {}/", &directory[..end]));
            beside.insert(format!("- {}/*", &directory[..slash]));
        }
    }
    ways.into_iter().chain(beside).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn only_what_lies_below_is_left_over() {
        let directories = ["/dists/stable".to_owned(), "/dists/old/stable".to_owned()];
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
}
