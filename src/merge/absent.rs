//! Components and architectures of a suite that none of its archives has: a name that is mistyped would publish an empty index.

use std::collections::BTreeSet;

use crate::indices::IndexName;
use crate::spec::{Content, Family, InputSpec};

use super::input::{Input, Offers};

impl Offers {
    /// Adds the component and the architecture of an index of packages.
    pub(crate) fn add(&mut self, name: &IndexName) {
        if name.is_optional() {
            return;
        }
        self.components
            .extend(name.component().map(ToString::to_string));
        if name.family() != Family::Sources {
            self.architectures.insert(name.architecture().to_owned());
        }
    }

    /// Returns whether an input has packages of an architecture, or else only packages for all architectures.
    fn has(&self, architecture: &str) -> bool {
        let has = |architecture: &str| self.architectures.contains(architecture);
        has(architecture) || (has("all") && self.architectures.len() == 1)
    }
}

/// Returns a sentence for each component and architecture that a suite has, or takes from one of its inputs by name, and that is not there.
pub fn absent(content: &Content, inputs: &[Box<dyn Input + '_>]) -> BTreeSet<String> {
    let offers = inputs.iter().map(|input| &input.facts().offers);
    let inputs: Vec<(&InputSpec, &Offers)> = content.inputs.iter().zip(offers).collect();
    let has_component = |(settings, offers): &(&InputSpec, &Offers), ours| {
        let mut theirs = settings.theirs(ours).into_iter();
        theirs.any(|theirs| offers.components.contains(theirs.as_str()))
    };
    let has = |(settings, offers): &(&InputSpec, &Offers), architecture: &str| {
        settings.takes_all_for(architecture) && offers.has(architecture)
    };
    let mut told = BTreeSet::new();
    for component in &content.components {
        if !inputs.iter().any(|input| has_component(input, component)) {
            told.insert(format!(
                "no archive of it has the component `{component}`, so that one is published empty"
            ));
        }
    }
    let name_spaces = content.name_spaces().into_iter();
    for architecture in name_spaces.filter(|a| !a.is_all()) {
        if !inputs.iter().any(|input| has(input, architecture.as_str())) {
            told.insert(format!(
                "no archive of it has the architecture `{architecture}`, so that one has no packages of its own"
            ));
        }
    }
    for (settings, offers) in inputs {
        let InputSpec { archive, suite, .. } = settings;
        let named = settings.components.iter().flat_map(|map| map.pairs());
        for (theirs, _) in named.filter(|(_, ours)| content.components.contains(ours)) {
            if !offers.components.contains(theirs.as_str()) {
                told.insert(format!(
                    "`{suite}` of archive `{archive}` has no component `{theirs}`, which archives.{archive}.components names"
                ));
            }
        }
        let named = settings.architectures.iter().flatten();
        for architecture in named.filter(|a| !a.is_all() && content.architectures.contains(a)) {
            if !offers.has(architecture.as_str()) {
                told.insert(format!(
                    "`{suite}` of archive `{archive}` has no architecture `{architecture}`, which archives.{archive}.architectures names"
                ));
            }
        }
    }
    told
}
