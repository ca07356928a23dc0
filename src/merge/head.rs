//! The head of a suite, as one merge keeps it for the next.
//!
//! A head is kept in parts: what each merge needs; the packages of the lowest archive that are not in the head; and the published names, which
//! are read only when an index is made of them. A sink gives exactly those bytes back that it was given under a key, or none. So a head
//! that is there is right, and one that is not there is merged anew.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::suite_report::SuiteReport;

use super::coded::{Reader, put, put_number};
use super::contested::Contested;
use super::input::{DerivedKey, Sink};
use super::left_out::LeftOut;
use super::selection::{Digests, Published};
use super::worlds::part_of;

/// The names of the parts.
const CONTESTED: &str = "contested";
const PUBLISHED: &str = "published";

/// The report on the groups of a head or a tail.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(super) struct PartReport {
    pub(super) report: SuiteReport,
    /// The packages that cannot be published, by group.
    pub(super) left_out: BTreeMap<String, LeftOut>,
}

impl PartReport {
    /// Adds another report.
    pub(super) fn absorb(&mut self, other: PartReport) {
        self.report.absorb(other.report);
        for (group, left_out) in other.left_out {
            self.left_out.entry(group).or_default().add(left_out);
        }
    }

    /// Returns the report on the suite.
    pub(super) fn finish(mut self) -> SuiteReport {
        for (group, left_out) in self.left_out {
            self.report.warnings.extend(left_out.finish(&group));
        }
        self.report
    }
}

/// The part of a head that each merge needs.
pub(super) struct Head {
    pub(super) report: PartReport,
    pub(super) digests: Digests,
    /// The bytes that the sink needs of each index in place of the text of its head, by the index's name.
    pub(super) indices: BTreeMap<String, Vec<u8>>,
}

impl Head {
    /// Keeps a head.
    pub(super) fn keep(
        &self,
        sink: &dyn Sink,
        key: &DerivedKey,
        contested: &Contested,
        published: &Published,
    ) {
        if let Some(head) = self.encode() {
            sink.keep(&part_of(key, PUBLISHED), &published.encode());
            sink.keep(&part_of(key, CONTESTED), &contested.encode());
            sink.keep(key, &head);
        }
    }

    /// Returns a kept head, and the packages of the lowest archive that are not in it.
    pub(super) fn recall(sink: &dyn Sink, key: &DerivedKey) -> Option<(Self, Contested)> {
        let head = Self::decode(&sink.kept(key)?)?;
        let contested = Contested::decode(&sink.kept(&part_of(key, CONTESTED))?)?;
        sink.keep_on(&part_of(key, PUBLISHED))
            .then_some((head, contested))
    }

    /// Returns the published names of a kept head.
    pub(super) fn published(sink: &dyn Sink, key: &DerivedKey) -> Option<Published> {
        Published::decode(&sink.kept(&part_of(key, PUBLISHED))?)
    }

    fn encode(&self) -> Option<Vec<u8>> {
        let mut out = Vec::new();
        put(&mut out, &serde_json::to_vec(&self.report).ok()?);
        put(&mut out, &serde_json::to_vec(&self.digests).ok()?);
        put_number(&mut out, self.indices.len() as u32);
        for (name, kept) in &self.indices {
            put(&mut out, name.as_bytes());
            put(&mut out, kept);
        }
        Some(out)
    }

    fn decode(kept: &[u8]) -> Option<Self> {
        let mut reader = Reader(kept);
        let report = serde_json::from_slice(reader.bytes()?).ok()?;
        let digests = serde_json::from_slice(reader.bytes()?).ok()?;
        let mut indices = BTreeMap::new();
        for _ in 0..reader.number()? {
            indices.insert(reader.text()?.to_owned(), reader.bytes()?.to_vec());
        }
        reader.is_done().then_some(Self {
            report,
            digests,
            indices,
        })
    }
}
