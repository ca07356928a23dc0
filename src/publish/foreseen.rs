//! A generation as a run would publish it, for whoever wants to know beforehand. Nothing is written.
//!
//! Suites are refused here by the functions that refuse them in a run ([`super::suite`]), so both come to the same verdict. Only faults
//! that come up as files are written, or when they are read back, cannot be foreseen.

use std::collections::{BTreeMap, BTreeSet};

use crate::cache::Cache;
use crate::difference::Difference;
use crate::error::Result;
use crate::workspace::Workspace;

use super::plan::{Action, Plan};
use super::refused::{Refused, for_suite};
use super::stage::StageOptions;

/// A generation as a run would publish it.
#[derive(Debug)]
pub struct Foreseen {
    /// The number that the generation would have.
    pub number: u64,
    /// The changes in each suite that would be made anew.
    pub differences: BTreeMap<String, Difference>,
    /// The suites that would no longer be published.
    pub removed: Vec<String>,
    /// `true` if aliases or links to pools would change.
    pub links_changed: bool,
    /// The suites that would stay as they are published.
    pub refused: Vec<Refused>,
}

impl Plan<'_> {
    /// Returns what the planned generation would change in each suite that would be made anew, as the run will record it, and the
    /// suites that would be refused. Fails if the run would: if it would refuse suites and change nothing else. Writes nothing.
    pub fn compare(
        &self,
        workspace: &Workspace<'_>,
        options: StageOptions<'_>,
    ) -> Result<Foreseen> {
        let layout = workspace.layout();
        let cache = Cache::read_only(&layout.cache());
        let (mut differences, mut refused) = (BTreeMap::new(), Vec::new());
        let mut there: BTreeSet<&str> = BTreeSet::new();
        for suite in &self.suites {
            let name = suite.name.as_str();
            if suite.record.is_some() {
                there.insert(name);
            }
            if matches!(suite.action, Action::Keep) {
                continue;
            }
            options.cancel.check()?;
            let stage = self.suite_stage(suite, layout, &cache, options.allow, options.cancel);
            match for_suite(suite.name, || stage.compare(options.signer)) {
                Ok(difference) => {
                    there.insert(name);
                    differences.insert(name.to_owned(), difference);
                }
                Err(why) if why.is_of_the_machine() => return Err(why),
                Err(why) => refused.push(Refused {
                    suite: suite.name.clone(),
                    why,
                }),
            }
        }
        let has_changed = !differences.is_empty();
        self.tell_refused(&mut refused, has_changed, &there, 0, options.listener)?;
        Ok(Foreseen {
            number: self.published.number.saturating_add(1),
            differences,
            removed: self.removed.iter().map(ToString::to_string).collect(),
            links_changed: self.links_changed,
            refused,
        })
    }
}
