//! The things that every verb has: the configuration, the lock, the clock, and a listener.

use std::io::{ErrorKind, IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime};

use aptmerge::config::Config;
use aptmerge::error::{Error, Result};
use aptmerge::events::{Event, Hidden, Listener, Progress, Task};
use aptmerge::lock::{Holder, RunLock};
use aptmerge::quoted::{unsteered, unsteered_json};
use aptmerge::workspace::check_owner;
use clap::Args;
use jiff::Timestamp;
use serde::Serialize;

use super::Global;
use super::error::CliError;
use super::hint;
use super::progress::Bars;

/// The exit codes; docs/operating.md lists them.
pub(super) mod exit {
    use aptmerge::error::ErrorKind;

    /// Failed, and nothing new is served.
    pub(in crate::cli) const FAILED: u8 = 1;
    /// The command line makes no sense.
    pub(in crate::cli) const USAGE: u8 = 2;
    /// Done, but some archive was kept at its last good copy, or a suite as it was published.
    pub(in crate::cli) const KEPT: u8 = 3;
    /// Something new is served, but what comes after it (sync, push) failed; the next run finishes it.
    pub(in crate::cli) const UNFINISHED: u8 = 4;
    /// The lock is held (EX_TEMPFAIL of sysexits).
    pub(in crate::cli) const LOCKED: u8 = 75;
    /// The configuration cannot be used (EX_CONFIG of sysexits).
    pub(in crate::cli) const CONFIG: u8 = 78;

    /// Returns the code for a kind of error.
    pub(in crate::cli) fn code(kind: ErrorKind) -> u8 {
        match kind {
            ErrorKind::Usage => USAGE,
            ErrorKind::Unfinished => UNFINISHED,
            ErrorKind::LockHeld => LOCKED,
            ErrorKind::Config => CONFIG,
            _ => FAILED,
        }
    }
}

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
            bars: Bars::on_terminal(global.quiet).map(Arc::new),
        }
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
        if let Some(error) = failure_to_write(written) {
            self.is_unwritten.store(true, Ordering::Relaxed);
            self.say(&error);
        }
    }

    /// Returns the exit code: 1 instead of 0 if a part of the answer could not be written.
    pub(super) fn close(&self, code: ExitCode) -> ExitCode {
        if code == ExitCode::SUCCESS && self.is_unwritten.load(Ordering::Relaxed) {
            return ExitCode::from(exit::FAILED);
        }
        code
    }

    pub(super) fn print_json(&self, value: &impl Serialize) {
        match serde_json::to_string_pretty(value) {
            Ok(text) => self.print_shown(&unsteered_json(&text)),
            Err(error) => self.say(&format!("error: {error}")),
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

    fn say(&self, text: &str) {
        self.above_bars(|| {
            let _ = writeln!(std::io::stderr(), "aptmerge: {}", unsteered(text));
        });
    }

    /// Says what failed, why, and what to do; returns the exit code.
    pub(super) fn fail(&self, error: &Error) -> ExitCode {
        let mut text = format!("error: {error}");
        let mut source = std::error::Error::source(error);
        while let Some(cause) = source {
            text.push_str(&format!("\n  caused by: {cause}"));
            source = cause.source();
        }
        if let Some(hint) = hint::of(error) {
            text.push_str(&format!("\n  hint: {hint}"));
        }
        self.say(&text);
        ExitCode::from(exit::code(error.kind()))
    }
}

/// Returns the message about output that could not be written; `None` if only its reader has gone away.
fn failure_to_write(written: std::io::Result<()>) -> Option<String> {
    let error = written.err()?;
    (error.kind() != ErrorKind::BrokenPipe)
        .then(|| format!("error: cannot write to stdout: {error}"))
}

/// Prints help, the version, or what is wrong with the command line; gives the exit code.
pub(super) fn answer(answer: &clap::Error) -> ExitCode {
    let written = answer.print().and_then(|()| std::io::stdout().flush());
    if let (0, Some(error)) = (answer.exit_code(), failure_to_write(written)) {
        let _ = writeln!(std::io::stderr(), "aptmerge: {error}");
        return ExitCode::from(exit::FAILED);
    }
    match answer.exit_code() {
        0 => ExitCode::SUCCESS,
        _ => ExitCode::from(exit::USAGE),
    }
}

impl Listener for Context {
    fn event(&self, event: Event) {
        match event {
            Event::Step(step) if self.verbose => self.say(&format!("step: {step}")),
            Event::Info(text) if self.verbose => self.say(&text),
            Event::Warning(warning) if !self.quiet => self.say(&format!(
                "warning: {}{}",
                warning.text,
                hint::behind(&warning)
            )),
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

#[cfg(test)]
mod tests {
    use aptmerge::error::ErrorKind;

    use super::exit;

    #[test]
    fn each_kind_of_error_has_its_exit_code() {
        for (kind, code) in [
            (ErrorKind::Usage, 2),
            (ErrorKind::Config, 78),
            (ErrorKind::LockHeld, 75),
            (ErrorKind::NotFound, 1),
            (ErrorKind::Forbidden, 1),
            (ErrorKind::Refused, 1),
            (ErrorKind::Upstream, 1),
            (ErrorKind::Damaged, 1),
            (ErrorKind::Machine, 1),
            (ErrorKind::Signing, 1),
            (ErrorKind::Check, 1),
            (ErrorKind::Push, 1),
            (ErrorKind::Timeout, 1),
            (ErrorKind::Unfinished, 4),
            (ErrorKind::Cancelled, 1),
            (ErrorKind::Internal, 1),
        ] {
            assert_eq!(exit::code(kind), code, "{kind:?}");
        }
    }
}
