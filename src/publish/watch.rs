//! Reports how far the merge of a suite has come, by the plain bytes of its input.
//!
//! A published index stands for the indices of its name in the inputs. These count as done when the published index is written, piece by
//! piece if the writer reports pieces, or when the index turns out to be the same as before. An index that is carried on unread, since
//! nothing that it was made from has changed, costs nothing: its bytes are taken off the expected ones, so that they do not pass for speed.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{self, Write};

use crate::config::{Config, Family};
use crate::error::Result;
use crate::events::{Listener, Task};
use crate::indices::{self, IndexName};
use crate::merge::{DerivedKey, Sink, Text};
use crate::progress::{Meter, Share};

use super::plan::{Action, Plan, SuitePlan};

/// The number of bytes of a stream that are counted at a time.
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

/// The shares of a suite's merge that are still to be done, by index.
pub(super) struct Watch<'a> {
    shares: BTreeMap<String, Share<'a>>,
}

impl<'a> Watch<'a> {
    /// Expects the bytes that the spool has of a suite's inputs.
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

    /// Counts bytes of an index that were written.
    pub(super) fn advance(&self, plain: &str, bytes: u64) {
        if let Some(share) = self.shares.get(plain) {
            share.advance_within(bytes);
        }
    }

    /// Returns a sink that reports what another sink has taken.
    pub(super) fn over<'s>(&'s self, inner: &'s dyn Sink) -> impl Sink + 's {
        Watched { watch: self, inner }
    }

    /// Returns an index's share. Contents for all components at once are spread over those of each.
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

/// Returns the plain bytes of the indices that a merge reads, summed over its inputs.
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
        // The share of a file for all components is not done with the first component.
        if self.watch.shares.contains_key(&name.to_string()) {
            share.complete();
        }
        Ok(())
    }

    fn scratch(&self) -> Result<File> {
        self.inner.scratch()
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

/// A writer that counts a stream, in large steps.
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
