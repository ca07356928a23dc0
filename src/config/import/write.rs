//! Our configuration as text, with comments where it says more than was given.

use std::collections::BTreeSet;
use std::fmt::Write;

use crate::config::Form;

/// What is to be written.
pub(super) struct Plan {
    pub(super) root: String,
    pub(super) components: Vec<String>,
    pub(super) architectures: Vec<String>,
    pub(super) sources: bool,
    /// Highest priority first.
    pub(super) archives: Vec<Archive>,
    pub(super) suites: Vec<Suite>,
    pub(super) bans: BTreeSet<String>,
    pub(super) homedir: Option<String>,
    pub(super) key: Option<String>,
    pub(super) compress: BTreeSet<Form>,
}

/// An archive.
pub(super) struct Archive {
    pub(super) name: String,
    pub(super) pool: String,
    pub(super) uri: String,
    pub(super) redirect: Option<String>,
}

impl Archive {
    /// Where the operator has to put the keyring.
    pub(super) fn keyring(&self) -> String {
        format!("keyrings/{}.gpg", self.name)
    }
}

/// A suite.
pub(super) struct Suite {
    pub(super) name: String,
    pub(super) from: Vec<(String, String)>,
    pub(super) release: Vec<(String, String)>,
    pub(super) links: Vec<String>,
}

/// A text as a TOML string.
fn quote(text: &str) -> String {
    let mut out = String::from("\"");
    for c in text.chars() {
        match c {
            '"' | '\\' => {
                out.push('\\');
                out.push(c);
            }
            c if c.is_control() => {
                let _ = write!(out, "\\u{:04X}", u32::from(c));
            }
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

fn key(name: &str) -> String {
    let bare = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'_';
    if !name.is_empty() && name.bytes().all(bare) {
        name.to_owned()
    } else {
        quote(name)
    }
}

fn list<'a>(items: impl IntoIterator<Item = &'a String>) -> String {
    let items: Vec<_> = items.into_iter().map(|i| quote(i)).collect();
    format!("[{}]", items.join(", "))
}

fn table(entries: &[(String, String)]) -> String {
    let entries: Vec<_> = entries
        .iter()
        .map(|(k, v)| format!("{} = {}", key(k), quote(v)))
        .collect();
    format!("{{ {} }}", entries.join(", "))
}

/// The text of the configuration.
pub(super) fn toml(plan: &Plan) -> String {
    let mut text = String::from(
        "# From a configuration of amprolla's. What is marked GUESS or PLACEHOLDER was not in it: look at it before use.\n",
    );
    let mut line = |l: String| {
        text.push_str(&l);
        text.push('\n');
    };
    let priority: Vec<_> = plan.archives.iter().map(|a| a.name.clone()).collect();
    line(format!("root = {}", quote(&plan.root)));
    line(format!("priority = {}", list(&priority)));
    line(format!("components = {}", list(&plan.components)));
    line(format!("architectures = {}", list(&plan.architectures)));
    line(format!(
        "indices = [\"packages\", {}\"installer\"]",
        if plan.sources { "\"sources\", " } else { "" }
    ));
    for archive in &plan.archives {
        line(format!("\n[archives.{}]", key(&archive.name)));
        line(format!("pool = {}", quote(&archive.pool)));
        line(format!("uris = [{}]", quote(&archive.uri)));
        line(format!(
            "signed-by = {} # PLACEHOLDER: the keyring of this archive",
            quote(&archive.keyring())
        ));
        if let Some(redirect) = &archive.redirect {
            line(format!("redirect = {}", quote(redirect)));
        }
    }
    for suite in &plan.suites {
        line(format!("\n[suites.{}]", key(&suite.name)));
        line(format!("from = {}", table(&suite.from)));
        if !suite.release.is_empty() {
            line(format!("release = {}", table(&suite.release)));
        }
        if !suite.links.is_empty() {
            line(format!("links = {} # GUESS", list(&suite.links)));
        }
    }
    if !plan.bans.is_empty() {
        line(format!("\n[bans]\npackages = {}", list(&plan.bans)));
    }
    line("\n[signing.gpg]".into());
    if let Some(homedir) = &plan.homedir {
        line(format!("homedir = {}", quote(homedir)));
    }
    match &plan.key {
        Some(key) => line(format!("keys = [{}]", quote(key))),
        None => line("keys = [\"FINGERPRINT\"] # PLACEHOLDER: the key that signs".into()),
    }
    let forms: Vec<_> = plan
        .compress
        .iter()
        .map(|f| f.suffix().trim_start_matches('.').to_owned())
        .collect();
    line(format!("\n[publish]\ncompress = {}", list(&forms)));
    line(
        "\n# Where orchestrate.sh pushed to; the tree's `dists/` and the reports go there:".into(),
    );
    line("# [[push]]".into());
    line("# name = \"master\"".into());
    line("# rsync = \"mirror@master.example:/srv/mirror/merged\"".into());
    text
}
