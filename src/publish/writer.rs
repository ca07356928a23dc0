//! Writes the files of a suite: in every form, under their own name and under by-hash, or carried on as they are.

use std::cell::Cell;
use std::collections::BTreeSet;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::sync::PoisonError;

use tempfile::NamedTempFile;

use crate::compress::{CompressError, Packed, Pieces, assemble, gz, packed_before};
use crate::durable;
use crate::error::{Error, Result};
use crate::hashing::HashingWriter;
use crate::indices::IndexName;
use crate::merge::{DerivedKey, Head, IndexText, MergeError, Sink, Text};
use crate::pdiff::Patch;
use crate::spec::{Family, Form};
use crate::workspace::DerivedRecord;

use super::compare::WantedPatch;
use super::error::PublishError;
use super::files::Writer;
use super::head::IndexHead;
use super::lines::LinePatch;
use super::patches::Patches;
use super::proof::{self, Step};
use super::release::{FileDigest, hasher};

impl Writer<'_> {
    /// Carries on every index as it is, where nothing is merged anew. Directory Release files are made in any case.
    pub(super) fn carry_all(&self) -> Result<()> {
        let indices = self
            .listed
            .iter()
            .filter(|(path, _)| !path.ends_with("/Release"));
        for (path, digest) in indices {
            if let Some(plain) = path.strip_suffix(".diff/Index") {
                Patches::new(self, plain).carry(self.history)?;
                continue;
            }
            if self.carry(path)? {
                continue;
            }
            // The Release lists the plain form whether or not it is shipped.
            let is_plain = Form::ALL.iter().any(|form| {
                self.listed
                    .contains_key(&format!("{path}{}", form.suffix()))
            });
            if !is_plain {
                return Err(PublishError::NotThere {
                    tree: self.old.to_owned(),
                    path: path.clone(),
                }
                .into());
            }
            self.list(path.clone(), *digest);
        }
        Ok(())
    }

    /// The form in which an index that is written as a stream is published: gzip, as archives have Contents and icons. To compress half a
    /// gigabyte of Contents by xz would take longer than all the rest.
    const STREAM_FORM: Form = Form::Gz;

    /// Writes one compressed form.
    fn write_form(&self, path: &str, form: Form, pieces: &[Packed]) -> Result<()> {
        let mut out = self.create(path)?;
        assemble(form, pieces, &mut out).map_err(Error::io("write", self.new.join(path)))?;
        self.publish(path, out)
    }

    /// Returns the compressed pieces of an index, and how many of them are the head's.
    fn packed(&self, parts: &Parts<'_>, path: &str, form: Form) -> Result<(Vec<Packed>, usize)> {
        let cache = self.comparison.cache;
        let pack = |pieces: &Pieces<'_>| {
            pieces.pack(form, cache).map_err(|source| CompressError {
                what: path.to_owned(),
                source,
            })
        };
        let mut packed = match &parts.head_pieces {
            Some(pieces) => pack(pieces)?,
            None => packed_before(form, &parts.head.pieces, cache).ok_or(MergeError::Lost)?,
        };
        let of_head = packed.len();
        packed.extend(pack(&Pieces::of(parts.tail))?);
        Ok((packed, of_head))
    }

    /// Returns the parts of an index.
    fn parts<'t>(&self, index: &IndexName, text: &'t IndexText<'t>) -> Result<Parts<'t>> {
        let (head, head_pieces) = match text.head {
            Head::Text(head) => {
                let pieces = Pieces::of(head);
                let hasher = match self.has_patches(index) {
                    true => hasher(self.hashes).and_sha1(),
                    false => hasher(self.hashes),
                };
                (IndexHead::of(head, hasher, pieces.names()), Some(pieces))
            }
            Head::Kept(kept) => (IndexHead::decode(kept).ok_or(MergeError::Lost)?, None),
        };
        Ok(Parts {
            head,
            head_pieces,
            tail: text.tail,
        })
    }

    /// Begins a file under a temporary name, in a directory that exists.
    fn create(&self, path: &str) -> Result<NewFile> {
        let file = durable::temporary(&self.new.join(path))?;
        let file = BufWriter::with_capacity(1 << 20, file);
        Ok(HashingWriter::with(file, hasher(self.hashes)))
    }

    /// Gives a written file its name.
    fn publish(&self, path: &str, file: NewFile) -> Result<()> {
        let (buffered, digests) = file.finish();
        let file = buffered
            .into_inner()
            .map_err(|e| Error::io("write", self.new.join(path))(e.into_error()))?;
        self.place(path, &FileDigest::from(digests), |target| {
            durable::persist(file, target, Some(self.modified))
        })
    }

    /// Returns the builder of the patch to a list of lines, which works while the list is written.
    fn line_patch(&self, name: &IndexName) -> Option<LinePatch> {
        if !self.has_patches(name) {
            return None;
        }
        let plain = name.to_string();
        let old = self.listed.get(&plain)?;
        Some(LinePatch::new(self.comparison.open(&plain, old)?))
    }

    /// Returns whether an index gets patches when it changes. Installers fetch whole files.
    fn has_patches(&self, index: &IndexName) -> bool {
        let has = match index.family() {
            Family::Packages | Family::Sources | Family::Translations | Family::Contents => true,
            Family::Installer | Family::Dep11 | Family::Commands => false,
        };
        has && self.history.patches > 0
    }

    /// Shows that a patch makes a new index of the one that is served. If both begin with a head whose parts are `after`, the served index is
    /// read from there on.
    fn step(
        &self,
        index: &IndexName,
        old: &FileDigest,
        new: &FileDigest,
        patch: &Patch,
        after: Option<(&IndexHead, &[Packed])>,
    ) -> Option<Step> {
        let plain = index.to_string();
        let (old, new) = ((*old).into(), (*new).into());
        let is_after = |head: &IndexHead| {
            let first = patch.hunks().first();
            head.hasher.has_sha1() && first.is_none_or(|hunk| hunk.start >= head.lines)
        };
        if let Some((head, packed)) = after.filter(|(head, _)| is_after(head))
            && let Some(text) = self.comparison.open_after(&plain, packed)
        {
            let from = proof::Beginning {
                hasher: head.hasher.clone(),
                lines: head.lines,
            };
            let shown = proof::makes(patch, from, text, old, new);
            if shown.is_some() {
                return shown;
            }
        }
        let text = self
            .comparison
            .open(&plain, &self.listed.get(&plain).copied()?)?;
        proof::makes(patch, proof::Beginning::none(), text, old, new)
    }

    /// Returns the length of the smallest form of an index whose forms are written already.
    fn smallest_form(&self, plain: &str, digest: &FileDigest) -> u64 {
        let forms = Form::ALL.iter().filter_map(|form| {
            let path = self.new.join(format!("{plain}{}", form.suffix()));
            Some(path.metadata().ok()?.len())
        });
        forms.min().unwrap_or(digest.size)
    }

    /// Publishes the patch to an index that has changed and whose forms are written already. [`Writer::step`] has shown what the patch makes.
    fn write_patch(
        &self,
        index: &IndexName,
        digest: &FileDigest,
        patch: &Patch,
        step: Step,
    ) -> Result<()> {
        let plain = index.to_string();
        let Some(old) = self.listed.get(&plain) else {
            return Ok(());
        };
        let full = self.smallest_form(&plain, digest);
        Patches::new(self, &plain).extend((old, digest), patch, step, full, self.history)
    }
}

/// Returns the most bytes that a patch may insert, by the length of the index's smallest form. gzip packs stanzas to about a quarter, and
/// a client would rather fetch the index than more bytes than it has. A small index has its patch tried in any case.
fn max_inserted(full: u64) -> u64 {
    full.saturating_mul(4).max(1 << 20)
}

/// A file that is being written.
type NewFile = HashingWriter<BufWriter<NamedTempFile>>;

/// A writer that writes the same bytes to two writers.
struct Both<'a, A, B>(&'a mut A, &'a mut B);

impl<A: Write, B: Write> Write for Both<'_, A, B> {
    fn write(&mut self, data: &[u8]) -> std::io::Result<usize> {
        let written = self.0.write(data)?;
        self.1.write_all(&data[..written])?;
        Ok(written)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.0.flush()?;
        self.1.flush()
    }
}

/// The parts of an index that is written.
struct Parts<'a> {
    head: IndexHead,
    /// The pieces of the head, if its text is there.
    head_pieces: Option<Pieces<'a>>,
    tail: &'a Text<'a>,
}

impl Sink for Writer<'_> {
    /// Writes an index in every form; the plain one is only listed.
    fn text(&self, index: &IndexName, text: &IndexText<'_>) -> Result<Option<Vec<u8>>> {
        let plain = index.to_string();
        let parts = self.parts(index, text)?;
        let kept = parts.head_pieces.is_some().then(|| parts.head.encode());
        let digest = parts.head.digest_with(text.tail);
        durable::create_dir(&self.new.join(index.directory()))?;
        let same = self.listed.get(&plain) == Some(&digest);
        self.list(plain.clone(), digest);
        let head_length = parts.head.digest().size;
        let has_same_pieces = same && self.heads_before.get(&plain) == Some(&head_length);
        self.note_head(&plain, head_length);
        let mut gz_head = None;
        for form in self.forms {
            let path = format!("{plain}{}", form.suffix());
            if has_same_pieces && self.carry(&path)? {
                continue;
            }
            let (mut packed, of_head) = self.packed(&parts, &path, *form)?;
            self.write_form(&path, *form, &packed)?;
            if *form == Form::Gz {
                packed.truncate(of_head);
                gz_head = Some(packed);
            }
        }
        self.progress.inc(1);
        if same {
            Patches::new(self, &plain).carry(self.history)?;
            return Ok(kept);
        }
        let shown = Cell::new(None);
        let holds = |old: &FileDigest, patch: &Patch| {
            let after = gz_head.as_deref().map(|packed| (&parts.head, packed));
            shown.set(self.step(index, old, &digest, patch, after));
            shown.get().is_some()
        };
        let full = self.smallest_form(&plain, &digest);
        let wanted = WantedPatch {
            max_inserted: max_inserted(full),
            holds: &holds,
        };
        let wanted = self.has_patches(index).then_some(&wanted);
        let patch = self
            .comparison
            .text(index, &digest, text, &parts.head, wanted)?;
        if let Some((patch, step)) = patch.zip(shown.get()) {
            self.write_patch(index, &digest, &patch, step)?;
        }
        Ok(kept)
    }

    fn stream(
        &self,
        name: &IndexName,
        produce: &mut dyn FnMut(&mut dyn Write) -> Result<()>,
    ) -> Result<()> {
        let plain = name.to_string();
        let path = format!("{plain}{}", Self::STREAM_FORM.suffix());
        durable::create_dir(&self.new.join(name.directory()))?;
        let failed = || Error::io("write", self.new.join(&path));
        let member = gz::MemberWriter::new(self.create(&path)?).map_err(failed())?;
        let mut out = HashingWriter::with(member, hasher(self.hashes));
        let mut lines = self.line_patch(name);
        match &mut lines {
            Some(lines) => produce(&mut Both(&mut out, lines))?,
            None => produce(&mut out)?,
        }
        let (member, digests) = out.finish();
        self.progress.inc(1);
        let digest = FileDigest::from(digests);
        self.comparison.stream(name, &digest);
        let old = self.listed.get(&plain);
        let same = old == Some(&digest);
        self.list(plain.clone(), digest);
        if same && self.carry(&path)? {
            return Patches::new(self, &plain).carry(self.history);
        }
        self.publish(&path, member.finish().map_err(failed())?)?;
        match old.zip(lines).and_then(|(old, lines)| {
            let patch = lines.finish()?;
            let step = self.step(name, old, &digest, &patch, None)?;
            Some((patch, step))
        }) {
            Some((patch, step)) => self.write_patch(name, &digest, &patch, step),
            None => Ok(()),
        }
    }

    fn scratch(&self) -> Result<File> {
        self.comparison.cache.scratch()
    }

    fn recall(
        &self,
        names: &[IndexName],
        derived_key: &DerivedKey,
    ) -> Result<Option<BTreeSet<String>>> {
        let key = hex::encode(derived_key);
        let mut warnings = BTreeSet::new();
        for name in names {
            let plain = name.to_string();
            let record = self.derived_before.get(&plain).filter(|r| r.key == key);
            let (Some(record), Some(digest)) = (record, self.listed.get(&plain)) else {
                return Ok(None);
            };
            let forms = match name.is_stream() {
                true => vec![Self::STREAM_FORM],
                false => self.forms.iter().copied().collect(),
            };
            for form in forms {
                if !self.carry(&format!("{plain}{}", form.suffix()))? {
                    return Ok(None);
                }
            }
            Patches::new(self, &plain).carry(self.history)?;
            if let Some(length) = self.heads_before.get(&plain) {
                self.note_head(&plain, *length);
            }
            self.list(plain, *digest);
            warnings.extend(record.warnings.iter().cloned());
        }
        self.remember(names, derived_key, &warnings);
        self.progress.inc(names.len() as u64);
        Ok(Some(warnings))
    }

    fn remember(&self, names: &[IndexName], key: &DerivedKey, warnings: &BTreeSet<String>) {
        let mut derived = self.derived.lock().unwrap_or_else(PoisonError::into_inner);
        for name in names {
            let record = DerivedRecord {
                key: hex::encode(key),
                warnings: warnings.clone(),
            };
            derived.insert(name.to_string(), record);
        }
    }

    fn kept(&self, key: &DerivedKey) -> Option<Vec<u8>> {
        self.kept.get(key)
    }

    fn keep(&self, key: &DerivedKey, content: &[u8]) {
        self.kept.put(key, content);
    }

    fn keep_on(&self, key: &DerivedKey) -> bool {
        self.kept.is_there(key)
    }
}
