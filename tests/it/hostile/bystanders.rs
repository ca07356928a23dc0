//! What becomes of suites that are not made from what is at fault: they are published, whatever became of the others.

use std::fs;

use super::catalogue::{PACKAGES, run};
use crate::common::programs::Said;
use crate::common::site::{Site, files};
use crate::common::upstream::{NEWER, NEWEST, stanza};

/// Two suites: `daedalus` of overlay and main, with an alias, and `fixes` of overlay alone.
fn two_suites() -> Site {
    let site = Site::new();
    configure(&site, "");
    site
}

/// The same configuration with further keys for `daedalus`.
fn configure(site: &Site, keys: &str) {
    let with = format!(
        "[suites.fixes]\nfrom = {{ overlay = \"daedalus\" }}\n\
         release = {{ Suite = \"fixes\", Codename = \"fixes\" }}\n\n\
         [suites.daedalus]\nlinks = [\"stable\"]\n{keys}"
    );
    site.change_config("[suites.daedalus]\n", &with);
}

/// Returns whether a suite has the package that [`Site::news`] adds.
fn is_new(site: &Site, suite: &str) -> bool {
    site.index(&format!("dists/{suite}/{PACKAGES}"))
        .contains("newcomer")
}

fn exists(site: &Site, suite: &str) -> bool {
    let path = site.root().join("merged/dists").join(suite);
    path.symlink_metadata().is_ok()
}

/// `fixes` has the news, `daedalus` is as it was, and all of it holds.
#[track_caller]
fn only_fixes_is_new(site: &Site, said: &Said, words: &[&str]) {
    said.expect(3, words);
    assert!(is_new(site, "fixes") && !is_new(site, "daedalus"));
    assert!(exists(site, "stable"));
    site.aptmerge(&["verify"]).expect(0, &[]);
}

#[test]
fn an_archive_that_was_never_fetched_keeps_back_what_is_made_from_it() {
    let site = two_suites();
    let main = site.path("archives/main");
    fs::rename(&main, site.path("archives/gone")).unwrap();
    let words = ["suite `bookworm` of archive `main`", "no earlier copy"];
    site.aptmerge(&["fetch"]).expect(1, &words);
    run(&site, &["--dry-run"]).expect(3, &["suite `daedalus`: ", words[1]]);
    let said = run(&site, &[]);
    said.expect(3, &["suite `daedalus`: ", words[0], words[1]]);
    said.expect(3, &["InRelease", "it is not published yet"]);
    assert!(exists(&site, "fixes") && !exists(&site, "daedalus") && !exists(&site, "stable"));
    site.aptmerge(&["verify"]).expect(0, &[]);
    // Nothing else is left to publish, which is no failure; with news there is.
    let before = site.served();
    run(&site, &[]).expect(3, &["it is not published yet", words[1]]);
    assert_eq!(before, site.served());
    site.news();
    run(&site, &[]).expect(3, &words);
    assert!(is_new(&site, "fixes"));
    let status = site.aptmerge(&["status"]);
    assert!(status.stdout.contains(words[1]), "{}", status.stdout);
    site.aptmerge(&["publish"])
        .expect(3, &["holds no copy of suite `bookworm`"]);
    fs::rename(site.path("archives/gone"), main).unwrap();
    run(&site, &[]).expect(0, &[]);
    assert!(exists(&site, "daedalus") && exists(&site, "stable"));
    site.aptmerge(&["verify"]).expect(0, &[]);
    site.run_without_news(&[]);
}

#[test]
fn publish_and_merge_go_on_without_what_was_never_fetched() {
    let site = two_suites();
    fs::rename(site.path("archives/main"), site.path("archives/gone")).unwrap();
    site.aptmerge(&["fetch"]).expect(1, &["no earlier copy"]);
    let words = [
        "suite `daedalus`: the spool holds no copy",
        "aptmerge fetch",
    ];
    site.aptmerge(&["merge"]).expect(3, &words);
    assert!(!exists(&site, "fixes"));
    site.aptmerge(&["publish"]).expect(3, &words);
    assert!(exists(&site, "fixes") && !exists(&site, "daedalus"));
}

#[test]
fn a_damaged_object_keeps_back_the_suite_that_is_merged_from_it() {
    let site = two_suites();
    run(&site, &[]).expect(0, &[]);
    site.news();
    let copy = fs::read_to_string(site.root().join("spool/main/bookworm.json")).unwrap();
    let copy: serde_json::Value = serde_json::from_str(&copy).unwrap();
    let object = copy["indices"][PACKAGES]["sha256"].as_str().unwrap();
    let objects = files(&site.root().join("spool/objects"));
    let object = objects
        .iter()
        .find(|path| path.to_string_lossy().contains(object));
    fs::write(object.unwrap(), "rubbish").unwrap();
    // Else the packages of `main` are not merged again.
    fs::remove_dir_all(site.root().join("cache")).unwrap();
    let said = run(&site, &[]);
    only_fixes_is_new(
        &site,
        &said,
        &[
            "warning: suite `daedalus`: ",
            "is damaged",
            "it stays as it is published",
        ],
    );
    run(&site, &[]).expect(0, &[]);
    assert!(is_new(&site, "daedalus"));
}

#[test]
fn a_suite_that_does_not_hold_is_put_back() {
    let site = two_suites();
    run(&site, &[]).expect(0, &[]);
    let other = "0123456789ABCDEF0123456789ABCDEF01234567";
    configure(&site, &format!("release = {{ Signed-By = \"{other}\" }}\n"));
    let config = fs::read_to_string(site.path("aptmerge.toml")).unwrap();
    site.write_config(&config.replace("[publish]\n", "[publish]\nvalid-for = \"7 days\"\n"));
    site.news();
    let words = ["suite `daedalus`: ", "Signed-By names none of the keys"];
    site.aptmerge(&["merge"]).expect(3, &words);
    assert!(!is_new(&site, "fixes"));
    let said = run(&site, &[]);
    only_fixes_is_new(&site, &said, &words);
    // Nothing else is left to publish.
    let before = site.served();
    run(&site, &[]).expect(1, &["error: ", words[1]]);
    assert_eq!(before, site.served());
}

#[test]
fn a_suite_that_never_held_is_left_out_with_its_aliases() {
    let site = two_suites();
    let other = "0123456789ABCDEF0123456789ABCDEF01234567";
    configure(&site, &format!("release = {{ Signed-By = \"{other}\" }}\n"));
    let config = fs::read_to_string(site.path("aptmerge.toml")).unwrap();
    site.write_config(&config.replace("[publish]\n", "[publish]\nvalid-for = \"7 days\"\n"));
    run(&site, &[]).expect(
        3,
        &["suite `daedalus`: ", "Signed-By names none of the keys"],
    );
    assert!(exists(&site, "fixes") && !exists(&site, "daedalus") && !exists(&site, "stable"));
    site.aptmerge(&["verify"]).expect(0, &[]);
    configure(&site, "");
    run(&site, &[]).expect(0, &[]);
    assert!(exists(&site, "daedalus") && exists(&site, "stable"));
}

#[test]
fn a_name_that_no_file_system_takes_is_no_obstacle() {
    let site = two_suites();
    let config = fs::read_to_string(site.path("aptmerge.toml")).unwrap();
    site.write_config(&config.replace("pool-links = false", "pool-links = true"));
    run(&site, &[]).expect(0, &[]);
    let mut suite = site.main();
    suite.set("Date", NEWER);
    let odd = stanza("odd").replace("pool/main/", &format!("{}/", "x".repeat(256)));
    suite.append_stanza(PACKAGES, &odd);
    suite.append_stanza(PACKAGES, &stanza("newcomer"));
    suite.sign();
    run(&site, &[]).expect(0, &[]);
    assert!(is_new(&site, "daedalus"));
    let mut suite = site.main();
    suite.set("Date", NEWEST);
    suite.sign();
    run(&site, &[]).expect(0, &[]);
    site.aptmerge(&["verify"]).expect(0, &[]);
}

#[test]
fn a_path_that_no_link_can_have_ends_no_run() {
    let site = Site::new();
    // The longer the path of the root, the less is left for what lies in the tree.
    let root = format!("site/{}", "r".repeat(200));
    site.write_config(
        &site
            .config()
            .replace("root = \"site\"", &format!("root = \"{root}\""))
            .replace("pool-links = false", "pool-links = true"),
    );
    let directory = format!("{}/", "d".repeat(199)).repeat(19);
    let long = format!("{directory}long.deb");
    for (package, path, date) in [("short", "short.deb", NEWER), ("long", &long, NEWEST)] {
        let file = site.path("archives/main").join(path);
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(file, "x").unwrap();
        let inside = format!("pool/main/{package}_1.0_amd64.deb");
        let mut suite = site.main();
        suite.set("Date", date);
        suite.append_stanza(PACKAGES, &stanza(package).replace(&inside, path));
        suite.sign();
        site.run(&[]).expect(0, &[]);
        site.aptmerge(&["verify"]).expect(0, &[]);
        site.run_without_news(&[]);
    }
    let outside = site.path(&root).join("merged/pool/MAIN/_");
    assert_eq!(fs::read(outside.join("short.deb")).unwrap(), b"x");
    assert!(!outside.join("d".repeat(199)).exists());
}
