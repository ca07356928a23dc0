//! The packages, or the udebs, of one architecture: which indices hold them, and what is read of these.

use std::collections::BTreeSet;

use rayon::prelude::*;

use crate::config::{Architecture, Component, Family};
use crate::error::Result;
use crate::indices::IndexName;
use crate::quoted::quoted;

use super::entry::{Entry, Kind};
use super::input::SuiteMerge;
use super::load::{Loaded, Wanted, parse};
use super::rules::{Owners, Rules, lossy};

/// Returns the name of an index of binaries.
pub(super) fn binary_name(
    family: Family,
    component: Component,
    architecture: Architecture,
) -> IndexName {
    match family {
        Family::Installer => IndexName::Installer(component, architecture),
        _ => IndexName::Packages(component, architecture),
    }
}

/// Returns the name of a group of binaries, as reports have it.
pub(super) fn group_name(family: Family, architecture: &str) -> String {
    match family {
        Family::Installer => format!("installer-{architecture}"),
        _ => architecture.to_owned(),
    }
}

/// The packages, or the udebs, of one architecture.
#[derive(Clone, Copy)]
pub(super) struct BinaryGroup<'a> {
    pub(super) merge: &'a SuiteMerge<'a>,
    pub(super) family: Family,
    pub(super) architecture: &'a Architecture,
    /// Who owns names in other architectures as well.
    pub(super) owners: &'a Owners,
}

impl BinaryGroup<'_> {
    /// The packages of its indices; and a warning for each index that has some of another architecture.
    ///
    /// Those are left out: apt would take them for packages of that architecture, whose owners, pins and bans were asked elsewhere.
    pub(super) fn entries<'a>(
        &self,
        loaded: &'a [Loaded],
    ) -> Result<(Vec<Entry<'a>>, BTreeSet<String>)> {
        let own = self.architecture.as_str().as_bytes();
        let read = |index: &'a Loaded| {
            let all = self.parse(std::slice::from_ref(index))?;
            let is_own = |e: &Entry<'_>| e.architecture == own || e.architecture == b"all";
            let (kept, strays): (Vec<_>, Vec<_>) = all.into_iter().partition(is_own);
            let warning = strays.first().map(|first| {
                format!(
                    "{}: packages of other architectures are left out, {} of them: `{}` of {}",
                    index.label(),
                    strays.len(),
                    first.name,
                    quoted(&lossy(first.architecture))
                )
            });
            Ok((kept, warning))
        };
        let read: Vec<(Vec<_>, Option<String>)> =
            loaded.par_iter().map(read).collect::<Result<_>>()?;
        let (kept, warnings): (Vec<_>, Vec<_>) = read.into_iter().unzip();
        Ok((kept.concat(), warnings.into_iter().flatten().collect()))
    }

    /// The packages of indices, whatever they are for, as their archives may have them published.
    pub(super) fn parse<'a>(&self, loaded: &'a [Loaded]) -> Result<Vec<Entry<'a>>> {
        let mut entries = parse(loaded, Kind::Binary)?;
        let inputs = self.merge.inputs.iter();
        let archives = inputs.map(|input| self.merge.config.archives.get(input.archive()));
        let may_claim: Vec<_> = archives
            .map(|archive| archive.is_none_or(|a| a.may_be_essential))
            .collect();
        for entry in &mut entries {
            let may_claim = may_claim.get(usize::from(entry.rank));
            entry.may_claim = may_claim.is_none_or(|may| *may);
        }
        Ok(entries)
    }

    /// The rules that hold for it.
    pub(super) fn rules(&self) -> Rules<'_> {
        Rules::beside(self.merge, self.architecture, self.owners)
    }

    /// Those of one archive.
    pub(super) fn wanted_of(&self, rank: usize) -> Vec<Wanted> {
        let mut wanted = self.wanted();
        wanted.retain(|(of, _, _)| *of == rank);
        wanted
    }

    /// The architecture's own indices, and binary-all where an input says that it must be read beside them.
    pub(super) fn wanted(&self) -> Vec<Wanted> {
        let mut wanted = Vec::new();
        let all = Architecture::new("all").ok();
        for (number, component) in self
            .merge
            .config
            .components_of(self.merge.suite)
            .iter()
            .enumerate()
        {
            for (rank, input) in self.merge.inputs.iter().enumerate() {
                let own = binary_name(self.family, component.clone(), self.architecture.clone());
                if input.has(&own) {
                    wanted.push((rank, number, own));
                }
                let Some(all) = all.clone().filter(|_| !self.architecture.is_all()) else {
                    continue;
                };
                let all = binary_name(self.family, component.clone(), all);
                if input.has(&all) {
                    wanted.push((rank, number, all));
                }
            }
        }
        wanted
    }
}
