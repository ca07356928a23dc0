//! What a Release of ours says besides its files: further hashes, and fields that change what apt does.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use crate::common::apt::{Apt, field};
use crate::common::programs::has;
use crate::common::site::{DAEDALUS, Site};
use md5::Digest;

const HASHES: &str = "[publish]\nhashes = [\"sha256\", \"md5\", \"sha512\"]\n";

fn release(site: &Site) -> String {
    fs::read_to_string(site.merged("dists/daedalus/Release")).unwrap()
}

/// What each checksum section says of each path.
fn sections(release: &str) -> BTreeMap<String, BTreeMap<String, (String, u64)>> {
    let mut sections: BTreeMap<String, BTreeMap<_, _>> = BTreeMap::new();
    let mut section = String::new();
    for line in release.lines() {
        let words: Vec<_> = line.split_ascii_whitespace().collect();
        match (line.starts_with(' '), words.as_slice()) {
            (true, [hash, size, path]) => {
                let entry = ((*hash).to_owned(), size.parse().unwrap());
                let files = sections.entry(section.clone()).or_default();
                assert!(files.insert((*path).to_owned(), entry).is_none(), "{path}");
            }
            _ => line.split(':').next().unwrap().clone_into(&mut section),
        }
    }
    sections
}

fn hash(section: &str, data: &[u8]) -> String {
    match section {
        "MD5Sum" => hex::encode(md5::Md5::digest(data)),
        "SHA256" => hex::encode(sha2::Sha256::digest(data)),
        "SHA512" => hex::encode(sha2::Sha512::digest(data)),
        other => panic!("no {other} was asked for"),
    }
}

/// A sources.list for the suite, that trusts both of our keys.
fn sources(site: &Site, root: &str) -> String {
    let keyring = site.path("keys/publish.gpg");
    let keyring = keyring.display();
    format!("deb [signed-by={keyring}] {root} daedalus main\n")
}

#[test]
fn every_hash_is_listed_and_served_and_checked() {
    let site = Site::of(&format!("{DAEDALUS}{HASHES}")).publish();
    let dir = site.merged("dists/daedalus");
    let sections = sections(&release(&site));
    let names: Vec<_> = sections.keys().map(String::as_str).collect();
    assert_eq!(names, ["MD5Sum", "SHA256", "SHA512"]);
    let paths = |name: &str| sections[name].keys().collect::<Vec<_>>();
    assert_eq!(paths("MD5Sum"), paths("SHA256"));
    assert_eq!(paths("SHA512"), paths("SHA256"));
    let mut seen = 0;
    for (section, files) in &sections {
        for (path, (listed, size)) in files {
            let Ok(data) = fs::read(dir.join(path)) else {
                continue; // the plain form is listed only
            };
            seen += 1;
            assert_eq!(data.len() as u64, *size, "{path}");
            assert_eq!(hash(section, &data), *listed, "{section} of {path}");
            let file = Path::new(path);
            let by_hash = dir.join(file.parent().unwrap()).join("by-hash");
            let by_hash = by_hash.join(section).join(listed);
            assert_eq!(fs::read(by_hash).unwrap(), data, "{section} of {path}");
        }
    }
    assert!(seen > 30, "{seen}");
    let plain = &sections["SHA512"]["main/binary-amd64/Packages"];
    let text = site.index("dists/daedalus/main/binary-amd64/Packages");
    assert_eq!(plain.0, hash("SHA512", text.as_bytes()));
    site.ok(&["verify"]);
    // A hash that proves nothing is checked as well: here in a tree that somebody else signed so.
    let signer = |release: &str| {
        let signer =
            aptmerge::openpgp::Signer::key_files(&[site.path("keys/publish-a.secret.asc")]);
        signer
            .unwrap()
            .sign(release.as_bytes(), std::time::SystemTime::now())
    };
    let production = fs::canonicalize(site.merged("dists/daedalus")).unwrap();
    let original = release(&site);
    for section in ["MD5Sum", "SHA512", "SHA1"] {
        let path = "main/binary-amd64/Packages.xz";
        let wrong = match sections.get(section) {
            Some(files) => {
                let (hash, _) = &files[path];
                original.replace(hash.as_str(), &hash.chars().rev().collect::<String>())
            }
            // One that we never write.
            None => {
                let (_, size) = sections["SHA256"][path];
                format!("{original}{section}:\n {} {size} {path}\n", "0".repeat(40))
            }
        };
        let signed = signer(&wrong).unwrap();
        for (name, data) in [
            ("Release", wrong.as_bytes()),
            ("Release.gpg", &signed.detached),
            ("InRelease", &signed.inline),
        ] {
            fs::remove_file(production.join(name)).unwrap();
            fs::write(production.join(name), data).unwrap();
        }
        let told = site.expect(1, &["verify"]);
        assert!(told.contains("main/binary-amd64/Packages.xz"), "{told}");
        let is_weak = section != "SHA512";
        assert_eq!(told.contains("MD5 or SHA-1"), is_weak, "{section}: {told}");
    }
}

#[test]
fn apt_asks_by_the_strongest_hash_and_finds_it() {
    if !has("apt-get") {
        return;
    }
    let site = Site::of(&format!("{DAEDALUS}{HASHES}")).publish();
    let server = site.serve();
    let apt = Apt::new(&["amd64"], &sources(&site, &server.url()), "");
    apt.ok("apt-get", &["update"]);
    assert_eq!(apt.candidate("main-only"), "1.0-1");
    let requests = server.log();
    let of = |what: &str| requests.iter().filter(|line| line.contains(what)).count();
    assert!(of("/by-hash/SHA512/") > 0, "{requests:?}");
    assert_eq!(of("/by-hash/SHA256/"), 0, "{requests:?}");
    assert_eq!(of("/Packages"), 0, "{requests:?}");
}

#[test]
fn files_of_every_hash_are_kept_for_generations_and_go_with_a_hash() {
    let site = Site::of(&format!(
        "{DAEDALUS}{HASHES}by-hash = {{ generations = 1, days = 0 }}\n"
    ));
    let index = "main/binary-amd64/Packages";
    let dir = site.merged("dists/daedalus/main/binary-amd64/by-hash");
    let change = |number: i64| {
        let date: jiff::Timestamp = "2026-02-01T00:00:00Z".parse().unwrap();
        let date = date + jiff::SignedDuration::from_hours(number);
        site.edit_overlay("daedalus", index, date, |text| {
            text.replacen("Package: ", &format!("X-Change: {number}\nPackage: "), 1)
        });
    };
    let places = || {
        let sections = sections(&release(&site));
        let of = sections.into_iter().map(|(section, files)| {
            let (hash, _) = &files[&format!("{index}.xz")];
            dir.join(section).join(hash)
        });
        of.collect::<Vec<_>>()
    };
    let mut generations = Vec::new();
    for number in 0..3 {
        change(number);
        site.run_at(&format!("2026-03-0{}T00:00:00Z", number + 1));
        generations.push(places());
        assert_eq!(generations.last().unwrap().len(), 3);
    }
    let exists = |number: usize| generations[number].iter().all(|path| path.exists());
    let any = |number: usize| generations[number].iter().any(|path| path.exists());
    assert!(exists(2), "what is named");
    assert!(exists(1), "the last generation's, under every hash");
    assert!(!any(0), "older than that, under none");
    // Without the other hashes their sections go at once, and their files as those of any generation before.
    site.configure(", \"md5\", \"sha512\"", "");
    let before = fs::metadata(site.merged(&format!("dists/daedalus/{index}.xz"))).unwrap();
    site.run_at("2026-03-04T00:00:00Z");
    let now = sections(&release(&site));
    assert_eq!(now.keys().collect::<Vec<_>>(), ["SHA256"]);
    assert!(
        exists(2),
        "clients of the last Release still find what it names"
    );
    let after = fs::metadata(site.merged(&format!("dists/daedalus/{index}.xz"))).unwrap();
    assert_eq!(
        before.modified().unwrap(),
        after.modified().unwrap(),
        "an index that is the same is carried on"
    );
    change(4);
    site.run_at("2026-03-05T00:00:00Z");
    change(5);
    site.run_at("2026-03-06T00:00:00Z");
    assert!(!dir.join("SHA512").exists() && !dir.join("MD5Sum").exists());
    site.ok(&["verify"]);
}

#[test]
fn fields_reach_clients_in_both_releases() {
    let site = Site::of(&DAEDALUS.replace(
        "Version = \"5.0\"",
        "Version = \"5.0\", Changelogs = \"https://changelogs.example/@CHANGEPATH@\", Description = \"SHA512: of words\", X-Own = \"a: b\"",
    ));
    site.ok(&["run"]);
    let text = release(&site);
    assert_eq!(
        field(&text, "Changelogs"),
        Some("https://changelogs.example/@CHANGEPATH@")
    );
    assert_eq!(field(&text, "Description"), Some("SHA512: of words"));
    assert_eq!(field(&text, "X-Own"), Some("a: b"));
    let below = fs::read_to_string(site.merged("dists/daedalus/main/binary-amd64/Release"));
    let below = below.unwrap();
    assert_eq!(field(&below, "Origin"), Some("Example"));
    assert_eq!(field(&below, "Archive"), Some("stable"));
    if !has("apt-get") {
        return;
    }
    let root = format!("file:{}", site.merged("").display());
    let apt = Apt::new(&["amd64"], &sources(&site, root.trim_end_matches('/')), "");
    apt.ok("apt-get", &["update"]);
    let uri = apt.ok("apt-get", &["changelog", "--print-uris", "main-only"]);
    assert!(
        uri.contains("https://changelogs.example/main/m/main-only/main-only_1.0-1"),
        "{uri}"
    );
}

#[test]
fn apt_holds_back_what_is_not_automatic() {
    if !has("apt-get") {
        return;
    }
    for (fields, priority) in [
        ("", "500"),
        (", NotAutomatic = \"yes\"", "1"),
        (
            ", NotAutomatic = \"yes\", ButAutomaticUpgrades = \"yes\"",
            "100",
        ),
    ] {
        let version = format!("Version = \"5.0\"{fields}");
        let site = Site::of(&DAEDALUS.replace("Version = \"5.0\"", &version)).publish();
        let root = format!("file:{}", site.merged("").display());
        let apt = Apt::new(&["amd64"], &sources(&site, root.trim_end_matches('/')), "");
        apt.ok("apt-get", &["update"]);
        let policy = apt.ok("apt-cache", &["policy"]);
        let line = policy
            .lines()
            .find(|line| line.contains("daedalus/main amd64"));
        let found = line.unwrap().split_ascii_whitespace().next();
        assert_eq!(found, Some(priority), "{fields}: {policy}");
    }
}

#[test]
fn signed_by_restricts_the_keys_of_the_next_release() {
    if !has("apt-get") {
        return;
    }
    let keyring = aptmerge::openpgp::Keyring::load(&[
        crate::common::site::fixtures().join("keys/publish-a.gpg")
    ])
    .unwrap();
    let fingerprint = keyring.fingerprints().remove(0);
    let signed_by = format!("Version = \"5.0\", Signed-By = \"{fingerprint}\"");
    // apt takes heed of it as long as the Release is valid, and of a Release without Valid-Until not at all.
    let suites = DAEDALUS.replace("Version = \"5.0\"", &signed_by);
    let site = Site::of(&format!("{suites}[publish]\nvalid-for = \"7 days\"\n")).publish();
    assert_eq!(
        field(&release(&site), "Signed-By"),
        Some(fingerprint.as_str())
    );
    // From file: apt keeps a link instead of a copy, so there it has nothing to remember the restriction by.
    let server = site.serve();
    // What sources.list says of keys would go before what the Release says, so the client trusts the keyring as a whole.
    let client = || {
        let source = format!("deb {} daedalus main\n", server.url());
        let apt = Apt::new(&["amd64"], &source, "");
        fs::copy(
            site.path("keys/publish.gpg"),
            apt.path("etc/trusted.gpg.d/publish.gpg"),
        )
        .unwrap();
        apt
    };
    let apt = client();
    apt.ok("apt-get", &["update"]);
    site.configure(
        "key-file = [\"keys/publish-a.secret.asc\", \"keys/publish-b.secret.asc\"]",
        "key-file = \"keys/publish-b.secret.asc\"",
    );
    site.configure(&format!(", Signed-By = \"{fingerprint}\""), "");
    site.ok(&["run"]);
    let output = apt.call("apt-get", &["update"]);
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success(), "{told}");
    assert!(told.contains("signature"), "{told}");
    // One that never saw the restriction takes the other key, for its keyring has it.
    client().ok("apt-get", &["update"]);
}

#[test]
fn a_signed_by_that_names_no_key_of_ours_is_not_published() {
    let other = "0123456789ABCDEF0123456789ABCDEF01234567";
    let version = format!("Version = \"5.0\", Signed-By = \"{other}\"");
    let suites = DAEDALUS.replace("Version = \"5.0\"", &version);
    let site = Site::of(&format!("{suites}[publish]\nvalid-for = \"7 days\"\n"));
    let told = site.expect(1, &["run"]);
    assert!(told.contains("Signed-By names none of the keys"), "{told}");
    assert!(!site.merged("dists").exists(), "nothing is served");
}

#[test]
fn what_an_archive_says_of_itself_cannot_become_another_field() {
    let site = Site::of(&DAEDALUS.replace("Label = \"Example\", ", ""));
    let release_file = site.path("archives/overlay/dists/daedalus/Release");
    let old = fs::read_to_string(&release_file).unwrap();
    let label = "Label: x\n Signed-By: y\n SHA256:\n\tAcquire-By-Hash: no\n";
    let text: String = old
        .lines()
        .map(|line| match line.starts_with("Label:") {
            true => label.to_owned(),
            false => format!("{line}\n"),
        })
        .collect();
    assert!(text.contains(label));
    fs::write(&release_file, text).unwrap();
    let date = "2026-02-01T00:00:00Z".parse().unwrap();
    site.edit_overlay("daedalus", "main/binary-amd64/Packages", date, |text| text);
    site.ok(&["run"]);
    for path in ["Release", "main/binary-amd64/Release"] {
        let text = fs::read_to_string(site.merged("dists/daedalus").join(path)).unwrap();
        let fields: Vec<_> = text
            .lines()
            .filter(|line| !line.starts_with([' ', '\t']))
            .map(|line| line.split(':').next().unwrap())
            .collect();
        let unique: std::collections::BTreeSet<_> = fields.iter().collect();
        assert_eq!(unique.len(), fields.len(), "{text}");
        assert!(!fields.contains(&"Signed-By"), "{text}");
        assert_eq!(field(&text, "Acquire-By-Hash"), Some("yes"), "{text}");
    }
    site.ok(&["verify"]);
}
