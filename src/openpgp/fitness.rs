//! Decides whether a key may sign today: never more freely than gpgv, which apt 2 asks, and seldom more strictly.
//!
//! gpgv and sqv (which apt 3 asks) look at different days. gpgv judges a key as it stands now, by its newest
//! self-signatures. sqv judges it as it stood when it signed, by the self-signatures of that day. `tests/it/openpgp/table.rs`
//! shows each case below with both programs and the real apt.
//!
//! - **Revoked is revoked.** A revocation counts whatever its reason, its date and its hash, and no newer self-signature
//!   takes it back. sqv forgives a soft reason (superseded, retired) for what was signed before, or if a self-signature
//!   follows. gpgv does not, so no client of apt 2 would take the file either.
//! - **A designated revoker counts** if the keyring has its key, as for gpgv. The owner named it for the day on which the key
//!   is stolen. The revoker's own state does not matter. sqv does not look at these revocations.
//! - **Expired is expired**, by the newest self-signatures in the order in which gpgv asks them: the key's own words before
//!   what binds its names. A self-signature that is too weak to bind can still end a key, but not prolong it.
//! - **A key that was prolonged is good**, for what it signed before as well, even while it was expired. gpg replaces the
//!   self-signatures when it prolongs a key, so sqv finds none of that day and refuses. This gives nothing away: the holder
//!   of a key that is good today could sign the same text today, and the date in a signature is the signer's word alone.
//!   (Old texts are kept out by the Date of a Release.) What we publish ourselves is signed anew in this case, since clients of
//!   apt 3 would refuse it: [`Fitness::check_as_of`].
//! - **Weak or lapsed bindings do not count**, though gpgv takes SHA-1 in them: whoever finds a collision binds a key of his
//!   own. sqv refuses them, too.

use std::time::{Duration, SystemTime};

use sequoia_openpgp::Cert;
use sequoia_openpgp::Fingerprint;
use sequoia_openpgp::cert::amalgamation::key::{
    ErasedKeyAmalgamation, PrimaryKey, ValidErasedKeyAmalgamation,
};
use sequoia_openpgp::cert::amalgamation::{ValidAmalgamation, ValidateAmalgamation};
use sequoia_openpgp::packet::Signature;
use sequoia_openpgp::packet::key::{Key, KeyRole, PublicParts};
use sequoia_openpgp::policy::{HashAlgoSecurity, Policy, StandardPolicy};
use sequoia_openpgp::types::{HashAlgorithm, SignatureType};

use super::Error;
use crate::quoted::quoted;

/// The things that the fitness of a key depends on.
pub(super) struct Fitness<'a> {
    /// All the certificates that may tell of revocations.
    pub(super) certs: &'a [Cert],
    pub(super) policy: &'a StandardPolicy<'a>,
    pub(super) now: SystemTime,
}

impl Fitness<'_> {
    /// Refuses a key that may not sign now: the one with `fingerprint`, which is a part of `cert`.
    pub(super) fn check(&self, cert: &Cert, fingerprint: &Fingerprint) -> Result<(), Error> {
        let unusable = |why: &str| Error::UnusableKey {
            fingerprint: fingerprint.to_hex(),
            source: why.into(),
        };
        let key = cert
            .keys()
            .find(|key| key.key().fingerprint() == *fingerprint);
        let key = key.ok_or_else(|| unusable("it is no part of its certificate"))?;

        self.check_revocations(cert, &key)?;
        check_time(cert, &key, &AsGpgvReads, self.now)?;
        check_time(cert, &key, self.policy, self.now)?;
        self.check_bindings(cert, &key)
    }

    /// Returns when a key will have expired, by its own end or by that of its certificate.
    pub(super) fn end(&self, cert: &Cert, fingerprint: &Fingerprint) -> Option<SystemTime> {
        let mut keys = cert.keys();
        let key = keys.find(|key| key.key().fingerprint() == *fingerprint)?;
        let policies: [&dyn Policy; 2] = [&AsGpgvReads, self.policy];
        let ends = policies.into_iter().flat_map(|policy| {
            let reader = Reader {
                policy,
                now: self.now,
            };
            let born = cert.primary_key().key().creation_time();
            let of_cert = reader
                .lifetime_of_cert(cert)
                .and_then(|t| born.checked_add(t));
            let own = reader.lifetime_of_subkey(&key).filter(|_| !key.primary());
            let own = own.and_then(|t| key.key().creation_time().checked_add(t));
            [of_cert, own]
        });
        ends.flatten().min()
    }

    /// Refuses a key that sqv would refuse for what it signed at a time, if that is cured by a new signature: the self-signatures of
    /// that day are gone, or said otherwise.
    pub(super) fn check_as_of(
        &self,
        cert: &Cert,
        fingerprint: &Fingerprint,
        made: SystemTime,
    ) -> Result<(), Error> {
        let at = |time| {
            let keys = cert.keys().with_policy(self.policy, time);
            let mut keys = keys.alive().for_signing();
            keys.any(|key| {
                key.key().fingerprint() == *fingerprint && key.valid_cert().alive().is_ok()
            })
        };
        match at(made) || !at(self.now) {
            true => Ok(()),
            false => Err(Error::NotBoundThen {
                fingerprint: fingerprint.to_hex(),
                made,
            }),
        }
    }

    fn check_revocations(
        &self,
        cert: &Cert,
        key: &ErasedKeyAmalgamation<'_, PublicParts>,
    ) -> Result<(), Error> {
        if let Some(revocation) = cert.primary_key().self_revocations().next() {
            return Err(revoked(&cert.fingerprint(), None, revocation));
        }
        if let Some((by, revocation)) = self.designated(cert) {
            return Err(revoked(&cert.fingerprint(), Some(by), &revocation));
        }
        match key.self_revocations().next() {
            Some(revocation) => Err(revoked(&key.key().fingerprint(), None, revocation)),
            None => Ok(()),
        }
    }

    /// Finds a revocation of a certificate by somebody whom its owner named for that, and whose key is in the keyring.
    fn designated(&self, cert: &Cert) -> Option<(Fingerprint, Signature)> {
        let revokers: Vec<_> = cert.revocation_keys(&AsGpgvReads).collect();
        if revokers.is_empty() {
            return None;
        }
        let is_revoker =
            |key: &Fingerprint| revokers.iter().any(|revoker| revoker.revoker().1 == key);
        let keys = self.certs.iter().flat_map(Cert::keys);
        let keys: Vec<_> = keys
            .filter(|key| is_revoker(&key.key().fingerprint()))
            .collect();
        // Nobody but the revoker can verify its revocation, so sequoia leaves it wherever it stood.
        let revocations = (cert.primary_key().other_revocations())
            .chain(cert.userids().flat_map(|user| user.other_revocations()))
            .chain(cert.keys().flat_map(|key| key.other_revocations()))
            .chain(cert.bad_signatures())
            .filter(|signature| signature.typ() == SignatureType::KeyRevocation);
        for revocation in revocations {
            let primary = cert.primary_key();
            let by = keys.iter().find(|by| {
                let revocation = revocation.clone();
                revocation
                    .verify_primary_key_revocation(by.key(), primary.key())
                    .is_ok()
            });
            if let Some(by) = by {
                return Some((by.key().fingerprint(), revocation.clone()));
            }
        }
        None
    }

    /// Refuses a key that is not bound, too weak, or not made for signing.
    fn check_bindings(
        &self,
        cert: &Cert,
        key: &ErasedKeyAmalgamation<'_, PublicParts>,
    ) -> Result<(), Error> {
        let valid = cert.with_policy(self.policy, self.now);
        valid.map_err(|e| unfit(&cert.fingerprint(), e))?;
        let own = key.key().fingerprint();
        let key = key.clone().with_policy(self.policy, self.now);
        let key = key.map_err(|e| unfit(&own, e))?;
        if !key.for_signing() {
            return Err(Error::UnusableKey {
                fingerprint: own.to_hex(),
                source: "the key is not made for signing".into(),
            });
        }
        Ok(())
    }
}

/// Refuses a key that has expired, or whose certificate has, by the self-signatures that a policy lets count.
fn check_time(
    cert: &Cert,
    key: &ErasedKeyAmalgamation<'_, PublicParts>,
    policy: &dyn Policy,
    now: SystemTime,
) -> Result<(), Error> {
    let reader = Reader { policy, now };
    let primary = cert.primary_key();
    reader.check(primary.key(), reader.lifetime_of_cert(cert))?;
    match key.primary() {
        true => Ok(()),
        false => reader.check(key.key(), reader.lifetime_of_subkey(key)),
    }
}

/// The reader of self-signatures that reads them as gpgv does.
struct Reader<'a> {
    policy: &'a dyn Policy,
    now: SystemTime,
}

impl Reader<'_> {
    /// Chooses the newest self-signature of those that have not lapsed.
    fn newest<'s>(&self, signatures: impl Iterator<Item = &'s Signature>) -> Option<&'s Signature> {
        let security = HashAlgoSecurity::SecondPreImageResistance;
        signatures
            .filter(|signature| self.policy.signature(signature, security).is_ok())
            .filter(|signature| {
                signature
                    .signature_expiration_time()
                    .is_none_or(|t| t > self.now)
            })
            .max_by_key(|signature| signature.signature_creation_time())
    }

    fn lifetime_of_cert(&self, cert: &Cert) -> Option<Duration> {
        let own_words = self.newest(cert.primary_key().self_signatures());
        let own_words = own_words.and_then(lifetime);
        own_words.or_else(|| self.lifetime_by_names(cert))
    }

    fn lifetime_of_subkey(
        &self,
        subkey: &ErasedKeyAmalgamation<'_, PublicParts>,
    ) -> Option<Duration> {
        self.newest(subkey.self_signatures()).and_then(lifetime)
    }

    /// Reads what the binding says that was made last, of those bindings that say something and whose names were not revoked
    /// since.
    fn lifetime_by_names(&self, cert: &Cert) -> Option<Duration> {
        let bindings = cert.userids().filter_map(|user| {
            let binding = self.newest(user.self_signatures())?;
            let made = binding.signature_creation_time();
            let is_revoked = user
                .self_revocations()
                .any(|revocation| revocation.signature_creation_time() >= made);
            let lives = lifetime(binding)?;
            (!is_revoked).then_some((made, lives))
        });
        bindings.max().map(|(_, lives)| lives)
    }

    fn check<R: KeyRole>(
        &self,
        key: &Key<PublicParts, R>,
        lives: Option<Duration>,
    ) -> Result<(), Error> {
        let fingerprint = key.fingerprint().to_hex();
        let born = key.creation_time();
        if born > self.now {
            return Err(Error::FutureKey {
                fingerprint,
                valid_from: born,
            });
        }
        match lives.and_then(|lives| born.checked_add(lives)) {
            Some(expired) if expired <= self.now => Err(Error::ExpiredKey {
                fingerprint,
                expired,
            }),
            _ => Ok(()),
        }
    }
}

/// Reads for how long a key lives by a self-signature. Zero stands for no end.
fn lifetime(signature: &Signature) -> Option<Duration> {
    let lives = signature.key_validity_period();
    lives.filter(|lives| !lives.is_zero())
}

fn revoked(key: &Fingerprint, by: Option<Fingerprint>, revocation: &Signature) -> Error {
    let reason = revocation.reason_for_revocation().map(|(code, words)| {
        if words.is_empty() {
            code.to_string()
        } else {
            format!("{code}: '{}'", quoted(&String::from_utf8_lossy(words)))
        }
    });
    Error::RevokedKey {
        fingerprint: key.to_hex(),
        by: by.map(|by| by.to_hex()),
        on: revocation.signature_creation_time(),
        reason: reason.unwrap_or_else(|| "no reason given".into()),
    }
}

fn unfit(key: &Fingerprint, source: sequoia_openpgp::anyhow::Error) -> Error {
    let fingerprint = key.to_hex();
    match source.downcast_ref() {
        Some(sequoia_openpgp::Error::PolicyViolation(..)) => Error::WeakKey {
            fingerprint,
            source: source.into(),
        },
        _ => Error::UnusableKey {
            fingerprint,
            source: source.into(),
        },
    }
}

/// The rules by which gpgv reads self-signatures. They are asked for what can end a key, never for what binds one.
#[derive(Debug)]
struct AsGpgvReads;

impl Policy for AsGpgvReads {
    fn signature(&self, signature: &Signature, _: HashAlgoSecurity) -> sequoia_openpgp::Result<()> {
        // GnuPG 2 verifies nothing that uses MD5.
        if signature.hash_algo() == HashAlgorithm::MD5 {
            return Err(sequoia_openpgp::Error::PolicyViolation("MD5".into(), None).into());
        }
        Ok(())
    }

    fn key(&self, _: &ValidErasedKeyAmalgamation<'_, PublicParts>) -> sequoia_openpgp::Result<()> {
        Ok(())
    }
}
