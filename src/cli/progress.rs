//! Progress for a person at a terminal: a line for each task that is under way, on stderr, gone when the task is.
//!
//! There are no colours, so there are none to turn off. Nothing is drawn where stderr is no terminal, where TERM says that lines
//! cannot be drawn over, and with `--quiet`.

use std::io::IsTerminal;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use aptmerge::events::{Progress, Task};
use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};

/// A task whose length is not known, or that has none.
const SPINNER: &str = "{prefix} {spinner} {elapsed}";

/// A task that is counted in bytes.
const BYTES: &str = "{prefix} [{wide_bar}] {binary_bytes} of {binary_total_bytes}, {binary_bytes_per_sec}, {eta} left";

/// A task that is counted in pieces.
const PIECES: &str = "{prefix} [{wide_bar}] {pos} of {len}, {elapsed}";

/// The pause after which a line is drawn anew though nothing happens: so the rate sinks while nothing comes.
const TICK: Duration = Duration::from_millis(200);

/// The most redraws per second: a connection from afar may be slow.
const DRAWS_PER_SECOND: u8 = 8;

/// The lines at the bottom of a terminal.
pub(super) struct Bars(MultiProgress);

impl Bars {
    /// Returns bars that draw nothing yet; `None` if nothing is to be drawn.
    pub(super) fn on_terminal(quiet: bool) -> Option<Self> {
        let can_draw = std::env::var_os("TERM").is_some_and(|t| !t.is_empty() && t != "dumb");
        let target = || ProgressDrawTarget::stderr_with_hz(DRAWS_PER_SECOND);
        (!quiet && can_draw && std::io::stderr().is_terminal())
            .then(|| Self(MultiProgress::with_draw_target(target())))
    }

    /// Runs a function that writes lines; they come above the bars.
    pub(super) fn above(&self, write: impl FnOnce()) {
        self.0.suspend(write);
    }

    /// Adds the line of a task.
    pub(super) fn begin(&self, task: &Task) -> Bar {
        let bar = ProgressBar::no_length().with_style(style(SPINNER));
        let bar = self.0.add(bar.with_prefix(task.to_string()));
        bar.enable_steady_tick(TICK);
        let template = match task {
            Task::Fetch { .. } => BYTES,
            _ => PIECES,
        };
        Bar {
            all: self.0.clone(),
            bar,
            template,
            left: AtomicU64::default(),
        }
    }
}

/// The line of a task.
pub(super) struct Bar {
    all: MultiProgress,
    bar: ProgressBar,
    template: &'static str,
    /// The part of the length that is not done.
    left: AtomicU64,
}

impl Progress for Bar {
    fn set_length(&self, length: u64) {
        if length > 0 {
            self.left.store(length, Ordering::Relaxed);
            self.bar.set_style(style(self.template));
            self.bar.set_length(length);
            // The time before says nothing of how fast the work goes.
            self.bar.reset_eta();
        }
    }

    fn inc(&self, done: u64) {
        // What is beyond the length is not shown.
        let take = |left: u64| Some(left.saturating_sub(done));
        let before = self
            .left
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, take);
        self.bar.inc(done.min(before.unwrap_or_default()));
    }
}

impl Drop for Bar {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
        self.all.remove(&self.bar);
    }
}

fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template)
        .unwrap_or_else(|_| ProgressStyle::default_bar())
        .progress_chars("=> ")
        .tick_chars("-\\|/ ")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn the_templates_can_be_used() {
        // One that cannot would quietly become a default.
        for template in [SPINNER, BYTES, PIECES] {
            ProgressStyle::with_template(template).unwrap();
        }
    }

    #[test]
    fn no_bar_goes_beyond_its_end() {
        let target = ProgressDrawTarget::hidden();
        let bars = Bars(MultiProgress::with_draw_target(target));
        let bar = bars.begin(&Task::Check);
        bar.inc(3);
        assert_eq!(bar.bar.position(), 0);
        bar.set_length(10);
        for (done, position) in [(4, 4), (7, 10), (1, 10)] {
            bar.inc(done);
            assert_eq!(bar.bar.position(), position);
        }
    }
}
