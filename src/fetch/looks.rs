//! The looks of a file that is not what was asked for: a network that wants a log-in, or a server that unpacks what it sends, is told from
//! an archive that is broken.

use std::fmt;

/// The most bytes at the beginning of a file that are looked at.
pub(super) const LOOKED_AT_BYTES: usize = 512;

/// A kind of file that is easily known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Looks {
    /// Nothing.
    Empty,
    /// A page for people, or an answer of an object store.
    Markup,
    /// Text of another kind.
    Text,
    /// Packed by gzip.
    Gzip,
    /// Packed by xz.
    Xz,
    /// Packed by bzip2.
    Bzip2,
    /// Packed by zstd.
    Zstd,
}

impl Looks {
    /// Returns what a file looks like by its first bytes.
    pub(super) fn of(start: &[u8]) -> Option<Self> {
        let start = &start[..start.len().min(LOOKED_AT_BYTES)];
        let magic: [(&[u8], Self); 4] = [
            (b"\x1f\x8b", Self::Gzip),
            (b"\xfd7zXZ\0", Self::Xz),
            (b"BZh", Self::Bzip2),
            (b"\x28\xb5\x2f\xfd", Self::Zstd),
        ];
        if start.is_empty() {
            return Some(Self::Empty);
        }
        if let Some((_, looks)) = magic.iter().find(|(magic, _)| start.starts_with(magic)) {
            return Some(*looks);
        }
        let text = start.strip_prefix(b"\xef\xbb\xbf").unwrap_or(start);
        let is_text = |byte: &u8| !byte.is_ascii_control() || byte.is_ascii_whitespace();
        if !text.iter().all(is_text) {
            return None;
        }
        let text = String::from_utf8_lossy(text)
            .trim_start()
            .to_ascii_lowercase();
        let is_markup = [
            "<!doctype",
            "<html",
            "<head",
            "<body",
            "<?xml",
            "<!--",
            "<error",
        ]
        .iter()
        .any(|tag| text.starts_with(tag));
        Some(if is_markup { Self::Markup } else { Self::Text })
    }
}

impl fmt::Display for Looks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Empty => "it is empty",
            Self::Markup => "it is a page of HTML or XML",
            Self::Text => "it is plain text",
            Self::Gzip => "it is packed by gzip",
            Self::Xz => "it is packed by xz",
            Self::Bzip2 => "it is packed by bzip2",
            Self::Zstd => "it is packed by zstd",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_known_by_their_beginnings() {
        for (start, looks) in [
            (&b""[..], Some(Looks::Empty)),
            (b"\xef\xbb\xbf \n<!DOCTYPE html>", Some(Looks::Markup)),
            (b"<?xml version=\"1.0\"?><Error>", Some(Looks::Markup)),
            (b"Package: a\n", Some(Looks::Text)),
            ("Package: \u{fc}\n".as_bytes(), Some(Looks::Text)),
            (b"\x1f\x8b\x08", Some(Looks::Gzip)),
            (b"\xfd7zXZ\0", Some(Looks::Xz)),
            (b"BZh9", Some(Looks::Bzip2)),
            (b"\x28\xb5\x2f\xfd", Some(Looks::Zstd)),
            (b"\0\x01", None),
        ] {
            assert_eq!(Looks::of(start), looks, "{start:?}");
        }
    }
}
