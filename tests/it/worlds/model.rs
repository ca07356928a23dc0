//! A naive model of "the owner's packages and nothing else", written without a look at the merge.

use std::collections::BTreeSet;

use aptmerge::deb822::compare_versions;

use super::view::View;
use super::world::{ARCHITECTURES, BANNED, Binary, Source, World, key};

/// Returns the names that the relations of a clause ask for.
fn asked(alternative: &str) -> (String, Option<&str>) {
    let name = alternative
        .split([' ', ':', '('])
        .next()
        .unwrap_or_default();
    let version = alternative
        .split_once(">= ")
        .map(|(_, rest)| rest.trim_end_matches(')'));
    (key(name), version)
}

impl World {
    fn of_index(&self, architecture: &str, name: &str) -> impl Iterator<Item = &Binary> {
        let is_there =
            move |b: &&Binary| b.stands_in.contains(&architecture) && key(&b.name) == name;
        self.binaries.iter().filter(is_there)
    }

    /// The archive that owns a name in an architecture.
    fn owner(&self, architecture: &str, name: &str) -> Option<usize> {
        self.of_index(architecture, name).map(|b| b.archive).min()
    }

    /// The archive that owns a name in any architecture, and with it the name's packages for all.
    fn owner_of_all(&self, name: &str) -> Option<usize> {
        ARCHITECTURES
            .iter()
            .filter_map(|architecture| self.owner(architecture, name))
            .min()
    }

    /// The packages that order leaves in an architecture, less those that apt cannot hold.
    fn winners(&self, architecture: &str) -> Vec<&Binary> {
        let wins = |b: &&Binary| {
            let name = key(&b.name);
            let (here, across) = (self.owner(architecture, &name), self.owner_of_all(&name));
            let mut of_owner = ARCHITECTURES.iter().flat_map(|a| self.of_index(a, &name));
            let owner_has_all =
                of_owner.any(|o| Some(o.archive) == across && o.architecture == "all");
            if Some(b.archive) == across {
                // Where only others have the name, the owner's packages for all take their place.
                let takes_over = here.is_some() && here != across && b.architecture == "all";
                return b.stands_in.contains(&architecture) || takes_over;
            }
            let is_native = b.architecture != "all" && !owner_has_all;
            is_native && b.stands_in.contains(&architecture) && here == Some(b.archive)
        };
        let can_be_held = self.binaries.iter().filter(|b| b.huge.is_none());
        can_be_held.filter(wins).collect()
    }

    /// The winners that bans leave.
    fn unbanned(&self, architecture: &str) -> Vec<&Binary> {
        let winners = self.winners(architecture);
        let is_banned = |b: &&Binary| {
            let mut clauses = b.depends.iter();
            key(&b.name) == BANNED
                || clauses.any(|clause| clause.iter().all(|a| asked(a).0 == BANNED))
        };
        let mut left: Vec<&Binary> = winners.iter().filter(|b| !is_banned(b)).copied().collect();
        if !self.transitive {
            return left;
        }
        loop {
            let goes = |b: &&Binary| {
                b.depends.iter().any(|clause| {
                    let could = winners
                        .iter()
                        .any(|w| w.archive <= b.archive && satisfies(w, clause));
                    could && !left.iter().any(|w| satisfies(w, clause))
                })
            };
            let stays: Vec<&Binary> = left.iter().filter(|b| !goes(b)).copied().collect();
            if stays.len() == left.len() {
                return left;
            }
            left = stays;
        }
    }

    /// Compares the model with what apt sees; returns each difference in words.
    pub(crate) fn differences(&self, view: &View) -> Vec<String> {
        let mut found = Vec::new();
        let expected: BTreeSet<usize> = ARCHITECTURES
            .iter()
            .flat_map(|architecture| self.unbanned(architecture))
            .map(|b| b.number)
            .collect();
        for number in view.binaries.keys().filter(|n| !expected.contains(n)) {
            found.push(format!(
                "apt sees what should not be there: {:?}",
                self.binary(*number)
            ));
        }
        for number in expected.iter().filter(|n| !view.binaries.contains_key(n)) {
            found.push(format!("apt does not see {:?}", self.binary(*number)));
        }
        for (number, lines) in &view.binaries {
            if *lines != [format!("the text of {number}")] {
                found.push(format!(
                    "the description of {:?} is {lines:?}",
                    self.binary(*number)
                ));
            }
        }
        self.compare_sources(view, &mut found);
        found
    }

    fn compare_sources(&self, view: &View, found: &mut Vec<String>) {
        let owner = |name: &str| {
            self.sources
                .iter()
                .filter(|s| key(&s.name) == name)
                .map(|s| s.archive)
                .min()
        };
        for source in &self.sources {
            let name = key(&source.name);
            let is_owners = owner(&name) == Some(source.archive);
            let is_seen = view.sources.contains(&source.number);
            let published = || view.binaries.keys().map(|n| self.binary(*n));
            if is_owners && !is_seen && source.archive == 0 && name != BANNED {
                found.push(format!("apt does not see {source:?}"));
            }
            if is_seen && !is_owners && !published().any(|b| is_source_of(source, b)) {
                found.push(format!(
                    "apt sees a source that no package needs: {source:?}"
                ));
            }
            let above = |s: &Source| {
                compare_versions(s.version.as_bytes(), source.version.as_bytes()).is_ge()
            };
            let mut of_owner = self
                .sources
                .iter()
                .filter(|s| key(&s.name) == name && owner(&name) == Some(s.archive));
            if is_seen && !is_owners && !of_owner.any(above) {
                found.push(format!("apt sees a source above the owner's: {source:?}"));
            }
        }
        for (name, number) in &view.fetched {
            let source = self.sources.iter().find(|s| s.number == *number).unwrap();
            let of_name = || {
                let binaries = view.binaries.keys().map(|n| self.binary(*n));
                binaries.filter(|b| key(&b.name) == key(name))
            };
            // The source's name is one that a package of this name gives, or the name that was asked for.
            let named = of_name().any(|b| source_of(b).0 == key(&source.name));
            let is_asked_by_name = named || key(&source.name) == key(name);
            let owner = self.owner_of_all(&key(name));
            let is_lower = owner.is_some_and(|owner| source.archive > owner);
            if of_name().next().is_some() && is_lower && !is_asked_by_name {
                found.push(format!(
                    "`apt-get source {name}` fetches what claims the package of another archive: {source:?}"
                ));
            }
            // Of the sources of the candidate, one of the same archive will do: it speaks for its own package.
            let natives = of_name().filter(|b| b.architecture != "arm64");
            let candidate =
                natives.max_by(|a, b| compare_versions(a.version.as_bytes(), b.version.as_bytes()));
            let right = |s: &&Source| {
                candidate.is_some_and(|b| b.archive == s.archive && is_source_of(s, b))
            };
            let seen = self
                .sources
                .iter()
                .filter(|s| view.sources.contains(&s.number));
            let best = seen.filter(right).map(|s| s.archive).min();
            if best.is_some_and(|best| source.archive > best) {
                found.push(format!("`apt-get source {name}` fetches {source:?}"));
            }
        }
    }

    fn binary(&self, number: usize) -> &Binary {
        self.binaries.iter().find(|b| b.number == number).unwrap()
    }
}

/// Returns the name, in lower case, and the version of the source that a package says it was built from.
fn source_of(binary: &Binary) -> (String, &str) {
    match &binary.source {
        Some((name, version)) => (key(name), version),
        None => (key(&binary.name), &binary.version),
    }
}

/// Returns whether a package was built from a source. A version may be spelt in several ways.
fn is_source_of(source: &Source, binary: &Binary) -> bool {
    let (name, version) = source_of(binary);
    name == key(&source.name)
        && compare_versions(version.as_bytes(), source.version.as_bytes()).is_eq()
}

fn satisfies(winner: &Binary, clause: &[String]) -> bool {
    clause.iter().any(|alternative| {
        let (name, version) = asked(alternative);
        let by_name = key(&winner.name) == name
            && version.is_none_or(|wanted| {
                compare_versions(winner.version.as_bytes(), wanted.as_bytes()).is_ge()
            });
        by_name || version.is_none() && winner.provides.iter().any(|p| key(p) == name)
    })
}
