//! Compares new indices with those that are served now.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{BufReader, Read, Write};
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use crate::cache::Cache;
use crate::compress::{Packed, gz};
use crate::decode::{Compression, decoder};
use crate::error::Result;
use crate::hashing::{Hasher, HashingWriter};
use crate::indices::IndexName;
use crate::merge::{DerivedKey, Head, IndexText, MergeError, Sink};
use crate::names::{ArchiveName, PoolName};
use crate::pdiff::Patch;
use crate::pdiff::index::Hashed;
use crate::spec::Form;
use crate::workspace::DerivedRecord;

use super::changes::Changes;
use super::differ;
use super::head::IndexHead;
use super::kept::Kept;
use super::outline::{HeadText, Outline};
use super::release::FileDigest;

/// The patch that an index gets when it changes.
pub(super) struct WantedPatch<'p> {
    /// The most bytes that the patch may insert; a larger one is not made.
    pub(super) max_inserted: u64,
    /// Returns whether a patch makes the new index of the served one. If it does not, an outline of the cache was wrong; then the served
    /// index itself is read.
    pub(super) holds: &'p dyn Fn(&FileDigest, &Patch) -> bool,
}

/// The indices of a suite as they are served now.
pub(super) struct Comparison<'a> {
    pub(super) archives: &'a BTreeMap<PoolName, ArchiveName>,
    /// The suite's directory.
    pub(super) old: &'a Path,
    /// The files that its Release lists; none where the suite is new.
    pub(super) listed: &'a BTreeMap<String, FileDigest>,
    pub(super) cache: &'a Cache,
    /// `true` if the outlines of new indices are kept for later runs.
    pub(super) keeps: bool,
    pub(super) changes: Changes,
    pub(super) warnings: Mutex<BTreeSet<String>>,
}

/// A new index of packages.
struct New<'a> {
    text: &'a IndexText<'a>,
    head: HeadText,
    tail: &'a Outline<'a>,
}

impl<'a> New<'a> {
    /// Returns the outline of the whole index. Where the head is kept, the index that is served begins with it, and nobody asks for this.
    fn whole(&self) -> Result<Outline<'a>> {
        let head = match self.text.head {
            Head::Text(head) => Outline::of(head),
            Head::Kept(_) => return Err(MergeError::Lost.into()),
        };
        Ok(Outline::of_both(head, self.tail))
    }
}

/// An index that is served.
struct Old<'o> {
    outline: &'o Outline<'o>,
    /// `true` if the outline is of what follows the head of the new index.
    is_after: bool,
    /// `true` if the outline is from the cache.
    is_kept: bool,
}

/// Returns what follows a head in a text that begins with it, otherwise the whole text.
fn after(plain: &[u8], head: Option<HeadText>) -> (bool, &[u8]) {
    let divided = head.and_then(|head| {
        let (begin, rest) = plain.split_at_checked(usize::try_from(head.length).ok()?)?;
        (Hashed::of(begin).sha256 == head.sha256).then_some(rest)
    });
    (divided.is_some(), divided.unwrap_or(plain))
}

impl Comparison<'_> {
    /// Compares an index with the one that is served, and returns the patch to the new one, if one is wanted and there is an old one. `head`
    /// is the head of the new index. Of an index that has no packages, only its name is noted among the changes.
    pub(super) fn text(
        &self,
        name: &IndexName,
        digest: &FileDigest,
        text: &IndexText<'_>,
        head: &IndexHead,
        wanted: Option<&WantedPatch<'_>>,
    ) -> Result<Option<Patch>> {
        let listed = self.listed.get(&name.to_string());
        let same = listed.is_some_and(|old| old.sha256 == digest.sha256);
        if !same && !name.is_of_packages() {
            self.changes.add_index(name);
        }
        if !name.is_of_packages() && wanted.is_none() {
            return Ok(None);
        }
        let of_head = match text.head {
            Head::Text(head) => Some(Outline::of(head)),
            Head::Kept(_) => None,
        };
        let tail = Outline::of(text.tail);
        let new = New {
            text,
            head: HeadText::from(head),
            tail: &tail,
        };
        // If the suite itself is new, its changes need no details.
        let patch = match listed {
            _ if same || self.listed.is_empty() => None,
            None => {
                self.note(name, &Outline::default(), &new.whole()?);
                None
            }
            Some(old) => self.patch(name, old, &new, wanted)?,
        };
        if self.keeps {
            tail.keep(self.cache, &digest.sha256, new.head);
            if !Outline::keep_on(self.cache, &new.head)
                && let Some(of_head) = of_head
            {
                of_head.keep_of_head(self.cache, new.head);
            }
            if let Some(old) = listed.filter(|_| !same) {
                Outline::forget(self.cache, &old.sha256);
            }
        }
        Ok(patch)
    }

    /// Adds the changes of an index, and returns the patch.
    fn patch(
        &self,
        name: &IndexName,
        old: &FileDigest,
        new: &New<'_>,
        wanted: Option<&WantedPatch<'_>>,
    ) -> Result<Option<Patch>> {
        let patch = self.with_old(name, old, Some(new.head), |old_state| {
            let whole;
            let (lines_before, of_new, text) = match old_state.is_after {
                true => (new.head.lines, new.tail, IndexText::whole(new.text.tail)),
                false => {
                    whole = new.whole()?;
                    let (head, tail) = (new.text.head, new.text.tail);
                    (0, &whole, IndexText { head, tail })
                }
            };
            let states = (old_state.outline, of_new);
            let patch = wanted.and_then(|wanted| {
                let patch = differ::patch(states, lines_before, &text, wanted.max_inserted)?;
                Some((wanted.holds)(old, &patch).then_some(patch))
            });
            if old_state.is_kept && patch == Some(None) {
                return Ok(None);
            }
            self.note(name, old_state.outline, of_new);
            Ok(Some(patch.flatten()))
        })?;
        Ok(patch.flatten())
    }

    /// Notes the packages that changed.
    fn note(&self, name: &IndexName, old: &Outline<'_>, new: &Outline<'_>) {
        if name.is_of_packages() {
            let changed = differ::changes(old, new);
            self.changes.add(self.archives, name, &changed);
        }
    }

    /// Adds the packages of indices that are no longer published: those of a component or an architecture that was removed.
    pub(super) fn gone(&self, published: &BTreeSet<IndexName>) -> Result<()> {
        for (path, old) in self.listed {
            let name = IndexName::parse_packages(path).filter(|name| !published.contains(name));
            if let Some(name) = name {
                self.with_old(&name, old, None, |old| {
                    self.note(&name, old.outline, &Outline::default());
                    Ok(Some(()))
                })?;
            }
        }
        Ok(())
    }

    /// Looks at an index that is served: at its outline in the cache, or at the index itself where there is no outline, or where `look`
    /// returns nothing for the cached one. Only what follows `head` is looked at, if the index begins with it. If the index cannot be read,
    /// the method only notes that the index changes.
    fn with_old<T>(
        &self,
        name: &IndexName,
        digest: &FileDigest,
        head: Option<HeadText>,
        look: impl Fn(&Old<'_>) -> Result<Option<T>>,
    ) -> Result<Option<T>> {
        let kept = Outline::recall(self.cache, &digest.sha256, digest.size);
        if let Some((old_head, tail)) = kept.as_deref().and_then(Outline::parse) {
            let is_after = Some(old_head) == head;
            let of_head = match is_after {
                true => Some(Vec::new()),
                false => self.outline_of_head(&old_head),
            };
            let parsed = of_head.as_deref().map(|kept| match kept {
                [] => Some(Outline::default()),
                kept => Outline::parse(kept).map(|(_, outline)| outline),
            });
            if let Some(Some(of_head)) = parsed {
                let old = Old {
                    outline: &Outline::of_both(of_head, &tail),
                    is_after,
                    is_kept: true,
                };
                if let Some(seen) = look(&old)? {
                    return Ok(Some(seen));
                }
                Outline::forget_head(self.cache, &old_head);
                self.tell(format!(
                    "the outline of {name} in the cache was not that of what is served; it is read anew"
                ));
            }
        }
        let plain = match digest.size {
            0 => Some(Vec::new()),
            _ => self.read(&name.to_string(), digest),
        };
        let divided = plain.as_deref().map(|plain| after(plain, head));
        let read =
            divided.and_then(|(is_after, rest)| Some((is_after, Outline::read(name, rest)?)));
        match read {
            Some((is_after, outline)) => look(&Old {
                outline: &outline,
                is_after,
                is_kept: false,
            }),
            None => {
                self.changes.add_index(name);
                Ok(None)
            }
        }
    }

    /// Returns the kept outline of a head: nothing for one of no bytes.
    fn outline_of_head(&self, head: &HeadText) -> Option<Vec<u8>> {
        match head.length {
            0 => Some(Vec::new()),
            _ => Outline::recall_head(self.cache, head),
        }
    }

    /// Notes a warning.
    pub(super) fn tell(&self, warning: String) {
        let mut warnings = self.warnings.lock().unwrap_or_else(PoisonError::into_inner);
        warnings.insert(warning);
    }

    /// Compares an index that was written as a stream.
    pub(super) fn stream(&self, name: &IndexName, digest: &FileDigest) {
        let old = self.listed.get(&name.to_string());
        if old.map(|old| old.sha256) != Some(digest.sha256) {
            self.changes.add_index(name);
        }
    }

    /// Returns the plain text of an index that is served; `None` if the text is not what its Release lists.
    fn read(&self, plain: &str, digest: &FileDigest) -> Option<Vec<u8>> {
        let mut text = Vec::new();
        self.open(plain, digest)?.read_to_end(&mut text).ok()?;
        (Hashed::of(&text) == (*digest).into()).then_some(text)
    }

    /// Returns what follows a head in an index that is served, whose gzip form begins with the given pieces.
    pub(super) fn open_after(&self, plain: &str, head: &[Packed]) -> Option<impl Read> {
        let path = self.old.join(format!("{plain}{}", Form::Gz.suffix()));
        let file = BufReader::with_capacity(1 << 18, File::open(path).ok()?);
        gz::read_after(file, head).ok()
    }

    /// Returns the plain text of an index that is served, from the form that is quickest to read.
    pub(super) fn open(
        &self,
        plain: &str,
        digest: &FileDigest,
    ) -> Option<Box<dyn Read + Send + 'static>> {
        if digest.size == 0 {
            return Some(Box::new(std::io::empty()));
        }
        [(Form::Gz, Compression::Gzip), (Form::Xz, Compression::Xz)]
            .into_iter()
            .find_map(|(form, compression)| {
                let path = self.old.join(format!("{plain}{}", form.suffix()));
                let file = File::open(path).ok()?;
                let reader = decoder(compression, BufReader::with_capacity(1 << 18, file)).ok()?;
                Some(Box::new(reader.take(digest.size + 1)) as Box<dyn Read + Send>)
            })
    }
}

/// A sink that takes merged indices only to see what would change.
pub(super) struct Comparer<'a> {
    pub(super) comparison: Comparison<'a>,
    /// The records of what the served indices were made from, as far as there are any.
    pub(super) derived: &'a BTreeMap<String, DerivedRecord>,
    /// The entries that earlier merges kept.
    pub(super) kept: Kept<'a>,
}

impl Sink for Comparer<'_> {
    fn text(&self, name: &IndexName, text: &IndexText<'_>) -> Result<Option<Vec<u8>>> {
        let head = match text.head {
            Head::Text(head) => IndexHead::of(head, Hasher::new(), Vec::new()),
            Head::Kept(kept) => IndexHead::decode(kept).ok_or(MergeError::Lost)?,
        };
        let digest = head.digest_with(text.tail);
        let old = self.comparison.listed.get(&name.to_string());
        if old.map(|old| old.sha256) != Some(digest.sha256) {
            self.comparison.text(name, &digest, text, &head, None)?;
        }
        Ok(None)
    }

    fn stream(
        &self,
        name: &IndexName,
        produce: &mut dyn FnMut(&mut dyn Write) -> Result<()>,
    ) -> Result<()> {
        let mut out = HashingWriter::with(std::io::sink(), Hasher::new());
        produce(&mut out)?;
        self.comparison.stream(name, &out.finish().1.into());
        Ok(())
    }

    fn scratch(&self) -> Result<File> {
        self.comparison.cache.scratch()
    }

    fn recall(&self, names: &[IndexName], key: &DerivedKey) -> Result<Option<BTreeSet<String>>> {
        let key = hex::encode(key);
        let records: Option<Vec<_>> = names
            .iter()
            .map(|name| {
                let record = self.derived.get(&name.to_string())?;
                (record.key == key).then_some(&record.warnings)
            })
            .collect();
        Ok(records.map(|warnings| warnings.into_iter().flatten().cloned().collect()))
    }

    fn kept(&self, key: &DerivedKey) -> Option<Vec<u8>> {
        self.kept.get(key)
    }

    fn keep_on(&self, key: &DerivedKey) -> bool {
        self.kept.is_there(key)
    }
}
