//! Mends production where somebody or something damaged it: a run looks at names, sizes, times, modes and links of what the record says,
//! whether or not there is anything new. The module [`super::look`] says how closely.
//!
//! A repair needs no new generation, and no client meets a half-made state:
//!
//! - A file gets its name by one rename, as everywhere, and only after its bytes were compared with the digest of the manifest. So it is
//!   the very file that the served Release, or one before it, names. Clients find what was there or what should be there, and nothing else.
//! - Whatever stands in the place of a directory or of a link (a symlink to another disk, say) is exchanged for it in one step, once the
//!   directory is complete. It may work for clients meanwhile.
//! - The files that sign a suite come last: where a whole suite was gone, no client reads a Release whose indices are still to come.
//! - A mode is set, and a file that is not on record is removed, by one call. No Release names such a file.
//! - Each repair is right by itself, so a crash leaves a tree that is less damaged than before. The next run finds the rest.
//!
//! Files come from their other names in production, or from volatile. A file that neither tree has is made with its suite, which is planned
//! as if its inputs had changed ([`super::Plan`]): it goes through stage, check and swap. So does a directory above the suites that is a
//! symlink, since whole suites lie behind it.
//!
//! A file that was changed in place, and has the size and the time of the manifest, is not found here. `verify` reads every byte.
//!
//! Nothing is removed that lies above the suites while the record of a suite is lost: what looks foreign then may be that suite. It is made
//! anew in that run, and what is foreign goes with it.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use nix::errno::Errno;
use nix::fcntl::{AT_FDCWD, RenameFlags, renameat2};
use serde::{Deserialize, Serialize};
use tempfile::{Builder, TempDir};

use crate::durable;
use crate::error::{Error, Result, chain};
use crate::events::Listener;
use crate::manifest::{Comparison, Manifest, ManifestFile, WrongMode};
use crate::workspace::{Layout, PRODUCTION, SuiteRecord, Workspace};

use super::hard_links;
use super::link::{self, Served, served};
use super::look::Look;
use super::trees::{self, Damage, is_real};

/// The most faults of one place that are named.
const NAMED: usize = 5;

/// The recorded state, with production compared with it: mended, or only looked at.
#[derive(Debug)]
pub struct Mended<'a> {
    pub(super) workspace: &'a Workspace<'a>,
    /// The faults that were mended, by place.
    pub repaired: Vec<Repaired>,
    /// The closeness of the look.
    pub(super) look: Look,
    /// The damage that is left.
    left: Damage,
}

/// The faults of one place that were mended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Repaired {
    /// The suite; `None` for links, and for what lies above the suites.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub suite: Option<String>,
    /// The number of faults.
    pub number: usize,
    /// The first faults, in words.
    pub faults: Vec<String>,
}

/// Compares production with the record, and changes nothing: what `mend` would mend counts as mended.
pub fn inspect<'a>(workspace: &'a Workspace<'a>, now: Timestamp) -> Result<Mended<'a>> {
    let layout = workspace.layout();
    let look = Look::due(workspace, now)?;
    let mut mended = Mended::nothing(workspace, look);
    if served(layout)? != Served::Production || !has_record(workspace) {
        return Ok(mended);
    }
    let mut left = survey(workspace, look)?;
    let mut found = Faults::default();
    found.add(&left);
    for (suite, found) in &mut left.suites {
        if let Some(record) = workspace.published().suites.get(suite) {
            let sources = Sources::new(layout, suite, &record.manifest);
            found.forgive(|path| sources.find(path).is_some());
        }
    }
    let links = trees::wanted_links(&layout.production(), workspace.published())?;
    let links: BTreeSet<PathBuf> = links.into_iter().map(|(link, _)| link).collect();
    left.above.forgive(|path| links.contains(path));
    mended.repaired = found.without(&left);
    mended.left = left;
    Ok(mended)
}

fn has_record(workspace: &Workspace<'_>) -> bool {
    !workspace.published().suites.is_empty()
}

/// Mends production as far as either tree has what it should hold, and says so. What volatile serves is left alone.
pub fn mend<'a>(
    workspace: &'a Workspace<'a>,
    now: Timestamp,
    listener: &dyn Listener,
) -> Result<Mended<'a>> {
    let layout = workspace.layout();
    let served = served(layout)?;
    let look = Look::due(workspace, now)?;
    if served == Served::Volatile || !has_record(workspace) {
        return Ok(Mended::nothing(workspace, look));
    }
    let mut mender = Mender {
        layout,
        workspace,
        listener,
        changed: BTreeSet::new(),
    };
    let mut found = Faults::default();
    let mut damage = survey(workspace, look)?;
    found.add(&damage);
    if mender.open_up(&damage) {
        damage = survey(workspace, look)?;
        found.add(&damage);
    }
    if !damage.is_clean() {
        mender.mend(&damage)?;
        damage = survey(workspace, look)?;
    }
    let mut repaired = found.without(&damage);
    if served == Served::Nothing && damage.is_clean() {
        link::swap(layout, PRODUCTION)?;
        repaired.push(Repaired {
            suite: None,
            number: 1,
            faults: vec![format!("{} is not there", layout.link().display())],
        });
    }
    for repaired in &repaired {
        let of = repaired.suite.as_ref();
        let of = of.map_or(String::new(), |suite| format!("suite {suite}: "));
        let faults = repaired.in_words();
        listener.warn(format!(
            "{of}production was damaged, and was mended: {faults}"
        ));
    }
    look.record(workspace, now)?;
    let mended = Mended {
        workspace,
        repaired,
        look,
        left: damage,
    };
    mended.tell_left(listener);
    Ok(mended)
}

fn survey(workspace: &Workspace<'_>, look: Look) -> Result<Damage> {
    let production = workspace.layout().production();
    let mut damage = trees::survey(&production, workspace.published(), look)?;
    if workspace.has_lost_records() {
        damage.above.foreign.clear();
    }
    Ok(damage)
}

impl<'a> Mended<'a> {
    fn nothing(workspace: &'a Workspace<'a>, look: Look) -> Mended<'a> {
        Mended {
            workspace,
            repaired: Vec::new(),
            look,
            left: Damage::default(),
        }
    }

    /// Returns the recorded state.
    pub(crate) fn workspace(&self) -> &'a Workspace<'a> {
        self.workspace
    }

    /// Warns of what is left.
    fn tell_left(&self, listener: &dyn Listener) {
        for suite in self.workspace.published().suites.keys() {
            if let Some(fault) = self.fault_of(suite) {
                listener.warn(format!(
                    "suite {suite}: production is damaged, and volatile cannot mend it: {fault}"
                ));
            }
        }
        if let Some(fault) = self.fault_above() {
            listener.warn(format!("production is damaged: {fault}"));
        }
        let modes = self.left.places().flat_map(|(_, found)| &found.modes);
        for wrong in modes.take(NAMED) {
            listener.warn(format!("{wrong}, so some cannot read it"));
        }
    }

    /// Returns the first fault that is left of a suite. A mode is no such fault: a new generation cannot set it either.
    pub(super) fn fault_of(&self, suite: &str) -> Option<String> {
        let dir = self.workspace.layout().production();
        let dir = dir.join("dists").join(suite);
        let mut hidden = self.left.above.changed.iter();
        if let Some(above) = hidden.find(|above| dir.starts_with(above)) {
            return Some(format!("{} is no directory of ours", above.display()));
        }
        self.left.suites.get(suite)?.faults_but_modes().next()
    }

    /// Looks at every file of a suite that is to be made anew, if that was not done. Returns the first fault, whatever could mend it.
    pub(super) fn closer_look(&self, suite: &str) -> Result<Option<String>> {
        if self.look == Look::AtAll {
            return Ok(None);
        }
        let production = self.workspace.layout().production();
        let found = trees::compare(&production, self.workspace.published(), suite)?;
        Ok(found.faults_but_modes().next())
    }

    /// Returns the first fault that is left of links, and of what lies above the suites.
    pub(super) fn fault_above(&self) -> Option<String> {
        self.left.above.faults_but_modes().next()
    }
}

impl Repaired {
    /// Returns the faults in words.
    pub fn in_words(&self) -> String {
        let further = match self.number - self.faults.len() {
            0 => String::new(),
            1 => "; and 1 further fault".to_owned(),
            further => format!("; and {further} further faults"),
        };
        format!("{}{further}", self.faults.join("; "))
    }
}

/// The faults that were found, by place.
#[derive(Default)]
struct Faults(BTreeMap<Option<String>, BTreeSet<String>>);

impl Faults {
    fn add(&mut self, damage: &Damage) {
        for (suite, found) in damage.places() {
            let place = self.0.entry(suite.map(str::to_owned)).or_default();
            place.extend(found.faults());
        }
    }

    /// Returns the faults that are no longer there.
    fn without(mut self, left: &Damage) -> Vec<Repaired> {
        for (suite, found) in left.places() {
            if let Some(place) = self.0.get_mut(&suite.map(str::to_owned)) {
                let left: BTreeSet<String> = found.faults().collect();
                place.retain(|fault| !left.contains(fault));
            }
        }
        let repaired = self.0.into_iter().map(|(suite, faults)| Repaired {
            suite,
            number: faults.len(),
            faults: faults.into_iter().take(NAMED).collect(),
        });
        repaired.filter(|repaired| repaired.number > 0).collect()
    }
}

struct Mender<'a> {
    layout: &'a Layout,
    workspace: &'a Workspace<'a>,
    listener: &'a dyn Listener,
    /// The directories in which names changed.
    changed: BTreeSet<PathBuf>,
}

impl Mender<'_> {
    /// Sets modes, and removes what stands in the place of a directory above suites and leads nowhere. Returns whether more can be seen
    /// since.
    fn open_up(&self, damage: &Damage) -> bool {
        let modes = damage.places().flat_map(|(_, found)| &found.modes);
        let modes: Vec<_> = modes.collect();
        modes.iter().for_each(|wrong| self.set_mode(wrong));
        let leads_nowhere = |path: &&PathBuf| !path.is_symlink() && !is_real(path);
        let above = damage.above.changed.iter().filter(leads_nowhere);
        let above: Vec<_> = above.collect();
        for path in &above {
            self.told(hard_links::remove(path));
        }
        !modes.is_empty() || !above.is_empty()
    }

    /// Sets a mode; keeps the bits that say whose the files in a directory are.
    fn set_mode(&self, wrong: &WrongMode) {
        let mode = wrong.mode & 0o7000 | wrong.meant;
        self.told(durable::set_mode(&wrong.path, mode));
    }

    /// Warns of what could not be mended: a disk that cannot be written to stops the run where that matters.
    fn told<T>(&self, done: Result<T>) -> Option<T> {
        done.inspect_err(|why| {
            self.listener.warn(format!(
                "production is damaged, and this was not mended: {}",
                chain(why)
            ));
        })
        .ok()
    }

    fn mend(&mut self, damage: &Damage) -> Result<()> {
        for (suite, found) in &damage.suites {
            if let Some(record) = self.workspace.published().suites.get(suite) {
                self.mend_suite(suite, record, found);
            }
        }
        self.mend_links(&damage.above)?;
        for (_, found) in damage.places() {
            // A file in the place of a directory is exchanged, or goes when the suite is made anew.
            let is_in_the_way =
                |path: &Path| found.missing.iter().any(|lost| lost.starts_with(path));
            for path in found.foreign.iter().filter(|path| !is_in_the_way(path)) {
                self.told(hard_links::remove(path));
                self.note(path);
            }
        }
        for dir in std::mem::take(&mut self.changed) {
            if is_real(&dir) {
                self.told(durable::sync_dir(&dir));
            }
        }
        Ok(())
    }

    /// Notes that a name changed, and with it perhaps those of the directories above.
    fn note(&mut self, path: &Path) {
        let root = self.layout.root();
        let above = path.ancestors().skip(1).take_while(|dir| *dir != root);
        self.changed.extend(above.map(Path::to_owned));
    }

    /// Puts the symlinks of aliases and pools into their places.
    fn mend_links(&mut self, found: &Comparison) -> Result<()> {
        let production = self.layout.production();
        let wrong: BTreeSet<&PathBuf> = found.missing.iter().chain(&found.changed).collect();
        for (link, target) in trees::wanted_links(&production, self.workspace.published())? {
            if wrong.contains(&link) {
                self.told(put(&link, |place| durable::symlink(&target, place)));
                self.note(&link);
            }
        }
        Ok(())
    }

    /// Restores the files of a suite, those that sign it last.
    fn mend_suite(&mut self, suite: &str, record: &SuiteRecord, found: &Comparison) {
        for (path, time) in &found.touched {
            // The file is as good with another time, and its owner may be another user.
            let _ = File::open(path).and_then(|file| file.set_modified(*time));
        }
        let dir = self.layout.production().join("dists").join(suite);
        let sources = Sources::new(self.layout, suite, &record.manifest);
        let lost = found.missing.iter().chain(&found.changed);
        let mut lost: Vec<&Path> = lost.map(PathBuf::as_path).collect();
        lost.sort_by_key(|path| (path.parent() == Some(&dir), *path));
        let obstacles = obstacles(&dir, &lost);
        for obstacle in &obstacles {
            let below = lost.iter().filter(|path| path.starts_with(obstacle));
            let below: Vec<&Path> = below.copied().collect();
            self.told(sources.put_directory(obstacle, &below));
            self.note(obstacle);
        }
        for path in lost {
            if !obstacles.iter().any(|obstacle| path.starts_with(obstacle)) {
                self.told(sources.restore(path, path));
                self.note(path);
            }
        }
    }
}

/// Returns what stands in the place of a directory that files should lie in: the suite's own, or one below it.
fn obstacles(dir: &Path, lost: &[&Path]) -> BTreeSet<PathBuf> {
    let highest = |path: &&Path| {
        let above = path
            .ancestors()
            .skip(1)
            .take_while(|above| above.starts_with(dir));
        let is_obstacle = |path: &&Path| path.symlink_metadata().is_ok_and(|found| !found.is_dir());
        above.filter(is_obstacle).last().map(Path::to_owned)
    };
    lost.iter().filter_map(highest).collect()
}

/// The places where the files of a suite can be found.
struct Sources<'a> {
    manifest: &'a Manifest,
    /// The directory of the suite in each tree; the first is production.
    dirs: [PathBuf; 2],
    /// The names of the files with a certain SHA-256.
    names: BTreeMap<&'a str, Vec<&'a str>>,
}

impl<'a> Sources<'a> {
    fn new(layout: &Layout, suite: &str, manifest: &'a Manifest) -> Sources<'a> {
        let mut names: BTreeMap<_, Vec<_>> = BTreeMap::new();
        for (name, file) in &manifest.files {
            let sha256 = file.digests.sha256.as_str();
            names.entry(sha256).or_default().push(name.as_str());
        }
        let trees = [layout.production(), layout.volatile()];
        Sources {
            manifest,
            dirs: trees.map(|tree| tree.join("dists").join(suite)),
            names,
        }
    }

    /// Returns the file that belongs at `path`, and a place where it is.
    fn find(&self, path: &Path) -> Option<(&'a ManifestFile, PathBuf)> {
        let name = path.strip_prefix(&self.dirs[0]).ok()?.to_str()?;
        let file = self.manifest.files.get(name)?;
        let names = self.names.get(file.digests.sha256.as_str())?.iter();
        let mut places = names.flat_map(|name| self.dirs.iter().map(move |dir| dir.join(name)));
        let found = places.find(|path| file.holds(path))?;
        Some((file, found))
    }

    /// Puts the file that belongs at `path` into a place; returns `false` if neither tree has it.
    fn restore(&self, path: &Path, place: &Path) -> Result<bool> {
        let Some((file, found)) = self.find(path) else {
            return Ok(false);
        };
        put(place, |place| put_file(&found, place, file))?;
        Ok(true)
    }

    /// Exchanges what stands in the place of a directory for the directory with its files, if all of them can be had.
    fn put_directory(&self, place: &Path, files: &[&Path]) -> Result<()> {
        let aside = aside(place)?;
        let fresh = aside.path().join("directory");
        durable::create_dir(&fresh)?;
        for path in files {
            let inner = path.strip_prefix(place).unwrap_or(path);
            if !self.restore(path, &fresh.join(inner))? {
                return Ok(());
            }
        }
        hard_links::sync_tree(&fresh)?;
        exchange(&fresh, place)
    }
}

/// Gives a file of the right bytes a further name, or copies the file if its time or its mode is wrong.
fn put_file(from: &Path, place: &Path, file: &ManifestFile) -> Result<()> {
    let look_at = Error::io("look at", from);
    let found = from.symlink_metadata().map_err(look_at)?;
    let is_fine = found.is_file()
        && found.modified().ok() == Some(file.modified())
        && WrongMode::of(from, &found).is_none();
    if is_fine {
        return hard_links::link_file(from, place);
    }
    let mut source = durable::open_regular(from).map_err(Error::io("open", from))?;
    let mut copy = durable::temporary(place)?;
    io::copy(&mut source, &mut copy).map_err(Error::io("write", place))?;
    durable::persist(copy, place, Some(file.modified()))
}

/// Makes a file or a link in its place; exchanges it for the directory that stands there, if one does.
fn put(place: &Path, make: impl FnOnce(&Path) -> Result<()>) -> Result<()> {
    if let Some(dir) = place.parent() {
        durable::create_dir(dir)?;
    }
    if !is_real(place) {
        return make(place);
    }
    let aside = aside(place)?;
    let fresh = aside.path().join("fresh");
    make(&fresh)?;
    exchange(&fresh, place)
}

/// Makes a directory beside a place. It is removed with what is in it, and a run that finds one that a crash left takes it for foreign.
fn aside(place: &Path) -> Result<TempDir> {
    let dir = place.parent().unwrap_or(Path::new("."));
    let builder = || Builder::new().prefix(durable::TEMP_PREFIX).tempdir_in(dir);
    builder().map_err(Error::io("create a temporary directory in", dir))
}

/// Exchanges two entries of the file system, in one step where it can do that.
fn exchange(fresh: &Path, place: &Path) -> Result<()> {
    match renameat2(
        AT_FDCWD,
        fresh,
        AT_FDCWD,
        place,
        RenameFlags::RENAME_EXCHANGE,
    ) {
        Ok(()) => Ok(()),
        Err(Errno::EINVAL | Errno::ENOSYS | Errno::EOPNOTSUPP) => {
            hard_links::remove(place)?;
            fs::rename(fresh, place).map_err(Error::io("rename into place", place))
        }
        Err(error) => Err(Error::io("rename into place", place)(error.into())),
    }
}
