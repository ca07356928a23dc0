//! One merged suite: its index groups, one after the other or side by side.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{Read, Write};
use std::sync::Mutex;

use rayon::prelude::*;

use crate::config::{Config, Family, PoolName, Suite, SuiteName};
use crate::deb822::SyntaxError;
use crate::error::{Error, Result};
use crate::indices::IndexName;
use crate::quoted::quoted;
use crate::suite_report::{BannedPackage, SuiteReport};

use super::binaries::{Binaries, Notes};
use super::claims::{Claimable, Claims};
use super::deadline::{Deadline, InTime};
use super::derived::DerivedKey;
use super::entry::{Entry, Kind, entries};
use super::queue;
use super::rewrite::{PoolStrings, is_hidden, is_package_file};
use super::rules::{Outcome, Rules, lossy};
use super::selection::{Selected, Selection, Wanted as Selecting};
use super::sources::{self, Needed, SourceOutcome};
use super::{PackageKey, Text, claims, commands, contents, dep11, translations};

/// An input of a merge: the indices of one archive's suite, wherever they are kept.
pub trait Input: Sync {
    /// The pool name that its paths get.
    fn pool(&self) -> &PoolName;
    /// The name by which the configuration speaks of its archive.
    fn archive(&self) -> &str {
        self.pool().as_str()
    }
    /// Whether bans leave it alone.
    fn is_exempt(&self) -> bool;
    /// The plain text of an index, `None` where the input has none of the name.
    fn read(&self, name: &IndexName) -> Result<Option<Vec<u8>>>;
    /// The same as a stream, for indices that are larger than one would want in memory. Damage is an error of the last read.
    fn open(&self, name: &IndexName) -> Result<Option<Box<dyn Read + Send + '_>>>;
    /// A digest of an index's plain text, without reading it; `None` where the input has none of the name.
    fn digest(&self, name: &IndexName) -> Option<String>;
    /// The length of an index's plain text, as far as that is known without reading it: what is longest is merged first.
    fn size(&self, name: &IndexName) -> u64 {
        let _ = name;
        0
    }
    /// The indices that it has of the families that a suite can do without.
    fn optional(&self) -> Vec<IndexName>;
    /// Its Packages and Sources, those included that this suite does not read.
    fn packages(&self) -> Vec<IndexName> {
        Vec::new()
    }
    /// Whether the merge is to read the input's binary-all for other architectures as well.
    fn has(&self, name: &IndexName) -> bool;
    /// How messages name an index of it.
    fn describe(&self, name: &IndexName) -> String;
}

/// Takes merged indices over, each once; called from several threads.
pub trait Sink: Sync {
    /// An index whose text is in memory.
    fn text(&self, name: &IndexName, text: &Text<'_>) -> Result<()>;

    /// An index that is written from its first byte to its last. `produce` is called once.
    fn stream(
        &self,
        name: &IndexName,
        produce: &mut dyn FnMut(&mut dyn Write) -> Result<()>,
    ) -> Result<()>;

    /// Takes over indices that were made from what the key stands for, if all of them are there still; gives what was worth
    /// a warning when they were made.
    fn recall(&self, names: &[IndexName], key: &DerivedKey) -> Result<Option<BTreeSet<String>>> {
        let _ = (names, key);
        Ok(None)
    }

    /// Notes what indices were made from, for a later [`Sink::recall`].
    fn remember(&self, names: &[IndexName], key: &DerivedKey, warnings: &BTreeSet<String>) {
        let _ = (names, key, warnings);
    }
}

/// What to merge: a suite and its inputs, highest priority first.
pub struct SuiteMerge<'a> {
    /// The rules.
    pub config: &'a Config,
    /// The suite's name.
    pub name: &'a SuiteName,
    /// The suite.
    pub suite: &'a Suite,
    /// The inputs.
    pub inputs: Vec<Box<dyn Input + 'a>>,
    /// When it is given up.
    pub deadline: Deadline,
}

impl SuiteMerge<'_> {
    /// An input, by its place in the order.
    pub(super) fn input(&self, rank: u16) -> Option<&dyn Input> {
        self.inputs
            .get(usize::from(rank))
            .map(|input| &**input as &dyn Input)
    }

    /// What the merged families ask of what was published.
    fn wanted(&self) -> Selecting {
        let has = |family| self.config.indices.contains(&family);
        let mut inputs = self.inputs.iter();
        let beside = |name: &IndexName| matches!(name, IndexName::SuiteContents(_));
        Selecting {
            names: has(Family::Contents) || has(Family::Dep11) || has(Family::Commands),
            descriptions: has(Family::Translations),
            places: has(Family::Commands)
                || (has(Family::Contents)
                    && inputs.any(|input| input.optional().iter().any(beside))),
        }
    }

    /// The pool of an input.
    pub(super) fn pool(&self, rank: u16) -> &str {
        self.input(rank).map_or("", |input| input.pool().as_str())
    }

    /// An index of some inputs: the place of each in the order, how messages name its index, and the text.
    pub(super) fn read_of(
        &self,
        ranks: &[usize],
        name: &IndexName,
    ) -> Result<Vec<(u16, String, Vec<u8>)>> {
        let mut read = Vec::new();
        for &rank in ranks {
            self.in_time()?;
            if let Some(input) = self.inputs.get(rank)
                && let Some(data) = input.read(name)?
            {
                read.push((rank as u16, input.describe(name), data));
            }
        }
        Ok(read)
    }

    /// The indices of the wanted kind that a suite can do without, in its components, each with the inputs that have it.
    pub(super) fn ranks_by_optional_index(
        &self,
        wanted: &dyn Fn(&IndexName) -> bool,
    ) -> BTreeMap<IndexName, Vec<usize>> {
        let components = self.config.components_of(self.suite);
        let mut indices: BTreeMap<IndexName, Vec<usize>> = BTreeMap::new();
        for (rank, input) in self.inputs.iter().enumerate() {
            for name in input.optional() {
                if wanted(&name) && name.component().is_none_or(|c| components.contains(c)) {
                    indices.entry(name).or_default().push(rank);
                }
            }
        }
        indices
    }
}

/// Merges a suite; every index that it publishes goes to the sink once.
pub fn merge_suite(merge: &SuiteMerge<'_>, sink: &dyn Sink) -> Result<SuiteReport> {
    let sink = &InTime { merge, sink };
    let report = Mutex::new(SuiteReport::default());
    let (needed, claimable) = (Needed::default(), Claimable::default());
    let selection = Selection::new(merge.wanted());
    let collect = |group: SuiteReport| {
        report
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
            .absorb(group);
    };
    let notes = Notes {
        needed: &needed,
        claimable: &claimable,
        selection: &selection,
    };
    let families = [Family::Packages, Family::Installer];
    let of_binaries = families.iter().filter(|f| merge.config.indices.contains(f));
    let binaries = of_binaries.map(|f| Binaries::new(merge, *f));
    let binaries: Vec<_> = binaries.collect::<Result<_>>()?;
    let groups: Vec<_> = binaries.iter().flat_map(Binaries::groups).collect();
    queue::each(groups, |(group, collector)| {
        collect(group.run(collector, notes, sink)?);
        Ok(())
    })?;
    // What follows from them: the sources, which take longest, and binary-all.
    let mut rest: Vec<Box<dyn FnOnce() -> Result<SuiteReport> + Send>> = Vec::new();
    if merge.config.indices.contains(&Family::Sources) {
        let selection = &selection;
        rest.push(Box::new(move || {
            source_group(merge, (needed, claimable), selection, sink)
        }));
    }
    for binaries in binaries {
        rest.push(Box::new(move || binaries.all(sink)));
    }
    queue::each(rest, |group| {
        collect(group()?);
        Ok(())
    })?;
    let selected = selection.finish();
    let families: [(Family, FamilyMerge); 4] = [
        (Family::Contents, contents::merge),
        (Family::Translations, translations::merge),
        (Family::Dep11, dep11::merge),
        (Family::Commands, commands::merge),
    ];
    for (family, merge_family) in families {
        if merge.config.indices.contains(&family) {
            let warnings = merge_family(merge, &selected, sink)?;
            collect(SuiteReport {
                warnings,
                ..SuiteReport::default()
            });
        }
    }
    let report = report.into_inner();
    Ok(report
        .unwrap_or_else(std::sync::PoisonError::into_inner)
        .bounded())
}

/// Merges the indices of a family that speaks of what was published; gives what is worth a warning.
type FamilyMerge = fn(&SuiteMerge<'_>, &Selected, &dyn Sink) -> Result<BTreeSet<String>>;

/// An index that was read, with its place in the merge.
pub(super) struct Loaded {
    rank: u16,
    component: u16,
    label: String,
    data: Vec<u8>,
}

impl Loaded {
    /// How messages name it.
    pub(super) fn label(&self) -> &str {
        &self.label
    }
}

/// An index to read: the rank of the input, the number of the component, the name.
pub(super) type Wanted = (usize, usize, IndexName);

/// Reads indices of all inputs, in parallel.
pub(super) fn load(merge: &SuiteMerge<'_>, wanted: Vec<Wanted>) -> Result<Vec<Loaded>> {
    wanted
        .into_par_iter()
        .filter_map(|(rank, component, name)| {
            let input = merge.inputs.get(rank)?;
            match merge.in_time().and_then(|()| input.read(&name)) {
                Ok(data) => data.map(|data| {
                    Ok(Loaded {
                        rank: rank as u16,
                        component: component as u16,
                        label: input.describe(&name),
                        data,
                    })
                }),
                Err(error) => Some(Err(error)),
            }
        })
        .collect()
}

pub(super) fn parse(loaded: &[Loaded], kind: Kind) -> Result<Vec<Entry<'_>>> {
    let parsed = loaded
        .par_iter()
        .map(|index| {
            entries(&index.data, kind, index.rank, index.component).map_err(|why| Error::Index {
                index: index.label.clone(),
                why,
            })
        })
        .collect::<Result<Vec<_>>>()?;
    Ok(parsed.concat())
}

/// Indices with text that is not what it should be, though it can be passed on.
pub(super) fn odd_texts(loaded: &[Loaded]) -> BTreeSet<String> {
    let odd = loaded.par_iter().filter_map(|index| {
        let error = SyntaxError::not_utf8(&index.data)?;
        Some(format!("{}, {error}", index.label))
    });
    odd.collect()
}

/// The texts of the components, from the entries in the order of publication.
pub(super) fn texts<'a>(
    merge: &'a SuiteMerge<'_>,
    kept: &'a [Entry<'a>],
    pools: &'a [PoolStrings],
) -> Vec<Text<'a>> {
    let components = merge.config.components_of(merge.suite).len();
    let mut texts: Vec<_> = (0..components).map(|_| Text::default()).collect();
    for entry in kept {
        if let Some(text) = texts.get_mut(usize::from(entry.component)) {
            let key = PackageKey {
                name: entry.name,
                version: entry.version,
                pool: merge.pool(entry.rank),
            };
            text.push_package(key, published(entry, pools));
        }
    }
    texts
}

pub(super) fn published<'a>(entry: &Entry<'a>, pools: &'a [PoolStrings]) -> Vec<&'a [u8]> {
    let inserted = pools
        .get(usize::from(entry.rank))
        .map_or(&b""[..], |pool| pool.get(entry.insertion().what));
    entry.published(inserted)
}

pub(super) fn pools(merge: &SuiteMerge<'_>) -> Vec<PoolStrings> {
    merge
        .inputs
        .iter()
        .map(|input| PoolStrings::new(input.pool()))
        .collect()
}

/// Names the package files of local archives that lie outside of their pools; the tree has a link to each.
fn describe_outside(merge: &SuiteMerge<'_>, outcome: &Outcome<'_>, report: &mut SuiteReport) {
    let is_local = |input: &dyn Input| {
        let mut archives = merge.config.archives.iter();
        archives.any(|(name, archive)| name.as_str() == input.archive() && archive.is_local())
    };
    let local: Vec<bool> = merge.inputs.iter().map(|i| is_local(i.as_ref())).collect();
    let is_linked = |path: &[u8]| {
        let decoded: Vec<u8> = percent_encoding::percent_decode(path).collect();
        let mut parts = path
            .split(|b| *b == b'/')
            .chain(decoded.split(|b| *b == b'/'));
        !parts.any(is_hidden) && is_package_file(path)
    };
    let mut not_linked = BTreeSet::new();
    for entry in &outcome.kept {
        let rank = usize::from(entry.rank);
        let Some(input) = merge
            .inputs
            .get(rank)
            .filter(|_| local.get(rank) == Some(&true))
        else {
            continue;
        };
        for path in entry.outside() {
            let name = format!("{}/{}", input.pool(), lossy(&path));
            if is_linked(&path) {
                report.outside.insert(name);
            } else if not_linked.len() < NOT_LINKED_TOLD {
                not_linked.insert(name);
            }
        }
    }
    let told = not_linked.iter().map(|name| {
        let name = quoted(name);
        format!("`{name}` is hidden or no package file: clients cannot get it from a local archive")
    });
    report.warnings.extend(told);
}

/// How many names are told that have no link.
const NOT_LINKED_TOLD: usize = 3;

pub(super) fn describe(
    merge: &SuiteMerge<'_>,
    outcome: &Outcome<'_>,
    group: String,
) -> SuiteReport {
    let mut report = SuiteReport::default();
    describe_outside(merge, outcome, &mut report);
    report.packages.insert(group, outcome.kept.len() as u64);
    report
        .banned
        .extend(outcome.dropped.iter().map(|(entry, why)| BannedPackage {
            package: entry.name.to_string(),
            because_of: outcome.chain(why).next(),
        }));
    let older = outcome.older.iter().cloned();
    report
        .older
        .extend(older.map(|o| (o.package, o.winner, o.hidden)));
    report
}

/// The Sources of all inputs.
pub(super) fn wanted_sources(merge: &SuiteMerge<'_>) -> Vec<Wanted> {
    let mut wanted = Vec::new();
    for (number, component) in merge.config.components_of(merge.suite).iter().enumerate() {
        for (rank, input) in merge.inputs.iter().enumerate() {
            let name = IndexName::Sources(component.clone());
            if input.has(&name) {
                wanted.push((rank, number, name));
            }
        }
    }
    wanted
}

fn source_group(
    merge: &SuiteMerge<'_>,
    (needed, claimable): (Needed, Claimable),
    selection: &Selection,
    sink: &dyn Sink,
) -> Result<SuiteReport> {
    let components = merge.config.components_of(merge.suite);
    let loaded = load(merge, wanted_sources(merge))?;
    let entries = parse(&loaded, Kind::Source)?;
    let rules = Rules::new(merge, None);
    let found = sources::apply(entries, &rules, needed);
    let mut foreign = found.tell_withheld(merge);
    let SourceOutcome {
        mut outcome,
        missing,
        owners,
        ..
    } = found;
    let claims = Claims::new(claimable, rules.strategy(), owners, &outcome.kept);
    let trimmed = claims.trim(&outcome.kept);
    foreign.extend(claims::tell(merge, &outcome.kept, &trimmed));
    claims::replace(&mut outcome.kept, &trimmed)?;
    selection.add("source", &outcome.kept);
    let pools = pools(merge);
    let texts = texts(merge, &outcome.kept, &pools);
    components
        .par_iter()
        .zip(&texts)
        .try_for_each(|(component, text)| {
            sink.text(&IndexName::Sources(component.clone()), text)
        })?;
    let mut report = describe(merge, &outcome, "source".into());
    // Bans and forks are told of binaries; what a ban took of the sources goes with them.
    report.banned.clear();
    report.older.clear();
    report.without_source = missing;
    report.warnings.extend(odd_texts(&loaded));
    report.foreign_sources = foreign;
    Ok(report)
}
