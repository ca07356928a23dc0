//! From one request to one answer: which file, page or redirect it gets. Blocking, and without a network.
//!
//! The link is opened once for a request, and all that the answer holds comes from below what was opened; so an answer
//! is of one generation, and a file that is replaced while it is sent is sent to its end as it was.

//!
//! axum's router cannot tell the pool from the tree: it compares paths as they were sent, and clients write `%70ool`, `//` and `/./`.

use std::{
    ffi::OsStr,
    fs::{File, Metadata},
    io::{self, Seek, SeekFrom},
    os::unix::ffi::OsStrExt,
    path::Path,
    sync::Arc,
};

use axum::{
    body::Body,
    extract::State,
    http::{
        HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri,
        header::{
            ACCEPT_RANGES, ALLOW, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, ETAG, HOST,
            LAST_MODIFIED, LOCATION, X_CONTENT_TYPE_OPTIONS,
        },
    },
    response::{Html, IntoResponse, Response},
};
use nix::errno::Errno;
use tokio::io::AsyncReadExt;
use tokio_util::io::ReaderStream;

use super::{
    Pool, PoolTarget, Site,
    beneath::{Found, Root},
    conditional::{Validators, Verdict, judge},
    pages,
    path::{Segment, pool_path, segments},
};
use crate::merge::rewrite::is_package_file;

/// The entry of a tree that is answered from the table of pools and never from the tree itself.
const POOL: &str = "pool";

/// The bytes of a file that are read at a time, and lie in memory for a connection.
const PIECE_BYTES: usize = 64 * 1024;

/// The part of a failure that the operator is told and the client is not; an extension of the answer.
#[derive(Debug, Clone)]
pub(super) struct Problem(pub(super) String);

/// The thing that a path of the site leads to.
#[derive(Debug, PartialEq, Eq)]
enum Route<'a> {
    Front,
    Tree(&'a [Segment<'a>]),
    Pool { name: &'a [u8], rest: String },
}

/// Answers a request for anything that the site has.
pub(super) async fn files(
    State(site): State<Arc<Site>>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
) -> Response {
    let answering = move || answer(&site, &method, &uri, &headers);
    let answered = tokio::task::spawn_blocking(answering).await;
    let mut response = answered
        .unwrap_or_else(|error| problem(StatusCode::INTERNAL_SERVER_ERROR, error.to_string()));
    set(&mut response, X_CONTENT_TYPE_OPTIONS, "nosniff");
    response
}

fn answer(site: &Site, method: &Method, uri: &Uri, headers: &HeaderMap) -> Response {
    if *method != Method::GET && *method != Method::HEAD {
        let mut response = plain(StatusCode::METHOD_NOT_ALLOWED);
        set(&mut response, ALLOW, "GET, HEAD");
        return response;
    }
    let Some(parts) = segments(uri.path()).filter(|_| uri.path().starts_with('/')) else {
        return plain(StatusCode::BAD_REQUEST);
    };
    let found = match route(&site.prefix, &parts) {
        Route::Front => front(site, headers),
        Route::Tree(names) => tree(site, names, method, headers),
        Route::Pool { name, rest } => {
            let pool = site.pools.iter().find(|pool| pool.name.as_bytes() == name);
            match (pool, pool_path(&rest)) {
                (Some(pool), Some(path)) => pooled(site, pool, &path, method, headers),
                _ => Ok(plain(StatusCode::NOT_FOUND)),
            }
        }
    };
    found.unwrap_or_else(|error| failed(&error))
}

/// Finds out what a path asks for, with the prefix or without: a pool, the tree, or the page that explains both.
fn route<'a>(prefix: &str, parts: &'a [Segment<'a>]) -> Route<'a> {
    let parts = after_prefix(prefix, parts).unwrap_or(parts);
    let (first, below) = match next(parts) {
        None => return Route::Front,
        Some(found) => found,
    };
    if first != POOL.as_bytes() {
        return Route::Tree(parts);
    }
    let (name, rest) = next(below).unwrap_or_default();
    let rest: Vec<&str> = rest.iter().map(|part| part.raw).collect();
    let rest = rest.join("/");
    Route::Pool { name, rest }
}

fn after_prefix<'a>(prefix: &str, mut parts: &'a [Segment<'a>]) -> Option<&'a [Segment<'a>]> {
    for wanted in prefix.split('/').filter(|part| !part.is_empty()) {
        let (name, below) = next(parts)?;
        if name != wanted.as_bytes() {
            return None;
        }
        parts = below;
    }
    Some(parts)
}

/// Returns the first name among the segments, and the segments after it.
fn next<'a>(parts: &'a [Segment<'a>]) -> Option<(&'a [u8], &'a [Segment<'a>])> {
    let mut below = parts.iter();
    let part = below.find(|part| !part.is_blank())?;
    Some((part.name.as_ref(), below.as_slice()))
}

fn front(site: &Site, headers: &HeaderMap) -> io::Result<Response> {
    let root = open_tree(site)?;
    let host = headers.get(HOST).and_then(|host| host.to_str().ok());
    let suites = pages::suites(&root)?;
    Ok(Html(pages::front(site, host, &suites)).into_response())
}

fn tree(
    site: &Site,
    parts: &[Segment<'_>],
    method: &Method,
    headers: &HeaderMap,
) -> io::Result<Response> {
    let root = open_tree(site)?;
    let with_slash = parts.last().is_some_and(Segment::is_blank);
    let names = || parts.iter().map(|part| part.name.as_ref());
    match root.find(names())? {
        Found::File(opened, metadata) => {
            let name = names().next_back().unwrap_or_default();
            file(opened, &metadata, name, method, headers)
        }
        Found::Directory(directory) => {
            let names: Vec<&[u8]> = names()
                .filter(|name| !matches!(*name, b"" | b"."))
                .collect();
            Ok(Html(pages::listing(&names, with_slash, &directory)?).into_response())
        }
    }
}

/// Returns the tree behind the link as it is now.
fn open_tree(site: &Site) -> io::Result<Root> {
    Root::open(&site.link, Some(POOL)).map_err(|error| {
        let link = site.link.display();
        unavailable(format!("cannot open the tree behind {link}: {error}"))
    })
}

/// Answers with a redirect to a file of an archive, or with the file itself. `path` is as [`pool_path`] made it.
fn pooled(
    site: &Site,
    pool: &Pool,
    path: &str,
    method: &Method,
    headers: &HeaderMap,
) -> io::Result<Response> {
    match &pool.target {
        PoolTarget::Redirect(base) => {
            let to = format!("{}/{path}", base.trim_end_matches('/'));
            let text = format!("This file is at {to}\n");
            Ok((StatusCode::FOUND, [(LOCATION, to)], text).into_response())
        }
        PoolTarget::Directory(directory) => {
            let parts = segments(path).ok_or(Errno::ENOENT)?;
            let root = Root::open(directory, None).map_err(|error| {
                let directory = directory.display();
                unavailable(format!("cannot open the archive at {directory}: {error}"))
            })?;
            let mut names = parts.iter().map(|part| part.name.as_ref());
            // Beside its pool an archive may keep private files: the configuration of its own tools, a key.
            let in_pool = names.clone().next() == Some(POOL.as_bytes());
            if !in_pool {
                let is_package = names.clone().next_back().is_some_and(is_package_file);
                if !is_package || !is_linked(&site.link, pool, names.clone()) {
                    return Ok(plain(StatusCode::NOT_FOUND));
                }
            }
            match root.find(names.clone())? {
                Found::File(opened, metadata) => {
                    let name = names.next_back().unwrap_or_default();
                    file(opened, &metadata, name, method, headers)
                }
                // The other files in the directory are not ours to list.
                Found::Directory(_) => Ok(plain(StatusCode::NOT_FOUND)),
            }
        }
    }
}

/// Returns whether the tree has a link to a file that lies outside of its archive's `pool/`: then a published stanza names the file. In a
/// tree that was made without links to the archive, every file counts as linked.
fn is_linked<'a>(link: &Path, pool: &Pool, names: impl Iterator<Item = &'a [u8]>) -> bool {
    let place = link.join(POOL).join(&pool.name);
    let names = names.filter(|name| !matches!(*name, b"" | b"."));
    let path = names.fold(place.join("_"), |path, name| {
        path.join(OsStr::from_bytes(name))
    });
    path.is_symlink() || !place.is_dir()
}

/// Answers with a file, a part of the file, or the word that the client has the file already.
fn file(
    mut opened: File,
    metadata: &Metadata,
    name: &[u8],
    method: &Method,
    headers: &HeaderMap,
) -> io::Result<Response> {
    let size = metadata.len();
    let validators = Validators::new(size, metadata.modified().ok());
    let mut response = match judge(method, headers, &validators, size) {
        Verdict::PreconditionFailed => return Ok(plain(StatusCode::PRECONDITION_FAILED)),
        Verdict::Unsatisfiable => {
            let mut response = plain(StatusCode::RANGE_NOT_SATISFIABLE);
            set(&mut response, CONTENT_RANGE, &format!("bytes */{size}"));
            return Ok(response);
        }
        Verdict::NotModified => StatusCode::NOT_MODIFIED.into_response(),
        Verdict::Whole => content(opened, size),
        Verdict::Part(range) => {
            let (start, end) = range.into_inner();
            opened.seek(SeekFrom::Start(start))?;
            let mut response = content(opened, end - start + 1);
            *response.status_mut() = StatusCode::PARTIAL_CONTENT;
            let range = format!("bytes {start}-{end}/{size}");
            set(&mut response, CONTENT_RANGE, &range);
            response
        }
    };
    set(&mut response, ETAG, &validators.etag);
    if let Some(modified) = validators.modified {
        set(&mut response, LAST_MODIFIED, &modified.to_string());
    }
    if response.status() != StatusCode::NOT_MODIFIED {
        set(&mut response, ACCEPT_RANGES, "bytes");
        set(&mut response, CONTENT_TYPE, pages::content_type(name));
    }
    Ok(response)
}

/// Returns an answer of so many bytes of a file, from its present position.
fn content(file: File, bytes: u64) -> Response {
    let file = tokio::fs::File::from_std(file).take(bytes);
    let body = Body::from_stream(ReaderStream::with_capacity(file, PIECE_BYTES));
    ([(CONTENT_LENGTH, bytes)], body).into_response()
}

/// Returns the answer to the client when a file or directory could not be opened, and what the operator is told beside it.
fn failed(error: &io::Error) -> Response {
    let is_ours = error
        .get_ref()
        .is_some_and(|inner| inner.is::<Unavailable>());
    let status = match error.raw_os_error().map(Errno::from_raw) {
        Some(Errno::ENOENT | Errno::ENOTDIR | Errno::ELOOP | Errno::ENAMETOOLONG) => {
            return plain(StatusCode::NOT_FOUND);
        }
        Some(Errno::EACCES | Errno::EPERM) => StatusCode::FORBIDDEN,
        Some(Errno::EMFILE | Errno::ENFILE | Errno::ENOMEM | Errno::EAGAIN) => {
            StatusCode::SERVICE_UNAVAILABLE
        }
        _ if is_ours => StatusCode::SERVICE_UNAVAILABLE,
        _ => StatusCode::INTERNAL_SERVER_ERROR,
    };
    problem(status, error.to_string())
}

fn problem(status: StatusCode, text: String) -> Response {
    let mut response = plain(status);
    response.extensions_mut().insert(Problem(text));
    response
}

/// A root that cannot be opened. It is not the client that asked for something wrong, so it is no 404.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct Unavailable(String);

fn unavailable(text: String) -> io::Error {
    io::Error::other(Unavailable(text))
}

/// Returns an answer made by the server itself, of one line.
pub(super) fn plain(status: StatusCode) -> Response {
    (status, format!("{status}\n")).into_response()
}

/// Sets a header. A value that cannot be one is left out; nothing that is passed here holds such a byte, and if it did,
/// a missing header is better than a split one.
fn set(response: &mut Response, name: HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        response.headers_mut().insert(name, value);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn routed(path: &str) -> String {
        let parts = segments(path).unwrap();
        match route("merged", &parts) {
            Route::Front => "front".to_owned(),
            Route::Tree(parts) => {
                let names = parts.iter().map(|part| part.name.as_ref());
                String::from_utf8(names.collect::<Vec<_>>().join(&b'/')).unwrap()
            }
            Route::Pool { name, rest } => format!("{} {rest}", String::from_utf8_lossy(name)),
        }
    }

    #[test]
    fn routes() {
        for (path, expected) in [
            ("/", "front"),
            ("//", "front"),
            ("/merged", "front"),
            ("/merged/", "front"),
            ("/%6derged/./", "front"),
            ("/dists/x", "/dists/x"),
            ("/merged/dists/x/", "dists/x/"),
            ("/merged/merged/x", "merged/x"),
            ("/mergedx/x", "/mergedx/x"),
            ("/pool", " "),
            ("/pool/", " "),
            ("/pool/DEBIAN", "DEBIAN "),
            ("/pool/DEBIAN/main/a%2bb.deb", "DEBIAN main/a%2bb.deb"),
            ("/merged/%70ool//DEBIAN//_/x", "DEBIAN /_/x"),
            ("/dists/pool/x", "/dists/pool/x"),
        ] {
            assert_eq!(routed(path), expected, "{path}");
        }
    }

    #[test]
    fn failures_keep_their_kind() {
        let of = |errno: Errno| failed(&errno.into());
        assert_eq!(of(Errno::ENOENT).status(), StatusCode::NOT_FOUND);
        assert_eq!(of(Errno::ELOOP).status(), StatusCode::NOT_FOUND);
        assert_eq!(of(Errno::EACCES).status(), StatusCode::FORBIDDEN);
        assert_eq!(of(Errno::EMFILE).status(), StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(of(Errno::EIO).status(), StatusCode::INTERNAL_SERVER_ERROR);
        let is_told = |errno| of(errno).extensions().get::<Problem>().is_some();
        assert!(!is_told(Errno::ENOENT));
        assert!(is_told(Errno::EIO));
    }
}
