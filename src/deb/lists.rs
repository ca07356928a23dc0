//! The lists of files in a `.dsc`, a `.changes` or a `.buildinfo`: one for each kind of digest.

use std::collections::BTreeMap;

use crate::quoted::quoted;

use super::control::Control;
use super::error::Fault;
use super::{PackageFile, is_file_name};

/// The most files that may be listed.
const MAX_FILES: usize = 10_000;

/// A file that is listed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Listed {
    /// The name, without a directory.
    pub name: String,
    /// The length in bytes.
    pub size: u64,
    /// The MD5, from `Files` or `Checksums-Md5`.
    pub md5: Option<[u8; 16]>,
    /// The SHA-1, from `Checksums-Sha1`.
    pub sha1: Option<[u8; 20]>,
    /// The SHA-256, from `Checksums-Sha256`.
    pub sha256: Option<[u8; 32]>,
}

impl Listed {
    /// Returns whether a file is the one that is listed.
    pub fn is(&self, file: &PackageFile) -> bool {
        fn agrees<T: PartialEq>(listed: Option<T>, found: Option<T>) -> bool {
            listed.is_none() || listed == found
        }
        self.name == file.name
            && self.size == file.size
            && agrees(self.md5, file.md5)
            && agrees(self.sha1, file.sha1)
            && agrees(self.sha256, Some(file.sha256))
    }

    /// Notes a digest from a list; `None` if it is not a digest of that kind, else whether it is the first of its kind.
    fn note(&mut self, field: &str, digest: &str) -> Option<bool> {
        Some(match field {
            "Checksums-Sha256" => self.sha256.replace(decode(digest)?).is_none(),
            "Checksums-Sha1" => self.sha1.replace(decode(digest)?).is_none(),
            _ => self.md5.replace(decode(digest)?).is_none(),
        })
    }
}

/// Reads the lists of files, which have to name the same files; at least one file, sorted by name.
pub(super) fn read(control: &Control<'_>) -> Result<Vec<Listed>, Fault> {
    let mut files: BTreeMap<&str, Listed> = BTreeMap::new();
    let mut first = None;
    for field in [
        "Files",
        "Checksums-Md5",
        "Checksums-Sha1",
        "Checksums-Sha256",
    ] {
        let Some(value) = control.value(field) else {
            continue;
        };
        let value = std::str::from_utf8(value);
        let value = value.map_err(|_| Fault::new(format!("`{field}` is not UTF-8")))?;
        let mut count = 0;
        for line in value.lines().map(str::trim).filter(|line| !line.is_empty()) {
            let bad = |why: &str| {
                let line = quoted(line);
                Fault::new(format!("`{field}` has the line `{line}`, {why}"))
            };
            let (digest, size, name) =
                words(field, line).ok_or_else(|| bad("which does not list a file"))?;
            count += 1;
            if count > MAX_FILES {
                return Err(Fault::new(format!("it lists more than {MAX_FILES} files")));
            }
            let file = match (files.get_mut(name), first) {
                (Some(file), _) => file,
                (None, Some(first)) => {
                    return Err(bad(&format!("and `{first}` does not list that file")));
                }
                (None, None) => files.entry(name).or_insert_with(|| Listed {
                    name: name.to_owned(),
                    size,
                    ..Listed::default()
                }),
            };
            if file.size != size {
                return Err(bad("and another one gives another size"));
            }
            match file.note(field, digest) {
                Some(true) => {}
                Some(false) => return Err(bad("and has that file twice")),
                None => return Err(bad("whose digest is not of that kind")),
            }
        }
        if count != files.len() {
            let first = first.unwrap_or(field);
            return Err(Fault::new(format!(
                "`{field}` lists fewer files than `{first}`"
            )));
        }
        first = first.or(Some(field));
    }
    match files.is_empty() {
        true => Err(Fault::new("it lists no files")),
        false => Ok(files.into_values().collect()),
    }
}

/// Reads a line: digest, length, name. In the `Files` of a `.changes`, section and priority stand before the name.
fn words<'l>(field: &str, line: &'l str) -> Option<(&'l str, u64, &'l str)> {
    let mut words = line.split_ascii_whitespace();
    let (digest, size, mut name) = (words.next()?, words.next()?, words.next()?);
    if field == "Files"
        && let Some(_priority) = words.next()
    {
        name = words.next()?;
    }
    let is_size = words.next().is_none() && size.bytes().all(|b| b.is_ascii_digit());
    let is_listed = is_size && is_file_name(name);
    is_listed.then_some((digest, size.parse().ok()?, name))
}

fn decode<const N: usize>(digest: &str) -> Option<[u8; N]> {
    let mut bytes = [0; N];
    hex::decode_to_slice(digest, &mut bytes).ok()?;
    Some(bytes)
}
