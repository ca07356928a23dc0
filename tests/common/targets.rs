//! Targets of pushes: how they are configured, and what they have to have.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use super::site::{Site, contents, differing, files};

/// One target, as the configuration has it.
pub fn target(name: &str, address: &str, more: &str) -> String {
    format!("[[push]]\nname = \"{name}\"\nrsync = \"{address}\"\n{more}\n")
}

/// A site that pushes to the directory `target` beside it with a script of its own.
pub fn site_with_program(script: &str) -> Site {
    let mut site = Site::new("");
    let script = script.replace("DIR", site.path().to_str().unwrap());
    let program = site.script("program", &format!("#!/bin/sh\n{script}\n"));
    site.set_extra(&target(
        "near",
        site.path().join("target").to_str().unwrap(),
        &format!("program = \"{}\"", program.display()),
    ));
    site
}

/// Checks that a target has what production has, and nothing under temporary names.
#[track_caller]
pub fn check_target(site: &Site, target: &Path) {
    let production = site.root().join("merged-production");
    let (pushed, wanted) = (contents(target), contents(&production));
    assert_eq!(differing(&pushed, &wanted), BTreeSet::new());
    site.expect(0, &["verify", target.to_str().unwrap()]);
    assert!(!target.join("pool").exists(), "pools stay here");
    let litter: Vec<PathBuf> = files(target)
        .into_iter()
        .filter(|path| path.to_string_lossy().contains('~'))
        .collect();
    assert_eq!(litter, Vec::<PathBuf>::new());
}
