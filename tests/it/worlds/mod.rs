//! A differential test: random worlds are published, and the view that a real apt has of them is compared with a naive model.
//!
//! `APTMERGE_WORLDS=FIRST..LAST` chooses the seeds; `scripts/worlds` runs many.

mod model;
mod view;
mod world;

use std::ops::Range;

use self::view::View;
use self::world::{Laid, World};
use crate::common::programs::has;

/// The seeds where nobody chooses others.
const SEEDS: Range<u64> = 0..12;

fn seeds() -> Range<u64> {
    let Ok(chosen) = std::env::var("APTMERGE_WORLDS") else {
        return SEEDS;
    };
    let (first, last) = chosen.split_once("..").expect("FIRST..LAST");
    first.parse().unwrap()..last.parse().unwrap()
}

/// Publishes a world, and lets apt look at it.
fn seen(world: &World) -> View {
    let laid = Laid::out(world);
    for command in ["run", "verify"] {
        laid.aptmerge(&[command]).expect(0, &[]);
    }
    View::of(world, &laid)
}

#[test]
fn apt_sees_the_packages_of_their_owners_and_nothing_else() {
    if !has("apt-get") {
        return;
    }
    let mut found = Vec::new();
    for seed in seeds() {
        let world = World::new(seed);
        let view = seen(&world);
        found.extend(
            world
                .differences(&view)
                .into_iter()
                .map(|d| format!("seed {seed}: {d}")),
        );
        // The lowest archive takes nothing away from the others.
        let without = seen(&world.without_lowest());
        let binaries = without
            .binaries
            .keys()
            .filter(|n| !view.binaries.contains_key(n));
        found.extend(
            binaries.map(|n| format!("seed {seed}: the lowest archive took package {n} away")),
        );
        let sources = without.sources.difference(&view.sources);
        found.extend(
            sources.map(|n| format!("seed {seed}: the lowest archive took source {n} away")),
        );
    }
    assert!(
        found.is_empty(),
        "{} differences:\n{}",
        found.len(),
        found.join("\n")
    );
}
