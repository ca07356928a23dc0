//! The reasons why a suite or a generation cannot be published.

use std::path::PathBuf;

use jiff::Timestamp;

use crate::deb822::identity::LongField;
use crate::error::{DomainError, ErrorKind};
use crate::openpgp;
use crate::quoted::quoted;
use crate::units::Percent;

/// The reason why a suite or a generation cannot be published.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PublishError {
    /// A guard refused.
    #[error("suite `{suite}`: {guard}")]
    Guard {
        /// The merged suite.
        suite: String,
        /// The change that the guard refused.
        guard: Guard,
    },
    /// An archive's Valid-Until has passed, and with it that of the suite.
    #[error(
        "suite `{suite}`: it is not signed anew, since the Release of suite `{upstream}` of archive `{archive}` counts until {until} only, and nothing newer was fetched"
    )]
    Lapsed {
        /// The merged suite.
        suite: String,
        /// The archive's suite.
        upstream: String,
        /// The archive.
        archive: String,
        /// The time until which the archive's Release counted.
        until: Timestamp,
    },
    /// A step panicked, which no step may do.
    #[error("suite `{suite}` cannot be made, which is a fault of aptmerge: {why}")]
    Panicked {
        /// The merged suite.
        suite: String,
        /// The message of the panic.
        why: String,
    },
    /// The suite cannot be signed.
    #[error("suite `{suite}` cannot be signed")]
    Signing {
        /// The merged suite.
        suite: String,
        /// Why.
        source: openpgp::Error,
    },
    /// A Release that was fetched cannot be taken over.
    #[error("the Release of suite `{suite}` of archive `{archive}` cannot be taken over")]
    Inherited {
        /// The archive.
        archive: String,
        /// Its suite.
        suite: String,
        /// Why.
        source: LongField,
    },
    /// A tree does not hold together.
    #[error("{tree} does not hold: {}", .problems.join("; "))]
    Check {
        /// The tree.
        tree: PathBuf,
        /// The faults, each with its file.
        problems: Vec<String>,
    },
    /// A file that is to be carried on is not there.
    #[error("{tree} does not hold: {path} is not there as its Release lists it")]
    NotThere {
        /// The published directory of the suite.
        tree: PathBuf,
        /// The file, below that directory.
        path: String,
    },
    /// Something other than the link stands in the link's place.
    #[error("{path} is not the link that aptmerge keeps: {found}")]
    ForeignLink {
        /// The path where the link belongs.
        path: PathBuf,
        /// A description of the thing that is there.
        found: String,
    },
    /// A published package has other content than the store has for its path.
    #[error("{} has other content than {}, which is to be published there: a published path keeps its content. Find out who changed it; if no client can have got it, remove it and run again", place.display(), file.display())]
    OtherContent {
        /// The published file.
        place: PathBuf,
        /// The file of the store.
        file: PathBuf,
    },
    /// The link leads to a tree that was lost, and the other tree was half synced.
    #[error("{link} leads to {tree}, which is not whole ({lacks}), and neither is production", tree = tree.display(), link = link.display())]
    NotWhole {
        /// The tree.
        tree: PathBuf,
        /// The thing that is missing.
        lacks: String,
        /// The link.
        link: PathBuf,
    },
}

/// A suite that clients refuse, or soon will, since an archive's Valid-Until ends: not a failure, but something to warn of.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("suite `{suite}`: the Release of suite `{upstream}` of archive `{archive}` counts until {until}; the merged suite {}", match .is_over {
    true => "is not signed any more, and clients refuse it once its Valid-Until has passed",
    false => "is refused by clients from then on, unless a newer one is fetched before",
})]
pub struct Ending {
    /// The merged suite.
    pub suite: String,
    /// The archive's suite.
    pub upstream: String,
    /// The archive.
    pub archive: String,
    /// The time until which the archive's Release counts.
    pub until: Timestamp,
    /// `true` if that time has come.
    pub is_over: bool,
}

impl DomainError for Ending {
    fn kind(&self) -> ErrorKind {
        ErrorKind::Upstream
    }
}

/// A change of a suite that is refused unless it is allowed.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Guard {
    /// The suite would lose many packages.
    Shrink {
        /// The number of packages that are published.
        before: u64,
        /// The number of packages that would be published.
        after: u64,
        /// The bound, `guards.max-shrink`.
        bound: Percent,
        /// The archives that have fewer packages than before, each with the number.
        losses: Vec<(String, usize)>,
    },
    /// The Date of the Release would not grow.
    Date {
        /// The new Date.
        new: Timestamp,
        /// The Date that is published.
        published: Timestamp,
    },
    /// A field would change that clients know the suite by.
    Identity {
        /// The field.
        field: &'static str,
        /// Its published value.
        from: String,
        /// Its new value.
        to: String,
    },
}

impl std::fmt::Display for Guard {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Guard::Shrink {
                before,
                after,
                bound,
                losses,
            } => {
                let losses: Vec<_> = losses
                    .iter()
                    .map(|(archive, fewer)| format!("{fewer} fewer of {archive}"))
                    .collect();
                let losses = match losses.is_empty() {
                    true => String::new(),
                    false => format!(" ({})", losses.join(", ")),
                };
                write!(
                    f,
                    "it would shrink from {before} packages to {after}{losses}, by more than guards.max-shrink = \"{bound}\""
                )
            }
            Guard::Date { new, published } => write!(
                f,
                "its new Date {new} would not be later than the published {published}, so clients would keep what they have"
            ),
            Guard::Identity { field, from, to } => write!(
                f,
                "its {field} would change from `{}` to `{}`, and apt clients would refuse it until a person agrees",
                quoted(from),
                quoted(to)
            ),
        }
    }
}

impl PublishError {
    /// Returns whether the message names the suite by itself.
    pub(super) fn names_suite(&self) -> bool {
        matches!(
            self,
            PublishError::Guard { .. }
                | PublishError::Signing { .. }
                | PublishError::Lapsed { .. }
                | PublishError::Panicked { .. }
        )
    }
}

impl DomainError for PublishError {
    fn kind(&self) -> ErrorKind {
        match self {
            PublishError::Guard { .. } => ErrorKind::Refused,
            PublishError::Lapsed { .. } | PublishError::Inherited { .. } => ErrorKind::Upstream,
            PublishError::Panicked { .. } => ErrorKind::Internal,
            PublishError::Signing { .. } => ErrorKind::Signing,
            PublishError::Check { .. } => ErrorKind::Check,
            PublishError::NotThere { .. }
            | PublishError::ForeignLink { .. }
            | PublishError::OtherContent { .. }
            | PublishError::NotWhole { .. } => ErrorKind::Damaged,
        }
    }
}
