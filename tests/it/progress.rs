//! Progress: what a person at a terminal sees while a run goes on, that nothing of it stays, and that nobody else gets any of it.

use std::fs;
use std::process::{Command, Output, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use aptmerge::cancel::Cancel;
use aptmerge::config::Config;
use aptmerge::events::{Event, Listener, Progress, Task};
use aptmerge::lock::{Holder, RunLock};
use aptmerge::publish::Allowances;
use aptmerge::run::RunOptions;
use aptmerge::workspace::Workspace;

use crate::common::programs::{APTMERGE, has, write_script};
use crate::common::site::Site;
use crate::common::web::{Mirror, Request};

const COLUMNS: usize = 100;

/// A site whose archives come from a server that takes its time for each index.
fn slow_site() -> (Site, Mirror) {
    let site = Site::new();
    let mirror = Mirror::of(&site.path("archives"));
    let files = format!("file://{}", site.path("archives").display());
    site.write_config(&site.config().replace(&files, &mirror.uri()));
    // One after the other, so that there is a moment at which some are there and others are not.
    let turn = Mutex::new(());
    mirror.behave(move |path| {
        let is_release = ["Release", "Release.gpg"].iter().any(|n| path.ends_with(n));
        if !is_release {
            let _turn = turn.lock().unwrap();
            std::thread::sleep(Duration::from_millis(150));
        }
        None
    });
    (site, mirror)
}

/// Runs aptmerge at a terminal; gives what came there, what went to a stdout that is a file, and the exit code.
fn at_terminal(site: &Site, environment: &str, arguments: &str) -> (String, String, i32) {
    let stdout = site.path("stdout");
    // The same clock as elsewhere, so that the fixtures' Releases and keys are good.
    let command = site.command(&arguments.split(' ').collect::<Vec<_>>());
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    let words: Vec<_> = words
        .map(|w| format!("'{}'", w.to_str().unwrap()))
        .collect();
    let line = format!(
        "stty cols {COLUMNS} rows 24; export TERM=xterm {environment}; {} > '{}'; echo \"exit $?\"",
        words.join(" "),
        stdout.display(),
    );
    let Output { stdout: drawn, .. } = Command::new("script")
        .args(["-qec", &line, "/dev/null"])
        .env("SHELL", "/bin/sh")
        .env_remove("NO_COLOR")
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let drawn = String::from_utf8(drawn).unwrap();
    let code = drawn.trim_end().rsplit("exit ").next().unwrap();
    let code = code.parse().unwrap();
    (drawn, fs::read_to_string(stdout).unwrap(), code)
}

/// What a terminal shows in the end of what was drawn on it.
fn screen(drawn: &str) -> Vec<String> {
    let mut lines: Vec<Vec<char>> = vec![Vec::new()];
    let (mut row, mut column) = (0_usize, 0_usize);
    let mut rest = drawn.chars();
    while let Some(c) = rest.next() {
        match c {
            '\r' => column = 0,
            '\n' => row += 1,
            '\u{1b}' => {
                assert_eq!(rest.next(), Some('['));
                let mut number = String::new();
                let command = loop {
                    let c = rest.next().unwrap();
                    if c.is_ascii_alphabetic() {
                        break c;
                    }
                    number.push(c);
                };
                let count = number.parse().unwrap_or(1);
                match command {
                    'A' => row = row.checked_sub(count).unwrap(),
                    'B' => row += count,
                    'K' if number == "2" => lines[row].clear(),
                    other => panic!("ESC [ {number} {other}"),
                }
            }
            c => {
                if column == COLUMNS {
                    (row, column) = (row + 1, 0);
                }
                lines.resize(lines.len().max(row + 1), Vec::new());
                let line = &mut lines[row];
                line.resize(line.len().max(column + 1), ' ');
                line[column] = c;
                column += 1;
            }
        }
        lines.resize(lines.len().max(row + 1), Vec::new());
    }
    let text = lines.iter().map(|l| l.iter().collect::<String>());
    let mut text: Vec<String> = text.map(|l| l.trim_end().to_owned()).collect();
    while text.last().is_some_and(String::is_empty) {
        text.pop();
    }
    text
}

fn has_colour(drawn: &str) -> bool {
    drawn.split("\u{1b}[").skip(1).any(|part| {
        let parameters = part.trim_start_matches(|c: char| c.is_ascii_digit() || c == ';');
        parameters.starts_with('m')
    })
}

fn has_script() -> bool {
    has("script") && has("stty")
}

#[test]
fn a_terminal_shows_what_is_done_and_keeps_nothing_of_it() {
    if !has_script() {
        return;
    }
    let (site, _mirror) = slow_site();
    let (drawn, stdout, code) = at_terminal(&site, "", "run");
    assert_eq!(code, 0, "{drawn}");
    for words in ["fetch main bookworm", "fetch overlay daedalus", "KiB of "] {
        assert!(drawn.contains(words), "`{words}` is not in:\n{drawn}");
    }
    assert_eq!(screen(&drawn), ["exit 0"], "{drawn:?}");
    assert_eq!(stdout, "");
    assert!(!has_colour(&drawn), "{drawn:?}");
    // A killed run must not leave a terminal without a cursor.
    assert!(!drawn.contains("\u{1b}[?25l"));
}

#[test]
fn messages_stand_above_the_bars_and_stay() {
    if !has_script() {
        return;
    }
    let (site, _mirror) = slow_site();
    let (drawn, stdout, code) = at_terminal(&site, "", "run -v");
    assert_eq!(code, 0, "{drawn}");
    assert!(drawn.contains(" of "), "{drawn}");
    let screen = screen(&drawn);
    assert_eq!(screen.first().unwrap(), "aptmerge: step: recover");
    assert_eq!(screen.last().unwrap(), "exit 0");
    assert_eq!(
        stdout, "published generation 1: daedalus\n  daedalus: new\n",
        "{screen:?}"
    );
    // The same lines as without a terminal, apart from what long ones are broken into.
    let known = ["aptmerge: ", "exit "];
    let odd = |line: &&String| ["fetch ", "merge "].iter().any(|w| line.starts_with(w));
    assert_eq!(screen.iter().find(odd), None, "{screen:?}");
    assert!(
        screen
            .iter()
            .filter(|l| known.iter().any(|k| l.starts_with(k)))
            .count()
            > 8
    );
}

#[test]
fn a_failure_is_told_in_full() {
    if !has_script() {
        return;
    }
    let (site, mirror) = slow_site();
    mirror.behave(|path| {
        std::thread::sleep(Duration::from_millis(150));
        path.contains("Packages").then(|| (404, Vec::new()))
    });
    let by_pipe = site.run(&[]);
    let (drawn, _, code) = at_terminal(&site, "", "run");
    assert_eq!((by_pipe.code, code), (Some(1), 1));
    assert!(drawn.contains("fetch main bookworm"), "{drawn}");
    let screen = screen(&drawn);
    assert_eq!(screen.last().unwrap(), "exit 1");
    let told = screen[..screen.len() - 1].concat().replace(' ', "");
    assert!(told.starts_with("aptmerge:error:"), "{screen:?}");
    assert!(told.contains("causedby:"), "{screen:?}");
    assert!(told.contains("Packages"), "{screen:?}");
    assert!(!told.contains("fetchmain"), "{screen:?}");
}

#[test]
fn nothing_is_drawn_where_nobody_wants_it() {
    let (site, _mirror) = slow_site();
    let said = site.run(&[]);
    said.expect(0, &[]);
    assert_eq!((said.stdout.as_str(), said.stderr.as_str()), ("", ""));
    if !has_script() {
        return;
    }
    for (environment, arguments) in [("", "-q run"), ("TERM=dumb", "run"), ("TERM=", "run")] {
        fs::remove_dir_all(site.path("site")).unwrap();
        let (drawn, _, code) = at_terminal(&site, environment, arguments);
        assert_eq!(code, 0);
        assert_eq!(drawn, "exit 0\r\n", "{environment} {arguments}");
    }
}

#[test]
fn without_colours_there_are_bars_all_the_same() {
    if !has_script() {
        return;
    }
    let (site, _mirror) = slow_site();
    let (drawn, _, code) = at_terminal(&site, "NO_COLOR=1", "--json fetch");
    assert_eq!(code, 0);
    assert!(drawn.contains("fetch main bookworm"), "{drawn}");
    assert_eq!(screen(&drawn), ["exit 0"], "{drawn:?}");
    assert!(!has_colour(&drawn), "{drawn:?}");
}

#[test]
fn a_push_is_shown_with_its_target() {
    if !has_script() || !has("rsync") {
        return;
    }
    let site = Site::new();
    let program = site.path("transfer");
    write_script(&program, "#!/bin/sh\nsleep 0.2\nexec rsync \"$@\"\n");
    site.write_config(&format!(
        "{}\n[[push]]\nname = \"near\"\nrsync = \"{}\"\nprogram = \"{}\"\n",
        site.config(),
        site.path("target").display(),
        program.display()
    ));
    let (drawn, _, code) = at_terminal(&site, "", "run");
    assert_eq!(code, 0, "{drawn}");
    assert!(drawn.contains("push to near"), "{drawn}");
    assert_eq!(screen(&drawn), ["exit 0"], "{drawn:?}");
}

/// Remembers how far each task came, and its length.
#[derive(Default)]
struct Heard(Mutex<Vec<(Task, Counts)>>);

/// The length of a task, and what is done of it; told when the task ends.
struct Counting<'a> {
    heard: &'a Heard,
    task: Task,
    length: AtomicU64,
    done: AtomicU64,
}

type Counts = (u64, u64);

impl Listener for Heard {
    fn event(&self, _: Event) {}

    fn progress(&self, task: Task) -> Box<dyn Progress + '_> {
        Box::new(Counting {
            heard: self,
            task,
            length: AtomicU64::default(),
            done: AtomicU64::default(),
        })
    }
}

impl Progress for Counting<'_> {
    fn set_length(&self, length: u64) {
        assert_eq!(self.length.swap(length, Ordering::Relaxed), 0);
    }

    fn inc(&self, done: u64) {
        self.done.fetch_add(done, Ordering::Relaxed);
    }
}

impl Drop for Counting<'_> {
    fn drop(&mut self) {
        let counts = (*self.done.get_mut(), *self.length.get_mut());
        self.heard
            .0
            .lock()
            .unwrap()
            .push((self.task.clone(), counts));
    }
}

#[test]
fn every_task_ends_with_all_that_was_expected() {
    let (site, mirror) = slow_site();
    let path = site.path("aptmerge.toml");
    let text = fs::read_to_string(&path).unwrap();
    let all = r#"["packages", "sources", "contents", "translations", "dep11", "commands"]"#;
    site.write_config(&text.replace(r#"["packages", "sources"]"#, all));
    let config = Config::load(&path).unwrap();
    let holder = Holder {
        command: "a test".into(),
        started: "now".into(),
    };
    fs::create_dir_all(&config.root).unwrap();
    let lock = RunLock::acquire(&config.lock, &holder, Duration::ZERO).unwrap();
    let mut workspace = Workspace::open(&lock, &config.root).unwrap();
    let heard = Heard::default();
    let options = RunOptions {
        clock: &|| "2026-03-01T00:00:00Z".parse().unwrap(),
        allow: Allowances::default(),
        guardian: APTMERGE.into(),
        listener: &heard,
        cancel: &Cancel::default(),
    };
    aptmerge::run::run(&mut workspace, &config.setup(), &options).unwrap();
    let heard = heard.0.into_inner().unwrap();
    for (task, (done, length)) in &heard {
        assert_eq!(done, length, "{task}");
        assert_eq!(*length == 0, *task == Task::Sync, "{task}");
    }
    // What was transferred is what the mirror served.
    let requests = mirror.requests();
    let served = |archive: &str| -> u64 {
        let path = |r: &Request| site.path("archives").join(&r.path);
        let indices = requests.iter().filter(|r| {
            r.status == 200 && r.path.starts_with(archive) && !r.path.contains("Release")
        });
        indices.map(|r| path(r).metadata().unwrap().len()).sum()
    };
    let of = |name: &str| heard.iter().find(|(t, _)| t.to_string() == name).unwrap().1;
    assert_eq!(of("fetch overlay daedalus").0, served("overlay/"));
    assert_eq!(of("fetch main bookworm").0, served("main/"));
}
