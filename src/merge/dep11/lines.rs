//! The lines of a Components file: the beginnings of its documents, and the keys at the left margin of each document.

/// Returns the documents of a file, each from its `---` on. Every reader of YAML takes a line that begins so for the start of a document.
pub(super) fn split(data: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = data;
    std::iter::from_fn(move || {
        while let Some(after) = rest.strip_prefix(b"\n") {
            rest = after;
        }
        if rest.is_empty() {
            return None;
        }
        let mut end = 0;
        loop {
            end = memchr::memchr(b'\n', &rest[end..]).map_or(rest.len(), |n| end + n + 1);
            let line = &rest[end..];
            let begins =
                line.starts_with(b"---") && line[3..].first().is_none_or(u8::is_ascii_whitespace);
            if line.is_empty() || begins {
                break;
            }
        }
        let (document, after) = rest.split_at(end);
        rest = after;
        Some(document)
    })
}

/// Returns the keys at the left margin of a document, each with the offset of its line; an error says what is odd about the lines.
pub(super) fn keys(document: &str) -> Result<Vec<(&str, usize)>, &'static str> {
    let is_odd = |c: char| {
        (c.is_control() && !matches!(c, '\n' | '\t'))
            || matches!(
                c,
                '\u{2028}' | '\u{2029}' | '\u{feff}' | '\u{fffe}' | '\u{ffff}'
            )
    };
    if document.contains(is_odd) {
        return Err("it has a control character, or a line end that YAML knows and others do not");
    }
    if document.contains('\t') {
        return Err("it has a tab, which some readers stop at");
    }
    let mut keys = Vec::new();
    let mut offset = 0;
    for (number, with_end) in document.split_inclusive('\n').enumerate() {
        let line = with_end.strip_suffix('\n').unwrap_or(with_end);
        let start = offset;
        offset += with_end.len();
        if number == 0 && line.starts_with("---") {
            if line.trim_end() != "---" {
                return Err("something stands beside its `---`");
            }
            continue;
        }
        if line.is_empty() || line.starts_with([' ', '-', '#']) {
            continue;
        }
        let key = line.split([':', ' ']).next().unwrap_or_default();
        let is_plain = key.starts_with(|c: char| c.is_ascii_alphabetic())
            && key
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b"-_".contains(&b))
            && line[key.len()..].starts_with(':');
        if !is_plain {
            return Err("a line at the left margin is neither `Key:` nor an item of a list");
        }
        keys.push((key, start));
    }
    Ok(keys)
}
