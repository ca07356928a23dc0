//! The path of a request, taken apart into segments none of which can lead anywhere but down; and the names that
//! rewritten packages have below `pool/`. Pure functions over text.

use std::borrow::Cow;

use percent_encoding::{
    AsciiSet, CONTROLS, percent_decode, percent_decode_str, percent_encode, utf8_percent_encode,
};

use crate::merge::rewrite::RULES;

/// The characters that a URI's path may not hold as they are, RFC 3986, section 3.3. `%` is absent: the text is
/// percent-encoded already.
const NOT_IN_PATH: &AsciiSet = &CONTROLS
    .add(b' ')
    .add(b'"')
    .add(b'#')
    .add(b'<')
    .add(b'>')
    .add(b'?')
    .add(b'[')
    .add(b'\\')
    .add(b']')
    .add(b'^')
    .add(b'`')
    .add(b'{')
    .add(b'|')
    .add(b'}');

/// The characters that the name of a file may not hold as they are: in a name, `%` and `/` stand for themselves.
const NOT_IN_SEGMENT: &AsciiSet = &NOT_IN_PATH.add(b'%').add(b'/');

/// The text between two slashes of a request's path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Segment<'a> {
    /// The text as the client sent it, percent-encoded.
    pub(super) raw: &'a str,
    /// The name that the text stands for.
    pub(super) name: Cow<'a, [u8]>,
}

impl Segment<'_> {
    /// Returns whether the segment names nothing (`//`, `/./`), so that a file system would pass it over.
    pub(super) fn is_blank(&self) -> bool {
        matches!(self.name.as_ref(), b"" | b".")
    }
}

/// Takes a percent-encoded path apart.
///
/// `None` for what no honest client asks for: a `..` in any spelling, a slash, backslash, NUL or other control character
/// behind a percent sign or without, or a percent sign that encodes nothing.
pub(super) fn segments(path: &str) -> Option<Vec<Segment<'_>>> {
    path.split('/').map(segment).collect()
}

/// Returns whether a byte may stand in no name of a file in an archive.
fn is_foul(byte: &u8) -> bool {
    byte.is_ascii_control() || matches!(byte, b'/' | b'\\')
}

fn segment(raw: &str) -> Option<Segment<'_>> {
    // The decoder passes a broken escape on as it stands; here it is refused, lest two readers differ about it.
    let mut escapes = raw.split('%');
    escapes.next();
    let is_escape = |text: &str| {
        let digits = text.as_bytes().get(..2);
        digits.is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit))
    };
    if !escapes.all(is_escape) {
        return None;
    }
    let name: Cow<'_, [u8]> = percent_decode_str(raw).into();
    if name.iter().any(is_foul) || name.as_ref() == b".." {
        return None;
    }
    Some(Segment { raw, name })
}

/// The number of times that a name in a request may be percent-encoded: once by the client, and as often as in a published path.
const MAX_ENCODED_TIMES: usize = 6;

/// Returns whether a server that decodes a name again, or ends it at a `;`, could climb by it.
fn is_doubtful(name: &[u8]) -> bool {
    let mut name = Cow::Borrowed(name);
    for _ in 0..MAX_ENCODED_TIMES {
        let mut parts = name.split(|byte| matches!(byte, b'?' | b'#' | b';'));
        if name.iter().any(is_foul) || parts.next() == Some(b"..".as_slice()) {
            return true;
        }
        let decoded: Cow<'_, [u8]> = percent_decode(&name).into();
        if decoded.len() == name.len() {
            return false;
        }
        name = Cow::Owned(decoded.into_owned());
    }
    true
}

/// Returns the path in its archive of the package whose rewritten name is `pool/NAME/REST`; `rest` is percent-encoded and
/// stays so. The first of [`RULES`] whose `from` is there, encoded or not, gives the path. The rules for web servers
/// (`cli/redirects.rs`) lead alike.
///
/// `None` if `rest` names nothing, or could lead out of the archive.
pub(super) fn pool_path(rest: &str) -> Option<String> {
    let parts = segments(rest)?;
    if parts.iter().any(|part| is_doubtful(&part.name)) {
        return None;
    }
    let named = named(&parts);
    let first = named.first()?;
    let rule = RULES.iter().find(|rule| {
        let from = rule.from.trim_end_matches('/');
        from.is_empty() || first.name.as_ref() == from.as_bytes()
    })?;
    let named = match rule.from {
        "" => named,
        _ => self::named(&named[1..]),
    };
    named.first()?;
    let path: Vec<&str> = named.iter().map(|part| part.raw).collect();
    let path = path.join("/");
    Some(format!(
        "{}{}",
        rule.to,
        utf8_percent_encode(&path, NOT_IN_PATH)
    ))
}

/// Returns the segments from the first that names something.
fn named<'s, 'a>(parts: &'s [Segment<'a>]) -> &'s [Segment<'a>] {
    let blank = parts.iter().take_while(|part| part.is_blank()).count();
    &parts[blank..]
}

/// Returns the name of a file as one segment of a URI's path.
pub(super) fn encode_name(name: &[u8]) -> String {
    percent_encode(name, NOT_IN_SEGMENT).to_string()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn segments_are_decoded_once() {
        let parts = segments("/dists/a%2Bb//%252e%252e/").unwrap();
        let names: Vec<&[u8]> = parts.iter().map(|part| part.name.as_ref()).collect();
        assert_eq!(
            names,
            [&b""[..], b"dists", b"a+b", b"", b"%2e%2e", b""].to_vec()
        );
        assert_eq!(parts[2].raw, "a%2Bb");
    }

    #[test]
    fn what_could_lead_elsewhere_is_refused() {
        for path in [
            "/..",
            "/dists/../../etc/passwd",
            "/%2e%2e/x",
            "/.%2E/x",
            "/a%2fb",
            "/a%2F..%2fb",
            "/a\\b",
            "/a%5cb",
            "/a%00b",
            "/a%0d%0aX: y",
            "/a%7fb",
            "/a%",
            "/a%2",
            "/a%zz",
            "/%%32e",
        ] {
            assert_eq!(segments(path), None, "{path}");
            assert_eq!(pool_path(path), None, "{path}");
        }
    }

    #[test]
    fn dots_that_are_names_are_names() {
        for path in ["/...", "/a..b", "/..a", "/a.."] {
            assert!(segments(path).is_some(), "{path}");
        }
    }

    #[test]
    fn pool_names_are_mapped_back() {
        for (rest, original) in [
            (
                "main/a/apt/apt_2.6_amd64.deb",
                "pool/main/a/apt/apt_2.6_amd64.deb",
            ),
            ("main/a%2bb/x~1.deb", "pool/main/a%2bb/x~1.deb"),
            ("main//x.deb", "pool/main//x.deb"),
            ("_/x.deb", "x.deb"),
            ("_/./x.deb", "x.deb"),
            ("//_//./x.deb", "x.deb"),
            ("%5f/x.deb", "x.deb"),
            ("_/pool/_/x.deb", "pool/_/x.deb"),
            ("_x/y.deb", "pool/_x/y.deb"),
            ("main/_/y.deb", "pool/main/_/y.deb"),
            ("main/é \"x\".deb", "pool/main/%C3%A9%20%22x%22.deb"),
        ] {
            assert_eq!(pool_path(rest).as_deref(), Some(original), "{rest}");
        }
    }

    #[test]
    fn it_maps_back_as_the_merge_does() {
        for rest in [
            "main/x.deb",
            "_/x.deb",
            "_/pool/_/x.deb",
            "_x/y.deb",
            "x/_/y.deb",
        ] {
            let original = crate::merge::rewrite::original(rest);
            assert_eq!(pool_path(rest), Some(original), "{rest}");
        }
    }

    #[test]
    fn a_pool_path_names_something() {
        for rest in ["", "/", ".", "_", "_/", "_//", "_/."] {
            assert_eq!(pool_path(rest), None, "{rest:?}");
        }
    }

    #[test]
    fn a_name_becomes_one_segment() {
        assert_eq!(encode_name(b"a/b%?#\xff ~+"), "a%2Fb%25%3F%23%FF%20~+");
    }
}
