//! The view that a real apt has of a published world.

use std::collections::{BTreeMap, BTreeSet};

use super::world::{ARCHITECTURES, Laid, World, key};
use crate::common::apt::{Apt, field, stanzas};

/// The packages and sources that apt knows, by the numbers in their stanzas.
#[derive(Debug, Default)]
pub(crate) struct View {
    /// Binaries with the lines of their long descriptions.
    pub(crate) binaries: BTreeMap<usize, Vec<String>>,
    pub(crate) sources: BTreeSet<usize>,
    /// The number of the source that `apt-get source NAME` fetches, by the name of a binary.
    pub(crate) fetched: BTreeMap<String, usize>,
}

impl View {
    /// Updates an apt of two architectures from the published tree, without a warning, and asks it for everything.
    pub(crate) fn of(world: &World, laid: &Laid) -> View {
        let place = format!(
            "[signed-by={}] file://{} merged main contrib",
            laid.path("keys/publish-a.gpg").display(),
            laid.path("site/merged").display()
        );
        let apt = Apt::new(
            &ARCHITECTURES,
            &format!("deb {place}\ndeb-src {place}\n"),
            "Acquire::Languages { \"en\"; };",
        );
        apt.ok("apt-get", &["update"]);
        let mut view = View::default();
        // apt knows a package by the lower-case form of its name, and finds it by no other.
        let names: BTreeSet<String> = world.binaries.iter().map(|b| key(&b.name)).collect();
        for name in &names {
            for architecture in ARCHITECTURES {
                let shown = apt.call(
                    "apt-cache",
                    &["show", "-a", &format!("{name}:{architecture}")],
                );
                for stanza in stanzas(&String::from_utf8_lossy(&shown.stdout)) {
                    let number = field(&stanza, "X-Number").unwrap().parse().unwrap();
                    let lines = stanza.lines().skip_while(|line| {
                        !line.starts_with("Description-en:") && !line.starts_with("Description:")
                    });
                    let lines = lines.skip(1).take_while(|line| line.starts_with(' '));
                    view.binaries
                        .insert(number, lines.map(|line| line.trim().to_owned()).collect());
                }
            }
            let printed = apt.call("apt-get", &["source", "--print-uris", name]);
            let printed = String::from_utf8_lossy(&printed.stdout).into_owned();
            if let Some((_, rest)) = printed.split_once("/source-") {
                let number: String = rest.chars().take_while(char::is_ascii_digit).collect();
                view.fetched.insert(name.clone(), number.parse().unwrap());
            }
        }
        let names: BTreeSet<&str> = world.sources.iter().map(|s| &s.name[..]).collect();
        for name in names {
            let shown = apt.call("apt-cache", &["showsrc", "--only-source", name]);
            let shown = String::from_utf8_lossy(&shown.stdout).into_owned();
            let numbers = stanzas(&shown).into_iter().map(|stanza| {
                field(&stanza, "X-Number")
                    .unwrap()
                    .parse::<usize>()
                    .unwrap()
            });
            view.sources.extend(numbers);
        }
        view
    }
}
