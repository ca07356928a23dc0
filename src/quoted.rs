//! Somebody else's text in a message of ours.

/// How much of somebody else's text a message quotes, in characters.
const QUOTED: usize = 200;

/// Somebody else's text for a message: one line, not too long, and nothing in it that steers a terminal or turns its text round.
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

#[cfg(test)]
mod tests {
    use super::*;

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
