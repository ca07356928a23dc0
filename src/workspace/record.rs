//! Records: files of JSON that say in which format they are.

use std::io::ErrorKind;
use std::path::Path;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::durable;
use crate::error::{Error, Result};

use super::error::StateError;

/// A record that is kept in a file of JSON.
pub trait Record: Serialize + DeserializeOwned {
    /// The number of the format that is written; files without a number have format 0. It grows when a program that knows the
    /// format before could not read the record, or would misunderstand it.
    const FORMAT: u64;
}

/// The part of a record that says in which format the rest is.
#[derive(Deserialize)]
struct Format {
    #[serde(default)]
    format: u64,
}

/// A record as it is written.
#[derive(Serialize)]
struct Written<'a, T> {
    format: u64,
    #[serde(flatten)]
    record: &'a T,
}

/// Reads a record; `None` where there is none.
pub(crate) fn read_json<T: Record>(path: &Path) -> Result<Option<T>> {
    let text = read_text(path)?;
    text.map(|text| parse(path, &text)).transpose()
}

/// Reads the text of a record; `None` where there is none.
pub(super) fn read_text(path: &Path) -> Result<Option<Vec<u8>>> {
    match durable::read_regular(path) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(Error::io("read", path)(error)),
    }
}

/// Reads a record from the text of a file.
pub(super) fn parse<T: Record>(path: &Path, text: &[u8]) -> Result<T> {
    let damaged = |source| StateError::Damaged {
        path: path.to_owned(),
        source,
    };
    let format = match leading_format(text) {
        Some(format) => format,
        None => {
            serde_json::from_slice::<Format>(text)
                .map_err(damaged)?
                .format
        }
    };
    if format > T::FORMAT {
        return Err(StateError::Newer {
            path: path.to_owned(),
            format,
            known: T::FORMAT,
        }
        .into());
    }
    Ok(serde_json::from_slice(text).map_err(damaged)?)
}

/// Returns the number of the format where it stands at the front, as it is written, so that no record has to be read twice.
fn leading_format(text: &[u8]) -> Option<u64> {
    let text = text.strip_prefix(b"{\n  \"format\": ")?;
    let end = text.iter().position(|byte| *byte == b',')?;
    std::str::from_utf8(text.get(..end)?).ok()?.parse().ok()
}

/// Writes a record, durably and in one step.
pub(crate) fn write_json<T: Record>(path: &Path, record: &T) -> Result<()> {
    durable::write(path, &to_text(path, record)?, None)
}

/// Writes a record into a file that is there.
pub(super) fn overwrite_json<T: Record>(path: &Path, record: &T) -> Result<()> {
    durable::overwrite(path, &to_text(path, record)?)
}

/// Returns the text of a record, to be written to a file.
pub(super) fn to_text<T: Record>(path: &Path, record: &T) -> Result<Vec<u8>> {
    let format = T::FORMAT;
    let written = Written { format, record };
    let mut text = serde_json::to_vec_pretty(&written).map_err(|source| StateError::Damaged {
        path: path.to_owned(),
        source,
    })?;
    text.push(b'\n');
    Ok(text)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[derive(Serialize, Deserialize)]
    struct Numbered {
        number: u64,
    }

    impl Record for Numbered {
        const FORMAT: u64 = 1;
    }

    #[test]
    fn a_newer_format_is_refused_and_an_older_one_is_read() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("record.json");
        let record = Numbered { number: 7 };
        write_json(&path, &record).unwrap();
        let text = std::fs::read_to_string(&path).unwrap();
        assert!(text.starts_with("{\n  \"format\": 1,\n"), "{text}");
        let number = || read_json::<Numbered>(&path).map(|record| record.unwrap().number);
        assert_eq!(number().unwrap(), 7);
        std::fs::write(&path, text.replace("  \"format\": 1,\n", "")).unwrap();
        assert_eq!(number().unwrap(), 7);
        // The rest of a newer record may have any shape.
        std::fs::write(&path, "{\"number\": [], \"format\": 2}").unwrap();
        let error = number().unwrap_err();
        let is_newer = matches!(
            error.downcast_ref(),
            Some(StateError::Newer {
                format: 2,
                known: 1,
                ..
            })
        );
        assert!(is_newer, "{error}");
    }
}
