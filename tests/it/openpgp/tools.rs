//! Tables of keys and signatures that the OpenPGP programs of Debian make.
#![cfg_attr(rustfmt, rustfmt::skip)] // A row is a line.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::SystemTime;

use super::certs::*;
use super::oracles::RELEASE;
use crate::common::gnupg::Gnupg;
use crate::common::programs::has;
use super::table::{Table, ring};

const PLAIN: [&str; 4] = ["--pinentry-mode", "loopback", "--passphrase", ""];

/// What gpg makes of one key in the course of its life.
#[test]
fn a_key_that_gpg_keeps() {
    let Some(gnupg) = Gnupg::new() else { return };
    let at = |on: i64, args: &[&str], input: &[u8]| {
        let time = day(on).duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs().to_string();
        gnupg.gpg(&[&PLAIN[..], &["--faked-system-time", &time], args].concat(), input)
    };
    at(BORN, &["--quick-gen-key", "a@x", "ed25519", "sign,cert", "390d"], b"");
    let primary = gnupg.fingerprints("a@x").remove(0);
    let sign = |on: i64| at(on, &["--local-user", &primary, "--detach-sign"], RELEASE.as_bytes());
    let export = || gnupg.gpg(&["--export", &primary], b"");
    let mut t = Table::default();
    let first = sign(-20);
    let before = export();
    t.raw("expired since", "--+", &before, &[&first]);
    at(-12, &["--quick-set-expire", &primary, "5y"], b"");
    let prolonged = export();
    t.raw("prolonged", "++-", &prolonged, &[&first]);
    t.raw("prolonged, signed anew", "+++", &prolonged, &[&sign(-9)]);
    at(-8, &["--quick-add-key", &primary, "ed25519", "sign", "30d"], b"");
    t.raw("a subkey added", "++-", &export(), &[&first]);
    let by_subkey = sign(-7);
    t.raw("signed by the new subkey", "+++", &export(), &[&by_subkey]);
    t.raw("signed by a subkey that the keyring lacks", "---", &prolonged, &[&by_subkey]);
    at(-6, &["--quick-set-expire", &primary, "2y", "*"], b"");
    t.raw("the subkey prolonged", "++-", &export(), &[&by_subkey]);
    at(-5, &["--quick-add-uid", &primary, "second@x"], b"");
    t.raw("a name added", "++-", &export(), &[&by_subkey]);
    at(-4, &["--quick-revoke-uid", &primary, "a@x"], b"");
    t.raw("a name revoked", "++-", &export(), &[&by_subkey]);
    at(BORN, &["--quick-gen-key", "other@x", "ed25519", "cert", "0"], b"");
    at(-3, &["--local-user", "other@x", "--quick-sign-key", &primary], b"");
    t.raw("certified by another", "++-", &export(), &[&by_subkey]);
    let minimal = gnupg.gpg(&["--export-options", "export-minimal", "--export", &primary], b"");
    t.raw("exported small", "++-", &minimal, &[&by_subkey]);
    // What a keyring holds that was imported again and again.
    gnupg.gpg(&["--import"], &before);
    t.raw("old and new bindings", "+++", &export(), &[&first]);
    t.check();
}

/// The owner names a revoker, and the revoker revokes.
#[test]
fn a_key_that_its_named_revoker_revokes_with_gpg() {
    let Some(gnupg) = Gnupg::new() else { return };
    for user in ["a@x", "friend@x"] {
        gnupg.gpg(&[&PLAIN[..], &["--quick-gen-key", user, "ed25519", "sign,cert", "0"]].concat(), b"");
    }
    let (a, friend) = (gnupg.fingerprints("a@x").remove(0), gnupg.fingerprints("friend@x").remove(0));
    let signature = gnupg.gpg(&["--local-user", &a, "--detach-sign"], RELEASE.as_bytes());
    let answers = |args: &[&str], answers: &str| {
        gnupg.gpg(&[&["--no-batch", "--command-fd", "0"], &PLAIN[..], args].concat(), answers.as_bytes())
    };
    answers(&["--edit-key", &a, "addrevoker", "save"], &format!("{friend}\ny\n"));
    let export = |keys: &[&str]| gnupg.gpg(&[&["--export"], keys].concat(), b"");
    let mut t = Table::default();
    t.raw("a revoker named", "+++", &export(&[&a, &friend]), &[&signature]);
    let revocation = answers(&["--desig-revoke", &a], "y\n1\n\ny\n");
    gnupg.gpg(&["--import"], &revocation);
    t.raw("revoked", "--+ its owner had named", &export(&[&a, &friend]), &[&signature]);
    t.raw("revoked, the revoker not there", "+++", &export(&[&a]), &[&signature]);
    t.check();
}

#[test]
fn kinds_of_keys_of_gpg() {
    let Some(gnupg) = Gnupg::new() else { return };
    let a = key("a");
    let good = packet(signed_by(&a, 1));
    let mut t = Table::default();
    for (name, kind, length, alone, bad) in [
        ("RSA of 1024 bits", "RSA", "1024", "-+- too weak", "--+ BAD"),
        ("RSA of 5120 bits", "RSA", "5120", "-++ cannot be checked here", "+-+ cannot be checked here"),
        ("DSA of 1024 bits", "DSA", "1024", "-+- too weak", "--+ BAD"),
        ("DSA of 2048 bits", "DSA", "2048", "+++", "--+ BAD"),
        ("DSA of 3072 bits", "DSA", "3072", "+++", "--+ BAD"),
        ("brainpoolP256r1", "ECDSA", "brainpoolP256r1", "-+- cannot be checked here", "+-+ cannot be checked here"),
        ("secp256k1", "ECDSA", "secp256k1", "-+- cannot be checked here", "+-+ cannot be checked here"),
    ] {
        let user = format!("k{length}-{kind}@x");
        let size = if kind == "ECDSA" { "Key-Curve" } else { "Key-Length" };
        let script = format!("%no-protection\nKey-Type: {kind}\n{size}: {length}\nKey-Usage: sign,cert\nName-Email: {user}\nExpire-Date: 0\n%commit\n");
        gnupg.gpg(&["--enable-large-rsa", "--gen-key"], script.as_bytes());
        let keyring = [ring(&[&a]), gnupg.gpg(&["--export", &user], b"")].concat();
        let sign = |text: &str| gnupg.gpg(&["--digest-algo", "SHA256", "--local-user", &user, "--detach-sign"], text.as_bytes());
        t.raw(&format!("{name}, alone"), alone, &keyring, &[&sign(RELEASE)]);
        t.raw(&format!("{name}, beside"), "+++", &keyring, &[&good, &sign(RELEASE)]);
        // Of what is not checked nobody knows that it is bad.
        t.raw(&format!("{name}, bad beside"), bad, &keyring, &[&good, &sign("Origin: other\n")]);
    }
    t.check();
}

#[test]
fn keys_of_other_programs() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("Release"), RELEASE).unwrap();
    let mut t = Table::default();
    for (program, script) in [
        ("sqop", "sqop generate-key a@x > secret.key; sqop extract-cert < secret.key > cert; sqop sign secret.key < Release > sig"),
        ("gosop", "gosop generate-key a@x > secret.key; gosop extract-cert < secret.key > cert; gosop sign secret.key < Release > sig"),
        ("sq", "sq key generate --userid a@x --expires-in 1y --export key; sq key extract-cert key > cert; sq sign --detached --signer-key key Release > sig"),
        ("rnp", "mkdir -m 700 rnp; rnpkeys --homedir rnp --generate-key --userid a@x --password '' >&2
            rnp --homedir rnp --password '' --userid a@x --detach --sign --output sig Release >&2; rnpkeys --homedir rnp --export-key a@x > cert"),
    ] {
        let place = dir.path().join(program);
        fs::create_dir(&place).unwrap();
        fs::copy(dir.path().join("Release"), place.join("Release")).unwrap();
        if !has(program) {
            continue;
        }
        let output = Command::new("sh").args(["-ec", script]).current_dir(&place).stdin(Stdio::null()).output().unwrap();
        assert!(output.status.success(), "{program}: {}", String::from_utf8_lossy(&output.stderr));
        let signature = dearmored(&place.join("sig"));
        t.raw(program, "+++", &dearmored(&place.join("cert")), &[&signature]);
    }
    t.check();
}

fn dearmored(path: &Path) -> Vec<u8> {
    let bytes = fs::read(path).unwrap();
    if !bytes.starts_with(b"-") {
        return bytes;
    }
    let mut packets = Vec::new();
    let mut reader = sequoia_openpgp::armor::Reader::from_bytes(&bytes, None);
    std::io::copy(&mut reader, &mut packets).unwrap();
    packets
}

/// The revocations of gpg: the whole key or its subkey, for each reason that it offers.
#[test]
fn keys_that_gpg_revokes() {
    let Some(gnupg) = Gnupg::new() else { return };
    let mut t = Table::default();
    for (number, reason, expected) in [
        (0, "no reason", "---"),
        (1, "stolen", "---"),
        (2, "superseded", "--+ was revoked"),
        (3, "no longer used", "--+ was revoked"),
    ] {
        let at = |on: i64, args: &[&str], input: &str| {
            let time = day(on).duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs().to_string();
            gnupg.gpg(&[&PLAIN[..], &["--faked-system-time", &time], args].concat(), input.as_bytes())
        };
        let answers = |args: &[&str], input: &str| at(-5, &[&["--no-batch", "--command-fd", "0"], args].concat(), input);
        let key = |name: &str| {
            let user = format!("{name}{number}@x");
            at(BORN, &["--quick-gen-key", &user, "ed25519", "sign,cert", "0"], "");
            gnupg.fingerprints(&user).remove(0)
        };
        let sign = |key: &str| at(SIGNED, &["--local-user", key, "--detach-sign"], RELEASE);
        let export = |key: &str| gnupg.gpg(&["--export", key], b"");
        let whole = key("whole");
        let signature = sign(&whole);
        let revocation = answers(&["--gen-revoke", &whole], &format!("y\n{number}\n\ny\n"));
        gnupg.gpg(&["--import"], &revocation);
        t.raw(&format!("{reason}, the whole key"), expected, &export(&whole), &[&signature]);
        let part = key("part");
        at(BORN, &["--quick-add-key", &part, "ed25519", "sign", "0"], "");
        let (by_primary, by_subkey) = (sign(&format!("{part}!")), sign(&part));
        answers(&["--edit-key", &part], &format!("key 1\nrevkey\ny\n{number}\n\ny\nsave\n"));
        t.raw(&format!("{reason}, the subkey"), expected, &export(&part), &[&by_subkey]);
        t.raw(&format!("{reason}, the primary key of the subkey"), "+++", &export(&part), &[&by_primary]);
    }
    t.check();
}

/// The judgement of a signature when its key is changed by another program than the one that made it.
#[test]
fn keys_that_other_programs_change() {
    let dir = tempfile::tempdir().unwrap();
    let mut t = Table::default();
    // Each script makes a key and a signature, and a few states of the certificate thereafter.
    type Case = (&'static str, &'static str, &'static [(&'static str, &'static str)]);
    let cases: [Case; 2] = [
        ("sq", "sq key generate --userid a@x --expires-in 1y --export key; sq sign --detached --signer-key key Release > sig
            sq key extract-cert key > made; sleep 2
            sq key userid add --userid second@x --output more key; sq key extract-cert more > named
            revoked() {
                sq revoke certificate --certificate key $1 gone > r; mkdir -m 700 gpg-$1
                for file in made r; do gpg --homedir gpg-$1 --batch --quiet --import $file; done
                gpg --homedir gpg-$1 --export > $1
            }
            revoked retired; revoked compromised",
            &[("made", "+++"), ("named", "+++"), ("retired", "--+ was revoked"), ("compromised", "--- was revoked")]),
        ("rnp", "mkdir -m 700 rnp; k() { rnpkeys --homedir rnp --password '' \"$@\" >&2; }; k --generate-key --userid a@x
            rnp --homedir rnp --password '' --userid a@x --detach --sign --output sig Release >&2; rnpkeys --homedir rnp --export-key a@x > made; sleep 2
            k --revoke-key --rev-type superseded --rev-reason gone a@x; rnpkeys --homedir rnp --export-key a@x > superseded",
            &[("made", "+++"), ("superseded", "--+ Key is superseded")]),
    ];
    for (program, script, states) in cases {
        let place = dir.path().join(program);
        fs::create_dir(&place).unwrap();
        fs::write(place.join("Release"), RELEASE).unwrap();
        if !has(program) {
            continue;
        }
        let output = Command::new("sh").args(["-ec", script]).current_dir(&place).stdin(Stdio::null()).output().unwrap();
        assert!(output.status.success(), "{program}: {}", String::from_utf8_lossy(&output.stderr));
        let signature = dearmored(&place.join("sig"));
        for (state, expected) in states {
            t.raw(&format!("{program}, {state}"), expected, &dearmored(&place.join(state)), &[&signature]);
        }
    }
    // gpg prolongs what others made, and drops their self-signatures.
    for program in ["gosop", "sqop"] {
        let Some(gnupg) = Gnupg::new().filter(|_| has(program)) else { continue };
        let place = dir.path().join(program);
        fs::create_dir(&place).unwrap();
        fs::write(place.join("Release"), RELEASE).unwrap();
        let script = format!("{program} generate-key a@x > secret.key; {program} extract-cert < secret.key > made; {program} sign secret.key < Release > sig; sleep 2");
        let output = Command::new("sh").args(["-ec", &script]).current_dir(&place).output().unwrap();
        assert!(output.status.success(), "{program}: {}", String::from_utf8_lossy(&output.stderr));
        gnupg.import(&place.join("secret.key"));
        let primary = gnupg.fingerprints("a@x").remove(0);
        let signature = dearmored(&place.join("sig"));
        for parts in [&[][..], &["*"]] {
            gnupg.gpg(&[&PLAIN[..], &["--quick-set-expire", &primary, "5y"], parts].concat(), b"");
        }
        t.raw(&format!("{program}, made"), "+++", &dearmored(&place.join("made")), &[&signature]);
        t.raw(&format!("{program}, prolonged by gpg"), "++-", &gnupg.gpg(&["--export", &primary], b""), &[&signature]);
    }
    t.check();
}
