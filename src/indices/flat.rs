//! The indices of a flat archive: one Packages of all architectures and one Sources lie beside its Release, and there are no components.
//!
//! The operator names the component that its packages are published in. Then each index of a suite has one file that it is read from:
//! `Packages` for every architecture, `Sources`, `Contents-ARCH`, and, where apt looks for translations, a file that is called `de`.

use std::collections::BTreeSet;

use crate::names::{Architecture, Component};
use crate::spec::{Content, InputSpec};

use super::{IndexName, takes, takes_contents};

/// Returns the path, beside the Release, of the plain file that an index is read from.
pub(crate) fn file(name: &IndexName) -> String {
    match name {
        IndexName::Packages(..) | IndexName::Installer(..) => "Packages".to_owned(),
        IndexName::Sources(_) => "Sources".to_owned(),
        IndexName::Translation(_, language) => language.clone(),
        other => other.to_string(),
    }
}

/// Returns the indices of a suite that these files, by their paths beside the Release, are read for.
pub(crate) fn indices<'f>(
    content: &Content,
    input: &InputSpec,
    component: &Component,
    files: impl IntoIterator<Item = &'f str>,
) -> BTreeSet<IndexName> {
    if !content.components.contains(component) {
        return BTreeSet::new();
    }
    let names = files.into_iter().flat_map(|file| match file {
        "Packages" => packages(content, input, component),
        "Sources" => vec![IndexName::Sources(component.clone())],
        _ => optional(content, input, component, file)
            .into_iter()
            .collect(),
    });
    names
        .filter(|name| input.families.contains(&name.family()))
        .collect()
}

/// Returns an index for each architecture that is taken, and one for those that only take packages for all architectures.
fn packages(content: &Content, input: &InputSpec, component: &Component) -> Vec<IndexName> {
    let of = |architecture| IndexName::Packages(component.clone(), architecture);
    let (own, others): (Vec<_>, Vec<_>) = content
        .name_spaces()
        .into_iter()
        .map(|architecture| of(architecture.clone()))
        .partition(|name| takes(input, name));
    let all = Architecture::new("all").ok();
    let all = all.filter(|all| !others.is_empty() && input.takes(all.as_str()));
    own.into_iter().chain(all.map(of)).collect()
}

fn optional(
    content: &Content,
    input: &InputSpec,
    component: &Component,
    file: &str,
) -> Option<IndexName> {
    if is_language(file) {
        let name = IndexName::Translation(component.clone(), file.to_owned());
        return content.takes_language(file).then_some(name);
    }
    let name = IndexName::parse_optional(file)?;
    let IndexName::SuiteContents(of) = &name else {
        return None; // a file in a directory that belongs to no flat archive
    };
    (takes(input, &name) && takes_contents(content, input, of)).then_some(name)
}

/// Returns whether a file has the name of a language, as in `de` or `pt_BR`.
fn is_language(file: &str) -> bool {
    let (language, region) = match file.split_once('_') {
        Some((language, region)) => (language, Some(region)),
        None => (file, None),
    };
    let is_region =
        |region: &str| region.len() == 2 && region.bytes().all(|b| b.is_ascii_uppercase());
    (2..=3).contains(&language.len())
        && language.bytes().all(|b| b.is_ascii_lowercase())
        && region.is_none_or(is_region)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn languages_are_told_from_other_files() {
        for (file, is) in [
            ("en", true),
            ("ast", true),
            ("pt_BR", true),
            ("zh_CN", true),
            ("Packages", false),
            ("InRelease", false),
            ("EN", false),
            ("e", false),
            ("keys", false),
            ("pt_br", false),
            ("pt_", false),
        ] {
            assert_eq!(is_language(file), is, "{file}");
        }
    }
}
