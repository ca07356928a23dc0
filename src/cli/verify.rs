//! `verify`: whether a tree holds together, as a client would see it.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use aptmerge::cancel::Cancel;
use aptmerge::config::Config;
use aptmerge::error::{Error, Result};
use aptmerge::openpgp::Keyring;
use aptmerge::publish::{CheckOptions, TreeReport, check_tree};
use aptmerge::workspace::{Layout, View};
use clap::Args;

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

/// The number of times that the served tree is read again because it changed meanwhile.
const MAX_AGAIN: usize = 10;

/// Checks the tree that the link serves. A run may change the tree while it is read; then the faults that were found are of
/// two generations, and count for nothing.
fn check_served(
    config: &Config,
    check: impl Fn(&Path) -> TreeReport,
) -> Result<(PathBuf, TreeReport)> {
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
    let mut before = state()?;
    for _ in 0..MAX_AGAIN {
        let report = check(&before.0);
        let after = state()?;
        if report.problems.is_empty() || after == before {
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
    let (tree, report) = match (&args.tree, &config) {
        (None, Some(config)) => check_served(config, check)?,
        (tree, _) => {
            let tree = tree.clone().unwrap_or_else(|| PathBuf::from("."));
            let report = check(&tree);
            (tree, report)
        }
    };
    if context.json {
        context.print_json(&report);
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
