//! DEP-11: the components and icons of exactly the packages that were published.

use std::collections::BTreeSet;

use crate::error::Result;

use super::selection::Selected;
use super::suite::{Sink, SuiteMerge};

pub(super) fn merge(
    _merge: &SuiteMerge<'_>,
    _selected: &Selected,
    _sink: &dyn Sink,
) -> Result<BTreeSet<String>> {
    Ok(BTreeSet::new())
}
