//! The places where the keys are that sign what is published.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::{Error, Signer};
use crate::units::one_or_many;

/// The keys that sign what is published: either gpg or key files.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Signing {
    /// Sign through gpg and its agent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gpg: Option<GpgKeys>,
    /// Sign in process, with the private keys of these files (mode 0600).
    #[serde(
        default,
        deserialize_with = "one_or_many",
        skip_serializing_if = "Vec::is_empty"
    )]
    pub(crate) key_file: Vec<PathBuf>,
}

/// Keys that gpg holds.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct GpgKeys {
    /// The home directory of gpg; gpg's own default if it is not set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub homedir: Option<PathBuf>,
    /// The keys to sign with, all of them, as gpg understands them; fingerprints are best.
    pub keys: Vec<String>,
    /// The program.
    #[serde(default = "defaults::gpg")]
    pub program: PathBuf,
}

impl Signing {
    /// Finds the keys.
    pub fn signer(&self) -> Result<Signer, Error> {
        match &self.gpg {
            Some(gpg) => Ok(Signer::gpg(
                gpg.program.clone(),
                gpg.homedir.clone(),
                gpg.keys.clone(),
            )),
            None => Signer::key_files(&self.key_file),
        }
    }
}

mod defaults {
    use super::PathBuf;

    pub(super) fn gpg() -> PathBuf {
        "gpg".into()
    }
}
