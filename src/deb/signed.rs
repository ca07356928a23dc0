//! Control files that may be signed: `.dsc`, `.changes` and `.buildinfo`.

use std::io::Read;
use std::path::Path;
use std::time::SystemTime;

use crate::error::{Error, Result};
use crate::openpgp::{self, Keyring};

use super::error::Fault;

/// The longest of these files: the largest of Debian have some 200 KiB.
const MAX_BYTES: usize = 4 << 20;

/// The signature that a file needs.
#[derive(Clone, Copy)]
pub enum Trust<'k> {
    /// None: an operator adds the file. A signature is taken off, and not judged.
    Operator,
    /// One by a key of a keyring, good at this time.
    Keyring(&'k Keyring, SystemTime),
}

/// The text of a file, and the fingerprints of the keys whose signatures it has.
pub(super) struct Text {
    pub(super) bytes: Vec<u8>,
    pub(super) signers: Vec<String>,
}

/// Reads a file from its first byte; `path` is its name in messages. Exactly the text that was verified comes out.
pub(super) fn read(file: impl Read, path: &Path, trust: Trust<'_>) -> Result<Text> {
    let mut message = Vec::new();
    let mut file = file.take(MAX_BYTES as u64 + 1);
    file.read_to_end(&mut message)
        .map_err(Error::io("read", path))?;
    text(message, trust).map_err(|fault| fault.of(path).into())
}

fn text(message: Vec<u8>, trust: Trust<'_>) -> Result<Text, Fault> {
    if message.len() > MAX_BYTES {
        return Err(Fault::new(format!("it has more than {MAX_BYTES} bytes")));
    }
    let why = |error| Fault::new(crate::error::chain(&error));
    match trust {
        Trust::Operator => Ok(Text {
            bytes: openpgp::unverified_text(message).map_err(why)?,
            signers: Vec::new(),
        }),
        Trust::Keyring(keyring, now) => {
            let verified = keyring.verify_inline(&message, now).map_err(why)?;
            Ok(Text {
                bytes: verified.body,
                signers: verified.signers,
            })
        }
    }
}
