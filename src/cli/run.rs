//! `run`, and its parts one by one: `fetch`, `merge`, `publish`, `push`.

use std::process::ExitCode;

use aptmerge::cancel::Cancel;
use aptmerge::config::Config;
use aptmerge::error::{Result, chain};
use aptmerge::events::Listener;
use aptmerge::fetch::Spool;
use aptmerge::proxy::Environment;
use aptmerge::publish::{self, Action, Allowances, Plan};
use aptmerge::push::{PushOptions, push_all};
use aptmerge::run::{self as cycle, Fetched, Outcome, RunOptions, Setup};
use aptmerge::workspace::Workspace;
use clap::Args;
use serde::Serialize;

use super::attempt::attempt;
use super::context::{Context, LockOptions};
use super::error::CliError;
use super::exit;
use super::failure;
use super::reach;

/// What an operator allows for once.
#[derive(Debug, Clone, Copy, Args)]
struct AllowOptions {
    /// Let a suite lose more packages than guards.max-shrink says
    #[arg(long)]
    allow_shrink: bool,
    /// Publish even though a Date would not be later than the last one
    #[arg(long)]
    allow_older_date: bool,
    /// Let an Origin, Label, Codename or NotAutomatic change, upstream or of a merged suite
    #[arg(long)]
    allow_identity_change: bool,
    /// Make every suite anew, and trust no file that was published before
    #[arg(long)]
    rebuild: bool,
}

impl From<AllowOptions> for Allowances {
    fn from(options: AllowOptions) -> Self {
        Self {
            shrink: options.allow_shrink,
            date: options.allow_older_date,
            identity: options.allow_identity_change,
            rebuild: options.rebuild,
        }
    }
}

#[derive(Debug, Args)]
pub(super) struct StepArgs {
    #[command(flatten)]
    lock: LockOptions,
    #[command(flatten)]
    allow: AllowOptions,
}

#[derive(Debug, Args)]
pub(super) struct RunArgs {
    #[command(flatten)]
    step: StepArgs,
    /// Fetch, and say what would be published; change nothing that is served or staged
    #[arg(short = 'n', long)]
    dry_run: bool,
}

#[derive(Debug, Args)]
pub(super) struct PushArgs {
    #[command(flatten)]
    lock: LockOptions,
    /// Push to every target, also to those that have the generation already
    #[arg(long)]
    force: bool,
    /// Make this target ours, though another site pushes to it or it holds suites of others; nothing of theirs is deleted, but suites
    /// of our names are replaced
    #[arg(long, value_name = "NAME")]
    take_over: Vec<String>,
    /// Delete everything below dists/ of this target that the tree does not have, whoever put it there
    #[arg(long, value_name = "NAME")]
    prune: Vec<String>,
}

fn options<'a>(
    context: &'a Context,
    clock: &'a dyn Fn() -> jiff::Timestamp,
    cancel: &'a Cancel,
    allow: AllowOptions,
) -> RunOptions<'a> {
    RunOptions {
        clock,
        allow: allow.into(),
        guardian: Context::itself(),
        listener: context,
        cancel,
    }
}

/// Returns the setup of a run that fetches, with the proxies of the environment.
fn setup(config: &Config) -> Setup {
    let mut setup = config.setup();
    setup.sources.environment = Environment::new(|name| {
        let value = std::env::var_os(name)?;
        Some(value.to_string_lossy().into_owned())
    });
    setup
}

pub(super) fn run(context: &Context, args: &RunArgs) -> Result<ExitCode> {
    let config = context.config()?;
    let setup = setup(&config);
    let clock = || context.now();
    let cancel = Cancel::default();
    let options = options(context, &clock, &cancel, args.step.allow);
    if args.dry_run {
        // A dry run is a question, and no attempt.
        let lock = context.lock(&config, &args.step.lock)?;
        let workspace = Workspace::open(&lock, &config.root)?;
        let spool = cycle::fetch_spool(&workspace, &setup, &options)?;
        let (plan, outcome) = cycle::foretell(&workspace, &setup, &spool, &options)?;
        match context.json {
            true => context.print_json(&outcome),
            false => context.print(&describe(&plan, &outcome)),
        }
        return Ok(ExitCode::from(code(&outcome)));
    }
    attempt(context, &config, &args.step.lock, "run", |workspace| {
        let outcome = cycle::run(workspace, &setup, &options)?;
        Ok(finish(context, &config, &outcome))
    })
}

pub(super) fn fetch(context: &Context, args: &StepArgs) -> Result<ExitCode> {
    let config = context.config()?;
    let clock = || context.now();
    let cancel = Cancel::default();
    let options = options(context, &clock, &cancel, args.allow);
    attempt(context, &config, &args.lock, "fetch", |workspace| {
        let spool = cycle::fetch_spool(workspace, &setup(&config), &options)?;
        let mut absent: Vec<_> = spool.absent().collect();
        if let Some(last) = absent.pop() {
            let listener: &dyn Listener = context;
            for error in absent {
                listener.warn(chain(&error));
            }
            return Err(last);
        }
        let fetched = Fetched::new(&spool);
        if context.json {
            context.print_json(&fetched);
        }
        Ok(match fetched.kept.is_empty() {
            true => 0,
            false => exit::KEPT,
        })
    })
}

pub(super) fn merge(context: &Context, args: &StepArgs) -> Result<ExitCode> {
    let config = context.config()?;
    let setup = config.setup();
    let clock = || context.now();
    let cancel = Cancel::default();
    let options = options(context, &clock, &cancel, args.allow);
    attempt(context, &config, &args.lock, "merge", |workspace| {
        publish::recover(workspace, context)?;
        let spool = Spool::load(workspace, &setup.sources, &setup.suites, context.now())?;
        spool.tell_kept(context);
        let outcome = cycle::merge_spool(workspace, &setup, &spool, &options)?;
        if context.json {
            context.print_json(&outcome);
        } else {
            context.tell(&format!("merged: {}", names(&outcome.changed)));
        }
        Ok(code(&outcome))
    })
}

pub(super) fn publish(context: &Context, args: &StepArgs) -> Result<ExitCode> {
    let config = context.config()?;
    let setup = config.setup();
    let clock = || context.now();
    let cancel = Cancel::default();
    let options = options(context, &clock, &cancel, args.allow);
    attempt(context, &config, &args.lock, "publish", |workspace| {
        let recovered = publish::recover(workspace, context)?;
        let spool = Spool::load(workspace, &setup.sources, &setup.suites, context.now())?;
        spool.tell_kept(context);
        let outcome = Outcome {
            recovered,
            ..cycle::publish_spool(workspace, &setup, &spool, &options)?
        };
        Ok(finish(context, &config, &outcome))
    })
}

pub(super) fn push(context: &Context, args: &PushArgs) -> Result<ExitCode> {
    let config = context.config()?;
    if config.push.is_empty() {
        let why = "no target is configured: add [[push]] to the configuration";
        return Err(CliError::Usage(why.into()).into());
    }
    for named in args.take_over.iter().chain(&args.prune) {
        if !config
            .push
            .iter()
            .any(|target| target.name.as_str() == named)
        {
            let why = format!("no [[push]] of the configuration is called `{named}`");
            return Err(CliError::Usage(why).into());
        }
    }
    let options = PushOptions {
        guardian: Context::itself(),
        force: args.force,
        mended: false,
        take_over: args.take_over.iter().cloned().collect(),
        prune: args.prune.iter().cloned().collect(),
        cancel: Cancel::default(),
    };
    attempt(context, &config, &args.lock, "push", |workspace| {
        // Production may be half synced if the last run died; but the tree that is pushed must be whole.
        publish::recover(workspace, context)?;
        let failures = push_all(workspace, &config.push, &options, context);
        if context.json {
            let targets = config.push.iter().map(|target| target.name.to_string());
            context.print_json(&Pushed {
                generation: workspace.published().number,
                targets: targets.collect(),
                failed_pushes: failures.iter().map(|error| chain(error)).collect(),
            });
        }
        Ok(match failures.is_empty() {
            true => 0,
            false => exit::FAILED,
        })
    })
}

/// The document that `push --json` prints.
#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct Pushed {
    generation: u64,
    targets: Vec<String>,
    failed_pushes: Vec<String>,
}

/// The name of the things that are published besides suites.
const LINKS: &str = "aliases and links to pools";

/// Returns the plan in words: one line a suite, and below it one for each package that would change.
fn describe(plan: &Plan<'_>, outcome: &Outcome) -> String {
    let mut lines = Vec::new();
    for repaired in &outcome.repaired {
        let place = repaired.suite.as_deref().unwrap_or(LINKS);
        let faults = repaired.in_words();
        lines.push(format!("{place}: would be mended, {faults}"));
    }
    for suite in &plan.suites {
        lines.push(match &suite.action {
            Action::Keep => format!("{}: unchanged", suite.name),
            Action::Sign(why) => format!("{}: would be signed again, {why}", suite.name),
            Action::Merge(why) => format!("{}: would be merged, {why}", suite.name),
            Action::Wait(why) => format!("{}: waits for an archive, {}", suite.name, chain(why)),
        });
        if let Some(difference) = outcome.difference.get(suite.name.as_str()) {
            let changes = difference.changes.iter();
            lines.extend(changes.map(|change| format!("  {change}")));
            let behind = difference.behind.iter();
            lines.extend(behind.map(|fork| format!("  behind       {fork}")));
            let indices = difference.indices.iter();
            lines.extend(indices.map(|index| format!("  {index} would be made anew")));
            lines.push(format!("  {}", difference.summary()));
        }
    }
    lines.extend(
        plan.removed
            .iter()
            .map(|name| format!("{name}: would no longer be published")),
    );
    if plan.links_changed {
        lines.push(format!("{LINKS}: would be made anew"));
    }
    lines.join("\n")
}

/// Returns the names of suites, or the word for none.
fn names(suites: &[String]) -> String {
    match suites.is_empty() {
        true => "nothing".to_owned(),
        false => suites.join(", "),
    }
}

/// Returns the exit code of an outcome.
fn code(outcome: &Outcome) -> u8 {
    let is_kept =
        !outcome.kept.is_empty() || !outcome.refused.is_empty() || outcome.has_lapsed_key();
    match (outcome.failed_pushes.is_empty(), is_kept) {
        (false, _) => exit::UNFINISHED,
        (true, true) => exit::KEPT,
        (true, false) => 0,
    }
}

fn finish(context: &Context, config: &Config, outcome: &Outcome) -> u8 {
    let listener: &dyn Listener = context;
    for problem in reach::warnings(config) {
        listener.warn(failure::in_words(&problem));
    }
    if outcome.has_published() {
        context.has_published();
    }
    if context.json {
        context.print_json(outcome);
    } else if outcome.has_published() {
        let suites: Vec<_> = outcome
            .changed
            .iter()
            .chain(&outcome.removed)
            .cloned()
            .collect();
        let what = match suites.is_empty() {
            true => LINKS.to_owned(),
            false => names(&suites),
        };
        context.tell(&format!(
            "published generation {}: {what}",
            outcome.generation
        ));
        for (suite, difference) in &outcome.difference {
            context.tell(&format!("  {suite}: {}", difference.summary()));
        }
    } else if !outcome.repaired.is_empty() {
        context.tell(&format!(
            "mended: generation {} is as it was published",
            outcome.generation
        ));
    } else {
        context.tell(&format!(
            "nothing changed: generation {} stays",
            outcome.generation
        ));
    }
    code(outcome)
}
