//! Every way in which verifying or signing can fail.

use std::io;
use std::path::PathBuf;
use std::process::ExitStatus;
use std::time::SystemTime;

use crate::error::{DomainError, ErrorKind};
use crate::quoted::quoted_output;

/// An error of the OpenPGP library that caused an error of ours.
pub(super) type Cause = Box<dyn std::error::Error + Send + Sync + 'static>;

/// The reason why a signature was not accepted, or could not be made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The keyring holds no certificate.
    #[error("the keyring holds no certificate, so nothing can be verified with it")]
    EmptyKeyring,
    /// A keyring or key file could not be read.
    #[error("{} cannot be read", path.display())]
    ReadFile {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A keyring is in GnuPG's private format.
    #[error("{origin} is a GnuPG keybox, which only GnuPG can read")]
    Keybox {
        /// The file, or a word for where the bytes came from.
        origin: String,
    },
    /// A keyring holds something that is no certificate, or is damaged.
    #[error("{origin} does not hold OpenPGP certificates throughout")]
    NotCertificates {
        /// The file, or a word for where the bytes came from.
        origin: String,
        /// Why.
        #[source]
        source: Cause,
    },
    /// A certificate could not be written out.
    #[error("the certificates cannot be written out")]
    Export {
        /// Why.
        #[source]
        source: Cause,
    },

    /// Something is larger than anything of its kind.
    #[error("{what} is {size_bytes} bytes long, the limit is {limit_bytes}")]
    TooLarge {
        /// The name of the thing that is too large.
        what: String,
        /// The size; the true size may be larger.
        size_bytes: usize,
        /// The limit.
        limit_bytes: usize,
    },
    /// A message, a signature or a text has a form that is not accepted.
    #[error("{what} is refused at line {line}: {why}")]
    Structure {
        /// The message, the signature or the text.
        what: &'static str,
        /// The line, from 1; 0 if there is none.
        line: usize,
        /// The fault in that line.
        why: &'static str,
    },

    /// There is no signature at all.
    #[error("there is no signature")]
    NoSignature,
    /// There are more signatures than any archive makes.
    #[error("there are more than {limit} signatures")]
    TooManySignatures {
        /// The limit.
        limit: usize,
    },
    /// Nobody signed whose key is in the keyring.
    #[error("signed only by keys that are not in the keyring: {}{}", ids.join(", "), also(left_out))]
    UnknownKeys {
        /// Fingerprints or key ids of those who signed.
        ids: Vec<String>,
        /// A line about each key in the keyring that cannot be read here.
        left_out: Vec<String>,
    },
    /// A signature that claims to be by a known key is not its signature over this text.
    #[error("BAD signature: key {key} did not sign this text")]
    BadSignature {
        /// The fingerprint of the key.
        key: String,
    },
    /// The key of a signature has expired.
    #[error("signed by key {fingerprint}, which expired on {}", day(expired))]
    ExpiredKey {
        /// The fingerprint of the key: of the subkey, if only that has expired.
        fingerprint: String,
        /// The time when the key expired.
        expired: SystemTime,
    },
    /// The key of a signature was revoked.
    #[error("signed by key {fingerprint}, which was revoked{} ({reason})", revocation(on.as_ref(), by.as_deref()))]
    RevokedKey {
        /// The fingerprint of the key: of the subkey, if only that was revoked.
        fingerprint: String,
        /// The fingerprint of the other key that revoked it, which its owner had named for that.
        by: Option<String>,
        /// The day that the revocation gives.
        on: Option<SystemTime>,
        /// The reason that the revocation gives.
        reason: String,
    },
    /// The key of a signature says that it was made in the future.
    #[error(
        "signed by key {fingerprint}, which is not valid before {}",
        day(valid_from)
    )]
    FutureKey {
        /// The fingerprint of the key.
        fingerprint: String,
        /// The time from which on the key is valid.
        valid_from: SystemTime,
    },
    /// The key of a signature, or what binds it to its certificate, is no longer considered secure.
    #[error(
        "signed by key {fingerprint}, which is too weak, or bound to its certificate by too weak a signature"
    )]
    WeakKey {
        /// The fingerprint of the key.
        fingerprint: String,
        /// Why.
        #[source]
        source: Cause,
    },
    /// The key of a signature may not sign, or its certificate does not hold together.
    #[error("signed by key {fingerprint}, which may not be used for that")]
    UnusableKey {
        /// The fingerprint of the certificate.
        fingerprint: String,
        /// Why.
        #[source]
        source: Cause,
    },
    /// A signature uses a hash in which collisions can be, or might soon be, made.
    #[error("the signature by key {key} uses {hash}, which is too weak")]
    WeakHash {
        /// The fingerprint or id of the key.
        key: String,
        /// The hash.
        hash: String,
    },
    /// A signature has something in it that is no longer considered secure, or that must be understood and is not.
    #[error("the signature by key {key} does not count today")]
    Policy {
        /// The fingerprint or id of the key.
        key: String,
        /// Why.
        #[source]
        source: Cause,
    },
    /// A signature was made for a limited time only, which is over.
    #[error("the signature by key {key} expired on {}", day(expired))]
    ExpiredSignature {
        /// The fingerprint of the key.
        key: String,
        /// The time when the signature expired.
        expired: SystemTime,
    },
    /// A signature says that it was made before its key was.
    #[error(
        "the signature by key {key} says that it was made on {}, but the key was made on {}",
        day(made),
        day(born)
    )]
    OlderThanKey {
        /// The fingerprint of the key.
        key: String,
        /// The time when the signature was made.
        made: SystemTime,
        /// The time when the key was made.
        born: SystemTime,
    },
    /// A signature says that it was made in the future.
    #[error("the signature by key {key} is not valid before {}", day(valid_from))]
    FutureSignature {
        /// The fingerprint of the key.
        key: String,
        /// The time from which on the signature is valid.
        valid_from: SystemTime,
    },
    /// A signature cannot be read, or is of a kind that is not known.
    #[error("a signature cannot be read")]
    UnreadableSignature {
        /// Why.
        #[source]
        source: Cause,
    },
    /// A signature by a known key is of a kind or curve that cannot be checked here.
    #[error("the signature by key {key} is of a kind that cannot be checked here")]
    UnsupportedSignature {
        /// The fingerprint or id of the key.
        key: String,
        /// Which.
        #[source]
        source: Cause,
    },
    /// There are several signatures, and each has something wrong with it.
    #[error("none of the signatures is good: {}", join(problems))]
    NoneGood {
        /// The fault of each signature.
        problems: Vec<Error>,
    },

    /// A private key is not in a regular file.
    #[error("{} is not a regular file, so no private key is read from it", path.display())]
    KeyFileNotRegular {
        /// The file.
        path: PathBuf,
    },
    /// A private key lies open to others than its owner.
    #[error("{} holds a private key, but its mode {mode:04o} lets others at it", path.display())]
    KeyFilePermissions {
        /// The file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// A key file holds no private key, or only certificates.
    #[error("{} holds no private key", path.display())]
    NotPrivateKey {
        /// The file.
        path: PathBuf,
    },
    /// A private key can be used only with a passphrase.
    #[error("the private key {fingerprint} in {} is protected by a passphrase", path.display())]
    KeyEncrypted {
        /// The file.
        path: PathBuf,
        /// The fingerprint of the certificate.
        fingerprint: String,
    },
    /// No part of a key can make a signature at the time in question.
    #[error("no part of the key {fingerprint} in {place} can sign on {}{}", day(at), because(why.as_deref()))]
    NoSigningKey {
        /// The file, or the program that holds the key.
        place: String,
        /// The fingerprint of the certificate.
        fingerprint: String,
        /// The time of the signature.
        at: SystemTime,
        /// The fault of the part that would sign; none if no part is there.
        why: Option<Box<Error>>,
    },
    /// A program knows a key, and has no private half of it.
    #[error("{place} has only the public half of the key {fingerprint}")]
    NoPrivateHalf {
        /// The program.
        place: String,
        /// The fingerprint of the certificate.
        fingerprint: String,
    },
    /// A message lacks the signature of a key that signs.
    #[error("it is not signed by key {key}")]
    NotSignedBy {
        /// The fingerprint of the certificate.
        key: String,
    },
    /// A key is good, but the self-signatures are gone by which it was good when it signed.
    #[error(
        "signed by key {fingerprint} on {}, which its certificate does not prove any more since it was changed",
        day(made)
    )]
    NotBoundThen {
        /// The fingerprint of the key.
        fingerprint: String,
        /// The time of the signature.
        made: SystemTime,
    },
    /// No key was named to sign with.
    #[error("there is no key to sign with")]
    NoKeys,
    /// The OpenPGP library could not make the signature.
    #[error("signing failed")]
    Sign {
        /// Why.
        #[source]
        source: Cause,
    },
    /// gpg could not be started, or not be talked to.
    #[error("{} cannot be run", program.display())]
    GpgStart {
        /// The program.
        program: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// gpg does not have a key.
    #[error("{} has no key {key}", program.display())]
    GpgLacksKey {
        /// The program.
        program: PathBuf,
        /// The fingerprint or id of the key.
        key: String,
    },
    /// gpg ran and did not end.
    #[error("{} did not end within {minutes} minutes and was stopped", program.display())]
    GpgHangs {
        /// The program.
        program: PathBuf,
        /// The time that gpg had.
        minutes: u64,
    },
    /// gpg ran and failed, or made nothing.
    #[error("{} failed ({status}): {}", program.display(), said(stderr))]
    Gpg {
        /// The program.
        program: PathBuf,
        /// The exit status; gpg may have made nothing and still claim success.
        status: ExitStatus,
        /// The error output of gpg.
        stderr: String,
    },
    /// A signature that was just made does not verify.
    #[error("the {form} that was just signed does not verify with the signer's own certificates")]
    SelfCheck {
        /// `InRelease` or `Release.gpg`.
        form: &'static str,
        /// Why.
        #[source]
        source: Box<Error>,
    },
    /// A signature that was just made verifies, but is not as it was asked for.
    #[error("the {form} that was just signed is not what it should be: {why}")]
    SelfCheckDiffers {
        /// `InRelease` or `Release.gpg`.
        form: &'static str,
        /// The difference.
        why: String,
    },
}

impl Error {
    /// Returns whether a key is too weak, or bound by too weak a signature.
    pub fn is_weak_key(&self) -> bool {
        match self {
            Error::WeakKey { .. } => true,
            Error::NoSigningKey { why: Some(why), .. } => why.is_weak_key(),
            _ => false,
        }
    }

    /// Returns whether the key of a signature is in the keyring.
    pub(super) fn is_of_known_key(&self) -> bool {
        !matches!(self, Error::UnknownKeys { .. })
    }

    /// Returns whether a key was good once, and is not any more.
    pub(super) fn is_lapse(&self) -> bool {
        match self {
            Error::ExpiredKey { .. } | Error::RevokedKey { .. } => true,
            Error::NoSigningKey { why: Some(why), .. } => why.is_lapse(),
            _ => false,
        }
    }

    /// Returns whether the signatures are at fault, whatever the keyring holds.
    pub(crate) fn is_damage(&self) -> bool {
        matches!(
            self,
            Error::NoSignature
                | Error::TooManySignatures { .. }
                | Error::BadSignature { .. }
                | Error::UnreadableSignature { .. }
                | Error::Structure { .. }
                | Error::TooLarge { .. }
        )
    }
}

impl DomainError for Error {
    fn kind(&self) -> ErrorKind {
        ErrorKind::Signing
    }
}

fn day(time: &SystemTime) -> String {
    jiff::Timestamp::try_from(*time).map_or_else(
        |_| "an impossible date".into(),
        |t| t.strftime("%Y-%m-%d %H:%M:%S UTC").to_string(),
    )
}

/// Says when a key was revoked, and by whom if not by itself.
fn revocation(on: Option<&SystemTime>, by: Option<&str>) -> String {
    let on = on.map(|on| format!(" on {}", day(on)));
    let by = by.map(|by| format!(" by key {by}, which its owner had named for that"));
    on.unwrap_or_default() + &by.unwrap_or_default()
}

/// Says why a key of ours cannot sign.
fn because(why: Option<&Error>) -> String {
    let words = match why {
        None => "it has no part for signing".into(),
        Some(Error::ExpiredKey {
            fingerprint,
            expired,
        }) => format!("{fingerprint} expired on {}", day(expired)),
        Some(Error::RevokedKey {
            fingerprint,
            by,
            on,
            reason,
        }) => {
            let revocation = revocation(on.as_ref(), by.as_deref());
            format!("{fingerprint} was revoked{revocation} ({reason})")
        }
        Some(Error::FutureKey {
            fingerprint,
            valid_from,
        }) => format!("{fingerprint} is not valid before {}", day(valid_from)),
        Some(Error::UnusableKey {
            fingerprint,
            source,
        }) => format!("{fingerprint}: {source}"),
        Some(Error::WeakKey {
            fingerprint,
            source,
        }) => {
            let why = crate::chain::chain(source.as_ref());
            format!(
                "{fingerprint} is too weak, or bound to its certificate by too weak a signature: {why}"
            )
        }
        Some(other) => crate::chain::chain(other),
    };
    format!(": {words}")
}

fn also(left_out: &[String]) -> String {
    match left_out {
        [] => String::new(),
        lines => format!(" ({})", lines.join("; ")),
    }
}

fn join(problems: &[Error]) -> String {
    problems
        .iter()
        .map(ToString::to_string)
        .collect::<Vec<_>>()
        .join("; ")
}

fn said(stderr: &str) -> String {
    let said = quoted_output(stderr.as_bytes());
    match said.is_empty() {
        true => "it said nothing".to_owned(),
        false => said,
    }
}
