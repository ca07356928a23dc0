//! Turns the file's text into a [`Config`], and finds the line that an error is about.

use std::fmt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::error::{DomainError, ErrorKind};
use crate::uri::without_passwords;

use super::read::{Fault, Value};
use super::{Config, validate};

/// A fault of a configuration file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Problem {
    /// The line, from 1; 0 if the problem has no place in the file.
    pub line: usize,
    /// The column, from 1.
    pub column: usize,
    /// The key, `archives.devuan.pool`.
    pub key: String,
    /// The fault.
    pub message: String,
    /// The thing that an operator can do about the fault.
    pub hint: Option<String>,
}

impl Problem {
    /// Returns the problem without passwords: the file is repeated where it is wrong.
    fn shown(self) -> Self {
        Problem {
            key: without_passwords(&self.key),
            message: without_passwords(&self.message),
            ..self
        }
    }
}

/// The reason why a configuration cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("cannot read the configuration {path}")]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The file says something that it may not say.
    #[error("{}", Listing { path, problems })]
    Invalid {
        /// The file.
        path: PathBuf,
        /// The faults, in the order of the file.
        problems: Vec<Problem>,
    },
}

impl DomainError for ConfigError {
    fn kind(&self) -> ErrorKind {
        ErrorKind::Config
    }
}

struct Listing<'a> {
    path: &'a Path,
    problems: &'a [Problem],
}

impl fmt::Display for Listing<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (n, problem) in self.problems.iter().enumerate() {
            if n > 0 {
                writeln!(f)?;
            }
            write!(f, "{}", self.path.display())?;
            if problem.line > 0 {
                write!(f, ":{}:{}", problem.line, problem.column)?;
            }
            if !problem.key.is_empty() {
                write!(f, ": {}", problem.key)?;
            }
            write!(f, ": {}", problem.message)?;
            if let Some(hint) = &problem.hint {
                write!(f, "\n  hint: {hint}")?;
            }
        }
        Ok(())
    }
}

impl Config {
    /// Reads and checks a configuration file.
    pub fn load(path: &Path) -> Result<Config, ConfigError> {
        let text = std::fs::read_to_string(path).map_err(|source| ConfigError::Unreadable {
            path: path.to_owned(),
            source,
        })?;
        Config::parse(&text, path)
    }

    /// Reads and checks the text of a configuration file; `path` is the file's path, and relative paths count from its directory.
    pub fn parse(text: &str, path: &Path) -> Result<Config, ConfigError> {
        let invalid = |problems: Vec<Problem>| ConfigError::Invalid {
            path: path.to_owned(),
            problems: problems.into_iter().map(Problem::shown).collect(),
        };
        let document = DeTable::parse(text).map_err(|e| invalid(vec![syntax_problem(text, &e)]))?;
        let document = Spanned::new(document.span(), DeValue::Table(document.into_inner()));
        let mut config = Config::deserialize(Value(&document))
            .map_err(|fault| invalid(vec![type_problem(text, fault)]))?;
        let base = std::path::absolute(path)
            .ok()
            .and_then(|p| p.parent().map(Path::to_owned))
            .unwrap_or_default();
        let problems = validate::problems(&config, &base);
        if !problems.is_empty() {
            let mut located: Vec<_> = problems
                .into_iter()
                .map(|p| locate(text, document.get_ref(), p))
                .collect();
            located.sort_by_key(|p| (p.line, p.column));
            return Err(invalid(located));
        }
        config.resolve(&base);
        Ok(config)
    }

    /// Makes every path absolute.
    fn resolve(&mut self, base: &Path) {
        self.root = base.join(&self.root);
        self.lock = if self.lock.as_os_str().is_empty() {
            self.root.join("aptmerge.lock")
        } else {
            base.join(&self.lock)
        };
        for archive in self.archives.values_mut() {
            for keyring in &mut archive.signed_by {
                *keyring = base.join(&keyring);
            }
            let own = archive.client_certificate.iter_mut();
            for file in own
                .chain(&mut archive.client_key)
                .chain(&mut archive.ca_file)
            {
                *file = base.join(&file);
            }
        }
        for file in &mut self.signing.key_file {
            *file = base.join(&file);
        }
        if let Some(homedir) = self.signing.gpg.as_mut().and_then(|g| g.homedir.as_mut()) {
            *homedir = base.join(&homedir);
        }
        if let Some(file) = &mut self.publish.redirects {
            *file = base.join(&file);
        }
        for target in &mut self.push {
            // A colon before the first slash makes it an address, as for rsync.
            let start = target.rsync.split('/').next().unwrap_or_default();
            let path = base.join(&target.rsync);
            if let (false, Some(path)) = (start.contains(':'), path.to_str()) {
                target.rsync = path.to_owned();
            }
        }
    }
}

/// Returns the line and column, from 1, of a byte offset.
fn position(text: &str, offset: usize) -> (usize, usize) {
    let before = text.get(..offset).unwrap_or(text);
    let line_start = before.rfind('\n').map_or(0, |n| n + 1);
    let line = before.bytes().filter(|b| *b == b'\n').count() + 1;
    (line, before[line_start..].chars().count() + 1)
}

fn syntax_problem(text: &str, error: &toml::de::Error) -> Problem {
    let (line, column) = error.span().map_or((0, 0), |s| position(text, s.start));
    let at = error.span().and_then(|s| text.get(s));
    // A URI may have a password in it, which ends where the parser gave up.
    let is_plain = |at: &&str| !at.is_empty() && !at.contains(['\n', '/', '@']);
    let at = at.filter(|at| is_plain(at) && at.len() <= MAX_QUOTED_BYTES);
    Problem {
        line,
        column,
        key: String::new(),
        message: match at {
            Some(at) => format!("this is not TOML, at `{at}`: {}", error.message()),
            None => format!("this is not TOML: {}", error.message()),
        },
        hint: None,
    }
}

/// The most bytes of the file that a message about its syntax repeats.
const MAX_QUOTED_BYTES: usize = 40;

fn type_problem(text: &str, fault: Fault) -> Problem {
    let (line, column) = position(text, fault.offset.unwrap_or_default());
    let path: Vec<_> = fault.path.into_iter().rev().collect();
    let key = written(&path);
    let table = || match path.as_slice() {
        [list @ .., number] if list_number(number).is_some() => format!("[[{}]]", written(list)),
        _ => format!("[{key}]"),
    };
    Problem {
        line,
        column,
        hint: match fault.is_no_table {
            true => Some(format!("write {} once, and its keys below it", table())),
            false => fault.hint,
        },
        key,
        message: fault.message,
    }
}

/// Returns the number in a part `[1]` of a path, which stands for an item of a list, counted from 0.
fn list_number(part: &str) -> Option<usize> {
    part.strip_prefix('[')?.strip_suffix(']')?.parse().ok()
}

/// Returns a key as one would write it in the file.
fn written<S: AsRef<str>>(path: &[S]) -> String {
    let is_bare = |part: &str| {
        !part.is_empty()
            && part
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'))
    };
    let mut text = String::new();
    for part in path.iter().map(AsRef::as_ref) {
        if !text.is_empty() && list_number(part).is_none() {
            text.push('.');
        }
        match part {
            part if is_bare(part) || list_number(part).is_some() => text.push_str(part),
            part => text.push_str(&format!("\"{}\"", part.escape_debug())),
        }
    }
    text
}

/// Gives a problem the place of the value that its key names, or of the nearest thing around it.
fn locate(text: &str, document: &DeValue<'_>, problem: validate::Finding) -> Problem {
    let mut span = 0..0;
    let mut found = false;
    let mut around = document;
    for part in &problem.path {
        let (key, value) = if let Some(number) = list_number(part) {
            let item = around.as_array().and_then(|items| items.get(number));
            let Some(item) = item else { break };
            (item.span(), item)
        } else {
            let mut entries = around.as_table().into_iter().flatten();
            let Some((key, value)) = entries.find(|(k, _)| k.get_ref() == part) else {
                break;
            };
            (key.span(), value)
        };
        found = true;
        span = match value.get_ref() {
            DeValue::Table(_) => key,
            _ => value.span(),
        };
        around = value.get_ref();
    }
    let (line, column) = if found {
        position(text, span.start)
    } else {
        (0, 0)
    };
    Problem {
        line,
        column,
        key: written(&problem.path),
        message: problem.message,
        hint: problem.hint,
    }
}
