//! Shows that a push leaves alone what is not ours at its target, and notices that what is ours was lost there.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use crate::common::programs::has;
use crate::common::site::{SECURITY, Site, TWO_SUITES, contents, copy_over, files};
use crate::common::targets::{check_target, site_with_program, target};

/// A site that pushes to the directory `target` beside it.
fn site_with_target() -> (Site, PathBuf) {
    let mut site = Site::of(TWO_SUITES);
    let there = site.dir().join("target");
    site.set_extra(&target("near", there.to_str().unwrap(), ""));
    (site, there)
}

/// Everything that lies in a directory, with where it leads or what is in it.
fn everything(dir: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let read = |path: PathBuf| {
        let is = match fs::read_link(&path) {
            Ok(leads) => leads.display().to_string().into_bytes(),
            Err(_) => fs::read(&path).unwrap_or_default(),
        };
        (path, is)
    };
    files(dir).into_iter().map(read).collect()
}

/// The owner's marks at a target.
fn marks(there: &Path) -> Vec<String> {
    let names = fs::read_dir(there).unwrap();
    let names = names.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    names
        .filter(|name| name.starts_with(".aptmerge-owner-"))
        .collect()
}

fn write(path: &Path, text: &str) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
}

#[test]
fn suites_of_others_stay_at_a_shared_or_mistyped_target() {
    if !has("rsync") {
        return;
    }
    let (site, there) = site_with_target();
    for path in [
        "dists/theirs/InRelease",
        "dists/theirs/main/Packages",
        "pool/x.deb",
    ] {
        write(&there.join(path), "theirs");
    }
    symlink("theirs", there.join("dists/their-alias")).unwrap();
    let before = everything(&there);
    for verb in ["run", "push"] {
        let told = site.expect(if verb == "run" { 4 } else { 1 }, &[verb]);
        assert!(
            told.contains("`near`")
                && told.contains("dists/theirs")
                && told.contains("dists/their-alias")
                && told.contains("--take-over NAME"),
            "{told}"
        );
        assert!(everything(&there) == before);
    }
    let told = site.expect(2, &["push", "--take-over", "far"]);
    assert!(told.contains("`far`"), "{told}");
    // An operator who says so may push beside them, and that deletes nothing.
    let holds_theirs = |there: &Path| {
        let now = everything(there);
        before
            .iter()
            .all(|(path, bytes)| now.get(path) == Some(bytes))
    };
    let told = site.expect(0, &["push", "--take-over", "near"]);
    assert!(
        told.contains("dists/theirs") && told.contains("--prune near"),
        "{told}"
    );
    assert!(holds_theirs(&there) && there.join("dists/daedalus/InRelease").is_file());
    assert_eq!(marks(&there).len(), 1);
    // Of a suite that is no longer published, what is ours goes.
    let security = there.join("dists/daedalus-security");
    write(&security.join("main/by-them"), "theirs");
    site.configure(SECURITY, "");
    assert_eq!(site.expect(0, &["run"]), "");
    assert_eq!(
        files(&security),
        [security.join("main"), security.join("main/by-them")]
    );
    assert!(holds_theirs(&there));
    site.expect(0, &["push", "--force"]);
    assert!(holds_theirs(&there));
    // All of it goes if that is asked for, but nothing beside `dists/`.
    assert_eq!(site.expect(0, &["push", "--prune", "near"]), "");
    assert!(there.join("pool/x.deb").is_file());
    fs::remove_dir_all(there.join("pool")).unwrap();
    check_target(&site, &there);
}

#[test]
fn a_target_of_another_site_is_refused_until_it_is_taken_over() {
    if !has("rsync") {
        return;
    }
    let (one, there) = site_with_target();
    one.expect(0, &["run"]);
    let its_mark = marks(&there);
    let before = everything(&there);
    let other = Site::of(TWO_SUITES).with(&target("shared", there.to_str().unwrap(), ""));
    let told = other.expect(4, &["run"]);
    assert!(
        told.contains("`shared`")
            && told.contains(&its_mark[0])
            && told.contains("--take-over NAME"),
        "{told}"
    );
    assert!(everything(&there) == before);
    other.expect(0, &["push", "--take-over", "shared"]);
    check_target(&other, &there);
    assert_eq!(marks(&there).len(), 1);
    assert_ne!(marks(&there), its_mark);
    // The first site hears of it, though it has nothing new.
    let before = everything(&there);
    let told = one.expect(4, &["run"]);
    assert!(told.contains("mark of another site"), "{told}");
    one.expect(1, &["push", "--prune", "near"]);
    one.expect(1, &["push", "--force"]);
    assert!(everything(&there) == before);
}

#[test]
fn a_suite_of_our_name_is_ours_only_if_it_is_the_same() {
    if !has("rsync") {
        return;
    }
    let (mut site, there) = site_with_target();
    for file in ["InRelease", "Release"] {
        let _ = fs::remove_dir_all(&there);
        write(&there.join("dists/daedalus").join(file), "theirs");
        let before = everything(&there);
        let told = site.expect(4, &["run"]);
        assert!(told.contains(&format!("dists/daedalus/{file}")), "{told}");
        assert!(everything(&there) == before);
    }
    // So is one that takes the place of an alias.
    fs::remove_dir_all(&there).unwrap();
    write(&there.join("dists/stable/InRelease"), "theirs");
    let before = everything(&there);
    let told = site.expect(4, &["run"]);
    assert!(told.contains("dists/stable"), "{told}");
    assert!(everything(&there) == before);
    site.expect(1, &["push", "--take-over", "near"]);
    assert!(there.join("dists/stable/InRelease").is_file());
    // A copy of our tree is ours.
    fs::remove_dir_all(&there).unwrap();
    copy_over(&site.root().join("merged-production"), &there);
    fs::remove_dir_all(there.join("pool")).unwrap();
    assert_eq!(site.expect(0, &["run"]), "");
    check_target(&site, &there);
    // What was ours at one address says nothing of another.
    let other = site.dir().join("other");
    write(&other.join("dists/daedalus-security/InRelease"), "theirs");
    site.set_extra(&target("near", other.to_str().unwrap(), ""));
    site.configure(SECURITY, "");
    site.expect(4, &["run"]);
    site.expect(0, &["push", "--take-over", "near"]);
    assert!(other.join("dists/daedalus-security/InRelease").is_file());
}

#[test]
fn a_target_that_was_pushed_to_before_there_were_marks_gets_one() {
    if !has("rsync") {
        return;
    }
    for raised in [false, true] {
        let (site, there) = site_with_target();
        site.expect(0, &["run"]);
        // As the version before left it.
        let state = site.root().join("state");
        fs::remove_dir_all(state.join("owner")).unwrap();
        fs::remove_file(state.join("pushed-near.json")).unwrap();
        let record = state.join("push-near.json");
        let mut fields: serde_json::Value =
            serde_json::from_slice(&fs::read(&record).unwrap()).unwrap();
        fields.as_object_mut().unwrap().remove("owner").unwrap();
        fs::write(&record, fields.to_string()).unwrap();
        fs::remove_file(there.join(&marks(&there)[0])).unwrap();
        if raised {
            site.raise_overlay("1.1");
        }
        assert_eq!(site.expect(0, &["run"]), "");
        check_target(&site, &there);
        assert_eq!(marks(&there).len(), 1);
        assert_eq!(site.expect(0, &["run"]), "");
    }
}

#[test]
fn a_lost_mark_and_a_lost_state_are_made_up_for_or_told() {
    if !has("rsync") {
        return;
    }
    let (site, there) = site_with_target();
    site.expect(0, &["run"]);
    let its_mark = marks(&there);
    let mark = there.join(&its_mark[0]);
    fs::remove_file(&mark).unwrap();
    let theirs = there.join("dists/theirs/InRelease");
    write(&theirs, "theirs");
    let told = site.expect(4, &["run"]);
    assert!(told.contains("dists/theirs"), "{told}");
    fs::remove_dir_all(theirs.parent().unwrap()).unwrap();
    assert_eq!(site.expect(0, &["run"]), "");
    assert!(mark.is_file());
    // rsync was killed while it brought the mark.
    let unfinished = there.join(format!("{}.f7t0Lx", its_mark[0]));
    fs::rename(&mark, &unfinished).unwrap();
    assert_eq!(site.expect(0, &["run"]), "");
    assert_eq!(marks(&there), its_mark);
    let state = site.root().join("state");
    fs::remove_dir_all(state.join("owner")).unwrap();
    assert_eq!(site.expect(0, &["run"]), "");
    fs::remove_file(state.join("pushed-near.json")).unwrap();
    fs::remove_file(state.join("push-near.json")).unwrap();
    assert_eq!(site.expect(0, &["run"]), "");
    check_target(&site, &there);
    fs::write(state.join("pushed-near.json"), "no JSON").unwrap();
    let told = site.expect(0, &["push", "--force"]);
    assert!(
        told.contains("pushed-near.json") && told.contains("--prune near"),
        "{told}"
    );
    assert_eq!(marks(&there), its_mark);
    fs::remove_dir_all(&state).unwrap();
    let told = site.expect(4, &["run"]);
    assert!(told.contains("--take-over NAME"), "{told}");
    site.expect(0, &["push", "--take-over", "near"]);
    assert_eq!(site.expect(0, &["run"]), "");
}

#[test]
fn what_a_target_lost_is_pushed_anew_though_there_is_nothing_new() {
    if !has("rsync") {
        return;
    }
    let (site, there) = site_with_target();
    site.expect(0, &["run"]);
    let old = site.dir().join("old");
    copy_over(&there, &old);
    site.raise_overlay("1.1");
    assert_eq!(site.expect(0, &["run"]), "");
    let inline = there.join("dists/daedalus/InRelease");
    let losses: [(&str, &dyn Fn()); 7] = [
        ("dists/daedalus/InRelease", &|| {
            fs::remove_file(&inline).unwrap()
        }),
        ("dists/daedalus/Release.gpg", &|| {
            fs::remove_file(inline.with_file_name("Release.gpg")).unwrap();
        }),
        ("dists/stable", &|| {
            fs::remove_file(there.join("dists/stable")).unwrap()
        }),
        ("dists/stable", &|| {
            fs::remove_file(there.join("dists/stable")).unwrap();
            symlink("daedalus-security", there.join("dists/stable")).unwrap();
        }),
        ("dists/daedalus/InRelease", &|| {
            // Size and time stay.
            let time = inline.metadata().unwrap().modified().unwrap();
            let mut bytes = fs::read(&inline).unwrap();
            bytes[100] ^= 1;
            fs::remove_file(&inline).unwrap();
            fs::write(&inline, bytes).unwrap();
            let file = fs::File::options().write(true).open(&inline).unwrap();
            file.set_modified(time).unwrap();
        }),
        ("dists/daedalus/InRelease", &|| {
            // From a backup.
            fs::remove_dir_all(&there).unwrap();
            copy_over(&old, &there);
        }),
        ("dists/daedalus/InRelease", &|| {
            fs::remove_dir_all(&there).unwrap()
        }),
    ];
    for (named, lose) in losses {
        lose();
        let told = site.expect(0, &["run"]);
        assert!(
            told.contains("`near`") && told.contains("pushed to anew") && told.contains(named),
            "{told}"
        );
        check_target(&site, &there);
        assert_eq!(site.expect(0, &["run"]), "");
    }
}

#[test]
fn names_that_filters_interpret_delete_nothing_else() {
    if !has("rsync") {
        return;
    }
    let (site, there) = site_with_target();
    site.expect(0, &["run"]);
    let names = [
        "w*x",
        "w[xy",
        "w?x",
        "b\\s",
        "b\\*",
        "-e",
        " lead",
        "trail ",
        "#c",
        ";c",
        "!",
        "a:b",
        "+ x",
        "**",
        "~x",
        "ü",
        "\u{1b}[2J",
        "line\nend",
        "return\rend",
    ];
    // What these match, if they are patterns.
    let others = [
        "wyx", "wx", "w", "bs", "bxs", "x", "c", "lead", "trail", "line", "return", "end",
    ];
    let dir = "dists/daedalus/main";
    for name in names {
        write(
            &site.root().join("merged-production").join(dir).join(name),
            "ours",
        );
        // A directory, with something in it.
        let below = format!("dir{name}/{name}");
        write(
            &site.root().join("merged-production").join(dir).join(below),
            "ours",
        );
    }
    site.expect(0, &["push", "--force"]);
    let before = contents(&there);
    for name in others {
        write(&there.join(dir).join(name), "theirs");
        write(&there.join(dir).join(format!("dir{name}/{name}")), "theirs");
    }
    for name in names {
        assert!(before.contains_key(&format!("{dir}/{name}")), "{name}");
        let production = site.root().join("merged-production").join(dir);
        fs::remove_file(production.join(name)).unwrap();
        fs::remove_dir_all(production.join(format!("dir{name}"))).unwrap();
    }
    site.expect(0, &["push", "--force"]);
    for name in names {
        // A name with a line end cannot be given to rsync, and stays.
        let stays = name.contains(['\n', '\r']);
        for path in [
            there.join(dir).join(name),
            there.join(dir).join(format!("dir{name}")),
        ] {
            assert_eq!(path.exists(), stays, "{}", path.display());
        }
    }
    for name in others {
        assert!(there.join(dir).join(name).is_file(), "{name}");
        assert!(
            there.join(dir).join(format!("dir{name}/{name}")).is_file(),
            "{name}"
        );
    }
}

#[test]
fn a_symlink_in_the_place_of_a_suite_leads_no_deletion_out() {
    if !has("rsync") {
        return;
    }
    let (site, there) = site_with_target();
    site.expect(0, &["run"]);
    // The suite lies elsewhere, with a symlink in its place; then it is no longer published.
    let elsewhere = site.dir().join("elsewhere");
    let suite = there.join("dists/daedalus-security");
    fs::rename(&suite, &elsewhere).unwrap();
    symlink(&elsewhere, &suite).unwrap();
    let before = everything(&elsewhere);
    site.configure(SECURITY, "");
    site.expect(0, &["run"]);
    assert!(everything(&elsewhere) == before);
}

#[test]
fn options_do_not_blind_the_look() {
    if !has("rsync") {
        return;
    }
    let (mut site, there) = site_with_target();
    let options = "options = [\"-rq\"]";
    site.set_extra(&target("near", there.to_str().unwrap(), options));
    let told = site.expect(4, &["run"]);
    assert!(
        told.contains("silences") && told.contains("`options`"),
        "{told}"
    );
    assert!(!there.exists());
    for options in [
        "[\"--quiet\", \"-q\"]",
        "[\"-v\", \"--stats\", \"--progress\"]",
        "[\"--out-format=x %n\", \"--itemize-changes\"]",
        "[\"--max-delete=1000\", \"--checksum\", \"--partial\", \"--delete\"]",
    ] {
        let options = format!("options = {options}");
        site.set_extra(&target("near", there.to_str().unwrap(), &options));
        assert_eq!(site.expect(0, &["run"]), "", "{options}");
        check_target(&site, &there);
    }
}

#[test]
fn what_an_interrupted_push_left_goes_and_nothing_that_looks_like_it() {
    if !has("rsync") {
        return;
    }
    let site = site_with_program("exec rsync \"$@\"");
    let there = site.dir().join("target");
    let fail = site.dir().join("fail");
    site.expect(0, &["run"]);
    site.raise_overlay("1.1");
    fs::write(&fail, "").unwrap();
    // The look goes through, and the first call that brings something does not.
    let program =
        "case \"$*\" in *--dry-run*) ;; *) test -e DIR/fail && exit 20;; esac; exec rsync \"$@\"";
    let program = program.replace("DIR", site.dir().to_str().unwrap());
    site.script("program", &format!("#!/bin/sh\n{program}\n"));
    site.expect(4, &["run"]);
    let suite = there.join("dists/daedalus");
    let by_hash = fs::read_dir(suite.join("main/binary-amd64/by-hash/SHA256")).unwrap();
    let hash = by_hash.map(|entry| entry.unwrap().path()).min().unwrap();
    let hash_name = hash.file_name().unwrap().to_str().unwrap();
    let left = [
        suite.join(".InRelease.a1B2c3"),
        suite.join("main/binary-amd64/.~tmp~/Packages.xz"),
        suite.join("main/binary-amd64/.Packages.xz.Abcdef"),
        hash.with_file_name(format!(".{hash_name}.Abcdef")),
    ];
    let theirs = [
        suite.join(".htaccess.backup"),
        suite.join(".InRelease.a1B2c3d"),
        there.join("dists/theirs/.InRelease.a1B2c3"),
        there.join("dists/theirs/.~tmp~/InRelease"),
    ];
    for path in left.iter().chain(&theirs) {
        write(path, "part");
    }
    fs::remove_file(&fail).unwrap();
    assert_eq!(site.expect(0, &["run"]), "");
    for path in &left {
        assert!(!path.exists(), "{}", path.display());
    }
    for path in &theirs {
        assert!(path.exists(), "{}", path.display());
    }
}
