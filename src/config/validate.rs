//! Checks that the values of a configuration do not contradict each other.

mod places;
mod rules;
mod taken;

use std::collections::BTreeSet;
use std::path::Path;

use super::{Archive, Config, Family, HashKind, Suite, SuiteName, Upstream};
use crate::uri::{Scheme, Uri};

/// A contradiction, and the key that it is about.
pub(super) struct Finding {
    pub(super) path: Vec<String>,
    pub(super) message: String,
    pub(super) hint: Option<String>,
}

/// Release fields that aptmerge writes by itself.
const OWN_FIELDS: [&str; 10] = [
    "Date",
    "Valid-Until",
    "Architectures",
    "Components",
    "Acquire-By-Hash",
    "No-Support-for-Architecture-all",
    "MD5Sum",
    "SHA1",
    "SHA256",
    "SHA512",
];

#[derive(Default)]
struct Findings(Vec<Finding>);

impl Findings {
    fn add(&mut self, path: &[&str], message: impl Into<String>, hint: &str) {
        self.0.push(Finding {
            path: path.iter().map(|p| (*p).to_owned()).collect(),
            message: message.into(),
            hint: (!hint.is_empty()).then(|| hint.to_owned()),
        });
    }
}

/// Returns everything that is wrong, in no particular order; relative paths count from `base`.
pub(super) fn problems(config: &Config, base: &Path) -> Vec<Finding> {
    let mut findings = Findings::default();
    general(config, &mut findings);
    for (name, archive) in &config.archives {
        self::archive(config, name.as_str(), archive, &mut findings);
    }
    for (name, suite) in &config.suites {
        self::suite(config, name, suite, &mut findings);
    }
    suite_paths(config, &mut findings);
    signing(config, &mut findings);
    push(config, &mut findings);
    rules::rules(config, &mut findings);
    places::places(config, base, &mut findings);
    findings.0
}

fn duplicates<'a, T: Ord + 'a>(items: impl IntoIterator<Item = &'a T>) -> Option<&'a T> {
    let mut seen = BTreeSet::new();
    items.into_iter().find(|item| !seen.insert(*item))
}

fn general(config: &Config, findings: &mut Findings) {
    if config.root.as_os_str().is_empty() {
        findings.add(
            &["root"],
            "it is empty",
            "give a directory, `/srv/aptmerge`",
        );
    }
    if config.priority.is_empty() {
        findings.add(
            &["priority"],
            "no archive is named",
            "list the archives, highest priority first",
        );
    }
    for name in &config.priority {
        if !config.archives.contains_key(name) {
            findings.add(
                &["priority"],
                format!("there is no archive `{name}`"),
                &format!("add [archives.{name}], or take the name out of `priority`"),
            );
        }
    }
    if let Some(twice) = duplicates(&config.priority) {
        findings.add(
            &["priority"],
            format!("`{twice}` stands there twice"),
            "take one of them out",
        );
    }
    if config.components.is_empty() {
        findings.add(
            &["components"],
            "no component is named",
            "such as [\"main\"]",
        );
    }
    if let Some(twice) = duplicates(&config.components) {
        findings.add(
            &["components"],
            format!("`{twice}` stands there twice"),
            "take one of them out",
        );
    }
    if config.architectures.is_empty() {
        findings.add(
            &["architectures"],
            "no architecture is named",
            "such as [\"all\", \"amd64\"]",
        );
    }
    if let Some(twice) = duplicates(&config.architectures) {
        findings.add(
            &["architectures"],
            format!("`{twice}` stands there twice"),
            "take one of them out",
        );
    }
    if !config.indices.contains(&Family::Packages) {
        findings.add(
            &["indices"],
            "`packages` is missing",
            "the other families speak of the packages that were published",
        );
    }
    if config.suites.is_empty() {
        findings.add(
            &["suites"],
            "no suite is to be published",
            "add [suites.NAME] with a `from` table",
        );
    }
    if config.publish.compress.is_empty() {
        findings.add(
            &["publish", "compress"],
            "no compressed form is named",
            "apt wants one at least: [\"xz\", \"gz\"]",
        );
    }
    if let Some((why, hint)) = config.publish.url.as_ref().and_then(redirect_fault) {
        findings.add(&["publish", "url"], why, hint);
    }
    if !config.publish.hashes.contains(&HashKind::Sha256) {
        findings.add(
            &["publish", "hashes"],
            "`sha256` is missing",
            "every client knows it; the others can stand beside it: [\"sha256\", \"sha512\"]",
        );
    }
    if config
        .publish
        .valid_for
        .is_some_and(|span| span.seconds() == 0)
    {
        findings.add(
            &["publish", "valid-for"],
            "every client would refuse what is published",
            "such as \"7 days\"; without it a Release has no Valid-Until",
        );
    }
    for name in &config.bans.exempt {
        if !config.archives.contains_key(name) {
            findings.add(
                &["bans", "exempt"],
                format!("there is no archive `{name}`"),
                &nearest_archive(config, name.as_str()),
            );
        }
    }
    if config.fetch.parallel == 0 || config.fetch.parallel > 64 {
        findings.add(
            &["fetch", "parallel"],
            "it must be from 1 to 64",
            "6 is a good number",
        );
    }
    if config.serve.listen.parse::<std::net::SocketAddr>().is_err() {
        findings.add(
            &["serve", "listen"],
            format!("`{}` is not an address with a port", config.serve.listen),
            "such as 127.0.0.1:8080 or [::]:80",
        );
    }
}

fn archive(config: &Config, name: &str, archive: &Archive, findings: &mut Findings) {
    if !config.priority.iter().any(|p| p.as_str() == name) {
        findings.add(
            &["archives", name],
            "the archive is not in `priority`",
            "add it where it belongs, highest priority first",
        );
    }
    if archive.is_own() {
        own(name, archive, findings);
    } else if archive.signed_by.is_empty() {
        findings.add(
            &["archives", name, "signed-by"],
            "no keyring is named",
            "an archive without a key is not fetched; name the file that holds the keys of its Release",
        );
    }
    if let Some((why, hint)) = archive.redirect.as_ref().and_then(redirect_fault) {
        findings.add(&["archives", name, "redirect"], why, hint);
    }
    if archive.client_key.is_some() && archive.client_certificate.is_none() {
        findings.add(
            &["archives", name, "client-key"],
            "there is no certificate for it",
            "set client-certificate as well",
        );
    }
    for suite in archive.suites.keys() {
        let mut taken = config.suites.values().flat_map(|merged| &merged.from);
        if !taken.any(|(from, upstream)| from.as_str() == name && upstream.suite() == Some(suite)) {
            findings.add(
                &["archives", name, "suites", suite.as_str()],
                format!("no suite takes `{suite}` from `{name}`"),
                "name suites of the archive as they are in `from` of [suites], or take the table out",
            );
        }
    }
    taken::taken(config, name, archive, findings);
    let same_pool = config
        .archives
        .iter()
        .find(|(other, a)| other.as_str() < name && a.pool == archive.pool);
    if let Some((other, _)) = same_pool {
        findings.add(
            &["archives", name, "pool"],
            format!("`{}` is the pool of `{other}` too", archive.pool),
            "each archive needs a pool name of its own, or redirects could not tell them apart",
        );
    }
}

/// Checks an archive without URIs: what only matters for fetching has no meaning there.
fn own(name: &str, archive: &Archive, findings: &mut Findings) {
    let keys = [
        ("signed-by", !archive.signed_by.is_empty()),
        ("redirect", archive.redirect.is_some()),
        ("proxy", archive.proxy.is_some()),
        ("ca-file", !archive.ca_file.is_empty()),
        ("client-certificate", archive.client_certificate.is_some()),
        ("max-age", archive.max_age.is_some()),
    ];
    for (key, _) in keys.iter().filter(|(_, is_set)| *is_set) {
        findings.add(
            &["archives", name, key],
            "the archive has no `uris`, so its packages are our own, and nothing is fetched",
            "give `uris`, or take the key out",
        );
    }
}

/// Returns the fault of a URI that every client is sent to, and a hint.
fn redirect_fault(redirect: &Uri) -> Option<(String, &'static str)> {
    if redirect.scheme() == Scheme::File {
        return Some((
            format!("`{redirect}` is no http or https URI"),
            "clients are sent there",
        ));
    }
    redirect.has_credentials().then(|| {
        (
            format!("`{redirect}` has a user or password, which every client would be told"),
            "take it out",
        )
    })
}

/// Returns the archive that was perhaps meant, as a hint.
fn nearest_archive(config: &Config, name: &str) -> String {
    let distance = |known: &str| strsim::damerau_levenshtein(known, name);
    let known = config.archives.keys().map(|known| known.as_str());
    match known.clone().min_by_key(|known| distance(known)) {
        Some(nearest) if distance(nearest) <= 2.max(nearest.len() / 3) => {
            format!("did you mean `{nearest}`?")
        }
        _ => format!("there are: {}", known.collect::<Vec<_>>().join(", ")),
    }
}

/// Refuses a field of a Release that may not be set to a value, with the fault and a hint.
pub(super) fn release_field(field: &str, value: &str) -> Result<(), (String, &'static str)> {
    let valid_name = !field.is_empty()
        && field
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b == b'-')
        && !field.starts_with('-');
    if !valid_name {
        return Err((
            format!("`{field}` is no field name"),
            "letters, digits and `-`",
        ));
    }
    if OWN_FIELDS.iter().any(|own| own.eq_ignore_ascii_case(field)) {
        return Err((
            format!("`{field}` is written by aptmerge itself"),
            "take it out",
        ));
    }
    if value.is_empty() || value.trim() != value || value.chars().any(char::is_control) {
        return Err((
            "the value must be one line of text".into(),
            "without blanks around it",
        ));
    }
    Ok(())
}

/// Refuses a Signed-By whose keys apt would ignore in a Release (Debian wiki, DebianRepository/Format).
fn signed_by(keys: &str, has_valid_until: bool) -> Result<(), (String, &'static str)> {
    let is_fingerprint = |key: &str| {
        let key = key.strip_suffix('!').unwrap_or(key);
        key.len() >= 40 && key.bytes().all(|b| b.is_ascii_hexdigit())
    };
    if let Some(key) = keys.split(',').find(|key| !is_fingerprint(key.trim())) {
        return Err((
            format!("`{}` is not the fingerprint of a key", key.trim()),
            "whole fingerprints without blanks, with commas between them",
        ));
    }
    if !has_valid_until {
        return Err((
            "apt does not heed Signed-By in a Release without Valid-Until".into(),
            "set publish.valid-for as well",
        ));
    }
    Ok(())
}

fn suite(config: &Config, name: &SuiteName, suite: &Suite, findings: &mut Findings) {
    let name = name.as_str();
    if suite.from.is_empty() {
        findings.add(
            &["suites", name, "from"],
            "no archive is named",
            "from = { debian = \"bookworm\" }",
        );
    }
    for (archive, origin) in &suite.from {
        let path = ["suites", name, "from", archive.as_str()];
        match (config.archives.get(archive), origin) {
            (None, _) => findings.add(
                &path,
                format!("there is no archive `{archive}`"),
                &nearest_archive(config, archive.as_str()),
            ),
            (Some(known), Upstream::Suite(suite)) if known.is_own() => findings.add(
                &path,
                format!("[archives.{archive}] has no `uris`, so it has no suite `{suite}`"),
                "give it `uris`, or name packages of our own: \"repository:NAME\"",
            ),
            (Some(known), Upstream::Stored(stored)) if !known.is_own() => findings.add(
                &path,
                format!("[archives.{archive}] has `uris`, so `{stored}` cannot stand for it"),
                "add an entry with `pool` and without `uris` to [archives]",
            ),
            _ => {}
        }
    }
    for (field, value) in &suite.release {
        let path = ["suites", name, "release", field];
        if let Err((message, hint)) = release_field(field, value) {
            findings.add(&path, message, hint);
        }
    }
    let signed_by = suite.release.iter();
    for (field, keys) in signed_by.filter(|(field, _)| field.eq_ignore_ascii_case("Signed-By")) {
        let path = ["suites", name, "release", field];
        if let Err((message, hint)) = self::signed_by(keys, config.publish.valid_for.is_some()) {
            findings.add(&path, message, hint);
        }
    }
    if let Some(components) = &suite.components {
        let path = ["suites", name, "components"];
        own_list(&path, components, "component", findings);
    }
    if let Some(architectures) = &suite.architectures {
        let path = ["suites", name, "architectures"];
        own_list(&path, architectures, "architecture", findings);
    }
}

/// Checks a list that a suite has instead of the general one.
fn own_list<T: Ord + std::fmt::Display>(
    path: &[&str],
    items: &[T],
    what: &str,
    findings: &mut Findings,
) {
    if items.is_empty() {
        findings.add(
            path,
            format!("no {what} is named"),
            "take the key out to have the general ones",
        );
    }
    if let Some(twice) = duplicates(items) {
        findings.add(
            path,
            format!("`{twice}` stands there twice"),
            "take one of them out",
        );
    }
}

/// Checks that no two suites or links have one path, and that none lies inside the directory of another's component.
fn suite_paths(config: &Config, findings: &mut Findings) {
    let mut seen = BTreeSet::new();
    for name in config.suites.keys() {
        seen.insert(name.as_str());
    }
    for (name, suite) in &config.suites {
        for link in &suite.links {
            if !seen.insert(link.as_str()) {
                findings.add(
                    &["suites", name.as_str(), "links"],
                    format!("`{link}` is the name of another suite or link"),
                    "every path below dists/ belongs to one suite",
                );
            }
        }
    }
    for (name, suite) in &config.suites {
        let below = |path: &str| {
            path.strip_prefix(name.as_str())?
                .strip_prefix('/')
                .map(str::to_owned)
        };
        for inner in seen.iter().filter_map(|path| below(path)) {
            let first = inner.split('/').next().unwrap_or_default();
            if config
                .components_of(suite)
                .iter()
                .any(|c| c.as_str() == first)
            {
                findings.add(
                    &["suites", name.as_str()],
                    format!(
                        "its component `{first}` would lie where the suite `{name}/{inner}` does"
                    ),
                    "give one of the suites another name",
                );
            }
        }
        for link in &suite.links {
            let prefix = format!("{link}/");
            if let Some(inside) = seen.iter().find(|path| path.starts_with(&prefix)) {
                findings.add(
                    &["suites", name.as_str(), "links"],
                    format!("`{inside}` would lie inside the link `{link}`"),
                    "a link leads to its suite, and nothing else can lie there",
                );
            }
        }
    }
}

fn signing(config: &Config, findings: &mut Findings) {
    match (&config.signing.gpg, config.signing.key_file.as_slice()) {
        (None, []) => findings.add(
            &["signing"],
            "no key is named",
            "gpg = { homedir = \"…\", keys = [\"FINGERPRINT\"] }, or key-file = \"signing.key\"",
        ),
        (Some(_), [_, ..]) => findings.add(
            &["signing"],
            "both `gpg` and `key-file` are given",
            "keep one of them; either can name several keys",
        ),
        (Some(gpg), []) => {
            if gpg.keys.is_empty() {
                findings.add(
                    &["signing", "gpg", "keys"],
                    "no key is named",
                    "gpg --list-secret-keys shows them",
                );
            }
            if gpg.keys.iter().any(|k| k.is_empty() || k.starts_with('-')) {
                findings.add(
                    &["signing", "gpg", "keys"],
                    "that is no key",
                    "give fingerprints",
                );
            }
        }
        (None, _) => {}
    }
}

fn push(config: &Config, findings: &mut Findings) {
    let mut names = BTreeSet::new();
    for target in &config.push {
        if !names.insert(&target.name) {
            findings.add(
                &["push"],
                format!("two targets are called `{}`", target.name),
                "each has a record of its own, state/push-NAME.json",
            );
        }
        if target.rsync.is_empty() || target.rsync.starts_with('-') {
            findings.add(
                &["push"],
                format!("`{}` is no target for rsync", target.rsync),
                "a path, host:path, host::module/path or rsync://host/module/path",
            );
        }
        for (key, span) in [
            ("timeout", target.timeout),
            ("io-timeout", target.io_timeout),
        ] {
            if span.seconds() == 0 {
                findings.add(
                    &["push"],
                    format!("{key} of `{}` is zero", target.name),
                    "give the time that a slow target may take, `6 hours` or `10 minutes`",
                );
            }
        }
    }
}
