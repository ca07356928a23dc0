//! Icons: a tar archive with files named `PACKAGE_ICON`, of exactly the packages that were published.

use std::collections::BTreeSet;
use std::io::{self, Read, Write};

use crate::error::{Error, Result};
use crate::indices::IndexName;
use crate::quoted::quoted;

use super::super::faults::Told;
use super::super::input::{Part, Sink, SuiteMerge};
use super::super::plain_tar::PlainTar;
use super::super::selection::Selected;

/// The most that one icon may be; real ones have some tens of kilobytes.
const MAX_ICON_BYTES: u64 = 4 << 20;

/// The longest name of a file on Linux.
const MAX_NAME_BYTES: usize = 255;

/// The most icons of one index: real ones have some thousands, and the name of each is kept in memory.
const MAX_ICONS: usize = 200_000;

pub(super) fn icons(
    merge: &SuiteMerge<'_>,
    selected: &Selected<'_>,
    sink: &dyn Sink,
    name: &IndexName,
    parts: &[Part],
) -> Result<BTreeSet<String>> {
    let mut warnings = BTreeSet::new();
    let architectures = &merge.spec.architectures;
    sink.stream(name, &mut |out| {
        let mut archive = tar::Builder::new(out);
        let mut seen = BTreeSet::new();
        for (rank, part) in parts {
            let Some(input) = merge.inputs.get(*rank) else {
                continue;
            };
            let Some(opened) = input.open(part)? else {
                continue;
            };
            let label = input.describe(part);
            let is_published = |file: &[u8]| {
                let package = file.split(|b| *b == b'_').next().unwrap_or_default();
                architectures
                    .iter()
                    .any(|a| selected.has(a.as_str(), package, *rank as u16))
            };
            let mut told = Told::default();
            copy_icons(
                opened,
                &label,
                &mut archive,
                &mut seen,
                &is_published,
                &mut told,
            )
            .map_err(Error::io("merge the icons of", &label))?;
            let further = |number| format!("{label}: {number} further files that are no icons");
            warnings.extend(told.finish(further));
        }
        archive
            .finish()
            .map_err(Error::io("merge the icons of", name.to_string()))
    })?;
    Ok(warnings)
}

/// Copies the icons of published packages: their names, modification times and bytes, and nothing else.
fn copy_icons(
    opened: Box<dyn Read + Send + '_>,
    label: &str,
    archive: &mut tar::Builder<&mut dyn Write>,
    seen: &mut BTreeSet<Vec<u8>>,
    is_published: &dyn Fn(&[u8]) -> bool,
    told: &mut Told,
) -> io::Result<()> {
    let mut from = tar::Archive::new(PlainTar::new(opened));
    for entry in from.entries()? {
        let mut entry = entry?;
        let path = entry.path_bytes().into_owned();
        let file = path.strip_prefix(b"./").unwrap_or(&path);
        if entry.header().entry_type().is_dir() {
            continue;
        }
        let is_plain = (1..=MAX_NAME_BYTES).contains(&file.len())
            && seen.len() < MAX_ICONS
            && !file
                .iter()
                .any(|b| matches!(b, b'/' | b'\\') || b.is_ascii_control());
        if !is_plain || !entry.header().entry_type().is_file() || entry.size() > MAX_ICON_BYTES {
            told.tell(|| {
                let shown = quoted(&String::from_utf8_lossy(&path));
                format!("{label}: `{shown}` is no icon; it is left out")
            });
            continue;
        }
        if !is_published(file) || !seen.insert(file.to_vec()) {
            continue;
        }
        let mut header = tar::Header::new_ustar();
        header.set_size(entry.size());
        header.set_mode(0o644);
        header.set_mtime(entry.header().mtime().unwrap_or(0));
        let name = String::from_utf8_lossy(file).into_owned();
        archive.append_data(&mut header, name, &mut entry)?;
    }
    // Read to the end, because damage of the file shows only there.
    io::copy(&mut from.into_inner(), &mut io::sink())?;
    Ok(())
}
