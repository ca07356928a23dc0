//! Commands: which package has which command, for command-not-found; of exactly the packages that were published.
//!
//! `COMPONENT/cnf/Commands-ARCH` is a deb822 file with field names in lower case. Its first stanza says what it is of:
//! `suite`, `component`, `arch`; it is made anew for the suite that is published. Each other one is of a package: `name`,
//! `version`, and `commands` with commas between them; `visible-pkgname`, `priority-bonus`, `ignore-commands` and whatever else it
//! has are passed on. The reader stops at a field that is missing and at text that is not UTF-8, and then knows no command at
//! all, so such a stanza is left out.

use std::collections::BTreeSet;

use crate::deb822::{Name, Stanza, Stanzas, SyntaxError, compare_versions, eq_name};
use crate::error::Result;
use crate::indices::IndexName;

use super::Text;
use super::derived::side_by_side;
use super::selection::Selected;
use super::suite::{Sink, SuiteMerge};

/// How many faulty stanzas of one index are told of.
const MAX_TOLD: usize = 5;

pub(super) fn merge(
    merge: &SuiteMerge<'_>,
    selected: &Selected,
    sink: &dyn Sink,
) -> Result<BTreeSet<String>> {
    let indices = merge.ranks_by_optional_index(&|name| match name {
        IndexName::Commands(_, architecture) => selected.group(architecture.as_str()).is_some(),
        _ => false,
    });
    side_by_side(indices, |(name, ranks)| {
        one_index(merge, selected, sink, &name, &ranks)
    })
}

/// A stanza of a package, and what it is found by.
struct Commands<'a> {
    name: Name<'a>,
    version: &'a [u8],
    raw: &'a [u8],
}

fn one_index(
    merge: &SuiteMerge<'_>,
    selected: &Selected,
    sink: &dyn Sink,
    name: &IndexName,
    ranks: &[usize],
) -> Result<BTreeSet<String>> {
    let components = merge.config.components_of(merge.suite);
    let Some(component) = name.component() else {
        return Ok(BTreeSet::new());
    };
    let Some(number) = components.iter().position(|c| c == component) else {
        return Ok(BTreeSet::new());
    };
    let architecture = name.architecture();
    let mut warnings = BTreeSet::new();
    let loaded = merge.read_of(ranks, name)?;
    let mut kept = Vec::new();
    for (rank, label, data) in &loaded {
        let (read, faults) = read(data);
        let more = faults.len().saturating_sub(MAX_TOLD);
        for fault in faults.into_iter().take(MAX_TOLD) {
            warnings.insert(format!("{label}, {fault}; the stanza is left out"));
        }
        if more > 0 {
            warnings.insert(format!("{label}: {more} further faulty stanzas"));
        }
        kept.extend(read.into_iter().filter(|stanza| {
            let (name, version) = (stanza.name, stanza.version);
            let places = &selected.places;
            let name = name.as_written();
            places.has_version(architecture, name, version, *rank, number as u16)
        }));
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
    sink.text(name, &text)?;
    Ok(warnings)
}

/// The stanzas of packages, and what is wrong with the others; the header, which has no `name`, is neither.
fn read(data: &[u8]) -> (Vec<Commands<'_>>, Vec<SyntaxError>) {
    let (mut packages, mut faults) = (Vec::new(), Vec::new());
    for (number, stanza) in Stanzas::new(data).enumerate() {
        match package(data, stanza, number == 0) {
            Ok(package) => packages.extend(package),
            Err(fault) => faults.push(fault),
        }
    }
    (packages, faults)
}

fn package<'a>(
    data: &[u8],
    stanza: Stanza<'a>,
    is_first: bool,
) -> Result<Option<Commands<'a>>, SyntaxError> {
    let (mut name, mut version, mut commands, mut suite) = (None, None, None, None);
    for field in stanza.fields() {
        let field = field.map_err(|(offset, why)| SyntaxError::at(data, offset, why))?;
        let at = stanza.offset + field.value_offset;
        if std::str::from_utf8(field.value).is_err() || field.value.contains(&0) {
            return Err(SyntaxError::at(data, at, "this is not UTF-8 text"));
        }
        for (known, slot) in [
            ("name", &mut name),
            ("version", &mut version),
            ("commands", &mut commands),
            ("suite", &mut suite),
        ] {
            if eq_name(field.name, known) && slot.replace(field.value).is_some() {
                let why = format!("the field `{known}` stands in one stanza twice");
                return Err(SyntaxError::at(data, at, why));
            }
        }
    }
    if is_first && name.is_none() && suite.is_some() {
        return Ok(None);
    }
    let missing = |field: &str| {
        let why = format!("the stanza has no field `{field}`");
        SyntaxError::at(data, stanza.offset, why)
    };
    let filled = |value: Option<&'a [u8]>, field| {
        let value = value.filter(|value| !value.is_empty());
        value.ok_or_else(|| missing(field))
    };
    filled(commands, "commands")?;
    Ok(Some(Commands {
        name: Name::new(filled(name, "name")?),
        version: filled(version, "version")?,
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
        let (packages, faults) = read(data);
        assert_eq!(packages.len(), 1);
        assert_eq!(packages[0].raw, b"name: a\nversion: 1\ncommands: a,b");
        let lines: Vec<_> = faults.iter().map(|fault| fault.line).collect();
        assert_eq!(lines, [9, 14, 16]);
    }
}
