//! Reads a Release of ours back from a tree: from InRelease, which clients read, or else from the plain file beside it.
//!
//! [`release`] tells what is or was served, without checking a signature: guards and comparisons use it. But a Release that
//! is signed anew uses [`proven`] alone. Whoever changes a Release in the tree along with the indices that it lists (a fault, or
//! somebody who writes to volatile, whose files are those of production) cannot sign it, so no such index is carried on and gets
//! a signature of ours.

use std::io::ErrorKind;
use std::path::Path;

use jiff::Timestamp;

use crate::deb822::Release;
use crate::durable;
use crate::error::{Error, Result, chain};
use crate::manifest::{FileDigests, ManifestFile};
use crate::openpgp::{self, Keyring, SigningKeys};
use crate::verdicts::{Subject, Verdicts};

/// The Release of a suite's directory, as read back.
#[derive(Debug, Default)]
pub(super) struct ReadBack {
    /// The Release, if one could be read.
    pub(super) release: Option<Release>,
    /// The reasons why files that are there cannot be used.
    pub(super) faults: Vec<String>,
}

/// Reads the Release of a suite's directory.
pub(super) fn release(dir: &Path) -> Result<ReadBack> {
    let mut found = ReadBack::default();
    for name in ["InRelease", "Release"] {
        let path = dir.join(name);
        let bytes = match durable::read_regular(&path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == ErrorKind::NotFound => continue,
            // The entry is not a regular file.
            Err(error) if error.kind() == ErrorKind::InvalidInput => {
                found.faults.push(format!("{}: {error}", path.display()));
                continue;
            }
            Err(error) => return Err(Error::io("read", &path)(error)),
        };
        let text = match name {
            "InRelease" => signed_text(&bytes),
            _ => Some(&bytes[..]),
        };
        let parsed = text
            .ok_or_else(|| "it is cut off, or no clear-signed text".to_owned())
            .and_then(|text| Release::parse(text).map_err(|why| why.to_string()));
        match parsed {
            Ok(release) => {
                found.release = Some(release);
                break;
            }
            Err(why) => found.faults.push(format!("{}: {why}", path.display())),
        }
    }
    Ok(found)
}

/// Returns the Release of a suite's directory that our own keys have signed; an error says why there is none.
pub(super) fn proven(dir: &Path, keyring: &Keyring, now: Timestamp) -> Result<Release, String> {
    let path = dir.join("InRelease");
    let fault = |why: String| format!("{}: {why}", path.display());
    let message = durable::read_regular(&path).map_err(|why| fault(why.to_string()))?;
    let verified = keyring.verify_own(&message, now.into());
    let verified = verified.map_err(|why| fault(chain(&why)))?;
    Release::parse(&verified.body).map_err(|why| fault(why.to_string()))
}

/// Checks that clients believe the InRelease of a suite's directory by today's certificates of the keys that sign; an error says why not.
/// `file` is what the manifest says of it: if the file looks the same, a verdict on that counts.
pub(super) fn check_signature(
    dir: &Path,
    file: Option<&ManifestFile>,
    keys: &SigningKeys,
    verdicts: &Verdicts,
    now: Timestamp,
) -> Result<(), openpgp::Error> {
    let subject = |sha256: &str| {
        let subject = Subject::new("served").and(&keys.digest());
        subject.and(sha256.as_bytes())
    };
    let path = dir.join("InRelease");
    let known = file.filter(|file| file.looks_the_same(&path));
    let known = known.map(|file| subject(&file.digests.sha256));
    if known.is_some_and(|subject| verdicts.get::<()>(&subject, now).is_some()) {
        return Ok(());
    }
    let message =
        durable::read_regular(&path).map_err(|source| openpgp::Error::ReadFile { path, source })?;
    let holds_until = keys.check_served(&message, now.into())?;
    let sha256 = FileDigests::of(&message).sha256;
    verdicts.keep(&subject(&sha256), now, holds_until, &());
    Ok(())
}

/// Returns the text of an InRelease as we write it.
fn signed_text(message: &[u8]) -> Option<&[u8]> {
    let message = message.strip_prefix(b"-----BEGIN PGP SIGNED MESSAGE-----\n")?;
    let message = message.strip_suffix(b"-----END PGP SIGNATURE-----\n")?;
    let start = memchr::memmem::find(message, b"\n\n")? + 2;
    let length = memchr::memmem::find(&message[start..], b"\n-----BEGIN PGP SIGNATURE-----\n")?;
    message.get(start..=start + length)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn the_text_of_an_in_release_is_what_stands_before_its_signature() {
        let whole = b"-----BEGIN PGP SIGNED MESSAGE-----\nHash: SHA512\n\nOrigin: a\nDate: b\n\
            -----BEGIN PGP SIGNATURE-----\n\nabc\n-----END PGP SIGNATURE-----\n";
        assert_eq!(signed_text(whole).unwrap(), b"Origin: a\nDate: b\n");
        for length in 0..whole.len() {
            assert_eq!(signed_text(&whole[..length]), None, "{length}");
        }
    }
}
