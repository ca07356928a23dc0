//! Hints for targets that were not pushed to.

use aptmerge::push::{Ended, PushError, PushFault, Unpublished};

pub(super) fn hint(error: &PushError) -> Option<String> {
    let hint = match &error.fault {
        PushFault::OtherOwner { .. } => {
            "see whether the address is right and which site pushes there; if this one is to, `aptmerge push --take-over NAME`, with the name of this [[push]]"
        }
        PushFault::OtherSuites { .. } => {
            "see whether the address is right; if they may stand beside ours, and those of our names be replaced, `aptmerge push --take-over NAME`, with the name of this [[push]]"
        }
        PushFault::TooMuch => "see whether the address is right",
        PushFault::Silenced => {
            "take what silences rsync, and what leaves files out, out of `options` of this [[push]]; its `program` must pass on what rsync says"
        }
        PushFault::Transfer {
            ended: Ended::OutOfTime(_),
            ..
        } => "see why the target is slow, or raise `timeout` of this [[push]]",
        PushFault::Transfer {
            ended: Ended::Silent(_),
            ..
        } => {
            "see whether the target answers; `io-timeout` of this [[push]] is how long it may be silent"
        }
        _ => return None,
    };
    Some(hint.to_owned())
}

pub(super) fn unpublished(left: &Unpublished) -> Option<String> {
    Some(format!(
        "`aptmerge push --prune {}` deletes it",
        left.target
    ))
}
