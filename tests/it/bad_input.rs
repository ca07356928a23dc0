//! Bad disks, bad records and bad keys of our own (what archives may do is in `tests/hostile`): each is refused by name and
//! reason, what is served stays as it is to the last inode, and the next good state is published as if nothing had happened.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::process::Command;

use crate::common::programs::{Said, copy_program};
use crate::common::site::Site;
use crate::common::upstream::NEWER;

const PACKAGES: &str = "main/binary-amd64/Packages";

#[track_caller]
fn assert_same(before: &std::collections::BTreeMap<std::path::PathBuf, String>, site: &Site) {
    assert_eq!(*before, site.served(), "what is served was touched");
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
            site.index("dists/daedalus/main/binary-amd64/Packages")
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
    copy_program(&binary);
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
    let root = site.root().display().to_string();
    as_nobody(&["run"]).expect(1, &["belongs to the user root", &root]);
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
            site.index("dists/daedalus/main/binary-amd64/Packages")
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
            site.index("dists/daedalus/main/binary-amd64/Packages")
                .contains("newcomer")
        );
    }
}

/// What a suite's file in the spool may have become.
fn damages(good: &str) -> Vec<String> {
    vec![
        good[..good.len() / 2].to_owned(),
        String::new(),
        "[]".to_owned(),
        "\0".repeat(good.len()),
        good.replace("Codename: bookworm", "no field"),
    ]
}

#[test]
fn a_damaged_copy_in_the_spool_is_fetched_anew() {
    let site = Site::published();
    let path = site.path("site/spool/main/bookworm.json");
    let good = fs::read_to_string(&path).unwrap();
    for damage in damages(&good) {
        let before = site.served();
        fs::write(&path, &damage).unwrap();
        site.run(&[]).expect(
            0,
            &[
                "warning: suite `bookworm` of archive `main` is fetched anew, since its copy is lost",
                "spool/main/bookworm.json cannot be understood",
                "older than the one of 2026-01-01T00:00:00Z, which was published last, is still refused",
                "a change of Origin, Label, Codename or NotAutomatic is not noticed",
            ],
        );
        assert_same(&before, &site);
        let said = site.run_without_news(&[]);
        assert!(!said.stderr.contains("fetched anew"), "{}", said.stderr);
    }
}

#[test]
fn a_damaged_copy_in_the_spool_does_not_open_the_way_back() {
    let site = Site::published();
    let before = site.served();
    let path = site.path("site/spool/main/bookworm.json");
    let mut suite = site.main();
    suite.set("Date", "Wed, 31 Dec 2025 00:00:00 UTC");
    suite.sign();
    for _ in 0..2 {
        fs::write(&path, "{").unwrap();
        site.run(&[]).expect(
            3,
            &[
                "the Release of 2025-12-31T00:00:00Z is older than the one of 2026-01-01T00:00:00Z seen before",
                "it stays as it is published (if the archive went back on purpose",
            ],
        );
        assert_same(&before, &site);
    }
    // As the hint says, that is how an operator goes back on purpose.
    fs::remove_file(&path).unwrap();
    site.run(&[]).expect(0, &[]);
}

#[test]
fn without_any_record_a_damaged_copy_is_told_to_protect_from_nothing() {
    let site = Site::new();
    site.aptmerge(&["fetch"]).expect(0, &[]);
    fs::write(site.path("site/spool/main/bookworm.json"), "{").unwrap();
    site.run(&[]).expect(
        0,
        &["this once neither a rollback nor a change of Origin, Label, Codename or NotAutomatic is noticed"],
    );
}

#[test]
fn a_damaged_copy_that_nobody_needs_is_no_obstacle() {
    let site = Site::published();
    fs::write(site.path("site/spool/main/forgotten.json"), "{").unwrap();
    site.news();
    site.run(&[]).expect(0, &[]);
    site.aptmerge(&["verify"]).expect(0, &[]);
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
        site.index("dists/daedalus/main/binary-amd64/Packages")
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

/// main's newer state has a third of its packages.
fn shrink(site: &Site) {
    let mut suite = site.main();
    suite.set("Date", NEWER);
    let index = suite.index(PACKAGES);
    let stanzas: Vec<_> = index.split_inclusive("\n\n").collect();
    suite.put_index(PACKAGES, stanzas[..stanzas.len() / 3].concat().as_bytes());
    suite.sign();
}

#[test]
fn a_suite_that_shrinks_too_much() {
    let site = Site::published();
    let before = site.served();
    shrink(&site);
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
    site.run_without_news(&[]);
    assert_same(&small, &site);
}

#[test]
fn a_suite_that_is_refused_does_not_keep_the_others_back() {
    let site = Site::new();
    // A second suite, of the overlay alone.
    let with = "[suites.fixes]\nfrom = { overlay = \"daedalus\" }\n\
                release = { Suite = \"fixes\", Codename = \"fixes\" }\n\n[suites.daedalus]";
    site.change_config("[suites.daedalus]", with);
    site.run(&[]).expect(0, &[]);
    let released =
        |suite: &str| fs::read(site.path(format!("site/merged/dists/{suite}/InRelease"))).unwrap();
    let before = released("daedalus");
    shrink(&site);
    site.news();
    let is_new = |suite: &str| {
        let index = site.index(&format!("dists/{suite}/{PACKAGES}"));
        index.contains("newcomer")
    };
    site.aptmerge(&["fetch"]).expect(0, &[]);
    site.aptmerge(&["merge"]).expect(3, &["--allow-shrink"]);
    assert!(!is_new("fixes"));
    let said = site.run(&[]);
    said.expect(
        3,
        &[
            "warning: suite `daedalus`: it would shrink from",
            " fewer of main), by more than guards.max-shrink = \"20%\"",
            "it stays as it is published (if that is meant, run once with --allow-shrink)",
        ],
    );
    assert!(is_new("fixes") && !is_new("daedalus"));
    assert_eq!(before, released("daedalus"));
    site.aptmerge(&["verify"]).expect(0, &[]);
    let status = site.aptmerge(&["status"]);
    let told = "suite daedalus stayed as it was published: suite `daedalus`: it would shrink";
    assert!(status.stdout.contains(told), "{}", status.stdout);
    // Nothing else is left to publish.
    site.run(&[])
        .expect(1, &["error: suite `daedalus`: it would shrink from"]);
    site.run(&["--allow-shrink"]).expect(0, &[]);
    assert!(is_new("daedalus"));
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
        site.run_without_news(&[]);
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
    let run = |flags: &[&str]| site.run(&[&["--clock", "2026-02-20T00:00:00Z"], flags].concat());
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
    site.run_without_news(&[]);
}
