//! The things that every verb has: the configuration, the lock, the clock, and a listener.

use std::io::{ErrorKind, IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use aptmerge::config::Config;
use aptmerge::error::{Error, Result};
use aptmerge::events::{Event, Hidden, Listener, Progress, Task};
use aptmerge::lock::{Holder, LockError, RunLock};
use aptmerge::quoted::{unsteered, unsteered_json};
use aptmerge::run::Told;
use aptmerge::workspace::check_owner;
use clap::Args;
use jiff::Timestamp;
use serde::Serialize;

use super::Global;
use super::error::CliError;
use super::exit;
use super::failure::Failure;
use super::hint;
use super::progress::Bars;

/// How a verb takes the lock.
#[derive(Debug, Clone, Args)]
pub(super) struct LockOptions {
    /// Wait so long for the lock instead of leaving at once
    #[arg(long, value_name = "SECONDS", default_value_t = 0)]
    lock_wait: u64,
    /// Do not take the lock: the caller holds it
    #[arg(
        long = "no-lock-i-am-sure",
        alias = "no-lock-I-am-sure",
        conflicts_with = "lock_wait"
    )]
    no_lock: bool,
}

/// The things that every verb has.
#[derive(Clone)]
pub(super) struct Context {
    config: PathBuf,
    verbose: bool,
    quiet: bool,
    /// `true` if the answer is printed as JSON.
    pub(super) json: bool,
    clock: Option<Timestamp>,
    /// `true` if a part of the answer could not be written.
    is_unwritten: Arc<AtomicBool>,
    /// `true` once something new is served.
    has_published: Arc<AtomicBool>,
    /// The warnings that were told lately, if they are not to be told again.
    told: Arc<Mutex<Option<Told>>>,
    /// The progress bars, if there is a person to watch them.
    bars: Option<Arc<Bars>>,
}

/// Returns the time of the machine's clock, or an error if that is no time at all.
fn system_time() -> Result<Timestamp> {
    Timestamp::try_from(SystemTime::now()).map_err(|_| CliError::Clock.into())
}

/// The last second that an OpenPGP signature can be of: it has 32 bits for it.
const LAST_SECOND: i64 = u32::MAX as i64;

impl Context {
    pub(super) fn new(global: &Global) -> Self {
        Self {
            config: global.config.clone(),
            verbose: global.verbose,
            quiet: global.quiet,
            json: global.json,
            clock: global.clock,
            is_unwritten: Arc::default(),
            has_published: Arc::default(),
            told: Arc::default(),
            bars: Bars::on_terminal(global.quiet).map(Arc::new),
        }
    }

    pub(super) fn is_verbose(&self) -> bool {
        self.verbose
    }

    pub(super) fn config_path(&self) -> &Path {
        &self.config
    }

    pub(super) fn config(&self) -> Result<Config> {
        Ok(Config::load(&self.config)?)
    }

    pub(super) fn now(&self) -> Timestamp {
        self.clock
            .unwrap_or_else(|| system_time().unwrap_or(Timestamp::MAX))
    }

    /// Refuses a time that no signature can have, so that no other code has to reckon with it.
    pub(super) fn check_clock(&self) -> Result<()> {
        let now = self.clock.map_or_else(system_time, Ok)?;
        match (0..=LAST_SECOND).contains(&now.as_second()) {
            true => Ok(()),
            false => Err(CliError::Clock.into()),
        }
    }

    /// Returns the path of this program, wherever it was moved to since it was started.
    pub(super) fn itself() -> PathBuf {
        PathBuf::from("/proc/self/exe")
    }

    /// Takes the lock; fails if another run holds it, or if the site belongs to another user.
    pub(super) fn lock(&self, config: &Config, options: &LockOptions) -> Result<RunLock> {
        check_owner(&config.root)?;
        // If the lock lies below the root, the first run has to make the root before it can take the lock.
        std::fs::create_dir_all(&config.root)
            .map_err(Error::io("create the root", &config.root))?;
        if options.no_lock {
            let (lock, somebody_holds) = RunLock::assume_held(&config.lock)?;
            if !somebody_holds {
                let listener: &dyn Listener = self;
                listener.warn(format!(
                    "--no-lock-i-am-sure was given, but NOBODY HOLDS {}: two runs at once destroy each other's work",
                    config.lock.display()
                ));
            }
            return Ok(lock);
        }
        let command: Vec<_> = std::env::args().take(8).collect();
        let holder = Holder {
            command: command.join(" "),
            started: system_time()?.strftime("%Y-%m-%d %H:%M:%S UTC").to_string(),
        };
        Ok(RunLock::acquire(
            &config.lock,
            &holder,
            Duration::from_secs(options.lock_wait),
        )?)
    }

    /// Prints what was asked for. A reader that has gone away is no error; for all else see [`Context::close`].
    pub(super) fn print(&self, text: &str) {
        self.print_shown(&unsteered(text));
    }

    fn print_shown(&self, text: &str) {
        if self.is_unwritten.load(Ordering::Relaxed) {
            return;
        }
        let mut written = Ok(());
        self.above_bars(|| {
            let mut out = std::io::stdout().lock();
            written = writeln!(out, "{}", text.trim_end_matches('\n')).and_then(|()| out.flush());
        });
        if let Some(error) = written.err().filter(matters) {
            self.is_unwritten.store(true, Ordering::Relaxed);
            self.say_failure(&Failure::of(&unwritten(error)));
        }
    }

    pub(super) fn is_published(&self) -> bool {
        self.has_published.load(Ordering::Relaxed)
    }

    /// Notes that something new is served: what fails from here on does not undo it.
    pub(super) fn has_published(&self) {
        self.has_published.store(true, Ordering::Relaxed);
    }

    /// Returns the exit code: another one than 0 if a part of the answer could not be written.
    pub(super) fn close(&self, code: ExitCode) -> ExitCode {
        if code == ExitCode::SUCCESS && self.is_unwritten.load(Ordering::Relaxed) {
            return ExitCode::from(match self.has_published.load(Ordering::Relaxed) {
                true => exit::UNFINISHED,
                false => exit::FAILED,
            });
        }
        code
    }

    pub(super) fn print_json(&self, value: &impl Serialize) {
        match serde_json::to_string_pretty(value) {
            Ok(text) => self.print_shown(&unsteered_json(&text)),
            Err(error) => self.say_failure(&Failure::of(&unwritten(error.into()))),
        }
    }

    /// Tells the result to a person at a terminal, or to one who asked with `--verbose`; cron hears nothing.
    pub(super) fn tell(&self, text: &str) {
        if !self.json && !self.quiet && (self.verbose || std::io::stdout().is_terminal()) {
            self.print(text);
        }
    }

    fn above_bars(&self, write: impl FnOnce()) {
        match &self.bars {
            Some(bars) => bars.above(write),
            None => write(),
        }
    }

    /// Says something on stderr: a line of JSON, or words.
    fn say(&self, said: &Said<'_>) {
        let text = match self.json {
            true => said.as_line(),
            false => format!("aptmerge: {}", unsteered(&said.in_words())),
        };
        self.above_bars(|| {
            let _ = writeln!(std::io::stderr(), "{text}");
        });
    }

    /// Holds back, from here on, warnings that were told lately, unless somebody watches or reads all: a person at a terminal, `--verbose`, a
    /// program. With `--quiet`, none is told.
    pub(super) fn hold_back(&self, told: impl FnOnce() -> Result<Told>) -> Result<()> {
        if self.verbose || self.quiet || self.json || std::io::stderr().is_terminal() {
            return Ok(());
        }
        *self.told.lock().unwrap_or_else(PoisonError::into_inner) = Some(told()?);
        Ok(())
    }

    /// Ends what [`Context::hold_back`] began. What was held back is told if the reader must know why `exit_code` is what it is.
    pub(super) fn tell_held_back(&self, exit_code: u8) -> Option<Told> {
        let mut told = self
            .told
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take()?;
        for message in told.held_back().iter().filter(|_| exit_code != 0) {
            self.say(&Said::Warning {
                message,
                hint: None,
                behind: String::new(),
            });
        }
        Some(told)
    }

    /// Returns whether a warning was told lately, and is held back.
    fn is_held_back(&self, warning: &str) -> bool {
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        let told = told.as_mut();
        told.is_some_and(|told| !told.is_news(warning, self.now()))
    }

    fn say_failure(&self, failure: &Failure) {
        self.say(&Said::Error(failure));
    }

    /// Says what failed, why, and what to do; returns the exit code.
    pub(super) fn fail(&self, error: &Error) -> ExitCode {
        let failure = Failure::of(error);
        if !(self.quiet && is_held_by_a_run_under_way(error)) {
            self.say_failure(&failure);
        }
        ExitCode::from(failure.exit_code)
    }
}

/// The time after which a holder of the lock hangs rather than works.
const HANGS_AFTER: Duration = Duration::from_secs(24 * 60 * 60);

/// Returns whether the lock is held, by somebody who took it not too long ago.
fn is_held_by_a_run_under_way(error: &Error) -> bool {
    match error.downcast_ref() {
        Some(LockError::Held {
            since: Some(since), ..
        }) => since.elapsed().is_ok_and(|held| held < HANGS_AFTER),
        _ => false,
    }
}

/// Something that is said on stderr.
#[derive(Serialize)]
#[serde(tag = "type", rename_all = "kebab-case")]
enum Said<'a> {
    Step {
        message: &'a str,
    },
    Info {
        message: &'a str,
    },
    Warning {
        message: &'a str,
        #[serde(skip_serializing_if = "Option::is_none")]
        hint: Option<String>,
        /// The hint as it stands behind the message in words.
        #[serde(skip)]
        behind: String,
    },
    Error(&'a Failure),
}

impl Said<'_> {
    fn in_words(&self) -> String {
        match self {
            Said::Step { message } => format!("step: {message}"),
            Said::Info { message } => (*message).to_owned(),
            Said::Warning {
                message, behind, ..
            } => format!("warning: {message}{behind}"),
            Said::Error(failure) => failure.in_words(),
        }
    }

    /// Returns what is said as one line of JSON.
    fn as_line(&self) -> String {
        let text = serde_json::to_string(self).unwrap_or_default(); // text and numbers can always be written
        unsteered_json(&text).into_owned()
    }
}

/// Returns whether output is missing for another reason than that its reader has gone away.
fn matters(error: &std::io::Error) -> bool {
    error.kind() != ErrorKind::BrokenPipe
}

fn unwritten(error: std::io::Error) -> Error {
    CliError::Unwritten(error.to_string()).into()
}

/// Prints help, the version, or what is wrong with the command line; gives the exit code.
pub(super) fn answer(answer: &clap::Error) -> ExitCode {
    let fails = answer.use_stderr();
    // The command line was not understood, so nothing else says that JSON is wanted.
    let mut arguments = std::env::args_os().take_while(|argument| argument != "--");
    if fails && arguments.any(|argument| argument == "--json") {
        let failure = Failure::of_usage(answer);
        let _ = writeln!(std::io::stderr(), "{}", Said::Error(&failure).as_line());
        return ExitCode::from(exit::USAGE);
    }
    let written = answer.print().and_then(|()| std::io::stdout().flush());
    match (fails, written.err().filter(matters)) {
        (true, _) => ExitCode::from(exit::USAGE),
        (false, None) => ExitCode::SUCCESS,
        (false, Some(error)) => {
            let failure = Failure::of(&unwritten(error));
            let _ = writeln!(std::io::stderr(), "aptmerge: {}", failure.in_words());
            ExitCode::from(exit::FAILED)
        }
    }
}

impl Listener for Context {
    fn event(&self, event: Event) {
        match event {
            Event::Step(step) if self.verbose => self.say(&Said::Step { message: step }),
            Event::Info(text) if self.verbose => self.say(&Said::Info { message: &text }),
            Event::Warning(warning) if !self.quiet => {
                let behind = hint::behind(&warning);
                if !self.is_held_back(&format!("{}{behind}", warning.text)) {
                    self.say(&Said::Warning {
                        message: &warning.text,
                        hint: warning.cause.as_ref().and_then(hint::of),
                        behind,
                    });
                }
            }
            _ => {}
        }
    }

    fn progress(&self, task: Task) -> Box<dyn Progress + '_> {
        match &self.bars {
            Some(bars) => Box::new(bars.begin(&task)),
            None => Box::new(Hidden),
        }
    }
}
