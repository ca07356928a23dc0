//! `config`: validates the configuration, prints what is in force, and writes web server rules from it.

use std::process::ExitCode;

use aptmerge::config::Config;
use aptmerge::error::Result;
use aptmerge::openpgp::Keyring;
use clap::Subcommand;

use super::context::{Context, exit};
use super::error::CliError;
use super::redirects::{Server, redirects};

#[derive(Debug, Subcommand)]
pub(super) enum ConfigVerb {
    /// Say whether the configuration can be used, with its keyrings and keys
    Check,
    /// Print what is in force, defaults and all, as TOML
    Show,
    /// Print the rules that lead a web server's clients from rewritten paths to the archives' packages
    Redirects {
        /// The web server
        #[arg(value_enum, default_value_t = Server::Nginx)]
        server: Server,
    },
}

pub(super) fn config(context: &Context, verb: &ConfigVerb) -> Result<ExitCode> {
    match verb {
        ConfigVerb::Check => check(context, &context.config()?),
        ConfigVerb::Show => {
            let text =
                toml::to_string(&context.config()?).map_err(|e| CliError::Usage(e.to_string()))?;
            context.print(&text);
            Ok(ExitCode::SUCCESS)
        }
        ConfigVerb::Redirects { server } => {
            context.print(&redirects(&context.config()?, *server)?);
            Ok(ExitCode::SUCCESS)
        }
    }
}

/// Checks what loading cannot see: the files that the configuration names.
fn check(context: &Context, config: &Config) -> Result<ExitCode> {
    let mut problems = Vec::new();
    for (name, archive) in &config.archives {
        let said = match Keyring::load(&archive.signed_by) {
            Ok(keyring) => {
                for line in keyring.left_out() {
                    context.print(&format!("warning: archives.{name}.signed-by: {line}"));
                }
                continue;
            }
            Err(error) => aptmerge::error::chain(&error),
        };
        problems.push(format!("archives.{name}.signed-by: {said}"));
    }
    let signing = config
        .signing
        .signer()
        .and_then(|signer| signer.certificates());
    if let Err(error) = signing {
        problems.push(format!("signing: {}", aptmerge::error::chain(&error)));
    }
    for problem in &problems {
        context.print(&format!("{}: {problem}", context.config_path().display()));
    }
    if problems.is_empty() {
        context.print(&format!("{}: good", context.config_path().display()));
        return Ok(ExitCode::SUCCESS);
    }
    Ok(ExitCode::from(exit::CONFIG))
}
