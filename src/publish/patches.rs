//! The patches beside an index: made when the index changes, carried on while it does not.
//!
//! Each patch leads straight to the present index. When the index changes, each existing patch is combined with the patch from the last
//! state to the new one, so the history needs only published files. A patch's name follows from the old index and the content, so no
//! patch ever changes in place, and the patches of earlier lists are kept as long as files under by-hash. No patch is published that was
//! not proven ([`super::proof`]).

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use crate::durable;
use crate::error::Result;
use crate::manifest::FileDigests;
use crate::pdiff::Patch;
use crate::pdiff::ed;
use crate::pdiff::index::{DiffIndex, Entry, Hashed};
use crate::spec::PatchHistory;

use super::files::Writer;
use super::hard_links;
use super::patched::{self, Tried, unpack};
use super::proof;
use super::release::FileDigest;

/// The number of hex digits of a hash that name a patch.
const NAME_DIGITS: usize = 20;

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

    /// Writes the list and its patches anew where the index has changed by `patch`, which makes `new` of `old`; `full` is the length of the
    /// index's smallest form.
    pub(super) fn extend(
        &self,
        old: &FileDigest,
        new: &FileDigest,
        patch: &Patch,
        full: u64,
        history: PatchHistory,
    ) -> Result<()> {
        let current = Hashed::from(*new);
        let served = self.served().filter(|index| index.current == (*old).into());
        // The patches, from the youngest to the oldest.
        let mut patches = vec![(Hashed::from(*old), None)];
        for entry in served.iter().flat_map(|index| index.entries.iter().rev()) {
            if patches.len() >= history.patches {
                break; // a list has no more patches
            }
            let known = patches.iter().any(|(from, _)| *from == entry.old);
            if !known && entry.old != current {
                let earlier = read_script(&self.old(entry), entry);
                patches.extend(earlier.map(|earlier| (entry.old, Some(earlier))));
            }
        }
        let mut entries = Vec::new();
        let mut left = history.max_size.bytes();
        for (from, earlier) in patches.into_iter().take(history.patches) {
            let both = earlier.as_ref().map(|earlier| earlier.then(patch));
            let script = ed::write(both.as_ref().unwrap_or(patch)).ok();
            let Some((entry, packed)) = script.and_then(|script| pack(from, &script).ok()) else {
                break;
            };
            let published = unpack(&packed, &entry);
            let is_proven = published.is_some_and(|published| match &earlier {
                Some(earlier) => proof::are_one_after_the_other(&published, earlier, patch),
                None => published == *patch,
            });
            if !is_proven {
                self.writer.comparison.tell(format!(
                    "a patch of {} is left out, since it was not what it should be: a memory or a disk may be failing",
                    self.plain
                ));
                continue;
            }
            // A client would rather fetch the index than more bytes than this.
            if entry.download.size >= full || entry.download.size > left {
                break;
            }
            left -= entry.download.size;
            let target = self.new_file(&entry);
            if let Some(dir) = target.parent() {
                durable::create_dir(dir)?;
            }
            if fs::read(self.old(&entry)).is_ok_and(|old| old == packed) {
                hard_links::link_file(&self.old(&entry), &target)?;
            } else {
                durable::write_file(&target, &packed, Some(self.writer.modified))?;
            }
            self.note(&entry)?;
            entries.push(entry);
        }
        if entries.is_empty() {
            return Ok(());
        }
        entries.reverse();
        self.write_list(&DiffIndex { current, entries })
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

/// Compresses a script. The same script gives the same bytes.
fn pack(old: Hashed, script: &[u8]) -> io::Result<(Entry, Vec<u8>)> {
    let mut encoder = flate2::GzBuilder::new().write(Vec::new(), flate2::Compression::best());
    encoder.write_all(script)?;
    let packed = encoder.finish()?;
    let download = Hashed::of(&packed);
    // One script may lead from several old files: one version may replace several earlier ones. apt looks a patch up by
    // its name, so each entry has a name of its own.
    let whole = Sha256::new()
        .chain_update(old.sha256)
        .chain_update(download.sha256);
    let mut name = hex::encode(whole.finalize());
    name.truncate(NAME_DIGITS);
    let entry = Entry {
        old,
        patch: Hashed::of(script),
        download,
        name,
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
