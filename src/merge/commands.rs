//! Commands: which package has which command, for command-not-found; of exactly the packages that were published.
//!
//! `COMPONENT/cnf/Commands-ARCH` is a deb822 file with field names in lower case. Its first stanza is a header with `suite`, `component`
//! and `arch`; the merge writes a new one for the published suite. Each other stanza is of a package: `name`, `version`, and `commands`
//! with commas between them. The merge passes on `visible-pkgname`, `priority-bonus`, `ignore-commands` and all other fields. The reader
//! stops at a missing field and at text that is not UTF-8, and then knows no command at all, so such a stanza is left out.

use std::collections::BTreeSet;

use crate::deb822::{Name, Stanza, Stanzas, compare_versions, eq_name, is_valid_name};
use crate::error::Result;
use crate::indices::IndexName;
use crate::quoted::steers;

use super::derived::side_by_side;
use super::faults::Faults;
use super::input::{Part, Sink, SuiteMerge};
use super::selection::Selected;
use super::{IndexText, Text};

pub(super) fn merge(
    merge: &SuiteMerge<'_>,
    selected: &Selected<'_>,
    sink: &dyn Sink,
) -> Result<BTreeSet<String>> {
    let indices = merge.optional_indices(&|name| match name {
        IndexName::Commands(_, architecture) => selected.has_group(architecture.as_str()),
        _ => false,
    });
    if !indices.is_empty() {
        selected.load()?;
    }
    side_by_side(indices, |(name, parts)| {
        one_index(merge, selected, sink, &name, &parts)
    })
}

/// A stanza of a package, and the fields by which the merge finds it.
struct Commands<'a> {
    name: Name<'a>,
    version: &'a [u8],
    /// The package that the reader proposes to install, if it is another one than `name`.
    visible_name: Option<&'a [u8]>,
    /// The offset of the stanza in its file.
    offset: usize,
    raw: &'a [u8],
}

fn one_index(
    merge: &SuiteMerge<'_>,
    selected: &Selected<'_>,
    sink: &dyn Sink,
    name: &IndexName,
    parts: &[Part],
) -> Result<BTreeSet<String>> {
    let components = &merge.spec.components;
    let Some(component) = name.component() else {
        return Ok(BTreeSet::new());
    };
    let Some(number) = components.iter().position(|c| c == component) else {
        return Ok(BTreeSet::new());
    };
    let architecture = name.architecture();
    let mut warnings = BTreeSet::new();
    let loaded = merge.read_all(parts)?;
    let mut kept = Vec::new();
    for (rank, label, data) in &loaded {
        let mut faults = Faults::new(label, data, "stanza");
        for stanza in read(data, &mut faults) {
            let (name, version) = (stanza.name.as_written(), stanza.version);
            let place = (architecture, number as u16);
            if !selected.has_version(place, name, version, *rank) {
                continue;
            }
            let is_of_others = |name| selected.is_of_others(architecture, name, *rank);
            if stanza.visible_name.is_some_and(is_of_others) {
                let why = "its `visible-pkgname` is a package of another archive";
                faults.left_out(stanza.offset, why);
                continue;
            }
            kept.push(stanza);
        }
        warnings.extend(faults.finish());
    }
    kept.sort_by(|a, b| {
        a.name
            .cmp(&b.name)
            .then_with(|| compare_versions(a.version, b.version))
            .then_with(|| a.raw.cmp(b.raw))
    });
    kept.dedup_by(|b, a| a.raw == b.raw);
    let header = format!(
        "suite: {}\ncomponent: {component}\narch: {architecture}\n\n",
        merge.name
    );
    let mut text = Text::default();
    text.push([header.as_bytes()]);
    for stanza in kept {
        text.push([stanza.raw, b"\n\n"]);
    }
    sink.text(name, &IndexText::whole(&text))?;
    Ok(warnings)
}

/// Returns the stanzas of packages. The header has no `name`, so it is not among them.
fn read<'a>(data: &'a [u8], faults: &mut Faults<'_>) -> Vec<Commands<'a>> {
    let mut packages = Vec::new();
    for (number, stanza) in Stanzas::new(data).enumerate() {
        match package(stanza, number == 0) {
            Ok(package) => packages.extend(package),
            Err((offset, why)) => faults.left_out(offset, &why),
        }
    }
    packages
}

/// Takes a stanza apart; an error has its offset in the file.
fn package(stanza: Stanza<'_>, is_first: bool) -> Result<Option<Commands<'_>>, (usize, String)> {
    let (mut name, mut version, mut commands) = (None, None, None);
    let (mut visible_name, mut suite) = (None, None);
    for field in stanza.fields() {
        let field = field?;
        let at = stanza.offset + field.value_offset;
        match std::str::from_utf8(field.value) {
            Err(_) => return Err((at, "this is not UTF-8 text".into())),
            // The reader writes this text to the terminal of a user who mistypes a command.
            Ok(text) if text.contains(|c| !matches!(c, '\n' | '\t') && steers(c)) => {
                return Err((at, "it has a control character".into()));
            }
            Ok(_) => {}
        }
        for (known, slot) in [
            ("name", &mut name),
            ("version", &mut version),
            ("commands", &mut commands),
            ("visible-pkgname", &mut visible_name),
            ("suite", &mut suite),
        ] {
            if eq_name(field.name, known) && slot.replace(field.value).is_some() {
                let why = format!("the field `{known}` stands in one stanza twice");
                return Err((at, why));
            }
        }
    }
    if is_first && name.is_none() && suite.is_some() {
        return Ok(None);
    }
    // A name with a blank, an architecture or a version would be another package's name in disguise.
    let is_no_name = |name: &[u8]| !is_valid_name(name);
    if visible_name.is_some_and(is_no_name) {
        return Err((
            stanza.offset,
            "its `visible-pkgname` is no package name".into(),
        ));
    }
    let missing = |field: &str| {
        let why = format!("the stanza has no field `{field}`");
        (stanza.offset, why)
    };
    let filled = |value: &&[u8]| !value.is_empty();
    commands.filter(filled).ok_or_else(|| missing("commands"))?;
    Ok(Some(Commands {
        name: Name::new(name.filter(filled).ok_or_else(|| missing("name"))?),
        version: version.filter(filled).ok_or_else(|| missing("version"))?,
        visible_name,
        offset: stanza.offset,
        raw: stanza.without_final_newline(),
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_header_is_no_package_and_faults_name_their_line() {
        let data =
            b"suite: x\ncomponent: main\narch: amd64\n\nname: a\nversion: 1\ncommands: a,b\n\n\
            name: b\ncommands: c\n\nname: c\nversion: 1\ncommands: \xff\n\nsuite: y\n";
        let mut faults = Faults::new("index", data, "stanza");
        let packages = read(data, &mut faults);
        assert_eq!(packages.len(), 1);
        assert_eq!(packages[0].raw, b"name: a\nversion: 1\ncommands: a,b");
        let told = faults.finish();
        let begins = ["index, line 9: ", "index, line 14: ", "index, line 16: "];
        assert_eq!(told.len(), begins.len());
        for (told, begin) in told.iter().zip(begins) {
            assert!(told.starts_with(begin), "{told}");
        }
    }
}
