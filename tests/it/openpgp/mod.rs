//! Signing and verifying, held against gpgv and sqv, and against what an attacker on the way might do.

mod certs;
mod files;
mod lives;
mod oracles;
mod table;
mod tools;

use std::fs;
use std::io::Write;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, SystemTime};

use aptmerge::openpgp::{
    Error, Keyring, MAX_MESSAGE_BYTES, MAX_SIGNATURES, Signed, Signer, Verified,
};
use sequoia_openpgp::cert::{Cert, CertBuilder, CertRevocationBuilder};
use sequoia_openpgp::packet::signature::SignatureBuilder;
use sequoia_openpgp::policy::{AsymmetricAlgorithm, StandardPolicy};
use sequoia_openpgp::serialize::SerializeInto;
use sequoia_openpgp::serialize::stream::{Armorer, Message, Signer as SequoiaSigner};
use sequoia_openpgp::types::{HashAlgorithm, KeyFlags, ReasonForRevocation, SignatureType};

use crate::common::gnupg::Gnupg;
use crate::common::programs::write_script;

const DAY: Duration = Duration::from_secs(24 * 60 * 60);
const BODY: &[u8] =
    b"Origin: Example\nSuite: stable\n-dash\n--- two\nFrom here\nSHA256:\n 00 0 main\n\n\n";

/// 2025-06-01, in the past for every gpgv that runs this.
fn at() -> SystemTime {
    SystemTime::UNIX_EPOCH + 20_240 * DAY
}

fn builder(name: &str) -> CertBuilder<'_> {
    CertBuilder::new()
        .add_userid(format!("{name} <{name}@archive.example>"))
        .set_creation_time(at() - 100 * DAY)
}

/// A key with a signing subkey, as archives have them.
fn key(name: &str) -> Cert {
    builder(name).add_signing_subkey().generate().unwrap().0
}

fn hex(cert: &Cert) -> String {
    cert.fingerprint().to_hex()
}

fn keyring(certs: &[&Cert]) -> Keyring {
    let bytes: Vec<u8> = certs
        .iter()
        .flat_map(|cert| cert.to_vec().unwrap())
        .collect();
    Keyring::from_bytes(&bytes).unwrap()
}

fn write_private(path: &Path, bytes: &[u8], mode: u32) {
    fs::write(path, bytes).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

fn signer(keys: &[&Cert]) -> Signer {
    let dir = tempfile::tempdir().unwrap();
    let paths: Vec<PathBuf> = (0..keys.len())
        .map(|n| dir.path().join(format!("{n}.key")))
        .collect();
    for (key, path) in keys.iter().zip(&paths) {
        write_private(path, &key.as_tsk().to_vec().unwrap(), 0o600);
    }
    Signer::key_files(&paths).unwrap()
}

fn sign(keys: &[&Cert]) -> Signed {
    signer(keys).sign(BODY, at()).unwrap()
}

/// A detached signature that our own signer would not make.
fn odd_signature(
    key: &Cert,
    text: &[u8],
    hash: HashAlgorithm,
    template: SignatureBuilder,
) -> Vec<u8> {
    let policy = StandardPolicy::at(at());
    let pair = key
        .keys()
        .with_policy(&policy, at())
        .for_signing()
        .unencrypted_secret()
        .next()
        .map(|key| key.key().clone().into_keypair().unwrap())
        .unwrap();
    let mut out = Vec::new();
    let armorer = Armorer::new(Message::new(&mut out))
        .kind(sequoia_openpgp::armor::Kind::Signature)
        .build()
        .unwrap();
    let mut writer = SequoiaSigner::with_template(armorer, pair, template)
        .unwrap()
        .detached()
        .hash_algo(hash)
        .unwrap()
        .creation_time(at())
        .build()
        .unwrap();
    writer.write_all(text).unwrap();
    writer.finalize().unwrap();
    out
}

fn plain_template() -> SignatureBuilder {
    SignatureBuilder::new(SignatureType::Binary)
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

/// The signature block of an InRelease.
fn block(inline: &[u8]) -> &str {
    let inline = text(inline);
    inline
        .get(inline.find("-----BEGIN PGP SIGNATURE").unwrap()..)
        .unwrap()
}

fn structure(result: Result<Verified, Error>) -> &'static str {
    match result {
        Err(Error::Structure { why, .. }) => why,
        other => panic!("{other:?}"),
    }
}

/// Runs an oracle; `None`, said aloud, if this machine has none.
fn oracle(program: &str, args: &[&Path]) -> Option<Output> {
    match Command::new(program)
        .args(args)
        .stdin(Stdio::null())
        .output()
    {
        Ok(output) => Some(output),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => {
            crate::common::programs::skipped(program);
            None
        }
        Err(e) => panic!("{program}: {e}"),
    }
}

/// Both forms must please gpgv with as many good signatures as expected, and the detached one sqv.
fn oracles_accept(signed: &Signed, certificates: &Keyring, signatures: usize) {
    let dir = tempfile::tempdir().unwrap();
    let file = |name: &str, bytes: &[u8]| {
        let path = dir.path().join(name);
        fs::write(&path, bytes).unwrap();
        path
    };
    let keys = file("keys.gpg", &certificates.to_bytes().unwrap());
    let release = file("Release", BODY);
    let detached = file("Release.gpg", &signed.detached);
    let inline = file("InRelease", &signed.inline);
    let out = dir.path().join("out");
    let p = Path::new;

    let home = dir.path();
    let gpgv = [
        p("--homedir"),
        home,
        p("--status-fd"),
        p("1"),
        p("--keyring"),
        &keys,
    ];
    let cases: [&[&Path]; 2] = [&[p("--output"), &out, &inline], &[&detached, &release]];
    for case in cases {
        let Some(output) = oracle("gpgv", &[&gpgv[..], case].concat()) else {
            break;
        };
        // Sequoia salts its signatures with a notation, which gpgv prints raw.
        let status = String::from_utf8_lossy(&output.stdout);
        assert!(
            output.status.success(),
            "{case:?}: {status} {}",
            String::from_utf8_lossy(&output.stderr)
        );
        assert_eq!(
            status.matches("GOODSIG").count(),
            signatures,
            "{case:?}: {status}"
        );
    }
    if out.exists() {
        assert_eq!(
            fs::read(&out).unwrap(),
            BODY,
            "gpgv reads the same text as we do"
        );
    }
    if let Some(output) = oracle("sqv", &[p("--keyring"), &keys, &detached, &release]) {
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
        assert_eq!(text(&output.stdout).lines().count(), signatures);
    }
}

fn forms_hold(signed: &Signed, certificates: &Keyring, now: SystemTime, signers: &[String]) {
    for form in [&signed.inline, &signed.detached] {
        assert_eq!(text(form).matches("BEGIN PGP SIGNATURE").count(), 1);
    }
    // debootstrap takes the text apart by itself: no empty line may appear that is not in the Release.
    let end = format!(" 00 0 main\n\n\n{}", block(&signed.inline));
    assert!(
        text(&signed.inline).ends_with(&end),
        "{}",
        text(&signed.inline)
    );
    for verified in [
        certificates.verify_inline(&signed.inline, now).unwrap(),
        certificates
            .verify_detached(BODY, &signed.detached, now)
            .unwrap(),
    ] {
        assert_eq!(verified.body, BODY);
        assert_eq!(verified.warnings, Vec::<String>::new());
        let (mut found, mut wanted) = (verified.signers, signers.to_vec());
        found.sort();
        wanted.sort();
        assert_eq!(found, wanted);
    }
}

#[test]
fn one_key_signs_and_everybody_agrees() {
    let a = key("a");
    let signer = signer(&[&a]);
    let signed = signer.sign(BODY, at()).unwrap();
    let certificates = signer.certificates().unwrap();
    forms_hold(&signed, &certificates, at(), &[hex(&a)]);
    oracles_accept(&signed, &certificates, 1);
}

#[test]
fn two_keys_sign_in_one_armor_block() {
    let rsa = builder("rsa")
        .set_cipher_suite(sequoia_openpgp::cert::CipherSuite::RSA2k)
        .set_primary_key_flags(KeyFlags::empty().set_signing().set_certification())
        .generate()
        .unwrap()
        .0;
    let a = key("a");
    let signer = signer(&[&a, &rsa]);
    let signed = signer.sign(BODY, at()).unwrap();
    let certificates = signer.certificates().unwrap();
    forms_hold(&signed, &certificates, at(), &[hex(&a), hex(&rsa)]);
    oracles_accept(&signed, &certificates, 2);
}

#[test]
fn gpg_signs_with_two_keys_in_one_armor_block() {
    let Some(gnupg) = Gnupg::new() else { return };
    let (a, _) = gnupg.key("a@archive.example");
    let (b, b_sub) = gnupg.key("b@archive.example");
    // One is named by its primary key, the other by a subkey.
    let signer = gnupg.signer(&[&a, &b_sub]);
    let now = SystemTime::now();
    // A run that began a while ago signs with the time at which it began.
    let signed = signer.sign(BODY, now - Duration::from_secs(3600)).unwrap();
    let certificates = signer.certificates().unwrap();
    forms_hold(&signed, &certificates, now, &[a, b]);
    oracles_accept(&signed, &certificates, 2);
}

#[test]
fn gpg_signs_with_the_subkey_that_was_named() {
    let Some(gnupg) = Gnupg::new() else { return };
    let (primary, first) = gnupg.key("a@archive.example");
    let plain = ["--pinentry-mode", "loopback", "--passphrase", ""];
    gnupg.gpg(
        &[
            &plain[..],
            &["--quick-add-key", &primary, "ed25519", "sign", "0"],
        ]
        .concat(),
        b"",
    );
    let newer = gnupg.fingerprints(&primary).last().unwrap().clone();
    let now = SystemTime::now();
    for (named, used) in [
        (first.clone(), &first),
        (newer.clone(), &newer),
        (format!("{primary}!"), &primary),
    ] {
        let signed = gnupg.signer(&[&named]).sign(BODY, now).unwrap();
        let listing = gnupg.gpg(&["--list-packets"], &signed.detached);
        let id = used.get(24..).unwrap();
        assert!(
            text(&listing).contains(&format!("keyid {id}")),
            "{named}: {}",
            text(&listing)
        );
    }
}

#[test]
fn gpg_that_fails_is_quoted_and_a_large_text_does_not_block() {
    let missing = Signer::gpg("/nonexistent/gpg".into(), None, vec!["A".into()]);
    assert!(matches!(
        missing.sign(BODY, at()),
        Err(Error::GpgStart { .. })
    ));
    let none = Signer::gpg("gpg".into(), None, Vec::new());
    assert!(matches!(none.sign(BODY, at()), Err(Error::NoKeys)));

    let Some(gnupg) = Gnupg::new() else { return };
    let (a, _) = gnupg.key("a@archive.example");
    match gnupg
        .signer(&["0123456789ABCDEF0123456789ABCDEF01234567"])
        .sign(BODY, at())
    {
        Err(Error::Gpg { stderr, .. }) => assert!(stderr.contains("nothing exported"), "{stderr}"),
        other => panic!("{other:?}"),
    }
    // One of two keys is missing: it must not simply sign with the other.
    let two = gnupg.signer(&[&a, "0123456789ABCDEF0123456789ABCDEF01234567"]);
    match two.sign(BODY, at()) {
        Err(Error::GpgLacksKey { key, .. }) => assert!(key.starts_with("0123"), "{key}"),
        other => panic!("{other:?}"),
    }

    let large = b"some line of a file\n".repeat(300_000);
    let signed = gnupg.signer(&[&a]).sign(&large, SystemTime::now()).unwrap();
    assert!(signed.inline.len() > large.len());

    // A gpg that never reads its input, and one that claims success.
    let deaf = gnupg.home().join("deaf");
    for (script, expected) in [
        ("echo out of luck >&2; exit 3", "out of luck"),
        ("exit 0", ""),
    ] {
        let wrapper =
            format!("#!/bin/sh\ncase \"$*\" in *--export*) exec gpg \"$@\";; esac\n{script}\n");
        write_script(&deaf, &wrapper);
        match Signer::gpg(deaf.clone(), Some(gnupg.home().into()), vec![a.clone()])
            .sign(&large, at())
        {
            Err(Error::Gpg { stderr, .. }) => assert_eq!(stderr.trim(), expected),
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn gpg_clearsigns_and_we_read_the_text_as_gpg_does() {
    let Some(gnupg) = Gnupg::new() else { return };
    let (a, _) = gnupg.key("a@archive.example");
    let certificates = gnupg.signer(&[&a]).certificates().unwrap();
    for body in [
        &b"a\n"[..],
        b"a\n\n\n",
        b"\n\na\n",
        b"- a\n-- b\n-----BEGIN PGP SIGNATURE-----\n",
        b"a \t \nb\n",
        BODY,
    ] {
        let inline = gnupg.gpg(&["--clearsign", "--digest-algo", "SHA256"], body);
        let verified = certificates
            .verify_inline(&inline, SystemTime::now())
            .unwrap();
        let expected = gnupg.gpg(&["--decrypt"], &inline);
        // gpg prints spaces at line ends, although they are not signed.
        let expected = text(&expected).replace(" \t \n", "\n");
        assert_eq!(text(&verified.body), expected);
    }
    // The text kind of a detached signature.
    let detached = gnupg.gpg(&["--detach-sign", "--textmode"], BODY);
    assert_eq!(
        certificates
            .verify_detached(BODY, &detached, SystemTime::now())
            .unwrap()
            .body,
        BODY
    );
    // SHA-1.
    let weak = gnupg.gpg(&["--clearsign", "--digest-algo", "SHA1"], BODY);
    let refused = certificates.verify_inline(&weak, SystemTime::now());
    assert!(
        matches!(&refused, Err(Error::WeakHash { hash, .. }) if hash == "SHA1"),
        "{refused:?}"
    );
}

#[test]
fn detached_signatures_come_in_every_shape() {
    let (a, b) = (key("a"), key("b"));
    let ring = keyring(&[&a, &b]);
    let both = [sign(&[&a]).detached, b"\n".to_vec(), sign(&[&b]).detached].concat();
    let verified = ring.verify_detached(BODY, &both, at()).unwrap();
    assert_eq!(verified.signers, [hex(&a), hex(&b)]);

    let mut binary = Vec::new();
    let armored = sign(&[&a, &b]).detached;
    let mut reader = sequoia_openpgp::armor::Reader::from_bytes(&armored, None);
    std::io::copy(&mut reader, &mut binary).unwrap();
    assert_eq!(
        ring.verify_detached(BODY, &binary, at())
            .unwrap()
            .signers
            .len(),
        2
    );
    assert!(
        ring.verify_detached(BODY, binary.get(..binary.len() - 9).unwrap(), at())
            .is_err()
    );

    // The same signature many times is one signer; too many are refused before any is verified.
    let once = sign(&[&a]).detached;
    assert_eq!(
        ring.verify_detached(BODY, &once.repeat(3), at())
            .unwrap()
            .signers,
        [hex(&a)]
    );
    let refused = ring.verify_detached(BODY, &once.repeat(MAX_SIGNATURES + 1), at());
    assert!(
        matches!(refused, Err(Error::TooManySignatures { .. })),
        "{refused:?}"
    );

    let textual = odd_signature(
        &a,
        BODY,
        HashAlgorithm::SHA256,
        SignatureBuilder::new(SignatureType::Text),
    );
    assert_eq!(
        ring.verify_detached(BODY, &textual, at()).unwrap().body,
        BODY
    );
    // Under it, CRLF hashes like LF: it must not come through as verified.
    let crlf = text(BODY).replace('\n', "\r\n");
    assert!(
        structure(ring.verify_detached(crlf.as_bytes(), &textual, at()))
            .contains("carriage return")
    );

    assert!(matches!(
        ring.verify_detached(BODY, b"", at()),
        Err(Error::NoSignature)
    ));
    let not_a_signature = a.armored().to_vec().unwrap();
    structure(ring.verify_detached(BODY, &not_a_signature, at()));
    let packets = a.to_vec().unwrap();
    let refused = ring.verify_detached(BODY, &packets, at());
    assert!(
        matches!(refused, Err(Error::UnreadableSignature { .. })),
        "{refused:?}"
    );
}

#[test]
fn a_message_that_was_tampered_with_is_refused() {
    let a = key("a");
    let ring = keyring(&[&a]);
    let good = String::from_utf8(sign(&[&a]).inline).unwrap();
    let signature = block(good.as_bytes()).to_owned();
    let verify = |message: &str| ring.verify_inline(message.as_bytes(), at());
    assert_eq!(verify(&good).unwrap().body, BODY);

    assert!(structure(verify(&format!("Origin: evil\n{good}"))).contains("first line"));
    assert!(structure(verify(&format!("{good}Origin: evil\n"))).contains("follows a signature"));
    assert!(
        structure(verify(&format!("{good}Origin: evil\n\n{signature}")))
            .contains("follows a signature")
    );
    assert!(structure(verify(&good.replace("- --- two", "--- two"))).contains("unescaped"));
    assert!(structure(verify(&format!("{good}{good}"))).contains("second signed message"));
    assert!(structure(verify(&good.replacen("Hash:", "Origin: evil\nHash:", 1))).contains("Hash"));
    assert!(structure(verify(&good.replacen("stable", "sta\0ble", 1))).contains("NUL"));
    assert!(structure(verify(&good.replace('\n', "\r\n"))).contains("carriage return"));
    for cut in 1..good.len() - 1 {
        structure(verify(good.get(..cut).unwrap()));
    }

    // An InRelease whose text is moved behind the signature of another text.
    let bad = |message: String| {
        let refused = verify(&message);
        assert!(
            matches!(&refused, Err(Error::BadSignature { .. })),
            "{message}: {refused:?}"
        );
    };
    bad(good.replacen("stable", "evil", 1));
    bad(good.replacen("Suite", "\nSuite", 1));
    bad(good.replacen("\n\n\n-----BEGIN", "\n\n-----BEGIN", 1));
    bad(good.replacen(
        "\n-----BEGIN PGP SIGNATURE",
        "\n\n-----BEGIN PGP SIGNATURE",
        1,
    ));
    // Spaces at line ends are not signed, so they do not come through.
    assert_eq!(
        verify(&good.replacen("stable", "stable \t", 1))
            .unwrap()
            .body,
        BODY
    );

    // One changed character anywhere in the signature: never accepted with another text, and accepted at all only where
    // the armor says nothing (the checksum, which says nothing about who signed).
    let start = good.len() - signature.len();
    for at_byte in start..good.len() {
        let mut altered = good.clone().into_bytes();
        if let Some(byte) = altered.get_mut(at_byte) {
            *byte = if *byte == b'A' { b'B' } else { b'A' };
        }
        if let Ok(verified) = ring.verify_inline(&altered, at()) {
            assert_eq!(verified.body, BODY);
            assert_eq!(verified.signers, [hex(&a)]);
        }
    }

    let huge = vec![b'a'; MAX_MESSAGE_BYTES + 1];
    assert!(matches!(
        ring.verify_inline(&huge, at()),
        Err(Error::TooLarge { .. })
    ));
    assert!(matches!(
        ring.verify_detached(&huge, b"", at()),
        Err(Error::TooLarge { .. })
    ));
    assert!(matches!(
        ring.verify_detached(BODY, &huge, at()),
        Err(Error::TooLarge { .. })
    ));
}

#[test]
fn unknown_keys_are_passed_over_but_bad_signatures_are_not() {
    let (a, b) = (key("a"), key("b"));
    let inline = sign(&[&a, &b]).inline;
    let unknown = keyring(&[&b]).verify_inline(&sign(&[&a]).inline, at());
    let signing_key = a
        .keys()
        .subkeys()
        .next()
        .unwrap()
        .key()
        .fingerprint()
        .to_hex();
    assert!(
        matches!(&unknown, Err(Error::UnknownKeys { ids, .. }) if *ids == [signing_key.clone()]),
        "{unknown:?}"
    );

    let verified = keyring(&[&b]).verify_inline(&inline, at()).unwrap();
    assert_eq!(
        (verified.signers, verified.body),
        (vec![hex(&b)], BODY.to_vec())
    );
    let [warning] = &verified.warnings[..] else {
        panic!("{:?}", verified.warnings)
    };
    assert_eq!(
        *warning,
        format!("a signature was passed over: key {signing_key} is not in the keyring")
    );

    // b signed something else: a's good signature does not help, in either order.
    let other = signer(&[&b])
        .sign(b"Origin: other\n", at())
        .unwrap()
        .detached;
    let good = sign(&[&a]).detached;
    let ring = keyring(&[&a, &b]);
    for mixed in [[&good[..], &other], [&other[..], &good]] {
        let refused = ring.verify_detached(BODY, &mixed.concat(), at());
        assert!(
            matches!(&refused, Err(Error::BadSignature { .. })),
            "{refused:?}"
        );
    }
    // Nobody knows b: then its signature says nothing.
    let verified = keyring(&[&a])
        .verify_detached(BODY, &[good, other].concat(), at())
        .unwrap();
    assert_eq!((verified.signers.len(), verified.warnings.len()), (1, 1));
}

#[test]
fn a_signature_of_a_curve_that_is_not_known_here_is_passed_over() {
    let Some(gnupg) = Gnupg::new() else { return };
    let plain = ["--pinentry-mode", "loopback", "--passphrase", ""];
    for (name, kind) in [("a", "ed25519"), ("b", "brainpoolP256r1")] {
        let name = format!("{name}@archive.example");
        gnupg.gpg(
            &[&plain[..], &["--quick-gen-key", &name, kind, "sign", "0"]].concat(),
            b"",
        );
    }
    let export = gnupg.gpg(&["--export"], b"");
    let ring = Keyring::from_bytes(&export).unwrap();
    let signed_by = |names: &[&str]| {
        let users = names.iter().flat_map(|name| ["--local-user", name]);
        let users: Vec<_> = users.collect();
        gnupg.gpg(&[&users[..], &["--detach-sign"]].concat(), BODY)
    };
    let now = SystemTime::now();
    let both = signed_by(&["a@archive.example", "b@archive.example"]);
    let verified = ring.verify_detached(BODY, &both, now).unwrap();
    assert_eq!((verified.signers.len(), verified.warnings.len()), (1, 1));
    assert!(
        verified.warnings[0].contains("brainpoolP256r1"),
        "{verified:?}"
    );
    // By itself it proves nothing; and a known key's bad signature is as bad as ever beside it.
    let alone = ring.verify_detached(BODY, &signed_by(&["b@archive.example"]), now);
    assert!(
        matches!(&alone, Err(Error::UnsupportedSignature { .. })),
        "{alone:?}"
    );
    let other = ring.verify_detached(b"Origin: other\n", &both, now);
    assert!(
        matches!(&other, Err(Error::BadSignature { .. })),
        "{other:?}"
    );
}

#[test]
fn what_was_verified_is_verified_again() {
    let a = key("a");
    let signed = sign(&[&a]);
    let ring = keyring(&[&a]);
    let inline = ring.verify_inline(&signed.inline, at()).unwrap();
    let detached = ring.verify_detached(BODY, &signed.detached, at()).unwrap();
    for (verified, is_inline) in [(&inline, true), (&detached, false)] {
        let again = |body: &[u8]| ring.verify_again(body, &verified.signature, is_inline, at());
        assert_eq!(&again(&verified.body).unwrap(), verified);
        assert!(matches!(
            again(b"Origin: other\n"),
            Err(Error::BadSignature { .. })
        ));
    }
}

#[test]
fn a_verdict_holds_up_to_the_first_end_of_a_key_and_for_a_day_at_most() {
    let a = key("a");
    let old = builder("old")
        .add_signing_subkey()
        .set_validity_period(110 * DAY)
        .generate()
        .unwrap()
        .0;
    let expires = at() + 10 * DAY;
    let signed = sign(&[&a]);
    let holds_until = |ring: &Keyring, now| {
        let verified = ring.verify_inline(&signed.inline, now).unwrap();
        verified.holds_until
    };
    let alone = keyring(&[&a]);
    assert_eq!(holds_until(&alone, at() + DAY), at() + 2 * DAY);
    // Whoever signed: a key of the keyring that ends may be one whose revocations count.
    let both = keyring(&[&a, &old]);
    let hour = Duration::from_secs(3600);
    assert_eq!(holds_until(&both, expires - hour), expires);
    assert_eq!(holds_until(&both, expires), expires);
    assert_eq!(holds_until(&both, expires + hour), expires + hour + DAY);
    // From a day on, the library takes some algorithm no more.
    let cutoffs = AsymmetricAlgorithm::variants();
    let cutoffs = cutoffs.filter_map(|kind| StandardPolicy::new().asymmetric_algo_cutoff(kind));
    let cutoff = cutoffs.filter(|cutoff| *cutoff > at() + DAY).min().unwrap();
    assert_eq!(holds_until(&alone, cutoff - hour), cutoff);
    // So it is with the day on which weak keys end to count.
    let weak = keyring(&[&a]).taking_weak_keys_until(Some(at() + DAY + hour));
    assert_eq!(holds_until(&weak, at() + DAY), at() + DAY + hour);
}

#[test]
fn expired_keys_and_signatures_do_not_count() {
    let a = key("a");
    let old = builder("old")
        .add_signing_subkey()
        .set_validity_period(110 * DAY)
        .generate()
        .unwrap()
        .0;
    let expires = at() + 10 * DAY;
    let ring = keyring(&[&a, &old]);
    let alone = sign(&[&old]);
    assert_eq!(
        ring.verify_inline(&alone.inline, at()).unwrap().signers,
        [hex(&old)]
    );
    for form in [
        ring.verify_inline(&alone.inline, expires + DAY),
        ring.verify_detached(BODY, &alone.detached, expires + DAY),
    ] {
        let Err(Error::ExpiredKey {
            fingerprint,
            expired,
        }) = form
        else {
            panic!("{form:?}")
        };
        assert_eq!((fingerprint, expired), (hex(&old), expires));
    }
    // Beside a good one it is passed over and named.
    let verified = ring
        .verify_inline(&sign(&[&a, &old]).inline, expires + DAY)
        .unwrap();
    assert_eq!(verified.signers, [hex(&a)]);
    assert!(
        verified.warnings.concat().contains("expired on"),
        "{:?}",
        verified.warnings
    );
    // But a bad signature is bad however old its key.
    let other = signer(&[&old])
        .sign(b"Origin: other\n", at())
        .unwrap()
        .detached;
    let mixed = [sign(&[&a]).detached, other].concat();
    let refused = ring.verify_detached(BODY, &mixed, expires + DAY);
    assert!(
        matches!(refused, Err(Error::BadSignature { .. })),
        "{refused:?}"
    );
    // Two things wrong: both are told.
    let refused = keyring(&[&old]).verify_inline(&sign(&[&a, &old]).inline, expires + DAY);
    assert!(
        matches!(&refused, Err(Error::NoneGood { problems }) if problems.len() == 2),
        "{refused:?}"
    );

    let brief = plain_template().set_signature_validity_period(DAY).unwrap();
    let brief = odd_signature(&a, BODY, HashAlgorithm::SHA256, brief);
    assert!(ring.verify_detached(BODY, &brief, at()).is_ok());
    let refused = ring.verify_detached(BODY, &brief, at() + 2 * DAY);
    assert!(
        matches!(refused, Err(Error::ExpiredSignature { .. })),
        "{refused:?}"
    );

    // A signer's clock may be a little ahead of ours, not a day.
    let signed = sign(&[&a]).inline;
    assert!(
        ring.verify_inline(&signed, at() - Duration::from_secs(60))
            .is_ok()
    );
    let refused = ring.verify_inline(&signed, at() - DAY);
    assert!(
        matches!(refused, Err(Error::FutureSignature { .. })),
        "{refused:?}"
    );
}

#[test]
fn revoked_keys_do_not_count_whenever_they_signed() {
    let a = key("a");
    for reason in [
        ReasonForRevocation::KeyCompromised,
        ReasonForRevocation::KeyRetired,
    ] {
        let mut primary = a
            .primary_key()
            .key()
            .clone()
            .parts_into_secret()
            .unwrap()
            .into_keypair()
            .unwrap();
        let revocation = CertRevocationBuilder::new()
            .set_signature_creation_time(at() + DAY)
            .unwrap()
            .set_reason_for_revocation(reason, b"")
            .unwrap()
            .build(&mut primary, &a, None)
            .unwrap();
        let revoked = a.clone().insert_packets(revocation).unwrap().0;
        let refused = keyring(&[&revoked]).verify_inline(&sign(&[&a]).inline, at() + 2 * DAY);
        assert!(
            matches!(&refused, Err(Error::RevokedKey { fingerprint, .. }) if *fingerprint == hex(&a)),
            "{refused:?}"
        );
        // The private key is not used for signing any more, either.
        let refused = signer(&[&revoked]).sign(BODY, at() + 2 * DAY);
        assert!(
            matches!(refused, Err(Error::NoSigningKey { .. })),
            "{refused:?}"
        );
    }
}

#[test]
fn keys_that_may_not_sign_and_weak_hashes_do_not_count() {
    let a = key("a");
    for weak in [HashAlgorithm::SHA1, HashAlgorithm::SHA224] {
        let signature = odd_signature(&a, BODY, weak, plain_template());
        let refused = keyring(&[&a]).verify_detached(BODY, &signature, at());
        assert!(
            matches!(refused, Err(Error::WeakHash { .. })),
            "{weak}: {refused:?}"
        );
        // Beside a good one it is passed over.
        let mixed = [signature, sign(&[&a]).detached].concat();
        assert_eq!(
            keyring(&[&a])
                .verify_detached(BODY, &mixed, at())
                .unwrap()
                .warnings
                .len(),
            1
        );
    }

    // The primary key of `a` may only certify. Make it sign all the same.
    let pair = a
        .primary_key()
        .key()
        .clone()
        .parts_into_secret()
        .unwrap()
        .into_keypair()
        .unwrap();
    let mut out = Vec::new();
    let armorer = Armorer::new(Message::new(&mut out))
        .kind(sequoia_openpgp::armor::Kind::Signature)
        .build()
        .unwrap();
    let writer = SequoiaSigner::new(armorer, pair)
        .unwrap()
        .detached()
        .creation_time(at());
    let mut writer = writer.build().unwrap();
    writer.write_all(BODY).unwrap();
    writer.finalize().unwrap();
    let refused = keyring(&[&a]).verify_detached(BODY, &out, at());
    assert!(
        matches!(refused, Err(Error::UnusableKey { .. })),
        "{refused:?}"
    );
}

#[test]
fn keyrings_are_read_whole_or_not_at_all() {
    let (a, b, c) = (key("a"), key("b"), key("c"));
    let dir = tempfile::tempdir().unwrap();
    let (first, second) = (dir.path().join("first.gpg"), dir.path().join("second.asc"));
    fs::write(&first, [a.to_vec().unwrap(), b.to_vec().unwrap()].concat()).unwrap();
    fs::write(
        &second,
        [b.armored().to_vec().unwrap(), c.armored().to_vec().unwrap()].concat(),
    )
    .unwrap();
    let ring = Keyring::load(&[&first, &second]).unwrap();
    assert_eq!(ring.fingerprints(), [hex(&a), hex(&b), hex(&c)]);
    for bytes in [ring.to_bytes().unwrap(), ring.to_armored().unwrap()] {
        assert_eq!(
            Keyring::from_bytes(&bytes).unwrap().fingerprints(),
            ring.fingerprints()
        );
    }

    // Private parts do not come out again.
    let private = Keyring::from_bytes(&a.as_tsk().to_vec().unwrap()).unwrap();
    assert_eq!(
        private.to_bytes().unwrap(),
        keyring(&[&a]).to_bytes().unwrap()
    );

    assert!(matches!(Keyring::from_bytes(b""), Err(Error::EmptyKeyring)));
    assert!(matches!(
        Keyring::load::<&Path>(&[]),
        Err(Error::EmptyKeyring)
    ));
    assert!(matches!(
        Keyring::load(&[dir.path().join("none")]),
        Err(Error::ReadFile { .. })
    ));
    let mut damaged = fs::read(&first).unwrap();
    damaged.truncate(damaged.len() - 20);
    for junk in [
        &b"<html>not found</html>"[..],
        &sign(&[&a]).detached,
        &damaged,
    ] {
        let refused = Keyring::from_bytes(junk);
        assert!(
            matches!(refused, Err(Error::NotCertificates { .. })),
            "{refused:?}"
        );
    }
    let keybox = b"\0\0\0\x20\x01\x01\0\x02KBXf\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0";
    assert!(matches!(
        Keyring::from_bytes(keybox),
        Err(Error::Keybox { .. })
    ));
}

#[test]
fn private_keys_are_taken_from_private_files_only() {
    let a = key("a");
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("signing.key");
    let binary = a.as_tsk().to_vec().unwrap();
    for open in [0o644, 0o640, 0o620, 0o601] {
        write_private(&path, &binary, open);
        match Signer::key_files(&[&path]) {
            Err(e @ Error::KeyFilePermissions { mode, .. }) => {
                assert_eq!(mode, open);
                assert!(e.to_string().contains(&format!("{open:04o}")), "{e}");
            }
            other => panic!("{other:?}"),
        }
    }
    for bytes in [binary.clone(), a.as_tsk().armored().to_vec().unwrap()] {
        for mode in [0o600, 0o400] {
            let _ = fs::remove_file(&path);
            write_private(&path, &bytes, mode);
            let link = dir.path().join("link");
            let _ = fs::remove_file(&link);
            symlink(&path, &link).unwrap();
            for name in [&path, &link] {
                let signer = Signer::key_files(&[name]).unwrap();
                signer.sign(BODY, at()).unwrap();
                assert!(!format!("{signer:?}").contains("secret"));
            }
        }
    }

    let fifo = dir.path().join("fifo");
    nix::unistd::mkfifo(&fifo, nix::sys::stat::Mode::S_IRUSR).unwrap();
    for odd in [&fifo, dir.path()] as [&Path; 2] {
        assert!(matches!(
            Signer::key_files(&[odd]),
            Err(Error::KeyFileNotRegular { .. })
        ));
    }
    assert!(matches!(
        Signer::key_files(&[dir.path().join("none")]),
        Err(Error::ReadFile { .. })
    ));
    assert!(matches!(
        Signer::key_files::<&Path>(&[]),
        Err(Error::NoKeys)
    ));
    let fresh = |name: &str, bytes: &[u8]| {
        let path = dir.path().join(name);
        write_private(&path, bytes, 0o600);
        Signer::key_files(&[path])
    };
    assert!(matches!(
        fresh("public", &a.to_vec().unwrap()),
        Err(Error::NotPrivateKey { .. })
    ));
    assert!(matches!(
        fresh("empty", b""),
        Err(Error::NotPrivateKey { .. })
    ));
    let locked = builder("locked")
        .add_signing_subkey()
        .set_password(Some("secret".into()))
        .generate()
        .unwrap()
        .0;
    match fresh("locked", &locked.as_tsk().to_vec().unwrap()) {
        Err(Error::KeyEncrypted { .. }) => {}
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_key_signs_only_while_it_may() {
    let old = builder("old")
        .add_signing_subkey()
        .set_validity_period(110 * DAY)
        .generate()
        .unwrap()
        .0;
    for unfit in [at() + 11 * DAY, at() - 200 * DAY] {
        let refused = signer(&[&old]).sign(BODY, unfit);
        assert!(
            matches!(refused, Err(Error::NoSigningKey { .. })),
            "{refused:?}"
        );
    }
    let encrypting = builder("e")
        .add_transport_encryption_subkey()
        .generate()
        .unwrap()
        .0;
    let refused = signer(&[&encrypting]).sign(BODY, at());
    assert!(
        matches!(refused, Err(Error::NoSigningKey { .. })),
        "{refused:?}"
    );
    // One key of several that cannot sign is not left out in silence.
    let refused = signer(&[&key("a"), &encrypting]).sign(BODY, at());
    assert!(
        matches!(refused, Err(Error::NoSigningKey { .. })),
        "{refused:?}"
    );
}

#[test]
fn a_text_that_would_not_survive_is_not_signed() {
    let signer = signer(&[&key("a")]);
    let long = [b"a".repeat(20_000), b"\n".to_vec()].concat();
    let bodies: [(&[u8], usize); 8] = [
        (b"", 0),
        (b"\n", 1),
        (b"a\nb", 2),
        (b"a \n", 1),
        (b"a\nb\t\nc\n", 2),
        (b"a\nb\r\n", 2),
        (b"a\0\n", 1),
        (&long, 1),
    ];
    for (body, line) in bodies {
        match signer.sign(body, at()) {
            Err(Error::Structure { line: found, .. }) => assert_eq!(found, line, "{body:?}"),
            other => panic!("{body:?}: {other:?}"),
        }
    }
    for body in [
        &b"a\n"[..],
        b"\na\n",
        b"a\n\n",
        b"-\n",
        b"- a\n",
        b"-----BEGIN PGP SIGNATURE-----\n",
    ] {
        signer.sign(body, at()).unwrap();
    }
    let huge = b"a\n".repeat(MAX_MESSAGE_BYTES / 2 + 1);
    assert!(matches!(
        signer.sign(&huge, at()),
        Err(Error::TooLarge { .. })
    ));
}

/// The real thing: what apt itself fetched onto this machine, with the keys it came with.
#[test]
fn debian_verifies() {
    let keys = "/usr/share/keyrings/debian-archive-keyring.gpg";
    let lists = fs::read_dir("/var/lib/apt/lists")
        .into_iter()
        .flatten()
        .flatten();
    let signed = lists.filter(|list| list.file_name().to_string_lossy().ends_with("_InRelease"));
    let messages = signed.filter_map(|list| fs::read(list.path()).ok());
    let debian: Vec<_> = messages
        .filter(|m| memchr::memmem::find(m, b"\nOrigin: Debian\n").is_some())
        .collect();
    if debian.is_empty() || !Path::new(keys).exists() {
        eprintln!("skipped: no package lists of Debian");
        return;
    }
    let ring = Keyring::load(&[keys]).unwrap();
    for message in debian {
        let verified = ring.verify_inline(&message, SystemTime::now()).unwrap();
        assert!(!verified.signers.is_empty());
        assert!(verified.body.starts_with(b"Origin: Debian\n") && verified.body.ends_with(b"\n"));
    }
}
