//! Decides which of our keys sign at a time, and by which of its parts each does.
//!
//! A key that has expired or was revoked is left out as long as another one can sign: no client believes it any more, and one that knows
//! the other key needs the news. The run tells of it. Any other fault of a key ends the signing: a key that never could sign is a mistake
//! of whoever named it.

use std::time::SystemTime;

use sequoia_openpgp::cert::amalgamation::key::{ErasedKeyAmalgamation, PrimaryKey};
use sequoia_openpgp::packet::Signature;
use sequoia_openpgp::packet::key::PublicParts;
use sequoia_openpgp::policy::StandardPolicy;
use sequoia_openpgp::{Cert, Fingerprint};

use super::fitness::Fitness;
use super::judge::policy_with_weak_keys;
use super::{Error, Keyring};

/// The keys that sign at a time.
#[derive(Debug)]
pub struct SigningKeys {
    able: Vec<AbleKey>,
    lapsed: Vec<Error>,
    certificates: Keyring,
}

/// A key that can sign.
#[derive(Debug, Clone)]
pub struct AbleKey {
    /// The place of the key among those that are configured.
    pub(super) number: usize,
    /// The fingerprint of the certificate.
    pub certificate: String,
    /// The fingerprint of the part that signs.
    pub(super) part: Fingerprint,
    /// The time when the key lapses; `None` if none is set.
    pub lapses: Option<SystemTime>,
}

/// A key that is configured to sign, before it is known whether it can.
pub(super) struct Candidate<'a> {
    pub(super) cert: &'a Cert,
    /// The parts that may sign, as far as is known.
    pub(super) parts: Vec<ErasedKeyAmalgamation<'a, PublicParts>>,
    /// The place of the key.
    pub(super) place: String,
    /// The time to judge the key by.
    pub(super) at: SystemTime,
}

impl SigningKeys {
    /// Judges the candidates. An error says that no key can sign, or that one never could.
    pub(super) fn of(
        candidates: &[Candidate<'_>],
        certificates: Keyring,
    ) -> Result<SigningKeys, Error> {
        let mut keys = SigningKeys {
            able: Vec::new(),
            lapsed: Vec::new(),
            certificates,
        };
        for (number, candidate) in candidates.iter().enumerate() {
            let policy = StandardPolicy::at(candidate.at);
            match candidate.judge(number, keys.certificates.certs(), &policy) {
                Ok(able) => keys.able.push(able),
                Err(fault) if fault.is_lapse() => keys.lapsed.push(fault),
                Err(fault) => return Err(fault),
            }
        }
        Ok(keys)
    }

    /// Returns the keys that sign.
    pub fn able(&self) -> &[AbleKey] {
        &self.able
    }

    /// Returns an error for each key that has expired or was revoked.
    pub fn lapsed(&self) -> &[Error] {
        &self.lapsed
    }

    /// Returns the fingerprints of the very keys that sign, sorted.
    pub(crate) fn fingerprints(&self) -> Vec<String> {
        let parts = self.able.iter().map(|key| key.part.to_hex());
        let mut fingerprints: Vec<_> = parts.collect();
        fingerprints.sort_unstable();
        fingerprints
    }

    /// Returns a digest of the certificates, and of the keys among them that sign.
    pub(crate) fn digest(&self) -> Vec<u8> {
        let mut digest = self.certificates.digest().to_vec();
        for key in &self.able {
            digest.extend(key.certificate.bytes());
            digest.extend(key.part.to_hex().bytes());
        }
        digest
    }

    pub(super) fn certificates(&self) -> &Keyring {
        &self.certificates
    }

    pub(super) fn certs(&self) -> &[Cert] {
        self.certificates.certs()
    }

    /// Returns whether some certificates are those that sign, each of them.
    pub(super) fn are(&self, signers: &[String]) -> bool {
        let signs = |signer: &String| self.able.iter().any(|key| key.certificate == *signer);
        let has_signed = |key: &AbleKey| signers.contains(&key.certificate);
        signers.iter().all(signs) && self.able.iter().all(has_signed)
    }

    /// Takes out the error of the last key that cannot sign, if none can.
    pub fn take_inability(&mut self) -> Option<Error> {
        match self.able.is_empty() {
            true => self.lapsed.pop(),
            false => None,
        }
    }

    /// Refuses a clear-signed message of ours that a client who has today's certificates does not believe, by whichever key it knows, and
    /// whether it asks gpgv or sqv. Without a key that signs, a message is refused only if no client believes it. Returns the time before
    /// which the verdict does not change.
    pub(crate) fn check_served(
        &self,
        message: &[u8],
        now: SystemTime,
    ) -> Result<SystemTime, Error> {
        if self.able.is_empty() {
            let verified = self.certificates.verify_own(message, now)?;
            return Ok(verified.holds_until);
        }
        let (judged, holds_until) = self.certificates.signers_for_all(message, now)?;
        let has_signed = |key: &&AbleKey| judged.signers.contains(&key.certificate);
        let Some(missing) = self.able.iter().find(|key| !has_signed(key)) else {
            return Ok(holds_until);
        };
        let key = missing.certificate.clone();
        let fault = judged.problems.into_iter().next();
        Err(fault.unwrap_or(Error::NotSignedBy { key }))
    }
}

/// The worth of one certificate of a keyring.
#[derive(Debug)]
pub struct KeyVerdict {
    /// The fingerprint of the certificate.
    pub certificate: String,
    /// The time when the key lapses; `None` if none is set.
    pub lapses: Option<SystemTime>,
    /// The reason why no signature of the key counts, or would count without the exception for weak keys.
    pub fault: Option<Error>,
    /// `true` if signatures of the key count.
    pub counts: bool,
}

impl Keyring {
    /// Judges each certificate, whatever it signs, at a time.
    pub fn verdicts(&self, now: SystemTime) -> Vec<KeyVerdict> {
        let verdict = |cert: &Cert| {
            let candidate = Candidate {
                cert,
                parts: cert.keys().collect(),
                place: "the keyring".into(),
                at: now,
            };
            let judge = |policy: &StandardPolicy<'_>| candidate.judge(0, self.certs(), policy);
            let (able, fault) = match judge(&StandardPolicy::at(now)) {
                Ok(able) => (Some(able), None),
                Err(fault) if self.takes_weak_keys(now) => {
                    (judge(&policy_with_weak_keys(now)).ok(), Some(fault))
                }
                Err(fault) => (None, Some(fault)),
            };
            KeyVerdict {
                certificate: cert.fingerprint().to_hex(),
                counts: able.is_some(),
                lapses: able.and_then(|able| able.lapses),
                fault,
            }
        };
        self.certs().iter().map(verdict).collect()
    }
}

fn is_for_signing(binding: &Signature) -> bool {
    binding.key_flags().is_some_and(|flags| flags.for_signing())
}

impl Candidate<'_> {
    /// Chooses the part that signs: the newest subkey that clients accept, else the primary key, as gpg does.
    fn judge(
        &self,
        number: usize,
        certs: &[Cert],
        policy: &StandardPolicy<'_>,
    ) -> Result<AbleKey, Error> {
        let fitness = Fitness {
            certs,
            policy,
            now: self.at,
        };
        let mut parts = self.parts.clone();
        parts.retain(|key| key.primary() || key.self_signatures().any(is_for_signing));
        parts.sort_by_key(|key| (key.primary(), std::cmp::Reverse(key.key().creation_time())));
        let mut faults = Vec::new();
        for part in parts.iter().map(|key| key.key().fingerprint()) {
            match fitness.check(self.cert, &part) {
                Ok(()) => {
                    return Ok(AbleKey {
                        number,
                        certificate: self.cert.fingerprint().to_hex(),
                        lapses: fitness.end(self.cert, &part),
                        part,
                    });
                }
                Err(fault) => faults.push(fault),
            }
        }
        // A part that is not made for signing matters least.
        let place = faults.iter().position(Error::is_lapse);
        let place = place.or_else(|| faults.iter().position(Error::is_weak_key));
        let fault = faults.into_iter().nth(place.unwrap_or(0));
        Err(Error::NoSigningKey {
            place: self.place.clone(),
            fingerprint: self.cert.fingerprint().to_hex(),
            at: self.at,
            why: fault.map(Box::new),
        })
    }
}
