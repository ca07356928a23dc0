//! Private keys in files, and signing with them in this process.

use std::fs::File;
use std::io::Write;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use nix::fcntl::OFlag;
use sequoia_openpgp::armor;
use sequoia_openpgp::crypto::KeyPair;
use sequoia_openpgp::serialize::stream::{Armorer, Message, Signer};
use sequoia_openpgp::types::HashAlgorithm;
use sequoia_openpgp::{Cert, Fingerprint};

use super::error::Cause;
use super::ready::{Candidate, SigningKeys};
use super::{Error, Signed, keyring};

/// One private key, and where it came from.
pub(super) struct KeyFile {
    pub(super) path: PathBuf,
    pub(super) cert: Cert,
}

/// Reads a file of private keys, which must be a regular file that nobody but its owner has any right to.
pub(super) fn read(path: &Path) -> Result<Vec<u8>, Error> {
    keyring::read_capped(open_private(path)?, path)
}

impl KeyFile {
    /// Reads every private key in a file, which must be a regular file that nobody but its owner has any right to.
    pub(super) fn load(path: &Path) -> Result<Vec<KeyFile>, Error> {
        let origin = path.display().to_string();
        let mut keys = Vec::new();
        let parsed = keyring::parse(&read(path)?, &origin)?;
        if let Some(why) = parsed.left_out.into_iter().next() {
            return Err(Error::NotCertificates {
                origin,
                source: why.into(),
            });
        }
        for cert in parsed.certs {
            if !cert.is_tsk() {
                return Err(Error::NotPrivateKey { path: path.into() });
            }
            if cert.keys().unencrypted_secret().next().is_none() {
                return Err(Error::KeyEncrypted {
                    path: path.into(),
                    fingerprint: cert.fingerprint().to_hex(),
                });
            }
            keys.push(KeyFile {
                path: path.into(),
                cert,
            });
        }
        if keys.is_empty() {
            return Err(Error::NotPrivateKey { path: path.into() });
        }
        Ok(keys)
    }

    /// Returns the key with its parts whose private halves are here.
    pub(super) fn candidate(&self, at: SystemTime) -> Candidate<'_> {
        let keys = self.cert.keys().secret();
        Candidate {
            cert: &self.cert,
            parts: keys.map(|key| key.parts_into_public()).collect(),
            place: self.path.display().to_string(),
            at,
        }
    }

    /// Returns the private half of a part of the key.
    fn pair(&self, part: &Fingerprint) -> Result<KeyPair, Error> {
        let keys = self.cert.keys().unencrypted_secret();
        let key = keys.filter(|key| key.key().fingerprint() == *part).last();
        match key {
            Some(key) => key.key().clone().into_keypair().map_err(sign_error),
            None => Err(Error::KeyEncrypted {
                path: self.path.clone(),
                fingerprint: self.cert.fingerprint().to_hex(),
            }),
        }
    }
}

/// Checks the very file that is then read, not its name; does not wait if the file is a pipe.
fn open_private(path: &Path) -> Result<File, Error> {
    let unreadable = |source| Error::ReadFile {
        path: path.into(),
        source,
    };
    let file = File::options()
        .read(true)
        .custom_flags(OFlag::O_NONBLOCK.bits())
        .open(path)
        .map_err(unreadable)?;
    let metadata = file.metadata().map_err(unreadable)?;
    if !metadata.is_file() {
        return Err(Error::KeyFileNotRegular { path: path.into() });
    }
    let mode = metadata.permissions().mode() & 0o7777;
    if mode & 0o077 != 0 {
        return Err(Error::KeyFilePermissions {
            path: path.into(),
            mode,
        });
    }
    Ok(file)
}

/// Signs `body`, which ends in LF, with every key that can sign, in both forms.
pub(super) fn sign(
    files: &[KeyFile],
    keys: &SigningKeys,
    body: &[u8],
    at: SystemTime,
) -> Result<Signed, Error> {
    let pairs = || {
        let able = keys.able().iter();
        let pairs = able.filter_map(|key| Some(files.get(key.number)?.pair(&key.part)));
        pairs.collect::<Result<Vec<_>, _>>()
    };
    // The line end before the signature is not signed (RFC 9580, section 7.1). Sequoia writes one of its own there.
    let text = body.strip_suffix(b"\n").unwrap_or(body);
    Ok(Signed {
        inline: write(pairs()?, text, at, Form::Clear)?,
        detached: write(pairs()?, body, at, Form::Detached)?,
    })
}

enum Form {
    Clear,
    Detached,
}

fn write(pairs: Vec<KeyPair>, text: &[u8], at: SystemTime, form: Form) -> Result<Vec<u8>, Error> {
    let mut pairs = pairs.into_iter();
    let first = pairs.next().ok_or(Error::NoKeys)?;
    let mut out = Vec::new();
    let message = Message::new(&mut out);
    let message = match form {
        Form::Clear => message,
        Form::Detached => Armorer::new(message)
            .kind(armor::Kind::Signature)
            .build()
            .map_err(sign_error)?,
    };
    let mut signer = Signer::new(message, first).map_err(sign_error)?;
    for pair in pairs {
        signer = signer.add_signer(pair).map_err(sign_error)?;
    }
    let signer = match form {
        Form::Clear => signer.cleartext(),
        Form::Detached => signer.detached(),
    };
    let mut writer = signer
        .hash_algo(HashAlgorithm::SHA512)
        .map_err(sign_error)?
        .creation_time(at)
        .build()
        .map_err(sign_error)?;
    writer.write_all(text).map_err(sign_error)?;
    writer.finalize().map_err(sign_error)?;
    Ok(out)
}

fn sign_error(source: impl Into<Cause>) -> Error {
    Error::Sign {
        source: source.into(),
    }
}
