//! The command line: one file per verb. The terminal lives here and nowhere else.

mod attempt;
mod config;
mod context;
mod error;
mod exit;
mod explain;
mod failure;
mod guardian;
mod hint;
mod history;
mod keys;
mod lock;
mod package;
mod places;
mod progress;
mod reach;
mod redirects;
mod repository;
mod run;
#[cfg(feature = "serve")]
mod serve;
mod snapshot;
mod status;
mod store;
mod stored;
mod verify;

use std::io;
use std::path::PathBuf;
use std::process::ExitCode;

use aptmerge::error::{Error, Result};
use aptmerge::signals;
use clap::{Args, Parser, Subcommand};
use nix::sys::signal::Signal;
use nix::sys::stat::{Mode, umask};

use context::Context;

/// Merges several APT archives into one and publishes the result, so that no client ever meets a half-made state.
#[derive(Debug, Parser)]
#[command(name = "aptmerge", version, max_term_width = 100)]
pub(crate) struct Cli {
    #[command(flatten)]
    global: Global,
    #[command(subcommand)]
    verb: Verb,
}

/// Options of every verb.
#[derive(Debug, Args)]
struct Global {
    /// The configuration file
    #[arg(
        short,
        long,
        global = true,
        value_name = "FILE",
        env = "APTMERGE_CONFIG",
        default_value = "/etc/aptmerge/aptmerge.toml"
    )]
    config: PathBuf,
    /// Say what is being done, on stderr
    #[arg(short, long, global = true)]
    verbose: bool,
    /// Say nothing but errors
    #[arg(short, long, global = true, conflicts_with = "verbose")]
    quiet: bool,
    /// Print what was asked for as JSON
    #[arg(long, global = true)]
    json: bool,
    /// A fixed time instead of the clock's, for replays: 2026-05-09T10:21:35Z
    #[arg(long, global = true, value_name = "TIME", hide = true)]
    clock: Option<jiff::Timestamp>,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Fetch, merge, check, publish and push: the whole cycle, for cron
    Run(run::RunArgs),
    /// Refresh the spool from the archives, and do nothing else
    Fetch(run::StepArgs),
    /// Merge the spool into volatile and check it, without publishing
    Merge(run::StepArgs),
    /// Merge the spool, check and publish it, without fetching and pushing
    Publish(run::StepArgs),
    /// Push production to the targets
    Push(run::PushArgs),
    Status(status::StatusArgs),
    History(history::HistoryArgs),
    /// Say where a package comes from, what it hides, or why it is gone
    Explain(explain::ExplainArgs),
    /// Check a tree as a client would, from InRelease down
    Verify(verify::VerifyArgs),
    #[command(subcommand)]
    Repository(repository::RepositoryVerb),
    #[command(subcommand)]
    Snapshot(snapshot::SnapshotVerb),
    #[command(subcommand)]
    Package(package::PackageVerb),
    #[command(subcommand)]
    Store(store::StoreVerb),
    /// Serve the link over HTTP, with the pool redirects
    #[cfg(feature = "serve")]
    Serve(serve::ServeArgs),
    /// Look at the configuration
    #[command(subcommand)]
    Config(config::ConfigVerb),
    /// Run a command under the lock
    Lock(lock::LockArgs),
    #[command(name = aptmerge::push::guardian::COMMAND, hide = true)]
    GuardPush(guardian::GuardArgs),
    #[command(name = aptmerge::push::guardian::TRANSFER_COMMAND, hide = true)]
    BecomeTransfer(guardian::GuardArgs),
}

/// Starts the threads that share in the work of a verb: rayon, left to itself, panics if the system gives it no threads.
fn start_threads(verb: &Verb) -> Result<()> {
    let is_shared = matches!(
        verb,
        Verb::Run(_)
            | Verb::Fetch(_)
            | Verb::Merge(_)
            | Verb::Publish(_)
            | Verb::Explain(_)
            | Verb::Verify(_)
            | Verb::Repository(_)
            | Verb::Store(_)
    );
    if !is_shared {
        return Ok(());
    }
    let started = rayon::ThreadPoolBuilder::new().build_global();
    started.map_err(|error| {
        Error::io("start the threads of", "the merge")(io::Error::other(error.to_string()))
    })
}

/// Runs what the command line asks for.
pub(crate) fn main() -> ExitCode {
    // Then a file that grows beyond a limit is an error with its name, and does not end us without a word.
    let _ = signals::block([Signal::SIGXFSZ]);
    // Published files must be readable for the web server, whatever the caller's umask is.
    let callers_umask = umask(Mode::from_bits_truncate(0o022));
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(answer) => return context::answer(&answer),
    };
    let context = Context::new(&cli.global);
    let is_inner = matches!(cli.verb, Verb::GuardPush(_) | Verb::BecomeTransfer(_));
    let ready = match is_inner {
        true => Ok(()),
        false => context.check_clock(),
    };
    if let Err(error) = ready.and_then(|()| start_threads(&cli.verb)) {
        return context.fail(&error);
    }
    let outcome = match cli.verb {
        Verb::Run(args) => run::run(&context, &args),
        Verb::Fetch(args) => run::fetch(&context, &args),
        Verb::Merge(args) => run::merge(&context, &args),
        Verb::Publish(args) => run::publish(&context, &args),
        Verb::Push(args) => run::push(&context, &args),
        Verb::Status(args) => status::status(&context, &args),
        Verb::History(args) => history::history(&context, &args),
        Verb::Explain(args) => explain::explain(&context, &args),
        Verb::Verify(args) => verify::verify(&context, &args),
        Verb::Repository(verb) => repository::repository(&context, &verb),
        Verb::Snapshot(verb) => snapshot::snapshot(&context, &verb),
        Verb::Package(verb) => package::package(&context, &verb),
        Verb::Store(verb) => store::store(&context, &verb),
        #[cfg(feature = "serve")]
        Verb::Serve(args) => serve::serve(&context, &args),
        Verb::Config(verb) => config::config(&context, &verb),
        Verb::Lock(args) => lock::lock(&context, &args, callers_umask),
        Verb::GuardPush(args) => guardian::guard(&args),
        Verb::BecomeTransfer(args) => {
            umask(callers_umask);
            guardian::become_transfer(&args)
        }
    };
    match outcome {
        Ok(code) => context.close(code),
        Err(error) => context.fail(&error),
    }
}
