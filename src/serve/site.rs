//! The site that is served, and the check that it can be: names must fit into a path, and every client may be sent to the URIs.

use std::{collections::BTreeSet, path::PathBuf};

use axum::http::Uri;

use super::Error;

/// The site that is served.
#[derive(Debug, Clone)]
pub struct Site {
    /// The symlink `merged`, resolved afresh for every request.
    pub link: PathBuf,
    /// The path below which the tree is served besides `/`, for instance `merged`; empty for none.
    pub prefix: String,
    /// The archives that packages come from.
    pub pools: Vec<Pool>,
}

/// An archive as rewritten `Filename` fields name it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pool {
    /// The NAME in `pool/NAME/REST`, for instance `DEBIAN-SECURITY`.
    pub name: String,
    /// The place of its packages.
    pub target: PoolTarget,
}

/// The place of an archive's packages.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PoolTarget {
    /// The root URI of an archive elsewhere, for instance `https://mirror.example/debian`. Clients are sent there.
    Redirect(String),
    /// The root directory of an archive on this machine, from which files are served.
    Directory(PathBuf),
}

/// Refuses a site that could not be served as it was meant.
pub(super) fn check(site: &Site) -> Result<(), Error> {
    let reserved = ["pool", "dists"];
    let mut parts = site.prefix.split('/').filter(|part| !part.is_empty());
    let first = site.prefix.split('/').find(|part| !part.is_empty());
    if first.is_some_and(|first| reserved.contains(&first)) || !parts.all(is_plain) {
        let prefix = site.prefix.clone();
        return Err(Error::Prefix { prefix });
    }
    let mut names = BTreeSet::new();
    for Pool { name, target } in &site.pools {
        if !is_plain(name) {
            return Err(Error::PoolName { name: name.clone() });
        }
        if !names.insert(name) {
            return Err(Error::PoolTwice { name: name.clone() });
        }
        if let PoolTarget::Redirect(base) = target {
            check_base(base).map_err(|reason| Error::PoolBase {
                name: name.clone(),
                // What stands before an @ may be a password.
                base: match base.rsplit_once('@') {
                    Some((_, place)) => format!("…@{place}"),
                    None => base.clone(),
                },
                reason,
            })?;
        }
    }
    Ok(())
}

/// Returns whether the text is a segment of a path that needs no quoting anywhere.
fn is_plain(text: &str) -> bool {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.+~".contains(&byte);
    !text.is_empty() && text.bytes().all(is_plain) && !text.starts_with('.')
}

/// Refuses a URI that no path may be put behind, and one that may not be shown to everybody.
fn check_base(base: &str) -> Result<(), &'static str> {
    if !base.bytes().all(|byte| byte.is_ascii_graphic()) || base.contains('\\') {
        return Err("it holds characters that a URI cannot");
    }
    let uri: Uri = base.parse().map_err(|_| "it is not a URI")?;
    if !matches!(uri.scheme_str(), Some("http" | "https")) {
        return Err("it is neither http nor https");
    }
    if uri.host().is_none_or(str::is_empty) {
        return Err("it names no host");
    }
    if uri
        .authority()
        .is_some_and(|authority| authority.as_str().contains('@'))
    {
        return Err("it holds a user name or password, which every client would be told");
    }
    if base.contains(['?', '#']) {
        return Err("it has a query or a fragment");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn site(prefix: &str, pools: &[(&str, &str)]) -> Site {
        Site {
            link: PathBuf::from("/nowhere"),
            prefix: prefix.to_owned(),
            pools: pools
                .iter()
                .map(|(name, base)| Pool {
                    name: (*name).to_owned(),
                    target: PoolTarget::Redirect((*base).to_owned()),
                })
                .collect(),
        }
    }

    #[test]
    fn sites_that_can_be_served() {
        for prefix in ["", "merged", "/merged/", "devuan/merged"] {
            let pools = [
                ("DEVUAN", "https://mirror.example/devuan"),
                ("DEBIAN-SECURITY", "http://[::1]:8080"),
            ];
            assert!(check(&site(prefix, &pools)).is_ok(), "{prefix}");
        }
    }

    #[test]
    fn prefixes_and_names_that_cannot_be_paths() {
        for prefix in ["..", "pool", "/dists", "a b", "a/../b", "a%2fb"] {
            let error = check(&site(prefix, &[])).unwrap_err();
            assert!(matches!(error, Error::Prefix { .. }), "{prefix}");
        }
        for name in ["", "..", "A/B", "A B", "\n"] {
            let error = check(&site("", &[(name, "http://mirror.example/")])).unwrap_err();
            assert!(matches!(error, Error::PoolName { .. }), "{name:?}");
        }
        let twice = [
            ("A", "http://mirror.example/"),
            ("A", "http://mirror.example/"),
        ];
        let error = check(&site("", &twice)).unwrap_err();
        assert!(matches!(error, Error::PoolTwice { .. }));
    }

    #[test]
    fn bases_that_nobody_is_sent_to() {
        for base in [
            "",
            "/debian",
            "//mirror.example/debian",
            "file:///srv/debian",
            "ftp://mirror.example/debian",
            "https://",
            "https:///debian",
            "https://mirror.example/debian?x=y",
            "https://mirror.example/debian#x",
            "https://mirror.example/a b",
            "https://mirror.example/a\r\nX: y",
            "https://mirror.example\\debian",
        ] {
            let error = check(&site("", &[("A", base)])).unwrap_err();
            assert!(matches!(error, Error::PoolBase { .. }), "{base:?}");
        }
    }

    #[test]
    fn passwords_are_neither_served_nor_printed() {
        let error = check(&site("", &[("A", "https://me:secret@mirror.example/")])).unwrap_err();
        assert!(!error.to_string().contains("secret"), "{error}");
        assert!(error.to_string().contains("password"), "{error}");
    }
}
