//! Takes a clear-signed message or a detached signature apart, or names the line at which two readers might differ about
//! it. Pure functions over bytes.
//!
//! The format is RFC 9580, section 7 (cleartext signature framework) and section 6 (armor). What is allowed here is less
//! than what they allow: what `gpg --clearsign` and its like really write.
//!
//! - The first line is the header of the message, with nothing before it; then `Hash:` lines only, then an empty line.
//! - In the text, a line that starts with `-` is an escape (`- `) or the marker of the first signature.
//! - From there to the end: signature blocks, and empty lines around them.
//! - Lines end in LF. CRLF is refused rather than tolerated: no archive serves it, a text signature does not notice the
//!   difference, and implementations disagree about what a lone CR is. NUL is refused for the same reason.

use super::Error;

const BEGIN_MESSAGE: &[u8] = b"-----BEGIN PGP SIGNED MESSAGE-----";
const BEGIN_SIGNATURE: &[u8] = b"-----BEGIN PGP SIGNATURE-----";
const END_SIGNATURE: &[u8] = b"-----END PGP SIGNATURE-----";

const MESSAGE: &str = "the clear-signed message";
const SIGNATURE: &str = "the detached signature";

/// A clear-signed message in its parts.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct ClearSigned<'a> {
    /// The text as it is hashed: escapes undone, spaces and tabs at line ends taken off, lines joined by LF. The line end
    /// before the signature is not part of it (RFC 9580, section 7.1).
    pub(super) text: Vec<u8>,
    /// The armored signature blocks, one or more.
    pub(super) blocks: Vec<&'a [u8]>,
}

/// Takes an InRelease apart.
pub(super) fn split(message: &[u8]) -> Result<ClearSigned<'_>, Error> {
    check_bytes(message, MESSAGE)?;
    let mut lines = Lines::new(message, MESSAGE);

    let first = lines.expect("it is empty")?;
    if first.bytes != BEGIN_MESSAGE {
        return Err(lines.fault(
            first.number,
            "the first line is not exactly `-----BEGIN PGP SIGNED MESSAGE-----`",
        ));
    }
    loop {
        let line = lines.expect("it ends within its head")?;
        match line.bytes {
            b"" => break,
            header if is_hash_header(header) => {}
            _ => {
                return Err(lines.fault(
                    line.number,
                    "only `Hash:` may stand between the first line and the empty line",
                ));
            }
        }
    }

    let mut text = Vec::with_capacity(message.len());
    let mut has_text = false;
    let first_signature = loop {
        let line = lines.expect("it ends without a signature")?;
        let content = match line.bytes {
            BEGIN_SIGNATURE => break line,
            BEGIN_MESSAGE => {
                return Err(lines.fault(
                    line.number,
                    "a second signed message begins within the first",
                ));
            }
            [b'-', b' ', content @ ..] => content,
            [b'-', ..] => {
                return Err(lines.fault(
                    line.number,
                    "a line of the text starts with an unescaped `-`",
                ));
            }
            content => content,
        };
        if has_text {
            text.push(b'\n');
        }
        has_text = true;
        text.extend_from_slice(trim_end(content));
    };
    if !has_text {
        return Err(lines.fault(
            first_signature.number,
            "there is no text above the signature",
        ));
    }

    let mut blocks = vec![lines.block(&first_signature)?];
    lines.blocks(
        &mut blocks,
        "something other than a signature follows a signature",
    )?;
    Ok(ClearSigned { text, blocks })
}

/// Takes an armored Release.gpg apart: one or more signature blocks, empty lines around them, and nothing else (apt
/// refuses other lines in it as well).
pub(super) fn split_detached(signature: &[u8]) -> Result<Vec<&[u8]>, Error> {
    check_bytes(signature, SIGNATURE)?;
    let mut lines = Lines::new(signature, SIGNATURE);
    let mut blocks = Vec::new();
    lines.blocks(&mut blocks, "something other than a signature stands here")?;
    if blocks.is_empty() {
        return Err(Error::NoSignature);
    }
    Ok(blocks)
}

/// Refuses the bytes on which readers of a text differ: NUL and CR.
pub(super) fn check_bytes(bytes: &[u8], what: &'static str) -> Result<(), Error> {
    let Some(at) = memchr::memchr2(0, b'\r', bytes) else {
        return Ok(());
    };
    let (before, rest) = bytes.split_at(at);
    Err(Error::Structure {
        what,
        line: memchr::memchr_iter(b'\n', before).count() + 1,
        why: if rest.starts_with(b"\0") {
            "it contains a NUL byte"
        } else {
            "it contains a carriage return; line ends are LF alone"
        },
    })
}

/// Spaces and tabs at the end of a line are not hashed (RFC 9580, section 7.2).
fn trim_end(mut line: &[u8]) -> &[u8] {
    while let [rest @ .., b' ' | b'\t'] = line {
        line = rest;
    }
    line
}

fn is_hash_header(line: &[u8]) -> bool {
    line.strip_prefix(b"Hash: ").is_some_and(|names| {
        !names.is_empty()
            && names
                .iter()
                .all(|c| c.is_ascii_alphanumeric() || matches!(c, b'-' | b',' | b' '))
    })
}

/// Returns whether a line is `Version: …`, `Comment: …` or another header that programs put above the data of a signature.
fn is_armor_header(line: &[u8]) -> bool {
    let name = line.split(|&c| c == b':').next().unwrap_or_default();
    name.len() < line.len()
        && !name.is_empty()
        && name.iter().all(|c| c.is_ascii_alphanumeric() || *c == b'-')
}

fn is_armor_data(line: &[u8]) -> bool {
    !line.is_empty()
        && line
            .iter()
            .all(|c| c.is_ascii_alphanumeric() || matches!(c, b'+' | b'/' | b'='))
}

struct Line<'a> {
    number: usize,
    start: usize,
    /// Without its line end.
    bytes: &'a [u8],
}

struct Lines<'a> {
    all: &'a [u8],
    what: &'static str,
    offset: usize,
    number: usize,
}

impl<'a> Lines<'a> {
    fn new(all: &'a [u8], what: &'static str) -> Self {
        Lines {
            all,
            what,
            offset: 0,
            number: 0,
        }
    }

    fn fault(&self, line: usize, why: &'static str) -> Error {
        Error::Structure {
            what: self.what,
            line,
            why,
        }
    }

    fn next(&mut self) -> Option<Line<'a>> {
        let start = self.offset;
        let rest = self.all.get(start..).filter(|rest| !rest.is_empty())?;
        let bytes = rest.split(|&c| c == b'\n').next().unwrap_or_default();
        self.offset = self.all.len().min(start + bytes.len() + 1);
        self.number += 1;
        Some(Line {
            number: self.number,
            start,
            bytes,
        })
    }

    fn expect(&mut self, why_not: &'static str) -> Result<Line<'a>, Error> {
        let last = self.number;
        self.next().ok_or_else(|| self.fault(last, why_not))
    }

    /// Reads to the end of the signature block that `begin` opened, and returns all of it.
    fn block(&mut self, begin: &Line<'a>) -> Result<&'a [u8], Error> {
        loop {
            let line = self.expect("it ends within a signature")?;
            match line.bytes {
                b"" => break,
                header if is_armor_header(header) => {}
                _ => {
                    return Err(self.fault(
                        line.number,
                        "this is no armor header, and no empty line stands before it",
                    ));
                }
            }
        }
        let mut has_data = false;
        loop {
            let line = self.expect("it ends within a signature")?;
            match line.bytes {
                END_SIGNATURE if has_data => break,
                END_SIGNATURE => return Err(self.fault(line.number, "the signature is empty")),
                data if is_armor_data(data) => has_data = true,
                _ => {
                    return Err(
                        self.fault(line.number, "this is not the armored data of a signature")
                    );
                }
            }
        }
        Ok(self.all.get(begin.start..self.offset).unwrap_or_default())
    }

    /// Reads the rest as signature blocks with empty lines around them.
    fn blocks(&mut self, into: &mut Vec<&'a [u8]>, otherwise: &'static str) -> Result<(), Error> {
        while let Some(line) = self.next() {
            match line.bytes {
                b"" => {}
                BEGIN_SIGNATURE => into.push(self.block(&line)?),
                BEGIN_MESSAGE => {
                    return Err(self.fault(line.number, "a second signed message follows"));
                }
                _ => return Err(self.fault(line.number, otherwise)),
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    const BLOCK: &str = "-----BEGIN PGP SIGNATURE-----\nVersion: x\nComment:\n\niQIz\n=abcd\n-----END PGP SIGNATURE-----\n";

    fn message(text: &str) -> String {
        format!(
            "-----BEGIN PGP SIGNED MESSAGE-----\nHash: SHA512, SHA256\nHash: SHA256\n\n{text}{BLOCK}"
        )
    }

    /// Returns the line and the reason for which a message is refused.
    fn refusal(message: &str) -> (usize, &'static str) {
        match split(message.as_bytes()) {
            Err(Error::Structure { line, why, .. }) => (line, why),
            other => panic!("{message:?} gave {other:?}"),
        }
    }

    #[test]
    fn a_message_comes_apart() {
        let message = message("Origin: x\n- -----BEGIN PGP SIGNATURE-----\n- - a\nend \t\n\n");
        let parts = split(message.as_bytes()).unwrap();
        assert_eq!(
            parts.text,
            b"Origin: x\n-----BEGIN PGP SIGNATURE-----\n- a\nend\n"
        );
        assert_eq!(parts.blocks, [BLOCK.as_bytes()]);
    }

    #[test]
    fn several_blocks_with_empty_lines_and_no_last_line_end_are_fine() {
        let message = format!("{}\n\n{}", message("a\n"), BLOCK.trim_end());
        assert_eq!(split(message.as_bytes()).unwrap().blocks.len(), 2);
    }

    #[test]
    fn the_head_is_taken_literally() {
        let good = message("a\n");
        assert_eq!(refusal("").0, 0);
        for before in ["\n", " ", "Origin: evil\n", "\u{feff}", "-"] {
            assert_eq!(refusal(&format!("{before}{good}")).0, 1, "{before:?}");
        }
        assert_eq!(
            refusal(&good.replacen("MESSAGE-----", "MESSAGE----- ", 1)).0,
            1
        );
        for header in [
            "Comment: x",
            "Hash:",
            "Hash: ",
            "Hash: SHA256\u{b}",
            "Origin: evil",
            " ",
            "\t",
        ] {
            assert_eq!(
                refusal(&good.replacen("Hash: SHA512, SHA256", header, 1)).0,
                2,
                "{header:?}"
            );
        }
        assert_eq!(
            refusal("-----BEGIN PGP SIGNED MESSAGE-----\nHash: SHA256\n").1,
            "it ends within its head"
        );
    }

    #[test]
    fn a_dash_in_the_text_must_be_an_escape() {
        for dash in [
            "-",
            "--",
            "-x",
            "-\t",
            "-----BEGIN PGP SIGNATURE----- ",
            "-----BEGIN PGP SIGNATURE",
            "-----END PGP SIGNATURE-----",
            "----- BEGIN PGP SIGNATURE-----",
        ] {
            let (line, why) = refusal(&message(&format!("a\n{dash}\nb\n")));
            assert_eq!((line, why.contains("unescaped")), (6, true), "{dash:?}");
        }
        assert!(
            refusal(&message("a\n-----BEGIN PGP SIGNED MESSAGE-----\n"))
                .1
                .contains("second signed message")
        );
    }

    #[test]
    fn nothing_may_follow_or_part_the_signatures() {
        let good = message("a\n");
        assert!(
            refusal(&format!("{good}Origin: evil\n"))
                .1
                .contains("follows a signature")
        );
        assert!(
            refusal(&format!("{good} \n{BLOCK}"))
                .1
                .contains("follows a signature")
        );
        assert!(
            refusal(&format!("{good}Origin: evil\n{BLOCK}"))
                .1
                .contains("follows a signature")
        );
        assert!(
            refusal(&format!("{good}{good}"))
                .1
                .contains("second signed message")
        );
    }

    #[test]
    fn a_signature_is_whole_and_is_data() {
        let good = message("a\n");
        for cut in 0..good.len() - 1 {
            if let Some(cut) = good.get(..cut) {
                refusal(cut);
            }
        }
        assert!(
            refusal(&good.replace("iQIz", "iQ z"))
                .1
                .contains("not the armored data")
        );
        assert!(
            refusal(&good.replace("iQIz\n", "iQIz\n\n"))
                .1
                .contains("not the armored data")
        );
        assert!(
            refusal(&good.replace("iQIz\n=abcd\n", ""))
                .1
                .contains("empty")
        );
        assert!(
            refusal(&good.replace("Comment:\n\n", "Comment:\n"))
                .1
                .contains("no armor header")
        );
        assert!(refusal(&message("")).1.contains("no text"));
    }

    #[test]
    fn nul_and_carriage_return_are_refused_with_their_line() {
        assert_eq!(refusal(&message("a\nb\0\n")), (6, "it contains a NUL byte"));
        assert_eq!(refusal(&message("a\nb\r\n")).0, 6);
        assert_eq!(refusal(&message("a\n").replace('\n', "\r\n")).0, 1);
    }

    #[test]
    fn a_detached_signature_holds_signatures_only() {
        assert_eq!(split_detached(BLOCK.as_bytes()).unwrap().len(), 1);
        assert_eq!(
            split_detached(format!("\n{BLOCK}\n{BLOCK}").as_bytes())
                .unwrap()
                .len(),
            2
        );
        assert!(matches!(split_detached(b""), Err(Error::NoSignature)));
        assert!(matches!(split_detached(b"\n\n"), Err(Error::NoSignature)));
        for (line, signature) in [
            (1, format!("x\n{BLOCK}")),
            (8, format!("{BLOCK}x\n{BLOCK}")),
            (1, message("a\n")),
        ] {
            match split_detached(signature.as_bytes()) {
                Err(Error::Structure { line: at, .. }) => assert_eq!(at, line),
                other => panic!("{other:?}"),
            }
        }
    }
}
