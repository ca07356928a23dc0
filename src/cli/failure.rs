//! A failure as people and programs read it.
//!
//! With `--json`, everything on stderr is a line of JSON, as of restic and borg: stdout holds the answer alone, or nothing.

use aptmerge::config::{ConfigError, Problem};
use aptmerge::error::Error;
use clap::error::{ContextKind, ContextValue, ErrorKind as ClapKind};
use serde::Serialize;

use super::exit;
use super::hint;

/// The reason why a command failed, with all that an operator needs to know.
#[derive(Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) struct Failure {
    /// The kind of the error; see [`aptmerge::error::ErrorKind`].
    pub(super) kind: &'static str,
    pub(super) message: String,
    pub(super) causes: Vec<String>,
    pub(super) hints: Vec<String>,
    /// The faults of a configuration that cannot be used.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    problems: Vec<Problem>,
    pub(super) exit_code: u8,
}

impl Failure {
    /// Returns the failure that an error is.
    pub(super) fn of(error: &Error) -> Failure {
        let mut causes = Vec::new();
        let mut source = std::error::Error::source(error);
        while let Some(cause) = source {
            causes.push(cause.to_string());
            source = cause.source();
        }
        Failure {
            kind: error.kind().name(),
            message: error.to_string(),
            causes,
            hints: hint::of(error).into_iter().collect(),
            problems: problems(error),
            exit_code: exit::of(error),
        }
    }

    /// Returns the failure of a command line that makes no sense.
    pub(super) fn of_usage(error: &clap::Error) -> Failure {
        let text = error.render().to_string();
        let first = match error.kind() {
            // Then clap has the help in place of an error.
            ClapKind::DisplayHelpOnMissingArgumentOrSubcommand => "no verb is given",
            _ => text.split("\n\n").next().unwrap_or_default(),
        };
        let tips = [
            ContextKind::SuggestedArg,
            ContextKind::SuggestedSubcommand,
            ContextKind::SuggestedValue,
        ];
        let tips = tips.into_iter().filter_map(|kind| error.get(kind));
        let nearest = tips.flat_map(|value| match value {
            ContextValue::String(one) => vec![one.clone()],
            ContextValue::Strings(several) => several.clone(),
            _ => Vec::new(),
        });
        Failure {
            kind: aptmerge::error::ErrorKind::Usage.name(),
            message: first.trim_start_matches("error: ").trim().to_owned(),
            causes: Vec::new(),
            hints: nearest
                .map(|name| format!("did you mean `{name}`?"))
                .collect(),
            problems: Vec::new(),
            exit_code: exit::USAGE,
        }
    }

    /// Returns the failure as it stays on record.
    pub(super) fn recorded(self) -> aptmerge::run::Failure {
        aptmerge::run::Failure {
            kind: self.kind.to_owned(),
            message: self.message,
            causes: self.causes,
            hints: self.hints,
        }
    }

    /// Returns the failure in words, over some lines.
    pub(super) fn in_words(&self) -> String {
        let mut text = format!("error: {}", self.message);
        for cause in &self.causes {
            text.push_str(&format!("\n  caused by: {cause}"));
        }
        for hint in &self.hints {
            text.push_str(&format!("\n  hint: {hint}"));
        }
        text
    }
}

/// Returns a fault that has no line of its own.
pub(super) fn about(key: impl Into<String>, message: impl Into<String>) -> Problem {
    Problem {
        line: 0,
        column: 0,
        key: key.into(),
        message: message.into(),
        hint: None,
    }
}

/// Returns such a fault with what can be done about it.
pub(super) fn advised(key: impl Into<String>, message: impl Into<String>, hint: &str) -> Problem {
    Problem {
        hint: Some(hint.to_owned()),
        ..about(key, message)
    }
}

/// Returns a fault in words.
pub(super) fn in_words(problem: &Problem) -> String {
    let hint = problem.hint.as_ref();
    let hint = hint.map_or_else(String::new, |hint| format!("\n  hint: {hint}"));
    format!("{}: {}{hint}", problem.key, problem.message)
}

/// Returns the faults of the configuration that an error tells of.
pub(super) fn problems(error: &Error) -> Vec<Problem> {
    match error.downcast_ref() {
        Some(ConfigError::Invalid { problems, .. }) => problems.clone(),
        _ => Vec::new(),
    }
}
