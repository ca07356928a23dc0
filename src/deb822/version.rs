//! Debian version numbers: their order (Policy 5.6.12, deb-version(7)).

use std::cmp::Ordering;

/// Returns the place of a character of a non-digit part: `~` before the end, the end before letters, letters before the rest.
fn weight(byte: Option<u8>) -> i32 {
    match byte {
        Some(b'~') => -1,
        None => 0,
        Some(b) if b.is_ascii_alphabetic() => i32::from(b),
        Some(b) => i32::from(b) + 256,
    }
}

/// Compares two upstream versions or two revisions: in turn a part without digits and one of digits.
fn compare_parts(mut a: &[u8], mut b: &[u8]) -> Ordering {
    while !a.is_empty() || !b.is_empty() {
        loop {
            let digit = |p: &[u8]| p.first().is_none_or(u8::is_ascii_digit);
            if digit(a) && digit(b) {
                break;
            }
            let head = |p: &[u8]| p.first().copied().filter(|c| !c.is_ascii_digit());
            let order = weight(head(a)).cmp(&weight(head(b)));
            if order.is_ne() {
                return order;
            }
            a = a.get(1..).unwrap_or_default();
            b = b.get(1..).unwrap_or_default();
        }
        let number = |p: &mut &[u8]| -> Vec<u8> {
            let end = p
                .iter()
                .position(|c| !c.is_ascii_digit())
                .unwrap_or(p.len());
            let (digits, rest) = p.split_at(end);
            *p = rest;
            digits.iter().copied().skip_while(|c| *c == b'0').collect()
        };
        let (x, y) = (number(&mut a), number(&mut b));
        let order = x.len().cmp(&y.len()).then_with(|| x.cmp(&y));
        if order.is_ne() {
            return order;
        }
    }
    Ordering::Equal
}

/// Splits a version into epoch, upstream version and revision; a missing epoch is 0, a missing revision is empty, which is equal to `0`.
pub(super) fn split(version: &[u8]) -> (&[u8], &[u8], &[u8]) {
    let (epoch, rest) = match memchr::memchr(b':', version) {
        Some(n) => (&version[..n], &version[n + 1..]),
        None => (&b""[..], version),
    };
    match memchr::memrchr(b'-', rest) {
        Some(n) => (epoch, &rest[..n], &rest[n + 1..]),
        None => (epoch, rest, &b""[..]),
    }
}

/// Compares two versions. Any bytes have a place in the order; valid versions are ordered as dpkg orders them.
pub fn compare_versions(a: &[u8], b: &[u8]) -> Ordering {
    let ((e1, u1, r1), (e2, u2, r2)) = (split(a), split(b));
    compare_parts(e1, e2)
        .then_with(|| compare_parts(u1, u2))
        .then_with(|| compare_parts(r1, r2))
}

/// Returns whether a version can be shown and passed on: it has no blanks, and nothing but visible ASCII characters.
///
/// Policy 5.6.12 allows fewer characters, and wants a number for the epoch. apt reads all of these, and dpkg warns of some.
pub(crate) fn is_plain_version(version: &[u8]) -> bool {
    !version.is_empty() && version.iter().all(u8::is_ascii_graphic)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_order_of_policy() {
        let ascending: [&[u8]; 14] = [
            b"1.0~~",
            b"1.0~~a",
            b"1.0~",
            b"1.0",
            b"1.0-1~bpo1",
            b"1.0-1",
            b"1.0-1+b1",
            b"1.0-1+deb12u1",
            b"1.0a",
            b"1.0+b",
            b"1.2",
            b"1.10",
            b"1.010.1",
            b"1:0.1",
        ];
        for (i, a) in ascending.iter().enumerate() {
            for (j, b) in ascending.iter().enumerate() {
                let shown = (String::from_utf8_lossy(a), String::from_utf8_lossy(b));
                assert_eq!(compare_versions(a, b), i.cmp(&j), "{shown:?}");
            }
        }
        assert_eq!(compare_versions(b"1.0", b"0:1.0-0"), Ordering::Equal);
    }

    proptest! {
        #[test]
        fn agrees_with_an_independent_implementation(
            a in "([0-9]:)?[0-9][0-9a-z.+~]{0,8}(-[0-9a-z.+~]{1,4})?",
            b in "([0-9]:)?[0-9][0-9a-z.+~]{0,8}(-[0-9a-z.+~]{1,4})?",
        ) {
            let oracle = |v: &str| v.parse::<debversion::Version>().unwrap();
            prop_assert_eq!(compare_versions(a.as_bytes(), b.as_bytes()), oracle(&a).cmp(&oracle(&b)));
        }

        #[test]
        fn any_bytes_can_be_compared(a in any::<Vec<u8>>(), b in any::<Vec<u8>>()) {
            prop_assert_eq!(compare_versions(&a, &b), compare_versions(&b, &a).reverse());
        }
    }
}
