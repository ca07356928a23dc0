//! `suites` and `release_aliases`: what is published, made of what, under which names.

use std::collections::BTreeSet;

use super::amprolla::Importer;
use super::archives::Repo;
use super::write::Suite;
use crate::config::{SuiteName, validate};

impl Importer {
    pub(super) fn suites(&mut self, repos: &[Repo]) -> Vec<Suite> {
        let mut suites: Vec<Suite> = Vec::new();
        let mut seen = BTreeSet::new();
        for (group, list) in self.named_entries("suites") {
            for (line, name) in self.texts(&list, &format!("suites['{group}']")) {
                if let Err(error) = SuiteName::new(name.as_str()) {
                    self.note(line, format!("suites['{group}']: {error}; left out"));
                    continue;
                }
                if !seen.insert(name.clone()) {
                    self.note(line, format!("suites: `{name}` stands there twice"));
                    continue;
                }
                let from = self.from(line, &name, repos);
                if from.is_empty() {
                    let text = format!("suites: `{name}` was left out: no archive has it");
                    self.note(line, text);
                    continue;
                }
                suites.push(Suite {
                    name,
                    from,
                    release: Vec::new(),
                    links: Vec::new(),
                });
            }
        }
        self.releases(&mut suites);
        self.links(&mut suites);
        suites
    }

    /// Which suite of which archive goes into a suite, by amprolla's rules.
    fn from(&mut self, line: usize, name: &str, repos: &[Repo]) -> Vec<(String, String)> {
        let mut from = Vec::new();
        for repo in repos {
            let upstream = match &repo.aliases {
                None => Some(name),
                Some(_) if repo.skips.contains(name) => None,
                Some(aliases) => match aliases.get(name) {
                    Some(alias) => Some(alias.as_str()),
                    None if repo.skip_missing => None,
                    None => Some(name),
                },
            };
            match upstream.map(SuiteName::new) {
                Some(Ok(upstream)) => from.push((repo.archive.clone(), upstream.to_string())),
                Some(Err(error)) => self.note(line, format!("aliases: {error}; left out")),
                None => {}
            }
        }
        from
    }

    /// The fields of each Release that are set.
    fn releases(&mut self, suites: &mut [Suite]) {
        let label = self.text("distrolabel");
        for (name, value) in self.named_entries("release_aliases") {
            let place = format!("release_aliases['{name}']");
            let mut fields = Vec::new();
            for (field, value) in self.entries(&value, &place) {
                let Some(text) = self.text_of(&value, &format!("{place}['{field}']")) else {
                    continue;
                };
                match validate::release_field(&field, &text) {
                    Ok(()) => fields.push((field, text)),
                    Err((why, _)) => {
                        let text = format!("{place}['{field}'] was left out: {why}");
                        self.note(value.line, text);
                    }
                }
            }
            let Some(suite) = suites.iter_mut().find(|s| s.name == name) else {
                let text = format!(
                    "{place} was left out: no suite has that name (amprolla goes by the Suite of the first archive's Release, which is most often the same)"
                );
                self.note(value.line, text);
                continue;
            };
            // A Label of the suite's own goes before the general one.
            if let Some(label) = &label
                && !fields.iter().any(|(f, _)| f == "Label")
                && validate::release_field("Label", label).is_ok()
            {
                fields.push(("Label".into(), label.clone()));
            }
            suite.release = fields;
        }
    }

    /// Guesses the links that were made by hand: clients know a suite by its Suite, Codename and Version too.
    fn links(&mut self, suites: &mut [Suite]) {
        let mut taken: BTreeSet<String> = suites.iter().map(|s| s.name.clone()).collect();
        let mut guessed = false;
        for suite in suites.iter_mut() {
            for field in ["Suite", "Codename", "Version"] {
                let value = suite.release.iter().find(|(f, _)| f == field);
                let Some(link) = value.map(|(_, v)| v.clone()) else {
                    continue;
                };
                let prefix = format!("{link}/");
                let usable = SuiteName::new(link.as_str()).is_ok()
                    && !taken.iter().any(|t| t.starts_with(&prefix))
                    && !link.contains('/');
                if link != suite.name && usable && taken.insert(link.clone()) {
                    suite.links.push(link);
                    guessed = true;
                }
            }
        }
        if guessed {
            self.note(
                0,
                "links are a guess, from Suite, Codename and Version in release_aliases: amprolla's are made by a script of their own, so compare with those",
            );
        }
    }
}
