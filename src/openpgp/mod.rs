//! OpenPGP as an APT archive uses it: whose signature a Release carries, and how ours gets one.
//!
//! # What may be believed
//! A client of APT believes a Release file because somebody it trusts signed it, and then parses it. The classic mistake
//! lies between the two: one program decides what was signed, another what is parsed, and they disagree about where the
//! signed text begins or ends (CVE-2013-1051, CVE-2016-1252, CVE-2018-0501 and CVE-2019-3462 were variations on that).
//! So there is one reading of a message here. `clearsign.rs` takes it apart, refusing every form on which two readers
//! could differ; the text that comes out of it is the buffer that sequoia hashes; and the same buffer is what a caller
//! gets as [`Verified::body`]. Bytes that were not hashed leave this module through `unverified_text` alone, for a `.dsc` that
//! an operator adds.
//!
//! # What counts as signed
//! As apt's gpgv method has it: at least one good signature by a key of the keyring, with a hash of SHA-256 or better, the key
//! being able to sign and neither expired nor revoked today. Signatures by other keys, by known keys past their time, and of
//! kinds that cannot be checked here are passed over and named in [`Verified::warnings`]; archives sign with the next key for a
//! while before clients know it. But a signature that a *known* key did not make over this text refuses the whole.
//! `judge.rs` judges a signature, `fitness.rs` its key; both say where apt 2 (gpgv) and apt 3 (sqv) differ, and why we do
//! as we do.
//!
//! # What is signed
//! [`Signer`] makes both forms, InRelease and Release.gpg, each with all its signatures in one armor block, because
//! debootstrap stops reading at the first end of one. Before it hands them out it verifies them as a client would.

mod clearsign;
mod error;
mod fitness;
mod gpg;
mod judge;
mod keyfile;
mod keyring;
mod ready;
mod seal;
mod sign;
mod signatures;
mod signing;
mod span;
mod verify;

pub use error::Error;
pub use keyring::Keyring;
pub use ready::{KeyVerdict, SigningKeys};
pub(crate) use seal::Seal;
pub use sign::Signer;
pub use signatures::Signed;
pub use signing::Signing;
pub use verify::Verified;

/// The largest message, signature or keyring that is looked at: apt's own cap for an InRelease
/// (`Acquire::MaxReleaseFileSize`, 10 MB).
pub const MAX_MESSAGE_BYTES: usize = 10_000_000;

/// The version of the library that verifies.
pub(crate) const LIBRARY_VERSION: &str = sequoia_openpgp::VERSION;

/// Signatures in one file beyond this number are no archive's, but an attempt to keep us busy verifying.
pub const MAX_SIGNATURES: usize = 32;

/// Returns the text of a message as it would be hashed, without judging its signatures; a message that is not clear-signed is its own text.
pub(crate) fn unverified_text(message: Vec<u8>) -> Result<Vec<u8>, Error> {
    match message.starts_with(b"-----BEGIN PGP ") {
        false => Ok(message),
        true => clearsign::split(&message).map(|parts| parts.text),
    }
}
