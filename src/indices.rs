//! The names of indices below a suite's directory, and the upstream files from which a merged suite is made.

pub(crate) mod flat;

use std::collections::BTreeSet;
use std::fmt;

use crate::deb822::Release;
use crate::names::{Architecture, Component};
use crate::spec::{Content, Family, InputSpec};

/// An index below a suite, as aptmerge reads and writes it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum IndexName {
    /// `COMPONENT/binary-ARCH/Packages`
    Packages(Component, Architecture),
    /// `COMPONENT/debian-installer/binary-ARCH/Packages`
    Installer(Component, Architecture),
    /// `COMPONENT/source/Sources`
    Sources(Component),
    /// `COMPONENT/Contents-OF`, where OF is an architecture, `source`, or `udeb-` and an architecture
    Contents(Component, String),
    /// `COMPONENT/i18n/Translation-LANGUAGE`
    Translation(Component, String),
    /// `COMPONENT/dep11/Components-ARCH.yml`
    Dep11(Component, Architecture),
    /// `COMPONENT/dep11/icons-SIZE.tar`
    Icons(Component, String),
    /// `COMPONENT/cnf/Commands-ARCH`
    Commands(Component, Architecture),
    /// `Contents-OF` beside the components, for all of them: the old place
    SuiteContents(String),
}

impl IndexName {
    /// Returns the component of the index; `None` if the index lies beside the components.
    pub fn component(&self) -> Option<&Component> {
        match self {
            IndexName::Packages(c, _)
            | IndexName::Installer(c, _)
            | IndexName::Sources(c)
            | IndexName::Contents(c, _)
            | IndexName::Translation(c, _)
            | IndexName::Dep11(c, _)
            | IndexName::Icons(c, _)
            | IndexName::Commands(c, _) => Some(c),
            IndexName::SuiteContents(_) => None,
        }
    }

    /// Returns the index of the same kind in another component; an index beside the components is of all of them.
    #[must_use]
    pub(crate) fn within(&self, component: &Component) -> IndexName {
        let c = component.clone();
        match self.clone() {
            IndexName::Packages(_, a) => IndexName::Packages(c, a),
            IndexName::Installer(_, a) => IndexName::Installer(c, a),
            IndexName::Sources(_) => IndexName::Sources(c),
            IndexName::Contents(_, of) => IndexName::Contents(c, of),
            IndexName::Translation(_, language) => IndexName::Translation(c, language),
            IndexName::Dep11(_, a) => IndexName::Dep11(c, a),
            IndexName::Icons(_, size) => IndexName::Icons(c, size),
            IndexName::Commands(_, a) => IndexName::Commands(c, a),
            IndexName::SuiteContents(of) => IndexName::SuiteContents(of),
        }
    }

    /// Returns the family of the index.
    pub fn family(&self) -> Family {
        match self {
            IndexName::Packages(..) => Family::Packages,
            IndexName::Installer(..) => Family::Installer,
            IndexName::Sources(_) => Family::Sources,
            IndexName::Contents(..) | IndexName::SuiteContents(_) => Family::Contents,
            IndexName::Translation(..) => Family::Translations,
            IndexName::Dep11(..) | IndexName::Icons(..) => Family::Dep11,
            IndexName::Commands(..) => Family::Commands,
        }
    }

    /// Returns whether the stanzas of the index are packages or sources.
    pub(crate) fn is_of_packages(&self) -> bool {
        matches!(
            self.family(),
            Family::Packages | Family::Installer | Family::Sources
        )
    }

    /// Returns whether a suite can do without the index: many mirrors leave such files out, though the Release lists them.
    pub(crate) fn is_optional(&self) -> bool {
        matches!(
            self.family(),
            Family::Contents | Family::Translations | Family::Dep11 | Family::Commands
        )
    }

    /// Returns whether the index is written as a stream, in one compressed form, because it may be too large for memory.
    pub(crate) fn is_stream(&self) -> bool {
        matches!(
            self,
            IndexName::Contents(..) | IndexName::SuiteContents(_) | IndexName::Icons(..)
        )
    }

    /// Returns the architecture as the Release files of directories name it: `source` for sources. For Contents, Translation and icons,
    /// returns OF, LANGUAGE or SIZE.
    pub fn architecture(&self) -> &str {
        match self {
            IndexName::Packages(_, a)
            | IndexName::Installer(_, a)
            | IndexName::Dep11(_, a)
            | IndexName::Commands(_, a) => a.as_str(),
            IndexName::Sources(_) => "source",
            IndexName::Contents(_, of)
            | IndexName::SuiteContents(of)
            | IndexName::Translation(_, of)
            | IndexName::Icons(_, of) => of,
        }
    }

    /// Returns the index group: `amd64`, `installer-amd64`, `source`; the path of an index without a group.
    pub fn group(&self) -> String {
        match self {
            IndexName::Packages(_, a) => a.to_string(),
            IndexName::Installer(_, a) => format!("installer-{a}"),
            IndexName::Sources(_) => "source".into(),
            _ => self.to_string(),
        }
    }

    /// Returns the directory of the index, below the suite; empty for the suite's own.
    pub fn directory(&self) -> String {
        match self {
            IndexName::Packages(c, a) => format!("{c}/binary-{a}"),
            IndexName::Installer(c, a) => format!("{c}/debian-installer/binary-{a}"),
            IndexName::Sources(c) => format!("{c}/source"),
            IndexName::Contents(c, _) => c.to_string(),
            IndexName::Translation(c, _) => format!("{c}/i18n"),
            IndexName::Dep11(c, _) | IndexName::Icons(c, _) => format!("{c}/dep11"),
            IndexName::Commands(c, _) => format!("{c}/cnf"),
            IndexName::SuiteContents(_) => String::new(),
        }
    }

    /// Reads the path of the plain form of an index, below its suite.
    pub fn parse(path: &str) -> Option<IndexName> {
        Self::parse_packages(path).or_else(|| Self::parse_optional(path))
    }

    /// Reads the path of a plain Packages or Sources.
    pub(crate) fn parse_packages(path: &str) -> Option<IndexName> {
        let (component, rest) = path.split_once('/')?;
        let component = Component::new(component).ok()?;
        if rest == "source/Sources" {
            return Some(IndexName::Sources(component));
        }
        let rest = rest.strip_suffix("/Packages")?;
        let architecture = |of: &str| Architecture::new(of).ok();
        if let Some(of) = rest.strip_prefix("debian-installer/binary-") {
            return Some(IndexName::Installer(component, architecture(of)?));
        }
        let of = rest.strip_prefix("binary-")?;
        Some(IndexName::Packages(component, architecture(of)?))
    }

    /// Reads the path of a plain index of one of the families that a suite can do without.
    pub(crate) fn parse_optional(path: &str) -> Option<IndexName> {
        let plain = |text: &str| {
            let known = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'@');
            (!text.is_empty() && text.bytes().all(known)).then(|| text.to_owned())
        };
        let Some((component, rest)) = path.split_once('/') else {
            let of = path.strip_prefix("Contents-")?;
            return Some(IndexName::SuiteContents(plain(of)?));
        };
        let component = Component::new(component).ok()?;
        if let Some(of) = rest.strip_prefix("Contents-") {
            return Some(IndexName::Contents(component, plain(of)?));
        }
        if let Some(language) = rest.strip_prefix("i18n/Translation-") {
            return Some(IndexName::Translation(component, plain(language)?));
        }
        if let Some(of) = rest.strip_prefix("dep11/Components-") {
            let architecture = Architecture::new(of.strip_suffix(".yml")?).ok()?;
            return Some(IndexName::Dep11(component, architecture));
        }
        if let Some(of) = rest.strip_prefix("cnf/Commands-") {
            let architecture = Architecture::new(of).ok()?;
            return Some(IndexName::Commands(component, architecture));
        }
        let size = rest.strip_prefix("dep11/icons-")?.strip_suffix(".tar")?;
        Some(IndexName::Icons(component, plain(size)?))
    }
}

impl fmt::Display for IndexName {
    /// Writes the path of the plain form below the suite.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.directory().as_str() {
            "" => {}
            directory => write!(f, "{directory}/")?,
        }
        match self {
            IndexName::Packages(..) | IndexName::Installer(..) => f.write_str("Packages"),
            IndexName::Sources(_) => f.write_str("Sources"),
            IndexName::Contents(_, of) | IndexName::SuiteContents(of) => {
                write!(f, "Contents-{of}")
            }
            IndexName::Translation(_, language) => write!(f, "Translation-{language}"),
            IndexName::Dep11(_, architecture) => write!(f, "Components-{architecture}.yml"),
            IndexName::Icons(_, size) => write!(f, "icons-{size}.tar"),
            IndexName::Commands(_, architecture) => write!(f, "Commands-{architecture}"),
        }
    }
}

/// Returns the indices that a merged suite always publishes, whatever its inputs have.
pub fn published(content: &Content) -> BTreeSet<IndexName> {
    let mut names = BTreeSet::new();
    for component in &content.components {
        for architecture in &content.architectures {
            if content.families.contains(&Family::Packages) {
                names.insert(IndexName::Packages(component.clone(), architecture.clone()));
            }
            if content.families.contains(&Family::Installer) {
                names.insert(IndexName::Installer(
                    component.clone(),
                    architecture.clone(),
                ));
            }
        }
        if content.families.contains(&Family::Sources) {
            names.insert(IndexName::Sources(component.clone()));
        }
    }
    names
}

/// Returns the indices that a merged suite reads from one of its archives' suites, of those that the Release lists.
///
/// If the archive's binary-ARCH indices do not hold the `Architecture: all` packages, or if it has none for an architecture, its binary-all
/// is read as well.
pub(crate) fn wanted(
    content: &Content,
    input: &InputSpec,
    release: &Release,
) -> BTreeSet<IndexName> {
    if let Some(component) = &input.flat {
        let files = release.paths().map(plain_form);
        return flat::indices(content, input, component, files);
    }
    let listed = |name: &IndexName| {
        let plain = name.to_string();
        ["", ".xz", ".gz", ".bz2", ".zst"]
            .iter()
            .any(|ext| release.lists(&format!("{plain}{ext}")))
    };
    let mut names = BTreeSet::new();
    let published = published(content);
    for name in published.iter().flat_map(|ours| theirs(input, ours)) {
        if !input.families.contains(&name.family()) {
            continue;
        }
        let all_for = |a| all_architecture(a).filter(|_| input.takes_all_for(a.as_str()));
        let all = match &name {
            IndexName::Packages(c, a) => all_for(a).map(|all| IndexName::Packages(c.clone(), all)),
            IndexName::Installer(c, a) => {
                all_for(a).map(|all| IndexName::Installer(c.clone(), all))
            }
            _ => None,
        };
        let of_all =
            matches!(&name, IndexName::Packages(_, a) | IndexName::Installer(_, a) if a.is_all());
        let only_all = !content.architectures.iter().any(|a| !a.is_all());
        if of_all && !only_all {
            continue; // made from the other architectures
        }
        let has_it = takes(input, &name) && listed(&name);
        if let Some(all) = all
            && (!has_it || !release.arch_indices_hold_all())
            && listed(&all)
        {
            names.insert(all);
        }
        if has_it {
            names.insert(name);
        }
    }
    names.extend(optional(content, input, release));
    names
}

/// Returns the indices of the families that a suite can do without, of those that a Release lists.
///
/// Contents beside the components are read only if the archive has none of that kind within them: otherwise they only repeat these.
fn optional(content: &Content, input: &InputSpec, release: &Release) -> BTreeSet<IndexName> {
    let listed: BTreeSet<IndexName> = release
        .paths()
        .filter_map(|path| IndexName::parse_optional(plain_form(path)))
        .filter(|name| has_component(content, input, name) && takes(input, name))
        .filter(|name| input.families.contains(&name.family()))
        .collect();
    let within_components = |of: &str| {
        let is_within = |name: &IndexName| matches!(name, IndexName::Contents(_, o) if o == of);
        listed.iter().any(is_within)
    };
    let wanted = |name: &IndexName| match name {
        IndexName::Contents(_, of) => takes_contents(content, input, of),
        IndexName::SuiteContents(of) => {
            takes_contents(content, input, of) && !within_components(of)
        }
        IndexName::Translation(_, language) => content.takes_language(language),
        IndexName::Dep11(_, architecture) | IndexName::Commands(_, architecture) => {
            content.architectures.contains(architecture)
        }
        _ => true,
    };
    listed.iter().filter(|name| wanted(name)).cloned().collect()
}

/// Returns whether the packages whose files a Contents lists are merged: those of an architecture, `source`, or udebs.
fn takes_contents(content: &Content, input: &InputSpec, of: &str) -> bool {
    let is_configured = |name: &str| content.architectures.iter().any(|a| a.as_str() == name);
    if of == "source" {
        return input.families.contains(&Family::Sources);
    }
    match of.strip_prefix("udeb-") {
        Some(of) => is_configured(of) && input.families.contains(&Family::Installer),
        None => is_configured(of),
    }
}

/// Returns the path, below the directory of the Release, of the plain file that an index of an input is read from.
pub(crate) fn file(input: &InputSpec, theirs: &IndexName) -> String {
    match input.flat {
        Some(_) => flat::file(theirs),
        None => theirs.to_string(),
    }
}

/// Returns the indices of an input, by their names there, that go into one of a suite's.
pub(crate) fn theirs(input: &InputSpec, ours: &IndexName) -> Vec<IndexName> {
    match ours.component() {
        Some(component) => {
            let components = input.theirs(component).into_iter();
            components.map(|theirs| ours.within(theirs)).collect()
        }
        None => vec![ours.clone()],
    }
}

/// Returns the name under which an index of an input is published.
pub(crate) fn ours(input: &InputSpec, theirs: &IndexName) -> Option<IndexName> {
    match theirs.component() {
        Some(component) => Some(theirs.within(input.ours(component)?)),
        None => Some(theirs.clone()),
    }
}

/// Returns whether a suite has the component that an index of one of its inputs is published in.
pub(crate) fn has_component(content: &Content, input: &InputSpec, theirs: &IndexName) -> bool {
    ours(input, theirs).is_some_and(|ours| content.has_component(ours.component()))
}

/// Returns whether the architecture of an index is one that is taken from its input. What holds for all architectures always is.
pub(crate) fn takes(input: &InputSpec, theirs: &IndexName) -> bool {
    let of = match theirs {
        IndexName::Packages(_, a)
        | IndexName::Installer(_, a)
        | IndexName::Dep11(_, a)
        | IndexName::Commands(_, a) => a.as_str(),
        IndexName::Contents(_, of) | IndexName::SuiteContents(of) => {
            of.strip_prefix("udeb-").unwrap_or(of)
        }
        IndexName::Sources(_) | IndexName::Translation(..) | IndexName::Icons(..) => return true,
    };
    matches!(of, "all" | "source") || input.takes(of)
}

/// Returns the path of an index without the suffix of its compression.
pub(crate) fn plain_form(path: &str) -> &str {
    let packed = [".xz", ".gz", ".bz2", ".zst", ".lzma", ".lz4"];
    let cut = packed.iter().find_map(|ext| path.strip_suffix(ext));
    cut.unwrap_or(path)
}

/// Returns `all`, unless the architecture is `all` itself.
fn all_architecture(architecture: &Architecture) -> Option<Architecture> {
    if architecture.is_all() {
        return None;
    }
    Architecture::new("all").ok()
}
