//! Binary packages: the control file and the list of files.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;

use ::tar::EntryType;

use crate::decode::{self, Compression, Limited};
use crate::error::Result;

use super::ar::{Member, Members};
use super::control::Control;
use super::error::Fault;
use super::tar::{Entry, each_entry};
use super::{Identity, Kind};

/// The most that control.tar may unpack to: the lists of checksums of a large package have some megabytes.
const MAX_CONTROL_TAR_BYTES: u64 = 64 << 20;

/// The most entries of control.tar.
const MAX_CONTROL_ENTRIES: usize = 10_000;

/// The longest control file that is read; [`Control`] has the bound on a good one.
const MAX_CONTROL_BYTES: u64 = 1 << 20;

/// The most that data.tar may unpack to: so much, and so much for each byte of it, up to the last figure. So the time that a package takes
/// is bounded by the length of its file, even if a kilobyte unpacks to gigabytes.
const DATA_TAR_BYTES: u64 = 256 << 20;
const DATA_TAR_BYTES_PER_BYTE: u64 = 1000;
const MAX_DATA_TAR_BYTES: u64 = 16 << 30;

/// The most entries of data.tar: the largest packages of Debian have some hundred thousand.
const MAX_ENTRIES: usize = 500_000;

/// The most bytes that all paths of data.tar may have together.
const MAX_PATHS_BYTES: usize = 64 << 20;

/// A binary package as its file describes it.
#[derive(Debug)]
pub struct Binary {
    /// Its identity.
    pub identity: Identity,
    /// The control file without the fields that an index adds, with a newline at the end.
    pub stanza: Vec<u8>,
    /// The paths that it installs, without directories and without a leading `./`, sorted.
    pub contents: BTreeSet<Vec<u8>>,
}

/// Reads a `.deb`, `.ddeb` or `.udeb` from its first byte; `path` is its name in messages.
pub fn read_binary(file: impl Read + Send, path: &Path, kind: Kind) -> Result<Binary> {
    let binary = read(BufReader::with_capacity(64 << 10, file), kind);
    binary.map_err(|fault| fault.of(path).into())
}

/// Reads a package from a stream.
pub(super) fn read(input: impl BufRead + Send, kind: Kind) -> Result<Binary, Fault> {
    let mut members = Members::begin(input)?;
    check_version(&mut members)?;
    let (member, compression) = next_of(&mut members, "control.tar")?;
    let control = read_control(&mut members, compression);
    let control = control.map_err(|fault| fault.within(&member.name))?;
    let parsed = Control::parse(&control).map_err(|fault| fault.within("control"))?;
    let identity = parsed
        .binary(kind)
        .map_err(|fault| fault.within("control"))?;
    let (member, compression) = next_of(&mut members, "data.tar")?;
    let limit = DATA_TAR_BYTES.saturating_add(member.size.saturating_mul(DATA_TAR_BYTES_PER_BYTE));
    let contents = read_contents(&mut members, compression, limit.min(MAX_DATA_TAR_BYTES));
    let contents = contents.map_err(|fault| fault.within(&member.name))?;
    Ok(Binary {
        identity,
        stanza: parsed.stanza(None),
        contents,
    })
}

/// Reads the first member, which has the version of the format (deb(5)).
fn check_version<R: Read>(members: &mut Members<R>) -> Result<(), Fault> {
    let first = members.next()?.filter(|m| m.name == "debian-binary");
    if first.is_none() {
        return Err(Fault::new("its first member is not `debian-binary`"));
    }
    let mut version = Vec::new();
    members.take(16).read_to_end(&mut version)?;
    match version.starts_with(b"2.") {
        true => Ok(()),
        false => Err(Fault::new("the version of its format is not 2")),
    }
}

/// Goes on to one of the two archives of a package; members before it are skipped if their names begin with `_` (deb(5)).
fn next_of<R: Read>(
    members: &mut Members<R>,
    wanted: &str,
) -> Result<(Member, Compression), Fault> {
    while let Some(member) = members.next()? {
        if let Some(end) = member.name.strip_prefix(wanted)
            && let Some(compression) = compression(end)
        {
            return Ok((member, compression));
        }
        if !member.name.starts_with('_') {
            return Err(Fault::new(format!(
                "`{}` stands where `{wanted}` belongs, plain or as gz, xz, zst, bz2 or lzma",
                crate::quoted::quoted(&member.name)
            )));
        }
    }
    Err(Fault::new(format!("it has no `{wanted}`")))
}

/// Returns the compression that the end of a member's name tells.
fn compression(end: &str) -> Option<Compression> {
    let known = |c: &Compression| match *c {
        Compression::None => end.is_empty(),
        c => end.strip_prefix('.') == Some(c.extension()),
    };
    Compression::ALL.into_iter().find(known)
}

/// Opens a member as a tar archive, within a bound on what it unpacks to.
fn unpacked<'m, R: BufRead + Send>(
    members: &'m mut Members<R>,
    compression: Compression,
    limit: u64,
) -> Result<impl Read + 'm, Fault> {
    let packed = BufReader::with_capacity(64 << 10, members);
    Ok(Limited::new(decode::decoder(compression, packed)?, limit))
}

/// Reads the control file out of control.tar.
fn read_control<R: BufRead + Send>(
    members: &mut Members<R>,
    compression: Compression,
) -> Result<Vec<u8>, Fault> {
    let mut control = None;
    let mut take = |entry: Entry<'_>| {
        if plain_path(entry.path) != b"control" || !entry.kind.is_file() {
            return Ok(());
        }
        let mut text = Vec::new();
        let mut data = entry.data.take(MAX_CONTROL_BYTES + 1);
        data.read_to_end(&mut text)?;
        if text.len() as u64 > MAX_CONTROL_BYTES {
            return Err(Fault::new(format!(
                "its control file has more than {MAX_CONTROL_BYTES} bytes"
            )));
        }
        match control.replace(text) {
            None => Ok(()),
            Some(_) => Err(Fault::new("it has two control files")),
        }
    };
    let mut tar = unpacked(members, compression, MAX_CONTROL_TAR_BYTES)?;
    each_entry(&mut tar, MAX_CONTROL_ENTRIES, &mut take)?;
    // Bytes after the end of the archive belong to the stream, whose check comes last.
    std::io::copy(&mut tar, &mut std::io::sink())?;
    control.ok_or_else(|| Fault::new("it has no control file"))
}

/// Reads the paths of data.tar.
fn read_contents<R: BufRead + Send>(
    members: &mut Members<R>,
    compression: Compression,
    limit: u64,
) -> Result<BTreeSet<Vec<u8>>, Fault> {
    let mut paths = BTreeSet::new();
    let mut bytes = 0;
    let mut take = |entry: Entry<'_>| {
        let path = plain_path(entry.path);
        check_path(path)?;
        if entry.kind != EntryType::Directory && !path.is_empty() && !path.ends_with(b"/") {
            bytes += path.len();
            if bytes > MAX_PATHS_BYTES {
                return Err(Fault::new(format!(
                    "its paths have more than {MAX_PATHS_BYTES} bytes"
                )));
            }
            paths.insert(path.to_owned());
        }
        Ok(())
    };
    let mut tar = unpacked(members, compression, limit)?;
    each_entry(&mut tar, MAX_ENTRIES, &mut take)?;
    std::io::copy(&mut tar, &mut std::io::sink())?;
    Ok(paths)
}

/// Returns a path without the `./` or `/` that it begins with.
fn plain_path(mut path: &[u8]) -> &[u8] {
    while let Some(rest) = path.strip_prefix(b"./").or_else(|| path.strip_prefix(b"/")) {
        path = rest;
    }
    match path {
        b"." => b"",
        path => path,
    }
}

/// Refuses a path that climbs, or that no line of Contents can have.
fn check_path(path: &[u8]) -> Result<(), Fault> {
    if path.split(|b| *b == b'/').any(|part| part == b"..") {
        return Err(Fault::new(format!(
            "the path `{}` climbs",
            crate::quoted::quoted(&String::from_utf8_lossy(path))
        )));
    }
    match path.iter().any(|b| matches!(b, b'\n' | 0)) {
        true => Err(Fault::new("a path has a line break or a NUL byte in it")),
        false => Ok(()),
    }
}
