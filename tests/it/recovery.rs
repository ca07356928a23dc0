//! What a run finds that follows one that died between its swaps, or a bad disk, or a bad clock: whatever was lost or damaged
//! meanwhile, it goes on from what is whole, and needs nobody to set it right. And what a reader finds beside a run.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::common::processes::{can_trace, children, pid_of, wait_until};
use crate::common::programs::has;
use crate::common::site::{Contents, Site, TWO_SUITES, contents, copy_over};
use nix::sys::signal::Signal;
use nix::unistd::Pid;

const FIRST: &str = "2026-02-01T00:00:00Z";
const SECOND: &str = "2026-02-02T00:00:00Z";
const THIRD: &str = "2026-02-03T00:00:00Z";

const INDEX: &str = "dists/daedalus/main/binary-amd64/Packages.xz";

fn tree(site: &Site, name: &str) -> Contents {
    contents(&site.root().join(name))
}

/// A site whose second run died right after its swap, with what it was about to make of production.
struct Died {
    site: Site,
    old: Contents,
    new: Contents,
}

/// Lets a site die with a change of its overlay, which is gone afterwards.
fn died_after_its_swap() -> Died {
    let site = Site::of(TWO_SUITES);
    site.expect(0, &["run", "--clock", FIRST]);
    let [first, second] = ["first", "second"].map(|name| site.path(name));
    copy_over(&site.root(), &first);
    site.raise_overlay("1.1");
    site.expect(0, &["run", "--clock", SECOND]);
    fs::rename(site.root(), &second).unwrap();
    fs::rename(&first, site.root()).unwrap();
    for (made, left) in [
        ("merged-volatile", "merged-volatile"),
        ("state/published.json", "state/staged.json"),
        ("spool", "spool"),
    ] {
        copy_over(&second.join(made), &site.root().join(left));
    }
    for manifest in fs::read_dir(second.join("state/manifests")).unwrap() {
        let manifest = manifest.unwrap();
        let to = site
            .root()
            .join("state/manifests")
            .join(manifest.file_name());
        fs::copy(manifest.path(), to).unwrap();
    }
    point_link(&site, "merged-volatile");
    fs::remove_dir_all(site.path("archives/overlay")).unwrap();
    let (old, new) = (tree(&site, "merged-production"), tree(&site, "merged"));
    assert_ne!(old, new);
    Died { site, old, new }
}

/// Brings the overlay back, as it was at first.
fn bring_back_overlay(site: &Site) {
    for suite in ["daedalus", "daedalus-security"] {
        site.restore_archive("overlay", suite);
    }
}

fn point_link(site: &Site, to: &str) {
    let link = site.root().join("merged");
    fs::remove_file(&link).unwrap();
    std::os::unix::fs::symlink(to, &link).unwrap();
}

fn served(site: &Site) -> String {
    site.link().unwrap().display().to_string()
}

#[test]
fn a_swap_that_was_made_is_finished() {
    let Died { site, new, .. } = died_after_its_swap();
    // The archive that is gone keeps its last good copy.
    let said = site.run(&["--json", "--clock", THIRD]);
    let outcome = said.expect(3, &[]).outcome();
    assert_eq!(outcome["recovered"], true, "{outcome}");
    assert_eq!(outcome["changed"], serde_json::json!([]), "{outcome}");
    assert_eq!(served(&site), "merged-production");
    assert_eq!(tree(&site, "merged"), new);
}

#[test]
fn a_volatile_that_was_lost_is_not_mirrored() {
    type Loss = fn(&Path);
    let losses: [(Loss, &str); 5] = [
        (
            |tree| fs::remove_dir_all(tree).unwrap(),
            "there is no suite in",
        ),
        (
            |tree| fs::remove_dir_all(tree.join("dists")).unwrap(),
            "there is no suite in",
        ),
        (
            |tree| fs::remove_file(tree.join("dists/daedalus/InRelease")).unwrap(),
            "dists/daedalus/InRelease is not there",
        ),
        (
            |tree| fs::write(tree.join(INDEX), "").unwrap(),
            "Packages.xz is cut off",
        ),
        (
            |tree| fs::remove_file(tree.join("dists/stable")).unwrap(),
            "dists/stable is not there",
        ),
    ];
    for (lose, word) in losses {
        let Died { site, old, .. } = died_after_its_swap();
        lose(&site.root().join("merged-volatile"));
        // What is pushed is production, so `push` recovers and does nothing else.
        let mut site = site;
        let target = site.dir().join("target");
        site.set_extra(&format!(
            "[[push]]\nname = \"near\"\nrsync = \"{}\"\nprogram = \"/nonexistent\"\n",
            target.display()
        ));
        let said = site.expect(1, &["push", "--clock", THIRD]);
        assert!(said.contains(word), "{said}");
        assert_eq!(served(&site), "merged-production", "{word}");
        assert_eq!(tree(&site, "merged"), old, "{word}");
        site.set_extra("");
        site.expect(3, &["run", "--clock", THIRD]);
        site.expect(0, &["verify", "--clock", THIRD]);
        assert!(!site.root().join("state/staged.json").exists());
    }
}

#[test]
fn a_volatile_that_was_lost_while_production_was_half_synced_is_told_with_a_way_out() {
    let Died { site, .. } = died_after_its_swap();
    let state = site.root().join("state");
    fs::rename(state.join("staged.json"), state.join("published.json")).unwrap();
    let [volatile, production] =
        ["merged-volatile", "merged-production"].map(|tree| site.root().join(tree));
    fs::remove_file(production.join(INDEX)).unwrap();
    fs::copy(volatile.join(INDEX), production.join(INDEX)).unwrap();
    fs::remove_dir_all(&volatile).unwrap();
    let before = tree(&site, "merged-production");
    let said = site.expect(1, &["run", "--clock", THIRD]);
    assert!(said.contains("neither is production"), "{said}");
    assert!(said.contains("hint: restore it from a backup"), "{said}");
    assert!(said.contains("--rebuild"), "{said}");
    assert_eq!(tree(&site, "merged-production"), before);
    // As the hint has it.
    point_link(&site, "merged-production");
    bring_back_overlay(&site);
    site.raise_overlay("1.1");
    site.expect(0, &["run", "--rebuild", "--clock", THIRD]);
    site.expect(0, &["verify", "--clock", THIRD]);
}

#[test]
fn a_swap_of_which_no_record_is_left_makes_every_suite_anew() {
    for damage in ["", "{", "gone"] {
        let Died { site, old, new } = died_after_its_swap();
        let staged = site.root().join("state/staged.json");
        match damage {
            "gone" => fs::remove_file(&staged).unwrap(),
            _ => fs::write(&staged, damage).unwrap(),
        }
        // What the generation was made from is taken back meanwhile, so the older record would fit.
        fs::remove_dir_all(site.root().join("spool")).unwrap();
        bring_back_overlay(&site);
        let said = site.run(&["--json", "--clock", THIRD]);
        let word = match damage {
            "gone" => "every suite is merged anew",
            _ => "staged.json cannot be understood",
        };
        let outcome = said.expect(0, &[word]).outcome();
        let every = serde_json::json!(["daedalus", "daedalus-security"]);
        assert_eq!(outcome["changed"], every, "{outcome}");
        assert_eq!(served(&site), "merged-production");
        let now = tree(&site, "merged");
        assert_eq!(now[INDEX], old[INDEX]);
        assert_ne!(now[INDEX], new[INDEX]);
        site.expect(0, &["verify", "--clock", THIRD]);
        assert!(!staged.exists());
        site.run_without_news(&["--clock", THIRD]);
    }
}

#[test]
fn what_was_published_before_a_run_that_fails_is_pushed() {
    if !has("rsync") {
        return;
    }
    let Died { mut site, new, .. } = died_after_its_swap();
    let target = site.dir().join("target");
    site.set_extra(&format!(
        "[[push]]\nname = \"near\"\nrsync = \"{}\"\n",
        target.display()
    ));
    // Nothing can be signed.
    fs::write(site.path("keys/publish-a.secret.asc"), "").unwrap();
    let said = site.expect(1, &["run", "--clock", THIRD]);
    assert!(said.contains("publish-a.secret.asc"), "{said}");
    assert_eq!(tree(&site, "merged"), new);
    assert_eq!(contents(&target), new);
}

#[test]
fn whatever_stands_in_the_place_of_volatile_is_scratch() {
    let site = Site::of(TWO_SUITES);
    site.expect(0, &["run", "--clock", FIRST]);
    let volatile = site.root().join("merged-volatile");
    fs::remove_dir_all(&volatile).unwrap();
    fs::write(&volatile, "a plain file").unwrap();
    site.raise_overlay("1.1");
    site.expect(0, &["run", "--clock", SECOND]);
    assert_eq!(tree(&site, "merged"), tree(&site, "merged-volatile"));
    fs::remove_dir_all(&volatile).unwrap();
    fs::create_dir(&volatile).unwrap();
    let mount = |program: &str, arguments: &[&str]| {
        let done = Command::new(program)
            .args(arguments)
            .arg(&volatile)
            .output();
        done.is_ok_and(|done| done.status.success())
    };
    if !mount("mount", &["-t", "tmpfs", "tmpfs"]) {
        eprintln!("skipped: no right to mount a tmpfs");
        return;
    }
    let runs = [THIRD, "2026-02-04T00:00:00Z"].map(|clock| {
        let run = site.aptmerge(&["run", "--rebuild", "--clock", clock]);
        (run, tree(&site, "merged") == tree(&site, "merged-volatile"))
    });
    assert!(mount("umount", &[]));
    for (run, is_the_same) in runs {
        assert!(run.code == Some(0) && is_the_same, "{run:?}");
    }
}

#[test]
fn nobody_waits_for_a_fifo() {
    let site = Site::of(TWO_SUITES);
    site.expect(0, &["run", "--clock", FIRST]);
    let fifo_at = |path: &str| {
        let path = site.root().join(path);
        fs::remove_file(&path).unwrap();
        nix::unistd::mkfifo(&path, nix::sys::stat::Mode::S_IRWXU).unwrap();
    };
    for file in ["main/binary-all/Packages.xz", "InRelease"] {
        fifo_at(&format!("merged-production/dists/daedalus/{file}"));
        let said = site.expect(1, &["verify", "--clock", FIRST]);
        let told = format!("dists/daedalus/{file}: it is no regular file");
        assert!(said.contains(&told), "{said}");
    }
    // A run takes both for damaged, and mends them.
    let said = site.expect(0, &["run", "--clock", SECOND]);
    assert!(said.contains("daedalus/InRelease was changed"), "{said}");
    site.expect(0, &["verify", "--clock", SECOND]);
    fifo_at("log/changes.txt");
    site.expect(0, &["run", "--clock", SECOND]);
    fifo_at("state/published.json");
    let said = site.expect(1, &["run", "--clock", SECOND]);
    assert!(said.contains("state/published.json"), "{said}");
    assert!(said.contains("it is no regular file"), "{said}");
}

#[test]
fn a_verify_beside_a_run_tells_of_one_generation() {
    if !can_trace() {
        return;
    }
    let site = Site::of(TWO_SUITES);
    site.expect(0, &["run", "--clock", FIRST]);
    // It stops as it is about to read an index, when it has read the Release that lists it.
    let verify = site.command(&["verify", "--clock", SECOND]);
    let trace = site.dir().join("trace");
    let mut command = Command::new("strace");
    command
        .args(["-f", "-qq", "-e", "trace=openat", "-o"])
        .arg(&trace)
        .arg("-P")
        .arg(site.root().join("merged-production").join(INDEX))
        .args(["-e", "inject=openat:signal=STOP:when=1", "--"])
        .arg(verify.get_program())
        .args(verify.get_args())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    wait_until("it stops", || {
        fs::read_to_string(&trace).is_ok_and(|trace| trace.contains("stopped by SIGSTOP"))
    });
    site.raise_overlay("1.1");
    site.expect(0, &["run", "--clock", SECOND]);
    let verify = children(pid_of(&child))[0];
    wait_until("it ends", || {
        // Each of its threads stops once.
        let _ = nix::sys::signal::kill(Pid::from_raw(verify), Signal::SIGCONT);
        child.try_wait().unwrap().is_some()
    });
    let output = child.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{said}");
}

#[test]
fn a_clock_that_was_ahead_is_told_and_healed() {
    let site = Site::of(TWO_SUITES).with("[publish]\nvalid-for = \"7 days\"\n");
    site.expect(0, &["run", "--clock", "2027-02-01T00:00:00Z"]);
    let before = tree(&site, "merged");
    let said = site.expect(1, &["run", "--clock", FIRST]);
    assert!(
        said.contains("would not be later than the published 2027"),
        "{said}"
    );
    assert!(
        said.contains("hint: if that is meant, run once with --allow-older-date"),
        "{said}"
    );
    assert_eq!(tree(&site, "merged"), before);
    let is_ahead = || {
        let status = site.json_of(&["status", "--json", "--clock", FIRST]);
        status["suites"]["daedalus"]["date-ahead"].clone()
    };
    assert_eq!(is_ahead(), true);
    site.expect(1, &["verify", "--clock", FIRST]);
    site.expect(0, &["run", "--allow-older-date", "--clock", FIRST]);
    site.expect(0, &["verify", "--clock", FIRST]);
    assert_eq!(is_ahead(), false);
    site.run_without_news(&["--clock", SECOND]);
    // A few seconds are nothing: apt takes them.
    site.run_without_news(&["--clock", "2026-01-31T23:59:55Z"]);
}

#[test]
fn a_published_release_that_is_damaged_does_not_freeze_its_suite() {
    let site = Site::of(TWO_SUITES).with("[publish]\npool-links = false\n");
    site.expect(0, &["run", "--clock", SECOND]);
    site.raise_overlay("1.1");
    let whole = site.path("whole");
    copy_over(&site.root(), &whole);
    for (files, bytes) in [
        (&["Release"][..], Some("")),
        (&["Release"], Some("Origin: \0\n")),
        (&["Release"], None),
        (&["InRelease"], Some("")),
        (&["InRelease", "Release"], Some("Date: never\n")),
        (&["InRelease", "Release"], None),
    ] {
        copy_over(&whole, &site.root());
        for file in files {
            let path = site
                .root()
                .join("merged-production/dists/daedalus")
                .join(file);
            match bytes {
                Some(bytes) => fs::write(&path, bytes).unwrap(),
                None => fs::remove_file(&path).unwrap(),
            }
        }
        // The Date that clients have is known all the same.
        let said = site.expect(1, &["run", "--clock", FIRST]);
        assert!(
            said.contains("--allow-older-date"),
            "{files:?} {bytes:?}: {said}"
        );
        let said = site.expect(0, &["run", "--clock", THIRD]);
        let is_told = said.contains("what is published of it is damaged");
        assert_eq!(
            is_told,
            bytes.is_some() && files[0] == "InRelease",
            "{said}"
        );
        site.expect(0, &["verify", "--clock", THIRD]);
        let index = tree(&site, "merged")[INDEX].clone();
        assert_ne!(index, contents(&whole.join("merged"))[INDEX]);
    }
}

#[test]
fn a_scratch_volatile_is_never_served() {
    // Whatever a run that died before its swap left in volatile, and however it looks, is thrown away.
    let site = Site::of(TWO_SUITES);
    site.expect(0, &["run", "--clock", FIRST]);
    let production = tree(&site, "merged-production");
    let volatile = site.root().join("merged-volatile/dists");
    fs::remove_dir_all(&volatile).unwrap();
    fs::create_dir_all(volatile.join("daedalus")).unwrap();
    fs::write(volatile.join("daedalus/InRelease"), "half").unwrap();
    fs::write(site.root().join("state/staged.json"), "{}").unwrap();
    site.expect(0, &["run", "--clock", SECOND]);
    assert_eq!(tree(&site, "merged"), production);
    site.raise_overlay("1.1");
    site.expect(0, &["run", "--clock", THIRD]);
    site.expect(0, &["verify", "--clock", THIRD]);
    assert_eq!(tree(&site, "merged"), tree(&site, "merged-volatile"));
}
