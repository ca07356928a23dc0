//! `verify`: whether a tree holds together, as a client would see it.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use aptmerge::cancel::Cancel;
use aptmerge::config::Config;
use aptmerge::error::{Error, Result};
use aptmerge::openpgp::Keyring;
use aptmerge::publish::{CheckOptions, RecordReport, TreeReport, check_tree, compare_with_record};
use aptmerge::workspace::{Layout, View};
use clap::Args;
use serde::Serialize;

use super::context::Context;
use super::exit;

#[derive(Debug, Args)]
pub(super) struct VerifyArgs {
    /// The tree, a directory with `dists/`; what the link serves where none is given
    tree: Option<PathBuf>,
    /// Keyrings whose keys may have signed it; the configured signing keys where none is given
    #[arg(long, value_name = "FILE")]
    keyring: Vec<PathBuf>,
}

/// The result of reading a tree, and of holding it against its record.
#[derive(Serialize)]
struct Verified {
    #[serde(flatten)]
    tree: TreeReport,
    /// The differences from the record; none if the tree was not held against one.
    #[serde(flatten)]
    recorded: Option<RecordReport>,
}

impl Verified {
    /// Adds the differences from the record to the problems, except those whose file has a problem already.
    fn new(mut tree: TreeReport, recorded: Option<RecordReport>) -> Verified {
        let found = recorded.iter().flat_map(|recorded| &recorded.problems);
        let path = |problem: &str| problem.split([' ', ':']).next().map(str::to_owned);
        let told: BTreeSet<_> = tree.problems.iter().map(|told| path(told)).collect();
        let news = found.filter(|problem| !told.contains(&path(problem)));
        tree.problems.extend(news.cloned());
        Verified { tree, recorded }
    }
}

/// The number of times that the served tree is read again because it changed meanwhile.
const MAX_AGAIN: usize = 10;

/// Checks the tree that the link serves. A run may change the tree while it is read; then the faults that were found are of
/// two generations, and count for nothing.
fn check_served(
    config: &Config,
    check: impl Fn(&Path) -> TreeReport,
) -> Result<(PathBuf, Verified)> {
    let link = Layout::new(&config.root).link();
    let leads = || {
        let tree = link.canonicalize();
        tree.map_err(Error::io("follow the link", &link))
    };
    // A record that cannot be read is the same each time.
    let state = || {
        let view = View::open(&config.root);
        Ok::<_, Error>((leads()?, view.map_or(0, |view| view.published().number)))
    };
    let check = |tree: &Path| {
        let view = View::open(&config.root);
        let recorded = view.and_then(|view| compare_with_record(&view));
        // A state that cannot be read says nothing of the tree: the state is for its user alone.
        Verified::new(check(tree), recorded.ok().flatten())
    };
    let mut before = state()?;
    for _ in 0..MAX_AGAIN {
        let report = check(&before.0);
        let after = state()?;
        if report.tree.problems.is_empty() || after == before {
            return Ok((before.0, report));
        }
        before = after;
    }
    let report = check(&before.0);
    Ok((before.0, report))
}

pub(super) fn verify(context: &Context, args: &VerifyArgs) -> Result<ExitCode> {
    let config = match (&args.tree, args.keyring.as_slice()) {
        (Some(_), [_, ..]) => None, // everything was said
        _ => Some(context.config()?),
    };
    let keyring = match &config {
        Some(config) if args.keyring.is_empty() => config.signing.signer()?.certificates()?,
        _ => Keyring::load(&args.keyring)?,
    };
    let check = |tree: &Path| {
        check_tree(
            tree,
            &CheckOptions {
                keyring: &keyring,
                now: context.now(),
                cancel: &Cancel::default(),
            },
        )
    };
    let (tree, verified) = match (&args.tree, &config) {
        (None, Some(config)) => check_served(config, check)?,
        (tree, _) => {
            let tree = tree.clone().unwrap_or_else(|| PathBuf::from("."));
            let report = check(&tree);
            (tree, Verified::new(report, None))
        }
    };
    let report = &verified.tree;
    if context.json {
        context.print_json(&verified);
    } else {
        for problem in &report.problems {
            context.print(problem);
        }
        let verdict = match report.problems.len() {
            0 => "it holds".to_owned(),
            1 => "1 problem".to_owned(),
            n => format!("{n} problems"),
        };
        if report.patches + report.patches_without_start > 0 {
            context.print(&format!(
                "{} patches applied; {} start from texts that are no longer there",
                report.patches, report.patches_without_start
            ));
        }
        context.print(&format!(
            "{}: {} suites, {} files, {} bytes: {verdict}",
            tree.display(),
            report.suites.len(),
            report.files,
            report.bytes
        ));
    }
    Ok(if report.problems.is_empty() {
        ExitCode::SUCCESS
    } else {
        ExitCode::from(exit::FAILED)
    })
}
