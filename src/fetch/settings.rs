//! The archives to fetch from, and the bounds of fetching.

use std::collections::BTreeMap;
use std::path::PathBuf;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::transport::TlsFiles;
use crate::names::{ArchiveName, FlatDirectory, SuiteName};
use crate::proxy::{Choice, Environment};
use crate::units::{ByteSize, TimeSpan};
use crate::uri::{Uri, UriError};

/// Everything that fetching needs to know besides the specs of the suites that are made from it.
#[derive(Debug, Clone)]
pub struct Sources {
    /// The archives.
    pub archives: BTreeMap<ArchiveName, Source>,
    /// The bounds.
    pub settings: Settings,
    /// The proxies that hold where the configuration names none.
    pub environment: Environment,
}

impl Sources {
    /// Returns the directory of a suite that is a flat archive.
    pub(super) fn flat(&self, archive: &ArchiveName, suite: &SuiteName) -> Option<&FlatDirectory> {
        self.archives.get(archive)?.suites.get(suite)?.flat.as_ref()
    }
}

/// An archive to fetch from.
#[derive(Debug, Clone)]
pub struct Source {
    /// The URIs of the archive; the first that answers wins.
    pub uris: Vec<Uri>,
    /// The choice of a proxy for all requests that it takes to fetch the archive.
    pub proxy: Option<Choice>,
    /// The certificates for https.
    pub tls: TlsFiles,
    /// Keyring files whose keys may sign the archive's Release.
    pub signed_by: Vec<PathBuf>,
    /// The time up to which keys count that are too weak.
    pub(crate) takes_weak_keys_until: Option<Timestamp>,
    /// The greatest age of a Release by its Date.
    pub(crate) max_age: Option<TimeSpan>,
    /// `false` accepts a Release past its Valid-Until. `max_age` counts all the same.
    pub(crate) check_valid_until: bool,
    /// `true` if another Release of the Date of the last one may follow it.
    pub(crate) may_repeat_date: bool,
    /// The settings of single suites.
    pub(crate) suites: BTreeMap<SuiteName, SourceSuite>,
}

impl Source {
    /// Returns the settings of a suite.
    pub(super) fn suite(&self, name: &SuiteName) -> SourceSuite {
        self.suites.get(name).cloned().unwrap_or_default()
    }
}

/// The settings for fetching one suite of an archive.
#[derive(Debug, Clone, Default)]
pub struct SourceSuite {
    /// Names that its Release may give as Suite or Codename besides its own; an empty one stands for a Release that gives neither.
    pub(crate) called: Vec<String>,
    /// `true` if its Release may have no Date that apt can read.
    pub(crate) may_be_undated: bool,
    /// The directory of a flat archive below its URI.
    pub(crate) flat: Option<FlatDirectory>,
}

impl SourceSuite {
    /// Returns the directory, below the URI of the archive, in which the Release of a suite lies; empty for the URI itself.
    pub(super) fn directory(&self, name: &SuiteName) -> String {
        match &self.flat {
            Some(flat) => flat.as_str().to_owned(),
            None => format!("dists/{name}"),
        }
    }

    /// Returns the URI of that directory.
    pub(super) fn below(&self, uri: &Uri, name: &SuiteName) -> Result<Uri, UriError> {
        match self.directory(name).as_str() {
            "" => Ok(uri.clone()),
            directory => uri.join(directory),
        }
    }
}

/// The bounds of fetching, whatever the archive.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Settings {
    pub(crate) parallel: usize,
    /// The number of times that a request is repeated after a failure that may pass.
    pub retries: u32,
    /// The pause before the first repetition; it doubles with each.
    pub backoff: TimeSpan,
    /// The number of times that a suite is begun afresh on one URI when its files do not match its Release.
    pub restarts: u32,
    /// The time that setting up a connection may take.
    pub connect_timeout: TimeSpan,
    /// The time that a server may be silent.
    pub timeout: TimeSpan,
    /// The least bytes per second, averaged over a minute: a slower transfer is given up.
    pub(crate) minimum_speed: ByteSize,
    /// The time that one suite of an archive may take in all, every URI and repetition included.
    pub(crate) suite_timeout: TimeSpan,
    /// The most bytes that one index may have, unpacked.
    pub(crate) max_index: ByteSize,
    /// The most memory that the indices of one suite of an archive may take up when they are merged.
    pub(crate) max_memory: ByteSize,
    /// The choice of a proxy for the archives that say nothing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub proxy: Option<Choice>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            parallel: 6,
            retries: 3,
            backoff: TimeSpan::from_seconds(1),
            restarts: 3,
            connect_timeout: TimeSpan::from_seconds(20),
            timeout: TimeSpan::from_seconds(60),
            minimum_speed: ByteSize::from_bytes(1024),
            suite_timeout: TimeSpan::from_seconds(60 * 60),
            max_index: ByteSize::from_bytes(4 << 30),
            max_memory: ByteSize::from_bytes(1536 << 20),
            proxy: None,
        }
    }
}
