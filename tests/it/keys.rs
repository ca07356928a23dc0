//! Our own keys as time goes by: they expire, are prolonged, revoked and replaced.

use std::cell::Cell;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, SystemTime};

use jiff::Timestamp;
use sequoia_openpgp::cert::{Cert, CertBuilder, CertRevocationBuilder};
use sequoia_openpgp::serialize::SerializeInto;
use sequoia_openpgp::types::{HashAlgorithm, ReasonForRevocation};

use crate::common::certs::{Parts, bound_anew, insert, pair, without_older};
use crate::common::gnupg::Gnupg;
use crate::common::programs::{Said, has};
use crate::common::site::Site;
use crate::common::upstream::NEWER;

const DAY: Duration = Duration::from_secs(24 * 60 * 60);
const KEY_A: &str = "key-file = \"keys/publish-a.secret.asc\"";

/// The day on which keys are made.
const BORN: &str = "2026-01-01T00:00:00Z";

fn at(time: &str) -> SystemTime {
    time.parse::<Timestamp>().unwrap().into()
}

/// Makes a key with a signing subkey that lives for some days.
fn key(name: &str, days: u32) -> Cert {
    let builder = CertBuilder::new()
        .add_userid(format!("{name} <{name}@archive.example>"))
        .set_creation_time(at(BORN))
        .set_validity_period(DAY * days)
        .add_signing_subkey();
    builder.generate().unwrap().0
}

/// Returns the key with another life, as gpg leaves it: the old self-signatures are gone.
fn prolonged(cert: &Cert, on: &str, days: u32) -> Cert {
    let longer = bound_anew(cert, at(on), Parts::All, |builder| {
        builder.set_key_validity_period(DAY * days).unwrap()
    });
    without_older(&longer, at(on))
}

fn revoked(cert: &Cert, on: &str, reason: ReasonForRevocation) -> Cert {
    let revocation = CertRevocationBuilder::new()
        .set_signature_creation_time(at(on))
        .unwrap()
        .set_reason_for_revocation(reason, b"")
        .unwrap()
        .build(&mut pair(cert, 0), cert, None);
    insert(cert, vec![revocation.unwrap()])
}

fn write_private(path: &Path, bytes: &[u8]) {
    fs::write(path, bytes).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o600)).unwrap();
}

/// Puts a key into a file of the site.
fn put(site: &Site, file: &str, cert: &Cert) {
    write_private(&site.path(file), &cert.as_tsk().to_vec().unwrap());
}

/// Returns a published site whose key is `own.key`.
fn signed_by(cert: &Cert) -> Site {
    let site = Site::new();
    put(&site, "own.key", cert);
    site.change_config(KEY_A, "key-file = \"own.key\"");
    site.run_at("2026-03-01T00:00:00Z");
    site
}

/// Returns a time by the clock of gpg, some hours ahead of it.
fn hours_from_now(hours: i64) -> String {
    (Timestamp::now() + jiff::SignedDuration::from_hours(hours)).to_string()
}

/// Asserts that a run at a time signs the suite anew, and the next one does not.
#[track_caller]
fn signs_once(site: &Site, time: &str, code: i32) {
    let said = site.run(&["--json", "--clock", time]);
    said.expect(code, &[]);
    assert_eq!(said.outcome()["changed"][0], "daedalus", "{said:?}");
    let later: Timestamp = time.parse().unwrap();
    let later = (later + jiff::SignedDuration::from_secs(60)).to_string();
    let said = site.run(&["--json", "--clock", &later]);
    said.expect(code, &[]);
    assert_eq!(
        said.outcome()["changed"],
        serde_json::json!([]),
        "{}",
        said.stderr
    );
}

/// Asserts that gpgv and sqv believe what is served, by some certificates.
#[track_caller]
fn clients_believe(site: &Site, certs: &[&Cert]) {
    let public = |cert: &&Cert| {
        let public = (*cert).clone().strip_secret_key_material();
        public.to_vec().unwrap()
    };
    let keyring: Vec<u8> = certs.iter().flat_map(public).collect();
    believed_by(site, &keyring);
}

#[track_caller]
fn believed_by(site: &Site, keyring: &[u8]) {
    let file = site.path("clients.gpg");
    fs::write(&file, keyring).unwrap();
    let suite = site.merged("dists/daedalus");
    let ask = |program: &str, arguments: &[&str]| {
        let mut command = Command::new(program);
        command.args(arguments).arg("--keyring").arg(&file);
        command.args([suite.join("Release.gpg"), suite.join("Release")]);
        Said::of(&command.output().unwrap())
    };
    if has("gpgv") {
        // Its exit code says that each signature is good; apt asks for one.
        let said = ask("gpgv", &["--status-fd", "1"]);
        assert!(said.stdout.contains("GOODSIG"), "{}", said.stderr);
    }
    if has("sqv") {
        ask("sqv", &[]).expect(0, &[]);
    }
}

#[test]
fn a_key_that_lapses_is_noticed_and_cured() {
    let short = key("short", 90);
    let site = signed_by(&short);
    let served = site.served();
    // From 2026-04-01 on no client believes what is served.
    for time in ["2026-04-02T00:00:00Z", "2026-04-02T01:00:00Z"] {
        let said = site.run(&["--clock", time]);
        said.expect(1, &["expired on 2026-04-01", "hint: prolong the key"]);
        let said = site.run(&["--dry-run", "--clock", time]);
        said.expect(1, &["expired on 2026-04-01"]);
    }
    assert_eq!(site.served(), served);
    site.expect(1, &["verify", "--clock", "2026-04-02T01:00:00Z"]);

    let longer = prolonged(&short, "2026-04-03T00:00:00Z", 4000);
    put(&site, "own.key", &longer);
    // gpgv would take what is there, but sqv would not.
    site.ok(&["verify", "--clock", "2026-04-03T01:00:00Z"]);
    signs_once(&site, "2026-04-03T02:00:00Z", 0);
    clients_believe(&site, &[&longer]);
    site.ok(&["verify", "--clock", "2026-04-03T03:00:00Z"]);
}

#[test]
fn a_key_that_keeps_its_old_words_signs_nothing_anew_when_it_is_prolonged() {
    let short = key("short", 90);
    let site = signed_by(&short);
    let longer = bound_anew(&short, at("2026-03-02T00:00:00Z"), Parts::All, |builder| {
        builder.set_key_validity_period(DAY * 4000).unwrap()
    });
    put(&site, "own.key", &longer);
    site.run_without_news(&["--clock", "2026-04-03T00:00:00Z"]);
    clients_believe(&site, &[&longer]);
}

#[test]
fn a_revoked_key_is_noticed_and_another_one_signs_anew() {
    for reason in [
        ReasonForRevocation::KeyRetired,
        ReasonForRevocation::KeyCompromised,
    ] {
        let stolen = key("stolen", 4000);
        let site = signed_by(&stolen);
        put(
            &site,
            "own.key",
            &revoked(&stolen, "2026-03-02T00:00:00Z", reason),
        );
        let said = site.run(&["--clock", "2026-03-03T00:00:00Z"]);
        said.expect(1, &["was revoked on 2026-03-02"]);
        // Another key behind the same name.
        let fresh = key("fresh", 4000);
        put(&site, "own.key", &fresh);
        signs_once(&site, "2026-03-04T00:00:00Z", 0);
        clients_believe(&site, &[&fresh]);
    }
}

#[test]
fn the_key_that_is_left_signs_without_the_one_that_lapsed() {
    let (old, new) = (key("old", 90), key("new", 4000));
    let site = Site::new();
    put(&site, "old.key", &old);
    put(&site, "new.key", &new);
    site.change_config(KEY_A, "key-file = [\"old.key\", \"new.key\"]");
    site.run_at("2026-03-01T00:00:00Z");
    clients_believe(&site, &[&new]);
    signs_once(&site, "2026-04-02T00:00:00Z", 3);
    clients_believe(&site, &[&new]);
    let said = site.run(&["--clock", "2026-04-03T00:00:00Z"]);
    said.expect(3, &["old.key", "expired on 2026-04-01"]);
    site.ok(&["verify", "--clock", "2026-04-03T01:00:00Z"]);
    // News come through as well.
    site.news();
    signs_once(&site, "2026-04-04T00:00:00Z", 3);
    // And once it was prolonged, it signs again.
    let longer = prolonged(&old, "2026-04-05T00:00:00Z", 4000);
    put(&site, "old.key", &longer);
    signs_once(&site, "2026-04-06T00:00:00Z", 0);
    clients_believe(&site, &[&longer]);
}

/// The keys that sign are known by their fingerprints: a key of gpg or of a file under the same name is another one once its own changed.
#[test]
fn another_key_behind_the_same_name_signs_anew() {
    let site = signed_by(&key("first", 4000));
    put(&site, "own.key", &key("first", 4000));
    signs_once(&site, "2026-03-02T00:00:00Z", 0);
    // A younger subkey signs in place of the old one.
    let two = CertBuilder::new()
        .add_userid("two <two@archive.example>")
        .set_creation_time(at(BORN))
        .add_signing_subkey();
    let two = two.generate().unwrap().0;
    put(&site, "own.key", &two);
    signs_once(&site, "2026-03-03T00:00:00Z", 0);
    let younger = crate::common::certs::with_signing_subkey(&two, at("2026-03-04T00:00:00Z"));
    put(&site, "own.key", &younger);
    signs_once(&site, "2026-03-05T00:00:00Z", 0);
    clients_believe(&site, &[&younger]);
    // The file of another name and place has the same keys.
    fs::create_dir(site.path("moved")).unwrap();
    fs::rename(site.path("own.key"), site.path("moved/elsewhere.key")).unwrap();
    site.change_config(KEY_A, "key-file = \"moved/elsewhere.key\"");
    site.run_without_news(&["--clock", "2026-03-06T00:00:00Z"]);
}

#[test]
fn a_new_subkey_of_gpg_signs_anew() {
    let Some(gnupg) = Gnupg::new() else { return };
    let plain = ["--pinentry-mode", "loopback", "--passphrase", ""];
    let (primary, subkey) = gnupg.key("a@archive.example");
    let site = Site::new();
    let sign_with = |keys: &str| {
        let home = gnupg.home().display();
        let gpg = format!("gpg = {{ keys = [{keys}], homedir = \"{home}\" }}");
        site.change_config(KEY_A, &gpg);
    };
    sign_with(&format!("\"{primary}\""));
    site.run_at(&hours_from_now(0));
    let hours = Cell::new(0);
    let runs_anew = |is_new: bool| {
        hours.set(hours.get() + 1);
        let time = hours_from_now(hours.get());
        let outcome = site.json(&["run", "--json", "--clock", &time]);
        let changed = outcome["changed"].as_array().unwrap();
        assert_eq!(!changed.is_empty(), is_new, "{outcome}");
        site.ok(&["verify", "--clock", &time]);
        believed_by(&site, &gnupg.gpg(&["--export"], b""));
    };
    // The same key by other names.
    for keys in [
        format!("\"{subkey}\""),
        "\"a@archive.example\"".to_owned(),
        format!("\"{}\"", &primary[24..]),
    ] {
        sign_with(&keys);
        runs_anew(false);
    }
    sign_with(&format!("\"{primary}\""));
    let add = |usage: &str| {
        let add = ["--quick-add-key", &primary, "ed25519", usage, "0"];
        // A second apart, since gpg takes the youngest.
        std::thread::sleep(Duration::from_millis(1100));
        gnupg.gpg(&[&plain[..], &add].concat(), b"");
    };
    add("sign");
    runs_anew(true);
    runs_anew(false);
    // A part that does not sign changes nothing.
    add("auth");
    runs_anew(false);
    gnupg.gpg(
        &[&plain[..], &["--quick-add-uid", &primary, "second@x"]].concat(),
        b"",
    );
    runs_anew(false);
    // Two keys, of which one is named as gpg alone understands it.
    let (other, _) = gnupg.key("b@archive.example");
    sign_with(&format!("\"{primary}\", \"b@archive.example\""));
    runs_anew(true);
    sign_with(&format!("\"{other}\", \"{primary}\""));
    runs_anew(false);
    // gpg leaves no self-signatures of the day when it signed.
    std::thread::sleep(Duration::from_millis(1100));
    gnupg.gpg(
        &[&plain[..], &["--quick-set-expire", &primary, "9y"]].concat(),
        b"",
    );
    gnupg.gpg(
        &[&plain[..], &["--quick-set-expire", &primary, "9y", "*"]].concat(),
        b"",
    );
    runs_anew(true);
    runs_anew(false);
}

#[test]
fn gpg_is_asked_once_for_its_certificates() {
    let Some(gnupg) = Gnupg::new() else { return };
    let (key, _) = gnupg.key("a@archive.example");
    let site = Site::new();
    let calls = site.path("calls");
    let script = format!(
        "#!/bin/sh\necho call >> {}\nexec gpg \"$@\"\n",
        calls.display()
    );
    let program = site.script("counted-gpg", &script);
    let (program, home) = (program.display(), gnupg.home().display());
    let gpg =
        format!("gpg = {{ keys = [\"{key}\"], homedir = \"{home}\", program = \"{program}\" }}");
    site.change_config(KEY_A, &gpg);
    // The first run makes both signatures as well.
    for (hours, expected) in [(0, 3), (1, 1)] {
        fs::write(&calls, "").unwrap();
        site.run_at(&hours_from_now(hours));
        let calls = fs::read_to_string(&calls).unwrap();
        assert_eq!(calls.lines().count(), expected);
    }
}

#[test]
fn a_key_that_gpg_has_revoked_is_left_out() {
    let Some(gnupg) = Gnupg::new() else { return };
    let (old, _) = gnupg.key("old@archive.example");
    let (new, _) = gnupg.key("new@archive.example");
    let site = Site::new();
    let home = gnupg.home().display();
    let gpg =
        format!("gpg = {{ keys = [\"{old}\", \"new@archive.example\"], homedir = \"{home}\" }}");
    site.change_config(KEY_A, &gpg);
    site.run_at(&hours_from_now(0));
    // gpg makes a revocation for each key, and a colon in it keeps it from being imported by mistake.
    let revoke = |key: &str| {
        let file = gnupg.home().join(format!("openpgp-revocs.d/{key}.rev"));
        let text = fs::read_to_string(file).unwrap();
        let text = text.replace(":-----BEGIN", "-----BEGIN");
        gnupg.gpg(&["--import"], text.as_bytes());
    };
    revoke(&old);
    let said = site.run(&["--clock", &hours_from_now(1)]);
    said.expect(3, &["was revoked on", &old]);
    let signature = fs::read(site.merged("dists/daedalus/Release.gpg")).unwrap();
    let packets = gnupg.gpg(&["--list-packets"], &signature);
    let packets = String::from_utf8_lossy(&packets);
    assert_eq!(packets.matches(":signature packet:").count(), 1);
    site.ok(&["verify", "--clock", &hours_from_now(2)]);
    revoke(&new);
    let said = site.run(&["--clock", &hours_from_now(3)]);
    said.expect(1, &["was revoked on", "hint: "]);
}

#[test]
fn a_key_that_lapses_soon_is_told_of() {
    // Ours lapses on 2026-04-01.
    let site = signed_by(&key("short", 90));
    let said = site.run(&["--clock", "2026-03-02T00:00:01Z"]);
    said.expect(0, &["expires on 2026-04-01", "hint: prolong it"]);
    let long = key("long", 4000);
    put(&site, "own.key", &long);
    site.run_at("2026-03-03T00:00:00Z");
    assert_eq!(site.run(&["--clock", "2026-03-03T01:00:00Z"]).stderr, "");
    // A tree that is valid for longer than a month must be believed for longer.
    put(&site, "own.key", &key("ours", 120));
    site.run_at("2026-03-03T02:00:00Z");
    site.configure("[publish]", "[publish]\nvalid-for = \"60 days\"");
    let said = site.run(&["--clock", "2026-03-03T03:00:00Z"]);
    said.expect(0, &["expires on 2026-05-01"]);
    // So does one of an archive, if no other key of the keyring signed its Release.
    let site = Site::new();
    upstream_signs_with(&site, &key("upstream", 90));
    site.run_at("2026-03-01T00:00:00Z");
    let clock = ["--clock", "2026-03-02T00:00:01Z"];
    for arguments in [&["run"][..], &["run", "--dry-run"]] {
        let said = site.aptmerge(&[arguments, &clock].concat());
        said.expect(
            0,
            &[
                "`bookworm` of archive `main`",
                "expires on 2026-04-01",
                "hint: get",
            ],
        );
    }
    for arguments in [&["status"][..], &["config", "check"]] {
        let said = site.ok(&[arguments, &clock].concat());
        assert!(said.contains("expires on 2026-04-01"), "{said}");
    }
    let json = site.json(&["status", "--json", "--clock", clock[1]]);
    assert_eq!(json["keys"][0]["state"], "lapsing");
    assert_eq!(json["keys"][0]["archive"], "main");
}

/// Has the archive `main` sign with a key, which its keyring gets.
fn upstream_signs_with(site: &Site, cert: &Cert) {
    put(site, "upstream.key", cert);
    let mut suite = site.main();
    suite.key = site.path("upstream.key");
    suite.set("Date", NEWER);
    suite.sign();
    trust(site, cert);
}

fn trust(site: &Site, cert: &Cert) {
    let public = cert.clone().strip_secret_key_material();
    fs::write(site.path("keys/main.gpg"), public.to_vec().unwrap()).unwrap();
}

#[test]
fn a_weak_key_counts_up_to_a_day_if_somebody_says_so() {
    let strong = key("upstream", 4000);
    let weak = bound_anew(&strong, at("2026-01-02T00:00:00Z"), Parts::All, |builder| {
        builder.set_hash_algo(HashAlgorithm::SHA1)
    });
    let weak = without_older(&weak, at("2026-01-02T00:00:00Z"));
    let site = Site::new();
    upstream_signs_with(&site, &strong);
    trust(&site, &weak);
    // The error says what is wrong with the key, and the hint whose rules it breaks.
    let told = [
        "too weak",
        "SHA1",
        "sequoia's policy",
        "accept-weak-keys-until",
    ];
    let said = site.run(&["--clock", "2026-03-01T00:00:00Z"]);
    said.expect(1, &told);
    let check = |code: i32, time: &str| site.expect(code, &["config", "check", "--clock", time]);
    let said = check(78, "2026-03-01T00:00:00Z");
    for word in told {
        assert!(said.contains(word), "{said}");
    }
    let keyring = "signed-by = \"keys/main.gpg\"";
    let until = format!("{keyring}\naccept-weak-keys-until = \"2026-03-10\"");
    site.change_config(keyring, &until);
    let told = ["by a weak key", "SHA1", "hint: after the day of"];
    for time in ["2026-03-01T01:00:00Z", "2026-03-01T02:00:00Z"] {
        site.run(&["-v", "--clock", time]).expect(0, &told);
    }
    let said = site.ok(&["status", "--clock", "2026-03-01T02:00:00Z"]);
    assert!(said.contains("by a weak key"), "{said}");
    let said = check(0, "2026-03-01T02:00:00Z");
    assert!(said.contains("for the time being only"), "{said}");
    site.run(&["--clock", "2026-03-10T23:59:59Z"])
        .expect(0, &told);
    // Then it is refused, and what was published stays.
    let served = site.served();
    site.run(&["--clock", "2026-03-11T00:00:00Z"])
        .expect(3, &["too weak", "stays at its last good copy"]);
    assert_eq!(site.served(), served);
    check(78, "2026-03-11T00:00:00Z");
    // A strong key is not told of.
    trust(&site, &strong);
    let said = site.run(&["--clock", "2026-03-11T01:00:00Z"]);
    assert_eq!(said.expect(0, &[]).stderr, "");
}

#[test]
fn the_check_of_a_configuration_looks_at_keys_as_a_run_does() {
    let site = Site::published();
    let check = |time: &str| {
        let said = site.aptmerge(&["config", "check", "--clock", time]);
        (said.code, said.stdout)
    };
    let now = "2026-03-02T00:00:00Z";
    assert_eq!(check(now).0, Some(0));
    // A key of ours that has expired.
    put(&site, "own.key", &key("own", 90));
    site.change_config(KEY_A, "key-file = \"own.key\"");
    assert!(check(now).1.contains("expires on 2026-04-01"));
    let (code, said) = check("2026-04-02T00:00:00Z");
    assert_eq!(code, Some(78), "{said}");
    assert!(said.contains("signing: ") && said.contains("expired on 2026-04-01"));
    let said = site.expect(0, &["status", "--clock", "2026-04-02T00:00:00Z"]);
    assert!(said.contains("expired on 2026-04-01"), "{said}");
    site.restore_config();
    // A keyring whose only key has expired.
    trust(&site, &key("upstream", 90));
    let (code, said) = check("2026-04-02T00:00:00Z");
    assert_eq!(code, Some(78), "{said}");
    assert!(said.contains("archives.main.signed-by: ") && said.contains("expired on"));
    site.restore_keys();
    // gpg that has only the public half.
    let Some(gnupg) = Gnupg::new() else { return };
    let public = site.path("public.key");
    let own = key("own", 4000);
    let bytes = own.clone().strip_secret_key_material().to_vec().unwrap();
    fs::write(&public, bytes).unwrap();
    gnupg.import(&public);
    let home = gnupg.home().display();
    let fingerprint = own.fingerprint().to_hex();
    let gpg = format!("gpg = {{ keys = [\"{fingerprint}\"], homedir = \"{home}\" }}");
    site.change_config(KEY_A, &gpg);
    let (code, said) = check(now);
    assert_eq!(code, Some(78), "{said}");
    assert!(said.contains("only the public half"), "{said}");
    put(&site, "own.key", &own);
    gnupg.import(&site.path("own.key"));
    assert_eq!(check(now).0, Some(0));
}
