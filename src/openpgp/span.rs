//! The time for which a verdict on signatures stays what it is.
//!
//! The verdict depends on the text, on the signatures, on the certificates, on this program, and on the clock. The clock is compared with
//! nothing but times that stand in the signatures and certificates, the day on which weak keys end to count, and the days from which
//! the library takes an algorithm no more. So between two neighbours of all these times no comparison has another outcome. The times are
//! collected from the whole keyring, whoever signed: rather too many than too few. And no verdict is taken for more than a day, whatever
//! they say.

use std::time::{Duration, SystemTime};

use sequoia_openpgp::Cert;
use sequoia_openpgp::packet::Signature;
use sequoia_openpgp::policy::{AsymmetricAlgorithm, HashAlgoSecurity, StandardPolicy};
use sequoia_openpgp::types::HashAlgorithm;

use super::judge::CLOCK_SKEW;

/// The longest time for which a verdict is taken.
const LONGEST: Duration = Duration::from_secs(24 * 3600);

/// Returns the time before which a verdict of `now` on these signatures does not change; `more` are further times that it depends on.
pub(super) fn end(
    certs: &[Cert],
    signatures: &[Signature],
    more: Option<SystemTime>,
    now: SystemTime,
) -> SystemTime {
    let mut end = now.checked_add(LONGEST).unwrap_or(now);
    let mut note = |time: Option<SystemTime>| {
        if let Some(time) = time.filter(|time| *time >= now) {
            end = end.min(time);
        }
    };
    note(more);
    for signature in signatures {
        of_signature(signature, &mut note);
    }
    for cert in certs {
        of_cert(cert, &mut note);
    }
    of_policy(now, &mut note);
    end
}

fn of_signature(signature: &Signature, note: &mut impl FnMut(Option<SystemTime>)) {
    let made = signature.signature_creation_time();
    note(made);
    note(made.and_then(|made| made.checked_sub(CLOCK_SKEW)));
    note(signature.signature_expiration_time());
}

fn of_cert(cert: &Cert, note: &mut impl FnMut(Option<SystemTime>)) {
    let primary = cert.primary_key().key().creation_time();
    for key in cert.keys() {
        let born = key.key().creation_time();
        note(Some(born));
        for signature in key.signatures() {
            of_signature(signature, note);
            let lives = signature.key_validity_period();
            note(lives.and_then(|lives| born.checked_add(lives)));
            note(lives.and_then(|lives| primary.checked_add(lives)));
        }
    }
    let users = cert.userids().flat_map(|user| {
        let signatures = user.signatures();
        signatures.cloned().collect::<Vec<_>>()
    });
    let attributes = cert.user_attributes().flat_map(|user| {
        let signatures = user.signatures();
        signatures.cloned().collect::<Vec<_>>()
    });
    for signature in users.chain(attributes) {
        of_signature(&signature, note);
        let lives = signature.key_validity_period();
        note(lives.and_then(|lives| primary.checked_add(lives)));
    }
}

/// Notes the days from which the library takes an algorithm no more. A policy that takes more has fewer of them.
fn of_policy(now: SystemTime, note: &mut impl FnMut(Option<SystemTime>)) {
    let policy = StandardPolicy::at(now);
    for hash in HashAlgorithm::variants() {
        note(policy.hash_cutoff(hash, HashAlgoSecurity::CollisionResistance));
        note(policy.hash_cutoff(hash, HashAlgoSecurity::SecondPreImageResistance));
    }
    for algorithm in AsymmetricAlgorithm::variants() {
        note(policy.asymmetric_algo_cutoff(algorithm));
    }
}
