//! Packages as queries see them.

use std::borrow::Cow;

/// A package that a query is asked about.
pub trait Subject {
    /// Returns the name.
    fn name(&self) -> &str;

    /// Returns the version.
    fn version(&self) -> &str;

    /// Returns the architecture; `source` for sources.
    fn architecture(&self) -> &str;

    /// Returns the kind: `deb`, `udeb` or `source`.
    fn kind(&self) -> &str;

    /// Returns the name and version of the source that a binary package is built from.
    fn source(&self) -> (&str, &str);

    /// Returns the field `Provides`.
    fn provides(&self) -> &str;

    /// Returns a field of the stanza, in whatever case its name is written.
    fn field(&self, name: &str) -> Option<Cow<'_, str>>;
}
