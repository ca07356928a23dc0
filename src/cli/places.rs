//! The places of root and lock, as they are on this machine.

use std::fs::Metadata;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use aptmerge::config::{Config, Problem};
use aptmerge::workspace::Layout;

use super::failure::advised;

/// The bits of a directory in which any user can make a file.
const FOR_ALL: u32 = 0o002;

/// Looks for what keeps a run from its root and its lock.
pub(super) fn look(config: &Config, problems: &mut Vec<Problem>, warnings: &mut Vec<Problem>) {
    let root = config.root.metadata();
    if root.is_ok_and(|meta| !meta.is_dir()) {
        problems.push(advised("root", "it is no directory", "give another path"));
        return;
    }
    let lock = &config.lock;
    if let Some(what) = lock.metadata().ok().and_then(|meta| other_than_file(&meta)) {
        let why = format!("{} is {what}", lock.display());
        problems.push(advised(
            "lock",
            why,
            "give the path of a file that nothing else uses",
        ));
        return;
    }
    // The first run makes the root.
    let directory = lock.parent().unwrap_or(Path::new("/"));
    match directory.metadata() {
        Ok(meta) if !meta.is_dir() => {
            let why = format!("{} is no directory", directory.display());
            problems.push(advised("lock", why, "give another path"));
        }
        Ok(meta) => {
            if let Some(place) = kept_place(config, directory) {
                let why = format!("it lies in {place}, where aptmerge removes or publishes files");
                problems.push(advised(
                    "lock",
                    why,
                    "give a file in a directory of its own",
                ));
            }
            if meta.mode() & FOR_ALL != 0 {
                let why = format!(
                    "any user can make files in {}, and hold the lock so",
                    directory.display()
                );
                warnings.push(advised("lock", why, "give it a directory of its own"));
            }
        }
        Err(_) if directory == config.root => {}
        Err(_) => {
            let why = format!("its directory {} is not there", directory.display());
            let hint = match directory.starts_with("/run") || directory.starts_with("/var/run") {
                true => {
                    "have it made at each boot, by RuntimeDirectory= of a service, or by a line in /etc/tmpfiles.d: d /run/aptmerge 0755 aptmerge aptmerge"
                }
                false => "make it, for the user that runs aptmerge",
            };
            problems.push(advised("lock", why, hint));
        }
    }
}

fn other_than_file(meta: &Metadata) -> Option<&'static str> {
    match (meta.is_dir(), meta.is_file()) {
        (true, _) => Some("a directory"),
        (_, false) => Some("no regular file"),
        _ => None,
    }
}

/// Returns the directory of the site that a directory leads to through symlinks, if files there come and go.
fn kept_place(config: &Config, directory: &Path) -> Option<String> {
    let (root, directory) = (
        config.root.canonicalize().ok()?,
        directory.canonicalize().ok()?,
    );
    let place = Layout::new(&root).kept_place(&directory)?;
    Some(place.display().to_string())
}
