//! The order of publication: of the stanzas in Packages, Sources, the installer's indices, binary-all and Translation.
//!
//! apt reads an index in any order. The order decides how small an index becomes, and how much of it a change touches:
//!
//! - Archives follow each other, the lowest priority first. A change in an archive leaves all bytes before its stanzas as they were, and
//!   an overlay, which changes most often, is the end of each index.
//! - Within an archive, stanzas are ordered by maintainer, then source, then name: packages of one team have much text in common, and
//!   packages of one source change together.
//! - All stanzas of a name that an index has stand together, with versions ascending, at the place of the highest version. debootstrap takes the last
//!   stanza of a name, as long as no other name stands between them. A name that several archives have stands with the highest of
//!   these: sources of lower archives are published for the sake of binaries, and another version of a name is none of the others' business.
//! - apt takes the first of equal versions. So no name and version of Sources is published twice ([`super::sources`]), and equal versions
//!   in Packages differ in their architecture.
//!
//! - The packages of the lowest archive that no other archive has to do with come before all others ([`super::worlds`]); the order is that of
//!   these, and that of the rest.
//!
//! The facts that decide are parts of the published stanzas and the order of archives, so the same inputs give the same order.

use std::cmp::Reverse;

use rayon::prelude::*;

use crate::deb822::Name;

use super::entry::Entry;

/// The facts by which a stanza is placed.
#[derive(Debug, Clone, Copy)]
pub(super) struct Place<'a> {
    /// The archive's place in the order of archives, 0 for the highest.
    pub(super) rank: u16,
    /// The field `Maintainer`.
    pub(super) maintainer: &'a [u8],
    /// The source that the package was built from; a source's own name.
    pub(super) source: Name<'a>,
    pub(super) name: Name<'a>,
}

impl<'a> Place<'a> {
    /// Returns the place of an entry.
    pub(super) fn of(entry: &Entry<'a>) -> Self {
        Self {
            rank: entry.rank,
            maintainer: entry.maintainer,
            source: entry.source().0,
            name: entry.name,
        }
    }
}

/// Items in the order of publication.
pub(super) struct Ordered<T> {
    /// Those of the lowest archive.
    pub(super) lowest: Vec<T>,
    /// Those of the others, which change more often.
    pub(super) others: Vec<T>,
}

/// Puts items in the order of publication. They are given by name, and those of one name from the lowest version to the highest. `lowest` is
/// the rank of the lowest archive.
pub(super) fn of_publication<'a, T: Send>(
    items: impl IntoIterator<Item = T>,
    lowest: u16,
    place: impl Fn(&T) -> Place<'a>,
) -> Ordered<T> {
    let mut placed: Vec<(Place<'a>, T)> =
        items.into_iter().map(|item| (place(&item), item)).collect();
    for same_name in placed.chunk_by_mut(|(a, _), (b, _)| a.name == b.name) {
        let highest = same_name.iter().map(|(place, _)| place.rank).min();
        if let (Some((last, _)), Some(rank)) = (same_name.last(), highest) {
            let common = Place { rank, ..*last };
            same_name.iter_mut().for_each(|(place, _)| *place = common);
        }
    }
    // The sort is stable: stanzas of a name keep their order.
    placed.par_sort_by(|(a, _), (b, _)| {
        let key = |p: &Place<'a>| (Reverse(p.rank), p.maintainer, p.source, p.name);
        key(a).cmp(&key(b))
    });
    let end = placed.partition_point(|(place, _)| place.rank >= lowest);
    let mut lowest: Vec<T> = placed.into_iter().map(|(_, item)| item).collect();
    let others = lowest.split_off(end);
    Ordered { lowest, others }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Rank, maintainer, source, name, version.
    type Item = (u16, &'static str, &'static str, &'static str, u8);

    /// Returns items in the order of publication, by whatever order they are given in.
    fn ordered(items: &[Item]) -> Vec<Item> {
        let mut items = items.to_vec();
        items.sort_by_key(|(rank, _, _, name, version)| (*name, *version, *rank));
        let ordered = of_publication(items, 2, |(rank, maintainer, source, name, _)| Place {
            rank: *rank,
            maintainer: maintainer.as_bytes(),
            source: Name::from(*source),
            name: Name::from(*name),
        });
        let of_lowest = |items: &[Item], name| items.iter().all(|i| i.3 != name || i.0 == 2);
        for item in &ordered.lowest {
            assert!(of_lowest(&ordered.lowest, item.3) && of_lowest(&ordered.others, item.3));
        }
        [ordered.lowest, ordered.others].concat()
    }

    #[test]
    fn the_lowest_archive_comes_first_then_maintainer_source_and_name() {
        let expected = [
            (2, "Ann", "a", "z", 1),
            (2, "Ann", "b", "c", 1),
            (2, "Ann", "B", "d", 1),
            (2, "Zoe", "a", "a", 1),
            (1, "Ann", "y", "y", 1),
            (0, "Ann", "x", "x", 1),
        ];
        let mut items = expected;
        items.reverse();
        assert_eq!(ordered(&items), expected);
    }

    #[test]
    fn versions_stand_together_where_the_highest_belongs_and_with_the_highest_archive() {
        let expected = [
            (2, "Max", "m", "m", 1),
            (2, "Ann", "a", "p", 1),
            (2, "Tom", "t", "p", 2),
            (2, "Ute", "u", "u", 1),
            (2, "Ann", "q", "q", 1),
            (0, "Ann", "q", "q", 2),
            (0, "Zoe", "z", "z", 1),
        ];
        assert_eq!(ordered(&expected), expected);
    }

    fn any_items() -> impl Strategy<Value = Vec<Item>> {
        let of = |words: &'static [&'static str]| prop::sample::select(words);
        let item = (
            0..3u16,
            of(&["", "Ann", "Zoe"]),
            of(&["a", "b", "B"]),
            of(&["a", "b", "c", "d", "e"]),
            0..3u8,
        );
        prop::collection::vec(item, 0..24)
    }

    proptest! {
        #[test]
        fn nothing_is_lost_and_names_are_not_divided(items in any_items()) {
            let (found, mut all) = (ordered(&items), items);
            let mut names: Vec<_> = found.iter().map(|item| item.3).collect();
            names.dedup();
            let mut distinct = names.clone();
            distinct.sort_unstable();
            distinct.dedup();
            prop_assert_eq!(names.len(), distinct.len());
            for same_name in found.chunk_by(|a, b| a.3 == b.3) {
                prop_assert!(same_name.is_sorted_by_key(|item| item.4));
            }
            let mut found = found;
            found.sort_unstable();
            all.sort_unstable();
            prop_assert_eq!(found, all);
        }

        /// Names of higher archives may come, go and change: the others stay in their order, before them.
        #[test]
        fn what_higher_archives_have_is_the_end(items in any_items()) {
            let has_higher = |name| items.iter().any(|item| item.3 == name && item.0 < 2);
            let lowest: Vec<_> = items.iter().filter(|item| !has_higher(item.3)).copied().collect();
            let found = ordered(&items);
            prop_assert_eq!(ordered(&lowest), &found[..lowest.len()]);
        }
    }
}
