//! Progress for a person at a terminal: a line for each task that is under way, on stderr, gone when the task is.
//!
//! There are no colours, so there are none to turn off. Nothing is drawn where stderr is no terminal, where TERM says that lines
//! cannot be drawn over, and with `--quiet`.

use std::collections::BTreeMap;
use std::fmt;
use std::io::IsTerminal;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use aptmerge::progress::{Progress, Task};
use indicatif::{BinaryBytes, MultiProgress, ProgressBar, ProgressState, ProgressStyle};

/// A task whose bytes are not known, or that has none.
const SPINNER: &str = "{prefix} {spinner} {elapsed}";

/// A task whose bytes are known.
const BYTES: &str = "{prefix} [{wide_bar}] {done} of {expected}{pace}";

/// How often a line is drawn anew though nothing happens: so that a rate sinks while nothing comes.
const TICK: Duration = Duration::from_millis(200);

/// How long bytes have to flow before there is a rate.
const SETTLED: Duration = Duration::from_secs(1);

/// Beyond this there is no telling.
const LONGEST_LEFT: Duration = Duration::from_secs(100 * 3600);

/// The lines at the bottom of a terminal.
pub(super) struct Bars {
    all: MultiProgress,
    running: Mutex<BTreeMap<Task, ProgressBar>>,
}

impl Bars {
    /// Draws nothing yet; `None` where nothing is to be drawn.
    pub(super) fn on_terminal(quiet: bool) -> Option<Self> {
        let can_draw = std::env::var_os("TERM").is_some_and(|t| !t.is_empty() && t != "dumb");
        (!quiet && can_draw && std::io::stderr().is_terminal()).then(|| Self {
            all: MultiProgress::new(), // it draws on stderr
            running: Mutex::default(),
        })
    }

    /// Runs what writes lines, above those that are drawn here.
    pub(super) fn above(&self, write: impl FnOnce()) {
        self.all.suspend(write);
    }

    /// Shows what becomes of a task.
    pub(super) fn show(&self, task: Task, progress: Progress) {
        let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        match progress {
            Progress::Began => {
                let bar = self.all.add(ProgressBar::no_length());
                bar.set_style(spinner());
                bar.set_prefix(task.to_string());
                bar.enable_steady_tick(TICK);
                running.insert(task, bar);
            }
            Progress::Reached { done, expected } => {
                if let Some(bar) = running.get(&task) {
                    reach(bar, done, expected);
                }
            }
            Progress::Ended => {
                if let Some(bar) = running.remove(&task) {
                    bar.finish_and_clear();
                    self.all.remove(&bar);
                }
            }
            _ => {}
        }
    }
}

fn reach(bar: &ProgressBar, done: u64, expected: u64) {
    if expected == 0 {
        // There is nothing to count, or not any more.
        bar.set_style(spinner());
        bar.unset_length();
    } else if bar.length().is_none() {
        bar.set_length(expected);
        bar.set_style(bytes());
        bar.set_position(done);
        // Only now do bytes begin to flow.
        bar.reset_elapsed();
        bar.reset_eta();
    } else {
        bar.set_length(expected);
        bar.set_position(done);
    }
}

fn spinner() -> ProgressStyle {
    ProgressStyle::with_template(SPINNER)
        .unwrap_or_else(|_| ProgressStyle::default_spinner())
        .tick_chars("-\\|/ ")
}

fn bytes() -> ProgressStyle {
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
        .with_key("pace", |state: &ProgressState, to: &mut dyn fmt::Write| {
            let pace = pace(
                state.pos(),
                state.len().unwrap_or_default(),
                state.per_sec(),
                state.elapsed(),
            );
            let _ = to.write_str(&pace);
        })
}

/// The rate and the time left in words, as far as there is something true to say: nothing before bytes have flown for a while, no
/// time while they do not flow, and none once all are there and only looked at.
fn pace(done: u64, expected: u64, bytes_per_second: f64, elapsed: Duration) -> String {
    if done >= expected {
        return ", finishing".into();
    }
    if done == 0 || elapsed < SETTLED {
        return String::new();
    }
    if bytes_per_second < 1.0 {
        return ", stalled".into();
    }
    let mut text = format!(", {}/s", BinaryBytes(bytes_per_second as u64));
    let left = Duration::try_from_secs_f64((expected - done) as f64 / bytes_per_second);
    if let Some(left) = left.ok().filter(|left| *left < LONGEST_LEFT) {
        text.push_str(&format!(", {} left", in_words(left)));
    }
    text
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
        let second = Duration::from_secs(1);
        let rate = 2.0 * MIB as f64;
        assert_eq!(pace(0, 100 * MIB, 0.0, 9 * second), "");
        assert_eq!(pace(MIB, 100 * MIB, rate, second / 2), "");
        assert_eq!(
            pace(50 * MIB, 100 * MIB, rate, 25 * second),
            ", 2.00 MiB/s, 25 s left"
        );
        assert_eq!(pace(50 * MIB, 100 * MIB, 0.01, 99 * second), ", stalled");
        assert_eq!(pace(1, 1 << 50, 1.5, 9 * second), ", 1 B/s");
        assert_eq!(pace(7, 7, rate, 9 * second), ", finishing");
        assert_eq!(pace(8, 7, f64::NAN, 9 * second), ", finishing");
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
