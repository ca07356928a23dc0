//! A target that rsync writes to: a path, an address over ssh, or one of a daemon.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use nix::sys::signal::kill;
use nix::unistd::Pid;
use tempfile::NamedTempFile;

use crate::cancel::Cancel;
use crate::durable;
use crate::error::{Error, Result};
use crate::events::Progress;
use crate::quoted::quoted_output;
use crate::signals::GIVE_UP;
use crate::workspace::Workspace;

use super::error::{Ended, PushError, PushFault};
use super::guardian;
use super::look::Look;
use super::owner::{self, Mark, Seen};
use super::stages::{self, Before, Deletes};
use super::target::Target;
use super::tree::Tree;

/// The most bytes of rsync's output that are shown.
const SHOWN_BYTES: u64 = 4000;

/// The exit code of rsync when the other side said nothing for too long.
const RSYNC_TIMEOUT: i32 = 30;

/// The exit code of rsync when the other side does not do what is asked for.
const RSYNC_UNSUPPORTED: i32 = 4;

/// The most that rsync may write during a look: 4 MiB are some 50,000 names.
const LOOK_BYTES: u64 = 4 << 20;

/// The exit code of rsync when a daemon did not answer for too long while rsync connected to it.
const RSYNC_CONNECT_TIMEOUT: i32 = 35;

/// The pause between two looks whether a transfer has ended, and whether it is still wanted.
const LOOK_EVERY: Duration = Duration::from_millis(10);

/// A target, for the time of one push.
pub(super) struct Rsync<'a> {
    workspace: &'a Workspace<'a>,
    target: &'a Target,
    guardian: &'a Path,
    cancel: &'a Cancel,
    deadline: Option<Instant>,
}

/// A call of rsync's that failed.
struct Failed {
    /// The exit code, if rsync ran and returned one.
    code: Option<i32>,
    error: Error,
}

impl From<Error> for Failed {
    fn from(error: Error) -> Self {
        Failed { code: None, error }
    }
}

impl From<Failed> for Error {
    fn from(failed: Failed) -> Self {
        failed.error
    }
}

impl<'a> Rsync<'a> {
    /// Begins the time that a push to this target has.
    pub(super) fn new(
        workspace: &'a Workspace<'a>,
        target: &'a Target,
        guardian: &'a Path,
        cancel: &'a Cancel,
    ) -> Rsync<'a> {
        Rsync {
            workspace,
            target,
            guardian,
            cancel,
            deadline: Instant::now().checked_add(target.timeout.duration()),
        }
    }

    /// Looks at the contents of the target. If it does not let contents be compared, sizes and times are.
    pub(super) fn look(&self, mut look: Look<'_>) -> Result<Seen> {
        let production = self.workspace.layout().production();
        let from = [look.mark.dir.as_path(), production.as_path()];
        let call =
            |look: &Look<'_>| self.run("a look at it", Vec::new(), look.arguments(), &from, "");
        let answer = match call(&look) {
            // A daemon may refuse `--checksum` to everybody, since it costs time.
            Err(failed) if failed.code == Some(RSYNC_UNSUPPORTED) && look.by_content => {
                look.by_content = false;
                call(&look)
            }
            other => other,
        };
        let mut said = Vec::new();
        let mut answer = answer?;
        answer
            .seek(SeekFrom::Start(0))
            .and_then(|_| answer.take(LOOK_BYTES + 1).read_to_end(&mut said))
            .map_err(Error::io(
                "read a temporary file in",
                self.workspace.layout().state(),
            ))?;
        if said.len() as u64 > LOOK_BYTES {
            return Err(self.failed(PushFault::TooMuch));
        }
        look.read(&String::from_utf8_lossy(&said))
            .ok_or_else(|| self.failed(PushFault::Silenced))
    }

    /// Puts our mark at the target, and removes all other marks.
    pub(super) fn claim(&self, mark: &Mark) -> Result<()> {
        let mut arguments = basic();
        arguments.extend([
            "--delete".into(),
            format!("--filter=+ /{}", mark.name()),
            format!("--filter=R /{}*", owner::PREFIX),
            // The temporary files that an interrupted call left.
            format!("--filter=R /.{}.??????", mark.name()),
            "--filter=- *".into(),
        ]);
        self.run("owner's mark", arguments, Vec::new(), &[&mark.dir], "")?;
        Ok(())
    }

    /// Brings production and the reports. With `by_content`, rsync compares files by their content, not by size and time.
    pub(super) fn push(
        &self,
        tree: &Tree,
        before: Before<'_>,
        by_content: bool,
        progress: &dyn Progress,
    ) -> Result<()> {
        let layout = self.workspace.layout();
        let production = layout.production();
        let stages = stages::stages(tree, before);
        let has_reports = self.target.log && layout.log().is_dir();
        progress.set_length(stages.len() as u64 + u64::from(has_reports));
        for stage in stages {
            let mut arguments = basic();
            arguments.extend([
                "--links".to_owned(),
                // An index that is there under by-hash already is linked, not sent again.
                "--hard-links".into(),
                // So nothing is alike that is sent, and whatever lies in its place need not be read.
                "--whole-file".into(),
                "--delay-updates".into(),
            ]);
            if by_content {
                arguments.push("--checksum".into());
            }
            if stage.is_of_packages {
                // The tree has a symlink to each component of a pool.
                arguments.push("--copy-dirlinks".into());
            }
            let mut rules = None;
            match stage.deletes {
                Deletes::Nothing => {}
                Deletes::InTheWay => arguments.push("--force".into()),
                Deletes::Gone => arguments.push("--delete-after".into()),
            }
            if stage.deletes == Deletes::Gone {
                // Whole suites may be gone: their names would not fit into a command line.
                let file = self.rules(&stage.filters)?;
                arguments.push(format!("--filter=merge {}", file.path().display()));
                rules = Some(file);
            } else {
                arguments.extend(stage.filters.iter().map(|rule| format!("--filter={rule}")));
            }
            self.run(stage.what, arguments, Vec::new(), &[&production], "")?;
            drop(rules);
            progress.inc(1);
        }
        if has_reports {
            self.run("reports", basic(), Vec::new(), &[&layout.log()], "log/")?;
        }
        Ok(())
    }

    /// Writes filter rules to a file, one a line.
    fn rules(&self, rules: &[String]) -> Result<NamedTempFile> {
        let mut file = durable::temporary(&self.workspace.layout().state().join("rules"))?;
        let text: String = rules.iter().map(|rule| format!("{rule}\n")).collect();
        file.write_all(text.as_bytes())
            .map_err(Error::io("write", file.path()))?;
        Ok(file)
    }
}

/// Returns the options of every call that brings something.
fn basic() -> Vec<String> {
    [
        "--recursive",
        "--times",
        "--perms",
        "--chmod=D0755,F0644",
        "--mkpath",
    ]
    .map(str::to_owned)
    .to_vec()
}

/// Returns the options that tell rsync how long a target may be silent.
fn silence(target: &Target) -> impl Iterator<Item = String> {
    let seconds = target.io_timeout.seconds();
    // rsync refuses the second one for anything but a connection of its own to a daemon.
    let is_daemon = target.rsync.starts_with("rsync://") || target.rsync.contains("::");
    let names_shell = |option: &String| match option.strip_prefix("--") {
        Some(long) => long.starts_with("rsh"),
        None => option.contains('e'),
    };
    let connects = is_daemon && !target.options.iter().any(names_shell);
    let connecting = connects.then(|| format!("--contimeout={seconds}"));
    [format!("--timeout={seconds}")]
        .into_iter()
        .chain(connecting)
}

impl Rsync<'_> {
    fn failed(&self, fault: PushFault) -> Error {
        let target = self.target.name.to_string();
        PushError { target, fault }.into()
    }

    /// Waits for a guardian, and tells it to give up if the run is told to stop; it ends once nothing of the transfer is left.
    fn wait_for(&self, mut guardian: Child) -> io::Result<ExitStatus> {
        let pid = Pid::from_raw(i32::try_from(guardian.id()).map_err(io::Error::other)?);
        let mut is_told = false;
        loop {
            if let Some(status) = guardian.try_wait()? {
                return Ok(status);
            }
            if self.cancel.is_cancelled() && !is_told {
                kill(pid, GIVE_UP)?;
                is_told = true;
            }
            std::thread::sleep(LOOK_EVERY);
        }
    }

    /// Calls rsync, with `arguments` before and `last` behind the options of the configuration; returns what it said.
    fn run(
        &self,
        step: &'static str,
        mut arguments: Vec<String>,
        last: Vec<String>,
        from: &[&Path],
        below: &str,
    ) -> std::result::Result<File, Failed> {
        let (workspace, target) = (self.workspace, self.target);
        self.cancel.check().map_err(Error::from)?;
        arguments.extend(silence(target));
        let options = target.options.iter();
        // The output of a look is what we need.
        let is_look = !last.is_empty();
        let is_heard = |option: &&String| !(is_look && matches!(option.as_str(), "-q" | "--quiet"));
        arguments.extend(options.filter(is_heard).cloned());
        arguments.extend(last);
        arguments.push("--".into());
        // rsync takes a colon in a relative path for a host; ours are absolute.
        arguments.extend(from.iter().map(|from| format!("{}/", from.display())));
        arguments.push(format!("{}/{below}", target.rsync.trim_end_matches('/')));
        // A file and not a pipe: a daemon that rsync leaves behind may keep it open, and nobody has to wait for that.
        let state = workspace.layout().state();
        let mut output = tempfile::tempfile_in(&state)
            .map_err(Error::io("create a temporary file in", &state))?;
        let errors = output
            .try_clone()
            .map_err(Error::io("share a temporary file in", &state))?;
        let lock = workspace
            .lock()
            .share()
            .map_err(Error::io("share the lock", workspace.lock().path()))?;
        let claim = workspace
            .claim()
            .share()
            .map_err(Error::io("share the lock", &state))?;
        let mut guardian = Command::new(self.guardian);
        guardian
            .arg(guardian::COMMAND)
            .arg(std::process::id().to_string());
        if let Some(deadline) = self.deadline {
            let left = deadline.saturating_duration_since(Instant::now());
            guardian.arg(format!("--within={}", left.as_millis()));
        }
        let status = guardian
            .arg("--")
            .arg(&target.program)
            .args(&arguments)
            .stdin(lock.map_or_else(Stdio::null, Stdio::from))
            .stdout(claim.map_or_else(Stdio::null, Stdio::from))
            .stderr(errors)
            .spawn()
            .and_then(|guardian| self.wait_for(guardian))
            .map_err(|source| {
                self.failed(PushFault::Guardian {
                    step,
                    program: self.guardian.to_owned(),
                    source: Arc::new(source),
                })
            })?;
        if status.success() {
            return Ok(output);
        }
        self.cancel.check().map_err(Error::from)?;
        let is_late = self.deadline.is_some_and(|end| Instant::now() >= end)
            && status.code() == Some(guardian::OUT_OF_TIME.into());
        let ended = match status.code() {
            _ if is_late => Ended::OutOfTime(target.timeout),
            Some(RSYNC_TIMEOUT | RSYNC_CONNECT_TIMEOUT) => Ended::Silent(status),
            _ => Ended::With(status),
        };
        let mut text = Vec::new();
        let length = output.metadata().map(|m| m.len()).unwrap_or(0);
        let _ = output
            .seek(SeekFrom::Start(length.saturating_sub(SHOWN_BYTES)))
            .and_then(|_| output.take(SHOWN_BYTES).read_to_end(&mut text));
        Err(Failed {
            code: status.code(),
            error: self.failed(PushFault::Transfer {
                step,
                program: target.program.clone(),
                ended,
                said: quoted_output(&text),
            }),
        })
    }
}
