//! The reasons why a suite of an archive could not be fetched.

mod spool;

use crate::deb822::ReleaseError;
use crate::error::{DomainError, Error, ErrorKind, chain};
use crate::uri;

use super::looks::Looks;
use super::transport;

pub use spool::SpoolError;

/// The reason why a suite of an archive could not be fetched. Every variant names the file or URI that it is about.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FetchError {
    /// No URI of the archive gave the suite.
    #[error("{}", .0.iter().map(|(uri, e)| format!("{uri}: {}", chain(e))).collect::<Vec<_>>().join("\n  and "))]
    EveryUri(Vec<(String, FetchError)>),
    /// The bytes did not come.
    #[error(transparent)]
    Transport(#[from] transport::Error),
    /// The settings of the way to the archive cannot be used.
    #[error(transparent)]
    NoTransport(std::sync::Arc<transport::Error>),
    /// A URI makes no sense.
    #[error(transparent)]
    Uri(#[from] uri::UriError),
    /// There is neither InRelease nor Release.
    #[error("{uri}: there is neither an InRelease nor a Release with a Release.gpg")]
    NoRelease {
        /// The suite's directory.
        uri: String,
    },
    /// The signature does not hold.
    #[error("{uri}: the signature is refused{}", told(*.looks))]
    Signature {
        /// The signed file.
        uri: String,
        /// The looks of the file, if it is no signed text at all.
        looks: Option<Looks>,
        /// The reason.
        source: Box<crate::openpgp::Error>,
    },
    /// The keyring cannot be read.
    #[error("the keyring {files} of the archive cannot be used")]
    Keyring {
        /// Its files.
        files: String,
        /// The reason.
        source: std::sync::Arc<crate::openpgp::Error>,
    },
    /// The Release cannot be understood.
    #[error("{uri}: the Release is refused")]
    Release {
        /// The file.
        uri: String,
        /// The reason.
        source: ReleaseError,
    },
    /// The Release is of another suite.
    #[error("{uri}: this is the Release of {}, and not of `{expected}`", called(.suite.as_ref(), .codename.as_ref()))]
    OtherSuite {
        /// The file.
        uri: String,
        /// The archive.
        archive: String,
        /// Its Suite.
        suite: Option<String>,
        /// Its Codename.
        codename: Option<String>,
        /// The suite that was asked for.
        expected: String,
    },
    /// The Release is from the future.
    #[error("{uri}: the Release is dated {date}, which is in the future")]
    Future {
        /// The file.
        uri: String,
        /// Its Date.
        date: String,
    },
    /// The Release has expired.
    #[error("{uri}: the Release has expired on {until}")]
    Expired {
        /// The file.
        uri: String,
        /// Its Valid-Until.
        until: String,
    },
    /// The Release is older than the archive's `max-age`.
    #[error("{uri}: the Release of {date} is older than the archive's max-age of {max_age}")]
    Stale {
        /// The file.
        uri: String,
        /// Its Date.
        date: String,
        /// The configured bound.
        max_age: String,
    },
    /// The Release is older than one seen before.
    #[error(
        "{uri}: the Release of {date} is older than the one of {seen} seen before: a rollback, or a mirror that lags"
    )]
    Rollback {
        /// The file.
        uri: String,
        /// Its Date.
        date: String,
        /// The Date of the one in the spool.
        seen: String,
    },
    /// The Release is that of the copy or newer, but older than a Release whose indices could not be had.
    #[error(
        "{uri}: the Release of {date} is older than the one of {newer} seen at {newer_uri}{}",
        .failures.iter().map(|(uri, e)| format!("\n  and {uri}: {}", chain(e))).collect::<String>()
    )]
    Behind {
        /// The URI of the Release.
        uri: String,
        /// Its Date.
        date: String,
        /// The URI of the newer Release.
        newer_uri: String,
        /// The Date of the newer Release.
        newer: String,
        /// The failures of the other URIs.
        failures: Vec<(String, FetchError)>,
    },
    /// The Release has no Date that apt can read.
    #[error("{uri}: the Release is refused")]
    Undated {
        /// The file.
        uri: String,
        /// The archive.
        archive: String,
        /// The suite that was asked for.
        suite: String,
        /// The reason.
        source: ReleaseError,
    },
    /// The Release has a Valid-Until that apt cannot read.
    #[error("{uri}: the Release is refused")]
    UnknownExpiry {
        /// The file.
        uri: String,
        /// The reason.
        source: ReleaseError,
    },
    /// The Release has the Date of one seen before, and other content.
    #[error("{uri}: the Release of {date} is not the one of the same Date seen before")]
    SameDate {
        /// The file.
        uri: String,
        /// The archive.
        archive: String,
        /// Its Date.
        date: String,
    },
    /// The Release has the Date of the copy, and is older.
    #[error(
        "{uri}: the Release of {date} {why} the one of the same Date seen before: a rollback, or a mirror that lags"
    )]
    Replayed {
        /// The file.
        uri: String,
        /// Its Date.
        date: String,
        /// `was signed before`, or another reason.
        why: &'static str,
    },
    /// The archive calls itself something else than before.
    #[error("{uri}: the Release changed its {field} from `{from}` to `{to}`")]
    Identity {
        /// The file.
        uri: String,
        /// The field.
        field: &'static str,
        /// The earlier value.
        from: String,
        /// The present value.
        to: String,
    },
    /// A field of the Release is too long for a Release of ours.
    #[error("{uri}: the Release is refused")]
    LongField {
        /// The file.
        uri: String,
        /// Which field.
        source: crate::deb822::identity::LongField,
    },
    /// The Release has nothing of what the configuration asks for.
    #[error("{uri}: the Release lists none of the indices that the configuration asks for")]
    NothingWanted {
        /// The file.
        uri: String,
    },
    /// The Release has more of what the configuration asks for than any archive.
    #[error(
        "{uri}: the Release lists {count} indices of what the configuration asks for, more than {limit}"
    )]
    TooManyWanted {
        /// The file.
        uri: String,
        /// The number of files that are wanted.
        count: usize,
        /// The bound.
        limit: usize,
    },
    /// An index that the Release lists is not there.
    #[error("{uri}: the Release lists this file, and {}", missing(*.is_refused))]
    Missing {
        /// The file.
        uri: String,
        /// `true` if the server answered with 403, as object stores do for a file that is not there.
        is_refused: bool,
    },
    /// An index has the wrong length.
    #[error("{uri}: it has {found} bytes{unpacked}, the Release says {expected}")]
    WrongSize {
        /// The file.
        uri: String,
        /// Its length.
        found: u64,
        /// The length that the Release says.
        expected: u64,
        /// ` unpacked`, or nothing.
        unpacked: &'static str,
    },
    /// An index has the wrong hash.
    #[error("{uri}: its hash{unpacked} is not the one in the Release")]
    WrongHash {
        /// The file.
        uri: String,
        /// ` unpacked`, or nothing.
        unpacked: &'static str,
    },
    /// An index cannot be unpacked.
    #[error("{uri}: it cannot be unpacked")]
    Unpack {
        /// The file.
        uri: String,
        /// The reason.
        source: std::io::Error,
    },
    /// An index is not what was asked for, by its first bytes.
    #[error("{error}{}", told(Some(*.looks)))]
    Unlike {
        /// The fault that was found first.
        error: Box<FetchError>,
        /// The looks of the file that came.
        looks: Looks,
    },
    /// An index is larger than the configuration, or memory, allows.
    #[error("{uri}: the Release says that it has {size} bytes unpacked, more than {bound}")]
    TooLarge {
        /// The file.
        uri: String,
        /// The size that the Release says.
        size: u64,
        /// Which bound.
        bound: &'static str,
    },
    /// The indices of a suite would take up too much memory.
    #[error(
        "{uri}: the indices that the configuration asks for would take up {} of memory when they are merged, more than fetch.max-memory = \"{bound}\" allows", mebibytes(*.needed)
    )]
    TooMuchMemory {
        /// The suite's directory.
        uri: String,
        /// The memory that they would take up, roughly.
        needed: u64,
        /// The bound.
        bound: crate::units::ByteSize,
    },
    /// An index is larger packed than packing can make it.
    #[error(
        "{uri}: the Release says that it has {size} bytes, more than packing could make of what it says of the plain file"
    )]
    Swollen {
        /// The file.
        uri: String,
        /// The size that the Release says.
        size: u64,
    },
    /// The transfer takes too long, though bytes come.
    #[error("{uri}: given up after {}", crate::units::TimeSpan::from_seconds(*.seconds))]
    TooLate {
        /// The file that was on its way.
        uri: String,
        /// The time after which it was given up.
        seconds: u64,
    },
    /// An index is what the Release says, and cannot be merged.
    #[error("{uri}: the archive signed an index that cannot be used: {why}")]
    Index {
        /// The file, in its plain form.
        uri: String,
        /// The fault of the index, and its line.
        why: String,
    },
    /// The spool cannot be written.
    #[error(transparent)]
    Spool(Error),
}

impl From<Error> for FetchError {
    fn from(error: Error) -> Self {
        FetchError::Spool(error)
    }
}

impl FetchError {
    /// Returns whether a mirror in the middle of its own sync would give this error: then the Release is worth fetching again.
    pub(crate) fn may_be_mid_sync(&self) -> bool {
        if let FetchError::Unlike { error, .. } = self {
            return error.may_be_mid_sync();
        }
        matches!(
            self,
            FetchError::Missing { .. }
                | FetchError::WrongSize { .. }
                | FetchError::WrongHash { .. }
                | FetchError::Unpack { .. }
        ) || matches!(
            self,
            FetchError::Transport(transport::Error::TooLarge { .. })
        )
    }

    /// Returns whether a Release was accepted although a newer one was seen.
    pub(crate) fn is_behind(&self) -> bool {
        matches!(self, FetchError::Behind { .. })
    }

    /// Returns whether this machine is the cause, so that another URI or the copy in the spool is no way out.
    pub(crate) fn is_local(&self) -> bool {
        matches!(self, FetchError::Spool(_) | FetchError::Keyring { .. })
    }
}

impl DomainError for FetchError {
    fn kind(&self) -> ErrorKind {
        match self {
            FetchError::Spool(error) => error.kind(),
            FetchError::Transport(error) => error.kind(),
            FetchError::NoTransport(error) => error.kind(),
            FetchError::Unlike { error, .. } => error.kind(),
            FetchError::Keyring { .. } => ErrorKind::Signing,
            _ => ErrorKind::Upstream,
        }
    }

    fn is_of_the_machine(&self) -> bool {
        matches!(self, FetchError::Spool(error) if error.is_of_the_machine())
    }
}

/// Returns the rest of a sentence about a file that looks like something else.
fn told(looks: Option<Looks>) -> String {
    looks.map_or_else(String::new, |looks| format!(": {looks}"))
}

/// Returns the rest of a sentence about a missing file.
fn missing(is_refused: bool) -> &'static str {
    match is_refused {
        true => "the server refuses it with status 403, as object stores do for what is not there",
        false => "it is not there",
    }
}

/// Returns a number of bytes in MiB, rounded up.
fn mebibytes(bytes: u64) -> String {
    format!("{} MiB", bytes.div_ceil(1 << 20))
}

/// Returns in words how a Release calls its suite.
fn called(suite: Option<&String>, codename: Option<&String>) -> String {
    match (suite, codename) {
        (Some(suite), Some(codename)) => format!("Suite `{suite}`, Codename `{codename}`"),
        (Some(suite), None) => format!("Suite `{suite}`"),
        (None, Some(codename)) => format!("Codename `{codename}`"),
        (None, None) => "a suite without Suite and Codename".to_owned(),
    }
}
