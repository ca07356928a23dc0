//! Makes keys with a past (prolonged, shortened, revoked, bound anew) and signatures of every kind by them.

use std::time::{Duration, SystemTime};

use sequoia_openpgp::cert::{Cert, CertBuilder, CertRevocationBuilder, SubkeyRevocationBuilder};
use sequoia_openpgp::packet::Signature;
use sequoia_openpgp::packet::signature::SignatureBuilder;
use sequoia_openpgp::serialize::SerializeInto;
use sequoia_openpgp::types::{HashAlgorithm, KeyFlags, ReasonForRevocation, SignatureType};
use sequoia_openpgp::{Packet, armor};

use super::oracles::RELEASE;
use crate::common::certs as common;
pub(crate) use crate::common::certs::{Parts, insert, pair};

/// So many days from now, on a whole second, as OpenPGP counts.
pub(crate) fn day(days: i64) -> SystemTime {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    let today = i64::try_from(now.unwrap().as_secs()).unwrap();
    let then = today + days * 24 * 60 * 60;
    SystemTime::UNIX_EPOCH + Duration::from_secs(u64::try_from(then).unwrap())
}

/// On this day every key is made.
pub(crate) const BORN: i64 = -400;
/// On this day everything is signed that is not said to be signed on another.
pub(crate) const SIGNED: i64 = -10;

pub(crate) fn builder(name: &str) -> CertBuilder<'_> {
    CertBuilder::new()
        .add_userid(format!("{name} <{name}@archive.example>"))
        .set_creation_time(day(BORN))
        .set_primary_key_flags(KeyFlags::empty().set_certification().set_signing())
}

/// A key and a subkey, both of which sign.
pub(crate) fn key(name: &str) -> Cert {
    made(builder(name).add_signing_subkey())
}

pub(crate) fn made(builder: CertBuilder<'_>) -> Cert {
    builder.generate().unwrap().0
}

/// A key that expires on a day, with its subkey.
pub(crate) fn expiring(on: i64) -> Cert {
    let lives = day(on).duration_since(day(BORN)).unwrap();
    made(builder("a").add_signing_subkey().set_validity_period(lives))
}

pub(crate) fn plain() -> SignatureBuilder {
    SignatureBuilder::new(SignatureType::Binary)
}

/// A signature of the `n`th key over the Release.
pub(crate) fn signed_by(cert: &Cert, n: usize) -> Signature {
    signed_on(cert, n, SIGNED, plain())
}

pub(crate) fn signed_on(cert: &Cert, n: usize, on: i64, template: SignatureBuilder) -> Signature {
    signed(cert, n, on, template, RELEASE)
}

/// A signature over another text: bad, for those who know the key.
pub(crate) fn bad(cert: &Cert, n: usize) -> Signature {
    signed(cert, n, SIGNED, plain(), "Origin: other\n")
}

pub(crate) fn signed(
    cert: &Cert,
    n: usize,
    on: i64,
    template: SignatureBuilder,
    text: &str,
) -> Signature {
    let template = template.set_signature_creation_time(day(on)).unwrap();
    let signature = template.sign_message(&mut pair(cert, n), text);
    signature.unwrap()
}

pub(crate) fn packet(signature: Signature) -> Vec<u8> {
    Packet::from(signature).to_vec().unwrap()
}

/// A signature with another hash.
pub(crate) fn hashed(cert: &Cert, n: usize, hash: HashAlgorithm) -> Signature {
    signed_on(cert, n, SIGNED, plain().set_hash_algo(hash))
}

/// A genuine signature of a key that is made later than it says.
pub(crate) fn older_than_its_key(cert: &Cert) -> Vec<u8> {
    packet(signed_on(cert, 0, SIGNED, plain()))
}

pub(crate) fn armored(packets: &[&[u8]]) -> String {
    let mut writer = armor::Writer::new(Vec::new(), armor::Kind::Signature).unwrap();
    std::io::Write::write_all(&mut writer, &packets.concat()).unwrap();
    String::from_utf8(writer.finalize().unwrap()).unwrap()
}

pub(crate) fn public(cert: &Cert) -> Vec<u8> {
    cert.clone().strip_secret_key_material().to_vec().unwrap()
}

/// Every newest self-signature once more, made on a day and changed; the old ones stay.
pub(crate) fn bound_anew(
    cert: &Cert,
    on: i64,
    parts: Parts,
    change: impl Fn(SignatureBuilder) -> SignatureBuilder,
) -> Cert {
    common::bound_anew(cert, day(on), parts, change)
}

/// The certificate with another day to expire on, which is said on a day.
pub(crate) fn lives_until(cert: &Cert, on: i64, until: i64, parts: Parts) -> Cert {
    let lives = day(until).duration_since(day(BORN)).unwrap();
    bound_anew(cert, on, parts, |b| {
        b.set_key_validity_period(lives).unwrap()
    })
}

/// The certificate without the self-signatures from before a day, as gpg leaves it when it prolongs a key.
pub(crate) fn without_older(cert: &Cert, than: i64) -> Cert {
    common::without_older(cert, day(than))
}

/// The certificate without what its primary key says of itself, as gpg makes certificates.
pub(crate) fn without_direct(cert: &Cert) -> Cert {
    let packets = cert.clone().into_tsk().into_packets();
    let is_direct = |packet: &Packet| matches!(packet, Packet::Signature(s) if s.typ() == SignatureType::DirectKey);
    let kept: Vec<_> = packets.filter(|packet| !is_direct(packet)).collect();
    Cert::from_packets(kept.into_iter()).unwrap()
}

/// The certificate as it was before it had subkeys.
pub(crate) fn without_subkeys(cert: &Cert) -> Cert {
    cert.clone().retain_subkeys(|_| false)
}

/// The revocation of a certificate, by itself or by another.
pub(crate) fn revocation(by: &Cert, cert: &Cert, on: i64, why: ReasonForRevocation) -> Signature {
    CertRevocationBuilder::new()
        .set_signature_creation_time(day(on))
        .unwrap()
        .set_reason_for_revocation(why, b"told by nobody")
        .unwrap()
        .build(&mut pair(by, 0), cert, None)
        .unwrap()
}

/// The revocation of a certificate's first subkey, by itself or by another.
pub(crate) fn subkey_revocation(
    by: &Cert,
    cert: &Cert,
    on: i64,
    why: ReasonForRevocation,
) -> Signature {
    let subkey = cert.keys().subkeys().next().unwrap();
    SubkeyRevocationBuilder::new()
        .set_signature_creation_time(day(on))
        .unwrap()
        .set_reason_for_revocation(why, b"told by nobody")
        .unwrap()
        .build(&mut pair(by, 0), cert, subkey.key(), None)
        .unwrap()
}
