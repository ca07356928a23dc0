//! The check whether an index that an archive signed can be merged at all. It is made when the index is fetched. So an archive that signs a
//! broken index keeps its last good copy; otherwise every run would fail until the archive publishes again.

use std::io::Read;

use crate::indices::IndexName;

use super::entry::{Kind, check_entries};
use super::plain_tar::PlainTar;
use super::readable;

/// Reads an index as the merge will read it.
///
/// Of the families that a suite can do without, only icons can be so broken that the merge cannot go on. From the others, the merge leaves
/// out the parts that it cannot read, and warns.
///
/// # Errors
/// The fault, and its line.
pub(crate) fn check_index(name: &IndexName, mut index: impl Read) -> Result<(), String> {
    let kind = match name {
        IndexName::Packages(..) | IndexName::Installer(..) => Kind::Binary,
        IndexName::Sources(_) => Kind::Source,
        IndexName::Icons(..) => return check_icons(index).map_err(|e| e.to_string()),
        IndexName::Contents(..)
        | IndexName::SuiteContents(_)
        | IndexName::Translation(..)
        | IndexName::Dep11(..)
        | IndexName::Commands(..) => return Ok(()),
    };
    let mut data = Vec::new();
    index.read_to_end(&mut data).map_err(|e| e.to_string())?;
    check_entries(&data, kind)
        .and_then(|()| readable::check_lengths(&data, kind == Kind::Source))
        .and_then(|()| match kind {
            Kind::Binary => readable::check_versions(&data),
            Kind::Source => Ok(()),
        })
        .map_err(|e| e.to_string())
}

fn check_icons(index: impl Read) -> std::io::Result<()> {
    for entry in tar::Archive::new(PlainTar::new(index)).entries()? {
        std::io::copy(&mut entry?, &mut std::io::sink())?;
    }
    Ok(())
}
