//! The attempts, as `status` tells of them.

use std::collections::BTreeMap;

use aptmerge::config::Config;
use aptmerge::error::Result;
use aptmerge::run::{Attempt, Attempts, Ended, Failure};
use aptmerge::workspace::View;
use serde::Serialize;

use crate::cli::exit;

/// The state of an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
enum State {
    Ended,
    UnderWay,
    /// The attempt has no end, and nobody is at work.
    Killed,
}

/// An attempt, with its state.
#[derive(Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) struct AttemptStatus {
    state: State,
    #[serde(flatten)]
    attempt: Attempt,
}

/// Reads the attempts. Without the lock, one may end at any moment: so one that has no end, while nobody holds the lock, counts as killed
/// only if it still has none when it is looked at again.
pub(super) fn attempts(view: &View, config: &Config) -> Result<BTreeMap<String, AttemptStatus>> {
    let read = || {
        view.read_state::<Attempts>(Attempts::NAME)
            .map(Option::unwrap_or_default)
    };
    let mut attempts = read()?;
    let is_held = aptmerge::lock::holder(&config.lock).is_some();
    let mut before = BTreeMap::new();
    if !is_held {
        before = std::mem::replace(&mut attempts, read()?).attempts;
    }
    let state = |verb: &String, attempt: &Attempt| match attempt.ended {
        Some(_) => State::Ended,
        None if before.get(verb).is_some_and(|before| before == attempt) => State::Killed,
        None => State::UnderWay,
    };
    let attempts = attempts.attempts.into_iter();
    let attempts = attempts.map(|(verb, attempt)| {
        let state = state(&verb, &attempt);
        (verb, AttemptStatus { state, attempt })
    });
    Ok(attempts.collect())
}

impl AttemptStatus {
    /// Returns the end that counts; none if the attempt, or the one before the one under way, was killed, or if there was none.
    fn end(&self) -> Option<&Ended> {
        match self.state {
            State::UnderWay => self.attempt.before.as_ref(),
            _ => self.attempt.ended.as_ref(),
        }
    }

    /// Returns the exit code by which monitoring learns how it went.
    pub(super) fn exit_code(&self) -> u8 {
        let is_first = self.state == State::UnderWay && self.attempt.failures == 0;
        match self.end() {
            Some(end) => end.exit_code,
            None if is_first => 0,
            None => exit::FAILED,
        }
    }

    /// Returns what is to be said of the attempt; nothing if it went well.
    pub(super) fn in_words(&self, verb: &str) -> Vec<String> {
        let mut lines = Vec::new();
        let begun = self.attempt.begun;
        match self.state {
            State::UnderWay => lines.push(format!("`{verb}` is at work since {begun}")),
            State::Killed => lines.push(format!(
                "the last `{verb}`, begun {begun}, was killed, or the machine stopped"
            )),
            State::Ended => {}
        }
        if let Some(end) = self.end().filter(|end| end.exit_code != 0) {
            let which = match self.state {
                State::UnderWay => "the one before",
                _ => "the last",
            };
            let (code, time) = (end.exit_code, end.time);
            lines.push(format!("{which} `{verb}` ended {time} with exit {code}"));
            lines.extend(end.error.iter().flat_map(words));
        }
        if let Some(since) = self.attempt.failing_since {
            let well = match self.attempt.succeeded {
                Some(time) => format!("none since {time}"),
                None => "none ever".to_owned(),
            };
            let times = self.attempt.failures;
            lines.push(format!(
                "  so it goes since {since} ({times} times); with exit 0 ended {well}"
            ));
        }
        lines
    }
}

fn words(failure: &Failure) -> Vec<String> {
    let causes = failure.causes.iter().map(|cause| format!(": {cause}"));
    let mut lines = vec![format!(
        "  {}{}",
        failure.message,
        causes.collect::<String>()
    )];
    lines.extend(failure.hints.iter().map(|hint| format!("  hint: {hint}")));
    lines
}
