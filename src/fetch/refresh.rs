//! Refreshes all suites of all archives, side by side.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::Instant;

use jiff::Timestamp;
use rayon::prelude::*;

use crate::cancel::Cancel;
use crate::durable;
use crate::error::{Error, Result};
use crate::events::Listener;
use crate::names::{ArchiveName, SuiteName};
use crate::proxy::Proxies;
use crate::quoted::quoted;
use crate::spec::Spec;
use crate::workspace::{Generation, InputRecord, Workspace, is_damaged};

use super::copy::Seen;
use super::error::{FetchError, SpoolError};
use super::proof::{Proof, prove_signature};
use super::settings::{Source, Sources};
use super::spool::{self, Freshness, Held, Spool, SpooledSuite};
use super::stored;
use super::transport::{self, Transport, TransportOptions};
use super::update::{FetchOptions, Found, SuiteFetch};

/// Refreshes the spool.
///
/// A suite that cannot be refreshed keeps its last good copy, and the listener is warned. A suite that has no copy is absent from the
/// spool: merged suites that need it cannot be made, and all others go on.
pub(crate) fn refresh(
    workspace: &Workspace<'_>,
    sources: &Sources,
    suites: &[Spec],
    options: FetchOptions<'_>,
    listener: &dyn Listener,
) -> Result<Spool> {
    let dir = workspace.layout().spool();
    let objects = dir.join("objects");
    durable::create_dir(&objects)?;
    durable::check_real(&objects)?;
    spool::clear_litter(&dir)?;
    let transports = transports(sources);
    let pool = rayon::ThreadPoolBuilder::new()
        .num_threads(sources.settings.parallel)
        .thread_name(|n| format!("fetch-{n}"))
        .build()
        .map_err(|e| Error::io("start threads for", &dir)(std::io::Error::other(e)))?;
    let keyrings = spool::keyrings(sources);
    let wanted: Vec<_> = spool::upstream_suites(suites).into_iter().collect();
    let fetched = pool.install(|| {
        wanted
            .into_par_iter()
            .map(|(name, suite)| {
                options.cancel.check()?;
                let keyring = &keyrings[&name];
                let flat = sources.flat(&name, &suite);
                let held = spool::read_copy(
                    &dir,
                    &name,
                    &suite,
                    flat,
                    (keyring, options.verdicts),
                    options.now,
                );
                let last = || last_published(workspace.published(), &name, &suite);
                let (old, last_published) = match held {
                    Ok(Some(held)) if held.doubt().is_some() => (Some(held), last()),
                    Ok(old) => (old, None),
                    Err(error) if is_damaged(&error) => {
                        let last = last();
                        listener.warn(copy_is_lost(&name, &suite, &error, last));
                        (None, last)
                    }
                    Err(error) => return Err(error),
                };
                let source = &sources.archives[&name];
                let means = match (keyring, &transports[&name]) {
                    (Ok(keyring), Ok(transport)) => Ok((keyring, transport)),
                    (Err(error), _) => {
                        let files = source.signed_by.iter().map(|f| f.display().to_string());
                        Err(FetchError::Keyring {
                            files: files.collect::<Vec<_>>().join(", "),
                            source: error.clone(),
                        })
                    }
                    (_, Err(error)) => Err(FetchError::NoTransport(error.clone())),
                };
                let fetched = match means {
                    Ok((keyring, transport)) => SuiteFetch {
                        settings: &sources.settings,
                        suites,
                        name: &name,
                        source,
                        suite: &suite,
                        settings_of_suite: source.suite(&suite),
                        keyring,
                        transport,
                        spool: &dir,
                        // A copy that proves nothing is no measure for a new one.
                        old: old
                            .as_ref()
                            .filter(|h| h.doubt().is_none())
                            .map(|h| &h.copy),
                        believes_unchanged: old
                            .as_ref()
                            .is_some_and(|h| matches!(h.proof, Proof::Today(_))),
                        last_published,
                        newest: Mutex::new(old.as_ref().and_then(|h| h.copy.newest.clone())),
                        options,
                        deadline: Instant::now() + sources.settings.suite_timeout.duration(),
                        listener,
                    }
                    .run(),
                    Err(error) => (Err(error), old.as_ref().and_then(|h| h.copy.newest.clone())),
                };
                let (found, newest) = fetched;
                let copy = found.as_ref().ok().and_then(|found| found.copy.as_ref());
                // The copy was verified a moment ago, so only the keys are of interest here.
                let proof = copy.and_then(|copy| {
                    prove_signature(copy, keyring, options.verdicts, options.now).ok()
                });
                let fetched = (found, newest, proof);
                let spooled =
                    choose_copy(&dir, &name, &suite, old, fetched, options.cancel, listener)?;
                Ok(((name, suite), spooled))
            })
            .collect::<Result<Vec<_>>>()
    })?;
    let stored = stored::pin(workspace.layout(), suites);
    let mut suites = BTreeMap::new();
    let mut absent = BTreeMap::new();
    for (key, spooled) in fetched {
        match spooled {
            Ok(spooled) => drop(suites.insert(key, spooled)),
            Err(why) => drop(absent.insert(key, why)),
        }
    }
    let may_be_new = |freshness: &Freshness| {
        matches!(freshness, Freshness::Updated)
            || matches!(freshness, Freshness::Kept(why) if why.is_behind())
    };
    if suites.values().any(|s| may_be_new(&s.freshness)) {
        spool::collect_garbage(&dir)?;
    }
    Ok(Spool::new(dir, suites, absent, stored))
}

/// Returns the Date of the latest Release of an archive's suite that something published was made from.
fn last_published(
    published: &Generation,
    name: &ArchiveName,
    suite: &SuiteName,
) -> Option<Timestamp> {
    let inputs = published.suites.values().flat_map(|s| &s.archives);
    let is_it =
        |input: &&InputRecord| input.archive == name.as_str() && input.suite == suite.as_str();
    let latest = inputs.filter(is_it).map(|input| input.date).max()?;
    Timestamp::from_second(latest).ok()
}

/// Returns the warning for a copy that cannot be read: it says which protections remain without the copy.
fn copy_is_lost(
    name: &ArchiveName,
    suite: &SuiteName,
    error: &Error,
    last_published: Option<Timestamp>,
) -> String {
    let left = match last_published {
        Some(date) => format!(
            "a Release older than the one of {date}, which was published last, is still refused, but this once a change of Origin, Label, Codename or NotAutomatic is not noticed"
        ),
        None => "nothing is on record of what was published from it, so this once neither a rollback nor a change of Origin, Label, Codename or NotAutomatic is noticed".to_owned(),
    };
    format!(
        "suite `{suite}` of archive `{name}` is fetched anew, since its copy is lost: {}; {left}",
        crate::error::chain(error)
    )
}

/// Chooses the copy that the run goes on with: the new one, or the last good one. Returns why there is none, if there is none.
fn choose_copy(
    dir: &std::path::Path,
    name: &ArchiveName,
    suite: &SuiteName,
    old: Option<Held>,
    (outcome, newest, proof): (Result<Found, FetchError>, Option<Seen>, Option<Proof>),
    cancel: &Cancel,
    listener: &dyn Listener,
) -> Result<Result<SpooledSuite, Arc<FetchError>>> {
    let (outcome, behind) = match outcome {
        Ok(found) => (Ok(found.copy), found.behind.map(Arc::new)),
        Err(error) => (Err(error), None),
    };
    let mut old = old;
    // The newest Release that was seen is recorded, whatever the outcome is.
    if let Some(held) = &mut old
        && !matches!(outcome, Ok(Some(_)))
        && held.copy.newest != newest
    {
        held.copy.newest.clone_from(&newest);
        spool::write_copy(dir, name, suite, &held.copy)?;
    }
    if let Some(behind) = &behind {
        let text =
            format!("suite `{suite}` of archive `{name}` is not at its newest state: {behind}");
        listener.warn_of(text, Arc::clone(behind));
    }
    match (outcome, old) {
        (Ok(Some(mut copy)), old) => {
            copy.newest = newest;
            spool::write_copy(dir, name, suite, &copy)?;
            let old = old.map(|held| held.copy);
            let known = old.as_ref().map(|old| &old.unclaimed);
            if known != Some(&copy.unclaimed) && !copy.unclaimed.is_empty() {
                listener.info(unclaimed_in_words(name, suite, &copy.unclaimed));
            }
            let same = old.is_some_and(|o| o.release == copy.release && o.indices == copy.indices);
            let freshness = if same {
                Freshness::Current
            } else {
                Freshness::Updated
            };
            if !same {
                listener.info(format!("fetched {name} {suite} from {}", copy.uri));
            }
            let freshness = behind.map_or(freshness, Freshness::Kept);
            let proof = proof.unwrap_or(Proof::WhenFetched);
            SpooledSuite::new(name, suite, copy, freshness, proof).map(Ok)
        }
        (Ok(None), Some(held)) => {
            let freshness = behind.map_or(Freshness::Current, Freshness::Kept);
            SpooledSuite::new(name, suite, held.copy, freshness, held.proof).map(Ok)
        }
        (Err(_), _) if cancel.is_cancelled() => Err(Error::Cancelled),
        (Err(FetchError::Spool(error)), _) => Err(error),
        (Err(error), Some(held)) => {
            let error = Arc::new(error);
            spool::tell_kept(name, suite, &held.copy, &error, listener);
            let freshness = Freshness::Kept(error);
            SpooledSuite::new(name, suite, held.copy, freshness, held.proof).map(Ok)
        }
        (Err(error), None) => Ok(Err(Arc::new(error))),
        (Ok(None), None) => Err(SpoolError::NotFetched {
            archive: name.to_string(),
            suite: suite.to_string(),
        }
        .into()),
    }
}

/// Returns a text that says which files no family claims, a few by name.
fn unclaimed_in_words(
    name: &ArchiveName,
    suite: &SuiteName,
    unclaimed: &BTreeSet<String>,
) -> String {
    let some: Vec<String> = unclaimed.iter().take(3).map(|file| quoted(file)).collect();
    let more = match unclaimed.len() - some.len() {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    format!(
        "{name} {suite} lists files that belong to no family of indices and are not merged: {}{more}; log/unclaimed.txt has them all",
        some.join(", ")
    )
}

/// The transport of an archive, or the reason why it has none.
type Means = std::result::Result<Transport, Arc<transport::Error>>;

/// Makes the transports of all archives. Archives that are fetched in the same way share one, with its connections.
fn transports(sources: &Sources) -> BTreeMap<&ArchiveName, Means> {
    let mut made: Vec<(TransportOptions, Means)> = Vec::new();
    let archives = sources.archives.iter();
    archives
        .map(|(name, source)| {
            let options = transport_options(sources, source);
            let means = match made.iter().find(|(known, _)| *known == options) {
                Some((_, means)) => means.clone(),
                None => {
                    let means = Transport::new(options.clone()).map_err(Arc::new);
                    made.push((options, means.clone()));
                    means
                }
            };
            (name, means)
        })
        .collect()
}

fn transport_options(sources: &Sources, source: &Source) -> TransportOptions {
    let fetch = &sources.settings;
    TransportOptions {
        connect_timeout: fetch.connect_timeout.duration(),
        response_timeout: fetch.timeout.duration(),
        stall_timeout: fetch.timeout.duration(),
        minimum_speed: fetch.minimum_speed.bytes(),
        retries: fetch.retries,
        backoff: fetch.backoff.duration(),
        tls: source.tls.clone(),
        proxies: Proxies {
            archive: source.proxy.clone(),
            general: fetch.proxy.clone(),
            environment: sources.environment.clone(),
        },
        ..TransportOptions::default()
    }
}
