//! `history`: what the latest generations changed.

use std::fmt::Write;
use std::process::ExitCode;
use std::str::FromStr;

use aptmerge::config::TimeSpan;
use aptmerge::error::Result;
use aptmerge::run::history::{History, PastArchive, PastPackage};
use aptmerge::workspace::View;
use clap::Args;
use jiff::civil::Date;
use jiff::{SignedDuration, Timestamp};

use super::context::Context;

/// Say what the latest generations changed: when, in which suites, which packages of which archives
///
/// The latest 100 generations are on record. Nothing is changed, and no lock is taken.
#[derive(Debug, Args)]
pub(super) struct HistoryArgs {
    /// Only what was published since then: 2026-05-09, 2026-05-09T10:21:35Z, or `12 hours` ago; dates are those of UTC
    #[arg(long, value_name = "TIME")]
    since: Option<Since>,
    /// Only this merged suite
    #[arg(long)]
    suite: Option<String>,
}

/// A time, or how long ago it was.
#[derive(Debug, Clone, Copy)]
enum Since {
    Time(Timestamp),
    Ago(TimeSpan),
}

impl FromStr for Since {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if let Ok(time) = text.parse() {
            return Ok(Since::Time(time));
        }
        if let Ok(span) = text.trim_end_matches(" ago").parse() {
            return Ok(Since::Ago(span));
        }
        let date: Option<Date> = text.parse().ok();
        let time = date.and_then(|date| date.to_zoned(jiff::tz::TimeZone::UTC).ok());
        time.map(|time| Since::Time(time.timestamp()))
            .ok_or_else(|| {
                "neither a date, nor a time, nor a span of time such as `12 hours`".into()
            })
    }
}

/// The packages of a kind that are named without `--verbose`.
const NAMED: usize = 10;

pub(super) fn history(context: &Context, args: &HistoryArgs) -> Result<ExitCode> {
    let config = context.config()?;
    let view = View::open(&config.root)?;
    let since = args.since.map(|since| match since {
        Since::Time(time) => time,
        Since::Ago(span) => {
            let span = i64::try_from(span.seconds()).unwrap_or(i64::MAX);
            let ago = SignedDuration::from_secs(span);
            context.now().checked_sub(ago).unwrap_or(Timestamp::MIN)
        }
    });
    let mut history = History::read(&view, since);
    if let Some(suite) = &args.suite {
        for past in &mut history.generations {
            past.suites.retain(|name, _| name == suite);
            past.removed.retain(|name| name == suite);
            past.links_changed = false;
        }
        let changes = |past: &aptmerge::run::history::Past| {
            !past.suites.is_empty() || !past.removed.is_empty()
        };
        history.generations.retain(changes);
    }
    match context.json {
        true => context.print_json(&history),
        false => context.print(&in_words(&history, context.is_verbose())),
    }
    Ok(ExitCode::SUCCESS)
}

fn in_words(history: &History, whole: bool) -> String {
    let mut text = String::new();
    let mut line = |words: String| {
        let _ = writeln!(text, "{words}"); // a String takes everything
    };
    for past in &history.generations {
        line(format!("generation {}, {}", past.generation, past.time));
        for (name, suite) in &past.suites {
            let quiet = suite.archives.is_empty() && suite.behind.is_empty();
            line(match (suite.is_new, quiet) {
                (true, _) => format!("  suite {name}: new"),
                (_, true) => format!("  suite {name}: no package changes"),
                _ => format!("  suite {name}"),
            });
            for (archive, changes) in &suite.archives {
                for (kind, packages) in kinds(changes) {
                    if !packages.is_empty() {
                        line(format!("    {archive}: {kind} {}", listed(packages, whole)));
                    }
                }
            }
            if suite.omitted > 0 {
                line(format!("    {} further changes", suite.omitted));
            }
            for fork in &suite.behind {
                line(format!("    fell behind: {fork}"));
            }
        }
        for suite in &past.removed {
            line(format!("  suite {suite}: no longer published"));
        }
        if past.links_changed {
            line("  aliases or links to pools changed".into());
        }
    }
    for why in &history.unknown {
        line(format!("unknown: {why}"));
    }
    if text.is_empty() {
        text.push_str("nothing was published");
    }
    text
}

fn kinds(archive: &PastArchive) -> [(&'static str, &[PastPackage]); 7] {
    [
        ("raised", &archive.raised),
        ("lowered", &archive.lowered),
        ("added", &archive.added),
        ("took over", &archive.taken_over),
        ("removed", &archive.removed),
        ("newly banned", &archive.banned),
        ("changed", &archive.changed),
    ]
}

fn listed(packages: &[PastPackage], whole: bool) -> String {
    let most = match whole {
        true => packages.len(),
        false => NAMED,
    };
    let named: Vec<_> = packages.iter().take(most).map(package_in_words).collect();
    let mut text = named.join(", ");
    if packages.len() > most {
        text.push_str(&format!(", and {} more", packages.len() - most));
    }
    text
}

fn package_in_words(package: &PastPackage) -> String {
    let joined = |versions: &std::collections::BTreeSet<String>| {
        let versions: Vec<_> = versions.iter().map(String::as_str).collect();
        versions.join(" and ")
    };
    let (name, before, after) = (
        &package.package,
        joined(&package.before),
        joined(&package.after),
    );
    match (before.is_empty(), after.is_empty()) {
        (false, false) if before != after => format!("{name} {before} -> {after}"),
        (_, true) => format!("{name} {before}"),
        _ => format!("{name} {after}"),
    }
}
