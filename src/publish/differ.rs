//! The difference between two states of an index: the packages that changed, and the patch from one state to the other.
//!
//! Nothing depends on the order of the stanzas. The stanzas at either end that did not change are left aside first. The packages that
//! changed are those that have a stanza in between, each with all of its stanzas. The patch keeps as many stanzas as stand in the same
//! order in both states; a stanza that moved is removed in one place and inserted in another. Time and memory are those of sorting the
//! stanzas, whatever changed.

use std::collections::HashMap;
use std::ops::Range;

use crate::deb822::Name;
use crate::merge::IndexText;
use crate::pdiff::{Patch, PatchBuilder};

use super::outline::{Note, Outline};

/// The stanzas of one name in two states of an index, where they differ.
pub(super) type Changed<'o, 'a> = (Vec<&'o Note<'a>>, Vec<&'o Note<'a>>);

/// The place of a stanza in the old state and in the new one.
type Pair = (usize, usize);

/// Returns the packages that changed, by name.
pub(super) fn changes<'o, 'a>(old: &'o Outline<'a>, new: &'o Outline<'a>) -> Vec<Changed<'o, 'a>> {
    let (olds, news) = between(&old.notes, &new.notes);
    let mut packages: HashMap<Name<'_>, Changed<'_, '_>> = HashMap::new();
    for note in old.notes[olds].iter().chain(&new.notes[news]) {
        packages.entry(note.name).or_default();
    }
    // A package may also have stanzas among those that did not change.
    for note in &old.notes {
        if let Some((before, _)) = packages.get_mut(&note.name) {
            before.push(note);
        }
    }
    for note in &new.notes {
        if let Some((_, after)) = packages.get_mut(&note.name) {
            after.push(note);
        }
    }
    let mut packages: Vec<_> = packages.into_iter().collect();
    packages.retain(|(_, (before, after))| !are_the_same(before, after));
    packages.sort_unstable_by_key(|(name, _)| *name);
    packages.into_iter().map(|(_, changed)| changed).collect()
}

/// Returns the patch from an old state to the text of the new one; `None` if it inserts more bytes than the limit. Both states are preceded
/// by a number of lines that are the same.
pub(super) fn patch(
    (old, new): (&Outline<'_>, &Outline<'_>),
    lines_before: u64,
    text: &IndexText<'_>,
    limit: u64,
) -> Option<Patch> {
    let (olds, news) = between(&old.notes, &new.notes);
    let length = |stanza: usize| -> u64 {
        let slices = text.stanza(stanza).iter();
        slices.map(|slice| slice.len() as u64).sum()
    };
    let kept = in_the_same_order(pairs(&old.notes[olds.clone()], &new.notes[news.clone()]));
    let mut inserted: u64 = news.clone().map(length).sum();
    inserted -= kept
        .iter()
        .map(|(_, at)| length(news.start + at))
        .sum::<u64>();
    if inserted > limit {
        return None;
    }
    let lines = |notes: &[Note<'_>]| notes.iter().map(|note| u64::from(note.lines)).sum();
    let mut patch = PatchBuilder::default();
    patch.keep(lines_before + lines(&old.notes[..olds.start]));
    let (mut from, mut to) = (olds.start, news.start);
    let ends = (olds.len(), news.len());
    for (old_at, new_at) in kept.into_iter().chain([ends]) {
        let (old_at, new_at) = (olds.start + old_at, news.start + new_at);
        patch.remove(lines(&old.notes[from..old_at]));
        for stanza in to..new_at {
            text.stanza(stanza)
                .iter()
                .for_each(|slice| patch.insert(slice));
        }
        if old_at < olds.end {
            patch.keep(u64::from(old.notes[old_at].lines));
        }
        (from, to) = (old_at + 1, new_at + 1);
    }
    Some(patch.finish())
}

/// Returns the stanzas of both states that stand between the equal beginnings and the equal ends.
fn between(old: &[Note<'_>], new: &[Note<'_>]) -> (Range<usize>, Range<usize>) {
    let same = |(old, new): &(&Note<'_>, &Note<'_>)| old == new;
    let start = old.iter().zip(new).take_while(same).count();
    let ends = old[start..].iter().rev().zip(new[start..].iter().rev());
    let end = ends.take_while(same).count();
    (start..old.len() - end, start..new.len() - end)
}

/// Returns whether two lists have the same stanzas, in any order.
fn are_the_same(before: &[&Note<'_>], after: &[&Note<'_>]) -> bool {
    let (mut before, mut after) = (before.to_vec(), after.to_vec());
    before.sort_unstable_by_key(|note| note.digest);
    after.sort_unstable_by_key(|note| note.digest);
    before == after
}

/// Returns the stanzas that both states have, in the order of the old one. Of stanzas that equal each other, the first belongs to the first,
/// the second to the second.
fn pairs(old: &[Note<'_>], new: &[Note<'_>]) -> Vec<Pair> {
    let sorted = |notes: &[Note<'_>]| {
        let mut places: Vec<_> = (0..notes.len()).collect();
        places.sort_unstable_by_key(|at| (notes[*at].digest, *at));
        places
    };
    let (olds, news) = (sorted(old), sorted(new));
    let (mut olds, mut news) = (olds.into_iter().peekable(), news.into_iter().peekable());
    let mut pairs = Vec::new();
    while let (Some(from), Some(to)) = (olds.peek().copied(), news.peek().copied()) {
        let order = old[from].digest.cmp(&new[to].digest);
        if order.is_eq() {
            pairs.push((from, to));
        }
        if order.is_le() {
            olds.next();
        }
        if order.is_ge() {
            news.next();
        }
    }
    pairs.sort_unstable();
    pairs
}

/// Returns as many of the pairs as stand in the same order in both states: a longest increasing subsequence, found by patience sorting.
fn in_the_same_order(pairs: Vec<Pair>) -> Vec<Pair> {
    // For each length, the pair that ends the sequence of that length whose end leaves most room.
    let mut ends: Vec<usize> = Vec::new();
    let mut before: Vec<Option<usize>> = Vec::with_capacity(pairs.len());
    for (number, (_, to)) in pairs.iter().enumerate() {
        let length = ends.partition_point(|end| pairs[*end].1 < *to);
        before.push(length.checked_sub(1).map(|shorter| ends[shorter]));
        match ends.get_mut(length) {
            Some(end) => *end = number,
            None => ends.push(number),
        }
    }
    let last = ends.last().copied();
    let mut kept: Vec<_> = std::iter::successors(last, |number| before[*number])
        .map(|number| pairs[number])
        .collect();
    kept.reverse();
    kept
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;
    use crate::merge::Text;
    use crate::pdiff::tests::apply;
    use crate::text::PackageKey;

    const NAMES: [&str; 5] = ["a", "A", "b", "c", "d"];
    const VERSIONS: [&str; 3] = ["1", "2", "3"];
    const POOLS: [&str; 2] = ["LOW", "TOP"];

    /// A stanza: its name, its version, its pool, and the number of lines that make up the rest of it.
    type Choice = (usize, usize, usize, usize);

    fn stanza((name, version, pool, rest): Choice) -> String {
        let (name, version, pool) = (NAMES[name], VERSIONS[version], POOLS[pool]);
        let rest = format!("X-Rest: {rest}\n").repeat(rest);
        format!("Package: {name}\nVersion: {version}\nFilename: pool/{pool}/x\n{rest}\n")
    }

    fn text<'a>(choices: &[Choice], stanzas: &'a [String]) -> Text<'a> {
        let mut text = Text::default();
        for ((name, version, pool, _), stanza) in choices.iter().zip(stanzas) {
            let key = PackageKey {
                name: Name::from(NAMES[*name]),
                version: VERSIONS[*version].as_bytes(),
                pool: POOLS[*pool],
            };
            let (start, end) = stanza.as_bytes().split_at(stanza.len() / 2);
            text.push_package(key, [start, end]);
        }
        text
    }

    fn choices() -> impl Strategy<Value = Vec<Choice>> {
        let choice = (0..NAMES.len(), 0..VERSIONS.len(), 0..POOLS.len(), 0..3usize);
        proptest::collection::vec(choice, 0..16)
    }

    /// Returns another state of an index: some stanzas are taken out, some put in, and some put elsewhere.
    fn edited(old: &[Choice], edits: &[(u8, usize, usize, Choice)]) -> Vec<Choice> {
        let mut new = old.to_vec();
        for (kind, from, to, choice) in edits {
            let taken = match kind {
                0 => Some(*choice),
                _ if new.is_empty() => None,
                _ => Some(new.remove(from % new.len())),
            };
            if let Some(taken) = taken.filter(|_| *kind < 2) {
                new.insert(to % (new.len() + 1), taken);
            }
        }
        new
    }

    fn edits() -> impl Strategy<Value = Vec<(u8, usize, usize, Choice)>> {
        let choice = (0..NAMES.len(), 0..VERSIONS.len(), 0..POOLS.len(), 0..3usize);
        proptest::collection::vec((0..3u8, 0..16usize, 0..16usize, choice), 0..6)
    }

    fn made_patch(states: &[Outline<'_>; 2], text: &Text<'_>, limit: u64) -> Option<Patch> {
        let [old, new] = states;
        patch((old, new), 0, &IndexText::whole(text), limit)
    }

    /// Returns the stanzas of each name.
    fn by_name<'o, 'a>(outline: &'o Outline<'a>) -> BTreeMap<Name<'a>, Vec<&'o Note<'a>>> {
        let mut names: BTreeMap<_, Vec<_>> = BTreeMap::new();
        for note in &outline.notes {
            names.entry(note.name).or_default().push(note);
        }
        names
    }

    /// Returns the changes, name by name.
    fn naive_changes<'o, 'a>(old: &'o Outline<'a>, new: &'o Outline<'a>) -> Vec<Changed<'o, 'a>> {
        let (olds, news) = (by_name(old), by_name(new));
        let names: std::collections::BTreeSet<_> = olds.keys().chain(news.keys()).collect();
        let of = |names: &BTreeMap<_, Vec<_>>, name| names.get(name).cloned().unwrap_or_default();
        let all = names
            .into_iter()
            .map(|name| (of(&olds, name), of(&news, name)));
        all.filter(|(before, after)| !are_the_same(before, after))
            .collect()
    }

    /// Returns the patch between two states that are ordered by name: of each name, the equal stanzas at either end are kept.
    fn naive_patch(old: &Outline<'_>, new: &Outline<'_>, stanzas: &[String]) -> Patch {
        let (olds, news) = (by_name(old), by_name(new));
        let names: std::collections::BTreeSet<_> = olds.keys().chain(news.keys()).collect();
        let mut patch = PatchBuilder::default();
        let mut number = 0;
        let none = Vec::new();
        for name in names {
            let before = olds.get(name).unwrap_or(&none);
            let after = news.get(name).unwrap_or(&none);
            let head = before.iter().zip(after).take_while(|(a, b)| a == b).count();
            let ends = before[head..].iter().rev().zip(after[head..].iter().rev());
            let tail = ends.take_while(|(a, b)| a == b).count();
            let lines = |notes: &[&Note<'_>]| notes.iter().map(|n| u64::from(n.lines)).sum();
            patch.keep(lines(&before[..head]));
            patch.remove(lines(&before[head..before.len() - tail]));
            for stanza in &stanzas[number + head..number + after.len() - tail] {
                patch.insert(stanza.as_bytes());
            }
            patch.keep(lines(&before[before.len() - tail..]));
            number += after.len();
        }
        patch.finish()
    }

    fn script_length(patch: &Patch) -> usize {
        crate::pdiff::ed::write(patch).unwrap().len()
    }

    proptest! {
        #[test]
        fn the_order_of_stanzas_does_not_matter(old in choices(), edits in edits()) {
            let new = edited(&old, &edits);
            let stanzas = [&old, &new].map(|choices| choices.iter().copied().map(stanza).collect::<Vec<_>>());
            let (old_text, new_text) = (text(&old, &stanzas[0]), text(&new, &stanzas[1]));
            let outlines = [Outline::of(&old_text), Outline::of(&new_text)];
            prop_assert_eq!(changes(&outlines[0], &outlines[1]), naive_changes(&outlines[0], &outlines[1]));
            let made = made_patch(&outlines, &new_text, u64::MAX).unwrap();
            prop_assert_eq!(apply(&made, stanzas[0].concat().as_bytes()), stanzas[1].concat().into_bytes());
            // The least that a patch inserts is what it may insert at least.
            let inserted: usize = made.hunks().iter().map(|hunk| hunk.lines.len()).sum();
            prop_assert_eq!(made_patch(&outlines, &new_text, inserted as u64), Some(made));
            if let Some(less) = (inserted as u64).checked_sub(1) {
                prop_assert_eq!(made_patch(&outlines, &new_text, less), None);
            }
        }

        #[test]
        fn patches_between_states_ordered_by_name_are_no_larger(mut old in choices(), edits in edits()) {
            let mut new = edited(&old, &edits);
            for choices in [&mut old, &mut new] {
                choices.sort_by_key(|choice| (NAMES[choice.0].to_lowercase(), *choice));
                choices.dedup();
            }
            let stanzas = [&old, &new].map(|choices| choices.iter().copied().map(stanza).collect::<Vec<_>>());
            let (old_text, new_text) = (text(&old, &stanzas[0]), text(&new, &stanzas[1]));
            let outlines = [Outline::of(&old_text), Outline::of(&new_text)];
            let made = made_patch(&outlines, &new_text, u64::MAX).unwrap();
            let naive = naive_patch(&outlines[0], &outlines[1], &stanzas[1]);
            prop_assert_eq!(apply(&naive, stanzas[0].concat().as_bytes()), stanzas[1].concat().into_bytes());
            prop_assert!(script_length(&made) <= script_length(&naive));
        }
    }

    #[test]
    fn a_stanza_that_moves_is_all_that_a_patch_has() {
        let old: Vec<Choice> = (0..5).map(|name| (name, 0, 0, 1)).collect();
        let mut new = old.clone();
        let moved = new.remove(1);
        new.push(moved);
        let stanzas =
            [&old, &new].map(|choices| choices.iter().copied().map(stanza).collect::<Vec<_>>());
        let (old_text, new_text) = (text(&old, &stanzas[0]), text(&new, &stanzas[1]));
        let outlines = [Outline::of(&old_text), Outline::of(&new_text)];
        let made = made_patch(&outlines, &new_text, u64::MAX).unwrap();
        let script = String::from_utf8(crate::pdiff::ed::write(&made).unwrap()).unwrap();
        assert_eq!(script, format!("25a\n{}.\n6,10d\n", stanza(moved)));
        assert_eq!(changes(&outlines[0], &outlines[1]), []);
    }
}
