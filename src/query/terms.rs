//! The terms of a query, and which packages they mean.

use std::borrow::Cow;
use std::cmp::Ordering;

use regex::{Regex, RegexBuilder};

use crate::deb822::{Name, alternatives, compare_versions};

use super::{QueryError, Subject, pattern};

/// The most memory that a compiled regular expression may take.
const MAX_REGEX_BYTES: usize = 1 << 20;

/// A term.
#[derive(Debug)]
pub(super) enum Term {
    /// A field, and what it has to be.
    Field {
        name: String,
        condition: Option<Condition>,
    },
    /// A name that a package has or provides.
    Package {
        name: String,
        condition: Option<Condition>,
        architecture: Option<String>,
    },
    /// One package.
    Exact {
        name: String,
        version: String,
        architecture: String,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Operator {
    Less,
    LessOrEqual,
    Equal,
    GreaterOrEqual,
    Greater,
    Pattern,
    Regex,
}

impl Operator {
    /// Returns the operator that a sign stands for.
    pub(super) fn of(sign: &str) -> Option<Self> {
        Some(match sign {
            "<<" => Self::Less,
            "<" | "<=" => Self::LessOrEqual,
            "=" => Self::Equal,
            ">" | ">=" => Self::GreaterOrEqual,
            ">>" => Self::Greater,
            "%" => Self::Pattern,
            "~" => Self::Regex,
            _ => return None,
        })
    }
}

/// A condition on a value.
#[derive(Debug)]
pub(super) struct Condition {
    operator: Operator,
    value: String,
    /// The regular expression of a pattern or of a regular expression.
    regex: Option<Regex>,
}

impl Condition {
    /// Returns a condition; an error if its pattern cannot be read.
    pub(super) fn new(operator: Operator, value: String) -> Result<Self, QueryError> {
        let regex = match operator {
            Operator::Pattern => Some(compiled(&pattern::as_regex(&value)?)?),
            Operator::Regex => Some(compiled(&value)?),
            _ => None,
        };
        Ok(Self {
            operator,
            value,
            regex,
        })
    }

    /// Returns whether a value fulfils the condition. Patterns have to match as a whole, regular expressions somewhere.
    fn holds(&self, value: &str) -> bool {
        if let Some(regex) = &self.regex {
            return regex.is_match(value);
        }
        let order = compare_versions(value.as_bytes(), self.value.as_bytes());
        match self.operator {
            Operator::Less => order == Ordering::Less,
            Operator::LessOrEqual => order != Ordering::Greater,
            Operator::Equal => order == Ordering::Equal,
            Operator::GreaterOrEqual => order != Ordering::Less,
            Operator::Greater => order == Ordering::Greater,
            Operator::Pattern | Operator::Regex => false,
        }
    }
}

fn compiled(regex: &str) -> Result<Regex, QueryError> {
    let regex = RegexBuilder::new(regex).size_limit(MAX_REGEX_BYTES).build();
    regex.map_err(|error| QueryError(format!("regexp compile failed: {error}")))
}

impl Term {
    pub(super) fn matches(&self, subject: &dyn Subject) -> bool {
        match self {
            Self::Exact {
                name,
                version,
                architecture,
            } => {
                subject.name() == name
                    && subject.version() == version
                    && subject.architecture() == architecture
            }
            Self::Package {
                name,
                condition,
                architecture,
            } => {
                let is_of = architecture.as_deref().is_none_or(|a| is_of(subject, a));
                is_of && is_called(subject, name, condition.as_ref())
            }
            Self::Field { name, condition } => match (field(subject, name), condition) {
                (_, Some(condition)) if name == "$Architecture" => match condition.operator {
                    Operator::Equal => is_of(subject, &condition.value),
                    _ => condition.holds(subject.architecture()),
                },
                (Some(value), Some(condition)) => condition.holds(&value),
                (None, Some(condition)) => condition.holds(""),
                (value, None) => value.is_some_and(|value| !value.is_empty()),
            },
        }
    }
}

/// Returns whether a package is for an architecture: one for `all` is for each of them, but no source.
fn is_of(subject: &dyn Subject, architecture: &str) -> bool {
    let own = subject.architecture();
    own == architecture || (own == "all" && architecture != "source")
}

/// Returns whether a package has a name, or provides it, in a version that is meant.
fn is_called(subject: &dyn Subject, name: &str, condition: Option<&Condition>) -> bool {
    let holds = |version: &str| condition.is_none_or(|condition| condition.holds(version));
    if subject.name() == name && holds(subject.version()) {
        return true;
    }
    let provides = subject.provides().as_bytes();
    let mut provided = alternatives(provides).flatten();
    provided.any(|alternative| {
        if alternative.name != Name::from(name) {
            return false;
        }
        match alternative.version() {
            Some((_, version)) => holds(&String::from_utf8_lossy(version)),
            None => condition.is_none(),
        }
    })
}

/// Returns the value of a field, of the stanza or one of those that queries have besides.
fn field<'s>(subject: &'s dyn Subject, name: &str) -> Option<Cow<'s, str>> {
    let is_source = subject.kind() == "source";
    let (source, source_version) = subject.source();
    Some(Cow::Borrowed(match name {
        "Name" => subject.name(),
        "Version" | "$Version" => subject.version(),
        "$Architecture" => subject.architecture(),
        "Architecture" if !is_source => subject.architecture(),
        "$PackageType" => subject.kind(),
        "$Source" if is_source => "",
        "$Source" => source,
        "$SourceVersion" if is_source => "",
        "$SourceVersion" => source_version,
        name => return subject.field(name),
    }))
}
