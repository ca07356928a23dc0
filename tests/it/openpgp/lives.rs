//! Tables of keys that expire, are prolonged, revoked, bound anew or too weak.
#![cfg_attr(rustfmt, rustfmt::skip)] // A row is a line.

use aptmerge::openpgp::Keyring;
use sequoia_openpgp::cert::{Cert, CertRevocationBuilder, CipherSuite, UserIDRevocationBuilder};
use sequoia_openpgp::packet::signature::subpacket::SubpacketTag;
use sequoia_openpgp::packet::Signature;
use sequoia_openpgp::packet::signature::SignatureBuilder;
use sequoia_openpgp::types::ReasonForRevocation::{KeyCompromised, KeyRetired, KeySuperseded, UIDRetired, Unspecified};
use sequoia_openpgp::types::{HashAlgorithm, KeyFlags};

use super::certs::*;
use super::oracles::RELEASE;
use super::table::{Table, ring};

#[test]
fn plain_signatures() {
    let (a, b) = (key("a"), key("b"));
    let certifier = made(builder("c").set_primary_key_flags(KeyFlags::empty().set_certification()).add_transport_encryption_subkey());
    let mut t = Table::default();
    t.row("by the primary key", "+++", &[&a], signed_by(&a, 0));
    t.row("by a subkey", "+++", &[&a], signed_by(&a, 1));
    t.row("by a key that is not there", "--- not in the keyring", &[&b], signed_by(&a, 1));
    t.row("over another text", "--- BAD signature", &[&a], bad(&a, 1));
    t.row("by a key that only certifies", "--- not made for signing", &[&certifier], signed_by(&certifier, 0));
    let old = without_subkeys(&a);
    t.row("by a subkey that the keyring lacks", "---", &[&old], signed_by(&a, 1));
    t.row("by the primary key of such a keyring", "+++", &[&old], signed_by(&a, 0));
    t.row("by two", "+++", &[&old, &b], signed_by(&b, 0));
    t.check();
}

#[test]
fn keys_that_expire() {
    let a = key("a");
    let (gone, lapsed) = (expiring(-5), expiring(-20));
    let prolonged = lives_until(&gone, -7, 900, Parts::All);
    let late = lives_until(&gone, -2, 900, Parts::All);
    let revived = lives_until(&lapsed, -5, 900, Parts::All);
    let shortened = lives_until(&a, -8, -5, Parts::All);
    let mut t = Table::default();
    for (name, expected, cert) in [
        ("expired since", "--+ expired on", &gone),
        ("expired before it signed", "--- expired on", &lapsed),
        ("prolonged after it signed", "+++", &prolonged),
        ("prolonged, old bindings gone", "++-", &without_older(&prolonged, -7)),
        ("prolonged after it expired", "+++", &late),
        ("prolonged after it expired, old bindings gone", "++-", &without_older(&late, -2)),
        ("signed while expired, then prolonged", "++-", &revived),
        ("signed while expired, then prolonged, old bindings gone", "++-", &without_older(&revived, -5)),
        ("shortened after it signed", "--+ expired on", &shortened),
        ("shortened and prolonged again", "+++", &lives_until(&shortened, -4, 900, Parts::All)),
        ("bound anew without a change", "+++", &bound_anew(&a, -5, Parts::All, |b| b)),
        ("bound anew without a change, old bindings gone", "++-", &without_older(&bound_anew(&a, -5, Parts::All, |b| b), -5)),
    ] {
        t.row(&format!("{name}, primary key"), expected, &[cert], signed_by(cert, 0));
        t.row(&format!("{name}, subkey"), expected, &[cert], signed_by(cert, 1));
    }
    let subkey = lives_until(&a, -8, -5, Parts::Subkeys);
    t.row("a subkey that expired since", "--+ expired on", &[&subkey], signed_by(&subkey, 1));
    t.row("the primary key of an expired subkey", "+++", &[&subkey], signed_by(&subkey, 0));
    let subkey = lives_until(&subkey, -4, 900, Parts::Subkeys);
    t.row("a subkey that was prolonged", "+++", &[&subkey], signed_by(&subkey, 1));
    let primary = lives_until(&a, -20, -5, Parts::Primary);
    t.row("a subkey whose primary key has expired", "--+ expired on", &[&primary], signed_by(&primary, 1));
    let bare = bound_anew(&without_older(&a, BORN), -20, Parts::Subkeys, |mut b| {
        b.hashed_area_mut().remove_all(SubpacketTag::EmbeddedSignature);
        b.unhashed_area_mut().remove_all(SubpacketTag::EmbeddedSignature);
        b
    });
    t.row("a subkey whose newest binding it did not sign", "---", &[&without_older(&bare, -20)], signed_by(&a, 1));
    let user = a.userids().next().unwrap().userid().clone();
    let revocation = UserIDRevocationBuilder::new().set_signature_creation_time(day(-20)).unwrap()
        .set_reason_for_revocation(UIDRetired, b"").unwrap().build(&mut pair(&a, 0), &a, &user, None);
    t.row("the only name revoked", "+++", &[&insert(&a, vec![revocation.unwrap()])], signed_by(&a, 0));
    t.row("no name", "+++", &[&a.clone().retain_userids(|_| false)], signed_by(&a, 0));
    t.row("a name and no word of the key's own", "+++", &[&without_direct(&a)], signed_by(&a, 0));
    t.row("a name and no word of the key's own, subkey", "+++", &[&without_direct(&a)], signed_by(&a, 1));
    // One kind of self-signature is changed, as some programs do.
    let names = lives_until(&gone, -7, 900, Parts::Names);
    t.row("prolonged by the names' bindings alone", "--+ expired on", &[&names], signed_by(&names, 0));
    let direct = lives_until(&gone, -7, 900, Parts::Direct);
    t.row("prolonged by the key's own words alone", "+++", &[&direct], signed_by(&direct, 0));
    let names = lives_until(&a, -8, -5, Parts::Names);
    t.row("shortened by the names' bindings alone", "--+ expired on", &[&names], signed_by(&names, 0));
    let direct = lives_until(&a, -8, -5, Parts::Direct);
    t.row("shortened by the key's own words alone", "--+ expired on", &[&direct], signed_by(&direct, 0));
    let brief = std::time::Duration::from_secs(60);
    let lapsing = bound_anew(&without_older(&a, BORN), -20, Parts::All, |b| b.set_signature_validity_period(brief).unwrap());
    t.row("a newer binding that has lapsed", "+++", &[&lapsing], signed_by(&a, 0));
    let lapsing = without_older(&lapsing, -20);
    t.row("nothing but a binding that has lapsed", "-+- may not be used", &[&lapsing], signed_by(&a, 0));
    t.check();
}

#[test]
fn keys_that_are_revoked() {
    let a = key("a");
    let mut t = Table::default();
    for (reason, before, after) in [
        (KeyCompromised, "--- was revoked on", "--- 'told by nobody'"),
        (Unspecified, "--- was revoked on", "---"),
        (KeyRetired, "--+ was revoked on", "---"),
        (KeySuperseded, "--+ Key is superseded", "---"),
    ] {
        for (when, expected) in [(-5, before), (-20, after)] {
            let name = |what: &str| format!("{what}, {reason}, day {when}");
            let primary = insert(&a, vec![revocation(&a, &a, when, reason)]);
            t.row(&name("primary key"), expected, &[&primary], signed_by(&a, 0));
            t.row(&name("subkey of a primary key"), expected, &[&primary], signed_by(&a, 1));
            let subkey = insert(&a, vec![subkey_revocation(&a, &a, when, reason)]);
            t.row(&name("subkey"), expected, &[&subkey], signed_by(&a, 1));
            t.row(&name("primary key of a subkey"), "+++", &[&subkey], signed_by(&a, 0));
        }
    }
    // A newer self-signature takes a soft revocation back for sequoia, and does not for GnuPG.
    let back = bound_anew(&insert(&a, vec![revocation(&a, &a, -20, KeyRetired)]), -15, Parts::All, |b| b);
    t.row("retired, then bound anew", "--+ Key is retired", &[&back], signed_by(&a, 0));
    t.row("retired, then bound anew, subkey", "--+ Key is retired", &[&back], signed_by(&a, 1));
    let back = bound_anew(&insert(&a, vec![subkey_revocation(&a, &a, -20, KeySuperseded)]), -15, Parts::Subkeys, |b| b);
    t.row("subkey superseded, then bound anew", "--+ Key is superseded", &[&back], signed_by(&a, 1));
    let back = bound_anew(&insert(&a, vec![revocation(&a, &a, -20, KeyCompromised)]), -15, Parts::All, |b| b);
    t.row("stolen, then bound anew", "---", &[&back], signed_by(&a, 0));
    let future = insert(&a, vec![revocation(&a, &a, 20, KeyRetired)]);
    t.row("retired in the future", "--+ was revoked", &[&future], signed_by(&a, 0));
    let split = [ring(&[&a]), ring(&[&insert(&a, vec![revocation(&a, &a, -20, KeyRetired)])])].concat();
    t.raw("revoked in the second copy of the key", "-+-", &split, &[&packet(signed_by(&a, 0))]);
    t.check();
}

#[test]
fn keys_that_others_revoke() {
    let (friend, stranger) = (key("friend"), key("stranger"));
    let a = made(builder("a").add_signing_subkey().set_revocation_keys(vec![(&friend).into()]));
    let mut t = Table::default();
    for reason in [KeyCompromised, KeyRetired] {
        for when in [-20, -5] {
            let revoked = insert(&a, vec![revocation(&friend, &a, when, reason)]);
            let name = |what: &str| format!("{what}, {reason}, day {when}");
            t.row(&name("revoker there"), "--+ its owner had named", &[&revoked, &friend], signed_by(&a, 0));
            t.row(&name("revoker there, subkey"), "--+ its owner had named", &[&revoked, &friend], signed_by(&a, 1));
            t.row(&name("revoker first"), "--+ its owner had named", &[&friend, &revoked], signed_by(&a, 0));
            t.row(&name("revoker not there"), "+++", &[&revoked], signed_by(&a, 0));
        }
    }
    let revoked = insert(&a, vec![revocation(&friend, &a, -20, KeyRetired)]);
    let back = bound_anew(&revoked, -15, Parts::All, |b| b);
    t.row("revoked, then bound anew", "--+", &[&back, &friend], signed_by(&a, 0));
    let other = insert(&a, vec![revocation(&stranger, &a, -20, KeyCompromised)]);
    t.row("revoked by somebody else", "+++", &[&other, &stranger, &friend], signed_by(&a, 0));
    // No program that apt asks counts this one.
    let subkey = insert(&a, vec![subkey_revocation(&friend, &a, -20, KeyCompromised)]);
    t.row("the revoker revokes a subkey", "+++", &[&subkey, &friend], signed_by(&a, 1));
    // The revoker's own state does not matter.
    let late = insert(&a, vec![revocation(&friend, &a, -15, KeyCompromised)]);
    let lapsed = lives_until(&friend, -30, -20, Parts::All);
    t.row("the revoker had expired", "--+", &[&late, &lapsed], signed_by(&a, 0));
    let stolen = insert(&friend, vec![revocation(&friend, &friend, -30, KeyCompromised)]);
    t.row("the revoker was revoked", "--+", &[&late, &stolen], signed_by(&a, 0));
    let mut forged = packet(revocation(&friend, &a, -20, KeyCompromised));
    *forged.last_mut().unwrap() ^= 1;
    // Behind the primary key, whose length takes one byte.
    let (public, friend) = (ring(&[&a]), ring(&[&friend]));
    let (primary, rest) = public.split_at(2 + usize::from(public[1]));
    let forged = [primary, &forged, rest, &friend].concat();
    t.raw("a forged revocation", "+++", &forged, &[&packet(signed_by(&a, 0))]);
    t.check();
}

#[test]
fn weak_keys_and_signatures() {
    let a = key("a");
    let with = |hash| move |builder: SignatureBuilder| builder.set_hash_algo(hash);
    let bound = |on, hash| without_older(&bound_anew(&a, on, Parts::All, with(hash)), on);
    let sha1 = bound(-15, HashAlgorithm::SHA1);
    let mut t = Table::default();
    t.row("bound by SHA-1", "-+- too weak", &[&sha1], signed_by(&a, 0));
    t.row("bound by SHA-1, subkey", "-+- too weak", &[&sha1], signed_by(&a, 1));
    t.row("bound by SHA-1 long ago", "-+- too weak", &[&bound(BORN + 1, HashAlgorithm::SHA1)], signed_by(&a, 0));
    t.row("bound by SHA-224", "+++", &[&bound(-15, HashAlgorithm::SHA224)], signed_by(&a, 1));
    let mended = bound_anew(&sha1, -12, Parts::All, with(HashAlgorithm::SHA256));
    t.row("bound by SHA-1, then by SHA-256", "+++", &[&mended], signed_by(&a, 0));
    let worse = bound_anew(&a, -15, Parts::All, with(HashAlgorithm::SHA1));
    t.row("bound by SHA-512, then by SHA-1", "+++", &[&worse], signed_by(&a, 0));
    // The newest self-signature ends the key's life, in a hash that sequoia does not look at.
    let lives = day(-5).duration_since(day(BORN)).unwrap();
    let ended = bound_anew(&a, -15, Parts::All, |b| b.set_hash_algo(HashAlgorithm::SHA1).set_key_validity_period(lives).unwrap());
    t.row("ended by SHA-1", "--+ expired on", &[&ended], signed_by(&a, 0));
    t.row("ended by SHA-1, subkey", "--+ expired on", &[&ended], signed_by(&a, 1));
    let longer = day(900).duration_since(day(BORN)).unwrap();
    let by_sha1 = bound_anew(&expiring(-5), -15, Parts::All, |b| b.set_hash_algo(HashAlgorithm::SHA1).set_key_validity_period(longer).unwrap());
    t.row("prolonged by SHA-1", "-++ expired on", &[&by_sha1], signed_by(&by_sha1, 0));
    let revocation = CertRevocationBuilder::new().set_signature_creation_time(day(-5)).unwrap()
        .set_reason_for_revocation(KeyCompromised, b"").unwrap().build(&mut pair(&a, 0), &a, HashAlgorithm::SHA1);
    let revoked = insert(&a, vec![revocation.unwrap()]);
    t.row("revoked by SHA-1", "---", &[&revoked], signed_by(&a, 0));
    for (hash, expected) in [
        (HashAlgorithm::MD5, "--- MD5"),
        (HashAlgorithm::RipeMD, "--- RipeMD"),
        (HashAlgorithm::SHA1, "--- SHA1"),
        (HashAlgorithm::SHA224, "-++ SHA224"),
        (HashAlgorithm::SHA256, "+++"),
        (HashAlgorithm::SHA384, "+++"),
        (HashAlgorithm::SHA512, "+++"),
    ] {
        t.row(&format!("a signature with {hash}"), expected, &[&a], hashed(&a, 1, hash));
    }
    for suite in [CipherSuite::RSA2k, CipherSuite::P256, CipherSuite::P384, CipherSuite::P521] {
        let cert: Cert = made(builder("b").set_cipher_suite(suite));
        t.row(&format!("{suite:?}"), "+++", &[&cert], signed_by(&cert, 0));
    }
    t.check();
}

/// The exception for weak keys is for keys alone, and ends.
#[test]
fn weak_keys_for_the_time_being() {
    let a = key("a");
    let sha1 = bound_anew(&a, -15, Parts::All, |builder| builder.set_hash_algo(HashAlgorithm::SHA1));
    let sha1 = without_older(&sha1, -15);
    let verdict = |until: i64, cert: &Cert, signature: Signature| {
        let keyring = Keyring::from_bytes(&ring(&[cert])).unwrap();
        let keyring = keyring.taking_weak_keys_until(Some(day(until)));
        let signature = armored(&[&packet(signature)]);
        keyring.verify_detached(RELEASE.as_bytes(), signature.as_bytes(), day(0))
    };
    for n in [0, 1] {
        let verified = verdict(1, &sha1, signed_by(&sha1, n)).unwrap();
        assert!(verified.weakness.unwrap().contains("SHA1"));
        assert!(verdict(0, &sha1, signed_by(&sha1, n)).is_err());
    }
    assert_eq!(verdict(1, &a, signed_by(&a, 1)).unwrap().weakness, None);
    assert!(verdict(1, &sha1, hashed(&sha1, 1, HashAlgorithm::SHA1)).is_err());
    assert!(verdict(1, &sha1, bad(&sha1, 1)).is_err());
    let revoked = insert(&sha1, vec![revocation(&sha1, &sha1, -5, KeyRetired)]);
    assert!(verdict(1, &revoked, signed_by(&revoked, 0)).is_err());
}
