//! Decides whether a text was signed by somebody in the keyring, and hands on exactly the text that was.

use std::time::{Duration, SystemTime};

use sequoia_openpgp::cert::amalgamation::{ValidAmalgamation, ValidateAmalgamation};
use sequoia_openpgp::packet::Signature;
use sequoia_openpgp::parse::Parse;
use sequoia_openpgp::parse::stream::{
    DetachedVerifierBuilder, GoodChecksum, MessageLayer, MessageStructure, VerificationError,
    VerificationHelper, VerificationResult,
};
use sequoia_openpgp::policy::{Policy, StandardPolicy};
use sequoia_openpgp::serialize::Serialize;
use sequoia_openpgp::types::{HashAlgorithm, RevocationStatus};
use sequoia_openpgp::{Cert, KeyHandle, Packet};

use super::clearsign::{self, ClearSigned};
use super::signatures::{SignatureFile, unreadable};
use super::{Error, Keyring, MAX_MESSAGE_BYTES};

/// How far the signer's clock may be ahead of ours.
const CLOCK_SKEW: Duration = Duration::from_secs(5 * 60);

/// A text, and who signed it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verified {
    /// The signed text, and nothing else.
    ///
    /// Of a clear-signed message this is the text that was hashed, which ends before the last line end (RFC 9580, section
    /// 7.1), plus that one LF; spaces and tabs at the ends of lines are not part of it. So it equals the Release beside
    /// the InRelease, as long as that has none.
    pub body: Vec<u8>,
    /// The signatures as they came, for [`Keyring::verify_again`].
    pub signature: Vec<u8>,
    /// The certificates (fingerprints of primary keys, upper-case hexadecimal) with a good signature, each once.
    pub signers: Vec<String>,
    /// What was passed over, in words.
    pub warnings: Vec<String>,
}

impl Keyring {
    /// Verifies a clear-signed message (an InRelease) at the time `now`.
    pub fn verify_inline(&self, message: &[u8], now: SystemTime) -> Result<Verified, Error> {
        check_size("the clear-signed message", message)?;
        let ClearSigned { text, blocks } = clearsign::split(message)?;
        let signatures = SignatureFile::armored(&blocks)?;
        let verdict = self.judge(&text, signatures, now)?;
        let mut body = text;
        body.push(b'\n');
        Ok(verdict.about(body, blocks.concat()))
    }

    /// Verifies a text (a Release) with signatures that are kept apart from it (its Release.gpg), at the time `now`.
    ///
    /// `signature` may be binary, or consist of one or several armor blocks with one or several signatures each.
    pub fn verify_detached(
        &self,
        body: &[u8],
        signature: &[u8],
        now: SystemTime,
    ) -> Result<Verified, Error> {
        check_size("the signed text", body)?;
        check_size("the detached signature", signature)?;
        // Under a signature of the text kind the line ends of a text may be exchanged (RFC 9580, section 5.2.1.2), so only
        // a text without CR is the one that was signed.
        clearsign::check_bytes(body, "the signed text")?;
        // Every OpenPGP packet starts with a byte whose top bit is set (RFC 9580, section 4.2).
        let signatures = if signature.first().is_some_and(|byte| byte & 0x80 != 0) {
            SignatureFile::binary(signature)?
        } else {
            SignatureFile::armored(&clearsign::split_detached(signature)?)?
        };
        let verdict = self.judge(body, signatures, now)?;
        Ok(verdict.about(body.to_vec(), signature.to_vec()))
    }

    /// Verifies once more what was verified before, at the time `now`: keys and signatures expire, and keys are revoked.
    ///
    /// `signature` is [`Verified::signature`], of a clear-signed message if `inline`.
    pub fn verify_again(
        &self,
        body: &[u8],
        signature: &[u8],
        inline: bool,
        now: SystemTime,
    ) -> Result<Verified, Error> {
        if !inline {
            return self.verify_detached(body, signature, now);
        }
        let signatures = SignatureFile::armored(&clearsign::split_detached(signature)?)?;
        let text = body.strip_suffix(b"\n").unwrap_or(body);
        let verdict = self.judge(text, signatures, now)?;
        Ok(verdict.about(body.to_vec(), signature.to_vec()))
    }

    fn judge(
        &self,
        text: &[u8],
        signatures: SignatureFile,
        now: SystemTime,
    ) -> Result<Verdict, Error> {
        let policy = StandardPolicy::at(now);
        let mut problems = signatures.unreadable;
        let mut packets = Vec::new();
        for signature in signatures.readable {
            // One signature that sequoia will not so much as hash would spoil the others: keep it from it.
            match acceptable(&policy, &signature) {
                Ok(()) => Packet::from(signature)
                    .serialize(&mut packets)
                    .map_err(unreadable)?,
                Err(problem) => problems.push(problem),
            }
        }

        let mut helper = Helper {
            certs: self.certs(),
            policy: &policy,
            now,
            results: Vec::new(),
        };
        let latest = now.checked_add(CLOCK_SKEW).unwrap_or(now);
        if !packets.is_empty() {
            let mut verifier = DetachedVerifierBuilder::from_bytes(&packets)
                .and_then(|builder| builder.with_policy(&policy, latest, helper))
                .map_err(unreadable)?;
            verifier.verify_bytes(text).map_err(unreadable)?;
            helper = verifier.into_helper();
        }

        let mut signers = Vec::new();
        for result in helper.results {
            match result {
                Ok(signer) if signers.contains(&signer) => {}
                Ok(signer) => signers.push(signer),
                Err(bad @ Error::BadSignature { .. }) => return Err(bad),
                Err(problem) => problems.push(problem),
            }
        }
        if signers.is_empty() {
            return Err(refusal(problems));
        }
        Ok(Verdict {
            signers,
            warnings: problems.iter().map(warning).collect(),
        })
    }
}

struct Verdict {
    signers: Vec<String>,
    warnings: Vec<String>,
}

impl Verdict {
    fn about(self, body: Vec<u8>, signature: Vec<u8>) -> Verified {
        Verified {
            body,
            signature,
            signers: self.signers,
            warnings: self.warnings,
        }
    }
}

/// Whether a signature is of a kind that may count at all.
fn acceptable(policy: &StandardPolicy<'_>, signature: &Signature) -> Result<(), Error> {
    let hash = signature.hash_algo();
    if !hash.is_supported() {
        return Err(weak(signature));
    }
    policy
        .packet(&Packet::from(signature.clone()))
        .map_err(|e| Error::Policy {
            key: issuer(signature),
            source: e.into(),
        })
}

/// SHA-256 or better. Sequoia's policy would still let SHA-224 pass.
fn is_strong(hash: HashAlgorithm) -> bool {
    matches!(
        hash,
        HashAlgorithm::SHA256
            | HashAlgorithm::SHA384
            | HashAlgorithm::SHA512
            | HashAlgorithm::SHA3_256
            | HashAlgorithm::SHA3_512
    )
}

/// Gives sequoia the certificates, and takes down its result for every signature.
struct Helper<'a> {
    certs: &'a [Cert],
    policy: &'a StandardPolicy<'a>,
    now: SystemTime,
    /// The signer's fingerprint, or what is wrong, in the order of the signatures.
    results: Vec<Result<String, Error>>,
}

impl VerificationHelper for Helper<'_> {
    fn get_certs(&mut self, ids: &[KeyHandle]) -> sequoia_openpgp::Result<Vec<Cert>> {
        let wanted = |cert: &&Cert| {
            cert.keys()
                .any(|key| ids.iter().any(|id| id.aliases(key.key().key_handle())))
        };
        Ok(self.certs.iter().filter(wanted).cloned().collect())
    }

    fn check(&mut self, structure: MessageStructure<'_>) -> sequoia_openpgp::Result<()> {
        for layer in structure {
            if let MessageLayer::SignatureGroup { results } = layer {
                for result in results {
                    self.results.push(self.judge(result));
                }
            }
        }
        Ok(())
    }
}

impl Helper<'_> {
    fn judge(&self, result: VerificationResult<'_>) -> Result<String, Error> {
        let (sig, cert, error) = match result {
            Ok(good) => return self.judge_good(&good),
            Err(VerificationError::MissingKey { sig }) => {
                return Err(Error::UnknownKeys {
                    ids: vec![issuer(sig)],
                });
            }
            Err(VerificationError::UnboundKey { sig, cert, error }) => (sig, cert, error),
            Err(VerificationError::BadKey { sig, ka, error })
            | Err(VerificationError::BadSignature { sig, ka, error }) => (sig, ka.cert(), error),
            Err(other) => {
                return Err(Error::UnreadableSignature {
                    source: other.to_string().into(),
                });
            }
        };
        // Sequoia stops at the first thing that is wrong, which may be the age of the key. Whether the signature is the
        // key's at all decides between passing it over and refusing the whole, so that is asked first.
        let issuers = sig.get_issuers();
        let mut unsupported = None;
        let is_genuine = cert.keys().key_handles(issuers.iter()).any(|key| {
            let outcome = sig.verify_document(key.key());
            outcome
                .map_err(|error| unsupported = Some(error).filter(is_unsupported))
                .is_ok()
        });
        if !is_genuine {
            let key = issuer(sig);
            return Err(match unsupported {
                Some(error) => Error::UnsupportedSignature {
                    key,
                    source: error.into(),
                },
                None => Error::BadSignature { key },
            });
        }
        self.check_hash(sig)?;
        self.check_cert(cert, sig)?;
        Err(match error.downcast_ref() {
            Some(sequoia_openpgp::Error::Expired(expired)) => Error::ExpiredSignature {
                key: issuer(sig),
                expired: *expired,
            },
            Some(sequoia_openpgp::Error::NotYetLive(valid_from)) => Error::FutureSignature {
                key: issuer(sig),
                valid_from: *valid_from,
            },
            Some(sequoia_openpgp::Error::PolicyViolation(..)) => Error::Policy {
                key: issuer(sig),
                source: error.into(),
            },
            _ => Error::UnusableKey {
                fingerprint: cert.fingerprint().to_hex(),
                source: error.into(),
            },
        })
    }

    /// Sequoia calls a signature good if its key was fit on the day of the signature. For apt, as gpgv tells it (EXPKEYSIG,
    /// REVKEYSIG), the key must be fit today, too.
    fn judge_good(&self, good: &GoodChecksum<'_>) -> Result<String, Error> {
        self.check_hash(good.sig)?;
        self.check_cert(good.ka.cert(), good.sig)?;
        Ok(good.ka.cert().fingerprint().to_hex())
    }

    fn check_hash(&self, sig: &Signature) -> Result<(), Error> {
        if is_strong(sig.hash_algo()) {
            Ok(())
        } else {
            Err(weak(sig))
        }
    }

    /// Whether the certificate, and the key in it that made `sig`, may sign today.
    fn check_cert(&self, cert: &Cert, sig: &Signature) -> Result<(), Error> {
        let fingerprint = cert.fingerprint().to_hex();
        let unfit = |source: sequoia_openpgp::anyhow::Error| match source.downcast_ref() {
            Some(sequoia_openpgp::Error::Expired(expired)) => Error::ExpiredKey {
                fingerprint: fingerprint.clone(),
                expired: *expired,
            },
            Some(sequoia_openpgp::Error::NotYetLive(valid_from)) => Error::FutureSignature {
                key: issuer(sig),
                valid_from: *valid_from,
            },
            Some(sequoia_openpgp::Error::PolicyViolation(..)) => Error::Policy {
                key: fingerprint.clone(),
                source: source.into(),
            },
            _ => Error::UnusableKey {
                fingerprint: fingerprint.clone(),
                source: source.into(),
            },
        };
        // A signer whose clock is a little ahead may have a key from what is the future here.
        let now = sig
            .signature_creation_time()
            .map_or(self.now, |made| made.max(self.now));
        let valid = cert.with_policy(self.policy, now).map_err(unfit)?;
        let revoked = || Error::RevokedKey {
            fingerprint: fingerprint.clone(),
        };
        if matches!(valid.revocation_status(), RevocationStatus::Revoked(_)) {
            return Err(revoked());
        }
        valid.alive().map_err(unfit)?;
        let issuers = sig.get_issuers();
        let mut why_not = None;
        for key in cert.keys().key_handles(issuers.iter()) {
            let key = match key.with_policy(self.policy, now) {
                Ok(key) => key,
                Err(e) => {
                    why_not = Some(unfit(e));
                    continue;
                }
            };
            if matches!(key.revocation_status(), RevocationStatus::Revoked(_)) {
                why_not = Some(revoked());
            } else if let Err(e) = key.alive() {
                why_not = Some(unfit(e));
            } else if !key.for_signing() {
                why_not = Some(Error::UnusableKey {
                    fingerprint: fingerprint.clone(),
                    source: "the key is not made for signing".into(),
                });
            } else {
                return Ok(());
            }
        }
        Err(why_not.unwrap_or(Error::UnknownKeys {
            ids: vec![issuer(sig)],
        }))
    }
}

/// The error for a text without a good signature: what is wrong with the signatures by known keys, or if there are none,
/// who else signed.
fn refusal(problems: Vec<Error>) -> Error {
    let mut unknown = Vec::new();
    let mut known = Vec::new();
    for problem in problems {
        match problem {
            Error::UnknownKeys { ids } => unknown.extend(ids),
            other => known.push(other),
        }
    }
    if known.is_empty() {
        return if unknown.is_empty() {
            Error::NoSignature
        } else {
            Error::UnknownKeys { ids: unknown }
        };
    }
    if !unknown.is_empty() {
        known.push(Error::UnknownKeys { ids: unknown });
    }
    match <[Error; 1]>::try_from(known) {
        Ok([only]) => only,
        Err(problems) => Error::NoneGood { problems },
    }
}

/// Fingerprint or key id of whoever claims to have signed.
fn issuer(sig: &Signature) -> String {
    // Fingerprints come first.
    sig.get_issuers()
        .first()
        .map_or_else(|| "(unnamed)".into(), KeyHandle::to_hex)
}

fn weak(sig: &Signature) -> Error {
    Error::WeakHash {
        key: issuer(sig),
        hash: sig.hash_algo().to_string(),
    }
}

/// Whether it says that nothing was checked: the kind of key, or its curve, is none that is known here.
fn is_unsupported(error: &sequoia_openpgp::anyhow::Error) -> bool {
    matches!(
        error.downcast_ref(),
        Some(
            sequoia_openpgp::Error::UnsupportedEllipticCurve(_)
                | sequoia_openpgp::Error::UnsupportedPublicKeyAlgorithm(_)
        )
    )
}

/// What is said of a signature that was passed over: its error and the causes of that, in one line.
fn warning(problem: &Error) -> String {
    if let Error::UnknownKeys { ids } = problem {
        return format!(
            "a signature was passed over: key {} is not in the keyring",
            ids.join(", ")
        );
    }
    format!(
        "a signature was passed over: {}",
        crate::error::chain(problem)
    )
}

fn check_size(what: &str, bytes: &[u8]) -> Result<(), Error> {
    if bytes.len() > MAX_MESSAGE_BYTES {
        return Err(Error::TooLarge {
            what: what.into(),
            size_bytes: bytes.len(),
            limit_bytes: MAX_MESSAGE_BYTES,
        });
    }
    Ok(())
}
