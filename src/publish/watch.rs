//! Tells how far the merge of a suite has come, by the plain bytes of what goes into it.
//!
//! An index that is published stands for those of its name in the inputs. They count as done when it is written, bit by bit as far
//! as the writer tells, or when it turns out to be the same as before. What is carried on unread, since nothing that it was
//! made from has changed, costs nothing: it is taken off what is expected, so that it does not pass for speed.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Write};

use crate::config::Config;
use crate::error::Result;
use crate::indices::{self, IndexName};
use crate::merge::{DerivedKey, Sink, Text};
use crate::progress::{Meter, Share};

use super::plan::{Plan, SuitePlan};

/// How many bytes of a stream are counted at a time.
const COUNT_BYTES: u64 = 64 << 10;

/// What is still to be done of a suite's merge, by index.
pub(super) struct Watch<'a> {
    shares: BTreeMap<String, Share<'a>>,
}

impl<'a> Watch<'a> {
    /// Expects what the spool has of a suite's inputs.
    pub(super) fn new(meter: &'a Meter<'a>, plan: &Plan<'_>, suite: &SuitePlan<'_>) -> Self {
        let sizes = plain_bytes(plan, suite).into_iter();
        let shares = sizes.map(|(name, bytes)| (name, meter.share(bytes)));
        let watch = Self {
            shares: shares.collect(),
        };
        meter.tell();
        watch
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
fn plain_bytes(plan: &Plan<'_>, suite: &SuitePlan<'_>) -> BTreeMap<String, u64> {
    let config: &Config = plan.config;
    let published: BTreeSet<String> = indices::published(config, suite.suite)
        .iter()
        .map(ToString::to_string)
        .collect();
    let components = config.components_of(suite.suite);
    let is_read = |plain: &str| {
        published.contains(plain)
            || IndexName::parse_optional(plain).is_some_and(|name| {
                config.indices.contains(&name.family())
                    && name.component().is_none_or(|c| components.contains(c))
            })
    };
    let mut sizes = BTreeMap::new();
    for (archive, _, upstream) in config.inputs(suite.suite) {
        let Some(spooled) = plan.spool.get(archive, upstream) else {
            continue;
        };
        for (plain, stored) in &spooled.copy.indices {
            if is_read(plain) {
                *sizes.entry(plain.clone()).or_default() += stored.size;
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
