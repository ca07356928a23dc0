//! Queries: the language in which packages are chosen, as aptly has it.
//!
//! ```text
//! query := and ['|' query]        and := not [',' and]        not := '!' not | '(' query ')' | term
//! term  := field [cond] | name [cond] ['{' architecture '}'] | name_version_architecture
//! cond  := '(' [op] value ')'     op := << < <= = >= > >> % ~
//! ```
//!
//! `<` is `<=`, `>` is `>=`, and no operator is `=`. `%` is a pattern of a shell, `~` a regular expression. A word is a field if it begins with
//! `$`, or with an upper-case letter and has no `_`; any other word is the name of a package. A name is what a package is called or what it
//! provides. A field without a condition is true where the field is not empty; `=` and its like compare fields as versions.
//!
//! A word ends at a blank and at `( ) | , ! { }`. In aptly the opening parenthesis does not end one, so that `name(>= 1)` is refused there.

mod lexer;
mod parser;
mod pattern;
mod subject;
mod terms;

use terms::Term;

pub use subject::Subject;

/// The deepest nesting of a query.
const MAX_DEPTH: usize = 100;

/// A query that was read.
#[derive(Debug)]
pub struct Query(Expression);

/// The reason why a text is no query, in the words that clients of aptly compare.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct QueryError(String);

#[derive(Debug)]
enum Expression {
    Or(Vec<Expression>),
    And(Vec<Expression>),
    Not(Box<Expression>),
    Term(Term),
}

impl Query {
    /// Reads a query.
    pub fn parse(text: &str) -> Result<Self, QueryError> {
        parser::parse(text).map(Self)
    }

    /// Returns whether a package is meant.
    pub fn matches(&self, subject: &dyn Subject) -> bool {
        self.0.matches(subject)
    }
}

impl Expression {
    fn matches(&self, subject: &dyn Subject) -> bool {
        match self {
            Self::Or(any) => any.iter().any(|one| one.matches(subject)),
            Self::And(all) => all.iter().all(|one| one.matches(subject)),
            Self::Not(one) => !one.matches(subject),
            Self::Term(term) => term.matches(subject),
        }
    }
}

#[cfg(test)]
mod tests;
