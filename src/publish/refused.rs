//! One suite's failure keeps that suite as it is published, and no other.
//!
//! Why no archive ends a run for suites that are not made from it: a suite is planned, made and read back by itself, and any
//! error or panic there ends in a [`Refused`]. Its directory in volatile is then emptied and linked anew from
//! production, so the generation holds the suite as clients know it. A suite that was never published is left out, with its aliases.
//!
//! A failure of the machine ([`Error::is_of_the_machine`]: a disk that is full or fails, a call to stop) is not the fault of a
//! suite, and still ends the run. So does a generation in which nothing would change apart from refused suites.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::error::{DomainError, Error, ErrorKind, Result};
use crate::events::Listener;
use crate::names::SuiteName;

use super::error::PublishError;

/// A suite that stays as it is published, since a guard refused it or since it cannot be made.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{}", self.in_words())]
pub struct Refused {
    /// The suite.
    pub suite: SuiteName,
    /// The change that was refused, or the reason why the suite cannot be made.
    pub why: Error,
}

impl Refused {
    /// Returns the reason in words, with all its causes.
    pub fn in_words(&self) -> String {
        let why = crate::error::chain(&self.why);
        let error = self.why.downcast_ref::<PublishError>();
        match error.is_some_and(PublishError::names_suite) {
            true => why,
            false => format!("suite `{}`: {why}", self.suite),
        }
    }

    /// Warns that the suite stays as it is, and says why.
    pub(super) fn tell(&self, is_published: bool, listener: &dyn Listener) {
        let stays = match is_published {
            true => "it stays as it is published",
            false => "it is not published yet, and the others are without it",
        };
        listener.warn_of(format!("{}; {stays}", self.in_words()), self.clone());
    }
}

impl DomainError for Refused {
    fn kind(&self) -> ErrorKind {
        self.why.kind()
    }
}

/// Runs a step for one suite. A panic becomes an error of that suite.
///
/// The step shares only caches and counters with others, and these are valid at every moment; what the step was writing is thrown away.
pub(super) fn for_suite<T>(suite: &SuiteName, step: impl FnOnce() -> Result<T>) -> Result<T> {
    catch_unwind(AssertUnwindSafe(step)).unwrap_or_else(|panic| {
        Err(PublishError::Panicked {
            suite: suite.to_string(),
            why: words(&*panic),
        }
        .into())
    })
}

fn words(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().copied();
    let text = text.or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    crate::quoted::quoted(text.unwrap_or("it gave no reason"))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn a_panic_is_an_error_of_its_suite() {
        let suite = SuiteName::new("daedalus").unwrap();
        let items: Vec<u8> = Vec::new();
        let error = for_suite(&suite, || Ok(items[usize::from(suite.as_str() == "")])).unwrap_err();
        assert!(!error.is_of_the_machine());
        let text = Refused { suite, why: error }.in_words();
        assert!(
            text.starts_with("suite `daedalus` cannot be made"),
            "{text}"
        );
        assert!(text.contains("index out of bounds"), "{text}");
    }
}
