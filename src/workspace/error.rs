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
}

impl DomainError for StateError {
    fn kind(&self) -> ErrorKind {
        match self {
            StateError::Damaged { .. } | StateError::Newer { .. } => ErrorKind::Damaged,
            StateError::Private { .. } => ErrorKind::Forbidden,
        }
    }

    fn is_of_the_machine(&self) -> bool {
        matches!(self, StateError::Newer { .. })
    }
}

/// Returns whether a record cannot be read because it is damaged: then the run goes on as if there were none.
pub(crate) fn is_damaged(error: &Error) -> bool {
    matches!(error.downcast_ref(), Some(StateError::Damaged { .. }))
}
