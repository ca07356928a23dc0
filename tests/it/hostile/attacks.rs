//! What TUF's list of attacks has that no other file here shows: more than one mirror, and more than one release.
//!
//! Rollback and freeze are in `release`, endless data in `transport`, a retired key in `signatures`.

use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use super::catalogue::{PACKAGES, check, entry, later, let_pass, run};
use super::wire::main_over;
use crate::common::site::{Site, copy_tree};
use crate::common::upstream::{NEWER, stanza, xz};
use crate::common::web::{Act, Mirror, answer};

/// A newer state of main, signed.
fn newer(site: &Site) {
    let mut suite = site.main();
    suite.set("Date", NEWER);
    suite.append_stanza(PACKAGES, &stanza("newcomer"));
    suite.sign();
}

#[test]
fn refused() {
    check(&[
        entry(
            "mix-and-match: the new Release, the old indices",
            &["binary-amd64/", "the Release says"],
            |site| {
                let old = site.path("old");
                let _ = fs::remove_dir_all(&old);
                copy_tree(&site.path("archives"), &old);
                newer(site);
                let old = old.join("main/dists/bookworm/main/binary-amd64/Packages.xz");
                let old = fs::read(old).unwrap();
                main_over(site, move |path| match path {
                    _ if path.contains("by-hash") => Act::Say(answer("404 Not Found", &[], b"")),
                    _ if path.contains("binary-amd64/") => Act::Say(answer("200 OK", &[], &old)),
                    _ => Act::Well,
                });
            },
        ),
        entry(
            "wrong software: an index of one's own",
            &["binary-amd64/"],
            |site| {
                newer(site);
                let evil = xz(stanza("evil").as_bytes());
                main_over(site, move |path| match path.contains("binary-amd64/") {
                    true => Act::Say(answer("200 OK", &[], &evil)),
                    false => Act::Well,
                });
            },
        ),
        entry(
            "another archive of the same keys",
            &["and not of `bookworm`"],
            |site| {
                site.restore_archive("main", "buster");
                let dists = site.path("archives/main/dists");
                fs::remove_dir_all(dists.join("bookworm")).unwrap();
                fs::rename(dists.join("buster"), dists.join("bookworm")).unwrap();
            },
        ),
        later(
            "an overlay that is main",
            &["overlay/dists/daedalus", "the signature is refused"],
            |site| {
                let dists = site.path("archives/overlay/dists/daedalus");
                fs::remove_dir_all(&dists).unwrap();
                copy_tree(&site.main().dir, &dists);
            },
        ),
    ]);
}

#[test]
fn a_malicious_mirror_is_passed_over_for_the_next() {
    let evil_release = |path: &str| match path.ends_with("InRelease") {
        true => Act::Say(answer("200 OK", &[], b"Origin: Evil\n")),
        false => Act::Well,
    };
    let evil_index = |path: &str| match path.contains("binary-amd64/") {
        true => Act::Say(answer("200 OK", &[], &xz(b"Package: evil\n"))),
        false => Act::Well,
    };
    for behave in [evil_release as fn(&str) -> Act, evil_index] {
        let site = Site::published();
        newer(&site);
        let mirror = Mirror::of(&site.path("archives"));
        mirror.behave(behave);
        let evil = mirror.uri();
        let good = format!("file://{}", site.path("archives").display());
        site.change_config(
            &format!("\"{good}/main\""),
            &format!("\"{evil}/main\", \"{good}/main\""),
        );
        run(&site, &[]).expect(0, &[]);
        let text = site.index("dists/daedalus/main/binary-amd64/Packages");
        assert!(text.contains("Package: newcomer\n") && !text.contains("evil"));
        site.aptmerge(&["verify"]).expect(0, &[]);
    }
}

#[test]
fn a_mirror_in_mid_sync_recovers() {
    let_pass(&[entry("mid-sync", &[], |site| {
        newer(site);
        let asked = Arc::new(AtomicU32::new(0));
        main_over(site, move |path| match path {
            _ if path.contains("by-hash") => Act::Say(answer("404 Not Found", &[], b"")),
            _ if path.contains("binary-amd64/") && asked.fetch_add(1, Ordering::SeqCst) < 2 => {
                Act::Say(answer("200 OK", &[], &xz(b"Package: of-the-next-state\n")))
            }
            _ => Act::Well,
        });
        let path = site.path("aptmerge.toml");
        let config = fs::read_to_string(&path).unwrap();
        site.write_config(&config.replace("restarts = 0", "restarts = 3"));
    })]);
}
