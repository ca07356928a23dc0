//! Shows that a push brings production to its targets in an order that no client trips over, and leaves no transfer behind.

use std::fs;
use std::path::{Path, PathBuf};

use crate::common::programs::has;
use crate::common::site::{SECURITY, Site, TWO_SUITES, contents, files, work_dir};
use crate::common::targets::{check_target, rsync_daemon, site_with_program, target};

#[test]
fn a_path_gets_what_production_has_and_keeps_what_is_not_ours() {
    if !has("rsync") {
        return;
    }
    let site = site_with_program("echo call >> DIR/calls; exec rsync \"$@\"");
    let there = site.dir().join("target");
    fs::create_dir_all(there.join("dists/empty")).unwrap();
    fs::create_dir_all(there.join("pool-of-others")).unwrap();
    fs::write(there.join("README"), "theirs").unwrap();
    fs::write(there.join("pool-of-others/file"), "theirs").unwrap();
    site.expect(0, &["run"]);
    check_target(&site, &there);
    assert!(there.join("log/bannedpackages.txt").is_file());
    assert!(there.join("dists/daedalus-security/InRelease").is_file());
    let calls = || {
        fs::read_to_string(site.dir().join("calls"))
            .unwrap()
            .lines()
            .count()
    };
    let once = calls();
    // Nothing changed, so the target is looked at and nothing is pushed; unless somebody insists.
    site.expect(0, &["run"]);
    site.expect(0, &["push"]);
    assert_eq!(calls(), once + 2);
    // The mark is there already.
    site.expect(0, &["push", "--force"]);
    assert_eq!(calls(), once + 2 + once - 1);
    // A suite that is no longer published goes.
    site.configure(SECURITY, "");
    site.expect(0, &["run"]);
    check_target(&site, &there);
    assert!(!there.join("dists/daedalus-security").exists());
    assert_eq!(fs::read_to_string(there.join("README")).unwrap(), "theirs");
    assert!(there.join("pool-of-others/file").is_file());
    // Another address of the same name does not have it yet.
    let text = fs::read_to_string(site.config_file()).unwrap();
    let moved = site.dir().join("moved");
    let from = format!("rsync = \"{}\"", there.display());
    assert!(text.contains(&from));
    fs::write(
        site.config_file(),
        text.replace(&from, &format!("rsync = \"{}\"", moved.display())),
    )
    .unwrap();
    site.expect(0, &["run"]);
    check_target(&site, &moved);
}

#[test]
fn a_daemon_gets_what_production_has() {
    if !has("rsync") {
        return;
    }
    // Without a chroot, a daemon would make the links of suites lead nowhere.
    for parameters in [
        "munge symlinks = no",
        // It says nothing of what it has.
        "munge symlinks = no\nwrite only = yes\nlist = no",
        "munge symlinks = no\nrefuse options = checksum",
    ] {
        let dir = work_dir();
        let daemon = rsync_daemon(dir.path(), parameters);
        let there = dir.path().join("module/debian");
        let address = format!("rsync://127.0.0.1:{}/there/debian", daemon.port);
        let site = Site::of(TWO_SUITES).with(&target("daemon", &address, ""));
        assert_eq!(site.expect(0, &["run"]), "", "{parameters}");
        check_target(&site, &there);
        assert_eq!(site.expect(0, &["run"]), "", "{parameters}");
        fs::remove_file(there.join("dists/daedalus/InRelease")).unwrap();
        let told = site.expect(0, &["run"]);
        assert!(told.contains("dists/daedalus/InRelease"), "{told}");
        check_target(&site, &there);
        site.configure(SECURITY, "");
        assert_eq!(site.expect(0, &["run"]), "", "{parameters}");
        check_target(&site, &there);
        fs::create_dir(there.join("dists/theirs")).unwrap();
        fs::write(there.join("dists/theirs/InRelease"), "theirs").unwrap();
        let other = Site::of(TWO_SUITES).with(&target("daemon", &address, ""));
        let told = other.expect(4, &["run"]);
        assert!(told.contains("the mark of another site"), "{told}");
        check_by_hash(&there);
        assert!(there.join("dists/theirs/InRelease").is_file());
    }
}

#[test]
fn a_daemon_that_munges_symlinks_is_not_taken_for_one_that_lost_them() {
    if !has("rsync") {
        return;
    }
    let dir = work_dir();
    let daemon = rsync_daemon(dir.path(), "munge symlinks = yes");
    let address = "127.0.0.1::there/debian";
    let options = format!("options = [\"--port={}\"]", daemon.port);
    let site = Site::of(TWO_SUITES).with(&target("daemon", address, &options));
    assert_eq!(site.expect(0, &["run"]), "");
    assert_eq!(site.expect(0, &["run"]), "");
}

#[test]
fn a_host_over_ssh_gets_what_production_has() {
    if !has("rsync") {
        return;
    }
    let mut site = Site::of(TWO_SUITES);
    let there = site.dir().join("remote/merged");
    let ssh = site.script(
        "fake-ssh",
        &format!(
            "#!/bin/sh\necho \"$1\" >> {}/hosts\nshift\nexec sh -c \"$*\"\n",
            site.dir().display()
        ),
    );
    let address = format!("mirror.example:{}", there.display());
    let options = format!("options = [\"--rsh={}\"]", ssh.display());
    site.set_extra(&target("remote", &address, &options));
    site.expect(0, &["run"]);
    check_target(&site, &there);
    let hosts = fs::read_to_string(site.dir().join("hosts")).unwrap();
    assert!(
        hosts.lines().all(|host| host == "mirror.example"),
        "{hosts}"
    );
    // A change goes the same way.
    let before = contents(&there);
    site.raise_overlay("1.1");
    site.expect(0, &["run"]);
    assert_ne!(contents(&there), before);
    check_target(&site, &there);
}

/// Checks that every Release file that a client of a tree can come to leads to files that are there under by-hash.
fn check_by_hash(tree: &Path) -> usize {
    let mut releases = 0;
    for path in files(&tree.join("dists")) {
        let dir = path.parent().unwrap();
        let name = path.file_name().unwrap();
        // An index directory has a Release too, which lists nothing.
        if path.is_symlink() || !(name == "InRelease" || name == "Release") {
            continue;
        }
        let text = fs::read_to_string(&path).unwrap();
        let Some((_, list)) = text.split_once("\nSHA256:\n") else {
            continue;
        };
        releases += 1;
        let mut listed = 0;
        for line in list.lines().take_while(|line| line.starts_with(' ')) {
            let mut words = line.split_whitespace();
            let (hash, size, file) = (
                words.next().unwrap(),
                words.next().unwrap(),
                words.next().unwrap(),
            );
            // Plain forms are listed and not shipped.
            if !(file.ends_with(".xz") || file.ends_with(".gz") || file.ends_with("Release")) {
                continue;
            }
            let by_hash = dir
                .join(file)
                .with_file_name("by-hash")
                .join("SHA256")
                .join(hash);
            let length = by_hash.metadata().map(|m| m.len()).ok();
            assert_eq!(
                length,
                Some(size.parse().unwrap()),
                "{} lists {file}",
                path.display()
            );
            listed += 1;
        }
        assert!(listed > 0, "{} lists nothing", path.display());
    }
    releases
}

#[test]
fn what_is_named_comes_before_what_names_it() {
    if !has("rsync") {
        return;
    }
    // After every call, and after it alone, the target is kept as it is then.
    let site = site_with_program(
        "rsync \"$@\" || exit\n\
         n=$(ls DIR/snapshots | wc -l); n=$(printf %02d \"$n\")\n\
         mkdir DIR/snapshots/$n; if test -d DIR/target; then cp -a DIR/target/. DIR/snapshots/$n; fi",
    );
    let snapshots = site.dir().join("snapshots");
    let there = site.dir().join("target");
    let mut first = true;
    for raised in [false, true] {
        let _ = fs::remove_dir_all(&snapshots);
        fs::create_dir(&snapshots).unwrap();
        if raised {
            site.raise_overlay("1.1");
        }
        let before = contents(&there);
        site.expect(0, &["run"]);
        check_target(&site, &there);
        let after = contents(&there);
        let mut taken: Vec<PathBuf> = fs::read_dir(&snapshots)
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .collect();
        taken.sort();
        assert!(taken.len() >= 4, "{taken:?}");
        for snapshot in &taken {
            let releases = check_by_hash(snapshot);
            assert!(releases > 0 || first, "{}", snapshot.display());
        }
        let name = "dists/daedalus/InRelease";
        let at = |name: &str| {
            let new = |snapshot: &PathBuf| contents(snapshot).get(name) == after.get(name);
            taken.iter().position(new).unwrap()
        };
        let inline = at(name);
        assert_ne!(before.get(name), after.get(name));
        assert!(at("dists/daedalus/Release") < inline);
        assert!(at("dists/daedalus/Release.gpg") < inline);
        // All else that is new came before, but for aliases, and what is gone went after.
        let last_but_one = contents(&taken[inline - 1]);
        for (file, bytes) in &after {
            let is_alias = there.join(file).is_symlink();
            if is_alias {
                assert!(!first || at(file) > inline, "{file}");
            } else if !file.ends_with("/InRelease") {
                assert_eq!(last_but_one.get(file), Some(bytes), "{file}");
            }
        }
        for file in before.keys() {
            assert!(last_but_one.contains_key(file), "{file} went too early");
        }
        first = false;
    }
}

#[test]
fn a_suite_becomes_an_alias_and_an_alias_a_suite() {
    if !has("rsync") {
        return;
    }
    // After every call the target is kept as it is then.
    let site = site_with_program(
        "rsync \"$@\" || exit\n\
         n=$(ls DIR/snapshots | wc -l); n=$(printf %02d \"$n\"); \
         if test -d DIR/target; then cp -a DIR/target DIR/snapshots/$n; fi",
    );
    let snapshots = site.dir().join("snapshots");
    let there = site.dir().join("target");
    fs::create_dir(&snapshots).unwrap();
    site.expect(0, &["run"]);
    check_target(&site, &there);
    let before = fs::read_to_string(site.config_file()).unwrap();
    let turned = before
        .replace("[suites.daedalus]", "[suites.stable]")
        .replace("links = [\"stable\"]", "links = [\"daedalus\"]");
    assert_ne!(turned, before);
    for (text, suite, alias, known) in [
        (&turned, "stable", "daedalus", true),
        // It ends well also where nobody knows what the target has.
        (&before, "daedalus", "stable", false),
        (&turned, "stable", "daedalus", true),
    ] {
        fs::remove_dir_all(&snapshots).unwrap();
        fs::create_dir(&snapshots).unwrap();
        if !known {
            fs::remove_file(site.root().join("state/push-near.json")).unwrap();
        }
        fs::write(site.config_file(), text).unwrap();
        site.expect(0, &["run", "--allow-identity-change"]);
        check_target(&site, &there);
        assert!(there.join("dists").join(alias).is_symlink());
        assert!(!there.join("dists").join(suite).is_symlink());
        let mut taken: Vec<PathBuf> = fs::read_dir(&snapshots)
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .collect();
        taken.sort();
        let lacks = |name: &str| {
            let name = format!("dists/{name}/InRelease");
            taken
                .iter()
                .filter(|tree| !tree.join(&name).is_file())
                .count()
        };
        for snapshot in &taken {
            check_by_hash(snapshot);
        }
        assert_eq!(lacks("daedalus-security"), 0);
        assert_eq!(lacks(alias), 0, "what becomes an alias is always there");
        if known {
            // While its own files come: by-hash, indices, Release.
            assert_eq!(lacks(suite), 3);
        }
    }
}

#[test]
fn a_push_that_fails_is_said_and_made_up_for() {
    if !has("rsync") {
        return;
    }
    // The third call fails while `fail` is there.
    let mut site = site_with_program(
        "echo >> DIR/calls\n\
         if test -e DIR/fail && test \"$(wc -l < DIR/calls)\" -ge 3; then echo no room there >&2; exit 11; fi\n\
         exec rsync \"$@\"",
    );
    let fail = site.dir().join("fail");
    let there = site.dir().join("target");
    let other = site.dir().join("other");
    fs::write(&fail, "").unwrap();
    let extra = target(
        "near",
        there.to_str().unwrap(),
        &format!("program = \"{}/program\"", site.dir().display()),
    ) + &target("other", other.to_str().unwrap(), "");
    site.set_extra(&extra);
    let told = site.expect(4, &["run"]);
    assert!(
        told.contains("`near`") && told.contains("no room there"),
        "{told}"
    );
    assert!(!told.contains("`other`"), "{told}");
    site.expect(0, &["verify"]);
    check_target(&site, &other);
    assert!(!there.join("dists/daedalus/InRelease").exists());
    // Still so, though there is nothing new.
    site.expect(4, &["run"]);
    assert_ne!(site.aptmerge(&["push"]).code, Some(0));
    fs::remove_file(&fail).unwrap();
    site.expect(0, &["run"]);
    check_target(&site, &there);
    // A program that is not there, and a site that pushes nowhere.
    site.set_extra(&target(
        "near",
        other.to_str().unwrap(),
        "program = \"/there/is/no/rsync\"",
    ));
    let told = site.expect(4, &["run"]);
    assert!(told.contains("/there/is/no/rsync"), "{told}");
    site.set_extra("");
    site.expect(2, &["push"]);
}

#[test]
fn a_damaged_record_of_a_target_costs_a_push_and_nothing_else() {
    if !has("rsync") {
        return;
    }
    let mut site = Site::of(TWO_SUITES);
    let there = site.dir().join("target");
    site.set_extra(&target("near", there.to_str().unwrap(), ""));
    site.expect(0, &["run"]);
    let record = site.root().join("state/push-near.json");
    let last_run = site.root().join("state/last-run.json");
    for damage in ["", "null", "{}", "no JSON"] {
        fs::write(&record, damage).unwrap();
        fs::write(&last_run, damage).unwrap();
        let status = site.expect(0, &["status"]);
        assert!(status.contains("suite daedalus: "), "{status}");
        let status = site.json(&["status", "--json"]);
        assert_eq!(status["generation"], 1);
        if damage == "null" {
            continue; // that is no record at all
        }
        assert_eq!(status["pushes"]["near"], serde_json::Value::Null);
        let unknown = status["unknown"].to_string();
        assert!(
            unknown.contains("push-near.json") && unknown.contains("last-run.json"),
            "{unknown}"
        );
        let told = site.expect(0, &["run"]);
        assert!(
            told.contains("push-near.json") && told.contains("as if it had nothing"),
            "{told}"
        );
        check_target(&site, &there);
        assert_eq!(site.expect(0, &["run"]), "");
    }
}

#[test]
fn a_relative_target_is_relative_to_the_configuration() {
    if !has("rsync") {
        return;
    }
    let site = Site::of(TWO_SUITES).with(&target("near", "mirror/one", ""));
    let elsewhere = crate::common::site::work_dir();
    let status = site
        .command(&["run"])
        .current_dir(elsewhere.path())
        .status()
        .unwrap();
    assert!(status.success());
    check_target(&site, &site.dir().join("mirror/one"));
    assert_eq!(files(elsewhere.path()), Vec::<PathBuf>::new());
}

#[test]
fn a_generation_that_counts_anew_is_pushed_though_a_target_has_its_number() {
    // As the hint for a damaged state has it: remove it, and the next run builds every suite anew, as generation 1 again.
    if !has("rsync") {
        return;
    }
    let mut site = Site::of(TWO_SUITES);
    let there = site.dir().join("target");
    site.set_extra(&target("near", there.to_str().unwrap(), ""));
    site.expect(0, &["run", "--clock", "2026-02-01T00:00:00Z"]);
    fs::remove_file(site.root().join("state/published.json")).unwrap();
    site.raise_overlay("1.1");
    site.expect(0, &["run", "--clock", "2026-02-02T00:00:00Z"]);
    check_target(&site, &there);
}
