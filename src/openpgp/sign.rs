//! Signs a Release in both forms, and hands out only what a client would accept.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::time::SystemTime;

use super::gpg::Gpg;
use super::keyfile::KeyFile;
use super::ready::SigningKeys;
use super::signatures::{SignatureFile, Signed};
use super::{Error, Keyring, MAX_MESSAGE_BYTES, Verified, clearsign};

/// GnuPG cuts a line of a clear-signed text from 19 994 bytes on, with a mere warning (measured with 2.2.40). Some room is
/// left for the escape.
const MAX_LINE_BYTES: usize = 19_900;

/// The holder of our private keys.
pub struct Signer {
    keys: Keys,
    /// The public halves, once somebody asked for them.
    certificates: OnceLock<Keyring>,
}

enum Keys {
    Gpg(Gpg),
    Files(Vec<KeyFile>),
}

impl fmt::Debug for Signer {
    /// Writes the signer without the keys themselves.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.keys {
            Keys::Gpg(gpg) => gpg.fmt(f),
            Keys::Files(files) => f
                .debug_list()
                .entries(files.iter().map(|file| &file.path))
                .finish(),
        }
    }
}

impl Signer {
    /// Signs through GnuPG, with the keys in its agent or on a card.
    ///
    /// Without `homedir` it uses the one it finds by itself. A key that is named by the fingerprint (or long key id) of a
    /// subkey signs with that subkey; any other name of a key is GnuPG's to resolve.
    pub fn gpg(program: PathBuf, homedir: Option<PathBuf>, keys: Vec<String>) -> Signer {
        Signer {
            keys: Keys::Gpg(Gpg {
                program,
                homedir,
                keys,
            }),
            certificates: OnceLock::new(),
        }
    }

    /// Signs in this process, with private keys from files, binary or armored; with every key in every file.
    ///
    /// A file is refused unless it is a regular file that only its owner can read, and its keys have no passphrase.
    pub fn key_files<P: AsRef<Path>>(paths: &[P]) -> Result<Signer, Error> {
        let mut files = Vec::new();
        for path in paths {
            files.extend(KeyFile::load(path.as_ref())?);
        }
        if files.is_empty() {
            return Err(Error::NoKeys);
        }
        Ok(Signer {
            keys: Keys::Files(files),
            certificates: OnceLock::new(),
        })
    }

    /// Returns the public halves of the keys: what clients need, and what our own output is checked with. gpg is asked once.
    pub fn certificates(&self) -> Result<Keyring, Error> {
        if let Some(known) = self.certificates.get() {
            return Ok(known.clone());
        }
        let found = match &self.keys {
            Keys::Gpg(gpg) => gpg.certificates()?,
            Keys::Files(files) => Keyring::from_certs(files.iter().map(|file| file.cert.clone()))?,
        };
        Ok(self.certificates.get_or_init(|| found).clone())
    }

    /// Refuses a key whose private half is not there. A run does not ask, since the signing itself shows it.
    pub fn check_private(&self) -> Result<(), Error> {
        let Keys::Gpg(gpg) = &self.keys else {
            return Ok(()); // a file without one is not loaded
        };
        let certs = gpg.certs_by_name(&self.certificates()?)?;
        let at = SystemTime::UNIX_EPOCH;
        let certs = certs.iter().enumerate();
        let keys: Vec<_> = certs.map(|(n, cert)| gpg.candidate(n, cert, at)).collect();
        gpg.check_private(&keys)
    }

    /// Returns the keys that sign at a time.
    pub fn ready(&self, at: SystemTime) -> Result<SigningKeys, Error> {
        let certificates = self.certificates()?;
        match &self.keys {
            Keys::Gpg(gpg) => {
                let certs = gpg.certs_by_name(&certificates)?;
                let certs = certs.iter().enumerate();
                let keys: Vec<_> = certs.map(|(n, cert)| gpg.candidate(n, cert, at)).collect();
                SigningKeys::of(&keys, certificates)
            }
            Keys::Files(files) => {
                let keys: Vec<_> = files.iter().map(|file| file.candidate(at)).collect();
                SigningKeys::of(&keys, certificates)
            }
        }
    }

    /// Signs a text (a Release) with all the keys that have not lapsed, in both forms, and verifies the outcome.
    ///
    /// The signatures are dated `at`; those of GnuPG by its own clock. A text that would not survive the clear-signed
    /// form byte for byte is refused: it must end in LF, and have no NUL, no CR, no space or tab at the end of a line.
    pub fn sign(&self, body: &[u8], at: SystemTime) -> Result<Signed, Error> {
        check_signable(body)?;
        if matches!(&self.keys, Keys::Gpg(gpg) if gpg.keys.is_empty()) {
            return Err(Error::NoKeys);
        }
        let mut keys = self.ready(at)?;
        let expected = keys.able().len();
        if expected == 0 {
            return Err(keys.take_inability().unwrap_or(Error::NoKeys));
        }
        let signed = match &self.keys {
            Keys::Gpg(gpg) => gpg.sign(body, &keys)?,
            Keys::Files(files) => super::keyfile::sign(files, &keys, body, at)?,
        };

        let detached = SignatureFile::armored(&clearsign::split_detached(&signed.detached)?)?;
        let inline = SignatureFile::armored(&clearsign::split(&signed.inline)?.blocks)?;
        for (form, file) in [("InRelease", &inline), ("Release.gpg", &detached)] {
            let made = file.readable.len();
            if made != expected {
                let why = format!("it has {made} signatures, not {expected}");
                return Err(Error::SelfCheckDiffers { form, why });
            }
        }
        // GnuPG's clock may be ahead of `at`, which can be the beginning of a long run.
        let now = inline
            .readable
            .iter()
            .chain(&detached.readable)
            .filter_map(|signature| signature.signature_creation_time())
            .fold(at, SystemTime::max);
        let certificates = keys.certificates();
        let verified = certificates.verify_inline(&signed.inline, now);
        self_check("InRelease", verified, body, &keys)?;
        let verified = certificates.verify_detached(body, &signed.detached, now);
        self_check("Release.gpg", verified, body, &keys)?;
        Ok(signed)
    }
}

fn self_check(
    form: &'static str,
    verified: Result<Verified, Error>,
    body: &[u8],
    keys: &SigningKeys,
) -> Result<(), Error> {
    let verified = verified.map_err(|e| Error::SelfCheck {
        form,
        source: Box::new(e),
    })?;
    let differs = |why| Err(Error::SelfCheckDiffers { form, why });
    if !verified.warnings.is_empty() {
        return differs(verified.warnings.join("; "));
    }
    if !keys.are(&verified.signers) {
        return differs(format!(
            "only these keys signed: {}",
            verified.signers.join(", ")
        ));
    }
    if verified.body != body {
        return differs("its text is not the text that was given to be signed".into());
    }
    Ok(())
}

/// Refuses a text that a reader of the clear-signed form would get back otherwise than it went in.
fn check_signable(body: &[u8]) -> Result<(), Error> {
    const WHAT: &str = "the text to sign";
    if body.len() > MAX_MESSAGE_BYTES {
        return Err(Error::TooLarge {
            what: WHAT.into(),
            size_bytes: body.len(),
            limit_bytes: MAX_MESSAGE_BYTES,
        });
    }
    clearsign::check_bytes(body, WHAT)?;
    let fault = |line, why| {
        Err(Error::Structure {
            what: WHAT,
            line,
            why,
        })
    };
    if body.is_empty() {
        return fault(0, "it is empty");
    }
    let mut last = 0;
    for (index, line) in body.split_inclusive(|&c| c == b'\n').enumerate() {
        last = index + 1;
        let Some(line) = line.strip_suffix(b"\n") else {
            return fault(last, "it does not end in a line end");
        };
        if line.ends_with(b" ") || line.ends_with(b"\t") {
            return fault(last, "a space or tab at the end of a line would be lost");
        }
        if line.len() > MAX_LINE_BYTES {
            return fault(last, "the line is longer than GnuPG would leave it");
        }
    }
    if body == b"\n" {
        return fault(last, "it is empty");
    }
    Ok(())
}
