//! Patterns of a shell, as Go's `filepath.Match` reads them: `*` and `?` stop at a slash, `[a-z]` and `[^a-z]` are classes, `\\` takes the
//! next character as it is, and everything else means itself.

use std::iter::Peekable;
use std::str::Chars;

use super::QueryError;

/// Returns the regular expression that matches what a pattern matches as a whole.
pub(super) fn as_regex(pattern: &str) -> Result<String, QueryError> {
    let mut regex = "(?s)^".to_owned();
    let mut chars = pattern.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '*' => regex.push_str("[^/]*"),
            '?' => regex.push_str("[^/]"),
            '[' => class(&mut chars, &mut regex)?,
            '\\' => literal(chars.next().ok_or_else(bad)?, &mut regex),
            c => literal(c, &mut regex),
        }
    }
    regex.push('$');
    Ok(regex)
}

/// Reads a class behind its opening bracket.
fn class(chars: &mut Peekable<Chars<'_>>, regex: &mut String) -> Result<(), QueryError> {
    regex.push('[');
    if chars.next_if_eq(&'^').is_some() {
        regex.push('^');
    }
    loop {
        literal(of_class(chars)?, regex);
        if chars.next_if_eq(&'-').is_some() {
            regex.push('-');
            literal(of_class(chars)?, regex);
        }
        if chars.next_if_eq(&']').is_some() {
            regex.push(']');
            return Ok(());
        }
    }
}

fn of_class(chars: &mut Peekable<Chars<'_>>) -> Result<char, QueryError> {
    match chars.next() {
        Some('\\') => chars.next().ok_or_else(bad),
        None | Some('-' | ']') => Err(bad()),
        Some(c) => Ok(c),
    }
}

fn literal(c: char, regex: &mut String) {
    regex.push_str(&regex::escape(c.encode_utf8(&mut [0; 4])));
}

fn bad() -> QueryError {
    QueryError("pattern compile failed: syntax error in pattern".to_owned())
}
