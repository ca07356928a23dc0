//! `verify`: whether a tree holds together, as a client would see it.

use std::path::PathBuf;
use std::process::ExitCode;

use aptmerge::error::Result;
use aptmerge::openpgp::Keyring;
use aptmerge::publish::{CheckOptions, check_tree};
use aptmerge::run::signer;
use aptmerge::workspace::Layout;
use clap::Args;

use super::context::{Context, exit};

#[derive(Debug, Args)]
pub(super) struct VerifyArgs {
    /// The tree, a directory with `dists/`; what the link serves where none is given
    tree: Option<PathBuf>,
    /// Keyrings whose keys may have signed it; the configured signing keys where none is given
    #[arg(long, value_name = "FILE")]
    keyring: Vec<PathBuf>,
}

pub(super) fn verify(context: &Context, args: &VerifyArgs) -> Result<ExitCode> {
    let config = match (&args.tree, args.keyring.as_slice()) {
        (Some(_), [_, ..]) => None, // everything was said
        _ => Some(context.config()?),
    };
    let keyring = match &config {
        Some(config) if args.keyring.is_empty() => signer(config)?.certificates()?,
        _ => Keyring::load(&args.keyring)?,
    };
    let tree = match (&args.tree, &config) {
        (Some(tree), _) => tree.clone(),
        // Read once, so that all of the check is of one tree.
        (None, Some(config)) => {
            let link = Layout::new(&config.root).link();
            link.canonicalize()
                .map_err(aptmerge::error::Error::io("follow the link", &link))?
        }
        (None, None) => PathBuf::from("."),
    };
    let report = check_tree(
        &tree,
        &CheckOptions {
            keyring: &keyring,
            now: context.now(),
            known: None,
        },
    );
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
