//! Patches as ed scripts, in the form that `diff --ed` writes and apt reads: the last hunk comes first, so that all line numbers
//! are those of the old file.

use std::io::Write;

use super::{Hunk, Patch};

/// A script that cannot be written or read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum EdError {
    /// A line of one dot would end the inserted lines.
    #[error("a line that is a single dot cannot be inserted by an ed script")]
    Dot,
    /// The line is no command, or a command in the wrong place.
    #[error("line {0} is no command of an ed script that apt would take")]
    Command(usize),
}

/// The largest line number: more than any index has lines; with larger ones, sums of line numbers might not fit.
const MAX_LINES: u64 = 1 << 40;

/// Writes a patch.
pub(crate) fn write(patch: &Patch) -> Result<Vec<u8>, EdError> {
    let mut script = Vec::new();
    for hunk in patch.hunks().iter().rev() {
        if hunk.lines.split(|b| *b == b'\n').any(|line| line == b".") {
            return Err(EdError::Dot);
        }
        let (first, last) = (hunk.start + 1, hunk.start + hunk.removed);
        let command = match (hunk.removed, hunk.lines.is_empty()) {
            (0, _) => format!("{}a", hunk.start),
            (1, false) => format!("{first}c"),
            (_, false) => format!("{first},{last}c"),
            (1, true) => format!("{first}d"),
            (_, true) => format!("{first},{last}d"),
        };
        // Writing into memory does not fail.
        let _ = writeln!(script, "{command}");
        if !hunk.lines.is_empty() {
            script.extend_from_slice(&hunk.lines);
            script.extend_from_slice(b".\n");
        }
    }
    Ok(script)
}

/// Reads a patch.
pub(crate) fn parse(script: &[u8]) -> Result<Patch, EdError> {
    let mut hunks: Vec<Hunk> = Vec::new();
    let mut lines = script.split_inclusive(|b| *b == b'\n').enumerate();
    while let Some((number, line)) = lines.next() {
        let bad = || EdError::Command(number + 1);
        let (mut hunk, inserts) = command(line).ok_or_else(bad)?;
        // The next hunk of the script must end before this one begins.
        let end = hunk.start.checked_add(hunk.removed).ok_or_else(bad)?;
        if hunks.last().is_some_and(|below| end >= below.start) {
            return Err(bad());
        }
        if inserts {
            loop {
                match lines.next() {
                    Some((_, b".\n")) => break,
                    Some((_, line)) if line.ends_with(b"\n") => hunk.lines.extend_from_slice(line),
                    _ => return Err(bad()),
                }
            }
            if hunk.lines.is_empty() {
                return Err(bad());
            }
        }
        hunks.push(hunk);
    }
    hunks.reverse();
    Ok(Patch { hunks })
}

/// Parses a command: returns the lines that it removes, and whether inserted lines follow.
fn command(line: &[u8]) -> Option<(Hunk, bool)> {
    let text = std::str::from_utf8(line).ok()?.strip_suffix('\n')?;
    let kind = text.chars().next_back()?;
    let range = text.strip_suffix(kind)?;
    let number = |text: &str| {
        let plain = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
        let number = plain.then(|| text.parse().ok()).flatten();
        number.filter(|number: &u64| *number <= MAX_LINES)
    };
    let (first, last) = match range.split_once(',') {
        Some((first, last)) => (number(first)?, number(last)?),
        None => (number(range)?, number(range)?),
    };
    let (start, removed) = match kind {
        'a' if !range.contains(',') => (first, 0),
        'c' | 'd' if first >= 1 && last >= first => (first - 1, last - first + 1),
        _ => return None,
    };
    let hunk = Hunk {
        start,
        removed,
        lines: Vec::new(),
    };
    Some((hunk, kind != 'd'))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::super::PatchBuilder;
    use super::*;

    #[test]
    fn the_last_hunk_comes_first() {
        let mut patch = PatchBuilder::default();
        patch.insert(b"a\nb\n");
        patch.keep(2);
        patch.remove(1);
        patch.insert(b"c\n");
        patch.keep(1);
        patch.remove(3);
        assert_eq!(
            String::from_utf8(write(&patch.finish()).unwrap()).unwrap(),
            "5,7d\n3c\nc\n.\n0a\na\nb\n.\n"
        );
    }

    #[test]
    fn what_is_no_script_is_refused() {
        for script in [
            "x\n",
            "1\n",
            "a\n",
            "0d\n",
            "2,1d\n",
            "1,2a\nx\n.\n",
            "1a\nx\n",
            "1a\n.\n",
            "1c\nx",
            "-1d\n",
            "+1d\n",
            "1d\n2d\n",
            "2d\n2d\n",
            "18446744073709551615a\nx\n.\n1d",
        ] {
            assert!(parse(script.as_bytes()).is_err(), "{script:?}");
        }
        let mut dot = PatchBuilder::default();
        dot.insert(b"a\n.\n");
        assert_eq!(write(&dot.finish()), Err(EdError::Dot));
    }
}
