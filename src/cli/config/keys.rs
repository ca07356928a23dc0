//! Looks at the keyrings of the archives and at the signing keys as a run would, and ahead.

use std::time::SystemTime;

use aptmerge::config::{Config, Problem};
use aptmerge::error::chain;
use aptmerge::openpgp::{Error, KeyVerdict, Keyring};
use aptmerge::run::{Horizon, KeyNotice, own_keys};
use jiff::Timestamp;

use crate::cli::failure::about;
use crate::cli::hint::openpgp;
use crate::cli::keys;

/// Adds what is wrong with keys, and what soon will be.
pub(super) fn look(
    config: &Config,
    now: Timestamp,
    problems: &mut Vec<Problem>,
    warnings: &mut Vec<Problem>,
) {
    let horizon = keys::horizon(config, now);
    for (name, archive) in &config.archives {
        let key = format!("archives.{name}.signed-by");
        match archive.keyring() {
            Ok(keyring) => {
                let lines = keyring.left_out().iter();
                warnings.extend(lines.map(|line| about(key.clone(), line.to_string())));
                keyring_of(&key, &keyring, now, horizon, problems, warnings);
            }
            Err(error) => problems.push(fault(key, &error)),
        }
    }
    // If nothing was fetched yet, nothing is known; what is wrong with the spool, a run says.
    for notice in keys::of_archives(config, now).unwrap_or_default() {
        let archive = notice.archive.as_deref().unwrap_or_default();
        let key = format!("archives.{archive}.signed-by");
        warnings.push(told(key, &notice));
    }
    let signing = || "signing".to_owned();
    match own(config, now, horizon) {
        Ok(notices) => warnings.extend(notices.iter().map(|notice| told(signing(), notice))),
        Err(error) => problems.push(fault(signing(), &error)),
    }
}

/// Judges a keyring: one of its keys has to count.
fn keyring_of(
    key: &str,
    keyring: &Keyring,
    now: Timestamp,
    horizon: Horizon,
    problems: &mut Vec<Problem>,
    warnings: &mut Vec<Problem>,
) {
    let verdicts = keyring.verdicts(SystemTime::from(now));
    let faults = verdicts
        .iter()
        .filter_map(|verdict| verdict.fault.as_ref().map(|fault| (verdict, fault)));
    if !verdicts.iter().any(|verdict| verdict.counts) {
        for (_, why) in faults {
            problems.push(of_keyring(key, chain(why), why));
        }
        return;
    }
    // A keyring may well hold former keys; but why a key is too weak, nobody sees from outside.
    for (verdict, why) in faults.filter(|(_, why)| why.is_weak_key()) {
        let what = match verdict.counts {
            true => "counts for the time being only",
            false => "does not count",
        };
        let certificate = &verdict.certificate;
        let message = format!("the key {certificate} {what}: {}", chain(why));
        warnings.push(of_keyring(key, message, why));
    }
    let ends = verdicts.iter().filter(|verdict| verdict.counts);
    let ends: Option<Vec<SystemTime>> = ends.map(|KeyVerdict { lapses, .. }| *lapses).collect();
    let last = ends.and_then(|ends| ends.into_iter().max());
    let last = last.and_then(|end| Timestamp::try_from(end).ok());
    if let Some(end) = last.filter(|end| horizon.includes(*end)) {
        warnings.push(about(
            key.to_owned(),
            format!("its last key that counts expires on {end}"),
        ));
    }
}

/// Looks at our own keys; an error says that a run could sign nothing.
fn own(config: &Config, now: Timestamp, horizon: Horizon) -> Result<Vec<KeyNotice>, Error> {
    let signer = config.signing.signer()?;
    let mut keys = signer.ready(now.into())?;
    if let Some(why) = keys.take_inability() {
        return Err(why);
    }
    signer.check_private()?;
    Ok(own_keys(&keys, horizon))
}

/// Returns a problem of a key of an archive, with the hint that a refused signature by it has.
fn of_keyring(key: &str, message: String, why: &Error) -> Problem {
    let cause = match why {
        Error::NoSigningKey { why: Some(why), .. } => why,
        other => other,
    };
    Problem {
        hint: openpgp::hint(cause),
        ..about(key.to_owned(), message)
    }
}

fn fault(key: String, error: &Error) -> Problem {
    Problem {
        hint: openpgp::hint(error),
        ..about(key, chain(error))
    }
}

fn told(key: String, notice: &KeyNotice) -> Problem {
    Problem {
        hint: openpgp::of_key(notice),
        ..about(key, notice.to_string())
    }
}
