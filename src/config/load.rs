//! Turns the file's text into a [`Config`], and finds the line that an error is about.

use std::fmt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Deserializer};

use super::{Config, validate};

/// A fault of a configuration file.
#[derive(Debug, Clone, PartialEq, Eq)]
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
        let invalid = |problems| ConfigError::Invalid {
            path: path.to_owned(),
            problems,
        };
        let syntax = |e: toml::de::Error| invalid(vec![syntax_problem(text, &e)]);
        let document = toml::de::DeTable::parse(text).map_err(syntax)?;
        let problems = no_tables(text, document.get_ref());
        if !problems.is_empty() {
            return Err(invalid(problems));
        }
        let deserializer = toml::Deserializer::parse(text).map_err(syntax)?;
        let mut config: Config = serde_path_to_error::deserialize(deserializer).map_err(|e| {
            let key = written_path(e.path());
            invalid(vec![type_problem(text, key, e.inner())])
        })?;
        let problems = validate::problems(&config);
        if !problems.is_empty() {
            let mut located: Vec<_> = problems.into_iter().map(|p| locate(text, p)).collect();
            located.sort_by_key(|p| (p.line, p.column));
            return Err(invalid(located));
        }
        let base = std::path::absolute(path)
            .ok()
            .and_then(|p| p.parent().map(Path::to_owned))
            .unwrap_or_default();
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
        }
        for file in &mut self.signing.key_file {
            *file = base.join(&file);
        }
        if let Some(homedir) = self.signing.gpg.as_mut().and_then(|g| g.homedir.as_mut()) {
            *homedir = base.join(&homedir);
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
    Problem {
        line,
        column,
        key: String::new(),
        message: match (error.message(), error.span().and_then(|s| text.get(s))) {
            ("duplicate key", Some(key)) => format!("the key `{key}` stands there twice"),
            (message, _) => format!("this is not TOML: {message}"),
        },
        hint: None,
    }
}

fn type_problem(text: &str, key: String, error: &toml::de::Error) -> Problem {
    let (line, column) = error.span().map_or((0, 0), |s| position(text, s.start));
    let message = error.message().trim();
    let (message, hint) = if let Some((unknown, known)) = unknown_key(message) {
        let nearest = known
            .iter()
            .map(|k| (strsim::damerau_levenshtein(&unknown, k), *k))
            .min()
            .filter(|(distance, k)| *distance <= 2.max(k.len() / 3) && *distance < k.len());
        let hint = match nearest {
            Some((_, k)) => format!("did you mean `{k}`?"),
            None => format!("known here: {}", known.join(", ")),
        };
        let what = if message.starts_with("unknown variant") {
            "value"
        } else {
            "key"
        };
        (format!("unknown {what} `{unknown}`"), Some(hint))
    } else if let Some(missing) = message.strip_prefix("missing field ") {
        (format!("the key {missing} is missing"), None)
    } else {
        wrong_type(message, &key).unwrap_or_else(|| (message.replace('\n', "; "), None))
    };
    Problem {
        line,
        column,
        key,
        message,
        hint,
    }
}

/// Splits serde's message about an unknown field or variant into the unknown one and those that serde would have accepted.
fn unknown_key(message: &str) -> Option<(String, Vec<&str>)> {
    if !message.starts_with("unknown field") && !message.starts_with("unknown variant") {
        return None;
    }
    let mut quoted = message.split('`').skip(1).step_by(2);
    let unknown = quoted.next()?.to_owned();
    Some((unknown, quoted.collect()))
}

/// Rewords serde's message about a wrong type.
fn wrong_type(message: &str, key: &str) -> Option<(String, Option<String>)> {
    let (found, expected) = message
        .strip_prefix("invalid type: ")
        .or_else(|| message.strip_prefix("invalid value: "))?
        .rsplit_once(", expected ")?;
    let (kind, value) = found.split_at(found.find(['`', '"']).unwrap_or(found.len()));
    let is_number = matches!(kind.trim(), "integer" | "floating point");
    let found = match kind.trim() {
        "integer" | "floating point" => format!("the number {value}"),
        "boolean" => value.to_owned(),
        "string" => format!("the text {value}"),
        "sequence" => "a list".to_owned(),
        "map" => "a table".to_owned(),
        _ => found.to_owned(),
    };
    let wants_text = matches!(expected, "a string" | "path string");
    let expected = match expected {
        "a string" | "path string" => "a text in quotes",
        "a sequence" => "a list, in brackets",
        "a boolean" => "true or false, without quotes",
        "a map" => "a table",
        "u8" | "u16" | "u32" | "u64" | "usize" => "a whole number, 0 or more",
        other => other,
    };
    let is_quantity = ["fetch.", "publish.", "guards.", "cache."]
        .iter()
        .any(|table| key.starts_with(table))
        || key.ends_with(".max-age");
    let hint = (is_number && wants_text && is_quantity)
        .then(|| "with its unit: \"30 seconds\", \"64 KiB\", \"20%\"".to_owned());
    Some((format!("it is {found}, and should be {expected}"), hint))
}

/// Returns a problem for each value that should be a table and is none. serde would accept a list in place of a table, with the values
/// in the order of the keys.
fn no_tables(text: &str, document: &toml::de::DeTable<'_>) -> Vec<Problem> {
    use toml::de::DeValue;

    const TABLES: [&[&str]; 15] = [
        &["archives"],
        &["archives", "*"],
        &["suites"],
        &["suites", "*"],
        &["bans"],
        &["signing"],
        &["signing", "gpg"],
        &["publish"],
        &["publish", "by-hash"],
        &["publish", "pdiff"],
        &["guards"],
        &["fetch"],
        &["cache"],
        &["reports"],
        &["serve"],
    ];
    let mut problems = Vec::new();
    let mut look = |path: Vec<String>, span: std::ops::Range<usize>, value: &DeValue<'_>| {
        if !matches!(value, DeValue::Table(_)) {
            let (line, column) = position(text, span.start);
            problems.push(Problem {
                line,
                column,
                hint: Some(format!(
                    "write [{}] once, and its keys below it",
                    written(&path)
                )),
                key: written(&path),
                message: "it should be a table".to_owned(),
            });
        }
    };
    for (key, value) in document {
        let top = key.get_ref().as_ref();
        if TABLES.contains(&&[top][..]) {
            look(vec![top.to_owned()], value.span(), value.get_ref());
        }
        for (inner, value) in value.get_ref().as_table().into_iter().flatten() {
            let name = inner.get_ref().as_ref();
            if TABLES.contains(&&[top, name][..]) || TABLES.contains(&&[top, "*"][..]) {
                let path = vec![top.to_owned(), name.to_owned()];
                look(path, value.span(), value.get_ref());
            }
            for (key, value) in value.get_ref().as_table().into_iter().flatten() {
                let filter = key.get_ref().as_ref();
                if top == "archives" && ["include", "exclude"].contains(&filter) {
                    let path = [top, name, filter].map(str::to_owned).to_vec();
                    look(path, value.span(), value.get_ref());
                }
            }
        }
    }
    problems
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

/// Returns the key at which serde stopped, as one would write it in the file.
fn written_path(path: &serde_path_to_error::Path) -> String {
    use serde_path_to_error::Segment;
    let mut text = String::new();
    for segment in path {
        let key = match segment {
            Segment::Seq { index } => {
                text.push_str(&format!("[{index}]"));
                continue;
            }
            Segment::Map { key } => key,
            Segment::Enum { variant } => variant,
            Segment::Unknown => continue,
        };
        if !text.is_empty() {
            text.push('.');
        }
        text.push_str(&written(&[key]));
    }
    text
}

/// Gives a problem the place of the value that its key names, or of the nearest thing around it.
fn locate(text: &str, problem: validate::Finding) -> Problem {
    let mut span = 0..0;
    let mut found = false;
    if let Ok(document) = toml::de::DeTable::parse(text) {
        let mut table = Some(document.get_ref());
        let mut list = None;
        for part in &problem.path {
            let (key, value) = if let Some(number) = list_number(part) {
                let item = list.and_then(|items: &toml::de::DeArray<'_>| items.get(number));
                let Some(item) = item else { break };
                (item.span(), item)
            } else {
                let named = table.and_then(|t| t.iter().find(|(k, _)| k.get_ref() == part));
                let Some((key, value)) = named else { break };
                (key.span(), value)
            };
            found = true;
            span = match value.get_ref() {
                toml::de::DeValue::Table(_) => key,
                _ => value.span(),
            };
            table = value.get_ref().as_table();
            list = value.get_ref().as_array();
        }
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

/// Reads `signed-by = "a"` as well as `signed-by = ["a", "b"]`.
pub(super) fn one_or_many<'de, D: Deserializer<'de>>(input: D) -> Result<Vec<PathBuf>, D::Error> {
    #[derive(Deserialize)]
    #[serde(
        untagged,
        expecting = "it should be a path in quotes, or a list of paths"
    )]
    enum OneOrMany {
        One(PathBuf),
        Many(Vec<PathBuf>),
    }
    Ok(match OneOrMany::deserialize(input)? {
        OneOrMany::One(path) => vec![path],
        OneOrMany::Many(paths) => paths,
    })
}
