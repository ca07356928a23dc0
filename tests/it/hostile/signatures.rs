//! Signatures and keys.

use std::fs;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::time::{Duration, SystemTime};

use sequoia_openpgp::cert::{Cert, CertBuilder, CertRevocationBuilder};
use sequoia_openpgp::crypto::KeyPair;
use sequoia_openpgp::packet::Signature;
use sequoia_openpgp::packet::signature::SignatureBuilder;
use sequoia_openpgp::policy::StandardPolicy;
use sequoia_openpgp::serialize::SerializeInto;
use sequoia_openpgp::serialize::stream::{Armorer, Message, Signer};
use sequoia_openpgp::types::{HashAlgorithm, ReasonForRevocation, SignatureType};

use super::catalogue::{Entry, check, entry, later, signed};
use crate::common::certs::{Parts, bound_anew, insert, pair, without_older};
use crate::common::site::Site;
use crate::common::upstream::{NEWER, signing_time};

const DAY: Duration = Duration::from_secs(24 * 60 * 60);
const REFUSED: &str = "the signature is refused";

/// InRelease with a part of it replaced.
fn replaced(name: &'static str, change: [&'static str; 2], words: &[&str]) -> Entry {
    rewritten(name, words, move |text| {
        assert!(text.contains(change[0]), "{}", change[0]);
        text.replacen(change[0], change[1], 1)
    })
}

fn rewritten(
    name: &'static str,
    words: &[&str],
    change: impl Fn(String) -> String + 'static,
) -> Entry {
    entry(
        name,
        &[&["main/dists/bookworm/InRelease"], words].concat(),
        move |site| {
            let path = site.main().dir.join("InRelease");
            fs::write(&path, change(fs::read_to_string(&path).unwrap())).unwrap();
        },
    )
}

#[test]
fn clear_signed_messages() {
    const END: &str = "-----BEGIN PGP SIGNATURE";
    check(&[
        replaced(
            "a text that was changed",
            ["12.9", "12.8"],
            &[REFUSED, "BAD signature"],
        ),
        rewritten("text before", &[REFUSED, "first line"], |text| {
            format!("Origin: Evil\n{text}")
        }),
        rewritten("text after", &[REFUSED, "follows a signature"], |text| {
            format!("{text}Origin: Evil\n")
        }),
        rewritten(
            "text between two signatures",
            &[REFUSED, "follows a signature"],
            |text| {
                let block = text[text.find(END).unwrap()..].to_owned();
                format!("{text}Origin: Evil\n\n{block}")
            },
        ),
        rewritten(
            "two messages",
            &[REFUSED, "second signed message"],
            |text| format!("{text}{text}"),
        ),
        rewritten("no message at all", &[REFUSED], |_| "Origin: Evil\n".into()),
        replaced(
            "an armor header",
            ["Hash:", "Origin: Evil\nHash:"],
            &[REFUSED, "Hash"],
        ),
        replaced("NUL", ["Debian", "Deb\0ian"], &[REFUSED, "NUL"]),
        rewritten("carriage returns", &[REFUSED, "carriage return"], |text| {
            text.replace('\n', "\r\n")
        }),
        rewritten("cut short", &[REFUSED], |text| {
            text[..text.len() / 2].to_owned()
        }),
        rewritten("cut in its signature", &[REFUSED], |text| {
            text[..text.len() - 60].to_owned()
        }),
        rewritten("no byte", &[REFUSED], |_| String::new()),
        rewritten("11 MB", &["larger than the 10000000 bytes"], |text| {
            text.replacen("\n\n", &format!("\n\nX: {}\n", "x".repeat(11_000_000)), 1)
        }),
        rewritten("a page of HTML", &[REFUSED], |_| {
            "<html>Please log in</html>\n".into()
        }),
        entry("an unescaped dash", &[REFUSED, "unescaped"], |site| {
            let mut suite = site.main();
            suite.body.push_str("-X: y\n");
            suite.sign();
            let path = suite.dir.join("InRelease");
            let text = fs::read_to_string(&path).unwrap();
            fs::write(&path, text.replace("- -X: y", "-X: y")).unwrap();
        }),
    ]);
}

#[test]
fn detached_signatures() {
    let apart = |name, words: &[&str], change: fn(&Site)| {
        entry(name, words, move |site| {
            fs::remove_file(site.main().dir.join("InRelease")).unwrap();
            change(site);
        })
    };
    check(&[
        apart(
            "over other bytes",
            &["Release.gpg: the signature is refused", "BAD signature"],
            |site| {
                let mut suite = site.main();
                suite.set("Version", "99");
                fs::write(suite.dir.join("Release"), &suite.body).unwrap();
            },
        ),
        apart(
            "no Release.gpg",
            &["neither an InRelease nor a Release with a Release.gpg"],
            |site| {
                fs::remove_file(site.main().dir.join("Release.gpg")).unwrap();
            },
        ),
        apart(
            "an empty Release.gpg",
            &["Release.gpg: the signature is refused"],
            |site| {
                fs::write(site.main().dir.join("Release.gpg"), "").unwrap();
            },
        ),
        apart(
            "another suite's Release.gpg",
            &["Release.gpg: the signature is refused", "BAD signature"],
            |site| {
                site.restore_archive("main", "buster");
                let other = site.path("archives/main/dists/buster/Release.gpg");
                fs::copy(other, site.main().dir.join("Release.gpg")).unwrap();
            },
        ),
        apart("neither", &["neither an InRelease nor a Release"], |site| {
            fs::remove_dir_all(&site.main().dir).unwrap();
        }),
    ]);
}

fn builder() -> CertBuilder<'static> {
    CertBuilder::new()
        .add_userid("main <main@archive.example>")
        .set_creation_time(signing_time() - 100 * DAY)
}

/// A key on the spot takes the place of the archive's; its Release is signed by our own signer.
fn take_over(site: &Site, cert: &Cert) {
    let mut suite = site.main();
    suite.key = site.path("own.key");
    fs::write(&suite.key, cert.as_tsk().to_vec().unwrap()).unwrap();
    fs::set_permissions(&suite.key, fs::Permissions::from_mode(0o600)).unwrap();
    suite.set("Date", NEWER);
    suite.sign();
    trust(site, cert);
}

fn trust(site: &Site, cert: &Cert) {
    trust_all(site, &[cert]);
}

fn trust_all(site: &Site, certs: &[&Cert]) {
    let public = |cert: &&Cert| {
        let public = (*cert).clone().strip_secret_key_material();
        public.to_vec().unwrap()
    };
    let keyring: Vec<u8> = certs.iter().flat_map(public).collect();
    fs::write(site.path("keys/main.gpg"), keyring).unwrap();
}

fn revoked(cert: Cert, reason: ReasonForRevocation) -> Cert {
    insert(&cert, vec![revocation(&cert, &cert, reason)])
}

fn revocation(by: &Cert, cert: &Cert, reason: ReasonForRevocation) -> Signature {
    CertRevocationBuilder::new()
        .set_signature_creation_time(signing_time() + DAY)
        .unwrap()
        .set_reason_for_revocation(reason, b"stolen")
        .unwrap()
        .build(&mut pair(by, 0), cert, None)
        .unwrap()
}

#[test]
fn keys() {
    check(&[
        signed(
            "another archive's key",
            &["InRelease: the signature is refused", "not in the keyring"],
            |suite| {
                suite.key = suite.key.with_file_name("security.secret.asc");
            },
        ),
        entry(
            "an expired key",
            &[REFUSED, "which expired on 2026-02-11"],
            |site| {
                let builder = builder()
                    .add_signing_subkey()
                    .set_validity_period(110 * DAY);
                take_over(site, &builder.generate().unwrap().0);
            },
        ),
        entry(
            "a stolen key, revoked",
            &[REFUSED, "which was revoked"],
            |site| {
                let cert = builder().add_signing_subkey().generate().unwrap().0;
                take_over(site, &cert);
                trust(site, &revoked(cert, ReasonForRevocation::KeyCompromised));
            },
        ),
        entry(
            "a retired key, revoked",
            &[REFUSED, "which was revoked"],
            |site| {
                let cert = builder().add_signing_subkey().generate().unwrap().0;
                take_over(site, &cert);
                trust(site, &revoked(cert, ReasonForRevocation::KeyRetired));
            },
        ),
        entry(
            "a retired key that was bound anew",
            &[REFUSED, "which was revoked on 2026-02-02"],
            |site| {
                let cert = builder().add_signing_subkey().generate().unwrap().0;
                take_over(site, &cert);
                let revoked = revoked(cert, ReasonForRevocation::KeyRetired);
                let later = signing_time() + 2 * DAY;
                trust(site, &bound_anew(&revoked, later, Parts::All, |b| b));
            },
        ),
        entry(
            "a stolen key, revoked by whom its owner named for that",
            &[REFUSED, "which was revoked on 2026-02-02", "by key"],
            |site| {
                let friend = builder().generate().unwrap().0;
                let named = builder().set_revocation_keys(vec![(&friend).into()]);
                let cert = named.add_signing_subkey().generate().unwrap().0;
                take_over(site, &cert);
                let reason = ReasonForRevocation::KeyCompromised;
                let revoked = insert(&cert, vec![revocation(&friend, &cert, reason)]);
                trust_all(site, &[&revoked, &friend]);
            },
        ),
        later(
            "a retired key, gone from the keyring",
            &[REFUSED, "not in the keyring"],
            |site| {
                fs::copy(site.path("keys/security.gpg"), site.path("keys/main.gpg")).unwrap();
            },
        ),
        entry("an empty keyring", &["keyring", "keys/main.gpg"], |site| {
            fs::write(site.path("keys/main.gpg"), "").unwrap();
        }),
        entry(
            "a keyring of rubbish",
            &["keyring", "keys/main.gpg"],
            |site| {
                fs::write(site.path("keys/main.gpg"), "rubbish\n".repeat(1000)).unwrap();
            },
        ),
        entry(
            "no keyring",
            &["keys/main.gpg cannot be read", "No such file"],
            |site| {
                fs::remove_file(site.path("keys/main.gpg")).unwrap();
            },
        ),
    ]);
}

/// What our own signer would not make, as Release and Release.gpg.
pub(crate) struct Odd {
    pub(crate) cert: Cert,
    /// Whose name stands in the signature.
    issuer: Option<Cert>,
    with_primary: bool,
    hash: HashAlgorithm,
    created: SystemTime,
    valid: Option<Duration>,
}

impl Odd {
    pub(crate) fn new() -> Odd {
        Odd {
            cert: builder().add_signing_subkey().generate().unwrap().0,
            issuer: None,
            with_primary: false,
            hash: HashAlgorithm::SHA512,
            created: signing_time(),
            valid: None,
        }
    }

    fn pair(&self) -> KeyPair {
        let key = if self.with_primary {
            self.cert
                .primary_key()
                .key()
                .clone()
                .parts_into_secret()
                .unwrap()
        } else {
            let policy = StandardPolicy::at(signing_time());
            let keys = self.cert.keys().with_policy(&policy, signing_time());
            let mut keys = keys.for_signing().unencrypted_secret();
            return keys.next().unwrap().key().clone().into_keypair().unwrap();
        };
        key.into_keypair().unwrap()
    }

    pub(crate) fn sign(&self, text: &[u8]) -> Vec<u8> {
        let mut template = SignatureBuilder::new(SignatureType::Binary);
        if let Some(valid) = self.valid {
            template = template.set_signature_validity_period(valid).unwrap();
        }
        if let Some(issuer) = &self.issuer {
            let subkey = issuer.keys().subkeys().next().unwrap().key().fingerprint();
            template = template.set_issuer_fingerprint(subkey).unwrap();
        }
        let mut out = Vec::new();
        let armorer =
            Armorer::new(Message::new(&mut out)).kind(sequoia_openpgp::armor::Kind::Signature);
        let mut writer = Signer::with_template(armorer.build().unwrap(), self.pair(), template)
            .unwrap()
            .detached()
            .hash_algo(self.hash)
            .unwrap()
            .creation_time(self.created)
            .build()
            .unwrap();
        writer.write_all(text).unwrap();
        writer.finalize().unwrap();
        out
    }

    fn entry(self, name: &'static str, words: &[&str]) -> Entry {
        entry(
            name,
            &[&["Release.gpg: the signature is refused"], words].concat(),
            move |site| self.take_over(site),
        )
    }

    fn take_over(&self, site: &Site) {
        let mut suite = site.main();
        suite.set("Date", NEWER);
        fs::remove_file(suite.dir.join("InRelease")).unwrap();
        fs::write(suite.dir.join("Release"), &suite.body).unwrap();
        let signature = self.sign(suite.body.as_bytes());
        fs::write(suite.dir.join("Release.gpg"), signature).unwrap();
        trust(site, self.issuer.as_ref().unwrap_or(&self.cert));
    }
}

#[test]
fn odd_signatures() {
    let sha1 = Odd {
        hash: HashAlgorithm::SHA1,
        ..Odd::new()
    };
    let md5 = Odd {
        hash: HashAlgorithm::MD5,
        ..Odd::new()
    };
    let brief = Odd {
        valid: Some(DAY),
        ..Odd::new()
    };
    let early = Odd {
        created: signing_time() + 365 * DAY,
        ..Odd::new()
    };
    let primary = Odd {
        with_primary: true,
        ..Odd::new()
    };
    let issuer = Odd {
        issuer: Some(Odd::new().cert),
        ..Odd::new()
    };
    check(&[
        sha1.entry("SHA-1", &["SHA1"]),
        md5.entry("MD5", &["MD5"]),
        brief.entry("a signature that has expired", &["expired"]),
        early.entry("a signature from the future", &["clock"]),
        primary.entry("a key that may not sign", &["key"]),
        issuer.entry("a wrong issuer", &["BAD signature"]),
    ]);
}

/// From when what is signed in tests was signed to between the first run and the second.
const UNTIL_THE_FIRST_RUN: Duration = Duration::from_secs(28 * 24 * 60 * 60 + 90 * 60);

#[test]
fn what_lapses_while_an_archive_says_that_nothing_changed() {
    let key = |lives: Option<Duration>| {
        let builder = builder().add_signing_subkey();
        let lives = lives.map(|lives| 100 * DAY + lives);
        builder.set_validity_period(lives).generate().unwrap().0
    };
    let brief = Odd {
        valid: Some(UNTIL_THE_FIRST_RUN),
        ..Odd::new()
    };
    let expiring = key(Some(UNTIL_THE_FIRST_RUN));
    let stolen = key(None);
    let revoked = revoked(stolen.clone(), ReasonForRevocation::KeyCompromised);
    type Step<'a> = &'a dyn Fn(&Site);
    let cases: [(Step<'_>, Step<'_>, &str); 4] = [
        (
            &|site| take_over(site, &expiring),
            &|_| {},
            "which expired on 2026-03-01",
        ),
        (
            &|site| take_over(site, &stolen),
            &|site| trust(site, &revoked),
            "which was revoked",
        ),
        (
            &|site| take_over(site, &stolen),
            &|site| trust(site, &expiring),
            "not in the keyring",
        ),
        (&|site| brief.take_over(site), &|_| {}, "expired"),
    ];
    for (before, after, said) in cases {
        let site = Site::new();
        before(&site);
        site.run(&[]).expect(0, &[]);
        let served = site.served();
        after(&site);
        for _ in 0..2 {
            site.run(&[])
                .expect(3, &[REFUSED, said, "stays at its last good copy"]);
            assert_eq!(site.served(), served);
        }
    }
    // What is still good is not fetched anew, nor told of.
    let site = Site::new();
    take_over(&site, &stolen);
    site.run(&[]).expect(0, &[]);
    site.run_without_news(&[]);
}

/// gpg leaves a key without its old self-signatures when it prolongs it.
#[test]
fn a_key_that_is_prolonged_stays_good() {
    let cert = builder()
        .add_signing_subkey()
        .set_validity_period(150 * DAY);
    let cert = cert.generate().unwrap().0;
    let prolonged = |after: Duration| {
        let time = signing_time() + after;
        let prolonged = bound_anew(&cert, time, Parts::All, |b| {
            b.set_key_validity_period(500 * DAY).unwrap()
        });
        without_older(&prolonged, time)
    };
    let site = Site::new();
    take_over(&site, &cert);
    site.run(&[]).expect(0, &[]);
    trust(&site, &prolonged(DAY));
    site.run_without_news(&[]);
    // So does one of our own, by which the served tree was signed before.
    let own = |cert: &Cert| {
        let path = site.path("own-signing.key");
        fs::write(&path, cert.as_tsk().to_vec().unwrap()).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    };
    own(&cert);
    site.change_config("keys/publish-a.secret.asc", "own-signing.key");
    site.run(&["--rebuild"]).expect(0, &[]);
    // That was the third run.
    own(&prolonged(
        UNTIL_THE_FIRST_RUN + Duration::from_secs(2 * 60 * 60),
    ));
    site.aptmerge(&["verify"]).expect(0, &[]);
    // A client that asks sqv would refuse what is served, so it is signed anew, once.
    assert_eq!(site.json(&["run", "--json"])["changed"][0], "daedalus");
    site.run_without_news(&[]);
}
