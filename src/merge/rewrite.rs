//! The paths of packages: the paths of the archives are rewritten so that they stay apart, and can be mapped back.
//!
//! `pool/REST` of the archive with the pool name NAME becomes `pool/NAME/REST`. A path outside of `pool/`, which a few archives have,
//! becomes `pool/NAME/_/PATH`. Slashes and `./` at its front are dropped. `_` is unambiguous, because a `pool/_/…` of an archive is treated
//! as outside too. So the mapping can be inverted for every path, by two rules that every web server can express.

use crate::names::PoolName;

/// An insertion into a path: the place and the text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Insertion {
    /// The number of bytes at the front of the path that are removed (`/` and `./`).
    pub(crate) cut: usize,
    /// The number of bytes after those that stay in front of the inserted text.
    pub(crate) keep: usize,
    /// The string of the pool that is inserted.
    pub(crate) what: Inserted,
}

/// The kinds of text that are inserted into a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Inserted {
    /// `NAME/`
    Name,
    /// `/NAME`
    NameAtEnd,
    /// `pool/NAME/_/`
    Outside,
    /// A line `Directory: pool/NAME/_/`, for a source without such a field: it lies in the archive's own directory.
    NoDirectory,
}

/// The strings that stand for one archive in rewritten paths.
#[derive(Debug, Clone)]
pub(crate) struct PoolStrings {
    name: String,
    name_at_end: String,
    outside: String,
    no_directory: String,
}

impl PoolStrings {
    pub(crate) fn new(pool: &PoolName) -> Self {
        Self {
            name: format!("{pool}/"),
            name_at_end: format!("/{pool}"),
            outside: format!("pool/{pool}/_/"),
            no_directory: format!("{NO_DIRECTORY}pool/{pool}/_/"),
        }
    }

    pub(crate) fn get(&self, what: Inserted) -> &[u8] {
        match what {
            Inserted::Name => self.name.as_bytes(),
            Inserted::NameAtEnd => self.name_at_end.as_bytes(),
            Inserted::Outside => self.outside.as_bytes(),
            Inserted::NoDirectory => self.no_directory.as_bytes(),
        }
    }
}

/// The text between a stanza and the path that is inserted at its end.
pub(crate) const NO_DIRECTORY: &str = "\nDirectory: ";

/// The longest path of a file on Linux, approximately.
pub(crate) const MAX_PATH_BYTES: usize = 4000;

/// The number of times that a path may be percent-encoded; honest paths are encoded once at most.
const MAX_ENCODED_TIMES: usize = 4;

/// Returns why a path of an index is refused.
fn check(path: &[u8]) -> Result<(), &'static str> {
    if path.len() > MAX_PATH_BYTES {
        return Err("it is longer than any file's may be");
    }
    if path.iter().any(|b| b.is_ascii_control() || *b == b'\\') {
        return Err("a control character or a backslash stands in it");
    }
    let climbs = |path: &[u8]| path.split(|b| *b == b'/').any(|part| part == b"..");
    if climbs(path) {
        return Err("it climbs with `..`");
    }
    // Some servers decode before they resolve, and some do so twice.
    let mut decoded = path.to_vec();
    let mut rounds = 0;
    while let Some(next) = percent_decoded(&decoded) {
        if climbs(&next) || next.iter().any(|b| b.is_ascii_control() || *b == b'\\') {
            return Err("percent-encoded characters in it climb or are control characters");
        }
        if next.iter().filter(|b| **b == b'/').count()
            != path.iter().filter(|b| **b == b'/').count()
        {
            return Err("a percent-encoded slash stands in it");
        }
        decoded = next;
        rounds += 1;
        if rounds > MAX_ENCODED_TIMES {
            return Err("it is percent-encoded again and again");
        }
    }
    Ok(())
}

/// Returns the path with every `%XX` decoded once; `None` if there is none left.
fn percent_decoded(path: &[u8]) -> Option<Vec<u8>> {
    let mut decoded = Vec::with_capacity(path.len());
    let mut rest = path;
    while let [first, tail @ ..] = rest {
        let mut byte = [0];
        match (*first, tail) {
            (b'%', [a, b, after @ ..]) if hex::decode_to_slice([*a, *b], &mut byte).is_ok() => {
                decoded.push(byte[0]);
                rest = after;
            }
            _ => {
                decoded.push(*first);
                rest = tail;
            }
        }
    }
    (decoded.len() != path.len()).then_some(decoded)
}

/// Returns how a `Filename` or a `Directory` is rewritten, or why it is refused. An empty path is the archive's own directory.
pub(crate) fn insertion(path: &[u8]) -> Result<Insertion, &'static str> {
    check(path)?;
    let mut cut = 0;
    loop {
        match &path[cut..] {
            [b'/', ..] => cut += 1,
            [b'.', b'/', _, ..] => cut += 2,
            _ => break,
        }
    }
    let rest = &path[cut..];
    let (keep, what) = if rest == b"pool" {
        (4, Inserted::NameAtEnd)
    } else if rest.starts_with(b"pool/") && !rest.starts_with(b"pool/_/") && rest != b"pool/_" {
        (5, Inserted::Name)
    } else {
        (0, Inserted::Outside)
    };
    Ok(Insertion { cut, keep, what })
}

/// Returns whether a file is of a kind that indices name: a binary package, or a part of a source package.
pub(crate) fn is_package_file(name: &[u8]) -> bool {
    let ends = [
        ".deb",
        ".udeb",
        ".ddeb",
        ".dsc",
        ".diff.gz",
        ".tar",
        ".tar.gz",
        ".tar.xz",
        ".tar.bz2",
        ".tar.lzma",
        ".tar.zst",
    ];
    let is = |name: &[u8]| ends.iter().any(|end| name.ends_with(end.as_bytes()));
    // A tarball has its signature beside it; any other `.asc` may be a key.
    is(name) || name.strip_suffix(b".asc").is_some_and(is)
}

/// Returns whether a name is hidden, like that of a git directory or of a half-written file.
pub(crate) fn is_hidden(name: &[u8]) -> bool {
    name.starts_with(b".") && name != b"." && name != b".."
}

/// Returns a path of an archive as a merged index has it.
pub fn rewritten(path: &str, pool: &PoolName) -> Result<String, &'static str> {
    let Insertion { cut, keep, what } = insertion(path.as_bytes())?;
    let strings = PoolStrings::new(pool);
    let inserted = String::from_utf8_lossy(strings.get(what));
    Ok(format!(
        "{}{inserted}{}",
        &path[cut..cut + keep],
        &path[cut + keep..]
    ))
}

/// A rule that leads from a path in a merged index back into the archive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rule {
    /// The text after `pool/NAME/` that the rule takes away.
    pub from: &'static str,
    /// The text below the archive that the rule writes instead.
    pub to: &'static str,
}

/// The rules of every reader: of [`original`], of `serve`, and of web servers. The first whose `from` is there holds.
pub const RULES: [Rule; 2] = [
    Rule { from: "_/", to: "" },
    Rule {
        from: "",
        to: "pool/",
    },
];

/// Returns the path in the archive, from the part after `pool/NAME/` in a merged index.
pub fn original(rest: &str) -> String {
    let path = |rule: &Rule| Some(format!("{}{}", rule.to, rest.strip_prefix(rule.from)?));
    RULES.iter().find_map(path).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use proptest::prelude::*;

    fn pool() -> PoolName {
        PoolName::new("DEBIAN").unwrap()
    }

    #[test]
    fn every_form_has_its_place() {
        for (path, expected) in [
            (
                "pool/main/a/apt/apt_1_amd64.deb",
                "pool/DEBIAN/main/a/apt/apt_1_amd64.deb",
            ),
            ("pool/updates/main/x.deb", "pool/DEBIAN/updates/main/x.deb"),
            ("./pool/main/x.deb", "pool/DEBIAN/main/x.deb"),
            ("dists/sid/main/x.deb", "pool/DEBIAN/_/dists/sid/main/x.deb"),
            ("./x.deb", "pool/DEBIAN/_/x.deb"),
            ("x_1%3a2.deb", "pool/DEBIAN/_/x_1%3a2.deb"),
            ("pool", "pool/DEBIAN"),
            (".", "pool/DEBIAN/_/."),
            ("pool/_/x.deb", "pool/DEBIAN/_/pool/_/x.deb"),
            ("pool2/x.deb", "pool/DEBIAN/_/pool2/x.deb"),
            ("/pool/main/x y.deb", "pool/DEBIAN/main/x y.deb"),
            (".//./pool/x.deb", "pool/DEBIAN/x.deb"),
            ("//etc/passwd", "pool/DEBIAN/_/etc/passwd"),
            ("", "pool/DEBIAN/_/"),
            ("/", "pool/DEBIAN/_/"),
        ] {
            assert_eq!(rewritten(path, &pool()).unwrap(), expected);
        }
    }

    #[test]
    fn what_climbs_is_refused() {
        for bad in [
            "../x",
            "/../x",
            ".//../x",
            "pool/../../x",
            "pool/..",
            "a\\b",
            "a\0b",
            "a\nb",
            "pool/%2e%2e/x",
            "pool/%2E./x",
            "pool/%252e%252e/x",
            "pool/a%2fb",
            "pool/%00",
            "pool/%5c",
        ] {
            assert!(insertion(bad.as_bytes()).is_err(), "{bad:?}");
        }
        // Each round of decoding removes two bytes; half a million rounds would take too long.
        let again = |times| format!("pool/%{}", "25".repeat(times));
        assert!(insertion(again(1).as_bytes()).is_ok());
        assert!(insertion(again(9).as_bytes()).is_err());
        assert!(insertion(again(500_000).as_bytes()).is_err());
    }

    proptest! {
        #[test]
        fn the_mapping_can_be_inverted(path in "/?(pool/)?(_/)?[a-z_.]{1,3}(/[a-z_.+~:% ]{1,4}){0,4}") {
            if let Ok(new) = rewritten(&path, &pool()) {
                let mut plain = path.as_str();
                loop {
                    plain = match plain {
                        _ if plain.starts_with('/') => &plain[1..],
                        _ if plain.len() > 2 && plain.starts_with("./") => &plain[2..],
                        _ => break,
                    };
                }
                if plain != "pool" {
                    prop_assert_eq!(original(new.strip_prefix("pool/DEBIAN/").unwrap()), plain);
                }
            }
        }

        #[test]
        fn no_path_makes_it_panic(path in any::<Vec<u8>>()) {
            let _ = insertion(&path);
        }
    }
}
