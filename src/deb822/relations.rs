//! Package relations, as far as bans need them: clauses, their alternatives, and the name in each (Policy 7.1).

/// One alternative of a clause: the name, stripped of architecture qualifier, version, architectures and profiles.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Alternative<'a> {
    /// The package's name.
    pub name: &'a [u8],
}

/// The clauses of a relation field, each as its alternatives.
///
/// `foo:any (>= 1) [amd64] <!nocheck> | bar, baz` has two clauses, of `foo` and `bar`, and of `baz`. Empty clauses (a comma at
/// the end, which real indices have) are left out.
pub fn alternatives(
    field: &[u8],
) -> impl Iterator<Item = impl Iterator<Item = Alternative<'_>> + Clone> {
    field
        .split(|b| *b == b',')
        .filter(|clause| !clause.trim_ascii().is_empty())
        .map(|clause| {
            clause.split(|b| *b == b'|').map(|alternative| {
                let trimmed = alternative.trim_ascii();
                let end = trimmed
                    .iter()
                    .position(|b| b.is_ascii_whitespace() || b":([<".contains(b))
                    .unwrap_or(trimmed.len());
                Alternative {
                    name: &trimmed[..end],
                }
            })
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(field: &str) -> Vec<Vec<String>> {
        alternatives(field.as_bytes())
            .map(|clause| {
                clause
                    .map(|a| String::from_utf8_lossy(a.name).into_owned())
                    .collect()
            })
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
            names("foo,\n bar\t(= 1:2-3),baz:amd64(<< 2)"),
            [["foo"], ["bar"], ["baz"]]
        );
        assert!(names(" , ").is_empty());
    }
}
