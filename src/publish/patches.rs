//! The patches beside an index: made when the index changes, carried on while it does not.
//!
//! Each patch leads straight to the present index. When the index changes, each existing patch is combined with the patch from the last
//! state to the new one, so the history needs only published files. A patch is named by the dates of the new index and of the old one, as
//! Debian names its merged patches, since some proxies let no other names through. No patch ever changes in place, and the patches of
//! earlier lists are kept as long as files under by-hash. No patch is published that was not proven ([`super::proof`]).

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use jiff::Timestamp;
use rayon::prelude::*;
use sha1::Digest;

use crate::durable;
use crate::error::Result;
use crate::manifest::FileDigests;
use crate::pdiff::Patch;
use crate::pdiff::ed;
use crate::pdiff::index::{DiffIndex, Entry, Hashed, Sha1, Sha1s};
use crate::spec::{Form, PatchHistory};

use super::files::Writer;
use super::hard_links;
use super::patched::{self, Tried, unpack};
use super::proof::{self, Step};
use super::release::FileDigest;

/// The patches of one index.
pub(super) struct Patches<'a> {
    writer: &'a Writer<'a>,
    /// The path of the index's plain form.
    plain: &'a str,
    /// The directory of the patches, below the suite.
    dir: String,
}

impl<'a> Patches<'a> {
    /// Returns the patches of an index, by the path of its plain form.
    pub(super) fn new(writer: &'a Writer<'a>, plain: &'a str) -> Self {
        Self {
            writer,
            plain,
            dir: format!("{plain}.diff"),
        }
    }

    fn index_path(&self) -> String {
        format!("{}/Index", self.dir)
    }

    fn old(&self, entry: &Entry) -> PathBuf {
        self.writer.old.join(&self.dir).join(entry.file_name())
    }

    fn new_file(&self, entry: &Entry) -> PathBuf {
        self.writer.new.join(&self.dir).join(entry.file_name())
    }

    /// Enters a patch that is in its place into the manifest.
    fn note(&self, entry: &Entry) -> Result<()> {
        let path = format!("{}/{}", self.dir, entry.file_name());
        let digests = FileDigests {
            size: entry.download.size,
            sha256: hex::encode(entry.download.sha256),
            sha512: None,
            md5: None,
        };
        self.writer.note(path, digests)
    }

    /// Returns the served list of patches, as far as the patches are there, sound and proven: clients can do without a list, and a run that
    /// carried on a damaged one would fail its own check. If no record says that the patches are proven, they are tried on older indices.
    fn served(&self) -> Option<DiffIndex> {
        let listed = self.writer.listed.get(&self.index_path())?;
        let text = fs::read(self.writer.old.join(self.index_path())).ok()?;
        let found = Hashed::of(&text);
        if found != Hashed::from(*listed) {
            return None;
        }
        let mut index = DiffIndex::parse(&text)?;
        if self.writer.proven_before.get(self.plain) != Some(&hex::encode(found.sha256)) {
            let tried = patched::try_each(&self.writer.old.join(self.index_path()), &index);
            let mut tried = tried.into_iter();
            let holds = |entry: &Entry| match tried.next() {
                Some(Tried::Fails(why)) => {
                    let told = format!("{}: {why}; it is left out", self.old(entry).display());
                    self.writer.comparison.tell(told);
                    false
                }
                tried => tried == Some(Tried::Holds),
            };
            index.entries.retain(holds);
        }
        let is_sound = |entry: &Entry| {
            let found = fs::read(self.old(entry));
            found.is_ok_and(|found| Hashed::of(&found) == entry.download)
        };
        index.entries.retain(is_sound);
        Some(index)
    }

    /// Carries the list and its patches on where the index did not change, as many as the configuration wants now.
    pub(super) fn carry(&self, history: PatchHistory) -> Result<()> {
        match self.served() {
            Some(mut index) => {
                within(history, &mut index.entries);
                self.publish(&index)
            }
            None => Ok(()),
        }
    }

    /// Returns the date of the index that is served, as it stands in the names of patches: its files have the Date of the generation that made
    /// them.
    fn old_date(&self) -> Option<String> {
        let forms = Form::ALL.iter();
        let mut files = forms.map(|form| format!("{}{}", self.plain, form.suffix()));
        let modified = |path: String| self.writer.old.join(path).metadata().ok()?.modified().ok();
        date(files.find_map(modified)?)
    }

    /// Writes the list and its patches anew where the index has changed by `patch`, which makes the second index of the first, as `step` has
    /// shown; `full` is the length of the index's smallest form.
    pub(super) fn extend(
        &self,
        (old, new): (&FileDigest, &FileDigest),
        patch: &Patch,
        step: Step,
        full: u64,
        history: PatchHistory,
    ) -> Result<()> {
        let current = Hashed::from(*new);
        let served = self.served().filter(|index| index.current == (*old).into());
        let (Some(date), Some(old_date)) = (date(self.writer.modified), self.old_date()) else {
            return Ok(());
        };
        let start = Start {
            text: Hashed::from(*old),
            sha1: step.old,
            date: old_date,
        };
        // A client would rather fetch the index than as many bytes as it has.
        let most = full.saturating_sub(1).min(history.max_size.bytes());
        let make = |start, earlier| self.make(start, earlier, patch, &date, most);
        let mut starts: Vec<(Start, &Entry)> = Vec::new();
        for entry in served.iter().flat_map(|index| index.entries.iter().rev()) {
            // Lists of earlier versions of this program have names without dates.
            let Some(from) = Start::of(entry) else { break };
            let known = starts.iter().any(|(other, _)| other.text == from.text);
            if !known && from.text != current && from.text != start.text {
                starts.push((from, entry));
            }
        }
        starts.truncate(history.patches.saturating_sub(1));
        // If the youngest patch is too large, so are those that contain it.
        let Some(youngest) = make(start, None) else {
            return Ok(());
        };
        let older = starts.into_par_iter();
        let older: Vec<_> = older
            .filter_map(|(from, entry)| make(from, Some(entry)))
            .collect();
        let mut left = history.max_size.bytes();
        let mut chosen: Vec<Made> = Vec::new();
        for made in std::iter::once(youngest).chain(older) {
            if !made.is_proven {
                self.writer.comparison.tell(format!(
                    "a patch of {} is left out, since it was not what it should be: a memory or a disk may be failing",
                    self.plain
                ));
                continue;
            }
            let name = &made.entry.name;
            if made.is_taken || chosen.iter().any(|other| other.entry.name == *name) {
                continue; // two indices of one Date, which --allow-older-date permits
            }
            let Some(rest) = left.checked_sub(made.entry.download.size) else {
                break;
            };
            left = rest;
            chosen.push(made);
        }
        if !chosen.is_empty() {
            durable::create_dir(&self.writer.new.join(&self.dir))?;
        }
        chosen.par_iter().try_for_each(|made| self.write(made))?;
        let entries = chosen.into_iter().rev().map(|made| made.entry);
        let entries: Vec<_> = entries.collect();
        if entries.is_empty() {
            return Ok(());
        }
        let current_sha1 = Some(step.new);
        self.write_list(&DiffIndex {
            current,
            current_sha1,
            entries,
        })
    }

    /// Makes the patch from a start to the new index: the earlier patch from there, where there is one, and `patch` after it. Returns `None`
    /// if the patch cannot be made, or has more than the most bytes that it may have.
    fn make(
        &self,
        start: Start,
        earlier: Option<&Entry>,
        patch: &Patch,
        date: &str,
        most: u64,
    ) -> Option<Made> {
        let earlier = match earlier {
            Some(entry) => Some(read_script(&self.old(entry), entry)?),
            None => None,
        };
        let both = earlier.as_ref().map(|earlier| earlier.then(patch));
        let script = ed::write(both.as_ref().unwrap_or(patch)).ok()?;
        let (entry, packed) = pack(start, date, &script).ok()?;
        if entry.download.size > most {
            return None;
        }
        let made = unpack(&packed, &entry);
        let is_proven = made.is_some_and(|made| match &earlier {
            Some(earlier) => proof::are_one_after_the_other(&made, earlier, patch),
            None => made == *patch,
        });
        let published = fs::read(self.old(&entry)).ok();
        let is_there = published.as_ref() == Some(&packed);
        Some(Made {
            is_proven,
            is_there,
            is_taken: published.is_some() && !is_there,
            entry,
            packed,
        })
    }

    /// Puts a patch into its place.
    fn write(&self, made: &Made) -> Result<()> {
        let target = self.new_file(&made.entry);
        match made.is_there {
            true => hard_links::link_file(&self.old(&made.entry), &target)?,
            false => durable::write_file(&target, &made.packed, Some(self.writer.modified))?,
        }
        self.note(&made.entry)
    }

    /// Writes a list of patches that are proven.
    fn write_list(&self, index: &DiffIndex) -> Result<()> {
        let text = index.write();
        self.writer.note_proven(self.plain, text.as_bytes());
        self.writer.write_small(&self.index_path(), text.as_bytes())
    }

    fn publish(&self, index: &DiffIndex) -> Result<()> {
        if index.entries.is_empty() {
            return Ok(());
        }
        let dir = self.writer.new.join(&self.dir);
        durable::create_dir(&dir)?;
        for entry in &index.entries {
            hard_links::link_file(&self.old(entry), &self.new_file(entry))?;
            self.note(entry)?;
        }
        self.write_list(index)
    }
}

/// Removes the patches that exceed a history's bounds, the oldest first; entries end with the youngest.
fn within(history: PatchHistory, entries: &mut Vec<Entry>) {
    let mut left = history.max_size.bytes();
    let youngest = entries.iter().rev().take(history.patches);
    let fits = |entry: &&Entry| {
        let rest = left.checked_sub(entry.download.size);
        left = rest.unwrap_or(left);
        rest.is_some()
    };
    let kept = youngest.take_while(fits).count();
    entries.drain(..entries.len() - kept);
}

/// A patch to the new index.
struct Made {
    entry: Entry,
    /// The file that is fetched.
    packed: Vec<u8>,
    is_proven: bool,
    /// `true` if the served tree has the file.
    is_there: bool,
    /// `true` if the served tree has another file of this name.
    is_taken: bool,
}

/// The text that a patch starts from.
struct Start {
    text: Hashed,
    sha1: Sha1,
    date: String,
}

impl Start {
    /// Returns the start of a published patch; `None` if its list was written without dates.
    fn of(entry: &Entry) -> Option<Start> {
        let (_, date) = entry.name.split_once(FROM)?;
        Some(Start {
            text: entry.old,
            sha1: entry.sha1s?.old,
            date: date.to_owned(),
        })
    }
}

/// The text between the two dates in the name of a patch.
const FROM: &str = "-F-";

/// Returns a time as it stands in the names of patches.
fn date(time: SystemTime) -> Option<String> {
    let time = Timestamp::try_from(time).ok()?;
    Some(time.strftime("%Y-%m-%d-%H%M.%S").to_string())
}

/// Compresses a script. The same script gives the same bytes.
fn pack(start: Start, date: &str, script: &[u8]) -> io::Result<(Entry, Vec<u8>)> {
    let mut encoder = flate2::GzBuilder::new().write(Vec::new(), flate2::Compression::best());
    encoder.write_all(script)?;
    let packed = encoder.finish()?;
    let sha1s = Sha1s {
        old: start.sha1,
        patch: sha1::Sha1::digest(script).into(),
    };
    let entry = Entry {
        old: start.text,
        patch: Hashed::of(script),
        download: Hashed::of(&packed),
        sha1s: Some(sha1s),
        name: format!("T-{date}{FROM}{}", start.date),
    };
    Ok((entry, packed))
}

/// Reads a published patch; `None` if it is not what its list says.
fn read_script(path: &Path, entry: &Entry) -> Option<Patch> {
    let packed = fs::read(path).ok()?;
    if Hashed::of(&packed) != entry.download {
        return None;
    }
    unpack(&packed, entry)
}

impl From<FileDigest> for Hashed {
    fn from(digest: FileDigest) -> Self {
        Self {
            sha256: digest.sha256,
            size: digest.size,
        }
    }
}
