//! Hints for the store.

use aptmerge::store::{Refusal, StoreError};

pub(super) fn hint(error: &StoreError) -> Option<String> {
    let hint = match error {
        StoreError::NotFound {
            nearest: Some(nearest),
            ..
        } => return Some(format!("did you mean `{nearest}`?")),
        StoreError::NotFound {
            what: "package", ..
        } => "`aptmerge package search` shows the keys that there are",
        StoreError::NotFound { what, .. } => {
            return Some(format!("`aptmerge {what} list` shows those that there are"));
        }
        StoreError::Needed { .. } => {
            "`--force` drops it all the same; the snapshots that were made of it stay as they are"
        }
        StoreError::Query { .. } => "docs/repositories.md shows queries",
        StoreError::Damaged(_) => {
            "`aptmerge store check` says what is wrong; restore the database from a backup"
        }
        StoreError::Newer { .. } => "a newer aptmerge wrote it: run that version, or a later one",
        StoreError::Network { .. } | StoreError::NoSharedMemory => {
            "put the root on a file system of this machine"
        }
        _ => return None,
    };
    Some(hint.to_owned())
}

pub(super) fn refusal(_: &Refusal) -> Option<String> {
    Some(
        "give the package another version; or `--replace` puts it in the place of the other".into(),
    )
}
