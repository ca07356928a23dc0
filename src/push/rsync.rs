//! A target of rsync's: a path, an address over ssh, or one of a daemon.

use std::collections::BTreeSet;
use std::io::{Read, Seek, SeekFrom};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Instant;

use crate::config::Push;
use crate::error::{Error, Result};
use crate::quoted::quoted_output;
use crate::workspace::Workspace;

use super::{guardian, stages};

/// How much of what rsync says is shown.
const SHOWN_BYTES: u64 = 4000;

/// rsync's exit code where the other side said nothing for too long.
const RSYNC_TIMEOUT: i32 = 30;

/// The same while it connects to a daemon.
const RSYNC_CONNECT_TIMEOUT: i32 = 35;

/// What every call for a target has in common.
struct Target<'a> {
    workspace: &'a Workspace<'a>,
    target: &'a Push,
    guardian: &'a Path,
    /// When the whole push has to be done.
    deadline: Option<Instant>,
}

/// Brings production, and the reports, to a target; `aliases` are those that it has, as far as is known.
pub(super) fn push(
    workspace: &Workspace<'_>,
    target: &Push,
    guardian: &Path,
    aliases: &BTreeSet<String>,
) -> Result<()> {
    let layout = workspace.layout();
    let production = layout.production();
    let to = Target {
        workspace,
        target,
        guardian,
        deadline: Instant::now().checked_add(target.timeout.duration()),
    };
    for stage in stages::stages(&production, aliases)? {
        let mut arguments = vec![
            "--recursive".to_owned(),
            "--links".into(),
            // What is ours takes the place even of a whole directory: of a suite that is an alias now.
            "--force".into(),
            // An index that is there under by-hash already is linked, not sent again.
            "--hard-links".into(),
            "--perms".into(),
            "--chmod=D0755,F0644".into(),
            "--times".into(),
            "--delay-updates".into(),
            "--mkpath".into(),
        ];
        if stage.delete {
            arguments.push("--delete-after".into());
        }
        arguments.extend(stage.filters.iter().map(|rule| format!("--filter={rule}")));
        to.run(stage.what, arguments, &production, "")?;
    }
    if target.log && layout.log().is_dir() {
        let arguments = [
            "--recursive",
            "--times",
            "--perms",
            "--chmod=D0755,F0644",
            "--mkpath",
        ];
        let arguments = arguments.map(str::to_owned).to_vec();
        to.run("reports", arguments, &layout.log(), "log/")?;
    }
    Ok(())
}

/// How long a target may be silent, as rsync is told.
fn silence(target: &Push) -> impl Iterator<Item = String> {
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

impl Target<'_> {
    fn run(&self, what: &str, mut arguments: Vec<String>, from: &Path, below: &str) -> Result<()> {
        let (workspace, target) = (self.workspace, self.target);
        arguments.extend(silence(target));
        arguments.extend(target.options.iter().cloned());
        arguments.push("--".into());
        // rsync takes a colon in a relative path for a host; ours is absolute.
        arguments.push(format!("{}/", from.display()));
        arguments.push(format!("{}/{below}", target.rsync.trim_end_matches('/')));
        let failed = |why: String, hint| Error::Push {
            target: target.name.to_string(),
            why: format!("{what}: {why}"),
            hint,
        };
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
            .status()
            .map_err(|e| {
                let guardian = self.guardian.display();
                failed(format!("cannot start its guardian {guardian}: {e}"), None)
            })?;
        if status.success() {
            return Ok(());
        }
        let is_late = self.deadline.is_some_and(|end| Instant::now() >= end)
            && status.code() == Some(guardian::OUT_OF_TIME.into());
        let (ended, hint) = if is_late {
            let ended = format!(
                "was killed, since the push took longer than {}",
                target.timeout
            );
            (
                ended,
                Some("see why the target is slow, or raise `timeout` of this [[push]]"),
            )
        } else {
            let is_silent = matches!(status.code(), Some(RSYNC_TIMEOUT | RSYNC_CONNECT_TIMEOUT));
            let hint = is_silent.then_some(
                "see whether the target answers; `io-timeout` of this [[push]] is how long it may be silent",
            );
            (format!("ended with {status}"), hint)
        };
        let mut text = Vec::new();
        let length = output.metadata().map(|m| m.len()).unwrap_or(0);
        let _ = output
            .seek(SeekFrom::Start(length.saturating_sub(SHOWN_BYTES)))
            .and_then(|_| output.take(SHOWN_BYTES).read_to_end(&mut text));
        let program = target.program.display();
        let said = quoted_output(&text);
        Err(failed(format!("{program} {ended}: {said}"), hint))
    }
}
