//! Tables of signatures beside a good one, and of keyrings with more in them than the keys that are asked for.
#![cfg_attr(rustfmt, rustfmt::skip)] // A row is a line.

use std::time::Duration;

use sequoia_openpgp::cert::{Cert, CertBuilder, CipherSuite};
use sequoia_openpgp::packet::Packet;
use sequoia_openpgp::packet::signature::subpacket::NotationDataFlags;
use sequoia_openpgp::serialize::SerializeInto;
use sequoia_openpgp::types::{HashAlgorithm, KeyFlags, ReasonForRevocation};
use sequoia_openpgp::{Profile, armor};

use super::certs::*;
use super::table::{Table, ring};

#[test]
fn signatures_beside_a_good_one() {
    let (a, b) = (key("a"), key("b"));
    let expired = expiring(-5);
    let revoked = insert(&b, vec![revocation(&b, &b, -5, ReasonForRevocation::KeyCompromised)]);
    let young = made(CertBuilder::new().add_userid("young").set_creation_time(day(-5))
        .set_primary_key_flags(KeyFlags::empty().set_signing().set_certification()));
    let v6 = made(builder("v6").set_profile(Profile::RFC9580).unwrap());
    let brief = || plain().set_signature_validity_period(Duration::from_secs(60)).unwrap();
    let critical = || plain().add_notation("x@example.org", b"1", NotationDataFlags::empty(), true).unwrap();
    let good = packet(signed_by(&a, 1));
    let by_b = packet(signed_by(&b, 1));
    let mut t = Table::default();
    // Alone, behind a good one, before a good one: gpgv stops at the first one that it cannot read.
    let mut beside = |name: &str, [alone, after, before]: [&str; 3], certs: &[&Cert], other: &[u8]| {
        let keyring = [ring(&[&a]), ring(certs)].concat();
        t.raw(&format!("{name}, alone"), alone, &keyring, &[other]);
        t.raw(&format!("{name}, behind"), after, &keyring, &[&good, other]);
        t.raw(&format!("{name}, before"), before, &keyring, &[other, &good]);
    };
    beside("an unknown key", ["---", "+++", "+++"], &[], &by_b);
    beside("an unknown key, bad", ["---", "+++", "+++"], &[], &packet(bad(&b, 1)));
    beside("a known key, bad", ["---", "--+ BAD", "--+ BAD"], &[&b], &packet(bad(&b, 1)));
    beside("an expired key", ["--+", "+++", "+++"], &[&expired], &packet(signed_by(&expired, 1)));
    beside("an expired key, bad", ["---", "--+ BAD", "--+ BAD"], &[&expired], &packet(bad(&expired, 1)));
    beside("a revoked key", ["---", "+++ was revoked", "+++"], &[&revoked], &by_b);
    beside("a revoked key, bad", ["---", "--+ BAD", "--+ BAD"], &[&revoked], &packet(bad(&b, 1)));
    let early = older_than_its_key(&young);
    beside("older than its key", ["-+- the key was made on", "+++", "+++"], &[&young], &early);
    beside("older than its key, bad", ["--- BAD", "--+ BAD", "--+ BAD"], &[&young], &spoiled(&early));
    beside("from the future", ["-+- not valid before", "+++", "+++"], &[&b], &packet(signed_on(&b, 1, 20, plain())));
    beside("expired", ["--- expired on", "+++", "+-+"], &[&b], &packet(signed_on(&b, 1, SIGNED, brief())));
    beside("a critical notation", ["--- does not count", "+-+", "+-+"], &[&b], &packet(signed_on(&b, 1, SIGNED, critical())));
    for (hash, bad) in [(HashAlgorithm::MD5, ["---", "+++", "+++"]), (HashAlgorithm::SHA1, ["---", "--+ BAD", "--+ BAD"])] {
        beside(&format!("{hash}"), ["---", "+++ too weak", "+++"], &[&b], &packet(hashed(&b, 1, hash)));
        let other = signed(&b, 1, SIGNED, plain().set_hash_algo(hash), "Origin: other\n");
        beside(&format!("{hash}, bad"), bad, &[&b], &packet(other));
    }
    beside("version 6, unknown", ["---", "+++", "+-+"], &[], &packet(signed_by(&v6, 0)));
    // Behind the head of the packet: version, type, kind of key, hash.
    let with = |at: usize, to: u8| {
        let mut other = by_b.clone();
        other[head(&by_b) + at] = to;
        other
    };
    beside("an unknown version", ["---", "+++ cannot be read", "+-+"], &[&b], &with(0, 9));
    beside("version 5", ["---", "+++ cannot be read", "+-+"], &[&b], &with(0, 5));
    beside("another type", ["--- cannot be checked here", "+++", "+-+"], &[&b], &with(1, 0x10));
    beside("an unknown kind of key", ["--- cannot be checked here", "+++", "+++"], &[&b], &with(2, 99));
    beside("another kind of key", ["--- cannot be checked here", "+++", "+++"], &[&b], &with(2, 1));
    beside("an unknown hash", ["--- cannot be checked here", "++-", "+--"], &[&b], &with(3, 77));
    beside("another hash", ["--- BAD", "--+ BAD", "--+ BAD"], &[&b], &with(3, 8));
    t.check();
}

fn head(packet: &[u8]) -> usize {
    if packet[1] < 192 { 2 } else { 3 }
}

/// A packet whose last byte, a part of the signature's number, is another one.
fn spoiled(packet: &[u8]) -> Vec<u8> {
    let mut spoiled = packet.to_vec();
    *spoiled.last_mut().unwrap() ^= 1;
    spoiled
}

#[test]
fn keyrings_of_many_kinds() {
    let (a, b) = (key("a"), key("b"));
    let v6 = made(builder("v6").set_profile(Profile::RFC9580).unwrap());
    let pqc = builder("pqc").set_profile(Profile::RFC9580).unwrap();
    let pqc = made(pqc.set_cipher_suite(CipherSuite::MLDSA65_Ed25519));
    let good = packet(signed_by(&a, 1));
    let (own, other) = (ring(&[&a]), ring(&[&b]));
    let with = |at: usize, to: u8| {
        let mut other = other.clone();
        other[at] = to;
        other
    };
    let mut odd_subkey = own.clone();
    let subkey = a.keys().subkeys().next().unwrap().key().clone();
    let subkey = Packet::from(subkey.parts_as_public().clone()).to_vec().unwrap();
    // Behind the two bytes of the head: version, four bytes of time, kind.
    odd_subkey[memchr::memmem::find(&own, &subkey[..12]).unwrap() + 7] = 99;
    let block = |bytes: &[u8]| {
        let mut writer = armor::Writer::new(Vec::new(), armor::Kind::PublicKey).unwrap();
        std::io::Write::write_all(&mut writer, bytes).unwrap();
        writer.finalize().unwrap()
    };
    let mut t = Table::default();
    t.raw("a secret key", "+-+", &a.as_tsk().to_vec().unwrap(), &[&good]);
    t.raw("twice", "+++", &[own.clone(), own.clone()].concat(), &[&good]);
    t.raw("two armor blocks", "+++", &[block(&other), block(&own)].concat(), &[&good]);
    t.raw("two armor blocks, words between", "+++", &[block(&other), b"some words\n".to_vec(), block(&own)].concat(), &[&good]);
    t.raw("two keys in an armor block", "+++", &block(&ring(&[&b, &a])), &[&good]);
    t.raw("cut short", "---", &own[..own.len() - 20], &[&good]);
    t.raw("a subkey of an unknown kind", "---", &odd_subkey, &[&good]);
    t.raw("a subkey of an unknown kind, primary key", "+++", &odd_subkey, &[&packet(signed_by(&a, 0))]);
    t.row("version 6, alone", "+--", &[&v6], signed_by(&v6, 0));
    t.row("version 6, bad", "--- BAD", &[&v6], bad(&v6, 0));
    t.row("post-quantum, alone", "+--", &[&pqc], signed_by(&pqc, 0));
    t.row("post-quantum, bad", "--- BAD", &[&pqc], bad(&pqc, 0));
    for (name, new) in [("version 6", &v6), ("post-quantum", &pqc)] {
        let keyring = ring(&[&a, new]);
        t.raw(&format!("{name}, beside"), "+--", &keyring, &[&good, &packet(signed_by(new, 0))]);
        t.raw(&format!("{name}, bad beside"), "--- BAD", &keyring, &[&good, &packet(bad(new, 0))]);
        let revoked = insert(new, vec![revocation(new, new, -20, ReasonForRevocation::KeyRetired)]);
        t.row(&format!("{name}, revoked"), "--- was revoked", &[&revoked], signed_by(new, 0));
    }
    t.raw("a key of version 5, alone", "--- version 5", &with(2, 5), &[&good]);
    t.raw("a key of version 5 for one that is asked for", "--- a key of version 5", &[with(2, 5), own.clone()].concat(), &[&packet(signed_by(&b, 1))]);
    for (name, [before, behind, between], bytes) in [
        // The programs are older than these.
        ("a key of version 6", ["+--"; 3], ring(&[&v6])),
        ("a post-quantum key", ["+--"; 3], ring(&[&pqc])),
        ("a key of version 9", ["+--"; 3], with(2, 9)),
        ("a key of version 5", ["+--"; 3], with(2, 5)),
        ("a key of an unknown kind", ["+++"; 3], with(7, 99)),
        ("a trust packet", ["-+-", "+++", "+++"], vec![0xcc, 2, 3, 0]),
        ("a private packet", ["-+-", "+++", "+++"], vec![0xfc, 3, 1, 2, 3]),
        ("padding", ["++-", "+++", "+++"], vec![0xd5, 3, 1, 2, 3]),
        ("a literal packet", ["-+-"; 3], vec![0xcb, 8, b'b', 0, 0, 0, 0, 0, b'x', b'y']),
        ("a signature", ["-+-", "+++", "+++"], good.clone()),
        ("words", ["---"; 3], b"some words\n".to_vec()),
        ("zeros", ["---"; 3], vec![0; 30]),
        ("a key cut short", ["---", "-+-", "---"], other[..other.len() - 20].to_vec()),
    ] {
        t.raw(&format!("{name} before"), before, &[&bytes[..], &own].concat(), &[&good]);
        t.raw(&format!("{name} behind"), behind, &[&own[..], &bytes].concat(), &[&good]);
        t.raw(&format!("{name} between"), between, &[&other[..], &bytes, &own].concat(), &[&good]);
    }
    t.check();
}
