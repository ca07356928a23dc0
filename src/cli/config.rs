//! `config`: validates the configuration, prints what is in force, and writes web server rules from it.

use std::fmt::Write;
use std::process::ExitCode;

use aptmerge::config::Config;
use aptmerge::error::{Error, Result};
use aptmerge::fetch::uri::Uri;
use aptmerge::openpgp::Keyring;
use clap::{Subcommand, ValueEnum};

use super::context::{Context, exit};

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

#[derive(Debug, Clone, Copy, ValueEnum)]
pub(super) enum Server {
    Nginx,
    Apache,
}

pub(super) fn config(context: &Context, verb: &ConfigVerb) -> Result<ExitCode> {
    match verb {
        ConfigVerb::Check => check(context, &context.config()?),
        ConfigVerb::Show => {
            let text =
                toml::to_string(&context.config()?).map_err(|e| Error::Usage(e.to_string()))?;
            context.print(&text);
            Ok(ExitCode::SUCCESS)
        }
        ConfigVerb::Redirects { server } => {
            context.print(&redirects(&context.config()?, *server));
            Ok(ExitCode::SUCCESS)
        }
    }
}

/// What loading cannot see: the files that the configuration names.
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
    let signing = aptmerge::run::signer(config).and_then(|signer| Ok(signer.certificates()?));
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

fn redirects(config: &Config, server: Server) -> String {
    let mut text = String::new();
    for archive in config.archives.values() {
        let remote = |uri: &String| {
            Uri::parse(uri).is_ok_and(|u| u.file_path().is_none() && !u.has_credentials())
        };
        let Some(base) = archive
            .redirect
            .as_ref()
            .or_else(|| archive.uris.iter().find(|uri| remote(uri)))
        else {
            continue; // its packages are reached through the tree's own `pool/` links
        };
        let base = base.trim_end_matches('/');
        let pool = &archive.pool;
        let path = format!("/merged/pool/{pool}/");
        let quoted = path.replace('.', r"\.").replace('+', r"\+");
        // Writing to a String cannot fail.
        let _ = match server {
            // $request_uri is as the client sent it: what was percent-encoded stays so.
            Server::Nginx => writeln!(
                text,
                "location ^~ {path} {{\n    if ($request_uri ~ \"^{quoted}_/([^?]*)\") {{ return 302 {base}/$1; }}\n    if ($request_uri ~ \"^{quoted}([^?]*)\") {{ return 302 {base}/pool/$1; }}\n    return 404;\n}}"
            ),
            Server::Apache => writeln!(
                text,
                "RedirectMatch 302 \"^{quoted}_/(.*)$\" \"{base}/$1\"\nRedirectMatch 302 \"^{quoted}(.*)$\" \"{base}/pool/$1\""
            ),
        };
    }
    text
}
