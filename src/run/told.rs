//! The warnings that were told lately: the same words every ten minutes bury those that are new.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use crate::error::Result;
use crate::workspace::{Record, Workspace, is_damaged};

/// The time after which a warning is told again.
const AGAIN_AFTER: SignedDuration = SignedDuration::from_hours(24);

/// The most warnings of a verb that are remembered; those beyond are told each time.
const MAX_REMEMBERED: usize = 1_000;

/// The record of the warnings of all verbs.
#[derive(Debug, Default, Serialize, Deserialize)]
struct AllTold {
    /// The warnings that were told, each with the time when it was told last, by verb.
    verbs: BTreeMap<String, BTreeMap<String, Timestamp>>,
}

impl Record for AllTold {
    const FORMAT: u64 = 1;
}

/// The name of the record, below the directory of the state.
const NAME: &str = "told.json";

/// The warnings of one attempt, and those of the attempts before it.
#[derive(Debug, Default)]
pub struct Told {
    verb: String,
    before: BTreeMap<String, Timestamp>,
    now: BTreeMap<String, Timestamp>,
    held_back: Vec<String>,
}

impl Told {
    /// Reads which warnings the attempts of a verb told before.
    pub fn before(workspace: &Workspace<'_>, verb: &str) -> Result<Told> {
        Ok(Told {
            verb: verb.to_owned(),
            before: read(workspace)?.verbs.remove(verb).unwrap_or_default(),
            ..Told::default()
        })
    }

    /// Returns whether a warning is to be told now, and remembers it; one that was told less than a day ago is held back.
    pub fn is_news(&mut self, warning: &str, now: Timestamp) -> bool {
        let told = self.now.get(warning).or(self.before.get(warning)).copied();
        let told = told.filter(|told| {
            let since = now.duration_since(*told);
            !since.is_negative() && since < AGAIN_AFTER
        });
        if self.now.len() < MAX_REMEMBERED {
            self.now.insert(warning.to_owned(), told.unwrap_or(now));
        }
        if told.is_some() {
            self.held_back.push(warning.to_owned());
        }
        told.is_none()
    }

    /// Returns the warnings that were held back.
    pub fn held_back(&mut self) -> Vec<String> {
        std::mem::take(&mut self.held_back)
    }

    /// Writes down what was told, so that a warning that is gone once is news when it comes again.
    pub fn remember(self, workspace: &Workspace<'_>) -> Result<()> {
        if self.now == self.before {
            return Ok(());
        }
        let mut all = read(workspace)?;
        all.verbs.insert(self.verb, self.now);
        workspace.write_state(NAME, &all)
    }
}

fn read(workspace: &Workspace<'_>) -> Result<AllTold> {
    match workspace.read_state(NAME) {
        Err(error) if is_damaged(&error) => Ok(AllTold::default()),
        read => Ok(read?.unwrap_or_default()),
    }
}
