//! Progress for a person at a terminal: a line for each task that is under way, on stderr, gone when the task is.
//!
//! There are no colours, so there are none to turn off. Nothing is drawn where stderr is no terminal, where TERM says that lines
//! cannot be drawn over, and with `--quiet`.

use std::collections::BTreeMap;
use std::fmt;
use std::io::IsTerminal;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use aptmerge::events::{Progress, Task};
use indicatif::{
    BinaryBytes, MultiProgress, ProgressBar, ProgressDrawTarget, ProgressState, ProgressStyle,
};

/// A task whose bytes are not known, or that has none.
const SPINNER: &str = "{prefix} {spinner} {elapsed}";

/// A task whose bytes are known.
const BYTES: &str = "{prefix} [{wide_bar}] {done} of {expected}{pace}";

/// The pause after which a line is drawn anew though nothing happens: so the rate sinks while nothing comes.
const TICK: Duration = Duration::from_millis(200);

/// The most redraws per second: a connection from afar may be slow.
const DRAWS_PER_SECOND: u8 = 8;

/// The time that bytes have to flow before there is a rate.
const SETTLED: Duration = Duration::from_secs(1);

/// The time that bytes may stay away before there is no rate any more.
const PATIENCE: Duration = Duration::from_secs(5);

/// The remaining time from which on none is shown.
const LONGEST_LEFT: Duration = Duration::from_secs(100 * 3600);

/// The lines at the bottom of a terminal.
pub(super) struct Bars {
    all: MultiProgress,
    running: Mutex<BTreeMap<Task, Line>>,
}

/// The line of a task.
struct Line {
    bar: ProgressBar,
    /// The time when bytes came last.
    moved: Arc<Mutex<Instant>>,
}

impl Bars {
    /// Returns bars that draw nothing yet; `None` if nothing is to be drawn.
    pub(super) fn on_terminal(quiet: bool) -> Option<Self> {
        let can_draw = std::env::var_os("TERM").is_some_and(|t| !t.is_empty() && t != "dumb");
        (!quiet && can_draw && std::io::stderr().is_terminal()).then(|| Self {
            all: MultiProgress::with_draw_target(ProgressDrawTarget::stderr_with_hz(
                DRAWS_PER_SECOND,
            )),
            running: Mutex::default(),
        })
    }

    /// Runs a function that writes lines; they come above the bars.
    pub(super) fn above(&self, write: impl FnOnce()) {
        self.all.suspend(write);
    }

    /// Shows the progress of a task.
    pub(super) fn show(&self, task: Task, progress: Progress) {
        let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        match progress {
            Progress::Began => {
                let bar = ProgressBar::no_length().with_style(spinner());
                let bar = self.all.add(bar.with_prefix(task.to_string()));
                bar.enable_steady_tick(TICK);
                let moved = Arc::new(Mutex::new(Instant::now()));
                running.insert(task, Line { bar, moved });
            }
            Progress::Reached { done, expected } => {
                if let Some(line) = running.get(&task) {
                    line.reach(done, expected);
                }
            }
            Progress::Ended => {
                if let Some(line) = running.remove(&task) {
                    line.bar.finish_and_clear();
                    self.all.remove(&line.bar);
                }
            }
            _ => {}
        }
    }
}

impl Line {
    fn reach(&self, done: u64, expected: u64) {
        let bar = &self.bar;
        let before = bar.position();
        match (bar.length(), expected) {
            (None, 0) => return,
            (Some(_), 0) => {
                // There is nothing to count any more.
                bar.unset_length();
                bar.set_style(spinner());
            }
            (length, _) => {
                bar.set_length(expected);
                if length.is_none() {
                    bar.set_style(bytes(Arc::clone(&self.moved)));
                }
            }
        }
        if before == 0 && done > 0 {
            // The time before the first bytes says nothing of how fast they come.
            bar.reset_elapsed();
            bar.reset_eta();
        }
        if done != before {
            *self.moved.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
            bar.set_position(done);
        }
    }
}

fn spinner() -> ProgressStyle {
    ProgressStyle::with_template(SPINNER)
        .unwrap_or_else(|_| ProgressStyle::default_spinner())
        .tick_chars("-\\|/ ")
}

fn bytes(moved: Arc<Mutex<Instant>>) -> ProgressStyle {
    ProgressStyle::with_template(BYTES)
        .unwrap_or_else(|_| ProgressStyle::default_bar())
        .progress_chars("=> ")
        .with_key("done", |state: &ProgressState, to: &mut dyn fmt::Write| {
            let _ = write!(to, "{}", BinaryBytes(state.pos())); // a String takes everything
        })
        .with_key(
            "expected",
            |state: &ProgressState, to: &mut dyn fmt::Write| {
                let _ = write!(to, "{}", BinaryBytes(state.len().unwrap_or_default()));
            },
        )
        .with_key(
            "pace",
            move |state: &ProgressState, to: &mut dyn fmt::Write| {
                let moved = *moved.lock().unwrap_or_else(PoisonError::into_inner);
                let pace = Pace {
                    done: state.pos(),
                    expected: state.len().unwrap_or_default(),
                    bytes_per_second: state.per_sec(),
                    elapsed: state.elapsed(),
                    idle: moved.elapsed(),
                };
                let _ = write!(to, "{pace}");
            },
        )
}

/// The rate and the time left, as far as there is something true to say: nothing before bytes have flown for a while, nothing
/// while they do not flow, and nothing once all are there.
struct Pace {
    done: u64,
    expected: u64,
    bytes_per_second: f64,
    /// The time since the first bytes.
    elapsed: Duration,
    /// The time since the last bytes.
    idle: Duration,
}

impl fmt::Display for Pace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let is_flowing = self.done > 0 && self.elapsed >= SETTLED && self.idle < PATIENCE;
        if !is_flowing || self.done >= self.expected || self.bytes_per_second < 1.0 {
            return Ok(());
        }
        write!(f, ", {}/s", BinaryBytes(self.bytes_per_second as u64))?;
        let left = (self.expected - self.done) as f64 / self.bytes_per_second;
        match Duration::try_from_secs_f64(left) {
            Ok(left) if left < LONGEST_LEFT => write!(f, ", {} left", in_words(left)),
            _ => Ok(()),
        }
    }
}

fn in_words(left: Duration) -> String {
    let seconds = left.as_secs_f64().ceil() as u64;
    match (seconds / 3600, seconds / 60 % 60, seconds % 60) {
        (0, 0, s) => format!("{s} s"),
        (0, m, s) => format!("{m} min {s:02} s"),
        (h, m, _) => format!("{h} h {m:02} min"),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    const MIB: u64 = 1 << 20;

    #[test]
    fn time_is_told_only_where_there_is_a_rate() {
        let pace =
            |done: u64, expected: u64, bytes_per_second: f64, half_seconds: u64, idle: u64| {
                let pace = Pace {
                    done,
                    expected,
                    bytes_per_second,
                    elapsed: Duration::from_millis(half_seconds * 500),
                    idle: Duration::from_secs(idle),
                };
                pace.to_string()
            };
        let rate = 2.0 * MIB as f64;
        let flowing = pace(50 * MIB, 100 * MIB, rate, 50, 0);
        assert_eq!(flowing, ", 2.00 MiB/s, 25 s left");
        assert_eq!(pace(0, 100 * MIB, 0.0, 50, 0), "", "nothing has come");
        assert_eq!(pace(MIB, 100 * MIB, rate, 1, 0), "", "it has just begun");
        assert_eq!(
            pace(MIB, 100 * MIB, rate, 50, 5),
            "",
            "nothing comes any more"
        );
        assert_eq!(pace(MIB, 100 * MIB, 0.01, 50, 0), "", "as good as nothing");
        assert_eq!(pace(1, 1 << 50, 1.5, 50, 0), ", 1 B/s", "for ever");
        assert_eq!(pace(7, 7, rate, 50, 0), "", "all is there");
        assert_eq!(pace(8, 7, rate, 50, 0), "", "more than all is there");
    }

    #[test]
    fn times_are_told_in_two_units() {
        let words = |seconds| in_words(Duration::from_secs(seconds));
        assert_eq!(in_words(Duration::from_millis(10)), "1 s");
        assert_eq!(words(59), "59 s");
        assert_eq!(words(60), "1 min 00 s");
        assert_eq!(words(3599), "59 min 59 s");
        assert_eq!(words(3725), "1 h 02 min");
    }

    #[test]
    fn the_templates_can_be_used() {
        // One that cannot would quietly become a default.
        for template in [SPINNER, BYTES] {
            ProgressStyle::with_template(template).unwrap();
        }
    }
}
