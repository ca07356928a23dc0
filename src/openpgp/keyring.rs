//! The certificates that somebody trusts, from files or bytes, binary or armored.

use std::fmt;
use std::fs::File;
use std::io::Read;
use std::path::Path;

use sequoia_openpgp::armor;
use sequoia_openpgp::cert::{Cert, CertParser};
use sequoia_openpgp::parse::Parse;
use sequoia_openpgp::serialize::{Serialize, SerializeInto};

use super::error::Cause;
use super::{Error, MAX_MESSAGE_BYTES};

/// A set of certificates (public keys), at least one.
#[derive(Clone)]
pub struct Keyring {
    certs: Vec<Cert>,
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
    /// that holds anything that cannot be read as a certificate is refused, rather than read in part.
    pub fn load<P: AsRef<Path>>(paths: &[P]) -> Result<Keyring, Error> {
        let mut certs = Vec::new();
        for path in paths {
            let path = path.as_ref();
            let file = File::open(path).map_err(|source| Error::ReadFile {
                path: path.into(),
                source,
            })?;
            certs.extend(parse(
                &read_capped(file, path)?,
                &path.display().to_string(),
            )?);
        }
        Keyring::from_certs(certs)
    }

    /// Reads all the certificates in some bytes, as [`Keyring::load`] does.
    pub fn from_bytes(bytes: &[u8]) -> Result<Keyring, Error> {
        Keyring::from_certs(parse(bytes, "the keyring")?)
    }

    /// Private parts are dropped, and what several files say about one key is put together.
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
        Ok(Keyring { certs: merged })
    }

    pub(super) fn certs(&self) -> &[Cert] {
        &self.certs
    }

    /// The fingerprints of the certificates (of their primary keys), in upper-case hexadecimal.
    pub fn fingerprints(&self) -> Vec<String> {
        self.certs
            .iter()
            .map(|cert| cert.fingerprint().to_hex())
            .collect()
    }

    /// The fingerprints of every key of some certificates, which are named by those of their primary keys.
    pub fn fingerprints_of_keys(&self, certificates: &[String]) -> Vec<String> {
        let named = |cert: &&Cert| certificates.contains(&cert.fingerprint().to_hex());
        let keys = self.certs.iter().filter(named).flat_map(Cert::keys);
        keys.map(|key| key.key().fingerprint().to_hex()).collect()
    }

    /// The certificates as a binary keyring, which `gpgv --keyring` and apt's `Signed-By` read.
    pub fn to_bytes(&self) -> Result<Vec<u8>, Error> {
        let mut bytes = Vec::new();
        for cert in &self.certs {
            bytes.extend(cert.export_to_vec().map_err(export)?);
        }
        Ok(bytes)
    }

    /// The certificates in one armor block, which apt's `Signed-By` reads from a file named `*.asc`.
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

/// Every certificate in `bytes`, private parts included.
pub(super) fn parse(bytes: &[u8], origin: &str) -> Result<Vec<Cert>, Error> {
    if bytes.is_empty() {
        return Ok(Vec::new());
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
    CertParser::from_bytes(bytes)
        .map_err(not_certificates)?
        .map(|cert| cert.map_err(not_certificates))
        .collect()
}
