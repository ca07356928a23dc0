//! `explain`: the fate of one package in a merged suite, and the reason.
//!
//! The rules are not told a second time here: the indices are read and the rules applied as in a merge. If the rules look at each name
//! alone, they are applied to fewer names. The outcome is kept instead of published.

use std::collections::{BTreeSet, HashSet};

use rayon::prelude::*;

use crate::deb822::Name;
use crate::error::Result;
use crate::indices::IndexName;
use crate::names::Architecture;
use crate::spec::Family;

use super::entry::{Entry, Kind};
use super::explanation::{
    BuiltFrom, Fate, GroupExplanation, OwnedBy, Owner, PackageCopy, PackageKind, SuiteExplanation,
};
use super::group::BinaryGroup;
use super::input::{Input, SuiteMerge};
use super::load::{load, parse, wanted_sources};
use super::owners;
use super::rewrite::PoolStrings;
use super::rules::{self, DropReason, Outcome, Rules, lossy};
use super::sources::{self, Needed};
use super::texts::pools;

/// Explains a package: in all architectures and as a source, or in one of them (`source` for sources).
pub fn explain(
    merge: &SuiteMerge<'_>,
    package: &str,
    only: Option<&str>,
) -> Result<SuiteExplanation> {
    let explainer = Explainer {
        merge,
        package: Name::from(package),
        pools: pools(merge),
    };
    let with_sources =
        only.is_none_or(|only| only == "source") && merge.spec.families.contains(&Family::Sources);
    let is_asked = |a: &Architecture| only.is_none_or(|only| only == a.as_str());
    let needed = Needed::default();
    let mut groups = Vec::new();
    for family in [Family::Packages, Family::Installer] {
        if !merge.spec.families.contains(&family) {
            continue;
        }
        let architectures = merge.spec.name_spaces();
        let owners = owners::of(merge, family)?;
        let explained = architectures
            .into_par_iter()
            // The sources that are needed follow from all architectures.
            .filter(|a| with_sources || is_asked(a))
            .map(|architecture| {
                let group = BinaryGroup {
                    merge,
                    family,
                    architecture,
                    owners: &owners,
                };
                Ok((is_asked(architecture), explainer.binaries(&group, &needed)?))
            })
            .collect::<Result<Vec<_>>>()?;
        let shown = explained.into_iter().filter(|(is_asked, _)| *is_asked);
        let shown = shown.map(|(_, group)| group);
        groups.extend(shown.filter(|g| family == Family::Packages || !g.copies.is_empty()));
    }
    if with_sources {
        let sources = explainer.sources(needed)?;
        groups.extend(Some(sources).filter(|s| only.is_some() || !s.copies.is_empty()));
    }
    if groups.iter().all(|group| group.copies.is_empty()) {
        groups.extend(explainer.not_merged()?);
    }
    Ok(SuiteExplanation {
        suite: merge.name.to_string(),
        groups,
    })
}

/// Returns the names of every package, udeb and source that inputs have.
pub fn known_names(inputs: &[Box<dyn Input + '_>]) -> Result<BTreeSet<String>> {
    let names = inputs.par_iter().map(|input| {
        let mut names = BTreeSet::new();
        for name in packages(input.as_ref()) {
            if let Some(data) = input.read(name)? {
                let lines = data.split(|b| *b == b'\n');
                let found = lines.filter_map(|line| line.strip_prefix(b"Package:"));
                names.extend(found.map(|name| Name::new(name.trim_ascii()).to_string()));
            }
        }
        Ok(names)
    });
    names.try_reduce(BTreeSet::new, |mut a, b| {
        a.extend(b);
        Ok(a)
    })
}

/// Returns the Packages and Sources of an input, including those that the suite does not read.
fn packages(input: &dyn Input) -> impl Iterator<Item = &IndexName> {
    let names = input.facts().indices.keys();
    names.filter(|name| !name.is_optional())
}

struct Explainer<'a> {
    merge: &'a SuiteMerge<'a>,
    package: Name<'a>,
    pools: Vec<PoolStrings>,
}

impl Explainer<'_> {
    fn binaries(&self, group: &BinaryGroup<'_>, needed: &Needed) -> Result<GroupExplanation> {
        let rules = group.rules();
        let loaded = load(self.merge, group.wanted())?;
        let (mut entries, _) = group.entries(&loaded)?;
        let elsewhere = group.elsewhere(&entries, &rules);
        let others = load(self.merge, group.wanted_elsewhere(&elsewhere))?;
        entries.extend(group.all_elsewhere(&elsewhere, &others)?);
        if !rules.is_transitive() {
            // The rules look only at these names, and at the binaries that were built from a source of this name.
            let names: HashSet<Name<'_>> = entries
                .iter()
                .filter(|e| e.name == self.package || e.source().0 == self.package)
                .map(|e| e.name)
                .collect();
            entries.retain(|e| names.contains(&e.name));
        }
        let outcome = rules::apply(entries, &rules);
        needed.add(&outcome, |e| e.source().0 == self.package);
        let kind = match group.family {
            Family::Installer => PackageKind::Udeb,
            _ => PackageKind::Package,
        };
        Ok(self.group(kind, group.architecture.as_str(), &outcome, &rules, &[]))
    }

    fn sources(&self, needed: Needed) -> Result<GroupExplanation> {
        let rules = Rules::new(self.merge, None);
        let loaded = load(self.merge, wanted_sources(self.merge))?;
        let mut entries = parse(&loaded, Kind::Source)?;
        entries.retain(|e| e.name == self.package);
        let found = sources::apply(entries, &rules, needed);
        Ok(self.group(
            PackageKind::Source,
            "source",
            &found.outcome,
            &rules,
            &found.restored,
        ))
    }

    fn group(
        &self,
        kind: PackageKind,
        architecture: &str,
        outcome: &Outcome<'_>,
        rules: &Rules<'_>,
        restored: &[(Entry<'_>, String)],
    ) -> GroupExplanation {
        let is_it = |e: &&Entry<'_>| e.name == self.package;
        let needed_by = |e: &Entry<'_>| {
            let found = restored.iter().find(|(r, _)| std::ptr::eq(r.raw, e.raw));
            found.map(|(_, binary)| binary.clone())
        };
        let pin = outcome
            .pinned
            .iter()
            .find(|(name, _)| *name == self.package);
        let pin = pin.map(|(_, number)| *number);
        let own = outcome.kept.iter().filter(|e| needed_by(e).is_none());
        let own = own.chain(outcome.dropped.iter().map(|(e, _)| e));
        let own = own.chain(&outcome.flawed);
        let mut owner = own.filter(is_it).map(|e| e.rank).next();
        let mut elsewhere = outcome.elsewhere.iter();
        let elsewhere = elsewhere.find(|(name, _)| *name == self.package);
        let elsewhere = elsewhere.map(|(_, rank)| *rank);
        owner = owner.or(elsewhere);
        if kind == PackageKind::Source && owner.is_none() {
            // The owner's sources were banned, and then restored.
            let hidden: HashSet<u16> = outcome.hidden.iter().map(|e| e.rank).collect();
            let excluded: HashSet<u16> = outcome.excluded.iter().map(|e| e.rank).collect();
            let mut kept = outcome.kept.iter().filter(is_it).map(|e| e.rank);
            owner = kept.find(|rank| !hidden.contains(rank) && !excluded.contains(rank));
        }
        // An archive may have one stanza in several indices; it is still one copy.
        let mut copies = Vec::new();
        let mut add = |copy: PackageCopy| {
            if !copies.contains(&copy) {
                copies.push(copy);
            }
        };
        for entry in outcome.kept.iter().filter(is_it) {
            let fate = Fate::Published {
                published_path: self.published_path(entry, kind),
                needed_by: needed_by(entry),
            };
            add(self.copy(entry, kind, fate));
        }
        for (entry, why) in outcome.dropped.iter().filter(|(e, _)| is_it(&e)) {
            let clause = match why {
                DropReason::Unsatisfied { clause, .. } => Some(clause.clone()),
                _ => None,
            };
            let chain = outcome.chain(why).collect();
            add(self.copy(entry, kind, Fate::Banned { clause, chain }));
        }
        for entry in outcome.flawed.iter().filter(is_it) {
            let why = entry.flaw().map(|flaw| flaw.why.into_owned());
            let why = why.unwrap_or_default();
            add(self.copy(entry, kind, Fate::Unreadable { why }));
        }
        let is_restored = |e: &&Entry<'_>| needed_by(e).is_some();
        for entry in outcome
            .hidden
            .iter()
            .filter(|e| is_it(e) && !is_restored(e))
        {
            // An archive's own stanza is hidden by the owner of the name in other architectures.
            let by = owner.filter(|rank| *rank != entry.rank).or(elsewhere);
            let hidden_by = by.map_or_else(String::new, |rank| self.archive(rank));
            add(self.copy(entry, kind, Fate::Hidden { hidden_by }));
        }
        for entry in outcome
            .excluded
            .iter()
            .filter(|e| is_it(e) && !is_restored(e))
        {
            if let Some(excluded_by) = rules.exclusion(entry) {
                add(self.copy(entry, kind, Fate::Excluded { excluded_by }));
            }
        }
        GroupExplanation {
            kind,
            architecture: architecture.to_owned(),
            owner: owner.map(|rank| Owner {
                archive: self.archive(rank),
                by: match (pin, rules.strategy()) {
                    (Some(_), _) => OwnedBy::Pin,
                    (None, crate::spec::Strategy::Order) => OwnedBy::Order,
                    (None, crate::spec::Strategy::Newest) => OwnedBy::Newest,
                },
                pin,
            }),
            copies,
        }
    }

    /// Returns copies in indices that the spool holds for other suites: of components or architectures that this suite does not have.
    fn not_merged(&self) -> Result<Vec<GroupExplanation>> {
        let architectures = &self.merge.spec.architectures;
        let mut groups: Vec<GroupExplanation> = Vec::new();
        for (rank, input) in self.merge.inputs.iter().enumerate() {
            for name in packages(input.as_ref()) {
                let (kind, is_merged) = match name {
                    IndexName::Packages(_, a) => (PackageKind::Package, architectures.contains(a)),
                    IndexName::Installer(_, a) => (PackageKind::Udeb, architectures.contains(a)),
                    _ => (PackageKind::Source, true),
                };
                let Some(component) = name.component() else {
                    continue;
                };
                if is_merged && self.merge.reads(rank, name) {
                    continue;
                }
                let loaded = load(self.merge, vec![(rank, 0, name.clone())])?;
                let parsed = match kind {
                    PackageKind::Source => parse(&loaded, Kind::Source)?,
                    _ => parse(&loaded, Kind::Binary)?,
                };
                let copies = parsed.iter().filter(|e| e.name == self.package).map(|e| {
                    let index = name.to_string();
                    PackageCopy {
                        component: component.to_string(),
                        ..self.copy(e, kind, Fate::NotMerged { index })
                    }
                });
                let copies: Vec<_> = copies.collect();
                if !copies.is_empty() {
                    groups.push(GroupExplanation {
                        kind,
                        architecture: name.architecture().to_owned(),
                        owner: None,
                        copies,
                    });
                }
            }
        }
        Ok(groups)
    }

    fn archive(&self, rank: u16) -> String {
        self.merge.archive(rank).to_owned()
    }

    fn published_path(&self, entry: &Entry<'_>, kind: PackageKind) -> String {
        let inserted = self
            .pools
            .get(usize::from(entry.rank))
            .map_or(&b""[..], |pool| pool.get(entry.insertion().what));
        lossy(&entry.published_path(entry.field(path_field(kind)), inserted))
    }

    fn copy(&self, entry: &Entry<'_>, kind: PackageKind, fate: Fate) -> PackageCopy {
        let components = &self.merge.spec.components;
        let (source, source_version) = entry.source();
        PackageCopy {
            fate,
            archive: self.archive(entry.rank),
            component: components
                .get(usize::from(entry.component))
                .map_or_else(String::new, ToString::to_string),
            version: lossy(entry.version),
            architecture: lossy(entry.architecture),
            path: lossy(entry.field(path_field(kind))),
            source: (kind != PackageKind::Source).then(|| BuiltFrom {
                name: lossy(source.as_written()),
                version: lossy(source_version),
            }),
        }
    }
}

fn path_field(kind: PackageKind) -> &'static str {
    match kind {
        PackageKind::Source => "Directory",
        _ => "Filename",
    }
}
