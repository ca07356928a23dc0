//! Somebody else's text in a message of ours.
//!
//! Foreign text is quoted when a message is made, so that it becomes a part of one line. A recorded text may have been changed since, by
//! a fault or by somebody who writes to the state or the cache, so all text goes through [`unsteered`] on its way to a terminal.

use std::borrow::Cow;

/// The characters of somebody else's text that a message quotes.
const QUOTED: usize = 200;

/// Quotes somebody else's text for a message: one line, not too long, and nothing in it that steers a terminal or turns its text round.
pub(crate) fn quoted(text: &str) -> String {
    let mut quoted = String::new();
    for c in text.chars().take(QUOTED) {
        match c {
            '\'' | '"' | '\\' => quoted.push(c),
            c => quoted.extend(c.escape_debug()),
        }
    }
    if text.chars().nth(QUOTED).is_some() {
        quoted.push('…');
    }
    quoted
}

/// Returns whether a character steers a terminal, or turns round the text behind it.
pub(crate) fn steers(c: char) -> bool {
    c.is_control() || matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// Returns a text of ours as a terminal, or a mail, may have it: nothing but line ends and tabs moves anything.
pub fn unsteered(text: &str) -> Cow<'_, str> {
    shown(text, |c| c.escape_unicode().to_string())
}

/// Returns the same of a text in JSON, in which such characters stand in strings only.
pub fn unsteered_json(text: &str) -> Cow<'_, str> {
    shown(text, |c| format!("\\u{:04x}", u32::from(c)))
}

fn shown(text: &str, escape: impl Fn(char) -> String) -> Cow<'_, str> {
    let moves = |c: char| !matches!(c, '\n' | '\t') && steers(c);
    if !text.contains(moves) {
        return Cow::Borrowed(text);
    }
    let mut shown = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        match moves(c) {
            true => shown.push_str(&escape(c)),
            false => shown.push(c),
        }
    }
    Cow::Owned(shown)
}

/// The number of lines of another program's output that a message quotes.
const QUOTED_LINES: usize = 10;

/// Returns what another program said at last, for a message: one line, each line of it quoted, with semicolons between them.
pub(crate) fn quoted_output(output: &[u8]) -> String {
    let output = String::from_utf8_lossy(output);
    let lines = output
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty());
    let mut last: Vec<String> = lines.rev().take(QUOTED_LINES).map(both_ends).collect();
    last.reverse();
    last.join("; ")
}

/// Quotes a line; a long one loses its middle, since a program's reason stands behind the path.
fn both_ends(line: &str) -> String {
    let length = line.chars().count();
    if length <= QUOTED {
        return quoted(line);
    }
    let head: String = line.chars().take(QUOTED / 2).collect();
    let tail: String = line.chars().skip(length - QUOTED / 2).collect();
    format!("{}…{}", quoted(&head), quoted(&tail))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn output_is_quoted_line_by_line_and_at_its_end() {
        assert_eq!(
            quoted_output(b" a\n\n\x1b[2Jb\r\n\xff\n"),
            "a; \\u{1b}[2Jb; \u{fffd}"
        );
        let many: String = (0..100).map(|n| format!("{n}\n")).collect();
        assert!(quoted_output(many.as_bytes()).starts_with("90; 91; "));
        let long = format!("cannot open {}: Permission denied", "/x".repeat(500));
        let shown = quoted_output(long.as_bytes());
        assert!(shown.starts_with("cannot open /x/x") && shown.ends_with("/x: Permission denied"));
        assert_eq!(shown.chars().count(), QUOTED + 1);
    }

    #[test]
    fn what_is_shown_moves_no_cursor() {
        let text = "a\tb\nc\u{1b}[2J\u{9b}m\u{202e}d\r";
        assert_eq!(unsteered(text), "a\tb\nc\\u{1b}[2J\\u{9b}m\\u{202e}d\\u{d}");
        let json = serde_json::to_string(text).unwrap_or_default();
        let shown = unsteered_json(&json);
        assert!(!shown.contains(steers), "{shown}");
        assert_eq!(
            serde_json::from_str::<String>(&shown).ok().as_deref(),
            Some(text)
        );
    }

    #[test]
    fn what_is_quoted_is_one_short_line() {
        assert_eq!(quoted("Debian's \"x\" ü"), "Debian's \"x\" ü");
        assert_eq!(
            quoted("a\nhint: b\u{1b}[2J\u{202e}c"),
            "a\\nhint: b\\u{1b}[2J\\u{202e}c"
        );
        assert_eq!(quoted(&"x".repeat(201)), format!("{}…", "x".repeat(200)));
    }
}
