//! Decides what one signature is worth: whose it is, whether it is genuine, and whether it counts.
//!
//! # Genuine first
//! The order of the questions matters. A known key's signature that is not genuine means that the file was altered, and
//! refuses the whole file, as for apt. A genuine one that does not count (expired, revoked, weak, made too early or too late)
//! is passed over. So the first question is whether the key made this signature over this text, and only then what the
//! signature and its key are worth.
//!
//! # Bad, or not checked
//! "Bad" is said only of what was computed and does not fit. The library has no code for some keys that gpgv knows (RSA over
//! 4096 bits, Brainpool's curves), nor for algorithms, hashes, versions and types of the future. A signature of such a kind is
//! passed over. This gives nothing away: whoever could put it there could take it away as well, and a good signature by
//! another key must still stand beside it. By the same reasoning the order of the signatures decides nothing, though gpgv
//! stops at the first one that it cannot read.
//!
//! Signatures and keys of version 6 and post-quantum ones count. gpgv 2.2 and sqv 1 cannot read them, which is no verdict on them.

use std::time::{Duration, SystemTime};

use sequoia_openpgp::cert::amalgamation::key::ErasedKeyAmalgamation;
use sequoia_openpgp::crypto::hash::Hash;
use sequoia_openpgp::crypto::mpi;
use sequoia_openpgp::packet::Signature;
use sequoia_openpgp::packet::key::{Key, PublicParts, UnspecifiedRole};
use sequoia_openpgp::policy::{AsymmetricAlgorithm, HashAlgoSecurity, Policy, StandardPolicy};
use sequoia_openpgp::types::{Curve, HashAlgorithm, SignatureType};
use sequoia_openpgp::{Cert, Fingerprint, KeyHandle, Packet};

use super::Error;
use super::fitness::Fitness;

/// The most that the signer's clock may be ahead of ours.
pub(super) const CLOCK_SKEW: Duration = Duration::from_secs(5 * 60);

/// The longest RSA modulus and exponent that the library computes with.
const MAX_RSA_BITS: (usize, usize) = (4096, 33);

type PublicKey = Key<PublicParts, UnspecifiedRole>;

/// The judge of signatures over one text.
pub(super) struct Judge<'a> {
    pub(super) certs: &'a [Cert],
    pub(super) policy: &'a StandardPolicy<'a>,
    pub(super) now: SystemTime,
    pub(super) text: &'a [u8],
    /// `true` if a signature counts only where sqv takes it as well.
    pub(super) for_sqv_too: bool,
    /// `true` if the policy lets weak keys count.
    pub(super) takes_weak_keys: bool,
}

/// The least length of RSA and DSA keys that count where weak ones do: shorter ones were broken in practice.
const MIN_WEAK_BITS: usize = 1024;

/// Returns the policy that lets keys count as gpgv does: short ones, and those bound by SHA-1. Nothing else of it differs.
pub(super) fn policy_with_weak_keys(now: SystemTime) -> StandardPolicy<'static> {
    let mut policy = StandardPolicy::at(now);
    policy.accept_hash(HashAlgorithm::SHA1);
    policy.accept_asymmetric_algo(AsymmetricAlgorithm::RSA1024);
    policy.accept_asymmetric_algo(AsymmetricAlgorithm::DSA1024);
    policy
}

/// The key whose signature counts.
pub(super) struct SignedBy {
    /// The fingerprint of its certificate.
    pub(super) certificate: String,
    /// The time when the key lapses; `None` if none is set.
    pub(super) lapses: Option<SystemTime>,
}

impl Judge<'_> {
    /// Returns the key whose signature counts, or the reason why it does not.
    pub(super) fn judge(&self, signature: &Signature) -> Result<SignedBy, Error> {
        let issuers = signature.get_issuers();
        let named = |key: &ErasedKeyAmalgamation<'_, PublicParts>| {
            let handle = key.key().key_handle();
            issuers.iter().any(|issuer| issuer.aliases(&handle))
        };
        let keys = self.certs.iter().flat_map(Cert::keys).filter(named);
        let keys: Vec<_> = keys.collect();
        if keys.is_empty() {
            return Err(Error::UnknownKeys {
                ids: vec![issuer(signature)],
                left_out: Vec::new(),
            });
        }
        let genuine = self.genuine(signature, &keys)?;
        self.check_signature(signature)?;
        let mut verdict = Err(Error::BadSignature {
            key: issuer(signature),
        });
        for key in genuine {
            verdict = self.check_key(signature, &key);
            if verdict.is_ok() {
                break;
            }
        }
        verdict
    }

    /// Returns those of the named keys that made the signature: at least one.
    ///
    /// The text is hashed only where that decides something: a stranger's 32 signatures must not cost 32 hashes of 10 MB.
    fn genuine<'c>(
        &self,
        signature: &Signature,
        keys: &[ErasedKeyAmalgamation<'c, PublicParts>],
    ) -> Result<Vec<ErasedKeyAmalgamation<'c, PublicParts>>, Error> {
        if signature.hash_algo() == HashAlgorithm::MD5 {
            // Anybody can make two texts of one digest, and GnuPG does not compute it any more.
            return Err(weak(signature));
        }
        if !matches!(signature.typ(), SignatureType::Binary | SignatureType::Text) {
            let why = format!("it is of the type {}", signature.typ());
            return Err(unsupported(signature, why));
        }
        let mut unchecked = None;
        let mut checked = keys.to_vec();
        checked.retain(|key| {
            let known = kind_is_known(signature, key.key());
            known.map_err(|why| unchecked = Some(why)).is_ok()
        });
        if !checked.is_empty() {
            let Some(digest) = digest(signature, self.text) else {
                let why = signature.hash_algo().to_string();
                return Err(unsupported(signature, why));
            };
            checked.retain(|key| is_genuine(signature, key.key(), &digest));
        }
        match unchecked {
            _ if !checked.is_empty() => Ok(checked),
            Some(why) => Err(unsupported(signature, why)),
            None => Err(Error::BadSignature {
                key: issuer(signature),
            }),
        }
    }

    /// Refuses a genuine signature that is weak, out of date or not to be understood.
    fn check_signature(&self, signature: &Signature) -> Result<(), Error> {
        if !is_strong(signature.hash_algo()) {
            return Err(weak(signature));
        }
        let key = || issuer(signature);
        let (packet, security) = (
            Packet::from(signature.clone()),
            HashAlgoSecurity::CollisionResistance,
        );
        (self.policy.packet(&packet))
            .and_then(|()| self.policy.signature(signature, security))
            .map_err(|e| Error::Policy {
                key: key(),
                source: e.into(),
            })?;
        let made = made(signature)?;
        let expires = signature.signature_expiration_time();
        if let Some(expired) = expires.filter(|expires| *expires <= self.now) {
            return Err(Error::ExpiredSignature {
                key: key(),
                expired,
            });
        }
        if made > self.now.checked_add(CLOCK_SKEW).unwrap_or(self.now) {
            return Err(Error::FutureSignature {
                key: key(),
                valid_from: made,
            });
        }
        Ok(())
    }

    /// Refuses a key that is younger than its signature, or unfit.
    fn check_key(
        &self,
        signature: &Signature,
        key: &ErasedKeyAmalgamation<'_, PublicParts>,
    ) -> Result<SignedBy, Error> {
        let made = made(signature)?;
        let born = key.key().creation_time();
        if made < born {
            // sqv refuses it. gpgv does as well, unless it is told to ignore it, as apt 2 does.
            return Err(Error::OlderThanKey {
                key: issuer(signature),
                made,
                born,
            });
        }
        let fitness = Fitness {
            certs: self.certs,
            policy: self.policy,
            // A signer whose clock is a little ahead may have a key from what is the future here.
            now: self.now.max(made),
        };
        let fingerprint = key.key().fingerprint();
        if self.takes_weak_keys {
            for mpis in [key.key().mpis(), key.cert().primary_key().key().mpis()] {
                check_length(&fingerprint, mpis)?;
            }
        }
        fitness.check(key.cert(), &fingerprint)?;
        if self.for_sqv_too {
            fitness.check_as_of(key.cert(), &fingerprint, made)?;
        }
        Ok(SignedBy {
            certificate: key.cert().fingerprint().to_hex(),
            lapses: fitness.end(key.cert(), &fingerprint),
        })
    }
}

/// Refuses a key that is shorter than any that may count.
fn check_length(fingerprint: &Fingerprint, mpis: &mpi::PublicKey) -> Result<(), Error> {
    let (mpi::PublicKey::RSA { n: number, .. } | mpi::PublicKey::DSA { p: number, .. }) = mpis
    else {
        return Ok(());
    };
    match number.bits() {
        bits if bits < MIN_WEAK_BITS => Err(Error::WeakKey {
            fingerprint: fingerprint.to_hex(),
            source: format!("it has {bits} bits").into(),
        }),
        _ => Ok(()),
    }
}

/// Returns whether the key made the signature, whatever their dates. The kind of the signature must be known.
fn is_genuine(signature: &Signature, key: &PublicKey, digest: &[u8]) -> bool {
    signature.verify_digest(key, digest).is_ok()
        // The library accepts no signature that is older than its key. Such a signature counts for nobody, but it is not bad.
        || signature.signature_creation_time() < Some(key.creation_time())
            && key
                .verify(signature.mpis(), signature.hash_algo(), digest)
                .is_ok()
}

/// Refuses a kind of signature or key that the library has no code for, and a signature and a key that do not belong together.
fn kind_is_known(signature: &Signature, key: &PublicKey) -> Result<(), String> {
    if (signature.version() == 6) != (key.version() == 6) {
        return Err(format!(
            "a signature of version {} by a key of version {}",
            signature.version(),
            key.version()
        ));
    }
    match (key.mpis(), signature.mpis()) {
        (mpi::PublicKey::RSA { e, n }, mpi::Signature::RSA { .. }) => {
            let fits = n.bits() <= MAX_RSA_BITS.0 && e.bits() <= MAX_RSA_BITS.1;
            fits.then_some(())
                .ok_or_else(|| format!("RSA of {} bits", n.bits()))
        }
        (mpi::PublicKey::ECDSA { curve, .. }, mpi::Signature::ECDSA { .. }) => {
            let fits = curve.is_supported();
            fits.then_some(())
                .ok_or_else(|| format!("the curve {curve}"))
        }
        (mpi::PublicKey::EdDSA { curve, .. }, mpi::Signature::EdDSA { .. }) => {
            let fits = *curve == Curve::Ed25519;
            fits.then_some(())
                .ok_or_else(|| format!("the curve {curve}"))
        }
        _ => {
            let (of, by) = (signature.pk_algo(), key.pk_algo());
            let fits = of == by && by.is_supported();
            let why = || format!("a signature of the kind {of} by a key of the kind {by}");
            fits.then_some(()).ok_or_else(why)
        }
    }
}

/// Returns whether a hash is SHA-256 or better.
///
/// apt and sqv accept SHA-224. We do not: hardly any archive uses it, and nobody promises that it will hold beyond 2030.
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

fn made(signature: &Signature) -> Result<SystemTime, Error> {
    let made = signature.signature_creation_time();
    made.ok_or_else(|| super::signatures::unreadable("it does not say when it was made"))
}

/// Returns the fingerprint or key id of the key that the signature claims to be by.
fn issuer(signature: &Signature) -> String {
    // Fingerprints come first.
    let issuers = signature.get_issuers();
    let first = issuers.first();
    first.map_or_else(|| "(unnamed)".into(), KeyHandle::to_hex)
}

fn weak(signature: &Signature) -> Error {
    Error::WeakHash {
        key: issuer(signature),
        hash: signature.hash_algo().to_string(),
    }
}

fn unsupported(signature: &Signature, why: String) -> Error {
    Error::UnsupportedSignature {
        key: issuer(signature),
        source: why.into(),
    }
}

/// Hashes a text as `signature` has it. `None` if its hash is not known here.
fn digest(signature: &Signature, text: &[u8]) -> Option<Vec<u8>> {
    let mut context = signature
        .hash_algo()
        .context()
        .ok()?
        .for_signature(signature.version());
    if let Some(salt) = signature.salt() {
        context.update(salt);
    }
    if signature.typ() == SignatureType::Text {
        // Lines of a text end in CRLF when they are hashed (RFC 9580, section 5.2.1.2). Ours has no CR.
        for line in text.split_inclusive(|&c| c == b'\n') {
            match line.strip_suffix(b"\n") {
                Some(line) => {
                    context.update(line);
                    context.update(b"\r\n");
                }
                None => context.update(line),
            }
        }
    } else {
        context.update(text);
    }
    signature.hash(&mut context).ok()?;
    context.into_digest().ok()
}
