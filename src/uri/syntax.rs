//! The pieces of a URI's text: pure functions, after RFC 3986.

use percent_encoding::percent_decode_str;

use crate::quoted::quoted;

/// The characters besides letters and digits that may stand in a URI after its authority (RFC 3986 sections 3.3 and 3.4), without `%`.
const PATH_MARKS: &[u8] = b"-._~!$&'()*+,;=:@/";

/// User information, host and port.
pub(super) type Authority = (Option<String>, String, Option<u16>);

pub(super) fn split_authority(authority: &str) -> Result<Authority, &'static str> {
    let (userinfo, server) = match authority.rsplit_once('@') {
        Some((userinfo, server)) => (Some(userinfo), server),
        None => (None, authority),
    };
    if userinfo.is_some_and(|userinfo| check_encoded(userinfo).is_err() || userinfo.contains('@')) {
        return Err("user and password must be percent-encoded");
    }
    // The colons inside an IPv6 address are not those before a port.
    let end = server.rfind(']').map_or(0, |at| at + 1);
    let (host, port) = match server[end..].rfind(':').map(|at| end + at) {
        Some(at) => (&server[..at], Some(&server[at + 1..])),
        None => (server, None),
    };
    let valid = match host
        .strip_prefix('[')
        .and_then(|host| host.strip_suffix(']'))
    {
        Some(address) => address.parse::<std::net::Ipv6Addr>().is_ok(),
        None => {
            let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._".contains(&byte);
            !host.is_empty() && host.bytes().all(plain)
        }
    };
    if !valid {
        return Err("the host is neither a name in ASCII nor an address");
    }
    let port = match port {
        None => None,
        Some(digits) if digits.bytes().all(|digit| digit.is_ascii_digit()) => digits
            .parse()
            .ok()
            .filter(|&port: &u16| port != 0)
            .map(Some)
            .ok_or("the port is not a number from 1 to 65535")?,
        Some(_) => return Err("the port is not a number from 1 to 65535"),
    };
    Ok((userinfo.map(str::to_owned), host.to_ascii_lowercase(), port))
}

/// Checks the authority of a `file:` URI, which has no meaning (RFC 8089 section 2), and the path, which must mean the same before and
/// after it is decoded.
pub(super) fn local_authority(path: &str, authority: &str) -> Result<Authority, &'static str> {
    if !authority.is_empty() && !authority.eq_ignore_ascii_case("localhost") {
        return Err("a file: URI has three slashes and no host");
    }
    if path
        .split('/')
        .any(|segment| percent_decode_str(segment).any(|byte| byte == b'/' || byte == 0))
    {
        return Err("a NUL or a slash is hidden in the path");
    }
    Ok((None, String::new(), None))
}

/// Checks that every byte may stand in a URI and that two hexadecimal digits follow every `%`.
pub(super) fn check_encoded(text: &str) -> Result<(), &'static str> {
    let bytes = text.as_bytes();
    for (at, &byte) in bytes.iter().enumerate() {
        match byte {
            b'%' if !is_escape(&bytes[at..]) => {
                return Err("a % is not followed by two hexadecimal digits");
            }
            b'%' | b'?' => {}
            _ if byte.is_ascii_alphanumeric() || PATH_MARKS.contains(&byte) => {}
            _ => {
                return Err(
                    "it has a character that a URI cannot have; write it percent-encoded, a blank as %20",
                );
            }
        }
    }
    Ok(())
}

pub(super) fn encode_leniently(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut encoded = String::with_capacity(text.len());
    for (at, &byte) in bytes.iter().enumerate() {
        let stands = match byte {
            b'%' => is_escape(&bytes[at..]),
            _ => byte.is_ascii_alphanumeric() || byte == b'?' || PATH_MARKS.contains(&byte),
        };
        if stands {
            encoded.push(char::from(byte));
        } else {
            encoded.push_str(percent_encoding::percent_encode_byte(byte));
        }
    }
    encoded
}

fn is_escape(bytes: &[u8]) -> bool {
    matches!(bytes, [b'%', high, low, ..] if high.is_ascii_hexdigit() && low.is_ascii_hexdigit())
}

/// Returns whether a segment is `.` or `..`, also with percent-encoded dots, which mean the same (RFC 3986 section 6.2.2.2).
pub(super) fn is_dot_segment(segment: &str) -> bool {
    let decoded: Vec<u8> = percent_decode_str(segment).take(3).collect();
    decoded == b"." || decoded == b".."
}

/// Removes dot segments as RFC 3986 section 5.2.4 does, from a path that begins with a slash.
pub(super) fn remove_dot_segments(path: &str) -> String {
    let mut kept: Vec<&str> = Vec::new();
    let mut segments = path.split('/').skip(1).peekable();
    while let Some(segment) = segments.next() {
        let last = segments.peek().is_none();
        if is_dot_segment(segment) {
            if percent_decode_str(segment).count() == 2 {
                kept.pop();
            }
            if last {
                kept.push("");
            }
        } else {
            kept.push(segment);
        }
    }
    format!("/{}", kept.join("/"))
}

/// Returns the text without the part that may be a user and a password, however malformed the rest is.
pub(crate) fn redact(text: &str) -> String {
    let text = hidden(text);
    match text.split_once('?') {
        Some((front, _)) => quoted(&format!("{front}?…")),
        None => quoted(&text),
    }
}

/// Returns a text of any kind without what may be users and passwords: in each word, what stands before an `@`.
pub(crate) fn without_passwords(text: &str) -> String {
    let words = text.split_inclusive(|c: char| c.is_whitespace() || "\"'`".contains(c));
    words.fold(String::with_capacity(text.len()), |shown, word| {
        shown + &hidden(word)
    })
}

/// Returns a word without what stands before its last `@`, except for a scheme.
fn hidden(word: &str) -> String {
    let Some(at) = word.rfind('@') else {
        return word.to_owned();
    };
    let slashes = word[..at].find("//").map_or(0, |slashes| slashes + 2);
    format!("{}…{}", &word[..slashes], &word[at..])
}
