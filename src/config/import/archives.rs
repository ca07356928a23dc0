//! `repos`, `repo_order`, `aliases` and `skips`: the archives, and what each calls a suite.

use std::collections::{BTreeMap, BTreeSet};

use super::amprolla::Importer;
use super::value::Value;
use super::write::Archive;
use crate::config::{ArchiveName, PoolName};
use crate::fetch::uri::Uri;

/// How amprolla looks for suites in an archive.
pub(super) struct Repo {
    pub(super) archive: String,
    /// Whether suites have other names there, and which; `None` where all have the same.
    pub(super) aliases: Option<BTreeMap<String, String>>,
    pub(super) skip_missing: bool,
    /// The suites that are not looked for.
    pub(super) skips: BTreeSet<String>,
}

impl Importer {
    /// The archives in their order, and how suites are looked for in each.
    pub(super) fn archives(&mut self) -> (Vec<Archive>, Vec<Repo>) {
        let repos = self.named_entries("repos");
        let order = match self.names.get("repo_order").cloned() {
            Some(order) => self.texts(&order, "repo_order"),
            None => {
                if !repos.is_empty() {
                    self.note(
                        0,
                        "repo_order is not given: priority has the order of repos",
                    );
                }
                repos.iter().map(|(n, v)| (v.line, n.clone())).collect()
            }
        };
        for (name, value) in &repos {
            if !order.iter().any(|(_, n)| n == name) {
                let text = format!("repos['{name}'] is not in repo_order, and was left out");
                self.note(value.line, text);
            }
        }
        let aliases: BTreeMap<_, _> = self.named_entries("aliases").into_iter().collect();
        let skips = match self.names.get("skips").cloned() {
            Some(skips) => self.texts(&skips, "skips"),
            None => Vec::new(),
        };
        let skips: BTreeSet<_> = skips.into_iter().map(|(_, s)| s).collect();
        let mut archives: Vec<Archive> = Vec::new();
        let mut ways = Vec::new();
        let mut pools = BTreeSet::new();
        for (line, name) in order {
            let Some((_, value)) = repos.iter().find(|(n, _)| *n == name) else {
                let text = format!("repo_order: there is no `{name}` in repos; left out");
                self.note(line, text);
                continue;
            };
            let Some((archive, way)) = self.archive(&name, value, &aliases, &skips) else {
                continue;
            };
            if archives.iter().any(|a| a.pool == archive.pool) {
                let text = format!(
                    "repos['{name}']: its name `{}` is another archive's too, and it was left out: paths could not tell them apart",
                    archive.pool
                );
                self.note(value.line, text);
                continue;
            }
            pools.insert(archive.pool.clone());
            archives.push(archive);
            ways.push(way);
        }
        for (pool, value) in &aliases {
            if !pools.contains(pool) {
                let text = format!("aliases['{pool}'] belongs to no archive, and was left out");
                self.note(value.line, text);
            }
        }
        (archives, ways)
    }

    fn archive(
        &mut self,
        name: &str,
        value: &Value,
        aliases: &BTreeMap<String, Value>,
        skips: &BTreeSet<String>,
    ) -> Option<(Archive, Repo)> {
        let place = format!("repos['{name}']");
        let entries = self.entries(value, &place);
        let field = |importer: &mut Self, key: &str| {
            let (_, value) = entries.iter().find(|(k, _)| k == key)?;
            importer.text_of(value, &format!("{place}['{key}']"))
        };
        for (key, value) in &entries {
            let known = ["name", "host", "dists", "pool", "aliases", "skipmissing"];
            if !known.contains(&key.as_str()) {
                let text = format!("{place}['{key}'] is not known here, and was left out");
                self.note(value.line, text);
            }
        }
        let parts = (
            field(self, "name"),
            field(self, "host"),
            field(self, "dists"),
        );
        let (Some(pool), Some(host), Some(dists)) = parts else {
            let text = format!("{place} was left out: it takes a name, a host and dists");
            self.note(value.line, text);
            return None;
        };
        let host = host.trim_end_matches('/');
        let join = |path: &str| match path {
            "" => host.to_owned(),
            path => format!("{host}/{path}"),
        };
        let above = |path: &str, last: &str| {
            let path = path.trim_matches('/').strip_suffix(last)?.to_owned();
            (path.is_empty() || path.ends_with('/')).then(|| join(path.trim_end_matches('/')))
        };
        let checked = ArchiveName::new(name)
            .map_err(|e| e.to_string())
            .and_then(|_| PoolName::new(pool.as_str()).map_err(|e| e.to_string()))
            .and_then(|_| {
                above(&dists, "dists").ok_or_else(|| "its dists does not end in `dists`".into())
            })
            .and_then(|uri| Uri::parse(&uri).map(|_| uri).map_err(|e| e.to_string()));
        let uri = match checked {
            Ok(uri) => uri,
            Err(why) => {
                self.note(value.line, format!("{place} was left out: {why}"));
                return None;
            }
        };
        let redirect = field(self, "pool").and_then(|pool| {
            let redirect = above(&pool, "pool");
            if redirect.is_none() {
                let text = format!(
                    "{place}['pool'] was left out: packages are looked for in `pool/` beside `dists/`"
                );
                self.note(value.line, text);
            }
            redirect.filter(|r| *r != uri && (r.starts_with("http://") || r.starts_with("https://")))
        });
        let has_aliases = self.flag(&entries, "aliases", &place);
        let skip_missing = self.flag(&entries, "skipmissing", &place);
        let aliases = has_aliases.then(|| match aliases.get(&pool) {
            Some(table) => {
                let inner = format!("aliases['{pool}']");
                let mut names = BTreeMap::new();
                for (suite, value) in self.entries(table, &inner) {
                    if let Some(text) = self.text_of(&value, &format!("{inner}['{suite}']")) {
                        names.insert(suite, text);
                    }
                }
                names
            }
            None => {
                let text = format!("{place} wants aliases, and there is no aliases['{pool}']");
                self.note(value.line, text);
                BTreeMap::new()
            }
        });
        if skip_missing && !has_aliases {
            let text =
                format!("{place}['skipmissing'] means nothing without aliases, there as here");
            self.note(value.line, text);
        }
        let archive = Archive {
            name: name.to_owned(),
            pool,
            uri,
            redirect,
        };
        // The name is amprolla's own: the skips are for the archive that is called `debian`.
        let skipped = name == "debian" && has_aliases;
        let way = Repo {
            archive: name.to_owned(),
            aliases,
            skip_missing,
            skips: if skipped {
                skips.clone()
            } else {
                BTreeSet::new()
            },
        };
        Some((archive, way))
    }
}
