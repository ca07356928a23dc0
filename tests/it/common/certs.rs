//! Changes keys as their owners do in the course of time.

use std::time::{Duration, SystemTime};

use sequoia_openpgp::Packet;
use sequoia_openpgp::cert::Cert;
use sequoia_openpgp::crypto::KeyPair;
use sequoia_openpgp::packet::Key;
use sequoia_openpgp::packet::Signature;
use sequoia_openpgp::packet::key::{Key4, SubordinateRole};
use sequoia_openpgp::packet::signature::SignatureBuilder;
use sequoia_openpgp::types::{Curve, KeyFlags, SignatureType};

/// The `n`th key of a certificate, the primary one being the first.
pub(crate) fn pair(cert: &Cert, n: usize) -> KeyPair {
    let key = cert.keys().secret().nth(n).unwrap();
    key.key().clone().into_keypair().unwrap()
}

pub(crate) fn insert(cert: &Cert, packets: Vec<Signature>) -> Cert {
    cert.clone().insert_packets(packets).unwrap().0
}

/// Which of a certificate's parts are bound anew.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Parts {
    All,
    Primary,
    /// The signatures that bind the names to the primary key.
    Names,
    /// The signatures of the primary key over itself.
    Direct,
    Subkeys,
}

/// Every newest self-signature once more, made at a time and changed; the old ones stay.
pub(crate) fn bound_anew(
    cert: &Cert,
    at: SystemTime,
    parts: Parts,
    change: impl Fn(SignatureBuilder) -> SignatureBuilder,
) -> Cert {
    let signer = &mut pair(cert, 0);
    let newest = |signatures: Vec<&Signature>| {
        let newest = signatures
            .into_iter()
            .max_by_key(|s| s.signature_creation_time());
        let Signature::V4(newest) = newest.unwrap().clone() else {
            panic!("not of version 4");
        };
        let builder = SignatureBuilder::from(newest);
        change(builder.set_signature_creation_time(at).unwrap())
    };
    let mut fresh = Vec::new();
    let has = |part| parts == Parts::All || parts == part;
    if has(Parts::Names) || parts == Parts::Primary {
        for user in cert.userids() {
            let builder = newest(user.self_signatures().collect());
            fresh.push(user.userid().bind(signer, cert, builder).unwrap());
        }
    }
    let primary = cert.primary_key();
    if (has(Parts::Direct) || parts == Parts::Primary) && primary.self_signatures().next().is_some()
    {
        let builder = newest(primary.self_signatures().collect());
        fresh.push(builder.sign_direct_key(signer, primary.key()).unwrap());
    }
    if has(Parts::Subkeys) {
        for subkey in cert.keys().subkeys() {
            let builder = newest(subkey.self_signatures().collect());
            fresh.push(subkey.key().bind(signer, cert, builder).unwrap());
        }
    }
    insert(cert, fresh)
}

/// The certificate without the self-signatures from before a time, as gpg leaves it when it prolongs a key.
pub(crate) fn without_older(cert: &Cert, than: SystemTime) -> Cert {
    let packets = cert.clone().into_tsk().into_packets();
    let kept = packets.filter(|packet| match packet {
        Packet::Signature(signature) => {
            signature.signature_creation_time() >= Some(than - Duration::from_secs(3600))
        }
        _ => true,
    });
    Cert::from_packets(kept.collect::<Vec<_>>().into_iter()).unwrap()
}

/// Returns the certificate with one more subkey that signs, made at a time.
pub(crate) fn with_signing_subkey(cert: &Cert, at: SystemTime) -> Cert {
    let key: Key<_, SubordinateRole> = Key4::generate_ecc(true, Curve::Ed25519).unwrap().into();
    let mut key = key;
    key.set_creation_time(at).unwrap();
    let mut signs = key.clone().into_keypair().unwrap();
    let builder = SignatureBuilder::new(SignatureType::SubkeyBinding)
        .set_signature_creation_time(at)
        .unwrap()
        .set_key_flags(KeyFlags::empty().set_signing())
        .unwrap();
    let back = SignatureBuilder::new(SignatureType::PrimaryKeyBinding)
        .set_signature_creation_time(at)
        .unwrap()
        .sign_primary_key_binding(&mut signs, cert.primary_key().key(), &key)
        .unwrap();
    let builder = builder.set_embedded_signature(back).unwrap();
    let binding = key.bind(&mut pair(cert, 0), cert, builder).unwrap();
    let packets = [Packet::SecretSubkey(key), Packet::from(binding)];
    cert.clone().insert_packets(packets).unwrap().0
}
