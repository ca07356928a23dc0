//! Programs that tests need: where one is missing its test is skipped aloud, or fails if `APTMERGE_SKIP_NOTHING` is set, as in `.ci/run`.

use std::path::Path;

/// Says that a test is skipped, and for the lack of what.
#[track_caller]
pub fn skipped(lack: &str) {
    assert!(
        std::env::var_os("APTMERGE_SKIP_NOTHING").is_none(),
        "missing: {lack}"
    );
    eprintln!("skipped: no {lack}");
}

/// Returns whether a program is installed; says so, or fails, if it is not.
#[track_caller]
pub fn has(program: &str) -> bool {
    let dirs = std::env::var("PATH").unwrap_or_default() + ":/usr/sbin:/sbin";
    let found = dirs
        .split(':')
        .any(|dir| Path::new(dir).join(program).is_file());
    if !found {
        skipped(program);
    }
    found
}
