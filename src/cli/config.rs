//! `config`: validates the configuration, prints what is in force, and writes web server rules from it.

mod keys;

use std::path::PathBuf;
use std::process::ExitCode;

use aptmerge::config::{Config, Problem};
use aptmerge::error::{Error, Result, chain};
use aptmerge::fetch::{Spool, transport};
use aptmerge::merge::{self, Inputs};
use aptmerge::workspace::View;
use clap::Subcommand;
use jiff::Timestamp;
use serde::Serialize;

use super::context::Context;
use super::error::CliError;
use super::exit;
use super::failure::{self, about};
use super::hint;
use super::places;
use super::reach;
use super::redirects::{Server, rules};

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
        /// Have the server fetch the packages itself, for clients that cannot follow redirects (nginx only)
        #[arg(long)]
        proxy: bool,
    },
}

pub(super) fn config(context: &Context, verb: &ConfigVerb) -> Result<ExitCode> {
    match verb {
        ConfigVerb::Check => return check(context),
        ConfigVerb::Show if context.json => context.print_json(&context.config()?),
        ConfigVerb::Show => {
            let text =
                toml::to_string(&context.config()?).map_err(|e| CliError::Usage(e.to_string()))?;
            context.print(&text);
        }
        ConfigVerb::Redirects { server, proxy } => {
            let rules = rules(&context.config()?, *server, *proxy)?;
            match context.json {
                true => context.print_json(&Rules { rules }),
                false => context.print(&rules),
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// The document that `config redirects --json` prints.
#[derive(Serialize)]
struct Rules {
    rules: String,
}

/// The document that `config check --json` prints.
#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct Verdict {
    file: PathBuf,
    is_usable: bool,
    problems: Vec<Problem>,
    warnings: Vec<Problem>,
}

fn check(context: &Context) -> Result<ExitCode> {
    let (problems, warnings) = match context.config() {
        Ok(config) => look(&config, context.now()),
        // Then the faults are the answer.
        Err(error) if context.json && !failure::problems(&error).is_empty() => {
            (failure::problems(&error), Vec::new())
        }
        Err(error) => return Err(error),
    };
    let verdict = Verdict {
        file: context.config_path().to_owned(),
        is_usable: problems.is_empty(),
        problems,
        warnings,
    };
    if context.json {
        context.print_json(&verdict);
    } else {
        print(context, &verdict);
    }
    Ok(match verdict.is_usable {
        true => ExitCode::SUCCESS,
        false => ExitCode::from(exit::CONFIG),
    })
}

fn print(context: &Context, verdict: &Verdict) {
    let file = verdict.file.display();
    for warning in &verdict.warnings {
        context.print(&format!("warning: {}", failure::in_words(warning)));
    }
    for problem in &verdict.problems {
        context.print(&format!("{file}: {}", failure::in_words(problem)));
    }
    if verdict.is_usable {
        context.print(&format!("{file}: good"));
    }
}

/// Looks for what loading cannot see, in the files that the configuration names; returns problems and warnings.
fn look(config: &Config, now: Timestamp) -> (Vec<Problem>, Vec<Problem>) {
    let (mut problems, mut warnings) = (Vec::new(), Vec::new());
    keys::look(config, now, &mut problems, &mut warnings);
    for (name, archive) in &config.archives {
        if let Err(error) = archive.tls().check() {
            let error = Error::from(transport::Error::from(error));
            problems.push(Problem {
                hint: hint::of(&error),
                ..about(format!("archives.{name}"), chain(&error))
            });
        }
    }
    warnings.extend(reach::warnings(config));
    warnings.extend(reach::doubts(config));
    places::look(config, &mut problems, &mut warnings);
    warnings.extend(absent(config, now));
    (problems, warnings)
}

/// Returns what the suites ask of their archives and these do not have, as far as copies of the archives are here to tell.
fn absent(config: &Config, now: Timestamp) -> Vec<Problem> {
    let setup = config.setup();
    let view = View::open(&config.root);
    let spool = view.and_then(|view| Spool::view(&view, &setup.sources, &setup.suites, now));
    let Ok(spool) = spool else {
        return Vec::new(); // nothing was fetched yet, or a run will say what is wrong with it
    };
    let told = setup.suites.iter().flat_map(|spec| {
        let inputs = spool.inputs(&spec.content);
        let told = inputs.map_or_else(|_| Default::default(), |i| merge::absent(&spec.content, &i));
        let lines = told.into_iter();
        lines.map(|line| about(format!("suites.{}", spec.name), line))
    });
    told.collect()
}
