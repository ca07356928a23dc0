//! Writes the files of a suite: in every form, under their own name and under by-hash, or carried on as they are.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufWriter, Write};
use std::path::Path;
use std::sync::Mutex;
use std::time::SystemTime;

use rayon::prelude::*;
use sha2::{Digest, Sha256};

use crate::compress::{Piece, gz, pieces, xz};
use crate::config::Form;
use crate::durable;
use crate::error::{Error, Result};
use crate::fetch::hashing::{Hasher, HashingWriter};
use crate::indices::IndexName;
use crate::merge::{Sink, Text};

use super::release::FileDigest;
use super::sync;

/// Where a file lies under by-hash.
pub(super) fn by_hash_path(path: &str, digest: &FileDigest) -> String {
    let dir = path.rsplit_once('/').map_or("", |(dir, _)| dir);
    format!("{dir}/by-hash/SHA256/{}", hex::encode(digest.sha256))
}

/// Writes the indices of a suite, or carries on those that did not change.
pub(super) struct Writer<'a> {
    pub(super) old: &'a Path,
    pub(super) new: &'a Path,
    /// What the Release that is served now lists.
    pub(super) listed: BTreeMap<String, FileDigest>,
    pub(super) forms: &'a BTreeSet<Form>,
    pub(super) modified: SystemTime,
    pub(super) files: Mutex<BTreeMap<String, FileDigest>>,
}

impl Writer<'_> {
    pub(super) fn finish(self) -> BTreeMap<String, FileDigest> {
        self.files
            .into_inner()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    fn list(&self, path: String, digest: FileDigest) {
        self.files
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
            .insert(path, digest);
    }

    /// Takes a file over as it is served now, if it is there in the length that its Release says.
    fn carry(&self, path: &str) -> Result<bool> {
        let Some(digest) = self.listed.get(path) else {
            return Ok(false);
        };
        let old = self.old.join(path);
        if !old
            .symlink_metadata()
            .is_ok_and(|m| m.is_file() && m.len() == digest.size)
        {
            return Ok(false);
        }
        self.place(path, digest, |target| sync::link_file(&old, target))?;
        Ok(true)
    }

    /// Puts a file into its place and under by-hash.
    fn place(
        &self,
        path: &str,
        digest: &FileDigest,
        put: impl FnOnce(&Path) -> Result<()>,
    ) -> Result<()> {
        let target = self.new.join(path);
        let by_hash = self.new.join(by_hash_path(path, digest));
        if let Some(dir) = by_hash.parent() {
            durable::create_dir(dir)?;
        }
        put(&target)?;
        sync::link_file(&target, &by_hash)?;
        self.list(path.to_owned(), *digest);
        Ok(())
    }

    /// Takes over every index as it is, where nothing is merged anew. Directory Release files are made in any case.
    pub(super) fn carry_all(&self) -> Result<()> {
        let indices = self
            .listed
            .iter()
            .filter(|(path, _)| !path.ends_with("/Release"));
        for (path, digest) in indices {
            if self.carry(path)? {
                continue;
            }
            // The plain form is listed, whether or not it is shipped.
            let is_plain = Form::ALL.iter().any(|form| {
                self.listed
                    .contains_key(&format!("{path}{}", form.suffix()))
            });
            if !is_plain {
                return Err(Error::Check {
                    tree: self.old.to_owned(),
                    problems: vec![format!(
                        "{path} is not there as its Release lists it; run with --rebuild"
                    )],
                });
            }
            self.list(path.clone(), *digest);
        }
        Ok(())
    }

    /// The form that an index is published in that is written as a stream: gzip, as archives have Contents and icons.
    const STREAM_FORM: Form = Form::Gz;

    fn write_form(&self, path: &str, form: Form, pieces: &[Piece<'_>]) -> Result<()> {
        let target = self.new.join(path);
        let failed = |source| Error::Compress {
            what: path.to_owned(),
            source,
        };
        let file = durable::temporary(&target)?;
        let mut out = HashingWriter::new(BufWriter::with_capacity(1 << 20, file));
        match form {
            Form::Xz => {
                let blocks = pieces
                    .par_iter()
                    .map(xz::encode)
                    .collect::<std::io::Result<Vec<_>>>()
                    .map_err(failed)?;
                xz::assemble(&blocks, &mut out).map_err(Error::io("write", &target))?;
            }
            Form::Gz => {
                let parts = pieces
                    .par_iter()
                    .map(gz::encode)
                    .collect::<std::io::Result<Vec<_>>>()
                    .map_err(failed)?;
                gz::assemble(&parts, &mut out).map_err(Error::io("write", &target))?;
            }
        }
        let (buffered, digests) = out.finish();
        let file = buffered
            .into_inner()
            .map_err(|e| Error::io("write", &target)(e.into_error()))?;
        let digest = FileDigest::from(digests);
        self.place(path, &digest, |target| {
            durable::persist(file, target, Some(self.modified))
        })
    }

    /// Writes a file under a temporary name through `produce`, which returns the digest of the plain text.
    fn write_stream(
        &self,
        name: &IndexName,
        produce: &mut dyn FnMut(&mut dyn Write) -> Result<()>,
    ) -> Result<()> {
        let plain = name.to_string();
        let path = format!("{plain}{}", Self::STREAM_FORM.suffix());
        let target = self.new.join(&path);
        durable::create_dir(&self.new.join(name.directory()))?;
        let failed = || Error::io("write", &target);
        let file = BufWriter::with_capacity(1 << 20, durable::temporary(&target)?);
        let member = gz::MemberWriter::new(HashingWriter::new(file)).map_err(failed())?;
        let mut out = HashingWriter::new(member);
        produce(&mut out)?;
        let (member, digests) = out.finish();
        let plain_digest = FileDigest::from(digests);
        let same = self.listed.get(&plain) == Some(&plain_digest);
        self.list(plain, plain_digest);
        if same && self.carry(&path)? {
            return Ok(());
        }
        let (buffered, digests) = member.finish().map_err(failed())?.finish();
        let file = buffered
            .into_inner()
            .map_err(|e| failed()(e.into_error()))?;
        self.place(&path, &FileDigest::from(digests), |target| {
            durable::persist(file, target, Some(self.modified))
        })
    }

    /// Writes a small file, or carries it on if it did not change.
    pub(super) fn write_small(&self, path: &str, data: &[u8]) -> Result<()> {
        let digest = FileDigest {
            size: data.len() as u64,
            sha256: Sha256::digest(data).into(),
        };
        if self.listed.get(path) == Some(&digest) && self.carry(path)? {
            return Ok(());
        }
        self.place(path, &digest, |target| {
            durable::write_file(target, data, Some(self.modified))
        })
    }
}

impl Sink for Writer<'_> {
    /// Writes an index in every form; the plain one is listed only.
    fn text(&self, index: &IndexName, text: &Text<'_>) -> Result<()> {
        let plain = index.to_string();
        let mut hasher = Hasher::new();
        text.iter().flatten().for_each(|slice| hasher.update(slice));
        let digest = FileDigest::from(hasher.finish());
        durable::create_dir(&self.new.join(index.directory()))?;
        let same = self.listed.get(&plain) == Some(&digest);
        self.list(plain.clone(), digest);
        let mut pieces_of_text = None;
        for form in self.forms {
            let path = format!("{plain}{}", form.suffix());
            if same && self.carry(&path)? {
                continue;
            }
            let pieces = pieces_of_text.get_or_insert_with(|| pieces(text));
            self.write_form(&path, *form, pieces)?;
        }
        Ok(())
    }

    fn stream(
        &self,
        name: &IndexName,
        produce: &mut dyn FnMut(&mut dyn Write) -> Result<()>,
    ) -> Result<()> {
        self.write_stream(name, produce)
    }
}
