//! Dependencies: which packages of a list others need, and which dependencies nothing satisfies.
//!
//! Depends and Pre-Depends count. The order is fixed everywhere, so the same lists give the same answer: packages come in the order of their
//! names, a clause takes the first alternative that can be had, in its highest version, and a real package comes before those that provide it.

use std::cmp::Ordering;
use std::collections::{BTreeSet, HashMap};

use rusqlite::Connection;
use serde::Serialize;

use crate::deb::Kind;
use crate::deb822::{Alternative, Operator, alternatives_of, clauses, compare_versions};

use super::error::StoreError;
use super::head::Head;
use super::key::PackageKey;
use super::package;
use super::select::field;

/// A dependency that nothing in a collection satisfies.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Unmet {
    /// The package that has the dependency.
    pub package: PackageKey,
    /// The architecture that it would be installed on.
    pub architecture: String,
    /// The clause, as the package has it.
    pub clause: String,
}

/// Packages, to be found by their names and by what they provide. Sources and packages of the installer are left out.
#[derive(Default)]
struct Universe {
    named: HashMap<Vec<u8>, Vec<Head>>,
    provided: HashMap<Vec<u8>, Vec<Provided>>,
}

/// A package that provides a name.
struct Provided {
    by: Head,
    /// The version that it provides, if it says one.
    version: Option<Vec<u8>>,
}

impl Universe {
    fn of(heads: &[Head]) -> Self {
        let mut universe = Self::default();
        heads.iter().for_each(|head| universe.add(head));
        universe
    }

    fn add(&mut self, head: &Head) {
        if head.kind != Kind::Binary {
            return;
        }
        let name = head.key.name.to_ascii_lowercase().into_bytes();
        self.named.entry(name).or_default().push(head.clone());
        for provided in clauses(head.provides.as_bytes()).flat_map(alternatives_of) {
            let version = provided.version().map(|(_, version)| version.to_owned());
            let name = provided.name.folded().into_owned();
            let entry = self.provided.entry(name).or_default();
            entry.push(Provided {
                by: head.clone(),
                version,
            });
        }
    }

    /// Returns the package that an alternative of a clause would take.
    fn find(&self, wanted: &Alternative<'_>, architecture: &str) -> Option<&Head> {
        let name = wanted.name.folded();
        let is_here = |head: &Head| is_for(head, architecture);
        let named = self.named.get(&*name).into_iter().flatten();
        let named = named
            .filter(|head| is_here(head) && satisfies(wanted, Some(head.key.version.as_bytes())));
        let provided = self.provided.get(&*name).into_iter().flatten();
        let provided = provided
            .filter(|one| is_here(&one.by) && satisfies(wanted, one.version.as_deref()))
            .map(|one| &one.by);
        named.max_by(|a, b| a.order(b)).or_else(|| {
            provided.min_by(|a, b| {
                let (a, b) = (*a, *b);
                // By name, and of one name the highest version.
                a.key.name.cmp(&b.key.name).then_with(|| b.order(a))
            })
        })
    }

    fn has(&self, clause: &[u8], architecture: &str) -> bool {
        let mut alternatives = alternatives_of(clause);
        alternatives.any(|wanted| self.find(&wanted, architecture).is_some())
    }
}

/// Returns whether a package can be installed on an architecture.
fn is_for(head: &Head, architecture: &str) -> bool {
    head.key.architecture == architecture || head.key.architecture == "all"
}

/// Returns whether a version is one that a relation wants; what has no version satisfies only what wants none.
fn satisfies(wanted: &Alternative<'_>, version: Option<&[u8]>) -> bool {
    let Some((operator, limit)) = wanted.version() else {
        return true;
    };
    let order = version.map(|version| compare_versions(version, limit));
    match operator {
        Operator::Earlier => order == Some(Ordering::Less),
        Operator::EarlierOrEqual => order.is_some_and(Ordering::is_le),
        Operator::Equal => order == Some(Ordering::Equal),
        Operator::LaterOrEqual => order.is_some_and(Ordering::is_ge),
        Operator::Later => order == Some(Ordering::Greater),
    }
}

/// Returns the architectures that some packages are for, without `all` and `source`.
pub(super) fn architectures(heads: &[Head]) -> BTreeSet<String> {
    let of = heads.iter().map(|head| &head.key.architecture);
    of.filter(|name| !matches!(name.as_str(), "all" | "source"))
        .cloned()
        .collect()
}

/// Calls `each` for every clause of a package's dependencies.
fn each_clause(
    db: &Connection,
    head: &Head,
    mut each: impl FnMut(&[u8]),
) -> Result<(), StoreError> {
    if head.kind == Kind::Source {
        return Ok(());
    }
    let stanza = package::stanza(db, head.id)?.unwrap_or_default();
    for name in ["Pre-Depends", "Depends"] {
        clauses(field(&stanza, name).unwrap_or_default()).for_each(&mut each);
    }
    Ok(())
}

/// Adds to some packages what they depend on, and what that depends on, out of `from`, unless `base` or they themselves have it.
pub(super) fn with_dependencies(
    db: &Connection,
    chosen: Vec<Head>,
    base: &[Head],
    from: &[Head],
    architectures: &BTreeSet<String>,
) -> Result<Vec<Head>, StoreError> {
    let from = Universe::of(from);
    let mut there = Universe::of(base);
    chosen.iter().for_each(|head| there.add(head));
    let mut all = chosen;
    let mut next = 0;
    while let Some(head) = all.get(next).cloned() {
        next += 1;
        for architecture in architectures.iter().filter(|name| is_for(&head, name)) {
            let mut needed = Vec::new();
            each_clause(db, &head, |clause| {
                if there.has(clause, architecture) {
                    return;
                }
                let mut found =
                    alternatives_of(clause).filter_map(|wanted| from.find(&wanted, architecture));
                if let Some(found) = found.next() {
                    there.add(found);
                    needed.push(found.clone());
                }
            })?;
            all.append(&mut needed);
        }
    }
    Ok(all)
}

/// Returns the dependencies among some packages that none of them satisfies.
pub(super) fn unmet(
    db: &Connection,
    heads: &[Head],
    architectures: &BTreeSet<String>,
) -> Result<Vec<Unmet>, StoreError> {
    let there = Universe::of(heads);
    let mut unmet = Vec::new();
    for head in heads.iter().filter(|head| head.kind == Kind::Binary) {
        let mut clauses = Vec::new();
        each_clause(db, head, |clause| clauses.push(clause.to_owned()))?;
        for architecture in architectures.iter().filter(|name| is_for(head, name)) {
            let missing = clauses
                .iter()
                .filter(|clause| !there.has(clause, architecture));
            unmet.extend(missing.map(|clause| Unmet {
                package: head.key.clone(),
                architecture: architecture.clone(),
                clause: String::from_utf8_lossy(clause).into_owned(),
            }));
        }
    }
    Ok(unmet)
}
