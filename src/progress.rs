//! Counts the progress of long work, and tells it as events; the listener shows it.
//!
//! A [`Meter`] stands for one [`Task`]. What it expects is the sum of its [`Share`]s, and each share answers for its part of the sum
//! until it is gone: what it planned and did not need is taken off again, what it needed beyond its plan is added. So at the
//! end as many bytes are done as are expected, whatever was retried, found elsewhere or left out on the way.
//!
//! A monotonic clock is read here, to tell not too often: no result depends on what time it is.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::events::{Event, Listener, Progress, Task};

/// Between two events of a task lie so many bytes …
const TELL_BYTES: u64 = 256 << 10;

/// … or so much time.
const TELL_EVERY: Duration = Duration::from_millis(100);

/// Counts what is done of a task, and tells of it: that it begins when it is made, that it ends when it is dropped.
pub struct Meter<'a> {
    listener: &'a dyn Listener,
    task: Task,
    count: Mutex<Count>,
}

#[derive(Debug, Default)]
struct Count {
    done: u64,
    expected: u64,
    told: Option<(u64, u64)>,
    told_at: Option<Instant>,
    /// `true` if the listener was told that the task begins.
    begun: bool,
}

impl<'a> Meter<'a> {
    /// Says that a task begins.
    pub fn begin(listener: &'a dyn Listener, task: Task) -> Self {
        listener.event(Event::Progress(task.clone(), Progress::Began));
        let meter = Self::later(listener, task);
        lock(&meter.count).begun = true;
        meter
    }

    /// Returns a meter whose task begins once there is something to expect; the task may never begin.
    pub fn later(listener: &'a dyn Listener, task: Task) -> Self {
        Self {
            listener,
            task,
            count: Mutex::default(),
        }
    }

    /// Adds a part of the task, which is expected to take so many bytes. The listener is not told until some bytes are done or
    /// [`Meter::tell`] is called, since other parts may still be missing from the sum.
    pub fn share(&self, bytes: u64) -> Share<'_> {
        let mut count = lock(&self.count);
        count.expected = count.expected.saturating_add(bytes);
        drop(count);
        Share {
            meter: self,
            part: Mutex::new(Part {
                done: 0,
                planned: bytes,
            }),
        }
    }

    /// Forgets everything: the task is begun afresh. There must be no share left.
    pub fn restart(&self) {
        self.change(|count| (count.done, count.expected) = (0, 0));
    }

    /// Tells at once how far the task is.
    pub fn tell(&self) {
        self.tell_of(&mut lock(&self.count));
    }

    fn change(&self, change: impl FnOnce(&mut Count)) {
        let mut count = lock(&self.count);
        change(&mut count);
        let (done, _) = count.told.unwrap_or_default();
        if count.done.abs_diff(done) >= TELL_BYTES
            || count.told_at.is_none_or(|at| at.elapsed() >= TELL_EVERY)
        {
            self.tell_of(&mut count);
        }
    }

    /// Tells under the lock, so that events come in the order of the counts that they tell.
    fn tell_of(&self, count: &mut Count) {
        let (done, expected) = (count.done, count.expected);
        count.told_at = Some(Instant::now());
        if count.told.unwrap_or_default() == (done, expected) {
            return;
        }
        if !count.begun {
            let began = Event::Progress(self.task.clone(), Progress::Began);
            self.listener.event(began);
            count.begun = true;
        }
        count.told = Some((done, expected));
        let reached = Progress::Reached { done, expected };
        self.listener
            .event(Event::Progress(self.task.clone(), reached));
    }
}

impl Drop for Meter<'_> {
    fn drop(&mut self) {
        self.tell();
        if lock(&self.count).begun {
            let ended = Event::Progress(self.task.clone(), Progress::Ended);
            self.listener.event(ended);
        }
    }
}

/// A part of a task, which answers for its part of what is expected; any thread may advance it.
pub struct Share<'a> {
    meter: &'a Meter<'a>,
    part: Mutex<Part>,
}

#[derive(Debug, Clone, Copy)]
struct Part {
    done: u64,
    planned: u64,
}

impl Share<'_> {
    /// Sets the number of bytes that are still to come.
    pub fn plan(&self, bytes: u64) {
        self.change(|part| part.planned = part.done.saturating_add(bytes));
    }

    /// Counts so many more bytes as done; bytes beyond the plan are added to the plan.
    pub fn advance(&self, bytes: u64) {
        self.change(|part| {
            part.done = part.done.saturating_add(bytes);
            part.planned = part.planned.max(part.done);
        });
    }

    /// Counts so many more bytes as done, but no more than are planned: for one kind of bytes that stands for another.
    pub fn advance_within(&self, bytes: u64) {
        self.change(|part| part.done = part.done.saturating_add(bytes).min(part.planned));
    }

    /// Takes back so many bytes, which have to be done again.
    pub fn take_back(&self, bytes: u64) {
        self.change(|part| part.done = part.done.saturating_sub(bytes));
    }

    /// Counts all planned bytes as done.
    pub fn complete(&self) {
        self.change(|part| part.done = part.planned);
    }

    /// Takes the planned bytes that are not done off the plan.
    pub fn forgo(&self) {
        self.change(|part| part.planned = part.done);
    }

    fn change(&self, change: impl FnOnce(&mut Part)) {
        let mut part = lock(&self.part);
        let before = *part;
        change(&mut part);
        let after = *part;
        self.meter.change(|count| {
            count.done = count
                .done
                .saturating_add(after.done)
                .saturating_sub(before.done);
            count.expected = count
                .expected
                .saturating_add(after.planned)
                .saturating_sub(before.planned);
        });
    }
}

impl Drop for Share<'_> {
    fn drop(&mut self) {
        self.forgo();
    }
}

/// Locks a count. A count is whole at any moment, so a panic of another thread has not spoilt it.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use rayon::prelude::*;

    use super::*;

    /// Remembers what it heard.
    #[derive(Default)]
    struct Heard(Mutex<Vec<Progress>>);

    impl Listener for Heard {
        fn event(&self, event: Event) {
            if let Event::Progress(task, progress) = event {
                assert_eq!(task, Task::Check);
                lock(&self.0).push(progress);
            }
        }
    }

    impl Heard {
        fn reached(&self) -> Vec<(u64, u64)> {
            let heard = lock(&self.0);
            let reached = heard.iter().filter_map(|progress| match progress {
                Progress::Reached { done, expected } => Some((*done, *expected)),
                _ => None,
            });
            reached.collect()
        }

        /// Returns the sum of the steps forward and back, which ends at what was done.
        fn last(&self) -> (u64, u64) {
            *self.reached().last().unwrap()
        }
    }

    #[test]
    fn what_is_advanced_adds_up_to_what_is_expected() {
        let heard = Heard::default();
        let sizes = [3_000_000, 700, 0, 40_000_000];
        {
            let meter = Meter::begin(&heard, Task::Check);
            let shares: Vec<_> = sizes.iter().map(|size| meter.share(*size)).collect();
            meter.tell();
            shares
                .into_par_iter()
                .zip(&sizes)
                .for_each(|(share, size)| {
                    let mut left: u64 = *size;
                    while left > 0 {
                        let step = left.min(60_000);
                        share.advance(step);
                        left -= step;
                    }
                });
        }
        let total = sizes.iter().sum::<u64>();
        let reached = heard.reached();
        assert_eq!(reached.first(), Some(&(0, total)));
        assert!(reached.is_sorted());
        assert!(reached.iter().all(|(_, expected)| *expected == total));
        let steps = reached.windows(2).map(|pair| pair[1].0 - pair[0].0);
        assert_eq!(steps.sum::<u64>(), total);
        assert_eq!(heard.last(), (total, total));
        let all = lock(&heard.0);
        assert_eq!(all.first(), Some(&Progress::Began));
        assert_eq!(all.last(), Some(&Progress::Ended));
    }

    #[test]
    fn small_steps_are_told_of_together() {
        let heard = Heard::default();
        let meter = Meter::begin(&heard, Task::Check);
        let share = meter.share(TELL_BYTES * 4);
        let begun = Instant::now();
        (0..TELL_BYTES * 4)
            .step_by(64)
            .for_each(|_| share.advance(64));
        let by_time = begun.elapsed().as_millis() / TELL_EVERY.as_millis();
        let told = heard.reached().len() as u128;
        assert!(told <= 4 + 1 + by_time, "{told} events");
        drop(share);
        drop(meter);
        assert_eq!(heard.last(), (TELL_BYTES * 4, TELL_BYTES * 4));
    }

    #[test]
    fn retries_other_sizes_and_what_is_left_out_change_what_is_expected() {
        let heard = Heard::default();
        let meter = Meter::begin(&heard, Task::Check);
        {
            let cut = meter.share(100);
            cut.advance(60);
            cut.take_back(60);
            cut.advance(100);
            let other_form = meter.share(100);
            other_form.plan(150);
            other_form.advance(150);
            let known_already = meter.share(1000);
            drop(known_already);
            let twice = meter.share(10);
            twice.advance(10);
            twice.plan(10);
            twice.advance(10);
            let longer = meter.share(5);
            longer.advance(7);
            let capped = meter.share(50);
            capped.advance_within(80);
            let completed = meter.share(30);
            completed.advance_within(10);
            completed.complete();
            meter.tell();
        }
        meter.tell();
        let sum = 100 + 150 + 20 + 7 + 50 + 30;
        assert_eq!(heard.last(), (sum, sum));
        meter.restart();
        let share = meter.share(9);
        meter.tell();
        assert_eq!(heard.last(), (0, 9));
        let nothing = Heard::default();
        drop(Meter::later(&nothing, Task::Check).share(0));
        assert!(lock(&nothing.0).is_empty(), "what never began does not end");
        drop(share);
        drop(meter);
        assert_eq!(heard.last(), (0, 0));
    }
}
