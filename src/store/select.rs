//! Choosing packages of lists by queries.

use std::borrow::Cow;
use std::cell::{OnceCell, RefCell};

use rusqlite::Connection;

use crate::deb822::{Stanza, eq_name};
use crate::query::{Query, Subject};

use super::error::StoreError;
use super::head::{self, Head};
use super::list::List;
use super::package;

/// Reads a query.
pub(super) fn parse(text: &str) -> Result<Query, StoreError> {
    Query::parse(text).map_err(|error| StoreError::Query {
        query: text.to_owned(),
        why: error.to_string(),
    })
}

/// Returns the packages of a list, by name, version and architecture.
pub(super) fn all(db: &Connection, list: i64) -> Result<Vec<Head>, StoreError> {
    let list = List::load(db, list)?;
    let mut heads = head::load_all(db, &list.all(db)?)?;
    heads.sort_by(Head::order);
    Ok(heads)
}

/// Returns those of some packages that a query means.
pub(super) fn matching(
    db: &Connection,
    heads: Vec<Head>,
    query: &Query,
) -> Result<Vec<Head>, StoreError> {
    let failed = RefCell::new(None);
    let is_meant = |head: &Head| {
        let subject = Selectable {
            db,
            head,
            stanza: OnceCell::new(),
            failed: &failed,
        };
        query.matches(&subject)
    };
    let chosen = heads.into_iter().filter(is_meant).collect();
    match failed.take() {
        None => Ok(chosen),
        Some(error) => Err(error),
    }
}

/// A package of the store as queries see it. The stanza is read when a field is asked for that the tables do not have.
struct Selectable<'s> {
    db: &'s Connection,
    head: &'s Head,
    stanza: OnceCell<Vec<u8>>,
    failed: &'s RefCell<Option<StoreError>>,
}

impl Selectable<'_> {
    fn stanza(&self) -> &[u8] {
        self.stanza
            .get_or_init(|| match package::stanza(self.db, self.head.id) {
                Ok(stanza) => stanza.unwrap_or_default(),
                Err(error) => {
                    self.failed.replace(Some(error));
                    Vec::new()
                }
            })
    }
}

impl Subject for Selectable<'_> {
    fn name(&self) -> &str {
        &self.head.key.name
    }

    fn version(&self) -> &str {
        &self.head.key.version
    }

    fn architecture(&self) -> &str {
        &self.head.key.architecture
    }

    fn kind(&self) -> &str {
        self.head.kind.as_str()
    }

    fn source(&self) -> (&str, &str) {
        (&self.head.source, &self.head.source_version)
    }

    fn provides(&self) -> &str {
        &self.head.provides
    }

    fn field(&self, name: &str) -> Option<Cow<'_, str>> {
        field(self.stanza(), name).map(String::from_utf8_lossy)
    }
}

/// Returns a field of a stanza.
pub(super) fn field<'s>(stanza: &'s [u8], name: &str) -> Option<&'s [u8]> {
    let fields = Stanza {
        raw: stanza,
        offset: 0,
    };
    let mut fields = fields.fields().flatten();
    fields
        .find(|field| eq_name(field.name, name))
        .map(|field| field.value)
}
