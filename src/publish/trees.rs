//! The trees, compared with the manifests of a generation: what may stay in them, and what is to go.
//!
//! Why volatile need not be linked anew for each generation: a generation that changes a few suites finds all others in volatile as it
//! left them, if nothing happened in between. `state/volatile.json` says of which record volatile is the tree. It is removed, durably,
//! before volatile is touched, and written after production was served again, so a run that died has none. And whatever somebody did to
//! volatile meanwhile (it may lie in memory, or pass for scratch), a look finds the files of the manifests in it as they were, and no
//! others; else volatile is thrown away. The module [`super::look`] says how closely a run looks.
//!
//! Damage to production is mended before a generation is planned ([`super::mend`]). A suite that cannot be mended is made anew,
//! with nothing taken over that differs from the manifest.
//!
//! So a generation costs the suites that it changes: of 300 small suites with one that changes, 3.8 seconds instead of 37, 32 links
//! instead of 9,900, and 63 calls of fsync instead of 5,400. The unit is a suite and not a file: the directory of a suite that changes is
//! made anew, checked and mirrored as a whole, so it holds what its manifest says, whatever was there before.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use rayon::prelude::*;

use crate::durable;
use crate::error::{Error, Result};
use crate::listing;
use crate::manifest::{self, Comparison, WrongMode};
use crate::workspace::{Generation, Workspace};

use super::look::{self, Look};
use super::{hard_links, pool};

/// Returns whether volatile is the tree of the generation that is published, as far as a look shows it.
pub(super) fn is_volatile_known(workspace: &Workspace<'_>, look: Look) -> Result<bool> {
    let (volatile, published) = (workspace.layout().volatile(), workspace.published());
    let is_whole = |suite: &String| -> Result<bool> {
        Ok(look::is_signed_file_there(&volatile, published, suite)
            && (look == Look::AtSigned || compare(&volatile, published, suite)?.is_clean()))
    };
    Ok(workspace.is_volatile_known()?
        && strays(&volatile, published)?.is_empty()
        && published
            .suites
            .par_iter()
            .map(|(suite, _)| is_whole(suite))
            .try_reduce(|| true, |a, b| Ok(a && b))?)
}

/// The differences between a tree and the generation that it should hold.
#[derive(Debug, Default)]
pub(super) struct Damage {
    /// The suites that are not as their manifests have them.
    pub(super) suites: BTreeMap<String, Comparison>,
    /// The differences of links, and of the directories above suites.
    pub(super) above: Comparison,
}

impl Damage {
    /// Returns the differences of each place that has some: of suites by their name, and of what lies above them.
    pub(super) fn places(&self) -> impl Iterator<Item = (Option<&str>, &Comparison)> {
        let suites = self.suites.iter();
        let suites = suites.map(|(suite, found)| (Some(suite.as_str()), found));
        suites.chain([(None, &self.above)])
    }

    /// Returns whether the tree is as it should be.
    pub(super) fn is_clean(&self) -> bool {
        self.places().all(|(_, found)| found.is_clean())
    }
}

/// Compares a tree with a generation: names, sizes, times, modes and links.
pub(super) fn survey(tree: &Path, generation: &Generation, look: Look) -> Result<Damage> {
    let above = compare_above(tree, generation)?;
    // A file behind a symlink in the place of a directory is not ours.
    let is_ours = |suite: &&String| !is_below(&tree.join("dists").join(suite), &above.changed);
    let suites: Vec<&String> = generation.suites.keys().filter(is_ours).collect();
    let suites = suites.par_iter().map(|suite| {
        if look == Look::AtSigned && look::is_signed_file_there(tree, generation, suite) {
            return Ok(None);
        }
        let found = compare(tree, generation, suite)?;
        let is_worth_telling = !found.is_clean() || !found.touched.is_empty();
        Ok(is_worth_telling.then(|| ((*suite).clone(), found)))
    });
    let suites: Vec<Option<_>> = suites.collect::<Result<_>>()?;
    Ok(Damage {
        suites: suites.into_iter().flatten().collect(),
        above,
    })
}

/// Returns whether a path lies below one of some others.
fn is_below(path: &Path, others: &[PathBuf]) -> bool {
    let mut above = path.ancestors().skip(1);
    above.any(|dir| others.iter().any(|other| other == dir))
}

/// Compares the links of a tree and the directories above its suites with a generation.
fn compare_above(tree: &Path, generation: &Generation) -> Result<Comparison> {
    let mut found = Comparison::default();
    for dir in above(generation).iter().map(|dir| at(tree, dir)) {
        match dir.symlink_metadata() {
            _ if is_below(&dir, &found.changed) => {}
            Ok(metadata) if metadata.is_dir() => {
                manifest::can_enter(&dir, &mut found.modes);
            }
            Ok(_) => found.changed.push(dir),
            Err(_) => found.missing.push(dir),
        }
    }
    let links = generation.links.keys();
    for pool in links.filter(|link| link.starts_with("pool/")) {
        let pool = tree.join(pool);
        if is_real(&pool) && !is_below(&pool, &found.changed) {
            let enter = |path: &Path| manifest::can_enter(path, &mut found.modes);
            listing::below(&pool, usize::MAX, enter).try_for_each(|entry| entry.map(drop))?;
        }
    }
    if !found.modes.iter().all(WrongMode::is_open) {
        return Ok(found);
    }
    let others = found.changed.clone();
    let is_ours = |path: &PathBuf| !is_below(path, &others);
    let mut strays = strays(tree, generation)?;
    // Directories that are none are told of already.
    strays.retain(|path| is_ours(path) && !others.contains(path) && !found.missing.contains(path));
    found.foreign = strays;
    let links = wanted_links(tree, generation)?.into_iter();
    for (link, target) in links.filter(|(link, _)| is_ours(link)) {
        match link.symlink_metadata() {
            Ok(_) if fs::read_link(&link).is_ok_and(|leads| leads == target) => {}
            Ok(_) => found.changed.push(link),
            Err(_) => found.missing.push(link),
        }
    }
    Ok(found)
}

/// Returns the symlinks that a tree of a generation should have, with the paths that they lead to.
pub(super) fn wanted_links(
    tree: &Path,
    generation: &Generation,
) -> Result<Vec<(PathBuf, PathBuf)>> {
    let outside = outside(generation);
    let mut links = Vec::new();
    for (path, target) in &generation.links {
        let (place, target) = (tree.join(path), PathBuf::from(target));
        match path.strip_prefix("pool/") {
            Some(pool) => links.extend(pool::wanted_links(&place, pool, &target, &outside)?),
            None => links.push((place, target)),
        }
    }
    Ok(links)
}

/// Returns the paths outside of the pools of local archives that published stanzas name.
pub(super) fn outside(generation: &Generation) -> BTreeSet<&str> {
    let records = generation.suites.values();
    records
        .flat_map(|record| record.report.outside.iter().map(String::as_str))
        .collect()
}

/// Compares the directory of a suite in a tree with the suite's manifest. Suites below its name are left out. A suite without a manifest
/// is as it should be.
pub(super) fn compare(tree: &Path, generation: &Generation, suite: &str) -> Result<Comparison> {
    let record = generation.suites.get(suite);
    let Some(record) = record.filter(|record| !record.manifest.is_empty()) else {
        return Ok(Comparison::default());
    };
    let dists = tree.join("dists");
    let below = format!("{suite}/");
    let others = generation.suites.range(below.clone()..);
    let others = others.map(|(name, _)| name);
    let others = others.take_while(|name| name.starts_with(&below));
    let mut others: BTreeSet<PathBuf> = others.map(|name| dists.join(name)).collect();
    let below = format!("dists/{below}");
    let aliases = generation.links.range(below.clone()..);
    let aliases = aliases.map(|(alias, _)| alias);
    let aliases = aliases.take_while(|alias| alias.starts_with(&below));
    others.extend(aliases.map(|alias| tree.join(alias)));
    let dir = dists.join(suite);
    record.manifest.compare(&dir, &|path| others.contains(path))
}

/// Returns the directories above the suites and links of a generation, below the tree; the uppermost come first.
pub(super) fn above(generation: &Generation) -> BTreeSet<PathBuf> {
    let suites = generation
        .suites
        .keys()
        .map(|suite| format!("dists/{suite}"));
    let paths = suites.chain(generation.links.keys().cloned());
    let mut above = BTreeSet::from([PathBuf::new(), PathBuf::from("dists")]);
    for path in paths {
        let parents = Path::new(&path).ancestors().skip(1);
        above.extend(parents.map(Path::to_owned));
    }
    above.retain(|dir| {
        let mut dirs = dir.ancestors();
        !dirs.any(|dir| is_suite(generation, dir))
    });
    above
}

/// Returns the path of a directory above suites. A path that ends with a slash would lead through a symlink.
fn at(tree: &Path, dir: &Path) -> PathBuf {
    match dir.as_os_str().is_empty() {
        true => tree.to_owned(),
        false => tree.join(dir),
    }
}

fn is_suite(generation: &Generation, path: &Path) -> bool {
    let name = path.strip_prefix("dists").ok().and_then(Path::to_str);
    name.is_some_and(|name| generation.suites.contains_key(name))
}

/// Returns what lies in the directories above the suites of a generation and is none of it; and such directories that are none.
pub(super) fn strays(tree: &Path, generation: &Generation) -> Result<Vec<PathBuf>> {
    let above = above(generation);
    let mut strays = Vec::new();
    for dir in &above {
        let path = at(tree, dir);
        if !is_real(&path) {
            strays.push(path);
            continue;
        }
        for entry in fs::read_dir(&path).map_err(Error::io("list", &path))? {
            let name = dir.join(entry.map_err(Error::io("list", &path))?.file_name());
            let is_link = name
                .to_str()
                .is_some_and(|name| generation.links.contains_key(name));
            if !is_link && !is_suite(generation, &name) && !above.contains(&name) {
                strays.push(tree.join(name));
            }
        }
    }
    Ok(strays)
}

/// Removes what lies in the directories above the suites of a generation and is none of it.
pub(super) fn clear_strays(tree: &Path, generation: &Generation) -> Result<()> {
    let strays = strays(tree, generation)?;
    strays.iter().try_for_each(|path| hard_links::remove(path))
}

/// Removes the suites and links of one generation that another one does not have.
pub(super) fn remove_gone(tree: &Path, before: &Generation, after: &Generation) -> Result<()> {
    let is_reached = |path: &Path| {
        path.ancestors()
            .skip(1)
            .take_while(|dir| *dir != tree)
            .all(is_real)
    };
    let gone = before
        .suites
        .keys()
        .filter(|name| !after.suites.contains_key(*name));
    for dir in gone.map(|name| tree.join("dists").join(name)) {
        let others = after
            .suites
            .keys()
            .map(|name| tree.join("dists").join(name));
        let others: BTreeSet<PathBuf> = others.filter(|other| other.starts_with(&dir)).collect();
        if is_reached(&dir) && is_real(&dir) {
            hard_links::remove_tree(&dir, &|path| others.contains(path))?;
            dir.parent().map_or(Ok(()), durable::sync_dir)?;
        }
    }
    let gone = before
        .links
        .keys()
        .filter(|link| !after.links.contains_key(*link));
    for link in gone.map(|link| tree.join(link)) {
        if is_reached(&link) && (link.is_symlink() || link.starts_with(tree.join("pool"))) {
            hard_links::remove(&link)?;
            link.parent().map_or(Ok(()), durable::sync_dir)?;
        }
    }
    Ok(())
}

/// Makes `to` equal to `from` as [`hard_links::mirror`] does, where `to` holds the generation `before`: looks at the suites alone that are not kept,
/// and at the directories above them.
pub(super) fn mirror_changes(
    from: &Path,
    to: &Path,
    before: &Generation,
    after: &Generation,
    kept: &BTreeSet<String>,
) -> Result<()> {
    let above = above(after);
    if !above.iter().all(|dir| is_real(&at(to, dir))) {
        return hard_links::mirror(from, to);
    }
    remove_gone(to, before, after)?;
    let suites = after.suites.keys().filter(|suite| !kept.contains(*suite));
    let suites = suites.map(|suite| format!("dists/{suite}"));
    for path in suites.chain(after.links.keys().cloned()) {
        mirror_entry(&from.join(&path), &to.join(&path))?;
    }
    clear_strays(to, after)?;
    above
        .iter()
        .try_for_each(|dir| durable::sync_dir(&to.join(dir)))
}

/// Mirrors a suite, an alias or a pool.
fn mirror_entry(from: &Path, to: &Path) -> Result<()> {
    if from.is_symlink() {
        let wanted = fs::read_link(from).map_err(Error::io("read the link", from))?;
        if fs::read_link(to).ok().as_ref() == Some(&wanted) {
            return Ok(());
        }
        if is_real(to) {
            hard_links::remove(to)?;
        }
        return durable::symlink(&wanted, to);
    }
    if !is_real(to) {
        hard_links::remove(to)?;
    }
    hard_links::mirror(from, to)
}

/// Returns whether there is a directory at a path, and no symlink to one.
pub(super) fn is_real(path: &Path) -> bool {
    path.symlink_metadata().is_ok_and(|found| found.is_dir())
}

/// Forces the directories of some suites of a tree, its links and all directories above them out to the disk.
pub(super) fn force_out<'a>(
    tree: &Path,
    generation: &Generation,
    suites: impl Iterator<Item = &'a String>,
) -> Result<()> {
    for suite in suites {
        hard_links::sync_tree(&tree.join("dists").join(suite))?;
    }
    let pools = generation
        .links
        .keys()
        .filter(|link| link.starts_with("pool/"));
    for pool in pools {
        hard_links::sync_tree(&tree.join(pool))?;
    }
    let above = above(generation);
    above
        .iter()
        .try_for_each(|dir| durable::sync_dir(&tree.join(dir)))
}
