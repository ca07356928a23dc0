//! The control data of a package: one stanza, whose identity is checked.

use std::collections::HashSet;

use crate::deb822::{Field, LineNumbers, Stanza, Stanzas, eq_name, fault};
use crate::names::{Architecture, PackageName};
use crate::quoted::quoted;

use super::error::Fault;
use super::{Identity, Kind};

/// The fields that an index writes by itself, of binary packages and of sources.
const OF_INDEX: [&str; 11] = [
    "Filename",
    "Size",
    "MD5sum",
    "SHA1",
    "SHA256",
    "SHA512",
    "Directory",
    "Files",
    "Checksums-Sha1",
    "Checksums-Sha256",
    "Checksums-Sha512",
];

/// The longest version: Debian's longest have some eighty characters, and it has to fit into the name of a file.
const MAX_VERSION_BYTES: usize = 128;

/// The longest stanza: the longest that a merge takes, less what an index adds.
const MAX_STANZA_BYTES: usize = 900_000;

/// The one stanza of a control file, taken apart.
pub(super) struct Control<'a> {
    stanza: Stanza<'a>,
    /// The fields, each with its offset in the stanza.
    fields: Vec<(usize, Field<'a>)>,
}

impl<'a> Control<'a> {
    /// Takes a control file apart: exactly one stanza, no field twice.
    pub(super) fn parse(text: &'a [u8]) -> Result<Self, Fault> {
        if text.len() > MAX_STANZA_BYTES {
            return Err(Fault::new(format!(
                "it has more than {MAX_STANZA_BYTES} bytes"
            )));
        }
        if text.contains(&0) {
            return Err(Fault::new("it contains a NUL byte"));
        }
        let mut stanzas = Stanzas::new(text);
        let (Some(stanza), None) = (stanzas.next(), stanzas.next()) else {
            return Err(Fault::new("it does not have one stanza"));
        };
        let mut names = HashSet::new();
        let mut fields = Vec::new();
        let mut remaining = stanza.fields();
        loop {
            let begin = remaining.position();
            let Some(field) = remaining.next() else {
                return Ok(Self { stanza, fields });
            };
            let field = field.map_err(|(offset, why)| {
                let line = LineNumbers::new(text).at(offset);
                Fault::new(format!("line {line}: {why}"))
            })?;
            if !names.insert(field.name.to_ascii_lowercase()) {
                let name = quoted(&String::from_utf8_lossy(field.name));
                return Err(Fault::new(format!("the field `{name}` stands twice")));
            }
            fields.push((begin, field));
        }
    }

    /// Returns the value of a field as text; an error if the field is not valid UTF-8 or has several lines.
    fn line(&self, name: &str) -> Result<Option<&'a str>, Fault> {
        let Some(value) = self.value(name) else {
            return Ok(None);
        };
        let text = std::str::from_utf8(value)
            .ok()
            .filter(|t| !t.contains('\n'));
        let text = text.ok_or_else(|| Fault::new(format!("`{name}` is not one line of text")))?;
        Ok(Some(text))
    }

    /// Returns the value of a field as it stands.
    pub(super) fn value(&self, name: &str) -> Option<&'a [u8]> {
        let mut fields = self.fields.iter().map(|(_, field)| field);
        let field = fields.find(|field| eq_name(field.name, name));
        field.map(|field| field.value)
    }

    fn required(&self, name: &str) -> Result<&'a str, Fault> {
        let value = self.line(name)?.filter(|value| !value.is_empty());
        value.ok_or_else(|| Fault::new(format!("the field `{name}` is missing")))
    }

    /// Returns the identity of the binary package that the control file belongs to.
    pub(super) fn binary(&self, kind: Kind) -> Result<Identity, Fault> {
        let name = name(self.required("Package")?)?;
        let version = version(self.required("Version")?)?;
        let architecture = Architecture::new(self.required("Architecture")?);
        let architecture = architecture.map_err(|e| Fault::new(e.to_string()))?;
        for (_, field) in &self.fields {
            if let Some(why) = fault(field) {
                let name = quoted(&String::from_utf8_lossy(field.name));
                return Err(Fault::new(format!("apt cannot read `{name}`: {why}")));
            }
        }
        let (source, source_version) = match self.line("Source")? {
            None => (name.clone(), version.clone()),
            Some(written) => source_of(written, &version)?,
        };
        Ok(Identity {
            kind,
            name,
            version,
            architecture: architecture.to_string(),
            source,
            source_version,
        })
    }

    /// Returns the identity of the source that a `.dsc` describes.
    pub(super) fn source(&self) -> Result<Identity, Fault> {
        if self.value("Package").is_some() {
            return Err(Fault::new(
                "the field `Package` stands in it, which is one of an index",
            ));
        }
        let name = name(self.required("Source")?)?;
        let version = version(self.required("Version")?)?;
        Ok(Identity {
            kind: Kind::Source,
            source: name.clone(),
            source_version: version.clone(),
            name,
            version,
            architecture: "source".to_owned(),
        })
    }

    /// Returns the source that a `.changes` is about, and its version.
    pub(super) fn source_and_version(&self) -> Result<(PackageName, String), Fault> {
        let version = version(self.required("Version")?)?;
        source_of(self.required("Source")?, &version)
    }

    /// Returns the words of a field; none if there is no such field.
    pub(super) fn words(&self, name: &str) -> Result<Vec<String>, Fault> {
        let text = std::str::from_utf8(self.value(name).unwrap_or_default());
        let text = text.map_err(|_| Fault::new(format!("`{name}` is not UTF-8")))?;
        Ok(text.split_ascii_whitespace().map(str::to_owned).collect())
    }

    /// Returns the stanza without the fields that an index writes, with a newline at the end. A field that is called `renamed.0` is called
    /// `renamed.1` in it.
    pub(super) fn stanza(&self, renamed: Option<(&str, &str)>) -> Vec<u8> {
        let raw = self.stanza.without_final_newline();
        let mut stanza = Vec::with_capacity(raw.len() + 1);
        let ends = self.fields.iter().skip(1).map(|(begin, _)| *begin);
        for ((begin, field), end) in self.fields.iter().zip(ends.chain([raw.len()])) {
            if OF_INDEX.iter().any(|name| eq_name(field.name, name)) {
                continue;
            }
            let name = match renamed {
                Some((from, to)) if eq_name(field.name, from) => to.as_bytes(),
                _ => field.name,
            };
            let value = raw.get(begin + field.name.len()..end);
            stanza.extend_from_slice(name);
            stanza.extend_from_slice(value.unwrap_or_default());
            if stanza.last() != Some(&b'\n') {
                stanza.push(b'\n');
            }
        }
        stanza
    }
}

fn name(written: &str) -> Result<PackageName, Fault> {
    PackageName::new(written).map_err(|error| Fault::new(error.to_string()))
}

/// Reads a version. It becomes a part of paths, so it has no characters but those of Policy 5.6.12.
fn version(written: &str) -> Result<String, Fault> {
    let is_of_versions = |b: u8| b.is_ascii_alphanumeric() || b".+-~:".contains(&b);
    let is_short = (1..=MAX_VERSION_BYTES).contains(&written.len());
    match is_short && written.bytes().all(is_of_versions) {
        true => Ok(written.to_owned()),
        false => Err(Fault::new(format!(
            "`{}` is not a version",
            quoted(written)
        ))),
    }
}

/// Reads the field `Source` of a binary package: a name, and in parentheses the version if it differs.
fn source_of(written: &str, version_of_binary: &str) -> Result<(PackageName, String), Fault> {
    let Some((before, after)) = written.split_once('(') else {
        return Ok((name(written.trim())?, version_of_binary.to_owned()));
    };
    let inner = after.trim_end().strip_suffix(')');
    let inner = inner.ok_or_else(|| Fault::new("`Source` has a parenthesis that is not closed"))?;
    Ok((name(before.trim())?, version(inner.trim())?))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn only_the_fields_of_an_index_are_taken_out() {
        let text = b"Package: a\nsize: 7\nVersion: 1-1\nArchitecture: all\nFILENAME: x\n y\nDescription: a\n  b\n .\nX-New:  odd ";
        let control = Control::parse(text).unwrap();
        assert_eq!(
            control.stanza(None),
            b"Package: a\nVersion: 1-1\nArchitecture: all\nDescription: a\n  b\n .\nX-New:  odd \n"
        );
        let identity = control.binary(Kind::Binary).unwrap();
        assert_eq!(identity.source_version, "1-1");
    }

    #[test]
    fn a_source_is_named_with_its_version() {
        let (source, version) = source_of("lib (2:1.0-1)", "3").unwrap();
        assert_eq!((source.as_str(), version.as_str()), ("lib", "2:1.0-1"));
        assert!(source_of("lib (", "3").is_err());
        assert!(source_of("../lib", "3").is_err());
    }

    #[test]
    fn thousands_of_fields_are_read_in_one_pass() {
        let mut text = "Package: a\nVersion: 1\nArchitecture: all\n".to_owned();
        (0..60_000).for_each(|n| text.push_str(&format!("F{n}: 1\n")));
        let control = Control::parse(text.as_bytes()).unwrap();
        assert_eq!(control.stanza(None), text.as_bytes());
        text.push_str("f59999: 2\n");
        assert!(Control::parse(text.as_bytes()).is_err());
    }

    #[test]
    fn what_cannot_be_published_is_refused() {
        for bad in [
            &b""[..],
            b"Package: a\n",
            b"Package: a\nVersion: 1\nArchitecture: source\n",
            b"Package: a\nVersion: 1\nArchitecture: ../all\n",
            b"Package: ../a\nVersion: 1\nArchitecture: all\n",
            b"Package: a\nVersion: 1 2\nArchitecture: all\n",
            b"Package: a\nVersion: 1/../../2\nArchitecture: all\n",
            b"Package: a\nVersion: 1\nArchitecture: all\nProvides: \n",
            b"Package: a\nVersion: 1\n Source: x\nArchitecture: all\n",
            b"Package: a\nVersion: 1\nArchitecture: all\nSource: b (1/2)\n",
            b"Package: \xff\nVersion: 1\nArchitecture: all\n",
            b"Package: a\nVersion: 1\nversion: 2\nArchitecture: all\n",
            b"Package: a\nVersion: 1\nArchitecture: all\nDepends: b (>= \n",
            b"Package: a\nVersion: 1\nArchitecture: all\n\nPackage: b\n",
            b"Package: a\0\nVersion: 1\nArchitecture: all\n",
        ] {
            let outcome = Control::parse(bad).and_then(|control| control.binary(Kind::Binary));
            assert!(outcome.is_err(), "{}", String::from_utf8_lossy(bad));
        }
    }
}
