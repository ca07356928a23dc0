//! One suite, on its way from production to volatile: kept, signed again, or merged anew.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::SystemTime;

use jiff::Timestamp;

use crate::cache::Cache;
use crate::cancel::Cancel;
use crate::deb822::Release;
use crate::deb822::identity::{self, Change};
use crate::difference::Difference;
use crate::durable;
use crate::error::{Error, Result};
use crate::events::{Listener, Silent, Task};
use crate::indices;
use crate::manifest::{FileDigests, Manifest, ManifestFile};
use crate::merge::{self, Input, MergeError, SuiteMerge, SuiteReport};
use crate::openpgp::{Signed, Signer};
use crate::spec::HashKind;
use crate::workspace::{DerivedRecord, GivenUp, InputRecord, LastReferenced, SuiteRecord};

use super::changes::Changes;
use super::compare::{Comparer, Comparison};
use super::error::{Guard, PublishError};
use super::files::{Writer, Written};
use super::kept::{Kept, Sums};
use super::plan::{Action, Allowances, Plan, SuitePlan};
use super::release::{self, FileDigest};
use super::{by_hash, hard_links, readback, validity};

/// One suite, on its way from production to volatile.
pub(super) struct SuiteStage<'a> {
    pub(super) plan: &'a Plan<'a>,
    pub(super) suite: &'a SuitePlan<'a>,
    /// The suite's directory in production.
    pub(super) old: PathBuf,
    /// The suite's directory in volatile.
    pub(super) new: PathBuf,
    pub(super) allow: Allowances,
    pub(super) cache: &'a Cache,
    pub(super) cancel: &'a Cancel,
    pub(super) number: u64,
    /// `true` if production does not hold the suite as its manifest has it.
    pub(super) is_damaged: bool,
}

/// Everything that a suite is made from, once nothing of it was refused.
struct Prepared<'a> {
    inputs: Vec<Box<dyn Input + 'a>>,
    /// The Release that is served.
    old_release: Option<Release>,
    /// The fields of the new Release by which clients know the suite.
    identity: Vec<(String, String)>,
    valid_until: Option<Timestamp>,
    /// The Release that is served, if a key of ours has signed it.
    proven: Option<Release>,
}

/// The entries that are kept of a suite that is new: none.
static NOTHING_KEPT: Sums = Sums::new();

/// The heads of a suite that is new.
static NO_HEADS: BTreeMap<String, u64> = BTreeMap::new();

/// Returns whether a merge failed because something is gone from the cache.
fn is_lost(why: &Error) -> bool {
    matches!(why.downcast_ref(), Some(MergeError::Lost))
}

/// The text that a dry run signs to see whether the keys can; its signature is thrown away.
const TRIAL: &str = "A trial of the signing keys; nothing is published.\n";

impl SuiteStage<'_> {
    /// Returns whether a directory of production belongs to another suite, whose name begins with this one's.
    fn is_other_suite(&self, path: &Path) -> bool {
        let Some(name) = path
            .strip_prefix(&self.old)
            .ok()
            .filter(|p| !p.as_os_str().is_empty())
        else {
            return false;
        };
        let name = Path::new(self.suite.name.as_str()).join(name);
        let is_suite = |other: &str| Path::new(other) == name;
        self.plan.published.suites.keys().any(|s| is_suite(s))
            || self.plan.suites.iter().any(|s| is_suite(s.name.as_str()))
    }

    /// Returns `old`, the Release that is served, if a key of ours has signed it: then the files that it lists may be carried on.
    fn proven(
        &self,
        old: Option<&Release>,
        signer: &Signer,
        listener: &dyn Listener,
    ) -> Result<Option<Release>> {
        // With --rebuild, no file that was published before is trusted.
        if old.is_none() || self.allow.rebuild {
            return Ok(None);
        }
        match readback::proven(&self.old, &signer.certificates()?, self.plan.now) {
            Ok(proven) => Ok(Some(proven)),
            Err(why) => {
                listener.warn(format!(
                    "suite {}: nothing of what is published is taken over, since no key of ours proves it: {why}",
                    self.suite.name
                ));
                Ok(None)
            }
        }
    }

    /// Returns the files that a proven Release lists.
    fn listed(&self, proven: Option<&Release>) -> BTreeMap<String, FileDigest> {
        proven
            .map(|old| release::listed(old, &self.suite.spec.content.hashes))
            .unwrap_or_default()
    }

    /// Returns the files that the served Release lists, to compare with, whether or not they may be carried on.
    fn served(&self, old: Option<&Release>) -> BTreeMap<String, FileDigest> {
        old.map(|old| release::listed(old, &BTreeSet::from([HashKind::Sha256])))
            .unwrap_or_default()
    }

    /// Returns the records of what the served indices were made from, as far as there are any.
    fn derived(&self) -> &BTreeMap<String, DerivedRecord> {
        /// The empty records of a suite that is new.
        static NONE: BTreeMap<String, DerivedRecord> = BTreeMap::new();
        self.suite.record.map_or(&NONE, |record| &record.derived)
    }

    /// Returns the served lists of patches that were proven when they were made.
    fn proven_patches(&self) -> &BTreeMap<String, String> {
        /// The empty records of a suite that is new.
        static NONE: BTreeMap<String, String> = BTreeMap::new();
        self.suite.record.map_or(&NONE, |record| &record.patches)
    }

    /// Returns what the merge of the served suite keeps for the next one.
    fn kept(&self) -> &Sums {
        self.suite
            .record
            .map_or(&NOTHING_KEPT, |record| &record.kept)
    }

    fn report_before(&self) -> Option<&SuiteReport> {
        self.suite.record.map(|record| &record.report)
    }

    fn comparison<'c>(
        &'c self,
        served: &'c BTreeMap<String, FileDigest>,
        keeps: bool,
    ) -> Comparison<'c> {
        Comparison {
            archives: &self.plan.settings.archives,
            old: &self.old,
            listed: served,
            cache: self.cache,
            keeps,
            changes: Changes::default(),
            warnings: Mutex::default(),
        }
    }

    /// Looks at everything that a suite is made from and held against, and refuses what can be refused before anything is merged.
    fn prepare(&self, signer: &Signer, listener: &dyn Listener) -> Result<Prepared<'_>> {
        let spec = self.suite.spec;
        let inputs = self.plan.inputs(self.suite)?;
        let old_release = self.old_release(listener)?;
        let inherited = release::inherited(&spec.content, &inputs)?;
        let identity = release::identity(self.suite.name, &spec.release.fields, inherited);
        let valid_until = validity::until(spec, self.suite.bound.as_ref(), self.plan.now)?;
        let proven = self.proven(old_release.as_ref(), signer, listener)?;
        // A Date that nothing proves must not stop the suite for ever.
        let dated = match self.allow.rebuild {
            true => old_release.as_ref(),
            false => proven.as_ref(),
        };
        self.guard_date(dated)?;
        self.guard_identity(old_release.as_ref(), &identity)?;
        Ok(Prepared {
            inputs,
            old_release,
            identity,
            valid_until,
            proven,
        })
    }

    /// Returns the record of what is published if only the signature is made anew, and all else is carried on.
    fn carried(&self, proven: Option<&Release>) -> Option<&SuiteRecord> {
        match self.suite.action {
            // A suite that only needs a new signature is merged anew if it is not proven, or not all there.
            Action::Sign(_) if proven.is_some() && !self.is_damaged => {
                self.suite.record.map(|record| &**record)
            }
            _ => None,
        }
    }

    /// Returns what making the suite anew would change, or the reason why it would be refused; writes nothing.
    pub(super) fn compare(&self, signer: &Signer) -> Result<Difference> {
        match self.compare_with(signer, self.kept()) {
            Err(why) if is_lost(&why) => self.compare_with(signer, &NOTHING_KEPT),
            compared => compared,
        }
    }

    fn compare_with(&self, signer: &Signer, kept: &Sums) -> Result<Difference> {
        let prepared = self.prepare(signer, &Silent)?;
        let old_release = prepared.old_release;
        let difference = match self.carried(prepared.proven.as_ref()) {
            Some(_) => Difference::default(),
            None => {
                let served = self.served(old_release.as_ref());
                let comparer = Comparer {
                    comparison: self.comparison(&served, false),
                    derived: self.derived(),
                    kept: Kept::new(self.cache, kept),
                };
                let merge = SuiteMerge::new(self.suite.spec, prepared.inputs, self.cancel);
                let report = merge::merge_suite(&merge, &comparer)?;
                let published = indices::published(&self.suite.spec.content);
                comparer.comparison.gone(&published)?;
                let changes = comparer.comparison.changes;
                self.guard_shrinking(&report, &changes)?;
                changes.finish(old_release.is_none(), &report, self.report_before())
            }
        };
        self.signed(signer, TRIAL)?;
        Ok(difference)
    }

    /// Links the suite as it is published.
    pub(super) fn keep(&self, record: &Arc<SuiteRecord>) -> Result<Arc<SuiteRecord>> {
        let manifest = self.manifest_before()?;
        for dir in manifest.directories() {
            durable::create_dir(&self.new.join(dir))?;
        }
        for path in manifest.files.keys() {
            let old = self.old.join(path);
            if old.symlink_metadata().is_ok_and(|m| m.is_file()) {
                hard_links::link_file(&old, &self.new.join(path))?;
            }
        }
        Ok(match manifest {
            Cow::Borrowed(_) => Arc::clone(record),
            Cow::Owned(manifest) => Arc::new(SuiteRecord {
                manifest,
                ..SuiteRecord::clone(record)
            }),
        })
    }

    /// Puts the published suite back in place of what was made; returns nothing if the suite was never published.
    pub(super) fn put_back(&self) -> Result<Option<Arc<SuiteRecord>>> {
        self.clear()?;
        self.suite
            .record
            .map(|record| self.keep(record))
            .transpose()
    }

    /// Removes what was made of the suite.
    pub(super) fn clear(&self) -> Result<()> {
        // Directories have the same names below volatile as below production.
        let to_old = |path: &Path| path.strip_prefix(&self.new).map(|rest| self.old.join(rest));
        hard_links::remove_tree(&self.new, &|path| {
            to_old(path).is_ok_and(|path| self.is_other_suite(&path))
        })
    }

    /// Makes the suite anew. If something is gone from the cache that the merge meant to use, the suite is made once more without it.
    pub(super) fn make(&self, signer: &Signer, listener: &dyn Listener) -> Result<SuiteRecord> {
        match self.make_with(signer, listener, self.kept()) {
            Err(why) if is_lost(&why) => {
                self.clear()?;
                self.make_with(signer, listener, &NOTHING_KEPT)
            }
            made => made,
        }
    }

    fn make_with(
        &self,
        signer: &Signer,
        listener: &dyn Listener,
        kept: &Sums,
    ) -> Result<SuiteRecord> {
        let plan = self.plan;
        let spec = self.suite.spec;
        let content = &spec.content;
        let Prepared {
            inputs,
            old_release,
            identity,
            valid_until,
            proven,
        } = self.prepare(signer, listener)?;
        let listed = self.listed(proven.as_ref());
        let carried = self.carried(proven.as_ref());
        let progress = listener.progress(Task::Merge {
            suite: self.suite.name.to_string(),
        });
        let dates = content.inputs.iter().zip(&inputs);
        let dates = dates.map(|(settings, input)| InputRecord {
            archive: settings.archive.to_string(),
            suite: settings.suite.to_string(),
            date: input.facts().date.as_second(),
        });
        let dates = dates.collect();
        let served = self.served(old_release.as_ref());
        let before = self.manifest_before()?;
        let writer = Writer {
            before: &before,
            old: &self.old,
            new: &self.new,
            listed: &listed,
            comparison: self.comparison(&served, true),
            history: self.suite.spec.release.patches,
            forms: &content.forms,
            hashes: &content.hashes,
            modified: SystemTime::from(plan.now),
            progress: &*progress,
            derived_before: self.derived(),
            proven_before: self.proven_patches(),
            proven: Mutex::default(),
            derived: Mutex::default(),
            heads_before: self.suite.record.map_or(&NO_HEADS, |record| &record.heads),
            heads: Mutex::default(),
            kept: Kept::new(self.cache, kept),
            files: Mutex::default(),
            manifest: Mutex::default(),
        };
        durable::create_dir(&self.new)?;
        let report = match carried {
            Some(record) => {
                writer.carry_all()?;
                record.report.clone()
            }
            None => {
                let merge = SuiteMerge::new(spec, inputs, self.cancel);
                progress.set_length(merge.expected());
                merge::merge_suite(&merge, &writer)?
            }
        };
        let published = indices::published(content);
        writer.comparison.gone(&published)?;
        self.guard_shrinking(&report, &writer.comparison.changes)?;
        for index in published {
            let path = format!("{}/Release", index.directory());
            writer.write_small(
                &path,
                release::directory_release(&identity, &index).as_bytes(),
            )?;
        }
        let Written {
            files,
            mut manifest,
            derived,
            proven,
            heads,
            kept,
            changes,
            warnings,
        } = writer.finish();
        for warning in warnings {
            listener.warn(format!("suite {}: {warning}", self.suite.name));
        }
        // No progress is drawn while gpg may have something to ask.
        drop(progress);
        let text = release::suite_release(content, &identity, plan.now, valid_until, &files);
        self.sign(signer, &text, &mut manifest)?;
        let (retained, given_up) = self.retain(&before, &mut manifest)?;
        if let Some(given_up) = given_up {
            let GivenUp { files, bytes } = given_up;
            let suite = self.suite.name;
            listener.info(format!(
                "suite {suite}: {files} files of {bytes} bytes went from by-hash before their time, as `by-hash.max-bytes` wants it"
            ));
        }
        Ok(SuiteRecord {
            generation: self.number,
            content: self.suite.content.clone(),
            release: self.suite.release.clone(),
            date: plan.now.as_second(),
            valid_until: valid_until.map(Timestamp::as_second),
            archives: dates,
            difference: changes.finish(old_release.is_none(), &report, self.report_before()),
            report,
            derived: carried.map_or(derived, |record| record.derived.clone()),
            heads: carried.map_or(heads, |record| record.heads.clone()),
            kept: carried.map_or(kept, |record| record.kept.clone()),
            patches: proven,
            manifest,
            retained,
            given_up,
        })
    }

    /// Returns the Release that is served now, if it can be read: a suite whose Release is damaged is made anew without it.
    fn old_release(&self, listener: &dyn Listener) -> Result<Option<Release>> {
        let found = readback::release(&self.old)?;
        for fault in found.faults {
            listener.warn(format!(
                "suite {}: what is published of it is damaged, {fault}",
                self.suite.name
            ));
        }
        Ok(found.release)
    }

    fn guard(&self, is_allowed: bool, guard: Guard) -> Result<()> {
        if is_allowed {
            return Ok(());
        }
        let suite = self.suite.name.to_string();
        Err(PublishError::Guard { suite, guard }.into())
    }

    fn guard_date(&self, old: Option<&Release>) -> Result<()> {
        let name = self.suite.name.as_str();
        let recorded = self.plan.published.suites.get(name);
        // If the Release was lost, the record still knows the Date that clients have.
        let date = match old {
            Some(old) => Some(old.date),
            None => recorded.and_then(|record| Timestamp::from_second(record.date).ok()),
        };
        match date {
            Some(published) if published >= self.plan.now => {
                let new = self.plan.now;
                self.guard(self.allow.date, Guard::Date { new, published })
            }
            _ => Ok(()),
        }
    }

    fn guard_identity(&self, old: Option<&Release>, new: &[(String, String)]) -> Result<()> {
        let Some(old) = old else {
            return Ok(());
        };
        let after = |field: &str| {
            let found = new.iter().find(|(f, _)| f.eq_ignore_ascii_case(field));
            found.map(|(_, value)| value.as_str())
        };
        match identity::change(|field| old.field(field), after) {
            Some(Change { field, from, to }) => {
                self.guard(self.allow.identity, Guard::Identity { field, from, to })
            }
            None => Ok(()),
        }
    }

    fn guard_shrinking(&self, report: &SuiteReport, changes: &Changes) -> Result<()> {
        let total = |report: &SuiteReport| {
            let counts = report.packages.values();
            counts.fold(0, |total: u64, count| total.saturating_add(*count))
        };
        let Some(before) = self.suite.record.map(|r| total(&r.report)) else {
            return Ok(());
        };
        let after = total(report);
        let bound = self.plan.settings.guards.max_shrink;
        if bound.is_exceeded_by_shrinking(before, after) {
            let shrink = Guard::Shrink {
                before,
                after,
                bound,
                losses: changes.losses().into_iter().collect(),
            };
            self.guard(self.allow.shrink, shrink)?;
        }
        Ok(())
    }

    /// Signs a text with the Date of the suite.
    fn signed(&self, signer: &Signer, text: &str) -> Result<Signed> {
        let at = SystemTime::from(self.plan.now);
        let signed = signer.sign(text.as_bytes(), at);
        signed.map_err(|source| {
            let suite = self.suite.name.to_string();
            PublishError::Signing { suite, source }.into()
        })
    }

    fn sign(&self, signer: &Signer, text: &str, manifest: &mut Manifest) -> Result<()> {
        let at = SystemTime::from(self.plan.now);
        let signed = self.signed(signer, text)?;
        for (name, data) in [
            ("Release", text.as_bytes()),
            ("Release.gpg", &signed.detached),
            ("InRelease", &signed.inline),
        ] {
            let path = self.new.join(name);
            durable::write_file(&path, data, Some(at))?;
            let file = ManifestFile::at(&path, FileDigests::of(data))?;
            manifest.files.insert(name.to_owned(), file);
        }
        Ok(())
    }

    /// Carries on the by-hash files of earlier generations, and enters them into the manifest of the new one. Returns them, and those that
    /// went before their time.
    fn retain(
        &self,
        before: &Manifest,
        manifest: &mut Manifest,
    ) -> Result<(BTreeMap<String, LastReferenced>, Option<GivenUp>)> {
        let empty = BTreeMap::new();
        let mut retained = by_hash::retained(
            by_hash::existing(before),
            &manifest.files,
            self.suite.record.map_or(&empty, |r| &r.retained),
            self.plan.settings.by_hash,
            self.plan.now.as_second(),
        );
        let max = self.plan.settings.by_hash.max_bytes;
        let given_up = max.and_then(|max| {
            let now = self.plan.now.as_second();
            by_hash::bound(&mut retained, &before.files, max, now)
        });
        let dirs: BTreeSet<&Path> = retained
            .keys()
            .filter_map(|p| Path::new(p).parent())
            .collect();
        for dir in dirs {
            durable::create_dir(&self.new.join(dir))?;
        }
        retained.retain(|path, _| before.files[path].is_at(&self.old.join(path)));
        for path in retained.keys() {
            let (old, new) = (self.old.join(path), self.new.join(path));
            hard_links::link_file(&old, &new)?;
            let file = ManifestFile::at(&new, before.files[path].digests.clone())?;
            manifest.files.insert(path.clone(), file);
        }
        Ok((retained, given_up))
    }

    /// Returns the manifest of what is published of the suite. Where none is on record, production is read.
    fn manifest_before(&self) -> Result<Cow<'_, Manifest>> {
        let recorded = self.suite.record.map(|record| &record.manifest);
        if let Some(recorded) = recorded.filter(|recorded| !recorded.is_empty()) {
            return Ok(Cow::Borrowed(recorded));
        }
        Manifest::read(&self.old, &|path| self.is_other_suite(path)).map(Cow::Owned)
    }
}
