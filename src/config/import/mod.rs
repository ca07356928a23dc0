//! Turns a configuration of amprolla3 into one of ours.
//!
//! Theirs is a Python file. It is read as data (`python`): nothing in it is ever run, and what is no plain value is left
//! out with a note that has its line. What the settings mean is in `amprolla`,
//! `archives` and `suites`; how ours is written in `write`.

mod amprolla;
mod archives;
mod eval;
mod python;
mod suites;
mod value;
mod write;

use serde::Serialize;

/// How many notes are given one by one.
const MAX_NOTES: usize = 200;

/// Something that the importer has to say.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Note {
    /// The line of their file, from 1; 0 where it is about the whole.
    pub line: usize,
    /// One sentence.
    pub text: String,
}

impl std::fmt::Display for Note {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.line {
            0 => f.write_str(&self.text),
            line => write!(f, "line {line}: {}", self.text),
        }
    }
}

/// Why a file cannot be imported.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}{message}", Line(*.line))]
pub struct ImportError {
    /// The line, from 1; 0 where it is about the whole.
    pub line: usize,
    /// What is wrong.
    pub message: String,
}

struct Line(usize);

impl std::fmt::Display for Line {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.0 {
            0 => Ok(()),
            line => write!(f, "line {line}: "),
        }
    }
}

/// What came of a file.
#[derive(Debug, Clone, Serialize)]
pub struct Imported {
    /// Our configuration. It is usable if [`crate::config::Config::parse`] takes it.
    pub toml: String,
    /// What differs, what was guessed and what was left out, in the order of their file.
    pub notes: Vec<Note>,
}

/// Imports the text of amprolla's `config.py`. `root` stands in for the directory that amprolla works in.
pub fn amprolla(text: &[u8], root: Option<&str>) -> Result<Imported, ImportError> {
    let text = std::str::from_utf8(text).map_err(|error| {
        let before = text.get(..error.valid_up_to()).unwrap_or_default();
        ImportError {
            line: 1 + before.iter().filter(|b| **b == b'\n').count(),
            message: "this is not UTF-8".into(),
        }
    })?;
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let (plan, mut notes) = amprolla::plan(python::read(text)?, root);
    notes.sort_by_key(|note| (note.line == 0, note.line));
    notes.dedup();
    if notes.len() > MAX_NOTES {
        let more = notes.len() - MAX_NOTES;
        notes.truncate(MAX_NOTES);
        notes.push(Note {
            line: 0,
            text: format!("{more} more notes are not shown"),
        });
    }
    Ok(Imported {
        toml: write::toml(&plan),
        notes,
    })
}

/// A piece of their text for a note.
fn snippet(text: &str) -> String {
    shorten(text, 50)
}

/// The beginning of a text, on one line, and safe on a terminal.
fn shorten(text: &str, max_chars: usize) -> String {
    let mut out: String = text
        .chars()
        .take(max_chars)
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect();
    if text.chars().nth(max_chars).is_some() {
        out.push('…');
    }
    out
}
