//! Damage to the served tree, of each kind, in each place: the next run mends it though nothing is new, says so, and after that apt works
//! and `verify` holds.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use crate::common::apt::Apt;
use crate::common::programs::has;
use crate::common::site::{
    Contents, DAEDALUS, SECURITY, Site, contents, copy_over, files, fixtures,
};

/// The clock of all commands: nothing is new, and no Date grows.
const FIRST: &str = "2026-02-01T00:00:00Z";
const SECOND: &str = "2026-02-01T00:10:00Z";

/// A kind of damage.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Kind {
    Gone,
    Empty,
    CutOff,
    Longer,
    Other,
    Symlink,
    Directory,
    Fifo,
    Mode(u32),
    Extra,
}

/// A place of damage, below a tree.
const PLACES: [&str; 13] = [
    "",
    "dists",
    "dists/daedalus",
    "dists/daedalus/InRelease",
    "dists/daedalus/Release",
    "dists/daedalus/Release.gpg",
    "dists/daedalus/main",
    "dists/daedalus/main/binary-amd64",
    "dists/daedalus/main/binary-amd64/Packages.xz",
    "dists/daedalus/main/binary-amd64/Packages.gz",
    "dists/daedalus/main/binary-amd64/Release",
    "dists/daedalus/main/binary-amd64/by-hash",
    "dists/stable",
];

fn remove(path: &Path) {
    match path.symlink_metadata() {
        Ok(found) if found.is_dir() => fs::remove_dir_all(path).unwrap(),
        _ => fs::remove_file(path).unwrap(),
    }
}

/// Damages a place; returns `false` where that kind of damage makes no sense.
fn damage(kind: Kind, path: &Path, aside: &Path) -> bool {
    let found = path.symlink_metadata().unwrap();
    let (is_file, is_dir) = (found.is_file(), found.is_dir());
    let bytes = |path: &Path| fs::read(path).unwrap();
    // A file of its own: the names of one file are damaged one by one here, and all at once elsewhere.
    let rewrite = |bytes: &[u8]| {
        fs::remove_file(path).unwrap();
        fs::write(path, bytes).unwrap();
    };
    match kind {
        Kind::Gone => remove(path),
        Kind::Empty if is_file => rewrite(b""),
        Kind::Empty if is_dir => {
            remove(path);
            fs::create_dir(path).unwrap();
        }
        Kind::CutOff if is_file => rewrite(&bytes(path)[..found.len() as usize / 2]),
        Kind::Longer if is_file => rewrite(&[&bytes(path)[..], b"more"].concat()),
        Kind::Other if is_file => {
            let mut other = bytes(path);
            other.reverse();
            rewrite(&other);
        }
        Kind::Symlink if found.is_symlink() => {
            remove(path);
            symlink("nowhere", path).unwrap();
        }
        Kind::Symlink => {
            // As where somebody moves a directory to another disk.
            copy_over(path, aside);
            remove(path);
            symlink(aside, path).unwrap();
        }
        Kind::Directory if !is_dir => {
            remove(path);
            fs::create_dir(path).unwrap();
            fs::write(path.join("file"), "x").unwrap();
        }
        Kind::Fifo => {
            remove(path);
            nix::unistd::mkfifo(path, nix::sys::stat::Mode::S_IRWXU).unwrap();
        }
        Kind::Mode(mode) if !found.is_symlink() => {
            fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
        }
        Kind::Extra if is_dir => fs::write(path.join("extra"), "x").unwrap(),
        _ => return false,
    }
    true
}

/// Returns a site of two suites with an alias and a pool of a local archive, after one run.
fn site() -> Site {
    let site = Site::of(&format!("{DAEDALUS}{SECURITY}"))
        .with("[publish]\nby-hash = { generations = 3, days = 1 }\n");
    site.run_at(FIRST);
    site
}

fn production(site: &Site) -> PathBuf {
    site.root().join("merged-production")
}

/// Returns the modes of everything in production.
fn modes(site: &Site) -> BTreeMap<PathBuf, u32> {
    let entries = walkdir::WalkDir::new(production(site)).into_iter();
    let modes = entries.map(|entry| {
        let entry = entry.unwrap();
        let mode = entry.path().symlink_metadata().unwrap().mode();
        (entry.into_path(), mode)
    });
    modes.collect()
}

/// Asks the real apt for the lists of a site.
fn apt_works(site: &Site) {
    let keyring = fixtures().join("keys/publish-a.gpg");
    let lines = ["daedalus", "stable", "daedalus-security"].map(|suite| {
        format!(
            "deb [signed-by={}] file://{}/merged {suite} main\n",
            keyring.display(),
            site.root().display()
        )
    });
    let apt = Apt::new(&["amd64"], &lines.concat(), "");
    apt.ok("apt-get", &["update"]);
    assert_ne!(apt.candidate("overlay-only"), "unknown");
}

/// Damages each place in some ways, one after the other, and runs without news.
fn mends(kinds: &[Kind]) {
    let has_apt = has("apt-get");
    let site = site();
    let whole = site.path("whole");
    copy_over(&site.root(), &whole);
    let before = contents(&production(&site));
    let modes_before = modes(&site);
    for kind in kinds.iter().copied() {
        for place in PLACES {
            let said = format!("{kind:?} {place}");
            copy_over(&whole, &site.root());
            let aside = site.path("aside");
            let _ = fs::remove_dir_all(&aside);
            let _ = fs::remove_file(&aside);
            let path = match place {
                "" => production(&site),
                _ => production(&site).join(place),
            };
            if !damage(kind, &path, &aside) {
                continue;
            }
            let found = site.aptmerge(&["verify", "--clock", SECOND]);
            assert_eq!(found.code, Some(1), "{said}: {found:?}");
            if place.is_empty() && kind == Kind::Symlink {
                // Files are removed in there, and what a symlink leads to may be somebody else's.
                let refused = site.run(&["--clock", SECOND]);
                refused.expect(1, &["is a symlink"]);
                continue;
            }
            let outcome = site.run(&["--json", "--clock", SECOND]);
            outcome.expect(0, &["production"]);
            assert!(
                outcome.stderr.contains("\"warning\""),
                "{said}: {outcome:?}"
            );
            let now = contents(&production(&site));
            let is_anew = outcome.outcome()["generation"] != 1;
            if is_anew {
                let of = |tree: &Contents| tree.keys().cloned().collect::<Vec<_>>();
                assert_eq!(of(&now), of(&before), "{said}");
                assert!(matches!(place, "" | "dists"), "{said}: {outcome:?}");
            } else {
                assert!(now == before, "{said}: {outcome:?}");
                assert_eq!(modes(&site), modes_before, "{said}");
            }
            site.expect(0, &["verify", "--clock", SECOND]);
            let again = site.run(&["--json", "--clock", SECOND]);
            again.expect(0, &[]);
            assert_eq!(again.stderr, "", "{said}");
            if has_apt && matches!(kind, Kind::Gone | Kind::Symlink) {
                apt_works(&site);
            }
        }
    }
}

#[test]
fn what_is_gone_or_empty_is_mended() {
    mends(&[Kind::Gone, Kind::Empty]);
}

#[test]
fn what_is_cut_off_or_changed_is_mended() {
    mends(&[Kind::CutOff, Kind::Longer, Kind::Other]);
}

#[test]
fn what_stands_in_the_place_of_something_else_is_mended() {
    mends(&[Kind::Symlink, Kind::Directory, Kind::Fifo]);
}

#[test]
fn what_some_cannot_read_or_all_can_change_is_mended() {
    mends(&[Kind::Mode(0), Kind::Mode(0o700), Kind::Mode(0o777)]);
}

#[test]
fn what_nobody_put_there_is_removed() {
    mends(&[Kind::Extra]);
}

/// Damages a file of both trees.
fn damage_both(site: &Site, name: &str, bytes: Option<&[u8]>) {
    for tree in ["merged-production", "merged-volatile"] {
        let path = site.root().join(tree).join(name);
        let inode = path.metadata().unwrap().ino();
        for same in files(&site.root().join(tree)) {
            if same.symlink_metadata().unwrap().ino() == inode {
                match bytes {
                    Some(bytes) => fs::write(same, bytes).unwrap(),
                    None => fs::remove_file(same).unwrap(),
                }
            }
        }
    }
}

#[test]
fn what_neither_tree_has_is_made_from_the_spool() {
    let packages = "dists/daedalus/main/binary-amd64/Packages.xz";
    for (name, bytes) in [
        (packages, None),
        (packages, Some(&b"damaged"[..])),
        ("dists/daedalus/InRelease", Some(b"")),
        ("dists/daedalus/Release.gpg", None),
    ] {
        let site = site();
        let before = contents(&production(&site));
        damage_both(&site, name, bytes);
        let said = site.run(&["--json", "--clock", SECOND]);
        let outcome = said.expect(0, &["suite daedalus: production is damaged"]);
        assert_eq!(
            outcome.outcome()["changed"],
            serde_json::json!(["daedalus"])
        );
        let now = contents(&production(&site));
        assert_eq!(now[packages], before[packages]);
        // The other suite, which is whole, stays as it is.
        let other = "dists/daedalus-security/InRelease";
        assert_eq!(now[other], before[other]);
        site.expect(0, &["verify", "--clock", SECOND]);
        site.run_without_news(&["--clock", SECOND]);
    }
}

#[test]
fn what_cannot_be_made_either_is_told_until_it_can() {
    let site = site();
    damage_both(&site, "dists/daedalus/main/binary-amd64/Packages.xz", None);
    let overlay = site.path("archives/overlay");
    fs::rename(&overlay, site.path("away")).unwrap();
    fs::remove_dir_all(site.root().join("spool")).unwrap();
    let before = contents(&production(&site));
    for _ in 0..2 {
        let said = site.expect(3, &["run", "--clock", SECOND]);
        assert!(said.contains("Packages.xz is not there"), "{said}");
        assert_eq!(contents(&production(&site)), before);
    }
    fs::rename(site.path("away"), &overlay).unwrap();
    site.expect(0, &["run", "--clock", SECOND]);
    site.expect(0, &["verify", "--clock", SECOND]);
}

#[test]
fn damage_to_volatile_alone_costs_nothing() {
    let site = site();
    let before = contents(&production(&site));
    fs::remove_dir_all(site.root().join("merged-volatile/dists/daedalus")).unwrap();
    let said = site.run_without_news(&["--clock", SECOND]);
    assert_eq!(said.stderr, "");
    assert_eq!(contents(&production(&site)), before);
}

#[test]
fn a_link_that_is_gone_leads_to_production_again() {
    let site = site();
    let before = contents(&production(&site));
    fs::remove_file(site.root().join("merged")).unwrap();
    let said = site.run_without_news(&["--clock", SECOND]);
    assert!(said.stderr.contains("merged is not there"), "{said:?}");
    assert_eq!(site.link(), Some(PathBuf::from("merged-production")));
    assert_eq!(contents(&production(&site)), before);
}

#[test]
fn a_dry_run_foretells_what_is_mended_and_writes_nothing() {
    let site = site();
    let name = "dists/daedalus/main/binary-amd64/Packages.xz";
    let path = production(&site).join(name);
    fs::remove_file(&path).unwrap();
    let before = site.served();
    let said = site.ok(&["run", "--dry-run", "--clock", SECOND]);
    let told = format!("daedalus: would be mended, {} is not there", path.display());
    assert!(said.contains(&told), "{said}");
    assert!(said.contains("daedalus: unchanged"), "{said}");
    assert_eq!(site.served(), before);
    damage_both(&site, name.replace(".xz", ".gz").as_str(), None);
    let said = site.ok(&["run", "--dry-run", "--clock", SECOND]);
    assert!(said.contains("daedalus: would be merged, "), "{said}");
    assert!(said.contains("Packages.gz is not there"), "{said}");
}

#[test]
fn files_under_by_hash_that_were_changed_are_not_carried_on() {
    let site = Site::of(DAEDALUS).with("[publish]\nby-hash = { generations = 3, days = 1 }\n");
    site.run_at(FIRST);
    let packages = "dists/daedalus/main/binary-amd64/Packages.xz";
    let old = site.path("old");
    copy_over(&production(&site).join(packages), &old);
    site.raise_overlay("1.1");
    site.run_at(SECOND);
    // Of the generation before: no Release names it any more, and clients may still ask for it.
    let old = fs::read(old).unwrap();
    let retained = files(&production(&site)).into_iter();
    let mut retained = retained.filter(|path| path.is_file() && fs::read(path).unwrap() == old);
    let retained = retained.next().unwrap();
    let mut changed = old.clone();
    changed.reverse();
    // In place, in both trees, with the same size.
    fs::write(&retained, &changed).unwrap();
    site.run(&["--clock", "2026-02-01T00:20:00Z"])
        .expect(0, &["was changed"]);
    assert!(!retained.exists());
    site.expect(0, &["verify", "--clock", "2026-02-01T00:20:00Z"]);
}

#[test]
fn verify_says_what_differs_from_the_record() {
    let site = site();
    let verify = || -> serde_json::Value {
        let said = site.aptmerge(&["verify", "--json", "--clock", SECOND]);
        serde_json::from_str(&said.stdout).unwrap()
    };
    let whole = verify();
    let none = serde_json::json!([]);
    let fields = ["missing", "changed", "foreign", "modes", "problems"];
    for field in fields {
        assert_eq!(whole[field], none, "{whole}");
    }
    let place = |name: &str| production(&site).join("dists").join(name);
    let index = "daedalus/main/binary-amd64/Packages";
    let [gone, changed, extra, closed] = [
        "stable".to_owned(),
        format!("{index}.gz"),
        "daedalus/extra".to_owned(),
        format!("{index}.xz"),
    ]
    .map(|name| place(&name));
    fs::remove_file(&gone).unwrap();
    fs::remove_file(&changed).unwrap();
    fs::write(&changed, "x").unwrap();
    fs::write(&extra, "x").unwrap();
    fs::set_permissions(&closed, fs::Permissions::from_mode(0o600)).unwrap();
    let found = verify();
    for (field, path) in fields.iter().zip([gone, changed, extra, closed]) {
        let text = found[field].to_string();
        assert!(text.contains(path.to_str().unwrap()), "{field}: {found}");
        let problems = found["problems"].to_string();
        assert!(problems.contains(path.to_str().unwrap()), "{found}");
    }
    // A tree that is named is read as a client reads it.
    let tree = production(&site).display().to_string();
    let said = site.aptmerge(&["verify", "--json", "--clock", SECOND, &tree]);
    let named: serde_json::Value = serde_json::from_str(&said.stdout).unwrap();
    assert!(named.get("missing").is_none(), "{named}");
}

#[test]
fn a_default_acl_does_not_close_the_tree() {
    if !has("setfacl") {
        return;
    }
    let site = Site::of(&format!("{DAEDALUS}{SECURITY}"));
    fs::create_dir(site.root()).unwrap();
    let mut command = std::process::Command::new("setfacl");
    command
        .args(["-d", "-m", "u::rwx,g::rx,o::---"])
        .arg(site.root());
    if !command.status().unwrap().success() {
        eprintln!("skipped: no ACLs on this file system");
        return;
    }
    site.run_at(FIRST);
    let dirs = modes(&site).into_iter();
    let mut dirs = dirs.filter(|(path, _)| path.is_dir() && !path.is_symlink());
    assert!(dirs.all(|(_, mode)| mode & 0o777 == 0o755));
    site.expect(0, &["verify", "--clock", SECOND]);
}
