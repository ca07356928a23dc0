//! Packages in the store: how they get in, and how they are read.

use rusqlite::{Connection, OptionalExtension, params};
use sha2::{Digest, Sha256};

use crate::deb::{Kind, PackageFile, files_hash};
use crate::names::Component;

use super::error::StoreError;
use super::head::{self, Head};
use super::key::PackageKey;
use super::operation::{NewFile, NewPackage};

/// A package of the store, whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Package {
    /// Its key.
    pub key: PackageKey,
    /// Its kind.
    pub kind: Kind,
    /// The source that it is built from, or its own name.
    pub source: String,
    /// The version of that source.
    pub source_version: String,
    /// The stanza as the package has it, without the fields that an index writes.
    pub stanza: Vec<u8>,
    /// The files, sorted by name.
    pub files: Vec<PackageFile>,
    /// The directory below `pool/COMPONENT/` that the files are published in.
    pub directory: String,
}

impl Package {
    /// Returns the path that a file of the package is published under: `pool/main/h/hello/hello_1.0_amd64.deb`.
    pub fn path(&self, component: &Component, file: &PackageFile) -> String {
        format!("pool/{component}/{}/{}", self.directory, file.name)
    }

    /// Returns the stanza as an index has it: with the place, the length and the digests of each file.
    pub fn indexed(&self, component: &Component) -> Vec<u8> {
        let mut text = self.stanza.clone();
        let mut line = |words: String| {
            text.extend_from_slice(words.as_bytes());
            text.push(b'\n');
        };
        match (self.kind, &self.files[..]) {
            (Kind::Source, files) => {
                line(format!("Directory: pool/{component}/{}", self.directory));
                line("Files:".into());
                for file in files {
                    let md5 = file.md5.map(hex::encode).unwrap_or_default();
                    line(format!(" {md5} {} {}", file.size, file.name));
                }
                line("Checksums-Sha256:".into());
                for file in files {
                    let sha256 = hex::encode(file.sha256);
                    line(format!(" {sha256} {} {}", file.size, file.name));
                }
            }
            (_, files) => {
                for file in files {
                    line(format!("Filename: {}", self.path(component, file)));
                    line(format!("Size: {}", file.size));
                    if let Some(md5) = file.md5 {
                        line(format!("MD5sum: {}", hex::encode(md5)));
                    }
                    line(format!("SHA256: {}", hex::encode(file.sha256)));
                }
            }
        }
        text
    }
}

/// Reads a package.
pub(super) fn load(db: &Connection, head: Head) -> Result<Package, StoreError> {
    let id = head.id;
    let missing = || StoreError::Damaged(format!("the stanza of package {id} is missing"));
    let directory = db
        .prepare_cached("SELECT directory FROM package WHERE id = ?1")?
        .query_row([id], |row| row.get(0))?;
    Ok(Package {
        stanza: stanza(db, id)?.ok_or_else(missing)?,
        files: files(db, id)?,
        directory,
        key: head.key,
        kind: head.kind,
        source: head.source,
        source_version: head.source_version,
    })
}

/// Returns the stanza of a package.
pub(super) fn stanza(db: &Connection, id: i64) -> Result<Option<Vec<u8>>, StoreError> {
    let mut statement = db.prepare_cached("SELECT text FROM stanza WHERE package = ?1")?;
    Ok(statement.query_row([id], |row| row.get(0)).optional()?)
}

/// Returns the paths that the package in a file installs.
pub(super) fn contents(db: &Connection, sha256: &[u8; 32]) -> Result<Vec<u8>, StoreError> {
    let mut statement = db.prepare_cached("SELECT paths FROM contents WHERE sha256 = ?1")?;
    let packed: Option<Vec<u8>> = statement.query_row([sha256], |row| row.get(0)).optional()?;
    let Some(packed) = packed else {
        return Ok(Vec::new());
    };
    let damaged = |_| StoreError::Damaged(format!("the paths of {} are", hex::encode(sha256)));
    zstd::decode_all(&packed[..]).map_err(damaged)
}

fn files(db: &Connection, id: i64) -> Result<Vec<PackageFile>, StoreError> {
    let sql = "SELECT name, size, md5, sha1, sha256, sha512
               FROM package_file JOIN file USING (sha256) WHERE package = ?1 ORDER BY name";
    let mut statement = db.prepare_cached(sql)?;
    let rows = statement.query_map([id], |row| {
        Ok(PackageFile {
            name: row.get(0)?,
            size: row.get(1)?,
            md5: row.get(2)?,
            sha1: row.get(3)?,
            sha256: row.get(4)?,
            sha512: row.get(5)?,
        })
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}

impl NewPackage {
    /// Returns the key that the package gets.
    pub(super) fn key(&self) -> PackageKey {
        let files: Vec<PackageFile> = self.files.iter().map(PackageFile::from).collect();
        PackageKey {
            architecture: self.architecture.clone(),
            name: self.name.to_string(),
            version: self.version.clone(),
            files_hash: files_hash(&files),
        }
    }

    /// Returns the digest of files and stanza, which tells packages apart.
    fn digest(&self) -> [u8; 32] {
        let files = self.files.iter();
        let files = files.map(|file| (file.name.as_str(), &file.sha256.0));
        digest_of(self.kind, &self.stanza.0, files)
    }
}

fn digest_of<'f>(
    kind: Kind,
    stanza: &[u8],
    files: impl Iterator<Item = (&'f str, &'f [u8; 32])>,
) -> [u8; 32] {
    let mut hasher = Sha256::new();
    hasher.update(kind.as_str());
    hasher.update(Sha256::digest(stanza));
    for (name, sha256) in files {
        hasher.update(Sha256::digest(name));
        hasher.update(sha256);
    }
    hasher.finalize().into()
}

/// Returns the digest that a package has by its stanza and its files; `None` without a stanza.
pub(super) fn digest(db: &Connection, head: &Head) -> Result<Option<[u8; 32]>, StoreError> {
    let Some(stanza) = stanza(db, head.id)? else {
        return Ok(None);
    };
    let files = files(db, head.id)?;
    let files = files.iter().map(|file| (file.name.as_str(), &file.sha256));
    Ok(Some(digest_of(head.kind, &stanza, files)))
}

/// Puts a package into the tables, unless it is there; its files must have arrived, or belong to a package already.
pub(super) fn insert(db: &Connection, new: &NewPackage, now: i64) -> Result<Head, StoreError> {
    let (key, digest) = (new.key(), new.digest());
    let sql = format!("SELECT {} FROM package WHERE digest = ?1", head::COLUMNS);
    let known = db
        .prepare_cached(&sql)?
        .query_row([digest], head::read)
        .optional()?;
    if let Some(head) = known {
        return Ok(head);
    }
    for file in &new.files {
        insert_file(db, &key, file, now)?;
    }
    let directory = directory(db, new, &digest)?;
    db.prepare_cached(
        "INSERT INTO package (digest, kind, name, version, architecture, source, source_version, provides, files_hash, directory)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)",
    )?
    .execute(params![
        digest,
        new.kind.as_str(),
        key.name,
        key.version,
        key.architecture,
        new.source.as_str(),
        new.source_version,
        new.provides,
        key.files_hash.cast_signed(),
        directory,
    ])?;
    let id = db.last_insert_rowid();
    db.prepare_cached("INSERT INTO stanza (package, text) VALUES (?1, ?2)")?
        .execute(params![id, new.stanza.0])?;
    for file in &new.files {
        db.prepare_cached("INSERT INTO package_file (package, name, sha256) VALUES (?1, ?2, ?3)")?
            .execute(params![id, file.name, file.sha256.0])?;
        db.prepare_cached(
            "INSERT INTO path (path, sha256) VALUES (?1, ?2) ON CONFLICT DO NOTHING",
        )?
        .execute(params![format!("{directory}/{}", file.name), file.sha256.0])?;
    }
    if let (Some(contents), [file]) = (&new.contents, &new.files[..]) {
        db.prepare_cached(
            "INSERT INTO contents (sha256, paths) VALUES (?1, ?2) ON CONFLICT DO NOTHING",
        )?
        .execute(params![file.sha256.0, contents.0])?;
    }
    Ok(Head {
        id,
        digest,
        kind: new.kind,
        key,
        source: new.source.to_string(),
        source_version: new.source_version.clone(),
        provides: new.provides.clone(),
    })
}

/// Puts a file into the tables. It must be on record as arriving, or belong to a package: else garbage collection may have taken it away.
fn insert_file(
    db: &Connection,
    of: &PackageKey,
    file: &NewFile,
    now: i64,
) -> Result<(), StoreError> {
    let sql = "SELECT EXISTS (SELECT 1 FROM arriving WHERE sha256 = ?1 AND expires > ?2)
                   OR EXISTS (SELECT 1 FROM package_file WHERE sha256 = ?1)";
    let is_there: bool = db
        .prepare_cached(sql)?
        .query_row(params![file.sha256.0, now], |row| row.get(0))?;
    if !is_there {
        return Err(StoreError::Missing {
            package: of.to_string(),
            sha256: hex::encode(file.sha256.0),
        });
    }
    let sql = "INSERT INTO file (sha256, size, md5, sha1, sha512) VALUES (?1, ?2, ?3, ?4, ?5)
               ON CONFLICT DO NOTHING";
    db.prepare_cached(sql)?.execute(params![
        file.sha256.0,
        file.size,
        file.md5.0,
        file.sha1.0,
        file.sha512.0
    ])?;
    Ok(())
}

/// Returns the directory that a package is published in below `pool/COMPONENT/`: `h/hello`, as everywhere, or a directory of its own if a path
/// there leads to other content. So no file takes the place of another, whatever is published beside it.
fn directory(db: &Connection, new: &NewPackage, digest: &[u8; 32]) -> Result<String, StoreError> {
    let source = new.source.as_str();
    let first = match source
        .strip_prefix("lib")
        .and_then(|rest| rest.chars().next())
    {
        Some(fourth) => format!("lib{fourth}"),
        None => source.chars().take(1).collect(),
    };
    let usual = format!("{first}/{source}");
    let mut statement = db.prepare_cached("SELECT sha256 FROM path WHERE path = ?1")?;
    for file in &new.files {
        let taken: Option<[u8; 32]> = statement
            .query_row([format!("{usual}/{}", file.name)], |row| row.get(0))
            .optional()?;
        if taken.is_some_and(|sha256| sha256 != file.sha256.0) {
            return Ok(format!("{usual}/{}", hex::encode(&digest[..16])));
        }
    }
    Ok(usual)
}
