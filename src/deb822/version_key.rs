//! Keys of versions: bytes that sort as the versions do, and are equal if the versions are.
//!
//! A comparison of two versions reads both to their ends. So comparing one long version with a million short ones reads it a million times.
//! A key is made once, which reads its version once, and comparisons of keys end at the first difference.

/// The byte at the end of a part without digits: it sorts after `~`, and before everything else.
const END: u8 = 2;

/// A mark for a length that does not fit into one byte: the length follows in eight.
const LONG: u8 = u8::MAX;

/// Returns the key of a version: two keys compare as [`super::compare_versions`] compares the versions.
pub(crate) fn version_key(version: &[u8]) -> Vec<u8> {
    let mut key = Vec::with_capacity(version.len() + 12);
    let (epoch, upstream, revision) = super::version::split(version);
    for part in [epoch, upstream, revision] {
        push_part(&mut key, part);
    }
    key
}

/// Appends the key of a part: in turn its characters that are no digits, and a number. No key is a prefix of another.
fn push_part(key: &mut Vec<u8>, mut part: &[u8]) {
    loop {
        let is_digit = |b: &u8| b.is_ascii_digit();
        let text = part.iter().position(is_digit).unwrap_or(part.len());
        key.extend(part[..text].iter().copied().map(weight));
        key.push(END);
        part = &part[text..];
        let number = part.iter().take_while(|b| is_digit(b)).count();
        let zeros = part[..number].iter().take_while(|b| **b == b'0').count();
        push_length(key, number - zeros);
        key.extend_from_slice(&part[zeros..number]);
        part = &part[number..];
        if part.is_empty() {
            break;
        }
    }
    // A further byte could only belong to a character that is no digit.
    key.push(END);
}

/// Appends the length of a number, so that longer numbers sort after shorter ones.
fn push_length(key: &mut Vec<u8>, length: usize) {
    match u8::try_from(length) {
        Ok(short) if short < LONG => key.push(short),
        _ => {
            key.push(LONG);
            key.extend((length as u64).to_be_bytes());
        }
    }
}

/// Returns the place of a character that is no digit: `~`, then the end, letters, the rest.
fn weight(byte: u8) -> u8 {
    const LETTERS: u8 = 52;
    match byte {
        b'~' => 1,
        b'A'..=b'Z' => byte - b'A' + END + 1,
        b'a'..=b'z' => byte - b'a' + END + 27,
        // Characters below this one that have a place of their own leave gaps; close them.
        _ => {
            let taken = |range: std::ops::RangeInclusive<u8>| match byte > *range.end() {
                true => range.end() - range.start() + 1,
                false => 0,
            };
            let gone = [b'0'..=b'9', b'A'..=b'Z', b'a'..=b'z', b'~'..=b'~'];
            byte - gone.into_iter().map(taken).sum::<u8>() + END + LETTERS + 1
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::compare_versions;
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn every_character_has_its_place() {
        for a in 0..=u8::MAX {
            for b in 0..=u8::MAX {
                let (x, y) = ([b'1', a], [b'1', b]);
                let keys = version_key(&x).cmp(&version_key(&y));
                assert_eq!(keys, compare_versions(&x, &y), "{x:?} {y:?}");
            }
        }
    }

    proptest! {
        #[test]
        fn keys_sort_as_versions_do(
            a in "([0-9]?:)?[0-2a.+~-]{0,9}(-[01a.+~]{0,4})?",
            b in "([0-9]?:)?[0-2a.+~-]{0,9}(-[01a.+~]{0,4})?",
        ) {
            let (a, b) = (a.as_bytes(), b.as_bytes());
            prop_assert_eq!(version_key(a).cmp(&version_key(b)), compare_versions(a, b));
        }

        #[test]
        fn any_bytes_have_a_key(a in any::<Vec<u8>>(), b in any::<Vec<u8>>()) {
            prop_assert_eq!(version_key(&a).cmp(&version_key(&b)), compare_versions(&a, &b));
        }

        #[test]
        fn long_numbers_have_one_too(a in 250usize..260, b in 250usize..260, x in 1u8..9, y in 1u8..9) {
            let long = |length, digit: u8| digit.to_string().repeat(length).into_bytes();
            let (a, b) = (long(a, x), long(b, y));
            prop_assert_eq!(version_key(&a).cmp(&version_key(&b)), compare_versions(&a, &b));
        }
    }
}
