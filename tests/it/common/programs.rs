//! Programs that tests need, and what they share with the tests beside them.
//!
//! Where a program is missing its test is skipped aloud, or fails if `APTMERGE_SKIP_NOTHING` is set, as in `.ci/run`.

use std::io::Write;
use std::net::TcpListener;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

/// The program that is tested.
pub(crate) const APTMERGE: &str = env!("CARGO_BIN_EXE_aptmerge");

/// Returns the directory of this project.
pub(crate) fn top() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Names the test that a process was started for.
const ALONE: &str = "APTMERGE_TEST_ALONE";

/// The exit code and the output of a command.
#[derive(Debug)]
pub(crate) struct Said {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Said {
    pub(crate) fn of(output: &Output) -> Said {
        Said {
            code: output.status.code(),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }

    /// Returns the outcome that a run with `--json` wrote.
    #[track_caller]
    pub(crate) fn outcome(&self) -> serde_json::Value {
        serde_json::from_str(&self.stdout).unwrap()
    }

    /// Asserts the exit code, and that every one of some words is in the error output.
    #[track_caller]
    pub(crate) fn expect(&self, code: i32, words: &[&str]) -> &Self {
        assert_eq!(self.code, Some(code), "{}{}", self.stderr, self.stdout);
        for word in words {
            assert!(
                self.stderr.contains(word),
                "`{word}` is not in:\n{}",
                self.stderr
            );
        }
        self
    }
}

/// Calls the program in a directory, without a configuration that the environment names.
pub(crate) fn aptmerge_in(dir: &Path, arguments: &[&str]) -> Said {
    let mut command = Command::new(APTMERGE);
    command.args(arguments).current_dir(dir);
    forget_environment(&mut command);
    Said::of(&command.output().unwrap())
}

/// The variables that aptmerge would heed, were they set where tests run.
const VARIABLES: [&str; 9] = [
    "APTMERGE_CONFIG",
    "http_proxy",
    "https_proxy",
    "HTTPS_PROXY",
    "all_proxy",
    "ALL_PROXY",
    "no_proxy",
    "NO_PROXY",
    "SSL_CERT_FILE",
];

/// Takes the variables that aptmerge heeds out of the environment of a call.
pub(crate) fn forget_environment(command: &mut Command) {
    for variable in VARIABLES {
        command.env_remove(variable);
    }
}

/// Says that a test is skipped, and for the lack of what.
#[track_caller]
pub(crate) fn skipped(lack: &str) {
    assert!(
        std::env::var_os("APTMERGE_SKIP_NOTHING").is_none(),
        "missing: {lack}"
    );
    eprintln!("skipped: no {lack}");
}

/// Returns whether a program is installed; says so, or fails, if it is not.
#[track_caller]
pub(crate) fn has(program: &str) -> bool {
    let dirs = std::env::var("PATH").unwrap_or_default() + ":/usr/sbin:/sbin";
    let found = dirs
        .split(':')
        .any(|dir| Path::new(dir).join(program).is_file());
    if !found {
        skipped(program);
    }
    found
}

/// Returns a Python that has a module of a Debian package; says so, or fails, if there is none.
#[track_caller]
pub(crate) fn python_with(module: &str, package: &str) -> Option<&'static str> {
    // Debian's package is for the interpreter of Debian.
    let pythons = ["python3", "/usr/bin/python3"];
    let import = format!("import {module}");
    let found = pythons.into_iter().find(|python| {
        let output = Command::new(python).args(["-c", &import]).output();
        output.is_ok_and(|output| output.status.success())
    });
    if found.is_none() {
        skipped(package);
    }
    found
}

/// Returns true in a process that was started for this test alone. Anywhere else, runs the test in such a process and expects that it passes.
#[track_caller]
pub(crate) fn is_alone(test: &str) -> bool {
    if std::env::var_os(ALONE).is_some_and(|alone| alone == test) {
        return true;
    }
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", test]).env(ALONE, test);
    let output = command.stdin(Stdio::null()).output().unwrap();
    let told = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success() && told.contains("1 passed"),
        "{told}"
    );
    false
}

/// Puts a script in its place, to be executed.
///
/// A child writes it: a file is not executed while anybody has it open for writing, and a test beside that forks would hold it open for a moment.
pub(crate) fn write_script(path: &Path, text: &str) {
    let mut shell = Command::new("sh")
        .args(["-c", "cat > \"$0\" && chmod 755 \"$0\""])
        .arg(path)
        .stdin(Stdio::piped())
        .spawn()
        .unwrap();
    let mut input = shell.stdin.take().unwrap();
    input.write_all(text.as_bytes()).unwrap();
    drop(input);
    assert!(shell.wait().unwrap().success());
}

/// Copies the program to a path; a child does it, as in [`write_script`].
pub(crate) fn copy_program(path: &Path) {
    let status = Command::new("cp").arg(APTMERGE).arg(path).status();
    assert!(status.unwrap().success());
}

/// Returns a free port that no other test gets: it is none of those that the system chooses from.
pub(crate) fn free_port() -> u16 {
    static ASKED: AtomicU32 = AtomicU32::new(0);
    let first = std::process::id().wrapping_mul(100);
    loop {
        let number = first.wrapping_add(ASKED.fetch_add(1, Ordering::Relaxed));
        let port = 10_000 + (number % 20_000) as u16;
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}
