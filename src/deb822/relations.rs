//! Package relations, as far as bans need them: clauses, their alternatives, and the name in each (Policy 7.1); and the check that apt can
//! read a relation field.

use super::Name;

/// One alternative of a clause: the name, stripped of architecture qualifier, version, architectures and profiles.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Alternative<'a> {
    /// The package's name.
    pub name: Name<'a>,
    /// The text after the name.
    rest: &'a [u8],
}

/// The relation between a version and the one that a relation names (Policy 7.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Operator {
    /// `<<`
    Earlier,
    /// `<=`, and `<`, which means the same
    EarlierOrEqual,
    /// `=`
    Equal,
    /// `>=`, and `>`, which means the same
    LaterOrEqual,
    /// `>>`
    Later,
}

impl<'a> Alternative<'a> {
    /// Returns the restriction of the version; `None` if there is none or it cannot be read.
    pub(crate) fn version(&self) -> Option<(Operator, &'a [u8])> {
        let open = self.rest.iter().position(|b| *b == b'(')?;
        let inner = self.rest[open + 1..].split(|b| *b == b')').next()?;
        let inner = inner.trim_ascii();
        let length = inner
            .iter()
            .take_while(|b| matches!(b, b'<' | b'=' | b'>'))
            .count();
        let (operator, version) = inner.split_at(length);
        let operator = match operator {
            b"<<" => Operator::Earlier,
            b"<=" | b"<" => Operator::EarlierOrEqual,
            b"=" => Operator::Equal,
            b">=" | b">" => Operator::LaterOrEqual,
            b">>" => Operator::Later,
            _ => return None,
        };
        Some((operator, version.trim_ascii()))
    }
}

/// The longest string that apt's cache can keep: it aborts at a longer one.
pub(crate) const MAX_STRING_BYTES: usize = 65_534;

/// Returns whether apt takes a byte for a blank: it takes VT for one, unlike the standard library.
fn is_blank(byte: u8) -> bool {
    byte.is_ascii_whitespace() || byte == b'\x0b'
}

/// Returns a value without the bytes at its ends that apt takes for blanks.
pub(crate) fn trim(mut bytes: &[u8]) -> &[u8] {
    while let [first, rest @ ..] = bytes
        && is_blank(*first)
    {
        bytes = rest;
    }
    while let [rest @ .., last] = bytes
        && is_blank(*last)
    {
        bytes = rest;
    }
    bytes
}

/// Checks that apt can read a relation field of a binary package (its `debListParser::ParseDepends`). A single field that apt cannot read
/// makes it refuse everything that it has fetched.
///
/// # Errors
/// The offset in the field, and the fault.
pub(crate) fn check_relations(field: &[u8]) -> Result<(), (usize, &'static str)> {
    let end = field.len() - field.iter().rev().take_while(|b| is_blank(**b)).count();
    let field = &field[..end];
    let blanks = |at: usize| at + field[at..].iter().take_while(|b| is_blank(**b)).count();
    let mut at = blanks(0);
    while at < end {
        let name = at;
        let ends = |b: &u8| is_blank(*b) || b"(),|[]<>".contains(b);
        at += field[at..].iter().take_while(|b| !ends(b)).count();
        if at == name {
            return Err((at, "there is no name"));
        }
        // A client that does not know the architecture after the name keeps both as one string.
        if at - name > MAX_STRING_BYTES {
            return Err((
                name,
                "a name is longer than the 65,534 bytes that apt can keep",
            ));
        }
        if field.get(at) == Some(&b')') {
            return Err((at, "a `)` without a `(`"));
        }
        at = blanks(at);
        if field.get(at) == Some(&b'(') {
            at = blanks(at + 1);
            if at + 3 >= end {
                return Err((at, "a `(` with too little behind it"));
            }
            let operator: &[&[u8]] = &[b"<=", b"<<", b"<", b">=", b">>", b">", b"="];
            let operator = operator.iter().find(|o| field[at..].starts_with(o));
            let version = blanks(at + operator.map_or(0, |o| o.len()));
            match field[version..].iter().position(|b| *b == b')') {
                None => return Err((version, "a `(` without a `)`")),
                Some(0) => return Err((version, "there is no version")),
                Some(length)
                    if trim(&field[version..version + length]).len() > MAX_STRING_BYTES =>
                {
                    return Err((
                        version,
                        "a version is longer than the 65,534 bytes that apt can keep",
                    ));
                }
                Some(length) => at = blanks(version + length + 1),
            }
        }
        match field.get(at) {
            None => {}
            Some(b',' | b'|') => at = blanks(at + 1),
            Some(_) => return Err((at, "neither a comma nor a bar follows")),
        }
    }
    Ok(())
}

/// Returns the clauses of a relation field, unchanged. Empty ones (after a comma at the end, which real indices have) are left out.
pub fn clauses(field: &[u8]) -> impl Iterator<Item = &[u8]> {
    field
        .split(|b| *b == b',')
        .map(trim)
        .filter(|clause| !clause.is_empty())
}

/// Returns the alternatives of a clause.
pub(crate) fn alternatives_of(clause: &[u8]) -> impl Iterator<Item = Alternative<'_>> + Clone {
    clause.split(|b| *b == b'|').map(|alternative| {
        let trimmed = trim(alternative);
        let end = trimmed
            .iter()
            .position(|b| is_blank(*b) || b":([<".contains(b))
            .unwrap_or(trimmed.len());
        let (name, rest) = trimmed.split_at(end);
        Alternative {
            name: Name::new(name),
            rest,
        }
    })
}

/// Returns the clauses of a relation field, each as its alternatives.
///
/// `foo:any (>= 1) [amd64] <!nocheck> | bar, baz` has two clauses, of `foo` and `bar`, and of `baz`.
pub fn alternatives(
    field: &[u8],
) -> impl Iterator<Item = impl Iterator<Item = Alternative<'_>> + Clone> {
    clauses(field).map(alternatives_of)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(field: &str) -> Vec<Vec<String>> {
        alternatives(field.as_bytes())
            .map(|clause| clause.map(|a| a.name.to_string()).collect())
            .collect()
    }

    #[test]
    fn any_spacing_and_every_restriction() {
        assert_eq!(
            names("a,b(>= 1)|c:any , d [amd64]|e<!nocheck>,"),
            [vec!["a"], vec!["b", "c"], vec!["d", "e"]]
        );
        assert_eq!(names("systemd:any"), [["systemd"]]);
        assert_eq!(
            names("a,\u{b}systemd\u{b}|\u{c}b"),
            [vec!["a"], vec!["systemd", "b"]]
        );
        assert_eq!(
            names("foo,\n bar\t(= 1:2-3),baz:amd64(<< 2)"),
            [["foo"], ["bar"], ["baz"]]
        );
        assert!(names(" , ").is_empty());
    }

    #[test]
    fn restrictions_of_versions() {
        let version = |text: &'static str| {
            let alternative = alternatives_of(text.as_bytes()).next()?;
            let (operator, version) = alternative.version()?;
            Some((operator, String::from_utf8_lossy(version).into_owned()))
        };
        use Operator::*;
        for (text, operator) in [
            ("a (<< 1)", Earlier),
            ("a:any(<=1)", EarlierOrEqual),
            ("a (< 1)", EarlierOrEqual),
            ("a\n (= 1) [amd64]", Equal),
            ("a(>= 1 )<!x>", LaterOrEqual),
            ("a (> 1)", LaterOrEqual),
            ("a ( >> 1", Later),
        ] {
            assert_eq!(version(text), Some((operator, "1".to_owned())), "{text}");
        }
        for text in ["a", "a <!x>", "a (1)", "a ()", "a (=> 1)", "a ("] {
            assert_eq!(version(text), None, "{text}");
        }
    }
}
