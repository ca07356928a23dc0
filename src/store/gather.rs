//! Packages from outside: files and directories that are named, read and copied into `packages/`.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use jiff::Timestamp;
use rayon::prelude::*;
use rusqlite::OptionalExtension;
use walkdir::WalkDir;

use crate::deb::{self, Identity, Kind, PackageFile};
use crate::deb822::{Stanzas, eq_name};
use crate::error::{Error, Result};

use super::Store;
use super::arrive::{Copied, Forcing, copy};
use super::error::StoreError;
use super::operation::{Bytes, Hex, NewFile, NewPackage};

/// The number of packages that are taken in and added at once.
pub const BATCH: usize = 1000;

/// The level at which zstd packs the paths that a package installs.
const CONTENTS_LEVEL: i32 = 3;

/// The packages that were found below some paths.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Found {
    /// The `.deb`, `.ddeb`, `.udeb` and `.dsc` files, in order.
    pub packages: Vec<PathBuf>,
    /// The number of other files in the directories, and of symlinks there: these lead to files that may be anywhere.
    pub passed_over: u64,
}

/// Packages whose files have arrived.
#[derive(Debug, Default)]
pub struct Arrived {
    /// The packages, for [`super::Operation::AddPackages`].
    pub packages: Vec<NewPackage>,
    /// The files that are no package that can be published, with the reason.
    pub refused: Vec<(PathBuf, Error)>,
    /// The owner under whose name the files are on record as arriving.
    pub arrived_as: String,
}

/// Finds the packages that paths name: files, and all that is below directories. A file that is named must be a package.
pub fn find(paths: &[PathBuf]) -> Result<Found> {
    let mut found = Found::default();
    for path in paths {
        let metadata = path.metadata().map_err(Error::io("look at", path))?;
        if !metadata.is_dir() {
            match kind_of(path) {
                Some(_) => found.packages.push(path.clone()),
                None => return Err(StoreError::NoPackage { path: path.clone() }.into()),
            }
            continue;
        }
        for entry in WalkDir::new(path).sort_by_file_name() {
            let entry = entry.map_err(|error| Error::io("list", path)(error.into()))?;
            match kind_of(entry.path()) {
                _ if entry.file_type().is_dir() => {}
                Some(_) if entry.file_type().is_file() => found.packages.push(entry.into_path()),
                _ => found.passed_over += 1,
            }
        }
    }
    Ok(found)
}

fn kind_of(path: &Path) -> Option<Kind> {
    Kind::of_file(path.file_name()?.to_str()?)
}

/// A package that was read: its own files, and those that must be in the store already.
struct Read {
    path: PathBuf,
    package: NewPackage,
    copied: Vec<Copied>,
    elsewhere: Vec<deb::Listed>,
}

/// Packages that were read, and the files that they need.
#[derive(Default)]
struct ReadAll {
    arrived: Arrived,
    /// The paths of the packages, in their order.
    paths: Vec<PathBuf>,
    copied: Vec<Copied>,
    /// The files that are in the store already.
    elsewhere: BTreeSet<[u8; 32]>,
}

impl Store {
    /// Reads packages and copies their files into `packages/`, durably. Nothing refers to the files before the operation that adds them.
    pub fn take_in(&mut self, files: &[PathBuf], now: Timestamp) -> Result<Arrived> {
        static CALLS: AtomicU64 = AtomicU64::new(0);
        let call = CALLS.fetch_add(1, Ordering::Relaxed);
        let forcing = Forcing::begin(self.packages())?;
        let mut read = self.read_all(files)?;
        read.arrived.arrived_as = format!("{} {} {call}", std::process::id(), now.as_nanosecond());
        let owner = &read.arrived.arrived_as;
        let missing = self.keep(read.copied, &read.elsewhere, &forcing, owner, now)?;
        let packages = std::mem::take(&mut read.arrived.packages);
        for (package, path) in packages.into_iter().zip(read.paths) {
            let mut files = package.files.iter();
            match files.find(|file| missing.contains(&file.sha256.0)) {
                None => read.arrived.packages.push(package),
                Some(file) => {
                    let error = incomplete(&path, &file.name).into();
                    read.arrived.refused.push((path, error));
                }
            }
        }
        Ok(read.arrived)
    }

    /// Reads packages, and leaves nothing of them: for [`Store::foresee`].
    pub fn look_at(&self, files: &[PathBuf]) -> Result<Arrived> {
        Ok(self.read_all(files)?.arrived)
    }

    fn read_all(&self, files: &[PathBuf]) -> Result<ReadAll> {
        let packages = self.packages();
        let read: Vec<_> = files.par_iter().map(|path| read(path, packages)).collect();
        let mut all = ReadAll::default();
        for (path, read) in files.iter().zip(read) {
            let found = read.and_then(|mut read| {
                let found = self.find_elsewhere(&read)?;
                all.elsewhere.extend(found.iter().map(|file| file.sha256.0));
                read.package.files.extend(found);
                read.package.files.sort_by(|a, b| a.name.cmp(&b.name));
                check_names(&read)?;
                Ok(read)
            });
            match found {
                Ok(read) => {
                    all.paths.push(read.path);
                    all.arrived.packages.push(read.package);
                    all.copied.extend(read.copied);
                }
                Err(error) if error.is_of_the_machine() => return Err(error),
                Err(error) => all.arrived.refused.push((path.clone(), error)),
            }
        }
        Ok(all)
    }

    /// Looks in the store for the files of a source that do not lie beside its .dsc.
    fn find_elsewhere(&self, read: &Read) -> Result<Vec<NewFile>> {
        let mut found = Vec::new();
        for listed in &read.elsewhere {
            let file = match listed.sha256 {
                Some(sha256) => self.stored_file(&listed.name, &sha256)?,
                None => None,
            };
            let file = file.filter(|file| listed.is(&PackageFile::from(file)));
            found.push(file.ok_or_else(|| incomplete(&read.path, &listed.name))?);
        }
        Ok(found)
    }

    fn stored_file(&self, name: &str, sha256: &[u8; 32]) -> Result<Option<NewFile>, StoreError> {
        let sql = "SELECT size, md5, sha1, sha512 FROM file WHERE sha256 = ?1";
        let mut statement = self.db().prepare_cached(sql)?;
        let file = statement.query_row([sha256], |row| {
            Ok(NewFile {
                name: name.to_owned(),
                size: row.get(0)?,
                md5: Hex(row.get(1)?),
                sha1: Hex(row.get(2)?),
                sha256: Hex(*sha256),
                sha512: Hex(row.get(3)?),
            })
        });
        Ok(file.optional()?)
    }
}

fn incomplete(path: &Path, name: &str) -> StoreError {
    StoreError::Incomplete {
        path: path.to_owned(),
        name: name.to_owned(),
        why: "lies neither beside it nor in the store",
    }
}

/// Refuses a .dsc that lists a file of its own name.
fn check_names(read: &Read) -> Result<(), StoreError> {
    let pairs = read.package.files.windows(2);
    let twice = pairs.filter_map(|pair| match pair {
        [a, b] if a.name == b.name => Some(a),
        _ => None,
    });
    match twice.into_iter().next() {
        None => Ok(()),
        Some(file) => Err(StoreError::Incomplete {
            path: read.path.clone(),
            name: file.name.clone(),
            why: "is its own name",
        }),
    }
}

/// Reads and copies a package.
fn read(path: &Path, packages: &Path) -> Result<Read> {
    let kind = kind_of(path).ok_or_else(|| StoreError::NoPackage {
        path: path.to_owned(),
    })?;
    let main = copy(path, packages)?;
    if !deb::is_file_name(&main.file.name) {
        return Err(StoreError::NoPackage {
            path: path.to_owned(),
        }
        .into());
    }
    let reader = main.reader().map_err(Error::io("read", path))?;
    if kind == Kind::Source {
        let source = deb::read_source(reader, path, deb::Trust::Operator)?;
        let (copied, elsewhere) = beside(path, source.files, packages)?;
        let package = package(source.identity, source.stanza, None);
        return Ok(with_files(path, package, main, copied, elsewhere));
    }
    let binary = deb::read_binary(reader, path, kind)?;
    let mut contents = Vec::new();
    for path in &binary.contents {
        contents.extend_from_slice(path);
        contents.push(b'\n');
    }
    let contents = zstd::bulk::compress(&contents, CONTENTS_LEVEL);
    let contents = contents.map_err(Error::io("pack the list of files of", path))?;
    let package = package(binary.identity, binary.stanza, Some(contents));
    Ok(with_files(path, package, main, Vec::new(), Vec::new()))
}

fn with_files(
    path: &Path,
    mut package: NewPackage,
    main: Copied,
    mut copied: Vec<Copied>,
    elsewhere: Vec<deb::Listed>,
) -> Read {
    copied.push(main);
    package.files = copied.iter().map(|one| one.file.clone()).collect();
    package.files.sort_by(|a, b| a.name.cmp(&b.name));
    Read {
        path: path.to_owned(),
        package,
        copied,
        elsewhere,
    }
}

fn package(identity: Identity, stanza: Vec<u8>, contents: Option<Vec<u8>>) -> NewPackage {
    NewPackage {
        kind: identity.kind,
        name: identity.name,
        version: identity.version,
        architecture: identity.architecture,
        source: identity.source,
        source_version: identity.source_version,
        provides: provides(&stanza),
        stanza: Bytes(stanza),
        files: Vec::new(),
        contents: contents.map(Bytes),
    }
}

/// Returns the field `Provides` of a stanza.
fn provides(stanza: &[u8]) -> String {
    let mut fields = Stanzas::new(stanza)
        .take(1)
        .flat_map(|stanza| stanza.fields())
        .flatten();
    let provides = fields.find(|field| eq_name(field.name, "Provides"));
    provides.map_or_else(String::new, |field| {
        String::from_utf8_lossy(field.value).into_owned()
    })
}

/// Copies the files of a source that lie beside its .dsc, and returns them and those that do not.
fn beside(
    dsc: &Path,
    listed: Vec<deb::Listed>,
    packages: &Path,
) -> Result<(Vec<Copied>, Vec<deb::Listed>)> {
    let directory = dsc.parent().unwrap_or(Path::new("."));
    let (mut copied, mut elsewhere) = (Vec::new(), Vec::new());
    for listed in listed {
        let path = directory.join(&listed.name);
        if !path.is_file() {
            elsewhere.push(listed);
            continue;
        }
        let one = copy(&path, packages)?;
        if !listed.is(&PackageFile::from(&one.file)) {
            return Err(StoreError::Incomplete {
                path: dsc.to_owned(),
                name: listed.name,
                why: "has another length or digest beside it",
            }
            .into());
        }
        copied.push(one);
    }
    Ok((copied, elsewhere))
}
