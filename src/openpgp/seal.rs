//! A seal on what a later call shall believe: made with a secret that whoever may merely write below the root does not have.

use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256, Sha512};

use super::keyfile;
use super::{Error, Signing};

/// The words that keep this use of the key files apart from any other.
const PURPOSE: &[u8] = b"aptmerge: seal of verdicts, 1";

/// A key to seal records with.
#[derive(Clone)]
pub(crate) struct Seal([u8; 64]);

impl Signing {
    /// Returns a seal that is made of the private key files: only who could sign in our name can make one. There is none for keys that
    /// gpg holds, since gpg hands out no secret.
    pub(crate) fn seal(&self) -> Result<Option<Seal>, Error> {
        if self.gpg.is_some() || self.key_file.is_empty() {
            return Ok(None);
        }
        let mut secret = Sha512::new().chain_update(PURPOSE);
        for path in &self.key_file {
            secret.update(Sha256::digest(keyfile::read(path)?));
        }
        Ok(Some(Seal(secret.finalize().into())))
    }
}

impl Seal {
    /// Returns a seal that a test knows.
    #[cfg(test)]
    pub(crate) fn test(number: u8) -> Seal {
        Seal([number; 64])
    }

    fn mac(&self, text: &[u8]) -> Hmac<Sha256> {
        let key = &self.0.into();
        Hmac::<Sha256>::new(key).chain_update(text)
    }

    /// Returns the seal of a text, in hex.
    pub(crate) fn of(&self, text: &[u8]) -> String {
        hex::encode(self.mac(text).finalize().into_bytes())
    }

    /// Returns whether a text has this seal.
    pub(crate) fn is_on(&self, text: &[u8], seal: &str) -> bool {
        hex::decode(seal).is_ok_and(|seal| self.mac(text).verify_slice(&seal).is_ok())
    }
}
