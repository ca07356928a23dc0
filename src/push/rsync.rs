//! A target of rsync's: a path, an address over ssh, or one of a daemon.

use std::collections::BTreeSet;
use std::io::{Read, Seek, SeekFrom};
use std::path::Path;
use std::process::{Command, Stdio};

use crate::config::Push;
use crate::error::{Error, Result};
use crate::workspace::Workspace;

use super::{guardian, stages};

/// How much of what rsync says is shown.
const SHOWN_BYTES: u64 = 4000;

/// Brings production, and the reports, to a target; `aliases` are those that it has, as far as is known.
pub(super) fn push(
    workspace: &Workspace<'_>,
    target: &Push,
    guardian: &Path,
    aliases: &BTreeSet<String>,
) -> Result<()> {
    let layout = workspace.layout();
    let production = layout.production();
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
        run(
            workspace,
            target,
            guardian,
            stage.what,
            arguments,
            &production,
            "",
        )?;
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
        run(
            workspace,
            target,
            guardian,
            "reports",
            arguments,
            &layout.log(),
            "log/",
        )?;
    }
    Ok(())
}

fn run(
    workspace: &Workspace<'_>,
    target: &Push,
    guardian: &Path,
    what: &str,
    mut arguments: Vec<String>,
    from: &Path,
    below: &str,
) -> Result<()> {
    arguments.extend(target.options.iter().cloned());
    arguments.push("--".into());
    // rsync takes a colon in a relative path for a host; ours is absolute.
    arguments.push(format!("{}/", from.display()));
    arguments.push(format!("{}/{below}", target.rsync.trim_end_matches('/')));
    let failed = |why: String| Error::Push {
        target: target.name.to_string(),
        why: format!("{what}: {why}"),
    };
    // A file and not a pipe: a daemon that rsync leaves behind may keep it open, and nobody has to wait for that.
    let state = workspace.layout().state();
    let mut output =
        tempfile::tempfile_in(&state).map_err(Error::io("create a temporary file in", &state))?;
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
    let status = Command::new(guardian)
        .arg(guardian::COMMAND)
        .arg(std::process::id().to_string())
        .arg("--")
        .arg(&target.program)
        .args(&arguments)
        .stdin(lock.map_or_else(Stdio::null, Stdio::from))
        .stdout(claim.map_or_else(Stdio::null, Stdio::from))
        .stderr(errors)
        .status()
        .map_err(|e| {
            failed(format!(
                "cannot start its guardian {}: {e}",
                guardian.display()
            ))
        })?;
    if status.success() {
        return Ok(());
    }
    let mut text = Vec::new();
    let length = output.metadata().map(|m| m.len()).unwrap_or(0);
    let _ = output
        .seek(SeekFrom::Start(length.saturating_sub(SHOWN_BYTES)))
        .and_then(|_| output.take(SHOWN_BYTES).read_to_end(&mut text));
    let text = String::from_utf8_lossy(&text);
    Err(failed(format!(
        "{} ended with {status}: {}",
        target.program.display(),
        text.trim()
    )))
}
