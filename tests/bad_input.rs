//! Bad archives, bad disks and bad keys: each is refused by name and reason, what is served stays as it is to the last inode,
//! and the next good state is published as if nothing had happened.
#![allow(clippy::unwrap_used, clippy::print_stderr)]

mod common;

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use common::upstream::{NEWER, Said, Site, Suite, gz, signing_time, stanza, xz};
use sequoia_openpgp::cert::{Cert, CertBuilder, CertRevocationBuilder};
use sequoia_openpgp::serialize::SerializeInto;
use sequoia_openpgp::types::ReasonForRevocation;

const DAY: Duration = Duration::from_secs(24 * 60 * 60);
const PACKAGES: &str = "main/binary-amd64/Packages";

/// How the site gets well again.
enum Cure {
    /// The state before.
    Same,
    /// A state of later Date: the bad one was taken for the archive's own.
    Newer,
}

/// After a good run, and on a first run: exit codes as given, all the words said, nothing served that was not.
#[track_caller]
fn refused(spoil: &dyn Fn(&Site), codes: [i32; 2], words: &[&str], cure: &Cure) {
    refused_later(spoil, codes[0], words, cure);
    let site = Site::new();
    spoil(&site);
    site.run(&[]).expect(codes[1], words);
    assert!(site.served().is_empty(), "{:?}", site.served());
    heal(&site, cure);
    site.run(&[]).expect(0, &[]);
    assert!(site.root().join("merged/dists/daedalus/InRelease").exists());
}

/// After a good run only.
#[track_caller]
fn refused_later(spoil: &dyn Fn(&Site), code: i32, words: &[&str], cure: &Cure) {
    let site = Site::published();
    let before = site.served();
    assert!(before.len() > 20);
    spoil(&site);
    let said = site.run(&[]);
    said.expect(code, words);
    if code == 3 {
        said.expect(code, &["stays at its last good copy"]);
    }
    assert_same(&before, &site);
    heal(&site, cure);
    let said = site.run(&["--verbose"]);
    said.expect(0, &["nothing changed"]);
    assert_same(&before, &site);
}

#[track_caller]
fn assert_same(before: &std::collections::BTreeMap<std::path::PathBuf, String>, site: &Site) {
    assert_eq!(*before, site.served(), "what is served was touched");
}

fn heal(site: &Site, cure: &Cure) {
    match cure {
        Cure::Same => site.restore(),
        Cure::Newer => site.restore_newer(),
    }
}

/// A Release that is changed and signed again, with a later Date.
fn release(change: impl Fn(&mut Suite)) -> impl Fn(&Site) {
    move |site| {
        let mut suite = site.main();
        suite.set("Date", NEWER);
        change(&mut suite);
        suite.sign();
    }
}

#[track_caller]
fn refused_release(change: impl Fn(&mut Suite), words: &[&str]) {
    refused(&release(change), [3, 1], words, &Cure::Same);
}

#[track_caller]
fn refused_index(change: impl Fn(&mut Suite), words: &[&str]) {
    refused(&release(change), [1, 1], words, &Cure::Newer);
}

// ------------------------------------------------------------------------------------------ signatures and keys

#[test]
fn a_text_that_was_changed_after_it_was_signed() {
    refused(
        &|site| {
            let path = site.main().dir.join("InRelease");
            let text = fs::read_to_string(&path).unwrap();
            fs::write(&path, text.replace("12.9", "12.8")).unwrap();
        },
        [3, 1],
        &[
            "main/dists/bookworm/InRelease: the signature is refused",
            "BAD signature",
        ],
        &Cure::Same,
    );
}

#[test]
fn a_signature_by_a_key_that_is_not_the_archives() {
    refused_release(
        |suite| suite.key = suite.key.with_file_name("security.secret.asc"),
        &["InRelease: the signature is refused", "not in the keyring"],
    );
}

/// A key on the spot, in the place of the archive's.
fn own_key(site: &Site, validity: Option<Duration>, is_revoked: bool) {
    let created = signing_time() - 100 * DAY;
    let (mut cert, _) = CertBuilder::new()
        .add_userid("main <main@archive.example>")
        .set_creation_time(created)
        .set_validity_period(validity)
        .add_signing_subkey()
        .generate()
        .unwrap();
    let mut suite = site.main();
    suite.key = site.path("own.key");
    fs::write(&suite.key, cert.as_tsk().to_vec().unwrap()).unwrap();
    fs::set_permissions(&suite.key, fs::Permissions::from_mode(0o600)).unwrap();
    suite.set("Date", NEWER);
    suite.sign();
    if is_revoked {
        let mut primary = cert
            .primary_key()
            .key()
            .clone()
            .parts_into_secret()
            .unwrap()
            .into_keypair()
            .unwrap();
        let revocation = CertRevocationBuilder::new()
            .set_signature_creation_time(signing_time() + DAY)
            .unwrap()
            .set_reason_for_revocation(ReasonForRevocation::KeyCompromised, b"stolen")
            .unwrap()
            .build(&mut primary, &cert, None)
            .unwrap();
        cert = cert.insert_packets([revocation]).unwrap().0;
    }
    let public: Cert = cert.strip_secret_key_material();
    fs::write(site.path("keys/main.gpg"), public.to_vec().unwrap()).unwrap();
}

#[test]
fn a_key_that_has_expired() {
    refused(
        &|site| own_key(site, Some(110 * DAY), false),
        [3, 1],
        &[
            "InRelease: the signature is refused",
            "which expired on 2026-02-11",
        ],
        &Cure::Same,
    );
}

#[test]
fn a_key_that_was_revoked() {
    refused(
        &|site| own_key(site, None, true),
        [3, 1],
        &["InRelease: the signature is refused", "which was revoked"],
        &Cure::Same,
    );
}

#[test]
fn an_empty_keyring() {
    refused(
        &|site| fs::write(site.path("keys/main.gpg"), "").unwrap(),
        [3, 1],
        &["keyring", "keys/main.gpg"],
        &Cure::Same,
    );
}

#[test]
fn a_keyring_that_cannot_be_read() {
    refused(
        &|site| fs::remove_file(site.path("keys/main.gpg")).unwrap(),
        [3, 1],
        &["keys/main.gpg cannot be read", "No such file"],
        &Cure::Same,
    );
}

// ------------------------------------------------------------------------------------------ the Release

#[test]
fn a_release_that_has_expired() {
    refused_release(
        |suite| suite.set("Valid-Until", "Fri, 06 Feb 2026 00:00:00 UTC"),
        &[
            "main/dists/bookworm: the Release has expired on 2026-02-06",
            "check-valid-until",
        ],
    );
}

#[test]
fn a_release_that_is_older_than_the_last() {
    refused_later(
        &|site| {
            let mut suite = site.main();
            suite.set("Date", "Wed, 31 Dec 2025 00:00:00 UTC");
            suite.sign();
        },
        3,
        &[
            "main/dists/bookworm: the Release of 2025-12-31",
            "is older than the one of 2026-01-01",
            "rollback",
        ],
        &Cure::Same,
    );
}

#[test]
fn a_release_of_the_same_date_with_other_content() {
    refused_later(
        &|site| {
            let mut suite = site.main();
            suite.set("Description", "Another one");
            suite.sign();
        },
        3,
        &[
            "main/dists/bookworm: the Release of 2026-01-01",
            "same Date",
        ],
        &Cure::Same,
    );
}

#[test]
fn the_release_of_another_suite() {
    refused(
        &|site| {
            site.restore_archive("main", "buster");
            let dists = site.path("archives/main/dists");
            fs::remove_dir_all(dists.join("bookworm")).unwrap();
            fs::rename(dists.join("buster"), dists.join("bookworm")).unwrap();
        },
        [3, 1],
        &[
            "dists/bookworm: this is the Release of",
            "`buster`, and not of `bookworm`",
        ],
        &Cure::Same,
    );
}

#[test]
fn an_archive_that_calls_itself_something_else() {
    for (field, from) in [
        ("Origin", "Debian"),
        ("Label", "Debian"),
        ("Codename", "bookworm"),
    ] {
        let site = Site::published();
        let before = site.served();
        let mut suite = site.main();
        suite.set("Date", NEWER);
        suite.set("Suite", "bookworm");
        suite.set(field, "Changed");
        suite.sign();
        let change =
            format!("dists/bookworm: the Release changed its {field} from `{from}` to `Changed`");
        site.run(&[]).expect(
            3,
            &[
                &change,
                "stays at its last good copy",
                "--allow-identity-change",
            ],
        );
        assert_same(&before, &site);
        site.run(&["--allow-identity-change"]).expect(0, &[]);
        site.run(&[]).expect(0, &[]);
    }
}

#[test]
fn a_release_from_the_future() {
    refused_release(
        |suite| suite.set("Date", "Tue, 01 Jan 2030 00:00:00 UTC"),
        &[
            "dists/bookworm: the Release is dated 2030-01-01",
            "future",
            "clock",
        ],
    );
}

#[test]
fn a_release_past_the_archives_max_age() {
    refused(
        &|site| site.change_config("pool = \"MAIN\"", "pool = \"MAIN\"\nmax-age = \"30 days\""),
        [3, 1],
        &[
            "dists/bookworm: the Release of 2026-01-01",
            "max-age of 30 days",
        ],
        &Cure::Same,
    );
}

#[test]
fn a_release_with_md5_alone() {
    refused_release(
        |suite| suite.remove("SHA256"),
        &[
            "dists/bookworm: the Release is refused",
            "neither SHA256 nor SHA512",
        ],
    );
}

#[test]
fn a_release_whose_paths_climb() {
    for path in ["../../etc/passwd", "/etc/passwd", "main/%2e%2e/x"] {
        refused_release(
            |suite| {
                suite
                    .body
                    .push_str(&format!(" {} 1 {path}\n", "0".repeat(64)))
            },
            &[
                "dists/bookworm: the Release is refused",
                &format!("`{path}`"),
            ],
        );
    }
}

#[test]
fn a_release_that_is_damaged() {
    for (change, why) in [
        (
            ("Origin: Debian\n", "Origin: Debian\nOrigin: Debian\n"),
            "`Origin` twice",
        ),
        (("Origin: Debian\n", "Origin: Debian\n\n"), "2 stanzas"),
        (("Origin: Debian\n", "Origin Debian\n"), "line 1"),
        (
            ("SHA256:\n", "SHA256:\n 00 1 main/x\n"),
            "section SHA256: `00 1 main/x`",
        ),
    ] {
        refused_release(
            |suite| suite.body = suite.body.replace(change.0, change.1),
            &["dists/bookworm: the Release is refused", why],
        );
    }
}

#[test]
fn a_release_that_is_not_there() {
    refused(
        &|site| fs::remove_dir_all(site.path("archives/main/dists/bookworm")).unwrap(),
        [3, 1],
        &["dists/bookworm: there is neither an InRelease nor a Release"],
        &Cure::Same,
    );
}

// ------------------------------------------------------------------------------------------ indices against their Release

fn listed_news(suite: &mut Suite) {
    suite.append_stanza(PACKAGES, &stanza("newcomer"));
}

#[test]
fn an_index_with_the_wrong_hash() {
    refused_release(
        |suite| {
            listed_news(suite);
            suite.damage(PACKAGES, |data| {
                let middle = data.len() / 2;
                data[middle] ^= 1;
            });
        },
        &[
            "dists/bookworm/main/binary-amd64/",
            "its hash is not the one in the Release",
        ],
    );
}

#[test]
fn an_index_with_the_wrong_size() {
    refused_release(
        |suite| {
            listed_news(suite);
            suite.damage(PACKAGES, |data| data.truncate(data.len() - 1));
        },
        &[
            "dists/bookworm/main/binary-amd64/",
            "bytes, the Release says",
        ],
    );
}

#[test]
fn an_index_that_is_longer_than_listed() {
    refused_release(
        |suite| {
            listed_news(suite);
            suite.damage(PACKAGES, |data| data.extend([0; 100_000]));
        },
        &["dists/bookworm/main/binary-amd64/", "is larger than the"],
    );
}

#[test]
fn an_index_that_is_cut_off_as_its_archive_lists_it() {
    refused_release(
        |suite| {
            listed_news(suite);
            let text = suite.index(PACKAGES);
            for (form, packed) in [("gz", gz(text.as_bytes())), ("xz", xz(text.as_bytes()))] {
                suite.put(&format!("{PACKAGES}.{form}"), &packed[..packed.len() - 20]);
            }
        },
        &[
            "dists/bookworm/main/binary-amd64/Packages.",
            "it cannot be unpacked",
        ],
    );
}

#[test]
fn an_index_that_unpacks_to_more_than_listed() {
    refused_release(
        |suite| {
            let bomb = vec![b'a'; 64 << 20];
            suite.list(PACKAGES, &[b'a'; 1000]);
            suite.put(&format!("{PACKAGES}.gz"), &gz(&bomb));
            suite.put(&format!("{PACKAGES}.xz"), &xz(&bomb));
        },
        &[
            "dists/bookworm/main/binary-amd64/Packages.xz: it cannot be unpacked",
            "1000",
        ],
    );
}

#[test]
fn an_index_that_unpacks_to_something_else_than_listed() {
    refused_release(
        |suite| {
            listed_news(suite);
            let text = suite.index(PACKAGES);
            let other = text.replace("newcomer", "newgomer");
            suite.list(PACKAGES, other.as_bytes());
        },
        &[
            "dists/bookworm/main/binary-amd64/Packages.",
            "its hash unpacked is not",
        ],
    );
}

#[test]
fn an_index_that_is_larger_than_allowed() {
    refused(
        &|site| {
            site.change_config("restarts = 0", "restarts = 0\nmax-index = \"4 KiB\"");
            release(listed_news)(site);
        },
        [3, 1],
        &[
            // Suites are fetched side by side; whichever archive is met first is named.
            "bytes unpacked, more than",
            "fetch.max-index",
        ],
        &Cure::Same,
    );
}

#[test]
fn an_index_that_is_listed_and_not_there() {
    refused_release(
        |suite| {
            listed_news(suite);
            suite.delete(PACKAGES);
        },
        &[
            "dists/bookworm/main/binary-amd64/Packages.",
            "lists this file, and it is not there",
        ],
    );
}

// ------------------------------------------------------------------------------------------ indices that are signed and wrong

/// The line of an index in which some text stands, from 1.
fn line_of(text: &str, what: &str) -> usize {
    text.lines().position(|line| line.contains(what)).unwrap() + 1
}

/// A stanza more at the end of an index, with a change, refused by line and reason. The line is the one with `at`.
#[track_caller]
fn refused_stanza(index: &str, stanza: &str, at: &str, words: &[&str]) {
    let site = Site::new();
    let mut suite = site.main();
    suite.append_stanza(index, stanza);
    let line = format!("line {}: ", line_of(&suite.index(index), at));
    let place = format!("main bookworm {index}: ");
    refused_index(
        |suite| suite.append_stanza(index, stanza),
        &[&[place.as_str(), line.as_str()], words].concat(),
    );
}

#[test]
fn a_line_that_is_no_field() {
    let broken = stanza("broken").replace("Description: x", "here it breaks");
    refused_stanza(
        PACKAGES,
        &broken,
        "here it breaks",
        &["neither a field nor a continuation line"],
    );
}

#[test]
fn a_field_that_is_missing() {
    for field in ["Package", "Version", "Architecture", "Filename"] {
        let text: String = stanza("without")
            .lines()
            .filter(|line| !line.starts_with(&format!("{field}: ")))
            .map(|line| format!("{line}\n"))
            .collect();
        // The stanza is named by its first line.
        let first = match field {
            "Package" => "Filename: pool/main/without",
            _ => "Package: without",
        };
        if field == "Package" {
            refused_index(
                |suite| suite.append_stanza(PACKAGES, &text),
                &[
                    "main bookworm main/binary-amd64/Packages: ",
                    "line ",
                    "the stanza has no field `Package`",
                ],
            );
        } else {
            refused_stanza(
                PACKAGES,
                &text,
                first,
                &[&format!("the stanza has no field `{field}`")],
            );
        }
    }
}

#[test]
fn a_field_that_stands_there_twice() {
    let doubled = stanza("doubled").replace("Size: 1", "FILENAME: pool/other.deb");
    refused_stanza(
        PACKAGES,
        &doubled,
        "pool/other.deb",
        &["the field `FILENAME` stands in one stanza twice"],
    );
}

#[test]
fn a_nul_byte() {
    let nul = stanza("nul").replace("Description: x", "Description: x\0y");
    refused_stanza(PACKAGES, &nul, "x\0y", &["a NUL byte"]);
}

#[test]
fn a_filename_that_climbs() {
    for (path, why) in [
        ("pool/../../etc/passwd", "it climbs with `..`"),
        ("/etc/passwd", "it is absolute"),
        ("pool/%2e%2e/x.deb", "percent-encoded"),
        ("pool/%252e%252e/x.deb", "percent-encoded"),
        ("pool/a%2fb.deb", "percent-encoded slash"),
    ] {
        let climbing = stanza("climbing").replace("pool/main/climbing_1.0_amd64.deb", path);
        refused_stanza(
            PACKAGES,
            &climbing,
            path,
            &["Filename is refused", why, path],
        );
    }
}

fn source(directory: &str, file: &str) -> String {
    let hash = "0".repeat(64);
    format!(
        "Package: climbing\nVersion: 1.0\nArchitecture: any\nFormat: 1.0\nDirectory: {directory}\nChecksums-Sha256:\n {hash} 1 {file}\nFiles:\n {} 1 {file}\n",
        &hash[..32]
    )
}

#[test]
fn a_directory_that_climbs() {
    for (path, why) in [
        ("pool/../../etc", "it climbs with `..`"),
        ("/etc", "it is absolute"),
        ("pool/%2e%2e/x", "percent-encoded"),
    ] {
        refused_stanza(
            "main/source/Sources",
            &source(path, "x.dsc"),
            &format!("Directory: {path}"),
            &["Directory is refused", why, path],
        );
    }
}

#[test]
fn a_file_of_a_source_that_climbs() {
    for file in ["../x.dsc", "/etc/x.dsc", "..", "a/x.dsc", "%2e%2e%2fx.dsc"] {
        refused_index(
            |suite| {
                suite.append_stanza("main/source/Sources", &source("pool/main/c/climbing", file))
            },
            &[
                "main bookworm main/source/Sources: ",
                "line ",
                "a file of the source package lies outside of its directory",
            ],
        );
    }
}

// ------------------------------------------------------------------------------------------ this machine

#[test]
fn a_full_disk() {
    for stage in ["fetch", "merge"] {
        let site = Site::new();
        fs::create_dir(site.root()).unwrap();
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", "size=3m", "tmpfs"])
            .arg(site.root())
            .output();
        if !mounted.is_ok_and(|out| out.status.success()) {
            eprintln!("skipped: no right to mount a tmpfs");
            return;
        }
        let _unmount = Unmount(site.root());
        site.run(&[]).expect(0, &[]);
        let before = site.served();
        site.news();
        if stage == "merge" {
            site.aptmerge(&["fetch"]).expect(0, &[]);
        }
        fill(&site.path("site/filler"));
        let said = site.run(&[]);
        said.expect(1, &["No space left on device", "hint: free some room"]);
        assert_same(&before, &site);
        fs::remove_file(site.path("site/filler")).unwrap();
        site.run(&[]).expect(0, &[]);
        assert!(
            site.published_index("daedalus/main/binary-amd64/Packages")
                .contains("newcomer")
        );
    }
}

struct Unmount(std::path::PathBuf);

impl Drop for Unmount {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(&self.0).status();
    }
}

/// Writes until nothing more goes.
fn fill(path: &Path) {
    use std::io::Write;
    let mut file = fs::File::create(path).unwrap();
    for size in [65_536, 4096, 1] {
        while file.write_all(&vec![b'x'; size]).is_ok() {}
    }
}

#[test]
fn a_root_that_cannot_be_written() {
    let mut site = Site::published();
    if !nix::unistd::geteuid().is_root()
        || Command::new("setpriv").arg("--version").output().is_err()
    {
        eprintln!("skipped: not root, or no setpriv");
        return;
    }
    site.news();
    let before = site.served();
    // Where nobody can reach it.
    let binary = site.path("aptmerge");
    fs::copy(env!("CARGO_BIN_EXE_aptmerge"), &binary).unwrap();
    fs::set_permissions(site.path("."), fs::Permissions::from_mode(0o755)).unwrap();
    site.use_binary(binary);
    let as_nobody = |arguments: &[&str]| {
        let inner = site.command(arguments);
        let out = Command::new("setpriv")
            .args(["--reuid=65534", "--regid=65534", "--clear-groups", "--"])
            .arg(inner.get_program())
            .args(inner.get_args())
            .output()
            .unwrap();
        Said::of(&out)
    };
    as_nobody(&["run"]).expect(
        1,
        &["Permission denied", &site.root().display().to_string()],
    );
    assert_same(&before, &site);
    // A root that is not there and cannot be made.
    site.change_config("root = \"site\"", "root = \"nowhere/site\"");
    as_nobody(&["run"]).expect(
        1,
        &[
            "cannot create the root",
            "nowhere/site",
            "Permission denied",
        ],
    );
    site.restore_config();
    site.run(&[]).expect(0, &[]);
}

#[test]
fn a_link_that_is_not_ours() {
    type Setup = fn(&Site);
    let setups: [(Setup, &str); 3] = [
        (
            |site| fs::create_dir_all(site.path("site/merged/dists")).unwrap(),
            "no symlink",
        ),
        (
            |site| {
                fs::create_dir_all(site.path("elsewhere/dists")).unwrap();
                symlink("../elsewhere", site.path("site/merged")).unwrap();
            },
            "a symlink to ../elsewhere",
        ),
        (
            |site| fs::write(site.path("site/merged"), "mine").unwrap(),
            "no symlink",
        ),
    ];
    for (setup, found) in setups {
        for is_first in [true, false] {
            let site = if is_first {
                Site::new()
            } else {
                Site::published()
            };
            fs::create_dir_all(site.root()).unwrap();
            if !is_first {
                fs::remove_file(site.path("site/merged")).unwrap();
            }
            setup(&site);
            site.news();
            let before = site.served();
            site.run(&[]).expect(
                1,
                &[
                    "site/merged is not the link that aptmerge keeps",
                    found,
                    "hint: ",
                ],
            );
            assert_same(&before, &site);
            fs::rename(site.path("site/merged"), site.path("moved-away")).unwrap();
            site.run(&[]).expect(0, &[]);
            assert!(site.path("site/merged/dists/daedalus/InRelease").exists());
        }
    }
}

#[test]
fn a_damaged_object_in_the_spool() {
    for damage in [
        (|path| fs::write(path, "no zstd").unwrap()) as fn(&Path),
        |path| fs::write(path, zstd::encode_all(&b"Package: other\n"[..], 1).unwrap()).unwrap(),
        |path| fs::remove_file(path).unwrap(),
    ] {
        let site = Site::published();
        let before = site.served();
        let objects = walkdir::WalkDir::new(site.path("site/spool/objects"));
        let objects: Vec<_> = objects
            .into_iter()
            .map(Result::unwrap)
            .filter(|e| e.file_type().is_file())
            .collect();
        assert!(objects.len() > 3);
        for object in &objects {
            damage(object.path());
        }
        site.news();
        // What is gone altogether is simply fetched again, before anything reads it.
        let is_gone = !objects[0].path().exists();
        if !is_gone {
            site.run(&[]).expect(
                1,
                &["in the spool is damaged", "site/spool/objects/", "hint: "],
            );
            assert_same(&before, &site);
        }
        // One damaged object is found in each run at least.
        let healed = (0..=objects.len()).any(|_| {
            let said = site.run(&[]);
            said.code == Some(0)
        });
        assert!(healed);
        assert!(
            site.published_index("daedalus/main/binary-amd64/Packages")
                .contains("newcomer")
        );
    }
}

#[test]
fn a_damaged_record() {
    for damage in ["", "{", "[]", "{\"number\": \"one\"}", "\0\0\0\0"] {
        let site = Site::published();
        let before = site.served();
        let path = site.path("site/state/published.json");
        let good = fs::read(&path).unwrap();
        fs::write(&path, damage).unwrap();
        site.news();
        site.run(&[]).expect(
            1,
            &["state/published.json cannot be understood", "hint: restore"],
        );
        assert_same(&before, &site);
        if damage == "{" {
            // As the hint says, it may be removed as well.
            fs::remove_file(&path).unwrap();
        } else {
            fs::write(&path, &good).unwrap();
        }
        site.run(&[]).expect(0, &[]);
        assert!(
            site.published_index("daedalus/main/binary-amd64/Packages")
                .contains("newcomer")
        );
    }
}

#[test]
fn a_damaged_copy_in_the_spool() {
    let site = Site::published();
    let before = site.served();
    let path = site.path("site/spool/main/bookworm.json");
    let good = fs::read(&path).unwrap();
    fs::write(&path, &good[..good.len() / 2]).unwrap();
    site.run(&[]).expect(
        1,
        &["spool/main/bookworm.json cannot be understood", "hint: "],
    );
    assert_same(&before, &site);
    fs::remove_file(&path).unwrap();
    site.run(&[]).expect(0, &[]);
    assert_same(&before, &site);
}

// ------------------------------------------------------------------------------------------ signing

/// Something has to be signed, and cannot be; then it can.
#[track_caller]
fn unsigned(spoil: &dyn Fn(&Site), words: &[&str]) {
    let site = Site::published();
    let before = site.served();
    site.news();
    spoil(&site);
    site.run(&[]).expect(1, words);
    assert_same(&before, &site);
    site.restore_keys();
    site.restore_config();
    site.run(&[]).expect(0, &[]);
    assert!(
        site.published_index("daedalus/main/binary-amd64/Packages")
            .contains("newcomer")
    );

    let site = Site::new();
    spoil(&site);
    site.run(&[]).expect(1, words);
    assert!(site.served().is_empty());
}

#[test]
fn a_signing_key_that_others_can_read() {
    unsigned(
        &|site| {
            let key = site.path("keys/publish-a.secret.asc");
            fs::set_permissions(key, fs::Permissions::from_mode(0o644)).unwrap();
        },
        &["keys/publish-a.secret.asc", "644"],
    );
}

#[test]
fn a_signing_key_that_is_missing() {
    unsigned(
        &|site| fs::remove_file(site.path("keys/publish-a.secret.asc")).unwrap(),
        &["keys/publish-a.secret.asc", "No such file"],
    );
}

#[test]
fn a_signing_key_that_is_public_only() {
    unsigned(
        &|site| {
            let key = site.path("keys/publish-a.secret.asc");
            fs::copy(site.path("keys/publish-a.asc"), &key).unwrap();
            fs::set_permissions(key, fs::Permissions::from_mode(0o600)).unwrap();
        },
        &["keys/publish-a.secret.asc"],
    );
}

#[test]
fn a_gpg_that_fails_or_is_not_there() {
    for (program, word) in [
        ("/bin/false", "/bin/false"),
        ("/nowhere/gpg", "/nowhere/gpg"),
    ] {
        let gpg = format!(
            "gpg = {{ keys = [\"{}\"], program = \"{program}\" }}",
            "A".repeat(40)
        );
        unsigned(
            &|site| site.change_config("key-file = \"keys/publish-a.secret.asc\"", &gpg),
            &[word],
        );
    }
}

// ------------------------------------------------------------------------------------------ guards

#[test]
fn a_suite_that_shrinks_too_much() {
    let site = Site::published();
    let before = site.served();
    let mut suite = site.main();
    suite.set("Date", NEWER);
    let index = suite.index(PACKAGES);
    let stanzas: Vec<_> = index.split_inclusive("\n\n").collect();
    suite.put_index(PACKAGES, stanzas[..stanzas.len() / 3].concat().as_bytes());
    suite.sign();
    site.run(&[]).expect(
        1,
        &[
            "suite `daedalus`: it would shrink from",
            "guards.max-shrink = \"20%\"",
            "--allow-shrink",
        ],
    );
    assert_same(&before, &site);
    // It stays so until somebody agrees, or the packages are back.
    site.run(&["--allow-older-date", "--allow-identity-change", "--rebuild"])
        .expect(1, &["--allow-shrink"]);
    assert_same(&before, &site);
    site.run(&["--allow-shrink"]).expect(0, &[]);
    assert_ne!(before, site.served());
    let small = site.served();
    site.run(&["--verbose"]).expect(0, &["nothing changed"]);
    assert_same(&small, &site);
}

#[test]
fn a_suite_that_shrinks_a_little() {
    let site = Site::published();
    let mut suite = site.main();
    suite.set("Date", NEWER);
    let index = suite.index(PACKAGES);
    let stanzas: Vec<_> = index.split_inclusive("\n\n").collect();
    suite.put_index(PACKAGES, stanzas[..stanzas.len() - 2].concat().as_bytes());
    suite.sign();
    site.run(&[]).expect(0, &[]);
}

#[test]
fn an_identity_of_our_own_that_would_change() {
    for (field, from) in [
        ("Origin", "Devuan"),
        ("Label", "Devuan"),
        ("Codename", "daedalus"),
    ] {
        let site = Site::published();
        let before = site.served();
        let with = format!("[suites.daedalus]\nrelease = {{ {field} = \"Other\" }}");
        site.change_config("[suites.daedalus]", &with);
        let change = format!("suite `daedalus`: its {field} would change from `{from}` to `Other`");
        site.run(&[])
            .expect(1, &[&change, "--allow-identity-change"]);
        assert_same(&before, &site);
        site.restore_config();
        site.run(&["--verbose"]).expect(0, &["nothing changed"]);
        assert_same(&before, &site);
        site.change_config("[suites.daedalus]", &with);
        site.run(&["--allow-identity-change"]).expect(0, &[]);
        let text = fs::read_to_string(site.path("site/merged/dists/daedalus/Release")).unwrap();
        assert!(text.contains(&format!("{field}: Other\n")));
    }
}

#[test]
fn a_clock_that_went_back() {
    let site = Site::published();
    let before = site.served();
    site.news();
    let config = site.path("aptmerge.toml");
    let run = |flags: &[&str]| {
        let out = Command::new(env!("CARGO_BIN_EXE_aptmerge"))
            .args(["run", "--clock", "2026-02-20T00:00:00Z", "-c"])
            .arg(&config)
            .args(flags)
            .output()
            .unwrap();
        Said::of(&out)
    };
    run(&[]).expect(
        1,
        &[
            "suite `daedalus`: its new Date 2026-02-20T00:00:00Z would not be later",
            "--allow-older-date",
        ],
    );
    assert_same(&before, &site);
    run(&["--allow-older-date"]).expect(0, &[]);
    let text = fs::read_to_string(site.path("site/merged/dists/daedalus/Release")).unwrap();
    assert!(
        text.contains("Date: Fri, 20 Feb 2026 00:00:00 UTC\n"),
        "{text}"
    );
    site.run(&["--verbose"]).expect(0, &["nothing changed"]);
}
