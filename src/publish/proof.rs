//! Proves a patch before it is published.
//!
//! A wrong patch leaves every client that takes it with a text that it cannot read, run after run: so a patch is published only
//! after it was shown to make the present index out of the one that it starts from. Clients can do without a patch; they fetch the
//! index. Two things are shown, both of the very bytes that are published:
//!
//! - **The step** from the index that is served to the new one is applied to the served text. That text has the hash that its
//!   Release lists, and the result has the hash that the new Release will list ([`makes`]). If both begin with the same head, the text is
//!   read from there on, and the hashes go on from those of the head: they are right only if the whole text is.
//! - **An older patch** is the patch of the served list, from some old text `O` to the served index `S`, combined with the step. That
//!   `O` becomes `S` was shown when the served list was made: the suite's record names the list by its hash, and from a list that
//!   the record does not name, only patches that hold where they are tried are carried on ([`super::patched`]). It remains to show that
//!   the one patch does what the two do in turn, for any text: both are applied to
//!   a text whose lines are numbers, and the result is the same sequence of numbered lines and inserted bytes
//!   ([`are_one_after_the_other`]). The cost depends on the size of the patches, not of the index, and this code is separate from the
//!   code that combines them.
//!
//! So by induction each patch of a list makes the present index. The check before the swap compares each file with the list and the
//! list with the Release; `verify` trusts no record, and applies each patch to the text that it starts from, where that is
//! still in the tree ([`super::patched`]).

use std::collections::VecDeque;
use std::io::{self, BufRead, BufReader, Read};

use crate::hashing::{Digests, Hasher, HashingReader};
use crate::pdiff::Patch;
use crate::pdiff::index::{Hashed, Sha1};

/// A patch that was shown to make one text of another.
#[derive(Debug, Clone, Copy)]
pub(super) struct Step {
    /// The SHA-1 of the text that the patch starts from. No proof rests on it; some mirror tools want it.
    pub(super) old: Sha1,
    /// The SHA-1 of the text that the patch makes.
    pub(super) new: Sha1,
}

/// A beginning that two texts have in common.
#[derive(Debug, Clone)]
pub(super) struct Beginning {
    /// The hashers, after this beginning.
    pub(super) hasher: Hasher,
    pub(super) lines: u64,
}

impl Beginning {
    /// Returns the beginning without a line.
    pub(super) fn none() -> Self {
        Self {
            hasher: Hasher::new().and_sha1(),
            lines: 0,
        }
    }
}

/// Shows that a patch makes `new` of `old`, whose text is read from some place on; `None` if it does not, or if it changes what is before.
pub(super) fn makes(
    patch: &Patch,
    from: Beginning,
    text: impl Read,
    old: Hashed,
    new: Hashed,
) -> Option<Step> {
    let text = HashingReader::with(text, from.hasher.clone());
    let mut text = BufReader::with_capacity(256 << 10, text);
    let made = apply(patch, from, &mut text).ok()??;
    let (_, read) = text.into_inner().finish();
    let is = |found: &Digests, wanted: Hashed| {
        (found.sha256, found.length) == (wanted.sha256, wanted.size)
    };
    let shown = is(&read, old) && is(&made, new);
    shown.then_some(Step {
        old: read.sha1?,
        new: made.sha1?,
    })
}

/// Applies a patch to a text from some place on, to its end; returns the hashes of the result, or `None` where the patch does not fit.
fn apply(patch: &Patch, from: Beginning, text: &mut impl BufRead) -> io::Result<Option<Digests>> {
    let (mut out, mut at) = (from.hasher, from.lines);
    for hunk in patch.hunks() {
        let Some(before) = hunk.start.checked_sub(at) else {
            return Ok(None);
        };
        let kept = pass(text, before, |line| out.update(line))?;
        let removed = pass(text, hunk.removed, |_| {})?;
        if !kept || !removed {
            return Ok(None);
        }
        out.update(&hunk.lines);
        at = hunk.start + hunk.removed;
    }
    let mut ends_line = true;
    loop {
        let rest = text.fill_buf()?;
        let length = rest.len();
        let Some(last) = rest.last() else { break };
        ends_line = *last == b'\n';
        out.update(rest);
        text.consume(length);
    }
    Ok(ends_line.then_some(out.finish()))
}

/// Reads the given number of lines; `false` if the text ends before.
fn pass(text: &mut impl BufRead, mut lines: u64, mut with: impl FnMut(&[u8])) -> io::Result<bool> {
    while lines > 0 {
        let buffer = text.fill_buf()?;
        if buffer.is_empty() {
            return Ok(false);
        }
        let mut used = buffer.len();
        for end in memchr::memchr_iter(b'\n', buffer) {
            lines -= 1;
            if lines == 0 {
                used = end + 1;
                break;
            }
        }
        with(&buffer[..used]);
        text.consume(used);
    }
    Ok(true)
}

/// Returns whether a patch does to every text what two patches do one after the other.
pub(super) fn are_one_after_the_other(both: &Patch, first: &Patch, second: &Patch) -> bool {
    let all = vec![Run::Old(0, u64::MAX)];
    let in_turn = patched(&all, first).and_then(|middle| patched(&middle, second));
    in_turn.is_some_and(|in_turn| patched(&all, both) == Some(in_turn))
}

/// A part of a text: a range of lines of the old text, without the end of the range, or bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Run {
    Old(u64, u64),
    New(Vec<u8>),
}

/// A part of a text that is read: the same without a copy of the bytes.
#[derive(Clone, Copy)]
enum Part<'t> {
    Old(u64, u64),
    New(&'t [u8]),
}

impl<'t> Part<'t> {
    fn of(run: &'t Run) -> Self {
        match run {
            Run::Old(start, end) => Part::Old(*start, *end),
            Run::New(bytes) => Part::New(bytes),
        }
    }
}

/// Applies a patch to a text of numbered lines; `None` where it does not fit.
fn patched(text: &[Run], patch: &Patch) -> Option<Vec<Run>> {
    let mut made = Vec::new();
    let mut rest: VecDeque<Part<'_>> = text.iter().map(Part::of).collect();
    let mut at = 0;
    for hunk in patch.hunks() {
        take(&mut rest, hunk.start.checked_sub(at)?, &mut |part| {
            push(&mut made, part)
        })?;
        take(&mut rest, hunk.removed, &mut |_| {})?;
        if !hunk.lines.is_empty() {
            push(&mut made, Part::New(&hunk.lines));
        }
        at = hunk.start.checked_add(hunk.removed)?;
    }
    rest.into_iter().for_each(|part| push(&mut made, part));
    Some(made)
}

/// Adds a part, joined to the last one where possible: equal texts then have equal parts.
fn push(text: &mut Vec<Run>, part: Part<'_>) {
    match (text.last_mut(), part) {
        (Some(Run::Old(_, end)), Part::Old(start, new_end)) if *end == start => *end = new_end,
        (Some(Run::New(bytes)), Part::New(more)) => bytes.extend_from_slice(more),
        (_, Part::Old(start, end)) => text.push(Run::Old(start, end)),
        (_, Part::New(bytes)) => text.push(Run::New(bytes.to_vec())),
    }
}

/// Takes the given number of lines off the beginning of a text; `None` if it has fewer. Each byte is read once, however many hunks a text
/// is taken apart for.
fn take<'t>(
    text: &mut VecDeque<Part<'t>>,
    mut lines: u64,
    with: &mut dyn FnMut(Part<'t>),
) -> Option<()> {
    while lines > 0 {
        match text.pop_front()? {
            Part::Old(start, end) => {
                let cut = end.min(start.checked_add(lines)?);
                lines -= cut - start;
                with(Part::Old(start, cut));
                if cut < end {
                    text.push_front(Part::Old(cut, end));
                }
            }
            Part::New(bytes) => {
                let mut length = bytes.len();
                for end in memchr::memchr_iter(b'\n', bytes) {
                    lines -= 1;
                    if lines == 0 {
                        length = end + 1;
                        break;
                    }
                }
                let (taken, after) = bytes.split_at(length);
                if !after.is_empty() {
                    text.push_front(Part::New(after));
                }
                with(Part::New(taken));
            }
        }
    }
    Some(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use proptest::prelude::*;

    use super::*;
    use crate::pdiff::ed;
    use crate::pdiff::tests as pdiff;

    fn patch(script: &str) -> Patch {
        ed::parse(script.as_bytes()).unwrap()
    }

    #[test]
    fn a_patch_that_does_not_fit_proves_nothing() {
        let (old, new) = ("a\nb\nc\n", "a\nx\nc\n");
        let hashed = |text: &str| Hashed::of(text.as_bytes());
        let holds = |script: &str, text: &str| {
            makes(
                &patch(script),
                Beginning::none(),
                text.as_bytes(),
                hashed(old),
                hashed(new),
            )
            .is_some()
        };
        assert!(holds("2c\nx\n.\n", old));
        for script in [
            "1c\nx\n.\n",
            "3c\nx\n.\n",
            "2c\ny\n.\n",
            "2a\nx\n.\n",
            "9d\n",
            "3,4d\n",
            "",
        ] {
            assert!(!holds(script, old), "{script}");
        }
        assert!(!holds("2c\nx\n.\n", "a\ny\nc\n"), "another text");
        assert!(
            !holds("2c\nx\n.\n", "a\nb\nc"),
            "a last line without its end"
        );
    }

    #[test]
    fn what_is_not_one_after_the_other_is_seen() {
        let (first, second) = (patch("4c\ny\n.\n"), patch("4d\n2a\nx\n.\n"));
        let both = first.then(&second);
        assert!(are_one_after_the_other(&both, &first, &second));
        for wrong in [
            "",
            "4d\n",
            "3d\n1a\nx\n.\n",
            "4d\n1a\nx\n.\n",
            "4d\n2a\nz\n.\n",
            "4d\n2a\nx\nx\n.\n",
        ] {
            assert!(
                !are_one_after_the_other(&patch(wrong), &first, &second),
                "{wrong}"
            );
        }
    }

    proptest! {
        #[test]
        fn patches_that_were_put_together_are_proven_and_no_others(
            count in 0..20usize, one in pdiff::steps(), two in pdiff::steps(), three in pdiff::steps(),
        ) {
            let old: Vec<u8> = (0..count).flat_map(|n| format!("old {n}\n").into_bytes()).collect();
            let first = pdiff::patch(&one, pdiff::lines(&old));
            let middle = pdiff::apply(&first, &old);
            let second = pdiff::patch(&two, pdiff::lines(&middle));
            let new = pdiff::apply(&second, &middle);
            let both = first.then(&second);
            prop_assert!(are_one_after_the_other(&both, &first, &second));
            prop_assert!(makes(&both, Beginning::none(), &old[..], Hashed::of(&old), Hashed::of(&new)).is_some());
            // A patch that passes for both does the same to a text that has the lines.
            let other = pdiff::patch(&three, pdiff::lines(&old));
            if are_one_after_the_other(&other, &first, &second) {
                prop_assert_eq!(pdiff::apply(&other, &old), new);
            }
        }
    }
}
