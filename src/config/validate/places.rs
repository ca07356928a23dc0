//! Places on this machine that cannot be what the configuration makes of them, by their names alone.

use std::path::{Component, Path, PathBuf};

use super::Findings;
use crate::config::Config;
use crate::layout::Layout;

pub(super) fn places(config: &Config, base: &Path, findings: &mut Findings) {
    let root = plain(&base.join(&config.root));
    if root.parent().is_none() {
        findings.add(
            &["root"],
            "it is the whole file system of this machine",
            "give a directory of its own, `/srv/aptmerge`",
        );
        return;
    }
    if config.lock.as_os_str().is_empty() {
        return;
    }
    let lock = plain(&base.join(&config.lock));
    if lock == root {
        findings.add(
            &["lock"],
            "it is the root itself",
            "give a file below it, or elsewhere",
        );
    } else if let Some(inside) = Layout::new(&root).kept_place(&lock) {
        findings.add(
            &["lock"],
            format!(
                "it lies in {}, where aptmerge removes or publishes files",
                inside.display()
            ),
            "take the key out, or give a file in a directory of its own",
        );
    }
}

/// Returns a path without `.` and `..`, as if no part of it were a symlink.
fn plain(path: &Path) -> PathBuf {
    let mut plain = PathBuf::new();
    for part in path.components() {
        match part {
            Component::CurDir => {}
            Component::ParentDir => _ = plain.pop(),
            part => plain.push(part),
        }
    }
    plain
}
