//! The words and signs of a query.

use super::QueryError;

/// A word or a sign.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Token {
    /// A word, quoted or not.
    Word(String),
    /// An operator or a bracket.
    Sign(&'static str),
    /// The end of the query.
    End,
}

/// The signs, the longer before those that they begin with.
const SIGNS: [&str; 16] = [
    "<<", "<=", ">>", ">=", "<", ">", "=", "%", "~", "(", ")", "|", ",", "!", "{", "}",
];

/// The characters at which a word ends.
const ENDS: &str = "()|,!{}";

impl Token {
    /// Returns the token as messages show it.
    pub(super) fn shown(&self) -> String {
        match self {
            Self::Word(word) => format!("{word:?}"),
            Self::Sign(sign) => (*sign).to_owned(),
            Self::End => "<EOL>".to_owned(),
        }
    }
}

/// Takes a query apart; the last token is [`Token::End`].
pub(super) fn tokens(text: &str) -> Result<Vec<Token>, QueryError> {
    let mut tokens = Vec::new();
    let mut rest = text.trim_start();
    while let Some(first) = rest.chars().next() {
        if let Some(sign) = SIGNS.iter().find(|sign| rest.starts_with(**sign)) {
            tokens.push(Token::Sign(sign));
            rest = &rest[sign.len()..];
        } else {
            let (word, length) = match first {
                '"' | '\'' => quoted(&rest[1..], first)?,
                _ => unquoted(rest),
            };
            tokens.push(Token::Word(word));
            rest = &rest[length..];
        }
        rest = rest.trim_start();
    }
    tokens.push(Token::End);
    Ok(tokens)
}

/// Reads a word up to the first character that ends it; returns the word, and where that character stands, if there is one.
fn word(text: &str, is_end: impl Fn(char) -> bool) -> (String, Option<usize>) {
    let mut word = String::new();
    let mut is_escaped = false;
    for (at, c) in text.char_indices() {
        match c {
            _ if is_escaped => {
                word.push(c);
                is_escaped = false;
            }
            '\\' => is_escaped = true,
            c if is_end(c) => return (word, Some(at)),
            c => word.push(c),
        }
    }
    (word, None)
}

/// Reads a word without quotes; returns the word, and the bytes that it takes up.
fn unquoted(text: &str) -> (String, usize) {
    let (word, end) = word(text, |c| c.is_whitespace() || ENDS.contains(c));
    (word, end.unwrap_or(text.len()))
}

/// Reads a word up to the quote that ends it; returns the word, and the bytes that it takes up with both quotes.
fn quoted(text: &str, quote: char) -> Result<(String, usize), QueryError> {
    if let (word, Some(at)) = word(text, |c| c == quote) {
        return Ok((word, at + 2));
    }
    let why = "parsing failed: a quote is not closed";
    Err(QueryError(why.to_owned()))
}
