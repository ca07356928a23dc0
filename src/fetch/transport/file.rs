//! Files of this machine as if they were upstream: only regular ones, and an unchanged file is known by its metadata.

use std::fs::{File, FileType, Metadata};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{FileTypeExt, MetadataExt, OpenOptionsExt};
use std::path::PathBuf;
use std::time::Duration;

use nix::fcntl::OFlag;

use super::body::{Pace, Source};
use super::{Body, Conditions, Error, Reply};
use crate::uri::Uri;

/// Opens the file that a `file:` URI names. Symbolic links are followed: local mirrors are made of them.
pub(super) fn get(uri: &Uri, conditions: &Conditions) -> Result<Reply, Error> {
    let path = uri.file_path().unwrap_or_default();
    // Looking first spares devices the side effects of being opened, and spares opening an unchanged file.
    let metadata = match std::fs::metadata(&path) {
        Ok(metadata) => metadata,
        Err(error) => return missing(uri, path, error),
    };
    check_regular(uri, &path, metadata.file_type())?;
    if conditions.etag.as_deref() == Some(&validator(&metadata)) {
        return Ok(Reply::NotModified);
    }
    // Another file may stand there by now: O_NONBLOCK, since opening a FIFO waits for a writer.
    let opened = File::options()
        .read(true)
        .custom_flags((OFlag::O_NONBLOCK | OFlag::O_NOCTTY).bits())
        .open(&path)
        .and_then(|file| Ok((file.metadata()?, file)));
    let (metadata, file) = match opened {
        Ok(opened) => opened,
        Err(error) => return missing(uri, path, error),
    };
    check_regular(uri, &path, metadata.file_type())?;
    let mut body = Body::new(
        uri.clone(),
        Source::File(file, path),
        Some(metadata.len()),
        Pace::new(0, Duration::MAX),
    );
    body.etag = Some(validator(&metadata));
    Ok(Reply::Body(Box::new(body)))
}

fn missing(uri: &Uri, path: PathBuf, source: io::Error) -> Result<Reply, Error> {
    match source.kind() {
        ErrorKind::NotFound | ErrorKind::NotADirectory => Ok(Reply::NotFound),
        _ => Err(Error::File {
            uri: uri.clone(),
            path,
            source,
        }),
    }
}

fn check_regular(uri: &Uri, path: &std::path::Path, found: FileType) -> Result<(), Error> {
    if found.is_file() {
        return Ok(());
    }
    let kind = if found.is_dir() {
        "a directory"
    } else if found.is_fifo() {
        "a FIFO"
    } else if found.is_socket() {
        "a socket"
    } else {
        "a device"
    };
    Err(Error::NotRegular {
        uri: uri.clone(),
        path: path.to_owned(),
        kind,
    })
}

/// Returns a value to serve as an `ETag`: another file or another version has another inode, size or time. The time of the last change of the
/// inode is among them: archives may set the time of modification to that of the Release.
fn validator(metadata: &Metadata) -> String {
    format!(
        "\"file-{:x}-{:x}-{}.{:09}-{}.{:09}\"",
        metadata.ino(),
        metadata.len(),
        metadata.mtime(),
        metadata.mtime_nsec(),
        metadata.ctime(),
        metadata.ctime_nsec(),
    )
}
