//! The certificates that somebody trusts, from files or bytes, binary or armored.
//!
//! A file that is damaged is refused, also where gpgv would go on with a part of it: what is lost may be a revocation. A key of
//! a version that is not known here is no damage (RFC 9580, section 5.5.2): it is left out, and [`Keyring::left_out`] names
//! it. This trusts fewer keys than the file has, never more.

use std::fmt;
use std::fs::File;
use std::io::Read;
use std::path::Path;
use std::time::SystemTime;

use sequoia_openpgp::cert::{Cert, CertParser};
use sequoia_openpgp::packet::{Signature, Tag};
use sequoia_openpgp::parse::Parse;
use sequoia_openpgp::serialize::{Serialize, SerializeInto};
use sequoia_openpgp::{Packet, armor};
use sha2::{Digest, Sha256};

use super::error::Cause;
use super::{Error, MAX_MESSAGE_BYTES, span};

/// A set of certificates (public keys), at least one.
#[derive(Clone)]
pub struct Keyring {
    certs: Vec<Cert>,
    left_out: Vec<String>,
    /// The time up to which keys count that are too weak.
    takes_weak_until: Option<SystemTime>,
    /// The digest of the bytes that the certificates were read from.
    read_from: [u8; 32],
}

impl fmt::Debug for Keyring {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Keyring")
            .field(&self.fingerprints())
            .finish()
    }
}

impl Keyring {
    /// Reads all the certificates in some files. A file may hold several, binary or in one or more armor blocks. A file
    /// that holds anything that cannot be read as a certificate is refused, rather than read in part; but a key of an
    /// unknown version is left out.
    pub fn load<P: AsRef<Path>>(paths: &[P]) -> Result<Keyring, Error> {
        let mut all = Parsed::default();
        let mut read_from = Sha256::new();
        for path in paths {
            let path = path.as_ref();
            let file = File::open(path).map_err(|source| Error::ReadFile {
                path: path.into(),
                source,
            })?;
            let origin = path.display().to_string();
            let bytes = read_capped(file, path)?;
            read_from.update(Sha256::digest(&bytes));
            let parsed = parse(&bytes, &origin)?;
            all.certs.extend(parsed.certs);
            all.left_out.extend(parsed.left_out);
        }
        Ok(Keyring {
            read_from: read_from.finalize().into(),
            ..Keyring::from_parsed(all, "the keyring")?
        })
    }

    /// Reads all the certificates in some bytes, as [`Keyring::load`] does.
    pub fn from_bytes(bytes: &[u8]) -> Result<Keyring, Error> {
        let origin = "the keyring";
        Ok(Keyring {
            read_from: Sha256::digest(bytes).into(),
            ..Keyring::from_parsed(parse(bytes, origin)?, origin)?
        })
    }

    fn from_parsed(parsed: Parsed, origin: &str) -> Result<Keyring, Error> {
        match parsed.left_out.first() {
            Some(why) if parsed.certs.is_empty() => Err(Error::NotCertificates {
                origin: origin.into(),
                source: why.as_str().into(),
            }),
            _ => Ok(Keyring {
                left_out: parsed.left_out,
                ..Keyring::from_certs(parsed.certs)?
            }),
        }
    }

    /// Drops private parts, and merges the parts of one key that come from several files.
    pub(super) fn from_certs(certs: impl IntoIterator<Item = Cert>) -> Result<Keyring, Error> {
        let mut merged: Vec<Cert> = Vec::new();
        for cert in certs {
            let cert = cert.strip_secret_key_material();
            match merged
                .iter_mut()
                .find(|known| known.fingerprint() == cert.fingerprint())
            {
                Some(known) => {
                    let both = known.clone().merge_public(cert);
                    *known = both.map_err(|e| Error::NotCertificates {
                        origin: "the keyring".into(),
                        source: e.into(),
                    })?;
                }
                None => merged.push(cert),
            }
        }
        if merged.is_empty() {
            return Err(Error::EmptyKeyring);
        }
        let mut read_from = Sha256::new();
        for cert in &merged {
            read_from.update(cert.to_vec().map_err(export)?);
        }
        Ok(Keyring {
            certs: merged,
            left_out: Vec::new(),
            takes_weak_until: None,
            read_from: read_from.finalize().into(),
        })
    }

    /// Lets keys count up to a time that are too weak, or bound to their certificates by too weak a signature, as long as gpgv takes them.
    /// No signature over a text may be weak, though.
    pub fn taking_weak_keys_until(self, time: Option<SystemTime>) -> Keyring {
        Keyring {
            takes_weak_until: time,
            ..self
        }
    }

    /// Returns the time before which a verdict of `now` on these signatures does not change.
    pub(super) fn verdict_holds_until(
        &self,
        signatures: &[Signature],
        now: SystemTime,
    ) -> SystemTime {
        span::end(&self.certs, signatures, self.takes_weak_until, now)
    }

    /// Returns whether keys count at a time that are too weak.
    pub(super) fn takes_weak_keys(&self, now: SystemTime) -> bool {
        self.takes_weak_until.is_some_and(|until| now < until)
    }

    /// Returns a digest of everything in the keyring that a verdict depends on.
    pub(crate) fn digest(&self) -> [u8; 32] {
        let weak = self.takes_weak_until.map(|until| {
            let since = until.duration_since(SystemTime::UNIX_EPOCH);
            since.unwrap_or_default().as_secs()
        });
        let digest = Sha256::new().chain_update(self.read_from);
        digest.chain_update(format!("{weak:?}")).finalize().into()
    }

    /// Returns a line about each key in the files that is of an unknown version, so that it cannot be read here.
    pub fn left_out(&self) -> &[String] {
        &self.left_out
    }

    pub(super) fn certs(&self) -> &[Cert] {
        &self.certs
    }

    /// Returns the fingerprints of the certificates (of their primary keys), in upper-case hexadecimal.
    pub fn fingerprints(&self) -> Vec<String> {
        self.certs
            .iter()
            .map(|cert| cert.fingerprint().to_hex())
            .collect()
    }

    /// Returns the fingerprints of every key of some certificates, which are named by those of their primary keys.
    pub(crate) fn fingerprints_of_keys(&self, certificates: &[String]) -> Vec<String> {
        let named = |cert: &&Cert| certificates.contains(&cert.fingerprint().to_hex());
        let keys = self.certs.iter().filter(named).flat_map(Cert::keys);
        keys.map(|key| key.key().fingerprint().to_hex()).collect()
    }

    /// Returns the certificates as a binary keyring, which `gpgv --keyring` and apt's `Signed-By` read.
    pub fn to_bytes(&self) -> Result<Vec<u8>, Error> {
        let mut bytes = Vec::new();
        for cert in &self.certs {
            bytes.extend(cert.export_to_vec().map_err(export)?);
        }
        Ok(bytes)
    }

    /// Returns the certificates in one armor block, which apt's `Signed-By` reads from a file named `*.asc`.
    pub fn to_armored(&self) -> Result<Vec<u8>, Error> {
        let mut writer = armor::Writer::new(Vec::new(), armor::Kind::PublicKey).map_err(export)?;
        for cert in &self.certs {
            cert.export(&mut writer).map_err(export)?;
        }
        writer.finalize().map_err(export)
    }
}

fn export(source: impl Into<Cause>) -> Error {
    Error::Export {
        source: source.into(),
    }
}

/// Reads a file whole, as long as it is not absurdly large.
pub(super) fn read_capped(file: impl Read, path: &Path) -> Result<Vec<u8>, Error> {
    let mut bytes = Vec::new();
    file.take(MAX_MESSAGE_BYTES as u64 + 1)
        .read_to_end(&mut bytes)
        .map_err(|source| Error::ReadFile {
            path: path.into(),
            source,
        })?;
    if bytes.len() > MAX_MESSAGE_BYTES {
        return Err(Error::TooLarge {
            what: path.display().to_string(),
            size_bytes: bytes.len(),
            limit_bytes: MAX_MESSAGE_BYTES,
        });
    }
    Ok(bytes)
}

/// The contents of a file.
#[derive(Default)]
pub(super) struct Parsed {
    /// Every certificate, private parts included.
    pub(super) certs: Vec<Cert>,
    /// A line about each key of an unknown version.
    pub(super) left_out: Vec<String>,
}

/// Reads every certificate in `bytes`.
pub(super) fn parse(bytes: &[u8], origin: &str) -> Result<Parsed, Error> {
    let mut parsed = Parsed::default();
    if bytes.is_empty() {
        return Ok(parsed);
    }
    // The first blob of a keybox: four bytes of length, type, version, flags, then this magic (GnuPG, kbx/keybox-blob.c).
    if bytes.get(8..12) == Some(b"KBXf") {
        return Err(Error::Keybox {
            origin: origin.into(),
        });
    }
    let not_certificates = |e: sequoia_openpgp::anyhow::Error| Error::NotCertificates {
        origin: origin.into(),
        source: e.into(),
    };
    for cert in CertParser::from_bytes(bytes).map_err(not_certificates)? {
        match cert {
            Ok(cert) => parsed.certs.push(cert),
            Err(error) => match unknown_version(&error) {
                Some(version) => parsed.left_out.push(format!(
                    "{origin} holds a key of version {version}, which cannot be read here"
                )),
                None => return Err(not_certificates(error)),
            },
        }
    }
    Ok(parsed)
}

/// Returns the version of a key that could not be read for no other reason than its version, with all that belongs to it.
fn unknown_version(error: &sequoia_openpgp::anyhow::Error) -> Option<u8> {
    let Some(sequoia_openpgp::Error::UnsupportedCert(_, packets)) = error.downcast_ref() else {
        return None;
    };
    let (Packet::Unknown(primary), rest) = packets.split_first()? else {
        return None;
    };
    let is_key = |tag| {
        matches!(
            tag,
            Tag::PublicKey | Tag::SecretKey | Tag::PublicSubkey | Tag::SecretSubkey
        )
    };
    let belongs = |packet: &Packet| {
        is_key(packet.tag())
            || matches!(
                packet.tag(),
                Tag::Signature | Tag::UserID | Tag::UserAttribute | Tag::Trust
            )
    };
    let version = *primary.body().first()?;
    let is_unknown = is_key(primary.tag()) && !matches!(version, 4 | 6);
    (is_unknown && rest.iter().all(belongs)).then_some(version)
}
