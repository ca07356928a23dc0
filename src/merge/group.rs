//! The packages, or the udebs, of one architecture: the indices that hold them, and the stanzas that are read from these.

use rayon::prelude::*;

use crate::error::Result;
use crate::indices::IndexName;
use crate::names::{Architecture, Component};
use crate::quoted::quoted;
use crate::spec::Family;

use super::entry::{Entry, Kind};
use super::input::SuiteMerge;
use super::left_out::{self, Ranked};
use super::load::{Loaded, WantedIndex, parse};
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
    /// The owners of names across all architectures.
    pub(super) owners: &'a Owners,
}

impl BinaryGroup<'_> {
    /// Returns the packages of the loaded indices, and warnings about stanzas that are of no package or of another architecture, each with
    /// the rank of its archive.
    ///
    /// Packages of another architecture are left out: apt would take them for packages of that architecture, but the rules (owners, pins,
    /// bans) were applied elsewhere for it.
    pub(super) fn entries<'a>(&self, loaded: &'a [Loaded]) -> Result<(Vec<Entry<'a>>, Ranked)> {
        let own = self.architecture.as_str().as_bytes();
        let read = |index: &'a Loaded| {
            let mut parsed = index.parse(Kind::Binary)?;
            self.set_claims(&mut parsed.entries);
            let is_own = |e: &Entry<'_>| e.architecture == own || e.architecture == b"all";
            let (kept, mut strays): (Vec<_>, Vec<_>) = parsed.entries.into_iter().partition(is_own);
            let mut warnings = Vec::new();
            if !strays.is_empty() || !parsed.skipped.is_empty() {
                let rules = self.rules();
                strays.retain(|e| rules.exclusion(e).is_none());
                warnings = left_out::skipped(index, &parsed.skipped, &rules);
            }
            warnings.extend(strays.first().map(|first| {
                format!(
                    "{}: packages of other architectures are left out, {} of them: `{}` of {}",
                    index.label(),
                    strays.len(),
                    first.name,
                    quoted(&lossy(first.architecture))
                )
            }));
            let told = warnings.into_iter().map(|words| (index.rank(), words));
            Ok((kept, told.collect()))
        };
        let read: Vec<(Vec<_>, Vec<_>)> = loaded.par_iter().map(read).collect::<Result<_>>()?;
        let (kept, warnings): (Vec<_>, Vec<_>) = read.into_iter().unzip();
        Ok((kept.concat(), warnings.into_iter().flatten().collect()))
    }

    /// Returns the packages of indices, of whatever architecture, in the form in which their archives may publish them.
    pub(super) fn parse<'a>(&self, loaded: &'a [Loaded]) -> Result<Vec<Entry<'a>>> {
        let mut entries = parse(loaded, Kind::Binary)?;
        self.set_claims(&mut entries);
        Ok(entries)
    }

    fn set_claims(&self, entries: &mut [Entry<'_>]) {
        for entry in entries {
            let input = self.merge.spec_of(entry.rank);
            entry.may_claim = input.is_none_or(|input| input.may_be_essential);
        }
    }

    /// Returns the rules of this group.
    pub(super) fn rules(&self) -> Rules<'_> {
        Rules::beside(self.merge, self.architecture, self.owners)
    }

    /// Returns the wanted indices of one archive.
    pub(super) fn wanted_of(&self, rank: usize) -> Vec<WantedIndex> {
        let mut wanted = self.wanted();
        wanted.retain(|(of, _, _)| *of == rank);
        wanted
    }

    /// Returns the indices of [`wanted_binaries`].
    pub(super) fn wanted(&self) -> Vec<WantedIndex> {
        wanted_binaries(self.merge, self.family, self.architecture)
    }
}

/// Returns an architecture's own indices, and the binary-all of each input that has one.
pub(super) fn wanted_binaries(
    merge: &SuiteMerge<'_>,
    family: Family,
    architecture: &Architecture,
) -> Vec<WantedIndex> {
    let mut wanted = Vec::new();
    let all = Architecture::new("all").ok();
    for (number, component) in merge.spec.components.iter().enumerate() {
        for (rank, input) in merge.spec.inputs.iter().enumerate() {
            let of = |architecture: &Architecture| {
                let name = binary_name(family, component.clone(), architecture.clone());
                merge.parts(rank, &name).into_iter()
            };
            let own = of(architecture);
            wanted.extend(own.map(|name| (rank, number, name)));
            let is_beside = !architecture.is_all() && input.takes_all_for(architecture.as_str());
            let all = all.as_ref().filter(|_| is_beside).map(of);
            wanted.extend(all.into_iter().flatten().map(|name| (rank, number, name)));
        }
    }
    wanted
}
