//! The text reports that package maintainers read, under `log/`, with the names and columns of amprolla.
//!
//! | file | columns |
//! | --- | --- |
//! | `bannedpackages.txt` | suite, package |
//! | `libsystemd.txt`, one for each watch | suite, package |
//! | `SUITE-oldpackages.txt` | suite, package, the overlay's version, the newest version that it hides |
//! | `sources.txt` | suite, archive, source, version, for which package of another archive it spoke, and is published without, or left out |
//! | `changes.txt` | what the generation changed: suite, how, package, versions and archives, index groups |
//! | `unclaimed.txt` | archive, its suite, a file that its Release lists and that belongs to no family of indices |
//! | `amprolla.txt` | one line for each generation |
//!
//! Lines are sorted and unique, and say what holds for the generation that is served. They are written from the records of
//! all suites, so a run that made one suite anew loses nothing of the others, and one that follows a crash makes up for what
//! the other did not come to write: `amprolla.txt` is written last, so where it names the generation, the others are of it as well, and only
//! those are written that somebody removed.
//!
//! A column holds a name of Debian's or a version, apart from the files of `unclaimed.txt`, which an archive can call what it likes, and
//! from whatever a record was made to hold. A text that has anything but ASCII letters, digits and `/._+~:%@^=-` in it, or begins with
//! something else than a letter, a digit or `.`, stands behind a `'` with each odd character as `\u{2c}`. So a line always has three
//! columns, it turns no text round, and a spreadsheet takes no column for a formula.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use jiff::Timestamp;

use crate::durable;
use crate::error::{Error, Result};
use crate::fetch::Spool;
use crate::merge::ForeignSource;
use crate::names::PackageName;
use crate::suite_report::report_of_older;
use crate::workspace::{Generation, Workspace};

/// The names of the reports on all suites.
const BANNED: &str = "bannedpackages.txt";
const SOURCES: &str = "sources.txt";
const CHANGES: &str = "changes.txt";

/// The most bytes of `amprolla.txt` that are kept.
const MAX_HISTORY_BYTES: usize = 1 << 20;

/// Writes every report that differs from its file, and the line of the generation if it is missing; `date` is the date of that
/// line if no suite has one.
pub(crate) fn write(
    workspace: &Workspace<'_>,
    watches: &BTreeSet<PackageName>,
    date: Timestamp,
) -> Result<()> {
    let log = workspace.layout().log();
    let generation = workspace.published();
    durable::clear_litter(&log)?;
    if generation.number == 0 {
        return Ok(());
    }
    let path = log.join("amprolla.txt");
    let mut history = match durable::read_regular(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Vec::new(),
        Err(error) => return Err(Error::io("read", &path)(error)),
    };
    let changed = generation
        .suites
        .iter()
        .filter(|(_, record)| record.generation == generation.number);
    let names: Vec<_> = changed.clone().map(|(name, _)| name.as_str()).collect();
    let date = changed
        .filter_map(|(_, record)| Timestamp::from_second(record.date).ok())
        .max()
        .unwrap_or(date);
    let line = format!(
        "{date},generation {},{}\n",
        generation.number,
        names.join(" ")
    );
    let last = Last::of(
        &history,
        generation.number,
        line.trim_ascii_end(),
        names.is_empty(),
    );
    let there = files_in(&log)?;
    if last == Last::This && all_names(generation, watches).is_subset(&there) {
        return Ok(());
    }
    let is_new = |suite: &str| {
        let record = generation.suites.get(suite);
        record.is_none_or(|record| record.generation == generation.number)
    };
    for (name, (suite, lines)) in reports(generation, watches) {
        let is_current = last != Last::Another && suite.is_some_and(|suite| !is_new(suite));
        if is_current && there.contains(&name) {
            continue;
        }
        let mut text = lines.into_iter().collect::<Vec<_>>().join("\n");
        if !text.is_empty() {
            text.push('\n');
        }
        write_if_new(&log.join(name), text.as_bytes())?;
    }
    write_if_new(&log.join(CHANGES), changes(generation).as_bytes())?;
    if last == Last::This {
        return Ok(());
    }
    history.extend_from_slice(line.as_bytes());
    let excess = history.len().saturating_sub(MAX_HISTORY_BYTES);
    let start = history[excess..]
        .iter()
        .position(|b| *b == b'\n')
        .map_or(0, |n| excess + n + 1);
    durable::write(
        &path,
        if excess == 0 {
            &history
        } else {
            &history[start..]
        },
        None,
    )
}

/// The generation that the last line of `amprolla.txt` names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Last {
    /// The one that is published.
    This,
    /// The one before.
    Before,
    /// Another one, or none.
    Another,
}

impl Last {
    /// Reads the history; `line` is what it should say of the generation. If no suite changed, its time is not known.
    fn of(history: &[u8], number: u64, line: &str, is_undated: bool) -> Last {
        let last = history.trim_ascii_end().rsplit(|b| *b == b'\n').next();
        let names = |number: u64| {
            let number = format!(",generation {number},");
            last.is_some_and(|line| memchr::memmem::find(line, number.as_bytes()).is_some())
        };
        match number.checked_sub(1) {
            _ if last == Some(line.as_bytes()) || is_undated && names(number) => Last::This,
            Some(before) if names(before) => Last::Before,
            _ => Last::Another,
        }
    }
}

/// Returns the names in a directory.
fn files_in(dir: &Path) -> Result<BTreeSet<String>> {
    let entries = fs::read_dir(dir).map_err(Error::io("list", dir))?;
    let names = entries.map(|entry| {
        let name = entry.map_err(Error::io("list", dir))?.file_name();
        Ok(name.to_string_lossy().into_owned())
    });
    names.collect()
}

/// Returns the names of all reports of a generation.
fn all_names(generation: &Generation, watches: &BTreeSet<PackageName>) -> BTreeSet<String> {
    let watches = watches.iter().map(|watch| format!("{watch}.txt"));
    let suites = generation.suites.keys();
    let suites = suites.map(|suite| report_of_older(suite));
    let others = [BANNED, SOURCES, CHANGES].map(str::to_owned);
    watches.chain(suites).chain(others).collect()
}

/// Writes which files of the archives' suites belong to no family; reads the spool as it is, whatever is published.
pub(crate) fn write_unclaimed(workspace: &Workspace<'_>, spool: &Spool) -> Result<()> {
    let lines = spool.iter().flat_map(|((archive, suite), spooled)| {
        let files = spooled.copy.unclaimed.iter();
        files.map(move |file| format!("{archive},{suite},{}\n", column(file)))
    });
    let text: String = lines.collect();
    let path = workspace.layout().log().join("unclaimed.txt");
    write_if_new(&path, text.as_bytes())
}

/// Returns somebody else's name as it stands in a column.
fn column(name: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "/._+~:%@^=-".contains(c);
    let begins_plain = name.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '.');
    if begins_plain && name.chars().all(is_plain) {
        return name.to_owned();
    }
    let mut column = String::from("'");
    for c in name.chars() {
        match is_plain(c) {
            true => column.push(c),
            false => column.extend(c.escape_unicode()),
        }
    }
    column
}

fn write_if_new(path: &std::path::Path, text: &[u8]) -> Result<()> {
    if durable::read_regular(path).is_ok_and(|old| old == text) {
        return Ok(());
    }
    durable::write(path, text, None)
}

/// Returns the lines about the changes of the last generation.
fn changes(generation: &Generation) -> String {
    let mut text = String::new();
    for (suite, record) in &generation.suites {
        if record.generation == generation.number {
            for change in &record.difference.changes {
                text.push_str(&format!("{suite} {change}\n"));
            }
            for fork in &record.difference.behind {
                text.push_str(&format!("{suite} fell behind  {fork}\n"));
            }
            text.push_str(&format!("{suite} {}\n", record.difference.summary()));
        }
    }
    text
}

/// The lines of a report, and the suite that it is about if it is about one.
type Report<'a> = (Option<&'a str>, BTreeSet<String>);

/// Returns the lines of each report.
fn reports<'a>(
    generation: &'a Generation,
    watches: &BTreeSet<PackageName>,
) -> BTreeMap<String, Report<'a>> {
    let mut reports: BTreeMap<String, Report<'a>> = BTreeMap::new();
    for watch in watches {
        reports.insert(format!("{watch}.txt"), Report::default());
    }
    reports.insert(BANNED.into(), Report::default());
    reports.insert(SOURCES.into(), Report::default());
    for (suite, record) in &generation.suites {
        let report = &record.report;
        let mut add = |file: String, line: String| {
            reports.entry(file).or_default().1.insert(line);
        };
        for banned in &report.banned {
            add(
                BANNED.into(),
                format!("{suite},{}", column(&banned.package)),
            );
        }
        // Only configured watches become names of files, whatever was recorded.
        for watch in watches {
            for package in report.watched.get(watch.as_str()).into_iter().flatten() {
                add(
                    format!("{watch}.txt"),
                    format!("{suite},{}", column(package)),
                );
            }
        }
        for source in &report.foreign_sources {
            let ForeignSource {
                archive,
                source,
                version,
                what,
            } = source;
            add(
                SOURCES.into(),
                format!(
                    "{suite},{},{},{},{what}",
                    column(archive),
                    column(source),
                    column(version)
                ),
            );
        }
        let file = report_of_older(suite);
        for older in &report.older {
            add(
                file.clone(),
                format!(
                    "{suite},{},{},{}",
                    column(&older.package),
                    column(&older.winner),
                    column(&older.hidden)
                ),
            );
        }
        reports.entry(file).or_default().0 = Some(suite);
    }
    reports
}
