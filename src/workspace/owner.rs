//! The user that a site belongs to: files of another user in it end in "Permission denied" for the one who runs it every day.
//!
//! The danger comes from root, who may write into anybody's directory: one run by root leaves a state, a spool and trees that the
//! service's user can neither read nor replace. So a command that takes the lock asks first, before it writes anything.
//!
//! - The owner of the root directory is the owner of the site. If that is root, as where an administrator made the directory for a group
//!   (`root:aptmerge 2775`), it is the owner of `state/`, which a run makes; without `state/`, it is whoever runs first.
//! - Another user than root gets what the modes of the directories grant: whoever opens the root to a group shares it. But that user's
//!   run needs `state/`, which is for its owner alone.
//! - In a user namespace, an owner that the namespace does not know looks like `nobody`, and its root has no power over such files. So it
//!   is taken for unknown.

use std::os::unix::fs::MetadataExt;
use std::path::Path;

use nix::unistd::{Uid, User};

use crate::error::Result;
use crate::layout::Layout;

use super::error::StateError;

/// Refuses to write into a site that belongs to another user than the one of this process.
pub fn check_owner(root: &Path) -> Result<()> {
    let layout = Layout::new(root);
    let state = layout.state();
    let (root_owner, state_owner) = (known_owner(root), known_owner(&state));
    let Some(fault) = fault(Uid::effective(), root_owner, state_owner) else {
        return Ok(());
    };
    Err(match fault {
        Fault::Foreign(owner) => StateError::Foreign {
            root: root.to_owned(),
            owner: name_of(owner),
            user: name_of(Uid::effective()),
        },
        Fault::Mixed { own, other } => StateError::Mixed {
            root: root.to_owned(),
            path: state,
            owner: name_of(own),
            other: name_of(other),
        },
    }
    .into())
}

/// The reason why a user must not write into a site.
#[derive(Debug, PartialEq, Eq)]
enum Fault {
    /// The site belongs to another user.
    Foreign(Uid),
    /// The root belongs to one user, and the state to another.
    Mixed { own: Uid, other: Uid },
}

fn fault(user: Uid, root: Option<Uid>, state: Option<Uid>) -> Option<Fault> {
    let is_of = |owner: Option<Uid>| owner == Some(user);
    // A root directory of the system's administrator says nothing about the user of the site.
    let owner = root.filter(|owner| !owner.is_root()).or(state);
    if user.is_root() {
        return owner.filter(|owner| !owner.is_root()).map(Fault::Foreign);
    }
    match state {
        Some(other) if is_of(root) && other != user => Some(Fault::Mixed { own: user, other }),
        Some(other) if other != user => Some(Fault::Foreign(other)),
        _ => None,
    }
}

/// Returns the owner of a directory; `None` if there is none, or if this process cannot know who it is.
fn known_owner(path: &Path) -> Option<Uid> {
    let uid = path.metadata().ok()?.uid();
    let is_unmapped = uid.to_string() == overflow_uid() && !has_all_users();
    (!is_unmapped).then(|| Uid::from_raw(uid))
}

/// Returns the number that stands for users whom a namespace does not know.
fn overflow_uid() -> String {
    let text = std::fs::read_to_string("/proc/sys/kernel/overflowuid");
    text.map_or_else(|_| "65534".to_owned(), |text| text.trim().to_owned())
}

/// Returns whether this process is in a namespace that has every user.
fn has_all_users() -> bool {
    let text = std::fs::read_to_string("/proc/self/uid_map").unwrap_or_default();
    text.is_empty() || text.split_whitespace().eq(["0", "0", "4294967295"])
}

/// Returns the name, or the number, of the user that a path belongs to.
pub(super) fn owner_of(path: &Path) -> Option<String> {
    Some(name_of(Uid::from_raw(path.metadata().ok()?.uid())))
}

fn name_of(uid: Uid) -> String {
    let name = User::from_uid(uid).ok().flatten().map(|user| user.name);
    name.unwrap_or_else(|| format!("#{uid}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn root_runs_its_own_sites_and_others_run_what_they_can_write() {
        let [root, service, other] = [0, 100, 101].map(Uid::from_raw);
        let foreign = |uid| Some(Fault::Foreign(uid));
        for (user, root_dir, state, expected) in [
            (root, None, None, None),
            (root, Some(root), None, None),
            (root, Some(root), Some(root), None),
            (root, Some(root), Some(service), foreign(service)),
            (root, Some(service), None, foreign(service)),
            // An earlier run by root left its state there.
            (root, Some(service), Some(root), foreign(service)),
            (service, Some(service), Some(service), None),
            (service, Some(service), None, None),
            (service, Some(root), None, None),
            (service, Some(root), Some(service), None),
            (service, Some(other), Some(service), None),
            (service, Some(other), None, None),
            (service, Some(other), Some(other), foreign(other)),
            (service, None, Some(other), foreign(other)),
        ] {
            let found = fault(user, root_dir, state);
            assert_eq!(found, expected, "{user} {root_dir:?} {state:?}");
        }
        let mixed = Fault::Mixed {
            own: service,
            other: root,
        };
        assert_eq!(fault(service, Some(service), Some(root)), Some(mixed));
    }
}
