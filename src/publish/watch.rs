//! Tells how far the merge of a suite has come, by the plain bytes of what goes into it.
//!
//! An index that is published stands for those of its name in the inputs. They count as done when it is written, bit by bit as far
//! as the writer tells, or when it turns out to be the same as before. What is carried on unread, since nothing that it was
//! made from has changed, costs nothing: it is taken off what is expected, so that it does not pass for speed.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Write};

use crate::config::{Config, Family};
use crate::error::Result;
use crate::events::{Listener, Task};
use crate::indices::{self, IndexName};
use crate::merge::{DerivedKey, Sink, Text};
use crate::progress::{Meter, Share};

use super::plan::{Action, Plan, SuitePlan};

/// How many bytes of a stream are counted at a time.
const COUNT_BYTES: u64 = 64 << 10;

/// A meter for each family, in the order in which they are merged.
pub(super) type Meters<'a> = Vec<(Family, Meter<'a>)>;

/// The meters of a suite's merge.
pub(super) fn meters<'a>(listener: &'a dyn Listener, suite: &SuitePlan<'_>) -> Meters<'a> {
    let families = [
        Family::Packages,
        Family::Installer,
        Family::Sources,
        Family::Contents,
        Family::Translations,
        Family::Dep11,
        Family::Commands,
    ];
    let meter = |family| {
        let suite = suite.name.to_string();
        let task = Task::Merge { suite, family };
        (family, Meter::later(listener, task))
    };
    families.map(meter).into()
}

/// What is still to be done of a suite's merge, by index.
pub(super) struct Watch<'a> {
    shares: BTreeMap<String, Share<'a>>,
}

impl<'a> Watch<'a> {
    /// Expects what the spool has of a suite's inputs.
    pub(super) fn new(meters: &'a Meters<'a>, plan: &Plan<'_>, suite: &SuitePlan<'_>) -> Self {
        let mut shares = BTreeMap::new();
        if matches!(suite.action, Action::Sign(_)) {
            return Self { shares }; // nothing is read
        }
        let sizes = plain_bytes(plan, suite);
        for (family, meter) in meters {
            let of_family = sizes.iter().filter(|(name, _)| name.family() == *family);
            shares.extend(of_family.map(|(name, bytes)| (name.to_string(), meter.share(*bytes))));
            meter.tell();
        }
        Self { shares }
    }

    /// So many bytes more of an index are written.
    pub(super) fn advance(&self, plain: &str, bytes: u64) {
        if let Some(share) = self.shares.get(plain) {
            share.advance_within(bytes);
        }
    }

    /// A sink that tells of what another one has taken over.
    pub(super) fn over<'s>(&'s self, inner: &'s dyn Sink) -> impl Sink + 's {
        Watched { watch: self, inner }
    }

    /// An index's share. Contents for all components at once are spread over those of each.
    fn share(&self, name: &IndexName) -> Option<&Share<'a>> {
        let own = self.shares.get(&name.to_string());
        own.or_else(|| match name {
            IndexName::Contents(_, of) => {
                let beside = IndexName::SuiteContents(of.clone());
                self.shares.get(&beside.to_string())
            }
            _ => None,
        })
    }
}

/// The plain bytes of the indices that a merge reads, summed over its inputs.
fn plain_bytes(plan: &Plan<'_>, suite: &SuitePlan<'_>) -> BTreeMap<IndexName, u64> {
    let config: &Config = plan.config;
    let published = indices::published(config, suite.suite);
    let components = config.components_of(suite.suite);
    let is_read = |name: &IndexName| {
        let is_ours = || {
            config.indices.contains(&name.family())
                && name.component().is_none_or(|c| components.contains(c))
        };
        published.contains(name) || (name.is_optional() && is_ours())
    };
    let mut sizes = BTreeMap::new();
    for (archive, _, upstream) in config.inputs(suite.suite) {
        let Some(spooled) = plan.spool.get(archive, upstream) else {
            continue;
        };
        for (plain, stored) in &spooled.copy.indices {
            let name =
                IndexName::parse_packages(plain).or_else(|| IndexName::parse_optional(plain));
            if let Some(name) = name.filter(is_read) {
                *sizes.entry(name).or_default() += stored.size;
            }
        }
    }
    sizes
}

struct Watched<'s> {
    watch: &'s Watch<'s>,
    inner: &'s dyn Sink,
}

impl Sink for Watched<'_> {
    fn text(&self, name: &IndexName, text: &Text<'_>) -> Result<()> {
        self.inner.text(name, text)?;
        if let Some(share) = self.watch.share(name) {
            share.complete();
        }
        Ok(())
    }

    fn stream(
        &self,
        name: &IndexName,
        produce: &mut dyn FnMut(&mut dyn Write) -> Result<()>,
    ) -> Result<()> {
        let Some(share) = self.watch.share(name) else {
            return self.inner.stream(name, produce);
        };
        self.inner.stream(name, &mut |out| {
            let mut counted = Counted {
                out,
                share,
                bytes: 0,
            };
            produce(&mut counted)?;
            share.advance_within(counted.bytes);
            Ok(())
        })?;
        // What all components share is not done with the first of them.
        if self.watch.shares.contains_key(&name.to_string()) {
            share.complete();
        }
        Ok(())
    }

    fn recall(&self, names: &[IndexName], key: &DerivedKey) -> Result<Option<BTreeSet<String>>> {
        let recalled = self.inner.recall(names, key)?;
        if recalled.is_some() {
            let shares = names.iter().filter_map(|name| self.watch.share(name));
            shares.for_each(Share::forgo);
        }
        Ok(recalled)
    }

    fn remember(&self, names: &[IndexName], key: &DerivedKey, warnings: &BTreeSet<String>) {
        self.inner.remember(names, key, warnings);
    }
}

/// Counts a stream on its way, not byte by byte.
struct Counted<'w> {
    out: &'w mut dyn Write,
    share: &'w Share<'w>,
    bytes: u64,
}

impl Write for Counted<'_> {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        let count = self.out.write(buf)?;
        self.bytes += count as u64;
        if self.bytes >= COUNT_BYTES {
            self.share.advance_within(std::mem::take(&mut self.bytes));
        }
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}
