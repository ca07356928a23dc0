//! Hints for what cannot be published.

use aptmerge::publish::{Ending, Guard, PublishError};
use aptmerge::workspace::PRODUCTION;

use super::openpgp;

pub(super) fn hint(error: &PublishError) -> Option<String> {
    Some(match error {
        PublishError::Guard { guard, .. } => {
            let flag = match guard {
                Guard::Shrink { .. } => "--allow-shrink",
                Guard::Date { .. } => "--allow-older-date",
                Guard::Identity { .. } => "--allow-identity-change",
                _ => return None,
            };
            format!("if that is meant, run once with {flag}")
        }
        PublishError::Lapsed { archive, .. } => format!(
            "if the archive has come to its end, set inherit-valid-until = false for archive `{archive}`, or take it out of `from`"
        ),
        PublishError::Panicked { .. } => {
            "please report it, with what is printed above; the suite's configuration and its archives show the way".into()
        }
        PublishError::Signing { source, .. } => return openpgp::hint(source),
        PublishError::NotThere { .. } => "run once with --rebuild".into(),
        PublishError::ForeignLink { .. } => {
            "if it leads to merged-production, make it relative (ln -sfn merged-production merged); else move it away, aptmerge makes the link by itself".into()
        }
        PublishError::NotWhole { link, .. } => format!(
            "restore it from a backup; or serve what is left of production (ln -sfn {PRODUCTION} {}) and make it whole (aptmerge run --rebuild)",
            link.display()
        ),
        _ => return None,
    })
}

pub(super) fn ending(ending: &Ending) -> Option<String> {
    let archive = &ending.archive;
    Some(format!(
        "inherit-valid-until = false for archive `{archive}` lets it go on"
    ))
}
