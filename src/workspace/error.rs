//! The reasons why the recorded state cannot be used.

use std::path::PathBuf;

use crate::error::{DomainError, Error, ErrorKind};

/// The reason why a recorded state cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StateError {
    /// A record cannot be read.
    #[error("the recorded state {path} cannot be understood")]
    Damaged {
        /// The file.
        path: PathBuf,
        /// Why.
        source: serde_json::Error,
    },
    /// A newer aptmerge wrote a record.
    #[error(
        "the recorded state {path} is in format {format}, and this aptmerge knows formats up to {known}"
    )]
    Newer {
        /// The file.
        path: PathBuf,
        /// The number of the file's format.
        format: u64,
        /// The number of the newest format that this program reads.
        known: u64,
    },
    /// The state belongs to another user.
    #[error("{path} is for {} alone", .owner.as_ref().map_or("another user".to_owned(), |owner| format!("the user {owner}")))]
    Private {
        /// The directory of the state.
        path: PathBuf,
        /// The name of that user, or `#` and the number.
        owner: Option<String>,
    },
    /// The site belongs to another user, who could not go on with files of this one.
    #[error(
        "{root} belongs to the user {owner}, and files of {user} in it would stop that user's runs"
    )]
    Foreign {
        /// The root.
        root: PathBuf,
        /// The name of the owner, or `#` and the number.
        owner: String,
        /// The name of the user of this process.
        user: String,
    },
    /// A run by another user left its files in a site.
    #[error(
        "{path} belongs to the user {other}, and {root} to {owner}: a run by {other} has made it"
    )]
    Mixed {
        /// The root.
        root: PathBuf,
        /// The directory that another user made.
        path: PathBuf,
        /// The name of the owner of the root, or `#` and the number.
        owner: String,
        /// The name of the other user.
        other: String,
    },
}

impl DomainError for StateError {
    fn kind(&self) -> ErrorKind {
        match self {
            StateError::Damaged { .. } | StateError::Newer { .. } => ErrorKind::Damaged,
            StateError::Private { .. } | StateError::Foreign { .. } | StateError::Mixed { .. } => {
                ErrorKind::Forbidden
            }
        }
    }

    fn is_of_the_machine(&self) -> bool {
        !matches!(
            self,
            StateError::Damaged { .. } | StateError::Private { .. }
        )
    }
}

/// Returns whether a record cannot be read because it is damaged: then the run goes on as if there were none.
pub(crate) fn is_damaged(error: &Error) -> bool {
    matches!(error.downcast_ref(), Some(StateError::Damaged { .. }))
}
