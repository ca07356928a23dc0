//! Cancellation: a run that is told to stop does so soon, what is served stays whole, and the next run converges.

use std::path::Path;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use aptmerge::cancel::Cancel;
use aptmerge::config::Config;
use aptmerge::error::Error;
use aptmerge::events::{Event, Listener, Silent};
use aptmerge::lock::{Holder, RunLock};
use aptmerge::publish::Allowances;
use aptmerge::run::{Outcome, RunOptions, Unfinished};
use aptmerge::workspace::Workspace;

use crate::common::processes::{is_alive, pid_in, wait_until};
use crate::common::programs::{APTMERGE, has};
use crate::common::site::{Site, TWO_SUITES, contents, copy_over, without_signatures};
use crate::common::web::Mirror;

const FIRST: &str = "2026-03-01T00:00:00Z";
const SECOND: &str = "2026-03-01T01:00:00Z";

/// Cancels its token at a certain event, and remembers the events after it.
struct Stopping<'a> {
    cancel: Cancel,
    at: &'a (dyn Fn(&Event) -> bool + Sync),
    after: Mutex<Vec<Event>>,
}

impl<'a> Stopping<'a> {
    fn new(at: &'a (dyn Fn(&Event) -> bool + Sync)) -> Self {
        Self {
            cancel: Cancel::default(),
            at,
            after: Mutex::default(),
        }
    }

    /// The steps and messages that came after the token was cancelled.
    fn after(&self) -> Vec<Event> {
        self.after.lock().unwrap().clone()
    }
}

impl Listener for Stopping<'_> {
    fn event(&self, event: Event) {
        if self.cancel.is_cancelled() {
            self.after.lock().unwrap().push(event);
        } else if (self.at)(&event) {
            self.cancel.cancel();
        }
    }
}

/// Runs the library's run in this process.
fn run(config: &Path, listener: &dyn Listener, cancel: &Cancel) -> Result<Outcome, Error> {
    let config = Config::load(config).unwrap();
    let holder = Holder {
        command: "a test".into(),
        started: "now".into(),
    };
    std::fs::create_dir_all(&config.root).unwrap();
    let lock = RunLock::acquire(&config.lock, &holder, Duration::ZERO).unwrap();
    let mut workspace = Workspace::open(&lock, &config.root).unwrap();
    let options = RunOptions {
        clock: &|| SECOND.parse().unwrap(),
        allow: Allowances::default(),
        guardian: APTMERGE.into(),
        listener,
        cancel,
    };
    aptmerge::run::run(&mut workspace, &config.setup(), &options)
}

/// Returns whether an error says that the run was told to stop, be it before or after the swap.
fn is_cancelled(error: &Error, is_published: bool) -> bool {
    match error.downcast_ref() {
        Some(Unfinished { source }) => is_published && matches!(source, Error::Cancelled),
        None => !is_published && matches!(error, Error::Cancelled),
    }
}

#[test]
fn a_run_that_is_stopped_in_any_step_serves_the_old_or_the_new_and_the_next_one_converges() {
    let mut site = Site::of(TWO_SUITES);
    let target = site.path("target");
    let pushes = has("rsync");
    if pushes {
        let push = format!(
            "[[push]]\nname = \"near\"\nrsync = \"{}\"\n",
            target.display()
        );
        site.set_extra(&push);
    }
    site.expect(0, &["run", "--clock", FIRST]);
    site.raise_overlay("9.0");
    let production = || contents(&site.root().join("merged-production"));
    let old = production();
    let places = [
        (site.root(), site.path("old site")),
        (target, site.path("old target")),
    ];
    let places = &places[..1 + usize::from(pushes)];
    for (place, kept) in places {
        copy_over(place, kept);
    }
    let go_back = || {
        places
            .iter()
            .for_each(|(place, kept)| copy_over(kept, place))
    };
    site.expect(0, &["run", "--clock", SECOND]);
    let new = without_signatures(&production());
    assert_ne!(without_signatures(&old), new);
    for step in ["recover", "fetch", "merge", "check", "swap", "sync", "push"] {
        let is_published = ["sync", "push"].contains(&step);
        go_back();
        let at = |event: &Event| matches!(event, Event::Step(name) if *name == step);
        let stopping = Stopping::new(&at);
        let error = run(&site.config_file(), &stopping, &stopping.cancel).unwrap_err();
        assert!(is_cancelled(&error, is_published), "{step}: {error:?}");
        assert_eq!(site.link().as_deref(), Some(Path::new("merged-production")));
        let served = production();
        let is_whole = match is_published {
            true => without_signatures(&served) == new,
            false => served == old,
        };
        assert!(is_whole, "{step}: a mixture is served");
        let pushed = || contents(&site.path("target"));
        assert!(!pushes || pushed() == old, "{step}: it was pushed");
        // The next run.
        site.expect(0, &["run", "--clock", SECOND]);
        let served = production();
        assert!(
            without_signatures(&served) == new,
            "{step}: it does not converge"
        );
        assert!(!pushes || pushed() == served, "{step}: it was not pushed");
    }
    // Once the run has only to be recorded, nothing is left that could be stopped.
    go_back();
    let stopping = Stopping::new(&|event| matches!(event, Event::Step("record")));
    run(&site.config_file(), &stopping, &stopping.cancel).unwrap();
}

#[test]
fn a_transfer_is_killed_when_the_run_is_stopped() {
    let mut site = Site::of(TWO_SUITES);
    let pid = site.path("pid");
    let hangs = format!(
        "#!/bin/sh\necho $$ > '{0}'\nexec sleep 600\n",
        pid.display()
    );
    let program = site.script("transfer", &hangs);
    site.set_extra(&format!(
        "[[push]]\nname = \"near\"\nrsync = \"{}\"\nprogram = \"{}\"\n",
        site.path("target").display(),
        program.display()
    ));
    let cancel = Cancel::default();
    let error = std::thread::scope(|scope| {
        scope.spawn(|| {
            wait_until("the transfer begins", || pid.exists());
            cancel.cancel();
        });
        run(&site.config_file(), &Silent, &cancel).unwrap_err()
    });
    assert!(is_cancelled(&error, true), "{error:?}");
    assert!(!is_alive(pid_in(&pid)));
    // And the lock is free.
    site.expect(0, &["fetch", "--clock", SECOND]);
}

#[test]
fn no_index_is_made_and_no_suite_begun_once_the_merge_is_stopped() {
    let site = Site::of(TWO_SUITES);
    let begins = |event: &Event| matches!(event, Event::Info(text) if text.starts_with("suite "));
    let stopping = Stopping::new(&begins);
    let error = run(&site.config_file(), &stopping, &stopping.cancel).unwrap_err();
    assert!(is_cancelled(&error, false), "{error:?}");
    assert!(
        !stopping.after().iter().any(begins),
        "{:?}",
        stopping.after()
    );
    let made = contents(&site.root().join("merged-volatile"));
    assert!(made.is_empty(), "{:?}", made.keys());
    assert_eq!(site.link(), None);
}

#[test]
fn few_files_are_asked_for_once_the_fetch_is_stopped() {
    let site = Site::new();
    let mirror = Mirror::of(&site.path("archives"));
    let files = format!("file://{}", site.path("archives").display());
    site.write_config(
        &site
            .config()
            .replace(&files, &mirror.uri())
            .replace("[fetch]", "[fetch]\nparallel = 2"),
    );
    let cancel = Cancel::default();
    let token = cancel.clone();
    mirror.behave(move |path| {
        if path.contains("Packages") {
            token.cancel();
        }
        None
    });
    let error = run(&site.config_file(), &Silent, &cancel).unwrap_err();
    assert!(is_cancelled(&error, false), "{error:?}");
    let asked = mirror.requests();
    let of_indices = asked.iter().filter(|r| !r.path.contains("Release"));
    // Each thread may have been about to ask.
    assert!(of_indices.count() <= 3, "{asked:?}");
}

#[test]
fn a_pause_ends_when_the_run_is_stopped() {
    let site = Site::new();
    let mirror = Mirror::of(&site.path("archives"));
    let files = format!("file://{}", site.path("archives").display());
    let config = site.config().replace(&files, &mirror.uri());
    let config = config.replace("retries = 0", "retries = 9");
    site.write_config(&config.replace("backoff = \"0 seconds\"", "backoff = \"50 seconds\""));
    let cancel = Cancel::default();
    let token = cancel.clone();
    mirror.behave(move |_| {
        token.cancel();
        Some((503, Vec::new()))
    });
    let begun = Instant::now();
    let error = run(&site.config_file(), &Silent, &cancel).unwrap_err();
    assert!(is_cancelled(&error, false), "{error:?}");
    assert!(begun.elapsed() < Duration::from_secs(20));
}
