//! `explain`: where a package comes from, what it hides, or why it is gone.

use std::collections::BTreeSet;
use std::fmt::Write;
use std::process::ExitCode;

use aptmerge::cancel::Cancel;
use aptmerge::config::{Config, Suite, SuiteName};
use aptmerge::deb822::Name;
use aptmerge::error::{Error, Result};
use aptmerge::fetch::Spool;
use aptmerge::merge::{
    self, Exclusion, Fate, GroupExplanation, Inputs, OwnedBy, PackageCopy, PackageKind,
    SuiteExplanation, SuiteMerge,
};
use aptmerge::workspace::View;
use clap::Args;
use jiff::Timestamp;
use serde::Serialize;

use super::context::Context;
use super::error::CliError;

/// Say where a package comes from, what it hides, or why it is gone
///
/// What is fetched is judged by the configuration as it is now: what the next merge would make of it, be it published or not.
/// Nothing is changed, and no lock is taken.
#[derive(Debug, Args)]
pub(super) struct ExplainArgs {
    /// The name of a package, udeb or source
    package: String,
    /// Only this merged suite
    #[arg(long)]
    suite: Option<String>,
    /// Only this architecture; `source` for sources
    #[arg(long)]
    architecture: Option<String>,
}

/// The document that `--json` prints.
#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct Explanation<'a> {
    package: &'a str,
    suites: Vec<SuiteExplanation>,
}

pub(super) fn explain(context: &Context, args: &ExplainArgs) -> Result<ExitCode> {
    let config = context.config()?;
    let suites = suites(&config, args)?;
    let explained = match explain_suites(&config, &suites, args, context.now()) {
        // A run may replace the files while they are read. Then the new files are to be read.
        Err(Error::Io { .. }) => explain_suites(&config, &suites, args, context.now())?,
        other => other?,
    };
    let explanation = Explanation {
        package: &args.package,
        suites: explained,
    };
    if context.json {
        context.print_json(&explanation);
    } else {
        context.print(&in_words(&explanation, args.architecture.as_deref()));
    }
    Ok(ExitCode::SUCCESS)
}

type NamedSuite<'a> = (&'a SuiteName, &'a Suite);

/// Returns the suites that are asked for.
fn suites<'a>(config: &'a Config, args: &ExplainArgs) -> Result<Vec<NamedSuite<'a>>> {
    let known = config.suites.keys().map(|name| name.as_str());
    // The aliases of a suite are names of the suite.
    let is_asked = |(name, suite): &NamedSuite<'_>| {
        args.suite.as_deref().is_none_or(|asked| {
            name.as_str() == asked || suite.links.iter().any(|link| link.as_str() == asked)
        })
    };
    let mut suites: Vec<_> = config.suites.iter().filter(is_asked).collect();
    if suites.is_empty() {
        let asked = args.suite.as_deref().unwrap_or_default();
        return Err(unknown("suite", asked, known.collect()));
    }
    if let Some(asked) = args.architecture.as_deref() {
        let names = |suite: &Suite| {
            let spaces = config.name_spaces_of(suite).into_iter();
            let mut names: BTreeSet<_> = spaces.map(|a| a.as_str().to_owned()).collect();
            names.insert("source".to_owned());
            names
        };
        let known: BTreeSet<_> = suites.iter().flat_map(|(_, suite)| names(suite)).collect();
        if !known.contains(asked) {
            let known = known.iter().map(String::as_str).collect();
            return Err(unknown("architecture", asked, known));
        }
        suites.retain(|(_, suite)| names(suite).contains(asked));
    }
    Ok(suites)
}

fn unknown(what: &str, asked: &str, known: BTreeSet<&str>) -> Error {
    let nearest = nearest(asked, known.iter().copied());
    let nearest = nearest.map_or_else(String::new, |n| format!("did you mean `{n}`? "));
    let known: Vec<_> = known.into_iter().collect();
    CliError::Usage(format!(
        "there is no {what} `{asked}`: {nearest}there are: {}",
        known.join(", ")
    ))
    .into()
}

/// Returns the most similar of some names, if it is similar at all.
fn nearest<'a>(asked: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let bound = 2.max(asked.chars().count() / 3);
    let near = known.filter(|name| name.len().abs_diff(asked.len()) <= bound);
    near.map(|name| (strsim::damerau_levenshtein(asked, name), name))
        .min()
        .filter(|(distance, name)| *distance <= bound && *distance < name.chars().count())
        .map(|(_, name)| name)
}

fn explain_suites(
    config: &Config,
    suites: &[NamedSuite<'_>],
    args: &ExplainArgs,
    now: Timestamp,
) -> Result<Vec<SuiteExplanation>> {
    let view = View::open(&config.root)?;
    let spool = Spool::view(&view, &config.sources(), &config.specs(), now)?;
    let mut explained = Vec::new();
    for (name, suite) in suites {
        let spec = config.spec(name, suite);
        let inputs = spool.inputs(&spec.content)?;
        inputs.iter().try_for_each(|input| input.check())?;
        explained.push(merge::explain(
            &SuiteMerge::new(&spec, inputs, &Cancel::default()),
            &args.package,
            args.architecture.as_deref(),
        )?);
    }
    let mut groups = explained.iter().flat_map(|suite| &suite.groups);
    if groups.any(|group| !group.copies.is_empty()) {
        return Ok(explained);
    }
    let mut names = BTreeSet::new();
    for (name, suite) in suites {
        names.extend(merge::known_names(
            &spool.inputs(&config.spec(name, suite).content)?,
        )?);
    }
    let package = Name::from(args.package.as_str()).to_string();
    let nearest = nearest(&package, names.iter().map(String::as_str));
    if nearest == Some(&package) {
        // The package exists, only not where it was asked for.
        return Ok(explained);
    }
    Err(CliError::NoPackage {
        package: args.package.clone(),
        nearest: nearest.map(str::to_owned),
    }
    .into())
}

fn in_words(explanation: &Explanation<'_>, only: Option<&str>) -> String {
    let asked = only.map_or_else(String::new, |only| format!(" for {only}"));
    let mut text = String::new();
    let mut line = |words: String| {
        let _ = writeln!(text, "{}", visible(&words)); // a String takes everything
    };
    for suite in &explanation.suites {
        if suite.groups.iter().all(|group| group.copies.is_empty()) {
            line(format!("suite {}: no archive has it{asked}", suite.suite));
            continue;
        }
        line(format!("suite {}", suite.suite));
        for group in &suite.groups {
            let kind = match group.kind {
                PackageKind::Udeb => "udeb ",
                _ => "",
            };
            line(format!(
                "  {kind}{}: {}",
                group.architecture,
                verdict(group)
            ));
            for copy in &group.copies {
                line(format!("    {}", describe(explanation.package, copy)));
                if let Fate::Published { published_path, .. } = &copy.fate {
                    line(format!("      {published_path}"));
                }
            }
        }
    }
    text
}

/// Returns a line in which nothing moves a cursor or turns the text behind it round: archives may put anything into a field.
fn visible(line: &str) -> String {
    let is_unseen = |c: char| {
        c.is_control()
            || matches!(c, '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}')
            || matches!(c, '\u{2060}'..='\u{206f}' | '\u{feff}')
    };
    let mut text = String::with_capacity(line.len());
    for c in line.chars() {
        match is_unseen(c) {
            true => text.extend(c.escape_unicode()),
            false => text.push(c),
        }
    }
    text
}

/// Returns in a few words what became of a package in one name space.
fn verdict(group: &GroupExplanation) -> String {
    let has = |test: fn(&Fate) -> bool| group.copies.iter().any(|copy| test(&copy.fate));
    if group.copies.is_empty() {
        return "no archive has it".to_owned();
    }
    if has(|fate| matches!(fate, Fate::NotMerged { .. })) {
        return "not published, for the suite does not have this part of the archive".to_owned();
    }
    let owner = group.owner.as_ref().map(|owner| {
        let by = match (owner.by, owner.pin) {
            (OwnedBy::Pin, Some(number)) => format!("pinned by [[pin]] {number}"),
            (OwnedBy::Pin, None) => "pinned".to_owned(),
            (OwnedBy::Order, _) => "the first that has it".to_owned(),
            (OwnedBy::Newest, _) => "which has the highest version".to_owned(),
        };
        format!("{}, {by}", owner.archive)
    });
    let published = has(|fate| matches!(fate, Fate::Published { .. }));
    match (published, owner) {
        (true, Some(owner)) => format!("from {owner}"),
        (true, None) => "published for the sake of a package".to_owned(),
        (false, Some(owner)) => format!("gone; it belongs to {owner}"),
        (false, None) => "gone".to_owned(),
    }
}

fn describe(package: &str, copy: &PackageCopy) -> String {
    let what = format!("{} of {} ({})", copy.version, copy.archive, copy.component);
    let fate = match &copy.fate {
        Fate::Published {
            needed_by: None, ..
        } => "published".to_owned(),
        Fate::Published {
            needed_by: Some(binary),
            ..
        } => format!("published, for {binary} was built from it"),
        Fate::Hidden { hidden_by } if hidden_by.is_empty() => "hidden".to_owned(),
        Fate::Hidden { hidden_by } => format!("hidden by {hidden_by}"),
        Fate::Excluded { excluded_by } => match excluded_by {
            Exclusion::Exclude => format!("left out by [archives.{}.exclude]", copy.archive),
            Exclusion::Include => {
                format!("left out, [archives.{}.include] has no match", copy.archive)
            }
        },
        Fate::Banned { clause, chain } => banned(clause.as_deref(), chain),
        Fate::Unreadable { why } => format!("left out: {why}"),
        Fate::NotMerged { index } => format!("only in {index}"),
    };
    let source = copy.source.as_ref().filter(|source| source.name != package);
    let source = source.map_or_else(String::new, |source| {
        format!("; built from {} {}", source.name, source.version)
    });
    format!("{what}: {fate}{source}")
}

fn banned(clause: Option<&str>, chain: &[String]) -> String {
    if chain.is_empty() {
        return "banned by name".to_owned();
    }
    let needs: Vec<_> = chain.iter().map(|name| format!("needs {name}")).collect();
    let mut text = format!("banned: it {}, banned by name", needs.join(", which "));
    // Only if the clause says more than the name.
    if let Some(clause) = clause.filter(|clause| chain.first().is_none_or(|name| name != clause)) {
        text.push_str(&format!("; nothing satisfies `{clause}` any more"));
    }
    text
}
