//! Shows that a run leaves alone what it knows to be in the trees, and what it does where somebody has changed them meanwhile.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;

use crate::common::site::{Site, TWO_SUITES, contents, files};
use crate::common::state;

const FIRST: &str = "2026-02-01T00:00:00Z";
const SECOND: &str = "2026-02-02T00:00:00Z";
const THIRD: &str = "2026-02-03T00:00:00Z";
const KEPT: &str = "dists/daedalus-security/main/binary-amd64/Packages.xz";

/// A site with two suites that has published.
fn site() -> Site {
    let site = Site::of(TWO_SUITES);
    site.expect(0, &["run", "--clock", FIRST]);
    site
}

/// The inodes of the directories of volatile, which tell whether they were made anew.
fn directories(site: &Site, suite: &str) -> BTreeMap<PathBuf, u64> {
    let top = site.root().join("merged-volatile/dists").join(suite);
    let dirs = walkdir::WalkDir::new(top).into_iter().map(Result::unwrap);
    let dirs = dirs.filter(|entry| entry.file_type().is_dir());
    dirs.map(|dir| (dir.path().to_owned(), dir.metadata().unwrap().ino()))
        .collect()
}

/// Runs with a change of one suite, after which both trees and the state have to be as if nothing had happened to them.
#[track_caller]
fn converges(site: &Site) -> String {
    site.raise_overlay("1.1");
    let said = site.expect(0, &["run", "-v", "--clock", SECOND]);
    let [volatile, production] =
        ["merged-volatile", "merged-production"].map(|tree| contents(&site.root().join(tree)));
    assert_eq!(volatile, production);
    let published = state::published(&site.root());
    for (suite, record) in published["suites"].as_object().unwrap() {
        let dir = site.root().join("merged-production/dists").join(suite);
        let there: Vec<String> = files(&dir)
            .iter()
            .map(|path| path.strip_prefix(&dir).unwrap().display().to_string())
            .collect();
        let named = record["manifest"]["files"].as_object().unwrap();
        let mut named: Vec<String> = named.keys().cloned().collect();
        let mut there: Vec<String> = there
            .into_iter()
            .filter(|f| dir.join(f).is_file())
            .collect();
        named.sort();
        there.sort();
        assert_eq!(named, there, "{suite}");
    }
    site.expect(0, &["verify", "--clock", SECOND]);
    said
}

#[test]
fn a_suite_that_did_not_change_stays_in_volatile() {
    let site = site();
    let before = directories(&site, "daedalus-security");
    converges(&site);
    assert_eq!(directories(&site, "daedalus-security"), before);
}

#[test]
fn a_volatile_that_is_not_what_was_left_there_is_thrown_away() {
    type Change = fn(&Site);
    let changes: [Change; 6] = [
        |site| fs::remove_file(site.root().join("state/volatile.json")).unwrap(),
        |site| fs::write(site.root().join("state/volatile.json"), "{").unwrap(),
        |site| fs::remove_file(site.root().join("merged-volatile").join(KEPT)).unwrap(),
        |site| fs::remove_dir_all(site.root().join("merged-volatile/dists")).unwrap(),
        |site| fs::write(site.root().join("merged-volatile/dists/stray"), "").unwrap(),
        |site| {
            let dir = site.root().join("merged-volatile/dists/daedalus-security");
            fs::write(dir.join("main/stray"), "").unwrap();
        },
    ];
    for change in changes {
        let site = site();
        let before = directories(&site, "daedalus");
        change(&site);
        let said = converges(&site);
        assert_ne!(directories(&site, "daedalus"), before);
        assert!(!said.contains("suite daedalus-security:"), "{said}");
    }
}

#[test]
fn a_suite_that_somebody_changed_in_production_is_made_anew() {
    for (what, words) in [
        ("removed", "is not there"),
        ("longer", "was changed"),
        ("touched", "was changed"),
    ] {
        let site = site();
        let old = contents(&site.root().join("merged-production"));
        let path = site.root().join("merged-production").join(KEPT);
        match what {
            "removed" => fs::remove_file(&path).unwrap(),
            // In place: volatile has the same inode.
            "longer" => fs::write(&path, [&old[KEPT][..], b"x"].concat()).unwrap(),
            _ => {
                let mut bytes = old[KEPT].clone();
                bytes.reverse();
                fs::write(&path, bytes).unwrap();
            }
        }
        let said = converges(&site);
        let told = said
            .lines()
            .find(|l| l.contains("suite daedalus-security: "));
        assert!(told.is_some_and(|l| l.contains(words)), "{what}: {said}");
        let new = contents(&site.root().join("merged-production"));
        assert_eq!(new[KEPT], old[KEPT], "{what}");
    }
}

#[test]
fn what_somebody_put_beside_our_suites_goes() {
    let site = site();
    let production = site.root().join("merged-production");
    for path in [
        "stray",
        "dists/other/InRelease",
        "dists/daedalus/main/stray",
    ] {
        fs::create_dir_all(production.join(path).parent().unwrap()).unwrap();
        fs::write(production.join(path), "").unwrap();
    }
    converges(&site);
    assert!(!production.join("stray").exists());
    assert!(!production.join("dists/other").exists());
}

#[test]
fn a_record_without_manifests_gets_them_with_the_next_generation() {
    let site = site();
    state::forget_manifests(&site.root());
    site.run_without_news(&["--clock", FIRST]);
    converges(&site);
}

#[test]
fn what_was_changed_before_there_were_manifests_is_not_signed_anew() {
    for path in ["main/binary-all/Packages.xz", "main/binary-amd64/Release"] {
        let site = site();
        let name = format!("dists/daedalus/{path}");
        let old = contents(&site.root().join("merged-production"));
        state::forget_manifests(&site.root());
        let mut bytes = old[&name].clone();
        bytes.reverse();
        fs::write(site.root().join("merged-production").join(&name), bytes).unwrap();
        converges(&site);
        let new = contents(&site.root().join("merged-production"));
        assert_eq!(new[&name], old[&name], "{path}");
    }
}

#[test]
fn a_suite_whose_manifest_is_gone_is_made_anew() {
    let site = site();
    fs::remove_dir_all(site.root().join("state/manifests")).unwrap();
    let said = converges(&site);
    assert!(
        said.contains("suite daedalus-security: it is new"),
        "{said}"
    );
    site.run_without_news(&["--clock", THIRD]);
}

#[test]
fn a_newer_list_is_refused_and_named() {
    let site = site();
    let path = site.root().join("state/published.json");
    let text = fs::read_to_string(&path).unwrap();
    fs::write(&path, text.replace("\"format\": 2", "\"format\": 9")).unwrap();
    let said = site.expect(1, &["run", "--clock", SECOND]);
    for word in ["state/published.json", "format 9", "formats up to 2"] {
        assert!(said.contains(word), "{said}");
    }
}
