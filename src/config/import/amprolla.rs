//! What amprolla's settings mean, and what they are here. A setting that has no counterpart gets a note that says why.

use std::collections::{BTreeMap, BTreeSet};

use super::python::Module;
use super::value::{Kind, Value};
use super::write::Plan;
use super::{Note, snippet};
use crate::config::{Architecture, Component, Form, PackageName};

/// Settings that are carried over, or looked at.
const SETTINGS: [&str; 21] = [
    "aliases",
    "arches",
    "banpkgs",
    "categories",
    "checksums",
    "distrolabel",
    "gpgdir",
    "lockpath",
    "logdir",
    "mergedir",
    "mergesubdir",
    "pkgfiles",
    "release_aliases",
    "repo_order",
    "repos",
    "signingkey",
    "signrelease",
    "skips",
    "spooldir",
    "srcfiles",
    "suites",
];

/// Settings without a counterpart, and why that is.
const WITHOUT: [(&str, &str); 6] = [
    ("cpunm", "all processors are used"),
    (
        "mainrepofiles",
        "InRelease is fetched, else Release and Release.gpg, and always verified",
    ),
    (
        "release_keys",
        "the fields of the first archive's Release are kept, but for those that describe its files",
    ),
    (
        "packages_keys",
        "every field is passed on byte for byte, whatever its name",
    ),
    (
        "sources_keys",
        "every field is passed on byte for byte, whatever its name",
    ),
    (
        "checksums",
        "SHA256 is published, and what is fetched is checked against SHA256 or SHA512",
    ),
];

/// Whether amprolla gives a name a meaning.
pub(super) fn is_setting(name: &str) -> bool {
    SETTINGS.contains(&name) || WITHOUT.iter().any(|(n, _)| *n == name)
}

/// What a file comes to, and what there is to say about it.
pub(super) fn plan(module: Module, root: Option<&str>) -> (Plan, Vec<Note>) {
    let mut importer = Importer {
        names: module.names,
        notes: Vec::new(),
    };
    for (name, note) in module.notes {
        // Nobody misses a part of what has no counterpart.
        if !name.is_some_and(|n| WITHOUT.iter().any(|(without, _)| *without == n)) {
            importer.notes.push(note);
        }
    }
    importer.leftovers(&module.used);
    let (archives, repos) = importer.archives();
    let suites = importer.suites(&repos);
    let (architectures, sources) = importer.architectures();
    let plan = Plan {
        root: importer.root(root),
        components: importer.components(),
        architectures,
        sources,
        archives,
        suites,
        bans: importer.bans(),
        homedir: importer.text("gpgdir"),
        key: importer.key(),
        compress: importer.compress(),
    };
    importer.placeholders(&plan);
    (plan, importer.notes)
}

pub(super) struct Importer {
    pub(super) names: BTreeMap<String, Value>,
    pub(super) notes: Vec<Note>,
}

impl Importer {
    pub(super) fn note(&mut self, line: usize, text: impl Into<String>) {
        let text = text.into();
        self.notes.push(Note { line, text });
    }

    fn wrong(&mut self, value: &Value, place: &str, wanted: &str) {
        self.note(
            value.line,
            format!("{place} is not {wanted}, and was left out"),
        );
    }

    pub(super) fn text(&mut self, name: &str) -> Option<String> {
        let value = self.names.get(name)?.clone();
        self.text_of(&value, name)
    }

    pub(super) fn text_of(&mut self, value: &Value, place: &str) -> Option<String> {
        let text = value.text().filter(|t| !t.chars().any(char::is_control));
        if text.is_none() {
            self.wrong(value, place, "one line of text");
        }
        text.map(str::to_owned)
    }

    fn items(&mut self, name: &str) -> Vec<Value> {
        let Some(value) = self.names.get(name).cloned() else {
            return Vec::new();
        };
        match value.items() {
            Some(items) => items.to_vec(),
            None => {
                self.wrong(&value, name, "a list");
                Vec::new()
            }
        }
    }

    /// The texts of a list, each once.
    pub(super) fn texts(&mut self, value: &Value, place: &str) -> Vec<(usize, String)> {
        let Some(items) = value.items() else {
            self.wrong(value, place, "a list");
            return Vec::new();
        };
        let mut texts: Vec<(usize, String)> = Vec::new();
        let mut seen = BTreeSet::new();
        for (n, item) in items.iter().enumerate() {
            if let Some(text) = self.text_of(item, &format!("{place}[{n}]"))
                && seen.insert(text.clone())
            {
                texts.push((item.line, text));
            }
        }
        texts
    }

    /// The entries of a dictionary whose keys are text.
    pub(super) fn entries(&mut self, value: &Value, place: &str) -> Vec<(String, Value)> {
        let Some(entries) = value.entries() else {
            self.wrong(value, place, "a dictionary");
            return Vec::new();
        };
        let mut out = Vec::new();
        for (key, value) in entries {
            if let Some(text) = self.text_of(key, &format!("a key of {place}")) {
                out.push((text, value.clone()));
            }
        }
        out
    }

    pub(super) fn named_entries(&mut self, name: &str) -> Vec<(String, Value)> {
        match self.names.get(name).cloned() {
            Some(value) => self.entries(&value, name),
            None => Vec::new(),
        }
    }

    pub(super) fn flag(&mut self, entries: &[(String, Value)], key: &str, place: &str) -> bool {
        match entries.iter().find(|(k, _)| k == key) {
            None => false,
            Some((_, value)) => match value.kind {
                Kind::Bool(flag) => flag,
                _ => {
                    self.wrong(value, &format!("{place}['{key}']"), "True or False");
                    false
                }
            },
        }
    }

    /// Notes the settings that have no counterpart, and names that nothing knows.
    fn leftovers(&mut self, used: &BTreeSet<String>) {
        for (name, value) in self.names.clone() {
            let line = value.line;
            if let Some((_, why)) = WITHOUT.iter().find(|(n, _)| *n == name) {
                self.note(line, format!("{name} has no counterpart: {why}"));
            } else if !is_setting(&name) && !used.contains(&name) {
                let text = format!("{name} is no setting of amprolla's, and was left out");
                self.note(line, text);
            }
        }
        let line = |name: &str| self.names.get(name).map(|v| v.line);
        let lockpath = line("lockpath");
        let unsigned = self
            .names
            .get("signrelease")
            .filter(|v| v.kind != Kind::Bool(true))
            .map(|v| v.line);
        if let Some(line) = lockpath {
            self.note(
                line,
                "lockpath was left out: there the existence of the file is the lock, here it is a flock on a file that stays; one file for both would keep amprolla from running for ever",
            );
        }
        if let Some(line) = unsigned {
            self.note(
                line,
                "signrelease was left out: what is published is always signed",
            );
        }
    }

    /// The directory that link and trees lie in.
    fn root(&mut self, root: Option<&str>) -> String {
        let mergedir = self.names.get("mergedir").map_or(0, |v| v.line);
        let text = self.text("mergedir");
        let (above, name) = match &text {
            Some(path) => {
                let path = path.trim_end_matches('/');
                match path.rsplit_once('/') {
                    Some(("", name)) => ("/".to_owned(), name),
                    Some((above, name)) => (above.trim_end_matches('/').to_owned(), name),
                    None => (".".to_owned(), path),
                }
            }
            None => ("/srv/aptmerge".to_owned(), "merged-volatile"),
        };
        let above = match root {
            Some(root) => root.to_owned(),
            None if text.is_none() => {
                self.note(
                    0,
                    "mergedir is not given: root is a placeholder, /srv/aptmerge",
                );
                above
            }
            None => {
                self.note(
                    mergedir,
                    format!("root is the directory above mergedir, {above}: while amprolla still runs, give aptmerge another (--root DIR), for both would write the same trees"),
                );
                above
            }
        };
        if !matches!(name, "merged-volatile" | "merged-production" | "merged") {
            self.note(
                mergedir,
                format!(
                    "mergedir ends in `{}`; here the trees are called merged-volatile and merged-production",
                    snippet(name)
                ),
            );
        }
        for (setting, here) in [("spooldir", "spool"), ("logdir", "log")] {
            let line = self.names.get(setting).map_or(0, |v| v.line);
            if let Some(path) = self.text(setting)
                && path.trim_end_matches('/') != format!("{above}/{here}")
            {
                self.note(
                    line,
                    format!("{setting} was left out: here it is always {above}/{here}"),
                );
            }
        }
        let line = self.names.get("mergesubdir").map_or(0, |v| v.line);
        if let Some(sub) = self.text("mergesubdir")
            && sub.trim_matches('/') != "dists"
        {
            self.note(
                line,
                "mergesubdir was left out: here it is always `dists`, as apt wants it",
            );
        }
        for setting in ["mergedir", "gpgdir"] {
            if let Some(value) = self.names.get(setting)
                && value.text().is_some_and(|path| !path.starts_with('/'))
                && (setting == "gpgdir" || root.is_none())
            {
                let text = format!(
                    "{setting} is a relative path: there it is relative to amprolla's directory, here to the configuration file"
                );
                self.note(value.line, text);
            }
        }
        above
    }

    fn components(&mut self) -> Vec<String> {
        let mut components = Vec::new();
        for item in self.items("categories") {
            let Some(text) = self.text_of(&item, "an item of categories") else {
                continue;
            };
            match Component::new(text) {
                Ok(name) if components.contains(&name.to_string()) => {}
                Ok(name) => components.push(name.to_string()),
                Err(error) => self.note(item.line, format!("categories: {error}; left out")),
            }
        }
        if components.is_empty() {
            self.note(
                0,
                "categories names nothing usable: components is a placeholder, main",
            );
            components.push("main".into());
        }
        components
    }

    /// The architectures, and whether sources are merged.
    fn architectures(&mut self) -> (Vec<String>, bool) {
        let mut architectures = Vec::new();
        let mut sources = false;
        for item in self.items("arches") {
            let Some(text) = self.text_of(&item, "an item of arches") else {
                continue;
            };
            if text == "source" {
                sources = true;
                continue;
            }
            let name = text.strip_prefix("binary-").map(Architecture::new);
            match name {
                Some(Ok(name)) if architectures.contains(&name.to_string()) => {}
                Some(Ok(name)) => architectures.push(name.to_string()),
                Some(Err(error)) => self.note(item.line, format!("arches: {error}; left out")),
                None => self.note(
                    item.line,
                    format!(
                        "arches: `{}` is neither source nor binary-NAME, and was left out",
                        snippet(&text)
                    ),
                ),
            }
        }
        if architectures.is_empty() {
            self.note(
                0,
                "arches names nothing usable: architectures is a placeholder, all and amd64",
            );
            architectures = vec!["all".into(), "amd64".into()];
        }
        (architectures, sources)
    }

    fn bans(&mut self) -> BTreeSet<String> {
        let mut bans = BTreeSet::new();
        for item in self.items("banpkgs") {
            let Some(text) = self.text_of(&item, "an item of banpkgs") else {
                continue;
            };
            match PackageName::new(text) {
                Ok(name) => {
                    bans.insert(name.to_string());
                }
                Err(error) => self.note(item.line, format!("banpkgs: {error}; left out")),
            }
        }
        bans
    }

    fn key(&mut self) -> Option<String> {
        let key = self.text("signingkey")?;
        if key.is_empty() || key.starts_with('-') {
            let line = self.names.get("signingkey").map_or(0, |v| v.line);
            self.note(line, "signingkey names no key, and was left out");
            return None;
        }
        Some(key)
    }

    /// The compressed forms, from the ends of the file names.
    fn compress(&mut self) -> BTreeSet<Form> {
        let mut forms = BTreeSet::new();
        for name in ["pkgfiles", "srcfiles"] {
            for item in self.items(name) {
                let Some(text) = self.text_of(&item, &format!("an item of {name}")) else {
                    continue;
                };
                match text.rsplit_once('.').map(|(_, end)| end) {
                    Some("xz") => _ = forms.insert(Form::Xz),
                    Some("gz") => _ = forms.insert(Form::Gz),
                    Some(_) => self.note(
                        item.line,
                        format!(
                            "{name}: `{}` was left out: indices are published as .xz and .gz",
                            snippet(&text)
                        ),
                    ),
                    None => {}
                }
            }
        }
        if forms.is_empty() {
            forms = [Form::Xz, Form::Gz].into();
        }
        forms
    }

    /// Names what stands there only until somebody puts the right thing in its place.
    fn placeholders(&mut self, plan: &Plan) {
        if plan.archives.is_empty() {
            self.note(
                0,
                "repos and repo_order give no archive: nothing can be merged",
            );
        }
        if plan.suites.is_empty() {
            self.note(0, "suites gives no suite: nothing can be published");
        }
        for archive in &plan.archives {
            self.note(
                0,
                format!(
                    "archives.{}.signed-by is a placeholder: put the keyring of the archive's Release at {}, beside the configuration, or name another file; amprolla verifies nothing, so its configuration names no key",
                    archive.name,
                    archive.keyring()
                ),
            );
        }
        if plan.key.is_none() {
            self.note(
                0,
                "signing.gpg.keys is a placeholder: put the fingerprint of your signing key in place of FINGERPRINT",
            );
        }
        self.note(
            0,
            "the targets of the push are not in config.py but in orchestrate.sh: add [[push]], as the comment at the end of the file shows",
        );
    }
}
