//! The attempts: how the last call of each verb went that takes the lock, and since when none ended well.
//!
//! An attempt is on record before anything else is done under the lock, and its end when all else is done. So one that was killed, or that
//! panicked, is one without an end that nobody is at work on. What fails before the state can be read (a configuration that cannot be
//! used, a lock that is held) leaves no record.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::error::Result;
use crate::workspace::{Record, Workspace, is_damaged};

/// The verb that does what all others do: once it has ended well, what became of the others no longer matters.
const WHOLE: &str = "run";

/// The last attempt of each verb.
#[derive(Debug, Default, Clone, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Attempts {
    /// The attempts, by verb.
    pub attempts: BTreeMap<String, Attempt>,
}

impl Record for Attempts {
    const FORMAT: u64 = 1;
}

/// The last attempt of a verb.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Attempt {
    /// The time when the attempt began.
    pub begun: Timestamp,
    /// The end of the attempt; `None` while it is under way, and if it was killed.
    pub ended: Option<Ended>,
    /// The end of the attempt before; `None` if there was none, or if it was killed.
    pub before: Option<Ended>,
    /// The time when an attempt last ended with 0.
    pub succeeded: Option<Timestamp>,
    /// The time when the first attempt began of those since then.
    pub failing_since: Option<Timestamp>,
    /// The number of attempts since then that have ended, or were killed.
    pub failures: u64,
}

/// The end of an attempt.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Ended {
    /// The time.
    pub time: Timestamp,
    /// The exit code.
    pub exit_code: u8,
    /// The error, if it failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<Failure>,
}

/// The error of an attempt, with all that an operator needs to know.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Failure {
    /// The name of the kind of the error.
    pub kind: String,
    /// The message.
    pub message: String,
    /// The causes.
    pub causes: Vec<String>,
    /// The things that an operator can do.
    pub hints: Vec<String>,
}

impl Attempts {
    /// The name of the record, below the directory of the state.
    pub const NAME: &str = "attempts.json";

    /// Puts on record that an attempt begins.
    pub fn begin(workspace: &Workspace<'_>, verb: &str, now: Timestamp) -> Result<()> {
        let mut record = Attempts::read(workspace)?;
        let last = record.attempts.remove(verb);
        let mut next = Attempt {
            begun: now,
            ended: None,
            before: None,
            succeeded: None,
            failing_since: None,
            failures: 0,
        };
        if let Some(last) = last {
            let was_killed = last.ended.is_none();
            next.succeeded = last.succeeded;
            next.failures = last.failures.saturating_add(u64::from(was_killed));
            let since = was_killed.then_some(last.begun);
            next.failing_since = last.failing_since.or(since);
            next.before = last.ended;
        }
        record.attempts.insert(verb.to_owned(), next);
        workspace.write_small_state(Attempts::NAME, &record)
    }

    /// Puts on record how the attempt ended that began last.
    pub fn end(workspace: &Workspace<'_>, verb: &str, ended: Ended) -> Result<()> {
        let mut record = Attempts::read(workspace)?;
        let is_well = ended.exit_code == 0;
        if is_well && verb == WHOLE {
            record.attempts.retain(|other, _| other == verb);
        }
        if let Some(attempt) = record.attempts.get_mut(verb) {
            match is_well {
                true => {
                    attempt.succeeded = Some(ended.time);
                    (attempt.failing_since, attempt.failures) = (None, 0);
                }
                false => {
                    attempt.failing_since.get_or_insert(attempt.begun);
                    attempt.failures = attempt.failures.saturating_add(1);
                }
            }
            attempt.ended = Some(ended);
        }
        workspace.write_small_state(Attempts::NAME, &record)
    }

    fn read(workspace: &Workspace<'_>) -> Result<Attempts> {
        match workspace.read_state(Attempts::NAME) {
            Err(error) if is_damaged(&error) => Ok(Attempts::default()),
            read => Ok(read?.unwrap_or_default()),
        }
    }
}
